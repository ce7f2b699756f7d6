//! Items that wait, and which of them make the next request.
//!
//! Owns: partitions, filling requests up to the limits, what is tried again and when. Pure: it is told the time.
//! Does not own: sending, verdicts (`courier`).
//! Invariant: an item is in one place: here, or in the group that was taken. A group never mixes partitions, and is
//! within the limits unless it is a single item.
//!
//! Each partition is a *lane*. Lanes stand in a queue by the time at which they have something to send, so choosing
//! costs little however many there are.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use tokio::time::Instant;

use crate::target::{Item, Limits, Payload};

#[cfg(test)]
mod tests;

/// How long requests stay smaller after one was too large, before twice the size is tried. One request in this time is
/// sent in vain where the limit is the target's; where a single item was at fault, full requests come back after it.
const LOWERED_TIME: Duration = Duration::from_secs(60);

/// An item with what was tried so far.
#[derive(Debug)]
pub(crate) struct Entry<P> {
    pub(crate) item: Item<P>,
    /// When it came.
    pub(crate) since: Instant,
    /// How often it was tried again.
    pub(crate) retries: u32,
    /// Whether it is sent before others.
    pub(crate) urgent: bool,
    /// Room that it takes with the other items it came with.
    pub(crate) room: std::sync::Arc<tokio::sync::OwnedSemaphorePermit>,
}

impl<P: Payload> Entry<P> {
    /// How many things it stands for.
    pub(crate) fn count(&self) -> usize {
        self.item.payload.count()
    }

    /// Those things one by one.
    pub(crate) fn apart(self) -> impl Iterator<Item = Self> {
        let Self { item, since, retries, urgent, room } = self;
        item.apart().into_iter().map(move |item| Self {
            item,
            since,
            retries,
            urgent,
            room: std::sync::Arc::clone(&room),
        })
    }
}

/// Items that make one request.
#[derive(Debug)]
pub(crate) struct Group<P> {
    pub(crate) entries: Vec<Entry<P>>,
    pub(crate) partition: u64,
    /// Whether it must be sent as it is. A half of a refused request would be refused again with others beside it.
    pub(crate) fixed: bool,
    /// Not to be sent before.
    pub(crate) due: Instant,
}

impl<P: Payload> Group<P> {
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.item.bytes).sum()
    }

    /// How many things its entries stand for.
    pub(crate) fn count(&self) -> usize {
        self.entries.iter().map(Entry::count).sum()
    }
}

#[derive(Debug)]
pub(crate) struct Waiting<P> {
    /// As they hold now; requests may be smaller than was set.
    limits: Limits,
    request_bytes_set: usize,
    raise_at: Instant,
    lanes: HashMap<u64, Lane<P>>,
    /// When each lane has something to send, and which lane.
    turns: BTreeSet<(Instant, u64)>,
    /// The lanes that have urgent items.
    urgent: BTreeSet<u64>,
    /// The lane that urgent items were taken from last; the next one has its turn.
    urgent_last: u64,
    /// Counts down, so that what is given back later comes first.
    number: i64,
    /// Where all keys of an ordered lane begin, so that only their numbers count; earlier than all others.
    start: Instant,
    /// Nothing more comes, so there is nothing to wait for.
    closing: bool,
}

#[derive(Debug)]
struct Lane<P> {
    fresh: VecDeque<Entry<P>>,
    /// How many of the first of them are urgent: they are sent at once, and before what is tried again.
    urgent: usize,
    /// Whether they began the last request: then what is tried again begins the next one.
    urgent_began: bool,
    fresh_bytes: usize,
    /// How many things they stand for.
    fresh_count: usize,
    /// What is tried again: by when, or in an ordered lane by place.
    again: BTreeMap<(Instant, i64), Group<P>>,
    under_way: usize,
    turn: Option<Instant>,
}

impl<P: Payload> Lane<P> {
    fn new() -> Self {
        Self {
            fresh: VecDeque::new(),
            urgent: 0,
            urgent_began: false,
            fresh_bytes: 0,
            fresh_count: 0,
            again: BTreeMap::new(),
            under_way: 0,
            turn: None,
        }
    }

    fn is_over(&self) -> bool {
        self.fresh.is_empty() && self.again.is_empty() && self.under_way == 0
    }

    /// When it has something to send.
    fn ready_at(&self, limits: &Limits, closing: bool) -> Option<Instant> {
        let again = self.again.first_key_value().map(|(_, group)| group.due);
        if limits.ordered && (self.under_way > 0 || again.is_some()) {
            return again.filter(|_| self.under_way == 0);
        }
        let fresh = self.fresh.front().map(|oldest| {
            let full =
                self.fresh_bytes >= limits.request_bytes_max || self.fresh_count >= limits.request_items_max;
            if full || closing || self.urgent > 0 { oldest.since } else { oldest.since + limits.age_max }
        });
        again.into_iter().chain(fresh).min()
    }

