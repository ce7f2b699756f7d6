//! Writes segments again without the records that retention chose.
//!
//! Owns: what is known of the classes of segments, and what goes from which.
//! Does not own: the choice (`retention`), which record is of which class (`policy`), writing (`compact`).
//! Invariant: a merge leaves out what is to go from its inputs, so that nothing is written twice for it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use sawyer_model::{Error, ErrorKind};
use sawyer_query::search::Budget;
use sawyer_segment::Rows;

use crate::catalogue::SegmentEntry;
use crate::engine::Engine;
use crate::error::Result;
use crate::policy::{self, Classes};
use crate::retention::{Choice, Held, choose, share};
use crate::sealed::Sealed;

/// What is to be done with segments of which something stays.
#[derive(Debug, Default)]
pub(crate) struct Trims {
    /// What goes from which.
    parts: BTreeMap<u64, Classes>,
    /// Of which it has to be known what they have, next last.
    unknown: Vec<u64>,
}

/// What goes from the inputs of a merge.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    /// For each input and each block the rows; empty where nothing goes.
    pub(crate) rows: Vec<Vec<Rows>>,
    /// The classes, by the number of the segment.
    classes: Vec<(u64, Classes)>,
}

impl Removal {
    fn records(&self) -> u64 {
        self.rows.iter().flatten().map(|rows| rows.count() as u64).sum()
    }
}

impl Engine {
    /// Chooses what is to go now: too old is what has been found so for a while.
    pub(crate) fn choose_patiently(&self, held: &Held<'_>) -> Choice {
        if !self.has_threads() {
            return choose(&self.plan, held, &mut |_, _| true);
        }
        let mut expiring = self.expiring.lock();
        let (now, mut found) = (Instant::now(), HashSet::new());
        let choice = choose(&self.plan, held, &mut |id, class| {
            found.insert((id, class));
            expiring.is_due(id, class, now)
        });
        expiring.keep_only(&found);
        choice
    }

    /// Notes what is to be done by those who merge.
    pub(crate) fn note_choice(&self, choice: Choice) {
        if self.plan.policies.is_empty() {
            return;
        }
        let there: HashSet<u64> = self.live.read().segments.iter().map(|segment| segment.entry.id).collect();
        let mut profiles = self.profiles.lock();
        profiles.retain(|id, _| there.contains(id));
        let entries: Vec<SegmentEntry> = self.live.read().segments.iter().map(|s| s.entry).collect();
        for (class, gauge) in self.counters.bytes_by_class.iter().enumerate() {
            let of =
                |entry: &SegmentEntry| profiles.get(&entry.id).map_or(0, |rows| share(entry, rows[class]));
            gauge.set(entries.iter().map(of).sum::<u64>() as i64);
        }
        drop(profiles);
        let Choice { parts, mut unknown, .. } = choice;
        unknown.reverse();
        *self.trims.lock() = Trims { parts, unknown };
    }

    /// Does one thing that policies ask for: finds out what a segment has, or writes one again. Says whether there
    /// was anything to do.
    pub(crate) fn trim_one(&self) -> Result<bool> {
        if self.plan.policies.is_empty() {
            return Ok(false);
        }
        let unknown = self.trims.lock().unknown.pop();
        if let Some(id) = unknown {
            self.profile(id);
            return Ok(true);
        }
        let Some(input) = self.claim_trim() else { return Ok(false) };
        let inputs = [input];
        let trimmed = self.trim(&inputs);
        self.give_back(&inputs);
        trimmed.map(|()| true)
    }

    fn profile(&self, id: u64) {
        let segment = self.live.read().segments.iter().find(|segment| segment.entry.id == id).map(Arc::clone);
        let Some(segment) = segment.filter(|s| !s.is_damaged() && !s.rests(self.clock.now())) else { return };
        match policy::profile(&segment.segment, None, &self.plan.policies, &Budget::unlimited()) {
            Ok(Some(profile)) => drop(self.profiles.lock().insert(id, profile.into())),
            Ok(None) => {}
            Err(error) => self.note_unfit(&segment, &error),
        }
    }

