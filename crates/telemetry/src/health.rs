//! Whether the process is ready, and if not, why.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The reasons why a process is not ready. Clones share them. It is ready while there are none.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, String>>>);

impl Health {
    /// A process that is ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `what` is not ready, because of `why`. A later reason for the same replaces it.
    pub fn not_ready(&self, what: impl Into<String>, why: impl Into<String>) {
        self.0.lock().insert(what.into(), why.into());
    }

    /// `what` is ready again.
    pub fn ready(&self, what: &str) {
        self.0.lock().remove(what);
    }

    /// A line for each reason; empty when ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.0.lock().iter().map(|(what, why)| format!("{what}: {why}")).collect()
    }
}
