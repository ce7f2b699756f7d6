//! A whole batch by columns: what Sawyers send each other.
//!
//! Owns: versions 2 and 4 of the batch, in which texts lie column by column, repeated ones once, and numbers are packed. It
//! is a fraction of version 1 in size, and is read with less work: texts are not copied one by one.
//! Does not own: the header (`frame`), integers (`ints`), compressing (`zip`).
//! Invariant: as for version 1, what comes out is what went in, in the same order. What decoding takes in memory is
//! told at the front ([`Bounds`]), and decoding takes no more.

mod decode;
mod encode;
mod lines;

#[cfg(test)]
mod tests;

pub(super) use self::decode::{bounds, decode};
pub(super) use self::encode::encode;

/// Most records of a batch in this form; inputs close batches long before.
pub(super) const RECORDS_MAX: usize = 1 << 20;

/// Most fields of all its records together.
pub(super) const FIELDS_MAX: usize = 1 << 24;

/// Bytes of everything but the texts, decompressed, at most.
pub(super) const HEAD_BYTES_MAX: usize = 256 << 20;

/// How a column of texts is kept.
pub(super) mod text {
    /// Each text by itself.
    pub(in super::super) const EACH: u8 = 0;
    /// Different texts once, and for each value the number of its own.
    pub(in super::super) const DICTIONARY: u8 = 1;
    /// Made of the other fields of their record.
    pub(in super::super) const MADE: u8 = 2;
}

/// What is told before anything else: what decoding will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Records.
    pub(super) records: usize,
    /// Fields of all records together.
    pub(super) fields: usize,
    /// Bytes of texts, each counted as often as a record has it, and of what lines have that no field says.
    pub(super) text_bytes: usize,
    /// Bytes of everything but the texts, decompressed.
    pub(super) head_bytes: usize,
    /// Those of the templates of which lines are made. Version 2 has none.
    pub(super) template_bytes: usize,
    /// Holes of all lines together.
    pub(super) holes: usize,
}

impl Bounds {
    /// Bytes of memory that the batch and what is needed to decode it take at most.
    pub(super) fn memory_bytes(self) -> usize {
        /// Of a record: itself, and six numbers while it is decoded.
        const RECORD_BYTES: usize = 160;
        /// Of a field: itself, and a number while it is decoded.
        const FIELD_BYTES: usize = 40;
        /// Of a byte of the head: it is kept while it is read.
        const HEAD_BYTE_BYTES: usize = 16;
        /// Of a byte of templates beside that: a piece, or a name.
        const TEMPLATE_BYTE_BYTES: usize = 16;
        const HOLE_BYTES: usize = size_of::<i64>();
        let parts = [
            self.records.saturating_mul(RECORD_BYTES),
            self.fields.saturating_mul(FIELD_BYTES),
            self.text_bytes,
            self.head_bytes.saturating_mul(HEAD_BYTE_BYTES),
            self.template_bytes.saturating_mul(TEMPLATE_BYTE_BYTES),
            self.holes.saturating_mul(HOLE_BYTES),
            lines::places_bytes_max(self.records, self.template_bytes),
        ];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}
