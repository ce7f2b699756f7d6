//! A suite for engines: whatever implements [`Search`] has to give the answers of a naive reference.
//!
//! Owns: random records, the reference, and every question of the trait with its right answer.
//! Does not own: any engine. It is handed one as a [`Subject`], and knows of it only what the trait says.
//! Invariant: a seed always makes the same records and asks the same questions.
//!
//! Only tests use it, so it says what is wrong by a panic, with the seed and the question.

mod budgets;
mod checks;
mod naive;
mod pages;
mod records;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sawyer_model::{Batch, RecordId, RecordRef, Timestamp};

pub use self::checks::{check, check_id};
pub use self::naive::Naive;
pub use self::records::Dice;
use crate::search::Search;

/// An engine under test.
pub trait Subject {
    /// What answers.
    fn search(&self) -> &dyn Search;

    /// Stores a batch. When it returns its records can be found.
    fn store(&mut self, batch: Batch);

    /// What the engine may do by itself at any time, such as writing what is in memory or merging files; `step` is any
    /// number. It must not change any answer.
    fn settle(&mut self, step: u64);

    /// Ends the engine and starts it again, as far as it can be.
    fn restart(&mut self);
}

/// A follower that wants no more than some batches.
struct Ear {
    heard: Arc<Mutex<Vec<RecordId>>>,
    batches: usize,
}

impl Ear {
    /// Batches that a follower wants.
    const BATCHES_MAX: usize = 6;

    fn of(search: &dyn Search) -> Self {
        let ear = Self { heard: Arc::default(), batches: 0 };
        let (heard, told) = (Arc::clone(&ear.heard), AtomicUsize::new(0));
        search.follow(Box::new(move |batch| {
            heard.lock().expect("nobody panics").extend(batch.iter().map(RecordRef::id));
            told.fetch_add(1, Ordering::Relaxed) + 1 < Self::BATCHES_MAX
        }));
        ear
    }

    /// A batch that can be found now was told, and nothing else since the one before; unless no more was wanted.
    fn check(&mut self, ids: Vec<RecordId>, seed: u64) {
        self.batches += 1;
        let wanted = if self.batches <= Self::BATCHES_MAX { ids } else { Vec::new() };
        let heard = std::mem::take(&mut *self.heard.lock().expect("nobody panics"));
        assert_eq!(heard, wanted, "seed={seed}: what a follower heard");
    }
}

/// Stores random records and asks everything, before and after settling and a restart.
pub fn run(subject: &mut dyn Subject, seed: u64, now: Timestamp) {
    let mut dice = Dice::new(seed);
    let mut naive = Naive::default();
    let mut clock = now;
    let mut ear = Ear::of(subject.search());
    for _ in 0..=dice.below(16) {
        match dice.below(6) {
            0 => subject.settle(dice.below(u64::MAX)),
            1 if dice.below(3) == 0 => {
                subject.restart();
                ear = Ear::of(subject.search());
            }
            _ => {
                let batch = records::batch(&mut dice, clock, naive.len() as u64);
                naive.extend(&batch);
                let ids = batch.iter().map(RecordRef::id).collect();
                subject.store(batch);
                ear.check(ids, seed);
            }
        }
        clock = clock.saturating_add(Duration::from_millis(dice.below(90_000)));
    }
    let told = |when: &str| format!("seed={seed} {when}");
    check(subject.search(), &naive, clock, &told("as it was left"));
    for step in 0..4 {
        subject.settle(step);
    }
    check(subject.search(), &naive, clock, &told("settled"));
    subject.restart();
    check(subject.search(), &naive, clock, &told("started again"));
}
