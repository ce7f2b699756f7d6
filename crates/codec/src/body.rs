//! What a line says: finds its format and its fields.
//!
//! Owns: telling formats apart, the fields of each, level and time of plain lines, the rules by which names of a
//! line become fields of a record.
//! Does not own: framing of lines (`cri`, `docker`), grouping of lines (`pipeline`).
//! Invariant: a line in no known format stays as it is; wrongly taking a line for one is worse than missing it.

mod access;
mod apply;
mod foreseen;
mod klog;
mod level;
mod logfmt;
mod roles;

#[cfg(test)]
mod tests;

use sawyer_model::{Level, Timestamp};

use apply::is_reserved;
pub use apply::{BODY_PREFIX, Rules};
pub(crate) use apply::{OfStream, assign_names, deviates};
pub(crate) use foreseen::{Foreseen, Voice};
pub(crate) use roles::{Chosen, Class};

use crate::fields::{FieldSink, Fields};
use crate::json::{self, Scratch};

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object.
    Json,
    /// `key=value key="a value"`, as go-kit and logrus write it.
    Logfmt,
    /// `I1120 09:43:55.695860    4758 server.go:632] message`, of Kubernetes' own programs.
    Klog,
    /// The common or combined log format of Apache httpd and nginx.
    AccessLog,
    /// Anything else. Level and time are read from the usual places at its start.
    Plain,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Json, Self::Logfmt, Self::Klog, Self::AccessLog, Self::Plain];

    /// The name as it stands in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
            Self::Klog => "klog",
            Self::AccessLog => "access_log",
            Self::Plain => "plain",
        }
    }
}

/// The level that a plain line begins with, if it does.
#[must_use]
pub fn level_of_line(text: &str) -> Option<Level> {
    level::of_line(text)
}

/// Reads bodies. Keeps buffers, so that a line allocates nothing of its own.
#[derive(Debug, Default)]
pub struct Parser {
    scratch: Scratch,
    fields: Fields,
    rules: OfStream,
    foreseen: Foreseen,
}

impl Parser {
    /// Reads `text` and gives its fields, under the names that it uses itself, to `sink`.
    ///
    /// With a `format`, reads only that; [`Format::Plain`] comes back, and no fields, where the text does not have
    /// it. Without, the format is found out. The fields of a plain text are `level` and `timestamp` where it
    /// begins with them. `observed` chooses the year of times that do not say it.
    pub fn parse(
        &mut self,
        text: &str,
        format: Option<Format>,
        observed: Timestamp,
        sink: &mut impl FieldSink,
    ) -> Format {
        parse(&mut self.scratch, text, format, observed, sink)
    }
}

fn parse(
    scratch: &mut Scratch,
    text: &str,
    format: Option<Format>,
    observed: Timestamp,
    sink: &mut impl FieldSink,
) -> Format {
    let formats = format.as_ref().map_or_else(|| candidates(text), std::slice::from_ref);
    for candidate in formats {
        let fits = match candidate {
            Format::Json => json::flatten(text, scratch, sink).is_ok(),
            Format::Klog => klog::read(text, observed, scratch, sink).is_some(),
            Format::AccessLog => access::read(text, sink).is_some(),
            Format::Logfmt => logfmt::read(text, format.is_some(), scratch, sink).is_some(),
            Format::Plain => {
                level::read(text, observed, sink);
                true
            }
        };
        if fits {
            return *candidate;
        }
        sink.reset();
    }
    Format::Plain
}

/// The formats that a text may have, by its first byte.
fn candidates(text: &str) -> &'static [Format] {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'{' | b' ' | b'\t') if bytes.trim_ascii_start().first() == Some(&b'{') => {
            &[Format::Json, Format::Plain]
        }
        Some(b'I' | b'W' | b'E' | b'F') if bytes.get(1).is_some_and(u8::is_ascii_digit) => {
            &[Format::Klog, Format::Plain]
        }
        Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b':' | b'-') => {
            &[Format::AccessLog, Format::Logfmt, Format::Plain]
        }
        _ => &[Format::Plain],
    }
}
