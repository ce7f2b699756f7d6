//! The footer of a segment: what all its blocks share, and where they lie.
//!
//! Owns: [`Footer`] and the tail behind it, which says where it starts.
//! Invariant: names ascend, sources ascend, blocks lie one behind another within the segment.

use std::ops::RangeInclusive;
use std::sync::Arc;

use sawyer_model::limits::{BATCH_TEXT_BYTES_MAX, NAME_BYTES_MAX};
use sawyer_model::{SourceId, Stream, Timestamp};

use super::{
    BLOCK_ROWS_MAX, BlockInfo, HEADER_BYTES, MAGIC, Summary, VERSION, VERSION_WITH_GROUPS,
    VERSION_WITH_PLANES,
};
use crate::bytes::{Put, Reader, checksum};
use crate::error::{Damage, Decoded};
use crate::ints::Packing;
use crate::source::Stored;
use crate::value::{parse_stream, put_stream};
use crate::zip;

/// Bytes of the tail: length and checksum of the footer, magic, version.
pub(crate) const TAIL_BYTES: usize = 8 + 4 + HEADER_BYTES;

/// Largest footer, decompressed. It holds the names, streams and sources of one segment; a million of each take
/// less.
const FOOTER_BYTES_MAX: usize = 1 << 30;

/// Most raw bytes of a block: the largest batch of one record fits.
const BLOCK_RAW_BYTES_MAX: u64 = 4 * BATCH_TEXT_BYTES_MAX as u64;

/// How the variables of texts are kept: see [`Packing`].
const BITS: u8 = 0;
const PLANES: u8 = 1;

/// What a footer says.
#[derive(Debug, Default)]
pub(crate) struct Footer {
    /// Names of fields, ascending.
    pub(crate) names: Vec<Box<str>>,
    pub(crate) streams: Vec<Arc<Stream>>,
    /// Ascending.
    pub(crate) sources: Vec<SourceId>,
    /// For each source the blocks that have records of it.
    pub(crate) source_blocks: Vec<RangeInclusive<u32>>,
    pub(crate) blocks: Vec<BlockInfo>,
    pub(crate) groups: Vec<Group>,
}

/// Texts of one field in several blocks that are kept together.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The number of the field's name.
    pub(crate) name: u32,
    /// How long the texts are that its shapes were learned from.
    pub(crate) text_bytes: u64,
    /// How the variables of its texts are kept.
    pub(crate) packing: Packing,
    /// What all of them share.
    pub(crate) shapes: Stored,
    /// By block, ascending.
    pub(crate) portions: Vec<GroupPortion>,
}

/// The texts of one block in a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupPortion {
    pub(crate) block: u32,
    /// Which shapes the texts have, and their variables.
    pub(crate) packed: Stored,
    /// The head of those without a shape; their data follows it.
    pub(crate) raw_head: Stored,
    pub(crate) raw_data_len: u64,
}

impl Footer {
    /// The bytes of a footer, as they are stored.
    pub(crate) fn encode(&self, packing: Packing) -> Vec<u8> {
        let plain = self.encode_plain();
        let mut stored = Vec::with_capacity(plain.len() / 2);
        stored.put_varint(plain.len() as u64);
        match packing {
            Packing::Bits => zip::put_zipped(&mut stored, &plain),
            Packing::Planes => zip::put_plain(&mut stored, &plain),
        }
        stored
    }

