//! The way of records through a topology with the real steps and outputs: what an input reads is parsed, stored,
//! written to a file, and acknowledged.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::sync::{Arc, mpsc};
use std::time::Duration;

use sawyer_config::{Document, Problems, Setting, Settings, settings};
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_model::{
    Ack, Batch, Error, NameId, Outcome, RecordHead, SeqRange, SourceId, Stream, Timestamp, Value, ValueRef,
};
use sawyer_output::store::{self, StoreHandle};
use sawyer_pipeline::stop::{Stop, Stopper};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Kinds, Outlet, Resources, Running, TopologyPlan};
use sawyer_query::search::{Budget, Search, Selection};
use sawyer_query::{Context as QueryContext, kql};
use sawyer_store::{Store, StorePlan};
use sawyer_telemetry::{Clock, Health, Metrics};

const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

settings! {
    /// Says lines.
    pub struct SaySettings {
        /// The lines.
        pub lines: Vec<String>,
    }
}

/// Says each line in a transfer of its own.
#[derive(Debug)]
struct Say(Vec<String>, mpsc::Sender<Outcome>);

impl InputPlan for Say {
    fn open(self: Box<Self>, _: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(self)
    }
}

impl Input for Say {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            for (at, line) in self.0.iter().enumerate() {
                let told = self.1.clone();
                let ack = Ack::new(move |outcome| told.send(outcome).unwrap());
                to.send(batch(at as u64, line), ack).await.unwrap();
            }
            stop.stopped().await;
            Ok(())
        })
    }
}

fn batch(at: u64, line: &str) -> Batch {
    let mut batch = Batch::new();
    let stream = Stream::new([("namespace", Value::from("shop")), ("pod", Value::from("cart-1"))]);
    let stream = batch.add_stream(&Arc::new(stream));
    let range = SeqRange::new(at, at + 1);
    let head = RecordHead {
        timestamp: NOW.saturating_sub(Duration::from_secs(1)),
        observed: NOW,
        source: SourceId(1),
        range,
    };
    batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(line));
    batch
}

fn kinds(store: &StoreHandle, told: mpsc::Sender<Outcome>) -> Kinds {
    let say = Kind::<Box<dyn InputPlan>> {
        name: "say",
        reference: SaySettings::reference,
        read: Box::new(move |at, problems| {
            Some(Box::new(Say(SaySettings::read(at, problems)?.lines, told.clone())))
        }),
    };
    Kinds {
        inputs: vec![say],
        steps: sawyer_pipeline::steps::kinds(),
        outputs: [vec![store::kind(store.clone())], sawyer_output::kinds()].into_iter().flatten().collect(),
    }
}

fn plan(text: &str, kinds: &Kinds) -> Result<TopologyPlan, Problems> {
    let (document, nothing) = (Document::parse("sawyer.yaml", text)?, Document::parse("defaults", "")?);
    let mut problems = Problems::new();
    let plan = TopologyPlan::read(&document.at(), &nothing.at(), kinds, &mut problems);
    problems.into_result(plan)
}

fn count(store: &Store, query: &str) -> u64 {
    let predicate = kql::compile(query, &QueryContext::default()).unwrap();
    let selection = Selection { predicate, start: Timestamp::MIN, end: Timestamp::MAX };
    store.count(&selection, &Budget::unlimited()).unwrap().0
}

/// Runs a configuration until everything said is settled; gives what became of each line.
async fn run(text: &str, store: &Arc<Store>, lines: usize) -> Vec<Outcome> {
    let handle = StoreHandle::new();
    let (told, outcomes) = mpsc::channel();
    let plan = plan(text, &kinds(&handle, told)).unwrap();
    handle.set(Arc::clone(store)).unwrap();
    let resources = Resources {
        clock: Clock::manual(NOW),
        metrics: Metrics::new(),
        state: Arc::new(SimDisk::new(1, SimSettings::default())),
        host_root: None,
        ports: sawyer_pipeline::Ports::default(),
        health: Health::new(),
    };
    let topology = plan.open(&resources).unwrap();
    let (stopper, stop) = Stopper::new();
    let settled = tokio::task::spawn_blocking(move || {
        let wait = Duration::from_secs(60);
        let settled: Vec<Outcome> = (0..lines).map(|_| outcomes.recv_timeout(wait).unwrap()).collect();
        stopper.stop();
        settled
    });
    topology.run(stop, Duration::from_secs(10)).await.unwrap();
    settled.await.unwrap()
}

fn store() -> Arc<Store> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1, SimSettings::default()));
    Arc::new(Store::open(disk, StorePlan::default(), Clock::manual(NOW), &Metrics::new()).unwrap())
}

#[tokio::test]
async fn lines_are_parsed_stored_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.ndjson");
    let text = format!(
        r#"
inputs:
  say:
    lines:
    - '{{"level":"ERROR","msg":"no stock","namespace":"prod","order":42}}'
    - 'level=debug msg="cache miss" key=a'
    - 'plain'
outputs:
  store:
  file: {{path: {}}}
"#,
        path.display()
    );
    let store = store();
    assert_eq!(run(&text, &store, 3).await, [Outcome::Durable; 3]);
    assert_eq!(count(&store, "level: error and order: 42 and namespace: shop"), 1);
    assert_eq!(count(&store, "body.namespace: prod"), 1);
    assert_eq!(count(&store, "key: a and \"cache miss\""), 1);
    assert_eq!(count(&store, ""), 3);
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.lines().count(), 3);
    assert!(written.contains(r#""message":"no stock""#), "{written}");
}

#[tokio::test]
async fn dropped_records_are_accounted_for() {
    let text = "
inputs: {say: {lines: [level=debug a=1, level=info a=2, level=error a=3, a=4 b=5 c=6]}}
outputs: {store: }
pipelines:
  main:
    steps:
    - parse
    - drop: {when: 'level: debug'}
    - keep: {when: 'level: * or b: 5'}
    - exec: {command: [sed, -u, 's/.*error.*/null/'], when: 'level: *'}
";
    let store = store();
    assert_eq!(run(text, &store, 4).await, [Outcome::Durable; 4]);
    assert_eq!(count(&store, ""), 2);
    // All of it again, with nothing dropped: the store has taken these parts of the source.
    let text = "inputs: {say: {lines: [level=debug a=1, level=info a=2]}}\noutputs: {store: }";
    assert_eq!(run(text, &store, 2).await, [Outcome::Durable; 2]);
    assert_eq!(count(&store, ""), 2);
}
