//! Which source a file is: the one it was before it was renamed, compressed or Sawyer was restarted, or a new one.
//!
//! Invariant: one source has one reader at a time; further files with the same content wait.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use sawyer_model::{SeqRange, SourceId};
use sawyer_pipeline::node_name;

use super::super::content::{Content, FileStat};
use super::super::file::{Known, Phase, TailFile};
use super::super::layout::{FoundFile, IdentifyBy, Rotation};
use super::super::lines::{Assembler, Form};
use super::super::speaker::Speaker;
use super::super::watch::FileId;
use super::Reader;
use super::adopt::Adopted;
use crate::offsets::{HEAD_BYTES_MAX, Head, Progress};

/// A number no file's length comes near: everything of a file, however long it is.
const ALL: SeqRange = SeqRange::new(0, 1 << 62);

/// Bytes before the end of a file in which the end of its last whole line is looked for.
const LAST_LINE_BYTES: u64 = 64 << 10;

/// Bytes in which the end of a file's first row is looked for. docker's have at most 16 KiB of the container's text,
/// which escapes make six times as long, and labels. Of longer ones this much tells them apart.
const ROW_BYTES_MAX: usize = 256 << 10;

/// What is known of a file now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identified {
    /// Which source it is.
    Known,
    /// Not enough yet: its first line has no end.
    NotYet,
    /// Another file with the same content is read at present.
    Alias,
    /// All of it is durable.
    Complete,
}

/// Whom a file with a known content has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitFor {
    /// Another file with it, which is being read or will be.
    File(FileId),
    /// The report about what was sent of it.
    Acknowledgement,
}

impl Reader {
    /// Finds out which source a file is. `last` means that nothing will be added to it.
    pub(super) fn identify(
        &mut self,
        id: FileId,
        file: &mut TailFile,
        stat: FileStat,
        last: bool,
    ) -> io::Result<Identified> {
        let content = file.content.as_mut().expect("it was opened");
        let mut head = [0; HEAD_BYTES_MAX];
        let length = content.read_at(&mut head, 0)?;
        let head = &head[..length];
        let Some(first_line) = first_line(content, head, last || file.found.gzip)? else {
            return Ok(Identified::NotYet);
        };
        let first_line = &*first_line;
        let gzip_length = if file.found.gzip { Some(content.gzip_length()?) } else { None };
        let source = match self.resolve(id, &file.found, stat, head, first_line, gzip_length) {
            Ok(source) => source,
            Err(wait) => {
                self.retry_landed |= wait == WaitFor::Acknowledgement;
                if let WaitFor::File(other) = wait {
                    file.copy_of = Some(other);
                }
                return Ok(Identified::Alias);
            }
        };
        let form = self.layout.form(&file.found, first_line);
        let identity = self.layout.identity(&file.found)?;
        let speaker = Speaker::new(Arc::clone(&identity));
        self.note(id, source, file, stat, head, form)?;
        let offset = self.offsets.get(source).map_or(0, Progress::watermark);
        self.by_source.insert(source, id);
        let line_max = self.settings.line_max.bytes() as usize;
        let assembler = Assembler::new(source, form, line_max);
        let head = Head::of(head);
        let (since, told) = (Instant::now(), None);
        file.known = Some(Known {
            source,
            head,
            identity,
            since,
            told,
            form,
            speaker,
            offset,
            assembler,
            fresh: true,
        });
        let complete =
            gzip_length.is_some_and(|length| offset >= ALL.end || (offset > 0 && offset as u32 == length));
        Ok(if complete { Identified::Complete } else { Identified::Known })
    }

    /// Writes down what was seen, and at the very first start what is not to be read.
    fn note(
        &mut self,
        id: FileId,
        source: SourceId,
        file: &mut TailFile,
        stat: FileStat,
        head: &[u8],
        form: Form,
    ) -> io::Result<()> {
        let new = self.offsets.get(source).is_none();
        let adopted = self.adopted.remove(&id).filter(|_| new);
        let skip = if let Some(adopted) = adopted {
            Some(match adopted {
                Adopted::All => ALL,
                Adopted::To(offset) => SeqRange::new(0, offset),
            })
        } else if self.from_end && file.initial && new {
            let content = file.content.as_mut().expect("it was opened");
            Some(if file.found.gzip {
                ALL
            } else {
                SeqRange::new(0, last_line_end(content, stat.bytes, form)?)
            })
        } else {
            None
        };
        let now = self.context.clock.now();
        let progress = self.offsets.edit(source);
        progress.seen = now;
        if new || !file.found.gzip {
            progress.group = (&*file.found.group).into();
            progress.inode = stat.inode;
            progress.head = Head::of(head);
        }
        if let Some(skip) = skip {
            progress.acked.insert(skip);
        }
        Ok(())
    }

