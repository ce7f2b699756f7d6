//! `key=value` lines.
//!
//! Owns: the grammar of go-kit's and logrus' lines, when a line counts as one, types of bare values.
//! Does not own: what keys mean.
//! Invariant: found out by itself, every word of the line is part of a pair, and there are pairs enough.

use sawyer_model::{ValueRef, names};

use crate::fields::FieldSink;
use crate::json::{self, Scanner, Scratch};

/// Pairs that make a line logfmt when none of its keys is one that loggers write.
const PAIRS_MIN: usize = 3;

/// Reads a line. If `told` that it is logfmt, a word without a value counts as true and one pair is enough;
/// without, nearly everything must look like what loggers write.
pub(super) fn read(text: &str, told: bool, scratch: &mut Scratch, sink: &mut impl FieldSink) -> Option<()> {
    let text = text.trim_ascii();
    // Most lines that are not logfmt are told by their first word.
    if !told && !first_word_has_equals(text.as_bytes()) {
        return None;
    }
    let (mut pairs, mut known) = (0, false);
    each_pair(text, scratch, |key, value| {
        let Some(value) = value else {
            if told {
                sink.field(key, ValueRef::Bool(true));
            }
            return told;
        };
        pairs += 1;
        known |= is_known(key);
        sink.field(key, value);
        true
    })?;
    (is_enough(pairs, known) || told && pairs > 0).then_some(())
}

/// Whether so many pairs make a line logfmt; `known` says that one of their keys is one that loggers write.
pub(super) fn is_enough(pairs: usize, known: bool) -> bool {
    pairs >= PAIRS_MIN || known && pairs >= 2
}

/// What stands in front of a value at the start of a text, with spaces unless it is the first: how long it is, and the
/// key.
pub(super) fn lead(text: &str, first: bool) -> Option<(usize, &str)> {
    let rest = text.trim_start_matches(' ');
    let spaces = text.len() - rest.len();
    let length = rest.bytes().take_while(|byte| is_key(*byte)).count();
    let pair = length > 0 && rest.as_bytes().get(length) == Some(&b'=') && (spaces > 0) != first;
    pair.then(|| (spaces + length + 1, &rest[..length]))
}

/// Reads a message that may be quoted and be followed by pairs, as structured klog has it.
pub(super) fn message_and_pairs(text: &str, scratch: &mut Scratch, sink: &mut impl FieldSink) {
    let Some((message, pairs)) = split_quoted(text) else {
        return sink.field(names::MESSAGE, ValueRef::Str(text));
    };
    let rest = pairs.trim_ascii();
    let mut sound = true;
    sound &= each_pair(rest, scratch, |_, value| value.is_some()).is_some();
    if !sound {
        return sink.field(names::MESSAGE, ValueRef::Str(text));
    }
    give_quoted(message, scratch, |value| sink.field(names::MESSAGE, value));
    let _ = each_pair(rest, scratch, |key, value| {
        sink.field(key, value.unwrap_or(ValueRef::Null));
        true
    });
}

/// The inside of a quoted text at the start, and what follows it.
fn split_quoted(text: &str) -> Option<(&str, &str)> {
    let end = quoted_end(text)?;
    let rest = &text[end..];
    (rest.is_empty() || rest.starts_with(' ')).then(|| (&text[1..end - 1], rest))
}

/// Where a quoted text at the start ends, after its closing quote.
fn quoted_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Calls `each` for every pair, with `None` for a word without a value, until it says no; `None` if it did, or if
/// something is neither pair nor word.
fn each_pair(
    text: &str,
    scratch: &mut Scratch,
    mut each: impl FnMut(&str, Option<ValueRef<'_>>) -> bool,
) -> Option<()> {
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.bytes().take_while(|byte| is_key(*byte)).count();
        let (key, after) = rest.split_at(length);
        if key.is_empty() {
            return None;
        }
        let goes_on = match after.as_bytes().first() {
            None | Some(b' ') => {
                rest = after;
                each(key, None)
            }
            Some(b'=') => {
                let after = &after[1..];
                let end = value_end(after)?;
                rest = &after[end..];
                let raw = &after[..end];
                if raw.starts_with('"') {
                    give_quoted(&raw[1..end - 1], scratch, |value| each(key, Some(value)))
                } else {
                    each(key, Some(bare(raw)))
                }
            }
            Some(_) => return None,
        };
        if !goes_on {
            return None;
        }
        rest = rest.trim_start_matches(' ');
    }
    Some(())
}

