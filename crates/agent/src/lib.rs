//! Which parts make a process of Sawyer's?
//!
//! Owns: the settings of the process, reading its configuration as a whole, the listener with the routes that
//! every role has (`/healthz`, `/readyz`, `/metrics`, `/api/v1/buffers`), and running a topology under them.
//! Does not own: which kinds of components there are (the binary hands them in), the API (`server`).
//! Invariant: roles differ by what they are handed, not by code here.

pub mod buffers;
pub mod http;
pub mod ledger;
pub mod local;
pub mod process;
pub mod reload;
pub mod settings;

pub use process::{ProcessPlan, run};
pub use reload::Configured;
pub use settings::ProcessSettings;
