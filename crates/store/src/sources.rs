//! What was taken from each source: the memory that makes ingest idempotent.
//!
//! Owns: the committed ranges of every source, and when one was last heard of; what is a duplicate.
//! Does not own: when ranges become durable (`commit`, `catalogue`).
//! Invariant: what is tried ([`Trial`]) changes nothing until it is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use sawyer_model::{Batch, RangeSet, RecordRef, SeqRange, SourceId, Timestamp};

use crate::settings::StorePlan;

/// Most ranges kept for one source. Ranges coalesce, so a source has more only if it leaves thousands of holes;
/// then the lowest are forgotten, and what is sent again of them is stored again.
const RANGES_PER_SOURCE_MAX: usize = 10_000;

/// Most ranges kept of all sources, beyond one of each. In memory they take about 25 bytes each, three times over while
/// the catalogue is changed, and 32 in its file. Where records have names and no order, each has a range of its own.
const RANGES_MAX: usize = 500_000;

/// The committed ranges of all sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sources(BTreeMap<SourceId, Source>);

/// The committed ranges of one source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Source {
    /// What is committed.
    pub(crate) ranges: RangeSet,
    /// When the last of it was.
    pub(crate) last: Timestamp,
}

/// What would be committed if a group of batches were: what is new of each source that they touch, beside what is
/// committed of it.
pub(crate) struct Trial<'a> {
    sources: &'a Sources,
    changed: BTreeMap<SourceId, RangeSet>,
}

/// How much is remembered at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Longest that a source may have been idle.
    pub(crate) idle_max: Duration,
    /// Most sources.
    pub(crate) count_max: usize,
    /// Most ranges beyond one of each source.
    pub(crate) ranges_max: usize,
}

impl Bounds {
    /// What the settings say.
    pub(crate) fn of(plan: &StorePlan) -> Self {
        Self { idle_max: plan.source_idle_max, count_max: plan.sources_max, ranges_max: RANGES_MAX }
    }
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// Whole sources.
    pub(crate) sources: usize,
    /// Ranges of sources that are still remembered.
    pub(crate) ranges: usize,
    /// When the last of the sources was heard of that were not idle for too long.
    pub(crate) last: Option<Timestamp>,
}

/// What is known of a batch that was tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The places of the records that are committed already, ascending.
    pub(crate) duplicates: Vec<usize>,
    /// Whether the batch has anything that is not committed: a record, or a part of a source.
    pub(crate) news: bool,
}

impl Sources {
    /// Adds a source as it was read from somewhere.
    pub(crate) fn put(&mut self, id: SourceId, source: Source) {
        self.0.insert(id, source);
    }

