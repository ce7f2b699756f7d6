//! `sawyer buffer` and `sawyer dead-letter`, of a running process and of a data folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use sawyer_testkit::peer::{Peer, Play, Reply};
use serde_json::Value;

use crate::harness::{SOON, Sawyer, pause, run, text};

/// An agent whose target refuses lines with `poison` in them with 400, and answers all others as it is told.
struct Bench {
    folder: tempfile::TempDir,
    answers: Arc<AtomicU16>,
    poison: Arc<AtomicU16>,
    peer: Peer,
}

impl Bench {
    fn new(lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pod = folder.path().join("host/var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
        fs::create_dir_all(&pod).unwrap();
        let lines: String =
            lines.iter().map(|line| format!("2026-11-20T10:00:00Z stdout F {line}\n")).collect();
        fs::write(pod.join("0.log"), lines).unwrap();
        let (answers, poison) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(400)));
        let (good, bad) = (Arc::clone(&answers), Arc::clone(&poison));
        let peer = Peer::start(move |_, request| {
            let poisoned = String::from_utf8_lossy(&request.body).contains("poison");
            let status = if poisoned { &bad } else { &good }.load(Ordering::SeqCst);
            Play::Answer(Reply::new(status, "the mapping does not fit"))
        });
        let config = format!(
            "inputs: {{containers: }}\noutputs:\n  peer: {{type: http, url: '{}', compression: none, retry_pause_max: 100ms}}\n",
            peer.url()
        );
        fs::write(folder.path().join("agent.yaml"), config).unwrap();
        Self { folder, answers, poison, peer }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self) -> Sawyer {
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let args = ["--config", &path("agent.yaml"), "--data", &path("data"), "--host-root", &path("host")];
        Sawyer::start("agent", &args)
    }

    fn arrived(&self, message: &str) -> usize {
        let accepted = |body: &[u8]| String::from_utf8_lossy(body).matches(message).count();
        self.peer.received().iter().map(|request| accepted(&request.body)).sum()
    }
}

