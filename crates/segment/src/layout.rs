//! Where the parts of a segment lie.
//!
//! Owns: header, tail, footer and the directories of blocks, as they stand in `docs/FORMATS.md`.
//! Does not own: what is in a column (`column`), in the heads of rows (`heads`), in a filter (`filter`).
//! Invariant: whatever was parsed here names only places within the segment, and columns in the order of their
//! names.

mod directory;
mod footer;
mod stats;

use std::ops::RangeInclusive;

use sawyer_model::Timestamp;

pub(crate) use self::directory::{ColumnEntry, Directory, PartEntry, part};
pub(crate) use self::footer::{Footer, Group, GroupPortion, TAIL_BYTES, parse_tail, put_tail};
pub use self::stats::Stats;

/// First bytes of a segment; the version follows.
pub(crate) const MAGIC: &[u8; 7] = b"SAWYSEG";
/// The version that is written.
pub(crate) const VERSION: u8 = 4;
/// The first version with groups.
pub(crate) const VERSION_WITH_GROUPS: u8 = 3;
/// The first version whose groups say how they are packed.
pub(crate) const VERSION_WITH_PLANES: u8 = 4;
/// Bytes of magic and version.
pub(crate) const HEADER_BYTES: usize = 8;

/// Most rows of a block: places in a block are small numbers, and a set of rows is 8 KiB at most.
pub const BLOCK_ROWS_MAX: usize = 64 << 10;

/// What is known of a segment as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Records in it.
    pub rows: u64,
    /// Bytes of the values of all records, before encoding; about what they take in memory.
    pub raw_bytes: u64,
    /// Bytes of the segment.
    pub bytes: u64,
    /// Earliest and latest timestamp; none without records.
    pub timestamps: Option<RangeInclusive<Timestamp>>,
    /// Earliest and latest time of arrival; none without records.
    pub observed: Option<RangeInclusive<Timestamp>>,
    /// How many blocks.
    pub blocks: usize,
}

/// What is known of a block without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Records in it, at most [`BLOCK_ROWS_MAX`].
    pub rows: usize,
    /// See [`Summary::raw_bytes`].
    pub raw_bytes: u64,
    /// Earliest and latest timestamp.
    pub timestamps: RangeInclusive<Timestamp>,
    /// Earliest and latest time of arrival.
    pub observed: RangeInclusive<Timestamp>,
    /// The streams its records are of, by their numbers in the segment.
    pub streams: RangeInclusive<usize>,
    /// Where it lies.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) directory: crate::source::Stored,
}
