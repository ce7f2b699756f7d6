//! Files that Sawyer rotates itself.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use crate::common::{Node, Run, Taker, messages, numbers};

const LOG: &str = "var/log/app.log";

fn start(node: &Node, rotate: &str, taker: Taker) -> Run {
    node.start("files", &format!("sweep_interval: 200ms\nrotate: {{size_max: 128KiB, {rotate}}}\n"), taker)
}

/// A writer that opens its file once and appends.
fn writer(node: &Node) -> File {
    node.write(LOG, "");
    OpenOptions::new().append(true).open(node.path(LOG)).unwrap()
}

/// Lines of 1 KB; the first word is the number.
fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("{number} {}\n", "x".repeat(1000))).collect()
}

fn first_words(run: &Run) -> Vec<String> {
    messages(&run.seen()).iter().map(|message| message.split(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_was_delivered_gives_its_space_back_and_no_line_is_lost() {
    let node = Node::new();
    let mut file = writer(&node);
    let run = start(&node, "how: free", Taker::Keeps);
    for round in 0..20 {
        file.write_all(lines(round * 100..round * 100 + 100).as_bytes()).unwrap();
        run.records(round as usize * 100 + 100).await;
    }
    assert_eq!(first_words(&run), numbers(0..2000));
    let taken = || fs::metadata(node.path(LOG)).unwrap().blocks() * 512;
    run.wait(|| taken() < 400 << 10, "space").await;
    assert!(fs::metadata(node.path(LOG)).unwrap().len() > 2_000_000);
    run.stop().await;
    assert!(node.metric("sawyer_input_rotations_total") > 3);
    // It is the same file after a restart.
    file.write_all(lines(2000..2010).as_bytes()).unwrap();
    let run = start(&node, "how: free", Taker::Keeps);
    run.records(10).await;
    assert_eq!(first_words(&run), numbers(2000..2010));
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_truncations_total"), 0);
}

#[tokio::test]
async fn nothing_is_freed_that_is_not_delivered() {
    let node = Node::new();
    let mut file = writer(&node);
    file.write_all(lines(0..1000).as_bytes()).unwrap();
    let run = start(&node, "how: free", Taker::Holds);
    run.records(1000).await;
    let taken = || fs::metadata(node.path(LOG)).unwrap().blocks() * 512;
    assert!(taken() > 1_000_000);
    run.keep_held();
    run.wait(|| taken() < 400 << 10, "space").await;
    run.stop().await;
}

#[tokio::test]
async fn a_writer_that_never_opens_its_file_again_goes_on_after_a_cut() {
    let node = Node::new();
    let mut file = writer(&node);
    let run = start(&node, "how: copy_truncate, keep: 2", Taker::Keeps);
    for round in 0..6 {
        file.write_all(lines(round * 200..round * 200 + 200).as_bytes()).unwrap();
        run.wait(|| fs::metadata(node.path(LOG)).unwrap().len() == 0, "cut").await;
    }
    run.records(1200).await;
    let mut found = first_words(&run);
    found.sort_by_key(|number| number.parse::<u32>().unwrap());
    assert_eq!(found, numbers(0..1200));
    assert!(node.path(&format!("{LOG}.2")).exists() && !node.path(&format!("{LOG}.3")).exists());
    assert_eq!(fs::read_to_string(node.path(&format!("{LOG}.1"))).unwrap(), lines(1000..1200));
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_rotations_total"), 6);
    // Nobody else has cut it.
    assert_eq!(node.metric("sawyer_input_truncations_total"), 0);
    assert_eq!(node.metric("sawyer_input_bytes_rotated_unread_total"), 0);
    let run = start(&node, "how: copy_truncate, keep: 2", Taker::Keeps);
    assert_eq!(messages(&run.records(0).await), [] as [&str; 0]);
    run.stop().await;
}

#[tokio::test]
async fn a_writer_that_looks_for_its_file_finds_it_renamed() {
    let node = Node::new();
    let run = start(&node, "how: rename, keep: 3", Taker::Keeps);
    for round in 0..8 {
        node.write(LOG, lines(round * 200..round * 200 + 200));
        run.wait(|| !node.path(LOG).exists(), "renamed file").await;
    }
    run.records(1600).await;
    assert_eq!(first_words(&run), numbers(0..1600));
    assert!(node.path(&format!("{LOG}.3")).exists() && !node.path(&format!("{LOG}.4")).exists());
    run.stop().await;
}

#[tokio::test]
async fn the_oldest_stays_until_it_is_delivered() {
    let node = Node::new();
    let run = start(&node, "how: rename, keep: 1", Taker::Holds);
    node.write(LOG, lines(0..200));
    run.wait(|| !node.path(LOG).exists(), "renamed file").await;
    node.write(LOG, lines(200..400));
    run.records(400).await;
    assert_eq!(fs::read_to_string(node.path(&format!("{LOG}.1"))).unwrap(), lines(0..200));
    run.keep_held();
    run.wait(|| !node.path(LOG).exists(), "renamed file").await;
    assert_eq!(fs::read_to_string(node.path(&format!("{LOG}.1"))).unwrap(), lines(200..400));
    run.stop().await;
}

#[tokio::test]
async fn space_is_given_back_again_after_the_writer_begins_anew() {
    let node = Node::new();
    let mut file = writer(&node);
    let run = start(&node, "how: free", Taker::Keeps);
    file.write_all(lines(0..2000).as_bytes()).unwrap();
    run.records(2000).await;
    let taken = || fs::metadata(node.path(LOG)).unwrap().blocks() * 512;
    run.wait(|| taken() < 400 << 10, "space").await;
    file.set_len(0).unwrap();
    file.write_all(lines(3000..4000).as_bytes()).unwrap();
    run.records(3000).await;
    run.wait(|| taken() < 400 << 10, "space").await;
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_truncations_total"), 1);
}

#[tokio::test]
async fn a_copy_of_somebody_who_was_killed_before_the_cut_is_made_anew() {
    let node = Node::new();
    let mut file = writer(&node);
    let run = start(&node, "how: copy_truncate", Taker::Keeps);
    file.write_all(lines(0..100).as_bytes()).unwrap();
    run.records(100).await;
    run.stop().await;
    file.write_all(lines(100..200).as_bytes()).unwrap();
    node.write(&format!("{LOG}.1"), lines(0..150));
    let run = start(&node, "how: copy_truncate", Taker::Keeps);
    run.wait(|| fs::metadata(node.path(LOG)).unwrap().len() == 0, "cut").await;
    assert_eq!(fs::read_to_string(node.path(&format!("{LOG}.1"))).unwrap(), lines(0..200));
    run.records(100).await;
    assert_eq!(first_words(&run), numbers(100..200));
    run.stop().await;
}

#[tokio::test]
async fn what_cannot_be_rotated_is_not_tried_again_with_each_line() {
    let node = Node::new();
    let mut file = writer(&node);
    // What cannot be removed is where the copy would be written.
    fs::create_dir(node.path("var/log/.app.log.1.sawyer")).unwrap();
    let rotate = "sweep_interval: 10m\nrotate: {size_max: 128KiB, how: copy_truncate}\n";
    let run = node.start("files", rotate, Taker::Keeps);
    for round in 0..10 {
        file.write_all(lines(round * 200..round * 200 + 200).as_bytes()).unwrap();
        run.records(round as usize * 200 + 200).await;
    }
    run.stop().await;
    let tries = node.metric("sawyer_input_errors_total");
    assert!((1..=3).contains(&tries), "tried {tries} times");
}
