//! Records of every kind.

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Timestamp, Value};

/// So many cases, times `SAWYER_TEST_TIMES`: for long runs on demand.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let times = std::env::var("SAWYER_TEST_TIMES").ok().and_then(|times| times.parse().ok());
    ProptestConfig::with_cases(count * times.unwrap_or(1))
}

/// A text that is likely to be like others, or anything.
pub(crate) fn text() -> BoxedStrategy<String> {
    prop_oneof![
        4 => prop::sample::select(vec!["", "error", "info", "GET /api/v1/carts 200", "결제 실패: 시간 초과", "Error", "42", "true"])
            .prop_map(str::to_owned),
        3 => "(connection|timeout|user|order)( (refused|7|결제|of)){0,3}",
        2 => "[0-9a-f]{32}",
        1 => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        6 => message(),
        1 => any::<String>(),
        1 => (1usize..3000).prop_map(|n| "long line ".repeat(n / 10)),
    ]
    .boxed()
}

/// A message as programs write them: few shapes, with numbers, ids, words and paths.
pub(crate) fn message() -> BoxedStrategy<String> {
    let number = prop_oneof![
        Just("0".to_owned()),
        Just("007".to_owned()),
        (0u32..600).prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        "[0-9]{1,25}",
        "[0-9]{3}",
        "[0-9]{1,3}(ms|s)",
        "0x[0-9a-f]{8}",
    ];
    let id = prop_oneof![
        "[0-9a-f]{8}",
        "[0-9A-F]{8}",
        "[0-9a-f]{64}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    ];
    let word = prop::sample::select(vec!["timeout", "refused", "Reset", "결제", "\u{212a}ey", "İd", "user"]);
    let path = prop_oneof!["/api/v1(/[a-c]{1,2}){0,3}", "/carts/[0-9]{1,5}"];
    prop_oneof![
        (number.clone(), word.clone()).prop_map(|(n, word)| format!("connection {word} after {n}, retry")),
        (number.clone(), id).prop_map(|(n, id)| format!("order {id} took {n} from 10.1.{n}.7")),
        (path, number.clone()).prop_map(|(path, n)| format!("GET {path}?page={n} HTTP/1.1")),
        (word.clone(), word).prop_map(|(a, b)| format!("{a} {b}")),
        number.prop_map(|n| format!("{n}{n}\u{1}-{n}")),
    ]
    .boxed()
}

/// A value that is not a list.
pub(crate) fn scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        3 => prop_oneof![-5i64..600, any::<i64>(), Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Int),
        2 => prop_oneof![
            any::<f64>(), Just(f64::NAN), Just(-0.0), Just(f64::INFINITY), Just(f64::from_bits(0x7ff8_dead_beef_0001)),
            (-50i32..50).prop_map(|n| f64::from(n) / 4.0),
        ].prop_map(Value::Float),
        1 => time().prop_map(Value::Timestamp),
        5 => text().prop_map(Value::from),
        1 => "\\[\\{\"a\":[0-9]{1,3}\\}\\]".prop_map(|text| Value::Json(text.into())),
    ]
    .boxed()
}

/// Any value.
pub(crate) fn value() -> BoxedStrategy<Value> {
    prop_oneof![8 => scalar(), 1 => prop::collection::vec(scalar(), 0..5).prop_map(Value::List)].boxed()
}

/// Times, many of them equal, some far away.
pub(crate) fn time() -> BoxedStrategy<Timestamp> {
    prop_oneof![
        4 => (0i64..20).prop_map(|n| Timestamp::from_millis(1_700_000_000_000 + n * 250)),
        2 => (0i64..1_000_000_000_000).prop_map(|n| Timestamp::from_nanos(1_700_000_000_000_000_000 + n)),
        1 => any::<i64>().prop_map(Timestamp::from_nanos),
    ]
    .boxed()
}

fn field() -> BoxedStrategy<(Box<str>, Value)> {
    let name = prop_oneof![
        6 => prop::sample::select(vec!["message", "level", "trace_id", "http.status", "n", "duration_ms", "_original", "pod"])
            .prop_map(str::to_owned),
        1 => "f[0-9]{1,2}",
    ];
    prop_oneof![
        2 => (name, value()).prop_map(|(name, value)| (name.into(), value)),
        // Only strings, so that blocks keep them together.
        1 => prop::sample::select(vec!["", "info", "결제"]).prop_map(|text| ("few".into(), Value::from(text))),
        1 => prop_oneof![6 => message(), 1 => text()].prop_map(|text| ("error.message".into(), Value::from(text))),
    ]
    .boxed()
}

fn stream() -> BoxedStrategy<Arc<Stream>> {
    let fields = (0u8..4, 0u8..3, prop::option::weighted(0.2, value()));
    fields
        .prop_map(|(pod, namespace, extra)| {
            let mut fields = vec![
                ("pod", Value::from(format!("cart-{pod}"))),
                ("namespace", Value::from(format!("shop-{namespace}"))),
            ];
            fields.extend(extra.map(|extra| ("labels.x", extra)));
            Arc::new(Stream::new(fields))
        })
        .boxed()
}

