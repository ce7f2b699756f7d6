mod cluster;
mod events;
mod server;

use std::sync::Arc;
use std::time::Duration;

use sawyer_model::Value;
use sawyer_telemetry::{Clock, Metrics};

use self::server::{Answer, Server};
use crate::client::{KubeClient, KubeError};
use crate::directory::{Directory, Lookup};
use crate::follow::{Follower, api_of_pod, kubelet_of_pod};
use crate::objects::{AnyObject, List, Pod};
use crate::pod::{Hints, PodInfo, Selection, matches};
use crate::settings::{KubeSettings, MetadataFrom};

/// Longest wait for what has to happen.
const SOON: Duration = Duration::from_secs(60);

fn pod(json: serde_json::Value) -> PodInfo {
    PodInfo::of(&serde_json::from_value::<Pod>(json).unwrap(), &everything().annotations)
}

fn everything() -> Selection {
    Selection { labels: vec!["*".into()], annotations: vec!["team*".into()] }
}

fn shown(pod: &PodInfo, container: &str) -> Vec<String> {
    let show = |(name, value): (Box<str>, Value)| match value {
        Value::Str(text) => format!("{name}={text}"),
        other => format!("{name}={other:?}"),
    };
    pod.fields(container, &everything()).into_iter().map(show).collect()
}

fn owned(kind: &str, name: &str, labels: &serde_json::Value) -> PodInfo {
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    pod(
        serde_json::json!({"metadata": {"name": "p", "namespace": "shop", "uid": "u", "labels": labels, "ownerReferences": [
            {"apiVersion": version, "kind": kind, "name": name, "uid": "o", "controller": true}
        ]}}),
    )
}

#[test]
fn owners_are_told_by_names_where_those_are_certain() {
    let hash = serde_json::json!({"pod-template-hash": "5d7b5cb4d6"});
    let none = serde_json::json!(null);
    for (kind, name, labels, owner, asks) in [
        ("ReplicaSet", "web-5d7b5cb4d6", &hash, "Deployment web", false),
        ("ReplicaSet", "own-set", &none, "ReplicaSet own-set", true),
        ("ReplicaSet", "web-other", &hash, "ReplicaSet web-other", true),
        ("StatefulSet", "db", &none, "StatefulSet db", false),
        ("DaemonSet", "agent", &none, "DaemonSet agent", false),
        ("Job", "report-29384756", &none, "CronJob report", true),
        ("Job", "migrate", &none, "Job migrate", true),
        ("Rollout", "canary", &none, "Rollout canary", false),
    ] {
        let pod = owned(kind, name, labels);
        let told = pod.owner.map(|owner| format!("{} {}", owner.kind, owner.name));
        assert_eq!((told.as_deref(), pod.ask.is_some()), (Some(owner), asks), "{kind} {name}");
    }
    assert_eq!(owned("Node", "node1", &none).owner, None);
}

#[test]
fn a_pod_is_told_addresses_of_both_kinds() {
    for (host, shown) in [("10.0.0.1", "10.0.0.1"), ("2001:db8::1", "[2001:db8::1]")] {
        assert_eq!(kubelet_of_pod(|_| Some(host.to_owned())), format!("https://{shown}:10250"));
        let api = api_of_pod(|name| (name == "KUBERNETES_SERVICE_HOST").then(|| host.to_owned()));
        assert_eq!(api, Some(format!("https://{shown}:443")));
    }
    assert_eq!(kubelet_of_pod(|_| None), "https://127.0.0.1:10250");
}

#[test]
fn fields_are_chosen_by_the_settings() {
    let pod = pod(serde_json::json!({
        "metadata": {"name": "cart-1", "namespace": "shop", "uid": "u",
            "labels": {"app.kubernetes.io/name": "cart", "app": "other", "environment": "prod"},
            "annotations": {"team": "red", "team.mail": "x@y", "secret": "s"}},
        "spec": {"containers": [{"name": "app", "image": "shop/cart:2"}], "initContainers": null}
    }));
    assert_eq!(
        shown(&pod, "app"),
        [
            "image=shop/cart:2",
            "service=cart",
            "env=prod",
            "labels.app=other",
            "labels.app.kubernetes.io/name=cart",
            "labels.environment=prod",
            "annotations.team=red",
            "annotations.team.mail=x@y",
        ]
    );
    assert_eq!(pod.fields("app", &Selection::default()).len(), 3);
    assert!(matches("app*", "app.kubernetes.io/name") && matches("?pp", "app") && !matches("app", "apps"));
}

