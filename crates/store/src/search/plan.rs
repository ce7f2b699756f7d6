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

/// What has to be looked at.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) selection: Selection,
    pub(super) units: Vec<Unit>,
    /// Segments that were not ruled out; units name them by their place here.
    pub(super) segments: Vec<Arc<Sealed>>,
    pub(super) segments_skipped: u64,
    /// Blocks of all segments, ruled out or not.
    pub(super) blocks: u64,
}

/// The selection with the times that its predicate leaves.
fn clip(selection: &Selection) -> Selection {
    let bounds = selection.predicate.time_bounds(&|_| true);
    // The last time there is cannot be left out by an exclusive end, so it clips nothing.
    let last = bounds.last.nanos().checked_add(1).map_or(selection.end, Timestamp::from_nanos);
    Selection {
        predicate: selection.predicate.clone(),
        start: selection.start.max(bounds.first),
        end: selection.end.min(last),
    }
}

impl Plan {
    /// The plan for a selection.
    pub(super) fn of(engine: &Engine, selection: &Selection, order: Order) -> Self {
        let selection = clip(selection);
        let (held, sealed) = {
            let live = engine.live.read();
            (live.held().cloned().collect::<Vec<_>>(), live.segments.clone())
        };
        let nothing = selection.predicate == Predicate::None || selection.start >= selection.end;
        let blocks = sealed.iter().map(|segment| segment.segment.blocks().len() as u64).sum();
        let (units, segments) = (Vec::new(), Vec::new());
        let mut plan = Self { selection, units, segments, segments_skipped: 0, blocks };
        if nothing {
            plan.segments_skipped = sealed.len() as u64;
            return plan;
        }
        for held in held {
            if plan.meets(held.time_min, held.time_max) {
                plan.units.push(Unit::held(held));
            }
        }
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

    /// Whether a part whose times lie between these may have records of the selection.
    fn meets(&self, time_min: Timestamp, time_max: Timestamp) -> bool {
        time_min < self.selection.end && time_max >= self.selection.start
    }

    fn add_segment(&mut self, segment: Arc<Sealed>) {
        let entry = &segment.entry;
        if segment.is_damaged() || !self.meets(entry.time_min, entry.time_max) {
            self.segments_skipped += 1;
            return;
        }
        let number = self.segments.len();
        for (block, info) in segment.segment.blocks().iter().enumerate() {
            if self.meets(*info.timestamps.start(), *info.timestamps.end()) {
                self.units.push(Unit::block(&segment, number, block));
            }
        }
        self.segments.push(segment);
    }
}
