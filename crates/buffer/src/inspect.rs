//! Looking into a buffer, and taking things out by hand.
//!
//! Owns: [`Inspector`], for a buffer that no process has open; lists and contents for both.
//! Invariant: looking changes nothing but the lock.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sawyer_disk::Disk;
use sawyer_model::{Error, Fate, Timestamp};
use sawyer_telemetry::{Clock, Metrics};

use crate::damage::Damage;
use crate::engine::Engine;
use crate::entry::{Lane, Note};
use crate::error::{BufferError, Result};
use crate::lane;
use crate::settings::BufferPlan;

/// What one lane holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSummary {
    /// The lane.
    pub lane: Lane,
    /// Entries that are not done and are known.
    pub entries: usize,
    /// Records in them.
    pub records: u64,
    /// Bytes of all that is not done, with files whose entries are not known yet counted as a whole.
    pub bytes: u64,
    /// When the oldest of those that wait was put in.
    pub oldest: Option<Timestamp>,
    /// Files.
    pub files: usize,
    /// Those of them whose entries are not known yet.
    pub files_unread: usize,
}

/// What is known about an entry without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryInfo {
    /// Its number in its lane.
    pub id: u64,
    /// When it was put in.
    pub pushed_at: Timestamp,
    /// How many records it has.
    pub records: u32,
    /// Bytes that it takes in the buffer.
    pub bytes: u64,
    /// Of a dead letter, the lane where it was before.
    pub origin: Lane,
    /// Of a dead letter, why it is one.
    pub note: Note,
}

/// An entry with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What is known about it.
    pub info: EntryInfo,
    /// What was put in.
    pub payload: Bytes,
}

impl Engine {
    pub(crate) fn summary(&self) -> Vec<LaneSummary> {
        let state = self.state();
        let summary = |lane: Lane| {
            let index = state.lane(lane);
            LaneSummary {
                lane,
                entries: index.entries.len(),
                records: index.entries.values().map(|entry| u64::from(entry.head.records)).sum(),
                bytes: index.bytes,
                oldest: index.waits_since(),
                files: index.files.len(),
                files_unread: index.files.values().filter(|file| file.unscanned_bytes.is_some()).count(),
            }
        };
        Lane::ALL.map(summary).to_vec()
    }

