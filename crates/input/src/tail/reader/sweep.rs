//! Looks for files, and takes note of those that were renamed, came back or are gone.
//!
//! Invariant: a file that is open is followed until it was read to its end, whatever happens to its name.

use std::time::{Duration, Instant};

use super::super::content::FileStat;
use super::super::file::{Phase, TailFile};
use super::super::folders::Folders;
use super::super::layout::{FoundFile, Rotation, Scan, is_absent};
use super::super::watch::FileId;
use super::Reader;

/// Shortest time between two sweeps that events ask for.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// A sweep may take this part of the time at most (one in so many), however many events ask for one.
const SWEEP_SHARE: u32 = 20;

/// How often sources are looked through for those to forget, in sweeps.
const FORGET_ROUNDS: u64 = 256;

impl Reader {
    /// Names changed, so look soon; not at once, because changes come in groups.
    pub(super) fn sweep_soon(&mut self) {
        self.sweep_at = self.sweep_at.min(Instant::now() + SWEEP_PAUSE);
    }

    pub(super) fn sweep(&mut self) {
        let began = Instant::now();
        self.round += 1;
        let mut scan = Scan { known: self.known_folders.take(), ..Scan::default() };
        scan.known.iter_mut().for_each(Folders::begin);
        self.layout.scan(&mut scan);
        let new_folders = self.watch.set_folders(&scan.folders, |folder| scan.is_same(folder));
        let Scan { files, errors, mut known, .. } = scan;
        known.iter_mut().for_each(Folders::end);
        self.known_folders = known;
        self.tell_trouble(&errors);
        let before = if errors.is_empty() { self.tell_removed(&files) } else { Vec::new() };
        // The next look does not find them, which makes them files that are read to their end and no further.
        for found in before.into_iter().chain(files) {
            self.see(found);
        }
        self.lose_unseen(errors.is_empty());
        if std::mem::take(&mut self.regroup) {
            self.sort_groups();
        }
        if self.round == 1 {
            self.adopt();
        }
        self.retry();
        self.unblock();
        self.release_held();
        self.rotate_due();
        if self.round.is_multiple_of(FORGET_ROUNDS) {
            self.offsets.forget(self.context.clock.now(), self.settings.forget_after);
        }
        self.meters.files.set(self.files.len() as i64);
        self.tell_behind();
        self.note_unread();
        self.check_account();
        let took = began.elapsed();
        let wait = if new_folders { SWEEP_PAUSE } else { self.settings.sweep_interval };
        self.sweep_at = Instant::now() + wait.max(took * SWEEP_SHARE);
    }

