//! Against a service on loopback that holds every request to the rules of the API reference, and fails as its script
//! says. `tests/real_cloudwatch.rs` has the same against moto.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::{Outcome, Record, Stream, Value};
use sawyer_testkit::cloudwatch::Logs;
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::{Value as Json, json};

use super::*;
use crate::testing::{Bench, NOW, batch_of, context, plan, record, sim};
use sawyer_testkit::Dice;

mod faults;
mod limits;

/// The service, and what single requests meet instead of being answered, drawn by chance.
#[derive(Clone)]
struct Service {
    logs: Logs,
    dice: Arc<Mutex<Option<Dice>>>,
}

impl Service {
    fn new() -> Self {
        Self { logs: Logs::new(|| NOW.millis()), dice: Arc::default() }
    }

    fn play(&self, request: &Received) -> Play {
        let refuse = |status, kind: &str| {
            Play::Answer(Reply::new(
                status,
                json!({ "__type": kind, "message": "Rate exceeded" }).to_string(),
            ))
        };
        match self.dice.lock().as_mut().map(|dice| dice.below(12)) {
            Some(0) => refuse(400, "ThrottlingException"),
            Some(1) => refuse(503, "ServiceUnavailableException"),
            Some(2) => Play::HangUp,
            // It is done, and nobody learns of it.
            Some(3) => {
                let reply = self.logs.answer(request);
                if reply.body.len() < 20 { Play::HangUp } else { Play::Half(reply) }
            }
            _ => Play::Answer(self.logs.answer(request)),
        }
    }

    fn messages(&self, group: &str, stream: &str) -> Vec<String> {
        assert_eq!(self.logs.broken(), Vec::<String>::new(), "requests that the service refuses as wholes");
        self.logs.messages(group, stream)
    }
}

fn start(settings: &str) -> (Service, Peer, Bench) {
    let service = Service::new();
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
    let group = service.logs.group("/sawyer/shop").unwrap();
    assert_eq!((group.made_by, group.retention), (expected, Some(30)));
    assert_eq!((service.logs.asked("CreateLogGroup"), service.logs.asked("CreateLogStream")), (1, 3));
    assert_eq!(service.logs.asked("PutRetentionPolicy"), 1);
    bench.deliver(batch_of(&said("cart-1", 3..5, Duration::ZERO))).await;
    assert_eq!(service.messages("/sawyer/shop", "cart-1/app"), lines("cart-1", 0..5));
    assert_eq!(service.logs.asked("CreateLogStream"), 3, "they are there now");
}

#[tokio::test]
async fn an_event_is_the_record_as_json_at_its_time() {
    let (service, _peer, mut bench) = start("group: 'logs/{team|service}'\nstream: '{_x|\"all\"}'");
    let mut record = record(0, "it \"works\"\n결제");
    record.timestamp = NOW.saturating_sub(Duration::from_micros(1500));
    record.fields.push(("service".into(), Value::from("cart: a/b")));
    bench.deliver(batch_of(&[record])).await;
    let group = service.logs.group("logs/cart__a_b").unwrap();
    let [(time, message)] = group.streams["all"].as_slice() else { panic!("one event") };
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
