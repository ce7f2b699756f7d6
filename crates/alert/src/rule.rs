//! A rule that was checked.
//!
//! Owns: what a rule is, when it is evaluated, and reading one alone (for the API).
//! Does not own: its keys (`settings`), evaluating it (`measure`).

use std::collections::BTreeMap;

use sawyer_config::{Document, Problems, Setting};
use sawyer_model::Timestamp;

use crate::settings::RuleSettings;
use crate::threshold::Threshold;

/// Longest name of a rule or a notifier; names are parts of addresses and of keys at receivers.
const NAME_CHARS_MAX: usize = 100;

/// What a rule asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Are there so many records?
    Count(Threshold),
    /// Are they such a part of others?
    Ratio(Threshold),
    /// Is there none?
    Absence,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it asks.
    pub kind: Kind,
    /// The rest, as it was set.
    pub settings: RuleSettings,
}

/// Whether a text is a name.
pub(crate) fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    (1..=NAME_CHARS_MAX).contains(&text.chars().count()) && text.chars().all(good)
}

impl Rule {
    /// A rule of settings that were checked.
    pub(crate) fn new(name: String, settings: RuleSettings) -> Self {
        let kind = match (settings.count, settings.ratio) {
            (Some(threshold), _) => Kind::Count(threshold),
            (None, Some(threshold)) => Kind::Ratio(threshold),
            (None, None) => Kind::Absence,
        };
        Self { name, kind, settings }
    }

    /// Reads a rule from a text of its own, in YAML or JSON. References to the environment and to files are not
    /// filled in: whoever may use the API may not read those.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(name: &str, text: &str, notifiers: &[String]) -> Result<Self, Problems> {
        let document = Document::parse("rule", &plain(text))?;
        let mut problems = Problems::new();
        let at = document.at();
        let rule = RuleSettings::read(&at, &mut problems)
            .and_then(|settings| settings.check(name, notifiers, &at, &mut problems));
        problems.into_result(rule)
    }

    /// The labels that all its alerts have.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.settings.labels.clone();
        labels.insert("alertname".to_owned(), self.name.clone());
        labels.insert("severity".to_owned(), self.settings.severity.to_string());
        labels
    }

    /// What has to be exceeded, in words.
    #[must_use]
    pub fn threshold_text(&self) -> String {
        match self.kind {
            Kind::Count(threshold) | Kind::Ratio(threshold) => threshold.to_string(),
            Kind::Absence => "none".to_owned(),
        }
    }

    /// The last moment of evaluation that is due at `now`. Moments are whole multiples of the interval, so that they
    /// are the same after a restart.
    #[must_use]
    pub fn slot(&self, now: Timestamp) -> Timestamp {
        let interval = self.interval_nanos();
        let ended = now.saturating_sub(self.settings.lateness).nanos();
        Timestamp::from_nanos(ended - ended.rem_euclid(interval))
    }

    /// The moment of evaluation after this one.
    #[must_use]
    pub fn slot_after(&self, slot: Timestamp) -> Timestamp {
        slot.saturating_add(self.settings.interval)
    }

    /// When the evaluation of a moment is made.
    #[must_use]
    pub fn due_at(&self, slot: Timestamp) -> Timestamp {
        slot.saturating_add(self.settings.lateness)
    }

    fn interval_nanos(&self) -> i64 {
        i64::try_from(self.settings.interval.as_nanos()).unwrap_or(i64::MAX).max(1)
    }
}

/// A text in which nothing is filled in. JSON's escapes are resolved first, because YAML has no pairs of surrogates.
fn plain(text: &str) -> String {
    let resolved = match text.contains("\\u") || text.contains('\t') {
        true => serde_json::from_str::<serde_json::Value>(text).ok().map(|value| value.to_string()),
        false => None,
    };
    resolved.as_deref().unwrap_or(text).replace("${", "$${")
}
