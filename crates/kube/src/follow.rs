//! Follows what the cluster says about the pods of a node.
//!
//! Owns: list and watch with their resource versions, coming back after failures, the kubelet's list, asking for
//! owners.
//! Does not own: what is kept (`directory`).
//! Invariant: a watch goes on where the one before it ended; where that is too old, everything is listed again, so that
//! no change stays unseen. A server that fails is asked seldom.

use std::collections::HashMap;
use std::time::Duration;

use sawyer_telemetry::{Clock, Counter, Metrics, Seldom};
use tokio::time::Instant;

use crate::client::{KubeClient, KubeError};
use crate::directory::Directory;
use crate::objects::{AnyObject, List, OwnerReference, Pod, Status, WatchEvent, WatchKind};
use crate::owner::{Owner, above, path};
use crate::pod::PodInfo;
use crate::settings::{KubeSettings, MetadataFrom};

/// Pods in one answer to a list.
const PAGE_PODS: usize = 500;

/// How long the server is asked to keep a watch open. Servers end watches after 30 to 60 minutes anyway.
const WATCH_SECONDS: u64 = 300;

/// Silence in a watch after which it counts as dead. Bookmarks come about once a minute.
const WATCH_SILENCE_MAX: Duration = Duration::from_secs(WATCH_SECONDS + 30);

/// Pauses after failures: the first, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A watch that lasted shorter than this was none: whoever ends it at once would be asked without end. Then, and after
/// each word that the past is gone, the pause is at least as long.
const WATCH_MIN: Duration = Duration::from_secs(1);

/// Failures in a row, in what the server answers, after which everything is listed anew: what stands behind the version
/// that the watch goes on from may be what fails.
const FAILURES_LIST: u32 = 3;

/// How often the kubelet is asked; sooner if somebody asks for a pod that is not known, yet no more often than the
/// other.
const KUBELET_INTERVAL: Duration = Duration::from_secs(10);
const KUBELET_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How often the same trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// How often the labels of a namespace are asked for, at most.
const NAMESPACE_INTERVAL: Duration = Duration::from_secs(600);

/// How long a new pod waits for the labels of its namespace; lines of its logs wait for the pod.
const NAMESPACE_PATIENCE: Duration = Duration::from_millis(1500);

/// Owners that are remembered. Beyond this all are asked for again.
const OWNERS_MAX: usize = 10_000;

/// Asks and keeps the directory up to date.
#[derive(Debug)]
pub struct Follower {
    from: From,
    settings: KubeSettings,
    directory: Directory,
    clock: Clock,
    owners: HashMap<String, Owner>,
    /// Pods whose owners could not be asked for.
    unasked: Vec<PodInfo>,
    /// When the labels of namespaces were asked for.
    namespaces: HashMap<String, Instant>,
    /// Where the API server is, which the kubelet's list needs for what the kubelet does not know.
    api: Option<String>,
    failed: Counter,
    trouble: Seldom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    Api { base: String, node: String },
    Kubelet { base: String },
}

