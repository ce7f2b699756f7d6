//! Reads lines of docker's `json-file` log driver.
//!
//! Owns: the form `{"log":"message\n","stream":"stdout","attrs":{…},"time":"…"}`.
//! Does not own: joining partial lines (`join`), what is in the message (`body`).
//! Invariant: reads bytes, never panics; a message without escapes is a slice of the line.

use sawyer_model::{Timestamp, Value, ValueRef};

use crate::cri::StdStream;
use crate::fields::Fields;
use crate::json::{JsonError, Scanner, Scratch, Text, flatten, unescape};
use crate::time::rfc3339_prefix;

#[cfg(test)]
mod tests;

/// A physical line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DockerLine<'a> {
    /// When the daemon read it.
    pub timestamp: Timestamp,
    /// Where the container wrote it.
    pub stream: StdStream,
    /// Whether the container's line goes on in the next physical line of the same output: docker cuts lines
    /// after 16 KiB, and only the last piece ends with a newline.
    pub partial: bool,
    /// What the container wrote, without the newline. Usually UTF-8, but nothing forces it.
    pub content: &'a [u8],
    /// The JSON object of labels and variables that the driver was told to add, as it is written.
    pub attrs: Option<&'a [u8]>,
}

/// The line is not of this format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DockerError {
    /// It is not a JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A member is missing, or is not what it should be.
    #[error("member `{0}`: {1}")]
    Member(&'static str, &'static str),
}

/// The fields of [`DockerLine::attrs`], as `attrs.name`. They are the same in every line of a container, so they
/// belong into its stream.
///
/// # Errors
/// If it is not text, or not a JSON object.
pub fn attr_fields(attrs: &[u8]) -> Result<Vec<(Box<str>, Value)>, DockerError> {
    let text = str::from_utf8(attrs).map_err(|_| DockerError::Member("attrs", "expected UTF-8"))?;
    let mut fields = Fields::default();
    flatten(text, &mut Scratch::default(), &mut fields)?;
    let own = |(name, value): (&str, ValueRef<'_>)| (format!("attrs.{name}").into(), value.to_value());
    Ok(fields.read(|fields| fields.map(own).collect()))
}

#[derive(Default)]
struct Members<'a> {
    log: Option<Text>,
    stream: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    attrs: Option<&'a [u8]>,
}

/// Reads a line without its newline. `buffer` receives the message where it had escapes.
///
/// # Errors
/// What is wrong, and where.
pub fn parse<'a>(line: &'a [u8], buffer: &'a mut Vec<u8>) -> Result<DockerLine<'a>, DockerError> {
    let mut scanner = Scanner::new(line);
    let members = match members(&mut scanner) {
        Ok(members) => members,
        Err(expected) => return Err(scanner.error(expected).into()),
    };
    let log = members.log.ok_or(DockerError::Member("log", "is missing"))?;
    let name = members.stream.ok_or(DockerError::Member("stream", "is missing"))?;
    let stream =
        StdStream::from_name(name).ok_or(DockerError::Member("stream", "expected `stdout` or `stderr`"))?;
    let time = members.time.ok_or(DockerError::Member("time", "is missing"))?;
    let timestamp = rfc3339_prefix(time).filter(|(_, length)| *length == time.len());
    let (timestamp, _) = timestamp.ok_or(DockerError::Member("time", "expected an RFC 3339 time"))?;
    let raw = &line[log.start..log.end];
    let content = if log.escaped {
        buffer.clear();
        unescape(raw, buffer);
        &buffer[..]
    } else {
        raw
    };
    let (partial, content) = match content {
        [content @ .., b'\n'] => (false, content),
        content => (true, content),
    };
    Ok(DockerLine { timestamp, stream, partial, content, attrs: members.attrs })
}

fn members<'a>(scanner: &mut Scanner<'a>) -> Result<Members<'a>, &'static str> {
    let mut members = Members::default();
    scanner.expect(b'{', "`{`")?;
    loop {
        if scanner.token() != Some(b'"') {
            return Err("a name in quotes");
        }
        let name = scanner.string()?;
        let name = &scanner.bytes[name.start..name.end];
        scanner.expect(b':', "`:`")?;
        let first = scanner.token();
        let start = scanner.at;
        match (name, first) {
            (b"log", Some(b'"')) => members.log = Some(scanner.string()?),
            (b"stream", Some(b'"')) => members.stream = Some(string(scanner)?),
            (b"time", Some(b'"')) => members.time = Some(string(scanner)?),
            (b"attrs", Some(b'{')) => {
                scanner.skip(0)?;
                members.attrs = Some(&scanner.bytes[start..scanner.at]);
            }
            _ => drop(scanner.skip(0)?),
        }
        if scanner.separator(b'}', "`,` or `}`")? {
            break;
        }
    }
    match scanner.token() {
        None => Ok(members),
        Some(_) => Err("the end of the line"),
    }
}

/// A string that is compared as it is written.
fn string<'a>(scanner: &mut Scanner<'a>) -> Result<&'a [u8], &'static str> {
    let text = scanner.string()?;
    Ok(&scanner.bytes[text.start..text.end])
}
