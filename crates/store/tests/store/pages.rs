//! Pages of records: how large they are, and where one goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{Record, RecordRef, Timestamp};
use sawyer_query::search::{Budget, Order, Search, SearchRequest, Selection};
use sawyer_query::{Context, kql};
use sawyer_store::Store;

use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, everything, open, plan_of, record};

/// Most bytes of texts of a page.
const PAGE_BYTES_MAX: usize = 64 << 20;

const LONG_BYTES: usize = 1 << 20;
const LONG_RECORDS: u64 = 80;

/// Asks for all long records, page by page; gives the numbers of records of these.
fn pages_of_long(store: &Store, order: Order) -> Vec<usize> {
    let predicate = kql::compile("level: error", &Context::default()).expect("it works");
    let selection = Selection { predicate, ..everything() };
    let (mut after, mut pages, mut all) = (None, Vec::new(), BTreeSet::new());
    loop {
        let request =
            SearchRequest { selection: selection.clone(), order, limit: 10_000, after, original: true };
        let page = store.search(&request, &Budget::unlimited()).expect("it works");
        assert!(!page.stats.partial, "{:?}", page.stats);
        assert!(page.records.text_bytes() <= PAGE_BYTES_MAX, "{} bytes in a page", page.records.text_bytes());
        assert!(page.records.iter().all(|record| all.insert(record.id())), "a record came twice");
        pages.push(page.records.len());
        after = page.next;
        if after.is_none() {
            assert_eq!(all.len() as u64, LONG_RECORDS, "{pages:?}");
            return pages;
        }
    }
}

/// Records of a megabyte among many short ones: a page takes no more memory for that.
#[test]
fn pages_are_bounded_whatever_their_records_are() {
    let (disk, clock) = (SimDisk::new(7, SimSettings::default()), clock());
    let store = open(&disk, &plan_of("free_min: 0\nmemory_max: 512MiB\n"), &clock).expect("it works");
    let mut dice = Dice::new(7);
    for batch in 0..4 {
        let some = (0..1000).map(|n| {
            let start = batch * 1000 + n;
            let mut record = record(&clock, &mut dice, 1, start, start + 1);
            let is_long = n < LONG_RECORDS / 4;
            let text = if is_long { "long ".repeat(LONG_BYTES / 5) } else { "short".to_owned() };
            let level = if is_long { "error" } else { "info" };
            record.fields = vec![("level".into(), level.into()), ("message".into(), text.into())];
            record
        });
        store.append(Arc::new(batch_of(&some.collect::<Vec<_>>()))).expect("it works");
    }
    assert_eq!(pages_of_long(&store, Order::OldestFirst).len(), 2, "in memory sizes are known");
    store.seal_now().expect("it works");
    assert!(pages_of_long(&store, Order::NewestFirst).len() > 1);
    drop(store);
    let store = open(&disk, &plan_of("free_min: 0\n"), &clock).expect("it works");
    assert!(pages_of_long(&store, Order::OldestFirst).len() > 1);
}

/// A record larger than a page is a page.
#[test]
fn a_page_has_at_least_one_record() {
    let (disk, clock) = (SimDisk::new(7, SimSettings::default()), clock());
    let store = open(&disk, &plan_of("free_min: 0\nmemory_max: 512MiB\n"), &clock).expect("it works");
    let mut dice = Dice::new(7);
    let mut some: Vec<Record> = (0..3).map(|start| record(&clock, &mut dice, 1, start, start + 1)).collect();
    some[1].fields = (0..3).map(|n| (format!("f{n}").into(), "x".repeat(30 << 20).into())).collect();
    some.iter_mut().zip(0..).for_each(|(record, n)| record.timestamp = Timestamp::from_secs(n));
    store.append(Arc::new(batch_of(&some))).expect("it works");
    for _ in 0..2 {
        let (mut after, mut pages) = (None, Vec::new());
        loop {
            let request = SearchRequest {
                selection: everything(),
                order: Order::OldestFirst,
                limit: 10,
                after,
                original: true,
            };
            let page = store.search(&request, &Budget::unlimited()).expect("it works");
            pages.extend(page.records.iter().map(RecordRef::timestamp));
            assert_eq!(page.records.text_bytes() > PAGE_BYTES_MAX, pages.len() == 2);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, [0, 1, 2].map(Timestamp::from_secs));
        store.seal_now().expect("it works");
    }
}

/// What is found is handed out before everything was looked at, if nothing can come before it.
#[test]
fn the_first_records_of_many_segments_come_early() {
    let (disk, clock) = (SimDisk::new(7, SimSettings::default()), clock());
    let plan = plan_of("free_min: 0\nsearch_threads: 2\n").with_threads_at_once();
    let store = open(&disk, &plan, &clock).expect("it opens");
    let mut dice = Dice::new(7);
    for hour in 0..20 {
        clock.advance(Duration::from_secs(3600));
        let mut records: Vec<Record> =
            (0..10).map(|n| record(&clock, &mut dice, 1, hour * 10 + n, hour * 10 + n + 1)).collect();
        for (record, n) in records.iter_mut().zip(0..) {
            record.timestamp = clock.now().saturating_add(Duration::from_secs(n));
            let level = if n == 5 && hour % 6 == 0 { "error" } else { "info" };
            record.fields = vec![("level".into(), level.into())];
        }
        store.append(Arc::new(batch_of(&records))).expect("it is stored");
        store.seal_now().expect("it is sealed");
    }
    let predicate = kql::compile("level: error", &Context::default()).expect("it is KQL");
    let selection = Selection { predicate, ..everything() };
    let (mut after, mut times, mut read) = (None, Vec::new(), Vec::new());
    loop {
        let (order, limit) = (Order::OldestFirst, 100);
        let request = SearchRequest { selection: selection.clone(), order, limit, after, original: true };
        let budget = Budget::unlimited();
        budget.set_due(Instant::now());
        let page = store.search(&request, &budget).expect("it is answered");
        assert!(!page.stats.partial, "there was time enough");
        times.extend(page.records.iter().map(RecordRef::timestamp));
        read.push((page.records.len(), page.stats.blocks_read));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(read[0].0 == 1 && read[0].1 <= 3, "the first one came late: {read:?}");
    assert!(times.len() == 4 && times.is_sorted(), "{times:?}");
}
