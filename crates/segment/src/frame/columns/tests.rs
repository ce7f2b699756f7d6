//! What lies behind checksum and compression may be anything, too.

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::limits::NAME_BYTES_MAX;
use sawyer_model::{
    Batch, ListRef, NameId, RecordHead, SeqRange, SourceId, Stream, Timestamp, Value, ValueRef,
};

use super::*;
use crate::bytes::{Put, Reader};
use crate::column::kind;
use crate::error::Damage;
use crate::made::{Form, Learner, Piece, Row, Templates};
use crate::value::put_stream;
use crate::{ints, zip};

/// A batch with values of all types, several sources and streams, and records of several shapes.
fn batch(records: u64) -> Batch {
    batch_of(records, |_| None)
}

/// The same with lines, most of which are made of the other fields.
fn with_lines(records: u64) -> Batch {
    batch_of(records, |n| {
        let level = ["INFO", "ERROR"][n as usize % 5 / 4];
        let pod = ["cart-1", "gateway"][n as usize % 2];
        match n % 6 {
            0 => None,
            1 => Some(format!("order {n} is no JSON")),
            2 => Some(format!(r#"{{"n":{n},"msg":"order {n} 결제","level":"{level}","pod":"{pod}"}}"#)),
            3 => Some(format!(r#"{{"level":"{level}","x":"{:x}","n":{n}.0}}"#, n * 977)),
            _ => Some(format!(r#"{{"msg":"order {n} \u0001","n": {n} }}"#)),
        }
    })
}

fn batch_of(records: u64, line: impl Fn(u64) -> Option<String>) -> Batch {
    let mut batch = Batch::new();
    let streams = ["cart-1", "gateway"].map(|pod| {
        let stream = Stream::new([("pod", Value::from(pod)), ("restart_count", Value::Int(3))]);
        batch.add_stream(&Arc::new(stream))
    });
    for n in 0..records {
        let time = Timestamp::from_nanos(1_795_176_000_000_000_000 + n as i64 * 1_234_567);
        let (source, range) = (SourceId(u128::from(n % 3)), SeqRange::new(n * 100, n * 100 + 90));
        let observed = Timestamp::from_nanos(time.nanos() + 5_000_000);
        let head = RecordHead { timestamp: time, observed, source, range };
        let mut record = batch.begin(head, streams[n as usize % 2]);
        record.field_by_id(NameId::MESSAGE, ValueRef::Str(&format!("order {n} 결제")));
        record.field_by_id(NameId::LEVEL, ValueRef::Str(["info", "error"][n as usize % 5 / 4]));
        record.field("n", ValueRef::Int(n as i64));
        if let Some(line) = line(n) {
            record.field_by_id(NameId::ORIGINAL, ValueRef::Str(&line));
        }
        if n.is_multiple_of(4) {
            record.field("ok", ValueRef::Bool(n.is_multiple_of(8)));
            record.field("took", ValueRef::Float(n as f64 / 7.0));
            record.field("at", ValueRef::Timestamp(time));
            record.field("nothing", ValueRef::Null);
            record.field("whole", ValueRef::Json("{\"a\":[1]}"));
            let elements =
                [ValueRef::Str("a"), ValueRef::Int(n as i64), ValueRef::Bool(true), ValueRef::Null];
            record.field("list", ValueRef::List(ListRef::from(&elements[..n as usize % 5])));
        } else if n % 4 == 1 {
            record.field("ok", ValueRef::Str("a text under a name that is a number elsewhere"));
        }
    }
    batch.cover(SourceId(9), SeqRange::new(0, 5));
    batch
}

/// A body in its parts: the numbers in front, the head, the texts.
fn parts((body, makes_lines): &(Vec<u8>, bool)) -> (Vec<u64>, Vec<u8>, Vec<u8>) {
    let mut reader = Reader::new(body);
    let numbers: Vec<u64> = (0..if *makes_lines { 6 } else { 4 }).map(|_| reader.varint().unwrap()).collect();
    let stored = reader.count().unwrap();
    let head = zip::unzip(&mut Reader::new(reader.take(stored).unwrap()), numbers[3] as usize).unwrap();
    let text_len = reader.varint().unwrap() as usize;
    (numbers, head, zip::unzip(&mut reader, text_len).unwrap())
}

/// A body of such parts, uncompressed.
fn body(numbers: &[u64], head: &[u8], texts: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    numbers[..3].iter().for_each(|number| body.put_varint(*number));
    body.put_varint(head.len() as u64);
    numbers[4..].iter().for_each(|number| body.put_varint(*number));
    body.put_varint(head.len() as u64 + 1);
    body.put_u8(0);
    body.extend_from_slice(head);
    body.put_varint(texts.len() as u64);
    body.put_u8(0);
    body.extend_from_slice(texts);
    body
}

fn say(batch: &Batch) -> Vec<String> {
    batch.iter().map(|record| format!("{:?}", record.to_record())).collect()
}

#[test]
fn every_kind_of_value_reads_back() {
    for (records, lines) in [0, 1, 7, 3000].into_iter().flat_map(|count| [(count, false), (count, true)]) {
        let batch = if lines { with_lines(records) } else { batch(records) };
        let encoded = encode(&batch, true).unwrap();
        let makes_lines = encoded.1;
        assert_eq!(makes_lines, lines && records > 7);
        let out = decode(&encoded.0, makes_lines).unwrap();
        assert_eq!(say(&out), say(&batch));
        assert_eq!(out.covered(), batch.covered());
        let (numbers, head, texts) = parts(&encoded);
        assert_eq!(say(&decode(&body(&numbers, &head, &texts), makes_lines).unwrap()), say(&batch));
    }
}

#[test]
fn repeated_texts_are_there_once() {
    let out = decode(&encode(&batch(3000), true).unwrap().0, false).unwrap();
    assert!(out.text_bytes() < batch(3000).text_bytes() * 2 / 3, "{}", out.text_bytes());
}

#[test]
fn what_is_claimed_is_compared_with_bounds() {
    let (numbers, head, texts) = parts(&encode(&with_lines(100), true).unwrap());
    let most = [RECORDS_MAX, FIELDS_MAX, 1 << 30, HEAD_BYTES_MAX, head.len(), FIELDS_MAX];
    for (at, most) in most.into_iter().map(|most| most as u64).enumerate() {
        for wrong in [numbers[at] + 1, numbers[at] - 1, most + 1, u64::MAX] {
            let mut numbers = numbers.clone();
            numbers[at] = wrong;
            // The length of the head is told by `body` itself.
            assert_eq!(decode(&body(&numbers, &head, &texts), true).is_err(), at != 3, "{at}: {wrong}");
        }
    }
    let claims = Bounds {
        records: RECORDS_MAX,
        fields: FIELDS_MAX,
        text_bytes: 1 << 30,
        head_bytes: HEAD_BYTES_MAX,
        template_bytes: 0,
        holes: 0,
    };
    assert!(claims.memory_bytes() > 4 << 30, "a receiver sees that before it takes anything");
}

/// Texts are told to be as long as a dictionary makes them, which bounds what encoding them again takes.
#[test]
fn a_dictionary_does_not_multiply_texts_unseen() {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    let long = "x".repeat(10_000);
    for n in 0..1000 {
        let time = Timestamp::EPOCH;
        let range = SeqRange::new(n, n + 1);
        let head = RecordHead { timestamp: time, observed: time, source: SourceId(1), range };
        batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(&long));
    }
    let bytes = encode(&batch, true).unwrap().0;
    assert!(bytes.len() < 1000);
    let claimed = bounds(&mut Reader::new(&bytes), false).unwrap();
    assert_eq!(claimed.text_bytes, 10_000_000);
    assert_eq!(decode(&bytes, false).unwrap().text_bytes(), 10_000);
}

proptest! {
    #[test]
    fn any_head_gives_a_batch_or_an_error(
        records in 1u64..60,
        lines: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        in_texts: bool,
    ) {
        let encoded = {
            let batch = if lines { with_lines(records) } else { batch(records) };
            encode(&batch, true).unwrap()
        };
        let makes_lines = encoded.1;
        let (numbers, mut head, mut texts) = parts(&encoded);
        let bytes = if in_texts { &mut texts } else { &mut head };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(batch) = decode(&body(&numbers, &head, &texts), makes_lines) {
            // Whatever it is, it can be written and read again.
            let (bytes, makes_lines) = encode(&batch, true).unwrap();
            prop_assert_eq!(say(&decode(&bytes, makes_lines).unwrap()), say(&batch));
        }
    }

    #[test]
    fn any_body_gives_a_batch_or_an_error(bytes: Vec<u8>, makes_lines: bool) {
        let _ = decode(&bytes, makes_lines);
    }
}

/// A record of some fields and a line.
struct Said {
    fields: Vec<(&'static str, Value)>,
    line: String,
}

fn said(records: &[Said]) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::new([("pod", Value::from("cart-1"))])));
    for (n, Said { fields, line }) in (0..).zip(records) {
        let time = Timestamp::from_millis(1_795_176_000_123 + n as i64);
        let head = RecordHead {
            timestamp: time,
            observed: time,
            source: SourceId(1),
            range: SeqRange::new(n, n + 1),
        };
        let mut record = batch.begin(head, stream);
        record.field_by_id(NameId::ORIGINAL, ValueRef::Str(line));
        fields.iter().for_each(|(name, value)| record.field(name, value.as_ref()));
    }
    batch
}

/// The bytes of a batch with lines that are made, and those of its texts.
fn made(batch: &Batch) -> (Vec<u8>, String) {
    let encoded = encode(batch, true).unwrap();
    assert!(encoded.1);
    assert_eq!(say(&decode(&encoded.0, true).unwrap()), say(batch));
    let texts = parts(&encoded).2;
    (encoded.0, String::from_utf8(texts).unwrap())
}

#[test]
fn lines_are_made_of_what_is_beside_them() {
    let line = |n: i64| Said {
        fields: vec![
            ("message", Value::from(format!("paid {n}"))),
            ("n", Value::Int(n)),
            ("ok", Value::Bool(true)),
        ],
        line: format!(
            r#"{{"ts":{},"pod":"cart-1","ok":true,"n":{n},"msg":"paid {n}","seq":{}}}"#,
            1_795_176_000_123 + n,
            n * 77 + 5
        ),
    };
    let (bytes, texts) = made(&said(&(0..3).map(line).collect::<Vec<_>>()));
    assert_eq!(texts, "582159paid 0paid 1paid 2", "what no field says, and the fields");
    // A text that is made takes as much memory as one that is there.
    let told = bounds(&mut Reader::new(&bytes), true).unwrap().text_bytes;
    assert_eq!(decode(&bytes, true).unwrap().text_bytes(), told);
}

#[test]
fn a_line_for_an_older_reader_is_as_it_was_written() {
    let batch = with_lines(60);
    let (bytes, makes_lines) = encode(&batch, false).unwrap();
    assert!(!makes_lines);
    assert_eq!(say(&decode(&bytes, false).unwrap()), say(&batch));
    let (bytes, _) = encode(&batch, true).unwrap();
    assert!(decode(&bytes, false).is_err(), "version 2 has no such column");
}

#[test]
fn escapes_are_made_where_some_line_has_them() {
    let line = |text: &str| Said {
        fields: vec![("message", Value::from(text)), ("user", Value::from("ann"))],
        line: format!(r#"{{"msg":{},"user":"ann"}}"#, serde_json::to_string(text).unwrap()),
    };
    let texts = ["plain", "a \"quoted\" word", "plain again", "\ttab"];
    for count in 1..=texts.len() {
        let lines = texts[..count].repeat(10);
        let batch = said(&lines.into_iter().map(line).collect::<Vec<_>>());
        assert_eq!(made(&batch).1, texts[..count].concat() + "ann");
    }
}

#[test]
fn a_line_of_another_form_is_a_text() {
    let x = &"x".repeat(100);
    let fields = || vec![("message", Value::from(x.as_str())), ("n", Value::Float(1.5))];
    let lines = [
        format!(r#"{{"n":1.5,"message":"{x}"}}"#),
        format!(r#"{{"n":1.50,"message":"{x}"}}"#),
        format!(r#"{{"message":"{x}","n":1.5}}"#),
        "x 1.5".to_owned(),
        String::new(),
    ];
    let records = lines.map(|line| Said { fields: fields(), line });
    let (_, texts) = made(&said(&records));
    assert_eq!(texts, format!("1.50x 1.5{x}"));
}

/// A head whose lines claim other than what is made is damaged, whichever number it is.
#[test]
fn what_lines_claim_is_compared() {
    let line = |n: i64| Said { fields: vec![("n", Value::Int(n))], line: format!(r#"{{"n":{n}}}"#) };
    let (bytes, _) = made(&said(&(10..20).map(line).collect::<Vec<_>>()));
    let (numbers, head, texts) = parts(&(bytes, true));
    assert_eq!((numbers[2], texts.len()), (80, 0), "ten lines of eight bytes");
    let at = head.windows(2).position(|two| two == [text::MADE, 80]).unwrap() + 1;
    for (told, all) in [(79, 79), (81, 81), (0, 0), (80, 81), (127, 80)] {
        let (mut numbers, mut head) = (numbers.clone(), head.clone());
        (numbers[2], head[at]) = (all, told);
        assert!(decode(&body(&numbers, &head, &texts), true).is_err(), "{told} {all}");
    }
    assert!(decode(&body(&numbers, &head, &texts), true).is_ok());
    // A line of itself, and one of a field that is not there.
    for name in [&b"\x09_original"[..], b"\x01x"] {
        let (mut numbers, mut head) = (numbers.clone(), head.clone());
        numbers[4] += name.len() as u64 - 2;
        // The name of the templates is the second one in the head.
        let at = head.windows(2).rposition(|two| two == b"\x01n").unwrap();
        head.splice(at..at + 2, name.iter().copied());
        let error = decode(&body(&numbers, &head, &texts), true).unwrap_err();
        assert_eq!(error, Damage::expected("fields that the line is made of"));
    }
}

/// A body of so many records with one line each, all made by one template of these pieces, of holes without length.
struct OneTemplate<'a> {
    records: usize,
    line_bytes: usize,
    stream: &'a Stream,
    names: &'a [&'a str],
    pieces: Vec<Piece>,
}

impl OneTemplate<'_> {
    /// The numbers in front, and the head, with as many such columns of lines besides, without lines.
    fn parts(self, more_columns: usize) -> (Vec<u64>, Vec<u8>) {
        let mut head = Vec::new();
        head.put_varint(1);
        head.put_text("_original");
        head.put_varint(1 + more_columns as u64);
        for _ in 0..=more_columns {
            head.put_varint(0);
            head.put_u8(kind::STR);
        }
        head.put_varint(1);
        put_stream(&mut head, self.stream);
        head.put_varint(1);
        head.put_u128(1);
        head.put_varint(0);
        // One shape, of the first column.
        head.extend_from_slice(&[1, 1, 0]);
        let zeros = vec![0; self.records];
        (0..7).for_each(|_| ints::encode(&mut head, &zeros));
        let holes = self.records * self.pieces.iter().filter(|piece| **piece == Piece::Hole).count();
        let names = self.names.iter().map(|name| (*name).into()).collect();
        let templates = Templates { names, templates: vec![self.pieces] };
        let mut template_bytes = Vec::new();
        templates.put(&mut template_bytes);
        for column in 0..=more_columns {
            let (line_bytes, lines, holes) =
                if column == 0 { (self.line_bytes, self.records, holes) } else { (0, 0, 0) };
            head.put_u8(text::MADE);
            head.put_varint(line_bytes as u64);
            head.extend_from_slice(&template_bytes);
            ints::encode(&mut head, &vec![0; lines]);
            ints::encode(&mut head, &vec![0; holes]);
        }
        let numbers = [self.records, self.records, self.line_bytes, 0, template_bytes.len(), holes];
        (numbers.map(|number| number as u64).to_vec(), head)
    }
}

#[test]
fn one_column_has_lines_that_are_made() {
    let stream = Stream::default();
    let of = |more_columns| {
        let pieces = vec![Piece::Literal("x".into())];
        let lines = OneTemplate { records: 3, line_bytes: 3, stream: &stream, names: &[], pieces };
        let (numbers, head) = lines.parts(more_columns);
        decode(&body(&numbers, &head, b""), true)
    };
    assert_eq!(of(0).unwrap().len(), 3);
    assert_eq!(of(1).unwrap_err(), Damage::unknown("column of texts", text::MADE));
    // Each takes room of its own.
    assert_eq!(of(3).unwrap_err(), Damage::expected("no column without a value"));
}

#[test]
fn holes_are_told_and_claimed() {
    let stream = Stream::default();
    let of = |records: usize, holes: usize, line_bytes: usize| {
        let mut pieces = vec![Piece::Hole; holes];
        pieces.push(Piece::Literal("x".repeat(line_bytes / records).into()));
        let lines = OneTemplate { records, line_bytes, stream: &stream, names: &[], pieces };
        let (numbers, head) = lines.parts(0);
        (body(&numbers, &head, b""), numbers, head)
    };
    // Holes without length: each line has more pieces than bytes.
    let (bytes, ..) = of(4096, 4000, 4096);
    assert_eq!(decode(&bytes, true).unwrap_err(), Damage::expected("templates within bounds"));
    let (bytes, mut numbers, head) = of(64, 50, 64 * 64);
    assert_eq!(decode(&bytes, true).unwrap().len(), 64);
    let claimed = |numbers: &[u64]| {
        let bytes = body(numbers, &head, b"");
        bounds(&mut Reader::new(&bytes), true).unwrap().memory_bytes()
    };
    let before = claimed(&numbers);
    numbers[5] = 0;
    assert_eq!(before - claimed(&numbers), 64 * 50 * 8, "a number for each");
    for wrong in [0, 64 * 50 - 1, 64 * 50 + 1, 1 << 40] {
        numbers[5] = wrong;
        assert!(decode(&body(&numbers, &head, b""), true).is_err(), "{wrong}");
    }
}

#[test]
fn names_of_templates_are_no_longer_than_others() {
    for (len, is_read) in [(NAME_BYTES_MAX, true), (NAME_BYTES_MAX + 1, false)] {
        let name = "x".repeat(len);
        let stream = Stream::new([(name.as_str(), Value::from("value"))]);
        let pieces = vec![Piece::Field(0, Form::Plain)];
        let lines = OneTemplate { records: 2, line_bytes: 10, stream: &stream, names: &[&name], pieces };
        let (numbers, head) = lines.parts(0);
        assert_eq!(decode(&body(&numbers, &head, b""), true).is_ok(), is_read, "{len}");
        // Nor is such a line left out.
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(stream));
        for n in 0..100 {
            let (time, range) = (Timestamp::EPOCH, SeqRange::new(n, n + 1));
            let head = RecordHead { timestamp: time, observed: time, source: SourceId(1), range };
            let line = r#"{"a":"value","b":"value"}"#;
            batch.begin(head, stream).field_by_id(NameId::ORIGINAL, ValueRef::Str(line));
        }
        let (bytes, makes_lines) = encode(&batch, true).unwrap();
        assert_eq!(makes_lines, is_read, "{len}");
        assert_eq!(say(&decode(&bytes, makes_lines).unwrap()), say(&batch));
    }
}

/// What a receiver took before there were lines that are made, it takes still.
#[test]
fn what_makes_no_lines_claims_nothing_for_them() {
    let (bytes, makes_lines) = encode(&batch(100), true).unwrap();
    assert!(!makes_lines);
    let bounds = bounds(&mut Reader::new(&bytes), false).unwrap();
    let expected = 100 * 160 + bounds.fields * 40 + bounds.text_bytes + bounds.head_bytes * 16;
    assert_eq!(bounds.memory_bytes(), expected);
}

#[test]
fn records_of_very_many_shapes_keep_their_lines() {
    let names: Vec<&'static str> = (0..300).map(|n| &*format!("f{n}").leak()).collect();
    let record = |n: usize| {
        let fields = vec![(names[n], Value::Int(n as i64)), ("n", Value::Int(n as i64))];
        Said { fields, line: format!(r#"{{"{}":{n},"n":{n}}}"#, names[n]) }
    };
    let batch = said(&(0..300).map(record).collect::<Vec<_>>());
    let (bytes, makes_lines) = encode(&batch, true).unwrap();
    assert!(!makes_lines, "a reader would note 300 x 301 places");
    assert_eq!(say(&decode(&bytes, false).unwrap()), say(&batch));
}

/// Records of some fields and of a list, which is as long as another line's only by chance.
fn with_lists(records: u64, items: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    for n in 0..records {
        let (time, range) = (Timestamp::from_millis(n as i64), SeqRange::new(n, n + 1));
        let head = RecordHead { timestamp: time, observed: time, source: SourceId(1), range };
        let mut record = batch.begin(head, stream);
        let count = items.start + n * 7 % (items.end - items.start);
        let numbers: Vec<String> = (0..count).map(|item| (item * 77_773 % 100_003 + n).to_string()).collect();
        let mut line = String::from("{");
        for field in 0..20 {
            record.field(&format!("f{field}"), ValueRef::Int((n * 31 + field) as i64));
            line.push_str(&format!(r#""f{field}":{},"#, n * 31 + field));
        }
        line.push_str(&format!(r#""ids":[{}]}}"#, numbers.join(",")));
        record.field_by_id(NameId::ORIGINAL, ValueRef::Str(&line));
    }
    batch
}

#[test]
fn lines_that_vary_are_soon_left_alone() {
    let batch = with_lists(1000, 50..150);
    assert_eq!(encode(&batch, true), encode(&batch, false), "it does not pay");
    let mut learner = Learner::for_batch(batch.text_bytes());
    let (mut added, mut longest) = (0, 0);
    for record in batch.iter() {
        let Some(ValueRef::Str(line)) = record.get_by_id(NameId::ORIGINAL) else { panic!("it has a line") };
        longest = longest.max(line.len());
        if !learner.gave_up() {
            learner.add(Row { record, batch: &batch, slot: 0, fields_hash: 0 }, line);
            added += 1;
        }
    }
    assert!(added < 100, "{added} lines");
    assert!(learner.work() < (1 << 14) + batch.text_bytes() / 32 + longest, "{} of work", learner.work());
}

#[test]
fn lines_between_others_that_are_no_json_are_made() {
    let line = |n: i64| Said {
        fields: vec![("n", Value::Int(n)), ("message", Value::from("it was paid"))],
        line: if n % 4 == 0 || n > 200 {
            format!(r#"{{"n":{n},"message":"it was paid"}}"#)
        } else {
            format!("{n} it was paid")
        },
    };
    let (_, texts) = made(&said(&(0..1000).map(line).collect::<Vec<_>>()));
    assert!(texts.starts_with("1 it was paid2 it was paid3 it was paid5 it"), "{texts}");
}

#[test]
fn lines_of_which_little_is_left_out_are_texts() {
    let line = |length: usize| {
        move |n: i64| Said {
            fields: vec![("n", Value::Int(1_000_000 + n))],
            line: format!(r#"{{"n":{},"x":"{n}{}"}}"#, 1_000_000 + n, "0".repeat(length)),
        }
    };
    made(&said(&(0..100).map(line(20)).collect::<Vec<_>>()));
    let batch = said(&(0..100).map(line(200)).collect::<Vec<_>>());
    assert_eq!(encode(&batch, true), encode(&batch, false), "an eighth has to be left out");
}
