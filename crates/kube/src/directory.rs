//! What is known of the pods of a node.
//!
//! Owns: the pods by their uids and names, how long those are remembered that are gone, who is told of changes.
//! Does not own: where the knowledge comes from (`follow`).
//! Invariant: bounded by [`PODS_MAX`]; whoever asks is answered at once; no pod speaks for one of another name, whatever
//! its annotations say.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::Timestamp;
use tokio::sync::Notify;

use crate::pod::{PodInfo, mirror_key};

/// Pods that are known at most, those that are gone among them. A node has some hundreds; beyond this the ones that are
/// gone for longest are forgotten.
const PODS_MAX: usize = 20_000;

/// What is known of the pods of a node. Clones are the same.
#[derive(Clone)]
pub struct Directory(Arc<Shared>);

struct Shared {
    pods: Mutex<Pods>,
    version: AtomicU64,
    asked: Notify,
    /// Told of pods that name files.
    files: Notify,
}

#[derive(Default)]
struct Pods {
    /// Labels of namespaces.
    namespaces: HashMap<String, Arc<BTreeMap<String, String>>>,
    /// Also by what stands in place of the uid for those from files, see [`mirror_key`].
    by_uid: HashMap<String, Entry>,
    /// Whether there was a whole list once.
    complete: bool,
}

struct Entry {
    pod: Arc<PodInfo>,
    gone: Option<Timestamp>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This is known.
    Known(Arc<PodInfo>),
    /// Nothing is known, or not yet.
    Unknown,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = self.0.pods.lock();
        f.debug_struct("Directory").field("pods", &pods.by_uid.len()).finish_non_exhaustive()
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self(Arc::new(Shared {
            pods: Mutex::default(),
            version: AtomicU64::new(1),
            asked: Notify::new(),
            files: Notify::new(),
        }))
    }
}

impl Directory {
    /// What is known of the pod of this uid and name. If nothing is, whoever follows the cluster looks soon.
    #[must_use]
    pub fn pod(&self, uid: &str, namespace: &str, name: &str) -> Lookup {
        let pods = self.0.pods.lock();
        let known = pods.by_uid.get(uid);
        let known = known.or_else(|| pods.by_uid.get(&mirror_key(uid, namespace, name)));
        match known.filter(|entry| entry.pod.is(namespace, name)) {
            Some(entry) => Lookup::Known(Arc::clone(&entry.pod)),
            None => {
                self.0.asked.notify_one();
                Lookup::Unknown
            }
        }
    }

    /// The pods that name log files in their volumes, and whether they are still there.
    #[must_use]
    pub fn pods_with_files(&self) -> Vec<(Arc<PodInfo>, bool)> {
        let pods = self.0.pods.lock();
        let mut found: Vec<_> = pods
            .by_uid
            .iter()
            .filter(|(key, entry)| **key == entry.pod.uid && !entry.pod.files().is_empty())
            .map(|(_, entry)| (Arc::clone(&entry.pod), entry.gone.is_none()))
            .collect();
        found.sort_by(|(one, _), (other, _)| one.uid.cmp(&other.uid));
        found
    }

    /// Waits until a pod that names files is new or has changed.
    pub async fn files_changed(&self) {
        self.0.files.notified().await;
    }

    /// The labels of a namespace, as far as they are known.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<Arc<BTreeMap<String, String>>> {
        self.0.pods.lock().namespaces.get(name).cloned()
    }

    pub(crate) fn put_namespace(&self, name: &str, labels: BTreeMap<String, String>) {
        let changed = {
            let mut pods = self.0.pods.lock();
            let same = pods.namespaces.get(name).is_some_and(|known| **known == labels);
            // As for pods, what is gone is forgotten some day.
            if pods.namespaces.len() >= PODS_MAX {
                pods.namespaces.clear();
            }
            pods.namespaces.insert(name.to_owned(), Arc::new(labels));
            !same
        };
        if changed {
            self.tell();
        }
    }

    /// A number that changes with everything that becomes known.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// Waits until somebody asks for a pod that is not known.
    pub(crate) async fn asked(&self) {
        self.0.asked.notified().await;
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.0.pods.lock().complete
    }

    /// Takes these for all pods that there are.
    pub(crate) fn replace(&self, pods: Vec<PodInfo>, now: Timestamp, remember: Duration) {
        let changed = {
            let mut known = self.0.pods.lock();
            let before = std::mem::replace(&mut known.complete, true);
            let mut changed = !before;
            let there: Vec<String> = pods.iter().flat_map(PodInfo::keys).map(str::to_owned).collect();
            let there: std::collections::HashSet<String> = there.into_iter().collect();
            for (uid, entry) in &mut known.by_uid {
                if entry.gone.is_none() && !there.contains(uid) {
                    entry.gone = Some(now);
                }
            }
            for pod in pods {
                changed |= known.put(pod);
            }
            known.forget(now, remember);
            changed
        };
        if changed {
            self.tell();
            self.0.files.notify_one();
        }
    }

    /// Takes note of a pod that is new or has changed.
    pub(crate) fn put(&self, pod: PodInfo) {
        let names_files = !pod.files().is_empty();
        let changed = self.0.pods.lock().put(pod);
        if changed {
            self.tell();
        }
        if changed && names_files {
            self.0.files.notify_one();
        }
    }

    /// Takes note that a pod is gone. It stays known for a while.
    pub(crate) fn lose(&self, pod: &PodInfo, now: Timestamp, remember: Duration) {
        let mut known = self.0.pods.lock();
        for key in pod.keys() {
            // A mirror's successor has its key already.
            if let Some(entry) = known.by_uid.get_mut(key).filter(|entry| entry.pod.uid == pod.uid) {
                entry.gone.get_or_insert(now);
            }
        }
        known.forget(now, remember);
    }

    fn tell(&self) {
        self.0.version.fetch_add(1, Ordering::AcqRel);
    }
}

impl Pods {
    fn put(&mut self, pod: PodInfo) -> bool {
        let pod = Arc::new(pod);
        let mut changed = false;
        for key in pod.keys() {
            let same = self.by_uid.get(key).is_some_and(|entry| entry.pod == pod && entry.gone.is_none());
            if !same {
                changed = true;
                self.by_uid.insert(key.to_owned(), Entry { pod: Arc::clone(&pod), gone: None });
            }
        }
        changed
    }

    fn forget(&mut self, now: Timestamp, remember: Duration) {
        self.by_uid.retain(|_, entry| entry.gone.is_none_or(|gone| now.since(gone) < remember));
        if self.by_uid.len() <= PODS_MAX {
            return;
        }
        let mut gone: Vec<(Timestamp, String)> =
            self.by_uid.iter().filter_map(|(uid, entry)| Some((entry.gone?, uid.clone()))).collect();
        gone.sort_unstable();
        for (_, uid) in gone.into_iter().take(self.by_uid.len() - PODS_MAX) {
            self.by_uid.remove(&uid);
        }
    }
}