    /// The source, or whom to wait for.
    fn resolve(
        &self,
        id: FileId,
        found: &FoundFile,
        stat: FileStat,
        head: &[u8],
        first_line: &[u8],
        gzip_length: Option<u32>,
    ) -> Result<SourceId, WaitFor> {
        let source = match self.layout.identify_file_by(found) {
            IdentifyBy::FirstLine => self.by_first_line(found, stat, first_line),
            IdentifyBy::Inode => self
                .by_inode_and_head(found, stat, head, gzip_length)
                .unwrap_or_else(|| self.new_by_inode(found, stat, first_line)),
        };
        if let Some(other) = self.by_source.get(&source).filter(|other| **other != id) {
            return Err(WaitFor::File(*other));
        }
        if let Some(original) = gzip_length.and_then(|length| self.removed_unread(found, head, length)) {
            return Err(WaitFor::File(original));
        }
        let Some(progress) = self.offsets.get(source).filter(|progress| progress.inode != stat.inode) else {
            return Ok(source);
        };
        // The file itself may be there too; it comes first, even if it was not looked at yet.
        let itself = self.by_inode.get(&progress.inode);
        let itself = itself.and_then(|other| Some((*other, self.files.get(other)?)));
        let comes_first = itself.filter(|(_, other)| {
            other.known.is_none() && other.found.group == found.group && may_begin_with(other, progress.head)
        });
        match (comes_first, progress.in_flight) {
            (Some((other, _)), _) => Err(WaitFor::File(other)),
            (None, 0) => Ok(source),
            (None, _) => Err(WaitFor::Acknowledgement),
        }
    }

    /// The file of which this one is the compressed copy, if it was removed before its first turn: it is open still,
    /// and its name does not tell any more that it was rotated.
    fn removed_unread(&self, found: &FoundFile, head: &[u8], length: u32) -> Option<FileId> {
        let head = Head::of(head);
        let is_original = |id: &FileId| {
            let Some(other) = self.files.get(id).filter(|other| other.gone && other.known.is_none()) else {
                return false;
            };
            let bytes = other.content.as_ref().and_then(|content| Some(content.stat().ok()?.bytes));
            bytes.is_some_and(|bytes| bytes as u32 == length)
                && other.found.part == found.part
                && may_begin_with(other, head)
        };
        self.groups.get(&found.group)?.iter().copied().find(is_original)
    }

    /// A first line in a container's log is there once in the world, except if its file was cut and then began with
    /// the same line, which makes another generation.
    fn by_first_line(&self, found: &FoundFile, stat: FileStat, first_line: &[u8]) -> SourceId {
        let source = |generation: u32| {
            let (part, generation) = (found.part.to_le_bytes(), generation.to_le_bytes());
            SourceId::of(&[b"file", found.group.as_bytes(), &part, first_line, &generation])
        };
        let known = |generation| Some((source(generation), self.offsets.get(source(generation))?));
        let present = (0..).map_while(known).find(|(_, progress)| {
            !progress.superseded && (found.rotation == Rotation::Live || progress.inode == stat.inode)
        });
        let next = (0..).find(|generation| known(*generation).is_none_or(|(_, known)| !known.superseded));
        match present {
            Some((source, _)) => source,
            None if found.rotation == Rotation::Live => source(next.expect("numbers do not end")),
            // A copy that was made before its file was cut.
            None => source(0),
        }
    }

    /// A source that is known by its inode, or by its beginning if this is a rotated file.
    fn by_inode_and_head(
        &self,
        found: &FoundFile,
        stat: FileStat,
        head: &[u8],
        gzip_length: Option<u32>,
    ) -> Option<SourceId> {
        let alike = |progress: &Progress| {
            // A copy may have been made before its file was cut.
            let current = !progress.superseded || found.rotation != Rotation::Live;
            current && *progress.group == *found.group && progress.head.matches(head)
        };
        let candidates: Vec<_> = self.offsets.iter().filter(|(_, progress)| alike(progress)).collect();
        // Device numbers may change with a restart of the machine; the inode and the beginning do not.
        if let Some((source, _)) = candidates.iter().find(|(_, progress)| progress.inode.1 == stat.inode.1)
            && gzip_length.is_none()
        {
            return Some(*source);
        }
        if found.rotation == Rotation::Live {
            return None;
        }
        let same_length = |progress: &Progress| match gzip_length {
            Some(length) => progress.watermark() as u32 == length,
            None => progress.watermark() == stat.bytes,
        };
        let can_be = |progress: &Progress| gzip_length.is_some() || progress.watermark() <= stat.bytes;
        let rank = |progress: &Progress| (same_length(progress), progress.seen);
        let best = candidates.iter().filter(|(_, progress)| can_be(progress));
        best.max_by_key(|(_, progress)| rank(progress)).map(|(source, _)| *source)
    }

    /// A source that was not known before. Machines made from one image have the same inodes and the same first lines,
    /// and what they send meets in one store, so the node is a part of it.
    fn new_by_inode(&self, found: &FoundFile, stat: FileStat, first_line: &[u8]) -> SourceId {
        let node = node_name(self.context.host_root.as_deref()).unwrap_or_default();
        let (device, inode) = (stat.inode.0.to_le_bytes(), stat.inode.1.to_le_bytes());
        let group = found.group.as_bytes();
        let mut generation = 0u32;
        loop {
            let generation_bytes = generation.to_le_bytes();
            let parts: [&[u8]; 7] =
                [b"inode", node.as_bytes(), group, &device, &inode, first_line, &generation_bytes];
            let source = SourceId::of(&parts);
            if self.offsets.get(source).is_none() {
                return source;
            }
            generation += 1;
        }
    }

