//! The oracle of `tests/oracle` with targets that need programs of the system.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;
mod kafka;
#[allow(dead_code, reason = "these brokers refuse no record")]
#[path = "../oracle/node.rs"]
mod node;
#[path = "../oracle/run.rs"]
mod run;
#[path = "../oracle/verdict.rs"]
mod verdict;
#[allow(dead_code, reason = "the peer here does not speak HTTP")]
#[path = "../oracle/weather.rs"]
mod weather;

use run::Run;

#[test]
fn kafka_has_every_record_in_order() {
    if sawyer_testkit::may_use_root("needs kcat") {
        Run::new(12).with(&kafka::Kafka::new());
    }
}
