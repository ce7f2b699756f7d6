//! The built-in steps.
//!
//! Owns: the list of kinds, and what steps share: their conditions and the labels of their metrics.
//! Does not own: the order of steps (`topology`).
//! Invariant: a step leaves what a batch covers as it is, whatever becomes of the records, so that filtered records
//! are accounted for.

pub mod condition;
pub mod exec;
pub mod fields;
pub mod filter;
pub mod hint;
pub mod level;
pub mod mask;
pub mod metric;
pub mod multiline;
pub mod parse;
pub mod pattern;
pub mod route;

#[cfg(test)]
mod testing;

pub use condition::Condition;

use sawyer_telemetry::Counter;

use crate::component::{Context, Kind, StepPlan};

/// The kinds of steps that are built in.
#[must_use]
pub fn kinds() -> Vec<Kind<Box<dyn StepPlan>>> {
    vec![
        parse::kind(),
        filter::drop_kind(),
        filter::keep_kind(),
        exec::kind(),
        multiline::kind(),
        mask::kind(),
        fields::set_kind(),
        fields::rename_kind(),
        fields::remove_kind(),
        level::kind(),
        metric::kind(),
        route::kind(),
    ]
}

/// The labels of a step's metrics: its place in its pipeline, and the pipeline.
fn labels(context: &Context) -> [(&'static str, &str); 2] {
    let (pipeline, step) = context.name.split_once('/').unwrap_or(("", &context.name));
    [("step", step), ("pipeline", pipeline)]
}

/// Counts the records that a rule drops.
fn dropped(context: &Context, rule: &str) -> Counter {
    let [step, pipeline] = labels(context);
    let help = "Records dropped by a rule, by rule, step and pipeline";
    context.metrics.counter("sawyer_step_dropped_records", help, &[("rule", rule), step, pipeline])
}