#[test]
fn annotations_tell_how_logs_are_to_be_read() {
    let hints = |annotations: serde_json::Value| {
        pod(serde_json::json!({"metadata": {"name": "p", "annotations": annotations}})).hints("app", None)
    };
    let excluded = |annotations| hints(annotations).exclude;
    assert!(excluded(serde_json::json!({"sawyer.dev/exclude": "true"})));
    assert!(excluded(serde_json::json!({"sawyer.dev/exclude.app": "true"})));
    assert!(!excluded(serde_json::json!({"sawyer.dev/exclude.other": "true"})));
    assert!(excluded(serde_json::json!({"fluentbit.io/exclude": "true"})));
    assert!(excluded(serde_json::json!({"co.elastic.logs/enabled": "false"})));
    assert!(!excluded(serde_json::json!({"co.elastic.logs/enabled": "true"})));
    // Our own word counts more than that of others.
    assert!(!excluded(serde_json::json!({"sawyer.dev/exclude": "false", "fluentbit.io/exclude": "true"})));
    assert!(!excluded(serde_json::json!({"sawyer.dev/exclude": "maybe"})));
    let told = hints(
        serde_json::json!({"sawyer.dev/parser": "json", "fluentbit.io/parser": "apache", "sawyer.dev/multiline": "off"}),
    );
    let (parser, multiline) = (Some("json".into()), Some("off".into()));
    assert_eq!(told, Hints { parser, multiline, ..Hints::default() });
    let elastic = |negate: &str| {
        hints(
            serde_json::json!({"co.elastic.logs/multiline.pattern": "^\\[", "co.elastic.logs/multiline.negate": negate,
            "co.elastic.logs.app/multiline.match": "after", "sawyer.dev/exclude": "maybe"}),
        )
    };
    assert_eq!(elastic("true").multiline.as_deref(), Some("^\\["));
    assert_eq!(elastic("true").unknown, ["sawyer.dev/exclude: maybe"]);
    assert_eq!((elastic("false").multiline, elastic("false").unknown.len()), (None, 2));
    let told = hints(serde_json::json!({"fluentbit.io/parser-app": "logfmt"}));
    assert_eq!(told.parser.as_deref(), Some("logfmt"));
}

#[test]
fn annotations_for_one_stream_count_for_that_before_the_others() {
    let hints = |annotations: serde_json::Value| {
        let pod = pod(serde_json::json!({"metadata": {"name": "p", "annotations": annotations}}));
        [Some("stdout"), Some("stderr"), None].map(|stream| {
            let Hints { exclude, parser, unknown, .. } = pod.hints("app", stream);
            assert_eq!(unknown, [""; 0]);
            (exclude, parser.unwrap_or_default())
        })
    };
    let of = |out: (bool, &str), err: (bool, &str), none: (bool, &str)| {
        [out, err, none].map(|(exclude, parser)| (exclude, parser.to_owned()))
    };
    let one =
        serde_json::json!({"fluentbit.io/exclude_stderr": "true", "fluentbit.io/parser_stdout-app": "json"});
    assert_eq!(hints(one), of((false, "json"), (true, ""), (false, "")));
    let other_container = serde_json::json!({"fluentbit.io/exclude_stderr": "false", "fluentbit.io/parser_stdout-side": "json"});
    assert_eq!(hints(other_container), of((false, ""), (false, ""), (false, "")));
    let all = serde_json::json!({
        "fluentbit.io/exclude": "true", "fluentbit.io/exclude-app": "false", "fluentbit.io/exclude_stderr": "yes",
        "fluentbit.io/parser": "nginx", "fluentbit.io/parser_stderr": "logfmt", "fluentbit.io/parser_stderr-app": "json",
    });
    assert_eq!(hints(all), of((false, "nginx"), (true, "json"), (false, "nginx")));
    let own = serde_json::json!({
        "sawyer.dev/exclude_stdout.app": "true", "sawyer.dev/exclude_stderr": "false", "fluentbit.io/exclude": "true",
        "sawyer.dev/parser_stderr": "klog", "fluentbit.io/parser": "json",
    });
    assert_eq!(hints(own), of((true, "json"), (false, "klog"), (true, "json")));
}

