//! What folders held when they were last listed, so that a sweep lists only those that changed since.
//!
//! Owns: when names that were read before may be taken for what is there.
//! Does not own: listing folders (`layout`), when sweeps happen.
//! Invariant: names are taken from here only where a change since they were read would show in the folder's time: it is
//! the same, and was older than the coarsest tick of a file system's clock before they were read.
//!
//! A file system that does not keep the times of its folders is listed all the same every few sweeps.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a folder's time has to stand still before names that are read count as all that it holds: two changes
/// within one tick of a file system's clock leave the same time, and the coarsest tick there is takes 2 s.
const SETTLED: Duration = Duration::from_secs(3);

/// Every so many sweeps all folders are listed, whatever their times are.
const LISTED_EVERY: u64 = 6;

/// Names in a folder with their inodes, sorted.
pub(crate) type Names = Vec<(String, u64)>;

/// Which folder it is, and when it changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FolderState {
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FolderState {
    /// Of a folder, if it is one.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        let metadata = folder.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        Some(Self {
            inode: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[derive(Debug)]
struct Known {
    state: FolderState,
    /// Since when it is known to be in this state.
    since: Instant,
    /// What it holds, if it was read when the state was settled.
    names: Option<Arc<Names>>,
    /// The sweep that asked last, and whether the answer came from here.
    round: u64,
    same: bool,
}

/// Folders and what they held.
#[derive(Debug)]
pub(crate) struct Folders {
    known: HashMap<PathBuf, Known>,
    round: u64,
    /// [`SETTLED`], save in tests.
    settled: Duration,
}

impl Default for Folders {
    fn default() -> Self {
        Self { known: HashMap::new(), round: 0, settled: SETTLED }
    }
}

impl Folders {
    /// A sweep begins.
    pub(crate) fn begin(&mut self) {
        self.round += 1;
    }

    /// A sweep ended: forgets folders that it did not ask for.
    pub(crate) fn end(&mut self) {
        let round = self.round;
        self.known.retain(|_, known| known.round == round);
    }

    /// What a folder in this state holds, if that is known.
    pub(crate) fn names(&mut self, folder: &Path, state: FolderState) -> Option<Arc<Names>> {
        let known = self.known.get_mut(folder)?;
        known.round = self.round;
        known.same =
            known.state == state && known.names.is_some() && !self.round.is_multiple_of(LISTED_EVERY);
        known.names.clone().filter(|_| known.same)
    }

    /// A folder was listed, having been in this state before.
    pub(crate) fn keep(&mut self, folder: &Path, state: FolderState, before: Instant, names: &Arc<Names>) {
        let round = self.round;
        if let Some(known) = self.known.get_mut(folder).filter(|known| known.state == state) {
            let settled = before.saturating_duration_since(known.since) >= self.settled;
            (known.round, known.same) = (round, false);
            known.names = settled.then(|| Arc::clone(names));
            return;
        }
        let known = Known { state, since: before, names: None, round, same: false };
        self.known.insert(folder.to_owned(), known);
    }

    /// Whether a folder was not listed in this sweep, because nothing changed in it.
    pub(crate) fn is_same(&self, folder: &Path) -> bool {
        self.known.get(folder).is_some_and(|known| known.same && known.round == self.round)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::super::layout::{Scan, look};
    use super::*;

    /// What a look finds: names and lengths, and whether the folder was listed for it.
    fn found(folder: &Path, known: &mut Option<Folders>) -> (Vec<(String, u64)>, bool) {
        let mut scan = Scan { known: known.take(), ..Scan::default() };
        scan.known.iter_mut().for_each(Folders::begin);
        let entries = look(folder, &mut scan);
        let listed = !scan.is_same(folder);
        assert_eq!((scan.folders.as_slice(), scan.errors.len()), (&[folder.to_owned()][..], 0));
        *known = scan.known;
        known.iter_mut().for_each(Folders::end);
        (entries.into_iter().map(|entry| (entry.name, entry.stat.unwrap().bytes)).collect(), listed)
    }

    #[test]
    fn a_look_sees_every_change_and_lists_only_for_new_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("0.log"), "one\n").unwrap();
        let mut known = Some(Folders { settled: Duration::ZERO, ..Folders::default() });
        let one = |bytes| vec![("0.log".to_owned(), bytes)];
        assert_eq!(found(path, &mut known), (one(4), true), "never seen");
        assert_eq!(found(path, &mut known), (one(4), true), "seen once");
        assert_eq!(found(path, &mut known), (one(4), false));
        let mut file = fs::OpenOptions::new().append(true).open(path.join("0.log")).unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(found(path, &mut known), (one(8), false), "lengths are always looked at");
        let before = FolderState::of(path);
        fs::rename(path.join("0.log"), path.join("0.log.1")).unwrap();
        fs::write(path.join("0.log"), "x").unwrap();
        // The clock of the file system may not have ticked yet, for which there is `SETTLED`.
        while FolderState::of(path) == before {
            fs::write(path.join("other"), "").unwrap();
            fs::remove_file(path.join("other")).unwrap();
        }
        let both = vec![("0.log".to_owned(), 1), ("0.log.1".to_owned(), 8)];
        assert_eq!(found(path, &mut known), (both, true));
        fs::remove_dir_all(path).unwrap();
        let mut scan = Scan { known, ..Scan::default() };
        assert!(look(path, &mut scan).is_empty() && !scan.is_same(path));
    }

    #[test]
    fn names_count_only_once_the_time_of_a_folder_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let (path, names) = (folder.path(), Arc::new(vec![("a".to_owned(), 1)]));
        let state = FolderState::of(path).unwrap();
        let mut folders = Folders::default();
        let began = Instant::now();
        let sweep = |folders: &mut Folders, state, at| {
            folders.begin();
            let known = folders.names(path, state).is_some();
            if !known {
                folders.keep(path, state, at, &names);
            }
            assert_eq!(folders.is_same(path), known);
            folders.end();
            known
        };
        assert!(!sweep(&mut folders, state, began), "never seen");
        assert!(!sweep(&mut folders, state, began + SETTLED / 2), "it may have changed within the same tick");
        assert!(!sweep(&mut folders, state, began + SETTLED), "what is read now is all there is");
        assert!(sweep(&mut folders, state, began + SETTLED), "and it was read");
        // The clock of the file system may not have ticked yet.
        while FolderState::of(path) == Some(state) {
            fs::write(path.join("b"), "").unwrap();
            fs::remove_file(path.join("b")).unwrap();
        }
        let next = FolderState::of(path).unwrap();
        assert!(!sweep(&mut folders, next, began + SETTLED * 2), "it changed");
        // The sixth sweep lists all, and so do those after it until the state is old.
        let listed: Vec<bool> = (0..8).map(|_| !sweep(&mut folders, next, began + SETTLED * 4)).collect();
        assert_eq!(listed, [true, false, false, false, false, false, true, false]);
        folders.begin();
        folders.end();
        assert!(folders.known.is_empty(), "nobody asked for it");
    }

    #[test]
    fn what_is_no_folder_has_no_state() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(FolderState::of(&folder.path().join("a")), None);
        assert_eq!(FolderState::of(&folder.path().join("b")), None);
    }
}
