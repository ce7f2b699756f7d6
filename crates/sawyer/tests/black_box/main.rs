//! The real binary, from outside: files in, answers over HTTP and on standard output.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

mod alerts;
mod buffers;
mod checkpoints;
mod cli;
mod cri;
mod delivery;
mod documents;
mod harness;
mod ledger;
mod native;
mod pods;
mod receivers;
mod reload;
mod rotation;
mod schema;
mod sidecar;
mod spill;
mod standard_output;
mod stored;
mod terminate;
mod tls;
mod trouble;
mod urgent;
mod ways;
