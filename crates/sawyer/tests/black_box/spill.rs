//! The target is down, the buffer is full, and a log goes on to be rotated: what is removed next goes into the buffer all
//! the same, and is still there after the process was killed and the file is gone.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sawyer_testkit::peer::{Peer, Play, Reply};

use crate::harness::{AS_WRITTEN, SOON, Sawyer, pause};

/// The kubelet's `containerLogMaxFiles`.
const FILES_KEPT: u32 = 3;

/// Lines of the log that nobody rotates: more than the buffer and all queues before it hold, a kilobyte each.
const NOISE: u32 = 16_000;

/// Lines of each file of the other.
const LINES: u32 = 300;

struct Bench {
    folder: tempfile::TempDir,
    up: Arc<AtomicBool>,
    peer: Peer,
}

impl Bench {
    fn new(spill_max: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let up = Arc::new(AtomicBool::new(false));
        let answers = Arc::clone(&up);
        let peer = Peer::start(move |_, _| {
            let status = if answers.load(Ordering::SeqCst) { 200 } else { 503 };
            Play::Answer(Reply::new(status, ""))
        });
        let config = format!(
            "inputs: {{containers: {{files_kept: {FILES_KEPT}}}}}\n{AS_WRITTEN}outputs:\n  peer:\n    type: http\n    \
             url: {}\n    compression: none\n    retry_pause_max: 200ms\n    memory_max: 4MiB\n    \
             buffer: {{bytes_max: 1MiB, memory_max: 0, spill_max: {spill_max}}}\n",
            peer.url()
        );
        fs::write(folder.path().join("agent.yaml"), config).unwrap();
        Self { folder, up, peer }
    }

    fn start(&self) -> Sawyer {
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let args = ["--config", &path("agent.yaml"), "--data", &path("data"), "--host-root", &path("host")];
        Sawyer::start("agent", &args)
    }

    /// The folder of a container.
    fn of(&self, pod: &str) -> PathBuf {
        let pods = self.folder.path().join("host/var/log/pods");
        pods.join(format!("shop_{pod}_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app"))
    }

    /// Fills the buffer and all that lies before it.
    fn fill(&self, agent: &mut Sawyer) {
        write(&self.of("noisy"), "noise", 0..NOISE, &"x".repeat(1000));
        let full = |agent: &Sawyer| metric(agent, "sawyer_buffer_held_bytes") > 500_000;
        until("the buffer is full", agent, full);
        // What is read is not put in any more.
        let moved = |agent: &Sawyer| {
            let names =
                ["sawyer_input_bytes_total", "sawyer_buffer_held_bytes", "sawyer_buffer_pushed_bytes_total"];
            names.map(|name| metric(agent, name))
        };
        let stands = |agent: &Sawyer| {
            let before = moved(agent);
            (0..50).for_each(|_| pause());
            moved(agent) == before
        };
        until("nothing more is read or put in", agent, stands);
        assert!(metric(agent, "sawyer_input_bytes_behind") > 0, "the log is longer than all that holds it");
    }

    /// The lines of a kind that arrived.
    fn arrived(&self, kind: &str) -> BTreeSet<u32> {
        let mut numbers = BTreeSet::new();
        let needle = format!("{kind} #");
        for request in self.peer.received() {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            for (at, _) in body.match_indices(&needle) {
                let digits = body[at + needle.len()..].chars().take_while(char::is_ascii_digit);
                numbers.insert(digits.collect::<String>().parse().unwrap());
            }
        }
        numbers
    }
}

/// Appends lines to the live file of a log.
fn write(folder: &Path, kind: &str, numbers: std::ops::Range<u32>, rest: &str) {
    fs::create_dir_all(folder).unwrap();
    let lines: String =
        numbers.map(|n| format!("2026-11-20T10:00:00.{n:09}Z stdout F {kind} #{n} {rest}\n")).collect();
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join("0.log")).unwrap();
    file.write_all(lines.as_bytes()).unwrap();
}

fn rotate(folder: &Path, minute: u32) -> PathBuf {
    let rotated = folder.join(format!("0.log.20261120-10{minute:02}00"));
    fs::rename(folder.join("0.log"), &rotated).unwrap();
    rotated
}

fn metric(agent: &Sawyer, name: &str) -> u64 {
    let (_, metrics) = agent.request("GET", "/metrics", &[], b"");
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

fn until(what: &str, agent: &mut Sawyer, holds: impl Fn(&Sawyer) -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds(agent) {
        if Instant::now() > deadline {
            let (_, metrics) = agent.request("GET", "/metrics", &[], b"");
            panic!("waited too long until {what}:\n{}\n{metrics}", agent.log());
        }
        pause();
    }
}

#[test]
fn what_is_removed_next_goes_into_a_full_buffer() {
    let bench = Bench::new("32MiB");
    let mut agent = bench.start();
    bench.fill(&mut agent);
    let quick = bench.of("quick");
    let mut removed = Vec::new();
    for minute in 0..FILES_KEPT - 1 {
        write(&quick, "quick", minute * LINES..(minute + 1) * LINES, "");
        removed.push(rotate(&quick, minute));
    }
    // With this file there are as many as are kept, and the oldest is removed with the next rotation.
    write(&quick, "quick", 2 * LINES..3 * LINES, "");
    until("lines are let in", &mut agent, |agent| metric(agent, "sawyer_buffer_spilled_records_total") > 0);
    until("none is in danger", &mut agent, |agent| metric(agent, "sawyer_input_files_in_danger") == 0);
    assert!(metric(&agent, "sawyer_input_bytes_behind") > 0, "nothing else is read meanwhile");
    // How far files are safe is saved once a second; what is not saved by a kill counts as lost with its file.
    (0..200).for_each(|_| pause());
    fs::remove_file(&removed[0]).unwrap();
    agent.kill();

    bench.up.store(true, Ordering::SeqCst);
    let mut agent = bench.start();
    let deadline = Instant::now() + SOON;
    while bench.arrived("quick").len() < 3 * LINES as usize || bench.arrived("noise").len() < NOISE as usize {
        let (quick, noise) = (bench.arrived("quick").len(), bench.arrived("noise").len());
        assert!(Instant::now() < deadline, "{quick} and {noise} lines arrived:\n{}", agent.log());
        (0..10).for_each(|_| pause());
    }
    assert!(bench.arrived("quick").into_iter().eq(0..3 * LINES));
    assert_eq!(metric(&agent, "sawyer_input_bytes_rotated_unread_total"), 0);
    agent.stop();
}

#[test]
fn without_room_for_it_what_is_removed_next_stays_in_its_file() {
    let bench = Bench::new("0");
    let mut agent = bench.start();
    bench.fill(&mut agent);
    let quick = bench.of("quick");
    for minute in 0..FILES_KEPT - 1 {
        write(&quick, "quick", minute * LINES..(minute + 1) * LINES, "");
        rotate(&quick, minute);
    }
    write(&quick, "quick", 2 * LINES..3 * LINES, "");
    until("a file is in danger", &mut agent, |agent| metric(agent, "sawyer_input_files_in_danger") > 0);
    let held = metric(&agent, "sawyer_buffer_held_bytes");
    (0..50).for_each(|_| pause());
    assert_eq!(metric(&agent, "sawyer_buffer_held_bytes"), held);
    assert_eq!(metric(&agent, "sawyer_buffer_spilled_records_total"), 0);
    assert!(metric(&agent, "sawyer_input_files_in_danger") > 0);
    agent.kill();
}
