//! A file of a log on a disk of the operating system, written past the system's cache.
//!
//! Owns: writing whole blocks, the part of a block at the end that is written again with what follows it.
//! Does not own: what is durable when: that is `fdatasync`, as for every file.
//! Invariant: between calls the file holds `len` bytes and zeros up to the end of their last block, or the handle is lost.
//!
//! A log is read only after a crash. Through the cache each of its bytes would be copied into a page that the kernel has to
//! find, clear, book and give back, which takes as long as all else of writing it, and several times as long where memory is
//! scarce. A block that is written again has the
//! same bytes as before where it had any, so that a write that tears spoils nothing that was synced: the system does the
//! same with the last page of a file that it appends to.

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

use super::FILE_MODE;
use crate::{Error, ErrorKind, File, Result};

/// What is written begins and ends at multiples of this many bytes: the largest block that disks have in practice.
const BLOCK_BYTES: usize = 4096;
/// Bytes of one write. They are copied once to lie as the disk wants it. Each write is waited for, which costs as much as
/// copying a megabyte, so there is room for a usual request; memory that is not needed is not touched.
const ROOM_BYTES: usize = 2 << 20;

const _: () = assert!(ROOM_BYTES.is_multiple_of(BLOCK_BYTES), "it is written in blocks");

/// A file that is appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    file: fs::File,
    /// The same file through the cache, for who reads it.
    reader: fs::File,
    path: PathBuf,
    len: u64,
    room: Room,
    /// The bytes of the last block, if it is not full.
    tail: Vec<u8>,
    /// Whether writes go past the cache. Some file systems take the flag and refuse the first write.
    direct: bool,
    /// A sync or write failed, so that nothing may be built on this handle any more.
    lost: AtomicBool,
}

/// Room for one write, which begins where a block could.
#[derive(Debug)]
struct Room {
    bytes: Vec<u8>,
    start: usize,
}

impl Room {
    fn new() -> Self {
        let bytes = vec![0; ROOM_BYTES + 2 * BLOCK_BYTES];
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        Self { bytes, start }
    }

    fn all(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + ROOM_BYTES]
    }
}

impl LogFile {
    /// Makes a new file; fails if the name is taken.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(FILE_MODE);
        let mut direct = true;
        let file = match options.custom_flags(OFlags::DIRECT.bits() as i32).open(path) {
            Err(error) if error.raw_os_error() == Some(EINVAL) => {
                direct = false;
                // Some systems make the file before they refuse it.
                options.custom_flags(0).create_new(false).create(true).open(path)?
            }
            opened => opened?,
        };
        let reader = fs::File::open(path)?;
        let (path, lost) = (path.to_owned(), AtomicBool::new(false));
        Ok(Self { file, reader, path, len: 0, room: Room::new(), tail: Vec::new(), direct, lost })
    }

    fn error(&self, source: io::Error, operation: &'static str) -> Error {
        Error::from_io(source, operation, &self.path)
    }

    fn check(&self, operation: &'static str) -> Result<()> {
        if self.lost.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Lost, operation, &self.path));
        }
        Ok(())
    }

    /// Writes all parts behind the end; gives what the last block has then.
    fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<Vec<u8>> {
        let mut filled = self.tail.len();
        let mut offset = self.len - filled as u64;
        self.room.all()[..filled].copy_from_slice(&self.tail);
        for part in parts {
            let mut rest: &[u8] = part;
            while !rest.is_empty() {
                let taken = rest.len().min(ROOM_BYTES - filled);
                self.room.all()[filled..filled + taken].copy_from_slice(&rest[..taken]);
                (filled, rest) = (filled + taken, &rest[taken..]);
                if filled == ROOM_BYTES {
                    self.write_room(ROOM_BYTES, offset)?;
                    (offset, filled) = (offset + ROOM_BYTES as u64, 0);
                }
            }
        }
        let end = filled.next_multiple_of(BLOCK_BYTES);
        self.room.all()[filled..end].fill(0);
        if end > 0 {
            self.write_room(end, offset)?;
        }
        Ok(self.room.all()[filled / BLOCK_BYTES * BLOCK_BYTES..filled].to_vec())
    }

    /// Writes so many bytes of the room.
    fn write_room(&mut self, bytes: usize, offset: u64) -> io::Result<()> {
        let written = self.file.write_all_at(&self.room.all()[..bytes], offset);
        match written {
            Err(error) if self.direct && error.raw_os_error() == Some(EINVAL) => {
                let flags = rustix::fs::fcntl_getfl(&self.file)?;
                rustix::fs::fcntl_setfl(&self.file, flags - OFlags::DIRECT)?;
                self.direct = false;
                self.file.write_all_at(&self.room.all()[..bytes], offset)
            }
            written => written,
        }
    }
}

/// What file systems say that cannot write past the cache, or not in such blocks.
const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();

