//! Journals that systemd's own programs write: every entry once; as root.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

#[allow(dead_code, reason = "not every daemon needs all of it")]
#[path = "../machine/daemon.rs"]
mod daemon;
mod journald;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::{SOON, Sawyer, pause};
use journald::Journald;
use serde_json::Value;

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// Waits until the entries with the numbers up to `count` are there, each once.
fn wait_for_numbers(sawyer: &mut Sawyer, count: u64) {
    wait_for(sawyer, 0..count);
}

/// Waits until the entries with these numbers are there, each once and no others.
fn wait_for(sawyer: &mut Sawyer, numbers: std::ops::Range<u64>) {
    let deadline = Instant::now() + SOON;
    let count = numbers.end - numbers.start;
    while sawyer.count("journal.number: *") < count {
        let have = sawyer.count("journal.number: *");
        assert!(Instant::now() < deadline, "{have} of {count}\n{}", sawyer.log());
        pause();
    }
    let mut found: BTreeMap<u64, Value> = BTreeMap::new();
    for record in sawyer.all("journal.number: *") {
        let number = record["journal.number"].as_str().unwrap().parse().unwrap();
        let start = format!("number {number} ");
        assert!(record["message"].as_str().unwrap().starts_with(&start), "{record}");
        if let Some(other) = found.insert(number, record) {
            panic!("twice: {other}\n       {}", found[&number]);
        }
    }
    assert!(found.into_keys().eq(numbers));
}

