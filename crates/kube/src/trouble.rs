//! Tells that the cluster could not be asked: counted each time, said seldom.

use std::sync::Arc;
use std::time::Duration;

use sawyer_telemetry::{Clock, Counter, Metrics, Seldom};

use crate::client::KubeError;

/// How often the same trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// Who tells. Clones share how often they do.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    clock: Clock,
    failed: Counter,
    seldom: Arc<Seldom>,
}

impl Trouble {
    pub(crate) fn new(clock: &Clock, metrics: &Metrics) -> Self {
        let failed = metrics.counter("sawyer_kube_failures", "Questions to the cluster that failed", &[]);
        Self { clock: clock.clone(), failed, seldom: Arc::new(Seldom::new(TELL_INTERVAL)) }
    }

    pub(crate) fn tell(&self, what: &str, error: &KubeError) {
        self.failed.inc();
        if let Some(held_back) = self.seldom.pass(self.clock.now()) {
            let error = error.chain();
            tracing::warn!(held_back, error, "cannot {what}; will try again");
        }
    }
}
