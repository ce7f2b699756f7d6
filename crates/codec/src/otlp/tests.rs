use proptest::prelude::*;

use super::*;
use crate::protobuf::write_fixed64;
use crate::pushed::Trust;
use crate::pushed::tests::{intake, shown};

fn field(number: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    write_bytes(number, bytes.as_ref(), &mut out);
    out
}

fn pair(number: u32, name: &str, value: &[u8]) -> Vec<u8> {
    field(number, [field(1, name), field(2, value)].concat())
}

/// The same request as [`JSON`].
fn protobuf() -> Vec<u8> {
    let resource = [
        pair(1, "service.name", &field(1, "cart")),
        pair(1, "k8s.namespace.name", &field(1, "shop")),
        pair(1, "k8s.pod.name", &field(1, "cart-7d")),
    ]
    .concat();
    let scope = [field(1, "logger"), field(2, "1.2")].concat();
    let mut record = Vec::new();
    write_fixed64(1, 1_795_175_999_000_000_001, &mut record);
    write_fixed64(11, 1_795_175_999_500_000_000, &mut record);
    write_number(2, 17, &mut record);
    record.extend(field(3, "ERROR"));
    record.extend(field(5, field(1, "card declined")));
    record.extend(pair(6, "http.status", &[0x18, 0xf4, 3]));
    record.extend(pair(6, "tags", &field(5, [field(1, field(1, "a")), field(1, [0x10, 1])].concat())));
    record.extend(pair(6, "items", &field(5, field(1, field(6, pair(1, "sku", &field(1, "x")))))));
    record.extend(field(9, [0xab; 16]));
    record.extend(field(10, [0xcd; 8]));
    record.extend([0x45, 1, 0, 0, 0]);
    let structured =
        field(5, field(6, [pair(1, "event", &field(1, "paid")), pair(1, "msg", &field(1, "ok"))].concat()));
    let logs = [field(1, scope), field(2, record), field(2, structured)].concat();
    field(1, [field(1, resource), field(2, logs), field(3, "schema")].concat())
}

const JSON: &str = r#"{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"logger","version":"1.2"},"logRecords":[
  {"timeUnixNano":"1795175999000000001","observedTimeUnixNano":1795175999500000000,"severityNumber":17,
   "severityText":"ERROR","body":{"stringValue":"card declined"},"unknown":{"x":[1]},
   "attributes":[{"key":"http.status","value":{"intValue":"500"}},
     {"key":"tags","value":{"arrayValue":{"values":[{"stringValue":"a"},{"boolValue":true}]}}},
     {"key":"items","value":{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"sku","value":{"stringValue":"x"}}]}}]}}}],
   "traceId":"ABABABABABABABABABABABABABABABAB","spanId":"cdcdcdcdcdcdcdcd","flags":1},
  {"body":{"kvlistValue":{"values":[{"key":"event","value":{"stringValue":"paid"}},{"key":"msg","value":{"stringValue":"ok"}}]}}}
  ]}],"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}},
   {"key":"k8s.namespace.name","value":{"stringValue":"shop"}},{"key":"k8s.pod.name","value":{"stringValue":"cart-7d"}}]}}]}"#;

fn read_all(body: &[u8]) -> Result<(Rejected, String), OtlpError> {
    let mut intake = intake(Trust::Everything, &[]);
    let read =
        if body.starts_with(b"{") { read_json(body, &mut intake) } else { read_protobuf(body, &mut intake) };
    read.map(|rejected| (rejected, shown(intake)))
}

#[test]
fn both_encodings_give_the_same_records() {
    let (rejected, records) = read_all(&protobuf()).unwrap();
    assert_eq!(rejected, Rejected::default());
    assert_eq!(read_all(JSON.as_bytes()).unwrap().1, records);
    insta::assert_snapshot!(records, @r#"
    2026-11-20T11:59:59.000000001Z
      http.status = 500
      items = json [{"sku":"x"}]
      items.sku = "x"
      level = "error"
      message = "card declined"
      namespace = "shop"
      pod = "cart-7d"
      scope.name = "logger"
      scope.version = "1.2"
      service = "cart"
      severity_number = 17
      span_id = "cdcdcdcdcdcdcdcd"
      tags = ["a", true]
      trace_id = "abababababababababababababababab"
    2026-11-20T12:00:00Z
      _original = "{\"event\":\"paid\",\"msg\":\"ok\"}"
      event = "paid"
      message = "ok"
      namespace = "shop"
      pod = "cart-7d"
      scope.name = "logger"
      scope.version = "1.2"
      service = "cart"
    "#);
}

#[test]
fn a_record_that_is_too_long_is_told_and_the_others_are_taken() {
    let long = vec![b'x'; sawyer_model::limits::VALUE_BYTES_MAX + 1];
    let records = [
        field(2, field(5, field(1, "a"))),
        field(2, field(5, field(1, long))),
        field(2, field(5, field(1, "b"))),
    ];
    let (rejected, shown) = read_all(&field(1, field(2, records.concat()))).unwrap();
    assert_eq!(rejected.count, 1);
    assert!(
        rejected.reason.starts_with("record 1 of the request: the record is longer than"),
        "{rejected:?}"
    );
    assert_eq!(shown.matches("message").count(), 2);
    let answer = answer_protobuf(&rejected);
    assert_eq!(answer[..4], [0x0a, answer.len() as u8 - 2, 0x08, 1]);
    let answer: serde_json::Value = serde_json::from_str(&answer_json(&rejected)).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1");
    assert!(answer_protobuf(&Rejected::default()).is_empty());
}

#[test]
fn deep_and_wide_values_are_cut_and_marked() {
    let mut deep = field(1, "core");
    for _ in 0..200 {
        deep = field(5, field(1, deep));
    }
    let wide = [0x0a, 0].repeat(value::VALUES_MAX + 10);
    for value in [deep, field(5, wide)] {
        let body = field(1, field(2, field(2, field(5, value))));
        let (_, shown) = read_all(&body).unwrap();
        assert!(shown.contains(r#"sawyer.mark = "malformed""#));
    }
}

#[test]
fn wrong_forms_are_told() {
    let error = |text: &str| read_all(text.as_bytes()).unwrap_err().to_string();
    assert!(error("{").contains("column 2"));
    assert!(error(r#"{"resourceLogs":{}}"#).contains("`resourceLogs` has another type"));
    let body =
        |record: &str| format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#);
    assert!(error(&body(r#"{"timeUnixNano":"yesterday"}"#)).contains("`timeUnixNano`"));
    assert!(error(&body(r#"{"body":"text"}"#)).contains("`value`"));
    assert!(error(&body("7")).contains("`logRecords`"));
}

proptest! {
    #[test]
    fn changed_bytes_never_make_it_panic(at in 0usize..400, bit in 0u8..8, cut in 0usize..400, json: bool) {
        let mut body = if json { JSON.as_bytes().to_vec() } else { protobuf() };
        let at = at % body.len();
        body[at] ^= 1 << bit;
        body.truncate(body.len() - cut % 7 * (cut % body.len()) / 7);
        let _ = read_all(&body);
    }

    #[test]
    fn any_bytes_never_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_all(&body);
    }
}
