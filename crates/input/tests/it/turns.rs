//! Whose turn it is when there is much to read, and what is said of bytes that nobody could read.

use std::fs;

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
