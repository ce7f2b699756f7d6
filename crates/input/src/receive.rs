//! Records that others send over the network: what all receivers share.
//!
//! Owns: who may send and for whom ([`clients`], [`senders`]), how much ([`rate`], [`desk`]), the way from a request to records that
//! are durable ([`desk`]), listening for HTTP ([`web`]).
//! Does not own: what is in a request (`codec`), how a protocol asks and is answered (a module for each).
//! Invariant: whoever is told that records were taken can forget them; what cannot be taken now is refused with the time
//! after which it may be sent again.

pub mod clients;
pub mod elasticsearch;
pub mod firehose;
pub mod forward;
pub mod gelf;
pub mod loki;
pub mod otlp;
pub mod posted;
pub mod splunk_hec;
pub mod syslog;

pub(crate) mod body;
pub(crate) mod desk;
pub(crate) mod meters;
pub(crate) mod plan;
pub(crate) mod rate;
pub mod senders;
pub(crate) mod socket;
mod syslog_stream;
pub(crate) mod trouble;
pub(crate) mod web;

#[cfg(test)]
pub(crate) mod bench;
#[cfg(test)]
mod tests;

use sawyer_pipeline::{InputPlan, Kind};

/// The kinds of inputs that listen.
pub(crate) fn kinds() -> Vec<Kind<Box<dyn InputPlan>>> {
    vec![
        forward::kind(),
        gelf::kind(),
        syslog::kind(),
        otlp::kind(),
        elasticsearch::kind(),
        loki::kind(),
        posted::kind(),
        splunk_hec::kind(),
        firehose::kind(),
    ]
}
