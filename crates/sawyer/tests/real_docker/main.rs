//! Containers of a real docker engine: every line once; as root.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

#[allow(dead_code, reason = "not every test needs all programs in it")]
#[path = "../machine/busybox.rs"]
mod busybox;
#[allow(dead_code, reason = "not every daemon needs all of it")]
#[path = "../machine/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "not every test needs all of it")]
mod engine;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use busybox::Numbers;
use engine::Engine;
use harness::{AS_WRITTEN, Sawyer, pause};
use sawyer_model::Timestamp;
use serde_json::Value;

const PROGRAMS: [&str; 6] = ["dockerd", "docker", "containerd", "busybox", "unshare", "setpriv"];

fn can_run() -> bool {
    sawyer_testkit::may_use_root("a docker engine of its own") && daemon::have_programs(&PROGRAMS)
}

/// Sawyer on the containers of this engine.
fn sawyer(folder: &Path, engine: &Engine) -> Sawyer {
    let config = folder.join("sawyer.yaml");
    let docker = engine.containers.display();
    let input = format!("{{pods: null, links: null, docker: '{docker}', sweep_interval: 1s}}");
    let text = format!("inputs: {{containers: {input}}}\noutputs: {{store: }}\n{AS_WRITTEN}");
    fs::write(&config, text).unwrap();
    let data = folder.join("data");
    Sawyer::start("up", &["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()])
}

/// A line: container, stream, time, text.
type Line = (String, String, i64, String);

/// What docker's file says, read in the simplest way there is.
fn written(container: &str, log: &Path) -> Vec<Line> {
    let mut pieces: HashMap<String, (i64, String)> = HashMap::new();
    let mut lines = Vec::new();
    for row in fs::read_to_string(log).unwrap().lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let time = Timestamp::parse(&text("time")).unwrap().nanos();
        let stream = text("stream");
        let (_, line) = pieces.entry(stream.clone()).or_insert((time, String::new()));
        line.push_str(&text("log"));
        if line.ends_with('\n') {
            let (time, line) = pieces.remove(&stream).unwrap();
            lines.push((container.to_owned(), stream, time, line.trim_end_matches('\n').to_owned()));
        }
    }
    lines.sort();
    lines
}

fn found(records: &[Value]) -> Vec<Line> {
    let line = |record: &Value| {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let line = record["_original"].as_str().map_or_else(|| text("message"), str::to_owned);
        (text("container"), text("stream"), Timestamp::parse(&text("timestamp")).unwrap().nanos(), line)
    };
    let mut lines: Vec<Line> = records.iter().map(line).collect();
    lines.sort();
    lines
}

fn assert_same(found: &[Line], wanted: &[Line]) {
    let shown =
        |line: &Line| format!("{:?} {} bytes: {:.100}", (&line.0, &line.1, line.2), line.3.len(), line.3);
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(shown(found), shown(wanted));
        assert!(found == wanted, "they differ further on");
    }
    assert_eq!(found.len(), wanted.len());
}

#[test]
fn every_line_is_found_once_with_its_container_stream_and_time() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    // One before Sawyer starts, others while it runs.
    let early = engine.container("early", &[], busybox::EVERYTHING);
    engine.run(&["wait", "early"]);
    let mut sawyer = sawyer(folder.path(), &engine);
    let labels = ["--label", "app=cart", "--log-opt", "labels=app"];
    let late = engine.container("late", &labels, busybox::EVERYTHING);
    let pod = [
        "--label=io.kubernetes.pod.namespace=shop",
        "--label=io.kubernetes.pod.name=cart-1",
        "--label=io.kubernetes.container.name=app",
    ];
    engine.container("k8s_app_cart-1_shop_0", &pod, "echo of a pod");
    engine.container("unfinished", &[], "echo whole; printf 'without an end'");
    for (name, id) in [("early", &early), ("late", &late)] {
        sawyer.wait_for_count(&format!("container: {name}"), busybox::EVERYTHING_LINES as u64);
        let wanted = written(name, &engine.log_of(id));
        assert_eq!(wanted.len(), busybox::EVERYTHING_LINES);
        assert_same(&found(&sawyer.all(&format!("container: {name}"))), &wanted);
    }
    assert_eq!(sawyer.count("attrs.app: cart"), busybox::EVERYTHING_LINES as u64);
    assert_eq!(sawyer.count("level: warn and http.status: 503 and image: busybox"), 2);
    sawyer.wait_for_count("namespace: shop and pod: cart-1 and container: app and message: pod", 1);
    sawyer.wait_for_count("container: unfinished", 2);
    assert_eq!(sawyer.count("container: unfinished and message: \"without an end\""), 1);
    let total = sawyer.count("*");
    sawyer.stop();
    let mut sawyer = self::sawyer(folder.path(), &engine);
    sawyer.wait_for_count("*", total);
}