    /// The entries of a lane, oldest first; reads all its files.
    pub(crate) fn list(&self, lane: Lane) -> Result<Vec<EntryInfo>> {
        self.scan_all(lane)?;
        let ids: Vec<u64> = self.state().lane(lane).entries.keys().copied().collect();
        let mut list = Vec::with_capacity(ids.len());
        for id in ids {
            match self.info(lane, id) {
                Ok(info) => list.push(info),
                // Gone or damaged since; damage was told.
                Err(BufferError::NoEntry { .. } | BufferError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(list)
    }

    fn scan_all(&self, lane: Lane) -> Result<()> {
        let files: Vec<u64> = self.state().lane(lane).files.keys().copied().collect();
        for file in files {
            self.scan(lane, file).map_err(BufferError::disk("read from the buffer"))?;
        }
        Ok(())
    }

    fn info(&self, lane: Lane, id: u64) -> Result<EntryInfo> {
        let state = self.state();
        let entry = state.lane(lane).entries.get(&id);
        let entry = entry.ok_or(BufferError::NoEntry { lane: lane.name(), id })?;
        let (head, bytes) = (entry.head, entry.bytes);
        let info = |note| EntryInfo {
            id,
            pushed_at: head.at,
            records: head.records,
            bytes,
            origin: head.origin,
            note,
        };
        if head.note_len() == 0 {
            return Ok(info(Note::default()));
        }
        drop(state);
        Ok(info(self.read(lane, id)?.note))
    }

    /// One entry with its payload.
    pub(crate) fn content(&self, lane: Lane, id: u64) -> Result<Content> {
        self.scan_all(lane)?;
        let info = self.info(lane, id)?;
        Ok(Content { info, payload: self.read(lane, id)?.payload })
    }

    /// Note and payload of an entry, which stays where it is.
    fn read(&self, lane: Lane, id: u64) -> Result<lane::Content> {
        let state = self.state();
        let entry = state.lane(lane).entries.get(&id);
        let entry = entry.ok_or(BufferError::NoEntry { lane: lane.name(), id })?;
        let (content, place) = (entry.content.clone(), entry.place);
        drop(state);
        let content = match (content, place) {
            (None, Some(place)) => self.peek(lane, id, place)?,
            (content, _) => content,
        };
        content.ok_or(BufferError::Damaged { lane: lane.name(), id })
    }

    /// Ends entries that nobody has taken; gives how many there were.
    pub(crate) fn remove(&self, lane: Lane, ids: &[u64]) -> usize {
        let mut state = self.state();
        let waits = |id: &&u64| state.lane(lane).waiting.contains(id);
        let found: Vec<u64> = ids.iter().filter(waits).copied().collect();
        let mut removed = 0;
        for id in found {
            let Some(entry) = state.finish(lane, id) else { continue };
            removed += 1;
            if lane != Lane::Dead {
                state.ends.add(Fate::Delivered, "", entry.head.records.into());
            }
        }
        drop(state);
        self.work.raise();
        removed
    }
}

/// Looks into a buffer that no process has open.
#[derive(Debug)]
pub struct Inspector(Arc<Engine>);

impl Inspector {
    /// Opens the buffer in the folder that is the root of `disk`.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Conflict` if a process has it open, `Invalid` if a newer version wrote it,
    /// `Retry` if it cannot be read.
    pub fn open(disk: Arc<dyn Disk>, clock: Clock) -> Result<Self, Error> {
        let folder = Path::new(Lane::Normal.name());
        let exists = disk.exists(folder).map_err(BufferError::disk("look for the buffer"))?;
        if !exists {
            return Err(BufferError::Missing.into());
        }
        // Whatever its bounds are, nothing makes room for anything while it is looked at.
        let unbounded = BufferPlan {
            bytes_max: u64::MAX,
            dead_letters_max: u64::MAX,
            memory_max: 0,
            ..BufferPlan::default()
        };
        Ok(Self(Engine::open(disk, unbounded, clock, &Metrics::new(), "inspected")?))
    }

    /// What each lane holds. Reads all files.
    ///
    /// # Errors
    /// `Retry` if files cannot be read.
    pub fn summary(&self) -> Result<Vec<LaneSummary>, Error> {
        for lane in Lane::ALL {
            self.0.scan_all(lane)?;
        }
        Ok(self.0.summary())
    }

    /// The entries of a lane, oldest first.
    ///
    /// # Errors
    /// `Retry` if files cannot be read.
    pub fn entries(&self, lane: Lane) -> Result<Vec<EntryInfo>, Error> {
        Ok(self.0.list(lane)?)
    }

    /// One entry with its payload.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Corrupt` if it is damaged, `Retry` if it cannot be read.
    pub fn content(&self, lane: Lane, id: u64) -> Result<Content, Error> {
        Ok(self.0.content(lane, id)?)
    }

    /// What was found damaged so far.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        self.0.damage.list()
    }

    /// Removes entries, durably; gives how many there were.
    ///
    /// # Errors
    /// `Retry` if files cannot be read.
    pub fn remove(&self, lane: Lane, ids: &[u64]) -> Result<usize, Error> {
        self.0.scan_all(lane)?;
        let removed = self.0.remove(lane, ids);
        self.0.turn();
        self.0.save();
        Ok(removed)
    }

    /// Puts dead letters into the normal lane again, durably; they leave at the next start.
    ///
    /// # Errors
    /// As of [`content`](Inspector::content), and `Retry` if one cannot be written; those before are done.
    pub fn redrive(&self, ids: &[u64]) -> Result<(), Error> {
        for id in ids {
            let Content { payload, info } = self.content(Lane::Dead, *id)?;
            let content = lane::Content { note: Note::default(), payload };
            let mut told = self.0.push(Lane::Normal, Lane::Normal, content, info.records)?;
            self.0.turn();
            told.try_recv().unwrap_or_else(|_| Err(BufferError::Full.into()))?;
            self.0.remove(Lane::Dead, &[*id]);
            self.0.turn();
        }
        self.0.save();
        Ok(())
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.0.state().refuse_pending();
    }
}
