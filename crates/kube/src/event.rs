//! What an event of the cluster says, as fields of a record.
//!
//! Owns: both forms of events (core/v1, events.k8s.io/v1), what they are about, how bad they are, when they were.
//! Does not own: reading them (`events`), to what a pod belongs (`workloads`).
//! Source: Kubernetes API reference, core/v1 Event and events.k8s.io/v1 Event.
//! Invariant: what an event is about becomes identity only where it is certain by the event itself.

use sawyer_model::{Level, Timestamp, Value, names};
use serde::Deserialize;

use crate::client::KubeError;
use crate::objects::{Metadata, or_empty};

/// An event in either of its forms; members of the newer one have their names as aliases.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Event {
    pub(crate) metadata: Metadata,
    #[serde(alias = "regarding", deserialize_with = "or_empty")]
    pub(crate) involved_object: ObjectReference,
    #[serde(deserialize_with = "or_empty")]
    related: ObjectReference,
    #[serde(deserialize_with = "or_empty")]
    reason: String,
    #[serde(alias = "note", deserialize_with = "or_empty")]
    message: String,
    #[serde(alias = "deprecatedSource", deserialize_with = "or_empty")]
    source: EventSource,
    #[serde(alias = "deprecatedFirstTimestamp")]
    first_timestamp: Option<String>,
    #[serde(alias = "deprecatedLastTimestamp")]
    last_timestamp: Option<String>,
    #[serde(alias = "deprecatedCount")]
    count: Option<i64>,
    #[serde(rename = "type", deserialize_with = "or_empty")]
    kind: String,
    event_time: Option<String>,
    series: Option<Series>,
    #[serde(deserialize_with = "or_empty")]
    action: String,
    #[serde(alias = "reportingController", deserialize_with = "or_empty")]
    reporting_component: String,
    #[serde(deserialize_with = "or_empty")]
    reporting_instance: String,
}

/// What an event is about.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ObjectReference {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    field_path: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct EventSource {
    component: String,
    host: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    count: i64,
    last_observed_time: Option<String>,
}

/// What becomes a record.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// The event's version in the cluster: each of its writes has one of its own.
    pub version: u64,
    /// When it happened last.
    pub timestamp: Option<Timestamp>,
    /// Whom it is about.
    pub identity: Vec<(Box<str>, Value)>,
    /// The rest, `message` and `level` among them.
    pub fields: Vec<(Box<str>, Value)>,
}

/// Kinds that are workloads themselves.
const WORKLOADS: [&str; 7] =
    ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "ReplicaSet", "ReplicationController"];

/// What is kept of a message, in bytes; the API takes 1 KiB, and controllers of one's own may write more.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// How far a word that touches the cut is left out.
const WORD_BYTES_MAX: usize = 16 << 10;

impl Event {
    /// What is said; `workload` are fields that are known of the pod that it is about.
    pub(crate) fn record(self, workload: Vec<(Box<str>, Value)>) -> Result<EventRecord, KubeError> {
        Ok(EventRecord {
            version: version(&self.metadata.resource_version)?,
            timestamp: self.timestamp(),
            identity: self.identity(workload),
            fields: self.fields(),
        })
    }

    /// The latest time that it says; its making if it says none.
    fn timestamp(&self) -> Option<Timestamp> {
        let series = self.series.as_ref().and_then(|series| series.last_observed_time.as_deref());
        let said = [
            series,
            self.last_timestamp.as_deref(),
            self.event_time.as_deref(),
            self.first_timestamp.as_deref(),
        ];
        let latest = said.into_iter().flatten().filter_map(|time| Timestamp::parse(time).ok()).max();
        latest.or_else(|| Timestamp::parse(&self.metadata.creation_timestamp).ok())
    }

