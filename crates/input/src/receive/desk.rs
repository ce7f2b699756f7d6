//! From a request to records that are durable.
//!
//! Owns: letting clients in, the bounds of requests, handing batches in and waiting for their fate, counting.
//! Does not own: how requests come and answers go (`web`, each protocol), what is in a body (`codec`).
//! Invariant: records are called taken only once they are durable at the next hop; bodies and batches that are not handed
//! in yet are bounded in memory together.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sawyer_codec::pushed::{Bounds, Intake, Origin, Taken};
use sawyer_config::{ByteSize, settings};
use sawyer_model::{Error, ErrorKind, Outcome, SourceId};
use sawyer_pipeline::Stop;
use sawyer_telemetry::Clock;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::clients::{Client, Clients};
use super::meters::Meters;
use super::trouble::{Reason, Trouble};
use crate::push::PushHub;
use crate::random;

settings! {
    /// How much is taken at once.
    pub struct IntakeSettings {
        /// Longest body of a request, as it comes. A longer one is refused with 413.
        #[range(ByteSize::kib(1)..=ByteSize::mib(256))]
        pub request_bytes_max: ByteSize = ByteSize::mib(32),
        /// Longest body after decompression: a small body can become a huge one.
        #[range(ByteSize::kib(1)..=ByteSize::mib(512))]
        pub body_bytes_max: ByteSize = ByteSize::mib(128),
        /// Most records of a request.
        #[range(1..=10_000_000)]
        pub records_max: u64 = 500_000,
        /// How long a request may wait for room when everything is full, before the sender is told to come back.
        #[range(Duration::ZERO..=Duration::from_secs(60))]
        pub wait_max: Duration = Duration::from_secs(5),
        /// How long a request may wait until its records are durable, before the sender is told to send it again. They may
        /// become durable all the same, and then twice where the protocol has no ids.
        #[range(Duration::from_secs(1)..=Duration::from_secs(600))]
        pub answer_max: Duration = Duration::from_secs(30),
    }
}

/// Bytes of bodies, as they come and decompressed, that requests of one receiver hold together. Further ones wait.
const BODIES_BYTES_MAX: usize = 640 << 20;

/// Bytes of memory that one request's batch may take, however few bytes it came in.
const BATCH_BYTES_MAX: usize = 512 << 20;

/// Bytes that one permit stands for.
const PERMIT_BYTES: usize = 1024;

/// Longer bodies that are decoded at the same time: what they become is not known before.
const DECODED_MAX: usize = 4;

/// Bodies up to this many bytes are decoded where they are read; longer ones would hold up others.
const SMALL_BODY_BYTES: usize = 32 << 10;

/// Takes the requests of one receiver.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) clients: Clients,
    pub(crate) clock: Clock,
    pub(crate) intake: IntakeSettings,
    pub(crate) meters: Meters,
    hub: PushHub,
    rooms: Rooms,
    decoding: Arc<Semaphore>,
    /// Of the records that have no identity of their own: one for as long as the receiver runs, because whoever stores
    /// records remembers its sources.
    source: SourceId,
    numbers: Arc<AtomicU64>,
    stop: OnceLock<Stop>,
}

/// Where there is room for bodies and batches.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    free: Arc<Semaphore>,
    wait_max: Duration,
}

impl Rooms {
    /// Waits for room for this many bytes.
    ///
    /// # Errors
    /// `Full` if there is none for too long.
    pub(crate) async fn reserve(&self, room: &mut Room, bytes: usize) -> Result<(), Trouble> {
        let permits = bytes.div_ceil(PERMIT_BYTES).clamp(1, BODIES_BYTES_MAX / PERMIT_BYTES) as u32;
        let acquired = Arc::clone(&self.free).acquire_many_owned(permits);
        room.0.push(self.within(acquired).await?);
        Ok(())
    }

    async fn within(
        &self,
        acquired: impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>>,
    ) -> Result<OwnedSemaphorePermit, Trouble> {
        match tokio::time::timeout(self.wait_max, acquired).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Trouble::new(Reason::Full, "no room for more requests at present")),
        }
    }
}

/// Room that a body takes; given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Room(Vec<OwnedSemaphorePermit>);

