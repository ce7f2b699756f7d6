//! Reads MessagePack without building a tree: tells where a value ends, and makes JSON of it.
//!
//! Owns: the grammar of MessagePack (msgpack.org specification), the bounds of what a value may become.
//! Does not own: what values mean (`forward`).
//! Invariant: no bytes make it panic, no length that a value claims makes it allocate, nesting is bounded by
//! [`JSON_DEPTH_MAX`] and what comes of a value by [`VALUE_BYTES_MAX`].

use std::io::Write;

use rmp::Marker;
use sawyer_model::Timestamp;
use sawyer_model::limits::VALUE_BYTES_MAX;

use crate::json::JSON_DEPTH_MAX;
use crate::json_out::write_string;
use crate::text::{Decoded, base64, decode};
use crate::time::write_rfc3339;

#[cfg(test)]
mod tests;

/// The extension type by which Fluentd tells times to the nanosecond.
const EVENT_TIME: i8 = 0;

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MsgpackError {
    /// They end within a value.
    #[error("the bytes end within a value")]
    Short,
    /// A byte that begins no value.
    #[error("byte 0xc1 begins no value")]
    Reserved,
    /// Objects and lists lie too deep in each other.
    #[error("values lie more than {JSON_DEPTH_MAX} deep in each other")]
    Deep,
    /// The value is longer than what is kept of one record.
    #[error("a value of more than {VALUE_BYTES_MAX} bytes")]
    Long,
    /// A key is a list or an object.
    #[error("a key that is neither text nor a number")]
    Key,
}

/// A value, or the beginning of one whose parts follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// Nil.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond the range of [`Token::Int`].
    Big(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text, which need not be UTF-8; or bytes, which older clients use for text.
    Str(&'a [u8]),
    /// An extension: its type and its bytes.
    Ext(i8, &'a [u8]),
    /// A list of so many values, which follow.
    Array(u32),
    /// An object of so many keys and values, which follow.
    Map(u32),
}

impl Token<'_> {
    /// How many values follow as its parts.
    fn parts(self) -> u64 {
        match self {
            Self::Array(count) => u64::from(count),
            Self::Map(count) => 2 * u64::from(count),
            _ => 0,
        }
    }
}

/// Reads values one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From the beginning of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far it has read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// What it has not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next value, or its beginning.
    ///
    /// # Errors
    /// `Short` if the bytes end before, or `Reserved`; nothing was read then.
    pub fn token(&mut self) -> Result<Token<'a>, MsgpackError> {
        let start = self.at;
        let token = self.read();
        if token.is_err() {
            self.at = start;
        }
        token
    }

    /// Passes over a whole value; gives its bytes.
    ///
    /// # Errors
    /// As of [`Reader::token`].
    pub fn skip(&mut self) -> Result<&'a [u8], MsgpackError> {
        let start = self.at;
        let mut wanted: u64 = 1;
        while wanted > 0 {
            match self.token() {
                Ok(token) => wanted = wanted - 1 + token.parts(),
                Err(error) => {
                    self.at = start;
                    return Err(error);
                }
            }
        }
        Ok(&self.bytes[start..self.at])
    }

    fn read(&mut self) -> Result<Token<'a>, MsgpackError> {
        let [first] = self.fixed()?;
        Ok(match Marker::from_u8(first) {
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixPos(number) => Token::Int(i64::from(number)),
            Marker::FixNeg(number) => Token::Int(i64::from(number)),
            Marker::U8 => Token::Int(i64::from(u8::from_be_bytes(self.fixed()?))),
            Marker::U16 => Token::Int(i64::from(u16::from_be_bytes(self.fixed()?))),
            Marker::U32 => Token::Int(i64::from(u32::from_be_bytes(self.fixed()?))),
            Marker::U64 => {
                let number = u64::from_be_bytes(self.fixed()?);
                i64::try_from(number).map_or(Token::Big(number), Token::Int)
            }
            Marker::I8 => Token::Int(i64::from(i8::from_be_bytes(self.fixed()?))),
            Marker::I16 => Token::Int(i64::from(i16::from_be_bytes(self.fixed()?))),
            Marker::I32 => Token::Int(i64::from(i32::from_be_bytes(self.fixed()?))),
            Marker::I64 => Token::Int(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => Token::Float(f64::from(f32::from_be_bytes(self.fixed()?))),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(length) => Token::Str(self.take(u32::from(length))?),
            Marker::Str8 | Marker::Bin8 => Token::Str(self.counted::<1>()?),
            Marker::Str16 | Marker::Bin16 => Token::Str(self.counted::<2>()?),
            Marker::Str32 | Marker::Bin32 => Token::Str(self.counted::<4>()?),
            Marker::FixArray(count) => Token::Array(u32::from(count)),
            Marker::Array16 => Token::Array(self.count::<2>()?),
            Marker::Array32 => Token::Array(self.count::<4>()?),
            Marker::FixMap(count) => Token::Map(u32::from(count)),
            Marker::Map16 => Token::Map(self.count::<2>()?),
            Marker::Map32 => Token::Map(self.count::<4>()?),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => {
                let length = self.count::<1>()?;
                self.extension(length)?
            }
            Marker::Ext16 => {
                let length = self.count::<2>()?;
                self.extension(length)?
            }
            Marker::Ext32 => {
                let length = self.count::<4>()?;
                self.extension(length)?
            }
            Marker::Reserved => return Err(MsgpackError::Reserved),
        })
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], MsgpackError> {
        let part = self.rest().get(..length as usize).ok_or(MsgpackError::Short)?;
        self.at += part.len();
        Ok(part)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], MsgpackError> {
        let part = self.rest().first_chunk::<N>().ok_or(MsgpackError::Short)?;
        self.at += N;
        Ok(*part)
    }

    fn count<const N: usize>(&mut self) -> Result<u32, MsgpackError> {
        let bytes: [u8; N] = self.fixed()?;
        Ok(bytes.iter().fold(0, |count, byte| count << 8 | u32::from(*byte)))
    }

    fn counted<const N: usize>(&mut self) -> Result<&'a [u8], MsgpackError> {
        let length = self.count::<N>()?;
        self.take(length)
    }

    fn extension(&mut self, length: u32) -> Result<Token<'a>, MsgpackError> {
        let kind = i8::from_be_bytes(self.fixed()?);
        Ok(Token::Ext(kind, self.take(length)?))
    }
}

