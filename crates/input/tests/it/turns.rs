//! Whose turn it is when there is much to read, and what is said of bytes that nobody could read.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Node, Taker, WEB, cri_lines, messages, text};

/// The folder of another container.
fn other(name: &str) -> String {
    format!("var/log/pods/shop_{name}_11111111-2222-3333-4444-555555555555/app/0.log")
}

/// Lines that a noisy container writes, about a megabyte for 10,000.
fn noise(range: std::ops::Range<u32>) -> String {
    cri_lines(range).lines().map(|line| format!("{line}{}\n", " noise".repeat(10))).collect()
}

#[tokio::test]
async fn the_noisiest_file_starves_no_other() {
    let node = Node::new();
    node.write(&format!("{WEB}/0.log"), noise(0..200_000));
    for at in 0..20 {
        node.write(&other(&format!("quiet-{at}")), cri_lines(0..5));
    }
    let run = node.containers(Taker::Keeps);
    let records = run.records(200_100).await;
    let is_quiet = |record: &sawyer_model::Record| text(record, "pod").starts_with("quiet");
    let last_quiet = records.iter().rposition(is_quiet).unwrap();
    assert!(last_quiet < records.len() / 10, "the last quiet line came as number {last_quiet}");
    run.stop().await;
}

#[tokio::test]
async fn what_is_removed_next_is_read_first() {
    let node = Node::new();
    // Long live files, which nobody removes, are first in line.
    for at in 0..4 {
        node.write(&other(&format!("a-live-{at}")), noise(0..40_000));
    }
    for (at, minute) in (0..4).enumerate() {
        let first = at as u32 * 20_000;
        node.write(&format!("{WEB}/0.log.20261120-09{minute:02}00"), noise(first..first + 20_000));
    }
    node.write(&format!("{WEB}/0.log"), noise(80_000..80_010));
    let run = node.containers(Taker::Keeps);
    let records = run.records(240_010).await;
    let of_web = |record: &sawyer_model::Record| text(record, "pod") == "web-0";
    let last = records.iter().rposition(of_web).unwrap();
    // Half of the turns are theirs: 80,000 lines, and as many of all others. If all took turns alike it were a fifth, and
    // they came to an end last of all.
    assert!(last < 190_000, "the last line of the rotated files came as number {last}");
    let web: Vec<String> = messages(&records.into_iter().filter(of_web).collect::<Vec<_>>());
    assert!(web.is_sorted_by_key(|message| message.split(' ').next().unwrap().parse::<u32>().unwrap()));
    run.stop().await;
}

#[tokio::test]
async fn a_source_is_not_silent_before_it_was_read_to_its_end() {
    let node = Node::new();
    node.write(&format!("{WEB}/0.log"), noise(0..400_000));
    let begin = Instant::now();
    let run = node.containers(Taker::Holds);
    // Nothing is acknowledged, so that the input stops in the middle.
    run.wait(|| run.count() > 100_000, "as much as may be on its way").await;
    let source = run.seen()[0].source;
    let read = run.records(0).await.len();
    assert!(read < 400_000, "{read} lines were read");
    assert!(!run.is_silent(source, begin), "{read} lines were read");
    let all = || {
        run.keep_held();
        run.count() == 400_000
    };
    run.wait(all, "all lines").await;
    let read = Instant::now();
    run.wait(|| run.is_silent(source, read), "silence").await;
    run.stop().await;
}

#[tokio::test]
async fn bytes_that_a_truncation_took_are_counted() {
    let node = Node::new();
    let log = format!("{WEB}/0.log");
    node.write(&log, cri_lines(0..10));
    let run = node.containers(Taker::Keeps);
    run.records(10).await;
    // As `copytruncate` does: between the copy and the cut nobody may have read everything.
    let lost = cri_lines(10..10_000);
    node.write(&log, &lost);
    fs::OpenOptions::new().write(true).open(node.path(&log)).unwrap().set_len(0).unwrap();
    node.write(&log, cri_lines(10_000..10_005));
    let last = |records: &[sawyer_model::Record]| messages(records).iter().any(|message| message == "10004");
    run.wait_for(last, "the last line").await;
    let records = run.stop().await;
    assert_eq!(node.metric("sawyer_input_truncations_total"), 1);
    let read: u32 =
        messages(&records).iter().filter(|message| message.parse::<u32>().unwrap() < 10_000).count() as u32;
    // Of what nobody saw before the cut nobody can tell; what was seen and not read is counted.
    let unread = node.metric("sawyer_input_bytes_rotated_unread_total");
    assert!(unread <= cri_lines(read..10_000).len() as u64, "{unread} of {read}");
}

