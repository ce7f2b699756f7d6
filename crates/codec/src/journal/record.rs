//! Journal entries as records.
//!
//! Owns: which field of journald becomes which field of a record.
//! Does not own: the file (`journal`), what is in the message (`body`).
//! Invariant: every entry gives one record; its sequence number is its place in the source.
//!
//! | journald | record |
//! |---|---|
//! | `MESSAGE` | `message` |
//! | `PRIORITY` | `level` |
//! | `_SYSTEMD_UNIT` | `unit`; without `.service` and what an instance has after `@`, also `service` |
//! | `SYSLOG_IDENTIFIER`, else `_COMM` | `program` |
//! | `_PID` | `pid` |
//! | `_HOSTNAME` | `node`, unless the stream says it |
//! | `_SOURCE_REALTIME_TIMESTAMP`, else the entry's own time | `timestamp` |
//! | any other `NAME` | `journal.name` |

use sawyer_model::{
    Batch, Level, NameId, RecordHead, RecordWriter, SeqRange, SourceId, Timestamp, ValueRef, names,
};

use super::{Entry, Header};
use crate::text::{Decoded, base64, decode};

/// Prefix of the fields that have no name of their own.
pub const JOURNAL_PREFIX: &str = "journal.";

/// Fields that say what the record's head says already.
const KNOWN_OTHERWISE: [&str; 3] = ["_BOOT_ID", "_MACHINE_ID", "_SOURCE_REALTIME_TIMESTAMP"];

/// The identity of the sequence that a journal's entries are numbered in. Files that follow each other share it.
#[must_use]
pub fn source_of(header: &Header) -> SourceId {
    SourceId::of(&[b"journal", &header.seqnum_id])
}

/// Writes entries into batches. Keeps buffers.
#[derive(Debug, Default)]
pub struct EntryWriter {
    name: String,
    text: String,
    base64: String,
}

/// The service of a unit: `kubelet` of `kubelet.service`, `getty` of `getty@tty1.service`.
fn service_of(unit: &[u8]) -> Option<&[u8]> {
    let name = unit.strip_suffix(b".service")?;
    let name = name.split(|byte| *byte == b'@').next()?;
    (!name.is_empty()).then_some(name)
}

impl EntryWriter {
    /// Adds the record of an entry; it is the last of the batch. `stream` is a number from [`Batch::add_stream`].
    ///
    /// # Panics
    /// If the batch has no stream with that number, or is full; see [`Batch::begin`].
    pub fn write(
        &mut self,
        batch: &mut Batch,
        entry: &Entry,
        source: SourceId,
        stream: u32,
        observed: Timestamp,
    ) {
        let head = RecordHead {
            timestamp: time_of(entry),
            observed,
            source,
            range: SeqRange::new(entry.seqnum, entry.seqnum.saturating_add(1)),
        };
        let node_known = batch.streams()[stream as usize].get(names::NODE).is_some();
        let mut record = batch.begin(head, stream);
        self.message(&mut record, entry.get("MESSAGE").unwrap_or_default());
        let mut messages = 0;
        for (name, value) in entry.fields() {
            match name {
                "MESSAGE" if messages == 0 => messages += 1,
                "PRIORITY" => self.priority(&mut record, value),
                "_SYSTEMD_UNIT" => {
                    self.field(&mut record, "unit", value);
                    if let Some(service) = service_of(value) {
                        self.field(&mut record, names::SERVICE, service);
                    }
                }
                "SYSLOG_IDENTIFIER" => self.field(&mut record, "program", value),
                "_COMM" if entry.get("SYSLOG_IDENTIFIER").is_none() => {
                    self.field(&mut record, "program", value);
                }
                "_PID" => self.number(&mut record, "pid", value),
                "_HOSTNAME" if !node_known => self.field(&mut record, names::NODE, value),
                name if KNOWN_OTHERWISE.contains(&name) => {}
                name => self.other(&mut record, name, value),
            }
        }
        if !entry.unreadable.is_empty() {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_MALFORMED));
        }
    }

    fn message(&mut self, record: &mut RecordWriter<'_>, value: &[u8]) {
        let decoded = decode(value, &mut self.text);
        record.field_by_id(NameId::MESSAGE, ValueRef::Str(decoded.text()));
        if let Decoded::Replaced(_) = decoded {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_INVALID_UTF8));
            record.field(names::ORIGINAL_BASE64, ValueRef::Str(base64(value, &mut self.base64)));
        }
    }

    fn priority(&mut self, record: &mut RecordWriter<'_>, value: &[u8]) {
        let level = match value {
            [digit @ b'0'..=b'7'] => Level::from_syslog(digit - b'0'),
            _ => None,
        };
        match level {
            Some(level) => record.field_by_id(NameId::LEVEL, ValueRef::Str(level.name())),
            None => self.other(record, "PRIORITY", value),
        }
    }

    fn number(&mut self, record: &mut RecordWriter<'_>, name: &str, value: &[u8]) {
        match str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
            Some(number) => record.field(name, ValueRef::Int(number)),
            None => self.field(record, name, value),
        }
    }

    fn field(&mut self, record: &mut RecordWriter<'_>, name: &str, value: &[u8]) {
        record.field(name, ValueRef::Str(decode(value, &mut self.text).text()));
    }

    fn other(&mut self, record: &mut RecordWriter<'_>, name: &str, value: &[u8]) {
        self.name.clear();
        self.name.push_str(JOURNAL_PREFIX);
        self.name.push_str(name);
        self.name.make_ascii_lowercase();
        record.field(&self.name, ValueRef::Str(decode(value, &mut self.text).text()));
    }
}

/// When the sender says it was said, else when journald took it.
fn time_of(entry: &Entry) -> Timestamp {
    let source =
        entry.get("_SOURCE_REALTIME_TIMESTAMP").and_then(|value| str::from_utf8(value).ok()?.parse().ok());
    let micros: u64 = source.unwrap_or(entry.realtime_micros);
    Timestamp::from_nanos(i64::try_from(micros).unwrap_or(i64::MAX).saturating_mul(1000))
}
