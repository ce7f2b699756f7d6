//! What roles with the embedded store have beyond the others.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use sawyer_config::{At, Problems, Setting};
use sawyer_disk::Disk;
use sawyer_pipeline::Stop;
use sawyer_server::{Api, QueryLimits};
use sawyer_store::{Store, StorePlan, StoreSettings};
use sawyer_telemetry::{Clock, Metrics};

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

/// The routes of a role, beside those that all have.
pub(super) fn routes(
    role: Role,
    store: Option<&Arc<Store>>,
    clock: &Clock,
    metrics: &Metrics,
    shared: &Shared,
    stop: &Stop,
) -> Router {
    let receivers = sawyer_server::ingest_routes(shared.hub.clone(), clock.clone())
        .merge(sawyer_server::native_routes(shared.native.clone()));
    let Some(store) = store else {
        return match role {
            Role::Gateway => sawyer_server::receiver_routes(receivers),
            _ => Router::new(),
        };
    };
    let search = Arc::clone(store);
    let (clock, metrics) = (clock.clone(), metrics.clone());
    let (limits, stop) = (QueryLimits::default(), stop.clone());
    let parts = sawyer_server::Parts { search, clock, metrics, limits, stop, role: role.name() };
    Api::new(parts).routes(receivers)
}
