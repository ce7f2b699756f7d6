//! Tokens that are known by their form.
//!
//! Owns: the marks with which services begin their tokens, and what follows them.
//! Does not own: secrets that are known by their name only (`pair`).
//! Invariant: a token stands by itself: what is before it is no part of a longer word. One that the end of the text
//! cuts off is masked as far as it goes.

use std::ops::Range;

use super::{Hit, Kind};

/// Of a token that the end of the text cuts off, so much behind its mark is worth masking.
pub(super) const CUT_LEN_MIN: usize = 8;

/// How long the secret beside an access key of AWS is.
const AWS_SECRET_LEN: usize = 40;

/// The form of a service's tokens.
#[derive(Debug)]
pub(super) struct Token {
    /// How it begins. What is before `|` is not part of the literal that is searched for.
    start: &'static str,
    pub(super) kind: Kind,
    /// Which bytes follow, beside letters and digits.
    with: &'static str,
    /// How many follow at least.
    len_min: usize,
}

const fn token(kind: Kind, start: &'static str, with: &'static str, len_min: usize) -> Token {
    Token { start, kind, with, len_min }
}

use Kind::{AwsKey, GcpKey, ServiceToken};

/// The services' own documents name these forms.
pub(super) static TOKENS: [Token; 37] = [
    token(AwsKey, "AKIA", "", 16),
    token(AwsKey, "ASIA", "", 16),
    token(GcpKey, "AIza", "_-", 35),
    token(GcpKey, "ya29.", "_-.", 20),
    token(GcpKey, "GOCSPX-", "_-", 20),
    token(ServiceToken, "ghp_", "", 36),
    token(ServiceToken, "gho_", "", 36),
    token(ServiceToken, "ghu_", "", 36),
    token(ServiceToken, "ghs_", "", 36),
    token(ServiceToken, "ghr_", "", 36),
    token(ServiceToken, "github_pat_", "_", 40),
    token(ServiceToken, "glpat-", "_-.", 20),
    token(ServiceToken, "gldt-", "_-.", 20),
    token(ServiceToken, "glrt-", "_-.", 20),
    token(ServiceToken, "glptt-", "_-.", 20),
    token(ServiceToken, "glcbt-", "_-.", 20),
    token(ServiceToken, "xoxb-", "-", 20),
    token(ServiceToken, "xoxp-", "-", 20),
    token(ServiceToken, "xoxa-", "-", 20),
    token(ServiceToken, "xoxr-", "-", 20),
    token(ServiceToken, "xoxs-", "-", 20),
    token(ServiceToken, "xoxe", "-.", 20),
    token(ServiceToken, "xapp-", "-", 20),
    token(ServiceToken, "hooks.slack.com/services/", "/", 20),
    token(ServiceToken, "sk_live_", "", 16),
    token(ServiceToken, "sk_test_", "", 16),
    token(ServiceToken, "rk_live_", "", 16),
    token(ServiceToken, "rk_test_", "", 16),
    token(ServiceToken, "whsec_", "+/=", 24),
    token(ServiceToken, "npm_", "", 36),
    token(ServiceToken, "pypi-", "_-", 60),
    token(ServiceToken, "SG.", "_-.", 60),
    token(ServiceToken, "hf_", "", 30),
    token(ServiceToken, "sk-", "_-", 32),
    token(ServiceToken, "dop_v1_", "", 60),
    token(ServiceToken, "shpat_", "", 32),
    token(ServiceToken, "hvs.", "_-", 24),
];

