//! Secrets that are known by their name: `password=…`, `"client_secret": "…"`, `--token …`, `<password>…`.
//!
//! Owns: which names are those of secrets; where the value of a name begins and ends in a text.
//! Does not own: secrets that are known by their own form (`token`).
//! Invariant: values in quotes are masked between their quotes, at any depth of escaping, and a bare value of JSON
//! gets quotes, so that JSON stays JSON.

use std::ops::Range;

use super::{Hit, Kind};

/// Longest name that is looked at.
const NAME_BYTES_MAX: usize = 128;

/// The shortest value that is a secret under a name that may mean something else.
const RANDOM_LEN_MIN: usize = 12;

/// The shortest value that is a token.
const TOKEN_LEN_MIN: usize = 8;

/// Ends of names whose value is a secret, whatever it looks like.
const SURE: [&str; 16] = [
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "pwd",
    "clientsecret",
    "appsecret",
    "apisecret",
    "consumersecret",
    "jwtsecret",
    "sharedsecret",
    "secretkey",
    "secretaccesskey",
    "accesskeysecret",
    "accountkey",
    "sharedaccesskey",
];

/// Ends of names whose value is a secret if it is long enough.
const LIKELY: [&str; 12] = [
    "apikey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "sessiontoken",
    "securitytoken",
    "apitoken",
    "idtoken",
    "bearertoken",
    "privatetoken",
    "signingsecret",
    "webhooksecret",
];

/// Ends of names whose value is a secret if it looks random.
const POSSIBLE: [&str; 5] = ["token", "secret", "privatekey", "accesskey", "pass"];

/// What a word before `token` says of it that makes it none.
const HARMLESS_TOKENS: [&str; 14] = [
    "page",
    "next",
    "continue",
    "continuation",
    "sync",
    "cursor",
    "cancellation",
    "resume",
    "invalid",
    "unexpected",
    "parse",
    "syntax",
    "stop",
    "eos",
];

/// Words that follow a colon in prose, and values that say that there is none.
const NO_VALUES: [&str; 44] = [
    "null",
    "none",
    "nil",
    "true",
    "false",
    "undefined",
    "empty",
    "n/a",
    "(null)",
    "redacted",
    "hidden",
    "masked",
    "too",
    "is",
    "are",
    "must",
    "not",
    "was",
    "has",
    "cannot",
    "can",
    "invalid",
    "wrong",
    "incorrect",
    "expired",
    "required",
    "for",
    "authentication",
    "the",
    "no",
    "does",
    "and",
    "or",
    "changed",
    "reset",
    "mismatch",
    "missing",
    "failed",
    "failure",
    "unknown",
    "rejected",
    "accepted",
    "should",
    "an",
];

/// How sure a name is to be that of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Level {
    Possible,
    Likely,
    Sure,
}

/// Quotes, and how many backslashes stand before each because of the text around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    byte: u8,
    slashes: usize,
}

impl Quote {
    /// The quote that opens here, and where it ends.
    fn open(text: &str, at: usize) -> Option<(Self, usize)> {
        let bytes = text.as_bytes();
        let slashes = bytes[at..].iter().take_while(|byte| **byte == b'\\').count();
        let byte = *bytes.get(at + slashes)?;
        matches!(byte, b'"' | b'\'' | b'`').then_some((Self { byte, slashes }, at + slashes + 1))
    }

    /// Where the quote closes that opened before `from`: where as many backslashes stand before it, not counting
    /// those that are escaped themselves.
    fn close(self, text: &str, from: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut at = from;
        loop {
            at += memchr::memchr(self.byte, &bytes[at..])?;
            let slashes = bytes[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
            if slashes >= self.slashes && (slashes - self.slashes).is_multiple_of(2 * (self.slashes + 1)) {
                return Some(at - self.slashes);
            }
            at += 1;
        }
    }

    /// Puts these quotes around a text.
    pub(super) fn around(self, inner: &str, out: &mut String) {
        for part in ["", inner] {
            out.push_str(part);
            out.extend(std::iter::repeat_n('\\', self.slashes));
            out.push(char::from(self.byte));
        }
    }
}

/// Whether the name may be that of a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    level(name).is_some()
}

/// Whether the value of a field with this name is a secret.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    level(name).is_some_and(|level| says(level, name, value, false))
}

