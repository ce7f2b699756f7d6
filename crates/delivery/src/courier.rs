//! Sends what was handed in, until every item has its verdict.
//!
//! Owns: requests under way, pausing after failures, trying again, cutting in halves, what follows from verdicts.
//! Does not own: which items make a request (`waiting`), how many requests at once (`adaptive`), how one is sent
//! ([`Target`]), what becomes of rejected items ([`DeadLetters`]).
//! Invariant: an item's acknowledgement says "durable" only after the verdict `Done` or `Duplicate`, or when it is
//! kept as a dead letter. However the courier ends, every other item is let go of unacknowledged.
//!
//! After a request that failed as a whole (nobody answers, everything is refused for now) one request at a time is
//! sent after a pause, and the pauses grow; the first that succeeds opens the way again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sawyer_model::{Error, ErrorKind, Fate};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::adaptive::Adaptive;
use crate::letters::{DeadLetters, Letter};
use crate::random::Random;
use crate::state::{Identity, State, Status};
use crate::target::{Item, Limits, Payload, Target};
use crate::verdict::{Answer, Trouble, Verdict};
use crate::waiting::{Entry, Group, Waiting};

mod settle;

#[cfg(test)]
mod tests;

/// Bytes that one permit stands for; semaphores count in `u32`.
const PERMIT_BYTES: usize = 1024;

/// Parcels that wait to be looked at. Their bytes are bounded beside that.
const PARCELS_MAX: usize = 256;

/// Room for urgent items beside that for all others, as a part of it.
const URGENT_PART: u32 = 8;

/// The reason of dead letters in the ledger; what a target says of each stands with the letter.
const REJECTED: &str = "rejected";

/// Requests with urgent items that may be under way beside as many as are allowed, so that they need not wait until a
/// slow target has answered another one.
const URGENT_REQUESTS_MAX: usize = 1;

/// How often numbers that grow by themselves are brought up to date.
const TICK: std::time::Duration = std::time::Duration::from_secs(5);

/// Where items are handed in. The courier delivers the rest and ends once it is dropped.
#[derive(Debug)]
pub struct Outbox<P> {
    to: mpsc::Sender<Parcel<P>>,
    room: Arc<Semaphore>,
    permits: u32,
    urgent_room: Arc<Semaphore>,
    urgent_permits: u32,
    limits: Limits,
    state: Arc<State>,
    crowd: Arc<Crowd>,
}

/// Those who wait for room: until some is made nothing more comes, so nothing need be waited for.
#[derive(Debug, Default)]
struct Crowd {
    size: AtomicUsize,
    grew: Notify,
}

/// One of them.
struct InCrowd<'a>(&'a Crowd);

#[derive(Debug)]
struct Parcel<P> {
    items: Vec<Item<P>>,
    room: Arc<OwnedSemaphorePermit>,
    urgent: bool,
}

/// The courier has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the courier has ended")]
pub struct CourierGone;

/// Delivers; [`Courier::run`] does the work.
#[derive(Debug)]
pub struct Courier<T: Target> {
    target: Arc<T>,
    from: mpsc::Receiver<Parcel<T::Payload>>,
    room: Arc<Semaphore>,
    permits: u32,
    limits: Limits,
    letters: LettersOf,
    waiting: Waiting<T::Payload>,
    adaptive: Adaptive,
    gate: Gate,
    random: Random,
    requests: JoinSet<Returned<T::Payload>>,
    /// How many of them are beside those that are allowed.
    beside: usize,
    letters_under_way: JoinSet<()>,
    state: Arc<State>,
    crowd: Arc<Crowd>,
}

/// Where rejected items go.
struct LettersOf(Arc<dyn DeadLetters>);

impl std::fmt::Debug for LettersOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeadLetters")
    }
}

/// A request that came back.
#[derive(Debug)]
struct Returned<P> {
    group: Group<P>,
    answer: Answer,
    started: Instant,
    saturated: bool,
    /// Whether it was sent beside as many as were allowed.
    beside: bool,
}

/// Shut after a failure, for a while.
#[derive(Debug)]
struct Gate {
    failures: u32,
    last_failure: Option<Instant>,
    until: Option<Instant>,
}

/// A courier for this target and the box that it empties.
pub fn courier<T: Target>(
    target: Arc<T>,
    limits: Limits,
    identity: Identity,
    letters: Arc<dyn DeadLetters>,
) -> (Outbox<T::Payload>, Courier<T>) {
    let (to, from) = mpsc::channel(PARCELS_MAX);
    let permits = u32::try_from((limits.held_bytes_max / PERMIT_BYTES).max(1)).unwrap_or(u32::MAX);
    let permits = permits.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
    let room = Arc::new(Semaphore::new(permits as usize));
    let urgent_permits = (permits / URGENT_PART).max(1);
    let urgent_room = Arc::new(Semaphore::new(urgent_permits as usize));
    let (state, crowd) = (Arc::new(State::new(identity)), Arc::default());
    let courier = Courier {
        target,
        from,
        room: Arc::clone(&room),
        permits,
        waiting: Waiting::new(limits.clone()),
        adaptive: Adaptive::new(limits.requests_max),
        limits: limits.clone(),
        letters: LettersOf(letters),
        gate: Gate { failures: 0, last_failure: None, until: None },
        random: Random::new(),
        requests: JoinSet::new(),
        beside: 0,
        letters_under_way: JoinSet::new(),
        state: Arc::clone(&state),
        crowd: Arc::clone(&crowd),
    };
    (Outbox { to, room, permits, urgent_room, urgent_permits, limits, state, crowd }, courier)
}

