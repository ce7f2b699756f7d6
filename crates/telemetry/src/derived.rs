//! Metrics that users make of their logs: names, labels and buckets come from the configuration.
//!
//! Owns: their numbers, the bound on their series, their text.
//! Does not own: what is counted (`pipeline`).
//! Invariant: no family has more series than its bound and one; a name means one thing in a process.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use sawyer_model::{Error, ErrorKind};

/// What stands in every label of the series that takes what is beyond the bound.
pub const OTHERS: &str = "other";

/// Longest value of a label in bytes; longer ones are cut.
const LABEL_BYTES_MAX: usize = 128;

/// Between the values of labels in the key of a series; values do not have it.
const SEPARATOR: char = '\u{1f}';

/// What is made of numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum DerivedKind {
    /// Their sum.
    Counter,
    /// The last one.
    Gauge,
    /// How many are at most as large as each of these bounds, which ascend.
    Histogram(Vec<f64>),
}

/// What a family of series is.
#[derive(Clone, Debug, PartialEq)]
pub struct DerivedSpec {
    /// Its name, of counters without `_total`.
    pub name: String,
    /// What it counts.
    pub help: String,
    /// What is made of numbers.
    pub kind: DerivedKind,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// Most series; beyond it, one more takes everything, with [`OTHERS`] in its labels.
    pub series_max: usize,
}

/// A family of series. Clones are the same one; it lasts as long as somebody has one, and until
/// [`Metrics::forget_derived`](crate::Metrics::forget_derived).
#[derive(Clone, Debug)]
pub struct Derived(Arc<Family>);

#[derive(Debug)]
struct Family {
    spec: DerivedSpec,
    series: Mutex<HashMap<String, Series>>,
}

#[derive(Clone, Debug, Default)]
struct Series {
    /// Sum of a counter or histogram, or the number of a gauge.
    value: f64,
    /// Numbers in each bucket, not added up; the last is that beyond all bounds.
    buckets: Vec<u64>,
}

impl Derived {
    /// Takes a number for the series with these values of its labels. Says whether the series is one of its own; if
    /// not, there are too many.
    pub fn record(&self, labels: &[impl AsRef<str>], number: f64) -> bool {
        let Family { spec, series } = &*self.0;
        let key = key(labels.iter().map(AsRef::as_ref));
        let mut series = series.lock();
        let own = series.len() < spec.series_max || series.contains_key(&key);
        let key = if own { key } else { self::key(labels.iter().map(|_| OTHERS)) };
        series.entry(key).or_default().record(&spec.kind, number);
        own
    }
}

fn key<'a>(labels: impl Iterator<Item = &'a str>) -> String {
    let mut key = String::new();
    for label in labels {
        let cut = &label[..label.floor_char_boundary(LABEL_BYTES_MAX)];
        key.extend(cut.chars().map(|c| if c == SEPARATOR { ' ' } else { c }));
        key.push(SEPARATOR);
    }
    key
}

impl Series {
    fn record(&mut self, kind: &DerivedKind, number: f64) {
        match kind {
            DerivedKind::Counter => self.value += number,
            DerivedKind::Gauge => self.value = number,
            DerivedKind::Histogram(bounds) => {
                self.buckets.resize(bounds.len() + 1, 0);
                self.buckets[bounds.partition_point(|bound| *bound < number)] += 1;
                self.value += number;
            }
        }
    }
}

impl DerivedSpec {
    /// Whether there cannot be both: they differ, and have samples of the same name.
    #[must_use]
    pub fn clashes_with(&self, other: &Self) -> bool {
        self != other && self.samples().iter().any(|name| other.samples().contains(name))
    }

    /// The names of its samples.
    fn samples(&self) -> Vec<String> {
        let endings: &[&str] = match self.kind {
            DerivedKind::Counter => &["", "_total"],
            DerivedKind::Gauge => &[""],
            DerivedKind::Histogram(_) => &["", "_bucket", "_sum", "_count"],
        };
        endings.iter().map(|ending| format!("{}{ending}", self.name)).collect()
    }
}

/// All families by name.
#[derive(Debug, Default)]
pub(crate) struct Families(BTreeMap<String, Derived>);

impl Families {
    pub(crate) fn family(&mut self, spec: DerivedSpec) -> Result<Derived, Error> {
        if let Some(known) = self.0.get(&spec.name)
            && known.0.spec == spec
        {
            return Ok(known.clone());
        }
        // What nobody counts into any more does not stand in the way of what is to come.
        self.forget();
        if self.0.values().any(|known| known.0.spec.clashes_with(&spec)) {
            let why = "is another one already: kind, help, labels and buckets have to be the same everywhere";
            return Err(Error::new(ErrorKind::Invalid, format!("the metric `{}` {why}", spec.name)));
        }
        let family = Derived(Arc::new(Family { spec: spec.clone(), series: Mutex::default() }));
        self.0.insert(spec.name, family.clone());
        Ok(family)
    }

    pub(crate) fn forget(&mut self) {
        self.0.retain(|_, family| Arc::strong_count(&family.0) > 1);
    }

