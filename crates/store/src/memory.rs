//! Records that are durable in the write-ahead log and not sealed yet.
//!
//! Owns: the batches of one generation, and putting small ones together.
//! Does not own: when a generation is frozen or sealed (`commit`, `seal`).
//! Invariant: a generation holds what the log files before its end hold beyond those of the generation before.

use std::sync::Arc;
use std::time::Duration;

use sawyer_model::names::COMMON;
use sawyer_model::{Batch, RecordRef, Timestamp};

use crate::sources::Sources;

/// What a batch takes in memory besides its contents: tables, vectors and their headers.
const BATCH_OVERHEAD_BYTES: usize = 4096;

/// What the name of a field takes in a batch that has it, beside the ones that all batches have.
const NAME_BYTES: usize = 128;

/// Batches with fewer records than this are put together, so that thousands of requests with one line each do
/// not cost a batch each, in memory and in every search.
const SMALL_RECORDS: usize = 512;

/// Records up to which small ones are added to a batch. Copying a shared batch this long takes well under 1 ms.
const GATHERED_RECORDS_MAX: usize = 4096;

/// Bytes up to which small batches are added to one.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// Streams up to which small batches are added to one: finding a stream in a batch takes time with each.
const GATHERED_STREAMS_MAX: usize = 64;

/// Time within which small batches are added to one: by so much less is known how late its records came.
const GATHERED_TIME_MAX: Duration = Duration::from_secs(5);

/// Unsealed records, in the order they were committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generation {
    held: Vec<Held>,
    bytes: usize,
    rows: u64,
    covered: Sources,
    started: Option<Timestamp>,
    wal_end: u64,
}

/// A batch with what a search wants to know before it looks.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// The records.
    pub(crate) batch: Arc<Batch>,
    /// Earliest timestamp.
    pub(crate) time_min: Timestamp,
    /// Latest timestamp.
    pub(crate) time_max: Timestamp,
    /// When the first of it was committed.
    pub(crate) came: Timestamp,
}

impl Held {
    fn new(batch: Arc<Batch>, came: Timestamp) -> Option<Self> {
        let (time_min, time_max) = time_span(&batch)?;
        Some(Self { batch, time_min, time_max, came })
    }

    fn has_room_for(&self, small: &Batch, now: Timestamp) -> bool {
        now.since(self.came) <= GATHERED_TIME_MAX
            && self.batch.len() + small.len() <= GATHERED_RECORDS_MAX
            && self.batch.bytes() + small.bytes() <= GATHERED_BYTES_MAX
            && self.batch.streams().len() + small.streams().len() <= GATHERED_STREAMS_MAX
    }
}

/// What a batch's records and names take: of the latter there may be more than of the former.
fn held_bytes(batch: &Batch) -> usize {
    batch.bytes() + batch.name_count().saturating_sub(COMMON.len()) * NAME_BYTES
}

/// Earliest and latest timestamp of the records.
pub(crate) fn time_span(batch: &Batch) -> Option<(Timestamp, Timestamp)> {
    let times = batch.iter().map(RecordRef::timestamp);
    times.fold(None, |span, time| match span {
        None => Some((time, time)),
        Some((min, max)) => Some((time.min(min), time.max(max))),
    })
}

impl Generation {
    /// Adds a batch that is durable.
    pub(crate) fn push(&mut self, batch: &Arc<Batch>, now: Timestamp) {
        self.start(now);
        self.covered.commit(batch, now);
        self.rows += batch.len() as u64;
        let Some(new) = Held::new(Arc::clone(batch), now) else { return };
        let before = self.held.last_mut().filter(|_| batch.len() < SMALL_RECORDS);
        if let Some(last) = before.filter(|last| last.has_room_for(batch, now)) {
            let gathered = Arc::make_mut(&mut last.batch);
            let bytes = held_bytes(gathered);
            for record in batch.iter() {
                gathered.push_ref(record);
            }
            // It may have become smaller: the bytes that it was decoded from went with the first change.
            self.bytes = self.bytes + held_bytes(gathered) - bytes;
            last.time_min = last.time_min.min(new.time_min);
            last.time_max = last.time_max.max(new.time_max);
            return;
        }
        self.bytes += held_bytes(batch) + BATCH_OVERHEAD_BYTES;
        self.held.push(new);
    }

