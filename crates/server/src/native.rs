//! `/native`: batches that other Sawyers send; `/native/checkpoint`: their questions what of them is there.
//!
//! Owns: the body of a request and of its answer (`docs/FORMATS.md`), how much memory requests hold together.
//! Does not own: batches (`segment`), who may send and where batches go (`input`).
//! Invariant: a batch is called durable only after it is. What a request claims is compared with what there is room for
//! before memory is taken for it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::HeaderName;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use sawyer_input::native::{NativeHub, Refusal};
use sawyer_model::{Batch, Error, ErrorKind, Outcome, Timestamp};
use sawyer_segment::{BATCH_VERSION, batch_memory, decode_batch_shared};
use sawyer_telemetry::{Answer, Clock, Question};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::error::ApiError;

/// What a body is. Another version has another number.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.sawyer.batches; version=1";

/// What a question and an answer are.
pub(crate) const CHECKPOINT_MEDIA_TYPE: &str = "application/vnd.sawyer.checkpoint; version=1";

/// Longest question; an output asks for less than a quarter of it at once.
const QUESTION_BYTES_MAX: usize = 4 << 20;

/// Longest body. A batch has a few megabytes; one with a few of the longest values has more.
const BODY_BYTES_MAX: usize = 128 << 20;

/// Bytes of bodies that are being read or decoded, of all requests together. Further requests wait.
const BODIES_BYTES_MAX: usize = 192 << 20;

/// Bytes of batches that were decoded and are not handed on, of all requests together. A batch that is larger by itself
/// is refused.
const BATCHES_BYTES_MAX: usize = 1 << 30;

/// Bytes that one permit stands for.
const PERMIT_BYTES: usize = 1024;

/// Longest time that a body may take to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// Longest wait for room of either kind before the sender is told to come back.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Batches of one request.
const BATCHES_MAX: usize = 10_000;

/// What the route needs.
#[derive(Clone)]
pub(crate) struct NativeReceiver {
    hub: NativeHub,
    clock: Clock,
    bodies: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

impl NativeReceiver {
    pub(crate) fn new(hub: NativeHub, clock: Clock) -> Self {
        Self {
            hub,
            clock,
            bodies: Arc::new(Semaphore::new(BODIES_BYTES_MAX / PERMIT_BYTES)),
            batches: Arc::new(Semaphore::new(BATCHES_BYTES_MAX / PERMIT_BYTES)),
        }
    }
}

/// Whether whoever sends this may.
async fn admit(receiver: &NativeReceiver, parts: &Parts) -> Result<(), ApiError> {
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    receiver.hub.admit(from, token(&parts.headers)).await?.map_err(refused)
}

pub(crate) async fn checkpoint(
    State(receiver): State<NativeReceiver>,
    request: Request,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), ApiError> {
    let (parts, body) = request.into_parts();
    admit(&receiver, &parts).await?;
    check_media_type(&parts.headers, CHECKPOINT_MEDIA_TYPE)?;
    let (body, _room) = read(&receiver, &parts.headers, body, QUESTION_BYTES_MAX).await?;
    let question = Question::decode(&body, receiver.clock.now());
    let question = question.map_err(|error| ApiError::invalid(format!("body: {error}")))?;
    let answer = receiver.hub.ask(&question).await?;
    Ok(([(header::CONTENT_TYPE, CHECKPOINT_MEDIA_TYPE)], Answer::encode(answer.as_ref())))
}

pub(crate) async fn native(
    State(receiver): State<NativeReceiver>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let (parts, body) = request.into_parts();
    admit(&receiver, &parts).await?;
    check_media_type(&parts.headers, MEDIA_TYPE)?;
    let (body, room) = read(&receiver, &parts.headers, body, BODY_BYTES_MAX).await?;
    let mut under_way = JoinSet::new();
    for (at, bytes) in split(&body)?.into_iter().enumerate() {
        let (receiver, room) = (receiver.clone(), Arc::clone(&room));
        under_way.spawn(async move { (at, take(&receiver, bytes, room).await) });
    }
    drop((body, room));
    let mut results = vec![Value::Null; under_way.len()];
    while let Some(ended) = under_way.join_next().await {
        let (at, taken) =
            ended.map_err(|panic| Error::new(ErrorKind::Bug, "taking a batch panicked").because(panic))?;
        results[at] = match taken {
            Ok(()) => json!({"status": "durable"}),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid) => {
                json!({"status": "refused", "error": error.chain()})
            }
            Err(error) => json!({"status": "retry", "error": error.chain()}),
        };
    }
    Ok(Json(json!({ "batches": results, "reads": BATCH_VERSION })))
}

