//! The steps `drop` and `keep`: which records go on.
//!
//! Owns: leaving records out by a rule, and counting them.
//! Does not own: the condition's meaning (`query`).
//! Invariant: what a dropped record covers stays covered, so that its source moves on.

use std::sync::Arc;

use sawyer_config::{Setting, Settings, settings};
use sawyer_model::{Error, Fate, LeftOut, RecordRef, Transfer};
use sawyer_telemetry::Counter;

use super::{Condition, dropped};
use crate::component::{Context, Kind, Step, StepPlan};

#[cfg(test)]
mod tests;

settings! {
    /// Drops records for which a condition holds. They are counted, and not sent anywhere.
    pub struct DropSettings {
        /// Which records are dropped, in KQL.
        pub when: Condition,
        /// What the rule is called where its records are counted. Its condition by default.
        pub name: Option<String>,
    }
    /// Keeps records for which a condition holds, and drops all others. They are counted, and not sent anywhere.
    pub struct KeepSettings {
        /// Which records are kept, in KQL.
        pub when: Condition,
        /// What the rule is called where the others are counted. Its condition by default.
        pub name: Option<String>,
    }
}

/// The kind `drop`.
pub(super) fn drop_kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "drop",
        reference: DropSettings::reference,
        read: Box::new(|at, problems| {
            let DropSettings { when, name } = DropSettings::read(at, problems)?;
            Some(Box::new(FilterPlan { when, name, keeps: false }))
        }),
    }
}

/// The kind `keep`.
pub(super) fn keep_kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "keep",
        reference: KeepSettings::reference,
        read: Box::new(|at, problems| {
            let KeepSettings { when, name } = KeepSettings::read(at, problems)?;
            Some(Box::new(FilterPlan { when, name, keeps: true }))
        }),
    }
}

#[derive(Debug)]
struct FilterPlan {
    when: Condition,
    name: Option<String>,
    /// Whether those for which the condition holds go on, else the others.
    keeps: bool,
}

struct Filter {
    plan: FilterPlan,
    dropped: Counter,
    rule: Arc<str>,
}

impl StepPlan for FilterPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error> {
        let rule: Arc<str> = self.name.as_deref().unwrap_or(self.when.text()).into();
        let dropped = dropped(context, &rule);
        Ok(Box::new(Filter { plan: *self, dropped, rule }))
    }
}

impl Step for Filter {
    fn apply(&mut self, mut transfer: Transfer, out: &mut Vec<Transfer>) {
        let FilterPlan { when, keeps, .. } = &self.plan;
        let goes_on = |record: RecordRef<'_>| when.matches(record) == *keeps;
        // Batches that lose nothing are not copied where another pipeline shares them.
        if !transfer.batch.iter().all(goes_on) {
            let mut left_out = LeftOut::default();
            Arc::make_mut(&mut transfer.batch).retain(|record| {
                let goes_on = goes_on(record);
                if !goes_on {
                    left_out.add(record);
                }
                goes_on
            });
            self.dropped.inc_by(left_out.records());
            transfer.ack.note(Fate::Filtered, &self.rule, &left_out);
        }
        out.push(transfer);
    }
}
