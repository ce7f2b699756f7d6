//! What roles with the embedded store have beyond the others.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use axum::middleware::from_fn;
use sawyer_alert::{AlertPlan, Alerts};
use sawyer_config::{At, Document, Problems, Setting};
use sawyer_disk::{Disk, EncryptedDisk, Key, RealDisk};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::Stop;
use sawyer_query::search::{Budget, Search};
use sawyer_query::upkeep::{Restore, RestoreReport, RestoreRequest};
use sawyer_server::{Api, QueryLimits, QuerySettings};
use sawyer_store::{Store, StorePlan, StoreSettings};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::task::JoinHandle;

use super::{Role, Shared};

/// Reads the section `store`.
pub(super) fn plan(role: Role, at: &At<'_>, problems: &mut Problems) -> Option<StorePlan> {
    let section = at.get("store");
    if !role.stores() {
        if let Some(section) = section {
            problems.push(
                &section,
                format!("a {} has no store; this section belongs to `up` and `server`", role.name()),
            );
        }
        return None;
    }
    match section {
        Some(section) => StoreSettings::read(&section, problems)?.check(&section, problems),
        None => StoreSettings::default().check(at, problems),
    }
}

/// Reads the section `queries`.
pub(super) fn query_limits(role: Role, at: &At<'_>, problems: &mut Problems) -> Option<QueryLimits> {
    let section = at.get("queries");
    if !role.stores() {
        if let Some(section) = section {
            let message = format!(
                "`sawyer {}` answers no queries; this section belongs to `up` and `server`",
                role.name()
            );
            problems.push(&section, message);
        }
        return None;
    }
    match section {
        Some(section) => QuerySettings::read(&section, problems).map(QueryLimits::from),
        None => Some(QueryLimits::default()),
    }
}

/// What the section `store` of a configuration file means.
pub(crate) fn plan_of(config: Option<&Path>) -> Result<StorePlan> {
    let document = sawyer_agent::process::document(config).map_err(|problems| super::refuse(&problems))?;
    let mut problems = Problems::new();
    let plan = plan(Role::Server, &document.at(), &mut problems);
    problems.into_result(plan).map_err(|problems| super::refuse(&problems))
}

/// Opens the store and hands it to the output that writes into it.
pub(super) fn open(
    role: Role,
    plan: Option<StorePlan>,
    disk: &Arc<dyn Disk>,
    clock: &Clock,
    metrics: &Metrics,
    shared: &Shared,
) -> Result<Option<Arc<Store>>> {
    let Some(plan) = plan.filter(|_| role.stores()) else { return Ok(None) };
    let store = Store::open(disk.sub("store"), plan, clock.clone(), metrics);
    let store = Arc::new(store.map_err(|error| anyhow!(error)).context("open the store")?);
    let set = shared.store.set(Arc::clone(&store));
    set.map_err(|_| anyhow!("a process has one store"))?;
    Ok(Some(store))
}

/// Reads the section `alerts`.
pub(super) fn alert_plan(role: Role, at: &At<'_>, problems: &mut Problems) -> Option<AlertPlan> {
    let section = at.get("alerts");
    if !role.stores() {
        if let Some(section) = section {
            let message =
                format!("a {} evaluates no alerts; this section belongs to `up` and `server`", role.name());
            problems.push(&section, message);
        }
        return None;
    }
    match section {
        Some(section) => AlertPlan::read(&section, problems),
        None => Some(AlertPlan::default()),
    }
}

/// Opens alerts over the store.
pub(super) fn open_alerts(
    plan: Option<AlertPlan>,
    store: Option<&Arc<Store>>,
    disk: &Arc<dyn Disk>,
    clock: &Clock,
    metrics: &Metrics,
    url: &str,
) -> Result<Option<Alerts>> {
    let Some((plan, store)) = plan.zip(store) else { return Ok(None) };
    let parts = sawyer_alert::Parts {
        search: Arc::clone(store) as Arc<dyn Search>,
        disk: disk.sub("alerts"),
        clock: clock.clone(),
        metrics: metrics.clone(),
        listen_url: url.to_owned(),
    };
    plan.open(parts).map(Some).map_err(|error| anyhow!(error)).context("open alerts")
}

