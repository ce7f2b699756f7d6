//! Deletes the records of a query.
//!
//! Owns: finding the rows in each segment, and having them written again without these.
//! Does not own: writing (`compact`).
//! Invariant: when it returns, no record of the selection that was stored before it was begun is found any more, nor
//! after a crash; what it took from sources is remembered, so that nothing of it is stored again when it is sent again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sawyer_model::{Error, ErrorKind};
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_segment::Rows;

use crate::Store;
use crate::engine::Engine;
use crate::error::Result;
use crate::sealed::Sealed;

/// How long it waits at a time for a merge to give a segment back.
const MERGE_WAIT: Duration = Duration::from_millis(50);

impl Store {
    /// Each segment that has records of the selection is written again without them, one after the other. One that
    /// cannot be read or written holds up no other; the first such error is told in the end. [`Store::close`] ends it.
    pub(crate) fn delete_selected(&self, selection: &Selection, budget: &Budget) -> Result<u64, Error> {
        self.seal_now()?;
        let engine = &self.engine;
        let (mut done, mut deleted, mut failed) = (HashSet::new(), 0, None);
        loop {
            let seen = engine.work.count();
            let segments = engine.live.read().segments.clone();
            let mut open: Vec<Arc<Sealed>> =
                segments.into_iter().filter(|segment| !done.contains(&segment.entry.id)).collect();
            if open.is_empty() {
                return failed.map_or(Ok(deleted), Err);
            }
            open.retain(|segment| engine.claim(segment.entry.id));
            if open.is_empty() {
                if !budget.take(0)? || engine.is_stopping() {
                    return Err(ended());
                }
                engine.work.wait_since(seen, MERGE_WAIT);
            }
            let worked = open.iter().try_for_each(|segment| {
                match engine.delete_from(segment, selection, budget) {
                    Ok(count) => deleted += count,
                    Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
                    Err(_) if engine.is_stopping() => return Err(ended()),
                    Err(error) => failed = failed.take().or(Some(error)),
                }
                done.insert(segment.entry.id);
                Ok(())
            });
            engine.give_back(&open);
            worked?;
        }
    }
}

impl Engine {
    /// Marks a segment so that nobody else writes it again; says no if somebody does, or it is gone.
    fn claim(&self, id: u64) -> bool {
        let mut merging = self.merging.lock();
        let there = self.live.read().segments.iter().any(|segment| segment.entry.id == id);
        let free = there && !merging.contains(&id);
        if free {
            merging.push(id);
        }
        free
    }

    fn delete_from(
        &self,
        segment: &Arc<Sealed>,
        selection: &Selection,
        budget: &Budget,
    ) -> Result<u64, Error> {
        let mut removed = Vec::new();
        for block in 0..segment.segment.blocks().len() {
            let mut stats = SearchStats::default();
            let rows = segment.segment.scan(block, selection, budget, &mut stats);
            removed.push(rows.inspect_err(|error| {
                if error.kind() != ErrorKind::Closed {
                    self.note_unreadable(segment, error);
                }
            })?);
            if stats.partial {
                return Err(ended());
            }
        }
        let count: u64 = removed.iter().map(|rows| Rows::count(rows) as u64).sum();
        if count > 0 && self.rewrite(std::slice::from_ref(segment), &[removed])?.is_none() {
            return Err(Error::new(ErrorKind::Retry, "write a segment again without what is deleted"));
        }
        self.counters.deleted_records.inc_by(count);
        Ok(count)
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Closed, "deleting was ended before it was done")
}
