//! Full disks, read-only disks, flipped bits, torn ends, two processes: each gives a clear error or a named problem,
//! and nothing else suffers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sawyer_disk::{Disk, Fault, SimDisk, SimSettings, read_all};
use sawyer_model::{ErrorKind, Record, RecordId};
use sawyer_query::search::{Budget, Order, Search, SearchRequest};
use sawyer_segment::{BATCH_VERSION, encode_batch_columns};
use sawyer_store::{Inspection, Store};
use sawyer_telemetry::Clock;

use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, everything, open, plan, plan_of, record, records};

fn id(record: &Record) -> RecordId {
    RecordId { source: record.source, start: record.range.start }
}

fn some_records(clock: &Clock, source: u128, count: u64) -> Vec<Record> {
    let mut dice = Dice::new(source as u64);
    (0..count).map(|n| record(clock, &mut dice, source, n * 10, n * 10 + 10)).collect()
}

fn append(store: &Store, records: &[Record]) {
    store.append(Arc::new(batch_of(records))).expect("it is stored");
}

/// All files of a disk.
fn files(disk: &SimDisk) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for folder in ["", "wal", "segments", "quarantine"] {
        for entry in disk.read_dir(Path::new(folder)).unwrap_or_default() {
            if entry.kind == sawyer_disk::EntryKind::File {
                all.push((Path::new(folder).join(entry.name), entry.len));
            }
        }
    }
    all
}

#[test]
fn a_second_store_is_kept_out() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let first = open(&disk, &plan(), &clock).unwrap();
    let error = open(&disk, &plan(), &clock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.chain().starts_with("another process has the data folder open"), "{}", error.chain());
    drop(first);
    open(&disk, &plan(), &clock).unwrap();
}

#[test]
fn a_read_only_folder_is_told_when_it_is_opened() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    drop(open(&disk, &plan(), &clock).unwrap());
    disk.set_read_only(true);
    let error = open(&disk, &plan(), &clock).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Invalid, "the data folder cannot be written"));
}

#[test]
fn a_disk_that_turns_read_only_refuses_writes_and_answers() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let store = open(&disk, &plan(), &clock).unwrap();
    let (first, second) = (some_records(&clock, 1, 20), some_records(&clock, 2, 20));
    append(&store, &first);
    disk.set_read_only(true);
    let refused = store.append(Arc::new(batch_of(&second))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Retry, "{}", refused.chain());
    assert!(store.seal_now().is_err());
    assert_eq!(records(&store).len(), 20);
    disk.set_read_only(false);
    append(&store, &second);
    store.seal_now().unwrap();
    assert_eq!(records(&store).len(), 40);
    drop(store);
    let store = open(&disk.power_loss(), &plan(), &clock).unwrap();
    assert_eq!(records(&store).len(), 40);
}

#[test]
fn a_full_disk_refuses_writes_answers_and_recovers() {
    let settings = SimSettings { capacity_bytes: 80_000, ..SimSettings::default() };
    let (disk, clock) = (SimDisk::new(1, settings), clock());
    let plan = plan_of("memory_max: 1MiB\nseal_interval: 5s\nfree_min: 20KB\nsize_max: 1GiB\n");
    let store = open(&disk, &plan, &clock).unwrap();
    let mut stored = BTreeSet::new();
    let mut refused = 0;
    for source in 0..100 {
        let records = some_records(&clock, source, 50);
        match store.append(Arc::new(batch_of(&records))) {
            Ok(_) => stored.extend(records.iter().map(id)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry);
                assert!(error.chain().starts_with("disk is full, writes are refused"), "{}", error.chain());
                refused += 1;
            }
        }
        clock.advance(Duration::from_secs(1));
        // Sealing makes room, because segments are smaller than the log.
        let _ = store.run_once();
        assert_eq!(records_of(&store), stored);
    }
    assert!(refused > 10, "the disk was full: refused={refused}");
    disk.set_capacity(10_000_000);
    for source in 0..100 {
        let records = some_records(&clock, source, 50);
        append(&store, &records);
        stored.extend(records.iter().map(id));
    }
    assert_eq!(records_of(&store), stored);
    drop(store);
    let store = open(&disk.power_loss(), &plan, &clock).unwrap();
    assert_eq!(records_of(&store), stored);
    assert_eq!(store.verify().problems, []);
}

