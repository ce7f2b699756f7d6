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
