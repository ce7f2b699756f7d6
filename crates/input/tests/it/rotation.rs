//! Files that are rotated, compressed, cut and removed while they are read, and restarts in between.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use crate::common::{Node, Run, Taker, WEB, cri, cri_lines, id, messages, numbers, stored};

fn log(name: &str) -> String {
    format!("{WEB}/{name}")
}

#[tokio::test]
async fn older_files_come_first() {
    let node = Node::new();
    node.write(&log("0.log.20261120-090000"), cri_lines(0..10));
    node.gzip(&log("0.log.20261120-090000"));
    node.write(&log("0.log.20261120-090100"), cri_lines(10..20));
    node.write(&log("0.log"), cri_lines(20..30));
    node.write(&log("1.log"), cri_lines(30..40));
    let run = node.containers(Taker::Keeps);
    let records = run.records(40).await;
    assert_eq!(messages(&records), numbers(0..40));
    run.stop().await;
}

#[tokio::test]
async fn a_rotated_file_is_read_to_its_end_and_not_again() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Keeps);
    run.records(10).await;
    node.rename(&log("0.log"), &log("0.log.20261120-090000"));
    // The runtime has the old file open still.
    node.write(&log("0.log.20261120-090000"), cri_lines(10..15));
    node.write(&log("0.log"), cri_lines(15..20));
    run.records(20).await;
    node.gzip(&log("0.log.20261120-090000"));
    node.write(&log("0.log"), cri_lines(20..21));
    let records = run.records(21).await;
    assert_eq!(messages(&records), numbers(0..21));
    run.stop().await;
    // Nor after a restart.
    let run = node.containers(Taker::Keeps);
    node.write(&log("0.log"), cri_lines(21..22));
    assert_eq!(messages(&run.records(1).await), ["21"]);
    run.stop().await;
}

#[tokio::test]
async fn what_was_rotated_and_compressed_meanwhile_is_caught_up() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Keeps);
    run.records(10).await;
    run.stop().await;
    node.write(&log("0.log"), cri_lines(10..20));
    node.rename(&log("0.log"), &log("0.log.20261120-090000"));
    node.gzip(&log("0.log.20261120-090000"));
    node.write(&log("0.log"), cri_lines(20..30));
    node.rename(&log("0.log"), &log("0.log.20261120-090100"));
    node.write(&log("0.log"), cri_lines(30..40));
    let run = node.containers(Taker::Keeps);
    assert_eq!(messages(&run.records(30).await), numbers(10..40));
    run.stop().await;
}

#[tokio::test]
async fn a_line_that_a_rotation_cut_is_one_record() {
    let node = Node::new();
    node.write(&log("0.log"), [cri(1, "stdout", "F", "a"), cri(2, "stdout", "P", "be")].concat());
    let run = node.containers(Taker::Keeps);
    run.records(1).await;
    node.rename(&log("0.log"), &log("0.log.20261120-090000"));
    node.write(&log("0.log"), [cri(3, "stderr", "F", "e"), cri(4, "stdout", "F", "ginning")].concat());
    let records = run.records(3).await;
    assert_eq!(messages(&records), ["a", "e", "beginning"]);
    run.stop().await;
    let again = node.containers(Taker::Keeps);
    node.write(&log("0.log"), cri(5, "stdout", "F", "z"));
    assert_eq!(messages(&again.records(1).await), ["z"]);
    again.stop().await;
}

#[tokio::test]
async fn what_the_next_file_goes_on_with_is_accounted_for() {
    let node = Node::new();
    node.write(&log("0.log.20261120-090000"), cri(1, "stdout", "F", "a"));
    node.write(&log("0.log.20261120-090000"), cri(2, "stdout", "P", "be"));
    node.gzip(&log("0.log.20261120-090000"));
    node.write(&log("0.log"), cri(3, "stderr", "F", "e"));
    let run = node.containers(Taker::Keeps);
    run.records(2).await;
    // Several sweeps; the other output says something all the time, so the beginning is not given up.
    for number in 0..30 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        assert_eq!(node.metric("sawyer_ledger_unaccounted_source_bytes"), 0);
        node.write(&log("0.log"), cri(number + 4, "stderr", "F", "e"));
    }
    node.write(&log("0.log"), cri(40, "stdout", "F", "ginning"));
    assert_eq!(messages(&run.records(33).await)[32], "beginning");
    run.stop().await;
}

/// A compressed file ends with the beginning of a line, the live one begins with another output's line: both were sent, in
/// batches of their own, of which the first is kept or held.
async fn a_cut_line_whose_files_were_sent(node: &Node, kept: bool) -> Run {
    let older = log("0.log.20261120-090000");
    node.write(&older, [cri(1, "stdout", "F", "a"), cri(2, "stdout", "P", "be")].concat());
    node.gzip(&older);
    // Beginnings are not given up for long.
    let run = node.start("containers", "sweep_interval: 60s\nnode: n1\n", Taker::Holds);
    run.records(1).await;
    if kept {
        run.keep_held();
    }
    node.write(&log("0.log"), cri(3, "stderr", "F", "e"));
    run.records(2).await;
    run
}

