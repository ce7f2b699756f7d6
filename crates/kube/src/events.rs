//! Reads the events of the cluster, as one of several who could.
//!
//! Owns: list and watch of events, going on where the holder of the Lease before ended, coming back after failures.
//! Does not own: whose turn it is (`lease`), how far is durable (`position`), what becomes of records (`input`).
//! Invariant: a page covers a part of the cluster's versions only if every event with such a version is in it, or is
//! durable already; so no event is passed over, and one that is read twice has the same source and range each time.
//!
//! Versions of objects are numbers that grow with every write to the cluster; each write of an event, which is how
//! repeats are counted, has one of its own. A page is a part of the source that all versions make. `core/v1` and
//! `events.k8s.io/v1` are two views of the same events; the first is asked for, and the other one if that is refused.

use std::time::Duration;

use sawyer_model::{SeqRange, SourceId};
use sawyer_telemetry::{Clock, Metrics};
use tokio::time::Instant;

use crate::client::{KubeClient, KubeError, Lines};
use crate::event::{Event, EventRecord, version};
use crate::follow::{api_of_pod, encode, pause};
use crate::lease::{Access, Candidate, Election};
use crate::objects::{AnyObject, List, Status, WatchEvent, WatchKind};
use crate::position::{Progress, Receipt};
use crate::settings::EventsSettings;
use crate::trouble::Trouble;
use crate::workloads::Workloads;

/// Where events are to be had.
const VIEWS: [&str; 2] = ["/api/v1/events", "/apis/events.k8s.io/v1/events"];

/// Events in one answer to a list, and in a page.
const PAGE_EVENTS: usize = 500;

/// How long the server is asked to keep a watch open.
const WATCH_SECONDS: u64 = 300;

/// Silence in a watch after which it counts as dead.
const WATCH_SILENCE_MAX: Duration = Duration::from_secs(WATCH_SECONDS + 30);

/// How long further events are waited for that go into the same page.
const PAGE_WAIT: Duration = Duration::from_millis(200);

/// A watch that lasted shorter than this was none.
const WATCH_MIN: Duration = Duration::from_secs(1);

/// Failures in a row after which everything is listed anew.
const FAILURES_LIST: u32 = 3;

/// How long acknowledgements are waited for after a pipeline has ended by itself, before the Lease is given up.
const LANDING_WAIT: Duration = Duration::from_secs(4);

/// Events that go on together.
#[derive(Debug)]
pub struct EventPage {
    /// What they are read from: the same for whoever reads them.
    pub source: SourceId,
    /// The events; each has the range of its version alone.
    pub events: Vec<EventRecord>,
    /// The parts of the source that are accounted for.
    pub covered: Vec<SeqRange>,
    /// To be told what became of them.
    pub receipt: Receipt,
}

/// Takes events.
pub trait EventSink: Send {
    /// Takes a page once there is room. Whether more may come.
    fn put(&mut self, page: EventPage) -> impl Future<Output = bool> + Send;
}

/// Reads events while it holds the Lease.
#[derive(Debug)]
pub struct EventReader {
    election: Election,
    reading: Reading,
}

#[derive(Debug)]
struct Reading {
    access: Access,
    view: usize,
    workloads: Option<Workloads>,
    trouble: Trouble,
    /// Whether the position is of no use, so that everything is to be listed.
    list: bool,
    /// Where the next page of the watch begins to cover: behind the last page, so that what was passed over since then,
    /// and is in no page, leaves no gap between two of them.
    cover_from: u64,
}

/// Why nothing is read.
enum End {
    /// The cluster did not answer as it should.
    Failed(KubeError),
    /// Nobody takes pages any more.
    Closed,
}

impl From<KubeError> for End {
    fn from(error: KubeError) -> Self {
        Self::Failed(error)
    }
}

impl EventReader {
    /// By these settings; none outside a cluster. `identity` tells us from others who take part.
    #[must_use]
    pub fn new(settings: &EventsSettings, identity: &str, clock: &Clock, metrics: &Metrics) -> Option<Self> {
        let access = Access {
            base: settings.api.clone().or_else(|| api_of_pod(|name| std::env::var(name).ok()))?,
            token_file: settings.token_file.clone(),
            ca_file: settings.ca_file.clone(),
        };
        let of_account = || std::fs::read_to_string(settings.token_file.with_file_name("namespace")).ok();
        let namespace = settings.lease_namespace.clone().or_else(|| std::env::var("POD_NAMESPACE").ok());
        let who = Candidate {
            namespace: namespace.or_else(of_account)?.trim().to_owned(),
            name: settings.lease.clone(),
            identity: identity.to_owned(),
            duration: settings.lease_duration,
        };
        let trouble = Trouble::new(clock, metrics);
        let help = "Whether this process reads the cluster's events";
        let holds = metrics.gauge("sawyer_kube_events_leader", help, &[("lease", settings.lease.as_str())]);
        let reading = Reading {
            access: access.clone(),
            view: 0,
            workloads: settings.workloads.then(Workloads::default),
            trouble: trouble.clone(),
            list: false,
            cover_from: 0,
        };
        Some(Self { election: Election::new(access, who, clock.clone(), trouble, holds), reading })
    }

