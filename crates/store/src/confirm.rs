//! What was taken of what others say that it was.
//!
//! Owns: the answer, and of what it is too late to tell. Does not own: what is remembered of sources (`sources`).
//! Invariant: what is not remembered any more is never said to lack.

use std::time::Duration;

use sawyer_model::{SeqRange, Timestamp};
use sawyer_telemetry::{Answer, Claim, Parts};

use crate::sources::{Bounds, Source, Sources};
use crate::store::Store;

/// A source of more ranges than this may have lost its lowest ones to the bound; see
/// [`Sources::forget`](crate::sources::Sources::forget).
const RANGES_SURE_MAX: usize = 1_000;

/// How much later than the commit its sender may have heard of it. A claim bears the time at which he did.
const HEARD_AFTER_MAX: Duration = Duration::from_secs(60);

impl Store {
    /// Which of these parts of sources were never committed here. Committed are also those of which a rule left out
    /// the records, and those whose records retention has removed.
    #[must_use]
    pub fn lacking(&self, claims: &[Claim]) -> Answer {
        let bounds = Bounds::of(&self.engine.plan);
        let now = self.engine.clock.now();
        let writer = self.engine.writer.lock();
        let sure_from = writer.forgotten.max(now.saturating_sub(bounds.idle_max));
        let sure_from = sure_from.saturating_add(HEARD_AFTER_MAX);
        let mut answer = Answer::default();
        for claim in claims {
            let known = writer.committed.get(claim.source);
            let (unknown, lacking): (Vec<SeqRange>, Vec<SeqRange>) =
                lacking(known, claim).into_iter().partition(|part| {
                    claim.since <= sure_from || known.is_some_and(|source| is_doubtful(source, *part))
                });
            for (to, ranges) in [(&mut answer.unknown, unknown), (&mut answer.lacking, lacking)] {
                if !ranges.is_empty() {
                    to.push(Parts { source: claim.source, ranges });
                }
            }
        }
        answer
    }
}

fn lacking(known: Option<&Source>, claim: &Claim) -> Vec<SeqRange> {
    let ranges = claim.ranges.iter();
    match known {
        Some(source) => ranges.flat_map(|range| source.ranges.missing(*range)).collect(),
        None => ranges.copied().filter(|range| !range.is_empty()).collect(),
    }
}

/// Whether a part may have been forgotten because its source has too many.
fn is_doubtful(source: &Source, part: SeqRange) -> bool {
    let lowest = source.ranges.iter().next().map_or(0, |range| range.start);
    source.ranges.range_count() > RANGES_SURE_MAX && part.start < lowest
}

/// Up to when what is not remembered may have been forgotten, where sources were read back from disk: it is not written
/// down which were. Far below the bounds none was.
pub(crate) fn forgotten_before(sources: &Sources, bounds: &Bounds, now: Timestamp) -> Timestamp {
    let beyond_one = |source: &Source| source.ranges.range_count().saturating_sub(1);
    let ranges: usize = sources.iter().map(|(_, source)| beyond_one(source)).sum();
    let is_far = sources.len() <= bounds.count_max / 2 && ranges <= bounds.ranges_max / 2;
    if is_far { Timestamp::MIN } else { now }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sawyer_disk::{Disk, SimDisk, SimSettings};
    use sawyer_model::{Batch, SourceId};
    use sawyer_telemetry::{Clock, Metrics};

    use super::*;
    use crate::settings::StorePlan;

    const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

    fn open(disk: &SimDisk, plan: StorePlan, clock: &Clock) -> Store {
        Store::open_manual(Arc::new(disk.clone()) as Arc<dyn Disk>, plan, clock.clone(), &Metrics::new())
            .unwrap()
    }

    fn covering(parts: &[(u128, u64, u64)]) -> Arc<Batch> {
        let mut batch = Batch::new();
        for (source, start, end) in parts {
            batch.cover(SourceId(*source), SeqRange::new(*start, *end));
        }
        Arc::new(batch)
    }

    fn claims(since: Timestamp, parts: &[(u128, u64, u64)]) -> Vec<Claim> {
        let claim = |(source, start, end): &(u128, u64, u64)| Claim {
            source: SourceId(*source),
            since,
            ranges: vec![SeqRange::new(*start, *end)],
        };
        parts.iter().map(claim).collect()
    }

    fn told(parts: &[Parts]) -> Vec<(u128, u64, u64)> {
        let of = |parts: &Parts| {
            let source = parts.source.0;
            parts.ranges.iter().map(|range| (source, range.start, range.end)).collect::<Vec<_>>()
        };
        parts.iter().flat_map(of).collect()
    }

    #[test]
    fn what_was_never_committed_lacks_after_a_restart_too() {
        let (disk, clock) = (SimDisk::new(1, SimSettings::default()), Clock::manual(NOW));
        let store = open(&disk, StorePlan::default(), &clock);
        store.append(covering(&[(1, 0, 10), (1, 20, 30), (2, 0, 5)])).unwrap();
        let asked = claims(NOW, &[(1, 5, 25), (2, 0, 5), (3, 7, 8)]);
        let expected = [(1, 10, 20), (3, 7, 8)];
        assert_eq!(told(&store.lacking(&asked).lacking), expected);
        store.seal_now().unwrap();
        drop(store);
        let answer = open(&disk, StorePlan::default(), &clock).lacking(&asked);
        assert_eq!((told(&answer.lacking), told(&answer.unknown)), (expected.to_vec(), vec![]));
    }

    #[test]
    fn of_what_may_be_forgotten_nobody_can_tell() {
        let (disk, clock) = (SimDisk::new(1, SimSettings::default()), Clock::manual(NOW));
        let plan = StorePlan { sources_max: 100, ..StorePlan::default() };
        let idle_max = plan.source_idle_max;
        let store = open(&disk, plan.clone(), &clock);
        let split = |store: &Store, since: Timestamp| {
            let answer = store.lacking(&claims(since, &[(500, 0, 1)]));
            (answer.lacking.len(), answer.unknown.len())
        };
        assert_eq!(split(&store, NOW), (1, 0));
        assert_eq!(
            split(&store, NOW.saturating_sub(idle_max)),
            (0, 1),
            "as long ago as idle sources are kept"
        );
        // More sources than it remembers: those of the first second go.
        let heard = |n: u64| NOW.saturating_add(Duration::from_secs(n) + HEARD_AFTER_MAX);
        for n in 0..3_u64 {
            clock.advance(Duration::from_secs(u64::from(n > 0)));
            let sources: Vec<_> = (0..60).map(|source| (u128::from(n) * 100 + source, 0, 1_u64)).collect();
            store.append(covering(&sources)).unwrap();
        }
        store.seal_now().unwrap();
        assert_eq!(split(&store, heard(1)), (0, 1), "it may be one of those that were forgotten");
        assert_eq!(split(&store, heard(2)), (1, 0));
        drop(store);
        clock.advance(Duration::from_secs(7));
        let store = open(&disk, plan, &clock);
        assert_eq!(split(&store, heard(9)), (0, 1), "it is full, and may have forgotten some before");
        assert_eq!(split(&store, heard(10)), (1, 0));
    }
}
