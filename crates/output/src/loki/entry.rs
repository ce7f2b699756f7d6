//! The form of a record as an entry of a stream.
//!
//! Owns: the line, structured metadata within Loki's bounds, the time of an entry; what the target needs to know of it.
//! Does not own: labels (`labels`), the bytes of an entry (`push`).
//! Invariant: no two records that were seen here have the same labels, time and line. Loki takes the second of two such
//! entries for a repetition and drops it, so its time is moved on by a nanosecond; see [`Times`].

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use sawyer_codec::json_out;
use sawyer_codec::time::write_rfc3339;
use sawyer_model::{Batch, RecordId, RecordRef, Timestamp, ValueRef, names};
use sawyer_telemetry::Counter;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::labels::{Labels, label_of};
use super::push;
use super::settings::LokiLine;
use super::template::Tenant;
use crate::deliver::{Form, one_by_one};
use crate::encode::LineFormat;

/// Loki's defaults for structured metadata of an entry: bytes of names and values, and how many.
const METADATA_BYTES_MAX: usize = 64 << 10;
const METADATA_COUNT_MAX: usize = 128;

/// Lines whose times are remembered, twice; some megabytes.
const TIMES_MAX: usize = 1 << 15;

/// How many lanes keep their order; what is in different lanes may be under way at once.
const LANE_MASK: u64 = 0xff;

/// Writes records as entries.
pub(super) struct Entries {
    pub(super) labels: Labels,
    pub(super) metadata: Metadata,
    pub(super) line: LokiLine,
    pub(super) tenant: Option<Tenant>,
    pub(super) lanes: u64,
    pub(super) meters: Meters,
    pub(super) state: Mutex<State>,
}

/// What did not fit.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) cut_labels: Counter,
    pub(super) left_out: Counter,
    pub(super) moved: Counter,
}

/// Times and room for what is being written.
#[derive(Default)]
pub(super) struct State {
    times: Times,
    line: Vec<u8>,
    pairs: Vec<u8>,
    value: Vec<u8>,
}

/// Which fields become structured metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl Metadata {
    pub(super) fn new(names: &[String], labels: &Labels) -> Self {
        let (patterns, exact): (Vec<&String>, Vec<_>) = names.iter().partition(|name| name.ends_with('*'));
        let prefixes = patterns.into_iter().map(|name| name.trim_end_matches('*').to_owned()).collect();
        Self { exact: exact.into_iter().filter(|name| !labels.has(name)).cloned().collect(), prefixes }
    }

    fn wants(&self, name: &str) -> bool {
        self.exact.iter().any(|known| known == name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

impl Form for Entries {
    fn write_all(&self, batch: &Batch, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        one_by_one(batch, out, ends, |record, out| self.write(record, out));
    }

    fn partition(&self, _record: RecordRef<'_>, written: &[u8]) -> u64 {
        let entry = Entry::read(written);
        let lane = xxh3_64(entry.labels) % self.lanes;
        if self.tenant.is_none() { lane } else { (xxh3_64(entry.tenant) & !LANE_MASK) | lane }
    }
}

impl Entries {
    pub(super) fn write(&self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; Entry::HEAD_BYTES]);
        if let Some(tenant) = &self.tenant {
            tenant.write(record, out);
        }
        let tenant_end = out.len();
        self.meters.cut_labels.inc_by(self.labels.write(record, out));
        let labels_end = out.len();
        let State { times, line, pairs, value } = &mut *self.state.lock();
        let line = self.line(record, line);
        pairs.clear();
        self.meters.left_out.inc_by(self.write_metadata(record, pairs, value));
        let (time, moved) = times.free(&out[tenant_end..labels_end], record.timestamp(), line, record.id());
        self.meters.moved.inc_by(moved.into());
        push::write_entry(time, line, pairs, out);
        let head = Head {
            tenant: tenant_end - start - Entry::HEAD_BYTES,
            labels: labels_end - tenant_end,
            line: line.len(),
        };
        out[start..start + Entry::HEAD_BYTES].copy_from_slice(&head.encode());
    }

    fn line<'a>(&self, record: RecordRef<'a>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match self.line {
            LokiLine::Message => record.message().as_bytes(),
            LokiLine::Original => match record.get(names::ORIGINAL) {
                Some(ValueRef::Str(text)) => text.as_bytes(),
                _ => record.message().as_bytes(),
            },
            LokiLine::Json => {
                scratch.clear();
                LineFormat::Json.write(record, scratch);
                scratch.pop();
                scratch
            }
        }
    }

    /// Writes structured metadata; says how many fields were left out because there is no room.
    fn write_metadata(&self, record: RecordRef<'_>, pairs: &mut Vec<u8>, value: &mut Vec<u8>) -> u64 {
        let mut room = Room { bytes: METADATA_BYTES_MAX, count: METADATA_COUNT_MAX, left_out: 0 };
        if self.metadata.prefixes.is_empty() {
            for name in &self.metadata.exact {
                if let Some(found) = record.get(name) {
                    room.write(name, found, pairs, value);
                }
            }
            return room.left_out;
        }
        for (name, found) in record.fields() {
            let in_line = matches!(name, names::MESSAGE | names::ORIGINAL) || self.labels.has(name);
            if !in_line && self.metadata.wants(name) {
                room.write(name, found, pairs, value);
            }
        }
        room.left_out
    }
}

