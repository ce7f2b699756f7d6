//! The step `multiline`: lines that belong together become one record.
//!
//! Owns: holding lines back until their group is whole, how long and how much, and their acknowledgements.
//! Does not own: which lines belong together (`sawyer_codec::group`).
//! Invariant: a transfer is acknowledged only after every group that has a line of it; a batch covers a line only
//! once its record is in it or was before, so that nothing is lost when the rest comes again; lines of one source
//! and stream stay in order.
//!
//! A group's own range is that of its last lines that lie directly behind each other, normally all of them; lines
//! that other output lies between are covered beside it, as with the pieces of a long line. Whether a line comes
//! too late for its group is asked of the records' own times, so that reading the same lines again groups them as
//! before. For the same reason a group is given out for silence only if its input has looked for more after that
//! silence, and all that was read has arrived ([`Progress`]): not because the process had no time to look, or files are
//! caught up with.

mod gathered;
mod rule;
mod sort;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_config::{ByteSize, Setting, Settings, settings};
use sawyer_model::{
    Ack, Batch, BySource, Claim, Covered, Error, Progress, RangeSet, SeqRange, SourceId, Transfer,
};
use sawyer_telemetry::Counter;

use super::pattern::Pattern;
use super::{Condition, labels};
use crate::component::{Context, Kind, Step, StepPlan};
use gathered::Gathered;
use rule::Rule;
use sort::{Sorted, sort};

/// A group is given out when its first line is this many times as old as the longest silence, though lines still
/// come: a program that never stops would hold its lines back for ever.
const AGE_IN_WAITS_MAX: u32 = 5;

/// A line that may stand alone waits for another one this part of the longest silence.
const ALONE_DIVISOR: u32 = 4;

/// How soon a group that is due is looked at again, if its input has not looked for more yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Looked at later than this after it was due, a group is looked at once more: what kept the step from being woken
/// kept others from reading.
const LATE_MIN: Duration = Duration::from_millis(50);

/// A group that was due for so long is given out though its input did not say that nothing came: a step before this
/// one may have kept it from being known.
const UNTOLD_MAX: Duration = Duration::from_secs(30);

/// Most groups held at once; one more and all are given out. Each is a stream that was cut off in the middle.
const HELD_GROUPS_MAX: usize = 10_000;

/// Most text held at once; beyond it all groups are given out, whole or not.
const HELD_BYTES_MAX: usize = 32 << 20;

settings! {
    /// Makes one record of lines that belong together: stack traces (Java, Python, Go, Node.js, .NET, Ruby, PHP,
    /// Rust), keys and certificates in PEM, objects printed over several lines, and indented lines behind an error
    /// or behind a line that ends with a bracket or a colon. The lines are kept as written, with line feeds
    /// between them. Lines of JSON are never grouped, nor are lines of different sources, or of stdout and stderr, nor
    /// records that were sent as such over HTTP. Every pipeline begins with it; `multiline: off` leaves it out.
    pub struct MultilineSettings {
        /// A pattern that the first line of every record matches, and no other line does; it takes the place of
        /// what is known of traces. The last line of every stream then waits for the next one.
        pub first_line: Option<Pattern>,
        /// Longest silence within a group; then it is given out. A line that may be a record by itself waits a
        /// quarter of it.
        #[range(Duration::from_millis(1)..=Duration::from_secs(60))]
        pub wait: Duration = Duration::from_secs(1),
        /// Most lines of a group; further ones begin another.
        #[range(2..=100_000)]
        pub lines_max: u64 = 1000,
        /// Most text of a group.
        #[range(ByteSize::kib(1)..=ByteSize::mib(16))]
        pub bytes_max: ByteSize = ByteSize::mib(1),
        /// Whether annotations of pods that say how their lines are grouped (`sawyer.dev/multiline`) take the place of
        /// `first_line`.
        pub hints: bool = true,
        /// Which records are grouped, in KQL. All by default.
        pub when: Option<Condition>,
    }
}

/// The kind `multiline`.
pub(super) fn kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "multiline",
        reference: MultilineSettings::reference,
        read: Box::new(|at, problems| Some(Box::new(MultilinePlan(MultilineSettings::read(at, problems)?)))),
    }
}

#[derive(Debug)]
struct MultilinePlan(MultilineSettings);

