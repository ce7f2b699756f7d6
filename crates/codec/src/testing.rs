//! What the tests of this crate share.
//!
//! Owns: reading folders of test data, showing fields and records as text.
//! Does not own: test data.
//! Invariant: only compiled for tests.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use sawyer_model::{Batch, RecordRef, SeqRange, SourceId, Stream, Timestamp, Value, ValueRef};

use crate::join::Joined;
use crate::line::{LineHead, LineWriter};
use crate::pushed::{Bounds, Origin};

/// 2026-11-20T12:00:00Z
pub(crate) const OBSERVED: Timestamp = Timestamp::from_secs(1_795_176_000);

/// The contents of all files below a folder, sorted by path; `.gz` unpacked.
pub(crate) fn files_below(folder: &Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files.extend(files_below(&path));
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "gz") {
            let packed = std::mem::take(&mut bytes);
            flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        }
        files.push(bytes);
    }
    files
}

/// A value as text that tells its type.
pub(crate) fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".into(),
        ValueRef::Bool(value) => value.to_string(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Float(value) => format!("{value:?}"),
        ValueRef::Timestamp(time) => format!("@{time}"),
        ValueRef::Str(text) => format!("{text:?}"),
        ValueRef::Json(text) => format!("json {text}"),
        ValueRef::List(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(", ")),
    }
}

/// Fields, one a line.
pub(crate) fn show_fields<'a>(fields: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> String {
    fields.fold(String::new(), |mut text, (name, value)| {
        writeln!(text, "{name} = {}", show(value)).unwrap();
        text
    })
}

/// A record's time and own fields, one a line.
pub(crate) fn show_record(record: RecordRef<'_>) -> String {
    format!("timestamp = {}\n{}", record.timestamp(), show_fields(record.own_fields()))
}

/// A record's time and fields, those that say who speaks included, one a line.
pub(crate) fn show_whole(record: RecordRef<'_>) -> String {
    format!("timestamp = {}\n{}", record.timestamp(), show_fields(record.fields()))
}

/// A sender whom nobody knows.
pub(crate) fn origin() -> Origin {
    Origin {
        stream: Arc::new(Stream::default()),
        trust: Arc::default(),
        source: SourceId(7),
        numbers: None,
        observed: OBSERVED,
        bounds: Bounds { records_max: 1 << 20, batch_bytes_max: 1 << 30 },
    }
}

/// A stream as a container has it.
pub(crate) fn stream() -> Arc<Stream> {
    Arc::new(Stream::new([
        ("namespace", Value::from("shop")),
        ("pod", Value::from("cart-1")),
        ("labels.app", Value::from("cart")),
    ]))
}

/// A batch with one record for each of these lines, said at [`OBSERVED`].
pub(crate) fn batch_of<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&stream());
    let head = LineHead { source: SourceId(7), observed: OBSERVED, stream, malformed: false };
    let mut writer = LineWriter::default();
    for (at, line) in lines.into_iter().enumerate() {
        let at = at as u64;
        let joined = Joined {
            timestamp: OBSERVED,
            content: line.into(),
            range: SeqRange::new(at, at + 1),
            covered: Vec::new(),
            cut: None,
        };
        writer.write(&mut batch, head, &joined);
    }
    batch
}