#[tokio::test]
async fn a_beginning_is_not_lost_where_only_the_newer_file_is_read_again() {
    let node = Node::new();
    let run = a_cut_line_whose_files_were_sent(&node, true).await;
    run.drop_held(1);
    run.records(3).await;
    node.write(&log("0.log"), cri(4, "stdout", "F", "ginning"));
    assert_eq!(messages(&run.records(4).await), ["a", "e", "e", "beginning"]);
    run.stop().await;
}

#[tokio::test]
async fn a_beginning_is_not_there_twice_where_only_the_older_file_is_read_again() {
    let node = Node::new();
    let run = a_cut_line_whose_files_were_sent(&node, false).await;
    run.drop_held(1);
    run.records(3).await;
    node.write(&log("0.log"), cri(4, "stdout", "F", "ginning"));
    assert_eq!(messages(&run.records(4).await), ["a", "e", "a", "beginning"]);
    run.stop().await;
}

/// A compressed file ends with the beginning of a line, the live one goes on with it: the lines before it were sent in one
/// batch, the whole line in another, and one of the live file's in a third.
async fn a_line_of_two_files_that_was_sent(node: &Node) -> Run {
    let older = log("0.log.20261120-090000");
    node.write(&older, [cri(1, "stdout", "F", "a"), cri(2, "stdout", "P", "be")].concat());
    node.gzip(&older);
    let run = node.start("containers", "sweep_interval: 60s\nnode: n1\n", Taker::Holds);
    run.records(1).await;
    node.write(&log("0.log"), cri(3, "stdout", "F", "ginning"));
    run.records(2).await;
    node.write(&log("0.log"), cri(4, "stderr", "F", "e"));
    assert_eq!(messages(&run.records(3).await), ["a", "beginning", "e"]);
    run
}

#[tokio::test]
async fn a_whole_line_that_is_on_its_way_stays_whole_where_its_older_file_is_read_again() {
    let node = Node::new();
    let run = a_line_of_two_files_that_was_sent(&node).await;
    run.settle_held(&[Some(false), None, None]);
    run.wait_for(|records| messages(records)[3..].contains(&"e".to_owned()), "all lines again").await;
    assert_eq!(messages(&run.records(6).await), ["a", "beginning", "e", "a", "beginning", "e"]);
    run.keep_held();
    run.stop().await;
}

#[tokio::test]
async fn a_beginning_whose_line_is_durable_does_not_begin_another_one() {
    let node = Node::new();
    let run = a_line_of_two_files_that_was_sent(&node).await;
    run.settle_held(&[Some(false), Some(true), Some(false)]);
    run.records(5).await;
    node.write(&log("0.log"), cri(5, "stdout", "F", "next"));
    assert_eq!(messages(&run.records(6).await), ["a", "beginning", "e", "a", "e", "next"]);
    run.keep_held();
    run.stop().await;
}

#[tokio::test]
async fn a_line_goes_on_behind_a_file_with_nothing_in_it() {
    let node = Node::new();
    node.write(&log("0.log.20261120-090000"), cri(1, "stdout", "P", "be"));
    node.write(&log("0.log.20261120-090100"), "");
    node.write(&log("0.log"), cri(2, "stdout", "F", "ginning"));
    let run = node.containers(Taker::Keeps);
    assert_eq!(messages(&run.records(1).await), ["beginning"]);
    run.stop().await;
}

/// The older file is done, and the empty one as well, before anybody goes on.
#[tokio::test]
async fn a_line_waits_for_its_rest_behind_a_file_with_nothing_in_it() {
    let node = Node::new();
    for (name, text) in [("090000", cri(1, "stdout", "P", "be")), ("090100", String::new())] {
        let rotated = log(&format!("0.log.20261120-{name}"));
        node.write(&rotated, text);
        node.gzip(&rotated);
    }
    let run = node.start("containers", "sweep_interval: 60s\nnode: n1\n", Taker::Keeps);
    run.wait(|| node.metric("sawyer_input_bytes_total") > 0, "the beginning").await;
    assert!(run.records(0).await.is_empty());
    node.write(&log("0.log"), cri(2, "stdout", "F", "ginning"));
    assert_eq!(messages(&run.records(1).await), ["beginning"]);
    run.stop().await;
}

#[tokio::test]
async fn what_is_not_acknowledged_is_read_again() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Holds);
    let first = run.records(10).await;
    run.stop().await;
    let run = node.containers(Taker::Keeps);
    let second = run.records(10).await;
    assert_eq!(messages(&second), numbers(0..10));
    assert_eq!(first.iter().map(id).collect::<Vec<_>>(), second.iter().map(id).collect::<Vec<_>>());
    run.stop().await;
}

