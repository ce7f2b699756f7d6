use proptest::prelude::*;

use super::*;
use crate::protobuf::{write_bytes, write_number};
use crate::pushed::Trust;
use crate::pushed::tests::{intake, shown};

fn field(number: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    write_bytes(number, bytes.as_ref(), &mut out);
    out
}

fn stamp(seconds: u64, nanos: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_number(1, seconds, &mut out);
    write_number(2, nanos, &mut out);
    out
}

/// The same request as [`JSON`].
fn protobuf() -> Vec<u8> {
    let pair = [field(1, "trace_id"), field(2, "abc1")].concat();
    let first = [field(1, stamp(1_795_175_999, 1)), field(2, "GET / 200"), field(3, pair)].concat();
    let second = [field(1, stamp(1_795_176_000, 0)), field(2, "two\nlines \u{2713}")].concat();
    let labels = r#"{namespace="shop", pod="cart-1",level="warn", quote="a\"b\\c\n"}"#;
    field(1, [field(1, labels), field(2, first), field(2, second)].concat())
}

const JSON: &str = r#"{"streams":[{"stream":{"namespace":"shop","pod":"cart-1","level":"warn","quote":"a\"b\\c\n"},
  "values":[["1795175999000000001","GET / 200",{"trace_id":"abc1"}],["1795176000000000000","two\nlines \u2713"]]}]}"#;

fn take(body: &[u8]) -> Result<(Pushed, String), LokiError> {
    let mut intake = intake(Trust::Claimed, &[]);
    let json = body.starts_with(b"{");
    let read = if json { read_json } else { read_protobuf };
    read(body, Some("team-a"), &mut intake).map(|pushed| (pushed, shown(intake)))
}

#[test]
fn both_encodings_give_the_same_records() {
    let (pushed, records) = take(&protobuf()).unwrap();
    assert_eq!(pushed, Pushed { accepted: 2, malformed: 0 });
    assert_eq!(take(JSON.as_bytes()).unwrap().1, records);
    insta::assert_snapshot!(records, @r#"
    2026-11-20T11:59:59.000000001Z
      identity = "claimed"
      level = "warn"
      loki.tenant = "team-a"
      message = "GET / 200"
      namespace = "shop"
      pod = "cart-1"
      quote = "a\"b\\c\n"
      trace_id = "abc1"
    2026-11-20T12:00:00Z
      identity = "claimed"
      level = "warn"
      loki.tenant = "team-a"
      message = "two\nlines ✓"
      namespace = "shop"
      pod = "cart-1"
      quote = "a\"b\\c\n"
    "#);
}

#[test]
fn the_old_form_is_read_too() {
    let body =
        r#"{"streams":[{"labels":"{app=\"cart\"}","entries":[{"ts":"2026-11-20T11:00:00.5Z","line":"x"}]}]}"#;
    let (pushed, records) = take(body.as_bytes()).unwrap();
    assert_eq!(pushed.accepted, 1);
    assert!(records.starts_with("2026-11-20T11:00:00.500Z"), "{records}");
}

#[test]
fn an_entry_with_a_strange_time_is_kept_and_marked() {
    let body = r#"{"streams":[{"stream":{},"values":[["soon","x"],[1795175999000000001,"numbers, too"]]}]}"#;
    let (pushed, records) = take(body.as_bytes()).unwrap();
    assert_eq!(pushed, Pushed { accepted: 2, malformed: 1 });
    assert_eq!(records.matches(r#"sawyer.mark = "malformed""#).count(), 1);
    assert!(records.contains("2026-11-20T11:59:59.000000001Z"), "{records}");
}

#[test]
fn a_label_that_is_said_again_is_said_once() {
    let body =
        r#"{"streams":[{"stream":{"level":"warn","a":"1"},"values":[["1","x",{"level":"warn","a":"2"}]]}]}"#;
    let (_, records) = take(body.as_bytes()).unwrap();
    assert!(records.contains("  level = \"warn\"\n"), "{records}");
    assert!(records.contains("  a = [\"1\", \"2\"]\n"), "{records}");
}

#[test]
fn what_is_no_request_is_told() {
    let error = |text: &str| take(text.as_bytes()).unwrap_err().to_string();
    assert!(error("{}").contains("expected `streams`, a list"));
    assert!(error(r#"{"streams":[{"stream":{}}]}"#).contains("expected `values`, a list"));
    assert!(error(r#"{"streams":[{"stream":{},"values":[["1"]]}]}"#).contains("expected entries such as"));
    assert!(error(r#"{"streams":[{"stream":{},"values":[["1",2]]}]}"#).contains("expected entries such as"));
    assert!(error(r#"{"streams":[{"stream":"x","values":[]}]}"#).contains("labels as an object"));
    assert!(error(r#"{"streams":[{"labels":"app=1","entries":[]}]}"#).contains("found `app=1`"));
    for labels in ["{a}", "{a=b}", r#"{a="b}"#, r#"{a="b" c="d"}"#, r#"{="b"}"#, r#"{a="\x4"}"#] {
        assert!(read_labels(labels).is_err(), "{labels}");
    }
    assert_eq!(read_labels("{ }").unwrap(), []);
    assert_eq!(read_labels(r#"{a="\x41\u00e9", }"#).unwrap(), [("a".into(), "Aé".into())]);
}

proptest! {
    #[test]
    fn changed_bytes_never_make_it_panic(at in 0usize..400, bit in 0u8..8, json: bool) {
        let mut body = if json { JSON.as_bytes().to_vec() } else { protobuf() };
        let at = at % body.len();
        body[at] ^= 1 << bit;
        let _ = take(&body);
    }

    #[test]
    fn labels_come_out_as_go_wrote_them(labels in prop::collection::vec(("[a-z_]{1,8}", "[ -~\n\té✓]{0,12}"), 0..5)) {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
        let text: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
        let read = read_labels(&format!("{{{}}}", text.join(", "))).unwrap();
        let wanted: Pairs<'static> = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        prop_assert_eq!(read, wanted);
    }
}
