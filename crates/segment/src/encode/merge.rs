//! Making one segment of several.
//!
//! Owns: [`merge`] and [`merge_without`]: going through the inputs side by side, one block of each in memory.
//! Does not own: which segments are merged (`store`).
//! Invariant: the segment has all records of the inputs, in the order in which [`super::encode`] puts them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashMap;
use sawyer_model::{Batch, Error, ErrorKind, SourceId, Stream, Timestamp};

use super::copy::{Copied, Numbers};
use super::sort::ordered;
use super::{EncodeSettings, RowPlace, Sink, Writer, count_32};
use crate::bits::Rows;
use crate::error::SegmentError;
use crate::layout::{Summary, VERSION_WITH_GROUPS};
use crate::segment::Segment;
use crate::zip;

/// An input of a merge that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Which one.
    pub input: usize,
    /// Why.
    pub error: Error,
}

/// Makes a segment of all records of these. What is in memory is a block of each of them, and one of the new
/// segment; its bytes go to `sink`, piece by piece.
///
/// # Errors
/// The first input that cannot be read; `Invalid` as for [`super::encode`]; those of the sink.
pub fn merge<E: From<Error> + From<Unreadable>>(
    inputs: &[&Segment],
    settings: &EncodeSettings,
    sink: Sink<'_, E>,
) -> Result<Summary, E> {
    merge_without(inputs, &[], settings, sink)
}

/// As [`merge`], without the rows in `removed`: for each input a set for each of its blocks, or nothing where all of
/// it stays. At least one row must stay. Streams and sources of removed rows stay in the footer.
///
/// # Errors
/// As for [`merge`].
pub fn merge_without<E: From<Error> + From<Unreadable>>(
    inputs: &[&Segment],
    removed: &[Vec<Rows>],
    settings: &EncodeSettings,
    sink: Sink<'_, E>,
) -> Result<Summary, E> {
    let rows: u64 = inputs.iter().map(|input| input.rows()).sum();
    count_32(usize::try_from(rows).unwrap_or(usize::MAX)).map_err(Error::from)?;
    let shared = Shared::of(inputs);
    let mut merge = Merge {
        writer: Writer::new(settings, sink),
        cursors: inputs
            .iter()
            .enumerate()
            .map(|(slot, segment)| Cursor::new(slot, segment, removed.get(slot).map_or(&[], Vec::as_slice)))
            .collect(),
        heap: BinaryHeap::with_capacity(inputs.len()),
        shared: &shared,
        // What groups keep once may come from rows that are removed.
        kept_bytes_min: removed.is_empty().then_some((settings.group_bytes_max / KEPT_PART) as u64),
        reached: 0,
    };
    zip::with_level(settings.zip_level, || {
        for slot in 0..inputs.len() {
            merge.wait_for_block(slot)?;
        }
        merge.run()?;
        merge.writer.finish(shared.streams.clone(), shared.sources.clone())
    })
}

/// A merge under way.
struct Merge<'a, 'w, E> {
    writer: Writer<'w, E>,
    cursors: Vec<Cursor<'a>>,
    /// For each input that is not at its end, the next row, or what comes no later than the next block.
    heap: BinaryHeap<Reverse<Key>>,
    shared: &'a Shared,
    /// Groups of so many bytes of text are copied as they are.
    kept_bytes_min: Option<u64>,
    /// Stream of the last row, or block, that was taken.
    reached: u32,
}

impl<E: From<Error> + From<Unreadable>> Merge<'_, '_, E> {
    fn run(&mut self) -> Result<(), E> {
        while let Some(Reverse(first)) = self.heap.pop() {
            self.reach(first)?;
            let cursor = &mut self.cursors[first.slot];
            if !cursor.is_loaded() {
                if self.copy_block(first.slot)? {
                    self.wait_for_block(first.slot)?;
                } else {
                    let cursor = &mut self.cursors[first.slot];
                    cursor.load(self.shared)?;
                    self.heap.push(Reverse(cursor.key(self.shared)?));
                }
            } else if self.take_rows(first)? {
                self.writer.forget_slot(first.slot);
                self.wait_for_block(first.slot)?;
            }
        }
        Ok(())
    }

