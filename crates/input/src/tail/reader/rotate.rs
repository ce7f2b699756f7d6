//! Rotates files that nobody else rotates, where that is asked for.
//!
//! Owns: when a file is long enough, the three ways, how many older ones are kept.
//! Does not own: reading what becomes of the files; that is as with those that others rotate.
//! Invariant: no byte is taken away that is neither durable where it went nor in the copy beside it. What somebody
//! writes between the last look at a file and its cut is the one exception, and only of `copy_truncate`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use sawyer_config::{ByteSize, choice, settings};

use super::super::content::FileStat;
use super::super::file::{Phase, TailFile};
use super::super::watch::FileId;
use super::Reader;
use crate::offsets::{HEAD_BYTES_MAX, Head, Progress};

#[cfg(test)]
mod tests;

choice! {
    /// How a file is kept from growing.
    pub enum RotateHow {
        /// What was delivered gives its disk space back, and the file goes on as it is: no line can be lost, whatever the
        /// writer does. Its length is still told as if all were there; `du` and the limits of volumes see what it takes.
        /// Needs a file system with holes: ext4, xfs, btrfs, tmpfs.
        Free = "free",
        /// It is copied to `.1` and cut. For writers that never open it again and append (`O_APPEND`); what they write
        /// in the microseconds between copy and cut is lost. After a kill between the two, the copy is thrown away and
        /// made anew when the file was read to its end; until then some of its lines may be delivered twice.
        CopyTruncate = "copy_truncate",
        /// It is renamed to `.1`. For writers that look whether their file is still there, and open it anew.
        Rename = "rename",
    }
}

settings! {
    /// When and how files are rotated by Sawyer itself.
    pub struct RotateSettings {
        /// How long a file becomes, or with `free` how much of it is delivered and still on the disk.
        #[range(ByteSize::kib(128)..=ByteSize::gib(64))]
        pub size_max: ByteSize = ByteSize::mib(10),
        /// How it is done.
        pub how: RotateHow = RotateHow::Free,
        /// How many older files are kept. The oldest is removed only when all of it was delivered.
        #[range(1..=100)]
        pub keep: u32 = 1,
    }
}

/// The beginning of a file, which is not freed: it tells the file from others.
const HEAD_BYTES: u64 = 64 << 10;

/// Disk space is freed in whole pages of this size, which is that of most file systems or a multiple.
const PAGE_BYTES: u64 = 64 << 10;

impl Reader {
    /// Looks at all files for those that are long enough.
    pub(super) fn rotate_due(&mut self) {
        if self.layout.rotates().is_none() {
            return;
        }
        for id in self.files.keys().copied().collect::<Vec<_>>() {
            self.rotate_if_due(id);
        }
    }

    /// Rotates a file that was just read to its end, if it is long enough. One that could not be rotated is tried
    /// again by sweeps only: each try may copy all of it.
    pub(super) fn rotate_at_end(&mut self, id: FileId) {
        if self.files.get(&id).is_some_and(|file| !file.rotate_failed) {
            self.rotate_if_due(id);
        }
    }

    fn rotate_if_due(&mut self, id: FileId) {
        let Some(settings) = self.layout.rotates().cloned() else { return };
        let Some(mut file) = self.files.remove(&id) else { return };
        let rotated = if file.is_live() { self.rotate(id, &mut file, &settings) } else { Ok(false) };
        file.rotate_failed = rotated.is_err();
        let path = file.path().display().to_string();
        self.files.insert(id, file);
        match rotated {
            Ok(false) => {}
            Ok(true) => {
                self.meters.rotations.inc();
                if settings.how != RotateHow::Free {
                    self.sweep_soon();
                }
            }
            Err(error) => {
                self.meters.error("rotate");
                if let Some(held_back) = self.rotate_trouble.pass(self.context.clock.now()) {
                    let input = &self.context.name;
                    tracing::warn!(
                        input,
                        path,
                        held_back,
                        "cannot rotate a file, which goes on to grow: {error}"
                    );
                }
            }
        }
    }

    fn rotate(&mut self, id: FileId, file: &mut TailFile, settings: &RotateSettings) -> io::Result<bool> {
        let Some(known) = &file.known else { return Ok(false) };
        let (size_max, offset) = (settings.size_max.bytes(), known.offset);
        if settings.how == RotateHow::Free {
            let durable = self.offsets.get(known.source).map_or(0, Progress::durable_watermark);
            return free(file, durable, size_max);
        }
        // What was read of it is to be all, so that no more than a moment's lines come out of order.
        if offset < size_max || offset < file.seen.0 {
            return Ok(false);
        }
        let first = numbered(file.path(), 1);
        if settings.how == RotateHow::CopyTruncate && is_beginning(&first, &open(file)?)? {
            // Somebody was killed between the copy and the cut.
            fs::remove_file(&first)?;
        }
        if !self.make_room(file.path(), settings.keep)? {
            return Ok(false);
        }
        match settings.how {
            RotateHow::Rename => fs::rename(file.path(), &first)?,
            _ => {
                copy_and_cut(file, &first)?;
                // What was added since it was read is in the copy.
                file.found.stat.bytes = offset;
                self.supersede(id, file);
                self.make_ready_again(id, file);
            }
        }
        Ok(true)
    }