/// The bounds of a group.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    wait: Duration,
    lines_max: u64,
    bytes_max: usize,
}

/// Whose lines may be of one group: a source, and a stream by its fingerprint.
type Key = (SourceId, u128);

struct Multiline {
    rule: Rule,
    bounds: Bounds,
    held: HashMap<Key, Gathered>,
    /// Inputs that tell how far they are, and the last batch that came from each.
    got: Vec<(Arc<Progress>, u64)>,
    /// When it was last looked which groups are due.
    looked: Option<Instant>,
    groups: Counter,
    lines: Counter,
}

impl StepPlan for MultilinePlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error> {
        Ok(Box::new(Multiline::new(self.0, context)))
    }
}

impl Multiline {
    fn new(settings: MultilineSettings, context: &Context) -> Self {
        let count = |name, help| context.metrics.counter(name, help, &labels(context));
        Self {
            rule: Rule::new(settings.first_line, settings.when, settings.hints),
            bounds: Bounds {
                wait: settings.wait,
                lines_max: settings.lines_max,
                bytes_max: usize::try_from(settings.bytes_max.bytes()).unwrap_or(usize::MAX),
            },
            held: HashMap::new(),
            got: Vec::new(),
            looked: None,
            groups: count(
                "sawyer_step_grouped_records",
                "Records made of several lines, by step and pipeline",
            ),
            lines: count("sawyer_step_grouped_lines", "Lines joined into records, by step and pipeline"),
        }
    }

    fn apply_at(&mut self, transfer: Transfer, out: &mut Vec<Transfer>, now: Instant) {
        self.group(transfer, out, now);
        // Where transfers never cease, nobody wakes the step. What came late is in its group by now.
        let bytes: usize = self.held.values().map(Gathered::bytes).sum();
        let full = bytes > HELD_BYTES_MAX || self.held.len() > HELD_GROUPS_MAX;
        if full {
            return self.give_out(out, |_| true);
        }
        self.give_out_due(out, now);
    }

    fn give_out_due(&mut self, out: &mut Vec<Transfer>, now: Instant) {
        self.looked = Some(now);
        let got = std::mem::take(&mut self.got);
        let number = |progress: &Arc<Progress>| {
            got.iter().find(|(known, _)| Arc::ptr_eq(known, progress)).map_or(0, |(_, number)| *number)
        };
        self.give_out(out, |group| group.is_due(now, number));
        self.got = got;
    }

    /// Notes which batch of an input has come.
    fn note(&mut self, batch: &Batch) {
        let Some((progress, number)) = batch.progress() else { return };
        match self.got.iter_mut().find(|(known, _)| Arc::ptr_eq(known, progress)) {
            Some((_, got)) => *got = number,
            None => self.got.push((Arc::clone(progress), number)),
        }
    }

    fn group(&mut self, transfer: Transfer, out: &mut Vec<Transfer>, now: Instant) {
        self.note(&transfer.batch);
        if transfer.batch.is_whole() {
            return out.push(transfer);
        }
        let rules = self.rule.for_streams(transfer.batch.streams());
        let sorted = sort(&transfer.batch, &rules, self.bounds, &mut self.held, now);
        if sorted.is_untouched() {
            return out.push(transfer);
        }
        let Transfer { batch, mut ack } = transfer;
        let Sorted { taken, closed, open } = sorted;
        let lines = batch.len();
        let mut covered = Cover::of(&batch, open.iter().map(|(key, group)| (key.0, group.fresh())));
        let mut own = batch.own();
        // Mostly nobody else has it, and the lines that stay are not copied.
        let mut next = Arc::unwrap_or_clone(batch);
        let (mut acks, mut joined) = (Vec::new(), BySource::default());
        open.iter().for_each(|(_, group)| own = own.less(group.fresh_count()));
        let mut closed = closed.into_iter().peekable();
        let mut order = Vec::with_capacity(next.len());
        for at in 0..=lines {
            while let Some((_, group)) = closed.next_if(|(before, _)| *before == at) {
                order.push(next.len());
                self.write(group, &mut next, &mut covered, (&mut acks, &mut joined));
            }
            if at < lines && !taken.contains(at) {
                order.push(at);
            }
        }
        next.arrange(&order);
        let progress = next.progress().map(|(progress, _)| progress);
        for (key, mut group) in open {
            group.share(&ack, progress);
            self.held.insert(key, group);
        }
        next.set_covered(covered.into_parts());
        if next.is_empty() && next.covered().is_empty() {
            ack.durable();
        } else {
            ack.joins(&joined);
            acks.push((ack, Claim { count: own.less(joined.sum()), held: None }));
            let ack = Ack::joined(acks);
            out.push(Transfer { batch: Arc::new(next), ack });
        }
    }

