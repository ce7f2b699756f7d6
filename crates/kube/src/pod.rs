//! What is kept of a pod, and which fields and hints come of it.
//!
//! Owns: names of fields, well-known labels, annotations that tell how a pod's logs are to be read.
//! Does not own: identity: namespace, pod and container come from where the log lies.

use std::collections::BTreeMap;

use sawyer_model::{Value, names};

use crate::objects::{Metadata, OwnerReference, Pod};
use crate::owner::{Owner, likely_owner};
use crate::volume::{self, VolumeFiles};

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInfo {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) owner: Option<Owner>,
    /// The owner that the pod itself names, while it is not certain whom that belongs to.
    pub(crate) ask: Option<OwnerReference>,
    /// Images by the names of containers.
    images: BTreeMap<String, String>,
    /// Under what its logs are known besides its uid, see [`mirror_key`].
    mirror_key: Option<String>,
    files: Vec<VolumeFiles>,
    /// What annotations name as files and is in no volume of the pod's own.
    files_lost: Vec<String>,
}

/// Which labels and annotations become fields.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of labels, with `*` and `?`.
    pub labels: Vec<String>,
    /// Of annotations, with `*` and `?`.
    pub annotations: Vec<String>,
}

/// How an output of a container is to be read, by the word of whoever wrote the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Not at all.
    pub exclude: bool,
    /// By this format.
    pub parser: Option<String>,
    /// How lines are grouped.
    pub multiline: Option<String>,
    /// What is said of it and cannot be done.
    pub unknown: Vec<String>,
}

/// The labels that say which service it is, the most preferred first.
const SERVICE_LABELS: [&str; 4] = ["tags.datadoghq.com/service", "app.kubernetes.io/name", "app", "k8s-app"];

/// The labels that say which environment it is, the most preferred first.
const ENV_LABELS: [&str; 4] =
    ["tags.datadoghq.com/env", "app.kubernetes.io/environment", "environment", "env"];

/// Annotations that tell how logs are to be read begin with one of these.
const HINTS: [&str; 3] = ["sawyer.dev/", "fluentbit.io/", "co.elastic.logs"];

/// What is kept of the value of an annotation, in bytes. The API takes 256 KiB for all of a pod; nobody searches for
/// more than the beginning of one, so the rest is cut off.
const ANNOTATION_BYTES_MAX: usize = 4 << 10;

/// The kubelet's own name for a pod that it read from a file; folders of logs have it.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// Where the kubelet has a pod from. The API server knows pods from elsewhere as mirrors only.
const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

impl PodInfo {
    /// What of a pod is kept, for the fields that are chosen.
    #[must_use]
    pub fn of(pod: &Pod, selection: &[String]) -> Self {
        let metadata = &pod.metadata;
        let spec = &pod.spec;
        let containers =
            spec.containers.iter().chain(&spec.init_containers).chain(&spec.ephemeral_containers);
        let (owner, ask) = likely_owner(metadata);
        let all = metadata.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let (files, files_lost) = volume::files(all, spec);
        let is_kept = |key: &str| {
            HINTS.iter().any(|hint| key.starts_with(hint)) || selection.iter().any(|one| matches(one, key))
        };
        let annotations = metadata.annotations.iter().filter(|(key, _)| is_kept(key));
        let annotations = annotations
            .map(|(key, value)| {
                (key.clone(), value[..value.floor_char_boundary(ANNOTATION_BYTES_MAX)].to_owned())
            })
            .collect();
        Self {
            uid: metadata.uid.clone(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            labels: metadata.labels.clone(),
            annotations,
            owner,
            ask,
            images: containers.map(|one| (one.name.clone(), one.image.clone())).collect(),
            mirror_key: config_hash(metadata)
                .map(|hash| mirror_key(hash, &metadata.namespace, &metadata.name)),
            files,
            files_lost,
        }
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its folder at the kubelet: its uid, or what stands in place of that for a pod from a file.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.mirror_key.as_deref().and_then(|key| key.split('/').next()).unwrap_or(&self.uid)
    }

    /// The log files that it writes into its volumes, by its annotations.
    #[must_use]
    pub fn files(&self) -> &[VolumeFiles] {
        &self.files
    }

    /// What the pod is known under.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.uid.as_str()).chain(self.mirror_key.as_deref())
    }

