//! Batches that go to the output before they are in the buffer, and mostly never need be.
//!
//! Owns: which of two comes first for each, the output's acknowledgement or the time at which it has to be safe, and
//! what follows from either.
//! Does not own: which batches go this way (`buffered`), the buffer itself (`buffer`).
//! Invariant: the input's duty is done once a batch is where it should be, or in the buffer. Whatever the output lets go
//! of is put into the buffer, or let go of unacknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_buffer::{Buffer, Taken};
use sawyer_model::{Ack, Batch, BySource, Fate, Fates, Outcome, Tally, Transfer, Way};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

#[cfg(test)]
mod tests;

/// How long a batch may be on its way before it is put into the buffer. Less would write what a target that keeps up
/// takes a moment later: outputs gather for a second before they send, unless told otherwise. More would be read again
/// after a crash.
const SAFE_AFTER: Duration = Duration::from_secs(3);

/// How often it is looked meanwhile whether what it was read from is about to be removed.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Batches of one lane on their way, in their order.
#[derive(Debug, Default)]
pub(super) struct Flights {
    all: VecDeque<Flight>,
    returned: Arc<Notify>,
    landed: Arc<Notify>,
    flying: Flying,
}

/// How many bytes of batches are with an output alone, whatever their lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Flying(Arc<AtomicU64>);

/// A batch's part of them.
#[derive(Debug, Default)]
struct Weight(Flying, u64);

#[derive(Debug)]
struct Flight {
    state: Arc<Mutex<State>>,
    since: Instant,
    buffer: Buffer,
}

/// Where a batch is.
#[derive(Debug)]
enum State {
    /// With the output alone.
    Flying(Arc<Batch>, Ack, Weight),
    /// With the output, and being put into the buffer.
    Writing(Ack),
    /// The output had it before it was in the buffer.
    Landed(Fates),
    /// The output let go of it before it was in the buffer.
    LetGo(Ack),
    /// The output let go of it, and nobody puts it into the buffer.
    Returned(Arc<Batch>, Ack),
    /// In the buffer, and with the output.
    Safe(Taken),
    /// Nothing is to be done any more.
    Over,
}

/// What a batch needs.
#[derive(Debug)]
pub(super) enum Need {
    /// To be put into the buffer as [taken](Buffer::push_taken), and told of by [`Landing::written`] if it is there.
    Safety(Arc<Batch>, Landing),
    /// To be put into the buffer like any other.
    Return(Arc<Batch>, Ack),
}

/// A batch that is being put into the buffer. One that is not put there in the end is its input's until the output has
/// it, and is booked as one that went past the buffer.
#[derive(Debug)]
pub(super) struct Landing {
    state: Arc<Mutex<State>>,
    landed: Arc<Notify>,
    buffer: Buffer,
    records: u32,
}

impl Flying {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) -> Weight {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Weight(self.clone(), bytes)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        let Self(Flying(all), bytes) = self;
        all.fetch_sub(*bytes, Ordering::Relaxed);
    }
}

impl Flights {
    /// None yet; these will be among the others that are flying.
    pub(super) fn among(flying: &Flying) -> Self {
        Self { flying: flying.clone(), ..Self::default() }
    }

    /// The transfer that the output is given, whose outcome is noted here.
    pub(super) fn start(
        &mut self,
        batch: &Arc<Batch>,
        ack: Ack,
        buffer: &Buffer,
        way: &Arc<Way>,
    ) -> Transfer {
        let weight = self.flying.add(batch.bytes() as u64);
        let state = Arc::new(Mutex::new(State::Flying(Arc::clone(batch), ack, weight)));
        let (of, returned, buffer) = (Arc::clone(&state), Arc::clone(&self.returned), buffer.clone());
        let (kept, records) = (buffer.clone(), records_of(batch));
        let has_landed = Arc::clone(&self.landed);
        let ack = Ack::tallied(move |outcome, tally| match outcome {
            Outcome::Durable => {
                landed(&of, fates_of(tally), |fates| buffer.pass(records, fates));
                has_landed.notify_one();
            }
            Outcome::Undelivered => {
                let_go(&of);
                returned.notify_one();
            }
        });
        self.all.push_back(Flight { state, since: Instant::now(), buffer: kept });
        let own = batch.own();
        let ack = ack.on(way, own, 0, &BySource::default()).at_exit(&way.outputs[0], own, Fate::Delivered);
        Transfer { batch: Arc::clone(batch), ack }
    }