    fn identity(&self, workload: Vec<(Box<str>, Value)>) -> Vec<(Box<str>, Value)> {
        let about = &self.involved_object;
        // An event about what has no namespace lies in `default`, which says nothing.
        let namespace = if about.kind == "Namespace" { &about.name } else { &about.namespace };
        let mut all = workload;
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                all.push((name.into(), Value::from(value)));
            }
        };
        add(names::SOURCE, "kubernetes_events");
        add(names::NAMESPACE, namespace);
        match about.kind.as_str() {
            "Pod" => {
                add(names::POD, &about.name);
                add(names::POD_UID, &about.uid);
                add(names::CONTAINER, container(&about.field_path).unwrap_or_default());
                add(names::NODE, &self.source.host);
            }
            "Node" => add(names::NODE, &about.name),
            kind if WORKLOADS.contains(&kind) => {
                add(names::WORKLOAD, &about.name);
                add(names::WORKLOAD_KIND, kind);
            }
            _ => {}
        }
        all
    }

    fn fields(&self) -> Vec<(Box<str>, Value)> {
        let (about, related) = (&self.involved_object, &self.related);
        let message = kept(&self.message);
        let message = if message.is_empty() { &self.reason } else { message };
        let component = if self.reporting_component.is_empty() {
            &self.source.component
        } else {
            &self.reporting_component
        };
        let mut all: Vec<(Box<str>, Value)> = vec![
            (names::MESSAGE.into(), Value::from(message)),
            (names::LEVEL.into(), Value::from(self.level().name())),
        ];
        for (name, value) in [
            ("event.reason", &self.reason),
            ("event.type", &self.kind),
            ("event.action", &self.action),
            ("event.component", component),
            ("event.instance", &self.reporting_instance),
            ("event.name", &self.metadata.name),
            ("event.uid", &self.metadata.uid),
            ("object.kind", &about.kind),
            ("object.name", &about.name),
            ("object.namespace", &about.namespace),
            ("object.uid", &about.uid),
            ("object.api_version", &about.api_version),
            ("object.field_path", &about.field_path),
            ("related.kind", &related.kind),
            ("related.name", &related.name),
            ("related.namespace", &related.namespace),
        ] {
            if !value.is_empty() {
                all.push((name.into(), Value::from(value.as_str())));
            }
        }
        all.push(("event.count".into(), Value::Int(self.count())));
        let first = self.first_timestamp.as_deref().or(self.event_time.as_deref());
        if let Some(first) = first.and_then(|first| Timestamp::parse(first).ok()) {
            all.push(("event.first_seen".into(), Value::Timestamp(first)));
        }
        all
    }

    /// How often it has happened until now.
    fn count(&self) -> i64 {
        let series = self.series.as_ref().map(|series| series.count);
        series.max(self.count).unwrap_or(1).max(1)
    }

    fn level(&self) -> Level {
        match self.kind.as_str() {
            "Normal" => Level::Info,
            "Warning" => Level::Warn,
            other => Level::from_name(other).unwrap_or(Level::Info),
        }
    }
}

/// What is kept of a message. The word that touches the cut is left out, because half a secret is not known as one.
fn kept(message: &str) -> &str {
    if message.len() <= MESSAGE_BYTES_MAX {
        return message;
    }
    let kept = &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)];
    let floor = kept.floor_char_boundary(MESSAGE_BYTES_MAX - WORD_BYTES_MAX);
    kept[floor..].rfind(|c: char| c.is_whitespace() || c == '"').map_or(kept, |at| &kept[..floor + at])
}

/// The container in `spec.containers{app}`, `spec.initContainers{setup}`.
fn container(field_path: &str) -> Option<&str> {
    let (list, rest) = field_path.split_once('{')?;
    let name = rest.strip_suffix('}')?;
    matches!(list, "spec.containers" | "spec.initContainers" | "spec.ephemeralContainers").then_some(name)
}

/// A version as a number.
pub(crate) fn version(text: &str) -> Result<u64, KubeError> {
    text.parse().map_err(|_| KubeError::Version(text.chars().take(100).collect()))
}
