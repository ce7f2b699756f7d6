//! Where things stand in a journal file.
//!
//! Owns: the header, the head of objects, their kinds and flags.
//! Does not own: following them.
//! Invariant: an object is given out only if it lies within the file as its header tells it.

use super::{JournalError, ReadAt, read};

/// What the oldest supported header has: everything up to the times and counts that are used.
pub(super) const HEADER_BYTES_MIN: usize = 208;
/// The head of every object: kind, flags, size.
const OBJECT_HEAD_BYTES: u64 = 16;
/// An entry array before its items.
pub(super) const ARRAY_HEAD_BYTES: usize = 24;

/// A field and its value.
pub(super) const OBJECT_DATA: u8 = 1;
/// An entry.
pub(super) const OBJECT_ENTRY: u8 = 3;
/// A part of the list of entries.
pub(super) const OBJECT_ENTRY_ARRAY: u8 = 6;

/// On a data object: the payload is compressed with XZ.
pub(super) const FLAG_XZ: u8 = 1;
/// On a data object: the payload is a length and an LZ4 block.
pub(super) const FLAG_LZ4: u8 = 2;
/// On a data object: the payload is a zstd frame.
pub(super) const FLAG_ZSTD: u8 = 4;

const COMPACT: u32 = 1 << 4;
/// XZ, LZ4, keyed hash, zstd, compact.
const KNOWN_FEATURES: u32 = (1 << 5) - 1;

/// What is done with a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Closed properly.
    Offline,
    /// Being written, or not closed properly.
    Online,
    /// Will not be written again.
    Archived,
    /// Anything else.
    Other(u8),
}

/// The header of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is done with the file.
    pub state: State,
    /// Names the file.
    pub file_id: [u8; 16],
    /// Names the machine.
    pub machine_id: [u8; 16],
    /// Names the start of that machine during which the last entry was written.
    pub boot_id: [u8; 16],
    /// Names the sequence that entries are numbered in; files that follow each other share it.
    pub seqnum_id: [u8; 16],
    /// Number of the first entry.
    pub head_seqnum: u64,
    /// Number of the last entry.
    pub tail_seqnum: u64,
    /// Time of the first entry in microseconds.
    pub head_realtime_micros: u64,
    /// Time of the last entry in microseconds.
    pub tail_realtime_micros: u64,
    /// How many entries there are.
    pub entry_count: u64,
    pub(super) entry_array: u64,
    pub(super) compact: bool,
    /// First byte after everything.
    end: u64,
}

impl Header {
    pub(super) fn decode(raw: &[u8; HEADER_BYTES_MIN]) -> Result<Self, JournalError> {
        if !raw.starts_with(b"LPKSHHRH") {
            return Err(JournalError::Signature);
        }
        let flags = u32_at(raw, 12);
        if flags & !KNOWN_FEATURES != 0 {
            return Err(JournalError::Features { flags: flags & !KNOWN_FEATURES });
        }
        let header_size = u64_at(raw, 88);
        let end = header_size.checked_add(u64_at(raw, 96));
        let Some(end) = end.filter(|_| header_size >= HEADER_BYTES_MIN as u64) else {
            return Err(JournalError::Damaged { what: "size of the header", offset: 88 });
        };
        Ok(Self {
            state: match raw[16] {
                0 => State::Offline,
                1 => State::Online,
                2 => State::Archived,
                other => State::Other(other),
            },
            file_id: id_at(raw, 24),
            machine_id: id_at(raw, 40),
            boot_id: id_at(raw, 56),
            seqnum_id: id_at(raw, 72),
            entry_count: u64_at(raw, 152),
            tail_seqnum: u64_at(raw, 160),
            head_seqnum: u64_at(raw, 168),
            entry_array: u64_at(raw, 176),
            head_realtime_micros: u64_at(raw, 184),
            tail_realtime_micros: u64_at(raw, 192),
            compact: flags & COMPACT != 0,
            end,
        })
    }
}

/// The head of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// With this head.
    pub(super) size: u64,
}

impl Object {
    pub(super) fn read(bytes: &impl ReadAt, header: &Header, offset: u64) -> Result<Self, JournalError> {
        if offset == 0 || !offset.is_multiple_of(8) {
            return Err(JournalError::Damaged { what: "place of an object", offset });
        }
        let mut raw = [0; OBJECT_HEAD_BYTES as usize];
        read(bytes, &mut raw, offset)?;
        let size = u64_at(&raw, 8);
        let fits = offset.checked_add(size).is_some_and(|end| end <= header.end);
        if size < OBJECT_HEAD_BYTES || !fits {
            return Err(JournalError::Damaged { what: "size of an object", offset });
        }
        Ok(Self { kind: raw[0], flags: raw[1], size })
    }
}

/// The little-endian number at a place that is within `raw`.
pub(super) fn u64_at(raw: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(raw[at..at + 8].try_into().expect("eight bytes"))
}

/// The little-endian number at a place that is within `raw`.
pub(super) fn u32_at(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(raw[at..at + 4].try_into().expect("four bytes"))
}

/// The id at a place that is within `raw`.
pub(super) fn id_at(raw: &[u8], at: usize) -> [u8; 16] {
    raw[at..at + 16].try_into().expect("sixteen bytes")
}
