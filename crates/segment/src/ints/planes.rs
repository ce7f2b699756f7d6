//! Frames of integers for bytes that are compressed as a whole afterwards: byte by byte, the lowest bytes of all numbers
//! first.
//!
//! Owns: these two frames, and which of them suits some numbers.
//! Invariant: any numbers read back exactly.

use super::{CONSTANT, bounds};
use crate::bytes::Put;

/// Numbers above the least one.
pub(super) const PLANES: u8 = 3;
/// Differences between neighbours.
pub(super) const DELTA_PLANES: u8 = 4;

/// Appends a frame of at least one number.
pub(super) fn encode_frame(out: &mut Vec<u8>, values: &[i64]) {
    let (least, most) = bounds(values.iter().copied());
    if least == most {
        out.put_u8(CONSTANT);
        out.put_i64(least);
        return;
    }
    // From zero on, if that takes no more bytes: then equal numbers are equal bytes in every frame.
    let from_zero = least >= 0 && width_of(&[most as u64]) <= width_of(&[most.wrapping_sub(least) as u64]);
    let least = if from_zero { 0 } else { least };
    let above: Vec<u64> = values.iter().map(|value| value.wrapping_sub(least) as u64).collect();
    let deltas: Vec<u64> = values.windows(2).map(|pair| zigzag(pair[1].wrapping_sub(pair[0]))).collect();
    if cost(&deltas) < cost(&above) {
        out.put_u8(DELTA_PLANES);
        out.put_u8(width_of(&deltas));
        out.put_i64(values[0]);
        put(out, &deltas);
    } else {
        out.put_u8(PLANES);
        out.put_u8(width_of(&above));
        out.put_i64(least);
        put(out, &above);
    }
}

/// How many bytes the largest of these takes.
pub(crate) fn width_of(numbers: &[u64]) -> u8 {
    let all = numbers.iter().fold(0, |all, number| all | number);
    all.checked_ilog2().map_or(0, |bits| (bits / 8 + 1) as u8)
}

/// Appends numbers, plane by plane, as many as the largest needs.
pub(crate) fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    for plane in 0..width_of(numbers) {
        out.extend(numbers.iter().map(|number| (number >> (plane * 8)) as u8));
    }
}

/// The number at this place of `count` numbers in as many planes as there are bytes for.
#[inline]
pub(crate) fn get(planes: &[u8], count: usize, at: usize) -> u64 {
    let plane = |(number, plane): (usize, &[u8])| {
        u64::from(plane.get(at).copied().unwrap_or_default()) << (number * 8)
    };
    planes.chunks(count).take(8).enumerate().map(plane).sum()
}

/// All of `count` numbers.
pub(crate) fn all(planes: &[u8], count: usize) -> Vec<u64> {
    let mut numbers = vec![0; count];
    if count > 0 {
        for (number, plane) in planes.chunks(count).take(8).enumerate() {
            for (all, byte) in numbers.iter_mut().zip(plane) {
                *all |= u64::from(*byte) << (number * 8);
            }
        }
    }
    numbers
}

/// Small numbers for small differences of either sign.
pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// The difference that a number stands for.
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// About how many bits compressing the planes of these numbers will leave, by how often each byte comes in each plane.
pub(crate) fn cost(numbers: &[u64]) -> u64 {
    /// What it costs to tell which bytes there are.
    const SYMBOL_BITS: f64 = 6.0;
    let mut bits = 0.0;
    for plane in 0..width_of(numbers) {
        let mut counts = [0u32; 256];
        numbers.iter().for_each(|number| counts[usize::from((number >> (plane * 8)) as u8)] += 1);
        let all = numbers.len() as f64;
        for count in counts.into_iter().filter(|count| *count > 0).map(f64::from) {
            bits += count * (all / count).log2() + SYMBOL_BITS;
        }
    }
    bits as u64
}
