//! Finds the records that come first, and single ones.
//!
//! Owns: keeping the best so far, stopping early, putting a page together, where to go on.
//! Invariant: places are compared before records are read, so only the records of the page are read whole. Whoever goes on
//! from one page to the next gets every record once: a page ends before whatever was not looked at.

use std::cell::Cell;
use std::cmp::Ordering;

use parking_lot::Mutex;
use sawyer_model::{Batch, Error, ErrorKind, Record, RecordId, SourceId, Timestamp};
use sawyer_query::search::{Budget, Order, Page, Part, Position, SearchRequest, Selection};
use sawyer_segment::{Lines, Rows};

use super::plan::Plan;
use super::run::Run;
use super::unit::Unit;
use crate::engine::Engine;

/// Records of a page have about so many bytes at most, all together; of one that is larger there is only that one.
const RECORDS_BYTES_MAX: usize = 64 << 20;

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

/// A record that may be on the page. The greatest is the one that comes last, as long as its position is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    position: Position,
    /// Place of its unit in the plan.
    unit: usize,
    row: usize,
}

/// A position that is the less the earlier it comes in an order; turned again it is what it was.
fn turned(order: Order, position: Position) -> Position {
    match order {
        Order::OldestFirst => position,
        Order::NewestFirst => Position {
            timestamp: Timestamp::from_nanos(!position.timestamp.nanos()),
            source: SourceId(!position.source.0),
            start: !position.start,
        },
    }
}

/// So many times the rows of a page, and more, are looked at by their times first.
const NARROWED_PART: usize = 4;

/// The candidates that come first; one more than the page has, to know whether there are more.
struct Best {
    found: Mutex<Found>,
    count_max: usize,
    order: Order,
}

/// Candidates in any order, the best among them, and never twice as many as there may be. Once there were as many as there
/// may be, none that comes behind `last` is wanted.
#[derive(Default)]
struct Found {
    candidates: Vec<Candidate>,
    last: Option<Candidate>,
}

impl Best {
    /// Whether a unit may have a record that comes before the last of the best.
    fn wants(&self, unit: &Unit) -> bool {
        let Some(last) = self.found.lock().last else { return self.count_max > 0 };
        let last = turned(self.order, last.position).timestamp;
        match self.order {
            Order::NewestFirst => unit.time_max() >= last,
            Order::OldestFirst => unit.time_min() <= last,
        }
    }

    /// Whether there is a record up to this place, and no whole page: a page that is whole ends soon anyway.
    fn begins_within(&self, known: Position, limit: usize) -> bool {
        let all = &self.found.lock().candidates;
        let known = turned(self.order, known);
        all.len() < limit && all.iter().any(|one| one.position <= known)
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
        let Found { candidates: all, last } = &mut *self.found.lock();
        let bound = *last;
        all.extend(candidates.filter(|candidate| bound.is_none_or(|last| *candidate < last)));
        // Later on only when there are twice as many, so that what a unit adds costs as much as itself, and not as a page.
        let due = self.count_max.saturating_mul(if bound.is_some() { 2 } else { 1 });
        if all.len() >= due {
            if self.count_max > 0 {
                let (_, greatest, _) = all.select_nth_unstable(self.count_max - 1);
                *last = Some(*greatest);
            }
            all.truncate(self.count_max);
        }
    }

    /// All of them, in their order.
    fn into_places(self) -> Vec<Candidate> {
        let mut all = self.found.into_inner().candidates;
        all.sort_unstable();
        all.truncate(self.count_max);
        all.iter_mut().for_each(|one| one.position = turned(self.order, one.position));
        all
    }
}

/// The records that come first, and where to go on behind them; none if there is nothing more.
struct Chosen {
    places: Vec<Candidate>,
    next: Option<Position>,
}

/// The records of a selection; fewer than were asked for if they are large.
pub(super) fn search(engine: &Engine, request: &SearchRequest, budget: &Budget) -> Result<Page, Error> {
    let plan = Plan::of(engine, &behind(&request.selection, request.order, request.after), request.order);
    let run = Run::new(engine, &plan, budget);
    let mut chosen = choose(&plan, &run, request)?;
    chosen.fit(&plan, RECORDS_BYTES_MAX);
    let (records, order) = loop {
        let mut records = Batch::new();
        let order = by_unit(&plan, &run, &chosen.places, |unit, wanted| {
            let rows = wanted.map(|wanted| (wanted.row, wanted.position));
            let has_room = unit.fetch_into(rows, request.original, RECORDS_BYTES_MAX, &mut records)?;
            read_of(has_room, chosen.places.len(), records.len())
        });
        run.failure()?;
        match order {
            Some(order) => break (records, order),
            None => chosen.halve(),
        }
    };
    let mut records = records;
    records.arrange(&order);
    Ok(Page { records, next: chosen.next, stats: run.stats() })
}

