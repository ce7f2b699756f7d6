//! Looks at the units of a plan, on several threads.
//!
//! Owns: who looks at which unit, the budget, what it cost, and what happens when a segment cannot be read.
//! Does not own: what is done with a unit.
//! Invariant: all searches together have no more threads than the setting says, besides those that ask.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use sawyer_model::{Error, ErrorKind};
use sawyer_query::search::{Budget, SearchStats};

use super::plan::Plan;
use super::unit::Unit;
use crate::engine::Engine;
use crate::sealed;

/// Below this many rows starting threads costs more than it saves.
const ROWS_FOR_THREADS: usize = 50_000;

/// One way through a plan.
pub(super) struct Run<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    budget: &'a Budget,
    next: AtomicUsize,
    partial: AtomicBool,
    failed: Mutex<Option<Error>>,
    rows_scanned: AtomicU64,
    bytes_read: AtomicU64,
    segments_read: Vec<AtomicBool>,
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
            partial: AtomicBool::new(false),
            failed: Mutex::new(None),
            rows_scanned: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            segments_read: plan.segments.iter().map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Takes `step` over all units; each thread starts with what `new` gives, and the results are those of all
    /// threads. A `step` that fails must leave what it was given as it was.
    pub(super) fn fold<A: Send>(
        &self,
        new: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, &Unit) -> Result<(), Error> + Sync,
    ) -> Result<Vec<A>, Error> {
        self.fold_while(new, step, |_| true)
    }

    /// As [`Run::fold`], until `wanted` says no to a unit; those behind it are not wanted either.
    pub(super) fn fold_while<A: Send>(
        &self,
        new: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, &Unit) -> Result<(), Error> + Sync,
        wanted: impl Fn(&Unit) -> bool + Sync,
    ) -> Result<Vec<A>, Error> {
        let rows: usize = self.plan.units.iter().map(Unit::rows).sum();
        let useful = if rows < ROWS_FOR_THREADS { 0 } else { self.plan.units.len().saturating_sub(1) };
        let permits = Permits::take(&self.engine.search_threads, useful);
        let work = || {
            let mut folded = new();
            self.work(&mut folded, &step, &wanted);
            folded
        };
        let folded = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..permits.count).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = threads.into_iter().map(|thread| thread.join());
            let mut all: Vec<A> = vec![own];
            for other in others {
                match other {
                    Ok(folded) => all.push(folded),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        match self.failed.lock().take() {
            Some(error) => Err(error),
            None => Ok(folded),
        }
    }

    fn work<A>(
        &self,
        folded: &mut A,
        step: &impl Fn(&mut A, &Unit) -> Result<(), Error>,
        wanted: &impl Fn(&Unit) -> bool,
    ) {
        sealed::take_bytes_read();
        while let Some(unit) = self.plan.units.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if !wanted(unit) {
                break;
            }
            match self.budget.take(unit.rows() as u64) {
                Ok(true) => {}
                Ok(false) => {
                    self.partial.store(true, Ordering::Relaxed);
                    break;
                }
                Err(cancelled) => {
                    self.fail(cancelled);
                    break;
                }
            }
            self.look(unit, folded, step);
        }
        self.bytes_read.fetch_add(sealed::take_bytes_read(), Ordering::Relaxed);
    }

    fn look<A>(&self, unit: &Unit, folded: &mut A, step: &impl Fn(&mut A, &Unit) -> Result<(), Error>) {
        let segment = unit.segment();
        if let Some((number, segment)) = segment {
            if segment.is_damaged() {
                self.partial.store(true, Ordering::Relaxed);
                return;
            }
            self.segments_read[number].store(true, Ordering::Relaxed);
        }
        match step(folded, unit) {
            Ok(()) => {
                self.rows_scanned.fetch_add(unit.rows() as u64, Ordering::Relaxed);
            }
            Err(error) => self.note(unit, error),
        }
    }

    /// Notes that a unit could not be read. What is wrong with the question fails all of it.
    pub(super) fn note(&self, unit: &Unit, error: Error) {
        match (unit.segment(), error.kind()) {
            (Some((_, segment)), ErrorKind::Corrupt | ErrorKind::Retry | ErrorKind::NotFound) => {
                self.engine.note_unreadable(segment, &error);
                self.partial.store(true, Ordering::Relaxed);
            }
            _ => self.fail(error),
        }
    }

    fn fail(&self, error: Error) {
        self.failed.lock().get_or_insert(error);
        self.next.store(self.plan.units.len(), Ordering::Relaxed);
    }

    /// What it cost so far; matches and time are the caller's to add.
    pub(super) fn stats(&self) -> SearchStats {
        let read = self.segments_read.iter().filter(|read| read.load(Ordering::Relaxed)).count();
        SearchStats {
            rows_scanned: self.rows_scanned.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            segments_read: read as u64,
            segments_skipped: self.plan.segments_skipped,
            partial: self.partial.load(Ordering::Relaxed),
            ..SearchStats::default()
        }
    }
}
