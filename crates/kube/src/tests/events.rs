//! Events of a small cluster that keeps what is written to it: who reads them, and that none is missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::{SourceId, Value};
use sawyer_telemetry::{Clock, Metrics};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::cluster::Cluster;
use super::until;
use crate::event::Event;
use crate::events::{EventPage, EventReader, EventSink};
use crate::settings::EventsSettings;

/// What was taken: for each version of each source, how often and with which message.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<TakenState>>);

#[derive(Default)]
struct TakenState {
    messages: BTreeMap<(SourceId, u64), Vec<String>>,
    covered: BTreeMap<SourceId, sawyer_model::RangeSet>,
    /// Pages that are to be refused.
    refuse: usize,
    /// Whether pages stay without a word.
    silent: bool,
    held: Vec<crate::Receipt>,
}

impl EventSink for Taken {
    async fn put(&mut self, page: EventPage) -> bool {
        let mut taken = self.0.lock();
        if taken.refuse > 0 {
            taken.refuse -= 1;
            drop(taken);
            page.receipt.report(false);
            return true;
        }
        for event in &page.events {
            let text = text(&event.fields, "message");
            taken.messages.entry((page.source, event.version)).or_default().push(text);
            let own = sawyer_model::SeqRange::new(event.version, event.version + 1);
            assert!(page.covered.iter().any(|range| range.start <= own.start && own.end <= range.end));
        }
        for range in &page.covered {
            taken.covered.entry(page.source).or_default().insert(*range);
        }
        if taken.silent {
            taken.held.push(page.receipt);
        } else {
            drop(taken);
            page.receipt.report(true);
        }
        true
    }
}

