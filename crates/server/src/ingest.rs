//! `/ingest`: records that applications push, as NDJSON.

use std::io::Read;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::MultiGzDecoder;
use sawyer_codec::ndjson_in;
use sawyer_input::PushedBatch;
use sawyer_model::{Error, ErrorKind, Outcome};
use serde_json::{Value, json};

use crate::Api;
use crate::error::ApiError;

/// Longest body, before and after decompression.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;

/// A client that repeats a request under the same key repeats nothing in the store.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(crate) async fn ingest(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let body = decompress(&headers, body)?;
    let observed = api.clock.now();
    let key = headers.get(IDEMPOTENCY_KEY).map(header::HeaderValue::as_bytes);
    let mut pushed = match key {
        Some(key) => PushedBatch::with_key(key),
        None => PushedBatch::new(),
    };
    let mut items = Vec::new();
    let mut accepted = 0;
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let number = at as u64 + 1;
        match ndjson_in::read(line, &pushed.head(number, observed), pushed.batch_mut()) {
            Ok(()) => {
                accepted += 1;
                items.push(json!({"line": number, "status": "stored"}));
            }
            Err(error) => {
                items.push(json!({"line": number, "status": "rejected", "error": error.to_string()}));
            }
        }
    }
    if accepted > 0 {
        let outcome = api.hub.push(pushed).await?;
        if outcome == Outcome::Undelivered {
            let stopping = Error::new(ErrorKind::Retry, "the records could not be made durable; send them again");
            return Err(stopping.into());
        }
    }
    let rejected = items.len() - accepted;
    Ok(Json(json!({"accepted": accepted, "rejected": rejected, "items": items})))
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
    fn an_unknown_encoding_is_named() {
        let headers: HeaderMap = [(header::CONTENT_ENCODING, "br".parse().unwrap())].into_iter().collect();
        let error = decompress(&headers, Bytes::new()).unwrap_err();
        assert!(format!("{error:?}").contains("found `br`"), "{error:?}");
    }
}
