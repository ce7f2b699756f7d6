//! `/api/v1/buffers`: what waits for outputs, and what targets refused. Every role has these routes.
//!
//! Owns: their parameters and the JSON of their answers (`docs/api.md`), which the command line prints for a folder as
//! well.
//! Does not own: buffers (`buffer`), records as JSON (`codec`).
//! Invariant: records are shown, sent again and removed for programs on this machine only (`local`).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::RwLock;
use sawyer_buffer::{Buffer, Content, Damage, EntryInfo, Lane, LaneSummary};
use sawyer_codec::json_out;
use sawyer_model::{Error, ErrorKind};
use sawyer_segment::decode_batch;
use serde_json::{Value, json};

use crate::local;

/// Most entries that one answer lists. The oldest are listed; what is done makes room for the others.
pub const LISTED_MAX: usize = 10_000;

/// The buffers of a process by the names of their outputs, as they are right now. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shown(Arc<RwLock<Vec<(String, Buffer)>>>);

impl Shown {
    /// Shows these from now on, and lets go of those before.
    pub fn set(&self, buffers: Vec<(String, Buffer)>) {
        *self.0.write() = buffers;
    }

    fn find(&self, output: &str) -> Result<Buffer, Error> {
        let found = self.0.read().iter().find(|(name, _)| name == output).map(|(_, buffer)| buffer.clone());
        found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no output `{output}` with a buffer"))
        })
    }
}

/// The routes, for these buffers.
pub fn router(shown: Shown) -> Router {
    let inside = Router::new()
        .route("/{output}/{lane}", get(entries))
        .route("/{output}/{lane}/{id}", get(entry))
        .route("/{output}/dead/redrive", post(redrive))
        .route("/{output}/dead/remove", post(remove))
        .layer(from_fn(local::only));
    let routes = Router::new().route("/api/v1/buffers", get(list)).nest("/api/v1/buffers", inside);
    routes.with_state(shown)
}

async fn list(State(shown): State<Shown>) -> Json<Value> {
    let describe = |(output, buffer): &(String, Buffer)| summary(output, &buffer.summary(), &buffer.damage());
    Json(json!({ "buffers": shown.0.read().iter().map(describe).collect::<Vec<_>>() }))
}

async fn entries(
    State(shown): State<Shown>,
    Path((output, lane)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let lane = lane_named(&lane)?;
    let all = shown.find(&output)?.entries(lane).await?;
    let listed: Vec<Value> = all.iter().take(LISTED_MAX).map(|info| described(&output, lane, info)).collect();
    Ok(Json(json!({ "entries": listed, "more": all.len() > LISTED_MAX })))
}

async fn entry(
    State(shown): State<Shown>,
    Path((output, lane, id)): Path<(String, String, u64)>,
) -> Result<Json<Value>, Refusal> {
    let lane = lane_named(&lane)?;
    let content = shown.find(&output)?.content(lane, id).await?;
    Ok(Json(json!({ "entry": described(&output, lane, &content.info), "records": records(&content)? })))
}

async fn redrive(
    State(shown): State<Shown>,
    Path(output): Path<String>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let ids = ids(&body)?;
    shown.find(&output)?.redrive(&ids).await?;
    Ok(Json(json!({ "redriven": ids.len() })))
}

async fn remove(
    State(shown): State<Shown>,
    Path(output): Path<String>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({ "removed": shown.find(&output)?.remove_dead_letters(&ids(&body)?) })))
}

fn ids(body: &Value) -> Result<Vec<u64>, Error> {
    let ids =
        body["ids"].as_array().and_then(|ids| ids.iter().map(Value::as_u64).collect::<Option<Vec<_>>>());
    let wrong = || Error::new(ErrorKind::Invalid, "ids: expected a list of the ids of dead letters");
    ids.filter(|ids| !ids.is_empty()).ok_or_else(wrong)
}

/// The lane with this name.
///
/// # Errors
/// `NotFound` if there is none.
pub fn lane_named(name: &str) -> Result<Lane, Error> {
    let found = Lane::ALL.into_iter().find(|lane| lane.name() == name);
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no lane `{name}`")))
}

/// A buffer as JSON.
#[must_use]
pub fn summary(output: &str, lanes: &[LaneSummary], damage: &[Damage]) -> Value {
    let lane = |lane: &LaneSummary| {
        json!({
            "lane": lane.lane.name(),
            "entries": lane.entries,
            "records": lane.records,
            "bytes": lane.bytes,
            "oldest": lane.oldest.map(|time| time.to_string()),
            "files": lane.files,
            "files_unread": lane.files_unread,
        })
    };
    let place = |damage: &Damage| {
        let Damage { path, offset, bytes, reason, .. } = damage;
        format!("{path} at {offset}, {bytes} bytes: {reason}")
    };
    let damage: Vec<String> = damage.iter().map(place).collect();
    json!({ "output": output, "lanes": lanes.iter().map(lane).collect::<Vec<_>>(), "damage": damage })
}

/// An entry as JSON, without its records.
#[must_use]
pub fn described(output: &str, lane: Lane, info: &EntryInfo) -> Value {
    let mut entry = json!({
        "output": output,
        "lane": lane.name(),
        "id": info.id,
        "since": info.pushed_at.to_string(),
        "records": info.records,
        "bytes": info.bytes,
    });
    if lane == Lane::Dead {
        entry["reason"] = json!(info.note.reason);
        entry["detail"] = json!(info.note.detail);
    }
    entry
}

/// The records of an entry, as the HTTP API shows them.
///
/// # Errors
/// `Corrupt` if they cannot be read.
pub fn records(content: &Content) -> Result<Vec<Value>, Error> {
    let batch = decode_batch(&content.payload)?;
    let mut bytes = Vec::new();
    let record = |record| {
        bytes.clear();
        json_out::write(record, &json_out::Options::default(), &mut bytes);
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::new(ErrorKind::Bug, "write a record as JSON").because(error))
    };
    batch.iter().map(record).collect()
}

struct Refusal {
    status: StatusCode,
    error: Error,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Retry | ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Corrupt | ErrorKind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, error }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({ "kind": self.error.kind().name(), "message": self.error.chain() });
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}
