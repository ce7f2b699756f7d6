//! What goes into a segment or a frame comes out of it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/generate.rs"]
mod generate;

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::batch::FoundValue;
use sawyer_model::{
    Batch, NameId, RecordHead, RecordId, RecordRef, SeqRange, SourceId, Stream, Timestamp, Value, ValueRef,
};
use sawyer_segment::{
    BatchCompression, EncodeSettings, Rows, Segment, batch_version, decode_batch, encode, encode_batch,
    encode_batch_columns, encode_batch_columns_up_to, encode_batch_parts, encode_batch_with,
};

use self::exact::{exact, exact_all};
use self::generate::{batches, records};

fn open(bytes: Vec<u8>) -> Segment {
    Segment::open(Arc::new(bytes)).unwrap()
}

fn segment_of(batches: &[Batch], settings: &EncodeSettings) -> Segment {
    let batches: Vec<&Batch> = batches.iter().collect();
    let encoded = encode(&batches, settings).unwrap();
    let segment = open(encoded.bytes);
    assert_eq!(*segment.summary(), encoded.summary);
    segment
}

fn all_of(segment: &Segment) -> Vec<Batch> {
    (0..segment.blocks().len()).map(|block| segment.decode_block(block).unwrap()).collect()
}

fn small_blocks(rows: usize) -> EncodeSettings {
    EncodeSettings {
        block_rows_max: rows,
        group_bytes_max: rows * 40,
        shapes: !rows.is_multiple_of(3),
        squeeze: rows.is_multiple_of(5),
        ..EncodeSettings::default()
    }
}

/// The records of a segment, in the order in which they lie there.
fn in_order(segment: &Segment) -> Vec<String> {
    let blocks = (0..segment.blocks().len()).map(|block| segment.decode_block(block).unwrap());
    blocks
        .flat_map(|batch| batch.iter().map(|record| exact(&record.to_record())).collect::<Vec<_>>())
        .collect()
}

