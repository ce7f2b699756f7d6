//! Waiting until something happens: to files and folders (inotify), or in this process (a wake-up).
//!
//! Owns: the inotify instance and its watches, the wake-up.
//! Does not own: what is done about it. Whoever waits also sweeps from time to time, because inotify can lose
//! events, run out of watches, or not work at all on a network file system.
//! Invariant: a lost event is never the last word; an overflow is reported as a change of the tree.
//!
//! Folders are watched for new, renamed and removed names. Files are watched one by one and only while they are
//! quiet: the watch ends with its first event, so that a busy file costs nothing here.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Ends a wait from another thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A wake-up.
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Ends the present wait, or the next one.
    pub(crate) fn wake(&self) {
        // The only way to fail is a counter that is full, and then the wake-up is pending anyway.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    fn clear(&self) {
        // Nothing to read is as good as read.
        let _ = rustix::io::read(&*self.0, &mut [0u8; 8]);
    }
}

/// Number of a file in whoever watches.
pub(crate) type FileId = u64;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Names appeared, changed or went, or nobody knows what.
    Tree,
    /// A quiet file was written to.
    File(FileId),
}

/// Waits.
#[derive(Debug)]
pub(crate) struct Watch {
    waker: Waker,
    inotify: Option<OwnedFd>,
    folders: HashMap<PathBuf, i32>,
    files: HashMap<i32, FileId>,
    /// Watches that could not be had since somebody last asked.
    refused: Option<Errno>,
}

const FOLDER_EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);

/// Bytes of events taken from the system at once; some hundreds of events.
const EVENT_BYTES: usize = 32 << 10;

impl Watch {
    /// Waits for the waker, and for what is watched later. Without inotify only for the waker.
    pub(crate) fn new(waker: Waker) -> Self {
        let made = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let refused = made.as_ref().err().copied();
        Self { waker, inotify: made.ok(), folders: HashMap::new(), files: HashMap::new(), refused }
    }

    /// Watches exactly these folders; says whether one was new, so that names may have appeared in it unseen. `is_same`
    /// says of one that nothing happened to it since it was last in the list.
    pub(crate) fn set_folders(&mut self, folders: &[PathBuf], is_same: impl Fn(&Path) -> bool) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut known = std::mem::take(&mut self.folders);
        let mut new = false;
        for folder in folders {
            if self.folders.contains_key(folder) {
                continue;
            }
            if is_same(folder)
                && let Some((folder, watch)) = known.remove_entry(folder)
            {
                self.folders.insert(folder, watch);
                continue;
            }
            // Adding a watch that is there changes nothing, and finds a folder that was replaced by another.
            match inotify::add_watch(inotify, folder.as_path(), FOLDER_EVENTS) {
                Ok(watch) => {
                    new |= known.remove(folder) != Some(watch);
                    self.folders.insert(folder.clone(), watch);
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => self.refused = Some(error),
            }
        }
        for watch in known.into_values() {
            // It may be gone with its folder.
            let _ = inotify::remove_watch(inotify, watch);
        }
        new
    }

