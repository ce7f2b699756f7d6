//! A sealed segment that is open.
//!
//! Owns: the reader of one segment, whether it turned out to be damaged, and how many files are open at once.
//! Does not own: the file's name and its end (`keeper`).
//! Invariant: as long as a [`Sealed`] lives its file is there, so that it can be opened again whenever it is read;
//! except if it is damaged, or had to make room on a full disk.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_disk::{Disk, File};
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_segment::{Cache, ReadAt, Segment};

use crate::catalogue::SegmentEntry;
use crate::keeper::segment_path;

/// Most files of segments that are open at once: a process may often have no more than 1024 files.
const HANDLES_MAX: usize = 256;

thread_local! {
    /// Bytes that this thread read from segments since [`take_bytes_read`].
    static BYTES_READ: Cell<u64> = const { Cell::new(0) };
}

/// How many bytes this thread read from segments since it last asked.
pub(crate) fn take_bytes_read() -> u64 {
    BYTES_READ.take()
}

/// A segment that is open.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) entry: SegmentEntry,
    pub(crate) segment: Segment,
    damaged: AtomicBool,
    /// Until when it is not merged, in nanoseconds since the epoch.
    rests_until: AtomicI64,
}

/// How long a segment that could not be read is left out of merges, so that others are merged meanwhile.
const REST: Duration = Duration::from_secs(60);

/// What all open segments share.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    /// The files that are open, longest open first.
    open: Mutex<VecDeque<Weak<FileSource>>>,
    /// What was read of segments lately.
    pub(crate) cache: Cache,
}

/// The file of a segment, opened when it is read.
#[derive(Debug)]
struct FileSource {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    len: u64,
    handles: Arc<Handles>,
    file: Mutex<Option<Arc<dyn File>>>,
    itself: Weak<FileSource>,
}

impl Handles {
    /// With so much memory for what was read of segments.
    pub(crate) fn new(cache_bytes_max: usize) -> Self {
        Self { open: Mutex::default(), cache: Cache::new(cache_bytes_max) }
    }

    /// Notes that a file was opened, and closes the one that has been open longest if there are too many.
    fn note_open(&self, opened: &Weak<FileSource>) {
        let longest = {
            let mut open = self.open.lock();
            open.push_back(Weak::clone(opened));
            if open.len() > HANDLES_MAX { open.pop_front() } else { None }
        };
        if let Some(source) = longest.and_then(|longest| longest.upgrade()) {
            source.file.lock().take();
        }
    }
}

impl FileSource {
    fn file(&self) -> sawyer_disk::Result<Arc<dyn File>> {
        if let Some(file) = &*self.file.lock() {
            return Ok(Arc::clone(file));
        }
        let file: Arc<dyn File> = self.disk.open_read(&self.path)?.into();
        let known = self.file.lock().replace(Arc::clone(&file));
        if known.is_none() {
            self.handles.note_open(&self.itself);
        }
        Ok(file)
    }
}

impl ReadAt for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        BYTES_READ.set(BYTES_READ.get() + buffer.len() as u64);
        let read = self.file().and_then(|file| file.read_exact_at(buffer, offset));
        read.map_err(|error| {
            let end = error.kind() == sawyer_disk::ErrorKind::EndOfFile;
            io::Error::new(if end { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::Other }, error)
        })
    }
}

impl Sealed {
    /// Opens the segment of a catalogue's entry.
    ///
    /// `NotFound` if its file is missing, `Corrupt` if it is not what the entry says.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        handles: &Arc<Handles>,
        entry: SegmentEntry,
    ) -> Result<Self, Error> {
        let path = segment_path(entry.id);
        let len = disk.metadata(&path).map_err(|error| {
            let kind = if error.is_not_found() { ErrorKind::NotFound } else { ErrorKind::Retry };
            Error::new(kind, "open a segment").because(error)
        })?;
        let corrupt = |message: String| Err(Error::new(ErrorKind::Corrupt, message));
        if len.len != entry.bytes {
            return corrupt(format!("its length is wrong: expected={} found={}", entry.bytes, len.len));
        }
        let source = Arc::new_cyclic(|itself| FileSource {
            disk: Arc::clone(disk),
            path,
            len: entry.bytes,
            handles: Arc::clone(handles),
            file: Mutex::new(None),
            itself: Weak::clone(itself),
        });
        let segment = Segment::open_in(source, &handles.cache)?;
        if segment.rows() != entry.rows {
            return corrupt(format!(
                "the number of its records is {}, expected {}",
                segment.rows(),
                entry.rows
            ));
        }
        Ok(Self { entry, segment, damaged: AtomicBool::new(false), rests_until: AtomicI64::new(i64::MIN) })
    }

    /// Whether it turned out to be damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Leaves it out of merges for a while: it could not be read now.
    pub(crate) fn let_rest(&self, now: Timestamp) {
        self.rests_until.store(now.saturating_add(REST).nanos(), Ordering::Release);
    }

    /// Whether it is left out of merges at this moment.
    pub(crate) fn rests(&self, now: Timestamp) -> bool {
        now.nanos() < self.rests_until.load(Ordering::Acquire)
    }

    /// Notes that it is damaged; says whether that is new.
    pub(crate) fn note_damage(&self) -> bool {
        !self.damaged.swap(true, Ordering::AcqRel)
    }
}
