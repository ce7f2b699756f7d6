//! `/alerts`: rules, what fires, silences, notifiers and what they were told.
//!
//! Owns: the routes and their parameters. Does not own: the JSON of rules and alerts (`json`), what follows (`alert`).

mod json;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use sawyer_alert::{Matcher, Silence};
use sawyer_config::duration;
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_query::time;
use serde_json::{Value, json};

use crate::Api;
use crate::error::ApiError;

/// How far back a preview looks that does not say.
const PREVIEW_DEFAULT: Duration = Duration::from_secs(6 * 3600);

/// Notifications of one answer.
const HISTORY_LIMIT_DEFAULT: usize = 100;

/// How long a silence lasts that does not say.
const SILENCE_DEFAULT: Duration = Duration::from_secs(2 * 3600);

/// How long a trial waits for its outcome before it answers that there is none yet.
const TEST_WAIT: Duration = Duration::from_secs(15);

/// How often it looks.
const TEST_LOOK: Duration = Duration::from_millis(100);

type Asked = Result<Query<BTreeMap<String, String>>, axum::extract::rejection::QueryRejection>;
type Body = Result<Bytes, axum::extract::rejection::BytesRejection>;
type Answer = Result<Json<Value>, ApiError>;

/// The routes relative to `/api/v1/alerts`.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(alerts))
        .route("/rules", get(rules))
        .route("/rules/{name}", get(rule).put(put_rule).post(post_rule).delete(delete_rule))
        .route("/preview", post(preview))
        .route("/silences", get(silences).post(post_silence))
        .route("/silences/{id}", axum::routing::put(put_silence).delete(delete_silence))
        .route("/notifiers", get(notifiers))
        .route("/notifiers/{name}/test", post(test))
        .route("/history", get(history))
}

async fn alerts(State(api): State<Api>) -> Json<Value> {
    let state = api.0.alerts.state();
    let now = api.0.alerts.now();
    let alerts: Vec<Value> =
        state.alerts.iter().map(|(key, alert)| json::alert(key, alert, &state.silences, now)).collect();
    Json(json!({"alerts": alerts, "waiting_notifications": state.queue.len()}))
}

async fn rules(State(api): State<Api>) -> Json<Value> {
    let (entries, state, now) = (api.0.alerts.rules(), api.0.alerts.state(), api.0.alerts.now());
    let rules: Vec<Value> =
        entries.iter().map(|(name, entry)| json::rule(name, entry, &state, now)).collect();
    Json(json!({ "rules": rules }))
}

async fn rule(State(api): State<Api>, Path(name): Path<String>) -> Answer {
    let (entries, state, now) = (api.0.alerts.rules(), api.0.alerts.state(), api.0.alerts.now());
    let entry = entries.get(&name).ok_or_else(|| not_found(&format!("rule `{name}`")))?;
    Ok(Json(json!({"rule": json::rule(&name, entry, &state, now)})))
}

async fn put_rule(State(api): State<Api>, Path(name): Path<String>, body: Body) -> Answer {
    keep_rule(&api, name, body, false).await
}

async fn post_rule(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Body,
) -> Result<impl IntoResponse, ApiError> {
    Ok((StatusCode::CREATED, keep_rule(&api, name, body, true).await?))
}

async fn keep_rule(api: &Api, name: String, body: Body, must_be_new: bool) -> Answer {
    let text = text(body)?;
    let rule = api.0.alerts.read_rule(&name, &text).map_err(|problems| ApiError::problems(&problems))?;
    api.0.alerts.put_rule(rule, text, must_be_new).await?;
    self::rule(State(api.clone()), Path(name)).await
}

