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
use sawyer_pipeline::{Context, Stop};
use sawyer_telemetry::{Clock, Health, Metrics, Seldom};

use super::token::{Token, Tokens};

/// How soon the same trouble is told in the log again, at first and at most: each time it waits twice as long.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
const LOG_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Listens to one producer.
pub(super) struct Watch {
    name: String,
    brokers: String,
    clock: Clock,
    health: Health,
    metrics: Metrics,
    seldom: Seldom,
    troubled: AtomicBool,
    /// Whether readiness speaks of one broker.
    one_is_told: AtomicBool,
    /// What was said last that passes by itself: why all brokers are down, when they are.
    passing: Mutex<String>,
}

impl Watch {
    pub(super) fn new(context: &Context, brokers: String) -> Self {
        Self {
            brokers,
            name: context.name.clone(),
            clock: context.clock.clone(),
            health: context.health.clone(),
            metrics: context.metrics.clone(),
            seldom: Seldom::rarer(LOG_INTERVAL, LOG_INTERVAL_MAX),
            troubled: AtomicBool::new(false),
            one_is_told: AtomicBool::new(false),
            passing: Mutex::default(),
        }
    }

    /// Where connections fail, librdkafka says so; where brokers take them and say nothing, it does not.
    fn why_all_are_down(&self) -> String {
        let last = self.passing.lock();
        match last.as_str() {
            "" => format!(
                "no broker answers: what listens at {} takes connections, and may not be Kafka, or want TLS",
                self.brokers
            ),
            last => format!("no broker answers; the last one: {last}"),
        }
    }

    /// Whether something is wrong that does not pass by itself.
    pub(super) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
    }

    /// Something was delivered.
    pub(super) fn delivered(&self) {
        if self.troubled.swap(false, Ordering::AcqRel) {
            self.one_is_told.store(false, Ordering::Release);
            self.passing.lock().clear();
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
pub(super) struct Listener {
    pub(super) watch: Arc<Watch>,
    pub(super) tokens: Option<Arc<Tokens>>,
    /// Given when its producer ends: from then on nothing is waited for, and what it complains about is nobody's trouble.
    pub(super) end: Stop,
}

impl ClientContext for Listener {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.tokens.as_ref().ok_or("no tokens are set")?;
        let Token { text, principal, until } =
            tokens.wait_for_one(&self.end).map_err(|error| error.chain())?;
        Ok(OAuthToken { token: text, principal_name: principal, lifetime_ms: until.millis() })
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(output = self.watch.name, ?level, facility, message, "librdkafka");
        // Some trouble is spoken of here only.
        if (level as i32) <= RDKafkaLogLevel::Notice as i32 {
            let message = message.split_once("]: ").map_or(message, |(_thread, message)| message);
            message.clone_into(&mut self.watch.passing.lock());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.end.is_stopped() {
            return;
        }
        let watch = &*self.watch;
        let code = error.rdkafka_error_code();
        // librdkafka does not tell apart why a certificate is not good, and speaks of one reason only.
        let is_verdict = reason.contains("certificate verify failed");
        let hint = if is_verdict { "; it may also have expired, or be for another name" } else { "" };
        let mut reason = format!("{reason}{hint}");
        let all_down = code == Some(RDKafkaErrorCode::AllBrokersDown);
        if all_down {
            reason = watch.why_all_are_down();
        }
        let reason = &reason;
        let labels = [("output", watch.name.as_str())];
        watch
            .metrics
            .counter("sawyer_output_kafka_errors", "What librdkafka complained about, by output", &labels)
            .inc();
        if code.is_some_and(|code| passes(code, reason)) {
            reason.clone_into(&mut watch.passing.lock());
        } else {
            watch.troubled.store(true, Ordering::Release);
            // Why one of them is in trouble says more than that all are down.
            if !(watch.one_is_told.fetch_or(!all_down, Ordering::AcqRel) && all_down) {
                watch.health.not_ready(format!("output {}", watch.name), reason);
            }
        }
        if let Some(held_back) = watch.seldom.pass(watch.clock.now()) {
            let (output, advice) =
                (&watch.name, "Kafka is in trouble; it is tried again, and nothing is lost");
            tracing::warn!(output, error = reason, held_back, "{advice}");
        }
    }
}
