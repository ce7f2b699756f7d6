use proptest::prelude::*;

use super::*;
use crate::pushed::Trust;
use crate::pushed::tests::{intake, shown};

fn take(body: &[u8], raw: bool) -> Result<(u64, String), HecError> {
    let mut intake = intake(Trust::Claimed, &[("source", "splunk_hec:in")]);
    let common = Common { fields: vec![("host", "h0".to_owned()), ("sourcetype", "usual".to_owned())] };
    let read = if raw { read_raw } else { read_events };
    read(body, &common, &mut intake).map(|count| (count, shown(intake)))
}

#[test]
fn events_stand_one_behind_the_other() {
    let body = concat!(
        r#"{"time":1795175999.123456789,"host":"web-1","source":"/var/log/x","sourcetype":"nginx","event":"GET /","fields":{"region":"eu"}}"#,
        r#"{"time":"1795175999","event":{"level":"error","msg":"no","n":1}}"#,
        "\n",
        r#"{"event":42}"#
    );
    let (count, records) = take(body.as_bytes(), false).unwrap();
    assert_eq!(count, 3);
    insta::assert_snapshot!(records, @r#"
    2026-11-20T11:59:59.123456789Z
      body.source = "/var/log/x"
      host = "web-1"
      message = "GET /"
      region = "eu"
      source = "splunk_hec:in"
      sourcetype = "nginx"
    2026-11-20T11:59:59Z
      _original = "{\"level\":\"error\",\"msg\":\"no\",\"n\":1}"
      host = "h0"
      level = "error"
      message = "no"
      n = 1
      source = "splunk_hec:in"
      sourcetype = "usual"
    2026-11-20T12:00:00Z
      host = "h0"
      message = "42"
      source = "splunk_hec:in"
      sourcetype = "usual"
    "#);
    assert_eq!(take(br#"[{"event":"a"},{"event":"b"}]"#, false).unwrap().0, 2);
}

#[test]
fn raw_text_is_cut_into_lines() {
    let (count, records) = take(b"one\r\n\ntwo", true).unwrap();
    assert_eq!((count, records.matches("message").count()), (2, 2));
    assert!(records.contains(r#"host = "h0""#));
}

#[test]
fn the_first_wrong_event_is_told_by_its_number() {
    let error = |body: &str| {
        let error = take(body.as_bytes(), false).unwrap_err();
        (error.code(), error.event())
    };
    assert_eq!(error(" "), (5, None));
    assert_eq!(error(r#"{"event":"a"}{"event""#), (6, Some(1)));
    assert_eq!(error(r#"{"event":"a"} 7"#), (6, Some(1)));
    assert_eq!(error(r#"{"event":"a"}{"x":1}"#), (12, Some(1)));
    assert_eq!(error(r#"{"event":""}"#), (13, Some(0)));
}

#[test]
fn a_strange_time_is_marked() {
    let (_, records) = take(br#"{"time":"soon","event":"a"}"#, false).unwrap();
    assert!(records.contains(r#"sawyer.mark = "malformed""#), "{records}");
}

proptest! {
    #[test]
    fn any_bytes_never_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..120), raw: bool) {
        let _ = take(&body, raw);
    }

    #[test]
    fn any_text_of_events_never_makes_it_panic(body in r#"(\{"(event|time|fields)":["0-9a{}:.,]{0,8}\}?){0,4}"#) {
        let _ = take(body.as_bytes(), false);
    }
}
