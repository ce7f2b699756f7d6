//! Against a server on loopback.

use std::io::Read;

use sawyer_model::Outcome;
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::Value as Json;

use super::*;
use crate::testing::{Bench, context, numbered, plan, sim};

fn open(settings: &str, url: &str) -> Bench {
    let context = context(&sim());
    let text = format!("url: {url}\nretry_pause_max: 100ms\nbatch_age_max: 10ms\n{settings}");
    Bench::start(plan(&kind(), &text).unwrap().open(&context).unwrap(), context)
}

fn text_of(request: &Received) -> String {
    let mut text = String::new();
    match request.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(&*request.body).read_to_string(&mut text).unwrap(),
        None => request.body.as_slice().read_to_string(&mut text).unwrap(),
        Some(other) => panic!("sent as {other}"),
    };
    text
}

fn messages(request: &Received) -> Vec<String> {
    let text = text_of(request);
    let records: Vec<Json> = match request.header("content-type") {
        Some("application/json") => serde_json::from_str(&text).unwrap(),
        _ => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    };
    records.iter().map(|record| record["message"].as_str().unwrap().to_owned()).collect()
}

fn lines(range: Range<u64>) -> Vec<String> {
    range.map(|at| format!("line {at}")).collect()
}

#[tokio::test]
async fn sends_lines_with_headers() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(204, "")));
    let settings = "headers: {X-Scope: shop, Content-Type: application/jsonl}\ncompression: none";
    let mut bench = open(settings, &format!("{}/in?x=1", peer.url()));
    bench.send(numbered(0, 3)).await;
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    let [request] = peer.received().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/in?x=1"));
    assert_eq!(request.header("x-scope"), Some("shop"));
    assert_eq!(request.header("content-type"), Some("application/jsonl"));
    assert_eq!(messages(&request), lines(0..3));
    assert!(text_of(&request).starts_with(r#"{"_id":"00000000000000000000000000000007-0","#));
}

#[tokio::test]
async fn sends_a_list() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let mut bench = open("body: json\nmethod: put", &peer.url());
    bench.send(numbered(0, 3)).await;
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    let [request] = peer.received().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.header("content-type")), ("PUT", Some("application/json")));
    assert_eq!(messages(&request), lines(0..3));
}

#[tokio::test]
async fn keeps_order_through_faults() {
    let peer = Peer::start(|number, _| match number % 3 {
        0 => Play::Answer(Reply::new(200, "")),
        1 => Play::HangUp,
        _ => Play::Answer(Reply::new(503, "")),
    });
    let mut bench = open("ordered: true\nbatch_records_max: 10", &peer.url());
    for at in 0..10 {
        bench.send(numbered(at * 10, 10)).await;
    }
    assert_eq!(bench.drain().await.1, [Outcome::Durable; 10]);
    let taken = peer.received().into_iter().step_by(3);
    let arrived: Vec<String> = taken.flat_map(|request| messages(&request)).collect();
    assert_eq!(arrived, lines(0..100));
}

#[tokio::test]
async fn a_refused_body_is_cut_until_the_record_at_fault_stands_alone() {
    let peer = Peer::start(|_, request| {
        let bad = messages(request).contains(&"line 5".to_owned());
        Play::Answer(Reply::new(if bad { 400 } else { 200 }, "line 5 is wrong"))
    });
    let mut bench = open("", &peer.url());
    bench.send(numbered(0, 16)).await;
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Undelivered], "nobody keeps dead letters yet");
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 1);
    assert_eq!(metrics.numbers("sawyer_delivery_items")[0].1, 15);
}

#[tokio::test]
async fn many_records_go_in_several_pieces() {
    for settings in
        ["", "body: json", "body: json\ncompression: none", "batch_records_max: 1000", "batch_max: 1KiB"]
    {
        let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
        let mut bench = open(&format!("ordered: true\n{settings}"), &peer.url());
        bench.send(numbered(0, 3000)).await;
        let metrics = bench.context.metrics.clone();
        assert_eq!(bench.drain().await.1, [Outcome::Durable]);
        let requests = peer.received();
        let arrived: Vec<Vec<String>> = requests.iter().map(messages).collect();
        assert!(arrived.concat() == lines(0..3000), "{settings}");
        assert!(arrived.iter().all(|request| request.len() <= 1000) || !settings.contains("records_max"));
        assert_eq!(metrics.numbers("sawyer_delivery_items")[0].1, 3000);
    }
}

#[tokio::test]
async fn one_record_at_fault_among_many_stands_alone() {
    let peer = Peer::start(|_, request| {
        let bad = messages(request).contains(&"line 1777".to_owned());
        Play::Answer(Reply::new(if bad { 400 } else { 200 }, "line 1777 is wrong"))
    });
    let mut bench = open("", &peer.url());
    bench.send(numbered(0, 3000)).await;
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Undelivered], "nobody keeps dead letters yet");
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 1);
    assert_eq!(metrics.numbers("sawyer_delivery_items")[0].1, 2999);
}

#[test]
fn wrong_settings_are_told() {
    let told = |text: &str| plan(&kind(), text).unwrap_err();
    assert_eq!(
        told("url: logs\nheaders: {'a b': c}"),
        "sawyer.yaml:1:1: url: expected an address such as \"https://logs.example:9200\", found \"logs\"\n\
         sawyer.yaml:2:11: headers.a b: cannot stand as a header of HTTP"
    );
    assert_eq!(
        told("url: http://logs\ntls: {cert_file: /x}"),
        "sawyer.yaml:2:1: tls: expected both `cert_file` and `key_file`, or neither"
    );
}
