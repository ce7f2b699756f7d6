//! What clients of Loki, Splunk and Firehose ask and push, call by call.

use std::io::Write;

use serde_json::json;

use crate::receive::bench::{Bench, Fate, field};
use crate::receive::{firehose, loki, splunk_hec};

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

const PUSH: &[u8] =
    br#"{"streams":[{"stream":{"namespace":"shop","app":"cart"},"values":[["1795175999000000001","one"]]}]}"#;

#[tokio::test]
async fn loki_is_pushed_to_in_every_encoding() {
    let bench = Bench::start(loki::read_plan, "");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(PUSH).unwrap();
    // A push request in protobuf: `{app="cart"}`, one entry at 1 s with the line `two`.
    let entry = b"\x12\x09\x0a\x02\x08\x01\x12\x03two";
    let stream = [b"\x0a\x0c{app=\"cart\"}".as_slice(), entry].concat();
    let request = [&[0x0a, stream.len() as u8], stream.as_slice()].concat();
    let snappy = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let tenant = ("x-scope-orgid", "team-a");
    let gzip = gzip.finish().unwrap();
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(&snappy).unwrap();
    let deflate = deflate.finish().unwrap();
    let pushes = [
        (&[JSON, tenant][..], PUSH),
        (&[JSON, ("content-encoding", "snappy")], PUSH),
        (&[JSON, ("content-encoding", "gzip")], &gzip[..]),
        (&[PROTOBUF, tenant], &snappy),
        (&[PROTOBUF, ("content-encoding", "snappy")], &snappy),
        (&[PROTOBUF, ("content-encoding", "deflate")], &deflate),
        (&[], &snappy),
    ];
    for (headers, body) in pushes {
        let answer = bench.post("/loki/api/v1/push", headers, body).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{headers:?} {}", answer.text());
    }
    assert_eq!(bench.messages(), ["one", "one", "one", "two", "two", "two", "two"]);
    let taken = bench.taken();
    assert_eq!(field(&taken[0], "loki.tenant"), "team-a");
    assert_eq!(field(&taken[0], "identity"), "claimed");
    assert_eq!(field(&taken[3], "app"), "cart");
    bench.stop().await;
}

#[tokio::test]
async fn loki_takes_what_is_exported_to_it_by_opentelemetry() {
    let bench = Bench::start(loki::read_plan, "");
    let export = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
        "scopeLogs": [{"logRecords": [{"timeUnixNano": "1795175999000000001", "body": {"stringValue": "sold"}}]}],
    }]});
    let answer = bench.post("/otlp/v1/logs", &[JSON], export.to_string().as_bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    // The same with no record in it, as protobuf.
    assert_eq!(bench.post("/otlp/v1/logs", &[PROTOBUF], b"").await.status, 200);
    let wrong = bench.post("/otlp/v1/logs", &[JSON], b"[").await;
    assert_eq!((wrong.status, wrong.json()["code"].as_u64()), (400, Some(3)));
    assert_eq!(bench.messages(), ["sold"]);
    assert_eq!(field(&bench.taken()[0], "service"), "cart");
    bench.stop().await;
}

/// What `python-logging-loki` 0.3.1 sent for one call.
const PYTHON: &[u8] = br#"{"streams": [{"stream": {"application": "shop", "severity": "error", "logger": "shop", "service": "cart"}, "values": [["1795867476225381888", "hello \"\uacb0\uc81c\"\nsecond"]]}]}"#;

/// What `pino-loki` 3.0.0 sent for two, with one of their properties as a label.
const PINO: &[u8] = br#"{"streams":[{"stream":{"level":"error","hostname":"vm","application":"shop","service":"cart"},"values":[["1795867478046000000","{\"level\":50,\"time\":1795867478046,\"pid\":21995,\"service\":\"cart\",\"n\":7,\"msg\":\"hello\"}"]]},{"stream":{"level":"info","hostname":"vm","application":"shop"},"values":[["1795867478046000001","{\"level\":30,\"time\":1795867478046,\"pid\":21995,\"msg\":\"fine\"}"]]}]}"#;

