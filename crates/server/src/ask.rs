//! From parameters to a selection, and from a request to a thread that answers it.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use sawyer_codec::json_out;
use sawyer_model::{Error, Timestamp};
use sawyer_query::kql;
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_query::time;
use serde_json::json;

use crate::Api;
use crate::error::ApiError;
use crate::params::Params;

/// How much queries may take.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Queries that run at the same time; further ones wait.
    pub concurrent_max: usize,
    /// How long one may run. What was found by then is the answer, marked as partial.
    pub time_max: Duration,
    /// How many records one may look at.
    pub rows_max: u64,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { concurrent_max: 8, time_max: Duration::from_secs(30), rows_max: u64::MAX }
    }
}

/// How long a query waits for its turn before its client is told to come back.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);

/// How far back a query looks that does not say.
const DEFAULT_START: &str = "now-1h";

/// The beginning of time, as people write it. Other numbers of so few digits could as well be years.
const EPOCH: &str = "0";

/// Cancels its budget when the request is gone.
struct CancelOnDrop(Budget);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Api {
    /// The selection that `query`, `start` and `end` name.
    pub(crate) fn selection(&self, params: &Params) -> Result<Selection, ApiError> {
        let now = self.0.clock.now();
        let instant = |name: &str, default: &str, edge: time::Edge| {
            let text = params.text(name).unwrap_or(default);
            if text == EPOCH {
                return Ok(Timestamp::EPOCH);
            }
            let parsed = time::parse_instant(text, now, &jiff::tz::TimeZone::UTC, edge);
            parsed.map_err(|error| ApiError::invalid(format!("{name}: {error}")))
        };
        let start = instant("start", DEFAULT_START, time::Edge::Down)?;
        let end = instant("end", "now", time::Edge::Down)?;
        if start > end {
            return Err(ApiError::invalid(format!("start: {start} is later than end, {end}")));
        }
        Ok(Selection { predicate: self.predicate(params, now)?, start, end })
    }

    /// The condition that `query` names.
    pub(crate) fn predicate(
        &self,
        params: &Params,
        now: Timestamp,
    ) -> Result<sawyer_query::Predicate, ApiError> {
        let query = params.text("query").unwrap_or("");
        let options = kql::CompileOptions { now, ..kql::CompileOptions::default() };
        kql::compile(query, &options).map_err(|error| ApiError::query(&error, query))
    }

    /// Answers on a thread of its own, when it is its turn. The work is cancelled when the request is dropped.
    pub(crate) async fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &Budget) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = tokio::time::timeout(TURN_WAIT_MAX, self.0.running.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let busy = Error::new(sawyer_model::ErrorKind::Retry, "too many queries are running");
            return Err(ApiError::from(busy).with_status(StatusCode::TOO_MANY_REQUESTS));
        };
        let budget = Budget::new(Some(Instant::now() + self.0.limits.time_max), self.0.limits.rows_max);
        let _cancel = CancelOnDrop(budget.clone());
        let api = self.clone();
        let worker = tokio::task::spawn_blocking(move || work(&api, &budget));
        let panicked = |panic| Error::new(sawyer_model::ErrorKind::Bug, "the query panicked").because(panic);
        Ok(worker.await.map_err(panicked)??)
    }
}

/// A value as it stands in records.
pub(crate) fn value_json(value: &sawyer_model::Value) -> serde_json::Value {
    let mut text = Vec::new();
    json_out::write_value(value.as_ref(), &mut text);
    serde_json::from_slice(&text).unwrap_or_default()
}

/// The `stats` of an answer.
pub(crate) fn stats_json(stats: &SearchStats) -> serde_json::Value {
    json!({
        "rows_matched": stats.rows_matched,
        "rows_scanned": stats.rows_scanned,
        "bytes_read": stats.bytes_read,
        "segments_read": stats.segments_read,
        "segments_skipped": stats.segments_skipped,
        "elapsed_ms": (stats.elapsed.as_secs_f64() * 1e6).round() / 1e3,
        "partial": stats.partial,
    })
}

/// `/range`: what `start` and `end` are at this moment.
pub(crate) async fn range(
    axum::extract::State(api): axum::extract::State<Api>,
    params: Params,
) -> Result<axum::Json<serde_json::Value>, ApiError> {
    let selection = api.selection(&params)?;
    Ok(axum::Json(json!({"start": selection.start.to_string(), "end": selection.end.to_string()})))
}
