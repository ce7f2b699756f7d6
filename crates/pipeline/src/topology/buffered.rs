//! A buffer between the pipelines and an output: what its users in [`running`](super::running) see is a queue.
//!
//! Owns: putting batches in, taking them out, and whose acknowledgement is whose: the input's when a batch is safe in
//! the buffer, the buffer's when the output has it; what may go past the buffer.
//! Does not own: what becomes of that (`direct`), how things wait (`buffer`), which records leave first (`entrance`), how
//! batches become bytes (`segment`).
//!
//! A batch of an input that can read it again goes to the output at once where nothing waits in its lane. It is written
//! only if the output does not have it in time, so while a target keeps up nothing is. Any batch goes that way that is
//! kept out of the buffer by a full disk.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sawyer_buffer::{Buffer, Lane, Taken};
use sawyer_model::{Ack, Batch, BySource, Error, ErrorKind, Fate, Outcome, Transfer, Way};
use sawyer_segment::{BATCH_VERSION, batch_version, decode_batch_shared, encode_batch, encode_batch_columns};
use sawyer_telemetry::{Clock, Health, Seldom};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::direct::{Flights, Flying, Need, fates_of, records_of};
use super::urgent::in_halves;
use crate::backoff::Backoff;
use crate::queue::{LaneReceiver, Place, QueueReceiver, QueueSender};
use crate::stop::Stop;

/// How long batches wait for room at the output, all together since there was some at once, before they are put into the
/// buffer. Longer would hold up the pipeline, and with it other outputs, for a target that takes less than comes.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// How often it is looked meanwhile whether it may wait on.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

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
    (output, keeps_ranges): (&str, bool),
    to: QueueSender,
    stop: Stop,
    (clock, health): (Clock, Health),
) -> Result<(), Error> {
    let way_out = WayOut { way: way_of(output), to };
    let past = way_out.clone();
    let (filled, ()) = tokio::join!(
        fill(from, &buffer, keeps_ranges, past, &clock),
        empty(&buffer, way_out, &stop, (&clock, &health))
    );
    buffer.close().await;
    filled
}

/// A batch on its way into a lane, and the room that it takes until it is there.
struct Part {
    batch: Arc<Batch>,
    ack: Ack,
    _room: OwnedSemaphorePermit,
}

/// Where they come from.
trait Parts {
    /// The next one; none once there will be no more.
    fn next(&mut self) -> impl Future<Output = Option<Part>> + Send;
}

impl Parts for LaneReceiver {
    async fn next(&mut self) -> Option<Part> {
        let (Transfer { batch, ack }, room) = LaneReceiver::next(self).await?.into_parts();
        Some(Part { batch, ack, _room: room })
    }
}

/// Puts everything that comes into the buffer, or gives it to the output past that. Each batch is acknowledged when all
/// of it is safe, or delivered. While normal records wait for room, urgent ones behind them are put in; the bytes of both
/// still count against the queue.
async fn fill(
    from: QueueReceiver,
    buffer: &Buffer,
    keeps_ranges: bool,
    past: WayOut,
    clock: &Clock,
) -> Result<(), Error> {
    let way = WayIn { buffer, keeps_ranges, clock, past: &past, flying: &Flying::default() };
    let (urgent, normal) = from.into_lanes();
    let urgent = fill_lane(Lane::Urgent, urgent, way);
    let ended = tokio::try_join!(urgent, fill_lane(Lane::Normal, normal, way));
    buffer.end();
    ended.map(|_| ())
}

