//! Segments that are compressed once more, as a whole: for what is old, so that reading it may cost a little.
//!
//! Owns: the file around such a segment: chunks of its bytes, each compressed by itself, and which bytes lie in which
//! chunk. Pieces of one class lie together, whatever lies between them in the segment, so that what is read together is
//! compressed together.
//! Does not own: the segment inside, which is written for it by [`Packing::Planes`](crate::ints::Packing) and read as any other.
//! Invariant: whatever is read from a chunk that was compressed was compared with its checksum; chunks that were not have
//! nothing in them but pieces with checksums of their own.

mod read;
mod write;

pub(crate) use self::read::Squeezed;
pub(crate) use self::write::Squeezer;
use crate::bytes::{Put, Reader, checksum};
use crate::error::{Damage, Decoded};
use crate::source::Stored;

/// First bytes of such a file; the version follows.
pub(crate) const MAGIC: &[u8; 7] = b"SAWYSQZ";
/// The version that is written.
pub(crate) const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 8;
/// Length and checksum of the index, magic, version.
const TAIL_BYTES: u64 = 8 + 4 + HEADER_BYTES;
/// Bytes of a chunk before it is compressed. Larger ones are smaller together; reading one byte decompresses as much.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Most bytes of an index: of a segment of some terabytes.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// What lies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Times, numbers, codes: what most questions ask first.
    Heads,
    /// Texts.
    Texts,
    /// What compression does not make smaller. It is kept as it is, and read piece by piece.
    Plain,
}

const CLASSES: usize = 3;

#[derive(Clone, Debug, PartialEq)]
struct Chunk {
    /// Where it lies in the file.
    offset: u64,
    len: u32,
    /// How long it is when it is decompressed; none if it is kept as it is.
    plain_len: Option<u32>,
    checksum: u32,
}

/// A piece of the segment inside.
#[derive(Clone, Debug, PartialEq)]
struct Extent {
    /// Where it ends in the segment.
    end: u64,
    chunk: u32,
    /// Where it starts in the chunk.
    start: u32,
    len: u32,
}

/// Where everything lies.
#[derive(Clone, Debug, Default, PartialEq)]
struct Index {
    chunks: Vec<Chunk>,
    extents: Vec<Extent>,
}

impl Index {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_varint(self.chunks.len() as u64);
        for chunk in &self.chunks {
            out.put_varint(u64::from(chunk.len));
            out.put_varint(u64::from(chunk.plain_len.unwrap_or(0)));
            out.put_u32(chunk.checksum);
        }
        out.put_varint(self.extents.len() as u64);
        for extent in &self.extents {
            out.put_varint(u64::from(extent.len));
            out.put_varint(u64::from(extent.chunk));
        }
        out
    }

    /// Reads an index of chunks that lie before `end`.
    fn parse(bytes: &[u8], end: u64) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let mut index = Self::default();
        let mut offset = HEADER_BYTES;
        for _ in 0..reader.count()? {
            let len = reader.at_most(u32::MAX as usize, "chunks within bounds")? as u32;
            let plain_len = reader.at_most(CHUNK_BYTES_MAX, "chunks within bounds")? as u32;
            let plain_len = (plain_len > 0).then_some(plain_len);
            index.chunks.push(Chunk { offset, len, plain_len, checksum: reader.u32()? });
            offset += u64::from(len);
        }
        if offset != end {
            return Err(Damage::expected("chunks up to the index"));
        }
        let mut filled = vec![0u32; index.chunks.len()];
        let mut place = 0u64;
        for _ in 0..reader.count()? {
            let len = reader.at_most(CHUNK_BYTES_MAX, "pieces within bounds")? as u32;
            let number = reader.at_most(index.chunks.len(), "the number of a chunk")?;
            let chunk = index.chunks.get(number).ok_or(Damage::expected("the number of a chunk"))?;
            let start = filled[number];
            filled[number] = start.saturating_add(len);
            if filled[number] > chunk.plain_len.unwrap_or(chunk.len) {
                return Err(Damage::expected("pieces within their chunks"));
            }
            place += u64::from(len);
            index.extents.push(Extent { end: place, chunk: number as u32, start, len });
        }
        reader.end()?;
        Ok(index)
    }

    /// The length of the segment inside.
    fn len(&self) -> u64 {
        self.extents.last().map_or(0, |extent| extent.end)
    }
}

fn put_tail(out: &mut Vec<u8>, index: &[u8]) {
    out.put_u64(index.len() as u64);
    out.put_u32(checksum(index));
    out.extend_from_slice(MAGIC);
    out.put_u8(VERSION);
}

/// Where the index lies in a file of `len` bytes that ends so.
fn parse_tail(tail: &[u8], len: u64) -> Decoded<Stored> {
    let mut reader = Reader::new(tail);
    let (index_len, checksum) = (reader.u64()?, reader.u32()?);
    if reader.take(MAGIC.len())? != MAGIC || reader.u8()? != VERSION || index_len > INDEX_BYTES_MAX {
        return Err(Damage::expected("the end of a squeezed segment"));
    }
    let offset = len.checked_sub(TAIL_BYTES + index_len).filter(|offset| *offset >= HEADER_BYTES);
    let offset = offset.ok_or(Damage::expected("an index within the file"))?;
    Ok(Stored { offset, len: index_len, checksum })
}

#[cfg(test)]
mod tests;
