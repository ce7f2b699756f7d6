//! Entries on their way out.
//!
//! Owns: [`Taken`] and how the next one is found.
//! Does not own: waiting for it (`buffer`).
//! Invariant: a taken entry is done, or waits again; dropping it gives it back.

use std::sync::Arc;

use bytes::Bytes;
use sawyer_model::{Count, Error, Fate, Fates, Timestamp};

use crate::engine::Engine;
use crate::entry::{Head, Lane, Note};
use crate::error::{BufferError, Result};
use crate::lane::{Content, LaneIndex, Live};
use crate::settings::OnFull;

/// An entry that was taken, and the duty to say what became of it. Dropped, it waits again.
#[derive(Debug)]
pub struct Taken {
    engine: Arc<Engine>,
    lane: Lane,
    head: Head,
    deliveries: u32,
    /// None while it is read, and where the caller was given it.
    content: Option<Content>,
    live: Option<Live>,
    settled: bool,
    /// None where nobody waits for it.
    arrival: Option<Arrival>,
}

/// An entry that was taken is on its way to where the next one of its lane goes, as long as this is there.
#[derive(Debug)]
pub struct Arrival {
    engine: Arc<Engine>,
    lane: Lane,
}

/// What stands between the caller and the next entry.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing.
    Entry(Taken),
    /// Files have to be read first.
    Read(Reading),
    /// Nothing waits.
    Empty,
    /// Nothing waits, and nothing will.
    Over,
}

/// Reading that may block.
#[derive(Debug)]
pub(crate) enum Reading {
    Scan(Arc<Engine>, Lane, u64),
    Load(Taken),
}

impl Engine {
    /// What is next in these lanes, the first of them first.
    pub(crate) fn next(self: &Arc<Self>, lanes: &[Lane]) -> Next {
        let mut state = self.state();
        if state.closed {
            return Next::Over;
        }
        state.expire(&self.plan, self.clock.now());
        for lane in lanes.iter().copied() {
            if self.keeps_back(state.lane(lane), lane) {
                continue;
            }
            if let Some(file) = state.lane(lane).unscanned_before_next() {
                return Next::Read(Reading::Scan(Arc::clone(self), lane, file));
            }
            let Some(entry) = state.lane(lane).oldest_waiting() else { continue };
            let (head, deliveries) = (entry.head, entry.deliveries + 1);
            let (content, live) = state.take(lane, head.seq);
            drop(state);
            if deliveries > 1 {
                self.meters.redelivered.inc();
            }
            let (engine, arrival) = (Arc::clone(self), Arrival { engine: Arc::clone(self), lane });
            let ready = content.is_some() || live.is_some();
            let arrival = Some(arrival);
            let taken = Taken { engine, lane, head, deliveries, content, live, settled: false, arrival };
            return if ready { Next::Entry(taken) } else { Next::Read(Reading::Load(taken)) };
        }
        let in_flight = state.lane(Lane::Urgent).in_flight() + state.lane(Lane::Normal).in_flight();
        if state.ended && in_flight == 0 && !state.has_pending() { Next::Over } else { Next::Empty }
    }

    /// Whether no more of a lane may be taken for now. What is taken cannot make room, so a buffer that is to shed keeps
    /// half of its bytes; else an output that holds as much as the buffer does would make it block.
    fn keeps_back(&self, index: &LaneIndex, lane: Lane) -> bool {
        self.plan.on_full == OnFull::ShedOldest
            && lane == Lane::Normal
            && index.in_flight() > 0
            && index.taken_bytes() >= self.plan.bytes_max / 2
    }

    /// Ends what was taken.
    fn finish(&self, lane: Lane, seq: u64, fates: &Fates) {
        let mut state = self.state();
        let finished = state.finish(lane, seq);
        if let Some(entry) = &finished {
            state.ends.add_entry(entry.head.records, fates);
        }
        let ended = state.ended;
        drop(state);
        if let Some(entry) = finished {
            self.meters.done_records.inc_by(entry.head.records.into());
        }
        self.work.raise();
        // Who was kept back may go on.
        if ended || self.plan.on_full == OnFull::ShedOldest {
            self.ready.notify_waiters();
        }
    }
}

