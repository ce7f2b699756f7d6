//! To what the pods belong that events are about.
//!
//! Owns: asking for single pods and their owners, remembering the answers.
//! Does not own: what an owner is (`owner`), events (`event`).
//! Invariant: an event waits for an answer no longer than [`PATIENCE`]; without one, only what its own name says for
//! certain is said.

use std::collections::HashMap;
use std::time::Duration;

use sawyer_model::{Value, names};

use crate::client::{KubeClient, KubeError};
use crate::event::ObjectReference;
use crate::objects::{AnyObject, Pod};
use crate::owner::{above, path};
use crate::pod::{PodInfo, Selection};

/// Pods whose owners are remembered. Beyond this all are asked for again.
const PODS_MAX: usize = 10_000;

/// Longest wait for the API server; it has just answered with the event.
const PATIENCE: Duration = Duration::from_secs(3);

/// Fields of pods by their uids.
#[derive(Debug, Default)]
pub(crate) struct Workloads(HashMap<String, Vec<(Box<str>, Value)>>);

impl Workloads {
    /// What is known of the pod that an event is about; nothing if it is about something else.
    pub(crate) async fn of(
        &mut self,
        client: &KubeClient,
        about: &ObjectReference,
    ) -> Vec<(Box<str>, Value)> {
        if about.kind != "Pod" || about.name.is_empty() {
            return Vec::new();
        }
        if let Some(known) = self.0.get(&about.uid) {
            return known.clone();
        }
        let asked = tokio::time::timeout(PATIENCE, ask(client, about)).await;
        let (fields, keep) = match asked {
            Ok(Ok(fields)) => (fields, true),
            // Gone already, or not allowed.
            Ok(Err(KubeError::Refused { status: 403 | 404, .. })) => (by_name(&about.name), true),
            Ok(Err(_)) | Err(_) => (by_name(&about.name), false),
        };
        if keep && !about.uid.is_empty() {
            if self.0.len() >= PODS_MAX {
                self.0.clear();
            }
            self.0.insert(about.uid.clone(), fields.clone());
        }
        fields
    }
}

async fn ask(client: &KubeClient, about: &ObjectReference) -> Result<Vec<(Box<str>, Value)>, KubeError> {
    let url = format!("/api/v1/namespaces/{}/pods/{}", about.namespace, about.name);
    let pod: Pod = client.get_metadata(&url).await?;
    let mut pod = PodInfo::of(&pod, &[]);
    if pod.uid != about.uid && !about.uid.is_empty() {
        // Another one of this name, as those of StatefulSets have; they belong to the same.
        tracing::trace!(pod = about.name, "the pod of an event has a successor");
    }
    if let Some(asked) = pod.ask.take()
        && let Some(path) = path(&pod.namespace, &asked)
        && let Ok(object) = client.get_metadata::<AnyObject>(&path).await
    {
        pod.owner = Some(above(&asked, &object.metadata));
    }
    Ok(pod.fields("", &Selection::default()))
}

/// The letters of the parts that Kubernetes makes up for names.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The Deployment of a pod with a name such as `web-5d7b5cb4d6-x2vwz`: no other controller makes such names.
fn by_name(pod: &str) -> Vec<(Box<str>, Value)> {
    let safe = |part: &str| part.bytes().all(|byte| SAFE.contains(&byte));
    let parts = pod.rsplit_once('-').and_then(|(rest, end)| Some((rest.rsplit_once('-')?, end)));
    let deployment = parts.filter(|((name, hash), end)| {
        !name.is_empty() && end.len() == 5 && safe(end) && (8..=10).contains(&hash.len()) && safe(hash)
    });
    let Some(((name, _), _)) = deployment else { return Vec::new() };
    vec![
        (names::WORKLOAD.into(), Value::from(name)),
        (names::WORKLOAD_KIND.into(), Value::from("Deployment")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_of_a_deployment_only_where_it_is_certain() {
        for (pod, workload) in [
            ("web-5d7b5cb4d6-x2vwz", Some("web")),
            ("my-web-app-5d7b5cb4d6-x2vwz", Some("my-web-app")),
            ("report-29384756-x2vwz", None),
            ("db-0", None),
            ("agent-x2vwz", None),
            ("web-production1-x2vwz", None),
        ] {
            let told = by_name(pod);
            let told = told.first().and_then(|(_, value)| value.as_str());
            assert_eq!(told, workload, "{pod}");
        }
    }
}
