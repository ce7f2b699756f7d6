//! The same for what is sent to others: between the files and the target lie offsets and a buffer, on one simulated disk
//! that loses what was not synced. The target keeps its power.

//!
//! The outputs that are not here (`kafka` among them) go the same way up to their targets: files, offsets, buffer, courier.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sawyer_testkit::cloudwatch::Logs;
use sawyer_testkit::elasticsearch::Cluster;
use sawyer_testkit::loki::Loki;
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::Value;

use super::*;
use crate::harness::Sawyer;
use crate::pass_on::pass_on;

/// Runs for each target. Each has several losses of power.
const SEEDS: u64 = 12;

/// A target and how often each number arrived there.
struct Sent {
    settings: &'static str,
    take: Box<dyn Fn(&Received) -> Reply + Send + Sync>,
    arrived: Box<dyn Fn() -> BTreeMap<u64, usize> + Send + Sync>,
    /// It knows ids, or drops what it has.
    once: bool,
}

fn tally(numbers: impl Iterator<Item = u64>) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    numbers.for_each(|number| *times.entry(number).or_default() += 1);
    times
}

fn elasticsearch() -> Sent {
    let cluster = Cluster::default();
    let there = cluster.clone();
    Sent {
        settings: "type: elasticsearch, endpoint: URL",
        take: Box::new(move |request| there.bulk(request)),
        arrived: Box::new(move || {
            tally(cluster.documents().iter().map(|(_, _, document)| document["number"].as_u64().unwrap()))
        }),
        once: true,
    }
}

fn loki() -> Sent {
    let loki = Loki::default();
    let there = loki.clone();
    let number = |line: &String| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap();
    Sent {
        settings: "type: loki, endpoint: URL",
        take: Box::new(move |request| there.answer(request)),
        arrived: Box::new(move || tally(loki.lines().iter().map(number))),
        once: true,
    }
}

fn http() -> Sent {
    let numbers: Arc<Mutex<Vec<u64>>> = Arc::default();
    let there = Arc::clone(&numbers);
    Sent {
        settings: "type: http, url: URL",
        take: Box::new(move |request| {
            let text = String::from_utf8(request.plain_body()).unwrap();
            let number = |line| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap();
            there.lock().unwrap().extend(text.lines().map(number));
            Reply::new(200, "")
        }),
        arrived: Box::new(move || tally(numbers.lock().unwrap().iter().copied())),
        once: false,
    }
}

fn cloudwatch_logs() -> Sent {
    let logs = Logs::new(|| Clock::system().now().millis());
    let there = logs.clone();
    let number =
        |message: &String| serde_json::from_str::<Value>(message).unwrap()["number"].as_u64().unwrap();
    Sent {
        settings: "type: cloudwatch_logs, endpoint: URL, region: eu-west-1, group: all, \
                   auth: {type: aws, access_key_id: AKID, secret_access_key: key}",
        take: Box::new(move |request| there.answer(request)),
        arrived: Box::new(move || {
            let streams = logs.group("all").map(|group| group.streams).unwrap_or_default();
            tally(streams.values().flatten().map(|(_, message)| number(message)))
        }),
        once: false,
    }
}

/// Another Sawyer in a process of its own, which the requests reach by a proxy.
fn native() -> Sent {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = "inputs: {sawyer: {tokens: [sesame]}}\noutputs: {store: }\n";
    fs::write(folder.path().join("server.yaml"), config).unwrap();
    let server = Sawyer::start("server", &["--config", &path("server.yaml"), "--data", &path("data")]);
    let address = server.address;
    let server = Mutex::new((folder, server, BTreeMap::new()));
    let changed = Arc::new(AtomicBool::new(false));
    let takes = Arc::clone(&changed);
    Sent {
        settings: "type: sawyer, endpoint: 'http://server.invalid', proxy: URL, token: sesame, batch_max: 1KiB",
        take: Box::new(move |request| {
            let reply = pass_on(address, request);
            takes.store(true, Ordering::Release);
            reply
        }),
        arrived: Box::new(move || {
            let mut server = server.lock().unwrap();
            let (_, running, seen) = &mut *server;
            if changed.swap(false, Ordering::AcqRel) {
                let records = running.all("namespace: shop");
                *seen = tally(records.iter().map(|record| record["number"].as_u64().unwrap()));
            }
            seen.clone()
        }),
        once: true,
    }
}

/// One request of three goes wrong, half of them after it was taken.
fn serve(sent: &Arc<Sent>, seed: u64) -> Peer {
    let sent = Arc::clone(sent);
    let dice = Mutex::new(Dice(seed));
    Peer::start(move |_, request| match dice.lock().unwrap().below(6) {
        0 => Play::HangUp,
        1 => {
            drop((sent.take)(request));
            Play::HangUp
        }
        _ => Play::Answer((sent.take)(request)),
    })
}

