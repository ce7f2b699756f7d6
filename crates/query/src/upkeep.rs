//! What is kept how long, what is not to be kept any longer, and what is to be had again: the [`Upkeep`] of whatever holds
//! the records, and [`Restore`].
//!
//! Owns: the questions and the reports that answer them, and the orders to delete and restore. Does not own: any engine.
//! Invariant: nothing here tells one engine from another.

use std::path::Path;
use std::time::Duration;

use sawyer_model::Error;

use crate::search::{Budget, Selection};

/// What one policy means for what is held now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReport {
    /// Its name; empty for the records of which no policy speaks.
    pub name: String,
    /// Its condition.
    pub query: String,
    /// How long its records are kept.
    pub keep: Duration,
    /// How many bytes of them are kept.
    pub size_max: Option<u64>,
    /// Its records, those in memory left out.
    pub records: u64,
    /// About how many bytes they take: the part of each segment that they are of its records.
    pub bytes: u64,
    /// Those of its records that are to go.
    pub due_records: u64,
    /// About how many bytes these take.
    pub due_bytes: u64,
}

/// What is held, and what is to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// The policies in their order; the last one is that of all other records.
    pub policies: Vec<PolicyReport>,
    /// Most bytes of everything together; none if it follows from the disk.
    pub size_max: Option<u64>,
    /// Records, those in memory left out.
    pub records: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Segments that go as a whole.
    pub segments_removed: u64,
    /// Segments that are written again without some of their records.
    pub segments_rewritten: u64,
    /// Bytes of these segments as they are now.
    pub rewritten_bytes: u64,
    /// Not everything was looked at: the numbers are lower bounds.
    pub partial: bool,
}

/// Whatever holds the records, as far as their end is concerned.
pub trait Upkeep: Send + Sync {
    /// What the policies in force mean for what is held now; or those of `settings`, a text in YAML or JSON with the
    /// keys of the section `store`, as a preview that changes nothing.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong with `settings`; `Closed` after cancellation.
    fn retention(&self, settings: Option<&str>, budget: &Budget) -> Result<RetentionReport, Error>;

    /// Deletes the records of a selection that are held when it is called, and says how many they were. When it
    /// returns, none of them is found any more. What was done before an error stays done; called again it goes on.
    ///
    /// # Errors
    /// `Closed` after cancellation or at the budget's end, `Corrupt` or `Retry` if a part cannot be read or written;
    /// the other parts are done all the same.
    fn delete(&self, selection: &Selection, budget: &Budget) -> Result<u64, Error>;
}

/// What is wanted of a copy.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// Which of its records.
    pub selection: Selection,
    /// How long from now on what is brought is kept at least, whatever its age, unless there is too much and nothing else
    /// is left to remove.
    pub keep: Option<Duration>,
    /// Whether it is to be brought. Without, only what would be is told.
    pub confirmed: bool,
}

/// What was brought from a copy, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Records that were brought.
    pub records: u64,
    /// Bytes that they take; those that would be brought about.
    pub bytes: u64,
    /// Records of the selection that are held already.
    pub present: u64,
    /// Records of the selection that are left out because they are older than they are kept.
    pub expired: u64,
    /// Files of the copy that are damaged or missing, and how. What could be read of the copy was brought.
    pub problems: Vec<(String, String)>,
}

/// Whatever can take records of a copy while it is in use.
pub trait Restore: Send + Sync {
    /// Brings the records of a selection that a copy in this folder has and that are not held. What was brought before an
    /// error stays; called again it goes on.
    ///
    /// # Errors
    /// `NotFound` if there is no copy, `Corrupt` or `Invalid` if it cannot be read, `Conflict` if there is no room for it,
    /// `Retry` if it cannot be written, `Closed` after cancellation or at the budget's end.
    fn restore(&self, from: &Path, request: &RestoreRequest, budget: &Budget)
    -> Result<RestoreReport, Error>;
}
