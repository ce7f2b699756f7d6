//! What can go wrong inside the store, and what its callers are told to do about it.
//!
//! Owns: the mapping from causes to kinds.
//! Invariant: a cause is kept whole; only `Corrupt` leads to quarantine.

use sawyer_model::{Error, ErrorKind};

/// The result of something inside the store.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the data folder cannot be written")]
    Unwritable { source: sawyer_disk::Error },
    #[error("another process has the data folder open")]
    Locked { source: sawyer_disk::Error },
    #[error("{action}")]
    Disk { action: &'static str, source: sawyer_disk::Error },
    #[error(
        "disk is full, writes are refused until there is space: available_bytes={available} kept_free_bytes={free_min}"
    )]
    Full { available: u64, free_min: u64 },
    #[error(
        "there is no room, the oldest records would be removed for it; restore less, or raise `size_max`: bytes={bytes} more_bytes={more} size_max={bytes_max}"
    )]
    NoRoom { bytes: u64, more: u64, bytes_max: u64 },
    #[error(
        "there is no room for more records of the policy {policy}, its oldest would be removed for them; restore less, or raise its `size_max`: bytes={bytes} more_bytes={more} size_max={bytes_max}"
    )]
    NoRoomOfPolicy { policy: String, bytes: u64, more: u64, bytes_max: u64 },
    #[error("too many records wait to be sealed, write more slowly: waiting_bytes={waiting}")]
    Behind { waiting: usize },
    #[error("too many batches wait to be written, write more slowly: waiting_bytes={waiting}")]
    Busy { waiting: usize },
    #[error("read {path}: {reason}")]
    Corrupt { path: String, reason: String },
    #[error("the data folder holds data of a newer version: path={path} version={version}")]
    Newer { path: String, version: u8 },
    #[error("a batch of {bytes} bytes is too large to be written")]
    TooLarge { bytes: usize },
    #[error("encode a segment")]
    Encode { source: Error },
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// For `map_err`: an operation on the disk that did not succeed, and what it was for.
    pub(crate) fn disk(action: &'static str) -> impl FnOnce(sawyer_disk::Error) -> Self {
        move |source| Self::Disk { action, source }
    }

    /// Whether the disk had no space for it.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Disk { source, .. } => source.is_full(),
            _ => false,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unwritable { .. } => ErrorKind::Invalid,
            Self::Locked { .. } | Self::NoRoom { .. } | Self::NoRoomOfPolicy { .. } => ErrorKind::Conflict,
            Self::Disk { .. } | Self::Full { .. } | Self::Behind { .. } | Self::Busy { .. } => {
                ErrorKind::Retry
            }
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Newer { .. } | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Encode { source } => source.kind(),
            Self::Closed => ErrorKind::Closed,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let (kind, message) = (error.kind(), error.to_string());
        match error {
            StoreError::Disk { source, .. } if source.is_full() => {
                Self::new(kind, "disk is full, writes are refused until there is space").because(source)
            }
            StoreError::Disk { source, .. }
            | StoreError::Unwritable { source }
            | StoreError::Locked { source } => Self::new(kind, message).because(source),
            StoreError::Encode { source } => Self::new(kind, message).because(source),
            _ => Self::new(kind, message),
        }
    }
}
