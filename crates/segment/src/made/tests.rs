//! Lines that are made again.

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Batch, NameId, RecordHead, RecordRef, SeqRange, SourceId, Value};

use super::*;
use crate::{EncodeSettings, Segment, encode};

struct Parts<'a> {
    record: RecordRef<'a>,
    names: &'a [Box<str>],
    ids: Vec<Option<NameId>>,
}

impl Values for Parts<'_> {
    fn time(&self) -> Timestamp {
        self.record.timestamp()
    }

    fn value(&self, name: usize) -> Option<ValueRef<'_>> {
        let own = self.ids[name].and_then(|id| self.record.get_by_id(id));
        or_of_stream(own, self.record.stream(), &self.names[name])
    }
}

fn batch(time: Timestamp, fields: &[(&str, Value)]) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::new([("pod", Value::from("cart-1"))])));
    let head =
        RecordHead { timestamp: time, observed: time, source: SourceId(1), range: SeqRange::new(0, 1) };
    let mut writer = batch.begin(head, stream);
    for (name, value) in fields {
        writer.field(name, value.as_ref());
    }
    batch
}

/// Learns from a line, makes it again, and says what the template and the holes are.
fn learn(batch: &Batch, line: &str) -> (String, Vec<String>) {
    let mut learner = Learner::default();
    let record = batch.get(0);
    learner.add(Row { record, batch, slot: 0, fields_hash: 7 }, line);
    // A second time with what is known.
    learner.add(Row { record, batch, slot: 0, fields_hash: 7 }, line);
    let (templates, codes, holes) = learner.all();
    assert_eq!(codes[0], codes[1]);
    let ids = templates.names.iter().map(|name| batch.find_name(name)).collect();
    let parts = Parts { record, names: &templates.names, ids };
    let (mut made, mut next) = (String::new(), 0);
    let hole = |out: &mut String| {
        out.push_str(holes.get(next));
        next += 1;
        Ok::<(), Damage>(())
    };
    templates.make(codes[0] as usize, &parts, hole, &mut made).unwrap();
    assert_eq!(made, line);
    let mut bytes = Vec::new();
    templates.put(&mut bytes);
    assert_eq!(Templates::parse(&mut Reader::new(&bytes)).as_ref(), Ok(templates));
    let pieces = templates.templates[codes[0] as usize].iter().map(|piece| match piece {
        Piece::Literal(text) => text.to_string(),
        Piece::Hole => "<>".to_owned(),
        Piece::Time(form) => format!("<time {form:?}>"),
        Piece::Field(name, form) => format!("<{} {form:?}>", templates.names[*name as usize]),
    });
    (pieces.collect(), (0..next).map(|at| holes.get(at).to_owned()).collect())
}

#[test]
fn values_are_found_by_name_and_else_by_what_they_are() {
    let time = Timestamp::parse("2026-11-20T09:57:18.627Z").unwrap();
    let fields = [
        ("message", Value::from("took \"3\" ms\n결제")),
        ("level", Value::from("warn")),
        ("http.status", Value::Int(200)),
        ("duration_ms", Value::Float(12.0)),
        ("trace_id", Value::from("00ab00ab00ab00ab00ab00ab00ab00ab")),
        ("ok", Value::Bool(true)),
    ];
    let batch = batch(time, &fields);
    let line = concat!(
        r#"{"ts":"2026-11-20T09:57:18.627Z","msg":"took \"3\" ms\n결제","lvl":"WARN","http":{"status":200},"#,
        r#""duration_ms":12.0,"traceId":"00ab00ab00ab00ab00ab00ab00ab00ab","ok":true,"pod":"cart-1","seq":812}"#,
    );
    let (template, holes) = learn(&batch, line);
    assert_eq!(
        template,
        concat!(
            r#"{"ts":"<time Rfc3339(3)>","msg":"<message Json>","lvl":"<level Upper>","http":{"status":"#,
            r#"<http.status Plain>},"duration_ms":<duration_ms Point>,"traceId":"<trace_id Json>","#,
            r#""ok":<ok Plain>,"pod":"<pod Json>","seq":<>}"#,
        )
    );
    assert_eq!(holes, ["812"]);
}

