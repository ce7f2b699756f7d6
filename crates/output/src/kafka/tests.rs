//! Against librdkafka's own mock cluster, which speaks the protocol over loopback. `tests/real_kafka.rs` reads with an
//! independent consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Code};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sawyer_model::{Outcome, Record, Stream, Value};
use sawyer_pipeline::Stopper;
use serde_json::Value as Json;

use super::watch::{Listener, Watch};
use super::*;
use crate::testing::{Bench, NOW, batch_of, context, plan, record, sim};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const TOPIC: &str = "sawyer";
const PARTITIONS: i32 = 4;

/// Longest wait for what was sent.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long is waited for messages that should not be there.
const MORE: Duration = Duration::from_millis(500);

/// A message as a consumer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    key: Option<String>,
    text: String,
    headers: Vec<(String, String)>,
    millis: Option<i64>,
}

fn cluster() -> Cluster {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 3).unwrap();
    cluster
}

fn open(cluster: &Cluster, settings: &str) -> Bench {
    open_at(&cluster.bootstrap_servers(), settings)
}

fn open_at(servers: &str, settings: &str) -> Bench {
    let context = context(&sim());
    let text = format!(
        "brokers: [\"{servers}\"]\nretry_pause_max: 100ms\nbatch_age_max: 10ms\nlinger: 1ms\n{settings}"
    );
    Bench::start(plan(&kind(), &text).unwrap().open(&context).unwrap(), context)
}

/// All messages of the topic, those of a partition in their order.
fn consume(cluster: &Cluster, count: usize) -> Vec<Read> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "test");
    let consumer: BaseConsumer = config.set("enable.auto.commit", "false").create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut read = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    loop {
        let wait = if read.len() < count { PATIENCE } else { MORE };
        let Some(message) = consumer.poll(wait) else { return read };
        let message = message.unwrap();
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), text(header.value.unwrap()))).collect()
        });
        read.push(Read {
            key: message.key().map(text),
            text: text(message.payload().unwrap()),
            headers: headers.unwrap_or_default(),
            millis: message.timestamp().to_millis(),
        });
    }
}

/// Records of a pod that say their numbers.
fn said(pod: &str, numbers: std::ops::Range<u64>) -> Vec<Record> {
    let records = numbers.map(|at| {
        let mut record = record(at, &format!("{pod} {at}"));
        let stream = [("namespace", "shop"), ("pod", pod), ("container", "app")];
        record.stream = Arc::new(Stream::new(stream.map(|(name, value)| (name, Value::from(value)))));
        record
    });
    records.collect()
}

/// Checks that each pod's numbers are all there and in order, but for repetitions; gives how many of those there are.
fn check(read: &[Read], pods: &[&str], each: u64) -> usize {
    let mut by_key: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for message in read {
        by_key.entry(message.key.as_deref().unwrap()).or_default().push(&message.text);
    }
    let mut again = 0;
    for pod in pods {
        let got = &by_key[format!("shop/{pod}/app").as_str()];
        let mut seen = BTreeSet::new();
        let first: Vec<&str> = got.iter().filter(|text| seen.insert(**text)).copied().collect();
        let expected: Vec<String> = (0..each).map(|at| format!("{pod} {at}")).collect();
        assert_eq!(first, expected, "all of them, in order, unchanged");
        again += got.len() - first.len();
    }
    again
}

const LINE: &str = "format: line\n";

