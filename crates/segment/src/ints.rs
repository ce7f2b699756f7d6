//! Columns of 64-bit integers: frames of 1024, each constant, packed above its least value, or packed as
//! differences.
//!
//! Owns: this encoding, which also carries timestamps, lengths and the codes of dictionaries.
//! Does not own: what the numbers mean.
//! Invariant: any numbers read back exactly; arithmetic wraps, so differences may exceed 63 bits.

pub(crate) mod planes;

use std::ops::Range;

use self::planes::{DELTA_PLANES, PLANES};
use crate::bits::{Rows, find_packed, pack, packed_bytes, unpack_into, unpack_one, unpack_sum, width_of};
use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};

/// Numbers in one frame. Reading one number decodes at most this many.
pub(crate) const FRAME_ROWS: usize = 1024;

/// Numbers in one frame of planes: longer planes compress better.
const PLANES_FRAME_ROWS: usize = 64 << 10;
const _: () = assert!(
    FRAME_ROWS.is_power_of_two() && PLANES_FRAME_ROWS.is_power_of_two(),
    "places are told by shifting"
);
/// Bit of the scale that says that frames are of so many numbers.
const PLANES_FRAMES: u8 = 0x80;

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
const DELTA: u8 = 2;

/// Numbers of which all in a column may be multiples; times in whole milliseconds or seconds are common.
const SCALES: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// In as few bits as they need.
    Bits,
    /// In bytes that compress well, for what is compressed as a whole: texts are as they are then.
    Planes,
}

/// Appends a column.
pub(crate) fn encode(out: &mut Vec<u8>, values: &[i64]) {
    encode_as(Packing::Bits, out, values);
}

/// Appends a column, packed in one way or the other.
pub(crate) fn encode_as(packing: Packing, out: &mut Vec<u8>, values: &[i64]) {
    let scale = scale_of(values);
    let (frames, frame_rows) = match packing {
        Packing::Bits => (0, FRAME_ROWS),
        Packing::Planes => (PLANES_FRAMES, PLANES_FRAME_ROWS),
    };
    out.put_u8(scale as u8 | frames);
    if scale == 0 && packing == Packing::Bits {
        // Most columns: nothing is divided.
        return values.chunks(FRAME_ROWS).for_each(|chunk| encode_frame(out, chunk));
    }
    let mut frame = Vec::with_capacity(frame_rows.min(values.len()));
    for chunk in values.chunks(frame_rows) {
        frame.clear();
        frame.extend(chunk.iter().map(|value| value / SCALES[scale]));
        match packing {
            Packing::Bits => encode_frame(out, &frame),
            Packing::Planes => planes::encode_frame(out, &frame),
        }
    }
}

/// The index of the largest scale that divides all values.
fn scale_of(values: &[i64]) -> usize {
    let mut scale = SCALES.len() - 1;
    for value in values.iter().filter(|value| **value != 0) {
        while value % SCALES[scale] != 0 {
            scale -= 1;
        }
        if scale == 0 {
            break;
        }
    }
    scale
}

fn encode_frame(out: &mut Vec<u8>, values: &[i64]) {
    let (least, most) = bounds(values.iter().copied());
    if least == most {
        out.put_u8(CONSTANT);
        out.put_i64(least);
        return;
    }
    let width = width_of(most.wrapping_sub(least) as u64);
    let deltas = || values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let (least_delta, most_delta) = bounds(deltas());
    let delta_width = width_of(most_delta.wrapping_sub(least_delta) as u64);
    if delta_width + DELTA_GAIN_BITS_MIN <= width {
        out.put_u8(DELTA);
        out.put_u8(delta_width as u8);
        out.put_i64(values[0]);
        out.put_i64(least_delta);
        pack(out, deltas().map(|delta| delta.wrapping_sub(least_delta) as u64), delta_width);
    } else {
        out.put_u8(PACKED);
        out.put_u8(width as u8);
        out.put_i64(least);
        pack(out, values.iter().map(|value| value.wrapping_sub(least) as u64), width);
    }
}

/// Differences have to save this many bits a number, because reading one of them means adding up the frame.
const DELTA_GAIN_BITS_MIN: u32 = 2;