#[test]
fn files_are_found_in_volumes_of_the_pods_own_and_nowhere_else() {
    let spec = serde_json::json!({
        "volumes": [{"name": "logs", "emptyDir": {}}, {"name": "host", "hostPath": {"path": "/"}}, {"name": "shared", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}, {"name": "huge", "emptyDir": {"medium": "HugePages-2Mi"}}],
        "containers": [
            {"name": "app", "volumeMounts": [{"name": "logs", "mountPath": "/var/log/app"}, {"name": "host", "mountPath": "/var/log/app/host"}, {"name": "memory", "mountPath": "/memory"}, {"name": "huge", "mountPath": "/huge"}]},
            {"name": "side", "volumeMounts": [{"name": "shared", "mountPath": "/data/", "subPath": "side"}, {"name": "logs", "mountPath": "/x", "subPath": "../y"}]},
        ]
    });
    let pod = pod(serde_json::json!({"metadata": {"name": "p", "uid": "u", "annotations": {
        "sawyer.dev/files": "/var/log/app/*.log, /var/log/app/old/?.txt /var/log/app/host/etc/shadow,/var/log/app/../../etc/shadow,/data/a.log,/nowhere.log,/memory/a.log,/huge/a.log",
        "sawyer.dev/files.side": "/data/b.log,/x/c.log,/var/log/app/d.log", "sawyer.dev/filesystem": "/data/e.log"}},
        "spec": spec}));
    let found: Vec<String> = pod
        .files()
        .iter()
        .map(|one| {
            format!("{} {}/{}/{} at {}", one.container, one.volume, one.sub_path, one.pattern, one.mount)
        })
        .collect();
    assert_eq!(
        found,
        [
            "app logs//*.log at /var/log/app",
            "app logs//old/?.txt at /var/log/app",
            "side shared/side/a.log at /data",
            "app memory//a.log at /memory",
            "side shared/side/b.log at /data"
        ]
    );
    let lost: Vec<String> =
        pod.hints("app", None).unknown.iter().map(|one| one.replace("sawyer.dev/files: ", "")).collect();
    assert_eq!(
        lost,
        [
            "/var/log/app/host/etc/shadow",
            "/var/log/app/../../etc/shadow",
            "/nowhere.log",
            "/huge/a.log",
            "/x/c.log",
            "/var/log/app/d.log"
        ]
    );
}

#[test]
fn of_annotations_only_what_is_of_use_is_kept_and_no_more_than_its_beginning() {
    let long = "ä".repeat(3000);
    let pod = pod(serde_json::json!({"metadata": {"name": "p", "uid": "u", "annotations": {
        "team": format!("x{long}"), "other": long, "sawyer.dev/parser": "json", "fluentbit.io/exclude": "true",
        "co.elastic.logs/enabled": "true", "kubernetes.io/config.hash": "h"}}}));
    let kept: Vec<(&str, usize)> = pod.annotations.iter().map(|(key, value)| (&**key, value.len())).collect();
    let hints = [("co.elastic.logs/enabled", 4), ("fluentbit.io/exclude", 4), ("sawyer.dev/parser", 4)];
    assert_eq!(kept, [&hints[..], &[("team", 4095)]].concat());
}

fn annotated(name: &str, uid: &str, annotations: &serde_json::Value) -> PodInfo {
    pod(
        serde_json::json!({"metadata": {"name": name, "namespace": "shop", "uid": uid, "annotations": annotations}}),
    )
}

