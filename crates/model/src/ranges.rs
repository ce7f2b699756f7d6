//! Sets of half-open ranges of sequence numbers that coalesce.

use std::collections::BTreeMap;

/// A half-open range of sequence numbers of one source (bytes of a file, numbers of a client): `start <= n < end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqRange {
    /// First number in it.
    pub start: u64,
    /// First number after it.
    pub end: u64,
}

impl SeqRange {
    /// The range `start..end`; an `end` before `start` makes it empty.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end: if end < start { start } else { end } }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// How many numbers are in it.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }
}

/// A set of sequence numbers, kept as ranges that neither touch nor overlap. Normally it is one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// start → end
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a range; gives back how many numbers were not in the set before.
    pub fn insert(&mut self, range: SeqRange) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let alone = self.ranges.range(range.start + 1..=range.end).next().is_none();
        let before = self.ranges.range_mut(..=range.start).next_back();
        let before = before.filter(|(_, end)| **end >= range.start);
        // Nearly always it goes on where the one before ends, or touches none.
        if alone {
            return match before {
                Some((_, end)) => {
                    let new = range.end.saturating_sub(*end);
                    *end += new;
                    new
                }
                None => {
                    self.ranges.insert(range.start, range.end);
                    range.len()
                }
            };
        }
        let from = before.map_or(range.start, |(start, _)| *start);
        let (mut merged, mut known) = (range, 0);
        let touched: Vec<(u64, u64)> = self.ranges.range(from..=range.end).map(|(s, e)| (*s, *e)).collect();
        for (start, end) in touched {
            known += end.min(range.end).saturating_sub(start.max(range.start));
            merged.start = merged.start.min(start);
            merged.end = merged.end.max(end);
            self.ranges.remove(&start);
        }
        self.ranges.insert(merged.start, merged.end);
        range.len() - known
    }

    /// Whether every number of `range` is in the set (true for an empty range).
    #[must_use]
    pub fn contains(&self, range: SeqRange) -> bool {
        range.is_empty()
            || self.ranges.range(..=range.start).next_back().is_some_and(|(_, end)| *end >= range.end)
    }

    /// Where the last range ends: nothing from there on is in the set.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.ranges.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// Whether any number of `range` is in the set.
    #[must_use]
    pub fn intersects(&self, range: SeqRange) -> bool {
        !range.is_empty()
            && self.ranges.range(..range.end).next_back().is_some_and(|(_, end)| *end > range.start)
    }

    /// The first number at or after `from` that is not in the set.
    #[must_use]
    pub fn first_missing(&self, from: u64) -> u64 {
        match self.ranges.range(..=from).next_back() {
            Some((_, end)) if *end > from => *end,
            _ => from,
        }
    }

    /// The parts of a range that are not in the set, ascending.
    pub fn missing(&self, range: SeqRange) -> impl Iterator<Item = SeqRange> + '_ {
        let mut at = self.first_missing(range.start);
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let next = self.ranges.range(at..range.end).next();
            let (end, behind) = next.map_or((range.end, range.end), |(start, end)| (*start, *end));
            let part = SeqRange::new(at, end);
            at = behind;
            Some(part)
        })
    }

    /// The parts of a range that are in the set, ascending.
    #[must_use]
    pub fn intersection(&self, range: SeqRange) -> Vec<SeqRange> {
        let first = self.ranges.range(..range.start).next_back();
        let parts = first.into_iter().chain(self.ranges.range(range.start..range.end.max(range.start)));
        let parts = parts.map(|(start, end)| SeqRange::new(range.start.max(*start), range.end.min(*end)));
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// Takes out the lowest ranges until at most so many are left; says how many it took out.
    pub fn keep_highest(&mut self, most: usize) -> usize {
        let excess = self.ranges.len().saturating_sub(most);
        for _ in 0..excess {
            self.ranges.pop_first();
        }
        excess
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.ranges.iter().map(|(start, end)| SeqRange { start: *start, end: *end })
    }

    /// How many ranges it takes to tell the set.
    #[must_use]
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<SeqRange> for RangeSet {
    fn from_iter<T: IntoIterator<Item = SeqRange>>(ranges: T) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_coalesce() {
        let mut set: RangeSet = [SeqRange::new(0, 10), SeqRange::new(20, 30)].into_iter().collect();
        assert_eq!(set.insert(SeqRange::new(10, 20)), 10);
        assert_eq!(set.iter().collect::<Vec<_>>(), [SeqRange::new(0, 30)]);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_numbers(
            base in prop_oneof![Just(0), Just(u64::MAX - 65)],
            ranges in prop::collection::vec((0u64..60, 0u64..12), 0..30), probe in (0u64..70, 0u64..9),
        ) {
            let range_of = |(start, len)| SeqRange::new(base.saturating_add(start), base.saturating_add(start + len));
            let mut set = RangeSet::new();
            let mut naive = BTreeSet::new();
            for range in ranges.into_iter().map(range_of) {
                let before = naive.len();
                naive.extend(range.start..range.end);
                prop_assert_eq!(set.insert(range) as usize, naive.len() - before);
            }
            let told: Vec<u64> = set.iter().flat_map(|r| r.start..r.end).collect();
            prop_assert_eq!(told, naive.iter().copied().collect::<Vec<_>>());
            prop_assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.end < b.start));
            let wanted = range_of(probe);
            prop_assert_eq!(set.contains(wanted), (wanted.start..wanted.end).all(|n| naive.contains(&n)));
            prop_assert_eq!(set.end(), naive.last().map_or(0, |last| last + 1));
            prop_assert_eq!(set.intersects(wanted), (wanted.start..wanted.end).any(|n| naive.contains(&n)));
            let missing: Vec<u64> = set.missing(wanted).flat_map(|r| r.start..r.end).collect();
            prop_assert_eq!(missing, (wanted.start..wanted.end).filter(|n| !naive.contains(n)).collect::<Vec<_>>());
            prop_assert!(set.missing(wanted).all(|part| !part.is_empty()));
            let common: Vec<u64> = set.intersection(wanted).iter().flat_map(|r| r.start..r.end).collect();
            prop_assert_eq!(common, (wanted.start..wanted.end).filter(|n| naive.contains(n)).collect::<Vec<_>>());
            let mut highest = set.clone();
            prop_assert_eq!(highest.keep_highest(2), set.range_count().saturating_sub(2));
            prop_assert!(highest.iter().eq(set.iter().skip(set.range_count().saturating_sub(2))));
            let first_missing = (wanted.start..=u64::MAX).find(|n| !naive.contains(n));
            prop_assert_eq!(Some(set.first_missing(wanted.start)), first_missing);
        }
    }
}
