//! The bytes of a log file from any offset on, as they were written: plain files and gzip.
//!
//! Owns: the open descriptor, streaming decompression.
//! Does not own: which file, and what its bytes mean.
//! Invariant: reading never holds more than a window of what is asked for, however large a file unpacks.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Device and inode: what a file is, whatever it is called.
pub(crate) type Inode = (u64, u64);

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStat {
    /// Which file.
    pub(crate) inode: Inode,
    /// Its length on disk.
    pub(crate) bytes: u64,
    /// When it was last written, in nanoseconds since the epoch, as far as the file system tells.
    pub(crate) modified_nanos: i64,
    /// Whether it has no name left.
    pub(crate) unlinked: bool,
}

impl FileStat {
    /// What changes with every write: the length, or if a file is cut and filled again, at least the time.
    pub(crate) fn state(&self) -> (u64, i64) {
        (self.bytes, self.modified_nanos)
    }
}

impl From<&std::fs::Metadata> for FileStat {
    fn from(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            bytes: metadata.len(),
            modified_nanos: metadata
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(metadata.mtime_nsec()),
            unlinked: metadata.nlink() == 0,
        }
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Content {
    file: File,
    gzip: Option<Box<Gzip>>,
}

impl Content {
    /// Opens a file.
    pub(crate) fn open(path: &Path, gzip: bool) -> io::Result<Self> {
        let file = File::open(path)?;
        let gzip = if gzip { Some(Box::new(Gzip::new(&file)?)) } else { None };
        Ok(Self { file, gzip })
    }

    /// Opens a file that lies below `folder`, and nothing else: no link on the way is followed, nor is anything opened
    /// that is no regular file.
    pub(crate) fn open_beneath(folder: &Path, path: &Path, gzip: bool) -> io::Result<Self> {
        let rest = path.strip_prefix(folder).map_err(|_| io::ErrorKind::InvalidInput)?;
        let folder = rustix::fs::open(
            folder,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = File::from(rustix::fs::openat2(&folder, rest, flags, Mode::empty(), how)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let gzip = if gzip { Some(Box::new(Gzip::new(&file)?)) } else { None };
        Ok(Self { file, gzip })
    }

    /// The descriptor.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// What the system says of it now.
    pub(crate) fn stat(&self) -> io::Result<FileStat> {
        Ok(FileStat::from(&self.file.metadata()?))
    }

    /// Fills `buffer` from `offset` on, as far as there is anything; says how many bytes there were. What a gzip
    /// file unpacks to is read fastest in one direction.
    pub(crate) fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(gzip) = &mut self.gzip {
            return gzip.read_at(&self.file, buffer, offset);
        }
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// The unpacked length modulo 2^32 as a gzip file itself says it (RFC 1952, ISIZE), if it is one whole member.
    pub(crate) fn gzip_length(&self) -> io::Result<u32> {
        let bytes = self.file.metadata()?.len();
        let mut isize = [0; 4];
        self.file.read_exact_at(&mut isize, bytes.saturating_sub(4))?;
        Ok(u32::from_le_bytes(isize))
    }
}

/// A position in an unpacked stream.
struct Gzip {
    decoder: MultiGzDecoder<File>,
    /// What was unpacked and may be asked for again: the beginning of a line that was not whole.
    window: Vec<u8>,
    window_start: u64,
    ended: bool,
}

impl std::fmt::Debug for Gzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gzip").field("window_start", &self.window_start).finish_non_exhaustive()
    }
}

/// Bytes unpacked at once while skipping.
const SKIP_BYTES: usize = 64 << 10;

impl Gzip {
    fn new(file: &File) -> io::Result<Self> {
        use std::io::{Seek, SeekFrom};
        let mut file = file.try_clone()?;
        // The clone shares its position with the original, which is read by offset only.
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { decoder: MultiGzDecoder::new(file), window: Vec::new(), window_start: 0, ended: false })
    }

    fn read_at(&mut self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset < self.window_start {
            *self = Self::new(file)?;
        }
        loop {
            let passed = (offset - self.window_start).min(self.window.len() as u64) as usize;
            self.window.drain(..passed);
            self.window_start += passed as u64;
            let skipping = offset > self.window_start;
            let wanted = if skipping { SKIP_BYTES } else { buffer.len() };
            if self.window.len() < wanted && !self.ended {
                self.unpack(wanted - self.window.len())?;
            } else if skipping {
                return Ok(0);
            } else {
                let filled = self.window.len().min(buffer.len());
                buffer[..filled].copy_from_slice(&self.window[..filled]);
                return Ok(filled);
            }
        }
    }

    fn unpack(&mut self, bytes: usize) -> io::Result<()> {
        let before = self.window.len();
        self.window.resize(before + bytes, 0);
        let read = loop {
            match self.decoder.read(&mut self.window[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.window.truncate(before + *read.as_ref().unwrap_or(&0));
        self.ended |= read? == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file.reopen().unwrap(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap();
        file
    }

    #[test]
    fn nothing_is_opened_outside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("secret"), "s").unwrap();
        std::fs::write(inside.join("sub/log"), "l").unwrap();
        std::os::unix::fs::symlink(outside.join("secret"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("folder")).unwrap();
        std::os::unix::fs::symlink("sub/log", inside.join("own")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, inside.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0)
            .unwrap();
        let opens = |name: &str| Content::open_beneath(&inside, &inside.join(name), false).is_ok();
        assert!(opens("sub/log"));
        for name in ["link", "folder/secret", "own", "../out/secret", "pipe", "sub", "none"] {
            assert!(!opens(name), "{name}");
        }
    }

    #[test]
    fn unpacks_from_any_offset() {
        let text: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let file = packed(&text);
        let mut content = Content::open(file.path(), true).unwrap();
        let mut buffer = [0; 1000];
        for offset in [0, 1, 999, 150_000, 149_500, 3, 299_500, 300_000, 400_000] {
            let read = content.read_at(&mut buffer, offset as u64).unwrap();
            let expected =
                &text[offset.min(text.len())..(offset + 1000).min(text.len()).max(offset.min(text.len()))];
            assert_eq!(&buffer[..read], expected, "{offset}");
        }
        assert_eq!(content.gzip_length().unwrap(), 300_000);
    }

    #[test]
    fn a_torn_gzip_gives_what_it_has_and_then_an_error() {
        let file = packed(&[b'x'; 200_000]);
        let whole = file.as_file().metadata().unwrap().len();
        file.as_file().set_len(whole - 20).unwrap();
        let mut content = Content::open(file.path(), true).unwrap();
        let mut buffer = [0; 1000];
        assert_eq!(content.read_at(&mut buffer, 0).unwrap(), 1000);
        assert_eq!(content.read_at(&mut buffer, 250_000).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
