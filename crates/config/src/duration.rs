//! Lengths of time, as people write them: `250ms`, `5s`, `1m30s`, `7d`.

use std::time::Duration;

use crate::quantity::Quantity;

/// Units and their nanoseconds, the largest first.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A week, which is read but not printed.
const WEEK_NS: u128 = 7 * 86_400_000_000_000;

/// How a message calls a duration.
pub(crate) const EXPECTED: &str = "a duration such as \"5s\"";

/// Reads a duration: numbers with the units `w d h m s ms us ns`, one after the other, or a bare `0`.
/// A bare number other than zero is refused, since it does not say its unit.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total_ns: u128 = 0;
    loop {
        let quantity = Quantity::read(rest)?;
        let unit_ns = match quantity.unit {
            "w" => WEEK_NS,
            "µs" | "μs" => 1_000,
            unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        total_ns = total_ns.checked_add(quantity.times(unit_ns)?)?;
        rest = quantity.rest.trim_start_matches(' ');
        if rest.is_empty() {
            return from_nanos(total_ns);
        }
    }
}

fn from_nanos(ns: u128) -> Option<Duration> {
    let seconds = u64::try_from(ns / 1_000_000_000).ok()?;
    let nanos = u32::try_from(ns % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, nanos))
}

/// Prints a duration in the largest units, so that it reads back as the same one: `1m30s`.
pub fn print(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, unit) in UNITS {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("5s"), Some(Duration::from_secs(5)));
        assert_eq!(parse("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse("250 ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse("2w"), Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(parse("0"), Some(Duration::ZERO));
    }

    #[test]
    fn refuses_numbers_without_a_unit() {
        for text in
            ["5", "1m30", "", "s", "5 minutes", "-5s", "5S", "1e3s", "99999999999999999999999999999999d"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn prints_the_largest_units() {
        assert_eq!(print(Duration::from_secs(90)), "1m30s");
        assert_eq!(print(Duration::from_secs(7 * 86_400)), "7d");
        assert_eq!(print(Duration::from_millis(250)), "250ms");
        assert_eq!(print(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(seconds: u64, nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&print(duration)), Some(duration));
        }
    }
}