#[tokio::test]
async fn a_message_has_topic_key_headers_and_time() {
    let cluster = cluster();
    let settings = "topic: 'saw{team|\"yer\"}'\nheaders: {origin: '{namespace}/x', level: '{level|\"-\"}'}\n";
    let mut bench = open(&cluster, settings);
    bench.deliver(batch_of(&[record(0, "it \"works\" 결제")])).await;
    let [read] = consume(&cluster, 1).try_into().unwrap();
    assert_eq!(read.key.as_deref(), Some("shop/cart-1/app"));
    let headers =
        [("level", "-"), ("origin", "shop/x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((read.headers.as_slice(), read.millis), (headers.as_slice(), Some(NOW.millis())));
    let event: Json = serde_json::from_str(&read.text).unwrap();
    assert_eq!(event["message"], "it \"works\" 결제");
    assert_eq!(event["_id"], "00000000000000000000000000000007-0");
}

#[tokio::test]
async fn every_compression_arrives() {
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let cluster = cluster();
        let mut bench = open(&cluster, &format!("{LINE}compression: {compression}"));
        bench.deliver(batch_of(&said("a", 0..1000))).await;
        assert_eq!(check(&consume(&cluster, 1000), &["a"], 1000), 0, "{compression}");
    }
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_through_errors() {
    const EACH: u64 = 2000;
    let cluster = cluster();
    let faults = [
        Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Code::RD_KAFKA_RESP_ERR__TRANSPORT,
        Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Code::RD_KAFKA_RESP_ERR_NO_ERROR,
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &faults.repeat(6));
    // Brokers leave out a request whose number is not the next one, or that they have; the mock cluster does so for
    // transactions only. With several requests under way it would take the ones behind a failed one first.
    let settings = "batch_records_max: 100\n\
                    librdkafka: {retry.backoff.ms: 10, max.in.flight.requests.per.connection: 1}\n";
    let mut bench = open(&cluster, &format!("{LINE}{settings}"));
    let pods = ["a", "b", "c", "d", "e"];
    for start in (0..EACH).step_by(200) {
        for pod in pods {
            bench.send(batch_of(&said(pod, start..start + 200))).await;
        }
    }
    let (ended, outcomes) = bench.drain().await;
    ended.unwrap();
    assert_eq!(outcomes, vec![Outcome::Durable; 50]);
    let again = check(&consume(&cluster, 5 * EACH as usize), &pods, EACH);
    assert_eq!(again, 0, "the producer is idempotent");
}

#[tokio::test]
async fn a_cluster_that_is_away_is_told_and_waited_for() {
    let cluster = cluster();
    let mut bench = open(&cluster, LINE);
    bench.deliver(batch_of(&said("a", 0..10))).await;
    cluster.broker_down(-1).unwrap();
    let number = bench.send(batch_of(&said("a", 10..20))).await;
    bench.until("it is told", |bench| !bench.context.health.reasons().is_empty()).await;
    let told = format!("{:?}", bench.context.health.reasons());
    assert!(told.contains("output out: "), "{told}");
    assert_eq!(bench.outcome(number), None);
    cluster.broker_up(-1).unwrap();
    bench.until("it is delivered", |bench| bench.outcome(number) == Some(Outcome::Durable)).await;
    assert_eq!(bench.context.health.reasons(), Vec::<String>::new());
    check(&consume(&cluster, 20), &["a"], 20);
}

#[tokio::test]
async fn nobody_there_and_no_time_left_gives_everything_back() {
    let mut bench = open_at("127.0.0.1:1", LINE);
    bench.send(batch_of(&said("a", 0..10))).await;
    bench.until("it is told", |bench| !bench.context.health.reasons().is_empty()).await;
    assert_eq!(bench.give_up().await.1, [Outcome::Undelivered]);
}

/// An output that asks a provider who never answers, and runs on the only thread of its runtime.
async fn ends_while_a_token_is_waited_for() -> Vec<Outcome> {
    let provider = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", provider.local_addr().unwrap());
    let sasl = format!(
        "sasl: {{mechanism: oauthbearer, oauth: {{token_url: '{url}', client_id: me, client_secret: s3cr3t}}}}"
    );
    let mut bench = open_at("127.0.0.1:1", &format!("{LINE}{sasl}"));
    bench.send(batch_of(&said("a", 0..10))).await;
    let (asked, _) = provider.accept().await.unwrap();
    asked.readable().await.unwrap();
    let health = bench.context.health.clone();
    let outcomes = bench.give_up().await.1;
    assert_eq!(health.reasons(), Vec::<String>::new(), "an end is no trouble");
    outcomes
}

#[test]
fn a_provider_that_never_answers_holds_no_end_up() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcomes = runtime.block_on(ends_while_a_token_is_waited_for());
        drop(runtime);
        tell.send(outcomes).unwrap();
    });
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), [Outcome::Undelivered]);
}