/// Room for structured metadata.
struct Room {
    bytes: usize,
    count: usize,
    left_out: u64,
}

impl Room {
    fn write(&mut self, name: &str, found: ValueRef<'_>, pairs: &mut Vec<u8>, scratch: &mut Vec<u8>) {
        scratch.clear();
        let value = match found {
            ValueRef::Null | ValueRef::Str("") => return,
            ValueRef::Str(text) | ValueRef::Json(text) => text.as_bytes(),
            ValueRef::Timestamp(time) => {
                write_rfc3339(time, scratch);
                scratch
            }
            other => {
                json_out::write_value(other, scratch);
                scratch
            }
        };
        let name = label_of(name);
        let bytes = name.len() + value.len();
        if self.count == 0 || bytes > self.bytes {
            self.left_out += 1;
            return;
        }
        self.count -= 1;
        self.bytes -= bytes;
        push::write_pair(name.as_bytes(), value, pairs);
    }
}

/// Remembers which times a line has had in its stream.
///
/// Forgets the oldest after [`TIMES_MAX`] others. Two records with the same text and the same nanosecond are next to
/// each other where they occur at all: in files without times of their own, and in journals.
#[derive(Default)]
struct Times {
    /// By a hash of labels, line and time; and for a record that was moved by one of these and its name.
    young: HashMap<u64, Slot>,
    old: HashMap<u64, Slot>,
}

/// A time that a line has had.
#[derive(Clone, Copy)]
struct Slot {
    /// Whose time it is: a hash of the record's name.
    of: u64,
    /// How many nanoseconds later the next free time may be; of a record that was moved, where it is.
    step: i64,
}

impl Times {
    /// A time at which the line was not seen in this stream, and whether it is another than was asked for. A record
    /// that comes again (read again after a crash while it waits in the buffer, too) has the same time again.
    fn free(&mut self, labels: &[u8], time: Timestamp, line: &[u8], id: RecordId) -> (Timestamp, bool) {
        let line = xxh3_64_with_seed(line, xxh3_64(labels));
        let key = |nanos: i64| xxh3_64_with_seed(&nanos.to_le_bytes(), line);
        let of = xxh3_64_with_seed(&id.source.0.to_le_bytes(), id.start);
        let own = key(time.nanos()) ^ of;
        let mut nanos = time.nanos();
        while let Some(slot) = self.slot(key(nanos)).filter(|slot| slot.of != of) {
            let moved = self.slot(own).filter(|own| own.of == of);
            if let Some(Slot { step, .. }) = moved.filter(|_| nanos == time.nanos()) {
                return (Timestamp::from_nanos(nanos.saturating_add(step)), true);
            }
            nanos = nanos.saturating_add(slot.step);
            if nanos == i64::MAX {
                break;
            }
        }
        if self.slot(key(nanos)).is_none() {
            self.note(key(nanos), Slot { of, step: 1 });
        }
        let moved = nanos - time.nanos();
        if moved > 0 {
            self.note(own, Slot { of, step: moved });
            // The next one need not try all of them again.
            if let Some(first) = self.slot(key(time.nanos())) {
                self.note(key(time.nanos()), Slot { step: moved + 1, ..first });
            }
        }
        (Timestamp::from_nanos(nanos), moved > 0)
    }

    fn slot(&self, key: u64) -> Option<Slot> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn note(&mut self, key: u64, slot: Slot) {
        if self.young.len() >= TIMES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, slot);
    }
}

/// Lengths of the parts of what was written.
struct Head {
    tenant: usize,
    labels: usize,
    line: usize,
}

impl Head {
    fn encode(&self) -> [u8; Entry::HEAD_BYTES] {
        let mut head = [0; Entry::HEAD_BYTES];
        for (place, length) in head.chunks_exact_mut(4).zip([self.tenant, self.labels, self.line]) {
            place.copy_from_slice(&(length as u32).to_le_bytes());
        }
        head
    }
}

/// What was written, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) tenant: &'a [u8],
    pub(super) labels: &'a [u8],
    /// Bytes of the line.
    pub(super) line_bytes: usize,
    /// As it stands in a stream.
    pub(super) entry: &'a [u8],
}

impl<'a> Entry<'a> {
    const HEAD_BYTES: usize = 12;

    /// Reads what a [`Form`] has written.
    pub(super) fn read(payload: &'a [u8]) -> Self {
        let (head, rest) = payload.split_at(Self::HEAD_BYTES);
        let length =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (tenant, rest) = rest.split_at(length(0));
        let (labels, entry) = rest.split_at(length(4));
        Self { tenant, labels, line_bytes: length(8), entry }
    }
}

/// A request of what was written.
pub(super) fn request(payloads: &[Bytes]) -> Vec<u8> {
    push::request(payloads.iter().map(|payload| {
        let Entry { labels, entry, .. } = Entry::read(payload);
        (labels, entry)
    }))
}
