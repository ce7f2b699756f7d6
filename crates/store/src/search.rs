//! Answers questions about what the store holds.
//!
//! Owns: the `Search` trait for the store. Does not own: what a query means (`query`), how rows of a block are
//! selected (`segment`).
//! Invariant: an answer is about one moment: batches in memory and segments as they were together when it was
//! asked. A damaged segment is left out, noted and makes the answer partial; it fails nothing.
//!
//! | part | question it answers |
//! |---|---|
//! | `plan` | Which batches and blocks may hold records of a selection, and in which order are they looked at? |
//! | `unit` | What does one batch or block say? |
//! | `run` | Who looks at which, on how many threads, and what did it cost? |
//! | `counts`, `ids` | How often is each value there? |
//! | `page`, `histogram`, `values`, `summary`, `patterns`, `fields` | How do their answers become one? |

mod counts;
mod fields;
mod histogram;
mod ids;
mod page;
mod patterns;
mod plan;
mod run;
mod summary;
mod unit;
mod values;

use std::time::Instant;

use sawyer_model::{Error, ErrorKind, Record, RecordId, Timestamp};
use sawyer_query::search::{
    Budget, Fields, Follower, Histogram, HistogramRequest, Order, Page, Part, Patterns, PatternsRequest,
    Search, SearchRequest, SearchStats, Selection, Summary, SummaryRequest, TopValues, Totals, ValuesRequest,
};

use self::plan::Plan;
use self::run::Run;
use crate::Store;

impl Search for Store {
    fn search(&self, request: &SearchRequest, budget: &Budget) -> Result<Page, Error> {
        let started = Instant::now();
        let mut page = page::search(&self.engine, request, budget)?;
        page.stats.elapsed = started.elapsed();
        Ok(page)
    }

    fn lines(
        &self,
        request: &SearchRequest,
        budget: &Budget,
        line: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<Result<Part, Error>> {
        let started = Instant::now();
        Some(page::lines(&self.engine, request, budget, line).map(|mut part| {
            part.stats.elapsed = started.elapsed();
            part
        }))
    }

    fn record(&self, id: RecordId, budget: &Budget) -> Result<Option<Record>, Error> {
        page::record(&self.engine, id, budget)
    }

    fn count(&self, selection: &Selection, budget: &Budget) -> Result<(u64, SearchStats), Error> {
        let started = Instant::now();
        let plan = Plan::of(&self.engine, selection, Order::NewestFirst);
        let run = Run::new(&self.engine, &plan, budget);
        let counts = run.fold(
            || 0u64,
            |count, _, rows| {
                *count += rows.count() as u64;
                Ok(())
            },
        )?;
        let stats = SearchStats { elapsed: started.elapsed(), ..run.stats() };
        Ok((counts.into_iter().sum(), stats))
    }

    fn histogram(&self, request: &HistogramRequest, budget: &Budget) -> Result<Histogram, Error> {
        let started = Instant::now();
        let mut histogram = histogram::histogram(&self.engine, request, budget)?;
        histogram.stats.elapsed = started.elapsed();
        Ok(histogram)
    }

    fn values(&self, request: &ValuesRequest, budget: &Budget) -> Result<TopValues, Error> {
        let started = Instant::now();
        let mut values = values::values(&self.engine, request, budget)?;
        values.stats.elapsed = started.elapsed();
        Ok(values)
    }

    fn summary(&self, request: &SummaryRequest, budget: &Budget) -> Result<Summary, Error> {
        let started = Instant::now();
        let mut summary = summary::summary(&self.engine, request, budget)?;
        summary.stats.elapsed = started.elapsed();
        Ok(summary)
    }

    fn patterns(&self, request: &PatternsRequest, budget: &Budget) -> Result<Patterns, Error> {
        let started = Instant::now();
        let mut patterns = patterns::patterns(&self.engine, request, budget)?;
        patterns.stats.elapsed = started.elapsed();
        Ok(patterns)
    }

    fn fields(&self, selection: &Selection, budget: &Budget) -> Result<Fields, Error> {
        let started = Instant::now();
        let mut fields = fields::fields(&self.engine, selection, budget)?;
        fields.stats.elapsed = started.elapsed();
        Ok(fields)
    }

    fn follow(&self, follower: Follower) {
        self.engine.followers.lock().push(follower);
    }

    fn totals(&self) -> Totals {
        let live = self.engine.live.read();
        let mut totals = Totals { records: live.rows_in_memory(), ..Totals::default() };
        let mut widen = |min: Timestamp, max: Timestamp| {
            totals.oldest = Some(totals.oldest.map_or(min, |oldest| oldest.min(min)));
            totals.newest = Some(totals.newest.map_or(max, |newest| newest.max(max)));
        };
        for held in live.held() {
            widen(held.time_min, held.time_max);
        }
        for segment in &live.segments {
            widen(segment.entry.time_min, segment.entry.time_max);
        }
        totals.segments = live.segments.len() as u64;
        totals.records += live.segments.iter().map(|segment| segment.entry.rows).sum::<u64>();
        totals.bytes = live.segments.iter().map(|segment| segment.entry.bytes).sum();
        totals
    }
}

/// A request that cannot be answered by any engine.
fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
