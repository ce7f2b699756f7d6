//! The outputs and their targets; `kafka` is in `real_oracle`, because its target is a program of the system.
//!
//! Owns: the table of them at the end.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sawyer_telemetry::Clock;
use sawyer_testkit::Dice;
use sawyer_testkit::cloudwatch::Logs;
use sawyer_testkit::elasticsearch::Cluster;
use sawyer_testkit::loki::Loki;
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::Value;

use crate::harness::Sawyer;
use crate::pass_on::pass_on;
use crate::sending::{Sent, disk_is_full, power_fails};

/// Runs for each target. Each has several losses of power.
const SEEDS: u64 = 12;

/// Settings of outputs with a courier.
const COURIER: &str = "batch_age_max: 5ms, retry_pause_max: 100ms, batch_records_max: 40";

const BUFFER: &str = ", buffer: {bytes_max: 1MiB}";

/// Names the file that standard output goes to, for the process whose it is.
const STDOUT: &str = "SAWYER_TEST_STDOUT";

/// Takes lines and says so. Where there is a file that says that it is away it ends; and it ends now and then when it has
/// taken one and not said so.
const PROGRAM: &str = r#"n=0
while IFS= read -r line; do
    if [ -e "$2" ]; then exit 1; fi
    printf '%s\n' "$line" >> "$1"
    n=$((n + 1))
    if [ $n -ge 150 ]; then exit 1; fi
    echo ok
done"#;

fn tally(numbers: impl Iterator<Item = u64>) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    numbers.for_each(|number| *times.entry(number).or_default() += 1);
    times
}

fn number(record: &str) -> u64 {
    serde_json::from_str::<Value>(record).unwrap()["number"].as_u64().unwrap()
}

/// A target that speaks HTTP, on whose way one request of three goes wrong, half of them after it was taken.
fn behind_http(
    seed: u64,
    settings: &str,
    take: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    arrived: impl Fn() -> BTreeMap<u64, usize> + Send + Sync + 'static,
    once: bool,
) -> Sent {
    let dice = Mutex::new(Dice::new(seed));
    let there = Arc::new(AtomicBool::new(true));
    let is_there = Arc::clone(&there);
    let peer = Peer::start(move |_, request| match dice.lock().unwrap().below(6) {
        _ if !is_there.load(Ordering::SeqCst) => Play::HangUp,
        0 => Play::HangUp,
        1 => {
            drop(take(request));
            Play::HangUp
        }
        _ => Play::Answer(take(request)),
    });
    let settings = format!("{}, {COURIER}", settings.replace("URL", &peer.url()));
    let set_there = Box::new(move |now| {
        let _lives = &peer;
        there.store(now, Ordering::SeqCst);
    });
    Sent { settings, arrived: Box::new(arrived), set_there, once }
}

fn bulk(seed: u64, kind: &str) -> Sent {
    let cluster = Cluster::default();
    let there = cluster.clone();
    let arrived = move || {
        tally(cluster.documents().iter().map(|(_, _, document)| document["number"].as_u64().unwrap()))
    };
    behind_http(
        seed,
        &format!("type: {kind}, endpoint: URL"),
        move |request| there.bulk(request),
        arrived,
        true,
    )
}

fn elasticsearch(seed: u64) -> Sent {
    bulk(seed, "elasticsearch")
}

fn opensearch(seed: u64) -> Sent {
    bulk(seed, "opensearch")
}

fn loki(seed: u64) -> Sent {
    let loki = Loki::default();
    let there = loki.clone();
    let arrived = move || tally(loki.lines().iter().map(|line| number(line)));
    behind_http(seed, "type: loki, endpoint: URL", move |request| there.answer(request), arrived, true)
}

fn http(seed: u64) -> Sent {
    let numbers: Arc<Mutex<Vec<u64>>> = Arc::default();
    let there = Arc::clone(&numbers);
    let take = move |request: &Received| {
        let text = String::from_utf8(request.plain_body()).unwrap();
        there.lock().unwrap().extend(text.lines().map(number));
        Reply::new(200, "")
    };
    let arrived = move || tally(numbers.lock().unwrap().iter().copied());
    behind_http(seed, "type: http, url: URL", take, arrived, false)
}

fn cloudwatch_logs(seed: u64) -> Sent {
    let logs = Logs::new(|| Clock::system().now().millis());
    let there = logs.clone();
    let settings = "type: cloudwatch_logs, endpoint: URL, region: eu-west-1, group: all, \
                    auth: {type: aws, access_key_id: AKID, secret_access_key: key}";
    let arrived = move || {
        let streams = logs.group("all").map(|group| group.streams).unwrap_or_default();
        tally(streams.values().flatten().map(|(_, message)| number(message)))
    };
    behind_http(seed, settings, move |request| there.answer(request), arrived, false)
}

