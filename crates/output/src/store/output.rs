//! Hands transfers to the store, several at once.
//!
//! Invariant: a transfer is acknowledged only after the store has said that every record of it is durable.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sawyer_model::{Batch, Error, ErrorKind, Fate, LeftOut, SourceId, Transfer};
use sawyer_pipeline::{Backoff, Context, Output, QueueReceiver, Running, Stop};
use sawyer_store::{Appended, Store};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::report::Report;

/// Appends under way at once. The store writes all that wait together, so that more of them make each sync serve
/// more; their bytes are bounded by the queue.
const APPENDS_MAX: usize = 64;

/// Shortest and longest pause before an append is tried again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Told what was stored before, or why nothing is stored.
pub(super) type Done = Box<dyn FnOnce(Result<Known, Error>) + Send>;

/// What of a batch was stored before.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) records: LeftOut,
    /// Whose records these are, if the batch came whole.
    pub(super) sources: Vec<SourceId>,
}

/// The rule of records that were stored before.
static STORED: LazyLock<Arc<str>> = LazyLock::new(|| "stored before".into());

/// What takes batches and says later what became of them; the store, or in tests something that fails at will.
pub(super) trait Appends: Send + Sync + 'static {
    /// Tells what of the batch was stored before.
    fn append(&self, batch: Arc<Batch>, done: Done);
}

impl Appends for Store {
    fn append(&self, batch: Arc<Batch>, done: Done) {
        let kept = Arc::clone(&batch);
        let known = move |appended: Appended| {
            let mut known = Known::default();
            for record in appended.duplicates.into_iter().map(|at| kept.get(at)) {
                known.records.add(record);
                known.sources.extend(kept.is_whole().then(|| record.source()));
            }
            known
        };
        self.append_with(batch, move |appended| done(appended.map(known)));
    }
}

pub(super) struct StoreOutput<A> {
    shared: Arc<Shared<A>>,
}

struct Shared<A> {
    store: Arc<A>,
    report: Report,
}

impl<A: Appends> StoreOutput<A> {
    pub(super) fn new(store: Arc<A>, context: &Context) -> Self {
        Self { shared: Arc::new(Shared { store, report: Report::new(context) }) }
    }
}

impl<A: Appends> Output for StoreOutput<A> {
    fn run(self: Box<Self>, from: QueueReceiver, stop: Stop) -> Running {
        Box::pin(async move {
            // Dropping what is under way lets go of its transfers. What the store makes durable all the same is
            // left out when it comes again.
            tokio::select! {
                biased;
                () = stop.stopped() => Ok(()),
                ended = deliver_all(&self.shared, from) => ended,
            }
        })
    }
}

async fn deliver_all<A: Appends>(shared: &Arc<Shared<A>>, mut from: QueueReceiver) -> Result<(), Error> {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = under_way.join_next() => settled(ended)?,
            queued = from.next(), if under_way.len() < APPENDS_MAX => {
                let Some(queued) = queued else { break };
                let shared = Arc::clone(shared);
                under_way.spawn(async move {
                    let (transfer, room) = queued.into_parts();
                    let delivered = shared.deliver(transfer).await;
                    drop(room);
                    delivered
                });
            }
        }
    }
    while let Some(ended) = under_way.join_next().await {
        settled(ended)?;
    }
    Ok(())
}

fn settled(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    ended.map_err(|panic| Error::new(ErrorKind::Bug, "an append panicked").because(panic))?
}

impl<A: Appends> Shared<A> {
    /// Appends until the store has everything, or refuses a record for good.
    ///
    /// # Errors
    /// `Closed` if the store is closed: nothing can be delivered any more.
    async fn deliver(&self, transfer: Transfer) -> Result<(), Error> {
        let Transfer { batch, mut ack } = transfer;
        let mut whole = true;
        // Parts that are left, the next one last.
        let mut parts = vec![Arc::clone(&batch)];
        let mut cut = false;
        while let Some(part) = parts.pop() {
            match self.append_patiently(&part).await {
                Ok(known) => {
                    ack.note(Fate::Deduplicated, &STORED, &known.records);
                    ack.known(known.sources);
                    self.report.delivered(part.len(), part.text_bytes());
                }
                Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
                Err(_) if part.len() > 1 => {
                    cut = true;
                    let (first, second) = halves(&part);
                    parts.extend([Arc::new(second), Arc::new(first)]);
                }
                Err(error) => {
                    let record =
                        part.iter().next().map_or_else(String::new, |record| record.id().to_string());
                    self.report.refused(&record, &error.chain());
                    whole = false;
                }
            }
        }
        if whole && cut {
            whole = self.append_patiently(&Arc::new(rest(&batch))).await.is_ok();
        }
        if whole {
            ack.durable();
        }
        Ok(())
    }

    /// Appends until that succeeds, or fails with anything but `Retry`.
    async fn append_patiently(&self, batch: &Arc<Batch>) -> Result<Known, Error> {
        let mut backoff = Backoff::new(RETRY_PAUSE_MIN, RETRY_PAUSE_MAX);
        let mut attempt = 1;
        loop {
            let (tell, told) = oneshot::channel();
            let done = Box::new(move |appended| {
                // Nobody listens any more after it was time to give up.
                let _ = tell.send(appended);
            });
            self.store.append(Arc::clone(batch), done);
            let gone = |_| Err(Error::new(ErrorKind::Closed, "the store is closed"));
            match told.await.unwrap_or_else(gone) {
                Err(error) if error.kind() == ErrorKind::Retry => {
                    self.report.retrying(&error, attempt);
                    attempt += 1;
                    tokio::time::sleep(backoff.failed()).await;
                }
                settled => return settled,
            }
        }
    }
}

/// The records in two parts, each of which covers its records and nothing else.
fn halves(batch: &Batch) -> (Batch, Batch) {
    let mut parts = (Batch::new(), Batch::new());
    let half = batch.len() / 2;
    for (at, record) in batch.iter().enumerate() {
        let part = if at < half { &mut parts.0 } else { &mut parts.1 };
        part.push_ref(record);
    }
    parts
}

/// What a batch covers, without its records: it is committed after them, or they would count as stored before.
fn rest(batch: &Batch) -> Batch {
    let mut rest = Batch::new();
    for covered in batch.covered() {
        rest.cover(covered.source, covered.range);
    }
    rest
}
