//! The rows of a frame on their way: many small numbers.
//!
//! Owns: [`RowBytes`]. Invariant: what was put is in front of `at`; what lies behind it is room.

/// Room that a number needs at most, and is looked for at once.
const NUMBER_BYTES_MAX: usize = 10;

/// Bytes that numbers are appended to, cheaper than to a vector: a number is one store.
#[derive(Debug)]
pub(super) struct RowBytes {
    bytes: Vec<u8>,
    at: usize,
}

impl RowBytes {
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], at: 0 }
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.at);
        self.bytes
    }

    /// Room for so many bytes behind what there is.
    #[inline(always)]
    fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        if self.bytes.len() - self.at < N {
            self.grow();
        }
        self.bytes[self.at..].first_chunk_mut().expect("there is room for a number")
    }

    #[cold]
    fn grow(&mut self) {
        let more = self.bytes.len().max(64 * NUMBER_BYTES_MAX);
        self.bytes.resize(self.bytes.len() + more, 0);
    }

    #[inline(always)]
    pub(super) fn put_u8(&mut self, value: u8) {
        *self.room::<1>() = [value];
        self.at += 1;
    }

    #[inline(always)]
    pub(super) fn put_i64(&mut self, value: i64) {
        *self.room::<8>() = value.to_le_bytes();
        self.at += 8;
    }

    /// LEB128: seven bits a byte, lowest first.
    #[inline(always)]
    pub(super) fn put_varint(&mut self, value: u64) {
        if value < 1 << 7 {
            self.put_u8(value as u8);
        } else if value < 1 << 14 {
            *self.room::<2>() = [value as u8 | 0x80, (value >> 7) as u8];
            self.at += 2;
        } else {
            self.put_long(value);
        }
    }

    #[inline(never)]
    fn put_long(&mut self, mut value: u64) {
        let (room, mut len) = (self.room::<NUMBER_BYTES_MAX>(), 0);
        while value >= 0x80 {
            room[len] = value as u8 | 0x80;
            value >>= 7;
            len += 1;
        }
        room[len] = value as u8;
        self.at += len + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Put;

    #[test]
    fn numbers_are_those_of_a_vector() {
        let (mut rows, mut bytes) = (RowBytes::with_room(3), Vec::new());
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                rows.put_varint(value);
                bytes.put_varint(value);
                rows.put_u8(value as u8);
                bytes.put_u8(value as u8);
                rows.put_i64(value as i64);
                bytes.put_i64(value as i64);
            }
        }
        assert_eq!(rows.into_bytes(), bytes);
    }
}
