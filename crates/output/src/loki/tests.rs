//! Against a Loki of the tests' own that stores what is right of a push and refuses the rest, as Loki does.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sawyer_model::{Outcome, Record, Value};
use sawyer_testkit::loki::{Entry as LokiEntry, Loki, Push, Rules, Stored};
use sawyer_testkit::peer::{Peer, Play, Reply};

use super::*;
use crate::testing::{Bench, NOW, batch_of, context, numbered, plan, record, sim};
use sawyer_testkit::Dice;

fn open(settings: &str, url: &str) -> Bench {
    let context = context(&sim());
    let text = format!("endpoint: {url}\nretry_pause_max: 100ms\nbatch_age_max: 10ms\n{settings}");
    Bench::start(plan(&kind(), &text).unwrap().open(&context).unwrap(), context)
}

fn serve(loki: &Loki) -> Peer {
    let loki = loki.clone();
    Peer::start(move |_, request| Play::Answer(loki.answer(request)))
}

/// What is stored of one record.
async fn stored(settings: &str, record: Record) -> (String, String, Stored) {
    let loki = Loki::default();
    let peer = serve(&loki);
    let mut bench = open(settings, &peer.url());
    bench.send(batch_of(&[record])).await;
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    let (key, mut entries) = loki.streams().pop_first().unwrap();
    (key.0, key.1, entries.remove(0))
}

fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn an_entry_has_the_line_as_it_was_written() {
    let mut record = record(0, "paid");
    record.fields.push(("_original".into(), Value::from(r#"{"msg":"paid","level":"info"}"#)));
    record.fields.push(("level".into(), Value::from("info")));
    record.fields.push(("labels.app".into(), Value::from("till")));
    record.fields.push(("amount".into(), Value::Float(1.5)));
    let (tenant, labels, entry) = stored("", record.clone()).await;
    assert_eq!(tenant, "fake");
    assert_eq!(labels, r#"{container="app", namespace="shop"}"#);
    assert_eq!((entry.nanos, entry.line.as_str()), (NOW.nanos(), r#"{"msg":"paid","level":"info"}"#));
    assert_eq!(entry.metadata, metadata(&[("level", "info"), ("pod", "cart-1")]));

    let settings = "labels: [app=labels.app]\nstatic_labels: {env: prod}\nstructured_metadata: ['*']\n\
                    line: message\ntenant: 'team-{namespace}'";
    let (tenant, labels, entry) = stored(settings, record.clone()).await;
    assert_eq!((tenant.as_str(), labels.as_str()), ("team-shop", r#"{app="till", env="prod"}"#));
    assert_eq!(entry.line, "paid");
    let expected = [
        ("level", "info"),
        ("amount", "1.5"),
        ("namespace", "shop"),
        ("pod", "cart-1"),
        ("container", "app"),
    ];
    assert_eq!(entry.metadata, metadata(&expected));

    let (_, _, entry) = stored("line: json\nstructured_metadata: []", record).await;
    assert!(entry.line.starts_with(r#"{"_id":"00000000000000000000000000000007-0","timestamp":"2026-"#));
    assert!(entry.line.ends_with('}') && entry.line.contains(r#""amount":1.5"#), "{}", entry.line);
    assert!(entry.metadata.is_empty());
}

#[tokio::test]
async fn structured_metadata_keep_to_their_bounds() {
    let mut many = record(0, "x");
    many.fields.extend((0..200).map(|at| (format!("f{at:03}").as_str().into(), Value::Int(at))));
    let (_, _, entry) = stored("structured_metadata: ['f*']", many).await;
    assert_eq!(entry.metadata.len(), 128);
    let mut large = record(0, "x");
    for at in 0..4 {
        large.fields.push((format!("f{at}").as_str().into(), Value::from("x".repeat(30_000))));
    }
    let (_, _, entry) = stored("structured_metadata: ['f*']", large).await;
    assert_eq!(entry.metadata.keys().collect::<Vec<_>>(), ["f0", "f1"]);
}

#[tokio::test]
async fn prost_writes_the_same_bytes() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(204, "")));
    let mut bench = open("", &peer.url());
    let mut records: Vec<Record> = (0..100).map(|at| record(at, &format!("line {at} 결제"))).collect();
    records[3].timestamp = sawyer_model::Timestamp::from_nanos(-1);
    records[4].timestamp = sawyer_model::Timestamp::EPOCH;
    records[5].fields[0].1 = Value::from("y".repeat(70_000));
    bench.send(batch_of(&records)).await;
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    let [request] = peer.received().try_into().unwrap();
    let push = Push::decode_body(&request.body);
    let times: Vec<i64> = push.streams[0].entries[3..5].iter().map(LokiEntry::nanos).collect();
    assert_eq!(times, [-1, 0]);
    let plain = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
    let mut again = push.clone();
    // Absent is how protobuf writes zero within a message, and prost reads an empty message back as one.
    assert_eq!(prost::Message::encode_to_vec(&again), plain);
    again.streams[0].labels.push('x');
    assert_ne!(prost::Message::encode_to_vec(&again), plain);
}

#[tokio::test]
async fn equal_lines_of_one_moment_are_all_kept() {
    let loki = Loki::default();
    let peer = serve(&loki);
    let mut bench = open("batch_records_max: 7", &peer.url());
    for start in [0, 300] {
        let same = (start..start + 300).map(|at| record(at, if at % 3 == 0 { "again" } else { "and again" }));
        bench.send(batch_of(&same.collect::<Vec<_>>())).await;
    }
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Durable; 2]);
    assert_eq!((loki.lines().len(), loki.repeated()), (600, 0));
    assert_eq!(metrics.numbers("sawyer_output_moved_records")[0].1, 598, "one of each text was not moved");
    let streams = loki.streams();
    let latest = streams.values().flatten().map(|entry| entry.nanos).max().unwrap();
    assert_eq!(latest - NOW.nanos(), 399);
}

#[tokio::test]
async fn a_record_that_comes_again_has_its_time_again() {
    let loki = Loki::default();
    let peer = serve(&loki);
    let mut bench = open("", &peer.url());
    let same: Vec<Record> = (0..20).map(|at| record(at, "again")).collect();
    for records in [&same[..10], &same[5..], &same[..1], &same[..]] {
        bench.send(batch_of(records)).await;
    }
    assert_eq!(bench.drain().await.1, [Outcome::Durable; 4]);
    assert_eq!((loki.lines().len(), loki.repeated()), (20, 26));
}

#[tokio::test]
async fn what_loki_refuses_is_rejected_alone() {
    let loki = Loki::with(Rules { oldest_nanos: NOW.nanos(), line_bytes_max: 1000, metadata: true });
    let peer = serve(&loki);
    let mut bench = open("", &peer.url());
    let mut records: Vec<Record> = (0..1000).map(|at| record(at, &format!("line {at}"))).collect();
    for at in (0..1000).step_by(10) {
        records[at].timestamp = NOW.saturating_sub(std::time::Duration::from_secs(60));
    }
    records[7].fields[0].1 = Value::from("z".repeat(1001));
    bench.send(batch_of(&records)).await;
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Undelivered], "nobody keeps dead letters here");
    assert_eq!(loki.lines().len(), 899);
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 101);
    assert_eq!(metrics.numbers("sawyer_delivery_items")[0].1, 899);
    assert!(peer.received().len() < 5, "{} requests for what two could say", peer.received().len());
}

#[tokio::test]
async fn a_line_that_is_too_long_is_not_even_sent() {
    let loki = Loki::with(Rules { line_bytes_max: 1 << 20, ..Rules::default() });
    let peer = serve(&loki);
    let mut bench = open("line_max: 1KiB", &peer.url());
    let records = [record(0, "short"), record(1, &"x".repeat(1025)), record(2, &"y".repeat(1024))];
    bench.send(batch_of(&records)).await;
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Undelivered], "nobody keeps dead letters here");
    assert_eq!((loki.lines().len(), peer.received().len()), (2, 1));
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 1);
}

#[tokio::test]
async fn a_refusal_that_says_nothing_is_cut_down_to_the_entry_at_fault() {
    let loki = Loki::default();
    let there = loki.clone();
    let peer = Peer::start(move |_, request| {
        let bad = Push::decode_body(&request.body).streams[0].entries.iter().any(|e| e.line == "line 5");
        if bad { Play::Answer(Reply::new(400, "no")) } else { Play::Answer(there.answer(request)) }
    });
    let mut bench = open("", &peer.url());
    bench.send(numbered(0, 16)).await;
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Undelivered]);
    assert_eq!(loki.lines().len(), 15);
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 1);
}

