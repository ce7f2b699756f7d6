//! The first start after another collector: what it passed on is not read again, and what it did not is read.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::common::{Node, Run, Taker, WEB, cri_lines, messages, numbers};
use crate::files::utf16;

const POSITIONS: &str = "var/lib/other/positions";

fn log(name: &str) -> String {
    format!("{WEB}/{name}")
}

/// Bytes of the first so many lines.
fn bytes(lines: u32) -> usize {
    cri_lines(0..lines).len()
}

fn start(node: &Node, from: &str) -> Run {
    let settings =
        format!("sweep_interval: 200ms\nnode: n1\nimport: [{{from: {from}, path: /{POSITIONS}}}]\n");
    node.start("containers", &settings, Taker::Keeps)
}

/// promtail knows paths only.
fn promtail(node: &Node, lines: u32) {
    node.write(POSITIONS, format!("positions:\n  /{WEB}/0.log: \"{}\"\n", bytes(lines)));
}

/// Expects these lines and no others, also after a restart.
async fn check(node: &Node, from: &str, expected: std::ops::Range<u32>) {
    let run = start(node, from);
    let count = expected.len();
    let end = expected.end;
    assert_eq!(messages(&run.records(count).await), numbers(expected));
    run.stop().await;
    // The positions of the other one count once.
    let run = start(node, from);
    let more: String = (end..end + 1).map(|n| cri_lines(n..n + 1)).collect();
    node.write(&log("0.log"), more);
    assert_eq!(messages(&run.records(1).await), numbers(end..end + 1));
    run.stop().await;
}

#[tokio::test]
async fn goes_on_behind_the_last_line_that_was_passed_on() {
    let node = Node::new();
    // Older than what was being read, so it was passed on.
    node.write(&log("0.log.20261120-080000"), cri_lines(500..510));
    node.gzip(&log("0.log.20261120-080000"));
    node.write(&log("0.log"), cri_lines(0..30));
    promtail(&node, 12);
    check(&node, "promtail", 12..30).await;
}

#[tokio::test]
async fn a_log_that_was_rotated_since_is_found_by_what_is_in_it() {
    let node = Node::new();
    node.write(&log("0.log.20261120-080000"), cri_lines(0..30));
    node.write(&log("0.log"), cri_lines(30..35));
    promtail(&node, 12);
    check(&node, "promtail", 12..35).await;
}

#[tokio::test]
async fn a_log_that_was_compressed_since_is_found_too() {
    let node = Node::new();
    node.write(&log("0.log.20261120-080000"), cri_lines(0..30));
    node.gzip(&log("0.log.20261120-080000"));
    node.write(&log("0.log.20261120-090000"), cri_lines(30..32));
    node.write(&log("0.log"), cri_lines(32..35));
    promtail(&node, 12);
    check(&node, "promtail", 12..35).await;
}

#[tokio::test]
async fn an_inode_tells_the_file_whatever_it_is_called() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..30));
    let link = node.path("var/log/containers/web-0_shop_app-1.log");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(format!("/{WEB}/0.log"), &link).unwrap();
    let inode = fs::metadata(node.path(&log("0.log"))).unwrap().ino();
    node.rename(&log("0.log"), &log("0.log.20261120-090000"));
    node.write(&log("0.log"), cri_lines(30..35));
    let line = format!("/var/log/containers/web-0_shop_app-1.log\t{:016x}\t{inode:016x}\n", bytes(12));
    node.write(POSITIONS, line);
    check(&node, "fluentd", 12..35).await;
}

#[tokio::test]
async fn a_position_in_a_link_means_what_the_link_leads_to() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..30));
    let link = node.path("var/log/containers/web-0_shop_app-1.log");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(format!("/{WEB}/0.log"), &link).unwrap();
    let state = format!(
        "[{{\"_key\":\"filestream::x::fingerprint::ab\",\"cursor\":{{\"offset\":{}}},\"meta\":{{\"source\":\"/var/log/containers/web-0_shop_app-1.log\"}}}}]",
        bytes(7)
    );
    node.write(&format!("{POSITIONS}/5.json"), state);
    check(&node, "filebeat", 7..30).await;
}

#[tokio::test]
async fn what_a_position_does_not_cover_is_read() {
    let node = Node::new();
    // The file that was meant is gone with all its siblings, and this one is shorter.
    node.write(&log("0.log"), cri_lines(0..5));
    promtail(&node, 12);
    check(&node, "promtail", 0..5).await;
    // Where the other one never ran there is no file, and all is read.
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..5));
    check(&node, "promtail", 0..5).await;
}

