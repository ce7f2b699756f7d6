//! Real producers push to a real Sawyer: what they sent is there, once, as they said it.
//!
//! The programs are packages of Python and npm, which `tools/python-packages` and `tools/node-packages` fetch.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

use harness::Sawyer;

/// Records of each producer.
const COUNT: u64 = 1000;

/// Records of those that send each by itself.
const FEW: u64 = 100;

const CLIENTS: &str = "clients: {shop: {token: s3cret, namespaces: [shop]}}";

fn config(kind: &str) -> String {
    let listen = if kind == "otlp" { "['127.0.0.1:0']" } else { "127.0.0.1:0" };
    format!(
        "inputs:\n  in: {{type: {kind}, listen: {listen}, {CLIENTS}}}\noutputs: {{store: }}\n{}",
        harness::AS_WRITTEN
    )
}

/// A receiver, and where it listens.
fn start(folder: &tempfile::TempDir, kind: &str) -> (Sawyer, String) {
    let mut sawyer = Sawyer::up_with(folder.path(), &config(kind));
    sawyer.wait_for_log("\"receiving\"");
    let log = sawyer.log();
    let line = log.lines().find(|line| line.contains("\"receiving\"")).unwrap();
    let told: Value = serde_json::from_str(line).unwrap();
    let address = told["address"].as_str().unwrap().to_owned();
    (sawyer, address)
}

/// The folder with packages, or nothing after a skip.
fn packages(tool: &str, names: &[&str]) -> Option<String> {
    sawyer_testkit::packages(tool, names, "no Python packages: producers")
}

fn script(name: &str) -> PathBuf {
    sawyer_testkit::repository().join("crates/sawyer/tests/real_receivers").join(name)
}

/// Runs a script of Python to its end; gives what it printed.
fn python(packages: &str, name: &str, args: &[&str]) -> String {
    let out =
        Command::new("python3").arg(script(name)).args(args).env("PYTHONPATH", packages).output().unwrap();
    let (out_text, errors) = (harness::text(&out.stdout), harness::text(&out.stderr));
    assert!(out.status.success(), "{name}: {out_text}\n{errors}");
    out_text
}

/// Runs a script of Node.js to its end.
fn node(folder: &tempfile::TempDir, packages: &str, name: &str, args: &[&str]) {
    let node = Command::new(sawyer_testkit::repository().join("tools/node")).output().unwrap();
    let node = PathBuf::from(harness::text(&node.stdout).trim()).join("node");
    // Imports are looked for beside a script.
    let modules = folder.path().join("node_modules");
    if !modules.exists() {
        std::os::unix::fs::symlink(packages, &modules).unwrap();
    }
    let copy = folder.path().join("script.mjs");
    std::fs::copy(script(name), &copy).unwrap();
    let run = Command::new(&node).arg(&copy).args(args).output().unwrap();
    let (told, errors) = (harness::text(&run.stdout), harness::text(&run.stderr));
    assert!(run.status.success(), "{name} {}: {told}{errors}", args[0]);
}

/// How often each number is there, of the records that match.
fn numbers(sawyer: &Sawyer, query: &str) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for record in sawyer.all(query) {
        let message = record["message"].as_str().unwrap();
        let number = message.split(' ').nth(1).unwrap().parse().unwrap();
        *times.entry(number).or_insert(0) += 1;
    }
    times
}

fn all_once(sawyer: &mut Sawyer, query: &str, count: u64) {
    sawyer.wait_for_count(query, count);
    let times = numbers(sawyer, query);
    assert_eq!(times.len() as u64, count);
    assert!(times.values().all(|times| *times == 1));
}

#[test]
fn opentelemetry_exports_over_http_and_grpc() {
    let names = [
        "opentelemetry-sdk==1.45.2",
        "opentelemetry-exporter-otlp-proto-http==1.45.2",
        "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    ];
    let Some(packages) = packages("python-packages", &names) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut sawyer, address) = start(&folder, "otlp");
    let (url, count) = (format!("http://{address}"), COUNT.to_string());
    for way in ["http", "grpc"] {
        python(&packages, "otlp.py", &[way, &url, "s3cret", &count]);
        all_once(&mut sawyer, &format!("namespace: shop and pod: cart-{way} and service: cart"), COUNT);
    }
    let record = &sawyer.all("number: 7")[0];
    assert_eq!((record["level"].as_str(), record["tags"][1].as_str()), (Some("warn"), Some("b")), "{record}");
    assert_eq!(record["scope.name"], "shop.cart");
    assert!(record.get("identity").is_none(), "the token vouches for it: {record}");
}

/// Its exporter over HTTP in JavaScript sends JSON, in chunks and compressed.
#[test]
fn opentelemetry_exports_json() {
    let names = [
        "@opentelemetry/api@1.10.0",
        "@opentelemetry/exporter-logs-otlp-http@0.301.0",
        "@opentelemetry/sdk-logs@3.1.0",
        "@opentelemetry/resources@3.1.0",
    ];
    let Some(packages) = packages("node-packages", &names) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut sawyer, address) = start(&folder, "otlp");
    let (url, count) = (format!("http://{address}"), COUNT.to_string());
    node(&folder, &packages, "otlp.js", &["json", &url, "s3cret", &count]);
    all_once(&mut sawyer, "namespace: shop and pod: cart-json and service: cart and level: warn", COUNT);
    let record = &sawyer.all("number: 7")[0];
    let told = ["number", "big", "share", "nested.is"].map(|name| record[name].to_string());
    assert_eq!(told, ["7", "9007199254740991", "0.5", "true"], "{record}");
    assert_eq!(
        (record["tags"][1].as_str(), &record["scope.name"]),
        (Some("b"), &"shop.cart".into()),
        "{record}"
    );
    assert!(record.get("identity").is_none(), "the token vouches for it: {record}");
}

