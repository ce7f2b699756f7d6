//! An entry of a journal.
//!
//! Owns: its fields, its name for all time (journald's cursor).
//! Does not own: what fields mean (`record`).
//! Invariant: a field's name is not empty; what could not be read is listed.

use std::fmt;
use std::str::FromStr;

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

/// What names an entry for all time; shown and read as journald's cursor: `s=…;i=…;b=…;m=…;t=…;x=…`.
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
        let name = EntryName::of(raw, seqnum_id);
        self.seqnum_id = name.seqnum_id;
        self.seqnum = name.seqnum;
        self.realtime_micros = name.realtime_micros;
        self.monotonic_micros = name.monotonic_micros;
        self.boot_id = name.boot_id;
        self.xor_hash = name.xor_hash;
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

impl EntryName {
    /// From the head of an entry object; `raw` has at least [`Entry::HEAD_BYTES`].
    pub(super) fn of(raw: &[u8], seqnum_id: [u8; 16]) -> Self {
        Self {
            seqnum_id,
            seqnum: u64_at(raw, 16),
            realtime_micros: u64_at(raw, 24),
            monotonic_micros: u64_at(raw, 32),
            boot_id: id_at(raw, 40),
            xor_hash: u64_at(raw, 56),
        }
    }

    /// Whether it surely comes before another, in the order in which systemd reads the files of a machine: by the numbers
    /// of one sequence, by the clock of one start of the machine, else by the time of day.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        if self.seqnum_id == other.seqnum_id {
            return self.seqnum < other.seqnum;
        }
        if self.boot_id == other.boot_id {
            return self.monotonic_micros < other.monotonic_micros;
        }
        self.realtime_micros < other.realtime_micros
    }
}

/// A text is no cursor of journald.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a cursor of journald, as `s=…;i=…;b=…;m=…;t=…;x=…`")]
pub struct NoCursor;

impl FromStr for EntryName {
    type Err = NoCursor;

    /// Reads what `sd_journal_get_cursor` gives; what has another letter is left out, as systemd does.
    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let value =
            |letter: &str| text.split(';').find_map(|part| part.strip_prefix(letter)?.strip_prefix('='));
        let hex = |digits: &&str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = |letter| u64::from_str_radix(value(letter).filter(hex)?, 16).ok();
        let id = |letter| {
            let digits = value(letter).filter(hex).filter(|digits| digits.len() == 32)?;
            u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
        };
        let all = || {
            Some(Self {
                seqnum_id: id("s")?,
                seqnum: number("i")?,
                boot_id: id("b")?,
                monotonic_micros: number("m")?,
                realtime_micros: number("t")?,
                xor_hash: number("x")?,
            })
        };
        all().ok_or(NoCursor)
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
