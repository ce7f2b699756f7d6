//! Numbered records into a cluster that fails, read by kcat.
#![cfg(feature = "kafka")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Code};
use sawyer_model::{Outcome, Timestamp};

#[allow(dead_code, reason = "the bench has more than is needed here")]
#[path = "harness/bench.rs"]
mod bench;

use bench::{Bench, check, said};

const EACH: u64 = 5000;
const PODS: [&str; 6] = ["a-1", "b-1", "c-1", "d-1", "e-1", "f-1"];

/// The messages of a topic by pod, as kcat reads them.
fn read(servers: &str) -> BTreeMap<String, Vec<String>> {
    let out = Command::new("kcat")
        .args(["-C", "-b", servers, "-t", "sawyer", "-o", "beginning", "-e", "-q", "-f", "%k\t%s\n"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut by_pod: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8(out.stdout).unwrap().lines() {
        let (key, text) = line.split_once('\t').unwrap();
        by_pod.entry(key.split('/').nth(1).unwrap().to_owned()).or_default().push(text.to_owned());
    }
    by_pod
}

#[tokio::test]
async fn kcat_reads_every_record_in_order_after_faults() {
    if !sawyer_testkit::may_use_root("needs kcat") {
        return;
    }
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic("sawyer", 4, 3).unwrap();
    let servers = cluster.bootstrap_servers();
    // One request at a time, as brokers put several in order by their numbers, and the mock cluster does not.
    let settings = format!(
        "brokers: [\"{servers}\"]\nformat: line\nbatch_age_max: 20ms\nretry_pause_max: 100ms\n\
         librdkafka: {{retry.backoff.ms: 10, reconnect.backoff.max.ms: 200, \
         max.in.flight.requests.per.connection: 1}}"
    );
    let bench = Bench::start("kafka", &settings);
    let now = Timestamp::from_secs(1_795_176_000);
    for (round, start) in (0..EACH).step_by(500).enumerate() {
        for pod in PODS {
            bench.send(&said(pod, start..start + 500, now)).await;
        }
        match round {
            1 => cluster.request_errors(
                RDKafkaApiKey::Produce,
                &[Code::RD_KAFKA_RESP_ERR__TRANSPORT, Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT].repeat(5),
            ),
            3 => cluster.broker_down(1).unwrap(),
            4 => cluster.partition_leader("sawyer", 0, Some(3)).unwrap(),
            5 => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                cluster.broker_up(1).unwrap();
            }
            6 => cluster.broker_round_trip_time(2, Duration::from_millis(200)).unwrap(),
            7 => {
                cluster.broker_down(-1).unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
                cluster.broker_up(-1).unwrap();
            }
            _ => {}
        }
    }
    let metrics = bench.metrics.clone();
    assert_eq!(bench.drain().await, [Outcome::Durable; 60]);
    let again = check(&read(&servers), &PODS, EACH);
    let retried: i64 =
        metrics.numbers("sawyer_delivery_retried_items").iter().map(|(_, number)| number).sum();
    eprintln!("{} records, {again} of them twice, {retried} tried again by the courier", EACH * 6);
    // A broker that goes away may have kept what it did not answer; the mock cluster knows no sequence numbers.
    assert!(again < EACH as usize, "{again}");
}
