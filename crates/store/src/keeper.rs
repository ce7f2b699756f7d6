//! Keeps the catalogue: every change of what is stored goes through here.
//!
//! Owns: the catalogue in force, numbers of segments, files that are not in it any more.
//! Does not own: why something changes (`seal`, `compact`, `retention`).
//! Invariant: a file is removed only after the catalogue that does not name it is durable, and a change that
//! failed removes nothing, because it is open which catalogue a restart would find.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use sawyer_disk::Disk;
use sawyer_model::Timestamp;

use crate::catalogue::{Catalogue, save};
use crate::error::Result;
use crate::problems::quarantine;
use crate::sealed::Sealed;
use crate::wal;

/// The directory of segments.
pub(crate) const SEGMENT_DIR: &str = "segments";

/// Ends the names of segments.
pub(crate) const SUFFIX: &str = ".seg";

/// The path of the segment with this number.
pub(crate) fn segment_path(id: u64) -> PathBuf {
    Path::new(SEGMENT_DIR).join(format!("{id:020}{SUFFIX}"))
}

/// The number of a segment by the name of its file.
pub(crate) fn segment_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The catalogue in force.
#[derive(Debug)]
pub(crate) struct Keeper {
    catalogue: Catalogue,
    segment_next: u64,
    /// Segments that nothing will name when another change has succeeded.
    waiting: Vec<(u64, Weak<Sealed>)>,
    /// Segments that nothing names. Their files stay as long as a search looks at them.
    superfluous: Vec<(u64, Weak<Sealed>)>,
    /// Files of the log that are damaged: they are put aside when their time comes, not removed.
    damaged_logs: Vec<u64>,
}

impl Keeper {
    pub(crate) fn new(catalogue: Catalogue, segment_next: u64) -> Self {
        Self {
            catalogue,
            segment_next,
            waiting: Vec::new(),
            superfluous: Vec::new(),
            damaged_logs: Vec::new(),
        }
    }

    /// The catalogue in force.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// A number for a new segment.
    pub(crate) fn next_segment(&mut self) -> u64 {
        self.segment_next += 1;
        self.segment_next - 1
    }

    /// Puts a changed catalogue in force, durably.
    pub(crate) fn change(&mut self, disk: &dyn Disk, change: impl FnOnce(&mut Catalogue)) -> Result<()> {
        let mut next = self.catalogue.clone();
        change(&mut next);
        next.generation += 1;
        next.segment_next = self.segment_next;
        save(disk, &next)?;
        self.catalogue = next;
        self.superfluous.append(&mut self.waiting);
        Ok(())
    }

    /// Says that nothing names this segment any more: the change that took it out has succeeded.
    pub(crate) fn discard(&mut self, segment: &Arc<Sealed>) {
        self.superfluous.push((segment.entry.id, Arc::downgrade(segment)));
    }

    /// Says that nothing will name this segment once another change has succeeded. After a change that failed it
    /// is open whether a restart finds what was to be added.
    pub(crate) fn discard_later(&mut self, segment: &Arc<Sealed>) {
        self.waiting.push((segment.entry.id, Arc::downgrade(segment)));
    }

    /// Whether there are files to be removed.
    pub(crate) fn has_superfluous(&self) -> bool {
        !self.superfluous.is_empty()
    }

    /// Says which files of the log are damaged.
    pub(crate) fn note_damaged_logs(&mut self, numbers: Vec<u64>) {
        self.damaged_logs = numbers;
    }

    /// Removes the file of a segment that may still be named.
    pub(crate) fn remove_now(&mut self, disk: &dyn Disk, segment: &Sealed) {
        remove(disk, &segment_path(segment.entry.id));
    }

    /// Removes the file of a segment that was not finished, or later if that fails now.
    pub(crate) fn give_up(&mut self, disk: &dyn Disk, id: u64) {
        if !remove(disk, &segment_path(id)) {
            self.superfluous.push((id, Weak::new()));
        }
    }

    /// Removes files that are not named any more: discarded ones, and logs that are sealed. What cannot be removed
    /// now is removed another time, or when the store is opened again.
    pub(crate) fn clean_up(&mut self, disk: &dyn Disk, now: Timestamp) {
        // On a disk that removes nothing one try says enough.
        let mut removes = true;
        self.superfluous.retain(|(id, segment)| {
            let in_use = segment.strong_count() > 0;
            if !in_use && removes {
                removes = remove(disk, &segment_path(*id));
            }
            in_use || !removes
        });
        let logs = match disk.read_dir(Path::new(wal::WAL_DIR)) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "look for sealed files of the write-ahead log");
                return;
            }
        };
        for number in logs.iter().filter_map(|entry| wal::number_of(&entry.name)) {
            if number >= self.catalogue.wal_first {
                continue;
            }
            let path = wal::path_of(number);
            if self.damaged_logs.contains(&number) {
                if let Err(error) = quarantine(disk, &path, "some of its frames are damaged", now) {
                    tracing::warn!(%error, "put a damaged file of the write-ahead log aside");
                }
            } else {
                remove(disk, &path);
            }
        }
    }
}

/// Says whether the file is gone.
fn remove(disk: &dyn Disk, path: &Path) -> bool {
    match disk.remove_file(path) {
        Err(error) if !error.is_not_found() => {
            tracing::warn!(%error, path = %path.display(), "remove a file that is not needed any more");
            false
        }
        _ => true,
    }
}
