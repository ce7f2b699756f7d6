//! `/summary` and `/patterns`.

use axum::Json;
use axum::extract::State;
use sawyer_query::search::{PatternsRequest, SummaryRequest};
use serde_json::{Value, json};

use crate::Api;
use crate::ask::stats_json;
use crate::error::ApiError;
use crate::params::Params;

/// The percentiles of an answer that does not say which.
const PERCENTILES_DEFAULT: &str = "50,90,99";

/// Most patterns of one answer.
const LIMIT_MAX: usize = 1000;

/// Patterns of an answer that does not say how many.
const LIMIT_DEFAULT: usize = 20;

/// The field whose patterns are told if none is named.
const FIELD_DEFAULT: &str = "message";

pub(crate) async fn summary(State(api): State<Api>, params: Params) -> Result<Json<Value>, ApiError> {
    let field = params.text("field").ok_or_else(|| ApiError::invalid("field: required, and missing"))?;
    let percentiles = percentiles(params.text("percentiles").unwrap_or(PERCENTILES_DEFAULT))?;
    let request = SummaryRequest {
        selection: api.selection(&params)?,
        field: field.to_owned(),
        percentiles: percentiles.iter().map(|(_, percent)| *percent).collect(),
    };
    let answer = api.answer_to(&params, move |api, budget| api.0.search.summary(&request, budget)).await?;
    let told =
        percentiles.into_iter().zip(&answer.percentiles).map(|((name, _), value)| (name, json!(value)));
    Ok(Json(json!({
        "field": field,
        "rows": answer.rows,
        "missing": answer.missing,
        "distinct": answer.distinct,
        "numbers": answer.numbers,
        "min": answer.min,
        "max": answer.max,
        "sum": answer.sum,
        "mean": (answer.numbers > 0).then(|| answer.sum / answer.numbers as f64),
        "percentiles": told.collect::<serde_json::Map<String, Value>>(),
        "stats": stats_json(&answer.stats),
    })))
}

/// Percentiles as they were written, and as numbers.
fn percentiles(text: &str) -> Result<Vec<(String, f64)>, ApiError> {
    let one = |text: &str| {
        let text = text.trim();
        let number = text.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
        let wrong = || {
            ApiError::invalid(format!(
                "percentiles: expected numbers from 0 to 100 such as 50,99.9, found `{text}`"
            ))
        };
        number.map(|number| (text.to_owned(), number)).ok_or_else(wrong)
    };
    text.split(',').map(one).collect()
}

pub(crate) async fn patterns(State(api): State<Api>, params: Params) -> Result<Json<Value>, ApiError> {
    let field = params.text("field").unwrap_or(FIELD_DEFAULT).to_owned();
    let request = PatternsRequest {
        selection: api.selection(&params)?,
        field: field.clone(),
        limit: params.number("limit", LIMIT_DEFAULT, (1, LIMIT_MAX))?,
    };
    let answer = api.answer_to(&params, move |api, budget| api.0.search.patterns(&request, budget)).await?;
    let patterns = answer.patterns.iter().map(|(pattern, count)| json!({"pattern": pattern, "count": count}));
    Ok(Json(json!({
        "field": field,
        "patterns": patterns.collect::<Vec<Value>>(),
        "rows": answer.rows,
        "missing": answer.missing,
        "distinct": answer.distinct,
        "stats": stats_json(&answer.stats),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numbers_up_to_a_hundred() {
        let read = percentiles("50, 99.9").unwrap();
        assert_eq!(read, [("50".to_owned(), 50.0), ("99.9".to_owned(), 99.9)]);
        for wrong in ["", "101", "-1", "50,,99", "p99"] {
            assert!(percentiles(wrong).is_err(), "{wrong}");
        }
    }
}
