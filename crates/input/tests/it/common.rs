//! A bench for inputs: a folder as the node's root, an input that really runs, and somebody who takes what it reads.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sawyer_config::{Document, Problems};
use sawyer_disk::RealDisk;
use sawyer_input::{PushHub, kinds};
use sawyer_model::{Error, Progress, Record, RecordId, SourceId, Transfer};
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::{Context, Outlet, Stopper};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::task::JoinHandle;

/// How long a condition may take to come true before a test fails.
const WAIT: Duration = Duration::from_secs(60);

/// The folder of one container.
pub(crate) const WEB: &str = "var/log/pods/shop_web-0_11111111-2222-3333-4444-555555555555/app";

/// The node, with what survives a restart of Sawyer.
pub(crate) struct Node {
    root: tempfile::TempDir,
    state: tempfile::TempDir,
    pub(crate) metrics: Metrics,
}

/// Whatever a test did to its files: of what was read, it is known what became of it.
impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_accounted(&self.metrics);
        }
    }
}

fn assert_accounted(metrics: &Metrics) {
    let open = metrics.numbers("sawyer_ledger_unaccounted_source_bytes");
    assert!(open.iter().all(|(_, bytes)| *bytes == 0), "{open:?}");
}

/// What whoever takes batches does with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taker {
    /// Makes them durable.
    Keeps,
    /// Holds on to them without a word.
    Holds,
    /// Lets go of the first so many, then keeps.
    Drops(usize),
    /// Keeps every second one, holds the others.
    KeepsEverySecond,
}

/// An input that runs.
pub(crate) struct Run {
    stopper: Stopper,
    input: JoinHandle<Result<(), Error>>,
    taking: JoinHandle<()>,
    seen: Arc<Mutex<Seen>>,
    pub(crate) hub: PushHub,
    metrics: Metrics,
}

#[derive(Default)]
struct Seen {
    records: Vec<Record>,
    held: Vec<Transfer>,
    batches: usize,
    /// What the input told with the last batch, and the batch's number.
    progress: Option<(Arc<Progress>, u64)>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
            metrics: Metrics::new(),
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// Appends to a file, which is made if need be.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    /// Compresses a file as the kubelet does: into a temporary file, renamed, and then the original is removed.
    pub(crate) fn gzip(&self, path: &str) {
        let text = fs::read(self.path(path)).unwrap();
        let temporary = self.path(&format!("{path}.tmp"));
        let file = fs::File::create(&temporary).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        encoder.finish().unwrap();
        fs::rename(temporary, self.path(&format!("{path}.gz"))).unwrap();
        self.remove(path);
    }

    pub(crate) fn start(&self, kind: &str, settings: &str, taker: Taker) -> Run {
        let hub = PushHub::new();
        let all = kinds(&hub);
        let kind = all.iter().find(|known| known.name == kind).unwrap();
        let document = Document::parse("test.yaml", settings).unwrap();
        let mut problems = Problems::new();
        let plan = (kind.read)(&document.at(), &mut problems);
        let plan = problems.into_result(plan).unwrap();
        let context = Context {
            name: "test".into(),
            clock: Clock::system(),
            metrics: self.metrics.clone(),
            state: Arc::new(RealDisk::new(self.state.path()).unwrap()),
            host_root: Some(self.root.path().to_owned()),
            ports: sawyer_pipeline::Ports::default(),
            health: Health::new(),
            buffer: None,
        };
        let input = plan.open(&context).unwrap();
        let (sender, mut receiver) = queue(8 << 20);
        let outlet = Outlet::new("test", vec![sender], &self.metrics);
        let (stopper, stop) = Stopper::new();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sees = Arc::clone(&seen);
        let taking = tokio::spawn(async move {
            while let Some(queued) = receiver.next().await {
                let (transfer, room) = queued.into_parts();
                sees.lock().unwrap().take(transfer, taker);
                drop(room);
            }
        });
        let metrics = self.metrics.clone();
        Run { stopper, input: tokio::spawn(input.run(outlet, stop)), taking, seen, hub, metrics }
    }

    /// The containers of this node, looked through often.
    pub(crate) fn containers(&self, taker: Taker) -> Run {
        self.start("containers", "sweep_interval: 200ms\nnode: n1\n", taker)
    }

    /// The value of a metric of the input.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.text();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

impl Seen {
    fn take(&mut self, transfer: Transfer, taker: Taker) {
        self.batches += 1;
        self.progress = transfer.batch.progress().map(|(progress, number)| (Arc::clone(progress), number));
        let keeps = match taker {
            Taker::Keeps => true,
            Taker::Holds => false,
            Taker::Drops(count) if self.batches <= count => return,
            Taker::Drops(_) => true,
            Taker::KeepsEverySecond => self.batches.is_multiple_of(2),
        };
        self.records.extend(transfer.batch.iter().map(sawyer_model::RecordRef::to_record));
        if keeps {
            transfer.ack.durable();
        } else {
            self.held.push(transfer);
        }
    }
}

impl Run {
    /// Waits until so many records were taken, a little longer in case there are more, and gives them.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        self.wait_for(|records| records.len() >= count, &format!("{count} records")).await;
        let settled = Instant::now() + Duration::from_millis(200);
        while Instant::now() < settled {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.seen()
    }