    /// Whether this is the pod's name.
    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The fields of all records of a container.
    #[must_use]
    pub fn fields(&self, container: &str, selection: &Selection) -> Vec<(Box<str>, Value)> {
        let mut fields: Vec<(Box<str>, Value)> = Vec::new();
        let mut add = |name: &str, value: &str| fields.push((name.into(), Value::from(value)));
        if let Some(owner) = &self.owner {
            add(names::WORKLOAD, &owner.name);
            add(names::WORKLOAD_KIND, &owner.kind);
        }
        if let Some(image) = self.images.get(container).filter(|image| !image.is_empty()) {
            add(names::IMAGE, image);
        }
        for (name, labels) in [(names::SERVICE, SERVICE_LABELS), (names::ENV, ENV_LABELS)] {
            let value = labels.into_iter().find_map(|label| self.labels.get(label));
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                add(name, value);
            }
        }
        for (prefix, chosen, all) in [
            ("labels", &selection.labels, &self.labels),
            ("annotations", &selection.annotations, &self.annotations),
        ] {
            for (key, value) in all.iter().filter(|(key, _)| chosen.iter().any(|one| matches(one, key))) {
                add(&format!("{prefix}.{key}"), value);
            }
        }
        fields
    }

    /// The fields that chosen labels of its namespace make.
    #[must_use]
    pub fn namespace_fields(labels: &BTreeMap<String, String>, chosen: &[String]) -> Vec<(Box<str>, Value)> {
        let wanted = labels.iter().filter(|(key, _)| chosen.iter().any(|one| matches(one, key)));
        wanted
            .map(|(key, value)| (format!("namespace_labels.{key}").into(), Value::from(value.as_str())))
            .collect()
    }

    /// What annotations say about one output of a container, `stdout` or `stderr`; without, about its lines that are of neither.
    #[must_use]
    pub fn hints(&self, container: &str, stream: Option<&str>) -> Hints {
        let get = |name: &str| self.annotations.get(name).map(|value| value.trim());
        // The stream stands behind the name, and the container behind that: `fluentbit.io/exclude_stdout-app`. What is said of a
        // stream counts before what is said of both, then what is said of the container.
        let nearest = |name: &str, sign: &str| {
            let of_container = |name: &str| get(&format!("{name}{sign}{container}")).or_else(|| get(name));
            let of_stream = stream.and_then(|stream| of_container(&format!("{name}_{stream}")));
            of_stream.or_else(|| of_container(name))
        };
        let own = |name: &str| nearest(&format!("sawyer.dev/{name}"), ".");
        let fluent = |name: &str| nearest(&format!("fluentbit.io/{name}"), "-");
        let elastic =
            get(&format!("co.elastic.logs.{container}/enabled")).or_else(|| get("co.elastic.logs/enabled"));
        let yes = |value: Option<&str>| matches!(value, Some("true" | "yes" | "1"));
        let no = |value: Option<&str>| matches!(value, Some("false" | "no" | "0"));
        let excluded = own("exclude");
        let exclude = if excluded.is_some() { yes(excluded) } else { yes(fluent("exclude")) || no(elastic) };
        let mut unknown: Vec<String> = Vec::new();
        unknown.extend(
            excluded
                .filter(|said| !yes(Some(said)) && !no(Some(said)))
                .map(|said| format!("sawyer.dev/exclude: {said}")),
        );
        unknown.extend(self.files_lost.iter().map(|path| format!("{}: {path}", volume::FILES)));
        let parser = own("parser").or_else(|| fluent("parser"));
        let multiline = own("multiline").map(str::to_owned);
        let multiline = multiline.or_else(|| self.elastic_multiline(container, &mut unknown));
        Hints { exclude, parser: parser.map(str::to_owned), multiline, unknown }
    }

    /// Filebeat's way to name the first line of a record; its other ways are not ours.
    fn elastic_multiline(&self, container: &str, unknown: &mut Vec<String>) -> Option<String> {
        let get = |name: &str| {
            let of_container = self.annotations.get(&format!("co.elastic.logs.{container}/multiline.{name}"));
            of_container.or_else(|| self.annotations.get(&format!("co.elastic.logs/multiline.{name}")))
        };
        let pattern = get("pattern")?;
        let (negate, side) =
            (get("negate").map_or("false", String::as_str), get("match").map_or("", String::as_str));
        if (negate, side) == ("true", "after") {
            return Some(pattern.clone());
        }
        unknown.push(format!("co.elastic.logs/multiline with negate: {negate}, match: {side}"));
        None
    }
}

/// What stands in place of the uid in the folder of the logs, if the pod is the mirror of one from a file.
fn config_hash(metadata: &Metadata) -> Option<&str> {
    let get = |name: &str| metadata.annotations.get(name).map(String::as_str);
    let is_mirror = get(CONFIG_MIRROR).is_some() || get(CONFIG_SOURCE).is_some_and(|source| source != "api");
    let hash = get(CONFIG_HASH).filter(|hash| is_mirror && *hash != metadata.uid)?;
    Some(&hash[..hash.floor_char_boundary(ANNOTATION_BYTES_MAX)])
}

/// What a mirror is known under besides its uid. Annotations are free text of whoever makes a pod, so that a hash alone
/// could be the uid or the hash of somebody else; with the name, it is of use to the pod of that name only. No uid has a
/// slash.
pub(crate) fn mirror_key(hash: &str, namespace: &str, name: &str) -> String {
    format!("{hash}/{namespace}/{name}")
}

/// Whether a name fits a pattern with `*` (anything) and `?` (one character).
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut place, mut star) = (0, 0, None);
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(one) if *one == '?' || *one == name[place] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((before, from)) = star else { return false };
                star = Some((before, from + 1));
                (at, place) = (before + 1, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|one| *one == '*')
}
