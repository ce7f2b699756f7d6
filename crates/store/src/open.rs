//! Opens a data folder: finds what is there, whatever happened to the process or the machine before.
//!
//! Owns: recovery. Does not own: what files mean (`catalogue`, `wal`, `segment`).
//! Invariant: what was acknowledged before is there afterwards, once; what cannot be read is put aside and told,
//! and keeps nothing else from being served.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use sawyer_disk::{Disk, Lock, read_all};
use sawyer_model::{Error, ErrorKind};
use sawyer_telemetry::{Clock, Metrics, Seldom};

use crate::catalogue::{CATALOGUE_FILE, Catalogue, Found, SegmentEntry, load};
use crate::commit::Writer;
use crate::confirm::forgotten_before;
use crate::counters::Counters;
use crate::engine::{Bell, Engine, Live};
use crate::error::{Result, StoreError};
use crate::keeper::{Keeper, SEGMENT_DIR, segment_of, segment_path};
use crate::memory::Generation;
use crate::problems::{Problem, ProblemLog, QUARANTINE_DIR, keep_torn, quarantine};
use crate::queue::Queue;
use crate::sealed::{Handles, Sealed};
use crate::settings::StorePlan;
use crate::sources::{Bounds, Sources, without};
use crate::wal::{self, Frames, Payload, WAL_DIR};
use crate::{LOCK_FILE, REFUSALS_INTERVAL};

/// Longest file of the log that is read: longer ones are never written, because a file ends when its records
/// fill a part of the memory budget, and a batch has at most a gigabyte of text.
const WAL_FILE_BYTES_MAX: u64 = 64 << 30;

/// A data folder that is being opened.
struct Opening {
    disk: Arc<dyn Disk>,
    plan: StorePlan,
    clock: Clock,
    counters: Counters,
    problems: ProblemLog,
    handles: Arc<Handles>,
}

/// What the log holds.
struct Replayed {
    active: Generation,
    frozen: Vec<Arc<Generation>>,
    committed: Sources,
    damaged_logs: Vec<u64>,
    wal_next: u64,
    /// Frames that may never have been synced.
    doubtful: Vec<Payload>,
}

/// Opens the data folder that `disk` is.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    plan: StorePlan,
    clock: Clock,
    metrics: &Metrics,
    threaded: bool,
) -> Result<Engine> {
    let lock = prepare(&*disk)?;
    let opening = Opening {
        disk,
        counters: Counters::new(metrics, &plan),
        handles: Arc::new(Handles::new(plan.search_cache_bytes_max)),
        plan,
        clock,
        problems: ProblemLog::default(),
    };
    let (catalogue, mut changed) = opening.load_catalogue()?;
    let (segments, segment_next) = opening.open_segments(&catalogue)?;
    let mut keeper = Keeper::new(catalogue, segment_next);
    if segments.len() != keeper.catalogue().segments.len() {
        changed = true;
    }
    if changed {
        let there = |entry: &SegmentEntry| segments.iter().any(|segment| segment.entry.id == entry.id);
        keeper.change(&*opening.disk, |catalogue| catalogue.segments.retain(there))?;
    }
    let replayed = opening.replay(keeper.catalogue())?;
    keeper.note_damaged_logs(replayed.damaged_logs);
    keeper.clean_up(&*opening.disk, opening.clock.now());
    let Opening { disk, plan, clock, counters, problems, handles } = opening;
    let forgotten = forgotten_before(&replayed.committed, &Bounds::of(&plan), clock.now());
    Ok(Engine {
        counters,
        problems,
        queue: Queue::default(),
        followers: Mutex::default(),
        sealing: Mutex::default(),
        writer: Mutex::new(Writer::new(replayed.committed, forgotten, replayed.wal_next, replayed.doubtful)),
        keeper: Mutex::new(keeper),
        live: RwLock::new(Live { active: replayed.active, frozen: replayed.frozen, segments }),
        handles,
        merging: Mutex::default(),
        expiring: Mutex::default(),
        profiles: Mutex::default(),
        trims: Mutex::default(),
        suspects: Mutex::default(),
        work: Bell::default(),
        sealed: Bell::default(),
        full: AtomicBool::new(false),
        refusals: Seldom::new(REFUSALS_INTERVAL),
        search_threads: AtomicUsize::new(plan.search_threads.saturating_sub(1)),
        threaded,
        stopping: AtomicBool::new(false),
        lock: Mutex::new(Some(lock)),
        disk,
        plan,
        clock,
    })
}

