//! The configuration is read again while the process runs: on SIGHUP, and when its files say something else.
//!
//! Owns: noticing changes, deciding whether a new configuration is taken, and taking it: the old topology is drained, the
//! new one opened.
//! Does not own: reading a configuration (the role does), what is in it.
//! Invariant: a configuration that is wrong, cannot be opened, or changes what is fixed while the process runs, is
//! refused as a whole with its reasons, and the one before goes on. Draining and reading on from what was acknowledged
//! is what a stop and a start do, so that a reload loses and doubles as little as these.
//!
//! Files are read again every [`LOOK_INTERVAL`], not watched by name: what is mounted from a ConfigMap changes by a
//! link to a link, includes have patterns, and secrets lie anywhere.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sawyer_config::{Document, Place, Problem, Problems};
use sawyer_model::Error;
use sawyer_pipeline::topology::{Resources, SECTIONS};
use sawyer_pipeline::{Stop, Stopper, Topology};
use sawyer_telemetry::{Clock, Counter, Gauge, Health, Metrics};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::ProcessPlan;
use crate::buffers::Shown;

#[cfg(test)]
mod tests;

/// How often the files are read again. A change is taken when two readings agree, so that a file that is just being
/// written is not; it takes twice this at most.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The sections and keys that may change while the process runs, beside those of the topology.
const FREE: &[&str] = &["drain"];

/// How often, and how long apart, opening is tried. What was closed a moment ago may take a moment to let go.
const OPEN_TRIES_MAX: u32 = 10;
const OPEN_PAUSE: Duration = Duration::from_millis(200);

/// How long a topology that is exchanged drains at most: nobody reads meanwhile, and the next one goes on with what is left.
const EXCHANGE_DRAIN_MAX: Duration = Duration::from_secs(4);

/// Pause before a topology that could not be opened again is tried once more; long enough to see a configuration that was
/// written meanwhile, which is looked at twice.
const RESTORE_PAUSE: Duration = Duration::from_secs(3);

/// What a note about the configuration is about.
const WHAT: &str = "configuration";

/// A configuration that can be read again.
pub struct Configured {
    /// Its file; none if the process runs on its role's defaults alone.
    pub path: Option<PathBuf>,
    /// As it is in force.
    pub document: Document,
    /// Reads and checks all of a configuration, as at the start.
    pub read: ReadAll,
    /// Sections beside those of the topology that may change while the process runs, because [`Configured::prepare`]
    /// knows how.
    pub further: &'static [&'static str],
    /// Prepares the change of those sections; nothing changes before what it gives back is called.
    pub prepare: Prepare,
    /// Told `true` before the topology is exchanged, and `false` when that is done.
    pub exchanging: Box<dyn Fn(bool) + Send + Sync>,
}

/// Reads and checks all of a configuration.
pub type ReadAll = Box<dyn Fn(&Document) -> Result<ProcessPlan, Problems> + Send + Sync>;

/// Prepares a change, which can fail; and then makes it, which cannot.
pub type Prepare = Box<dyn Fn(&Document) -> Result<Box<dyn FnOnce() + Send>, Error> + Send + Sync>;

impl std::fmt::Debug for Configured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configured").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What was read from the files.
type Reading = Result<Document, Problems>;

/// Decides about configurations.
struct Reloader {
    configured: Configured,
    /// What was refused last, until the files say something else.
    refused: Option<Reading>,
    /// What was read last, if it was seen only once.
    fresh: Option<Reading>,
    hangup: Option<Signal>,
    counts: Counts,
    health: Health,
    clock: Clock,
}

/// What is told of reloads.
struct Counts {
    accepted: Counter,
    refused: Counter,
    unchanged: Counter,
    problems: Gauge,
}

/// Runs a topology until `stop`, and others in its place as the configuration says.
///
/// # Errors
/// The first failure of a component of the last topology, after everything has ended.
pub(crate) async fn run(
    mut topology: Topology,
    mut drain: Duration,
    configured: Configured,
    resources: &Resources,
    shown: &Shown,
    stop: &Stop,
) -> Result<(), Error> {
    let mut reloader = Reloader::new(configured, resources);
    loop {
        let buffers = topology.buffers();
        shown.set(buffers.clone());
        let (halt, halted) = Stopper::new();
        let (exchanges, most) = (AtomicBool::new(false), drain);
        let patience = || if exchanges.load(Ordering::Relaxed) { most.min(EXCHANGE_DRAIN_MAX) } else { most };
        let mut running = std::pin::pin!(topology.run_for(halted, patience));
        let mut ended = None;
        let (document, plan) = loop {
            let next = tokio::select! {
                next = reloader.next() => next,
                () = stop.stopped() => {
                    // Nobody comes after: who connects now is to be refused, and to go elsewhere.
                    resources.ports.forget();
                    halt.stop();
                    return match ended {
                        Some(ran) => ran,
                        None => running.await,
                    };
                }
                // Inputs that are read to their end; another configuration may have more to read.
                ran = &mut running, if ended.is_none() => {
                    ended = Some(ran);
                    continue;
                }
            };
            if let Some(next) = reloader.take_further(next) {
                break next;
            }
        };
        (reloader.configured.exchanging)(true);
        if ended.is_none() {
            tracing::info!(
                "the configuration has changed: passing on what was read, then going on with the new one"
            );
            exchanges.store(true, Ordering::Relaxed);
            halt.stop();
            // It was told of when it happened.
            let _ = running.await;
        }
        // Whoever holds a buffer keeps others from opening it. Closing ends those who wait for room in one.
        shown.set(Vec::new());
        for (_, buffer) in buffers {
            buffer.close().await;
        }
        resources.health.retain(|what| !is_of_topology(what));
        let opened = reloader.exchange(document, plan, resources, stop).await;
        (reloader.configured.exchanging)(false);
        resources.metrics.forget_derived();
        match opened {
            Some((next, patience)) => (topology, drain) = (next, patience),
            None => return Ok(()),
        }
    }
}

