//! Cutting a text into what is the same in many texts and what varies.
//!
//! Owns: what a variable looks like. Does not own: which texts are put together (`learn`).
//! Invariant: the key of a text, with its variables at the places of the marks, is the text.

use std::ops::Range;

/// Stand in a key for a variable. Texts that have these bytes themselves are not cut.
pub(super) mod mark {
    /// Letters and digits, with a digit among them.
    pub(in super::super) const RUN: u8 = 1;
    /// A UUID.
    pub(in super::super) const UUID: u8 = 2;
    /// A path, as in files and requests.
    pub(in super::super) const PATH: u8 = 3;
    /// A word, in what keys of several shapes have together.
    pub(in super::super) const WORD: u8 = 4;
}

/// Longer texts are not cut: stack traces and the like, which compress well as they are.
const TEXT_BYTES_MAX: usize = 4096;
/// Texts with more variables are not cut.
pub(super) const VARIABLES_MAX: usize = 64;
const UUID_BYTES: usize = 36;
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Digits in a row that make a part of a path vary by itself.
const PATH_DIGITS_MIN: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Slash,
    Mark,
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'/' => Class::Slash,
            mark::RUN..=mark::WORD => Class::Mark,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

#[inline]
fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// Whether the byte is of a word: an ASCII letter, or part of any character beyond ASCII.
#[inline]
pub(super) fn is_of_word(byte: u8) -> bool {
    byte >= 0x80 || class(byte) == Class::Letter
}

/// Cuts a text: puts its key into `key`, and the places of its variables into `variables`. Says no to texts that
/// cannot be cut.
pub(super) fn cut(whole: &str, key: &mut String, variables: &mut Vec<Range<u32>>) -> bool {
    let text = whole.as_bytes();
    key.clear();
    if text.len() > TEXT_BYTES_MAX {
        return false;
    }
    let before = variables.len();
    let (mut at, mut done) = (0, 0);
    while at < text.len() {
        let start = at;
        let found = match class(text[at]) {
            Class::Letter | Class::Digit => {
                let (end, has_digit) = run(text, at);
                at = end;
                if is_uuid(text, start, end) {
                    at = start + UUID_BYTES;
                    Some(mark::UUID)
                } else {
                    has_digit.then_some(mark::RUN)
                }
            }
            Class::Slash => {
                let end = path(text, at);
                at = end.unwrap_or(at + 1);
                end.map(|_| mark::PATH)
            }
            Class::Mark => {
                variables.truncate(before);
                return false;
            }
            Class::Other => {
                at += 1;
                None
            }
        };
        if let Some(mark) = found {
            key.push_str(&whole[done..start]);
            key.push(char::from(mark));
            variables.push(start as u32..at as u32);
            done = at;
        }
    }
    if variables.len() - before > VARIABLES_MAX {
        variables.truncate(before);
        return false;
    }
    key.push_str(&whole[done..]);
    true
}

/// Where the letters and digits end that start here, and whether there is a digit among them.
fn run(text: &[u8], start: usize) -> (usize, bool) {
    let (mut at, mut has_digit) = (start, false);
    while at < text.len() {
        match class(text[at]) {
            Class::Letter => {}
            Class::Digit => has_digit = true,
            _ => break,
        }
        at += 1;
    }
    (at, has_digit)
}

/// Whether a UUID in lower case starts here, whose first letters and digits end at `end`.
fn is_uuid(text: &[u8], start: usize, end: usize) -> bool {
    if end - start != UUID_HYPHENS[0] || text.len() < start + UUID_BYTES || text[end] != b'-' {
        return false;
    }
    let is_right = |(at, byte): (usize, &u8)| {
        if UUID_HYPHENS.contains(&at) { *byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') }
    };
    text[start..start + UUID_BYTES].iter().enumerate().all(is_right)
        && !text.get(start + UUID_BYTES).is_some_and(u8::is_ascii_alphanumeric)
}

/// Where the path ends that starts with this slash, if it is one without numbers.
fn path(text: &[u8], start: usize) -> Option<usize> {
    let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.');
    if start > 0 && text[start - 1].is_ascii_alphanumeric()
        || !text.get(start + 1).is_some_and(u8::is_ascii_alphabetic)
    {
        return None;
    }
    let mut digits = 0;
    let mut at = start + 1;
    while at < text.len() && is_of_path(text[at]) {
        digits = if text[at].is_ascii_digit() { digits + 1 } else { 0 };
        if digits == PATH_DIGITS_MIN {
            return None;
        }
        at += 1;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> String {
        let (mut key, mut variables) = (String::new(), Vec::new());
        if !cut(text, &mut key, &mut variables) {
            return "-".to_owned();
        }
        let mut variables = variables.into_iter();
        let mut out = String::new();
        for letter in key.chars() {
            let mut variable = || {
                let range = variables.next().unwrap();
                &text[range.start as usize..range.end as usize]
            };
            match letter {
                '\u{1}' => out.push_str(&format!("<{}>", variable())),
                '\u{2}' => out.push_str(&format!("<uuid {}>", variable())),
                '\u{3}' => out.push_str(&format!("<path {}>", variable())),
                other => out.push(other),
            }
        }
        out
    }

    #[test]
    fn numbers_ids_and_paths_vary() {
        assert_eq!(check("took 12ms for u-77: ok"), "took <12ms> for u-<77>: ok");
        assert_eq!(check("at 10.1.2.33:80"), "at <10>.<1>.<2>.<33>:<80>");
        assert_eq!(
            check("id=0a1b2c3d-0000-1111-2222-abcdefabcdef."),
            "id=<uuid 0a1b2c3d-0000-1111-2222-abcdefabcdef>."
        );
        assert_eq!(check("id=0a1b2c3d-0000-1111"), "id=<0a1b2c3d>-<0000>-<1111>");
        assert_eq!(check("GET /api/v1/carts HTTP"), "GET <path /api/v1/carts> HTTP");
        assert_eq!(check("GET /carts/12345/x a/b"), "GET /carts/<12345>/x a/b");
        assert_eq!(check("결제 3건"), "결제 <3>건");
        assert_eq!(check("a\u{1}b"), "-");
        assert_eq!(check(&"1 ".repeat(65)), "-");
        assert_eq!(check(""), "");
    }

    proptest! {
        #[test]
        fn the_key_and_the_variables_are_the_text(text in "([a-f0-9/ _.:=-]|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\\PC){0,40}") {
            let again: String = check(&text);
            prop_assume!(again != "-" && !text.contains(['<', '>']));
            prop_assert_eq!(again.replace("<uuid ", "").replace("<path ", "").replace(['<', '>'], ""), text);
        }
    }
}
