//! Loss of power at any operation of the whole write path, on the simulated disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, everything, fault, open, open_on, plan, record, records};
use sawyer_disk::{EncryptedDisk, Fault, Key, SimDisk, SimSettings};
use sawyer_model::{Batch, Record, RecordId, Value};
use sawyer_query::search::{Budget, Search, Selection};
use sawyer_query::upkeep::Upkeep;
use sawyer_store::{Store, StorePlan};
use sawyer_telemetry::Clock;

/// What was promised, and what was at least tried.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<RecordId, Record>,
    tried: BTreeMap<RecordId, Record>,
    next: BTreeMap<u128, u64>,
    last: Vec<Record>,
}

fn id(record: &Record) -> RecordId {
    RecordId { source: record.source, start: record.range.start }
}

impl Ledger {
    /// Some records that were not sent before, or a batch again as after a refusal.
    fn batch(&mut self, dice: &mut Dice, clock: &Clock) -> Vec<Record> {
        if !self.last.is_empty() && dice.below(4) == 0 {
            return self.last.clone();
        }
        let source = u128::from(dice.below(3));
        let next = self.next.entry(source).or_default();
        let records: Vec<Record> = (0..=dice.below(6))
            .map(|_| {
                let start = *next;
                *next += 1 + dice.below(20);
                record(clock, dice, source, start, *next)
            })
            .collect();
        self.tried.extend(records.iter().map(|record| (id(record), record.clone())));
        self.last.clone_from(&records);
        records
    }

    /// Each acknowledged record is there once, as it was sent; others are there at most once.
    fn check(&self, store: &Store, told: &str) {
        let mut seen = BTreeSet::new();
        for record in records(store) {
            assert!(seen.insert(id(&record)), "twice: {record:?} {told}");
            assert_eq!(Some(&record), self.tried.get(&id(&record)), "never sent {told}");
        }
        for record in self.acknowledged.values() {
            assert!(seen.contains(&id(record)), "lost: {record:?} {told}");
        }
    }
}

fn work(store: &Store, ledger: &mut Ledger, dice: &mut Dice, clock: &Clock, disk: &SimDisk) {
    for _ in 0..30 {
        if !disk.has_power() {
            return;
        }
        clock.advance(Duration::from_millis(dice.below(2000)));
        match dice.below(8) {
            0 => drop(store.seal_now()),
            1 | 2 => drop(store.run_once()),
            _ => {
                let records = ledger.batch(dice, clock);
                let batch: Arc<Batch> = Arc::new(batch_of(&records));
                if store.append(batch).is_ok() {
                    ledger.acknowledged.extend(records.iter().map(|record| (id(record), record.clone())));
                }
            }
        }
    }
}

/// The keys of a disk that the power is lost under: none, or one.
fn keys(encrypted: bool) -> Vec<Key> {
    if encrypted { vec![Key::parse(&[7; 32]).expect("a key")] } else { Vec::new() }
}

fn lose_power_again_and_again(seed: u64, plan: &StorePlan) {
    let encrypted = seed.is_multiple_of(4);
    let mut dice = Dice::new(seed);
    let mut disk = SimDisk::new(seed, SimSettings::default());
    let mut ledger = Ledger::default();
    let clock = clock();
    for round in 0..3 {
        let told = format!("seed={seed} round={round}");
        disk.cut_power_at(1 + dice.below(100));
        // Every other time the disk fails now and then before.
        for _ in 0..dice.below(2) * 3 {
            disk.fail_operation(1 + dice.below(60), fault(&mut dice));
        }
        // Both may happen while the store is being opened, too.
        let opened = EncryptedDisk::open(Arc::new(disk.clone()), keys(encrypted));
        if let Some(store) = opened.ok().and_then(|disk| open_on(disk, plan, &clock).ok()) {
            if disk.has_power() {
                ledger.check(&store, &told);
            }
            work(&store, &mut ledger, &mut dice, &clock, &disk);
        }
        disk = disk.power_loss();
    }
    let disk = EncryptedDisk::open(Arc::new(disk), keys(encrypted)).expect("it has the key");
    let store = open_on(Arc::clone(&disk), plan, &clock).expect("opens after a loss of power");
    let told = format!("seed={seed} at the end");
    ledger.check(&store, &told);
    assert_eq!(store.problems(), [], "{told}");
    assert_eq!(store.verify().problems, [], "{told}");
    let left = |folder: &str| disk.read_dir(Path::new(folder)).expect("it can be listed").len();
    assert_eq!(left("segments") as u64, store.totals().segments, "{told}");
    let aside = disk.read_dir(Path::new("quarantine")).expect("it can be listed");
    // Ends of logs, and whole logs whose end could not be put aside because the disk failed.
    assert!(aside.iter().all(|file| file.name.contains(".wal")), "{aside:?} {told}");
    store.seal_now().expect("goes on");
    assert_eq!(left("wal"), 0, "{told}");
    ledger.check(&store, &told);
}

