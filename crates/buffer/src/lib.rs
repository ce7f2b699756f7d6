//! How records wait safely: a durable, bounded queue in front of each output, and its dead letters.
//!
//! Owns: the files in the folder of a buffer, what waits in them, what was taken, what is done.
//! Does not own: what a payload means (its user encodes batches), retries and their pace (`delivery`).
//! Invariant: what was told to be in, under the policy `always`, is delivered at least once, whatever happens to
//! the process or the power, unless a bound said otherwise, and then it is counted.
//!
//! # What happens to an entry
//! [`Buffer::push`] appends it to the file of its [`Lane`]; entries that come at the same time share one write
//! and one sync. [`Buffer::take`] hands it out, from memory if it is still there. [`Taken::ack`] ends it, in any
//! order; [`Taken::release`] (or dropping it) puts it back in its place; [`Taken::dead_letter`] moves it to the
//! lane of dead letters, where people can look at it, send it again or remove it. A file is removed when all in
//! it is done.
//!
//! # What a crash leaves
//! | | policy | entries | acknowledgements |
//! |---|---|---|---|
//! | death of the process | any | all that were told to be in | all but those of the last moment |
//! | loss of power | `always` | all that were told to be in | those older than a second |
//! | | `interval` | those older than the interval | those older than a second |
//! | | `never` | what the system wrote | what the system wrote |
//!
//! What is forgotten of acknowledgements is delivered again. Entries that were being put in may be there or not,
//! whole and once.
//!
//! A full buffer can go on to take what is lost where it is ([`Buffer::reserve`]).
//!
//! A buffer in memory is the same without files.

mod acks;
mod buffer;
mod damage;
mod ends;
mod engine;
mod entry;
mod error;
mod inspect;
mod lane;
mod meters;
mod read;
mod reserve;
mod settings;
mod signal;
mod state;
mod taken;
mod write;

pub use self::buffer::Buffer;
pub use self::damage::Damage;
pub use self::entry::{Lane, Note, PAYLOAD_BYTES_MAX};
pub use self::inspect::{Content, EntryInfo, Inspector, LaneSummary};
pub use self::reserve::Reserve;
pub use self::settings::{BufferKind, BufferPlan, BufferSettings, OnFull, SyncPolicy};
pub use self::taken::{Arrival, Taken};

#[cfg(test)]
mod tests;
