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
    assert_eq!(problems_of("streams: [a-b_c.d, 'arn:aws:kinesis:eu-west-1:1:stream/x']"), "none");
}

/// Plays the service: shard `a` has ten records and was split, `b` has one and is open. Iterators name the shard and the place.
/// Answers to `GetRecords` may be others, by their number.
struct Service {
    odd: fn(usize, &str) -> Option<Play>,
    asked: std::sync::atomic::AtomicUsize,
}

fn told(json: &Json) -> Play {
    Play::Answer(Reply::new(200, json.to_string()))
}

fn refused(kind: &str) -> Option<Play> {
    Some(Play::Answer(Reply::new(400, json!({"__type": kind, "message": "no"}).to_string())))
}

impl Service {
    fn start(odd: fn(usize, &str) -> Option<Play>) -> Peer {
        let service = Self { odd, asked: std::sync::atomic::AtomicUsize::new(0) };
        Peer::start(move |_, received| service.answer(received))
    }

    fn answer(&self, received: &Received) -> Play {
        let action = received.header("x-amz-target").unwrap_or_default();
        let action = action.strip_prefix("Kinesis_20131202.").unwrap();
        let request: Json = serde_json::from_slice(&received.plain_body()).unwrap();
        match action {
            "ListShards" if request["NextToken"].is_null() => {
                assert_eq!(request["StreamName"], "logs");
                told(&json!({"Shards": [{"ShardId": "a"}], "NextToken": "more"}))
            }
            "ListShards" => told(&json!({"Shards": [{"ShardId": "b", "ParentShardId": "a"}]})),
            "GetShardIterator" => {
                let after = request["StartingSequenceNumber"].as_str().unwrap_or("0");
                told(&json!({"ShardIterator": format!("{} {after}", request["ShardId"].as_str().unwrap())}))
            }
            "GetRecords" => {
                let number = self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let iterator = request["ShardIterator"].as_str().unwrap();
                (self.odd)(number, iterator).unwrap_or_else(|| records(iterator))
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

async fn run(peer: &Peer, kept: &Kept, count: usize, taker: Taker) -> Vec<String> {
    kept.run(&kind(), &peer.url(), "streams: [logs]\ninterval: 200ms", count, taker).await
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
    assert_eq!(messages(&run(&peer, &kept, 11, Taker::Keeps).await), ALL);
    assert_eq!(run(&peer, &kept, 0, Taker::Keeps).await, [] as [&str; 0]);
}

#[tokio::test]
async fn children_wait_until_their_parent_is_durable() {
    let peer = Service::start(|_, _| None);
    let kept = Kept::new();
    let held = run(&peer, &kept, 10, Taker::Holds).await;
    assert_eq!(messages(&held), ALL[..10]);
    // Nothing of it counts as read.
    let again = run(&peer, &kept, 11, Taker::Keeps).await;
    assert_eq!(messages(&again), ALL);
    assert_eq!(held, again[..10], "by the same names");
}

#[tokio::test]
async fn what_was_let_go_of_is_read_again_and_what_is_behind_it() {
    let peer = Service::start(|_, _| None);
    let kept = Kept::new();
    let mut seen = run(&peer, &kept, 15, Taker::Drops(1)).await;
    assert_eq!(messages(&seen)[..4], ALL[..4]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), ALL.len(), "by the same names");
    assert_eq!(run(&peer, &kept, 0, Taker::Keeps).await, [] as [&str; 0]);
}
