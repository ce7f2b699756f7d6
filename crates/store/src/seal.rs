//! Turns records in memory into sealed segments.
//!
//! Owns: how records are divided into segments, and the order of writing, cataloguing and publishing.
//! Does not own: how a segment is encoded (`segment`), merging (`compact`).
//! Invariant: at every moment a restart finds each record once: in the log as long as the catalogue says so, then
//! in a segment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sawyer_model::{Batch, Error, RecordRef, Timestamp};

use crate::catalogue::{Partition, SegmentEntry};
use crate::engine::Engine;
use crate::error::{Result, StoreError};
use crate::format;
use crate::keeper::{SEGMENT_DIR, segment_path};
use crate::memory::{Generation, Held};
use crate::sealed::Sealed;

impl Engine {
    /// Freezes the active generation if it is old enough, or if told to whatever its age.
    pub(crate) fn freeze_if_due(&self, at_once: bool) {
        let mut writer = self.writer.lock();
        let started = self.live.read().active.started();
        let due = started.is_some_and(|started| {
            at_once || self.clock.now().since(started) >= self.plan.seal_interval
        });
        if due {
            self.freeze(&mut writer);
        }
    }

    /// Seals all frozen generations.
    pub(crate) fn seal_frozen(&self) -> Result<()> {
        while self.seal_oldest()? {}
        Ok(())
    }

    /// Seals the oldest frozen generation; says whether there was one.
    pub(crate) fn seal_oldest(&self) -> Result<bool> {
        let _one_at_a_time = self.sealing.lock();
        let Some(generation) = self.live.read().frozen.first().map(Arc::clone) else { return Ok(false) };
        let mut segments = Vec::new();
        for batches in divide(&generation).into_values() {
            segments.push(Arc::new(self.write_segment(&batches)?));
        }
        self.sync_segments(&segments)?;
        let mut keeper = self.keeper.lock();
        let now = self.clock.now();
        let mut forgotten = 0;
        keeper.change(&*self.disk, |catalogue| {
            catalogue.segments.extend(segments.iter().map(|segment| segment.entry));
            catalogue.wal_first = generation.wal_end();
            catalogue.sources.merge(generation.covered());
            forgotten = catalogue.sources.forget(now, self.plan.source_idle_max, self.plan.sources_max);
        }).inspect_err(|_| discard(&mut keeper, &segments))?;
        self.counters.sources.set(keeper.catalogue().sources.len() as i64);
        let mut live = self.live.write();
        live.frozen.remove(0);
        for segment in &segments {
            self.counters.sealed_bytes.inc_by(segment.entry.bytes);
            self.counters.sealed.inc();
            live.add(Arc::clone(segment));
        }
        drop(live);
        keeper.clean_up(&*self.disk, now);
        drop(keeper);
        if forgotten > 0 {
            self.forget_sources(now);
        }
        self.sealed.wake();
        self.work.wake();
        Ok(true)
    }

    /// Forgets what the catalogue has forgotten also for batches to come.
    fn forget_sources(&self, now: Timestamp) {
        let mut writer = self.writer.lock();
        let forgotten = writer.committed.forget(now, self.plan.source_idle_max, self.plan.sources_max);
        tracing::info!(forgotten, "sources that sent nothing for long are forgotten");
    }

    /// Encodes and writes a segment, synced, and opens it again. Its name is not durable yet.
    pub(crate) fn write_segment(&self, batches: &[Arc<Batch>]) -> Result<Sealed> {
        let bytes = format::encode_segment(batches)?;
        let id = self.keeper.lock().next_segment();
        let path = segment_path(id);
        let written = self.disk.create(&path).and_then(|mut file| {
            file.append(&bytes)?;
            file.sync_data()
        });
        if let Err(error) = written {
            // On a full disk the leftover would hold space; the first error says more than a second would.
            let _ = self.disk.remove_file(&path);
            return Err(StoreError::disk("write a segment")(error));
        }
        let entry = entry_of(id, bytes.len() as u64, batches);
        Sealed::open(&*self.disk, entry).map_err(|error| unreadable(&path, &error))
    }

    /// Makes the names of segments durable; if that fails, they are removed later.
    pub(crate) fn sync_segments(&self, segments: &[Arc<Sealed>]) -> Result<()> {
        let synced = self.disk.sync_dir(Path::new(SEGMENT_DIR)).map_err(StoreError::disk("sync segments"));
        synced.inspect_err(|_| discard(&mut self.keeper.lock(), segments))
    }
}

/// After a failed change it is open whether a restart finds the segments in the catalogue, so their files stay
/// until another change succeeds.
pub(crate) fn discard(keeper: &mut crate::keeper::Keeper, segments: &[Arc<Sealed>]) {
    for segment in segments {
        keeper.discard(segment_path(segment.entry.id));
    }
}

/// A segment that was just written cannot be read.
pub(crate) fn unreadable(path: &Path, error: &Error) -> StoreError {
    StoreError::Corrupt { path: path.display().to_string(), reason: error.chain() }
}

/// What the catalogue says of these records.
fn entry_of(id: u64, bytes: u64, batches: &[Arc<Batch>]) -> SegmentEntry {
    let records = || batches.iter().flat_map(|batch| batch.iter());
    let (time_min, time_max) = span(records().map(RecordRef::timestamp));
    let (observed_min, observed_max) = span(records().map(RecordRef::observed));
    let first = records().next().expect("a segment has records");
    let stray = Partition::of(first.timestamp(), first.observed()).stray;
    let rows = records().count() as u64;
    SegmentEntry { id, bytes, rows, time_min, time_max, observed_min, observed_max, stray }
}

fn span(times: impl Iterator<Item = Timestamp>) -> (Timestamp, Timestamp) {
    times.fold((Timestamp::MAX, Timestamp::MIN), |(min, max), time| (min.min(time), max.max(time)))
}

/// The records of a generation by the partition they belong to.
fn divide(generation: &Generation) -> BTreeMap<Partition, Vec<Arc<Batch>>> {
    let mut parts: BTreeMap<Partition, Vec<Arc<Batch>>> = BTreeMap::new();
    for Held { batch, .. } in generation.held() {
        let of = |record: RecordRef<'_>| Partition::of(record.timestamp(), record.observed());
        let first = of(batch.get(0));
        if batch.iter().all(|record| of(record) == first) {
            parts.entry(first).or_default().push(Arc::clone(batch));
            continue;
        }
        let mut split: BTreeMap<Partition, Batch> = BTreeMap::new();
        for record in batch.iter() {
            split.entry(of(record)).or_default().push_ref(record);
        }
        for (partition, batch) in split {
            parts.entry(partition).or_default().push(Arc::new(batch));
        }
    }
    parts
}
