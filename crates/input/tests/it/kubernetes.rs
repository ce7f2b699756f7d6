//! Logs of containers with what an API server says about their pods, over its real form on a loopback connection.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Node, Run, Taker, WEB, cri, messages, text};

const WEB_UID: &str = "11111111-2222-3333-4444-555555555555";

fn pod(name: &str, uid: &str, labels: &Value, annotations: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": uid, "resourceVersion": "7",
        "labels": labels, "annotations": annotations, "ownerReferences": [{"apiVersion": "apps/v1",
        "kind": "ReplicaSet", "name": "web-5d7b5cb4d6", "uid": "rs", "controller": true}]},
        "spec": {"containers": [{"name": "app", "image": "shop/web:3"}]}})
}

/// Lists these pods; the watch says nothing until it is told what.
struct Api {
    address: String,
    watch: Arc<Mutex<Option<TcpStream>>>,
}

impl Api {
    fn start(pods: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let watch = Arc::new(Mutex::new(None));
        let watched = Arc::clone(&watch);
        let list = json!({"metadata": {"resourceVersion": "9"}, "items": pods}).to_string();
        thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let (list, watched) = (list.clone(), Arc::clone(&watched));
                thread::spawn(move || serve(stream, &list, &watched));
            }
        });
        Self { address, watch }
    }

    /// Waits until somebody watches.
    async fn watched(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.watch.lock().unwrap().is_none() {
            assert!(Instant::now() < deadline, "nobody watches");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Says in the watch that a pod is there.
    fn add(&self, pod: &Value) {
        let line = json!({"type": "ADDED", "object": pod}).to_string() + "\n";
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(stream) = &mut *self.watch.lock().unwrap() {
                return write!(stream, "{:x}\r\n{line}\r\n", line.len()).unwrap();
            }
            assert!(Instant::now() < deadline, "nobody watches");
            thread::yield_now();
        }
    }
}

fn serve(stream: TcpStream, list: &str, watched: &Mutex<Option<TcpStream>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        let watch = line.contains("watch=true");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        line.clear();
        let stream = reader.get_mut();
        if watch {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
            *watched.lock().unwrap() = Some(stream.try_clone().unwrap());
        } else {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{list}", list.len()).unwrap();
        }
    }
}

fn start(node: &Node, address: &str, wait: &str) -> Run {
    start_with(node, address, wait, "")
}

fn start_with(node: &Node, address: &str, wait: &str, more: &str) -> Run {
    let settings = format!(
        "{more}sweep_interval: 200ms\nnode: n1\nkubernetes: {{from: api, api: '{address}', token_file: /nowhere, ca_file: null, \
         wait: {wait}}}\n"
    );
    node.start("containers", &settings, Taker::Keeps)
}

#[tokio::test]
async fn lines_carry_what_the_cluster_says_and_excluded_pods_are_not_read() {
    let excluded = json!({"fluentbit.io/exclude": "true"});
    let labels = json!({"pod-template-hash": "5d7b5cb4d6", "app": "web", "env": "prod"});
    let api = Api::start(&json!([
        pod("web-0", WEB_UID, &labels, &json!(null)),
        pod("quiet", "quiet", &json!({}), &excluded)
    ]));
    let node = Node::new();
    node.write("var/log/pods/shop_quiet_quiet/app/0.log", cri(1, "stdout", "F", "not wanted"));
    node.write("var/log/pods/shop_quiet_quiet/app/1.log", cri(2, "stdout", "F", "not wanted either"));
    node.write(&format!("{WEB}/0.log"), cri(3, "stdout", "F", "one"));
    let run = start(&node, &api.address, "60s");
    let records = run.records(1).await;
    assert_eq!(messages(&records), ["one"]);
    let names =
        ["workload", "workload_kind", "image", "service", "env", "labels.app", "namespace", "pod", "stream"];
    let told = names.map(|name| text(&records[0], name));
    assert_eq!(told, ["web", "Deployment", "shop/web:3", "web", "prod", "web", "shop", "web-0", "stdout"]);
    run.wait(|| node.metric("sawyer_input_bytes_behind") == 0, "end of reading").await;
    run.stop().await;
}

