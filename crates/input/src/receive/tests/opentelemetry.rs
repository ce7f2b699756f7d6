//! What OpenTelemetry's senders are told, over HTTP and over gRPC: success in part, and what may be sent again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sawyer_codec::protobuf::write_bytes;
use sawyer_model::limits::VALUE_BYTES_MAX;

use super::{JSON, log};
use crate::receive::bench::{Bench, Fate};
use crate::receive::otlp;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn field(number: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    write_bytes(number, bytes.as_ref(), &mut out);
    out
}

/// A request with a record for each of these bodies.
fn export(bodies: &[&[u8]]) -> Vec<u8> {
    let records: Vec<u8> = bodies.iter().flat_map(|body| field(2, field(5, field(1, body)))).collect();
    field(1, field(2, records))
}

/// What was said over gRPC: the headers, the message without its frame, the trailers.
struct Said {
    headers: HeaderMap,
    message: Vec<u8>,
    trailers: HeaderMap,
}

async fn call(bench: &Bench, headers: &[(&str, &str)], message: &[u8]) -> Said {
    let stream = tokio::net::TcpStream::connect(bench.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
    let mut request = Request::post(format!("http://localhost{EXPORT}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(frame))).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200, "whatever it says");
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let message = body.to_bytes().get(5..).unwrap_or_default().to_vec();
    Said { headers, message, trailers }
}

#[tokio::test]
async fn success_in_part_is_success() {
    let bench = Bench::start(otlp::read, "request_bytes_max: 64MiB");
    let long = vec![b'x'; VALUE_BYTES_MAX + 1];
    let request = export(&[b"a", &long, b"b"]);
    let answer = bench.post("/v1/logs", &[PROTOBUF], &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // `partial_success` with `rejected_log_records: 1` and a message.
    assert_eq!((answer.body[0], &answer.body[2..4]), (0x0a, &b"\x08\x01"[..]));
    assert!(answer.text().contains("record 1 of the request"), "{}", answer.text());
    let said = call(&bench, &[], &request).await;
    assert_eq!(said.trailers["grpc-status"], "0");
    assert_eq!(said.message, answer.body, "the same over both");
    let said = call(&bench, &[], &export(&[b"c"])).await;
    assert_eq!((said.message.len(), &said.trailers["grpc-status"]), (0, &"0".parse().unwrap()));
    assert_eq!(bench.messages(), ["a", "b", "a", "b", "c"]);
    let counted = r#"sawyer_receiver_rejected_records_total{input="in",reason="too_long"} 2"#;
    assert!(bench.metrics.text().contains(counted), "{}", bench.metrics.text());
    bench.stop().await;
}

#[tokio::test]
async fn what_passes_may_be_sent_again_and_nothing_else() {
    let settings = "clients: {shop: {token: key, records_per_second: 1}}";
    let bench = Bench::start(otlp::read, settings);
    let key = ("authorization", "Bearer key");
    assert_eq!(bench.post("/v1/logs", &[JSON], log("a").as_bytes()).await.status, 401);
    let said = call(&bench, &[], &export(&[b"a"])).await;
    assert_eq!(said.headers["grpc-status"], "16");
    assert!(!said.headers.contains_key("grpc-status-details-bin"), "nothing changes by waiting");
    let many: Vec<&[u8]> = vec![b"x"; 200];
    let said = call(&bench, &[key], &export(&many)).await;
    assert_eq!(said.trailers["grpc-status"], "0");
    // Now it has sent more than its share: 429 over HTTP, UNAVAILABLE with `RetryInfo` over gRPC.
    let answer = bench.post("/v1/logs", &[JSON, key], log("b").as_bytes()).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (429, Some(14)));
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    let said = call(&bench, &[key], &export(&[b"b"])).await;
    assert_eq!(said.headers["grpc-status"], "14");
    let details = STANDARD_NO_PAD.decode(&said.headers["grpc-status-details-bin"]).unwrap();
    assert!(String::from_utf8_lossy(&details).contains("type.googleapis.com/google.rpc.RetryInfo"));
    assert_eq!(bench.taken().len(), 200);
    bench.stop().await;
}

#[tokio::test]
async fn what_did_not_become_durable_is_unavailable() {
    let bench = Bench::start(otlp::read, "");
    *bench.fate.lock() = Fate::Undelivered;
    let said = call(&bench, &[], &export(&[b"a"])).await;
    assert_eq!(said.headers["grpc-status"], "14");
    assert!(said.headers.contains_key("grpc-status-details-bin"));
    let said = call(&bench, &[], b"\xff\xff").await;
    assert_eq!(said.headers["grpc-status"], "3");
    assert!(!said.headers.contains_key("grpc-status-details-bin"));
    bench.stop().await;
}