impl Follower {
    /// By these settings for the node of this name; none if nobody is to be asked.
    #[must_use]
    pub fn new(
        settings: &KubeSettings,
        node: Option<&str>,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Option<Self> {
        let from = whom(settings, node, |name| std::env::var(name).ok())?;
        let help = "Questions to the cluster that failed";
        Some(Self {
            from,
            settings: settings.clone(),
            directory: Directory::default(),
            clock: clock.clone(),
            owners: HashMap::new(),
            unasked: Vec::new(),
            namespaces: HashMap::new(),
            api: settings.api.clone().or_else(|| api_of_pod(|name| std::env::var(name).ok())),
            failed: metrics.counter("sawyer_kube_failures", help, &[]),
            trouble: Seldom::new(TELL_INTERVAL),
        })
    }

    /// What becomes known.
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// Follows until it is dropped.
    pub async fn run(mut self) {
        match self.from.clone() {
            From::Api { base, node } => self.follow_api(&base, &node).await,
            From::Kubelet { base } => self.follow_kubelet(&base).await,
        }
    }

    async fn follow_api(&mut self, base: &str, node: &str) {
        let (mut failures, mut version) = (0_u32, None);
        loop {
            match self.list_or_watch(base, node, &mut version).await {
                Ok(lasted) if lasted >= WATCH_MIN => failures = 0,
                Ok(_) => {
                    failures += 1;
                    tokio::time::sleep(pause(failures).max(WATCH_MIN)).await;
                }
                Err(KubeError::Gone(_)) => {
                    (failures, version) = (failures + 1, None);
                    tokio::time::sleep(pause(failures).max(WATCH_MIN)).await;
                }
                Err(error) => {
                    failures += 1;
                    self.tell("the API server", &error);
                    if failures >= FAILURES_LIST && error.is_of_answer() {
                        version = None;
                    }
                    tokio::time::sleep(pause(failures)).await;
                }
            }
        }
    }

    /// Lists if there is no version to go on from, then watches until the watch ends, and tells how long that was.
    async fn list_or_watch(
        &mut self,
        base: &str,
        node: &str,
        version: &mut Option<String>,
    ) -> Result<Duration, KubeError> {
        // Made anew each time, because the authority may have been replaced.
        let client = KubeClient::new(base, &self.settings, true)?;
        let selector = format!("fieldSelector=spec.nodeName%3D{}", encode(node));
        let from = match version.take() {
            Some(from) => from,
            None => self.list(&client, &selector).await?,
        };
        *version = Some(from.clone());
        let path = format!(
            "/api/v1/pods?{selector}&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={from}"
        );
        let began = Instant::now();
        let mut lines = client.watch(&path).await?;
        let url = lines.url().to_owned();
        while let Some(line) = lines.next(WATCH_SILENCE_MAX).await? {
            let form = |source| KubeError::Form { url: url.clone(), source };
            let WatchKind { kind } = serde_json::from_slice(line).map_err(form)?;
            if kind == "ERROR" {
                let WatchEvent::<Status> { object: status } = serde_json::from_slice(line).map_err(form)?;
                return Err(match status.code {
                    410 => KubeError::Gone(status.message),
                    code => KubeError::Refused { url, status: code, message: status.message },
                });
            }
            let WatchEvent::<Pod> { object: pod } = serde_json::from_slice(line).map_err(form)?;
            *version = Some(pod.metadata.resource_version.clone());
            match kind.as_str() {
                "ADDED" | "MODIFIED" => self.take(&client, &pod).await,
                "DELETED" => {
                    self.directory.lose(&self.keep(&pod), self.clock.now(), self.settings.remember);
                }
                // A bookmark: it has brought the version, and is the time for what was left.
                _ => self.ask_again(&client).await,
            }
        }
        Ok(began.elapsed())
    }

    async fn list(&mut self, client: &KubeClient, selector: &str) -> Result<String, KubeError> {
        let (mut pods, mut next) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/pods?{selector}&limit={PAGE_PODS}&continue={}", encode(&next));
            let page: List<Pod> = client.get(&path).await?;
            pods.extend(page.items.iter().map(|pod| self.keep(pod)));
            next = page.metadata.next;
            if next.is_empty() {
                self.take_all(Some(client), pods).await;
                return Ok(page.metadata.resource_version);
            }
        }
    }

    /// Takes these for all pods that there are, and asks the API server, if it is at hand, for what is to be known
    /// besides.
    async fn take_all(&mut self, client: Option<&KubeClient>, mut pods: Vec<PodInfo>) {
        let asked: Vec<PodInfo> = pods.iter().filter(|pod| pod.ask.is_some()).cloned().collect();
        self.recall_owners(&mut pods);
        self.unasked.clear();
        if let Some(client) = client {
            let names: std::collections::BTreeSet<String> =
                pods.iter().map(|pod| pod.namespace.clone()).collect();
            for name in names {
                self.ask_namespace(client, &name).await;
            }
        }
        self.directory.replace(pods, self.clock.now(), self.settings.remember);
        if let Some(client) = client {
            for pod in asked {
                self.ask_owner(client, pod).await;
            }
        }
    }

    /// Asks for the labels of a namespace, if they are wanted and not known, or known for long.
    async fn ask_namespace(&mut self, client: &KubeClient, name: &str) {
        let fresh = |asked: &Instant| asked.elapsed() < NAMESPACE_INTERVAL;
        if self.settings.namespace_labels.is_empty() || self.namespaces.get(name).is_some_and(fresh) {
            return;
        }
        if self.namespaces.len() >= OWNERS_MAX {
            self.namespaces.clear();
        }
        self.namespaces.insert(name.to_owned(), Instant::now());
        let path = format!("/api/v1/namespaces/{name}");
        let asked = client.get_metadata::<AnyObject>(&path);
        match tokio::time::timeout(NAMESPACE_PATIENCE, asked).await {
            Ok(Ok(namespace)) => self.directory.put_namespace(name, namespace.metadata.labels),
            Ok(Err(error)) => self.tell("the API server about a namespace", &error),
            Err(_) => {}
        }
    }

    /// Asks for what could not be had before, and again for what is known for long.
    async fn ask_again(&mut self, client: &KubeClient) {
        for pod in std::mem::take(&mut self.unasked) {
            self.ask_owner(client, pod).await;
        }
        for name in self.namespaces.keys().cloned().collect::<Vec<_>>() {
            self.ask_namespace(client, &name).await;
        }
    }

    async fn take(&mut self, client: &KubeClient, pod: &Pod) {
        let mut pods = [self.keep(pod)];
        self.recall_owners(&mut pods);
        self.ask_namespace(client, &pods[0].namespace).await;
        let [pod] = pods;
        self.directory.put(pod.clone());
        self.ask_owner(client, pod).await;
    }

    fn keep(&self, pod: &Pod) -> PodInfo {
        PodInfo::of(pod, &self.settings.annotations)
    }