    /// The sources by id.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (SourceId, &Source)> {
        self.0.iter().map(|(id, source)| (*id, source))
    }

    /// What is remembered of a source.
    pub(crate) fn get(&self, id: SourceId) -> Option<&Source> {
        self.0.get(&id)
    }

    /// How many sources are remembered.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Starts to try what batches would change.
    pub(crate) fn try_out(&self) -> Trial<'_> {
        Trial { sources: self, changed: BTreeMap::new() }
    }

    /// Keeps what was tried.
    pub(crate) fn keep(&mut self, changed: BTreeMap<SourceId, RangeSet>, now: Timestamp) {
        for (id, news) in changed {
            let source = self.0.entry(id).or_default();
            for range in news.iter() {
                source.ranges.insert(range);
            }
            source.last = now;
        }
    }

    /// Adds what a batch accounts for.
    pub(crate) fn commit(&mut self, batch: &Batch, now: Timestamp) {
        for covered in batch.covered() {
            let source = self.0.entry(covered.source).or_default();
            source.ranges.insert(covered.range);
            source.last = now;
        }
    }

    /// Adds all that another one has.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (id, newer) in &other.0 {
            let source = self.0.entry(*id).or_default();
            for range in newer.ranges.iter() {
                source.ranges.insert(range);
            }
            source.last = source.last.max(newer.last);
        }
    }

    /// Forgets sources idle for longer than they may be, then those idle longest until few enough are left, the lowest
    /// ranges of those that have too many, and at last sources of many ranges.
    pub(crate) fn forget(&mut self, now: Timestamp, bounds: &Bounds) -> Forgotten {
        let before = self.0.len();
        self.0.retain(|_, source| now.since(source.last) <= bounds.idle_max);
        let mut last = None;
        if let Some(excess) = self.0.len().checked_sub(bounds.count_max).filter(|excess| *excess > 0) {
            let mut idle: Vec<(Timestamp, SourceId)> = self.0.iter().map(|(id, s)| (s.last, *id)).collect();
            idle.sort_unstable();
            for (at, id) in &idle[..excess] {
                self.0.remove(id);
                last = Some(*at);
            }
        }
        let cut = |source: &mut Source| source.ranges.keep_highest(RANGES_PER_SOURCE_MAX);
        let ranges = self.0.values_mut().map(cut).sum();
        let last = last.max(self.forget_scattered(bounds.ranges_max));
        Forgotten { sources: before - self.0.len(), ranges, last }
    }

    /// Forgets sources of several ranges until those of all are few enough: first those in which each place is alone, as
    /// where records have names and no order, then others; of both those idle longest first. Tells when the last of them
    /// was heard of.
    fn forget_scattered(&mut self, ranges_max: usize) -> Option<Timestamp> {
        let beyond_one = |source: &Source| source.ranges.range_count().saturating_sub(1);
        let mut excess = self.0.values().map(beyond_one).sum::<usize>().saturating_sub(ranges_max);
        if excess == 0 {
            return None;
        }
        let mut scattered: Vec<(bool, Timestamp, SourceId)> = self
            .0
            .iter()
            .filter(|(_, source)| beyond_one(source) > 0)
            .map(|(id, source)| (source.ranges.iter().any(|range| range.len() > 1), source.last, *id))
            .collect();
        scattered.sort_unstable();
        let mut last = None;
        for (_, at, id) in scattered {
            if excess == 0 {
                break;
            }
            if let Some(source) = self.0.remove(&id) {
                excess = excess.saturating_sub(beyond_one(&source));
                last = last.max(Some(at));
            }
        }
        last
    }
}

impl Trial<'_> {
    /// Takes a batch. A record is a duplicate if all of its own range is committed; one with an empty range never
    /// is, because nothing tells it from others.
    pub(crate) fn take(&mut self, batch: &Batch) -> Taken {
        let mut duplicates = Vec::new();
        let mut at = 0;
        while at < batch.len() {
            let run = Run::at(batch, at);
            let overlaps = self.intersects(run.source, run.hull);
            for (piece, end) in run.pieces {
                // What was committed mostly lies between the pieces: urgent records go ahead of others.
                if overlaps && self.intersects(run.source, piece) {
                    let again = |at: &usize| !self.insert(run.source, batch.get(*at).range());
                    duplicates.extend((at..end).filter(again));
                } else {
                    self.insert(run.source, piece);
                }
                at = end;
            }
        }
        let mut news = duplicates.len() < batch.len();
        for covered in batch.covered() {
            news |= self.insert(covered.source, covered.range);
        }
        Taken { duplicates, news }
    }

    /// What is new of each source that was touched.
    pub(crate) fn into_changed(self) -> BTreeMap<SourceId, RangeSet> {
        self.changed
    }

    /// Adds a range; says whether any of it was new, or it is empty.
    fn insert(&mut self, id: SourceId, range: SeqRange) -> bool {
        if range.is_empty() {
            return true;
        }
        let news = self.changed.entry(id).or_default();
        match self.sources.0.get(&id) {
            Some(source) => source.ranges.missing(range).map(|part| news.insert(part)).sum::<u64>() > 0,
            None => news.insert(range) > 0,
        }
    }

    /// Whether any of a range is committed, or would be.
    fn intersects(&self, id: SourceId, range: SeqRange) -> bool {
        let committed = self.sources.0.get(&id).is_some_and(|source| source.ranges.intersects(range));
        committed || self.changed.get(&id).is_some_and(|news| news.intersects(range))
    }
}

/// Neighbouring records of one source that lie behind one another in it, as nearly all do: they are looked up
/// together.
struct Run {
    source: SourceId,
    /// From the start of the first to the end of the last.
    hull: SeqRange,
    /// Their ranges, those that touch as one, each with the place of the first record behind it.
    pieces: Vec<(SeqRange, usize)>,
}

