//! The data objects of a journal file: `NAME=value`.
//!
//! Owns: reading and unpacking payloads, remembering those that come back in every entry.
//! Does not own: which entry has which.
//! Invariant: no payload is taken in memory beyond [`VALUE_BYTES_MAX`], packed or unpacked.

use std::collections::HashMap;
use std::io::Read;

use sawyer_model::limits::VALUE_BYTES_MAX;

use super::layout::{FLAG_LZ4, FLAG_XZ, FLAG_ZSTD, Header, OBJECT_DATA, Object, u64_at};
use super::{ReadAt, read};

/// Most payloads that are remembered. Unit, host, boot and the like come in every entry; a machine has a few
/// hundred of them.
const REMEMBERED_MAX: usize = 1024;
/// Longest payload in bytes that is remembered.
const REMEMBERED_BYTES_MAX: usize = 256;

/// Largest zstd window, as a power of two of bytes: a frame that claims more is damaged, and would cost memory.
const WINDOW_LOG_MAX: u32 = 25;

/// Reads payloads.
#[derive(Debug, Default)]
pub(super) struct Values {
    remembered: HashMap<u64, Box<[u8]>>,
    packed: Vec<u8>,
    payload: Vec<u8>,
}

impl Values {
    /// The payload of the data object at `offset`.
    pub(super) fn read(
        &mut self,
        bytes: &impl ReadAt,
        header: &Header,
        offset: u64,
    ) -> Result<&[u8], &'static str> {
        if self.remembered.contains_key(&offset) {
            return Ok(&self.remembered[&offset]);
        }
        self.load(bytes, header, offset)?;
        if self.payload.len() <= REMEMBERED_BYTES_MAX {
            if self.remembered.len() >= REMEMBERED_MAX {
                self.remembered.clear();
            }
            self.remembered.insert(offset, self.payload.as_slice().into());
        }
        Ok(&self.payload)
    }

    fn load(&mut self, bytes: &impl ReadAt, header: &Header, offset: u64) -> Result<(), &'static str> {
        let object = Object::read(bytes, header, offset).map_err(|_| "data object is damaged")?;
        if object.kind != OBJECT_DATA {
            return Err("not a data object");
        }
        let head_bytes = if header.compact { 72 } else { 64 };
        let length = object.size.checked_sub(head_bytes).ok_or("data object is too short")?;
        if length > VALUE_BYTES_MAX as u64 {
            return Err("value is too long");
        }
        self.packed.resize(length as usize, 0);
        read(bytes, &mut self.packed, offset + head_bytes).map_err(|_| "data object cannot be read")?;
        self.unpack(object.flags)
    }

    /// Unpacks `packed` into `payload`.
    fn unpack(&mut self, flags: u8) -> Result<(), &'static str> {
        self.payload.clear();
        match flags & (FLAG_XZ | FLAG_LZ4 | FLAG_ZSTD) {
            0 => {
                std::mem::swap(&mut self.packed, &mut self.payload);
                Ok(())
            }
            FLAG_ZSTD => self.unpack_zstd().ok_or("zstd payload is damaged or too long"),
            FLAG_LZ4 => self.unpack_lz4().ok_or("LZ4 payload is damaged or too long"),
            FLAG_XZ => self.unpack_xz().ok_or("XZ payload is damaged or too long"),
            _ => Err("more than one compression"),
        }
    }

    fn unpack_zstd(&mut self) -> Option<()> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(&self.packed[..]).ok()?;
        decoder.window_log_max(WINDOW_LOG_MAX).ok()?;
        decoder.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut self.payload).ok()?;
        (self.payload.len() <= VALUE_BYTES_MAX).then_some(())
    }

    /// A stream of its own for each value, as systemd before 246 writes it by default on some systems.
    fn unpack_xz(&mut self) -> Option<()> {
        if xz_length(&self.packed)? > VALUE_BYTES_MAX {
            return None;
        }
        lzma_rs::xz_decompress(&mut &self.packed[..], &mut self.payload).ok()
    }

    /// The unpacked length, then one block.
    fn unpack_lz4(&mut self) -> Option<()> {
        let block = self.packed.get(8..)?;
        let length = usize::try_from(u64_at(&self.packed, 0)).ok()?;
        // LZ4 cannot grow more than 255-fold; a longer claim is damage, and not worth the memory.
        if length > VALUE_BYTES_MAX || length > block.len().saturating_mul(255) {
            return None;
        }
        self.payload.resize(length, 0);
        let written = lz4_flex::block::decompress_into(block, &mut self.payload).ok()?;
        (written == length).then_some(())
    }
}

/// How long an XZ stream of one block says that it is unpacked: its chunks say so, and the decoder holds them to that.
/// Source: "The .xz File Format" 1.2, and LZMA2 as in the Linux kernel's `xz_dec_lzma2.c`.
fn xz_length(packed: &[u8]) -> Option<usize> {
    let block = packed.get(12..)?;
    let size = |at: usize| Some(usize::from(u16::from_be_bytes([*block.get(at)?, *block.get(at + 1)?])) + 1);
    let mut at = (usize::from(*block.first()?) + 1) * 4;
    let mut length = 0;
    loop {
        match *block.get(at)? {
            0 => break,
            1 | 2 => {
                length += size(at + 1)?;
                at += 3 + size(at + 1)?;
            }
            control @ 0x80.. => {
                length += (usize::from(control & 0x1f) << 16) + size(at + 1)?;
                at += 5 + usize::from(control >= 0xc0) + size(at + 3)?;
            }
            _ => return None,
        }
    }
    let check_bytes = match packed[7] & 0x0f {
        0 => 0,
        1 => 4,
        4 => 8,
        10 => 32,
        _ => return None,
    };
    // The index comes behind the only block.
    (*block.get((at + 1).next_multiple_of(4) + check_bytes)? == 0).then_some(length)
}
