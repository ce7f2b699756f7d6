//! Logs of containers, on real files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use crate::common::{Node, Taker, WEB, cri, cri_lines, messages, numbers, stored, text};
use sawyer_model::Timestamp;

fn log(name: &str) -> String {
    format!("{WEB}/{name}")
}

#[tokio::test]
async fn reads_what_is_there_and_what_comes() {
    let node = Node::new();
    node.write(&log("0.log"), cri(1, "stdout", "F", "one"));
    let run = node.containers(Taker::Keeps);
    run.records(1).await;
    node.write(&log("0.log"), cri(2, "stderr", "F", "two"));
    run.records(2).await;
    node.write("var/log/pods/shop_new_x/app/3.log", cri(3, "stdout", "F", "three"));
    let records = run.records(3).await;
    assert_eq!(messages(&records), ["one", "two", "three"]);
    assert_eq!(records[0].timestamp, Timestamp::parse("2026-11-20T09:00:00.001000001Z").unwrap());
    let fields = |at: usize| {
        ["namespace", "pod", "pod_uid", "container", "restart_count", "stream", "node", "source"]
            .map(|name| text(&records[at], name))
    };
    let uid = "11111111-2222-3333-4444-555555555555";
    let source = format!("/{}", log("0.log"));
    assert_eq!(fields(0), ["shop", "web-0", uid, "app", "0", "stdout", "n1", &source]);
    assert_eq!(fields(1), ["shop", "web-0", uid, "app", "0", "stderr", "n1", &source]);
    assert_eq!(fields(2)[..5], ["shop", "new", "x", "app", "3"]);
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_lines_total"), 3);
}

#[tokio::test]
async fn a_folder_that_appears_later_is_seen_at_once() {
    let node = Node::new();
    let run = node.start("containers", "sweep_interval: 10m", Taker::Keeps);
    run.records(0).await;
    node.write(&log("0.log"), cri_lines(0..3));
    assert_eq!(messages(&run.records(3).await), numbers(0..3));
    run.stop().await;
}

#[tokio::test]
async fn joins_pieces_of_each_output_for_itself() {
    let node = Node::new();
    let lines = [
        cri(1, "stdout", "P", "a"),
        cri(2, "stderr", "P", "x"),
        cri(3, "stdout", "P", "b"),
        cri(4, "stderr", "F", "y"),
        cri(5, "stdout", "F", "c"),
        cri(6, "stdout", "F", ""),
    ];
    node.write(&log("0.log"), lines.concat());
    let run = node.containers(Taker::Keeps);
    let records = run.records(3).await;
    assert_eq!(messages(&records), ["xy", "abc", ""]);
    run.stop().await;
    // All of the file is durable, so nothing is read again.
    let again = node.containers(Taker::Keeps);
    node.write(&log("0.log"), cri(7, "stdout", "F", "next"));
    assert_eq!(messages(&again.records(1).await), ["next"]);
    again.stop().await;
}

#[tokio::test]
async fn the_last_words_of_a_container_come_out_though_it_did_not_end_the_line() {
    let node = Node::new();
    let words = cri(1, "stdout", "F", "first") + &cri(2, "stdout", "P", "last words");
    node.write(&log("0.log"), words);
    let run = node.containers(Taker::Keeps);
    assert_eq!(messages(&run.records(2).await), ["first", "last words"]);
    // Somebody went on after all.
    node.write(&log("0.log"), cri(3, "stdout", "F", " and more"));
    assert_eq!(messages(&run.records(3).await), ["first", "last words", " and more"]);
    run.stop().await;
}

#[tokio::test]
async fn finds_all_layouts_once() {
    let node = Node::new();
    let docker = |id: &str, name: &str| format!("var/lib/docker/containers/{id}/{name}");
    let line = |text: &str, n: u32| {
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-20T09:00:00.00000000{n}Z\"}}\n"
        )
    };
    // A pod whose log is a link to docker's file, with a rotated sibling there.
    let labels = r#"{"io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.name":"old-0",
        "io.kubernetes.pod.uid":"u1","io.kubernetes.container.name":"c","annotation.io.kubernetes.container.restartCount":"2"}"#;
    node.write(&docker("aa", "aa-json.log.1"), line("first", 1));
    node.write(&docker("aa", "aa-json.log"), line("second", 2));
    node.write(
        &docker("aa", "config.v2.json"),
        format!(r#"{{"Name":"/k8s_c_old-0_shop_u1_2","Config":{{"Image":"img:1","Labels":{labels}}}}}"#),
    );
    fs::create_dir_all(node.path("var/log/pods/shop_old-0_u1/c")).unwrap();
    symlink("/var/lib/docker/containers/aa/aa-json.log", node.path("var/log/pods/shop_old-0_u1/c/2.log"))
        .unwrap();
    // A container of docker alone.
    node.write(&docker("bb", "bb-json.log"), line("third", 3));
    node.write(
        &docker("bb", "config.v2.json"),
        r#"{"Name":"/web","Config":{"Image":"nginx:1.27","Labels":{}}}"#,
    );
    // Links to all of them, and one that leads to a file of no other layout.
    fs::create_dir_all(node.path("var/log/containers")).unwrap();
    let link =
        |name: &str, target: &str| symlink(target, node.path(&format!("var/log/containers/{name}"))).unwrap();
    link("old-0_shop_c-aa.log", "/var/log/pods/shop_old-0_u1/c/2.log");
    node.write("mnt/elsewhere/dd.log", cri(4, "stdout", "F", "fourth"));
    link("far-0_shop_c-dd.log", "/mnt/elsewhere/dd.log");

    let run = node.containers(Taker::Keeps);
    let mut records = run.records(4).await;
    records.sort_by_key(|record| record.timestamp);
    let fields =
        |at: usize, names: &[&str]| names.iter().map(|name| text(&records[at], name)).collect::<Vec<_>>();
    let who = ["message", "namespace", "pod", "pod_uid", "container", "restart_count", "source"];
    let source = "/var/log/pods/shop_old-0_u1/c/2.log";
    assert_eq!(fields(0, &who), ["first", "shop", "old-0", "u1", "c", "2", source]);
    assert_eq!(fields(1, &who), ["second", "shop", "old-0", "u1", "c", "2", source]);
    let source = "/var/lib/docker/containers/bb/bb-json.log";
    assert_eq!(fields(2, &who), ["third", "", "", "", "web", "", source]);
    assert_eq!(fields(2, &["image", "stream"]), ["nginx:1.27", "stdout"]);
    let source = "/var/log/containers/far-0_shop_c-dd.log";
    assert_eq!(fields(3, &who), ["fourth", "shop", "far-0", "", "c", "", source]);
    run.stop().await;
}

