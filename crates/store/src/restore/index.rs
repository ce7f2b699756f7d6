//! Where the wanted rows of a segment come from, so that what the store holds of them is found.
//!
//! Owns: [`Index`]. Does not own: what is done about rows that the store holds.
//! Invariant: a record is known by its source and where it starts in it, and by nothing else.

use std::collections::BTreeMap;
use std::ops::Range;

use sawyer_model::{Error, RangeSet, SeqRange, SourceId};
use sawyer_segment::{Rows, Segment};

/// The wanted rows of a segment by where they come from: 32 bytes for each.
pub(super) struct Index<'a> {
    /// Ascending, as in the segment.
    sources: &'a [SourceId],
    /// Ascending by source and start.
    rows: Vec<Row>,
    /// For each source where its rows are.
    spans: Vec<Range<usize>>,
}

/// A row.
#[derive(Clone, Copy)]
struct Row {
    source: usize,
    range: SeqRange,
    block: u32,
    row: u32,
}

impl<'a> Index<'a> {
    /// Of the rows of `segment` that are `wanted`, a set for each block.
    pub(super) fn of(segment: &'a Segment, wanted: &[Rows]) -> Result<Self, Error> {
        let mut rows = Vec::with_capacity(wanted.iter().map(Rows::count).sum());
        for (block, wanted) in wanted.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty()) {
            for (row, (source, range)) in wanted.iter().zip(segment.origins(block, wanted)?) {
                rows.push(Row { source, range, block: block as u32, row: row as u32 });
            }
        }
        rows.sort_unstable_by_key(|row| (row.source, row.range.start));
        let sources = segment.sources();
        let end = |source: usize| rows.partition_point(|row| row.source <= source);
        let spans =
            (0..sources.len()).scan(0, |start, source| Some(std::mem::replace(start, end(source))..*start));
        let spans = spans.collect();
        Ok(Self { sources, rows, spans })
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The blocks and rows of the records that are known by this.
    pub(super) fn find(&self, source: SourceId, start: u64) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.sources
            .binary_search(&source)
            .ok()
            .into_iter()
            .flat_map(move |source| self.find_in(source, start))
    }

    /// The same with the place of the source among those of the segment.
    fn find_in(&self, source: usize, start: u64) -> impl Iterator<Item = (usize, usize)> + '_ {
        let rows = &self.rows[self.spans[source].clone()];
        let within = rows.first().is_some_and(|first| first.range.start <= start)
            && rows.last().is_some_and(|last| start <= last.range.start);
        let at = if within { rows.partition_point(|row| row.range.start < start) } else { rows.len() };
        let found = rows[at..].iter().take_while(move |row| row.range.start == start);
        found.map(|row| (row.block as usize, row.row as usize))
    }

    /// The blocks and rows of the records that another segment has as well.
    pub(super) fn held_by(&self, other: &Segment) -> Result<Vec<(usize, usize)>, Error> {
        let mut held = Vec::new();
        let ours = |source: &SourceId| self.sources.binary_search(source).ok();
        let ours: Vec<Option<usize>> = other.sources().iter().map(ours).collect();
        let mut blocks = vec![false; other.blocks().len()];
        for (theirs, ours) in ours.iter().enumerate() {
            if ours.is_some_and(|ours| !self.spans[ours].is_empty()) {
                blocks[other.blocks_of(theirs)].fill(true);
            }
        }
        for block in (0..blocks.len()).filter(|block| blocks[*block]) {
            for (theirs, range) in other.origins(block, &Rows::all(other.blocks()[block].rows))? {
                if let Some(ours) = ours[theirs] {
                    held.extend(self.find_in(ours, range.start));
                }
            }
        }
        Ok(held)
    }

    /// What the rows account for that are still `wanted`.
    pub(super) fn ranges(&self, wanted: &[Rows]) -> BTreeMap<SourceId, RangeSet> {
        let mut ranges: BTreeMap<SourceId, RangeSet> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| wanted[row.block as usize].contains(row.row as usize)) {
            ranges.entry(self.sources[row.source]).or_default().insert(row.range);
        }
        ranges
    }
}
