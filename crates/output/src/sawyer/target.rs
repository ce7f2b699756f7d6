//! Requests with batches in them, as `docs/FORMATS.md` has them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use sawyer_delivery::http::{
    Client, Compression, Endpoints, Judgement, Method, Request, Response, Url, judge, unanswered,
};
use sawyer_delivery::{Answer, Item, Target, Trouble, Verdict};
use sawyer_model::{Batch, Error, ErrorKind, Timestamp};
use sawyer_segment::{batch_version, encode_batch_columns_up_to};
use sawyer_telemetry::{Answer as Told, Clock, Question};
use serde::Deserialize;

use super::checkpoint::Claims;
use super::reads::{self, Reads};

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
    reads: Reads,
}

impl NativeTarget {
    /// A target that notes what it was told to be taken.
    pub(super) fn new(client: Client, endpoints: Vec<Url>, claims: Arc<Claims>, clock: Clock) -> Self {
        Self { client, endpoints: Endpoints::new(endpoints), claims, reads: Reads::new(clock) }
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
        let reads = self.reads.get();
        let response = match self.post(PATH, MEDIA_TYPE, body(items, reads)).await {
            Ok(response) => response,
            Err(trouble) => return unanswered(trouble),
        };
        match judge(&response) {
            Judgement::Done => match serde_json::from_slice::<Results>(&response.body) {
                Ok(told) => {
                    self.reads.note(told.reads);
                    let answer = verdicts(told, reads);
                    self.note(items, &answer);
                    answer
                }
                Err(error) => Answer::failed("answer", format!("the answer is not one of a Sawyer: {error}")),
            },
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

/// The batches, each with its length in front, for a receiver that reads no later version than this.
fn body(items: &[Item<Arc<Sent>>], reads: u8) -> Bytes {
    let bytes = items.iter().map(|item| 4 + item.payload.bytes.len()).sum();
    let mut body = BytesMut::with_capacity(bytes);
    for item in items {
        let Sent { bytes, batch } = &*item.payload;
        let is_read = batch_version(bytes).is_none_or(|version| version <= reads);
        let sent = if is_read { bytes.clone() } else { encode_batch_columns_up_to(batch, reads).into() };
        let length = u32::try_from(sent.len()).expect("a batch is within bounds");
        body.put_u32_le(length);
        body.put_slice(&sent);
    }
    body.freeze()
}

#[derive(Deserialize)]
struct Results {
    batches: Vec<ResultOf>,
    /// The latest version of a batch that is read.
    #[serde(default = "reads_untold")]
    reads: u8,
}

fn reads_untold() -> u8 {
    reads::UNTOLD
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

/// What an answer to batches up to this version says.
fn verdicts(Results { batches, reads }: Results, sent: u8) -> Answer {
    let detail = batches.iter().find_map(|told| told.error.clone());
    let retry = |reason| Verdict::Retry { reason, after: None };
    let verdict = |told: ResultOf| match told.status {
        Status::Durable => Verdict::Done,
        Status::Retry => retry("busy"),
        // Maybe it is only later than this receiver; it is sent again in a version that it reads.
        Status::Refused if reads < sent => retry("version"),
        Status::Refused => Verdict::Reject { reason: told.error.unwrap_or_else(|| "refused".to_owned()) },
    };
    Answer::Items { verdicts: batches.into_iter().map(verdict).collect(), detail }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sawyer_config::{Document, Problems};
    use sawyer_model::{Ack, RecordHead, SeqRange, SourceId, Stream, ValueRef, names};
    use sawyer_segment::{BATCH_VERSION, decode_batch, encode_batch_columns};

    use sawyer_testkit::peer::{Peer, Play, Reply};

    use super::super::SawyerSettings;
    use super::*;
    use crate::deliver;
    use crate::testing::{context, sim};

    #[test]
    fn each_batch_has_its_verdict() {
        let body = br#"{"batches":[{"status":"durable"},{"status":"retry","error":"no room"},{"status":"refused","error":"damaged"}]}"#;
        let results: Results = serde_json::from_slice(body).unwrap();
        assert_eq!(results.reads, reads::UNTOLD);
        let Answer::Items { verdicts, detail } = verdicts(results, reads::UNTOLD) else { panic!() };
        let retry = Verdict::Retry { reason: "busy", after: None };
        assert_eq!(verdicts, [Verdict::Done, retry, Verdict::Reject { reason: "damaged".to_owned() }]);
        assert_eq!(detail.as_deref(), Some("no room"));
    }

    #[tokio::test]
    async fn another_program_s_answer_delivers_nothing() {
        const BODIES: [&str; 4] = ["", "ok", "{}", r#"{"batches":[{"status":"fine"}]}"#];
        let peer = Peer::start(|number, _| Play::Answer(Reply::new(200, BODIES[number])));
        let (target, _) = target(&peer);
        for body in BODIES {
            assert!(matches!(target.send(&[sent()]).await, Answer::Failed(_)), "{body}");
        }
    }

    /// A batch whose line is made of its field, as it is kept.
    fn sent() -> Item<Arc<Sent>> {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        let (timestamp, source, range) = (Timestamp::from_secs(1), SourceId(7), SeqRange::new(0, 9));
        let mut record = batch.begin(RecordHead { timestamp, observed: timestamp, source, range }, stream);
        record.field("message", ValueRef::Str("paid order 4711"));
        record.field(names::ORIGINAL, ValueRef::Str(r#"{"msg":"paid order 4711"}"#));
        let bytes = Bytes::from(encode_batch_columns(&batch));
        assert_eq!(batch_version(&bytes), Some(BATCH_VERSION));
        let payload = Arc::new(Sent { bytes, batch: Arc::new(batch) });
        Item { payload, bytes: 1, partition: 0, record: None, ack: Ack::none() }
    }

    /// What a receiver answers that reads no later version than this, and tells so if it knows how.
    fn answer(body: &[u8], reads: u8, tells: bool) -> String {
        let batch = &body[4..];
        let read =
            batch_version(batch).is_some_and(|version| version <= reads) && decode_batch(batch).is_ok();
        let status = if read { "durable" } else { "refused" };
        let told = if tells { format!(r#","reads":{reads}"#) } else { String::new() };
        format!(r#"{{"batches":[{{"status":"{status}"}}]{told}}}"#)
    }

    /// A target that sends to this peer, and its clock.
    fn target(peer: &Peer) -> (NativeTarget, Clock) {
        let document = Document::parse("sawyer.yaml", &format!("endpoint: {}", peer.url())).unwrap();
        let settings = deliver::read::<SawyerSettings>(&document.at(), &mut Problems::new()).unwrap();
        let endpoints = vec![Url::parse(&peer.url()).unwrap()];
        let context = context(&sim());
        let clock = context.clock.clone();
        // The peer speaks HTTP/1.1 only.
        let client = Client::new(settings.http, &endpoints, None, clock.clone()).unwrap();
        (NativeTarget::new(client, endpoints, Arc::new(Claims::open(&context)), clock.clone()), clock)
    }

    /// One after the other answers, each so many minutes after the one before: which version each is sent, and what becomes of
    /// the batch.
    async fn send_to(receivers: &'static [(u64, u8, bool)]) -> Vec<(u8, Verdict)> {
        let peer = Peer::start(|number, request| {
            let (_, reads, tells) = receivers[number];
            Play::Answer(Reply::new(200, answer(&request.body, reads, tells)))
        });
        let ((target, clock), mut seen) = (target(&peer), Vec::new());
        for (number, (minutes, ..)) in receivers.iter().enumerate() {
            clock.advance(Duration::from_secs(60 * minutes));
            let Answer::Items { verdicts, .. } = target.send(&[sent()]).await else { panic!("an answer") };
            let version = batch_version(&peer.received()[number].body[4..]).unwrap();
            seen.push((version, verdicts[0].clone()));
        }
        seen
    }

    fn again(version: u8) -> (u8, Verdict) {
        (version, Verdict::Retry { reason: "version", after: None })
    }

    #[tokio::test]
    async fn a_receiver_gets_what_it_reads() {
        // A new one, then one from before versions were told, then one from the future, then one that is older than any.
        let receivers = &[
            (0, 4, true),
            (0, 4, true),
            (0, 3, false),
            (0, 3, false),
            (10, 9, true),
            (0, 9, true),
            (0, 2, true),
            (0, 2, true),
        ];
        let done = |version| (version, Verdict::Done);
        let expected = [done(2), done(4), again(4), done(2), done(2), done(4), again(4), done(2)];
        assert_eq!(send_to(receivers).await, expected);
    }

    #[tokio::test]
    async fn receivers_of_two_versions_at_one_address_are_both_sent_what_the_older_one_reads() {
        let receivers = &[
            (0, 4, true),
            (0, 3, false),
            (1, 4, true),
            (1, 3, false),
            (1, 4, true),
            (1, 3, false),
            (9, 4, true),
            (1, 4, true),
            (0, 4, true),
        ];
        let versions: Vec<u8> = send_to(receivers).await.into_iter().map(|(version, _)| version).collect();
        assert_eq!(versions, [2, 4, 2, 2, 2, 2, 2, 2, 4]);
    }

    #[test]
    fn what_a_receiver_should_read_and_refuses_is_refused() {
        let results = serde_json::from_str(r#"{"batches":[{"status":"refused"}],"reads":4}"#).unwrap();
        let Answer::Items { verdicts, .. } = verdicts(results, 4) else { panic!() };
        assert_eq!(verdicts, [Verdict::Reject { reason: "refused".to_owned() }]);
    }
}
