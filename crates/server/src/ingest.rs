//! `/ingest`: records that applications push, as NDJSON.

use std::fmt::Write;
use std::io::Read;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use flate2::read::MultiGzDecoder;
use sawyer_codec::ndjson_in::{NdjsonHead, NdjsonReader, Sender};
use sawyer_input::PushHub;
use sawyer_model::{
    Batch, Error, ErrorKind, Outcome, SeqRange, SourceId, Stream, Timestamp, Value as ModelValue, names,
};
use sawyer_telemetry::Clock;
use serde_json::json;

use crate::error::ApiError;
use crate::random;

/// Longest body, before and after decompression.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;

/// Most lines of a body: a record takes some hundred bytes of memory, however short its line is.
const LINES_MAX: usize = 1 << 20;

/// A client that repeats a request under the same key repeats nothing in the store.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What the route needs.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) hub: PushHub,
    pub(crate) clock: Clock,
}

pub(crate) async fn ingest(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let body = decompress(&headers, body.map_err(|error| unread(&error))?)?;
    if body.iter().filter(|byte| **byte == b'\n').count() > LINES_MAX {
        let message = format!("body: more than {LINES_MAX} lines");
        return Err(ApiError::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let Taken { batch, items, accepted, rejected } =
        take(&body, source(&headers, &body)?, receiver.clock.now());
    if accepted > 0 && receiver.hub.push(batch).await? == Outcome::Undelivered {
        let error = Error::new(ErrorKind::Retry, "the records could not be made durable; send them again");
        return Err(error.into());
    }
    let answer = format!(r#"{{"accepted":{accepted},"rejected":{rejected},"items":[{items}]}}"#);
    Ok(([(header::CONTENT_TYPE, "application/json")], answer))
}

/// What came of a body.
struct Taken {
    batch: Batch,
    /// One for each line, as JSON, with commas between.
    items: String,
    accepted: usize,
    rejected: usize,
}

fn take(body: &[u8], source: SourceId, observed: Timestamp) -> Taken {
    let mut taken = Taken { batch: Batch::new(), items: String::new(), accepted: 0, rejected: 0 };
    let stream = taken.batch.add_stream(&Arc::new(Stream::new([(names::SOURCE, ModelValue::from("api"))])));
    let mut reader = NdjsonReader::default();
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let at = at as u64;
        let range = SeqRange::new(at, at + 1);
        let head = NdjsonHead { source, range, observed, stream, sender: Sender::Client };
        if !taken.items.is_empty() {
            taken.items.push(',');
        }
        // Writing to a string cannot fail.
        let _ = match reader.read(line, &head, &mut taken.batch) {
            Ok(()) => {
                taken.accepted += 1;
                write!(taken.items, r#"{{"line":{},"status":"stored"}}"#, at + 1)
            }
            Err(error) => {
                taken.rejected += 1;
                let item = json!({"line": at + 1, "status": "rejected", "error": error.to_string()});
                write!(taken.items, "{item}")
            }
        };
    }
    taken
}

/// The body did not come whole, or is too long.
fn unread(error: &BytesRejection) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("body: longer than {BODY_BYTES_MAX} bytes");
        return ApiError::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    ApiError::invalid(format!("body: {error}"))
}

/// Lines are numbered within a request, or within what a client says is the same request. What is in it counts
/// as well: another body under a key that was used before is another request, and must not be taken for stored.
fn source(headers: &HeaderMap, body: &[u8]) -> Result<SourceId, ApiError> {
    if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
        return Ok(SourceId::of(&[b"ingest", key.as_bytes(), body]));
    }
    let random = random::bytes()
        .map_err(|error| ApiError::from(Error::new(ErrorKind::Bug, "read random numbers").because(error)))?;
    Ok(SourceId(u128::from_le_bytes(random)))
}

fn decompress(headers: &HeaderMap, body: Bytes) -> Result<Bytes, ApiError> {
    match headers.get(header::CONTENT_ENCODING).map(header::HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Ok(body),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let read = MultiGzDecoder::new(&body[..]).take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut plain);
            read.map_err(|error| ApiError::invalid(format!("body: decompress gzip: {error}")))?;
            if plain.len() > BODY_BYTES_MAX {
                let message = format!("body: longer than {BODY_BYTES_MAX} bytes after decompression");
                return Err(ApiError::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE));
            }
            Ok(plain.into())
        }
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            let message = format!("content-encoding: expected `gzip` or none, found `{other}`");
            Err(ApiError::invalid(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_small_body_cannot_become_a_huge_one() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..70 {
            encoder.write_all(&zeros).unwrap();
        }
        let headers: HeaderMap = [(header::CONTENT_ENCODING, "gzip".parse().unwrap())].into_iter().collect();
        let error = decompress(&headers, encoder.finish().unwrap().into()).unwrap_err();
        assert!(format!("{error:?}").contains("413"), "{error:?}");
    }

    #[test]
    fn a_key_stands_for_one_body() {
        let headers = |key: &'static str| {
            [(IDEMPOTENCY_KEY, key)]
                .map(|(name, key)| {
                    (header::HeaderName::from_static(name), header::HeaderValue::from_static(key))
                })
                .into_iter()
                .collect::<HeaderMap>()
        };
        let source = |key, body: &[u8]| source(&headers(key), body).unwrap();
        assert_eq!(source("a", b"{}"), source("a", b"{}"));
        assert_ne!(source("a", b"{}"), source("a", b"{ }"));
        assert_ne!(source("a", b"{}"), source("b", b"{}"));
    }

    #[test]
    fn an_unknown_encoding_is_named() {
        let headers: HeaderMap = [(header::CONTENT_ENCODING, "br".parse().unwrap())].into_iter().collect();
        let error = decompress(&headers, Bytes::new()).unwrap_err();
        assert!(format!("{error:?}").contains("found `br`"), "{error:?}");
    }
}