    pub(crate) async fn wait_for(&self, condition: impl Fn(&[Record]) -> bool, what: &str) {
        self.wait(|| condition(&self.seen.lock().unwrap().records), what).await;
    }

    pub(crate) async fn wait(&self, condition: impl Fn() -> bool, what: &str) {
        let deadline = Instant::now() + WAIT;
        while !condition() {
            if Instant::now() > deadline {
                let count = self.seen.lock().unwrap().records.len();
                panic!("no {what} within {WAIT:?}; taken so far: {count} records");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What becomes of the first batches that are held: durable, let go of, or held on to.
    pub(crate) fn settle_held(&self, fates: &[Option<bool>]) {
        let mut seen = self.seen.lock().unwrap();
        let held = std::mem::take(&mut seen.held);
        let fates = fates.iter().copied().chain(std::iter::repeat(None));
        let mut still_held = Vec::new();
        for (transfer, fate) in held.into_iter().zip(fates) {
            match fate {
                Some(true) => transfer.ack.durable(),
                Some(false) => drop(transfer),
                None => still_held.push(transfer),
            }
        }
        seen.held = still_held;
    }

    /// Lets go of the first so many batches that are held, and makes durable the others.
    pub(crate) fn drop_held(&self, count: usize) {
        let held = std::mem::take(&mut self.seen.lock().unwrap().held);
        for (at, transfer) in held.into_iter().enumerate() {
            if at >= count {
                transfer.ack.durable();
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().records.len()
    }

    pub(crate) fn seen(&self) -> Vec<Record> {
        self.seen.lock().unwrap().records.clone()
    }

    /// Whether the input says that nothing came of a source until this time, beyond what was taken.
    pub(crate) fn is_silent(&self, source: SourceId, until: Instant) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.progress.as_ref().is_some_and(|(progress, got)| progress.is_silent(source, until, *got))
    }

    /// Whether the input says that what it read should be safe soon.
    pub(crate) fn is_pressed(&self) -> bool {
        self.seen.lock().unwrap().progress.as_ref().is_some_and(|(progress, _)| progress.is_pressed())
    }

    /// Makes durable what was held.
    pub(crate) fn keep_held(&self) {
        for transfer in std::mem::take(&mut self.seen.lock().unwrap().held) {
            transfer.ack.durable();
        }
    }

    /// Makes durable what was held and has records of one source.
    pub(crate) fn keep_held_of(&self, source: SourceId) {
        let mut seen = self.seen.lock().unwrap();
        let of_source =
            |transfer: &mut Transfer| transfer.batch.iter().any(|record| record.source() == source);
        for transfer in seen.held.extract_if(.., of_source) {
            transfer.ack.durable();
        }
    }

    /// Stops the input as a process does, and gives all records. What is held is let go of unacknowledged, late
    /// enough that the input is no longer interested, and so is what it sends after that.
    pub(crate) async fn stop(mut self) -> Vec<Record> {
        // Nothing is told of it once nobody reads.
        assert_accounted(&self.metrics);
        self.stopper.stop();
        let deadline = Instant::now() + WAIT;
        let mut look = Duration::from_millis(100);
        loop {
            match tokio::time::timeout(look, &mut self.input).await {
                Ok(ended) => break ended.unwrap().unwrap(),
                Err(_) => self.seen.lock().unwrap().held.clear(),
            }
            assert!(Instant::now() < deadline, "stops in time");
            look = Duration::from_millis(20);
        }
        self.taking.await.unwrap();
        self.seen.lock().unwrap().held.clear();
        self.seen.lock().unwrap().records.clone()
    }
}

pub(crate) fn messages(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| text(record, "message")).collect()
}

/// A field as text; empty if it is not there.
pub(crate) fn text(record: &Record, name: &str) -> String {
    match record.get(name) {
        Some(sawyer_model::Value::Str(text)) => text.to_string(),
        Some(sawyer_model::Value::Int(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

pub(crate) fn id(record: &Record) -> RecordId {
    RecordId { source: record.source, start: record.range.start }
}

/// The records of several runs as a store keeps them: by their ids, the first of each.
pub(crate) fn stored<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Record> {
    let mut ids = BTreeSet::new();
    records.into_iter().filter(|record| ids.insert(id(record))).cloned().collect()
}

/// A CRI line; the number makes the time.
pub(crate) fn cri(number: u32, stream: &str, tag: &str, content: &str) -> String {
    let (minute, second) = (number / 1000 / 60 % 60, number / 1000 % 60);
    format!("2026-11-20T09:{minute:02}:{second:02}.{:03}000001Z {stream} {tag} {content}\n", number % 1000)
}

/// Many CRI lines, whose messages are the numbers.
pub(crate) fn cri_lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| cri(number, "stdout", "F", &number.to_string())).collect()
}

pub(crate) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
