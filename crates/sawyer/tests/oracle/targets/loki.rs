//! Loki: in order per stream; it drops what it has already.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sawyer_testkit::loki::{Loki, Push};
use sawyer_testkit::peer::Received;

use crate::run::{Arrival, Promise, Target};
use crate::weather::{Station, Weather};

pub(crate) struct LokiTarget {
    loki: Loki,
    station: Station,
}

impl LokiTarget {
    pub(crate) fn new() -> Self {
        let loki = Loki::default();
        let there = loki.clone();
        let count = |request: &Received| {
            Push::decode_body(&request.body).streams.iter().map(|stream| stream.entries.len()).sum()
        };
        let take = Arc::new(move |request: &_| there.answer(request));
        Self { loki, station: Station::new(13, take, count) }
    }
}

impl Target for LokiTarget {
    fn kind(&self) -> &'static str {
        "loki"
    }

    fn settings(&self, _folder: &Path) -> Vec<String> {
        let url = self.station.url();
        vec![
            format!("endpoint: {url}"),
            "labels: [namespace, container]".to_owned(),
            "batch_records_max: 100".to_owned(),
        ]
    }

    /// Once, because this Loki never forgets what it has.
    fn promise(&self) -> Promise {
        Promise { ordered: true, once: true, refuses: false }
    }

    fn set(&self, weather: Weather) {
        self.station.set(weather);
    }

    fn arrived(&self, _folder: &Path) -> Vec<Arrival> {
        let streams = self.loki.streams();
        let arrived = streams.values().flatten();
        arrived
            .map(|stored| Arrival { pod: stored.metadata["pod"].clone(), line: stored.line.clone() })
            .collect()
    }

    fn happened(&self) -> BTreeMap<&'static str, usize> {
        let mut happened = self.station.happened();
        happened.insert("sent again, and dropped by Loki", self.loki.repeated());
        happened
    }

    fn check(&self) {
        assert!(self.loki.repeated() > 0, "nothing was ever sent again");
    }
}
