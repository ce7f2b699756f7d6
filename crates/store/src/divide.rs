//! Divides records in memory among segments.
//!
//! Owns: which records came later, or tell a later time, than is usual, and so are kept apart.
//! Does not own: what a partition is (`catalogue`), writing segments (`seal`).
//! Invariant: every record is in exactly one part, and equal records that came alike are divided alike.
//!
//! What is late or ahead lies between records that were sealed long ago, or are to come. In one segment with the others it
//! would make its times so long that queries of all of them look at it, and merging would have to take apart every block that
//! such a record falls into, where blocks of records in the order of time are copied.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use sawyer_model::{Batch, RecordRef, Timestamp};
use sawyer_segment::Rows;

use crate::catalogue::Partition;
use crate::memory::Held;

/// By so much a record may come earlier or later than others in any case: senders gather records for some seconds.
const SLACK_NANOS: i64 = 10_000_000_000;

/// How many times as far from the median as half of the records the others may be. Where delays are spread evenly, as when
/// old logs are read fast, all are within twice as far; the rest is for a median that strays have moved.
const SPREADS: (u64, u64) = (5, 2);

/// Into so many parts the span of delays that is left is divided; the outer ones go as long as they have less than one in
/// [`SPARSE_PART`] of the records of an average one.
const SPAN_PARTS: i64 = 64;
const SPARSE_PART: usize = 8;

/// For each partition and each batch the records that belong to it.
pub(crate) fn divide(held: &[Held]) -> BTreeMap<Partition, Vec<Rows>> {
    let usual = Usual::of(held);
    let mut parts: BTreeMap<Partition, Vec<Rows>> = BTreeMap::new();
    for (number, Held { batch, came, .. }) in held.iter().enumerate() {
        for (row, record) in batch.iter().enumerate() {
            let mut partition = Partition::of(record.timestamp(), record.observed());
            partition.stray |= !usual.has(delay(record, *came));
            let none = || held.iter().map(|held| Rows::none(held.batch.len())).collect();
            parts.entry(partition).or_insert_with(none)[number].insert(row);
        }
    }
    parts
}

/// About how much memory these records take.
pub(crate) fn bytes_of(batches: &[&Batch], rows: &[Rows]) -> usize {
    let share = |(batch, rows): (&&Batch, &Rows)| batch.bytes() * rows.count() / rows.len().max(1);
    batches.iter().zip(rows).map(share).sum()
}

/// How long after the time it tells a record came, in nanoseconds.
fn delay(record: RecordRef<'_>, came: Timestamp) -> i64 {
    came.nanos().saturating_sub(record.timestamp().nanos())
}

/// The delays of most records of a generation.
struct Usual(RangeInclusive<i64>);

impl Usual {
    /// Both medians take half of the records to move them: neither late ones nor a clock that is wrong do.
    fn of(held: &[Held]) -> Self {
        let delays = held.iter().flat_map(|held| held.batch.iter().map(|record| delay(record, held.came)));
        let mut delays: Vec<i64> = delays.collect();
        delays.sort_unstable();
        let Some(median) = delays.get(delays.len() / 2).copied() else { return Self(0..=0) };
        let mut distances: Vec<u64> = delays.iter().map(|delay| delay.abs_diff(median)).collect();
        let middle = distances.len() / 2;
        let (times, of) = SPREADS;
        let distance_max = (*distances.select_nth_unstable(middle).1 / of).saturating_mul(times);
        let (first, last) =
            (median.saturating_sub_unsigned(distance_max), median.saturating_add_unsigned(distance_max));
        let (first, last) = dense(&delays[between(&delays, first, last)]);
        Self(first.saturating_sub(SLACK_NANOS)..=last.saturating_add(SLACK_NANOS))
    }

    fn has(&self, delay: i64) -> bool {
        self.0.contains(&delay)
    }
}

/// Where sorted delays are that lie between these.
fn between(delays: &[i64], first: i64, last: i64) -> Range<usize> {
    delays.partition_point(|delay| *delay < first)..delays.partition_point(|delay| *delay <= last)
}

/// The first and the last of sorted delays, of which there are some, without parts at the ends that have few.
fn dense(delays: &[i64]) -> (i64, i64) {
    let (mut first, mut last) = (delays[0], delays[delays.len() - 1]);
    let part = last.saturating_sub(first) / SPAN_PARTS;
    let few =
        |first, last| between(delays, first, last).len() * SPARSE_PART < delays.len() / SPAN_PARTS as usize;
    for _ in 1..SPAN_PARTS {
        let (next, previous) = (first + part, last - part);
        if few(first, next) {
            first = next;
        } else if few(previous, last) {
            last = previous;
        } else {
            break;
        }
    }
    (first, last)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use sawyer_model::{RecordHead, SeqRange, SourceId, Stream};

    use super::*;
    use crate::memory::Generation;

    const NOON: Timestamp = Timestamp::from_secs(1_799_971_200 + 43_200);

    /// How many records are kept apart of such that came at these seconds after noon, so many seconds late.
    fn apart(records: impl IntoIterator<Item = (u64, i64)>) -> usize {
        let mut generation = Generation::default();
        let mut count = 0;
        for (second, late) in records {
            let came = NOON.saturating_add(Duration::from_secs(second));
            let timestamp = Timestamp::from_nanos(came.nanos() - late * 1_000_000_000);
            let mut batch = Batch::new();
            let stream = batch.add_stream(&Arc::new(Stream::default()));
            let range = SeqRange::new(count, count + 1);
            batch.begin(RecordHead { timestamp, observed: came, source: SourceId(1), range }, stream);
            generation.push(&Arc::new(batch), came);
            count += 1;
        }
        let parts = divide(generation.held());
        let rows = |rows: &Vec<Rows>| rows.iter().map(Rows::count).sum::<usize>();
        assert_eq!(parts.values().map(rows).sum::<usize>() as u64, count, "each in one part");
        parts.iter().filter(|(partition, _)| partition.stray).map(|(_, part)| rows(part)).sum()
    }

    #[test]
    fn late_and_early_records_are_kept_apart_and_those_a_little_late_are_not() {
        assert_eq!(apart((0..60).map(|n| (n, (n % 7) as i64))), 0);
        let late = |n: u64| if n.is_multiple_of(5) { 30 + n as i64 * 60 } else { (n % 7) as i64 };
        assert_eq!(apart((0..60).map(|n| (n, late(n)))), 12);
        assert_eq!(apart((0..60u64).map(|n| (n, if n.is_multiple_of(10) { -300 } else { 1 }))), 6);
    }

    #[test]
    fn old_logs_that_are_read_in_order_stay_together() {
        // Of two hours within a second, and with some of a day before.
        assert_eq!(apart((0..7200).map(|n| (0, 20_000 - n))), 0);
        let strays = (0..7200).map(|n| (0, if n % 10 == 3 { 30_000 + n * 5 } else { 20_000 - n }));
        assert_eq!(apart(strays), 720);
    }

    #[test]
    fn bursts_are_not_taken_for_usual_times() {
        let burst = (0..1000u64).map(|n| ((n / 2).min(30) + (n / 15).saturating_sub(30), 1));
        assert_eq!(apart(burst), 0);
    }

    #[test]
    fn what_tells_quite_another_time_than_its_arrival_is_apart_even_if_all_do() {
        assert_eq!(apart((0..10).map(|n| (n, 3 * 86_400))), 10);
        assert_eq!(apart([]), 0);
    }
}
