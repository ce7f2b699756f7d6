//! What a delivery says about itself: metrics, readiness, a line in the log now and then, and a snapshot.
//!
//! Owns: the metrics `sawyer_delivery_*`. Does not own: what to do about trouble (`courier`).

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::Timestamp;
use sawyer_telemetry::{Clock, Counter, Gauge, Health, Metrics, Seldom};

use crate::verdict::Trouble;

/// How soon the same trouble is told in the log again, at first and at most: each time it waits twice as long.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
const LOG_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// A delivery that has not succeeded for as long as it failed twice is not ready; a single failure may happen.
const FAILURES_TOLD_MIN: u32 = 2;

/// Who delivers, and where it says so.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name in the configuration.
    pub name: String,
    /// What has that name: `output` or `notifier`.
    pub what: &'static str,
    /// The time.
    pub clock: Clock,
    /// Where it counts.
    pub metrics: Metrics,
    /// Where it says that it cannot deliver, and why.
    pub health: Health,
}

/// How a delivery fares at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Requests under way.
    pub in_flight: usize,
    /// How many may be.
    pub in_flight_max: usize,
    /// Bytes that wait or are under way.
    pub held_bytes: usize,
    /// Failures of whole requests since the last success.
    pub failures: u32,
    /// When the target last took something.
    pub last_success: Option<Timestamp>,
    /// When something last went wrong, and what.
    pub last_error: Option<(Timestamp, String)>,
}

pub(crate) struct State {
    identity: Identity,
    log: Seldom,
    /// The reasons of which one was told since the target last took something.
    told: Mutex<Vec<&'static str>>,
    status: Mutex<Status>,
    /// Most bytes of a request by now; the target may have taught a smaller number than was set.
    request_bytes_max: AtomicUsize,
    in_flight: Gauge,
    in_flight_max: Gauge,
    held: Gauge,
    idle: Gauge,
    started: Timestamp,
    done: Counter,
    duplicates: Counter,
    rejected: Counter,
    requests: Counter,
    splits: Counter,
}

impl State {
    pub(crate) fn new(identity: Identity) -> Self {
        let labels = [("target", identity.name.as_str())];
        let counter = |name, help| identity.metrics.counter(name, help, &labels);
        let gauge = |name, help| identity.metrics.gauge(name, help, &labels);
        Self {
            in_flight: gauge("sawyer_delivery_requests_in_flight", "Requests under way, by target"),
            in_flight_max: gauge(
                "sawyer_delivery_requests_allowed",
                "Requests that may be under way, by target",
            ),
            held: gauge("sawyer_delivery_held_bytes", "Bytes that wait or are under way, by target"),
            idle: gauge(
                "sawyer_delivery_since_success_seconds",
                "Seconds since the target took something, or since the start; 0 while nothing waits, by target",
            ),
            done: counter("sawyer_delivery_items", "Items delivered, by target"),
            duplicates: counter("sawyer_delivery_duplicate_items", "Items the target had already, by target"),
            rejected: counter("sawyer_delivery_rejected_items", "Items rejected for good, by target"),
            requests: counter("sawyer_delivery_requests", "Requests sent, by target"),
            splits: counter("sawyer_delivery_splits", "Requests cut in halves, by target"),
            log: Seldom::rarer(LOG_INTERVAL, LOG_INTERVAL_MAX),
            told: Mutex::default(),
            status: Mutex::default(),
            request_bytes_max: AtomicUsize::new(usize::MAX),
            started: identity.clock.now(),
            identity,
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.status.lock().clone()
    }

    pub(crate) fn name(&self) -> &str {
        &self.identity.name
    }

    /// Requests went out or came back.
    pub(crate) fn moved(&self, in_flight: usize, allowed: usize, held_bytes: usize) {
        let mut status = self.status.lock();
        status.in_flight = in_flight;
        status.in_flight_max = allowed;
        status.held_bytes = held_bytes;
        self.in_flight.set(in_flight as i64);
        self.in_flight_max.set(allowed as i64);
        self.held.set(held_bytes as i64);
        let last = status.last_success.unwrap_or(self.started);
        let idle = self.identity.clock.now().since(last).as_secs();
        self.idle.set(if held_bytes == 0 { 0 } else { idle.cast_signed() });
    }

    /// What was learned about the target.
    pub(crate) fn learned(&self, request_bytes_max: usize) {
        self.request_bytes_max.store(request_bytes_max, Ordering::Relaxed);
    }

    pub(crate) fn request_bytes_max(&self) -> usize {
        self.request_bytes_max.load(Ordering::Relaxed)
    }

    pub(crate) fn sent(&self) {
        self.requests.inc();
    }

    pub(crate) fn split(&self) {
        self.splits.inc();
    }

    /// The target took items.
    pub(crate) fn delivered(&self, done: usize, duplicates: usize) {
        self.done.inc_by((done + duplicates) as u64);
        self.duplicates.inc_by(duplicates as u64);
    }

    pub(crate) fn rejected(&self, count: usize) {
        self.rejected.inc_by(count as u64);
    }

    /// Items are tried again.
    pub(crate) fn retried(&self, reason: &'static str, count: usize) {
        let labels = [("target", self.name()), ("reason", reason)];
        let help = "Items tried again, by target and reason";
        self.identity.metrics.counter("sawyer_delivery_retried_items", help, &labels).inc_by(count as u64);
    }

    /// The target answered as it should.
    pub(crate) fn answers(&self) {
        let failures = {
            let mut status = self.status.lock();
            status.last_success = Some(self.identity.clock.now());
            std::mem::take(&mut status.failures)
        };
        if failures >= FAILURES_TOLD_MIN {
            self.identity.health.ready(&self.part());
            self.log.renew();
            self.told.lock().clear();
            tracing::info!(target_name = self.name(), "delivers again");
        }
    }

    /// A part of a request was not taken.
    pub(crate) fn noted(&self, detail: String) {
        self.status.lock().last_error = Some((self.identity.clock.now(), detail));
    }

    /// A request failed as a whole.
    pub(crate) fn failed(&self, trouble: &Trouble) {
        let now = self.identity.clock.now();
        let failures = {
            let mut status = self.status.lock();
            status.failures = status.failures.saturating_add(1);
            status.last_error = Some((now, trouble.detail.clone()));
            status.failures
        };
        if failures < FAILURES_TOLD_MIN {
            return;
        }
        self.identity.health.not_ready(self.part(), &trouble.detail);
        let mut told = self.told.lock();
        if !told.contains(&trouble.reason) {
            told.push(trouble.reason);
            self.log.renew();
        }
        drop(told);
        if let Some(held_back) = self.log.pass(now) {
            let Trouble { reason, detail, .. } = trouble;
            let advice = "cannot deliver now; it is tried again, and nothing is lost";
            tracing::warn!(target_name = self.name(), reason, error = detail, held_back, "{advice}");
        }
    }

    fn part(&self) -> String {
        format!("{} {}", self.identity.what, self.name())
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("name", &self.identity.name).finish_non_exhaustive()
    }
}
