//! Numbers of JSON.
//!
//! Owns: which value a number as it is written has.
//! Does not own: the grammar of numbers (`scan`).
//! Invariant: [`usual`] gives what [`number`] gives, or nothing.

use sawyer_model::ValueRef;

use super::Scanner;
use super::scan::Expected;
use crate::digits::leading;

/// Digits of a whole number that fits an `i64`, at most.
const INTEGER_DIGITS_MAX: usize = 19;

/// Digits of which an `f64` holds every number exactly.
const DECIMAL_DIGITS_MAX: usize = 15;

/// Powers of ten that an `f64` holds exactly. Of two such numbers the quotient is the nearest to the true one.
const POWERS: [f64; DECIMAL_DIGITS_MAX] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];

/// Powers of ten, as far as eight digits go.
const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Takes the number that stands at the scanner's place in `text`; gives its value.
#[inline]
pub(crate) fn read<'t>(scanner: &mut Scanner<'_>, text: &'t str) -> Result<ValueRef<'t>, Expected> {
    let start = scanner.at;
    if let Some((value, len)) = usual(&scanner.bytes[start..]) {
        scanner.at += len;
        return Ok(value);
    }
    let integer = scanner.number()?;
    Ok(number(&text[start..scanner.at], integer))
}

/// The value of a number as it is written.
fn number(text: &str, integer: bool) -> ValueRef<'_> {
    if integer {
        if text == "-0" {
            return ValueRef::Float(-0.0);
        }
        if let Ok(value) = text.parse::<i64>() {
            return ValueRef::Int(value);
        }
    }
    let Ok(value) = text.parse::<f64>() else { return ValueRef::Str(text) };
    // Beyond an i128 the cast saturates, and the digits differ.
    let exact = value.is_finite() && (!integer || (value as i128).to_string() == text);
    if exact { ValueRef::Float(value) } else { ValueRef::Str(text) }
}

/// The value of the number that stands at the beginning, and its length; none if it is no number, or not one of the usual:
/// integers of an `i64`, and decimals without an exponent that an `f64` holds to the last digit.
#[inline]
fn usual(bytes: &[u8]) -> Option<(ValueRef<'static>, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let (whole, point) = digits(bytes, start, 0);
    let count = point - start;
    // A zero may not lead other digits, and below zero it is no integer.
    let zero = bytes.get(start) == Some(&b'0') && (count > 1 || negative);
    if count == 0 || count > INTEGER_DIGITS_MAX || zero {
        return None;
    }
    match bytes.get(point) {
        Some(b'.') => {
            let (mantissa, end) = digits(bytes, point + 1, whole);
            let places = end - point - 1;
            let exponent = matches!(bytes.get(end), Some(b'e' | b'E'));
            if places == 0 || count + places > DECIMAL_DIGITS_MAX || exponent {
                return None;
            }
            let value = mantissa as f64 / POWERS[places];
            Some((ValueRef::Float(if negative { -value } else { value }), end))
        }
        Some(b'e' | b'E') => None,
        _ => {
            let value = i64::try_from(whole).ok()?;
            Some((ValueRef::Int(if negative { -value } else { value }), point))
        }
    }
}

/// Takes digits from `at` on behind those of `value`; gives what they make, and where they end. With more than nineteen it
/// is any number.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let (number, count) = leading(eight);
        value = value.wrapping_mul(TENS[count]).wrapping_add(u64::from(number));
        at += count;
        if count < 8 {
            return (value, at);
        }
    }
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) {
        let mut scanner = Scanner::new(text.as_bytes());
        let known = scanner.number().map(|integer| (number(&text[..scanner.at], integer), scanner.at));
        match usual(text.as_bytes()) {
            None => {}
            Some(found) => {
                let known = known.expect("what is read is a number");
                // Zeros have signs that comparing does not see.
                assert_eq!(format!("{found:?}"), format!("{known:?}"), "{text}");
            }
        }
    }

    #[test]
    fn the_usual_numbers_are_read_at_once() {
        for text in [
            "0",
            "7",
            "-7",
            "200",
            "0.1",
            "-12.75",
            "1795176000123456789",
            "9223372036854775807",
            "12345678.25",
        ] {
            assert!(usual(text.as_bytes()).is_some(), "{text}");
            check(text);
        }
        for text in
            ["", "-", "01", "-0", "-0.5", "1.", "1e3", "1.5e3", "9223372036854775808", "123456789012345.6"]
        {
            assert!(usual(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_at_once_is_what_is_read_slowly(
            text in r"-?[0-9]{0,21}(\.[0-9]{0,17})?([eE][+-]?[0-9]{0,3})?[,} a]?",
        ) {
            check(&text);
        }

        #[test]
        fn numbers_of_programs_are_read_the_same(integer in any::<i64>(), float in any::<f64>(), cents in any::<u32>()) {
            check(&integer.to_string());
            check(&float.to_string());
            check(&(f64::from(cents) / 100.0).to_string());
        }
    }
}
