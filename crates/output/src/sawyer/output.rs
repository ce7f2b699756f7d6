//! From a queue of transfers to requests with batches.
//!
//! Owns: one item for each transfer, and what becomes of a batch that the receiver refuses.
//! Invariant: a transfer is acknowledged once the receiver has called its batch durable, or when it is kept as a dead
//! letter, whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sawyer_buffer::Buffer;
use sawyer_delivery::{
    Courier, DeadLetters, Identity, Item, Letter, Limits, LoggedLetters, Origin, Outbox, Promise, courier,
};
use sawyer_model::{Ack, Error, Outcome};
use sawyer_pipeline::{Context, Output, QueueReceiver, Queued, Running, Stop};
use sawyer_segment::encode_batch;
use sawyer_telemetry::{Clock, Seldom};

use super::checkpoint::{Asking, Claims};
use super::sent::Sent;
use super::target::NativeTarget;
use crate::deliver::deliver;
use crate::report::Report;

/// How often refusals are told in the log.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct NativeOutput {
    outbox: Outbox<Arc<Sent>>,
    courier: Courier<NativeTarget>,
    report: Arc<Report>,
    asking: Asking,
    target: Arc<NativeTarget>,
}

impl NativeOutput {
    pub(super) fn new(
        target: NativeTarget,
        claims: Arc<Claims>,
        interval: Duration,
        limits: Limits,
        context: &Context,
    ) -> Self {
        let identity = Identity {
            name: context.name.clone(),
            what: "output",
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
            health: context.health.clone(),
        };
        let clock = context.clock.clone();
        let letters: Arc<dyn DeadLetters> = match &context.buffer {
            Some(buffer) => {
                Arc::new(WholeBatches { buffer: buffer.clone(), clock, seldom: Seldom::new(TELL_INTERVAL) })
            }
            None => Arc::new(LoggedLetters::new(clock)),
        };
        let target = Arc::new(target);
        let asking = Asking::new(Arc::clone(&target), claims, interval, context);
        let (outbox, courier) = courier(Arc::clone(&target), limits, identity, letters);
        Self { outbox, courier, report: Arc::new(Report::new(context)), asking, target }
    }
}

impl Output for NativeOutput {
    fn run(self: Box<Self>, from: QueueReceiver, stop: Stop) -> Running {
        Box::pin(async move {
            let Self { outbox, courier, report, asking, target } = *self;
            let write = move |queued: Queued, _: &Limits| {
                let item = item(queued, target.reads(), &report);
                let beside = item.payload.len();
                (vec![item], beside)
            };
            let work = deliver(from, outbox, courier, &stop, write);
            asking.beside(work, &stop).await
        })
    }
}

/// A transfer as an item, for a receiver that reads no later version than this. Its bytes are those of the batch in memory, which is
/// kept beside what is sent.
fn item(queued: Queued, reads: u8, report: &Arc<Report>) -> Item<Arc<Sent>> {
    let (transfer, room) = queued.into_parts();
    let (batch, ack) = (transfer.batch, transfer.ack);
    let payload = Arc::new(Sent::new(Arc::clone(&batch), reads));
    let (sent, report) = (Arc::clone(&payload), Arc::clone(report));
    let told = Ack::tallied(move |outcome, tally| {
        if outcome == Outcome::Durable {
            report.delivered(sent.batch.len(), sent.len());
            ack.durable_but(&tally.loose);
        }
    });
    let (bytes, ack) = (batch.bytes().max(1), told.worth(batch.own()));
    // From here on the courier's own bound holds for it.
    drop(room);
    let record = (!batch.is_empty()).then_some(Origin { batch, at: 0 });
    Item { payload, bytes, partition: 0, record, ack }
}

/// Keeps batches that a receiver refuses as dead letters.
struct WholeBatches {
    buffer: Buffer,
    clock: Clock,
    seldom: Seldom,
}

impl DeadLetters for WholeBatches {
    fn put<'a>(&'a self, target: &'a str, letters: &'a [Letter]) -> Promise<'a, Result<(), Error>> {
        Box::pin(async move {
            if let (Some(letter), Some(held_back)) = (letters.first(), self.seldom.pass(self.clock.now())) {
                let (count, reason) = (letters.len(), &letter.reason);
                tracing::error!(
                    output = target,
                    count,
                    reason,
                    held_back,
                    "batches refused; kept as dead letters"
                );
            }
            for letter in letters {
                // One without records accounts for parts of sources only, which nobody misses.
                let Some(Origin { batch, .. }) = &letter.record else { continue };
                let payload = Bytes::from(encode_batch(batch));
                let records = u32::try_from(batch.len()).unwrap_or(u32::MAX);
                self.buffer.push_dead_letter("rejected", &letter.reason, payload, records).await?;
            }
            Ok(())
        })
    }
}
