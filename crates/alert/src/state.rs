//! What is known about alerts: everything that has to survive a restart, as plain data.
//!
//! Owns: the data and its form in JSON (`docs/FORMATS.md`). Does not own: how it changes (`engine`), the file
//! (`keeper`).
//! Invariant: what a message says is kept with the alert, so that it can be sent after its rule is gone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sawyer_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::silence::Silence;

/// Notifications that were dealt with and are remembered; older ones are forgotten.
pub const HISTORY_MAX: usize = 500;

/// Notifications that wait for one notifier. Beyond it the oldest is given up, and that is told.
pub const QUEUE_MAX: usize = 1000;

/// Bytes of the notifications that wait for one notifier, as [`Notification::bytes`] counts them. Beyond it the oldest
/// is given up too, so that the file of the state can always be read again.
pub const QUEUE_BYTES_MAX: usize = 16 << 20;

/// Alerts in one notification; further ones are only counted.
pub const ALERTS_MAX: usize = 50;

/// Names and values that tell one alert from another.
pub type Labels = BTreeMap<String, String>;

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is so, but not yet for long enough.
    Pending,
    /// It is so.
    Firing,
    /// It was so, and somebody has yet to be told that it is over.
    Resolved,
}

/// A record as a message shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was said.
    #[serde(with = "time")]
    pub time: Timestamp,
    /// Who said it, such as `shop/cart-1`; may be empty.
    pub origin: String,
    /// The beginning of it, on one line.
    pub text: String,
}

/// What was found at the last evaluation at which it was so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The number of records, or the part.
    pub value: f64,
    /// The value as people write it.
    pub value_text: String,
    /// What has to be exceeded.
    pub threshold: String,
    /// The length of the window.
    pub window: String,
    /// Records that matched.
    pub matched: u64,
    /// Records of which they are a part.
    pub total: Option<u64>,
    /// First point in time that was looked at.
    #[serde(with = "time")]
    pub from: Timestamp,
    /// First point in time after.
    #[serde(with = "time")]
    pub to: Timestamp,
    /// The query of exactly these records.
    pub query: String,
    /// Some of them, newest first.
    pub samples: Vec<Sample>,
    /// The address of them in the interface.
    pub link: String,
    /// The first line of a message.
    pub summary: String,
    /// Further text; may be empty.
    pub description: String,
    /// Where one reads what to do; may be empty.
    pub runbook: String,
}

/// One alert: a rule and a combination of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The rule's name.
    pub rule: String,
    /// All labels.
    pub labels: Labels,
    /// Where it stands.
    pub phase: Phase,
    /// The moment since which it is so.
    #[serde(with = "time")]
    pub since: Timestamp,
    /// The moment since which it fires.
    #[serde(with = "time::option")]
    pub fired: Option<Timestamp>,
    /// The last moment at which it was so.
    #[serde(with = "time")]
    pub seen: Timestamp,
    /// The moment since which it is over.
    #[serde(with = "time::option")]
    pub resolved: Option<Timestamp>,
    /// Whom to tell.
    pub notify: Vec<String>,
    /// What was found.
    pub finding: Finding,
}

/// What a notifier knows of a group of alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Who is told.
    pub notifier: String,
    /// The labels that its alerts share.
    pub labels: Labels,
    /// Since when there is something that it does not know.
    #[serde(with = "time::option")]
    pub changed: Option<Timestamp>,
    /// When it was last told something.
    #[serde(with = "time::option")]
    pub told_at: Option<Timestamp>,
    /// The fingerprints of alerts of which it knows that they fire.
    pub told: BTreeSet<String>,
}

/// An alert as a notification tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// See [`fingerprint`].
    pub fingerprint: String,
    /// The rule's name.
    pub rule: String,
    /// All labels.
    pub labels: Labels,
    /// Whether it fires, or is over.
    pub firing: bool,
    /// Since when it fires.
    #[serde(with = "time")]
    pub starts: Timestamp,
    /// Since when it is over.
    #[serde(with = "time::option")]
    pub ends: Option<Timestamp>,
    /// What was found.
    pub finding: Finding,
}