/// Finds where a value ends in bytes that are still arriving, without looking at any of them twice.
#[derive(Clone, Copy, Debug)]
pub struct Sizer {
    at: usize,
    wanted: u64,
}

impl Default for Sizer {
    fn default() -> Self {
        Self { at: 0, wanted: 1 }
    }
}

impl Sizer {
    /// Where the first value in `bytes` ends, if it is there to its end. `bytes` begin as they did the last time.
    ///
    /// # Errors
    /// `Reserved` where they are no MessagePack.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, MsgpackError> {
        let mut reader = Reader { bytes, at: self.at.min(bytes.len()) };
        while self.wanted > 0 {
            match reader.token() {
                Ok(token) => self.wanted = self.wanted - 1 + token.parts(),
                Err(MsgpackError::Short) => return Ok(None),
                Err(error) => return Err(error),
            }
            self.at = reader.at;
        }
        Ok(Some(self.at))
    }
}

/// What was amiss with the texts of a value.
#[derive(Clone, Debug, Default)]
pub struct Amiss {
    /// The bytes of the first text that is not UTF-8.
    pub invalid: Option<Vec<u8>>,
}

/// Appends a value as JSON. Times are written in RFC 3339, other extensions in base64, numbers that are not finite
/// as text; in texts that are not UTF-8, U+FFFD stands for what is no character.
///
/// # Errors
/// What keeps it from being JSON; then something may have been appended.
pub fn write_json(reader: &mut Reader<'_>, out: &mut Vec<u8>, amiss: &mut Amiss) -> Result<(), MsgpackError> {
    let mut writer = JsonWriter { out_start: out.len(), out, amiss, text: String::new() };
    writer.value(reader, 0)
}

