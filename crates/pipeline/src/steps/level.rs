//! The step `level`: how bad a record is, by other fields, other words, or a rule.
//!
//! Owns: where the level is looked for, and in which order.
//! Does not own: the names that logging libraries use (`sawyer_model::Level`), finding the level in plain lines
//! (`sawyer_codec::body`).
//! Invariant: a level is one of the six names; a record whose level nobody knows keeps what it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sawyer_codec::body::level_of_line;
use sawyer_config::{At, Problems, Setting, Settings, choice, settings};
use sawyer_model::{Error, Level, RecordRef, Transfer, ValueRef, names};
use sawyer_telemetry::Counter;

use super::{Condition, labels};
use crate::component::{Context, Kind, Step, StepPlan};

#[cfg(test)]
mod tests;

choice! {
    /// A level.
    pub enum LevelName {
        /// Finest detail.
        Trace = "trace",
        /// For developers.
        Debug = "debug",
        /// Normal course.
        Info = "info",
        /// Surprising, carried on.
        Warn = "warn",
        /// Something failed.
        Error = "error",
        /// The program or a part of it cannot go on.
        Fatal = "fatal",
    }
}

settings! {
    /// Finds out a record's level, or sets it by a rule. `parse` finds the levels that are written as most programs
    /// write them; this is for the others: `{from: [severity_id], map: {'1': fatal, '2': error}}`, or
    /// `{set: error, when: 'message: "out of memory"'}`.
    pub struct LevelSettings {
        /// The level, whatever the record says.
        pub set: Option<LevelName>,
        /// The fields that tell it; the first of them that tells a level counts. By default the record's own, and
        /// what its body said in a word that `parse` does not know.
        pub from: Vec<String> = vec![names::LEVEL.to_owned(), "body.level".to_owned()],
        /// What words and numbers mean, ignoring case, beside those that are known by themselves.
        pub map: BTreeMap<String, LevelName> = BTreeMap::new(),
        /// The level of records that tell none, also not at the beginning of their message.
        pub default: Option<LevelName>,
        /// Which records are looked at, in KQL. All by default.
        pub when: Option<Condition>,
    }
}

impl LevelName {
    fn level(self) -> Level {
        match self {
            Self::Trace => Level::Trace,
            Self::Debug => Level::Debug,
            Self::Info => Level::Info,
            Self::Warn => Level::Warn,
            Self::Error => Level::Error,
            Self::Fatal => Level::Fatal,
        }
    }
}

/// The kind `level`.
pub(super) fn kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "level",
        reference: LevelSettings::reference,
        read: Box::new(|at, problems| {
            Some(Box::new(LevelSettings::read(at, problems)?.check(at, problems)?))
        }),
    }
}

#[derive(Debug)]
struct LevelPlan {
    set: Option<Level>,
    from: Vec<String>,
    map: HashMap<String, Level>,
    default: Option<Level>,
    when: Option<Condition>,
}

impl LevelSettings {
    fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<LevelPlan> {
        let before = problems.len();
        if self.set.is_some() {
            for key in ["from", "map", "default"] {
                if let Some(at) = at.get(key) {
                    problems
                        .push(&at, "`set` gives the level whatever the record says; take one of both away");
                }
            }
        }
        if self.from.is_empty() {
            problems
                .push(&at.key("from"), "expected at least one field; leave the key out for the usual ones");
        }
        let map = self.map.into_iter().map(|(word, level)| (word.to_lowercase(), level.level())).collect();
        (problems.len() == before).then_some(LevelPlan {
            set: self.set.map(LevelName::level),
            from: self.from,
            map,
            default: self.default.map(LevelName::level),
            when: self.when,
        })
    }
}

impl StepPlan for LevelPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error> {
        let help = "Records whose fields were changed by a rule, by step and pipeline";
        let changed = context.metrics.counter("sawyer_step_changed_records", help, &labels(context));
        Ok(Box::new(SetLevel { plan: *self, changed }))
    }
}

struct SetLevel {
    plan: LevelPlan,
    changed: Counter,
}

impl Step for SetLevel {
    fn apply(&mut self, mut transfer: Transfer, out: &mut Vec<Transfer>) {
        let changes: Vec<(usize, Level)> = transfer
            .batch
            .iter()
            .enumerate()
            .filter_map(|(at, record)| Some((at, self.plan.changed_level(record)?)))
            .collect();
        if !changes.is_empty() {
            let batch = Arc::make_mut(&mut transfer.batch);
            for (at, level) in &changes {
                batch.edit(*at).set(names::LEVEL, ValueRef::Str(level.name()));
            }
            self.changed.inc_by(changes.len() as u64);
        }
        out.push(transfer);
    }
}

impl LevelPlan {
    /// The level that the record is to have, if it has another one.
    fn changed_level(&self, record: RecordRef<'_>) -> Option<Level> {
        if self.when.as_ref().is_some_and(|when| !when.matches(record)) {
            return None;
        }
        let level = self.set.or_else(|| self.told(record)).or_else(|| {
            let has_one = record.get(names::LEVEL).is_some();
            let told = if has_one { None } else { level_of_line(record.message()) };
            told.or(self.default.filter(|_| !has_one))
        })?;
        let known = record.get(names::LEVEL).and_then(ValueRef::as_str);
        (known != Some(level.name())).then_some(level)
    }

    fn told(&self, record: RecordRef<'_>) -> Option<Level> {
        self.from.iter().find_map(|name| match record.get(name)? {
            ValueRef::Str(text) => self.level_of(text.trim()),
            ValueRef::Int(number) => self.level_of(&number.to_string()),
            ValueRef::Bool(value) => self.level_of(if value { "true" } else { "false" }),
            _ => None,
        })
    }

    fn level_of(&self, word: &str) -> Option<Level> {
        let mapped = if self.map.is_empty() { None } else { self.map.get(&word.to_lowercase()).copied() };
        mapped.or_else(|| Level::from_name(word))
    }
}
