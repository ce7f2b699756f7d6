//! Brokers that cannot be found, and brokers that take connections and never answer: it is told once and clearly, nothing
//! is lost or taken for delivered, and what is mended gets everything. `real_kafka_auth.rs` has what is wrong with who
//! comes and who answers.
#![cfg(feature = "kafka")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use sawyer_model::{Outcome, Timestamp};
use sawyer_telemetry::Clock;

#[path = "harness/bench.rs"]
#[allow(dead_code, reason = "the bench has more than is needed here")]
mod bench;
#[path = "harness/told.rs"]
mod told;

use bench::{Bench, said};
use told::Told;

const SOON: Duration = Duration::from_secs(240);
const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);
const TROUBLE: &str = "Kafka is in trouble; it is tried again, and nothing is lost";
const COUNT: u64 = 10;

/// Takes connections, and answers nothing until it is mended; then it leads to a cluster. Gives its address.
fn door(cluster: String, mended: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for client in listener.incoming().map_while(Result::ok) {
            if mended.load(Ordering::Acquire) {
                // Who comes a second time needs no answer of who was kept waiting.
                kept.clear();
                lead(client, &cluster);
            } else {
                kept.push(client);
            }
        }
    });
    address
}

/// Passes on what both sides say.
fn lead(client: TcpStream, cluster: &str) {
    // When the test is over, the cluster may be gone first.
    let Ok(broker) = TcpStream::connect(cluster.split(',').next().unwrap()) else { return };
    for (mut from, mut to) in [(client.try_clone().unwrap(), broker.try_clone().unwrap()), (broker, client)] {
        std::thread::spawn(move || {
            drop(copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Both));
        });
    }
}

async fn wait_until(what: &str, bench: &Bench, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        let told = bench.metrics.numbers("sawyer_output_kafka_errors");
        assert!(Instant::now() < deadline, "{what} takes too long: {:?} {told:?}", bench.health.reasons());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends to brokers in trouble until that was told and met again and again.
async fn is_told_once(told: &Told, name: &str, brokers: &str, expected: &[&str]) -> Bench {
    let settings = format!(
        "brokers: ['{brokers}']\nformat: line\nbatch_age_max: 10ms\nlinger: 1ms\nlibrdkafka: \
         {{socket.timeout.ms: 500, api.version.request.timeout.ms: 500, reconnect.backoff.max.ms: 200}}\n"
    );
    // However long it takes, no half minute goes by after which it is told again.
    let bench = Bench::start_by(Clock::manual(NOW), name, "kafka", &settings);
    bench.send(&said("cart-1", 0..COUNT, NOW)).await;
    let complaints = || -> i64 {
        bench.metrics.numbers("sawyer_output_kafka_errors").iter().map(|(_, number)| number).sum()
    };
    let tell = || bench.health.reasons().concat();
    wait_until(name, &bench, || complaints() >= 2 && expected.iter().any(|part| tell().contains(part))).await;
    let warnings: Vec<String> = told.of(TROUBLE).into_iter().filter(|told| told.contains(name)).collect();
    assert!(warnings.len() == 1, "{name}: {warnings:?}");
    assert!(expected.iter().any(|part| warnings[0].contains(part)), "{name}: {warnings:?}");
    assert_eq!(bench.outcomes(), [], "{name}: nothing is taken for delivered, nor for lost");
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_that_is_nowhere_or_never_answers_is_told_once() {
    let told = Told::default();
    tracing::subscriber::set_global_default(told.clone()).unwrap();
    // No name is this long, and every resolver knows that without asking anybody.
    let nowhere = format!("kafka.{}.invalid:9092", "x".repeat(64));
    drop(is_told_once(&told, "unknown-host", &nowhere, &[&nowhere]).await);

    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("sawyer", 1, 1).unwrap();
    let mended = Arc::new(AtomicBool::new(false));
    let address = door(cluster.bootstrap_servers(), Arc::clone(&mended));
    let bench = is_told_once(
        &told,
        "silent-broker",
        &address,
        &["takes connections, and may not be Kafka, or want TLS"],
    )
    .await;
    mended.store(true, Ordering::Release);
    let health = bench.health.clone();
    assert_eq!(bench.drain().await, [Outcome::Durable]);
    assert_eq!(health.reasons(), Vec::<String>::new());
    assert_eq!(told.of("delivers again").len(), 1);
}
