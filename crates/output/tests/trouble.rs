//! Each kind of output that sends over HTTP in each kind of trouble: it is told once, clearly and without a secret, it
//! shows in a metric and in readiness, nothing is lost or taken for delivered, and what is mended gets everything.
//! `real_kafka_auth.rs` has the same for Kafka, and `hour.rs` a target that is away for long.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sawyer_model::{Outcome, Timestamp, Value};
use sawyer_telemetry::Clock;
use sawyer_testkit::cloudwatch::Logs;
use sawyer_testkit::elasticsearch::Cluster;
use sawyer_testkit::loki::Loki;
use sawyer_testkit::peer::{Connection, Manner, Peer, Play, Received, Reply};

#[path = "harness/bench.rs"]
#[allow(dead_code, reason = "the bench has more than is needed here")]
mod bench;
#[path = "harness/told.rs"]
mod told;

use bench::{Bench, said};
use told::Told;

const SOON: Duration = Duration::from_secs(60);
const COUNT: u64 = 10;
const WARNING: &str = "cannot deliver now; it is tried again, and nothing is lost";

type Answer = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// A kind of output, and a target that takes what it sends.
struct Kind {
    name: &'static str,
    settings: String,
    /// None if there is no such target here.
    good: Option<Answer>,
    /// How many records the target has.
    count: Box<dyn Fn() -> usize>,
    /// What a target of this kind says to a stranger, and what is told of that.
    stranger: fn() -> Reply,
    told: &'static str,
}

fn kinds() -> Vec<Kind> {
    let stranger = || Reply::new(401, r#"{"error":"no such key"}"#);
    let told = "status 401 (are the credentials right?)";
    let bearer = "auth: {type: bearer, token: sesame}\n";
    let mut all = Vec::new();
    for name in ["elasticsearch", "opensearch"] {
        let cluster = Cluster::default();
        let there = cluster.clone();
        all.push(Kind {
            name,
            settings: format!("endpoint: ['URL']\n{bearer}"),
            good: Some(Arc::new(move |request| there.bulk(request))),
            count: Box::new(move || cluster.documents().len()),
            stranger,
            told,
        });
    }
    let loki = Loki::default();
    let there = loki.clone();
    all.push(Kind {
        name: "loki",
        settings: format!("endpoint: ['URL']\n{bearer}"),
        good: Some(Arc::new(move |request| there.answer(request))),
        count: Box::new(move || loki.lines().len()),
        stranger,
        told,
    });
    let logs = Arc::new(Logs::new(|| Clock::system().now().millis()));
    let there = Arc::clone(&logs);
    all.push(Kind {
        name: "cloudwatch_logs",
        settings: "endpoint: URL\nregion: eu-west-1\ngroup: g\nstream: s\n\
                   auth: {type: aws, access_key_id: AKID, secret_access_key: sesame}\n"
            .to_owned(),
        good: Some(Arc::new(move |request| there.answer(request))),
        count: Box::new(move || logs.messages("g", "s").len()),
        stranger: || {
            let text = "The security token included in the request is invalid.";
            Reply::new(400, format!(r#"{{"__type":"UnrecognizedClientException","message":"{text}"}}"#))
        },
        told: "UnrecognizedClientException",
    });
    let lines = Arc::new(std::sync::Mutex::new(0));
    let there = Arc::clone(&lines);
    all.push(Kind {
        name: "http",
        settings: format!("url: URL\n{bearer}"),
        good: Some(Arc::new(move |request| {
            *there.lock().unwrap() += request.plain_body().iter().filter(|byte| **byte == b'\n').count();
            Reply::new(200, "")
        })),
        count: Box::new(move || *lines.lock().unwrap()),
        stranger,
        told,
    });
    all.push(Kind {
        name: "sawyer",
        settings: "endpoint: ['URL']\ntoken: sesame\n".to_owned(),
        good: None,
        count: Box::new(|| 0),
        stranger,
        told: "401",
    });
    all
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Stranger,
    Silent,
    Nowhere,
    Expired,
}

fn pem(name: &str) -> PathBuf {
    sawyer_testkit::repository().join("crates/delivery/src/http/tests").join(name)
}

/// A peer whose certificate has expired.
fn expired() -> Peer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(pem("expired.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pem("server.key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let accept = Box::new(move |stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, stream)) as Box<dyn Connection>)
    });
    Peer::start_as(Manner { accept, ..Manner::default() }, |_, _| Play::Answer(Reply::new(200, "")))
}

