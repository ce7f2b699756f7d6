//! Frames of the write-ahead log as bytes, pure.
//!
//! Owns: the layout.
//! Invariant: any bytes can be read; what is not a frame is told as damage or as torn.
//!
//! Frames that were written together are a group, and each says where its group starts. A group is synced before
//! the next one is written, so bytes that are wrong *before* the last group were right once and are damage; in
//! the last group they may be what a loss of power left of a write that nobody was promised. A file that was ended as
//! it should be has an end mark, a group of its own, so that nothing in such a file counts as torn.

use std::ops::Range;

use sawyer_segment::{BATCH_VERSION, batch_version};

use super::Payload;

/// Length of the header of a file, and of a frame.
pub(crate) const HEADER_BYTES: usize = 32;

const FILE_MAGIC: [u8; 8] = *b"SAWYRWAL";
const VERSION: u8 = 2;

/// Files of this version have no end mark.
const UNMARKED_VERSION: u8 = 1;

/// The bytes `F5` and `FF` are in no UTF-8 text.
const FRAME_MAGIC: [u8; 4] = [0xf5, b'S', b'W', 0xff];

/// Files may be written in blocks of so many bytes, the last one filled up with zeros.
const BLOCK_BYTES: usize = 4096;

/// Where the checksum of a header lies: at its end, over all before it.
const CRC_AT: usize = HEADER_BYTES - 4;

/// What a file of the log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frames {
    /// The payloads, in order.
    pub(crate) payloads: Vec<Range<usize>>,
    /// Bytes before the last group that are no frames: something damaged them.
    pub(crate) damaged_bytes: usize,
    /// Bytes of the last group, or behind it, that are no frames: they were being written when the power went.
    pub(crate) torn_bytes: usize,
    /// Those of them before the last frame. What was written at once gets to a disk in any order, so this may be left of a
    /// write that was not finished; damage to one that was acknowledged looks the same.
    pub(crate) torn_within: usize,
    /// Where the last frame ends.
    pub(crate) good_len: usize,
    /// How many of the last payloads may never have been synced: those of the last group, if no end mark follows.
    pub(crate) doubtful: usize,
    /// Version, if the header is whole and of a version that this program does not know.
    pub(crate) unknown_version: Option<u8>,
}

impl Frames {
    /// The version of what a later program wrote: of the file, or of the first such batch in it.
    pub(crate) fn newer_version(&self, bytes: &[u8]) -> Option<u8> {
        let mut versions = self.payloads.iter().filter_map(|payload| batch_version(&bytes[payload.clone()]));
        self.unknown_version.or_else(|| versions.find(|version| *version > BATCH_VERSION))
    }
}

/// A frame that was found. One without a payload is an end mark.
struct Frame {
    start: usize,
    group_start: u64,
    payload: Range<usize>,
}

/// The header of the file with this number.
pub(super) fn file_header(number: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&FILE_MAGIC);
    header[8] = VERSION;
    header[16..24].copy_from_slice(&number.to_le_bytes());
    seal(header)
}

/// The header of a frame at `offset` of the file with this number, in a group that starts at `group_start`.
pub(super) fn frame_header(
    number: u64,
    group_start: u64,
    offset: u64,
    payload: &Payload,
) -> [u8; HEADER_BYTES] {
    let len = u32::try_from(payload.len()).expect("a batch is refused long before its frame is this long");
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&FRAME_MAGIC);
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8..16].copy_from_slice(&place(number, offset));
    header[16..24].copy_from_slice(&group_start.to_le_bytes());
    header[24..28].copy_from_slice(&payload.crc.to_le_bytes());
    seal(header)
}

/// The mark behind the last group of a file, at `offset`: everything before it was synced when it was written.
pub(super) fn end_mark(number: u64, offset: u64) -> [u8; HEADER_BYTES] {
    frame_header(number, offset, offset, &Payload::from(bytes::Bytes::new()))
}

