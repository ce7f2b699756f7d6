//! Access logs of Apache httpd and nginx.
//!
//! Owns: the common and the combined log format.
//! Does not own: what a status means.
//! Invariant: client, time and request must all fit; what follows the combined format's fields is left alone.

use sawyer_model::{ValueRef, names};

use crate::fields::FieldSink;
use crate::time;

/// Furthest place in bytes where the time may begin: before it stand an address and two names.
const TIME_WITHIN_BYTES: usize = 512;

/// Reads `client identity user [time] "request" status bytes`, then `"referrer" "agent"` if they are there.
pub(super) fn read(text: &str, sink: &mut impl FieldSink) -> Option<()> {
    let head = &text.as_bytes()[..text.len().min(TIME_WITHIN_BYTES)];
    let open = memchr::memchr_iter(b'[', head).find(|at| head[..*at].ends_with(b" "))? - 1;
    let after = &text.as_bytes()[open..];
    let close = open + memchr::memchr_iter(b']', after).find(|at| after[at + 1..].starts_with(b" \""))?;
    let mut words = text[..open].split(' ');
    let (client, _identity, user) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some()
        || !client
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'_'))
    {
        return None;
    }
    let written = &text[open + 2..close];
    let (time, length) = time::prefix(written, sawyer_model::Timestamp::EPOCH)?;
    if length != written.len() {
        return None;
    }
    let (request, rest) = quoted(&text[close + 2..])?;
    let mut words = rest.strip_prefix(' ')?.splitn(3, ' ');
    let status = words.next().filter(|word| word.len() == 3)?.parse::<i64>().ok()?;
    let bytes = words.next()?;
    let size = if bytes == "-" { None } else { Some(bytes.parse::<i64>().ok()?) };
    sink.field(names::TIMESTAMP, ValueRef::Timestamp(time));
    sink.field("client.address", ValueRef::Str(client));
    if user != "-" {
        sink.field("client.user", ValueRef::Str(user));
    }
    give_request(request, sink);
    sink.field("http.status", ValueRef::Int(status));
    if let Some(size) = size {
        sink.field("http.response_bytes", ValueRef::Int(size));
    }
    let mut rest = words.next().unwrap_or("");
    for name in ["http.referrer", "http.user_agent"] {
        let Some((value, after)) = quoted(rest) else { break };
        if value != "-" {
            sink.field(name, ValueRef::Str(value));
        }
        rest = after.strip_prefix(' ').unwrap_or("");
    }
    Some(())
}

/// `GET /path HTTP/1.1`; anything else is kept as it is.
fn give_request(request: &str, sink: &mut impl FieldSink) {
    let mut parts = request.splitn(2, ' ');
    let (method, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let target = rest.rsplit_once(" HTTP/");
    match target {
        Some((path, version))
            if !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase()) =>
        {
            sink.field("http.method", ValueRef::Str(method));
            sink.field("http.path", ValueRef::Str(path));
            sink.field("http.version", ValueRef::Str(version));
        }
        _ => sink.field("http.request", ValueRef::Str(request)),
    }
}

/// The inside of a quoted text at the start, as it is written, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let bytes = inside.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some((&inside[..at], &inside[at + 1..]));
        }
        at += 2;
    }
}
