//! Records that others of this process hand in: what clients post to the server's API.
//!
//! Owns: the hub between the server's routes and the pipelines.
//! Does not own: HTTP, reading bodies (`server`, `codec`).
//! Invariant: a push is answered only once its batch is durable, or will not be; what waits is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sawyer_config::{Setting, Settings, settings};
use sawyer_model::{Ack, Batch, Error, ErrorKind, Outcome, SourceId};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop};
use tokio::sync::{Semaphore, oneshot, watch};

settings! {
    /// Takes what clients post to `/api/v1/ingest`.
    pub struct PushSettings {
        /// How long a request may wait for room when everything is full, before the client is told to come back.
        #[range(Duration::ZERO..=Duration::from_secs(60))]
        pub wait_max: Duration = Duration::from_secs(5),
    }
}

/// Bytes of batches that wait for room in the pipelines at most; further ones wait before they count as taken.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// How long what is handed in waits for an input that is about to open.
const OPENING_WAIT_MAX: Duration = Duration::from_secs(20);

/// Bytes that one permit stands for.
const PERMIT_BYTES: usize = 1024;

/// Where batches are handed in. Clones are the same hub; it is open while an input of the kind `push` runs.
#[derive(Clone, Debug)]
pub struct PushHub(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    door: watch::Sender<Way>,
    room: Semaphore,
    /// Whether an input has the way in.
    taken: AtomicBool,
    /// Whether another input will take the way in when this one has ended.
    reopening: AtomicBool,
}

/// Whether there is a way in.
#[derive(Clone, Debug, Default)]
enum Way {
    /// No input of the kind is configured.
    #[default]
    Absent,
    /// The input has ended.
    Closed,
    /// An input was opened and will run in a moment.
    Opening,
    Open(Door),
}

/// The way in, while there is one.
#[derive(Clone, Debug)]
struct Door {
    outlet: Outlet,
    stop: Stop,
    wait_max: Duration,
}

/// What became of a batch, and whose records were there before.
type Reported = (Outcome, Vec<SourceId>);

impl Default for PushHub {
    fn default() -> Self {
        Self(Arc::new(Hub {
            door: watch::Sender::default(),
            room: Semaphore::new(WAITING_BYTES_MAX / PERMIT_BYTES),
            taken: AtomicBool::new(false),
            reopening: AtomicBool::new(false),
        }))
    }
}

impl PushHub {
    /// A hub without an input yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands in a batch and waits until it is known what became of it. A batch that accounts for nothing is durable at
    /// once.
    ///
    /// # Errors
    /// `Retry` if there was no room for too long: nothing of the batch was taken. `Invalid` if there is no input of
    /// the kind `push`. `Closed` if Sawyer is stopping: nothing was taken, or it was taken and its fate is not known.
    pub async fn push(&self, batch: Batch) -> Result<Outcome, Error> {
        self.push_knowing(batch).await.map(|(outcome, _)| outcome)
    }

    /// The same, and the sources of the records that were there before, one for each, as far as the next hop knows.
    ///
    /// # Errors
    /// As of [`push`](Self::push).
    pub(crate) async fn push_knowing(&self, mut batch: Batch) -> Result<Reported, Error> {
        if batch.is_empty() && batch.covered().is_empty() {
            return Ok((Outcome::Durable, Vec::new()));
        }
        batch.set_whole();
        let door = self.door().await?;
        let reported = self.send(&door, batch).await?;
        drop(door);
        reported.await.map_err(|_| closed())
    }

    /// Says that the inputs are being exchanged for others: what is handed in meanwhile waits for the next one.
    pub fn set_reopening(&self, reopening: bool) {
        self.0.reopening.store(reopening, Ordering::SeqCst);
        if !reopening && !self.0.taken.load(Ordering::SeqCst) {
            self.0.door.send_if_modified(|way| {
                let waits = matches!(way, Way::Opening);
                if waits {
                    *way = Way::Absent;
                }
                waits
            });
        }
    }

