//! Looks at the units of a plan, on several threads.
//!
//! Owns: who looks at which unit, the budget, what it cost, and what happens when a segment cannot be read.
//! Does not own: what is done with a unit.
//! Invariant: all searches together have no more threads than the setting says, besides those that ask.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use sawyer_model::{Error, ErrorKind};
use sawyer_query::search::{Budget, SearchStats};
use sawyer_segment::Rows;

use super::plan::Plan;
use super::unit::Unit;
use crate::engine::Engine;
use crate::sealed;

/// One way through a plan.
pub(super) struct Run<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    budget: &'a Budget,
    next: AtomicUsize,
    /// The first unit that was not looked at though it was wanted.
    missed: AtomicUsize,
    failed: Mutex<Option<Error>>,
    stats: Mutex<SearchStats>,
    /// For each segment whether it was looked at, and whether rows of it were.
    seen: Vec<(AtomicBool, AtomicBool)>,
}

/// Threads that were taken from those that searches have together; given back when dropped.
struct Permits<'a> {
    left: &'a AtomicUsize,
    count: usize,
}

impl<'a> Permits<'a> {
    fn take(left: &'a AtomicUsize, wanted: usize) -> Self {
        let mut count = 0;
        // The closure always says yes, so this cannot fail.
        let _ = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            count = left.min(wanted);
            Some(left - count)
        });
        Self { left, count }
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        self.left.fetch_add(self.count, Ordering::AcqRel);
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(engine: &'a Engine, plan: &'a Plan, budget: &'a Budget) -> Self {
        Self {
            engine,
            plan,
            budget,
            next: AtomicUsize::new(0),
            missed: AtomicUsize::new(usize::MAX),
            failed: Mutex::new(None),
            stats: Mutex::default(),
            seen: plan.segments.iter().map(|_| Default::default()).collect(),
        }
    }

    /// Takes `step` over all units that have rows of the selection, with these rows; each thread starts with what
    /// `new` gives, and the results are those of all threads. A `step` that fails must leave what it was given as
    /// it was.
    pub(super) fn fold<A: Send>(
        &self,
        new: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, &Unit, &Rows) -> Result<(), Error> + Sync,
    ) -> Result<Vec<A>, Error> {
        self.fold_while(new, step, |_| true)
    }

    /// As [`Run::fold`], until `wanted` says no to a unit; those behind it are not wanted either.
    pub(super) fn fold_while<A: Send>(
        &self,
        new: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, &Unit, &Rows) -> Result<(), Error> + Sync,
        wanted: impl Fn(&Unit) -> bool + Sync,
    ) -> Result<Vec<A>, Error> {
        let mut own = new();
        let alone = self.is_large().then(|| Instant::now() + self.engine.plan.alone_time_max);
        if self.work(&mut own, &step, &wanted, alone) {
            return self.failure().map(|()| vec![own]);
        }
        let left = self.plan.units.len().saturating_sub(self.next.load(Ordering::Relaxed));
        let permits = Permits::take(&self.engine.search_threads, left.saturating_sub(1));
        let work = || {
            let mut folded = new();
            self.work(&mut folded, &step, &wanted, None);
            folded
        };
        let folded = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..permits.count).map(|_| scope.spawn(work)).collect();
            self.work(&mut own, &step, &wanted, None);
            let others = threads.into_iter().map(ScopedJoinHandle::join);
            let mut all: Vec<A> = vec![own];
            for other in others {
                match other {
                    Ok(folded) => all.push(folded),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        self.failure().map(|()| folded)
    }

    /// Whether there is enough for several threads.
    fn is_large(&self) -> bool {
        let rows: usize = self.plan.units.iter().map(Unit::rows).sum();
        rows >= self.engine.plan.alone_rows_max && self.plan.units.len() > 1
    }

    /// Looks at units until there are no more, or until a moment; says whether there are no more that are wanted.
    fn work<A>(
        &self,
        folded: &mut A,
        step: &impl Fn(&mut A, &Unit, &Rows) -> Result<(), Error>,
        wanted: &impl Fn(&Unit) -> bool,
        until: Option<Instant>,
    ) -> bool {
        sealed::take_bytes_read();
        let (mut stats, mut bytes_read, mut is_done) = (SearchStats::default(), 0, true);
        while let Some(unit) = self.plan.units.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if !wanted(unit) || stats.partial {
                break;
            }
            self.look(unit, folded, step, &mut stats);
            if stats.partial {
                self.end_before(unit);
            }
            let read = sealed::take_bytes_read();
            self.budget.note_bytes(read);
            bytes_read += read;
            if until.is_some_and(|until| until <= Instant::now()) {
                is_done = stats.partial;
                break;
            }
        }
        stats.bytes_read = bytes_read;
        self.stats.lock().add(&stats);
        is_done
    }

    fn look<A>(
        &self,
        unit: &Unit,
        folded: &mut A,
        step: &impl Fn(&mut A, &Unit, &Rows) -> Result<(), Error>,
        stats: &mut SearchStats,
    ) {
        if unit.segment().is_some_and(|(_, segment)| segment.is_damaged()) {
            self.stats.lock().partial = true;
            return;
        }
        let scanned = stats.rows_scanned;
        let looked = unit.select(&self.plan.selection, self.budget, stats).and_then(|rows| {
            rows.filter(|rows| !rows.is_empty()).map_or(Ok(()), |rows| step(folded, unit, &rows))
        });
        if let Some((number, _)) = unit.segment() {
            let (looked_at, read) = &self.seen[number];
            looked_at.store(true, Ordering::Relaxed);
            stats.blocks_read += u64::from(stats.rows_scanned > scanned);
            read.fetch_or(stats.rows_scanned > scanned, Ordering::Relaxed);
        }
        if let Err(error) = looked {
            self.note(unit, error);
        }
    }

    /// Notes that a unit could not be read. What is wrong with the question fails all of it.
    pub(super) fn note(&self, unit: &Unit, error: Error) {
        match (unit.segment(), error.kind()) {
            (Some((_, segment)), ErrorKind::Corrupt | ErrorKind::Retry | ErrorKind::NotFound) => {
                self.engine.note_unreadable(segment, &error);
                self.stats.lock().partial = true;
            }
            _ => self.fail(error),
        }
    }

    /// Ends it before a unit, though this is wanted.
    pub(super) fn end_before(&self, unit: &Unit) {
        self.missed.fetch_min(unit.number(), Ordering::Relaxed);
    }

    /// Whether what was found is better handed out now.
    pub(super) fn is_due(&self) -> bool {
        self.budget.is_due()
    }

    /// The first unit that was not looked at because the budget was used up, or because it was ended there. Those before it
    /// were, as far as they could be read and were wanted.
    pub(super) fn missed(&self) -> Option<&Unit> {
        self.plan.units.get(self.missed.load(Ordering::Relaxed))
    }

    /// Whether somebody still waits for the answer.
    pub(super) fn waited_for(&self) -> Result<(), Error> {
        self.budget.take(0).map(drop)
    }

    fn fail(&self, error: Error) {
        self.failed.lock().get_or_insert(error);
        self.next.store(self.plan.units.len(), Ordering::Relaxed);
    }

    /// The error that fails all of it, if there is one.
    pub(super) fn failure(&self) -> Result<(), Error> {
        self.failed.lock().take().map_or(Ok(()), Err)
    }

    /// What it cost so far; the time is the caller's to add.
    pub(super) fn stats(&self) -> SearchStats {
        let mut stats = *self.stats.lock();
        stats.segments_skipped += self.plan.segments_skipped;
        stats.blocks_skipped = self.plan.blocks.saturating_sub(stats.blocks_read);
        for (looked_at, read) in &self.seen {
            if read.load(Ordering::Relaxed) {
                stats.segments_read += 1;
            } else if looked_at.load(Ordering::Relaxed) {
                stats.segments_skipped += 1;
            }
        }
        stats
    }
}
