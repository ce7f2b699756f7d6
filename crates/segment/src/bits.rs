//! Numbers of a few bits each, one after another, and sets of rows.
//!
//! Owns: bit packing (value `n` of width `w` lies at bits `n * w ..`, lowest bit first), [`Rows`].
//! Invariant: nothing is read behind the end of the packed bytes, whatever width and place are asked for.

use crate::error::{Damage, Decoded};

/// How many bytes `count` numbers of `width` bits take.
pub(crate) const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// How many bits it takes to tell numbers up to `max`.
pub(crate) const fn width_of(max: u64) -> u32 {
    u64::BITS - max.leading_zeros()
}

/// Appends numbers that fit into `width` bits.
pub(crate) fn pack(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u32) {
    let mut bits = BitWriter::new(out);
    values.for_each(|value| bits.put(value, width));
    bits.finish();
}

/// Appends numbers of any widths, one behind another.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    waiting: u64,
    waiting_bits: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, waiting: 0, waiting_bits: 0 }
    }

    /// Appends a number that fits into `width` bits.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, width: u32) {
        debug_assert!(width == 64 || value >> width == 0, "the width was chosen for the value");
        self.waiting |= value << self.waiting_bits;
        let bits = self.waiting_bits + width;
        if bits < u64::BITS {
            self.waiting_bits = bits;
            return;
        }
        self.out.extend_from_slice(&self.waiting.to_le_bytes());
        // What did not fit; if nothing was there before, all did.
        self.waiting = value.checked_shr(u64::BITS - self.waiting_bits).unwrap_or(0);
        self.waiting_bits = bits - u64::BITS;
    }

    /// Fills the last byte.
    pub(crate) fn finish(self) {
        let rest = self.waiting_bits.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.waiting.to_le_bytes()[..rest]);
    }
}

/// The number at this place.
#[inline]
pub(crate) fn unpack_one(bytes: &[u8], width: u32, at: usize) -> u64 {
    unpack_at(bytes, width, at * width as usize)
}

/// The number of `width` bits that starts at this bit.
#[inline]
pub(crate) fn unpack_at(bytes: &[u8], width: u32, bit: usize) -> u64 {
    let (byte, shift) = (bit / 8, bit % 8);
    if width <= WINDOW_WIDTH_MAX
        && let Some(window) = bytes.get(byte..byte + 8)
    {
        let window = u64::from_le_bytes(window.try_into().expect("eight bytes were taken"));
        return (window >> shift) & mask_of(width);
    }
    let mut window = [0; 16];
    let rest = bytes.get(byte..).unwrap_or_default();
    let len = rest.len().min(16);
    window[..len].copy_from_slice(&rest[..len]);
    (u128::from_le_bytes(window) >> shift) as u64 & mask_of(width)
}

/// Numbers of so many bits lie within the eight bytes that begin with their first one.
const WINDOW_WIDTH_MAX: u32 = 56;

fn mask_of(width: u32) -> u64 {
    if width == 64 { u64::MAX } else { (1 << width) - 1 }
}

/// How many numbers from the first on have eight bytes from the one on in which they begin, so that these can be had without
/// asking.
fn with_windows(bytes: &[u8], width: u32) -> usize {
    match (width, bytes.len().checked_sub(8)) {
        (1..=WINDOW_WIDTH_MAX, Some(last)) => (last * 8 + 7) / width as usize + 1,
        _ => 0,
    }
}

/// The eight bytes from the one on in which this bit is, without the bits before it.
#[inline]
fn window_at(bytes: &[u8], bit: usize) -> u64 {
    let byte = bit / 8;
    u64::from_le_bytes(bytes[byte..byte + 8].try_into().expect("eight bytes were taken")) >> (bit % 8)
}

/// The first numbers, each as what is made of it.
#[inline]
pub(crate) fn unpack_into(bytes: &[u8], width: u32, out: &mut [i64], mut value: impl FnMut(u64) -> i64) {
    let (first, rest) = out.split_at_mut(with_windows(bytes, width).min(out.len()));
    let (mask, mut bit) = (mask_of(width), 0);
    for out in first.iter_mut() {
        *out = value(window_at(bytes, bit) & mask);
        bit += width as usize;
    }
    for (out, at) in rest.iter_mut().zip(first.len()..) {
        *out = value(unpack_one(bytes, width, at));
    }
}

/// The sum of neighbouring numbers, as far as it fits.
pub(crate) fn unpack_sum(bytes: &[u8], width: u32, places: std::ops::Range<usize>) -> u64 {
    let (mask, mut bit) = (mask_of(width), places.start * width as usize);
    let first = places.start..with_windows(bytes, width).clamp(places.start, places.end);
    let rest = first.end..places.end;
    let mut sum = 0u64;
    for _ in first {
        sum = sum.wrapping_add(window_at(bytes, bit) & mask);
        bit += width as usize;
    }
    rest.fold(sum, |sum, at| sum.wrapping_add(unpack_one(bytes, width, at)))
}