/// Whether a reason for not being ready is one of a component, which goes with it.
fn is_of_topology(what: &str) -> bool {
    ["input ", "output ", "pipeline ", "buffer of output ", "step "].iter().any(|of| what.starts_with(of))
}

impl Reloader {
    fn new(configured: Configured, resources: &Resources) -> Self {
        let hangup = signal(SignalKind::hangup());
        let hangup =
            hangup.inspect_err(|error| tracing::warn!("listen for SIGHUP: {error}; goes on without")).ok();
        Self {
            configured,
            refused: None,
            fresh: None,
            hangup,
            counts: Counts::new(&resources.metrics),
            health: resources.health.clone(),
            clock: resources.clock.clone(),
        }
    }

    /// The next configuration that is good. Waits for it however long.
    async fn next(&mut self) -> (Document, ProcessPlan) {
        loop {
            let asked = match &mut self.hangup {
                Some(hangup) => tokio::select! {
                    _ = hangup.recv() => true,
                    () = tokio::time::sleep(LOOK_INTERVAL) => false,
                },
                None => {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                    false
                }
            };
            let Some(path) = self.configured.path.clone() else {
                if asked {
                    tracing::info!("SIGHUP: there is no configuration file to read again");
                }
                continue;
            };
            let reading = tokio::task::spawn_blocking(move || crate::process::document(Some(&path))).await;
            let Ok(reading) = reading else { continue };
            if let Some(next) = self.decide(reading, asked) {
                return next;
            }
        }
    }

    /// What becomes of what was read. `asked`: somebody wants to know.
    fn decide(&mut self, reading: Reading, asked: bool) -> Option<(Document, ProcessPlan)> {
        if reading.as_ref().is_ok_and(|document| document.root() == self.configured.document.root()) {
            self.fresh = None;
            if self.refused.take().is_some() {
                tracing::info!("the configuration is again the one that runs");
                self.settled();
            }
            if asked {
                self.counts.unchanged.inc();
                tracing::info!("SIGHUP: the configuration is as before");
            }
            return None;
        }
        let is = |known: &Option<Reading>| known.as_ref().is_some_and(|known| same(known, &reading));
        if !asked && is(&self.refused) {
            return None;
        }
        if !asked && !is(&self.fresh) {
            self.fresh = Some(reading);
            return None;
        }
        self.fresh = None;
        match self.check(&reading) {
            Ok(next) => Some(next),
            Err(problems) => {
                self.refuse(problems.len(), &problems.to_string());
                self.refused = Some(reading);
                None
            }
        }
    }

    fn check(&self, reading: &Reading) -> Result<(Document, ProcessPlan), Problems> {
        let document = reading.as_ref().map_err(Clone::clone)?;
        let mut problems = fixed_changes(&self.configured.document, document, self.configured.further);
        match (self.configured.read)(document) {
            Ok(plan) => problems.into_result(Some((document.clone(), plan))),
            Err(more) => {
                problems.append(more);
                Err(problems)
            }
        }
    }

    fn refuse(&self, count: usize, reasons: &str) {
        let time = self.clock.now();
        // Readiness first: whoever saw it counted or in the log looks there.
        self.health.note(WHAT, format!("refused at {time}, and the one before goes on:\n{reasons}"));
        self.counts.problems.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.counts.refused.inc();
        tracing::error!(
            problems = count,
            "the configuration is refused, and the one before goes on:\n{reasons}"
        );
    }

    fn settled(&self) {
        self.counts.problems.set(0);
        self.health.forget_note(WHAT);
    }

    /// Takes a configuration that is as before but for what can change without the topology; else gives it back.
    fn take_further(&mut self, next: (Document, ProcessPlan)) -> Option<(Document, ProcessPlan)> {
        let further = self.configured.further;
        let differs = changed(&self.configured.document, &next.0);
        if differs.iter().any(|key| !further.contains(&key.as_str())) {
            return Some(next);
        }
        let (document, _) = next;
        match (self.configured.prepare)(&document) {
            Ok(change) => {
                change();
                self.took(document);
            }
            Err(error) => self.refuse_whole(&error, document),
        }
        None
    }