fn records_of(store: &Store) -> BTreeSet<RecordId> {
    let all = records(store);
    let ids: BTreeSet<RecordId> = all.iter().map(id).collect();
    assert_eq!(ids.len(), all.len(), "each once");
    ids
}

#[test]
fn a_disk_without_any_room_still_sheds_what_is_too_old() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 1MiB\nretention: 48h\nfree_min: 0\nsize_max: 1GiB\n");
    let store = open(&disk, &plan, &clock).unwrap();
    append(&store, &some_records(&clock, 1, 500));
    store.seal_now().unwrap();
    disk.set_capacity(0);
    clock.advance(Duration::from_secs(4 * 86_400));
    // Removing the segment leaves less room than a catalogue takes, so this fails until there is room.
    assert!(store.run_once().is_err());
    assert_eq!(records(&store).len(), 0);
    disk.set_capacity(1_000_000);
    store.run_once().unwrap();
    append(&store, &some_records(&clock, 2, 5));
    drop(store);
    let store = open(&disk, &plan, &clock).unwrap();
    assert_eq!(records(&store).len(), 5);
    assert_eq!(store.problems(), []);
}

#[test]
fn a_failed_sync_acknowledges_nothing_and_doubles_nothing() {
    for (number, fault) in (1..60).flat_map(|n| [Fault::Io, Fault::Full, Fault::ReadOnly].map(|f| (n, f))) {
        let (disk, clock) = (SimDisk::new(number, SimSettings::default()), clock());
        let store = open(&disk, &plan(), &clock).unwrap();
        disk.fail_operation(disk.counts().operations + number, fault);
        let mut all = BTreeSet::new();
        for source in 0..8 {
            let records = some_records(&clock, source, 5);
            all.extend(records.iter().map(id));
            let batch = Arc::new(batch_of(&records));
            if store.append(Arc::clone(&batch)).is_err() {
                store.append(batch).expect("the next file takes it");
            }
            if source % 3 == 2 {
                let _ = store.seal_now();
            }
        }
        assert_eq!(records_of(&store), all, "number={number}");
        drop(store);
        let store = open(&disk.power_loss(), &plan(), &clock).unwrap();
        assert_eq!(records_of(&store), all, "number={number}");
        assert_eq!(store.problems(), [], "number={number}");
    }
}

#[test]
fn what_was_written_in_doubt_and_sent_again_is_there_once() {
    for seed in 0..30 {
        let (disk, clock) = (SimDisk::new(seed, SimSettings::default()), clock());
        let store = open(&disk, &plan(), &clock).unwrap();
        append(&store, &some_records(&clock, 1, 5));
        // The bytes get written, their sync fails, and they are sent again with some more.
        disk.fail_operation(disk.counts().operations + 2, Fault::Io);
        let again = some_records(&clock, 2, 20);
        store.append(Arc::new(batch_of(&again[..10]))).unwrap_err();
        append(&store, &again);
        assert_eq!(records_of(&store).len(), 25);
        let disk = disk.kill_process();
        drop(store);
        let store = open(&disk, &plan(), &clock).unwrap();
        assert_eq!(records_of(&store).len(), 25, "seed={seed}");
    }
}

