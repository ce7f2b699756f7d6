//! How far the cluster's events are durable.
//!
//! Owns: the position, what is on its way beyond it, what the note in the Lease says of it.
//! Does not own: reading and sending (`events`).
//! Invariant: everything up to the position is durable; what was sent and reported as not delivered is read again.

use std::sync::Arc;

use parking_lot::Mutex;
use sawyer_model::{RangeSet, SeqRange, SourceId};
use tokio::sync::Notify;

use crate::lease::Term;

/// The progress of one term. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lease: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Grows when the cluster's versions begin anew, after a restore from a backup.
    epoch: u64,
    /// None before the first list.
    position: Option<u64>,
    durable: RangeSet,
    under_way: usize,
    undelivered: bool,
}

/// The duty to say what became of a page.
#[derive(Debug)]
pub struct Receipt {
    progress: Progress,
    epoch: u64,
    covered: Vec<SeqRange>,
}

impl Receipt {
    /// Whether the page is durable; else it is read again.
    pub fn report(self, durable: bool) {
        let mut state = self.progress.0.state.lock();
        state.under_way -= 1;
        state.undelivered |= !durable;
        if durable && state.epoch == self.epoch {
            for range in &self.covered {
                state.durable.insert(*range);
            }
            state.advance();
        }
        drop(state);
        self.progress.0.changed.notify_one();
    }
}

impl State {
    fn advance(&mut self) {
        if let Some(position) = self.position {
            self.position = Some(self.durable.first_missing(position + 1) - 1);
        }
    }
}

impl Progress {
    /// Goes on where the note of the holder before ends.
    pub(crate) fn of(term: &Term) -> Self {
        let mut parts = term.note.split(':').map(|part| part.parse().ok());
        let (epoch, position) = (parts.next().flatten(), parts.next().flatten());
        let state = State {
            epoch: epoch.unwrap_or(0),
            position: position.filter(|_| epoch.is_some()),
            ..State::default()
        };
        let (state, changed) = (Mutex::new(state), Notify::new());
        Self(Arc::new(Shared { lease: term.uid.clone(), state, changed }))
    }

    /// What to leave for the next holder.
    pub(crate) fn note(&self) -> String {
        let state = self.0.state.lock();
        state.position.map(|position| format!("{}:{position}", state.epoch)).unwrap_or_default()
    }

    /// The same for all holders of the Lease, so that whoever keeps records sees what is there twice.
    pub(crate) fn source(&self) -> SourceId {
        let epoch = self.0.state.lock().epoch;
        SourceId::of(&[b"kubernetes_events", self.0.lease.as_bytes(), &epoch.to_le_bytes()])
    }

    /// Up to where everything is durable. What was not delivered counts as read no more.
    pub(crate) fn go_on(&self) -> Option<u64> {
        let mut state = self.0.state.lock();
        state.undelivered = false;
        state.position
    }

    /// Versions begin anew: what lies beyond this one was never seen.
    pub(crate) fn begin_anew(&self) {
        let mut state = self.0.state.lock();
        state.epoch += 1;
        state.position = None;
        state.durable = RangeSet::new();
    }

    /// The whole list up to this version is durable.
    pub(crate) fn listed(&self, version: u64) {
        let mut state = self.0.state.lock();
        state.position = Some(state.position.map_or(version, |position| position.max(version)));
        state.advance();
    }

    /// There is nothing to keep in this part.
    pub(crate) fn pass(&self, range: SeqRange) {
        let mut state = self.0.state.lock();
        state.durable.insert(range);
        state.advance();
    }

    /// A page with these parts goes on its way.
    pub(crate) fn send(&self, covered: &[SeqRange]) -> Receipt {
        let mut state = self.0.state.lock();
        state.under_way += 1;
        Receipt { progress: self.clone(), epoch: state.epoch, covered: covered.to_vec() }
    }

    /// Waits until something was not delivered.
    pub(crate) async fn undelivered(&self) {
        self.until(|state| state.undelivered).await;
    }

    /// Waits until nothing is on its way, or something was not delivered; says whether all was.
    pub(crate) async fn all_landed(&self) -> bool {
        self.until(|state| state.undelivered || state.under_way == 0).await;
        !self.0.state.lock().undelivered
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            if holds(&self.0.state.lock()) {
                return;
            }
            changed.await;
        }
    }
}
