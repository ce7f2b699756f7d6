//! The step `parse`: what a line says becomes fields.
//!
//! Owns: which records are parsed, whose time counts, and marking clocks that are far off.
//! Does not own: formats, and which field is what (`codec`).
//! Invariant: every record goes on, once; a line in no known format goes on as it is. Parsing twice changes nothing.

use std::sync::Arc;
use std::time::Duration;

use sawyer_codec::body::{Format, Parser, Rules};
use sawyer_codec::fields::FieldSink;
use sawyer_config::{Setting, Settings, choice, settings};
use sawyer_model::{
    Batch, Error, NameId, RecordEditor, RecordRef, Stream, Timestamp, Transfer, ValueRef, names,
};
use sawyer_telemetry::Counter;

use super::hint::ParserHint;
use super::{Condition, labels};
use crate::component::{Context, Kind, Step, StepPlan};
use schema::Schema;

mod audit;
mod schema;

#[cfg(test)]
mod tests;

/// A record's time further ahead of its arrival than this is marked ([`names::MARK_CLOCK`]).
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// A record's time further behind its arrival than this is marked. Old files are read when Sawyer first starts on
/// a machine, so that months are nothing unusual.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Most fields of a record that room is made for before they are found.
const FIELDS_EACH_MAX: usize = 32;

/// What an input says of a line by itself; a record with nothing else of its own was not parsed.
const OF_THE_LINE: [&str; 5] =
    [names::MESSAGE, names::MARK, names::ORIGINAL_BASE64, names::LENGTH, names::HASH];

choice! {
    /// How lines are written.
    pub enum ParseFormat {
        /// Each line's format is found out.
        Auto = "auto",
        /// One JSON object a line.
        Json = "json",
        /// `key=value key="a value"`.
        Logfmt = "logfmt",
        /// `I1120 09:43:55.695860    4758 server.go:632] message`, of Kubernetes' own programs.
        Klog = "klog",
        /// The common or combined log format of Apache httpd and nginx.
        AccessLog = "access_log",
        /// Text; level and time are read from the usual places at its start.
        Plain = "plain",
    }
}

settings! {
    /// Reads what lines say into fields: JSON, logfmt, klog, access logs, and level and time of plain text. The
    /// names that programs use for the common fields (`msg`, `severity`, `ts` …) become `message`, `level`,
    /// `timestamp`, `service`, `env`, `trace_id`, `span_id`. A line whose message is only a part of it is kept as
    /// written in `_original`. Events of a Kubernetes audit log get a message that says who did what, the time of
    /// their stage, and a level by the answer. A record whose body names no service gets `service` from the pod's labels, its workload
    /// or its container, and `env` from labels. Records that were parsed before are left alone. Every pipeline has it behind
    /// `mask`; `parse: off` leaves it out.
    pub struct ParseSettings {
        /// How lines are written. Naming a format saves finding it out, and reads lines that look like another;
        /// lines that do not have it stay as they are.
        pub format: ParseFormat = ParseFormat::Auto,
        /// Whether the time that a line says counts, where the container runtime or the journal says one too. By
        /// default theirs is the record's `timestamp`, and the line's is kept in `body.timestamp`: theirs is in
        /// order, and the clock is the node's.
        pub prefer_body_time: bool = false,
        /// Whether `service` and `env` are filled in from what is known of the pod, where the body does not tell them.
        pub fill: bool = true,
        /// Whether annotations of pods that say how their lines are written (`sawyer.dev/parser`) take the place of
        /// `format`.
        pub hints: bool = true,
        /// Which records are parsed, in KQL. All by default.
        pub when: Option<Condition>,
    }
}

impl ParseFormat {
    fn format(self) -> Option<Format> {
        match self {
            Self::Auto => None,
            Self::Json => Some(Format::Json),
            Self::Logfmt => Some(Format::Logfmt),
            Self::Klog => Some(Format::Klog),
            Self::AccessLog => Some(Format::AccessLog),
            Self::Plain => Some(Format::Plain),
        }
    }
}

/// The kind `parse`.
pub(super) fn kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "parse",
        reference: ParseSettings::reference,
        read: Box::new(|at, problems| Some(Box::new(ParsePlan(ParseSettings::read(at, problems)?)))),
    }
}

#[derive(Debug)]
struct ParsePlan(ParseSettings);

struct Parse {
    settings: ParseSettings,
    parser: Parser,
    schema: Schema,
    /// How many fields the records of the last batch had: room for those of the next.
    fields_each: usize,
    /// Records by the format that they turned out to have, in the order of [`Format::ALL`].
    parsed: [Counter; Format::ALL.len()],
}

impl StepPlan for ParsePlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error> {
        let parsed = Format::ALL.map(|format| {
            let [step, pipeline] = labels(context);
            let help = "Records parsed, by format, step and pipeline";
            let labels = [("format", format.name()), step, pipeline];
            context.metrics.counter("sawyer_step_parsed_records", help, &labels)
        });
        let (parser, schema) = (Parser::default(), Schema::default());
        Ok(Box::new(Parse { settings: self.0, parser, schema, fields_each: 1, parsed }))
    }
}

