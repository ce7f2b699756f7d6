//! An input with sockets that runs, for tests, and what its pipelines take.
//!
//! Invariant: only compiled for tests.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_config::{At, Document, Problems};
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{Outcome, Record, SourceId};
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::{Context, Input, Outlet, Stopper};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::task::JoinHandle;

/// Longest wait for anything that is to happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What an input took.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) records: Vec<Record>,
    /// What becomes of further batches.
    pub(crate) fate: Option<Outcome>,
}

pub(crate) struct Bench {
    pub(crate) metrics: Metrics,
    pub(crate) taken: Arc<Mutex<Taken>>,
    stopper: Stopper,
    running: JoinHandle<()>,
}

/// Settings into a plan.
pub(crate) fn plan<P>(
    read: impl FnOnce(&At<'_>, &mut Problems) -> Option<P>,
    settings: &str,
) -> Result<P, String> {
    let document = Document::parse("sawyer.yaml", settings).unwrap();
    let mut problems = Problems::new();
    let plan = read(&document.at(), &mut problems);
    problems.into_result(plan).map_err(|problems| problems.to_string())
}

pub(crate) fn context(metrics: &Metrics) -> Context {
    Context {
        name: "in".into(),
        clock: Clock::system(),
        metrics: metrics.clone(),
        state: Arc::new(SimDisk::new(1, SimSettings::default())),
        host_root: None,
        ports: sawyer_pipeline::Ports::default(),
        health: Health::new(),
        buffer: None,
    }
}

impl Bench {
    pub(crate) fn run(input: impl Input + 'static, metrics: &Metrics) -> Self {
        let (sender, mut receiver) = queue(1 << 20);
        let (stopper, stop) = Stopper::new();
        let taken = Arc::new(Mutex::new(Taken { fate: Some(Outcome::Durable), ..Taken::default() }));
        let takes = Arc::clone(&taken);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(queued) = receiver.next().await {
                let (transfer, _room) = queued.into_parts();
                let mut taken = takes.lock();
                taken.records.extend(transfer.batch.iter().map(sawyer_model::RecordRef::to_record));
                match taken.fate {
                    Some(Outcome::Durable) => transfer.ack.durable(),
                    Some(Outcome::Undelivered) => drop(transfer),
                    None => held.push(transfer),
                }
            }
        });
        let outlet = Outlet::new("in", vec![sender], metrics);
        let running = Box::new(input).run(outlet, stop);
        let running = tokio::spawn(async move { running.await.unwrap() });
        Self { metrics: metrics.clone(), taken, stopper, running }
    }

    /// Waits until there are so many records; gives the values of these fields of each.
    pub(crate) async fn wait(&self, count: usize, fields: &[&str]) -> Vec<String> {
        self.until(|taken| taken.records.len() >= count).await;
        let taken = self.taken.lock();
        assert_eq!(taken.records.len(), count, "{:?}", taken.records);
        let shown =
            |record: &Record| fields.iter().map(|name| field(record, name)).collect::<Vec<_>>().join("|");
        taken.records.iter().map(shown).collect()
    }

    pub(crate) async fn until(&self, is_so: impl Fn(&Taken) -> bool) {
        let so = async {
            while !is_so(&self.taken.lock()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, so).await;
        assert!(waited.is_ok(), "{:?}", self.taken.lock().records);
    }

    /// The sources and places of all records.
    pub(crate) fn ids(&self) -> Vec<(SourceId, u64)> {
        self.taken.lock().records.iter().map(|record| (record.source, record.range.start)).collect()
    }

    /// A counter, over all its labels.
    pub(crate) fn counted(&self, name: &str) -> i64 {
        self.metrics.numbers(name).iter().map(|(_, number)| number).sum()
    }

    pub(crate) async fn stop(self) {
        self.stopper.stop();
        tokio::time::timeout(SOON, self.running).await.unwrap().unwrap();
    }
}

fn field(record: &Record, name: &str) -> String {
    let text = |value: &sawyer_model::Value| match value.as_ref() {
        sawyer_model::ValueRef::Str(text) => text.to_owned(),
        other => format!("{other:?}"),
    };
    record.get(name).map_or("-".to_owned(), text)
}
