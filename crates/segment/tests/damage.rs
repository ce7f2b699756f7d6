//! Any bytes give records or an error: no panic, no endless work, no unbounded memory.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/generate.rs"]
mod generate;

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Batch, Error, ErrorKind, RecordId, SourceId, Timestamp};
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_query::{Context, FieldPattern, FieldTest, Predicate};
use sawyer_segment::{
    BatchCompression, EncodeSettings, Lines, Rows, Segment, Unreadable, decode_batch,
    decode_batch_unverified, encode, encode_batch_columns, encode_batch_with, merge,
};

use self::exact::exact_all;
use self::generate::{batches, records};

/// A change to bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index),
    Copy(prop::sample::Index, prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: &prop::sample::Index, bytes: &[u8]| at.index(bytes.len());
        match self {
            _ if bytes.is_empty() => {}
            Self::Flip(at, bit) => {
                let at = place(at, bytes);
                bytes[at] ^= 1 << bit;
            }
            Self::Set(at, value) => {
                let at = place(at, bytes);
                for (byte, value) in bytes[at..].iter_mut().zip(value) {
                    *byte = *value;
                }
            }
            Self::Cut(at) => bytes.truncate(place(at, bytes)),
            Self::Copy(from, to, len) => {
                let (from, to) = (place(from, bytes), place(to, bytes));
                let len = (*len).min(bytes.len() - from).min(bytes.len() - to);
                bytes.copy_within(from..from + len, to);
            }
            Self::Insert(at, more) => {
                let at = place(at, bytes);
                bytes.splice(at..at, more.iter().copied());
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..12),
            prop::sample::select(vec![
                vec![0xff; 9],
                vec![0xff, 0xff, 0xff, 0xff, 0x0f],
                vec![0; 8],
                vec![0x7f; 8]
            ]),
        ]
    };
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        4 => (any::<prop::sample::Index>(), bytes()).prop_map(|(at, bytes)| Damage::Set(at, bytes)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        2 => (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1usize..64)
            .prop_map(|(from, to, len)| Damage::Copy(from, to, len)),
        1 => (any::<prop::sample::Index>(), bytes()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

fn segment_bytes(batches: &[Batch], rows: usize) -> Vec<u8> {
    let batches: Vec<&Batch> = batches.iter().collect();
    let squeeze = rows.is_multiple_of(2);
    let settings = EncodeSettings { block_rows_max: rows, squeeze, ..EncodeSettings::default() };
    encode(&batches, &settings).unwrap().bytes
}

/// Why a merge failed.
struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Unreadable> for Failed {
    fn from(unreadable: Unreadable) -> Self {
        Self(unreadable.error)
    }
}

/// Puts a segment and itself together.
fn merged_with_itself(segment: &Segment) -> Result<Segment, Error> {
    let mut bytes = Vec::new();
    let mut sink = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok::<(), Failed>(())
    };
    let summary =
        merge(&[segment, segment], &EncodeSettings::default(), &mut sink).map_err(|failed| failed.0)?;
    assert_eq!((summary.rows, summary.bytes), (2 * segment.rows(), bytes.len() as u64));
    Segment::open(Arc::new(bytes))
}

/// Asks for single records, by their ids and by where they lie; both give the same.
fn ask_for_records(segment: &Segment, block: usize) {
    let all = Rows::all(segment.blocks()[block].rows);
    let unknown = RecordId { source: SourceId(u128::MAX), start: 3 };
    let _ = segment.find(unknown);
    for position in segment.positions(block, &all).unwrap_or_default().into_iter().take(5) {
        let id = RecordId { source: position.source, start: position.start };
        if let Ok(Some((block, row))) = segment.find(id)
            && let Ok(record) = segment.record(block, row)
        {
            assert_eq!((record.source, record.range.start), (id.source, id.start));
        }
    }
}

/// Asks for counts that are made without looking at every row.
fn ask_for_counts(segment: &Segment, block: usize) {
    let rows = segment.blocks()[block].rows;
    let all = Rows::all(rows);
    for field in ["message", "level", "pod", "few"] {
        for middle in [0, rows / 2] {
            let ranges = [0..middle, middle..rows];
            let mut counted = 0;
            let mut sink = |_: Option<&str>, of_value: &[(usize, u64)]| {
                assert!(
                    of_value.iter().all(|(range, _)| *range < ranges.len()),
                    "ranges that were asked for"
                );
                counted += of_value.iter().map(|(_, count)| count).sum::<u64>();
            };
            if segment.count_codes(block, &all, field, &ranges, &mut sink).is_ok_and(|counts| counts) {
                assert_eq!(counted, rows as u64, "each row once");
            }
        }
        let _ = segment.may_have_field(block, field);
    }
    let _ = segment.timestamps_of(block, &all);
    let times = segment.blocks()[block].timestamps.clone();
    let (first, last) = (times.start().nanos(), times.end().nanos());
    let middle = first.midpoint(last);
    let edges = [first, middle, last.saturating_add(1)].map(Timestamp::from_nanos);
    let mut end = 0;
    let mut next = |bucket: usize, rows: std::ops::Range<usize>| {
        assert!(bucket < edges.len() && rows.start == end, "one behind the other");
        end = rows.end;
    };
    if segment.bucket_rows(block, &edges, &mut next).is_ok_and(|told| told) {
        assert_eq!(end, rows, "all rows");
    }
}

/// Asks a segment everything; gives its records, if all can be read.
fn ask_everything(segment: &Segment) -> Result<Vec<Batch>, Error> {
    let any = Predicate::AnyField(FieldTest::contains("e", false));
    let word = Predicate::AnyField(FieldTest::words("timeout 7", &Context::default()));
    let field = Predicate::field(FieldPattern::name("message"), FieldTest::exact("error"));
    let mut batches = Vec::new();
    for block in 0..segment.blocks().len() {
        for predicate in [&any, &word, &field] {
            let selection =
                Selection { predicate: predicate.clone(), start: Timestamp::MIN, end: Timestamp::MAX };
            let _ = segment.scan(block, &selection, &Budget::unlimited(), &mut SearchStats::default());
        }
        let _ = segment.fields(block);
        let rows = Rows::all(segment.blocks()[block].rows);
        for field in ["message", "pod", "timestamp"] {
            let _ = segment.groups(block, &rows, field);
        }
        ask_for_records(segment, block);
        ask_for_counts(segment, block);
        let mut lines = Lines::default();
        if segment.lines(block, &rows, None, true, &mut lines).is_err() {
            assert!(lines.is_empty(), "nothing is added of a block that cannot be read");
        }
    }
    for block in 0..segment.blocks().len() {
        batches.push(segment.decode_block(block)?);
    }
    let _ = segment.column_bytes();
    let merged = merged_with_itself(segment);
    segment.verify()?;
    merged?.verify()?;
    Ok(batches)
}

fn is_clear(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid) && !error.chain().is_empty()
}

