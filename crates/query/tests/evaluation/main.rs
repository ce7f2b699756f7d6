//! Evaluation against a slow reference that is written from the language's description: it walks the syntax tree, copies
//! every text, and compares strings with strings.

#![allow(clippy::unwrap_used, reason = "helpers of tests may do what tests may")]

mod reference;

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_query::{Context, FieldPattern, FieldTest, Predicate, index_tokens, kql};

const NOW: &str = "2026-11-20T09:57:18.627062502Z";

fn context() -> Context {
    Context { now: Timestamp::parse(NOW).unwrap(), ..Context::default() }
}

const TEXTS: &[&str] = &[
    "Connection refused",
    "connection TIMEOUT after 30s, user-api",
    "timeout",
    "결제가 실패했다: timeout",
    "用户支付失败。",
    "GET /api/v1/users?id=1 500",
    "{\"level\":\"Error\",\"msg\":\"İstanbul K\"}",
    "",
    "-> ->",
    "500",
    "5.0e2",
    "true",
    "null",
    "ERR",
    "warning",
    "a",
    "2026-11-20T09:00:00Z",
    "web-1",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => prop::sample::select(TEXTS).prop_map(Value::from),
        1 => prop::sample::select(TEXTS).prop_map(|text| Value::from(format!("{text} x").repeat(260))),
        2 => prop::sample::select(&[500i64, 5, -1, 0, 30][..]).prop_map(Value::Int),
        1 => prop::sample::select(&[500.0, 0.5, -1.0][..]).prop_map(Value::Float),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => instant().prop_map(Value::Timestamp),
    ]
}

fn instant() -> impl Strategy<Value = Timestamp> {
    let near = Timestamp::parse("2026-11-20T09:00:00Z").unwrap().nanos();
    (-100_000i64..100_000).prop_map(move |seconds| Timestamp::from_nanos(near + seconds * 1_000_000_000))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::List),
    ]
}

const NAMES: &[&str] =
    &["message", "level", "severity", "http.status", "http.path", "error.message", "tag", "_hidden", "pod"];

fn items() -> impl Strategy<Value = Vec<(String, Value)>> {
    let object = (prop::sample::select(&["pen", "ink"][..]), 1i64..6);
    let listed = prop::collection::vec(object, 1..3).prop_map(|objects| {
        let json: Vec<_> =
            objects.iter().map(|(name, price)| serde_json::json!({"name": name, "price": price})).collect();
        vec![
            ("items".to_owned(), Value::Json(serde_json::json!(json).to_string().into())),
            (
                "items.name".to_owned(),
                Value::List(objects.iter().map(|(name, _)| Value::from(*name)).collect()),
            ),
            (
                "items.price".to_owned(),
                Value::List(objects.iter().map(|(_, price)| Value::Int(*price)).collect()),
            ),
        ]
    });
    let single = (1i64..6).prop_map(|price| vec![("items.price".to_owned(), Value::Int(price))]);
    prop_oneof![2 => Just(Vec::new()), 1 => listed, 1 => single]
}

fn record() -> impl Strategy<Value = Record> {
    let fields = prop::collection::hash_map(prop::sample::select(NAMES), value(), 0..6);
    let stream = prop::collection::hash_map(prop::sample::select(&["namespace", "pod"][..]), scalar(), 0..2);
    (instant(), fields, items(), stream).prop_map(|(timestamp, fields, items, stream)| {
        let mut fields: Vec<(Box<str>, Value)> =
            fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        fields.extend(items.into_iter().map(|(name, value)| (name.into_boxed_str(), value)));
        Record {
            timestamp,
            observed: Timestamp::from_nanos(timestamp.nanos() + 1),
            source: SourceId(7),
            range: SeqRange { start: 0, end: 1 },
            stream: Arc::new(Stream::new(stream)),
            fields,
        }
    })
}

