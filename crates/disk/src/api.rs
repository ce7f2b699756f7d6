//! The two traits between Sawyer's parts and the bytes on a disk.
//!
//! Owns: the contracts. Does not own: any implementation.
//! Invariant: both traits are object-safe, and every path is relative to the disk's root.

use std::fmt::Debug;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use crate::{Result, SubDisk};

/// A directory tree whose files are appended to, synced, renamed and removed.
///
/// Paths are relative to the disk's root; `""` is the root itself. A path that is absolute or holds `..` is
/// refused with [`ErrorKind::InvalidPath`](crate::ErrorKind::InvalidPath). Changes of names are visible at
/// once and durable only after [`sync_dir`](Disk::sync_dir) of each directory concerned.
pub trait Disk: Send + Sync + Debug {
    /// Opens an existing file for reading.
    fn open_read(&self, path: &Path) -> Result<Box<dyn File>>;

    /// Makes a new, empty file for appending (and reading); fails if the name is taken.
    fn create(&self, path: &Path) -> Result<Box<dyn File>>;

    /// As [`create`](Disk::create), for a log: what is read only after a crash need not pass through the system's cache.
    /// The file may end in zeros, up to a multiple of 4096 bytes.
    fn create_log(&self, path: &Path) -> Result<Box<dyn File>> {
        self.create(path)
    }

    /// Opens a file for appending (and reading) at its end; makes an empty one if there is none.
    ///
    /// A file has one appending handle at a time; the caller sees to that (with [`lock`](Disk::lock)).
    fn open_append(&self, path: &Path) -> Result<Box<dyn File>>;

    /// Kind and length of what is at `path`.
    fn metadata(&self, path: &Path) -> Result<Metadata>;

    /// Whether there is anything at `path`.
    fn exists(&self, path: &Path) -> Result<bool> {
        match self.metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The entries of a directory, sorted by name.
    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>>;

    /// Makes a directory and those above it. Unlike other changes of names they are durable on return.
    fn create_dir_all(&self, path: &Path) -> Result<()>;

    /// Moves a file or directory, replacing a file (or an empty directory) at `to`, atomically.
    ///
    /// Sync the content of a file before renaming it, and both directories after.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes the name of a file. Handles that are open stay readable.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes a directory with all in it; not atomic.
    fn remove_dir_all(&self, path: &Path) -> Result<()>;

    /// Makes creations, renames and removals in this directory durable (not those in directories below it).
    ///
    /// After an error it is open which of them are.
    fn sync_dir(&self, path: &Path) -> Result<()>;

    /// How large the disk is and how much of it is left.
    fn space(&self) -> Result<Space>;

    /// Takes the exclusive, advisory lock named by the file at `path` (made if missing, never removed).
    ///
    /// Does not wait: if anybody, in this process or another, holds it, the error is
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked). It is free again when the guard is dropped or the
    /// process ends, however it ends.
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>>;
}

impl dyn Disk {
    /// The part of this disk below `path`, as a disk of its own. Does no I/O; the directory need not exist yet
    /// (make it with `create_dir_all("")` on the part).
    pub fn sub(self: &Arc<Self>, path: impl AsRef<Path>) -> Arc<dyn Disk> {
        Arc::new(SubDisk::new(Arc::clone(self), path.as_ref()))
    }
}

/// An open file: bytes are added at the end and read from anywhere.
///
/// Reading works from several threads at once (`&self`). Writing on a handle of [`Disk::open_read`] fails with
/// [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly).
pub trait File: Send + Sync + Debug {
    /// Adds all of `bytes` at the end, in one system call if the system takes them at once.
    ///
    /// If the disk is full, what was written of them is taken back, and the handle stays good: the call may be
    /// repeated when there is space. After any other error the handle is lost.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Adds all of `parts` at the end, one after the other, as [`append`](File::append) would their
    /// concatenation, without copying them together.
    fn append_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<()>;

    /// Fills `buffer` from `offset` on; [`ErrorKind::EndOfFile`](crate::ErrorKind::EndOfFile) if the file ends
    /// before that.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()>;

    /// Reads up to `buffer.len()` bytes from `offset` on, and returns how many; 0 at and behind the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Length in bytes, as other readers see it now.
    fn len(&self) -> Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes content and length durable (`fdatasync`). The *name* of a new file needs [`Disk::sync_dir`] too.
    ///
    /// If this fails once, nothing is known about the bytes appended since the last success, and the handle is
    /// lost: it refuses further appends, truncations and syncs with
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost). Do not reopen the file to go on; start another.
    fn sync_data(&self) -> Result<()>;

    /// Cuts the file to `len` bytes; the end is then there. Durable after [`sync_data`](File::sync_data).
    ///
    /// A `len` above the present length is refused: a file does not grow by this.
    fn truncate(&mut self, len: u64) -> Result<()>;
}

/// Holds a lock until dropped.
pub trait Lock: Send + Sync + Debug {}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, socket or the like; Sawyer makes none.
    Other,
}

/// Kind and length of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes of a file; 0 for anything else.
    pub len: u64,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The last component of its path. A name that is not UTF-8 (so not Sawyer's) appears with replacement
    /// characters and cannot be opened.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes of a file; 0 for anything else.
    pub len: u64,
}

/// Size of the file system a disk is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All bytes, used or not.
    pub total_bytes: u64,
    /// Bytes that this process may still write.
    pub available_bytes: u64,
}
