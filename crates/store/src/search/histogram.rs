//! Counts records over time.
//!
//! Owns: buckets, and counting apart by the values of a field. Invariant: every record between the edges is
//! counted once in `counts`.

use sawyer_model::{Error, Timestamp, ValueRef};
use sawyer_query::search::{Budget, Histogram, HistogramRequest, Order, SearchStats};

use super::counts::{Counts, each_once};
use super::invalid;
use super::plan::Plan;
use super::run::Run;
use super::unit::{FieldName, Unit};
use crate::engine::Engine;

/// Numbers held for values counted apart: with more, the values seen least are counted as others. 32 MB.
const CELLS_MAX: usize = 4 << 20;

/// Most buckets; an answer this long is 8 MB without `by`.
const BUCKETS_MAX: usize = 1 << 20;

struct Tally {
    counts: Vec<u64>,
    by: Counts<Vec<u64>>,
    missing: Vec<u64>,
    other: Vec<u64>,
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
    let field = request.by.as_deref().map(FieldName::new);
    let buckets = edges.len() - 1;
    let new = || Tally::new(buckets, field.is_some());
    let step = |tally: &mut Tally, unit: &Unit| tally.add(unit, &plan, edges, field.as_ref());
    let mut all = new();
    for tally in run.fold(new, step)? {
        all.merge(tally, request.by_limit);
    }
    let (by, rest) = all.by.into_top(request.by_limit, |counts| counts.iter().sum());
    for counts in &rest {
        add_to(&mut all.other, counts);
    }
    let rows_matched = all.counts.iter().sum();
    let stats = SearchStats { rows_matched, ..run.stats() };
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
    fn new(buckets: usize, by: bool) -> Self {
        let apart = if by { vec![0; buckets] } else { Vec::new() };
        Self { counts: vec![0; buckets], by: Counts::default(), missing: apart.clone(), other: apart }
    }

    fn add(
        &mut self,
        unit: &Unit,
        plan: &Plan,
        edges: &[Timestamp],
        field: Option<&FieldName>,
    ) -> Result<(), Error> {
        let rows = unit.select(&plan.clip)?;
        if rows.is_empty() {
            return Ok(());
        }
        let bucket = |time: Timestamp| edges.partition_point(|edge| *edge <= time) - 1;
        let only = bucket(unit.time_min().max(edges[0]));
        if field.is_none() && unit.time_max() < edges[only + 1] && unit.time_min() >= edges[only] {
            self.counts[only] += rows.count() as u64;
            return Ok(());
        }
        let buckets: Vec<usize> = unit.timestamps(&rows)?.into_iter().map(bucket).collect();
        let mut added = Self::new(self.counts.len(), field.is_some());
        if let Some(field) = field {
            added.add_values(unit, &rows, field, &buckets)?;
        }
        for bucket in buckets {
            added.counts[bucket] += 1;
        }
        self.merge(added, 1);
        Ok(())
    }

    fn add_values(
        &mut self,
        unit: &Unit,
        rows: &sawyer_segment::Rows,
        field: &FieldName,
        buckets: &[usize],
    ) -> Result<(), Error> {
        let Self { by, missing, counts, .. } = self;
        let mut at = buckets.iter();
        unit.each_value(rows, field, |value| {
            let bucket = *at.next().expect("there is a bucket for each row");
            let mut any = false;
            each_once(value.unwrap_or(ValueRef::Null), |value| {
                any = true;
                if let Some(of_value) = by.of(value) {
                    of_value.resize(counts.len(), 0);
                    of_value[bucket] += 1;
                }
            });
            missing[bucket] += u64::from(!any);
        })
    }

    fn merge(&mut self, other: Self, by_limit: usize) {
        add_to(&mut self.counts, &other.counts);
        add_to(&mut self.missing, &other.missing);
        add_to(&mut self.other, &other.other);
        self.by.merge(other.by, |counts, more| add_to(counts, &more));
        let values_max = (CELLS_MAX / self.counts.len()).max(16).max(by_limit.saturating_mul(4));
        if self.by.len() > values_max {
            let by = std::mem::take(&mut self.by);
            let (kept, rest) = by.into_top(values_max / 2, |counts| counts.iter().sum());
            for (value, counts) in kept {
                if let Some(of_value) = self.by.of(value.as_ref()) {
                    *of_value = counts;
                }
            }
            for counts in rest {
                add_to(&mut self.other, &counts);
            }
        }
    }
}
