//! What lies behind checksum and compression may be anything, too.

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{
    Batch, ListRef, NameId, RecordHead, SeqRange, SourceId, Stream, Timestamp, Value, ValueRef,
};

use super::*;
use crate::bytes::{Put, Reader};
use crate::zip;

/// A batch with values of all types, several sources and streams, and records of several shapes.
fn batch(records: u64) -> Batch {
    let mut batch = Batch::new();
    let streams = ["cart-1", "gateway"].map(|pod| {
        let stream = Stream::new([("pod", Value::from(pod)), ("restart_count", Value::Int(3))]);
        batch.add_stream(&Arc::new(stream))
    });
    for n in 0..records {
        let time = Timestamp::from_nanos(1_795_176_000_000_000_000 + n as i64 * 1_234_567);
        let (source, range) = (SourceId(u128::from(n % 3)), SeqRange::new(n * 100, n * 100 + 90));
        let observed = Timestamp::from_nanos(time.nanos() + 5_000_000);
        let head = RecordHead { timestamp: time, observed, source, range };
        let mut record = batch.begin(head, streams[n as usize % 2]);
        record.field_by_id(NameId::MESSAGE, ValueRef::Str(&format!("order {n} 결제")));
        record.field_by_id(NameId::LEVEL, ValueRef::Str(["info", "error"][n as usize % 5 / 4]));
        record.field("n", ValueRef::Int(n as i64));
        if n.is_multiple_of(4) {
            record.field("ok", ValueRef::Bool(n.is_multiple_of(8)));
            record.field("took", ValueRef::Float(n as f64 / 7.0));
            record.field("at", ValueRef::Timestamp(time));
            record.field("nothing", ValueRef::Null);
            record.field("whole", ValueRef::Json("{\"a\":[1]}"));
            let elements =
                [ValueRef::Str("a"), ValueRef::Int(n as i64), ValueRef::Bool(true), ValueRef::Null];
            record.field("list", ValueRef::List(ListRef::from(&elements[..n as usize % 5])));
        } else if n % 4 == 1 {
            record.field("ok", ValueRef::Str("a text under a name that is a number elsewhere"));
        }
    }
    batch.cover(SourceId(9), SeqRange::new(0, 5));
    batch
}

/// A body in its parts: the numbers in front, the head, the texts.
fn parts(body: &[u8]) -> (Vec<u64>, Vec<u8>, Vec<u8>) {
    let mut reader = Reader::new(body);
    let numbers: Vec<u64> = (0..4).map(|_| reader.varint().unwrap()).collect();
    let stored = reader.count().unwrap();
    let head = zip::unzip(&mut Reader::new(reader.take(stored).unwrap()), numbers[3] as usize).unwrap();
    let text_len = reader.varint().unwrap() as usize;
    (numbers, head, zip::unzip(&mut reader, text_len).unwrap())
}

/// A body of such parts, uncompressed.
fn body(numbers: &[u64], head: &[u8], texts: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    numbers[..3].iter().for_each(|number| body.put_varint(*number));
    body.put_varint(head.len() as u64);
    body.put_varint(head.len() as u64 + 1);
    body.put_u8(0);
    body.extend_from_slice(head);
    body.put_varint(texts.len() as u64);
    body.put_u8(0);
    body.extend_from_slice(texts);
    body
}

fn say(batch: &Batch) -> Vec<String> {
    batch.iter().map(|record| format!("{:?}", record.to_record())).collect()
}

#[test]
fn every_kind_of_value_reads_back() {
    for records in [0, 1, 7, 3000] {
        let batch = batch(records);
        let bytes = encode(&batch).unwrap();
        let out = decode(&bytes).unwrap();
        assert_eq!(say(&out), say(&batch));
        assert_eq!(out.covered(), batch.covered());
        let (numbers, head, texts) = parts(&bytes);
        assert_eq!(say(&decode(&body(&numbers, &head, &texts)).unwrap()), say(&batch));
    }
}

#[test]
fn repeated_texts_are_there_once() {
    let out = decode(&encode(&batch(3000)).unwrap()).unwrap();
    assert!(out.text_bytes() < batch(3000).text_bytes() * 2 / 3, "{}", out.text_bytes());
}

#[test]
fn what_is_claimed_is_compared_with_bounds() {
    let (numbers, head, texts) = parts(&encode(&batch(100)).unwrap());
    for (at, most) in
        [(0, RECORDS_MAX as u64), (1, FIELDS_MAX as u64), (2, 1 << 30), (3, HEAD_BYTES_MAX as u64)]
    {
        for wrong in [numbers[at] + 1, numbers[at] - 1, most + 1, u64::MAX] {
            let mut numbers = numbers.clone();
            numbers[at] = wrong;
            // The length of the head is told by `body` itself.
            assert_eq!(decode(&body(&numbers, &head, &texts)).is_err(), at != 3, "{at}: {wrong}");
        }
    }
    let claims =
        Bounds { records: RECORDS_MAX, fields: FIELDS_MAX, text_bytes: 1 << 30, head_bytes: HEAD_BYTES_MAX };
    assert!(claims.memory_bytes() > 4 << 30, "a receiver sees that before it takes anything");
}

/// Texts are told to be as long as a dictionary makes them, which bounds what encoding them again takes.
#[test]
fn a_dictionary_does_not_multiply_texts_unseen() {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    let long = "x".repeat(10_000);
    for n in 0..1000 {
        let time = Timestamp::EPOCH;
        let range = SeqRange::new(n, n + 1);
        let head = RecordHead { timestamp: time, observed: time, source: SourceId(1), range };
        batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(&long));
    }
    let bytes = encode(&batch).unwrap();
    assert!(bytes.len() < 1000);
    let claimed = bounds(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(claimed.text_bytes, 10_000_000);
    assert_eq!(decode(&bytes).unwrap().text_bytes(), 10_000);
}

proptest! {
    #[test]
    fn any_head_gives_a_batch_or_an_error(
        records in 1u64..60,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        in_texts: bool,
    ) {
        let (numbers, mut head, mut texts) = parts(&encode(&batch(records)).unwrap());
        let bytes = if in_texts { &mut texts } else { &mut head };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(batch) = decode(&body(&numbers, &head, &texts)) {
            // Whatever it is, it can be written and read again.
            prop_assert_eq!(say(&decode(&encode(&batch).unwrap()).unwrap()), say(&batch));
        }
    }

    #[test]
    fn any_body_gives_a_batch_or_an_error(bytes: Vec<u8>) {
        let _ = decode(&bytes);
    }
}