fn seal(mut header: [u8; HEADER_BYTES]) -> [u8; HEADER_BYTES] {
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Where a frame stands, as it stands in its header: neighbouring files and offsets differ.
fn place(number: u64, offset: u64) -> [u8; 8] {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset).to_le_bytes()
}

/// Reads the bytes of the file with this number. Frames behind damage are found again by their magic.
pub(crate) fn read_frames(bytes: &[u8], number: u64) -> Frames {
    let mut frames = Frames::default();
    let version = read_file_header(bytes, number);
    match version {
        Some(VERSION | UNMARKED_VERSION) => frames.good_len = HEADER_BYTES,
        Some(version) => return Frames { unknown_version: Some(version), ..frames },
        None => {}
    }
    let mut gaps: Vec<Range<usize>> = Vec::new();
    let mut last_group = 0;
    let mut ended = false;
    while let Some(frame) = next_frame(bytes, number, frames.good_len) {
        if frame.start > frames.good_len {
            gaps.push(frames.good_len..frame.start);
        }
        if frame.group_start != last_group {
            frames.doubtful = 0;
        }
        last_group = frame.group_start;
        frames.good_len = frame.payload.end;
        ended = frame.payload.is_empty() && version != Some(UNMARKED_VERSION);
        if !ended {
            frames.payloads.push(frame.payload);
            frames.doubtful += 1;
        }
    }
    if !is_room(&bytes[frames.good_len..]) {
        gaps.push(frames.good_len..bytes.len());
    }
    // The header of a file is synced before anything is written behind it.
    let begun = version.is_some() || !has_content(bytes);
    for gap in gaps {
        let last = if frames.payloads.is_empty() { begun } else { gap.start as u64 >= last_group };
        if ended || !last {
            frames.damaged_bytes += gap.len();
            continue;
        }
        frames.torn_bytes += gap.len();
        if gap.end <= frames.good_len {
            frames.torn_within += gap.len();
        }
    }
    frames
}

/// Whether something was written behind the header of a file.
fn has_content(bytes: &[u8]) -> bool {
    bytes.iter().skip(HEADER_BYTES).any(|byte| *byte != 0)
}

/// Whether the end of a file is what its last block had left.
fn is_room(end: &[u8]) -> bool {
    end.len() < BLOCK_BYTES && end.iter().all(|byte| *byte == 0)
}

/// The version in a header that is whole.
fn read_file_header(bytes: &[u8], number: u64) -> Option<u8> {
    let header = bytes.get(..HEADER_BYTES)?;
    let sound = header[..8] == FILE_MAGIC && header[16..24] == number.to_le_bytes() && is_sealed(header);
    sound.then_some(header[8])
}

fn is_sealed(header: &[u8]) -> bool {
    header[CRC_AT..] == crc32c::crc32c(&header[..CRC_AT]).to_le_bytes()
}

/// The first whole frame at `at` or behind.
fn next_frame(bytes: &[u8], number: u64, mut at: usize) -> Option<Frame> {
    loop {
        if let Some(frame) = frame_at(bytes, number, at) {
            return Some(frame);
        }
        let rest = bytes.get(at + 1..)?;
        at += 1 + memchr::memmem::find(rest, &FRAME_MAGIC)?;
    }
}

fn frame_at(bytes: &[u8], number: u64, start: usize) -> Option<Frame> {
    let header = bytes.get(start..start + HEADER_BYTES)?;
    let here = header[..4] == FRAME_MAGIC && header[8..16] == place(number, start as u64);
    if !here || !is_sealed(header) {
        return None;
    }
    let len = u32::from_le_bytes(header[4..8].try_into().expect("four bytes")) as usize;
    let group_start = u64::from_le_bytes(header[16..24].try_into().expect("eight bytes"));
    let payload = start + HEADER_BYTES..(start + HEADER_BYTES).checked_add(len)?;
    let crc = crc32c::crc32c(bytes.get(payload.clone())?);
    (header[24..28] == crc.to_le_bytes()).then_some(Frame { start, group_start, payload })
}