    /// Whether an input takes what is handed in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(*self.0.door.borrow(), Way::Open(_))
    }

    async fn send(&self, door: &Door, batch: Batch) -> Result<oneshot::Receiver<Reported>, Error> {
        let permits = batch.bytes().div_ceil(PERMIT_BYTES).clamp(1, WAITING_BYTES_MAX / PERMIT_BYTES);
        let (report, reported) = oneshot::channel();
        let taking = async {
            let _room = self.0.room.acquire_many(permits as u32).await.map_err(|_| closed())?;
            // Whoever asked may be gone by then.
            let ack = Ack::tallied(move |outcome, tally| {
                let _ = report.send((outcome, tally.known));
            });
            door.outlet.send(batch, ack).await.map_err(|error| closed().because(error))
        };
        tokio::select! {
            biased;
            taken = taking => taken?,
            () = self.closing(&door.stop) => return Err(closed()),
            () = tokio::time::sleep(door.wait_max) => {
                return Err(Error::new(ErrorKind::Retry, "no room for more records at present"));
            }
        }
        Ok(reported)
    }

    /// Waits until the input ends for good. When it is exchanged, what was handed in still passes.
    async fn closing(&self, stop: &Stop) {
        stop.stopped().await;
        if self.0.reopening.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    /// The way in; waits for one that is about to open.
    async fn door(&self) -> Result<Door, Error> {
        let mut way = self.0.door.subscribe();
        let settled = way.wait_for(|way| !matches!(way, Way::Opening));
        let settled = tokio::time::timeout(OPENING_WAIT_MAX, settled).await;
        let settled = settled.map_err(|_| closed())?.map_err(|_| closed())?;
        match &*settled {
            Way::Open(door) => Ok(door.clone()),
            Way::Absent => {
                let message =
                    "this process takes no pushed records: its configuration has no input of the kind `push`";
                Err(Error::new(ErrorKind::Invalid, message))
            }
            Way::Closed | Way::Opening => Err(closed()),
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "records are not taken here at present")
}

/// The kind `push`, fed by this hub.
pub(crate) fn kind(hub: &PushHub) -> Kind<Box<dyn InputPlan>> {
    let hub = hub.clone();
    Kind {
        name: "push",
        reference: PushSettings::reference,
        read: Box::new(move |at, problems| {
            let settings = PushSettings::read(at, problems)?;
            Some(Box::new(Push { hub: hub.clone(), wait_max: settings.wait_max }))
        }),
    }
}

#[derive(Debug)]
struct Push {
    hub: PushHub,
    wait_max: Duration,
}

impl InputPlan for Push {
    fn open(self: Box<Self>, _: &Context) -> Result<Box<dyn Input>, Error> {
        let taken = "another input of the kind `push` takes all that is pushed";
        Ok(Box::new(OpenPush::open(self.hub, self.wait_max, taken)?))
    }
}

/// An input that takes what is handed in at a hub. It closes the way on every way out, also if it never runs.
#[derive(Debug)]
pub(crate) struct OpenPush {
    close: Close,
    wait_max: Duration,
}

impl OpenPush {
    /// Says that there will be a way in.
    ///
    /// # Errors
    /// `Invalid` with the words `taken` if there is one already.
    pub(crate) fn open(hub: PushHub, wait_max: Duration, taken: &'static str) -> Result<Self, Error> {
        if hub.0.taken.swap(true, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Invalid, taken));
        }
        hub.0.door.send_replace(Way::Opening);
        Ok(Self { close: Close(hub), wait_max })
    }
}

impl Input for OpenPush {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let door = Door { outlet: to, stop: stop.clone(), wait_max: self.wait_max };
            self.close.0.0.door.send_replace(Way::Open(door));
            stop.stopped().await;
            Ok(())
        })
    }
}

#[derive(Debug)]
struct Close(PushHub);

impl Drop for Close {
    fn drop(&mut self) {
        let hub = &self.0.0;
        hub.taken.store(false, Ordering::SeqCst);
        let reopens = hub.reopening.load(Ordering::SeqCst);
        hub.door.send_replace(if reopens { Way::Opening } else { Way::Closed });
    }
}
