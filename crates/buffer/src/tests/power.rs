//! Loss of power and death of the process at any operation, on the simulated disk.

use std::collections::BTreeSet;

use sawyer_disk::SimDisk;
use sawyer_model::Timestamp;
use sawyer_telemetry::Clock;

use super::common::{Dice, Rig, Told, is_in, plan, sim};
use crate::entry::{Lane, Note};
use crate::settings::{BufferPlan, OnFull, SyncPolicy};

/// What was promised, and what was at least tried.
#[derive(Default)]
struct Ledger {
    next: u64,
    /// Told to be in, by lane.
    safe: BTreeSet<(Lane, u64)>,
    /// Acknowledged, or told to be shed; may come again.
    done: BTreeSet<(Lane, u64)>,
    told: Vec<(Lane, u64, Told)>,
}

fn payload(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + (number * 37 % 300) as usize, number as u8);
    bytes
}

fn number(payload: &[u8]) -> u64 {
    let number = u64::from_le_bytes(payload[..8].try_into().unwrap());
    assert_eq!(payload, self::payload(number), "not what was put in");
    number
}

impl Ledger {
    fn push(&mut self, rig: &Rig, lane: Lane) {
        self.next += 1;
        let content = crate::lane::Content { note: Note::default(), payload: payload(self.next).into() };
        let told = rig.engine.push(lane, lane, content, 1).unwrap();
        self.told.push((lane, self.next, told));
    }

    fn listen(&mut self) {
        let Self { told, safe, .. } = self;
        told.retain_mut(|(lane, number, told)| {
            let is_in = is_in(told);
            if is_in {
                safe.insert((*lane, *number));
            }
            !is_in
        });
    }

    /// Everything promised is there, once, in order in its lane; nothing else but what was done or tried.
    fn check(&mut self, rig: &Rig, told: &str) {
        self.told.clear();
        let mut seen = BTreeSet::new();
        let mut held = Vec::new();
        let mut last = [0; 3];
        while let Some(taken) = rig.take() {
            let (lane, number) = (taken.lane(), number(taken.payload()));
            assert!(number <= self.next, "never put in: {number} {told}");
            assert!(number > last[lane as usize], "twice or out of order: {number} {told}");
            last[lane as usize] = number;
            seen.insert((lane, number));
            held.push(taken);
        }
        for safe in self.safe.difference(&self.done) {
            assert!(seen.contains(safe), "lost: {safe:?} {told}");
        }
        // What came back is there from now on.
        self.done.retain(|done| !seen.contains(done));
        self.safe = seen;
        drop(held);
    }
}

/// Random work; ends when the power goes.
fn work(rig: &Rig, ledger: &mut Ledger, dice: &mut Dice) {
    let mut held = Vec::new();
    for _ in 0..24 {
        if !rig.disk.has_power() {
            return;
        }
        match dice.below(10) {
            0..5 => {
                for _ in 0..=dice.below(3) {
                    ledger.push(rig, if dice.below(4) == 0 { Lane::Urgent } else { Lane::Normal });
                }
            }
            5..7 => held.extend(rig.try_take().ok().flatten()),
            7 | 8 if !held.is_empty() => {
                let taken = held.swap_remove(dice.below(held.len() as u64) as usize);
                ledger.done.insert((taken.lane(), number(taken.payload())));
                taken.ack();
            }
            _ => {
                rig.clock.advance(std::time::Duration::from_millis(dice.below(900)));
                held.pop();
            }
        }
        rig.engine.turn();
        ledger.listen();
    }
}

/// Works and crashes, again and again, each time at the `cut`th operation. Says whether the first crash came.
fn crash_again_and_again(seed: u64, cut: u64, plan: &BufferPlan, crash: fn(&SimDisk) -> SimDisk) -> bool {
    let clock = Clock::manual(Timestamp::from_secs(1000));
    let (mut dice, mut ledger) = (Dice(seed), Ledger::default());
    let mut disk = sim(seed);
    let mut came = false;
    for round in 0..3 {
        disk.cut_power_at(cut);
        if let Ok(rig) = Rig::open(disk.clone(), plan.clone(), clock.clone()) {
            work(&rig, &mut ledger, &mut dice);
        }
        came |= round == 0 && !disk.has_power();
        disk = crash(&disk);
        let rig = Rig::open(disk.clone(), plan.clone(), clock.clone()).unwrap();
        ledger.check(&rig, &format!("seed={seed} cut={cut} round={round} sync={}", plan.sync));
        assert!(rig.engine.damage.list().is_empty(), "a crash is no damage: seed={seed} cut={cut}");
        drop(rig);
        disk = disk.kill_process();
    }
    came
}

