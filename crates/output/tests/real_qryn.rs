//! qryn, which takes what Loki takes and was written by others: it has every line, with its labels and its time.
//!
//! qryn keeps lines in ClickHouse, which here is chdb behind as much of its HTTP interface as qryn uses. It has no
//! place for structured metadata: what is shown of them is that lines beside them are read as they are.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_model::{Outcome, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_telemetry::Clock;
use serde_json::Value as Json;

#[allow(dead_code, reason = "the bench has more than is needed here")]
#[path = "harness/bench.rs"]
mod bench;

#[path = "harness/program.rs"]
mod program;

use bench::Bench;
use program::Program;
use sawyer_testkit::packages;

const PYTHON: &str = "chdb==4.4.0";
const NODE: &str = "qryn@3.2.39";

/// Longest wait for anything of qryn: its start makes some eighty tables and views.
const SOON: Duration = Duration::from_secs(120);

const PODS: [&str; 2] = ["cart-1", "cart-2"];
const CONTAINERS: [&str; 2] = ["app", "proxy"];

/// Lines of each stream.
const EACH: u64 = 125;

/// A label's value in which nothing may be taken for the end of it.
const TEAM: &str = r#"a\b, "결제"} {x="y"#;

/// Lines with their times in nanoseconds, by labels.
type Lines = BTreeMap<BTreeMap<String, String>, Vec<(i64, String)>>;

struct Qryn {
    program: Program,
    _database: Program,
    _folder: tempfile::TempDir,
}

impl Qryn {
    fn start() -> Option<Self> {
        let python = packages("python-packages", &[PYTHON], "no Python packages: chdb")?;
        let modules = packages("node-packages", &[NODE], "no Node.js packages: qryn")?;
        let node = packages("node", &[], "no Node.js")?;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("clickhouse");
        let shim = sawyer_testkit::repository().join("crates/output/tests/harness/clickhouse.py");
        let args = [shim.to_str().unwrap(), data.to_str().unwrap()];
        let database = Program::start("python3", &args, &[("PYTHONPATH", &python)]);
        let port = database.address.port().to_string();
        let variables = [
            ("CLICKHOUSE_SERVER", "127.0.0.1"),
            ("CLICKHOUSE_PORT", &port),
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
        ];
        let main = format!("{modules}/qryn/qryn_node.js");
        let program = Program::start(&format!("{node}/node"), &[&main], &variables);
        Some(Self { program, _database: database, _folder: folder })
    }

