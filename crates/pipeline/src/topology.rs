//! Who is wired to whom: the sections `inputs`, `pipelines` and `outputs` of the configuration.
//!
//! Owns: reading and checking the wiring ([`plan`]), and running it ([`running`]).
//! Does not own: the settings of any component.

mod books;
mod buffered;
mod direct;
mod entrance;
pub mod plan;
pub mod running;
mod steps;
mod urgent;

pub use sawyer_buffer::BufferSettings;

pub use plan::{PipelineSettings, SECTIONS, TopologyPlan};
pub use running::{Resources, Topology};
pub use urgent::UrgentSettings;