/// Where a value ends. A quote opens only at its start; a bare value goes to the next space.
pub(super) fn value_end(text: &str) -> Option<usize> {
    if text.as_bytes().first() == Some(&b'"') {
        let end = quoted_end(text)?;
        return matches!(text.as_bytes().get(end), None | Some(b' ')).then_some(end);
    }
    let end = find_end(text.as_bytes());
    (text.as_bytes().get(end) != Some(&b'"')).then_some(end)
}

/// Offset of the first space or quote; the length if there is none. Values are short: looking for each by itself costs
/// more than looking for both.
#[inline]
fn find_end(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // Sets the high bit of bytes that are zero; bits above the first such byte may be wrong, those below not.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    for chunk in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*chunk);
        let found = zero(word ^ (ONES * u64::from(b' '))) | zero(word ^ (ONES * u64::from(b'"')));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|byte| matches!(byte, b' ' | b'"'));
    rest.map_or(bytes.len(), |place| at + place)
}

/// Hands on the inside of a quoted text with its escapes resolved. Escapes that JSON does not have stay.
fn give_quoted<R>(raw: &str, scratch: &mut Scratch, give: impl FnOnce(ValueRef<'_>) -> R) -> R {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return give(ValueRef::Str(raw));
    }
    let mut buffer = std::mem::take(scratch.bytes());
    buffer.clear();
    unquote(raw, &mut buffer);
    let result = give(ValueRef::Str(&String::from_utf8_lossy(&buffer)));
    *scratch.bytes() = buffer;
    result
}

/// Go's `strconv.Quote` adds `\a`, `\v` and `\x..` to JSON's escapes.
pub(super) fn unquote(raw: &str, out: &mut Vec<u8>) {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(place) = memchr::memchr(b'\\', &bytes[at..]) {
        out.extend_from_slice(&bytes[at..at + place]);
        at += place;
        let length = match bytes.get(at + 1) {
            Some(b'u') => 6,
            _ => 2,
        };
        let escape = &bytes[at..(at + length).min(bytes.len())];
        at += escape.len();
        match escape.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => json::unescape(escape, out),
            Some(b'u') if escape.len() == 6 && escape[2..].iter().all(u8::is_ascii_hexdigit) => {
                json::unescape(escape, out);
            }
            _ => out.extend_from_slice(escape),
        }
    }
    out.extend_from_slice(&bytes[at..]);
}

/// A bare value: a number or truth value if it is written exactly as one, else text.
pub(super) fn bare(raw: &str) -> ValueRef<'_> {
    match raw.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => {
            let mut scanner = Scanner::new(raw.as_bytes());
            match json::read_number(&mut scanner, raw) {
                Ok(value) if scanner.at == raw.len() => value,
                _ => ValueRef::Str(raw),
            }
        }
        Some(b't') if raw == "true" => ValueRef::Bool(true),
        Some(b'f') if raw == "false" => ValueRef::Bool(false),
        _ => ValueRef::Str(raw),
    }
}

fn first_word_has_equals(bytes: &[u8]) -> bool {
    let length = bytes.iter().take_while(|byte| is_key(**byte)).count();
    length > 0 && bytes.get(length) == Some(&b'=')
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b'@' | b':')
}

pub(super) fn is_known(key: &str) -> bool {
    matches!(
        key,
        "level"
            | "lvl"
            | "severity"
            | "msg"
            | "message"
            | "time"
            | "ts"
            | "t"
            | "timestamp"
            | "caller"
            | "err"
            | "error"
    )
}
