//! Which shapes texts had lately that begin alike.
//!
//! Owns: [`Lately`]. A shape of it is a guess: whoever asks compares the whole text.
//! Invariant: what it says depends on nothing but the texts and their order.

use super::cut::MIX;

/// Shapes that are remembered of texts that begin alike.
const WAYS: usize = 4;
/// Sets of texts that begin alike: 32 KiB, so that they stay in the processor's cache.
const SETS: usize = 2048;
/// Bytes that are looked at in one place. Those in front of the first word with a digit count: it is what varies in texts of
/// one shape.
const PLACE: usize = 16;
/// If fewer count, it is gone on behind that word, at most so often.
const COUNTED_MIN: usize = 10;
const PLACES_MAX: usize = 6;

/// No shape yet.
const NONE: u32 = u32::MAX;

/// See the head of the module.
#[derive(Debug)]
pub(super) struct Lately {
    /// Numbers of shapes, latest first.
    sets: Vec<[u32; WAYS]>,
}

impl Default for Lately {
    fn default() -> Self {
        Self { sets: vec![[NONE; WAYS]; SETS] }
    }
}

impl Lately {
    /// The number of the set for texts that begin like this one.
    #[inline]
    pub(super) fn set_of(text: &[u8]) -> usize {
        let (mut at, mut counted, mut hash) = (0, 0, 0u64);
        for _ in 0..PLACES_MAX {
            let mut bytes = [0; PLACE];
            match text[at..].first_chunk::<PLACE>() {
                Some(place) => bytes = *place,
                None => bytes[..text.len() - at].copy_from_slice(&text[at..]),
            }
            let digit = digit_in(&bytes);
            let len = bytes[..digit].iter().rposition(|byte| !byte.is_ascii_alphanumeric());
            let len = if digit < PLACE { len.map_or(0, |last| last + 1) } else { PLACE };
            let kept = if len < PLACE { (1u128 << (8 * len)) - 1 } else { u128::MAX };
            let kept = u128::from_le_bytes(bytes) & kept;
            let product = u128::from(kept as u64 ^ hash ^ MIX)
                * u128::from((kept >> 64) as u64 ^ 0xa076_1d64_78bd_642f);
            hash = (product >> 64) as u64 ^ product as u64;
            (at, counted) = (at + len, counted + len);
            if counted >= COUNTED_MIN || digit == PLACE {
                break;
            }
            let varies = text[at..].iter().position(|byte| *byte == b' ');
            at = varies.map_or(text.len(), |end| at + end);
        }
        hash as usize % SETS
    }

    /// The shapes of a set; behind the last one there is no shape with such a number.
    #[inline]
    pub(super) fn of(&self, set: usize) -> [u32; WAYS] {
        self.sets[set]
    }

    /// Puts a shape of a set in front of those before it.
    #[inline]
    pub(super) fn prefer(&mut self, set: usize, way: usize) {
        if way > 0 {
            self.sets[set][..=way].rotate_right(1);
        }
    }

    /// Remembers the shape of a text that none of its set fitted.
    pub(super) fn note(&mut self, text: &[u8], shape: u32) {
        let set = &mut self.sets[Self::set_of(text)];
        let way = set.iter().position(|known| *known == shape).unwrap_or(WAYS - 1);
        set[..=way].rotate_right(1);
        set[0] = shape;
    }
}

/// The place of the first digit; the length if there is none.
#[inline]
fn digit_in(bytes: &[u8; PLACE]) -> usize {
    const ONES: u128 = u128::from_ne_bytes([1; PLACE]);
    // A byte is below ten, and so a digit before, if adding 0x76 does not set its high bit.
    let above = u128::from_le_bytes(*bytes) ^ (ONES * 0x30);
    let digits = !(((above & (ONES * 0x7f)) + ONES * 0x76) | above) & (ONES * 0x80);
    digits.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_alike_up_to_a_digit() {
        let alike = |a: &str, b: &str| Lately::set_of(a.as_bytes()) == Lately::set_of(b.as_bytes());
        assert!(alike("took 12 ms", "took 9 ms") && alike("took 12ms", "took 9"));
        assert!(alike("connection from 10.0.0.1", "connection from peer"));
        assert!(!alike("took 12 ms", "tool 12 ms") && !alike("", "a") && !alike("a", "b"));
        assert!(alike("connecti0 ab", "connect9 ab") && !alike("connectio 1", "connectin 1"));
        assert!(alike("id=ab1 for cart", "id=7 for cart") && !alike("id=ab1 for cart", "id=7 for card"));
        assert!(alike("1 2 3 4 5 6 7 8 a", "9 8 7 6 5 4 3 2 b"), "so far nobody looks");
        assert!(alike("결제 1건", "결제 2건") && !alike("결제 1건", "결재 1건"));
        for byte in 0..=255_u8 {
            let mut bytes = [b'a'; PLACE];
            bytes[9] = byte;
            assert_eq!(digit_in(&bytes), if byte.is_ascii_digit() { 9 } else { PLACE });
        }
    }

    #[test]
    fn the_latest_come_first() {
        let mut lately = Lately::default();
        let set = Lately::set_of(b"a");
        for shape in [7, 8, 9, 8] {
            lately.note(b"a", shape);
        }
        assert_eq!(lately.of(set), [8, 9, 7, NONE]);
        lately.prefer(set, 2);
        assert_eq!(lately.of(set), [7, 8, 9, NONE]);
        (0..9).for_each(|shape| lately.note(b"a", shape));
        assert_eq!(lately.of(set), [8, 7, 6, 5]);
    }
}