fn start_sending(disk: &SimDisk, root: &Path, output: &str) -> Option<Topology> {
    let whole: Arc<dyn Disk> = Arc::new(disk.clone());
    let kinds = Kinds {
        inputs: sawyer_input::kinds(&PushHub::new()),
        steps: steps::kinds(),
        outputs: sawyer_output::kinds(),
    };
    let common =
        "batch_age_max: 5ms, retry_pause_max: 100ms, batch_records_max: 40, buffer: {bytes_max: 1MiB}";
    let config =
        format!("inputs: {{containers: {{on_host: true}}}}\noutputs: {{out: {{{output}, {common}}}}}\n");
    let (config, nothing) =
        (Document::parse("config", &config).unwrap(), Document::parse("none", "").unwrap());
    let mut problems = Problems::new();
    let plan = TopologyPlan::read(&config.at(), &nothing.at(), &kinds, &mut problems);
    let resources = Resources {
        clock: Clock::system(),
        metrics: Metrics::new(),
        state: whole.sub("state"),
        host_root: Some(root.to_owned()),
        ports: sawyer_pipeline::Ports::default(),
        health: Health::new(),
    };
    problems.into_result(plan).unwrap().open(&resources).ok()
}

/// Runs until `done`, then pulls the plug: nothing is drained.
async fn send_until(topology: Topology, done: impl Fn() -> bool, sent: &Sent) {
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(async move { topology.run(stop, Duration::ZERO).await });
    let deadline = Instant::now() + SOON * 2;
    while !done() {
        assert!(Instant::now() < deadline, "{} records, and nothing more happens", (sent.arrived)().len());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stopper.stop();
    // What the parts say about a disk without power is not of interest.
    let _ = running.await.unwrap();
}

/// Gives the losses of power, and how many records came again.
async fn one_sent(seed: u64, sent: Sent) -> (u64, usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::new(folder.path());
    let mut dice = Dice(seed);
    let mut disk = SimDisk::new(seed, SimSettings::default());
    let sent = Arc::new(sent);
    let peer = serve(&sent, seed);
    let output = sent.settings.replace("URL", &peer.url());
    let mut losses = 0;
    for _ in 1..LIVES {
        node.write(&mut dice);
        disk.cut_power_at(disk.counts().operations + 1 + dice.below(30));
        if let Some(topology) = start_sending(&disk, &node.root, &output) {
            let (dark, written) = (disk.clone(), node.written);
            let done = || !dark.has_power() || (sent.arrived)().len() as u64 == written;
            send_until(topology, done, &sent).await;
        }
        losses += u64::from(!disk.has_power());
        disk = disk.power_loss();
    }
    node.write(&mut dice);
    let topology = start_sending(&disk, &node.root, &output).expect("the power is back");
    send_until(topology, || (sent.arrived)().len() as u64 == node.written, &sent).await;
    let times = (sent.arrived)();
    let missing: Vec<u64> = (0..node.written).filter(|number| !times.contains_key(number)).collect();
    assert!(missing.is_empty() && times.len() as u64 == node.written, "seed {seed}: missing {missing:?}");
    let again = times.values().sum::<usize>() - times.len();
    assert!(!sent.once || again == 0, "seed {seed}: {again} records are there twice");
    (losses, again)
}

#[allow(clippy::print_stderr, reason = "how much came again is of interest")]
fn all_seeds(sent: fn() -> Sent) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut losses, mut again) = (0, 0);
    for seed in 0..SEEDS {
        let (more, repeated) = runtime.block_on(one_sent(seed, sent()));
        losses += more;
        again += repeated;
    }
    eprintln!("{losses} losses of power in {SEEDS} runs; {again} records came again");
    assert!(losses >= SEEDS, "the power failed only {losses} times: the test has lost its teeth");
}

#[test]
fn every_line_reaches_elasticsearch_once_through_losses_of_power() {
    all_seeds(elasticsearch);
}

#[test]
fn every_line_reaches_loki_once_through_losses_of_power() {
    all_seeds(loki);
}

#[test]
fn every_line_reaches_a_server_through_losses_of_power() {
    all_seeds(http);
}

#[test]
fn every_line_reaches_cloudwatch_logs_through_losses_of_power() {
    all_seeds(cloudwatch_logs);
}

#[test]
fn every_line_reaches_another_sawyer_once_through_losses_of_power() {
    all_seeds(native);
}
