//! What an output was told to be taken, until it is known what became of it at the end of its way.
//!
//! Owns: the claims of one output, which of them are asked for next, what answers mean.
//! Does not own: when is asked, and how ([`checkpoints`](super::checkpoints) says what), where it lies on disk (`output`).
//! Invariant: all that was told is confirmed, missing, unknown or open; each part is exactly one of these. Memory is
//! bounded: what is beyond counts as unknown.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sawyer_model::{Covered, RangeSet, SeqRange, SourceId, Timestamp};

use super::checkpoints::bytes::{self, CheckpointError};
use super::checkpoints::{Answer, Checkpoint, Claim, Gap, Parts, Sums};

/// Most sources and ranges that are open. Each takes a few hundred bytes at most.
const SOURCES_MAX: usize = 20_000;
const RANGES_MAX: usize = 50_000;

/// Most sources and ranges of one question, so that it is a message of about a megabyte.
const ASKED_SOURCES_MAX: usize = 5_000;
const ASKED_RANGES_MAX: usize = 20_000;

/// Gaps that are remembered one by one.
const GAPS_MAX: usize = 100;

/// How long what lacks may wait in a buffer on the way. What is not there after that is told to be missing; what nobody
/// could be asked for until then is unknown.
pub const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What was told within one of these is as old as the first of it: if each part had an age of its own, none would
/// coalesce. The last of it has waited its day only when the first has waited that much longer.
const GENERATION: Duration = Duration::from_secs(60 * 60);

/// The claims of one output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What is to be asked for the next time.
    open: Claims,
    /// What is being asked for.
    asking: Claims,
    /// How many sources and ranges were told since a checkpoint started last, so were never asked for.
    noted: (usize, usize),
    confirmed: u64,
    missing: u64,
    unknown: u64,
    gaps: VecDeque<Gap>,
    answered: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    /// Of each source one or more generations, none of which is empty or has what another has.
    sources: BTreeMap<SourceId, Vec<Open>>,
    ranges: usize,
    bytes: u64,
}

/// A generation of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    since: Timestamp,
    ranges: RangeSet,
}

impl Open {
    fn is_late(&self, now: Timestamp) -> bool {
        now.since(self.since) > WAIT_MAX + GENERATION
    }

    /// Whether what was told then is of this generation.
    fn takes(&self, since: Timestamp) -> bool {
        let generation =
            |time: Timestamp| i128::from(time.nanos()).div_euclid(GENERATION.as_nanos().cast_signed());
        generation(self.since) == generation(since)
    }

    /// Whether a range takes no room here.
    fn touches(&self, range: SeqRange) -> bool {
        let around = SeqRange::new(range.start.saturating_sub(1), range.end.saturating_add(1));
        self.ranges.intersects(around)
    }
}

impl Claims {
    /// Adds some; gives back how much there was no room for. What is open already stays as old as it is.
    fn add(&mut self, part: Covered, since: Timestamp) -> u64 {
        let is_new = !self.sources.contains_key(&part.source);
        if part.range.is_empty() {
            return 0;
        }
        if is_new && (self.ranges >= RANGES_MAX || self.sources.len() >= SOURCES_MAX) {
            return part.range.len();
        }
        let generations = self.sources.entry(part.source).or_default();
        let mut news = vec![part.range];
        for open in &*generations {
            news = news.into_iter().flat_map(|range| open.ranges.missing(range)).collect();
        }
        let mut beyond = 0;
        for range in news {
            let own = generations.iter_mut().find(|open| open.takes(since));
            if self.ranges >= RANGES_MAX && !own.as_ref().is_some_and(|open| open.touches(range)) {
                add(&mut beyond, range.len());
                continue;
            }
            add(&mut self.bytes, range.len());
            match own {
                Some(open) => {
                    let before = open.ranges.range_count();
                    open.ranges.insert(range);
                    open.since = open.since.min(since);
                    self.ranges = self.ranges + open.ranges.range_count() - before;
                }
                None => {
                    generations.push(Open { since, ranges: RangeSet::from_iter([range]) });
                    self.ranges += 1;
                }
            }
        }
        beyond
    }

    fn remove(&mut self, source: SourceId) -> Option<Vec<Open>> {
        let generations = self.sources.remove(&source)?;
        for open in &generations {
            self.ranges -= open.ranges.range_count();
            self.bytes = self.bytes.saturating_sub(length(&open.ranges));
        }
        Some(generations)
    }

