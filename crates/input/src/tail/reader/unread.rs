//! What of the files was not read, so that the next start can tell what was removed meanwhile.
//!
//! Owns: the list in the offsets file of what is still to be read, and what of it is found nowhere at a start.
//! Does not own: files that are lost while they are followed ([`super::sweep`]), the list's bytes (`offsets`).
//! Invariant: what any file that is there may hold is not counted; it is read, or counted when that one is lost.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use sawyer_model::SourceId;

use super::super::content::FileStat;
use super::super::file::{Phase, TailFile};
use super::super::layout::{FoundFile, Log, Rotation, is_absent};
use super::super::watch::FileId;
use super::Reader;
use crate::offsets::{HEAD_BYTES_MAX, Head, UNREAD_MAX, Unread};

impl Reader {
    /// Writes down which files hold something that is not durable elsewhere.
    pub(super) fn note_unread(&mut self) {
        let ids: Vec<FileId> = self.files.keys().copied().collect();
        let is_followed = |before: &&Unread| {
            let file = self.by_inode.get(&before.inode).and_then(|id| self.files.get(id));
            file.is_some_and(|file| *file.found.group == *before.group)
        };
        let before = self.unread_before.iter().filter(|before| !is_followed(before));
        let mut all: Vec<Unread> = before.cloned().collect();
        let by_inode = self.sources_by_inode();
        for id in ids {
            if all.len() >= UNREAD_MAX {
                break;
            }
            all.extend(self.unread_of(id, &by_inode));
        }
        all.sort_unstable_by(|a, b| (&a.path, a.inode).cmp(&(&b.path, b.inode)));
        self.offsets.set_unread(all);
    }

    /// Where files were seen last that are not looked into yet, so that what is durable of them does not count.
    fn sources_by_inode(&self) -> HashMap<u64, SourceId> {
        let is_seen = |file: &TailFile| file.known.is_some() || file.found.stat.bytes == 0;
        if self.files.values().all(is_seen) {
            return HashMap::new();
        }
        self.offsets.iter().map(|(source, progress)| (progress.inode.1, source)).collect()
    }

    fn unread_of(&mut self, id: FileId, by_inode: &HashMap<u64, SourceId>) -> Option<Unread> {
        let file = &self.files[&id];
        let found = &file.found;
        let unknown = file.known.is_none() && file.initial;
        // It is not known yet whether it is wanted, or was read before.
        let skipped = unknown && (found.gzip || self.from_end || self.adopted.contains_key(&id));
        if skipped || file.unwanted || file.phase == Phase::Alias || (found.gzip && self.has_original(file)) {
            return None;
        }
        let length = if found.gzip { found.stat.bytes } else { found.stat.bytes.max(file.seen.0) };
        let source = file.known.as_ref().map(|known| known.source);
        let source = source.or_else(|| by_inode.get(&found.stat.inode.1).copied());
        let durable = source.map_or(0, |source| self.offsets.durable_bytes(source, length));
        let unread = if found.gzip { file.unread() } else { length.saturating_sub(durable) };
        if unread == 0 && !found.linked {
            return None;
        }
        let linked = found.linked;
        let (gzip, group, inode) = (found.gzip, (&*found.group).into(), found.stat.inode);
        let path = found.path.to_string_lossy().into();
        let file = self.files.get_mut(&id)?;
        let head = match &file.known {
            Some(known) if !gzip => known.head,
            _ => raw_head(file),
        };
        Some(Unread { group, path, inode, head, length, unread, gzip, linked })
    }

    /// Takes note of a file that was cut, until a sweep has looked for a copy.
    pub(super) fn note_cut(&mut self, file: &TailFile) {
        let (Some(known), found) = (&file.known, &file.found) else { return };
        let unread = file.behind();
        if unread == 0 || self.unread_before.len() >= UNREAD_MAX {
            self.meters.rotated_unread.inc_by(unread);
            return;
        }
        self.unread_before.push(Unread {
            group: (&*found.group).into(),
            path: found.path.to_string_lossy().into(),
            inode: found.stat.inode,
            head: known.head,
            length: known.offset + unread,
            unread,
            gzip: false,
            linked: false,
        });
    }

    /// Whether a compressed file waits for its original.
    fn has_original(&self, copy: &TailFile) -> bool {
        let is_original = |id: &FileId| {
            let other = self.files.get(id);
            copy.copy_of == Some(*id) || other.is_some_and(|other| other.found.is_original_of(&copy.found))
        };
        self.groups.get(&copy.found.group).is_some_and(|group| group.iter().any(is_original))
    }