fn bounds(values: impl Iterator<Item = i64>) -> (i64, i64) {
    values.fold((i64::MAX, i64::MIN), |(least, most), value| (least.min(value), most.max(value)))
}

/// A column that was found to be well-formed; the numbers stay in the bytes it was parsed from.
#[derive(Clone, Debug)]
pub(crate) struct Ints {
    scale: i64,
    count: usize,
    frame_rows: usize,
    frames: Box<[Frame]>,
}

#[derive(Clone, Debug)]
struct Frame {
    mode: u8,
    width: u32,
    first: i64,
    least: i64,
    packed: Range<usize>,
}

/// The frame that was read last.
#[derive(Clone, Debug, Default)]
pub(crate) struct IntsCursor {
    frame: Option<usize>,
    values: Vec<i64>,
}

/// How far the differences of a frame were added up.
#[derive(Default)]
struct Walk {
    frame: Option<usize>,
    at: usize,
    value: i64,
    /// All numbers of the frame, where they cannot be had one by one.
    decoded: Vec<i64>,
}

impl Walk {
    /// The number at this place of a frame of differences, not yet scaled: no place before the one of the last call in it.
    fn go_on(&mut self, number: usize, frame: &Frame, bytes: &[u8], at: usize) -> i64 {
        if self.frame != Some(number) {
            (self.frame, self.at, self.value) = (Some(number), 0, frame.first);
        }
        let above = unpack_sum(&bytes[frame.packed.clone()], frame.width, self.at..at);
        let least = frame.least.wrapping_mul((at - self.at) as i64);
        (self.at, self.value) = (at, self.value.wrapping_add(least).wrapping_add(above as i64));
        self.value
    }
}

impl Ints {
    /// Reads where the frames of `count` numbers lie.
    pub(crate) fn parse(reader: &mut Reader<'_>, count: usize) -> Decoded<Self> {
        let head = reader.u8()?;
        let scale = SCALES.get(usize::from(head & !PLANES_FRAMES));
        let scale = *scale.ok_or(Damage::unknown("scale of integers", head))?;
        let frame_rows = if head & PLANES_FRAMES == 0 { FRAME_ROWS } else { PLANES_FRAME_ROWS };
        let frame_count = count.div_ceil(frame_rows);
        if frame_count > reader.left() {
            return Err(Damage::expected("more frames of integers"));
        }
        let frames = (0..frame_count).map(|at| Frame::parse(reader, frame_rows.min(count - at * frame_rows)));
        Ok(Self { scale, count, frame_rows, frames: frames.collect::<Decoded<_>>()? })
    }

    /// Makes do without the bytes before the first of its frames: says how many these are, all if it needs none.
    pub(crate) fn forget_before(&mut self) -> usize {
        let starts =
            self.frames.iter().filter(|frame| !frame.packed.is_empty()).map(|frame| frame.packed.start);
        let start = starts.min().unwrap_or(usize::MAX);
        for frame in &mut self.frames {
            frame.packed = frame.packed.start.saturating_sub(start)..frame.packed.end.saturating_sub(start);
        }
        start
    }

