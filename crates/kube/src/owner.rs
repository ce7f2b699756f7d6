//! To what a pod belongs: the Deployment above its ReplicaSet, the CronJob above its Job.
//!
//! Owns: which owner counts, what names tell without asking.
//! Does not own: asking (`follow`).
//! Invariant: what is certain by the names that controllers give costs no request.

use crate::objects::{Metadata, OwnerReference};

/// What a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl Owner {
    fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned() }
    }
}

/// The label by which a Deployment tells its ReplicaSets apart; their names end in it.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Digits at the end of the name of a CronJob's Job: its time in minutes since 1970, and formerly in seconds.
const JOB_DIGITS: std::ops::RangeInclusive<usize> = 8..=10;

/// The owner as far as names tell, and whom to ask where they do not tell for certain.
pub(crate) fn likely_owner(metadata: &Metadata) -> (Option<Owner>, Option<OwnerReference>) {
    let Some(direct) = controller(metadata) else { return (None, None) };
    let itself = Owner::new(&direct.kind, &direct.name);
    match direct.kind.as_str() {
        // A pod that a kubelet read from a file belongs to nobody.
        "Node" => (None, None),
        "ReplicaSet" => {
            let hash = metadata.labels.get(TEMPLATE_HASH);
            let deployment = hash.and_then(|hash| direct.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
            match deployment {
                Some(name) => (Some(Owner::new("Deployment", name)), None),
                None => (Some(itself), Some(direct.clone())),
            }
        }
        "Job" => {
            let parts = direct.name.rsplit_once('-');
            let of_time =
                |end: &str| JOB_DIGITS.contains(&end.len()) && end.bytes().all(|byte| byte.is_ascii_digit());
            let likely = match parts.filter(|(_, end)| of_time(end)) {
                Some((name, _)) => Owner::new("CronJob", name),
                None => itself,
            };
            (Some(likely), Some(direct.clone()))
        }
        _ => (Some(itself), None),
    }
}

/// Where the owner of a pod is to be found, if its own owner is worth asking for.
pub(crate) fn path(namespace: &str, owner: &OwnerReference) -> Option<String> {
    let plural = match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("apps/v1", "ReplicaSet") => "replicasets",
        ("batch/v1", "Job") => "jobs",
        _ => return None,
    };
    Some(format!("/apis/{}/namespaces/{namespace}/{plural}/{}", owner.api_version, owner.name))
}

/// What was asked for belongs to this, or to itself.
pub(crate) fn above(asked: &OwnerReference, metadata: &Metadata) -> Owner {
    match controller(metadata) {
        Some(above) => Owner::new(&above.kind, &above.name),
        None => Owner::new(&asked.kind, &asked.name),
    }
}

fn controller(metadata: &Metadata) -> Option<&OwnerReference> {
    let owners = &metadata.owner_references;
    owners.iter().find(|owner| owner.controller).or_else(|| owners.first())
}
