//! Why an operation on a file did not succeed, in kinds that say what the caller can do.
//!
//! Owns: the mapping from the operating system's errors to kinds.
//! Invariant: an error names the operation and the path; the cause is kept, never turned into text.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on a disk.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on a file or directory that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}{}", .path.display(), Reason(*.kind))]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    path: PathBuf,
    source: Option<io::Error>,
}

/// What went wrong, as far as it decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such file or directory.
    NotFound,
    /// The file or directory to be made is already there.
    AlreadyExists,
    /// No space, or no quota. Free some or wait; what was written before is untouched.
    Full,
    /// The disk or the path does not let itself be written (or read): read-only, or no permission.
    ReadOnly,
    /// Another holder has the lock; its process id if it is known.
    Locked {
        /// Process id the holder wrote down, in the holder's own process namespace.
        pid: Option<u32>,
    },
    /// A sync or write of this file failed before, so its unsynced bytes cannot be trusted. Write them to a new file.
    Lost,
    /// The simulated disk has no power any more. Never from a real disk.
    PowerLost,
    /// The file ends before the bytes that were asked for.
    EndOfFile,
    /// The file is larger than the caller allows.
    TooLarge,
    /// It is encrypted with a key that was not given.
    NoKey,
    /// The path is absolute, climbs out of the disk with `..`, or names the root where a child is needed.
    InvalidPath,
    /// Anything else; see the source.
    Other,
}

impl ErrorKind {
    fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound => Self::NotFound,
            Io::AlreadyExists => Self::AlreadyExists,
            Io::StorageFull | Io::QuotaExceeded => Self::Full,
            Io::ReadOnlyFilesystem | Io::PermissionDenied => Self::ReadOnly,
            Io::UnexpectedEof => Self::EndOfFile,
            _ => Self::Other,
        }
    }
}

impl Error {
    /// An error of a known kind without a cause below it. `operation` is a verb phrase such as `"append to"`.
    pub fn new(kind: ErrorKind, operation: &'static str, path: impl Into<PathBuf>) -> Self {
        Self { kind, operation, path: path.into(), source: None }
    }

    /// An error of the operating system, with the kind taken from it.
    pub fn from_io(source: io::Error, operation: &'static str, path: impl Into<PathBuf>) -> Self {
        Self { kind: ErrorKind::of(&source), operation, path: path.into(), source: Some(source) }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was tried, as a verb phrase.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The path it was tried on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        self.kind == ErrorKind::Full
    }

    /// Whether the file or directory does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }

    /// Whether the file or directory is there already.
    pub fn is_already_exists(&self) -> bool {
        self.kind == ErrorKind::AlreadyExists
    }

    /// Whether the disk or path cannot be written.
    pub fn is_read_only(&self) -> bool {
        self.kind == ErrorKind::ReadOnly
    }

    /// Whether somebody else holds the lock.
    pub fn is_locked(&self) -> bool {
        matches!(self.kind, ErrorKind::Locked { .. })
    }

    /// Whether the file's handle is given up after a failed sync or write.
    pub fn is_lost(&self) -> bool {
        self.kind == ErrorKind::Lost
    }
}

/// The kind as the tail of a message; empty where the source says all there is to say.
struct Reason(ErrorKind);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            ErrorKind::NotFound => "not found",
            ErrorKind::AlreadyExists => "already exists",
            ErrorKind::Full => "disk is full",
            ErrorKind::ReadOnly => "not permitted",
            ErrorKind::Locked { pid: Some(pid) } => return write!(f, ": held by process {pid}"),
            ErrorKind::Locked { pid: None } => "held by another process",
            ErrorKind::Lost => "given up after an earlier failed sync or write",
            ErrorKind::PowerLost => "power lost",
            ErrorKind::EndOfFile => "file ends too early",
            ErrorKind::TooLarge => "larger than allowed",
            ErrorKind::InvalidPath => "expected a relative path inside the disk",
            ErrorKind::NoKey => "encrypted with a key that is not among those of `encryption_at_rest`",
            ErrorKind::Other => return Ok(()),
        };
        write!(f, ": {text}")
    }
}
