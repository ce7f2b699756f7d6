//! What the tests of outputs share: transfers to send, and what became of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_config::{Document, Problems};
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_model::{
    Ack, Batch, Error, Outcome, Record, SeqRange, SourceId, Stream, Timestamp, Transfer, Value,
};
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::stop::Stopper;
use sawyer_pipeline::{Context, Kind, Output, OutputPlan, QueueSender};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::task::JoinHandle;

/// 2026-11-20T12:00:00Z
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

/// Longest time that anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(300);

/// A record whose place in its source is `start`.
pub(crate) fn record(start: u64, message: &str) -> Record {
    let stream = [("namespace", "shop"), ("pod", "cart-1"), ("container", "app")];
    Record {
        timestamp: NOW,
        observed: NOW,
        source: SourceId(7),
        range: SeqRange::new(start, start + 1),
        stream: Arc::new(Stream::new(stream.map(|(name, value)| (name, Value::from(value))))),
        fields: vec![("message".into(), Value::from(message))],
    }
}

pub(crate) fn batch_of(records: &[Record]) -> Batch {
    records.iter().collect()
}

/// A batch with `count` records from `start` on, which say their places.
pub(crate) fn numbered(start: u64, count: u64) -> Batch {
    let records: Vec<Record> = (start..start + count).map(|at| record(at, &format!("line {at}"))).collect();
    batch_of(&records)
}

pub(crate) fn sim() -> SimDisk {
    SimDisk::new(1, SimSettings::default())
}

/// What an output named `out` is given.
pub(crate) fn context(state: &SimDisk) -> Context {
    Context {
        name: "out".into(),
        clock: Clock::manual(NOW),
        metrics: Metrics::new(),
        state: Arc::new(state.clone()) as Arc<dyn Disk>,
        host_root: None,
        ports: sawyer_pipeline::Ports::default(),
        health: Health::new(),
        buffer: None,
    }
}

/// What a configuration says is wrong, or the plan.
pub(crate) fn plan(kind: &Kind<Box<dyn OutputPlan>>, settings: &str) -> Result<Box<dyn OutputPlan>, String> {
    let document = Document::parse("sawyer.yaml", settings).unwrap();
    let mut problems = Problems::new();
    let plan = (kind.read)(&document.at(), &mut problems);
    problems.into_result(plan).map_err(|problems| problems.to_string())
}

/// An output that runs.
pub(crate) struct Bench {
    pub(crate) context: Context,
    outcomes: Arc<Mutex<BTreeMap<u64, Outcome>>>,
    sender: Option<QueueSender>,
    stopper: Stopper,
    running: JoinHandle<Result<(), Error>>,
    sent: u64,
}

impl Bench {
    pub(crate) fn start(output: Box<dyn Output>, context: Context) -> Self {
        let (sender, receiver) = queue(64 << 20);
        let (stopper, stop) = Stopper::new();
        let running = tokio::spawn(output.run(receiver, stop));
        Self { context, outcomes: Arc::default(), sender: Some(sender), stopper, running, sent: 0 }
    }

    /// Sends a batch; gives its number.
    pub(crate) async fn send(&mut self, batch: Batch) -> u64 {
        let number = self.sent;
        self.sent += 1;
        let outcomes = Arc::clone(&self.outcomes);
        let ack = Ack::new(move |outcome| {
            assert!(outcomes.lock().insert(number, outcome).is_none(), "an outcome is told once");
        });
        let sent = self.sender.as_ref().unwrap().send(Transfer { batch: Arc::new(batch), ack }).await;
        // An output that has ended takes nothing; then the outcome was told.
        let _ = sent;
        number
    }

    /// What became of a transfer, so far.
    pub(crate) fn outcome(&self, number: u64) -> Option<Outcome> {
        self.outcomes.lock().get(&number).copied()
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(tokio::time::Instant::now() < deadline, "waited too long until {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Sends a batch and waits until it is acknowledged.
    pub(crate) async fn deliver(&mut self, batch: Batch) {
        let number = self.send(batch).await;
        self.until("it is delivered", |bench| bench.outcome(number) == Some(Outcome::Durable)).await;
    }

    /// Closes the queue, and waits until the output has delivered what is left. Every transfer has an outcome then.
    pub(crate) async fn drain(mut self) -> (Result<(), Error>, Vec<Outcome>) {
        self.sender = None;
        self.ended().await
    }

    /// Says that the time for draining is over.
    pub(crate) async fn give_up(mut self) -> (Result<(), Error>, Vec<Outcome>) {
        self.sender = None;
        self.stopper.stop();
        self.ended().await
    }

    async fn ended(self) -> (Result<(), Error>, Vec<Outcome>) {
        let ended = tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
        // What was under way on another thread is let go of a moment later.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.outcomes.lock().len() < self.sent as usize {
            assert!(tokio::time::Instant::now() < deadline, "a transfer was forgotten");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let outcomes = self.outcomes.lock().values().copied().collect();
        (ended, outcomes)
    }

    /// The sum of a counter.
    pub(crate) fn count(&self, name: &str) -> i64 {
        self.context.metrics.numbers(name).iter().map(|(_, number)| number).sum()
    }
}
