//! Which shapes texts had lately that begin alike.
//!
//! Owns: [`Lately`]. A shape of it is a guess: whoever asks compares the whole text.
//! Invariant: what it says depends on nothing but the texts and their order.

use super::cut::MIX;

/// Shapes that are remembered of texts that begin alike.
const WAYS: usize = 4;
/// Sets of texts that begin alike: 32 KiB, so that they stay in the processor's cache.
const SETS: usize = 2048;
/// Of a text so many bytes count, up to the first digit: from there on texts of one shape differ.
const BEGINNING: usize = 16;

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
        let mut bytes = [0; BEGINNING];
        match text.first_chunk::<BEGINNING>() {
            Some(beginning) => bytes = *beginning,
            None => bytes[..text.len()].copy_from_slice(text),
        }
        let word = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let (low, low_is_whole) = before_digit(word(0));
        let high = if low_is_whole { before_digit(word(8)).0 } else { 0 };
        let product = u128::from(low ^ MIX) * u128::from(high ^ 0xa076_1d64_78bd_642f);
        ((product >> 64) as u64 ^ product as u64) as usize % SETS
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

/// Of eight bytes, the first one lowest, those before the first digit; and whether there is none.
#[inline]
fn before_digit(word: u64) -> (u64, bool) {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // A byte is below ten, and so a digit before, if adding 0x76 does not set its high bit.
    let above = word ^ (ONES * 0x30);
    let digits = !(((above & (ONES * 0x7f)) + ONES * 0x76) | above) & (ONES * 0x80);
    if digits == 0 {
        return (word, true);
    }
    (word & ((digits & digits.wrapping_neg()) >> 7).wrapping_sub(1), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_alike_up_to_a_digit() {
        let alike = |a: &str, b: &str| Lately::set_of(a.as_bytes()) == Lately::set_of(b.as_bytes());
        assert!(alike("took 12 ms", "took 9"));
        assert!(alike("connection from 10.0.0.1", "connection from peer"));
        assert!(!alike("took 12 ms", "tool 12 ms") && !alike("", "a") && !alike("a", "b"));
        assert!(alike("connecti0 a", "connecti9 b") && !alike("connectio 1", "connectin 1"));
        for byte in 0..=255_u8 {
            let (kept, whole) = before_digit(u64::from_le_bytes([b'a', byte, b'c', b'd', 1, 2, 3, 4]));
            assert_eq!(whole, !byte.is_ascii_digit());
            let rest = u64::from_le_bytes([b'a', byte, b'c', b'd', 1, 2, 3, 4]);
            assert_eq!(kept, if whole { rest } else { u64::from(b'a') });
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
