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
#[path = "../power_loss/sending.rs"]
mod sending;
#[path = "../oracle/verdict.rs"]
mod verdict;
#[allow(dead_code, reason = "the peer here does not speak HTTP")]
#[path = "../oracle/weather.rs"]
mod weather;

use run::Run;

/// Runs in which the power fails, each several times.
const SEEDS: u64 = 4;

#[test]
fn kafka_has_every_record_in_order() {
    if sawyer_testkit::may_use_root("needs kcat") {
        Run::new(12).with(&kafka::Kafka::new());
    }
}

#[test]
fn every_line_reaches_kafka_through_losses_of_power() {
    if sawyer_testkit::may_use_root("needs kcat") {
        sending::power_fails(SEEDS, ", buffer: {bytes_max: 1MiB}", kafka::sent);
    }
}

#[test]
fn a_full_disk_below_the_buffer_of_kafka_loses_nothing() {
    if sawyer_testkit::may_use_root("needs kcat") {
        sending::disk_is_full(kafka::sent);
    }
}
