//! Which records leave first, and a batch in two parts.
//!
//! Owns: the setting `urgent` of a buffer, dividing a batch by it, and what of its sources each part accounts for.
//! Does not own: the lanes themselves (`buffer`).
//! Invariant: both parts together have every record once and account for what the whole did. Neither accounts for
//! anything of a record that is in the other, so that whichever comes first, the other is not taken for a repetition.

use std::collections::HashMap;
use std::sync::Arc;

use sawyer_config::settings;
use sawyer_model::{Batch, Covered, SeqRange, SourceId};

use crate::steps::Condition;

/// The records that are urgent unless something else is set.
const DEFAULT: &str = "level: (error or fatal)";

settings! {
    /// Which records overtake the others in a buffer.
    pub struct UrgentSettings {
        /// Records that leave first, in KQL: they pass everything else that waits, also when the buffer is full.
        /// They are not in order with the others then. `null` keeps all in their order, as does an output that is
        /// told to keep it, unless this is set.
        pub urgent: Option<Condition> = Some(Condition::parse(DEFAULT).expect("it is a condition")),
    }
}

/// A batch on its way into a buffer.
#[derive(Debug)]
pub(super) enum Divided {
    /// All of it leaves first.
    Urgent(Arc<Batch>),
    /// Nothing of it does.
    Normal(Arc<Batch>),
    /// Some of it does.
    Both { urgent: Arc<Batch>, normal: Arc<Batch> },
}

/// Divides a batch.
pub(super) fn divide(batch: Arc<Batch>, urgent: Option<&Condition>) -> Divided {
    let Some(urgent) = urgent else { return Divided::Normal(batch) };
    let marks = urgent.matches_each(&batch);
    match marks.iter().filter(|mark| **mark).count() {
        0 => Divided::Normal(batch),
        count if count == marks.len() => Divided::Urgent(batch),
        _ => {
            let (urgent, normal) = apart(batch, &marks);
            Divided::Both { urgent, normal }
        }
    }
}

/// The first and the second half of a batch of several records; they account for what the whole does.
pub(super) fn in_halves(batch: &Arc<Batch>) -> (Arc<Batch>, Arc<Batch>) {
    let half = batch.len() / 2;
    let marks: Vec<bool> = (0..batch.len()).map(|at| at < half).collect();
    apart(Arc::clone(batch), &marks)
}

/// The records with a mark, and the others.
fn apart(batch: Arc<Batch>, marks: &[bool]) -> (Arc<Batch>, Arc<Batch>) {
    let mut urgent = Batch::new();
    let count = marks.iter().filter(|mark| **mark).count();
    urgent.reserve_records(count, batch.field_count() * count / marks.len().max(1));
    urgent.reserve_text(batch.text_bytes() * count / marks.len().max(1));
    urgent.push_from(&batch, (0..batch.len()).filter(|at| marks[*at]));
    if let Some((progress, number)) = batch.progress() {
        urgent.set_progress(progress, number);
    }
    // Mostly nobody else has it, and nothing is copied.
    let mut normal = Arc::unwrap_or_clone(batch);
    let parts = normal.covered().to_vec();
    let mut marks = marks.iter();
    normal.retain(|_| !marks.next().copied().unwrap_or(false));
    let own = normal.iter().map(|record| Covered { source: record.source(), range: record.range() });
    let covered = without(&parts, urgent.covered(), own);
    normal.set_covered(covered);
    (Arc::new(urgent), Arc::new(normal))
}

