//! `/api/v1/ledger`: what was read, and what became of it. Every role has this route.
//!
//! Owns: the JSON of the answer (`docs/api.md`). Does not own: the books (`telemetry`).

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use sawyer_model::Count;
use sawyer_telemetry::{Book, Metrics};
use serde_json::{Value, json};

/// The route, for the books of these metrics.
pub fn router(metrics: Metrics) -> Router {
    Router::new().route("/api/v1/ledger", get(list)).with_state(metrics)
}

async fn list(State(metrics): State<Metrics>) -> Json<Value> {
    let mut books = Vec::new();
    for (input, of_input) in metrics.ledger().all() {
        books.extend(of_input.outputs.iter().map(|(output, book)| described(&input, output, book)));
    }
    let closes = books.iter().all(|book| book["closes"] == true);
    Json(json!({ "ledger": books, "closes": closes }))
}

/// A book as JSON.
fn described(input: &str, output: &str, book: &Book) -> Value {
    let ended = book.fates.iter().map(|((fate, rule), count)| {
        json!({ "fate": fate.name(), "rule": rule, "records": count.records, "bytes": count.bytes })
    });
    let (records, bytes) = book.unaccounted();
    json!({
        "hop": if input.is_empty() { "buffer" } else { "input" },
        "input": input,
        "output": output,
        "read": count(book.read),
        "copied": count(book.copied),
        "made": count(book.made),
        "ended": ended.collect::<Vec<_>>(),
        "unaccounted": { "records": records, "bytes": bytes },
        "closes": (records, bytes) == (0, 0),
    })
}

fn count(count: Count) -> Value {
    json!({ "records": count.records, "bytes": count.bytes })
}
