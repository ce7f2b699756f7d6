use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sawyer_config::Document;
use sawyer_disk::RealDisk;
use sawyer_model::Transfer;
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::{Ports, Stopper};
use sawyer_telemetry::{Clock, Health, Metrics};
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::Value as Json;

use super::*;

const WAIT: Duration = Duration::from_secs(60);
const GROUP: &str = "/aws/eks/prod/cluster";

/// An input that runs against a peer that plays the service, with what survives a restart.
struct Bench {
    peer: Peer,
    state: tempfile::TempDir,
    metrics: Metrics,
}

/// What whoever takes batches does with them.
#[derive(Clone, Copy)]
enum Taker {
    Keeps,
    /// Lets go of the first so many.
    Drops(usize),
    Holds,
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
        let number = AtomicUsize::new(0);
        let peer = Peer::start(move |_, received| match asked(received) {
            (action, _) if action.ends_with("DescribeLogGroups") => told(&described()),
            (_, request) => script(number.fetch_add(1, Ordering::SeqCst), &request),
        });
        Self { peer, state: tempfile::tempdir().unwrap(), metrics: Metrics::new() }
    }

    /// Runs the input until so many records came, and a little longer; gives what was seen.
    async fn run(&self, count: usize, taker: Taker) -> Vec<String> {
        let settings = format!(
            "groups: [{GROUP}]\nendpoint: {}\nregion: eu-west-1\ninterval: 1s\ncluster: prod\n\
             auth: {{type: aws, access_key_id: AKID, secret_access_key: key}}",
            self.peer.url()
        );
        let document = Document::parse("test.yaml", &settings).unwrap();
        let mut problems = Problems::new();
        let plan = read(&document.at(), &mut problems);
        let plan = problems.into_result(plan).unwrap();
        let context = Context {
            name: "test".into(),
            clock: Clock::system(),
            metrics: self.metrics.clone(),
            state: Arc::new(RealDisk::new(self.state.path()).unwrap()),
            host_root: None,
            ports: Ports::default(),
            health: Health::new(),
            buffer: None,
        };
        let input = Box::new(plan).open(&context).unwrap();
        let (sender, mut receiver) = queue(8 << 20);
        let outlet = Outlet::new("test", vec![sender], &self.metrics);
        let (stopper, stop) = Stopper::new();
        let running = tokio::spawn(input.run(outlet, stop));
        let (mut seen, mut batches, mut held) = (Vec::new(), 0, Vec::new());
        let start = Instant::now();
        let mut until = None;
        while until.is_none_or(|until| Instant::now() < until) {
            assert!(start.elapsed() < WAIT, "{seen:?}");
            let next = tokio::time::timeout(Duration::from_millis(100), receiver.next()).await;
            if let Ok(Some(queued)) = next {
                let Transfer { batch, ack } = queued.into_parts().0;
                batches += 1;
                seen.extend(batch.iter().map(|record| format!("{} {}", record.id(), record.message())));
                match taker {
                    Taker::Holds => held.push(ack),
                    Taker::Drops(first) if batches <= first => drop(ack),
                    _ => ack.durable(),
                }
            }
            // Long enough for another look.
            if until.is_none() && seen.len() >= count {
                until = Some(Instant::now() + Duration::from_millis(1500));
            }
        }
        stopper.stop();
        drop(held);
        tokio::time::timeout(WAIT, running).await.unwrap().unwrap().unwrap();
        seen
    }

    fn metric(&self, name: &str) -> i64 {
        self.metrics.numbers(name).iter().map(|(_, number)| number).sum()
    }
}

fn messages(seen: &[String]) -> Vec<&str> {
    seen.iter().map(|line| line.split_once(' ').unwrap().1).collect()
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
    let outcomes = bench.metrics.numbers("sawyer_input_aws_requests");
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
    assert_eq!(seen[..2], seen[2..]);
}

#[tokio::test]
async fn nothing_counts_as_read_before_it_is_durable() {
    let only = event(1, 0);
    let bench = Bench::start(move |_, _| told(&json!({"events": [only]})));
    assert_eq!(messages(&bench.run(1, Taker::Holds).await), ["m1"]);
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
