//! Deflate (RFC 1951) in pieces that can be put one behind the other.
//!
//! Owns: [`Packer`], which makes such pieces, and the frame of gzip (RFC 1952) around them.
//! Does not own: when text is compressed and how it is cut (`body`).
//! Invariant: a piece refers to nothing before it, ends at a whole byte, and any decoder reads back what went in.
//!
//! Documents are mostly repetitions of those before them, at most 32 KiB back, so that a table of places that was
//! seen last is enough to find them, as in LZ4. It is small enough for the innermost cache. Codes are the fixed ones:
//! of text without anything beyond ASCII eight bytes become eight codes at once.

/// Places that are remembered, as a power of two: four bytes each.
const TABLE_BITS: u32 = 13;

/// How far back a repetition may lie, and how long it may be.
const DISTANCE_MAX: usize = 32 << 10;
const LEN_MAX: usize = 258;

/// Bytes that are compared at once to find a repetition. Shorter ones cost nearly as much as what they stand for.
const LEN_MIN: usize = 4;

/// Bytes that places are looked up by.
const LOOKED_UP: u32 = 6;

/// After so many bytes without a repetition, as a power of two, every second place is looked up, then every third …
const SKIP_BITS: u32 = 6;

/// Bytes at the end that are not searched, so that words can be read whole.
const TAIL: usize = 16;

/// Codes of lengths with what follows them: the bits, and how many above [`COUNT_SHIFT`].
const LENGTHS: [u32; LEN_MAX + 1] = lengths();
const COUNT_SHIFT: u32 = 24;

/// What ends a piece: an empty stored block, whose head is written in bits before it.
const PIECE_END: [u8; 4] = [0, 0, 0xff, 0xff];

/// An empty last block in fixed codes.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// No name, no time, unknown system; made by the fastest algorithm.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

/// A compressed piece of a body.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    deflated: Box<[u8]>,
    crc: crc32fast::Hasher,
    /// Bytes before.
    len: u32,
}

impl Packed {
    /// Bytes that it takes.
    pub(super) fn len(&self) -> usize {
        self.deflated.len()
    }
}

/// The pieces one behind the other, as a file of gzip.
pub(super) fn gzip<'a>(pieces: impl Iterator<Item = &'a Packed> + Clone) -> Vec<u8> {
    let bytes: usize = pieces.clone().map(Packed::len).sum();
    let mut out = Vec::with_capacity(GZIP_HEAD.len() + bytes + LAST_BLOCK.len() + 8);
    out.extend_from_slice(&GZIP_HEAD);
    let mut crc = crc32fast::Hasher::new();
    let mut len = 0_u32;
    for piece in pieces {
        out.extend_from_slice(&piece.deflated);
        crc.combine(&piece.crc);
        len = len.wrapping_add(piece.len);
    }
    out.extend_from_slice(&LAST_BLOCK);
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out
}

/// Compresses pieces, one after the other.
#[derive(Debug)]
pub(super) struct Packer {
    table: Box<[u32; 1 << TABLE_BITS]>,
    out: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { table: Box::new([0; 1 << TABLE_BITS]), out: Vec::new() }
    }

    /// Compresses a piece. Pieces of some 100 KiB are as small together as one; much smaller ones are not.
    ///
    /// # Panics
    /// If it has 4 GiB or more.
    pub(super) fn pack(&mut self, input: &[u8]) -> Packed {
        let len = u32::try_from(input.len()).expect("a piece is a part of a request");
        let end = self.deflate(input);
        let mut crc = crc32fast::Hasher::new();
        crc.update(input);
        Packed { deflated: self.out[..end].into(), crc, len }
    }

    fn deflate(&mut self, input: &[u8]) -> usize {
        // No code is longer than nine bits for each byte that it stands for.
        let most = input.len() + input.len() / 8 + 64;
        if self.out.len() < most {
            self.out.resize(most, 0);
        }
        self.table.fill(0);
        let table = &mut *self.table;
        let mut bits = Bits { out: &mut self.out, at: 0, held: 0, count: 0 };
        // Not the last block, fixed codes.
        bits.put(0b010, 3);
        let limit = input.len().saturating_sub(TAIL);
        let (mut at, mut copied) = (0, 0);
        while at < limit {
            let here = word(input, at);
            let place = &mut table[place_of(here)];
            let from = *place as usize;
            *place = at as u32;
            let distance = at - from;
            // Zero, which is no distance, becomes a large number.
            if distance.wrapping_sub(1) >= DISTANCE_MAX || word(input, from) as u32 != here as u32 {
                at += 1 + ((at - copied) >> SKIP_BITS);
                continue;
            }
            let len = same(input, from, at);
            bits.literals(input, copied, at);
            bits.repetition(distance, len);
            at += len;
            copied = at;
            if at < limit {
                table[place_of(word(input, at - 2))] = at as u32 - 2;
            }
        }
        bits.literals(input, copied, input.len());
        // The end of the block, and the head of an empty stored one.
        bits.put(0, 7 + 3);
        bits.end()
    }
}

