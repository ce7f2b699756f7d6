//! The signature itself (AWS: Signature Version 4 signing process). Pure.
//!
//! Invariant: what is signed is what is sent: the path and the query as they stand in the request line, each part of
//! the path encoded once more, as every service but S3 has it.

use std::fmt::Write;

use ring::{digest, hmac};

use super::Credentials;

#[cfg(test)]
mod tests;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Where and when a signature is good.
pub(super) struct Scope<'a> {
    /// `20150830T123600Z`.
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl Scope<'_> {
    fn day(&self) -> &str {
        self.date.get(..8).unwrap_or(self.date)
    }

    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day(), self.region, self.service)
    }
}

/// The value of `Authorization` for a request of this method, path and query. All headers given are signed.
pub(super) fn signature(
    line: (&str, &str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
    scope: &Scope<'_>,
    credentials: &Credentials,
) -> String {
    let (canonical, signed) = canonical_request(line, headers, body);
    let signature = signed_by(&canonical, scope, credentials);
    let (id, scope) = (&credentials.access_key_id, scope.text());
    format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}")
}

/// The query of a GET of `/` at a host that is good for so many seconds without any header but `Host`.
pub(super) fn presigned_query(
    host: &str,
    query: &str,
    seconds: u64,
    scope: &Scope<'_>,
    credentials: &Credentials,
) -> String {
    let credential = format!("{}/{}", credentials.access_key_id, scope.text());
    let mut query = format!(
        "{query}&X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={seconds}",
        encode(credential.as_bytes()),
        scope.date
    );
    if let Some(token) = &credentials.session_token {
        let _ = write!(query, "&X-Amz-Security-Token={}", encode(token.expose().as_bytes()));
    }
    query.push_str("&X-Amz-SignedHeaders=host");
    let (canonical, _) = canonical_request(("GET", "/", &query), &[("host", host)], b"");
    let signature = signed_by(&canonical, scope, credentials);
    let _ = write!(query, "&X-Amz-Signature={signature}");
    query
}

/// The signature of a request in the form that is signed.
fn signed_by(canonical: &str, scope: &Scope<'_>, credentials: &Credentials) -> String {
    let to_sign = string_to_sign(canonical, scope);
    let mut key = format!("AWS4{}", credentials.secret_access_key.expose()).into_bytes();
    for part in [scope.day(), scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part.as_bytes()).as_ref().to_vec();
    }
    hex(mac(&key, to_sign.as_bytes()).as_ref())
}

pub(super) fn string_to_sign(canonical: &str, scope: &Scope<'_>) -> String {
    format!("{ALGORITHM}\n{}\n{}\n{}", scope.date, scope.text(), hex_sha256(canonical.as_bytes()))
}

/// The request in the form that is signed, and the names of its headers.
pub(super) fn canonical_request(
    (method, path, query): (&str, &str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> (String, String) {
    let headers = canonical_headers(headers);
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut text = format!("{method}\n{}\n{}\n", canonical_path(path), canonical_query(query));
    for (name, value) in &headers {
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{names}\n{}", hex_sha256(body));
    (text, names)
}

/// Names in lower case, sorted; values with single blanks, those of one name joined by commas.
fn canonical_headers(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut sorted: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        match sorted.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => sorted.push((name, value)),
        }
    }
    sorted.sort();
    sorted
}

/// Without `.`, `..` and empty parts, encoded.
fn canonical_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let parts: Vec<String> = parts.iter().map(|part| encode(part.as_bytes())).collect();
    let folder = path.ends_with('/') && !parts.is_empty();
    format!("/{}{}", parts.join("/"), if folder { "/" } else { "" })
}

/// Sorted by encoded name, then by value.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(&decode(name)), encode(&decode(value))))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