    /// Takes rows of one input as long as they come first; says whether its block is used up.
    fn take_rows(&mut self, mut key: Key) -> Result<bool, E> {
        loop {
            self.reach(key)?;
            let cursor = &mut self.cursors[key.slot];
            let place = RowPlace { slot: key.slot, stream: key.stream, source: key.source };
            self.writer.push(place, &cursor.batch, cursor.batch.get(cursor.row))?;
            cursor.row += 1;
            if !cursor.is_loaded() {
                return Ok(true);
            }
            key = cursor.key(self.shared)?;
            if self.heap.peek().is_some_and(|Reverse(next)| *next < key) {
                self.heap.push(Reverse(key));
                return Ok(false);
            }
        }
    }

    /// Whoever comes first cannot come before what was taken, unless its input is not in order. Written behind it, it
    /// would make a segment that nobody can read.
    fn reach(&mut self, key: Key) -> Result<(), Unreadable> {
        if key.stream < self.reached {
            let error = Error::new(ErrorKind::Corrupt, "a record that is not in the order of streams");
            return Err(Unreadable { input: key.slot, error });
        }
        self.reached = key.stream;
        Ok(())
    }

    /// Waits for the turn of the next block of an input, if there is one.
    fn wait_for_block(&mut self, slot: usize) -> Result<(), E> {
        self.cursors[slot].skip_removed();
        if let Some((first, _)) = self.cursors[slot].bounds(self.shared)? {
            self.heap.push(Reverse(first));
        }
        Ok(())
    }

    /// Copies the next block of an input as it is, if all of it comes before everything else and it is large enough
    /// to stay; says whether it was.
    fn copy_block(&mut self, slot: usize) -> Result<bool, E> {
        let cursor = &mut self.cursors[slot];
        let (segment, block) = (cursor.segment, cursor.block);
        let Some((_, last)) = cursor.bounds(self.shared)? else { return Ok(false) };
        let settings = &self.writer.settings;
        let info = &segment.blocks()[block];
        let large = info.rows * COPIED_PART >= settings.block_rows_max
            || info.raw_bytes * COPIED_PART as u64 >= settings.block_bytes_max;
        let apart = self.heap.peek().is_none_or(|Reverse(next)| last < *next);
        let whole = cursor.removed().is_none();
        let alike = segment.version >= VERSION_WITH_GROUPS && segment.packing() == settings.packing();
        if !whole || !large || !apart || !alike {
            return Ok(false);
        }
        let numbers = Numbers {
            stream: &|stream| {
                self.shared.stream_numbers.get(&segment.streams()[stream].fingerprint()).copied()
            },
            source: &|source| {
                let found = self.shared.sources.binary_search(&segment.sources()[source]);
                found.ok().map(|number| number as u32)
            },
        };
        let unreadable = |error: SegmentError| Unreadable { input: slot, error: error.into() };
        let copied = Copied::read(segment, block, &numbers, self.kept_bytes_min).map_err(unreadable)?;
        let Some(copied) = copied else {
            return Ok(false);
        };
        self.reach(last)?;
        self.writer.add_copied(slot, segment, copied)?;
        self.cursors[slot].block += 1;
        Ok(true)
    }
}

/// A group of texts is copied as it is if it has at least one in so many of the bytes at which a group is closed.
/// Putting larger ones together takes as long as writing them first, for a tenth of their bytes.
const KEPT_PART: usize = 6;

/// A block is copied as it is if it has at least one in so many of the rows or bytes that a block may have.
const COPIED_PART: usize = 2;

/// Where a row comes in the new segment. Sorts by its fields in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    stream: u32,
    timestamp: Timestamp,
    source: u32,
    start: u64,
    slot: usize,
}

/// What all inputs have together.
struct Shared {
    streams: Vec<Arc<Stream>>,
    stream_numbers: HashMap<u128, u32>,
    sources: Vec<SourceId>,
}