#[test]
fn what_an_ended_producer_says_is_no_trouble() {
    let context = context(&sim());
    let watch = Arc::new(Watch::new(&context, "a:1".to_owned()));
    let (stopper, end) = Stopper::new();
    let listener = Listener { watch, tokens: None, end };
    let say = || listener.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "refused");
    stopper.stop();
    say();
    assert_eq!(context.health.reasons(), Vec::<String>::new());
}

#[tokio::test]
async fn a_message_that_is_too_large_is_rejected_alone() {
    let cluster = cluster();
    let mut bench = open(&cluster, &format!("{LINE}message_max: 10KiB"));
    let mut records = said("a", 0..10);
    records[5].fields[0].1 = Value::from("x".repeat(11 << 10));
    bench.send(batch_of(&records)).await;
    let metrics = bench.context.metrics.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Undelivered], "nobody keeps dead letters here");
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 1);
    assert_eq!(consume(&cluster, 9).len(), 9);
}

#[tokio::test]
async fn a_missing_permission_costs_no_record() {
    let cluster = cluster();
    cluster.topic_error(TOPIC, Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    let mut bench = open(&cluster, &format!("{LINE}librdkafka: {{topic.metadata.refresh.interval.ms: 200}}"));
    let number = bench.send(batch_of(&said("a", 0..10))).await;
    bench.until("it is told", |bench| !bench.context.health.reasons().is_empty()).await;
    assert_eq!(bench.outcome(number), None);
    cluster.topic_error(TOPIC, Code::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    bench.until("it is delivered", |bench| bench.outcome(number) == Some(Outcome::Durable)).await;
    assert_eq!(check(&consume(&cluster, 10), &["a"], 10), 0);
}

#[test]
fn users_and_certificates_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "s3cr3t\n").unwrap();
    let context = context(&sim());
    for mechanism in ["plain", "scram_sha_256", "scram_sha_512"] {
        let text = format!(
            "brokers: [a:1]\nsasl: {{mechanism: {mechanism}, user: me, password_file: {}}}\ntls: {{}}",
            password.display()
        );
        assert!(plan(&kind(), &text).unwrap().open(&context).is_ok(), "{mechanism}");
    }
    let missing = plan(&kind(), "brokers: [a:1]\ntls: {ca_file: /nowhere/ca.pem}").unwrap().open(&context);
    let told = missing.err().unwrap().chain();
    assert!(told.starts_with("read /nowhere/ca.pem: No such file"), "{told}");
}

#[test]
fn what_the_mechanism_does_not_use_is_told_and_no_password_is() {
    let told = |sasl: &str| plan(&kind(), &format!("brokers: [a:1]\nsasl:\n{sasl}")).unwrap_err();
    let oauth = "  oauth: {token_url: 'https://b/token', client_id: me, client_secret: s3cr3t}\n";
    let bearer = "is for the mechanism `oauthbearer`; `mechanism` is";
    let passwords = "is for the mechanism `plain`, `scram_sha_256`, `scram_sha_512`; `mechanism` is";
    assert_eq!(told(oauth), format!("sawyer.yaml:3:3: sasl.oauth: {bearer} `scram_sha_512`"));
    let sasl =
        "  mechanism: plain\n  user: me\n  password: s3cr3t\n  token: t0ken\n  aws: {region: eu-west-1}\n";
    assert_eq!(
        told(sasl),
        format!(
            "sawyer.yaml:6:3: sasl.token: {bearer} `plain`\n\
             sawyer.yaml:7:3: sasl.aws: is for the mechanism `aws_msk_iam`; `mechanism` is `plain`"
        )
    );
    let sasl = format!("  mechanism: oauthbearer\n{oauth}  user: me\n  password_file: /p\n");
    assert_eq!(
        told(&sasl),
        format!(
            "sawyer.yaml:5:3: sasl.user: {passwords} `oauthbearer`\n\
             sawyer.yaml:6:3: sasl.password_file: {passwords} `oauthbearer`"
        )
    );
    for user in ["me:s3cr3t@", ":s3cr3t@", "me@"] {
        let sasl =
            format!("  mechanism: oauthbearer\n{}", oauth.replace("b/token", &format!("{user}b/token")));
        let told = told(&sasl);
        assert!(
            told.starts_with("sawyer.yaml:4:11: sasl.oauth.token_url: an address with a password in it"),
            "{told}"
        );
        assert!(!told.contains("s3cr3t"), "{told}");
    }
}