fn lines(args: &[&str]) -> Vec<Value> {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn refused(args: &[&str]) -> String {
    let output = run(args);
    assert!(!output.status.success(), "{args:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        pause();
    }
}

fn dead(list: &[Value]) -> Vec<u64> {
    list.iter().map(|letter| letter["id"].as_u64().unwrap()).collect()
}

#[test]
fn dead_letters_of_a_running_process_are_shown_sent_again_and_removed() {
    let bench = Bench::new(&["good 1", "poison 2", "good 3", "poison 4"]);
    let agent = bench.start();
    let server = format!("http://{}", agent.address);
    let letters = || lines(&["dead-letter", "ls", "--server", &server]);
    until("both are refused", || letters().len() == 2);
    let listed = letters();
    assert_eq!((&listed[0]["output"], &listed[0]["reason"]), (&"peer".into(), &"rejected".into()));
    assert!(listed[0]["detail"].as_str().unwrap().contains("the mapping does not fit"), "{}", listed[0]);
    let ids = dead(&listed);
    let first = ids[0].to_string();
    let shown = lines(&["dead-letter", "show", "peer", &first, "--server", &server]);
    assert_eq!(shown.len(), 1);
    assert!(shown[0]["record"]["message"].as_str().unwrap().starts_with("poison"), "{}", shown[0]);
    assert_eq!((&shown[0]["reason"], &shown[0]["record"]["pod"]), (&"rejected".into(), &"cart".into()));
    bench.poison.store(200, Ordering::SeqCst);
    let before = bench.arrived("poison");
    let output = run(&["dead-letter", "redrive", "peer", &first, "--server", &server]);
    assert_eq!(text(&output.stdout), "1 dead letter back in line\n", "{}", text(&output.stderr));
    until("it is sent again", || bench.arrived("poison") > before);
    assert_eq!(dead(&letters()), ids[1..]);
    let output = run(&["dead-letter", "remove", "peer", "--all", "--server", &server]);
    assert_eq!(text(&output.stdout), "1 dead letter removed\n", "{}", text(&output.stderr));
    assert_eq!(letters().len(), 0);
    let told = refused(&["dead-letter", "show", "peer", "77", "--server", &server]);
    assert!(told.contains("there is no entry 77 in lane dead"), "{told}");
    let told = refused(&["dead-letter", "ls", "per", "--server", &server]);
    assert!(told.contains("there is no output `per` with a buffer"), "{told}");
    agent.stop();
}

#[test]
fn a_running_buffer_is_listed_shown_and_drained() {
    let bench = Bench::new(&["waits 1", "waits 2", "level=error msg=\"waits and is urgent\""]);
    bench.answers.store(503, Ordering::SeqCst);
    let agent = bench.start();
    let server = format!("http://{}", agent.address);
    let records = |list: &[Value], lane: &str| {
        let lanes = list[0]["lanes"].as_array().unwrap();
        lanes.iter().find(|found| found["lane"] == lane).unwrap()["records"].as_u64().unwrap()
    };
    let list = || lines(&["buffer", "ls", "--server", &server]);
    until("all wait", || records(&list(), "normal") == 2 && records(&list(), "urgent") == 1);
    let shown = lines(&["buffer", "show", "peer", "--server", &server]);
    let messages: Vec<&str> = shown.iter().map(|line| line["record"]["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["waits and is urgent", "waits 1", "waits 2"]);
    assert_eq!(lines(&["buffer", "show", "peer", "-n", "1", "--server", &server]).len(), 1);
    let locked = refused(&["buffer", "show", "peer", "--data", bench.data().to_str().unwrap()]);
    assert!(locked.contains("another process has the buffer open"), "{locked}");
    assert!(locked.contains("ask that process, with --server"), "{locked}");
    bench.answers.store(200, Ordering::SeqCst);
    assert_eq!(lines(&["buffer", "drain", "peer", "--server", &server]).len(), 0);
    assert_eq!((records(&list(), "normal"), records(&list(), "urgent")), (0, 0));
    agent.stop();
}

#[test]
fn a_data_folder_is_read_and_emptied_while_nobody_has_it_open() {
    let bench = Bench::new(&["waits 1", "poison 2", "waits 3"]);
    let agent = bench.start();
    let server = format!("http://{}", agent.address);
    until("one is refused", || lines(&["dead-letter", "ls", "--server", &server]).len() == 1);
    bench.answers.store(503, Ordering::SeqCst);
    let pod =
        bench.folder.path().join("host/var/log/pods/shop_more_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&pod).unwrap();
    fs::write(pod.join("0.log"), "2026-11-20T10:00:00Z stdout F left behind\n").unwrap();
    let waits = |list: &[Value]| list[0]["lanes"][1]["records"].as_u64().unwrap();
    until("one waits", || waits(&lines(&["buffer", "ls", "--server", &server])) == 1);
    agent.kill();
    let data = bench.data();
    let data = data.to_str().unwrap();
    assert_eq!(waits(&lines(&["buffer", "ls", "--data", data])), 1);
    let letters = lines(&["dead-letter", "ls", "--data", data]);
    let id = dead(&letters)[0].to_string();
    let shown = lines(&["dead-letter", "show", "peer", &id, "--data", data]);
    assert_eq!(shown[0]["record"]["message"], "poison 2");
    run(&["dead-letter", "redrive", "peer", &id, "--data", data]);
    assert_eq!(lines(&["dead-letter", "ls", "--data", data]).len(), 0);
    let drained = lines(&["buffer", "drain", "peer", "--data", data]);
    let messages: Vec<&str> =
        drained.iter().map(|line| line["record"]["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["left behind", "poison 2"]);
    assert_eq!(lines(&["buffer", "show", "peer", "--data", data]).len(), 0);
    let told = refused(&["buffer", "show", "pear", "--data", data]);
    assert!(told.contains("no output `pear` has a buffer there; there are: peer"), "{told}");
    let told = refused(&["buffer", "ls", "--data", "/nowhere/at/all"]);
    assert!(told.contains("--data: /nowhere/at/all is no folder"), "{told}");
    let restarted = bench.start();
    assert!(Path::new(data).is_dir());
    restarted.stop();
}
