//! What is said of files that were removed while Sawyer did not run, before they were read to their end.

use std::fs;

use crate::common::{Node, Run, Taker, WEB, cri_lines, messages};

const LOG: &str = "0.log";
const ROTATED: &str = "0.log.20261120-090000";

fn log(name: &str) -> String {
    format!("{WEB}/{name}")
}

fn unread(node: &Node) -> u64 {
    node.metric("sawyer_input_bytes_rotated_unread_total")
}

/// Ends a run as a kill does: nothing is saved beyond what was.
async fn kill(node: &Node, run: Run) {
    let offsets = node.state().join("offsets");
    run.wait(|| offsets.exists(), "offsets").await;
    let saved = fs::read(&offsets).unwrap();
    run.stop().await;
    fs::write(offsets, saved).unwrap();
}

/// Starts once more, with a new line in another log, and waits until all was looked at.
async fn start(node: &Node, line: u32) -> Run {
    node.write(
        "var/log/pods/shop_new_22222222-2222-3333-4444-555555555555/app/0.log",
        cri_lines(line..line + 1),
    );
    let run = node.containers(Taker::Keeps);
    run.wait_for(|records| messages(records).contains(&line.to_string()), "the line of another").await;
    run
}

/// The one file is being read, and the other waits for it, when Sawyer is killed; then the pod is deleted.
#[tokio::test]
async fn what_was_removed_after_a_kill_is_counted_once() {
    let node = Node::new();
    let line = format!("{}{}\n", cri_lines(0..1).trim_end(), " noise".repeat(1000));
    let (long, short) = (line.repeat(10_000), cri_lines(10..20));
    node.write(&log(ROTATED), &long);
    node.write(&log(LOG), &short);
    let run = node.containers(Taker::Holds);
    run.wait(|| run.count() > 3000, "as much as may be on its way").await;
    assert_eq!(unread(&node), 0);
    kill(&node, run).await;
    node.remove(&log(ROTATED));
    node.remove(&log(LOG));
    for line in [900, 901] {
        start(&node, line).await.stop().await;
        assert_eq!(unread(&node), (long.len() + short.len()) as u64);
    }
}

#[tokio::test]
async fn what_was_delivered_of_a_removed_file_is_not_counted() {
    let node = Node::new();
    let run = node.containers(Taker::KeepsEverySecond);
    node.write(&log(LOG), cri_lines(0..10));
    run.records(10).await;
    node.write(&log(LOG), cri_lines(10..30));
    run.records(30).await;
    run.stop().await;
    node.remove(&log(LOG));
    let run = start(&node, 900).await;
    assert_eq!(unread(&node), cri_lines(0..10).len() as u64);
    run.stop().await;
    // Nor anything of a file that was delivered to its end.
    fs::remove_dir_all(node.path("var/log/pods")).unwrap();
    let run = start(&node, 901).await;
    assert_eq!(unread(&node), cri_lines(0..10).len() as u64);
    run.stop().await;
}

#[tokio::test]
async fn what_has_another_name_or_is_compressed_is_not_counted() {
    for compressed in [false, true] {
        let node = Node::new();
        node.write(&log(LOG), cri_lines(0..100));
        let run = node.containers(Taker::Holds);
        run.records(100).await;
        kill(&node, run).await;
        node.rename(&log(LOG), &log(ROTATED));
        if compressed {
            node.gzip(&log(ROTATED));
        }
        node.write(&log(LOG), cri_lines(100..110));
        let run = start(&node, 900).await;
        let records = run.records(111).await;
        let mut found: Vec<u32> =
            messages(&records).iter().map(|message| message.parse().unwrap()).filter(|n| *n < 900).collect();
        found.sort_unstable();
        assert_eq!(found, (0..110).collect::<Vec<_>>());
        assert_eq!(unread(&node), 0);
        run.stop().await;
    }
}

/// A copy that is shorter, or of another file, holds nothing of it.
#[tokio::test]
async fn a_copy_of_another_file_is_none() {
    let node = Node::new();
    node.write(&log(LOG), cri_lines(0..100));
    let run = node.containers(Taker::Holds);
    run.records(100).await;
    kill(&node, run).await;
    node.remove(&log(LOG));
    node.write(&log(ROTATED), cri_lines(100..300));
    node.gzip(&log(ROTATED));
    let run = start(&node, 900).await;
    run.records(201).await;
    assert_eq!(unread(&node), cri_lines(0..100).len() as u64);
    run.stop().await;
}
