//! Every operation on the disk of everything a store does by itself fails, alone and together with those after it, in
//! each of the ways in which disks fail: what is sent meanwhile is stored or refused with a clear error, reads go on,
//! and the work is done when the disk works again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sawyer_disk::{Disk, Fault, SimDisk, SimSettings};
use sawyer_model::{Error, ErrorKind, Record, RecordId, Value};
use sawyer_query::search::{Budget, Search, Selection};
use sawyer_query::upkeep::Upkeep;
use sawyer_query::{Context, kql};
use sawyer_store::{Inspection, Store, StorePlan};
use sawyer_telemetry::Clock;

use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, everything, open, plan_of, record, records};

const DAY: Duration = Duration::from_secs(86_400);

/// How many operations in a row fail: one, or so many that whatever is tried next fails too.
const FAILING: [u64; 2] = [1, 25];

/// Source of what is sent while the disk fails.
const SENT_MEANWHILE: u128 = 99;

type Step = fn(&Store) -> Result<(), Error>;
type IsDone = fn(&Work, &Store, &SimDisk) -> bool;

/// Something that a store does, and the disk on which it is to be done.
struct Work {
    name: &'static str,
    plan: StorePlan,
    clock: Clock,
    disk: SimDisk,
    step: Step,
    is_done: IsDone,
    before: BTreeSet<RecordId>,
    after: BTreeSet<RecordId>,
    /// Numbers of the segments before.
    segments: BTreeSet<u64>,
}

fn id(record: &Record) -> RecordId {
    RecordId { source: record.source, start: record.range.start }
}

fn has(record: &Record, name: &str, text: &str) -> bool {
    record.get(name) == Some(&Value::from(text))
}

fn ids(disk: &SimDisk) -> BTreeSet<u64> {
    let inspected = Inspection::open(Arc::new(disk.clone())).and_then(|store| store.segments());
    inspected.expect("it can be read").iter().map(|segment| segment.id).collect()
}

fn errors() -> Selection {
    let predicate = kql::compile("level: error", &Context::default()).expect("it is KQL");
    Selection { predicate, ..everything() }
}

/// Parts of records, each sealed into segments of its own but the last.
fn prepared(name: &'static str, settings: &str, parts: u64, all_sealed: bool) -> Work {
    let settings = format!("memory_max: 1MiB\nseal_interval: 5s\nfree_min: 0\nsearch_threads: 1\n{settings}");
    let (plan, clock, disk) = (plan_of(&settings), clock(), SimDisk::new(parts, SimSettings::default()));
    let (mut dice, mut all) = (Dice::new(1), BTreeSet::new());
    let store = open(&disk, &plan, &clock).expect("it opens");
    for part in 0..parts {
        let some: Vec<Record> =
            (part * 12..part * 12 + 12).map(|n| record(&clock, &mut dice, 1, n * 10, n * 10 + 10)).collect();
        store.append(Arc::new(batch_of(&some))).expect("it is stored");
        all.extend(some.iter().map(id));
        if all_sealed {
            store.seal_now().expect("it is sealed");
        }
    }
    let (step, is_done): (Step, IsDone) =
        (Store::run_once, |work, _, disk| ids(disk).is_disjoint(&work.segments));
    drop(store);
    let segments = ids(&disk);
    Work { name, plan, clock, disk, step, is_done, before: all.clone(), after: all, segments }
}

fn sealing() -> Work {
    let is_done = |_: &Work, store: &Store, _: &SimDisk| store.stats().unsealed == 0;
    Work { step: Store::seal_now, is_done, ..prepared("seal", "", 3, false) }
}

fn merging() -> Work {
    let is_done =
        |work: &Work, store: &Store, _: &SimDisk| store.totals().segments < work.segments.len() as u64;
    Work { is_done, ..prepared("merge", "merged_bytes_max: 1MiB\n", 8, true) }
}

fn squeezing() -> Work {
    let work = prepared("squeeze", "squeeze_after: 1d\nretention: 500d\n", 1, true);
    work.clock.advance(DAY * 3);
    work
}

fn trimming() -> Work {
    let policies = "policies: [{name: cart-0, query: 'pod: cart-0', keep: 1d}]\nretention: 7d\n";
    let mut work = prepared("trim", policies, 2, true);
    work.clock.advance(DAY * 3);
    work.is_done = |work, store, _| known(store) == work.after;
    let store = open(&work.disk.kill_process(), &work.plan, &work.clock).expect("it opens");
    work.after = records(&store).iter().filter(|record| !has(record, "pod", "cart-0")).map(id).collect();
    Work { disk: work.disk.kill_process(), ..work }
}

