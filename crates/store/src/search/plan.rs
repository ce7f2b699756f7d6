//! Which batches and blocks may hold records of a selection.
//!
//! Owns: the snapshot, ruling out by time, the order of looking.
//! Invariant: the units of a plan are in the order in which their records may come first.

use std::cmp::Reverse;
use std::sync::Arc;

use sawyer_model::Timestamp;
use sawyer_query::Predicate;
use sawyer_query::search::{Order, Selection};

use super::unit::Unit;
use crate::engine::Engine;
use crate::sealed::Sealed;

/// A selection with the times that its predicate leaves.
#[derive(Clone, Debug)]
pub(super) struct Clip {
    pub(super) predicate: Predicate,
    /// First point in time.
    pub(super) start: Timestamp,
    /// First point in time after.
    pub(super) end: Timestamp,
}

/// What has to be looked at.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) clip: Clip,
    pub(super) units: Vec<Unit>,
    /// Segments that were not ruled out; units name them by their place here.
    pub(super) segments: Vec<Arc<Sealed>>,
    pub(super) segments_skipped: u64,
}

impl Clip {
    fn of(selection: &Selection) -> Self {
        let bounds = selection.predicate.time_bounds(&|_| true);
        // The last time there is cannot be left out by an exclusive end, so no clipping there.
        let last = bounds.last.nanos().checked_add(1).map_or(selection.end, Timestamp::from_nanos);
        Self {
            predicate: selection.predicate.clone(),
            start: selection.start.max(bounds.first),
            end: selection.end.min(last),
        }
    }

    /// Whether a part whose times lie between these may have records of it.
    pub(super) fn meets(&self, time_min: Timestamp, time_max: Timestamp) -> bool {
        time_min < self.end && time_max >= self.start
    }

    /// Whether all times between these are in it.
    pub(super) fn holds(&self, time_min: Timestamp, time_max: Timestamp) -> bool {
        time_min >= self.start && time_max < self.end
    }
}

impl Plan {
    /// The plan for a selection.
    pub(super) fn of(engine: &Engine, selection: &Selection, order: Order) -> Self {
        let clip = Clip::of(selection);
        let (held, sealed) = {
            let live = engine.live.read();
            (live.held().cloned().collect::<Vec<_>>(), live.segments.clone())
        };
        let nothing = clip.predicate == Predicate::None || clip.start >= clip.end;
        let mut plan = Self { clip, units: Vec::new(), segments: Vec::new(), segments_skipped: 0 };
        if nothing {
            plan.segments_skipped = sealed.len() as u64;
            return plan;
        }
        let held = held.into_iter().filter(|held| plan.clip.meets(held.time_min, held.time_max));
        plan.units.extend(held.map(Unit::held));
        for segment in sealed {
            plan.add_segment(segment);
        }
        match order {
            Order::NewestFirst => plan.units.sort_by_key(|unit| Reverse(unit.time_max())),
            Order::OldestFirst => plan.units.sort_by_key(Unit::time_min),
        }
        for (number, unit) in plan.units.iter_mut().enumerate() {
            unit.set_number(number);
        }
        plan
    }

    fn add_segment(&mut self, segment: Arc<Sealed>) {
        let entry = &segment.entry;
        if segment.is_damaged() || !self.clip.meets(entry.time_min, entry.time_max) {
            self.segments_skipped += 1;
            return;
        }
        let number = self.segments.len();
        for (block, info) in segment.segment.blocks().iter().enumerate() {
            if self.clip.meets(*info.timestamps.start(), *info.timestamps.end()) {
                self.units.push(Unit::block(&segment, number, block));
            }
        }
        self.segments.push(segment);
    }
}
