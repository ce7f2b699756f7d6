//! Writes what records are before their fields, for less where much of it repeats.
//!
//! Owns: the form of names and times. Does not own: fields (`batch`).
//! Invariant: a record looks the same whatever was written before it.

use sawyer_model::{RecordId, SourceId, Timestamp};

use super::{write_hex, write_id};
use crate::time::{TimeWriter, write_rfc3339};

/// See the head of the module.
#[derive(Clone, Debug, Default)]
pub struct HeadWriter {
    timestamps: TimeWriter,
    /// When records were seen that was written last, and how, behind [`OBSERVED`].
    observed: (Option<Timestamp>, Vec<u8>),
    /// The source that was written last, and how, behind [`ID`].
    source: (Option<SourceId>, Vec<u8>),
}

/// What stands before a record's name.
const ID: &[u8] = b"{\"_id\":\"";

/// What stands before the time at which it was seen.
const OBSERVED: &[u8] = b",\"observed\":";

impl HeadWriter {
    /// Appends the beginning of a record as [`super::write`] does, up to its fields.
    pub fn write(&mut self, id: RecordId, timestamp: Timestamp, observed: Timestamp, out: &mut Vec<u8>) {
        self.learn_source(id);
        out.extend_from_slice(&self.source.1);
        write_hex(id.start, out);
        out.extend_from_slice(b"\",\"timestamp\":");
        self.timestamp(timestamp, out);
        self.learn_observed(observed);
        out.extend_from_slice(&self.observed.1);
    }

    /// Appends when a record was said, with its quotes.
    pub fn timestamp(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        out.push(b'"');
        self.timestamps.write(time, out);
        out.push(b'"');
    }

    /// Appends when a record was first seen, with its quotes. Mostly many were seen at the same time.
    pub fn observed(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        self.learn_observed(time);
        out.extend_from_slice(&self.observed.1[OBSERVED.len()..]);
    }

    fn learn_observed(&mut self, time: Timestamp) {
        let (last, text) = &mut self.observed;
        if *last != Some(time) {
            text.clear();
            text.extend_from_slice(OBSERVED);
            text.push(b'"');
            write_rfc3339(time, text);
            text.push(b'"');
            *last = Some(time);
        }
    }

    /// Appends the name of a record, without quotes.
    pub fn id(&mut self, id: RecordId, out: &mut Vec<u8>) {
        self.learn_source(id);
        out.extend_from_slice(&self.source.1[ID.len()..]);
        write_hex(id.start, out);
    }

    fn learn_source(&mut self, id: RecordId) {
        let (last, text) = &mut self.source;
        if *last != Some(id.source) {
            text.clear();
            text.extend_from_slice(ID);
            write_id(RecordId { start: 0, ..id }, text);
            text.pop();
            *last = Some(id.source);
        }
    }
}
