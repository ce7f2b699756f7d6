use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_model::{Batch, Error, ErrorKind, Outcome, RangeSet, SeqRange, SourceId};
use sawyer_query::Predicate;
use sawyer_query::search::{Budget, Search, Selection};
use sawyer_store::{Store, StorePlan};
use sawyer_telemetry::{Clock, Metrics};

use super::output::{Appends, Done, Known, StoreOutput};
use super::*;
use crate::testing::{Bench, NOW, context, numbered, plan, sim};
use sawyer_testkit::Dice;

fn open(disk: &SimDisk) -> Arc<Store> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Arc::new(Store::open(disk, StorePlan::default(), Clock::manual(NOW), &Metrics::new()).unwrap())
}

fn start(store: &Arc<Store>) -> Bench {
    let handle = StoreHandle::new();
    let plan = plan(&kind(handle.clone()), "{}").unwrap();
    handle.set(Arc::clone(store)).unwrap();
    let context = context(&sim());
    Bench::start(plan.open(&context).unwrap(), context)
}

fn count(store: &Store) -> u64 {
    let (start, end) = (sawyer_model::Timestamp::MIN, sawyer_model::Timestamp::MAX);
    let selection = Selection { predicate: Predicate::All, start, end };
    store.count(&selection, &Budget::unlimited()).unwrap().0
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_store_once() {
    let disk = sim();
    let store = open(&disk);
    let mut bench = start(&store);
    for at in 0..200 {
        bench.send(numbered(at * 10, 10)).await;
    }
    // The last ones again, as after a restart of their source.
    for at in 190..200 {
        bench.send(numbered(at * 10, 10)).await;
    }
    bench.deliver(Batch::new()).await;
    let (ended, outcomes) = bench.drain().await;
    ended.unwrap();
    assert_eq!(outcomes, [Outcome::Durable; 211]);
    assert_eq!(count(&store), 2000);
    drop(store);
    assert_eq!(count(&open(&disk.power_loss())), 2000);
}

#[tokio::test]
async fn waits_for_space_on_a_full_disk_and_recovers_by_itself() {
    let disk = SimDisk::new(1, SimSettings { capacity_bytes: 1 << 30, ..SimSettings::default() });
    let store = open(&disk);
    let mut bench = start(&store);
    bench.deliver(numbered(0, 10)).await;
    disk.set_capacity(0);
    let kept: Vec<u64> = [bench.send(numbered(10, 10)).await, bench.send(numbered(20, 10)).await].into();
    let full = |bench: &Bench| {
        bench.context.health.reasons().iter().any(|reason| reason.starts_with("output out: disk is full"))
    };
    bench.until("it says that the disk is full", full).await;
    assert_eq!(count(&store), 10, "reads go on");
    disk.set_capacity(1 << 30);
    let all = |bench: &Bench| kept.iter().all(|number| bench.outcome(*number) == Some(Outcome::Durable));
    bench.until("they are delivered", all).await;
    assert!(bench.context.health.reasons().is_empty());
    assert_eq!(count(&store), 30);
    let (ended, _) = bench.drain().await;
    ended.unwrap();
}

#[tokio::test]
async fn gives_up_what_a_full_disk_does_not_take() {
    let disk = SimDisk::new(1, SimSettings { capacity_bytes: 1 << 30, ..SimSettings::default() });
    let store = open(&disk);
    let mut bench = start(&store);
    disk.set_capacity(0);
    bench.send(numbered(0, 10)).await;
    let (ended, outcomes) = bench.give_up().await;
    ended.unwrap();
    assert_eq!(outcomes, [Outcome::Undelivered]);
}

#[tokio::test]
async fn a_closed_store_ends_it() {
    let store = open(&sim());
    let mut bench = start(&store);
    store.close();
    bench.send(numbered(0, 1)).await;
    let (ended, outcomes) = bench.drain().await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(outcomes, [Outcome::Undelivered]);
}

#[test]
fn there_may_be_no_store() {
    let plan = plan(&kind(StoreHandle::new()), "").unwrap();
    let error = plan.open(&context(&sim())).err().unwrap();
    insta::assert_snapshot!(error.chain(), @"there is no store in this process; send records to a server instead");
}

/// Takes batches as the store does, or fails as the dice say; never takes the records that it refuses.
struct Moody {
    dice: Mutex<Dice>,
    refused: Vec<u64>,
    /// Refuses batches with more records.
    records_max: usize,
    stored: Mutex<BTreeMap<u64, u32>>,
    committed: Mutex<RangeSet>,
}

impl Moody {
    fn take(&self, batch: &Batch) -> Result<(), Error> {
        if self.dice.lock().below(4) == 0 {
            return Err(Error::new(ErrorKind::Retry, "not now"));
        }
        if batch.len() > self.records_max
            || batch.iter().any(|record| self.refused.contains(&record.range().start))
        {
            return Err(Error::new(ErrorKind::Invalid, "too large"));
        }
        let mut committed = self.committed.lock();
        for record in batch.iter().filter(|record| !committed.contains(record.range())) {
            *self.stored.lock().entry(record.range().start).or_default() += 1;
        }
        for covered in batch.covered() {
            committed.insert(covered.range);
        }
        Ok(())
    }
}

impl Appends for Moody {
    fn append(&self, batch: Arc<Batch>, done: Done) {
        done(self.take(&batch).map(|()| Known::default()));
    }
}

/// Transfers of four records, each followed by a line that was filtered.
fn transfer(number: u64) -> Batch {
    let mut batch = numbered(number * 5, 4);
    batch.cover(SourceId(7), SeqRange::new(number * 5 + 4, number * 5 + 5));
    batch
}

#[tokio::test(start_paused = true)]
async fn one_refused_record_costs_nobody_else_anything() {
    const TRANSFERS: u64 = 30;
    for seed in 0..100 {
        let mut dice = Dice::new(seed ^ 0x1234);
        let refused: Vec<u64> = (0..TRANSFERS * 5).filter(|at| at % 5 < 4 && dice.below(40) == 0).collect();
        let store = Arc::new(Moody {
            dice: Mutex::new(Dice::new(seed)),
            refused: refused.clone(),
            records_max: if seed % 2 == 0 { 2 } else { usize::MAX },
            stored: Mutex::default(),
            committed: Mutex::default(),
        });
        let context = context(&sim());
        let mut bench =
            Bench::start(Box::new(StoreOutput::new(Arc::clone(&store), &context)), context.clone());
        for number in 0..TRANSFERS {
            bench.send(transfer(number)).await;
        }
        tokio::time::sleep(Duration::from_millis(dice.below(2000))).await;
        let gives_up = dice.below(3) == 0;
        let (ended, outcomes) = if gives_up { bench.give_up().await } else { bench.drain().await };
        ended.unwrap();
        let stored = store.stored.lock().clone();
        assert!(stored.values().all(|times| *times == 1), "seed={seed}: stored twice");
        for (number, outcome) in (0..TRANSFERS).zip(outcomes) {
            let records = (number * 5..).take(4);
            let whole = records.clone().all(|at| stored.contains_key(&at));
            let all_covered = store.committed.lock().contains(SeqRange::new(number * 5, number * 5 + 5));
            match outcome {
                Outcome::Durable => assert!(whole && all_covered, "seed={seed}: lost in transfer {number}"),
                Outcome::Undelivered => assert!(!whole || gives_up, "seed={seed}: transfer {number}"),
            }
            if !gives_up {
                let expected: Vec<u64> = records.clone().filter(|at| !refused.contains(at)).collect();
                let found: Vec<u64> = records.filter(|at| stored.contains_key(at)).collect();
                assert_eq!(found, expected, "seed={seed}: transfer {number}");
            }
        }
        if !gives_up {
            let errors = context.metrics.numbers("sawyer_output_errors");
            let of =
                |reason: &str| errors.iter().find(|(labels, _)| labels[1].1 == reason).map_or(0, |e| e.1);
            assert_eq!(of("refused"), refused.len() as i64);
        }
    }
}