const FIELDS: &[&str] = &[
    "message",
    "log",
    "level",
    "severity",
    "http.status",
    "http",
    "http.*",
    "*",
    "error.message",
    "tag",
    "_hidden",
    "pod",
    "kubernetes.pod.name",
    "namespace",
    "k8s.*",
    "items.price",
    "items",
    "nowhere",
];

const VALUES: &[&str] = &[
    "timeout",
    "TIMEOUT",
    "connection",
    "\"connection refused\"",
    "\"refused connection\"",
    "Connection refused",
    "결제",
    "\"결제 실패\"",
    "支付失败",
    "\"支付失败\"",
    "time*",
    "*out",
    "*e*",
    "/api/*",
    "web-*",
    "* x*",
    "conn* timeout",
    "500",
    "500.0",
    "5*",
    "\"500\"",
    "true",
    "null",
    "error",
    "err",
    "WARN",
    "\"\"",
    "\"->\"",
    "-1",
    "a",
    "*",
    "level",
    "user",
    "user-api",
    "istanbul",
    "k",
    "x",
    "\"refused x connection\"",
    "0.5",
    "30s",
];

const OPERANDS: &[&str] =
    &["500", "5", "0.5", "warn", "error", "a", "timeout", "true", "\"2026-11-20T09:00:00Z\"", "now", "*"];

fn leaf() -> impl Strategy<Value = String> {
    let fields = prop::sample::select(FIELDS);
    let values = prop::sample::select(VALUES);
    let ops = prop::sample::select(&["<", "<=", ">", ">="][..]);
    prop_oneof![
        2 => values.clone().prop_map(str::to_owned),
        5 => (fields.clone(), values.clone()).prop_map(|(field, value)| format!("{field}: {value}")),
        2 => (fields.clone(), ops.clone(), prop::sample::select(OPERANDS)).prop_map(|(f, o, v)| format!("{f} {o} {v}")),
        1 => (ops, prop::sample::select(reference::TIMES)).prop_map(|(op, (time, ..))| format!("@timestamp {op} {time}")),
        1 => prop::sample::select(reference::TIMES).prop_map(|(time, ..)| format!("timestamp: {time}")),
        1 => (1..6, prop::sample::select(&["pen", "ink", "p*"][..])).prop_map(|(n, name)| format!("items: {{ name: {name} and price > {n} }}")),
        1 => (1..6).prop_map(|n| format!("items: {{ not price: {n} }}")),
        1 => (fields, prop::sample::select(&["=~", "!~"][..]), prop::sample::select(&["^[a-z]+$", "refused", "(?i)^conn", "5.0"][..]))
            .prop_map(|(f, sign, pattern)| format!("{f} {sign} \"{pattern}\"")),
    ]
}

fn query() -> impl Strategy<Value = String> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            inner.prop_map(|part| format!("not ({part})")),
        ]
    })
}

/// A part of a store that holds one record, as skip data sees it.
fn may_match(predicate: &Predicate, record: &Record) -> bool {
    let mut tokens: Vec<(String, String)> = Vec::new();
    let stream = record.stream.fields().iter();
    for (name, value) in record.fields.iter().chain(stream) {
        index_tokens(name, value.as_ref(), &mut |token| tokens.push((name.to_string(), token.to_owned())));
    }
    predicate.may_match(&mut |field: Option<&FieldPattern>, token| {
        tokens.iter().any(|(name, known)| known == token && field.is_none_or(|field| field.matches(name)))
    })
}

#[test]
fn skip_data_loses_no_value() {
    let others = [Value::Null, Value::Bool(true), Value::Int(500), Value::Float(500.0), Value::Float(0.5)];
    let time = Value::Timestamp(Timestamp::parse("2026-11-20T09:00:00Z").unwrap());
    let values: Vec<Value> =
        TEXTS.iter().map(|text| Value::from(*text)).chain(others).chain([time]).collect();
    let mut found = 0;
    for (name, value) in NAMES.iter().flat_map(|name| values.iter().map(move |value| (*name, value))) {
        let record = record_of(name, value.clone());
        for query in VALUES.iter().chain(TEXTS).chain(OPERANDS) {
            let query = query.trim_matches('"');
            let context = context();
            let tests = [
                FieldTest::words(query, &context),
                FieldTest::phrase(query, &context),
                FieldTest::exact(query),
            ];
            for test in tests {
                let predicate = Predicate::or([
                    Predicate::field(FieldPattern::name(name), test.clone()),
                    Predicate::AnyField(test),
                ]);
                if predicate.matches_fields(&record) {
                    found += 1;
                    assert!(may_match(&predicate, &record), "{predicate:?} on {record:?}");
                }
            }
        }
    }
    assert!(found > 500, "{found}");
}