#[tokio::test]
async fn leaves_out_what_is_excluded() {
    let node = Node::new();
    for (number, name) in ["kube-system_dns-0_u", "shop_cart-1_u", "shop_pay-1_u"].iter().enumerate() {
        for container in ["app", "sidecar"] {
            let line = cri(number as u32, "stdout", "F", &format!("{name}/{container}"));
            node.write(&format!("var/log/pods/{name}/{container}/0.log"), line);
        }
    }
    let settings = "exclude: [kube-*, shop/cart-*, shop/*/sidecar]";
    let run = node.start("containers", settings, Taker::Keeps);
    assert_eq!(messages(&run.records(1).await), ["shop_pay-1_u/app"]);
    run.stop().await;
}

#[tokio::test]
async fn may_start_at_the_end_of_what_is_there() {
    let node = Node::new();
    node.write(&log("0.log.20261120-090000"), cri_lines(0..5));
    node.write(&log("0.log"), cri_lines(5..10));
    let run = node.start("containers", "read_from: end\nsweep_interval: 100ms", Taker::Keeps);
    run.wait(|| node.metric("sawyer_input_files") == 2, "files").await;
    run.records(0).await;
    node.write(&log("0.log"), cri_lines(10..12));
    node.write("var/log/pods/shop_later_u/app/0.log", cri_lines(100..101));
    let mut seen = messages(&run.records(3).await);
    seen.sort();
    assert_eq!(seen, ["10", "100", "11"]);
    run.stop().await;
    // The second start goes on where the first one was.
    node.write(&log("0.log"), cri_lines(12..13));
    let run = node.start("containers", "read_from: end", Taker::Keeps);
    assert_eq!(messages(&run.records(1).await), ["12"]);
    run.stop().await;
}

#[tokio::test]
async fn the_fields_of_dockers_driver_belong_to_the_stream() {
    let node = Node::new();
    let line = r#"{"log":"x\n","stream":"stderr","attrs":{"tag":"web/1","tier":"front"},"time":"2026-11-20T09:57:18.6Z"}"#;
    node.write("var/lib/docker/containers/cc/cc-json.log", format!("{line}\n"));
    node.write("var/lib/docker/containers/cc/config.v2.json", r#"{"Name":"/web","Config":{}}"#);
    let run = node.containers(Taker::Keeps);
    let records = run.records(1).await;
    assert_eq!(
        ["attrs.tag", "attrs.tier", "stream"].map(|name| text(&records[0], name)),
        ["web/1", "front", "stderr"]
    );
    assert!(records[0].stream.get("attrs.tag").is_some());
    run.stop().await;
}

#[tokio::test]
async fn many_files_are_read_in_turns() {
    let node = Node::new();
    let count = 3000;
    for number in 0..count {
        let lines = cri_lines(number * 3..number * 3 + 3);
        node.write(&format!("var/log/pods/shop_p-{number}_u/app/0.log"), lines);
    }
    let run = node.containers(Taker::Keeps);
    let records = run.records(count as usize * 3).await;
    let mut by_pod: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in &records {
        by_pod.entry(text(record, "pod")).or_default().push(text(record, "message"));
    }
    assert_eq!(by_pod.len(), count as usize);
    assert!((0..count).all(|number| by_pod[&format!("p-{number}")] == numbers(number * 3..number * 3 + 3)));
    // And what comes later, in each of them.
    for number in 0..count {
        node.write(&format!("var/log/pods/shop_p-{number}_u/app/0.log"), cri(number, "stdout", "F", "late"));
    }
    let records = run.records(count as usize * 4).await;
    assert_eq!(stored(&records).len(), count as usize * 4);
    assert_eq!(records.len(), count as usize * 4);
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_is_removed_before_its_first_turn_keeps_its_owner() {
    let node = Node::new();
    let folder = |pod: u32| format!("var/log/pods/shop_p{pod}_11111111-2222-3333-4444-555555555555/app");
    for pod in 0..20 {
        node.write(&format!("{}/0.log", folder(pod)), "");
    }
    node.write(&format!("{WEB}/0.log"), cri(1, "stdout", "F", "all were seen"));
    let run = node.containers(Taker::Keeps);
    run.records(1).await;
    for pod in 0..20 {
        node.write(&format!("{}/0.log", folder(pod)), cri(1, "stdout", "F", &format!("p{pod}")));
        fs::remove_dir_all(node.path(&folder(pod))).unwrap();
    }
    let records = run.records(21).await;
    for record in &records[1..] {
        assert_eq!(text(record, "pod"), text(record, "message"));
    }
    run.stop().await;
}
