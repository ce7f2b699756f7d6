//! The tokens of many texts that are all ASCII.
//!
//! Owns: [`AsciiWords`], which finds out at once for each byte of all texts whether it is of a word.
//! Does not own: what a token is.
//! Invariant: the tokens are those of `Tokens`, as they are written.

use std::ops::Range;

use super::{CLASSES, Class, IS_IN_WORDS, TOKEN_UNITS_MAX, ascii_word_end};

/// Which bytes of a text are letters, digits and joiners, a bit for each. Keeps its memory for the next text.
#[derive(Debug, Default)]
pub struct AsciiWords {
    bits: Vec<u64>,
}

impl AsciiWords {
    /// Looks at a text, which has to be ASCII for its tokens to be right.
    pub fn read(&mut self, text: &[u8]) {
        self.bits.clear();
        let (chunks, rest) = text.as_chunks::<64>();
        self.bits.extend(chunks.iter().map(words_of));
        let mut last = [0; 64];
        last[..rest.len()].copy_from_slice(rest);
        self.bits.push(words_of(&last));
    }

    /// Calls with the place of each token in a part of the text that was read, as if that were all.
    ///
    /// # Panics
    /// If the part is none of the text.
    #[inline]
    pub fn tokens(&self, text: &[u8], part: Range<usize>, mut take: impl FnMut(Range<usize>)) {
        let text = &text[..part.end];
        let mut at = part.start;
        loop {
            let start = self.next(at, part.end, 0);
            if start >= part.end {
                return;
            }
            at = self.next(start, part.end, u64::MAX);
            while at + 1 < part.end && goes_on(text[at - 1], text[at], text[at + 1]) {
                at = self.next(at + 1, part.end, u64::MAX);
            }
            if at - start > TOKEN_UNITS_MAX {
                at = ascii_word_end(&text[..start + TOKEN_UNITS_MAX], start);
            }
            // Nothing but joiners is none.
            if text[start] != b'_' || text[start..at].iter().any(u8::is_ascii_alphanumeric) {
                take(start..at);
            }
        }
    }

    /// The first byte from `at` on that is of a word, or is not if `other` is all ones; the end if there is none.
    #[inline(always)]
    fn next(&self, at: usize, end: usize, other: u64) -> usize {
        // Mostly one of the next bytes is it. What is shifted in is none.
        let bits = (self.bits[at / 64] ^ other) >> (at % 64);
        if bits != 0 { (at + bits.trailing_zeros() as usize).min(end) } else { self.further(at, end, other) }
    }

    /// The same behind the 64 bytes that this one is of.
    #[inline(never)]
    fn further(&self, at: usize, end: usize, other: u64) -> usize {
        let mut chunk = at / 64 + 1;
        while chunk * 64 < end {
            let bits = self.bits[chunk] ^ other;
            if bits != 0 {
                return (chunk * 64 + bits.trailing_zeros() as usize).min(end);
            }
            chunk += 1;
        }
        end
    }
}

/// Whether a word goes on behind a byte that is of no word, between these two.
#[inline]
fn goes_on(before: u8, byte: u8, behind: u8) -> bool {
    use Class::{Digit, InBoth, InNumber, InWord, Letter};
    match CLASSES[usize::from(byte)] {
        InWord | InNumber | InBoth => {}
        _ => return false,
    }
    match (CLASSES[usize::from(before)], CLASSES[usize::from(byte)]) {
        (Letter, InWord | InBoth) => CLASSES[usize::from(behind)] == Letter,
        (Digit, InNumber | InBoth) => CLASSES[usize::from(behind)] == Digit,
        _ => false,
    }
}

/// A bit for each byte that is of a word.
#[inline]
fn words_of(bytes: &[u8; 64]) -> u64 {
    let mut are = [0; 64];
    for (is, byte) in are.iter_mut().zip(bytes) {
        *is = is_in_word(*byte);
    }
    let (eights, _) = are.as_chunks::<8>();
    // The product has the lowest bits of eight bytes in its highest byte, that of the first one lowest.
    let bits = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    (0..).step_by(8).zip(eights).fold(0, |all, (at, eight)| all | bits(eight) << at)
}

/// 1 for a letter, a digit or a joiner, else 0; without a branch, so that it is done for many bytes at once.
#[inline(always)]
fn is_in_word(byte: u8) -> u8 {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    u8::from(letter) | u8::from(byte.wrapping_sub(b'0') < 10) | u8::from(byte == b'_')
}

const _: () =
    assert!(IS_IN_WORDS[b'_' as usize] && IS_IN_WORDS[b'a' as usize] && !IS_IN_WORDS[b'-' as usize]);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Tokens;
    use super::*;

    #[test]
    fn every_byte_is_as_it_is_in_the_table() {
        for start in [0_u8, 64, 128, 192] {
            let bytes: [u8; 64] = std::array::from_fn(|at| start + at as u8);
            let bits = words_of(&bytes);
            assert!(
                (0..64).all(|at| (bits >> at & 1 == 1)
                    == (bytes[at].is_ascii() && IS_IN_WORDS[usize::from(bytes[at])]))
            );
        }
    }

    proptest! {
        #[test]
        fn tokens_are_those_of_each_text(texts in prop::collection::vec("[aZ09_:,;.'\" \\-]{0,24}|a{250,260}[ .a]{0,9}|(_[.]){0,40}", 0..12)) {
            let all = texts.concat();
            let mut words = AsciiWords::default();
            words.read(all.as_bytes());
            let mut start = 0;
            for text in &texts {
                let (mut found, end) = (Vec::new(), start + text.len());
                words.tokens(all.as_bytes(), start..end, |token| found.push(&all[token]));
                prop_assert_eq!(found, Tokens::new(text).collect::<Vec<_>>());
                start = end;
            }
        }
    }
}
