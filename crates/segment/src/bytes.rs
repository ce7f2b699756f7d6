//! Numbers and texts as bytes, little-endian.
//!
//! Owns: [`Put`] to write and [`Reader`] to read them.
//! Invariant: reading never goes past the end, and a length is compared with what is there before anything is
//! allocated by it.

use crate::error::{Damage, Decoded};

/// Appends numbers and texts.
pub(crate) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_i64(&mut self, value: i64);
    fn put_u128(&mut self, value: u128);
    /// LEB128: seven bits a byte, lowest first.
    fn put_varint(&mut self, value: u64);
    /// A length as varint, then the bytes.
    fn put_text(&mut self, text: &str);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u128(&mut self, value: u128) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn put_text(&mut self, text: &str) {
        self.put_varint(text.len() as u64);
        self.extend_from_slice(text.as_bytes());
    }
}

/// Whether `bytes` begin with `start`. Quick where that is a word or two: without calling anything.
#[inline(always)]
pub(crate) fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let len = start.len();
    if bytes.len() < len {
        return false;
    }
    let eight =
        |of: &[u8], at: usize| u64::from_le_bytes(of[at..at + 8].try_into().expect("eight bytes were taken"));
    let four =
        |of: &[u8], at: usize| u32::from_le_bytes(of[at..at + 4].try_into().expect("four bytes were taken"));
    match len {
        0 => true,
        1..4 => bytes[0] == start[0] && bytes[len / 2] == start[len / 2] && bytes[len - 1] == start[len - 1],
        4..8 => four(bytes, 0) == four(start, 0) && four(bytes, len - 4) == four(start, len - 4),
        8..=16 => eight(bytes, 0) == eight(start, 0) && eight(bytes, len - 8) == eight(start, len - 8),
        _ => bytes[..len] == *start,
    }
}

/// Reads from the front.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// All its bytes, read or not.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, len: usize) -> Decoded<&'a [u8]> {
        if len > self.left() {
            return Err(Damage::expected("more bytes"));
        }
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    /// Skips bytes, and says where they lie.
    pub(crate) fn skip(&mut self, len: usize) -> Decoded<std::ops::Range<usize>> {
        let start = self.at;
        self.take(len)?;
        Ok(start..self.at)
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("as many bytes as were taken"))
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Decoded<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Decoded<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Decoded<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Decoded<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damage::expected("a number of at most 64 bits"))
    }

    /// A varint that may not be larger than `max`.
    pub(crate) fn at_most(&mut self, max: usize, what: &'static str) -> Decoded<usize> {
        let value = self.varint()?;
        usize::try_from(value).ok().filter(|value| *value <= max).ok_or(Damage::expected(what))
    }

    /// A count of things that take at least one byte each, so that it cannot be larger than what is left.
    pub(crate) fn count(&mut self) -> Decoded<usize> {
        let value = self.varint()?;
        let left = self.left();
        usize::try_from(value)
            .ok()
            .filter(|value| *value <= left)
            .ok_or(Damage::expected("a count of what follows"))
    }

    pub(crate) fn text(&mut self, bytes_max: usize) -> Decoded<&'a str> {
        let len = self.at_most(bytes_max, "a text within bounds")?;
        std::str::from_utf8(self.take(len)?).map_err(|_| Damage::expected("UTF-8"))
    }

    /// Says that nothing may follow.
    pub(crate) fn end(&self) -> Decoded<()> {
        if self.left() == 0 { Ok(()) } else { Err(Damage::expected("nothing more")) }
    }
}

/// The checksum of everything that is read on its own: CRC-32C (Castagnoli).
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_read_back(value: u64) {
            let mut bytes = Vec::new();
            bytes.put_varint(value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn any_bytes_end_or_err(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.left() > 0 && reader.text(8).is_ok() {}
            prop_assert!(reader.left() <= bytes.len());
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(Reader::new(&bytes).varint().is_err());
    }
}