/// Takes the lock and makes the directories.
fn prepare(disk: &dyn Disk) -> Result<Box<dyn Lock>> {
    let unwritable = |action| {
        move |error: sawyer_disk::Error| {
            if error.is_read_only() {
                StoreError::Unwritable { source: error }
            } else if error.is_locked() {
                StoreError::Locked { source: error }
            } else {
                StoreError::disk(action)(error)
            }
        }
    };
    disk.create_dir_all(Path::new("")).map_err(unwritable("make the data folder"))?;
    let lock = disk.lock(Path::new(LOCK_FILE)).map_err(unwritable("lock the data folder"))?;
    for folder in [WAL_DIR, SEGMENT_DIR, QUARANTINE_DIR] {
        disk.create_dir_all(Path::new(folder)).map_err(unwritable("make the data folder"))?;
    }
    Ok(lock)
}

impl Opening {
    fn report(&self, path: &Path, message: String, quarantined: Option<String>) {
        let path = path.display().to_string();
        self.problems.add(Problem { at: self.clock.now(), path, message, quarantined });
    }

    /// The catalogue, and whether it has to be written again.
    fn load_catalogue(&self) -> Result<(Catalogue, bool)> {
        match load(&*self.disk)? {
            Found::Whole(catalogue) => Ok((catalogue, false)),
            Found::Half(catalogue) => {
                let message = "one of its two copies is damaged; the other one is whole and was used".into();
                self.report(Path::new(CATALOGUE_FILE), message, None);
                Ok((catalogue, true))
            }
            Found::Nothing => {
                // A new folder. The catalogue is written before the first log, so one with data has one.
                for folder in [SEGMENT_DIR, WAL_DIR] {
                    let entries =
                        self.disk.read_dir(Path::new(folder)).map_err(StoreError::disk("list files"))?;
                    if !entries.is_empty() {
                        let reason = format!("it is missing, and there is data in {folder}/");
                        return Err(StoreError::Corrupt { path: CATALOGUE_FILE.into(), reason });
                    }
                }
                Ok((Catalogue::default(), true))
            }
        }
    }

    /// Opens the segments, removes files that are none of them, and gives the number of the next one.
    fn open_segments(&self, catalogue: &Catalogue) -> Result<(Vec<Arc<Sealed>>, u64)> {
        let mut segments = Vec::new();
        let mut next = catalogue.segment_next;
        for entry in &catalogue.segments {
            next = next.max(entry.id + 1);
            match Sealed::open(&self.disk, &self.handles, *entry) {
                Ok(segment) => segments.push(Arc::new(segment)),
                Err(error) => self.report_unreadable(entry.id, &error)?,
            }
        }
        segments.sort_by_key(|segment| segment.entry.id);
        let entries =
            self.disk.read_dir(Path::new(SEGMENT_DIR)).map_err(StoreError::disk("list segments"))?;
        for id in entries.iter().filter_map(|entry| segment_of(&entry.name)) {
            next = next.max(id + 1);
            if catalogue.find(id).is_none() {
                tracing::debug!(id, "remove a segment that was not finished, or was replaced");
                let removed = self.disk.remove_file(&segment_path(id));
                removed.map_err(StoreError::disk("remove a segment that is not in the catalogue"))?;
            }
        }
        Ok((segments, next))
    }

    /// A segment that cannot be opened is left out. If the disk only fails to read it now, the store stays
    /// closed: leaving it out would forget it.
    fn report_unreadable(&self, id: u64, error: &Error) -> Result<()> {
        let path = segment_path(id);
        match error.kind() {
            ErrorKind::NotFound => self.report(&path, "it is missing".into(), None),
            ErrorKind::Corrupt => {
                self.counters.quarantined.inc();
                let target = quarantine(&*self.disk, &path, &error.chain(), self.clock.now())
                    .map_err(StoreError::disk("put a damaged segment aside"))?;
                self.report(&path, error.chain(), Some(target.display().to_string()));
            }
            _ => {
                return Err(StoreError::Corrupt { path: path.display().to_string(), reason: error.chain() });
            }
        }
        Ok(())
    }

    /// Reads the log from where the catalogue ends.
    fn replay(&self, catalogue: &Catalogue) -> Result<Replayed> {
        let entries =
            self.disk.read_dir(Path::new(WAL_DIR)).map_err(StoreError::disk("list the write-ahead log"))?;
        let mut replayed = Replayed {
            active: Generation::default(),
            frozen: Vec::new(),
            committed: catalogue.sources.clone(),
            damaged_logs: Vec::new(),
            wal_next: catalogue.wal_first,
            doubtful: Vec::new(),
        };
        for number in entries.iter().filter_map(|entry| wal::number_of(&entry.name)) {
            if number < catalogue.wal_first {
                continue;
            }
            self.replay_file(number, &mut replayed)?;
            replayed.wal_next = number + 1;
            if replayed.active.bytes() >= self.plan.seal_bytes() {
                let full = std::mem::take(&mut replayed.active);
                replayed.frozen.push(Arc::new(full.freeze(number + 1)));
            }
        }
        Ok(replayed)
    }