/// Something to tell to somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Its own name: the same however often it is sent.
    pub id: String,
    /// Who is told.
    pub notifier: String,
    /// The labels that its alerts share by the grouping.
    pub group: Labels,
    /// When it was made.
    #[serde(with = "time")]
    pub created: Timestamp,
    /// Nothing has changed: it is told again.
    pub repeated: bool,
    /// Only a test: there is no such alert.
    #[serde(default)]
    pub test: bool,
    /// The alerts: those that fire, then those that are over.
    pub alerts: Vec<Told>,
    /// Alerts beyond [`ALERTS_MAX`].
    pub truncated: usize,
}

/// What became of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "reason")]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// The receiver will never take it, and says why.
    Rejected(String),
    /// It was given up, and why.
    Dropped(String),
}

/// A notification that was dealt with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// See [`Notification::id`].
    pub id: String,
    /// Who was told.
    pub notifier: String,
    /// Whether alerts of it fired.
    pub firing: bool,
    /// Whether it told something again.
    pub repeated: bool,
    /// Only a test.
    #[serde(default)]
    pub test: bool,
    /// The names of the rules.
    pub rules: Vec<String>,
    /// How many alerts it told of.
    pub alerts: usize,
    /// The first line of the first alert.
    pub summary: String,
    /// When it was made.
    #[serde(with = "time")]
    pub created: Timestamp,
    /// When that was done.
    #[serde(with = "time")]
    pub settled: Timestamp,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What is known about a rule's evaluations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The last moment for which it was evaluated.
    #[serde(with = "time::option")]
    pub slot: Option<Timestamp>,
    /// The largest value of its groups.
    pub value: Option<f64>,
    /// The value as people write it.
    pub value_text: String,
    /// How many groups were looked at.
    pub groups: usize,
    /// How many groups were left out because there are too many.
    pub groups_left_out: u64,
    /// There was nothing to judge.
    pub no_data: bool,
    /// Why it could not be evaluated.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// Evaluations that were never made, because Sawyer did not run for too long.
    pub missed: u64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The number of the next notification or silence.
    pub next: u64,
    /// Alerts by fingerprint.
    pub alerts: BTreeMap<String, Alert>,
    /// Groups by notifier and labels; see [`group_key`].
    pub groups: BTreeMap<String, Group>,
    /// What is yet to be told, oldest first.
    pub queue: Vec<Notification>,
    /// What was told, newest first.
    pub history: VecDeque<Past>,
    /// Silences by id.
    pub silences: BTreeMap<String, Silence>,
    /// Evaluations by rule.
    pub rules: BTreeMap<String, Evaluated>,
}

/// The name of an alert at receivers: a hash of its labels.
#[must_use]
pub fn fingerprint(labels: &Labels) -> String {
    let mut bytes = Vec::new();
    for (name, value) in labels {
        for part in [name, value] {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(0xff);
        }
    }
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&bytes))
}

/// The key of a group: the notifier, and the labels.
#[must_use]
pub fn group_key(notifier: &str, labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{notifier}:{{{}}}", labels.join(","))
}

impl Notification {
    /// Whether any of its alerts fires.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        self.alerts.iter().any(|alert| alert.firing)
    }

    /// About as many bytes as it takes in memory and in the file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sum =
            |labels: &Labels| labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let alerts = self.alerts.iter().map(|alert| {
            let found = &alert.finding;
            let samples = found.samples.iter().map(|sample| sample.origin.len() + sample.text.len());
            let texts = [&found.query, &found.link, &found.summary, &found.description, &found.runbook];
            sum(&alert.labels) + texts.map(String::len).iter().sum::<usize>() + samples.sum::<usize>()
        });
        sum(&self.group) + alerts.sum::<usize>()
    }

    /// The same as something that was dealt with.
    #[must_use]
    pub fn into_past(self, settled: Timestamp, fate: Fate) -> Past {
        let mut rules: Vec<String> = self.alerts.iter().map(|alert| alert.rule.clone()).collect();
        rules.sort();
        rules.dedup();
        Past {
            firing: self.is_firing(),
            alerts: self.alerts.len() + self.truncated,
            summary: self.alerts.first().map(|alert| alert.finding.summary.clone()).unwrap_or_default(),
            rules,
            id: self.id,
            notifier: self.notifier,
            repeated: self.repeated,
            test: self.test,
            created: self.created,
            settled,
            fate,
        }
    }
}

/// Times as RFC 3339.
pub(crate) mod time {
    use sawyer_model::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse(&text).map_err(D::Error::custom)
    }

    pub(crate) mod option {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => to.collect_str(time),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| Timestamp::parse(&text).map_err(D::Error::custom)).transpose()
        }
    }
}
