//! Comparing records exactly: floats to the bit.

use sawyer_model::{Batch, Record, Value};

/// A record as text that differs if anything in it does; the order of fields does not count.
pub(crate) fn exact(record: &Record) -> String {
    let mut fields: Vec<(&str, String)> =
        record.fields.iter().map(|(name, value)| (&**name, exact_value(value))).collect();
    fields.sort();
    let Record { timestamp, observed, source, range, stream, .. } = record;
    let stream: Vec<_> = stream.fields().iter().map(|(name, value)| (name, exact_value(value))).collect();
    format!("{} {} {source} {range:?} {stream:?} {fields:?}", timestamp.nanos(), observed.nanos())
}

fn exact_value(value: &Value) -> String {
    match value {
        Value::Float(float) => format!("float {:016x}", float.to_bits()),
        Value::List(values) => format!("[{}]", values.iter().map(exact_value).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}

/// All records of batches, each as [`exact`], sorted.
pub(crate) fn exact_all<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Vec<String> {
    let records = batches.into_iter().flat_map(Batch::iter);
    let mut all: Vec<String> = records.map(|record| exact(&record.to_record())).collect();
    all.sort();
    all
}
