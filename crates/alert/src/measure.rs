//! Evaluating a rule at a moment: what is asked, and what the answers mean.
//!
//! Owns: the numbers of a rule in a window, groups with their bound, samples, the finding that is told.
//! Does not own: what follows (`engine`), how answers come about (whatever implements [`Search`]).
//! Invariant: an answer that ran out of time is never taken for a small number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_config::duration;
use sawyer_model::{Error, ErrorKind, RecordRef, Timestamp, Value, ValueRef, names};
use sawyer_query::search::{Budget, Order, Search, SearchRequest, Selection, ValuesRequest};
use sawyer_query::{FieldPattern, FieldTest, Predicate, kql};

use crate::kql::both;
use crate::rule::{Kind, Rule};
use crate::settings::NoData;
use crate::state::{Finding, Labels, Sample};
use crate::template::{cut, escape_url};
use crate::threshold::percent;

/// How long the questions of one evaluation may take together.
pub(crate) const EVALUATION_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of a record in a message.
const SAMPLE_BYTES_MAX: usize = 300;

/// Longest value that makes a group. Values come from records as they are, and each is kept in the alert, in its query
/// and in its link; a group with a longer one is left out and counted.
const GROUP_VALUE_BYTES_MAX: usize = 1024;

/// Groups of one evaluation for which samples are fetched; a message shows no more.
const SAMPLED_GROUPS_MAX: usize = 10;

/// What is asked, and in which words links begin.
pub(crate) struct Asker<'a> {
    pub(crate) search: &'a dyn Search,
    pub(crate) public_url: Arc<str>,
    budget: Budget,
}

/// What an evaluation found.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Groups for which it is so.
    pub(crate) met: Vec<(Labels, Finding)>,
    /// The largest value.
    pub(crate) value: Option<f64>,
    pub(crate) value_text: String,
    pub(crate) groups: usize,
    pub(crate) left_out: u64,
    /// There was nothing to judge.
    pub(crate) no_data: bool,
    /// Nothing follows; everything stays as it is.
    pub(crate) keep: bool,
}

