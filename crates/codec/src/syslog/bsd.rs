//! Syslog as it was before RFC 5424, in the dialects that RFC 3164 describes and those that it does not.
//!
//! Owns: finding time, host and tag, which a sender may leave out, of Unix programs, of Cisco IOS and ASA, of ESXi, AIX
//! and Meraki.
//! Invariant: only a prefix is ever taken off; the text that stays is as it came.

use jiff::tz::TimeZone;
use sawyer_model::Timestamp;

use super::Message;
use crate::time as times;

/// Longest tag; RFC 3164 says 32 characters, and nobody keeps to it.
const TAG_BYTES_MAX: usize = 128;

/// Longest name of a host (RFC 1035), with an address and a zone about as much.
const HOST_BYTES_MAX: usize = 255;

/// What AIX puts in front when it passes a message on.
const FORWARDED: &str = "Message forwarded from ";

/// What follows the priority.
pub(super) fn parse<'a>(text: &'a str, observed: Timestamp, zone: &TimeZone, hosted: bool) -> Message<'a> {
    let mut message = Message::default();
    let start = text.strip_prefix(':').unwrap_or(text).trim_start_matches(' ');
    let mut rest = start;
    if let Some(after) = sequence(rest, &mut message) {
        rest = after;
    }
    let mut timed = stamp(rest, observed, zone);
    if timed.is_none()
        && let Some((host, after)) = rest.split_once(": ").filter(|(host, _)| is_host(host))
    {
        // Cisco's `logging origin-id`: the name stands in front of everything.
        let after = sequence(after, &mut message).unwrap_or(after);
        timed = stamp(after, observed, zone);
        message.host = timed.is_some().then_some(host);
    }
    let Some((time, after)) = timed else {
        return tagged(start);
    };
    message.timestamp = Some(time);
    rest = after;
    if let Some((host, after)) = rest.strip_prefix(FORWARDED).and_then(|rest| rest.split_once(": ")) {
        message.host = Some(host);
        rest = after;
    } else if message.host.is_none()
        && let Some((host, after)) = host(rest)
        && (hosted || names_host_all_the_same(rest, after))
    {
        message.host = Some(host);
        rest = after;
    }
    let Message { app, pid, msgid, text, .. } = tagged(rest);
    Message { app, pid, msgid, text, ..message }
}

/// A time at the start of a text, and its length. Without a zone of its own it is of `zone`.
pub(super) fn time(text: &str, observed: Timestamp, zone: &TimeZone) -> Option<(Timestamp, usize)> {
    if text.as_bytes().first()?.is_ascii_digit()
        && let Some(found) = epoch(text)
    {
        return Some(found);
    }
    let there = to_civil(observed, zone);
    if let Some((time, length)) = year_inside(text).or_else(|| times::prefix(text, there)) {
        let said = &text[..length];
        let own = said.as_bytes().first()?.is_ascii_digit()
            && (said.ends_with(['Z', 'z'])
                || said.ends_with("UTC")
                || said.ends_with("GMT")
                || said.get(10..).is_some_and(|clock| clock.contains(['+', '-'])));
        let time = if own { time } else { from_civil(time, zone) };
        return Some((time, length));
    }
    None
}

/// `Nov 20 2026 10:00:00`, as Cisco's devices write it when they are told to.
fn year_inside(text: &str) -> Option<(Timestamp, usize)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let day = text.get(3..)?.strip_prefix(' ')?.trim_start_matches(' ');
    let after_day = &day[digits(day)..];
    let year = after_day.strip_prefix(' ')?;
    let clock = year.get(4..)?.strip_prefix(' ').filter(|_| digits(year) == 4)?;
    let length =
        clock.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.')).count();
    let clock_text = clock[..length].trim_end_matches([':', '.']);
    // The same with the year behind it is known.
    let head = &text[..text.len() - after_day.len()];
    let written = format!("{head} {clock_text} {}", &year[..4]);
    let (time, read) = times::prefix(&written, Timestamp::EPOCH)?;
    (read == written.len()).then_some((time, written.len()))
}

/// Seconds since 1970 with a fraction, as Meraki's devices write them behind the version.
fn epoch(text: &str) -> Option<(Timestamp, usize)> {
    let length = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let number = &text[..length];
    let whole = number.split('.').next()?;
    if !(9..=11).contains(&whole.len()) || !text[length..].starts_with(' ') {
        return None;
    }
    times::parse(number, Timestamp::EPOCH).map(|time| (time, length))
}

