//! What is on its way: one batch that waits to be taken, and those that were taken and are not yet reported.
//!
//! Owns: handing batches over without blocking the reading thread, the mailbox in which acknowledgements arrive.
//! Does not own: the offsets, in which it notes what was sent and reported.
//! Invariant: every batch that was sent lands exactly once, because an [`Ack`] reports exactly once; no more than
//! [`FLIGHT_BYTES_MAX`] bytes are unreported, save one batch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sawyer_model::{Ack, Batch, Covered, Error, ErrorKind, Outcome, Progress, SourceId, Tally};
use sawyer_pipeline::queue::QueueClosed;
use sawyer_pipeline::{Outlet, Patience, Spill, Stop};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::watch::{Waker, Watch};
use crate::offsets::Offsets;

/// Bytes of batches that are on their way at most. More would be read again after a crash, and held by whoever has
/// not acknowledged them; less would make a fast disk wait for a slow acknowledgement.
const FLIGHT_BYTES_MAX: u64 = 32 << 20;

/// How long acknowledgements are waited for after a pipeline has ended by itself, when others may wait for their targets for
/// ever. Less would read more twice after the next start.
const LANDING_WAIT: Duration = Duration::from_secs(4);

/// How often what landed is written down meanwhile.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked at a stop whether the last batches were taken. Nobody tells when a task is quite over.
const TAKEN_INTERVAL: Duration = Duration::from_millis(10);

/// A batch that was reported.
#[derive(Debug)]
struct Landed {
    outcome: Outcome,
    covered: Vec<Covered>,
    bytes: u64,
    tally: Tally,
}

/// Sends batches for a thread that must not wait for anything but its [`Watch`].
#[derive(Debug)]
pub(crate) struct Flight {
    runtime: Handle,
    /// None once it is closing.
    outlet: Option<Outlet>,
    patience: Patience,
    spill: Spill,
    waker: Waker,
    landed: Arc<Mutex<Vec<Landed>>>,
    sending: Option<JoinHandle<Result<(), QueueClosed>>>,
    bytes: u64,
    /// Since when it is full, and nothing was reported.
    full_since: Option<Instant>,
    progress: Arc<Progress>,
    /// Batches that were sent.
    sent: u64,
}

impl Flight {
    /// Sends into `outlet`, and calls the waker when there is something to be looked at.
    pub(crate) fn new(runtime: Handle, outlet: Outlet, waker: Waker) -> Self {
        let progress = Arc::new(Progress::new(Instant::now()));
        let patience = outlet.patience();
        let (landed, outlet, spill) = (Arc::default(), Some(outlet), Spill::default());
        Self {
            runtime,
            outlet,
            patience,
            spill,
            waker,
            landed,
            sending: None,
            bytes: 0,
            full_since: None,
            progress,
            sent: 0,
        }
    }

    /// For one who sends only what is in danger while buffers spill.
    pub(crate) fn minds_spill(mut self) -> Self {
        if let Some((outlet, spill)) = self.outlet.take().map(Outlet::minds_spill) {
            (self.outlet, self.spill) = (Some(outlet), spill);
        }
        self
    }

    /// The room for what is in danger.
    pub(crate) fn spill(&self) -> &Spill {
        &self.spill
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes == 0
    }

