//! One journal file that is being read.
//!
//! Invariant: reading goes on where it was, also after the file was renamed or removed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sawyer_codec::journal::record::source_of;
use sawyer_codec::journal::{Entry, Header, Journal, JournalError, Position, ReadAt, State};
use sawyer_model::{RangeSet, SourceId};

use crate::tail::FileStat;
use crate::tail::watch::FileId;

/// Positioned reading of a file.
#[derive(Debug)]
pub(super) struct Bytes(pub(super) File);

impl ReadAt for Bytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// An open journal file.
#[derive(Debug)]
pub(super) struct JournalFile {
    pub(super) id: FileId,
    pub(super) source: SourceId,
    journal: Journal<Bytes>,
    /// A second descriptor of the same file, to watch it by.
    file: File,
    position: Position,
    /// Whether all that is known to be in it was read.
    pub(super) at_end: bool,
    /// The number of the sweep that saw it last.
    pub(super) round: u64,
    /// The number of the last sweep after which it was read to its end.
    pub(super) ended_in: u64,
}

impl JournalFile {
    /// Opens a file and finds the first entry that is not in `acked`.
    pub(super) fn open(path: &Path, id: FileId, round: u64) -> Result<Self, JournalError> {
        let read = |source| JournalError::Read { offset: 0, source };
        let file = File::open(path).map_err(read)?;
        let journal = Journal::open(Bytes(file.try_clone().map_err(read)?))?;
        let source = source_of(journal.header());
        let position = journal.start();
        Ok(Self { id, source, journal, file, position, at_end: false, round, ended_in: 0 })
    }

    pub(super) fn header(&self) -> &Header {
        self.journal.header()
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn stat(&self) -> io::Result<FileStat> {
        Ok(FileStat::from(&self.file.metadata()?))
    }

    /// Whether journald may still add to it.
    pub(super) fn is_live(&self) -> bool {
        self.header().state == State::Online
    }

    /// Goes to the first entry that is not durable yet.
    pub(super) fn rewind(&mut self, acked: &RangeSet) -> Result<(), JournalError> {
        self.at_end = false;
        let first = acked.first_missing(self.header().head_seqnum);
        self.position = match first.checked_sub(1) {
            Some(last) if first > self.header().head_seqnum => self.journal.after(last)?,
            _ => self.journal.start(),
        };
        Ok(())
    }

    /// Looks whether something was added.
    pub(super) fn refresh(&mut self) -> Result<bool, JournalError> {
        let before = self.header().entry_count;
        self.journal.refresh()?;
        let more = self.header().entry_count > before;
        self.at_end &= !more;
        Ok(more)
    }

    /// The next entry; `false` at the end.
    pub(super) fn next(&mut self, entry: &mut Entry) -> Result<bool, JournalError> {
        let there = self.journal.next(&mut self.position, entry);
        self.at_end = matches!(there, Ok(false));
        there
    }
}
