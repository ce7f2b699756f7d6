//! Exact decimal numbers with a unit behind them, as in `1.5GiB` and `1m30s`.
//!
//! Invariant: no floating point, so that what is printed reads back as the same value.

/// Digits after the point that are read; a twelfth of a nanosecond or a byte means nothing.
const DECIMALS_MAX: usize = 12;

/// A number and its unit, read from the start of a text.
pub(crate) struct Quantity<'a> {
    whole: u128,
    fraction: u128,
    decimals: u32,
    /// The letters right behind the number, a blank between allowed.
    pub(crate) unit: &'a str,
    /// What follows the unit.
    pub(crate) rest: &'a str,
}

impl<'a> Quantity<'a> {
    /// Reads `12`, `1.5GiB` or `3 s` from the start of `text`.
    pub(crate) fn read(text: &'a str) -> Option<Quantity<'a>> {
        let (whole, after) = digits(text);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => {
                let (fraction, after) = digits(after);
                (!fraction.is_empty() && fraction.len() <= DECIMALS_MAX).then_some((fraction, after))?
            }
            None => ("", after),
        };
        let after = after.trim_start_matches(' ');
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        Some(Quantity {
            whole: whole.parse().ok()?,
            fraction: if fraction.is_empty() { 0 } else { fraction.parse().ok()? },
            decimals: u32::try_from(fraction.len()).ok()?,
            unit: &after[..end],
            rest: &after[end..],
        })
    }

    /// Whether the number is zero, which needs no unit.
    pub(crate) fn is_zero(&self) -> bool {
        self.whole == 0 && self.fraction == 0
    }

    /// The number times `unit`, rounded down; `None` beyond 128 bits.
    pub(crate) fn times(&self, unit: u128) -> Option<u128> {
        let fraction = self.fraction.checked_mul(unit)? / 10_u128.pow(self.decimals);
        self.whole.checked_mul(unit)?.checked_add(fraction)
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}