async fn fill_lane(lane: Lane, mut parts: impl Parts, way: WayIn<'_>) -> Result<(), Error> {
    let seldom = Seldom::new(TELL_INTERVAL);
    let (mut flights, mut waited) = (Flights::among(way.flying), Duration::ZERO);
    loop {
        let part = tokio::select! {
            part = parts.next() => part,
            () = flights.due() => {
                way.see_to(lane, &mut flights, false, &seldom).await?;
                continue;
            }
        };
        let Some(part) = part else { break };
        let left = way.send_past(lane, part, &mut flights, &mut waited, &seldom).await?;
        let Some(part) = left else { continue };
        let left = way.send_behind(lane, part, &mut flights, &seldom).await?;
        let Some(Part { batch, ack, _room }) = left else { continue };
        if batch.progress().is_some() {
            // Else it were in the buffer before what came before it.
            way.see_to(lane, &mut flights, true, &seldom).await?;
        }
        match way.put(lane, &batch, true, &seldom).await? {
            Put::In => ack.durable(),
            Put::LeftOut => {}
            Put::Past(place) => place.put(flights.start(&batch, ack, way.buffer, &way.past.way)),
        }
    }
    way.see_to(lane, &mut flights, true, &seldom).await
}

/// What becomes of a batch that was to be put in.
enum Put<'a> {
    /// It is safe.
    In,
    /// Not all of it can be.
    LeftOut,
    /// It has a place at the output, and is not in.
    Past(Place<'a>),
}

/// How batches are put into a buffer, or past it.
#[derive(Clone, Copy)]
struct WayIn<'a> {
    buffer: &'a Buffer,
    keeps_ranges: bool,
    clock: &'a Clock,
    past: &'a WayOut,
    flying: &'a Flying,
}

