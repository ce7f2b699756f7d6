//! Which rows of a block satisfy a selection.
//!
//! Owns: [`Segment::scan`] and [`Segment::may_match`]: walking a predicate over columns, cheap parts first, each
//! part on those rows only that are still open.
//! Does not own: the meaning of predicates (`sawyer_query`); order, limits, several blocks (`store`).
//! Invariant: the answer is that of [`Predicate::matches`] on every record of the block.

mod leaf;
mod skip;
mod streams;

use std::collections::HashMap;
use std::rc::Rc;

use sawyer_model::{Batch, Error, RecordRef, Timestamp};
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_query::{FieldKind, FieldTest, Predicate};

pub(crate) use self::leaf::BlockColumns;
pub(crate) use self::streams::StreamTokens;
use crate::bits::Rows;
use crate::error::{Result, SegmentError};
use crate::segment::Segment;
use crate::source::bytes_read_by_thread;

impl Segment {
    /// Whether any row of a block may be of the selection, by what is known of the block: times, the least and
    /// greatest numbers, the filter of tokens.
    ///
    /// # Errors
    /// `Corrupt` if the block is damaged, `Retry` if it cannot be read.
    ///
    /// # Panics
    /// If there is no block with this number.
    pub fn may_match(&self, block: usize, selection: &Selection) -> Result<bool, Error> {
        Ok(self.may_hold(block, selection)?)
    }

    /// The rows of a block that are of the selection, and what it took. If the budget is used up the rows are none
    /// and the stats say `partial`; then the caller stops.
    ///
    /// # Errors
    /// `Corrupt` if the block is damaged, `Retry` if it cannot be read, `Closed` after cancellation.
    ///
    /// # Panics
    /// If there is no block with this number.
    pub fn scan(
        &self,
        block: usize,
        selection: &Selection,
        budget: &Budget,
        stats: &mut SearchStats,
    ) -> Result<Rows, Error> {
        let rows = self.scan_if_any(block, selection, budget, stats)?;
        Ok(rows.unwrap_or_else(|| Rows::none(self.footer.blocks[block].rows)))
    }

    /// As [`Segment::scan`]; none if [`Segment::may_match`] says no or the budget is used up, so that no set is made for a block
    /// that is passed over.
    ///
    /// # Errors
    /// As [`Segment::scan`].
    ///
    /// # Panics
    /// As [`Segment::scan`].
    pub fn scan_if_any(
        &self,
        block: usize,
        selection: &Selection,
        budget: &Budget,
        stats: &mut SearchStats,
    ) -> Result<Option<Rows>, Error> {
        let before = bytes_read_by_thread();
        let rows = self.scan_block(block, selection, budget, stats);
        stats.bytes_read += bytes_read_by_thread().wrapping_sub(before);
        let rows = rows?;
        stats.rows_matched += rows.as_ref().map_or(0, Rows::count) as u64;
        Ok(rows)
    }

    fn scan_block(
        &self,
        block: usize,
        selection: &Selection,
        budget: &Budget,
        stats: &mut SearchStats,
    ) -> Result<Option<Rows>> {
        let info = &self.footer.blocks[block];
        if !self.may_hold(block, selection)? {
            return Ok(None);
        }
        if !budget.take(info.rows as u64).map_err(SegmentError::Query)? {
            stats.partial = true;
            return Ok(None);
        }
        stats.rows_scanned += info.rows as u64;
        let mut scan = Scan { columns: BlockColumns::new(self, block), times: HashMap::new(), budget };
        let alive = scan.within(selection.start, selection.end)?;
        match scan.select(&selection.predicate, &alive) {
            Err(SegmentError::Exhausted) => {
                stats.partial = true;
                Ok(None)
            }
            selected => selected.map(Some),
        }
    }
}

/// A block that is being scanned.
struct Scan<'a> {
    columns: BlockColumns<'a>,
    /// By name.
    times: HashMap<&'static str, Rc<[Timestamp]>>,
    /// Asked before each part of the predicate, because a predicate may have thousands.
    budget: &'a Budget,
}

