//! What clients ask before they write: who is there, whether their templates, policies and indices are.
//!
//! Owns: these answers; what clients have put, for as long as the process runs, so that whoever looks for what it put
//! finds it. Does not own: documents.
//! Invariant: what is kept is bounded; nothing that is put here changes how documents are stored: every field is searchable
//! as it is.

use std::collections::BTreeMap;

use hyper::Method;
use parking_lot::Mutex;
use sawyer_model::SourceId;
use serde_json::{Value, json};

/// Things that clients have put, at most; further ones are acknowledged and not found again.
const KEPT_MAX: usize = 1000;

/// Bytes of a thing that is kept; larger ones are found again, but empty.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Paths under which things are put and looked for, by their first parts.
const THINGS: [&[&str]; 6] = [
    &["_index_template"],
    &["_component_template"],
    &["_template"],
    &["_ilm", "policy"],
    &["_data_stream"],
    &["_ingest", "pipeline"],
];

/// Answers.
#[derive(Debug)]
pub(super) struct Start {
    version: String,
    name: String,
    uuid: String,
    kept: Mutex<BTreeMap<String, Value>>,
}

impl Start {
    pub(super) fn new(version: String, name: &str) -> Self {
        let uuid = format!("{:032x}", SourceId::of(&[b"elasticsearch", name.as_bytes()]).0);
        Self { version, name: name.to_owned(), uuid: uuid[..22].to_owned(), kept: Mutex::default() }
    }

    /// The status and the body of the answer; nothing if there is no such path.
    pub(super) fn answer(
        &self,
        method: &Method,
        path: &[&str],
        body: &[u8],
        host: &str,
    ) -> Option<(u16, String)> {
        let looks = matches!(*method, Method::GET | Method::HEAD);
        let found = match path {
            [] if looks => self.info(),
            ["_license"] if looks => json!({"license": self.license()}),
            ["_xpack"] if looks => json!({
                "build": {}, "license": self.license(),
                "features": {"ilm": {"available": true, "enabled": true}, "security": {"available": true, "enabled": false}},
            }),
            ["_cluster", "health", ..] if looks => self.health(),
            ["_nodes", ..] if looks => self.nodes(host),
            // What is durable can be searched.
            ["_refresh"] | [_, "_refresh"] if *method == Method::POST || looks => {
                json!({"_shards": {"total": 1, "successful": 1, "failed": 0}})
            }
            [name, ..] if name.starts_with('_') => return self.thing(method, path, body),
            [index] => return self.index(method, index, body),
            [index, "_alias" | "_aliases" | "_settings" | "_mapping", ..] => {
                return self.index(method, &path.join("/"), body).map(|told| {
                    // Looking for an index's own parts finds nothing special about it.
                    if looks && told.0 == 404 && self.kept.lock().contains_key(*index) {
                        (200, "{}".into())
                    } else {
                        told
                    }
                });
            }
            _ => return None,
        };
        Some((200, found.to_string()))
    }

    fn info(&self) -> Value {
        json!({
            "name": self.name,
            "cluster_name": "sawyer",
            "cluster_uuid": self.uuid,
            "version": {
                "number": self.version,
                "build_flavor": "default",
                "build_type": "docker",
                "build_hash": self.uuid,
                "build_date": "2026-01-01T00:00:00.000000000Z",
                "build_snapshot": false,
                "lucene_version": "9.12.2",
                "minimum_wire_compatibility_version": "7.17.0",
                "minimum_index_compatibility_version": "7.0.0",
            },
            "tagline": "You Know, for Search",
        })
    }

    fn license(&self) -> Value {
        json!({
            "status": "active", "uid": self.uuid, "type": "basic", "mode": "basic",
            "issue_date": "2026-01-01T00:00:00.000Z", "issue_date_in_millis": 1_767_225_600_000_u64,
            "max_nodes": 1000, "max_resource_units": null, "issued_to": "sawyer", "issuer": "elasticsearch",
            "start_date_in_millis": -1,
        })
    }

    fn health(&self) -> Value {
        json!({
            "cluster_name": "sawyer", "status": "green", "timed_out": false, "number_of_nodes": 1,
            "number_of_data_nodes": 1, "active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0,
            "initializing_shards": 0, "unassigned_shards": 0, "delayed_unassigned_shards": 0,
            "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0, "task_max_waiting_in_queue_millis": 0,
            "active_shards_percent_as_number": 100.0,
        })
    }