    /// The bytes of a footer before they are compressed.
    pub(crate) fn encode_plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        plain.put_varint(self.names.len() as u64);
        self.names.iter().for_each(|name| plain.put_text(name));
        plain.put_varint(self.streams.len() as u64);
        self.streams.iter().for_each(|stream| put_stream(&mut plain, stream));
        plain.put_varint(self.sources.len() as u64);
        for (source, blocks) in self.sources.iter().zip(&self.source_blocks) {
            plain.put_u128(source.0);
            plain.put_varint(u64::from(*blocks.start()));
            plain.put_varint(u64::from(blocks.end() - blocks.start()));
        }
        plain.put_varint(self.blocks.len() as u64);
        let mut end = HEADER_BYTES as u64;
        for block in &self.blocks {
            plain.put_varint(block.offset - end);
            put_block(&mut plain, block);
            end = block.offset + block.bytes;
        }
        plain.put_varint(self.groups.len() as u64);
        self.groups.iter().for_each(|group| put_group(&mut plain, group));
        plain
    }

    /// Reads a footer of a segment whose blocks and directories take `body_bytes` bytes, header included.
    pub(crate) fn decode(stored: &[u8], body_bytes: u64, version: u8) -> Decoded<Self> {
        let mut reader = Reader::new(stored);
        let len = reader.at_most(FOOTER_BYTES_MAX, "a footer within bounds")?;
        Self::decode_plain(&zip::unzip(&mut reader, len)?, body_bytes, version)
    }

    /// Reads the bytes of [`Footer::encode_plain`].
    pub(crate) fn decode_plain(plain: &[u8], body_bytes: u64, version: u8) -> Decoded<Self> {
        let mut reader = Reader::new(plain);
        let mut footer = Self { names: parse_names(&mut reader)?, ..Self::default() };
        for _ in 0..reader.count()? {
            footer.streams.push(parse_stream(&mut reader)?);
        }
        for _ in 0..reader.count()? {
            let source = SourceId(reader.u128()?);
            if footer.sources.last().is_some_and(|last| *last >= source) {
                return Err(Damage::expected("ascending sources"));
            }
            footer.sources.push(source);
            let first = reader.at_most(u32::MAX as usize, "the number of a block")? as u32;
            let more = reader.at_most((u32::MAX - first) as usize, "the number of a block")? as u32;
            footer.source_blocks.push(first..=first + more);
        }
        let mut offset = HEADER_BYTES as u64;
        let has_groups = version >= VERSION_WITH_GROUPS;
        for _ in 0..reader.count()? {
            if has_groups {
                let gap = reader.varint()?;
                offset = offset.checked_add(gap).ok_or(Damage::expected("blocks within the segment"))?;
            }
            footer.blocks.push(parse_block(&mut reader, &mut offset, body_bytes, footer.streams.len())?);
        }
        if has_groups {
            for _ in 0..reader.count()? {
                let group = parse_group(&mut reader, body_bytes, &footer, version)?;
                footer.groups.push(group);
            }
        }
        reader.end()?;
        if footer.source_blocks.iter().any(|blocks| *blocks.end() as usize >= footer.blocks.len()) {
            return Err(Damage::expected("the number of a block"));
        }
        Ok(footer)
    }

    /// What is known of the segment of `bytes` bytes as a whole.
    pub(crate) fn summary(&self, bytes: u64) -> Summary {
        let span = |of: fn(&BlockInfo) -> &RangeInclusive<Timestamp>| {
            let first = self.blocks.iter().map(|block| *of(block).start()).min()?;
            let last = self.blocks.iter().map(|block| *of(block).end()).max()?;
            Some(first..=last)
        };
        Summary {
            rows: self.blocks.iter().map(|block| block.rows as u64).sum(),
            raw_bytes: self.blocks.iter().map(|block| block.raw_bytes).sum(),
            bytes,
            timestamps: span(|block| &block.timestamps),
            observed: span(|block| &block.observed),
            blocks: self.blocks.len(),
        }
    }

    /// The group with the texts of a field in a block, and where they lie.
    pub(crate) fn portion(&self, name: u32, block: usize) -> Option<(usize, &GroupPortion)> {
        self.portion_place(name, block).map(|(group, at)| (group, &self.groups[group].portions[at]))
    }

    /// The number of the group, and the place among its portions.
    pub(crate) fn portion_place(&self, name: u32, block: usize) -> Option<(usize, usize)> {
        let of_name = self.groups.iter().enumerate().filter(|(_, group)| group.name == name);
        of_name.into_iter().find_map(|(number, group)| {
            let at = group.portions.binary_search_by_key(&block, |portion| portion.block as usize).ok()?;
            Some((number, at))
        })
    }

    /// The number of a name.
    pub(crate) fn find_name(&self, name: &str) -> Option<u32> {
        self.names.binary_search_by(|known| (**known).cmp(name)).ok().map(|at| at as u32)
    }
}

fn parse_names(reader: &mut Reader<'_>) -> Decoded<Vec<Box<str>>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for _ in 0..reader.count()? {
        let name = reader.text(NAME_BYTES_MAX)?;
        if names.last().is_some_and(|last| **last >= *name) {
            return Err(Damage::expected("ascending names"));
        }
        names.push(name.into());
    }
    Ok(names)
}

fn put_block(out: &mut Vec<u8>, block: &BlockInfo) {
    out.put_varint(block.bytes);
    out.put_varint(block.rows as u64);
    out.put_varint(block.raw_bytes);
    for times in [&block.timestamps, &block.observed] {
        out.put_i64(times.start().nanos());
        out.put_i64(times.end().nanos());
    }
    out.put_varint(*block.streams.start() as u64);
    out.put_varint((block.streams.end() - block.streams.start()) as u64);
    out.put_u64(block.directory.offset);
    out.put_varint(block.directory.len);
    out.put_u32(block.directory.checksum);
}

