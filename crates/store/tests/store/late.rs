//! Records that come late, or tell a time ahead, cost their own share: what is written more for them, and what questions
//! about other times look at.

use std::sync::Arc;
use std::time::Duration;

use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_query::search::{Budget, Search, Selection};
use sawyer_store::Store;
use sawyer_telemetry::{Clock, Metrics};
use sawyer_testkit::Dice;

use crate::common::{clock, everything, plan_of};

/// Each generation holds a minute.
const MINUTES: u64 = 20;
const RECORDS: u64 = 4000;
/// So many that a block has records of several.
const PODS: u64 = 40;

/// What a store has after it has taken records in and has nothing left to merge.
struct Quiet {
    store: Store,
    first: Timestamp,
    /// Of records that came late.
    late: u64,
    written_bytes: f64,
}

/// A time for a record seen at `now`, and whether it is another one than usual.
type Told = fn(&mut Dice, Timestamp) -> (Timestamp, bool);

fn in_order(_: &mut Dice, now: Timestamp) -> (Timestamp, bool) {
    (now, false)
}

/// One in twenty comes up to a day late.
fn late_by_a_day(dice: &mut Dice, now: Timestamp) -> (Timestamp, bool) {
    let late = dice.below(20) == 0;
    let seconds = if late { 60 + dice.below(86_340) } else { 0 };
    (now.saturating_sub(Duration::from_secs(seconds)), late)
}

/// One in five comes up to a week late.
fn late_by_a_week(dice: &mut Dice, now: Timestamp) -> (Timestamp, bool) {
    let late = dice.below(5) == 0;
    let seconds = if late { 60 + dice.below(7 * 86_400) } else { 0 };
    (now.saturating_sub(Duration::from_secs(seconds)), late)
}

/// One in twenty is of a clock that is some minutes fast.
fn ahead(dice: &mut Dice, now: Timestamp) -> (Timestamp, bool) {
    let ahead = dice.below(20) == 0;
    (now.saturating_add(Duration::from_secs(if ahead { 300 } else { 0 })), ahead)
}

fn take_in(told: Told) -> Quiet {
    let (disk, clock, metrics) = (SimDisk::new(1, SimSettings::default()), clock(), Metrics::new());
    let plan = plan_of("memory_max: 16MiB\nseal_interval: 1m\nfree_min: 0\nsearch_threads: 1\n");
    let store = Store::open_manual(Arc::new(disk), plan, clock.clone(), &metrics).expect("it opens");
    let (mut dice, first, mut late) = (Dice::new(7), clock.now(), 0);
    for minute in 0..MINUTES {
        for part in 0..10 {
            let batch = batch(&clock, &mut dice, (minute * 10 + part) * RECORDS / 10, told, &mut late);
            store.append(Arc::new(batch)).expect("it is stored");
        }
        store.seal_now().expect("it is sealed");
        (0..6).for_each(|_| store.run_once().expect("it merges"));
    }
    let text = metrics.text();
    let sum = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).expect("it is counted");
        line.rsplit_once(' ').and_then(|(_, number)| number.parse::<f64>().ok()).expect("a number")
    };
    let written_bytes = sum("sawyer_store_sealed_bytes_total") + sum("sawyer_store_merged_bytes_total");
    Quiet { store, first, late, written_bytes }
}

/// A tenth of a minute's records, over six seconds.
fn batch(clock: &Clock, dice: &mut Dice, first: u64, told: Told, late: &mut u64) -> Batch {
    let pod = |n: u64| Arc::new(Stream::new([("pod", Value::from(format!("cart-{n}")))]));
    let streams: Vec<Arc<Stream>> = (0..PODS).map(pod).collect();
    let records: Vec<Record> = (first..first + RECORDS / 10)
        .map(|n| {
            clock.advance(Duration::from_millis(60_000 / RECORDS));
            let (timestamp, is_late) = told(dice, clock.now());
            *late += u64::from(is_late);
            Record {
                timestamp,
                observed: clock.now(),
                source: SourceId(1),
                range: SeqRange::new(n, n + 1),
                stream: Arc::clone(&streams[dice.below(PODS) as usize]),
                fields: vec![(
                    "message".into(),
                    Value::from(format!("request {n} of a client who pays took {} ms", dice.below(900))),
                )],
            }
        })
        .collect();
    records.iter().collect()
}

/// Counts a minute's records; gives how many were looked at.
fn rows_scanned(quiet: &Quiet, minute: u64) -> u64 {
    let start = quiet.first.saturating_add(Duration::from_secs(minute * 60));
    let end = start.saturating_add(Duration::from_secs(60));
    let predicate =
        sawyer_query::kql::compile("message: took", &sawyer_query::Context::default()).expect("KQL");
    let (count, stats) = quiet
        .store
        .count(&Selection { predicate, start, end }, &Budget::unlimited())
        .expect("it is answered");
    assert!(count > 0 && !stats.partial);
    stats.rows_scanned
}

fn check(told: Told, written_max: f64) {
    let (plain, quiet) = (take_in(in_order), take_in(told));
    let (count, _) = quiet.store.count(&everything(), &Budget::unlimited()).expect("it is answered");
    assert_eq!(count, MINUTES * RECORDS);
    assert!(quiet.late > MINUTES * RECORDS / 30, "{}", quiet.late);
    let scanned = |of: &Quiet| (0..MINUTES).map(|minute| rows_scanned(of, minute)).sum::<u64>();
    let (usual, scanned) = (scanned(&plain), scanned(&quiet));
    assert!(scanned <= usual + usual / 10 + MINUTES * quiet.late / 4, "usual={usual} scanned={scanned}");
    let written = quiet.written_bytes / plain.written_bytes;
    assert!(written < written_max, "written={written}");
    let segments = |of: &Quiet| of.store.totals().segments;
    let (usual, segments) = (segments(&plain), segments(&quiet));
    assert!(segments <= usual + 8, "usual={usual} segments={segments}");
}

#[test]
fn records_up_to_a_day_late_cost_their_share() {
    check(late_by_a_day, 1.1);
}

#[test]
fn records_up_to_a_week_late_cost_their_share() {
    check(late_by_a_week, 1.2);
}

#[test]
fn records_ahead_cost_their_share() {
    check(ahead, 1.1);
}
