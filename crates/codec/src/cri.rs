//! Reads lines of the Kubernetes container runtime log format.
//!
//! Owns: the form `2024-06-01T12:34:56.123456789Z stdout F message` (kubelet, "CRI logging").
//! Does not own: joining partial lines (`join`), what is in the message (`body`).
//! Invariant: reads bytes, allocates nothing, never panics.

use sawyer_model::Timestamp;

use crate::time::rfc3339_prefix;

#[cfg(test)]
mod tests;

/// Which output of a container a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StdStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl StdStream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The name as it is stored in the field `stream`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// A physical line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CriLine<'a> {
    /// When the runtime read it.
    pub timestamp: Timestamp,
    /// Where the container wrote it.
    pub stream: StdStream,
    /// Whether the container's line goes on in the next physical line of the same output.
    pub partial: bool,
    /// What the container wrote.
    pub content: &'a [u8],
}

/// The line is not of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CriError {
    /// It does not start with a time.
    #[error("column 1: expected an RFC 3339 time and a space")]
    Time,
    /// The name of the output is wrong.
    #[error("column {column}: expected `stdout` or `stderr` and a space")]
    Stream {
        /// Where it should stand, in bytes from 1.
        column: usize,
    },
    /// The tag is wrong.
    #[error("column {column}: expected the tag `P` or `F`")]
    Tag {
        /// Where it should stand, in bytes from 1.
        column: usize,
    },
}

/// Reads a line without its newline.
///
/// The tags may be a list (`P:x`), of which the first counts; a line may end after the tags.
///
/// # Errors
/// Which part is wrong, and where.
pub fn parse(line: &[u8]) -> Result<CriLine<'_>, CriError> {
    let (timestamp, length) = rfc3339_prefix(line).ok_or(CriError::Time)?;
    let rest = line[length..].strip_prefix(b" ").ok_or(CriError::Time)?;
    let column = length + 2;
    let (name, rest) = rest.split_at_checked(6).ok_or(CriError::Stream { column })?;
    let stream = StdStream::from_name(name).ok_or(CriError::Stream { column })?;
    let rest = rest.strip_prefix(b" ").ok_or(CriError::Stream { column })?;
    let column = column + 7;
    let partial = match rest.first() {
        Some(b'P') => true,
        Some(b'F') => false,
        _ => return Err(CriError::Tag { column }),
    };
    let content = match &rest[1..] {
        [] => &[],
        [b' ', content @ ..] => content,
        [b':', more @ ..] => more.iter().position(|byte| *byte == b' ').map_or(&[][..], |at| &more[at + 1..]),
        _ => return Err(CriError::Tag { column }),
    };
    Ok(CriLine { timestamp, stream, partial, content })
}
