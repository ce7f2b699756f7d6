//! The step `metric`: numbers for Prometheus, made of records.
//!
//! Owns: which number a record gives, the values of labels, which names are good.
//! Does not own: adding up, the bound on series, `/metrics` (`telemetry`).
//! Invariant: records go on as they came, whatever they give.

use std::collections::BTreeMap;
use std::fmt::Write;

use sawyer_config::{At, Problems, Setting, Settings, choice, settings};
use sawyer_model::{Error, RecordRef, Transfer, ValueRef};
use sawyer_telemetry::{Counter, Derived, DerivedKind, DerivedSpec};

use super::{Condition, labels};
use crate::component::{Context, Kind, Step, StepPlan};

#[cfg(test)]
mod tests;

/// Most labels of a metric. More would be a table of records, not a metric.
const LABELS_MAX: usize = 16;

/// Most buckets of a histogram; each is a sample of every series.
const BUCKETS_MAX: usize = 100;

choice! {
    /// What is made of the numbers.
    pub enum MetricKind {
        /// Their sum; without `field`, how many records there were.
        Counter = "counter",
        /// The last one.
        Gauge = "gauge",
        /// How many were at most as large as each of the buckets' bounds.
        Histogram = "histogram",
    }
}

settings! {
    /// Counts records, or adds up numbers in them, for Prometheus: the metric is on `/metrics` beside Sawyer's own. A
    /// record that is read again after a crash counts again, as it does in Prometheus after any restart.
    pub struct MetricSettings {
        /// The metric's name, such as `http_requests`. A counter gets `_total` behind it.
        pub name: String,
        /// What is made of the numbers.
        pub kind: MetricKind = MetricKind::Counter,
        /// What the metric tells, in a few words.
        pub help: Option<String>,
        /// The field whose number counts. Text such as `12ms`, `1.5s` or `1m30s` is a duration and counts in
        /// seconds. Records without the field give nothing. A counter needs none: it then counts records.
        pub field: Option<String>,
        /// What numbers are multiplied by: `0.001` makes seconds of milliseconds. Durations are not.
        pub scale: f64 = 1.0,
        /// Labels, and the fields that give their values. Of a field that a record does not have, the label is empty.
        pub labels: BTreeMap<String, String> = BTreeMap::new(),
        /// Upper bounds of a histogram's buckets, ascending. Prometheus' usual ones by default, which suit answers in
        /// seconds.
        pub buckets: Vec<f64> = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
        /// Most combinations of the labels' values. Further ones count together, with `other` in all labels, so that
        /// a label that never repeats cannot fill memory.
        #[range(1..=100_000)]
        pub series_max: u64 = 1000,
        /// Which records count, in KQL. All by default.
        pub when: Option<Condition>,
    }
}

/// The kind `metric`.
pub(super) fn kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "metric",
        reference: MetricSettings::reference,
        read: Box::new(|at, problems| {
            Some(Box::new(MetricSettings::read(at, problems)?.check(at, problems)?))
        }),
    }
}

#[derive(Debug)]
struct MetricPlan {
    spec: DerivedSpec,
    field: Option<String>,
    scale: f64,
    /// The fields of the labels, in the order of the specification's.
    label_fields: Vec<String>,
    when: Option<Condition>,
}

impl MetricSettings {
    fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<MetricPlan> {
        let before = problems.len();
        self.check_name(&at.key("name"), problems);
        self.check_labels(&at.key("labels"), problems);
        self.check_buckets(at, problems);
        if self.kind != MetricKind::Counter && self.field.is_none() {
            problems.push(at, format!("field: required, and missing; a {} is made of numbers", self.kind));
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            problems.expected(&at.key("scale"), "a number other than 0");
        }
        let name = match self.kind {
            MetricKind::Counter => self.name.strip_suffix("_total").unwrap_or(&self.name),
            MetricKind::Gauge | MetricKind::Histogram => &self.name,
        };
        let spec = DerivedSpec {
            name: name.to_owned(),
            help: self.help.unwrap_or_else(|| "Made of records".to_owned()),
            kind: match self.kind {
                MetricKind::Counter => DerivedKind::Counter,
                MetricKind::Gauge => DerivedKind::Gauge,
                MetricKind::Histogram => DerivedKind::Histogram(self.buckets),
            },
            labels: self.labels.keys().cloned().collect(),
            series_max: usize::try_from(self.series_max).unwrap_or(usize::MAX),
        };
        let label_fields = self.labels.into_values().collect();
        let plan = MetricPlan { spec, field: self.field, scale: self.scale, label_fields, when: self.when };
        (problems.len() == before).then_some(plan)
    }

    fn check_name(&self, at: &At<'_>, problems: &mut Problems) {
        if !is_name(&self.name, true) {
            problems.expected(at, "a name of letters, digits, `_` and `:` that does not begin with a digit");
        } else if self.name.starts_with("sawyer_") {
            problems.push(at, "names that begin with `sawyer_` are Sawyer's own");
        } else if self.kind != MetricKind::Counter && self.name.ends_with("_total") {
            problems.push(at, format!("names of counters end with `_total`, and this is a {}", self.kind));
        }
    }