impl Reading {
    /// Reads; gives the entry if it was one that was read. None: ask again what is next.
    pub(crate) fn run(self) -> Result<Option<Taken>> {
        match self {
            Self::Scan(engine, lane, file) => match engine.scan(lane, file) {
                Ok(()) => Ok(None),
                Err(error) if engine.note_scan_failure(lane, file, &error) => Ok(None),
                Err(error) => Err(BufferError::disk("read from the buffer")(error)),
            },
            Self::Load(mut taken) => {
                let loaded = taken.engine.load(taken.lane, taken.head.seq);
                taken.settled = !matches!(loaded, Ok(Some(_)));
                if taken.settled {
                    // It may have been the last one under way, and those who wait for the end would not see it.
                    taken.engine.ready.notify_waiters();
                }
                let Some((_, content)) = loaded? else {
                    taken.engine.work.raise();
                    return Ok(None);
                };
                taken.content = Some(content);
                Ok(Some(taken))
            }
        }
    }
}

impl Taken {
    fn content(&self) -> &Content {
        self.content.as_ref().expect("an entry is handed out with its content, or with what that was made of")
    }

    /// One that was put in as taken.
    pub(crate) fn of(engine: &Arc<Engine>, lane: Lane, seq: u64, records: u32) -> Self {
        let at = engine.clock.now();
        let head = Head { seq, at, records, origin: lane, reason_len: 0, detail_len: 0 };
        let engine = Arc::clone(engine);
        Self { engine, lane, head, deliveries: 1, content: None, live: None, settled: false, arrival: None }
    }

    #[cfg(test)]
    pub(crate) fn is_of_pusher(&self) -> bool {
        self.arrival.is_none()
    }

    /// For whoever hands entries on in their order: dropped when this one is where the next one goes.
    pub fn arrival(&mut self) -> Option<Arrival> {
        self.arrival.take()
    }

    /// What was put in.
    ///
    /// # Panics
    /// If it has [what it was made of](Taken::take_live) instead, or had.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.content().payload
    }

    /// What the payload was made of ([`Buffer::push_live`](crate::Buffer::push_live)), if it was put in just now: then
    /// it has no payload. Given back, it is read from the disk next time.
    pub fn take_live<T: Send + Sync + 'static>(&mut self) -> Option<Arc<T>> {
        self.live.take()?.what.downcast().ok()
    }

    /// Lets go of the payload: the caller has made something of it. Given back, it is read again.
    pub fn forget_payload(&mut self) {
        self.content = None;
    }

    /// How many records that is, as told when it was put in.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.head.records
    }

    /// When it was put in.
    #[must_use]
    pub fn pushed_at(&self) -> Timestamp {
        self.head.at
    }

    /// Where it came from.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Its number in its lane: larger ones were put in later. It keeps it over restarts.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.head.seq
    }

    /// How often it was taken since the buffer was opened, this time included.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// It is where it should be. Entries may be acknowledged in any order.
    pub fn ack(self) {
        self.ack_as(&Fates::default());
    }

    /// As [`ack`](Taken::ack), where other things than that became of some of its records.
    pub fn ack_as(mut self, fates: &Fates) {
        self.settled = true;
        self.engine.finish(self.lane, self.head.seq, fates);
    }

    /// It could not be sent now. It waits again, in front of all that were put in later.
    pub fn release(self) {}

    /// The target refused it for good: makes it a dead letter, and ends it here. After an error it waits again.
    ///
    /// # Errors
    /// The dead letter could not be written.
    pub async fn dead_letter(self, reason: &str, detail: &str) -> Result<(), Error> {
        let (payload, records) = (self.payload().clone(), self.head.records);
        self.dead_letter_part(payload, records, reason, detail).await?;
        let mut fates = Fates::default();
        fates.add(Fate::DeadLettered, &reason.into(), Count::new(records.into(), 0));
        self.ack_as(&fates);
        Ok(())
    }

    /// The target refused a part of it for good, of which `payload` is told in the caller's own form: makes that
    /// a dead letter. The entry itself stays taken; acknowledge it when the rest is done.
    ///
    /// # Errors
    /// The dead letter could not be written.
    pub async fn dead_letter_part(
        &self,
        payload: Bytes,
        records: u32,
        reason: &str,
        detail: &str,
    ) -> Result<(), Error> {
        let content = Content { note: Note::new(reason, detail), payload };
        let told = self.engine.push(Lane::Dead, self.lane, content, records)?;
        told.await.unwrap_or_else(|_| Err(BufferError::Closed.into()))?;
        self.engine.meters.dead_records.inc_by(records.into());
        Ok(())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.engine.state().lane_mut(self.lane).handing -= 1;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.engine.state().release(&self.engine.plan, self.lane, self.head.seq, self.content.take());
        self.engine.ready.notify_waiters();
    }
}