    /// About how much memory it takes besides the bytes it was parsed from.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.frames.len() * size_of::<Frame>()
    }

    /// Reads `count` numbers at once.
    pub(crate) fn parse_and_decode(reader: &mut Reader<'_>, count: usize) -> Decoded<Vec<i64>> {
        let ints = Self::parse(reader, count)?;
        Ok(ints.decode(reader.bytes()))
    }

    /// All numbers. `bytes` are those it was parsed from.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Vec<i64> {
        let mut values = Vec::with_capacity(self.count);
        for frame in 0..self.frames.len() {
            self.decode_frame(bytes, frame, &mut values);
        }
        values
    }

    /// The number at this place. `bytes` are those it was parsed from.
    pub(crate) fn get(&self, bytes: &[u8], at: usize, cursor: &mut IntsCursor) -> i64 {
        assert!(at < self.count, "the column has this number");
        // A frame has a power of two of them.
        let (number, at) = (at >> self.frame_rows.trailing_zeros(), at & (self.frame_rows - 1));
        let frame = &self.frames[number];
        match frame.mode {
            CONSTANT => frame.first.wrapping_mul(self.scale),
            PACKED => {
                let above = unpack_one(&bytes[frame.packed.clone()], frame.width, at);
                frame.least.wrapping_add(above as i64).wrapping_mul(self.scale)
            }
            PLANES => {
                let count = self.frame_rows.min(self.count - number * self.frame_rows);
                let above = planes::get(&bytes[frame.packed.clone()], count, at);
                frame.least.wrapping_add(above as i64).wrapping_mul(self.scale)
            }
            _ => {
                if cursor.frame != Some(number) {
                    cursor.values.clear();
                    self.decode_frame(bytes, number, &mut cursor.values);
                    cursor.frame = Some(number);
                }
                cursor.values[at]
            }
        }
    }

    /// The numbers at these places.
    pub(crate) fn pick(&self, bytes: &[u8], places: &Rows) -> Vec<i64> {
        /// With fewer wanted than one in so many, only what they need is decoded.
        const PART: usize = 4;
        if places.count() * PART >= self.count {
            let all = self.decode(bytes);
            if places.count() == all.len() {
                return all;
            }
            let mut picked = Vec::with_capacity(places.count());
            picked.extend(places.iter().map(|at| all[at]));
            return picked;
        }
        let (mut cursor, mut walk) = (IntsCursor::default(), Walk::default());
        let mut picked = Vec::with_capacity(places.count());
        picked.extend(places.iter().map(|at| {
            let (number, behind) = (at >> self.frame_rows.trailing_zeros(), at & (self.frame_rows - 1));
            match &self.frames[number] {
                frame if frame.mode == DELTA => {
                    walk.go_on(number, frame, bytes, behind).wrapping_mul(self.scale)
                }
                _ => self.get(bytes, at, &mut cursor),
            }
        }));
        picked
    }

    /// The number that all of them are, if they are one.
    pub(crate) fn constant(&self) -> Option<i64> {
        let first = self.frames.first()?.first;
        let same = |frame: &Frame| frame.mode == CONSTANT && frame.first == first;
        self.frames.iter().all(same).then(|| first.wrapping_mul(self.scale))
    }

    /// The places whose numbers are accepted: the table says so for each number, and none beyond it is.
    pub(crate) fn select(&self, bytes: &[u8], accepted: &[bool]) -> Rows {
        let mut words = vec![0u64; self.count.div_ceil(64)];
        let is_accepted = |number: i64| {
            usize::try_from(number).is_ok_and(|number| accepted.get(number).copied().unwrap_or(false))
        };
        // Most often one is asked for, which is compared for less.
        let mut all = (0..).zip(accepted).filter(|(_, accepted)| **accepted).map(|(number, _)| number);
        let only: Option<i64> = all.next().filter(|_| all.next().is_none());
        let mut values = Vec::new();
        for (number, frame) in self.frames.iter().enumerate() {
            let start = number * self.frame_rows;
            let count = self.frame_rows.min(self.count - start);
            let words = &mut words[start / 64..(start + count).div_ceil(64)];
            match frame.mode {
                CONSTANT if !is_accepted(frame.first.wrapping_mul(self.scale)) => {}
                PACKED if matches!(frame.width, 1 | 2 | 4) => {
                    let value = |above: u64| frame.least.wrapping_add(above as i64).wrapping_mul(self.scale);
                    select_narrow(
                        &bytes[frame.packed.clone()],
                        frame.width,
                        |above| is_accepted(value(above)),
                        words,
                    );
                }
                PACKED => {
                    let value = |above: u64| frame.least.wrapping_add(above as i64).wrapping_mul(self.scale);
                    let packed = &bytes[frame.packed.clone()];
                    match only {
                        Some(only) if self.scale == 1 => {
                            let above = only.wrapping_sub(frame.least) as u64;
                            find_packed(packed, frame.width, count, above, |at| {
                                words[at / 64] |= 1 << (at % 64);
                            });
                        }
                        _ => {
                            select_packed(
                                packed,
                                frame.width,
                                count,
                                |above| is_accepted(value(above)),
                                words,
                            );
                        }
                    }
                }
                _ => {
                    values.clear();
                    self.decode_frame(bytes, number, &mut values);
                    for (word, values) in words.iter_mut().zip(values.chunks(64)) {
                        for (bit, value) in values.iter().enumerate() {
                            *word |= u64::from(is_accepted(*value)) << bit;
                        }
                    }
                }
            }
        }
        Rows::from_words(words, self.count)
    }

    /// For each of `wanted`, which ascend, how many numbers are less; the numbers have to ascend too. Frames are decoded
    /// only where one of `wanted` lies within.
    pub(crate) fn below(&self, bytes: &[u8], wanted: &[i64]) -> Vec<usize> {
        let mut cursor = IntsCursor::default();
        let mut first = |frame: usize| self.get(bytes, frame * self.frame_rows, &mut cursor);
        let firsts: Vec<i64> = (0..self.frames.len())
            .map(|frame| self.first_of(frame).unwrap_or_else(|| first(frame)))
            .collect();
        let mut walk = Walk::default();
        let mut below = Vec::with_capacity(wanted.len());
        for limit in wanted {
            // Numbers that are less lie in frames that begin with such a one.
            let frame = firsts.partition_point(|first| first < limit);
            let Some(frame) = frame.checked_sub(1) else {
                below.push(0);
                continue;
            };
            below.push(frame * self.frame_rows + self.below_in(bytes, frame, *limit, &mut walk));
        }
        below
    }

    /// How many numbers of a frame, which ascend, are less than a limit, which is no less than the one before. Differences
    /// are only added up as far as they have to be.
    fn below_in(&self, bytes: &[u8], number: usize, limit: i64, walk: &mut Walk) -> usize {
        let count = self.frame_rows.min(self.count - number * self.frame_rows);
        let Frame { mode, width, first, least, ref packed } = self.frames[number];
        let (packed, scale) = (&bytes[packed.clone()], self.scale);
        let value = |at: usize| least.wrapping_add(unpack_one(packed, width, at) as i64).wrapping_mul(scale);
        match mode {
            CONSTANT if first.wrapping_mul(scale) < limit => count,
            CONSTANT => 0,
            PACKED => {
                let (mut from, mut to) = (0, count);
                while from < to {
                    let middle = from + (to - from) / 2;
                    if value(middle) < limit { from = middle + 1 } else { to = middle }
                }
                from
            }
            DELTA => {
                if walk.frame != Some(number) {
                    (walk.frame, walk.at, walk.value) = (Some(number), 0, first);
                }
                let Walk { mut at, mut value, .. } = *walk;
                while at < count && value.wrapping_mul(scale) < limit {
                    if at + 1 < count {
                        value = value.wrapping_add(least).wrapping_add(unpack_one(packed, width, at) as i64);
                    }
                    at += 1;
                }
                (walk.at, walk.value) = (at, value);
                at
            }
            _ => {
                if walk.frame != Some(number) {
                    walk.frame = Some(number);
                    walk.decoded.clear();
                    self.decode_frame(bytes, number, &mut walk.decoded);
                }
                walk.decoded.partition_point(|number| *number < limit)
            }
        }
    }

    /// The first number of a frame, where it can be told without decoding.
    fn first_of(&self, frame: usize) -> Option<i64> {
        let Frame { mode, first, .. } = self.frames[frame];
        (mode != PACKED && mode != PLANES).then(|| first.wrapping_mul(self.scale))
    }

    fn decode_frame(&self, bytes: &[u8], number: usize, out: &mut Vec<i64>) {
        let count = self.frame_rows.min(self.count - number * self.frame_rows);
        let Frame { mode, width, first, least, ref packed } = self.frames[number];
        let (packed, scale) = (&bytes[packed.clone()], self.scale);
        match mode {
            CONSTANT => out.extend(std::iter::repeat_n(first.wrapping_mul(scale), count)),
            PACKED => {
                let value = |above: u64| least.wrapping_add(above as i64).wrapping_mul(scale);
                unpack_into(packed, width, with_more(out, count), value);
            }
            PLANES => {
                let value = |above: u64| least.wrapping_add(above as i64).wrapping_mul(scale);
                out.extend(planes::all(packed, count).into_iter().map(value));
            }
            DELTA_PLANES => {
                let mut value = first;
                out.push(value.wrapping_mul(scale));
                out.extend(planes::all(packed, count - 1).into_iter().map(|delta| {
                    value = value.wrapping_add(planes::unzigzag(delta));
                    value.wrapping_mul(scale)
                }));
            }
            _ => {
                let mut value = first;
                out.push(value.wrapping_mul(scale));
                unpack_into(packed, width, with_more(out, count - 1), |delta| {
                    value = value.wrapping_add(least).wrapping_add(delta as i64);
                    value.wrapping_mul(scale)
                });
            }
        }
    }
}