fn deleting() -> Work {
    let mut work = prepared("delete", "", 2, true);
    work.step = |store| store.delete(&errors(), &Budget::unlimited()).map(drop);
    work.is_done = |work, store, _| known(store) == work.after;
    let store = open(&work.disk.kill_process(), &work.plan, &work.clock).expect("it opens");
    work.after = records(&store).iter().filter(|record| !has(record, "level", "error")).map(id).collect();
    work
}

/// The records that were there before, each of them once.
fn known(store: &Store) -> BTreeSet<RecordId> {
    found(store, |source| source != SENT_MEANWHILE)
}

fn found(store: &Store, of: impl Fn(u128) -> bool) -> BTreeSet<RecordId> {
    let all = records(store);
    let ids: BTreeSet<RecordId> = all.iter().map(id).collect();
    assert_eq!(ids.len(), all.len(), "each once");
    ids.into_iter().filter(|id| of(id.source.0)).collect()
}

fn check_clear(error: &Error, told: &str) {
    assert_eq!(error.kind(), ErrorKind::Retry, "{} {told}", error.chain());
    assert!(error.chain().contains(": "), "it says what failed and why: {} {told}", error.chain());
}

/// Sends something; gives its id if it was taken.
fn send(store: &Store, clock: &Clock, number: u64, told: &str) -> Option<RecordId> {
    let mut sent = record(clock, &mut Dice::new(number), SENT_MEANWHILE, number * 10, number * 10 + 10);
    sent.fields = vec![("message".into(), "sent meanwhile".into())];
    match store.append(Arc::new(batch_of(std::slice::from_ref(&sent)))) {
        Ok(_) => Some(id(&sent)),
        Err(error) => {
            check_clear(&error, told);
            None
        }
    }
}

/// Does the work while the operation with this number, and those after it, fail; says whether there was one.
fn fails_at(work: &Work, number: u64, fault: Fault, failing: u64, refused: &mut u64) -> bool {
    let told = format!("work={} number={number} fault={fault:?} failing={failing}", work.name);
    let disk = work.disk.kill_process();
    let store = open(&disk, &work.plan, &work.clock).expect(&told);
    let first = disk.counts().operations + number;
    (first..first + failing).for_each(|operation| disk.fail_operation(operation, fault));
    let (mut tries, mut sent) = (0, BTreeSet::new());
    while !(work.is_done)(work, &store, &disk) {
        let done = (work.step)(&store).inspect_err(|error| check_clear(error, &told));
        let there = known(&store);
        assert!(there.is_subset(&work.before) && there.is_superset(&work.after), "{told}");
        if done.is_err() {
            match send(&store, &work.clock, tries, &told) {
                Some(id) => drop(sent.insert(id)),
                None => *refused += 1,
            }
            assert!(found(&store, |source| source == SENT_MEANWHILE).is_superset(&sent), "{told}");
        }
        tries += 1;
        assert!(tries < 200, "it is never done: {told}");
    }
    let was_hit = disk.counts().operations >= first;
    // The disk works again by now, or as soon as the rest of what is to fail has failed.
    while disk.counts().operations < first + failing && was_hit {
        sent.extend(send(&store, &work.clock, 1000 + disk.counts().operations, &told));
    }
    let last = (0..2 * failing).find_map(|more| send(&store, &work.clock, 500 + more, &told));
    sent.insert(last.expect(&told));
    let files = |disk: &SimDisk| disk.read_dir(Path::new("segments")).expect(&told).len() as u64;
    if was_hit {
        // A change of the catalogue that succeeds says of all others whether they count.
        store.seal_now().expect(&told);
        store.remove_superfluous();
        assert_eq!(files(&disk), store.totals().segments, "before it is opened again: {told}");
    }
    drop(store);
    let disk = disk.power_loss();
    let store = open(&disk, &work.plan, &work.clock).expect(&told);
    assert_eq!(known(&store), work.after, "{told}");
    assert!(found(&store, |source| source == SENT_MEANWHILE).is_superset(&sent), "{told}");
    assert_eq!((store.problems(), store.verify().problems), (vec![], vec![]), "{told}");
    assert_eq!(files(&disk), store.totals().segments, "{told}");
    was_hit
}

#[test]
fn every_work_is_done_whatever_of_it_fails() {
    for work in [sealing(), merging(), squeezing(), trimming(), deleting()] {
        let mut refused = 0;
        for fault in [Fault::Io, Fault::Full, Fault::ReadOnly] {
            for failing in FAILING {
                let hit =
                    (1..500).take_while(|number| fails_at(&work, *number, fault, failing, &mut refused));
                let operations = hit.count();
                assert!(operations >= 8, "work={} operations={operations}", work.name);
            }
        }
        assert!(refused > 0, "work={}: writes are refused meanwhile", work.name);
    }
}
