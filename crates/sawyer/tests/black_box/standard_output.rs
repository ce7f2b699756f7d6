//! Standard output in trouble: its reader goes away, takes nothing, or has no room. It is told, counted, and harms nobody
//! else.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{SOON, Sawyer, binary, pause};

/// An agent that prints what it reads, and writes it to `good`.
fn start(folder: &Path, stdout: impl Into<Stdio>) -> (Sawyer, PathBuf) {
    let container = folder.join("host/var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&container).unwrap();
    let good = folder.join("good");
    let config = format!(
        "drain: 1s\npipelines: {{main: {{multiline: off, mask: off}}}}\ninputs: {{containers: }}\n\
         outputs: {{stdout: , file: {{path: '{}'}}}}\n",
        good.display()
    );
    fs::write(folder.join("sawyer.yaml"), config).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut command = binary();
    command.args(["agent", "--listen", "127.0.0.1:0", "--data", &path("data")]);
    command.args(["--config", &path("sawyer.yaml"), "--host-root", &path("host")]).stdout(stdout);
    (Sawyer::launch(command).unwrap(), container.join("0.log"))
}

fn write(log: &Path, numbers: std::ops::Range<usize>, filler: &str) {
    let rows: String =
        numbers.map(|n| format!("2026-11-20T10:00:00Z stdout F number {n}. {filler}\n")).collect();
    OpenOptions::new().create(true).append(true).open(log).unwrap().write_all(rows.as_bytes()).unwrap();
}

/// Waits until the other output has every number; gives how many lines it has.
fn wait_for_good(sawyer: &mut Sawyer, folder: &Path, count: usize) -> usize {
    let deadline = Instant::now() + SOON;
    loop {
        let text = fs::read_to_string(folder.join("good")).unwrap_or_default();
        if (0..count).all(|n| text.contains(&format!("number {n}."))) {
            return text.lines().count();
        }
        assert!(Instant::now() < deadline, "{text}; the log:\n{}", sawyer.log());
        pause();
    }
}

fn errors(sawyer: &Sawyer, reason: &str) -> u64 {
    let (_, text) = sawyer.request("GET", "/metrics", &[], b"");
    let name = format!("sawyer_output_errors_total{{output=\"stdout\",reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_reader_that_goes_away_is_told_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let (mut sawyer, log) = start(folder.path(), writer);
    write(&log, 0..10, "");
    let mut lines = BufReader::new(reader).lines();
    assert!(lines.next().unwrap().unwrap().contains("number 0."));
    assert_eq!(wait_for_good(&mut sawyer, folder.path(), 10), 10);
    drop(lines);
    write(&log, 10..20, "");
    sawyer.wait_for_log("write to standard output");
    write(&log, 20..30, "");
    wait_for_good(&mut sawyer, folder.path(), 30);
    // What was on its way is given to everybody again, once; what comes later is not.
    for start in (30..60).step_by(10) {
        write(&log, start..start + 10, "");
        let lines = wait_for_good(&mut sawyer, folder.path(), start + 10);
        assert!(lines <= start + 30, "{lines} lines of {}", start + 10);
    }
    let said = sawyer.log();
    assert_eq!(
        said.matches("run output `stdout`: write to standard output: Broken pipe").count(),
        1,
        "{said}"
    );
    assert_eq!(errors(&sawyer, "closed"), 1);
    assert_eq!(sawyer.request("GET", "/healthz", &[], b"").0, 200);
    let (status, text) = sawyer.request("GET", "/readyz", &[], b"");
    assert!(status == 503 && text.contains("output stdout"), "{status} {text}");
    assert!(!sawyer.terminate().1.success(), "what was printed was not all");
    // Nothing of it counts as done: the next one prints it.
    let out = folder.path().join("out");
    let (mut sawyer, _) = start(folder.path(), fs::File::create(&out).unwrap());
    let deadline = Instant::now() + SOON;
    while !(10..60).all(|n| fs::read_to_string(&out).unwrap().contains(&format!("number {n}."))) {
        assert!(Instant::now() < deadline, "the log:\n{}", sawyer.log());
        pause();
    }
}

#[test]
fn a_full_disk_is_told_once_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (mut sawyer, log) = start(folder.path(), full);
    write(&log, 0..10, "");
    let deadline = Instant::now() + SOON;
    while errors(&sawyer, "retry") < 4 {
        assert!(Instant::now() < deadline, "the log:\n{}", sawyer.log());
        pause();
    }
    write(&log, 10..20, "");
    assert_eq!(wait_for_good(&mut sawyer, folder.path(), 20), 20);
    let said = sawyer.log();
    let told = "write to standard output: No space left on device";
    assert_eq!(said.matches(told).count(), 1, "{said}");
    let (status, text) = sawyer.request("GET", "/readyz", &[], b"");
    assert!(status == 503 && text.contains(told), "{status} {text}");
    let (took, ..) = sawyer.terminate();
    assert!(took < SOON / 2, "{took:?}");
}

#[test]
fn a_reader_that_takes_nothing_does_not_keep_it_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let (mut sawyer, log) = start(folder.path(), writer);
    // More than a pipe holds.
    write(&log, 0..100, &"x".repeat(10_000));
    wait_for_good(&mut sawyer, folder.path(), 100);
    let (took, _, said) = sawyer.terminate();
    assert!(took < Duration::from_secs(30), "{took:?}\n{said}");
    drop(reader);
}
