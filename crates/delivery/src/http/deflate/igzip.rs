//! Pieces made by ISA-L, by its level 0: some 1.5 times as fast as zlib's quickest level.
//!
//! Owns: the way from the stream that ISA-L makes of a text to a piece that others may follow.
//! Does not own: what is done with text that it makes longer ([`super::Packer`]).
//! Invariant: what is given out ends at a whole byte, and is a block that is not the last with an empty one behind it.
//!
//! At level 0 all of a text becomes one block, with codes that are the same for every text, and the stream is ended by a
//! last block in fixed codes with nothing in it: ten bits, of which the first two are set. Zeros fill the byte. So these
//! two are the last bits of the stream that are set. Where they stand an empty stored block begins instead: what a
//! flush makes.

use std::io::{self, Write};

use isal::write::Encoder;
use isal::{Codec, CompressionLevel};

/// What follows the three bits of the head of a stored block that is empty, from the next whole byte on.
const STORED_NONE: [u8; 4] = [0, 0, 0xff, 0xff];

/// Bits of the head of a stored block that is not the last; none is set.
const STORED_HEAD_BITS: usize = 3;

/// Compresses texts, one after the other.
pub(super) struct Igzip(Encoder<Vec<u8>>);

impl Igzip {
    pub(super) fn new() -> Self {
        Self(Encoder::new(Vec::new(), CompressionLevel::Zero, Codec::Deflate))
    }

    /// The deflated text; nothing if it is not what it should be, which would be a fault of the library.
    pub(super) fn deflate(&mut self, input: &[u8]) -> Option<&[u8]> {
        self.0.get_ref_mut().clear();
        if input.is_empty() {
            // Then its block would be the last one.
            return Some(&[]);
        }
        if self.encode(input).is_err() || flush_instead_of_end(self.0.get_ref_mut()).is_none() {
            // Whatever it is in the middle of.
            *self = Self::new();
            return None;
        }
        Some(self.0.get_ref())
    }

    fn encode(&mut self, input: &[u8]) -> io::Result<()> {
        self.0.write_all(input)?;
        self.0.flush()
    }
}

/// Makes a flush of the empty last block that a stream ends with; nothing if it does not end so.
fn flush_instead_of_end(out: &mut Vec<u8>) -> Option<()> {
    let is_last = |byte: &u8| byte & 1 == 1;
    if out.first().is_none_or(is_last) {
        return None;
    }
    let at = out.iter().rposition(|byte| *byte != 0)?;
    let second = at * 8 + out[at].ilog2() as usize;
    let first = second.checked_sub(1)?;
    let is_set = |out: &[u8], bit: usize| out[bit / 8] >> (bit % 8) & 1 == 1;
    if !is_set(out, first) {
        return None;
    }
    for bit in [first, second] {
        out[bit / 8] &= !(1 << (bit % 8));
    }
    out.resize((first + STORED_HEAD_BITS).div_ceil(8), 0);
    out.extend_from_slice(&STORED_NONE);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(end: &[u8], expected: Option<&[u8]>) {
        let mut out = end.to_vec();
        assert_eq!(flush_instead_of_end(&mut out).map(|()| &*out), expected, "{end:x?}");
    }

    #[test]
    fn the_last_block_gives_way_to_a_flush() {
        // It begins at a byte, within one, and at the last bits of one, where the head of the stored block goes on behind.
        check(&[0xf0, 0x03, 0x00], Some(&[0xf0, 0, 0, 0, 0xff, 0xff]));
        check(&[0xf0, 0x0c | 0x02, 0x00], Some(&[0xf0, 0x02, 0, 0, 0xff, 0xff]));
        check(&[0xf0, 0x60 | 0x1e, 0x00], Some(&[0xf0, 0x1e, 0, 0, 0xff, 0xff]));
        check(&[0xf0, 0xc0 | 0x1e, 0x00], Some(&[0xf0, 0x1e, 0, 0, 0, 0xff, 0xff]));
        check(&[0xf0, 0x80 | 0x1e, 0x01], Some(&[0xf0, 0x1e, 0, 0, 0, 0xff, 0xff]));
    }

    #[test]
    fn what_ends_otherwise_is_refused() {
        check(&[], None);
        check(&[0, 0], None);
        check(&[0xf1, 0x03, 0x00], None);
        check(&[0xf0, 0x02, 0x00], None);
        check(&[0x02], None);
    }

    #[test]
    fn texts_of_every_length_are_what_they_should_be() {
        let mut igzip = Igzip::new();
        let text = "2026-11-20T00:00:00Z info order taken by cart-1 주문 접수\n".repeat(6000);
        for len in (0..600).chain((600..text.len()).step_by(7919)) {
            assert!(igzip.deflate(&text.as_bytes()[..len]).is_some(), "{len} bytes");
        }
    }
}
