//! The store against a naive reference: after any sequence of appending, sealing, merging and reopening every kind
//! of question has the same answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{
    Batch, RangeSet, Record, RecordId, SeqRange, SourceId, Stream, Timestamp, Value, ValueRef,
};
use sawyer_query::search::{
    Budget, FieldInfo, Histogram, HistogramRequest, Order, Position, Search, SearchRequest, Selection,
    TopValues, ValuesRequest,
};
use sawyer_query::{Context, Predicate, kql};
use sawyer_store::Store;
use sawyer_telemetry::Clock;

use crate::common::{batch_of, clock, everything, open, plan_of, sorted};

/// One thing that is done with a store.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Sent>),
    Cover(u128, u64, u64),
    Seal,
    RunOnce,
    Reopen,
    Advance(u64),
}

/// A record as it is sent; what is not here follows from it.
#[derive(Clone, Debug)]
struct Sent {
    source: u128,
    start: u64,
    late_secs: i64,
    pod: u8,
    fields: Vec<(&'static str, Value)>,
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec!["error", "Error", "timeout of cart", "결제가 실패", "", "a", "200"]);
    let scalar = prop_oneof![
        4 => text.prop_map(Value::from),
        2 => (0i64..4).prop_map(Value::Int),
        1 => prop::sample::select(vec![0.5, -1.5, 200.0]).prop_map(Value::Float),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => (0i64..3).prop_map(|n| Value::Timestamp(Timestamp::from_secs(n))),
    ];
    prop_oneof![6 => scalar.clone(), 1 => prop::collection::vec(scalar, 0..3).prop_map(Value::List)]
}

