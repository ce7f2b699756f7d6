//! Finds out which fields records have.
//!
//! Owns: how many records are looked at. Invariant: names and counts are those of the records that were looked at.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use sawyer_model::Error;
use sawyer_query::search::{Budget, FieldInfo, Fields, Order, Selection};
use sawyer_segment::Rows;

use super::plan::Plan;
use super::run::Run;
use super::unit::{FieldSummary, TYPES, Unit};
use crate::engine::Engine;

/// Once this many matching records were looked at, newest first, it is enough to know which fields there are.
const SAMPLE_ROWS: u64 = 100_000;

#[derive(Default)]
struct Tally {
    fields: BTreeMap<String, FieldSummary>,
    rows: u64,
}

/// The fields of a selection.
pub(super) fn fields(engine: &Engine, selection: &Selection, budget: &Budget) -> Result<Fields, Error> {
    let plan = Plan::of(engine, selection, Order::NewestFirst);
    let run = Run::new(engine, &plan, budget);
    let looked_at = AtomicU64::new(0);
    let left_out = AtomicU64::new(0);
    let step = |tally: &mut Tally, unit: &Unit, rows: &Rows| {
        let fields = unit.fields(rows)?;
        let count = rows.count() as u64;
        looked_at.fetch_add(count, Ordering::Relaxed);
        tally.merge(Tally { fields, rows: count });
        Ok(())
    };
    let wanted = |_: &Unit| {
        let wanted = looked_at.load(Ordering::Relaxed) < SAMPLE_ROWS;
        left_out.fetch_add(u64::from(!wanted), Ordering::Relaxed);
        wanted
    };
    let mut all = Tally::default();
    for tally in run.fold_while(Tally::default, step, wanted)? {
        all.merge(tally);
    }
    let fields = all.fields.into_iter().map(|(name, summary)| FieldInfo {
        name,
        types: TYPES
            .iter()
            .enumerate()
            .filter(|(bit, _)| summary.types >> bit & 1 == 1)
            .map(|(_, t)| *t)
            .collect(),
        count: summary.count,
    });
    Ok(Fields {
        fields: fields.collect(),
        rows: all.rows,
        sampled: left_out.into_inner() > 0,
        stats: run.stats(),
    })
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        for (name, summary) in other.fields {
            let field = self.fields.entry(name).or_default();
            field.types |= summary.types;
            field.count += summary.count;
        }
    }
}
