//! Elasticsearch and OpenSearch: each record once, by its id.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sawyer_testkit::Dice;
use sawyer_testkit::elasticsearch::{Cluster, Fate};

use super::arrival;
use crate::node::has_poison;
use crate::run::{Arrival, Promise, Target};
use crate::weather::{Station, Weather, lock};

/// Clients that keep no more of an answer than Fluent Bit does by default would misread longer ones.
const LONG_ANSWER: usize = 512 << 10;

pub(crate) struct Elasticsearch {
    kind: &'static str,
    cluster: Cluster,
    station: Station,
    weather: Arc<Mutex<Weather>>,
    /// Few long requests, so that answers are long; else many short ones, so that much goes wrong.
    long: bool,
}

impl Elasticsearch {
    pub(crate) fn new(kind: &'static str, long: bool) -> Self {
        let weather = Arc::new(Mutex::new(Weather::Away));
        let cluster = Cluster::with(fate(Arc::clone(&weather)));
        let there = cluster.clone();
        let take = Arc::new(move |request: &_| there.bulk(request));
        let count = |request: &sawyer_testkit::peer::Received| {
            request.plain_body().iter().filter(|byte| **byte == b'\n').count() / 2
        };
        Self { kind, cluster, station: Station::new(11, take, count), weather, long }
    }
}

/// In bad weather some documents of a request are not stored; a poisoned one never is.
fn fate(weather: Arc<Mutex<Weather>>) -> Fate {
    let dice = Mutex::new(Dice::new(5));
    Box::new(move |text| {
        if has_poison(text) {
            return Some((400, "mapper_parsing_exception", "failed to parse field [message]"));
        }
        if *lock(&weather) != Weather::Bad {
            return None;
        }
        match lock(&dice).below(30) {
            0 => {
                Some((429, "es_rejected_execution_exception", "rejected execution of coordinating operation"))
            }
            1 => Some((503, "unavailable_shards_exception", "primary shard is not active")),
            2 => {
                Some((403, "cluster_block_exception", "index blocked by: [TOO_MANY_REQUESTS/12/disk usage]"))
            }
            _ => None,
        }
    })
}

impl Target for Elasticsearch {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn settings(&self, _folder: &Path) -> Vec<String> {
        let records = if self.long { 20_000 } else { 100 };
        vec![
            format!("endpoint: {}", self.station.url()),
            format!("batch_records_max: {records}"),
            // What is compared is the line.
            "original_of_json: true".to_owned(),
        ]
    }

    fn promise(&self) -> Promise {
        Promise { ordered: false, once: true, refuses: true }
    }

    fn set(&self, weather: Weather) {
        *lock(&self.weather) = weather;
        self.station.set(weather);
    }

    fn arrived(&self, _folder: &Path) -> Vec<Arrival> {
        self.cluster.documents().iter().map(|(_, _, document)| arrival(document, "original")).collect()
    }

    fn happened(&self) -> BTreeMap<&'static str, usize> {
        let mut happened = self.station.happened();
        happened.insert("sent again, and there already", self.cluster.conflicts());
        let failures = self.cluster.failures();
        let of = |status| failures.get(&status).copied().unwrap_or(0);
        happened.extend([
            ("of a document: 429", of(429)),
            ("503", of(503)),
            ("400", of(400)),
            ("403", of(403)),
        ]);
        happened
    }

    fn check(&self) {
        let longest = self.cluster.answer_bytes_max();
        assert!(!self.long || longest > LONG_ANSWER, "the longest answer has only {longest} bytes");
        assert!(self.cluster.conflicts() > 0, "nothing was ever sent again");
        assert_eq!(self.cluster.failures().len(), 4, "every kind of failure was met");
    }
}
