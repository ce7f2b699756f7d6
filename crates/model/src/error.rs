//! The error that crosses crate edges: what the caller should do, what happened, and why.

use std::error::Error as StdError;
use std::fmt;

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the request; the same one will fail again.
    Invalid,
    /// It is not there.
    NotFound,
    /// Reread and try again: something else was faster.
    Conflict,
    /// Back off and try again.
    Retry,
    /// Stored bytes are not what was written; quarantine them and go on with the rest.
    Corrupt,
    /// It was closed or cancelled; stop.
    Closed,
    /// A fault of Sawyer's own.
    Bug,
}

impl ErrorKind {
    /// The name as it stands in API answers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Retry => "retry",
            Self::Corrupt => "corrupt",
            Self::Closed => "closed",
            Self::Bug => "bug",
        }
    }
}

/// An error at the edge of a crate. Inside, crates have precise types of their own; those become the source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause. The message is a verb phrase or a fact, in lower case, without a full stop.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without its causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The message followed by its causes, as one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause() {
        let disk = std::io::Error::other("disk on fire");
        let inner = Error::new(ErrorKind::Corrupt, "read block 7").because(disk);
        let outer = Error::new(ErrorKind::Corrupt, "read segment footer").because(inner);
        assert_eq!(outer.chain(), "read segment footer: read block 7: disk on fire");
        assert_eq!(outer.kind().name(), "corrupt");
    }
}
