//! Finds the records that come first, and single ones.
//!
//! Owns: keeping the best so far, stopping early, putting a page together.
//! Invariant: places are compared before records are read, so only the records of the page are read whole.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use parking_lot::Mutex;
use sawyer_model::{Batch, Error, Record, RecordId, Timestamp};
use sawyer_query::search::{Budget, Order, Page, Part, Position, SearchRequest, Selection};
use sawyer_segment::{Lines, Rows};

use super::plan::Plan;
use super::run::Run;
use super::unit::Unit;
use crate::engine::Engine;

/// Records of a page of lines are made of about so many bytes at most, as far as that is known before they are read. Lines
/// are longer, by what is escaped in them and by names of fields; a page is in memory as a whole.
const LINES_BYTES_MAX: usize = 16 << 20;

/// Lines of a page that turn out to be longer together are given up for a shorter page: the records that are wanted may be
/// the long ones among many short ones. Those of one block may go beyond it.
const TEXT_BYTES_MAX: usize = 2 * LINES_BYTES_MAX;

/// Room of so many bytes at most is kept for the next page of lines that the thread makes, so that the system need not give
/// it again. Threads that wait for more than some seconds end, and their room with them.
const ROOM_BYTES_MAX: usize = 2 * LINES_BYTES_MAX;

thread_local! {
    static ROOM: Cell<Lines> = Cell::default();
}

