//! Passwords in URLs and data source names.

use super::pair::is_placeholder;
use super::{Hit, Kind};

/// Furthest that the user's part of a URL is looked for.
const USER_BYTES_MAX: usize = 512;

/// The shortest user name without a password that may be a token.
const TOKEN_LEN_MIN: usize = 20;

/// `user:password@` behind `scheme://`. Of a user alone only what looks like a token is masked.
pub(super) fn password(text: &str, from: usize) -> Option<Hit> {
    user_part(text, from).filter(|hit| !is_placeholder(&text[hit.range.clone()]))
}

fn user_part(text: &str, from: usize) -> Option<Hit> {
    let rest = &text.as_bytes()[from..text.len().min(from + USER_BYTES_MAX)];
    let (mut colon, mut at, mut slash) = (None, None, None);
    for (place, byte) in rest.iter().enumerate() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\' => break,
            b':' if at.is_none() && slash.is_none() => colon = colon.or(Some(place)),
            b'@' if slash.is_some() => {
                at = Some(place);
                break;
            }
            b'@' => at = Some(place),
            // What follows is a path, unless a slash in the password was not escaped; a port has none.
            b'/' | b'?' | b'#' if slash.is_none() => {
                let port = colon.is_some_and(|colon| rest[colon + 1..place].iter().all(u8::is_ascii_digit));
                if at.is_some() || colon.is_none() || port {
                    break;
                }
                slash = Some(place);
            }
            _ => {}
        }
    }
    let (at, start) = (at?, colon.map_or(0, |colon| colon + 1));
    let user = &rest[..at];
    let token = at >= TOKEN_LEN_MIN
        && user.iter().any(u8::is_ascii_digit)
        && user.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    (start < at && (colon.is_some() || token)).then(|| Hit::new(from + start..from + at, Kind::UrlPassword))
}

/// `user:password@tcp(host)/name`, found by its `@`.
pub(super) fn dsn(text: &str, at: usize, floor: usize) -> Option<Hit> {
    let before = &text[floor..at];
    let start = before
        .rfind(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | '`'))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let colon = before[start..].find(':')?;
    let range = floor + start + colon + 1..at;
    let last = before.rsplit(':').next().unwrap_or(before);
    (!range.is_empty() && !is_placeholder(last)).then(|| Hit::new(range, Kind::UrlPassword))
}
