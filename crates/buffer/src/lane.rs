//! What lies in one lane: the index in memory, without any I/O.
//!
//! Owns: which entries wait, which were taken, which are done, and which file holds which.
//! Does not own: files themselves (`write`, `read`), the record of what is done on disk (`acks`).
//! Invariant: a file holds the sequence numbers from its own number up to that of the next file, exclusive; what
//! else stands in it was written again elsewhere and is ignored.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sawyer_disk::File;
use sawyer_model::{RangeSet, SeqRange, Timestamp};

use crate::entry::{Head, Note, OVERHEAD_BYTES, Place};

/// What a payload was made of, for whoever takes it out and would have to make it again.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) what: Arc<dyn Any + Send + Sync>,
    /// Memory that it takes; an entry says nothing of that.
    pub(crate) bytes: u64,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

/// Note and payload of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) note: Note,
    pub(crate) payload: Bytes,
}

impl Content {
    /// Bytes that an entry with this content takes.
    pub(crate) fn entry_bytes(&self) -> u64 {
        (OVERHEAD_BYTES + self.note.len() + self.payload.len()) as u64
    }
}

/// An entry that is not done.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) head: Head,
    /// Where it is on disk; none in a buffer in memory.
    pub(crate) place: Option<Place>,
    /// Bytes that it counts.
    pub(crate) bytes: u64,
    /// What is in it, if that is in memory.
    pub(crate) content: Option<Content>,
    /// What its payload was made of, instead of that.
    pub(crate) live: Option<Live>,
    /// How often it could not be read.
    pub(crate) read_failures: u8,
    /// How often it was taken since the buffer was opened.
    pub(crate) deliveries: u32,
}

/// What is known about a file.
#[derive(Debug, Default)]
pub(crate) struct FileIndex {
    /// Bytes that it counts while its entries are not known.
    pub(crate) unscanned_bytes: Option<u64>,
    /// Entries in it that are not done.
    pub(crate) live: usize,
    /// It is being written, so it stays.
    pub(crate) active: bool,
    /// It could not be read: it stays until the next start.
    pub(crate) aside: bool,
    pub(crate) scan_failures: u8,
    pub(crate) open: Option<Arc<dyn File>>,
}

/// The index of one lane.
#[derive(Debug, Default)]
pub(crate) struct LaneIndex {
    pub(crate) files: BTreeMap<u64, FileIndex>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) waiting: BTreeSet<u64>,
    /// Bytes of those that wait.
    pub(crate) waiting_bytes: u64,
    /// Entries that could not be read and wait for the next start.
    pub(crate) aside: usize,
    /// Sequence numbers that are done.
    pub(crate) done: RangeSet,
    /// Those of them that are not in the record on disk yet.
    pub(crate) unsaved: RangeSet,
    /// Bytes of entries that are not done.
    pub(crate) bytes: u64,
    pub(crate) next_seq: u64,
    /// Entries that were taken and are on their way to where the next one goes.
    pub(crate) handing: usize,
    /// Records that were put in or found, and those of them that are not done.
    pub(crate) seen_records: u64,
    pub(crate) held_records: u64,
}

impl LaneIndex {
    /// Puts in an entry that waits, or was taken already.
    pub(crate) fn publish(&mut self, entry: Entry, waits: bool) {
        let seq = entry.head.seq;
        if let Some(file) = entry.place.and_then(|place| self.files.get_mut(&place.file)) {
            file.live += 1;
        }
        self.bytes += entry.bytes;
        self.seen_records += u64::from(entry.head.records);
        self.held_records += u64::from(entry.head.records);
        self.next_seq = self.next_seq.max(seq + 1);
        self.entries.insert(seq, entry);
        if waits {
            self.start_waiting(seq);
        }
    }

    /// An entry may be taken.
    pub(crate) fn start_waiting(&mut self, seq: u64) {
        if let Some(entry) = self.entries.get(&seq)
            && self.waiting.insert(seq)
        {
            self.waiting_bytes += entry.bytes;
        }
    }

    /// An entry may not be taken any more.
    pub(crate) fn stop_waiting(&mut self, seq: u64) {
        if self.waiting.remove(&seq)
            && let Some(entry) = self.entries.get(&seq)
        {
            self.waiting_bytes -= entry.bytes;
        }
    }

