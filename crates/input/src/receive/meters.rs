//! What receivers count.
//!
//! Owns: names and labels. Does not own: when something is counted.
//! Invariant: labels come from the configuration and from the program, and never from a request.

use sawyer_telemetry::{Counter, Metrics};

use super::trouble::Reason;

/// The counters of a receiver.
#[derive(Clone, Debug)]
pub(crate) struct Meters {
    metrics: Metrics,
    input: String,
    pub(crate) bytes: Counter,
    pub(crate) foreign: Counter,
}

/// Records whose sender may not speak for the namespace that they say.
pub(crate) fn foreign(metrics: &Metrics, input: &str) -> Counter {
    let help = "Records that said a namespace for which their sender may not speak";
    metrics.counter("sawyer_receiver_foreign_namespace_records", help, &[("input", input)])
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics, input: &str) -> Self {
        let labels = [("input", input)];
        Self {
            metrics: metrics.clone(),
            input: input.to_owned(),
            bytes: metrics.counter(
                "sawyer_receiver_request_bytes",
                "Bytes of bodies that came, before decompression",
                &labels,
            ),
            foreign: foreign(metrics, input),
        }
    }

    /// A request was taken whole.
    pub(crate) fn taken(&self, client: &str) {
        self.request(client, "taken");
    }

    /// A request was not taken.
    pub(crate) fn refused(&self, client: &str, reason: Reason) {
        self.request(client, reason.name());
    }

    /// Records of a request that was taken were not.
    pub(crate) fn rejected(&self, count: u64, reason: &'static str) {
        if count > 0 {
            let labels = [("input", self.input.as_str()), ("reason", reason)];
            let help = "Records that were not taken while others of their request were";
            self.metrics.counter("sawyer_receiver_rejected_records", help, &labels).inc_by(count);
        }
    }

    /// Records were kept though something about them was not as it should be.
    pub(crate) fn malformed(&self, count: u64) {
        if count > 0 {
            let labels = [("input", self.input.as_str())];
            let help = "Records without the form that they should have, kept as they are and marked";
            self.metrics.counter("sawyer_receiver_malformed_records", help, &labels).inc_by(count);
        }
    }

    fn request(&self, client: &str, outcome: &'static str) {
        let labels = [("input", self.input.as_str()), ("client", client), ("outcome", outcome)];
        self.metrics.counter("sawyer_receiver_requests", "Requests by what became of them", &labels).inc();
    }
}
