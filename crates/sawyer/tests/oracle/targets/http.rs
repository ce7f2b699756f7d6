//! Any server: at least once, in order, with ids.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sawyer_testkit::peer::{Received, Reply};
use serde_json::Value;

use super::arrival;
use crate::run::{Arrival, Promise, Target};
use crate::weather::{Station, Weather, lock};

pub(crate) struct Http {
    records: Arc<Mutex<Vec<Value>>>,
    station: Station,
}

impl Http {
    pub(crate) fn new() -> Self {
        let records: Arc<Mutex<Vec<Value>>> = Arc::default();
        let there = Arc::clone(&records);
        let take = Arc::new(move |request: &Received| {
            let lines = String::from_utf8(request.plain_body()).unwrap();
            lock(&there).extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            Reply::new(200, "")
        });
        let count = |request: &Received| request.plain_body().iter().filter(|byte| **byte == b'\n').count();
        Self { records, station: Station::new(12, take, count) }
    }
}

impl Target for Http {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn settings(&self, _folder: &Path) -> Vec<String> {
        let url = self.station.url();
        vec![
            format!("url: {url}/in"),
            "ordered: true".to_owned(),
            "batch_records_max: 100".to_owned(),
            "original_of_json: true".to_owned(),
        ]
    }

    fn promise(&self) -> Promise {
        Promise { ordered: true, once: false, refuses: false }
    }

    fn set(&self, weather: Weather) {
        self.station.set(weather);
    }

    fn arrived(&self, _folder: &Path) -> Vec<Arrival> {
        lock(&self.records).iter().map(|record| arrival(record, "_original")).collect()
    }

    fn happened(&self) -> BTreeMap<&'static str, usize> {
        self.station.happened()
    }

    /// Whoever reads can tell repetitions by their ids.
    fn check(&self) {
        let records = lock(&self.records);
        let ids: BTreeSet<&str> = records.iter().map(|record| record["_id"].as_str().unwrap()).collect();
        let numbers: BTreeSet<String> =
            records.iter().map(|record| arrival(record, "_original").line).collect();
        assert_eq!(ids.len(), numbers.len(), "a record has one id");
    }
}
