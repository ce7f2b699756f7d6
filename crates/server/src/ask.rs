//! From parameters to a selection, and from a request to a thread that answers it.

use std::time::Duration;

use sawyer_codec::json_out;
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_query::kql;
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_query::time;
use serde_json::json;

use crate::Api;
use crate::error::ApiError;
use crate::limits::QueryLimits;
use crate::params::Params;

/// How long a query waits for its turn before its client is told to come back.
pub(crate) const TURN_WAIT_MAX: Duration = Duration::from_secs(10);

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

/// The moment that a parameter names.
fn instant(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    if text == EPOCH {
        return Ok(Timestamp::EPOCH);
    }
    let parsed = time::parse_instant(text, now, &jiff::tz::TimeZone::UTC, time::Edge::Down);
    parsed.map_err(|error| ApiError::invalid(format!("{name}: {error}")))
}

impl Api {
    /// The selection that `query`, `start` and `end` name.
    pub(crate) fn selection(&self, params: &Params) -> Result<Selection, ApiError> {
        let now = self.0.clock.now();
        let instant = |name: &str, default: &str| instant(name, params.text(name).unwrap_or(default), now);
        let (start, end) = (instant("start", DEFAULT_START)?, instant("end", "now")?);
        self.selection_between(params, start, end, now)
    }

    /// The same where what is not named leaves nothing out.
    pub(crate) fn selection_of_all(&self, params: &Params) -> Result<Selection, ApiError> {
        let now = self.0.clock.now();
        let instant = |name: &str, default: Timestamp| {
            params.text(name).map_or(Ok(default), |text| instant(name, text, now))
        };
        let (start, end) = (instant("start", Timestamp::MIN)?, instant("end", Timestamp::MAX)?);
        self.selection_between(params, start, end, now)
    }

    fn selection_between(
        &self,
        params: &Params,
        start: Timestamp,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<Selection, ApiError> {
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

    /// The limits of a query: those that it names, as far as they are lower than those of all.
    pub(crate) fn limits(&self, params: &Params) -> Result<QueryLimits, ApiError> {
        let mut limits = self.0.limits;
        if let Some(text) = params.text("time_max") {
            let time = sawyer_config::duration::parse(text).ok_or_else(|| {
                ApiError::invalid(format!("time_max: expected a length such as 500ms or 10s, found `{text}`"))
            })?;
            limits.time_max = limits.time_max.min(time);
        }
        if let Some(text) = params.text("bytes_max") {
            let bytes = text.parse::<sawyer_config::ByteSize>().map_err(|_| {
                ApiError::invalid(format!("bytes_max: expected a size such as 100MiB, found `{text}`"))
            })?;
            limits.bytes_max = limits.bytes_max.min(bytes.bytes());
        }
        Ok(limits)
    }

    /// Answers a question with these parameters; see [`Api::answer`].
    pub(crate) async fn answer_to<T: Send + 'static>(
        &self,
        params: &Params,
        work: impl FnOnce(&Self, &Budget) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.answer_within(self.limits(params)?, work).await
    }

    /// Answers on a thread of its own, when it is its turn. The work is cancelled when the request is dropped.
    pub(crate) async fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &Budget) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.answer_within(self.0.limits, work).await
    }

    /// The same within limits of its own.
    pub(crate) async fn answer_within<T: Send + 'static>(
        &self,
        limits: QueryLimits,
        work: impl FnOnce(&Self, &Budget) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = tokio::time::timeout(TURN_WAIT_MAX, self.0.running.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(ApiError::busy());
        };
        let budget = limits.budget();
        let _cancel = CancelOnDrop(budget.clone());
        let api = self.clone();
        let worker = tokio::task::spawn_blocking(move || work(&api, &budget));
        let panicked = |panic| Error::new(ErrorKind::Bug, "the query panicked").because(panic);
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
        "blocks_read": stats.blocks_read,
        "blocks_skipped": stats.blocks_skipped,
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

#[cfg(test)]
mod tests {
    use sawyer_model::Value;

    use super::*;

    #[test]
    fn numbers_are_answered_as_they_are() {
        for float in [1.774_862_202_534_643_9, 13.114_189_588_902_203, 1e308, 5e-324, -0.0] {
            assert_eq!(value_json(&Value::Float(float)).as_f64(), Some(float));
        }
        assert_eq!(value_json(&Value::Int(i64::MIN)).to_string(), i64::MIN.to_string());
    }
}
