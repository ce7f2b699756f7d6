//! Real programs that send over sockets: what each sends arrives once, with its parts in their fields; as root.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

#[allow(dead_code, reason = "not every test needs all programs in it")]
#[path = "../machine/busybox.rs"]
mod busybox;
#[allow(dead_code, reason = "not every daemon needs all of it")]
#[path = "../machine/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "not every test needs all of it")]
#[path = "../real_docker/engine.rs"]
mod engine;
mod fluent;
mod syslog;

use std::path::Path;
use std::time::Instant;

use harness::{SOON, Sawyer, pause};
use serde_json::Value;

/// A process with everything in it, its inputs those of `inputs`; their paths are below `folder/host`.
fn sawyer(folder: &Path, inputs: &str) -> Sawyer {
    Sawyer::up_with(folder, &format!("inputs: {inputs}\noutputs: {{store: }}\n"))
}

/// Where an input listens, by what it says at its start: `receiving`, or `receiving datagrams`.
fn port(sawyer: &mut Sawyer, input: &str, says: &str) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        let log = sawyer.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut addresses = events
            .filter(|event| event["message"] == says && event["input"] == input)
            .filter_map(|event| event["address"].as_str().map(str::to_owned));
        if let Some(address) = addresses.next() {
            return address.rsplit(':').next().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "{input} does not say where it listens:\n{log}");
        pause();
    }
}

/// The values of these fields of each record that matches, sorted.
fn found(sawyer: &Sawyer, query: &str, fields: &[&str]) -> Vec<String> {
    let value = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let records = sawyer.all(query);
    let mut lines: Vec<String> = records
        .iter()
        .map(|record| fields.iter().map(|field| value(&record[*field])).collect::<Vec<_>>().join("|"))
        .collect();
    lines.sort();
    lines
}

/// Packages of producers; nothing after a skip.
fn packages(tool: &str, names: &[&str]) -> Option<String> {
    sawyer_testkit::packages(tool, names, "no Python packages: producers")
}
