//! Reading a squeezed segment as if it were not.
//!
//! Owns: [`Squeezed`]. Does not own: how long what was decompressed is kept (`cache`).
//! Invariant: nothing is decompressed into more than a chunk may hold.

use std::io;
use std::sync::Arc;

use super::{CHUNK_BYTES_MAX, Chunk, INDEX_BYTES_MAX, Index, TAIL_BYTES, parse_tail};
use crate::bytes::Reader;
use crate::cache::{Cache, Kept, Slot};
use crate::error::{Decoded, Place, Result};
use crate::source::{Bytes, ReadAt};
use crate::zip;

/// The bytes of the segment inside.
pub(crate) struct Squeezed {
    file: Bytes,
    index: Index,
    cache: Cache,
    slots: Box<[Slot<Vec<u8>>]>,
}

impl Squeezed {
    /// Reads the index of a file whose first bytes were looked at.
    pub(crate) fn open(file: Bytes, cache: &Cache) -> Result<Self> {
        let len = file.source.len();
        let tail_start = len.saturating_sub(TAIL_BYTES);
        let place = Place::of("tail").at(tail_start);
        let tail = file.read(tail_start, TAIL_BYTES, place)?;
        let stored = parse_tail(&tail, len).map_err(place.damaged())?;
        let place = Place::of("index of chunks").at(stored.offset);
        let bytes = file.read_checked(stored, place)?;
        let index = unzip_index(&bytes, stored.offset).map_err(place.damaged())?;
        let slots = index.chunks.iter().map(|_| Slot::default()).collect();
        Ok(Self { file, index, cache: cache.clone(), slots })
    }

    /// How many bytes of the file these bytes of the segment take, about.
    pub(crate) fn stored_bytes(&self, offset: u64, len: u64) -> f64 {
        let (mut at, end, mut stored) = (offset, offset.saturating_add(len).min(self.index.len()), 0.0);
        let first = self.index.extents.partition_point(|extent| extent.end <= at);
        for extent in &self.index.extents[first..] {
            if at >= end {
                break;
            }
            let chunk = &self.index.chunks[extent.chunk as usize];
            let part = f64::from(chunk.len) / f64::from(chunk.plain_len.unwrap_or(chunk.len).max(1));
            stored += (extent.end.min(end) - at) as f64 * part;
            at = extent.end;
        }
        stored
    }

    /// Reads some of a chunk.
    fn fill(&self, number: usize, start: usize, buf: &mut [u8]) -> io::Result<()> {
        let chunk = &self.index.chunks[number];
        let Some(plain_len) = chunk.plain_len else {
            return self.file.source.read_exact_at(buf, chunk.offset + start as u64);
        };
        let read = || self.read(chunk, plain_len as usize);
        let plain: Arc<Kept<Vec<u8>>> = self.cache.get_or_read(&self.slots[number], Vec::len, read)?;
        buf.copy_from_slice(&plain[start..start + buf.len()]);
        Ok(())
    }

    fn read(&self, chunk: &Chunk, plain_len: usize) -> io::Result<Vec<u8>> {
        let mut stored = vec![0; chunk.len as usize];
        self.file.source.read_exact_at(&mut stored, chunk.offset)?;
        let damaged = || {
            let what = format!("a chunk is damaged: offset={}", chunk.offset);
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        if self.file.verify && crate::bytes::checksum(&stored) != chunk.checksum {
            return Err(damaged());
        }
        zip::decompress(&stored, plain_len).map_err(|_| damaged())
    }
}

fn unzip_index(bytes: &[u8], end: u64) -> Decoded<Index> {
    let mut reader = Reader::new(bytes);
    let len = reader.at_most(INDEX_BYTES_MAX as usize, "an index within bounds")?;
    Index::parse(&zip::unzip(&mut reader, len)?, end)
}

impl ReadAt for Squeezed {
    fn len(&self) -> u64 {
        self.index.len()
    }

    fn read_exact_at(&self, mut buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut at = offset;
        let mut number = self.index.extents.partition_point(|extent| extent.end <= at);
        while !buf.is_empty() {
            let extent = self.index.extents.get(number).ok_or(io::ErrorKind::UnexpectedEof)?;
            let into = (at - (extent.end - u64::from(extent.len))) as usize;
            let len = buf.len().min(extent.len as usize - into);
            let (piece, rest) = std::mem::take(&mut buf).split_at_mut(len);
            self.fill(extent.chunk as usize, extent.start as usize + into, piece)?;
            (buf, at, number) = (rest, at + len as u64, number + 1);
        }
        Ok(())
    }
}

const _: () = assert!(CHUNK_BYTES_MAX <= 4 << 20, "a question for one byte reads a chunk");
