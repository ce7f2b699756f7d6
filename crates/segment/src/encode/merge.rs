//! Making one segment of several.
//!
//! Owns: [`merge`]: going through the inputs side by side, one block of each in memory.
//! Does not own: which segments are merged (`store`).
//! Invariant: the segment is the one that [`super::encode`] makes of all records of the inputs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashMap;
use sawyer_model::{Batch, Error, ErrorKind, SourceId, Stream, Timestamp};

use super::sort::ordered;
use super::{EncodeSettings, RowPlace, Sink, Writer, count_32};
use crate::layout::Summary;
use crate::segment::Segment;

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
    let rows: u64 = inputs.iter().map(|input| input.rows()).sum();
    count_32(usize::try_from(rows).unwrap_or(usize::MAX)).map_err(Error::from)?;
    let shared = Shared::of(inputs);
    let mut writer = Writer::new(settings, sink);
    let mut cursors = Vec::with_capacity(inputs.len());
    let mut heap = BinaryHeap::with_capacity(inputs.len());
    for (slot, segment) in inputs.iter().enumerate() {
        let mut cursor = Cursor { slot, segment, block: 0, batch: Batch::new(), row: 0, streams: Vec::new() };
        if cursor.load(&shared)? {
            heap.push(Reverse(cursor.key(&shared)?));
        }
        cursors.push(cursor);
    }
    while let Some(Reverse(first)) = heap.pop() {
        let cursor = &mut cursors[first.slot];
        let mut key = first;
        loop {
            let place = RowPlace { slot: key.slot, stream: key.stream, source: key.source };
            writer.push(place, &cursor.batch, cursor.batch.get(cursor.row))?;
            cursor.row += 1;
            if cursor.row == cursor.batch.len() {
                writer.forget_slot(cursor.slot);
                if !cursor.load(&shared)? {
                    break;
                }
            }
            key = cursor.key(&shared)?;
            if heap.peek().is_some_and(|Reverse(next)| *next < key) {
                heap.push(Reverse(key));
                break;
            }
        }
    }
    writer.finish(shared.streams, shared.sources)
}

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
    /// The block that is read next.
    block: usize,
    batch: Batch,
    row: usize,
    /// The numbers of the streams of the batch.
    streams: Vec<Option<u32>>,
}

impl Cursor<'_> {
    /// Reads the next block; says whether there is one.
    fn load(&mut self, shared: &Shared) -> Result<bool, Unreadable> {
        // The memory of the last block is given back before the next one is made.
        self.batch = Batch::new();
        if self.block == self.segment.blocks().len() {
            return Ok(false);
        }
        let unreadable = |error| Unreadable { input: self.slot, error };
        self.batch = self.segment.decode_block(self.block).map_err(unreadable)?;
        self.block += 1;
        self.row = 0;
        let number = |stream: &Arc<Stream>| shared.stream_numbers.get(&stream.fingerprint()).copied();
        self.streams = self.batch.streams().iter().map(number).collect();
        Ok(true)
    }

    fn key(&self, shared: &Shared) -> Result<Key, Unreadable> {
        let record = self.batch.get(self.row);
        let lost = || {
            let error = Error::new(
                ErrorKind::Corrupt,
                "a record of a stream or source that its footer does not have",
            );
            Unreadable { input: self.slot, error }
        };
        let stream = self.streams[record.stream_index()].ok_or_else(lost)?;
        let source = shared.sources.binary_search(&record.source()).map_err(|_| lost())?;
        let (timestamp, start) = (record.timestamp(), record.range().start);
        Ok(Key { stream, timestamp, source: source as u32, start, slot: self.slot })
    }
}
