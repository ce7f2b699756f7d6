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
use std::time::Duration;

use sawyer_model::{Batch, RecordRef, Timestamp};
use sawyer_segment::Rows;

use crate::catalogue::Partition;
use crate::memory::Held;
use crate::settings::StorePlan;

/// By so much a record may come earlier or later than others in any case: senders gather records for some seconds.
const SLACK_NANOS: i64 = 10_000_000_000;

/// How many times as far from the median as half of the records the others may be. Where delays are spread evenly, as when
/// old logs are read fast, all are within twice as far; the rest is for a median that strays have moved.
const SPREADS: (u64, u64) = (5, 2);

/// Into so many parts the span of delays that is left is divided; the outer ones go as long as they have less than one in
/// [`SPARSE_PART`] of the records of an average one.
const SPAN_PARTS: i64 = 64;
const SPARSE_PART: usize = 8;

/// Arrivals up to so long ago, longer if something is kept longer, are told apart by their day.
const DAYS_TOLD: Duration = Duration::from_secs(400 * 86_400);

/// The records that go into one segment.
#[derive(Debug, Default)]
pub(crate) struct Share(Vec<Run>);

/// Neighbouring records of a batch. So a generation with many shares takes no more memory than one with few.
#[derive(Debug)]
struct Run {
    batch: usize,
    rows: Range<usize>,
}

impl Share {
    fn add(&mut self, batch: usize, row: usize) {
        match self.0.last_mut() {
            Some(last) if last.batch == batch && last.rows.end == row => last.rows.end += 1,
            _ => self.0.push(Run { batch, rows: row..row + 1 }),
        }
    }

    /// The batches that it has records of, and for each of them which.
    pub(crate) fn of<'a>(&self, held: &'a [Held]) -> (Vec<&'a Batch>, Vec<Rows>) {
        let of_one = |runs: &[Run]| {
            let batch = &*held[runs[0].batch].batch;
            let mut rows = Rows::none(batch.len());
            runs.iter().for_each(|run| rows.insert_range(run.rows.clone()));
            (batch, rows)
        };
        self.0.chunk_by(|one, next| one.batch == next.batch).map(of_one).unzip()
    }
}

/// The days of arrival that have segments of their own. What is earlier shares those of the first, what is later those of
/// the last: such times are nonsense, or so old that retention removes them all, and each could make a segment.
pub(crate) fn days_told(plan: &StorePlan, now: Timestamp) -> RangeInclusive<i64> {
    let kept = (0..plan.classes()).map(|class| plan.keep(class)).filter(|keep| *keep < Duration::MAX);
    let longest = kept.fold(DAYS_TOLD, Duration::max);
    let day = |time| Partition::of(time, time).day;
    // Of the first day and all before it, everything is past the longest time.
    day(now.saturating_sub(longest)) - 1..=day(now) + 1
}

/// For each partition the records that belong to it.
pub(crate) fn divide(held: &[Held], days: &RangeInclusive<i64>) -> BTreeMap<Partition, Share> {
    let usual = Usual::of(held);
    let mut parts: BTreeMap<Partition, Share> = BTreeMap::new();
    for (number, Held { batch, came, .. }) in held.iter().enumerate() {
        for (row, record) in batch.iter().enumerate() {
            let mut partition = Partition::of(record.timestamp(), record.observed());
            partition.day = partition.day.clamp(*days.start(), *days.end());
            partition.stray |= !usual.has(delay(record, *came));
            parts.entry(partition).or_default().add(number, row);
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
        let parts = divide(generation.held(), &days_told(&StorePlan::keeping_all(), NOON));
        let rows = |share: &Share| share.of(generation.held()).1.iter().map(Rows::count).sum::<usize>();
        assert_eq!(parts.values().map(rows).sum::<usize>() as u64, count, "each in one part");
        parts.iter().filter(|(partition, _)| partition.stray).map(|(_, part)| rows(part)).sum()
    }

    /// A generation of records that arrived at these times, so many in a batch.
    fn arrived(times: &[Timestamp], in_batch: usize) -> Generation {
        let (mut generation, mut count) = (Generation::default(), 0);
        for times in times.chunks(in_batch) {
            let mut batch = Batch::new();
            let stream = batch.add_stream(&Arc::new(Stream::default()));
            for observed in times {
                let range = SeqRange::new(count, count + 1);
                let head =
                    RecordHead { timestamp: *observed, observed: *observed, source: SourceId(1), range };
                batch.begin(head, stream);
                count += 1;
            }
            generation.push(&Arc::new(batch), NOON);
        }
        generation
    }

    fn days_ago(days: u64) -> Timestamp {
        NOON.saturating_sub(Duration::from_secs(days * 86_400))
    }

    #[test]
    fn records_of_as_many_days_take_no_more_memory_than_of_one() {
        let times: Vec<Timestamp> = (0..6000).map(days_ago).collect();
        let generation = arrived(&times, 1000);
        let parts = divide(generation.held(), &(0..=i64::MAX));
        assert_eq!(parts.len(), 6000);
        assert_eq!(parts.values().map(|share| share.0.len()).sum::<usize>(), 6000, "runs of all together");
        let looked_at = |share: &Share| share.of(generation.held()).1.iter().map(Rows::len).sum::<usize>();
        assert!(
            parts.values().all(|share| looked_at(share) == 1000),
            "batches without a record of it are not looked at"
        );
        let together = divide(arrived(&vec![NOON; 6000], 1000).held(), &(0..=i64::MAX));
        assert_eq!(together.values().map(|share| share.0.len()).collect::<Vec<_>>(), [6]);
    }

    #[test]
    fn days_that_are_nonsense_or_past_retention_share_segments() {
        let ahead = (1..3000).map(|days| NOON.saturating_add(Duration::from_secs(days * 86_400)));
        let times: Vec<Timestamp> = (0..3000).map(days_ago).chain(ahead).collect();
        let generation = arrived(&times, 1000);
        let days = |keep: u64| {
            let plan =
                StorePlan { retention: Duration::from_secs(keep * 86_400), ..StorePlan::keeping_all() };
            let parts = divide(generation.held(), &days_told(&plan, NOON));
            let rows = |share: &Share| share.of(generation.held()).1.iter().map(Rows::count).sum::<usize>();
            assert_eq!(parts.values().map(rows).sum::<usize>(), 5999);
            parts.keys().map(|partition| partition.day).collect::<std::collections::BTreeSet<_>>().len()
        };
        // Today, tomorrow, the days before, and the one that all before share.
        assert_eq!((days(30), days(1000)), (403, 1003));
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
