//! What became of records, in numbers that travel back with the acknowledgement.
//!
//! Owns: the fates that a record may have, the ways that records of an input may take, adding up.
//! Does not own: the acknowledgement ([`ack`](crate::ack)), the books in which numbers are kept (`telemetry`).
//! Invariant: a tally says of each way what was read into it, and of each of its outputs what became of that; the
//! two are the same where nobody forgot anything. What is told of single sources is a part of what is told of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{RecordRef, SeqRange, SourceId};

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

/// Records that somebody leaves out, by what is their own of which source. Costs something for each of them, so that the others
/// cost nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(Vec<Run>);

/// Records that follow each other in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    source: SourceId,
    range: SeqRange,
    records: u64,
}

impl LeftOut {
    /// Adds a record.
    pub fn add(&mut self, record: RecordRef<'_>) {
        let (source, range) = (record.source(), record.range());
        match self.0.last_mut() {
            Some(last) if last.source == source && last.range.end == range.start => {
                last.range.end = range.end;
                last.records += 1;
            }
            _ => self.0.push(Run { source, range, records: 1 }),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.iter().map(|run| run.records).sum()
    }

    /// How many they are, and how much of their sources is their own.
    pub(crate) fn sum(&self) -> Count {
        Count::new(self.records(), self.0.iter().map(|run| run.range.len()).sum())
    }

    /// How many they are of each source, which is called by another name here, and of each of the parts that are `held`.
    pub(crate) fn sums(&self, held: &[Held], named: impl Fn(SourceId) -> SourceId) -> BySource {
        let mut sums = BySource::default();
        for Run { source, range, records } in &self.0 {
            let source = named(*source);
            let mut rest = Count::new(*records, range.len());
            let first = held.partition_point(|held| (held.source, held.range.end) <= (source, range.start));
            let within = |held: &&Held| held.source == source && held.range.start < range.end;
            for held in held[first..].iter().take_while(within) {
                let bytes = held.range.end.min(range.end) - held.range.start.max(range.start);
                let count = Count::new(held.records, bytes).take(&mut rest);
                sums.put((source, Some(held.part)), count);
            }
            sums.put((source, None), rest);
        }
        sums
    }
}

impl<'a> FromIterator<RecordRef<'a>> for LeftOut {
    fn from_iter<I: IntoIterator<Item = RecordRef<'a>>>(records: I) -> Self {
        let mut all = Self::default();
        records.into_iter().for_each(|record| all.add(record));
        all
    }
}

/// A source; and which of the parts that a batch was made of, where it is known to be of that alone.
type Whose = (SourceId, Option<u32>);

/// Counts by source, ascending. A sender may name as many sources as he likes, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BySource(BTreeMap<Whose, Count>);

impl BySource {
    /// So much of one source.
    #[must_use]
    pub fn one(source: SourceId, count: Count) -> Self {
        let mut one = Self::default();
        one.add(source, count);
        one
    }

    /// Adds so much of a source.
    pub fn add(&mut self, source: SourceId, count: Count) {
        self.put((source, None), count);
    }

    fn put(&mut self, whose: Whose, count: Count) {
        if !count.is_zero() {
            self.0.entry(whose).or_default().add(count);
        }
    }

    /// Takes away so much of a source; what would be below nothing is nothing.
    pub(crate) fn remove(&mut self, source: SourceId, count: Count) {
        if let Some(known) = self.0.get_mut(&(source, None)) {
            *known = known.less(count);
        }
    }

    /// All together.
    #[must_use]
    pub fn sum(&self) -> Count {
        let mut sum = Count::default();
        self.0.values().for_each(|count| sum.add(*count));
        sum
    }

    /// Each source, ascending; one may come in several pieces.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, Count)> {
        self.0.iter().map(|((source, _), count)| (*source, *count))
    }
}

