//! Reads the times that programs write, and writes RFC 3339.
//!
//! Owns: the formats of times in log lines, the year of a time that does not say it, the unit of an epoch number.
//! Does not own: which time a record takes (`body`), clocks (arrival times are passed in).
//! Invariant: reading allocates nothing, never panics, and takes no number for a time that is not plausibly one.
//!
//! A time without a zone is taken as UTC. A leap second is told as the second before it.

use sawyer_model::Timestamp;

mod civil;
mod cursor;

#[cfg(test)]
mod tests;

use civil::{Civil, month_of_name, weekday_of_name};
use cursor::Cursor;

use crate::digits::{leading, no_digits};

/// Seconds since the epoch that an epoch number must reach to be taken for a time (1973); smaller numbers are
/// durations and counters.
const EPOCH_SECS_MIN: f64 = 1e8;

/// Reads an RFC 3339 time at the start of `bytes`, with any offset and any number of digits of the second;
/// gives it and its length.
#[must_use]
pub fn rfc3339_prefix(bytes: &[u8]) -> Option<(Timestamp, usize)> {
    usual(bytes).or_else(|| strict(bytes))
}

fn strict(bytes: &[u8]) -> Option<(Timestamp, usize)> {
    let mut cursor = Cursor::new(bytes);
    let year = cursor.digits4()?;
    cursor.byte(b'-')?;
    let month = cursor.digits2()?;
    cursor.byte(b'-')?;
    let mut civil = Civil::date(year, month, cursor.digits2()?)?;
    if !matches!(cursor.next()?, b'T' | b't') {
        return None;
    }
    clock(&mut cursor, &mut civil)?;
    if cursor.peek() == Some(b'.') {
        civil.nanos = fraction(&mut cursor)?;
    }
    civil.offset_secs = offset(&mut cursor)?;
    Some((civil.timestamp()?, cursor.at))
}

/// Reads a text that is wholly a time in one of the known formats: RFC 3339 and its relatives (space for `T`,
/// comma for the point, `/` or `.` in the date, no zone, ` UTC`), `20/Nov/2026:10:00:00 +0000`,
/// `Fri, 20 Nov 2026 10:00:00 GMT`, `Fri Nov 20 10:00:00 2026`, `20 Nov 2026 10:00:00`, `Nov 20 10:00:00`
/// (the year nearest to `observed`), or an epoch number in digits.
#[must_use]
pub fn parse(text: &str, observed: Timestamp) -> Option<Timestamp> {
    let text = text.trim_ascii();
    match prefix(text, observed) {
        Some((time, length)) if length == text.len() => Some(time),
        Some(_) => None,
        None => epoch_text(text),
    }
}

/// Reads a time at the start of `text` in any of the formats of [`parse`] but epoch numbers; gives it and its
/// length. What follows is not part of a word or number.
#[must_use]
pub fn prefix(text: &str, observed: Timestamp) -> Option<(Timestamp, usize)> {
    let bytes = text.as_bytes();
    let first = *bytes.first()?;
    let (time, length) = if first.is_ascii_digit() {
        iso(bytes).or_else(|| common_log(bytes)).or_else(|| day_first(bytes))?
    } else if first.is_ascii_uppercase() {
        month_first(bytes, observed).or_else(|| weekday_first(bytes, observed))?
    } else {
        return None;
    };
    let open = bytes.get(length).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    open.then_some((time, length))
}

/// Reads the time of a klog header, `1120 09:43:55.695860`, at the start of `bytes`; gives it and its length.
#[must_use]
pub fn klog_prefix(bytes: &[u8], observed: Timestamp) -> Option<(Timestamp, usize)> {
    let mut cursor = Cursor::new(bytes);
    let (month, day) = (cursor.digits2()?, cursor.digits2()?);
    cursor.byte(b' ')?;
    let mut civil = Civil { month, day, ..Civil::default() };
    clock(&mut cursor, &mut civil)?;
    if cursor.peek() == Some(b'.') {
        civil.nanos = fraction(&mut cursor)?;
    }
    Some((civil.nearest_year(observed)?, cursor.at))
}

