//! Merges segments, removes those that retention chose, and puts damaged ones aside.
//!
//! Owns: carrying the choices out. Does not own: the choices (`merge`, `retention`), which rows go (`trim`).
//! Invariant: the segments that go and those that replace them change in one step of the catalogue.

use std::sync::Arc;

use sawyer_model::{Error, ErrorKind};
use sawyer_segment::{EncodeSettings, Rows, Segment, Unreadable, merge_without};

use crate::catalogue::{Catalogue, Partition, SegmentEntry};
use crate::engine::Engine;
use crate::error::{Result, StoreError};
use crate::keeper::{Keeper, segment_path};
use crate::problems::{Problem, quarantine};
use crate::retention::{Held, Reason};
use crate::seal::WriteError;
use crate::sealed::Sealed;
use crate::settings::DAY;
use crate::{merge, wal};

/// What a merge came to.
enum Merged {
    Segment(Box<Sealed>),
    /// An input cannot be read, or the store is closing.
    Nothing,
}

impl Engine {
    /// Does the merge that is due first; says whether there was one.
    pub(crate) fn merge_one(&self) -> Result<bool> {
        let Some(inputs) = self.claim_inputs() else { return Ok(false) };
        let merged = self.merge(&inputs);
        self.give_back(&inputs);
        merged
    }

    /// Gives back segments that were claimed.
    pub(crate) fn give_back(&self, inputs: &[Arc<Sealed>]) {
        self.merging.lock().retain(|id| !inputs.iter().any(|input| input.entry.id == *id));
    }

    /// Chooses what to merge and marks it, so that no other thread does.
    fn claim_inputs(&self) -> Option<Vec<Arc<Sealed>>> {
        let mut merging = self.merging.lock();
        let (segments, idle) = {
            let live = self.live.read();
            (live.segments.clone(), live.rows_in_memory() == 0)
        };
        let seen = |s: &Arc<Sealed>| merge::with_names(s.entry, s.segment.field_names().len());
        let entries: Vec<_> = segments.iter().map(seen).collect();
        let now = self.clock.now();
        let unfit = |id: u64| segments.iter().any(|s| s.entry.id == id && (s.is_damaged() || s.rests(now)));
        let busy = |id: u64| merging.contains(&id) || unfit(id);
        let bytes_max = self.plan.merged_bytes_max;
        let chosen = merge::choose(&entries, bytes_max, now, busy).or_else(|| {
            let hasty =
                |id: u64| !busy(id) && segments.iter().any(|s| s.entry.id == id && s.segment.is_hasty());
            merge::choose_hasty(&entries, bytes_max, idle, hasty)
        });
        let chosen = chosen.or_else(|| {
            let soon = self.plan.squeeze_after < DAY;
            let squeezed = |id: u64| segments.iter().any(|s| s.entry.id == id && s.segment.is_squeezed());
            let old = |entry: &SegmentEntry| self.is_old(entry) && !busy(entry.id) && !squeezed(entry.id);
            merge::choose_old(&entries, bytes_max, now, soon, old)
        })?;
        merging.extend(&chosen);
        Some(segments.into_iter().filter(|segment| chosen.contains(&segment.entry.id)).collect())
    }

    /// Whether its records are so old that it is to be as small as can be.
    pub(crate) fn is_old(&self, entry: &SegmentEntry) -> bool {
        self.clock.now().since(entry.observed_max) >= self.plan.squeeze_after
    }

    fn merge(&self, inputs: &[Arc<Sealed>]) -> Result<bool> {
        let Some(removal) = self.removal(inputs) else { return Ok(false) };
        let Some(merged) = self.rewrite(inputs, &removal.rows)? else { return Ok(false) };
        self.note_removal(&removal);
        if let Some(merged) = merged {
            self.counters.merged.inc();
            self.counters.merged_bytes.inc_by(merged.entry.bytes);
        }
        Ok(true)
    }

    /// Puts one segment in the place of these, without the rows in `removed` (for each input a set for each of its
    /// blocks, or nothing); none at all if no row stays. `None` if an input cannot be read, or the store is closing.
    pub(crate) fn rewrite(
        &self,
        inputs: &[Arc<Sealed>],
        removed: &[Vec<Rows>],
    ) -> Result<Option<Option<Arc<Sealed>>>> {
        let going = removed.iter().flatten().map(|rows| rows.count() as u64).sum::<u64>();
        let written = if going == inputs.iter().map(|input| input.entry.rows).sum::<u64>() {
            None
        } else {
            let Merged::Segment(merged) = self.write_merged(inputs, removed)? else { return Ok(None) };
            let merged: Arc<Sealed> = Arc::from(merged);
            self.sync_segments(std::slice::from_ref(&merged))?;
            Some(merged)
        };
        let mut keeper = self.keeper.lock();
        if !inputs.iter().all(|input| keeper.catalogue().find(input.entry.id).is_some()) {
            // Retention or damage took one of them meanwhile.
            written.iter().for_each(|merged| keeper.discard_later(merged));
            return Ok(Some(None));
        }
        let changed = keeper.change(&*self.disk, |catalogue| {
            for input in inputs {
                catalogue.remove(input.entry.id);
            }
            catalogue.segments.extend(written.iter().map(|merged| merged.entry));
        });
        changed.inspect_err(|_| written.iter().for_each(|merged| keeper.discard_later(merged)))?;
        let mut live = self.live.write();
        for input in inputs {
            live.remove(input.entry.id);
        }
        if let Some(merged) = &written {
            live.add(Arc::clone(merged));
        }
        drop(live);
        inputs.iter().for_each(|input| keeper.discard(input));
        Ok(Some(written))
    }