async fn delete_rule(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    api.0.alerts.remove_rule(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn preview(State(api): State<Api>, asked: Asked, body: Body) -> Answer {
    let asked = params(asked, &["over"])?;
    let text = text(body)?;
    let over = match asked.get("over") {
        None => None,
        Some(text) => Some(length(text, "over")?),
    };
    let rule = api.0.alerts.read_rule("preview", &text).map_err(|problems| ApiError::problems(&problems))?;
    let over = over.unwrap_or(PREVIEW_DEFAULT.max(rule.settings.window.saturating_mul(2)));
    let shown = api.answer(move |api, _| api.0.alerts.preview(&rule, over)).await?;
    Ok(Json(json::preview(&shown)))
}

async fn silences(State(api): State<Api>) -> Json<Value> {
    let (state, now) = (api.0.alerts.state(), api.0.alerts.now());
    let silences: Vec<Value> =
        state.silences.iter().map(|(id, silence)| json::silence(id, silence, &state, now)).collect();
    Json(json!({ "silences": silences }))
}

async fn post_silence(State(api): State<Api>, body: Body) -> Result<impl IntoResponse, ApiError> {
    let silence = read_silence(&text(body)?, api.0.alerts.now())?;
    let id = api.0.alerts.put_silence(None, silence).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn put_silence(State(api): State<Api>, Path(id): Path<String>, body: Body) -> Answer {
    let silence = read_silence(&text(body)?, api.0.alerts.now())?;
    let id = api.0.alerts.put_silence(Some(id), silence).await?;
    Ok(Json(json!({ "id": id })))
}

async fn delete_silence(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    api.0.alerts.expire_silence(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn notifiers(State(api): State<Api>) -> Json<Value> {
    let (notifiers, state) = (api.0.alerts.notifiers(), api.0.alerts.state());
    let all: Vec<Value> = notifiers
        .iter()
        .map(|(name, (kind, status))| {
            let waiting = state.queue.iter().filter(|one| one.notifier == *name).count();
            json!({
                "name": name,
                "type": kind,
                "waiting": waiting,
                "failures": status.failures,
                "last_success": status.last_success.map(|time| time.to_string()),
                "last_error": status.last_error.as_ref().map(|(time, error)| {
                    json!({"at": time.to_string(), "message": error})
                }),
            })
        })
        .collect();
    Json(json!({ "notifiers": all }))
}

async fn test(State(api): State<Api>, Path(name): Path<String>) -> Answer {
    let id = api.0.alerts.test(&name).await?;
    let deadline = tokio::time::Instant::now() + TEST_WAIT;
    loop {
        if let Some(past) = api.0.alerts.past(&id) {
            return Ok(Json(json!({"id": id, "result": json::past(&past)})));
        }
        if tokio::time::Instant::now() > deadline {
            let error = api.0.alerts.notifiers().remove(&name).and_then(|(_, status)| status.last_error);
            let error = error.map(|(_, error)| error);
            return Ok(Json(json!({"id": id, "result": null, "last_error": error})));
        }
        tokio::time::sleep(TEST_LOOK).await;
    }
}

async fn history(State(api): State<Api>, asked: Asked) -> Answer {
    let asked = params(asked, &["limit"])?;
    let limit = match asked.get("limit") {
        None => HISTORY_LIMIT_DEFAULT,
        Some(text) => {
            let number = text.parse::<usize>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| {
                ApiError::invalid(format!("limit: expected a number from 1, found `{text}`"))
            })?
        }
    };
    let state = api.0.alerts.state();
    let waiting: Vec<Value> = state.queue.iter().rev().map(json::waiting).take(limit).collect();
    let past: Vec<Value> = state.history.iter().take(limit).map(json::past).collect();
    Ok(Json(json!({"waiting": waiting, "history": past})))
}

fn not_found(what: &str) -> ApiError {
    Error::new(ErrorKind::NotFound, format!("there is no {what}")).into()
}

fn params(asked: Asked, known: &[&str]) -> Result<BTreeMap<String, String>, ApiError> {
    let Query(asked) = asked.map_err(|error| ApiError::invalid(format!("query string: {error}")))?;
    if let Some(unknown) = asked.keys().find(|name| !known.contains(&name.as_str())) {
        let known = known.join("`, `");
        return Err(ApiError::invalid(format!("{unknown}: unknown parameter; expected one of `{known}`")));
    }
    Ok(asked)
}

fn text(body: Body) -> Result<String, ApiError> {
    let body = body.map_err(|error| ApiError::invalid(format!("body: {error}")))?;
    String::from_utf8(body.to_vec()).map_err(|_| ApiError::invalid("body: expected text in UTF-8"))
}

fn length(text: &str, name: &str) -> Result<Duration, ApiError> {
    duration::parse(text).ok_or_else(|| {
        ApiError::invalid(format!("{name}: expected a length such as `6h` or `2d`, found `{text}`"))
    })
}

/// A silence out of `{"matchers": ["a=b"], "starts", "ends" or "for", "comment", "author"}`.
fn read_silence(body: &str, now: Timestamp) -> Result<Silence, ApiError> {
    let object: BTreeMap<String, Value> = serde_json::from_str(body)
        .map_err(|error| ApiError::invalid(format!("body: expected a JSON object: {error}")))?;
    let known = ["matchers", "starts", "ends", "for", "comment", "author"];
    if let Some(unknown) = object.keys().find(|name| !known.contains(&name.as_str())) {
        let known = known.join("`, `");
        return Err(ApiError::invalid(format!("{unknown}: unknown key; expected one of `{known}`")));
    }
    let string = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(ApiError::invalid(format!("{name}: expected text"))),
    };
    let instant = |name: &str| match string(name)? {
        None => Ok(None),
        Some(text) => time::parse_instant(text, now, &jiff::tz::TimeZone::UTC, time::Edge::Down)
            .map(Some)
            .map_err(|error| ApiError::invalid(format!("{name}: {error}"))),
    };
    let matchers = match object.get("matchers") {
        Some(Value::Array(list)) => list.iter().map(matcher).collect::<Result<Vec<Matcher>, ApiError>>()?,
        _ => return Err(ApiError::invalid("matchers: expected a list such as [\"alertname=errors\"]")),
    };
    let starts = instant("starts")?.unwrap_or(now);
    let ends = match (instant("ends")?, string("for")?) {
        (Some(_), Some(_)) => return Err(ApiError::invalid("for: give either `ends` or `for`")),
        (Some(ends), None) => ends,
        (None, Some(text)) => starts.saturating_add(length(text, "for")?),
        (None, None) => starts.saturating_add(SILENCE_DEFAULT),
    };
    let text = |name: &str| Ok::<String, ApiError>(string(name)?.unwrap_or_default().to_owned());
    Ok(Silence { matchers, starts, ends, comment: text("comment")?, author: text("author")?, created: now })
}

fn matcher(value: &Value) -> Result<Matcher, ApiError> {
    let text = value.as_str().ok_or_else(|| ApiError::invalid("matchers: expected a list of texts"))?;
    Matcher::parse(text).map_err(|message| ApiError::invalid(format!("matchers: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Silence, String> {
        read_silence(body, Timestamp::from_secs(1000)).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_silence_is_read_with_its_defaults() {
        let silence =
            read(r#"{"matchers": ["alertname=errors", "pod=~a.*"], "for": "1h", "comment": "known"}"#)
                .unwrap();
        assert_eq!(silence.ends, Timestamp::from_secs(4600));
        assert_eq!(silence.matchers.len(), 2);
        assert_eq!(read(r#"{"matchers": ["a=b"]}"#).unwrap().ends, Timestamp::from_secs(1000 + 7200));
    }

    #[test]
    fn what_is_wrong_with_a_silence_is_named() {
        for (body, message) in [
            ("[]", "expected a JSON object"),
            ("{}", "matchers: expected a list"),
            (r#"{"matchers": ["x"]}"#, "expected a matcher such as"),
            (r#"{"matchers": ["a=b"], "ends": "then"}"#, "ends: "),
            (r#"{"matchers": ["a=b"], "for": "long"}"#, "for: expected a length"),
            (r#"{"matchers": ["a=b"], "fro": "1h"}"#, "fro: unknown key"),
            (r#"{"matchers": ["a=b"], "comment": 1}"#, "comment: expected text"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(message), "{body}: {error}");
        }
    }
}
