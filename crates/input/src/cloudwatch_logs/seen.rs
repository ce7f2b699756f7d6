//! Which events of a log group were read before, as far back as is looked.
//!
//! Owns: their place among the offsets of the input.
//! Does not own: how far back is looked (`cursor`).
//! Invariant: an event is here only after it was durable at the next hop.
//!
//! The offsets file has sources and parts of them. Here a source is a minute of a group, and an event a part of it, as long
//! as one: a hash of its id.

use std::collections::BTreeSet;

use sawyer_model::{SeqRange, SourceId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use crate::offsets::Offsets;

/// The time that has a source of its own. Longer would make sets that are slow to change.
const SLICE_MILLIS: i64 = 60_000;

/// Ids that are remembered of a group at most, about 30 MB of them; then the oldest are forgotten, and what is looked at again
/// of that time is there twice, under the same name.
const IDS_MAX: usize = 1_000_000;

/// Ids that are remembered of all groups, each with the same part: they are saved together, in a file that has a bound.
const IDS_OF_ALL_MAX: usize = 12_000_000;

/// What tells slices from the group itself among the offsets.
const SLICE: u64 = 1;

/// What was read of a group.
#[derive(Debug)]
pub(super) struct Seen {
    region: String,
    group: String,
    /// The slices of which something is remembered.
    slices: BTreeSet<i64>,
    ids: usize,
}

/// An event, as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    slice: i64,
    hash: u64,
}

impl Mark {
    pub(super) fn of(id: &str, millis: i64) -> Self {
        let hash = xxh3_64(id.as_bytes()).min(u64::MAX - 1);
        Self { slice: millis.div_euclid(SLICE_MILLIS), hash }
    }

    fn range(self) -> SeqRange {
        SeqRange::new(self.hash, self.hash + 1)
    }
}

impl Seen {
    /// What the offsets remember.
    pub(super) fn open(region: &str, group: &str, offsets: &Offsets) -> Self {
        let (region, group) = (region.to_owned(), group.to_owned());
        let mut seen = Self { region, group, slices: BTreeSet::new(), ids: 0 };
        let of_group = |progress: &&crate::offsets::Progress| {
            *progress.group == *seen.group && progress.inode.0 == SLICE
        };
        let slices = offsets.iter().map(|(_, progress)| progress).filter(of_group);
        let slices: Vec<_> =
            slices.map(|slice| (slice.inode.1.cast_signed(), slice.acked.range_count())).collect();
        seen.ids = slices.iter().map(|(_, ids)| ids).sum();
        seen.slices.extend(slices.into_iter().map(|(slice, _)| slice));
        seen
    }

    /// The group itself among the offsets: up to where it was read, in milliseconds.
    pub(super) fn source(&self) -> SourceId {
        SourceId::of(&[b"cloudwatch_logs", self.region.as_bytes(), self.group.as_bytes()])
    }

    fn slice_source(&self, slice: i64) -> SourceId {
        let (region, group) = (self.region.as_bytes(), self.group.as_bytes());
        SourceId::of(&[b"cloudwatch_logs slice", region, group, &slice.to_le_bytes()])
    }

    /// Whether an event was read before.
    pub(super) fn has(&self, mark: Mark, offsets: &Offsets) -> bool {
        self.slices.contains(&mark.slice)
            && offsets
                .get(self.slice_source(mark.slice))
                .is_some_and(|slice| slice.acked.contains(mark.range()))
    }

    /// These are durable. The group is one of so many.
    pub(super) fn add(&mut self, marks: &[Mark], now: Timestamp, groups: usize, offsets: &mut Offsets) {
        for mark in marks {
            let progress = offsets.edit(self.slice_source(mark.slice));
            if self.slices.insert(mark.slice) {
                progress.group = (&*self.group).into();
                progress.inode = (SLICE, mark.slice.cast_unsigned());
            }
            progress.seen = now;
            self.ids += usize::from(progress.acked.insert(mark.range()) > 0);
        }
        let ids_max = IDS_MAX.min(IDS_OF_ALL_MAX / groups.max(1));
        while self.ids > ids_max && self.slices.len() > 1 {
            self.forget_first(offsets);
        }
    }

    /// Everything up to there was read, and nothing before that is looked at any more.
    pub(super) fn read_to(
        &mut self,
        done_to: i64,
        forgotten_before: i64,
        now: Timestamp,
        offsets: &mut Offsets,
    ) {
        let progress = offsets.edit(self.source());
        progress.group = (&*self.group).into();
        progress.seen = now;
        progress.acked.insert(SeqRange::new(0, u64::try_from(done_to).unwrap_or(0)));
        let first = forgotten_before.div_euclid(SLICE_MILLIS);
        while self.slices.first().is_some_and(|slice| *slice < first) {
            self.forget_first(offsets);
        }
    }

    fn forget_first(&mut self, offsets: &mut Offsets) {
        let Some(slice) = self.slices.pop_first() else { return };
        let forgotten = offsets.remove(self.slice_source(slice));
        self.ids -= forgotten.map_or(0, |progress| progress.acked.range_count()).min(self.ids);
    }
}
