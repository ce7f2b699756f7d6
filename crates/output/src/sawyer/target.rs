//! Requests with batches in them, as `docs/FORMATS.md` has them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use sawyer_delivery::http::{
    Client, Compression, Endpoints, Judgement, Method, Request, Response, Url, judge, unanswered,
};
use sawyer_delivery::{Answer, Item, Target, Trouble, Verdict};
use sawyer_model::{Batch, Error, ErrorKind, Timestamp};
use sawyer_telemetry::{Answer as Told, Question};
use serde::Deserialize;

use super::checkpoint::Claims;

/// What a body is.
const MEDIA_TYPE: &str = "application/vnd.sawyer.batches; version=1";

/// What a question is, and its answer.
const CHECKPOINT_MEDIA_TYPE: &str = "application/vnd.sawyer.checkpoint; version=1";

const PATH: &str = "api/v1/native";
const CHECKPOINT_PATH: &str = "api/v1/native/checkpoint";

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Sent {
    /// As it is sent.
    pub(super) bytes: Bytes,
    /// As it is in memory.
    pub(super) batch: Arc<Batch>,
}

pub(super) struct NativeTarget {
    client: Client,
    endpoints: Endpoints,
    claims: Arc<Claims>,
}

impl NativeTarget {
    /// A target that notes what it was told to be taken.
    pub(super) fn new(client: Client, endpoints: Vec<Url>, claims: Arc<Claims>) -> Self {
        Self { client, endpoints: Endpoints::new(endpoints), claims }
    }

    async fn post(&self, path: &str, media_type: &'static str, body: Bytes) -> Result<Response, Trouble> {
        let (number, url) = self.endpoints.url(path);
        // Batches are compressed already.
        let request = Request::with_body(Method::POST, url, media_type, Compression::None, body);
        let answer = self.client.send(request).await;
        if answer.as_ref().map_or(true, |answer| matches!(answer.status, 502..=504)) {
            self.endpoints.failed(number);
        }
        answer
    }

    /// Asks what of the claims is there; none if nobody can tell.
    pub(super) async fn ask(&self, question: &Question, now: Timestamp) -> Result<Option<Told>, Error> {
        let retry = |what: String| Error::new(ErrorKind::Retry, what);
        let asked = self.post(CHECKPOINT_PATH, CHECKPOINT_MEDIA_TYPE, question.encode(now).into()).await;
        let response = asked.map_err(|trouble| retry(trouble.detail))?;
        match judge(&response) {
            Judgement::Done => Told::decode(&response.body).map_err(|error| retry(error.to_string())),
            Judgement::TooLarge => Err(retry("a question is too large".to_owned())),
            Judgement::Refused(detail) => Err(retry(detail)),
            Judgement::Failed(trouble) => Err(retry(trouble.detail)),
        }
    }
}

impl Target for NativeTarget {
    type Payload = Arc<Sent>;

    async fn send(&self, items: &[Item<Arc<Sent>>]) -> Answer {
        let response = match self.post(PATH, MEDIA_TYPE, body(items)).await {
            Ok(response) => response,
            Err(trouble) => return unanswered(trouble),
        };
        match judge(&response) {
            Judgement::Done => {
                let answer = verdicts(&response.body);
                self.note(items, &answer);
                answer
            }
            Judgement::TooLarge => Answer::TooLarge,
            // Whatever it is that the receiver does not understand, an operator can end it, and no batch is at fault.
            Judgement::Refused(detail) => Answer::Failed(Trouble { reason: "protocol", detail, after: None }),
            Judgement::Failed(trouble) => Answer::Failed(trouble),
        }
    }
}

impl NativeTarget {
    /// Notes which batches the receiver has called durable.
    fn note(&self, items: &[Item<Arc<Sent>>], answer: &Answer) {
        let Answer::Items { verdicts, .. } = answer else { return };
        // Another number of verdicts is no answer.
        if verdicts.len() == items.len() {
            let done = items.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Done);
            self.claims.note(done.map(|(item, _)| item.payload.batch.covered()));
        }
    }
}

/// The batches, each with its length in front.
fn body(items: &[Item<Arc<Sent>>]) -> Bytes {
    let bytes = items.iter().map(|item| 4 + item.payload.bytes.len()).sum();
    let mut body = BytesMut::with_capacity(bytes);
    for item in items {
        let length = u32::try_from(item.payload.bytes.len()).expect("a batch is within bounds");
        body.put_u32_le(length);
        body.put_slice(&item.payload.bytes);
    }
    body.freeze()
}

#[derive(Deserialize)]
struct Results {
    batches: Vec<ResultOf>,
}

#[derive(Deserialize)]
struct ResultOf {
    status: Status,
    error: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Durable,
    Retry,
    Refused,
}

fn verdicts(body: &[u8]) -> Answer {
    let told: Results = match serde_json::from_slice(body) {
        Ok(told) => told,
        Err(error) => return Answer::failed("answer", format!("the answer is not one of a Sawyer: {error}")),
    };
    let detail = told.batches.iter().find_map(|told| told.error.clone());
    let verdict = |told: ResultOf| match told.status {
        Status::Durable => Verdict::Done,
        Status::Retry => Verdict::Retry { reason: "busy", after: None },
        Status::Refused => Verdict::Reject { reason: told.error.unwrap_or_else(|| "refused".to_owned()) },
    };
    Answer::Items { verdicts: told.batches.into_iter().map(verdict).collect(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_batch_has_its_verdict() {
        let body = br#"{"batches":[{"status":"durable"},{"status":"retry","error":"no room"},{"status":"refused","error":"damaged"}]}"#;
        let Answer::Items { verdicts, detail } = verdicts(body) else { panic!() };
        let retry = Verdict::Retry { reason: "busy", after: None };
        assert_eq!(verdicts, [Verdict::Done, retry, Verdict::Reject { reason: "damaged".to_owned() }]);
        assert_eq!(detail.as_deref(), Some("no room"));
    }

    #[test]
    fn another_program_s_answer_delivers_nothing() {
        for body in ["", "ok", "{}", r#"{"batches":[{"status":"fine"}]}"#] {
            assert!(matches!(verdicts(body.as_bytes()), Answer::Failed(_)), "{body}");
        }
    }
}