/// A process was killed between a write and its sync, or after a sync that failed. The next one finds the records, and
/// tells who sends them again that they are there.
#[test]
fn what_was_found_in_doubt_is_durable_before_it_is_acknowledged() {
    for seed in 0..40 {
        for (behind, more) in [(1, false), (2, false), (1, true), (2, true)] {
            let (disk, clock) = (SimDisk::new(seed, SimSettings::default()), clock());
            let store = open(&disk, &plan(), &clock).unwrap();
            append(&store, &some_records(&clock, 1, 5));
            // The write is the first operation, its sync the second.
            disk.fail_operation(disk.counts().operations + behind, Fault::Io);
            let again = some_records(&clock, 2, 10);
            store.append(Arc::new(batch_of(&again))).unwrap_err();
            let disk = disk.kill_process();
            drop(store);
            let store = open(&disk, &plan(), &clock).unwrap();
            let told = format!("seed={seed} behind={behind} more={more} found={}", records(&store).len());
            // A first try fails, and forgets nothing.
            if more {
                disk.fail_operation(disk.counts().operations + 2, Fault::Full);
                store.append(Arc::new(batch_of(&again))).expect_err(&told);
            }
            store.append(Arc::new(batch_of(&again))).expect(&told);
            let disk = disk.power_loss();
            let store = open(&disk, &plan(), &clock).unwrap();
            let found = records_of(&store);
            assert!(again.iter().all(|record| found.contains(&id(record))), "{told}");
            assert_eq!(found.len(), 15, "{told}");
        }
    }
}

#[test]
fn bytes_behind_the_end_of_a_log_are_named() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let store = open(&disk, &plan(), &clock).unwrap();
    append(&store, &some_records(&clock, 1, 20));
    drop(store);
    let log = files(&disk).into_iter().find(|(path, _)| path.starts_with("wal")).unwrap().0;
    let mut file = disk.open_append(&log).unwrap();
    file.append(&[0xf5, b'S', b'W', 0xff, 1, 2, 3]).unwrap();
    drop(file);
    let store = open(&disk, &plan(), &clock).unwrap();
    // It was ended as it should be, so that nothing behind its end can be a write that was not finished.
    assert_eq!(store.problems().len(), 1);
    append(&store, &some_records(&clock, 2, 20));
    drop(store);
    assert_eq!(records(&open(&disk, &plan(), &clock).unwrap()).len(), 40);
}

#[test]
fn a_log_with_a_batch_of_a_newer_version_is_left_as_it_is() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let store = open(&disk, &plan(), &clock).unwrap();
    append(&store, &some_records(&clock, 1, 20));
    let mut newer = batch_of(&some_records(&clock, 2, 20));
    let mut bytes = encode_batch_columns(&newer);
    bytes[7] = BATCH_VERSION + 1;
    newer.set_encoded(bytes.into());
    store.append(Arc::new(newer)).unwrap();
    drop(store);
    let (log, _) = log_of(&disk);
    let before = files(&disk);
    let error = open(&disk, &plan(), &clock).unwrap_err();
    let version = BATCH_VERSION + 1;
    let log = log.display();
    assert_eq!(
        error.chain(),
        format!("the data folder holds data of a newer version: path={log} version={version}")
    );
    assert_eq!(files(&disk), before);
}

/// What a process leaves that is killed while it has the disk open: without an end mark.
fn killed_with(clock: &Clock, records: &[Record]) -> SimDisk {
    let disk = SimDisk::new(1, SimSettings::default());
    let store = open(&disk, &plan(), clock).expect("it opens");
    append(&store, records);
    disk.kill_process()
}

fn log_of(disk: &SimDisk) -> (PathBuf, u64) {
    files(disk).into_iter().find(|(path, _)| path.starts_with("wal")).expect("there is a log")
}

/// Ends of logs in the quarantine.
fn kept_ends(disk: &SimDisk) -> Vec<PathBuf> {
    let aside = files(disk).into_iter().map(|(path, _)| path).filter(|path| path.starts_with("quarantine"));
    aside.filter(|path| path.extension().is_none_or(|kind| kind != "txt")).collect()
}

