//! The order of the rows of a segment.
//!
//! Owns: gathering streams and sources of the wanted rows, and sorting these by stream, time, source, place in the source.
//! Invariant: rows that are equal in all of these stay in the order in which they were given.

use std::sync::Arc;

use hashbrown::HashMap;
use sawyer_model::{Batch, SourceId, Stream, Timestamp};

use super::count_32;
use crate::bits::Rows;
use crate::error::SegmentError;

/// Rows in order, and what they share.
pub(super) struct Sorted {
    pub(super) rows: Vec<Row>,
    pub(super) streams: Vec<Arc<Stream>>,
    pub(super) sources: Vec<SourceId>,
}

/// Where a row comes from and goes to. Sorts by its fields in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) stream: u32,
    timestamp: Timestamp,
    pub(super) source: u32,
    start: u64,
    pub(super) batch: u32,
    pub(super) record: u32,
}

impl Sorted {
    /// Of each batch the wanted rows.
    pub(super) fn of(batches: &[&Batch], wanted: &[Rows]) -> Result<Self, SegmentError> {
        let count = wanted.iter().map(Rows::count).sum();
        count_32(count)?;
        let (streams, stream_numbers) = streams_of(batches, wanted);
        let sources = sources_of(batches, wanted);
        let source_numbers: HashMap<SourceId, u32> = sources.iter().copied().zip(0..).collect();
        let mut rows = Vec::with_capacity(count);
        for ((batch, numbers), wanted) in (0..).zip(&stream_numbers).zip(wanted) {
            let mut last = None;
            for at in wanted.iter() {
                let record = batches[batch as usize].get(at);
                let source = match last {
                    Some((id, number)) if id == record.source() => number,
                    _ => source_numbers[&record.source()],
                };
                last = Some((record.source(), source));
                let stream = numbers[record.stream_index()].expect("the stream has a record");
                let (timestamp, start) = (record.timestamp(), record.range().start);
                rows.push(Row { stream, timestamp, source, start, batch, record: at as u32 });
            }
        }
        rows.sort_unstable();
        Ok(Self { rows, streams, sources })
    }
}

/// For each batch and each of its streams its number in the segment, if it has records.
type StreamNumbers = Vec<Vec<Option<u32>>>;

/// The streams that have wanted records, so ordered that those alike are neighbours; and for each batch their numbers.
fn streams_of(batches: &[&Batch], wanted: &[Rows]) -> (Vec<Arc<Stream>>, StreamNumbers) {
    let mut found: HashMap<u128, Arc<Stream>> = HashMap::new();
    let mut used: Vec<Vec<bool>> = Vec::with_capacity(batches.len());
    for (batch, wanted) in batches.iter().zip(wanted) {
        let mut here = vec![false; batch.streams().len()];
        wanted.iter().for_each(|at| here[batch.get(at).stream_index()] = true);
        for (stream, _) in batch.streams().iter().zip(&here).filter(|(_, used)| **used) {
            found.entry(stream.fingerprint()).or_insert_with(|| Arc::clone(stream));
        }
        used.push(here);
    }
    let (streams, numbers) = ordered(found);
    let of_batch = |(batch, used): (&&Batch, &Vec<bool>)| {
        let streams = batch.streams().iter().zip(used);
        streams.map(|(stream, used)| used.then(|| numbers[&stream.fingerprint()])).collect()
    };
    let by_batch = batches.iter().zip(&used).map(of_batch).collect();
    (streams, by_batch)
}

/// Streams by their fingerprints in their order, and the numbers they have in it.
pub(super) fn ordered(streams: HashMap<u128, Arc<Stream>>) -> (Vec<Arc<Stream>>, HashMap<u128, u32>) {
    let mut keyed: Vec<(String, Arc<Stream>)> =
        streams.into_values().map(|stream| (format!("{:?}", stream.fields()), stream)).collect();
    keyed.sort_by(|(a, one), (b, other)| a.cmp(b).then(one.fingerprint().cmp(&other.fingerprint())));
    let streams: Vec<Arc<Stream>> = keyed.into_iter().map(|(_, stream)| stream).collect();
    let numbers = streams.iter().map(|stream| stream.fingerprint()).zip(0..).collect();
    (streams, numbers)
}

fn sources_of(batches: &[&Batch], wanted: &[Rows]) -> Vec<SourceId> {
    let mut sources = Vec::new();
    for (batch, wanted) in batches.iter().zip(wanted) {
        let before = sources.len();
        for record in wanted.iter().map(|at| batch.get(at)) {
            if sources.last() != Some(&record.source()) {
                sources.push(record.source());
            }
        }
        sources[before..].sort_unstable();
        sources.dedup();
    }
    sources.sort_unstable();
    sources.dedup();
    sources
}