    /// The health as a row of a table, or as JSON. Rsyslog asks for it before it writes.
    pub(super) fn table(json: bool) -> String {
        if json {
            return json!([{
                "cluster": "sawyer", "status": "green", "node.total": "1", "node.data": "1", "shards": "1", "pri": "1",
                "relo": "0", "init": "0", "unassign": "0", "pending_tasks": "0", "active_shards_percent": "100.0%",
            }])
            .to_string();
        }
        let columns =
            ["0", "00:00:00", "sawyer", "green", "1", "1", "1", "1", "0", "0", "0", "0", "-", "100.0%"];
        format!("{}\n", columns.join(" "))
    }

    /// Clients that look for further nodes find this one, under the name that they know already.
    fn nodes(&self, host: &str) -> Value {
        let node = json!({
            "name": self.name, "transport_address": host, "host": host, "ip": host, "version": self.version,
            "build_flavor": "default", "roles": ["data", "ingest", "master"],
            "http": {"bound_address": [host], "publish_address": host, "max_content_length_in_bytes": 104_857_600},
        });
        json!({
            "_nodes": {"total": 1, "successful": 1, "failed": 0}, "cluster_name": "sawyer",
            "nodes": {self.uuid.as_str(): node},
        })
    }

    /// Templates, policies, data streams, pipelines.
    fn thing(&self, method: &Method, path: &[&str], body: &[u8]) -> Option<(u16, String)> {
        let start = THINGS.iter().find(|start| path.starts_with(start))?;
        let name = path[start.len()..].join("/");
        let key = path.join("/");
        if name.is_empty() {
            // All of a kind; clients only look whether the kind is known.
            let all = if start[0] == "_index_template" { json!({"index_templates": []}) } else { json!({}) };
            return (*method == Method::GET).then(|| (200, all.to_string()));
        }
        match *method {
            Method::PUT | Method::POST => {
                self.keep(key, body);
                Some((200, json!({"acknowledged": true}).to_string()))
            }
            Method::GET | Method::HEAD => {
                let kept = self.kept.lock().get(&key).cloned();
                let Some(kept) = kept else { return Some((404, "{}".to_owned())) };
                let found = match start[0] {
                    "_index_template" => json!({"index_templates": [{"name": name, "index_template": kept}]}),
                    "_component_template" => {
                        json!({"component_templates": [{"name": name, "component_template": kept}]})
                    }
                    "_data_stream" if name.ends_with("/_lifecycle") => {
                        let name = name.trim_end_matches("/_lifecycle");
                        json!({"data_streams": [{"name": name, "lifecycle": kept}]})
                    }
                    "_data_stream" => json!({"data_streams": [{
                        "name": name, "timestamp_field": {"name": "@timestamp"}, "indices": [], "generation": 1,
                        "status": "GREEN", "template": name,
                    }]}),
                    "_ilm" => {
                        let policy = kept.get("policy").cloned().unwrap_or_default();
                        json!({name: {"version": 1, "modified_date": "2026-01-01T00:00:00.000Z", "policy": policy}})
                    }
                    _ => json!({name: kept}),
                };
                Some((200, found.to_string()))
            }
            Method::DELETE => {
                let status = if self.kept.lock().remove(&key).is_some() { 200 } else { 404 };
                Some((status, json!({"acknowledged": status == 200}).to_string()))
            }
            _ => None,
        }
    }

    /// An index, which is there once somebody has made it; documents need none.
    fn index(&self, method: &Method, index: &str, body: &[u8]) -> Option<(u16, String)> {
        match *method {
            Method::PUT => {
                self.keep(index.to_owned(), body);
                let told = json!({"acknowledged": true, "shards_acknowledged": true, "index": index});
                Some((200, told.to_string()))
            }
            Method::GET | Method::HEAD => match self.kept.lock().get(index) {
                Some(_) => {
                    Some((200, json!({index: {"aliases": {}, "mappings": {}, "settings": {}}}).to_string()))
                }
                None => {
                    let cause = json!({
                        "type": "index_not_found_exception", "reason": format!("no such index [{index}]"), "index": index,
                    });
                    let mut error = cause.clone();
                    error["root_cause"] = json!([cause]);
                    Some((404, json!({"error": error, "status": 404}).to_string()))
                }
            },
            _ => None,
        }
    }

    fn keep(&self, key: String, body: &[u8]) {
        let value = if body.len() > KEPT_BYTES_MAX { None } else { serde_json::from_slice(body).ok() };
        let mut kept = self.kept.lock();
        if kept.len() < KEPT_MAX || kept.contains_key(&key) {
            kept.insert(key, value.unwrap_or_else(|| json!({})));
        }
    }
}
