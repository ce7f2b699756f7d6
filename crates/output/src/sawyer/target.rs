//! Requests with batches in them, as `docs/FORMATS.md` has them.

use std::sync::Arc;

use bytes::Bytes;
use sawyer_delivery::http::{
    Client, Compression, Endpoints, Judgement, Method, Request, Response, Url, judge, unanswered,
};
use sawyer_delivery::{Answer, Item, Target, Trouble, Verdict};
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_telemetry::{Answer as Told, Clock, Question};
use serde::Deserialize;

use super::checkpoint::Claims;
use super::reads::{self, Reads};
use super::sent::{Sent, body};

/// What a body is.
const MEDIA_TYPE: &str = "application/vnd.sawyer.batches; version=1";

/// What a question is, and its answer.
const CHECKPOINT_MEDIA_TYPE: &str = "application/vnd.sawyer.checkpoint; version=1";

const PATH: &str = "api/v1/native";
const CHECKPOINT_PATH: &str = "api/v1/native/checkpoint";

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

    /// The latest version of a batch that may be sent.
    pub(super) fn reads(&self) -> u8 {
        self.reads.get()
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
        let body = match body(items, reads).await {
            Ok(body) => body,
            Err(error) => return Answer::failed("encode", error.chain()),
        };
        let response = match self.post(PATH, MEDIA_TYPE, body).await {
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
    use sawyer_delivery::Limits;
    use sawyer_pipeline::Context;
    use sawyer_segment::{batch_version, decode_batch};
    use sawyer_testkit::peer::{Peer, Play, Reply};

    use super::super::SawyerSettings;
    use super::super::output::NativeOutput;
    use super::super::sent::tests::{item, kept};
    use super::*;
    use crate::deliver;
    use crate::testing::{Bench, context, sim};

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
        let (target, ..) = target(&peer, &context(&sim()));
        for body in BODIES {
            assert!(matches!(target.send(&[item()]).await, Answer::Failed(_)), "{body}");
        }
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

    /// A target that sends to this peer, what it notes, and its limits.
    fn target(peer: &Peer, context: &Context) -> (NativeTarget, Arc<Claims>, Limits) {
        let document = Document::parse("sawyer.yaml", &format!("endpoint: {}", peer.url())).unwrap();
        let settings = deliver::read::<SawyerSettings>(&document.at(), &mut Problems::new()).unwrap();
        let endpoints = vec![Url::parse(&peer.url()).unwrap()];
        let (clock, limits) = (context.clock.clone(), settings.delivery.limits(1 << 20));
        // The peer speaks HTTP/1.1 only.
        let client = Client::new(settings.http, &endpoints, None, clock.clone()).unwrap();
        let claims = Arc::new(Claims::open(context));
        (NativeTarget::new(client, endpoints, Arc::clone(&claims), clock), claims, limits)
    }

    /// One after the other answers, each so many minutes after the one before: which version each is sent, and what becomes of
    /// the batch.
    async fn send_to(receivers: &'static [(u64, u8, bool)]) -> Vec<(u8, Verdict)> {
        let peer = Peer::start(|number, request| {
            let (_, reads, tells) = receivers[number];
            Play::Answer(Reply::new(200, answer(&request.body, reads, tells)))
        });
        let context = context(&sim());
        let ((target, ..), mut seen) = (target(&peer, &context), Vec::new());
        for (number, (minutes, ..)) in receivers.iter().enumerate() {
            context.clock.advance(Duration::from_secs(60 * minutes));
            let Answer::Items { verdicts, .. } = target.send(&[item()]).await else { panic!("an answer") };
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

    #[tokio::test]
    async fn bytes_delivered_are_those_that_were_sent() {
        let peer = Peer::start(|_, request| match request.target.ends_with(CHECKPOINT_PATH) {
            true => Play::Answer(Reply::new(404, "")),
            false => Play::Answer(Reply::new(200, answer(&request.body, 3, false))),
        });
        let context = context(&sim());
        let (target, claims, limits) = target(&peer, &context);
        let output = NativeOutput::new(target, claims, Duration::from_secs(600), limits, &context);
        let mut bench = Bench::start(Box::new(output), context);
        bench.deliver(kept()).await;
        let sent = peer.received()[0].body.len() - 4;
        assert_eq!(bench.count("sawyer_output_bytes"), sent as i64);
        assert_ne!(sent, kept().encoded().unwrap().len(), "it was written anew");
    }

    #[test]
    fn what_a_receiver_should_read_and_refuses_is_refused() {
        let results = serde_json::from_str(r#"{"batches":[{"status":"refused"}],"reads":4}"#).unwrap();
        let Answer::Items { verdicts, .. } = verdicts(results, 4) else { panic!() };
        assert_eq!(verdicts, [Verdict::Reject { reason: "refused".to_owned() }]);
    }
}
