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
use super::rule::StreamRule;
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
    /// The rules of the batch's streams.
    rules: &'a [StreamRule<'a>],
    bounds: Bounds,
    now: Instant,
    sorted: Sorted,
}

/// Sorts the lines of a batch into groups; goes on with those of `held` that it has lines of, or closes them.
pub(super) fn sort(
    batch: &Batch,
    rules: &[StreamRule<'_>],
    bounds: Bounds,
    held: &mut HashMap<Key, Gathered>,
    now: Instant,
) -> Sorted {
    let mut pass = Pass { batch, rules, bounds, now, sorted: Sorted::default() };
    let mut lanes = Lanes::default();
    for (at, line) in batch.iter().enumerate() {
        let lane = lanes.of(line, held);
        pass.line(at, line, lane);
    }
    for ((source, stream), lane) in lanes.all {
        if let Some(group) = pass.end(lane) {
            pass.sorted.open.push(((source, batch.streams()[stream].fingerprint()), group));
        }
    }
    pass.sorted
}

/// The lanes of a batch, by source and number of the stream.
#[derive(Default)]
struct Lanes {
    all: Vec<((SourceId, usize), Lane)>,
    places: HashMap<(SourceId, usize), usize>,
    /// The place of the one that was asked for last: lines mostly come in runs.
    last: usize,
}

impl Lanes {
    fn of(&mut self, line: RecordRef<'_>, held: &mut HashMap<Key, Gathered>) -> &mut Lane {
        let key = (line.source(), line.stream_index());
        if self.all.get(self.last).is_none_or(|(known, _)| *known != key) {
            self.last = *self.places.entry(key).or_insert_with(|| {
                let open = match held.is_empty() {
                    true => None,
                    false => held.remove(&(key.0, line.stream().fingerprint())),
                };
                self.all.push((key, Lane { before: None, open }));
                self.all.len() - 1
            });
        }
        &mut self.all[self.last].1
    }
}

impl Pass<'_> {
    fn line(&mut self, at: usize, line: RecordRef<'_>, lane: &mut Lane) {
        let rule = &self.rules[line.stream_index()];
        let is_line = rule.is_line(line);
        if let Some(group) = &mut lane.open {
            if is_line && group.take(line, rule, self.bounds, self.now) {
                return self.taken(at, lane);
            }
            self.sorted.closed.extend(lane.open.take().map(|group| (at, group)));
        }
        if !is_line {
            lane.before = None;
            return;
        }
        let text = line.message();
        if let Some(before) = lane.before.take().filter(|_| rule.may_continue(text)) {
            let mut group = self.begin(before);
            if group.as_mut().is_some_and(|group| group.take(line, rule, self.bounds, self.now)) {
                lane.open = group;
                self.sorted.taken.insert(before);
                return self.taken(at, lane);
            }
        }
        match rule.begins_surely(text) {
            Some(form) => {
                lane.open = Some(Gathered::new(line, form, self.bounds, self.now));
                self.taken(at, lane);
            }
            None => lane.before = Some(at),
        }
    }

    /// The line was taken into the lane's group.
    fn taken(&mut self, at: usize, lane: &mut Lane) {
        self.sorted.taken.insert(at);
        if let Some(group) = lane.open.take_if(|group| group.is_whole()) {
            self.sorted.closed.push((at + 1, group));
        }
    }

    fn begin(&self, at: usize) -> Option<Gathered> {
        let line = self.batch.get(at);
        let form = self.rules[line.stream_index()].begin(line.message())?;
        Some(Gathered::new(line, form, self.bounds, self.now))
    }

    /// The group that is open at the end of the batch.
    fn end(&mut self, lane: Lane) -> Option<Gathered> {
        if lane.open.is_some() {
            return lane.open;
        }
        let before = lane.before?;
        let group = self.begin(before)?;
        self.sorted.taken.insert(before);
        Some(group)
    }
}
