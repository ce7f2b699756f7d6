//! The store in the same process: every record once, whenever that is killed.

use std::path::Path;

use super::arrival;
use crate::harness::Sawyer;
use crate::run::{Arrival, Promise, Target};
use crate::weather::Weather;

/// All that is asked for.
const ALL: &str = "namespace: shop";

pub(crate) struct StoreTarget;

impl Target for StoreTarget {
    fn kind(&self) -> &'static str {
        "store"
    }

    fn settings(&self, _folder: &Path) -> Vec<String> {
        Vec::new()
    }

    /// Segments are sealed and merged while everything goes on.
    fn surroundings(&self) -> &'static str {
        "store: {seal_interval: 200ms, memory_max: 4MiB}\n"
    }

    fn role(&self) -> &'static str {
        "up"
    }

    fn is_remote(&self) -> bool {
        false
    }

    /// The store sorts by time, so it cannot show the order of arrival.
    fn promise(&self) -> Promise {
        Promise { ordered: false, once: true, refuses: false }
    }

    fn set(&self, _weather: Weather) {}

    /// After the process has ended.
    fn arrived(&self, folder: &Path) -> Vec<Arrival> {
        let data = folder.join("data");
        let server = Sawyer::start("server", &["--data", data.to_str().unwrap()]);
        server.all(ALL).iter().map(|record| arrival(record, "_original")).collect()
    }

    fn count(&self, _folder: &Path, agent: &Sawyer) -> u64 {
        agent.count(ALL)
    }
}