/// What journalctl says of a journal.
fn journalctl(folder: &Path, args: &[&str]) -> String {
    let told = Command::new("journalctl").arg("--directory").arg(folder).args(args).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

#[test]
fn reading_goes_on_where_another_collector_was() {
    if !sawyer_testkit::may_use_root("a journald of its own")
        || !daemon::have_programs(&["systemd-journald", "journalctl", "unshare", "setpriv"])
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let journald = Journald::start(folder.path());
    journald.write(0..1);
    journald.flush();
    journald.write(1..3000);
    let journal = folder.path().join("host/var/log/journal");
    while !journalctl(&journal, &["--output=cat", "--output-fields=NUMBER", "NUMBER=2999"]).contains("2999") {
        pause();
    }
    // Another one had read half of it, and what it read first was removed since, with something that it had not.
    let cursor_of = |number: u64| {
        let entry = journalctl(&journal, &["--output=json", &format!("NUMBER={number}")]);
        let entry: Value = serde_json::from_str(&entry).unwrap();
        entry["__CURSOR"].as_str().unwrap().to_owned()
    };
    let start = |cursor: &str, data: &str| {
        let other = folder.path().join("host/positions.yaml");
        fs::write(other, format!("positions:\n  /var/log/a.log: \"5\"\n  cursor-journal: {cursor}\n"))
            .unwrap();
        let config = folder.path().join(format!("{data}.yaml"));
        fs::write(
            &config,
            "inputs: {journal: {sweep_interval: 1s, import: [{from: promtail, path: /positions.yaml}]}}\n",
        )
        .unwrap();
        let [data, host] = [data, "host"].map(|name| folder.path().join(name));
        let [data, host, config] = [&data, &host, &config].map(|path| path.to_str().unwrap());
        Sawyer::start("up", &["--data", data, "--host-root", host, "--config", config])
    };
    let (early, half) = (cursor_of(10), cursor_of(1500));
    let mut sawyer = start(&half, "one");
    wait_for(&mut sawyer, 1501..3000);
    journald.write(3000..3001);
    wait_for(&mut sawyer, 1501..3001);
    sawyer.stop();
    journald.rotate();
    // All but the oldest.
    let files = journald.files("var/log/journal") - 1;
    journalctl(&journal, &[&format!("--vacuum-files={files}")]);
    let left = journalctl(&journal, &["--output=cat", "--output-fields=NUMBER"]);
    let first: u64 = left.lines().find_map(|line| line.parse().ok()).unwrap();
    assert!(first > 11, "a file with entries was removed");
    let mut sawyer = start(&early, "two");
    wait_for(&mut sawyer, first..3001);
    let metric = "sawyer_input_journal_missed_entries_total{input=\"journal\"} ";
    let deadline = Instant::now() + SOON;
    loop {
        let (_, text) = sawyer.request("GET", "/metrics", &[], b"");
        let missed = text.lines().find_map(|line| line.strip_prefix(metric)?.parse::<u64>().ok()).unwrap();
        // With what journald says itself, which has no such number.
        if (first - 11..first + 100).contains(&missed) {
            break;
        }
        assert!(missed == 0 && Instant::now() < deadline, "{missed} missed\n{}", sawyer.log());
        pause();
    }
}

#[test]
fn every_entry_of_journald_is_found_once() {
    if !sawyer_testkit::may_use_root("a journald of its own")
        || !daemon::have_programs(&["systemd-journald", "logger", "unshare", "setpriv"])
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let journald = Journald::start(folder.path());
    // As in a boot: first into memory, then to the disk.
    journald.write(0..300);
    while journald.files("run/log/journal") == 0 {
        pause();
    }
    journald.flush();
    let mut sawyer = Sawyer::up(folder.path());
    wait_for_numbers(&mut sawyer, 300);
    journald.write(300..800);
    wait_for_numbers(&mut sawyer, 800);
    journald.rotate();
    journald.write(800..1300);
    // Several files more while nobody reads, and a kill while somebody does.
    sawyer.kill();
    let before = journald.files("var/log/journal");
    journald.write(1300..4000);
    journald.rotate();
    assert!(journald.files("var/log/journal") > before + 1, "rotated by size, too");
    let sawyer = Sawyer::up(folder.path());
    journald.write(4000..5000);
    sawyer.kill();
    journald.write(5000..5100);
    let mut sawyer = Sawyer::up(folder.path());
    wait_for_numbers(&mut sawyer, 5100);
    let total = sawyer.count("source: journal");
    sawyer.stop();
    let mut sawyer = Sawyer::up(folder.path());
    journald.write(5100..5101);
    wait_for_numbers(&mut sawyer, 5101);
    assert_eq!(sawyer.count("source: journal"), total + 1);
}

#[test]
fn fields_of_journald_are_those_of_a_record() {
    if !sawyer_testkit::may_use_root("a journald of its own")
        || !daemon::have_programs(&["systemd-journald", "logger", "unshare", "setpriv"])
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let journald = Journald::start(folder.path());
    let mut sawyer = Sawyer::up(folder.path());
    journald.print("cart.service", "cart", "<3>no stock\n결제 완료\n");
    journald.logger(&["--tag", "backup", "--priority", "user.warning", "disk is slow"]);
    journald.logger(&["--tag", "backup", "--priority", "auth.crit", &"long ".repeat(150)]);
    sawyer.wait_for_count("program: cart", 2);
    sawyer.wait_for_count("program: backup", 2);
    let own = u64::from(std::process::id());
    let failed = &sawyer.all("unit: cart.service and level: error")[0];
    assert_eq!(failed["message"], "no stock", "{failed}");
    assert_eq!((&failed["pid"], &failed["node"]), (&own.into(), &"journal-node".into()), "{failed}");
    assert_eq!(sawyer.count("unit: cart.service and level: info and message: 결제"), 1);
    assert_eq!(sawyer.count("program: backup and level: warn and message: \"disk is slow\""), 1);
    assert_eq!(sawyer.count("program: backup and level: fatal and journal._transport: syslog"), 1);
    assert_eq!(sawyer.count("pid: * and program: backup"), 2);
}

/// An entry in the export format; texts with line feeds in the form for binary data.
fn exported(number: u64, message: &[u8]) -> Vec<u8> {
    let micros = 1_795_000_000_000_000 + number;
    let mut entry = format!(
        "__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={number}\n_BOOT_ID={:032x}\n_MACHINE_ID={:032x}\n\
         _HOSTNAME=far-away\n_SYSTEMD_UNIT=shop.service\n_PID=4711\nPRIORITY={}\nNUMBER={number}\nMESSAGE\n",
        7,
        9,
        number % 8
    )
    .into_bytes();
    entry.extend((message.len() as u64).to_le_bytes());
    entry.extend(message);
    entry.extend(b"\n\n");
    entry
}

/// Has systemd-journal-remote write entries into a file.
fn receive(file: &Path, entries: &[Vec<u8>]) {
    receive_with(&["--split-mode=none"], file, entries);
}

fn receive_with(options: &[&str], file: &Path, entries: &[Vec<u8>]) {
    let mut remote = Command::new("timeout");
    remote.args(["--signal=KILL", "30", REMOTE]).args(options).arg("--output").arg(file).arg("-");
    let mut remote = remote.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = remote.stdin.take().unwrap();
    entries.iter().for_each(|entry| input.write_all(entry).unwrap());
    drop(input);
    let ended = remote.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn every_entry_of_journal_remote_is_found_once() {
    if !sawyer_testkit::may_use_root("systemd-journal-remote")
        || !daemon::have_programs(&["systemd-journal-remote"])
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let journals = folder.path().join("host/var/log/journal/remote");
    fs::create_dir_all(&journals).unwrap();
    let line = |number: u64| exported(number, format!("number {number} of many").as_bytes());
    let lines = |numbers: std::ops::Range<u64>| numbers.map(line).collect::<Vec<_>>();
    receive(&journals.join("one.journal"), &lines(0..1000));
    let mut sawyer = Sawyer::up(folder.path());
    wait_for_numbers(&mut sawyer, 1000);
    // It goes on with a file that is there, and another comes.
    receive(&journals.join("one.journal"), &lines(1000..2000));
    wait_for_numbers(&mut sawyer, 2000);
    receive(&journals.join("two.journal"), &lines(2000..4000));
    sawyer.kill();
    fs::rename(journals.join("one.journal"), journals.join("one@1.journal")).unwrap();
    // Compressed, and over several lines.
    let large = format!("number 4000 {}\nand an end", "large ".repeat(40_000));
    receive(&journals.join("two.journal"), &[exported(4000, large.as_bytes())]);
    let mut sawyer = Sawyer::up(folder.path());
    wait_for_numbers(&mut sawyer, 4001);
    assert_eq!(sawyer.all("journal.number: 4000")[0]["message"], large);
    let total = sawyer.count("unit: shop.service and pid: 4711 and node: far-away");
    assert_eq!(total, 4001);
    for (level, count) in [("fatal", 1501), ("error", 500), ("warn", 500), ("info", 1000), ("debug", 500)] {
        assert_eq!(sawyer.count(&format!("level: {level}")), count, "{level}");
    }
    let last = &sawyer.all("journal.number: 3999")[0];
    assert_eq!(last["timestamp"], "2026-11-18T11:06:40.003999Z", "{last}");
}

/// Packs the values of messages with liblzma, in the way of systemd's `compress_blob_xz`: LZMA2, fast, no check.
const PACK: &str = r#"
import lzma, struct, sys
path, = sys.argv[1:]
data = bytearray(open(path, 'rb').read())
flags, = struct.unpack_from('<I', data, 12)
head = 72 if flags & 16 else 64
filters = [{'id': lzma.FILTER_LZMA2, 'dict_size': 1 << 20, 'mode': lzma.MODE_FAST, 'nice_len': 128,
            'mf': lzma.MF_HC3, 'depth': 4}]
at = packed = 0
while (at := data.find(b'MESSAGE=number', at + 1)) > 0:
    value = at - head
    size, = struct.unpack_from('<Q', data, value + 8)
    if data[value:value + 2] != b'\1\0' or size < 600:
        continue
    xz = lzma.compress(bytes(data[at:value + size]), check=lzma.CHECK_NONE, filters=filters)
    data[at:at + len(xz)] = xz
    data[value + 1] = 1
    struct.pack_into('<Q', data, value + 8, head + len(xz))
    packed += 1
struct.pack_into('<I', data, 12, flags | 1)
open(path, 'wb').write(data)
print(packed)
"#;

#[test]
fn values_packed_with_xz_are_read_as_systemd_reads_them() {
    if !sawyer_testkit::may_use_root("systemd-journal-remote")
        || !daemon::have_programs(&["systemd-journal-remote", "journalctl", "python3"])
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let journals = folder.path().join("host/var/log/journal/remote");
    fs::create_dir_all(&journals).unwrap();
    let file = journals.join("old.journal");
    let texts: Vec<String> = (0..40u64)
        .map(|number| {
            format!("number {number} {}", format!("{:x} ", number * 7919).repeat(30 << (number % 10)))
        })
        .collect();
    let entries: Vec<_> = (0..).zip(&texts).map(|(number, text)| exported(number, text.as_bytes())).collect();
    receive_with(&["--split-mode=none", "--compress=no"], &file, &entries);
    let packed = Command::new("python3").args(["-c", PACK]).arg(&file).output().unwrap();
    let packed: usize = String::from_utf8(packed.stdout).unwrap().trim().parse().unwrap();
    assert!(packed > 30, "{packed}");
    // This systemd packs with zstd. It reads what older ones left, which says that the file is such a one.
    let read = Command::new("journalctl").args(["--output=cat", "--file"]).arg(&file).output().unwrap();
    assert_eq!(String::from_utf8(read.stdout).unwrap(), texts.join("\n") + "\n");
    let mut sawyer = Sawyer::up(folder.path());
    wait_for_numbers(&mut sawyer, 40);
    for record in sawyer.all("journal.number: *") {
        let number: usize = record["journal.number"].as_str().unwrap().parse().unwrap();
        assert_eq!(record["message"].as_str().unwrap(), texts[number]);
    }
}
