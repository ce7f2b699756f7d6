//! The values that one field has in the rows of one block.
//!
//! Owns: which rows have the field, of which type each value is, and a sub-column for each type.
//! Does not own: how integers (`ints`) and texts (`text`) are kept; where the column lies (`layout`).
//! Invariant: a field may hold any mixture of types; every value reads back exactly, floats to the bit.
//!
//! A column has a head, which is read as a whole, and bulky data (text in frames), of which only the frames that
//! are asked for are read.

mod build;
mod floats;
mod presence;
mod values;

use crate::bytes::Reader;
use crate::error::Decoded;

pub(crate) use self::build::{ColumnBuilder, Form};
pub(crate) use self::presence::Presence;
pub(crate) use self::values::{Cursor, Picked, Values};

/// Most list elements that one column of a block can have. A line of the greatest length has a quarter of it. When
/// a column is read, the bytes that its block was made of are the nearer bound.
pub(crate) const ELEMENTS_MAX: usize = 1 << 26;

/// The fewest raw bytes that an element of a list counts for: those of an empty text.
const MIN_ELEMENT_BYTES: u64 = 1;

/// The types of values. The number of a type is its bit in the mask of a column.
pub(crate) mod kind {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const BOOL: u8 = 1;
    pub(crate) const INT: u8 = 2;
    pub(crate) const FLOAT: u8 = 3;
    pub(crate) const TIMESTAMP: u8 = 4;
    pub(crate) const STR: u8 = 5;
    pub(crate) const JSON: u8 = 6;
    pub(crate) const LIST: u8 = 7;
    pub(crate) const COUNT: u8 = 8;
}

/// A column whose head was read.
#[derive(Debug)]
pub(crate) struct Column {
    /// Less what the values do without.
    pub(crate) head: Vec<u8>,
    pub(crate) presence: Presence,
    pub(crate) values: Values,
}

impl Column {
    /// Reads the head of a column of a block of `rows` rows, which was made of `raw_bytes` bytes.
    pub(crate) fn parse(mut head: Vec<u8>, rows: usize, raw_bytes: u64) -> Decoded<Self> {
        let elements_max =
            usize::try_from(raw_bytes / MIN_ELEMENT_BYTES).unwrap_or(ELEMENTS_MAX).min(ELEMENTS_MAX);
        let mut reader = Reader::new(&head);
        let presence = Presence::parse(&mut reader, rows)?;
        let mut data_offset = 0;
        let mut values = Values::parse(&mut reader, presence.count(), &mut data_offset, Some(elements_max))?;
        reader.end()?;
        head.drain(..values.forget_entries().min(head.len()));
        head.shrink_to_fit();
        Ok(Self { presence, values, head })
    }

    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.head.len() + self.presence.memory_bytes() + self.values.memory_bytes()
    }
}
