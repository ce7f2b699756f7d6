//! A buffer between the pipelines and an output: what its users in [`running`](super::running) see is a queue.
//!
//! Owns: putting batches in, taking them out, and whose acknowledgement is whose: the input's when a batch is safe in
//! the buffer, the buffer's when the output has it.
//! Does not own: how things wait (`buffer`), which records leave first (`urgent`), how batches become bytes
//! (`segment`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sawyer_buffer::{Buffer, Lane, Taken};
use sawyer_model::{Ack, Batch, Error, ErrorKind, Fate, Outcome, Transfer, Way};
use sawyer_segment::{decode_batch_shared, encode_batch, encode_batch_columns};
use sawyer_telemetry::{Clock, Seldom};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::urgent::{Divided, divide, in_halves};
use crate::backoff::Backoff;
use crate::queue::{QueueReceiver, QueueSender};
use crate::steps::Condition;
use crate::stop::Stop;

/// Batches that are looked through for urgent records while others wait to be put in. Their bytes are bounded by the
/// queue that they came from.
const AHEAD_MAX: usize = 1024;

/// Pause before a buffer is asked again after it failed.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often the same trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// What is put into a buffer, and how.
#[derive(Debug)]
pub(super) struct Filling {
    /// The output behind it.
    pub(super) output: String,
    /// The records that leave first.
    pub(super) urgent: Option<Condition>,
    /// Whether ranges without records mean something where they go.
    pub(super) keeps_ranges: bool,
}

/// Leads everything through the buffer, until nothing more comes and the output has all, or the time for that is over.
/// What the output does not acknowledge stays in the buffer; so does everything once the output has ended.
///
/// # Errors
/// What the buffer says when it takes nothing more.
pub(super) async fn lead(
    from: QueueReceiver,
    buffer: Buffer,
    filling: Filling,
    to: QueueSender,
    stop: Stop,
    clock: Clock,
) -> Result<(), Error> {
    let way_out = WayOut { way: way_of(&filling.output), to };
    let (filled, ()) =
        tokio::join!(fill(from, &buffer, filling, &clock), empty(&buffer, way_out, &stop, &clock));
    buffer.close().await;
    filled
}

/// Puts everything that comes into the buffer. Each batch is acknowledged when all of it is safe. While normal records
/// wait for room, urgent ones behind them are put in; the bytes of both still count against the queue.
async fn fill(
    mut from: QueueReceiver,
    buffer: &Buffer,
    filling: Filling,
    clock: &Clock,
) -> Result<(), Error> {
    let Filling { urgent, keeps_ranges, output: _ } = filling;
    let way = WayIn { buffer, keeps_ranges, clock };
    let (in_order, waiting) = mpsc::channel(AHEAD_MAX);
    let first = async move {
        let seldom = Seldom::new(TELL_INTERVAL);
        while let Some(queued) = from.next().await {
            let (Transfer { mut batch, ack }, room) = queued.into_parts();
            if let Some(batch) = Arc::get_mut(&mut batch) {
                batch.shrink();
            }
            let batch = match divide(batch, urgent.as_ref()) {
                Divided::Normal(batch) => batch,
                Divided::Urgent(batch) => {
                    if way.put(Lane::Urgent, &batch, &seldom).await? {
                        ack.durable();
                    }
                    continue;
                }
                Divided::Both { urgent, normal } => {
                    if !way.put(Lane::Urgent, &urgent, &seldom).await? {
                        continue;
                    }
                    normal
                }
            };
            let says_nothing = batch.covered().is_empty() || !keeps_ranges;
            if batch.is_empty() && says_nothing {
                ack.durable();
            } else if in_order.send((Transfer { batch, ack }, room)).await.is_err() {
                // The other half says why.
                break;
            }
        }
        Ok(())
    };
    let ended = tokio::try_join!(first, fill_in_order(waiting, way));
    buffer.end();
    ended.map(|_| ())
}

async fn fill_in_order(
    mut waiting: mpsc::Receiver<(Transfer, OwnedSemaphorePermit)>,
    way: WayIn<'_>,
) -> Result<(), Error> {
    let seldom = Seldom::new(TELL_INTERVAL);
    while let Some((Transfer { batch, ack }, _room)) = waiting.recv().await {
        if way.put(Lane::Normal, &batch, &seldom).await? {
            ack.durable();
        }
    }
    Ok(())
}

/// How batches are put into a buffer.
#[derive(Clone, Copy)]
struct WayIn<'a> {
    buffer: &'a Buffer,
    keeps_ranges: bool,
    clock: &'a Clock,
}