    fn check_labels(&self, at: &At<'_>, problems: &mut Problems) {
        if self.labels.len() > LABELS_MAX {
            problems.push(at, format!("expected at most {LABELS_MAX} labels, found {}", self.labels.len()));
        }
        for (label, field) in &self.labels {
            let at = at.key(label);
            if !is_name(label, false) || label.starts_with("__") {
                problems.push(
                    &at,
                    "a label is made of letters, digits and `_`, and does not begin with a digit or `__`",
                );
            } else if label == "le" && self.kind == MetricKind::Histogram {
                problems.push(&at, "a histogram's own label has this name");
            }
            if field.is_empty() {
                problems.expected(&at, "the name of a field");
            }
        }
    }

    fn check_buckets(&self, at: &At<'_>, problems: &mut Problems) {
        match at.get("buckets") {
            Some(at) if self.kind != MetricKind::Histogram => {
                problems.push(&at, format!("a histogram has buckets, and this is a {}", self.kind));
            }
            Some(at) => {
                let ascending = self.buckets.windows(2).all(|pair| pair[0] < pair[1]);
                let finite = self.buckets.iter().all(|bound| bound.is_finite());
                if !ascending || !finite || self.buckets.is_empty() || self.buckets.len() > BUCKETS_MAX {
                    problems.push(
                        &at,
                        format!("expected 1 to {BUCKETS_MAX} numbers, each larger than the one before"),
                    );
                }
            }
            None => {}
        }
    }
}

/// Whether Prometheus takes it for a name, of a metric or of a label.
fn is_name(name: &str, of_metric: bool) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || of_metric && c == ':';
    !name.is_empty() && name.chars().all(good) && !name.starts_with(|c: char| c.is_ascii_digit())
}

impl StepPlan for MetricPlan {
    fn metric(&self) -> Option<&DerivedSpec> {
        Some(&self.spec)
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error> {
        let counter = |name, help| context.metrics.counter(name, help, &labels(context));
        let family = context.metrics.derived(self.spec.clone())?;
        Ok(Box::new(Metric {
            family,
            plan: *self,
            failed: counter("sawyer_step_failed_records", "Records that a step could not work on"),
            beyond: counter(
                "sawyer_step_metric_overflow_records",
                "Records counted under `other` because a metric has too many series, by step and pipeline",
            ),
            values: Vec::new(),
        }))
    }
}

struct Metric {
    plan: MetricPlan,
    family: Derived,
    failed: Counter,
    beyond: Counter,
    /// The values of a record's labels; kept so that a record allocates nothing of its own.
    values: Vec<String>,
}

impl Step for Metric {
    fn apply(&mut self, transfer: Transfer, out: &mut Vec<Transfer>) {
        for record in transfer.batch.iter() {
            if self.plan.when.as_ref().is_none_or(|when| when.matches(record)) {
                self.count(record);
            }
        }
        out.push(transfer);
    }
}

impl Metric {
    fn count(&mut self, record: RecordRef<'_>) {
        let number = match &self.plan.field {
            None => Some(self.plan.scale),
            Some(field) => match record.get(field) {
                None | Some(ValueRef::Null) => return,
                Some(value) => number(value, self.plan.scale),
            },
        };
        let is_counter = self.plan.spec.kind == DerivedKind::Counter;
        let Some(number) = number.filter(|number| number.is_finite() && !(is_counter && *number < 0.0))
        else {
            self.failed.inc();
            return;
        };
        self.values.resize(self.plan.label_fields.len(), String::new());
        for (text, field) in self.values.iter_mut().zip(&self.plan.label_fields) {
            text.clear();
            write_label(text, record.get(field));
        }
        if !self.family.record(&self.values, number) {
            self.beyond.inc();
        }
    }
}

fn write_label(text: &mut String, value: Option<ValueRef<'_>>) {
    // Writing into a string cannot fail.
    let _ = match value {
        Some(ValueRef::Str(value)) => text.write_str(value),
        Some(ValueRef::Int(value)) => write!(text, "{value}"),
        Some(ValueRef::Float(value)) => write!(text, "{value}"),
        Some(ValueRef::Bool(value)) => write!(text, "{value}"),
        Some(ValueRef::Timestamp(value)) => write!(text, "{value}"),
        _ => Ok(()),
    };
}

fn number(value: ValueRef<'_>, scale: f64) -> Option<f64> {
    match value {
        ValueRef::Int(number) => Some(number as f64 * scale),
        ValueRef::Float(number) => Some(number * scale),
        ValueRef::Bool(value) => Some(f64::from(u8::from(value)) * scale),
        ValueRef::Str(text) => {
            let text = text.trim();
            text.parse::<f64>().ok().map(|number| number * scale).or_else(|| duration(text))
        }
        _ => None,
    }
}

/// Seconds of a text such as `1m30.5s`, `12ms`, `250µs`: what Go and many others print.
fn duration(text: &str) -> Option<f64> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..letters] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" | "sec" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = rest[letters..].trim_start();
    }
    (!text.is_empty()).then_some(seconds)
}
