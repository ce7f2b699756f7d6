//! What the output `loki` sends beside what the libraries of Python and npm send for the same records: the same streams,
//! the same nanoseconds, the same lines, and the same kind of body as the one of them that sends protobuf.
//!
//! Our bodies are read by winston-loki's copy of Loki's `logproto.proto`, on protobuf.js and the snappy of others.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use sawyer_model::{Outcome, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::Value as Json;

#[allow(dead_code, reason = "the bench has more than is needed here")]
#[path = "harness/bench.rs"]
mod bench;

use bench::Bench;
use sawyer_testkit::packages;

const PYTHON: &str = "python-logging-loki==0.3.1";
const NODE: [&str; 4] = ["pino@10.4.0", "pino-loki@3.0.0", "winston@3.19.0", "winston-loki@6.1.7"];
const COUNT: usize = 50;

/// Lines with their times in nanoseconds, by labels.
type Lines = BTreeMap<BTreeMap<String, String>, Vec<(i64, String)>>;

struct Libraries {
    python: String,
    node: PathBuf,
    modules: String,
    folder: tempfile::TempDir,
}

impl Libraries {
    fn find() -> Option<Self> {
        if !sawyer_testkit::may_use_root("needs programs from PyPI and npm") {
            return None;
        }
        let python = packages("python-packages", &[PYTHON], "no Python packages: Loki")?;
        let modules = packages("node-packages", &NODE, "no Node.js packages: Loki")?;
        let node = Path::new(&packages("node", &[], "no Node.js")?).join("node");
        let folder = tempfile::tempdir().unwrap();
        // Imports are looked for beside a script.
        std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).unwrap();
        std::fs::copy(script("loki.js"), folder.path().join("loki.mjs")).unwrap();
        Some(Self { python, node, modules, folder })
    }

    /// What a library sends for numbered records.
    fn sent(&self, library: &str) -> Vec<Received> {
        let peer = peer();
        let count = COUNT.to_string();
        let mut command = if library == "python" {
            let mut command = Command::new("python3");
            command.arg(script("loki.py")).env("PYTHONPATH", &self.python);
            command
        } else {
            let mut command = Command::new(&self.node);
            command.arg(self.folder.path().join("loki.mjs")).arg(library);
            command
        };
        let run = command.args([&peer.url(), "token", &count]).output().unwrap();
        assert!(run.status.success(), "{library}: {}", String::from_utf8_lossy(&run.stderr));
        peer.received()
    }

    /// Reads a body of protobuf and snappy.
    fn decode(&self, body: &[u8]) -> Lines {
        let decoder = sawyer_testkit::repository().join("crates/output/tests/harness/loki_decode.cjs");
        let mut command = Command::new(&self.node);
        command.arg(decoder).arg(&self.modules).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success());
        let streams: Vec<Json> = serde_json::from_slice(&out.stdout).unwrap();
        lines(&streams, |stream| labels(stream["labels"].as_str().unwrap()))
    }

    fn read(&self, request: &Received) -> Lines {
        if request.header("content-type") == Some("application/x-protobuf") {
            return self.decode(&request.body);
        }
        let body: Json = serde_json::from_slice(&request.plain_body()).unwrap();
        lines(body["streams"].as_array().unwrap(), |stream| {
            let labels = stream["stream"].as_object().unwrap().iter();
            labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
        })
    }

    fn read_all(&self, requests: &[Received]) -> Lines {
        let mut all = Lines::new();
        for request in requests {
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/loki/api/v1/push"));
            for (labels, mut lines) in self.read(request) {
                all.entry(labels).or_default().append(&mut lines);
            }
        }
        all
    }
}

fn script(name: &str) -> PathBuf {
    sawyer_testkit::repository().join("crates/sawyer/tests/real_receivers").join(name)
}

fn peer() -> Peer {
    Peer::start(|_, _| Play::Answer(Reply::new(204, "")))
}

fn lines(streams: &[Json], labels: impl Fn(&Json) -> BTreeMap<String, String>) -> Lines {
    let mut all = Lines::new();
    for stream in streams {
        let values = stream["values"].as_array().unwrap().iter().map(|value| {
            (value[0].as_str().unwrap().parse().unwrap(), value[1].as_str().unwrap().to_owned())
        });
        all.entry(labels(stream)).or_default().extend(values);
    }
    all
}

/// Labels as text; the values here have nothing in them that would be escaped.
fn labels(text: &str) -> BTreeMap<String, String> {
    let inner = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let pairs = inner.split(',').map(|pair| pair.trim().split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// The same records as ours would be.
fn records(lines: &Lines) -> Vec<Record> {
    let mut records = Vec::new();
    for (labels, lines) in lines {
        let fields = labels.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let stream = Arc::new(Stream::new(fields));
        for (nanos, line) in lines {
            let at = records.len() as u64;
            records.push(Record {
                timestamp: Timestamp::from_nanos(*nanos),
                observed: Timestamp::from_nanos(*nanos),
                source: SourceId(7),
                range: SeqRange::new(at, at + 1),
                stream: Arc::clone(&stream),
                fields: vec![("message".into(), Value::from(line.as_str()))],
            });
        }
    }
    records
}

#[tokio::test]
async fn our_bodies_say_what_those_of_libraries_say() {
    let Some(libraries) = Libraries::find() else { return };
    for (library, streams) in [("python", 1), ("pino", 1), ("winston", 2)] {
        let theirs = libraries.sent(library);
        let wanted = libraries.read_all(&theirs);
        assert_eq!(wanted.len(), streams, "{library}: {wanted:?}");
        assert!(wanted.values().all(|lines| lines.len() == COUNT), "{library}: {wanted:?}");

        let ours = peer();
        let names: Vec<&String> = wanted.keys().next().unwrap().keys().collect();
        let settings = format!(
            "endpoint: [\"{}\"]\nlabels: {names:?}\nstructured_metadata: []\nline: message\nbatch_age_max: 20ms\n",
            ours.url()
        );
        let bench = Bench::start("loki", &settings);
        bench.send(&records(&wanted)).await;
        assert_eq!(bench.drain().await, [Outcome::Durable], "{library}");
        let requests = ours.received();
        assert_eq!(libraries.read_all(&requests), wanted, "{library}");
        for header in ["content-type", "content-encoding"] {
            let of = |request: &Received| request.header(header).map(str::to_owned);
            let same =
                theirs.iter().filter(|request| request.header("content-type").unwrap().contains("proto"));
            assert!(same.map(of).all(|value| value.is_none() || value == of(&requests[0])), "{header}");
        }
    }
}
