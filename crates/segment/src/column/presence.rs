//! Which rows have a field.
//!
//! Owns: the three ways of keeping it: all rows, a bit for each row, the numbers of a few rows.
//! Invariant: the numbers of rows ascend and are rows of the block.

use crate::bits::{Rows, ones};
use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};

const ALL: u8 = 0;
const BITMAP: u8 = 1;
const FEW: u8 = 2;

/// Which rows have a field, and the how-manieth of them each is.
#[derive(Debug)]
pub(crate) enum Presence {
    All {
        rows: usize,
    },
    /// `before[n]` is how many rows before row `64 * n` have it.
    Bitmap {
        rows: Rows,
        before: Vec<u32>,
        count: usize,
    },
    Few(Vec<u32>),
}

impl Presence {
    /// Appends `present`, ascending numbers of rows of a block of `rows` rows.
    pub(crate) fn put(out: &mut Vec<u8>, present: &[u32], rows: usize) {
        if present.len() == rows {
            out.put_u8(ALL);
        } else if present.len() < rows / FEW_PART {
            out.put_u8(FEW);
            out.put_varint(present.len() as u64);
            let mut next = 0;
            for row in present {
                out.put_varint(u64::from(row - next));
                next = row + 1;
            }
        } else {
            out.put_u8(BITMAP);
            let mut bits = Rows::none(rows);
            present.iter().for_each(|row| bits.insert(*row as usize));
            bits.put(out);
        }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>, rows: usize) -> Decoded<Self> {
        match reader.u8()? {
            ALL => Ok(Self::All { rows }),
            BITMAP => {
                let bits = Rows::parse(reader.take(rows.div_ceil(8))?, rows)?;
                Ok(Self::of(bits))
            }
            FEW => {
                let count = reader.count()?;
                let mut present = Vec::with_capacity(count);
                let mut next = 0;
                for _ in 0..count {
                    let row = next + reader.at_most(rows, "a row of the block")?;
                    if row >= rows {
                        return Err(Damage::expected("a row of the block"));
                    }
                    present.push(row as u32);
                    next = row + 1;
                }
                Ok(Self::Few(present))
            }
            other => Err(Damage::unknown("form of presence", other)),
        }
    }