    /// What is told of reading to whoever waits for more.
    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// The number of the last batch.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether reading has to wait for acknowledgements.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FLIGHT_BYTES_MAX
    }

    /// Tells those who wait for more lines whether they are what reading waits for.
    pub(crate) fn tell_stalled(&mut self) {
        self.full_since = self.is_full().then(|| self.full_since.unwrap_or_else(Instant::now));
        self.progress.set_stalled(self.full_since);
    }

    /// Gives a batch away, unless there is nothing in it, or the one before was not taken yet.
    pub(crate) fn send(&mut self, batch: &mut Batch, offsets: &mut Offsets) {
        let Some(outlet) = &self.outlet else { return };
        if self.sending.is_some() || batch.covered().is_empty() {
            return;
        }
        let (outlet, waker) = (outlet.clone(), self.waker.clone());
        let next = batch.next_like();
        let mut batch = std::mem::replace(batch, next);
        for covered in batch.covered() {
            offsets.sent(covered.source);
        }
        let ack = self.ack(&batch);
        if batch.is_empty() {
            // Only lines that make no record: there is nothing to keep.
            return outlet.pass_over(&batch, ack);
        }
        self.sent += 1;
        batch.set_progress(&self.progress, self.sent);
        self.sending = Some(self.runtime.spawn(async move {
            let result = outlet.send_tallied(batch, ack).await;
            drop(outlet);
            waker.wake();
            result
        }));
    }

    fn ack(&mut self, batch: &Batch) -> Ack {
        let bytes = batch.bytes() as u64;
        self.bytes += bytes;
        let (landed, waker, covered) =
            (Arc::clone(&self.landed), self.waker.clone(), batch.covered().to_vec());
        Ack::tallied_by_source(move |outcome, tally| {
            let reported = Landed { outcome, covered, bytes, tally };
            landed.lock().unwrap_or_else(PoisonError::into_inner).push(reported);
            waker.wake();
        })
    }

    /// Looks whether the batch was taken.
    ///
    /// # Errors
    /// If a pipeline has ended though nobody told us to stop.
    pub(crate) fn check(&mut self, stop: &Stop) -> Result<(), Error> {
        let Some(task) = self.sending.take_if(|task| task.is_finished()) else { return Ok(()) };
        match self.runtime.block_on(task) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(QueueClosed)) if stop.is_stopped() => Ok(()),
            Ok(Err(closed)) => Err(Error::new(ErrorKind::Closed, "a pipeline has ended").because(closed)),
            Err(panic) => Err(Error::new(ErrorKind::Bug, "send a batch").because(panic)),
        }
    }

    /// Notes what was reported; none if nothing was, else the sources of which something was not delivered.
    pub(crate) fn land(&mut self, offsets: &mut Offsets) -> Option<Vec<SourceId>> {
        let landed = std::mem::take(&mut *self.landed.lock().unwrap_or_else(PoisonError::into_inner));
        if landed.is_empty() {
            return None;
        }
        self.full_since = None;
        let mut undelivered = Vec::new();
        for Landed { outcome, covered, bytes, tally } in landed {
            self.bytes = self.bytes.saturating_sub(bytes);
            let durable = outcome == Outcome::Durable;
            if durable {
                offsets.book(&tally);
            }
            for covered in covered {
                // To give it again would only give it to the others twice, for ever.
                if !durable && tally.taker_ended {
                    offsets.missed(covered.source, covered.range);
                    continue;
                }
                offsets.landed(covered.source, durable.then_some(covered.range));
                if !durable {
                    undelivered.push(covered.source);
                }
            }
        }
        undelivered.sort_unstable();
        undelivered.dedup();
        Some(undelivered)
    }

    /// The end: passes on the last batch, lets go of the way out, so that the pipelines can end, and waits for what they
    /// still acknowledge, so that it is not read again. After a stop that may take until the time for draining is over.
    pub(crate) fn close(
        mut self,
        mut batch: Batch,
        watch: &mut Watch,
        offsets: &mut Offsets,
        is_stopped: bool,
    ) {
        let (patience, waker) = (self.patience.clone(), self.waker.clone());
        let over = self.runtime.spawn(async move {
            patience.over().await;
            waker.wake();
        });
        let failed = (!is_stopped).then(|| Instant::now() + LANDING_WAIT);
        while is_stopped && !self.patience.is_over() {
            if self.sending.take_if(|task| task.is_finished()).is_none() && self.sending.is_some() {
                self.wait_for(TAKEN_INTERVAL, watch, offsets);
            } else if batch.covered().is_empty() {
                break;
            } else {
                self.send(&mut batch, offsets);
            }
        }
        if let Some(task) = self.sending.take() {
            task.abort();
        }
        self.outlet = None;
        self.land(offsets);
        while self.bytes > 0 && !self.patience.is_over() {
            let left = failed.map_or(SAVE_INTERVAL, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            self.wait_for(left.min(SAVE_INTERVAL), watch, offsets);
        }
        over.abort();
        // Whoever goes on from here has to tell anew.
        self.spill.set_in_danger(false);
    }

    /// Waits a little at the end, and writes down what landed: whoever is killed before the time is over has it.
    fn wait_for(&mut self, time: Duration, watch: &mut Watch, offsets: &mut Offsets) {
        watch.wait(time, &mut Vec::new());
        self.land(offsets);
        if offsets.save_due().is_some_and(|due| due <= Instant::now()) {
            // It is tried once more at the very end, and told of then.
            let _ = offsets.save();
        }
    }
}
