//! The buffer of a running output.
//!
//! Owns: the thread that makes the turns, and waiting.
//! Does not own: what a turn does (`engine`).
//! Invariant: no caller's thread waits for a disk.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use sawyer_disk::Disk;
use sawyer_model::{Error, Fates};
use sawyer_telemetry::{Clock, Metrics};
use tokio::sync::{oneshot, watch};

use crate::damage::Damage;
use crate::engine::Engine;
use crate::entry::{Lane, Note};
use crate::error::BufferError;
use crate::inspect::{Content, EntryInfo, LaneSummary};
use crate::lane;
use crate::reserve::Reserve;
use crate::settings::{BufferPlan, OnFull};
use crate::state::{Needless, Pending};
use crate::taken::{Next, Taken};

/// The buffer in front of one output. Clones share it; it is closed when the last is dropped.
#[derive(Debug, Clone)]
pub struct Buffer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Buffer {
    /// Opens the buffer in the folder that is the root of `disk`, for the output `name`. Nothing runs before the
    /// first entry is put in or taken, so one that is dropped at once leaves nothing behind.
    ///
    /// # Errors
    /// `Conflict` if another process has it open, `Invalid` if a newer version wrote it, `Retry` if the folder
    /// cannot be read.
    pub fn open(
        disk: Arc<dyn Disk>,
        plan: BufferPlan,
        clock: Clock,
        metrics: &Metrics,
        name: &str,
    ) -> Result<Self, Error> {
        let engine = Engine::open(disk, plan, clock, metrics, name)?;
        Ok(Self(Arc::new(Shared { engine, thread: Mutex::new(None) })))
    }

    /// Puts something in, and comes back when it is as safe as the sync policy says: then its input may be
    /// acknowledged. Waits while the buffer is full, unless that makes it shed. Who stops waiting may find it
    /// in the buffer or not.
    ///
    /// # Errors
    /// `Retry` if it could not be written, `Invalid` if it is too large, `Closed` if the buffer was closed or
    /// [ended](Buffer::end).
    ///
    /// # Panics
    /// For [`Lane::Dead`]; see [`push_dead_letter`](Buffer::push_dead_letter).
    pub async fn push(&self, lane: Lane, payload: Bytes, records: u32) -> Result<(), Error> {
        self.put(lane, payload, records, None, std::future::pending()).await.map(|_| ())
    }

