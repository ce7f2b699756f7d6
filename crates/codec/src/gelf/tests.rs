use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::testing::{OBSERVED, origin, show_whole};

const MESSAGE: &str = r#"{"version":"1.1","host":"web-1","short_message":"it failed","full_message":"it failed\nat a","timestamp":1795168800.25,"level":3,"_user_id":42,"_id":"x","facility":"app","_pod":"p"}"#;

fn read(message: &[u8]) -> (bool, String) {
    let mut objects = Objects::new(origin());
    GelfReader::default().read(message, 3, &mut objects);
    let taken = objects.finish();
    assert_eq!(taken.batch.len(), 1);
    (taken.malformed == 0, show_whole(taken.batch.get(0)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn piece(id: u64, number: u8, count: u8, bytes: &[u8]) -> Vec<u8> {
    [&PIECE[..], &id.to_be_bytes(), &[number, count], bytes].concat()
}

#[test]
fn a_message_is_read_packed_or_not() {
    let (good, plain) = read(MESSAGE.as_bytes());
    assert!(good);
    insta::assert_snapshot!(plain, @r#"
    timestamp = 2026-11-20T10:00:00.250Z
    message = "it failed"
    full_message = "it failed\nat a"
    level = "error"
    user_id = 42
    id = "x"
    syslog.facility = "app"
    identity = "claimed"
    node = "web-1"
    pod = "p"
    "#);
    assert_eq!(read(&gzip(MESSAGE.as_bytes())), (true, plain.clone()));
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(MESSAGE.as_bytes()).unwrap();
    assert_eq!(read(&encoder.finish().unwrap()), (true, plain));
}

#[test]
fn what_is_no_message_is_kept() {
    let (good, shown) = read(b"hello");
    assert!(!good && shown.contains("\"hello\"") && shown.contains("malformed"), "{shown}");
    let (good, shown) = read(&gzip(&vec![b' '; MESSAGE_BYTES_MAX + 1]));
    assert!(!good && shown.contains("malformed"), "{shown}");
}

#[test]
fn pieces_are_joined_whatever_their_order() {
    let mut pieces = Pieces::default();
    let push = |pieces: &mut Pieces, piece: &[u8], sender| {
        pieces.push(piece, sender, OBSERVED).map(|message| String::from_utf8(message.into_owned()).unwrap())
    };
    assert_eq!(push(&mut pieces, b"whole", 1).as_deref(), Some("whole"));
    assert_eq!(push(&mut pieces, &piece(9, 2, 3, b"c"), 1), None);
    assert_eq!(push(&mut pieces, &piece(9, 0, 3, b"a"), 1), None);
    assert_eq!(push(&mut pieces, &piece(9, 0, 3, b"a"), 1), None);
    assert_eq!(push(&mut pieces, &piece(9, 1, 3, b"x"), 2), None);
    assert_eq!(push(&mut pieces, &piece(9, 1, 3, b"b"), 1).as_deref(), Some("abc"));
    assert_eq!(pieces.waiting.len(), 1);
    let later = OBSERVED.saturating_add(std::time::Duration::from_secs(6));
    pieces.expire(later);
    assert_eq!((pieces.take_lost(), pieces.waiting.len(), pieces.bytes), (1, 0, 0));
}

#[test]
fn pieces_that_wait_are_bounded() {
    let mut pieces = Pieces::default();
    for id in 0..5000 {
        assert!(pieces.push(&piece(id, 0, 2, &[b'x'; 60_000]), 1, OBSERVED).is_none());
        assert!(pieces.waiting.len() <= WAITING_MAX && pieces.bytes <= WAITING_BYTES_MAX);
        assert!(pieces.order.len() <= 4 * WAITING_MAX + 1);
    }
    assert_eq!(pieces.take_lost() + pieces.waiting.len() as u64, 5000);
}

proptest! {
    #[test]
    fn no_bytes_harm(bytes in prop::collection::vec(any::<u8>(), 0..100), at in 0usize..200) {
        read(&bytes);
        let mut packed = gzip(MESSAGE.as_bytes());
        let length = packed.len();
        packed[at % length] ^= bytes.first().copied().unwrap_or(1);
        read(&packed);
        let mut pieces = Pieces::default();
        for piece in bytes.chunks(14) {
            pieces.push(&[&PIECE[..], piece].concat(), 1, OBSERVED);
        }
    }
}