    /// Takes out an entry that is done.
    pub(crate) fn finish(&mut self, seq: u64) -> Option<Entry> {
        self.stop_waiting(seq);
        let entry = self.entries.remove(&seq)?;
        if let Some(file) = entry.place.and_then(|place| self.files.get_mut(&place.file)) {
            file.live -= 1;
        }
        self.bytes -= entry.bytes;
        self.held_records -= u64::from(entry.head.records);
        self.mark_done(SeqRange::new(seq, seq + 1));
        Some(entry)
    }

    fn mark_done(&mut self, range: SeqRange) {
        if self.done.insert(range) > 0 {
            self.unsaved.insert(range);
        }
    }

    /// Bytes that can be shed: of entries that wait, and of files not looked at yet.
    pub(crate) fn sheddable_bytes(&self) -> u64 {
        let unscanned: u64 = self.files.values().filter_map(|file| file.unscanned_bytes).sum();
        self.waiting_bytes + unscanned
    }

    /// Bytes of entries that do not wait: those that were taken, mostly.
    pub(crate) fn taken_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.sheddable_bytes())
    }

    /// Entries that were taken and are neither done nor given back.
    pub(crate) fn in_flight(&self) -> usize {
        self.entries.len() - self.waiting.len() - self.aside
    }

    /// Whether whatever is put in elsewhere now comes behind all that was put in here.
    pub(crate) fn is_clear(&self) -> bool {
        let unscanned = self.files.values().any(|file| file.unscanned_bytes.is_some());
        self.waiting.is_empty() && self.handing == 0 && !unscanned
    }

    /// The file whose entries have to be known before the next entry is.
    pub(crate) fn unscanned_before_next(&self) -> Option<u64> {
        let next = self.waiting.first().copied().unwrap_or(u64::MAX);
        let mut files = self.files.range(..=next).filter(|(_, file)| file.unscanned_bytes.is_some());
        files.next().map(|(number, _)| *number)
    }

    /// The numbers that a file holds.
    pub(crate) fn numbers_of(&self, file: u64) -> SeqRange {
        let after = self.files.range(file + 1..).next().map(|(number, _)| *number);
        SeqRange::new(file, after.unwrap_or(self.next_seq.max(file + 1)))
    }

    /// A file of an earlier process, whose entries are not known yet.
    pub(crate) fn add_unscanned(&mut self, number: u64, len: u64) {
        self.bytes += len;
        self.files.insert(number, FileIndex { unscanned_bytes: Some(len), ..FileIndex::default() });
        self.next_seq = self.next_seq.max(number + 1);
    }

    /// The entries of a file are known now.
    pub(crate) fn scanned(&mut self, number: u64, entries: Vec<Entry>) {
        let Some(len) = self.files.get_mut(&number).and_then(|file| file.unscanned_bytes.take()) else {
            return;
        };
        self.bytes -= len;
        let numbers = self.numbers_of(number);
        let is_last = self.files.last_key_value().is_some_and(|(last, _)| *last == number);
        for entry in entries {
            let seq = entry.head.seq;
            let belongs = seq >= numbers.start && (is_last || seq < numbers.end);
            if belongs && !self.done.contains(SeqRange::new(seq, seq + 1)) && !self.entries.contains_key(&seq)
            {
                self.publish(entry, true);
            } else if belongs {
                self.next_seq = self.next_seq.max(seq + 1);
            }
        }
    }

    /// Files that hold nothing any more.
    pub(crate) fn removable(&self) -> Vec<u64> {
        let done = |number: u64, file: &FileIndex| match file.unscanned_bytes {
            Some(_) => self.done.contains(self.numbers_of(number)),
            None => file.live == 0 && !file.active && !file.aside,
        };
        // Of the last file the numbers are known only when it was scanned, which opening does.
        self.files.iter().filter(|(number, file)| done(**number, file)).map(|(number, _)| *number).collect()
    }

    /// A file is gone. The numbers it had are done, so that ranges coalesce over what was never used.
    pub(crate) fn forget_file(&mut self, number: u64) {
        let numbers = self.numbers_of(number);
        if let Some(file) = self.files.remove(&number) {
            self.bytes -= file.unscanned_bytes.unwrap_or(0);
        }
        self.next_seq = self.next_seq.max(numbers.end);
        self.mark_done(numbers);
    }

    /// The oldest entry that waits.
    pub(crate) fn oldest_waiting(&self) -> Option<&Entry> {
        self.entries.get(self.waiting.first()?)
    }

    /// When the oldest entry that waits was put in.
    pub(crate) fn waits_since(&self) -> Option<Timestamp> {
        self.oldest_waiting().map(|entry| entry.head.at)
    }
}
