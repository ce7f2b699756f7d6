//! `/fields` and `/values`.

use axum::Json;
use axum::extract::State;
use sawyer_query::search::ValuesRequest;
use serde_json::{Value, json};

use crate::Api;
use crate::ask::{stats_json, value_json};
use crate::error::ApiError;
use crate::params::Params;

/// Most values of one answer.
const LIMIT_MAX: usize = 1000;

/// Values of an answer that does not say how many.
const LIMIT_DEFAULT: usize = 10;

pub(crate) async fn fields(State(api): State<Api>, params: Params) -> Result<Json<Value>, ApiError> {
    let selection = api.selection(&params)?;
    let answer = api.answer_to(&params, move |api, budget| api.0.search.fields(&selection, budget)).await?;
    let fields = answer
        .fields
        .iter()
        .map(|field| json!({"name": field.name, "types": field.types, "count": field.count}));
    let fields: Vec<Value> = fields.collect();
    let (rows, sampled) = (answer.rows, answer.sampled);
    Ok(Json(json!({"fields": fields, "rows": rows, "sampled": sampled, "stats": stats_json(&answer.stats)})))
}

pub(crate) async fn values(State(api): State<Api>, params: Params) -> Result<Json<Value>, ApiError> {
    let field = params.text("field").ok_or_else(|| ApiError::invalid("field: required, and missing"))?;
    let request = ValuesRequest {
        selection: api.selection(&params)?,
        field: field.to_owned(),
        limit: params.number("limit", LIMIT_DEFAULT, (1, LIMIT_MAX))?,
        prefix: params.text("prefix").map(str::to_owned),
    };
    let field = field.to_owned();
    let answer = api.answer_to(&params, move |api, budget| api.0.search.values(&request, budget)).await?;
    let values =
        answer.values.iter().map(|(value, count)| json!({"value": value_json(value), "count": count}));
    Ok(Json(json!({
        "field": field,
        "values": values.collect::<Vec<Value>>(),
        "rows": answer.rows,
        "missing": answer.missing,
        "distinct": answer.distinct,
        "stats": stats_json(&answer.stats),
    })))
}
