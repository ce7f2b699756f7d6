//! Floats: as they are, or as whole numbers divided by a power of ten.
//!
//! Owns: these encodings. Most floats in logs are short decimals, such as durations.
//! Invariant: every float reads back to the bit; one that does not makes its whole column plain.

use std::ops::Range;

use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};
use crate::ints::{self, Ints, IntsCursor, Packing};

const PLAIN: u8 = 0;
const DECIMAL: u8 = 1;

/// Powers of ten by which decimals are multiplied; all are exact.
const TENS: [f64; 10] = [1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Whole numbers up to this size are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A column that was found to be well-formed.
#[derive(Debug)]
pub(super) enum Floats {
    Plain(Range<usize>),
    Decimal { ten: f64, ints: Ints },
}

/// Appends a column.
pub(super) fn encode(packing: Packing, out: &mut Vec<u8>, values: &[f64]) {
    for (exponent, ten) in TENS.iter().enumerate() {
        let whole = |value: &f64| decimal(*value, *ten);
        if let Some(ints) = values.iter().map(whole).collect::<Option<Vec<i64>>>() {
            out.put_u8(DECIMAL);
            out.put_u8(exponent as u8);
            return ints::encode_as(packing, out, &ints);
        }
    }
    out.put_u8(PLAIN);
    values.iter().for_each(|value| out.put_u64(value.to_bits()));
}

/// The whole number that gives this float back when it is divided by `ten`.
fn decimal(value: f64, ten: f64) -> Option<i64> {
    let whole = (value * ten).round();
    let exact = whole.abs() <= EXACT_MAX && (whole as i64 as f64 / ten).to_bits() == value.to_bits();
    exact.then_some(whole as i64)
}

impl Floats {
    pub(super) fn parse(reader: &mut Reader<'_>, count: usize) -> Decoded<Self> {
        match reader.u8()? {
            PLAIN => Ok(Self::Plain(reader.skip(count * size_of::<f64>())?)),
            DECIMAL => {
                let ten = TENS.get(usize::from(reader.u8()?)).ok_or(Damage::expected("a power of ten"))?;
                Ok(Self::Decimal { ten: *ten, ints: Ints::parse(reader, count)? })
            }
            other => Err(Damage::unknown("encoding of floats", other)),
        }
    }

    /// About how much memory it takes besides the head.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Decimal { ints, .. } => ints.memory_bytes(),
        }
    }

    /// The float at this place. `head` holds the bytes it was parsed from.
    pub(super) fn get(&self, head: &[u8], at: usize, cursor: &mut IntsCursor) -> f64 {
        match self {
            Self::Plain(range) => {
                let start = range.start + at * size_of::<f64>();
                let bytes = head[start..start + size_of::<f64>()].try_into().expect("eight bytes were taken");
                f64::from_bits(u64::from_le_bytes(bytes))
            }
            Self::Decimal { ten, ints } => ints.get(head, at, cursor) as f64 / ten,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[f64]) -> u8 {
        let mut bytes = Vec::new();
        encode(Packing::Bits, &mut bytes, values);
        let mut reader = Reader::new(&bytes);
        let floats = Floats::parse(&mut reader, values.len()).unwrap();
        assert_eq!(reader.end(), Ok(()));
        let mut cursor = IntsCursor::default();
        for (at, value) in values.iter().enumerate() {
            assert_eq!(floats.get(&bytes, at, &mut cursor).to_bits(), value.to_bits());
        }
        bytes[0]
    }

    proptest! {
        #[test]
        fn any_floats_read_back(values in prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..50)) {
            round_trip(&values);
        }

        #[test]
        fn short_decimals_are_kept_as_whole_numbers(wholes in prop::collection::vec(-1_000_000i64..1_000_000, 1..2000), digits in 0usize..6) {
            let values: Vec<f64> = wholes.iter().map(|whole| *whole as f64 / TENS[digits]).collect();
            prop_assert_eq!(round_trip(&values), DECIMAL);
        }
    }

    #[test]
    fn what_is_no_decimal_is_kept_as_it_is() {
        for odd in [-0.0, f64::NAN, f64::INFINITY, 1.0 / 3.0, f64::MIN_POSITIVE, 1e300] {
            assert_eq!(round_trip(&[1.5, odd, 2.25]), PLAIN);
        }
    }
}
