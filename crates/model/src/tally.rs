//! What became of records, in numbers that travel back with the acknowledgement.
//!
//! Owns: the fates that a record may have, the ways that records of an input may take, adding up.
//! Does not own: the acknowledgement ([`ack`](crate::ack)), the books in which numbers are kept (`telemetry`).
//! Invariant: a tally says of each way what was read into it, and of each of its outputs what became of that; the
//! two are the same where nobody forgot anything.

use std::sync::Arc;

use crate::SourceId;

/// A number of records, and of what they take of their sources: bytes of a file, numbers of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Records.
    pub records: u64,
    /// Bytes, or what else the positions of the source count.
    pub bytes: u64,
}

impl Count {
    /// So many records and bytes.
    #[must_use]
    pub const fn new(records: u64, bytes: u64) -> Self {
        Self { records, bytes }
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.records == 0 && self.bytes == 0
    }

    /// Adds another one.
    pub fn add(&mut self, more: Self) {
        self.records += more.records;
        self.bytes += more.bytes;
    }

    /// This less another one; what would be below nothing is nothing.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_sub(other.records),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// As much of both as fits into `room`, which gets smaller by it.
    fn take(&mut self, room: &mut Self) -> Self {
        let part = Self { records: self.records.min(room.records), bytes: self.bytes.min(room.bytes) };
        *self = self.less(part);
        *room = room.less(part);
        part
    }
}

/// How a record ends at one hop. Each ends in exactly one way for each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The output has it durably: the target took it, or it is stored.
    Delivered,
    /// It waits in the durable buffer in front of the output, which keeps books of its own.
    Buffered,
    /// A rule left it out.
    Filtered,
    /// A rule that keeps a part of all left it out: sampling, a rate limit.
    Sampled,
    /// It was there already.
    Deduplicated,
    /// A rule made numbers of it.
    Aggregated,
    /// There was no room for it, and a policy said that it goes.
    Shed,
    /// The target refused it for good; it is kept as a dead letter.
    DeadLettered,
    /// It is a part of another record, or no record at all: pieces of a long line, lines of a trace, blank lines.
    Joined,
}

impl Fate {
    /// All of them; the place of each is its number in stored books.
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Buffered,
        Self::Filtered,
        Self::Sampled,
        Self::Deduplicated,
        Self::Aggregated,
        Self::Shed,
        Self::DeadLettered,
        Self::Joined,
    ];

    /// Its name in metrics and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Buffered => "buffered",
            Self::Filtered => "filtered",
            Self::Sampled => "sampled",
            Self::Deduplicated => "deduplicated",
            Self::Aggregated => "aggregated",
            Self::Shed => "shed",
            Self::DeadLettered => "dead_lettered",
            Self::Joined => "joined",
        }
    }
}

/// A way that records of an input take: into a pipeline, and from there to these outputs.
#[derive(Debug, PartialEq, Eq)]
pub struct Way {
    /// The input.
    pub input: Box<str>,
    /// The pipeline.
    pub pipeline: Box<str>,
    /// Its outputs.
    pub outputs: Vec<Box<str>>,
    /// For each of them, whether another way of the input leads there too: what comes by this one is a copy.
    pub copies: Vec<bool>,
}

/// What became of records, by fate and rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fates(Vec<(Fate, Arc<str>, Count)>);

impl Fates {
    /// Adds some that share a fate. The rule is what a user calls it, or a reason; empty if there is none.
    pub fn add(&mut self, fate: Fate, rule: &Arc<str>, count: Count) {
        if count.is_zero() {
            return;
        }
        match self.0.iter_mut().find(|(of, by, _)| *of == fate && by == rule) {
            Some((_, _, known)) => known.add(count),
            None => self.0.push((fate, Arc::clone(rule), count)),
        }
    }

    /// All together.
    #[must_use]
    pub fn sum(&self) -> Count {
        let mut sum = Count::default();
        self.0.iter().for_each(|(_, _, count)| sum.add(*count));
        sum
    }

    /// Each fate and rule.
    pub fn iter(&self) -> impl Iterator<Item = (Fate, &Arc<str>, Count)> {
        self.0.iter().map(|(fate, rule, count)| (*fate, rule, *count))
    }
}

/// What became of the records of one batch on one way.
#[derive(Clone, Debug)]
pub struct WayTally {
    /// Which way.
    pub way: Arc<Way>,
    /// What was read into it.
    pub read: Count,
    /// What steps made beside it.
    pub made: Count,
    /// What became of records before they got to any output.
    pub common: Fates,
    /// What became of the others at each output, in the order of [`Way::outputs`].
    pub exits: Vec<Fates>,
}

/// What became of the records of one batch.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// On the ways that it took.
    pub ways: Vec<WayTally>,
    /// What somebody said who knows of no way.
    pub loose: Fates,
    /// Whoever did not take it has ended; see [`Ack::taker_ended`](crate::Ack::taker_ended).
    pub taker_ended: bool,
    /// The sources of records that an output had before, one for each such record, for clients who wait for that. Only
    /// of batches that came whole ([`Batch::is_whole`](crate::Batch::is_whole)).
    pub known: Vec<SourceId>,
}

