//! A buffer between the pipelines and an output: what its users in [`running`](super::running) see is a queue.
//!
//! Owns: putting batches in, taking them out, and whose acknowledgement is whose: the input's when a batch is safe in
//! the buffer, the buffer's when the output has it.
//! Does not own: how things wait (`buffer`), how batches become bytes (`segment`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sawyer_buffer::{Buffer, Lane, Taken};
use sawyer_model::{Ack, Error, ErrorKind, Outcome, Transfer};
use sawyer_segment::{decode_batch, encode_batch};
use sawyer_telemetry::{Clock, Seldom};

use crate::backoff::Backoff;
use crate::queue::{QueueReceiver, QueueSender};
use crate::stop::Stop;

/// Pause before a buffer is asked again after it failed.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often the same trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// Leads everything through the buffer, until nothing more comes and the output has all, or the time for that is over.
/// What the output does not acknowledge stays in the buffer; so does everything once the output has ended.
///
/// # Errors
/// What the buffer says when it takes nothing more.
pub(super) async fn lead(
    from: QueueReceiver,
    buffer: Buffer,
    to: QueueSender,
    stop: Stop,
    clock: Clock,
) -> Result<(), Error> {
    let (filled, ()) = tokio::join!(fill(from, &buffer, &clock), empty(&buffer, to, &stop, &clock));
    buffer.close().await;
    filled
}

/// Puts everything that comes into the buffer. Each batch is acknowledged when it is safe.
async fn fill(mut from: QueueReceiver, buffer: &Buffer, clock: &Clock) -> Result<(), Error> {
    let seldom = Seldom::new(TELL_INTERVAL);
    while let Some(queued) = from.next().await {
        let (transfer, _room) = queued.into_parts();
        // Ranges without records mean something to the store alone, which has no buffer.
        if !transfer.batch.is_empty() {
            let payload = Bytes::from(encode_batch(&transfer.batch));
            let records = u32::try_from(transfer.batch.len()).unwrap_or(u32::MAX);
            put(buffer, payload, records, clock, &seldom).await?;
        }
        transfer.ack.durable();
    }
    buffer.end();
    Ok(())
}

async fn put(
    buffer: &Buffer,
    payload: Bytes,
    records: u32,
    clock: &Clock,
    seldom: &Seldom,
) -> Result<(), Error> {
    let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        let Err(error) = buffer.push(Lane::Normal, payload.clone(), records).await else { return Ok(()) };
        if error.kind() != ErrorKind::Retry {
            return Err(error);
        }
        if let Some(held_back) = seldom.pass(clock.now()) {
            tracing::warn!(held_back, "put records into the buffer: {}; tries again", error.chain());
        }
        tokio::time::sleep(backoff.failed()).await;
    }
}

/// Hands what waits to the output. A buffer that cannot be read is asked again.
async fn empty(buffer: &Buffer, to: QueueSender, stop: &Stop, clock: &Clock) {
    let seldom = Seldom::new(TELL_INTERVAL);
    let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        let taken = tokio::select! {
            taken = buffer.take() => taken,
            () = stop.stopped() => return,
        };
        match taken {
            Ok(None) => return,
            Ok(Some(taken)) => {
                backoff.worked();
                let Some(transfer) = transfer(taken).await else { continue };
                if to.send(transfer).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                if let Some(held_back) = seldom.pass(clock.now()) {
                    tracing::error!(held_back, "read the buffer: {}; tries again", error.chain());
                }
                tokio::time::sleep(backoff.failed()).await;
            }
        }
    }
}

/// The batch of an entry. One that cannot be read becomes a dead letter and harms nothing else.
async fn transfer(taken: Taken) -> Option<Transfer> {
    match decode_batch(taken.payload()) {
        Ok(batch) => {
            let ack = Ack::new(move |outcome| match outcome {
                Outcome::Durable => taken.ack(),
                Outcome::Undelivered => taken.release(),
            });
            Some(Transfer { batch: Arc::new(batch), ack })
        }
        Err(error) => {
            tracing::error!("read an entry of the buffer: {}; it becomes a dead letter", error.chain());
            if let Err(error) = taken.dead_letter("damaged", &error.chain()).await {
                tracing::error!("keep a dead letter: {}; the entry stays where it is", error.chain());
            }
            None
        }
    }
}
