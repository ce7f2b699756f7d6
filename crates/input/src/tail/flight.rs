//! What was sent and is not yet reported.
//!
//! Owns: the mailbox in which acknowledgements arrive from any thread.
//! Invariant: every batch that was sent lands exactly once, because an [`Ack`] reports exactly once.

use std::sync::{Arc, Mutex, PoisonError};

use sawyer_model::{Ack, Batch, Covered, Outcome};

use super::watch::Waker;

/// A batch that was reported.
#[derive(Debug)]
pub(crate) struct Landed {
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// What it accounted for.
    pub(crate) covered: Vec<Covered>,
}

/// Collects reports, and wakes whoever reads them.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    landed: Arc<Mutex<Vec<Landed>>>,
    waker: Waker,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { landed: Arc::default(), waker }
    }

    /// The duty for this batch.
    pub(crate) fn ack(&self, batch: &Batch) -> Ack {
        let (landed, waker, covered) =
            (Arc::clone(&self.landed), self.waker.clone(), batch.covered().to_vec());
        Ack::new(move |outcome| {
            landed.lock().unwrap_or_else(PoisonError::into_inner).push(Landed { outcome, covered });
            waker.wake();
        })
    }

    /// What was reported since this was last asked.
    pub(crate) fn take(&self) -> Vec<Landed> {
        std::mem::take(&mut self.landed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Bytes of sources that some parts take.
pub(crate) fn bytes_of(covered: &[Covered]) -> u64 {
    covered.iter().map(|covered| covered.range.len()).sum()
}