#[test]
fn a_torn_end_is_kept_once_and_told_by_verify() {
    let clock = clock();
    for torn in [false, true] {
        let disk = killed_with(&clock, &some_records(&clock, 1, 20));
        let (log, len) = log_of(&disk);
        let written = read_all(&disk, &log, 1 << 20).unwrap();
        // Either something follows that is no frame, or the only frame has become none: nobody can tell whether it
        // was acknowledged, so it is not thrown away.
        let (end, left) = if torn {
            let end = vec![0x17; 333];
            disk.open_append(&log).unwrap().append(&end).unwrap();
            (end, 20)
        } else {
            disk.flip_bit(&log, len - 1, 0).unwrap();
            let mut end = written[32..].to_vec();
            *end.last_mut().unwrap() ^= 1;
            (end, 0)
        };
        let metrics = sawyer_telemetry::Metrics::new();
        let store = Store::open_manual(Arc::new(disk.clone()), plan(), clock.clone(), &metrics).unwrap();
        assert_eq!((records(&store).len(), store.problems()), (left, vec![]));
        let counted = format!("sawyer_store_torn_bytes_total{{}} {}", end.len());
        assert!(metrics.text().lines().any(|line| line == counted), "{}", metrics.text());
        append(&store, &some_records(&clock, 2, 20));
        drop(store);
        drop(open(&disk, &plan(), &clock).unwrap());
        let kept = kept_ends(&disk);
        assert_eq!(kept.len(), 1, "once, whatever starts come: {kept:?}");
        assert_eq!(read_all(&disk, &kept[0], 1 << 20).unwrap(), end);
        let note = read_all(&disk, &PathBuf::from(format!("{}.txt", kept[0].display())), 10_000).unwrap();
        let note = String::from_utf8(note).unwrap();
        assert!(note.contains(&format!("put aside from {}", log.display())), "{note}");
        let found = Inspection::open(Arc::new(disk.clone())).unwrap().verify().unwrap();
        assert_eq!(found.set_aside, [(kept[0].display().to_string(), end.len() as u64)]);
        assert_eq!((found.problems, found.torn_bytes), (vec![], 0));
    }
}

#[test]
fn a_torn_end_that_cannot_be_put_aside_stays_where_it_is() {
    let clock = clock();
    for torn_only in [false, true] {
        let disk = killed_with(&clock, &some_records(&clock, 1, 20));
        let (log, len) = log_of(&disk);
        let end = vec![0x17; 333];
        if torn_only {
            disk.flip_bit(&log, len - 1, 0).unwrap();
        }
        disk.open_append(&log).unwrap().append(&end).unwrap();
        disk.set_capacity(0);
        let store = open(&disk, &plan(), &clock).unwrap();
        let left = if torn_only { 0 } else { 20 };
        assert_eq!((records(&store).len(), kept_ends(&disk)), (left, vec![]));
        // Its file goes to the quarantine as a whole when what is sound in it is sealed.
        disk.set_capacity(10_000_000);
        append(&store, &some_records(&clock, 2, 20));
        store.seal_now().unwrap();
        let kept = kept_ends(&disk);
        assert_eq!(kept, [Path::new("quarantine").join(log.file_name().unwrap())]);
        assert!(read_all(&disk, &kept[0], 1 << 20).unwrap().ends_with(&end));
        assert_eq!(records(&store).len(), left + 20);
    }
}

/// The log goes to the quarantine as it was, once what is sound in it is sealed.
fn goes_aside_whole(disk: &SimDisk, store: &Store, clock: &Clock) {
    let (log, _) = log_of(disk);
    let before = read_all(disk, &log, 1 << 20).expect("it is read");
    assert_eq!(kept_ends(disk), [] as [PathBuf; 0]);
    append(store, &some_records(clock, 9, 20));
    store.seal_now().expect("it is sealed");
    let kept = kept_ends(disk);
    assert_eq!(kept, [Path::new("quarantine").join(log.file_name().expect("it has a name"))]);
    assert_eq!(read_all(disk, &kept[0], 1 << 20).expect("it is read"), before);
}

