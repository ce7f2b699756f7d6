//! Where do records go? One folder a destination, all with the same files.
//!
//! Owns: the kinds of outputs, and what they share: writing groups of records as lines, trying again, telling what
//! is wrong.
//! Does not own: queues and stopping (`pipeline`), the store itself (`store`), the form of a record in JSON (`codec`).
//! Invariant: a transfer is acknowledged once its records are as durable as the output promises, and not before. What
//! was not delivered is let go of unacknowledged, so that its source still has it.
//!
//! | file of a destination | what |
//! |---|---|
//! | `x.rs` | what it promises, its kind |
//! | `x/settings.rs` | what can be set |
//! | `x/output.rs`, `x/sink.rs` or `x/target.rs` | the output itself; a sink where it writes lines ([`lines`]), a target where it sends requests ([`deliver`]) |
//! | `x/tests.rs` | its tests |

pub mod cloudwatch_logs;
pub mod elasticsearch;
pub mod exec;
pub mod file;
pub mod http;
pub mod kafka;
pub mod loki;
pub mod null;
pub mod sawyer;
pub mod stdout;
#[cfg(feature = "store")]
pub mod store;

mod deliver;
mod encode;
mod letters;
mod lines;
mod naming;
mod report;
mod runs;

#[cfg(test)]
mod testing;

use sawyer_pipeline::{Kind, OutputPlan};

pub use encode::LineFormat;

/// The kinds of outputs that every role knows. Roles with a store have [`store::kind`] besides.
#[must_use]
pub fn kinds() -> Vec<Kind<Box<dyn OutputPlan>>> {
    vec![
        stdout::kind(),
        file::kind(),
        exec::kind(),
        elasticsearch::kind("elasticsearch"),
        elasticsearch::kind("opensearch"),
        cloudwatch_logs::kind(),
        http::kind(),
        sawyer::kind(),
        kafka::kind(),
        loki::kind(),
        null::kind(),
    ]
}
