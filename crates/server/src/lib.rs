//! The HTTP API and the UI: questions in, JSON out.
//!
//! Owns: routes, parameters and the JSON of answers; `docs/api.md` describes them. Nobody else knows these.
//! Does not own: the listener (`agent`), what a query means (`query`), how it is answered (whatever implements
//! [`Search`]).
//! Invariant: every request is bounded in time, memory and number of its kind, and ends when its client leaves.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};
use sawyer_alert::Alerts;
use sawyer_input::{NativeHub, PushHub};
use sawyer_pipeline::Stop;
use sawyer_query::search::Search;
use sawyer_query::upkeep::{Restore, Upkeep};
use sawyer_telemetry::{Clock, Metrics};
use tokio::sync::Semaphore;

mod alerts;
mod ask;
mod delete;
mod error;
mod export;
mod histogram;
mod ingest;
mod limits;
mod native;
mod params;
mod random;
mod record;
mod restore;
mod retention;
mod search;
mod status;
mod summary;
mod tail;
mod ui;
mod values;

pub use limits::{QueryLimits, QuerySettings};

/// What the API answers from. Clones share it.
#[derive(Clone)]
pub struct Api(Arc<State>);

struct State {
    search: Arc<dyn Search>,
    upkeep: Arc<dyn Upkeep>,
    restore: Arc<dyn Restore>,
    alerts: Alerts,
    clock: Clock,
    metrics: Metrics,
    limits: QueryLimits,
    running: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    stop: Stop,
    started: sawyer_model::Timestamp,
    role: &'static str,
}

/// What the API is given.
pub struct Parts {
    /// Whom to ask.
    pub search: Arc<dyn Search>,
    /// Whom to ask how long it is kept.
    pub upkeep: Arc<dyn Upkeep>,
    /// Who brings back what a copy has.
    pub restore: Arc<dyn Restore>,
    /// The alerts over it.
    pub alerts: Alerts,
    /// The time.
    pub clock: Clock,
    /// Where it counts, and reads what others counted.
    pub metrics: Metrics,
    /// Bounds of queries.
    pub limits: QueryLimits,
    /// When the process stops. Live views end then; they would never end by themselves.
    pub stop: Stop,
    /// The name of the process's role.
    pub role: &'static str,
}

impl Api {
    /// An API over these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { search, upkeep, restore, alerts, clock, metrics, limits, stop, role } = parts;
        let running = Arc::new(Semaphore::new(limits.concurrent_max));
        let tails = Arc::new(Semaphore::new(tail::TAILS_MAX));
        let started = clock.now();
        Self(Arc::new(State {
            search,
            upkeep,
            restore,
            alerts,
            clock,
            metrics,
            limits,
            running,
            tails,
            stop,
            started,
            role,
        }))
    }

    /// The routes that delete and restore records, relative to `/api/v1`, for whoever may.
    pub fn keeper_routes(&self) -> Router {
        let routes = Router::new().route("/delete", post(delete::delete));
        routes.route("/restore", post(restore::restore)).with_state(self.clone())
    }

    /// The routes of questions below `/api/v1`, those of `others` beside them, and the UI everywhere else.
    pub fn routes(self, others: Router) -> Router {
        let api = Router::new()
            .route("/search", get(search::search).post(search::search))
            .route("/records/{id}", get(record::record))
            .route("/count", get(search::count).post(search::count))
            .route("/histogram", get(histogram::histogram).post(histogram::histogram))
            .route("/fields", get(values::fields).post(values::fields))
            .route("/values", get(values::values).post(values::values))
            .route("/summary", get(summary::summary).post(summary::summary))
            .route("/patterns", get(summary::patterns).post(summary::patterns))
            .route("/export", get(export::export).post(export::export))
            .route("/range", get(ask::range).post(ask::range))
            .route("/tail", get(tail::tail))
            .route("/retention", get(retention::retention))
            .route("/retention/preview", post(retention::preview))
            .route("/status", get(status::status));
        let api = api.nest("/alerts", alerts::routes());
        let api = api.with_state(self).merge(others);
        below_api(api).fallback(ui::serve)
    }
}

/// The route that takes pushed records, relative to `/api/v1`.
pub fn ingest_routes(hub: PushHub, clock: Clock) -> Router {
    let limit = DefaultBodyLimit::max(ingest::BODY_BYTES_MAX);
    let receiver = ingest::Receiver::new(hub, clock);
    Router::new().route("/ingest", post(ingest::ingest).layer(limit)).with_state(receiver)
}

/// The route that takes batches of other Sawyers, relative to `/api/v1`.
pub fn native_routes(hub: NativeHub, clock: Clock) -> Router {
    let receiver = native::NativeReceiver::new(hub, clock);
    let routes = Router::new()
        .route("/native", post(native::native))
        .route("/native/checkpoint", post(native::checkpoint));
    // They bound bodies themselves, all of them together.
    routes.layer(DefaultBodyLimit::disable()).with_state(receiver)
}

/// The routes of a process that takes records and answers no questions.
pub fn receiver_routes(routes: Router) -> Router {
    below_api(routes)
}

/// Below `/api`, nothing but the routes and the methods that they have is an answer.
fn below_api(routes: Router) -> Router {
    let routes = routes.fallback(error::no_such_route).method_not_allowed_fallback(error::no_such_method);
    Router::new().nest("/api/v1", routes).route("/api/{*path}", any(error::no_such_route))
}