#[test]
fn what_nothing_fits_is_one_hole() {
    let batch = batch(Timestamp::EPOCH, &[("message", Value::from("x"))]);
    assert_eq!(learn(&batch, "plain text").0, "<>");
    assert_eq!(learn(&batch, r#"{"a":"unclosed"#).0, "<>");
    assert_eq!(learn(&batch, "").0, "<>");
}

#[test]
fn times_are_written_in_many_ways() {
    for (text, form) in
        [("1700000000123456789", "Epoch(Nanoseconds)"), ("\"2023-11-14T22:13:20.123456789Z\"", "Rfc3339(9)")]
    {
        let batch = batch(Timestamp::from_nanos(1_700_000_000_123_456_789), &[]);
        assert!(learn(&batch, &format!("{{\"t\":{text}}}")).0.contains(form), "{text}");
    }
    let batch = batch(Timestamp::from_secs(-86_400), &[]);
    assert!(learn(&batch, r#"{"t":"1969-12-31T00:00:00Z"}"#).0.contains("Rfc3339(0)"));
    assert!(learn(&batch, r#"{"t":-86400000}"#).0.contains("Milliseconds"));
}

/// Makes a segment of records of these fields, and reads it back.
fn check_segment(rows: &[Vec<(String, Value)>]) {
    assert_eq!(check_blocks(rows), 1);
}

/// The same; says how many blocks it has.
fn check_blocks(rows: &[Vec<(String, Value)>]) -> usize {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::new([("pod", Value::from("cart-1"))])));
    for (at, fields) in rows.iter().enumerate() {
        let time = Timestamp::from_secs(at as i64);
        let range = SeqRange::new(at as u64, at as u64 + 1);
        let head = RecordHead { timestamp: time, observed: time, source: SourceId(1), range };
        let mut writer = batch.begin(head, stream);
        for (name, value) in fields {
            writer.field(name, value.as_ref());
        }
    }
    let settings = EncodeSettings { block_bytes_max: 1 << 30, ..EncodeSettings::default() };
    let segment = Segment::open(Arc::new(encode(&[&batch], &settings).unwrap().bytes)).unwrap();
    let blocks: Vec<_> = (0..segment.blocks().len()).map(|at| segment.decode_block(at).unwrap()).collect();
    let sorted = |record: RecordRef<'_>| {
        let mut fields: Vec<_> =
            record.own_fields().map(|(name, value)| (name.to_owned(), value.to_value())).collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields
    };
    assert!(blocks.iter().flat_map(Batch::iter).map(sorted).eq(batch.iter().map(sorted)));
    blocks.len()
}

fn line_of(line: &str) -> (String, Value) {
    (sawyer_model::names::ORIGINAL.to_owned(), Value::from(line))
}

#[test]
fn a_line_of_very_many_fields_is_a_hole_after_little_work() {
    let names: Vec<String> = (0..80_000).map(|at| format!("k{at}")).collect();
    let line = format!("{{{}}}", names.iter().map(|n| format!("\"{n}\":1e1")).collect::<Vec<_>>().join(","));
    let mut fields: Vec<_> = names.into_iter().map(|name| (name, Value::Float(10.0))).collect();
    fields.push(line_of(&line));
    let named: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let batch = batch(Timestamp::EPOCH, &named);
    assert_eq!(learn(&batch, &line).0, "<>");
    let mut learner = Learner::default();
    let row = Row { record: batch.get(0), batch: &batch, slot: 0, fields_hash: 7 };
    for _ in 0..100 {
        learner.add(row, &line);
    }
    assert!(learner.work() < 5 << 20, "{}", learner.work());
    learner.clear();
    assert_eq!(learner.work(), 0);
    check_segment(&[fields]);
}

#[test]
fn long_names_never_make_templates_that_cannot_be_read() {
    let good = |_| {
        let text = "m".repeat(100_000);
        let line = line_of(&format!("{{\"message\":\"{text}\"}}"));
        vec![("message".to_owned(), Value::from(text.as_str())), line]
    };
    // More pieces than a template may have; each has a name that no other record has.
    let bad = |row| {
        let name = |at: i64| format!("{row}.{at}.{}", "n".repeat(1000));
        let line: String = (0..2_500).map(|at| format!("\"a\":{},", 100_000 + at)).collect();
        let mut fields: Vec<_> = (0..2_500).map(|at| (name(at), Value::Int(100_000 + at))).collect();
        fields.push(line_of(&format!("{{{line}}}")));
        fields
    };
    let rows: Vec<_> = (0..20).map(good).chain((0..30).map(bad)).collect();
    assert_eq!(check_blocks(&rows), 8, "a block has four of the bad ones");
}

#[test]
fn templates_of_too_many_bytes_are_not_kept() {
    let learned_with = |name_bytes: usize| {
        let names: Vec<String> = (0..34).map(|at| format!("{at}{}", "n".repeat(name_bytes))).collect();
        let values = (0..34).map(|at| Value::from(format!("stream {at}")));
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::new(names.iter().map(String::as_str).zip(values))));
        let time = Timestamp::EPOCH;
        let head =
            RecordHead { timestamp: time, observed: time, source: SourceId(1), range: SeqRange::new(0, 1) };
        let message = "m".repeat(1 << 20);
        batch.begin(head, stream).field("message", ValueRef::Str(&message));
        let pairs: String = (0..34).map(|at| format!("\"{at}\":\"stream {at}\",")).collect();
        let line = format!("{{{pairs}\"message\":\"{message}\"}}");
        let mut learner = Learner::default();
        for _ in 0..80 {
            learner.add(Row { record: batch.get(0), batch: &batch, slot: 0, fields_hash: 7 }, &line);
        }
        let is_made = matches!(learner.lines(), Some(Lines::Made(_)));
        let known = if is_made { (35, 1) } else { (0, 0) };
        assert_eq!((learner.all().0.names.len(), learner.all().1[79]), known);
        is_made
    };
    assert!(learned_with(900 << 10));
    assert!(!learned_with(1 << 20));
}

#[test]
fn lines_that_are_no_text_are_kept_with_those_that_are() {
    let line = |at: i64| format!(r#"{{"a":{at}}}"#);
    let row = |at: i64| vec![("a".to_owned(), Value::Int(at)), line_of(&line(at))];
    let list = Value::List([Value::from("x"), Value::from("y")].into());
    let odd = vec![(sawyer_model::names::ORIGINAL.to_owned(), list)];
    let rows: Vec<_> = (0..9).map(row).chain([odd]).chain((0..9).map(row)).collect();
    // What comes before is a block by itself.
    let blocks = check_blocks(&rows);
    assert_eq!(blocks, 2);
    assert_eq!(check_blocks(&rows[9..]), 1);
}

#[test]
fn records_of_many_fields_are_made_of_them_too() {
    let fields: Vec<(String, Value)> =
        (0..SEARCHED_MAX as i64 + 40).map(|at| (format!("f{at}"), Value::Int(at))).collect();
    let pairs: Vec<String> = fields.iter().map(|(name, _)| format!("\"{name}\":{}", &name[1..])).collect();
    let line = format!("{{{}}}", pairs.join(","));
    let named: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert!(learn(&batch(Timestamp::from_secs(-1), &named), &line).0.contains("<f103 Plain>"));
    let row: Vec<_> = fields.into_iter().chain([line_of(&line)]).collect();
    check_segment(&vec![row; 40]);
}

#[test]
fn names_of_lines_without_a_template_are_forgotten() {
    let fields: Vec<(String, Value)> = (0..1_500).map(|at| (format!("f{at}"), Value::Int(at))).collect();
    let named: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let batch = batch(Timestamp::from_secs(1), &named);
    let pairs: String = (0..1_500).map(|at| format!("\"f{at}\":{at},")).collect();
    let line = format!("{{{}}}", pairs.repeat(2));
    let mut learner = Learner::default();
    learner.add(Row { record: batch.get(0), batch: &batch, slot: 0, fields_hash: 7 }, &line);
    assert_eq!(learner.all().0.names.len(), 0);
}

proptest! {
    #[test]
    fn clocks_agree_with_the_calendar(nanos: i64, digits in 0u8..10) {
        let time = Timestamp::from_nanos(nanos - nanos % 10_i64.pow(9 - u32::from(digits)));
        let mut out = String::new();
        prop_assert!(Form::Rfc3339(digits).put(ValueRef::Timestamp(time), &mut out));
        prop_assert_eq!(out, format!("{:.*}", usize::from(digits), time.to_jiff()));
    }

    #[test]
    fn forms_write_one_text_for_a_value(text: String, int: i64) {
        let mut out = String::new();
        prop_assert!(Form::Json.put(ValueRef::Str(&text), &mut out));
        prop_assert_eq!(Form::Json.is_plain(&text), out == text);
        out.clear();
        prop_assert!(Form::Plain.put(ValueRef::Int(int), &mut out));
        prop_assert_eq!(out, int.to_string());
    }

    #[test]
    fn any_bytes_are_templates_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Templates::parse(&mut Reader::new(&bytes));
    }
}

#[test]
fn floats_are_written_as_rust_does() {
    let put = |value: f64| {
        let mut out = String::new();
        assert!(Form::Plain.put(ValueRef::Float(value), &mut out));
        assert_eq!(out, format!("{value}"));
    };
    let mut state = 7u64;
    for _ in 0..10_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mix = state ^ state >> 29;
        let few = (mix >> (8 + mix % 56)) as f64;
        for value in [f64::from_bits(mix), few, few / 10.0, few / 100.0, few / 1000.0, few / 10_000.0] {
            put(value);
            put(f64::from_bits(value.to_bits() + 1));
        }
    }
    for value in [0.0, -0.0, 0.001, 0.0005, 1e12, 999_999_999_999.999, 1e15, -1.5, f64::NAN, f64::INFINITY] {
        put(value);
    }
}
