//! How far each source is durable at the next hop, kept in one small file that survives anything.
//!
//! Owns: the ranges that were acknowledged, when they are saved, when they are forgotten; the file's format
//! ([`format`], docs/FORMATS.md).
//! Does not own: reading, deciding which source a file is.
//! Invariant: a range is here only after its batch was reported durable, so what the file says was read is kept
//! somewhere; losing the file costs reading again, never data.

mod format;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_disk::{Disk, ErrorKind, read_all, write_atomic};
use sawyer_model::{Count, RangeSet, SeqRange, SourceId, Tally, Timestamp};
use sawyer_telemetry::{Books, Ends, Ledger, SourceFates};
use xxhash_rust::xxh3::xxh3_64;

use format::Contents;

#[cfg(test)]
mod tests;

/// The file's name in the input's state folder.
pub(crate) const FILE: &str = "offsets";

/// Largest offsets file that is read; more than a hundred thousand sources fit. A larger one is no file of ours.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Shortest time between two saves. Longer would mean more lines read twice after a crash, shorter more syncs.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes written per second at most, averaged: with very many sources the file is saved less often.
const SAVE_BYTES_PER_SECOND_MAX: u64 = 1 << 20;

/// How exactly the file tells when a source was seen last.
const SEEN_PRECISION: Duration = Duration::from_secs(3600);

/// Most bytes of a file's beginning that tell it from others.
pub(crate) const HEAD_BYTES_MAX: usize = 1024;

/// Most files that were not read to their end of which the offsets file tells. It grows by a megabyte or so by that.
pub(crate) const UNREAD_MAX: usize = 4096;

/// The beginning of a file: as much of it as was there when it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    len: u16,
    hash: u64,
}

impl Head {
    /// Of a file that begins with these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        Self { len: bytes.len() as u16, hash: xxh3_64(bytes) }
    }

    /// Whether a file that begins with these bytes can be the same one: it may have grown, not changed.
    pub(crate) fn matches(self, bytes: &[u8]) -> bool {
        bytes.get(..self.len as usize).is_some_and(|bytes| xxh3_64(bytes) == self.hash)
    }

    /// Whether it is as long as it gets.
    pub(crate) fn is_full(self) -> bool {
        self.len as usize == HEAD_BYTES_MAX
    }
}

/// What is known of one source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// What need not be given out again: it is durable at the next hop, or was missed.
    pub(crate) acked: RangeSet,
    /// The rotation family of its file: one container, one log.
    pub(crate) group: Box<str>,
    /// Where it was seen last.
    pub(crate) inode: (u64, u64),
    /// How it begins.
    pub(crate) head: Head,
    /// When it was seen last.
    pub(crate) seen: Timestamp,
    /// Its file was cut and holds something else now.
    pub(crate) superseded: bool,
    /// Parts of it that were sent and not yet reported. Not kept over a restart.
    pub(crate) in_flight: u32,
    /// What of that is not durable: somebody should have it who has ended. Nothing more becomes of it before the next
    /// start, which reads it again. Not kept over a restart.
    pub(crate) missed: RangeSet,
}

impl Progress {
    /// Nothing below this need be given out again.
    pub(crate) fn watermark(&self) -> u64 {
        self.acked.first_missing(0)
    }

    /// What is durable at the next hop.
    pub(crate) fn durable(&self) -> impl Iterator<Item = SeqRange> {
        self.acked.iter().flat_map(|range| self.missed.missing(range))
    }

    /// Everything below this is durable.
    pub(crate) fn durable_watermark(&self) -> u64 {
        self.durable().next().filter(|range| range.start == 0).map_or(0, |range| range.end)
    }
}

/// A file that was not read to its end when it was last looked at, or to which a link led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// The rotation family of the file.
    pub(crate) group: Box<str>,
    /// Where it was.
    pub(crate) path: Box<str>,
    pub(crate) inode: (u64, u64),
    /// How it begins on disk.
    pub(crate) head: Head,
    /// Its bytes on disk.
    pub(crate) length: u64,
    /// How many of them are not durable at the next hop.
    pub(crate) unread: u64,
    /// Whether it is compressed.
    pub(crate) gzip: bool,
    /// Whether it was found by a link: that may lead elsewhere at the next start, when more may be in it.
    pub(crate) linked: bool,
}

