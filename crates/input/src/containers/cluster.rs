//! What the cluster says about the containers whose logs are read.
//!
//! Owns: which pod a container is of, which annotations leave it out, what they say of its lines.
//! Does not own: asking the cluster (`kube`), parsing and grouping (`pipeline`).
//! Invariant: namespace, pod and container stay what the file's place says, whatever the cluster says.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_kube::{Directory, Follower, Hints, KubeSettings, Lookup, PodInfo, Selection};
use sawyer_model::{Stream, Value, ValueRef, names};
use sawyer_pipeline::Context;
use sawyer_pipeline::steps::hint::{MultilineHint, ParserHint};
use sawyer_telemetry::Counter;

use crate::tail::layout::{About, Companion, OfVoice, Told};
use crate::tail::lines::Voice;
use crate::tail::watch::Waker;

/// Values of annotations that were told of as not known, at most; more are counted only. They are the words of whoever
/// may make pods.
const TOLD_MAX: usize = 1000;

#[derive(Debug)]
pub(super) struct Cluster {
    input: String,
    directory: Directory,
    selection: Selection,
    namespace_labels: Vec<String>,
    wait: Duration,
    /// Until it runs.
    follower: Option<Follower>,
    /// Whether pods with files became known.
    news: Arc<AtomicBool>,
    unknown: Counter,
    told: Mutex<HashSet<String>>,
}

impl Cluster {
    /// None if nobody is to be asked.
    pub(super) fn new(settings: &KubeSettings, node: Option<&str>, context: &Context) -> Option<Self> {
        let follower = Follower::new(settings, node, &context.clock, &context.metrics)?;
        let selection =
            Selection { labels: settings.labels.clone(), annotations: settings.annotations.clone() };
        let directory = follower.directory();
        let help =
            "Values of pods' annotations about their logs that are not known, by input; each counts once";
        let labels = [("input", context.name.as_str())];
        Some(Self {
            input: context.name.clone(),
            directory,
            selection,
            namespace_labels: settings.namespace_labels.clone(),
            wait: settings.wait,
            follower: Some(follower),
            news: Arc::default(),
            unknown: context.metrics.counter("sawyer_input_unknown_annotations", help, &labels),
            told: Mutex::default(),
        })
    }

    pub(super) fn companion(&mut self, wake: Waker) -> Option<Companion> {
        let follower = self.follower.take()?;
        let (directory, news) = (self.directory.clone(), Arc::clone(&self.news));
        let watch = async move {
            loop {
                directory.files_changed().await;
                news.store(true, Ordering::Release);
                wake.wake();
            }
        };
        Some(Box::pin(async move {
            tokio::select! {
                () = follower.run() => {}
                () = watch => {}
            }
        }))
    }

    pub(super) fn wants_scan(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    pub(super) fn pods_with_files(&self) -> Vec<(Arc<PodInfo>, bool)> {
        self.directory.pods_with_files()
    }

    /// What annotations say of the lines of one output, as the steps know it.
    fn of_voice(&self, pod: &PodInfo, hints: Hints) -> OfVoice {
        let (mut unknown, mut fields) = (hints.unknown, Vec::new());
        if let Some(text) = hints.parser {
            match ParserHint::read(&text) {
                Some(hint) => fields.push((names::HINT_PARSER.into(), Value::from(hint.value()))),
                None => unknown.push(format!("parser: {text}")),
            }
        }
        if let Some(text) = hints.multiline {
            match MultilineHint::read(&text) {
                Some(hint) => fields.push((names::HINT_MULTILINE.into(), Value::from(hint.value()))),
                None => unknown.push(format!("multiline: {text}")),
            }
        }
        for what in unknown {
            self.tell_unknown(pod, &what);
        }
        OfVoice { unwanted: hints.exclude, fields }
    }

    fn tell_unknown(&self, pod: &PodInfo, what: &str) {
        let (namespace, pod) = (pod.namespace(), pod.name());
        let mut told = self.told.lock();
        if told.len() >= TOLD_MAX || !told.insert(format!("{namespace}/{pod} {what}")) {
            return;
        }
        self.unknown.inc();
        let input = &self.input;
        tracing::warn!(
            input,
            namespace,
            pod,
            "an annotation about logs is not known and does nothing; see docs/kubernetes.md: {what}"
        );
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
        let Some(uid) = text(names::POD_UID) else { return Told::Fields(Vec::new(), Default::default()) };
        // With the name, because whoever makes a pod could have it claim the uid of another.
        let (namespace, name) = (text(names::NAMESPACE).unwrap_or(""), text(names::POD).unwrap_or(""));
        let Lookup::Known(pod) = self.directory.pod(uid, namespace, name) else { return Told::Nothing };
        let container = text(names::CONTAINER).unwrap_or("");
        let hints = Voice::ALL.map(|voice| pod.hints(container, voice.name()));
        // Those of neither stream are wanted unless all are not: files in volumes among them.
        if hints.iter().all(|hints| hints.exclude) {
            return Told::Unwanted;
        }
        let mut fields = pod.fields(container, &self.selection);
        if let Some(labels) = self.directory.namespace(namespace) {
            fields.extend(PodInfo::namespace_fields(&labels, &self.namespace_labels));
        }
        Told::Fields(fields, hints.map(|hints| self.of_voice(&pod, hints)))
    }
}
