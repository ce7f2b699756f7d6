//! The catalogue: which segments hold the records, and what was taken from each source.
//!
//! Owns: the file `catalogue`, its layout and checksums.
//! Does not own: when it changes (`keeper`), what is in segments (`segment`).
//! Invariant: the file is replaced whole, and holds its content twice, so that no single damaged place loses it.
//!
//! The ranges in it are those of the sealed segments and of nothing else: what the write-ahead log holds from
//! `wal_first` on is added when it is read again. The layout is in `docs/FORMATS.md`.

mod bytes;

use std::path::Path;

use sawyer_disk::{Disk, read_all, write_atomic};
use sawyer_model::Timestamp;

use crate::error::{Result, StoreError};
use crate::settings::DAY;
use crate::sources::Sources;

/// Name of the file.
pub(crate) const CATALOGUE_FILE: &str = "catalogue";

/// Largest file that is read: 200 times what the largest store known takes. A longer one is foreign.
const BYTES_MAX: u64 = 8 << 30;

/// What the store holds besides the write-ahead log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Catalogue {
    /// Counts the changes.
    pub(crate) generation: u64,
    /// The first file of the write-ahead log that is not sealed.
    pub(crate) wal_first: u64,
    /// Number of the next segment.
    pub(crate) segment_next: u64,
    /// The segments, by number.
    pub(crate) segments: Vec<SegmentEntry>,
    /// What was taken from each source, as far as it is sealed.
    pub(crate) sources: Sources,
}

/// What the catalogue knows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    /// Its number; its file is named by it.
    pub(crate) id: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// How many records.
    pub(crate) rows: u64,
    /// Bytes of the values of its records, about what they take in memory.
    pub(crate) raw_bytes: u64,
    /// Earliest timestamp.
    pub(crate) time_min: Timestamp,
    /// Latest timestamp.
    pub(crate) time_max: Timestamp,
    /// When its first record was first seen.
    pub(crate) observed_min: Timestamp,
    /// When its last record was first seen.
    pub(crate) observed_max: Timestamp,
    /// Whether its records tell a time far from when they were seen, or farther than most (`divide`). They are kept apart,
    /// so that a few late lines do not widen the time of a segment that every query then has to read.
    pub(crate) stray: bool,
    /// Until when its records are kept whatever their age: they were restored. The epoch if nothing was said.
    pub(crate) kept_until: Timestamp,
}

/// Segments are merged only with those of the same partition, so that a day can be removed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition {
    /// Day of `observed`, counted from the epoch.
    pub(crate) day: i64,
    /// See [`SegmentEntry::stray`].
    pub(crate) stray: bool,
    /// See [`SegmentEntry::kept_until`].
    pub(crate) kept_until: Timestamp,
}

impl Partition {
    /// Where a record belongs.
    pub(crate) fn of(timestamp: Timestamp, observed: Timestamp) -> Self {
        let near = timestamp <= observed.saturating_add(DAY) && timestamp >= observed.saturating_sub(DAY);
        Self { day: day_of(observed), stray: !near, kept_until: Timestamp::EPOCH }
    }

    /// When it is sure that no more records come into it: a day after its end, by the clock of those who see them.
    pub(crate) fn is_closed(self, now: Timestamp) -> bool {
        day_of(now) > self.day + 1
    }
}

fn day_of(time: Timestamp) -> i64 {
    time.nanos().div_euclid(DAY.as_nanos() as i64)
}

impl SegmentEntry {
    /// The partition it belongs to.
    pub(crate) fn partition(&self) -> Partition {
        let Self { observed_min, stray, kept_until, .. } = *self;
        Partition { day: day_of(observed_min), stray, kept_until }
    }
}

impl Catalogue {
    /// The segment with this number.
    pub(crate) fn find(&self, id: u64) -> Option<&SegmentEntry> {
        self.segments.iter().find(|entry| entry.id == id)
    }

    /// Takes out a segment; says whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.segments.len();
        self.segments.retain(|entry| entry.id != id);
        before != self.segments.len()
    }
}

/// What was found of the catalogue.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// All of it.
    Whole(Catalogue),
    /// One of its two copies; the other is damaged.
    Half(Catalogue),
}

/// Reads the catalogue.
pub(crate) fn load(disk: &dyn Disk) -> Result<Found> {
    let bytes = match read_all(disk, Path::new(CATALOGUE_FILE), BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(Found::Nothing),
        Err(error) => return Err(StoreError::disk("read the catalogue")(error)),
    };
    match bytes::decode(&bytes) {
        Ok((catalogue, true)) => Ok(Found::Whole(catalogue)),
        Ok((catalogue, false)) => Ok(Found::Half(catalogue)),
        Err(bytes::DecodeError::Newer(version)) => {
            Err(StoreError::Newer { path: CATALOGUE_FILE.into(), version })
        }
        Err(error) => Err(StoreError::Corrupt { path: CATALOGUE_FILE.into(), reason: error.to_string() }),
    }
}

/// Makes a catalogue the one in force, durably. After an error it is open which one is.
pub(crate) fn save(disk: &dyn Disk, catalogue: &Catalogue) -> Result<()> {
    let bytes = bytes::encode(catalogue);
    write_atomic(disk, Path::new(CATALOGUE_FILE), &bytes).map_err(StoreError::disk("write the catalogue"))
}

#[cfg(test)]
mod tests;
