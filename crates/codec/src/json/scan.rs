//! The tokens of JSON.
//!
//! Owns: strings with their escapes, the grammar of numbers, skipping over whole values.
//! Does not own: what a value becomes.
//! Invariant: offsets of texts lie on character boundaries whenever the bytes are UTF-8.

use super::{JSON_DEPTH_MAX, JsonError};

/// A string without its quotes, as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether there are escapes in it.
    pub(crate) escaped: bool,
}

/// A place in JSON text.
pub(crate) struct Scanner<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

/// An error without its words: the cold path finds those.
pub(crate) type Expected = &'static str;

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips white space and gives the byte that follows it, without taking it.
    #[inline]
    pub(crate) fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte,
            }
        }
    }

    /// Takes this byte after white space.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, expected: Expected) -> Result<(), Expected> {
        if self.token() != Some(byte) {
            return Err(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// The error at this place in words.
    #[cold]
    pub(crate) fn error(&self, expected: Expected) -> JsonError {
        let before = self.bytes.get(..self.at).unwrap_or(self.bytes);
        let column = before.iter().filter(|byte| **byte & 0xC0 != 0x80).count() + 1;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let shown = String::from_utf8_lossy(&rest[..rest.len().min(4)]);
        let found = match shown.chars().next() {
            None => "the end of the line".to_owned(),
            Some(char) if char.is_control() => format!("`{}`", char.escape_default()),
            Some(char) => format!("`{char}`"),
        };
        JsonError { column, expected, found }
    }

    /// Takes a string; the place is at its opening quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text, Expected> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += find_special(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Text { start, end, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                None => return Err("`\"`"),
                Some(_) => return Err("a control character to be escaped"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Expected> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err("four hexadecimal digits");
                    }
                    self.at += 1;
                }
            }
            _ => return Err("an escape such as `\\n`"),
        }
        Ok(())
    }

    /// Takes a number; says whether it is an integer.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<bool, Expected> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(integer)
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Expected> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err("a digit") } else { Ok(()) }
    }

    /// Takes `true`, `false` or `null`.
    pub(crate) fn word(&mut self, word: &'static str) -> Result<(), Expected> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err("a value");
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes a whole value; says whether it is an array or object with arrays or objects in it.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<bool, Expected> {
        let first = self.token();
        match first {
            Some(b'"') => self.string().map(|_| false),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| false),
            Some(b't') => self.word("true").map(|()| false),
            Some(b'f') => self.word("false").map(|()| false),
            Some(b'n') => self.word("null").map(|()| false),
            Some(b'{' | b'[') if depth >= JSON_DEPTH_MAX => Err("at most 256 levels of nesting"),
            Some(b'{') => self.skip_members(depth),
            Some(b'[') => self.skip_elements(depth),
            _ => Err("a value"),
        }
    }

    fn skip_members(&mut self, depth: usize) -> Result<bool, Expected> {
        let mut nested = false;
        self.at += 1;
        if self.token() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        loop {
            if self.token() != Some(b'"') {
                return Err("a name in quotes");
            }
            self.string()?;
            self.expect(b':', "`:`")?;
            nested |= matches!(self.token(), Some(b'{' | b'['));
            self.skip(depth + 1)?;
            if self.separator(b'}', "`,` or `}`")? {
                return Ok(nested);
            }
        }
    }

    fn skip_elements(&mut self, depth: usize) -> Result<bool, Expected> {
        let mut nested = false;
        self.at += 1;
        if self.token() == Some(b']') {
            self.at += 1;
            return Ok(false);
        }
        loop {
            nested |= matches!(self.token(), Some(b'{' | b'['));
            self.skip(depth + 1)?;
            if self.separator(b']', "`,` or `]`")? {
                return Ok(nested);
            }
        }
    }

    /// Takes a comma or the end of an array or object; says whether it was the end.
    #[inline]
    pub(crate) fn separator(&mut self, end: u8, expected: Expected) -> Result<bool, Expected> {
        match self.token() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(expected),
        }
    }
}

/// Whether a byte cannot stand in a string as it is; without a branch, so that it is told of many bytes at once.
#[inline(always)]
pub(crate) const fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// Offset of the first quote, backslash or control character; the length if there is none.
#[inline]
pub(crate) fn find_special(bytes: &[u8]) -> usize {
    const WORDS_FIRST: usize = 4;
    let mut at = 0;
    // Most texts are short: of those a word after the other costs less than what many bytes take at once.
    for word in bytes.as_chunks::<8>().0.iter().take(WORDS_FIRST) {
        let plain = plain_bytes(u64::from_le_bytes(*word));
        at += plain;
        if plain < 8 {
            return at;
        }
    }
    // Many bytes at once, as the compiler can with vector instructions, as long as there is nothing in them.
    for chunk in bytes[at..].as_chunks::<32>().0 {
        if chunk.iter().fold(0, |any, byte| any | u8::from(is_special(*byte))) != 0 {
            break;
        }
        at += 32;
    }
    for chunk in bytes[at..].chunks_exact(8) {
        let plain = plain_bytes(u64::from_le_bytes(chunk.try_into().expect("chunks of eight")));
        at += plain;
        if plain < 8 {
            return at;
        }
    }
    let rest = bytes[at..].iter().position(|byte| is_special(*byte));
    rest.map_or(bytes.len(), |place| at + place)
}

/// How many of eight bytes, lowest first, come before the first quote, backslash or control character.
#[inline]
pub(crate) fn plain_bytes(word: u64) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // Sets the high bit of bytes that are zero; bits above the first such byte may be wrong, those below not.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    ((quote | backslash | control).trailing_zeros() / 8) as usize
}

/// Appends a string with its escapes resolved. Escapes must be well-formed, as [`Scanner::string`] leaves them;
/// surrogates without their other half become U+FFFD.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(place) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..place]);
        rest = rest.get(place + 1..).unwrap_or_default();
        let Some((&kind, after)) = rest.split_first() else { return };
        rest = after;
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => rest = unescape_unicode(rest, out),
            other => out.push(other),
        }
    }
    out.extend_from_slice(rest);
}

/// Takes the digits after `\u`, and a second half if this is the first of two; gives what follows.
fn unescape_unicode<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut after = rest.get(4..).unwrap_or_default();
    let unit = hex4(rest);
    let mut code = unit;
    if (0xD800..0xDC00).contains(&unit) && after.starts_with(b"\\u") {
        let low = hex4(&after[2..]);
        if (0xDC00..0xE000).contains(&low) {
            code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            after = after.get(6..).unwrap_or_default();
        }
    }
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    after
}

fn hex4(bytes: &[u8]) -> u32 {
    let digits = bytes.get(..4).unwrap_or_default().iter();
    digits.fold(0, |code, byte| code * 16 + char::from(*byte).to_digit(16).unwrap_or(0))
}