proptest! {
    #![proptest_config(generate::cases(300))]

    #[test]
    fn a_damaged_segment_gives_the_right_records_or_an_error(
        records in records(1..40), rows in 3usize..50, damage in prop::collection::vec(damage(), 1..4),
    ) {
        let batches = batches(&records, 20);
        let bytes = segment_bytes(&batches, rows);
        let mut damaged = bytes.clone();
        damage.iter().for_each(|damage| damage.apply(&mut damaged));
        let result = Segment::open(Arc::new(damaged.clone())).and_then(|segment| ask_everything(&segment));
        match result {
            Ok(found) => prop_assert_eq!(exact_all(&found), exact_all(&batches)),
            Err(error) => {
                prop_assert!(damaged != bytes);
                prop_assert!(is_clear(&error), "{error:?}");
            }
        }
    }

    #[test]
    fn what_lies_in_a_squeezed_segment_survives_any_bytes(
        records in records(1..40), rows in 3usize..50, damage in prop::collection::vec(damage(), 1..3),
    ) {
        let batches = batches(&records, 20);
        let batches: Vec<&Batch> = batches.iter().collect();
        let settings = EncodeSettings { block_rows_max: rows, squeeze: true, ..EncodeSettings::default() };
        let bytes = encode(&batches, &settings).unwrap().bytes;
        // The segment inside is damaged, and has its chunks made again.
        let mut inside = Segment::inside(Arc::new(bytes)).unwrap();
        damage.iter().for_each(|damage| damage.apply(&mut inside));
        match Segment::open_unverified(Arc::new(inside)).and_then(|segment| ask_everything(&segment)) {
            Ok(_) => {}
            Err(error) => prop_assert!(is_clear(&error), "{error:?}"),
        }
    }

    #[test]
    fn what_lies_behind_the_checksums_survives_any_bytes(
        records in records(1..40), rows in 3usize..50, damage in prop::collection::vec(damage(), 1..3),
    ) {
        let mut bytes = segment_bytes(&batches(&records, 20), rows);
        damage.iter().for_each(|damage| damage.apply(&mut bytes));
        match Segment::open_unverified(Arc::new(bytes)).and_then(|segment| ask_everything(&segment)) {
            Ok(_) => {}
            Err(error) => prop_assert!(is_clear(&error), "{error:?}"),
        }
    }

    #[test]
    fn a_damaged_frame_gives_the_same_batch_or_an_error(
        records in records(1..40), form in 0..3, damage in prop::collection::vec(damage(), 1..3),
    ) {
        let batch: Batch = records.iter().collect();
        let mut bytes = match form {
            0 => encode_batch_with(&batch, BatchCompression::Plain),
            1 => encode_batch_with(&batch, BatchCompression::Zstd),
            _ => encode_batch_columns(&batch),
        };
        damage.iter().for_each(|damage| damage.apply(&mut bytes));
        match decode_batch(&bytes) {
            Ok(found) => prop_assert_eq!(exact_all([&found]), exact_all([&batch])),
            Err(error) => prop_assert!(is_clear(&error), "{error:?}"),
        }
        if let Err(error) = decode_batch_unverified(&bytes) {
            prop_assert!(is_clear(&error), "{error:?}");
        }
    }

    #[test]
    fn any_bytes_are_no_segment(bytes: Vec<u8>, version in 0u8..3) {
        let mut named = b"SAWYSEG".to_vec();
        named.push(version);
        named.extend_from_slice(&bytes);
        for bytes in [bytes, named.clone()] {
            prop_assert!(is_clear(&Segment::open(Arc::new(bytes.clone())).map(|_| ()).unwrap_err()));
            prop_assert!(is_clear(&decode_batch(&bytes).map(|_| ()).unwrap_err()));
        }
        named[..7].copy_from_slice(b"SAWYBAT");
        prop_assert!(is_clear(&decode_batch_unverified(&named).map(|_| ()).err().unwrap_or_else(|| Error::new(ErrorKind::Corrupt, "x"))));
    }
}