    fn of(rows: Rows) -> Self {
        let mut before = Vec::with_capacity(rows.len() / 64 + 1);
        let mut count = 0;
        for word in rows.words() {
            before.push(count);
            count += word.count_ones();
        }
        Self::Bitmap { rows, before, count: count as usize }
    }

    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::All { .. } => 0,
            Self::Bitmap { rows, before, .. } => rows.len() / 8 + before.len() * size_of::<u32>(),
            Self::Few(rows) => rows.len() * size_of::<u32>(),
        }
    }

    /// How many rows have it.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::All { rows } => *rows,
            Self::Bitmap { count, .. } => *count,
            Self::Few(rows) => rows.len(),
        }
    }

    /// The how-manieth row with the field this row is, if it is one.
    pub(crate) fn rank(&self, row: usize) -> Option<usize> {
        match self {
            Self::All { rows } => (row < *rows).then_some(row),
            Self::Bitmap { rows, before, .. } => rows.contains(row).then(|| {
                let below = rows.words()[row / 64] & ((1 << (row % 64)) - 1);
                (before[row / 64] + below.count_ones()) as usize
            }),
            Self::Few(rows) => rows.binary_search(&(row as u32)).ok(),
        }
    }

    /// The rows, of `len`, in which the field has the values at these places.
    pub(crate) fn rows_of(&self, places: Rows, len: usize) -> Rows {
        let mut found = Rows::none(len);
        match self {
            Self::All { .. } => return places,
            Self::Few(rows) => places.iter().for_each(|place| found.insert(rows[place] as usize)),
            Self::Bitmap { rows, .. } => {
                // The rows of a word that are left, and the place of the first of them.
                let mut words = rows.words().iter().copied().enumerate();
                let (mut at, mut rest, mut first) = (0, 0u64, 0);
                for place in places.iter() {
                    while first + rest.count_ones() as usize <= place {
                        first += rest.count_ones() as usize;
                        (at, rest) = words.next().expect("there is a row for each place");
                    }
                    for _ in first..place {
                        rest &= rest - 1;
                    }
                    first = place;
                    found.insert(at * 64 + rest.trailing_zeros() as usize);
                }
            }
        }
        found
    }

    /// Calls for each of `wanted` that has the field with the how-manieth of them it is and its rank, ascending.
    pub(crate) fn for_each_slot(&self, wanted: &Rows, mut call: impl FnMut(usize, usize)) {
        match self {
            Self::All { .. } => wanted.iter().enumerate().for_each(|(slot, row)| call(slot, row)),
            Self::Bitmap { rows, before, .. } => {
                let mut slots = 0;
                for ((wanted, present), before) in wanted.words().iter().zip(rows.words()).zip(before) {
                    for bit in ones(wanted & present) {
                        let below = (1 << bit) - 1;
                        let slot = slots + (wanted & below).count_ones();
                        call(slot as usize, (before + (present & below).count_ones()) as usize);
                    }
                    slots += wanted.count_ones();
                }
            }
            Self::Few(rows) => {
                let (mut slot, mut counted) = (0, 0);
                for (rank, row) in rows.iter().enumerate() {
                    let row = *row as usize;
                    if wanted.contains(row) {
                        slot += wanted.count_within(counted..row);
                        counted = row;
                        call(slot, rank);
                    }
                }
            }
        }
    }

    /// As [`Presence::for_each_slot`], of rows that are listed, ascending.
    pub(crate) fn for_each_listed(&self, wanted: &[u32], mut call: impl FnMut(usize, usize)) {
        match self {
            Self::Few(rows) if rows.len() < wanted.len() => {
                for (rank, row) in rows.iter().enumerate() {
                    if let Ok(slot) = wanted.binary_search(row) {
                        call(slot, rank);
                    }
                }
            }
            _ => {
                for (slot, row) in wanted.iter().enumerate() {
                    if let Some(rank) = self.rank(*row as usize) {
                        call(slot, rank);
                    }
                }
            }
        }
    }

    /// Calls for each of `wanted` that has the field with the row and its rank, ascending.
    pub(crate) fn for_each(&self, wanted: &Rows, mut call: impl FnMut(usize, usize)) {
        match self {
            Self::Few(rows) => {
                for (rank, row) in rows.iter().enumerate().filter(|(_, row)| wanted.contains(**row as usize))
                {
                    call(*row as usize, rank);
                }
            }
            _ => {
                for row in wanted.iter() {
                    if let Some(rank) = self.rank(row) {
                        call(row, rank);
                    }
                }
            }
        }
    }
}

/// Numbers of rows take less than a bit for each row when fewer than this part of the rows have the field.
const FEW_PART: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_are_told_by_rank_and_ranks_by_row(
            rows in 0usize..300, part in prop::sample::select(vec![0.0, 0.01, 0.05, 0.3, 0.9, 1.0]),
            random in prop::collection::vec((0.0..1.0f64, any::<bool>()), 300),
        ) {
            let present: Vec<u32> = (0..rows as u32).filter(|row| random[*row as usize].0 < part).collect();
            let mut bytes = Vec::new();
            Presence::put(&mut bytes, &present, rows);
            let presence = Presence::parse(&mut Reader::new(&bytes), rows).expect("it was written");
            let places: Rows = (0..present.len()).map(|place| random[place].1).collect();
            let expected: Vec<usize> = places.iter().map(|place| present[place] as usize).collect();
            prop_assert_eq!(presence.rows_of(places, rows).iter().collect::<Vec<_>>(), expected);
            let wanted: Vec<u32> = (0..rows as u32).filter(|row| random[*row as usize].1).collect();
            let set: Rows = (0..rows).map(|row| random[row].1).collect();
            let rank = |row: u32| present.iter().position(|known| *known == row);
            let naive: Vec<(usize, usize)> =
                wanted.iter().enumerate().filter_map(|(slot, row)| Some((slot, rank(*row)?))).collect();
            let (mut listed, mut slots, mut each) = (Vec::new(), Vec::new(), Vec::new());
            presence.for_each_listed(&wanted, |slot, rank| listed.push((slot, rank)));
            presence.for_each_slot(&set, |slot, rank| slots.push((slot, rank)));
            presence.for_each(&set, |row, rank| each.push((row, rank)));
            prop_assert_eq!(&listed, &naive);
            prop_assert_eq!(slots, naive);
            let by_row: Vec<(usize, usize)> =
                listed.iter().map(|(slot, rank)| (wanted[*slot] as usize, *rank)).collect();
            prop_assert_eq!(each, by_row);
        }
    }
}
