//! Deflate (RFC 1951) in pieces that can be put one behind the other.
//!
//! Owns: [`Packer`], which makes such pieces, and the frame of gzip (RFC 1952) around them.
//! Does not own: when text is compressed and how it is cut (`body`).
//! Invariant: a piece refers to nothing before it, ends at a whole byte and is not the last block, so that pieces in any
//! order are one stream.

#[cfg(feature = "igzip")]
mod igzip;

use flate2::{Compress, Compression, FlushCompress};

/// An empty last block in fixed codes.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// No name, no time, unknown system; made by the fastest algorithm.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

/// Least room that the compressor is given at once.
const ROOM_BYTES: usize = 32 << 10;

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
pub(super) struct Packer {
    #[cfg(feature = "igzip")]
    igzip: igzip::Igzip,
    /// Made when it is needed: it takes 300 KiB.
    compress: Option<Compress>,
    out: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(feature = "igzip")]
            igzip: igzip::Igzip::new(),
            compress: None,
            out: Vec::new(),
        }
    }

    /// Compresses a piece. Pieces of some 100 KiB are as small together as one; much smaller ones are not.
    ///
    /// # Panics
    /// If it has 4 GiB or more.
    pub(super) fn pack(&mut self, input: &[u8]) -> Packed {
        let len = u32::try_from(input.len()).expect("a piece is a part of a request");
        let deflated = self.deflate(input).into();
        let mut crc = crc32fast::Hasher::new();
        crc.update(input);
        Packed { deflated, crc, len }
    }

    #[cfg(feature = "igzip")]
    fn deflate(&mut self, input: &[u8]) -> &[u8] {
        // What has no repetitions is not text, and its codes are made for text.
        match self.igzip.deflate(input) {
            Some(deflated) if deflated.len() <= input.len() => deflated,
            _ => deflate(&mut self.compress, input, &mut self.out),
        }
    }

    #[cfg(not(feature = "igzip"))]
    fn deflate(&mut self, input: &[u8]) -> &[u8] {
        deflate(&mut self.compress, input, &mut self.out)
    }
}

/// By `flate2`. A flush ends at a whole byte; there may be more of it as long as it fills the room that it is given.
fn deflate<'o>(compress: &mut Option<Compress>, input: &[u8], out: &'o mut Vec<u8>) -> &'o [u8] {
    let compress = compress.get_or_insert_with(|| Compress::new(Compression::fast(), false));
    compress.reset();
    out.clear();
    loop {
        out.reserve(ROOM_BYTES);
        let rest = &input[compress.total_in() as usize..];
        let told = compress.compress_vec(rest, out, FlushCompress::Full);
        told.expect("compressing has no way to fail");
        if out.len() < out.capacity() {
            return out;
        }
    }
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
    fn what_fills_the_room_reads_back() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        // Noise is as long compressed, so that the output ends before, at and after the room that was made for it.
        let noise: Vec<u8> = (0..ROOM_BYTES + 100).map(|_| next()).collect();
        for len in (0..20).chain(ROOM_BYTES - 40..ROOM_BYTES + 20).chain([2 * ROOM_BYTES]) {
            check(&[&noise[..len.min(noise.len())]]);
        }
        check(&[]);
        check(&[b"", b"a", b"", &noise[..3]]);
        check(&[&noise, &noise, &noise]);
    }

    #[test]
    fn repetitions_are_found() {
        let line = b"{\"pod\":\"cart-1\",\"namespace\":\"shop\",\"message\":\"order taken\"}\n";
        let packed = Packer::new().pack(&line.repeat(1000));
        assert!(packed.len() < 1000, "{}", packed.len());
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
