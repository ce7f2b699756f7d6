use std::time::Duration;

use sawyer_codec::msgpack::{Reader, Token};
use sawyer_model::Outcome;
use sawyer_telemetry::Metrics;
use tokio::net::TcpStream;

use super::handshake::digest;
use super::*;
use crate::receive::socket::bench::{Bench, SOON, context, plan};

const ANY: &str = "listen: 127.0.0.1:0\n";

fn start(settings: &str) -> (Bench, SocketAddr) {
    let metrics = Metrics::new();
    let plan = plan(read, &format!("{ANY}{settings}")).unwrap();
    let input = plan.open_sockets(&context(&metrics)).unwrap();
    let address = input.door.as_ref().unwrap().address();
    (Bench::run(input, &metrics), address)
}

fn text(text: &str) -> Vec<u8> {
    [&[0xd9, text.len() as u8][..], text.as_bytes()].concat()
}

/// A chunk of one entry with an id.
fn chunk(tag: &str, line: &str, id: &str) -> Vec<u8> {
    let entry = [b"\x92\xce\x6b\x00\x1a\x20\x81\xa3log".to_vec(), text(line)].concat();
    [b"\x93".to_vec(), text(tag), b"\x91".to_vec(), entry, b"\x81\xa5chunk".to_vec(), text(id)].concat()
}

/// What is answered next, as it comes.
async fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let whole = async {
        while stream.read_buf(&mut bytes).await.unwrap() > 0 && Reader::new(&bytes).skip().is_err() {}
    };
    tokio::time::timeout(SOON, whole).await.unwrap();
    bytes
}

fn acknowledged(answer: &[u8]) -> String {
    let mut reader = Reader::new(answer);
    assert_eq!((reader.token(), reader.token()), (Ok(Token::Map(1)), Ok(Token::Str(b"ack"))));
    let Ok(Token::Str(id)) = reader.token() else { panic!("{answer:x?}") };
    String::from_utf8(id.to_vec()).unwrap()
}

#[tokio::test]
async fn a_chunk_is_answered_once_it_is_durable_and_not_before() {
    let (bench, address) = start("");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\xc0").await.unwrap();
    stream.write_all(&chunk("app.a", "one", "first")).await.unwrap();
    assert_eq!(acknowledged(&answer(&mut stream).await), "first");
    bench.taken.lock().fate = None;
    stream.write_all(&chunk("app.b", "two", "second")).await.unwrap();
    let found = bench.wait(2, &["message", "tag", "source"]).await;
    assert_eq!(found, ["one|app.a|forward:in", "two|app.b|forward:in"]);
    let nothing = tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await;
    assert!(nothing.is_err(), "nobody has it durably");
    bench.stop().await;
}

#[tokio::test]
async fn what_did_not_become_durable_is_not_answered_and_comes_again_as_the_same() {
    let (bench, address) = start("");
    bench.taken.lock().fate = Some(Outcome::Undelivered);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&chunk("app", "one", "id")).await.unwrap();
    assert_eq!(answer(&mut stream).await, b"", "the connection is closed without an answer");
    bench.taken.lock().fate = Some(Outcome::Durable);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&chunk("app", "one", "id")).await.unwrap();
    assert_eq!(acknowledged(&answer(&mut stream).await), "id");
    // Another content under the same id is something else, and so is the same content under another id.
    stream.write_all(&chunk("app", "two", "id")).await.unwrap();
    assert_eq!(acknowledged(&answer(&mut stream).await), "id");
    stream.write_all(&chunk("app", "one", "other")).await.unwrap();
    assert_eq!(acknowledged(&answer(&mut stream).await), "other");
    let ids = bench.ids();
    assert_eq!(ids[0], ids[1]);
    assert!(ids[2] != ids[1] && ids[3] != ids[1] && ids[3] != ids[2]);
    bench.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_still_waited_for_at_a_stop_comes() {
    let (bench, address) = start("");
    bench.taken.lock().fate = None;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&chunk("app", "one", "id")).await.unwrap();
    bench.wait(1, &[]).await;
    // What is held is let go of when the pipeline ends; then it is not durable, and there is no answer.
    bench.stop().await;
    assert_eq!(answer(&mut stream).await, b"");
}

/// Answers a greeting; gives what is said to that.
async fn shake_hands(stream: &mut TcpStream, key: &str, user: &str, password: &str) -> Vec<u8> {
    let hello = answer(stream).await;
    let mut reader = Reader::new(&hello);
    let mut next = || reader.token().unwrap();
    assert_eq!([next(), next(), next()], [Token::Array(2), Token::Str(b"HELO"), Token::Map(3)]);
    next();
    let Token::Str(nonce) = next() else { panic!() };
    next();
    let Token::Str(auth) = next() else { panic!() };
    let shown = digest(&[b"salt", b"me", nonce, key.as_bytes()]);
    let password = digest(&[auth, user.as_bytes(), password.as_bytes()]);
    let ping =
        [b"\x96".to_vec(), text("PING"), text("me"), text("salt"), text(&shown), text(user), text(&password)];
    stream.write_all(&ping.concat()).await.unwrap();
    answer(stream).await
}