/// Calls with the places of those of the first `count` numbers that are this one, ascending.
pub(crate) fn find_packed(bytes: &[u8], width: u32, count: usize, number: u64, mut call: impl FnMut(usize)) {
    if number & !mask_of(width) != 0 {
        return;
    }
    let mut at = 0;
    // As many at once as eight bytes have for certain.
    let many = (WINDOW_WIDTH_MAX + 1).checked_div(width).unwrap_or(0) as usize;
    if many > 1 {
        let ones = (0..many).fold(0, |ones, place| ones | 1u64 << (place as u32 * width));
        let (wanted, high) = (ones * number, ones << (width - 1));
        let low = (ones * mask_of(width)) & !high;
        let last = with_windows(bytes, width).min((count + 1).saturating_sub(many));
        while at < last {
            let other = window_at(bytes, at * width as usize) ^ wanted;
            // The high bit of each is set unless it is the number.
            let mut same = !(((other & low) + low) | other) & high;
            while same != 0 {
                call(at + (same.trailing_zeros() / width) as usize);
                same &= same - 1;
            }
            at += many;
        }
    }
    (at..count).filter(|at| unpack_one(bytes, width, *at) == number).for_each(call);
}

/// A set of rows of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    words: Vec<u64>,
    len: usize,
}

impl Rows {
    /// None of `len` rows.
    #[must_use]
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// All of `len` rows.
    #[must_use]
    pub fn all(len: usize) -> Self {
        let mut rows = Self { words: vec![u64::MAX; len.div_ceil(64)], len };
        rows.clear_tail();
        rows
    }

    /// How many rows the block has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no row is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many rows are in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether this row is in the set.
    #[must_use]
    pub fn contains(&self, row: usize) -> bool {
        row < self.len && self.words[row / 64] >> (row % 64) & 1 == 1
    }

    /// Puts a row in.
    ///
    /// # Panics
    /// If the block has no such row.
    #[inline]
    pub fn insert(&mut self, row: usize) {
        assert!(row < self.len, "the block has this row");
        self.words[row / 64] |= 1 << (row % 64);
    }

    /// Puts neighbouring rows in.
    ///
    /// # Panics
    /// If the block does not have them.
    pub fn insert_range(&mut self, range: std::ops::Range<usize>) {
        assert!(range.end <= self.len, "the block has these rows");
        for row in range {
            self.words[row / 64] |= 1 << (row % 64);
        }
    }

    /// How many of these neighbouring rows are in the set.
    ///
    /// # Panics
    /// If the block does not have them.
    #[must_use]
    pub fn count_within(&self, range: std::ops::Range<usize>) -> usize {
        self.count_masked(range, |at| self.words[at])
    }

    /// How many of these neighbouring rows are in both sets, which are of one block.
    pub(crate) fn count_both_within(&self, other: &Self, range: std::ops::Range<usize>) -> usize {
        debug_assert_eq!(self.len, other.len, "sets of the same block");
        self.count_masked(range, |at| self.words[at] & other.words[at])
    }

    fn count_masked(&self, range: std::ops::Range<usize>, word: impl Fn(usize) -> u64) -> usize {
        assert!(range.end <= self.len, "the block has these rows");
        if range.is_empty() {
            return 0;
        }
        let (first, last) = (range.start / 64, (range.end - 1) / 64);
        let ones = |at: usize| {
            let mut word = word(at);
            if at == first {
                word &= u64::MAX << (range.start % 64);
            }
            if at == last {
                word &= u64::MAX >> (63 - (range.end - 1) % 64);
            }
            word.count_ones() as usize
        };
        (first..=last).map(ones).sum()
    }

