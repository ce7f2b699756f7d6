//! Random work against a naive reference, on disk and in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::common::{Rig, Told, small_plan};
use crate::entry::{Lane, Note, OVERHEAD_BYTES};
use crate::lane::Content;
use crate::reserve::Reserve;
use crate::settings::{BufferKind, BufferPlan, OnFull};
use crate::state::{Needless, Pending};
use crate::taken::Taken;

#[derive(Clone, Debug)]
enum Step {
    Push(Lane, usize),
    /// What is being sent already.
    PushTaken(Lane, usize),
    Take,
    Ack(prop::sample::Index),
    Release(prop::sample::Index),
    Bury(prop::sample::Index),
    Wait(u64),
    Danger(bool),
    Redrive(prop::sample::Index),
    /// A new process; the old one closed, or was killed.
    Restart {
        killed: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lane = prop_oneof![3 => Just(Lane::Normal), 1 => Just(Lane::Urgent)];
    let size = prop_oneof![6 => 0usize..400, 1 => 400usize..3000, 1 => Just(9000usize)];
    let step = prop_oneof![
        8 => (lane.clone(), size.clone()).prop_map(|(lane, size)| Step::Push(lane, size)),
        2 => (lane, size).prop_map(|(lane, size)| Step::PushTaken(lane, size)),
        6 => Just(Step::Take),
        3 => any::<prop::sample::Index>().prop_map(Step::Ack),
        2 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => any::<prop::sample::Index>().prop_map(Step::Bury),
        1 => (0u64..40).prop_map(Step::Wait),
        2 => any::<bool>().prop_map(Step::Danger),
        1 => any::<prop::sample::Index>().prop_map(Step::Redrive),
        1 => any::<bool>().prop_map(|killed| Step::Restart { killed }),
    ];
    prop::collection::vec(step, 1..80)
}

/// An entry, known by its text.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    text: Vec<u8>,
    bytes: u64,
    at: u64,
    taken: bool,
}

/// What a buffer should be: lists in order, and nothing clever.
struct Reference {
    plan: BufferPlan,
    now: u64,
    lanes: BTreeMap<Lane, Vec<Item>>,
    pending: BTreeMap<Lane, Vec<Item>>,
    shed: i64,
    in_danger: bool,
}

impl Reference {
    fn bytes(&self, lane: Lane) -> u64 {
        let of = |lane: Lane| self.lanes[&lane].iter().map(|item| item.bytes).sum::<u64>();
        if lane == Lane::Dead { of(lane) } else { of(Lane::Urgent) + of(Lane::Normal) }
    }

    fn lane(&mut self, lane: Lane) -> &mut Vec<Item> {
        self.lanes.get_mut(&lane).unwrap()
    }

    fn shed_one(&mut self, lane: Lane, bytes: u64, limit: u64) -> bool {
        let from: &[Lane] = match lane {
            Lane::Urgent => &[Lane::Normal, Lane::Urgent],
            Lane::Normal => &[Lane::Normal],
            Lane::Dead => &[Lane::Dead],
        };
        let waiting = from.iter().flat_map(|from| &self.lanes[from]).filter(|item| !item.taken);
        let rest = self.bytes(lane) - waiting.map(|item| item.bytes).sum::<u64>();
        if rest > 0 && rest + bytes > limit {
            return false;
        }
        for from in from {
            let items = self.lane(*from);
            if let Some(at) = items.iter().position(|item| !item.taken) {
                items.remove(at);
                self.shed += 1;
                return true;
            }
        }
        false
    }

    fn turn(&mut self) {
        self.expire();
        for lane in [Lane::Urgent, Lane::Dead, Lane::Normal] {
            let sheds = lane == Lane::Dead || self.plan.on_full == OnFull::ShedOldest;
            while let Some(first) = self.pending[&lane].first().cloned() {
                let limit = self.limit(lane);
                let held = self.bytes(lane);
                if held + first.bytes <= limit || held == 0 {
                    let item = Item { at: self.now, ..first };
                    self.lane(lane).push(item);
                    self.pending.get_mut(&lane).unwrap().remove(0);
                } else if !(sheds && self.shed_one(lane, first.bytes, limit)) {
                    break;
                }
            }
        }
    }

    fn limit(&self, lane: Lane) -> u64 {
        let BufferPlan { bytes_max, spill_max, dead_letters_max, .. } = self.plan;
        let normal_max = bytes_max - bytes_max / 16;
        match lane {
            Lane::Dead => dead_letters_max,
            Lane::Normal => normal_max + if self.in_danger { spill_max } else { 0 },
            Lane::Urgent => bytes_max + spill_max,
        }
    }

    /// Whether only what is in danger is to be put in.
    fn spills(&self) -> bool {
        let may = self.in_danger && self.plan.spill_max > 0;
        may && self.bytes(Lane::Normal) > self.plan.bytes_max - self.plan.bytes_max / 16
    }

