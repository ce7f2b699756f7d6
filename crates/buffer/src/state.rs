//! All lanes of a buffer and those who wait to put something in, without any I/O.
//!
//! Owns: who is let in, who makes room, what is served from memory.
//! Does not own: writing and reading (`write`, `read`).
//! Invariant: the lanes that leave never hold more than the bound, and beside it what is in danger elsewhere, within a
//! bound of its own; save that one entry passes an empty buffer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sawyer_model::{Error, Fate, Fates, Timestamp};
use sawyer_telemetry::Book;
use tokio::sync::oneshot;

use crate::ends::Ends;
use crate::entry::{Lane, Place};
use crate::lane::{Content, Entry, LaneIndex, Live};
use crate::settings::{BufferKind, BufferPlan, OnFull};

/// Bytes that are written and synced together. More would make everybody in the group wait longer.
const GROUP_BYTES_MAX: u64 = 16 << 20;

/// Told the number of an entry when it is as safe as the policy says, or why it will not be.
pub(crate) type Done = oneshot::Sender<Result<u64, Error>>;

/// Said by one who asked to be let in, and whose entry has come to its end meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needless(Arc<AtomicBool>);

impl Needless {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// An entry that wants to be let in.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) records: u32,
    pub(crate) origin: Lane,
    pub(crate) content: Content,
    pub(crate) live: Option<Live>,
    /// Whoever puts it in has it already, and takes it with that.
    pub(crate) out: bool,
    pub(crate) needless: Needless,
    pub(crate) done: Done,
}

impl Pending {
    /// Whether nobody waits for it any more.
    fn is_given_up(&self) -> bool {
        self.done.is_closed() || self.needless.0.load(Ordering::Acquire)
    }
}

/// What has to be done before somebody can be let in, or taken.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Write these.
    Group(Lane, Vec<Pending>),
    /// Find out what is in this file first.
    Scan(Lane, u64),
    /// Nobody waits, or there is no room.
    Nobody,
}

/// Why an entry was let go of though nobody has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    /// The buffer was full.
    Full,
    /// The disk was full.
    DiskFull,
    /// It waited too long.
    Age,
}

impl Shed {
    /// Its name in metrics and in the ledger.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::DiskFull => "disk_full",
            Self::Age => "age",
        }
    }
}

/// What the lanes hold.
#[derive(Debug)]
pub(crate) struct State {
    lanes: [LaneIndex; 3],
    pending: [VecDeque<Pending>; 3],
    /// Bytes of contents in memory that are also on disk.
    cached_bytes: u64,
    /// What was shed since somebody last asked.
    pub(crate) shed: Vec<(Lane, Shed, Entry)>,
    /// How records ended, of all time, and how many had when the buffer was opened.
    pub(crate) ends: Ends,
    ended_before: u64,
    /// Those who have something to put in that is lost otherwise.
    pub(crate) in_danger: usize,
    /// Records that went past the lanes since then, and whether that is not written down.
    passed_records: u64,
    pub(crate) passed_unsaved: bool,
    /// Nothing more is let in.
    pub(crate) ended: bool,
    /// Nothing more is let in or out.
    pub(crate) closed: bool,
}

impl State {
    pub(crate) fn new(lanes: [LaneIndex; 3], ends: Ends) -> Self {
        let ended_before = ends.sum();
        let pending = [VecDeque::new(), VecDeque::new(), VecDeque::new()];
        Self {
            lanes,
            pending,
            cached_bytes: 0,
            shed: Vec::new(),
            ends,
            ended_before,
            in_danger: 0,
            passed_records: 0,
            passed_unsaved: false,
            ended: false,
            closed: false,
        }
    }

    pub(crate) fn lane(&self, lane: Lane) -> &LaneIndex {
        &self.lanes[lane as usize]
    }

    pub(crate) fn lane_mut(&mut self, lane: Lane) -> &mut LaneIndex {
        &mut self.lanes[lane as usize]
    }