#[tokio::test]
async fn no_pod_can_have_the_logs_of_another_left_out() {
    let claims = json!({"kubernetes.io/config.hash": WEB_UID, "kubernetes.io/config.mirror": "m", "sawyer.dev/exclude": "true"});
    let labels = json!({"app": "web"});
    let api = Api::start(&json!([
        pod("web-0", WEB_UID, &labels, &json!(null)),
        pod("thief", "t", &json!({"app": "thief"}), &claims)
    ]));
    let node = Node::new();
    node.write(&format!("{WEB}/0.log"), cri(1, "stdout", "F", "one"));
    let run = start(&node, &api.address, "60s");
    let records = run.records(1).await;
    assert_eq!(messages(&records), ["one"]);
    assert_eq!(text(&records[0], "service"), "web");
    run.stop().await;
}

#[tokio::test]
async fn lines_do_not_wait_longer_than_the_bound_and_later_ones_carry_what_came_late() {
    let api = Api::start(&json!([]));
    let node = Node::new();
    node.write(&format!("{WEB}/0.log"), cri(1, "stdout", "F", "early"));
    let began = Instant::now();
    let run = start(&node, &api.address, "300ms");
    let records = run.records(1).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "it waited");
    assert_eq!(text(&records[0], "workload"), "");
    api.add(&pod("web-0", WEB_UID, &json!({"pod-template-hash": "5d7b5cb4d6"}), &json!({})));
    // The watch is read beside the lines, so some may still be without it.
    for number in 0..2000 {
        node.write(&format!("{WEB}/0.log"), cri(2 + number, "stdout", "F", "later"));
        let records = run.records(2 + number as usize).await;
        if text(records.last().unwrap(), "workload") == "web" {
            break;
        }
    }
    let records = run.stop().await;
    assert_eq!(text(records.last().unwrap(), "workload"), "web");
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_holds_up_nothing() {
    // Accepts, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node::new();
    node.write(&format!("{WEB}/0.log"), cri(1, "stdout", "F", "one"));
    let run = start(&node, &format!("http://{}", silent.local_addr().unwrap()), "100ms");
    assert_eq!(messages(&run.records(1).await), ["one"]);
    node.write(&format!("{WEB}/0.log"), cri(2, "stdout", "F", "two"));
    assert_eq!(messages(&run.records(2).await), ["one", "two"]);
    run.stop().await;
}

#[tokio::test]
async fn what_annotations_say_about_lines_goes_with_them_and_what_is_not_known_is_counted() {
    let said = json!({"sawyer.dev/parser": "nginx", "sawyer.dev/parser.app": "json", "sawyer.dev/multiline": "^\\["});
    let wrong = json!({"fluentbit.io/parser": "my-own", "sawyer.dev/multiline": "jav"});
    let api =
        Api::start(&json!([pod("web-0", WEB_UID, &json!({}), &said), pod("wrong", "w", &json!({}), &wrong)]));
    let node = Node::new();
    node.write(&format!("{WEB}/0.log"), cri(1, "stdout", "F", "one"));
    node.write("var/log/pods/shop_wrong_w/app/0.log", cri(2, "stdout", "F", "two"));
    node.write("var/log/pods/shop_wrong_w/app/0.log", cri(3, "stdout", "F", "three"));
    let run = start(&node, &api.address, "60s");
    let records = run.records(3).await;
    for record in &records {
        let hints = ["sawyer.parser", "sawyer.multiline"].map(|name| text(record, name));
        let expected = if text(record, "pod") == "web-0" { ["json", "^\\["] } else { ["", ""] };
        assert_eq!(hints, expected);
    }
    assert_eq!(node.metric("sawyer_input_unknown_annotations_total"), 2);
    run.stop().await;
}

#[tokio::test]
async fn what_is_said_of_one_stream_counts_for_that_alone() {
    let said = json!({"fluentbit.io/exclude_stderr": "true", "fluentbit.io/parser_stdout": "json"});
    let both = json!({"fluentbit.io/exclude_stderr": "true", "fluentbit.io/exclude_stdout": "true"});
    let api =
        Api::start(&json!([pod("web-0", WEB_UID, &json!({}), &said), pod("mute", "m", &json!({}), &both)]));
    let node = Node::new();
    node.write("var/log/pods/shop_mute_m/app/0.log", cri(1, "stdout", "F", "not wanted"));
    let lines = [
        cri(1, "stderr", "P", "not "),
        cri(2, "stdout", "F", "one"),
        cri(3, "stderr", "F", "wanted"),
        cri(4, "stdout", "F", "two"),
        cri(5, "stderr", "F", "nor this"),
    ];
    node.write(&format!("{WEB}/0.log"), lines.concat());
    let run = start(&node, &api.address, "60s");
    let records = run.records(2).await;
    assert_eq!(messages(&records), ["one", "two"]);
    let told = ["stream", "sawyer.parser"].map(|name| text(&records[0], name));
    assert_eq!(told, ["stdout", "json"]);
    // All was read, and is not read again.
    run.wait(|| node.metric("sawyer_input_bytes_behind") == 0, "end of reading").await;
    run.stop().await;
    let run = start(&node, &api.address, "60s");
    node.write(&format!("{WEB}/0.log"), cri(6, "stdout", "F", "three"));
    assert_eq!(messages(&run.records(1).await), ["three"]);
    run.stop().await;
}