/// A record that may be on the page. The greatest is the one that comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    order: Order,
    position: Position,
    /// Place of its unit in the plan.
    unit: usize,
    row: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_position = self.order.compare(self.position, other.position);
        by_position.then_with(|| (self.unit, self.row).cmp(&(other.unit, other.row)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// So many times the rows of a page, and more, are looked at by their times first.
const NARROWED_PART: usize = 4;

/// The candidates that come first; one more than the page has, to know whether there are more.
struct Best {
    heap: Mutex<BinaryHeap<Candidate>>,
    count_max: usize,
    order: Order,
}

impl Best {
    /// Whether a unit may have a record that comes before the last of the best.
    fn wants(&self, unit: &Unit) -> bool {
        let heap = self.heap.lock();
        let Some(last) = heap.peek().filter(|_| heap.len() == self.count_max) else {
            return self.count_max > 0;
        };
        match self.order {
            Order::NewestFirst => unit.time_max() >= last.position.timestamp,
            Order::OldestFirst => unit.time_min() <= last.position.timestamp,
        }
    }

    /// Of many rows of a unit those that may be among the best by their times alone, if these are looked at for less.
    fn narrowed(&self, unit: &Unit, rows: &Rows, after: Option<Position>) -> Result<Option<Rows>, Error> {
        if self.count_max == 0 || rows.count() / NARROWED_PART <= self.count_max {
            return Ok(None);
        }
        let Some(times) = unit.times_of(rows)? else { return Ok(None) };
        // As they sort: the first ones are the least.
        let key = |time: &Timestamp| match self.order {
            Order::NewestFirst => !time.nanos(),
            Order::OldestFirst => time.nanos(),
        };
        // Those of the very time behind which the page begins may not be on it.
        let begin = after.map(|after| key(&after.timestamp));
        let mut keys: Vec<i64> =
            times.iter().map(key).filter(|key| begin.is_none_or(|begin| *key > begin)).collect();
        if keys.len() <= self.count_max {
            return Ok(None);
        }
        let (_, last, _) = keys.select_nth_unstable(self.count_max - 1);
        let mut narrowed = Rows::none(rows.len());
        rows.iter()
            .zip(&times)
            .filter(|(_, time)| key(time) <= *last)
            .for_each(|(row, _)| narrowed.insert(row));
        Ok(Some(narrowed))
    }

    fn add(&self, candidates: impl Iterator<Item = Candidate>) {
        let mut heap = self.heap.lock();
        for candidate in candidates {
            if heap.len() < self.count_max {
                heap.push(candidate);
            } else if heap.peek().is_some_and(|last| candidate < *last) {
                heap.pop();
                heap.push(candidate);
            }
        }
    }
}

/// The records of a selection.
pub(super) fn search(engine: &Engine, request: &SearchRequest, budget: &Budget) -> Result<Page, Error> {
    let plan = Plan::of(engine, &behind(&request.selection, request.order, request.after), request.order);
    let run = Run::new(engine, &plan, budget);
    let (chosen, more) = choose(&run, request)?;
    let records = fetch(&plan, &run, &chosen, request.original);
    run.failure()?;
    let stats = run.stats();
    let next = chosen.last().filter(|_| more || stats.partial).map(|last| last.position);
    Ok(Page { records, next, stats })
}

/// The records of a selection as lines of JSON; fewer than were asked for if they are large.
pub(super) fn lines(
    engine: &Engine,
    request: &SearchRequest,
    budget: &Budget,
    line: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Part, Error> {
    let plan = Plan::of(engine, &behind(&request.selection, request.order, request.after), request.order);
    let run = Run::new(engine, &plan, budget);
    let (mut chosen, mut more) = choose(&run, request)?;
    let mut bytes = 0usize;
    let fits = chosen.iter().take_while(|candidate| {
        bytes = bytes.saturating_add(plan.units[candidate.unit].record_bytes());
        bytes <= LINES_BYTES_MAX
    });
    let fits = fits.count().max(1);
    more |= fits < chosen.len();
    chosen.truncate(fits);
    let mut lines = ROOM.take();
    let order = loop {
        let order = by_unit(&plan, &run, &chosen, |unit, rows| {
            unit.lines_into(rows, request.original, &mut lines)?;
            Ok((lines.len(), lines.text_bytes() <= TEXT_BYTES_MAX))
        });
        run.failure()?;
        match order {
            Some(order) => break order,
            None => {
                chosen.truncate(chosen.len().div_ceil(2));
                more = true;
                lines = Lines::default();
            }
        }
    };
    let wanted = order.iter().all(|at| line(lines.get(*at)));
    if lines.memory_bytes() <= ROOM_BYTES_MAX {
        lines.clear();
        ROOM.set(lines);
    }
    let stats = run.stats();
    let next = chosen.last().filter(|_| more || stats.partial).map(|last| last.position);
    Ok(Part { count: order.len(), next, stats, wanted })
}

/// The places of the records of a page, in order, and whether there are more.
fn choose(run: &Run<'_>, request: &SearchRequest) -> Result<(Vec<Candidate>, bool), Error> {
    let order = request.order;
    let count_max = if request.limit == 0 { 0 } else { request.limit.saturating_add(1) };
    let best = Best { heap: Mutex::default(), count_max, order };
    let is_behind = |position: Position| {
        request.after.is_none_or(|after| order.compare(position, after) == Ordering::Greater)
    };
    let step = |_: &mut (), unit: &Unit, rows: &Rows| {
        let narrowed = best.narrowed(unit, rows, request.after)?;
        let rows = narrowed.as_ref().unwrap_or(rows);
        let positions = unit.positions(rows)?;
        let candidates = rows.iter().zip(positions).filter(|(_, position)| is_behind(*position));
        best.add(candidates.map(|(row, position)| Candidate { order, position, unit: unit.number(), row }));
        Ok(())
    };
    run.fold_while(|| (), step, |unit| best.wants(unit))?;
    let mut chosen = best.heap.into_inner().into_sorted_vec();
    let more = chosen.len() > request.limit;
    chosen.truncate(request.limit);
    Ok((chosen, more))
}

/// The selection without the times before the place to go on from.
fn behind(selection: &Selection, order: Order, after: Option<Position>) -> Selection {
    let mut selection = selection.clone();
    match (order, after) {
        (_, None) => {}
        (Order::OldestFirst, Some(after)) => selection.start = selection.start.max(after.timestamp),
        (Order::NewestFirst, Some(after)) => {
            if let Some(next) = after.timestamp.nanos().checked_add(1) {
                selection.end = selection.end.min(Timestamp::from_nanos(next));
            }
        }
    }
    selection
}

/// Reads the chosen records, unit by unit, and puts them in order.
fn fetch(plan: &Plan, run: &Run<'_>, chosen: &[Candidate], original: bool) -> Batch {
    let mut records = Batch::new();
    let order = by_unit(plan, run, chosen, |unit, rows| {
        unit.fetch_into(rows, original, &mut records)?;
        Ok((records.len(), true))
    });
    records.arrange(&order.unwrap_or_default());
    records
}

/// Has the chosen records read unit by unit, until nobody waits for them any more. `read` says how many were read by then,
/// and whether there is room for more; gives where in these the chosen ones are, in their order, without those that could not
/// be read. None if there was no room before the last unit.
fn by_unit(
    plan: &Plan,
    run: &Run<'_>,
    chosen: &[Candidate],
    mut read: impl FnMut(&Unit, &mut dyn Iterator<Item = usize>) -> Result<(usize, bool), Error>,
) -> Option<Vec<usize>> {
    let mut by_unit: Vec<usize> = (0..chosen.len()).collect();
    by_unit.sort_unstable_by_key(|at| (chosen[*at].unit, chosen[*at].row));
    // For each chosen record, where among those read it is.
    let mut places: Vec<Option<usize>> = vec![None; chosen.len()];
    let mut has_room = true;
    for of_unit in by_unit.chunk_by(|a, b| chosen[*a].unit == chosen[*b].unit) {
        if !has_room {
            return None;
        }
        let unit = &plan.units[chosen[of_unit[0]].unit];
        let waited_for = run.waited_for();
        match waited_for.and_then(|()| read(unit, &mut of_unit.iter().map(|at| chosen[*at].row))) {
            Ok((count, room)) => {
                let before = count - of_unit.len();
                of_unit.iter().zip(before..).for_each(|(at, place)| places[*at] = Some(place));
                has_room = room;
            }
            Err(error) => run.note(unit, error),
        }
    }
    Some(places.into_iter().flatten().collect())
}

/// One record by its id.
pub(super) fn record(engine: &Engine, id: RecordId, budget: &Budget) -> Result<Option<Record>, Error> {
    budget.take(0)?;
    let (held, segments) = {
        let live = engine.live.read();
        (live.held().cloned().collect::<Vec<_>>(), live.segments.clone())
    };
    let in_memory = held.iter().flat_map(|held| held.batch.iter()).find(|record| record.id() == id);
    if let Some(found) = in_memory {
        return Ok(Some(found.to_record()));
    }
    for segment in segments.iter().rev().filter(|segment| !segment.is_damaged()) {
        budget.take(0)?;
        let found = segment.segment.find(id).and_then(|found| match found {
            Some((block, row)) => segment.segment.record(block, row).map(Some),
            None => Ok(None),
        });
        match found {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => engine.note_unreadable(segment, &error),
        }
    }
    Ok(None)
}
