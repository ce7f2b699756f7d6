//! Parameters, alike from the query string of a `GET` and the JSON object of a `POST`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Query, Request};
use axum::http::Method;
use serde_json::Value;

use crate::error::ApiError;

/// Most bytes of a `POST` with parameters.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What any of the questions understands. A parameter that another question understands does no harm and is left
/// aside; one that none does is a slip, and the answer would not be to what was asked.
const KNOWN: &[&str] = &[
    "query",
    "start",
    "end",
    "limit",
    "order",
    "cursor",
    "truncate",
    "original",
    "interval",
    "buckets",
    "by",
    "time_zone",
    "field",
    "prefix",
    "percentiles",
    "time_max",
    "bytes_max",
    "confirm",
    "format",
    "from",
    "keep",
];

/// The parameters of a request by name.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let asks = Query::<BTreeMap<String, String>>::try_from_uri(request.uri());
        let Query(mut params) = asks.map_err(|error| ApiError::invalid(format!("query string: {error}")))?;
        if request.method() == Method::POST {
            let body = Bytes::from_request(request, state).await;
            let body = body.map_err(|error| ApiError::invalid(format!("body: {error}")))?;
            params.extend(from_json(&body)?);
        }
        refuse_unknown(&params)?;
        Ok(Self(params))
    }
}

fn refuse_unknown(params: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let Some(unknown) = params.keys().find(|name| !KNOWN.contains(&name.as_str())) else { return Ok(()) };
    let known = KNOWN.join("`, `");
    Err(ApiError::invalid(format!("{unknown}: unknown parameter; expected one of `{known}`")))
}

fn from_json(body: &[u8]) -> Result<BTreeMap<String, String>, ApiError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(ApiError::invalid(format!("body: longer than {BODY_BYTES_MAX} bytes")));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(BTreeMap::new());
    }
    let object: BTreeMap<String, Value> = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("body: expected a JSON object of parameters: {error}")))?;
    let mut params = BTreeMap::new();
    for (name, value) in object {
        match value {
            Value::Null => {}
            Value::String(text) => drop(params.insert(name, text)),
            Value::Bool(_) | Value::Number(_) => drop(params.insert(name, value.to_string())),
            Value::Array(_) | Value::Object(_) => {
                return Err(ApiError::invalid(format!("{name}: expected text, a number or a boolean")));
            }
        }
    }
    Ok(params)
}

impl Params {
    /// The text of a parameter; none if it is missing or empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A whole number within bounds.
    pub(crate) fn number(
        &self,
        name: &str,
        default: usize,
        bounds: (usize, usize),
    ) -> Result<usize, ApiError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (bounds.0..=bounds.1).contains(number));
        let (least, most) = bounds;
        let bounds = match most {
            usize::MAX => format!("of at least {least}"),
            most => format!("from {least} to {most}"),
        };
        number.ok_or_else(|| ApiError::invalid(format!("{name}: expected a number {bounds}, found `{text}`")))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        match self.text(name) {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(text) => Err(ApiError::invalid(format!("{name}: expected true or false, found `{text}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_the_same_as_a_query_string() {
        let body = br#"{"query": "a: 1", "limit": 5, "original": false, "cursor": null}"#;
        let params = Params(from_json(body).unwrap());
        assert_eq!(params.text("query"), Some("a: 1"));
        assert_eq!(params.number("limit", 1, (1, 10)).unwrap(), 5);
        assert!(!params.flag("original", true).unwrap());
        assert_eq!(params.text("cursor"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let params = Params([("limit".to_owned(), "many".to_owned())].into());
        let error = format!("{:?}", params.number("limit", 1, (1, 10)).unwrap_err());
        assert!(error.contains("limit: expected a number from 1 to 10, found `many`"), "{error}");
        assert!(from_json(br#"{"query": ["a"]}"#).is_err());
        assert!(from_json(b"[1]").is_err());
        let error = format!("{:?}", params.number("limit", 1, (16, usize::MAX)).unwrap_err());
        assert!(error.contains("limit: expected a number of at least 16, found"), "{error}");
        let unknown = [("query".to_owned(), String::new()), ("q".to_owned(), "x".to_owned())].into();
        let error = format!("{:?}", refuse_unknown(&unknown).unwrap_err());
        assert!(error.contains("q: unknown parameter; expected one of `query`"), "{error}");
    }
}
