use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sawyer_config::{Document, Problems, Setting};
use sawyer_disk::{Disk, Fault, SimDisk, SimSettings};
use sawyer_model::{Error, ErrorKind, Outcome};

use super::sink::{FileSink, is_rotated};
use super::*;
use crate::encode::LineFormat;
use crate::lines::{Lines, Sink};
use crate::testing::{Bench, context, numbered, plan, sim};
use sawyer_testkit::Dice;

fn settings(more: &str) -> FileSettings {
    let document = Document::parse("sawyer.yaml", &format!("path: out.log\n{more}")).unwrap();
    let mut problems = Problems::new();
    let settings = FileSettings::read(&document.at(), &mut problems);
    problems.into_result(settings).unwrap()
}

/// A sink on a simulated disk, which holds its state as well.
struct Rig {
    disk: SimDisk,
    context: Context,
    sink: FileSink,
}

fn rig(disk: &SimDisk, more: &str) -> Rig {
    let state: Arc<dyn Disk> = Arc::new(disk.clone());
    let context = Context { state: state.sub("state"), ..context(disk) };
    let sink = FileSink::new(Arc::new(disk.clone()), "out.log".into(), settings(more), &context);
    Rig { disk: disk.clone(), context, sink }
}

impl Rig {
    fn write(&mut self, start: u64, count: u64) -> Result<(), Error> {
        let batches = [Arc::new(numbered(start, count))];
        self.sink.write(&mut Lines::encode(&batches, LineFormat::Text))
    }

    /// Names and contents of the file and those it was rotated to, oldest first, by the numbers in their lines.
    fn show(&self) -> String {
        let mut text = String::new();
        for name in files(&self.disk) {
            let numbers: Vec<String> =
                read(&self.disk, &name).lines().map(|line| line.rsplit(' ').next().unwrap().into()).collect();
            text.push_str(&format!("{name}: {}\n", numbers.join(" ")));
        }
        text
    }
}

fn files(disk: &dyn Disk) -> Vec<String> {
    let names = disk.read_dir(Path::new("")).unwrap().into_iter().map(|entry| entry.name);
    let mut files: Vec<String> = names.filter(|name| is_rotated(name, "out.log")).collect();
    if disk.exists(Path::new("out.log")).unwrap() {
        files.push("out.log".into());
    }
    files
}

fn read(disk: &dyn Disk, name: &str) -> String {
    String::from_utf8_lossy(&sawyer_disk::read_all(disk, Path::new(name), 1 << 30).unwrap()).into_owned()
}

#[test]
fn appends_to_what_is_there() {
    let disk = sim();
    rig(&disk, "").write(0, 2).unwrap();
    let mut again = rig(&disk, "");
    again.write(2, 1).unwrap();
    assert_eq!(again.show(), "out.log: 0 1 2\n");
}

#[test]
fn a_torn_last_line_is_cut_off_when_the_file_is_opened() {
    let disk = sim();
    rig(&disk, "").write(0, 2).unwrap();
    let torn = "torn".repeat(50_000);
    disk.open_append(Path::new("out.log")).unwrap().append(torn.as_bytes()).unwrap();
    let mut again = rig(&disk, "");
    again.write(2, 1).unwrap();
    assert_eq!(again.show(), "out.log: 0 1 2\n");
}

#[test]
fn rotates_by_size_and_keeps_as_many_as_told() {
    let mut rig = rig(&sim(), "size_max: 1KiB\nkeep: 2");
    // Two groups of lines are more than the size.
    for at in 0..5 {
        rig.write(at * 18, 18).unwrap();
        rig.context.clock.advance(Duration::from_secs(1));
    }
    let names: Vec<String> = files(&rig.disk);
    assert_eq!(names, ["out.log.20261120T120003", "out.log.20261120T120004", "out.log"]);
    assert!(rig.show().contains("out.log: 72 73"), "{}", rig.show());
}

