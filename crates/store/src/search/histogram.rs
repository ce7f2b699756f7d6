//! Counts records over time.
//!
//! Owns: buckets, and counting apart by the values of a field. Invariant: every record between the edges is
//! counted once in `counts`.

use std::ops::Range;

use sawyer_model::{Error, Timestamp, Value, ValueRef};
use sawyer_query::FieldPattern;
use sawyer_query::search::{Budget, Histogram, HistogramRequest, Order, SearchStats};
use sawyer_segment::{Groups, Rows};

use super::counts::Counts;
use super::invalid;
use super::plan::Plan;
use super::run::Run;
use super::unit::Unit;
use crate::engine::Engine;

/// Numbers held for values counted apart: with more, the values seen least are counted as others. 32 MB.
const CELLS_MAX: usize = 4 << 20;

/// Bytes of texts of such values; the same happens beyond it.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Most numbers in the table of values and buckets of one block: 2 MB.
const LOCAL_CELLS_MAX: usize = 1 << 18;

/// The values of all rows of a block are looked up if at least one in so many is counted.
const CODES_PART: usize = 8;

/// Most buckets; an answer this long is 8 MB without `by`.
const BUCKETS_MAX: usize = 1 << 20;

struct Tally {
    counts: Vec<u64>,
    by: Counts<Vec<u64>>,
    missing: Vec<u64>,
    other: Vec<u64>,
    /// Values that may be counted apart.
    values_max: usize,
    /// Some values were counted as others before all was known.
    dropped: bool,
}

/// Counts between edges.
pub(super) fn histogram(
    engine: &Engine,
    request: &HistogramRequest,
    budget: &Budget,
) -> Result<Histogram, Error> {
    let edges = &request.edges;
    check_edges(edges)?;
    let mut selection = request.selection.clone();
    selection.start = selection.start.max(edges[0]);
    selection.end = selection.end.min(edges[edges.len() - 1]);
    let plan = Plan::of(engine, &selection, Order::NewestFirst);
    let run = Run::new(engine, &plan, budget);
    let field = request.by.as_deref().map(FieldPattern::name);
    let buckets = edges.len() - 1;
    let new = || Tally::new(buckets, field.as_ref().map(|_| request.by_limit));
    let step = |tally: &mut Tally, unit: &Unit, rows: &Rows| tally.add(unit, rows, edges, field.as_ref());
    let mut all = new();
    for tally in run.fold(new, step)? {
        all.merge(tally);
    }
    let (by, rest) = all.by.into_top(request.by_limit, |counts| counts.iter().sum());
    for counts in rest {
        add_to(&mut all.other, &counts);
    }
    let stats = run.stats();
    let stats = SearchStats { partial: stats.partial || all.dropped, ..stats };
    Ok(Histogram { counts: all.counts, by, missing: all.missing, other: all.other, stats })
}

fn check_edges(edges: &[Timestamp]) -> Result<(), Error> {
    if edges.len() < 2 || !edges.is_sorted_by(|a, b| a < b) {
        return Err(invalid("expected at least two edges, each later than the one before"));
    }
    if edges.len() > BUCKETS_MAX {
        return Err(invalid("there are too many buckets; choose a longer interval"));
    }
    Ok(())
}

