//! The parts of Kubernetes' objects that are looked at, as the API writes them in JSON.
//!
//! Owns: names of members. Does not own: what they mean for a record (`pod`).
//! Source: Kubernetes API reference, core/v1 Pod, meta/v1 ObjectMeta, ListMeta, Status and WatchEvent.
//! Invariant: what is missing or null is empty; members that are not named here are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A list as the API answers it.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct List<T> {
    #[serde(default)]
    pub(crate) metadata: ListMeta,
    #[serde(default = "Vec::new", deserialize_with = "or_empty")]
    pub(crate) items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListMeta {
    pub(crate) resource_version: String,
    /// Where the list goes on.
    #[serde(rename = "continue")]
    pub(crate) next: String,
}

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub(crate) metadata: Metadata,
    pub(crate) spec: PodSpec,
}

/// What every object has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) creation_timestamp: String,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) owner_references: Vec<OwnerReference>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OwnerReference {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) controller: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    #[serde(deserialize_with = "or_empty")]
    pub(crate) containers: Vec<Container>,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) init_containers: Vec<Container>,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) ephemeral_containers: Vec<Container>,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) volumes: Vec<Volume>,
}

/// A volume of a pod, of which only one kind is of interest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) empty_dir: Option<EmptyDir>,
}

/// A folder of the pod's own: on the node's disk, if no medium is named.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EmptyDir {
    pub(crate) medium: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) volume_mounts: Vec<VolumeMount>,
}

/// Where a container has a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VolumeMount {
    pub(crate) name: String,
    pub(crate) mount_path: String,
    pub(crate) sub_path: String,
    pub(crate) sub_path_expr: String,
}

/// Any object, of which only what all have is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AnyObject {
    pub(crate) metadata: Metadata,
}

/// What a line of a watch is about.
#[derive(Debug, Deserialize)]
pub(crate) struct WatchKind {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// A line of a watch, once it is known what it is about.
#[derive(Debug, Deserialize)]
pub(crate) struct WatchEvent<T> {
    pub(crate) object: T,
}

/// Why something was refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) message: String,
    pub(crate) code: u16,
}

/// Go writes `null` for a list or map that was never made.
pub(crate) fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}
