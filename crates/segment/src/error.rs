//! What can be wrong with stored bytes, and what callers are told to do about it.
//!
//! Owns: [`Damage`] (found while decoding, without a place) and [`SegmentError`] (with its place).
//! Invariant: only wrong or missing bytes are called corrupt: neither a failed read is, nor what a newer version
//! has made.

use std::fmt;

use sawyer_model::{Error, ErrorKind};

/// The result of decoding bytes.
pub(crate) type Decoded<T> = Result<T, Damage>;

/// The result of something with a place.
pub(crate) type Result<T, E = SegmentError> = std::result::Result<T, E>;

/// Why bytes cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("expected {what}")]
    Malformed { what: &'static str },
    #[error("unknown {what} {id}, made by a newer version")]
    Unknown { what: &'static str, id: u8 },
}

/// Where in a segment something is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) part: &'static str,
    pub(crate) block: Option<usize>,
    pub(crate) column: Option<u32>,
    pub(crate) offset: Option<u64>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    #[error("read {place}")]
    Read { place: Place, source: std::io::Error },
    #[error("checksum of {place} does not match: expected={expected:08x} found={found:08x}")]
    Checksum { place: Place, expected: u32, found: u32 },
    #[error("decode {place}")]
    Damaged { place: Place, source: Damage },
    #[error("{0} is made by a newer version: version={1}")]
    Newer(&'static str, u8),
    #[error("{0}")]
    Invalid(&'static str),
    #[error("a batch cannot hold these records")]
    Full,
    /// The budget of the question is used up; never handed out.
    #[error("the budget is used up")]
    Exhausted,
    #[error(transparent)]
    Query(Error),
}

impl Damage {
    pub(crate) const fn expected(what: &'static str) -> Self {
        Self::Malformed { what }
    }

    pub(crate) const fn unknown(what: &'static str, id: u8) -> Self {
        Self::Unknown { what, id }
    }
}

impl Place {
    pub(crate) const fn of(part: &'static str) -> Self {
        Self { part, block: None, column: None, offset: None }
    }

    pub(crate) const fn in_block(part: &'static str, block: usize) -> Self {
        Self { part, block: Some(block), column: None, offset: None }
    }

    pub(crate) const fn column(mut self, column: u32) -> Self {
        self.column = Some(column);
        self
    }

    pub(crate) const fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// For `map_err`.
    pub(crate) fn damaged(self) -> impl FnOnce(Damage) -> SegmentError {
        move |source| SegmentError::Damaged { place: self, source }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.part)?;
        for (name, number) in [
            ("block", self.block.map(|n| n as u64)),
            ("column", self.column.map(u64::from)),
            ("offset", self.offset),
        ] {
            if let Some(number) = number {
                write!(f, " {name}={number}")?;
            }
        }
        Ok(())
    }
}

/// Whether it is the bytes that are wrong, and not the reading: `squeeze` says `InvalidData`.
fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData)
}

impl From<SegmentError> for Error {
    fn from(error: SegmentError) -> Self {
        let kind = match &error {
            SegmentError::Query(inner) => inner.kind(),
            SegmentError::Read { source, .. } if is_damage(source) => ErrorKind::Corrupt,
            SegmentError::Read { .. } | SegmentError::Exhausted => ErrorKind::Retry,
            SegmentError::Damaged { source: Damage::Unknown { .. }, .. } => ErrorKind::Invalid,
            SegmentError::Checksum { .. } | SegmentError::Damaged { .. } => ErrorKind::Corrupt,
            SegmentError::Newer(..) | SegmentError::Invalid(_) | SegmentError::Full => ErrorKind::Invalid,
        };
        let message = error.to_string();
        match error {
            SegmentError::Query(inner) => inner,
            SegmentError::Read { source, .. } => Self::new(kind, message).because(source),
            SegmentError::Damaged { source, .. } => Self::new(kind, message).because(source),
            _ => Self::new(kind, message),
        }
    }
}
