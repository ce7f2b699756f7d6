//! What is sent to others through what becomes of a node's disk: between the files and the target lie offsets and a buffer
//! on one simulated disk, which loses what was not synced, or is full. The target keeps its power.
//!
//! Does not own: the targets ([`Sent`] says how they are used).

#[path = "node.rs"]
pub(crate) mod node;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_config::{Document, Problems};
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_input::PushHub;
use sawyer_pipeline::{Kinds, Resources, Stopper, Topology, TopologyPlan, steps};
use sawyer_telemetry::{Clock, Health, Metrics};
use sawyer_testkit::Dice;

use node::Node;

/// Starts of the process in one run; the power fails in all but the last one.
pub(crate) const LIVES: u64 = 4;

/// Longest wait for anything that is to happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The disk that is full: less than the lines, and less than the bound of a buffer.
const DISK_BYTES: u64 = 256 << 10;

/// How much is written there, as many times as before each start, and letters of a line.
const WRITES: u64 = 16;
const LETTERS: usize = 400;

/// Pause between two writes, so that they come one after the other.
const BIT_PAUSE: Duration = Duration::from_millis(50);

/// A target and how often each number arrived there.
pub(crate) struct Sent {
    /// The settings of its output, as in a flow mapping; without the buffer's.
    pub(crate) settings: String,
    pub(crate) arrived: Box<dyn Fn() -> BTreeMap<u64, usize> + Send + Sync>,
    /// Lets it be there, or away.
    pub(crate) set_there: Box<dyn Fn(bool) + Send + Sync>,
    /// It knows ids, or drops what it has.
    pub(crate) once: bool,
}

/// A process with an output.
struct Sending {
    topology: Topology,
    metrics: Metrics,
}

fn start(disk: &SimDisk, root: &Path, sent: &Sent, buffer: &str) -> Option<Sending> {
    let whole: Arc<dyn Disk> = Arc::new(disk.clone());
    let kinds = Kinds {
        inputs: sawyer_input::kinds(&PushHub::new()),
        steps: steps::kinds(),
        outputs: sawyer_output::kinds(),
    };
    let config = format!(
        "inputs: {{containers: {{on_host: true}}}}\noutputs: {{out: {{{}{buffer}}}}}\n",
        sent.settings
    );
    let (config, nothing) =
        (Document::parse("config", &config).unwrap(), Document::parse("none", "").unwrap());
    let mut problems = Problems::new();
    let plan = TopologyPlan::read(&config.at(), &nothing.at(), &kinds, &mut problems);
    let metrics = Metrics::new();
    let resources = Resources {
        clock: Clock::system(),
        metrics: metrics.clone(),
        state: whole.sub("state"),
        host_root: Some(root.to_owned()),
        ports: sawyer_pipeline::Ports::default(),
        health: Health::new(),
    };
    let plan = problems.into_result(plan).unwrap_or_else(|problems| panic!("{problems}"));
    Some(Sending { topology: plan.open(&resources).ok()?, metrics })
}