#[test]
fn files_rotated_within_one_second_are_told_apart() {
    let mut rig = rig(&sim(), "size_max: 1KiB");
    for at in 0..3 {
        rig.write(at * 18, 18).unwrap();
    }
    let names = files(&rig.disk);
    assert_eq!(names, ["out.log.20261120T120000", "out.log.20261120T120000-001", "out.log"]);
}

#[test]
fn rotates_at_the_first_line_of_a_day_also_after_a_restart() {
    let disk = sim();
    let mut first = rig(&disk, "daily: true");
    first.write(0, 1).unwrap();
    first.context.clock.advance(Duration::from_secs(3600));
    first.write(1, 1).unwrap();
    drop(first);
    let mut second = rig(&disk, "daily: true");
    second.write(2, 1).unwrap();
    assert_eq!(second.show(), "out.log: 0 1 2\n");
    drop(second);
    let mut third = rig(&disk, "daily: true");
    third.context.clock.advance(Duration::from_secs(12 * 3600));
    third.write(3, 1).unwrap();
    third.context.clock.advance(Duration::from_secs(24 * 3600));
    third.write(4, 1).unwrap();
    let expected = "out.log.20261121T000000: 0 1 2\nout.log.20261122T000000: 3\nout.log: 4\n";
    assert_eq!(third.show(), expected);
}

#[test]
fn a_file_that_was_moved_away_is_made_anew() {
    let mut rig = rig(&sim(), "");
    rig.write(0, 1).unwrap();
    rig.disk.rename(Path::new("out.log"), Path::new("taken")).unwrap();
    rig.write(1, 1).unwrap();
    assert_eq!(rig.show(), "out.log: 1\n");
    rig.disk.remove_file(Path::new("out.log")).unwrap();
    rig.write(2, 1).unwrap();
    assert_eq!(rig.show(), "out.log: 2\n");
}

#[test]
fn a_full_disk_leaves_no_half_lines() {
    let disk = SimDisk::new(1, SimSettings { capacity_bytes: 1 << 20, ..SimSettings::default() });
    let mut rig = rig(&disk, "");
    rig.write(0, 1).unwrap();
    disk.set_capacity(100);
    let error = rig.write(1, 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.chain().contains("disk is full"), "{}", error.chain());
    assert_eq!(rig.show(), "out.log: 0\n");
    disk.set_capacity(1 << 20);
    rig.write(1, 2).unwrap();
    assert_eq!(rig.show(), "out.log: 0 1 2\n");
}