/// The place in the table for the first bytes of a word.
#[inline(always)]
fn place_of(word: u64) -> usize {
    const MIXED: u64 = 0x9e37_79b1_85eb_ca87;
    ((word << (64 - 8 * LOOKED_UP)).wrapping_mul(MIXED) >> (64 - TABLE_BITS)) as usize
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// How many bytes are the same at both places, of which [`LEN_MIN`] are.
#[inline(always)]
fn same(input: &[u8], from: usize, at: usize) -> usize {
    let mut len = LEN_MIN;
    while at + len + 8 <= input.len() {
        let different = word(input, from + len) ^ word(input, at + len);
        if different != 0 {
            return len + (different.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    while at + len < input.len() && input[from + len] == input[at + len] {
        len += 1;
    }
    len
}

/// Bits on their way into bytes, lowest first.
struct Bits<'a> {
    out: &'a mut [u8],
    at: usize,
    held: u64,
    /// Below eight between calls.
    count: u32,
}

impl Bits<'_> {
    /// Appends up to 56 bits.
    #[inline(always)]
    fn put(&mut self, bits: u64, count: u32) {
        self.held |= bits << self.count;
        self.count += count;
        self.out[self.at..self.at + 8].copy_from_slice(&self.held.to_le_bytes());
        let whole = self.count / 8;
        self.at += whole as usize;
        self.held >>= whole * 8;
        self.count %= 8;
    }

    /// Appends eight whole bytes.
    #[inline(always)]
    fn put_eight(&mut self, bytes: u64) {
        let held = self.held | bytes << self.count;
        self.out[self.at..self.at + 8].copy_from_slice(&held.to_le_bytes());
        self.at += 8;
        // In two steps, because none of 64 bits are left of them if none were held.
        self.held = (bytes >> 1) >> (63 - self.count);
    }

    /// Appends these bytes of the input as they are.
    #[inline(always)]
    fn literals(&mut self, input: &[u8], mut at: usize, end: usize) {
        const BEYOND_ASCII: u64 = u64::from_ne_bytes([0x80; 8]);
        const FIRST_CODE: u64 = u64::from_ne_bytes([0x30; 8]);
        while at < end {
            let count = (end - at).min(8);
            if at + 8 > input.len() || word(input, at) & BEYOND_ASCII != 0 {
                input[at..at + count].iter().for_each(|byte| self.literal(*byte));
                at += count;
                continue;
            }
            // Codes are written from their highest bit on.
            let codes = (word(input, at) + FIRST_CODE).reverse_bits().swap_bytes();
            match count {
                8 => self.put_eight(codes),
                _ => self.put(codes & ((1 << (8 * count)) - 1), 8 * count as u32),
            }
            at += count;
        }
    }

    fn literal(&mut self, byte: u8) {
        let byte = u32::from(byte);
        match byte {
            0..144 => self.put(reversed(0x30 + byte, 8).into(), 8),
            _ => self.put(reversed(0x190 + byte - 144, 9).into(), 9),
        }
    }

    /// Appends that what lies so far back is there again.
    #[inline(always)]
    fn repetition(&mut self, distance: usize, mut len: usize) {
        let below = distance as u32 - 1;
        let (from, from_count) = if below < 4 {
            (u64::from(reversed(below, 5)), 5)
        } else {
            let extra = below.ilog2() - 1;
            let code = 2 * (extra + 1) + (below >> extra & 1);
            (u64::from(reversed(code, 5)) | u64::from(below & ((1 << extra) - 1)) << 5, 5 + extra)
        };
        while len > 0 {
            // No length below three has a code.
            let part = if len > LEN_MAX { LEN_MAX.min(len - LEN_MIN) } else { len };
            let code = LENGTHS[part];
            let count = code >> COUNT_SHIFT;
            self.put(u64::from(code & ((1 << COUNT_SHIFT) - 1)) | from << count, count + from_count);
            len -= part;
        }
    }

    /// Fills up the last byte and ends the piece; gives its length.
    fn end(mut self) -> usize {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.out[self.at..self.at + PIECE_END.len()].copy_from_slice(&PIECE_END);
        self.at + PIECE_END.len()
    }
}

/// A code from its highest bit on.
const fn reversed(code: u32, bits: u32) -> u32 {
    code.reverse_bits() >> (32 - bits)
}

/// RFC 1951, sections 3.2.5 and 3.2.6.
const fn lengths() -> [u32; LEN_MAX + 1] {
    let mut table = [0; LEN_MAX + 1];
    let mut len = 3;
    while len <= LEN_MAX {
        let over = len as u32 - 3;
        let (symbol, extra) = match over {
            255 => (285, 0),
            0..8 => (257 + over, 0),
            _ => {
                let extra = over.ilog2() - 2;
                (261 + 4 * extra + (over >> extra & 3), extra)
            }
        };
        let (code, bits) = match symbol {
            ..280 => (reversed(symbol - 256, 7), 7),
            _ => (reversed(0xc0 + symbol - 280, 8), 8),
        };
        let rest = if extra == 0 { 0 } else { over & ((1 << extra) - 1) };
        table[len] = code | rest << bits | (bits + extra) << COUNT_SHIFT;
        len += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(packed);
        decoder.read_to_end(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "nothing behind it");
        text
    }

    fn check(pieces: &[&[u8]]) {
        let mut packer = Packer::new();
        let packed: Vec<Packed> = pieces.iter().map(|piece| packer.pack(piece)).collect();
        let text = pieces.concat();
        assert!(unpacked(&gzip(packed.iter())) == text, "{} bytes read back otherwise", text.len());
        for (piece, packed) in pieces.iter().zip(&packed) {
            assert!(
                packed.len() <= piece.len() + piece.len() / 8 + 16,
                "{} of {}",
                packed.len(),
                piece.len()
            );
        }
    }

    #[test]
    fn every_length_and_distance_reads_back() {
        let noise = |len: usize, seed: u64| -> Vec<u8> {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            };
            (0..len).map(|_| next()).collect()
        };
        for len in (0..600).chain([4096, 65_535, 65_536, 70_000]) {
            let repeated = noise(len, 1);
            check(&[&[&repeated[..], &noise(20, 2), &repeated, &noise(20, 3)].concat()]);
        }
        let repeated = noise(40, 1);
        for distance in (0..200).chain([4095, 32_000, 32_727, 32_728, 32_729, 40_000]) {
            check(&[&[&repeated[..], &noise(distance, 2), &repeated, &noise(20, 3)].concat()]);
        }
        for period in 1..40 {
            let text: Vec<u8> = noise(period, 5).into_iter().cycle().take(1000).collect();
            check(&[&text]);
        }
        check(&[]);
        check(&[b"", b"a", b"", &noise(3, 1)]);
    }

    #[test]
    fn repetitions_are_found() {
        let line = b"{\"pod\":\"cart-1\",\"namespace\":\"shop\",\"message\":\"order taken\"}\n";
        let packed = Packer::new().pack(&line.repeat(1000));
        assert!(packed.len() < 600, "{}", packed.len());
    }

    proptest! {
        #[test]
        fn anything_reads_back(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..20),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..300),
            ascii: bool,
            cut: prop::sample::Index,
        ) {
            let mut text: Vec<u8> = order.iter().flat_map(|at| at.get(&words).clone()).collect();
            if ascii {
                text.iter_mut().for_each(|byte| *byte &= 0x7f);
            }
            let (first, second) = text.split_at(cut.index(text.len() + 1));
            check(&[first, second]);
        }
    }
}
