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
