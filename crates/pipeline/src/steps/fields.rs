//! The steps `set`, `rename` and `remove`: fields are given, renamed and taken away by a rule.
//!
//! Owns: which fields may be changed so, and changing those that a record shares with its stream.
//! Does not own: what fields mean.
//! Invariant: a record's time, and what Sawyer itself says of a record (`_…`, `sawyer.…`), is not changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sawyer_config::{At, Kind as NodeKind, Node, Problems, Setting, Settings, settings};
use sawyer_model::{Error, RecordEditor, Stream, Transfer, Value, names};
use sawyer_telemetry::Counter;

use super::{Condition, labels};
use crate::component::{Context, Kind, Step, StepPlan};

#[cfg(test)]
mod tests;

/// Streams whose changed form is remembered; beyond it, all are made anew.
const STREAMS_MAX: usize = 10_000;

settings! {
    /// Gives fields values, such as `env: production`. A field that the record had gets the new value.
    pub struct SetSettings {
        /// Names and values: text, numbers, true or false.
        pub fields: BTreeMap<String, Node>,
        /// Whether fields that the record has already are left as they are.
        pub only_missing: bool = false,
        /// Which records are changed, in KQL. All by default.
        pub when: Option<Condition>,
    }
    /// Gives fields other names. A field that had the new name is replaced.
    pub struct RenameSettings {
        /// Old names and new ones.
        pub fields: BTreeMap<String, String>,
        /// Which records are changed, in KQL. All by default.
        pub when: Option<Condition>,
    }
    /// Takes fields away.
    pub struct RemoveSettings {
        /// Their names; `annotations.*` means all that begin with `annotations.`.
        pub fields: Vec<String>,
        /// Which records are changed, in KQL. All by default.
        pub when: Option<Condition>,
    }
}

/// What is done to a record.
#[derive(Debug)]
enum Action {
    Set { fields: Vec<(String, Value)>, only_missing: bool },
    Rename(Vec<(String, String)>),
    Remove(Vec<Name>),
}

/// A name, or how names begin.
#[derive(Debug)]
struct Name {
    text: String,
    begins: bool,
}

#[derive(Debug)]
struct FieldsPlan {
    action: Action,
    when: Option<Condition>,
}

/// The kind `set`.
pub(super) fn set_kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "set",
        reference: SetSettings::reference,
        read: Box::new(|at, problems| Some(Box::new(SetSettings::read(at, problems)?.check(at, problems)?))),
    }
}

/// The kind `rename`.
pub(super) fn rename_kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "rename",
        reference: RenameSettings::reference,
        read: Box::new(|at, problems| {
            Some(Box::new(RenameSettings::read(at, problems)?.check(at, problems)?))
        }),
    }
}

/// The kind `remove`.
pub(super) fn remove_kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "remove",
        reference: RemoveSettings::reference,
        read: Box::new(|at, problems| {
            Some(Box::new(RemoveSettings::read(at, problems)?.check(at, problems)?))
        }),
    }
}

/// Reports a field that no rule may change.
fn check_name(name: &str, at: &At<'_>, problems: &mut Problems) {
    if name.is_empty() {
        problems.expected(at, "the name of a field");
    } else if is_fixed(name) {
        problems.push(at, format!("the field `{name}` cannot be changed by a step"));
    }
}

fn is_fixed(name: &str) -> bool {
    matches!(name, names::TIMESTAMP | names::OBSERVED) || name.starts_with('_') || name.starts_with("sawyer.")
}

impl SetSettings {
    fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<FieldsPlan> {
        let at = at.key("fields");
        let mut fields = Vec::new();
        let before = problems.len();
        for (name, node) in self.fields {
            let at = at.key(&name);
            check_name(&name, &at, problems);
            let value = match node.kind {
                NodeKind::Bool(value) => Value::Bool(value),
                NodeKind::Int(value) => Value::Int(value),
                NodeKind::Float(value) => Value::Float(value),
                NodeKind::Text(text) => Value::from(text),
                _ => {
                    problems.expected(&at, "text, a number, true or false");
                    continue;
                }
            };
            fields.push((name, value));
        }
        let action = Action::Set { fields, only_missing: self.only_missing };
        (problems.len() == before).then_some(FieldsPlan { action, when: self.when })
    }
}