    pub(crate) fn enqueue(&mut self, lane: Lane, pending: Pending) {
        self.pending[lane as usize].push_back(pending);
    }

    /// Leaves out those who gave up waiting.
    pub(crate) fn withdraw(&mut self, lane: Lane) {
        self.pending[lane as usize].retain(|pending| !pending.is_given_up());
    }

    /// Gives a group back that could not be written; it stays first.
    pub(crate) fn put_back(&mut self, lane: Lane, group: Vec<Pending>) {
        for pending in group.into_iter().rev().filter(|pending| !pending.is_given_up()) {
            self.pending[lane as usize].push_front(pending);
        }
    }

    /// See [`LaneIndex::is_clear`].
    pub(crate) fn is_clear(&self, lane: Lane) -> bool {
        self.pending[lane as usize].is_empty() && self.lane(lane).is_clear()
    }

    /// Whether one waits to be let into a lane that is clear otherwise.
    pub(crate) fn holds_one_back(&self, lane: Lane) -> bool {
        self.pending[lane as usize].len() == 1 && self.lane(lane).is_clear()
    }

    /// Whether so many bytes may be under way past a lane: they overtake nothing in it, and if all of them were put in as
    /// taken, a buffer that is to shed still had something to make room of.
    pub(crate) fn may_pass(&self, plan: &BufferPlan, lane: Lane, bytes: u64) -> bool {
        let taken = || self.lane(Lane::Urgent).taken_bytes() + self.lane(Lane::Normal).taken_bytes();
        let leaves_room = plan.on_full == OnFull::Block || taken() + bytes <= plan.bytes_max / 2;
        leaves_room && self.is_clear(lane)
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.pending.iter().any(|pending| !pending.is_empty())
    }

