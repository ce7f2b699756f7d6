//! Files of every version that was ever written can be read.
//!
//! `SAWYER_WRITE_GOLDEN=1 cargo test -p sawyer-segment --test golden` writes those of the present version, once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "support/exact.rs"]
mod exact;

use std::path::PathBuf;
use std::sync::Arc;

use sawyer_model::batch::FoundValue;
use sawyer_model::{
    Batch, ErrorKind, Record, RecordHead, SeqRange, SourceId, Stream, Timestamp, Value, ValueRef,
};
use sawyer_segment::{
    BATCH_VERSION, BatchCompression, EncodeSettings, Segment, batch_version, decode_batch, encode,
    encode_batch, encode_batch_columns, encode_batch_with,
};

use self::exact::{exact, exact_all};

/// The segments of all versions that were released, or may be: all of them are read.
const SEGMENTS: [&str; 5] = ["v1", "v2", "v3", "v4", "squeezed-v1"];
const SHAPES: [&str; 3] = ["v3", "v4", "squeezed-v1"];
/// The same for batches: the numbers of the files, of which the first three hold version 1 and the last one version 3.
const BATCHES: [u32; 4] = [1, 2, 3, 4];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn float(n: u64) -> Value {
    match n % 5 {
        0 => Value::Float(f64::from_bits(0x7ff8_dead_beef_0001)),
        1 => Value::Float(-0.0),
        _ => Value::Float(n as f64 / 3.0),
    }
}

