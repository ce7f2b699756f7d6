//! Finds the frames of a file, whatever became of it.
//!
//! Owns: finding the next frame behind damage; the choice between torn and damaged.
//! Invariant: any bytes can be read, in bounded memory; what is not a frame is told.

use std::ops::Range;

use super::{FRAME_MAGIC, Frame, FrameFormat, HEADER_BYTES};
use crate::{File, Result};

/// Bytes that are read at once. Larger ones help with small frames, and are wasted between large ones.
const WINDOW_BYTES: usize = 64 << 10;

/// Which payloads a scan compares with their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Every one, so all of the file is read.
    All,
    /// Those of the last group, which may be torn. The others have to be checked when they are read.
    LastGroup,
}

/// What a file of frames holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The frames in their order.
    pub frames: Vec<Frame>,
    /// Parts before the last group that are no frames, or anywhere if there is an end mark: something damaged them.
    pub damaged: Vec<Range<u64>>,
    /// Bytes of the last group, or behind it, that are no frames: they were being written when the power went.
    pub torn_bytes: u64,
    /// Version, if the header is whole and of one that the format does not read. Then nothing else is told.
    pub unknown_version: Option<u8>,
}

/// Reads the file with this number. Frames behind damage are found again by their magic.
pub fn scan(file: &dyn File, format: &FrameFormat, number: u64, check: Check) -> Result<Scanned> {
    let version = format.version_of(file, number)?;
    if let Some(unknown) = version.filter(|version| !format.reads(*version)) {
        return Ok(Scanned { unknown_version: Some(unknown), ..Scanned::default() });
    }
    let first = if version.is_some() { HEADER_BYTES as u64 } else { 0 };
    let mut window = Window { file, len: file.len()?, start: 0, bytes: Vec::new() };
    let mut frames = Vec::new();
    let mut at = first;
    while let Some(frame) = next_frame(&mut window, number, at, check)? {
        at = frame.end();
        frames.push(frame);
    }
    let last_group = frames.last().map_or(0, |frame| frame.group_start);
    if check == Check::LastGroup {
        let mut whole = Vec::with_capacity(frames.len());
        for frame in frames {
            if frame.group_start < last_group || window.fits(&frame)? {
                whole.push(frame);
            }
        }
        frames = whole;
    }
    // A file whose header is damaged may be of the version that is written.
    let may_be_marked = format.marked_since.is_some_and(|since| since <= version.unwrap_or(format.version));
    let is_ended = may_be_marked && frames.last().is_some_and(|last| last.payload_len == 0);
    let mut scanned = Scanned { frames, ..Scanned::default() };
    scanned.tell_gaps(first, window.len, if is_ended { u64::MAX } else { last_group });
    if is_ended {
        scanned.frames.pop();
    }
    Ok(scanned)
}

impl Scanned {
    fn tell_gaps(&mut self, first: u64, len: u64, last_group: u64) {
        let starts = self.frames.iter().map(|frame| frame.start).chain([len]);
        let ends = [first].into_iter().chain(self.frames.iter().map(Frame::end));
        for gap in ends.zip(starts).map(|(end, start)| end..start).filter(|gap| !gap.is_empty()) {
            if self.frames.is_empty() || gap.start >= last_group {
                self.torn_bytes += gap.end - gap.start;
            } else {
                self.damaged.push(gap);
            }
        }
    }
}

/// The first frame at `at` or behind.
fn next_frame(window: &mut Window<'_>, number: u64, mut at: u64, check: Check) -> Result<Option<Frame>> {
    loop {
        if let Some(frame) = frame_at(window, number, at, check)? {
            return Ok(Some(frame));
        }
        match window.find_magic(at + 1)? {
            Some(found) => at = found,
            None => return Ok(None),
        }
    }
}

fn frame_at(window: &mut Window<'_>, number: u64, start: u64, check: Check) -> Result<Option<Frame>> {
    let Some(header) = window.get(start, HEADER_BYTES)? else { return Ok(None) };
    let Some(frame) = Frame::decode(header, number, start) else { return Ok(None) };
    if frame.end() > window.len {
        return Ok(None);
    }
    let whole = check == Check::LastGroup || window.fits(&frame)?;
    Ok(whole.then_some(frame))
}

/// A part of the file in memory.
struct Window<'a> {
    file: &'a dyn File,
    /// Length of the file.
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The `count` bytes (not more than a window has) from `start` on, if the file has them.
    fn get(&mut self, start: u64, count: usize) -> Result<Option<&[u8]>> {
        if start + count as u64 > self.len {
            return Ok(None);
        }
        let inside = start >= self.start && start + count as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            self.load(start)?;
        }
        let from = (start - self.start) as usize;
        Ok(self.bytes.get(from..from + count))
    }

    /// Moves the window to `start`. It holds fewer bytes than it could only at the end of the file.
    fn load(&mut self, start: u64) -> Result<()> {
        let wanted = (self.len - start).min(WINDOW_BYTES as u64) as usize;
        self.bytes.resize(wanted, 0);
        self.start = start;
        let read = self.file.read_exact_at(&mut self.bytes, start);
        if read.is_err() {
            self.bytes.clear();
        }
        read
    }

    /// Where the bytes that begin a frame stand next, from `at` on.
    fn find_magic(&mut self, mut at: u64) -> Result<Option<u64>> {
        while at + FRAME_MAGIC.len() as u64 <= self.len {
            if self.get(at, FRAME_MAGIC.len())?.is_none() {
                return Ok(None);
            }
            let rest = &self.bytes[(at - self.start) as usize..];
            if let Some(found) = memchr::memmem::find(rest, &FRAME_MAGIC) {
                return Ok(Some(at + found as u64));
            }
            at += (rest.len() - (FRAME_MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }

    /// Whether the payload of a frame is what was written. The window may move.
    fn fits(&mut self, frame: &Frame) -> Result<bool> {
        let Range { start: mut at, end } = frame.payload();
        let mut crc = 0;
        while at < end {
            let count = (end - at).min(WINDOW_BYTES as u64) as usize;
            let Some(bytes) = self.get(at, count)? else { return Ok(false) };
            crc = crc32c::crc32c_append(crc, bytes);
            at += count as u64;
        }
        Ok(crc == frame.payload_crc)
    }
}