    /// Watches an open file until it is next written to; says whether it is watched.
    pub(crate) fn add_file(&mut self, file: &std::fs::File, id: FileId) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        // By the descriptor, because the name may mean another file by now.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        match inotify::add_watch(inotify, path.as_str(), WatchFlags::MODIFY | WatchFlags::ONESHOT) {
            Ok(watch) => {
                self.files.insert(watch, id);
                true
            }
            Err(error) => {
                self.refused = Some(error);
                false
            }
        }
    }

    /// Why a watch could not be had, if that happened since this was last asked.
    pub(crate) fn take_refused(&mut self) -> Option<Errno> {
        self.refused.take()
    }

    /// Waits until something happens, the waker is called, or the time is over.
    pub(crate) fn wait(&mut self, timeout: Duration, signals: &mut Vec<Signal>) {
        let mut sources = vec![PollFd::new(&*self.waker.0, PollFlags::IN)];
        if let Some(inotify) = &self.inotify {
            sources.push(PollFd::new(inotify, PollFlags::IN));
        }
        let timeout = Timespec::try_from(timeout).ok();
        // An interrupted or failed wait is a short one: whoever waits looks at everything and comes back.
        let _ = poll(&mut sources, timeout.as_ref());
        drop(sources);
        self.waker.clear();
        self.read_events(signals);
    }

    fn read_events(&mut self, signals: &mut Vec<Signal>) {
        let Some(inotify) = &self.inotify else { return };
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let mut tree = false;
        while let Ok(event) = reader.next() {
            match self.files.get(&event.wd()) {
                Some(id) if event.events().contains(ReadFlags::MODIFY) => signals.push(Signal::File(*id)),
                Some(_) => {}
                // A folder, a watch that was let go of, or too many events at once (number -1).
                None => tree |= !event.events().contains(ReadFlags::IGNORED),
            }
            if event.events().contains(ReadFlags::IGNORED) && self.files.remove(&event.wd()).is_none() {
                // A folder that is gone, or not there any more: if it is found again, it is watched anew.
                self.folders.retain(|_, watch| *watch != event.wd());
            }
        }
        if tree {
            signals.push(Signal::Tree);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn watch() -> Watch {
        Watch::new(Waker::new().unwrap())
    }

    fn next(watch: &mut Watch) -> Vec<Signal> {
        let mut signals = Vec::new();
        watch.wait(LONG, &mut signals);
        signals
    }

    #[test]
    fn a_wake_up_is_not_lost_before_the_wait() {
        let mut watch = watch();
        watch.waker.clone().wake();
        assert_eq!(next(&mut watch), []);
    }

    #[test]
    fn tells_of_new_names_and_of_the_first_write() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch();
        assert!(watch.set_folders(&[folder.path().to_owned()], |_| false));
        assert!(!watch.set_folders(&[folder.path().to_owned()], |_| false));
        let path = folder.path().join("a");
        let mut file = fs::File::create(&path).unwrap();
        assert_eq!(next(&mut watch), [Signal::Tree]);
        assert!(watch.add_file(&file, 7));
        file.write_all(b"x").unwrap();
        file.write_all(b"y").unwrap();
        assert_eq!(next(&mut watch), [Signal::File(7)]);
        fs::rename(&path, folder.path().join("b")).unwrap();
        assert_eq!(next(&mut watch), [Signal::Tree]);
    }

    /// More happens before anybody looks than the system's queue holds, and a file that rests is written in the midst of
    /// it: its event is thrown away, and its watch goes with that. Whoever looks is told that something changed somewhere,
    /// and can watch the file anew.
    #[test]
    fn too_many_events_at_once_are_told_of_as_a_change_of_names() {
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: usize = most.trim().parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (name, other) = (folder.path().join("a"), folder.path().join("b"));
        let mut quiet = fs::File::create(folder.path().join("quiet")).unwrap();
        fs::write(&name, "").unwrap();
        let mut watch = watch();
        assert!(watch.set_folders(&[folder.path().to_owned()], |_| false));
        assert!(watch.add_file(&quiet, 7));
        // Each way makes an event for the old name or the new one at least.
        for _ in 0..most / 2 + 1 {
            fs::rename(&name, &other).unwrap();
            fs::rename(&other, &name).unwrap();
        }
        quiet.write_all(b"x").unwrap();
        assert_eq!(next(&mut watch), [Signal::Tree], "the write is not told of");
        assert!(watch.add_file(&quiet, 7));
        quiet.write_all(b"y").unwrap();
        assert_eq!(next(&mut watch), [Signal::File(7)]);
        fs::rename(&name, &other).unwrap();
        assert_eq!(next(&mut watch), [Signal::Tree], "the folder is watched as before");
    }

    #[test]
    fn a_folder_that_was_gone_is_watched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let mut watch = watch();
        assert!(watch.set_folders(std::slice::from_ref(&inner), |_| true), "it was not watched");
        assert!(!watch.set_folders(std::slice::from_ref(&inner), |_| true));
        fs::remove_dir(&inner).unwrap();
        fs::create_dir(&inner).unwrap();
        // The end of a watch wakes, and says nothing of names.
        assert_eq!(next(&mut watch), []);
        assert!(watch.set_folders(std::slice::from_ref(&inner), |_| true), "the watch went with the folder");
        fs::write(inner.join("a"), "").unwrap();
        assert_eq!(next(&mut watch), [Signal::Tree]);
    }
}