    /// What is sent next at this time: urgent items with others behind them. By turns with these begins what is tried
    /// again.
    fn take(&mut self, partition: u64, limits: &Limits, now: Instant) -> Group<P> {
        let due = self.again.first_entry().filter(|entry| entry.get().due <= now);
        self.urgent_began = self.urgent > 0 && !(self.urgent_began && due.is_some());
        let mut group = match due {
            Some(entry) if !self.urgent_began => entry.remove(),
            _ => self.take_urgent(partition, limits, now),
        };
        if group.fixed {
            return group;
        }
        let (mut bytes, mut count) = (group.bytes(), group.count());
        while let Some(entry) = self.again.first_entry() {
            let other = entry.get();
            let (more, more_count) = (other.bytes(), other.count());
            let fits =
                bytes + more <= limits.request_bytes_max && count + more_count <= limits.request_items_max;
            if other.due > now || other.fixed || !fits {
                break;
            }
            bytes += more;
            count += more_count;
            group.entries.append(&mut entry.remove().entries);
        }
        if limits.ordered && !self.again.is_empty() {
            return group;
        }
        self.fill(&mut group, limits, |_| true);
        group
    }

    /// Urgent items alone: a target that takes its time for each item has them the sooner the fewer there are.
    fn take_urgent(&mut self, partition: u64, limits: &Limits, now: Instant) -> Group<P> {
        let mut group = Group { entries: Vec::new(), partition, fixed: false, due: now };
        self.fill(&mut group, limits, |lane| lane.urgent > 0);
        group
    }

    /// Adds fresh items as long as they fit, and as `more` says.
    fn fill(&mut self, group: &mut Group<P>, limits: &Limits, more: fn(&Self) -> bool) {
        let (mut bytes, mut count) = (group.bytes(), group.count());
        while let Some(next) = self.fresh.front().filter(|_| more(self)) {
            let next_count = next.count();
            if next_count > 1 && next.item.bytes > limits.request_bytes_max {
                self.take_first_apart();
                continue;
            }
            let fits = bytes + next.item.bytes <= limits.request_bytes_max
                && count + next_count <= limits.request_items_max;
            if !fits && !group.entries.is_empty() {
                break;
            }
            bytes += next.item.bytes;
            count += next_count;
            self.fresh_bytes -= next.item.bytes;
            self.fresh_count -= next_count;
            self.urgent = self.urgent.saturating_sub(1);
            group.entries.extend(self.fresh.pop_front());
        }
    }

    /// The first item stands for more than a request may be by now: sent as it is, it would be refused to be cut.
    fn take_first_apart(&mut self) {
        let Some(first) = self.fresh.pop_front() else { return };
        self.fresh_bytes -= first.item.bytes;
        let urgent = usize::from(self.urgent > 0);
        let before = self.fresh.len();
        for entry in first.apart().collect::<Vec<_>>().into_iter().rev() {
            self.fresh_bytes += entry.item.bytes;
            self.fresh.push_front(entry);
        }
        self.urgent += urgent * (self.fresh.len() - before) - urgent;
    }
}

impl<P: Payload> Waiting<P> {
    pub(crate) fn new(limits: Limits) -> Self {
        let start = Instant::now();
        Self {
            request_bytes_set: limits.request_bytes_max,
            limits,
            raise_at: start,
            lanes: HashMap::new(),
            turns: BTreeSet::new(),
            urgent: BTreeSet::new(),
            urgent_last: u64::MAX,
            number: 0,
            start,
            closing: false,
        }
    }

    /// Puts an item at the end of its lane.
    pub(crate) fn push(&mut self, entry: Entry<P>) {
        let partition = entry.item.partition;
        let lane = self.lanes.entry(partition).or_insert_with(Lane::new);
        lane.fresh_bytes += entry.item.bytes;
        lane.fresh_count += entry.count();
        lane.fresh.push_back(entry);
        // Only the first item and the one that fills a request change the lane's turn.
        let full = lane.fresh_bytes >= self.limits.request_bytes_max
            || lane.fresh_count >= self.limits.request_items_max;
        if lane.fresh.len() == 1 || full {
            self.set_turn(partition);
        }
    }

