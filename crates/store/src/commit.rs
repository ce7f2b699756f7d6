//! Makes batches durable: one write and one sync for all that wait.
//!
//! Owns: the log file that is being written, the committed ranges, and the order of commits.
//! Does not own: sealing what was committed (`seal`).
//! Invariant: records become visible, and their ranges committed, only after the sync that made them durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sawyer_model::{Batch, Error, RangeSet, SourceId, Timestamp};

use crate::Appended;
use crate::engine::Engine;
use crate::error::{Result, StoreError};
use crate::queue::{Done, Pending};
use crate::retention::free_min;
use crate::sources::{Sources, without};
use crate::wal::{Payload, WalFile};

/// How long a writer waits for the sealing of earlier records at once, and how often, before it sends the
/// batches back to their senders.
const SEALING_WAIT: Duration = Duration::from_millis(500);
const SEALING_WAITS_MAX: u32 = 10;

/// What only the one who commits may touch.
#[derive(Debug)]
pub(crate) struct Writer {
    /// All that was taken from each source, sealed or not.
    pub(crate) committed: Sources,
    /// Of sources that were last heard of up to then some may be forgotten, because there were too many.
    pub(crate) forgotten: Timestamp,
    /// The file that is being written; none until there is something to write.
    wal: Option<WalFile>,
    /// Number of the next file.
    wal_next: u64,
    /// Frames of earlier files that were found when the store was opened and may never have been synced: the process
    /// was killed, or the sync failed. They are written again with the first group, so that whoever sends them again
    /// and is told that they are there can rely on it.
    doubtful: Vec<Payload>,
}

/// A group of batches as it will be written.
struct Group {
    /// Frames for the log.
    frames: Vec<Payload>,
    /// What is new of each batch, for those that have anything new.
    news: Vec<Arc<Batch>>,
    /// Ranges as they will be.
    changed: BTreeMap<SourceId, RangeSet>,
    /// What each batch's sender is told.
    answers: Vec<Appended>,
}

impl Writer {
    pub(crate) fn new(
        committed: Sources,
        forgotten: Timestamp,
        wal_next: u64,
        doubtful: Vec<Payload>,
    ) -> Self {
        Self { committed, forgotten, wal: None, wal_next, doubtful }
    }

    /// Ends the file that is being written; gives the number of the first file behind it.
    pub(crate) fn end_file(&mut self, durable: bool) -> u64 {
        if let Some(Err(error)) = self.wal.take().map(|file| file.end(durable)) {
            tracing::debug!(%error, "mark the end of a file of the write-ahead log");
        }
        self.wal_next
    }

    /// Takes out the file to write to.
    fn file(&mut self, engine: &Engine) -> Result<WalFile> {
        if let Some(file) = self.wal.take() {
            return Ok(file);
        }
        let file = WalFile::create(&*engine.disk, self.wal_next)
            .map_err(StoreError::disk("start a file of the write-ahead log"))?;
        self.wal_next += 1;
        Ok(file)
    }

    /// Writes frames, those in doubt first, and syncs them. After an error other than a full disk the file is given up: what came of
    /// the frames is open, and if they are sent again, reading the log leaves out what is there twice.
    fn write(&mut self, engine: &Engine, new: Vec<Payload>) -> Result<()> {
        let mut file = self.file(engine)?;
        let mut frames = std::mem::take(&mut self.doubtful);
        let doubtful = frames.len();
        frames.extend(new);
        let written = file.append(&frames);
        if !file.is_lost() {
            self.wal = Some(file);
        }
        written.map_err(|error| {
            frames.truncate(doubtful);
            self.doubtful = frames;
            StoreError::disk("write to the write-ahead log")(error)
        })
    }
}

impl Engine {
    /// Commits the batches that wait, a group of them; says whether there were any.
    pub(crate) fn commit_group(&self) -> bool {
        let (batches, done): (Vec<Arc<Batch>>, Vec<Done>) =
            self.queue.take_group().into_iter().map(|Pending { batch, done }| (batch, done)).unzip();
        if batches.is_empty() {
            return false;
        }
        let answers: Vec<Result<Appended, Error>> = match self.commit(&batches) {
            Ok(appended) => appended.into_iter().map(Ok).collect(),
            Err(refused) => refuse_all(self.note_refused(refused), batches.len()),
        };
        for (done, answer) in done.into_iter().zip(answers) {
            done(answer);
        }
        true
    }

