//! `/api/v1/ledger`: what was read, and what became of it; `/api/v1/ledger/sources`: the same of each file. Every role has
//! these routes.
//!
//! Owns: the JSON of the answers (`docs/api.md`). Does not own: the books (`telemetry`).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use sawyer_model::Count;
use sawyer_telemetry::ledger::checkpoints::Peer;
use sawyer_telemetry::{Book, Checkpoint, End, Ends, Gap, Metrics, SourceAnswer, SourceBook, Sums};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// How long a reader may take to answer. It does so between two turns; one that hangs is left out.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Most sources in an answer.
const SOURCES_MAX: usize = 10_000;

/// Sources in an answer unless told otherwise.
const SOURCES: usize = 100;

/// The route, for the books of these metrics.
pub fn router(metrics: Metrics) -> Router {
    let routes =
        Router::new().route("/api/v1/ledger", get(list)).route("/api/v1/ledger/sources", get(sources));
    routes.with_state(metrics)
}

async fn list(State(metrics): State<Metrics>) -> Json<Value> {
    let mut books = Vec::new();
    for (input, of_input) in metrics.ledger().all() {
        books.extend(of_input.outputs.iter().map(|(output, book)| described(&input, output, book)));
    }
    let checkpoints: Vec<Value> = metrics.ledger().checkpoints().iter().map(checkpoint_described).collect();
    let closes = books.iter().chain(&checkpoints).all(|book| book["closes"] == true);
    let peers: Vec<Value> = metrics.ledger().peers().iter().map(peer_described).collect();
    Json(json!({ "ledger": books, "checkpoints": checkpoints, "peers": peers, "closes": closes }))
}

/// What is known of what an output was told, as JSON.
fn checkpoint_described((output, checkpoint): &(String, Checkpoint)) -> Value {
    let gap = |gap: &Gap| {
        json!({
            "at": gap.at.to_string(),
            "source": gap.source.to_string(),
            "start": gap.range.start,
            "end": gap.range.end,
        })
    };
    json!({
        "output": output,
        "taken": sums(&checkpoint.sums),
        "open_since": checkpoint.open_since.map(|since| since.to_string()),
        "answered": checkpoint.answered.map(|answered| answered.to_string()),
        "missing": checkpoint.gaps.iter().map(gap).collect::<Vec<_>>(),
        "closes": checkpoint.sums.missing == 0,
    })
}

/// What another Sawyer was told here, as JSON.
fn peer_described((agent, output, peer): &(String, String, Peer)) -> Value {
    json!({
        "agent": agent,
        "output": output,
        "heard": peer.heard.to_string(),
        "taken": sums(&peer.sums),
        "lacked": peer.lacked,
    })
}

fn sums(sums: &Sums) -> Value {
    json!({
        "bytes": sums.taken(),
        "confirmed": sums.confirmed,
        "missing": sums.missing,
        "unknown": sums.unknown,
        "open": sums.open,
    })
}

/// The sources of inputs that read files: those of which something is missing first, then those that are most behind.
async fn sources(
    State(metrics): State<Metrics>,
    Query(parameters): Query<HashMap<String, String>>,
) -> Json<Value> {
    let limit = parameters.get("limit").and_then(|limit| limit.parse().ok());
    let limit = limit.unwrap_or(SOURCES).min(SOURCES_MAX);
    let (mut answers, mut silent) = (Vec::new(), Vec::new());
    for (input, questions) in metrics.ledger().questions() {
        if parameters.get("input").is_some_and(|wanted| *wanted != input) {
            continue;
        }
        let (tell, told) = oneshot::channel();
        questions.ask(Box::new(move |answer| drop(tell.send(answer))));
        match tokio::time::timeout(ANSWER_WAIT, told).await {
            Ok(Ok(told)) => answers.push((input, told)),
            // It has ended.
            Ok(Err(_)) => {}
            Err(_) => silent.push(input),
        }
    }
    let path = parameters.get("path").map_or("", String::as_str);
    let mut answer = sources_described(&answers, path, limit);
    answer["silent_inputs"] = json!(silent);
    Json(answer)
}

/// What inputs told of their sources, of those with `path` in their own, as JSON.
fn sources_described(answers: &[(String, Arc<SourceAnswer>)], path: &str, limit: usize) -> Value {
    let all = answers.iter().flat_map(|(input, told)| told.books.iter().map(move |book| (input, book)));
    let mut books: Vec<_> = all.filter(|(_, book)| book.path.contains(path)).collect();
    books.sort_by_key(|&(input, book)| {
        (Reverse(book.unaccounted), Reverse(unread(book)), input, &book.path, book.source)
    });
    let closes = books.iter().all(|(_, book)| book.unaccounted == 0)
        && answers.iter().all(|(_, told)| told.over.is_zero());
    let shown: Vec<_> = books.iter().take(limit).map(|(input, book)| source_described(input, book)).collect();
    let others = answers.iter().filter(|(_, told)| !told.others.is_empty());
    let others = others.map(|(input, told)| json!({ "input": input, "left_out": left_out(&told.others) }));
    let others: Vec<_> = others.collect();
    json!({ "sources": shown, "count": books.len(), "others": others, "closes": closes })
}

/// Bytes that were not read yet, as far as that is known.
fn unread(book: &SourceBook) -> u64 {
    book.length.zip(book.read).map_or(0, |(length, read)| length.saturating_sub(read))
}

/// The book of a source as JSON.
fn source_described(input: &str, book: &SourceBook) -> Value {
    json!({
        "input": input,
        "source": book.source.to_string(),
        "path": book.path,
        "length": book.length,
        "read": book.read,
        "unread": book.length.and(book.read).map(|_| unread(book)),
        "ended": { "bytes": book.ended_bytes(), "ranges": book.ended },
        "left_out": left_out(&book.left_out),
        "batches_under_way": book.under_way,
        "unaccounted": book.unaccounted,
        "closes": book.unaccounted == 0,
    })
}

/// What became of records that were not delivered or buffered, as JSON.
fn left_out(ends: &Ends) -> Vec<Value> {
    let described = |(End { output, fate, rule }, count): &(End, Count)| {
        let Count { records, bytes } = count;
        json!({ "output": output, "fate": fate.name(), "rule": rule, "records": records, "bytes": bytes })
    };
    ends.iter().map(described).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_of_single_files_than_of_all_does_not_close() {
        let closes = |over| {
            let told = SourceAnswer { over, ..SourceAnswer::default() };
            sources_described(&[("files".to_owned(), Arc::new(told))], "", 10)["closes"].clone()
        };
        assert_eq!((closes(Count::default()), closes(Count::new(1, 0))), (true.into(), false.into()));
    }
}
