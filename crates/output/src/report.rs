//! What an output says about itself: numbers, readiness, and warnings that do not fill the log.
//!
//! Owns: the metrics that all outputs have. Does not own: what they mean for a transfer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sawyer_model::Error;
use sawyer_pipeline::Context;
use sawyer_telemetry::{Clock, Counter, Health, Metrics, Seldom};

/// How soon the same trouble is told in the log again, at first and at most: each time it waits twice as long. Refusals, of
/// which each is another, always wait alike.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
const LOG_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Speaks for one output.
pub(crate) struct Report {
    name: String,
    metrics: Metrics,
    clock: Clock,
    health: Health,
    log: Seldom,
    refusals: Seldom,
    troubled: AtomicBool,
    records: Counter,
    bytes: Counter,
    retries: Counter,
}

impl Report {
    pub(crate) fn new(context: &Context) -> Self {
        let labels = [("output", context.name.as_str())];
        let counter = |name, help| context.metrics.counter(name, help, &labels);
        Self {
            records: counter("sawyer_output_records", "Records delivered, by output"),
            bytes: counter("sawyer_output_bytes", "Bytes delivered, by output"),
            retries: counter("sawyer_output_retries", "Deliveries tried again, by output"),
            metrics: context.metrics.clone(),
            clock: context.clock.clone(),
            health: context.health.clone(),
            log: Seldom::rarer(LOG_INTERVAL, LOG_INTERVAL_MAX),
            refusals: Seldom::new(LOG_INTERVAL),
            troubled: AtomicBool::new(false),
            name: context.name.clone(),
        }
    }

    /// Records were delivered: what was wrong is over.
    pub(crate) fn delivered(&self, records: usize, bytes: usize) {
        self.records.inc_by(records as u64);
        self.bytes.inc_by(bytes as u64);
        if self.troubled.swap(false, Ordering::AcqRel) {
            self.health.ready(&self.part());
            self.log.renew();
            tracing::info!(output = self.name, "delivers again");
        }
    }

    /// A delivery failed and is tried again. Once may happen; the second time in a row it is told.
    pub(crate) fn retrying(&self, error: &Error, attempt: u32) {
        self.retries.inc();
        self.count_error(error.kind().name());
        if attempt < 2 {
            return;
        }
        self.troubled.store(true, Ordering::Release);
        self.health.not_ready(self.part(), error.chain());
        if let Some(held_back) = self.log.pass(self.clock.now()) {
            let (output, error) = (&self.name, error.chain());
            tracing::warn!(
                output,
                error,
                held_back,
                "cannot deliver now; it is tried again, and nothing is lost"
            );
        }
    }

    /// The output ends, for a reason that whoever runs it tells.
    pub(crate) fn failed(&self, error: &Error) {
        self.count_error(error.kind().name());
    }

    /// A record was refused for good.
    pub(crate) fn refused(&self, record: &str, why: &str) {
        self.count_error("refused");
        self.troubled.store(true, Ordering::Release);
        self.health.not_ready(self.part(), format!("a record was refused: {why}"));
        if let Some(held_back) = self.refusals.pass(self.clock.now()) {
            let output = &self.name;
            let advice = "a record was refused for good, and is left out";
            tracing::error!(output, record, error = why, held_back, "{advice}");
        }
    }

    fn count_error(&self, reason: &str) {
        let labels = [("output", self.name.as_str()), ("reason", reason)];
        let help = "Deliveries that failed, by output and reason";
        self.metrics.counter("sawyer_output_errors", help, &labels).inc();
    }

    /// What is not ready, as the topology names it too.
    fn part(&self) -> String {
        format!("output {}", self.name)
    }
}
