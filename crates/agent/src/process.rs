//! Reads the configuration of a process as a whole, and runs what it says.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use sawyer_config::{At, Document, Loader, Problems, Setting};
use sawyer_delivery::tls::ListenTls;
use sawyer_disk::Disk;
use sawyer_model::Error;
use sawyer_pipeline::topology::{Resources, SECTIONS};
use sawyer_pipeline::{Kinds, Stop, Stopper, TopologyPlan};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::net::TcpListener;

use crate::buffers::Shown;
use crate::reload::{self, Configured};
use crate::settings::ProcessSettings;
use crate::{buffers, http, ledger};

/// A configuration that is right as a whole.
#[derive(Debug)]
pub struct ProcessPlan {
    /// The process.
    pub settings: ProcessSettings,
    /// What is wired to what.
    pub topology: TopologyPlan,
}

/// Sections whose maps hold names, so that included files may add to them: `alerts.rules`.
const DEEP_SECTIONS: &[&str] = &["alerts"];

/// Reads a configuration file, or no file at all.
///
/// # Errors
/// Every problem of its form, and of the files that it includes.
pub fn document(path: Option<&Path>) -> Result<Document, Problems> {
    match path {
        Some(path) => Loader::system().deep(DEEP_SECTIONS).load(path),
        None => Document::parse("no configuration", ""),
    }
}

/// Reads a configuration file with something in the place of variables that are not set here, for finding what else is
/// wrong with it.
///
/// # Errors
/// Every other problem of its form.
pub fn document_elsewhere(path: &Path) -> Result<Document, Problems> {
    Loader::system().deep(DEEP_SECTIONS).stand_in("unset").load(path)
}

impl ProcessPlan {
    /// Reads the process's settings and the topology below `at`. `fallback` is the YAML text of the role's own
    /// `inputs` and `outputs`, which hold where the configuration has none. `others` are further sections at the
    /// top, which somebody else reads.
    pub fn read(
        at: &At<'_>,
        fallback: &str,
        kinds: &Kinds,
        others: &[&'static str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let fallback =
            Document::parse("the role's defaults", fallback).expect("they are part of the program");
        let topology = TopologyPlan::read(at, &fallback.at(), kinds, problems);
        let settings = ProcessSettings::read(&at.without(SECTIONS).without(others), problems);
        Some(Self { topology: topology?, settings: settings? })
    }
}

/// What a process is given to run.
#[derive(Debug)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Where everything counts.
    pub metrics: Metrics,
    /// The data folder.
    pub disk: Arc<dyn Disk>,
    /// Where the process listens ([`http::listen`]).
    pub listener: TcpListener,
    /// How it is encrypted there, if it is ([`http::encryption`]).
    pub tls: Option<ListenTls>,
    /// Routes beside those that every role has.
    pub routes: Router,
    /// Whether it is ready.
    pub health: Health,
    /// The configuration, to be read again while it runs.
    pub configured: Configured,
}

/// Opens the topology, calls `started` once requests are answered, and runs until `stop`; then drains.
///
/// # Errors
/// What stands in the way of starting, or the first failure of a part after everything has ended.
pub async fn run(plan: ProcessPlan, parts: Parts, stop: Stop, started: impl FnOnce()) -> Result<(), Error> {
    let resources = Resources {
        clock: parts.clock,
        metrics: parts.metrics.clone(),
        state: parts.disk.sub("state"),
        host_root: plan.settings.host_root.clone(),
        ports: sawyer_pipeline::Ports::default(),
        health: parts.health.clone(),
    };
    let topology = plan.topology.open(&resources)?;
    // Clients keep asking while the topology drains; the listener ends when that is done, at once.
    let (unplug, unplugged) = Stopper::new();
    let shown = Shown::default();
    let buffers = buffers::router(shown.clone());
    let router = http::router(parts.health, parts.metrics.clone())
        .merge(buffers)
        .merge(ledger::router(parts.metrics))
        .merge(parts.routes);
    let serving = tokio::spawn(http::serve(parts.listener, parts.tls, router, unplugged));
    started();
    let ran = reload::run(topology, plan.settings.drain, parts.configured, &resources, &shown, &stop).await;
    // Everything may have ended by itself (inputs that are read to their end); what was stored stays searchable.
    stop.stopped().await;
    unplug.stop();
    let abort = serving.abort_handle();
    if tokio::time::timeout(CONNECTIONS_GRACE, serving).await.is_err() {
        abort.abort();
    }
    ran
}

/// How long requests under way may take at a stop; tails never end by themselves.
const CONNECTIONS_GRACE: std::time::Duration = std::time::Duration::from_millis(300);
