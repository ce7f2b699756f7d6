//! Chooses which segments are removed because they are too old, or because there are too many.
//!
//! Owns: the choice, and what "no size is set" means.
//! Does not own: removing anything (`keeper`).
//! Invariant: only whole segments go, those first that were seen longest ago; age counts from `observed`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sawyer_disk::Space;
use sawyer_model::Timestamp;

use crate::catalogue::SegmentEntry;
use crate::settings::{FREE_DEFAULT_BYTES_MAX, FREE_DEFAULT_PERCENT, SIZE_DEFAULT_PERCENT, StorePlan};

/// How long a segment must have been too old before it goes. If the machine's clock jumps ahead by years, this is the
/// time to set it right before everything is removed.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Since when segments have been found too old, by a clock that cannot be set.
#[derive(Debug, Default)]
pub(crate) struct Expiring(HashMap<u64, Instant>);

impl Expiring {
    /// Leaves those that are too old in `chosen` only if they have been for long enough.
    pub(crate) fn keep_due(&mut self, chosen: &mut Vec<(u64, Reason)>, now: Instant) {
        let aged = |id: u64, chosen: &[(u64, Reason)]| chosen.contains(&(id, Reason::Age));
        self.0.retain(|id, _| aged(*id, chosen));
        chosen.retain(|(id, reason)| match reason {
            Reason::Age => now.duration_since(*self.0.entry(*id).or_insert(now)) >= PATIENCE,
            Reason::Size => true,
        });
    }
}

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// All its records are older than they are kept.
    Age,
    /// The store is larger than it may be.
    Size,
}

/// The segments to be removed. `wal_bytes` counts towards the size, but is not removed.
pub(crate) fn choose(
    plan: &StorePlan,
    segments: &[SegmentEntry],
    wal_bytes: u64,
    space: Option<Space>,
    now: Timestamp,
) -> Vec<(u64, Reason)> {
    let horizon = now.saturating_sub(plan.retention);
    let mut bytes = wal_bytes + segments.iter().map(|segment| segment.bytes).sum::<u64>();
    let bytes_max = size_max(plan, bytes, space);
    let mut oldest_first: Vec<&SegmentEntry> = segments.iter().collect();
    oldest_first.sort_by_key(|segment| (segment.observed_max, segment.id));
    let mut chosen = Vec::new();
    for segment in oldest_first {
        let reason = if segment.observed_max < horizon {
            Reason::Age
        } else if bytes > bytes_max {
            Reason::Size
        } else {
            continue;
        };
        bytes -= segment.bytes;
        chosen.push((segment.id, reason));
    }
    chosen
}

/// Most bytes that the store may take, of which it takes `bytes` now.
fn size_max(plan: &StorePlan, bytes: u64, space: Option<Space>) -> u64 {
    match (plan.size_max, space) {
        (Some(size), _) => size,
        (None, Some(space)) => {
            let for_us = u128::from(bytes) + u128::from(space.available_bytes);
            (for_us * u128::from(SIZE_DEFAULT_PERCENT) / 100) as u64
        }
        (None, None) => u64::MAX,
    }
}

/// Bytes that must stay free on a disk.
pub(crate) fn free_min(plan: &StorePlan, space: Space) -> u64 {
    let part = space.total_bytes / 100 * FREE_DEFAULT_PERCENT;
    plan.free_min.unwrap_or(part.min(FREE_DEFAULT_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::DAY;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn segment(id: u64, bytes: u64, days_ago: u32) -> SegmentEntry {
        let seen = NOW.saturating_sub(DAY * days_ago);
        SegmentEntry {
            id,
            bytes,
            rows: 1,
            raw_bytes: 10 * bytes,
            time_min: Timestamp::MIN,
            time_max: Timestamp::EPOCH,
            observed_min: seen.saturating_sub(Duration::from_secs(60)),
            observed_max: seen,
            stray: true,
        }
    }

    fn plan(days: u32, size_max: Option<u64>) -> StorePlan {
        StorePlan { retention: DAY * days, size_max, ..StorePlan::default() }
    }

    #[test]
    fn age_counts_from_when_the_last_record_was_seen() {
        let segments = [segment(1, 10, 8), segment(2, 10, 7), segment(3, 10, 0)];
        assert_eq!(choose(&plan(7, None), &segments, 0, None, NOW), [(1, Reason::Age)]);
    }

    #[test]
    fn the_oldest_make_room_and_no_more_than_needed() {
        let segments = [segment(1, 10, 1), segment(2, 10, 3), segment(3, 10, 2)];
        let chosen = choose(&plan(30, Some(20)), &segments, 0, None, NOW);
        assert_eq!(chosen, [(2, Reason::Size)]);
        let chosen = choose(&plan(30, Some(20)), &segments, 5, None, NOW);
        assert_eq!(chosen, [(2, Reason::Size), (3, Reason::Size)]);
    }

    #[test]
    fn without_a_size_a_part_of_the_disk_stays_free() {
        let segments = [segment(1, 100, 2), segment(2, 500, 1)];
        let space = |available_bytes| Some(Space { total_bytes: 10_000, available_bytes });
        assert_eq!(choose(&plan(30, None), &segments, 0, space(200), NOW), []);
        assert_eq!(choose(&plan(30, None), &segments, 0, space(100), NOW), [(1, Reason::Size)]);
    }

    #[test]
    fn others_filling_the_disk_do_not_empty_the_store() {
        let space = Space { total_bytes: 10_000, available_bytes: 0 };
        let even: Vec<SegmentEntry> = (0..10).map(|id| segment(id, 60, 10 - id as u32)).collect();
        assert_eq!(choose(&plan(30, None), &even, 0, Some(space), NOW).len(), 2);
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_moment_removes_nothing() {
        let start = Instant::now();
        let mut expiring = Expiring::default();
        let mut look = |chosen: &[(u64, Reason)], minutes: u64| {
            let mut chosen = chosen.to_vec();
            expiring.keep_due(&mut chosen, start + Duration::from_secs(minutes * 60));
            chosen
        };
        assert_eq!(look(&[(1, Reason::Age), (2, Reason::Size)], 0), [(2, Reason::Size)]);
        assert_eq!(look(&[(1, Reason::Age)], 59), []);
        assert_eq!(look(&[], 60), []);
        assert_eq!(look(&[(1, Reason::Age)], 61), []);
        assert_eq!(look(&[(1, Reason::Age)], 121), [(1, Reason::Age)]);
    }

    #[test]
    fn what_stays_free_grows_with_the_disk_up_to_a_bound() {
        let of = |total_bytes| free_min(&plan(1, None), Space { total_bytes, available_bytes: 0 });
        assert_eq!((of(10_000), of(1 << 40)), (200, FREE_DEFAULT_BYTES_MAX));
        let set = StorePlan { free_min: Some(7), ..plan(1, None) };
        assert_eq!(free_min(&set, Space { total_bytes: 10_000, available_bytes: 0 }), 7);
    }
}