    /// Reads until `stop` is there or nobody takes pages any more; says which. What is durable by then is noted, and what
    /// becomes so until `given_up` is there.
    pub async fn run(
        mut self,
        mut sink: impl EventSink,
        stop: impl Future<Output = ()> + Send,
        given_up: impl Future<Output = ()> + Send,
    ) -> bool {
        let mut stop = std::pin::pin!(stop);
        loop {
            let term = tokio::select! {
                term = self.election.campaign() => term,
                () = &mut stop => return true,
            };
            let progress = Progress::of(&term);
            tracing::info!(position = progress.note(), "reads the cluster's events");
            let stopped = tokio::select! {
                () = self.election.keep(|| progress.note()) => continue,
                () = self.reading.run(&progress, &mut sink) => false,
                () = &mut stop => true,
            };
            // Pipelines end once nobody can send to them.
            drop(sink);
            tokio::select! {
                _ = progress.all_landed() => {}
                () = given_up => {}
                () = tokio::time::sleep(LANDING_WAIT), if !stopped => {}
                // Somebody else reads now.
                () = self.election.keep(|| progress.note()) => return stopped,
            }
            self.election.resign(&progress.note()).await;
            return stopped;
        }
    }
}

impl Reading {
    /// Ends only when nobody takes pages any more.
    async fn run(&mut self, progress: &Progress, sink: &mut impl EventSink) {
        let mut failures = 0_u32;
        (self.list, self.cover_from) = (false, u64::MAX);
        loop {
            match self.read(progress, sink).await {
                Err(End::Closed) => return,
                Ok(lasted) if lasted >= WATCH_MIN => failures = 0,
                Ok(_) => failures += 1,
                Err(End::Failed(KubeError::Gone(why))) => {
                    tracing::info!(why, "the cluster's events are listed, because the watch cannot go on");
                    (failures, self.list) = (failures + 1, true);
                }
                Err(End::Failed(error)) => {
                    failures += 1;
                    if matches!(error, KubeError::Refused { status: 403 | 404, .. }) {
                        self.view = (self.view + 1) % VIEWS.len();
                    }
                    self.trouble.tell("read the cluster's events", &error);
                    self.list |= failures >= FAILURES_LIST && error.is_of_answer();
                }
            }
            if failures > 0 {
                tokio::time::sleep(pause(failures).max(WATCH_MIN)).await;
            }
        }
    }

