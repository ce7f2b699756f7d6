//! Bytes of a line into text.
//!
//! Owns: what becomes of bytes that are not UTF-8.
//! Does not own: where lines end.
//! Invariant: valid text passes untouched and uncopied, NUL included; else nothing of it is lost, because the
//! bytes are kept in base64 ([`sawyer_model::names::ORIGINAL_BASE64`]) beside the readable text.

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A line as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// It was text.
    Valid(&'a str),
    /// It was not: here U+FFFD stands for each run of bytes that is no character.
    Replaced(&'a str),
}

impl<'a> Decoded<'a> {
    /// The text.
    #[must_use]
    pub fn text(self) -> &'a str {
        match self {
            Self::Valid(text) | Self::Replaced(text) => text,
        }
    }
}

/// Reads bytes as text; `buffer` receives what had to be replaced.
#[must_use]
pub fn decode<'a>(bytes: &'a [u8], buffer: &'a mut String) -> Decoded<'a> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Decoded::Valid(text);
    }
    buffer.clear();
    for chunk in bytes.utf8_chunks() {
        buffer.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            buffer.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Decoded::Replaced(buffer)
}

/// The bytes in base64 (RFC 4648, with padding), into `buffer`.
pub fn base64<'a>(bytes: &[u8], buffer: &'a mut String) -> &'a str {
    buffer.clear();
    STANDARD.encode_string(bytes, buffer);
    buffer
}

/// The bytes that [`base64`] made a text of.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
