//! The input `otlp`: log records of OpenTelemetry, over HTTP and gRPC.
//!
//! Source: the OTLP specification 1.9 ("OTLP/HTTP", "OTLP/gRPC", failures and throttling), gRPC over HTTP/2.
//! Owns: paths, media types, the answers of both transports. Does not own: what is in a request (`codec::otlp`).
//! Invariant: a request whose records are durable is answered with success, also if some were not taken, and then says how
//! many (partial success); only what may be sent again is answered with a code that senders repeat.
//!
//! Both transports are served on every address: senders say in a request's head which they speak.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response};
use sawyer_codec::otlp::{OtlpError, Rejected, answer_json, answer_protobuf, read_json, read_protobuf};
use sawyer_codec::protobuf::{write_bytes, write_number};
use sawyer_config::{At, Problems, Settings as _, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_pipeline::{InputPlan, Kind};

use super::body::{self, Held};
use super::desk::Desk;
use super::plan::{self, WebPlan};
use super::trouble::{Reason, Trouble};
use super::web::{self, Answer, Body, Protocol};

settings! {
    /// Takes log records of OpenTelemetry's SDKs and collectors, over HTTP (`/v1/logs`, protobuf and JSON) and gRPC.
    pub struct OtlpSettings {
        /// Addresses to listen on. Each takes HTTP and gRPC alike; 4318 is where senders look for HTTP, 4317 for gRPC.
        pub listen: Vec<SocketAddr> =
            vec![SocketAddr::from(([0, 0, 0, 0], 4318)), SocketAddr::from(([0, 0, 0, 0], 4317))],
        /// Encryption. By default there is none.
        pub tls: Option<ListenTlsSettings>,
    }
}

const PATH: &str = "/v1/logs";
const GRPC_PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Bytes before a message of gRPC: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

/// The kind `otlp`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "otlp",
        reference: || plan::reference(OtlpSettings::reference()),
        read: Box::new(|at, problems| read(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

/// Reads and checks the settings.
pub(super) fn read(at: &At<'_>, problems: &mut Problems) -> Option<WebPlan> {
    let (OtlpSettings { listen, tls }, common) = plan::read(at, problems)?;
    Some(WebPlan { kind: "otlp", listen, tls, common, protocol: Box::new(Otlp) })
}

#[derive(Debug)]
struct Otlp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Protocol for Otlp {
    fn answer<'a>(&'a self, request: Request<Incoming>, from: IpAddr, desk: &'a Desk) -> Answer<'a> {
        Box::pin(async move {
            if web::media_type(request.headers()).starts_with("application/grpc") {
                return grpc(request, from, desk).await;
            }
            answer(request, from, desk, PATH).await
        })
    }
}

/// Answers a request over HTTP; log records are taken at this path.
pub(super) async fn answer(
    request: Request<Incoming>,
    from: IpAddr,
    desk: &Desk,
    path: &str,
) -> Response<Body> {
    let encoding = match web::media_type(request.headers()).as_str() {
        JSON => Encoding::Json,
        _ => Encoding::Protobuf,
    };
    match http(request, from, desk, (encoding, path)).await {
        Ok(rejected) => match encoding {
            Encoding::Protobuf => web::answer(200, PROTOBUF, answer_protobuf(&rejected)),
            Encoding::Json => web::answer(200, JSON, answer_json(&rejected)),
        },
        Err(trouble) => refuse(&trouble, encoding),
    }
}

async fn http(
    request: Request<Incoming>,
    from: IpAddr,
    desk: &Desk,
    (encoding, path): (Encoding, &str),
) -> Result<Rejected, Trouble> {
    let (head, body) = request.into_parts();
    if head.uri.path().trim_end_matches('/') != path {
        return Err(Trouble::new(Reason::NotFound, format!("only log records are taken here, at {path}")));
    }
    if head.method != Method::POST {
        return Err(Trouble::new(Reason::Method, "expected POST"));
    }
    if !matches!(web::media_type(&head.headers).as_str(), PROTOBUF | JSON | "application/protobuf") {
        let message = format!("content-type: expected `{PROTOBUF}` or `{JSON}`");
        return Err(Trouble::new(Reason::Unsupported, message));
    }
    let held = (&head.headers, body);
    take(desk, &head.headers, from, encoding, body::read_decoded(desk, held.0, held.1)).await
}

/// Lets the client in, and then has the body read.
async fn take(
    desk: &Desk,
    headers: &HeaderMap,
    from: IpAddr,
    encoding: Encoding,
    body: impl Future<Output = Result<Held, Trouble>>,
) -> Result<Rejected, Trouble> {
    let tokens = web::tokens(headers);
    let shown: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let client = desk.admit(Some(from), &shown).await?;
    let Held { bytes, length, room } = body.await.inspect_err(|trouble| {
        desk.meters.refused(client.name(), trouble.reason);
    })?;
    let decode = move |intake: &mut _| match encoding {
        Encoding::Protobuf => read_protobuf(&bytes, intake).map_err(told),
        Encoding::Json => read_json(&bytes, intake).map_err(told),
    };
    let rejected = desk.take(&client, None, (length, room), decode).await?;
    desk.meters.rejected(rejected.count, "too_long");
    Ok(rejected)
}

fn told(error: OtlpError) -> Trouble {
    match error {
        OtlpError::Full(refused) => refused.into(),
        error => Trouble::invalid(&error),
    }
}

/// The answer over HTTP to a request that was not taken: a `google.rpc.Status`.
fn refuse(trouble: &Trouble, encoding: Encoding) -> Response<Body> {
    let code = grpc_code(trouble.reason);
    match encoding {
        Encoding::Protobuf => {
            let mut status = Vec::new();
            write_number(1, code, &mut status);
            write_bytes(2, trouble.message.as_bytes(), &mut status);
            web::trouble(trouble, PROTOBUF, status)
        }
        Encoding::Json => {
            let body = serde_json::json!({"code": code, "message": trouble.message});
            web::trouble(trouble, JSON, body.to_string())
        }
    }
}

/// The code of gRPC. Of those that senders repeat, `UNAVAILABLE` is repeated by all.
fn grpc_code(reason: Reason) -> u64 {
    match reason {
        Reason::TokenMissing | Reason::TokenUnknown => 16,
        Reason::Elsewhere => 7,
        Reason::Invalid | Reason::TooLarge | Reason::Unsupported => 3,
        Reason::NotFound | Reason::Method => 12,
        Reason::Slow | Reason::Rate | Reason::Full | Reason::Undelivered | Reason::Closed => 14,
        Reason::Bug => 13,
    }
}

async fn grpc(request: Request<Incoming>, from: IpAddr, desk: &Desk) -> Response<Body> {
    match grpc_export(request, from, desk).await {
        Ok(rejected) => {
            let message = answer_protobuf(&rejected);
            let mut frame = vec![0];
            frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
            frame.extend_from_slice(&message);
            let mut trailers = HeaderMap::new();
            trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
            let body = Full::new(Bytes::from(frame)).with_trailers(async { Some(Ok(trailers)) });
            grpc_response(body.boxed_unsync())
        }
        Err(trouble) => {
            let mut response = grpc_response(Full::default().boxed_unsync());
            let code = grpc_code(trouble.reason);
            response.headers_mut().insert(GRPC_STATUS, HeaderValue::from(code));
            if let Ok(message) = HeaderValue::from_str(&percent(&trouble.message)) {
                response.headers_mut().insert(GRPC_MESSAGE, message);
            }
            if let Some(details) = retry_details(&trouble, code) {
                response.headers_mut().insert(GRPC_DETAILS, details);
            }
            response
        }
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ENCODING: &str = "grpc-encoding";

fn grpc_response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip,deflate,zstd"));
    response
}

async fn grpc_export(request: Request<Incoming>, from: IpAddr, desk: &Desk) -> Result<Rejected, Trouble> {
    let (head, body) = request.into_parts();
    if head.uri.path() != GRPC_PATH {
        return Err(Trouble::new(Reason::NotFound, "only log records are taken here: LogsService/Export"));
    }
    let encoding = head.headers.get(GRPC_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let message = async {
        let held = body::read(desk, body).await?;
        unframe(desk, held, encoding).await
    };
    take(desk, &head.headers, from, Encoding::Protobuf, message).await
}

/// Takes the one message of a call out of its frame.
async fn unframe(desk: &Desk, mut held: Held, encoding: &str) -> Result<Held, Trouble> {
    let wrong = || Trouble::new(Reason::Invalid, "expected one message with its length before it");
    if held.bytes.len() < FRAME_BYTES {
        return Err(wrong());
    }
    let frame = held.bytes.split_to(FRAME_BYTES);
    let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
    if held.bytes.len() != length as usize {
        return Err(wrong());
    }
    match frame[0] {
        0 => Ok(held),
        1 => body::decompress(desk, held, encoding).await,
        _ => Err(wrong()),
    }
}

/// `google.rpc.RetryInfo` within a `google.rpc.Status`: after which time the sender should come back.
fn retry_details(trouble: &Trouble, code: u64) -> Option<HeaderValue> {
    let after = trouble.retry_after?;
    let (mut duration, mut info, mut any, mut status) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    write_number(1, after.as_secs(), &mut duration);
    write_number(2, after.subsec_nanos().into(), &mut duration);
    write_bytes(1, &duration, &mut info);
    write_bytes(1, b"type.googleapis.com/google.rpc.RetryInfo", &mut any);
    write_bytes(2, &info, &mut any);
    write_number(1, code, &mut status);
    write_bytes(2, trouble.message.as_bytes(), &mut status);
    write_bytes(3, &any, &mut status);
    HeaderValue::from_str(&STANDARD_NO_PAD.encode(status)).ok()
}

/// A message as it may stand in `grpc-message`.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
