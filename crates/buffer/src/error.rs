//! What can go wrong with a buffer, and what its callers are told to do about it.
//!
//! Invariant: a cause is kept whole.

use std::path::PathBuf;

use sawyer_model::{Error, ErrorKind};

/// The result of something inside the buffer.
pub(crate) type Result<T, E = BufferError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BufferError {
    #[error("another process has the buffer open")]
    Locked { source: sawyer_disk::Error },
    #[error("{action}")]
    Disk { action: &'static str, source: sawyer_disk::Error },
    #[error("{path} was written by a newer version: found version {version}, expected {expected}", path = .path.display())]
    Newer { path: PathBuf, version: u8, expected: u8 },
    #[error("an entry of {bytes} bytes is too large: at most {max}")]
    TooLarge { bytes: usize, max: usize },
    #[error("the buffer is closed")]
    Closed,
    #[error("the buffer is full")]
    Full,
    #[error("there is no buffer here")]
    Missing,
    #[error("there is no entry {id} in lane {lane}")]
    NoEntry { lane: &'static str, id: u64 },
    #[error("entry {id} in lane {lane} is damaged")]
    Damaged { lane: &'static str, id: u64 },
    #[error("start the thread of the buffer")]
    Thread { source: std::io::Error },
}

impl BufferError {
    /// For `map_err`: an operation on the disk that did not succeed, and what it was for.
    pub(crate) fn disk(action: &'static str) -> impl Fn(sawyer_disk::Error) -> Self {
        move |source| Self::Disk { action, source }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Locked { .. } => ErrorKind::Conflict,
            Self::Disk { .. } | Self::Full | Self::Thread { .. } => ErrorKind::Retry,
            Self::Newer { .. } | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Closed => ErrorKind::Closed,
            Self::Missing | Self::NoEntry { .. } => ErrorKind::NotFound,
            Self::Damaged { .. } => ErrorKind::Corrupt,
        }
    }
}

impl From<BufferError> for Error {
    fn from(error: BufferError) -> Self {
        let kind = error.kind();
        let message = error.to_string();
        match error {
            BufferError::Locked { source } | BufferError::Disk { source, .. } => {
                Self::new(kind, message).because(source)
            }
            BufferError::Thread { source } => Self::new(kind, message).because(source),
            _ => Self::new(kind, message),
        }
    }
}
