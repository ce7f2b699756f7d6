//! One journal file that is being read.
//!
//! Invariant: reading goes on where it was, also after the file was renamed or removed, and where the system could not read:
//! what cannot be read for a moment is not passed over.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sawyer_codec::journal::record::source_of;
use sawyer_codec::journal::{Entry, EntryName, Header, Journal, JournalError, Position, ReadAt, State};
use sawyer_model::{RangeSet, SourceId};

use crate::tail::FileStat;
use crate::tail::watch::FileId;

/// Positioned reading of a file.
#[derive(Debug)]
pub(super) struct Bytes(pub(super) File);

impl ReadAt for Bytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if FAULTS.get() > 0 {
            FAULTS.set(FAULTS.get() - 1);
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.read_exact_at(buffer, offset)
    }
}

/// How often it is tried to read what the system could not read, once in each sweep.
const FAILURES_MAX: u32 = 5;

/// An open journal file.
#[derive(Debug)]
pub(super) struct JournalFile {
    pub(super) id: FileId,
    pub(super) source: SourceId,
    /// The name of the folder it lies in: the machine's id, with the namespace if it is of one.
    pub(super) folder: OsString,
    journal: Journal<Bytes>,
    /// A second descriptor of the same file, to watch it by.
    file: File,
    position: Position,
    /// How often in a row the system could not read what comes next.
    failures: u32,
    /// Whether all that is known to be in it was read, or nothing is to be read until it is looked at again.
    pub(super) at_end: bool,
    /// The number of the sweep that saw it last.
    pub(super) round: u64,
    /// The number of the last sweep after which it was read to its end.
    pub(super) ended_in: u64,
}

impl JournalFile {
    /// Opens a file; it is read from its first entry on.
    pub(super) fn open(path: &Path, id: FileId, round: u64) -> Result<Self, JournalError> {
        let read = |source| JournalError::Read { offset: 0, source };
        let file = File::open(path).map_err(read)?;
        let journal = Journal::open(Bytes(file.try_clone().map_err(read)?))?;
        let source = source_of(journal.header());
        let position = journal.start();
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_owned();
        Ok(Self {
            id,
            source,
            folder,
            journal,
            file,
            position,
            failures: 0,
            at_end: false,
            round,
            ended_in: 0,
        })
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
        (self.at_end, self.failures) = (false, 0);
        let first = acked.first_missing(self.header().head_seqnum);
        self.position = match first.checked_sub(1) {
            Some(last) if first > self.header().head_seqnum => self.journal.after(last)?,
            _ => self.journal.start(),
        };
        Ok(())
    }

    /// Everything below this number was passed on by somebody who had come to an entry: that of the same sequence up to it, of
    /// others what is surely before it.
    pub(super) fn passed_to(&self, cursor: &EntryName) -> Result<u64, JournalError> {
        if cursor.seqnum_id == self.header().seqnum_id {
            return Ok(cursor.seqnum.saturating_add(1));
        }
        let (_, last) = self.journal.divide(|entry| entry.is_before(cursor))?;
        Ok(last.map_or(0, |last| last.seqnum.saturating_add(1)))
    }

    /// Looks whether something was added.
    pub(super) fn refresh(&mut self) -> Result<bool, JournalError> {
        let before = self.header().entry_count;
        self.journal.refresh()?;
        let more = self.header().entry_count > before;
        self.at_end &= !more || self.waits();
        Ok(more)
    }

    /// The next entry; `false` at the end. What the system cannot read is passed over after some tries only.
    pub(super) fn next(&mut self, entry: &mut Entry) -> Result<bool, JournalError> {
        let before = self.position;
        let there = self.journal.next(&mut self.position, entry);
        if self.failures < FAILURES_MAX && there.as_ref().is_err_and(is_of_system) {
            self.position = before;
            self.failures += 1;
            self.at_end = true;
            return there;
        }
        self.failures = 0;
        self.at_end = matches!(there, Ok(false));
        there
    }

    /// Whether there is something that could not be read when it was tried last.
    pub(super) fn waits(&self) -> bool {
        self.failures > 0
    }

    /// Lets it be read again after a failure.
    pub(super) fn try_again(&mut self) {
        self.at_end &= !self.waits();
    }

    /// The number of the last sweep after which it was read to its end, as of this one. One that was just added to was at
    /// its end since the sweep before all the same.
    pub(super) fn read_to_its_end_in(&self, round: u64) -> u64 {
        match (self.waits(), self.at_end) {
            (true, _) => 0,
            (false, true) => round,
            (false, false) => self.ended_in,
        }
    }
}

/// Whether reading failed, as it may not the next time; what is damaged stays so, and a file that ends early too.
fn is_of_system(error: &JournalError) -> bool {
    matches!(error, JournalError::Read { source, .. } if source.kind() != io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
thread_local! {
    /// How many reads fail from now on.
    static FAULTS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_cannot_be_read_for_a_moment_is_read_later() {
        let name = "data/generated-here/journal-252-zstd-keyed.journal.gz";
        let Some(path) = sawyer_testkit::shared(name) else { return };
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("system.journal");
        std::fs::write(&path, &bytes).unwrap();
        let mut entry = Entry::default();
        let mut all = |file: &mut JournalFile, faults: u32| {
            let (mut numbers, mut failures) = (Vec::new(), 0);
            loop {
                FAULTS.set(if numbers.len() == 5 && failures < faults { 1 } else { 0 });
                match file.next(&mut entry) {
                    Ok(true) => numbers.push(entry.seqnum),
                    Ok(false) => return (numbers, failures),
                    Err(_) => {
                        failures += 1;
                        if file.waits() {
                            assert_eq!((file.at_end, file.read_to_its_end_in(9)), (true, 0));
                            file.try_again();
                        }
                        assert!(!file.at_end);
                    }
                }
            }
        };
        let mut open = |faults| all(&mut JournalFile::open(&path, 0, 1).unwrap(), faults);
        let (numbers, failures) = open(0);
        assert!(numbers.len() > 10 && failures == 0, "{} {failures}", numbers.len());
        assert_eq!(open(FAILURES_MAX), (numbers.clone(), FAILURES_MAX));
        // What stays so is passed over: here it is the chain of entries, so that nothing comes behind it.
        assert_eq!(open(u32::MAX), (numbers[..5].to_vec(), FAILURES_MAX + 1));
    }
}
