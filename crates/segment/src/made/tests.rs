//! Lines that are made again.

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Batch, NameId, RecordHead, RecordRef, SeqRange, SourceId, Value};

use super::*;

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
        prop_assert_eq!(Form::Json.first_escaped(text.as_bytes()) == text.len(), out == text);
        out.clear();
        prop_assert!(Form::Plain.put(ValueRef::Int(int), &mut out));
        prop_assert_eq!(out, int.to_string());
    }

    #[test]
    fn any_bytes_are_templates_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Templates::parse(&mut Reader::new(&bytes));
    }
}
