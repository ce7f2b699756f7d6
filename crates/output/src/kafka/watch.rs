//! What librdkafka says while it tries.
//!
//! Owns: telling it once in a while, and readiness. librdkafka tries a message for as long as it takes, so a cluster that
//! is away is not seen by the courier, only here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use sawyer_pipeline::Context;
use sawyer_telemetry::{Clock, Health, Metrics, Seldom};

/// How often the same trouble is told in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Listens to one producer.
pub(super) struct Watch {
    name: String,
    clock: Clock,
    health: Health,
    metrics: Metrics,
    seldom: Seldom,
    troubled: AtomicBool,
}

impl Watch {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            name: context.name.clone(),
            clock: context.clock.clone(),
            health: context.health.clone(),
            metrics: context.metrics.clone(),
            seldom: Seldom::new(LOG_INTERVAL),
            troubled: AtomicBool::new(false),
        }
    }

    /// Something was delivered.
    pub(super) fn delivered(&self) {
        if self.troubled.swap(false, Ordering::AcqRel) {
            self.health.ready(&format!("output {}", self.name));
            tracing::info!(output = self.name, "delivers again");
        }
    }
}

/// Another connection takes over what one of these ends; only what stays is trouble.
fn passes(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut)
}

/// A handle that librdkafka's threads keep.
#[derive(Clone)]
pub(super) struct Listener(pub(super) std::sync::Arc<Watch>);

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(output = self.0.name, ?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let watch = &*self.0;
        let code = error.rdkafka_error_code();
        let labels = [("output", watch.name.as_str())];
        watch
            .metrics
            .counter("sawyer_output_kafka_errors", "What librdkafka complained about, by output", &labels)
            .inc();
        if code.is_none_or(|code| !passes(code)) {
            watch.troubled.store(true, Ordering::Release);
            watch.health.not_ready(format!("output {}", watch.name), reason);
        }
        if let Some(held_back) = watch.seldom.pass(watch.clock.now()) {
            let (output, advice) =
                (&watch.name, "Kafka is in trouble; it is tried again, and nothing is lost");
            tracing::warn!(output, error = reason, held_back, "{advice}");
        }
    }
}
