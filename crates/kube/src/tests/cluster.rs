//! A small cluster: events with versions, a history that is forgotten, leases that refuse what is out of date.
//!
//! Unlike `server`, which says what it is told to, it keeps what is written to it, so that several can take part.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

pub(super) struct Cluster {
    pub(super) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Versions up to this one are forgotten.
    compacted: u64,
    objects: BTreeMap<String, Value>,
    /// What happened to events, by version.
    history: Vec<(u64, &'static str, Value)>,
    requests: Vec<String>,
    refused: Vec<(&'static str, u16)>,
    /// Watches of before are cut off.
    generation: u64,
}

impl Cluster {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            state: Mutex::new(State { version: 100, ..State::default() }),
            ..Shared::default()
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.serve(stream));
            }
        });
        Self { url, shared }
    }

    /// Writes an event, for the first time or once more; gives its version.
    pub(super) fn event(&self, name: &str, change: &Value) -> u64 {
        let mut state = self.shared.state.lock();
        let path = format!("/api/v1/namespaces/shop/events/{name}");
        let known = state.objects.get(&path).cloned();
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        let mut event = known.unwrap_or_else(|| {
            json!({"kind": "Event", "apiVersion": "v1", "type": "Warning", "reason": "BackOff", "count": 0,
                "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-11-20T10:00:00Z"}})
        });
        event["count"] = json!(event["count"].as_i64().unwrap() + 1);
        event["message"] = json!(format!("{name} {}", event["count"]));
        for (key, value) in change.as_object().into_iter().flatten() {
            event[key] = value.clone();
        }
        let version = state.store(&path, event, kind);
        self.shared.changed.notify_all();
        version
    }

    /// An event runs out.
    pub(super) fn expire(&self, name: &str) {
        let mut state = self.shared.state.lock();
        let event = state.objects.remove(&format!("/api/v1/namespaces/shop/events/{name}")).unwrap();
        state.version += 1;
        let version = state.version;
        let event = versioned(event, version);
        state.history.push((version, "DELETED", event));
        self.shared.changed.notify_all();
    }

    /// The version of now.
    pub(super) fn newest(&self) -> u64 {
        self.shared.state.lock().version
    }

    pub(super) fn put(&self, path: &str, object: Value) {
        self.shared.state.lock().store(path, object, "");
    }

    /// Forgets the past and ends all watches.
    pub(super) fn compact(&self) {
        let mut state = self.shared.state.lock();
        state.compacted = state.version;
        state.generation += 1;
        self.shared.changed.notify_all();
    }

    /// Goes back to what was there at a version, as after a restore from a backup.
    pub(super) fn restore(&self, version: u64) {
        let mut state = self.shared.state.lock();
        state.objects.retain(|path, object| path.contains("/leases/") || version_of(object) <= version);
        state.history.clear();
        (state.version, state.compacted) = (version, version);
        state.generation += 1;
        self.shared.changed.notify_all();
    }

    pub(super) fn refuse(&self, path: &'static str, status: u16) {
        self.shared.state.lock().refused.push((path, status));
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.shared.state.lock().requests.clone()
    }

    pub(super) fn lease(&self) -> Value {
        let state = self.shared.state.lock();
        state
            .objects
            .iter()
            .find(|(path, _)| path.contains("/leases/"))
            .map_or(Value::Null, |(_, lease)| lease.clone())
    }
}

fn version_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn versioned(mut object: Value, version: u64) -> Value {
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}

impl State {
    fn store(&mut self, path: &str, object: Value, kind: &'static str) -> u64 {
        self.version += 1;
        let version = self.version;
        let object = versioned(object, version);
        self.objects.insert(path.to_owned(), object.clone());
        if !kind.is_empty() {
            self.history.push((version, kind, object));
        }
        version
    }

    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let said = |code: u16| {
            (code, json!({"kind": "Status", "code": code, "message": format!("{method} {path}")}))
        };
        match method {
            "GET" if path.ends_with("/events") => {
                let events: Vec<&Value> = self
                    .objects
                    .iter()
                    .filter(|(path, _)| path.contains("/events/"))
                    .map(|(_, event)| event)
                    .collect();
                (200, json!({"metadata": {"resourceVersion": self.version.to_string()}, "items": events}))
            }
            "GET" => self.objects.get(path).map_or_else(|| said(404), |object| (200, object.clone())),
            "POST" => {
                let mut object: Value = serde_json::from_slice(body).unwrap();
                let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return said(409);
                }
                object["metadata"]["uid"] = json!("uid-of-lease");
                self.store(&path, object, "");
                (201, self.objects[&path].clone())
            }
            "PUT" => {
                let object: Value = serde_json::from_slice(body).unwrap();
                if self.objects.get(path).map(version_of) != Some(version_of(&object)) {
                    return said(409);
                }
                self.store(path, object, "");
                (200, self.objects[path].clone())
            }
            _ => said(405),
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((method, target, body)) = read(&mut reader) {
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let refused = {
                let mut state = self.state.lock();
                state.requests.push(format!("{method} {target}"));
                state.refused.iter().find(|(what, _)| path.starts_with(what)).map(|(_, status)| *status)
            };
            let done = if let Some(status) = refused {
                write(reader.get_mut(), status, &json!({"code": status, "message": "refused"}))
            } else if query.contains("watch=true") {
                let _ = self.watch(reader.get_mut(), query);
                return;
            } else {
                let (status, answer) = self.state.lock().answer(&method, path, &body);
                write(reader.get_mut(), status, &answer)
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn watch(&self, stream: &mut TcpStream, query: &str) -> std::io::Result<()> {
        let from = query.rsplit_once("resourceVersion=").unwrap().1.parse().unwrap();
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        )?;
        let mut sent: u64 = from;
        let mut state = self.state.lock();
        let generation = state.generation;
        if sent < state.compacted {
            let gone =
                json!({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}});
            chunk(stream, &gone)?;
            return stream.write_all(b"0\r\n\r\n");
        }
        loop {
            if state.generation != generation {
                return stream.write_all(b"0\r\n\r\n");
            }
            let news: Vec<_> =
                state.history.iter().filter(|(version, ..)| *version > sent).cloned().collect();
            if news.is_empty() {
                self.changed.wait_for(&mut state, Duration::from_secs(30));
            }
            for (version, kind, object) in news {
                chunk(stream, &json!({"type": kind, "object": object}))?;
                sent = version;
            }
        }
    }
}

fn chunk(stream: &mut TcpStream, line: &Value) -> std::io::Result<()> {
    let line = format!("{line}\n");
    stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())
}

fn write(stream: &mut TcpStream, status: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let mut line = String::new();
    (reader.read_line(&mut line).ok()? > 0).then_some(())?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, target, body))
}
