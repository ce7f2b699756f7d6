//! Frames: entries of an append file that tell their own length, place and checksum.
//!
//! Owns: the layout of a file of frames (`docs/FORMATS.md`, "Frames"), writing it, and telling a torn tail from
//! damage when it is read.
//! Does not own: what a payload means, names of files, when a file may go.
//! Invariant: a frame is taken only if it stands where it was written: its header is checked together with the
//! number of the file and its offset, so that bytes of a log inside a log are never taken for frames.
//!
//! Frames that were written together are a *group*, and each says where its group starts. Whoever syncs a group
//! before writing the next one knows: what is wrong *before* the last group was right once and is damage; in the
//! last group it may be what a loss of power left of a write that nobody was promised. Whoever ends a file as it should be
//! puts an *end mark* behind the last group, a frame without a payload; then nothing in the file counts as torn.
//!
//! A file is written by one process only, never reopened for appending, and given up after a failed sync.

mod scan;
mod writer;

pub use self::scan::{Check, Scanned, scan};
pub use self::writer::FrameWriter;

use std::ops::Range;

use crate::{File, Result};

/// Length of the header of a file, and of a frame.
pub const HEADER_BYTES: usize = 32;

/// Longest payload. A larger length in a header is not believed; a writer refuses it.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Begins every frame. The bytes `F5` and `FF` are in no UTF-8 text.
const FRAME_MAGIC: [u8; 4] = [0xf5, b'S', b'W', 0xff];

/// Where the checksum of a header lies: at its end, over all before it.
const CRC_AT: usize = HEADER_BYTES - 4;

/// What tells files of one use from those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameFormat {
    /// The first bytes of every file.
    pub magic: [u8; 8],
    /// The version that is written; those from 1 on are read.
    pub version: u8,
    /// The first version whose files may have an end mark; no payload is empty then.
    pub marked_since: Option<u8>,
}

/// Where a frame lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Offset of its header.
    pub start: u64,
    /// Offset of the first frame that was written together with it.
    pub group_start: u64,
    /// Length of its payload.
    pub payload_len: u32,
    /// CRC-32C of its payload.
    pub payload_crc: u32,
}

impl Frame {
    /// Offsets of its payload.
    #[must_use]
    pub fn payload(&self) -> Range<u64> {
        let start = self.start + HEADER_BYTES as u64;
        start..start + u64::from(self.payload_len)
    }

    /// Offset behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.payload().end
    }

    /// Whether these bytes are the payload that was written.
    #[must_use]
    pub fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.payload_len as usize && crc32c::crc32c(payload) == self.payload_crc
    }

    /// Reads its payload; `None` if that is not what was written.
    pub fn read(&self, file: &dyn File) -> Result<Option<Vec<u8>>> {
        let mut payload = vec![0; self.payload_len as usize];
        match file.read_exact_at(&mut payload, self.payload().start) {
            Err(error) if error.kind() == crate::ErrorKind::EndOfFile => return Ok(None),
            done => done?,
        }
        Ok(self.fits(&payload).then_some(payload))
    }

    fn encode(&self, number: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&FRAME_MAGIC);
        header[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        header[8..16].copy_from_slice(&place(number, self.start));
        header[16..24].copy_from_slice(&self.group_start.to_le_bytes());
        header[24..28].copy_from_slice(&self.payload_crc.to_le_bytes());
        seal(header)
    }

    /// The frame whose header these bytes are, if they stand at `start` of the file with this number.
    fn decode(header: &[u8], number: u64, start: u64) -> Option<Self> {
        let here = header[..4] == FRAME_MAGIC && header[8..16] == place(number, start);
        if !here || !is_sealed(header) {
            return None;
        }
        let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let group_start = u64::from_le_bytes(header[16..24].try_into().expect("eight bytes"));
        let frame = Self { start, group_start, payload_len: u32_at(4), payload_crc: u32_at(24) };
        (frame.payload_len as usize <= PAYLOAD_BYTES_MAX).then_some(frame)
    }
}

impl FrameFormat {
    /// The header of the file with this number.
    fn encode(&self, number: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&self.magic);
        header[8] = self.version;
        header[16..24].copy_from_slice(&number.to_le_bytes());
        seal(header)
    }

    /// Whether files of a version are read.
    #[must_use]
    pub fn reads(&self, version: u8) -> bool {
        (1..=self.version).contains(&version)
    }

    /// The version that the file with this number says it has; `None` if its header is not whole.
    pub fn version_of(&self, file: &dyn File, number: u64) -> Result<Option<u8>> {
        let mut header = [0; HEADER_BYTES];
        if file.read_at(&mut header, 0)? < HEADER_BYTES {
            return Ok(None);
        }
        let sound = header[..8] == self.magic && header[16..24] == number.to_le_bytes() && is_sealed(&header);
        Ok(sound.then_some(header[8]))
    }
}

/// Where a frame stands, as it stands in its header: neighbouring files and offsets differ.
fn place(number: u64, offset: u64) -> [u8; 8] {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset).to_le_bytes()
}

fn seal(mut header: [u8; HEADER_BYTES]) -> [u8; HEADER_BYTES] {
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn is_sealed(header: &[u8]) -> bool {
    header[CRC_AT..] == crc32c::crc32c(&header[..CRC_AT]).to_le_bytes()
}

#[cfg(test)]
mod tests;
