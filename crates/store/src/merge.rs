//! Chooses which segments are merged into one.
//!
//! Owns: the choice. Does not own: merging (`compact`), or who runs it (`background`).
//! Invariant: only segments of one partition are merged, and never into more than the largest size, so a record
//! is rewritten at most once for each tier, and once more when its day is over.

use std::collections::BTreeMap;

use sawyer_model::Timestamp;

use crate::catalogue::{Partition, SegmentEntry};

/// How many segments of one tier are merged at once, and by which factor tiers differ in size. More means fewer
/// rewrites and more segments to search.
const FAN_IN: usize = 8;

/// Upper end of the lowest tier, before compression as all sizes here: that is what a merge takes in memory.
const TIER_BYTES: u64 = 256 << 10;

/// Most segments in one merge: bounds open readers and memory when very many small ones have piled up.
const INPUTS_MAX: usize = 64;

/// What the name of a field takes in memory while a segment with it is merged.
const NAME_BYTES: u64 = 512;

/// A segment with as many names as a choice is to see it: with what these take in a merge. Where records have names that no
/// other has, they take more than all values.
pub(crate) fn with_names(segment: SegmentEntry, names: usize) -> SegmentEntry {
    SegmentEntry { raw_bytes: segment.raw_bytes + names as u64 * NAME_BYTES, ..segment }
}

/// The numbers of segments that are best merged next, oldest first, leaving out those that are `busy`. Small
/// merges come first: they free most segments for the least work.
pub(crate) fn choose(
    segments: &[SegmentEntry],
    merged_bytes_max: u64,
    now: Timestamp,
    busy: impl Fn(u64) -> bool,
) -> Option<Vec<u64>> {
    let mut partitions: BTreeMap<Partition, Vec<&SegmentEntry>> = BTreeMap::new();
    for segment in segments {
        // What is nearly as large as it gets is left alone.
        if segment.raw_bytes <= merged_bytes_max / 2 && !busy(segment.id) {
            partitions.entry(segment.partition()).or_default().push(segment);
        }
    }
    let chosen = partitions.into_iter().filter_map(|(partition, segments)| {
        let due = in_one_tier(&segments, merged_bytes_max);
        due.or_else(|| leftovers(&segments, merged_bytes_max, partition.is_closed(now)))
    });
    let smallest = chosen.min_by_key(|chosen| chosen.iter().map(|segment| segment.raw_bytes).sum::<u64>())?;
    Some(smallest.into_iter().map(|segment| segment.id).collect())
}

/// Those of the oldest partition with any that are `hasty`, as many as fit, even if it is one: for when nothing else is to
/// be done. Unless the store is `idle`, only those that [`choose`] leaves alone: the others are merged anyway. What comes
/// of it is not hasty, so a record is rewritten once more at most.
pub(crate) fn choose_hasty(
    segments: &[SegmentEntry],
    merged_bytes_max: u64,
    idle: bool,
    hasty: impl Fn(u64) -> bool,
) -> Option<Vec<u64>> {
    let mut partitions: BTreeMap<Partition, Vec<&SegmentEntry>> = BTreeMap::new();
    let is_due =
        |segment: &&SegmentEntry| (idle || segment.raw_bytes > merged_bytes_max / 2) && hasty(segment.id);
    for segment in segments.iter().filter(is_due) {
        partitions.entry(segment.partition()).or_default().push(segment);
    }
    Some(together_or_alone(partitions.into_values().next()?, merged_bytes_max))
}

