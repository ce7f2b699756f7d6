//! A hundred thousand names of fields: nothing the store does with them may be a cliff.

use std::collections::BTreeSet;
use std::sync::Arc;

use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{Record, Value};
use sawyer_query::search::{Budget, Search, Selection};
use sawyer_query::{Context, kql};
use sawyer_telemetry::Clock;

use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, everything, open, plan_of, record, records};

const BATCHES: u64 = 5;
const RECORDS: u64 = 5_000;
const NAMES_OF_EACH: u64 = 4;

/// Bytes of a segment for each name, of which nobody else has any: its text, its directory, its column, its tokens.
const BYTES_OF_A_NAME_MAX: u64 = 60;

fn name(record: u64, n: u64) -> String {
    format!("field.{}", record * NAMES_OF_EACH + n)
}

fn some_records(clock: &Clock, batch: u64) -> Vec<Record> {
    let mut dice = Dice::new(batch);
    let numbers = batch * RECORDS..(batch + 1) * RECORDS;
    let with_names = numbers.map(|number| {
        let mut record = record(clock, &mut dice, 1, number, number + 1);
        record.timestamp = clock.now();
        let names = (0..NAMES_OF_EACH).map(|n| (name(number, n).into(), Value::Int(number as i64)));
        record.fields.extend(names);
        record
    });
    with_names.collect()
}

#[test]
fn a_hundred_thousand_names_are_stored_merged_found_and_listed() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 64MiB\nfree_min: 0\nsearch_threads: 1\n");
    let store = open(&disk, &plan, &clock).unwrap();
    let names = BATCHES * RECORDS * NAMES_OF_EACH;
    for batch in 0..BATCHES {
        store.append(Arc::new(batch_of(&some_records(&clock, batch)))).unwrap();
        if batch + 1 < BATCHES {
            store.seal_now().unwrap();
        }
    }
    let check = |told: &str| {
        let fields = store.fields(&everything(), &Budget::unlimited()).unwrap();
        let found: BTreeSet<&str> = fields.fields.iter().map(|field| &*field.name).collect();
        let wanted: BTreeSet<String> = (0..BATCHES * RECORDS)
            .flat_map(|record| (0..NAMES_OF_EACH).map(move |n| name(record, n)))
            .collect();
        assert!(wanted.iter().all(|name| found.contains(&**name)), "{told}");
        assert_eq!((fields.rows, wanted.len() as u64), (BATCHES * RECORDS, names), "{told}");
        assert!(
            fields
                .fields
                .iter()
                .filter(|field| field.name.starts_with("field."))
                .all(|field| field.count == 1)
        );
        for number in [0, RECORDS * 2 + 1, RECORDS * BATCHES - 1] {
            let query = format!("{}: {number}", name(number, 3));
            let predicate = kql::compile(&query, &Context::default()).unwrap();
            let selection = Selection { predicate, ..everything() };
            assert_eq!(store.count(&selection, &Budget::unlimited()).unwrap().0, 1, "{query} {told}");
        }
    };
    check("in four segments and in memory");
    store.seal_now().unwrap();
    check("in five segments");
    while store.totals().segments > 1 {
        let before = store.totals().segments;
        store.run_once().unwrap();
        assert!(store.totals().segments < before, "they are merged");
    }
    check("in one segment");
    let totals = store.totals();
    assert!(totals.bytes < names * BYTES_OF_A_NAME_MAX, "{totals:?}");
    let all = records(&store);
    assert_eq!(all.len() as u64, BATCHES * RECORDS);
    assert!(all.iter().all(|record| record.fields.len() as u64 == 3 + NAMES_OF_EACH));
    assert_eq!(store.verify().problems, []);
}