    /// Whether a file is the one that was opened and identified: it may have grown, not changed.
    pub(super) fn was_cut(&mut self, file: &mut TailFile, stat: FileStat) -> io::Result<bool> {
        let live = file.is_live();
        let (Some(known), true) = (&mut file.known, live) else { return Ok(false) };
        if stat.bytes < known.offset {
            return Ok(true);
        }
        let content = file.content.as_mut().expect("it was opened");
        let mut head = [0; HEAD_BYTES_MAX];
        let length = content.read_at(&mut head, 0)?;
        let head = &head[..length];
        if !known.head.matches(head) {
            return Ok(true);
        }
        if !known.head.is_full() && Head::of(head) != known.head {
            known.head = Head::of(head);
            self.offsets.edit(known.source).head = known.head;
        }
        Ok(false)
    }

    /// A rotated file that was closed may have been removed, and its inode and its name be those of a younger one
    /// by now.
    pub(super) fn forget_if_another(&mut self, id: FileId, file: &mut TailFile) -> io::Result<()> {
        let Some(known) = &file.known else { return Ok(()) };
        let content = file.content.as_mut().expect("it was opened");
        let mut head = [0; HEAD_BYTES_MAX];
        let length = content.read_at(&mut head, 0)?;
        if known.head.matches(&head[..length]) {
            return Ok(());
        }
        let source = known.source;
        self.flush_file(file);
        file.known = None;
        file.freed = 0;
        file.caught_up = false;
        if self.by_source.get(&source) == Some(&id) {
            self.by_source.remove(&source);
        }
        Ok(())
    }

    /// Somebody has cut a file. What was not read of it may be in a copy, which the next sweep tells.
    pub(super) fn cut(&mut self, id: FileId, file: &mut TailFile) {
        self.meters.truncations.inc();
        let (input, path, unread) = (&self.context.name, file.path().display(), file.behind());
        tracing::info!(input, unread, "{path} was cut to begin anew");
        self.note_cut(file);
        self.supersede(id, file);
    }

    /// What the file held is gone; what it holds now is another source.
    pub(super) fn supersede(&mut self, id: FileId, file: &mut TailFile) {
        self.flush_file(file);
        file.freed = 0;
        let Some(known) = file.known.take() else { return };
        self.offsets.edit(known.source).superseded = true;
        if self.by_source.get(&known.source) == Some(&id) {
            self.by_source.remove(&known.source);
        }
        file.phase = Phase::Ready;
        // A copy may hold what was not read.
        self.sweep_soon();
    }
}

/// The first line, as much of it as tells it from others; none if it has no end yet. docker writes the time at the
/// end of a row, so all of the row is needed: pieces of long lines are often the same but for that.
fn first_line<'a>(content: &mut Content, head: &'a [u8], last: bool) -> io::Result<Option<Cow<'a, [u8]>>> {
    if let Some(end) = memchr::memchr(b'\n', head) {
        return Ok(Some(Cow::Borrowed(&head[..end])));
    }
    let (full, whole) = (head.len() == HEAD_BYTES_MAX, !head.is_empty() && last);
    if !full || head[0] != b'{' {
        return Ok((full || whole).then_some(Cow::Borrowed(head)));
    }
    let mut row = vec![0; ROW_BYTES_MAX];
    let length = content.read_at(&mut row, 0)?;
    row.truncate(length);
    let end = memchr::memchr(b'\n', &row);
    row.truncate(end.unwrap_or(length));
    Ok((end.is_some() || last || length == ROW_BYTES_MAX).then_some(Cow::Owned(row)))
}

/// Whether a file that was not looked at yet may be the one with this beginning; its inode alone may be used again.
fn may_begin_with(file: &TailFile, head: Head) -> bool {
    let Some(content) = file.content.as_ref().filter(|_| !file.found.gzip) else { return !file.found.gzip };
    let mut bytes = [0; HEAD_BYTES_MAX];
    content.file().read_at(&mut bytes, 0).is_ok_and(|length| head.matches(&bytes[..length]))
}

/// Where the last whole line ends, if one ends near the end of the file.
fn last_line_end(content: &mut Content, bytes: u64, form: Form) -> io::Result<u64> {
    let start = bytes.saturating_sub(LAST_LINE_BYTES);
    let mut tail = vec![0; (bytes - start) as usize];
    let length = content.read_at(&mut tail, start)?;
    let end = form.last_line_end(&tail[..length], start);
    Ok(end.map_or(form.unit_start(bytes), |at| start + at as u64))
}

impl Known {
    /// Begins again at an offset, with nothing held.
    pub(super) fn restart(&mut self, offset: u64, line_bytes_max: usize) {
        self.offset = offset;
        self.assembler = Assembler::new(self.source, self.form, line_bytes_max);
        self.fresh = true;
    }
}