/// Those of the oldest partition with any that are `old` and not squeezed yet, as many as fit, even if it is one: for when
/// nothing else is to be done. What comes of it is squeezed, so a record is rewritten once more at most. Unless they are
/// wanted `soon`, those wait that will be merged with others of their day.
pub(crate) fn choose_old(
    segments: &[SegmentEntry],
    merged_bytes_max: u64,
    now: Timestamp,
    soon: bool,
    old: impl Fn(&SegmentEntry) -> bool,
) -> Option<Vec<u64>> {
    let mut partitions: BTreeMap<Partition, Vec<&SegmentEntry>> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| old(segment)) {
        let partition = segment.partition();
        if soon || segment.raw_bytes > merged_bytes_max / 2 || partition.is_closed(now) {
            partitions.entry(partition).or_default().push(segment);
        }
    }
    Some(together_or_alone(partitions.into_values().next()?, merged_bytes_max))
}

fn tier(segment: &SegmentEntry) -> u32 {
    (segment.raw_bytes / TIER_BYTES).checked_ilog(FAN_IN as u64).map_or(0, |tier| tier + 1)
}

/// The lowest tier that is full.
fn in_one_tier<'a>(segments: &[&'a SegmentEntry], bytes_max: u64) -> Option<Vec<&'a SegmentEntry>> {
    let mut tiers: BTreeMap<u32, Vec<&SegmentEntry>> = BTreeMap::new();
    for segment in segments {
        tiers.entry(tier(segment)).or_default().push(segment);
    }
    tiers.into_values().filter(|tier| tier.len() >= FAN_IN).find_map(|tier| fitting(tier, bytes_max))
}

/// All that is left of a day that is over, in one or a few segments.
fn leftovers<'a>(segments: &[&'a SegmentEntry], bytes_max: u64, over: bool) -> Option<Vec<&'a SegmentEntry>> {
    if over { fitting(segments.to_vec(), bytes_max) } else { None }
}

/// As many as fit, oldest first, or else the oldest one.
fn together_or_alone(mut segments: Vec<&SegmentEntry>, bytes_max: u64) -> Vec<u64> {
    segments.sort_by_key(|segment| (segment.observed_max, segment.id));
    let alone = vec![segments[0].id];
    fitting(segments, bytes_max)
        .map_or(alone, |several| several.into_iter().map(|segment| segment.id).collect())
}