    /// The same with what the payload was made of, and how many bytes of memory that takes. It is kept in the place of
    /// the payload where there is memory for it, so that it need not be made again when the entry is taken soon
    /// ([`Taken::take_live`]). Once that is `needless` nobody waits for room any more; false if it is not in then.
    ///
    /// # Errors
    /// As for [`push`](Buffer::push).
    ///
    /// # Panics
    /// As of [`push`](Buffer::push).
    pub async fn push_live<T: Send + Sync + 'static>(
        &self,
        lane: Lane,
        payload: Bytes,
        records: u32,
        live: Option<(Arc<T>, u64)>,
        needless: impl Future<Output = ()>,
    ) -> Result<bool, Error> {
        let live = live.map(|(what, bytes)| lane::Live { what, bytes });
        self.put(lane, payload, records, live, needless).await
    }

    async fn put(
        &self,
        lane: Lane,
        payload: Bytes,
        records: u32,
        live: Option<lane::Live>,
        needless: impl Future<Output = ()>,
    ) -> Result<bool, Error> {
        assert!(lane != Lane::Dead, "dead letters are made of taken entries");
        self.0.start()?;
        let given_up = Needless::default();
        let mut told = self.ask_in(lane, payload, records, live, false, &given_up)?;
        let put = tokio::select! {
            biased;
            put = &mut told => Some(put),
            () = needless => None,
        };
        if let Some(put) = put {
            return put.unwrap_or_else(|_| Err(BufferError::Closed.into())).map(|_| true);
        }
        given_up.set();
        self.0.engine.state().withdraw(lane);
        // An error is as good: it is not in.
        Ok(matches!(told.await, Ok(Ok(_))))
    }

    fn ask_in(
        &self,
        lane: Lane,
        payload: Bytes,
        records: u32,
        live: Option<lane::Live>,
        out: bool,
        needless: &Needless,
    ) -> Result<oneshot::Receiver<Result<u64, Error>>, Error> {
        let content = lane::Content { note: Note::default(), payload };
        let (done, told) = oneshot::channel();
        let needless = needless.clone();
        self.0.engine.enqueue(lane, Pending { records, origin: lane, content, live, out, needless, done })?;
        Ok(told)
    }

    /// Puts something in that is being sent already: it is taken in the same moment. Given back, it waits as if it had
    /// been taken from the lane. Once that is `needless`, nobody waits for room any more: then none, unless it was being
    /// written and is in.
    ///
    /// # Errors
    /// As for [`push`](Buffer::push).
    ///
    /// # Panics
    /// As of [`push`](Buffer::push).
    pub async fn push_taken(
        &self,
        lane: Lane,
        payload: Bytes,
        records: u32,
        needless: impl Future<Output = ()>,
    ) -> Result<Option<Taken>, Error> {
        assert!(lane != Lane::Dead, "dead letters are made of taken entries");
        self.0.start()?;
        let (given_up, engine) = (Needless::default(), Arc::clone(&self.0.engine));
        let told = self.ask_in(lane, payload, records, None, true, &given_up)?;
        let mut promised = Promised { told, engine, lane, records };
        let told = tokio::select! {
            biased;
            told = &mut promised.told => Some(told),
            () = needless => None,
        };
        if let Some(told) = told {
            return promised.fulfilled(told).map(Some);
        }
        given_up.set();
        self.0.engine.state().withdraw(lane);
        // An error is as good: it is not in.
        Ok(promised.taken().await.ok())
    }

    /// Whether something may go past a lane now, so many bytes being under way like that then. Nothing may wait in the
    /// lane, and what was taken from it has to have [arrived](Taken::arrival), so that nothing is overtaken. A buffer that
    /// [sheds](Buffer::sheds) keeps half of its bytes for what can be shed.
    #[must_use]
    pub fn may_pass(&self, lane: Lane, bytes: u64) -> bool {
        self.0.engine.state().may_pass(&self.0.engine.plan, lane, bytes)
    }

    /// Whether the only thing that anybody has for a lane waits for space on a full disk: then it is as well sent past the
    /// lane, and overtakes nothing. Without that nothing would be sent until somebody else makes space.
    #[must_use]
    pub fn is_stuck(&self, lane: Lane) -> bool {
        self.0.engine.is_stuck(lane)
    }

    /// Tells whenever a full disk has kept something out, which then is worth another look at [`is_stuck`](Buffer::is_stuck).
    #[must_use]
    pub fn kept_out(&self) -> watch::Receiver<u64> {
        self.0.engine.kept_out.subscribe()
    }

    /// Whether the disk was full when something was last written.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.0.engine.is_disk_full()
    }

    /// Whether the oldest make room when it is full, so that nobody waits for room in it.
    #[must_use]
    pub fn sheds(&self) -> bool {
        self.0.engine.plan.on_full == OnFull::ShedOldest
    }

    /// Books records that never were in the buffer, because they came to their end before they had to be.
    pub fn pass(&self, records: u32, fates: &Fates) {
        self.0.engine.pass(records, fates);
    }

    /// Puts something among the dead letters that was not taken as it is: a part of an entry, made anew. It can be
    /// looked at and sent again like any other.
    ///
    /// # Errors
    /// As for [`push`](Buffer::push); an ended buffer takes dead letters until it is closed.
    pub async fn push_dead_letter(
        &self,
        reason: &str,
        detail: &str,
        payload: Bytes,
        records: u32,
    ) -> Result<(), Error> {
        self.0.start()?;
        let content = lane::Content { note: Note::new(reason, detail), payload };
        let told = self.0.engine.push(Lane::Dead, Lane::Normal, content, records)?;
        told.await.unwrap_or_else(|_| Err(BufferError::Closed.into())).map(|_| ())
    }

    /// Waits for the next entry and takes it: urgent ones first, else in their order. Several may be out at a
    /// time. None when the buffer was closed, or was [ended](Buffer::end) and everything in it is done.
    ///
    /// # Errors
    /// `Retry` if files cannot be read. Try again a little later; what cannot be read three times is left out.
    pub async fn take(&self) -> Result<Option<Taken>, Error> {
        self.take_of(&[Lane::Urgent, Lane::Normal]).await
    }

    /// The same with entries of one lane only, for whoever sends urgent ones beside the others. None as of
    /// [`take`](Buffer::take): when everything is over, in whatever lane.
    ///
    /// # Errors
    /// As of [`take`](Buffer::take).
    ///
    /// # Panics
    /// For [`Lane::Dead`], which nothing leaves by itself.
    pub async fn take_from(&self, lane: Lane) -> Result<Option<Taken>, Error> {
        assert!(lane != Lane::Dead, "dead letters wait for a person");
        self.take_of(&[lane]).await
    }

    async fn take_of(&self, lanes: &[Lane]) -> Result<Option<Taken>, Error> {
        self.0.start()?;
        let engine = &self.0.engine;
        loop {
            let mut ready = std::pin::pin!(engine.ready.notified());
            ready.as_mut().enable();
            match engine.next(lanes) {
                Next::Entry(taken) => return Ok(Some(taken)),
                Next::Over => return Ok(None),
                Next::Empty => ready.await,
                Next::Read(reading) => {
                    let read = tokio::task::spawn_blocking(move || reading.run()).await;
                    let read = read.map_err(|_| Error::from(BufferError::Closed))?;
                    if let Some(taken) = read? {
                        return Ok(Some(taken));
                    }
                }
            }
        }
    }

    /// A handle for one who puts in, on the room for what is lost where it is.
    #[must_use]
    pub fn reserve(&self) -> Reserve {
        Reserve::new(Arc::downgrade(&self.0.engine))
    }

    /// Nothing more will be put in: [`take`](Buffer::take) gives what is there, and then none.
    pub fn end(&self) {
        self.0.engine.state().ended = true;
        self.0.engine.ready.notify_waiters();
    }

    /// Lets nobody in or out any more and brings everything to the disk. What was taken and is not acknowledged
    /// by now is delivered again after the next start. The folder is free for others when all [`Taken`] are gone.
    pub async fn close(&self) {
        let shared = Arc::clone(&self.0);
        // Only a panic would be an error, and then there is nothing left to close.
        let _ = tokio::task::spawn_blocking(move || shared.stop()).await;
    }

    /// What each lane holds, as far as that is known without reading files.
    #[must_use]
    pub fn summary(&self) -> Vec<LaneSummary> {
        self.0.engine.summary()
    }

    /// What was found damaged since the buffer was opened.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        self.0.engine.damage.list()
    }

    /// The dead letters, oldest first.
    ///
    /// # Errors
    /// `Retry` if files cannot be read.
    pub async fn dead_letters(&self) -> Result<Vec<EntryInfo>, Error> {
        self.entries(Lane::Dead).await
    }

    /// The entries of a lane, oldest first, those that are being sent among them.
    ///
    /// # Errors
    /// `Retry` if files cannot be read.
    pub async fn entries(&self, lane: Lane) -> Result<Vec<EntryInfo>, Error> {
        self.blocking(move |engine| engine.list(lane)).await
    }

    /// One entry with its payload.
    ///
    /// # Errors
    /// `NotFound` if it is gone, `Corrupt` if it is damaged, `Retry` if it cannot be read.
    pub async fn content(&self, lane: Lane, id: u64) -> Result<Content, Error> {
        self.blocking(move |engine| engine.content(lane, id)).await
    }

    /// One dead letter with its payload.
    ///
    /// # Errors
    /// `NotFound` if it is gone, `Corrupt` if it is damaged, `Retry` if it cannot be read.
    pub async fn dead_letter(&self, id: u64) -> Result<Content, Error> {
        self.content(Lane::Dead, id).await
    }

    /// Puts dead letters into the normal lane again, each of which then is no dead letter any more.
    ///
    /// # Errors
    /// As of [`push`](Buffer::push) and [`dead_letter`](Buffer::dead_letter); those before are done.
    pub async fn redrive(&self, ids: &[u64]) -> Result<(), Error> {
        for id in ids {
            let Content { payload, info } = self.dead_letter(*id).await?;
            self.push(Lane::Normal, payload, info.records).await?;
            self.0.engine.remove(Lane::Dead, &[*id]);
        }
        Ok(())
    }

    /// Removes dead letters; gives how many there were.
    #[must_use]
    pub fn remove_dead_letters(&self, ids: &[u64]) -> usize {
        self.0.engine.remove(Lane::Dead, ids)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let engine = Arc::clone(&self.0.engine);
        let done = tokio::task::spawn_blocking(move || work(&engine)).await;
        Ok(done.map_err(|_| Error::from(BufferError::Closed))??)
    }
}

