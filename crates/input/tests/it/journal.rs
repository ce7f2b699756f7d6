//! The systemd journal.

use std::fs;
use std::io::Read;

use crate::common::{Node, Run, Taker, text};

const FOLDER: &str = "var/log/journal/0123456789abcdef0123456789abcdef";

/// A journal that a real journald wrote, if it is here.
fn journal() -> Option<Vec<u8>> {
    let path = sawyer_testkit::shared("data/generated-here/journal-252-zstd-keyed.journal.gz")?;
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

fn start(node: &Node, more: &str, taker: Taker) -> Run {
    node.start("journal", &format!("sweep_interval: 200ms\n{more}"), taker)
}

#[tokio::test]
async fn entries_are_read_once() {
    let Some(bytes) = journal() else { return };
    let node = Node::new();
    let run = start(&node, "", Taker::Keeps);
    // It comes after the start, as after a boot.
    node.write(&format!("{FOLDER}/system.journal"), &bytes);
    run.wait_for(|records| !records.is_empty(), "entries").await;
    let count = run.records(1).await.len();
    let records = run.stop().await;
    assert!(count > 10 && records.len() == count, "{count} {}", records.len());
    assert!(records.iter().any(|record| !text(record, "message").is_empty()));
    assert!(records.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
    assert_eq!(text(&records[0], "source"), "journal");
    // Neither after a restart, nor under another name.
    node.rename(&format!("{FOLDER}/system.journal"), &format!("{FOLDER}/system@1.journal"));
    let run = start(&node, "", Taker::Keeps);
    run.wait(|| node.metric("sawyer_input_files") == 1, "file").await;
    assert_eq!(run.records(0).await.len(), 0);
    run.stop().await;
}

#[tokio::test]
async fn what_is_not_acknowledged_is_read_again() {
    let Some(bytes) = journal() else { return };
    let node = Node::new();
    node.write(&format!("{FOLDER}/system.journal"), &bytes);
    let run = start(&node, "", Taker::Holds);
    let first = run.records(10).await.len();
    run.stop().await;
    let run = start(&node, "", Taker::Drops(1));
    assert_eq!(run.records(first).await.len(), first);
    run.stop().await;
}

#[tokio::test]
async fn units_may_be_left_out() {
    let Some(bytes) = journal() else { return };
    let node = Node::new();
    node.write(&format!("{FOLDER}/system.journal"), &bytes);
    let run = start(&node, "", Taker::Keeps);
    let all = run.records(10).await;
    run.stop().await;
    let of_unit = all.iter().filter(|record| !text(record, "unit").is_empty()).count();
    let other = Node::new();
    other.write(&format!("{FOLDER}/system.journal"), &bytes);
    let run = start(&other, "exclude_units: ['*']", Taker::Keeps);
    assert_eq!(run.records(all.len() - of_unit).await.len(), all.len() - of_unit);
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_told_and_left() {
    let node = Node::new();
    node.write(&format!("{FOLDER}/system.journal"), "this is not a journal".repeat(100));
    let run = start(&node, "", Taker::Keeps);
    run.wait(|| node.metric("sawyer_input_errors_total") > 0, "error").await;
    assert_eq!(run.stop().await.len(), 0);
}

#[tokio::test]
async fn no_journal_is_no_error() {
    let node = Node::new();
    let run = start(&node, "", Taker::Keeps);
    assert_eq!(run.records(0).await.len(), 0);
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_errors_total"), 0);
}
