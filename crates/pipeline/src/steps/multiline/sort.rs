//! One pass over a batch: which lines go on as they are, which groups are complete, which stay open.
//!
//! Owns: following each source and stream of a batch through it.
//! Does not own: what becomes of it (`multiline`).
//! Invariant: every line that is taken out is in exactly one group; a group that is closed comes before the line
//! that closed it. A line that nothing can follow costs a look at its first bytes.

use std::collections::HashMap;
use std::time::Instant;

use sawyer_model::{Batch, RecordRef, SourceId};

use super::gathered::Gathered;
use super::rule::Rule;
use super::{Bounds, Key};

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// The places of the lines that are in groups.
    pub(super) taken: Places,
    /// Groups to which nothing more comes, and the places in the batch before which they stand, ascending.
    pub(super) closed: Vec<(usize, Gathered)>,
    /// Groups that may go on with the next batch.
    pub(super) open: Vec<(Key, Gathered)>,
}

impl Sorted {
    /// Whether the batch can go on as it is.
    pub(super) fn is_untouched(&self) -> bool {
        self.closed.is_empty() && self.open.is_empty()
    }
}

/// A set of places in a batch.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<u64>);

impl Places {
    fn insert(&mut self, at: usize) {
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// The lines of one source and stream, in order.
#[derive(Debug, Default)]
struct Lane {
    /// The line before, which may turn out to begin a group.
    before: Option<usize>,
    open: Option<Gathered>,
}

struct Pass<'a> {
    batch: &'a Batch,
    rule: &'a Rule,
    bounds: Bounds,
    now: Instant,
    sorted: Sorted,
}

/// Sorts the lines of a batch into groups; goes on with those of `held` that it has lines of, or closes them.
pub(super) fn sort(
    batch: &Batch,
    rule: &Rule,
    bounds: Bounds,
    held: &mut HashMap<Key, Gathered>,
    now: Instant,
) -> Sorted {
    let mut pass = Pass { batch, rule, bounds, now, sorted: Sorted::default() };
    let mut lanes = Lanes::default();
    for (at, line) in batch.iter().enumerate() {
        let lane = lanes.of(line, held);
        pass.line(at, line, lane);
    }
    for ((source, stream), lane) in lanes.numbers.keys().zip(lanes.in_order_of_keys()) {
        if let Some(group) = pass.end(lane) {
            pass.sorted.open.push(((*source, batch.streams()[*stream].fingerprint()), group));
        }
    }
    pass.sorted
}
