//! At the very first start: goes on in each file where another collector was.
//!
//! Owns: which file a position means today: it may have been rotated and compressed since.
//! Does not own: reading positions (`positions`).
//! Invariant: what a position does not surely cover is read: rather twice than not at all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::super::content::Content;
use super::super::file::TailFile;
use super::super::resolve::resolve;
use super::super::watch::FileId;
use super::Reader;
use crate::positions::Position;

/// Bytes before a position in which the end of a line is looked for, if it does not lie behind one.
const LOOK_BACK_BYTES: u64 = 64 << 10;

/// What of a file was passed on by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adopted {
    /// All of it.
    All,
    /// Everything before this place.
    To(u64),
}

impl Reader {
    /// Finds the files that positions of others mean, once the first sweep has found all files.
    pub(super) fn adopt(&mut self) {
        let positions = std::mem::take(&mut self.positions);
        if positions.is_empty() {
            return;
        }
        let mut anchors: HashMap<FileId, u64> = HashMap::new();
        let mut gone = 0;
        for position in &positions {
            match self.anchor(position) {
                Some((id, offset)) => drop(anchors.insert(id, offset)),
                None => gone += 1,
            }
        }
        for members in self.groups.values() {
            let newest = members.iter().rposition(|id| anchors.contains_key(id));
            for id in members.iter().take(newest.map_or(0, |at| at + 1)) {
                let adopted = anchors.get(id).map_or(Adopted::All, |offset| Adopted::To(*offset));
                self.adopted.insert(*id, adopted);
            }
        }
        let (input, files) = (&self.context.name, anchors.len());
        tracing::info!(
            input,
            files,
            gone,
            "goes on where another collector was; `gone` are positions of no file"
        );
    }

    /// The file that a position means, and the beginning of the first line that was not passed on.
    fn anchor(&self, position: &Position) -> Option<(FileId, u64)> {
        let same_inode =
            |file: &TailFile| position.inode.is_some_and(|inode| file.found.stat.inode.1 == inode);
        let by_inode = self.files.iter().find(|(_, file)| same_inode(file) && !file.found.gzip);
        if let Some((id, file)) = by_inode
            && position.offset <= file.found.stat.bytes
        {
            return Some((*id, line_start(file, position.offset)));
        }
        // Renamed and compressed it has another inode; so what is behind the place tells.
        let path = self.on_host(&position.path)?;
        let group = self.groups.values().find(|members| {
            let of_log =
                |id: &FileId| self.files[id].found.path == path || is_of(&self.files[id], &position.path);
            members.iter().any(of_log)
        })?;
        let newest_first = || group.iter().rev().map(|id| (*id, &self.files[id]));
        let fitting = newest_first().find(|(_, file)| ends_line(file, position.offset));
        if let Some((id, _)) = fitting {
            return Some((id, position.offset));
        }
        let (id, newest) = newest_first().next()?;
        let long_enough = position.inode.is_none() && position.offset <= newest.found.stat.bytes;
        (long_enough && !newest.found.gzip).then(|| (id, line_start(newest, position.offset)))
    }

    /// Where a path of the node is, with all links followed.
    fn on_host(&self, path: &Path) -> Option<PathBuf> {
        let root = self.context.host_root.as_deref();
        let target = resolve(root, path).unwrap_or_else(|_| path.to_owned());
        Some(match root {
            Some(root) => root.join(target.strip_prefix("/").ok()?),
            None => target,
        })
    }
}

/// Whether a file is a part of the log with this path.
fn is_of(file: &TailFile, log: &Path) -> bool {
    Path::new(&*file.found.source) == log
}

/// Whether a line ends in front of this place.
fn ends_line(file: &TailFile, offset: u64) -> bool {
    let Some(before) = offset.checked_sub(1) else { return true };
    let mut byte = [0];
    let read = Content::open(file.path(), file.found.gzip)
        .and_then(|mut content| content.read_at(&mut byte, before));
    matches!(read, Ok(1)) && byte[0] == b'\n'
}

/// The beginning of the line that has this place, if it begins near it.
fn line_start(file: &TailFile, offset: u64) -> u64 {
    let start = offset.saturating_sub(LOOK_BACK_BYTES);
    let mut bytes = vec![0; (offset - start) as usize];
    let Ok(read) =
        Content::open(file.path(), false).and_then(|mut content| content.read_at(&mut bytes, start))
    else {
        return offset;
    };
    match memchr::memrchr(b'\n', &bytes[..read]) {
        Some(at) => start + at as u64 + 1,
        None if start == 0 => 0,
        None => offset,
    }
}