fn sent() -> impl Strategy<Value = Sent> {
    let late = prop_oneof![6 => 0i64..10, 1 => -5i64..100_000, 1 => 0i64..40_000_000];
    let name = prop::sample::select(vec!["message", "level", "code", "tags", "pod"]);
    let fields = prop::collection::btree_map(name, value(), 0..4);
    (0u128..3, 0u64..60, late, 0u8..3, fields).prop_map(|(source, start, late_secs, pod, fields)| Sent {
        source,
        start,
        late_secs,
        pod,
        fields: fields.into_iter().collect(),
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(sent(), 1..8).prop_map(Step::Append),
        1 => (0u128..3, 0u64..60, 1u64..9).prop_map(|(source, start, len)| Step::Cover(source, start, len)),
        2 => Just(Step::Seal),
        2 => Just(Step::RunOnce),
        1 => Just(Step::Reopen),
        1 => (0u64..100_000).prop_map(Step::Advance),
    ]
}

/// The reference: a list.
#[derive(Default)]
struct Naive {
    records: Vec<Record>,
    committed: BTreeMap<SourceId, RangeSet>,
}

impl Naive {
    /// What appending has to answer.
    fn append(&mut self, batch: &Batch) -> Vec<usize> {
        let mut duplicates = Vec::new();
        for (at, record) in batch.iter().enumerate() {
            let ranges = self.committed.entry(record.source()).or_default();
            if !record.range().is_empty() && ranges.insert(record.range()) == 0 {
                duplicates.push(at);
            } else {
                self.records.push(sorted(record.to_record()));
            }
        }
        for covered in batch.covered() {
            self.committed.entry(covered.source).or_default().insert(covered.range);
        }
        duplicates
    }

    fn select(&self, selection: &Selection) -> Vec<&Record> {
        let chosen = self.records.iter().filter(|record| {
            record.timestamp >= selection.start
                && record.timestamp < selection.end
                && selection.predicate.matches_fields(*record)
        });
        chosen.collect()
    }
}

fn position(record: &Record) -> Position {
    Position { timestamp: record.timestamp, source: record.source, start: record.range.start }
}

/// What counts as a value of a field in a record.
fn values_of(record: &Record, field: &str) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    let all = match record.get(field) {
        Some(Value::List(list)) => list.clone(),
        other => other.into_iter().cloned().collect(),
    };
    for value in all {
        if value != Value::Null && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn build(sent: &[Sent], clock: &Clock) -> Batch {
    let records: Vec<Record> = sent
        .iter()
        .map(|sent| {
            let observed = clock.now();
            let late = Duration::from_secs(sent.late_secs.unsigned_abs());
            Record {
                timestamp: if sent.late_secs < 0 {
                    observed.saturating_add(late)
                } else {
                    observed.saturating_sub(late)
                },
                observed,
                source: SourceId(sent.source),
                // The end follows from the start, because a record is known by its start; ranges overlap all the same.
                range: SeqRange::new(sent.start * 10, sent.start * 10 + 5 + sent.start * 7 % 25),
                stream: Arc::new(Stream::new([("pod", Value::from(format!("p{}", sent.pod)))])),
                fields: sent.fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
            }
        })
        .collect();
    batch_of(&records)
}

fn predicates() -> Vec<Predicate> {
    let parse = |text: &str| kql::compile(text, &Context::default()).expect(text);
    [
        "",
        "error",
        "level: error",
        "message: \"timeout of\"",
        "code >= 1 and code < 3",
        "not pod: p1",
        "tags: *",
        "pod: p* and (level: a or message: 결제)",
        "code: 200 or tags: true",
    ]
    .map(parse)
    .to_vec()
}

fn check(store: &Store, naive: &Naive, now: Timestamp) {
    let near = now.saturating_sub(Duration::from_secs(100_000));
    for predicate in predicates() {
        for (start, end) in [(Timestamp::MIN, Timestamp::MAX), (near, now)] {
            let selection = Selection { predicate: predicate.clone(), start, end };
            check_pages(store, naive, &selection);
            check_counts(store, naive, &selection, now);
            for field in ["level", "tags", "pod", "code"] {
                check_values(store, naive, &selection, field);
            }
            check_fields(store, naive, &selection);
        }
    }
    let totals = store.totals();
    assert_eq!(totals.records as usize, naive.records.len());
    assert_eq!(totals.oldest, naive.records.iter().map(|record| record.timestamp).min());
    assert_eq!(totals.newest, naive.records.iter().map(|record| record.timestamp).max());
}

fn check_pages(store: &Store, naive: &Naive, selection: &Selection) {
    for (order, limit) in [(Order::NewestFirst, 7), (Order::OldestFirst, 3), (Order::NewestFirst, 1000)] {
        let mut wanted = naive.select(selection);
        wanted.sort_by(|a, b| order.compare(position(a), position(b)));
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let request = SearchRequest { selection: selection.clone(), order, limit, after };
            let page = store.search(&request, &Budget::unlimited()).expect("it is answered");
            assert!(page.records.len() <= limit && !page.stats.partial);
            found.extend(page.records.iter().map(|record| sorted(record.to_record())));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{:?}", selection.predicate);
    }
}

fn check_counts(store: &Store, naive: &Naive, selection: &Selection, now: Timestamp) {
    let wanted = naive.select(selection);
    let (count, _) = store.count(selection, &Budget::unlimited()).expect("it is answered");
    assert_eq!(count as usize, wanted.len(), "{:?}", selection.predicate);
    let edges: Vec<Timestamp> =
        [200_000u64, 50_000, 100, 7, 3, 0].map(|ago| now.saturating_sub(Duration::from_secs(ago))).to_vec();
    for by in [None, Some("level"), Some("tags")] {
        let request = HistogramRequest {
            selection: selection.clone(),
            edges: edges.clone(),
            by: by.map(str::to_owned),
            by_limit: 2,
        };
        let found = store.histogram(&request, &Budget::unlimited()).expect("it is answered");
        let naive = naive_histogram(&wanted, &edges, by, &found);
        assert_eq!(Histogram { stats: found.stats, ..naive }, found, "{:?} by {by:?}", selection.predicate);
    }
}

fn naive_histogram(
    records: &[&Record],
    edges: &[Timestamp],
    by: Option<&str>,
    found: &Histogram,
) -> Histogram {
    let buckets = edges.len() - 1;
    let mut histogram = Histogram { counts: vec![0; buckets], ..Histogram::default() };
    if by.is_some() {
        (histogram.missing, histogram.other) = (vec![0; buckets], vec![0; buckets]);
        // Which values are the most frequent is held against `values`; here only their numbers.
        histogram.by = found.by.iter().map(|(value, _)| (value.clone(), vec![0; buckets])).collect();
    }
    for record in records {
        let Some(bucket) =
            (0..buckets).find(|n| record.timestamp >= edges[*n] && record.timestamp < edges[n + 1])
        else {
            continue;
        };
        histogram.counts[bucket] += 1;
        let Some(by) = by else { continue };
        let values = values_of(record, by);
        histogram.missing[bucket] += u64::from(values.is_empty());
        for value in values {
            match histogram.by.iter_mut().find(|(known, _)| *known == value) {
                Some((_, counts)) => counts[bucket] += 1,
                None => histogram.other[bucket] += 1,
            }
        }
    }
    histogram
}

fn check_values(store: &Store, naive: &Naive, selection: &Selection, field: &str) {
    let records = naive.select(selection);
    for (limit, prefix) in [(2, None), (100, None), (100, Some("ER"))] {
        let mut counts: Vec<(Value, u64)> = Vec::new();
        let mut missing = 0;
        for record in &records {
            let values = values_of(record, field);
            missing += u64::from(values.is_empty());
            for value in values {
                let text = match &value {
                    Value::Str(text) => text.to_lowercase(),
                    _ => String::new(),
                };
                if prefix.is_some_and(|prefix: &str| !text.starts_with(&prefix.to_lowercase())) {
                    continue;
                }
                match counts.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((value, 1)),
                }
            }
        }
        let request = ValuesRequest {
            selection: selection.clone(),
            field: field.into(),
            limit,
            prefix: prefix.map(str::to_owned),
        };
        let found = store.values(&request, &Budget::unlimited()).expect("it is answered");
        let TopValues { values, rows, missing: found_missing, distinct, .. } = found;
        assert_eq!((rows as usize, found_missing, distinct as usize), (records.len(), missing, counts.len()));
        assert_eq!(values.len(), counts.len().min(limit));
        assert!(values.is_sorted_by(|a, b| a.1 >= b.1));
        assert!(values.iter().all(|value| counts.contains(value)), "{values:?} of {counts:?}");
        let least = values.last().map_or(0, |(_, count)| *count);
        let left_out = counts.iter().filter(|value| !values.contains(value));
        assert!(left_out.clone().all(|(_, count)| *count <= least), "{values:?} of {counts:?}");
    }
}

fn check_fields(store: &Store, naive: &Naive, selection: &Selection) {
    let mut wanted: BTreeMap<String, (Vec<&'static str>, u64)> = BTreeMap::new();
    for record in naive.select(selection) {
        let of_stream = record.stream.fields().iter();
        let all = record
            .fields
            .iter()
            .chain(of_stream.filter(|(name, _)| !record.fields.iter().any(|f| f.0 == *name)));
        for (name, value) in all {
            let (types, count) = wanted.entry(name.to_string()).or_default();
            *count += 1;
            types.push(ValueRef::type_name(value.as_ref()));
            types.sort_unstable();
            types.dedup();
        }
    }
    let found = store.fields(selection, &Budget::unlimited()).expect("it is answered");
    let wanted: Vec<FieldInfo> =
        wanted.into_iter().map(|(name, (types, count))| FieldInfo { name, types, count }).collect();
    assert_eq!(found.fields, wanted);
}

fn check_ids(store: &Store, naive: &Naive) {
    for record in naive.records.iter().step_by(5) {
        let id = RecordId { source: record.source, start: record.range.start };
        let found = store.record(id, &Budget::unlimited()).expect("it is answered").map(sorted);
        let same =
            naive.records.iter().filter(|known| known.source == id.source && known.range.start == id.start);
        assert!(same.clone().any(|known| Some(known) == found.as_ref()), "{id}");
    }
    let nobody = RecordId { source: SourceId(99), start: 0 };
    assert_eq!(store.record(nobody, &Budget::unlimited()).expect("it is answered"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_question_has_the_naive_answer(steps in prop::collection::vec(step(), 1..30)) {
        let plan = plan_of("memory_max: 1MiB\nretention: 36500d\nfree_min: 0\nseal_interval: 60s\nsearch_threads: 2\n");
        let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
        let mut store = open(&disk, &plan, &clock).expect("it opens");
        let mut naive = Naive::default();
        for step in steps {
            match step {
                Step::Append(sent) => {
                    let batch = build(&sent, &clock);
                    let duplicates = naive.append(&batch);
                    let appended = store.append(Arc::new(batch)).expect("it is stored");
                    prop_assert_eq!(appended.duplicates, duplicates);
                }
                Step::Cover(source, start, len) => {
                    let mut batch = Batch::new();
                    batch.cover(SourceId(source), SeqRange::new(start * 10, start * 10 + len * 10));
                    naive.append(&batch);
                    store.append(Arc::new(batch)).expect("it is stored");
                }
                Step::Seal => store.seal_now().expect("it is sealed"),
                Step::RunOnce => store.run_once().expect("it works"),
                Step::Advance(secs) => clock.advance(Duration::from_secs(secs)),
                Step::Reopen => {
                    drop(store);
                    store = open(&disk, &plan, &clock).expect("it opens again");
                }
            }
        }
        check(&store, &naive, clock.now());
        store.seal_now().expect("it is sealed");
        for _ in 0..3 {
            store.run_once().expect("it is merged");
        }
        check(&store, &naive, clock.now());
        drop(store);
        let store = open(&disk, &plan, &clock).expect("it opens again");
        check(&store, &naive, clock.now());
        check_ids(&store, &naive);
        prop_assert_eq!(store.problems(), []);
        prop_assert_eq!(store.count(&everything(), &Budget::unlimited()).expect("counts").0 as usize, naive.records.len());
    }
}
