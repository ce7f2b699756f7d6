use std::sync::Arc;

use insta::assert_snapshot;
use proptest::prelude::*;
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Value};

use super::*;
use crate::testing::{OBSERVED, batch_of, stream};

fn record(fields: Vec<(&str, Value)>) -> Record {
    Record {
        timestamp: Timestamp::from_nanos(1_795_176_000_123_456_789),
        observed: OBSERVED,
        source: SourceId(0x5f1c),
        range: SeqRange::new(0xa2f0, 0xa300),
        stream: stream(),
        fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
    }
}

fn check(record: &Record, options: &Options) -> String {
    let batch: Batch = [record].into_iter().collect();
    let mut out = Vec::new();
    write(batch.get(0), options, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn writes_a_flat_object() {
    let record = record(vec![
        ("message", Value::from("a \"b\" \\ \u{1} \n\t 결제")),
        ("http.status", Value::Int(500)),
        ("pod", Value::from("own")),
        ("tags", Value::List(vec![Value::from("a"), Value::Null, Value::Bool(true)])),
        ("none", Value::List(vec![])),
        ("at", Value::Timestamp(OBSERVED)),
        ("items", Value::Json("[{\"a\": 1},\r\n{\"a\":\"x\\ny\"}]".into())),
        ("_original", Value::from("as written")),
        ("odd \"name\"", Value::Int(i64::MIN)),
    ]);
    assert_snapshot!(check(&record, &Options::default()), @r#"{"_id":"00000000000000000000000000005f1c-a2f0","timestamp":"2026-11-20T12:00:00.123456789Z","observed":"2026-11-20T12:00:00Z","message":"a \"b\" \\ \u0001 \n\t 결제","http.status":500,"pod":"own","tags":["a",null,true],"none":[],"at":"2026-11-20T12:00:00Z","items":[{"a": 1},  {"a":"x\ny"}],"_original":"as written","odd \"name\"":-9223372036854775808,"labels.app":"cart","namespace":"shop"}"#);
    let without = Options { without_original: true, ..Options::default() };
    assert!(!check(&record, &without).contains("_original"));
}

#[test]
fn numbers_read_back_and_what_json_cannot_say_is_null() {
    let floats = [0.0, -0.0, 1.0, 0.1, 1e21, 1e-7, f64::MAX, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY];
    let record = record(vec![
        ("f", Value::List(floats.into_iter().map(Value::Float).collect())),
        ("i", Value::List([0, -1, 10, i64::MAX].into_iter().map(Value::Int).collect())),
    ]);
    assert_snapshot!(check(&record, &Options::default()), @r#"{"_id":"00000000000000000000000000005f1c-a2f0","timestamp":"2026-11-20T12:00:00.123456789Z","observed":"2026-11-20T12:00:00Z","f":[0.0,-0.0,1.0,0.1,1e21,1e-7,1.7976931348623157e308,2.2250738585072014e-308,null,null],"i":[0,-1,10,9223372036854775807],"labels.app":"cart","namespace":"shop","pod":"cart-1"}"#);
}

proptest! {
    #[test]
    fn floats_have_the_shortest_digits(bits in any::<u64>(), short in -10_000_000_i64..10_000_000, places in -9..25_i32) {
        for number in [f64::from_bits(bits), short as f64 * 10_f64.powi(places), short as f64 / 10_f64.powi(places)] {
            let mut out = Vec::new();
            write_float(number, &mut out);
            let expected = if number.is_finite() { format!("{number:?}") } else { "null".to_owned() };
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

#[test]
fn long_values_are_cut_at_a_character_and_named() {
    let record = record(vec![
        ("message", Value::from("결제결제")),
        ("short", Value::from("1234567")),
        ("list", Value::List(vec![Value::from("12345678"), Value::from("x")])),
        ("items", Value::Json("[{\"a\":12345678}]".into())),
    ]);
    let options = Options { text_bytes_max: Some(7), ..Options::default() };
    assert_snapshot!(check(&record, &options), @r#"{"_id":"00000000000000000000000000005f1c-a2f0","timestamp":"2026-11-20T12:00:00.123456789Z","observed":"2026-11-20T12:00:00Z","message":"결제","short":"1234567","list":["1234567","x"],"items":"[{\"a\":1","labels.app":"cart","namespace":"shop","pod":"cart-1","_truncated":["message","list","items"]}"#);
}

#[test]
fn records_of_a_batch_look_as_they_do_alone() {
    let other = Arc::new(Stream::new([("pod", Value::from("a\"b")), ("zone", Value::Int(7))]));
    let records = [
        record(vec![("message", Value::from("one")), ("_original", Value::from("two"))]),
        record(vec![("pod", Value::from("its own")), ("http.status", Value::Int(200))]),
        Record { stream: Arc::clone(&other), ..record(vec![("message", Value::from("three"))]) },
        Record { stream: other, source: SourceId(7), ..record(vec![("zone", Value::Null)]) },
        Record { observed: Timestamp::EPOCH, range: SeqRange::new(0, 1), ..record(vec![]) },
        record(vec![("message", Value::from("one"))]),
    ];
    let batch: Batch = records.iter().collect();
    for without_original in [false, true] {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        write_all(&batch, without_original, b"\n", &mut out, &mut ends);
        let mut alone = Vec::new();
        for (record, end) in batch.iter().zip(&ends) {
            write(record, &Options { without_original, ..Options::default() }, &mut alone);
            alone.push(b'\n');
            assert_eq!(String::from_utf8_lossy(&out[..*end]), String::from_utf8_lossy(&alone));
        }
        assert_eq!((out, ends.len()), (alone, records.len()));
    }
}

#[test]
fn texts_of_a_batch_look_as_they_do_alone() {
    for len in 0..70 {
        for (at, special) in
            (0..=len).flat_map(|at| ['"', '\\', '\n', '\u{1f}', ' ', '~', 'é'].map(|special| (at, special)))
        {
            let text: String = (0..len).map(|place| if place == at { special } else { 'x' }).collect();
            let records = [record(vec![
                (&*"k".repeat(len + 1), Value::from(&*text)),
                ("t", Value::Timestamp(OBSERVED)),
            ])];
            let batch: Batch = records.iter().collect();
            let (mut out, mut alone) = (Vec::new(), Vec::new());
            write_all(&batch, false, b"", &mut out, &mut Vec::new());
            write(batch.get(0), &Options::default(), &mut alone);
            assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(alone).unwrap());
        }
    }
}

#[test]
fn an_object_may_be_left_out_where_its_fields_are() {
    let records = ["{\"a\":1}", "level=info a=1"].map(|line| {
        record(vec![
            ("a", Value::Int(1)),
            ("_original", Value::from(line)),
            ("_original_base64", Value::from("eyJ9")),
        ])
    });
    let batch: Batch = records.iter().collect();
    let kept = |original| {
        let mut out = Vec::new();
        write_each(&batch, 0..2, original, &mut out, &mut |out| out.push(b'\n'));
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .map(|line| (line.contains("\"_original\":"), line.contains("_base64")))
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(Original::of(true, true)), [(true, true), (true, true)]);
    assert_eq!(kept(Original::of(true, false)), [(false, true), (true, true)]);
    assert_eq!(kept(Original::of(false, true)), [(false, false), (false, false)]);
}

#[test]
fn lines_of_a_batch_share_their_stream() {
    let batch = batch_of([&b"one"[..], b"two"]);
    let mut out = Vec::new();
    for record in batch.iter() {
        write(record, &Options::default(), &mut out);
        out.push(b'\n');
    }
    assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    {"_id":"00000000000000000000000000000007-0","timestamp":"2026-11-20T12:00:00Z","observed":"2026-11-20T12:00:00Z","message":"one","labels.app":"cart","namespace":"shop","pod":"cart-1"}
    {"_id":"00000000000000000000000000000007-1","timestamp":"2026-11-20T12:00:00Z","observed":"2026-11-20T12:00:00Z","message":"two","labels.app":"cart","namespace":"shop","pod":"cart-1"}
    "#);
}

#[test]
fn every_escape_at_every_place_reads_back() {
    for special in ['"', '\\', '\n', '\r', '\t', '\u{1}', '\u{1b}', '\u{7f}', 'é'] {
        for len in 0..40 {
            for every in 1..10 {
                let text: String = (0..len).map(|at| if at % every == 0 { special } else { 'x' }).collect();
                let mut out = b"before".to_vec();
                write_string(&text, &mut out);
                assert_eq!(serde_json::from_slice::<String>(&out[6..]).unwrap(), text);
                assert_eq!(&out[6..], serde_json::to_string(&text).unwrap().as_bytes());
            }
        }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(|nanos| Value::Timestamp(Timestamp::from_nanos(nanos))),
    ];
    prop_oneof![4 => scalar.clone(), 1 => prop::collection::vec(scalar, 0..4).prop_map(Value::List)]
}

proptest! {
    #[test]
    fn is_json_on_one_line(
        fields in prop::collection::hash_map(any::<String>(), any_value(), 0..6), max in prop::option::of(0_usize..20),
        start in any::<u64>(), source in any::<u128>(),
    ) {
        let names: Vec<&String> = fields.keys().collect();
        let mut record = record(fields.iter().map(|(name, value)| (&**name, value.clone())).collect());
        record.stream = Arc::new(Stream::default());
        record.range = SeqRange::new(start, u64::MAX);
        record.source = SourceId(source);
        let text = check(&record, &Options { text_bytes_max: max, without_original: false });
        prop_assert!(!text.contains(['\n', '\r']));
        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        prop_assert!(names.iter().all(|name| read.contains_key(*name)));
        let id = RecordId { source: SourceId(source), start }.to_string();
        prop_assert_eq!(read[ID].as_str(), Some(&*id));
        if max.is_none() {
            for (name, value) in &record.fields {
                if let Value::Str(text) = value {
                    prop_assert_eq!(read[&**name].as_str(), Some(&**text));
                }
            }
        }
    }
}