/// As many as fit, oldest first, if they are at least two.
fn fitting(mut segments: Vec<&SegmentEntry>, bytes_max: u64) -> Option<Vec<&SegmentEntry>> {
    segments.sort_by_key(|segment| (segment.observed_max, segment.id));
    let mut bytes = 0;
    let fit = segments.iter().take(INPUTS_MAX).take_while(|segment| {
        bytes += segment.raw_bytes;
        bytes <= bytes_max
    });
    let count = fit.count();
    segments.truncate(count);
    (count >= 2).then_some(segments)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::DAY;

    const NOON: Timestamp = Timestamp::from_secs(1_799_971_200 + 43_200);
    const MAX: u64 = 96 << 20;

    fn segment(id: u64, bytes: u64, days_ago: u32) -> SegmentEntry {
        let seen = NOON.saturating_sub(DAY * days_ago);
        SegmentEntry {
            id,
            bytes: bytes / 8,
            rows: 1,
            raw_bytes: bytes,
            time_min: seen,
            time_max: seen,
            observed_min: seen,
            observed_max: seen,
            stray: false,
            kept_until: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_full_tier_is_merged() {
        let seven: Vec<_> = (0..7).map(|id| segment(id, 10_000, 0)).collect();
        assert_eq!(choose(&seven, MAX, NOON, |_| false), None);
        let eight: Vec<_> = (0..8).map(|id| segment(id, 10_000, 0)).collect();
        assert_eq!(choose(&eight, MAX, NOON, |_| false), Some((0..8).collect()));
        assert_eq!(choose(&eight, MAX, NOON, |id| id == 3), None);
    }

    #[test]
    fn names_take_room_as_well() {
        let all =
            |names: usize| (0..8).map(|id| with_names(segment(id, 10_000, 0), names)).collect::<Vec<_>>();
        assert_eq!(choose(&all(20), MAX, NOON, |_| false), Some((0..8).collect()));
        assert_eq!(choose(&all(200_000), MAX, NOON, |_| false), None);
        let after_its_day: Vec<_> = (0..8).map(|id| with_names(segment(id, 10_000, 3), 40_000)).collect();
        let chosen = choose(&after_its_day, MAX, NOON, |_| false).unwrap();
        assert!(chosen.len() < 8, "as many as fit: {chosen:?}");
    }

    #[test]
    fn what_was_made_in_haste_is_put_together_within_its_day() {
        let segments = [
            segment(1, 9_000_000, 3),
            segment(2, 100, 0),
            segment(3, 90_000_000, 3),
            segment(4, 9_000_000, 3),
        ];
        assert_eq!(choose_hasty(&segments, MAX, true, |_| true), Some(vec![1, 3]), "as many as fit");
        assert_eq!(choose_hasty(&segments, MAX, true, |id| id == 3 || id == 2), Some(vec![3]));
        assert_eq!(choose_hasty(&segments, MAX, true, |id| id == 2), Some(vec![2]));
        assert_eq!(choose_hasty(&segments, MAX, true, |_| false), None);
    }

    #[test]
    fn what_no_merge_takes_does_not_wait_for_the_load_to_end() {
        let segments = [segment(1, 9_000_000, 0), segment(2, 90_000_000, 0), segment(3, 60_000_000, 0)];
        assert_eq!(choose(&segments, MAX, NOON, |_| false), None);
        assert_eq!(choose_hasty(&segments, MAX, false, |_| true), Some(vec![2]));
        assert_eq!(choose_hasty(&segments, MAX, false, |id| id != 2), Some(vec![3]));
        assert_eq!(choose_hasty(&segments, MAX, false, |id| id == 1), None, "it will be merged with others");
    }

    #[test]
    fn days_and_strays_are_not_mixed() {
        let mut segments: Vec<_> = (0..12).map(|id| segment(id, 10_000, (id % 2) as u32)).collect();
        assert_eq!(choose(&segments, MAX, NOON, |_| false), None);
        segments = (0..12).map(|id| SegmentEntry { stray: id % 2 == 0, ..segment(id, 10_000, 0) }).collect();
        assert_eq!(choose(&segments, MAX, NOON, |_| false), None);
    }

    #[test]
    fn a_day_that_is_over_is_put_together() {
        let segments = [segment(1, 9_000_000, 3), segment(2, 100, 3), segment(3, 90_000_000, 3)];
        assert_eq!(choose(&segments, MAX, NOON, |_| false), Some(vec![1, 2]));
    }

    proptest! {
        /// Seals one segment after the other, and merges whatever is chosen.
        #[test]
        fn writing_is_amplified_little_and_segments_stay_few(
            sizes in prop::collection::vec(1_000u64..1_600_000, 1..600),
        ) {
            let (mut segments, mut next, mut rewritten) = (Vec::new(), 0, 0);
            let total: u64 = sizes.iter().sum();
            for bytes in sizes {
                segments.push(segment(next, bytes, 0));
                next += 1;
                while let Some(chosen) = choose(&segments, MAX, NOON, |_| false) {
                    prop_assert!(chosen.len() >= 2);
                    let merged: u64 = segments.iter().filter(|s| chosen.contains(&s.id)).map(|s| s.raw_bytes).sum();
                    prop_assert!(merged <= MAX);
                    segments.retain(|s| !chosen.contains(&s.id));
                    segments.push(segment(next, merged, 0));
                    (next, rewritten) = (next + 1, rewritten + merged);
                }
                let large = segments.iter().filter(|s| s.raw_bytes > MAX / 2).count();
                prop_assert!(segments.len() - large <= 5 * FAN_IN, "segments={}", segments.len());
            }
            // Tiers between 256 KiB and 48 MiB, and the lowest.
            prop_assert!(rewritten <= total * 5, "total={total} rewritten={rewritten}");
        }
    }
}
