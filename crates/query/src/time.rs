//! Times as people write them in queries and parameters.
//!
//! A time is `now`, a date, RFC 3339 with or without its later parts and its zone, or a number since the epoch, told
//! apart by magnitude. After `now`, or after `||` behind anything else, comes date math as in Elasticsearch:
//! `now-1d/d`, `2026-11-20||+1M/M`. Units are `y M w d h H m s`.
//!
//! Owns: [`parse_instant`], [`parse_span`], [`parse_interval`]. Does not own: the clock; `now` is given.
//! Invariant: a time names the span from its first to its last nanosecond, and `/unit` widens it to the unit.
//! [`Edge`] says which end is meant. As in Elasticsearch a missing month or day is the first one at both ends, and
//! a missing hour, minute or second is the last one at the upper end.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, ToSpan, Zoned};
use sawyer_model::Timestamp;

/// Longest text that can be a time, in bytes.
const TEXT_BYTES_MAX: usize = 128;
const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Which end of the span that a time names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Its first nanosecond: for `>=`, `<` and the bounds of a search.
    Down,
    /// Its last nanosecond: for `>` and `<=`.
    Up,
}

/// The text is no time, or no interval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Neither a date nor relative to now.
    #[error(
        "expected a time such as now-15m, 2026-11-20T09:00:00Z, 2026-11-20 or seconds since 1970, found `{0}`"
    )]
    NotATime(String),
    /// The part behind `now` or `||` is wrong.
    #[error("expected date math such as -1h or /d (units y M w d h m s), found `{0}`")]
    NotMath(String),
    /// Not a length of time.
    #[error("expected an interval such as 30s, 5m, 1h or 1d, found `{0}`")]
    NotAnInterval(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

/// Reads a time.
///
/// # Errors
/// [`TimeError`] that repeats what was found.
pub fn parse_instant(
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
    edge: Edge,
) -> Result<Timestamp, TimeError> {
    let text = text.trim();
    let wrong = || TimeError::NotATime(snippet(text));
    if text.len() > TEXT_BYTES_MAX {
        return Err(wrong());
    }
    let (base, math) = match text.strip_prefix("now") {
        Some(math) => (now.to_jiff().to_zoned(zone.clone()), math),
        None => {
            let (date, math) = text.split_once("||").unwrap_or((text, ""));
            let edge = if math.is_empty() { edge } else { Edge::Down };
            if math.is_empty()
                && let Some(nanos) = parse_epoch(date, edge)
            {
                return Ok(saturated(nanos));
            }
            (parse_date(date, zone, edge).ok_or_else(wrong)?, math)
        }
    };
    let moved = apply_math(base, math, edge).ok_or_else(|| TimeError::NotMath(snippet(math)))?;
    Ok(saturated(moved.timestamp().as_nanosecond()))
}

/// Reads a time and gives the first and last nanosecond that it names.
///
/// # Errors
/// As for [`parse_instant`].
pub fn parse_span(text: &str, now: Timestamp, zone: &TimeZone) -> Result<(Timestamp, Timestamp), TimeError> {
    Ok((parse_instant(text, now, zone, Edge::Down)?, parse_instant(text, now, zone, Edge::Up)?))
}

/// Reads a length of time: `500ms`, `30s`, `5m`, `1h`, `1d`, `1w`, or several of them, `1h30m`. Never zero.
///
/// # Errors
/// [`TimeError::NotAnInterval`].
pub fn parse_interval(text: &str) -> Result<Duration, TimeError> {
    let wrong = || TimeError::NotAnInterval(snippet(text));
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (count, behind) = leading_number(rest).ok_or_else(wrong)?;
        let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let unit_nanos: u64 = match &behind[..unit_end] {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return Err(wrong()),
        };
        let nanos =
            u64::try_from(count).ok().and_then(|count| count.checked_mul(unit_nanos)).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_nanos(nanos)).ok_or_else(wrong)?;
        rest = &behind[unit_end..];
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

fn snippet(text: &str) -> String {
    text[..text.floor_char_boundary(48)].to_owned()
}

fn saturated(nanos: i128) -> Timestamp {
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
}

/// A number since the epoch: seconds up to 11 digits, then milliseconds, microseconds, nanoseconds. Up to four
/// digits are a year, or no time. A fraction is of the same unit.
fn parse_epoch(text: &str, edge: Edge) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || whole.len() <= 4 {
        return None;
    }
    let number: i128 = whole.parse().ok().filter(|_| whole.len() <= 20)?;
    let unit = match whole.trim_start_matches('0').len() {
        0..=11 => NANOS_PER_SECOND,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        _ => 1,
    };
    let (part, precision) = fraction_nanos(fraction, unit);
    let nanos = number * unit + part;
    let first = if negative { -nanos } else { nanos };
    Some(if edge == Edge::Up { first + precision - 1 } else { first })
}

