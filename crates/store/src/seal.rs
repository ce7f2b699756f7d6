//! Turns records in memory into sealed segments.
//!
//! Owns: the order of writing, cataloguing and publishing.
//! Does not own: how records are divided into segments (`divide`), how a segment is encoded (`segment`), merging
//! (`compact`).
//! Invariant: at every moment a restart finds each record once: in the log as long as the catalogue says so, then
//! in a segment.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use sawyer_model::{Error, Timestamp};
use sawyer_segment::{EncodeSettings, Sink, Summary, Unreadable, encode_rows_to};

use crate::catalogue::{Partition, SegmentEntry};
use crate::commit::Writer;
use crate::divide::{bytes_of, days_told, divide};
use crate::engine::Engine;
use crate::error::{Result, StoreError};
use crate::keeper::{SEGMENT_DIR, segment_path};
use crate::memory::Generation;
use crate::sealed::Sealed;
use crate::sources::{Bounds, Forgotten};

/// From so many bytes of batches on a segment is written as it will stay: it is merged seldom, and then copied. Smaller
/// ones will be put together soon, and what takes longest is left to that.
const LASTING_BYTES_MIN: usize = 16 << 20;

impl Engine {
    /// Freezes the active generation if it is old enough, or if told to whatever its age.
    pub(crate) fn freeze_if_due(&self, at_once: bool) {
        let mut writer = self.writer.lock();
        let started = self.live.read().active.started();
        let due = started
            .is_some_and(|started| at_once || self.clock.now().since(started) >= self.plan.seal_interval);
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
        let segments = self.write_generation(&generation)?;
        self.sync_segments(&segments)?;
        let mut keeper = self.keeper.lock();
        let now = self.clock.now();
        let (bounds, mut forgotten) = (Bounds::of(&self.plan), Forgotten::default());
        let changed = keeper.change(&*self.disk, |catalogue| {
            catalogue.segments.extend(segments.iter().map(|segment| segment.entry));
            catalogue.wal_first = generation.wal_end();
            catalogue.sources.merge(generation.covered());
            forgotten = catalogue.sources.forget(now, &bounds);
        });
        changed.inspect_err(|_| segments.iter().for_each(|segment| keeper.discard_later(segment)))?;
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
        if forgotten != Forgotten::default() {
            self.forget_sources(&mut self.writer.lock(), now, &bounds);
        }
        self.sealed.wake();
        self.work.wake();
        Ok(true)
    }

    /// Writes the records of a generation as segments; if one cannot be written, none is left.
    fn write_generation(&self, generation: &Generation) -> Result<Vec<Arc<Sealed>>> {
        let mut segments = Vec::new();
        for (partition, share) in divide(generation.held(), &days_told(&self.plan, self.clock.now())) {
            let (batches, rows) = share.of(generation.held());
            let shapes = bytes_of(&batches, &rows) >= LASTING_BYTES_MIN;
            let settings = EncodeSettings { shapes, ..EncodeSettings::default() };
            let written =
                self.write_segment(partition, |sink| encode_rows_to(&batches, &rows, &settings, sink));
            let written = written.inspect_err(|_| {
                let mut keeper = self.keeper.lock();
                segments.iter().for_each(|segment| keeper.discard(segment));
            });
            segments.push(Arc::new(written.map_err(WriteError::into_store)?));
        }
        Ok(segments)
    }

    /// Forgets what the catalogue has forgotten also for batches to come.
    pub(crate) fn forget_sources(&self, writer: &mut Writer, now: Timestamp, bounds: &Bounds) {
        let Forgotten { sources, ranges, last } = writer.committed.forget(now, bounds);
        writer.forgotten = writer.forgotten.max(last.unwrap_or(Timestamp::MIN));
        if sources > 0 {
            tracing::info!(
                sources,
                ranges,
                "sources that sent nothing for long, or names without order, are forgotten"
            );
        }
    }

    /// Writes what `encode` makes as a segment of a partition, synced, and opens it again. Its name is not durable yet.
    pub(crate) fn write_segment(
        &self,
        partition: Partition,
        encode: impl FnOnce(Sink<'_, WriteError>) -> std::result::Result<Summary, WriteError>,
    ) -> std::result::Result<Sealed, WriteError> {
        let id = self.keeper.lock().next_segment();
        let path = segment_path(id);
        let written = self.disk.create(&path).map_err(WriteError::Disk).and_then(|mut file| {
            let summary = encode(&mut |piece| file.append(piece).map_err(WriteError::Disk))?;
            file.sync_data().map_err(WriteError::Disk)?;
            Ok(summary)
        });
        let opened = written.and_then(|summary| {
            let opened = Sealed::open(&self.disk, &self.handles, entry_of(id, &summary, partition));
            opened.map_err(|error| WriteError::Store(unreadable(&path, &error)))
        });
        // On a full disk a leftover would hold space.
        opened.inspect_err(|_| self.keeper.lock().give_up(&*self.disk, id))
    }

    /// Makes the names of segments durable; if that fails, they are removed later.
    pub(crate) fn sync_segments(&self, segments: &[Arc<Sealed>]) -> Result<()> {
        let synced = self.disk.sync_dir(Path::new(SEGMENT_DIR)).map_err(StoreError::disk("sync segments"));
        synced.inspect_err(|_| {
            let mut keeper = self.keeper.lock();
            segments.iter().for_each(|segment| keeper.discard_later(segment));
        })
    }
}

/// Why a segment was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// It cannot be encoded.
    Encode(Error),
    /// One of those that it is made of cannot be read.
    Input(Unreadable),
    /// The store is closing.
    Stopped,
    Disk(sawyer_disk::Error),
    Store(StoreError),
}

impl WriteError {
    /// The error of the store that it is.
    pub(crate) fn into_store(self) -> StoreError {
        match self {
            Self::Encode(source) | Self::Input(Unreadable { error: source, .. }) => {
                StoreError::Encode { source }
            }
            Self::Stopped => StoreError::Closed,
            Self::Disk(error) => StoreError::disk("write a segment")(error),
            Self::Store(error) => error,
        }
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Encode(error)
    }
}

impl From<Unreadable> for WriteError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Input(unreadable)
    }
}

/// A segment that was just written cannot be read.
pub(crate) fn unreadable(path: &Path, error: &Error) -> StoreError {
    StoreError::Corrupt { path: path.display().to_string(), reason: error.chain() }
}

/// What the catalogue says of a segment of a partition.
pub(crate) fn entry_of(id: u64, summary: &Summary, partition: Partition) -> SegmentEntry {
    let span = |times: &Option<RangeInclusive<Timestamp>>| {
        let times = times.as_ref().expect("a segment has records");
        (*times.start(), *times.end())
    };
    let (time_min, time_max) = span(&summary.timestamps);
    let (observed_min, observed_max) = span(&summary.observed);
    let Summary { rows, raw_bytes, bytes, .. } = *summary;
    let Partition { stray, kept_until, .. } = partition;
    SegmentEntry {
        id,
        bytes,
        rows,
        raw_bytes,
        time_min,
        time_max,
        observed_min,
        observed_max,
        stray,
        kept_until,
    }
}
