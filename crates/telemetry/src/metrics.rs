//! The registry of metrics, in the form that Prometheus reads.
//!
//! Names follow `sawyer_<subsystem>_<thing>_<unit>`; counters get `_total` from the encoder.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as PlainCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PlainGauge;
use prometheus_client::registry::Registry;

use sawyer_model::Error;

use crate::derived::{Derived, DerivedSpec, Families};
use crate::ledger::Ledger;

/// A number that only grows.
pub type Counter = PlainCounter;

/// A number that goes up and down.
pub type Gauge = PlainGauge;

/// Names and values of labels.
pub type Labels = Vec<(&'static str, String)>;

/// All metrics of one process (or of one test). Clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<State>>, Ledger);

#[derive(Default)]
struct State {
    registry: Registry,
    counters: BTreeMap<&'static str, Known<Counter>>,
    gauges: BTreeMap<&'static str, Known<Gauge>>,
    derived: Families,
}

/// A family and its members, which the family itself does not list.
struct Known<M> {
    family: Family<Labels, M>,
    members: BTreeMap<Labels, M>,
}

impl<M: Clone + Default> Known<M> {
    fn member(&mut self, labels: Labels) -> M {
        let Self { family, members } = self;
        members.entry(labels).or_insert_with_key(|labels| family.get_or_create(labels).clone()).clone()
    }
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter with this name (without `_total`) and these labels; made when it is first asked for.
    #[must_use]
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        let mut state = self.0.lock();
        let State { registry, counters, .. } = &mut *state;
        let known = counters.entry(name).or_insert_with(|| {
            let family = Family::default();
            registry.register(name, help, family.clone());
            Known { family, members: BTreeMap::new() }
        });
        known.member(owned(labels))
    }

    /// The gauge with this name and these labels; made when it is first asked for.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        let mut state = self.0.lock();
        let State { registry, gauges, .. } = &mut *state;
        let known = gauges.entry(name).or_insert_with(|| {
            let family = Family::default();
            registry.register(name, help, family.clone());
            Known { family, members: BTreeMap::new() }
        });
        known.member(owned(labels))
    }

    /// The family of metrics that a user describes; made when it is first asked for.
    ///
    /// # Errors
    /// If another family that is in use has samples of the same name.
    pub fn derived(&self, spec: DerivedSpec) -> Result<Derived, Error> {
        self.0.lock().derived.family(spec)
    }

    /// Forgets the families of [`Metrics::derived`] that nobody counts into any more.
    pub fn forget_derived(&self) {
        self.0.lock().derived.forget();
    }

    /// The books of what was read and what became of it; their numbers are a part of the metrics.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.1
    }

    /// The numbers of all counters and gauges with this name, with their labels.
    #[must_use]
    pub fn numbers(&self, name: &str) -> Vec<(Labels, i64)> {
        let state = self.0.lock();
        let counters = state.counters.get(name).into_iter().flat_map(|known| &known.members);
        let counters = counters.map(|(labels, counter)| (labels.clone(), counter.get().cast_signed()));
        let gauges = state.gauges.get(name).into_iter().flat_map(|known| &known.members);
        counters.chain(gauges.map(|(labels, gauge)| (labels.clone(), gauge.get()))).collect()
    }

    /// The text that `/metrics` serves ([`Metrics::CONTENT_TYPE`]).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let state = self.0.lock();
        encode(&mut text, &state.registry).expect("writing into a string cannot fail");
        text.truncate(text.len() - END.len());
        state.derived.write(&mut text);
        self.1.write(&mut text);
        text.push_str(END);
        text
    }

    /// The media type of [`Metrics::text`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

/// The last line of the text.
const END: &str = "# EOF\n";

fn owned(labels: &[(&'static str, &str)]) -> Labels {
    labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_and_labels_are_the_same_number() {
        let metrics = Metrics::new();
        metrics.counter("sawyer_test_records", "Records", &[("input", "a")]).inc_by(2);
        metrics.counter("sawyer_test_records", "Records", &[("input", "a")]).inc();
        metrics.gauge("sawyer_test_bytes", "Bytes", &[]).set(-4);
        let text = metrics.text();
        assert!(text.contains("sawyer_test_records_total{input=\"a\"} 3\n"), "{text}");
        assert!(text.contains("sawyer_test_bytes{} -4\n"), "{text}");
        assert_eq!(metrics.numbers("sawyer_test_records"), [(vec![("input", "a".to_owned())], 3)]);
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
