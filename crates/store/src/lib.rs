//! Where do records live? Write-ahead log, catalogue, merge, retention; the embedded engine behind `Search`.
//!
//! Owns: a data folder: its files, who writes them when, and what is there after a crash.
//! Does not own: how bytes reach a disk (`disk`), how records lie in a segment (`segment`), what a query means
//! (`query`).
//! Invariant: a record that was acknowledged is found exactly once, at every moment and after every crash, until
//! retention removes it.
//!
//! # The way of a batch
//! 1. [`Store::append`] puts it in a line (`queue`). One thread (`commit`) takes all that wait, leaves out
//!    records whose ranges are committed already (`sources`), writes a frame for each batch to the write-ahead
//!    log (`wal`), and syncs once for all.
//! 2. It is then visible to searches (`memory`), given to followers, and acknowledged.
//! 3. When enough records are in memory, or after a time, they are frozen and sealed into segments (`seal`), one
//!    for each day of `observed` (and one for records that tell quite another time). The catalogue (`catalogue`)
//!    is replaced, then the files of the log are removed.
//! 4. Segments of a day are merged into larger ones (`merge` chooses, `compact` does it), and removed when they
//!    are too old or too many (`retention`). Where only some records are to go, the segment is written again
//!    without them (`policy` says which, `trim` does it).
//!
//! # Files
//! | path | what |
//! |---|---|
//! | `lock` | held while the store is open |
//! | `catalogue` | which segments there are, what was taken from each source, where the log starts |
//! | `wal/<number>.wal` | write-ahead log |
//! | `segments/<number>.seg` | segments |
//! | `quarantine/` | damaged files, each with a note |

mod backup;
mod catalogue;
mod commit;
mod compact;
mod confirm;
mod counters;
mod delete;
mod divide;
mod engine;
mod error;
mod inspect;
mod keeper;
mod memory;
mod merge;
mod open;
mod policy;
mod problems;
mod queue;
mod report;
mod restore;
mod retention;
mod room;
mod seal;
mod sealed;
mod search;
mod settings;
mod sources;
mod stats;
mod store;
mod trim;
mod verify;
mod wal;

use std::time::Duration;

pub use backup::{BackupReport, backup};
pub use inspect::{Findings, Inspection, SegmentInfo};
pub use problems::Problem;
pub use settings::{PolicySettings, StorePlan, StoreSettings};
pub use stats::StoreStats;
pub use store::{Appended, Store};
pub use verify::VerifyReport;

/// Name of the file that is locked.
const LOCK_FILE: &str = "lock";

/// How often a refusal or a failure that lasts is logged.
const REFUSALS_INTERVAL: Duration = Duration::from_secs(10);