#[tokio::test]
async fn late_acknowledgements_count() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Holds);
    run.records(10).await;
    run.keep_held();
    run.stop().await;
    let run = node.containers(Taker::Keeps);
    node.write(&log("0.log"), cri_lines(10..11));
    assert_eq!(messages(&run.records(1).await), ["10"]);
    run.stop().await;
}

#[tokio::test]
async fn what_was_dropped_on_the_way_is_sent_again() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Drops(1));
    assert_eq!(messages(&run.records(10).await), numbers(0..10));
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_errors_total"), 1);
}

#[tokio::test]
async fn a_gap_in_what_is_durable_is_filled_and_no_more() {
    let node = Node::new();
    let run = node.containers(Taker::KeepsEverySecond);
    for number in 0..6 {
        node.write(&log("0.log"), cri_lines(number..number + 1));
        run.records(number as usize + 1).await;
    }
    let first = run.stop().await;
    assert_eq!(messages(&first), numbers(0..6));
    let run = node.containers(Taker::Keeps);
    assert_eq!(messages(&run.records(3).await), ["0", "2", "4"]);
    run.stop().await;
}

#[tokio::test]
async fn a_removed_file_is_drained() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Keeps);
    run.records(10).await;
    let mut open = fs::OpenOptions::new().append(true).open(node.path(&log("0.log"))).unwrap();
    fs::remove_dir_all(node.path("var/log/pods")).unwrap();
    open.write_all(cri_lines(10..15).as_bytes()).unwrap();
    open.write_all(cri(15, "stdout", "F", "15").trim_end().as_bytes()).unwrap();
    drop(open);
    let records = run.records(16).await;
    assert_eq!(messages(&records), numbers(0..16));
    run.wait(|| node.metric("sawyer_input_files") == 0, "end of the file").await;
    run.stop().await;
}

#[tokio::test]
async fn a_new_file_with_the_number_of_an_old_one_is_another() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Keeps);
    run.records(10).await;
    run.stop().await;
    // The same name and inode, more bytes than before.
    fs::write(node.path(&log("0.log")), cri_lines(100..150)).unwrap();
    let run = node.containers(Taker::Keeps);
    assert_eq!(messages(&run.records(50).await), numbers(100..150));
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_is_cut_begins_anew() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Keeps);
    run.records(10).await;
    let file = fs::OpenOptions::new().write(true).open(node.path(&log("0.log"))).unwrap();
    file.set_len(0).unwrap();
    node.write(&log("0.log"), cri_lines(10..12));
    let records = run.records(12).await;
    assert_eq!(messages(&records), numbers(0..12));
    assert_ne!(records[0].source, records[11].source);
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_truncations_total"), 1);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_under_rotation_and_restarts() {
    let node = Arc::new(Node::new());
    let total = 100_000;
    let done = Arc::new(AtomicBool::new(false));
    let writer = thread::spawn({
        let (node, done) = (Arc::clone(&node), Arc::clone(&done));
        move || {
            write_with_rotation(&node, total);
            done.store(true, Ordering::Release);
        }
    });
    let mut seen = Vec::new();
    let mut takers = [Taker::Keeps, Taker::KeepsEverySecond, Taker::Drops(2)].into_iter().cycle();
    while !done.load(Ordering::Acquire) {
        let run = node.containers(takers.next().unwrap());
        run.wait_for(|records| records.len() > 3000, "some records").await;
        seen.extend(run.stop().await);
    }
    writer.join().unwrap();
    let run = node.containers(Taker::Keeps);
    let before = seen.clone();
    run.wait_for(|records| stored(before.iter().chain(records)).len() >= total as usize, "every record")
        .await;
    seen.extend(run.records(0).await);
    run.stop().await;
    let mut kept: Vec<u32> =
        messages(&stored(&seen)).iter().map(|message| message.parse().unwrap()).collect();
    kept.sort_unstable();
    assert_eq!(kept, (0..total).collect::<Vec<_>>());
}

/// Lines as a runtime writes them, with the kubelet's way of rotation: rename, open anew, compress the older one.
fn write_with_rotation(node: &Node, total: u32) {
    let mut older: Option<String> = None;
    for start in (0..total).step_by(2500) {
        for chunk in (start..start + 2500).step_by(100) {
            node.write(&log("0.log"), cri_lines(chunk..chunk + 100));
            // About 50,000 lines a second, so that several restarts fall into it.
            thread::park_timeout(Duration::from_millis(2));
        }
        let rotated = log(&format!("0.log.20261120-{start:06}"));
        node.rename(&log("0.log"), &rotated);
        if let Some(older) = older.replace(rotated) {
            node.gzip(&older);
        }
    }
}

#[tokio::test]
async fn a_removed_file_presses_until_it_is_safe() {
    let node = Node::new();
    node.write(&log("0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Holds);
    run.records(10).await;
    assert!(!run.is_pressed());
    node.remove(&log("0.log"));
    run.wait(|| run.is_pressed(), "pressure").await;
    run.keep_held();
    run.wait(|| !run.is_pressed(), "rest").await;
    run.stop().await;
}