impl Step for Parse {
    fn apply(&mut self, mut transfer: Transfer, out: &mut Vec<Transfer>) {
        let batch = Arc::make_mut(&mut transfer.batch);
        let mut parsed = [0; Format::ALL.len()];
        let formats = self.formats(batch);
        batch.reserve_fields(batch.len() * self.fields_each);
        let mut audit = Known::default();
        for at in 0..batch.len() {
            let Some(format) = formats[batch.get(at).stream_index()] else { continue };
            if let Some(format) = self.parse(batch, at, format, &mut audit) {
                parsed[format as usize] += 1;
            }
        }
        let fields: usize = batch.iter().map(|record| record.own_fields_by_id().len()).sum();
        self.fields_each = fields.div_ceil(batch.len().max(1)).min(FIELDS_EACH_MAX);
        for (counter, parsed) in self.parsed.iter().zip(parsed) {
            counter.inc_by(parsed);
        }
        if self.settings.fill {
            self.schema.fill(batch);
        }
        out.push(transfer);
    }
}

impl Parse {
    /// How the lines of each stream are written, if that is said; nothing for those that are left as they are.
    fn formats(&self, batch: &Batch) -> Vec<Option<Option<Format>>> {
        let usual = self.settings.format.format();
        let of = |stream: &Arc<Stream>| match ParserHint::of(stream).filter(|_| self.settings.hints) {
            None => Some(usual),
            Some(ParserHint::Auto) => Some(None),
            Some(ParserHint::Off) => None,
            Some(ParserHint::Format(format)) => Some(Some(format)),
        };
        batch.streams().iter().map(of).collect()
    }

    fn parse(
        &mut self,
        batch: &mut Batch,
        at: usize,
        format: Option<Format>,
        audit: &mut Known,
    ) -> Option<Format> {
        let view = batch.get(at);
        let wanted = self.settings.when.as_ref().is_none_or(|when| when.matches(view));
        if !wanted || self.is_parsed(view, format) {
            return None;
        }
        let marked = is_marked(view);
        // An input that is told no time by anybody takes that of arrival.
        let own_time = self.settings.prefer_body_time || view.timestamp() == view.observed();
        let rules = Rules { format, own_time };
        let format = self.parser.apply(&mut batch.edit(at), &rules);
        let may_be_audit = format == Format::Json && audit.is_had_by(batch, at);
        let record = &mut batch.edit(at);
        if may_be_audit {
            audit::apply(record, own_time);
        }
        let view = record.as_ref();
        if is_off(view.timestamp(), view.observed()) {
            record.mark(names::MARK_CLOCK);
        } else if own_time && !marked && is_marked(view) {
            unmark(record);
        }
        Some(format)
    }

    /// Whether the record has what its message says already.
    fn is_parsed(&mut self, record: RecordRef<'_>, format: Option<Format>) -> bool {
        let mut others = record.own_fields().map(|(name, _)| name).filter(|name| !OF_THE_LINE.contains(name));
        let Some(first) = others.next() else { return false };
        if first == names::ORIGINAL || others.any(|name| name == names::ORIGINAL) {
            return true;
        }
        let mut comparison = Comparison { record, same: false };
        self.parser.parse(record.message(), format, record.observed(), &mut comparison);
        comparison.same
    }
}

/// The number of the audit event's name in a batch, if it has one; looked for when the batch has got names.
#[derive(Default)]
struct Known {
    names: usize,
    id: Option<NameId>,
}

impl Known {
    fn is_had_by(&mut self, batch: &Batch, at: usize) -> bool {
        if self.names != batch.name_count() {
            *self = Self { names: batch.name_count(), id: batch.find_name(audit::AUDIT_ID) };
        }
        self.id.is_some_and(|id| batch.get(at).get_by_id(id).is_some())
    }
}

/// Looks whether a record has any of the fields that are found in its message.
struct Comparison<'a> {
    record: RecordRef<'a>,
    same: bool,
}

impl FieldSink for Comparison<'_> {
    fn field(&mut self, name: &str, value: ValueRef<'_>) {
        // Level, time and service tell nothing: the journal, for one, has them as well.
        if self.same || matches!(name, names::MESSAGE | names::LEVEL | names::TIMESTAMP | names::SERVICE) {
            return;
        }
        self.same = match self.record.get(name) {
            Some(ValueRef::List(list)) => list.iter().any(|known| known == value),
            known => known == Some(value),
        };
    }

    fn list(&mut self, _: &str) {}

    fn reset(&mut self) {
        self.same = false;
    }
}

fn is_off(time: Timestamp, observed: Timestamp) -> bool {
    time.since(observed) > CLOCK_AHEAD_MAX || observed.since(time) > CLOCK_BEHIND_MAX
}

fn is_marked(record: RecordRef<'_>) -> bool {
    record.marks().any(|mark| mark == names::MARK_CLOCK)
}

/// Takes back the mark that codec sets on every time that is not of the day of arrival.
fn unmark(record: &mut RecordEditor<'_>) {
    let others = record.as_ref().marks().filter(|mark| *mark != names::MARK_CLOCK).map(str::to_owned);
    let others: Vec<String> = others.collect();
    record.remove(names::MARK);
    record.extend(others.iter().map(|mark| (names::MARK, ValueRef::Str(mark))));
}
