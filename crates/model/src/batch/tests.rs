use proptest::prelude::*;

use super::*;
use crate::value::Value;

fn head(start: u64, end: u64) -> RecordHead {
    RecordHead {
        timestamp: Timestamp::from_secs(1),
        observed: Timestamp::from_secs(2),
        source: SourceId(7),
        range: SeqRange::new(start, end),
    }
}

fn batch_of(lines: &[&str]) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::new([("pod", Value::from("cart-1"))])));
    for (at, line) in lines.iter().enumerate() {
        let at = at as u64;
        batch.begin(head(at * 10, at * 10 + 10), stream).field_by_id(NameId::MESSAGE, ValueRef::Str(line));
    }
    batch
}

#[test]
fn a_record_reads_its_own_fields_before_its_streams() {
    let mut batch = batch_of(&["hello"]);
    assert_eq!(batch.get(0).get("pod"), Some(ValueRef::Str("cart-1")));
    batch.edit(0).set("pod", ValueRef::Str("mine"));
    assert_eq!(batch.get(0).get("pod"), Some(ValueRef::Str("mine")));
    assert_eq!(batch.get(0).stream().get("pod"), Some(&Value::from("cart-1")));
    let names: Vec<&str> = batch.get(0).fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["message", "pod"]);
}

#[test]
fn a_name_said_twice_makes_a_list() {
    let mut batch = batch_of(&["one"]);
    let stream = 0;
    let mut writer = batch.begin(head(10, 20), stream);
    writer.field("n", ValueRef::Int(1));
    writer.field("x", ValueRef::Bool(true));
    writer.field("n", ValueRef::Str("two"));
    writer.field("n", Value::List(vec![Value::Int(3), Value::Null]).as_ref());
    let wanted = Value::List(vec![Value::Int(1), Value::from("two"), Value::Int(3), Value::Null]);
    assert_eq!(batch.get(1).get("n").map(ValueRef::to_value), Some(wanted));
    assert_eq!(batch.get(1).own_fields().len(), 2);
}

#[test]
fn a_renamed_field_replaces_what_had_the_name() {
    let mut batch = batch_of(&["a", "b"]);
    batch.edit(0).extend([("k", ValueRef::Int(1)), ("_original", ValueRef::Str("old"))]);
    assert!(batch.edit(0).rename("message", "_original"));
    assert!(batch.edit(0).rename("k", "k"));
    assert!(!batch.edit(0).rename("message", "x"));
    assert!(!batch.edit(0).rename("never seen", "x"));
    let told: Vec<_> = batch.get(0).own_fields().collect();
    assert_eq!(told, [("_original", ValueRef::Str("a")), ("k", ValueRef::Int(1))]);
    assert_eq!(batch.get(1).message(), "b");
}

#[test]
fn lists_of_borrowed_values_are_stored() {
    let mut batch = batch_of(&["a"]);
    let values = [ValueRef::Int(1), ValueRef::Str("x")];
    batch.edit(0).set("list", ValueRef::List(values[..].into()));
    batch.edit(0).set("none", ValueRef::List([][..].into()));
    let wanted = Value::List(vec![Value::Int(1), Value::from("x")]);
    assert_eq!(batch.get(0).get("list").map(ValueRef::to_value), Some(wanted));
    assert_eq!(batch.get(0).get("none").map(ValueRef::to_value), Some(Value::List(vec![])));
}

#[test]
fn editing_one_record_leaves_the_others() {
    let mut batch = batch_of(&["a", "b", "c"]);
    batch.edit(1).set("level", ValueRef::Str("error"));
    batch.edit(1).extend([("k", ValueRef::Int(1)), ("level", ValueRef::Str("again"))]);
    assert!(batch.edit(1).remove("message"));
    assert!(!batch.edit(1).remove("message"));
    assert!(!batch.edit(1).remove("never seen"));
    let told: Vec<String> =
        batch.iter().map(|r| format!("{:?}", r.own_fields().collect::<Vec<_>>())).collect();
    assert_eq!(
        told,
        [
            r#"[("message", Str("a"))]"#,
            r#"[("level", List([Str("error"), Str("again")])), ("k", Int(1))]"#,
            r#"[("message", Str("c"))]"#
        ]
    );
}

