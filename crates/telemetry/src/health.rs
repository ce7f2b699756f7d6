//! Whether the process is ready, and if not, why; and whether only a restart can help it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The reasons why a process is not ready. Clones share them. It is ready while there are none. Beside them it notes
/// what an operator should know of a process that is ready all the same.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    dead: BTreeMap<String, String>,
    reasons: BTreeMap<String, String>,
    notes: BTreeMap<String, String>,
}

impl Health {
    /// A process that is ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `what` is not ready, because of `why`. A later reason for the same replaces it.
    pub fn not_ready(&self, what: impl Into<String>, why: impl Into<String>) {
        self.0.lock().reasons.insert(what.into(), why.into());
    }

    /// `what` has ended though it must not, and nothing but a restart brings it back.
    pub fn dead(&self, what: impl Into<String>, why: impl Into<String>) {
        self.0.lock().dead.insert(what.into(), why.into());
    }

    /// A line for everything that has ended though it must not; empty while the process is alive.
    #[must_use]
    pub fn deaths(&self) -> Vec<String> {
        lines(&self.0.lock().dead)
    }

    /// `what` is ready again.
    pub fn ready(&self, what: &str) {
        self.0.lock().reasons.remove(what);
    }

    /// Forgets the reasons of what is gone: those for which `stays` says no.
    pub fn retain(&self, stays: impl Fn(&str) -> bool) {
        self.0.lock().reasons.retain(|what, _| stays(what));
    }

    /// A line for each reason; empty when ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let state = self.0.lock();
        [lines(&state.dead), lines(&state.reasons)].concat()
    }

    /// An operator should know this about `what`. A later note about the same replaces it.
    pub fn note(&self, what: impl Into<String>, note: impl Into<String>) {
        self.0.lock().notes.insert(what.into(), note.into());
    }

    /// There is nothing more to know about `what`.
    pub fn forget_note(&self, what: &str) {
        self.0.lock().notes.remove(what);
    }

    /// A line for each note.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        lines(&self.0.lock().notes)
    }
}

fn lines(texts: &BTreeMap<String, String>) -> Vec<String> {
    texts.iter().map(|(what, why)| format!("{what}: {why}")).collect()
}
