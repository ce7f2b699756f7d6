//! What librdkafka says while it tries.
//!
//! Owns: telling it once in a while, and readiness. librdkafka tries a message for as long as it takes, so a cluster that
//! is away is not seen by the courier, only here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use sawyer_pipeline::Context;
use sawyer_telemetry::{Clock, Health, Metrics, Seldom};

use super::token::{Token, Tokens};

/// How soon the same trouble is told in the log again, at first and at most: each time it waits twice as long.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
const LOG_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Listens to one producer.
pub(super) struct Watch {
    name: String,
    clock: Clock,
    health: Health,
    metrics: Metrics,
    seldom: Seldom,
    troubled: AtomicBool,
    /// What passes by itself, as it was told last: why all brokers are down, when they are.
    passing: Mutex<String>,
}

impl Watch {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            name: context.name.clone(),
            clock: context.clock.clone(),
            health: context.health.clone(),
            metrics: context.metrics.clone(),
            seldom: Seldom::rarer(LOG_INTERVAL, LOG_INTERVAL_MAX),
            troubled: AtomicBool::new(false),
            passing: Mutex::default(),
        }
    }

    /// Whether something is wrong that does not pass by itself.
    pub(super) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
    }

    /// Something was delivered.
    pub(super) fn delivered(&self) {
        if self.troubled.swap(false, Ordering::AcqRel) {
            self.health.ready(&format!("output {}", self.name));
            self.seldom.renew();
            tracing::info!(output = self.name, "delivers again");
        }
    }
}

/// Another connection takes over what one of these ends; only what stays is trouble. A broker that refuses a
/// certificate says so in an alert, which librdkafka takes for the end of a connection like any other.
fn passes(code: RDKafkaErrorCode, reason: &str) -> bool {
    let is_cut =
        matches!(code, RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut);
    is_cut && !reason.contains("SSL alert")
}

/// A handle that librdkafka's threads keep.
#[derive(Clone)]
pub(super) struct Listener(pub(super) Arc<Watch>, pub(super) Option<Arc<Tokens>>);

impl ClientContext for Listener {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.1.as_ref().ok_or("no tokens are set")?;
        let Token { text, principal, until } = tokens.wait_for_one().map_err(|error| error.chain())?;
        Ok(OAuthToken { token: text, principal_name: principal, lifetime_ms: until.millis() })
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(output = self.0.name, ?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let watch = &*self.0;
        let code = error.rdkafka_error_code();
        // librdkafka does not tell apart why a certificate is not good, and speaks of one reason only.
        let is_verdict = reason.contains("certificate verify failed");
        let hint = if is_verdict { "; it may also have expired, or be for another name" } else { "" };
        let reason = &format!("{reason}{hint}");
        let labels = [("output", watch.name.as_str())];
        watch
            .metrics
            .counter("sawyer_output_kafka_errors", "What librdkafka complained about, by output", &labels)
            .inc();
        if code.is_some_and(|code| passes(code, reason)) {
            reason.clone_into(&mut watch.passing.lock());
        } else {
            let was_troubled = watch.troubled.swap(true, Ordering::AcqRel);
            let part = format!("output {}", watch.name);
            // That all brokers are down says less than why the last one is.
            match code {
                Some(RDKafkaErrorCode::AllBrokersDown) if was_troubled => {}
                Some(RDKafkaErrorCode::AllBrokersDown) if !watch.passing.lock().is_empty() => {
                    watch.health.not_ready(part, format!("{reason}; the last one: {}", watch.passing.lock()));
                }
                _ => watch.health.not_ready(part, reason),
            }
        }
        if let Some(held_back) = watch.seldom.pass(watch.clock.now()) {
            let (output, advice) =
                (&watch.name, "Kafka is in trouble; it is tried again, and nothing is lost");
            tracing::warn!(output, error = reason, held_back, "{advice}");
        }
    }
}
