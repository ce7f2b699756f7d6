//! Values of many rows at once, a whole column at a time.
//!
//! Owns: [`Picked`]. Does not own: what becomes of them (`segment`).
//! Invariant: no more is made of a column than its block was made of.

use sawyer_model::{Timestamp, Value, ValueRef};

use super::{Cursor, Values, kind};
use crate::bits::Rows;
use crate::encode::{NUMBER_BYTES, raw_bytes};
use crate::error::{Damage, Result};
use crate::source::Data;
use crate::text::Texts;

/// The values at some places, one behind the other.
#[derive(Debug)]
pub(crate) enum Picked {
    Ints(Vec<i64>),
    Times(Vec<i64>),
    /// Numbers of entries, which damage can make any. There are no more entries than numbers.
    Codes(Vec<i64>),
    Texts(Texts),
    Others(Vec<Value>),
}

/// About how long a text is, for making room.
const TEXT_BYTES: usize = 96;
/// The same of an entry.
const ENTRY_BYTES: usize = 32;

impl Values {
    /// The values at these places, and how many bytes they are for the bounds of blocks, but for codes; damaged if these
    /// are more than so many. `head` holds the bytes the column was parsed from.
    pub(crate) fn pick(
        &self,
        head: &[u8],
        places: &Rows,
        data: Data<'_>,
        raw_max: u64,
    ) -> Result<(Picked, u64)> {
        let count = places.count() as u64;
        let missing = "the types say so";
        let (picked, raw) = match self.mask {
            mask if mask == 1 << kind::INT => {
                let ints = self.ints.as_ref().expect(missing);
                (Picked::Ints(ints.pick(head, places)), count * NUMBER_BYTES)
            }
            mask if mask == 1 << kind::TIMESTAMP => {
                let times = self.times.as_ref().expect(missing);
                (Picked::Times(times.pick(head, places)), count * NUMBER_BYTES)
            }
            mask if mask == 1 << kind::STR => {
                let texts = self.strs.as_ref().expect(missing);
                match texts.pick_codes(head, places) {
                    Some(codes) if codes.len() < texts.entry_count() => {
                        self.pick_entries(&codes, data, raw_max)?
                    }
                    Some(codes) => (Picked::Codes(codes), 0),
                    None => self.pick_texts(head, places, data, raw_max)?,
                }
            }
            _ => self.pick_others(head, places, data, raw_max)?,
        };
        if raw > raw_max { Err(too_much(data)) } else { Ok((picked, raw)) }
    }

    fn pick_texts(&self, head: &[u8], places: &Rows, data: Data<'_>, raw_max: u64) -> Result<(Picked, u64)> {
        let mut cursor = Cursor::default();
        let mut texts = Texts::with_room(places.count(), TEXT_BYTES.min(raw_max as usize));
        for place in places.iter() {
            texts.add(|out| self.strs().put(head, place, data, cursor.strs(), out))?;
            if texts.bytes() as u64 > raw_max {
                return Err(too_much(data));
            }
        }
        let raw = texts.bytes() as u64 + texts.len() as u64;
        Ok((Picked::Texts(texts), raw))
    }

    /// Entries of which few rows have the same: one after another, so that the processor waits for many of them at a time.
    fn pick_entries(&self, codes: &[i64], data: Data<'_>, raw_max: u64) -> Result<(Picked, u64)> {
        let mut texts = Texts::with_room(codes.len(), ENTRY_BYTES.min(raw_max as usize));
        for code in codes {
            texts.push(self.strs().entry(*code, data)?);
            if texts.bytes() as u64 > raw_max {
                return Err(too_much(data));
            }
        }
        let raw = texts.bytes() as u64 + texts.len() as u64;
        Ok((Picked::Texts(texts), raw))
    }

    fn pick_others(&self, head: &[u8], places: &Rows, data: Data<'_>, raw_max: u64) -> Result<(Picked, u64)> {
        let mut cursor = Cursor::default();
        let (mut values, mut raw) = (Vec::with_capacity(places.count()), 0);
        for place in places.iter() {
            let value = self.get(head, place, data, &mut cursor)?;
            raw += raw_bytes(value);
            if raw > raw_max {
                return Err(too_much(data));
            }
            values.push(value.to_value());
        }
        Ok((Picked::Others(values), raw))
    }
}

impl Picked {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ints(values) | Self::Times(values) | Self::Codes(values) => values.len(),
            Self::Texts(texts) => texts.len(),
            Self::Others(values) => values.len(),
        }
    }

    /// The how-manieth of the values, of the column it was picked of.
    #[inline]
    pub(crate) fn value<'a>(&'a self, of: &'a Values, at: usize, data: Data<'_>) -> Result<ValueRef<'a>> {
        Ok(match self {
            Self::Ints(values) => ValueRef::Int(values[at]),
            Self::Times(values) => ValueRef::Timestamp(Timestamp::from_nanos(values[at])),
            Self::Codes(codes) => ValueRef::Str(of.strs().entry(codes[at], data)?),
            Self::Texts(texts) => ValueRef::Str(texts.get(at)),
            Self::Others(values) => values[at].as_ref(),
        })
    }
}

fn too_much(data: Data<'_>) -> crate::error::SegmentError {
    data.place.damaged()(Damage::expected("no more bytes than the block was made of"))
}