#[test]
fn rotation_and_sigkill_lose_and_double_nothing() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    let mut numbers = Numbers::new(folder.path().join("numbers"));
    let control = format!("type=bind,src={},dst=/control", numbers.folder.display());
    let mut options = vec!["--mount", &control];
    // 64 KB are some 350 lines, so about 1,700 may wait to be read before docker throws away the oldest.
    options.extend(["--log-opt", "max-size=64k", "--log-opt", "max-file=5", "--log-opt", "compress=true"]);
    let id = engine.container("rotating", &options, busybox::NUMBERED);
    for _ in 0..4 {
        let mut sawyer = sawyer(folder.path(), &engine);
        for _ in 0..2 {
            numbers.write(400);
            numbers.wait(&mut sawyer, "container: rotating");
        }
        numbers.write(500);
        sawyer.kill();
        numbers.write(500);
    }
    let mut sawyer = sawyer(folder.path(), &engine);
    numbers.wait(&mut sawyer, "container: rotating");
    let log = engine.log_of(&id);
    assert!(log.with_file_name(format!("{id}-json.log.4.gz")).is_file(), "docker rotated and compressed");
    // The youngest ones can be compared with what docker has.
    let wanted = written("rotating", &log);
    let times: HashMap<i64, String> = wanted.into_iter().map(|(_, _, time, line)| (time, line)).collect();
    let youngest = found(&sawyer.all("container: rotating"));
    let youngest = youngest.into_iter().filter(|(_, _, time, line)| times.get(time) == Some(line));
    assert_eq!(youngest.count(), times.len());
}

#[test]
fn a_long_line_that_goes_on_in_the_next_file_is_one_record() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    let mut lines = Numbers::new(folder.path().join("lines"));
    let control = format!("type=bind,src={},dst=/control", lines.folder.display());
    let mut options = vec!["--mount", &control];
    options.extend(["--log-opt", "max-size=256k", "--log-opt", "max-file=5", "--log-opt", "compress=true"]);
    let id = engine.container("long", &options, busybox::LONG);
    let mut sawyer = sawyer(folder.path(), &engine);
    for number in 1..=10 {
        lines.command(&number.to_string());
        sawyer.wait_for_count("container: long", number);
    }
    let rest = "x".repeat(102_400);
    for (number, record) in sawyer.all("container: long").iter().enumerate() {
        let line = record["message"].as_str().unwrap();
        assert!(line == format!("long {} {rest}", number + 1), "{:.20} {}", line, line.len());
    }
    let log = engine.log_of(&id);
    assert!(log.with_file_name(format!("{id}-json.log.3.gz")).is_file(), "docker rotated and compressed");
}

#[test]
fn a_container_that_is_removed_is_read_to_its_end() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path());
    let mut numbers = Numbers::new(folder.path().join("numbers"));
    let control = format!("type=bind,src={},dst=/control", numbers.folder.display());
    let id = engine.container("removed", &["--mount", &control], busybox::NUMBERED);
    let mut sawyer = sawyer(folder.path(), &engine);
    numbers.write(10);
    numbers.wait(&mut sawyer, "container: removed");
    // Held up, so that it is sure to be behind.
    sawyer.signal("STOP");
    numbers.write(5000);
    let rows = || fs::read_to_string(engine.log_of(&id)).unwrap().lines().count() as u64;
    while rows() < numbers.count {
        pause();
    }
    engine.run(&["rm", "--force", "removed"]);
    assert!(!engine.log_of(&id).exists());
    sawyer.signal("CONT");
    numbers.wait(&mut sawyer, "container: removed");
}