    /// Lists if that is needed, then watches until the watch ends, and tells how long that was.
    async fn read(&mut self, progress: &Progress, sink: &mut impl EventSink) -> Result<Duration, End> {
        let client = self.access.client()?;
        let mut from = progress.go_on();
        let newest = self.newest(&client).await?;
        if from.is_some_and(|from| newest < from) {
            tracing::warn!(
                position = from,
                newest,
                "the cluster is older than it was, so its events are listed anew"
            );
            progress.begin_anew();
            from = None;
        }
        if from.is_none() || self.list {
            if !self.read_list(&client, progress, from.unwrap_or(0), sink).await? {
                return Ok(Duration::ZERO);
            }
            self.list = false;
        }
        let Some(position) = progress.go_on() else { return Ok(Duration::ZERO) };
        // What lies on its way is read again, and the page then has all of it.
        self.cover_from = self.cover_from.min(from.unwrap_or(0).min(position) + 1);
        let began = Instant::now();
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={position}",
            VIEWS[self.view]
        );
        let mut lines = client.watch(&path).await?;
        loop {
            tokio::select! {
                changes = changes(&mut lines) => match changes? {
                    None => return Ok(began.elapsed()),
                    Some(changes) => self.pass_on(&client, changes, progress, sink).await?,
                },
                () = progress.undelivered() => return Ok(Duration::ZERO),
            }
        }
    }

    /// The cluster's version of now.
    async fn newest(&self, client: &KubeClient) -> Result<u64, End> {
        let list: List<AnyObject> = client.get(&format!("{}?limit=1", VIEWS[self.view])).await?;
        Ok(version(&list.metadata.resource_version)?)
    }

    /// Sends all events that are newer than `from`; whether all of them became durable.
    async fn read_list(
        &mut self,
        client: &KubeClient,
        progress: &Progress,
        from: u64,
        sink: &mut impl EventSink,
    ) -> Result<bool, End> {
        let mut next = String::new();
        loop {
            let path = format!("{}?limit={PAGE_EVENTS}&continue={}", VIEWS[self.view], encode(&next));
            let list: List<Event> = client.get(&path).await?;
            let mut events = self.records(client, list.items).await?;
            events.retain(|event| event.version > from);
            // Between them lie versions of pages that are still to come.
            let covered: Vec<SeqRange> =
                events.iter().map(|event| SeqRange::new(event.version, event.version + 1)).collect();
            put(progress, events, covered, sink).await?;
            next = list.metadata.next;
            if next.is_empty() {
                let listed = version(&list.metadata.resource_version)?;
                let all = progress.all_landed().await;
                if all {
                    progress.listed(listed);
                }
                return Ok(all);
            }
        }
    }

    async fn pass_on(
        &mut self,
        client: &KubeClient,
        changes: Changes,
        progress: &Progress,
        sink: &mut impl EventSink,
    ) -> Result<(), End> {
        let events = self.records(client, changes.events).await?;
        if changes.version >= self.cover_from {
            let covered = SeqRange::new(self.cover_from, changes.version + 1);
            if events.is_empty() {
                progress.pass(covered);
            } else {
                self.cover_from = covered.end;
                put(progress, events, vec![covered], sink).await?;
            }
        }
        match changes.error {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    async fn records(&mut self, client: &KubeClient, events: Vec<Event>) -> Result<Vec<EventRecord>, End> {
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            let workload = match &mut self.workloads {
                Some(workloads) => workloads.of(client, &event.involved_object).await,
                None => Vec::new(),
            };
            records.push(event.record(workload)?);
        }
        Ok(records)
    }
}

async fn put(
    progress: &Progress,
    events: Vec<EventRecord>,
    covered: Vec<SeqRange>,
    sink: &mut impl EventSink,
) -> Result<(), End> {
    if events.is_empty() {
        return Ok(());
    }
    let receipt = progress.send(&covered);
    let page = EventPage { source: progress.source(), events, covered, receipt };
    if sink.put(page).await { Ok(()) } else { Err(End::Closed) }
}

/// What a watch has brought.
#[derive(Debug, Default)]
struct Changes {
    events: Vec<Event>,
    /// Everything up to this version is in it.
    version: u64,
    /// Why no more comes.
    error: Option<KubeError>,
}

/// Waits for a change, and takes those along that come right behind it. None at the end of the watch.
async fn changes(lines: &mut Lines) -> Result<Option<Changes>, KubeError> {
    let mut changes = Changes::default();
    let url = lines.url().to_owned();
    let Some(line) = lines.next(WATCH_SILENCE_MAX).await? else { return Ok(None) };
    changes.take(line, &url)?;
    let until = Instant::now() + PAGE_WAIT;
    while changes.events.len() < PAGE_EVENTS && changes.error.is_none() {
        match tokio::time::timeout_at(until, lines.next(WATCH_SILENCE_MAX)).await {
            Ok(Ok(Some(line))) => {
                // What came before it goes on its way first.
                if let Err(error) = changes.take(line, &url) {
                    changes.error = Some(error);
                }
            }
            // The end is seen again, and what went wrong shows in the next watch.
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    Ok(Some(changes))
}

impl Changes {
    fn take(&mut self, line: &[u8], url: &str) -> Result<(), KubeError> {
        let form = |source| KubeError::Form { url: url.to_owned(), source };
        let WatchKind { kind } = serde_json::from_slice(line).map_err(form)?;
        if kind == "ERROR" {
            let WatchEvent::<Status> { object: status } = serde_json::from_slice(line).map_err(form)?;
            return Err(match status.code {
                410 => KubeError::Gone(status.message),
                code => KubeError::Refused { url: url.to_owned(), status: code, message: status.message },
            });
        }
        let WatchEvent::<Event> { object: event } = serde_json::from_slice(line).map_err(form)?;
        let version = version(&event.metadata.resource_version)?;
        self.version = self.version.max(version);
        if matches!(kind.as_str(), "ADDED" | "MODIFIED") {
            self.events.push(event);
        }
        Ok(())
    }
}