impl Tally {
    /// The part about a way.
    pub(crate) fn of_way(&mut self, way: &Arc<Way>) -> &mut WayTally {
        if let Some(at) = self.ways.iter().position(|known| Arc::ptr_eq(&known.way, way)) {
            return &mut self.ways[at];
        }
        let exits = vec![Fates::default(); way.outputs.len()];
        let (read, made) = Default::default();
        self.ways.push(WayTally { way: Arc::clone(way), read, made, common: Fates::default(), exits });
        self.ways.last_mut().expect("it was put there")
    }
}

impl WayTally {
    /// Divides what became of records that were made of lines of several batches: each gets as much as it has lines
    /// among them, of whatever fates. Which lines had which fate is not told; for all together it is exact.
    ///
    /// `claims` says how much each of them has. What is more than all have goes to the last, so that it is seen.
    pub(crate) fn divide(&self, claims: &[Count]) -> Vec<Self> {
        let empty = Self {
            way: Arc::clone(&self.way),
            read: Count::default(),
            made: Count::default(),
            common: Fates::default(),
            exits: vec![Fates::default(); self.exits.len()],
        };
        let mut parts = vec![empty; claims.len()];
        let mut rooms = claims.to_vec();
        if let (Some(room), Some(part)) = (rooms.last_mut(), parts.last_mut()) {
            room.add(self.made);
            part.made = self.made;
        }
        spread(&self.common, &mut rooms, &mut parts, |part| &mut part.common);
        for (exit, fates) in self.exits.iter().enumerate() {
            spread(fates, &mut rooms.clone(), &mut parts, |part| &mut part.exits[exit]);
        }
        parts
    }

    /// Adds what another one says, save what was read.
    pub(crate) fn add(&mut self, other: &Self) {
        self.made.add(other.made);
        other.common.iter().for_each(|(fate, rule, count)| self.common.add(fate, rule, count));
        for (own, others) in self.exits.iter_mut().zip(&other.exits) {
            others.iter().for_each(|(fate, rule, count)| own.add(fate, rule, count));
        }
    }
}

/// Puts fates where there is room for them.
fn spread(
    fates: &Fates,
    rooms: &mut [Count],
    parts: &mut [WayTally],
    of: impl Fn(&mut WayTally) -> &mut Fates,
) {
    for (fate, rule, mut rest) in fates.iter() {
        for (part, room) in parts.iter_mut().zip(rooms.iter_mut()) {
            of(part).add(fate, rule, rest.take(room));
        }
        if let Some(last) = parts.last_mut() {
            of(last).add(fate, rule, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn way() -> Arc<Way> {
        Arc::new(Way {
            input: "in".into(),
            pipeline: "main".into(),
            outputs: vec!["a".into(), "b".into()],
            copies: vec![],
        })
    }

    fn rule(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn the_same_fate_and_rule_is_one_number() {
        let mut fates = Fates::default();
        fates.add(Fate::Filtered, &rule("x"), Count::new(1, 10));
        fates.add(Fate::Filtered, &rule("x"), Count::new(2, 20));
        fates.add(Fate::Filtered, &rule("y"), Count::new(0, 5));
        fates.add(Fate::Shed, &rule("x"), Count::default());
        assert_eq!(fates.iter().count(), 2);
        assert_eq!(fates.sum(), Count::new(3, 35));
    }

    proptest! {
        /// Whatever was made of the lines of several batches: each of them ends with as much as it had, and all
        /// together is what it was.
        #[test]
        fn what_is_divided_closes_for_each(
            claims in prop::collection::vec((0u64..50, 0u64..5000), 1..6),
            cuts in prop::collection::vec(0u64..100, 6),
        ) {
            let claims: Vec<Count> = claims.into_iter().map(|(records, bytes)| Count::new(records, bytes)).collect();
            let mut all = Count::default();
            claims.iter().for_each(|claim| all.add(*claim));
            let share = |of: Count, percent: u64| Count::new(of.records * percent / 100, of.bytes * percent / 100);
            let mut tally = Tally::default();
            let way = way();
            let whole = tally.of_way(&way);
            whole.common.add(Fate::Joined, &rule(""), share(all, cuts[0]));
            let rest = all.less(whole.common.sum());
            whole.common.add(Fate::Filtered, &rule("noise"), share(rest, cuts[1]));
            let rest = all.less(whole.common.sum());
            for (exit, cut) in cuts[2..4].iter().enumerate() {
                whole.exits[exit].add(Fate::DeadLettered, &rule("no"), share(rest, *cut));
                whole.exits[exit].add(Fate::Delivered, &rule(""), rest.less(share(rest, *cut)));
            }
            let parts = whole.divide(&claims);
            for (part, claim) in parts.iter().zip(&claims) {
                for exit in &part.exits {
                    let mut ended = part.common.sum();
                    ended.add(exit.sum());
                    prop_assert_eq!(ended, *claim);
                }
            }
            let mut again = Tally::default();
            let sum = again.of_way(&way);
            parts.iter().for_each(|part| sum.add(part));
            let sorted = |fates: &Fates| {
                let mut all: Vec<_> = fates.iter().map(|(fate, rule, count)| (fate, rule.to_string(), count)).collect();
                all.sort_by_key(|(fate, rule, _)| (*fate, rule.clone()));
                all
            };
            prop_assert_eq!(sorted(&sum.common), sorted(&whole.common));
            prop_assert_eq!(sorted(&sum.exits[0]), sorted(&whole.exits[0]));
            prop_assert_eq!(sorted(&sum.exits[1]), sorted(&whole.exits[1]));
        }
    }
}