/// An epoch number, told apart by magnitude: seconds, milliseconds, microseconds or nanoseconds. `None` for
/// numbers that would lie before 1973 in seconds, or between two units.
#[must_use]
pub fn from_epoch(number: i64) -> Option<Timestamp> {
    let nanos = match number {
        100_000_000..10_000_000_000 => number.checked_mul(1_000_000_000)?,
        100_000_000_000..10_000_000_000_000 => number.checked_mul(1_000_000)?,
        100_000_000_000_000..10_000_000_000_000_000 => number.checked_mul(1_000)?,
        100_000_000_000_000_000.. => number,
        _ => return None,
    };
    Some(Timestamp::from_nanos(nanos))
}

/// An epoch number with a fraction: seconds (read to the microsecond) or milliseconds; see [`from_epoch`].
#[must_use]
pub fn from_epoch_float(number: f64) -> Option<Timestamp> {
    let micros = if (EPOCH_SECS_MIN..1e10).contains(&number) {
        number * 1e6
    } else if (EPOCH_SECS_MIN * 1e3..1e13).contains(&number) {
        number * 1e3
    } else {
        return None;
    };
    Some(Timestamp::from_nanos((micros.round() as i64).checked_mul(1_000)?))
}

/// Appends the time in RFC 3339, UTC, with 0, 3, 6 or 9 digits of the second, as many as it needs.
pub fn write_rfc3339(time: Timestamp, out: &mut Vec<u8>) {
    TimeWriter::default().write(time, out);
}

/// Writes times as [`write_rfc3339`] does, for less where many lie in the same second.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeWriter {
    /// The second of the last time, since the epoch.
    second: Option<i64>,
    /// Its text.
    head: [u8; 20],
}

impl TimeWriter {
    /// Appends a time.
    pub fn write(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        let nanos = time.nanos();
        let (second, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000) as u32);
        if self.second != Some(second) {
            self.second = Some(second);
            self.head = head_of(second);
        }
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        text[..20].copy_from_slice(&self.head);
        let [millis, micros, nanos] = [rest / 1_000_000, rest / 1_000 % 1_000, rest % 1_000];
        let len = match (millis, micros, nanos) {
            (0, 0, 0) => 19,
            (_, 0, 0) => 23,
            (_, _, 0) => 26,
            _ => 29,
        };
        put(&mut text[20..23], millis);
        put(&mut text[23..26], micros);
        put(&mut text[26..29], nanos);
        text[len] = b'Z';
        // Copied whole, which is no call.
        out.extend_from_slice(&text);
        out.truncate(out.len() - (text.len() - 1 - len));
    }
}

/// A second since the epoch as it is written, with the point behind it.
fn head_of(second: i64) -> [u8; 20] {
    let (days, second) = (second.div_euclid(86_400), second.rem_euclid(86_400) as u32);
    let (year, month, day) = civil::of_days(days);
    let mut text = *b"0000-00-00T00:00:00.";
    put(&mut text[0..4], year as u32);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], second / 3600);
    put(&mut text[14..16], second / 60 % 60);
    put(&mut text[17..19], second % 60);
    text
}

