//! From a role's name to a running process: which kinds it knows, what it does by default, what it opens.
//!
//! Owns: the differences between roles; there are none elsewhere.
//! Invariant: everything that can be refused is refused before anything runs.

#[cfg(feature = "server")]
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use sawyer_agent::process::{self, Parts};
use sawyer_agent::{Configured, ProcessPlan, http};
use sawyer_config::{At, Document, Problem, Problems};
use sawyer_input::PushHub;
#[cfg(feature = "server")]
use sawyer_pipeline::Stop;
use sawyer_pipeline::{Kinds, Stopper};
use sawyer_telemetry::{Clock, Health, Metrics, logs};

use crate::args::{Common, RoleName};

mod manual;
#[cfg(feature = "server")]
mod storing;

pub(crate) use manual::reference;

/// Folder of the data folder that nobody but the process uses.
const LOCK_FILE: &str = "sawyer.lock";

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything in one process.
    #[cfg(feature = "server")]
    Up {
        /// With a workload to look at.
        demo: bool,
    },
    /// Collects and passes on.
    Agent,
    /// Collects the files of one application.
    Sidecar {
        /// Its inputs, and outputs if it prints.
        defaults: &'static str,
    },
    /// Receives and passes on.
    #[cfg(feature = "server")]
    Gateway,
    /// Receives, stores, searches, shows.
    #[cfg(feature = "server")]
    Server,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "server")]
            Self::Up { .. } => "up",
            Self::Agent => "agent",
            Self::Sidecar { .. } => "sidecar",
            #[cfg(feature = "server")]
            Self::Gateway => "gateway",
            #[cfg(feature = "server")]
            Self::Server => "server",
        }
    }

    /// Whether it has the embedded store, and with it the API of questions and the UI.
    #[cfg(feature = "server")]
    fn stores(self) -> bool {
        match self {
            Self::Up { .. } | Self::Server => true,
            Self::Gateway | Self::Agent | Self::Sidecar { .. } => false,
        }
    }

    /// The inputs and outputs that hold where the configuration has none.
    fn defaults(self, data: &Path) -> String {
        const COLLECT: &str = include_str!("roles/defaults-collect.yaml");
        #[cfg(feature = "server")]
        const RECEIVE: &str = "  ingest: {type: push}\n  sawyer:\n";
        #[cfg(feature = "server")]
        const STORE: &str = "outputs:\n  store:\n";
        match self {
            #[cfg(feature = "server")]
            Self::Up { demo } => {
                let demo = if demo { demo_input(data) } else { String::new() };
                format!("{COLLECT}{RECEIVE}{demo}{STORE}")
            }
            Self::Agent => {
                let _ = data;
                COLLECT.to_owned()
            }
            Self::Sidecar { defaults } => defaults.to_owned(),
            #[cfg(feature = "server")]
            Self::Gateway => format!("inputs:\n{RECEIVE}"),
            #[cfg(feature = "server")]
            Self::Server => format!("inputs:\n{RECEIVE}{STORE}"),
        }
    }
}

/// The input that reads what the demo writes.
#[cfg(feature = "server")]
const DEMO_INPUT: &str = "demo";

#[cfg(feature = "server")]
fn demo_input(data: &Path) -> String {
    let folder = std::path::absolute(demo_folder(data)).unwrap_or_else(|_| demo_folder(data));
    let folder = sawyer_config::yaml_text(&folder.to_string_lossy());
    format!(
        "  {DEMO_INPUT}: {{type: containers, pods: {folder}, links: null, docker: null, on_host: false}}\n"
    )
}

#[cfg(feature = "server")]
fn demo_folder(data: &Path) -> PathBuf {
    data.join("demo/pods")
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            #[cfg(feature = "server")]
            RoleName::Up => Self::Up { demo: false },
            RoleName::Agent => Self::Agent,
            #[cfg(feature = "server")]
            RoleName::Gateway => Self::Gateway,
            #[cfg(feature = "server")]
            RoleName::Server => Self::Server,
        }
    }
}

/// What a configuration says for a role, all of it checked.
struct RolePlan {
    process: ProcessPlan,
    #[cfg(feature = "server")]
    store: Option<sawyer_store::StorePlan>,
    #[cfg(feature = "server")]
    queries: Option<sawyer_server::QueryLimits>,
    #[cfg(feature = "server")]
    alerts: Option<sawyer_alert::AlertPlan>,
}

/// What components of different kinds share.
#[derive(Clone, Default)]
struct Shared {
    hub: PushHub,
    #[cfg(feature = "server")]
    native: sawyer_input::NativeHub,
    #[cfg(feature = "server")]
    store: sawyer_output::store::StoreHandle,
    #[cfg(feature = "server")]
    alerts: Arc<std::sync::OnceLock<sawyer_alert::Alerts>>,
}