fn add_to(sums: &mut Vec<u64>, counts: &[u64]) {
    if sums.len() < counts.len() {
        sums.resize(counts.len(), 0);
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

impl Tally {
    fn new(buckets: usize, by_limit: Option<usize>) -> Self {
        let apart = if by_limit.is_some() { vec![0; buckets] } else { Vec::new() };
        Self {
            counts: vec![0; buckets],
            by: Counts::default(),
            missing: apart.clone(),
            other: apart,
            values_max: (CELLS_MAX / buckets).max(16).max(by_limit.unwrap_or(0).saturating_mul(4)),
            dropped: false,
        }
    }

    fn add(
        &mut self,
        unit: &Unit,
        rows: &Rows,
        edges: &[Timestamp],
        field: Option<&FieldPattern>,
    ) -> Result<(), Error> {
        let bucket = |time: Timestamp| edges.partition_point(|edge| *edge <= time).wrapping_sub(1);
        let only = bucket(unit.time_min());
        if field.is_none() && only < self.counts.len() && unit.time_max() < edges[only + 1] {
            self.counts[only] += rows.count() as u64;
            return Ok(());
        }
        let whole = edges[0] <= unit.time_min() && unit.time_max() < edges[edges.len() - 1];
        if whole && self.add_ranges(unit, rows, edges, field)? {
            return Ok(());
        }
        // Rows follow each other in time, mostly: the bucket is that of the row before.
        let mut last = only.min(edges.len() - 2);
        let buckets: Vec<usize> = unit
            .timestamps()?
            .into_iter()
            .map(|time| {
                if edges[last] <= time && time < edges[last + 1] {
                    return last;
                }
                let found = bucket(time);
                last = if found < edges.len() - 1 { found } else { last };
                found
            })
            .collect();
        if let Some(field) = field {
            self.add_values(unit, rows, field, &buckets)?;
        }
        for row in rows.iter() {
            self.counts[buckets[row]] += 1;
        }
        Ok(())
    }

    /// Counts where the rows of each bucket follow each other, and have few values; says whether that is so.
    fn add_ranges(
        &mut self,
        unit: &Unit,
        rows: &Rows,
        edges: &[Timestamp],
        field: Option<&FieldPattern>,
    ) -> Result<bool, Error> {
        if field.is_some() && rows.count() * CODES_PART < rows.len() {
            return Ok(false);
        }
        let mut ranges: Vec<(usize, Range<usize>)> = Vec::new();
        if !unit.bucket_rows(edges, &mut |bucket, range| ranges.push((bucket, range)))? {
            return Ok(false);
        }
        if let Some(field) = field {
            let spans: Vec<Range<usize>> = ranges.iter().map(|(_, range)| range.clone()).collect();
            let mut count = |value: Option<&str>, counted: &[(usize, u64)]| {
                self.count(value, counted.iter().map(|(span, count)| (ranges[*span].0, *count)));
            };
            if !unit.count_codes(rows, field, &spans, &mut count)? {
                return Ok(false);
            }
        }
        for (bucket, range) in ranges {
            self.counts[bucket] += rows.count_within(range) as u64;
        }
        Ok(true)
    }

    /// Counts a value, or that there is none, some more times in buckets.
    fn count(&mut self, value: Option<&str>, counted: impl Iterator<Item = (usize, u64)>) {
        let buckets = self.counts.len();
        let counts = value.and_then(|value| self.by.of(ValueRef::Str(value)));
        let is_new = counts.as_ref().is_some_and(|counts| counts.is_empty());
        let counts = counts.unwrap_or(&mut self.missing);
        counts.resize(buckets, 0);
        counted.for_each(|(bucket, count)| counts[bucket] += count);
        if is_new {
            self.bound();
        }
    }

    /// Counts by value; `buckets` are those of all rows of the unit, right for those in `rows`.
    fn add_values(
        &mut self,
        unit: &Unit,
        rows: &Rows,
        field: &FieldPattern,
        buckets: &[usize],
    ) -> Result<(), Error> {
        let mut missing = rows.clone();
        for groups in unit.groups(rows, field)? {
            let told = |row: &u32| buckets[*row as usize];
            let Some(first) = groups.rows.iter().map(|(row, _)| told(row)).min() else { continue };
            let width = groups.rows.iter().map(|(row, _)| told(row)).max().unwrap_or(first) - first + 1;
            if width.saturating_mul(groups.values.len()) > LOCAL_CELLS_MAX {
                self.add_pairs(&groups, buckets, &mut missing);
                continue;
            }
            let is_told: Vec<bool> = groups.values.iter().map(|value| *value != Value::Null).collect();
            let mut local = vec![0u64; width * groups.values.len()];
            for (row, value) in &groups.rows {
                local[*value as usize * width + told(row) - first] += 1;
                if is_told[*value as usize] {
                    missing.remove(*row as usize);
                }
            }
            for (value, of_value) in groups.values.iter().zip(local.chunks(width)) {
                let Some(counts) = self.by.of(value.as_ref()) else { continue };
                counts.resize(self.counts.len(), 0);
                for (sum, count) in counts[first..].iter_mut().zip(of_value) {
                    *sum += count;
                }
                self.bound();
            }
        }
        for row in missing.iter() {
            self.missing[buckets[row]] += 1;
        }
        Ok(())
    }

    /// As [`Tally::add_values`] does, where there are too many values for a table of values and buckets.
    fn add_pairs(&mut self, groups: &Groups, buckets: &[usize], missing: &mut Rows) {
        let mut pairs: Vec<(u32, u32)> = groups.rows.iter().map(|(row, value)| (*value, *row)).collect();
        pairs.sort_unstable();
        for of_value in pairs.chunk_by(|a, b| a.0 == b.0) {
            let value = groups.values[of_value[0].0 as usize].as_ref();
            let Some(counts) = self.by.of(value) else { continue };
            counts.resize(self.counts.len(), 0);
            for (_, row) in of_value {
                counts[buckets[*row as usize]] += 1;
                missing.remove(*row as usize);
            }
            self.bound();
        }
    }

    fn merge(&mut self, other: Self) {
        add_to(&mut self.counts, &other.counts);
        add_to(&mut self.missing, &other.missing);
        add_to(&mut self.other, &other.other);
        self.by.merge(other.by, |counts, more| add_to(counts, &more));
        self.dropped |= other.dropped;
        self.bound();
    }

    /// Counts the values seen least as others if there are too many.
    fn bound(&mut self) {
        if self.by.len() > self.values_max || self.by.text_bytes() > TEXT_BYTES_MAX {
            self.dropped = true;
            let Self { by, other, values_max, .. } = self;
            let most = (*values_max / 2, TEXT_BYTES_MAX / 2);
            by.keep_top(most, |counts| counts.iter().sum(), |counts| add_to(other, &counts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_megabyte_are_bounded() {
        let mut tally = Tally::new(2, Some(10));
        for n in 0..100usize {
            tally.count(Some(&format!("{n}{}", "x".repeat(1_000_000))), [(n % 2, 1)].into_iter());
            assert!(tally.by.text_bytes() <= TEXT_BYTES_MAX, "{n}");
        }
        let kept: u64 = tally.by.into_top(100, |counts| counts.iter().sum()).0.len() as u64;
        assert!(tally.dropped && kept >= 32 && kept + tally.other.iter().sum::<u64>() == 100, "{kept}");
    }

    #[test]
    fn values_of_one_block_are_bounded_while_they_are_counted() {
        let mut tally = Tally::new(5000, Some(10));
        let most = tally.values_max;
        assert!(most < 1000, "{most}");
        for n in 0..10_000usize {
            tally.count(Some(&format!("user {n}")), [(n % 5000, 1)].into_iter());
            assert!(tally.by.len() <= most, "{} of {most}", tally.by.len());
        }
        tally.count(None, [(1, 3)].into_iter());
        let (by, rest) = tally.by.into_top(most, |counts| counts.iter().sum());
        let kept: u64 = by.iter().map(|(_, counts)| counts.iter().sum::<u64>()).sum();
        assert_eq!((rest.count(), kept + tally.other.iter().sum::<u64>()), (0, 10_000));
        assert!(tally.dropped && tally.missing[1] == 3);
    }
}
