//! What alerts say about themselves as metrics.

use sawyer_telemetry::{Counter, Gauge, Metrics};

use crate::state::{Phase, State};

#[derive(Debug)]
pub(crate) struct Meters {
    metrics: Metrics,
    firing: Gauge,
    pending: Gauge,
    waiting: Gauge,
    rules: Gauge,
    rules_failing: Gauge,
    pub(crate) given_up: Counter,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let gauge = |name, help| metrics.gauge(name, help, &[]);
        Self {
            firing: gauge("sawyer_alert_firing_alerts", "Alerts that fire"),
            pending: gauge("sawyer_alert_pending_alerts", "Alerts that do not fire yet"),
            waiting: gauge(
                "sawyer_alert_waiting_notifications",
                "Notifications that are yet to be delivered",
            ),
            rules: gauge("sawyer_alert_rules", "Rules that are evaluated"),
            rules_failing: gauge("sawyer_alert_failing_rules", "Rules whose last evaluation failed"),
            given_up: metrics.counter(
                "sawyer_alert_dropped_notifications",
                "Notifications that were given up",
                &[],
            ),
            metrics: metrics.clone(),
        }
    }

    pub(crate) fn evaluated(&self, rule: &str, failed: bool) {
        let counter = |name, help| self.metrics.counter(name, help, &[("rule", rule)]);
        counter("sawyer_alert_evaluations", "Evaluations, by rule").inc();
        if failed {
            counter("sawyer_alert_failed_evaluations", "Evaluations that failed, by rule").inc();
        }
    }

    pub(crate) fn missed(&self, rule: &str, count: u64) {
        let help = "Evaluations that were never made because Sawyer did not run, by rule";
        self.metrics.counter("sawyer_alert_missed_evaluations", help, &[("rule", rule)]).inc_by(count);
    }

    pub(crate) fn notified(&self, notifier: &str, outcome: &str) {
        let labels = [("notifier", notifier), ("outcome", outcome)];
        self.metrics
            .counter("sawyer_alert_notifications", "Notifications by notifier and outcome", &labels)
            .inc();
    }

    pub(crate) fn tell(&self, state: &State, rules: usize) {
        let count = |phase| state.alerts.values().filter(|alert| alert.phase == phase).count() as i64;
        self.firing.set(count(Phase::Firing));
        self.pending.set(count(Phase::Pending));
        self.waiting.set(state.queue.len() as i64);
        self.rules.set(rules as i64);
        self.rules_failing.set(state.rules.values().filter(|rule| rule.error.is_some()).count() as i64);
    }
}
