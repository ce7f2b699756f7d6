//! What was taken from each source: the memory that makes ingest idempotent.
//!
//! Owns: the committed ranges of every source, and when one was last heard of; what is a duplicate.
//! Does not own: when ranges become durable (`commit`, `catalogue`).
//! Invariant: what is tried ([`Trial`]) changes nothing until it is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use sawyer_model::{Batch, RangeSet, RecordRef, SeqRange, SourceId, Timestamp};

/// Most ranges kept for one source. Ranges coalesce, so a source has more only if it leaves thousands of holes;
/// then the lowest are forgotten, and what is sent again of them is stored again.
const RANGES_PER_SOURCE_MAX: usize = 10_000;

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

/// What would be committed if a group of batches were: changed ranges beside the real ones.
pub(crate) struct Trial<'a> {
    sources: &'a Sources,
    changed: BTreeMap<SourceId, RangeSet>,
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
        for (id, ranges) in changed {
            self.0.insert(id, Source { ranges, last: now });
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

    /// Forgets sources idle for longer than `idle_max`, then those idle longest until `count_max` are left, and
    /// the lowest ranges of those that have too many. Says how many sources it forgot.
    pub(crate) fn forget(&mut self, now: Timestamp, idle_max: Duration, count_max: usize) -> usize {
        let before = self.0.len();
        self.0.retain(|_, source| now.since(source.last) <= idle_max);
        if let Some(excess) = self.0.len().checked_sub(count_max).filter(|excess| *excess > 0) {
            let mut idle: Vec<(Timestamp, SourceId)> = self.0.iter().map(|(id, s)| (s.last, *id)).collect();
            idle.sort_unstable();
            for (_, id) in &idle[..excess] {
                self.0.remove(id);
            }
        }
        for source in self.0.values_mut() {
            if let Some(excess) = source.ranges.range_count().checked_sub(RANGES_PER_SOURCE_MAX) {
                source.ranges = source.ranges.iter().skip(excess).collect();
            }
        }
        before - self.0.len()
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
            if self.ranges(run.source).intersects(run.hull) {
                let again = |at: &usize| !self.insert(run.source, batch.get(*at).range());
                duplicates.extend((at..run.end).filter(again));
            } else {
                for piece in run.pieces {
                    self.insert(run.source, piece);
                }
            }
            at = run.end;
        }
        let mut news = duplicates.len() < batch.len();
        for covered in batch.covered() {
            news |= self.insert(covered.source, covered.range);
        }
        Taken { duplicates, news }
    }

    /// What changed.
    pub(crate) fn into_changed(self) -> BTreeMap<SourceId, RangeSet> {
        self.changed
    }

    /// Adds a range; says whether any of it was new, or it is empty.
    fn insert(&mut self, id: SourceId, range: SeqRange) -> bool {
        range.is_empty() || self.ranges(id).insert(range) > 0
    }

    fn ranges(&mut self, id: SourceId) -> &mut RangeSet {
        self.changed.entry(id).or_insert_with(|| {
            self.sources.0.get(&id).map(|source| source.ranges.clone()).unwrap_or_default()
        })
    }
}

/// Neighbouring records of one source that lie behind one another in it, as nearly all do: they are looked up
/// together.
struct Run {
    source: SourceId,
    /// From the start of the first to the end of the last.
    hull: SeqRange,
    /// Their ranges, those that touch as one.
    pieces: Vec<SeqRange>,
    /// Place of the first record behind them.
    end: usize,
}

impl Run {
    fn at(batch: &Batch, start: usize) -> Self {
        let first = batch.get(start);
        let mut run =
            Self { source: first.source(), hull: first.range(), pieces: vec![first.range()], end: start + 1 };
        while run.end < batch.len() {
            let (record, last) = (batch.get(run.end), run.hull.end);
            let range = record.range();
            if record.source() != run.source || range.start < last {
                break;
            }
            match run.pieces.last_mut() {
                Some(piece) if range.start == last => piece.end = range.end,
                _ => run.pieces.push(range),
            }
            run.hull.end = range.end;
            run.end += 1;
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
    use std::sync::Arc;

    use sawyer_model::{RecordHead, Stream};

    use super::*;

    fn batch_of(ranges: &[(u64, u64)], covered: &[(u64, u64)]) -> Batch {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        for (start, end) in ranges {
            let range = SeqRange::new(*start, *end);
            let time = Timestamp::EPOCH;
            batch.begin(RecordHead { timestamp: time, observed: time, source: SourceId(1), range }, stream);
        }
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

    #[test]
    fn idle_and_superfluous_sources_are_forgotten() {
        let mut sources = Sources::default();
        for n in 0..10 {
            let source = Source { last: Timestamp::from_secs(n), ..Source::default() };
            sources.put(SourceId(n as u128), source);
        }
        assert_eq!(sources.forget(Timestamp::from_secs(10), Duration::from_secs(7), 4), 6);
        assert_eq!(sources.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [6, 7, 8, 9]);
    }

    #[test]
    fn a_source_full_of_holes_is_bounded() {
        let mut sources = Sources::default();
        let ranges = (0..RANGES_PER_SOURCE_MAX as u64 + 5).map(|n| SeqRange::new(n * 2, n * 2 + 1)).collect();
        sources.put(SourceId(1), Source { ranges, last: Timestamp::EPOCH });
        sources.forget(Timestamp::EPOCH, Duration::ZERO, 10);
        let first = sources.iter().next().unwrap().1.ranges.iter().next();
        assert_eq!(first, Some(SeqRange::new(10, 11)));
    }
}
