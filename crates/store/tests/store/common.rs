//! What the tests share: records to store, and a store to put them in.

use std::sync::Arc;
use std::time::Duration;

use sawyer_codec::json_out::{self, Options};
use sawyer_config::{Document, Problems, Setting};
use sawyer_disk::{Disk, Fault, SimDisk};
use sawyer_model::{Batch, Error, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_query::Predicate;
use sawyer_query::search::{Budget, Order, Search, SearchRequest, Selection};
use sawyer_store::{Store, StorePlan, StoreSettings};
use sawyer_telemetry::{Clock, Metrics};
use sawyer_testkit::Dice;

/// One of the ways in which a disk fails.
pub(crate) fn fault(dice: &mut Dice) -> Fault {
    [Fault::Io, Fault::Full, Fault::ReadOnly][dice.below(3) as usize]
}

/// A plan from YAML.
pub(crate) fn plan_of(yaml: &str) -> StorePlan {
    let document = Document::parse("sawyer.yaml", yaml).expect("it is YAML");
    let mut problems = Problems::new();
    let at = document.at();
    let plan =
        StoreSettings::read(&at, &mut problems).and_then(|settings| settings.check(&at, &mut problems));
    problems.into_result(plan).expect("it is a plan")
}

/// Little memory and short intervals, so that everything happens soon.
pub(crate) fn plan() -> StorePlan {
    plan_of(
        "memory_max: 1MiB\nseal_interval: 5s\nmerged_bytes_max: 64KiB\nsqueeze_after: 10s\nfree_min: 0\nsearch_threads: 1\n",
    )
}

pub(crate) fn clock() -> Clock {
    Clock::manual(Timestamp::parse("2026-11-20T09:57:18Z").expect("a time"))
}

pub(crate) fn open(disk: &SimDisk, plan: &StorePlan, clock: &Clock) -> Result<Store, Error> {
    open_on(Arc::new(disk.clone()), plan, clock)
}

/// As [`open`], on whatever lies between.
pub(crate) fn open_on(disk: Arc<dyn Disk>, plan: &StorePlan, clock: &Clock) -> Result<Store, Error> {
    Store::open_manual(disk, plan.clone(), clock.clone(), &Metrics::new())
}

/// A record of `source` seen now, which tells a time of now or a little, sometimes much, before.
pub(crate) fn record(clock: &Clock, dice: &mut Dice, source: u128, start: u64, end: u64) -> Record {
    let late = match dice.below(20) {
        0 => Duration::from_secs(dice.below(400 * 86_400)),
        1 => Duration::from_secs(dice.below(86_400)),
        _ => Duration::from_millis(dice.below(5_000)),
    };
    let level = ["info", "info", "info", "warn", "error"][dice.below(5) as usize];
    let pod = format!("cart-{}", dice.below(3));
    sorted(Record {
        timestamp: clock.now().saturating_sub(late),
        observed: clock.now(),
        source: SourceId(source),
        range: SeqRange::new(start, end),
        stream: Arc::new(Stream::new([("namespace", Value::from("shop")), ("pod", Value::from(pod))])),
        fields: vec![
            ("message".into(), Value::from(format!("request {start} took {} ms", dice.below(100)))),
            ("level".into(), Value::from(level)),
            ("http.status".into(), Value::Int(200 + dice.below(4) as i64 * 100)),
        ],
    })
}

pub(crate) fn batch_of(records: &[Record]) -> Batch {
    records.iter().collect()
}

/// Everything, at all times.
pub(crate) fn everything() -> Selection {
    Selection { predicate: Predicate::All, start: Timestamp::MIN, end: Timestamp::MAX }
}

/// A record as it can be compared: a segment keeps fields in the order of their names.
pub(crate) fn sorted(mut record: Record) -> Record {
    record.fields.sort_by(|a, b| a.0.cmp(&b.0));
    record
}

/// All records, newest first.
pub(crate) fn records(store: &Store) -> Vec<Record> {
    let request = SearchRequest {
        selection: everything(),
        order: Order::NewestFirst,
        limit: usize::MAX,
        after: None,
        original: true,
    };
    let page = store.search(&request, &Budget::unlimited()).expect("everything can be asked for");
    assert!(!page.stats.partial, "all of it was read");
    page.records.iter().map(|record| sorted(record.to_record())).collect()
}

/// Records as lines are what records of pages look like as lines, in both orders.
pub(crate) fn check_lines(store: &Store, told: &str) {
    for (order, limit, original) in
        [(Order::NewestFirst, 7, true), (Order::OldestFirst, 1000, true), (Order::NewestFirst, 40, false)]
    {
        let ask = |after| SearchRequest { selection: everything(), order, limit, after, original };
        let (mut wanted, mut after) = (Vec::new(), None);
        loop {
            let page = store.search(&ask(after), &Budget::unlimited()).expect("it is answered");
            let options = Options { without_original: !original, ..Options::default() };
            json_out::write_lines(&page.records, &options, &mut wanted, |_| true);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let (mut found, mut after, mut count) = (Vec::new(), None, 0);
        // So few rows that the first parts are partial.
        let mut rows_max = 1 + store.totals().records / 5;
        loop {
            let mut lines = 0;
            let mut line = |line: &[u8]| {
                found.extend_from_slice(line);
                lines += 1;
                true
            };
            let part = store
                .lines(&ask(after), &Budget::new(None, rows_max), &mut line)
                .expect("the store makes lines");
            let part = part.expect("it is answered");
            assert_eq!((part.count, part.wanted), (lines, true), "{told}");
            assert!(lines <= limit, "{told}");
            count += lines;
            assert!(part.next.is_some() || !part.stats.partial, "{told}: nowhere to go on");
            if lines == 0 {
                rows_max *= 2;
            }
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(String::from_utf8(found), String::from_utf8(wanted), "{told}");
        assert_eq!(count as u64, store.totals().records, "{told}");
    }
}
