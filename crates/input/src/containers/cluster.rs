//! What the cluster says about the containers of this node.
//!
//! Owns: which pod a container is of, which annotations leave it out.
//! Does not own: asking the cluster (`kube`).
//! Invariant: namespace, pod and container stay what the file's place says, whatever the cluster says.

use std::time::Duration;

use sawyer_kube::{Directory, Follower, KubeSettings, Lookup, Selection};
use sawyer_model::{Stream, Value, ValueRef, names};
use sawyer_pipeline::Context;

use crate::tail::layout::{About, Companion, Told};

#[derive(Debug)]
pub(super) struct Cluster {
    directory: Directory,
    selection: Selection,
    wait: Duration,
    /// Until it runs.
    follower: Option<Follower>,
}

impl Cluster {
    /// None if nobody is to be asked.
    pub(super) fn new(settings: &KubeSettings, node: Option<&str>, context: &Context) -> Option<Self> {
        let follower = Follower::new(settings, node, &context.clock, &context.metrics)?;
        let selection =
            Selection { labels: settings.labels.clone(), annotations: settings.annotations.clone() };
        let directory = follower.directory();
        Some(Self { directory, selection, wait: settings.wait, follower: Some(follower) })
    }

    pub(super) fn companion(&mut self) -> Option<Companion> {
        let follower = self.follower.take()?;
        Some(Box::pin(follower.run()))
    }
}

impl About for Cluster {
    fn version(&self) -> u64 {
        self.directory.version()
    }

    fn patience(&self) -> Duration {
        self.wait
    }

    fn tell(&self, identity: &Stream) -> Told {
        let text = |name| identity.get(name).map(Value::as_ref).and_then(ValueRef::as_str);
        // Containers of docker outside Kubernetes have no pod.
        let Some(uid) = text(names::POD_UID) else { return Told::Fields(Vec::new()) };
        // With the name, because whoever makes a pod could have it claim the uid of another.
        let (namespace, name) = (text(names::NAMESPACE).unwrap_or(""), text(names::POD).unwrap_or(""));
        let Lookup::Known(pod) = self.directory.pod(uid, namespace, name) else { return Told::Nothing };
        let container = text(names::CONTAINER).unwrap_or("");
        if pod.hints(container).exclude {
            return Told::Unwanted;
        }
        Told::Fields(pod.fields(container, &self.selection))
    }
}