#[test]
fn no_pod_speaks_for_another_whatever_its_annotations_say() {
    let directory = Directory::default();
    let uid = |uid: &str, name: &str| match directory.pod(uid, "shop", name) {
        Lookup::Known(pod) => Some(pod.uid.clone()),
        Lookup::Unknown => None,
    };
    let claims = |hash: &str| serde_json::json!({"kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash});
    let thief = annotated("thief", "t", &claims("v"));
    let mirror = annotated("etcd-n1", "m", &claims("hash"));
    let other_thief = annotated("other", "o", &claims("hash"));
    let (now, short) = (Clock::system().now(), Duration::ZERO);
    for thief_last in [false, true] {
        let victim = annotated("victim", "v", &serde_json::json!(null));
        let mut pods = [thief.clone(), victim, other_thief.clone(), mirror.clone()];
        if thief_last {
            pods.reverse();
        }
        pods.into_iter().for_each(|pod| directory.put(pod));
        assert_eq!(uid("v", "victim").as_deref(), Some("v"));
        assert_eq!(uid("hash", "etcd-n1").as_deref(), Some("m"), "a mirror's folder has its hash");
        assert_eq!((uid("v", "other"), uid("v", "web")), (None, None));
    }
    directory.lose(&thief, now, short);
    directory.lose(&other_thief, now, short);
    assert_eq!((uid("v", "victim").as_deref(), uid("hash", "etcd-n1").as_deref()), (Some("v"), Some("m")));
    assert_eq!((uid("t", "thief"), uid("v", "thief")), (None, None));
    // A mirror is made anew; that the one before is gone is heard late.
    directory.put(annotated("etcd-n1", "m2", &claims("hash")));
    directory.lose(&mirror, now, short);
    assert_eq!(uid("hash", "etcd-n1").as_deref(), Some("m2"));
    // The API server's pods have no other name.
    let hash = serde_json::json!({"kubernetes.io/config.hash": "h", "kubernetes.io/config.source": "api"});
    directory.put(annotated("plain", "p", &hash));
    assert_eq!((uid("h", "plain"), uid("p", "plain").as_deref()), (None, Some("p")));
}

#[test]
fn reads_the_list_of_a_real_kubelet() {
    let Some(path) = sawyer_testkit::shared("data/generated-here/kubelet-pods.json") else { return };
    let pods: List<Pod> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let pods: Vec<PodInfo> = pods.items.iter().map(|pod| PodInfo::of(pod, &[])).collect();
    let named = |name: &str| pods.iter().find(|pod| pod.name.starts_with(name)).unwrap();
    let web = named("web-5d7b5cb4d6");
    let fields = shown(web, "busybox");
    for wanted in
        ["workload=web", "workload_kind=Deployment", "service=web", "labels.pod-template-hash=5d7b5cb4d6"]
    {
        assert!(fields.iter().any(|field| field == wanted), "{wanted}: {fields:?}");
    }
    assert!(fields.iter().any(|field| field.starts_with("image=")), "{fields:?}");
    assert!(shown(named("agent-"), "a").contains(&"workload_kind=DaemonSet".to_owned()));
    assert_eq!(named("web-0").owner, None);
}

fn settings(server: &Server) -> KubeSettings {
    KubeSettings {
        from: MetadataFrom::Api,
        api: Some(server.url()),
        kubelet: Some(server.url()),
        token_file: server.token_file(),
        ca_file: None,
        ..KubeSettings::default()
    }
}

fn follow(settings: &KubeSettings) -> (Directory, tokio::task::JoinHandle<()>) {
    let follower = Follower::new(settings, Some("node 1"), &Clock::system(), &Metrics::new()).unwrap();
    let directory = follower.directory();
    (directory, tokio::spawn(follower.run()))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn known(directory: &Directory, uid: &str) -> Option<Arc<PodInfo>> {
    match directory.pod(uid, "shop", uid) {
        Lookup::Known(pod) => Some(pod),
        Lookup::Unknown => None,
    }
}

fn json_pod(uid: &str, version: u64, label: &str) -> serde_json::Value {
    serde_json::json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": uid, "namespace": "shop", "uid": uid,
        "resourceVersion": version.to_string(), "labels": {"v": label}}, "spec": {"containers": []}})
}

fn event(kind: &str, object: &serde_json::Value) -> String {
    serde_json::json!({"type": kind, "object": object}).to_string() + "\n"
}

fn list(version: u64, next: &str, items: &[serde_json::Value]) -> Answer {
    let body = serde_json::json!({"kind": "PodList", "apiVersion": "v1",
        "metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": items});
    Answer::whole(200, &body.to_string())
}