fn merged(segments: &[Segment], settings: &EncodeSettings) -> Vec<u8> {
    enum Failed {}
    impl From<sawyer_model::Error> for Failed {
        fn from(error: sawyer_model::Error) -> Self {
            panic!("{error:?}")
        }
    }
    impl From<sawyer_segment::Unreadable> for Failed {
        fn from(unreadable: sawyer_segment::Unreadable) -> Self {
            panic!("{unreadable:?}")
        }
    }
    let inputs: Vec<&Segment> = segments.iter().collect();
    let mut bytes = Vec::new();
    let summary = sawyer_segment::merge::<Failed>(&inputs, settings, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    assert_eq!(summary.unwrap_or_else(|failed| match failed {}).bytes, bytes.len() as u64);
    bytes
}

proptest! {
    #![proptest_config(generate::cases(30))]

    #[test]
    fn merging_is_encoding_all_at_once(
        records in records(1..400),
        parts in 1usize..9,
        by_time: bool,
        block_rows in 1usize..60,
        (squeezed_before, squeeze) in any::<(bool, bool)>(),
    ) {
        let mut records = records;
        if by_time {
            // Then whole blocks are copied.
            records.iter_mut().for_each(|record| record.stream = Arc::clone(&records_stream()));
            records.sort_by_key(|record| record.timestamp);
        }
        let settings = EncodeSettings {
            block_rows_max: block_rows,
            group_bytes_max: 3000,
            squeeze,
            ..EncodeSettings::default()
        };
        let before = EncodeSettings { squeeze: squeezed_before, ..settings };
        let parts: Vec<Batch> = batches(&records, records.len().div_ceil(parts));
        let inputs: Vec<Segment> = parts.iter().map(|part| open(encode(&[part], &before).unwrap().bytes)).collect();
        let merged = open(merged(&inputs, &settings));
        merged.verify().unwrap();
        prop_assert_eq!(merged.is_squeezed(), squeeze);
        let all: Vec<&Batch> = parts.iter().collect();
        prop_assert_eq!(in_order(&merged), in_order(&open(encode(&all, &settings).unwrap().bytes)));
        for record in records.iter().step_by(7) {
            let id = RecordId { source: record.source, start: record.range.start };
            let (block, row) = merged.find(id).unwrap().expect("every record is found");
            let found = merged.record(block, row).unwrap();
            prop_assert_eq!((found.source, found.range.start), (id.source, id.start));
        }
    }
}

fn records_stream() -> Arc<Stream> {
    Arc::new(Stream::new([("source", Value::from("api"))]))
}

proptest! {
    #![proptest_config(generate::cases(48))]

    #[test]
    fn any_records_come_out_of_a_segment(records in records(0..120), size in 1usize..60, rows in 1usize..100) {
        let batches = batches(&records, size);
        let segment = segment_of(&batches, &small_blocks(rows));
        segment.verify().unwrap();
        let out = all_of(&segment);
        prop_assert_eq!(exact_all(&out), exact_all(&batches));
        for (block, batch) in out.iter().enumerate() {
            let keys: Vec<_> = batch.iter().map(|r| (r.stream_index(), r.timestamp(), r.source(), r.range().start)).collect();
            prop_assert!(keys.is_sorted(), "{keys:?}");
            let info = &segment.blocks()[block];
            prop_assert_eq!(batch.len(), info.rows);
            prop_assert!(batch.iter().all(|r| info.timestamps.contains(&r.timestamp())));
            prop_assert!(batch.iter().all(|r| info.observed.contains(&r.observed())));
            let timestamps: Vec<Timestamp> = batch.iter().map(RecordRef::timestamp).collect();
            prop_assert_eq!(segment.timestamps(block).unwrap(), timestamps);
        }
        for record in batches.iter().flat_map(Batch::iter) {
            let (block, row) = segment.find(record.id()).unwrap().unwrap();
            prop_assert_eq!(segment.record(block, row).unwrap().source, record.source());
        }
    }

    #[test]
    fn any_rows_can_be_fetched(records in records(1..100), wanted in prop::collection::vec(any::<bool>(), 100)) {
        let batches = batches(&records, 1000);
        let squeeze = wanted[0];
        let segment = segment_of(&batches, &EncodeSettings { squeeze, ..EncodeSettings::default() });
        let all = segment.decode_block(0).unwrap();
        let rows: Rows = wanted.into_iter().take(all.len()).collect();
        let mut some = Batch::new();
        segment.fetch(0, &rows, &mut some).unwrap();
        let expected: Vec<String> = rows.iter().map(|row| exact(&all.get(row).to_record())).collect();
        let found: Vec<String> = some.iter().map(|record| exact(&record.to_record())).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_batch_comes_out_of_a_frame(records in records(0..60), covered in prop::collection::vec((0u128..3, any::<u64>(), any::<u32>()), 0..5)) {
        let mut batch: Batch = records.iter().collect();
        for (source, start, len) in covered {
            batch.cover(SourceId(source), SeqRange::new(start, start.saturating_add(u64::from(len))));
        }
        batch.retain(|record| record.range().start % 3 != 0);
        let lines = in_lines(&batch);
        let (bytes, parts) = (encode_batch(&lines), encode_batch_parts(&lines));
        assert_eq!((parts.checksum(), parts.len()), (crc32c::crc32c(&bytes), bytes.len()));
        assert!(parts.parts(&lines).flatten().eq(&bytes));
        let out = decode_batch(&bytes).unwrap();
        prop_assert_eq!(exact_all([&out]), exact_all([&lines]));
        let forms = [
            encode_batch_with(&batch, BatchCompression::Plain),
            encode_batch_with(&batch, BatchCompression::Zstd),
            encode_batch_columns(&batch),
            encode_batch_columns_up_to(&batch, 3),
            encode_batch_columns_up_to(&batch, 2),
            encode_batch_columns_up_to(&batch, 1),
        ];
        let versions: Vec<_> = forms[3..].iter().filter_map(|bytes| batch_version(bytes)).collect();
        prop_assert_eq!(versions, [2, 2, 1]);
        for bytes in forms {
            let out = decode_batch(&bytes).unwrap();
            prop_assert_eq!(out.covered(), batch.covered());
            let in_order = |batch: &Batch| batch.iter().map(|r| exact(&r.to_record())).collect::<Vec<_>>();
            prop_assert_eq!(in_order(&out), in_order(&batch));
            let names = |batch: &Batch| batch.iter().flat_map(|r| r.own_fields().map(|(n, _)| n.to_owned()).collect::<Vec<_>>()).collect::<Vec<_>>();
            prop_assert_eq!(names(&out), names(&batch));
        }
    }
}

/// Whoever reads version 2 does not read version 3, in which else a batch is that is too large for columns.
#[test]
fn a_batch_beyond_columns_is_of_no_later_version_than_asked() {
    const RECORDS_MAX: u64 = 1 << 20;
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    for n in 0..=RECORDS_MAX {
        let (time, range) = (Timestamp::EPOCH, SeqRange::new(n, n + 1));
        batch.begin(RecordHead { timestamp: time, observed: time, source: SourceId(1), range }, stream);
    }
    for (asked, version) in [(2, 1), (3, 3), (4, 3)] {
        let bytes = encode_batch_columns_up_to(&batch, asked);
        assert_eq!(batch_version(&bytes), Some(version));
        assert_eq!(decode_batch(&bytes).unwrap().len(), batch.len());
    }
}

/// The same records, with the texts of each as parts of one text, which is one of them.
fn in_lines(batch: &Batch) -> Batch {
    let mut lines = Batch::new();
    for record in batch.iter() {
        let stream = lines.add_stream(record.stream());
        let fields: Vec<(NameId, ValueRef<'_>)> =
            record.own_fields().map(|(name, value)| (lines.intern(name), value)).collect();
        let whole = lines.intern("whole");
        let line: String = fields.iter().filter_map(|(_, value)| value.as_str()).collect();
        let mut writer = lines.begin(record.head(), stream);
        let place = writer.text(&line);
        let mut start = 0;
        writer.at(whole, place);
        for (name, value) in fields {
            match value {
                ValueRef::Str(text) => {
                    let len = text.len() as u32;
                    writer.part(name, place, FoundValue::Part { start, len });
                    start += len;
                }
                value => writer.field_by_id(name, value),
            }
        }
    }
    lines.set_covered(batch.covered().to_vec());
    lines
}

fn head(row: u64) -> RecordHead {
    RecordHead {
        timestamp: Timestamp::from_millis(row as i64),
        observed: Timestamp::from_millis(row as i64 + 3),
        source: SourceId(9),
        range: SeqRange::new(row * 100, row * 100 + 100),
    }
}

fn one_stream(batch: &mut Batch) -> u32 {
    batch.add_stream(&Arc::new(Stream::new([("pod", Value::from("cart-1"))])))
}

#[test]
fn an_empty_segment_is_a_segment() {
    for settings in [EncodeSettings::default(), EncodeSettings::squeezing(1)] {
        let segment = segment_of(&[Batch::new()], &settings);
        assert_eq!(segment.rows(), 0);
        assert_eq!(segment.summary().timestamps, None);
        segment.verify().unwrap();
    }
}

#[test]
fn a_hundred_thousand_names_are_no_cliff() {
    let mut batch = Batch::new();
    let stream = one_stream(&mut batch);
    for row in 0..100_000u64 {
        let mut writer = batch.begin(head(row), stream);
        writer.field_by_id(NameId::MESSAGE, ValueRef::Str("hello"));
        writer.field(&format!("field.{row}"), ValueRef::Int(row as i64));
    }
    let before = std::time::Instant::now();
    let segment = segment_of(std::slice::from_ref(&batch), &EncodeSettings::default());
    assert_eq!(segment.field_names().len(), 100_001);
    let out = all_of(&segment);
    assert_eq!(exact_all(&out), exact_all([&batch]));
    assert!(segment.summary().bytes < 100_000 * 60, "{}", segment.summary().bytes);
    assert!(before.elapsed().as_secs() < 60, "{:?}", before.elapsed());
}

#[test]
fn large_values_come_out() {
    let mut batch = Batch::new();
    let stream = one_stream(&mut batch);
    let large = "어제 오늘 ".repeat(1000) + &"x".repeat(40 << 20);
    for row in 0..20 {
        let text = match row {
            7 => &large[..1 << 20],
            11 => large.as_str(),
            _ => "short",
        };
        let text = &text[..text.floor_char_boundary(sawyer_model::limits::VALUE_BYTES_MAX)];
        batch.begin(head(row), stream).field_by_id(NameId::MESSAGE, ValueRef::Str(text));
    }
    let segment = segment_of(std::slice::from_ref(&batch), &EncodeSettings::default());
    assert!(segment.blocks().len() > 1);
    let out = all_of(&segment);
    let messages = out.iter().flat_map(|batch| batch.iter().map(RecordRef::message).collect::<Vec<_>>());
    assert!(messages.eq(batch.iter().map(RecordRef::message)));
    assert_eq!(decode_batch(&encode_batch(&batch)).unwrap().get(11).message(), batch.get(11).message());
}

#[test]
fn a_large_squeezed_segment_has_many_chunks() {
    let mut batch = Batch::new();
    let stream = one_stream(&mut batch);
    for row in 0..60_000u64 {
        let mix = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut writer = batch.begin(head(row), stream);
        writer.field_by_id(NameId::MESSAGE, ValueRef::Str(&format!("took {} ms: {:x}", mix >> 40, mix >> 9)));
        writer.field("id", ValueRef::Str(&format!("{mix:016x}{mix:016x}")));
        writer.field("n", ValueRef::Int((mix >> 3) as i64));
        writer.field("_original", ValueRef::Str(&format!("n={} x={}", (mix >> 3) as i64, row % 7)));
    }
    let segment = segment_of(std::slice::from_ref(&batch), &EncodeSettings::squeezing(1));
    segment.verify().unwrap();
    assert_eq!(exact_all(&all_of(&segment)), exact_all([&batch]));
    let plain = segment_of(std::slice::from_ref(&batch), &EncodeSettings::default());
    let (bytes, before) = (segment.summary().bytes, plain.summary().bytes);
    assert!(bytes * 4 < before * 3 && bytes > 1 << 20, "{bytes} of {before}");
    let sizes = segment.column_bytes().unwrap();
    assert_eq!(sizes.iter().map(|(_, bytes)| bytes).sum::<u64>().abs_diff(segment.summary().bytes) / 10, 0);
}

#[test]
fn lines_that_follow_each_other_take_no_room_for_their_places() {
    let mut batch = Batch::new();
    let stream = one_stream(&mut batch);
    for row in 0..50_000 {
        batch.begin(head(row), stream).field_by_id(NameId::LEVEL, ValueRef::Str("info"));
    }
    let segment = segment_of(std::slice::from_ref(&batch), &EncodeSettings::default());
    assert!(segment.summary().bytes < 10_000, "{}", segment.summary().bytes);
}