/// A time with what stands around it: a mark that the clock is not set, the name of a zone, a colon.
fn stamp<'a>(text: &'a str, observed: Timestamp, zone: &TimeZone) -> Option<(Timestamp, &'a str)> {
    let version = text.strip_prefix("1 ").filter(|rest| epoch(rest).is_some());
    let text = version.unwrap_or(text);
    let bare = text.strip_prefix(['*', '.']).unwrap_or(text);
    let (mut at, length) = time(bare, observed, zone)?;
    let mut rest = &bare[length..];
    if let Some(named) = rest.strip_prefix(' ') {
        let word = named.bytes().take_while(u8::is_ascii_uppercase).count();
        if (3..=5).contains(&word) && named[word..].starts_with(':') {
            if matches!(&named[..word], "UTC" | "GMT") {
                at = to_civil(at, zone);
            }
            rest = &named[word..];
        }
    }
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    (rest.is_empty() || rest.starts_with(' ')).then(|| (at, rest.trim_start_matches(' ')))
}

/// `000045: `
fn sequence<'a>(text: &'a str, message: &mut Message<'a>) -> Option<&'a str> {
    let (number, rest) = text.split_once(": ")?;
    if number.is_empty() || number.len() > 12 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    message.sequence = Some(number);
    Some(rest)
}

/// The name of a host, if the first word is one and not a tag.
fn host(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(' ')?;
    if !is_host(word) || word.ends_with(':') {
        return None;
    }
    // `asa1 : %ASA-6-302013: …`
    Some((word, rest.strip_prefix(": ").unwrap_or(rest).trim_start_matches(' ')))
}

/// Whether a program on the same machine names the host nevertheless, as docker does: `host tag[pid]: text`.
fn names_host_all_the_same(text: &str, after_word: &str) -> bool {
    let numbered = tagged(after_word).pid.is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()));
    numbered && tagged(text).app.is_none()
}

fn is_host(word: &str) -> bool {
    let inside =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%' | b'/');
    !word.is_empty()
        && word.len() <= HOST_BYTES_MAX
        && word.bytes().all(inside)
        && word.as_bytes()[0].is_ascii_alphanumeric()
}

/// `tag[pid]: text`, `tag: text`, `%FAC-5-MNEMONIC: text`, or only a text.
fn tagged(text: &str) -> Message<'_> {
    let plain = Message { text, ..Message::default() };
    if let Some(mnemonic) = mnemonic(text) {
        return Message { msgid: Some(mnemonic), ..plain };
    }
    let end = text.bytes().take(TAG_BYTES_MAX).position(|byte| matches!(byte, b' ' | b':' | b'['));
    let Some(end) = end.filter(|end| *end > 0 && text.is_char_boundary(*end)) else { return plain };
    let (tag, mut rest) = text.split_at(end);
    if !tag.as_bytes()[0].is_ascii_alphanumeric() && !matches!(tag.as_bytes()[0], b'_' | b'/' | b'-' | b'(') {
        return plain;
    }
    let mut pid = None;
    if let Some(inside) = rest.strip_prefix('[') {
        let Some((id, after)) = inside.split_once(']') else { return plain };
        if id.is_empty() || id.len() > 32 || id.contains(' ') {
            return plain;
        }
        pid = Some(id);
        rest = after;
    }
    match rest.strip_prefix(':') {
        Some(after) if after.is_empty() || after.starts_with(' ') => {
            Message { app: Some(tag), pid, text: after.strip_prefix(' ').unwrap_or(after), ..plain }
        }
        None if pid.is_some() && rest.starts_with(' ') => {
            Message { app: Some(tag), pid, text: &rest[1..], ..plain }
        }
        _ => plain,
    }
}

/// `SYS-5-CONFIG_I` of `%SYS-5-CONFIG_I: Configured from console`
fn mnemonic(text: &str) -> Option<&str> {
    let (name, rest) = text.strip_prefix('%')?.split_once(':')?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let fits = name.len() <= TAG_BYTES_MAX && name.bytes().all(word) && name.split('-').count() >= 3;
    (fits && rest.starts_with(' ')).then_some(name)
}

/// What the clock on the wall shows in a zone, as if it were UTC.
fn to_civil(time: Timestamp, zone: &TimeZone) -> Timestamp {
    let offset = zone.to_offset(time.to_jiff()).seconds();
    Timestamp::from_nanos(time.nanos().saturating_add(i64::from(offset) * 1_000_000_000))
}

/// The time at which the clock in a zone shows this; of two the earlier, of none the one after the leap.
fn from_civil(shown: Timestamp, zone: &TimeZone) -> Timestamp {
    let civil = TimeZone::UTC.to_datetime(shown.to_jiff());
    let real = zone.to_ambiguous_timestamp(civil).compatible().ok();
    let nanos = real.and_then(|real| i64::try_from(real.as_nanosecond()).ok());
    nanos.map_or(shown, Timestamp::from_nanos)
}
