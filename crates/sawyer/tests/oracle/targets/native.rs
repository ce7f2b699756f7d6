//! Another Sawyer: every record once in its store, though it is killed too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use sawyer_testkit::Dice;
use sawyer_testkit::peer::Received;

use super::arrival;
use crate::harness::{SOON, Sawyer};
use crate::pass_on::pass_on;
use crate::run::{Arrival, Promise, Target};
use crate::weather::{Station, Weather, lock, own_address};
use crate::wire::Wire;

/// All that is asked for.
const ALL: &str = "namespace: shop";

/// In bad weather the server is killed once, before so many looks.
const LOOKS_MAX: u64 = 4;

/// What the agent shows to the server.
const TOKEN: &str = "sesame";

pub(crate) struct Native {
    server: Mutex<Server>,
    way: Way,
}

/// How the agent reaches the server.
enum Way {
    /// Requests in HTTP/1.1 by a proxy that looks into them.
    Proxy(Station),
    /// HTTP/2 over a wire.
    Wire(Wire),
}

struct Server {
    folder: tempfile::TempDir,
    address: SocketAddr,
    running: Option<Sawyer>,
    dice: Dice,
    /// Looks until it is killed.
    dies_in: Option<u64>,
    kills: usize,
}

impl Server {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "store: {{seal_interval: 1s}}\ninputs: {{sawyer: {{tokens: [{TOKEN}]}}}}\noutputs: {{store: }}\n"
        );
        std::fs::write(folder.path().join("server.yaml"), config).unwrap();
        let address = own_address();
        let mut server =
            Self { folder, address, running: None, dice: Dice::new(seed), dies_in: None, kills: 0 };
        server.start();
        server
    }

    fn start(&mut self) {
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let args = ["--config", &path("server.yaml"), "--data", &path("data")];
        let deadline = Instant::now() + SOON;
        while self.running.is_none() {
            match Sawyer::try_start_at(&self.address.to_string(), "server", &args) {
                Ok(running) => self.running = Some(running),
                Err(log) => assert!(Instant::now() < deadline, "the server does not start:\n{log}"),
            }
        }
    }

    fn set(&mut self, weather: Weather) {
        self.dies_in = (weather == Weather::Bad).then(|| self.dice.below(LOOKS_MAX));
    }

    fn looked_at(&mut self) {
        match self.dies_in {
            Some(0) => {
                self.dies_in = None;
                self.kills += 1;
                self.running.take().expect("it runs").kill();
                self.start();
            }
            Some(left) => self.dies_in = Some(left - 1),
            None => {}
        }
    }

    fn running(&self) -> &Sawyer {
        self.running.as_ref().expect("it runs")
    }
}

impl Native {
    pub(crate) fn behind_a_proxy() -> Self {
        let server = Server::new(21);
        let address = server.address;
        let take = Arc::new(move |request: &Received| pass_on(address, request));
        let way = Way::Proxy(Station::new(22, take, batches));
        Self { server: Mutex::new(server), way }
    }

    pub(crate) fn over_a_wire() -> Self {
        let server = Server::new(23);
        let way = Way::Wire(Wire::new(24, server.address));
        Self { server: Mutex::new(server), way }
    }
}

/// Batches in a request; see `docs/FORMATS.md`.
fn batches(request: &Received) -> usize {
    let (mut rest, mut count) = (&request.body[..], 0);
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        rest = more.get(u32::from_le_bytes(*length) as usize..).unwrap_or_default();
        count += 1;
    }
    count
}

impl Target for Native {
    fn kind(&self) -> &'static str {
        "sawyer"
    }

    fn settings(&self, _folder: &Path) -> Vec<String> {
        // One batch in a request, so that there are many.
        let mut settings = vec![format!("token: {TOKEN}"), "batch_max: 1KiB".to_owned()];
        match &self.way {
            Way::Proxy(station) => {
                settings.push("endpoint: http://server.invalid".to_owned());
                settings.push(format!("proxy: {}", station.url()));
            }
            Way::Wire(wire) => settings.push(format!("endpoint: {}", wire.url())),
        }
        settings
    }

    /// The store sorts by time, so it cannot show the order of arrival.
    fn promise(&self) -> Promise {
        Promise { ordered: false, once: true, refuses: false }
    }

    fn set(&self, weather: Weather) {
        lock(&self.server).set(weather);
        match &self.way {
            Way::Proxy(station) => station.set(weather),
            Way::Wire(wire) => wire.set(weather),
        }
    }

    fn arrived(&self, _folder: &Path) -> Vec<Arrival> {
        let records = lock(&self.server).running().all(ALL);
        records.iter().map(|record| arrival(record, "_original")).collect()
    }

    fn count(&self, _folder: &Path, _agent: &Sawyer) -> u64 {
        let mut server = lock(&self.server);
        server.looked_at();
        server.running().count(ALL)
    }

    fn happened(&self) -> BTreeMap<&'static str, usize> {
        let mut happened = match &self.way {
            Way::Proxy(station) => station.happened(),
            Way::Wire(wire) => wire.happened(),
        };
        happened.insert("server killed", lock(&self.server).kills);
        happened
    }

    fn check(&self) {
        let server = lock(&self.server);
        assert!(server.kills > 1, "the server was killed {} times", server.kills);
    }
}