    /// Fills in owners that are known already.
    fn recall_owners(&self, pods: &mut [PodInfo]) {
        for pod in pods {
            if let Some(owner) = pod.ask.as_ref().and_then(|asked| self.owners.get(&asked.uid)) {
                pod.owner = Some(owner.clone());
                pod.ask = None;
            }
        }
    }

    /// Asks to whom a pod's owner belongs, once. If that is refused, what its name tells has to do.
    async fn ask_owner(&mut self, client: &KubeClient, mut pod: PodInfo) {
        let Some(asked) = pod.ask.take() else { return };
        let owner = match self.owners.get(&asked.uid) {
            Some(owner) => owner.clone(),
            None => match self.owner_above(client, &pod, &asked).await {
                Some(owner) => owner,
                None => {
                    pod.ask = Some(asked);
                    if self.unasked.len() < OWNERS_MAX {
                        self.unasked.push(pod);
                    }
                    return;
                }
            },
        };
        pod.owner = Some(owner.clone());
        if self.owners.len() >= OWNERS_MAX {
            self.owners.clear();
        }
        self.owners.insert(asked.uid, owner);
        self.directory.put(pod);
    }

    async fn owner_above(&self, client: &KubeClient, pod: &PodInfo, asked: &OwnerReference) -> Option<Owner> {
        let path = path(&pod.namespace, asked)?;
        match client.get::<AnyObject>(&path).await {
            Ok(object) => Some(above(asked, &object.metadata)),
            // Not allowed, or gone: then it stays at what is likely.
            Err(KubeError::Refused { status: 403 | 404, .. }) => pod.owner.clone(),
            Err(error) => {
                self.tell("the API server", &error);
                None
            }
        }
    }

    async fn follow_kubelet(&mut self, base: &str) {
        let mut failures = 0_u32;
        loop {
            match self.ask_kubelet(base).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    self.tell("the kubelet", &error);
                }
            }
            let least = if failures == 0 { KUBELET_INTERVAL_MIN } else { pause(failures) };
            tokio::time::sleep(least).await;
            // Questions of the time before the answer are answered by it.
            let rest = KUBELET_INTERVAL.saturating_sub(least);
            let _ = tokio::time::timeout(rest, self.directory.asked()).await;
        }
    }

    async fn ask_kubelet(&mut self, base: &str) -> Result<(), KubeError> {
        let client = KubeClient::new(base, &self.settings, self.settings.verify_kubelet)?;
        let pods: List<Pod> = client.get("/pods").await?;
        let pods = pods.items.iter().map(|pod| self.keep(pod)).collect();
        let api = self.api.as_ref().map(|api| KubeClient::new(api, &self.settings, true)).transpose()?;
        self.take_all(api.as_ref(), pods).await;
        Ok(())
    }

    fn tell(&self, whom: &str, error: &KubeError) {
        self.failed.inc();
        if let Some(held_back) = self.trouble.pass(self.clock.now()) {
            let (error, complete) = (error.chain(), self.directory.is_complete());
            tracing::warn!(
                held_back,
                error,
                complete,
                "cannot ask {whom}; logs are read all the same, and what it says about pods is added when it answers"
            );
        }
    }
}

/// Grows with failures in a row, and differs from node to node, so that not all come back at once.
pub(crate) fn pause(failures: u32) -> Duration {
    let longest = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(PAUSE_MAX);
    use std::hash::{BuildHasher, RandomState};
    let part = RandomState::new().hash_one(failures) % 1000;
    longest / 2 + (longest / 2).mul_f64(part as f64 / 1000.0)
}

fn whom(
    settings: &KubeSettings,
    node: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<From> {
    let api = || {
        let base = settings.api.clone().or_else(|| api_of_pod(&variable))?;
        Some(From::Api { base, node: node?.to_owned() })
    };
    match settings.from {
        MetadataFrom::Nobody => None,
        MetadataFrom::Auto => api().filter(|_| settings.token_file.is_file()),
        MetadataFrom::Api => api(),
        MetadataFrom::Kubelet => {
            let base = settings.kubelet.clone().unwrap_or_else(|| kubelet_of_pod(&variable));
            Some(From::Kubelet { base })
        }
    }
}

/// Where a pod is told that the API server is.
pub(crate) fn api_of_pod(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let host = variable("KUBERNETES_SERVICE_HOST")?;
    let port = variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
    Some(https(&host, &port))
}

/// Where a pod is told that the kubelet of its node is.
pub(crate) fn kubelet_of_pod(variable: impl Fn(&str) -> Option<String>) -> String {
    https(&variable("NODE_IP").unwrap_or_else(|| "127.0.0.1".to_owned()), "10250")
}

fn https(host: &str, port: &str) -> String {
    // IPv6 has colons of its own.
    if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") }
}

/// A value of a query string.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            all.push(char::from(byte));
        } else {
            use std::fmt::Write;
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}
