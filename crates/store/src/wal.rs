//! The write-ahead log: how batches become durable before they are sealed.
//!
//! Owns: names, layout and checksums of its files; writing them; telling a torn tail from damage.
//! Does not own: how a batch is encoded (`segment`), when a file may go (`seal`).
//! Invariant: a frame is taken only if it stands where it was written, whole: its checksums cover the number of
//! the file and its offset, so that bytes of a log inside a log are never taken for frames.
//!
//! A file is written by one process only, never reopened for appending, and given up after a failed sync. The
//! layout is in `docs/FORMATS.md`.

mod frames;

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sawyer_disk::{Disk, File};
use sawyer_model::Batch;
use sawyer_segment::{EncodedParts, encode_batch_parts};

pub(crate) use self::frames::{Frames, HEADER_BYTES, read_frames};
use self::frames::{end_mark, file_header, frame_header};

/// The directory of the log.
pub(crate) const WAL_DIR: &str = "wal";

/// Ends the names of its files.
pub(crate) const SUFFIX: &str = ".wal";

/// The path of the file with this number. Names sort as numbers.
pub(crate) fn path_of(number: u64) -> PathBuf {
    Path::new(WAL_DIR).join(format!("{number:020}{SUFFIX}"))
}

/// The number of a file by its name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What a frame holds: a batch as bytes, with their checksum.
#[derive(Debug)]
pub(crate) struct Payload {
    content: Content,
    crc: u32,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    /// Texts are written from where they are.
    Parts(EncodedParts, Arc<Batch>),
}

impl Payload {
    /// What comes from another Sawyer stays as it came.
    pub(crate) fn of(batch: &Arc<Batch>) -> Self {
        match batch.encoded() {
            Some(bytes) => Self::from(bytes.clone()),
            None => {
                let encoded = encode_batch_parts(batch);
                Self { crc: encoded.checksum(), content: Content::Parts(encoded, Arc::clone(batch)) }
            }
        }
    }

    /// How many bytes.
    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Content::Whole(bytes) => bytes.len(),
            Content::Parts(encoded, _) => encoded.len(),
        }
    }

    /// Adds its bytes, part by part.
    fn put<'a>(&'a self, parts: &mut Vec<IoSlice<'a>>) {
        match &self.content {
            Content::Whole(bytes) => parts.push(IoSlice::new(bytes)),
            Content::Parts(encoded, batch) => parts.extend(encoded.parts(batch).map(IoSlice::new)),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self { crc: crc32c::crc32c(&bytes), content: Content::Whole(bytes) }
    }
}

/// A file of the log that is being written.
#[derive(Debug)]
pub(crate) struct WalFile {
    number: u64,
    len: u64,
    /// What is behind `len` is open: nothing may be written any more.
    lost: bool,
    file: Box<dyn File>,
}

impl WalFile {
    /// Makes the file with this number, durably. What stands under its name cannot be of the log (its number
    /// was never given out durably) and is replaced.
    pub(crate) fn create(disk: &dyn Disk, number: u64) -> sawyer_disk::Result<Self> {
        let path = path_of(number);
        if disk.exists(&path)? {
            disk.remove_file(&path)?;
        }
        let mut file = disk.create_log(&path)?;
        let made = file
            .append(&file_header(number))
            .and_then(|()| file.sync_data())
            .and_then(|()| disk.sync_dir(Path::new(WAL_DIR)));
        if let Err(error) = made {
            // On a full disk the leftover would hold space; the first error says more than a second would.
            let _ = disk.remove_file(&path);
            return Err(error);
        }
        Ok(Self { number, len: HEADER_BYTES as u64, lost: false, file })
    }

    /// Appends a frame for each payload and makes them durable: one write, one sync.
    ///
    /// If the disk is full nothing was written, and the file stays good. After any other error, and after a sync that
    /// failed for lack of space, it is open which frames are there, and the file must be given up; see
    /// [`WalFile::is_lost`].
    pub(crate) fn append(&mut self, payloads: &[Payload]) -> sawyer_disk::Result<()> {
        let mut offset = self.len;
        let mut headers = Vec::with_capacity(payloads.len());
        for payload in payloads {
            headers.push(frame_header(self.number, self.len, offset, payload));
            offset += (HEADER_BYTES + payload.len()) as u64;
        }
        let mut parts = Vec::with_capacity(4 * payloads.len());
        for (header, payload) in headers.iter().zip(payloads) {
            parts.push(IoSlice::new(header));
            payload.put(&mut parts);
        }
        let written = self.file.append_vectored(&parts);
        self.lost = written.as_ref().is_err_and(|error| !error.is_full());
        written?;
        let synced = self.file.sync_data();
        self.lost = synced.is_err();
        synced?;
        self.len = offset;
        Ok(())
    }

    /// Whether it must be given up.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Puts the end mark behind what was written, all of which is synced. The mark itself is only if it is to be
    /// `durable`: without it the last group may be taken for torn, no more.
    pub(crate) fn end(mut self, durable: bool) -> sawyer_disk::Result<()> {
        if self.lost || self.len == HEADER_BYTES as u64 {
            return Ok(());
        }
        self.file.append(&end_mark(self.number, self.len))?;
        if durable { self.file.sync_data() } else { Ok(()) }
    }

    /// Its length in bytes.
    #[cfg(test)]
    fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests;