    /// What was superseded begins anew with its next turn.
    fn make_ready_again(&mut self, id: FileId, file: &mut TailFile) {
        file.phase = Phase::Ready;
        file.seen = (0, 0);
        if !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
    }

    /// Moves the older files on by one number; says whether the oldest was delivered, so that it could go.
    fn make_room(&self, path: &Path, keep: u32) -> io::Result<bool> {
        let last = numbered(path, keep);
        if last.exists() {
            let known = self.files.values().find(|file| file.path() == last && !file.gone);
            let delivered = known.is_some_and(|file| {
                let settled = |known: &super::super::file::Known| {
                    self.offsets.is_settled(known.source, known.offset) && !known.assembler.holds()
                };
                file.phase == Phase::Done && file.known.as_ref().is_none_or(settled)
            });
            if !delivered {
                return Ok(false);
            }
        }
        for number in (1..keep).rev() {
            let from = numbered(path, number);
            if from.exists() {
                fs::rename(from, numbered(path, number + 1))?;
            }
        }
        Ok(true)
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The file that is followed, open for writing; nothing else in its place.
fn open(file: &TailFile) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    let open = OpenOptions::new().read(true).write(true).custom_flags(flags).open(file.path())?;
    let stat = FileStat::from(&open.metadata()?);
    if stat.inode == file.found.stat.inode { Ok(open) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Gives the disk space back of what lies before `durable`.
fn free(file: &mut TailFile, durable: u64, size_max: u64) -> io::Result<bool> {
    let start = file.freed.max(HEAD_BYTES);
    let end = durable / PAGE_BYTES * PAGE_BYTES;
    if end < start + size_max {
        return Ok(false);
    }
    let Some(known) = &file.known else { return Ok(false) };
    let (head, read) = (known.head, known.offset);
    let freed = punch(&open(file)?, &head, read, start..end)?;
    if freed {
        file.freed = end;
    }
    Ok(freed)
}

/// Frees a range of a file, unless it is not the one any more of which so much was read: it may have been cut and begun
/// anew since, and nothing of it is delivered then.
fn punch(file: &File, head: &Head, read: u64, range: Range<u64>) -> io::Result<bool> {
    let mut start = [0; HEAD_BYTES_MAX];
    let wanted = start.len().min(usize::try_from(read).unwrap_or(usize::MAX));
    if file.metadata()?.len() < read || file.read_exact_at(&mut start[..wanted], 0).is_err() {
        return Ok(false);
    }
    if !head.matches(&start[..wanted]) {
        return Ok(false);
    }
    // After a start it is not known what was freed before, and freeing it again costs nothing.
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, how, range.start, range.end - range.start)?;
    Ok(true)
}

/// Copies a file, durably, and cuts it when nothing was added to it since.
fn copy_and_cut(file: &TailFile, to: &Path) -> io::Result<()> {
    let mut from = open(file)?;
    let name = to.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    // Not found by any pattern while it is not whole.
    let unfinished = to.with_file_name(format!(".{name}.sawyer"));
    let mut copy = copy(&mut from, &unfinished)?;
    fs::rename(&unfinished, to)?;
    let mut rest = || {
        if let Some(folder) = to.parent() {
            File::open(folder)?.sync_all()?;
        }
        while io::copy(&mut from, &mut copy)? > 0 {
            copy.sync_data()?;
        }
        from.set_len(0)
    };
    // The file is still whole then, and its copy would be read beside it.
    rest().inspect_err(|_| drop(fs::remove_file(to)))
}

/// Copies a file, durably; where that fails, nothing of the copy stays to fill the disk. Others may write in the folder,
/// so whatever has the copy's name is removed, and never written to.
fn copy(from: &mut File, to: &Path) -> io::Result<File> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut copy = OpenOptions::new().write(true).create_new(true).open(to)?;
    let mut fill = || {
        copy.set_permissions(from.metadata()?.permissions())?;
        while io::copy(from, &mut copy)? > 0 {
            copy.sync_all()?;
        }
        Ok(())
    };
    fill().inspect_err(|_: &io::Error| drop(fs::remove_file(to)))?;
    Ok(copy)
}

/// Whether a file holds the beginning of another one, byte for byte.
fn is_beginning(copy: &Path, of: &File) -> io::Result<bool> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let Ok(mut copy) = OpenOptions::new().read(true).custom_flags(flags).open(copy) else { return Ok(false) };
    let stat = copy.metadata()?;
    if !stat.is_file() || stat.len() > of.metadata()?.len() {
        return Ok(false);
    }
    let (mut part, mut other, mut at) = (vec![0; 64 << 10], vec![0; 64 << 10], 0);
    loop {
        let read = copy.read(&mut part)?;
        if read == 0 {
            return Ok(true);
        }
        of.read_exact_at(&mut other[..read], at)?;
        if part[..read] != other[..read] {
            return Ok(false);
        }
        at += read as u64;
    }
}
