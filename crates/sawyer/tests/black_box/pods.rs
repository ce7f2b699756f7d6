//! Container logs of a node: every line once, whatever happens.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cri::{assert_same, found, written};
use crate::harness::{AS_WRITTEN, SOON, Sawyer, pause};

pub(crate) const POD: &str = "shop_cart-6d5f4c7b9-x2x4z_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8";

/// Files in the kubelet's layout: rotated, compressed, with partial lines and both streams mixed.
fn make_pods(pods: &Path) {
    let container = pods.join(POD).join("app");
    fs::create_dir_all(&container).unwrap();
    let second = |n: usize| format!("2026-11-20T10:{:02}:{:02}.{:09}Z", n / 60 % 60, n % 60, n);
    let rows = |from: usize, to: usize| {
        let mut text = String::new();
        for n in from..to {
            let time = second(n);
            match n % 5 {
                0 => text.push_str(&format!("{time} stdout P first half of {n}, \n")),
                1 => text.push_str(&format!("{time} stderr F in between {n}\n")),
                2 => text.push_str(&format!("{time} stdout F and second half of {}\n", n - 2)),
                3 => text.push_str(&format!(
                    "{time} stdout F {{\"level\":\"warn\",\"msg\":\"json {n}\",\"n\":{n}}}\n"
                )),
                _ => text.push_str(&format!("{time} stdout F \n")),
            }
        }
        text
    };
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(rows(0, 1000).as_bytes()).unwrap();
    fs::write(container.join("0.log.20261120-100422.gz"), gz.finish().unwrap()).unwrap();
    fs::write(container.join("0.log.20261120-100442"), rows(1000, 2002)).unwrap();
    fs::write(container.join("0.log"), rows(2002, 2500) + "2026-11-20T11:00:00Z stdout F not comple")
        .unwrap();
    let crashed = pods.join(POD).join("crash");
    fs::create_dir_all(&crashed).unwrap();
    fs::write(crashed.join("4.log"), "2026-11-20T10:00:00.1+09:00 stderr F panic: no\n").unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::write(&to, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

fn every_line_is_found_once(folder: &Path) {
    let wanted = written(&folder.join("host/var/log/pods"));
    assert!(!wanted.is_empty());
    let mut sawyer = Sawyer::up_with(folder, AS_WRITTEN);
    sawyer.wait_for_count("pod: *", wanted.len() as u64);
    assert_same(found(&sawyer.all("pod: *")), wanted.clone());
    let (took, status, log) = sawyer.stop();
    assert!(status.success(), "{log}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Another start reads nothing a second time.
    let mut sawyer = Sawyer::up_with(folder, AS_WRITTEN);
    sawyer.wait_for_count("pod: *", wanted.len() as u64);
    assert_same(found(&sawyer.all("pod: *")), wanted);
}

#[test]
fn every_line_of_a_pods_folder_is_found_once() {
    let folder = tempfile::tempdir().unwrap();
    make_pods(&folder.path().join("host/var/log/pods"));
    every_line_is_found_once(folder.path());
}

#[test]
fn every_line_of_a_real_nodes_pods_is_found_once() {
    let Some(shared) = sawyer_testkit::shared("data/generated-here/var-log-pods") else { return };
    let folder = tempfile::tempdir().unwrap();
    copy(&shared, &folder.path().join("host/var/log/pods"));
    every_line_is_found_once(folder.path());
}

/// Writes numbered lines and rotates as the kubelet does, until told to stop.
pub(crate) struct Writer {
    pub(crate) container: PathBuf,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) count: Arc<AtomicU64>,
    pub(crate) line: fn(u64) -> String,
}

impl Writer {
    pub(crate) fn run(&self) {
        let live = self.container.join("0.log");
        let mut file = OpenOptions::new().create(true).append(true).open(&live).unwrap();
        let start = Instant::now();
        let mut rotated = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let n = self.count.load(Ordering::Relaxed);
            let mut rows = String::new();
            for n in n..n + 50 {
                let line = (self.line)(n);
                rows.push_str(&format!("2026-11-20T10:00:00.{:09}Z stdout F {line}\n", n % 1_000_000_000));
            }
            file.write_all(rows.as_bytes()).unwrap();
            self.count.store(n + 50, Ordering::Relaxed);
            if file.metadata().unwrap().len() > 300_000 {
                rotated += 1;
                self.rotate(&live, rotated);
                file = OpenOptions::new().create(true).append(true).open(&live).unwrap();
            }
            // About 20,000 lines a second.
            while start.elapsed() < Duration::from_micros(n * 50) {
                pause();
            }
        }
    }

    /// The youngest rotated file stays plain, the one before it is compressed. All are kept.
    fn rotate(&self, live: &Path, number: u32) {
        let name = |number: u32| self.container.join(format!("0.log.20261120-1{number:05}"));
        fs::rename(live, name(number)).unwrap();
        if number > 1 {
            let plain = name(number - 1);
            let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
            gz.write_all(&fs::read(&plain).unwrap()).unwrap();
            let packed = plain.with_file_name(format!("{}.gz", plain.file_name().unwrap().to_str().unwrap()));
            let beside = packed.with_extension("tmp");
            fs::write(&beside, gz.finish().unwrap()).unwrap();
            fs::rename(&beside, &packed).unwrap();
            fs::remove_file(&plain).unwrap();
        }
    }
}

/// Kills the process several times while a container writes; gives it back at rest, and how many lines there are.
fn killed_while_writing(folder: &Path, line: fn(u64) -> String, records_of: fn(u64) -> u64) -> (Sawyer, u64) {
    // A loaded machine may be silent for a second in the middle of a trace.
    let patient = "pipelines: {main: {multiline: {wait: 10s}}}\n";
    let container = folder.join("host/var/log/pods").join(POD).join("app");
    fs::create_dir_all(&container).unwrap();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = Writer { container, stop: Arc::clone(&stop), count: Arc::clone(&count), line };
    let writing = thread::spawn(move || writer.run());
    for round in 1..=4 {
        let sawyer = Sawyer::up_with(folder, patient);
        let deadline = Instant::now() + SOON;
        while sawyer.count("pod: *") < records_of(round * 6000) {
            assert!(Instant::now() < deadline, "too slow");
            pause();
        }
        sawyer.kill();
    }
    stop.store(true, Ordering::Relaxed);
    writing.join().unwrap();
    let total = count.load(Ordering::Relaxed);
    let mut sawyer = Sawyer::up_with(folder, patient);
    sawyer.wait_for_count("pod: *", records_of(total));
    (sawyer, total)
}

#[test]
fn a_process_that_is_killed_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let line = |n| format!("{{\"number\":{n},\"msg\":\"some text\"}}");
    let (sawyer, total) = killed_while_writing(folder.path(), line, |lines| lines);
    let mut numbers: Vec<i64> =
        sawyer.all("pod: *").iter().map(|record| record["number"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..total as i64).collect::<Vec<_>>());
}

/// Lines of which ten make two records: a stack trace, and a line of its own.
fn line_of_a_trace(n: u64) -> String {
    match n % 10 {
        0 => format!("java.lang.IllegalStateException: no stock #{n}"),
        9 => format!("INFO all is well again #{n}"),
        _ => format!("\tat shop.Cart.add(Cart.java:{}) #{n}", n % 10),
    }
}

#[test]
fn a_process_that_is_killed_within_traces_loses_doubles_and_tears_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (sawyer, total) = killed_while_writing(folder.path(), line_of_a_trace, |lines| lines / 5);
    let mut numbers = Vec::new();
    for record in sawyer.all("pod: *") {
        let message = record["message"].as_str().unwrap();
        let number = |line: &str| line.rsplit_once('#').unwrap().1.parse::<u64>().unwrap();
        let of_record: Vec<u64> = message.lines().map(number).collect();
        let first = of_record[0];
        let whole = if first % 10 == 9 { vec![first] } else { (first..first + 9).collect() };
        assert_eq!(of_record, whole, "{message}");
        numbers.extend(of_record);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..total).collect::<Vec<_>>());
}
