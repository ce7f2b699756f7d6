use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field as Cell;
use proptest::prelude::*;
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_query::search::FieldInfo;
use serde_json::Value as Json;

use super::*;

const NAMES: [&str; 8] = ["message", "status", "took", "ok", "at", "_id", "_other", "_original"];

fn record(number: u64, fields: Vec<(&str, Value)>) -> Record {
    Record {
        timestamp: Timestamp::from_nanos(1_700_000_000_000_000_001 + number as i64),
        observed: Timestamp::from_nanos(1_700_000_001_000_000_000),
        source: SourceId(7),
        range: SeqRange::new(number * 10, number * 10 + 10),
        stream: Arc::new(Stream::new([("pod", Value::from("cart-1"))])),
        fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
    }
}

/// The columns for what is known of some records.
fn plan(records: &[Record], without_original: bool) -> Plan {
    let mut known: BTreeMap<&str, (BTreeSet<&'static str>, u64)> = BTreeMap::new();
    let batch = Batch::from_iter(records);
    for record in batch.iter() {
        for (name, value) in record.fields() {
            let (types, count) = known.entry(name).or_default();
            types.insert(value.type_name());
            *count += 1;
        }
    }
    let info = |(name, (types, count)): (&str, (BTreeSet<_>, u64))| FieldInfo {
        name: name.to_owned(),
        types: types.into_iter().collect(),
        count,
    };
    Plan::new(&known.into_iter().map(info).collect::<Vec<_>>(), without_original)
}

/// The rows of a file that is made of these records.
fn rows(records: &[Record], plan: Plan) -> Vec<BTreeMap<String, Cell>> {
    let batch = Batch::from_iter(records);
    let mut writer = Writer::new(Vec::new(), plan).unwrap();
    batch.iter().try_for_each(|record| writer.add(record)).unwrap();
    let file = writer.finish("end", "here".to_owned()).unwrap();
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let about = reader.metadata().file_metadata().key_value_metadata().unwrap();
    assert!(about.iter().any(|pair| pair.key == "end" && pair.value.as_deref() == Some("here")));
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| {
        let row = row.unwrap();
        row.get_column_iter().map(|(name, cell)| (name.clone(), cell.clone())).collect()
    })
    .collect()
}

fn json(value: ValueRef<'_>) -> Json {
    let mut text = Vec::new();
    json_out::write_value(value, &mut text);
    serde_json::from_slice(&text).unwrap()
}

/// Whether a cell says what a value says.
fn says(cell: &Cell, value: ValueRef<'_>) -> bool {
    match (cell, value) {
        (Cell::Bool(cell), ValueRef::Bool(value)) => *cell == value,
        (Cell::Long(cell), ValueRef::Int(value)) => *cell == value,
        (Cell::Long(cell), ValueRef::Timestamp(value)) => *cell == value.nanos(),
        (Cell::Double(cell), ValueRef::Float(value)) => cell.to_bits() == value.to_bits(),
        (Cell::Double(cell), ValueRef::Int(value)) => *cell as i128 == i128::from(value),
        (Cell::Str(cell), ValueRef::Str(value)) => cell == value,
        (Cell::Str(cell), value) => serde_json::from_str::<Json>(cell).unwrap() == json(value),
        _ => false,
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-9i64..9).prop_map(Value::Int),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Value::Float),
        ".{0,12}".prop_map(Value::from),
        any::<i64>().prop_map(|nanos| Value::Timestamp(Timestamp::from_nanos(nanos))),
        prop::collection::vec("[a-c]{0,2}".prop_map(Value::from), 0..3).prop_map(Value::List),
        Just(Value::Json("[{\"a\":1}]".into())),
    ]
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let fields = prop::collection::btree_map(0..NAMES.len(), values(), 0..6);
    prop::collection::vec(fields, 0..40).prop_map(|all| {
        let all = all.into_iter().enumerate();
        all.map(|(at, fields)| {
            record(at as u64, fields.into_iter().map(|(name, value)| (NAMES[name], value)).collect())
        })
        .collect()
    })
}