    fn write_merged(&self, inputs: &[Arc<Sealed>], removed: &[Vec<Rows>]) -> Result<Merged> {
        let old = inputs.iter().all(|input| self.is_old(&input.entry));
        let segments: Vec<&Segment> = inputs.iter().map(|input| &input.segment).collect();
        match self.write_without(&segments, removed, inputs[0].entry.partition(), old) {
            Ok(segment) => Ok(Merged::Segment(Box::new(segment))),
            Err(WriteError::Stopped) => Ok(Merged::Nothing),
            Err(WriteError::Input(Unreadable { input, error })) => {
                self.note_unreadable(&inputs[input], &error);
                inputs[input].let_rest(self.clock.now());
                Ok(Merged::Nothing)
            }
            Err(error) => Err(error.into_store()),
        }
    }

    /// Writes one segment of a partition of what stays of these, squeezed if it is `old`.
    pub(crate) fn write_without(
        &self,
        segments: &[&Segment],
        removed: &[Vec<Rows>],
        partition: Partition,
        old: bool,
    ) -> Result<Sealed, WriteError> {
        let raw_bytes = segments.iter().map(|segment| segment.summary().raw_bytes).sum();
        let settings = if old { EncodeSettings::squeezing(raw_bytes) } else { EncodeSettings::default() };
        self.write_segment(partition, |sink| {
            merge_without(segments, removed, &settings, &mut |piece| {
                if self.is_stopping() { Err(WriteError::Stopped) } else { sink(piece) }
            })
        })
    }

    /// Notes that a segment cannot be read. A damaged one is left out from now on, and put aside soon.
    pub(crate) fn note_unreadable(&self, segment: &Sealed, error: &Error) {
        if error.kind() == ErrorKind::Corrupt {
            if segment.note_damage() {
                self.suspects.lock().push((segment.entry.id, error.chain()));
                self.work.wake();
            }
        } else if self.refusals.pass(self.clock.now()).is_some() {
            let path = segment_path(segment.entry.id);
            tracing::error!(error = error.chain(), path = %path.display(), "read a segment");
        }
    }

    /// Puts segments aside that turned out to be damaged.
    pub(crate) fn put_aside_damaged(&self) -> Result<()> {
        loop {
            let suspect = self.suspects.lock().pop();
            let Some((id, why)) = suspect else { return Ok(()) };
            let mut keeper = self.keeper.lock();
            if keeper.catalogue().find(id).is_none() {
                continue;
            }
            let (path, now) = (segment_path(id), self.clock.now());
            let target = quarantine(&*self.disk, &path, &why, now);
            self.counters.quarantined.inc();
            self.problems.add(Problem {
                at: now,
                path: path.display().to_string(),
                message: why,
                quarantined: target.ok().map(|target| target.display().to_string()),
            });
            self.live.write().remove(id);
            keeper.change(&*self.disk, |catalogue| {
                catalogue.remove(id);
            })?;
        }
    }

    /// Removes what is too old or too much.
    pub(crate) fn retain(&self) -> Result<()> {
        let space = self.disk.space().ok();
        let logs = self.disk.read_dir(std::path::Path::new(wal::WAL_DIR)).unwrap_or_default();
        let wal_bytes = logs.iter().map(|entry| entry.len).sum();
        let now = self.clock.now();
        let mut keeper = self.keeper.lock();
        let choice = {
            let profiles = self.profiles.lock();
            let segments = &keeper.catalogue().segments;
            let held = Held { segments, profiles: &profiles, wal_bytes, space, now };
            self.choose_patiently(&held)
        };
        let whole = choice.whole.clone();
        self.note_choice(choice);
        if whole.is_empty() {
            return Ok(());
        }
        let segments = &keeper.catalogue().segments;
        let entries: Vec<_> = segments.iter().filter(|s| whole.contains_key(&s.id)).copied().collect();
        let ids: Vec<u64> = entries.iter().map(|entry| entry.id).collect();
        self.drop_segments(&mut keeper, &ids)?;
        let records: u64 = entries.iter().map(|entry| entry.rows).sum();
        self.counters.expired.inc_by(entries.len() as u64);
        self.counters.expired_records.inc_by(records);
        self.count_removed(&entries);
        let by_size = whole.values().filter(|reason| **reason == Reason::Size).count();
        tracing::info!(segments = entries.len(), by_size, records, "retention removed segments");
        Ok(())
    }

    fn drop_segments(&self, keeper: &mut Keeper, ids: &[u64]) -> Result<()> {
        let change = |catalogue: &mut Catalogue| catalogue.segments.retain(|entry| !ids.contains(&entry.id));
        let first = keeper.change(&*self.disk, change);
        let full = first.as_ref().err().is_some_and(StoreError::is_full);
        if !full {
            first?;
        }
        let dropped: Vec<Arc<Sealed>> = {
            let mut live = self.live.write();
            let (dropped, kept) = std::mem::take(&mut live.segments)
                .into_iter()
                .partition(|segment| ids.contains(&segment.entry.id));
            live.segments = kept;
            dropped
        };
        if full {
            // Not even the catalogue can be written, so room is made first. A crash in between leaves a catalogue
            // that names a missing segment; that is reported when the store is opened.
            for segment in &dropped {
                keeper.remove_now(&*self.disk, segment);
            }
            keeper.change(&*self.disk, change)?;
        } else {
            dropped.iter().for_each(|segment| keeper.discard(segment));
        }
        drop(dropped);
        keeper.clean_up(&*self.disk, self.clock.now());
        Ok(())
    }

    /// Removes files that were kept for searches that have ended.
    pub(crate) fn clean_up(&self) {
        let mut keeper = self.keeper.lock();
        if keeper.has_superfluous() {
            keeper.clean_up(&*self.disk, self.clock.now());
        }
    }
}