#[test]
fn an_error_names_the_place() {
    let stream = Arc::new(sawyer_model::Stream::new([("pod", sawyer_model::Value::from("a"))]));
    let mut batch = Batch::new();
    let number = batch.add_stream(&stream);
    for row in 0..100u64 {
        let head = sawyer_model::RecordHead {
            timestamp: Timestamp::from_secs(row as i64),
            observed: Timestamp::from_secs(row as i64),
            source: SourceId(1),
            range: sawyer_model::SeqRange::new(row, row + 1),
        };
        batch.begin(head, number).field("line", sawyer_model::ValueRef::Str(&format!("line number {row}")));
    }
    let mut bytes = segment_bytes(&[batch], 1001);
    bytes[20] ^= 1;
    let segment = Segment::open(Arc::new(bytes)).unwrap();
    let error = segment.decode_block(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let told = error.chain();
    assert!(told.starts_with("checksum of column block=0 column=0 offset=8 does not match"), "{told}");
    assert!(segment.timestamps(0).is_ok());
}

#[test]
fn a_newer_version_is_named() {
    for (rows, name) in [(11, "segment"), (10, "squeezed segment")] {
        let mut bytes = segment_bytes(&[Batch::new()], rows);
        bytes[7] = 200;
        let error = Segment::open(Arc::new(bytes)).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.message(), format!("{name} is made by a newer version: version=200"));
    }
}