#[test]
fn only_one_writes_to_a_file() {
    let disk = sim();
    let mut first = rig(&disk, "");
    first.write(0, 1).unwrap();
    let error = rig(&disk, "").write(1, 1).unwrap_err();
    assert!(error.chain().starts_with("lock the file"), "{}", error.chain());
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.log");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = refuse_special(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.chain().contains("no regular file"), "{}", error.chain());
    std::fs::remove_file(&path).unwrap();
    refuse_special(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    refuse_special(&path).unwrap();
}

#[test]
fn other_files_are_none_of_its_business() {
    for name in
        ["out.log", "out.log.1", "out.log.20261120T12000x", "out.log.20261120T120000-1", "x.20261120T120000"]
    {
        assert!(!is_rotated(name, "out.log"), "{name}");
    }
    assert!(is_rotated("out.log.20261120T120000", "out.log"));
    assert!(is_rotated("out.log.20261120T120000-012", "out.log"));
}

/// Writes groups until the disk says no for good; gives the numbers of the lines that were reported as written.
fn write_until_dark(rig: &mut Rig, seed: u64) -> BTreeSet<u64> {
    let mut dice = Dice::new(seed);
    let mut written = BTreeSet::new();
    let mut next = 0;
    while rig.disk.has_power() && next < 400 {
        let count = 1 + dice.below(12);
        let mut tries = 0;
        while rig.write(next, count).is_err() && rig.disk.has_power() {
            tries += 1;
            assert!(tries < 20, "it does not recover");
        }
        if rig.disk.has_power() {
            written.extend(next..next + count);
        }
        next += count;
    }
    written
}

/// Whole lines of all files.
fn numbers(disk: &dyn Disk) -> BTreeSet<u64> {
    let files = files(disk);
    let texts = files.iter().map(|name| read(disk, name));
    let of = |text: String| {
        let whole = text.rsplit_once('\n').map_or(String::new(), |(whole, _)| whole.to_owned());
        let lines: Vec<u64> = whole
            .lines()
            .filter(|line| line.starts_with("2026-11-20T") && line.contains(" shop/cart-1/app line "))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        lines
    };
    texts.flat_map(of).collect()
}

#[test]
fn what_was_written_survives_power_loss_and_errors_of_the_disk() {
    for seed in 0..300 {
        let disk = SimDisk::new(seed, SimSettings::default());
        let mut dice = Dice::new(seed ^ 0x77);
        if seed % 3 != 0 {
            for _ in 0..dice.below(5) {
                disk.fail_operation(
                    1 + dice.below(100),
                    if dice.below(2) == 0 { Fault::Io } else { Fault::Full },
                );
            }
        }
        if seed % 4 != 0 {
            disk.cut_power_at(5 + dice.below(100));
        }
        let more = "size_max: 2KiB\nkeep: 100000";
        let written = write_until_dark(&mut rig(&disk, more), seed);
        let after = disk.power_loss();
        let mut again = rig(&after, more);
        again.write(1000, 1).unwrap();
        let found = numbers(&after);
        let lost: Vec<u64> = written.difference(&found).copied().collect();
        assert!(lost.is_empty(), "seed={seed}: lost {lost:?}");
        assert!(found.contains(&1000), "seed={seed}: it does not go on");
    }
}

#[tokio::test]
async fn writes_to_a_real_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/out.ndjson");
    let yaml = format!("path: {}\nsync: interval\nsync_interval: 5ms", path.display());
    let context = context(&sim());
    let output = plan(&kind(), &yaml).unwrap().open(&context).unwrap();
    let mut bench = Bench::start(output, context);
    for at in 0..20 {
        bench.send(numbered(at * 5, 5)).await;
    }
    let (ended, outcomes) = bench.drain().await;
    ended.unwrap();
    assert_eq!(outcomes, [Outcome::Durable; 20]);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 100);
    insta::assert_snapshot!(text.lines().nth(42).unwrap(), @r#"{"_id":"00000000000000000000000000000007-2a","timestamp":"2026-11-20T12:00:00Z","observed":"2026-11-20T12:00:00Z","message":"line 42","container":"app","namespace":"shop","pod":"cart-1"}"#);
}

#[test]
fn tells_what_is_wrong_with_the_settings() {
    let text = "path: logs/\nsync: sometimes\nsize_max: 10 megs\nkeep: 0";
    insta::assert_snapshot!(plan(&kind(), text).err().unwrap(), @r#"
    sawyer.yaml:2:1: sync: expected one of `always`, `interval`, `never`, found "sometimes"
    sawyer.yaml:3:1: size_max: expected a size such as "10MiB", found "10 megs"
    sawyer.yaml:4:1: keep: expected a value from 1 to 100000, found 0
    "#);
    insta::assert_snapshot!(plan(&kind(), "path: logs/").err().unwrap(), @r#"sawyer.yaml:1:1: path: expected the path of a file, found "logs/""#);
}

#[test]
fn a_folder_that_cannot_be_made_is_told_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let yaml = format!("path: {}/out.log", file.path().display());
    let error = plan(&kind(), &yaml).unwrap().open(&context(&sim())).err().unwrap();
    let chain = error.chain().replace(&*file.path().to_string_lossy(), "<file>");
    insta::assert_snapshot!(chain, @"make the folder: create directory <file>: not a directory");
}
