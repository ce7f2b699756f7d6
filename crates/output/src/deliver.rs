//! Outputs that send records to a peer through a courier.
//!
//! Owns: the way from a queue of transfers to items with acknowledgements; settings that all such outputs have.
//! Does not own: sending, verdicts, trying again (`delivery`), the form of records at a target ([`Form`]), records that
//! are items many at a time (`runs`).
//! Invariant: a transfer is acknowledged once every record of it is done, or kept as a dead letter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use sawyer_config::{At, Problems, Reference, Setting, Settings, With};
use sawyer_delivery::auth::AuthPlan;
use sawyer_delivery::http::{Client, HttpSettings};
use sawyer_delivery::{
    Courier, DeadLetters, DeliverySettings, Identity, Item, Limits, LoggedLetters, Origin, Outbox, Payload,
    Target, courier,
};
use sawyer_model::{Ack, Batch, Count, Error, ErrorKind, Outcome, RecordRef};
use sawyer_pipeline::{Context, LaneReceiver, Output, QueueReceiver, Queued, Running, Stop};

use crate::letters::BufferedLetters;
use crate::report::Report;

/// Bytes of the largest item that is tried at all. No target takes more; most take far less, and say so.
pub(crate) const ITEM_BYTES_MAX: usize = 100 << 20;

/// A guess at what a record takes in a request beside its own text: names, who speaks, times.
const RECORD_BYTES: usize = 600;

/// How records look at a target.
pub(crate) trait Form: Send + Sync + 'static {
    /// Appends the records of a batch as they stand in a request, and where each ends.
    fn write_all(&self, batch: &Batch, out: &mut Vec<u8>, ends: &mut Vec<usize>);

    /// How many bytes the target counts for a record that was written in so many.
    fn counted(&self, written: usize) -> usize {
        written
    }

    /// The partition of a record as it was written; see [`Item::partition`].
    fn partition(&self, _record: RecordRef<'_>, _written: &[u8]) -> u64 {
        0
    }
}

/// Appends records one by one; see [`Form::write_all`].
pub(crate) fn one_by_one(
    batch: &Batch,
    out: &mut Vec<u8>,
    ends: &mut Vec<usize>,
    mut write: impl FnMut(RecordRef<'_>, &mut Vec<u8>),
) {
    for record in batch.iter() {
        write(record, out);
        ends.push(out.len());
    }
}

/// Settings of an output over HTTP, all in one map: of the delivery, of the connection, and its own.
#[derive(Debug)]
pub(crate) struct HttpOutputSettings<S> {
    pub(crate) delivery: DeliverySettings,
    pub(crate) http: HttpSettings,
    pub(crate) auth: Option<AuthPlan>,
    pub(crate) own: S,
}

/// Reads all settings of an output over HTTP, and checks those that every such output has.
pub(crate) fn read<S: Settings>(at: &At<'_>, problems: &mut Problems) -> Option<HttpOutputSettings<S>> {
    let read = With::<DeliverySettings, With<HttpSettings, S>>::read(at, problems)?;
    let With { common: delivery, own: With { common: mut http, own } } = read;
    let auth = match http.auth.take() {
        Some(auth) => Some(auth.check(&at.key("auth"), problems)?),
        None => None,
    };
    if http.tls.cert_file.is_some() != http.tls.key_file.is_some() {
        problems.push(&at.key("tls"), "expected both `cert_file` and `key_file`, or neither");
        return None;
    }
    Some(HttpOutputSettings { delivery, http, auth, own })
}

/// The manual of an output over HTTP.
pub(crate) fn reference<S: Settings>() -> Reference {
    let mut own = S::reference();
    own.entries.extend(HttpSettings::reference().entries);
    own.entries.extend(DeliverySettings::reference().entries);
    own
}

/// A client for these addresses.
///
/// # Errors
/// If a file of its settings cannot be used.
pub(crate) fn client(
    http: HttpSettings,
    auth: Option<AuthPlan>,
    endpoints: &[sawyer_delivery::http::Url],
    context: &Context,
) -> Result<Client, Error> {
    let authorize = auth.map(|auth| auth.open(&context.clock)).transpose()?;
    Client::new(http, endpoints, authorize, context.clock.clone())
}

/// Makes items of batches.
pub(crate) trait Maker: Send + Sync + 'static {
    type Payload: Payload;

    /// The records of a batch as items, each with its share in the duty, and how many bytes they have in requests.
    fn items(&self, batch: &Arc<Batch>, limits: &Limits, duty: &Ack) -> (Vec<Item<Self::Payload>>, usize);
}

/// Each record as an item.
pub(crate) struct OneByOne<F>(pub(crate) F);

impl<F: Form> Maker for OneByOne<F> {
    type Payload = Bytes;