/// What was found when the offsets were opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file: the first start.
    Nothing,
    /// The offsets of so many sources.
    Sources(usize),
    /// A file that cannot be used, and why. It was set aside under this name.
    Damaged(String, String),
}

/// The offsets of one input.
#[derive(Debug)]
pub(crate) struct Offsets {
    disk: Arc<dyn Disk>,
    sources: HashMap<SourceId, Progress>,
    /// The books of the input, as they were read; then the ledger has them.
    books: Books,
    /// Of what is in the books, what is of single sources.
    fates: SourceFates,
    ledger: Option<(Ledger, String)>,
    unread: Vec<Unread>,
    changed: bool,
    /// By the clock that nobody can turn.
    next_save: Instant,
}

impl Offsets {
    /// Reads the file, if there is one.
    pub(crate) fn open(disk: &Arc<dyn Disk>, now: Timestamp) -> sawyer_disk::Result<(Self, Found)> {
        disk.create_dir_all(Path::new(""))?;
        let with_all = |Contents { sources, books, fates, unread }| Self {
            disk: Arc::clone(disk),
            sources,
            books,
            fates,
            ledger: None,
            unread,
            changed: false,
            next_save: Instant::now(),
        };
        let new = || with_all(Contents::default());
        let bytes = match read_all(&**disk, Path::new(FILE), FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok((new(), Found::Nothing)),
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                let aside = set_aside(&**disk, now)?;
                return Ok((new(), Found::Damaged(error.to_string(), aside)));
            }
            Err(error) => return Err(error),
        };
        match format::decode(&bytes) {
            Ok(contents) => {
                let count = contents.sources.len();
                Ok((with_all(contents), Found::Sources(count)))
            }
            Err(error) => {
                let aside = set_aside(&**disk, now)?;
                Ok((new(), Found::Damaged(error.to_string(), aside)))
            }
        }
    }

    /// Keeps the books of this input beside the offsets from now on. Where there are none, those that were kept elsewhere go
    /// on.
    pub(crate) fn keep_books(&mut self, ledger: &Ledger, input: &str) {
        if self.books == Books::default() {
            self.books = ledger.of(input);
        }
        ledger.open_elsewhere(input, self.books.clone());
        self.ledger = Some((ledger.clone(), input.to_owned()));
    }

    /// Books what became of a batch, in the same save as its ranges.
    pub(crate) fn book(&mut self, tally: &Tally) {
        if let Some((ledger, _)) = &self.ledger {
            ledger.book(tally);
            self.fates.book(tally, |source| self.sources.contains_key(&source));
            self.changed = true;
        }
    }

    /// What became of the records of a source that were not delivered or buffered.
    pub(crate) fn left_out(&self, source: SourceId) -> Ends {
        self.fates.of(source)
    }

    /// What became of others, and how many records and bytes more are told of single sources than are in the books.
    pub(crate) fn left_out_of_others(&self) -> (Ends, Count) {
        let books = self.ledger.as_ref().map(|(ledger, input)| ledger.of(input));
        self.fates.others(books.as_ref().unwrap_or(&self.books))
    }

    /// What is known of a source.
    pub(crate) fn get(&self, source: SourceId) -> Option<&Progress> {
        self.sources.get(&source)
    }

    /// How many of a source's first bytes are durable.
    pub(crate) fn durable_bytes(&self, source: SourceId, length: u64) -> u64 {
        let ranges = self.get(source).into_iter().flat_map(Progress::durable);
        ranges.map(|range| range.end.min(length).saturating_sub(range.start)).sum()
    }

    /// The files that were not read to their end.
    pub(crate) fn unread(&self) -> &[Unread] {
        &self.unread
    }

    /// Takes note of the files that are not read to their end.
    pub(crate) fn set_unread(&mut self, unread: Vec<Unread>) {
        self.changed |= self.unread != unread;
        self.unread = unread;
    }

    /// All sources.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SourceId, &Progress)> {
        self.sources.iter().map(|(source, progress)| (*source, progress))
    }

    /// What is known of a source, to be changed; a new one is made if need be.
    pub(crate) fn edit(&mut self, source: SourceId) -> &mut Progress {
        self.changed = true;
        self.sources.entry(source).or_default()
    }

    /// Forgets a source.
    pub(crate) fn remove(&mut self, source: SourceId) -> Option<Progress> {
        let removed = self.sources.remove(&source);
        self.fates.remove(source);
        self.changed |= removed.is_some();
        removed
    }

    /// A part was sent.
    pub(crate) fn sent(&mut self, source: SourceId) {
        self.sources.entry(source).or_default().in_flight += 1;
    }

    /// A part that was sent was reported.
    pub(crate) fn landed(&mut self, source: SourceId, durable: Option<SeqRange>) {
        let Some(progress) = self.sources.get_mut(&source) else { return };
        progress.in_flight = progress.in_flight.saturating_sub(1);
        if let Some(range) = durable {
            progress.acked.insert(range);
            self.changed = true;
        }
    }

    /// A part that was sent was not taken by somebody who has ended.
    pub(crate) fn missed(&mut self, source: SourceId, range: SeqRange) {
        self.landed(source, Some(range));
        if let Some(progress) = self.sources.get_mut(&source) {
            progress.missed.insert(range);
        }
    }

    /// Whether a part of a source need not be given out again; so it is with one of which nothing is known any more.
    pub(crate) fn is_acked(&self, (source, range): (SourceId, SeqRange)) -> bool {
        self.get(source).is_none_or(|progress| progress.acked.contains(range))
    }

    /// Whether nothing more will become of a source up to `end`: it is durable, or was missed for good.
    pub(crate) fn is_over(&self, source: SourceId, end: u64) -> bool {
        self.get(source).is_none_or(|progress| progress.in_flight == 0 && progress.watermark() >= end)
    }

    /// Whether all of a source up to `end` is durable and nothing of it is on its way.
    pub(crate) fn is_settled(&self, source: SourceId, end: u64) -> bool {
        let is_durable = |progress: &Progress| progress.durable_watermark() >= end;
        self.get(source).is_none_or(|progress| progress.in_flight == 0 && is_durable(progress))
    }

    /// The source was seen on disk just now.
    pub(crate) fn touch(&mut self, source: SourceId, now: Timestamp) {
        if let Some(progress) = self.sources.get_mut(&source) {
            // The date needs little precision, and is not worth a save every time.
            self.changed |= now.since(progress.seen) > SEEN_PRECISION && progress.seen != now;
            if self.changed {
                progress.seen = now;
            }
        }
    }

    /// Forgets sources that were not seen for so long.
    pub(crate) fn forget(&mut self, now: Timestamp, after: Duration) {
        let before = self.sources.len();
        self.sources.retain(|_, progress| progress.in_flight > 0 || now.since(progress.seen) < after);
        if self.sources.len() != before {
            self.fates.retain(|source| self.sources.contains_key(&source));
            self.changed = true;
        }
    }

    /// Whether there is something to save, and when it may be.
    pub(crate) fn save_due(&self) -> Option<Instant> {
        self.changed.then_some(self.next_save)
    }

    /// Saves if something changed.
    pub(crate) fn save(&mut self) -> sawyer_disk::Result<()> {
        if !self.changed {
            return Ok(());
        }
        if let Some((ledger, input)) = &self.ledger {
            self.books = ledger.of(input);
        }
        let bytes = format::encode(&self.sources, &self.books, &self.fates, &self.unread);
        let pause = Duration::from_millis(bytes.len() as u64 * 1000 / SAVE_BYTES_PER_SECOND_MAX);
        self.next_save = Instant::now() + SAVE_INTERVAL.max(pause);
        write_atomic(&*self.disk, Path::new(FILE), &bytes)?;
        self.changed = false;
        Ok(())
    }
}

/// Reads a file and writes what was in it, whatever its checksum; none if it is no offsets file.
pub(crate) fn again(bytes: &[u8]) -> Option<Vec<u8>> {
    let Contents { sources, books, fates, unread } =
        format::decode(&format::with_checksum(bytes.to_vec())).ok()?;
    Some(format::encode(&sources, &books, &fates, &unread))
}

fn set_aside(disk: &dyn Disk, now: Timestamp) -> sawyer_disk::Result<String> {
    let aside = format!("{FILE}.damaged-{}", now.millis());
    disk.rename(Path::new(FILE), Path::new(&aside))?;
    disk.sync_dir(Path::new(""))?;
    Ok(aside)
}