    fn see(&mut self, found: FoundFile) {
        let known = self.by_inode.get(&found.stat.inode).copied();
        if let Some(id) = known {
            let file = self.files.get_mut(&id).expect("files are in both maps");
            if file.can_become(&found) {
                return self.see_again(id, found);
            }
            // Another file got the number of one that is gone.
            self.lose(id);
            self.by_inode.remove(&found.stat.inode);
        }
        if !self.is_recent(&found) {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.by_inode.insert(found.stat.inode, id);
        let mut file = TailFile::new(found, self.round, self.round == 1);
        if self.open_files < self.open_files_max {
            // So that it can be read though it may be removed before its turn. What is wrong is told at its turn.
            let _ = self.open(&mut file);
        }
        self.files.insert(id, file);
        self.ready.push_back(id);
        self.regroup = true;
    }

    fn is_recent(&self, found: &FoundFile) -> bool {
        let Some(oldest) = self.settings.ignore_older else { return true };
        let modified = sawyer_model::Timestamp::from_nanos(found.stat.modified_nanos);
        self.context.clock.now().since(modified) <= oldest
    }

    fn see_again(&mut self, id: FileId, found: FoundFile) {
        let FileStat { bytes, .. } = found.stat;
        if found.gzip && self.files[&id].found.stat.bytes != bytes {
            self.close(id);
        }
        let file = self.files.get_mut(&id).expect("whoever calls found it");
        let was_live = file.found.rotation == Rotation::Live;
        let rotated = was_live && found.rotation != Rotation::Live;
        self.regroup |= file.found.rotation != found.rotation || file.found.group != found.group;
        file.round = self.round;
        file.gone = false;
        let changed =
            if found.gzip { bytes != file.found.stat.bytes } else { found.stat.state() != file.seen };
        file.found = found;
        if let Some(known) = &file.known {
            self.offsets.touch(known.source, self.context.clock.now());
        }
        if rotated {
            // Newer files wait until what was added to it at last is read.
            file.caught_up = false;
        }
        let resting = matches!(file.phase, Phase::Idle | Phase::Done);
        if resting && changed || matches!(file.phase, Phase::Idle | Phase::Warm(_)) && rotated {
            self.make_ready(id);
        }
    }

    /// Files that no sweep finds any more are read to their end. Where a folder could not be listed, nothing is
    /// known about what is in it.
    fn lose_unseen(&mut self, complete: bool) {
        let round = self.round;
        let unseen = |file: &TailFile| !file.gone && file.round != round;
        let lost: Vec<FileId> =
            self.files.iter().filter(|(_, file)| unseen(file)).map(|(id, _)| *id).collect();
        for id in lost {
            let unlinked = self.files[&id].content.as_ref().and_then(|content| content.stat().ok());
            if complete || unlinked.is_some_and(|stat| stat.unlinked) {
                self.lose(id);
            }
        }
    }

    /// Gives out the beginnings of lines that nobody goes on with: the last words of a container that ended without
    /// a line feed. If somebody goes on after all, the rest is a record of its own.
    fn release_held(&mut self) {
        let now = self.context.clock.now();
        let waits_long = |file: &TailFile| {
            let modified = sawyer_model::Timestamp::from_nanos(file.found.stat.modified_nanos);
            now.since(modified) >= self.settings.sweep_interval
        };
        let rests = |id: FileId, file: &TailFile| match file.phase {
            Phase::Idle => file.is_live(),
            // The file that would go on with it is there and has nothing in it.
            Phase::Done => self.next_newer(id).is_some_and(|next| next.phase == Phase::Idle),
            _ => false,
        };
        let held = self.files.iter().filter(|(_, file)| file.holds());
        let held = held.filter(|(id, file)| waits_long(file) && rests(**id, file));
        let held: Vec<FileId> = held.map(|(id, _)| *id).collect();
        for id in held {
            self.flush_held(id);
        }
    }

    fn lose(&mut self, id: FileId) {
        let file = self.files.get_mut(&id).expect("whoever calls found it");
        file.gone = true;
        if file.content.is_some() && file.phase != Phase::Alias {
            // It may have been written, rotated, compressed and removed since: newer files wait for what it holds.
            file.caught_up = false;
            return self.make_ready(id);
        }
        self.count_lost(id, "file was removed before it was read to its end");
        self.end_without_content(id);
    }

    /// Counts what was not read of a file whose content cannot be had any more, unless another one has it.
    pub(super) fn count_lost(&self, id: FileId, why: &'static str) {
        let file = &self.files[&id];
        let (unread, path) = (file.unread(), file.path().display());
        if unread > 0 && !self.is_elsewhere(id) {
            self.meters.error("deleted_unread");
            self.meters.rotated_unread.inc_by(unread);
            tracing::warn!(input = self.context.name, %path, unread, "{why}");
        }
    }

    /// Whether another file has what this one holds: its compressed copy, or the original that is read instead of it.
    fn is_elsewhere(&self, id: FileId) -> bool {
        let TailFile { found, copy_of, .. } = &self.files[&id];
        if copy_of.is_some_and(|original| self.files.contains_key(&original)) {
            return true;
        }
        let has_it = |other: &TailFile| {
            let other = &other.found;
            let is_copy = other.gzip && !found.gzip && other.is_of_same_age(found);
            is_copy || other.is_original_of(found)
        };
        self.files.values().any(has_it)
    }

    /// Forgets a file whose content cannot be had any more.
    fn end_without_content(&mut self, id: FileId) {
        self.flush_held(id);
        self.remove(id);
    }

    pub(super) fn remove(&mut self, id: FileId) {
        let Some(file) = self.files.remove(&id) else { return };
        if file.content.is_some() {
            self.open_files -= 1;
        }
        if self.by_inode.get(&file.found.stat.inode) == Some(&id) {
            self.by_inode.remove(&file.found.stat.inode);
        }
        if let Some(known) = &file.known {
            self.progress.set_behind(known.source, false);
        }
        if file.phase == Phase::Done || file.unwanted {
            // Nobody need read its copies, which have not had another turn yet.
            let copies = self.files.values_mut().filter(|other| other.copy_of == Some(id));
            copies.for_each(|copy| copy.caught_up = true);
        }
        if let Some(known) = &file.known
            && self.by_source.get(&known.source) == Some(&id)
        {
            self.by_source.remove(&known.source);
            // A compressed copy may hold what is still to be read.
            self.retry();
        }
        self.regroup = true;
        self.wake_group(&file.found.group);
        self.meters.files.set(self.files.len() as i64);
    }

    pub(super) fn sort_groups(&mut self) {
        self.groups.clear();
        for (id, file) in &self.files {
            self.groups.entry(file.found.group.clone()).or_default().push(*id);
        }
        let files = &self.files;
        for group in self.groups.values_mut() {
            group.sort_by_key(|id| {
                let found = &files[id].found;
                (found.part, found.rotation.clone(), !found.gzip, *id)
            });
        }
    }

    /// Files that could not be read, or wait for another with the same content, are tried again.
    pub(super) fn retry(&mut self) {
        let again = |file: &TailFile| matches!(file.phase, Phase::Failed | Phase::Alias);
        let again: Vec<FileId> =
            self.files.iter().filter(|(_, file)| again(file)).map(|(id, _)| *id).collect();
        for id in again {
            self.make_ready(id);
        }
    }

    /// Whoever waits for older files is told when these end. Where the order of files has become another meanwhile, it may
    /// wait for one that is younger by now, and waits for it in turn.
    fn unblock(&mut self) {
        let waits = |id: u64, file: &TailFile| file.phase == Phase::Blocked && self.may_start(id);
        let again: Vec<FileId> =
            self.files.iter().filter(|(id, file)| waits(**id, file)).map(|(id, _)| *id).collect();
        for id in again {
            self.make_ready(id);
        }
    }

    fn tell_trouble(&mut self, errors: &[(std::path::PathBuf, std::io::Error)]) {
        let now = self.context.clock.now();
        let input = &self.context.name;
        for (path, error) in errors.iter().filter(|(_, error)| !is_absent(error)) {
            self.meters.error("list");
            if let Some(held_back) = self.watch_trouble.pass(now) {
                tracing::warn!(input, path = %path.display(), held_back, "cannot look at it: {error}");
            }
        }
        if let Some(error) = self.watch.take_refused() {
            self.meters.error("watch");
            if let Some(held_back) = self.watch_trouble.pass(now) {
                let interval = self.settings.sweep_interval;
                tracing::warn!(
                    input,
                    held_back,
                    "the system gives no more watches (see fs.inotify.max_user_watches and \
                     max_user_instances), so changes are seen every {interval:?} only: {error}"
                );
            }
        }
    }
}
