//! What the values of a field are like.
//!
//! Owns: which values count. Does not own: the sketches (`query`).
//! Invariant: the answer does not depend on how the records lie in batches and blocks.

use sawyer_model::{Error, Value};
use sawyer_query::FieldPattern;
use sawyer_query::search::{Budget, Order, Summary, SummaryRequest};
use sawyer_query::sketch::{Distinct, Quantiles};
use sawyer_segment::Rows;

use super::invalid;
use super::plan::Plan;
use super::run::Run;
use super::unit::Unit;
use crate::engine::Engine;

/// Most percentiles of one question.
const PERCENTILES_MAX: usize = 1000;

#[derive(Default)]
struct Tally {
    distinct: Distinct,
    numbers: Quantiles,
    sum: f64,
    rows: u64,
    missing: u64,
}

/// The summary of a field.
pub(super) fn summary(engine: &Engine, request: &SummaryRequest, budget: &Budget) -> Result<Summary, Error> {
    let percentiles = &request.percentiles;
    if percentiles.len() > PERCENTILES_MAX || percentiles.iter().any(|p| !(0.0..=100.0).contains(p)) {
        return Err(invalid("expected at most 1,000 percentiles, each from 0 to 100"));
    }
    let plan = Plan::of(engine, &request.selection, Order::NewestFirst);
    let run = Run::new(engine, &plan, budget);
    let field = FieldPattern::name(&request.field);
    let step = |tally: &mut Tally, unit: &Unit, rows: &Rows| tally.add(unit, rows, &field);
    let mut all = Tally::default();
    for tally in run.fold(Tally::default, step)? {
        all.merge(&tally);
    }
    Ok(Summary {
        rows: all.rows,
        missing: all.missing,
        distinct: all.distinct.estimate(),
        numbers: all.numbers.count(),
        min: all.numbers.min(),
        max: all.numbers.max(),
        sum: all.sum,
        percentiles: percentiles.iter().map(|percent| all.numbers.percentile(*percent)).collect(),
        stats: run.stats(),
    })
}

impl Tally {
    fn add(&mut self, unit: &Unit, rows: &Rows, field: &FieldPattern) -> Result<(), Error> {
        let missing = unit.count_values(
            rows,
            field,
            |value| *value != Value::Null,
            |value, count| {
                self.distinct.add(value.as_ref());
                let number = match value {
                    Value::Int(number) => *number as f64,
                    Value::Float(number) if !number.is_nan() => *number,
                    _ => return,
                };
                self.numbers.add(number, count);
                self.sum += number * count as f64;
            },
        )?;
        self.rows += rows.count() as u64;
        self.missing += missing as u64;
        Ok(())
    }

    fn merge(&mut self, other: &Self) {
        self.distinct.merge(&other.distinct);
        self.numbers.merge(&other.numbers);
        self.sum += other.sum;
        self.rows += other.rows;
        self.missing += other.missing;
    }
}
