mod elasticsearch;
mod opentelemetry;
mod others;

use std::io::Write;
use std::time::Instant;

use super::bench::{Bench, Fate, field};
use super::{otlp, posted};

fn log(message: &str) -> String {
    format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"{message}"}}}}]}}]}}]}}"#
    )
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn otlp_is_answered_once_its_records_are_durable() {
    let bench = Bench::start(otlp::read, "");
    let answer = bench.post("/v1/logs", &[JSON], log("hi").as_bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    let answer = bench.post("/v1/logs", &[("content-type", "application/x-protobuf")], b"").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "no records are taken at once");
    *bench.fate.lock() = Fate::Undelivered;
    let answer = bench.post("/v1/logs", &[JSON], log("lost").as_bytes()).await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    assert_eq!(answer.json()["code"], 14);
    assert_eq!(bench.messages(), ["hi"]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(log("packed").as_bytes()).unwrap();
    *bench.fate.lock() = Fate::Durable;
    let answer = bench.post("/v1/logs", &[JSON, ("content-encoding", "gzip")], &gzip.finish().unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(bench.messages(), ["hi", "packed"]);
    bench.stop().await;
}

#[tokio::test]
async fn what_is_no_otlp_request_is_told() {
    let bench = Bench::start(otlp::read, "request_bytes_max: 2KiB");
    let text = ("content-type", "text/plain");
    let long = "x".repeat(3000);
    for (method, path, header, body, status) in [
        ("POST", "/v1/traces", JSON, "{}", 404),
        ("GET", "/v1/logs", JSON, "{}", 405),
        ("POST", "/v1/logs", text, "{}", 415),
        ("POST", "/v1/logs", JSON, "{", 400),
        ("POST", "/v1/logs", JSON, long.as_str(), 413),
    ] {
        let answer = bench.ask(method, path, &[header], body.as_bytes()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert!(!answer.head.contains("retry-after"), "{}", answer.head);
        assert!(!answer.body.is_empty());
    }
    assert!(bench.taken().is_empty());
}

#[tokio::test]
async fn full_pipelines_are_told_and_memory_is_bounded() {
    let bench = Bench::start(posted::read_plan, "wait_max: 100ms\nanswer_max: 1s");
    *bench.fate.lock() = Fate::Waits;
    let body = "x".repeat(600_000);
    let first = bench.post("/", &[], body.as_bytes()).await;
    assert_eq!(first.json()["error"]["kind"], "undelivered", "it is taken on and never becomes durable");
    let second = bench.post("/", &[], body.as_bytes()).await;
    assert_eq!((second.status, second.json()["error"]["kind"].as_str()), (503, Some("full")));
    assert!(second.head.contains("retry-after: 1"), "{}", second.head);
}

const CLIENTS: &str = "clients:
  shop: {token: s3cret, namespaces: [shop], records_per_second: 2}
  other: {token: t2, namespaces: [other]}
";

#[tokio::test]
async fn tokens_tell_who_speaks() {
    let bench = Bench::start(posted::read_plan, CLIENTS);
    let body = br#"{"msg":"a","namespace":"kube-system"}"#;
    assert_eq!(bench.post("/", &[], body).await.status, 401);
    assert_eq!(bench.post("/", &[("authorization", "Bearer wrong")], body).await.status, 401);
    let basic = ("authorization", "Basic YW55Ym9keTpzM2NyZXQ=");
    assert_eq!(bench.post("/", &[basic], body).await.status, 200);
    let taken = bench.taken();
    let said = ["namespace", "body.namespace", "sawyer.client", "source"].map(|name| field(&taken[0], name));
    assert_eq!(said, ["shop", "kube-system", "shop", "http:in"]);
    let numbers = bench.metrics.text();
    assert!(numbers.contains("sawyer_receiver_foreign_namespace_records_total{input=\"in\"} 1"), "{numbers}");
}

#[tokio::test]
async fn what_comes_through_a_proxy_or_a_browser_is_not_from_this_machine() {
    let bench = Bench::start(posted::read_plan, "");
    assert_eq!(bench.post("/", &[], b"x").await.status, 200);
    for header in [("x-forwarded-for", "10.0.0.7"), ("origin", "https://example.com"), ("via", "1.1 proxy")] {
        assert_eq!(bench.post("/", &[header], b"x").await.status, 403, "{header:?}");
    }
    let open = Bench::start(posted::read_plan, "allow_unauthenticated: true");
    assert_eq!(open.post("/", &[("x-forwarded-for", "10.0.0.7")], b"x").await.status, 200);
}

#[tokio::test]
async fn who_sends_too_much_waits_and_others_do_not() {
    let bench = Bench::start(posted::read_plan, CLIENTS);
    let (shop, other) = (("authorization", "Bearer s3cret"), ("authorization", "Bearer t2"));
    let lines = "line\n".repeat(10);
    assert_eq!(bench.post("/", &[shop], lines.as_bytes()).await.status, 200);
    let start = Instant::now();
    let refused = bench.post("/", &[shop], lines.as_bytes()).await;
    assert_eq!(refused.status, 429);
    let after = refused.head.split("retry-after: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let after: u64 = after.parse().unwrap();
    assert!((1..=4).contains(&(after + start.elapsed().as_secs())), "{after} s");
    assert_eq!(bench.post("/", &[other], lines.as_bytes()).await.status, 200);
    assert_eq!(bench.taken().len(), 20);
    let numbers = bench.metrics.text();
    let counted = "sawyer_receiver_requests_total{input=\"in\",client=\"shop\",outcome=\"rate\"} 1";
    assert!(numbers.contains(counted), "{numbers}");
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let bench = Bench::start(posted::read_plan, "");
    for (key, body) in [("a", "one"), ("a", "one"), ("a", "two"), ("b", "one")] {
        assert_eq!(bench.post("/", &[("idempotency-key", key)], body.as_bytes()).await.status, 200);
    }
    let sources: Vec<_> = bench.taken().iter().map(|record| record.source).collect();
    assert_eq!(sources[0], sources[1]);
    assert!(sources[0] != sources[2] && sources[0] != sources[3] && sources[2] != sources[3]);
}

#[tokio::test]
async fn what_is_no_json_is_kept_and_counted() {
    let bench = Bench::start(posted::read_plan, "");
    let answer = bench.post("/", &[JSON], b"{\"msg\":\"a\"}\nnot json\n").await;
    assert_eq!(answer.json(), serde_json::json!({"accepted": 2, "malformed": 1}));
    assert_eq!(bench.messages(), ["a", "not json"]);
    assert_eq!(bench.post("/", &[], b"").await.status, 400);
}

#[tokio::test]
async fn who_is_slow_does_not_hold_up_a_stop() {
    let bench = Bench::start(posted::read_plan, "");
    let mut slow = std::net::TcpStream::connect(bench.address).unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
    let idle = std::net::TcpStream::connect(bench.address).unwrap();
    assert_eq!(bench.post("/", &[], b"whole").await.status, 200, "both are there by now");
    let start = Instant::now();
    bench.stop().await;
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut slow, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    drop(idle);
}
