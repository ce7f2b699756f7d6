//! Loss of power anywhere on the whole write path: container files on one side, and offsets, write-ahead log,
//! segments and catalogue on one simulated disk on the other. Between them run the real input, pipeline and output.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;
mod outputs;
#[path = "../oracle/pass_on.rs"]
mod pass_on;
mod sending;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_config::{Document, Problems, Setting};
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_input::PushHub;
use sawyer_model::Timestamp;
use sawyer_output::store::{self, StoreHandle};
use sawyer_pipeline::{Kinds, Resources, Stopper, Topology, TopologyPlan, steps};
use sawyer_query::Predicate;
use sawyer_query::search::{Budget, Order, Search, SearchRequest, Selection};
use sawyer_store::{Store, StoreSettings};
use sawyer_telemetry::{Clock, Health, Metrics};
use sawyer_testkit::Dice;
use sending::node::Node;
use sending::{LIVES, SOON};

/// Runs with other choices of what is lost. Each has several losses.
const SEEDS: u64 = 100;

const CONFIG: &str = "
inputs: {containers: {on_host: true}}
outputs: {store: }
";

/// A process: a store and a topology over one disk. `None` if the power failed while it started.
struct Life {
    store: Arc<Store>,
    topology: Topology,
}

fn start(disk: &SimDisk, root: &Path) -> Option<Life> {
    let whole: Arc<dyn Disk> = Arc::new(disk.clone());
    let (clock, metrics) = (Clock::system(), Metrics::new());
    let mut problems = Problems::new();
    let section = Document::parse("store", "{seal_interval: 20ms, memory_max: 1MiB}").unwrap();
    let plan =
        StoreSettings::read(&section.at(), &mut problems).and_then(|s| s.check(&section.at(), &mut problems));
    let plan = problems.into_result(plan).unwrap();
    let store = Arc::new(Store::open(whole.sub("store"), plan, clock.clone(), &metrics).ok()?);
    let handle = StoreHandle::new();
    handle.set(Arc::clone(&store)).unwrap();
    let kinds = Kinds {
        inputs: sawyer_input::kinds(&PushHub::new()),
        steps: steps::kinds(),
        outputs: vec![store::kind(handle)],
    };
    let (config, nothing) =
        (Document::parse("config", CONFIG).unwrap(), Document::parse("none", "").unwrap());
    let mut problems = Problems::new();
    let plan = TopologyPlan::read(&config.at(), &nothing.at(), &kinds, &mut problems);
    let resources = Resources {
        clock,
        metrics,
        state: whole.sub("state"),
        host_root: Some(root.to_owned()),
        ports: sawyer_pipeline::Ports::default(),
        health: Health::new(),
    };
    let topology = problems.into_result(plan).unwrap().open(&resources).ok()?;
    Some(Life { store, topology })
}

fn count(store: &Store) -> u64 {
    let all = Selection { predicate: Predicate::All, start: Timestamp::MIN, end: Timestamp::MAX };
    store.count(&all, &Budget::unlimited()).map_or(0, |(count, _)| count)
}

/// Runs until `done`, then pulls the plug: nothing is drained.
async fn run(life: Life, done: impl Fn(&Store) -> bool) -> Arc<Store> {
    let Life { store, topology } = life;
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(async move { topology.run(stop, Duration::ZERO).await });
    let deadline = Instant::now() + SOON;
    while !done(&store) {
        assert!(Instant::now() < deadline, "{} records, and nothing more happens", count(&store));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stopper.stop();
    // What the parts say about a disk without power is not of interest.
    let _ = running.await.unwrap();
    store
}

async fn one(seed: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::new(folder.path());
    let mut dice = Dice::new(seed);
    let mut disk = SimDisk::new(seed, SimSettings::default());
    let mut losses = 0;
    for _ in 1..LIVES {
        node.write(&mut dice);
        disk.cut_power_at(disk.counts().operations + 1 + dice.below(60));
        if let Some(life) = start(&disk, &node.root) {
            let written = node.written;
            let dark = disk.clone();
            let store = run(life, |store| !dark.has_power() || count(store) == written).await;
            store.close();
        }
        losses += u64::from(!disk.has_power());
        disk = disk.power_loss();
    }
    node.write(&mut dice);
    let life = start(&disk, &node.root).expect("the power is back");
    let wanted = node.written;
    let store = run(life, |store| count(store) >= wanted).await;
    check(&store, wanted, seed);
    losses
}

/// Every number is there, and once.
fn check(store: &Store, wanted: u64, seed: u64) {
    let request = SearchRequest {
        selection: Selection { predicate: Predicate::All, start: Timestamp::MIN, end: Timestamp::MAX },
        order: Order::OldestFirst,
        limit: usize::try_from(wanted).unwrap() * 2,
        after: None,
        original: true,
    };
    let page = store.search(&request, &Budget::unlimited()).unwrap();
    let mut numbers: BTreeMap<i64, u32> = BTreeMap::new();
    for record in page.records.iter() {
        let Some(sawyer_model::ValueRef::Int(number)) = record.get("number") else { panic!("{record:?}") };
        *numbers.entry(number).or_default() += 1;
    }
    let doubled: Vec<_> = numbers.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "seed {seed}: doubled {doubled:?}");
    let missing: Vec<_> = (0..wanted as i64).filter(|number| !numbers.contains_key(number)).collect();
    assert!(missing.is_empty(), "seed {seed}: missing {missing:?}");
}

#[test]
fn every_line_is_stored_once_through_losses_of_power() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let losses: u64 = (0..SEEDS).map(|seed| runtime.block_on(one(seed))).sum();
    assert!(losses > SEEDS, "the power failed only {losses} times: the test has lost its teeth");
}