impl Crowd {
    fn join(&self) -> InCrowd<'_> {
        self.size.fetch_add(1, Ordering::Relaxed);
        self.grew.notify_one();
        InCrowd(self)
    }

    fn is_there(&self) -> bool {
        self.size.load(Ordering::Relaxed) > 0
    }
}

impl Drop for InCrowd<'_> {
    fn drop(&mut self) {
        self.0.size.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<P: Payload> Outbox<P> {
    /// Waits for room and hands items in. Where more than the room comes at once, it passes alone. `beside` is what
    /// is held as long as they are beside their own bytes, such as the records that they were made of.
    ///
    /// # Errors
    /// If the courier has ended; the items are let go of unacknowledged.
    pub async fn send(&self, items: Vec<Item<P>>, beside: usize) -> Result<(), CourierGone> {
        self.hand_in(items, beside, false).await
    }

    /// The same with items that are sent before all that wait, in requests of their own order, with room of their own.
    /// Where a partition is ordered, they stand in line like all others.
    ///
    /// # Errors
    /// As of [`Outbox::send`].
    pub async fn send_urgent(&self, items: Vec<Item<P>>, beside: usize) -> Result<(), CourierGone> {
        self.hand_in(items, beside, true).await
    }

    async fn hand_in(&self, items: Vec<Item<P>>, beside: usize, urgent: bool) -> Result<(), CourierGone> {
        let (room, permits) = match urgent {
            false => (&self.room, self.permits),
            true => (&self.urgent_room, self.urgent_permits),
        };
        let held = |item: &Item<P>| item.payload.held_bytes().unwrap_or(item.bytes);
        let bytes = items.iter().map(held).sum::<usize>() + beside;
        let wanted = u32::try_from(bytes.div_ceil(PERMIT_BYTES).max(1)).unwrap_or(u32::MAX).min(permits);
        let room = match Arc::clone(room).try_acquire_many_owned(wanted) {
            Ok(room) => room,
            Err(TryAcquireError::Closed) => return Err(CourierGone),
            Err(TryAcquireError::NoPermits) => {
                let _waits = self.crowd.join();
                tokio::select! {
                    room = Arc::clone(room).acquire_many_owned(wanted) => room.map_err(|_| CourierGone)?,
                    () = self.to.closed() => return Err(CourierGone),
                }
            }
        };
        self.to.send(Parcel { items, room: Arc::new(room), urgent }).await.map_err(|_| CourierGone)
    }

    /// What the target takes at once, as far as is known by now: what it refused as too large teaches a smaller number.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let limits = self.limits.clone();
        Limits { request_bytes_max: limits.request_bytes_max.min(self.state.request_bytes_max()), ..limits }
    }

    /// How the delivery fares.
    #[must_use]
    pub fn status(&self) -> Status {
        self.state.status()
    }
}

