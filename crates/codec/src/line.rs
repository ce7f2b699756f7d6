//! A line into a record of a batch, with what was amiss with it.
//!
//! Owns: the fields that say that a line was cut, was not UTF-8 or did not have its file's form.
//! Does not own: what is in the line (`body`).
//! Invariant: every line gives one record, whatever its bytes, and the batch covers all the line's ranges.

use sawyer_model::{Batch, NameId, RecordHead, SourceId, Timestamp, ValueRef, names};

use crate::join::Joined;
use crate::text::{Decoded, base64, decode};

#[cfg(test)]
mod tests;

/// Writes lines into batches. Keeps buffers, so that a line allocates nothing of its own.
#[derive(Debug, Default)]
pub struct LineWriter {
    text: String,
    base64: String,
}

/// Where a line goes and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct LineHead {
    /// What it was read from.
    pub source: SourceId,
    /// When it arrived.
    pub observed: Timestamp,
    /// The number of its stream in the batch.
    pub stream: u32,
    /// Whether it lacked the form that its file has: it is marked [`names::MARK_MALFORMED`].
    pub malformed: bool,
}

impl LineWriter {
    /// Adds a record whose message is the line, and covers the line's ranges. The record is the last of the batch.
    ///
    /// # Panics
    /// If the batch has no stream with that number, or is full; see [`Batch::begin`].
    pub fn write(&mut self, batch: &mut Batch, head: LineHead, line: &Joined<'_>) {
        for range in &line.covered {
            batch.cover(head.source, *range);
        }
        let LineHead { source, observed, .. } = head;
        let record_head = RecordHead { timestamp: line.timestamp, observed, source, range: line.range };
        let mut record = batch.begin(record_head, head.stream);
        let decoded = decode(&line.content, &mut self.text);
        record.field_by_id(NameId::MESSAGE, ValueRef::Str(decoded.text()));
        if let Decoded::Replaced(_) = decoded {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_INVALID_UTF8));
            let bytes = base64(&line.content, &mut self.base64);
            record.field(names::ORIGINAL_BASE64, ValueRef::Str(bytes));
        }
        if let Some(cut) = line.cut {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_CUT));
            record.field(names::LENGTH, ValueRef::Int(i64::try_from(cut.length).unwrap_or(i64::MAX)));
            record.field(names::HASH, ValueRef::Str(&format!("{:016x}", cut.hash)));
        }
        if head.malformed {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_MALFORMED));
        }
    }
}
