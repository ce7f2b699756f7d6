//! The way into an output, or into the buffer in front of it.
//!
//! Owns: dividing a batch where it was made, as long as its records are in the cache of that core: urgent ones get a lane
//! of the queue to themselves.
//! Does not own: how a batch is divided (`urgent`), what becomes of it behind the queue (`buffered`).
//! Invariant: each part has its share in the duty. What accounts for nothing that the output wants to know is done.

use std::sync::Arc;

use sawyer_model::{Ack, Batch, Outcome, Transfer};

use super::urgent::{Divided, divide};
use crate::queue::{QueueClosed, QueueSender};
use crate::steps::Condition;

/// See the head of the module.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    queue: QueueSender,
    buffer: Option<Filling>,
}

/// What is put into a buffer.
#[derive(Clone, Debug)]
pub(super) struct Filling {
    /// The records that leave first.
    pub(super) urgent: Option<Arc<Condition>>,
    /// Whether ranges without records mean something where they go.
    pub(super) keeps_ranges: bool,
}

impl Entrance {
    /// That of an output that has no buffer, or of one in front of which this is put in.
    pub(super) fn new(queue: QueueSender, buffer: Option<Filling>) -> Self {
        Self { queue, buffer }
    }

    /// Waits for room and hands a transfer over.
    ///
    /// # Errors
    /// [`QueueClosed`] if nobody takes it any more; what was not handed over is let go of.
    pub(super) async fn send(&self, transfer: Transfer) -> Result<(), QueueClosed> {
        let Some(Filling { urgent, keeps_ranges }) = &self.buffer else {
            return self.put(false, transfer).await;
        };
        let Transfer { mut batch, ack } = transfer;
        if let Some(batch) = Arc::get_mut(&mut batch) {
            batch.shrink();
        }
        let (urgent, normal) = match divide(batch, urgent.as_deref()) {
            Divided::Normal(batch) => (None, Some(batch)),
            Divided::Urgent(batch) => (Some(batch), None),
            Divided::Both { urgent, normal } => (Some(urgent), Some(normal)),
        };
        let says = |batch: &Arc<Batch>| !batch.is_empty() || *keeps_ranges && !batch.covered().is_empty();
        let normal = normal.filter(says);
        let (of_urgent, of_normal) = shared(ack, urgent.is_some(), normal.is_some());
        let part = |batch: Option<Arc<Batch>>, ack: Option<Ack>| Some(Transfer { batch: batch?, ack: ack? });
        for (is_urgent, part) in [(true, part(urgent, of_urgent)), (false, part(normal, of_normal))] {
            if let Some(part) = part {
                self.put(is_urgent, part).await?;
            }
        }
        Ok(())
    }

    async fn put(&self, urgent: bool, transfer: Transfer) -> Result<(), QueueClosed> {
        match self.queue.reserve_in(urgent, transfer.batch.bytes()).await {
            Ok(place) => place.put(transfer),
            Err(closed) => {
                transfer.ack.taker_ended();
                return Err(closed);
            }
        }
        Ok(())
    }
}

/// A duty as one for each part of a batch that there is. Where there is none, it is done.
fn shared(ack: Ack, urgent: bool, normal: bool) -> (Option<Ack>, Option<Ack>) {
    match (urgent, normal) {
        (true, true) => {
            // An output is booked once for each share that it has.
            let whole = Ack::tallied(move |outcome, tally| match outcome {
                Outcome::Durable => ack.durable(),
                Outcome::Undelivered if tally.taker_ended => ack.taker_ended(),
                Outcome::Undelivered => {}
            });
            (Some(whole.clone()), Some(whole))
        }
        (true, false) => (Some(ack), None),
        (false, true) => (None, Some(ack)),
        (false, false) => {
            ack.durable();
            (None, None)
        }
    }
}