/// Room for so many more numbers.
fn with_more(out: &mut Vec<i64>, count: usize) -> &mut [i64] {
    let start = out.len();
    out.resize(start + count, 0);
    &mut out[start..]
}

/// Sets a bit for each accepted number.
fn select_packed(packed: &[u8], width: u32, count: usize, accepts: impl Fn(u64) -> bool, words: &mut [u64]) {
    for (word, from) in words.iter_mut().zip((0..count).step_by(64)) {
        for at in from..count.min(from + 64) {
            *word |= u64::from(accepts(unpack_one(packed, width, at))) << (at - from);
        }
    }
}

/// Sets a bit for each accepted number of a few bits, as many at once as a byte has.
fn select_narrow(packed: &[u8], width: u32, accepts: impl Fn(u64) -> bool, words: &mut [u64]) {
    let of_byte = (u8::BITS / width) as usize;
    let mask = (1u64 << width) - 1;
    let mut table = [0u8; 256];
    let accepted: Vec<bool> = (0..=mask).map(accepts).collect();
    for (byte, bits) in table.iter_mut().enumerate() {
        for at in 0..of_byte {
            let number = (byte >> (at * width as usize)) as u64 & mask;
            *bits |= u8::from(accepted[number as usize]) << at;
        }
    }
    let of_word = 64 / of_byte;
    for (word, packed) in words.iter_mut().zip(packed.chunks(of_word)) {
        for (at, byte) in packed.iter().enumerate() {
            *word |= u64::from(table[usize::from(*byte)]) << (at * of_byte);
        }
    }
}

