//! At the very first start: goes on in each file where another collector was.
//!
//! Owns: which file a position means today: it may have been rotated and compressed since.
//! Does not own: reading positions (`positions`).
//! Invariant: what a position does not surely cover is read: rather twice than not at all.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::super::content::Content;
use super::super::file::TailFile;
use super::super::lines::Form;
use super::super::resolve::resolve;
use super::super::watch::FileId;
use super::Reader;
use crate::offsets::HEAD_BYTES_MAX;
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

/// The place that a position means.
struct Anchor {
    file: FileId,
    /// The beginning of the first line that was not passed on.
    offset: u64,
    /// Whether it is this file for sure.
    sure: bool,
}

impl Reader {
    /// Finds the files that positions of others mean, once the first sweep has found all files.
    pub(super) fn adopt(&mut self) {
        let positions = std::mem::take(&mut self.positions);
        if positions.is_empty() {
            return;
        }
        let (mut anchors, mut guesses) = (HashMap::new(), HashMap::new());
        let (mut named, mut gone) = (HashSet::new(), 0);
        for position in &positions {
            let log = self.log_of(position);
            match self.anchor(position, &log) {
                Some(Anchor { file, offset, sure }) => {
                    let known = if sure { &mut anchors } else { &mut guesses };
                    let least = known.entry(file).or_insert(offset);
                    *least = offset.min(*least);
                }
                None => gone += 1,
            }
            named.extend(log);
        }
        for (file, offset) in guesses {
            anchors.entry(file).or_insert(offset);
        }
        for members in self.groups.values() {
            let newest = members.iter().rposition(|id| anchors.contains_key(id));
            let older = newest.unwrap_or(0);
            for (at, id) in members.iter().enumerate() {
                let adopted = match anchors.get(id) {
                    Some(offset) => Adopted::To(*offset),
                    None if at < older => Adopted::All,
                    // What came after all positions of its log is read, also where other logs are read from their end.
                    None if newest.is_some() || named.contains(id) => Adopted::To(0),
                    None => continue,
                };
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

    /// The files of the log that a position names, from the oldest to the newest: of a container, and not of those
    /// that it was before a restart.
    fn log_of(&self, position: &Position) -> Vec<FileId> {
        let named = position.path.to_str().filter(|path| !path.is_empty());
        let path = named.and_then(|_| self.on_host(&position.path));
        // What lies in a volume has the name that the container gives it, which is none of the node.
        let is_named = |file: &TailFile| {
            path.as_deref() == Some(file.path())
                || (named == Some(&*file.found.source) && self.layout.confines(file.path()).is_none())
        };
        let find = |members: &Vec<FileId>| members.iter().copied().find(|id| is_named(&self.files[id]));
        let Some(id) = self.groups.values().find_map(find) else { return Vec::new() };
        let found = &self.files[&id].found;
        let of_part = |id: &FileId| self.files[id].found.part == found.part;
        self.groups[&found.group].iter().copied().filter(of_part).collect()
    }

    /// What a position means among the files of its log.
    fn anchor(&self, position: &Position, log: &[FileId]) -> Option<Anchor> {
        let same_inode = |id: &FileId| {
            let found = &self.files[id].found;
            position.inode == Some(found.stat.inode.1) && !found.gzip
        };
        // Inodes are used again, so one in another log means nothing.
        let by_inode = if position.path.as_os_str().is_empty() {
            self.files.keys().copied().find(same_inode)
        } else {
            log.iter().copied().find(same_inode)
        };
        if let Some(id) = by_inode
            && position.offset <= self.files[&id].found.stat.bytes
        {
            let offset = self.line_start(&self.files[&id], position.offset);
            return Some(Anchor { file: id, offset, sure: true });
        }
        // Nothing of it was passed on, and nothing tells which it is.
        if position.offset == 0 {
            return None;
        }
        // Compressed, or copied before it was cut, it has another inode; so what is before the place tells.
        let may_be = |file: &TailFile| position.inode.is_none() || file.found.gzip || by_inode.is_some();
        let newest_first =
            || log.iter().rev().map(|id| (*id, &self.files[id])).filter(|(_, file)| may_be(file));
        if let Some((id, _)) = newest_first().find(|(_, file)| self.ends_line(file, position.offset)) {
            return Some(Anchor { file: id, offset: position.offset, sure: false });
        }
        let (id, newest) = newest_first().next()?;
        let long_enough = position.inode.is_none() && position.offset <= newest.found.stat.bytes;
        let offset = (long_enough && !newest.found.gzip).then(|| self.line_start(newest, position.offset))?;
        Some(Anchor { file: id, offset, sure: false })
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

    /// What a file holds, and the form of its lines.
    fn look_into(&self, file: &TailFile) -> io::Result<(Content, Form)> {
        let mut content = self.content(&file.found)?;
        let mut head = [0; HEAD_BYTES_MAX];
        let length = content.read_at(&mut head, 0)?;
        Ok((content, self.layout.form(&file.found, &head[..length])))
    }

    /// Whether a line ends in front of this place.
    fn ends_line(&self, file: &TailFile, offset: u64) -> bool {
        let start = offset.saturating_sub(2);
        let mut bytes = vec![0; (offset - start) as usize];
        let ends = self.look_into(file).and_then(|(mut content, form)| {
            let read = content.read_at(&mut bytes, start)?;
            Ok(read == bytes.len() && form.last_line_end(&bytes, start) == Some(read))
        });
        ends.unwrap_or(false)
    }

    /// The beginning of the line that has this place, if it begins near it.
    fn line_start(&self, file: &TailFile, offset: u64) -> u64 {
        let start = offset.saturating_sub(LOOK_BACK_BYTES);
        let mut bytes = vec![0; (offset - start) as usize];
        let found = self.look_into(file).and_then(|(mut content, form)| {
            let read = content.read_at(&mut bytes, start)?;
            let end = form.last_line_end(&bytes[..read], start);
            Ok((end.map(|at| start + at as u64), form.unit_start(offset)))
        });
        match found {
            Ok((Some(line_start), _)) => line_start,
            Ok((None, _)) if start == 0 => 0,
            Ok((None, unit_start)) => unit_start,
            Err(_) => offset,
        }
    }
}
