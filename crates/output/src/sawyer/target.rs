//! Requests with batches in them, as `docs/FORMATS.md` has them.

use bytes::{BufMut, Bytes, BytesMut};
use sawyer_delivery::http::{
    Client, Compression, Endpoints, Judgement, Method, Request, Url, judge, unanswered,
};
use sawyer_delivery::{Answer, Item, Target, Trouble, Verdict};
use serde::Deserialize;

/// What a body is.
const MEDIA_TYPE: &str = "application/vnd.sawyer.batches; version=1";

const PATH: &str = "api/v1/native";

pub(super) struct NativeTarget {
    client: Client,
    endpoints: Endpoints,
}

impl NativeTarget {
    pub(super) fn new(client: Client, endpoints: Vec<Url>) -> Self {
        Self { client, endpoints: Endpoints::new(endpoints) }
    }
}

impl Target for NativeTarget {
    type Payload = Bytes;

    async fn send(&self, items: &[Item<Bytes>]) -> Answer {
        let (number, url) = self.endpoints.url(PATH);
        // Batches are compressed already.
        let request = Request::with_body(Method::POST, url, MEDIA_TYPE, Compression::None, body(items));
        let answer = self.client.send(request).await;
        if answer.as_ref().map_or(true, |answer| matches!(answer.status, 502..=504)) {
            self.endpoints.failed(number);
        }
        let response = match answer {
            Ok(response) => response,
            Err(trouble) => return unanswered(trouble),
        };
        match judge(&response) {
            Judgement::Done => verdicts(&response.body),
            Judgement::TooLarge => Answer::TooLarge,
            // Whatever it is that the receiver does not understand, an operator can end it, and no batch is at fault.
            Judgement::Refused(detail) => Answer::Failed(Trouble { reason: "protocol", detail, after: None }),
            Judgement::Failed(trouble) => Answer::Failed(trouble),
        }
    }
}

/// The batches, each with its length in front.
fn body(items: &[Item<Bytes>]) -> Bytes {
    let bytes = items.iter().map(|item| 4 + item.payload.len()).sum();
    let mut body = BytesMut::with_capacity(bytes);
    for item in items {
        let length = u32::try_from(item.payload.len()).expect("a batch is within bounds");
        body.put_u32_le(length);
        body.put_slice(&item.payload);
    }
    body.freeze()
}

#[derive(Deserialize)]
struct Told {
    batches: Vec<ToldOf>,
}

#[derive(Deserialize)]
struct ToldOf {
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
    let told: Told = match serde_json::from_slice(body) {
        Ok(told) => told,
        Err(error) => return Answer::failed("answer", format!("the answer is not one of a Sawyer: {error}")),
    };
    let detail = told.batches.iter().find_map(|told| told.error.clone());
    let verdict = |told: ToldOf| match told.status {
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