impl<'a> WayIn<'a> {
    /// Gives a batch to the output while it is in no buffer, if that has room soon and takes it after all that wait;
    /// gives it back if not. Waiting counts from the last one for which there was room at once.
    async fn send_past(
        self,
        lane: Lane,
        part: Part,
        flights: &mut Flights,
        waited: &mut Duration,
        seldom: &Seldom,
    ) -> Result<Option<Part>, Error> {
        let bytes = part.batch.bytes();
        let may = || self.buffer.may_pass(lane, self.flying.bytes() + bytes as u64) && can_wait(&part.batch);
        if !may() {
            return Ok(Some(part));
        }
        let mut place = std::pin::pin!(self.past.to.reserve_in(lane == Lane::Urgent, bytes));
        let mut found = poll_fn(|context| Poll::Ready(place.as_mut().poll(context))).await;
        if found.is_ready() {
            *waited = Duration::ZERO;
        }
        // A buffer that sheds is there for others not to wait.
        let wait_max = if self.buffer.sheds() { Duration::ZERO } else { ROOM_WAIT };
        while found.is_pending() && may() && *waited < wait_max {
            let (start, mut is_due) = (Instant::now(), false);
            tokio::select! {
                place = &mut place => found = Poll::Ready(place),
                () = flights.due() => is_due = true,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            *waited += start.elapsed();
            if is_due {
                self.see_to(lane, flights, false, seldom).await?;
            }
        }
        let Poll::Ready(Ok(place)) = found else { return Ok(Some(part)) };
        if !may() || place.is_closed() {
            return Ok(Some(part));
        }
        let Part { batch, ack, _room } = part;
        place.put(flights.start(&batch, ack, self.buffer, &self.past.way));
        Ok(None)
    }

    /// While the disk is full and what was pushed before is with the output alone: gives a batch to the output behind
    /// that. In the buffer, which may have space at any moment, it would be in front of what the output lets go of.
    async fn send_behind(
        self,
        lane: Lane,
        part: Part,
        flights: &mut Flights,
        seldom: &Seldom,
    ) -> Result<Option<Part>, Error> {
        let bytes = part.batch.bytes();
        while part.batch.progress().is_none()
            && self.buffer.is_disk_full()
            && flights.are_flying()
            && self.buffer.may_pass(lane, self.flying.bytes() + bytes as u64)
        {
            let place = tokio::select! {
                place = self.past.to.reserve_in(lane == Lane::Urgent, bytes) => place,
                () = flights.due() => {
                    self.see_to(lane, flights, false, seldom).await?;
                    continue;
                }
            };
            let Ok(place) = place else { break };
            if !place.is_closed() {
                let Part { batch, ack, _room } = part;
                place.put(flights.start(&batch, ack, self.buffer, &self.past.way));
                return Ok(None);
            }
            break;
        }
        Ok(Some(part))
    }

    /// Puts into the buffer what went past it and has to be safe by now, or before `closing`.
    async fn see_to(
        self,
        lane: Lane,
        flights: &mut Flights,
        closing: bool,
        seldom: &Seldom,
    ) -> Result<(), Error> {
        let closing = closing || flights.is_pressed();
        while let Some(need) = flights.next(closing) {
            match need {
                Need::Return(batch, ack) => {
                    if let Put::In = self.put(lane, &batch, false, seldom).await? {
                        ack.durable();
                    }
                }
                Need::Safety(batch, landing) => {
                    let (payload, records) = (self.encode(&batch), records_of(&batch));
                    let push = || self.buffer.push_taken(lane, payload.clone(), records, landing.over());
                    match self.until_in(seldom, || landing.is_over(), push).await {
                        Ok(Some(Some(taken))) => landing.written(taken),
                        // The output has it by now, or still has to have it.
                        Ok(_) => drop(landing),
                        Err(error) if error.kind() == ErrorKind::Invalid => drop(landing),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts a batch in, in halves where it is too large for an entry. A record alone that is too large is left out, and
    /// what it came from keeps it. One that `may_pass` does so when a full disk keeps it out.
    async fn put(
        self,
        lane: Lane,
        batch: &Arc<Batch>,
        may_pass: bool,
        seldom: &Seldom,
    ) -> Result<Put<'a>, Error> {
        let mut parts = vec![Arc::clone(batch)];
        let mut put = Put::In;
        while let Some(part) = parts.pop() {
            let may_pass = may_pass && part.len() == batch.len();
            match self.put_part(lane, &part, may_pass, seldom).await {
                Ok(None) => {}
                Ok(Some(place)) => return Ok(Put::Past(place)),
                Err(error) if error.kind() != ErrorKind::Invalid => return Err(error),
                Err(_) if part.len() > 1 => {
                    let (first, second) = in_halves(&part);
                    parts.extend([second, first]);
                }
                Err(error) => {
                    tracing::error!("put a record into the buffer: {}; it is left out", error.chain());
                    put = Put::LeftOut;
                }
            }
        }
        Ok(put)
    }

    /// Puts a batch in, however often that has to be tried; or gives its place at the output.
    async fn put_part(
        self,
        lane: Lane,
        batch: &Arc<Batch>,
        may_pass: bool,
        seldom: &Seldom,
    ) -> Result<Option<Place<'a>>, Error> {
        let (payload, records) = (self.encode(batch), records_of(batch));
        let found = Mutex::new(None);
        let push = || async {
            // Where ranges are kept, the bytes are what is sent.
            let live = (!self.keeps_ranges).then(|| (Arc::clone(batch), memory_of(batch)));
            let kept_out = self.buffer.kept_out();
            let passes = async {
                if !may_pass {
                    return std::future::pending().await;
                }
                *found.lock() = Some(self.place_past_full_disk(lane, batch.bytes(), kept_out).await);
            };
            self.buffer.push_live(lane, payload.clone(), records, live, passes).await
        };
        let is_in = self.until_in(seldom, || false, push).await?;
        Ok(found.into_inner().filter(|_| is_in == Some(false)))
    }

    /// Waits until the batch that is being put in waits for space on a full disk, and for none in front of it, and the
    /// output has room for it.
    async fn place_past_full_disk(
        self,
        lane: Lane,
        bytes: usize,
        mut kept_out: watch::Receiver<u64>,
    ) -> Place<'a> {
        loop {
            tokio::select! {
                Ok(()) = kept_out.changed() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if self.buffer.is_stuck(lane) {
                let place = self.past.to.reserve_in(lane == Lane::Urgent, bytes).await;
                match place {
                    Ok(place) if !place.is_closed() => return place,
                    // The output has ended.
                    _ => std::future::pending().await,
                }
            }
        }
    }

    /// Tries until it is done, or needless.
    async fn until_in<T, F: Future<Output = Result<T, Error>>>(
        self,
        seldom: &Seldom,
        needless: impl Fn() -> bool,
        push: impl Fn() -> F,
    ) -> Result<Option<T>, Error> {
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        while !needless() {
            match push().await {
                Ok(pushed) => return Ok(Some(pushed)),
                Err(error) if error.kind() != ErrorKind::Retry => return Err(error),
                Err(error) => {
                    if let Some(held_back) = seldom.pass(self.clock.now()) {
                        let error = error.chain();
                        tracing::warn!(held_back, "put records into the buffer: {error}; tries again");
                    }
                }
            }
            tokio::time::sleep(backoff.failed()).await;
        }
        Ok(None)
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

/// Whether nobody waits for a batch to be safe: its input can read it again, and nothing is about to be removed before it
/// is read, for which the buffer has room that the output has not.
fn can_wait(batch: &Batch) -> bool {
    batch.progress().is_some_and(|(progress, _)| !progress.is_pressed())
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
#[derive(Clone)]
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
async fn empty(buffer: &Buffer, to: WayOut, stop: &Stop, tell: (&Clock, &Health)) {
    let urgent = empty_lane(Lane::Urgent, buffer, &to, stop, tell);
    tokio::join!(urgent, empty_lane(Lane::Normal, buffer, &to, stop, tell));
}

/// Hands what waits in a lane to the output. A buffer that cannot be read is asked again; so is one whose next entry is of a later
/// version than this, for somebody may remove it.
async fn empty_lane(
    lane: Lane,
    buffer: &Buffer,
    out: &WayOut,
    stop: &Stop,
    (clock, health): (&Clock, &Health),
) {
    let to = &out.to;
    let part = format!("buffer of output {}, lane {}", out.way.outputs[0], lane.name());
    let seldom = Seldom::new(TELL_INTERVAL);
    let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        let taken = tokio::select! {
            taken = buffer.take_from(lane) => taken,
            () = stop.stopped() => return,
        };
        let entry = match taken {
            Ok(None) => return,
            Ok(Some(mut taken)) => {
                // What goes past the buffer does not overtake it meanwhile.
                let arrival = taken.arrival();
                transfer(taken, &out.way).await.map(|transfer| (transfer, arrival))
            }
            Err(error) => Err(error),
        };
        match entry {
            Ok((transfer, _arrival)) => {
                backoff.worked();
                health.ready(&part);
                let Some(transfer) = transfer else { continue };
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
                if error.kind() == ErrorKind::Invalid {
                    health.not_ready(&part, error.chain());
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.failed()) => {}
                    () = stop.stopped() => return,
                }
            }
        }
    }
}

/// The batch of an entry. One that is damaged becomes a dead letter and harms nothing else.
///
/// # Errors
/// `Invalid` if a later version than this wrote it: it waits again, before what came after it.
async fn transfer(mut taken: Taken, way: &Arc<Way>) -> Result<Option<Transfer>, Error> {
    let batch = match taken.take_live() {
        Some(batch) => Ok(batch),
        None => decode_batch_shared(taken.payload()).map(Arc::new),
    };
    match batch {
        Ok(batch) => {
            taken.forget_payload();
            let own = batch.own();
            let ack = Ack::tallied(move |outcome, tally| match outcome {
                Outcome::Durable => taken.ack_as(&fates_of(tally)),
                Outcome::Undelivered => taken.release(),
            });
            let ack =
                ack.on(way, own, 0, &BySource::default()).at_exit(&way.outputs[0], own, Fate::Delivered);
            Ok(Some(Transfer { batch, ack }))
        }
        Err(error) if batch_version(taken.payload()).is_some_and(|version| version > BATCH_VERSION) => {
            let what = "the next entry stays where it is, and so does what came after it";
            Err(Error::new(ErrorKind::Invalid, what).because(error))
        }
        Err(error) => {
            tracing::error!("read an entry of the buffer: {}; it becomes a dead letter", error.chain());
            if let Err(error) = taken.dead_letter("damaged", &error.chain()).await {
                tracing::error!("keep a dead letter: {}; the entry stays where it is", error.chain());
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
