//! The messages by which a client and a server show each other that they know the same secret.
//!
//! Owns: their form. Does not own: digests, and whether they are right (`input`).

use super::{ForwardError, expected};
use crate::msgpack::{Reader, Token};

/// What a client shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping<'a> {
    /// What it calls itself.
    pub hostname: &'a [u8],
    /// What it mixed into its digest.
    pub salt: &'a [u8],
    /// SHA-512 of salt, host name, nonce and shared key, in hexadecimal digits.
    pub digest: &'a [u8],
    /// A user; empty if there is none.
    pub user: &'a [u8],
    /// SHA-512 of the server's salt, user and password, in hexadecimal digits.
    pub password_digest: &'a [u8],
}

/// What a server says first.
#[must_use]
pub fn helo(nonce: &[u8; 16], auth_salt: &[u8]) -> Vec<u8> {
    let mut message = vec![0x92];
    push_str(&mut message, b"HELO");
    message.push(0x83);
    push_str(&mut message, b"nonce");
    push_bin(&mut message, nonce);
    push_str(&mut message, b"auth");
    push_bin(&mut message, auth_salt);
    push_str(&mut message, b"keepalive");
    message.push(0xc3);
    message
}

/// Reads a client's answer to it.
///
/// # Errors
/// What it is not.
pub fn read_ping(bytes: &[u8]) -> Result<Ping<'_>, ForwardError> {
    let mut reader = Reader::new(bytes);
    let Token::Array(6) = reader.token()? else { return Err(expected("a PING of six parts")) };
    let mut text = || match reader.token()? {
        Token::Str(text) => Ok(text),
        Token::Nil => Ok(&b""[..]),
        _ => Err(expected("text in a PING")),
    };
    if text()? != b"PING" {
        return Err(expected("a PING"));
    }
    let [hostname, salt, digest, user, password_digest] = [text()?, text()?, text()?, text()?, text()?];
    Ok(Ping { hostname, salt, digest, user, password_digest })
}

/// What a server says last: whether the client may send, and why not.
#[must_use]
pub fn pong(result: Result<(), &str>, hostname: &str, digest: &str) -> Vec<u8> {
    let mut message = vec![0x95];
    push_str(&mut message, b"PONG");
    message.push(if result.is_ok() { 0xc3 } else { 0xc2 });
    push_str(&mut message, result.err().unwrap_or("").as_bytes());
    push_str(&mut message, hostname.as_bytes());
    push_str(&mut message, digest.as_bytes());
    message
}

pub(super) fn push_str(message: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        length @ 0..32 => message.push(0xa0 | length as u8),
        length @ 32..256 => message.extend_from_slice(&[0xd9, length as u8]),
        length => {
            message.push(0xdb);
            message.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    message.extend_from_slice(text);
}

fn push_bin(message: &mut Vec<u8>, bytes: &[u8]) {
    message.extend_from_slice(&[0xc4, bytes.len().min(255) as u8]);
    message.extend_from_slice(&bytes[..bytes.len().min(255)]);
}
