//! How bytes reach a file so that they stay.
//!
//! Every file that Sawyer *owns* (write-ahead log, segments, catalogue, buffer, offsets, state) goes through
//! the two traits here: [`Disk`], a directory tree, and [`File`], an append-only file in it. [`RealDisk`] is a
//! directory of the operating system; [`SimDisk`] is a simulated one that loses what was not synced, tears and
//! reorders writes, fills up and fails on command, so that a crash can be tried at every operation. [`EncryptedDisk`] is any
//! of them with its files encrypted.
//!
//! Owns: writing, syncing, renaming, listing and locking files; what is durable when; the kinds of errors.
//! Does not own: any file format, caching, background threads, and the log files of others (`input` tails
//! those by itself).
//! Invariant: bytes for which [`File::sync_data`] returned `Ok`, under a name for which [`Disk::sync_dir`]
//! returned `Ok`, are there after a loss of power.
//!
//! # What is durable when
//!
//! The rules are those that hold on every file system in use, not those of one of them. The simulated disk is
//! as unkind as these rules allow, so code that passes on it relies on nothing else.
//!
//! | what | promise | source |
//! |---|---|---|
//! | appended bytes | in the page cache only: they survive the death of the process, not the loss of power. Until synced, any part may be kept, in any order of sectors, and the length may grow before the content does (zeros) | Pillai et al., "All File Systems Are Not Created Equal", OSDI '14 (atomicity and ordering differ by file system) |
//! | `sync_data` | content and length are durable; the *name* of a new file is not | fsync(2), "Calling fsync() does not necessarily ensure that the entry in the directory containing the file has also reached disk" |
//! | `sync_dir` | creations, renames and removals in that directory are durable | same |
//! | `rename` over an existing file | atomic: old or new, also after a loss of power, but *when* it becomes durable, and whether before the content of the new file, is open | rename(2) for running processes; after a loss of power a promise of journaling and copy-on-write file systems, not of POSIX (OSDI '14) |
//! | order of unsynced names | none between entries that do not depend on each other | OSDI '14: not all file systems keep the order of directory operations |
//! | one sector (512 bytes) | bytes that were synced stay when more are appended to their sector | the promise of the drive that a sector is written whole |
//! | failed sync | the kernel may drop the dirty pages and report success the next time, so a retry proves nothing | Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC '20; PostgreSQL's "fsyncgate" (2018) |
//!
//! The last row is enforced: a [`File`] whose sync failed refuses every later append, truncation and sync with
//! [`ErrorKind::Lost`]. Its unsynced bytes must be written again, to a new file.

mod api;
mod atomic;
mod encrypted;
mod error;
pub mod frames;
mod path;
mod real;
mod sim;
mod sub;

pub use api::{DirEntry, Disk, EntryKind, File, Lock, Metadata, Space};
pub use atomic::{TEMPORARY_SUFFIX, read_all, write_atomic};
pub use encrypted::{EncryptedDisk, Key, KeyError, KeyId};
pub use error::{Error, ErrorKind, Result};
pub use real::RealDisk;
pub use sim::{EntryOrder, Fault, SimCounts, SimDisk, SimSettings};
pub use sub::SubDisk;