#[test]
fn bulk_helpers_of_elasticsearch_and_opensearch_write() {
    let names = ["elasticsearch==9.5.1", "opensearch-py==3.2.0"];
    let Some(newest) = packages("python-packages", &names) else { return };
    let Some(before) = packages("python-packages", &["elasticsearch==8.19.1"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut sawyer, address) = start(&folder, "elasticsearch");
    let (url, count) = (format!("http://{address}"), COUNT.to_string());
    let clients =
        [("elasticsearch", "9", &newest), ("elasticsearch", "8", &before), ("opensearch", "3", &newest)];
    for (library, version, packages) in clients {
        let client = format!("{library}-{version}");
        let told = python(packages, "bulk.py", &[&client, &url, "s3cret", &count]);
        let told: Value = serde_json::from_str(&told).unwrap();
        let wanted = serde_json::json!({
            "version": "8.19.0", "exists": false, "taken": COUNT, "errors": [], "again": COUNT, "conflicts": [409],
            "item_errors": true, "statuses": [201, 400], "one": "created", "search": 400,
        });
        assert_eq!(told, wanted, "{client}");
        all_once(&mut sawyer, &format!("namespace: shop and pod: pod-{client}"), COUNT);
    }
    assert_eq!(sawyer.count("number < 0"), 6);
}

#[test]
fn libraries_for_loki_push() {
    let Some(python_packages) = packages("python-packages", &["python-logging-loki==0.3.1"]) else { return };
    let names = ["pino@10.4.0", "pino-loki@3.0.0", "winston@3.19.0", "winston-loki@6.1.7"];
    let Some(node_packages) = packages("node-packages", &names) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut sawyer, address) = start(&folder, "loki");
    let (url, count) = (format!("http://{address}"), FEW.to_string());
    python(&python_packages, "loki.py", &[&url, "s3cret", &count]);
    all_once(&mut sawyer, "namespace: shop and app: python and pod: pod-python", FEW);
    for library in ["pino", "winston"] {
        node(&folder, &node_packages, "loki.js", &[library, &url, "s3cret", &count]);
    }
    for pod in ["pod-pino", "pod-winston-json", "pod-winston-protobuf"] {
        sawyer.wait_for_count(&format!("namespace: shop and pod: {pod}"), FEW);
    }
    assert_eq!(sawyer.count("pod: pod-pino and level: warn and number: 7"), 1);
}

const OTHERS: [&str; 3] = ["pino@10.4.0", "pino-elasticsearch@9.0.0", "splunk-logging@0.11.1"];

#[test]
fn what_pino_writes_to_elasticsearch_arrives() {
    let Some(node_packages) = packages("node-packages", &OTHERS) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut sawyer, address) = start(&folder, "elasticsearch");
    let (url, count) = (format!("http://{address}"), COUNT.to_string());
    node(&folder, &node_packages, "others.js", &["elasticsearch", &url, "s3cret", &count]);
    all_once(&mut sawyer, "namespace: shop and pod: pod-pino and level: warn", COUNT);
    assert_eq!(sawyer.count("elasticsearch.index: logs-shop and number >= 0"), COUNT);
}

#[test]
fn splunks_own_library_sends_events() {
    let Some(node_packages) = packages("node-packages", &OTHERS) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut sawyer, address) = start(&folder, "splunk_hec");
    let (url, count) = (format!("http://{address}"), FEW.to_string());
    node(&folder, &node_packages, "others.js", &["splunk", &url, "s3cret", &count]);
    all_once(&mut sawyer, "namespace: shop and pod: pod-splunk and level: warn", FEW);
    assert_eq!(sawyer.count("sourcetype: _json and body.source: cart"), FEW);
}

#[test]
fn graypy_sends_gelf_in_pieces_and_over_tcp() {
    let Some(packages) = packages("python-packages", &["graypy==2.1.0"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let address = sawyer_testkit::free_address();
    let config = format!(
        "inputs: {{gelf: {{udp: '{address}', tcp: '{address}'}}}}\noutputs: {{store: }}\n{}",
        harness::AS_WRITTEN
    );
    let mut sawyer = Sawyer::up_with(folder.path(), &config);
    sawyer.wait_for_log("receiving datagrams");
    let (host, port, count) = (address.ip().to_string(), address.port().to_string(), FEW.to_string());
    for way in ["udp", "tcp"] {
        python(&packages, "gelf.py", &[way, &host, &port, &count]);
        all_once(&mut sawyer, &format!("pod: pod-{way} and level: warn"), FEW);
        sawyer.wait_for_count(&format!("pod: pod-{way} and level: error"), 1);
        let long = sawyer.all(&format!("pod: pod-{way} and level: error"));
        assert_eq!(long[0]["message"].as_str().map(str::len), Some("order 100 ".len() + 8000));
    }
    assert_eq!(sawyer.count("number >= 0 and identity: claimed"), 2 * FEW);
}
