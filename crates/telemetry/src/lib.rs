//! What does Sawyer say about itself? Its own logs, its metrics, and the clock that all of it is timed by.
//!
//! Owns: the set-up of logging, the registry of metrics, the ledger, the reasons for not being ready, the [`Clock`].
//! Does not own: what is counted (each crate counts its own), or how metrics are served (`server`).
//! Invariant: wall-clock time is read here and nowhere else.

pub mod clock;
pub mod derived;
pub mod health;
pub mod ledger;
pub mod logs;
pub mod metrics;

pub use clock::Clock;
pub use derived::{Derived, DerivedKind, DerivedSpec};
pub use health::Health;
pub use ledger::{
    Answer, Book, Books, Checkpoint, Claim, End, Ends, Gap, Ledger, Parts, Question, Questions, SourceAnswer,
    SourceBook, SourceFates, Sums, Taken,
};
pub use logs::Seldom;
pub use metrics::{Counter, Gauge, Labels, Metrics};