    fn commit(&self, batches: &[Arc<Batch>]) -> Result<Vec<Appended>> {
        self.wait_for_memory()?;
        let mut writer = self.writer.lock();
        let group = prepare(&writer.committed, batches);
        if !group.frames.is_empty() || !writer.doubtful.is_empty() {
            let bytes: usize = group.frames.iter().chain(&writer.doubtful).map(Payload::len).sum();
            self.check_space(bytes)?;
            writer.write(self, group.frames)?;
            self.note_space();
            self.counters.wal_bytes.inc_by(bytes as u64);
            self.counters.commits.inc();
        }
        self.publish(&mut writer, group.changed, &group.news);
        for answer in &group.answers {
            self.counters.records.inc_by(answer.stored as u64);
            self.counters.duplicates.inc_by(answer.duplicates.len() as u64);
        }
        Ok(group.answers)
    }

    /// Makes durable batches visible, and tells the followers.
    fn publish(&self, writer: &mut Writer, changed: BTreeMap<SourceId, RangeSet>, news: &[Arc<Batch>]) {
        let now = self.clock.now();
        writer.committed.keep(changed, now);
        let bytes = {
            let mut live = self.live.write();
            for batch in news {
                live.active.push(batch, now);
            }
            live.active.bytes()
        };
        let mut followers = self.followers.lock();
        for batch in news.iter().filter(|batch| !batch.is_empty()) {
            followers.retain(|follower| follower(batch));
        }
        drop(followers);
        if bytes >= self.plan.seal_bytes() {
            self.freeze(writer);
        }
    }

    /// Ends the active generation, so that it can be sealed.
    pub(crate) fn freeze(&self, writer: &mut Writer) {
        let wal_end = writer.end_file(false);
        let mut live = self.live.write();
        let generation = std::mem::take(&mut live.active).freeze(wal_end);
        live.frozen.push(Arc::new(generation));
        drop(live);
        self.work.wake();
    }

    /// Refuses to write what would leave less space than is kept free.
    pub(crate) fn check_space(&self, bytes: usize) -> Result<()> {
        let space = self.disk.space().map_err(StoreError::disk("measure the space left"))?;
        let (available, free_min) = (space.available_bytes, free_min(&self.plan, space));
        if available < free_min.saturating_add(bytes as u64) {
            return Err(StoreError::Full { available, free_min });
        }
        Ok(())
    }

    /// Waits until what is sealed has made room in memory for more.
    fn wait_for_memory(&self) -> Result<()> {
        let mut patience = SEALING_WAITS_MAX;
        loop {
            let sealed = self.sealed.count();
            let waiting = self.live.read().bytes();
            if waiting <= self.plan.memory_bytes_max {
                return Ok(());
            }
            if !self.has_threads() {
                self.seal_oldest()?;
            } else if patience == 0 || self.is_stopping() {
                return Err(StoreError::Behind { waiting });
            } else {
                patience -= 1;
                self.work.wake();
                self.sealed.wait_since(sealed, SEALING_WAIT);
            }
        }
    }

    /// Says once that there is space again.
    fn note_space(&self) {
        if self.full.swap(false, Ordering::AcqRel) {
            self.counters.full.set(0);
            tracing::info!("there is space on the disk again: writes are taken");
        }
    }

    /// Says once that the disk is full, and other things seldom.
    fn note_refused(&self, refused: StoreError) -> Error {
        let full = refused.is_full();
        let error = Error::from(refused);
        self.counters.refused.inc();
        if full {
            self.counters.full.set(1);
            if !self.full.swap(true, Ordering::AcqRel) {
                tracing::error!(error = error.chain(), "writes are refused, reads go on");
            }
        } else if let Some(held_back) = self.refusals.pass(self.clock.now()) {
            tracing::error!(error = error.chain(), held_back, "write to the store");
        }
        error
    }
}

/// Encodes what is new of each batch. A batch that brings nothing new makes no frame: all of it is durable, or in doubt
/// and written again before anybody is told.
fn prepare(committed: &Sources, batches: &[Arc<Batch>]) -> Group {
    let mut trial = committed.try_out();
    let mut group =
        Group { frames: Vec::new(), news: Vec::new(), changed: BTreeMap::new(), answers: Vec::new() };
    for batch in batches {
        let taken = trial.take(batch);
        let news = match taken.duplicates.as_slice() {
            [] => Arc::clone(batch),
            duplicates => Arc::new(without(batch, duplicates)),
        };
        group.answers.push(Appended { stored: news.len(), duplicates: taken.duplicates });
        if taken.news {
            group.frames.push(Payload::of(&news));
            group.news.push(news);
        }
    }
    group.changed = trial.into_changed();
    group
}

/// The same refusal for everybody in a group.
fn refuse_all(error: Error, count: usize) -> Vec<Result<Appended, Error>> {
    let (kind, message) = (error.kind(), error.chain());
    let mut answers: Vec<Result<Appended, Error>> =
        (1..count).map(|_| Err(Error::new(kind, &*message))).collect();
    answers.push(Err(error));
    answers
}