/// What was read of a page with so many places; none if there was no room, so that a shorter page is to be tried. There is room
/// for any single record that was ever written, so that one without is damage.
fn read_of(has_room: bool, places: usize, read: usize) -> Result<Option<usize>, Error> {
    if !has_room && places == 1 {
        return Err(Error::new(ErrorKind::Corrupt, "a record is larger than any that was written"));
    }
    Ok(has_room.then_some(read))
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
    let mut chosen = choose(&plan, &run, request)?;
    chosen.fit(&plan, LINES_BYTES_MAX);
    let mut lines = ROOM.take();
    let order = loop {
        let order = by_unit(&plan, &run, &chosen.places, |unit, wanted| {
            if lines.text_bytes() > TEXT_BYTES_MAX {
                return Ok(None);
            }
            let rows = wanted.map(|wanted| (wanted.row, wanted.position));
            unit.lines_into(rows, request.original, &mut lines)?;
            Ok(Some(lines.len()))
        });
        run.failure()?;
        match order {
            Some(order) => break order,
            None => {
                chosen.halve();
                lines = Lines::default();
            }
        }
    };
    let wanted = order.iter().all(|at| line(lines.get(*at)));
    if lines.memory_bytes() <= ROOM_BYTES_MAX {
        lines.clear();
        ROOM.set(lines);
    }
    Ok(Part { count: order.len(), next: chosen.next, stats: run.stats(), wanted })
}

/// The places of the records of a page, in order.
fn choose(plan: &Plan, run: &Run<'_>, request: &SearchRequest) -> Result<Chosen, Error> {
    let order = request.order;
    let count_max = if request.limit == 0 { 0 } else { request.limit.saturating_add(1) };
    let best = Best { found: Mutex::default(), count_max, order };
    let is_behind = |position: Position| {
        request.after.is_none_or(|after| order.compare(position, after) == Ordering::Greater)
    };
    let step = |_: &mut (), unit: &Unit, rows: &Rows| {
        let narrowed = best.narrowed(unit, rows, request.after)?;
        let rows = narrowed.as_ref().unwrap_or(rows);
        let positions = unit.positions(rows)?;
        let candidates = rows.iter().zip(positions).filter(|(_, position)| is_behind(*position));
        best.add(candidates.map(|(row, position)| Candidate {
            position: turned(order, position),
            unit: unit.number(),
            row,
        }));
        Ok(())
    };
    let wanted = |unit: &Unit| {
        if !best.wants(unit) {
            return false;
        }
        let known = || before(unit, &plan.selection, order, request.after);
        let ends = run.is_due() && best.begins_within(known(), request.limit);
        if ends {
            run.end_before(unit);
        }
        !ends
    };
    run.fold_while(|| (), step, wanted)?;
    let mut places = best.into_places();
    // What was not looked at may have records that come before some of those that were found.
    let known = run.missed().map(|unit| before(unit, &plan.selection, order, request.after));
    if let Some(known) = known {
        let within = |place: &Candidate| order.compare(place.position, known) != Ordering::Greater;
        places.truncate(places.partition_point(within));
    }
    let mut chosen = Chosen { places, next: known };
    chosen.truncate(request.limit);
    Ok(chosen)
}

/// The last place before all that a unit may have of a selection, and at least `after`.
fn before(unit: &Unit, selection: &Selection, order: Order, after: Option<Position>) -> Position {
    let place = match order {
        Order::NewestFirst => {
            let time = Timestamp::from_nanos(unit.time_max().nanos().saturating_add(1));
            Position { timestamp: time.min(selection.end), source: SourceId(0), start: 0 }
        }
        Order::OldestFirst => match unit.time_min().max(selection.start).nanos().checked_sub(1) {
            Some(nanos) => {
                let timestamp = Timestamp::from_nanos(nanos);
                Position { timestamp, source: SourceId(u128::MAX), start: u64::MAX }
            }
            // There is no place before the first one: it is as good as none.
            None => Position { timestamp: Timestamp::MIN, source: SourceId(0), start: 0 },
        },
    };
    after.filter(|after| order.compare(*after, place) == Ordering::Greater).unwrap_or(place)
}

