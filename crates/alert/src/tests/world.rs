//! A store, alerts over it, and receivers that keep what they are told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sawyer_config::{Document, Problems};
use sawyer_delivery::{Answer, Promise};
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_query::search::Search;
use sawyer_store::{Store, StoreSettings};
use sawyer_telemetry::{Clock, Metrics};

use crate::message;
use crate::notifier::Notify;
use crate::settings::AlertPlan;
use crate::state::{Fate, Notification};
use crate::{Alerts, Parts};

/// Noon.
pub(super) const NOON: &str = "2026-11-20T12:00:00Z";

pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) sim: SimDisk,
    store: Arc<Store>,
    pub(super) metrics: Metrics,
    written: u64,
    text: String,
    pub(super) alerts: Alerts,
    /// What was told so far, a line each.
    told: Vec<String>,
}

/// Reads the section `alerts`.
pub(super) fn plan(text: &str) -> Result<AlertPlan, String> {
    let document = Document::parse("sawyer.yaml", text).map_err(|problems| problems.to_string())?;
    let mut problems = Problems::new();
    let plan = AlertPlan::read(&document.at(), &mut problems);
    problems.into_result(plan).map_err(|problems| problems.to_string())
}

impl World {
    pub(super) fn new(text: &str) -> Self {
        let clock = Clock::manual(Timestamp::parse(NOON).unwrap());
        let sim = SimDisk::new(1, SimSettings::default());
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let document = Document::parse("store", "").unwrap();
        let settings = StoreSettings::default().check(&document.at(), &mut Problems::new()).unwrap();
        let metrics = Metrics::new();
        let store =
            Arc::new(Store::open_manual(disk.sub("store"), settings, clock.clone(), &metrics).unwrap());
        let alerts = open(text, &store, &disk, &clock, &metrics);
        Self { clock, disk, sim, store, metrics, written: 0, text: text.to_owned(), alerts, told: Vec::new() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends the process as a kill would, and starts it again on the same files.
    pub(super) fn restart(&mut self) {
        self.alerts = open(&self.text, &self.store, &self.disk, &self.clock, &self.metrics);
    }

    /// Writes records with these messages, said so many seconds ago.
    pub(super) fn say(&mut self, count: u64, ago: u64, fields: &[(&str, &str)]) {
        let fields: Vec<(&str, Value)> =
            fields.iter().map(|(name, value)| (*name, Value::from(*value))).collect();
        self.say_values(count, ago, &fields);
    }

    pub(super) fn say_values(&mut self, count: u64, ago: u64, fields: &[(&str, Value)]) {
        let mut batch = Batch::new();
        let time = self.now().saturating_sub(Duration::from_secs(ago));
        for _ in 0..count {
            let at = self.written;
            self.written += 1;
            batch.push(&Record {
                timestamp: time.saturating_add(Duration::from_nanos(at)),
                observed: self.now(),
                source: SourceId(7),
                range: SeqRange::new(at, at + 1),
                stream: Arc::new(Stream::new([("namespace", Value::from("shop"))])),
                fields: fields
                    .iter()
                    .map(|(name, value)| ((*name).into(), value.clone()))
                    .chain([("message".into(), Value::from(format!("line {at}")))])
                    .collect(),
            });
        }
        batch.cover(SourceId(7), SeqRange::new(self.written - count, self.written));
        self.store.append(Arc::new(batch)).unwrap();
    }

    pub(super) fn errors(&mut self, count: u64, ago: u64) {
        self.say(count, ago, &[("level", "error")]);
    }

    /// Lets time pass, a second at a time; everything is delivered at once.
    pub(super) fn pass(&mut self, secs: u64) {
        for _ in 0..secs {
            self.clock.advance(Duration::from_secs(1));
            self.turn();
        }
    }

    pub(super) fn turn(&mut self) {
        let queue = self.alerts.turn().queue;
        for notification in &queue {
            let at = notification.created.to_string();
            self.told.push(format!("{} {}", &at[11..19], message::title(notification)));
        }
        self.alerts.settle(queue.into_iter().map(|one| (one.id, Fate::Delivered)).collect());
        self.alerts.write();
    }

    /// What was told since the last call.
    pub(super) fn told(&mut self) -> String {
        std::mem::take(&mut self.told).join("\n")
    }

    pub(super) fn search(&self) -> Arc<dyn Search> {
        Arc::clone(&self.store) as Arc<dyn Search>
    }
}

fn open(text: &str, store: &Arc<Store>, disk: &Arc<dyn Disk>, clock: &Clock, metrics: &Metrics) -> Alerts {
    let parts = Parts {
        search: Arc::clone(store) as Arc<dyn Search>,
        disk: disk.sub("alerts"),
        clock: clock.clone(),
        metrics: metrics.clone(),
        listen_url: "http://127.0.0.1:7280".to_owned(),
    };
    plan(text).unwrap().open(parts).unwrap()
}

/// Alerts of a world that ask something else than its store.
pub(super) fn open_over(text: &str, search: Arc<dyn Search>, world: &World) -> Alerts {
    let parts = Parts {
        search,
        disk: world.disk.sub("alerts"),
        clock: world.clock.clone(),
        metrics: Metrics::new(),
        listen_url: "http://127.0.0.1:7280".to_owned(),
    };
    plan(text).unwrap().open(parts).unwrap()
}

/// A receiver that is away for a while.
pub(super) struct Away {
    pub(super) until: tokio::time::Instant,
    pub(super) told: Arc<parking_lot::Mutex<Vec<Notification>>>,
    pub(super) asked: Arc<std::sync::atomic::AtomicUsize>,
}

impl Notify for Away {
    fn notify<'a>(&'a self, notification: &'a Notification) -> Promise<'a, Answer> {
        Box::pin(async move {
            self.asked.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
            if tokio::time::Instant::now() < self.until {
                return Answer::failed("unreachable", "connection refused");
            }
            self.told.lock().push(notification.clone());
            Answer::done(1)
        })
    }
}

/// The notifiers of a test by name.
pub(super) fn receivers(name: &str, notify: impl Notify + 'static) -> BTreeMap<String, Box<dyn Notify>> {
    BTreeMap::from([(name.to_owned(), Box::new(notify) as Box<dyn Notify>)])
}
