//! How do bytes of other programs become records, and back?
//!
//! Owns: the formats of log lines and of records as JSON.
//! Does not own: files, sockets, clocks (arrival times are passed in), grouping and other steps (`pipeline`).
//! Invariant: pure; no bytes whatsoever make a decoder panic or hold more than the bounds it names.
//!
//! The way of a container's line: [`cri`] or [`docker`] read the physical line, [`join`] makes pieces whole,
//! [`mod@line`] writes it into a batch, [`body`] finds what it says. [`json_out`] and [`ndjson_in`] are the
//! way of records to other programs and back. [`pushed`] is the way of records that programs push, each in its
//! protocol ([`otlp`] …).

pub mod body;
pub mod cloudwatch;
pub mod cri;
mod digits;
pub mod docker;
pub mod elasticsearch_bulk;
pub mod fields;
pub mod firehose;
pub mod forward;
pub mod gelf;
pub mod group;
pub mod join;
pub mod journal;
pub mod json;
pub mod json_out;
pub mod kinesis;
pub mod kmsg;
pub mod line;
pub mod loki_push;
pub mod mask;
pub mod msgpack;
pub mod ndjson_in;
pub mod otlp;
pub mod posted;
pub mod protobuf;
pub mod pushed;
pub mod splunk_hec;
pub mod structured;
pub mod syslog;
pub mod text;
pub mod time;

#[cfg(test)]
mod testing;