#[tokio::test]
async fn the_key_tells_the_client() {
    let (bench, address) =
        start("hostname: h\nclients:\n  shop: {token: s3cret, namespaces: [shop]}\n  all: {token: other}\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let pong = shake_hands(&mut stream, "s3cret", "", "").await;
    assert!(pong.starts_with(b"\x95\xa4PONG\xc3\xa0\xa1h"), "{pong:x?}");
    stream.write_all(&chunk("app", "one", "id")).await.unwrap();
    assert_eq!(acknowledged(&answer(&mut stream).await), "id");
    let found = bench.wait(1, &["sawyer.client", "namespace", "identity"]).await;
    assert_eq!(found, ["shop|shop|-"]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let pong = shake_hands(&mut stream, "wrong", "", "").await;
    assert!(pong.starts_with(b"\x95\xa4PONG\xc2"), "{pong:x?}");
    assert_eq!(answer(&mut stream).await, b"");
    assert_eq!(bench.counted("sawyer_receiver_refused"), 1);
    bench.stop().await;
}

#[tokio::test]
async fn with_one_key_for_all_a_password_tells_the_client() {
    let (bench, address) = start("shared_key: k\nclients: {shop: {token: s3cret}}\n");
    for (key, user, password, good) in [
        ("k", "shop", "s3cret", true),
        ("k", "shop", "x", false),
        ("x", "shop", "s3cret", false),
        ("k", "", "", false),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let pong = shake_hands(&mut stream, key, user, password).await;
        assert_eq!(pong[6] == 0xc3, good, "{key} {user} {password}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_ends_its_connection_only() {
    let (bench, address) = start("frame_bytes_max: 64KiB\n");
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x93\xa1a\x90\x81\xa5chunk\x01\xc1".to_vec(),
        [b"\x92\xa1a\xc6\x7f\xff\xff\xff".to_vec(), vec![0; 70_000]].concat(),
        [b"\x93\xa1a\x91\x92\x01\x80\x82\xadfluent_signal\x01\xa5chunk\xa1a".to_vec()].concat(),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be closed before all is written.
        let _ = stream.write_all(&bytes).await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&chunk("app", "one", "id")).await.unwrap();
    assert_eq!(acknowledged(&answer(&mut stream).await), "id");
    assert_eq!(bench.counted("sawyer_receiver_refused"), 4);
    bench.stop().await;
}

/// Fluentd asks by datagrams whether somebody is there, programs on the same machine write to a path, and Fluent Bit sends
/// metrics over the same connection.
#[tokio::test]
async fn heartbeats_are_answered_and_a_path_is_listened_at() {
    let folder = tempfile::tempdir().unwrap();
    let (path, address) = (folder.path().join("forward"), sawyer_testkit::free_address());
    let metrics = Metrics::new();
    let plan = plan(read, &format!("listen: {address}\nunix: {}\n", path.display())).unwrap();
    let bench = Bench::run(plan.open_sockets(&context(&metrics)).unwrap(), &metrics);
    let beat = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut answered = [0; 8];
    let length = tokio::time::timeout(SOON, async {
        beat.send_to(b"\0", address).await.unwrap();
        beat.recv(&mut answered).await.unwrap()
    });
    assert_eq!(length.await.unwrap(), 1);
    let mut local = tokio::net::UnixStream::connect(&path).await.unwrap();
    // Nil is a heartbeat; a chunk of metrics that wants no answer is passed over.
    let metrics_chunk = b"\x93\xa1m\x91\x92\x01\x80\x81\xadfluent_signal\x01";
    local.write_all(&[&b"\xc0"[..], metrics_chunk, &chunk("app", "one", "id")].concat()).await.unwrap();
    assert_eq!(bench.wait(1, &["message", "tag"]).await, ["one|app"]);
    assert_eq!(bench.counted("sawyer_receiver_refused"), 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_large_frame_is_read_in_parts_and_taken_in_batches() {
    let (bench, address) = start("large_frames_max: 1\n");
    let entry = [b"\x92\xce\x6b\x00\x1a\x20\x81\xa3log".to_vec(), text(&"x".repeat(100))].concat();
    let entries = entry.repeat(10_000);
    let length = u32::try_from(entries.len()).unwrap().to_be_bytes();
    let frame =
        [b"\x93\xa1a\xc6".to_vec(), length.to_vec(), entries, b"\x81\xa5chunk\xa2id".to_vec()].concat();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let (frame, mut stream) = (frame.clone(), TcpStream::connect(address).await.unwrap());
        streams.push(tokio::spawn(async move {
            stream.write_all(&frame).await.unwrap();
            acknowledged(&answer(&mut stream).await)
        }));
    }
    for stream in streams {
        assert_eq!(stream.await.unwrap(), "id");
    }
    let ids = bench.ids();
    assert_eq!(ids.len(), 30_000);
    let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
    assert_eq!(distinct.len(), 10_000, "the same chunk is the same three times");
    bench.stop().await;
}

#[test]
fn wrong_settings_are_told() {
    assert_eq!(
        plan(read, "listen: null\nshared_key: k\n").unwrap_err(),
        "sawyer.yaml:1:1: expected somewhere to listen: `listen` or `unix`, found neither\n\
         sawyer.yaml:2:1: shared_key: expected `clients` beside it; if all share one key, that is the token of one client"
    );
}
