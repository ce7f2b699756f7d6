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

/// Most sources and ranges that are open. Each takes about 100 bytes.
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

/// The claims of one output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What is to be asked for the next time.
    open: Claims,
    /// What is being asked for.
    asking: Claims,
    confirmed: u64,
    missing: u64,
    unknown: u64,
    gaps: VecDeque<Gap>,
    answered: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    sources: BTreeMap<SourceId, Open>,
    ranges: usize,
    bytes: u64,
}

/// Of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    since: Timestamp,
    ranges: RangeSet,
}

impl Claims {
    /// Adds some; gives back how much there was no room for.
    fn add(&mut self, part: Covered, since: Timestamp) -> u64 {
        let is_full = self.ranges >= RANGES_MAX || self.sources.len() >= SOURCES_MAX;
        if part.range.is_empty() {
            return 0;
        }
        let Some(open) = self.sources.get_mut(&part.source) else {
            if is_full {
                return part.range.len();
            }
            let ranges = RangeSet::from_iter([part.range]);
            self.sources.insert(part.source, Open { since, ranges });
            (self.ranges, self.bytes) = (self.ranges + 1, self.bytes.saturating_add(part.range.len()));
            return 0;
        };
        let touches = open.ranges.end() == part.range.start;
        if is_full && !touches && !open.ranges.intersects(part.range) {
            return part.range.len();
        }
        let before = open.ranges.range_count();
        add(&mut self.bytes, open.ranges.insert(part.range));
        self.ranges = self.ranges + open.ranges.range_count() - before;
        open.since = open.since.min(since);
        0
    }

    fn remove(&mut self, source: SourceId) -> Option<Open> {
        let open = self.sources.remove(&source)?;
        self.ranges -= open.ranges.range_count();
        self.bytes = self.bytes.saturating_sub(length(&open.ranges));
        Some(open)
    }

    fn since(&self) -> Option<Timestamp> {
        self.sources.values().map(|open| open.since).min()
    }
}

impl Taken {
    /// The receiver told that these parts are taken.
    pub fn note(&mut self, covered: &[Covered], now: Timestamp) {
        for part in covered {
            self.reopen(part.source, part.range, now);
        }
    }

    /// Whether so much is open that it should be asked for soon.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.open.ranges >= RANGES_MAX / 2 || self.open.sources.len() >= SOURCES_MAX / 2
    }

    /// Starts a checkpoint: all that is open is to be asked for, in as many questions as it takes.
    pub fn start(&mut self) {
        self.stop();
        self.asking = std::mem::take(&mut self.open);
    }

    /// The claims of the next question of the checkpoint; none if there is none.
    #[must_use]
    pub fn next(&self) -> Vec<Claim> {
        let (mut claims, mut ranges) = (Vec::new(), 0);
        for (source, open) in &self.asking.sources {
            ranges += open.ranges.range_count();
            if !claims.is_empty() && (claims.len() >= ASKED_SOURCES_MAX || ranges > ASKED_RANGES_MAX) {
                break;
            }
            claims.push(Claim { source: *source, since: open.since, ranges: open.ranges.iter().collect() });
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
            let Some(open) = self.asking.remove(claim.source) else { continue };
            let is_late = now.since(claim.since) > WAIT_MAX;
            for range in open.ranges.iter() {
                let of = |sets: &BTreeMap<SourceId, RangeSet>| {
                    sets.get(&claim.source).map(|set| set.intersection(range)).unwrap_or_default()
                };
                let lacks = RangeSet::from_iter(of(&lacking));
                let unknown =
                    RangeSet::from_iter(of(&unknown).into_iter().flat_map(|part| lacks.missing(part)));
                add(&mut self.unknown, length(&unknown));
                add(&mut self.confirmed, range.len() - length(&lacks) - length(&unknown));
                for range in lacks.iter() {
                    if answer.may_wait && !is_late {
                        self.reopen(claim.source, range, claim.since);
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
        let late = |open: &&Open| now.since(open.since) > WAIT_MAX;
        let late: Vec<SourceId> =
            self.open.sources.iter().filter(|(_, open)| late(open)).map(|(source, _)| *source).collect();
        for source in late {
            let open = self.open.remove(source);
            add(&mut self.unknown, open.map_or(0, |open| length(&open.ranges)));
        }
    }

    /// What is asked for is open again.
    fn stop(&mut self) {
        let asking = std::mem::take(&mut self.asking);
        for (source, open) in asking.sources {
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
        bytes::number_to(whole.open.sources.len() as u64, out);
        for (source, open) in &whole.open.sources {
            out.extend(open.since.nanos().to_le_bytes());
            bytes::parts_to(*source, open.ranges.iter(), out);
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
            let is_whole = !ranges.is_empty() && !taken.open.sources.contains_key(&source);
            let lost = ranges.iter().map(|range| taken.open.add(Covered { source, range: *range }, since));
            if !is_whole || lost.fold(0, u64::saturating_add) > 0 {
                return Err(CheckpointError);
            }
        }
        if taken.gaps.len() > GAPS_MAX || taken.open.bytes != open {
            return Err(CheckpointError);
        }
        bytes::end(bytes, taken)
    }
}

/// Adds numbers of places. Of a source of this world there are never so many that the sum stops at the end.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
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