/// Decodes a batch, hands it in, and waits until it is durable. `body` is the room of the body that it came in.
async fn take(receiver: &NativeReceiver, bytes: Bytes, body: Arc<OwnedSemaphorePermit>) -> Result<(), Error> {
    let memory = batch_memory(&bytes)?;
    if memory > BATCHES_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("a batch is too large: it would take {memory} bytes"),
        ));
    }
    let room = wait(acquire(&receiver.batches, memory)).await?;
    let (decoded, room) = in_room((body, room), move || decode_batch_shared(&bytes)).await?;
    let mut batch = decoded?;
    seen_by_now(&mut batch, receiver.clock.now());
    let pushed = receiver.hub.push(batch).await;
    drop(room);
    // Only what cannot be decoded is refused for good: an input that is gone may come back, and the sender still has all.
    let pushed = pushed.map_err(|error| Error::new(ErrorKind::Retry, "it was not taken").because(error))?;
    match pushed {
        Outcome::Durable => Ok(()),
        Outcome::Undelivered => Err(Error::new(ErrorKind::Retry, "it could not be made durable")),
    }
}

/// Makes something on another thread, which goes on if nobody waits for it any more; so what room it takes is given back with
/// what is made, and not before.
async fn in_room<R, T>(room: R, make: impl FnOnce() -> T + Send + 'static) -> Result<(T, R), Error>
where
    R: Send + 'static,
    T: Send + 'static,
{
    let made = tokio::task::spawn_blocking(move || (make(), room)).await;
    made.map_err(|panic| Error::new(ErrorKind::Bug, "decoding a batch panicked").because(panic))
}

/// Retention counts from when a record was first seen, so a sender's clock that is fast would keep it for so much longer.
fn seen_by_now(batch: &mut Batch, now: Timestamp) {
    for at in 0..batch.len() {
        if batch.get(at).observed() > now {
            batch.edit(at).set_observed(now);
        }
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn refused(refusal: Refusal) -> ApiError {
    let (status, message) = match refusal {
        Refusal::Token => (
            StatusCode::UNAUTHORIZED,
            "authorization: expected `Bearer` and a token that the input `sawyer` of this process knows",
        ),
        Refusal::Elsewhere => (
            StatusCode::FORBIDDEN,
            "the input `sawyer` of this process has no tokens, so it takes batches from its own machine only: give it \
             `token_file`, and the sender the same token",
        ),
    };
    ApiError::invalid(message).with_status(status)
}

fn check_media_type(headers: &HeaderMap, expected: &str) -> Result<(), ApiError> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let same = |a: &str, b: &str| {
        let parts =
            |text: &str| text.split(';').map(|part| part.trim().to_ascii_lowercase()).collect::<Vec<_>>();
        parts(a) == parts(b)
    };
    if same(found, expected) {
        return Ok(());
    }
    let message = format!("content-type: expected `{expected}`, found `{found}`");
    Err(ApiError::invalid(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

/// Reads a body once there is room for it.
async fn read(
    receiver: &NativeReceiver,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<(Bytes, Arc<OwnedSemaphorePermit>), ApiError> {
    let told =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let Some(length) = told else {
        return Err(ApiError::invalid("content-length: expected the length of the body")
            .with_status(StatusCode::LENGTH_REQUIRED));
    };
    if length > bytes_max {
        let message = format!("body: longer than {bytes_max} bytes");
        return Err(ApiError::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let room = wait(acquire(&receiver.bodies, length)).await?;
    // A sender that dies in the middle would keep its room for ever.
    let body = tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, length)).await.map_err(|_| {
        ApiError::invalid("body: it did not come in time").with_status(StatusCode::REQUEST_TIMEOUT)
    })?;
    let body = body.map_err(|error| ApiError::invalid(format!("body: it did not come whole: {error}")))?;
    Ok((body, Arc::new(room)))
}

async fn acquire(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
    let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES).max(1)).unwrap_or(u32::MAX);
    let acquired = Arc::clone(room).acquire_many_owned(permits).await;
    acquired.map_err(|closed| Error::new(ErrorKind::Closed, "wait for room").because(closed))
}

async fn wait<T>(room: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let waited = tokio::time::timeout(WAIT_MAX, room).await;
    waited.unwrap_or_else(|_| Err(Error::new(ErrorKind::Retry, "no room for more batches at present")))
}

/// The batches of a body: the length of each as four bytes, then the batch.
fn split(body: &Bytes) -> Result<Vec<Bytes>, ApiError> {
    let torn = || ApiError::invalid("body: expected batches with their lengths in front");
    let (mut batches, mut at) = (Vec::new(), 0);
    while at < body.len() {
        let (length, rest) = body[at..].split_first_chunk::<4>().ok_or_else(torn)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > rest.len() {
            return Err(torn());
        }
        batches.push(body.slice(at + 4..at + 4 + length));
        at += 4 + length;
        if batches.len() > BATCHES_MAX {
            return Err(ApiError::invalid(format!("body: more than {BATCHES_MAX} batches")));
        }
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use sawyer_model::{RecordHead, RecordRef, SeqRange, SourceId, Stream, ValueRef};
    use sawyer_segment::encode_batch_columns;

    use super::*;

    #[test]
    fn a_body_is_batches_with_their_lengths() {
        let body = Bytes::from_static(b"\x01\0\0\0a\0\0\0\0\x02\0\0\0bc");
        assert_eq!(split(&body).unwrap(), [&b"a"[..], b"", b"bc"]);
        assert_eq!(split(&Bytes::new()).unwrap(), [] as [&[u8]; 0]);
        for torn in [&b"\x01"[..], b"\x01\0\0\0", b"\xff\xff\xff\xffabc"] {
            assert!(split(&Bytes::copy_from_slice(torn)).is_err(), "{torn:?}");
        }
    }

    #[tokio::test]
    async fn room_is_taken_until_a_batch_is_made_that_nobody_waits_for() {
        let room = Arc::new(Semaphore::new(4));
        let held = acquire(&room, 3 * PERMIT_BYTES).await.unwrap();
        let ((began, begun), (go_on, waits)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        let making = tokio::spawn(in_room(held, move || {
            began.send(()).unwrap();
            // It ends when the sender is dropped.
            let _ = waits.recv();
        }));
        tokio::task::spawn_blocking(move || begun.recv()).await.unwrap().unwrap();
        making.abort();
        assert!(making.await.unwrap_err().is_cancelled());
        assert_eq!(room.available_permits(), 1, "a sender that hung up makes no room");
        drop(go_on);
        let all = tokio::time::timeout(BODY_TIME_MAX, room.acquire_many(4)).await;
        assert!(all.is_ok(), "the room is given back");
    }

    #[test]
    fn what_a_fast_clock_saw_was_seen_now() {
        let now = Timestamp::from_secs(1_800_000_000);
        let mut made = Batch::new();
        let stream = made.add_stream(&Arc::new(Stream::default()));
        for (start, observed) in
            [now.saturating_sub(BODY_TIME_MAX), now.saturating_add(BODY_TIME_MAX), Timestamp::MAX]
                .into_iter()
                .enumerate()
        {
            let range = SeqRange::new(start as u64, start as u64 + 1);
            let head = RecordHead { timestamp: observed, observed, source: SourceId(1), range };
            made.begin(head, stream).field("message", ValueRef::Str("hello"));
        }
        let encoded = Bytes::from(encode_batch_columns(&made));
        let mut batch = decode_batch_shared(&encoded).unwrap();
        seen_by_now(&mut batch, now);
        let seen: Vec<Timestamp> = batch.iter().map(RecordRef::observed).collect();
        assert_eq!(seen, [now.saturating_sub(BODY_TIME_MAX), now, now]);
        assert!(batch.iter().map(RecordRef::timestamp).eq(made.iter().map(RecordRef::timestamp)));
        assert!(batch.encoded().is_none(), "it is not written as it came");
    }

    #[test]
    fn another_version_is_named() {
        let headers =
            |text: &str| [(header::CONTENT_TYPE, text.parse().unwrap())].into_iter().collect::<HeaderMap>();
        assert!(check_media_type(&headers(MEDIA_TYPE), MEDIA_TYPE).is_ok());
        assert!(check_media_type(&headers("Application/vnd.sawyer.batches;version=1"), MEDIA_TYPE).is_ok());
        let error =
            check_media_type(&headers("application/vnd.sawyer.batches; version=2"), MEDIA_TYPE).unwrap_err();
        assert!(format!("{error:?}").contains("version=1`, found"), "{error:?}");
    }

    #[test]
    fn tokens_are_shown_as_bearers() {
        let headers =
            |text: &str| [(header::AUTHORIZATION, text.parse().unwrap())].into_iter().collect::<HeaderMap>();
        assert_eq!(token(&headers("Bearer abc")), Some("abc"));
        assert_eq!(token(&headers("bearer abc")), Some("abc"));
        assert_eq!(token(&headers("Basic abc")), None);
    }
}
