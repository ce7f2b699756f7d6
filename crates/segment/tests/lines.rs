//! Rows as lines of JSON look as the records look that are made of them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "support/generate.rs"]
mod generate;

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_codec::json_out::{self, Options};
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_segment::{EncodeSettings, Lines, Rows, Segment, encode};

use self::generate::{batches, records};

/// Compares these rows of each block; gives the lines.
fn check(segment: &Segment, original: bool, wanted: impl Fn(usize) -> bool) -> Vec<String> {
    let (mut lines, mut expected) = (Lines::default(), Vec::new());
    for (block, info) in segment.blocks().iter().enumerate() {
        let mut rows = Rows::none(info.rows);
        (0..info.rows).filter(|row| wanted(*row)).for_each(|row| rows.insert(row));
        segment.lines(block, &rows, None, original, &mut lines).unwrap();
        let mut batch = Batch::new();
        segment.fetch(block, &rows, &mut batch).unwrap();
        let options = Options { without_original: !original, ..Options::default() };
        for record in batch.iter() {
            let mut line = Vec::new();
            json_out::write(record, &options, &mut line);
            line.push(b'\n');
            expected.push(String::from_utf8(line).unwrap());
        }
    }
    let found: Vec<String> =
        (0..lines.len()).map(|at| String::from_utf8(lines.get(at).to_vec()).unwrap()).collect();
    assert_eq!(found, expected);
    found
}

fn segment_of(records: &[Record], settings: &EncodeSettings) -> Segment {
    let batches: Vec<Batch> = batches(records, 50);
    let bytes = encode(&batches.iter().collect::<Vec<_>>(), settings).unwrap().bytes;
    Segment::open(Arc::new(bytes)).unwrap()
}

proptest! {
    #![proptest_config(generate::cases(60))]

    #[test]
    fn lines_are_those_of_the_records(
        records in records(1..300),
        block_rows in 1usize..80,
        (squeeze, original) in any::<(bool, bool)>(),
        (part, more) in (1usize..9, 0usize..3),
    ) {
        let settings = EncodeSettings {
            block_rows_max: block_rows,
            group_bytes_max: block_rows * 40,
            shapes: !block_rows.is_multiple_of(3),
            squeeze,
            ..EncodeSettings::default()
        };
        let segment = segment_of(&records, &settings);
        check(&segment, original, |row| row % part <= more);
        // Asked again, of what is kept.
        check(&segment, original, |row| row % part <= more);
    }
}

/// Lines as a program writes them, with escapes in values that lines are made of again.
#[test]
fn lines_as_written_are_escaped_twice() {
    let stream =
        Arc::new(Stream::new([("pod", Value::from("cart-1")), ("level", Value::from("of the \"stream\""))]));
    let texts = ["plain", "a \"quoted\" word", "tab\tand\u{1}", "back\\slash", "결제", "\u{8}\u{c}\u{7f}"];
    let records: Vec<Record> = (0u32..400)
        .map(|n| {
            let text = format!("{} {n}", texts[n as usize % texts.len()]);
            let quoted = serde_json::to_string(&text).unwrap();
            let level = ["info", "error"][n as usize % 2];
            let time = Timestamp::from_millis(1_700_000_000_000 + i64::from(n));
            let took = f64::from(n) / 4.0;
            let line = format!(
                "{{\"ts\":\"{:.3}\",\"level\":\"{}\",\"n\":{n},\"took\":{took:?},\"msg\":{quoted},\"x\":{}}}",
                time.to_jiff(),
                level.to_uppercase(),
                n * 7 % 13,
            );
            let mut fields: Vec<(Box<str>, Value)> = vec![
                ("message".into(), Value::from(text)),
                ("n".into(), Value::Int(i64::from(n))),
                ("took".into(), Value::Float(took)),
                ("_original".into(), Value::from(line)),
            ];
            if n % 3 > 0 {
                fields.push(("level".into(), Value::from(level)));
            }
            let range = SeqRange::new(u64::from(n), u64::from(n) + 1);
            let (source, stream) = (SourceId(7), Arc::clone(&stream));
            Record { timestamp: time, observed: time, source, range, stream, fields }
        })
        .collect();
    let segment = segment_of(&records, &EncodeSettings::default());
    let lines = check(&segment, true, |_| true);
    assert_eq!(lines.len(), records.len());
    for line in &lines {
        let read: serde_json::Value = serde_json::from_str(line).unwrap();
        let n = read["n"].as_u64().unwrap() as usize;
        let Some((_, Value::Str(original))) =
            records[n].fields.iter().find(|(name, _)| **name == *"_original")
        else {
            panic!("it has one")
        };
        assert_eq!(read["_original"], **original);
        let overruled = if n.is_multiple_of(3) { "of the \"stream\"" } else { ["info", "error"][n % 2] };
        assert_eq!(read["level"], overruled);
    }
    assert!(check(&segment, false, |row| row % 5 == 1).iter().all(|line| !line.contains("_original")));
}
