//! A file's turn: open it, see what it is, read a chunk, and decide when to come back.
//!
//! Invariant: a file is only left for good when nobody can add to it and all of it was read.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use sawyer_model::RangeSet;

use super::super::content::Content;
use super::super::file::{Known, Phase, TailFile};
use super::super::layout::FoundFile;
use super::super::lines::{Assembler, Held, Sink};
use super::super::speaker::Speaker;
use super::super::watch::FileId;
use super::about::Leave;
use super::identify::Identified;
use super::{CHUNK_BYTES, Reader, TICK};

/// Ticks that a live file is looked at after its last line, before it is left to the system to tell of the next.
const LIVE_TICKS: u32 = 6;

/// Ticks at the end of a rotated file before it counts as final: runtimes reopen their log a little late.
const ROTATED_TICKS: u32 = 100;

/// Ticks at the end of a removed file before it is let go of, for the same reason.
const GONE_TICKS: u32 = 20;

/// Failures in a row that are not told of, where a file may only not be complete yet.
const FAILURES_EARLY: u32 = 3;

/// What came of a turn.
enum Step {
    /// There is more.
    More,
    /// That was all for now.
    End,
    /// Another file has to go first.
    Wait,
    /// That was all.
    Complete,
    /// Another file with the same content is being read.
    Alias,
    /// It is not known yet who speaks.
    Later,
    /// Its lines are not wanted.
    Unwanted,
}

impl Reader {
    pub(super) fn turn(&mut self, id: FileId) {
        if !self.may_start(id) {
            if let Some(file) = self.files.get_mut(&id) {
                file.phase = Phase::Blocked;
            }
            return;
        }
        // Taken out, so that reading it may look at others.
        let Some(mut file) = self.files.remove(&id) else { return };
        let source = |file: &TailFile| file.known.as_ref().map(|known| known.source);
        let before = source(&file);
        let step = self.read(id, &mut file);
        if step.is_ok() {
            (file.failures, file.told, file.missing) = (0, None, false);
        }
        let behind = source(&file).filter(|_| matches!(step, Ok(Step::More | Step::Wait)));
        for source in before.into_iter().chain(source(&file)) {
            self.progress.set_behind(source, behind == Some(source));
        }
        if let Some(source) = behind.filter(|_| !file.is_live()) {
            self.progress.set_pressed(source);
        }
        self.files.insert(id, file);
        match step {
            Ok(Step::More | Step::Wait) => self.ready.push_back(id),
            Ok(Step::End) => self.at_end(id),
            Ok(Step::Complete) => self.complete(id),
            Ok(Step::Later) => self.look_again(id),
            Ok(Step::Unwanted) => self.leave_out(id),
            Ok(Step::Alias) => {
                self.set_phase(id, Phase::Alias);
                self.close(id);
                self.sort_beside(id);
                let TailFile { gone, found, .. } = &self.files[&id];
                let (gone, group) = (*gone, Arc::clone(&found.group));
                if gone {
                    self.remove(id);
                }
                self.wake_group(&group);
            }
            Err(error) => self.fail(id, &error),
        }
    }

    /// A file that lost its name takes the place of its copy among the files of their log: others may have been
    /// rotated meanwhile.
    fn sort_beside(&mut self, copy: FileId) {
        let rotation = self.files[&copy].found.rotation.clone();
        let Some(original) = self.files[&copy].copy_of.and_then(|id| self.files.get_mut(&id)) else { return };
        if original.gone && original.found.rotation != rotation {
            original.found.rotation = rotation;
            self.sort_groups();
        }
    }

    /// Whether all older files of its group were read to their end once.
    pub(super) fn may_start(&self, id: FileId) -> bool {
        let Some(file) = self.files.get(&id) else { return false };
        if file.caught_up {
            return true;
        }
        let group = self.groups.get(&file.found.group).map_or(&[][..], Vec::as_slice);
        let older = group.iter().take_while(|other| **other != id);
        older.filter_map(|other| self.files.get(other)).all(|other| !other.blocks())
    }

    fn set_phase(&mut self, id: FileId, phase: Phase) {
        if let Some(file) = self.files.get_mut(&id) {
            file.phase = phase;
        }
    }

