use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sawyer_testkit::peer::{Peer, Play, Received, Reply};

use super::*;
use crate::aws::bench::{Kept, Taker, messages};

fn shard(id: &str, parent: Option<&str>, adjacent: Option<&str>) -> Shard {
    let owned = |id: Option<&str>| id.map(str::to_owned);
    Shard {
        shard_id: id.to_owned(),
        parent_shard_id: owned(parent),
        adjacent_parent_shard_id: owned(adjacent),
    }
}

fn ready(shards: &[Shard], over: &[&str]) -> Vec<String> {
    let open = may_be_read(shards, |shard| over.contains(&shard));
    open.into_iter().map(|shard| shard.shard_id.clone()).collect()
}

#[test]
fn children_wait_for_their_parents() {
    let all = [
        shard("0", None, None),
        shard("1", None, None),
        // 0 was split, and a half of it was merged with 1.
        shard("2", Some("0"), None),
        shard("3", Some("0"), None),
        shard("4", Some("3"), Some("1")),
    ];
    assert_eq!(ready(&all, &[]), ["0", "1"]);
    assert_eq!(ready(&all, &["0"]), ["1", "2", "3"]);
    assert_eq!(ready(&all, &["0", "3"]), ["1", "2"]);
    assert_eq!(ready(&all, &["0", "1", "3"]), ["2", "4"]);
    // Parents of which the stream keeps nothing any more.
    assert_eq!(ready(&all[2..], &[]), ["2", "3"]);
}

#[test]
fn settings_are_checked() {
    let problems_of = |settings: &str| {
        let document = sawyer_config::Document::parse("test.yaml", settings).unwrap();
        let mut problems = Problems::new();
        let plan = read(&document.at(), &mut problems);
        problems.into_result(plan).map_or_else(|problems| problems.to_string(), |_| "none".to_owned())
    };
    assert!(problems_of("streams: []").contains("at least one stream"));
    assert!(problems_of("streams: ['a b']").contains("the name of a stream or its ARN"));
    assert!(
        problems_of("streams: ['arn:aws:kinesis:eu-west-1:1:stream/a b']").contains("the name of a stream")
    );
    assert!(problems_of("streams: [x, 'arn:aws:kinesis:eu-west-1:1:stream/x']").contains("\"x\" twice"));
    assert_eq!(problems_of("streams: [a-b_c.d, 'arn:aws:kinesis:eu-west-1:1:stream/x']"), "none");
}

/// Plays the service: shard `a` has ten records and was split, `b` has one and is open. Iterators name the shard and the place.
/// Answers to `GetRecords` may be others, by their number. The stream `secret` may not be listed, `locked` not be read.
#[derive(Default)]
struct Service {
    odd: Option<fn(usize, &str) -> Option<Play>>,
    asked: std::sync::atomic::AtomicUsize,
    /// By how many seconds its clock is behind the first time that it is asked for.
    behind: f64,
    first: std::sync::OnceLock<f64>,
}

fn told(json: &Json) -> Play {
    Play::Answer(Reply::new(200, json.to_string()))
}

fn refused(kind: &str) -> Option<Play> {
    Some(Play::Answer(Reply::new(400, json!({"__type": kind, "message": "no"}).to_string())))
}

impl Service {
    fn start(odd: fn(usize, &str) -> Option<Play>) -> Peer {
        Self { odd: Some(odd), ..Self::default() }.play()
    }

    fn play(self) -> Peer {
        Peer::start(move |_, received| self.answer(received))
    }