impl<T: Target> Courier<T> {
    /// Delivers until the outbox is dropped and everything has its verdict. Dropping it lets go of what is left.
    ///
    /// # Errors
    /// If a request or the dead letters panicked.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut open = true;
        loop {
            self.send_what_is_due();
            self.tell();
            if !open && self.waiting.is_empty() && self.letters_under_way.is_empty() {
                return Ok(());
            }
            let wake = self.wake_at();
            tokio::select! {
                Some(returned) = self.requests.join_next() => {
                    let returned = returned.map_err(panicked)?;
                    self.beside -= usize::from(returned.beside);
                    self.settle(returned);
                }
                Some(kept) = self.letters_under_way.join_next() => kept.map_err(panicked)?,
                parcel = self.from.recv(), if open => match parcel {
                    Some(parcel) => self.take_in(parcel),
                    None => {
                        open = false;
                        self.waiting.close();
                    }
                },
                () = self.crowd.grew.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn take_in(&mut self, parcel: Parcel<T::Payload>) {
        let now = Instant::now();
        let mut letters = Vec::new();
        let Parcel { items, room, urgent } = parcel;
        for item in items {
            let entry = Entry { item, since: now, retries: 0, urgent: false, room: Arc::clone(&room) };
            if entry.item.bytes > self.limits.item_bytes_max {
                let (bytes, most) = (entry.item.bytes, self.limits.item_bytes_max);
                letters
                    .push((entry, format!("too large: {bytes} bytes, and the target takes {most} at most")));
            } else if urgent {
                self.waiting.push_urgent(entry);
            } else {
                self.waiting.push(entry);
            }
        }
        self.reject(letters);
    }

    /// How many requests may be under way.
    fn allowed(&self) -> usize {
        if self.gate.failures > 0 { 1 } else { self.adaptive.allowed() }
    }

    fn send_what_is_due(&mut self) {
        let now = Instant::now();
        if self.gate.until.is_some_and(|until| until > now) {
            return;
        }
        // Where nothing succeeds, one request at a time tells as much as several do.
        while self.beside < URGENT_REQUESTS_MAX && self.limits.requests_max > 1 && self.gate.failures == 0 {
            let Some(group) = self.waiting.take_urgent(now) else { break };
            self.beside += 1;
            self.spawn(group, false, true);
        }
        // The requests that are allowed are for all, urgent items first: however many of those come, others go too.
        while self.has_room() {
            let mut group = self.waiting.take(now);
            if group.is_none() && self.crowd.is_there() {
                group = self.waiting.take_early(now);
            }
            let Some(group) = group else { return };
            let saturated = self.requests.len() - self.beside + 1 >= self.allowed();
            self.spawn(group, saturated, false);
        }
    }

    /// Whether one more request may be under way.
    fn has_room(&self) -> bool {
        self.requests.len() - self.beside < self.allowed()
    }

    fn spawn(&mut self, group: Group<T::Payload>, saturated: bool, beside: bool) {
        let target = Arc::clone(&self.target);
        self.state.sent();
        self.requests.spawn(async move {
            let started = Instant::now();
            let (group, answer) = send(&*target, group).await;
            Returned { group, answer, started, saturated, beside }
        });
    }

    /// When there is something to do though nothing happens.
    fn wake_at(&self) -> Instant {
        let tick = Instant::now() + TICK;
        if !self.has_room() {
            return tick;
        }
        let Some(turn) = self.waiting.next_turn() else { return tick };
        turn.max(self.gate.until.unwrap_or(turn)).min(tick)
    }

    fn tell(&self) {
        let free = self.room.available_permits().min(self.permits as usize);
        let held = (self.permits as usize - free) * PERMIT_BYTES;
        self.state.moved(self.requests.len(), self.allowed(), held);
        self.state.learned(self.waiting.request_bytes_max());
    }

    /// Sees to it that rejected items are kept, and acknowledges those that are.
    fn reject(&mut self, rejected: Vec<(Entry<T::Payload>, String)>) {
        if rejected.is_empty() {
            return;
        }
        let single = |(entry, reason): (Entry<T::Payload>, String)| {
            entry.apart().map(move |entry| (entry, reason.clone())).collect::<Vec<_>>()
        };
        let rejected: Vec<_> = rejected.into_iter().flat_map(single).collect();
        self.state.rejected(rejected.len());
        if let Some((_, reason)) = rejected.first() {
            self.state.noted(reason.clone());
        }
        let letters: Vec<_> = rejected
            .into_iter()
            .map(|(Entry { item, room, .. }, reason)| {
                (Letter { record: item.record, reason }, item.ack, room)
            })
            .collect();
        let keeper = Arc::clone(&self.letters.0);
        let name = self.state.name().to_owned();
        let longest = self.limits.retry_pause_max;
        self.letters_under_way.spawn(async move {
            let mut random = Random::new();
            let mut failures = 0;
            // One by one, so that what is kept already is not kept again when the next one cannot be.
            for (letter, ack, _room) in letters {
                let kept = loop {
                    match keeper.put(&name, std::slice::from_ref(&letter)).await {
                        Err(error) if error.kind() == ErrorKind::Retry => {
                            failures += 1;
                            tokio::time::sleep(random.pause(failures, longest)).await;
                        }
                        settled => break settled,
                    }
                };
                if kept.is_ok() {
                    ack.ended(Fate::DeadLettered, REJECTED);
                }
            }
        });
    }
}

async fn send<T: Target>(target: &T, group: Group<T::Payload>) -> (Group<T::Payload>, Answer) {
    // The items lie in the entries; a request borrows them as one slice.
    let Group { entries, partition, fixed, due } = group;
    let mut rest = Vec::with_capacity(entries.len());
    let mut items = Vec::with_capacity(entries.len());
    for Entry { item, since, retries, urgent, room } in entries {
        items.push(item);
        rest.push((since, retries, urgent, room));
    }
    let answer = target.send(&items).await;
    let entries = items.into_iter().zip(rest);
    let entry = |(item, (since, retries, urgent, room))| Entry { item, since, retries, urgent, room };
    let entries = entries.map(entry).collect();
    (Group { entries, partition, fixed, due }, answer)
}

fn panicked(error: JoinError) -> Error {
    Error::new(ErrorKind::Bug, "a delivery panicked").because(error)
}
