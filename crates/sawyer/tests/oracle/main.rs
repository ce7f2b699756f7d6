//! The oracle: numbered lines go in, everything goes wrong on the way, and then every number has arrived.
//!
//! Owns: what is written ([`node`]), what goes wrong ([`weather`], [`run`]), what must have arrived ([`verdict`]).
//! A new output needs a file in `targets`: how it is configured, and how its peer reads what arrived ([`run::Target`]).
//! Invariant: what an output promises is checked by its peer's own means, never by what Sawyer says.
//!
//! In each run the agent is killed several times while its target is away, refuses, answers late, half or not at all,
//! and its small buffer is full.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;
mod node;
mod pass_on;
mod run;
mod targets;
mod verdict;
mod weather;
mod wire;

use run::Run;

#[test]
fn elasticsearch_has_every_record_once() {
    Run::new(1).with(&targets::elasticsearch::Elasticsearch::new("elasticsearch", true));
}

#[test]
fn opensearch_has_every_record_once() {
    Run::new(2).with(&targets::elasticsearch::Elasticsearch::new("opensearch", false));
}

#[test]
fn http_has_every_record_in_order() {
    Run::new(3).with(&targets::http::Http::new());
}

#[test]
fn loki_has_every_record_in_order() {
    Run::new(4).with(&targets::loki::LokiTarget::new());
}

#[test]
fn file_has_every_record_in_order() {
    Run::new(5).with(&targets::lines::Lines::file());
}

#[test]
fn stdout_has_every_record_in_order() {
    Run::new(6).with(&targets::lines::Lines::stdout());
}

#[test]
fn exec_has_every_record_in_order() {
    Run::new(7).with(&targets::lines::Lines::exec());
}

#[test]
fn cloudwatch_logs_has_every_record_in_order() {
    Run::new(8).with(&targets::cloudwatch::CloudwatchLogs::new());
}

#[test]
fn another_sawyer_has_every_record_once() {
    Run::new(9).with(&targets::native::Native::behind_a_proxy());
}

#[test]
fn another_sawyer_has_every_record_once_over_http2() {
    Run::new(10).with(&targets::native::Native::over_a_wire());
}

#[test]
fn the_store_has_every_record_once() {
    Run::new(11).with(&targets::store::StoreTarget);
}