    /// Waits until one of them may need something; for ever where there is none.
    pub(super) async fn due(&self) {
        let Some(first) = self.all.front() else { return std::future::pending().await };
        let due = first.since + SAFE_AFTER;
        while !self.is_pressed() && Instant::now() < due {
            tokio::select! {
                () = sleep_until(due.min(Instant::now() + LOOK_INTERVAL)) => {}
                () = self.returned.notified() => return,
            }
        }
    }

    /// Whether the output has not said yet of one of them what became of it, or has let go of one.
    pub(super) fn are_flying(&self) -> bool {
        let is_over = |state: &State| matches!(state, State::Landed(_) | State::Safe(_) | State::Over);
        self.all.iter().any(|flight| !is_over(&flight.state.lock()))
    }

    /// Whether one of them might soon not be had again.
    pub(super) fn is_pressed(&self) -> bool {
        let is_pressed = |batch: &Batch| batch.progress().is_some_and(|(progress, _)| progress.is_pressed());
        self.all.iter().any(|flight| match &*flight.state.lock() {
            State::Flying(batch, ..) => is_pressed(batch),
            _ => false,
        })
    }

    /// What the next one needs, if one does: by now, or before `closing`.
    pub(super) fn next(&mut self, closing: bool) -> Option<Need> {
        let now = Instant::now();
        while let Some(Flight { state, since, buffer }) = self.all.front() {
            let mut locked = state.lock();
            let need = match std::mem::replace(&mut *locked, State::Over) {
                State::Returned(batch, ack) => Some(Need::Return(batch, ack)),
                State::Flying(batch, ack, weight) if closing || *since + SAFE_AFTER <= now => {
                    drop(weight);
                    *locked = State::Writing(ack);
                    let (state, buffer, records) = (Arc::clone(state), buffer.clone(), records_of(&batch));
                    let landed = Arc::clone(&self.landed);
                    Some(Need::Safety(batch, Landing { state, landed, buffer, records }))
                }
                flying @ State::Flying(..) => {
                    *locked = flying;
                    return None;
                }
                other => {
                    *locked = other;
                    None
                }
            };
            drop(locked);
            self.all.pop_front();
            if need.is_some() {
                return need;
            }
        }
        None
    }
}

impl Landing {
    /// Whether the output has the batch by now, so that it need not be safe.
    pub(super) fn is_over(&self) -> bool {
        matches!(*self.state.lock(), State::Landed(_))
    }

    /// Waits until it is.
    pub(super) async fn over(&self) {
        while !self.is_over() {
            self.landed.notified().await;
        }
    }

    /// The batch is in the buffer.
    pub(super) fn written(self, taken: Taken) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Writing(ack) => {
                *state = State::Safe(taken);
                drop(state);
                ack.durable();
            }
            State::Landed(fates) => {
                drop(state);
                taken.ack_as(&fates);
            }
            State::LetGo(ack) => {
                drop(state);
                taken.release();
                ack.durable();
            }
            other => *state = other,
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Writing(ack) => *state = State::Flying(Arc::default(), ack, Weight::default()),
            State::Landed(fates) => {
                drop(state);
                self.buffer.pass(self.records, &fates);
            }
            // In the buffer, or let go of: then its input reads it again.
            other => *state = other,
        }
    }
}

pub(super) fn records_of(batch: &Batch) -> u32 {
    u32::try_from(batch.len()).unwrap_or(u32::MAX)
}

/// The output has a batch.
fn landed(state: &Mutex<State>, fates: Fates, pass: impl FnOnce(&Fates)) {
    let mut state = state.lock();
    match std::mem::replace(&mut *state, State::Over) {
        State::Flying(_, ack, _) => {
            drop(state);
            pass(&fates);
            ack.durable();
        }
        State::Writing(ack) => {
            *state = State::Landed(fates);
            drop(state);
            ack.durable();
        }
        State::Safe(taken) => {
            drop(state);
            taken.ack_as(&fates);
        }
        other => *state = other,
    }
}

/// The output does not have a batch, and never will.
fn let_go(state: &Mutex<State>) {
    let mut state = state.lock();
    let (after, safe) = match std::mem::replace(&mut *state, State::Over) {
        State::Flying(batch, ack, _) => (State::Returned(batch, ack), None),
        State::Writing(ack) => (State::LetGo(ack), None),
        State::Safe(taken) => (State::Over, Some(taken)),
        other => (other, None),
    };
    *state = after;
    drop(state);
    // Then it waits in the buffer.
    drop(safe);
}

/// What became of the records of a batch on the way from its buffer to the output.
pub(super) fn fates_of(mut tally: Tally) -> Fates {
    match tally.ways.is_empty() {
        true => Fates::default(),
        false => tally.ways.swap_remove(0).exits.swap_remove(0),
    }
}
