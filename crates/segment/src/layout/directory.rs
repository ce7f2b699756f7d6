//! The directory of a block: which columns it has and where they lie.
//!
//! Owns: [`Directory`]. A block is, from its start: the data of the columns, in the order of the directory; the
//! heads of the columns; the other parts. So the directory tells lengths only.
//! Invariant: columns ascend by name; everything lies within the block.

use std::ops::Range;

use super::Stats;
use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};

/// Parts of a block beside its columns. Parts of other kinds are skipped by those who do not know them.
pub(crate) mod part {
    /// Which streams the rows are of.
    pub(crate) const STREAMS: u8 = 1;
    /// Timestamps.
    pub(crate) const TIMESTAMPS: u8 = 2;
    /// Times of arrival.
    pub(crate) const OBSERVED: u8 = 3;
    /// Sources.
    pub(crate) const SOURCES: u8 = 4;
    /// Ranges in the sources.
    pub(crate) const RANGES: u8 = 5;
    /// Times of arrival by themselves, instead of [`OBSERVED`].
    pub(crate) const ARRIVALS: u8 = 7;
    /// A filter of tokens (split-block Bloom); has checksums of its own.
    pub(crate) const FILTER: u8 = 6;
}

/// What a directory says.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) columns: Vec<ColumnEntry>,
    pub(crate) parts: Vec<PartEntry>,
}

/// One column.
#[derive(Clone, Debug)]
pub(crate) struct ColumnEntry {
    /// The number of its name in the segment.
    pub(crate) name: u32,
    /// The types of its values, a bit for each.
    pub(crate) mask: u8,
    /// How many rows have it.
    pub(crate) count: usize,
    pub(crate) stats: Stats,
    /// Within the block.
    pub(crate) data: Range<u64>,
    /// Within the block.
    pub(crate) head: Range<u64>,
    pub(crate) head_checksum: u32,
}

/// Another part.
#[derive(Clone, Debug)]
pub(crate) struct PartEntry {
    pub(crate) kind: u8,
    /// Within the block.
    pub(crate) range: Range<u64>,
    pub(crate) checksum: u32,
}

impl Directory {
    /// Appends the directory; `name_of` gives the final numbers of names.
    pub(crate) fn put(&self, out: &mut Vec<u8>, name_of: impl Fn(u32) -> u32) {
        out.put_varint(self.columns.len() as u64);
        let mut next = 0;
        for column in &self.columns {
            let name = name_of(column.name);
            out.put_varint(u64::from(name - next));
            next = name + 1;
            out.put_u8(column.mask);
            out.put_varint(column.count as u64);
            column.stats.put(out);
            out.put_varint(column.data.end - column.data.start);
            out.put_varint(column.head.end - column.head.start);
            out.put_u32(column.head_checksum);
        }
        out.put_varint(self.parts.len() as u64);
        for part in &self.parts {
            out.put_u8(part.kind);
            out.put_varint(part.range.end - part.range.start);
            out.put_u32(part.checksum);
        }
    }

    /// Reads the directory of a block of `bytes` bytes and `rows` rows, in a segment of `names` names.
    pub(crate) fn parse(reader: &mut Reader<'_>, bytes: u64, rows: usize, names: usize) -> Decoded<Self> {
        let mut directory = Self::default();
        let mut head_lens = Vec::new();
        let mut offset = 0;
        let mut next_name = 0;
        for _ in 0..reader.count()? {
            let name = next_name + reader.at_most(names, "a name of the segment")?;
            if name >= names {
                return Err(Damage::expected("a name of the segment"));
            }
            next_name = name + 1;
            let mask = reader.u8()?;
            let count = reader.at_most(rows, "no more values than rows")?;
            let stats = Stats::parse(reader)?;
            let data = advance(&mut offset, reader.varint()?, bytes)?;
            head_lens.push(reader.varint()?);
            let (name, head_checksum) = (name as u32, reader.u32()?);
            directory.columns.push(ColumnEntry { name, mask, count, stats, data, head: 0..0, head_checksum });
        }
        for (column, head_len) in directory.columns.iter_mut().zip(head_lens) {
            column.head = advance(&mut offset, head_len, bytes)?;
        }
        for _ in 0..reader.count()? {
            let kind = reader.u8()?;
            let range = advance(&mut offset, reader.varint()?, bytes)?;
            directory.parts.push(PartEntry { kind, range, checksum: reader.u32()? });
        }
        reader.end()?;
        Ok(directory)
    }

    /// The column with this name.
    pub(crate) fn column(&self, name: u32) -> Option<&ColumnEntry> {
        let at = self.columns.binary_search_by_key(&name, |column| column.name).ok()?;
        Some(&self.columns[at])
    }

    /// The part of this kind.
    pub(crate) fn part(&self, kind: u8) -> Option<&PartEntry> {
        self.parts.iter().find(|part| part.kind == kind)
    }
}

fn advance(offset: &mut u64, len: u64, end: u64) -> Decoded<Range<u64>> {
    let start = *offset;
    let next = start.checked_add(len).filter(|next| *next <= end);
    *offset = next.ok_or(Damage::expected("parts within the block"))?;
    Ok(start..*offset)
}