    /// Calls with those of these neighbouring rows that are in the set, ascending; as [`Rows::iter_within`], for less.
    pub(crate) fn for_each_within(&self, range: std::ops::Range<usize>, mut call: impl FnMut(usize)) {
        assert!(range.end <= self.len, "the block has these rows");
        if range.is_empty() {
            return;
        }
        let (first, last) = (range.start / 64, (range.end - 1) / 64);
        for at in first..=last {
            let mut word = self.words[at];
            if at == first {
                word &= u64::MAX << (range.start % 64);
            }
            if at == last {
                word &= u64::MAX >> (63 - (range.end - 1) % 64);
            }
            while word != 0 {
                call(at * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }

    /// Those of these neighbouring rows that are in the set, ascending.
    ///
    /// # Panics
    /// If the block does not have them.
    pub fn iter_within(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = usize> + '_ {
        assert!(range.end <= self.len, "the block has these rows");
        let words = range.start / 64..range.end.div_ceil(64).max(range.start / 64);
        let ones = words.flat_map(|at| ones(self.words[at]).map(move |bit| at * 64 + bit));
        ones.filter(move |row| range.contains(row))
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: usize) {
        if row < self.len {
            self.words[row / 64] &= !(1 << (row % 64));
        }
    }

    /// Keeps what is in `other` too.
    pub fn intersect(&mut self, other: &Self) {
        debug_assert_eq!(self.len, other.len, "sets of the same block");
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Adds what is in `other`.
    pub fn unite(&mut self, other: &Self) {
        debug_assert_eq!(self.len, other.len, "sets of the same block");
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Takes out what is in `other`.
    pub fn subtract(&mut self, other: &Self) {
        debug_assert_eq!(self.len, other.len, "sets of the same block");
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// The rows in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| ones(*word).map(move |bit| at * 64 + bit))
    }

    /// Of these words, lowest bit first; bits behind the last row are left out.
    pub(crate) fn from_words(words: Vec<u64>, len: usize) -> Self {
        assert_eq!(words.len(), len.div_ceil(64), "a bit for each row");
        let mut rows = Self { words, len };
        rows.clear_tail();
        rows
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The bytes of the set, eight rows each, lowest bit first.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let bytes = self.words.iter().flat_map(|word| word.to_le_bytes());
        out.extend(bytes.take(self.len.div_ceil(8)));
    }

    /// From the bytes of [`Rows::put`].
    pub(crate) fn parse(bytes: &[u8], len: usize) -> Decoded<Self> {
        if bytes.len() != len.div_ceil(8) {
            return Err(Damage::expected("a bit for each row"));
        }
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        };
        let mut rows = Self { words: bytes.chunks(8).map(word).collect(), len };
        rows.clear_tail();
        Ok(rows)
    }

    fn clear_tail(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.len.is_multiple_of(64)
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }
}

impl FromIterator<bool> for Rows {
    fn from_iter<T: IntoIterator<Item = bool>>(bits: T) -> Self {
        let mut rows = Self { words: Vec::new(), len: 0 };
        for bit in bits {
            if rows.len.is_multiple_of(64) {
                rows.words.push(0);
            }
            rows.words[rows.len / 64] |= u64::from(bit) << (rows.len % 64);
            rows.len += 1;
        }
        rows
    }
}

/// The places of the bits that are set, ascending.
pub(crate) fn ones(word: u64) -> impl Iterator<Item = usize> {
    Ones(word)
}

struct Ones(u64);

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_numbers_read_back(width in 0u32..=64, raw in prop::collection::vec(any::<u64>(), 0..200)) {
            let values: Vec<u64> = raw.iter().map(|v| if width == 0 { 0 } else { v >> (64 - width) }).collect();
            let mut bytes = Vec::new();
            pack(&mut bytes, values.iter().copied(), width);
            prop_assert_eq!(bytes.len(), packed_bytes(values.len(), width));
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(unpack_one(&bytes, width, at), *value);
            }
            unpack_one(&bytes, width, values.len() + 100);
            let mut all = vec![0; values.len()];
            unpack_into(&bytes, width, &mut all, |value| value as i64);
            prop_assert!(all.iter().zip(&values).all(|(found, value)| *found as u64 == *value));
            for from in 0..values.len() {
                let to = from + (values.len() - from) / 2;
                let sum = values[from..to].iter().fold(0u64, |sum, value| sum.wrapping_add(*value));
                prop_assert_eq!(unpack_sum(&bytes, width, from..to), sum);
            }
        }

        #[test]
        fn numbers_are_found_where_they_lie(
            width in 0u32..=64, numbers in prop::collection::vec(any::<u64>(), 1..4),
            which in prop::collection::vec(0usize..4, 0..300),
        ) {
            // Beside each number those that differ from it in one bit.
            let fits = |number: u64| if width == 0 { 0 } else { number >> (64 - width) };
            let near = |at: usize| fits(numbers[at % numbers.len()] ^ (1u64 << 63).wrapping_shr(at as u32));
            let values: Vec<u64> = which.iter().enumerate().map(|(at, one)| near(one * (at % 66))).collect();
            let mut bytes = Vec::new();
            pack(&mut bytes, values.iter().copied(), width);
            for number in numbers.iter().flat_map(|number| [fits(*number), *number]).chain(values.iter().copied()) {
                let mut found = Vec::new();
                find_packed(&bytes, width, values.len(), number, |at| found.push(at));
                let naive: Vec<usize> = (0..values.len()).filter(|at| values[*at] == number).collect();
                prop_assert_eq!(found, naive);
            }
        }

        #[test]
        fn rows_are_sets(bits in prop::collection::vec(any::<bool>(), 0..200)) {
            let rows: Rows = bits.iter().copied().collect();
            prop_assert_eq!(rows.count(), bits.iter().filter(|bit| **bit).count());
            prop_assert!(rows.iter().all(|row| bits[row]));
            for (start, end) in [(0, bits.len()), (bits.len() / 3, bits.len() / 2), (bits.len() / 2, bits.len())] {
                let naive = bits[start..end].iter().filter(|bit| **bit).count();
                prop_assert_eq!(rows.count_within(start..end), naive);
                let other: Rows = bits.iter().enumerate().map(|(at, bit)| *bit != (at % 3 == 0)).collect();
                let both = (start..end).filter(|row| rows.contains(*row) && other.contains(*row)).count();
                prop_assert_eq!(rows.count_both_within(&other, start..end), both);
            }
            let mut bytes = Vec::new();
            rows.put(&mut bytes);
            prop_assert_eq!(Rows::parse(&bytes, bits.len()), Ok(rows.clone()));
            let mut rest = Rows::all(bits.len());
            rest.subtract(&rows);
            prop_assert_eq!(rest.count() + rows.count(), bits.len());
        }
    }
}