/// A part of the records of a query, by the values of fields.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The fields with their values; empty where a record has no such field.
    pub(crate) values: Vec<(String, String)>,
    pub(crate) predicate: Predicate,
    /// The same condition as text.
    pub(crate) query: String,
    pub(crate) matched: u64,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(search: &'a dyn Search, public_url: Arc<str>) -> Self {
        let budget = Budget::new(Some(Instant::now() + EVALUATION_TIME_MAX), u64::MAX);
        Self { search, public_url, budget }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Evaluates a rule for the window that ends at `end`.
    pub(crate) fn measure(&self, rule: &Rule, end: Timestamp) -> Result<Measured, Error> {
        let start = end.saturating_sub(rule.settings.window);
        let predicate = rule.settings.query.at(end)?;
        let base = rule.settings.base.as_ref().map_or(Ok(Predicate::All), |base| base.at(end))?;
        let mut measured = match rule.kind {
            Kind::Count(_) => self.counts(rule, &predicate, start, end)?,
            Kind::Ratio(_) => self.ratios(rule, &predicate, &base, start, end)?,
            Kind::Absence => self.absences(rule, &predicate, start, end)?,
        };
        if !matches!(rule.kind, Kind::Ratio(_)) && rule.settings.no_data != NoData::Ok {
            measured.no_data = self.count(base, start, end, 1.0)? == 0;
        }
        if measured.no_data {
            self.without_data(rule, &mut measured, start, end);
        }
        Ok(measured)
    }

    fn without_data(&self, rule: &Rule, measured: &mut Measured, start: Timestamp, end: Timestamp) {
        match rule.settings.no_data {
            NoData::Ok => {}
            NoData::Keep => measured.keep = true,
            NoData::Alert => {
                let mut labels = rule.labels();
                labels.insert("nodata".to_owned(), "true".to_owned());
                let part =
                    Part { values: Vec::new(), predicate: Predicate::All, query: String::new(), matched: 0 };
                let text = format!("no data at all in {}", duration::print(rule.settings.window));
                let found = Found { value: 0.0, text, total: None };
                measured.met = vec![(
                    labels.clone(),
                    self.finding(rule, &labels, &part, found, (start, end), Vec::new()),
                )];
            }
        }
    }

    fn counts(
        &self,
        rule: &Rule,
        predicate: &Predicate,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Measured, Error> {
        let Kind::Count(threshold) = rule.kind else { return Ok(Measured::default()) };
        let (parts, left_out) = self.parts(rule, predicate, start, end, threshold.limit)?;
        let mut measured =
            Measured { groups: parts.len(), left_out, value_text: "0".to_owned(), ..Measured::default() };
        measured.value = Some(0.0);
        for part in &parts {
            let value = part.matched as f64;
            measured.highest(value, || part.matched.to_string());
            if threshold.is_met(value) {
                let found = Found { value, text: part.matched.to_string(), total: None };
                self.met(rule, &mut measured, part, found, (start, end))?;
            }
        }
        Ok(measured)
    }

    fn ratios(
        &self,
        rule: &Rule,
        predicate: &Predicate,
        base: &Predicate,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Measured, Error> {
        let Kind::Ratio(threshold) = rule.kind else { return Ok(Measured::default()) };
        let both = Predicate::and([base.clone(), predicate.clone()]);
        let (parts, left_out) = self.parts(rule, &both, start, end, f64::INFINITY)?;
        let mut measured = Measured { groups: parts.len(), left_out, ..Measured::default() };
        for part in &parts {
            let total = self.count(part.of(base), start, end, f64::INFINITY)?;
            if total == 0 {
                continue;
            }
            let value = part.matched as f64 / total as f64;
            measured.highest(value, || percent(value));
            if threshold.is_met(value) {
                let text = format!("{} ({} of {total})", percent(value), part.matched);
                self.met(rule, &mut measured, part, Found { value, text, total: Some(total) }, (start, end))?;
            }
        }
        if measured.value.is_none() {
            let total = self.count(base.clone(), start, end, 1.0)?;
            measured.no_data = total == 0;
            if total > 0 {
                (measured.value, measured.value_text) = (Some(0.0), percent(0.0));
            }
        }
        Ok(measured)
    }

    fn absences(
        &self,
        rule: &Rule,
        predicate: &Predicate,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Measured, Error> {
        let (present, _) = self.parts(rule, predicate, start, end, 1.0)?;
        let window = duration::print(rule.settings.window);
        let fewest = present.iter().map(|part| part.matched).min().unwrap_or(0);
        let mut measured = Measured { groups: present.len(), ..Measured::default() };
        (measured.value, measured.value_text) = (Some(fewest as f64), fewest.to_string());
        let before = end.saturating_sub(rule.settings.seen_within).min(start);
        let missing: Vec<Part> = if rule.settings.group_by.is_empty() {
            present.into_iter().filter(|part| part.matched == 0).collect()
        } else {
            let (known, left_out) = self.parts(rule, predicate, before, start, f64::INFINITY)?;
            measured.left_out = left_out;
            let is_there = |part: &Part| present.iter().any(|other| other.values == part.values);
            known.into_iter().filter(|part| !is_there(part)).collect()
        };
        measured.groups += missing.len();
        for part in missing {
            // The last one that there was says most about what is missing.
            let last = self.samples(rule, &part, before, start, 1)?;
            let text = match last.first() {
                Some(sample) => format!("none in {window}; the last was at {}", sample.time),
                None => format!("none in {window}"),
            };
            (measured.value, measured.value_text) = (Some(0.0), "0".to_owned());
            let labels = labels_of(rule, &part);
            let part = Part { matched: 0, ..part };
            let found = Found { value: 0.0, text, total: None };
            let finding = self.finding(rule, &labels, &part, found, (start, end), last);
            measured.met.push((labels, finding));
        }
        Ok(measured)
    }

    fn met(
        &self,
        rule: &Rule,
        measured: &mut Measured,
        part: &Part,
        found: Found,
        (start, end): (Timestamp, Timestamp),
    ) -> Result<(), Error> {
        let wanted = if measured.met.len() < SAMPLED_GROUPS_MAX { rule.settings.samples as usize } else { 0 };
        let samples = self.samples(rule, part, start, end, wanted)?;
        let labels = labels_of(rule, part);
        let finding = self.finding(rule, &labels, part, found, (start, end), samples);
        measured.met.push((labels, finding));
        Ok(())
    }

    /// The parts of what matches, the largest first, and how many there are beyond the bound. Without `group_by` it
    /// is one part, which may be empty. A number that is not certain is good enough if it is `enough`.
    pub(crate) fn parts(
        &self,
        rule: &Rule,
        predicate: &Predicate,
        start: Timestamp,
        end: Timestamp,
        enough: f64,
    ) -> Result<(Vec<Part>, u64), Error> {
        let whole =
            Part { values: Vec::new(), predicate: predicate.clone(), query: String::new(), matched: 0 };
        if rule.settings.group_by.is_empty() {
            let matched = self.count(predicate.clone(), start, end, enough)?;
            return Ok((vec![Part { matched, ..whole }], 0));
        }
        let (most, mut left_out) = (rule.settings.groups_max as usize, 0);
        let mut parts = vec![whole];
        for field in &rule.settings.group_by {
            let mut finer = Vec::new();
            for part in &parts {
                left_out += self.split(part, field, (start, end), most, &mut finer)?;
            }
            finer.sort_by(|a: &Part, b: &Part| {
                b.matched.cmp(&a.matched).then_with(|| a.values.cmp(&b.values))
            });
            left_out += finer.len().saturating_sub(most) as u64;
            finer.truncate(most);
            parts = finer;
        }
        Ok((parts, left_out))
    }

    fn split(
        &self,
        part: &Part,
        field: &str,
        (start, end): (Timestamp, Timestamp),
        most: usize,
        into: &mut Vec<Part>,
    ) -> Result<u64, Error> {
        let selection = Selection { predicate: part.predicate.clone(), start, end };
        let request = ValuesRequest { selection, field: field.to_owned(), limit: most, prefix: None };
        let top = self.search.values(&request, &self.budget)?;
        if top.stats.partial {
            return Err(too_long());
        }
        let mut left_out = top.distinct.saturating_sub(top.values.len() as u64);
        // What is written alike has the same labels, so it is one group: 404 and "404", an empty text and none.
        let mut groups: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (value, count) in &top.values {
            let text = text_of(value);
            if text.len() > GROUP_VALUE_BYTES_MAX {
                left_out += 1;
            } else {
                groups.entry(text).or_default().push(*count);
            }
        }
        let has_empty = groups.contains_key("");
        if top.missing > 0 {
            groups.entry(String::new()).or_default().push(top.missing);
        }
        for (value, counts) in groups {
            let predicate = Predicate::and([part.predicate.clone(), is(field, &value)]);
            // A record whose list has both is counted once.
            let matched = match counts[..] {
                [count] => count,
                _ => self.count(predicate.clone(), start, end, f64::INFINITY)?,
            };
            let query = both(&part.query, &query_of(field, &value, has_empty));
            let mut values = part.values.clone();
            values.push((field.to_owned(), value));
            into.push(Part { query, values, predicate, matched });
        }
        Ok(left_out)
    }

    fn count(
        &self,
        predicate: Predicate,
        start: Timestamp,
        end: Timestamp,
        enough: f64,
    ) -> Result<u64, Error> {
        let (count, stats) = self.search.count(&Selection { predicate, start, end }, &self.budget)?;
        if stats.partial && (count as f64) <= enough {
            return Err(too_long());
        }
        Ok(count)
    }

    fn samples(
        &self,
        rule: &Rule,
        part: &Part,
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Result<Vec<Sample>, Error> {
        if limit == 0 || rule.settings.samples == 0 {
            return Ok(Vec::new());
        }
        let selection = Selection { predicate: part.predicate.clone(), start, end };
        let request =
            SearchRequest { selection, order: Order::NewestFirst, limit, after: None, original: true };
        let page = self.search.search(&request, &self.budget)?;
        Ok(page.records.iter().map(sample).collect())
    }

    fn finding(
        &self,
        rule: &Rule,
        labels: &Labels,
        part: &Part,
        found: Found,
        (from, to): (Timestamp, Timestamp),
        samples: Vec<Sample>,
    ) -> Finding {
        let settings = &rule.settings;
        let text = match &settings.base {
            Some(base) if matches!(rule.kind, Kind::Ratio(_)) => both(base.text(), settings.query.text()),
            _ => settings.query.text().to_owned(),
        };
        let query = both(&text, &part.query);
        let mut finding = Finding {
            value: found.value,
            value_text: found.text,
            threshold: rule.threshold_text(),
            window: duration::print(settings.window),
            matched: part.matched,
            total: found.total,
            from,
            to,
            link: link(&self.public_url, &query, from, to),
            query,
            samples,
            summary: String::new(),
            description: String::new(),
            runbook: String::new(),
        };
        let value = |name: &str| value_of(name, rule, labels, &finding);
        let render = |template: &Option<crate::Template>| {
            template.as_ref().map(|template| template.render(&value)).unwrap_or_default()
        };
        let (summary, description, runbook) =
            (render(&settings.summary), render(&settings.description), render(&settings.runbook));
        finding.summary = match summary.trim() {
            "" => default_summary(rule, part, &finding),
            summary => summary.to_owned(),
        };
        (finding.description, finding.runbook) = (description, runbook);
        finding
    }
}

impl Part {
    /// Of other records those with the same values.
    pub(crate) fn of(&self, base: &Predicate) -> Predicate {
        let values = self.values.iter().map(|(field, value)| is(field, value));
        Predicate::and(std::iter::once(base.clone()).chain(values))
    }
}

/// A value and how people write it.
struct Found {
    value: f64,
    text: String,
    total: Option<u64>,
}

impl Measured {
    fn highest(&mut self, value: f64, text: impl FnOnce() -> String) {
        if self.value.is_none_or(|known| value > known) {
            (self.value, self.value_text) = (Some(value), text());
        }
    }
}

fn too_long() -> Error {
    let message = format!("the query did not end within {} s", EVALUATION_TIME_MAX.as_secs());
    Error::new(ErrorKind::Retry, message)
}

/// The condition that a field has a value; if the value is empty, that it has this one or is missing.
fn is(field: &str, value: &str) -> Predicate {
    let pattern = FieldPattern::name(field);
    let exact = Predicate::field(pattern.clone(), FieldTest::exact(value));
    if value.is_empty() { Predicate::or([Predicate::not(Predicate::Exists(pattern)), exact]) } else { exact }
}

/// The same in KQL; `has_empty` says whether any record has the empty value.
fn query_of(field: &str, value: &str, has_empty: bool) -> String {
    let field = kql::escape(field);
    match value {
        "" if has_empty => format!("not {field}: * or {field}: \"\""),
        "" => format!("not {field}: *"),
        value => format!("{field}: {}", kql::quote(value)),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Str(text) | Value::Json(text) => text.to_string(),
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Timestamp(time) => time.to_string(),
        Value::List(values) => values.iter().map(text_of).collect::<Vec<_>>().join(","),
    }
}

fn labels_of(rule: &Rule, part: &Part) -> Labels {
    let mut labels = rule.labels();
    labels.extend(part.values.iter().cloned());
    labels
}

fn sample(record: RecordRef<'_>) -> Sample {
    let text = |name: &str| record.get(name).and_then(ValueRef::as_str).unwrap_or_default();
    let (namespace, pod) = (text(names::NAMESPACE), text(names::POD));
    let origin = match (namespace, pod) {
        ("", "") => [text(names::SERVICE), text(names::SOURCE)].into_iter().find(|name| !name.is_empty()),
        ("", name) | (name, "") => Some(name),
        _ => None,
    };
    let origin = origin.map_or_else(|| format!("{namespace}/{pod}"), str::to_owned);
    let origin = if origin == "/" { String::new() } else { origin };
    let line: String = record.message().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Sample {
        time: record.timestamp(),
        origin: cut(&origin, SAMPLE_BYTES_MAX),
        text: cut(line.trim(), SAMPLE_BYTES_MAX),
    }
}

/// The address of these records in the interface.
pub(crate) fn link(public_url: &str, query: &str, from: Timestamp, to: Timestamp) -> String {
    let (query, from, to) = (escape_url(query), escape_url(&from.to_string()), escape_url(&to.to_string()));
    format!("{public_url}/?q={query}&from={from}&to={to}")
}

fn default_summary(rule: &Rule, part: &Part, finding: &Finding) -> String {
    let values: Vec<String> = part
        .values
        .iter()
        .map(
            |(field, value)| {
                if value.is_empty() { format!("{field}=(none)") } else { format!("{field}={value}") }
            },
        )
        .collect();
    let of = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
    let Finding { value_text, threshold, window, .. } = finding;
    match rule.kind {
        Kind::Absence => format!("{}: {value_text}{of}", rule.name),
        _ if finding.value_text.starts_with("no data") => format!("{}: {value_text}", rule.name),
        _ => format!("{}: {value_text} in {window}, threshold {threshold}{of}", rule.name),
    }
}

/// What a name in a template of a rule stands for.
fn value_of(name: &str, rule: &Rule, labels: &Labels, finding: &Finding) -> Option<String> {
    Some(match name {
        "rule" => rule.name.clone(),
        "severity" => rule.settings.severity.to_string(),
        "status" => "firing".to_owned(),
        "value" => finding.value_text.clone(),
        "threshold" => finding.threshold.clone(),
        "window" => finding.window.clone(),
        "query" => finding.query.clone(),
        "link" => finding.link.clone(),
        "matched" => finding.matched.to_string(),
        "total" => finding.total.map(|total| total.to_string()).unwrap_or_default(),
        "starts" => finding.from.to_string(),
        "ends" => finding.to.to_string(),
        _ => labels.get(name.strip_prefix("labels.")?)?.clone(),
    })
}
