//! Writing a squeezed segment.
//!
//! Owns: [`Squeezer`]: gathering pieces by class, and compressing them.
//! Invariant: no more than a chunk of each class is in memory.

use super::{CHUNK_BYTES_MAX, CLASSES, Chunk, Class, Extent, HEADER_BYTES, Index, MAGIC, VERSION, put_tail};
use crate::bytes::{Put, checksum};
use crate::encode::Sink;
use crate::zip;

/// A squeezed segment that is being written.
#[derive(Default)]
pub(crate) struct Squeezer {
    level: i32,
    index: Index,
    /// What waits of each class, and its number once something does.
    open: [(Vec<u8>, Option<u32>); CLASSES],
    /// How long the segment inside is.
    inside: u64,
    /// What was handed out.
    written: u64,
}

impl Squeezer {
    pub(crate) fn new(level: i32) -> Self {
        Self { level, ..Self::default() }
    }

    /// Adds the next bytes of the segment.
    pub(crate) fn add<E>(&mut self, class: Class, mut bytes: &[u8], sink: Sink<'_, E>) -> Result<(), E> {
        while !bytes.is_empty() {
            let room = CHUNK_BYTES_MAX - self.open[class as usize].0.len();
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            let number = *self.open[class as usize].1.get_or_insert_with(|| {
                self.index.chunks.push(Chunk { offset: 0, len: 0, plain_len: None, checksum: 0 });
                self.index.chunks.len() as u32 - 1
            });
            let open = &mut self.open[class as usize].0;
            self.inside += piece.len() as u64;
            let (start, len, end) = (open.len() as u32, piece.len() as u32, self.inside);
            open.extend_from_slice(piece);
            match self.index.extents.last_mut() {
                Some(last) if last.chunk == number => {
                    last.len += len;
                    last.end = end;
                }
                _ => self.index.extents.push(Extent { end, chunk: number, start, len }),
            }
            if self.open[class as usize].0.len() == CHUNK_BYTES_MAX {
                self.close(class, sink)?;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Writes what waits, and the index; says how long the file is.
    pub(crate) fn finish<E>(mut self, sink: Sink<'_, E>) -> Result<u64, E> {
        for class in [Class::Heads, Class::Texts, Class::Plain] {
            self.close(class, sink)?;
        }
        self.begin(sink)?;
        // Chunks are numbered as they were begun, and lie as they were closed.
        let mut order: Vec<u32> = (0..self.index.chunks.len() as u32).collect();
        order.sort_by_key(|number| self.index.chunks[*number as usize].offset);
        let mut places = vec![0; order.len()];
        for (place, number) in (0u32..).zip(&order) {
            places[*number as usize] = place;
        }
        self.index.extents.iter_mut().for_each(|extent| extent.chunk = places[extent.chunk as usize]);
        self.index.chunks.sort_by_key(|chunk| chunk.offset);
        let mut end = Vec::new();
        let plain = self.index.encode();
        end.put_varint(plain.len() as u64);
        zip::put_zipped_well(&mut end, &plain);
        let index = end.clone();
        put_tail(&mut end, &index);
        sink(&end)?;
        Ok(self.written + end.len() as u64)
    }

    fn begin<E>(&mut self, sink: Sink<'_, E>) -> Result<(), E> {
        if self.written == 0 {
            let mut header = MAGIC.to_vec();
            header.put_u8(VERSION);
            sink(&header)?;
            self.written = HEADER_BYTES;
        }
        Ok(())
    }

    fn close<E>(&mut self, class: Class, sink: Sink<'_, E>) -> Result<(), E> {
        let (bytes, number) = std::mem::take(&mut self.open[class as usize]);
        let Some(number) = number else { return Ok(()) };
        self.begin(sink)?;
        let squeezed = if class == Class::Plain { None } else { zip::squeeze(&bytes, self.level) };
        let plain_len = squeezed.is_some().then_some(bytes.len() as u32);
        let stored = squeezed.unwrap_or(bytes);
        let (len, checksum) = (stored.len() as u32, checksum(&stored));
        self.index.chunks[number as usize] = Chunk { offset: self.written, len, plain_len, checksum };
        sink(&stored)?;
        self.written += u64::from(len);
        Ok(())
    }
}