#[test]
fn wrong_settings_are_told() {
    let told = |text: &str| plan(&kind(), text).unwrap_err();
    let text = "brokers: []\ntopic: 'a/b'\nlibrdkafka: {acks: 1, no.such.thing: s3cr3t, client.id: me, socket.timeout.ms: s3cr3t}\n\
                sasl: {user: a}";
    let expected = [
        "sawyer.yaml:1:1: brokers: expected addresses such as \"kafka:9092\"",
        "sawyer.yaml:2:1: topic: a topic cannot have `/` in its name, found \"a/b\"",
        "sawyer.yaml:4:1: sasl: expected either `password` or `password_file`",
    ];
    let all = told(text);
    for line in expected {
        assert!(all.contains(line), "{all}");
    }
    let all = told(
        "brokers: [a:1]\nlibrdkafka: {acks: 1, no.such.thing: s3cr3t, client.id: me, socket.timeout.ms: s3cr3t}",
    );
    for part in [
        "librdkafka.acks: cannot be set here: it is always `all`",
        "librdkafka.no.such.thing: librdkafka says: No such configuration property",
        "librdkafka.socket.timeout.ms: librdkafka says: ",
    ] {
        assert!(all.contains(part), "{all}");
    }
    assert!(!all.contains("s3cr3t") && !all.contains("client.id"), "{all}");
}

#[tokio::test]
async fn tokens_are_taken_from_where_they_are_said_to_be() {
    let context = context(&sim());
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "t0ken").unwrap();
    let good = [
        format!("{{mechanism: oauthbearer, token_file: {}}}", token.path().display()),
        "{mechanism: oauthbearer, oauth: {token_url: 'http://a/token', client_id: a, client_secret: b}}"
            .to_owned(),
        "{mechanism: aws_msk_iam, aws: {region: eu-west-1, access_key_id: a, secret_access_key: b}}"
            .to_owned(),
    ];
    for sasl in good {
        let plan = plan(&kind(), &format!("brokers: [a:1]\nsasl: {sasl}\ntls: {{}}")).unwrap();
        assert!(plan.open(&context).is_ok(), "{sasl}");
    }
    let wrong = [
        ("{mechanism: plain, password: b}", "sasl: expected `user`"),
        ("{mechanism: oauthbearer}", "sasl: expected `token`, `token_file` or `oauth`"),
        (
            "{mechanism: oauthbearer, token: a, token_file: b}",
            "sasl: expected either `token` or `token_file`",
        ),
        (
            "{mechanism: oauthbearer, token: a, oauth: {token_url: 'http://a', client_id: a, client_secret: b}}",
            "sasl: expected either a token or `oauth`",
        ),
        (
            "{mechanism: oauthbearer, oauth: {token_url: login, client_id: a}}",
            "sasl.oauth.token_url: expected an address such as",
        ),
        ("{mechanism: aws_msk_iam, aws: {access_key_id: a}}", "sasl.aws: expected both `access_key_id` and"),
    ];
    for (sasl, expected) in wrong {
        let told = plan(&kind(), &format!("brokers: [a:1]\nsasl: {sasl}\ntls: {{}}")).unwrap_err();
        assert!(told.contains(expected), "{sasl}: {told}");
    }
}