    /// About how many bytes a class takes; what is not known of segments yet is found out.
    pub(crate) fn bytes_of_class(&self, class: usize) -> u64 {
        let entries: Vec<SegmentEntry> = self.live.read().segments.iter().map(|s| s.entry).collect();
        let unknown = |entry: &&SegmentEntry| !self.profiles.lock().contains_key(&entry.id);
        entries.iter().filter(unknown).for_each(|entry| self.profile(entry.id));
        let profiles = self.profiles.lock();
        let of = |entry: &SegmentEntry| profiles.get(&entry.id).map_or(0, |rows| share(entry, rows[class]));
        entries.iter().map(of).sum()
    }

    fn note_unfit(&self, segment: &Sealed, error: &Error) {
        self.note_unreadable(segment, error);
        if error.kind() != ErrorKind::Corrupt {
            segment.let_rest(self.clock.now());
        }
    }

    /// Takes the next segment from which something goes, so that no other thread does.
    fn claim_trim(&self) -> Option<Arc<Sealed>> {
        let mut merging = self.merging.lock();
        let mut trims = self.trims.lock();
        let live = self.live.read();
        let now = self.clock.now();
        let fit = |segment: &&Arc<Sealed>| {
            let id = segment.entry.id;
            trims.parts.contains_key(&id)
                && !merging.contains(&id)
                && !segment.is_damaged()
                && !segment.rests(now)
        };
        let Some(chosen) = live.segments.iter().find(fit).map(Arc::clone) else {
            // What is not there any more need not be looked for again.
            trims.parts.retain(|id, _| merging.contains(id));
            return None;
        };
        merging.push(chosen.entry.id);
        Some(chosen)
    }

    fn trim(&self, inputs: &[Arc<Sealed>; 1]) -> Result<()> {
        let Some(removal) = self.removal(inputs) else { return Ok(()) };
        let Some(written) = self.rewrite(inputs, &removal.rows)? else { return Ok(()) };
        self.note_removal(&removal);
        let bytes = written.map_or(0, |written| written.entry.bytes);
        self.counters.trimmed.inc();
        self.counters.trimmed_bytes.inc_by(bytes);
        let entry = &inputs[0].entry;
        let records = removal.records();
        tracing::info!(
            segment = entry.id,
            records,
            before = entry.bytes,
            bytes,
            "retention trimmed a segment"
        );
        Ok(())
    }

    /// What goes from each of these; none if one cannot be read now.
    pub(crate) fn removal(&self, inputs: &[Arc<Sealed>]) -> Option<Removal> {
        let mut removal = Removal::default();
        if self.plan.policies.is_empty() {
            return Some(removal);
        }
        for input in inputs {
            let id = input.entry.id;
            let classes = self.trims.lock().parts.remove(&id).unwrap_or_default();
            removal.classes.push((id, classes));
            if classes.is_empty() {
                removal.rows.push(Vec::new());
                continue;
            }
            let segment = &input.segment;
            let rows = (0..segment.blocks().len()).map(|block| {
                policy::rows_of(segment, block, &self.plan.policies, classes, &Budget::unlimited())
            });
            match rows.collect::<std::result::Result<Vec<Rows>, Error>>() {
                Ok(rows) => removal.rows.push(rows),
                Err(error) => {
                    self.note_unfit(input, &error);
                    return None;
                }
            }
        }
        Some(removal)
    }

    /// Counts what went from segments.
    pub(crate) fn note_removal(&self, removal: &Removal) {
        self.counters.expired_records.inc_by(removal.records());
        let profiles = self.profiles.lock();
        for (id, classes) in &removal.classes {
            let rows = profiles.get(id).map(|profile| profile.iter()).unwrap_or_default();
            for (class, rows) in rows.enumerate().filter(|(class, _)| classes.contains(*class)) {
                self.counters.removed_by_class[class].inc_by(*rows);
            }
        }
    }

    /// Counts the records of segments that went as a whole. Without policies they are of one class; otherwise what is
    /// not known of them counts for none.
    pub(crate) fn count_removed(&self, entries: &[SegmentEntry]) {
        let profiles = self.profiles.lock();
        for entry in entries {
            match profiles.get(&entry.id) {
                Some(profile) => {
                    for (counter, rows) in self.counters.removed_by_class.iter().zip(profile.iter()) {
                        counter.inc_by(*rows);
                    }
                }
                None if self.plan.policies.is_empty() => {
                    self.counters.removed_by_class[0].inc_by(entry.rows);
                }
                None => {}
            }
        }
    }
}