    fn expire(&mut self) {
        let Some(age_max) = self.plan.age_max.map(|age| age.as_secs()) else { return };
        let now = self.now;
        for lane in [Lane::Urgent, Lane::Normal] {
            let items = self.lane(lane);
            let before = items.len();
            // As they are in order of age, the first that is young enough ends it.
            items.retain(|item| item.taken || now - item.at <= age_max);
            self.shed += (before - self.lanes[&lane].len()) as i64;
        }
    }

    fn take(&mut self) -> Option<(Lane, Vec<u8>)> {
        self.expire();
        let out = self.lanes[&Lane::Normal].iter().filter(|item| item.taken);
        let out = out.map(|item| item.bytes).sum::<u64>();
        // What is out cannot make room, so half of a buffer that is to shed stays in.
        let keeps = self.plan.on_full == OnFull::ShedOldest && out > 0 && out >= self.plan.bytes_max / 2;
        for lane in [Lane::Urgent, Lane::Normal] {
            if keeps && lane == Lane::Normal {
                continue;
            }
            if let Some(item) = self.lane(lane).iter_mut().find(|item| !item.taken) {
                item.taken = true;
                return Some((lane, item.text.clone()));
            }
        }
        None
    }

    fn find(&mut self, lane: Lane, text: &[u8]) -> &mut Item {
        self.lane(lane).iter_mut().find(|item| item.text == text).unwrap()
    }
}

struct Both {
    rig: Option<Rig>,
    reserve: Reserve,
    model: Reference,
    /// What was taken, with its text.
    held: Vec<(Taken, Vec<u8>)>,
    /// What was put in, whether as taken, and the answer to that.
    told: Vec<(Vec<u8>, Option<Lane>, Told)>,
    count: u32,
    shed_before: i64,
    /// Records that had left when it was last looked.
    left: u64,
}

impl Both {
    fn new(plan: &BufferPlan) -> Self {
        let lanes = || Lane::ALL.map(|lane| (lane, Vec::new())).into_iter().collect::<BTreeMap<_, _>>();
        let model = Reference {
            plan: plan.clone(),
            now: 0,
            lanes: lanes(),
            pending: lanes(),
            shed: 0,
            in_danger: false,
        };
        let rig = Rig::new(plan.clone());
        let reserve = Reserve::new(Arc::downgrade(&rig.engine));
        Self {
            rig: Some(rig),
            reserve,
            model,
            held: Vec::new(),
            told: Vec::new(),
            count: 0,
            shed_before: 0,
            left: 0,
        }
    }

    fn rig(&self) -> &Rig {
        self.rig.as_ref().unwrap()
    }

    fn push(&mut self, lane: Lane, text: Vec<u8>, taken: bool) {
        let content = Content { note: Note::default(), payload: text.clone().into() };
        let bytes = (OVERHEAD_BYTES + text.len()) as u64;
        let (done, told) = oneshot::channel();
        let pending = Pending {
            records: 1,
            origin: lane,
            content,
            live: None,
            out: taken,
            needless: Needless::default(),
            done,
        };
        self.rig().engine.enqueue(lane, pending).unwrap();
        self.told.push((text.clone(), taken.then_some(lane), told));
        self.model.pending.get_mut(&lane).unwrap().push(Item { text, bytes, at: 0, taken });
    }

    fn text(&mut self, size: usize) -> Vec<u8> {
        self.count += 1;
        let mut text = self.count.to_le_bytes().to_vec();
        text.resize(4 + size, 7);
        text
    }

