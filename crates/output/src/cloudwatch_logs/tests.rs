//! Against a service on loopback that holds every request to the rules of the API reference, and fails as its script
//! says. `tests/real_cloudwatch.rs` has the same against moto.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::{Outcome, Record, Stream, Value};
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::{Value as Json, json};

use super::*;
use crate::testing::{Bench, Dice, NOW, batch_of, context, plan, record, sim};

mod faults;
mod limits;

/// A service that keeps events by group and stream.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    groups: BTreeMap<String, Group>,
    /// How often each action was asked for.
    asked: BTreeMap<String, usize>,
    /// Events that a request brought beside those that were refused, in their order.
    puts: Vec<Put>,
    /// What requests meet instead of being answered, drawn by chance.
    dice: Option<Dice>,
    /// Refuses an action with this error.
    refuse: Option<(&'static str, u16, &'static str)>,
}

#[derive(Default)]
struct Group {
    streams: BTreeMap<String, Vec<(i64, String)>>,
    created_with: Json,
    retention: Option<u64>,
}

/// A request that was taken.
struct Put {
    stream: (String, String),
    events: usize,
    bytes: usize,
}

fn body_of(request: &Received) -> Json {
    let mut text = String::new();
    match request.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(&*request.body).read_to_string(&mut text).unwrap(),
        None => request.body.as_slice().read_to_string(&mut text).unwrap(),
        Some(other) => panic!("sent as {other}"),
    };
    serde_json::from_str(&text).unwrap()
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::new(status, json!({ "__type": kind, "message": message }).to_string())
}

fn is_name(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    (1..=512).contains(&text.chars().count()) && text.chars().all(allowed)
}

impl Service {
    fn play(&self, request: &Received) -> Play {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/"));
        assert_eq!(request.header("content-type"), Some("application/x-amz-json-1.1"));
        let signed = request.header("authorization").unwrap();
        assert!(signed.contains("Credential=AKID/20261120/eu-west-1/logs/aws4_request"), "{signed}");
        let action =
            request.header("x-amz-target").unwrap().strip_prefix("Logs_20140328.").unwrap().to_owned();
        let mut state = self.0.lock();
        *state.asked.entry(action.clone()).or_default() += 1;
        match state.dice.as_mut().map(|dice| dice.below(12)) {
            Some(0) => return Play::Answer(error(400, "ThrottlingException", "Rate exceeded")),
            Some(1) => return Play::Answer(error(503, "ServiceUnavailableException", "")),
            Some(2) => return Play::HangUp,
            // It is done, and nobody learns of it.
            Some(3) => {
                let reply = state.answer(&action, &body_of(request));
                return if reply.body.len() < 20 { Play::HangUp } else { Play::Half(reply) };
            }
            _ => {}
        }
        if let Some((refused, status, kind)) = state.refuse
            && refused == action
        {
            return Play::Answer(error(status, kind, "as the test says"));
        }
        Play::Answer(state.answer(&action, &body_of(request)))
    }

    fn asked(&self, action: &str) -> usize {
        self.0.lock().asked.get(action).copied().unwrap_or_default()
    }

    /// The messages of a stream.
    fn messages(&self, group: &str, stream: &str) -> Vec<String> {
        let state = self.0.lock();
        let events = state.groups.get(group).and_then(|group| group.streams.get(stream));
        events.into_iter().flatten().map(|(_, message)| message.clone()).collect()
    }
}

impl State {
    fn answer(&mut self, action: &str, body: &Json) -> Reply {
        let group = body["logGroupName"].as_str().unwrap();
        assert!(is_name(group, |c| c.is_ascii_alphanumeric() || "._-/#".contains(c)), "{group}");
        let missing = |what: &str| {
            error(400, "ResourceNotFoundException", &format!("The specified log {what} does not exist."))
        };
        let exists = || error(400, "ResourceAlreadyExistsException", "");
        match action {
            "CreateLogGroup" if self.groups.contains_key(group) => exists(),
            "CreateLogGroup" => {
                let made = Group { created_with: body.clone(), ..Group::default() };
                self.groups.insert(group.to_owned(), made);
                Reply::new(200, "")
            }
            "CreateLogStream" => {
                let stream = body["logStreamName"].as_str().unwrap();
                assert!(is_name(stream, |c| !matches!(c, ':' | '*')), "{stream}");
                let Some(group) = self.groups.get_mut(group) else { return missing("group") };
                if group.streams.contains_key(stream) {
                    return exists();
                }
                group.streams.insert(stream.to_owned(), Vec::new());
                Reply::new(200, "")
            }
            "PutRetentionPolicy" => {
                let Some(group) = self.groups.get_mut(group) else { return missing("group") };
                group.retention = body["retentionInDays"].as_u64();
                Reply::new(200, "")
            }
            "PutLogEvents" => self.put(body),
            other => panic!("{other}"),
        }
    }

