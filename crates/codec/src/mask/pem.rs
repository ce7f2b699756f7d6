//! Private keys in PEM: whole, cut, escaped in JSON, in base64, over several lines.
//!
//! Owns: where a key begins and ends in a text.
//! Does not own: remembering that a key goes on in the next record (`pipeline`).
//! Invariant: certificates and public keys are left alone.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::token::run;
use super::{Hit, Kind};
use crate::group::is_pem_line;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// What the names of private keys have in common.
const LABEL: &str = "PRIVATE KEY";

/// Longest name of a block; where the dashes are further away, it is none.
const LABEL_BYTES_MAX: usize = 64;

/// A run of base64 that is shorter than this may be a word.
const WORD_LEN_MIN: usize = 16;

/// Where the line that begins or ends a private key is over, if it is one's. `from` is behind its first word.
fn line_end(text: &str, from: usize) -> Option<usize> {
    let len = text[from..].find(DASHES).filter(|len| *len <= LABEL_BYTES_MAX)?;
    text[from..from + len].contains(LABEL).then(|| from + len + DASHES.len())
}

/// A key from its first line on: up to its last one, or as far as the text looks like a key.
pub(super) fn from_begin(text: &str, found: Range<usize>) -> Option<Hit> {
    let head = line_end(text, found.end)?;
    let last = text[head..].find(END).map(|at| head + at).filter(|at| !text[head..*at].contains(BEGIN));
    let whole = last.and_then(|at| line_end(text, at + END.len()));
    Some(Hit::new(found.start..whole.unwrap_or_else(|| head + key_len(&text[head..])), Kind::PrivateKey))
}

/// How much at the start of a text looks like the inside of a key.
fn key_len(text: &str) -> usize {
    let mut end = 0;
    loop {
        let gap = gap_len(&text[end..]);
        let rest = &text[end + gap..];
        let header = ["Proc-Type:", "DEK-Info:"].iter().any(|header| rest.starts_with(header));
        let len = if header { rest.find(['\n', '\\', '"']).unwrap_or(rest.len()) } else { word_len(rest) };
        if len == 0 || !(header || len >= WORD_LEN_MIN || len == rest.len()) {
            return end;
        }
        end += gap + len;
    }
}

/// White space and what stands for it in JSON, at any depth of escaping.
fn gap_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let slashes = slashes(&bytes[at..]);
        match bytes.get(at + slashes) {
            Some(b' ' | b'\t' | b'\r' | b'\n') if slashes == 0 => at += 1,
            Some(b'n' | b'r' | b't') if slashes > 0 => at += slashes + 1,
            _ => return at,
        }
    }
}

/// How long the base64 is that begins here; its slashes may be escaped.
fn word_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let slashes = slashes(&bytes[at..]);
        match bytes.get(at + slashes) {
            Some(b'/') => at += slashes + 1,
            Some(b'+' | b'=') if slashes == 0 => at += 1,
            Some(byte) if byte.is_ascii_alphanumeric() && slashes == 0 => at += 1,
            _ => return at,
        }
    }
}

fn slashes(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte == b'\\').count()
}

/// A key whose first line is not in the text, or was masked: from its last line backwards.
pub(super) fn from_end(text: &str, found: Range<usize>, floor: usize) -> Option<Hit> {
    let end = line_end(text, found.end)?;
    let before = &text[floor..found.start];
    let inside =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\\' | ' ' | '\t' | '\r' | '\n');
    let mut start = before.trim_end_matches(inside).len();
    // Words in front of the key are no part of it.
    while let Some(word) = before[start..].split([' ', '\n']).next() {
        if start + word.len() >= before.len() || word.len() >= WORD_LEN_MIN {
            break;
        }
        start += word.len() + 1;
    }
    Some(Hit::new(floor + start..end, Kind::PrivateKey))
}

/// A PEM block in base64, as in a Secret of Kubernetes.
pub(super) fn in_base64(text: &str, start: usize) -> Option<Hit> {
    let len = run(&text[start..], "+/=");
    let head = &text[start..start + len.min(64) / 4 * 4];
    let decoded = STANDARD_NO_PAD.decode(head.trim_end_matches('=')).ok()?;
    let label = String::from_utf8_lossy(&decoded).into_owned();
    (label.contains(LABEL) || len < 40).then(|| Hit::new(start..start + len, Kind::PrivateKey))
}

/// Whether a text ends inside a private key.
#[must_use]
pub fn leaves_key_open(text: &str) -> bool {
    let Some(at) = text.rfind(BEGIN) else { return false };
    line_end(text, at + BEGIN.len()).is_some_and(|head| !text[head..].contains(END))
}

/// Whether a line may be the inside of a private key, or its last line.
#[must_use]
pub fn continues_key(line: &str) -> bool {
    is_pem_line(line) || line.trim_start().starts_with(END)
}
