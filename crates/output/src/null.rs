//! The output `null`: records are counted, looked at, and let go of.
//!
//! Owns: reading every field of every record, so that nothing upstream is spared work that a real destination would
//! ask for.
//! Does not own: anything that could fail.
//! Promise: records are acknowledged once they were looked at. Nothing keeps them.

mod output;
mod settings;

#[cfg(test)]
mod tests;

use sawyer_config::{Setting, Settings};
use sawyer_model::Error;
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::NullSettings;

use output::NullOutput;

/// The kind `null`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "null",
        reference: NullSettings::reference,
        read: Box::new(|at, problems| Some(Box::new(NullPlan(NullSettings::read(at, problems)?)))),
    }
}

#[derive(Debug)]
struct NullPlan(NullSettings);

impl OutputPlan for NullPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        Ok(Box::new(NullOutput::new(&self.0, context)))
    }
}
