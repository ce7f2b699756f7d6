//! Chooses which records are removed because they are too old, or because there are too many.
//!
//! Owns: the choice, what "no size is set" means, and patience with a clock that is wrong.
//! Does not own: which records are of which class (`policy`), removing anything (`keeper`, `trim`).
//! Invariant: a class goes from a segment as a whole, those first that were seen longest ago, and those last that are
//! to be kept until a time to come; age counts from `observed`. So a segment is written again at most once for each class.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_disk::Space;
use sawyer_model::Timestamp;

use crate::catalogue::SegmentEntry;
use crate::policy::Classes;
use crate::settings::{FREE_DEFAULT_BYTES_MAX, FREE_DEFAULT_PERCENT, SIZE_DEFAULT_PERCENT, StorePlan};

/// How long a segment must have been too old before it goes. If the machine's clock jumps ahead by years, this is the
/// time to set it right before everything is removed.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Since when classes of segments have been found too old, by a clock that cannot be set.
#[derive(Debug, Default)]
pub(crate) struct Expiring(HashMap<(u64, usize), Instant>);

/// How many records of each class segments have, by their numbers, as far as it is known.
pub(crate) type Profiles = HashMap<u64, Arc<[u64]>>;

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The records are older than they are kept.
    Age,
    /// There are more of them than there may be.
    Size,
}

/// What is to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Segments of which nothing stays.
    pub(crate) whole: BTreeMap<u64, Reason>,
    /// Classes that go from segments of which something stays.
    pub(crate) parts: BTreeMap<u64, Classes>,
    /// Segments of which it has to be known what they have.
    pub(crate) unknown: Vec<u64>,
}

/// What is there, and when it is.
pub(crate) struct Held<'a> {
    pub(crate) segments: &'a [SegmentEntry],
    pub(crate) profiles: &'a Profiles,
    /// Counts towards the size, but is not removed.
    pub(crate) wal_bytes: u64,
    pub(crate) space: Option<Space>,
    pub(crate) now: Timestamp,
}

/// A segment while it is being chosen.
struct Candidate<'a> {
    entry: &'a SegmentEntry,
    profile: Option<Arc<[u64]>>,
    /// Whether the profile is not what it has, but what follows from its age: it says nothing of sizes.
    guessed: bool,
    gone: BTreeMap<usize, Reason>,
}

impl Candidate<'_> {
    /// About how many bytes a class takes.
    fn bytes(&self, class: usize) -> u64 {
        self.profile.as_ref().map_or(0, |rows| share(self.entry, rows[class]))
    }

    /// Classes that it has and that stay.
    fn staying(&self) -> impl Iterator<Item = usize> + '_ {
        let rows = self.profile.as_deref().unwrap_or_default();
        let there = rows.iter().enumerate().filter(|(_, rows)| **rows > 0).map(|(class, _)| class);
        there.filter(|class| !self.gone.contains_key(class))
    }

    /// Bytes that stay.
    fn bytes_left(&self) -> u64 {
        let gone: u64 = self.gone.keys().map(|class| self.bytes(*class)).sum();
        self.entry.bytes.saturating_sub(gone)
    }
}

/// The part of a segment's bytes that so many of its records take.
pub(crate) fn share(entry: &SegmentEntry, rows: u64) -> u64 {
    (u128::from(entry.bytes) * u128::from(rows) / u128::from(entry.rows.max(1))) as u64
}

/// What is to be removed. `patient` says whether a class of a segment that is too old goes now.
pub(crate) fn choose(
    plan: &StorePlan,
    held: &Held<'_>,
    patient: &mut dyn FnMut(u64, usize) -> bool,
) -> Choice {
    let mut candidates: Vec<Candidate<'_>> = held.segments.iter().map(|e| candidate(plan, held, e)).collect();
    // What is kept because somebody said so goes last.
    candidates.sort_by_key(|Candidate { entry, .. }| {
        (entry.kept_until > held.now, seen(entry, plan.retention), entry.id)
    });
    let mut choice = Choice::default();
    for candidate in &mut candidates {
        if !mark_old(plan, held.now, candidate, patient) {
            choice.unknown.push(candidate.entry.id);
        }
    }
    for class in 0..plan.classes() {
        if let Some(bytes_max) = plan.class_bytes_max(class) {
            mark_class_beyond(&mut candidates, class, bytes_max);
        }
    }
    let bytes = held.wal_bytes + held.segments.iter().map(|segment| segment.bytes).sum::<u64>();
    let bytes_max = size_max(plan, bytes, held.space);
    let going = |candidate: &Candidate<'_>| candidate.profile.is_some() && candidate.staying().count() == 0;
    let left = |candidate: &Candidate<'_>| if going(candidate) { 0 } else { candidate.bytes_left() };
    let mut bytes = held.wal_bytes + candidates.iter().map(left).sum::<u64>();
    for candidate in &candidates {
        let (id, entry_left) = (candidate.entry.id, left(candidate));
        if going(candidate) {
            // The reason of what went last is the reason why nothing is left.
            let reason = candidate.gone.values().max().copied().unwrap_or(Reason::Age);
            choice.whole.insert(id, reason);
        } else if bytes > bytes_max {
            bytes -= entry_left;
            choice.whole.insert(id, Reason::Size);
        } else if !candidate.gone.is_empty() {
            let mut classes = Classes::default();
            candidate.gone.keys().for_each(|class| classes.insert(*class));
            choice.parts.insert(id, classes);
        }
    }
    choice
}