impl Token {
    /// What to search for.
    pub(super) fn literal(&self) -> &'static str {
        self.start
    }

    /// Looks at a place where the literal was found.
    pub(super) fn find(&self, text: &str, start: usize, hits: &mut Vec<Hit>) {
        if !stands_alone(text, start) {
            return;
        }
        let from = start + self.start.len();
        let end = from + run(&text[from..], self.with);
        let body = &text[from..end];
        let cut = is_cut(text, end) && body.len() >= CUT_LEN_MIN;
        let digit = body.bytes().any(|byte| byte.is_ascii_digit());
        let fits = match self.kind {
            AwsKey => {
                let upper = body.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
                upper && (body.len() == self.len_min || cut && body.len() < self.len_min)
            }
            // Nothing but lower case, or words between dashes, is a name.
            _ if self.start == "sk-" => {
                digit && body.bytes().any(|byte| byte.is_ascii_uppercase()) && body.len() >= self.len_min
            }
            _ => body.len() >= self.len_min || cut && digit,
        };
        if !fits {
            return;
        }
        hits.push(Hit::new(start..end, self.kind));
        if self.kind == AwsKey {
            hits.extend(aws_secret(text, end));
        }
    }
}

/// The secret that stands beside an access key, as in a CSV of credentials.
fn aws_secret(text: &str, from: usize) -> Option<Hit> {
    let gap = text[from..].bytes().take(6).take_while(|byte| b" ,:;|\t\"'=/".contains(byte)).count();
    let start = from + gap;
    let len = run(&text[start..], "+/");
    (gap > 0 && len == AWS_SECRET_LEN).then(|| Hit::new(start..start + len, AwsKey))
}

/// `header.payload.signature` in base64url, of which the first two begin with `{"`. A header alone tells nothing.
pub(super) fn jwt(text: &str, start: usize) -> Option<Hit> {
    if !stands_alone(text, start) {
        return None;
    }
    let head = run(&text[start..], "_-");
    let mut end = start + head;
    if head < 12 || !text[end..].starts_with('.') {
        return None;
    }
    let mut parts = 0;
    while parts < 4 && text[end..].starts_with('.') {
        let len = run(&text[end + 1..], "_-");
        end += 1 + len;
        parts += 1;
        if parts == 1 && len == 0 && !is_cut(text, end) {
            return None;
        }
    }
    let payload = &text[start + head + 1..end];
    let long = payload.len() >= 16 || is_cut(text, end);
    long.then(|| Hit::new(start..end, Kind::Jwt))
}

/// `abc8Q~` and 31 to 34 more: a client secret of Azure, found by its middle.
pub(super) fn azure_secret(text: &str, at: usize) -> Option<Hit> {
    let start = at.checked_sub(3)?;
    let before = text.as_bytes().get(start..at)?;
    let end = at + 3 + run(&text[at + 3..], "_-.~");
    let fits = before.iter().all(|byte| is_in(*byte, "_-.~")) && (31..=34).contains(&(end - at - 3));
    fits.then(|| Hit::new(start..end, Kind::AzureKey))
}

/// `sig=` in a URL with a shared access signature.
pub(super) fn azure_signature(text: &str, found: Range<usize>) -> Option<Hit> {
    let before = text[..found.start].bytes().next_back();
    if !matches!(before, Some(b'?' | b'&' | b';' | b'"')) {
        return None;
    }
    let len = run(&text[found.end..], "%+/=_-");
    (len >= 40 || is_cut(text, found.end + len) && len > 0)
        .then(|| Hit::new(found.end..found.end + len, Kind::AzureKey))
}

/// How many bytes at the start are letters, digits or one of `with`.
pub(super) fn run(text: &str, with: &str) -> usize {
    text.bytes().position(|byte| !is_in(byte, with)).unwrap_or(text.len())
}

fn is_in(byte: u8, with: &str) -> bool {
    byte.is_ascii_alphanumeric() || with.as_bytes().contains(&byte)
}

/// Whether what is before is no part of a longer word. In JSON a letter behind a backslash is an escape.
fn stands_alone(text: &str, start: usize) -> bool {
    let bytes = text.as_bytes();
    let Some(before) = start.checked_sub(1).map(|at| bytes[at]) else { return true };
    let escape = start >= 2 && bytes[start - 2] == b'\\' && matches!(before, b'n' | b't' | b'r');
    escape || !(before.is_ascii_alphanumeric() || matches!(before, b'_' | b'-' | b'+'))
}

/// Whether the text was cut off here: at its end, or where a long line lost its middle.
pub(super) fn is_cut(text: &str, at: usize) -> bool {
    text[at..].is_empty() || text[at..].starts_with("…[")
}