    /// At the first look that saw everything: counts what was not read before this start, or before a file was cut, and is
    /// nowhere any more. Gives the files to which links led before that lead elsewhere now: each is to be read to its end.
    pub(super) fn tell_removed(&mut self, files: &[FoundFile]) -> Vec<FoundFile> {
        let before = std::mem::take(&mut self.unread_before);
        if before.is_empty() {
            return Vec::new();
        }
        let (mut by_group, mut by_inode) = (HashMap::<&str, Vec<_>>::new(), HashMap::<u64, Vec<_>>::new());
        for found in files {
            by_group.entry(&found.group).or_default().push(found);
            by_inode.entry(found.stat.inode.1).or_default().push(found);
        }
        let paths: HashSet<&Path> = files.iter().map(|found| &*found.path).collect();
        // Where the settings are others now, a file may be where it was, and not be looked for.
        let is_left_out = |unread: &Unread| {
            let path = Path::new(&*unread.path);
            let inode = path.symlink_metadata().ok().map(|metadata| metadata.ino());
            !paths.contains(path) && inode == Some(unread.inode.1)
        };
        let swapped = |unread: &Unread| {
            let path = Path::new(&*unread.path);
            let is_known = paths.contains(path) || self.by_inode.contains_key(&unread.inode);
            if !unread.linked || unread.gzip || is_known {
                return None;
            }
            let metadata =
                path.symlink_metadata().ok().filter(|metadata| metadata.ino() == unread.inode.1)?;
            let stat = FileStat::from(&metadata);
            // It was the newest when it was seen last; what is there now comes after it.
            let age = (Rotation::Live, false);
            let found = match by_group.get(&*unread.group).and_then(|of_group| of_group.first()) {
                Some(FoundFile { group, source, owner, part, .. }) => {
                    let (group, source, owner) = (Arc::clone(group), Arc::clone(source), Arc::clone(owner));
                    let log = Log { group, source, owner };
                    FoundFile { part: *part, ..log.file(path.to_owned(), stat, age) }
                }
                // The link was removed. Where the settings are others now, it is still there.
                None if self.is_removed(&unread.group) => {
                    Log::named(&unread.group).file(path.to_owned(), stat, age)
                }
                None => return None,
            };
            let found = FoundFile { linked: true, ..found };
            self.holds(&found, unread).then_some(found)
        };
        let again: Vec<FoundFile> = before.iter().filter_map(swapped).collect();
        let is_gone = |unread: &&Unread| {
            let of_group = by_group.get(&*unread.group).into_iter().flatten();
            let mut may_hold = by_inode.get(&unread.inode.1).into_iter().flatten().chain(of_group);
            let is_read = || again.iter().any(|found| *found.path == *Path::new(&*unread.path));
            unread.unread > 0
                && !may_hold.any(|found| self.holds(found, unread))
                && !is_left_out(unread)
                && !is_read()
        };
        let gone: Vec<&Unread> = before.iter().filter(is_gone).collect();
        let Some(first) = gone.first() else { return again };
        let unread: u64 = gone.iter().map(|gone| gone.unread).sum();
        self.meters.error("deleted_unread");
        self.meters.rotated_unread.inc_by(unread);
        let (input, path, files) = (&self.context.name, &first.path, gone.len());
        tracing::warn!(
            input,
            path,
            files,
            unread,
            "files were cut before they were read, or removed while nobody followed them and before all of them was known \
             to be delivered, and no copy is there; `path` is one of them"
        );
        again
    }

    /// Whether nothing has the path of a log any more, be it one of the node or of Sawyer's own surroundings.
    fn is_removed(&self, log: &str) -> bool {
        let is_absent = |path: &Path| path.symlink_metadata().is_err_and(|error| is_absent(&error));
        is_absent(Path::new(log)) && is_absent(&self.context.on_host(Path::new(log)))
    }

    /// Whether a file is, or is a copy of, one that was not read to its end. Where that cannot be seen, it may be.
    fn holds(&self, found: &FoundFile, unread: &Unread) -> bool {
        if unread.gzip && !found.gzip {
            return false;
        }
        let same_inode = found.stat.inode.1 == unread.inode.1;
        let Ok(mut content) = self.content(found) else { return true };
        let mut head = [0; HEAD_BYTES_MAX];
        let packed = found.gzip && !unread.gzip;
        let read = if packed { content.read_at(&mut head, 0) } else { content.file().read_at(&mut head, 0) };
        let Ok(read) = read else { return true };
        let long_enough = match content.gzip_length() {
            // It is told modulo 2^32.
            Ok(length) if packed => length.wrapping_sub(unread.length as u32) < 1 << 31,
            _ => packed || found.stat.bytes >= unread.length,
        };
        let known_head = unread.head != Head::default();
        long_enough && unread.head.matches(&head[..read]) && (known_head || same_inode || packed)
    }
}

/// The beginning of a file as it lies on disk.
fn raw_head(file: &mut TailFile) -> Head {
    if let (false, Some(content)) = (file.raw_head.is_full(), &file.content) {
        let mut head = [0; HEAD_BYTES_MAX];
        if let Ok(length) = content.file().read_at(&mut head, 0) {
            file.raw_head = Head::of(&head[..length]);
        }
    }
    file.raw_head
}