/// A line of Fluentd's about a file of the container.
fn fluentd(node: &Node, name: &str, inode: u64, offset: usize) {
    node.write(POSITIONS, format!("/{}\t{offset:016x}\t{inode:016x}\n", log(name)));
}

fn inode(node: &Node, name: &str) -> u64 {
    fs::metadata(node.path(&log(name))).unwrap().ino()
}

#[tokio::test]
async fn an_inode_that_another_log_has_now_means_nothing() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..30));
    let line =
        format!("/var/log/pods/shop_gone_1/app/0.log\t{:016x}\t{:016x}\n", bytes(12), inode(&node, "0.log"));
    node.write(POSITIONS, line);
    check(&node, "fluentd", 0..30).await;
}

#[tokio::test]
async fn where_lines_end_tells_nothing_about_files_that_cannot_be_meant() {
    // The file is gone, and these were never compressed.
    let node = Node::new();
    node.write(&log("0.log.20261120-080000"), cri_lines(0..30));
    node.write(&log("0.log"), cri_lines(30..60));
    fluentd(&node, "0.log", 1, bytes(12));
    check(&node, "fluentd", 0..60).await;
    // Nothing was passed on, of whichever file that was.
    let node = Node::new();
    node.write(&log("0.log.20261120-080000"), cri_lines(0..10));
    node.write(&log("0.log"), cri_lines(10..20));
    promtail(&node, 0);
    check(&node, "promtail", 0..20).await;
    // The container was started again since.
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..5));
    node.write(&log("1.log"), cri_lines(5..20));
    promtail(&node, 3);
    check(&node, "promtail", 3..20).await;
}

#[tokio::test]
async fn what_came_after_a_position_is_read_where_others_are_read_from_their_end() {
    let node = Node::new();
    node.write(&log("0.log.20261120-080000"), cri_lines(0..10));
    node.write(&log("0.log"), cri_lines(10..20));
    fluentd(&node, "0.log", inode(&node, "0.log.20261120-080000"), bytes(4));
    let settings = format!("read_from: end\nnode: n1\nimport: [{{from: fluentd, path: /{POSITIONS}}}]\n");
    let run = node.start("containers", &settings, Taker::Keeps);
    assert_eq!(messages(&run.records(16).await), numbers(4..20));
    run.stop().await;
}

#[tokio::test]
async fn positions_that_cannot_be_read_keep_nobody_from_reading() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..5));
    node.write(POSITIONS, "clients:\n");
    let settings = format!("read_from: end\nnode: n1\nimport: [{{from: promtail, path: /{POSITIONS}}}]\n");
    let run = node.start("containers", &settings, Taker::Keeps);
    assert_eq!(messages(&run.records(5).await), numbers(0..5));
    assert_eq!(node.metric("sawyer_input_errors_total"), 1);
    run.stop().await;
}

#[tokio::test]
async fn a_position_in_a_line_of_utf_16_means_its_beginning() {
    for (low_first, into) in [(true, 0), (true, 4), (false, 0), (false, 5)] {
        let node = Node::new();
        let passed = utf16("\u{feff}first\n", low_first);
        node.write("var/log/app.log", &passed);
        node.write("var/log/app.log", utf16("second\nthird\n", low_first));
        node.write(POSITIONS, format!("positions:\n  /var/log/app.log: \"{}\"\n", passed.len() + into));
        let settings = format!("import: [{{from: promtail, path: /{POSITIONS}}}]\n");
        let run = node.start("files", &settings, Taker::Keeps);
        assert_eq!(messages(&run.records(2).await), ["second", "third"]);
        run.stop().await;
    }
}

#[tokio::test]
async fn plain_files_are_gone_on_with_as_well() {
    let node = Node::new();
    let lines = |range: std::ops::Range<u32>| range.map(|n| format!("line {n:03}\n")).collect::<String>();
    node.write("var/log/app.log.1", lines(0..10));
    node.write("var/log/app.log", lines(10..20));
    node.write(POSITIONS, format!("positions:\n  /var/log/app.log: \"{}\"\n", lines(0..4).len()));
    let settings = format!("sweep_interval: 200ms\nimport: [{{from: promtail, path: /{POSITIONS}}}]\n");
    let run = node.start("files", &settings, Taker::Keeps);
    let expected: Vec<String> = (14..20).map(|n| format!("line {n:03}")).collect();
    assert_eq!(messages(&run.records(6).await), expected);
    run.stop().await;
}
