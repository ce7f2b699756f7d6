//! The parts of a store that its threads share.
//!
//! Owns: who may touch what. Does not own: any of the work.
//! Invariant: locks are taken in this order: `sealing`, `writer`, `keeper`, `live`; `live` only for moments, and
//! never while anything is read or written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};
use sawyer_disk::{Disk, Lock};
use sawyer_query::search::Follower;
use sawyer_telemetry::{Clock, Seldom};

use crate::commit::Writer;
use crate::counters::Counters;
use crate::keeper::Keeper;
use crate::memory::{Generation, Held};
use crate::problems::ProblemLog;
use crate::queue::Queue;
use crate::retention::{Expiring, Profiles};
use crate::sealed::{Handles, Sealed};
use crate::settings::StorePlan;
use crate::trim::Trims;

/// See the head of the module.
pub(crate) struct Engine {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) plan: StorePlan,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) problems: ProblemLog,
    pub(crate) queue: Queue,
    pub(crate) followers: Mutex<Vec<Follower>>,
    /// Held by the one who seals.
    pub(crate) sealing: Mutex<()>,
    /// Held by the one who commits.
    pub(crate) writer: Mutex<Writer>,
    /// Held by the one who changes the catalogue.
    pub(crate) keeper: Mutex<Keeper>,
    /// What searches see.
    pub(crate) live: RwLock<Live>,
    /// Files of segments that are open.
    pub(crate) handles: Arc<Handles>,
    /// Segments that are being merged.
    pub(crate) merging: Mutex<Vec<u64>>,
    /// Segments that are too old, and since when.
    pub(crate) expiring: Mutex<Expiring>,
    /// What segments have of each class.
    pub(crate) profiles: Mutex<Profiles>,
    /// What goes from segments of which something stays.
    pub(crate) trims: Mutex<Trims>,
    /// Segments that turned out to be damaged, and how.
    pub(crate) suspects: Mutex<Vec<(u64, String)>>,
    /// Wakes the threads that seal and merge.
    pub(crate) work: Bell,
    /// Rings when something was sealed.
    pub(crate) sealed: Bell,
    /// Whether the disk was full when something was last written.
    pub(crate) full: AtomicBool,
    /// Other refusals, so that they are not logged for every batch.
    pub(crate) refusals: Seldom,
    /// Threads that may still be added to a search.
    pub(crate) search_threads: AtomicUsize,
    pub(crate) threaded: bool,
    pub(crate) stopping: AtomicBool,
    /// Held as long as the store is open.
    pub(crate) lock: Mutex<Option<Box<dyn Lock>>>,
}

/// What searches see: each committed record in exactly one of the three places.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// The generation that is being filled.
    pub(crate) active: Generation,
    /// Those that wait to be sealed, oldest first.
    pub(crate) frozen: Vec<Arc<Generation>>,
    /// The segments, by number.
    pub(crate) segments: Vec<Arc<Sealed>>,
}

/// Wakes who waits for work. A ring while nobody waits is kept.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<u64>,
    condition: Condvar,
}

impl Bell {
    /// Wakes everybody who waits.
    pub(crate) fn wake(&self) {
        *self.rung.lock() += 1;
        self.condition.notify_all();
    }

    /// How often it rang; for [`Bell::wait_since`].
    pub(crate) fn count(&self) -> u64 {
        *self.rung.lock()
    }

    /// Waits until it has rung more than `seen` times, or for `time`.
    pub(crate) fn wait_since(&self, seen: u64, time: Duration) {
        let mut rung = self.rung.lock();
        if *rung == seen {
            self.condition.wait_for(&mut rung, time);
        }
    }
}

impl Live {
    /// Bytes of records in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.active.bytes() + self.frozen.iter().map(|generation| generation.bytes()).sum::<usize>()
    }

    /// The batches in memory.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Held> {
        self.frozen.iter().flat_map(|generation| generation.held()).chain(self.active.held())
    }

    /// Records in memory.
    pub(crate) fn rows_in_memory(&self) -> u64 {
        self.active.rows() + self.frozen.iter().map(|generation| generation.rows()).sum::<u64>()
    }

    /// Adds a segment at its place.
    pub(crate) fn add(&mut self, segment: Arc<Sealed>) {
        let at = self.segments.partition_point(|known| known.entry.id < segment.entry.id);
        self.segments.insert(at, segment);
    }

    /// Takes out a segment.
    pub(crate) fn remove(&mut self, id: u64) {
        self.segments.retain(|segment| segment.entry.id != id);
    }
}

impl Engine {
    /// Whether threads do the work in the background; else whoever calls does.
    pub(crate) fn has_threads(&self) -> bool {
        self.threaded
    }

    /// Whether the store is closing.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("disk", &self.disk).field("plan", &self.plan).finish_non_exhaustive()
    }
}