    /// Writes all of them in OpenMetrics' text form.
    pub(crate) fn write(&self, text: &mut String) {
        for family in self.0.values() {
            // Writing into a string cannot fail.
            let _ = family.0.write(text);
        }
    }
}

impl Family {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let DerivedSpec { name, help, kind, labels, .. } = &self.spec;
        let kind_name = match kind {
            DerivedKind::Counter => "counter",
            DerivedKind::Gauge => "gauge",
            DerivedKind::Histogram(_) => "histogram",
        };
        writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind_name}", escaped(help))?;
        let series = self.series.lock();
        let mut sorted: Vec<(&String, &Series)> = series.iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        for (key, series) in sorted {
            let values = key.split(SEPARATOR);
            let pairs =
                labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{}\"", escaped(value)));
            let pairs = pairs.collect::<Vec<_>>().join(",");
            match kind {
                DerivedKind::Counter => writeln!(text, "{name}_total{{{pairs}}} {}", series.value)?,
                DerivedKind::Gauge => writeln!(text, "{name}{{{pairs}}} {}", series.value)?,
                DerivedKind::Histogram(bounds) => series.write_histogram(text, name, &pairs, bounds)?,
            }
        }
        Ok(())
    }
}

impl Series {
    fn write_histogram(
        &self,
        text: &mut String,
        name: &str,
        pairs: &str,
        bounds: &[f64],
    ) -> std::fmt::Result {
        let comma = if pairs.is_empty() { "" } else { "," };
        let mut count = 0;
        for (at, in_bucket) in self.buckets.iter().enumerate() {
            count += in_bucket;
            let bound = bounds.get(at).map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound:?}"));
            writeln!(text, "{name}_bucket{{{pairs}{comma}le=\"{bound}\"}} {count}")?;
        }
        writeln!(text, "{name}_sum{{{pairs}}} {}\n{name}_count{{{pairs}}} {count}", self.value)
    }
}

/// Text in quotes or behind `HELP`, as OpenMetrics has it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;

    fn spec(name: &str, kind: DerivedKind, labels: &[&str]) -> DerivedSpec {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        DerivedSpec { name: name.into(), help: "Help \"me\"".into(), kind, labels, series_max: 2 }
    }

    #[test]
    fn is_written_beside_the_others() {
        let metrics = Metrics::new();
        metrics.gauge("sawyer_test_bytes", "Bytes", &[]).set(1);
        let requests = metrics.derived(spec("requests", DerivedKind::Counter, &["code", "path"])).unwrap();
        requests.record(&["200", "/a\"\n"], 1.0);
        requests.record(&["200", "/a\"\n"], 2.0);
        let seconds = spec("seconds", DerivedKind::Histogram(vec![0.1, 1.0]), &["pod"]);
        let seconds = metrics.derived(seconds).unwrap();
        for number in [0.05, 0.1, 0.5, 7.0] {
            seconds.record(&["a"], number);
        }
        metrics.derived(spec("free", DerivedKind::Gauge, &[])).unwrap().record(&[""; 0], 2.5);
        let text = metrics.text();
        let derived = text.split_once("# HELP free").unwrap().1;
        assert_eq!(
            derived,
            r#" Help \"me\"
# TYPE free gauge
free{} 2.5
# HELP requests Help \"me\"
# TYPE requests counter
requests_total{code="200",path="/a\"\n"} 3
# HELP seconds Help \"me\"
# TYPE seconds histogram
seconds_bucket{pod="a",le="0.1"} 2
seconds_bucket{pod="a",le="1.0"} 3
seconds_bucket{pod="a",le="+Inf"} 4
seconds_sum{pod="a"} 7.65
seconds_count{pod="a"} 4
# EOF
"#
        );
        assert!(text.starts_with("# HELP sawyer_test_bytes"), "{text}");
    }

    #[test]
    fn series_have_a_bound() {
        let family = Metrics::new().derived(spec("requests", DerivedKind::Counter, &["a"])).unwrap();
        assert!(family.record(&["1"], 1.0) && family.record(&["2"], 1.0));
        assert!(!family.record(&["3"], 1.0) && !family.record(&["4"], 1.0) && family.record(&["1"], 1.0));
        let series = family.0.series.lock();
        assert_eq!(series.len(), 3);
        assert_eq!(series[&key([OTHERS].into_iter())].value, 2.0);
    }

    #[test]
    fn a_name_means_one_thing_while_somebody_uses_it() {
        let metrics = Metrics::new();
        let first = metrics.derived(spec("requests", DerivedKind::Counter, &["a"])).unwrap();
        first.record(&["1"], 1.0);
        let again = metrics.derived(spec("requests", DerivedKind::Counter, &["a"])).unwrap();
        assert_eq!(again.0.series.lock().len(), 1, "it is the same");
        for other in
            [spec("requests", DerivedKind::Gauge, &["a"]), spec("requests_total", DerivedKind::Gauge, &[])]
        {
            assert!(metrics.derived(other).is_err());
        }
        drop((first, again));
        assert!(metrics.derived(spec("requests", DerivedKind::Gauge, &["a"])).is_ok());
        metrics.forget_derived();
        assert!(!metrics.text().contains("requests"));
    }
}