/// A time as Fluentd tells it: whole seconds, seconds with a fraction, or the extension of seconds and nanoseconds.
#[must_use]
pub fn event_time(token: Token<'_>) -> Option<Timestamp> {
    match token {
        Token::Int(secs) => Some(Timestamp::from_secs(secs)),
        Token::Float(secs) if secs.is_finite() => {
            // Doubles of our days tell microseconds, and no more.
            Some(Timestamp::from_nanos(((secs * 1e6).round() as i64).saturating_mul(1000)))
        }
        Token::Ext(EVENT_TIME, bytes) => {
            let (secs, nanos) = bytes.split_first_chunk::<4>()?;
            let nanos = u32::from_be_bytes(nanos.try_into().ok()?);
            let secs = i64::from(u32::from_be_bytes(*secs));
            Some(Timestamp::from_nanos(secs.checked_mul(1_000_000_000)?.checked_add(i64::from(nanos))?))
        }
        _ => None,
    }
}

struct JsonWriter<'o> {
    out: &'o mut Vec<u8>,
    out_start: usize,
    amiss: &'o mut Amiss,
    text: String,
}

impl JsonWriter<'_> {
    fn value(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), MsgpackError> {
        if depth >= JSON_DEPTH_MAX {
            return Err(MsgpackError::Deep);
        }
        match reader.token()? {
            Token::Nil => self.out.extend_from_slice(b"null"),
            Token::Bool(value) => self.out.extend_from_slice(if value { b"true" } else { b"false" }),
            Token::Int(number) => self.number(number),
            Token::Big(number) => self.number(number),
            // The shortest form that reads back as the same number, with a point or an exponent.
            Token::Float(number) if number.is_finite() => self.number(format_args!("{number:?}")),
            Token::Float(number) => self.number(format_args!("\"{number}\"")),
            Token::Str(bytes) => self.string(bytes),
            token @ Token::Ext(_, bytes) => match event_time(token) {
                Some(time) => {
                    self.out.push(b'"');
                    write_rfc3339(time, self.out);
                    self.out.push(b'"');
                }
                None => write_string(base64(bytes, &mut self.text), self.out),
            },
            Token::Array(count) => self.parts(b"[]", count, |this| this.value(reader, depth + 1))?,
            Token::Map(count) => self.parts(b"{}", count, |this| {
                this.key(reader)?;
                this.out.push(b':');
                this.value(reader, depth + 1)
            })?,
        }
        if self.out.len() - self.out_start > VALUE_BYTES_MAX { Err(MsgpackError::Long) } else { Ok(()) }
    }

    fn parts(
        &mut self,
        ends: &[u8; 2],
        count: u32,
        mut part: impl FnMut(&mut Self) -> Result<(), MsgpackError>,
    ) -> Result<(), MsgpackError> {
        self.out.push(ends[0]);
        for number in 0..count {
            if number > 0 {
                self.out.push(b',');
            }
            part(self)?;
        }
        self.out.push(ends[1]);
        Ok(())
    }

    fn key(&mut self, reader: &mut Reader<'_>) -> Result<(), MsgpackError> {
        match reader.token()? {
            Token::Str(bytes) => self.string(bytes),
            Token::Int(number) => self.number(format_args!("\"{number}\"")),
            Token::Big(number) => self.number(format_args!("\"{number}\"")),
            Token::Bool(value) => self.number(format_args!("\"{value}\"")),
            Token::Float(number) => self.number(format_args!("\"{number}\"")),
            Token::Nil => self.number("\"null\""),
            Token::Ext(..) | Token::Array(_) | Token::Map(_) => return Err(MsgpackError::Key),
        }
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        let decoded = decode(bytes, &mut self.text);
        write_string(decoded.text(), self.out);
        if let Decoded::Replaced(_) = decoded {
            self.amiss.invalid.get_or_insert_with(|| bytes.to_vec());
        }
    }

    fn number(&mut self, number: impl std::fmt::Display) {
        // Writing into memory cannot fail.
        let _ = write!(self.out, "{number}");
    }
}