impl Desk {
    /// A desk that nobody has come to yet.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn new(
        clients: Clients,
        clock: Clock,
        intake: IntakeSettings,
        meters: Meters,
        hub: PushHub,
    ) -> Result<Self, Error> {
        let source = random::source()
            .map_err(|error| Error::new(ErrorKind::Retry, "read random numbers").because(error))?;
        let free = Arc::new(Semaphore::new(BODIES_BYTES_MAX / PERMIT_BYTES));
        let rooms = Rooms { free, wait_max: intake.wait_max };
        Ok(Self {
            clients,
            clock,
            intake,
            meters,
            hub,
            rooms,
            decoding: Arc::new(Semaphore::new(DECODED_MAX)),
            source,
            numbers: Arc::default(),
            stop: OnceLock::new(),
        })
    }

    /// Lets a client in that has not sent more than its share.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn admit(&self, from: Option<IpAddr>, shown: &[&str]) -> Result<Arc<Client>, Trouble> {
        let client = self.clients.admit(from, shown).await.map_err(Trouble::from)?;
        match client.rate().check() {
            Ok(()) => Ok(client),
            Err(after) => {
                let trouble = Trouble {
                    retry_after: Some(after),
                    ..Trouble::new(Reason::Rate, "the client has sent more than its share")
                };
                self.meters.refused(client.name(), trouble.reason);
                Err(trouble)
            }
        }
    }

    /// Says by what it will be told to stop.
    pub(crate) fn stop_by(&self, stop: &Stop) {
        let _ = self.stop.set(stop.clone());
    }

    /// Waits until it is told to stop.
    pub(crate) async fn stopped(&self) {
        match self.stop.get() {
            Some(stop) => stop.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for room for this many bytes.
    ///
    /// # Errors
    /// `Full` if there is none for too long.
    pub(crate) async fn reserve(&self, room: &mut Room, bytes: usize) -> Result<(), Trouble> {
        self.rooms.reserve(room, bytes).await
    }

    /// Where there is room.
    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Takes the records of a request: `decode` reads them, in order, and they are taken once they are durable.
    ///
    /// `source` is where they lie in sequence, if the protocol tells that a request is the same again.
    ///
    /// # Errors
    /// What `decode` says, or why nothing was taken, or that it is not known.
    pub(crate) async fn take<R: Send + 'static>(
        &self,
        client: &Arc<Client>,
        source: Option<SourceId>,
        body: (usize, Room),
        decode: impl FnOnce(&mut Intake) -> Result<R, Trouble> + Send + 'static,
    ) -> Result<R, Trouble> {
        self.take_knowing(client, source, body, decode).await.map(|(result, _)| result)
    }

    /// The same, and the sources of the records that were there before, one for each, as far as the next hop knows.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    pub(crate) async fn take_knowing<R: Send + 'static>(
        &self,
        client: &Arc<Client>,
        source: Option<SourceId>,
        body: (usize, Room),
        decode: impl FnOnce(&mut Intake) -> Result<R, Trouble> + Send + 'static,
    ) -> Result<(R, Vec<SourceId>), Trouble> {
        let taken = self.take_uncounted(client, source, body, decode).await;
        match &taken {
            Ok(_) => self.meters.taken(client.name()),
            Err(trouble) => self.meters.refused(client.name(), trouble.reason),
        }
        taken
    }

    async fn take_uncounted<R: Send + 'static>(
        &self,
        client: &Arc<Client>,
        source: Option<SourceId>,
        (bytes, room): (usize, Room),
        decode: impl FnOnce(&mut Intake) -> Result<R, Trouble> + Send + 'static,
    ) -> Result<(R, Vec<SourceId>), Trouble> {
        let origin = self.origin(client, source);
        let work = move || {
            let mut intake = Intake::new(origin);
            decode(&mut intake).map(|result| (result, intake.finish()))
        };
        let mut turn = None;
        let decoded = if bytes <= SMALL_BODY_BYTES {
            work()
        } else {
            turn = Some(self.rooms.within(Arc::clone(&self.decoding).acquire_owned()).await?);
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|panic| Trouble::new(Reason::Bug, format!("read the body: {panic}")))?
        };
        let (result, Taken { batch, foreign }) = decoded?;
        client.rate().charge(batch.len(), bytes);
        self.meters.foreign.inc_by(foreign);
        // The body is gone, and the batch may be much larger: its room counts instead.
        drop(room);
        let mut room = Room::default();
        self.reserve(&mut room, batch.bytes()).await?;
        drop(turn);
        let known = self.hand_in(batch, room).await?;
        Ok((result, known))
    }

    /// From whom the records of a request are. `source` is the request's own, if it has one.
    pub(crate) fn origin(&self, client: &Client, source: Option<SourceId>) -> Origin {
        let (source, numbers) = match source {
            Some(source) => (source, None),
            None => (self.source, Some(Arc::clone(&self.numbers))),
        };
        let bounds = Bounds {
            records_max: usize::try_from(self.intake.records_max).unwrap_or(usize::MAX),
            batch_bytes_max: BATCH_BYTES_MAX,
        };
        Origin {
            stream: Arc::clone(client.stream()),
            trust: Arc::clone(client.trust()),
            source,
            numbers,
            observed: self.clock.now(),
            bounds,
        }
    }

    /// Hands a batch in and waits until it is durable; gives the sources of the records that were there before.
    ///
    /// # Errors
    /// That nothing was taken, or that it is not known.
    pub(crate) async fn hand_in(
        &self,
        batch: sawyer_model::Batch,
        room: Room,
    ) -> Result<Vec<SourceId>, Trouble> {
        let pushed = async {
            let pushed = self.hub.push_knowing(batch).await;
            drop(room);
            pushed
        };
        match tokio::time::timeout(self.intake.answer_max, pushed).await {
            Ok(Ok((Outcome::Durable, known))) => Ok(known),
            Ok(Ok((Outcome::Undelivered, _))) => Err(Trouble::new(
                Reason::Undelivered,
                "the records could not be made durable; send them again",
            )),
            Ok(Err(error)) if error.kind() == ErrorKind::Retry => {
                Err(Trouble::new(Reason::Full, error.message()))
            }
            Ok(Err(error)) => Err(Trouble::new(Reason::Closed, error.message())),
            Err(_) => Err(Trouble::new(Reason::Undelivered, "the records did not become durable in time")),
        }
    }
}