/// The sections at the top of a configuration that are neither the process's nor the topology's.
const SECTIONS: &[&str] = &["store", "queries", "alerts"];

fn kinds(role: Role, shared: &Shared) -> Kinds {
    #[cfg_attr(not(feature = "server"), expect(unused_mut, reason = "nothing is added without a store"))]
    let mut outputs = sawyer_output::kinds();
    #[cfg(feature = "server")]
    if role.stores() {
        outputs.insert(0, sawyer_output::store::kind(shared.store.clone()));
    }
    #[cfg_attr(not(feature = "server"), expect(unused_mut, reason = "nothing is added without the routes"))]
    let mut inputs = sawyer_input::kinds(&shared.hub);
    #[cfg(feature = "server")]
    if role != Role::Agent {
        inputs.push(sawyer_input::native::kind(&shared.native));
    }
    let _ = role;
    Kinds { inputs, steps: sawyer_pipeline::steps::kinds(), outputs }
}

fn plan(role: Role, at: &At<'_>, data: &Path, shared: &Shared) -> Result<RolePlan, Problems> {
    let mut problems = Problems::new();
    let defaults = role.defaults(data);
    let process = ProcessPlan::read(at, &defaults, &kinds(role, shared), SECTIONS, &mut problems);
    if process.as_ref().is_some_and(|plan| plan.topology.output_names().next().is_none()) {
        problems.push(at, format!("outputs: a {} needs at least one, to pass records on to", role.name()));
    }
    #[cfg(feature = "server")]
    let store = storing::plan(role, at, &mut problems);
    #[cfg(feature = "server")]
    let queries = storing::query_limits(role, at, &mut problems);
    #[cfg(feature = "server")]
    let alerts = storing::alert_plan(role, at, &mut problems);
    let plan = process.map(|process| RolePlan {
        process,
        #[cfg(feature = "server")]
        store,
        #[cfg(feature = "server")]
        queries,
        #[cfg(feature = "server")]
        alerts,
    });
    problems.into_result(plan)
}

#[cfg(feature = "server")]
pub(crate) use self::storing::plan_of as store_plan;

/// `sawyer check`
pub(crate) fn check(role: RoleName, config: &Path) -> Result<()> {
    let role = Role::from(role);
    let read = |document: &Document| plan(role, &document.at(), Path::new("data"), &Shared::default());
    let checked = match process::document(Some(config)) {
        Ok(document) => read(&document),
        Err(problems) => Err(with_the_rest(problems, config, read)),
    };
    let checked = checked.map_err(|problems| refuse(&problems))?;
    let inputs: Vec<&str> = checked.process.topology.input_names().collect();
    let outputs: Vec<&str> = checked.process.topology.output_names().collect();
    say(&format!(
        "{}: good for `sawyer {}`: inputs {}; outputs {}",
        config.display(),
        role.name(),
        inputs.join(", "),
        outputs.join(", ")
    ));
    Ok(())
}

/// Adds what is wrong besides variables that are not set, as they seldom are where a configuration is checked.
fn with_the_rest<T>(
    mut problems: Problems,
    config: &Path,
    read: impl Fn(&Document) -> Result<T, Problems>,
) -> Problems {
    let others = process::document_elsewhere(config).and_then(|document| read(&document));
    let unset: Vec<String> = problems.iter().map(|problem| problem.path.clone()).collect();
    // What stands in for a value is wrong for being none, and so may be what holds it.
    let follows = |other: &Problem| {
        let mut within = unset.iter().filter_map(|path| path.strip_prefix(&other.path));
        within.any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    for other in others.err().iter().flat_map(Problems::iter) {
        if !follows(other) {
            problems.add(other.clone());
        }
    }
    problems
}

fn refuse(problems: &Problems) -> anyhow::Error {
    let count = problems.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    anyhow!("the configuration has {count} {noun}\n{problems}")
}

#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn say(text: &str) {
    println!("{text}");
}

/// Runs a role until a signal tells it to stop.
pub(crate) fn run(role: Role, common: &Common) -> Result<()> {
    let document = process::document(common.config.as_deref()).map_err(|problems| refuse(&problems))?;
    let shared = Shared::default();
    let plan = read_with_overrides(role, common, &document, &shared);
    let mut plan = plan.map_err(|problems| refuse(&problems))?;
    overrule(&mut plan.process.settings, common);
    #[cfg(feature = "server")]
    refuse_unread_demo(role, &plan)?;
    logs::start(&plan.process.settings.log).map_err(told)?;
    if let Some(root) = plan.process.settings.host_root.as_ref().filter(|root| !root.is_dir()) {
        tracing::warn!(host_root = %root.display(), "the node's file system is not there; no logs are found below it");
    }
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start")?;
    let configured = configured(role, common, document, &shared);
    let done = runtime.block_on(start(role, plan, shared, configured));
    // A thread that is stuck in a system call must not keep a stopped process alive.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    done
}