    fn read(&mut self, id: FileId, file: &mut TailFile) -> io::Result<Step> {
        let was_closed = file.content.is_none();
        self.open(file)?;
        file.used = Instant::now();
        if was_closed && !file.is_live() {
            self.forget_if_another(id, file)?;
        }
        let content = file.content.as_mut().expect("it was opened");
        let stat = content.stat()?;
        if stat.inode != file.found.stat.inode {
            // It was replaced since it was found; the next sweep tells by what.
            self.sweep_soon();
            return Err(io::ErrorKind::NotFound.into());
        }
        if file.known.is_none() {
            match self.identify(id, file, stat, false)? {
                Identified::Known => {}
                Identified::NotYet => {
                    file.seen = stat.state();
                    return Ok(Step::End);
                }
                Identified::Alias => return Ok(Step::Alias),
                Identified::Complete => return Ok(Step::Complete),
            }
        }
        match self.ask_about(file) {
            Leave::Granted => {}
            Leave::Later => return Ok(Step::Later),
            Leave::Refused => return Ok(Step::Unwanted),
        }
        if self.was_cut(file, stat)? {
            self.cut(id, file);
            return Ok(Step::More);
        }
        file.seen = stat.state();
        self.read_chunk(id, file)
    }

    fn read_chunk(&mut self, id: FileId, file: &mut TailFile) -> io::Result<Step> {
        let known = file.known.as_mut().expect("it was identified");
        let content = file.content.as_mut().expect("it was opened");
        let mut chunk = std::mem::take(&mut self.chunk);
        let read = content.read_at(&mut chunk, known.offset);
        let length = *read.as_ref().unwrap_or(&0);
        let step = match read {
            Err(error) => Err(error),
            Ok(0) => Ok(Step::End),
            Ok(_) if known.fresh && !self.carry(id, file, &chunk[..length]) => Ok(Step::Wait),
            Ok(_) => {
                self.take(file, &chunk[..length]);
                Ok(if length == CHUNK_BYTES { Step::More } else { Step::End })
            }
        };
        self.chunk = chunk;
        step
    }

    fn take(&mut self, file: &mut TailFile, bytes: &[u8]) {
        let known = file.known.as_mut().expect("it was identified");
        let full = bytes.len() == CHUNK_BYTES;
        let offset = known.offset;
        let mut taken = 0;
        self.assemble(known, |assembler, speaker, sink| {
            taken = assembler.take(bytes, offset, full, speaker, sink);
        });
        known.offset += taken as u64;
        known.fresh &= taken == 0;
    }

    /// Before the first line of a file: what the file before it held at its end goes on here. Says whether it is
    /// this file's turn.
    fn carry(&mut self, id: FileId, file: &mut TailFile, bytes: &[u8]) -> bool {
        if memchr::memchr(b'\n', bytes).is_none() {
            return true;
        }
        let Some(before) = self.before(id, file) else { return true };
        let Some(older) = self.files.get_mut(&before) else { return true };
        // There is a line here, so the runtime has left the older file. What it wrote there last must be read first.
        if older.has_grown() {
            self.make_ready(before);
            return false;
        }
        if let (Some(older), Some(newer)) = (&mut older.known, &mut file.known) {
            // What is durable already was whole when it was read before, and its rest is durable as well.
            let offsets = &self.offsets;
            let is_open = |held: &Held| !held.parts().iter().all(|part| offsets.is_acked(*part));
            newer.assembler.resume(older.assembler.take_held().into_iter().filter(is_open).collect());
        }
        true
    }

    /// The next older file of the same part that has something in it.
    fn before(&self, id: FileId, file: &TailFile) -> Option<FileId> {
        let group = self.groups.get(&file.found.group)?;
        let at = group.iter().position(|other| *other == id)?;
        let mut older = group[..at].iter().rev().filter_map(|other| Some((*other, self.files.get(other)?)));
        let (before, older) = older.find(|(_, older)| older.phase != Phase::Alias && !older.is_empty())?;
        (older.found.part == file.found.part).then_some(before)
    }

    fn at_end(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let first = !std::mem::replace(&mut file.caught_up, true);
        let group = Arc::clone(&file.found.group);
        if file.found.gzip {
            self.finish(id);
        } else {
            file.phase = Phase::Warm(0);
            if self.warm.is_empty() {
                self.tick_at = Instant::now() + TICK;
            }
            if !std::mem::replace(&mut file.listed, true) {
                self.warm.push(id);
            }
        }
        if first {
            self.wake_group(&group);
        }
        self.rotate_at_end(id);
    }

