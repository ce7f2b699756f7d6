//! What is said in the log, kept for a test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span;

/// Counts what is told, by message.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Told {
    /// The errors that were told with a message, with the names of those who told them.
    pub(crate) fn of(&self, message: &str) -> Vec<String> {
        self.0.lock().unwrap().get(message).cloned().unwrap_or_default()
    }
}

#[derive(Default)]
struct Words {
    message: String,
    name: String,
    error: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "target_name" | "output" => self.name = format!("{value:?}"),
            "error" => self.error = format!("{value:?}"),
            _ => {}
        }
    }
}

impl tracing::Subscriber for Told {
    fn enabled(&self, about: &tracing::Metadata<'_>) -> bool {
        *about.level() <= tracing::Level::INFO && about.target().starts_with("sawyer")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.0
            .lock()
            .unwrap()
            .entry(words.message)
            .or_default()
            .push(format!("{} {}", words.name, words.error));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
