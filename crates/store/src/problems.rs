//! What is amiss with stored data, for people and for `status`.
//!
//! Owns: the list of problems, and putting aside what is damaged or torn.
//! Does not own: noticing damage. Invariant: each problem is logged once, when it is added; bytes that may be of worth
//! are not cut off before there is a durable copy of them.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sawyer_disk::{Disk, EntryKind, TEMPORARY_SUFFIX, write_atomic};
use sawyer_model::Timestamp;

/// The directory of damaged files.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";

/// Most problems kept; of further ones only the number.
const PROBLEMS_MAX: usize = 1000;

/// Ends of logs that are kept, in files and bytes; a further one pushes out the oldest. One alone may be longer, up to
/// what is written at once. Without a bound a process that is killed again and again would fill the disk.
const TORN_FILES_MAX: usize = 16;
const TORN_BYTES_MAX: u64 = 256 << 20;

/// Stands behind the name of the log whose end it was.
const TORN_SUFFIX: &str = ".torn";

/// Stands behind the name of what a note is about.
const NOTE_SUFFIX: &str = ".txt";

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
    let target = free_path(disk, &name_of(path))?;
    disk.rename(path, &target)?;
    disk.sync_dir(folder)?;
    if let Some(parent) = path.parent() {
        disk.sync_dir(parent)?;
    }
    write_note(disk, &target, &format!("{now} put aside from {}: {why}\n", path.display()));
    Ok(target)
}

/// Copies the end of a log, which is to be cut off, into the quarantine, durably and with a note. Gives the path of the
/// copy.
pub(crate) fn keep_torn(
    disk: &dyn Disk,
    path: &Path,
    (end, offset): (&[u8], usize),
    now: Timestamp,
) -> sawyer_disk::Result<PathBuf> {
    make_room(disk, end.len() as u64)?;
    let target = free_path(disk, &format!("{}{TORN_SUFFIX}", name_of(path)))?;
    write_atomic(disk, &target, end)?;
    let count = end.len();
    let note = format!(
        "{now} put aside from {}: {count} bytes from offset {offset} on, up to the end of the file, are no whole \
         frames. A loss of power or a killed process leaves such an end of a write that was not finished, whose \
         records nobody was promised; damage to the last write before it would look the same.\n",
        path.display()
    );
    write_note(disk, &target, &note);
    Ok(target)
}

/// What is in the quarantine, notes left out, and how many bytes each has.
pub(crate) fn set_aside(disk: &dyn Disk) -> sawyer_disk::Result<Vec<(PathBuf, u64)>> {
    let entries = match disk.read_dir(Path::new(QUARANTINE_DIR)) {
        Err(error) if error.is_not_found() => Vec::new(),
        entries => entries?,
    };
    let is_note = |name: &str| name.ends_with(NOTE_SUFFIX) || name.ends_with(TEMPORARY_SUFFIX);
    let files = entries.into_iter().filter(|entry| entry.kind == EntryKind::File && !is_note(&entry.name));
    Ok(files.map(|entry| (Path::new(QUARANTINE_DIR).join(entry.name), entry.len)).collect())
}

/// Removes the oldest ends of logs until there is room for another one.
fn make_room(disk: &dyn Disk, bytes: u64) -> sawyer_disk::Result<()> {
    let mut kept = set_aside(disk)?;
    kept.retain(|(path, _)| name_of(path).contains(TORN_SUFFIX));
    let mut sum: u64 = bytes + kept.iter().map(|(_, len)| len).sum::<u64>();
    let mut count = 1 + kept.len();
    for (path, len) in kept {
        if count <= TORN_FILES_MAX && sum <= TORN_BYTES_MAX {
            break;
        }
        tracing::info!(path = %path.display(), "remove the oldest end of a log that was put aside");
        disk.remove_file(&path)?;
        // A note that stays says no wrong.
        let _ = disk.remove_file(&note_path(&path));
        (count, sum) = (count - 1, sum - len);
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A path in the quarantine where nothing is.
fn free_path(disk: &dyn Disk, name: &str) -> sawyer_disk::Result<PathBuf> {
    let folder = Path::new(QUARANTINE_DIR);
    let mut target = folder.join(name);
    let mut count = 1;
    while disk.exists(&target)? {
        count += 1;
        target = folder.join(format!("{name}.{count}"));
    }
    Ok(target)
}

fn note_path(of: &Path) -> PathBuf {
    PathBuf::from(format!("{}{NOTE_SUFFIX}", of.display()))
}

fn write_note(disk: &dyn Disk, of: &Path, note: &str) {
    if let Err(error) = write_atomic(disk, &note_path(of), note.as_bytes()) {
        tracing::warn!(%error, "write a note beside a file in quarantine");
    }
}