/// Inputs of the configuration's own leave out the one that reads the demo.
#[cfg(feature = "server")]
fn refuse_unread_demo(role: Role, plan: &RolePlan) -> Result<()> {
    let read = plan.process.topology.input_names().any(|name| name == DEMO_INPUT);
    if role == (Role::Up { demo: true }) && !read {
        return Err(anyhow!(
            "--demo: the configuration names its own inputs, so nothing would read what the demo writes; \
             leave out --demo, or the section `inputs`"
        ));
    }
    Ok(())
}

/// Takes as many open files as the process may have; a node has thousands of log files.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!("raise the number of open files: {error}; goes on with {:?}", limit.current);
    }
}

/// What it takes to read the configuration again while the process runs.
fn configured(role: Role, common: &Common, document: Document, shared: &Shared) -> Configured {
    let path = common.config.clone();
    let (common, shared, hubs) = (common.clone(), shared.clone(), shared.clone());
    #[cfg(feature = "server")]
    let alerts = Arc::clone(&shared.alerts);
    let exchanging = move |exchanging| {
        hubs.hub.set_reopening(exchanging);
        #[cfg(feature = "server")]
        hubs.native.set_reopening(exchanging);
    };
    let read = move |document: &Document| {
        let mut plan = read_with_overrides(role, &common, document, &shared)?;
        overrule(&mut plan.process.settings, &common);
        Ok(plan.process)
    };
    #[cfg(feature = "server")]
    let prepare = move |document: &Document| storing::prepare_alerts(role, alerts.get(), document);
    #[cfg(not(feature = "server"))]
    let prepare = |_: &Document| Ok(Box::new(|| {}) as Box<dyn FnOnce() + Send>);
    Configured {
        path,
        document,
        read: Box::new(read),
        further: &["alerts"],
        prepare: Box::new(prepare),
        exchanging: Box::new(exchanging),
    }
}

fn read_with_overrides(
    role: Role,
    common: &Common,
    document: &Document,
    shared: &Shared,
) -> Result<RolePlan, Problems> {
    let data = common.data.clone().or_else(|| {
        let root = document.root();
        root.get("data")?.text().map(PathBuf::from)
    });
    let data = data.unwrap_or_else(|| sawyer_agent::ProcessSettings::default().data);
    plan(role, &document.at(), &data, shared)
}

fn overrule(settings: &mut sawyer_agent::ProcessSettings, common: &Common) {
    let Common { config: _, data, listen, host_root, log } = common;
    if let Some(data) = data {
        settings.data.clone_from(data);
    }
    if let Some(listen) = listen {
        settings.listen = *listen;
    }
    if let Some(host_root) = host_root {
        settings.host_root = Some(host_root.clone());
    }
    if let Some(log) = log {
        settings.log.clone_from(log);
    }
}

async fn start(role: Role, plan: RolePlan, shared: Shared, configured: Configured) -> Result<()> {
    let settings = plan.process.settings.clone();
    let listener = http::listen(settings.listen).await.map_err(told)?;
    let tls = http::encryption(settings.tls.clone()).map_err(told)?;
    let address = listener.local_addr().context("learn the address")?;
    let url = url(&settings, address);
    let keys: Vec<_> =
        settings.encryption_at_rest.iter().flat_map(|at_rest| at_rest.keys.0.clone()).collect();
    let disk =
        crate::data::open(&settings.data, keys.clone()).with_context(|| data_advice(&settings.data))?;
    let lock = disk.lock(Path::new(LOCK_FILE)).with_context(|| data_advice(&settings.data))?;
    let (clock, metrics, health) = (Clock::system(), Metrics::new(), Health::new());
    metrics.ledger().set_role(role.name());
    let (stopper, stop) = Stopper::new();
    #[cfg(feature = "server")]
    let storing = storing::open(role, plan.store, &disk, &clock, &metrics, &shared)?;
    #[cfg(feature = "server")]
    let watching = storing.clone().map(|store| tokio::spawn(storing::watch(store, health.clone())));
    #[cfg(feature = "server")]
    let alerts = storing::open_alerts(plan.alerts, storing.as_ref(), &disk, &clock, &metrics, &url)?;
    #[cfg(feature = "server")]
    if let Some(alerts) = &alerts {
        // It is set once, here.
        let _ = shared.alerts.set(alerts.clone());
    }
    #[cfg(feature = "server")]
    let copies = storing.clone().map(|store| Arc::new(storing::Copies { store, keys }));
    #[cfg(feature = "server")]
    let (asked, limits) = (copies.zip(alerts.clone()), plan.queries.unwrap_or_default());
    #[cfg(feature = "server")]
    let routes = storing::routes(role, asked, limits, &clock, &metrics, &shared, &stop);
    #[cfg(feature = "server")]
    let alerting = storing::start_alerts(alerts, &stop);
    #[cfg(not(feature = "server"))]
    let routes = axum::Router::new();
    let stopper = Arc::new(stopper);
    let signals = tokio::spawn(stop_on_signal(Arc::clone(&stopper)));
    #[cfg(feature = "server")]
    let demo = start_demo(role, &settings.data, &clock, &stop);
    let parts = Parts { clock, metrics, disk, listener, tls, routes, health, configured };
    let ran = process::run(plan.process, parts, stop, || greet(role, address, &url, &settings.data)).await;
    // It may not have come as far as to wait for the signal, which the rest does.
    stopper.stop();
    #[cfg(feature = "server")]
    {
        demo.abort();
        watching.inspect(tokio::task::JoinHandle::abort);
        alerting.await.context("alerts")?.map_err(told)?;
        if let Some(store) = storing {
            tokio::task::spawn_blocking(move || store.close()).await.context("close the store")?;
        }
    }
    signals.abort();
    drop((lock, shared));
    ran.map_err(told)?;
    tracing::info!("stopped");
    Ok(())
}

