//! Lines and files that are not as they should be: nothing else suffers.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::{Node, Taker, WEB, cri, cri_lines, messages, numbers, text};

fn log(name: &str) -> String {
    format!("{WEB}/{name}")
}

fn marks(record: &sawyer_model::Record) -> String {
    text(record, "sawyer.mark")
}

#[tokio::test]
async fn malformed_lines_are_kept_and_marked() {
    let node = Node::new();
    let lines =
        [cri(1, "stdout", "F", "good"), "what is this\n".into(), "\n".into(), cri(2, "stdout", "F", "x")];
    node.write(&log("0.log"), lines.concat());
    let run = node.containers(Taker::Keeps);
    let records = run.records(3).await;
    assert_eq!(messages(&records), ["good", "what is this", "x"]);
    assert_eq!(records.iter().map(marks).collect::<Vec<_>>(), ["", "malformed", ""]);
    assert_eq!(records[1].timestamp, records[0].timestamp);
    assert_eq!(text(&records[1], "stream"), "");
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_malformed_lines_total"), 1);
    // The empty line is accounted for as well.
    let again = node.containers(Taker::Keeps);
    node.write(&log("0.log"), cri(3, "stdout", "F", "y"));
    assert_eq!(messages(&again.records(1).await), ["y"]);
    again.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept() {
    let node = Node::new();
    let prefix = b"2026-11-20T09:00:00.000000001Z stdout F ";
    let mut line = prefix.to_vec();
    line.extend(b"a\xff\xfeb\n");
    node.write(&log("0.log"), line);
    let mut line = prefix.to_vec();
    line[26] = b'2';
    line.extend(b"n\0ul\n");
    node.write(&log("0.log"), line);
    let run = node.containers(Taker::Keeps);
    let records = run.records(2).await;
    assert_eq!(messages(&records), ["a\u{fffd}\u{fffd}b", "n\0ul"]);
    assert_eq!(marks(&records[0]), "invalid_utf8");
    assert_eq!(text(&records[0], "_original_base64"), "Yf/+Yg==");
    run.stop().await;
}

#[tokio::test]
async fn a_huge_line_is_cut_and_the_next_one_is_whole() {
    let node = Node::new();
    let huge = "x".repeat(20 << 20);
    node.write(&log("0.log"), [cri(1, "stdout", "F", &huge), cri(2, "stdout", "F", "next")].concat());
    node.write("var/log/plain.log", [&huge, "\nnext\n"].concat());
    for (kind, settings) in [("containers", ""), ("files", "")] {
        let run = node.start(kind, settings, Taker::Keeps);
        let records = run.records(2).await;
        assert_eq!(records.len(), 2, "{kind}");
        assert_eq!(marks(&records[0]), "cut");
        assert_eq!(text(&records[0], "sawyer.length"), (20 << 20).to_string());
        let length = text(&records[0], "message").len();
        assert!(length <= (1 << 20) + 64, "{length}");
        assert_eq!(text(&records[1], "message"), "next");
        run.stop().await;
    }
    assert_eq!(node.metric("sawyer_input_cut_lines_total"), 2);
}

#[tokio::test]
async fn a_huge_line_in_pieces_is_read_again_after_a_restart() {
    let node = Node::new();
    let huge = "x".repeat(3 << 20);
    let line = cri(1, "stdout", "F", &huge);
    let (head, tail) = line.as_bytes().split_at(2 << 20);
    node.write(&log("0.log"), head);
    let run = node.start("containers", "line_max: 8MiB", Taker::Keeps);
    run.wait(|| node.metric("sawyer_input_bytes_total") >= 1 << 20, "bytes").await;
    assert_eq!(run.stop().await.len(), 0);
    node.write(&log("0.log"), tail);
    let run = node.start("containers", "line_max: 8MiB", Taker::Keeps);
    assert_eq!(messages(&run.records(1).await), [huge]);
    run.stop().await;
}

#[tokio::test]
async fn an_unreadable_file_is_no_trouble_for_others() {
    if rustix_is_root() {
        // Root reads everything; a folder in the place of a file cannot be read by anybody.
        let node = Node::new();
        node.write(
            &log("0.log.20261120-090000.gz"),
            "this is not gzip at all, and long enough to be a header",
        );
        node.write(&log("0.log"), cri_lines(0..3));
        let run = node.containers(Taker::Keeps);
        assert_eq!(messages(&run.records(3).await), numbers(0..3));
        run.stop().await;
        assert!(node.metric("sawyer_input_errors_total") >= 1);
        return;
    }
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..3));
    node.write("var/log/pods/shop_closed_u/app/0.log", cri_lines(3..6));
    let closed = node.path("var/log/pods/shop_closed_u/app/0.log");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let run = node.containers(Taker::Keeps);
    assert_eq!(messages(&run.records(3).await), numbers(0..3));
    assert!(node.metric("sawyer_input_errors_total") >= 1);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(messages(&run.records(6).await), numbers(0..6));
    run.stop().await;
}

fn rustix_is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn a_first_line_that_is_not_whole_waits() {
    let node = Node::new();
    let line = cri(1, "stdout", "F", "whole");
    let (head, tail) = line.split_at(20);
    node.write(&log("0.log"), head);
    let run = node.containers(Taker::Keeps);
    run.wait(|| node.metric("sawyer_input_files") == 1, "file").await;
    assert_eq!(run.records(0).await.len(), 0);
    node.write(&log("0.log"), tail);
    assert_eq!(messages(&run.records(1).await), ["whole"]);
    run.stop().await;
}

#[tokio::test]
async fn damaged_offsets_are_set_aside() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..3));
    let run = node.containers(Taker::Keeps);
    run.records(3).await;
    run.stop().await;
    let offsets = node.state().join("offsets");
    let mut bytes = fs::read(&offsets).unwrap();
    bytes[40] ^= 1;
    fs::write(&offsets, bytes).unwrap();
    let run = node.containers(Taker::Keeps);
    assert_eq!(messages(&run.records(3).await), numbers(0..3));
    run.stop().await;
    let names =
        fs::read_dir(node.state()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("offsets.damaged-")).count(), 1);
}
