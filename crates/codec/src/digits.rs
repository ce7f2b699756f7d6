//! Decimal digits, eight at a time.
//!
//! Owns: telling digits from other bytes in a word, and the number that eight of them make.
//! Does not own: what is written around them (`json`, `time`).

const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
/// Takes a byte that is larger than nine over the half.
const ABOVE_NINE: u64 = u64::from_ne_bytes([0x80 - 10; 8]);

/// The high bits of those bytes, with `0` taken off each, that are no digits.
#[inline]
pub(crate) fn no_digits(digits: u64) -> u64 {
    (digits.wrapping_add(ABOVE_NINE) | digits) & HIGH
}

/// How many of eight bytes are digits, from the first one on, and the number that those make.
#[inline]
pub(crate) fn leading(text: &[u8; 8]) -> (u32, usize) {
    let mut digits = u64::from_le_bytes(*text) ^ ZEROS;
    let others = no_digits(digits);
    let count = (others.trailing_zeros() / 8) as usize;
    if others != 0 {
        // Zeros in front of them, and nothing behind; without any of them all is zero.
        digits = digits.checked_shl(64 - 8 * count as u32).unwrap_or(0);
    }
    // Numbers of two digits, then of four, then of all.
    let twos = digits * 10 + (digits >> 8);
    const LANES: u64 = 0x0000_00ff_0000_00ff;
    let high = (twos & LANES).wrapping_mul(100 + (1_000_000 << 32));
    let low = (twos >> 16 & LANES).wrapping_mul(1 + (10_000 << 32));
    ((high.wrapping_add(low) >> 32) as u32, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_read_as_one_reads_them(eight in prop::array::uniform8(prop_oneof![6 => b'0'..=b'9', 1 => any::<u8>()])) {
            let count = eight.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = str::from_utf8(&eight[..count]).unwrap().parse().unwrap_or(0);
            prop_assert_eq!(leading(&eight), (number, count));
        }
    }
}
