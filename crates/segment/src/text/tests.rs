use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::error::Place;
use crate::ints::Packing;
use crate::source::Bytes;

/// Writes and reads texts; gives the encoding and the bytes it took.
fn round_trip(texts: &[String]) -> (u8, usize) {
    let mut gathered = Texts::default();
    for text in texts {
        gathered.push(text);
    }
    let (mut head, mut data) = (Vec::new(), Vec::new());
    encode(Packing::Bits, &gathered, &mut head, &mut data);
    let taken = (head[0], head.len() + data.len());
    let mut data_end = 0;
    let mut reader = Reader::new(&head);
    let read = Text::parse(&mut reader, texts.len(), &mut data_end).unwrap();
    assert_eq!(reader.end(), Ok(()));
    assert_eq!(data_end, data.len() as u64);
    let bytes = Bytes { source: Arc::new(data), verify: true };
    let data = Data { bytes: &bytes, offset: 0, place: Place::of("test"), home: None };
    let mut cursor = TextCursor::default();
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(read.get(&head, at, data, &mut cursor).unwrap(), text);
    }
    taken
}

fn hex(count: usize, digits: usize) -> Vec<String> {
    (0..count as u64)
        .map(|n| format!("{:016x}{n:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))[..digits].to_owned())
        .collect()
}

proptest! {
    #[test]
    fn any_texts_read_back(texts in prop::collection::vec(any::<String>(), 0..50)) {
        round_trip(&texts);
    }

    #[test]
    fn repeated_texts_read_back(texts in prop::collection::vec(prop::sample::select(vec!["", "a", "결제", "error"]), 0..3000)) {
        let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        round_trip(&texts);
    }
}

#[test]
fn few_values_make_a_dictionary() {
    let levels: Vec<String> = (0..5000).map(|n| ["info", "error", "warn"][n * n % 3].to_owned()).collect();
    let (encoding, bytes) = round_trip(&levels);
    assert_eq!(encoding, DICTIONARY);
    assert!(bytes < 5000 * 2 / 8 + 100, "{bytes}");
    assert_eq!(round_trip(&vec!["x".to_owned(); 9]).0, CONSTANT);
}

#[test]
fn trace_ids_take_half() {
    let (encoding, bytes) = round_trip(&hex(3000, 32));
    assert_eq!(encoding, HEX);
    assert!(bytes < 3000 * 16 + 20, "{bytes}");
    assert_eq!(round_trip(&hex(3000, 16)).0, HEX);
    let uuids: Vec<String> = hex(2000, 32)
        .iter()
        .map(|id| format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]))
        .collect();
    assert_eq!(round_trip(&uuids).0, UUID);
}

#[test]
fn one_other_text_among_ids_is_kept_exactly() {
    for other in [
        "ABCDEF00ABCDEF00ABCDEF00ABCDEF00",
        "",
        "0123456789abcdef0123456789abcde",
        "-0123456789abcdef0123456789abcde",
    ] {
        let mut ids = hex(1000, 32);
        ids.push(other.to_owned());
        assert_eq!(round_trip(&ids).0, FRAMES);
    }
}

#[test]
fn a_long_text_ends_its_frame() {
    let mut texts = hex(100, 31);
    texts[50] = "결".repeat(700_000);
    assert_eq!(round_trip(&texts).0, FRAMES);
}

#[test]
fn frames_are_read_up_to_the_bound_of_their_block() {
    let mut gathered = Texts::default();
    (0..5000).for_each(|n: u64| {
        gathered.push(&format!("{:x} and on it goes {n}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    });
    let (mut head, mut data) = (Vec::new(), Vec::new());
    encode(Packing::Bits, &gathered, &mut head, &mut data);
    assert_eq!(head[0], FRAMES);
    let read = Text::parse(&mut Reader::new(&head), 5000, &mut 0).unwrap();
    let bytes = Bytes { source: Arc::new(data), verify: true };
    let data = Data { bytes: &bytes, offset: 0, place: Place::of("test"), home: None };
    let whole = gathered.bytes() as u64;
    assert_eq!(read.read_frames(data, whole).unwrap().unwrap().all(), gathered.all());
    for most in [whole - 1, whole / 2, 0] {
        assert!(read.read_frames(data, most).is_err(), "{most}");
    }
}