    /// Puts an item before all others of its lane that are not urgent, unless the lane is ordered.
    pub(crate) fn push_urgent(&mut self, entry: Entry<P>) {
        if self.limits.ordered {
            return self.push(entry);
        }
        let entry = Entry { urgent: true, ..entry };
        let partition = entry.item.partition;
        let lane = self.lanes.entry(partition).or_insert_with(Lane::new);
        lane.fresh_bytes += entry.item.bytes;
        lane.fresh_count += entry.count();
        lane.fresh.insert(lane.urgent, entry);
        lane.urgent += 1;
        self.set_turn(partition);
    }

    /// Takes what is to be sent now, if anything is. Tell [`Waiting::returned`] when it was.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Group<P>> {
        let &(due, partition) = self.turns.first()?;
        if due > now {
            return None;
        }
        Some(self.take_of(partition, now))
    }

    /// The same with a lane that only waits for more to come: the one that waited longest. What is tried again keeps its
    /// pause.
    pub(crate) fn take_early(&mut self, now: Instant) -> Option<Group<P>> {
        let waits = |(turn, partition): &&(Instant, u64)| {
            let lane = &self.lanes[partition];
            lane.fresh.front().is_some_and(|oldest| *turn == oldest.since + self.limits.age_max)
        };
        let (_, partition) = *self.turns.iter().find(waits)?;
        Some(self.take_of(partition, now))
    }

    /// The same with urgent items only, and nothing that was tried before.
    pub(crate) fn take_urgent(&mut self, now: Instant) -> Option<Group<P>> {
        let behind = (Bound::Excluded(self.urgent_last), Bound::Unbounded);
        let partition = self.urgent.range(behind).next().or_else(|| self.urgent.first()).copied()?;
        self.urgent_last = partition;
        let lane = self.lanes.get_mut(&partition).expect("a lane with urgent items is there");
        let group = lane.take_urgent(partition, &self.limits, now);
        lane.under_way += 1;
        self.set_turn(partition);
        Some(group)
    }

    /// What a lane sends next.
    fn take_of(&mut self, partition: u64, now: Instant) -> Group<P> {
        let lane = self.lanes.get_mut(&partition).expect("a lane with a turn is there");
        let group = lane.take(partition, &self.limits, now);
        lane.under_way += 1;
        self.set_turn(partition);
        group
    }

    /// Puts items back, to be sent when they are due. In an ordered lane, and if one of them is urgent, they come before
    /// everything else; of several groups give the last one back first.
    pub(crate) fn give_back(&mut self, group: Group<P>) {
        if group.entries.is_empty() {
            return;
        }
        let partition = group.partition;
        self.number -= 1;
        let first = self.limits.ordered || group.entries.iter().any(|entry| entry.urgent);
        let by = if first { self.start } else { group.due };
        let lane = self.lanes.entry(partition).or_insert_with(Lane::new);
        lane.again.insert((by, self.number), group);
        self.set_turn(partition);
    }

    /// A group that was taken is settled, or was given back.
    pub(crate) fn returned(&mut self, partition: u64) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.under_way -= 1;
        }
        self.set_turn(partition);
    }

    /// When there is something to send.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        self.turns.first().map(|(due, _)| *due)
    }

    /// Nothing more will come.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        let partitions: Vec<u64> = self.lanes.keys().copied().collect();
        partitions.into_iter().for_each(|partition| self.set_turn(partition));
    }

    /// This request was refused as too large. Halves of such a request teach nothing new: the one item that is too
    /// large may be in them.
    pub(crate) fn too_large(&mut self, group: &Group<P>, now: Instant) {
        if !group.fixed && group.count() > 1 {
            self.limits.request_bytes_max = self.limits.request_bytes_max.min(group.bytes() / 2).max(1);
            self.raise_at = now + LOWERED_TIME;
        }
    }

    /// A request was taken: after a while larger ones are tried again.
    pub(crate) fn taken(&mut self, now: Instant) {
        let max = &mut self.limits.request_bytes_max;
        if *max < self.request_bytes_set && now >= self.raise_at {
            *max = max.saturating_mul(2).min(self.request_bytes_set);
            self.raise_at = now + LOWERED_TIME;
        }
    }

    /// Most bytes of a request, as far as is known by now.
    pub(crate) fn request_bytes_max(&self) -> usize {
        self.limits.request_bytes_max
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    fn set_turn(&mut self, partition: u64) {
        let Some(lane) = self.lanes.get_mut(&partition) else { return };
        let turn = lane.ready_at(&self.limits, self.closing);
        if lane.turn != turn {
            if let Some(old) = lane.turn {
                self.turns.remove(&(old, partition));
            }
            self.turns.extend(turn.map(|turn| (turn, partition)));
            lane.turn = turn;
        }
        if lane.urgent > 0 {
            self.urgent.insert(partition);
        } else {
            self.urgent.remove(&partition);
        }
        if lane.is_over() {
            self.lanes.remove(&partition);
        }
    }
}
