//! Records of a copy brought into a store that is open: once, whatever happened to them and to the machine meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use sawyer_disk::{Disk, EncryptedDisk, Fault, Key, RealDisk, SimDisk, SimSettings, read_all};
use sawyer_model::{Error, ErrorKind, RangeSet, Record, RecordId, SeqRange, SourceId, Timestamp, Value};
use sawyer_query::kql;
use sawyer_query::search::{Budget, Selection};
use sawyer_query::upkeep::{RestoreReport, RestoreRequest, Upkeep};
use sawyer_store::{Store, StorePlan, backup};
use sawyer_telemetry::{Claim, Clock, Metrics};
use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, everything, open, open_on, plan, plan_of, record, records, sorted};

const DAY: Duration = Duration::from_secs(86_400);

fn id(record: &Record) -> RecordId {
    RecordId { source: record.source, start: record.range.start }
}

fn query(text: &str) -> Selection {
    let predicate = kql::compile(text, &kql::CompileOptions::default()).expect("it is KQL");
    Selection { predicate, ..everything() }
}

fn request(selection: Selection) -> RestoreRequest {
    RestoreRequest { selection, keep: None, confirmed: true }
}

fn restore(store: &Store, copy: &SimDisk, request: &RestoreRequest) -> Result<RestoreReport, Error> {
    let copy: Arc<dyn Disk> = Arc::new(copy.clone());
    store.restore(&copy, request, &Budget::unlimited())
}

fn copy_of(disk: &SimDisk) -> SimDisk {
    let copy = SimDisk::new(9, SimSettings::default());
    backup(disk, &copy).expect("it is copied");
    copy
}

/// Records of several days in segments of all kinds, and some in two groups of the log.
fn filled(disk: &SimDisk, plan: &StorePlan, clock: &Clock) -> (Store, Vec<Record>) {
    filled_with(12, disk, plan, clock)
}

fn filled_with(sealed: u64, disk: &SimDisk, plan: &StorePlan, clock: &Clock) -> (Store, Vec<Record>) {
    let store = open(disk, plan, clock).expect("it opens");
    let (mut dice, mut all) = (Dice::new(5), Vec::new());
    for round in 0..sealed + 2 {
        let (first, source) = (round * 40, u128::from(round % 2));
        let some: Vec<Record> =
            (first..first + 40).map(|n| record(clock, &mut dice, source, n * 10, n * 10 + 10)).collect();
        store.append(Arc::new(batch_of(&some))).expect("it is stored");
        all.extend(some);
        if round < sealed {
            store.seal_now().expect("it is sealed");
            if round % 3 == 0 {
                store.run_once().expect("it works");
            }
            clock.advance(Duration::from_secs(7_000));
        }
    }
    (store, all)
}

fn is_info(record: &Record) -> bool {
    record.get("level") == Some(&Value::from("info"))
}

fn is_sound(store: &Store) {
    assert_eq!((store.problems(), store.verify().problems), (Vec::new(), Vec::new()));
}

#[test]
fn what_was_deleted_comes_back_once() {
    let (disk, plan, clock) = (SimDisk::new(3, SimSettings::default()), plan(), clock());
    let (mut store, all) = filled(&disk, &plan, &clock);
    let copy = copy_of(&disk);
    let before = records(&store);
    let info = before.iter().filter(|record| is_info(record)).count() as u64;
    let others = before.len() as u64 - info;
    assert_eq!(store.delete(&query("level: info"), &Budget::unlimited()).expect("deletes"), info);
    for _ in 0..5 {
        store.run_once().expect("what is left is merged");
    }
    let preview = RestoreRequest { confirmed: false, ..request(everything()) };
    let told = restore(&store, &copy, &preview).expect("it is told");
    assert_eq!((told.records, told.present, told.expired), (info, others, 0));
    assert!(told.bytes > 0 && told.problems.is_empty(), "{told:?}");
    assert_eq!(records(&store).len() as u64, others, "a preview changes nothing");
    let done = restore(&store, &copy, &request(everything())).expect("it is restored");
    assert_eq!((done.records, done.present, done.expired), (info, others, 0));
    assert_eq!(records(&store), before);
    for _ in 0..2 {
        let again = restore(&store, &copy, &request(everything())).expect("nothing is left");
        assert_eq!((again.records, again.present), (0, info + others));
        assert_eq!(records(&store), before);
        // Merged, in other segments, and after a start.
        for _ in 0..20 {
            store.run_once().expect("it is merged");
        }
        drop(store);
        store = open(&disk, &plan, &clock).expect("it opens again");
    }
    assert_eq!(store.append(Arc::new(batch_of(&all))).expect("it is taken").stored, 0);
    assert_eq!(records(&store), before);
    is_sound(&store);
}