/// Runs until `done`, then pulls the plug: nothing is drained.
async fn run_until(sending: Sending, sent: &Sent, done: impl AsyncFn(&Metrics) -> bool) {
    let Sending { topology, metrics } = sending;
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(async move { topology.run(stop, Duration::ZERO).await });
    let deadline = Instant::now() + SOON * 2;
    while !done(&metrics).await {
        if Instant::now() >= deadline {
            let text = metrics.text();
            let of_buffer = text.lines().filter(|line| line.starts_with("sawyer_buffer_"));
            let told = of_buffer.collect::<Vec<_>>().join("\n");
            panic!("{}: {} records, and nothing more\n{told}", sent.settings, (sent.arrived)().len());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stopper.stop();
    // What the parts say about a disk without power is not of interest.
    let _ = running.await.unwrap();
}

/// Every number is there, and once where the target can tell. Gives how many came again.
fn check(sent: &Sent, wanted: u64, seed: u64) -> usize {
    let times = (sent.arrived)();
    let missing: Vec<u64> = (0..wanted).filter(|number| !times.contains_key(number)).collect();
    assert!(missing.is_empty() && times.len() as u64 == wanted, "seed {seed}: missing {missing:?}");
    let again = times.values().sum::<usize>() - times.len();
    assert!(!sent.once || again == 0, "seed {seed}: {again} records are there twice");
    again
}

/// Gives the losses of power, and how many records came again.
async fn through_losses(seed: u64, sent: &Sent, buffer: &str) -> (u64, usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::new(folder.path());
    let mut dice = Dice::new(seed);
    let mut disk = SimDisk::new(seed, SimSettings::default());
    let mut losses = 0;
    for _ in 1..LIVES {
        node.write(&mut dice);
        disk.cut_power_at(disk.counts().operations + 1 + dice.below(30));
        if let Some(sending) = start(&disk, &node.root, sent, buffer) {
            let (dark, written) = (disk.clone(), node.written);
            let done = async |_: &_| !dark.has_power() || (sent.arrived)().len() as u64 == written;
            run_until(sending, sent, done).await;
        }
        losses += u64::from(!disk.has_power());
        disk = disk.power_loss();
    }
    node.write(&mut dice);
    let sending = start(&disk, &node.root, sent, buffer).expect("the power is back");
    run_until(sending, sent, async |_| (sent.arrived)().len() as u64 == node.written).await;
    (losses, check(sent, node.written, seed))
}

/// Runs with so many seeds, in each of which the power fails at several places.
#[allow(clippy::print_stderr, reason = "how much came again is of interest")]
pub(crate) fn power_fails(seeds: u64, buffer: &str, target: fn(u64) -> Sent) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut losses, mut again) = (0, 0);
    for seed in 0..seeds {
        let (more, repeated) = runtime.block_on(through_losses(seed, &target(seed), buffer));
        losses += more;
        again += repeated;
    }
    eprintln!("{losses} losses of power in {seeds} runs; {again} records came again");
    assert!(losses >= seeds, "the power failed only {losses} times: the test has lost its teeth");
}

fn total(metrics: &Metrics, name: &str) -> i64 {
    metrics.numbers(name).iter().map(|(_, number)| number).sum()
}

/// The target is away until the disk is full. It stays so through a loss of power, and offsets cannot be written
/// either; then the target is back. What is there at once is more than the disk has space for, so that nothing is in the
/// buffer then; what comes `bit_by_bit` fills it.
async fn through_a_full_disk(seed: u64, bit_by_bit: bool, sent: &Sent) {
    let folder = tempfile::tempdir().unwrap();
    let node = RefCell::new(Node::with_letters(folder.path(), LETTERS));
    let dice = RefCell::new(Dice::new(seed));
    let write = || node.borrow_mut().write(&mut dice.borrow_mut());
    let disk = SimDisk::new(seed, SimSettings { capacity_bytes: DISK_BYTES, ..SimSettings::default() });
    let buffer = ", buffer: {bytes_max: 4MiB}";
    let is_full = |metrics: &Metrics| total(metrics, "sawyer_buffer_disk_full") > 0;
    let held = |metrics: &Metrics| total(metrics, "sawyer_buffer_held_entries");
    (sent.set_there)(false);
    if !bit_by_bit {
        (0..WRITES).for_each(|_| write());
    }
    let fills = async |metrics: &Metrics| {
        // More at once than the disk has space for would never be in the buffer.
        if bit_by_bit && total(metrics, "sawyer_input_lines") as u64 == node.borrow().written {
            write();
            tokio::time::sleep(BIT_PAUSE).await;
        }
        is_full(metrics) && (!bit_by_bit || held(metrics) > 1)
    };
    run_until(start(&disk, folder.path(), sent, buffer).unwrap(), sent, fills).await;
    let disk = disk.power_loss();
    let sending = start(&disk, folder.path(), sent, buffer);
    write();
    let written = node.borrow().written;
    let was_full = Cell::new(false);
    let all = async |metrics: &Metrics| {
        if !was_full.get() && is_full(metrics) {
            was_full.set(true);
            assert!(((sent.arrived)().len() as u64) < written);
            (sent.set_there)(true);
        }
        let done = was_full.get() && !is_full(metrics) && (sent.arrived)().len() as u64 == written;
        assert!(!done || total(metrics, "sawyer_buffer_shed_records") == 0);
        done
    };
    run_until(sending.expect("it starts on a full disk"), sent, all).await;
    check(sent, written, seed);
}

/// The disk below the buffer is full, with nothing in it and with much.
pub(crate) fn disk_is_full(target: fn(u64) -> Sent) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (seed, bit_by_bit) in [(1, false), (2, true)] {
        runtime.block_on(through_a_full_disk(seed, bit_by_bit, &target(seed)));
    }
}
