//! What the answer to a bulk request says about each document.
//!
//! Invariant: only what is wrong with a document rejects it. What is wrong with the cluster (overloaded, blocked, out
//! of shards, an index or a privilege missing) is tried again.

use sawyer_delivery::{Answer, Trouble, Verdict};
use serde::Deserialize;
use serde_json::Value;

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 1000;

#[derive(Deserialize)]
struct Bulk {
    items: Vec<Action>,
}

#[derive(Deserialize)]
struct Action {
    #[serde(alias = "index")]
    create: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    status: u16,
    #[serde(default)]
    error: Option<Value>,
}

/// Reads the answer to a request with this many documents.
pub(super) fn read(body: &[u8], count: usize) -> Answer {
    if all_created(body, count) {
        return Answer::done(count);
    }
    let bulk: Bulk = match serde_json::from_slice(body) {
        Ok(bulk) => bulk,
        Err(error) => {
            return Answer::failed("answer", format!("the answer is not that of a bulk request: {error}"));
        }
    };
    let mut detail = None;
    let mut note = |text: String| detail.get_or_insert(text).clone();
    let verdicts: Vec<Verdict> =
        bulk.items.into_iter().map(|action| verdict(&action.create, &mut note)).collect();
    let retried = |verdict: &Verdict| matches!(verdict, Verdict::Retry { .. });
    if verdicts.len() == count
        && verdicts.iter().all(retried)
        && let Some(Verdict::Retry { reason, .. }) = verdicts.first()
    {
        // The cluster takes nothing at all now: the whole output waits.
        let detail = detail.unwrap_or_default();
        return Answer::Failed(Trouble { reason, detail, after: None });
    }
    Answer::Items { verdicts, detail }
}