#[test]
fn a_gap_within_what_was_written_last_is_not_thrown_away() {
    for behind in [false, true] {
        let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
        let store = open(&disk, &plan(), &clock).unwrap();
        // Two frames of one write, which were acknowledged both.
        store.append_with(Arc::new(batch_of(&some_records(&clock, 1, 5))), |done| drop(done.unwrap()));
        append(&store, &some_records(&clock, 2, 5));
        let disk = disk.kill_process();
        drop(store);
        let (log, _) = log_of(&disk);
        disk.flip_bit(&log, 32 + 32 + 10, 0).unwrap();
        if behind {
            disk.open_append(&log).unwrap().append(&[0x17; 333]).unwrap();
        }
        let metrics = sawyer_telemetry::Metrics::new();
        let store = Store::open_manual(Arc::new(disk.clone()), plan(), clock.clone(), &metrics).unwrap();
        let found = records(&store);
        assert!(found.len() == 5 && found.iter().all(|record| record.source.0 == 2), "{found:?}");
        let text = metrics.text();
        let counted = |line: &str| line.strip_prefix("sawyer_store_torn_bytes_total{} ")?.parse::<u64>().ok();
        let torn = text.lines().find_map(counted).unwrap_or(0);
        assert!(torn > if behind { 333 } else { 0 }, "{torn}");
        goes_aside_whole(&disk, &store, &clock);
        assert_eq!((records(&store).len(), store.problems()), (25, vec![]));
    }
}

#[test]
fn a_log_whose_header_is_wrong_is_damaged_and_not_torn() {
    let clock = clock();
    let disk = killed_with(&clock, &some_records(&clock, 1, 20));
    let (log, len) = log_of(&disk);
    // All of it, as where it is encrypted and the key to it is gone.
    for at in 0..len {
        disk.flip_bit(&log, at, 3).unwrap();
    }
    let store = open(&disk, &plan(), &clock).unwrap();
    let problems = store.problems();
    assert!(problems.len() == 1 && problems[0].path == log.display().to_string(), "{problems:?}");
    let told = format!("damaged_bytes={len} ");
    assert!(problems[0].message.starts_with(&told), "{problems:?}");
    goes_aside_whole(&disk, &store, &clock);
    assert_eq!(records(&store).len(), 20);
}

#[test]
fn only_so_many_torn_ends_are_kept() {
    let clock = clock();
    let mut disk = SimDisk::new(1, SimSettings::default());
    for round in 0..20 {
        let store = open(&disk, &plan(), &clock).unwrap();
        append(&store, &some_records(&clock, round, 2));
        disk = disk.kill_process();
        drop(store);
        let (log, _) = files(&disk).into_iter().rfind(|(path, _)| path.starts_with("wal")).unwrap();
        disk.open_append(&log).unwrap().append(&vec![0x17; 100 + round as usize]).unwrap();
    }
    let store = open(&disk, &plan(), &clock).unwrap();
    let kept = kept_ends(&disk);
    assert_eq!((records(&store).len(), kept.len()), (40, 16));
    let newest = read_all(&disk, kept.last().unwrap(), 1000).unwrap();
    assert_eq!(newest.len(), 119);
}

/// A store with records in three segments and in the log, and the records of each.
fn filled(clock: &Clock) -> (SimDisk, Vec<Vec<Record>>) {
    let disk = SimDisk::new(7, SimSettings::default());
    let store = open(&disk, &plan(), clock).expect("it opens");
    let parts: Vec<Vec<Record>> = (0..5).map(|source| some_records(clock, source, 30)).collect();
    for part in &parts[..3] {
        append(&store, part);
        store.seal_now().expect("it is sealed");
    }
    append(&store, &parts[3]);
    append(&store, &parts[4]);
    drop(store);
    (disk, parts)
}

#[test]
fn a_flipped_bit_anywhere_is_named_and_the_rest_is_served() {
    let mut dice = Dice::new(3);
    let (sample, _) = filled(&clock());
    for (path, len) in files(&sample).into_iter().filter(|(_, len)| *len > 0) {
        for _ in 0..12 {
            let clock = clock();
            let (disk, parts) = filled(&clock);
            let (offset, bit) = (dice.below(len), dice.below(8) as u8);
            disk.flip_bit(&path, offset, bit).unwrap();
            let told = format!("{} offset={offset} bit={bit}", path.display());
            check_damaged(&disk, &clock, &parts, &path, &told);
        }
    }
}

