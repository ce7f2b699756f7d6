//! Finds the most frequent values of a field.
//!
//! Owns: the bound of what is counted. Invariant: within the bound the answer is exact.

use sawyer_model::{Error, Value, ValueRef};
use sawyer_query::FieldPattern;
use sawyer_query::search::{Budget, Order, SearchStats, TopValues, ValuesRequest};
use sawyer_segment::Rows;

use super::counts::{Counts, starts_with};
use super::ids::Ids;
use super::plan::Plan;
use super::run::Run;
use super::unit::Unit;
use crate::engine::Engine;

/// Values counted apart by one thread, and ids. Beyond it those seen least are dropped, and the answer is partial. A value
/// takes about 100 bytes, so this is 400 MB in the worst case.
const VALUES_MAX: usize = 4_000_000;

/// Ids with those that were seen again, which are found when there are so many. One takes 24 bytes, and its table grows by
/// doubling: 400 MB in the worst case, too.
const IDS_SEEN_MAX: usize = 2 * VALUES_MAX;

/// Bytes of the texts of these, besides; the same happens beyond it.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// The values of all rows of a block are looked up if at least one in so many is counted.
const CODES_PART: usize = 64;

#[derive(Default)]
struct Tally {
    counts: Counts<u64>,
    ids: Ids,
    rows: u64,
    missing: u64,
    dropped: bool,
}

/// The most frequent values.
pub(super) fn values(engine: &Engine, request: &ValuesRequest, budget: &Budget) -> Result<TopValues, Error> {
    let plan = Plan::of(engine, &request.selection, Order::NewestFirst);
    let run = Run::new(engine, &plan, budget);
    let field = FieldPattern::name(&request.field);
    let prefix = request.prefix.as_deref().map(str::to_lowercase);
    let step = |tally: &mut Tally, unit: &Unit, rows: &Rows| tally.add(unit, rows, &field, prefix.as_deref());
    let mut all = Tally::default();
    for tally in run.fold(Tally::default, step)? {
        all.merge(tally);
    }
    let stats = run.stats();
    let (rows, missing, distinct) = (all.rows, all.missing, (all.counts.len() + all.ids.distinct()) as u64);
    // So they are put in order among other values.
    for (id, count) in all.ids.top(request.limit) {
        all.counts.add(id.as_ref(), count);
    }
    let values = all.counts.into_top(request.limit, |count| *count).0;
    let partial = stats.partial || all.dropped;
    Ok(TopValues { values, rows, missing, distinct, stats: SearchStats { partial, ..stats } })
}

impl Tally {
    fn add(
        &mut self,
        unit: &Unit,
        rows: &Rows,
        field: &FieldPattern,
        prefix: Option<&str>,
    ) -> Result<(), Error> {
        let known = prefix.is_none() && self.add_ids(unit, rows, field)?
            || rows.count() * CODES_PART >= rows.len() && self.add_codes(unit, rows, field, prefix)?;
        if known {
            return Ok(());
        }
        let missing = unit.count_values(
            rows,
            field,
            |value| *value != Value::Null,
            |value, count| {
                if prefix.is_none_or(|prefix| starts_with(value.as_ref(), prefix)) {
                    self.count(value.as_ref(), count);
                }
            },
        )?;
        self.rows += rows.count() as u64;
        self.missing += missing as u64;
        self.bound();
        Ok(())
    }

    /// Counts some more rows of a value.
    fn count(&mut self, value: ValueRef<'_>, count: u64) {
        match value {
            ValueRef::Str(text) if let Some((form, id)) = Ids::of(text) => self.ids.add(form, id, count),
            value => self.counts.add(value, count),
        }
    }

    /// Counts where the unit has ids and nothing else; says whether it does.
    fn add_ids(&mut self, unit: &Unit, rows: &Rows, field: &FieldPattern) -> Result<bool, Error> {
        let mut ids = Vec::new();
        let Some(form) = unit.ids(rows, field, &mut ids)? else { return Ok(false) };
        self.ids.add_all(form, &ids);
        self.rows += rows.count() as u64;
        self.missing += (rows.count() - ids.len()) as u64;
        self.bound();
        Ok(true)
    }

    /// Counts where the unit knows which rows have the same value; says whether it does.
    fn add_codes(
        &mut self,
        unit: &Unit,
        rows: &Rows,
        field: &FieldPattern,
        prefix: Option<&str>,
    ) -> Result<bool, Error> {
        let all = 0..rows.len();
        let told = unit.count_codes(rows, field, std::slice::from_ref(&all), &mut |value, counted| {
            let count = counted[0].1;
            let Some(value) = value.map(ValueRef::Str) else {
                self.missing += count;
                return;
            };
            if prefix.is_none_or(|prefix| starts_with(value, prefix)) {
                self.count(value, count);
            }
        })?;
        if told {
            self.rows += rows.count() as u64;
            self.bound();
        }
        Ok(told)
    }

    fn merge(&mut self, other: Self) {
        self.counts.merge(other.counts, |count, more| *count += more);
        self.ids.merge(other.ids);
        self.rows += other.rows;
        self.missing += other.missing;
        self.dropped |= other.dropped;
        self.bound();
    }

    fn bound(&mut self) {
        if self.counts.len() > VALUES_MAX || self.counts.text_bytes() > TEXT_BYTES_MAX {
            self.counts.keep_top((VALUES_MAX / 2, TEXT_BYTES_MAX / 2), |count| *count, drop);
            self.dropped = true;
        }
        if self.ids.len() > IDS_SEEN_MAX && self.ids.distinct() > VALUES_MAX {
            self.ids.keep_top(VALUES_MAX / 2);
            self.dropped = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_megabyte_are_bounded() {
        let mut tally = Tally::default();
        for n in 0..300u64 {
            let text = format!("{n}{}", "x".repeat(1_000_000));
            tally.counts.add(ValueRef::Str(&text), 1 + n % 2);
            tally.bound();
            assert!(tally.counts.text_bytes() <= TEXT_BYTES_MAX, "{n}");
        }
        assert!(tally.dropped && tally.counts.len() >= 128);
    }
}