/// Whether the answer says of each document that it was created, and nothing else: the usual one, told without reading
/// it in full. Clusters write it so.
fn all_created(body: &[u8], count: usize) -> bool {
    const ITEM: &[u8] = br#"{"create":{"status":201}},"#;
    let items = body.strip_prefix(br#"{"errors":false,"items":["#).and_then(|rest| rest.strip_suffix(b"]}"));
    // The last one has no comma behind it.
    let Some(items) = items.filter(|items| items.len() + 1 == count * ITEM.len()) else { return false };
    items.chunks(ITEM.len()).all(|item| ITEM.starts_with(item))
}

fn verdict(outcome: &Outcome, note: &mut impl FnMut(String) -> String) -> Verdict {
    let status = outcome.status;
    let kind = outcome.error.as_ref().and_then(|error| error["type"].as_str()).unwrap_or_default();
    match status {
        200..300 => return Verdict::Done,
        409 => return Verdict::Duplicate,
        _ => {}
    }
    let reason = reason(status, outcome.error.as_ref());
    let again = match (status, kind) {
        (_, "cluster_block_exception") => Some("blocked"),
        (429, _) => Some("overloaded"),
        (500.., _) => Some("server_error"),
        (401 | 403, _) => Some("unauthorized"),
        (404, _) => Some("index_missing"),
        // The limit of shards of the cluster, which an operator can raise.
        (400, "validation_exception") if reason.contains("shards") => Some("shards"),
        (400..500, _) => None,
        _ => Some("status"),
    };
    match again {
        Some(word) => {
            note(reason);
            Verdict::Retry { reason: word, after: None }
        }
        None => Verdict::Reject { reason: note_kept(reason, note) },
    }
}

fn note_kept(reason: String, note: &mut impl FnMut(String) -> String) -> String {
    note(reason.clone());
    reason
}

/// `status 400: document_parsing_exception: failed to parse field [a] …: For input string: "b"`
fn reason(status: u16, error: Option<&Value>) -> String {
    let mut text = format!("status {status}");
    let mut cause = error;
    while let Some(error) = cause {
        for part in [error["type"].as_str(), error["reason"].as_str(), error.as_str()].into_iter().flatten() {
            text.push_str(": ");
            text.push_str(part);
        }
        cause = error.get("caused_by");
    }
    let end = text.floor_char_boundary(REASON_BYTES_MAX);
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_answer_is_told_from_all_others() {
        let item = r#"{"create":{"status":201}}"#;
        let answer = |items: &[&str]| format!(r#"{{"errors":false,"items":[{}]}}"#, items.join(","));
        let all = |body: &str, count| all_created(body.as_bytes(), count);
        assert!(all(&answer(&[item]), 1) && all(&answer(&[item; 3]), 3));
        assert!(!all(&answer(&[item; 3]), 2) && !all(&answer(&[item; 3]), 4) && !all(&answer(&[]), 0));
        assert!(!all(&answer(&[item, r#"{"create":{"status":409}}"#]), 2));
        assert!(!all(&answer(&[r#"{"create":{"status":429}}"#, item]), 2));
        assert!(!all(&answer(&[item, item]).replace("false", "true"), 2));
        assert!(!all(&answer(&[item; 2])[..50], 2));
    }

    fn verdicts(items: &str) -> Answer {
        let count = items.matches("status").count();
        read(format!("{{\"errors\":true,\"items\":[{items}]}}").as_bytes(), count)
    }

    fn one(status: u16, kind: &str, reason: &str) -> Verdict {
        let error = format!(r#"{{"type":"{kind}","reason":"{reason}"}}"#);
        let items =
            format!(r#"{{"create":{{"status":201}}}},{{"create":{{"status":{status},"error":{error}}}}}"#);
        match verdicts(&items) {
            Answer::Items { mut verdicts, .. } => verdicts.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_document_at_fault_is_rejected() {
        let retry = |reason| Verdict::Retry { reason, after: None };
        assert_eq!(one(200, "", ""), Verdict::Done);
        assert_eq!(one(409, "version_conflict_engine_exception", "exists"), Verdict::Duplicate);
        assert_eq!(one(429, "es_rejected_execution_exception", "queue full"), retry("overloaded"));
        assert_eq!(one(503, "unavailable_shards_exception", "primary"), retry("server_error"));
        assert_eq!(one(403, "cluster_block_exception", "flood stage"), retry("blocked"));
        assert_eq!(one(403, "security_exception", "no"), retry("unauthorized"));
        assert_eq!(one(404, "index_not_found_exception", "no such index"), retry("index_missing"));
        assert_eq!(one(400, "validation_exception", "maximum normal shards open"), retry("shards"));
        let Verdict::Reject { reason } = one(400, "document_parsing_exception", "failed to parse [a]") else {
            panic!("not rejected")
        };
        assert_eq!(reason, "status 400: document_parsing_exception: failed to parse [a]");
    }

    #[test]
    fn a_cluster_that_takes_nothing_is_left_alone() {
        let items = r#"{"create":{"status":429,"error":{"type":"x","reason":"full"}}}"#;
        let Answer::Failed(trouble) = verdicts(items) else { panic!("not failed") };
        assert_eq!((trouble.reason, trouble.detail.as_str()), ("overloaded", "status 429: x: full"));
    }

    #[test]
    fn reasons_name_their_causes() {
        let error =
            serde_json::json!({"type": "a", "reason": "b", "caused_by": {"type": "c", "reason": "d"}});
        assert_eq!(reason(400, Some(&error)), "status 400: a: b: c: d");
        assert_eq!(reason(400, Some(&Value::from("plain text"))), "status 400: plain text");
        assert_eq!(reason(400, None), "status 400");
    }

    #[test]
    fn an_answer_of_another_kind_settles_nothing() {
        for body in ["", "<html>", "{}", r#"{"items":[{"delete":{"status":200}}]}"#] {
            assert!(matches!(read(body.as_bytes(), 1), Answer::Failed(_)), "{body}");
        }
    }
}
