//! How do records change on their way, and who is wired to whom?
//!
//! Owns: what an input, a step and an output are ([`component`]); the queues between them; the topology that
//! checks, opens, runs and drains them; the built-in steps.
//! Does not own: any input or output. Their kinds are handed in by the role as [`Kinds`].
//! Invariant: everything between an input and an output is bounded in bytes, and a transfer that is dropped on
//! the way without a reason is never acknowledged.
//!
//! ```text
//! input ─► outlet ─► queue ─► pipeline (steps, one task) ─► queue ─► output
//!                └─► queue ─► another pipeline …        └─► queue ─► another output
//! ```

pub mod backoff;
pub mod component;
pub mod node;
pub mod ports;
pub mod process;
pub mod queue;
pub mod spill;
pub mod steps;
pub mod stop;
pub mod topology;

pub use backoff::Backoff;
pub use component::{
    Context, Input, InputPlan, Kind, Kinds, Outlet, Output, OutputPlan, Running, Step, StepPlan,
};
pub use node::{host_name, node_name};
pub use ports::Ports;
pub use queue::{LaneReceiver, Place, QueueReceiver, QueueSender, Queued};
pub use spill::Spill;
pub use stop::{Patience, Stop, Stopper};
pub use topology::{Resources, Topology, TopologyPlan};