impl FromIterator<(SourceId, Count)> for BySource {
    fn from_iter<I: IntoIterator<Item = (SourceId, Count)>>(counts: I) -> Self {
        let mut all = Self::default();
        counts.into_iter().for_each(|(source, count)| all.add(source, count));
        all
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
pub struct Fates(Vec<Ending>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ending {
    fate: Fate,
    rule: Arc<str>,
    count: Count,
    /// Of which so much is known to be of these sources.
    sources: BySource,
}

impl Fates {
    /// Adds some that share a fate. The rule is what a user calls it, or a reason; empty if there is none.
    pub fn add(&mut self, fate: Fate, rule: &Arc<str>, count: Count) {
        self.add_of(fate, rule, count, &BySource::default());
    }

    /// As [`Fates::add`], of these sources, which are told only if they are all of it.
    pub fn add_of(&mut self, fate: Fate, rule: &Arc<str>, count: Count, sources: &BySource) {
        if count.is_zero() {
            return;
        }
        let at = self.0.iter().position(|known| known.fate == fate && known.rule == *rule);
        let at = at.unwrap_or_else(|| {
            let (count, sources) = Default::default();
            self.0.push(Ending { fate, rule: Arc::clone(rule), count, sources });
            self.0.len() - 1
        });
        self.0[at].count.add(count);
        if sources.sum() == count {
            sources.0.iter().for_each(|(whose, part)| self.0[at].sources.put(*whose, *part));
        }
    }

    /// Adds what others say.
    pub fn add_all(&mut self, others: &Self) {
        for Ending { fate, rule, count, sources } in &others.0 {
            let told = sources.sum();
            self.add_of(*fate, rule, told, sources);
            self.add(*fate, rule, count.less(told));
        }
    }

    /// All together.
    #[must_use]
    pub fn sum(&self) -> Count {
        let mut sum = Count::default();
        self.0.iter().for_each(|ending| sum.add(ending.count));
        sum
    }

    /// Each fate and rule.
    pub fn iter(&self) -> impl Iterator<Item = (Fate, &Arc<str>, Count)> {
        self.0.iter().map(|ending| (ending.fate, &ending.rule, ending.count))
    }

    /// Of each fate and rule, whose records they were, as far as that is known.
    pub fn told(&self) -> impl Iterator<Item = (Fate, &Arc<str>, &BySource)> {
        self.0.iter().map(|ending| (ending.fate, &ending.rule, &ending.sources))
    }
}

/// How much one of several batches has among the lines that go on as records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Records that are counted with it, and the bytes of its lines.
    pub count: Count,
    /// Where these lines are, if they are of one record only; else they are of any that no other batch has.
    pub held: Option<(SourceId, SeqRange)>,
}

/// Lines of one of several batches that are of one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    source: SourceId,
    range: SeqRange,
    /// Whether the record is counted with it.
    records: u64,
    /// Which of the batches.
    part: u32,
}

impl Held {
    /// What of these claims is held, by source and place.
    pub(crate) fn of<'a>(claims: impl Iterator<Item = &'a Claim>) -> Vec<Self> {
        let held = |(part, claim): (u32, &Claim)| {
            let (source, range) = claim.held.filter(|(_, range)| !range.is_empty())?;
            Some(Self { source, range, records: claim.count.records, part })
        };
        let mut all: Vec<Self> = (0..).zip(claims).filter_map(held).collect();
        all.sort_unstable_by_key(|held| (held.source, held.range.start));
        all
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
    /// Divides what became of records that were made of lines of several batches: each gets what became of the records that it
    /// has lines of, and of others as much as it has room for.
    ///
    /// `claims` says how much each of them has. What is more than all have goes to the last, so that it is seen.
    pub(crate) fn divide(&self, claims: &[Claim]) -> Vec<Self> {
        let empty = Self {
            way: Arc::clone(&self.way),
            read: Count::default(),
            made: Count::default(),
            common: Fates::default(),
            exits: vec![Fates::default(); self.exits.len()],
        };
        let mut parts = vec![empty; claims.len()];
        let left = claims.iter().map(|claim| claim.count).collect();
        let held = |held: bool| {
            let fits = move |(_, claim): &(usize, &Claim)| claim.held.is_some() == held;
            claims.iter().enumerate().filter(fits).map(|(part, _)| part)
        };
        let mut rooms = Rooms { left, order: held(false).chain(held(true)).collect() };
        if let (Some(room), Some(part)) = (rooms.left.last_mut(), parts.last_mut()) {
            room.add(self.made);
            part.made = self.made;
        }
        rooms.spread(&self.common, &mut parts, |part| &mut part.common);
        for (exit, fates) in self.exits.iter().enumerate() {
            rooms.clone().spread(fates, &mut parts, |part| &mut part.exits[exit]);
        }
        parts
    }

    /// Adds what another one says, save what was read; also of which sources, if it is `by_source`.
    pub(crate) fn add(&mut self, other: &Self, by_source: bool) {
        self.made.add(other.made);
        let ours = std::iter::once(&mut self.common).chain(&mut self.exits);
        for (own, others) in ours.zip(std::iter::once(&other.common).chain(&other.exits)) {
            if by_source {
                own.add_all(others);
            } else {
                others.iter().for_each(|(fate, rule, count)| own.add(fate, rule, count));
            }
        }
    }
}

/// How much may still be put into each of several parts.
#[derive(Clone)]
struct Rooms {
    left: Vec<Count>,
    /// The parts that may have lines of any record, then the others.
    order: Vec<usize>,
}

impl Rooms {
    /// Puts fates where there is room for them; first those that are known to be of one part.
    fn spread(&mut self, fates: &Fates, parts: &mut [WayTally], of: impl Fn(&mut WayTally) -> &mut Fates) {
        let Some(last) = self.left.len().checked_sub(1) else { return };
        let known = |whose: &Whose| whose.1.is_some();
        for ending in &fates.0 {
            for ((source, part), count) in ending.sources.0.iter().filter(|(whose, _)| known(whose)) {
                let part = part.map_or(last, |part| last.min(part as usize));
                self.left[part] = self.left[part].less(*count);
                of(&mut parts[part]).add_of(
                    ending.fate,
                    &ending.rule,
                    *count,
                    &BySource::one(*source, *count),
                );
            }
        }
        for Ending { fate, rule, count, sources } in &fates.0 {
            for ((source, _), count) in sources.0.iter().filter(|(whose, _)| !known(whose)) {
                let mut rest = *count;
                for part in &self.order {
                    if rest.is_zero() {
                        break;
                    }
                    let taken = rest.take(&mut self.left[*part]);
                    of(&mut parts[*part]).add_of(*fate, rule, taken, &BySource::one(*source, taken));
                }
                of(&mut parts[last]).add_of(*fate, rule, rest, &BySource::one(*source, rest));
            }
            let mut rest = count.less(sources.sum());
            for part in &self.order {
                of(&mut parts[*part]).add(*fate, rule, rest.take(&mut self.left[*part]));
            }
            of(&mut parts[last]).add(*fate, rule, rest);
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

    #[test]
    fn sources_are_told_if_they_are_all_of_it() {
        let mut fates = Fates::default();
        let of = |source, records| BySource::one(SourceId(source), Count::new(records, records * 10));
        fates.add_of(Fate::Filtered, &rule("x"), Count::new(2, 20), &of(1, 2));
        fates.add_of(Fate::Filtered, &rule("x"), Count::new(3, 30), &of(2, 3));
        fates.add_of(Fate::Filtered, &rule("x"), Count::new(4, 40), &of(1, 3));
        let mut twice = fates.clone();
        twice.add_all(&fates);
        for (fates, times) in [(&fates, 1), (&twice, 2)] {
            assert_eq!(fates.sum(), Count::new(9 * times, 90 * times));
            let told: Vec<_> = fates.told().flat_map(|(_, _, sources)| sources.iter()).collect();
            let expected =
                [(1, 2), (2, 3)].map(|(source, n)| (SourceId(source), Count::new(n * times, n * times * 10)));
            assert_eq!(told, expected);
        }
    }

    /// What is left out of lines that one part holds is told as that part's, whatever is left out around them.
    #[test]
    fn what_is_held_is_known_by_its_place() {
        let claim = |records, range: SeqRange| Claim {
            count: Count::new(records, range.len()),
            held: Some((SourceId(1), range)),
        };
        let claims = [
            claim(0, SeqRange::new(10, 20)),
            claim(1, SeqRange::new(20, 25)),
            claim(1, SeqRange::new(40, 45)),
        ];
        let run =
            |start, end, records| Run { source: SourceId(7), range: SeqRange::new(start, end), records };
        let left_out = LeftOut(vec![run(0, 30, 3), run(35, 40, 1), run(45, 50, 1)]);
        let held = Held::of(claims.iter());
        assert_eq!(left_out.sum(), Count::new(5, 40));
        let sums = left_out.sums(&held, |_| SourceId(1));
        let part = |part, records, bytes| ((SourceId(1), part), Count::new(records, bytes));
        assert!(sums.0.iter().map(|(whose, count)| (*whose, *count)).eq([
            part(None, 4, 25),
            part(Some(0), 0, 10),
            part(Some(1), 1, 5)
        ]));
        assert_eq!(sums.sum(), Count::new(5, 40));
        assert_eq!(left_out.sums(&held, |source| source), BySource::one(SourceId(7), Count::new(5, 40)));
    }

    proptest! {
        /// Whatever was made of the lines of several batches: each of them ends with as much as it had, and all
        /// together is what it was.
        #[test]
        fn what_is_divided_closes_for_each(
            claims in prop::collection::vec((0u64..50, 0u64..5000, any::<bool>()), 1..6),
            cuts in prop::collection::vec(0u64..100, 6),
        ) {
            let claim = |(records, bytes, held): (_, _, bool)| {
                let held = held.then_some((SourceId(0), SeqRange::new(0, 1)));
                Claim { count: Count::new(records, bytes), held }
            };
            let claims: Vec<Claim> = claims.into_iter().map(claim).collect();
            let mut all = Count::default();
            claims.iter().for_each(|claim| all.add(claim.count));
            let share = |of: Count, percent: u64| Count::new(of.records * percent / 100, of.bytes * percent / 100);
            let mut tally = Tally::default();
            let way = way();
            let whole = tally.of_way(&way);
            // Of each held part no more than there is of it.
            let mut held = BySource::default();
            for (part, claim) in (0..).zip(&claims).filter(|(_, claim)| claim.held.is_some()) {
                held.put((SourceId(0), Some(part)), share(claim.count, cuts[0]));
            }
            whole.common.add_of(Fate::Sampled, &rule("held"), held.sum(), &held);
            let rest = all.less(whole.common.sum());
            let some = BySource::one(SourceId(1), share(rest, cuts[4]));
            whole.common.add_of(Fate::Filtered, &rule("some"), some.sum(), &some);
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
                    prop_assert_eq!(ended, claim.count);
                }
                let of_held = part.common.iter().find(|(fate, ..)| *fate == Fate::Sampled);
                let expected = if claim.held.is_some() { share(claim.count, cuts[0]) } else { Count::default() };
                prop_assert_eq!(of_held.map_or(Count::default(), |(_, _, count)| count), expected);
            }
            let mut again = Tally::default();
            let sum = again.of_way(&way);
            parts.iter().for_each(|part| sum.add(part, true));
            let sorted = |fates: &Fates| {
                let mut all: Vec<_> = fates.iter().map(|(fate, rule, count)| (fate, rule.to_string(), count)).collect();
                all.sort_by_key(|(fate, rule, _)| (*fate, rule.clone()));
                all
            };
            prop_assert_eq!(sorted(&sum.common), sorted(&whole.common));
            prop_assert_eq!(sorted(&sum.exits[0]), sorted(&whole.exits[0]));
            prop_assert_eq!(sorted(&sum.exits[1]), sorted(&whole.exits[1]));
            let told = |fates: &Fates| -> BySource { fates.told().flat_map(|(_, _, told)| told.iter()).collect() };
            prop_assert_eq!(told(&sum.common), told(&whole.common));
        }
    }
}