/// Eight segments that are due to be merged.
fn due_to_merge(seed: u64, ledger: &mut Ledger, clock: &Clock) -> SimDisk {
    let disk = SimDisk::new(seed, SimSettings::default());
    let store = open(&disk, &plan(), clock).expect("it opens");
    let mut dice = Dice::new(seed);
    for start in (0..40).step_by(5) {
        let mut sent = record(clock, &mut dice, 1, start, start + 5);
        sent.timestamp = clock.now();
        ledger.tried.insert(id(&sent), sent.clone());
        ledger.acknowledged.insert(id(&sent), sent.clone());
        store.append(Arc::new(batch_of(&[sent]))).expect("it is stored");
        store.seal_now().expect("it is sealed");
    }
    disk
}

#[test]
fn a_merge_that_fails_anywhere_and_is_cut_anywhere_after_loses_nothing() {
    let (mut merges, mut failures) = (0, 0);
    for failing in 1..16 {
        for cut in 1..20 {
            let (clock, mut ledger) = (clock(), Ledger::default());
            let disk = due_to_merge(failing * 100 + cut, &mut ledger, &clock).kill_process();
            let store = open(&disk, &plan(), &clock).expect("it opens");
            let fault = [Fault::Io, Fault::Full, Fault::ReadOnly][cut as usize % 3];
            disk.fail_operation(disk.counts().operations + failing, fault);
            failures += usize::from(store.run_once().is_err());
            disk.cut_power_at(disk.counts().operations + cut);
            while disk.has_power() && store.run_once().is_ok() && store.totals().segments > 1 {}
            merges += usize::from(store.totals().segments == 1);
            let disk = disk.power_loss();
            let store = open(&disk, &plan(), &clock).expect("it opens");
            let told = format!("failing={failing} cut={cut}");
            ledger.check(&store, &told);
            assert_eq!(store.problems(), [], "{told}");
        }
    }
    assert!(merges > 50 && failures > 50, "merges={merges} failures={failures}");
}

#[test]
fn what_is_deleted_stays_so_and_takes_nothing_else_wherever_power_is_lost() {
    let context = sawyer_query::kql::CompileOptions::default();
    let predicate = sawyer_query::kql::compile("level: info", &context).expect("it is KQL");
    let selection = Selection { predicate, ..everything() };
    let is_of_it = |record: &Record| record.fields.contains(&("level".into(), Value::from("info")));
    let (mut whole, mut cut_off) = (0, 0);
    for cut in 1..70 {
        let (clock, mut ledger) = (clock(), Ledger::default());
        let disk = due_to_merge(cut, &mut ledger, &clock).kill_process();
        let sent: Vec<Record> = ledger.tried.values().cloned().collect();
        let store = open(&disk, &plan(), &clock).expect("it opens");
        disk.cut_power_at(disk.counts().operations + cut);
        let done = store.delete(&selection, &Budget::unlimited()).is_ok();
        let seen_before = if done { Some(records(&store)) } else { None };
        (whole, cut_off) = (whole + u64::from(done), cut_off + u64::from(!done));
        ledger.acknowledged.retain(|_, record| !is_of_it(record));
        let disk = disk.power_loss();
        let store = open(&disk, &plan(), &clock).expect("it opens");
        let told = format!("cut={cut} done={done}");
        ledger.check(&store, &told);
        if let Some(seen) = seen_before {
            assert_eq!(records(&store), seen, "{told}");
            assert!(!seen.iter().any(is_of_it), "{told}");
        }
        store.delete(&selection, &Budget::unlimited()).expect("it goes on");
        assert_eq!(store.append(Arc::new(batch_of(&sent))).expect("it is taken").stored, 0, "{told}");
        assert_eq!(records(&store).len(), ledger.acknowledged.len(), "{told}");
        assert_eq!((store.problems(), store.verify().problems), (Vec::new(), Vec::new()), "{told}");
    }
    assert!(whole > 10 && cut_off > 10, "whole={whole} cut_off={cut_off}");
}

/// Runs with other choices of what is lost; each has several losses.
const SEEDS: u64 = 1000;

/// So many times as many: `SAWYER_TEST_TIMES=1000 cargo test -p sawyer-store power`.
const TIMES_VARIABLE: &str = "SAWYER_TEST_TIMES";

#[test]
fn what_was_acknowledged_is_there_once_after_any_loss_of_power() {
    let times: Option<u64> = std::env::var(TIMES_VARIABLE).ok().and_then(|times| times.parse().ok());
    for seed in 0..SEEDS * times.unwrap_or(1) {
        lose_power_again_and_again(seed, &plan());
    }
}
