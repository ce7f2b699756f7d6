use std::sync::atomic::{AtomicUsize, Ordering};

use sawyer_config::Document;
use sawyer_telemetry::Clock;
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::Value as Json;

use super::*;
use crate::aws::bench::{Kept, Taker, messages};

const GROUP: &str = "/aws/eks/prod/cluster";
const REQUESTS: &str = "sawyer_input_aws_requests";

/// A peer that plays the service, with what survives a restart of the input.
struct Bench {
    peer: Peer,
    kept: Kept,
    /// How many looks were begun.
    looks: Arc<AtomicUsize>,
}

fn problems_of(settings: &str) -> String {
    let document = Document::parse("test.yaml", settings).unwrap();
    let mut problems = Problems::new();
    let plan = read(&document.at(), &mut problems);
    problems.into_result(plan).map_or_else(|problems| problems.to_string(), |_| "none".to_owned())
}

fn asked(received: &Received) -> (String, Json) {
    let action = received.header("x-amz-target").unwrap_or_default().to_owned();
    (action, serde_json::from_slice(&received.plain_body()).unwrap())
}

fn told(json: &Json) -> Play {
    Play::Answer(Reply::new(200, json.to_string()))
}

fn refused(kind: &str) -> Play {
    Play::Answer(Reply::new(400, json!({"__type": kind, "message": "no"}).to_string()))
}

fn described() -> Json {
    let arn = format!("arn:aws:logs:eu-west-1:123:log-group:{GROUP}:*");
    json!({"logGroups": [{"logGroupName": GROUP, "arn": arn}]})
}

/// An event of now that came so many seconds late.
fn event(id: u32, late_by: i64) -> Json {
    let millis = Clock::system().now().millis() - late_by * 1000;
    json!({"logStreamName": "kube-apiserver-1", "timestamp": millis, "message": format!("m{id}\n"),
        "ingestionTime": millis, "eventId": id.to_string()})
}

impl Bench {
    /// Answers to `FilterLogEvents` are those of `script`, which is given their number and the request.
    fn start(script: impl Fn(usize, &Json) -> Play + Send + Sync + 'static) -> Self {
        let (number, looks) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let begun = Arc::clone(&looks);
        let peer = Peer::start(move |_, received| match asked(received) {
            (action, _) if action.ends_with("DescribeLogGroups") => told(&described()),
            (_, request) => {
                begun.fetch_add(usize::from(request["nextToken"].is_null()), Ordering::SeqCst);
                script(number.fetch_add(1, Ordering::SeqCst), &request)
            }
        });
        Self { peer, kept: Kept::new(), looks }
    }

    /// Runs until so many records came, and a whole look was over after them if looks go on.
    async fn run(&self, count: usize, taker: Taker) -> Vec<String> {
        let own = format!("groups: [{GROUP}]\ninterval: 1s\ncluster: prod");
        let looks_more = if taker == Taker::Holds { 0 } else { 2 };
        let mut until = None;
        let is_enough = |seen: &[String]| {
            let looks = self.looks.load(Ordering::SeqCst);
            if seen.len() >= count {
                until.get_or_insert(looks + looks_more);
            }
            until.is_some_and(|until| looks >= until)
        };
        self.kept.run_until(&kind(), &self.peer.url(), &own, is_enough, taker).await
    }

    fn metric(&self, name: &str) -> i64 {
        self.kept.metrics.numbers(name).iter().map(|(_, number)| number).sum()
    }
}

#[test]
fn settings_are_checked() {
    assert!(problems_of("groups: []").contains("at least one log group"));
    assert!(problems_of("groups: ['/a/*/b']").contains("a beginning with `*` behind"));
    assert_eq!(problems_of("groups: ['*', '/a/*', 'arn:aws:logs:eu-west-1:1:log-group:/x:*']"), "none");
    assert!(problems_of("groups: [a]\nauth: {type: basic, user: u, password: p}").contains("`aws`"));
}

/// The same events are in every answer, as those of the last minute are, in two pages of which one is empty between.
#[tokio::test]
async fn each_event_is_a_record_once_through_pages_throttling_and_restarts() {
    let (early, late) = (event(1, 5), event(2, 0));
    let bench = Bench::start(move |number, request| match (number, request["nextToken"].as_str()) {
        (1, _) => refused("ThrottlingException"),
        (_, None) => told(&json!({"events": [early], "nextToken": "a"})),
        (_, Some("a")) => told(&json!({"events": [], "nextToken": "b"})),
        (_, Some("b")) => told(&json!({"events": [early, late]})),
        (_, Some(other)) => panic!("a token that nobody gave: {other}"),
    });
    let first = bench.run(2, Taker::Keeps).await;
    assert_eq!(messages(&first), ["m1", "m2"]);
    let again = bench.run(0, Taker::Keeps).await;
    assert_eq!(again, [] as [&str; 0]);
    let outcomes = bench.kept.metrics.numbers(REQUESTS);
    let later = outcomes.iter().find(|(labels, _)| labels.contains(&("outcome", "later".to_owned())));
    assert_eq!(later.map(|(_, count)| *count), Some(1));
}

#[tokio::test]
async fn what_comes_late_is_found_and_what_was_not_delivered_is_read_again_by_the_same_name() {
    // Five minutes old: before the first look, and again after it was let go of.
    let (new, old) = (event(1, 0), event(2, 300));
    let bench = Bench::start(move |_, request| {
        let from = request["startTime"].as_i64().unwrap();
        let all = [&old, &new].into_iter().filter(|event| event["timestamp"].as_i64().unwrap() >= from);
        told(&json!({"events": all.collect::<Vec<_>>()}))
    });
    let seen = bench.run(4, Taker::Drops(1)).await;
    assert_eq!(messages(&seen), ["m2", "m1", "m2", "m1"]);
    assert_eq!(bench.kept.booked(), (2, 2), "what was delivered, with how far it came");
    assert_eq!(seen[..2], seen[2..]);
}

#[tokio::test]
async fn nothing_counts_as_read_before_it_is_durable() {
    let only = event(1, 0);
    let bench = Bench::start(move |_, _| told(&json!({"events": [only]})));
    assert_eq!(messages(&bench.run(1, Taker::Holds).await), ["m1"]);
    assert_eq!(bench.kept.booked(), (0, 0));
    assert_eq!(messages(&bench.run(1, Taker::Keeps).await), ["m1"]);
    assert_eq!(bench.run(0, Taker::Keeps).await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_token_that_is_too_old_begins_the_look_again() {
    let (one, two) = (event(1, 2), event(2, 1));
    let bench = Bench::start(move |number, request| match (number, request["nextToken"].as_str()) {
        (1, Some(_)) => refused("InvalidParameterException"),
        (_, None) => told(&json!({"events": [one], "nextToken": "t"})),
        (_, Some(_)) => told(&json!({"events": [two]})),
    });
    let mut seen = bench.run(2, Taker::Keeps).await;
    seen.dedup();
    assert_eq!(messages(&seen), ["m1", "m2"]);
    assert!(bench.metric("sawyer_input_aws_late_records") <= 2);
}

/// All of one minute, or of two.
#[tokio::test]
async fn what_was_read_of_a_busy_minute_is_known_after_a_restart() {
    const MANY: usize = 3000;
    let events: Vec<Json> = (0..MANY as u32).map(|id| event(id, 30)).collect();
    let bench = Bench::start(move |_, _| told(&json!({"events": events})));
    assert_eq!(bench.run(MANY, Taker::Keeps).await.len(), MANY);
    assert_eq!(bench.run(0, Taker::Keeps).await, [] as [&str; 0]);
}
