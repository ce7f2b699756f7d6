//! The store as others see it, and its threads.
//!
//! Owns: opening and closing, appending, and when background work is done.
//! Does not own: the work (`commit`, `seal`, `compact`), answering (`search`).
//! Invariant: after [`Store::close`] (or a drop) no thread of the store runs and the folder is free.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_disk::Disk;
use sawyer_model::{Batch, Error};
use sawyer_telemetry::{Clock, Metrics};

use crate::engine::Engine;
use crate::error::StoreError;
use crate::open::open;
use crate::problems::Problem;
use crate::queue::{Done, Pending};
use crate::settings::StorePlan;

/// How often threads look whether there is something to do that nobody woke them for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many of its records were stored.
    pub stored: usize,
    /// The places in the batch, ascending, of records that were stored before and left out.
    pub duplicates: Vec<usize>,
}

/// The embedded store: a data folder that is open. See the head of the crate.
#[derive(Debug)]
pub struct Store {
    pub(crate) engine: Arc<Engine>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the data folder that `disk` is, and starts the threads that write, seal and merge.
    ///
    /// # Errors
    /// `Conflict` if another process has it open, `Invalid` if it cannot be written or was made by a newer
    /// version, `Corrupt` if both copies of the catalogue are damaged, `Retry` if the disk is full or fails.
    /// Damaged segments and logs are no error; see [`Store::problems`].
    pub fn open(
        disk: Arc<dyn Disk>,
        plan: StorePlan,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Self, Error> {
        let engine = Arc::new(open(disk, plan, clock, metrics, true)?);
        let store = Self { engine, threads: Mutex::default() };
        store.start_threads()?;
        Ok(store)
    }

    /// Opens the data folder without threads: batches are written by whoever appends, and the rest is done by
    /// [`Store::run_once`]. With a simulated disk and a manual clock every run with the same calls is the same.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_manual(
        disk: Arc<dyn Disk>,
        plan: StorePlan,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Self, Error> {
        Ok(Self { engine: Arc::new(open(disk, plan, clock, metrics, false)?), threads: Mutex::default() })
    }

    fn start_threads(&self) -> Result<(), Error> {
        self.spawn("store-write".into(), |engine| {
            while engine.queue.wait(engine.plan.commit_delay) {
                engine.commit_group();
            }
        })?;
        self.spawn("store-seal".into(), |engine| engine.until_stopped(|| engine.keep_house()))?;
        for number in 0..self.engine.plan.merge_threads {
            self.spawn(format!("store-merge-{number}"), |engine| {
                engine.until_stopped(|| {
                    // In turns: while records come in there is always something to merge, and policies want their due.
                    let mut more = true;
                    while more && !engine.is_stopping() {
                        more = engine.merge_one()?;
                        more |= engine.trim_one()?;
                    }
                    Ok(())
                });
            })?;
        }
        Ok(())
    }

    fn spawn(&self, name: String, run: impl FnOnce(&Engine) + Send + 'static) -> Result<(), Error> {
        let engine = Arc::clone(&self.engine);
        let spawned = std::thread::Builder::new().name(name).spawn(move || run(&engine));
        let handle = spawned.map_err(|error| {
            Error::new(sawyer_model::ErrorKind::Retry, "start a thread of the store").because(error)
        })?;
        self.threads.lock().push(handle);
        Ok(())
    }

    /// Stores a batch: returns when it is durable. Records that were stored before are left out; see the head
    /// of the crate.
    ///
    /// # Errors
    /// `Retry` if the disk is full or fails, or sealing cannot keep up: nothing of the batch is acknowledged and
    /// it may be sent again. `Closed` after [`Store::close`].
    pub fn append(&self, batch: Arc<Batch>) -> Result<Appended, Error> {
        let (tell, told) = mpsc::sync_channel(1);
        let done: Done = Box::new(move |answer| {
            // Nobody listens any more if the caller's thread was unwound.
            let _ = tell.send(answer);
        });
        let pushed = self.engine.queue.push(Pending { batch, done }, self.engine.has_threads());
        pushed.map_err(|(error, _)| error)?;
        if !self.engine.has_threads() {
            self.engine.commit_group();
        }
        told.recv().unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Stores a batch without waiting: `done` is called when it is durable, or refused, on the thread that
    /// writes; it must return at once. Errors are as for [`Store::append`]; `Retry` also comes at once when too
    /// many batches wait.
    pub fn append_with(
        &self,
        batch: Arc<Batch>,
        done: impl FnOnce(Result<Appended, Error>) + Send + 'static,
    ) {
        if let Err((error, pending)) = self.engine.queue.push(Pending { batch, done: Box::new(done) }, false)
        {
            (pending.done)(Err(error.into()));
        }
    }

    /// Does what the threads of [`Store::open`] do, once, on this thread: writes batches that wait, seals what
    /// is old enough, merges once, applies retention. What policies ask for takes two calls: the first one finds out
    /// what segments have.
    ///
    /// # Errors
    /// `Retry` if the disk is full or fails. What was not done is done by another call.
    pub fn run_once(&self) -> Result<(), Error> {
        while self.engine.commit_group() {}
        self.engine.keep_house()?;
        self.engine.merge_one()?;
        while self.engine.trim_one()? {}
        Ok(())
    }

    /// Seals everything that is in memory into segments now.
    ///
    /// # Errors
    /// As for [`Store::run_once`].
    pub fn seal_now(&self) -> Result<(), Error> {
        self.engine.freeze_if_due(true);
        self.engine.seal_frozen()?;
        Ok(())
    }

    /// Removes the files of segments that nothing names any more and nobody reads.
    pub fn remove_superfluous(&self) {
        self.engine.clean_up();
    }

    /// What was found to be amiss with stored data since the store was opened, oldest first.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.engine.problems.list()
    }

    /// The names of threads that have ended though the store is open: a fault in the program. What they did is not done
    /// any more.
    #[must_use]
    pub fn dead_threads(&self) -> Vec<String> {
        let threads = self.threads.lock();
        let ended = threads.iter().filter(|thread| thread.is_finished() && !self.engine.is_stopping());
        ended.map(|thread| thread.thread().name().unwrap_or("store").to_owned()).collect()
    }

    /// Writes what waits, ends the threads and frees the folder. Appending fails from now on; what was sealed
    /// can still be searched. Does nothing the second time.
    pub fn close(&self) {
        self.engine.queue.close();
        self.engine.stopping.store(true, Ordering::Release);
        self.engine.work.wake();
        self.engine.sealed.wake();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
        while self.engine.commit_group() {}
        self.engine.writer.lock().end_file(true);
        self.engine.lock.lock().take();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Engine {
    /// Seals what is due, puts damaged segments aside, applies retention.
    fn keep_house(&self) -> crate::error::Result<()> {
        self.put_aside_damaged()?;
        self.freeze_if_due(false);
        let sealed = self.seal_frozen();
        // Also when sealing failed: the disk may be full, and retention makes room.
        let retained = self.retain();
        self.clean_up();
        self.show();
        sealed.and(retained)
    }

    /// Works whenever there may be something to do, until the store closes.
    fn until_stopped(&self, work: impl Fn() -> crate::error::Result<()>) {
        while !self.is_stopping() {
            let seen = self.work.count();
            if let Err(error) = work()
                && let Some(held_back) = self.refusals.pass(self.clock.now())
            {
                tracing::error!(
                    error = Error::from(error).chain(),
                    held_back,
                    "background work of the store"
                );
            }
            if !self.is_stopping() {
                self.work.wait_since(seen, LOOK_INTERVAL);
            }
        }
    }

    /// Shows how much there is in the metrics.
    fn show(&self) {
        let live = self.live.read();
        let sum = |of: fn(&crate::catalogue::SegmentEntry) -> u64| {
            live.segments.iter().map(|segment| of(&segment.entry)).sum::<u64>() as i64
        };
        self.counters.segments.set(live.segments.len() as i64);
        self.counters.segment_bytes.set(sum(|entry| entry.bytes));
        self.counters.segment_records.set(sum(|entry| entry.rows));
        self.counters.memory_bytes.set(live.bytes() as i64);
        drop(live);
        let cache = self.handles.cache.stats();
        self.counters.cache_bytes.set(cache.bytes as i64);
        for (counter, count) in [
            (&self.counters.cache_found, cache.found),
            (&self.counters.cache_read, cache.read),
            (&self.counters.cache_dropped, cache.dropped),
        ] {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}