impl Run {
    fn at(batch: &Batch, start: usize) -> Self {
        let first = batch.get(start);
        let (source, mut end) = (first.source(), start + 1);
        let mut run = Self { source, hull: first.range(), pieces: vec![(first.range(), end)] };
        while end < batch.len() {
            let (record, last) = (batch.get(end), run.hull.end);
            let range = record.range();
            if record.source() != source || range.start < last {
                break;
            }
            end += 1;
            match run.pieces.last_mut() {
                Some((piece, behind)) if range.start == last => (piece.end, *behind) = (range.end, end),
                _ => run.pieces.push((range, end)),
            }
            run.hull.end = range.end;
        }
        run
    }
}

/// The batch without the records at `duplicates` (ascending). What they covered stays covered.
pub(crate) fn without(batch: &Batch, duplicates: &[usize]) -> Batch {
    let mut rest = batch.clone();
    let (mut at, mut next) = (0, duplicates.iter().peekable());
    rest.retain(|_: RecordRef<'_>| {
        let drop = next.next_if(|duplicate| **duplicate == at).is_some();
        at += 1;
        !drop
    });
    rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;
    use sawyer_model::{RecordHead, Stream};

    use super::*;

    fn batch_of_sources(ranges: impl IntoIterator<Item = (SourceId, (u64, u64))>) -> Batch {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        for (source, (start, end)) in ranges {
            let range = SeqRange::new(start, end);
            let time = Timestamp::EPOCH;
            batch.begin(RecordHead { timestamp: time, observed: time, source, range }, stream);
        }
        batch
    }

    fn batch_of(ranges: &[(u64, u64)], covered: &[(u64, u64)]) -> Batch {
        let mut batch = batch_of_sources(ranges.iter().map(|range| (SourceId(1), *range)));
        for (start, end) in covered {
            batch.cover(SourceId(1), SeqRange::new(*start, *end));
        }
        batch
    }

    fn take(sources: &mut Sources, batch: &Batch) -> Vec<usize> {
        let mut trial = sources.try_out();
        let duplicates = trial.take(batch).duplicates;
        let changed = trial.into_changed();
        sources.keep(changed, Timestamp::EPOCH);
        duplicates
    }

    #[test]
    fn only_what_is_wholly_committed_is_a_duplicate() {
        let mut sources = Sources::default();
        assert_eq!(take(&mut sources, &batch_of(&[(0, 10), (20, 30)], &[])), [0usize; 0]);
        let again = batch_of(&[(0, 10), (5, 15), (20, 25), (30, 40), (7, 7)], &[]);
        assert_eq!(take(&mut sources, &again), [0, 2]);
        assert_eq!(without(&again, &[0, 2]).len(), 3);
    }

    #[test]
    fn the_same_record_twice_in_a_batch_is_one() {
        assert_eq!(take(&mut Sources::default(), &batch_of(&[(0, 10), (0, 10)], &[])), [1]);
    }

    #[test]
    fn lines_that_were_filtered_do_not_come_back() {
        let mut sources = Sources::default();
        take(&mut sources, &batch_of(&[], &[(0, 50)]));
        assert_eq!(take(&mut sources, &batch_of(&[(10, 20), (50, 60)], &[])), [0]);
        assert!(!sources.try_out().take(&batch_of(&[(5, 9)], &[(55, 60)])).news);
        assert!(sources.try_out().take(&batch_of(&[(5, 9)], &[(55, 61)])).news);
    }

    #[test]
    fn what_is_tried_and_dropped_changes_nothing() {
        let sources = Sources::default();
        sources.try_out().take(&batch_of(&[(0, 10)], &[]));
        assert_eq!(sources.try_out().take(&batch_of(&[(0, 10)], &[])).duplicates, [0usize; 0]);
    }

    fn bounds(idle_secs: u64, count_max: usize, ranges_max: usize) -> Bounds {
        Bounds { idle_max: Duration::from_secs(idle_secs), count_max, ranges_max }
    }

    /// A source of so many ranges of this length, with a hole behind each.
    fn scattered(count: u64, len: u64, last_secs: i64) -> Source {
        let ranges = (0..count).map(|n| SeqRange::new(n * (len + 1), n * (len + 1) + len)).collect();
        Source { ranges, last: Timestamp::from_secs(last_secs) }
    }

    #[test]
    fn idle_and_superfluous_sources_are_forgotten() {
        let mut sources = Sources::default();
        for n in 0..10 {
            let source = Source { last: Timestamp::from_secs(n), ..Source::default() };
            sources.put(SourceId(n as u128), source);
        }
        let forgotten = sources.forget(Timestamp::from_secs(10), &bounds(7, 4, 10));
        let last = Some(Timestamp::from_secs(5));
        assert_eq!(
            forgotten,
            Forgotten { sources: 6, ranges: 0, last },
            "three were idle, and three too many"
        );
        assert_eq!(sources.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [6, 7, 8, 9]);
    }

    #[test]
    fn a_source_full_of_holes_is_bounded() {
        let mut sources = Sources::default();
        sources.put(SourceId(1), scattered(RANGES_PER_SOURCE_MAX as u64 + 5, 1, 0));
        let forgotten = sources.forget(Timestamp::EPOCH, &bounds(0, 10, RANGES_MAX));
        assert_eq!(forgotten, Forgotten { sources: 0, ranges: 5, last: None });
        let first = sources.iter().next().unwrap().1.ranges.iter().next();
        assert_eq!(first, Some(SeqRange::new(10, 11)));
        assert_eq!(sources.forget(Timestamp::EPOCH, &bounds(0, 10, RANGES_MAX)), Forgotten::default());
    }

    #[test]
    fn sources_full_of_names_are_bounded_together() {
        let mut sources = Sources::default();
        // A file with holes and one without, idle for long; names of several hours.
        sources.put(SourceId(1), scattered(50, 8, 0));
        sources.put(SourceId(2), scattered(1, 1, 0));
        for hour in 1..=5 {
            sources.put(SourceId(10 + hour as u128), scattered(101, 1, hour));
        }
        let left = |sources: &Sources| sources.iter().map(|(id, _)| id.0).collect::<Vec<_>>();
        let now = Timestamp::from_secs(9);
        assert_eq!(sources.forget(now, &bounds(100, 100, 549)), Forgotten::default());
        let last = |secs| Some(Timestamp::from_secs(secs));
        let forgotten = Forgotten { sources: 3, ranges: 0, last: last(3) };
        assert_eq!(sources.forget(now, &bounds(100, 100, 300)), forgotten);
        assert_eq!(left(&sources), [1, 2, 14, 15], "those idle longest are gone");
        let forgotten = Forgotten { sources: 3, ranges: 0, last: last(5) };
        assert_eq!(sources.forget(now, &bounds(100, 100, 48)), forgotten);
        assert_eq!(left(&sources), [2], "then files with holes; one range each is never too many");
    }

    #[test]
    fn a_trial_holds_what_is_new_alone() {
        let mut sources = Sources::default();
        sources.put(SourceId(1), scattered(1000, 1, 0));
        let mut trial = sources.try_out();
        assert!(trial.insert(SourceId(1), SeqRange::new(0, 6)));
        assert!(!trial.insert(SourceId(1), SeqRange::new(1, 6)));
        let changed = trial.into_changed();
        let news: Vec<SeqRange> = changed[&SourceId(1)].iter().collect();
        assert_eq!(news, [SeqRange::new(1, 2), SeqRange::new(3, 4), SeqRange::new(5, 6)]);
        sources.keep(changed, Timestamp::from_secs(3));
        let source = sources.iter().next().unwrap().1;
        assert_eq!(
            (source.ranges.iter().next(), source.last),
            (Some(SeqRange::new(0, 7)), Timestamp::from_secs(3))
        );
    }

    proptest! {
        #[test]
        fn duplicates_are_those_that_are_found_number_by_number(
            batches in prop::collection::vec(prop::collection::vec((1u128..3, 0u64..3, 0u64..4, any::<bool>()), 0..20), 1..5),
        ) {
            let (mut sources, mut known) = (Sources::default(), BTreeSet::new());
            for records in batches {
                // Ranges of one source often go on where one of the other ends.
                let (mut at, mut ranges) = (0, Vec::new());
                for (source, gap, len, back) in records {
                    at = if back { at / 2 } else { at + gap };
                    ranges.push((SourceId(source), (at, at + len)));
                    at += len;
                }
                let mut again = Vec::new();
                for (at, (source, (start, end))) in ranges.iter().enumerate() {
                    let numbers = (*start..*end).map(|number| (*source, number));
                    if start < end && numbers.clone().all(|number| known.contains(&number)) {
                        again.push(at);
                    }
                    known.extend(numbers);
                }
                prop_assert_eq!(take(&mut sources, &batch_of_sources(ranges.clone())), again, "{:?}", ranges);
            }
        }
    }
}