proptest! {
    /// Also of fields, and types of fields, that only the last records have, which nobody knew of.
    #[test]
    fn every_field_is_in_its_column_or_in_the_rest(records in records(), known in 0usize..40) {
        let known = &records[..known.min(records.len())];
        let rows = rows(&records, plan(known, false));
        prop_assert_eq!(rows.len(), records.len());
        let batch = Batch::from_iter(&records);
        for (record, row) in batch.iter().zip(&rows) {
            let mut id = Vec::new();
            json_out::write_id(record.id(), &mut id);
            prop_assert_eq!(&row[ID], &Cell::Str(String::from_utf8(id).unwrap()));
            prop_assert_eq!(&row[TIMESTAMP], &Cell::Long(record.timestamp().nanos()));
            prop_assert_eq!(&row[OBSERVED], &Cell::Long(record.observed().nanos()));
            let mut rest: BTreeMap<String, Json> = match &row[OTHER] {
                Cell::Str(text) => serde_json::from_str(text).unwrap(),
                _ => BTreeMap::new(),
            };
            let mut columns = row.iter().filter(|(_, cell)| **cell != Cell::Null).count();
            columns -= 3 + usize::from(!rest.is_empty());
            for (name, value) in record.fields().filter(|(_, value)| *value != ValueRef::Null) {
                if let Some(told) = rest.remove(name) {
                    prop_assert_eq!(told, json(value));
                } else {
                    columns -= 1;
                    prop_assert!(says(&row[name], value), "{}: {:?} {:?}", name, &row[name], value);
                }
            }
            prop_assert!(rest.is_empty() && columns == 0, "{:?} {:?}", rest, row);
        }
    }
}

#[test]
fn types_of_columns_are_those_of_the_values() {
    let records = [
        record(0, vec![("status", Value::Int(200)), ("took", Value::Int(3)), ("mixed", Value::Int(1))]),
        record(1, vec![("status", Value::Null), ("took", Value::Float(0.5)), ("mixed", Value::from("one"))]),
    ];
    let schema = plan(&records, false).schema().unwrap();
    let mut text = Vec::new();
    parquet::schema::printer::print_schema(&mut text, &schema);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "message record {
  REQUIRED BYTE_ARRAY _id (STRING);
  REQUIRED INT64 timestamp (TIMESTAMP(NANOS,true));
  REQUIRED INT64 observed (TIMESTAMP(NANOS,true));
  OPTIONAL BYTE_ARRAY mixed (STRING);
  OPTIONAL BYTE_ARRAY pod (STRING);
  OPTIONAL INT64 status;
  OPTIONAL DOUBLE took;
  OPTIONAL BYTE_ARRAY _other (STRING);
}
"
    );
}

#[test]
fn groups_are_bounded_and_nothing_falls_between_them() {
    let text = "x".repeat(1 << 20);
    let records: Vec<_> =
        (0..70).map(|number| record(number, vec![("message", Value::from(text.as_str()))])).collect();
    let batch = Batch::from_iter(&records);
    let mut writer = Writer::new(Vec::new(), plan(&records[..1], false)).unwrap();
    let mut most = 0;
    for record in batch.iter() {
        writer.add(record).unwrap();
        most = most.max(writer.bytes);
    }
    assert!(most < GROUP_BYTES + (1 << 20), "{most}");
    let file = writer.finish("end", String::new()).unwrap();
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let groups: Vec<_> = reader
        .metadata()
        .row_groups()
        .iter()
        .map(parquet::file::metadata::RowGroupMetaData::num_rows)
        .collect();
    assert_eq!(groups, [32, 32, 6]);
}

#[test]
fn lines_as_written_are_left_out_when_they_are_not_wanted() {
    let records = [record(0, vec![("_original", Value::from("a=1")), ("a", Value::Int(1))])];
    let row = &rows(&records, plan(&records, true))[0];
    assert!(!row.contains_key("_original") && row[OTHER] == Cell::Null, "{row:?}");
}
