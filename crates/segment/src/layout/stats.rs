//! The least and greatest numbers of a column of a block.
//!
//! Owns: [`Stats`] and its bytes. Invariant: every number of the column lies between them, elements of lists
//! included; a NaN lies nowhere and is not counted.

use crate::bytes::{Put, Reader};
use crate::error::Decoded;

const INTS: u8 = 1;
const TIMES: u8 = 2;
const FLOATS: u8 = 4;

/// The least and greatest numbers of each type; none where there are no values of the type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Of the integers.
    pub ints: Option<(i64, i64)>,
    /// Of the timestamps, in nanoseconds.
    pub times: Option<(i64, i64)>,
    /// Of the floats, leaving out NaN.
    pub floats: Option<(f64, f64)>,
}

impl Stats {
    pub(crate) fn add_int(&mut self, value: i64) {
        widen(&mut self.ints, value);
    }

    pub(crate) fn add_time(&mut self, value: i64) {
        widen(&mut self.times, value);
    }

    pub(crate) fn add_float(&mut self, value: f64) {
        if !value.is_nan() {
            widen(&mut self.floats, value);
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        out.put_u8(
            flag(self.ints.is_some(), INTS)
                | flag(self.times.is_some(), TIMES)
                | flag(self.floats.is_some(), FLOATS),
        );
        for (least, most) in [self.ints, self.times].into_iter().flatten() {
            out.put_i64(least);
            out.put_i64(most);
        }
        if let Some((least, most)) = self.floats {
            out.put_u64(least.to_bits());
            out.put_u64(most.to_bits());
        }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Decoded<Self> {
        let flags = reader.u8()?;
        let mut stats = Self::default();
        if flags & INTS != 0 {
            stats.ints = Some((reader.i64()?, reader.i64()?));
        }
        if flags & TIMES != 0 {
            stats.times = Some((reader.i64()?, reader.i64()?));
        }
        if flags & FLOATS != 0 {
            stats.floats = Some((f64::from_bits(reader.u64()?), f64::from_bits(reader.u64()?)));
        }
        Ok(stats)
    }
}

fn widen<T: PartialOrd + Copy>(bounds: &mut Option<(T, T)>, value: T) {
    let (least, most) = bounds.get_or_insert((value, value));
    if value < *least {
        *least = value;
    }
    if value > *most {
        *most = value;
    }
}
