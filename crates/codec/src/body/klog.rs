//! The log lines of Kubernetes' own programs.
//!
//! Owns: the header `I1120 09:43:55.695860    4758 server.go:632] `, structured messages behind it.
//! Does not own: the time format (`time`), key=value pairs (`logfmt`).
//! Invariant: a line is klog only if its whole header fits.

use sawyer_model::{Level, Timestamp, ValueRef, names};

use super::logfmt;
use crate::fields::FieldSink;
use crate::json::Scratch;
use crate::time::klog_prefix;

/// Longest header in bytes; a file name longer than that is none.
const HEADER_BYTES_MAX: usize = 256;

/// Reads a line: `level`, `timestamp`, `thread`, `caller`, `message`, and the pairs of a structured message.
pub(super) fn read(
    text: &str,
    observed: Timestamp,
    scratch: &mut Scratch,
    sink: &mut impl FieldSink,
) -> Option<()> {
    let bytes = text.as_bytes();
    let level = match bytes.first()? {
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    };
    let (time, length) = klog_prefix(&bytes[1..], observed)?;
    let rest = text[1 + length..].strip_prefix(' ')?.trim_start_matches(' ');
    let close = memchr::memchr(b']', &rest.as_bytes()[..rest.len().min(HEADER_BYTES_MAX)])?;
    let (thread, caller) = rest[..close].split_once(' ')?;
    let (file, line) = caller.rsplit_once(':')?;
    if file.is_empty() || file.contains(' ') || !line.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thread: i64 = thread.parse().ok()?;
    let message = rest[close + 1..].strip_prefix(' ').unwrap_or(&rest[close + 1..]);
    sink.field(names::LEVEL, ValueRef::Str(level.name()));
    sink.field(names::TIMESTAMP, ValueRef::Timestamp(time));
    sink.field("thread", ValueRef::Int(thread));
    sink.field("caller", ValueRef::Str(caller));
    logfmt::message_and_pairs(message, scratch, sink);
    Some(())
}
