//! How values stand in lines.
//!
//! Owns: [`Form`], the ways in which programs write a value. Invariant: a form writes a value in one way only, so that
//! whoever has the value and the form has the text.

use std::fmt::Write;

use sawyer_model::{Timestamp, ValueRef};

/// A way of writing a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text as it is; numbers as short as possible; `true`, `false`, `null`.
    Plain,
    /// Text between the quotes of JSON, with as few escapes as possible.
    Json,
    /// As JSON, with `<`, `>` and `&` escaped too, as Go's `encoding/json` does.
    JsonHtml,
    /// As JSON, with everything beyond ASCII escaped, as Python's `json` does.
    JsonAscii,
    /// Text in capitals.
    Upper,
    /// Text with one capital in front.
    Capital,
    /// A float with at least one digit behind the point.
    Point,
    /// Time since 1970 in units of this many nanoseconds.
    Epoch(Unit),
    /// RFC 3339 in UTC with `Z` and so many digits behind the second.
    Rfc3339(u8),
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
}

/// What `Rfc3339(0)` has for its number.
const RFC_3339: u8 = 16;

impl Form {
    /// All forms that may write a string between quotes of JSON.
    pub(crate) const OF_QUOTED: [Self; 5] =
        [Self::Json, Self::Upper, Self::Capital, Self::JsonHtml, Self::JsonAscii];
    /// All forms that may write a number.
    pub(crate) const OF_NUMBERS: [Self; 2] = [Self::Plain, Self::Point];
    /// All forms that may write a time as a number.
    pub(crate) const OF_EPOCHS: [Self; 4] = [
        Self::Epoch(Unit::Nanoseconds),
        Self::Epoch(Unit::Milliseconds),
        Self::Epoch(Unit::Seconds),
        Self::Epoch(Unit::Microseconds),
    ];

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Json => 1,
            Self::JsonHtml => 2,
            Self::JsonAscii => 3,
            Self::Upper => 4,
            Self::Capital => 5,
            Self::Point => 6,
            Self::Epoch(Unit::Nanoseconds) => 8,
            Self::Epoch(Unit::Microseconds) => 9,
            Self::Epoch(Unit::Milliseconds) => 10,
            Self::Epoch(Unit::Seconds) => 11,
            Self::Rfc3339(digits) => RFC_3339 + digits,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Plain,
            1 => Self::Json,
            2 => Self::JsonHtml,
            3 => Self::JsonAscii,
            4 => Self::Upper,
            5 => Self::Capital,
            6 => Self::Point,
            8 => Self::Epoch(Unit::Nanoseconds),
            9 => Self::Epoch(Unit::Microseconds),
            10 => Self::Epoch(Unit::Milliseconds),
            11 => Self::Epoch(Unit::Seconds),
            RFC_3339..=25 => Self::Rfc3339(number - RFC_3339),
            _ => return None,
        })
    }

    /// Appends a value in this form; says whether it can be written so.
    pub(crate) fn put(self, value: ValueRef<'_>, out: &mut String) -> bool {
        match (self, value) {
            (Self::Plain, ValueRef::Str(text) | ValueRef::Json(text)) => out.push_str(text),
            (Self::Plain, ValueRef::Int(value)) => out.push_str(itoa::Buffer::new().format(value)),
            (Self::Plain, ValueRef::Float(value)) => put_float(value, out),
            (Self::Plain, ValueRef::Bool(value)) => out.push_str(if value { "true" } else { "false" }),
            (Self::Plain, ValueRef::Null) => out.push_str("null"),
            (Self::Point, ValueRef::Float(value)) => write(out, format_args!("{value:?}")),
            (Self::Json, ValueRef::Str(text)) if self.is_plain(text) => out.push_str(text),
            (Self::Json | Self::JsonHtml | Self::JsonAscii, ValueRef::Str(text)) => {
                self.put_escaped(text, out);
            }
            (Self::Upper, ValueRef::Str(text)) => {
                let start = out.len();
                out.push_str(text);
                out[start..].make_ascii_uppercase();
            }
            (Self::Capital, ValueRef::Str(text)) => {
                let start = out.len();
                out.push_str(text);
                if let Some(first) = out.get_mut(start..start + 1) {
                    first.make_ascii_uppercase();
                }
            }
            (Self::Epoch(unit), ValueRef::Timestamp(time)) => return put_epoch(time, unit, out),
            (Self::Rfc3339(digits), ValueRef::Timestamp(time)) => return put_rfc_3339(time, digits, out),
            _ => return false,
        }
        true
    }

    fn put_escaped(self, text: &str, out: &mut String) {
        let mut rest = text;
        loop {
            let (before, from) = rest.split_at(self.first_escaped(rest.as_bytes()));
            out.push_str(before);
            let Some(letter) = from.chars().next() else { return };
            put_escape(letter, out);
            rest = &from[letter.len_utf8()..];
        }
    }

    /// Whether a text between quotes of JSON is written as it is. Says no where that is not sure.
    #[inline(always)]
    pub(crate) fn is_plain(self, text: &str) -> bool {
        self == Self::Json && sawyer_codec::json_out::is_plain(text.as_bytes())
    }

    /// Where the first letter is that has to be escaped; the length if there is none.
    fn first_escaped(self, text: &[u8]) -> usize {
        let is_escaped = |byte: u8| match byte {
            b'"' | b'\\' | 0..0x20 => true,
            b'<' | b'>' | b'&' => self == Self::JsonHtml,
            0x7f.. => self == Self::JsonAscii,
            _ => false,
        };
        text.iter().position(|byte| is_escaped(*byte)).unwrap_or(text.len())
    }
}

fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes anything");
}

/// A float as Rust writes it. One with few digits is told from them: different decimal numbers of at most 15 digits are different
/// floats, so that one without needless zeros is the shortest for its float.
fn put_float(value: f64, out: &mut String) {
    const DIGITS_MAX: usize = 3;
    const POWERS: [u64; DIGITS_MAX + 1] = [1, 10, 100, 1000];
    const WHOLE_MAX: f64 = 1e12;
    if value > 0.0 && value < WHOLE_MAX {
        for (digits, power) in POWERS.into_iter().enumerate() {
            let number = (value * power as f64 + 0.5) as u64;
            // Both are exact, so the quotient is the float nearest to the decimal number.
            if number as f64 / power as f64 == value {
                out.push_str(itoa::Buffer::new().format(number / power));
                if digits > 0 {
                    let mut text = [b'.'; DIGITS_MAX + 1];
                    put_digits(&mut text[1..=digits], (number % power) as i64);
                    out.push_str(str::from_utf8(&text[..=digits]).expect("digits are text"));
                }
                return;
            }
        }
    }
    write(out, format_args!("{value}"));
}

fn put_escape(letter: char, out: &mut String) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                write(out, format_args!("\\u{unit:04x}"));
            }
        }
    }
}

fn put_epoch(time: Timestamp, unit: Unit, out: &mut String) -> bool {
    let count = unit.count(time);
    if let Some(count) = count {
        out.push_str(itoa::Buffer::new().format(count));
    }
    count.is_some()
}

impl Unit {
    /// How many there are since 1970, if no part of one is left.
    #[inline]
    pub(crate) fn count(self, time: Timestamp) -> Option<i64> {
        let nanos = match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
        };
        (time.nanos() % nanos == 0).then_some(time.nanos() / nanos)
    }
}

/// Writes a number into the whole of a place, with zeros in front.
fn put_digits(place: &mut [u8], mut number: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// As a clock in Greenwich shows it; only if no digit is left out that is not zero.
fn put_rfc_3339(time: Timestamp, digits: u8, out: &mut String) -> bool {
    const NANOS: i64 = 1_000_000_000;
    let (seconds, nanos) = (time.nanos().div_euclid(NANOS), time.nanos().rem_euclid(NANOS));
    let unit = 10_i64.pow(9 - u32::from(digits.min(9)));
    if digits > 9 || nanos % unit != 0 {
        return false;
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    if !(0..10_000).contains(&year) {
        write(out, format_args!("{year:04}-{month:02}-{day:02}"));
    } else {
        let mut text = *b"0000-00-00";
        put_digits(&mut text[..4], year);
        put_digits(&mut text[5..7], month);
        put_digits(&mut text[8..], day);
        out.push_str(str::from_utf8(&text).expect("digits are text"));
    }
    let mut text = *b"T00:00:00.000000000";
    put_digits(&mut text[1..3], hour);
    put_digits(&mut text[4..6], minute);
    put_digits(&mut text[7..9], second);
    let end = if digits > 0 { 10 + usize::from(digits) } else { 9 };
    put_digits(&mut text[10.min(end)..end], nanos / unit);
    out.push_str(str::from_utf8(&text[..end]).expect("digits are text"));
    out.push('Z');
    true
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar. After Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms" (2013).
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march = days + 719_468;
    let era = from_march.div_euclid(146_097);
    let day_of_era = from_march.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
