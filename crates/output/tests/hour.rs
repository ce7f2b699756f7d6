//! A target that is away for an hour, in virtual time: what was said in that hour waits on disk, the target is tried
//! seldom, this is told seldom, and when it is back it gets everything.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use sawyer_config::{Document, Problems};
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_model::{Ack, Batch, Outcome, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_pipeline::stop::Stopper;
use sawyer_pipeline::{Resources, TopologyPlan};
use sawyer_telemetry::{Clock, Health, Metrics};
use sawyer_testkit::elasticsearch::Cluster;
use sawyer_testkit::peer::{Manner, Peer, Play, Received, Reply};

#[path = "harness/say.rs"]
mod say;
#[path = "harness/told.rs"]
mod told;

use say::kinds;
use told::Told;

const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

/// Records that are said each minute.
const EACH_MINUTE: u64 = 10;

/// The longest pause between two tries, as it is unless something else is set.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Real time in which the machine does what a moment of virtual time brings about.
const REAL: Duration = Duration::from_millis(2);

fn batch(minute: u64) -> Batch {
    let stream = [("namespace", "shop"), ("pod", "cart-1"), ("container", "app")];
    let stream = Arc::new(Stream::new(stream.map(|(name, value)| (name, Value::from(value)))));
    let first = minute * EACH_MINUTE;
    let record = |number: u64| Record {
        timestamp: NOW.saturating_add(Duration::from_millis(number)),
        observed: NOW,
        source: SourceId(7),
        range: SeqRange::new(number, number + 1),
        stream: Arc::clone(&stream),
        fields: vec![
            ("message".into(), Value::from(format!("said {number}"))),
            ("number".into(), Value::from(number.cast_signed())),
        ],
    };
    let records: Vec<Record> = (first..first + EACH_MINUTE).map(record).collect();
    records.iter().collect()
}

/// A target that is away at first.
struct Target {
    settings: String,
    address: SocketAddr,
    take: Box<dyn Fn(&Received) -> Reply + Send + Sync>,
    arrived: Box<dyn Fn() -> BTreeMap<u64, usize>>,
    /// What it has is not there twice.
    once: bool,
}

fn tally(numbers: impl Iterator<Item = u64>) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    numbers.for_each(|number| *times.entry(number).or_default() += 1);
    times
}

fn number(record: &serde_json::Value) -> u64 {
    record["number"].as_u64().unwrap()
}

/// An address of loopback that nobody else listens on while the target is away.
fn own_address(last: u8) -> SocketAddr {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let free = TcpListener::bind((Ipv4Addr::from([127, high.max(1), low, last]), 0)).unwrap();
    free.local_addr().unwrap()
}

fn elasticsearch() -> Target {
    let (cluster, address) = (Cluster::default(), own_address(1));
    let there = cluster.clone();
    Target {
        settings: format!("type: elasticsearch, endpoint: 'http://{address}'"),
        address,
        take: Box::new(move |request| there.bulk(request)),
        arrived: Box::new(move || tally(cluster.documents().iter().map(|(_, _, document)| number(document)))),
        once: true,
    }
}

fn http() -> Target {
    let (numbers, address) = (Arc::new(Mutex::new(Vec::new())), own_address(2));
    let there = Arc::clone(&numbers);
    Target {
        settings: format!("type: http, url: 'http://{address}'"),
        address,
        take: Box::new(move |request| {
            let text = String::from_utf8(request.plain_body()).unwrap();
            there
                .lock()
                .unwrap()
                .extend(text.lines().map(|line| number(&serde_json::from_str(line).unwrap())));
            Reply::new(200, "")
        }),
        arrived: Box::new(move || tally(numbers.lock().unwrap().iter().copied())),
        once: false,
    }
}

/// A process with virtual time and a simulated disk.
struct World {
    clock: Clock,
    metrics: Metrics,
    health: Health,
}

impl World {
    /// Virtual time passes, and the machine has a moment to do what that brings about.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::advance(time).await;
        let moment = tokio::task::spawn_blocking(|| {
            let (_keep, never) = mpsc::channel::<()>();
            let _ = never.recv_timeout(REAL);
        });
        moment.await.unwrap();
    }

    fn number(&self, metric: &str) -> i64 {
        self.metrics.numbers(metric).iter().map(|(_, number)| number).sum()
    }
}