    fn answer(&self, received: &Received) -> Play {
        let action = received.header("x-amz-target").unwrap_or_default();
        let action = action.strip_prefix("Kinesis_20131202.").unwrap();
        let request: Json = serde_json::from_slice(&received.plain_body()).unwrap();
        match action {
            "ListShards" if request["StreamName"] == "secret" => refused("AccessDeniedException").unwrap(),
            "ListShards" if request["StreamName"] == "locked" => {
                let all = (0..ANSWERS_MAX + 2).map(|at| json!({"ShardId": format!("locked{at}")}));
                told(&json!({"Shards": all.collect::<Vec<_>>()}))
            }
            "ListShards" if request["NextToken"].is_null() => {
                assert!(request["StreamName"] == "logs" || request["StreamARN"] == ARN);
                told(&json!({"Shards": [{"ShardId": "a"}], "NextToken": "more"}))
            }
            "ListShards" => told(&json!({"Shards": [{"ShardId": "b", "ParentShardId": "a"}]})),
            "GetShardIterator" => {
                if let Some(time) = request["Timestamp"].as_f64()
                    && time > self.first.get_or_init(|| time) - self.behind
                {
                    return refused("InvalidArgumentException").unwrap();
                }
                let after = request["StartingSequenceNumber"].as_str().unwrap_or("0");
                told(&json!({"ShardIterator": format!("{} {after}", request["ShardId"].as_str().unwrap())}))
            }
            "GetRecords" => {
                let number = self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let iterator = request["ShardIterator"].as_str().unwrap();
                let odd = self.odd.and_then(|odd| odd(number, iterator));
                let denied = || iterator.starts_with("locked").then(|| refused("AccessDeniedException"))?;
                odd.or_else(denied).unwrap_or_else(|| records(iterator))
            }
            other => panic!("nobody answers {other}"),
        }
    }
}

/// Four records at a time; behind the last one of `a` there is nothing.
fn records(iterator: &str) -> Play {
    let (shard, after) = iterator.split_once(' ').unwrap();
    let after: u32 = after.parse().unwrap();
    let last = if shard == "a" { 10 } else { 1 };
    let end = (after + 4).min(last);
    let all = (after + 1..=end).map(|number| {
        let data = STANDARD.encode(format!("{shard}{number}"));
        json!({"SequenceNumber": number.to_string(), "Data": data, "PartitionKey": "k"})
    });
    let next = (shard == "b" || end < last).then(|| format!("{shard} {end}"));
    told(&json!({"Records": all.collect::<Vec<_>>(), "NextShardIterator": next, "MillisBehindLatest": 0}))
}

const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/logs";

fn requests(peer: &Peer, action: &str) -> Vec<Json> {
    let received = peer.received();
    let of_action = received.iter().filter(|received| {
        received
            .header("x-amz-target")
            .and_then(|target| target.split_once('.'))
            .is_some_and(|it| it.1 == action)
    });
    of_action.map(|received| serde_json::from_slice(&received.plain_body()).unwrap()).collect()
}

/// Runs the input until so many records came, and three answers more that have none.
async fn run_with(peer: &Peer, kept: &Kept, own: &str, count: usize) -> Vec<String> {
    let mut until = None;
    let is_enough = |seen: &[String]| {
        let asked = || requests(peer, "GetRecords").len();
        seen.len() >= count && asked() >= *until.get_or_insert_with(|| asked() + 4)
    };
    let own = format!("interval: 200ms\n{own}");
    kept.run_until(&kind(), &peer.url(), &own, is_enough, Taker::Keeps).await
}

async fn run(peer: &Peer, kept: &Kept, count: usize) -> Vec<String> {
    run_with(peer, kept, "streams: [logs]", count).await
}

const ALL: [&str; 11] = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "b1"];

#[tokio::test]
async fn a_shard_is_read_to_its_end_before_its_children_and_once() {
    let peer = Service::start(|number, _| match number {
        1 => refused("ProvisionedThroughputExceededException"),
        // Read on from where the last record was.
        2 => refused("ExpiredIteratorException"),
        _ => None,
    });
    let kept = Kept::new();
    assert_eq!(messages(&run(&peer, &kept, 11).await), ALL);
    assert_eq!(run(&peer, &kept, 0).await, [] as [&str; 0]);
}

#[tokio::test]
async fn children_wait_until_their_parent_is_durable() {
    let peer = Service::start(|_, _| None);
    let kept = Kept::new();
    // What should not come comes at once, if it does.
    let mut until = None;
    let is_enough = |seen: &[String]| {
        let long = Instant::now() + Duration::from_secs(1);
        seen.len() >= 10 && *until.get_or_insert(long) <= Instant::now()
    };
    let held = kept.run_until(&kind(), &peer.url(), "streams: [logs]", is_enough, Taker::Holds).await;
    assert_eq!(messages(&held), ALL[..10]);
    assert_eq!(kept.booked(), (0, 0));
    // Nothing of it counts as read.
    let again = run(&peer, &kept, 11).await;
    assert_eq!(messages(&again), ALL);
    assert_eq!(held, again[..10], "by the same names");
    assert_eq!(kept.booked(), (11, 11));
}

