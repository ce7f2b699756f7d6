//! Random records with everything that is awkward: types that change, unicode, nothing, very much, late and early.

use std::sync::Arc;
use std::time::Duration;

use sawyer_model::names::ORIGINAL;
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Timestamp, Value};

/// Numbers that follow from a seed (SplitMix64).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

const TEXTS: &[&str] = &[
    "error",
    "Error",
    "ERROR in cart",
    "timeout of cart 17",
    "timeout of cart 18 after 3ms",
    "user anna has logged in from 10.0.0.7",
    "user bert has logged in from 10.0.0.9",
    "결제가 실패",
    "ünïcode İstanbul",
    "",
    " ",
    "a",
    "200",
    "two\nlines",
    "quote \" and \\ backslash",
    "2026-11-20T09:57:18Z",
];

/// Lists of objects, as they are kept whole.
const OBJECTS: &[&str] = &[
    r#"[{"name":"a","count":1},{"name":"b","count":2}]"#,
    r#"[{"name":"a","count":2}]"#,
    r#"[{"name":["a","c"],"more":{"count":2}},{"name":null}]"#,
    "[{}]",
];

fn value(dice: &mut Dice) -> Value {
    match dice.below(15) {
        14 => Value::Json(dice.of(OBJECTS).into()),
        0 => Value::Int(dice.below(5) as i64),
        1 => Value::Int(dice.of(&[i64::MIN, i64::MAX, -1, 200, 1 << 40])),
        2 => Value::Float(dice.of(&[0.0, -0.0, 0.5, -1.5, 200.0, 1e300])),
        3 => Value::Bool(dice.below(2) == 0),
        4 => Value::Null,
        5 => Value::Timestamp(Timestamp::from_secs(dice.below(3) as i64)),
        6 => Value::List((0..dice.below(4)).map(|_| scalar(dice)).collect()),
        7 => Value::from(format!("unique {}", dice.below(1 << 40))),
        8 if dice.below(20) == 0 => Value::from("long ".repeat(20_000)),
        _ => Value::from(dice.of(TEXTS)),
    }
}

fn scalar(dice: &mut Dice) -> Value {
    match value(dice) {
        Value::List(_) => Value::Int(1),
        other => other,
    }
}

/// An id of 16 bytes in hexadecimal digits, one of a few or another one each time; the same as a UUID; or something else.
fn ids(dice: &mut Dice) -> [Value; 3] {
    let number = if dice.below(2) == 0 { dice.below(4) } else { dice.below(1 << 40) };
    let hex = format!("{number:016x}{number:016x}");
    let uuid = format!("{:08x}-0000-4000-8000-{:012x}", number as u32, dice.below(3));
    let other = match dice.below(6) {
        0 => Value::from(&*hex),
        1 => Value::from(&*uuid),
        2 => Value::from(hex.to_uppercase()),
        _ => value(dice),
    };
    [Value::from(hex), Value::from(uuid), other]
}

/// Some records; `first` is different for each batch, so that no record is stored twice.
pub(super) fn batch(dice: &mut Dice, now: Timestamp, first: u64) -> Batch {
    let count = 1 + if dice.below(8) == 0 { dice.below(400) } else { dice.below(12) };
    let mut names = vec!["message", "level", "code", "tags", "pod", "http.status", "latency"];
    let many = dice.below(12) == 0;
    let records: Vec<Record> = (0..count)
        .map(|n| {
            let start = (first + n) * 10;
            let mut fields: Vec<(Box<str>, Value)> = Vec::new();
            for name in &mut names {
                if dice.below(3) == 0 {
                    fields.push(((*name).into(), value(dice)));
                }
            }
            if dice.below(3) > 0 {
                for (name, value) in ["trace", "request", "either"].into_iter().zip(ids(dice)) {
                    fields.push((name.into(), value));
                }
            }
            if many {
                fields.push((format!("field.{}", dice.below(500)).into(), value(dice)));
            }
            if dice.below(2) == 0 {
                let line = format!("line {} as it was written: {}", start, dice.of(TEXTS));
                fields.push((ORIGINAL.into(), Value::from(line)));
            }
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            let pod = Value::from(format!("p{}", dice.below(4)));
            Record {
                timestamp: time(dice, now),
                observed: now,
                source: SourceId(u128::from(dice.below(3))),
                range: SeqRange::new(start, start + 1 + dice.below(9)),
                stream: Arc::new(Stream::new([("namespace", Value::from("shop")), ("pod", pod)])),
                fields,
            }
        })
        .collect();
    records.iter().collect()
}

/// Mostly now, sometimes much earlier, sometimes later, sometimes the same as others.
fn time(dice: &mut Dice, now: Timestamp) -> Timestamp {
    match dice.below(12) {
        0 => now.saturating_sub(Duration::from_secs(dice.below(40_000_000))),
        1 => now.saturating_sub(Duration::from_secs(dice.below(100_000))),
        2 => now.saturating_add(Duration::from_secs(dice.below(100))),
        3 => now,
        _ => now.saturating_sub(Duration::from_micros(dice.below(10_000_000))),
    }
}
