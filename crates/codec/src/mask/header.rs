//! The credentials of `Authorization` headers, and bearer tokens elsewhere.

use std::ops::Range;

use super::pair::{is_random, quoted_end, skip_quotes};
use super::token::{CUT_LEN_MIN, is_cut, run};
use super::{Hit, Kind};

/// Schemes whose credentials are one word, and those that have several parts.
const SCHEMES: [(&str, bool); 10] = [
    ("bearer", true),
    ("basic", true),
    ("token", true),
    ("apikey", true),
    ("negotiate", true),
    ("ntlm", true),
    ("digest", false),
    ("aws4-hmac-sha256", false),
    ("sharedkey", true),
    ("hawk", false),
];

/// Bytes of credentials of one word, beside letters and digits.
const WORD: &str = "._~+/=-:%";

/// What follows the name of a scheme in prose.
const PROSE: [&str; 8] =
    ["auth", "authentication", "token", "tokens", "scheme", "header", "failed", "required"];

/// The shortest bearer token that is taken for one outside of a header.
const BEARER_LEN_MIN: usize = 16;

/// `Authorization: Bearer …`, also as a member of JSON or in a map that was printed.
pub(super) fn authorization(text: &str, found: Range<usize>) -> Option<Hit> {
    let mut at = skip_quotes(text, found.end);
    at += text[at..].len() - text[at..].trim_start_matches([' ', ']']).len();
    at += ["=>", ":", "=", "%3A"].iter().find(|separator| text[at..].starts_with(**separator))?.len();
    let mut quoted = None;
    loop {
        let next = skip_quotes(text, at);
        let next = next + (text[next..].len() - text[next..].trim_start_matches([' ', '[']).len());
        if next == at {
            break;
        }
        quoted = Some(at + text[at..next].len() - text[at..next].trim_start_matches([' ', '[']).len());
        at = next;
    }
    let scheme = run(&text[at..], "-");
    let known = SCHEMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text[at..at + scheme]));
    let gap = run_of(&text[at + scheme..], b" ");
    let (start, end) = match known {
        Some((_, one_word)) if gap > 0 => {
            let start = at + scheme + gap;
            let rest = &text[start..];
            let end = quoted.and_then(|opened| quoted_end(text, opened, start));
            let end = if *one_word {
                start + run(rest, WORD)
            } else {
                end.unwrap_or_else(|| start + parts_len(text, rest))
            };
            (start, end)
        }
        _ => {
            let end = at + run(&text[at..], WORD);
            if !is_random(&text[at..end]) {
                return None;
            }
            (at, end)
        }
    };
    let word = &text[start..end];
    let prose = PROSE.iter().any(|prose| word.eq_ignore_ascii_case(prose));
    (!word.is_empty() && !prose).then(|| Hit::new(start..end, Kind::BearerToken))
}

/// `Bearer …` anywhere, if what follows looks like a token.
pub(super) fn bearer(text: &str, found: Range<usize>) -> Option<Hit> {
    let before = text[..found.start].bytes().next_back();
    let start = found.end + run_of(&text[found.end..], b" ");
    let len = run(&text[start..], "._~+/=-");
    let word = &text[start..start + len];
    let long = len >= BEARER_LEN_MIN || is_cut(text, start + len) && len >= CUT_LEN_MIN;
    let mixed = word.bytes().skip(1).any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let token = matches!(before, Some(b'B' | b'b')) && long && mixed;
    token.then(|| Hit::new(start..start + len, Kind::BearerToken))
}

/// How far the parts of credentials go that are not in quotes. In a text that is JSON, a quote ends them.
fn parts_len(text: &str, rest: &str) -> usize {
    let json = text.starts_with(['{', '[']);
    let ends = |c: char| matches!(c, '\n' | '\'' | ']' | '}') || json && matches!(c, '"' | '\\');
    rest.find(ends).unwrap_or(rest.len())
}

fn run_of(text: &str, bytes: &[u8]) -> usize {
    text.bytes().take_while(|byte| bytes.contains(byte)).count()
}