#[tokio::test]
async fn a_watch_goes_on_where_the_last_one_ended_and_lists_again_when_that_is_too_old() {
    let bookmark = serde_json::json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"resourceVersion": "30", "creationTimestamp": null}, "spec": {"containers": null}, "status": {}});
    let gone = serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version: 30 (99)", "reason": "Expired", "code": 410});
    let server = Server::start(vec![
        list(10, "page2", &[json_pod("a", 1, "1")]),
        list(10, "", &[json_pod("b", 2, "1")]),
        // A line may come in pieces.
        Answer::parts(vec![
            event("ADDED", &json_pod("c", 11, "1")),
            event("MODIFIED", &json_pod("a", 12, "2"))[..40].to_owned(),
            event("MODIFIED", &json_pod("a", 12, "2"))[40..].to_owned(),
            event("DELETED", &json_pod("b", 13, "1")),
            event("BOOKMARK", &bookmark),
        ]),
        Answer::parts(vec![event("ERROR", &gone)]),
        list(99, "", &[json_pod("a", 50, "3")]),
        Answer::open(),
    ]);
    let (directory, task) = follow(&settings(&server));
    until("the second list", || known(&directory, "a").is_some_and(|pod| pod.labels["v"] == "3")).await;
    until("the last watch", || server.requests().len() >= 6).await;
    let requests = server.requests();
    let node = "fieldSelector=spec.nodeName%3Dnode%201";
    assert_eq!(requests[0].path, format!("/api/v1/pods?{node}&limit=500&continue="));
    assert_eq!(requests[1].path, format!("/api/v1/pods?{node}&limit=500&continue=page2"));
    let versions: Vec<&str> = requests
        .iter()
        .filter_map(|request| request.path.split_once("&resourceVersion="))
        .map(|(_, version)| version)
        .collect();
    assert_eq!(versions, ["10", "30", "99"]);
    assert!(requests[2].path.contains("watch=true&allowWatchBookmarks=true"), "{}", requests[2].path);
    // Those that are gone are still known.
    assert!(known(&directory, "b").is_some() && known(&directory, "c").is_some());
    assert!(known(&directory, "d").is_none());
    task.abort();
}

#[tokio::test]
async fn a_watch_that_ends_at_once_is_not_repeated_at_once() {
    let gone = serde_json::json!({"kind": "Status", "message": "too old resource version", "code": 410});
    let server = Server::start(vec![
        list(10, "", &[]),
        Answer::parts(Vec::new()),
        Answer::parts(vec![event("ERROR", &gone)]),
        list(20, "", &[]),
        Answer::open(),
    ]);
    let began = tokio::time::Instant::now();
    let (_, task) = follow(&settings(&server));
    until("the last watch", || server.requests().len() >= 5).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    task.abort();
}

#[tokio::test]
async fn a_version_from_which_every_watch_fails_is_forgotten() {
    let broken =
        serde_json::json!({"kind": "Status", "message": "etcd event without the value before", "code": 500});
    let server = Server::start(vec![
        list(10, "", &[]),
        Answer::parts(vec![event("ERROR", &broken)]),
        Answer::parts(vec!["{\"type\":\n".to_owned()]),
        Answer::parts(vec![event("ERROR", &broken)]),
        list(20, "", &[]),
        Answer::open(),
    ]);
    let (_, task) = follow(&settings(&server));
    until("the last watch", || server.requests().len() >= 6).await;
    let requests = server.requests();
    let versions: Vec<_> =
        requests.iter().map(|request| request.path.split_once("&resourceVersion=")).collect();
    let versions: Vec<_> = versions.into_iter().map(|version| version.map(|(_, version)| version)).collect();
    assert_eq!(versions, [None, Some("10"), Some("10"), Some("10"), None, Some("20")]);
    task.abort();
}

#[tokio::test]
async fn of_a_long_refusal_only_the_beginning_is_read() {
    let said = serde_json::json!({"message": "x".repeat(1 << 20), "code": 500});
    let server = Server::start(vec![Answer::whole(500, &said.to_string())]);
    let client = KubeClient::new(&server.url(), &settings(&server), true).unwrap();
    let Err(KubeError::Refused { message, .. }) = client.get::<AnyObject>("/x").await else {
        panic!("refused")
    };
    assert!(message.len() <= 200, "{}", message.len());
}

#[tokio::test]
async fn a_token_that_is_replaced_is_used_from_the_next_request_on() {
    let refused = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    let server = Server::start(vec![
        Answer::whole(401, refused),
        list(1, "", &[json_pod("a", 1, "1")]),
        Answer::open(),
    ]);
    server.before(1, || "new\n".to_owned());
    let (directory, task) = follow(&settings(&server));
    until("the list", || known(&directory, "a").is_some()).await;
    let tokens: Vec<String> =
        server.requests().iter().take(2).map(|request| request.authorization.clone()).collect();
    assert_eq!(tokens, ["Bearer old", "Bearer new"]);
    task.abort();
}