impl Chosen {
    /// Leaves the first ones.
    fn truncate(&mut self, count: usize) {
        if self.places.len() > count {
            self.places.truncate(count);
            self.next = self.places.last().map(|last| last.position);
        }
    }

    /// Leaves the first half.
    fn halve(&mut self) {
        self.truncate(self.places.len().div_ceil(2));
    }

    /// Leaves those that are made of so many bytes, as far as that is known, and at least one.
    fn fit(&mut self, plan: &Plan, bytes_max: usize) {
        let mut bytes = 0usize;
        let fits = self.places.iter().take_while(|place| {
            bytes = bytes.saturating_add(plan.units[place.unit].record_bytes(place.row));
            bytes <= bytes_max
        });
        let fits = fits.count().max(1);
        self.truncate(fits);
    }
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

/// Has the chosen records read unit by unit, until nobody waits for them any more. `read` says how many were read by then,
/// or that there is no room for those of this unit; gives where in these the chosen ones are, in their order, without those
/// that could not be read. None if there was no room.
fn by_unit(
    plan: &Plan,
    run: &Run<'_>,
    chosen: &[Candidate],
    mut read: impl FnMut(&Unit, &mut dyn Iterator<Item = Candidate>) -> Result<Option<usize>, Error>,
) -> Option<Vec<usize>> {
    let each = chosen.iter().enumerate();
    let mut by_unit: Vec<(usize, usize, usize)> = each.map(|(at, one)| (one.unit, one.row, at)).collect();
    by_unit.sort_unstable();
    // For each chosen record, where among those read it is.
    let mut places: Vec<Option<usize>> = vec![None; chosen.len()];
    for of_unit in by_unit.chunk_by(|a, b| a.0 == b.0) {
        let unit = &plan.units[of_unit[0].0];
        let waited_for = run.waited_for();
        match waited_for.and_then(|()| read(unit, &mut of_unit.iter().map(|(.., at)| chosen[*at]))) {
            Ok(Some(count)) => {
                let before = count - of_unit.len();
                of_unit.iter().zip(before..).for_each(|((.., at), place)| places[*at] = Some(place));
            }
            Ok(None) => return None,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_are_those_that_sorting_puts_first(
            units in prop::collection::vec(prop::collection::vec((-3i64..4, 0u128..3, 0u64..4), 0..12), 0..8),
            count_max in 0usize..20, newest_first: bool,
        ) {
            let order = if newest_first { Order::NewestFirst } else { Order::OldestFirst };
            let best = Best { found: Mutex::default(), count_max, order };
            let mut all = Vec::new();
            for (unit, places) in units.iter().enumerate() {
                let each = places.iter().enumerate().map(|(row, (time, source, start))| {
                    let (timestamp, source) = (Timestamp::from_nanos(*time), SourceId(*source));
                    Candidate { position: Position { timestamp, source, start: *start }, unit, row }
                });
                all.extend(each.clone());
                best.add(each.map(|one| Candidate { position: turned(order, one.position), ..one }));
                let found = best.found.lock();
                let kept = found.candidates.len();
                prop_assert!(kept >= all.len().min(count_max) && kept <= count_max.max((2 * count_max).saturating_sub(1)));
                prop_assert_eq!(found.last.is_some(), count_max > 0 && all.len() >= count_max);
            }
            all.sort_by(|a, b| order.compare(a.position, b.position).then((a.unit, a.row).cmp(&(b.unit, b.row))));
            all.truncate(count_max);
            prop_assert_eq!(best.into_places(), all);
        }
    }

    #[test]
    fn a_page_without_room_gets_shorter_until_one_record_is_damage() {
        let place = |row| Candidate {
            position: Position { timestamp: Timestamp::EPOCH, source: SourceId(1), start: row as u64 },
            unit: 0,
            row,
        };
        for count in 1..100 {
            let mut chosen = Chosen { places: (0..count).map(place).collect(), next: None };
            let mut tries = 0;
            let error = loop {
                tries += 1;
                assert!(tries < 10, "it goes on for ever with {} of {count}", chosen.places.len());
                match read_of(false, chosen.places.len(), 0) {
                    Ok(None) => chosen.halve(),
                    Ok(Some(_)) => panic!("there was no room"),
                    Err(error) => break error,
                }
            };
            assert_eq!((error.kind(), chosen.places.len()), (ErrorKind::Corrupt, 1));
            assert_eq!(chosen.next.is_some(), count > 1, "what follows is read from there");
            assert_eq!(read_of(true, 1, 1).unwrap(), Some(1));
        }
    }
}