/// A peer that is in trouble until it is mended.
fn peer(trouble: Trouble, kind: &Kind, mended: &Arc<AtomicBool>) -> Peer {
    let (mended, good, stranger) = (Arc::clone(mended), kind.good.clone(), kind.stranger);
    Peer::start(move |_, request| match (mended.load(Ordering::Acquire), &good) {
        (true, Some(good)) => Play::Answer(good(request)),
        _ if trouble == Trouble::Silent => Play::Silence,
        _ => Play::Answer(stranger()),
    })
}

fn number(bench: &Bench, metric: &str) -> i64 {
    bench.metrics.numbers(metric).iter().map(|(_, number)| number).sum()
}

async fn wait_until(what: &str, bench: &Bench, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}: {:?}", bench.health.reasons());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_told_once(told: &Told, kind: Kind, trouble: Trouble) {
    let name = format!("{}-{trouble:?}", kind.name);
    let mended = Arc::new(AtomicBool::new(false));
    let (peer, expected) = match trouble {
        Trouble::Stranger => (peer(trouble, &kind, &mended), kind.told),
        Trouble::Silent => (peer(trouble, &kind, &mended), "no answer within 300ms"),
        Trouble::Nowhere => (peer(trouble, &kind, &mended), "http://logs.invalid"),
        Trouble::Expired => (expired(), "certificate expired"),
    };
    let (url, tls) = match trouble {
        Trouble::Nowhere => ("http://logs.invalid".to_owned(), String::new()),
        Trouble::Expired => (
            format!("https://{}", peer.address()),
            format!("tls: {{ca_file: {}}}\n", pem("ca.pem").display()),
        ),
        _ => (peer.url(), String::new()),
    };
    let settings = format!(
        "{}{tls}batch_age_max: 10ms\nretry_pause_max: 100ms\nanswer_timeout: 300ms\n",
        kind.settings.replace("URL", &url)
    );
    let bench = Bench::start_as(&name, kind.name, &settings);
    bench.send(&said("cart-1", 0..COUNT, Clock::system().now())).await;
    wait_until(&name, &bench, || {
        number(&bench, "sawyer_delivery_requests") >= 6 && bench.health.reasons().concat().contains(expected)
    })
    .await;
    let warnings = told.of(WARNING);
    let warnings: Vec<&String> = warnings.iter().filter(|warning| warning.contains(&name)).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(expected), "{name}: {warnings:?}");
    let shown = format!("{warnings:?} {:?}", bench.health.reasons());
    assert!(!shown.contains("sesame"), "{name}: a secret is told: {shown}");
    assert!(number(&bench, "sawyer_delivery_retried_items") > 0, "{name}");
    assert_eq!(number(&bench, "sawyer_delivery_items"), 0, "{name}");
    assert_eq!((bench.outcomes(), (kind.count)()), (vec![], 0), "{name}: neither delivered nor given up");
    if kind.good.is_none() || matches!(trouble, Trouble::Nowhere | Trouble::Expired) {
        return;
    }
    mended.store(true, Ordering::Release);
    let health = bench.health.clone();
    assert_eq!(bench.drain().await, [Outcome::Durable], "{name}");
    assert_eq!((kind.count)(), COUNT as usize, "{name}: all of them, once");
    assert_eq!(health.reasons(), Vec::<String>::new(), "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_in_every_trouble_tells_once_and_loses_nothing() {
    let told = Told::default();
    tracing::subscriber::set_global_default(told.clone()).unwrap();
    for trouble in [Trouble::Stranger, Trouble::Silent, Trouble::Nowhere, Trouble::Expired] {
        for kind in kinds() {
            // The native protocol's strangers are in the tests of the program: the peer here speaks no HTTP/2.
            if kind.name == "sawyer" && trouble == Trouble::Stranger {
                continue;
            }
            is_told_once(&told, kind, trouble).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_for_a_target_is_left_out_alone() {
    for kind in kinds() {
        let (name, Some(good)) = (kind.name, kind.good.clone()) else { continue };
        // CloudWatch's limit is known before anything is sent, and Loki's is a setting.
        if name == "cloudwatch_logs" {
            continue;
        }
        let bytes = move |request: &Received| match name {
            "loki" => sawyer_testkit::loki::Push::decode_body(&request.body)
                .streams
                .iter()
                .flat_map(|stream| &stream.entries)
                .map(|entry| entry.line.len())
                .sum(),
            _ => request.plain_body().len(),
        };
        let peer = Peer::start(move |_, request| {
            let fits = bytes(request) < 50_000;
            Play::Answer(if fits { good(request) } else { Reply::new(413, "too large for me") })
        });
        let settings = format!("{}batch_age_max: 10ms\n", kind.settings.replace("URL", &peer.url()));
        let bench = Bench::start_as(name, name, &settings);
        let mut records = said("cart-1", 0..COUNT, Timestamp::from_secs(1_795_176_000));
        records[4].fields[0].1 = Value::from("x".repeat(100_000));
        bench.send(&records).await;
        let metrics = bench.metrics.clone();
        assert_eq!(bench.drain().await, [Outcome::Undelivered], "{name}: nobody keeps dead letters here");
        let rejected: i64 =
            metrics.numbers("sawyer_delivery_rejected_items").iter().map(|(_, number)| number).sum();
        assert_eq!((rejected, (kind.count)()), (1, COUNT as usize - 1), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_a_target_taught_is_kept_to() {
    const MOST: usize = 30_000;
    const BATCHES: u64 = 30;
    let peer = Peer::start(|_, request| {
        let fits = request.plain_body().len() <= MOST;
        Play::Answer(if fits { Reply::new(200, "") } else { Reply::new(413, "too large for me") })
    });
    let settings = format!("url: {}\nbatch_age_max: 1ms\n", peer.url());
    let bench = Bench::start_as("taught", "http", &settings);
    for batch in 0..BATCHES {
        let mut records = said("cart-1", batch * 100..batch * 100 + 100, Clock::system().now());
        for record in &mut records {
            record.fields.push(("filler".into(), Value::from("x".repeat(1000))));
        }
        bench.send(&records).await;
        wait_until("a batch is there", &bench, || bench.outcomes().len() as u64 == batch + 1).await;
    }
    let metrics = bench.metrics.clone();
    assert_eq!(bench.drain().await, [Outcome::Durable; BATCHES as usize]);
    let sizes: Vec<usize> = peer.received().iter().map(|request| request.plain_body().len()).collect();
    let refused = sizes.iter().filter(|bytes| **bytes > MOST).count();
    let splits: i64 = metrics.numbers("sawyer_delivery_splits").iter().map(|(_, number)| number).sum();
    // A batch is five times as long as the target takes. Cut each time anew it would be refused 3 times.
    assert!(splits as usize == refused && (2..BATCHES as usize).contains(&refused), "{refused}: {sizes:?}");
    let lines: usize = peer
        .received()
        .iter()
        .map(|request| {
            let body = request.plain_body();
            if body.len() > MOST { 0 } else { body.iter().filter(|byte| **byte == b'\n').count() }
        })
        .sum();
    assert_eq!(lines as u64, BATCHES * 100);
}
