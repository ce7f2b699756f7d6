//! What is a record, a field value, a batch, a source identity, an acknowledgement?
//!
//! Owns: the vocabulary that every other crate speaks, and the limits of a record.
//! Does not own: how records are written (`codec`, `segment`), changed (`pipeline`) or kept (`store`).
//! Invariant: no I/O, no clock, no async; everything here is plain data.
//!
//! A [`Batch`] keeps the text of all its records in one arena and their fields in one vector, so that reading a
//! line into a record allocates nothing of its own. What all records of a container share (namespace, pod,
//! container …) stands once, in a [`Stream`]. [`RecordRef`] reads one record of a batch; [`Record`] is the same
//! thing on its own feet, for tests and for the places where speed does not matter.

pub mod ack;
pub mod batch;
pub mod error;
pub mod level;
pub mod limits;
pub mod names;
pub mod progress;
pub mod ranges;
pub mod record;
pub mod source;
pub mod tally;
pub mod timestamp;
pub mod value;

pub use ack::{Ack, Outcome};
pub use batch::{
    Batch, OwnFields, OwnPart, OwnParts, OwnPlaces, PlacedValue, RecordEditor, RecordHead, RecordRef,
    RecordWriter, Transfer,
};
pub use error::{Error, ErrorKind};
pub use level::Level;
pub use names::{NameGuess, NameId};
pub use progress::Progress;
pub use ranges::{RangeSet, SeqRange};
pub use record::Record;
pub use source::{Covered, RecordId, SourceId, Stream};
pub use tally::{BySource, Claim, Count, Fate, Fates, LeftOut, Tally, Way};
pub use timestamp::Timestamp;
pub use value::{ListRef, Value, ValueRef};
