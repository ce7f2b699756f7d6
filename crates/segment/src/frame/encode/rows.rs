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

    /// The number of a name, a kind, and where a part of a text starts and how long it is: mostly one store together.
    #[inline(always)]
    pub(super) fn put_part(&mut self, name: u32, kind: u8, start: usize, len: usize) {
        /// Numbers below take two bytes at most.
        const SHORT: usize = 1 << 14;
        if name >= 1 << 7 || start >= SHORT || len >= SHORT {
            self.put_varint(u64::from(name));
            self.put_u8(kind);
            self.put_varint(start as u64);
            return self.put_varint(len as u64);
        }
        let short = |number: usize| match number {
            0..0x80 => (number as u64, 1),
            _ => ((number & 0x7f | 0x80 | number >> 7 << 8) as u64, 2),
        };
        let ((start, start_bytes), (len, len_bytes)) = (short(start), short(len));
        let numbers = u64::from(name) | u64::from(kind) << 8 | start << 16 | len << (16 + 8 * start_bytes);
        *self.room::<8>() = numbers.to_le_bytes();
        self.at += 2 + start_bytes + len_bytes;
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

    #[test]
    fn parts_are_their_numbers() {
        let numbers = [0usize, 1, 127, 128, 129, 300, 16_383, 16_384, 1 << 20];
        let (mut rows, mut bytes) = (RowBytes::with_room(3), Vec::new());
        for name in [0, 127, 128, 70_000] {
            for (start, len) in numbers.iter().flat_map(|start| numbers.map(|len| (*start, len))) {
                rows.put_part(name, 9, start, len);
                bytes.put_varint(u64::from(name));
                bytes.put_u8(9);
                bytes.put_varint(start as u64);
                bytes.put_varint(len as u64);
            }
        }
        assert_eq!(rows.into_bytes(), bytes);
    }
}
