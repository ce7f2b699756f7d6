//! Kafka: at least once, in order per partition. The brokers are librdkafka's mock cluster, in a process of its own, so
//! that they can stop dead: connections stay open, and nothing is taken and nothing answered.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sawyer_testkit::Dice;
use serde_json::Value;

use crate::run::{Arrival, Promise, Target};
use crate::sending::Sent;
use crate::weather::{Weather, lock};

const TOPIC: &str = "sawyer";

/// Longest stop of the brokers in bad weather, and longest time between two.
const STOP_MS_MAX: u64 = 400;
const GO_MS_MAX: u64 = 300;

/// Shortest time between two looks at what is there.
const LOOK_PAUSE: Duration = Duration::from_millis(300);

pub(crate) struct Kafka {
    brokers: Arc<Mutex<Brokers>>,
    servers: String,
    /// Stops them now and then, in bad weather; ends when its sender is dropped.
    gusts: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
    seen: Mutex<Vec<Arrival>>,
}

/// The process that the brokers live in.
struct Brokers {
    process: Child,
    stopped: bool,
    stops: usize,
    /// They live as long as there may be something to send.
    _input: ChildStdin,
}

impl Brokers {
    /// Starts them; gives their addresses.
    fn start() -> (Self, String) {
        let mut command = Command::new("kcat");
        command.args([
            "-P",
            "-b",
            "none:1",
            "-X",
            "test.mock.num.brokers=3",
            "-X",
            "debug=mock",
            "-t",
            "own",
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let first = said.find_map(|line| Some(line.split_once("bootstrap.servers=")?.1.trim().to_owned()));
        // It goes on to say much, which nobody needs.
        thread::spawn(move || said.for_each(drop));
        let input = process.stdin.take().unwrap();
        (Self { process, stopped: false, stops: 0, _input: input }, first.expect("it says where they listen"))
    }

    fn stop(&mut self, stopped: bool) {
        if self.stopped != stopped {
            let signal = if stopped { "-STOP" } else { "-CONT" };
            let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
            assert!(sent.unwrap().success());
            self.stops += usize::from(stopped);
            self.stopped = stopped;
        }
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        drop((self.process.kill(), self.process.wait()));
    }
}

impl Kafka {
    pub(crate) fn new() -> Self {
        let (brokers, servers) = Brokers::start();
        Self {
            brokers: Arc::new(Mutex::new(brokers)),
            servers,
            gusts: Mutex::new(None),
            seen: Mutex::default(),
        }
    }

    fn brokers(&self) -> MutexGuard<'_, Brokers> {
        lock(&self.brokers)
    }

    fn calm(&self) {
        if let Some((running, gusts)) = lock(&self.gusts).take() {
            drop(running);
            gusts.join().unwrap();
        }
    }
}

/// The same for what becomes of a node's disk. They are in bad weather while they are there.
pub(crate) fn sent(_seed: u64) -> Sent {
    let kafka = Arc::new(Kafka::new());
    kafka.set(Weather::Bad);
    let there = Arc::clone(&kafka);
    let settings = format!(
        "type: kafka, {}, linger: 1ms, batch_age_max: 5ms, retry_pause_max: 100ms",
        kafka.settings(Path::new("")).join(", ")
    );
    let looked: Mutex<(Option<Instant>, BTreeMap<u64, usize>)> = Mutex::default();
    let arrived = Box::new(move || {
        let mut looked = lock(&looked);
        let (last, times) = &mut *looked;
        // A look is a program of its own.
        if last.is_none_or(|last| last.elapsed() > LOOK_PAUSE) {
            times.clear();
            for arrival in kafka.arrived(Path::new("")) {
                let record: Value = serde_json::from_str(&arrival.line).unwrap();
                *times.entry(record["number"].as_u64().unwrap()).or_default() += 1;
            }
            *last = Some(Instant::now());
        }
        times.clone()
    });
    let set_there = Box::new(move |is: bool| there.set(if is { Weather::Bad } else { Weather::Away }));
    Sent { settings, arrived, set_there, once: false }
}

fn gusts(brokers: Arc<Mutex<Brokers>>) -> (Sender<()>, JoinHandle<()>) {
    let (running, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut dice = Dice::new(31);
        // Nobody sends, so each of these waits, until the other end is dropped.
        let mut wait = |most| {
            let time = Duration::from_millis(dice.below(most));
            ended.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout)
        };
        while wait(GO_MS_MAX) {
            lock(&brokers).stop(true);
            let more = wait(STOP_MS_MAX);
            lock(&brokers).stop(false);
            if !more {
                return;
            }
        }
    });
    (running, thread)
}

impl Target for Kafka {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    fn settings(&self, _folder: &Path) -> Vec<String> {
        let further = "librdkafka: {retry.backoff.ms: 20, reconnect.backoff.ms: 10, reconnect.backoff.max.ms: 200, \
                       socket.timeout.ms: 1000}";
        vec![
            format!("brokers: [\"{}\"]", self.servers.replace(',', "\", \"")),
            format!("topic: {TOPIC}"),
            "batch_records_max: 100".to_owned(),
            further.to_owned(),
        ]
    }

    fn is_http(&self) -> bool {
        false
    }

    fn promise(&self) -> Promise {
        Promise { ordered: true, once: false, refuses: false }
    }

    fn set(&self, weather: Weather) {
        self.calm();
        self.brokers().stop(weather == Weather::Away);
        if weather == Weather::Bad {
            *lock(&self.gusts) = Some(gusts(Arc::clone(&self.brokers)));
        }
    }

    /// What is there as kcat reads it, each partition in its order. Brokers that are away tell nothing new.
    fn arrived(&self, _folder: &Path) -> Vec<Arrival> {
        let mut seen = lock(&self.seen);
        // They are not stopped meanwhile.
        let brokers = self.brokers();
        if brokers.stopped {
            return seen.clone();
        }
        let args = ["-C", "-b", &self.servers, "-t", TOPIC, "-o", "beginning", "-e", "-q", "-f", "%s\n"];
        let out = Command::new("kcat").args(args).output().unwrap();
        drop(brokers);
        let told = String::from_utf8_lossy(&out.stderr);
        // It is made when the first record comes.
        let nothing_yet = told.contains("Unknown topic") && seen.is_empty();
        assert!(out.status.success() || nothing_yet, "{told}");
        let arrival = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| record[name].as_str().map(str::to_owned);
            let line = text("_original").or_else(|| text("message")).unwrap();
            Arrival { pod: text("pod").unwrap(), line }
        };
        *seen = String::from_utf8(out.stdout).unwrap().lines().map(arrival).collect();
        seen.clone()
    }

    fn happened(&self) -> BTreeMap<&'static str, usize> {
        [("brokers stopped", self.brokers().stops)].into()
    }

    fn check(&self) {
        let stops = self.brokers().stops;
        assert!(stops > 10, "the brokers were stopped {stops} times");
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.calm();
    }
}