/// Looks at a place where a part of a secret's name was found.
pub(super) fn find(text: &str, found: Range<usize>, hits: &mut Vec<Hit>) {
    let name = name_around(text, found);
    let Some(level) = level(&text[name.clone()]) else { return };
    let Some((at, colon)) = separator(text, &name) else { return };
    let mut at = at;
    let list = text[at..].strip_prefix('[').is_some_and(|rest| Quote::open(rest, blanks(rest)).is_some());
    at += usize::from(list);
    loop {
        at += blanks(&text[at..]);
        let Some(hit) = value(text, &name, level, at, colon) else { return };
        let quoted = hit.1;
        at = hit.2;
        hits.extend(hit.0);
        let next = at + blanks(&text[at..]);
        if !(list && quoted && text[next..].starts_with(',')) {
            return;
        }
        at = next + 1;
    }
}

/// The value that begins at `at`: what is to be masked of it, whether it is in quotes, and where it ends.
fn value(
    text: &str,
    name: &Range<usize>,
    level: Level,
    at: usize,
    colon: bool,
) -> Option<(Option<Hit>, bool, usize)> {
    let word = &text[name.clone()];
    let prefix = usize::from(text[at..].starts_with("b'") || text[at..].starts_with("u'"));
    if let Some((quote, inside)) = Quote::open(text, at + prefix) {
        // A quote that is never closed was cut off.
        let end = quote.close(text, inside).unwrap_or(text.len());
        let behind = (end + quote.slashes + 1).min(text.len());
        let hit = says(level, word, &text[inside..end], false).then(|| Hit::new(inside..end, Kind::Password));
        return Some((hit, true, behind));
    }
    let tag = text[..name.start].ends_with('<');
    let end = if tag { at + text[at..].find('<').unwrap_or(text.len() - at) } else { bare_end(text, at) };
    let is_object =
        text[at..].starts_with(['{', '[']) && text[at + 1..].starts_with(['"', '\\', ' ', '{', '}', ']']);
    if is_object || !says(level, word, &text[at..end], colon) {
        return Some((None, false, end));
    }
    let mut hit = Hit::new(at..end, Kind::Password);
    // A number in JSON.
    let behind_name = Quote::open(text, name.end).map(|(quote, _)| quote);
    hit.quote = behind_name.filter(|quote| quote.byte == b'"' && colon);
    Some((Some(hit), false, end))
}

/// The whole name, of which a part was found.
fn name_around(text: &str, found: Range<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let before = bytes[..found.start].iter().rev().take(NAME_BYTES_MAX).take_while(|byte| part(byte)).count();
    let mut from = found.end;
    // Some literals include the separator.
    while matches!(bytes[from - 1], b'=' | b':' | b'"') {
        from -= 1;
    }
    let after = bytes[from..].iter().take(NAME_BYTES_MAX).take_while(|byte| part(byte)).count();
    let mut start = found.start - before;
    if start > 0 && bytes[start - 1] == b'\\' && matches!(bytes[start], b'n' | b'r' | b't') && before > 0 {
        start += 1;
    }
    start..from + after
}

/// Where the value begins, if the name is followed by what separates names from values; and whether that is a colon.
fn separator(text: &str, name: &Range<usize>) -> Option<(usize, bool)> {
    let flag = text[name.clone()].starts_with("--");
    let mut at = skip_quotes(text, name.end);
    at += usize::from(text[at..].starts_with(']'));
    if text[..name.start].ends_with('<') && text[at..].starts_with('>') {
        return Some((at + 1, false));
    }
    let gap = blanks(&text[at..]);
    let found =
        ["=>", ":=", "==", ":", "=", "%3D", "%3A"].iter().find(|sep| text[at + gap..].starts_with(**sep));
    let Some(found) = found else {
        return (flag && gap > 0).then_some((at + gap, false));
    };
    at += gap + found.len();
    let colon = *found == ":";
    let behind = blanks(&text[at..]);
    // `password= ` and the end of a word say nothing.
    Some((at + behind, colon && (behind > 0 || at != name.end + 1)))
}

/// Behind the quote that stands here, if one does.
pub(super) fn skip_quotes(text: &str, at: usize) -> usize {
    Quote::open(text, at).map_or(at, |(_, end)| end)
}