    pub(super) fn wake_group(&mut self, group: &str) {
        let members = self.groups.get(group).cloned().unwrap_or_default();
        for id in members {
            if self.files.get(&id).is_some_and(|file| file.phase == Phase::Blocked) {
                self.make_ready(id);
            }
        }
    }

    /// Looks at the files that were written a moment ago.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        self.tick_at = now + TICK;
        for id in std::mem::take(&mut self.warm) {
            let Some(file) = self.files.get_mut(&id) else { continue };
            file.listed = false;
            let Phase::Warm(ticks) = file.phase else { continue };
            let stat = file.content.as_ref().map(Content::stat);
            if !matches!(stat, Some(Ok(stat)) if stat.state() == file.seen) {
                self.make_ready(id);
                continue;
            }
            let live = file.is_live();
            let ticks_max = if live {
                LIVE_TICKS
            } else if file.gone {
                GONE_TICKS
            } else {
                ROTATED_TICKS
            };
            if ticks < ticks_max {
                file.phase = Phase::Warm(ticks + 1);
                file.listed = true;
                self.warm.push(id);
            } else if live {
                self.rest(id);
            } else {
                self.finish(id);
            }
        }
        self.looked_at = now;
    }

    /// Leaves a live file until the system tells of the next line.
    fn rest(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let Some(content) = &file.content else { return };
        file.phase = Phase::Idle;
        self.watch.add_file(content.file(), id);
        // What was written before the watch was there is seen now.
        if !content.stat().is_ok_and(|stat| stat.state() == file.seen) {
            self.make_ready(id);
        } else if self.layout.lets_go(&file.found) {
            self.close(id);
        }
    }

    /// Nobody adds to the file any more: takes what is left in it.
    fn finish(&mut self, id: FileId) {
        let Some(mut file) = self.files.remove(&id) else { return };
        let taken = self.take_rest(id, &mut file);
        self.files.insert(id, file);
        match taken {
            Ok(Identified::Alias) => self.set_phase(id, Phase::Alias),
            Ok(_) => self.complete(id),
            Err(error) => self.fail(id, &error),
        }
    }

    fn take_rest(&mut self, id: FileId, file: &mut TailFile) -> io::Result<Identified> {
        self.open(file)?;
        if file.known.is_none() {
            let stat = file.content.as_ref().expect("it was opened").stat()?;
            let identified = self.identify(id, file, stat, true)?;
            if identified != Identified::Known {
                return Ok(identified);
            }
        }
        let content = file.content.as_mut().expect("it was opened");
        let known = file.known.as_mut().expect("it was identified");
        let mut rest = vec![0; CHUNK_BYTES];
        let length = content.read_at(&mut rest, known.offset)?;
        let offset = known.offset;
        self.assemble(known, |assembler, speaker, sink| {
            assembler.take_rest(&rest[..length], offset, speaker, sink);
        });
        known.offset += length as u64;
        Ok(Identified::Known)
    }

    /// The file was read to its end for good. It stays open until all of it is durable.
    fn complete(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        file.phase = Phase::Done;
        let group = Arc::clone(&file.found.group);
        if !std::mem::replace(&mut file.caught_up, true) {
            self.wake_group(&group);
        }
        self.closing.push(id);
        self.close_settled();
    }

    /// Whether no newer file can hold the rest of what this one holds at its end.
    fn will_not_go_on(&self, id: FileId) -> bool {
        let Some(file) = self.files.get(&id) else { return true };
        let next = self.next_newer(id);
        let Some(next) = next else { return file.gone };
        let started = next.known.as_ref().is_some_and(|known| !known.fresh);
        next.found.part != file.found.part || started || next.phase == Phase::Done
    }

    /// The next newer file of its group that may have something in it, and of which this one is no copy.
    pub(super) fn next_newer(&self, id: FileId) -> Option<&TailFile> {
        let group = self.groups.get(&self.files.get(&id)?.found.group)?;
        let newer = group.iter().skip_while(|other| **other != id).skip(1);
        newer.filter_map(|other| self.files.get(other)).find(|other| {
            let stays_empty = other.phase == Phase::Done && other.is_empty();
            other.phase != Phase::Alias && !stays_empty
        })
    }

    /// Gives out what a file holds of a line that will not be completed.
    pub(super) fn flush_held(&mut self, id: FileId) {
        if let Some(mut file) = self.files.remove(&id) {
            self.flush_file(&mut file);
            self.files.insert(id, file);
        }
    }

    pub(super) fn flush_file(&mut self, file: &mut TailFile) {
        let Some(known) = &mut file.known else { return };
        self.assemble(known, Assembler::flush);
    }

    /// Lets an assembler write into the batch.
    fn assemble(
        &mut self,
        known: &mut Known,
        work: impl FnOnce(&mut Assembler, &mut Speaker, &mut Sink<'_>),
    ) {
        let nothing = RangeSet::new();
        let mut sink = Sink {
            batch: &mut self.batch,
            writer: &mut self.writer,
            buffer: &mut self.buffer,
            observed: self.context.clock.now(),
            acked: self.offsets.get(known.source).map_or(&nothing, |progress| &progress.acked),
            counts: &mut self.counts,
            spanning: &mut self.spanning,
        };
        work(&mut known.assembler, &mut known.speaker, &mut sink);
    }

    /// Closes files that are done and durable, or missed for good, and forgets those that are gone.
    pub(super) fn close_settled(&mut self) {
        for id in std::mem::take(&mut self.closing) {
            let Some(file) = self.files.get(&id) else { continue };
            if file.phase != Phase::Done {
                continue;
            }
            if file.holds() && self.will_not_go_on(id) {
                self.flush_held(id);
            }
            let file = &self.files[&id];
            let settled = file.known.as_ref().is_none_or(|known| {
                self.offsets.is_over(known.source, known.offset) && !known.assembler.holds()
            });
            if !settled {
                self.closing.push(id);
                continue;
            }
            let gone = file.gone;
            self.close(id);
            if gone {
                self.remove(id);
            }
        }
    }

    pub(super) fn open(&mut self, file: &mut TailFile) -> io::Result<()> {
        if file.content.is_some() {
            return Ok(());
        }
        if self.open_files >= self.open_files_max {
            self.close_one();
        }
        file.content = Some(self.content(&file.found)?);
        self.open_files += 1;
        Ok(())
    }

    /// Opens a file, and nothing else in its place.
    pub(super) fn content(&self, found: &FoundFile) -> io::Result<Content> {
        let FoundFile { path, gzip, .. } = found;
        match self.layout.confines(path) {
            Some(folder) => Content::open_beneath(&folder, path, *gzip),
            None => Content::open(path, *gzip),
        }
    }

    /// Closes the file that was quiet for longest; its watch and the sweeps go on looking at it.
    fn close_one(&mut self) {
        let quiet = self
            .files
            .iter()
            .filter(|(_, file)| file.phase == Phase::Idle && file.content.is_some() && !file.gone);
        if let Some(id) = quiet.min_by_key(|(_, file)| file.used).map(|(id, _)| *id) {
            self.close(id);
        }
    }

    pub(super) fn close(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id)
            && file.content.take().is_some()
        {
            self.open_files -= 1;
        }
    }

    /// Something is wrong with a file: told once, tried again at the next sweep. Others are not concerned.
    fn fail(&mut self, id: FileId, error: &io::Error) {
        self.close(id);
        let Some(file) = self.files.get_mut(&id) else { return };
        file.phase = Phase::Failed;
        let group = Arc::clone(&file.found.group);
        let gone = file.gone;
        file.failures += 1;
        // A file that is being compressed ends too early for a moment.
        let early = error.kind() == io::ErrorKind::UnexpectedEof && file.failures < FAILURES_EARLY;
        // A sweep that did not see it either has found what became of it, or cannot find out.
        let seen = file.round == self.round;
        file.missing = error.kind() == io::ErrorKind::NotFound && !gone && seen;
        if file.missing {
            // Renamed or compressed since it was found; newer files wait until it is known what became of it.
            self.sweep_soon();
        } else if !early {
            let first = file.told.replace(error.kind()) != Some(error.kind());
            let (input, path) = (&self.context.name, file.path().display().to_string());
            self.meters.error(reason(error.kind()));
            if first {
                tracing::warn!(input, path, "cannot read file; will try again: {error}");
            }
        }
        if gone {
            self.count_lost(id, "file was removed, and cannot be read to its end");
            self.flush_held(id);
            self.remove(id);
        }
        self.wake_group(&group);
    }
}

fn reason(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "permission",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => "damaged",
        _ => "read",
    }
}
