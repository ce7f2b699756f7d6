//! An entry of a journal.
//!
//! Owns: its fields, its name for all time (journald's cursor).
//! Does not own: what fields mean (`record`).
//! Invariant: a field's name is not empty; what could not be read is listed.

use std::fmt;

use super::layout::{id_at, u64_at};

/// An entry; used again for each that is read.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Its number within the sequence.
    pub seqnum: u64,
    /// When journald took it, in microseconds since the epoch.
    pub realtime_micros: u64,
    /// The same since the machine started.
    pub monotonic_micros: u64,
    /// Names the start of the machine.
    pub boot_id: [u8; 16],
    /// Fields that could not be read.
    pub unreadable: Vec<Unreadable>,
    seqnum_id: [u8; 16],
    xor_hash: u64,
    bytes: Vec<u8>,
    /// Where fields lie in `bytes`: start, length of the name, end.
    fields: Vec<(usize, usize, usize)>,
}

/// A field that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where its data object should be.
    pub offset: u64,
    /// Why.
    pub reason: &'static str,
}

/// What names an entry for all time; shown as journald's cursor: `s=…;i=…;b=…;m=…;t=…;x=…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryName {
    /// The sequence.
    pub seqnum_id: [u8; 16],
    /// The number in it.
    pub seqnum: u64,
    /// The start of the machine.
    pub boot_id: [u8; 16],
    /// Microseconds since then.
    pub monotonic_micros: u64,
    /// Microseconds since the epoch.
    pub realtime_micros: u64,
    /// Exclusive or of the hashes of its fields.
    pub xor_hash: u64,
}

impl Entry {
    /// An entry object before its items.
    pub(super) const HEAD_BYTES: usize = 64;

    /// The entry's name for all time.
    #[must_use]
    pub fn name(&self) -> EntryName {
        let Self { seqnum_id, seqnum, boot_id, monotonic_micros, realtime_micros, xor_hash, .. } = *self;
        EntryName { seqnum_id, seqnum, boot_id, monotonic_micros, realtime_micros, xor_hash }
    }

    /// The fields in the order they stand in the file; a name may come more than once.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(start, name, end)| {
            let (name, value) = self.bytes[*start..*end].split_at(*name);
            (str::from_utf8(name).expect("names are ASCII"), &value[1..])
        })
    }

    /// The first value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Takes the head of an entry object; `raw` has at least [`Self::HEAD_BYTES`].
    pub(super) fn begin(&mut self, raw: &[u8], seqnum_id: [u8; 16]) {
        self.bytes.clear();
        self.fields.clear();
        self.unreadable.clear();
        self.seqnum_id = seqnum_id;
        self.seqnum = u64_at(raw, 16);
        self.realtime_micros = u64_at(raw, 24);
        self.monotonic_micros = u64_at(raw, 32);
        self.boot_id = id_at(raw, 40);
        self.xor_hash = u64_at(raw, 56);
    }

    /// Takes a payload, `NAME=value`. What has no ASCII name is no field.
    pub(super) fn add(&mut self, payload: &[u8]) {
        let Some(name) = memchr::memchr(b'=', payload) else { return };
        if name == 0 || !payload[..name].is_ascii() {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.fields.push((start, name, self.bytes.len()));
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sequence, boot) = (u128::from_be_bytes(self.seqnum_id), u128::from_be_bytes(self.boot_id));
        let Self { seqnum, monotonic_micros, realtime_micros, xor_hash, .. } = self;
        write!(
            f,
            "s={sequence:032x};i={seqnum:x};b={boot:032x};m={monotonic_micros:x};t={realtime_micros:x};x={xor_hash:x}"
        )
    }
}
