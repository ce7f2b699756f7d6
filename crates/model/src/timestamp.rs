//! A point in time: nanoseconds since 1970-01-01T00:00:00Z.

use std::fmt;
use std::time::Duration;

/// Nanoseconds since the Unix epoch, UTC; reaches from the year 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time, or lies outside the years that a [`Timestamp`] reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time such as 2024-06-01T12:34:56Z")]
pub struct NotATimestamp;

impl Timestamp {
    /// The earliest time that can be told.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time that can be told.
    pub const MAX: Self = Self(i64::MAX);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the epoch; times out of reach become [`Self::MIN`] or [`Self::MAX`].
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds since the epoch; times out of reach become [`Self::MIN`] or [`Self::MAX`].
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This time and a span later; saturates.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This time less a span; saturates.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// How much later this is than `earlier`; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        if self <= earlier { Duration::ZERO } else { Duration::from_nanos(self.0.abs_diff(earlier.0)) }
    }

    /// Reads RFC 3339, with any offset.
    ///
    /// # Errors
    /// [`NotATimestamp`] for anything else.
    pub fn parse(text: &str) -> Result<Self, NotATimestamp> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| NotATimestamp)?;
        i64::try_from(instant.as_nanosecond()).map(Self).map_err(|_| NotATimestamp)
    }

    /// The same instant as a [`jiff::Timestamp`].
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .expect("jiff reaches further than i64 nanoseconds")
    }
}

/// RFC 3339 in UTC with as many digits of the second as are needed (0, 3, 6 or 9).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.rem_euclid(1_000_000_000);
        let digits = match nanos {
            0 => 0,
            n if n % 1_000_000 == 0 => 3,
            n if n % 1_000 == 0 => 6,
            _ => 9,
        };
        write!(f, "{:.digits$}", self.to_jiff())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "2024-06-01T12:34:56Z",
            "2026-11-20T09:57:18.627062502Z",
            "1969-12-31T23:59:59.999Z",
            "1970-01-01T00:00:00.000001Z",
            "2262-04-11T23:47:16.854775807Z",
        ] {
            assert_eq!(Timestamp::parse(text).map(|t| t.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn offsets_are_brought_to_utc() {
        assert_eq!(Timestamp::parse("2024-06-01T21:34:56+09:00"), Timestamp::parse("2024-06-01T12:34:56Z"));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for text in ["", "yesterday", "2024-06-01", "9999-01-01T00:00:00Z", "2024-13-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(text), Err(NotATimestamp), "{text}");
        }
    }

    #[test]
    fn the_longest_span_is_told() {
        assert_eq!(Timestamp::MAX.since(Timestamp::MIN), Duration::from_nanos(u64::MAX));
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
    }

    #[test]
    fn extremes_print() {
        assert_eq!(Timestamp::MIN.to_string(), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(Timestamp::MAX.to_string(), "2262-04-11T23:47:16.854775807Z");
    }
}