    /// Whether something is done that is not written down.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.unsaved.is_empty())
    }

    /// Drops all who wait to be let in; dropping tells them.
    pub(crate) fn refuse_pending(&mut self) {
        self.pending.iter_mut().for_each(VecDeque::clear);
    }

    /// Bytes that count against the bound that holds for a lane.
    fn bytes_with(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Dead => self.lane(Lane::Dead).bytes,
            Lane::Urgent | Lane::Normal => self.lane(Lane::Urgent).bytes + self.lane(Lane::Normal).bytes,
        }
    }

    /// Most bytes that may count against the bound of a lane when something is let in there.
    fn limit(&self, lane: Lane, plan: &BufferPlan) -> u64 {
        match lane {
            Lane::Dead => plan.dead_letters_max,
            Lane::Normal if self.in_danger > 0 => plan.normal_max().saturating_add(plan.spill_max),
            Lane::Normal => plan.normal_max(),
            // What is let in beyond the bound takes nothing of what is kept for urgent entries.
            Lane::Urgent => plan.bytes_max.saturating_add(plan.spill_max),
        }
    }

    /// Whether only what is in danger is to be let in.
    pub(crate) fn spills(&self, plan: &BufferPlan) -> bool {
        plan.spill_max > 0 && self.in_danger > 0 && self.bytes_with(Lane::Normal) > plan.normal_max()
    }

    /// The next group that is written together, urgent ones first. Sheds if that is the policy.
    pub(crate) fn admit(&mut self, plan: &BufferPlan) -> Admission {
        for lane in [Lane::Urgent, Lane::Dead, Lane::Normal] {
            match self.admit_to(lane, plan) {
                Admission::Nobody => {}
                found => return found,
            }
        }
        Admission::Nobody
    }

    fn admit_to(&mut self, lane: Lane, plan: &BufferPlan) -> Admission {
        let limit = self.limit(lane, plan);
        let sheds = lane == Lane::Dead || plan.on_full == OnFull::ShedOldest;
        let mut group = Vec::new();
        let mut group_bytes = 0;
        self.withdraw(lane);
        while let Some(first) = self.pending[lane as usize].front() {
            let bytes = first.content.entry_bytes();
            let held = self.bytes_with(lane) + group_bytes;
            let fits = held + bytes <= limit || held == 0;
            if !group.is_empty() && (!fits || group_bytes + bytes > GROUP_BYTES_MAX) {
                break;
            }
            if fits {
                group_bytes += bytes;
                group.extend(self.pending[lane as usize].pop_front());
                continue;
            }
            if !sheds || !self.shedding_helps(lane, bytes, limit) {
                return Admission::Nobody;
            }
            match self.make_room(lane) {
                Room::Made => {}
                Room::Scan(lane, file) => return Admission::Scan(lane, file),
                Room::None => return Admission::Nobody,
            }
        }
        if group.is_empty() { Admission::Nobody } else { Admission::Group(lane, group) }
    }

    /// Whether an entry would fit if everything were shed that may be: if not, nothing is lost for it.
    fn shedding_helps(&self, lane: Lane, bytes: u64, limit: u64) -> bool {
        let sheddable: u64 = shed_for(lane).iter().map(|lane| self.lane(*lane).sheddable_bytes()).sum();
        let rest = self.bytes_with(lane) - sheddable;
        rest == 0 || rest + bytes <= limit
    }

    /// Sheds one entry to make room in a lane.
    fn make_room(&mut self, lane: Lane) -> Room {
        for lane in shed_for(lane) {
            let index = self.lane(*lane);
            if let Some(file) = index.unscanned_before_next() {
                return Room::Scan(*lane, file);
            }
            if let Some(seq) = index.waiting.first().copied() {
                self.shed(*lane, seq, Shed::Full);
                return Room::Made;
            }
        }
        Room::None
    }

    /// Lets go of all that waits in the oldest file of a lane, so that the disk gets its space back.
    pub(crate) fn shed_oldest_file(&mut self, lane: Lane) -> bool {
        let index = self.lane(lane);
        let Some(first) = index.oldest_waiting().and_then(|entry| entry.place) else { return false };
        let seqs: Vec<u64> = index.waiting.iter().copied().collect();
        for seq in seqs {
            if self.lane(lane).entries[&seq].place.is_some_and(|place| place.file == first.file) {
                self.shed(lane, seq, Shed::DiskFull);
            }
        }
        true
    }

    /// Lets go of what waits for too long.
    pub(crate) fn expire(&mut self, plan: &BufferPlan, now: Timestamp) {
        let Some(age_max) = plan.age_max else { return };
        for lane in [Lane::Urgent, Lane::Normal] {
            while let Some(entry) =
                self.lane(lane).oldest_waiting().filter(|e| now.since(e.head.at) > age_max)
            {
                let seq = entry.head.seq;
                self.shed(lane, seq, Shed::Age);
            }
        }
    }

    fn shed(&mut self, lane: Lane, seq: u64, why: Shed) {
        if let Some(entry) = self.finish(lane, seq) {
            if lane != Lane::Dead {
                self.ends.add(Fate::Shed, why.name(), entry.head.records.into());
            }
            self.shed.push((lane, why, Entry { content: None, live: None, ..entry }));
        }
    }

    /// Puts in what was written; it waits, or is `out` at once.
    pub(crate) fn publish(&mut self, plan: &BufferPlan, lane: Lane, mut entry: Entry, out: bool) {
        let on_disk = plan.kind == BufferKind::Disk;
        if out && on_disk {
            (entry.content, entry.live) = (None, None);
        }
        entry.live = entry.live.filter(|live| on_disk && self.has_memory(plan, live.bytes));
        if entry.live.is_some() || on_disk && !self.has_memory(plan, entry.bytes) {
            entry.content = None;
        }
        self.cached_bytes += cached(&entry);
        self.lane_mut(lane).publish(entry, !out);
    }

    /// Records ended without having been in a lane.
    pub(crate) fn pass(&mut self, records: u32, fates: &Fates) {
        self.passed_records += u64::from(records);
        self.ends.add_entry(records, fates);
        self.passed_unsaved = true;
    }

    /// Whether there is memory for so many bytes of what is also on disk.
    fn has_memory(&self, plan: &BufferPlan, bytes: u64) -> bool {
        self.cached_bytes + bytes <= plan.memory_max
    }

    /// The book of the way from here to the output. What still waits is not on it.
    pub(crate) fn book(&self) -> Book {
        let left = |lane: Lane| self.lane(lane).seen_records - self.lane(lane).held_records;
        let left = left(Lane::Urgent) + left(Lane::Normal) + self.passed_records;
        self.ends.book(self.ended_before + left)
    }

    /// An entry is done.
    pub(crate) fn finish(&mut self, lane: Lane, seq: u64) -> Option<Entry> {
        let entry = self.lane_mut(lane).finish(seq)?;
        self.cached_bytes -= cached(&entry);
        Some(entry)
    }

    /// Marks an entry as taken; gives its content, or what that was made of, if that is in memory.
    pub(crate) fn take(&mut self, lane: Lane, seq: u64) -> (Option<Content>, Option<Live>) {
        let index = self.lane_mut(lane);
        index.stop_waiting(seq);
        index.handing += 1;
        let Some(entry) = index.entries.get_mut(&seq) else { return (None, None) };
        entry.deliveries += 1;
        if entry.place.is_none() {
            return (entry.content.clone(), None);
        }
        let bytes = cached(entry);
        let taken = (entry.content.take(), entry.live.take());
        self.cached_bytes -= bytes;
        taken
    }

    /// An entry that was taken waits again, in its old place.
    pub(crate) fn release(&mut self, plan: &BufferPlan, lane: Lane, seq: u64, content: Option<Content>) {
        let cached_bytes = self.cached_bytes;
        let index = self.lane_mut(lane);
        index.start_waiting(seq);
        let Some(entry) = index.entries.get_mut(&seq) else { return };
        if entry.place.is_some() && entry.content.is_none() && cached_bytes + entry.bytes <= plan.memory_max {
            entry.content = content;
            let bytes = cached(entry);
            self.cached_bytes += bytes;
        }
    }

    /// Keeps what was read ahead for an entry that still waits.
    pub(crate) fn keep_read(&mut self, lane: Lane, seq: u64, content: Content) {
        let index = self.lane_mut(lane);
        let waits = index.waiting.contains(&seq);
        let Some(entry) =
            index.entries.get_mut(&seq).filter(|e| waits && e.content.is_none() && e.live.is_none())
        else {
            return;
        };
        entry.content = Some(content);
        let bytes = cached(entry);
        self.cached_bytes += bytes;
    }

    /// Where an entry is now.
    pub(crate) fn move_to(&mut self, lane: Lane, seq: u64, place: Place) {
        let index = self.lane_mut(lane);
        let Some(entry) = index.entries.get_mut(&seq) else { return };
        let old = entry.place.replace(place);
        if let Some(file) = old.and_then(|old| index.files.get_mut(&old.file)) {
            file.live = file.live.saturating_sub(1);
        }
        if let Some(file) = index.files.get_mut(&place.file) {
            file.live += 1;
        }
    }
}

/// Where room is made for a lane: of the normal ones the oldest; of urgent ones only for others.
fn shed_for(lane: Lane) -> &'static [Lane] {
    match lane {
        Lane::Urgent => &[Lane::Normal, Lane::Urgent],
        Lane::Normal => &[Lane::Normal],
        Lane::Dead => &[Lane::Dead],
    }
}

/// Whether room could be made.
enum Room {
    Made,
    Scan(Lane, u64),
    None,
}

/// Bytes that an entry counts against the memory for contents that are also on disk.
fn cached(entry: &Entry) -> u64 {
    match (&entry.live, &entry.content, entry.place) {
        (_, _, None) | (None, None, _) => 0,
        (Some(live), _, _) => live.bytes,
        (None, Some(_), _) => entry.bytes,
    }
}
