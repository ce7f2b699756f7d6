//! Values as strings, without allocating.
//!
//! Invariant: numbers have the form that JSON answers have; times are RFC 3339 in UTC.

use std::fmt::Write;

use sawyer_model::ValueRef;

/// Enough for any number or time; what did not fit would not be compared.
const BYTES_MAX: usize = 64;
/// From here on floats are written with an exponent.
const PLAIN_FLOAT_MAX: f64 = 1e16;
const PLAIN_FLOAT_MIN: f64 = 1e-5;

/// A value's string.
pub(super) enum Rendered<'a> {
    Borrowed(&'a str),
    Written(Buffer),
}

pub(super) struct Buffer {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl<'a> Rendered<'a> {
    /// Of a value that has one: not of null, lists and objects.
    pub(super) fn of(value: ValueRef<'a>) -> Option<Self> {
        let mut buffer = Buffer { bytes: [0; BYTES_MAX], length: 0 };
        match value {
            ValueRef::Str(text) => return Some(Self::Borrowed(text)),
            ValueRef::Bool(value) => return Some(Self::Borrowed(if value { "true" } else { "false" })),
            ValueRef::Int(int) => write!(buffer, "{int}"),
            ValueRef::Float(float) if is_plain(float) => write!(buffer, "{float}"),
            ValueRef::Float(float) => write!(buffer, "{float:?}"),
            ValueRef::Timestamp(time) => write!(buffer, "{time}"),
            ValueRef::Null | ValueRef::List(_) | ValueRef::Json(_) => return None,
        }
        .ok()?;
        Some(Self::Written(buffer))
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Written(buffer) => {
                str::from_utf8(&buffer.bytes[..buffer.length]).expect("only whole strings are written")
            }
        }
    }
}

fn is_plain(float: f64) -> bool {
    float == 0.0 || (PLAIN_FLOAT_MIN..PLAIN_FLOAT_MAX).contains(&float.abs())
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit() {
        for (value, text) in [
            (ValueRef::Int(i64::MIN), "-9223372036854775808"),
            (ValueRef::Float(500.0), "500"),
            (ValueRef::Float(1e300), "1e300"),
            (ValueRef::Float(-f64::MIN_POSITIVE), "-2.2250738585072014e-308"),
            (ValueRef::Float(0.1), "0.1"),
            (ValueRef::Bool(true), "true"),
        ] {
            assert_eq!(Rendered::of(value).unwrap().as_str(), text);
        }
    }
}