/// A fraction in nanoseconds, and how many of them its last digit is.
fn fraction_nanos(digits: &str, unit: i128) -> (i128, i128) {
    let mut precision = unit;
    let mut nanos = 0;
    for digit in digits.bytes() {
        precision /= 10;
        nanos += i128::from(digit - b'0') * precision;
    }
    (nanos, precision.max(1))
}

/// Splits digits off the start.
fn leading_number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// `yyyy[-MM[-dd[Thh[:mm[:ss[.fraction]]]]]][zone]`, with `T` or a space.
fn parse_date(text: &str, zone: &TimeZone, edge: Edge) -> Option<Zoned> {
    let at = text.find(['T', ' ']);
    let (date, rest) = at.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
    // Beyond it jiff knows no instants; both lie beyond what a `Timestamp` reaches.
    let date = parse_day(date)?.min(jiff::civil::date(9999, 12, 29));
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], Some(parse_offset(&rest[at..])?)),
        None => (rest, None),
    };
    if at.is_some() && time.is_empty() && !rest.is_empty() {
        return None;
    }
    let time = parse_time(time, edge)?;
    let zone = offset.map_or_else(|| zone.clone(), TimeZone::fixed);
    zone.to_ambiguous_zoned(DateTime::from_parts(date, time)).compatible().ok()
}