/// An entry that is put in as taken, for whoever waits for it.
pub(crate) struct Promised {
    pub(crate) told: oneshot::Receiver<Result<u64, Error>>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) lane: Lane,
    pub(crate) records: u32,
}

impl Promised {
    pub(crate) async fn taken(mut self) -> Result<Taken, Error> {
        let told = (&mut self.told).await;
        self.fulfilled(told)
    }

    fn fulfilled(self, told: Result<Result<u64, Error>, oneshot::error::RecvError>) -> Result<Taken, Error> {
        let seq = told.unwrap_or_else(|_| Err(BufferError::Closed.into()))?;
        Ok(Taken::of(&self.engine, self.lane, seq, self.records))
    }
}

/// Whoever stopped waiting does not have it; so it waits.
impl Drop for Promised {
    fn drop(&mut self) {
        self.told.close();
        if let Ok(Ok(seq)) = self.told.try_recv() {
            drop(Taken::of(&self.engine, self.lane, seq, self.records));
        }
    }
}

impl Shared {
    /// Starts the thread, if it does not run.
    fn start(&self) -> Result<(), BufferError> {
        let mut thread = self.thread.lock();
        if thread.is_some() || self.engine.state().closed {
            return Ok(());
        }
        let engine = Arc::clone(&self.engine);
        let run = move || {
            let mut longest = engine.turn();
            while engine.work.wait(longest) {
                longest = engine.turn();
            }
            engine.close();
        };
        let named = std::thread::Builder::new().name("buffer".into());
        *thread = Some(named.spawn(run).map_err(|source| BufferError::Thread { source })?);
        Ok(())
    }

    fn stop(&self) {
        let thread = self.thread.lock().take();
        self.engine.work.stop();
        match thread {
            // A panic was told where it happened.
            Some(thread) => drop(thread.join()),
            None => self.engine.state().closed = true,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}