/// Where the quote closes that ends at `at`, if one does.
pub(super) fn quoted_end(text: &str, opened: usize, at: usize) -> Option<usize> {
    let (quote, inside) = Quote::open(text, opened)?;
    (inside <= at).then(|| quote.close(text, at).unwrap_or(text.len()))
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// Where a value without quotes ends: before white space and quotes, and before a bracket, comma or the like if
/// nothing follows that could be more of it.
fn bare_end(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'`' | b'<' => break,
            b',' | b';' | b'&' | b')' | b']' | b'}' | b'|' if at > from && ends_value(&bytes[at..]) => break,
            0xE2 if text[at..].starts_with("…[") => break,
            _ => at += 1,
        }
    }
    // The backslash belongs to the quote behind it.
    let slashes = bytes[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    if matches!(bytes.get(at), Some(b'"' | b'\'' | b'`')) { at - slashes } else { at }
}

/// Whether the mark that stands here ends a value.
fn ends_value(rest: &[u8]) -> bool {
    let marks = rest.iter().take_while(|byte| b",;&)]}|".contains(byte)).count();
    let Some(next) = rest.get(marks) else { return true };
    if next.is_ascii_whitespace() || matches!(next, b'"' | b'\'' | b'\\' | b'<') {
        return true;
    }
    let name = rest[marks..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte));
    let name = name.count();
    name > 0 && matches!(rest.get(marks + name), Some(b'=' | b':'))
}

/// How sure the name is to be that of a secret.
fn level(name: &str) -> Option<Level> {
    if matches!(name, "비밀번호" | "패스워드") {
        return Some(Level::Sure);
    }
    if !name.is_ascii() {
        return None;
    }
    let start = name.len().saturating_sub(NAME_BYTES_MAX);
    let flat: String = name[start..]
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|b| char::from(b).to_ascii_lowercase())
        .collect();
    let ends = |ends: &[&str]| ends.iter().any(|end| flat.ends_with(end));
    if matches!(name, "PWD" | "OLDPWD") {
        return None;
    }
    if ends(&SURE) {
        return Some(Level::Sure);
    }
    if ends(&LIKELY) {
        return Some(Level::Likely);
    }
    let before = flat.strip_suffix("token");
    let harmless = before.is_some_and(|before| HARMLESS_TOKENS.iter().any(|word| before.ends_with(word)));
    (ends(&POSSIBLE) && !harmless && !flat.ends_with("bypass")).then_some(Level::Possible)
}

/// Whether the value is a secret under a name of this level. In prose, a word behind a colon may be none.
fn says(level: Level, name: &str, value: &str, prose: bool) -> bool {
    let value = value.trim();
    if value.is_empty() || is_placeholder(value) {
        return false;
    }
    let lower = value.trim_end_matches(['.', ',', ';', ':', ')', '!']).to_ascii_lowercase();
    if (prose || value == lower && lower.len() <= 5) && NO_VALUES.contains(&lower.as_str()) {
        return false;
    }
    match level {
        Level::Sure => true,
        Level::Likely => value.len() >= TOKEN_LEN_MIN && (!prose || is_random(value)),
        Level::Possible if name.to_ascii_lowercase().ends_with("secret") => {
            is_random(value) && !is_object_name(value)
        }
        // `token: android.os.Binder@12ab` names an object.
        Level::Possible => is_random(value) && !value.contains('@'),
    }
}

/// What stands where a secret was left out: stars, `<none>`, `${VARIABLE}`.
pub(super) fn is_placeholder(value: &str) -> bool {
    let all = |of: &[u8]| value.bytes().all(|byte| of.contains(&byte));
    let variable = value.strip_prefix('$').is_some_and(|rest| {
        rest.starts_with(['{', '(']) || rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    });
    let format = value.len() == 2 && value.starts_with('%');
    all(b"*")
        || value.len() >= 3 && all(b"xX")
        || all(b".-_")
        || variable
        || format
        || value.starts_with("{{")
        || value.starts_with('<') && value.ends_with('>')
        || value.starts_with('[') && value.ends_with(']') && value.to_ascii_lowercase().contains("redacted")
}

/// Whether a value looks like a random one.
pub(super) fn is_random(value: &str) -> bool {
    let has = |class: fn(&u8) -> bool| value.as_bytes().iter().any(class);
    let path = value.contains('/') && !has(|byte| matches!(byte, b'+' | b'='));
    value.len() >= RANDOM_LEN_MIN
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && !path
        && !has(|byte| byte.is_ascii_whitespace() || matches!(byte, b'(' | b'{' | b'['))
}

/// The name of an object of Kubernetes: words in lower case with dashes between them.
fn is_object_name(value: &str) -> bool {
    let name = value
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    name && value.contains('-')
}
