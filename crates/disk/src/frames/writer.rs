//! Writes a file of frames.
//!
//! Invariant: what `append` returned lies in the file at the offsets it names, or the file is given up.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use super::{Frame, FrameFormat, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use crate::path::parent;
use crate::{Disk, Error, ErrorKind, File, Result};

/// A file of frames that is being written.
#[derive(Debug)]
pub struct FrameWriter {
    file: Box<dyn File>,
    path: PathBuf,
    number: u64,
    len: u64,
}

impl FrameWriter {
    /// Makes the file; if `durable`, it and its name are synced. What stands under its name is replaced: the
    /// caller knows that it holds nothing of worth.
    pub fn create(
        disk: &dyn Disk,
        format: &FrameFormat,
        path: &Path,
        number: u64,
        durable: bool,
    ) -> Result<Self> {
        if disk.exists(path)? {
            disk.remove_file(path)?;
        }
        let mut file = disk.create(path)?;
        let mut made = file.append(&format.encode(number));
        if durable {
            made = made.and_then(|()| file.sync_data()).and_then(|()| disk.sync_dir(parent(path)));
        }
        if let Err(error) = made {
            // On a full disk the leftover would hold space; the first error says more than a second would.
            let _ = disk.remove_file(path);
            return Err(error);
        }
        Ok(Self { file, path: path.to_owned(), number, len: HEADER_BYTES as u64 })
    }

    /// Appends a group of frames with one write; the payload of each is the concatenation of its parts.
    ///
    /// If the disk is full nothing was written, and the file stays good. After any other error it is open which
    /// frames are there, and the file must be given up.
    pub fn append<P: AsRef<[B]>, B: AsRef<[u8]>>(&mut self, payloads: &[P]) -> Result<Vec<Frame>> {
        let mut frames = Vec::with_capacity(payloads.len());
        let mut headers = Vec::with_capacity(payloads.len());
        let mut end = self.len;
        for payload in payloads {
            let frame = self.frame(end, payload.as_ref())?;
            end = frame.end();
            headers.push(frame.encode(self.number));
            frames.push(frame);
        }
        let mut parts: Vec<IoSlice<'_>> = Vec::with_capacity(payloads.len() * 3);
        for (header, payload) in headers.iter().zip(payloads) {
            parts.push(IoSlice::new(header));
            let filled = payload.as_ref().iter().map(AsRef::as_ref).filter(|part| !part.is_empty());
            parts.extend(filled.map(IoSlice::new));
        }
        self.file.append_vectored(&parts)?;
        self.len = end;
        Ok(frames)
    }

    fn frame<B: AsRef<[u8]>>(&self, start: u64, parts: &[B]) -> Result<Frame> {
        let len: usize = parts.iter().map(|part| part.as_ref().len()).sum();
        let payload_len = u32::try_from(len).ok().filter(|_| len <= PAYLOAD_BYTES_MAX);
        let payload_len =
            payload_len.ok_or_else(|| Error::new(ErrorKind::TooLarge, "append a frame to", &self.path))?;
        let payload_crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part.as_ref()));
        Ok(Frame { start, group_start: self.len, payload_len, payload_crc })
    }

    /// Puts the end mark behind what was appended, all of which is synced; for formats that have one. Until the mark is
    /// synced too, the last group may be taken for torn, no more. Nothing may be appended behind it.
    pub fn end(&mut self) -> Result<()> {
        if self.len > HEADER_BYTES as u64 {
            let mark = self.frame::<&[u8]>(self.len, &[])?;
            self.file.append(&mark.encode(self.number))?;
            self.len = mark.end();
        }
        Ok(())
    }

    /// Makes what was appended durable. After an error the file must be given up.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    /// The file, for reading.
    #[must_use]
    pub fn file(&self) -> &dyn File {
        &*self.file
    }

    /// The number it was made with.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a file of frames is never empty: it has a header")]
    pub fn len(&self) -> u64 {
        self.len
    }
}
