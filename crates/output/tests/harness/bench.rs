//! An output that runs as in a pipeline, and records that say their numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sawyer_config::{Document, Problems};
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{
    Ack, Batch, Error, Outcome, Record, SeqRange, SourceId, Stream, Timestamp, Transfer, Value,
};
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::stop::Stopper;
use sawyer_pipeline::{Context, QueueSender};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::task::JoinHandle;

/// Longest wait for everything to be delivered.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Bench {
    sender: QueueSender,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
    running: JoinHandle<Result<(), Error>>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    _stopper: Stopper,
}

impl Bench {
    /// Starts an output of this kind.
    pub(crate) fn start(kind: &str, settings: &str) -> Self {
        Self::start_as("out", kind, settings)
    }

    /// Starts an output of this kind under a name.
    pub(crate) fn start_as(name: &str, kind: &str, settings: &str) -> Self {
        Self::start_by(Clock::system(), name, kind, settings)
    }

    /// Starts an output of this kind under a name, with this clock.
    pub(crate) fn start_by(clock: Clock, name: &str, kind: &str, settings: &str) -> Self {
        let kind = sawyer_output::kinds().into_iter().find(|known| known.name == kind).unwrap();
        let document = Document::parse("sawyer.yaml", settings).unwrap();
        let mut problems = Problems::new();
        let plan = (kind.read)(&document.at(), &mut problems);
        let plan = problems.into_result(plan).unwrap_or_else(|problems| panic!("{problems}"));
        let metrics = Metrics::new();
        let health = Health::new();
        let context = Context {
            name: name.into(),
            clock,
            metrics: metrics.clone(),
            state: Arc::new(SimDisk::new(1, SimSettings::default())),
            host_root: None,
            ports: sawyer_pipeline::Ports::default(),
            health: health.clone(),
            buffer: None,
        };
        let output = plan.open(&context).unwrap();
        let (sender, receiver) = queue(64 << 20);
        let (stopper, stop) = Stopper::new();
        let running = tokio::spawn(output.run(receiver, stop));
        Self { sender, outcomes: Arc::default(), running, metrics, health, _stopper: stopper }
    }

    pub(crate) async fn send(&self, records: &[Record]) {
        let outcomes = Arc::clone(&self.outcomes);
        let ack = Ack::new(move |outcome| outcomes.lock().unwrap().push(outcome));
        let batch: Batch = records.iter().collect();
        assert!(self.sender.send(Transfer { batch: Arc::new(batch), ack }).await.is_ok());
    }

    /// What became of the transfers so far.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.lock().unwrap().clone()
    }

    /// Waits until everything is delivered; gives what became of each transfer.
    pub(crate) async fn drain(self) -> Vec<Outcome> {
        drop(self.sender);
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
        let outcomes = self.outcomes.lock().unwrap();
        outcomes.clone()
    }
}

/// Records of a pod that say their numbers, a millisecond apart from a time on.
pub(crate) fn said(pod: &str, numbers: std::ops::Range<u64>, from: Timestamp) -> Vec<Record> {
    let stream = [("namespace", "shop"), ("pod", pod), ("container", "app")];
    let stream = Arc::new(Stream::new(stream.map(|(name, value)| (name, Value::from(value)))));
    let records = numbers.map(|at| Record {
        timestamp: from.saturating_add(Duration::from_millis(at)),
        observed: from,
        source: SourceId(pod.bytes().fold(7, |sum, byte| sum * 31 + u128::from(byte))),
        range: SeqRange::new(at, at + 1),
        stream: Arc::clone(&stream),
        fields: vec![("message".into(), Value::from(text(pod, at)))],
    });
    records.collect()
}

fn text(pod: &str, at: u64) -> String {
    format!("{pod} {at} \"결제\"")
}

/// Checks that each pod's messages are all there and in order but for repetitions; gives how many of those there are.
pub(crate) fn check(got: &BTreeMap<String, Vec<String>>, pods: &[&str], each: u64) -> usize {
    let mut again = 0;
    for pod in pods {
        let mut seen = BTreeSet::new();
        let first: Vec<&String> = got[*pod].iter().filter(|text| seen.insert(*text)).collect();
        let expected: Vec<String> = (0..each).map(|at| text(pod, at)).collect();
        assert_eq!(first.len(), expected.len(), "{pod}: all of them");
        assert!(
            first.iter().zip(&expected).all(|(first, expected)| *first == expected),
            "{pod}: in order, unchanged"
        );
        again += got[*pod].len() - first.len();
    }
    again
}