#[test]
fn what_is_dropped_stays_covered() {
    let mut batch = batch_of(&["keep", "drop", "keep"]);
    batch.retain(|record| record.message() == "keep");
    assert_eq!(batch.len(), 2);
    assert_eq!(batch.covered(), [Covered { source: SourceId(7), range: SeqRange::new(0, 30) }]);
}

#[test]
fn a_mark_is_made_once() {
    let mut batch = batch_of(&["x"]);
    for mark in [names::MARK_CUT, names::MARK_INVALID_UTF8, names::MARK_CUT] {
        batch.edit(0).mark(mark);
    }
    assert_eq!(batch.get(0).marks().collect::<Vec<_>>(), ["cut", "invalid_utf8"]);
}

#[test]
fn too_many_fields_are_left_out() {
    let mut batch = batch_of(&["x"]);
    let mut writer = batch.begin(head(10, 20), 0);
    for n in 0..RECORD_FIELDS_MAX + 10 {
        writer.field(&format!("f{n}"), ValueRef::Int(n as i64));
    }
    assert_eq!(batch.get(1).own_fields().len(), RECORD_FIELDS_MAX);
    batch.edit(1).set("set", ValueRef::Bool(true));
    assert_eq!(batch.get(1).own_fields().len(), RECORD_FIELDS_MAX);
    assert_eq!(batch.get(1).get("set"), Some(ValueRef::Bool(true)));
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e300..1e300).prop_map(Value::Float),
        ".{0,12}".prop_map(Value::from),
        any::<i64>().prop_map(|n| Value::Timestamp(Timestamp::from_nanos(n))),
        ".{0,12}".prop_map(|text| Value::Json(text.into())),
    ];
    prop_oneof![4 => scalar.clone(), 1 => prop::collection::vec(scalar, 0..4).prop_map(Value::List)]
}

proptest! {
    #[test]
    fn records_come_out_as_they_went_in(
        records in prop::collection::vec(prop::collection::btree_map("[a-z]{1,3}(\\.[a-z])?", value(), 0..8), 0..20),
    ) {
        let records: Vec<Record> = records.into_iter().enumerate().map(|(at, fields)| {
            let at = at as u64;
            let RecordHead { timestamp, observed, source, range } = head(at, at + 1);
            let stream = Arc::new(Stream::new([("pod", Value::from(format!("p{}", at % 3)))]));
            let fields = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
            Record { timestamp, observed, source, range, stream, fields }
        }).collect();
        let batch: Batch = records.iter().collect();
        prop_assert_eq!(batch.iter().map(RecordRef::to_record).collect::<Vec<_>>(), records.clone());
        let mut copy = Batch::new();
        for record in batch.iter().rev() {
            copy.push_ref(record);
        }
        prop_assert_eq!(copy.iter().rev().map(RecordRef::to_record).collect::<Vec<_>>(), records.clone());
        let mut some = Batch::new();
        some.add_stream(&Arc::new(Stream::default()));
        some.intern("another");
        some.push_from(&batch, (0..batch.len()).filter(|at| at % 3 != 1));
        prop_assert_eq!(some.iter().map(RecordRef::to_record).collect::<Vec<_>>(),
            records.into_iter().enumerate().filter(|(at, _)| at % 3 != 1).map(|(_, record)| record).collect::<Vec<_>>());
    }
}

#[test]
fn many_streams_keep_their_numbers() {
    let streams: Vec<Arc<Stream>> =
        (0..100).map(|n| Arc::new(Stream::new([("pod", Value::from(n))]))).collect();
    let mut batch = Batch::new();
    for _ in 0..2 {
        for (number, stream) in (0..).zip(&streams) {
            assert_eq!(batch.add_stream(stream), number);
        }
    }
    let equal = Arc::new(Stream::new([("pod", Value::from(7))]));
    assert_eq!(batch.add_stream(&equal), 7);
}
