//! One file that is followed.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sawyer_model::{SourceId, Stream};

use super::content::Content;
use super::layout::{FoundFile, Rotation};
use super::lines::{Assembler, Form};
use super::speaker::Speaker;
use super::watch::FileId;
use crate::offsets::Head;

/// What a file is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its turn.
    Ready,
    /// Older files of its group.
    Blocked,
    /// More, soon: it was at its end this many ticks.
    Warm(u32),
    /// More, some day.
    Idle,
    /// Another file that has the same content.
    Alias,
    /// The next sweep: something was wrong with it.
    Failed,
    /// Nothing: it was read to its end and nobody writes it any more.
    Done,
}

#[derive(Debug)]
pub(super) struct TailFile {
    pub(super) found: FoundFile,
    pub(super) phase: Phase,
    /// The number of the sweep that saw it last.
    pub(super) round: u64,
    /// Whether it was there at the first sweep.
    pub(super) initial: bool,
    /// Whether it has no name any more that concerns us.
    pub(super) gone: bool,
    /// Whether it is in the list of those that are looked at with every tick.
    pub(super) listed: bool,
    /// Whether it was read to its end once, so that newer files of its group may be read.
    pub(super) caught_up: bool,
    pub(super) content: Option<Content>,
    pub(super) used: Instant,
    /// Its length and the time it was written when it was last read.
    pub(super) seen: (u64, i64),
    /// Turns that failed one after the other.
    pub(super) failures: u32,
    /// The kind of error that was last told of, so that each is told once.
    pub(super) told: Option<std::io::ErrorKind>,
    /// Whether it was not where it was found, and the next sweep has not looked yet.
    pub(super) missing: bool,
    /// Up to where its disk space was given back.
    pub(super) freed: u64,
    /// Whether it could not be rotated when that was last tried.
    pub(super) rotate_failed: bool,
    /// How it begins on disk, if that was looked at.
    pub(super) raw_head: Head,
    pub(super) known: Option<Known>,
    /// The file that has the same content and is read instead, if there is one.
    pub(super) copy_of: Option<FileId>,
    /// Whether its lines are not wanted, for the time being.
    pub(super) unwanted: bool,
    /// Bytes that were read and were nowhere at the last sweep, and those that were so at the one before, too.
    pub(super) nowhere: u64,
    pub(super) unaccounted: u64,
}

/// What is known of a file once its beginning was read.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) source: SourceId,
    pub(super) head: Head,
    /// Who speaks, by the file's place alone.
    pub(super) identity: Arc<Stream>,
    /// Since when it is known who speaks, and by which version of the answers more was told, if any was waited for.
    pub(super) since: Instant,
    pub(super) told: Option<u64>,
    pub(super) form: Form,
    pub(super) speaker: Speaker,
    /// Where the next line begins.
    pub(super) offset: u64,
    pub(super) assembler: Assembler,
    /// Whether nothing was given to the assembler yet.
    pub(super) fresh: bool,
}

impl TailFile {
    pub(super) fn new(found: FoundFile, round: u64, initial: bool) -> Self {
        Self {
            found,
            phase: Phase::Ready,
            round,
            initial,
            gone: false,
            listed: false,
            caught_up: false,
            content: None,
            used: Instant::now(),
            seen: (0, 0),
            failures: 0,
            told: None,
            missing: false,
            freed: 0,
            rotate_failed: false,
            raw_head: Head::default(),
            known: None,
            copy_of: None,
            unwanted: false,
            nowhere: 0,
            unaccounted: 0,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.found.path
    }

    pub(super) fn is_live(&self) -> bool {
        self.found.rotation == Rotation::Live && !self.gone
    }

    /// Whether newer files of its group have to wait for it.
    pub(super) fn blocks(&self) -> bool {
        match self.phase {
            Phase::Alias | Phase::Done => false,
            Phase::Failed => self.missing && !self.caught_up,
            _ => !self.caught_up,
        }
    }

    /// Whether nothing was ever in it.
    pub(super) fn is_empty(&self) -> bool {
        // Nothing is known of a compressed file that was read to its end only if it had nothing in it.
        let has_none = match self.found.gzip {
            true => self.phase == Phase::Done,
            false => self.found.stat.bytes.max(self.seen.0) == 0 && !self.has_grown(),
        };
        self.known.is_none() && has_none
    }

    pub(super) fn holds(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.assembler.holds())
    }

    /// Whether it holds more than was there when it was last read.
    pub(super) fn has_grown(&self) -> bool {
        let open = self.content.as_ref().filter(|_| !self.found.gzip);
        open.and_then(|content| content.stat().ok()).is_some_and(|stat| stat.state() != self.seen)
    }

    /// Bytes on disk that were not read yet, as far as that can be said.
    pub(super) fn behind(&self) -> u64 {
        if self.found.gzip || self.unwanted || matches!(self.phase, Phase::Alias | Phase::Done) {
            return 0;
        }
        let read = self.known.as_ref().map_or(0, |known| known.offset);
        self.found.stat.bytes.max(self.seen.0).saturating_sub(read)
    }

    /// Bytes on disk that were not read, of a compressed file too.
    pub(super) fn unread(&self) -> u64 {
        let untouched = self.found.gzip && !self.caught_up && !self.unwanted;
        if untouched && !matches!(self.phase, Phase::Alias | Phase::Done) {
            self.found.stat.bytes
        } else {
            self.behind()
        }
    }

    /// Whether what a sweep found can be this file under another name: files are rotated, never the other way.
    pub(super) fn can_become(&self, found: &FoundFile) -> bool {
        let own = &self.found;
        self.content.is_some()
            || (own.group == found.group
                && own.part == found.part
                && own.gzip == found.gzip
                && (own.rotation == Rotation::Live || found.rotation != Rotation::Live))
    }
}