#[tokio::test]
async fn what_an_operator_can_end_rejects_nothing() {
    let loki = Loki::with(Rules { metadata: false, ..Rules::default() });
    let there = loki.clone();
    let peer = Peer::start(move |number, request| match number {
        0 => Play::Answer(Reply::new(260, "ingestion blocked")),
        // Metadata are allowed after a while.
        1 | 2 => Play::Answer(there.answer(request)),
        _ => Play::Answer(Reply::new(204, "")),
    });
    let mut bench = open("", &peer.url());
    bench.send(numbered(0, 10)).await;
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 0);
    assert_eq!(peer.received().len(), 4);
}

#[tokio::test]
async fn every_record_arrives_in_its_order_through_faults() {
    let loki = Loki::default();
    let there = loki.clone();
    let dice = Mutex::new(Dice::new(3));
    let peer = Peer::start(move |_, request| match dice.lock().below(6) {
        0 => Play::HangUp,
        1 => {
            // The answer is lost.
            let reply = there.answer(request);
            assert_eq!(reply.status, 204);
            Play::HangUp
        }
        2 => Play::Answer(Reply::new(429, "rate limit").header("retry-after", "0")),
        3 if Push::decode_body(&request.body).streams.iter().map(|s| s.entries.len()).sum::<usize>() > 5 => {
            Play::Answer(Reply::new(413, ""))
        }
        _ => Play::Answer(there.answer(request)),
    });
    let mut bench = open("batch_records_max: 10\nlabels: [pod]\nrequests_max: 4", &peer.url());
    for start in (0..200).step_by(20) {
        let of_pod = |at: u64| {
            let mut record = record(at, &format!("{at:04}"));
            let pod = format!("cart-{}", at % 5);
            record.stream = Arc::new(sawyer_model::Stream::new([("pod", Value::from(pod))]));
            record
        };
        bench.send(batch_of(&(start..start + 20).map(of_pod).collect::<Vec<_>>())).await;
    }
    assert_eq!(bench.drain().await.1, [Outcome::Durable; 10]);
    let streams = loki.streams();
    assert_eq!((streams.len(), loki.lines().len()), (5, 200));
    assert!(loki.repeated() > 0, "no answer was lost: the test has no teeth");
    for (key, entries) in streams {
        assert!(entries.is_sorted_by_key(|entry| &entry.line), "{key:?} is out of order");
    }
}

#[tokio::test]
async fn tenants_do_not_share_requests() {
    let loki = Loki::default();
    let peer = serve(&loki);
    let mut bench = open("tenant: '{message}'\nlabels: []", &peer.url());
    bench.send(batch_of(&["a", "b", "a"].map(|message| record(0, message)))).await;
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    let tenants: Vec<(String, String)> = loki.streams().into_keys().collect();
    assert_eq!(tenants, ["a", "b"].map(|tenant| (tenant.to_owned(), r#"{job="sawyer"}"#.to_owned())));
}

#[test]
fn wrong_settings_are_told() {
    let told = |text: &str| plan(&kind(), text).unwrap_err();
    assert_eq!(
        told("endpoint: loki:3100\nlabels: [pod, 'a b=c']\ntenant: a/b"),
        "sawyer.yaml:1:1: endpoint: expected an address such as \"https://logs.example:9200\", found \
         \"loki:3100\"\n\
         sawyer.yaml:2:15: labels[1]: expected a field, or a label and a field as in `app=labels.app`, found \
         \"a b=c\"\n\
         sawyer.yaml:3:1: tenant: a tenant cannot have `/` in its name, found \"a/b\""
    );
    assert_eq!(
        told("endpoint: http://loki\ncompression: gzip"),
        "sawyer.yaml:2:1: compression: Loki takes snappy, which is what this output sends"
    );
    let message = told("endpoint: http://loki\nstatic_labels: {__name__: x}");
    assert!(message.contains("expected a label and a value"), "{message}");
}