    /// Says that the log has something of it, so that it has to be sealed for the log to go.
    pub(crate) fn start(&mut self, now: Timestamp) {
        self.started.get_or_insert(now);
    }

    /// The batches.
    pub(crate) fn held(&self) -> &[Held] {
        &self.held
    }

    /// About how much memory they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// What its records, and those that were left out of them, account for.
    pub(crate) fn covered(&self) -> &Sources {
        &self.covered
    }

    /// When the log got the first of it; none if it has nothing.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        self.started
    }

    /// The first log file behind those that hold it. Set when it is frozen.
    pub(crate) fn wal_end(&self) -> u64 {
        self.wal_end
    }

    /// Ends it: nothing is added any more, and the log goes on with file `wal_end`.
    pub(crate) fn freeze(self, wal_end: u64) -> Self {
        Self { wal_end, ..self }
    }
}

#[cfg(test)]
mod tests {
    use sawyer_model::{RecordHead, SeqRange, SourceId, Stream, ValueRef};

    use super::*;

    fn batch(first: u64, records: u64) -> Arc<Batch> {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        for n in first..first + records {
            let timestamp = Timestamp::from_secs(n as i64);
            let range = SeqRange::new(n, n + 1);
            batch.begin(RecordHead { timestamp, observed: timestamp, source: SourceId(1), range }, stream);
        }
        Arc::new(batch)
    }

    #[test]
    fn names_count_as_well() {
        let held_with = |name: &dyn Fn(u64) -> String| {
            let mut generation = Generation::default();
            for at in 0..2000 {
                let mut batch = Batch::new();
                let stream = batch.add_stream(&Arc::new(Stream::default()));
                let range = SeqRange::new(at, at + 1);
                let head = RecordHead {
                    timestamp: Timestamp::EPOCH,
                    observed: Timestamp::EPOCH,
                    source: SourceId(1),
                    range,
                };
                batch.begin(head, stream).field(&name(at), ValueRef::Bool(true));
                generation.push(&Arc::new(batch), Timestamp::EPOCH);
            }
            generation.bytes()
        };
        let (one, many) = (held_with(&|_| "n".to_owned()), held_with(&|at| format!("n{at}")));
        assert!(many > one + 1900 * NAME_BYTES && many < one + 2100 * NAME_BYTES, "{one} {many}");
    }

    #[test]
    fn small_batches_are_gathered_and_large_ones_kept() {
        let mut generation = Generation::default();
        for n in 0..100 {
            generation.push(&batch(n, 1), Timestamp::EPOCH);
        }
        assert_eq!(generation.held().len(), 1);
        let large = batch(100, 1000);
        generation.push(&large, Timestamp::EPOCH);
        assert!(Arc::ptr_eq(&generation.held()[1].batch, &large));
        assert_eq!(generation.rows(), 1100);
        let held = &generation.held()[0];
        assert_eq!((held.time_min, held.time_max), (Timestamp::EPOCH, Timestamp::from_secs(99)));
        let starts: Vec<u64> =
            generation.held().iter().flat_map(|h| h.batch.iter().map(|r| r.range().start)).collect();
        assert_eq!(starts, (0..1100).collect::<Vec<_>>());
    }

    #[test]
    fn a_snapshot_does_not_change_under_its_reader() {
        let mut generation = Generation::default();
        generation.push(&batch(0, 1), Timestamp::EPOCH);
        let snapshot = generation.held().to_vec();
        generation.push(&batch(1, 1), Timestamp::EPOCH);
        assert_eq!(snapshot[0].batch.iter().map(RecordRef::range).count(), 1);
        assert_eq!(generation.held()[0].batch.len(), 2);
    }

    #[test]
    fn a_batch_without_records_still_counts_its_ranges() {
        let mut covering = Batch::new();
        covering.cover(SourceId(4), SeqRange::new(0, 9));
        let mut generation = Generation::default();
        generation.push(&Arc::new(covering), Timestamp::EPOCH);
        assert_eq!((generation.held().len(), generation.covered().len()), (0, 1));
        assert_eq!(generation.started(), Some(Timestamp::EPOCH));
    }
}
