use std::time::Duration;

use sawyer_telemetry::Metrics;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};

use super::*;
use crate::receive::socket::bench::{Bench, context, plan};

const ANY: &str = "udp: 127.0.0.1:0\ntcp: 127.0.0.1:0\n";

fn open(settings: &str) -> (Syslog, Metrics) {
    let metrics = Metrics::new();
    let syslog = plan(read, settings).unwrap().open_sockets(&context(&metrics)).unwrap();
    (syslog, metrics)
}

#[tokio::test]
async fn messages_come_over_udp_tcp_and_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (input, metrics) = open(&format!("{ANY}unix: {}\nfields: {{env: test}}\n", path.display()));
    let udp = input.datagrams.as_ref().unwrap().address();
    let tcp = input.door.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"<34>Oct 11 22:14:15 web-1 su: over udp\n", udp).await.unwrap();
    bench.wait(1, &[]).await;
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    stream
        .write_all(b"<11>1 2026-11-20T10:00:00Z web-2 app 7 - - line\n21 <13>app: with a\ncount")
        .await
        .unwrap();
    bench.wait(3, &[]).await;
    stream.write_all(b"<14>cut off by the end").await.unwrap();
    drop(stream);
    bench.wait(4, &[]).await;
    let local = UnixDatagram::unbound().unwrap();
    local.send_to(b"<13>Nov 20 10:00:00 my own words", &path).await.unwrap();
    let found = bench.wait(5, &["message", "node", "service", "level", "peer", "env", "identity"]).await;
    assert_eq!(
        found[..4],
        [
            "over udp|web-1|su|fatal|127.0.0.1|test|claimed",
            "line|web-2|app|error|127.0.0.1|test|claimed",
            "with a\ncount|-|app|info|127.0.0.1|test|-",
            "cut off by the end|-|-|info|127.0.0.1|test|-",
        ]
    );
    assert!(found[4].starts_with("my own words|") && found[4].ends_with("|-|info|-|test|-"), "{}", found[4]);
    let mut ids = bench.ids();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    bench.stop().await;
    assert!(!path.exists(), "the socket goes with the input");
}

#[tokio::test]
async fn what_was_read_is_passed_on_at_a_stop() {
    let (input, metrics) = open(ANY);
    let tcp = input.door.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    stream.write_all(b"<13>a: one\n<13>a: the beginning of an").await.unwrap();
    while bench.counted("sawyer_receiver_socket_bytes") < 37 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let taken = Arc::clone(&bench.taken);
    bench.stop().await;
    assert_eq!(taken.lock().records.len(), 2);
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_counted() {
    let (input, metrics) = open(&format!("{ANY}connections_max: 2\n"));
    let tcp = input.door.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let mut held = Vec::new();
    for number in 0..2 {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        stream.write_all(format!("<13>a: {number}\n").as_bytes()).await.unwrap();
        held.push(stream);
        bench.wait(number + 1, &[]).await;
    }
    let mut third = TcpStream::connect(tcp).await.unwrap();
    let mut nothing = Vec::new();
    third.read_to_end(&mut nothing).await.unwrap();
    assert_eq!(bench.counted("sawyer_receiver_refused"), 1);
    bench.stop().await;
}

#[test]
fn wrong_settings_are_told() {
    assert_eq!(
        plan(read, "udp: null\ntcp: null\ntime_zone: Mars/Olympus\n").unwrap_err(),
        "sawyer.yaml:1:1: expected somewhere to listen: `udp`, `tcp` or `unix`, found none of them\n\
         sawyer.yaml:3:1: time_zone: expected the name of a time zone, such as Europe/Berlin, found \"Mars/Olympus\""
    );
}

/// Who asks for an increase sees none where the first number that there is was counted already.
#[test]
fn losses_are_counted_from_nothing() {
    let (_input, metrics) = open("udp: 127.0.0.1:0\n");
    let lost = metrics.numbers("sawyer_receiver_lost_records");
    assert!(lost.iter().any(|(labels, _)| labels.contains(&("reason", "receive_buffer".to_owned()))));
    assert!(lost.len() == 4 && lost.iter().all(|(_, count)| *count == 0), "{lost:?}");
}

#[tokio::test]
async fn a_network_tells_the_sender_and_its_namespace() {
    let sender =
        "senders: {router: {networks: [127.0.0.0/8], namespaces: [network], fields: {site: berlin}}}\n";
    let (input, metrics) = open(&format!("{ANY}{sender}"));
    let udp = input.datagrams.as_ref().unwrap().address();
    let tcp = input.door.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"<34>Oct 11 22:14:15 web-1 su: over udp\n", udp).await.unwrap();
    bench.wait(1, &[]).await;
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    stream.write_all(b"<13>su: over tcp\n").await.unwrap();
    let found = bench.wait(2, &["message", "namespace", "sawyer.client", "site", "peer"]).await;
    let of = |message: &str| format!("{message}|network|router|berlin|127.0.0.1");
    assert_eq!(found, [of("over udp"), of("over tcp")]);
    bench.stop().await;
}

#[tokio::test]
async fn datagrams_beyond_the_rate_are_lost_and_counted() {
    let (input, metrics) = open(&format!("{ANY}records_per_second: 1\n"));
    let udp = input.datagrams.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for number in 0..100 {
        socket.send_to(format!("<13>a: {number}").as_bytes(), udp).await.unwrap();
    }
    let lost = || bench.counted("sawyer_receiver_lost_records");
    bench.until(|taken| taken.records.len() as i64 + lost() == 100).await;
    assert!(lost() > 0, "a hundred seconds have not passed");
    bench.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_rate_wait() {
    let (input, metrics) = open(&format!("{ANY}records_per_second: 100\n"));
    let tcp = input.door.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let start = Instant::now();
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    let padding = "x".repeat(1000);
    for number in 0..400 {
        stream.write_all(format!("<13>a: {number} {padding}\n").as_bytes()).await.unwrap();
    }
    bench.wait(400, &[]).await;
    // 200 at once, and what came with the last of them; the others take their time.
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(bench.counted("sawyer_receiver_lost_records"), 0);
    bench.stop().await;
}

#[test]
fn a_sender_has_one_namespace_at_most() {
    assert_eq!(
        plan(read, "senders: {a: {networks: [10.0.0.1], namespaces: [b, c]}}\n").unwrap_err(),
        "sawyer.yaml:1:37: senders.a.namespaces: expected one name: messages do not say of which namespace they are"
    );
}
