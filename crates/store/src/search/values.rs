//! Finds the most frequent values of a field.
//!
//! Owns: the bound of what is counted. Invariant: within the bound the answer is exact.

use sawyer_model::{Error, ValueRef};
use sawyer_query::search::{Budget, Order, SearchStats, TopValues, ValuesRequest};

use super::counts::{Counts, each_once, starts_with};
use super::plan::Plan;
use super::run::Run;
use super::unit::{FieldName, Unit};
use crate::engine::Engine;

/// Values counted apart by one thread. Beyond it those seen least are dropped, and the answer is partial. A value
/// takes about 100 bytes, so this is 400 MB in the worst case.
const VALUES_MAX: usize = 4_000_000;

#[derive(Default)]
struct Tally {
    counts: Counts<u64>,
    rows: u64,
    missing: u64,
    dropped: bool,
}

/// The most frequent values.
pub(super) fn values(engine: &Engine, request: &ValuesRequest, budget: &Budget) -> Result<TopValues, Error> {
    let plan = Plan::of(engine, &request.selection, Order::NewestFirst);
    let run = Run::new(engine, &plan, budget);
    let field = FieldName::new(&request.field);
    let prefix = request.prefix.as_deref().map(str::to_lowercase);
    let step = |tally: &mut Tally, unit: &Unit| tally.add(unit, &plan, &field, prefix.as_deref());
    let mut all = Tally::default();
    for tally in run.fold(Tally::default, step)? {
        all.merge(tally);
    }
    let stats = run.stats();
    let (rows, missing, distinct) = (all.rows, all.missing, all.counts.len() as u64);
    let (values, _) = all.counts.into_top(request.limit, |count| *count);
    let partial = stats.partial || all.dropped;
    let stats = SearchStats { rows_matched: rows, partial, ..stats };
    Ok(TopValues { values, rows, missing, distinct, stats })
}

impl Tally {
    fn add(&mut self, unit: &Unit, plan: &Plan, field: &FieldName, prefix: Option<&str>) -> Result<(), Error> {
        let rows = unit.select(&plan.clip)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut counts: Counts<u64> = Counts::default();
        let mut missing = 0;
        unit.each_value(&rows, field, |value| {
            let mut any = false;
            each_once(value.unwrap_or(ValueRef::Null), |value| {
                any = true;
                if prefix.is_none_or(|prefix| starts_with(value, prefix)) {
                    counts.add(value, 1);
                }
            });
            missing += u64::from(!any);
        })?;
        self.merge(Self { counts, rows: rows.count() as u64, missing, dropped: false });
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.counts.merge(other.counts, |count, more| *count += more);
        self.rows += other.rows;
        self.missing += other.missing;
        self.dropped |= other.dropped;
        if self.counts.len() > VALUES_MAX {
            let kept = std::mem::take(&mut self.counts).into_top(VALUES_MAX / 2, |count| *count).0;
            for (value, count) in kept {
                self.counts.add(value.as_ref(), count);
            }
            self.dropped = true;
        }
    }
}