#[test]
fn power_loss_at_any_operation_loses_nothing_promised() {
    let plan = plan(SyncPolicy::Always, OnFull::Block);
    for seed in 0..6 {
        let mut cut = 1;
        while crash_again_and_again(seed, cut, &plan, SimDisk::power_loss) {
            cut += 1;
        }
        assert!(cut > 30, "seed={seed}: there were only {cut} operations");
    }
}

#[test]
fn power_loss_over_many_seeds_loses_nothing_promised() {
    let plan = plan(SyncPolicy::Always, OnFull::Block);
    for seed in 100..500 {
        crash_again_and_again(seed, 1 + seed * 7 % 130, &plan, SimDisk::power_loss);
    }
}

#[test]
fn death_of_the_process_loses_nothing_under_any_policy() {
    for sync in [SyncPolicy::Always, SyncPolicy::Interval, SyncPolicy::Never] {
        let plan = plan(sync, OnFull::Block);
        for seed in 0..100 {
            crash_again_and_again(seed, 1 + seed * 3 % 130, &plan, SimDisk::kill_process);
        }
    }
}

#[test]
fn without_sync_a_power_loss_leaves_a_buffer_that_opens() {
    for sync in [SyncPolicy::Interval, SyncPolicy::Never] {
        for seed in 0..100 {
            let disk = sim(seed);
            let clock = Clock::manual(Timestamp::from_secs(1000));
            let rig = Rig::open(disk.clone(), plan(sync, OnFull::Block), clock).unwrap();
            let mut ledger = Ledger::default();
            work(&rig, &mut ledger, &mut Dice(seed));
            let rig = rig.reopen(disk.power_loss()).unwrap();
            // Some may be gone; none may be there twice, out of order or changed.
            ledger.safe.clear();
            ledger.check(&rig, &format!("seed={seed} sync={sync}"));
        }
    }
}

#[test]
fn what_was_synced_by_interval_survives() {
    let rig = Rig::new(plan(SyncPolicy::Interval, OnFull::Block));
    for number in 1..=9 {
        assert!(is_in(&mut rig.push(Lane::Normal, &payload(number))));
    }
    rig.clock.advance(rig.plan.sync_interval);
    rig.engine.turn();
    let disk = rig.disk.power_loss();
    let rig = rig.reopen(disk).unwrap();
    let numbers: Vec<u64> = rig.payloads().iter().map(|payload| number(payload)).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
}

#[test]
fn acknowledgements_survive_the_death_of_the_process() {
    let rig = Rig::new(plan(SyncPolicy::Always, OnFull::Block));
    for number in 1..=9 {
        rig.push(Lane::Normal, &payload(number));
    }
    let held: Vec<_> = std::iter::from_fn(|| rig.take()).collect();
    for (at, taken) in held.into_iter().enumerate() {
        if at % 3 == 1 { taken.ack() } else { taken.release() }
    }
    rig.engine.turn();
    let disk = rig.disk.kill_process();
    let rig = rig.reopen(disk).unwrap();
    let numbers: Vec<u64> = rig.payloads().iter().map(|payload| number(payload)).collect();
    assert_eq!(numbers, [1, 3, 4, 6, 7, 9]);
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    let run = || {
        let disk = sim(42);
        let clock = Clock::manual(Timestamp::from_secs(1000));
        let rig = Rig::open(disk.clone(), plan(SyncPolicy::Always, OnFull::Block), clock).unwrap();
        work(&rig, &mut Ledger::default(), &mut Dice(42));
        (disk.counts(), rig.files(Lane::Normal))
    };
    assert_eq!(run(), run());
}
