//! The output `stdout`: lines on standard output.
//!
//! Owns: writing whole lines. Does not own: their form (`encode`).
//! Promise: records are acknowledged once the system has taken them; what the reader of a pipe makes of them is
//! unknown. A reader that goes away ends the output with an error. After another error (a file on a full disk) the
//! lines are written again, after a line feed that ends what was written of them.

mod settings;
mod sink;

#[cfg(test)]
mod tests;

use std::time::Duration;

use sawyer_config::{Setting, Settings};
use sawyer_model::Error;
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::StdoutSettings;

use crate::lines::LineOutput;

/// The kind `stdout`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "stdout",
        reference: StdoutSettings::reference,
        read: Box::new(|at, problems| Some(Box::new(StdoutPlan(StdoutSettings::read(at, problems)?)))),
    }
}

#[derive(Debug)]
struct StdoutPlan(StdoutSettings);

impl OutputPlan for StdoutPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let sink = sink::WriterSink::new(std::io::stdout());
        Ok(Box::new(LineOutput::new(sink, self.0.format, Duration::ZERO, context)))
    }
}