/// Says something each minute; gives how often the target was tried, and the longest time between two tries.
async fn an_hour(world: &World, say: impl Fn(u64)) -> (i64, Duration) {
    let second = Duration::from_secs(1);
    let (mut tries, mut quiet, mut quiet_most) = (0, Duration::ZERO, Duration::ZERO);
    for minute in 0..60 {
        say(minute);
        for _ in 0..60 {
            world.pass(second).await;
            quiet += second;
            let tried = world.number("sawyer_delivery_requests");
            if std::mem::replace(&mut tries, tried) != tried {
                quiet_most = quiet_most.max(std::mem::take(&mut quiet));
            }
        }
    }
    (tries, quiet_most.max(quiet))
}

async fn away_for_an_hour(target: Target) {
    let told = Told::default();
    let _told = tracing::subscriber::set_default(told.clone());
    let world = World { clock: Clock::manual(NOW), metrics: Metrics::new(), health: Health::new() };
    let (say, said) = tokio::sync::mpsc::unbounded_channel();
    let config = format!(
        "inputs: {{say: }}\npipelines: {{main: {{multiline: off, mask: off, steps: []}}}}\n\
         outputs: {{out: {{{}, batch_age_max: 1s}}}}\n",
        target.settings
    );
    let (config, nothing) =
        (Document::parse("config", &config).unwrap(), Document::parse("none", "").unwrap());
    let mut problems = Problems::new();
    let plan = TopologyPlan::read(&config.at(), &nothing.at(), &kinds(said), &mut problems);
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1, SimSettings::default()));
    let resources = Resources {
        clock: world.clock.clone(),
        metrics: world.metrics.clone(),
        state: disk,
        host_root: None,
        ports: sawyer_pipeline::Ports::default(),
        health: world.health.clone(),
    };
    let topology = problems.into_result(plan).unwrap().open(&resources).unwrap();
    tokio::time::pause();
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(topology.run(stop, Duration::from_secs(60)));
    let safe = Arc::new(Mutex::new(0));
    let (tries, quiet) = an_hour(&world, |minute| {
        let safe = Arc::clone(&safe);
        let ack = Ack::new(move |outcome| *safe.lock().unwrap() += u64::from(outcome == Outcome::Durable));
        say.send((batch(minute), ack)).unwrap();
    })
    .await;
    assert_eq!(*safe.lock().unwrap(), 60, "all of it is safe in the buffer");
    let held = world.number("sawyer_buffer_held_entries");
    // Full jitter: a pause is anything up to the longest, half of it in the mean, and shorter at first.
    assert!((100..400).contains(&tries), "{tries} tries in an hour");
    assert!(quiet <= PAUSE_MAX + Duration::from_secs(5), "{quiet:?} without a try");
    let warnings = told.of("cannot deliver now; it is tried again, and nothing is lost");
    eprintln!("{tries} tries, the longest pause {quiet:?}, {} warnings, {held} entries wait", warnings.len());
    assert!(held > 0 && (1..=9).contains(&warnings.len()), "{} warnings, {held} wait", warnings.len());
    let address = target.address.to_string();
    assert!(warnings.iter().all(|warning| warning.contains(&address)), "{warnings:?}");
    assert_eq!(world.health.reasons().len(), 1, "{:?}", world.health.reasons());
    let take = target.take;
    let manner = Manner { address: target.address, ..Manner::default() };
    let peer = Peer::start_as(manner, move |_, request| Play::Answer(take(request)));
    let all = 60 * EACH_MINUTE;
    for _ in 0..6000 {
        if (target.arrived)().len() as u64 == all && world.number("sawyer_buffer_held_entries") == 0 {
            break;
        }
        world.pass(Duration::from_millis(50)).await;
    }
    let times = (target.arrived)();
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), (0..all).collect::<Vec<_>>(), "nothing is lost");
    assert!(!target.once || times.values().all(|times| *times == 1));
    assert_eq!(world.number("sawyer_buffer_held_entries"), 0, "nothing is kept for longer than it must be");
    assert_eq!(told.of("delivers again").len(), 1);
    assert_eq!(world.health.reasons(), Vec::<String>::new());
    drop((say, stopper));
    tokio::time::resume();
    running.await.unwrap().unwrap();
    drop(peer);
}

#[tokio::test]
async fn elasticsearch_gets_everything_after_an_hour_away() {
    away_for_an_hour(elasticsearch()).await;
}

#[tokio::test]
async fn a_server_gets_everything_after_an_hour_away() {
    away_for_an_hour(http()).await;
}
