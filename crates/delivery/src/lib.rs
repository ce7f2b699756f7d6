//! How is anything sent to a peer that may fail?
//!
//! Owns: filling requests, how many at once, trying again, what follows from each item's verdict
//! ([`courier()`]); connections, TLS, compression and credentials of HTTP ([`http`], [`auth`]).
//! Also here, beside the certificates that Sawyer shows as a client: those that it shows as a server
//! ([`tls`]), and whether a request to one is from its own machine ([`direct`]).
//! Does not own: what a request looks like and what its answer means (each output and notifier, as a [`Target`]),
//! queues and stopping (`pipeline`).
//! Invariant: an item is acknowledged after a verdict of its own, and not before. Everything that waits has a bound.
//!
//! ```text
//! items ─► outbox ─► waiting (a lane for each partition) ─► request ─► target
//!                        ▲                                     │
//!                        └──── not now, or in halves ──────────┤ verdicts
//!                                    dead letters ◄── never ───┴── done, had it ─► acknowledged
//! ```

pub mod auth;
pub mod courier;
pub mod direct;
pub mod http;
pub mod letters;
pub mod settings;
pub mod state;
pub mod target;
pub mod tls;
pub mod verdict;

mod adaptive;
mod random;
mod waiting;

pub use courier::{Courier, CourierGone, Outbox, courier};
pub use letters::{DeadLetters, Letter, LoggedLetters, Promise};
pub use settings::DeliverySettings;
pub use state::{Identity, Status};
pub use target::{Item, Limits, Origin, Part, Payload, Target};
pub use verdict::{Answer, Trouble, Verdict};