#[tokio::test]
async fn what_was_let_go_of_is_read_again_and_what_is_behind_it() {
    let peer = Service::start(|_, _| None);
    let kept = Kept::new();
    // The last record comes when all before it is durable.
    let is_enough = |seen: &[String]| seen.iter().any(|line| line.ends_with(" b1"));
    let own = "streams: [logs]";
    let mut seen = kept.run_until(&kind(), &peer.url(), own, is_enough, Taker::Drops(1)).await;
    assert_eq!(messages(&seen)[..4], ALL[..4]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), ALL.len(), "by the same names");
    assert_eq!(kept.booked(), (11, 11), "each is booked once");
    assert_eq!(run(&peer, &kept, 0).await, [] as [&str; 0]);
    assert_eq!(kept.booked(), (11, 11));
}

#[tokio::test]
async fn streams_that_may_not_be_listed_or_read_hold_up_no_other() {
    let peer = Service::default().play();
    let seen = run_with(&peer, &Kept::new(), "streams: [secret, locked, logs]", ALL.len()).await;
    assert_eq!(messages(&seen), ALL);
}

#[tokio::test]
async fn a_name_and_its_arn_are_the_same_stream() {
    let peer = Service::default().play();
    let kept = Kept::new();
    let by_name = run(&peer, &kept, ALL.len()).await;
    let own = format!("streams: ['{ARN}']");
    assert_eq!(run_with(&peer, &kept, &own, 0).await, [] as [&str; 0], "it goes on where it was");
    assert_eq!(run_with(&peer, &Kept::new(), &own, ALL.len()).await, by_name);
}

#[tokio::test]
async fn a_clock_that_is_ahead_does_not_make_latest_the_oldest() {
    let peer = Service { behind: 5.0, ..Service::default() }.play();
    let seen = run_with(&peer, &Kept::new(), "streams: [logs]\nstart: latest", ALL.len()).await;
    assert_eq!(messages(&seen), ALL);
    let asked = requests(&peer, "GetShardIterator");
    assert!(asked.iter().all(|request| request["ShardIteratorType"] == "AT_TIMESTAMP"), "{asked:?}");
    let first = asked[0]["Timestamp"].as_f64().unwrap();
    let of = |shard: &str| {
        let of_shard = asked.iter().filter(|request| request["ShardId"] == shard);
        of_shard.map(|request| (first - request["Timestamp"].as_f64().unwrap()).round()).collect::<Vec<_>>()
    };
    // The other shard begins where the first one could.
    assert_eq!((of("a"), of("b")), (vec![0.0, 1.0, 3.0, 7.0], vec![7.0]));
}

fn shared(kept: &Kept, url: &str) -> Shared {
    let keys = "auth: {type: aws, access_key_id: AKID, secret_access_key: key}";
    let settings = format!("streams: [locked, logs]\nendpoint: {url}\nregion: eu-west-1\n{keys}");
    let document = sawyer_config::Document::parse("test.yaml", &settings).unwrap();
    let mut problems = Problems::new();
    let plan = read(&document.at(), &mut problems);
    problems.into_result(plan).unwrap().share(&kept.context(kept.state.path())).unwrap()
}

#[test]
fn a_crash_does_not_move_the_start() {
    let kept = Kept::new();
    let begun = |shared: &Shared| {
        let source = shared.stream_source("logs");
        shared.offsets.lock().get(source).map(|progress| progress.group.clone())
    };
    let first = shared(&kept, "http://127.0.0.1:1");
    first.begin("logs");
    // Nothing more is saved.
    assert!(begun(&first).is_some());
    assert_eq!(begun(&shared(&kept, "http://127.0.0.1:1")), begun(&first));
}

#[tokio::test]
async fn it_ends_with_its_pipeline_whatever_its_shards_wait_for() {
    let (peer, kept) = (Service::default().play(), Kept::new());
    let (sender, receiver) = sawyer_pipeline::queue::queue(1 << 20);
    drop(receiver);
    let outlet = Outlet::new("test", vec![sender], &kept.metrics);
    let (_stopper, stop) = sawyer_pipeline::Stopper::new();
    let input = Box::new(Kinesis(Arc::new(shared(&kept, &peer.url()))));
    let ended = tokio::time::timeout(Duration::from_secs(60), input.run(outlet, stop)).await;
    assert!(ended.expect("it ends").is_err());
}