impl WayIn<'_> {
    /// Puts a batch in, in halves where it is too large for an entry. False if a record alone is too large: it is left
    /// out, and what it came from keeps it.
    async fn put(self, lane: Lane, batch: &Arc<Batch>, seldom: &Seldom) -> Result<bool, Error> {
        let mut parts = vec![Arc::clone(batch)];
        let mut whole = true;
        while let Some(part) = parts.pop() {
            match self.put_part(lane, &part, seldom).await {
                Ok(()) => {}
                Err(error) if error.kind() != ErrorKind::Invalid => return Err(error),
                Err(_) if part.len() > 1 => {
                    let (first, second) = in_halves(&part);
                    parts.extend([second, first]);
                }
                Err(error) => {
                    tracing::error!("put a record into the buffer: {}; it is left out", error.chain());
                    whole = false;
                }
            }
        }
        Ok(whole)
    }

    /// Puts a batch in, however often that has to be tried.
    async fn put_part(self, lane: Lane, batch: &Arc<Batch>, seldom: &Seldom) -> Result<(), Error> {
        let payload = self.encode(batch);
        let records = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        loop {
            let pushed = match self.keeps_ranges {
                // The bytes are what is sent.
                true => self.buffer.push(lane, payload.clone(), records).await,
                false => {
                    let (live, bytes) = (Arc::clone(batch), memory_of(batch));
                    self.buffer.push_live(lane, payload.clone(), records, live, bytes).await
                }
            };
            let Err(error) = pushed else { return Ok(()) };
            if error.kind() != ErrorKind::Retry {
                return Err(error);
            }
            if let Some(held_back) = seldom.pass(self.clock.now()) {
                tracing::warn!(held_back, "put records into the buffer: {}; tries again", error.chain());
            }
            tokio::time::sleep(backoff.failed()).await;
        }
    }

    /// What goes to another Sawyer is kept as it is sent, or as it came from one.
    fn encode(self, batch: &Batch) -> Bytes {
        match (batch.encoded(), self.keeps_ranges) {
            (Some(encoded), _) => encoded.clone(),
            (None, true) => encode_batch_columns(batch).into(),
            (None, false) => encode_batch(batch).into(),
        }
    }
}

/// About how much memory a batch takes while it waits. One whose records were mostly left out still has their text,
/// and one of a few bytes has its tables.
fn memory_of(batch: &Batch) -> u64 {
    const TABLES_BYTES: usize = 1024;
    const NAME_BYTES: usize = 64;
    const STREAM_BYTES: usize = 256;
    let tables = TABLES_BYTES + batch.name_count() * NAME_BYTES + batch.streams().len() * STREAM_BYTES;
    (batch.bytes() + tables) as u64
}

/// Where entries go, and how that is booked.
struct WayOut {
    way: Arc<Way>,
    to: QueueSender,
}

/// The way from a buffer to its output; it belongs to no input and no pipeline.
fn way_of(output: &str) -> Arc<Way> {
    let outputs = vec![output.into()];
    Arc::new(Way { input: "".into(), pipeline: "".into(), outputs, copies: vec![false] })
}

/// Hands what waits to the output, urgent entries beside the others, so that they never wait for them.
async fn empty(buffer: &Buffer, to: WayOut, stop: &Stop, clock: &Clock) {
    let urgent = empty_lane(Lane::Urgent, buffer, &to, stop, clock);
    tokio::join!(urgent, empty_lane(Lane::Normal, buffer, &to, stop, clock));
}

/// Hands what waits in a lane to the output. A buffer that cannot be read is asked again.
async fn empty_lane(lane: Lane, buffer: &Buffer, out: &WayOut, stop: &Stop, clock: &Clock) {
    let to = &out.to;
    let seldom = Seldom::new(TELL_INTERVAL);
    let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        let taken = tokio::select! {
            taken = buffer.take_from(lane) => taken,
            () = stop.stopped() => return,
        };
        match taken {
            Ok(None) => return,
            Ok(Some(taken)) => {
                backoff.worked();
                let Some(transfer) = transfer(taken, &out.way).await else { continue };
                let sent = match lane {
                    Lane::Urgent => to.send_urgent(transfer).await,
                    Lane::Normal | Lane::Dead => to.send(transfer).await,
                };
                if sent.is_err() {
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
async fn transfer(mut taken: Taken, way: &Arc<Way>) -> Option<Transfer> {
    let batch = match taken.take_live() {
        Some(batch) => Ok(batch),
        None => decode_batch_shared(taken.payload()).map(Arc::new),
    };
    match batch {
        Ok(batch) => {
            taken.forget_payload();
            let own = batch.own();
            let ack = Ack::tallied(move |outcome, tally| match (outcome, tally.ways.first()) {
                (Outcome::Durable, Some(way)) => taken.ack_as(&way.exits[0]),
                (Outcome::Durable, None) => taken.ack(),
                (Outcome::Undelivered, _) => taken.release(),
            });
            let ack = ack.on(way, own.bytes, own).at_exit(&way.outputs[0], own, Fate::Delivered);
            Some(Transfer { batch, ack })
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