impl File for LogFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.append_vectored(&[IoSlice::new(bytes)])
    }

    fn append_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<()> {
        self.check("append to")?;
        match self.write(parts) {
            Ok(tail) => {
                self.tail = tail;
                self.len += parts.iter().map(|part| part.len() as u64).sum::<u64>();
                Ok(())
            }
            Err(source) => {
                let error = self.error(source, "append to");
                let taken_back = self.file.set_len(self.len).is_ok();
                if !(taken_back && error.is_full()) {
                    self.lost.store(true, Ordering::Release);
                }
                Err(error)
            }
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        if offset.saturating_add(buffer.len() as u64) > self.len {
            return Err(self.error(io::ErrorKind::UnexpectedEof.into(), "read"));
        }
        self.reader.read_exact_at(buffer, offset).map_err(|error| self.error(error, "read"))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let taken = (buffer.len() as u64).min(self.len.saturating_sub(offset));
        self.read_exact_at(&mut buffer[..taken as usize], offset)?;
        Ok(taken as usize)
    }

    fn len(&self) -> Result<u64> {
        Ok(self.len)
    }

    fn sync_data(&self) -> Result<()> {
        self.check("sync")?;
        self.file.sync_data().map_err(|error| {
            self.lost.store(true, Ordering::Release);
            self.error(error, "sync")
        })
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.check("truncate")?;
        if len > self.len {
            return Err(self.error(io::ErrorKind::InvalidInput.into(), "truncate"));
        }
        let full = len / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        let mut tail = vec![0; (len - full) as usize];
        self.read_exact_at(&mut tail, full)?;
        self.file.set_len(len).map_err(|error| {
            self.lost.store(true, Ordering::Release);
            self.error(error, "truncate")
        })?;
        (self.len, self.tail) = (len, tail);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Disk, RealDisk};

    /// What is in the file, less the zeros at its end.
    fn content(folder: &Path, len: usize) -> Vec<u8> {
        let bytes = fs::read(folder.join("log")).unwrap();
        let padded = len.next_multiple_of(BLOCK_BYTES);
        assert!(bytes.len() == len || bytes.len() == padded, "{} bytes for {len}", bytes.len());
        assert!(bytes[len..].iter().all(|byte| *byte == 0));
        bytes[..len].to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn holds_what_was_appended(
            steps in prop::collection::vec((any::<bool>(), prop::collection::vec(0usize..9000, 0..5), any::<u16>()), 1..8),
            large in 0usize..2 * ROOM_BYTES + 10,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let disk = RealDisk::new(folder.path()).unwrap();
            let mut file = disk.create_log(Path::new("log")).unwrap();
            let (mut known, mut byte) = (Vec::new(), 0u8);
            let mut next = |len: usize| (0..len).map(|_| { byte = byte.wrapping_mul(5).wrapping_add(7); byte | 1 }).collect::<Vec<u8>>();
            let first = next(large);
            file.append(&first).unwrap();
            known.extend_from_slice(&first);
            for (cut, lens, at) in steps {
                if cut {
                    let len = known.len() * usize::from(at) / usize::from(u16::MAX);
                    file.truncate(len as u64).unwrap();
                    known.truncate(len);
                }
                let parts: Vec<Vec<u8>> = lens.into_iter().map(&mut next).collect();
                let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
                file.append_vectored(&slices).unwrap();
                file.sync_data().unwrap();
                known.extend(parts.concat());
                prop_assert_eq!(file.len().unwrap(), known.len() as u64);
                prop_assert_eq!(&content(folder.path(), known.len()), &known);
                let mut read = vec![0; known.len() + 9];
                prop_assert_eq!(file.read_at(&mut read, 0).unwrap(), known.len());
                prop_assert_eq!(&read[..known.len()], &known[..]);
                prop_assert!(file.read_exact_at(&mut [0; 2], known.len() as u64 - known.len().min(1) as u64).is_err());
            }
        }
    }

    #[test]
    fn a_name_is_taken_once_and_a_file_grows_by_appending_alone() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path()).unwrap();
        let mut file = disk.create_log(Path::new("log")).unwrap();
        assert!(disk.create_log(Path::new("log")).is_err());
        assert!(disk.create_log(Path::new("../log")).is_err());
        file.append(b"abc").unwrap();
        assert!(file.truncate(4).is_err());
        file.append(b"d").unwrap();
        assert_eq!(content(folder.path(), 4), b"abcd");
    }

    #[test]
    fn what_cannot_be_written_past_the_cache_is_written_through_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = LogFile::create(&folder.path().join("log")).unwrap();
        // Room that lies where no block could is refused by file systems that write past the cache.
        file.room.start += 1;
        file.append(b"abc").unwrap();
        file.append(&[7; ROOM_BYTES]).unwrap();
        let known = [&b"abc"[..], &[7; ROOM_BYTES]].concat();
        assert_eq!(content(folder.path(), known.len()), known);
    }
}
