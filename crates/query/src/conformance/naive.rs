//! The reference: a list of records, and each question answered by looking at all of them.

use std::collections::BTreeMap;

use sawyer_model::{Batch, Record, RecordId, Timestamp, Value, ValueRef};

use crate::pattern::{gather, pattern_of};
use crate::search::{FieldInfo, Position, Selection};

/// A list of records.
#[derive(Clone, Debug, Default)]
pub struct Naive {
    records: Vec<Record>,
}

/// A record as it can be compared: fields may come in any order.
pub(super) fn sorted(mut record: Record) -> Record {
    record.fields.sort_by(|a, b| a.0.cmp(&b.0));
    record
}

pub(super) fn position(record: &Record) -> Position {
    Position { timestamp: record.timestamp, source: record.source, start: record.range.start }
}

/// What counts as a value of a field in a record: the elements of a list each once, and no nulls.
pub(super) fn values_of(record: &Record, field: &str) -> Vec<Value> {
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

impl Naive {
    /// How many records it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds the records of a batch.
    pub fn extend(&mut self, batch: &Batch) {
        self.records.extend(batch.iter().map(|record| sorted(record.to_record())));
    }

    /// Adds a record.
    pub fn push(&mut self, record: Record) {
        self.records.push(sorted(record));
    }

    /// All of them.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Those with this id.
    pub(super) fn with_id(&self, id: RecordId) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |r| r.source == id.source && r.range.start == id.start)
    }

    pub(super) fn select(&self, selection: &Selection) -> Vec<&Record> {
        let chosen = self.records.iter().filter(|record| {
            record.timestamp >= selection.start
                && record.timestamp < selection.end
                && selection.predicate.matches_fields(*record)
        });
        chosen.collect()
    }
}

/// How often each value of a field is there, and how many records have none.
pub(super) fn counts(records: &[&Record], field: &str) -> (Vec<(Value, u64)>, u64) {
    let (mut counts, mut missing): (Vec<(Value, u64)>, u64) = (Vec::new(), 0);
    for record in records {
        let values = values_of(record, field);
        missing += u64::from(values.is_empty());
        for value in values {
            match counts.iter_mut().find(|(known, _)| *known == value) {
                Some((_, count)) => *count += 1,
                None => counts.push((value, 1)),
            }
        }
    }
    (counts, missing)
}

/// Counts between edges, by nothing.
pub(super) fn bucket(edges: &[Timestamp], time: Timestamp) -> Option<usize> {
    (0..edges.len() - 1).find(|n| time >= edges[*n] && time < edges[n + 1])
}

pub(super) fn fields(records: &[&Record]) -> Vec<FieldInfo> {
    let mut fields: BTreeMap<String, (Vec<&'static str>, u64)> = BTreeMap::new();
    for record in records {
        let of_stream = record.stream.fields().iter();
        let own = |name: &str| record.fields.iter().any(|(known, _)| &**known == name);
        for (name, value) in record.fields.iter().chain(of_stream.filter(|(name, _)| !own(name))) {
            let (types, count) = fields.entry(name.to_string()).or_default();
            *count += 1;
            types.push(ValueRef::type_name(value.as_ref()));
            types.sort_unstable();
            types.dedup();
        }
    }
    fields.into_iter().map(|(name, (types, count))| FieldInfo { name, types, count }).collect()
}

pub(super) fn patterns(records: &[&Record], field: &str) -> (Vec<(String, u64)>, u64) {
    let (mut patterns, mut missing) = (BTreeMap::new(), 0);
    for record in records {
        let texts = values_of(record, field);
        let texts: Vec<&str> = texts
            .iter()
            .filter_map(|value| match value {
                Value::Str(text) => Some(&**text),
                _ => None,
            })
            .collect();
        missing += u64::from(texts.is_empty());
        for text in texts {
            *patterns.entry(pattern_of(text)).or_default() += 1;
        }
    }
    (gather(patterns), missing)
}