    fn put(&mut self, body: &Json) -> Reply {
        let names = (body["logGroupName"].as_str().unwrap(), body["logStreamName"].as_str().unwrap());
        let missing = |what: &str| {
            error(400, "ResourceNotFoundException", &format!("The specified log {what} does not exist."))
        };
        let Some(group) = self.groups.get_mut(names.0) else { return missing("group") };
        let retention = group.retention;
        let Some(stream) = group.streams.get_mut(names.1) else { return missing("stream") };
        let events: Vec<(i64, String)> = body["logEvents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| {
                (event["timestamp"].as_i64().unwrap(), event["message"].as_str().unwrap().to_owned())
            })
            .collect();
        let now = NOW.millis();
        let day = 24 * 3600 * 1000;
        let broken = check_rules(&events, now);
        assert_eq!(broken, None, "a request that the service refuses as a whole");
        let too_old = events.iter().take_while(|(time, _)| *time < now - 14 * day).count();
        let kept = retention.map_or(i64::MIN, |days| now - days as i64 * day);
        let expired = events.iter().take_while(|(time, _)| *time < kept).count();
        let too_new = events.iter().position(|(time, _)| *time > now + 2 * 3600 * 1000);
        let good = too_old.max(expired)..too_new.unwrap_or(events.len());
        let bytes = events.iter().map(|(_, message)| message.len() + 26).sum();
        let stream_name = (names.0.to_owned(), names.1.to_owned());
        self.puts.push(Put { stream: stream_name, events: events.len(), bytes });
        stream.extend_from_slice(&events[good]);
        let mut info = serde_json::Map::new();
        if too_old > 0 {
            info.insert("tooOldLogEventEndIndex".into(), json!(too_old));
        }
        if expired > 0 {
            info.insert("expiredLogEventEndIndex".into(), json!(expired));
        }
        if let Some(at) = too_new {
            info.insert("tooNewLogEventStartIndex".into(), json!(at));
        }
        let mut answer = json!({ "nextSequenceToken": "49".repeat(28) });
        if !info.is_empty() {
            answer["rejectedLogEventsInfo"] = info.into();
        }
        Reply::new(200, answer.to_string())
    }
}

/// The rules by which the service refuses a request as a whole (API reference, `PutLogEvents`).
fn check_rules(events: &[(i64, String)], now: i64) -> Option<String> {
    let bytes: usize = events.iter().map(|(_, message)| message.len() + 26).sum();
    if events.is_empty() || events.len() > 10_000 {
        return Some(format!("{} events", events.len()));
    }
    if bytes > 1_048_576 {
        return Some(format!("{bytes} bytes"));
    }
    if let Some((_, message)) = events.iter().find(|(_, text)| text.is_empty() || text.len() + 26 > 1 << 20) {
        return Some(format!("an event of {} bytes", message.len()));
    }
    if let Some(pair) = events.windows(2).find(|pair| pair[0].0 > pair[1].0) {
        return Some(format!("{} before {}", pair[0].0, pair[1].0));
    }
    let (hour, day) = (3600 * 1000, 24 * 3600 * 1000);
    let valid =
        events.iter().map(|(time, _)| *time).filter(|t| (now - 14 * day..=now + 2 * hour).contains(t));
    let (first, last) = (valid.clone().min()?, valid.max()?);
    (last - first > day).then(|| format!("a span of {} ms", last - first))
}

fn start(settings: &str) -> (Service, Peer, Bench) {
    let service = Service::default();
    let answers = service.clone();
    let peer = Peer::start(move |_, request| answers.play(request));
    let bench = open(settings, &peer.url());
    (service, peer, bench)
}

fn open(settings: &str, url: &str) -> Bench {
    let context = context(&sim());
    let text = format!(
        "endpoint: {url}\nregion: eu-west-1\nretry_pause_max: 100ms\nbatch_age_max: 10ms\n\
         auth: {{type: aws, access_key_id: AKID, secret_access_key: s3cr3t}}\n{settings}"
    );
    Bench::start(plan(&kind(), &text).unwrap().open(&context).unwrap(), context)
}

/// Records of a pod, said `ago` before now and a millisecond apart.
fn said(pod: &str, numbers: std::ops::Range<u64>, ago: Duration) -> Vec<Record> {
    let records = numbers.map(|at| {
        let mut record = record(at, &format!("{pod} {at}"));
        let stream = [("namespace", "shop"), ("pod", pod), ("container", "app")];
        record.stream = Arc::new(Stream::new(stream.map(|(name, value)| (name, Value::from(value)))));
        record.timestamp = NOW.saturating_sub(ago).saturating_add(Duration::from_millis(at));
        record
    });
    records.collect()
}