/// A segment with what is known of it. If there are no policies, or all classes have the same end, nothing has to be.
fn candidate<'a>(plan: &StorePlan, held: &Held<'_>, entry: &'a SegmentEntry) -> Candidate<'a> {
    let mut profile =
        held.profiles.get(&entry.id).filter(|rows| rows.len() == plan.classes()).map(Arc::clone);
    let longest = (0..plan.classes()).map(|class| plan.keep(class)).max().unwrap_or(plan.retention);
    let guessed = profile.is_none() && (plan.policies.is_empty() || is_old(entry, longest, held.now));
    if guessed {
        // All of it counts as of the class that is kept longest.
        let class = (0..plan.classes()).max_by_key(|class| plan.keep(*class)).unwrap_or(0);
        profile = Some((0..plan.classes()).map(|c| if c == class { entry.rows } else { 0 }).collect());
    }
    Candidate { entry, profile, guessed, gone: BTreeMap::new() }
}

/// When the last record of a segment that is kept so long counts as seen: what was restored goes when it was said.
fn seen(entry: &SegmentEntry, keep: Duration) -> Timestamp {
    entry.observed_max.max(entry.kept_until.saturating_sub(keep))
}

/// Whether all records of a segment that are kept so long have been there long enough.
pub(crate) fn is_old(entry: &SegmentEntry, keep: Duration, now: Timestamp) -> bool {
    seen(entry, keep) < now.saturating_sub(keep)
}

/// Marks the classes that are too old; says no if it has to be known what the segment has.
fn mark_old(
    plan: &StorePlan,
    now: Timestamp,
    candidate: &mut Candidate<'_>,
    patient: &mut dyn FnMut(u64, usize) -> bool,
) -> bool {
    let old = |class: &usize| is_old(candidate.entry, plan.keep(*class), now);
    if candidate.profile.is_none() {
        let sized = (0..plan.classes()).any(|class| plan.class_bytes_max(class).is_some());
        return !sized && !(0..plan.classes()).any(|class| old(&class));
    }
    let old: Vec<usize> = candidate.staying().filter(old).collect();
    for class in old {
        if patient(candidate.entry.id, class) {
            candidate.gone.insert(class, Reason::Age);
        }
    }
    true
}

/// Marks a class in the oldest segments until no more than so many bytes of it are left.
fn mark_class_beyond(candidates: &mut [Candidate<'_>], class: usize, bytes_max: u64) {
    let has =
        |candidate: &Candidate<'_>| !candidate.guessed && candidate.staying().any(|staying| staying == class);
    let mut bytes: u64 = candidates.iter().filter(|c| has(c)).map(|c| c.bytes(class)).sum();
    for candidate in candidates.iter_mut().filter(|candidate| has(candidate)) {
        if bytes <= bytes_max {
            return;
        }
        bytes -= candidate.bytes(class);
        candidate.gone.insert(class, Reason::Size);
    }
}

impl Expiring {
    /// Whether a class of a segment has been too old for long enough.
    pub(crate) fn is_due(&mut self, id: u64, class: usize, now: Instant) -> bool {
        now.duration_since(*self.0.entry((id, class)).or_insert(now)) >= PATIENCE
    }

    /// Forgets what was not found too old this time.
    pub(crate) fn keep_only(&mut self, found: &HashSet<(u64, usize)>) {
        self.0.retain(|known, _| found.contains(known));
    }
}

/// Most bytes that the store may take, of which it takes `bytes` now.
pub(crate) fn size_max(plan: &StorePlan, bytes: u64, space: Option<Space>) -> u64 {
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
mod tests;
