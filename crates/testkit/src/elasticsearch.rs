//! An Elasticsearch for tests, written from the documents of its bulk API alone.
//!
//! Owns: reading bulk requests, documents by index and id, what is answered. Does not own: how a client is made to fail
//! (`peer`).
//! Invariant: a document is created once under its id, and never replaced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::peer::{Received, Reply};

/// What a document meets instead of being stored: status, type and reason.
pub type Misfortune = (u16, &'static str, &'static str);

/// Decides what a document meets, by its text.
pub type Fate = Box<dyn Fn(&str) -> Option<Misfortune> + Send>;

/// A cluster that keeps documents.
#[derive(Clone, Default)]
pub struct Cluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// In the order in which they were created: index, id, document.
    documents: Vec<(String, String, Value)>,
    places: BTreeMap<(String, String), usize>,
    fate: Option<Fate>,
    conflicts: usize,
    failures: BTreeMap<u16, usize>,
    answer_bytes_max: usize,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster in which documents meet their fate.
    #[must_use]
    pub fn with(fate: Fate) -> Self {
        let cluster = Self::default();
        cluster.lock().fate = Some(fate);
        cluster
    }

    /// Takes a bulk request.
    ///
    /// # Panics
    /// If it has another form than the documents say.
    #[must_use]
    pub fn bulk(&self, request: &Received) -> Reply {
        assert_eq!(request.method, "POST");
        assert_eq!(request.target.split('?').next(), Some("/_bulk"));
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        let body = String::from_utf8(request.plain_body()).expect("JSON is UTF-8");
        assert!(body.ends_with('\n'), "the last line ends with a line feed");
        let mut lines = body.lines();
        let mut state = self.lock();
        let mut items = Vec::new();
        while let Some(action) = lines.next() {
            let action: Value = serde_json::from_str(action).expect("an action");
            let create = action["create"].as_object().expect("only documents are created");
            let text = |key: &str| create[key].as_str().expect("it is named").to_owned();
            let document = lines.next().expect("a document follows its action");
            items.push(json!({ "create": state.create(&(text("_index"), text("_id")), document) }));
        }
        let errors = items.iter().any(|item| item["create"]["error"].is_object());
        let answer = format!(r#"{{"took":30,"errors":{errors},"items":{}}}"#, Value::Array(items));
        state.answer_bytes_max = state.answer_bytes_max.max(answer.len());
        Reply::new(200, answer).header("content-type", "application/json")
    }

    /// All documents with index and id, in the order in which they were created.
    #[must_use]
    pub fn documents(&self) -> Vec<(String, String, Value)> {
        self.lock().documents.clone()
    }

    /// How many documents were there already when they came again.
    #[must_use]
    pub fn conflicts(&self) -> usize {
        self.lock().conflicts
    }

    /// How often each status was given to a document that was not stored.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<u16, usize> {
        self.lock().failures.clone()
    }

    /// Bytes of the longest answer.
    #[must_use]
    pub fn answer_bytes_max(&self) -> usize {
        self.lock().answer_bytes_max
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn create(&mut self, key: &(String, String), document: &str) -> Value {
        let (index, id) = key;
        let met = self.fate.as_ref().and_then(|fate| fate(document));
        if let Some((status, kind, reason)) = met {
            *self.failures.entry(status).or_default() += 1;
            let error = json!({ "type": kind, "reason": reason, "index": index, "shard": "0" });
            return json!({ "_index": index, "_id": id, "status": status, "error": error });
        }
        let place = self.documents.len();
        if self.places.contains_key(key) {
            self.conflicts += 1;
            let reason = format!("[{id}]: version conflict, document already exists (current version [1])");
            let error = json!({
                "type": "version_conflict_engine_exception", "reason": reason,
                "index_uuid": "aAsFqTI0Tc2W0LCWgPNrOA", "shard": "0", "index": index,
            });
            return json!({ "_index": index, "_id": id, "status": 409, "error": error });
        }
        self.places.insert(key.clone(), place);
        let parsed = serde_json::from_str(document).expect("a document");
        self.documents.push((index.clone(), id.clone(), parsed));
        // A cluster that does not know `filter_path` sends much that nobody needs.
        json!({
            "_index": index, "_id": id, "_version": 1, "result": "created", "status": 201,
            "_shards": { "total": 2, "successful": 1, "failed": 0 }, "_seq_no": place, "_primary_term": 1,
            "padding": "x".repeat(300),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[&str]) -> Received {
        let headers = vec![("content-type".to_owned(), "application/x-ndjson".to_owned())];
        let body = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        Received { method: "POST".to_owned(), target: "/_bulk?x".to_owned(), headers, body }
    }

    #[test]
    fn answers_as_the_documents_say() {
        let cluster = Cluster::with(Box::new(|text| {
            text.contains("bad").then_some((400, "document_parsing_exception", "failed to parse field [a]"))
        }));
        let action = r#"{"create":{"_index":"i","_id":"1"}}"#;
        let other = r#"{"create":{"_index":"i","_id":"2"}}"#;
        let reply = cluster.bulk(&request(&[action, r#"{"a":1}"#, other, r#"{"a":"bad"}"#, action, "{}"]));
        let text = String::from_utf8(reply.body).unwrap();
        // Some clients look for this very text.
        assert!(text.contains(r#""errors":true,"items":[{"#), "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let statuses: Vec<u64> =
            (0..3).map(|at| answer["items"][at]["create"]["status"].as_u64().unwrap()).collect();
        assert_eq!(statuses, [201, 400, 409]);
        assert_eq!(cluster.documents(), [("i".to_owned(), "1".to_owned(), json!({ "a": 1 }))]);
        assert_eq!((cluster.conflicts(), cluster.failures()), (1, BTreeMap::from([(400, 1)])));
    }
}
