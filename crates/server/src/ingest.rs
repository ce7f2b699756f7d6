//! `/ingest`: records that applications push, as NDJSON.

use std::fmt::Write;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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

/// Room is made for records as if lines had so many bytes at least.
const LINE_BYTES_MIN: usize = 64;

/// The same for fields.
const FIELD_BYTES_MIN: usize = 8;

/// Readers that are kept for the next requests, with what they know of how lines are written.
const READERS_MAX: usize = 8;

/// A client that repeats a request under the same key repeats nothing in the store.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What the route needs.
#[derive(Clone)]
pub(crate) struct Receiver {
    hub: PushHub,
    clock: Clock,
    shared: Arc<Shared>,
    readers: Arc<Mutex<Vec<Reader>>>,
}

/// The sequence of all records that come without a key: one for as long as the process runs, because whoever stores
/// records remembers its sources.
#[derive(Debug, Default)]
struct Shared {
    source: OnceLock<SourceId>,
    numbers: AtomicU64,
}

/// What reads one request after another.
#[derive(Debug, Default)]
struct Reader {
    lines: NdjsonReader,
    /// How many fields a hundred records had the last time.
    fields_percent: usize,
}

/// Where the records of a request lie.
#[derive(Debug)]
enum Sequence<'a> {
    /// By line in a source of the request's own: the same request again has the same records.
    Own(SourceId),
    /// Behind one another in a source that all share.
    Shared(SourceId, &'a AtomicU64),
}

impl Receiver {
    pub(crate) fn new(hub: PushHub, clock: Clock) -> Self {
        Self { hub, clock, shared: Arc::default(), readers: Arc::default() }
    }

    /// Reads a body of so many lines.
    fn take(&self, body: &[u8], line_count: usize, sequence: &Sequence<'_>) -> Taken {
        // A lock that was poisoned guards nothing that can be half done.
        let readers = || self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = readers().pop().unwrap_or_default();
        let taken = take(body, line_count, sequence, self.clock.now(), &mut reader);
        let mut readers = readers();
        if readers.len() < READERS_MAX {
            readers.push(reader);
        }
        taken
    }
}

