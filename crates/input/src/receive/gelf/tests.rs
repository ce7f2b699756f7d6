use sawyer_telemetry::Metrics;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};

use super::*;
use crate::receive::socket::bench::{Bench, context, plan};

#[tokio::test]
async fn messages_come_over_udp_in_pieces_and_over_tcp() {
    let metrics = Metrics::new();
    let plan = plan(read, "udp: 127.0.0.1:0\ntcp: 127.0.0.1:0\n").unwrap();
    let input = plan.open_sockets(&context(&metrics)).unwrap();
    let udp = input.datagrams.as_ref().unwrap().address();
    let tcp = input.door.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let message = br#"{"version":"1.1","host":"h","short_message":"in pieces","level":4}"#;
    for (number, part) in message.chunks(30).enumerate() {
        let piece = [b"\x1e\x0f12345678", &[number as u8, 3][..], part].concat();
        socket.send_to(&piece, udp).await.unwrap();
    }
    bench.wait(1, &[]).await;
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    stream
        .write_all(b"{\"short_message\":\"a\",\"_x\":\"1\"}\0{\"short_message\":\"b\"}\0no JSON\0")
        .await
        .unwrap();
    let found = bench.wait(4, &["message", "node", "level", "x", "sawyer.mark", "source"]).await;
    assert_eq!(
        found,
        [
            "in pieces|h|warn|-|-|gelf:in",
            "a|-|-|1|-|gelf:in",
            "b|-|-|-|-|gelf:in",
            "no JSON|-|-|-|malformed|gelf:in",
        ]
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_sender_speaks_for_its_namespaces_within_its_rate() {
    let metrics = Metrics::new();
    let sender =
        "senders: {apps: {networks: [127.0.0.1], namespaces: ['shop*', pay], records_per_second: 1}}\n";
    let plan = plan(read, &format!("udp: 127.0.0.1:0\ntcp: 127.0.0.1:0\n{sender}")).unwrap();
    let input = plan.open_sockets(&context(&metrics)).unwrap();
    let udp = input.datagrams.as_ref().unwrap().address();
    let tcp = input.door.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    let said = |namespace: &str| format!("{{\"short_message\":\"a\",\"_namespace\":\"{namespace}\"}}\0");
    stream.write_all((said("shop-1") + &said("bank")).as_bytes()).await.unwrap();
    let found = bench.wait(2, &["namespace", "sawyer.client"]).await;
    assert_eq!(found, ["shop-1|apps", "-|apps"]);
    assert_eq!(bench.counted("sawyer_receiver_foreign_namespace_records"), 1);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..50 {
        socket.send_to(br#"{"short_message":"b"}"#, udp).await.unwrap();
    }
    let lost = || bench.counted("sawyer_receiver_lost_records");
    bench.until(|taken| taken.records.len() as i64 - 2 + lost() == 50).await;
    assert!(lost() > 0, "fifty seconds have not passed");
    bench.stop().await;
}

#[tokio::test]
async fn a_sender_of_one_namespace_speaks_for_that_alone() {
    let metrics = Metrics::new();
    let sender = "udp: null\nsenders: {apps: {networks: [127.0.0.1], namespaces: [shop]}}\n";
    let plan = plan(read, &format!("tcp: 127.0.0.1:0\n{sender}")).unwrap();
    let input = plan.open_sockets(&context(&metrics)).unwrap();
    let tcp = input.door.as_ref().unwrap().address();
    let bench = Bench::run(input, &metrics);
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    for more in ["", r#","_pod":"cart""#, r#","_namespace":"kube-system","_pod":"etcd""#] {
        stream.write_all(format!("{{\"short_message\":\"a\"{more}}}\0").as_bytes()).await.unwrap();
    }
    let found = bench.wait(3, &["namespace", "pod", "body.namespace", "body.pod"]).await;
    assert_eq!(found, ["shop|-|-|-", "shop|cart|-|-", "shop|-|kube-system|etcd"]);
    assert_eq!(bench.counted("sawyer_receiver_foreign_namespace_records"), 1);
    bench.stop().await;
}