#[tokio::test]
async fn files_that_pods_name_are_read_from_their_volumes_and_no_link_leads_out() {
    let mut web = pod(
        "web-0",
        WEB_UID,
        &json!({}),
        &json!({"sawyer.dev/files": "/var/log/app/*.log,/var/log/app/sub/*.log"}),
    );
    web["spec"] = json!({"volumes": [{"name": "logs", "emptyDir": {}}],
        "containers": [{"name": "app", "image": "shop/web:3", "volumeMounts": [{"name": "logs", "mountPath": "/var/log/app"}]}]});
    let api = Api::start(&json!([]));
    let node = Node::new();
    let volume = format!("var/lib/kubelet/pods/{WEB_UID}/volumes/kubernetes.io~empty-dir/logs");
    node.write("etc/shadow.log", "secret\n");
    let run = start_with(&node, &api.address, "60s", "pod_files: /var/lib/kubelet/pods\n");
    // The folder is there before anybody knows of the pod.
    node.write(&format!("{volume}/app.log"), "one\ntwo\n");
    std::os::unix::fs::symlink(node.path("etc/shadow.log"), node.path(&format!("{volume}/link.log")))
        .unwrap();
    std::os::unix::fs::symlink(node.path("etc"), node.path(&format!("{volume}/sub"))).unwrap();
    api.watched().await;
    api.add(&web);
    let records = run.records(2).await;
    assert_eq!(messages(&records), ["one", "two"]);
    let names = ["namespace", "pod", "pod_uid", "container", "workload", "image", "source", "node"];
    let told = names.map(|name| text(&records[0], name));
    assert_eq!(
        told,
        ["shop", "web-0", WEB_UID, "app", "web-5d7b5cb4d6", "shop/web:3", "/var/log/app/app.log", "n1"]
    );
    // Rotated by the program, then removed with the pod while it is being written.
    node.rename(&format!("{volume}/app.log"), &format!("{volume}/app.log.1"));
    node.write(&format!("{volume}/app.log"), "three\n");
    run.records(3).await;
    node.write(&format!("{volume}/app.log"), "four\nfive without an end");
    std::fs::remove_dir_all(node.path(&format!("var/lib/kubelet/pods/{WEB_UID}"))).unwrap();
    let records = run.records(5).await;
    assert_eq!(messages(&records), ["one", "two", "three", "four", "five without an end"]);
    assert_eq!(text(&records[4], "workload"), "web-5d7b5cb4d6");
    run.stop().await;
}

#[tokio::test]
async fn files_in_volumes_are_read_though_both_streams_are_left_out() {
    let said = json!({"sawyer.dev/files": "/log/*.log", "sawyer.dev/exclude_stdout": "true",
        "sawyer.dev/exclude_stderr": "true"});
    let mut web = pod("web-0", WEB_UID, &json!({}), &said);
    web["spec"] = json!({"volumes": [{"name": "logs", "emptyDir": {}}],
        "containers": [{"name": "app", "image": "shop/web:3", "volumeMounts": [{"name": "logs", "mountPath": "/log"}]}]});
    let api = Api::start(&json!([web]));
    let node = Node::new();
    node.write(&format!("{WEB}/0.log"), [cri(1, "stdout", "F", "no"), cri(2, "stderr", "F", "nor")].concat());
    let volume = format!("var/lib/kubelet/pods/{WEB_UID}/volumes/kubernetes.io~empty-dir/logs");
    node.write(&format!("{volume}/app.log"), "one\n");
    let run = start_with(&node, &api.address, "60s", "pod_files: /var/lib/kubelet/pods\n");
    assert_eq!(messages(&run.records(1).await), ["one"]);
    run.wait(|| node.metric("sawyer_input_bytes_behind") == 0, "end of reading").await;
    assert_eq!(messages(&run.stop().await), ["one"]);
}