fn parse_day(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| match parts.next() {
        None => Some(1),
        Some(part) if part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()) => {
            part.parse::<i16>().ok()
        }
        Some(_) => None,
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    if parts.next().is_some() {
        return None;
    }
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn parse_time(text: &str, edge: Edge) -> Option<Time> {
    let (text, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let last = edge == Edge::Up;
    let mut parts = text.split(':').filter(|part| !part.is_empty());
    let mut number = |if_missing: i8| match parts.next() {
        None => Some(if last { if_missing } else { 0 }),
        Some(part) if part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) => part.parse::<i8>().ok(),
        Some(_) => None,
    };
    let (hour, minute, second) = (number(23)?, number(59)?, number(59)?);
    if parts.next().is_some() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (nanos, precision) = fraction_nanos(fraction, NANOS_PER_SECOND);
    let nanos = if last { nanos + precision - 1 } else { nanos };
    Time::new(hour, minute, second.min(59), i32::try_from(nanos).ok()?).ok()
}

/// `Z`, `+hh`, `+hh:mm` or `+hhmm`.
fn parse_offset(text: &str) -> Option<Offset> {
    if text.eq_ignore_ascii_case("z") {
        return Some(Offset::UTC);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = digits[2..].parse().unwrap_or(0);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

fn apply_math(mut time: Zoned, math: &str, edge: Edge) -> Option<Zoned> {
    let mut rest = math;
    while let Some(sign) = rest.chars().next() {
        rest = &rest[sign.len_utf8()..];
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = if digits == 0 { 1 } else { rest[..digits].parse().ok()? };
        let (unit, behind) = take_unit(&rest[digits..])?;
        time = match sign {
            '+' => time.checked_add(unit.span(count)?).ok()?,
            '-' => time.checked_sub(unit.span(count)?).ok()?,
            '/' if digits == 0 => unit.rounded(&time, edge)?,
            _ => return None,
        };
        rest = behind;
    }
    Some(time)
}

fn take_unit(text: &str) -> Option<(Unit, &str)> {
    let unit = match text.as_bytes().first()? {
        b'y' => Unit::Year,
        b'M' => Unit::Month,
        b'w' => Unit::Week,
        b'd' => Unit::Day,
        b'h' | b'H' => Unit::Hour,
        b'm' => Unit::Minute,
        b's' => Unit::Second,
        _ => return None,
    };
    Some((unit, &text[1..]))
}

impl Unit {
    fn span(self, count: i64) -> Option<Span> {
        let span = Span::new();
        match self {
            Self::Year => span.try_years(count),
            Self::Month => span.try_months(count),
            Self::Week => span.try_weeks(count),
            Self::Day => span.try_days(count),
            Self::Hour => span.try_hours(count),
            Self::Minute => span.try_minutes(count),
            Self::Second => span.try_seconds(count),
        }
        .ok()
    }

    fn rounded(self, time: &Zoned, edge: Edge) -> Option<Zoned> {
        let first = match self {
            Self::Year => time.first_of_year().ok()?.start_of_day().ok()?,
            Self::Month => time.first_of_month().ok()?.start_of_day().ok()?,
            Self::Week => {
                let days = i64::from(time.weekday().to_monday_zero_offset());
                time.checked_sub(days.days()).ok()?.start_of_day().ok()?
            }
            Self::Day => time.start_of_day().ok()?,
            Self::Hour => time.with().minute(0).second(0).subsec_nanosecond(0).build().ok()?,
            Self::Minute => time.with().second(0).subsec_nanosecond(0).build().ok()?,
            Self::Second => time.with().subsec_nanosecond(0).build().ok()?,
        };
        match edge {
            Edge::Down => Some(first),
            Edge::Up => first.checked_add(self.span(1)?).ok()?.checked_sub(1.nanoseconds()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let now = Timestamp::parse("2026-11-20T09:57:18.627062502Z").unwrap();
        match parse_span(text, now, &TimeZone::UTC) {
            Ok((first, last)) if first == last => first.to_string(),
            Ok((first, last)) => format!("{first} … {last}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn times_relative_to_now() {
        insta::assert_snapshot!(check("now"), @"2026-11-20T09:57:18.627062502Z");
        insta::assert_snapshot!(check("now-15m"), @"2026-11-20T09:42:18.627062502Z");
        insta::assert_snapshot!(check("now-1d/d"), @"2026-11-19T00:00:00Z … 2026-11-19T23:59:59.999999999Z");
        insta::assert_snapshot!(check("now/w"), @"2026-11-16T00:00:00Z … 2026-11-22T23:59:59.999999999Z");
        insta::assert_snapshot!(check("now+1M/M"), @"2026-12-01T00:00:00Z … 2026-12-31T23:59:59.999999999Z");
        insta::assert_snapshot!(check("now/y"), @"2026-01-01T00:00:00Z … 2026-12-31T23:59:59.999999999Z");
        insta::assert_snapshot!(check("now-1h/h"), @"2026-11-20T08:00:00Z … 2026-11-20T08:59:59.999999999Z");
    }

    #[test]
    fn dates_with_missing_parts() {
        insta::assert_snapshot!(check("2018-04-03"), @"2018-04-03T00:00:00Z … 2018-04-03T23:59:59.999999999Z");
        insta::assert_snapshot!(check("2018-04"), @"2018-04-01T00:00:00Z … 2018-04-01T23:59:59.999999999Z");
        insta::assert_snapshot!(check("2018"), @"2018-01-01T00:00:00Z … 2018-01-01T23:59:59.999999999Z");
        insta::assert_snapshot!(check("2018-04-03T19:04"), @"2018-04-03T19:04:00Z … 2018-04-03T19:04:59.999999999Z");
        insta::assert_snapshot!(check("2018-04-03 19:04:17.12+09:00"), @"2018-04-03T10:04:17.120Z … 2018-04-03T10:04:17.129999999Z");
        insta::assert_snapshot!(check("2014-11-18||/M"), @"2014-11-01T00:00:00Z … 2014-11-30T23:59:59.999999999Z");
        insta::assert_snapshot!(check("2014-11-18||+1d"), @"2014-11-19T00:00:00Z");
        insta::assert_snapshot!(check("9999-12-31"), @"2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn numbers_are_told_apart_by_magnitude() {
        for text in ["1700000000", "1700000000000", "1700000000000000", "1700000000000000000", "1700000000.0"]
        {
            let first = parse_instant(text, Timestamp::EPOCH, &TimeZone::UTC, Edge::Down);
            assert_eq!(first, Ok(Timestamp::from_secs(1_700_000_000)), "{text}");
        }
        insta::assert_snapshot!(check("1700000000123"), @"2023-11-14T22:13:20.123Z … 2023-11-14T22:13:20.123999999Z");
        insta::assert_snapshot!(check("100000.5"), @"1970-01-02T03:46:40.500Z … 1970-01-02T03:46:40.599999999Z");
        assert!(check("0.5").starts_with("expected") && check("500").starts_with("expected"));
    }

    #[test]
    fn the_zone_counts_where_none_is_written() {
        let zone = TimeZone::get("America/Phoenix").unwrap();
        let day = parse_instant("2018-04-03", Timestamp::EPOCH, &zone, Edge::Down).unwrap();
        assert_eq!(day.to_string(), "2018-04-03T07:00:00Z");
    }

    #[test]
    fn says_what_is_wrong() {
        insta::assert_snapshot!(check("yesterday"), @"expected a time such as now-15m, 2026-11-20T09:00:00Z, 2026-11-20 or seconds since 1970, found `yesterday`");
        insta::assert_snapshot!(check("now-1x"), @"expected date math such as -1h or /d (units y M w d h m s), found `-1x`");
        for text in [
            "",
            "2018-4-3",
            "2018-13-01",
            "2018-04-03TZ",
            "2018-04-03T1",
            "now-",
            "now/2d",
            "2018-04-03T10:00:00+9",
        ] {
            assert!(check(text).starts_with("expected"), "{text}: {}", check(text));
        }
    }

    #[test]
    fn intervals() {
        assert_eq!(parse_interval("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_interval("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_interval("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "0s", "5", "m", "-5m", "5 m", "99999999999w", "1M"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }
}