/// Something that looks random, and is the same everywhere.
fn mix(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Fields that make use of every encoding.
fn golden_fields(n: u64) -> Vec<(Box<str>, Value)> {
    let mix = mix(n);
    let id = format!("{mix:016x}{:016x}", mix.rotate_left(17));
    let uuid = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
    let mixed = [Value::Int(1), Value::from("one"), Value::Null, Value::Bool(true), float(n)];
    let tag = |tag: u64| if tag == 2 { Value::Null } else { Value::from(format!("t{tag}")) };
    let mut fields: Vec<(Box<str>, Value)> = vec![
        ("message".into(), Value::from(format!("GET /carts/{} took {} ms: 결제", mix % 5000, n % 977))),
        ("level".into(), Value::from(["info", "warn", "error"][(mix >> 60) as usize % 3])),
        ("service".into(), Value::from("cart")),
        ("trace_id".into(), Value::from(id.as_str())),
        ("uuid".into(), Value::from(uuid)),
        ("count".into(), Value::Int((mix >> 50) as i64)),
        ("duration".into(), Value::Float((mix >> 48) as f64 / 1000.0)),
        ("ratio".into(), float(n)),
        ("at".into(), Value::Timestamp(Timestamp::from_millis(n as i64 * 1000))),
        ("ok".into(), Value::Bool(n.is_multiple_of(3))),
        ("mixed".into(), mixed[n as usize % 5].clone()),
        ("tags".into(), Value::List((0..n % 4).map(tag).collect())),
    ];
    if n.is_multiple_of(2) {
        fields.push(("items".into(), Value::Json(format!("[{{\"price\":{n}}}]").into())));
    }
    if n.is_multiple_of(400) {
        fields.push((format!("rare.{n}").into(), Value::from("x")));
        fields.push(("_original".into(), Value::from("")));
    }
    fields
}

fn golden_records() -> Vec<Record> {
    let stream = |n: i64| {
        let pod = format!("cart-{n}");
        Arc::new(Stream::new([
            ("namespace", Value::from("shop")),
            ("pod", Value::from(pod)),
            ("n", n.into()),
        ]))
    };
    let streams: Vec<Arc<Stream>> = (0..3i64).map(stream).collect();
    let record = |n: u64| {
        let (start, len) = (n / 3 * 100, if n.is_multiple_of(50) { 90 } else { 100 });
        let nanos = 1_700_000_000_000_000_000 + n as i64 * 1_000_000;
        Record {
            timestamp: Timestamp::from_nanos(nanos),
            observed: Timestamp::from_nanos(nanos + (mix(n) >> 45) as i64),
            source: SourceId(u128::from(n % 3) + (u128::from(n / 900) << 90)),
            range: SeqRange { start, end: start + len },
            stream: Arc::clone(&streams[n as usize % 3]),
            fields: golden_fields(n),
        }
    };
    (0..1500).map(record).collect()
}

fn golden_batch() -> Batch {
    let mut batch: Batch = golden_records().iter().collect();
    batch.cover(SourceId(77), SeqRange::new(5, 50));
    batch.retain(|record| !record.range().start.is_multiple_of(700));
    batch
}

fn write_segments(name: &str, batch: &Batch, settings: EncodeSettings) {
    for (version, squeeze) in [("v4", false), ("squeezed-v1", true)] {
        let settings = EncodeSettings { squeeze, ..settings };
        let segment = encode(&[batch], &settings).unwrap().bytes;
        std::fs::write(path(&format!("{name}-{version}.bin")), segment).unwrap();
    }
}

fn write_golden(version: u32) {
    let batch = golden_batch();
    let settings = EncodeSettings { block_rows_max: 1100, ..EncodeSettings::default() };
    std::fs::create_dir_all(path("")).unwrap();
    write_segments("segment", &batch, settings);
    let mut few = Batch::new();
    batch.iter().take(60).for_each(|record| few.push_ref(record));
    few.cover(SourceId(77), SeqRange::new(5, 50));
    std::fs::write(path(&format!("batch-v{version}.bin")), encode_batch(&few)).unwrap();
    std::fs::write(
        path(&format!("batch-zstd-v{version}.bin")),
        encode_batch_with(&few, BatchCompression::Zstd),
    )
    .unwrap();
    std::fs::write(path("batch-by-columns.bin"), encode_batch_columns(&few)).unwrap();
}

/// Messages that make use of every way of keeping variables.
fn golden_messages() -> Batch {
    let stream = Arc::new(Stream::new([("pod", Value::from("cart-1"))]));
    let message = |n: u64| {
        let mix = mix(n);
        let id = format!("{mix:016x}{:016x}", mix.rotate_left(17));
        let uuid = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
        let word = ["opened", "closed", "끊김", "reset"][(mix >> 40) as usize % 4];
        match n % 7 {
            0 => format!("took {}ms at {:03}", mix >> 52, mix >> 55),
            1 => format!("order {uuid} is {}", &id[..9]),
            2 => format!("connection {word}: status {}", [200, 404, 99_999][(mix >> 33) as usize % 3]),
            3 => format!("GET /api/v1/{word} 0x{}", &id[..8]),
            4 if n % 100 == 4 => format!("\u{1} of no shape {mix}"),
            4 => "always the same".to_owned(),
            5 => format!("{id} {}", id.repeat(n as usize % 3)),
            _ => format!("job {mix} of {}", u64::MAX - mix),
        }
    };
    let record = |n: u64| Record {
        timestamp: Timestamp::from_millis(1_700_000_000_000 + n as i64),
        observed: Timestamp::from_millis(1_700_000_000_500 + n as i64),
        source: SourceId(1),
        range: SeqRange { start: n, end: n + 1 },
        stream: Arc::clone(&stream),
        fields: vec![("message".into(), Value::from(message(n)))],
    };
    (0..900).map(record).collect::<Vec<Record>>().iter().collect()
}

/// Records whose values are parts of their lines, and others.
fn golden_parts() -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::new([("pod", Value::from("cart-1"))])));
    for (n, line) in (0..).zip([r#"{"a":"결제","b":{"c":[]}}"#, "", "level=info a=1"]) {
        let (timestamp, observed) = (Timestamp::from_secs(n), Timestamp::from_secs(n + 1));
        let range = SeqRange::new(n as u64, n as u64 + 1);
        let names = ["a", "b", "c", "_original"].map(|name| batch.intern(name));
        let mut record = batch.begin(RecordHead { timestamp, observed, source: SourceId(7), range }, stream);
        let place = record.text(line);
        if n == 0 {
            record.part(names[0], place, FoundValue::Part { start: 6, len: 6 });
            record.part(names[1], place, FoundValue::JsonPart { start: 19, len: 8 });
        }
        record.field_by_id(names[2], ValueRef::Int(n));
        record.at(names[3], place);
    }
    batch
}

