use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::pushed::Trust;
use crate::pushed::tests::{intake, shown};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn request(records: &[&[u8]]) -> String {
    let records: Vec<String> =
        records.iter().map(|data| format!(r#"{{"data":"{}"}}"#, STANDARD.encode(data))).collect();
    format!(r#"{{"requestId":"r","timestamp":1,"records":[{}]}}"#, records.join(","))
}

fn take(body: &str) -> Result<(Posted, String), FirehoseError> {
    let mut intake = intake(Trust::Claimed, &[]);
    let common = [("env".to_owned(), "prod".to_owned())];
    read(body.as_bytes(), &common, 1 << 20, &mut intake).map(|posted| (posted, shown(intake)))
}

#[test]
fn records_of_programs_and_of_cloudwatch_are_read() {
    let logs = br#"{"messageType":"DATA_MESSAGE","owner":"123","logGroup":"/aws/eks/c/cluster","logStream":"kube-apiserver",
        "subscriptionFilters":["f"],"logEvents":[{"id":"37","timestamp":1795175999123,"message":"I1120 audit\n"}]}"#;
    let control = br#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE"}]}"#;
    let body = request(&[b"{\"msg\":\"a\"}\n{\"msg\":\"b\"}\n", b"text", &gzip(logs), &gzip(control)]);
    let (posted, records) = take(&body).unwrap();
    assert_eq!(posted, Posted { accepted: 4, malformed: 0 });
    insta::assert_snapshot!(records, @r#"
    2026-11-20T12:00:00Z
      _original = "{\"msg\":\"a\"}"
      env = "prod"
      message = "a"
    2026-11-20T12:00:00Z
      _original = "{\"msg\":\"b\"}"
      env = "prod"
      message = "b"
    2026-11-20T12:00:00Z
      env = "prod"
      message = "text"
    2026-11-20T11:59:59.123Z
      aws.account = "123"
      aws.log_group = "/aws/eks/c/cluster"
      aws.log_stream = "kube-apiserver"
      env = "prod"
      message = "I1120 audit"
    "#);
}

#[test]
fn what_is_no_request_is_told() {
    let error = |body: &str| take(body).unwrap_err().to_string();
    assert!(error("{").starts_with("the body is no request of Firehose"));
    assert!(error("{}").contains("expected `records`, a list"));
    assert_eq!(error(r#"{"records":[{"data":"eA=="},{"data":"!"}]}"#), "record 1: `data` is not base64");
    assert_eq!(error(r#"{"records":[{}]}"#), "record 0: expected `data`, a text");
    let bomb = request(&[&gzip(&vec![0; 2 << 20])]);
    assert!(error(&bomb).contains("too long together"));
    assert_eq!(take(r#"{"records":[]}"#).unwrap().0, Posted::default());
}

proptest! {
    #[test]
    fn any_data_never_makes_it_panic(data in prop::collection::vec(any::<u8>(), 0..60), packed: bool) {
        let data = if packed { gzip(&data) } else { data };
        let _ = take(&request(&[&data]));
    }
}
