//! A value of a query, read in every way that a field may need.
//!
//! Owns: what a text says as number, time and severity. Does not own: comparing (`test`).

use jiff::tz::TimeZone;
use sawyer_model::{Level, Timestamp};

use crate::fold::{equals, fold};
use crate::number::Number;
use crate::time::parse_span;

/// Under which circumstances a query is read: what `now` is, and in which zone times without one are.
#[derive(Clone, Debug)]
pub struct Context {
    /// What `now` means.
    pub now: Timestamp,
    /// The zone of times that name none, and of days.
    pub time_zone: TimeZone,
}

/// A value with all that it may mean.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operand {
    pub(super) text: Box<str>,
    pub(super) folded: Box<str>,
    pub(super) number: Option<Number>,
    /// First and last nanosecond.
    pub(super) instant: Option<(Timestamp, Timestamp)>,
    pub(super) level: Option<Level>,
}

impl Default for Context {
    fn default() -> Self {
        Self { now: Timestamp::EPOCH, time_zone: TimeZone::UTC }
    }
}

impl Operand {
    pub(super) fn new(text: &str, context: &Context) -> Self {
        Self {
            text: text.into(),
            folded: fold(text).into(),
            number: Number::parse(text),
            instant: parse_span(text, context.now, &context.time_zone).ok(),
            level: Level::from_name(text),
        }
    }

    pub(super) fn equals(&self, text: &str) -> bool {
        equals(text, &self.folded)
    }

    pub(super) fn is_number(&self, number: Number) -> bool {
        self.number.is_some_and(|own| own.equals(number))
    }

    pub(super) fn is_relative_time(&self) -> bool {
        self.text.starts_with("now") || self.text.contains("||")
    }
}

/// The time that a string says, if it is written as RFC 3339.
pub(super) fn written_time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let likely = bytes.len() >= 20 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
    likely.then(|| Timestamp::parse(text).ok()).flatten()
}
