//! Numbers as they are compared: exactly, whether written as integer, float or text.

use std::cmp::Ordering;

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// Reads what looks like a decimal number: `12`, `-0.5`, `1e6`; not `inf`, not ` 1`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        if let Ok(int) = text.parse() {
            return Some(Self::Int(int));
        }
        if !unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
            return None;
        }
        text.parse().ok().filter(|float: &f64| float.is_finite()).map(Self::Float)
    }

    /// How two numbers lie to each other; none for NaN.
    pub(crate) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => compare_int(a, b),
            (Self::Float(a), Self::Int(b)) => compare_int(b, a).map(Ordering::reverse),
        }
    }

    pub(crate) fn equals(self, other: Self) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }

    /// One text for all equal numbers, to look them up by.
    pub(crate) fn canonical(self) -> String {
        match self {
            Self::Int(int) => int.to_string(),
            Self::Float(float) => match as_int(float) {
                Some(int) => int.to_string(),
                None => format!("{float:?}"),
            },
        }
    }
}

fn compare_int(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Saturates for what no i64 reaches, which keeps the order.
    let whole = i128::from(int).cmp(&(float.trunc() as i128));
    Some(whole.then_with(|| 0.0.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)))
}

fn as_int(float: f64) -> Option<i64> {
    let int = float as i64;
    (float.fract() == 0.0 && compare_int(int, float) == Some(Ordering::Equal)).then_some(int)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_numbers_only() {
        for text in ["inf", "nan", "", "-", ".", "1 ", "0x10", "1_000", "1.2.3", "e5", "1e999", "٣"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert_eq!(Number::parse("-0.5"), Some(Number::Float(-0.5)));
        assert_eq!(Number::parse("007"), Some(Number::Int(7)));
    }

    #[test]
    fn large_numbers_are_not_rounded_together() {
        let int = Number::Int(i64::MAX);
        assert_eq!(int.compare(Number::Float(9_223_372_036_854_775_808.0)), Some(Ordering::Less));
        assert!(!int.equals(Number::Int(i64::MAX - 1)));
        assert_eq!(Number::Int(-1).compare(Number::Float(-1.5)), Some(Ordering::Greater));
    }

    proptest! {
        #[test]
        fn equal_numbers_have_one_canonical_text(a in any::<i64>(), b in any::<f64>()) {
            let float = Number::Float(a as f64);
            prop_assert_eq!(Number::Int(a).equals(float), Number::Int(a).canonical() == float.canonical());
            prop_assert_eq!(Number::parse(&format!("{b:?}")).is_some(), b.is_finite());
        }
    }
}
