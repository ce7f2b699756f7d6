//! The output `exec`: lines into a program of the user's.
//!
//! Owns: what is written to the program and what its answers mean; starting it again.
//! Does not own: the program's pipes (`pipeline::process`).
//! Promise: at least once. With `acknowledge: written` records are acknowledged when they are in the pipe, and what the
//! program loses is lost. With `acknowledge: answered` they are acknowledged when the program has said `ok` to them;
//! if it fails before that, they are written again to a new one. A record that the program refuses is told, counted (in
//! the ledger as filtered, for the reason `refused`), and left out: the program's word is the user's own rule.

mod settings;
mod sink;

#[cfg(test)]
mod tests;

use std::time::Duration;

use sawyer_model::Error;
use sawyer_pipeline::process::CommandSettings;
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::{Acknowledge, ExecOutputSettings};

use crate::encode::LineFormat;
use crate::lines::LineOutput;

/// The kind `exec`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "exec",
        reference: CommandSettings::reference_beside::<ExecOutputSettings>,
        read: Box::new(|at, problems| {
            let (settings, command) = CommandSettings::read_beside(at, problems)?;
            Some(Box::new(ExecPlan { settings, command }))
        }),
    }
}

#[derive(Debug)]
struct ExecPlan {
    settings: ExecOutputSettings,
    command: CommandSettings,
}

impl OutputPlan for ExecPlan {
    // What it sends to is not Sawyer's to know, and a program that hangs is as good as a target that is away.
    fn is_remote(&self) -> bool {
        true
    }

    // It gets lines as from a file, unless it is said which go first.
    fn keeps_order(&self) -> bool {
        true
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let sink = sink::ExecSink::new(self.settings, self.command);
        Ok(Box::new(LineOutput::new(sink, LineFormat::Json, Duration::ZERO, context)))
    }
}