fn parse_block(
    reader: &mut Reader<'_>,
    offset: &mut u64,
    body_bytes: u64,
    stream_count: usize,
) -> Decoded<BlockInfo> {
    let within = |start: u64, len: u64| start.checked_add(len).is_some_and(|end| end <= body_bytes);
    let bytes = reader.varint()?;
    if !within(*offset, bytes) {
        return Err(Damage::expected("blocks within the segment"));
    }
    let start = *offset;
    *offset += bytes;
    let rows = reader.at_most(BLOCK_ROWS_MAX, "a block of rows within bounds")?;
    let raw_bytes = reader.varint()?;
    if rows == 0 || raw_bytes > BLOCK_RAW_BYTES_MAX {
        return Err(Damage::expected("a block within bounds"));
    }
    let mut times = || Ok(Timestamp::from_nanos(reader.i64()?)..=Timestamp::from_nanos(reader.i64()?));
    let (timestamps, observed) = (times()?, times()?);
    let first = reader.at_most(stream_count, "a stream of the segment")?;
    let last = first + reader.at_most(stream_count, "a stream of the segment")?;
    if last >= stream_count {
        return Err(Damage::expected("a stream of the segment"));
    }
    let directory = Stored { offset: reader.u64()?, len: reader.varint()?, checksum: reader.u32()? };
    if !within(directory.offset, directory.len) {
        return Err(Damage::expected("directories within the segment"));
    }
    Ok(BlockInfo {
        rows,
        raw_bytes,
        timestamps,
        observed,
        streams: first..=last,
        offset: start,
        bytes,
        directory,
    })
}

fn put_group(out: &mut Vec<u8>, group: &Group) {
    out.put_varint(u64::from(group.name));
    out.put_varint(group.text_bytes);
    out.put_u8(if group.packing == Packing::Bits { BITS } else { PLANES });
    put_stored(out, group.shapes);
    out.put_varint(group.portions.len() as u64);
    let mut next = 0;
    for portion in &group.portions {
        out.put_varint(u64::from(portion.block - next));
        next = portion.block + 1;
        put_stored(out, portion.packed);
        put_stored(out, portion.raw_head);
        out.put_varint(portion.raw_data_len);
    }
}

fn put_stored(out: &mut Vec<u8>, stored: Stored) {
    out.put_varint(stored.offset);
    out.put_varint(stored.len);
    out.put_u32(stored.checksum);
}

fn parse_group(reader: &mut Reader<'_>, body_bytes: u64, footer: &Footer, version: u8) -> Decoded<Group> {
    let (names, blocks) = (footer.names.len(), footer.blocks.len());
    let name = reader.at_most(names, "a name of the segment")?;
    if name == names {
        return Err(Damage::expected("a name of the segment"));
    }
    let parse_stored = |reader: &mut Reader<'_>| {
        let stored = Stored { offset: reader.varint()?, len: reader.varint()?, checksum: reader.u32()? };
        let within = stored.offset.checked_add(stored.len).is_some_and(|end| end <= body_bytes);
        if within { Ok(stored) } else { Err(Damage::expected("groups within the segment")) }
    };
    let text_bytes = reader.varint()?;
    let packing = match if version < VERSION_WITH_PLANES { BITS } else { reader.u8()? } {
        BITS => Packing::Bits,
        PLANES => Packing::Planes,
        other => return Err(Damage::unknown("packing of texts", other)),
    };
    let shapes = parse_stored(reader)?;
    let mut portions = Vec::new();
    let mut next = 0;
    for _ in 0..reader.count()? {
        let block = next + reader.at_most(blocks, "the number of a block")?;
        if block >= blocks {
            return Err(Damage::expected("the number of a block"));
        }
        next = block + 1;
        let (packed, raw_head) = (parse_stored(reader)?, parse_stored(reader)?);
        let raw_data_len = reader.varint()?;
        portions.push(GroupPortion { block: block as u32, packed, raw_head, raw_data_len });
    }
    Ok(Group { name: name as u32, text_bytes, packing, shapes, portions })
}

/// Appends the tail of a segment that ends with this footer.
pub(crate) fn put_tail(out: &mut Vec<u8>, footer: &[u8]) {
    out.put_u64(footer.len() as u64);
    out.put_u32(checksum(footer));
    out.extend_from_slice(MAGIC);
    out.put_u8(VERSION);
}

/// Reads the tail of a segment of `len` bytes that starts with this version: where its footer lies.
pub(crate) fn parse_tail(tail: &[u8], len: u64, version: u8) -> Decoded<Stored> {
    let mut reader = Reader::new(tail);
    let footer_len = reader.u64()?;
    let checksum = reader.u32()?;
    if reader.take(MAGIC.len())? != MAGIC || reader.u8()? != version {
        return Err(Damage::expected("the end of a segment"));
    }
    let before = len.checked_sub(TAIL_BYTES as u64 + HEADER_BYTES as u64);
    let offset = before.and_then(|before| before.checked_sub(footer_len));
    let offset = offset.ok_or(Damage::expected("a footer within the segment"))? + HEADER_BYTES as u64;
    Ok(Stored { offset, len: footer_len, checksum })
}