/// Writes a number into the whole of `place`, with leading zeros.
fn put(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The form in which nearly all times come, `2024-06-01T12:34:56.123456789Z` with up to nine digits of the second, read
/// eight bytes at a time; none of others, and of what is no time.
fn usual(bytes: &[u8]) -> Option<(Timestamp, usize)> {
    let head = bytes.first_chunk::<20>()?;
    let word = |at: usize| head[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    let (date, day, clock) =
        (pairs(word(0), b"0000-00-")?, pairs(word(8), b"00T00:00")?, pairs(word(11), b"00:00:00")?);
    let mut civil = Civil::date(date[0] * 100 + date[2], date[5], day[0])?;
    (civil.hour, civil.minute, civil.second) = (clock[0], clock[3], clock[6]);
    if civil.hour > 23 || civil.minute > 59 || civil.second > 60 {
        return None;
    }
    let end = match head[19] {
        b'Z' => 19,
        b'.' => {
            let (nanos, count) = usual_fraction(&bytes[20..])?;
            civil.nanos = nanos;
            20 + count
        }
        _ => return None,
    };
    (bytes.get(end) == Some(&b'Z')).then_some((civil.timestamp()?, end + 1))
}

/// The numbers that two digits beside each other make, by the place of the first, of text in which everything else is as in
/// `form`.
#[inline]
fn pairs(text: u64, form: &[u8; 8]) -> Option<[u32; 8]> {
    let digits = text ^ u64::from_le_bytes(*form);
    let marks = u64::from_le_bytes(form.map(|byte| if byte == b'0' { 0 } else { 0xff }));
    let fits = no_digits(digits) == 0 && digits & marks == 0;
    // At most 99 in each byte.
    fits.then(|| (digits * 10 + (digits >> 8)).to_le_bytes().map(u32::from))
}

/// One to nine digits behind the point, as nanoseconds, and how many they are.
#[inline]
fn usual_fraction(bytes: &[u8]) -> Option<(u32, usize)> {
    let Some(first) = bytes.first_chunk::<8>() else { return short_fraction(bytes) };
    let (number, count) = leading(first);
    match bytes.get(8).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        Some(digit) if count == 8 => Some((number * 10 + u32::from(digit), 9)),
        _ => (count > 0).then(|| (number * 10_u32.pow(9 - count as u32), count)),
    }
}

fn short_fraction(bytes: &[u8]) -> Option<(u32, usize)> {
    let digits = bytes.iter().take(9).take_while(|byte| byte.is_ascii_digit());
    let (number, count) =
        digits.fold((0, 0), |(number, count), byte| (number * 10 + u32::from(byte - b'0'), count + 1));
    (count > 0).then(|| (number * 10_u32.pow(9 - count), count as usize))
}

/// `12:34:56`
fn clock(cursor: &mut Cursor<'_>, civil: &mut Civil) -> Option<()> {
    civil.hour = cursor.digits2()?;
    cursor.byte(b':')?;
    civil.minute = cursor.digits2()?;
    cursor.byte(b':')?;
    civil.second = cursor.digits2()?;
    (civil.hour < 24 && civil.minute < 60 && civil.second <= 60).then_some(())
}

/// A separator and at least one digit; digits beyond nanoseconds are dropped.
fn fraction(cursor: &mut Cursor<'_>) -> Option<u32> {
    cursor.next()?;
    let (mut nanos, mut count) = (0, 0);
    while let Some(digit) = cursor.peek().filter(u8::is_ascii_digit) {
        if count < 9 {
            nanos = nanos * 10 + u32::from(digit - b'0');
        }
        count += 1;
        cursor.at += 1;
    }
    (count > 0).then(|| nanos * 10_u32.pow(9 - count.min(9)))
}

/// A fraction, if there is one after a point or comma (or a colon before three digits).
fn loose_fraction(cursor: &mut Cursor<'_>) -> u32 {
    let start = cursor.at;
    if !matches!(cursor.peek(), Some(b'.' | b',' | b':')) {
        return 0;
    }
    fraction(cursor).unwrap_or_else(|| {
        cursor.at = start;
        0
    })
}

/// `Z`, `+09:00`, `-0330` or `+09`, in seconds east of Greenwich.
fn offset(cursor: &mut Cursor<'_>) -> Option<i32> {
    let sign = match cursor.next()? {
        b'Z' | b'z' => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = cursor.digits2()?;
    let mut minutes = 0;
    if cursor.peek() == Some(b':') {
        cursor.at += 1;
        minutes = cursor.digits2()?;
    } else if cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        minutes = cursor.digits2()?;
    }
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i32)
}

/// An offset, ` UTC`, ` GMT`, or nothing: then UTC.
fn loose_offset(cursor: &mut Cursor<'_>) -> i32 {
    let start = cursor.at;
    if cursor.peek() == Some(b' ') {
        cursor.at += 1;
        if cursor.word(b"UTC") || cursor.word(b"GMT") {
            return 0;
        }
        if !matches!(cursor.peek(), Some(b'+' | b'-'))
            || !cursor.rest().get(1..5).is_some_and(|hour| hour.iter().all(u8::is_ascii_digit))
        {
            cursor.at = start;
            return 0;
        }
    }
    offset(cursor).unwrap_or_else(|| {
        cursor.at = start;
        0
    })
}

/// `2024-06-01T12:34:56.789Z` and its relatives.
fn iso(bytes: &[u8]) -> Option<(Timestamp, usize)> {
    if let Some(found) = usual(bytes) {
        return Some(found);
    }
    let mut cursor = Cursor::new(bytes);
    let year = cursor.digits4()?;
    let separator = cursor.next()?;
    if !matches!(separator, b'-' | b'/' | b'.') {
        return None;
    }
    let month = cursor.digits2()?;
    cursor.byte(separator)?;
    let mut civil = Civil::date(year, month, cursor.digits2()?)?;
    if !matches!(cursor.next()?, b'T' | b't' | b' ' | b'_') {
        return None;
    }
    clock(&mut cursor, &mut civil)?;
    civil.nanos = loose_fraction(&mut cursor);
    civil.offset_secs = loose_offset(&mut cursor);
    Some((civil.timestamp()?, cursor.at))
}