/// Prepares what a changed configuration says about alerts.
pub(super) fn prepare_alerts(
    role: Role,
    alerts: Option<&Alerts>,
    document: &Document,
) -> Result<Box<dyn FnOnce() + Send>, Error> {
    let Some(alerts) = alerts.cloned() else { return Ok(Box::new(|| {})) };
    let mut problems = Problems::new();
    let plan = alert_plan(role, &document.at(), &mut problems);
    let wrong = |problems: Problems| Error::new(ErrorKind::Invalid, problems.to_string());
    let prepared = alerts.prepare(problems.into_result(plan).map_err(wrong)?)?;
    Ok(Box::new(move || alerts.replace(prepared)))
}

/// How often it is looked whether the store is alive.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Says that the process is dead once a thread of the store is: nothing is written any more, and only a restart helps.
pub(super) async fn watch(store: Arc<Store>, health: Health) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let dead = store.dead_threads();
        if !dead.is_empty() {
            let names = dead.join(", ");
            tracing::error!(threads = names, "threads of the store have ended; only a restart helps");
            return health.dead("store", format!("these threads have ended: {names}"));
        }
    }
}

/// Evaluates and tells until the stop.
pub(super) fn start_alerts(alerts: Option<Alerts>, stop: &Stop) -> JoinHandle<Result<(), Error>> {
    let stop = stop.clone();
    tokio::spawn(async move {
        match alerts {
            Some(alerts) => alerts.run(async move { stop.stopped().await }).await,
            None => Ok(()),
        }
    })
}

/// A store, and the keys by which copies of it are read.
pub(super) struct Copies {
    pub(super) store: Arc<Store>,
    pub(super) keys: Vec<Key>,
}

impl Restore for Copies {
    fn restore(
        &self,
        from: &Path,
        request: &RestoreRequest,
        budget: &Budget,
    ) -> Result<RestoreReport, Error> {
        // A folder that is missing would be made.
        if !from.is_dir() {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no folder {}", from.display())));
        }
        let opened =
            RealDisk::new(from).and_then(|disk| EncryptedDisk::open(Arc::new(disk), self.keys.clone()));
        let copy = opened.map_err(|error| {
            let kind = if error.kind() == sawyer_disk::ErrorKind::NoKey {
                ErrorKind::Invalid
            } else {
                ErrorKind::Retry
            };
            Error::new(kind, "open the copy").because(error)
        })?;
        self.store.restore(&copy, request, budget)
    }
}

/// The routes of a role, beside those that all have.
pub(super) fn routes(
    role: Role,
    asked: Option<(Arc<Copies>, Alerts)>,
    limits: QueryLimits,
    clock: &Clock,
    metrics: &Metrics,
    shared: &Shared,
    stop: &Stop,
) -> Router {
    let receivers = sawyer_server::ingest_routes(shared.hub.clone(), clock.clone())
        .merge(sawyer_server::native_routes(shared.native.clone(), clock.clone()));
    let Some((restore, alerts)) = asked else {
        return match role {
            Role::Gateway => sawyer_server::receiver_routes(receivers),
            _ => Router::new(),
        };
    };
    let (search, upkeep) = (Arc::clone(&restore.store), Arc::clone(&restore.store));
    let (clock, metrics) = (clock.clone(), metrics.clone());
    let stop = stop.clone();
    let parts = sawyer_server::Parts {
        search,
        upkeep,
        restore,
        alerts,
        clock,
        metrics,
        limits,
        stop,
        role: role.name(),
    };
    let api = Api::new(parts);
    let keeping = api.keeper_routes().layer(from_fn(sawyer_agent::local::only));
    api.routes(receivers.merge(keeping))
}