fn check_damaged(disk: &SimDisk, clock: &Clock, parts: &[Vec<Record>], path: &Path, told: &str) {
    let store = open(disk, &plan(), clock).expect(told);
    // The damage may be in a part that is only read by a question, or only by a check of everything.
    let request = SearchRequest {
        selection: everything(),
        order: Order::NewestFirst,
        limit: usize::MAX,
        after: None,
        original: true,
    };
    let _ = store.search(&request, &Budget::unlimited()).expect(told);
    let verified = store.verify();
    store.run_once().expect(told);
    // A flip in the end mark looks like a mark that was not finished: nothing is lost, and it is put aside.
    let in_mark = path.starts_with("wal") && kept_ends(disk).len() == 1;
    let found = records_of(&store);
    let sent: BTreeSet<RecordId> = parts.iter().flatten().map(id).collect();
    assert!(found.is_subset(&sent), "{told}");
    let lost_parts =
        parts.iter().filter(|part| !part.iter().all(|record| found.contains(&id(record)))).count();
    assert!(lost_parts <= 1, "lost_parts={lost_parts} {told}");
    if in_mark {
        assert_eq!((store.problems(), lost_parts), (vec![], 0), "{told}");
        let kept = disk.metadata(&kept_ends(disk)[0]).expect(told);
        assert_eq!(kept.len, 32, "{told}");
    } else {
        let problems = store.problems();
        assert!(problems.iter().any(|p| Path::new(&p.path) == path), "{problems:?} {verified:?} {told}");
    }
    assert_eq!(store.verify().problems, [], "what is left is sound {told}");
    // What is left is served after a restart too, without new problems, and the damaged file is put aside.
    drop(store);
    let store = open(disk, &plan(), clock).expect(told);
    store.seal_now().expect(told);
    assert_eq!(records_of(&store), found, "{told}");
    if path.starts_with("segments") {
        let aside = Path::new("quarantine").join(path.file_name().expect("it has a name"));
        let note = read_all(disk, &PathBuf::from(format!("{}.txt", aside.display())), 10_000).expect(told);
        assert!(String::from_utf8_lossy(&note).contains("put aside from segments/"), "{told}");
    }
}

#[test]
fn a_missing_catalogue_is_not_taken_for_an_empty_store() {
    let (disk, _) = filled(&clock());
    disk.remove_file(Path::new("catalogue")).unwrap();
    let error = open(&disk, &plan(), &clock()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.chain().contains("catalogue: it is missing, and there is data in segments/"),
        "{}",
        error.chain()
    );
}

#[test]
fn a_missing_segment_is_named() {
    let (disk, parts) = filled(&clock());
    let (segment, _) = files(&disk).into_iter().find(|(path, _)| path.starts_with("segments")).unwrap();
    disk.remove_file(&segment).unwrap();
    let store = open(&disk, &plan(), &clock()).unwrap();
    let problems = store.problems();
    assert_eq!((problems.len(), Path::new(&problems[0].path)), (1, &*segment));
    assert_eq!(problems[0].message, "it is missing");
    assert!(records(&store).len() >= parts[1..].iter().map(Vec::len).sum());
}

#[test]
fn a_disk_that_cannot_be_read_for_a_moment_makes_a_partial_answer() {
    let (disk, parts) = filled(&clock());
    let store = open(&disk, &plan(), &clock()).unwrap();
    disk.fail_read(disk.counts().reads + 1, Fault::Io);
    let request = SearchRequest {
        selection: everything(),
        order: Order::NewestFirst,
        limit: 1000,
        after: None,
        original: true,
    };
    let page = store.search(&request, &Budget::unlimited()).unwrap();
    let all: usize = parts.iter().map(Vec::len).sum();
    assert!(page.stats.partial && page.records.len() < all, "{:?}", page.stats);
    assert_eq!(records(&store).len(), all);
    store.run_once().unwrap();
    assert_eq!(store.problems(), [], "nothing is damaged");
}