impl RenameSettings {
    fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<FieldsPlan> {
        let at = at.key("fields");
        let before = problems.len();
        for (from, to) in &self.fields {
            check_name(from, &at.key(from), problems);
            check_name(to, &at.key(from), problems);
            if self.fields.contains_key(to) {
                problems.push(&at.key(from), format!("`{to}` is renamed itself; use two steps"));
            }
        }
        let action = Action::Rename(self.fields.into_iter().collect());
        (problems.len() == before).then_some(FieldsPlan { action, when: self.when })
    }
}

impl RemoveSettings {
    fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<FieldsPlan> {
        let at = at.key("fields");
        let before = problems.len();
        let mut all = Vec::new();
        for (name, at) in self.fields.iter().zip(at.items()) {
            let begins = name.ends_with('*');
            let text = name.trim_end_matches('*').to_owned();
            check_name(&text, &at, problems);
            all.push(Name { text, begins });
        }
        (problems.len() == before).then_some(FieldsPlan { action: Action::Remove(all), when: self.when })
    }
}

impl StepPlan for FieldsPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error> {
        let help = "Records whose fields were changed by a rule, by step and pipeline";
        let changed = context.metrics.counter("sawyer_step_changed_records", help, &labels(context));
        Ok(Box::new(Fields { plan: *self, streams: HashMap::new(), changed }))
    }
}

struct Fields {
    plan: FieldsPlan,
    /// Streams by fingerprint, and what the rule makes of them; none where it changes nothing.
    streams: HashMap<u128, Option<Arc<Stream>>>,
    changed: Counter,
}

impl Step for Fields {
    fn apply(&mut self, mut transfer: Transfer, out: &mut Vec<Transfer>) {
        let matches = |record| self.plan.when.as_ref().is_none_or(|when| when.matches(record));
        let wanted: Vec<usize> = transfer
            .batch
            .iter()
            .enumerate()
            .filter_map(|(at, record)| matches(record).then_some(at))
            .collect();
        if !wanted.is_empty() {
            let batch = Arc::make_mut(&mut transfer.batch);
            for at in &wanted {
                self.change(&mut batch.edit(*at));
            }
            self.changed.inc_by(wanted.len() as u64);
        }
        out.push(transfer);
    }
}

impl Fields {
    fn change(&mut self, record: &mut RecordEditor<'_>) {
        match &self.plan.action {
            Action::Set { fields, only_missing } => {
                for (name, value) in fields {
                    if !(*only_missing && record.as_ref().get(name).is_some()) {
                        record.set(name, value.as_ref());
                    }
                }
            }
            Action::Rename(fields) => {
                for (from, to) in fields {
                    record.rename(from, to);
                }
            }
            Action::Remove(all) => {
                let fields = record.as_ref().own_fields().map(|(name, _)| name);
                let gone: Vec<String> =
                    fields.filter(|name| all.iter().any(|rule| rule.fits(name))).map(str::to_owned).collect();
                for name in gone {
                    record.remove(&name);
                }
            }
        }
        self.change_stream(record);
    }

    /// Does to the fields of the record's stream what is done to its own.
    fn change_stream(&mut self, record: &mut RecordEditor<'_>) {
        if let Action::Set { .. } = self.plan.action {
            return;
        }
        let stream = record.as_ref().stream();
        let fingerprint = stream.fingerprint();
        if !self.streams.contains_key(&fingerprint) {
            if self.streams.len() >= STREAMS_MAX {
                self.streams.clear();
            }
            let changed = self.plan.action.on_stream(stream);
            self.streams.insert(fingerprint, changed);
        }
        if let Some(changed) = &self.streams[&fingerprint] {
            record.set_stream(changed);
        }
    }
}

impl Action {
    fn on_stream(&self, stream: &Stream) -> Option<Arc<Stream>> {
        let name_of = |name: &str| match self {
            Self::Set { .. } => Some(name.to_owned()),
            Self::Rename(fields) => {
                let renamed = fields.iter().find(|(from, _)| from == name).map(|(_, to)| to.clone());
                renamed.or_else(|| Some(name.to_owned()))
            }
            Self::Remove(all) => (!all.iter().any(|rule| rule.fits(name))).then(|| name.to_owned()),
        };
        let fields = stream.fields().iter();
        let changed: Vec<(String, Value)> =
            fields.filter_map(|(name, value)| Some((name_of(name)?, value.clone()))).collect();
        let changed = Stream::new(changed);
        (changed.fingerprint() != stream.fingerprint()).then(|| Arc::new(changed))
    }
}

impl Name {
    /// What Sawyer says of a record is kept, whatever its name begins with.
    fn fits(&self, name: &str) -> bool {
        let known = if self.begins { name.starts_with(&self.text) } else { name == self.text };
        known && !is_fixed(name)
    }
}