pub(crate) async fn ingest(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let body = decompress(&headers, body.map_err(|error| unread(&error))?)?;
    let line_count = memchr::memchr_iter(b'\n', &body).count();
    if line_count > LINES_MAX {
        let message = format!("body: more than {LINES_MAX} lines");
        return Err(ApiError::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let sequence = sequence(&headers, &body, &receiver.shared)?;
    let Taken { batch, items, accepted, rejected } = receiver.take(&body, line_count, &sequence);
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

impl Taken {
    /// Says of a line that it is stored.
    fn put_stored(&mut self, line: u64) {
        self.items.push_str(r#"{"line":"#);
        self.items.push_str(itoa::Buffer::new().format(line));
        self.items.push_str(r#","status":"stored"}"#);
    }
}

fn take(
    body: &[u8],
    line_count: usize,
    sequence: &Sequence<'_>,
    observed: Timestamp,
    reader: &mut Reader,
) -> Taken {
    // What is said of a line.
    const ITEM_BYTES: usize = 36;
    let items = String::with_capacity(line_count * ITEM_BYTES);
    let mut taken = Taken { batch: Batch::new(), items, accepted: 0, rejected: 0 };
    // All lines, and a little for those that are not taken as they are.
    taken.batch.reserve_text(body.len() + body.len() / 32);
    // Empty lines are no records: they take no more room than what they are written in.
    let record_count = (line_count + 1).min(body.len() / LINE_BYTES_MIN + 1);
    let fields = record_count * reader.fields_percent / 100;
    taken.batch.reserve_records(record_count, (fields + fields / 64).min(body.len() / FIELD_BYTES_MIN));
    let stream = taken.batch.add_stream(&Arc::new(Stream::new([(names::SOURCE, ModelValue::from("api"))])));
    // A number that a rejected line has not used. Numbers without holes are one range to whoever remembers them.
    let mut unused = None;
    for (at, line) in lines(body).enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let at = at as u64;
        let (source, number) = match sequence {
            Sequence::Own(source) => (*source, at),
            Sequence::Shared(source, numbers) => {
                (*source, *unused.get_or_insert_with(|| numbers.fetch_add(1, Ordering::Relaxed)))
            }
        };
        let range = SeqRange::new(number, number + 1);
        let head = NdjsonHead { source, range, observed, stream, sender: Sender::Client };
        if !taken.items.is_empty() {
            taken.items.push(',');
        }
        match reader.lines.read(line, &head, &mut taken.batch) {
            Ok(()) => {
                taken.accepted += 1;
                unused = None;
                taken.put_stored(at + 1);
            }
            Err(error) => {
                taken.rejected += 1;
                let item = json!({"line": at + 1, "status": "rejected", "error": error.to_string()});
                // Writing to a string cannot fail.
                let _ = write!(taken.items, "{item}");
            }
        }
    }
    reader.fields_percent = taken.batch.field_count() * 100 / taken.accepted.max(1);
    taken
}

/// The lines of a body, as `split` has them.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', body).chain([body.len()]);
    ends.map(move |end| {
        let line = &body[start..end];
        start = end + 1;
        line
    })
}

/// The body did not come whole, or is too long.
fn unread(error: &BytesRejection) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("body: longer than {BODY_BYTES_MAX} bytes");
        return ApiError::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    ApiError::invalid(format!("body: {error}"))
}

/// Lines are numbered within what a client says is the same request; without a key, among all that come. What is in the
/// request counts as well: another body under a key that was used before is another request, and must not be taken for
/// stored.
fn sequence<'a>(headers: &HeaderMap, body: &[u8], shared: &'a Shared) -> Result<Sequence<'a>, ApiError> {
    if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
        return Ok(Sequence::Own(SourceId::of(&[b"ingest", key.as_bytes(), body])));
    }
    let source = match shared.source.get() {
        Some(source) => *source,
        None => {
            let random = random::bytes().map_err(|error| {
                ApiError::from(Error::new(ErrorKind::Bug, "read random numbers").because(error))
            })?;
            *shared.source.get_or_init(|| SourceId(u128::from_le_bytes(random)))
        }
    };
    Ok(Sequence::Shared(source, &shared.numbers))
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

    use sawyer_model::RangeSet;

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
        let shared = Shared::default();
        let source = |key, body: &[u8]| match sequence(&headers(key), body, &shared).unwrap() {
            Sequence::Own(source) => source,
            Sequence::Shared(..) => panic!("it has a key"),
        };
        assert_eq!(source("a", b"{}"), source("a", b"{}"));
        assert_ne!(source("a", b"{}"), source("a", b"{ }"));
        assert_ne!(source("a", b"{}"), source("b", b"{}"));
    }

    #[test]
    fn requests_without_a_key_are_one_sequence_without_holes() {
        let shared = Shared::default();
        let mut covered = std::collections::BTreeMap::<SourceId, RangeSet>::new();
        for _ in 0..3 {
            let body = b"{\"message\":\"a\"}\nno json\n{\"message\":\"a\"}\n";
            let taken = take(
                body,
                1,
                &sequence(&HeaderMap::new(), body, &shared).unwrap(),
                Timestamp::EPOCH,
                &mut Reader::default(),
            );
            assert_eq!((taken.accepted, taken.rejected), (2, 1));
            for record in taken.batch.iter() {
                assert_eq!(covered.entry(record.source()).or_default().insert(record.range()), 1);
            }
        }
        let ranges: Vec<Vec<SeqRange>> = covered.values().map(|ranges| ranges.iter().collect()).collect();
        assert_eq!(ranges, [[SeqRange::new(0, 6)]]);
        let key = [(header::HeaderName::from_static(IDEMPOTENCY_KEY), "a".parse().unwrap())];
        let headers: HeaderMap = key.into_iter().collect();
        let sequence = sequence(&headers, b"no\n{}", &shared).unwrap();
        let taken = take(b"no\n{}", 1, &sequence, Timestamp::EPOCH, &mut Reader::default());
        assert_eq!(taken.batch.get(0).range(), SeqRange::new(1, 2), "by line");
    }

    #[test]
    fn an_unknown_encoding_is_named() {
        let headers: HeaderMap = [(header::CONTENT_ENCODING, "br".parse().unwrap())].into_iter().collect();
        let error = decompress(&headers, Bytes::new()).unwrap_err();
        assert!(format!("{error:?}").contains("found `br`"), "{error:?}");
    }
}