impl Frame {
    fn parse(reader: &mut Reader<'_>, count: usize) -> Decoded<Self> {
        let mode = reader.u8()?;
        if mode == CONSTANT {
            let first = reader.i64()?;
            return Ok(Self { mode, width: 0, first, least: 0, packed: 0..0 });
        }
        if mode == PLANES || mode == DELTA_PLANES {
            let width = usize::from(reader.u8()?);
            if width > size_of::<u64>() {
                return Err(Damage::expected("integers of at most 64 bits"));
            }
            let (start, count) = (reader.i64()?, if mode == PLANES { count } else { count - 1 });
            let packed = reader.skip(width * count)?;
            return Ok(Self { mode, width: width as u32, first: start, least: start, packed });
        }
        if mode != PACKED && mode != DELTA {
            return Err(Damage::unknown("frame of integers", mode));
        }
        let width = u32::from(reader.u8()?);
        if width > u64::BITS {
            return Err(Damage::expected("integers of at most 64 bits"));
        }
        let first = if mode == DELTA { reader.i64()? } else { 0 };
        let least = reader.i64()?;
        let packed_count = if mode == DELTA { count - 1 } else { count };
        let packed = reader.skip(packed_bytes(packed_count, width))?;
        Ok(Self { mode, width, first, least, packed })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[i64]) {
        round_trip_as(Packing::Bits, values);
        round_trip_as(Packing::Planes, values);
    }