fn data_advice(data: &Path) -> String {
    format!("use the data folder {}; choose another with --data", data.display())
}

fn told(error: sawyer_model::Error) -> anyhow::Error {
    anyhow!(error)
}

/// Gives the signal at Ctrl-C or SIGTERM; a second one ends the process at once.
async fn stop_on_signal(stopper: Arc<Stopper>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping: passing on what was read");
    stopper.stop();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    bail_now()
}

/// Nothing is lost: what is not acknowledged is read again.
fn bail_now() -> ! {
    std::process::exit(130)
}

#[cfg(feature = "server")]
#[expect(clippy::print_stderr, reason = "the first thing a newcomer reads")]
fn greet(role: Role, address: std::net::SocketAddr, url: &str, data: &Path) {
    tracing::info!(%address, url, data = %data.display(), role = role.name(), "ready");
    if !role.stores() || !std::io::stderr().is_terminal() {
        return;
    }
    eprintln!("\n  Sawyer is running.\n");
    let usual = format!("http://{}", sawyer_agent::ProcessSettings::default().listen);
    let server = if url == usual { String::new() } else { format!(" --server {url}") };
    eprintln!("  Look:    {url}");
    eprintln!("  Ask:     sawyer query 'level: error' --since 1h{server}");
    eprintln!("  API:     curl '{url}/api/v1/search?query=level:error&limit=10'");
    eprintln!("  Data:    {}", data.display());
    eprintln!("  Stop:    Ctrl-C\n");
}

/// Where the process is to be found.
fn url(settings: &sawyer_agent::ProcessSettings, address: std::net::SocketAddr) -> String {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", reachable(address))
}

/// The address to type on this machine where Sawyer listens on all of its addresses.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    use std::net::{IpAddr, Ipv4Addr};
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}

#[cfg(not(feature = "server"))]
fn greet(role: Role, address: std::net::SocketAddr, url: &str, data: &Path) {
    tracing::info!(%address, url, data = %data.display(), role = role.name(), "ready");
}

/// Writes the demo's workload until it is told to stop.
#[cfg(feature = "server")]
fn start_demo(role: Role, data: &Path, clock: &Clock, stop: &Stop) -> tokio::task::JoinHandle<()> {
    let (folder, clock, stop) = (demo_folder(data), clock.clone(), stop.clone());
    let wanted = role == (Role::Up { demo: true });
    tokio::spawn(async move {
        if !wanted {
            return;
        }
        if let Err(error) = write_demo(&folder, clock, &stop).await {
            tracing::error!("write the demo's workload: {error}");
        }
    })
}

#[cfg(feature = "server")]
async fn write_demo(folder: &Path, clock: Clock, stop: &Stop) -> std::io::Result<()> {
    use crate::demo::Demo;
    let folder = folder.to_owned();
    let mut demo = tokio::task::spawn_blocking(move || Demo::start(&folder, clock)).await??;
    let mut ticks = tokio::time::interval(Demo::INTERVAL);
    while !stop.is_stopped() {
        ticks.tick().await;
        demo = tokio::task::spawn_blocking(move || demo.catch_up().map(|()| demo)).await??;
    }
    Ok(())
}
