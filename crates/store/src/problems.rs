//! What is amiss with stored data, for people and for `status`.
//!
//! Owns: the list of problems, and putting damaged files aside.
//! Does not own: noticing damage. Invariant: each problem is logged once, when it is added.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sawyer_disk::{Disk, write_atomic};
use sawyer_model::Timestamp;

/// The directory of damaged files.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";

/// Most problems kept; of further ones only the number.
const PROBLEMS_MAX: usize = 1000;

/// Something amiss with stored data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// When it was noticed.
    pub at: Timestamp,
    /// The file.
    pub path: String,
    /// What is amiss with it.
    pub message: String,
    /// Where the file was put aside, if it was.
    pub quarantined: Option<String>,
}

/// The list of problems since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct ProblemLog(Mutex<Vec<Problem>>);

impl ProblemLog {
    /// Logs and remembers a problem.
    pub(crate) fn add(&self, problem: Problem) {
        let Problem { path, message, quarantined, .. } = &problem;
        tracing::error!(path, quarantined, "stored data is damaged: {message}");
        let mut list = self.0.lock();
        if list.len() < PROBLEMS_MAX {
            list.push(problem);
        }
    }

    /// The problems, oldest first.
    pub(crate) fn list(&self) -> Vec<Problem> {
        self.0.lock().clone()
    }
}

/// Moves a damaged file into the quarantine, with a note beside it that says why. Gives its new path.
pub(crate) fn quarantine(
    disk: &dyn Disk,
    path: &Path,
    why: &str,
    now: Timestamp,
) -> sawyer_disk::Result<PathBuf> {
    let folder = Path::new(QUARANTINE_DIR);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut target = folder.join(&name);
    let mut count = 1;
    while disk.exists(&target)? {
        count += 1;
        target = folder.join(format!("{name}.{count}"));
    }
    disk.rename(path, &target)?;
    disk.sync_dir(folder)?;
    if let Some(parent) = path.parent() {
        disk.sync_dir(parent)?;
    }
    let note = format!("{now} put aside from {}: {why}\n", path.display());
    let note_path = PathBuf::from(format!("{}.txt", target.display()));
    if let Err(error) = write_atomic(disk, &note_path, note.as_bytes()) {
        tracing::warn!(%error, "write a note beside a file in quarantine");
    }
    Ok(target)
}
