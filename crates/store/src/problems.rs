//! What is amiss with stored data, for people and for `status`.
//!
//! Owns: the list of problems, and putting aside what is damaged or torn.
//! Does not own: noticing damage. Invariant: each problem is logged once, when it is added; bytes that may be of worth
//! are not cut off before there is a durable copy of them.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sawyer_disk::{Disk, EntryKind, TEMPORARY_SUFFIX, write_atomic};
use sawyer_model::Timestamp;

use crate::{keeper, wal};

/// The directory of damaged files.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";

/// Most problems kept; of further ones only the number.
const PROBLEMS_MAX: usize = 1000;

/// How much is kept of what can come again and again; a further one pushes out the oldest. One alone may be longer.
struct Bound {
    /// What it is, for people.
    what: &'static str,
    is_of_it: fn(&str) -> bool,
    files_max: usize,
    bytes_max: u64,
}

/// Ends of logs: a process that is killed again and again would fill the disk with them.
const ENDS: Bound = Bound {
    what: "end of a log",
    is_of_it: |name| name.contains(TORN_SUFFIX),
    files_max: 16,
    bytes_max: 256 << 20,
};

/// Whole logs: a disk that damages what is written to it would be filled. Each is as long as half the memory for records.
const LOGS: Bound = Bound {
    what: "damaged log",
    is_of_it: |name| name.contains(wal::SUFFIX) && !(ENDS.is_of_it)(name),
    files_max: 16,
    bytes_max: 1 << 30,
};

/// Segments: a disk that damages one after the other would be filled.
const SEGMENTS: Bound = Bound {
    what: "damaged segment",
    is_of_it: |name| name.contains(keeper::SUFFIX),
    files_max: 1000,
    bytes_max: 4 << 30,
};

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

/// Moves a damaged file into the quarantine, with a note beside it that says why. Gives its new path. Of logs, and of
/// segments, the newest are kept.
pub(crate) fn quarantine(
    disk: &dyn Disk,
    path: &Path,
    why: &str,
    now: Timestamp,
) -> sawyer_disk::Result<PathBuf> {
    let (folder, name) = (Path::new(QUARANTINE_DIR), name_of(path));
    if let Some(bound) = [LOGS, SEGMENTS].iter().find(|bound| (bound.is_of_it)(&name)) {
        make_room(disk, disk.metadata(path)?.len, bound)?;
    }
    let target = free_path(disk, &name)?;
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
    make_room(disk, end.len() as u64, &ENDS)?;
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

/// Removes the oldest of what is bounded until there is room for another one.
fn make_room(disk: &dyn Disk, bytes: u64, bound: &Bound) -> sawyer_disk::Result<()> {
    let mut kept = set_aside(disk)?;
    kept.retain(|(path, _)| (bound.is_of_it)(&name_of(path)));
    let mut sum: u64 = bytes + kept.iter().map(|(_, len)| len).sum::<u64>();
    let mut count = 1 + kept.len();
    for (path, len) in kept {
        if count <= bound.files_max && sum <= bound.bytes_max {
            break;
        }
        tracing::warn!(path = %path.display(), "remove the oldest {} that was put aside", bound.what);
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

#[cfg(test)]
mod tests {
    use sawyer_disk::{SimDisk, SimSettings};

    use super::*;

    fn names(disk: &SimDisk) -> Vec<String> {
        set_aside(disk).unwrap().iter().map(|(path, _)| name_of(path)).collect()
    }

    #[test]
    fn damaged_logs_and_segments_are_bounded_and_push_out_nothing_else() {
        let disk = SimDisk::new(1, SimSettings::default());
        for folder in [QUARANTINE_DIR, wal::WAL_DIR, "segments"] {
            disk.create_dir_all(Path::new(folder)).unwrap();
        }
        let aside = |path: &Path| {
            write_atomic(&disk, path, &[1; 100]).unwrap();
            quarantine(&disk, path, "it is damaged", Timestamp::EPOCH).unwrap();
        };
        aside(&keeper::segment_path(1));
        keep_torn(&disk, &wal::path_of(1), (&[2; 100], 0), Timestamp::EPOCH).unwrap();
        for number in 1..=LOGS.files_max as u64 + 4 {
            aside(&wal::path_of(number));
        }
        let logs: Vec<String> = names(&disk).into_iter().filter(|name| (LOGS.is_of_it)(name)).collect();
        let newest = (5..=LOGS.files_max as u64 + 4).map(|number| name_of(&wal::path_of(number)));
        assert_eq!(logs, newest.collect::<Vec<_>>());
        assert_eq!(names(&disk).len(), logs.len() + 2, "a segment and an end");
        make_room(&disk, 250, &Bound { bytes_max: 1000, ..LOGS }).unwrap();
        assert_eq!(names(&disk).len(), 7 + 2, "as many bytes as there is room for");
        for number in 2..=SEGMENTS.files_max as u64 + 4 {
            aside(&keeper::segment_path(number));
        }
        let of_segments = |name: &String| (SEGMENTS.is_of_it)(name);
        let segments: Vec<String> = names(&disk).into_iter().filter(of_segments).collect();
        let newest = (5..=SEGMENTS.files_max as u64 + 4).map(|number| name_of(&keeper::segment_path(number)));
        assert_eq!(segments, newest.collect::<Vec<_>>());
        assert_eq!(names(&disk).len(), segments.len() + 7 + 1, "logs and an end");
        // With each goes its note.
        let files = disk.read_dir(Path::new(QUARANTINE_DIR)).unwrap().len();
        assert_eq!(files, 2 * names(&disk).len());
    }
}