    fn round_trip_as(packing: Packing, values: &[i64]) {
        let mut bytes = vec![0xaa; 3];
        encode_as(packing, &mut bytes, values);
        bytes.push(0x55);
        let mut reader = Reader::new(&bytes);
        reader.take(3).unwrap();
        let ints = Ints::parse(&mut reader, values.len()).unwrap();
        assert_eq!(reader.left(), 1);
        assert_eq!(ints.decode(&bytes), values);
        let mut cursor = IntsCursor::default();
        for (at, value) in values.iter().enumerate().step_by(7) {
            assert_eq!(ints.get(&bytes, at, &mut cursor), *value);
        }
        for (part, from) in [(1, 0), (5, 3), (700, 1), (1024, 1023), (5000, 0)] {
            let is_wanted = |at: usize| at >= from && (at - from).is_multiple_of(part);
            let places: Rows = (0..values.len()).map(is_wanted).collect();
            let wanted: Vec<i64> = places.iter().map(|at| values[at]).collect();
            assert_eq!(ints.pick(&bytes, &places), wanted);
        }
    }

    proptest! {
        #[test]
        fn those_below_are_counted(
            steps in prop::collection::vec(prop_oneof![Just(0i64), 0i64..1000, 0i64..1_000_000_000], 1..4000),
            wanted in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut at = -5_000_000;
            let values: Vec<i64> = steps.iter().map(|step| { at += step; at }).collect();
            let mut wanted: Vec<i64> = wanted.iter().map(|index| values[index.index(values.len())]).collect();
            wanted.extend([i64::MIN, values[0], at, at + 1, i64::MAX]);
            wanted.sort_unstable();
            let expected: Vec<usize> = wanted.iter().map(|limit| values.partition_point(|value| value < limit)).collect();
            for packing in [Packing::Bits, Packing::Planes] {
                let mut bytes = Vec::new();
                encode_as(packing, &mut bytes, &values);
                let ints = Ints::parse(&mut Reader::new(&bytes), values.len()).unwrap();
                prop_assert_eq!(&ints.below(&bytes, &wanted), &expected);
            }
        }

        #[test]
        fn accepted_numbers_are_selected(
            values in prop::collection::vec(0i64..700, 1..3000), count in prop::sample::select(vec![1i64, 2, 4, 7, 300, 700]),
            scale in prop::sample::select(vec![1i64, 1000]), some in prop::collection::vec(0usize..700, 0..4),
            all in prop::collection::vec(any::<bool>(), 0..7), one_by_one: bool,
        ) {
            let values: Vec<i64> = values.iter().map(|value| value % count * scale).collect();
            let mut accepted = if one_by_one { vec![false; 700 * scale as usize] } else { all };
            if one_by_one {
                some.iter().for_each(|number| accepted[number % count as usize * scale as usize] = true);
            }
            let naive: Rows = values.iter().map(|value| accepted.get(*value as usize).copied().unwrap_or(false)).collect();
            for packing in [Packing::Bits, Packing::Planes] {
                let mut bytes = Vec::new();
                encode_as(packing, &mut bytes, &values);
                let ints = Ints::parse(&mut Reader::new(&bytes), values.len()).unwrap();
                prop_assert_eq!(&ints.select(&bytes, &accepted), &naive);
            }
        }

        #[test]
        fn any_integers_read_back(values in prop::collection::vec(any::<i64>(), 0..3000)) {
            round_trip(&values);
        }

        #[test]
        fn times_read_back(
            start: i64, scale in prop::sample::select(SCALES.to_vec()),
            steps in prop::collection::vec(-5i64..100_000, 0..3000),
        ) {
            let times = steps.iter().scan(start / scale, |time, step| { *time = time.wrapping_add(*step); Some(*time) });
            let times: Vec<i64> = times.map(|time| time.wrapping_mul(scale)).collect();
            round_trip(&times);
        }
    }

    #[test]
    fn extremes_read_back() {
        round_trip(&[]);
        round_trip(&[i64::MIN, i64::MAX, 0, -1, i64::MIN]);
        round_trip(&[i64::MIN; 5]);
    }

    #[test]
    fn regular_times_take_a_few_bits() {
        let times: Vec<i64> = (0..1024).map(|n| 1_700_000_000_000_000_000 + n * 1_000_000).collect();
        let mut bytes = Vec::new();
        encode(&mut bytes, &times);
        assert!(bytes.len() < 32, "{}", bytes.len());
    }
}