/// How a line is written that says what its record says, or something like it.
#[derive(Clone, Copy, Debug)]
struct Line {
    time: u8,
    escapes: u8,
    capitals: bool,
    more: u8,
}

fn line() -> BoxedStrategy<Line> {
    let parts = (0u8..7, 0u8..4, any::<bool>(), 0u8..6);
    parts.prop_map(|(time, escapes, capitals, more)| Line { time, escapes, capitals, more }).boxed()
}

impl Line {
    fn of(self, time: Timestamp, stream: &Stream, fields: &[(Box<str>, Value)]) -> String {
        let nanos = time.nanos();
        let time = match self.time {
            0 => nanos.to_string(),
            1 => (nanos / 1_000_000).to_string(),
            2 => (nanos / 1_000_000_000).to_string(),
            3 => format!("\"{time}\""),
            4 => format!("\"{:.9}\"", time.to_jiff()),
            5 => format!("\"{:.3}\"", time.to_jiff()),
            _ => "\"yesterday\"".to_owned(),
        };
        let own = fields.iter().filter(|(name, _)| **name != *"_original");
        let all = own.map(|(name, value)| (name, value)).chain(stream.fields().iter().map(|(n, v)| (n, v)));
        let said: Vec<String> =
            all.filter_map(|(name, value)| Some(format!("\"{name}\": {}", self.value(value)?))).collect();
        let said = said.join(",");
        match self.more {
            0 => format!("{{\"ts\":{time},{said}}}"),
            1 => format!(" {{ \"a\" : {{ \"ts\" : {time} }}, {said} }} "),
            2 => format!("{{{said},\"n\":[1, 2.50, \"{nanos}\", null, true]}}"),
            3 => format!("{{\"ts\":{time},{said}"),
            4 => said,
            _ => format!("{{\"ts\":{time},{said},\"seq\":{}}}", nanos % 997),
        }
    }

    fn value(self, value: &Value) -> Option<String> {
        Some(match value {
            Value::Str(text) => {
                let text =
                    if self.capitals && text.len() < 6 { text.to_uppercase() } else { text.to_string() };
                format!("\"{}\"", self.escaped(&text))
            }
            Value::Float(float) if self.capitals => format!("{float:?}"),
            Value::Float(float) => format!("{float}"),
            Value::Int(int) => int.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => "null".to_owned(),
            Value::Json(text) => text.to_string(),
            Value::Timestamp(_) | Value::List(_) => return None,
        })
    }

    fn escaped(self, text: &str) -> String {
        let mut out = String::new();
        for letter in text.chars() {
            match letter {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' if self.escapes != 3 => out.push_str("\\t"),
                '<' | '>' | '&' if self.escapes == 1 => out.push_str(&format!("\\u{:04x}", letter as u32)),
                '/' if self.escapes == 3 => out.push_str("\\/"),
                other if other < ' ' || self.escapes == 2 && !other.is_ascii() => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                other => out.push(other),
            }
        }
        out
    }
}

/// A record whose place in its source is not unique yet.
pub(crate) fn record() -> BoxedStrategy<Record> {
    let head = (time(), time(), 0u128..4, 0u64..500, prop_oneof![4 => 0u64..400, 1 => any::<u64>()]);
    (head, stream(), prop::collection::vec(field(), 0..8), prop::option::weighted(0.5, line()))
        .prop_map(|((timestamp, observed, source, len, start), stream, given, line)| {
            let mut fields: Vec<(Box<str>, Value)> = Vec::new();
            for (name, value) in given {
                if !fields.iter().any(|(known, _)| *known == name) {
                    fields.push((name, value));
                }
            }
            if let Some(line) = line {
                let line = line.of(timestamp, &stream, &fields);
                fields.retain(|(name, _)| **name != *"_original");
                fields.push(("_original".into(), Value::from(line)));
            }
            let range = SeqRange { start, end: start.wrapping_add(len) };
            Record { timestamp, observed, source: SourceId(source << 100 | source), range, stream, fields }
        })
        .boxed()
}

/// Records, each with a start of its own in its source.
pub(crate) fn records(count: std::ops::Range<usize>) -> BoxedStrategy<Vec<Record>> {
    prop::collection::vec(record(), count)
        .prop_map(|mut records| {
            let mut next = 0u64;
            for record in &mut records {
                let len = record.range.end.wrapping_sub(record.range.start);
                let start = if record.range.start < 400 { next } else { record.range.start };
                record.range = SeqRange { start, end: start.wrapping_add(len) };
                next = next.max(record.range.end % 1_000_000);
            }
            records
        })
        .boxed()
}

/// The records in batches of this many.
pub(crate) fn batches(records: &[Record], size: usize) -> Vec<Batch> {
    records.chunks(size.max(1)).map(|chunk| chunk.iter().collect()).collect()
}
