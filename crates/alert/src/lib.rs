//! When is somebody told, and how?
//!
//! A rule asks a question again and again; what it finds makes alerts, and alerts make notifications:
//!
//! ```text
//! rule ─► measure (asks `Search`) ─► engine: inactive → pending → firing → resolved
//!                                       │ groups, silences, repeats
//!                                       ▼
//!                                     queue (on disk) ─► dispatch: a courier each ─► Slack, e-mail, PagerDuty, webhook
//!                                       ▲                      │
//!                                       └── history ◄──────────┘ delivered, refused
//! ```
//!
//! Owns: rules, states, silences, notifications with their queue and history, notifiers.
//! Does not own: routes and answers (`server`), what a query means (`query`), trying again (`delivery`).
//! Invariant: what is known survives a restart in every state; a notification is told at least once, and twice only if
//! the process ends between telling and writing that it did.

mod book;
mod dispatch;
mod keeper;
mod kql;
mod measure;
mod message;
mod meters;
mod service;
mod trial;

pub mod engine;
pub mod notifier;
pub mod preview;
pub mod rule;
pub mod settings;
pub mod silence;
pub mod state;
pub mod template;
pub mod threshold;

#[cfg(test)]
mod tests;

pub use book::{Entry, Origin};
pub use kql::Kql;
pub use preview::Preview;
pub use rule::{Kind, Rule};
pub use service::{Alerts, Parts, Prepared};
pub use settings::{AlertPlan, AlertSettings};
pub use silence::{Matcher, Silence};
pub use template::Template;
pub use threshold::Threshold;
