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

use bytes::Bytes;
use sawyer_disk::{Disk, File};
use sawyer_model::Batch;
use sawyer_segment::encode_batch_summed;

pub(crate) use self::frames::read_frames;
use self::frames::{HEADER_BYTES, file_header, frame_header};

/// The directory of the log.
pub(crate) const WAL_DIR: &str = "wal";

const SUFFIX: &str = ".wal";

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
    bytes: Bytes,
    crc: u32,
}

impl Payload {
    /// What comes from another Sawyer stays as it came.
    pub(crate) fn of(batch: &Batch) -> Self {
        match batch.encoded() {
            Some(bytes) => Self::from(bytes.clone()),
            None => {
                let (bytes, crc) = encode_batch_summed(batch);
                Self { bytes: bytes.into(), crc }
            }
        }
    }

    /// How many bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self { crc: crc32c::crc32c(&bytes), bytes }
    }
}

/// A file of the log that is being written.
#[derive(Debug)]
pub(crate) struct WalFile {
    number: u64,
    len: u64,
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
        let mut file = disk.create(&path)?;
        let made = file
            .append(&file_header(number))
            .and_then(|()| file.sync_data())
            .and_then(|()| disk.sync_dir(Path::new(WAL_DIR)));
        if let Err(error) = made {
            // On a full disk the leftover would hold space; the first error says more than a second would.
            let _ = disk.remove_file(&path);
            return Err(error);
        }
        Ok(Self { number, len: HEADER_BYTES as u64, file })
    }

    /// Appends a frame for each payload and makes them durable: one write, one sync.
    ///
    /// If the disk is full nothing was written, and the file stays good. After any other error it is open which
    /// frames are there, and the file must be given up.
    pub(crate) fn append(&mut self, payloads: &[Payload]) -> sawyer_disk::Result<()> {
        let mut offset = self.len;
        let mut headers = Vec::with_capacity(payloads.len());
        for payload in payloads {
            headers.push(frame_header(self.number, self.len, offset, payload));
            offset += (HEADER_BYTES + payload.bytes.len()) as u64;
        }
        let parts: Vec<IoSlice<'_>> = headers
            .iter()
            .zip(payloads)
            .flat_map(|(header, payload)| [IoSlice::new(header), IoSlice::new(&payload.bytes)])
            .collect();
        self.file.append_vectored(&parts)?;
        self.file.sync_data()?;
        self.len = offset;
        Ok(())
    }

    /// Its length in bytes.
    #[cfg(test)]
    fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests;