    /// Removes what is too old; gives back how much it was.
    fn remove_late(&mut self, now: Timestamp) -> u64 {
        let mut late = 0;
        self.sources.retain(|_, generations| {
            generations.retain(|open| {
                let is_late = open.is_late(now);
                if is_late {
                    self.ranges -= open.ranges.range_count();
                    add(&mut late, length(&open.ranges));
                }
                !is_late
            });
            !generations.is_empty()
        });
        self.bytes = self.bytes.saturating_sub(late);
        late
    }

    fn since(&self) -> Option<Timestamp> {
        self.sources.values().flatten().map(|open| open.since).min()
    }
}

impl Taken {
    /// The receiver told that these parts are taken.
    pub fn note(&mut self, covered: &[Covered], now: Timestamp) {
        let (sources, ranges) = (self.open.sources.len(), self.open.ranges);
        for part in covered {
            self.reopen(part.source, part.range, now);
        }
        self.noted.0 += self.open.sources.len() - sources;
        self.noted.1 += self.open.ranges.saturating_sub(ranges);
    }

    /// Whether so much was never asked for that it should be soon. What was, and waits on the way, is not there any
    /// sooner for being asked for more often.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.noted.0 >= SOURCES_MAX / 2 || self.noted.1 >= RANGES_MAX / 2
    }

    /// Starts a checkpoint: all that is open is to be asked for, in as many questions as it takes.
    pub fn start(&mut self) {
        self.stop();
        self.noted = (0, 0);
        self.asking = std::mem::take(&mut self.open);
    }

    /// The claims of the next question of the checkpoint; none if there is none.
    #[must_use]
    pub fn next(&self) -> Vec<Claim> {
        let (mut claims, mut ranges) = (Vec::new(), 0);
        for (source, generations) in &self.asking.sources {
            let all: RangeSet = generations.iter().flat_map(|open| open.ranges.iter()).collect();
            ranges += all.range_count();
            if !claims.is_empty() && (claims.len() >= ASKED_SOURCES_MAX || ranges > ASKED_RANGES_MAX) {
                break;
            }
            let since = generations.iter().map(|open| open.since).min().unwrap_or_default();
            claims.push(Claim { source: *source, since, ranges: all.iter().collect() });
        }
        claims
    }

    /// Takes the answer to a question; gives back what is missing for good.
    pub fn answered(&mut self, asked: &[Claim], answer: &Answer, now: Timestamp) -> Vec<Gap> {
        self.answered = Some(now);
        let (lacking, unknown) = (by_source(&answer.lacking), by_source(&answer.unknown));
        let mut gaps = Vec::new();
        for claim in asked {
            // What is not asked for any more was asked twice.
            let Some(generations) = self.asking.remove(claim.source) else { continue };
            let ranges =
                generations.iter().flat_map(|open| open.ranges.iter().map(move |range| (open, range)));
            for (open, range) in ranges {
                let of = |sets: &BTreeMap<SourceId, RangeSet>| {
                    sets.get(&claim.source).map(|set| set.intersection(range)).unwrap_or_default()
                };
                let (waits, lacks) =
                    (answer.may_wait && !open.is_late(now), RangeSet::from_iter(of(&lacking)));
                let lacks = if waits { hull(&lacks) } else { lacks };
                let unknown =
                    RangeSet::from_iter(of(&unknown).into_iter().flat_map(|part| lacks.missing(part)));
                add(&mut self.unknown, length(&unknown));
                add(&mut self.confirmed, range.len() - length(&lacks) - length(&unknown));
                for range in lacks.iter() {
                    if waits {
                        self.reopen(claim.source, range, open.since);
                    } else {
                        add(&mut self.missing, range.len());
                        gaps.push(Gap { at: now, source: claim.source, range });
                    }
                }
            }
        }
        self.gaps.extend(&gaps);
        self.gaps.drain(..self.gaps.len().saturating_sub(GAPS_MAX));
        gaps
    }

    /// Nobody can tell what became of what was asked for.
    pub fn cannot_tell(&mut self, asked: &[Claim], now: Timestamp) {
        let unknown: Vec<Parts> =
            asked.iter().map(|claim| Parts { source: claim.source, ranges: claim.ranges.clone() }).collect();
        self.answered(asked, &Answer { unknown, ..Answer::default() }, now);
    }

    /// Ends the checkpoint, because there is no answer now; what is too old for any is given up.
    pub fn give_up(&mut self, now: Timestamp) {
        self.stop();
        let late = self.open.remove_late(now);
        add(&mut self.unknown, late);
    }

    /// What is asked for is open again.
    fn stop(&mut self) {
        let asking = std::mem::take(&mut self.asking);
        for (source, open) in each(&asking) {
            for range in open.ranges.iter() {
                self.reopen(source, range, open.since);
            }
        }
    }

    fn reopen(&mut self, source: SourceId, range: SeqRange, since: Timestamp) {
        let beyond = self.open.add(Covered { source, range }, since);
        add(&mut self.unknown, beyond);
    }

    /// How much it is.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let Self { confirmed, missing, unknown, .. } = *self;
        Sums { confirmed, missing, unknown, open: self.open.bytes.saturating_add(self.asking.bytes) }
    }

    /// What is shown of it.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let open_since = [self.open.since(), self.asking.since()].into_iter().flatten().min();
        let gaps = self.gaps.iter().copied().collect();
        Checkpoint { sums: self.sums(), open_since, answered: self.answered, gaps }
    }

    /// Appends the bytes that are kept over a restart.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut whole = self.clone();
        whole.stop();
        bytes::sums_to(&whole.sums(), out);
        bytes::number_to(whole.gaps.len() as u64, out);
        for gap in &whole.gaps {
            out.extend(gap.at.nanos().to_le_bytes());
            out.extend(gap.source.0.to_le_bytes());
            bytes::range_to(gap.range, out);
        }
        bytes::number_to(each(&whole.open).count() as u64, out);
        for (source, open) in each(&whole.open) {
            out.extend(open.since.nanos().to_le_bytes());
            bytes::parts_to(source, open.ranges.iter(), out);
        }
    }

    /// Reads what [`Taken::encode`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, CheckpointError> {
        let bytes = &mut bytes;
        let Sums { confirmed, missing, unknown, open } = bytes::sums(bytes)?;
        let mut taken = Self { confirmed, missing, unknown, ..Self::default() };
        let time =
            |bytes: &mut &[u8]| bytes::number(bytes).map(|nanos| Timestamp::from_nanos(nanos.cast_signed()));
        for _ in 0..bytes::number(bytes)? {
            let (at, source) = (time(bytes)?, bytes::source(bytes)?);
            taken.gaps.push_back(Gap { at, source, range: bytes::range(bytes)? });
        }
        for _ in 0..bytes::number(bytes)? {
            let since = time(bytes)?;
            let Parts { source, ranges } = bytes::parts(bytes)?;
            let lost = ranges.iter().map(|range| taken.open.add(Covered { source, range: *range }, since));
            if ranges.is_empty() || lost.fold(0, u64::saturating_add) > 0 {
                return Err(CheckpointError);
            }
        }
        if taken.gaps.len() > GAPS_MAX || taken.open.bytes != open {
            return Err(CheckpointError);
        }
        taken.noted = (taken.open.sources.len(), taken.open.ranges);
        bytes::end(bytes, taken)
    }
}

/// Adds numbers of places. Of a source of this world there are never so many that the sum stops at the end.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

/// All generations of all sources.
fn each(claims: &Claims) -> impl Iterator<Item = (SourceId, &Open)> {
    claims.sources.iter().flat_map(|(source, generations)| generations.iter().map(|open| (*source, open)))
}

/// From the first to the last of a set. What lacks is open again as this, so that it takes no more room for an answer of
/// many pieces; what is there between is asked for once more.
fn hull(set: &RangeSet) -> RangeSet {
    set.iter().next().map(|first| SeqRange::new(first.start, set.end())).into_iter().collect()
}

/// How many places are in a set.
fn length(set: &RangeSet) -> u64 {
    set.iter().map(SeqRange::len).sum()
}

/// Parts as sets; those of a source may come in several pieces.
fn by_source(parts: &[Parts]) -> BTreeMap<SourceId, RangeSet> {
    let mut sets: BTreeMap<SourceId, RangeSet> = BTreeMap::new();
    for Parts { source, ranges } in parts {
        let set = sets.entry(*source).or_default();
        ranges.iter().for_each(|range| {
            set.insert(*range);
        });
    }
    sets
}

#[cfg(test)]
mod tests;
