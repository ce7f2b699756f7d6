//! The events of a Kubernetes cluster as records, once per cluster.
//!
//! Owns: making records and batches of events, who we are among those who take part.
//! Does not own: reading the events, whose turn it is, how far they are durable (`kube`).
//! Invariant: an event's record has the source and the range that every Sawyer gives it, so that one that is read again
//! by the next holder of the Lease is known as the same where records are kept.

use std::sync::Arc;

use sawyer_config::{At, Problems, Setting, Settings};
use sawyer_kube::{EventPage, EventReader, EventSink, EventsSettings};
use sawyer_model::{Ack, Batch, Error, ErrorKind, Outcome, RecordHead, SeqRange, Stream, Value, names};
use sawyer_pipeline::steps::hint::ParserHint;
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop};
use sawyer_telemetry::Clock;

use crate::random;

/// The variable that names our pod, by the usual convention.
const POD_NAME: &str = "POD_NAME";

/// The kind `kubernetes_events`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "kubernetes_events",
        reference: EventsSettings::reference,
        read: Box::new(|at, problems| read(at, problems).map(|plan| plan as _)),
    }
}

fn read(at: &At<'_>, problems: &mut Problems) -> Option<Box<EventsPlan>> {
    let settings = EventsSettings::read(at, problems)?;
    let dns = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let named = !settings.lease.is_empty() && settings.lease.bytes().all(dns);
    if !named {
        let message = format!(
            "expected a name of lower-case letters, digits, `-` and `.`, found \"{}\"",
            settings.lease
        );
        problems.push(&at.key("lease"), message);
    }
    named.then(|| Box::new(EventsPlan(settings)))
}

#[derive(Debug)]
struct EventsPlan(EventsSettings);

impl InputPlan for EventsPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        let identity = identity(&context.name)
            .map_err(|error| Error::new(ErrorKind::Retry, "read random numbers").because(error))?;
        let reader = EventReader::new(&self.0, &identity, &context.clock, &context.metrics).ok_or_else(|| {
            let message = "no cluster to read events of: this is no pod with a service account, so `api` and \
                           `lease_namespace` are needed";
            Error::new(ErrorKind::Invalid, message)
        })?;
        Ok(Box::new(Events { reader, cluster: self.0.cluster, clock: context.clock.clone() }))
    }
}

/// Our pod's name, by which a container that was started again is known at once; else one that nobody else has.
fn identity(input: &str) -> std::io::Result<String> {
    if let Some(pod) = std::env::var(POD_NAME).ok().filter(|pod| !pod.is_empty()) {
        return Ok(format!("{pod}/{input}"));
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(format!("{host}/{input}/{:016x}", random::source()?.0 as u64))
}

struct Events {
    reader: EventReader,
    cluster: Option<String>,
    clock: Clock,
}

impl Input for Events {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self { reader, cluster, clock } = *self;
            let patience = to.patience();
            let sink = ToPipelines { cluster, clock, to };
            let ended = stop.clone();
            let stopped =
                reader.run(sink, async move { ended.stopped().await }, async move { patience.over().await });
            let stopped = stopped.await;
            if stopped || stop.is_stopped() {
                Ok(())
            } else {
                Err(Error::new(ErrorKind::Closed, "a pipeline has ended"))
            }
        })
    }
}

struct ToPipelines {
    cluster: Option<String>,
    clock: Clock,
    to: Outlet,
}

impl EventSink for ToPipelines {
    async fn put(&mut self, page: EventPage) -> bool {
        let batch = self.batch(&page);
        let receipt = page.receipt;
        let ack = Ack::new(move |outcome| receipt.report(outcome == Outcome::Durable));
        self.to.send(batch, ack).await.is_ok()
    }
}

impl ToPipelines {
    fn batch(&self, page: &EventPage) -> Batch {
        let mut batch = Batch::new();
        batch.set_whole();
        let observed = self.clock.now();
        let cluster = self.cluster.as_deref().map(|cluster| (names::CLUSTER.into(), Value::from(cluster)));
        for event in &page.events {
            // A message is a sentence about an object; what looks like a level in it is that of something else.
            let parser = (names::HINT_PARSER.into(), Value::from(ParserHint::Off.value()));
            let fields = event.identity.iter().cloned().chain(cluster.clone()).chain([parser]);
            let stream = batch.add_stream(&Arc::new(Stream::new(fields)));
            let head = RecordHead {
                timestamp: event.timestamp.unwrap_or(observed),
                observed,
                source: page.source,
                range: SeqRange::new(event.version, event.version + 1),
            };
            let mut record = batch.begin(head, stream);
            for (name, value) in &event.fields {
                record.field(name, value.as_ref());
            }
        }
        for range in &page.covered {
            batch.cover(page.source, *range);
        }
        batch
    }
}