    fn items(&self, batch: &Arc<Batch>, _limits: &Limits, duty: &Ack) -> (Vec<Item<Bytes>>, usize) {
        let Self(form) = self;
        // Documents are mostly shorter than this, and what is not used of it is given back.
        let mut out = Vec::with_capacity(batch.text_bytes() * 2 + batch.len() * RECORD_BYTES);
        let mut ends = Vec::with_capacity(batch.len());
        form.write_all(batch, &mut out, &mut ends);
        out.shrink_to_fit();
        let bytes = out.len();
        let out = Bytes::from(out);
        let mut start = 0;
        let items = (0_u32..).zip(ends).map(|(at, end)| {
            let payload = out.slice(start..end);
            start = end;
            let record = Origin { batch: Arc::clone(batch), at };
            let bytes = form.counted(payload.len());
            let partition = form.partition(record.record(), &payload);
            let ack = duty.clone().worth(Count::new(1, record.record().range().len()));
            Item { bytes, payload, partition, record: Some(record), ack }
        });
        (items.collect(), bytes)
    }
}

/// An output that sends the items that a maker makes to a target.
pub(crate) struct Delivered<T: Target, M> {
    maker: Arc<M>,
    outbox: Outbox<T::Payload>,
    courier: Courier<T>,
    report: Arc<Report>,
}

impl<T: Target, M: Maker<Payload = T::Payload>> Delivered<T, M> {
    pub(crate) fn new(target: T, maker: M, limits: Limits, context: &Context) -> Self {
        let identity = Identity {
            name: context.name.clone(),
            what: "output",
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
            health: context.health.clone(),
        };
        let clock = context.clock.clone();
        let letters: Arc<dyn DeadLetters> = match &context.buffer {
            Some(buffer) => Arc::new(BufferedLetters::new(buffer.clone(), clock)),
            None => Arc::new(LoggedLetters::new(clock)),
        };
        let (outbox, courier) = courier(Arc::new(target), limits, identity, letters);
        Self { maker: Arc::new(maker), outbox, courier, report: Arc::new(Report::new(context)) }
    }
}

impl<T: Target, M: Maker<Payload = T::Payload>> Output for Delivered<T, M> {
    fn run(self: Box<Self>, from: QueueReceiver, stop: Stop) -> Running {
        Box::pin(async move {
            let Self { maker, outbox, courier, report } = *self;
            let write = move |queued: Queued, limits: &Limits| items(queued, &*maker, limits, &report);
            deliver(from, outbox, courier, &stop, write).await
        })
    }
}

/// Delivers all transfers of the queue until it ends or it is time to give up. `write` makes items of one, and tells how many
/// bytes they hold beside their own; it may take long. Urgent transfers go beside the others, so that they never wait for
/// them.
///
/// # Errors
///
/// If the courier can't go on, or `write` panics.
pub(crate) async fn deliver<T, W>(
    from: QueueReceiver,
    outbox: Outbox<T::Payload>,
    courier: Courier<T>,
    stop: &Stop,
    write: W,
) -> Result<(), Error>
where
    T: Target,
    W: Fn(Queued, &Limits) -> (Vec<Item<T::Payload>>, usize) + Send + Sync + 'static,
{
    let feed = async move {
        let (urgent, normal) = from.into_lanes();
        let write = Arc::new(write);
        let urgent = feed_lane(urgent, true, &outbox, &write);
        tokio::try_join!(urgent, feed_lane(normal, false, &outbox, &write)).map(|_| ())
    };
    let work = async {
        let (fed, delivered) = tokio::join!(feed, courier.run());
        delivered.and(fed)
    };
    // Whatever is under way when it is time to give up is dropped, and with it the duty to acknowledge.
    tokio::select! {
        biased;
        () = stop.stopped() => Ok(()),
        ended = work => ended,
    }
}

async fn feed_lane<P: Payload, W>(
    mut from: LaneReceiver,
    urgent: bool,
    outbox: &Outbox<P>,
    write: &Arc<W>,
) -> Result<(), Error>
where
    W: Fn(Queued, &Limits) -> (Vec<Item<P>>, usize) + Send + Sync + 'static,
{
    while let Some(queued) = from.next().await {
        let (write, limits) = (Arc::clone(write), outbox.limits());
        let work = tokio::task::spawn_blocking(move || write(queued, &limits));
        let (items, beside) = work
            .await
            .map_err(|panic| Error::new(ErrorKind::Bug, "writing records panicked").because(panic))?;
        let taken = match urgent {
            true => outbox.send_urgent(items, beside).await,
            false => outbox.send(items, beside).await,
        };
        if taken.is_err() {
            // The courier says why.
            return Ok(());
        }
    }
    Ok(())
}

/// The records of a transfer as items, and how many bytes they hold beside their own.
fn items<M: Maker>(
    queued: Queued,
    maker: &M,
    limits: &Limits,
    report: &Arc<Report>,
) -> (Vec<Item<M::Payload>>, usize) {
    let (transfer, room) = queued.into_parts();
    let batch: Arc<Batch> = transfer.batch;
    let (count, ack) = (batch.len(), transfer.ack);
    let written = Arc::new(AtomicUsize::new(0));
    let (told, report) = (Arc::clone(&written), Arc::clone(report));
    let whole = Ack::tallied(move |outcome, tally| {
        if outcome == Outcome::Durable {
            report.delivered(count, told.load(Ordering::Relaxed));
            ack.durable_but(&tally.loose);
        }
    });
    let (items, bytes) = maker.items(&batch, limits, &whole);
    written.store(bytes, Ordering::Relaxed);
    whole.durable();
    // From here on the courier's own bound holds for these records.
    drop(room);
    (items, batch.bytes())
}
