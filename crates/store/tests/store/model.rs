//! The store against a naive reference: after any sequence of appending, sealing, merging and reopening every kind
//! of question has the same answer. What is asked, and the answers, are those of the suite for engines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{Batch, RangeSet, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_query::conformance::{Naive as Reference, check};
use sawyer_query::search::{Budget, Search};
use sawyer_telemetry::Clock;

use crate::common::{batch_of, check_lines, clock, everything, open, plan_of};

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
    records: Reference,
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
                self.records.push(record.to_record());
            }
        }
        for covered in batch.covered() {
            self.committed.entry(covered.source).or_default().insert(covered.range);
        }
        duplicates
    }
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_question_has_the_naive_answer(steps in prop::collection::vec(step(), 1..30)) {
        let plan = plan_of("memory_max: 1MiB\nretention: 36500d\nfree_min: 0\nseal_interval: 60s\nsearch_threads: 3\n")
            .with_threads_at_once();
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
        check(&store, &naive.records, clock.now(), "as it was left");
        check_lines(&store, "as it was left");
        store.seal_now().expect("it is sealed");
        for _ in 0..3 {
            store.run_once().expect("it is merged");
        }
        check(&store, &naive.records, clock.now(), "merged");
        check_lines(&store, "merged");
        drop(store);
        let store = open(&disk, &plan, &clock).expect("it opens again");
        check(&store, &naive.records, clock.now(), "opened again");
        check_lines(&store, "opened again");
        prop_assert_eq!(store.problems(), []);
        prop_assert_eq!(store.count(&everything(), &Budget::unlimited()).expect("counts").0 as usize, naive.records.len());
    }
}
