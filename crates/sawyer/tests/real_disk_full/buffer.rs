//! The disk below a buffer is full while its target is away: this is told, and harms nobody else; then there is space
//! again, then the target is back.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use sawyer_testkit::peer::{Peer, Play, Reply};

use crate::harness::{SOON, Sawyer, pause};
use crate::{Mount, fill};

/// Bytes of a line, so that few of them fill much.
const LINE: usize = 64 << 10;

/// Lines that are more than the disk of the buffer and all queues together hold.
const LINES: u64 = 1200;

/// How the disk below the buffer is.
const DISK: &str = "8m";

const TOLD: &str = "the disk of the buffer is full";
const OVER: &str = "the buffer can be written again";

/// Lines with numbers and what does not compress well.
fn write_lines(path: &Path, numbers: std::ops::Range<u64>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let mut state = numbers.start + 1;
    for number in numbers {
        let mut line = format!("#{number:07} ");
        while line.len() < LINE {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            write!(line, "{:016x}", state ^ (state >> 29)).unwrap();
        }
        line.push('\n');
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// A target, and the numbers that it took.
struct Target {
    up: Arc<AtomicBool>,
    numbers: Arc<Mutex<BTreeSet<u64>>>,
    peer: Peer,
}

impl Target {
    fn new(is_up: bool) -> Self {
        let (up, numbers) = (Arc::new(AtomicBool::new(is_up)), Arc::new(Mutex::new(BTreeSet::new())));
        let (is_up, taken) = (Arc::clone(&up), Arc::clone(&numbers));
        let peer = Peer::start(move |_, request| {
            if !is_up.load(Ordering::SeqCst) {
                return Play::Answer(Reply::new(503, "away"));
            }
            let body = String::from_utf8(request.plain_body()).unwrap();
            let number = |piece: &str| piece[..7].parse::<u64>().unwrap();
            taken.lock().unwrap().extend(body.split('#').skip(1).map(number));
            Play::Answer(Reply::new(200, ""))
        });
        Self { up, numbers, peer }
    }

    fn has(&self) -> usize {
        self.numbers.lock().unwrap().len()
    }
}

/// The value of a metric with this label.
fn metric(sawyer: &Sawyer, name: &str, label: &str) -> u64 {
    let (_, text) = sawyer.request("GET", "/metrics", &[], b"");
    let of = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(label);
    text.lines().filter(of).map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
}

fn wait_until(sawyer: &mut Sawyer, what: &str, holds: impl Fn(&Sawyer) -> bool) {
    let deadline = Instant::now() + SOON * 2;
    while !holds(sawyer) {
        assert!(Instant::now() < deadline, "waited too long until {what}; the log:\n{}", sawyer.log());
        pause();
    }
}

fn start(folder: &Path, away: &Target, well: &Target) -> Sawyer {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let output = |target: &Target| {
        let url = target.peer.url();
        format!(
            "{{type: http, url: {url}, batch_max: 1MiB, batch_age_max: 20ms, retry_pause_max: 1s, memory_max: 1MiB}}"
        )
    };
    let config = format!(
        "inputs:\n  big: {{type: files, include: [{big}]}}\n  small: {{type: files, include: [{small}]}}\n\
         pipelines:\n  big: {{inputs: [big], steps: [], outputs: [away], multiline: off, mask: off}}\n\
         \x20 small: {{inputs: [small], steps: [], outputs: [well], multiline: off, mask: off}}\n\
         outputs:\n  away: {away}\n  well: {well}\n",
        big = path("big.log"),
        small = path("small.log"),
        away = output(away),
        well = output(well),
    );
    fs::write(folder.join("agent.yaml"), config).unwrap();
    Sawyer::start("agent", &["--data", &path("data"), "--config", &path("agent.yaml")])
}

#[test]
fn a_full_disk_below_a_buffer_holds_back_and_recovers() {
    if !sawyer_testkit::may_use_root("a tmpfs of its own") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let below = folder.join("data/state/outputs/away/buffer");
    fs::create_dir_all(&below).unwrap();
    let mount = Mount::tmpfs(&below, DISK);
    let (away, well) = (Target::new(false), Target::new(true));
    write_lines(&folder.join("big.log"), 0..LINES);
    write_lines(&folder.join("small.log"), 0..10);
    let mut sawyer = start(folder, &away, &well);
    let full = |sawyer: &Sawyer| metric(sawyer, "sawyer_buffer_disk_full", "output=\"away\"") == 1;
    let held = |sawyer: &Sawyer| metric(sawyer, "sawyer_buffer_held_bytes", "output=\"away\"");
    wait_until(&mut sawyer, "the disk is full", full);
    sawyer.wait_for_log(TOLD);
    assert!(held(&sawyer) > 4 << 20, "{} bytes wait", held(&sawyer));
    // The other pipeline goes on, whatever this one waits for, and this one reads no further than its queues.
    write_lines(&folder.join("small.log"), 10..20);
    wait_until(&mut sawyer, "the others go on", |_| well.has() == 20);
    let read = metric(&sawyer, "sawyer_input_records_total", "input=\"big\"");
    assert!(read < LINES, "all {read} lines were read, though they cannot be kept");
    // It is tried again and again, and told of once.
    let tries = |sawyer: &Sawyer| metric(sawyer, "sawyer_delivery_requests_total", "target=\"away\"");
    let before = tries(&sawyer);
    wait_until(&mut sawyer, "it was tried some more", |sawyer| tries(sawyer) > before + 4);
    assert_eq!(sawyer.log().matches(TOLD).count(), 1, "{}", sawyer.log());
    // Whoever is killed now has lost nothing, and says the same again.
    sawyer.kill();
    let mut sawyer = start(folder, &away, &well);
    wait_until(&mut sawyer, "the disk is full", full);
    sawyer.wait_for_log(TOLD);
    // The target is back: files are removed, and there is space again.
    away.up.store(true, Ordering::SeqCst);
    wait_until(&mut sawyer, "everything arrived", |_| away.has() == LINES as usize);
    sawyer.wait_for_log(OVER);
    wait_until(&mut sawyer, "the buffer is empty", |sawyer| held(sawyer) == 0);
    assert!(!full(&sawyer));
    assert_eq!(metric(&sawyer, "sawyer_buffer_shed_records_total", "away"), 0);
    assert_eq!(sawyer.log().matches(TOLD).count(), 1, "{}", sawyer.log());
    sawyer.stop();
    drop(mount);
}

#[test]
fn space_below_a_buffer_comes_back_while_its_target_is_away() {
    if !sawyer_testkit::may_use_root("a tmpfs of its own") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let below = folder.join("data/state/outputs/away/buffer");
    fs::create_dir_all(&below).unwrap();
    let mount = Mount::tmpfs(&below, DISK);
    let ballast = below.join("ballast");
    let (away, well) = (Target::new(false), Target::new(true));
    write_lines(&folder.join("big.log"), 0..4);
    let mut sawyer = start(folder, &away, &well);
    let pushed = |sawyer: &Sawyer| metric(sawyer, "sawyer_buffer_pushed_records_total", "output=\"away\"");
    wait_until(&mut sawyer, "some wait", |sawyer| pushed(sawyer) == 4);
    let file = fill(&ballast);
    write_lines(&folder.join("big.log"), 4..40);
    sawyer.wait_for_log(TOLD);
    let full = |sawyer: &Sawyer| metric(sawyer, "sawyer_buffer_disk_full", "output=\"away\"") == 1;
    assert!(full(&sawyer) && pushed(&sawyer) < 40);
    drop(file);
    fs::remove_file(&ballast).unwrap();
    // By itself, with nothing new to read and a target that still takes nothing.
    wait_until(&mut sawyer, "all wait in the buffer", |sawyer| pushed(sawyer) == 40);
    sawyer.wait_for_log(OVER);
    assert!(!full(&sawyer));
    assert_eq!(away.has(), 0);
    away.up.store(true, Ordering::SeqCst);
    wait_until(&mut sawyer, "everything arrived", |_| away.has() == 40);
    assert_eq!(sawyer.log().matches(TOLD).count(), 1, "{}", sawyer.log());
    sawyer.stop();
    drop(mount);
}