fn record_of(name: &str, value: Value) -> Record {
    Record {
        timestamp: Timestamp::EPOCH,
        observed: Timestamp::EPOCH,
        source: SourceId(7),
        range: SeqRange { start: 0, end: 1 },
        stream: Arc::new(Stream::new([(name, value)])),
        fields: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn records_match_as_the_reference_says(text in query(), records in prop::collection::vec(record(), 4)) {
        let context = context();
        let predicate = kql::compile(&text, &context).unwrap();
        let ast = kql::parse(&text).unwrap();
        let batch: Batch = records.iter().collect();
        for (record, read) in records.iter().zip(batch.iter()) {
            let expected = reference::matches(&ast, record);
            prop_assert_eq!(predicate.matches(read), expected, "{} on {:?}", text, record);
            prop_assert_eq!(predicate.matches_fields(record), expected);
            if expected {
                let bounds = predicate.time_bounds(&|_| false);
                prop_assert!(bounds.first <= record.timestamp && record.timestamp <= bounds.last, "{}", text);
                prop_assert!(may_match(&predicate, record), "{} would be skipped: {:?}", text, record);
            }
        }
    }

    #[test]
    fn exact_values_and_parts_are_compared_as_strings(
        name in prop::sample::select(NAMES),
        value in scalar(),
        wanted in prop_oneof![prop::sample::select(TEXTS), Just("0.5"), Just("refused"), Just("İ"), Just("i")],
    ) {
        let text = match &value {
            Value::Str(text) => text.to_string(),
            Value::Int(int) => int.to_string(),
            Value::Float(float) => float.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Timestamp(time) => time.to_string(),
            _ => String::from("\0"),
        };
        let record = record_of(name, value);
        let of = |test| Predicate::field(FieldPattern::name(name), test);
        let exact = of(FieldTest::exact(wanted));
        prop_assert_eq!(exact.matches_fields(&record), text == wanted);
        prop_assert!(text != wanted || may_match(&exact, &record));
        let part = of(FieldTest::contains(wanted, false));
        prop_assert_eq!(part.matches_fields(&record), text != "\0" && text.contains(wanted));
        let part = of(FieldTest::contains(wanted, true));
        let lower = |text: &str| text.to_lowercase().replace("i\u{307}", "i");
        prop_assert_eq!(part.matches_fields(&record), text != "\0" && lower(&text).contains(&lower(wanted)));
        prop_assert!(!part.matches_fields(&record) || may_match(&part, &record));
    }

    #[test]
    fn nothing_makes_the_parser_panic(text in "(\\PC|[ \t\n\\\\():<>\"*{}=~]|not |and |or |now|\\\\u00){0,40}") {
        match kql::compile(&text, &context()) {
            Ok(predicate) => {
                let record = Batch::new();
                prop_assert_eq!(record.iter().filter(|record| predicate.matches(*record)).count(), 0);
            }
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.offset), "{:?} at {}", text, error.offset);
                prop_assert!(error.caret(&text).ends_with('^'));
            }
        }
    }

    #[test]
    fn a_quoted_text_is_read_back(text in "\\PC{0,30}") {
        let kql::Ast::Is { value, .. } = kql::parse(&kql::quote(&text)).unwrap() else { panic!("{text}") };
        prop_assert_eq!(value.value, kql::LiteralValue::Text { text, quoted: true });
    }
}