    fn replay_file(&self, number: u64, replayed: &mut Replayed) -> Result<()> {
        let path = wal::path_of(number);
        let read = read_all(&*self.disk, &path, WAL_FILE_BYTES_MAX);
        let bytes = read.map_err(StoreError::disk("read the write-ahead log"))?;
        let frames = wal::read_frames(&bytes, number);
        if let Some(version) = frames.newer_version(&bytes) {
            return Err(StoreError::Newer { path: path.display().to_string(), version });
        }
        if frames.payloads.is_empty() && frames.damaged_bytes == 0 {
            if self.keep_torn(&path, &bytes, &frames, number, replayed) {
                self.remove_empty_log(&path);
            }
            return Ok(());
        }
        replayed.active.start(self.clock.now());
        let mut undecodable = 0;
        let synced = frames.payloads.len() - frames.doubtful;
        for (n, payload) in frames.payloads.iter().enumerate() {
            let payload = &bytes[payload.clone()];
            match sawyer_segment::decode_batch(payload) {
                Ok(batch) => {
                    if self.replay_batch(batch, replayed) && n >= synced {
                        replayed.doubtful.push(Payload::from(Bytes::copy_from_slice(payload)));
                    }
                }
                Err(error) => {
                    undecodable += 1;
                    tracing::error!(error = error.chain(), path = %path.display(), "decode a frame");
                }
            }
        }
        if frames.damaged_bytes > 0 || undecodable > 0 {
            // The whole file is put aside when what is sound in it is sealed.
            replayed.damaged_logs.push(number);
            let (damaged, len) = (frames.damaged_bytes, bytes.len());
            let message = format!(
                "damaged_bytes={damaged} undecodable_frames={undecodable} of {len} bytes; what is whole was used"
            );
            self.report(&path, message, None);
        } else if self.keep_torn(&path, &bytes, &frames, number, replayed) && frames.torn_bytes > 0 {
            self.cut_torn(&path, frames.good_len as u64);
        }
        Ok(())
    }

    /// Adds what a frame brings, and says whether it brings anything. If a sync failed, the same records may have been
    /// written twice.
    fn replay_batch(&self, batch: sawyer_model::Batch, replayed: &mut Replayed) -> bool {
        let now = self.clock.now();
        let mut trial = replayed.committed.try_out();
        let taken = trial.take(&batch);
        let changed = trial.into_changed();
        if taken.news {
            let batch = if taken.duplicates.is_empty() { batch } else { without(&batch, &taken.duplicates) };
            replayed.committed.keep(changed, now);
            replayed.active.push(&Arc::new(batch), now);
        }
        taken.news
    }

    /// Puts a copy of a torn end aside and tells it; says whether the end may go from the log. Else the file is put
    /// aside as a whole when its time comes.
    fn keep_torn(
        &self,
        path: &Path,
        bytes: &[u8],
        frames: &Frames,
        number: u64,
        replayed: &mut Replayed,
    ) -> bool {
        if frames.torn_within > 0 {
            // No end has all of it.
            self.counters.torn_bytes.inc_by(frames.torn_bytes as u64);
            replayed.damaged_logs.push(number);
            tracing::warn!(
                path = %path.display(), torn_bytes = frames.torn_bytes,
                "the last write of the write-ahead log has gaps, as if it was not finished; the log is put aside when the \
                 rest of it is sealed"
            );
            return false;
        }
        let end = &bytes[frames.good_len..];
        // A file that is no longer than its header never held a record, and zeros are of no use to anybody: they are
        // what a disk has where a write was still to come.
        let of_worth = bytes.len() > wal::HEADER_BYTES && end.iter().any(|byte| *byte != 0);
        if frames.torn_bytes == 0 || !of_worth {
            return true;
        }
        self.counters.torn_bytes.inc_by(frames.torn_bytes as u64);
        let kept = keep_torn(&*self.disk, path, (end, frames.good_len), self.clock.now());
        match &kept {
            Ok(copy) => tracing::warn!(
                path = %path.display(), torn_bytes = frames.torn_bytes, copy = %copy.display(),
                "the write-ahead log ends in what looks like a write that was not finished; it is put aside"
            ),
            Err(error) => {
                replayed.damaged_logs.push(number);
                tracing::warn!(
                    %error, path = %path.display(), torn_bytes = frames.torn_bytes,
                    "the write-ahead log ends in what looks like a write that was not finished; it cannot be put aside now"
                );
            }
        }
        kept.is_ok()
    }

    /// A file without a frame has nothing to keep.
    fn remove_empty_log(&self, path: &Path) {
        if let Err(error) = self.disk.remove_file(path) {
            tracing::warn!(%error, "remove a file of the write-ahead log");
        }
    }

    /// Cuts off a torn end, so that it is told once.
    fn cut_torn(&self, path: &Path, good_len: u64) {
        let cut = self.disk.open_append(path).and_then(|mut file| {
            file.truncate(good_len)?;
            file.sync_data()
        });
        if let Err(error) = cut {
            tracing::warn!(%error, "cut the end of the write-ahead log");
        }
    }
}
