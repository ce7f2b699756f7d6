//! What lies behind the compression of the footer survives any bytes too.

use proptest::prelude::*;
use sawyer_model::{RecordHead, SeqRange, Value, ValueRef};

use super::*;
use crate::encode::{EncodeSettings, encode};

/// A segment of several blocks, streams, sources and types of values.
fn segment_bytes() -> Vec<u8> {
    let mut batch = Batch::new();
    let streams: Vec<u32> = (0..3i64)
        .map(|n| {
            batch.add_stream(&Arc::new(Stream::new([
                ("pod", Value::from(format!("cart-{n}"))),
                ("n", n.into()),
            ])))
        })
        .collect();
    for row in 0..90u64 {
        let head = RecordHead {
            timestamp: Timestamp::from_millis(row as i64 * 7),
            observed: Timestamp::from_millis(row as i64 * 7 + 2),
            source: SourceId(u128::from(row % 4)),
            range: SeqRange::new(row * 10, row * 10 + 9),
        };
        let mut writer = batch.begin(head, streams[row as usize % 3]);
        writer.field("message", ValueRef::Str(&format!("line {row}")));
        writer.field(["a", "b"][row as usize % 2], ValueRef::Int(row as i64));
        if row % 3 == 0 {
            writer
                .field("tags", Value::List(vec![Value::from("x"), Value::Float(0.5), Value::Null]).as_ref());
        }
    }
    let settings = EncodeSettings { block_rows_max: 20, ..EncodeSettings::default() };
    encode(&[&batch], &settings).unwrap().bytes
}

/// Reads all that there is; whether it can be read does not matter, ending does.
fn read_all(bytes: Bytes, footer: Footer) {
    let summary = footer.summary(bytes.source.len());
    let segment = Segment::with(bytes, Cache::default(), summary, footer, VERSION);
    for block in 0..segment.blocks().len() {
        let _ = segment.decode_block(block);
        let _ = segment.fields(block);
        let rows = Rows::all(segment.blocks()[block].rows);
        let _ = segment.groups(block, &rows, "message");
        let _ = segment.groups(block, &rows, "pod");
    }
    let sources: Vec<SourceId> = segment.sources().to_vec();
    for source in sources {
        let _ = segment.find(RecordId { source, start: 70 });
    }
    let _ = segment.column_bytes();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_footer_ends_in_an_error_or_in_records(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1usize..9), 1..4),
    ) {
        let bytes = Bytes { source: Arc::new(segment_bytes()), verify: false };
        let len = bytes.source.len();
        let tail = bytes.read(len - TAIL_BYTES as u64, TAIL_BYTES as u64, Place::of("tail")).unwrap();
        let stored = parse_tail(&tail, len, VERSION).unwrap();
        let footer = bytes.read_checked(stored, Place::of("footer")).unwrap();
        let footer = Footer::decode(&footer, stored.offset, VERSION).unwrap();
        let mut plain = footer.encode_plain();
        prop_assert!(Footer::decode_plain(&plain, stored.offset, VERSION).is_ok());
        for (at, value, count) in changes {
            let at = at.index(plain.len());
            plain.iter_mut().skip(at).take(count).for_each(|byte| *byte = value);
        }
        if let Ok(footer) = Footer::decode_plain(&plain, stored.offset, VERSION) {
            read_all(bytes, footer);
        }
    }

    #[test]
    fn any_directory_ends_in_an_error_or_in_records(
        block in 0usize..5, at in any::<prop::sample::Index>(), value: u8, count in 1usize..6,
    ) {
        let mut raw = segment_bytes();
        let mut segment = Segment::open(Arc::new(raw.clone())).unwrap();
        let stored = segment.blocks()[block % segment.blocks().len()].directory;
        let at = stored.offset as usize + at.index(stored.len as usize);
        raw.iter_mut().skip(at).take(count).for_each(|byte| *byte = value);
        read_all(Bytes { source: Arc::new(raw), verify: false }, std::mem::take(&mut segment.footer));
    }
}

#[test]
fn texts_of_a_group_are_not_taken_for_those_of_another_column() {
    let segment = Segment::open(Arc::new(segment_bytes())).unwrap();
    let directory = segment.directory(0).unwrap();
    let mut shaped = 0;
    for entry in &directory.columns {
        let data = segment.data(0, entry);
        for count in [segment.blocks()[0].rows, 9, 70] {
            let read = crate::shapes::Portion::of(data, count);
            shaped += usize::from(read.is_ok());
            assert!(read.is_err() || count == segment.blocks()[0].rows, "{count}");
        }
    }
    assert_eq!(shaped, 1, "the messages");
}

#[test]
fn frames_of_texts_are_kept_and_go_with_their_segment() {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::new([("pod", Value::from("a"))])));
    let path = |row: u64| format!("/cart/{}/items/{row}", row * 7919 % 65_537);
    for row in 0..3000u64 {
        let at = Timestamp::from_millis(row as i64);
        let (source, range) = (SourceId(1), SeqRange::new(row, row + 1));
        batch
            .begin(RecordHead { timestamp: at, observed: at, source, range }, stream)
            .field("path", ValueRef::Str(&path(row)));
    }
    let cache = Cache::default();
    let bytes = encode(&[&batch], &EncodeSettings::default()).unwrap().bytes;
    let segment = Segment::open_in(Arc::new(bytes), &cache).unwrap();
    let entry = &segment.directory(0).unwrap().columns[0];
    let column = segment.column(0, entry, &mut parts::Window::default(), true).unwrap();
    assert!(column.values.strs().frame_count().is_some_and(|count| count > 1), "several frames");
    drop(column);
    let ask = |row: u64| {
        let (mut rows, mut found) = (Rows::none(3000), Batch::new());
        rows.insert(row as usize);
        segment.fetch(0, &rows, &mut found).unwrap();
        assert_eq!(found.get(0).get("path"), Some(ValueRef::Str(&path(row))));
    };
    [0, 1500, 2999].into_iter().for_each(ask);
    let read = crate::source::bytes_read_by_thread();
    [3, 1501, 2998, 1502].into_iter().for_each(ask);
    assert_eq!(crate::source::bytes_read_by_thread(), read, "all of it was kept");
    assert!(cache.stats().bytes > 0);
    drop(segment);
    assert_eq!(cache.stats().bytes, 0, "nothing finds it any more");
}