#[test]
fn a_store_that_knows_nothing_gets_the_records_with_their_ranges() {
    let (disk, plan, clock) = (SimDisk::new(3, SimSettings::default()), plan(), clock());
    let (store, all) = filled(&disk, &plan, &clock);
    let copy = copy_of(&disk);
    let other = SimDisk::new(4, SimSettings::default());
    let empty = open(&other, &plan, &clock).expect("it opens");
    let (metrics, all_of_it) = (Metrics::new(), request(everything()));
    assert_eq!(restore(&empty, &copy, &all_of_it).expect("it is restored").records, all.len() as u64);
    assert_eq!(records(&empty), records(&store));
    assert_eq!(empty.append(Arc::new(batch_of(&all))).expect("it is taken").stored, 0);
    drop(empty);
    let other = other.power_loss();
    let again = Store::open_manual(Arc::new(other), plan, clock, &metrics).expect("it opens");
    assert_eq!(records(&again), records(&store));
    assert_eq!(again.append(Arc::new(batch_of(&all))).expect("it is taken").stored, 0);
    is_sound(&again);
    let nothing = SimDisk::new(5, SimSettings::default());
    assert_eq!(restore(&again, &nothing, &all_of_it).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_part_of_it_is_a_span_of_time_and_a_query() {
    let (disk, plan, clock) = (SimDisk::new(3, SimSettings::default()), plan(), clock());
    let (store, all) = filled(&disk, &plan, &clock);
    let copy = copy_of(&disk);
    store.delete(&everything(), &Budget::unlimited()).expect("deletes");
    assert_eq!(records(&store), []);
    let start = all[0].observed.saturating_add(Duration::from_secs(20_000));
    let end = start.saturating_add(Duration::from_secs(30_000));
    let part = Selection { start, end, ..query("level: info and pod: cart-1") };
    let is_of_it = |record: &&Record| {
        let cart = record.stream.get("pod") == Some(&Value::from("cart-1"));
        cart && is_info(record) && (start..end).contains(&record.timestamp)
    };
    let wanted: BTreeSet<RecordId> = all.iter().filter(is_of_it).map(id).collect();
    assert!(wanted.len() > 5, "{}", wanted.len());
    let done = restore(&store, &copy, &request(part)).expect("it is restored");
    assert_eq!((done.records, done.present), (wanted.len() as u64, 0));
    assert_eq!(records(&store).iter().map(id).collect::<BTreeSet<_>>(), wanted);
    // The rest of it.
    let rest = restore(&store, &copy, &request(everything())).expect("it is restored");
    assert_eq!((rest.records, rest.present), ((all.len() - wanted.len()) as u64, wanted.len() as u64));
    assert_eq!(records(&store).len(), all.len());
    is_sound(&store);
}

const POLICIES: &str = "retention: 7d\npolicies:\n- {name: errors, query: 'level: error', keep: 30d}\n";

#[test]
fn wherever_it_is_ended_nothing_too_old_is_brought_and_the_same_goes_on() {
    let (disk, clock) = (SimDisk::new(3, SimSettings::default()), clock());
    let plan = plan_of(&format!("memory_max: 1MiB\nfree_min: 0\nsearch_threads: 1\n{POLICIES}"));
    let (store, all) = filled(&disk, &plan, &clock);
    let copy: Arc<dyn Disk> = Arc::new(copy_of(&disk));
    store.delete(&everything(), &Budget::unlimited()).expect("deletes");
    clock.advance(DAY * 10);
    let is_error = |record: &Record| record.get("level") == Some(&Value::from("error"));
    let ended = (0..).take_while(|n| {
        let done = store.restore(&copy, &request(everything()), &Budget::new(None, n * 20));
        assert!(records(&store).iter().all(is_error), "n={n}");
        done.map_err(|error| assert_eq!(error.kind(), ErrorKind::Closed, "{}", error.chain())).is_err()
    });
    assert!(ended.count() > 10);
    let errors = all.iter().filter(|record| is_error(record)).count();
    assert_eq!(records(&store).len(), errors);
    is_sound(&store);
}

#[test]
fn what_is_too_old_is_left_out_unless_it_is_to_be_kept() {
    let (disk, clock) = (SimDisk::new(3, SimSettings::default()), clock());
    let plan = plan_of(&format!("memory_max: 1MiB\nfree_min: 0\nsearch_threads: 1\n{POLICIES}"));
    let (store, all) = filled(&disk, &plan, &clock);
    let copy = copy_of(&disk);
    clock.advance(DAY * 10);
    let settle = |store: &Store| {
        store.seal_now().expect("it is sealed");
        for _ in 0..40 {
            store.run_once().expect("it works");
        }
    };
    settle(&store);
    let errors =
        all.iter().filter(|record| record.get("level") == Some(&Value::from("error"))).count() as u64;
    assert_eq!(records(&store).len() as u64, errors, "the others are gone");
    let others = all.len() as u64 - errors;
    let told = restore(&store, &copy, &request(everything())).expect("it is told");
    assert_eq!((told.records, told.present, told.expired), (0, errors, others));

    let kept = RestoreRequest { keep: Some(DAY * 3), ..request(everything()) };
    let done = restore(&store, &copy, &kept).expect("it is restored");
    assert_eq!((done.records, done.present, done.expired), (others, errors, 0));
    drop(store);
    let mut store = open(&disk, &plan, &clock).expect("it opens");
    for _ in 0..2 {
        clock.advance(DAY);
        settle(&store);
        assert_eq!(records(&store).len(), all.len(), "merged, and kept");
        drop(store);
        store = open(&disk, &plan, &clock).expect("it opens");
    }
    clock.advance(DAY * 2);
    settle(&store);
    assert_eq!(records(&store).len() as u64, errors, "its time is over");
    assert_eq!(store.append(Arc::new(batch_of(&all))).expect("it is taken").stored, 0);
    is_sound(&store);
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_brought() {
    let (disk, clock) = (SimDisk::new(3, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 1MiB\nfree_min: 0\nsearch_threads: 1\n");
    let (store, all) = filled(&disk, &plan, &clock);
    let copy = copy_of(&disk);
    store.delete(&everything(), &Budget::unlimited()).expect("deletes");
    let folder = Path::new("segments");
    let files = copy.read_dir(folder).expect("it is listed");
    let path = |n: usize| folder.join(&files[n].name);
    let log = Path::new("wal").join(&copy.read_dir(Path::new("wal")).expect("it is listed")[0].name);
    copy.flip_bit(&path(0), 40, 3).expect("it is damaged");
    copy.remove_file(&path(1)).expect("it is removed");
    copy.fail_reads_of(&path(2), Some(Fault::Io));
    copy.flip_bit(&log, 40, 3).expect("it is damaged");
    copy.flip_bit(Path::new("catalogue"), 40, 3).expect("it is damaged");
    let done = restore(&store, &copy, &request(everything())).expect("the rest is restored");
    let named: BTreeSet<String> = done.problems.iter().map(|(path, _)| path.clone()).collect();
    let damaged = [&path(0), &path(1), &path(2), &log, Path::new("catalogue")];
    assert_eq!(named, damaged.map(|path| path.display().to_string()).into(), "{:?}", done.problems);
    let found = records(&store).len() as u64;
    assert!(found == done.records && found > 100 && found < all.len() as u64, "found={found}");
    // A disk that reads again.
    copy.fail_reads_of(&path(2), None);
    let more = restore(&store, &copy, &request(everything())).expect("more is restored");
    assert!(more.records > 0 && more.present == found && more.problems.len() == 4, "{more:?}");
    is_sound(&store);
}

#[test]
fn what_the_store_has_lost_by_damage_comes_back() {
    let (disk, plan, clock) = (SimDisk::new(3, SimSettings::default()), plan(), clock());
    let (store, all) = filled(&disk, &plan, &clock);
    let copy = copy_of(&disk);
    drop(store);
    let segment =
        Path::new("segments").join(&disk.read_dir(Path::new("segments")).expect("it is listed")[0].name);
    // All but its footer, so that it opens: where its origins lie is not known here.
    let bytes = read_all(&disk, &segment, 1 << 20).expect("it is read");
    let tail = bytes.len() - 20;
    let footer = u64::from_le_bytes(bytes[tail..tail + 8].try_into().expect("eight bytes"));
    for offset in 10..tail as u64 - footer {
        disk.flip_bit(&segment, offset, 3).expect("it is damaged");
    }
    let store = open(&disk, &plan, &clock).expect("it opens");
    assert_eq!(store.problems(), []);
    let done = restore(&store, &copy, &request(everything())).expect("it is restored");
    assert!(done.records > 0, "{done:?}");
    assert_eq!(records(&store).len(), all.len());
    assert_eq!(store.problems().len(), 1);
    assert_eq!(store.verify().problems, []);
}

#[test]
fn age_is_that_of_the_last_record_that_is_wanted() {
    let (disk, clock) = (SimDisk::new(3, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 1MiB\nretention: 7d\nfree_min: 0\nsearch_threads: 1\n");
    let store = open(&disk, &plan, &clock).expect("it opens");
    let mut dice = Dice::new(1);
    for (source, part) in [(1, "first"), (2, "second")] {
        let of_part = |n: u64| {
            let mut record = record(&clock, &mut dice, source, n, n + 1);
            record.timestamp = record.observed;
            record.fields.push(("part".into(), part.into()));
            record
        };
        let some: Vec<Record> = (0..20).map(of_part).collect();
        store.append(Arc::new(batch_of(&some))).expect("it is stored");
        clock.advance(DAY / 2);
    }
    store.seal_now().expect("it is sealed");
    let copy = copy_of(&disk);
    store.delete(&everything(), &Budget::unlimited()).expect("deletes");
    clock.advance(DAY * 6 + DAY / 4);
    let first = restore(&store, &copy, &request(query("part: first"))).expect("it is looked at");
    assert_eq!((first.records, first.expired), (0, 20));
    let all = restore(&store, &copy, &request(everything())).expect("it is restored");
    assert_eq!((all.records, all.expired), (40, 0), "they are in one segment");
    store.run_once().expect("it works");
    assert_eq!(records(&store).len(), 40);
}

#[test]
fn sources_of_the_copy_drive_out_none_that_were_heard_of_later() {
    let plan = plan_of("memory_max: 1MiB\nsources_max: 100\nfree_min: 0\nsearch_threads: 1\n");
    let (clock, mut dice) = (clock(), Dice::new(1));
    let mut store_of = |disk: &SimDisk, first: u128| {
        let store = open(disk, &plan, &clock).expect("it opens");
        let some: Vec<Record> =
            (first..first + 60).map(|source| record(&clock, &mut dice, source, 0, 1)).collect();
        store.append(Arc::new(batch_of(&some))).expect("it is stored");
        store.seal_now().expect("it is sealed");
        (store, some)
    };
    let before = clock.now();
    let old = SimDisk::new(3, SimSettings::default());
    store_of(&old, 500);
    let copy = copy_of(&old);
    // Later than a claim may be than what it claims.
    clock.advance(Duration::from_secs(600));
    let (store, live) = store_of(&SimDisk::new(4, SimSettings::default()), 100);
    assert_eq!(restore(&store, &copy, &request(everything())).expect("it is restored").records, 60);
    assert_eq!(store.append(Arc::new(batch_of(&live))).expect("it is taken").stored, 0);
    let ranges = vec![SeqRange::new(0, 1)];
    let claim = |source, since| [Claim { source: SourceId(source), since, ranges: ranges.clone() }];
    let unknown = store.lacking(&claim(900, before));
    assert_eq!((unknown.lacking.len(), unknown.unknown.len()), (0, 1), "it may have been forgotten");
    let later = store.lacking(&claim(900, clock.now()));
    assert_eq!((later.lacking.len(), later.unknown.len()), (1, 0));
}

#[test]
fn a_long_log_is_brought_by_and_by() {
    let (disk, clock, mut dice) = (SimDisk::new(3, SimSettings::default()), clock(), Dice::new(1));
    let much = plan_of("memory_max: 64MiB\nfree_min: 0\nsearch_threads: 1\n");
    let store = open(&disk, &much, &clock).expect("it opens");
    for first in 0..10 {
        let mut at_once = |n: u64| {
            let mut record = record(&clock, &mut dice, 1, n, n + 1);
            record.timestamp = record.observed;
            record
        };
        let some: Vec<Record> = (first * 1000..first * 1000 + 1000).map(&mut at_once).collect();
        store.append(Arc::new(batch_of(&some))).expect("it is stored");
    }
    let (copy, other) = (copy_of(&disk), SimDisk::new(4, SimSettings::default()));
    let little = open(&other, &plan(), &clock).expect("it opens");
    assert_eq!(restore(&little, &copy, &request(everything())).expect("it is restored").records, 10_000);
    assert_eq!(records(&little), records(&store));
    let segments = other.read_dir(Path::new("segments")).expect("it is listed").len();
    assert!(segments > 1, "all in one");
}

#[test]
fn nothing_else_has_to_go_to_make_room() {
    nothing_has_to_go("size_max: 1MiB");
    nothing_has_to_go("policies: [{name: shop, query: 'namespace: shop', size_max: 1MiB}]");
}

fn nothing_has_to_go(bound: &str) {
    let (disk, clock) = (SimDisk::new(3, SimSettings::default()), clock());
    let full = plan_of(&format!("memory_max: 1MiB\nfree_min: 0\nsearch_threads: 1\n{bound}\n"));
    let store = open(&disk, &full, &clock).expect("it opens");
    let mut dice = Dice::new(1);
    let mut append_large = |start: u64| {
        let noise: String = (0..700_000).map(|_| char::from(b' ' + dice.below(90) as u8)).collect();
        let mut large = record(&clock, &mut dice, 7, start, start + 1);
        large.fields.push(("noise".into(), Value::from(noise)));
        store.append(Arc::new(batch_of(&[large]))).expect("it is stored");
        store.seal_now().expect("it is sealed");
    };
    append_large(0);
    let copy = copy_of(&disk);
    store.delete(&everything(), &Budget::unlimited()).expect("deletes");
    append_large(1);
    for confirmed in [false, true] {
        let refused = restore(&store, &copy, &RestoreRequest { confirmed, ..request(everything()) });
        let refused = refused.expect_err("there is no room");
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", refused.chain());
    }
    store.run_once().expect("it works");
    assert_eq!(records(&store).iter().map(|record| record.range.start).collect::<Vec<_>>(), [1]);
    is_sound(&store);
}

#[test]
fn keys_of_the_copy_and_of_the_store_are_their_own() {
    let (inner, clock) = (SimDisk::new(3, SimSettings::default()), clock());
    let key = |byte| vec![Key::parse(&[byte; 32]).expect("a key")];
    let disk = EncryptedDisk::open(Arc::new(inner), key(7)).expect("it has the key");
    let store = open_on(Arc::clone(&disk), &plan(), &clock).expect("it opens");
    let mut dice = Dice::new(3);
    let some: Vec<Record> = (0..50).map(|n| record(&clock, &mut dice, 1, n, n + 1)).collect();
    store.append(Arc::new(batch_of(&some))).expect("it is stored");
    store.seal_now().expect("it is sealed");
    for keys in [Vec::new(), key(7), key(8)] {
        let copy =
            EncryptedDisk::open(Arc::new(SimDisk::new(4, SimSettings::default())), keys).expect("opens");
        backup(&*disk, &*copy).expect("it is copied");
        let deleted = store.delete(&query("level: info"), &Budget::unlimited()).expect("deletes");
        let all_of_it = request(everything());
        let done = store.restore(&copy, &all_of_it, &Budget::unlimited()).expect("it is restored");
        assert_eq!((done.records, done.problems), (deleted, Vec::new()));
        assert_eq!(records(&store).len(), some.len());
    }
}

/// Restores while power is lost, or the disk fails, at every operation; each time again in the end.
#[test]
fn it_is_whole_or_not_wherever_power_is_lost_or_the_disk_fails() {
    let clock = clock();
    let original = SimDisk::new(1, SimSettings::default());
    let (store, all) = filled_with(4, &original, &plan(), &clock);
    let copy = copy_of(&original);
    let before = records(&store);
    store.delete(&query("level: info or level: warn"), &Budget::unlimited()).expect("deletes");
    drop(store);
    let all_of_it = {
        let disk = original.kill_process();
        let store = open(&disk, &plan(), &clock).expect("it opens");
        let first = disk.counts().operations;
        restore(&store, &copy, &request(everything())).expect("it is restored");
        disk.counts().operations - first
    };
    let (mut whole, mut ended) = (0, 0);
    for at in 1..all_of_it + 3 {
        for fault in [None, Some([Fault::Io, Fault::Full, Fault::ReadOnly][at as usize % 3])] {
            let disk = original.kill_process();
            let store = open(&disk, &plan(), &clock).expect("it opens");
            let kept: BTreeSet<RecordId> = records(&store).iter().map(id).collect();
            let operation = disk.counts().operations + at;
            match fault {
                None => disk.cut_power_at(operation),
                Some(fault) => disk.fail_operation(operation, fault),
            }
            let done = restore(&store, &copy, &request(everything()));
            (whole, ended) = (whole + u64::from(done.is_ok()), ended + u64::from(done.is_err()));
            let told = format!("at={at} fault={fault:?} done={:?}", done.map_err(|error| error.chain()));
            if fault.is_some() {
                check(&store, &before, &kept, &told);
                store.append(Arc::new(batch_of(&all))).expect("it is taken");
                check(&store, &before, &kept, &told);
                // What comes behind the restore fails here.
                let worked = store.run_once();
                assert!(worked.is_ok() || at > all_of_it, "it goes on: {told} {worked:?}");
            }
            let disk = disk.power_loss();
            let store = open(&disk, &plan(), &clock).expect("it opens");
            check(&store, &before, &kept, &told);
            restore(&store, &copy, &request(everything())).expect("it goes on");
            assert_eq!(records(&store), before, "{told}");
            assert_eq!(store.append(Arc::new(batch_of(&all))).expect("it is taken").stored, 0, "{told}");
            is_sound(&store);
        }
    }
    assert!(whole >= 4 && ended > 40, "whole={whole} ended={ended} operations={all_of_it}");
}

/// Each record is there at most once and as it was; those that stayed are there.
fn check(store: &Store, all: &[Record], kept: &BTreeSet<RecordId>, told: &str) {
    let mut seen = BTreeSet::new();
    for record in records(store) {
        assert!(seen.insert(id(&record)), "twice: {record:?} {told}");
        assert!(all.contains(&record), "another one: {record:?} {told}");
    }
    assert!(kept.is_subset(&seen), "lost: {told}");
}

/// A store that forgot the sources takes the same records from them and from a copy at the same time.
#[test]
fn what_comes_in_meanwhile_is_not_there_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk =
        |name: &str| -> Arc<dyn Disk> { Arc::new(RealDisk::new(folder.path().join(name)).expect("a disk")) };
    let plan = plan_of("memory_max: 1MiB\nseal_interval: 10ms\nmerged_bytes_max: 128KiB\nfree_min: 0\n");
    let (clock, mut dice) = (Clock::system(), Dice::new(1));
    let batches: Vec<Vec<Record>> = (0..120u64)
        .map(|n| (n * 30..n * 30 + 30).map(|n| record(&clock, &mut dice, 1, n * 10, n * 10 + 10)).collect())
        .collect();
    let first = Store::open(disk("first"), plan.clone(), clock.clone(), &Metrics::new()).expect("it opens");
    for batch in &batches {
        first.append(Arc::new(batch_of(batch))).expect("it is stored");
    }
    backup(&*disk("first"), &*disk("copy")).expect("it is copied");
    let store = Store::open(disk("second"), plan, clock, &Metrics::new()).expect("it opens");
    let stored = AtomicU64::new(0);
    let brought = std::thread::scope(|scope| {
        let restoring = scope.spawn(|| {
            let done = store.restore(&disk("copy"), &request(everything()), &Budget::unlimited());
            done.expect("it is restored").records
        });
        for from_end in [true, false] {
            let (store, stored, batches) = (&store, &stored, &batches);
            scope.spawn(move || {
                for at in 0..60 {
                    let batch = &batches[if from_end { 119 - at } else { at }];
                    let appended = store.append(Arc::new(batch_of(batch))).expect("it is taken");
                    stored.fetch_add(appended.stored as u64, Ordering::Relaxed);
                }
            });
        }
        restoring.join().expect("it does not panic")
    });
    assert_eq!(stored.load(Ordering::Relaxed) + brought, 120 * 30);
    let mut starts: Vec<u64> = records(&store).iter().map(|record| record.range.start).collect();
    starts.sort_unstable();
    assert_eq!(starts, (0..120 * 30).map(|n| n * 10).collect::<Vec<_>>());
}

#[test]
fn a_record_in_the_log_that_one_of_the_copy_covers_is_not_lost_by_a_restart() {
    let (disk, plan, clock) = (SimDisk::new(3, SimSettings::default()), plan(), clock());
    let store = open(&disk, &plan, &clock).expect("it opens");
    store.append(Arc::new(batch_of(&[numbered(3)]))).expect("it is stored");
    let copy = copy_of(&disk);
    drop(store);
    let other = SimDisk::new(4, SimSettings::default());
    let store = open(&other, &plan, &clock).expect("it opens");
    store.append(Arc::new(batch_of(&[numbered(4)]))).expect("it is stored");
    assert_eq!(restore(&store, &copy, &request(everything())).expect("it is restored").records, 1);
    drop(store);
    let store = open(&other.power_loss(), &plan, &clock).expect("it opens");
    assert_eq!(records(&store), [numbered(4), numbered(3)]);
}

/// One thing that is done with two stores and a copy.
#[derive(Clone, Debug)]
enum Step {
    /// Records of a source from here on, by their numbers, to the first or second store.
    Append(bool, u64, u64),
    Delete(bool, &'static str),
    Seal(bool),
    RunOnce(bool),
    Reopen(bool),
    /// A copy of the first store in the place of the one before.
    Copy,
    Restore(bool, &'static str, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let text = || {
        prop::sample::select(vec!["", "level: info", "pod: cart-1", "http.status: 200 and not level: info"])
    };
    prop_oneof![
        6 => (any::<bool>(), 0u64..40, 1u64..12).prop_map(|(which, first, count)| Step::Append(which, first, count)),
        2 => (any::<bool>(), text()).prop_map(|(which, text)| Step::Delete(which, text)),
        2 => any::<bool>().prop_map(Step::Seal),
        2 => any::<bool>().prop_map(Step::RunOnce),
        1 => any::<bool>().prop_map(Step::Reopen),
        2 => Just(Step::Copy),
        4 => (any::<bool>(), text(), any::<bool>()).prop_map(|(which, text, early)| Step::Restore(which, text, early)),
    ]
}

/// The reference: what a store holds, and what it remembers of its source.
#[derive(Clone, Default)]
struct Naive {
    held: BTreeMap<RecordId, Record>,
    committed: RangeSet,
}

impl Naive {
    fn append(&mut self, records: &[Record]) {
        for record in records {
            if self.committed.insert(record.range) > 0 {
                self.held.insert(id(record), record.clone());
            }
        }
    }

    fn restore(&mut self, copy: &Self, selection: &Selection) -> u64 {
        let mut brought = 0;
        for (id, record) in copy.held.iter().filter(|(_, record)| is_selected(record, selection)) {
            if !self.held.contains_key(id) {
                self.held.insert(*id, record.clone());
                self.committed.insert(record.range);
                brought += 1;
            }
        }
        brought
    }
}

fn is_selected(record: &Record, selection: &Selection) -> bool {
    let batch = batch_of(std::slice::from_ref(record));
    let within = record.timestamp >= selection.start && record.timestamp < selection.end;
    within && selection.predicate.matches(batch.get(0))
}

/// Record `n`: always the same one. Every third covers the one behind it, and a part of the next.
fn numbered(n: u64) -> Record {
    let (clock, mut dice) = (clock(), Dice::new(n));
    clock.advance(Duration::from_secs(n * 1800));
    let end = if n.is_multiple_of(3) { n * 10 + 25 } else { n * 10 + 10 };
    sorted(record(&clock, &mut dice, 1, n * 10, end))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn stores_hold_what_the_naive_reference_holds(steps in prop::collection::vec(step(), 1..40)) {
        let (plan, clock) = (plan_of("memory_max: 1MiB\nretention: 36500d\nfree_min: 0\nsearch_threads: 1\n"), clock());
        clock.advance(DAY * 3);
        let disks = [1, 2].map(|seed| SimDisk::new(seed, SimSettings::default()));
        let mut stores = disks.each_ref().map(|disk| open(disk, &plan, &clock).expect("it opens"));
        let mut naive = [Naive::default(), Naive::default()];
        let mut copy = (copy_of(&disks[0]), Naive::default());
        let middle = Timestamp::parse("2026-11-20T20:00:00Z").expect("a time");
        for step in steps {
            match step {
                Step::Append(which, first, count) => {
                    let some: Vec<Record> = (first..first + count).map(numbered).collect();
                    stores[usize::from(which)].append(Arc::new(batch_of(&some))).expect("it is stored");
                    naive[usize::from(which)].append(&some);
                }
                Step::Delete(which, text) => {
                    let selection = query(text);
                    stores[usize::from(which)].delete(&selection, &Budget::unlimited()).expect("deletes");
                    naive[usize::from(which)].held.retain(|_, record| !is_selected(record, &selection));
                }
                Step::Seal(which) => stores[usize::from(which)].seal_now().expect("it is sealed"),
                Step::RunOnce(which) => stores[usize::from(which)].run_once().expect("it works"),
                Step::Reopen(which) => {
                    let which = usize::from(which);
                    // The one before gives the folder back first.
                    stores[which].close();
                    stores[which] = open(&disks[which], &plan, &clock).expect("it opens again");
                }
                Step::Copy => copy = (copy_of(&disks[0]), naive[0].clone()),
                Step::Restore(which, text, early) => {
                    let which = usize::from(which);
                    let end = if early { middle } else { Timestamp::MAX };
                    let selection = Selection { end, ..query(text) };
                    let done = restore(&stores[which], &copy.0, &request(selection.clone())).expect("it is restored");
                    prop_assert_eq!(done.records, naive[which].restore(&copy.1, &selection));
                }
            }
        }
        for round in 0..3 {
            for (store, naive) in stores.iter().zip(&naive) {
                let found: BTreeMap<RecordId, Record> = records(store).into_iter().map(|r| (id(&r), r)).collect();
                prop_assert_eq!(&found, &naive.held);
                prop_assert_eq!(records(store).len(), naive.held.len(), "each is there once");
            }
            if round == 0 {
                stores.iter().for_each(|store| (0..9).for_each(|_| store.run_once().expect("it is merged")));
            } else {
                for which in 0..2 {
                    stores[which].close();
                    stores[which] = open(&disks[which], &plan, &clock).expect("it opens again");
                }
            }
        }
        let probe = SourceId(1);
        for n in 0..60 {
            let record = Record { source: probe, range: SeqRange::new(n * 10, n * 10 + 5), ..numbered(n) };
            let known = naive[1].committed.contains(record.range);
            let stored = stores[1].append(Arc::new(batch_of(&[record]))).expect("it is taken").stored;
            prop_assert_eq!(stored == 0, known, "n={}", n);
        }
        for store in &stores {
            prop_assert_eq!((store.problems(), store.verify().problems), (Vec::new(), Vec::new()));
        }
    }
}