#[tokio::test]
async fn owners_of_owners_are_asked_for_once() {
    let of_job = |uid: &str| {
        serde_json::json!({"metadata": {"name": uid, "namespace": "shop", "uid": uid, "resourceVersion": "1",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-run", "uid": "job", "controller": true}]}})
    };
    let job = serde_json::json!({"kind": "Job", "metadata": {"name": "nightly-run", "ownerReferences": [
        {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "cron", "controller": true}]}});
    let server = Server::start(vec![
        list(1, "", &[of_job("a"), of_job("b")]),
        Answer::whole(200, &job.to_string()),
        Answer::parts(vec![event("ADDED", &of_job("c"))]),
        Answer::open(),
    ]);
    let (directory, task) = follow(&settings(&server));
    let owner = |uid: &str| known(&directory, uid).and_then(|pod| pod.owner.clone()).map(|owner| owner.name);
    until("all owners", || ["a", "b", "c"].iter().all(|uid| owner(uid).as_deref() == Some("nightly"))).await;
    let asked: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.path.clone())
        .filter(|path| path.contains("jobs"))
        .collect();
    assert_eq!(asked, ["/apis/batch/v1/namespaces/shop/jobs/nightly-run"]);
    task.abort();
}

#[tokio::test]
async fn labels_of_namespaces_are_there_before_the_pod_is_known_and_asked_for_once() {
    let namespace =
        serde_json::json!({"metadata": {"name": "shop", "labels": {"team": "red", "other": "x"}}});
    let server = Server::start(vec![
        list(1, "", &[json_pod("a", 1, "1"), json_pod("b", 1, "1")]),
        Answer::whole(200, &namespace.to_string()),
        Answer::parts(vec![event("ADDED", &json_pod("c", 2, "1"))]),
        Answer::open(),
    ]);
    let settings = KubeSettings { namespace_labels: vec!["te*".to_owned()], ..settings(&server) };
    let (directory, task) = follow(&settings);
    until("the last pod", || known(&directory, "c").is_some()).await;
    let labels = directory.namespace("shop").unwrap();
    let fields = PodInfo::namespace_fields(&labels, &settings.namespace_labels);
    assert_eq!(fields, [("namespace_labels.team".into(), Value::from("red"))]);
    let asked = server.requests().iter().filter(|request| request.path == "/api/v1/namespaces/shop").count();
    assert_eq!(asked, 1);
    task.abort();
}

#[tokio::test]
async fn an_owner_that_could_not_be_asked_for_is_asked_for_again() {
    let of_job = serde_json::json!({"metadata": {"name": "a", "namespace": "shop", "uid": "a", "resourceVersion": "1",
        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-run", "uid": "job", "controller": true}]}});
    let job = serde_json::json!({"kind": "Job", "metadata": {"name": "nightly-run", "ownerReferences": [
        {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "cron", "controller": true}]}});
    let bookmark = serde_json::json!({"kind": "Pod", "metadata": {"resourceVersion": "9"}});
    let server = Server::start(vec![
        list(1, "", &[of_job]),
        Answer::whole(500, "{}"),
        Answer::parts(vec![event("BOOKMARK", &bookmark)]),
        Answer::whole(200, &job.to_string()),
        Answer::open(),
    ]);
    let (directory, task) = follow(&settings(&server));
    let owner = || known(&directory, "a").and_then(|pod| pod.owner.clone()).map(|owner| owner.name);
    until("the owner", || owner().as_deref() == Some("nightly")).await;
    task.abort();
}

#[tokio::test]
async fn the_kubelet_is_asked_again_when_somebody_asks_for_a_pod_that_is_not_known() {
    let server = Server::start(vec![
        Answer::whole(200, r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}"#),
        list(0, "", &[json_pod("a", 1, "1")]),
        list(0, "", &[json_pod("a", 1, "1")]),
        list(0, "", &[json_pod("a", 1, "1")]),
    ]);
    let asks = KubeSettings { from: MetadataFrom::Kubelet, api: None, ..settings(&server) };
    let (directory, task) = follow(&asks);
    let before = directory.version();
    let began = tokio::time::Instant::now();
    until("the pod is known", || known(&directory, "a").is_some()).await;
    assert!(began.elapsed() < Duration::from_secs(9), "sooner than it would have been asked anyway");
    assert_eq!(server.requests()[0].path, "/pods");
    assert!(directory.version() > before);
    task.abort();
}