/// `20/Nov/2026:10:00:00 +0000`, as access logs have it.
fn common_log(bytes: &[u8]) -> Option<(Timestamp, usize)> {
    let mut cursor = Cursor::new(bytes);
    let day = cursor.digits2()?;
    cursor.byte(b'/')?;
    let month = month_of_name(cursor.take(3)?)?;
    cursor.byte(b'/')?;
    let mut civil = Civil::date(cursor.digits4()?, month, day)?;
    cursor.byte(b':')?;
    clock(&mut cursor, &mut civil)?;
    civil.nanos = loose_fraction(&mut cursor);
    civil.offset_secs = loose_offset(&mut cursor);
    Some((civil.timestamp()?, cursor.at))
}

/// `20 Nov 2026 10:00:00.000`, as redis and RFC 2822 have it.
fn day_first(bytes: &[u8]) -> Option<(Timestamp, usize)> {
    let mut cursor = Cursor::new(bytes);
    let day = cursor.digits1or2()?;
    let separator = cursor.next().filter(|byte| matches!(byte, b' ' | b'-'))?;
    let month = month_of_name(cursor.take(3)?)?;
    cursor.byte(separator)?;
    let mut civil = Civil::date(cursor.digits4()?, month, day)?;
    cursor.byte(b' ')?;
    clock(&mut cursor, &mut civil)?;
    civil.nanos = loose_fraction(&mut cursor);
    civil.offset_secs = loose_offset(&mut cursor);
    Some((civil.timestamp()?, cursor.at))
}

/// `Nov 20 10:00:00`, as syslog has it, or with a year: `Nov 20 10:00:00 2026`.
fn month_first(bytes: &[u8], observed: Timestamp) -> Option<(Timestamp, usize)> {
    let mut cursor = Cursor::new(bytes);
    let month = month_of_name(cursor.take(3)?)?;
    cursor.byte(b' ')?;
    if cursor.peek() == Some(b' ') {
        cursor.at += 1;
    }
    let mut civil = Civil { month, day: cursor.digits1or2()?, ..Civil::default() };
    cursor.byte(b' ')?;
    clock(&mut cursor, &mut civil)?;
    civil.nanos = loose_fraction(&mut cursor);
    let end = cursor.at;
    if cursor.byte(b' ').is_some()
        && let Some(year) = cursor.digits4().filter(|year| (1970..2262).contains(year))
        && !cursor.peek().is_some_and(|byte| byte.is_ascii_alphanumeric())
    {
        civil.year = year;
        return Some((civil.checked()?.timestamp()?, cursor.at));
    }
    Some((civil.nearest_year(observed)?, end))
}

/// `Fri Nov 20 10:00:00 2026`, `Fri, 20 Nov 2026 10:00:00 GMT`.
fn weekday_first(bytes: &[u8], observed: Timestamp) -> Option<(Timestamp, usize)> {
    if !weekday_of_name(bytes.get(..3)?) {
        return None;
    }
    let skip = match (bytes.get(3)?, bytes.get(4)?) {
        (b' ', _) => 4,
        (b',', b' ') => 5,
        _ => return None,
    };
    let rest = &bytes[skip..];
    let found = day_first(rest).or_else(|| month_first(rest, observed));
    found.map(|(time, length)| (time, skip + length))
}

/// Digits, with a fraction or without.
fn epoch_text(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let Some((whole, part)) = text.split_once('.') else { return from_epoch(text.parse().ok()?) };
    let secs: i64 = whole.parse().ok()?;
    if !(100_000_000..10_000_000_000).contains(&secs) {
        return from_epoch_float(text.parse().ok()?);
    }
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.at = whole.len();
    let nanos = fraction(&mut cursor)?;
    if cursor.at != text.len() || part.is_empty() {
        return None;
    }
    Some(Timestamp::from_nanos(secs.checked_mul(1_000_000_000)?.checked_add(i64::from(nanos))?))
}