impl Scan<'_> {
    fn rows(&self) -> usize {
        self.columns.info().rows
    }

    /// The rows with a timestamp from `start` on and before `end`.
    fn within(&mut self, start: Timestamp, end: Timestamp) -> Result<Rows> {
        let times = &self.columns.info().timestamps;
        if start <= *times.start() && *times.end() < end {
            return Ok(Rows::all(self.rows()));
        }
        let timestamps = self.times(sawyer_model::names::TIMESTAMP)?;
        Ok(timestamps.iter().map(|time| start <= *time && *time < end).collect())
    }

    /// The timestamps, or the times of arrival, of all rows.
    fn times(&mut self, name: &'static str) -> Result<Rc<[Timestamp]>> {
        if let Some(times) = self.times.get(name) {
            return Ok(Rc::clone(times));
        }
        let (segment, block) = (self.columns.segment(), self.columns.block());
        let times: Rc<[Timestamp]> = if name == sawyer_model::names::TIMESTAMP {
            segment.read_timestamps(block, true)?.into()
        } else {
            segment.read_observed(block, true)?.into()
        };
        self.times.insert(name, Rc::clone(&times));
        Ok(times)
    }

    /// Those of `alive` for which the predicate holds.
    fn select(&mut self, predicate: &Predicate, alive: &Rows) -> Result<Rows> {
        if alive.is_empty() {
            return Ok(Rows::none(self.rows()));
        }
        if !self.budget.take(0).map_err(SegmentError::Query)? {
            return Err(SegmentError::Exhausted);
        }
        match predicate {
            Predicate::All => Ok(alive.clone()),
            Predicate::None => Ok(Rows::none(self.rows())),
            Predicate::And(parts) => {
                let mut alive = alive.clone();
                for part in self.cheapest_first(parts) {
                    alive = self.select(part, &alive)?;
                }
                Ok(alive)
            }
            Predicate::Or(parts) => {
                let mut open = alive.clone();
                let mut found = Rows::none(self.rows());
                for part in self.cheapest_first(parts) {
                    let more = self.select(part, &open)?;
                    open.subtract(&more);
                    found.unite(&more);
                }
                Ok(found)
            }
            Predicate::Not(part) => {
                let mut rows = alive.clone();
                rows.subtract(&self.select(part, alive)?);
                Ok(rows)
            }
            Predicate::Exists(field) => self.select_existing(field, alive),
            Predicate::Field { field, test } => self.select_field(field, test, alive),
            Predicate::AnyField(test) => self.select_any(test, alive),
            Predicate::Nested { .. } => self.select_by_record(alive, |record| predicate.matches(record)),
        }
    }

    /// Asks whole records: for what columns cannot answer.
    fn select_by_record(&self, alive: &Rows, holds: impl Fn(RecordRef<'_>) -> bool) -> Result<Rows> {
        /// Records that are made at a time: so many bound the memory.
        const RECORDS_AT_A_TIME: usize = 8192;
        let rows: Vec<usize> = alive.iter().collect();
        let mut found = Rows::none(self.rows());
        for some in rows.chunks(RECORDS_AT_A_TIME) {
            let mut wanted = Rows::none(self.rows());
            some.iter().for_each(|row| wanted.insert(*row));
            let mut batch = Batch::new();
            self.columns.segment().fetch_rows(self.columns.block(), &wanted, &mut batch)?;
            for (row, record) in some.iter().zip(batch.iter()) {
                if holds(record) {
                    found.insert(*row);
                }
            }
        }
        Ok(found)
    }

    fn cheapest_first<'p>(&self, parts: &'p [Predicate]) -> Vec<&'p Predicate> {
        let mut parts: Vec<&Predicate> = parts.iter().collect();
        parts.sort_by_cached_key(|part| self.cost(part));
        parts
    }

    /// About how many bytes have to be read for a predicate.
    fn cost(&self, predicate: &Predicate) -> u64 {
        match predicate {
            Predicate::All | Predicate::None => 0,
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter().fold(0, |sum, part| sum.saturating_add(self.cost(part)))
            }
            Predicate::Not(part) => self.cost(part),
            Predicate::Exists(field) => self.columns.heads_bytes(&|name| field.matches_or_contains(name)),
            Predicate::Field { field, .. } => self.columns.bytes(&|name| field.matches(name)),
            Predicate::AnyField(_) => self.columns.bytes(&|_| true),
            Predicate::Nested { .. } => u64::MAX,
        }
    }
}

/// A test as it is asked of the values of one field.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) test: &'a FieldTest,
    pub(crate) kind: FieldKind,
}