fn lines(pod: &str, numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|at| format!("{pod} {at}")).collect()
}

const LINE: &str = "format: line\n";

#[tokio::test]
async fn makes_group_and_stream_when_they_are_missing() {
    let settings = "retention_days: 30\ngroup_class: infrequent_access\ntags: {team: shop}\n";
    let (service, _peer, mut bench) = start(&format!("{LINE}{settings}"));
    bench.deliver(batch_of(&said("cart-1", 0..3, Duration::ZERO))).await;
    bench.deliver(batch_of(&said("cart-2", 0..2, Duration::ZERO))).await;
    assert_eq!(service.messages("/sawyer/shop", "cart-1/app"), lines("cart-1", 0..3));
    assert_eq!(service.messages("/sawyer/shop", "cart-2/app"), lines("cart-2", 0..2));
    let expected = json!({
        "logGroupName": "/sawyer/shop", "logGroupClass": "INFREQUENT_ACCESS", "tags": { "team": "shop" }
    });
    assert_eq!(service.0.lock().groups["/sawyer/shop"].created_with, expected);
    assert_eq!(service.0.lock().groups["/sawyer/shop"].retention, Some(30));
    assert_eq!((service.asked("CreateLogGroup"), service.asked("CreateLogStream")), (1, 3));
    assert_eq!(service.asked("PutRetentionPolicy"), 1);
    bench.deliver(batch_of(&said("cart-1", 3..5, Duration::ZERO))).await;
    assert_eq!(service.messages("/sawyer/shop", "cart-1/app"), lines("cart-1", 0..5));
    assert_eq!(service.asked("CreateLogStream"), 3, "they are there now");
}

#[tokio::test]
async fn an_event_is_the_record_as_json_at_its_time() {
    let (service, _peer, mut bench) = start("group: 'logs/{team|service}'\nstream: '{_x|\"all\"}'");
    let mut record = record(0, "it \"works\"\n결제");
    record.timestamp = NOW.saturating_sub(Duration::from_micros(1500));
    record.fields.push(("service".into(), Value::from("cart: a/b")));
    bench.deliver(batch_of(&[record])).await;
    let state = service.0.lock();
    let [(time, message)] = state.groups["logs/cart__a_b"].streams["all"].as_slice() else {
        panic!("one event")
    };
    assert_eq!(*time, NOW.millis() - 2);
    let event: Json = serde_json::from_str(message).unwrap();
    assert_eq!(
        (event["message"].as_str(), event["pod"].as_str()),
        (Some("it \"works\"\n결제"), Some("cart-1"))
    );
    assert_eq!(event["_id"], "00000000000000000000000000000007-0");
    assert_eq!(event["timestamp"], "2026-11-20T11:59:59.998500Z");
}

#[tokio::test]
async fn a_line_is_as_it_was_written_and_never_empty() {
    let (service, _peer, mut bench) = start(&format!("{LINE}stream: all"));
    let mut parsed = record(0, "no stock");
    parsed.fields.push(("_original".into(), Value::from("{\"msg\":\"no stock\"}")));
    bench.deliver(batch_of(&[parsed, record(1, ""), record(2, "plain")])).await;
    assert_eq!(service.messages("/sawyer/shop", "all"), ["{\"msg\":\"no stock\"}", " ", "plain"]);
}

#[test]
fn wrong_settings_are_told() {
    let told = |text: &str| plan(&kind(), text).unwrap_err();
    assert_eq!(
        told("group: 'a b'\nstream: 'a:b'\nretention_days: 8\ncompression: zstd"),
        "sawyer.yaml:1:1: group: a log group cannot have ` ` in its name, found \"a b\"\n\
         sawyer.yaml:2:1: stream: a log stream cannot have `:` in its name, found \"a:b\"\n\
         sawyer.yaml:3:1: retention_days: expected one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, \
         731, 1096, 1827, 2192, 2557, 2922, 3288, 3653, found 8\n\
         sawyer.yaml:4:1: compression: expected `none` or `gzip`, which CloudWatch Logs takes, found \"zstd\""
    );
    let basic = told("auth: {type: basic, user: a, password: b}");
    assert!(
        basic.contains("auth.type: expected `aws`, the only way in which CloudWatch Logs is asked"),
        "{basic}"
    );
    assert!(told("group: aws/x").contains("cannot begin with `aws/`"));
    assert!(told("event_max: 2MiB").contains("event_max"));
}