fn text(fields: &[(Box<str>, Value)], name: &str) -> String {
    let value = fields.iter().find(|(known, _)| &**known == name).map(|(_, value)| value);
    match value {
        Some(Value::Str(text)) => text.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

impl Taken {
    /// All messages in the order of versions; those that came again with the same source and range count once.
    fn once(&self) -> Vec<String> {
        self.0.lock().messages.values().map(|all| all[0].clone()).collect()
    }

    fn has(&self, message: &str) -> bool {
        self.once().iter().any(|known| known == message)
    }

    fn doubled(&self) -> usize {
        self.0.lock().messages.values().map(|all| all.len() - 1).sum()
    }
}

struct Running {
    task: JoinHandle<bool>,
    stop: oneshot::Sender<()>,
    give_up: oneshot::Sender<()>,
}

fn settings(cluster: &Cluster) -> EventsSettings {
    EventsSettings {
        api: Some(cluster.url.clone()),
        token_file: "/nonexistent/token".into(),
        ca_file: None,
        lease_namespace: Some("sawyer".into()),
        lease_duration: Duration::from_secs(3),
        ..EventsSettings::default()
    }
}

fn start(cluster: &Cluster, name: &str, taken: &Taken) -> Running {
    let reader = EventReader::new(&settings(cluster), name, &Clock::system(), &Metrics::new()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move {
        let _ = stopped.await;
    };
    let (give_up, given_up) = oneshot::channel::<()>();
    let given_up = async move {
        let _ = given_up.await;
    };
    Running { task: tokio::spawn(reader.run(taken.clone(), stopped, given_up)), stop, give_up }
}

fn holder(cluster: &Cluster) -> String {
    cluster.lease()["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

fn none() -> serde_json::Value {
    json!({})
}

#[tokio::test]
async fn whoever_takes_over_from_one_that_was_killed_goes_on_without_a_gap() {
    let (cluster, taken) = (Cluster::start(), Taken::default());
    cluster.event("a", &none());
    let first = start(&cluster, "first", &taken);
    until("the first event", || taken.has("a 1")).await;
    let second = start(&cluster, "second", &taken);
    for _ in 0..3 {
        cluster.event("a", &none());
    }
    cluster.event("b", &none());
    until("what came later", || taken.has("b 1")).await;
    let noted =
        || cluster.lease()["metadata"]["annotations"]["sawyer.dev/position"].as_str().map(str::to_owned);
    until("the note", || noted().is_some_and(|note| note.starts_with("0:"))).await;
    assert_eq!(holder(&cluster), "first");
    // Killed: it does not give the Lease up.
    first.task.abort();
    cluster.event("b", &none());
    cluster.expire("a");
    cluster.event("c", &none());
    until("the second one goes on", || taken.has("c 1")).await;
    assert_eq!(holder(&cluster), "second");
    assert_eq!(cluster.lease()["spec"]["leaseTransitions"], 1);
    assert_eq!(taken.once(), ["a 1", "a 2", "a 3", "a 4", "b 1", "b 2", "c 1"]);
    // One source; what came twice came with the same range.
    let sources: Vec<SourceId> = taken.0.lock().covered.keys().copied().collect();
    assert_eq!(sources.len(), 1);
    second.task.abort();
}

#[tokio::test]
async fn one_that_stops_hands_over_at_once_and_nothing_comes_twice() {
    let (cluster, taken) = (Cluster::start(), Taken::default());
    let first = start(&cluster, "first", &taken);
    until("somebody holds the Lease", || holder(&cluster) == "first").await;
    cluster.event("a", &none());
    until("the first event", || taken.has("a 1")).await;
    first.stop.send(()).unwrap();
    assert!(first.task.await.unwrap());
    assert_eq!(holder(&cluster), "");
    cluster.event("a", &none());
    let second = start(&cluster, "second", &taken);
    until("the second event", || taken.has("a 2")).await;
    assert_eq!((taken.once(), taken.doubled()), (vec!["a 1".to_owned(), "a 2".to_owned()], 0));
    second.task.abort();
}

#[tokio::test]
async fn what_is_passed_over_leaves_no_gap_between_pages() {
    let (cluster, taken) = (Cluster::start(), Taken::default());
    let reading = start(&cluster, "one", &taken);
    until("somebody holds the Lease", || holder(&cluster) == "one").await;
    cluster.event("a", &none());
    until("the first event", || taken.has("a 1")).await;
    // That one ran out comes in the watch alone.
    cluster.expire("a");
    let expired = cluster.newest();
    let noted = || {
        let lease = cluster.lease();
        let note = lease["metadata"]["annotations"]["sawyer.dev/position"].as_str()?;
        note.strip_prefix("0:")?.parse::<u64>().ok()
    };
    until("the note", || noted().is_some_and(|position| position >= expired)).await;
    let last = cluster.event("b", &none());
    until("the second event", || taken.has("b 1")).await;
    let taken = taken.0.lock();
    let covered = taken.covered.values().next().unwrap();
    let first = taken.messages.keys().next().unwrap().1;
    let whole = covered.iter().find(|range| range.start <= first).unwrap();
    assert_eq!(whole.end, last + 1, "{covered:?}");
    reading.task.abort();
}

#[tokio::test]
async fn what_is_too_old_for_a_watch_is_found_in_a_list() {
    let (cluster, taken) = (Cluster::start(), Taken::default());
    cluster.event("a", &none());
    let reading = start(&cluster, "one", &taken);
    until("the first event", || taken.has("a 1")).await;
    reading.stop.send(()).unwrap();
    reading.task.await.unwrap();
    cluster.event("a", &none());
    cluster.event("b", &none());
    cluster.compact();
    let reading = start(&cluster, "one", &taken);
    until("what happened meanwhile", || taken.has("b 1")).await;
    cluster.event("c", &none());
    until("what happens later", || taken.has("c 1")).await;
    // The position of before was not used up: what was there already does not come again.
    assert_eq!((taken.once().len(), taken.doubled()), (4, 0));
    let gone = cluster.requests().iter().filter(|request| request.contains("watch=true")).count();
    assert!(gone >= 3, "{:?}", cluster.requests());
    reading.task.abort();
}

#[tokio::test]
async fn what_was_not_delivered_is_read_again_and_the_note_waits_for_it() {
    let (cluster, taken) = (Cluster::start(), Taken::default());
    cluster.event("a", &none());
    taken.0.lock().refuse = 1;
    let reading = start(&cluster, "one", &taken);
    until("the list once more", || taken.has("a 1")).await;
    cluster.event("b", &none());
    until("the watch", || taken.has("b 1")).await;
    taken.0.lock().refuse = 1;
    cluster.event("c", &none());
    until("the watch once more", || taken.has("c 1")).await;
    taken.0.lock().silent = true;
    let last = cluster.event("d", &none());
    until("one without a word", || taken.has("d 1")).await;
    reading.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!reading.task.is_finished(), "there is time for a word yet");
    reading.give_up.send(()).unwrap();
    reading.task.await.unwrap();
    let note = cluster.lease()["metadata"]["annotations"]["sawyer.dev/position"].as_str().unwrap().to_owned();
    let noted: u64 = note.strip_prefix("0:").unwrap().parse().unwrap();
    assert!(noted < last, "{noted} says that {last} is durable");
    taken.0.lock().silent = false;
    let reading = start(&cluster, "one", &taken);
    until("the last one once more", || taken.doubled() == 1).await;
    reading.task.abort();
}

#[tokio::test]
async fn a_cluster_that_was_restored_is_a_source_of_its_own() {
    let (cluster, taken) = (Cluster::start(), Taken::default());
    let before = cluster.event("a", &none());
    let reading = start(&cluster, "one", &taken);
    until("the first event", || taken.has("a 1")).await;
    for _ in 0..50 {
        cluster.event("b", &none());
    }
    until("one that will not have been", || taken.has("b 50")).await;
    cluster.restore(before);
    cluster.event("c", &none());
    until("one with a version that was there before", || taken.has("c 1")).await;
    let taken = taken.0.lock();
    assert_eq!(taken.covered.len(), 2, "{:?}", taken.messages);
    drop(taken);
    reading.task.abort();
}

#[tokio::test]
async fn where_one_view_is_refused_the_other_one_is_read() {
    let (cluster, taken) = (Cluster::start(), Taken::default());
    cluster.refuse("/api/v1/events", 403);
    cluster.event("a", &none());
    let reading = start(&cluster, "one", &taken);
    until("the event", || taken.has("a 1")).await;
    assert!(
        cluster
            .requests()
            .iter()
            .any(|request| request.starts_with("GET /apis/events.k8s.io/v1/events?limit=500"))
    );
    reading.task.abort();
}

#[tokio::test]
async fn a_pod_is_asked_for_its_workload_once() {
    let (cluster, taken) = (Cluster::start(), Pages::default());
    let owned = |kind: &str, version: &str, name: &str| json!([{"kind": kind, "apiVersion": version, "name": name, "uid": "o", "controller": true}]);
    cluster.put(
        "/api/v1/namespaces/shop/pods/job-1",
        json!({"metadata": {"name": "job-1", "namespace": "shop", "uid": "p1",
        "labels": {"app": "nightly"}, "ownerReferences": owned("Job", "batch/v1", "nightly-run")}}),
    );
    cluster.put(
        "/apis/batch/v1/namespaces/shop/jobs/nightly-run",
        json!({"metadata": {"name": "nightly-run",
        "ownerReferences": owned("CronJob", "batch/v1", "nightly")}}),
    );
    let about = |name: &str, uid: &str| {
        json!({"involvedObject": {"kind": "Pod", "namespace": "shop", "name": name, "uid": uid,
        "fieldPath": "spec.containers{app}"}, "source": {"component": "kubelet", "host": "node1"}})
    };
    for _ in 0..3 {
        cluster.event("a", &about("job-1", "p1"));
    }
    cluster.event("b", &about("web-5d7b5cb4d6-x2vwz", "gone"));
    let reader = EventReader::new(&settings(&cluster), "one", &Clock::system(), &Metrics::new()).unwrap();
    let task = tokio::spawn(reader.run(taken.clone(), std::future::pending(), std::future::pending()));
    until("both", || taken.0.lock().len() == 2).await;
    let shown: Vec<String> = taken.0.lock().clone();
    assert_eq!(
        shown,
        [
            "workload=nightly workload_kind=CronJob service=nightly source=kubernetes_events namespace=shop pod=job-1 pod_uid=p1 container=app node=node1",
            "workload=web workload_kind=Deployment source=kubernetes_events namespace=shop pod=web-5d7b5cb4d6-x2vwz pod_uid=gone container=app node=node1",
        ]
    );
    cluster.event("a", &none());
    until("one more", || taken.0.lock().len() == 3).await;
    let asked = cluster.requests().into_iter().filter(|request| request.contains("/pods/")).count();
    assert_eq!(asked, 2);
    task.abort();
}

/// The identities of all events that came.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Vec<String>>>);

impl EventSink for Pages {
    async fn put(&mut self, page: EventPage) -> bool {
        for event in &page.events {
            let shown: Vec<String> = event
                .identity
                .iter()
                .map(|(name, _)| format!("{name}={}", text(&event.identity, name)))
                .collect();
            self.0.lock().push(shown.join(" "));
        }
        page.receipt.report(true);
        true
    }
}

#[test]
fn both_forms_of_an_event_say_the_same() {
    let about = json!({"kind": "Deployment", "namespace": "shop", "name": "web", "uid": "d", "apiVersion": "apps/v1"});
    let metadata = json!({"name": "web.1", "namespace": "shop", "uid": "e", "resourceVersion": "7", "creationTimestamp": "2026-11-20T10:00:00Z"});
    let old = json!({"metadata": metadata, "involvedObject": about, "reason": "ScalingReplicaSet", "message": "Scaled up",
        "source": {"component": "deployment-controller"}, "firstTimestamp": "2026-11-20T10:00:00Z",
        "lastTimestamp": "2026-11-20T10:05:00Z", "count": 3, "type": "Normal", "eventTime": null, "reportingComponent": "", "reportingInstance": ""});
    let new = json!({"metadata": metadata, "regarding": about, "reason": "ScalingReplicaSet", "note": "Scaled up",
        "deprecatedSource": {"component": "deployment-controller"}, "deprecatedFirstTimestamp": "2026-11-20T10:00:00Z",
        "deprecatedLastTimestamp": "2026-11-20T10:05:00Z", "deprecatedCount": 3, "type": "Normal", "eventTime": null});
    let record = |json: &serde_json::Value| {
        serde_json::from_value::<Event>(json.clone()).unwrap().record(Vec::new()).unwrap()
    };
    assert_eq!(record(&old), record(&new));
    let told = record(&old);
    assert_eq!(told.timestamp.unwrap().to_string(), "2026-11-20T10:05:00Z");
    let field = |name: &str| text(&told.fields, name);
    assert_eq!(
        ["message", "level", "event.reason", "event.count", "event.component"].map(field),
        ["Scaled up", "info", "ScalingReplicaSet", "Int(3)", "deployment-controller"]
    );
    assert_eq!(
        ["workload", "workload_kind", "namespace"].map(|name| text(&told.identity, name)),
        ["web", "Deployment", "shop"]
    );
    // A series, as the newer form counts repeats; an event about what has no namespace.
    let series = record(
        &json!({"metadata": metadata, "regarding": {"kind": "Node", "name": "node1", "uid": "node1"},
        "note": "n", "type": "Warning", "eventTime": "2026-11-20T10:00:00.000000Z", "reportingController": "kubelet",
        "series": {"count": 9, "lastObservedTime": "2026-11-20T10:09:00.000000Z"}}),
    );
    assert_eq!(series.timestamp.unwrap().to_string(), "2026-11-20T10:09:00Z");
    assert_eq!(
        (text(&series.fields, "event.count"), text(&series.fields, "level")),
        ("Int(9)".into(), "warn".into())
    );
    assert_eq!(
        (text(&series.identity, "node"), text(&series.identity, "namespace")),
        ("node1".into(), String::new())
    );
}
