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
pub mod mask;
pub mod multiline;
pub mod parse;
pub mod pattern;

#[cfg(test)]
mod testing;

pub use condition::Condition;

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
    ]
}

/// The labels of a step's metrics: its place in its pipeline, and the pipeline.
fn labels(context: &Context) -> [(&'static str, &str); 2] {
    let (pipeline, step) = context.name.split_once('/').unwrap_or(("", &context.name));
    [("step", step), ("pipeline", pipeline)]
}