#[test]
fn batches_of_parts_are_read() {
    let name = path("batch-by-part.bin");
    let expected = golden_parts();
    if std::env::var_os("SAWYER_WRITE_GOLDEN").is_some() {
        std::fs::write(&name, encode_batch(&expected)).unwrap();
    }
    let bytes = std::fs::read(&name).unwrap();
    assert_eq!(encode_batch(&expected), bytes);
    let found = decode_batch(&bytes).unwrap();
    assert_eq!(exact_all([&found]), exact_all([&expected]));
    assert_eq!(found.text(), expected.text(), "parts stay parts");
    let original = found.get(0).get("_original").unwrap().to_value();
    assert_eq!(original, Value::from(r#"{"a":"결제","b":{"c":[]}}"#));
}

/// Records whose lines are made of their fields, and others.
fn golden_lines() -> Batch {
    let stream = Arc::new(Stream::new([("pod", Value::from("cart-1"))]));
    let record = |n: u64| {
        let (mix, millis) = (mix(n) >> 40, 1_700_000_000_000 + n as i64);
        let level = ["info", "error"][n as usize % 5 / 4];
        let line = match n % 4 {
            0 => format!("no JSON {mix}"),
            1 => format!(
                r#"{{"ts":{millis},"level":"{}","msg":"took \"{mix}\" ms: 결제"}}"#,
                level.to_uppercase()
            ),
            2 => format!(r#"{{"pod":"cart-1","n":{n},"took":{:?},"seq":{}}}"#, mix as f64 / 4.0, n * 7),
            _ => format!(r#"{{"level":"{level}","n":{n}.0,"msg":"took \"{mix}\" ms: 결제"}}"#),
        };
        Record {
            timestamp: Timestamp::from_millis(millis),
            observed: Timestamp::from_millis(millis + 500),
            source: SourceId(1),
            range: SeqRange { start: n, end: n + 1 },
            stream: Arc::clone(&stream),
            fields: vec![
                ("message".into(), Value::from(format!("took \"{mix}\" ms: 결제"))),
                ("level".into(), Value::from(level)),
                ("n".into(), Value::Int(n as i64)),
                ("_original".into(), Value::from(line)),
                ("took".into(), Value::Float(mix as f64 / 4.0)),
            ],
        }
    };
    (0..60).map(record).collect::<Vec<Record>>().iter().collect()
}

#[test]
fn batches_with_lines_that_are_made_are_read() {
    let (name, expected) = (path("batch-with-lines.bin"), golden_lines());
    if std::env::var_os("SAWYER_WRITE_GOLDEN").is_some() {
        std::fs::write(&name, encode_batch_columns(&expected)).unwrap();
    }
    let bytes = std::fs::read(&name).unwrap();
    assert_eq!(batch_version(&bytes), Some(BATCH_VERSION));
    assert_eq!(encode_batch_columns(&expected)[..8], bytes[..8]);
    assert_eq!(exact_all([&decode_batch(&bytes).unwrap()]), exact_all([&expected]));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(decode_batch(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn texts_in_groups_are_read() {
    let expected = golden_messages();
    if std::env::var_os("SAWYER_WRITE_GOLDEN").is_some() {
        let settings =
            EncodeSettings { block_rows_max: 200, group_bytes_max: 20_000, ..EncodeSettings::default() };
        write_segments("segment-shapes", &expected, settings);
    }
    for version in SHAPES {
        let name = path(&format!("segment-shapes-{version}.bin"));
        let segment = Segment::open(Arc::new(std::fs::read(&name).unwrap())).unwrap();
        segment.verify().unwrap();
        let found: Vec<Batch> =
            (0..segment.blocks().len()).map(|block| segment.decode_block(block).unwrap()).collect();
        assert_eq!(found.len(), 5);
        assert_eq!(exact_all(&found), exact_all([&expected]));
    }
}

#[test]
fn files_of_every_version_are_read() {
    if std::env::var_os("SAWYER_WRITE_GOLDEN").is_some() {
        write_golden(*BATCHES.last().unwrap());
    }
    let expected = golden_batch();
    for version in SEGMENTS {
        let bytes = std::fs::read(path(&format!("segment-{version}.bin"))).unwrap();
        let segment = Segment::open(Arc::new(bytes)).unwrap();
        segment.verify().unwrap();
        let found: Vec<Batch> =
            (0..segment.blocks().len()).map(|block| segment.decode_block(block).unwrap()).collect();
        assert!(found.len() > 1);
        assert_eq!(exact_all(&found), exact_all([&expected]));
    }
    for version in BATCHES {
        let read = |name: &str| std::fs::read(path(&format!("{name}-v{version}.bin"))).unwrap();
        let by_columns = std::fs::read(path("batch-by-columns.bin")).unwrap();
        for bytes in [read("batch"), read("batch-zstd"), by_columns] {
            let batch = decode_batch(&bytes).unwrap();
            assert_eq!(
                batch.covered().last().map(|part| (part.source, part.range)),
                Some((SourceId(77), SeqRange::new(5, 50)))
            );
            assert_eq!(batch.len(), 60);
            for (found, expected) in batch.iter().zip(expected.iter()) {
                assert_eq!(exact(&found.to_record()), exact(&expected.to_record()));
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let batches = BATCHES.map(|version| std::fs::read(path(&format!("batch-v{version}.bin"))).unwrap());
    let of = |kind: &str, version: &str| format!("{kind}-{version}.bin");
    let names = SEGMENTS.map(|version| of("segment", version)).into_iter();
    for name in names.chain(SHAPES.map(|version| of("segment-shapes", version))) {
        let name = name.as_str();
        let bytes = std::fs::read(path(name)).unwrap();
        for at in (0..bytes.len()).step_by(397).chain(0..8).chain(bytes.len() - 20..bytes.len()) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let result = Segment::open(Arc::new(damaged)).and_then(|segment| segment.verify());
            let noticed = result.expect_err(&format!("{name} byte {at}: the flip is noticed"));
            let kind = noticed.kind();
            assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Invalid), "{name} byte {at}: {kind:?}");
        }
    }
    let parts = std::fs::read(path("batch-by-part.bin")).unwrap();
    for (batch, step) in batches.into_iter().map(|batch| (batch, 13)).chain([(parts, 1)]) {
        for at in (0..batch.len()).step_by(step) {
            let mut damaged = batch.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(decode_batch(&damaged).is_err(), "byte {at}");
        }
    }
}

/// Whoever raises a version adds files of it. How well things are packed may change without a new version: the readers of
/// a version read all forms it has.
#[test]
fn there_are_files_of_the_version_that_is_written() {
    let batch = golden_batch();
    let segment =
        |squeeze| encode(&[&batch], &EncodeSettings { squeeze, ..EncodeSettings::default() }).unwrap().bytes;
    let newest = *BATCHES.last().unwrap();
    for (name, written) in [
        (format!("batch-v{newest}.bin"), encode_batch(&batch)),
        (format!("batch-zstd-v{newest}.bin"), encode_batch_with(&batch, BatchCompression::Zstd)),
        ("batch-by-columns.bin".to_owned(), encode_batch_columns(&batch)),
        ("segment-v4.bin".to_owned(), segment(false)),
        ("segment-shapes-v4.bin".to_owned(), segment(false)),
        ("segment-squeezed-v1.bin".to_owned(), segment(true)),
        ("segment-shapes-squeezed-v1.bin".to_owned(), segment(true)),
    ] {
        // Magic and version; a squeezed segment tells that of the segment inside, too.
        let golden = std::fs::read(path(&name)).unwrap();
        assert_eq!(golden[..8], written[..8], "{name}");
        let inside =
            |bytes: Vec<u8>| Segment::inside(Arc::new(bytes)).map(|inside| inside[..8].to_vec()).ok();
        assert_eq!(inside(golden), inside(written), "{name}");
    }
}