    /// Gives out the held groups of which `which` says so, as one transfer.
    fn give_out(&mut self, out: &mut Vec<Transfer>, mut which: impl FnMut(&mut Gathered) -> bool) {
        if self.held.is_empty() {
            return;
        }
        let mut groups: Vec<Gathered> =
            self.held.extract_if(|_, group| which(group)).map(|(_, group)| group).collect();
        if groups.is_empty() {
            return;
        }
        groups.sort_by_key(Gathered::order);
        while let Some(first) = groups.first() {
            // Each input keeps books of its own.
            let way = first.way().cloned();
            let of_way = |group: &mut Gathered| group.way() == way.as_ref();
            let together: Vec<Gathered> = groups.extract_if(.., of_way).collect();
            let (mut batch, mut covered, mut acks) = (Batch::new(), Cover::default(), Vec::new());
            for group in together {
                // No line of it is fresh.
                self.write(group, &mut batch, &mut covered, (&mut acks, &mut BySource::default()));
            }
            batch.set_covered(covered.into_parts());
            let ack = Ack::joined(acks);
            out.push(Transfer { batch: Arc::new(batch), ack });
        }
    }

    fn write(
        &self,
        group: Gathered,
        batch: &mut Batch,
        covered: &mut Cover,
        (acks, joined): (&mut Vec<(Ack, Claim)>, &mut BySource),
    ) {
        if group.lines() > 1 {
            self.groups.inc();
            self.lines.inc_by(group.lines());
        }
        for range in group.ranges() {
            covered.add(group.source(), *range);
        }
        acks.extend(group.write(batch, joined));
    }
}

impl Step for Multiline {
    fn apply(&mut self, transfer: Transfer, out: &mut Vec<Transfer>) {
        self.apply_at(transfer, out, Instant::now());
    }

    fn wake_at(&self) -> Option<Instant> {
        let of = |group: &Gathered| match self.looked {
            Some(looked) if group.due() <= looked => looked + LOOK_AGAIN,
            _ => group.due(),
        };
        self.held.values().map(of).min()
    }

    fn wake(&mut self, out: &mut Vec<Transfer>) {
        self.give_out_due(out, Instant::now());
    }

    fn finish(&mut self, out: &mut Vec<Transfer>) {
        self.give_out(out, |_| true);
    }
}

/// What a batch covers, source by source.
#[derive(Default)]
struct Cover(BTreeMap<SourceId, RangeSet>);

impl Cover {
    /// What `batch` covers, less the lines that are held back.
    fn of<'a>(batch: &Batch, held: impl Iterator<Item = (SourceId, &'a [SeqRange])>) -> Self {
        let mut less: BTreeMap<SourceId, Vec<SeqRange>> = BTreeMap::new();
        for (source, ranges) in held {
            less.entry(source).or_default().extend(ranges);
        }
        for ranges in less.values_mut() {
            ranges.sort_unstable();
        }
        let mut cover = Self::default();
        for Covered { source, range } in batch.covered() {
            let mut start = range.start;
            for held in less.get(source).into_iter().flatten() {
                if held.end > start && held.start < range.end {
                    cover.add(*source, SeqRange::new(start, held.start));
                    start = held.end;
                }
            }
            cover.add(*source, SeqRange::new(start, range.end));
        }
        cover
    }

    fn add(&mut self, source: SourceId, range: SeqRange) {
        if !range.is_empty() {
            self.0.entry(source).or_default().insert(range);
        }
    }

    fn into_parts(self) -> Vec<Covered> {
        let parts = self.0.into_iter();
        parts
            .flat_map(|(source, ranges)| {
                ranges.iter().map(|range| Covered { source, range }).collect::<Vec<_>>()
            })
            .collect()
    }
}
