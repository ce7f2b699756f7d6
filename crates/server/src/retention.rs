//! `/retention`: what is kept how long, and what other settings would free.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use sawyer_query::upkeep::{PolicyReport, RetentionReport};
use serde_json::{Value, json};

use crate::Api;
use crate::error::ApiError;

type Body = Result<Bytes, axum::extract::rejection::BytesRejection>;

/// What the policies in force mean for what is held.
pub(crate) async fn retention(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let report = api.answer(move |api, budget| api.0.upkeep.retention(None, budget)).await?;
    Ok(Json(report_json(&report)))
}

/// What those in the body would mean.
pub(crate) async fn preview(State(api): State<Api>, body: Body) -> Result<Json<Value>, ApiError> {
    let body = body.map_err(|error| ApiError::invalid(format!("body: {error}")))?;
    let text = String::from_utf8(body.to_vec())
        .map_err(|_| ApiError::invalid("body: expected settings as text in YAML or JSON"))?;
    let report = api.answer(move |api, budget| api.0.upkeep.retention(Some(&text), budget)).await?;
    Ok(Json(report_json(&report)))
}

fn report_json(report: &RetentionReport) -> Value {
    let sum = |of: fn(&PolicyReport) -> u64| report.policies.iter().map(of).sum::<u64>();
    json!({
        "policies": report.policies.iter().map(policy_json).collect::<Vec<Value>>(),
        "size_max": report.size_max,
        "records": report.records,
        "bytes": report.bytes,
        "due_records": sum(|policy| policy.due_records),
        "due_bytes": sum(|policy| policy.due_bytes),
        "segments_removed": report.segments_removed,
        "segments_rewritten": report.segments_rewritten,
        "rewritten_bytes": report.rewritten_bytes,
        "partial": report.partial,
    })
}

fn policy_json(policy: &PolicyReport) -> Value {
    let PolicyReport { name, query, keep, size_max, records, bytes, due_records, due_bytes } = policy;
    json!({
        "name": (!name.is_empty()).then_some(name),
        "query": query,
        "keep_seconds": keep.as_secs(),
        "size_max": size_max,
        "records": records,
        "bytes": bytes,
        "due_records": due_records,
        "due_bytes": due_bytes,
    })
}