#[tokio::test]
async fn loki_takes_what_real_libraries_send() {
    let bench = Bench::start(loki::read_plan, "");
    for body in [PYTHON, PINO] {
        assert_eq!(bench.post("/loki/api/v1/push", &[JSON], body).await.status, 204);
    }
    let taken = bench.taken();
    let of = |at: usize, names: &[&str]| names.iter().map(|name| field(&taken[at], name)).collect::<Vec<_>>();
    assert_eq!(of(0, &["message", "level", "service"]), ["hello \"결제\"\nsecond", "error", "cart"]);
    assert_eq!(of(1, &["level", "service", "hostname"]), ["error", "cart", "vm"]);
    assert!(
        of(1, &["message"])[0].contains("\"msg\":\"hello\""),
        "the steps of a pipeline read what is in it"
    );
    assert_eq!(of(2, &["level", "application", "service"]), ["info", "shop", ""]);
    let times: Vec<i64> = taken.iter().map(|record| record.timestamp.nanos()).collect();
    assert_eq!(times, [1_795_867_476_225_381_888, 1_795_867_478_046_000_000, 1_795_867_478_046_000_001]);
    bench.stop().await;
}

#[tokio::test]
async fn loki_refuses_a_wrong_request_as_a_whole() {
    let bench = Bench::start(loki::read_plan, "");
    let half = br#"{"streams":[{"stream":{},"values":[["1","good"]]},{"stream":{},"values":[[1]]}]}"#;
    let answer = bench.post("/loki/api/v1/push", &[JSON], half).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("expected entries such as"), "{}", answer.text());
    assert_eq!(bench.post("/loki/api/v1/push", &[PROTOBUF], b"\xff\xffno").await.status, 400);
    assert_eq!(bench.post("/loki/api/v1/query", &[JSON], PUSH).await.status, 404);
    assert_eq!(bench.ask("GET", "/ready", &[], b"").await.text(), "ready\n");
    assert!(bench.taken().is_empty());
}

/// Clients throw away what is answered with 400, and send again what is answered with 429 or 5xx.
#[tokio::test]
async fn loki_tells_what_may_be_sent_again() {
    let settings = "clients: {shop: {token: key, records_per_second: 1}}\nrequest_bytes_max: 64KiB";
    let bench = Bench::start(loki::read_plan, settings);
    let key = ("authorization", "Basic YW55OmtleQ==");
    assert_eq!(bench.post("/loki/api/v1/push", &[JSON], PUSH).await.status, 401);
    let entries = (0..200).map(|number| format!(r#"["{number}","x"]"#)).collect::<Vec<_>>().join(",");
    let many = format!(r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[{entries}]}}]}}"#);
    assert_eq!(bench.post("/loki/api/v1/push", &[JSON, key], many.as_bytes()).await.status, 204);
    let answer = bench.post("/loki/api/v1/push", &[JSON, key], PUSH).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    assert_eq!(bench.taken().len(), 200, "all of a request or nothing");
    bench.stop().await;
    let bench = Bench::start(loki::read_plan, "request_bytes_max: 64KiB");
    let long = vec![b' '; 65 << 10];
    let answer = bench.post("/loki/api/v1/push", &[JSON], &long).await;
    assert_eq!(answer.status, 413);
    assert!(!answer.head.contains("retry-after"), "{}", answer.head);
    *bench.fate.lock() = Fate::Undelivered;
    let answer = bench.post("/loki/api/v1/push", &[JSON], PUSH).await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    assert!(bench.taken().is_empty());
}