/// While nothing is taken any more, a compressed copy waits for its next turn, closed; that it is removed then is no
/// loss, as its original is open still, or was read to its end.
async fn removed_copy(original_ends: bool) {
    let node = Node::new();
    let rotated = format!("{WEB}/0.log.20261120-090000");
    node.write(&format!("{WEB}/0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Holds);
    run.records(10).await;
    let source = run.seen()[0].source;
    node.rename(&format!("{WEB}/0.log"), &rotated);
    node.gzip(&rotated);
    run.wait(|| node.metric("sawyer_input_files") == 2, "a copy").await;
    // Its first turn, at which it is found to be a copy.
    tokio::time::sleep(Duration::from_millis(300)).await;
    node.write(&other("noisy"), noise(0..400_000));
    run.wait(|| run.count() > 100_000, "as much as may be on its way").await;
    // Sweeps give it turns that do not come.
    tokio::time::sleep(Duration::from_millis(600)).await;
    if original_ends {
        run.keep_held_of(source);
        run.wait(|| node.metric("sawyer_input_files") == 2, "end of the original").await;
    }
    let files = node.metric("sawyer_input_files");
    node.remove(&format!("{rotated}.gz"));
    run.wait(|| node.metric("sawyer_input_files") == files - 1, "removal").await;
    assert_eq!(node.metric("sawyer_input_bytes_rotated_unread_total"), 0);
    let all = || {
        run.keep_held();
        run.count() == 400_010
    };
    run.wait(all, "all lines").await;
    run.stop().await;
}

#[tokio::test]
async fn a_removed_copy_of_what_is_open_is_no_loss() {
    removed_copy(false).await;
}

#[tokio::test]
async fn a_removed_copy_of_what_was_read_is_no_loss() {
    removed_copy(true).await;
}

#[tokio::test]
async fn nothing_is_said_to_be_in_danger_once_nobody_reads() {
    let node = Node::new();
    node.write(&format!("{WEB}/0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Holds);
    run.records(10).await;
    node.remove(&format!("{WEB}/0.log"));
    run.wait(|| node.metric("sawyer_input_files_in_danger") == 1, "file in danger").await;
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_files_in_danger"), 0);
}

/// `copytruncate` while nothing is taken any more.
async fn cut_behind(copied: bool) -> u64 {
    let node = Node::new();
    let (log, copy) = ("var/log/app.log", "var/log/app.log.1");
    let text = |range: std::ops::Range<u32>| {
        range.map(|number| format!("{number}{}\n", " noise".repeat(20))).collect::<String>()
    };
    node.write(log, text(0..400_000));
    let run = node.start("files", "sweep_interval: 200ms\n", Taker::Holds);
    run.wait(|| run.count() > 100_000, "as much as may be on its way").await;
    if copied {
        fs::copy(node.path(log), node.path(copy)).unwrap();
    }
    fs::OpenOptions::new().write(true).open(node.path(log)).unwrap().set_len(0).unwrap();
    node.write(log, text(400_000..400_005));
    let unread = || node.metric("sawyer_input_bytes_rotated_unread_total");
    let is_over = || {
        run.keep_held();
        if copied { run.count() == 400_005 } else { unread() > 0 }
    };
    run.wait(is_over, "all lines, or loss").await;
    assert_eq!(node.metric("sawyer_input_truncations_total"), 1);
    run.stop().await;
    unread()
}

#[tokio::test]
async fn what_is_in_a_copy_is_not_lost_by_the_cut() {
    assert_eq!(cut_behind(true).await, 0);
}

#[tokio::test]
async fn what_is_in_no_copy_is_lost_by_the_cut() {
    assert!(cut_behind(false).await > 1 << 20);
}

#[tokio::test]
async fn what_cannot_be_read_of_a_removed_file_is_counted() {
    let node = Node::new();
    node.write(&other("noisy"), noise(0..400_000));
    node.write(&format!("{WEB}/0.log"), cri_lines(0..10));
    let run = node.containers(Taker::Holds);
    run.wait(|| run.count() > 100_000, "as much as may be on its way").await;
    let damaged = format!("{WEB}/0.log.20261120-090000.gz");
    // Nothing more is read, so it does not have its turn before it is removed.
    let mut count = 0;
    while count != run.count() {
        count = run.count();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // It can be opened, and not be read.
    let content = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 40]].concat();
    node.write("tmp/damaged", &content);
    node.rename("tmp/damaged", &damaged);
    run.wait(|| node.metric("sawyer_input_files") == 3, "the damaged one").await;
    node.remove(&damaged);
    let all = || {
        run.keep_held();
        run.count() == 400_010 && node.metric("sawyer_input_files") == 2
    };
    run.wait(all, "all lines").await;
    assert_eq!(node.metric("sawyer_input_bytes_rotated_unread_total"), content.len() as u64);
    run.stop().await;
}

#[tokio::test]
async fn what_is_written_is_in_no_danger_where_only_one_file_is_kept() {
    let node = Node::new();
    let (log, rotated) = (format!("{WEB}/0.log"), format!("{WEB}/0.log.20261120-090000"));
    node.write(&log, cri_lines(0..10));
    let run = node.start("containers", "sweep_interval: 200ms\nnode: n1\nfiles_kept: 1\n", Taker::Holds);
    run.records(10).await;
    for number in 10..30 {
        node.write(&log, cri_lines(number..number + 1));
        tokio::time::sleep(Duration::from_millis(40)).await;
        assert_eq!(node.metric("sawyer_input_files_in_danger"), 0);
    }
    node.rename(&log, &rotated);
    run.wait(|| node.metric("sawyer_input_files_in_danger") == 1, "a file in danger").await;
    run.stop().await;
}