impl Shared {
    fn of(inputs: &[&Segment]) -> Self {
        let streams = inputs.iter().flat_map(|input| input.streams());
        let found = streams.map(|stream| (stream.fingerprint(), Arc::clone(stream))).collect();
        let (streams, stream_numbers) = ordered(found);
        let mut sources: Vec<SourceId> = inputs.iter().flat_map(|input| input.sources()).copied().collect();
        sources.sort_unstable();
        sources.dedup();
        Self { streams, stream_numbers, sources }
    }
}

/// How far an input has been read.
struct Cursor<'a> {
    slot: usize,
    segment: &'a Segment,
    /// For each block the rows that are left out; empty if none are.
    removed: &'a [Rows],
    /// The block that is read next.
    block: usize,
    batch: Batch,
    row: usize,
    /// The numbers of the streams of the batch.
    streams: Vec<Option<u32>>,
}

impl<'a> Cursor<'a> {
    fn new(slot: usize, segment: &'a Segment, removed: &'a [Rows]) -> Self {
        Self { slot, segment, removed, block: 0, batch: Batch::new(), row: 0, streams: Vec::new() }
    }

    /// The rows of the next block that are left out, if there are any.
    fn removed(&self) -> Option<&'a Rows> {
        self.removed.get(self.block).filter(|removed| !removed.is_empty())
    }

    /// Goes past blocks of which nothing stays.
    fn skip_removed(&mut self) {
        while self.removed().is_some_and(|removed| removed.count() == removed.len()) {
            self.block += 1;
        }
    }

    /// Whether it has a row.
    fn is_loaded(&self) -> bool {
        self.row < self.batch.len()
    }

    /// What comes no later than the first row of the next block, and no earlier than its last row; none if there is
    /// no further block.
    fn bounds(&self, shared: &Shared) -> Result<Option<(Key, Key)>, Unreadable> {
        let Some(info) = self.segment.blocks().get(self.block) else { return Ok(None) };
        let stream = |at: usize| {
            let number = shared.stream_numbers.get(&self.segment.streams()[at].fingerprint());
            number.copied().ok_or_else(|| self.lost())
        };
        let first = Key {
            stream: stream(*info.streams.start())?,
            timestamp: *info.timestamps.start(),
            source: 0,
            start: 0,
            slot: self.slot,
        };
        let last = Key {
            stream: stream(*info.streams.end())?,
            timestamp: *info.timestamps.end(),
            source: u32::MAX,
            start: u64::MAX,
            slot: self.slot,
        };
        Ok(Some((first, last)))
    }

    /// Reads the next block.
    fn load(&mut self, shared: &Shared) -> Result<(), Unreadable> {
        // The memory of the last block is given back before the next one is made.
        self.batch = Batch::new();
        let unreadable = |error| Unreadable { input: self.slot, error };
        self.batch = self.segment.decode_block(self.block).map_err(unreadable)?;
        if let Some(removed) = self.removed() {
            let rows = self.batch.iter().enumerate();
            let mut kept = Batch::new();
            rows.filter(|(row, _)| !removed.contains(*row)).for_each(|(_, record)| kept.push_ref(record));
            self.batch = kept;
        }
        self.block += 1;
        self.row = 0;
        let number = |stream: &Arc<Stream>| shared.stream_numbers.get(&stream.fingerprint()).copied();
        self.streams = self.batch.streams().iter().map(number).collect();
        Ok(())
    }

    /// Where the row at hand comes.
    fn key(&self, shared: &Shared) -> Result<Key, Unreadable> {
        let record = self.batch.get(self.row);
        let stream = self.streams[record.stream_index()].ok_or_else(|| self.lost())?;
        let source = shared.sources.binary_search(&record.source()).map_err(|_| self.lost())?;
        let (timestamp, start) = (record.timestamp(), record.range().start);
        Ok(Key { stream, timestamp, source: source as u32, start, slot: self.slot })
    }

    fn lost(&self) -> Unreadable {
        let error =
            Error::new(ErrorKind::Corrupt, "a record of a stream or source that its footer does not have");
        Unreadable { input: self.slot, error }
    }
}