    fn held(&mut self, at: &prop::sample::Index) -> Option<(Taken, Vec<u8>)> {
        if self.held.is_empty() { None } else { Some(self.held.swap_remove(at.index(self.held.len()))) }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Push(lane, size) => {
                let text = self.text(*size);
                self.push(*lane, text, false);
            }
            Step::PushTaken(lane, size) => {
                let text = self.text(*size);
                self.push(*lane, text, true);
            }
            Step::Take => {
                let taken = self.rig().take();
                let text = taken.as_ref().map(|taken| taken.payload().to_vec());
                let found = taken.as_ref().map(Taken::lane).zip(text.clone());
                assert_eq!(found, self.model.take());
                self.held.extend(taken.zip(text));
            }
            Step::Ack(at) => {
                if let Some((taken, text)) = self.held(at) {
                    self.model.lane(taken.lane()).retain(|item| item.text != text);
                    taken.ack();
                }
            }
            Step::Release(at) => {
                if let Some((taken, text)) = self.held(at) {
                    self.model.find(taken.lane(), &text).taken = false;
                    taken.release();
                }
            }
            Step::Bury(at) => {
                if let Some((taken, text)) = self.held(at) {
                    self.push(Lane::Dead, text.clone(), false);
                    self.model.lane(taken.lane()).retain(|item| item.text != text);
                    taken.ack();
                }
            }
            Step::Wait(seconds) => {
                self.rig().clock.advance(Duration::from_secs(*seconds));
                self.model.now += seconds;
            }
            Step::Danger(in_danger) => {
                self.reserve.set_in_danger(*in_danger);
                self.model.in_danger = *in_danger;
            }
            Step::Redrive(at) => self.redrive(at),
            Step::Restart { killed } => self.restart(*killed),
        }
    }

    fn redrive(&mut self, at: &prop::sample::Index) {
        let list = self.rig().engine.list(Lane::Dead).unwrap();
        if list.is_empty() {
            return;
        }
        let at = at.index(list.len());
        let text = self.rig().engine.content(Lane::Dead, list[at].id).unwrap().payload.to_vec();
        assert_eq!(text, self.model.lanes[&Lane::Dead][at].text);
        assert_eq!(self.rig().engine.remove(Lane::Dead, &[list[at].id]), 1);
        self.model.lane(Lane::Dead).remove(at);
        self.push(Lane::Normal, text, false);
    }

    /// Those in flight wait again; those who waited to be let in are gone with their process.
    fn restart(&mut self, killed: bool) {
        if self.model.plan.kind == BufferKind::Memory {
            return;
        }
        self.turn();
        self.told.clear();
        self.shed_before += self.rig().number("sawyer_buffer_shed_records");
        let rig = self.rig.take().unwrap();
        if !killed {
            rig.engine.close();
        }
        self.held.clear();
        let disk = rig.disk.kill_process();
        let rig = rig.reopen(disk).unwrap();
        for lane in Lane::ALL {
            rig.engine.list(lane).unwrap();
        }
        self.reserve = Reserve::new(Arc::downgrade(&rig.engine));
        self.model.in_danger = false;
        self.rig = Some(rig);
        for items in self.model.lanes.values_mut() {
            items.iter_mut().for_each(|item| item.taken = false);
        }
        self.model.pending.values_mut().for_each(Vec::clear);
    }

    fn turn(&mut self) {
        self.rig().engine.turn();
        self.model.turn();
        let model = &self.model;
        let engine = &self.rig.as_ref().unwrap().engine;
        self.told.retain_mut(|(text, taken, told)| {
            let waits = model.pending.values().flatten().any(|item| item.text == *text);
            let seq = told.try_recv().ok().and_then(Result::ok);
            assert_eq!(seq.is_some(), !waits, "told when it is in");
            if let Some((seq, lane)) = seq.zip(*taken) {
                self.held.push((Taken::of(engine, lane, seq, 1), std::mem::take(text)));
            }
            waits
        });
        for lane in [Lane::Normal, Lane::Urgent] {
            let waits = model.lanes[&lane].iter().any(|item| !item.taken) || !model.pending[&lane].is_empty();
            let taken = self.held.iter().any(|(taken, _)| taken.lane() == lane && !taken.is_of_pusher());
            assert_eq!(self.rig().engine.state().is_clear(lane), !waits && !taken);
        }
        for summary in self.rig().engine.summary() {
            let items = &self.model.lanes[&summary.lane];
            let bytes: u64 = items.iter().map(|item| item.bytes).sum();
            assert_eq!((summary.entries, summary.bytes), (items.len(), bytes), "{}", summary.lane.name());
        }
        assert_eq!(self.reserve.is_used(), self.model.spills());
        let book = self.rig().engine.state().book();
        assert_eq!(book.unaccounted(), (0, 0), "{book:?}");
        assert!(book.read.records >= self.left, "what ended stays on the books: {book:?}");
        self.left = book.read.records;
        let shed = self.shed_before + self.rig().number("sawyer_buffer_shed_records");
        assert_eq!(shed, self.model.shed);
    }
}

fn check(plan: &BufferPlan, steps: &[Step]) {
    let mut both = Both::new(plan);
    for step in steps {
        both.step(step);
        both.turn();
    }
    both.step(&Step::Restart { killed: true });
    both.held.clear();
    for items in both.model.lanes.values_mut() {
        items.iter_mut().for_each(|item| item.taken = false);
    }
    loop {
        let expected = both.model.take();
        let taken = both.rig().take();
        assert_eq!(taken.as_ref().map(|taken| (taken.lane(), taken.payload().to_vec())), expected);
        let Some(taken) = taken else { break };
        both.model.lane(taken.lane()).retain(|item| item.text != *taken.payload());
        taken.ack();
        both.turn();
    }
    both.rig().engine.turn();
    assert!(both.rig().engine.damage.list().is_empty());
    if plan.kind == BufferKind::Disk {
        for lane in [Lane::Normal, Lane::Urgent] {
            assert!(both.rig().files(lane).len() <= 1, "files go when all in them is done");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_reference(
        steps in steps(),
        on_full in prop_oneof![Just(OnFull::Block), Just(OnFull::ShedOldest)],
        age_max in prop_oneof![Just(None), Just(Some(Duration::from_secs(60)))],
        memory_max in prop_oneof![Just(0), Just(600), Just(1 << 20)],
    ) {
        for kind in [BufferKind::Disk, BufferKind::Memory] {
            check(&BufferPlan { kind, on_full, age_max, memory_max, dead_letters_max: 2000, ..small_plan() }, &steps);
        }
    }
}