/// The parts less those that are taken out, and those of `own` in any case: pieces of sources do not overlap, but
/// whatever they do, a record accounts for its own.
fn without(parts: &[Covered], out: &[Covered], own: impl Iterator<Item = Covered>) -> Vec<Covered> {
    let mut holes: HashMap<SourceId, Vec<SeqRange>> = HashMap::new();
    for Covered { source, range } in out {
        holes.entry(*source).or_default().push(*range);
    }
    holes.values_mut().for_each(|ranges| ranges.sort_unstable());
    let mut rest = Batch::new();
    for Covered { source, range } in parts {
        let mut start = range.start;
        let holes = holes.get(source).map_or(&[][..], Vec::as_slice);
        let first = holes.partition_point(|hole| hole.end <= range.start);
        for hole in holes[first..].iter().take_while(|hole| hole.start < range.end) {
            rest.cover(*source, SeqRange::new(start, hole.start));
            start = start.max(hole.end);
        }
        rest.cover(*source, SeqRange::new(start, range.end));
    }
    // Records of the same source stand together, mostly in their order there.
    let mut last: (Option<SourceId>, &[SeqRange], usize) = (None, &[], 0);
    let overlaps = |part: &Covered| {
        if last.0 != Some(part.source) {
            last = (Some(part.source), holes.get(&part.source).map_or(&[][..], Vec::as_slice), 0);
        }
        let (_, holes, next) = &mut last;
        let start = part.range.start;
        let is_next = |at: usize| {
            (at == 0 || holes.get(at - 1).is_some_and(|hole| hole.end <= start))
                && holes.get(at).is_none_or(|hole| hole.end > start)
        };
        if !is_next(*next) {
            let behind = Some(*next + 1).filter(|behind| is_next(*behind));
            *next = behind.unwrap_or_else(|| holes.partition_point(|hole| hole.end <= start));
        }
        holes.get(*next).is_some_and(|hole| hole.start < part.range.end)
    };
    for part in own.filter(overlaps) {
        rest.cover(part.source, part.range);
    }
    rest.covered().to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sawyer_model::{NameId, RangeSet, RecordHead, Stream, Timestamp, ValueRef};

    use super::*;

    /// Records of two sources by their ranges and levels, and parts that are covered beside them.
    fn batch(records: &[(u128, u64, u64, &str)], beside: &[(u128, u64, u64)]) -> Arc<Batch> {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        for (source, start, end, level) in records {
            let time = Timestamp::EPOCH;
            let (source, range) = (SourceId(*source), SeqRange::new(*start, *end));
            let head = RecordHead { timestamp: time, observed: time, source, range };
            let mut record = batch.begin(head, stream);
            record.field_by_id(NameId::LEVEL, ValueRef::Str(level));
            record.field_by_id(NameId::MESSAGE, ValueRef::Str(&format!("{source}-{start}")));
        }
        for (source, start, end) in beside {
            batch.cover(SourceId(*source), SeqRange::new(*start, *end));
        }
        Arc::new(batch)
    }

    fn default() -> Option<Condition> {
        UrgentSettings::default().urgent
    }

    fn covered(batch: &Batch, source: u128) -> RangeSet {
        let parts = batch.covered().iter().filter(|part| part.source == SourceId(source));
        parts.map(|part| part.range).collect()
    }

    #[test]
    fn errors_and_worse_are_urgent_by_default() {
        let levels = |levels: &[&str]| {
            let records: Vec<_> = levels.iter().map(|level| (1, 0, 0, *level)).collect();
            divide(batch(&records, &[]), default().as_ref())
        };
        assert!(matches!(levels(&["warn", "info", "debug", "trace"]), Divided::Normal(_)));
        assert!(matches!(levels(&["error", "fatal"]), Divided::Urgent(_)));
        assert!(matches!(levels(&["error", "info"]), Divided::Both { .. }));
        assert!(matches!(divide(batch(&[(1, 0, 1, "error")], &[]), None), Divided::Normal(_)));
        assert!(matches!(divide(batch(&[], &[(1, 0, 9)]), default().as_ref()), Divided::Normal(_)));
    }

    #[test]
    fn each_part_accounts_for_its_own() {
        let whole = batch(
            &[(1, 0, 10, "info"), (1, 20, 30, "error"), (1, 30, 40, "info"), (2, 5, 6, "fatal")],
            &[(1, 10, 20), (2, 0, 5), (2, 6, 9)],
        );
        let Divided::Both { urgent, normal } = divide(whole, default().as_ref()) else { panic!() };
        let ranges =
            |batch, source| covered(batch, source).iter().map(|r| (r.start, r.end)).collect::<Vec<_>>();
        assert_eq!((ranges(&urgent, 1), ranges(&urgent, 2)), (vec![(20, 30)], vec![(5, 6)]));
        assert_eq!((ranges(&normal, 1), ranges(&normal, 2)), (vec![(0, 20), (30, 40)], vec![(0, 5), (6, 9)]));
        assert_eq!((urgent.len(), normal.len()), (2, 2));
    }

    #[test]
    fn both_parts_are_of_the_same_reading() {
        let mut whole = Arc::unwrap_or_clone(batch(&[(1, 0, 1, "info"), (1, 1, 2, "error")], &[]));
        let progress = Arc::new(sawyer_model::Progress::new(std::time::Instant::now()));
        whole.set_progress(&progress, 7);
        let Divided::Both { urgent, normal } = divide(Arc::new(whole), default().as_ref()) else { panic!() };
        for part in [urgent, normal] {
            let (of, number) = part.progress().unwrap();
            assert!(Arc::ptr_eq(of, &progress) && number == 7);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_accounted_for_twice(
            lengths in prop::collection::vec((1u128..3, 0u64..4, any::<bool>(), 0u64..3), 1..40),
        ) {
            let (mut at, mut records, mut beside) = ([0; 3], Vec::new(), Vec::new());
            for (source, length, urgent, gap) in &lengths {
                let place = &mut at[*source as usize];
                records.push((*source, *place, *place + length, if *urgent { "error" } else { "info" }));
                beside.push((*source, *place + length, *place + length + gap));
                *place += length + gap;
            }
            let whole = batch(&records, &beside);
            let Divided::Both { urgent, normal } = divide(Arc::clone(&whole), default().as_ref()) else { return Ok(()) };
            let say = |batch: &Batch| batch.iter().map(|r| format!("{:?}", r.to_record())).collect::<Vec<_>>();
            let mut parts = [say(&urgent), say(&normal)].concat();
            let mut all = say(&whole);
            parts.sort();
            all.sort();
            prop_assert_eq!(parts, all);
            for source in [1, 2] {
                let (mut one, two) = (covered(&urgent, source), covered(&normal, source));
                for range in two.iter() {
                    prop_assert_eq!(one.insert(range), range.len(), "in both");
                }
                prop_assert_eq!(one, covered(&whole, source));
            }
        }
    }
}
