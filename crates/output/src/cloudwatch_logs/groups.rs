//! Log groups and streams: which one a record goes to, and making those that are not there.
//!
//! Owns: their names, the requests that make them. Does not own: sending (`target`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_config::{At, Problems};
use sawyer_model::RecordRef;
use sawyer_telemetry::{Clock, Seldom};
use serde_json::{Value as Json, json};

use super::settings::GroupClass;
use crate::naming::{Name, Rule};

/// What the service accepts as a name (API reference, `CreateLogGroup`, `CreateLogStream`).
const GROUP: Rule = Rule {
    what: "a log group",
    bytes_max: 512,
    allows: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | '#'),
};
const STREAM: Rule =
    Rule { what: "a log stream", bytes_max: 512, allows: |c| !c.is_control() && !matches!(c, ':' | '*') };

/// How often it is told that a retention could not be set.
const LOG_INTERVAL: Duration = Duration::from_secs(300);

/// Where records go.
#[derive(Clone, Debug)]
pub(super) struct Places {
    group: Name,
    stream: Name,
}

/// How a group is made.
#[derive(Debug)]
pub(super) struct NewGroup {
    pub(super) create: bool,
    pub(super) retention_days: Option<u32>,
    pub(super) class: GroupClass,
    pub(super) tags: BTreeMap<String, String>,
}

/// Makes groups.
pub(super) struct Groups {
    new: NewGroup,
    /// Groups that were made here and have no retention yet.
    unlimited: Mutex<BTreeSet<String>>,
    seldom: Seldom,
    clock: Clock,
}

impl Places {
    pub(super) fn parse(group: &str, stream: &str, at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let mut read = |text: &str, rule: &Rule, key: &str| {
            let name = Name::parse(text, rule);
            name.map_err(|why| problems.push(&at.key(key), why)).ok()
        };
        let group_name = read(group, &GROUP, "group");
        let stream = read(stream, &STREAM, "stream");
        if group.starts_with("aws/") {
            problems.push(&at.key("group"), "the name of a log group cannot begin with `aws/`");
            return None;
        }
        Some(Self { group: group_name?, stream: stream? })
    }

    /// Group and stream of a record.
    pub(super) fn of(&self, record: RecordRef<'_>) -> (String, String) {
        let mut group = self.group.of(record, &GROUP);
        // A field may begin a name, and this is kept for the service itself.
        if group.starts_with("aws/") {
            group.replace_range(3..4, "_");
        }
        (group, self.stream.of(record, &STREAM))
    }
}

impl Groups {
    pub(super) fn new(new: NewGroup, clock: Clock) -> Self {
        Self { new, unlimited: Mutex::default(), seldom: Seldom::new(LOG_INTERVAL), clock }
    }

    /// Whether groups are made at all.
    pub(super) fn creates(&self) -> bool {
        self.new.create
    }

    /// The request that makes a group.
    pub(super) fn request(&self, group: &str) -> Json {
        let mut request = json!({ "logGroupName": group });
        if self.new.class == GroupClass::InfrequentAccess {
            request["logGroupClass"] = json!("INFREQUENT_ACCESS");
        }
        if !self.new.tags.is_empty() {
            request["tags"] = json!(self.new.tags);
        }
        request
    }

    /// A group was made here: its retention is still to be set.
    pub(super) fn made(&self, group: &str) {
        tracing::info!(group, "log group made");
        if self.new.retention_days.is_some() {
            self.unlimited.lock().insert(group.to_owned());
        }
    }

    /// The request that sets the retention of a group, if it has none yet.
    pub(super) fn retention(&self, group: &str) -> Option<Json> {
        let days = self.new.retention_days?;
        self.unlimited
            .lock()
            .contains(group)
            .then(|| json!({ "logGroupName": group, "retentionInDays": days }))
    }

    /// What became of that request.
    pub(super) fn retention_set(&self, group: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => drop(self.unlimited.lock().remove(group)),
            Err(error) => {
                if let Some(held_back) = self.seldom.pass(self.clock.now()) {
                    tracing::warn!(
                        group,
                        error,
                        held_back,
                        "cannot set the retention of a log group; it is tried again"
                    );
                }
            }
        }
    }
}
