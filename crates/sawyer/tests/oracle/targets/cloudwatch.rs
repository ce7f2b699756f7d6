//! CloudWatch Logs: in order per stream, at least once, within the service's rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sawyer_telemetry::Clock;
use sawyer_testkit::cloudwatch::Logs;
use sawyer_testkit::peer::Received;
use serde_json::Value;

use super::arrival;
use crate::run::{Arrival, Promise, Target};
use crate::weather::{Station, Weather};

const GROUP: &str = "/sawyer/shop";

pub(crate) struct CloudwatchLogs {
    logs: Logs,
    station: Station,
}

impl CloudwatchLogs {
    pub(crate) fn new() -> Self {
        let logs = Logs::new(|| Clock::system().now().millis());
        let there = logs.clone();
        let count = |request: &Received| {
            let body: Value = serde_json::from_slice(&request.plain_body()).unwrap();
            body["logEvents"].as_array().map_or(0, Vec::len)
        };
        let take = Arc::new(move |request: &_| there.answer(request));
        Self { logs, station: Station::new(14, take, count) }
    }
}

impl Target for CloudwatchLogs {
    fn kind(&self) -> &'static str {
        "cloudwatch_logs"
    }

    fn settings(&self, _folder: &Path) -> Vec<String> {
        vec![
            format!("endpoint: {}", self.station.url()),
            "region: eu-west-1".to_owned(),
            "auth: {type: aws, access_key_id: AKID, secret_access_key: key}".to_owned(),
            "batch_records_max: 100".to_owned(),
        ]
    }

    fn promise(&self) -> Promise {
        Promise { ordered: true, once: false, refuses: false }
    }

    fn set(&self, weather: Weather) {
        self.station.set(weather);
    }

    fn arrived(&self, _folder: &Path) -> Vec<Arrival> {
        let streams = self.logs.group(GROUP).map(|group| group.streams).unwrap_or_default();
        let messages = streams.values().flatten().map(|(_, message)| message);
        messages.map(|message| arrival(&serde_json::from_str(message).unwrap(), "_original")).collect()
    }

    fn happened(&self) -> BTreeMap<&'static str, usize> {
        let mut happened = self.station.happened();
        happened.insert(
            "groups and streams asked for",
            self.logs.asked("CreateLogGroup") + self.logs.asked("CreateLogStream"),
        );
        happened
    }

    fn check(&self) {
        assert_eq!(self.logs.broken(), Vec::<String>::new(), "requests keep to the rules");
        assert_eq!(self.logs.group(GROUP).unwrap().streams.len(), crate::node::PODS.len());
    }
}