/// Another Sawyer in a process of its own, which the requests reach by a proxy.
fn native(seed: u64) -> Sent {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = "inputs: {sawyer: {tokens: [sesame]}}\noutputs: {store: }\n";
    fs::write(folder.path().join("server.yaml"), config).unwrap();
    let server = Sawyer::start("server", &["--config", &path("server.yaml"), "--data", &path("data")]);
    let address = server.address;
    let server = Mutex::new((folder, server, BTreeMap::new()));
    let changed = Arc::new(AtomicBool::new(false));
    let takes = Arc::clone(&changed);
    let settings =
        "type: sawyer, endpoint: 'http://server.invalid', proxy: URL, token: sesame, batch_max: 1KiB";
    let take = move |request: &Received| {
        let reply = pass_on(address, request);
        takes.store(true, Ordering::Release);
        reply
    };
    let arrived = move || {
        let mut server = server.lock().unwrap();
        let (_, running, seen) = &mut *server;
        if changed.swap(false, Ordering::AcqRel) {
            let records = running.all("namespace: shop");
            *seen = tally(records.iter().map(|record| record["number"].as_u64().unwrap()));
        }
        seen.clone()
    };
    behind_http(seed, settings, take, arrived, true)
}

/// Whole lines of a file.
fn lines_of(file: &std::path::Path) -> BTreeMap<u64, usize> {
    let text = fs::read_to_string(file).unwrap();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    // What the test's own frame says may stand before it.
    tally(whole.filter_map(|line| Some(number(&line[line.find('{')?..]))))
}

fn exec(_: u64) -> Sent {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (out, away) = (path("out.jsonl"), path("away"));
    fs::write(&out, "").unwrap();
    fs::write(path("take.sh"), PROGRAM).unwrap();
    let settings = format!(
        "type: exec, command: [sh, '{}', '{}', '{}'], acknowledge: answered",
        path("take.sh").display(),
        out.display(),
        away.display()
    );
    let set_there = Box::new(move |there| {
        let _lives = &folder;
        if there { fs::remove_file(&away).unwrap() } else { fs::write(&away, "").unwrap() }
    });
    Sent { settings, arrived: Box::new(move || lines_of(&out)), set_there, once: false }
}

/// Standard output of this process.
fn standard_output(_: u64) -> Sent {
    let out = std::path::PathBuf::from(std::env::var_os(STDOUT).unwrap());
    fs::write(&out, "").unwrap();
    let arrived = Box::new(move || lines_of(&out));
    Sent { settings: "type: stdout".to_owned(), arrived, set_there: Box::new(|_| {}), once: false }
}

#[test]
fn every_line_reaches_elasticsearch_once_through_losses_of_power() {
    power_fails(SEEDS, BUFFER, elasticsearch);
}

#[test]
fn every_line_reaches_opensearch_once_through_losses_of_power() {
    power_fails(SEEDS, BUFFER, opensearch);
}

#[test]
fn every_line_reaches_loki_once_through_losses_of_power() {
    power_fails(SEEDS, BUFFER, loki);
}

#[test]
fn every_line_reaches_a_server_through_losses_of_power() {
    power_fails(SEEDS, BUFFER, http);
}

#[test]
fn every_line_reaches_cloudwatch_logs_through_losses_of_power() {
    power_fails(SEEDS, BUFFER, cloudwatch_logs);
}

#[test]
fn every_line_reaches_another_sawyer_once_through_losses_of_power() {
    power_fails(SEEDS, BUFFER, native);
}

#[test]
fn every_line_reaches_a_program_through_losses_of_power() {
    power_fails(SEEDS, BUFFER, exec);
}

/// In a process of its own, whose standard output is a file.
#[test]
fn every_line_reaches_standard_output_through_losses_of_power() {
    if std::env::var_os(STDOUT).is_some() {
        return power_fails(SEEDS, "", standard_output);
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let file = fs::OpenOptions::new().create(true).append(true).open(&out).unwrap();
    let name = "outputs::every_line_reaches_standard_output_through_losses_of_power";
    let mut own = Command::new(std::env::current_exe().unwrap());
    own.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(STDOUT, &out).stdout(file);
    assert!(own.status().unwrap().success());
    assert!(fs::read_to_string(&out).unwrap().contains("\"number\""), "it was another test, or none");
}

/// Outputs with a buffer. They mostly wait, so all at once.
#[test]
fn a_full_disk_below_any_buffer_loses_nothing() {
    std::thread::scope(|threads| {
        for target in [elasticsearch, opensearch, loki, http, cloudwatch_logs, native, exec] {
            threads.spawn(move || disk_is_full(target));
        }
    });
}