    fn took(&mut self, document: Document) {
        self.configured.document = document;
        self.refused = None;
        self.counts.accepted.inc();
        self.settled();
        tracing::info!("the new configuration is in force");
    }

    fn refuse_whole(&mut self, error: &Error, document: Document) {
        self.refuse(1, &error.chain());
        self.refused = Some(Ok(document));
    }

    /// Opens the next topology, or again the one before; none if the process is told to stop meanwhile.
    async fn exchange(
        &mut self,
        document: Document,
        plan: ProcessPlan,
        resources: &Resources,
        stop: &Stop,
    ) -> Option<(Topology, Duration)> {
        let mut next = Some((document, plan));
        while !stop.is_stopped() {
            if let Some((document, plan)) = next.take()
                && let Some(opened) = self.take_over(document, plan, resources).await
            {
                return Some(opened);
            }
            let before = self.configured.document.clone();
            let plan = (self.configured.read)(&before).expect("it was good when it came into force");
            let drain = plan.settings.drain;
            match self.open(plan, &before, resources).await {
                Ok(topology) => {
                    self.health.ready(WHAT);
                    return Some((topology, drain));
                }
                Err(error) => {
                    let text = format!("it cannot be opened again: {}; tries again", error.chain());
                    tracing::error!("{text}");
                    self.health.not_ready(WHAT, text);
                }
            }
            // Neither can be opened: whatever is written down by now is tried, too.
            self.refused = None;
            next = tokio::select! {
                () = stop.stopped() => None,
                found = tokio::time::timeout(RESTORE_PAUSE, self.next()) => found.ok(),
            };
        }
        None
    }

    /// Opens a topology of another configuration; none if that is refused after all.
    async fn take_over(
        &mut self,
        document: Document,
        plan: ProcessPlan,
        resources: &Resources,
    ) -> Option<(Topology, Duration)> {
        let drain = plan.settings.drain;
        let change = (self.configured.prepare)(&document);
        let opened = match change {
            Ok(change) => self.open(plan, &document, resources).await.map(|topology| (topology, change)),
            Err(error) => Err(error),
        };
        match opened {
            Ok((topology, change)) => {
                change();
                self.took(document);
                self.health.ready(WHAT);
                Some((topology, drain))
            }
            Err(error) => {
                self.refuse_whole(&error, document);
                None
            }
        }
    }

    async fn open(
        &self,
        plan: ProcessPlan,
        document: &Document,
        resources: &Resources,
    ) -> Result<Topology, Error> {
        let mut opened = plan.topology.open(resources);
        for _ in 1..OPEN_TRIES_MAX {
            if opened.is_ok() {
                break;
            }
            tokio::time::sleep(OPEN_PAUSE).await;
            let Ok(plan) = (self.configured.read)(document) else { break };
            opened = plan.topology.open(resources);
        }
        opened
    }
}

impl Counts {
    fn new(metrics: &Metrics) -> Self {
        let help = "Configurations read while the process runs, by what became of them";
        let count = |result| metrics.counter("sawyer_config_reloads", help, &[("result", result)]);
        let help = "Problems of the configuration that was refused last; 0 when the one in force is that of the files";
        Self {
            accepted: count("accepted"),
            refused: count("refused"),
            unchanged: count("unchanged"),
            problems: metrics.gauge("sawyer_config_refused_problems", help, &[]),
        }
    }
}

fn same(one: &Reading, other: &Reading) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one.root() == other.root(),
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

/// The keys at the top under which two configurations say different things.
fn changed(before: &Document, after: &Document) -> BTreeSet<String> {
    let keys = |document: &Document| {
        document.at().entries().into_iter().map(|(key, _)| key.text.clone()).collect::<Vec<_>>()
    };
    let says =
        |document: &Document, key: &str| document.root().get(key).filter(|node| !node.is_null()).cloned();
    let all = keys(before).into_iter().chain(keys(after));
    all.filter(|key| says(before, key) != says(after, key)).collect()
}

/// What differs and takes a restart to change.
fn fixed_changes(before: &Document, after: &Document, further: &[&str]) -> Problems {
    let is_fixed = |key: &str| !SECTIONS.contains(&key) && !FREE.contains(&key) && !further.contains(&key);
    let mut problems = Problems::new();
    let message = "cannot change while Sawyer runs: restart it, or put back what was there";
    for (key, at) in after.at().entries() {
        let known = before.root().get(&key.text).filter(|node| !node.is_null());
        if is_fixed(&key.text) && known != Some(at.node()).filter(|node| !node.is_null()) {
            problems.push(&at, message);
        }
    }
    for (key, at) in before.at().entries() {
        if is_fixed(&key.text) && after.root().get(&key.text).is_none() && !at.node().is_null() {
            let place = Place::whole(&after.root().place.file);
            problems.add(Problem {
                place,
                path: key.text.clone(),
                message: format!("is gone, and {message}"),
            });
        }
    }
    problems
}
