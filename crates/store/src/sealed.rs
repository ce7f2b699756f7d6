//! A sealed segment that is open.
//!
//! Owns: the reader of one segment, and whether it turned out to be damaged.
//! Does not own: the file's name and its end (`keeper`). Invariant: a damaged segment is not asked again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sawyer_disk::{Disk, File};
use sawyer_model::{Error, ErrorKind};
use crate::format::ReadAt;

use crate::catalogue::SegmentEntry;
use crate::format::Segment;
use crate::keeper::segment_path;

/// A segment that is open.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) entry: SegmentEntry,
    pub(crate) segment: Segment,
    damaged: AtomicBool,
}

/// A file of a disk as the source of a segment.
#[derive(Debug)]
struct FileSource {
    file: Box<dyn File>,
    len: u64,
}

impl ReadAt for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| {
            let end = error.kind() == sawyer_disk::ErrorKind::EndOfFile;
            io::Error::new(if end { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::Other }, error)
        })
    }
}

impl Sealed {
    /// Opens the segment of a catalogue's entry.
    ///
    /// `NotFound` if its file is missing, `Corrupt` if it is not what the entry says.
    pub(crate) fn open(disk: &dyn Disk, entry: SegmentEntry) -> Result<Self, Error> {
        let path = segment_path(entry.id);
        let file = open(disk, &path)?;
        let corrupt = |message: String| Err(Error::new(ErrorKind::Corrupt, message));
        if file.len != entry.bytes {
            return corrupt(format!("its length is wrong: expected={} found={}", entry.bytes, file.len));
        }
        let segment = Segment::open(Arc::new(file))?;
        if segment.rows() != entry.rows {
            return corrupt(format!("its records are {}, expected {}", segment.rows(), entry.rows));
        }
        Ok(Self { entry, segment, damaged: AtomicBool::new(false) })
    }

    /// Whether it turned out to be damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Notes that it is damaged; says whether that is new.
    pub(crate) fn note_damage(&self) -> bool {
        !self.damaged.swap(true, Ordering::AcqRel)
    }
}

fn open(disk: &dyn Disk, path: &Path) -> Result<FileSource, Error> {
    let opened = disk.open_read(path).and_then(|file| file.len().map(|len| FileSource { file, len }));
    opened.map_err(|error| {
        let kind = if error.is_not_found() { ErrorKind::NotFound } else { ErrorKind::Retry };
        Error::new(kind, "open a segment").because(error)
    })
}