    /// What Loki's API answers.
    fn ask(&self, path: &str) -> Json {
        let mut stream = TcpStream::connect(self.program.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET /loki/api/v1/{path} HTTP/1.0\r\nhost: qryn\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{path}: {answer}");
        let body: Json = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(body["status"], "success", "{path}: {answer}");
        body["data"].clone()
    }

    /// All lines of a namespace, oldest first.
    fn lines(&self, namespace: &str, from: Timestamp) -> Lines {
        let end = from.saturating_add(Duration::from_secs(3600)).nanos();
        let found = self.ask(&format!(
            "query_range?query=%7Bnamespace%3D%22{namespace}%22%7D&limit=10000&direction=forward&start={}&end={end}",
            from.nanos()
        ));
        let mut lines = Lines::new();
        for stream in found["result"].as_array().unwrap() {
            let labels = serde_json::from_value(stream["stream"].clone()).unwrap();
            let values: Vec<(String, String)> = serde_json::from_value(stream["values"].clone()).unwrap();
            let values = values.into_iter().map(|(time, line)| (time.parse().unwrap(), line));
            lines.entry(labels).or_default().extend(values);
        }
        lines
    }
}

/// Lines in all the shapes in which they come.
fn line(pod: &str, container: &str, at: u64) -> String {
    let name = format!("{pod} {container} {at}");
    match at % 5 {
        0 => format!(r#"{{"level":"error","text":"{name} \"결제\"\n","n":{at}}}"#),
        1 => format!("{name} <&> \\ 'x' {{}} %s ${{y}} ?"),
        2 => format!("{name}\n\tat Cart.pay(Cart.java:12)\r\n\u{1b}[31mred\u{1b}[0m"),
        3 => format!("{name} \u{1f4a5} é\u{301} {}", "길다 ".repeat(usize::try_from(at).unwrap())),
        _ => name,
    }
}

/// Some nanoseconds that a float does not hold.
fn time(from: Timestamp, at: u64) -> Timestamp {
    from.saturating_add(Duration::from_nanos(at * 7_000_001))
}

fn records(pod: &str, container: &str, numbers: std::ops::Range<u64>, from: Timestamp) -> Vec<Record> {
    let names = [("namespace", "shop"), ("pod", pod), ("container", container)];
    let stream = Arc::new(Stream::new(names.map(|(name, value)| (name, Value::from(value)))));
    let source = pod.bytes().chain(container.bytes()).fold(7, |sum, byte| sum * 31 + u128::from(byte));
    let records = numbers.map(|at| Record {
        timestamp: time(from, at),
        observed: from,
        source: SourceId(source),
        range: SeqRange::new(at, at + 1),
        stream: Arc::clone(&stream),
        fields: vec![
            ("message".into(), Value::from(line(pod, container, at).as_str())),
            ("level".into(), Value::from(if at % 5 == 0 { "error" } else { "info" })),
            ("trace_id".into(), Value::from(format!("{at:032x}").as_str())),
            ("note".into(), Value::from("\"결제\" = {a, b}\n")),
        ],
    });
    records.collect()
}

/// What qryn has to have.
fn expected(from: Timestamp) -> Lines {
    let mut lines = Lines::new();
    for pod in PODS {
        for container in CONTAINERS {
            let labels = [("namespace", "shop"), ("pod", pod), ("container", container), ("team", TEAM)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let values = (0..EACH).map(|at| (time(from, at).nanos(), line(pod, container, at)));
            lines.insert(labels, values.collect());
        }
    }
    lines
}

/// Whether it is the line that was sent. Qryn reads its database in chunks and takes each for a text of its own, so that
/// a character that lies in two of them comes as marks of replacement, of which none is sent.
fn is(found: &str, sent: &str) -> bool {
    const REPLACED: char = char::REPLACEMENT_CHARACTER;
    let Some((before, _)) = found.split_once(REPLACED) else { return found == sent };
    let behind = found.rsplit_once(REPLACED).map_or("", |(_, behind)| behind);
    let cut = sent.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
    cut.is_some_and(|cut| cut.chars().count() == 1)
}

#[tokio::test]
async fn qryn_has_every_line_with_its_labels_and_its_time() {
    if !sawyer_testkit::may_use_root("needs packages of Python and Node.js") {
        return;
    }
    let Some(qryn) = Qryn::start() else { return };
    let settings = format!(
        "endpoint: http://{}\nlabels: [namespace, pod, container]\nstatic_labels: {{team: {}}}\n\
         structured_metadata: ['*']\nbatch_age_max: 50ms",
        qryn.program.address,
        Json::from(TEAM)
    );
    let bench = Bench::start("loki", &settings);
    let from = Clock::system().now().saturating_sub(Duration::from_secs(600));
    for start in (0..EACH).step_by(25) {
        for pod in PODS {
            for container in CONTAINERS {
                bench.send(&records(pod, container, start..start + 25, from)).await;
            }
        }
    }
    let metrics = bench.metrics.clone();
    assert_eq!(bench.drain().await, [Outcome::Durable; 20]);
    for name in
        ["sawyer_delivery_rejected_items", "sawyer_output_cut_labels", "sawyer_output_left_out_fields"]
    {
        assert_eq!(metrics.numbers(name)[0].1, 0, "{name}");
    }
    // What qryn has taken can be asked for a moment later.
    let (expected, start) = (expected(from), Instant::now());
    let count = |lines: &Lines| lines.values().map(Vec::len).sum::<usize>();
    let mut lines = qryn.lines("shop", from);
    while count(&lines) < count(&expected) && start.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(250)).await;
        lines = qryn.lines("shop", from);
    }
    assert_eq!(count(&expected), 500);
    assert_eq!(lines.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (labels, expected) in &expected {
        for ((time, line), (expected_time, sent)) in lines[labels].iter().zip(expected) {
            assert!(
                time == expected_time && is(line, sent),
                "{labels:?}: {time} {line:?} for {expected_time} {sent:?}"
            );
        }
        assert_eq!(lines[labels].len(), expected.len(), "{labels:?}");
    }
    assert!(qryn.lines("other", from).is_empty(), "qryn finds by labels");
}