#[tokio::test]
async fn hec_takes_events_and_raw_text() {
    let bench = Bench::start(splunk_hec::read_plan, "clients: {web: {token: 11-22}}");
    let token = ("authorization", "Splunk 11-22");
    let answer = bench.ask("GET", "/services/collector/health/1.0", &[], b"").await;
    assert_eq!(answer.json()["code"], 17);
    let events = br#"{"event":"one"}{"event":{"msg":"two"}}"#;
    for path in ["/services/collector", "/services/collector/event", "/services/collector/event/1.0"] {
        let answer = bench.post(path, &[token], events).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"text": "Success", "code": 0})), "{path}");
    }
    let answer =
        bench.post("/services/collector/raw?host=h1&sourcetype=a%20b", &[token], b"three\nfour").await;
    assert_eq!(answer.status, 200);
    let taken = bench.taken();
    assert_eq!(taken.len(), 8);
    assert_eq!([field(&taken[6], "host"), field(&taken[6], "sourcetype")], ["h1", "a b"]);
    let answer = bench.post("/services/collector", &[token], br#"{"event":"a"}{"event":""}"#).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (400, Some(13)));
    assert_eq!(answer.json()["invalid-event-number"], 1);
    let answer = bench.post("/services/collector", &[], events).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (401, Some(2)));
    assert_eq!(bench.taken().len(), 8, "nothing of what was refused");
}

#[tokio::test]
async fn hec_acknowledges_what_it_has_given_ids_to() {
    let bench = Bench::start(splunk_hec::read_plan, "acknowledge: true");
    let event = br#"{"event":"one"}"#;
    let answer = bench.post("/services/collector", &[], event).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (400, Some(10)));
    let channel = ("x-splunk-request-channel", "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = bench.post("/services/collector", &[channel], event).await;
        ids.push(answer.json()["ackId"].as_u64().unwrap());
    }
    let first = ids[0];
    assert_eq!(ids[1], first + 1);
    // The one before the first may have been given out before a restart; then its event is durable.
    let asked = json!({"acks": [first - 1, first, first + 1, first + 2]}).to_string();
    let answer = bench.post("/services/collector/ack", &[channel], asked.as_bytes()).await;
    let told = |id: u64| answer.json()["acks"][id.to_string()].as_bool().unwrap();
    assert_eq!([first - 1, first, first + 1, first + 2].map(told), [true, true, true, false]);
    let answer = bench.post("/services/collector/ack?channel=other", &[], asked.as_bytes()).await;
    assert_eq!(answer.json()["acks"][first.to_string()], false);
    let answer = bench.post("/services/collector/raw?channel=other", &[], b"x").await;
    assert_eq!(answer.json()["ackId"], first);
    let long = format!("{}{asked}", " ".repeat(2 << 20));
    assert_eq!(bench.post("/services/collector/ack", &[channel], long.as_bytes()).await.status, 413);
}

#[tokio::test]
async fn firehose_is_answered_with_its_id_and_repeats_are_the_same() {
    let bench = Bench::start(firehose::read_plan, "clients: {aws: {token: key}}");
    let headers = [
        ("x-amz-firehose-request-id", "ed4acda5-034f-9f42-bba1-f29aea6d7d8f"),
        ("x-amz-firehose-access-key", "key"),
        ("x-amz-firehose-common-attributes", r#"{"commonAttributes":{"env":"prod"}}"#),
        JSON,
    ];
    let body =
        |time: u32| format!(r#"{{"requestId":"ed4","timestamp":{time},"records":[{{"data":"b25l"}}]}}"#);
    for time in [1, 2] {
        let answer = bench.post("/", &headers, body(time).as_bytes()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["requestId"], headers[0].1);
        assert!(answer.json()["timestamp"].as_u64().unwrap() > 1_600_000_000_000);
    }
    let taken = bench.taken();
    assert_eq!((taken[0].source, taken[0].range), (taken[1].source, taken[1].range));
    assert_eq!(field(&taken[0], "env"), "prod");
    let answer = bench.post("/", &headers, b"{}").await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["errorMessage"].as_str().unwrap().contains("records"));
    assert_eq!(bench.post("/", &headers[..1], body(1).as_bytes()).await.status, 401);
}
