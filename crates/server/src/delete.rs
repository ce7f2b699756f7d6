//! `/delete`: records that are not to be kept.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::Api;
use crate::error::ApiError;
use crate::limits::QueryLimits;
use crate::params::Params;

/// How long one request may delete. What was done by then stays done, and the next request goes on.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// Deletes the records of a query if `confirm` says so; otherwise only counts them.
pub(crate) async fn delete(State(api): State<Api>, params: Params) -> Result<Json<Value>, ApiError> {
    // What a question leaves out has a sensible default; what is deleted does not come back.
    for (name, advice) in [("query", "`*` is every record"), ("start", "`0` is the beginning of time")] {
        if params.text(name).is_none() {
            return Err(ApiError::invalid(format!("{name}: required; {advice}")));
        }
    }
    let selection = api.selection(&params)?;
    if !params.flag("confirm", false)? {
        let counted = api.answer_to(&params, move |api, budget| api.0.search.count(&selection, budget)).await;
        let (count, stats) = counted?;
        return Ok(Json(json!({ "count": count, "partial": stats.partial, "deleted": 0 })));
    }
    let query = params.text("query").unwrap_or_default().to_owned();
    let limits = QueryLimits { time_max: TIME_MAX, ..QueryLimits::default() };
    let deleting = api.answer_within(limits, move |api, budget| {
        let (start, end) = (selection.start, selection.end);
        tracing::warn!(query, %start, %end, "records are deleted on request");
        let deleted = api.0.upkeep.delete(&selection, budget);
        match &deleted {
            Ok(records) => tracing::warn!(query, records, "records were deleted on request"),
            Err(error) => {
                tracing::warn!(query, "deleting records has ended before all were: {}", error.chain());
            }
        }
        deleted
    });
    Ok(Json(json!({ "deleted": deleting.await? })))
}
