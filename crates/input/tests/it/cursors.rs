//! The first start after another collector that read the journal.

use crate::builder::Builder;
use crate::common::{Node, Run, Taker, messages};
use crate::journal::{FOLDER, MISSED, renumbered, sweeps};

const POSITIONS: &str = "var/lib/other/positions.yaml";

/// The start of the machine that the builder writes.
const BOOT: &str = "01000000000000000200000000000000";

/// Ten entries of a sequence, each of which says whose and the how manyth it is: numbered, and written, one behind the other
/// from 1 on.
fn ten(whose: &str, sequence: u8) -> Vec<u8> {
    let mut journal = Builder::new(true);
    for number in 1..=10 {
        journal.entry(&[format!("MESSAGE={whose} {number}").as_bytes()]);
    }
    let mut bytes = journal.finish();
    bytes[72..88].fill(sequence);
    bytes
}

fn of(whose: &str, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("{whose} {number}")).collect()
}

/// A line of promtail's about an entry of [`ten`].
fn line(job: &str, sequence: u8, number: u64) -> String {
    let (sequence, time) = (format!("{sequence:02x}").repeat(16), 1_763_600_000_000_000 + number);
    format!("  cursor-{job}: s={sequence};i={number:x};b={BOOT};m={number:x};t={time:x};x=ab\n")
}

fn start(node: &Node, more: &str) -> Run {
    let import = format!("import: [{{from: promtail, path: /{POSITIONS}}}]\n");
    let import = if more.contains("import:") { "" } else { &import };
    node.start("journal", &format!("sweep_interval: 200ms\n{import}{more}"), Taker::Keeps)
}

/// Expects these messages and no others, also after a restart.
async fn check(node: &Node, more: &str, mut expected: Vec<String>) {
    let run = start(node, more);
    let mut found = messages(&run.records(expected.len()).await);
    run.stop().await;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let run = start(node, more);
    run.wait(|| node.metric("sawyer_input_files") > 0, "files").await;
    assert_eq!(messages(&run.stop().await), [""; 0]);
}

#[tokio::test]
async fn goes_on_behind_the_entry_that_was_passed_on() {
    let node = Node::new();
    node.write(&format!("{FOLDER}/system.journal"), ten("system", 1));
    // A user's files have a sequence of their own before systemd 254; they are read along, in the order of time.
    node.write(&format!("{FOLDER}/user-1000.journal"), ten("user", 2));
    // Those of another machine, and of a namespace, are not.
    node.write("var/log/journal/remote/far.journal", ten("far", 3));
    node.write(&format!("{FOLDER}.shop/system.journal"), ten("shop", 4));
    node.write(POSITIONS, format!("positions:\n{}", line("journal", 1, 6)));
    let expected = [of("system", 7..=10), of("user", 6..=10), of("far", 1..=10), of("shop", 1..=10)].concat();
    check(&node, "", expected).await;
    assert_eq!(node.metric(MISSED), 0);
}

#[tokio::test]
async fn the_first_setting_of_where_to_start_holds_where_there_is_no_cursor() {
    let node = Node::new();
    node.write(&format!("{FOLDER}/system.journal"), ten("system", 1));
    node.write("var/log/journal/remote/far.journal", ten("far", 3));
    node.write(POSITIONS, format!("positions:\n{}", line("journal", 1, 6)));
    check(&node, "read_from: end\n", of("system", 7..=10)).await;
}

#[tokio::test]
async fn of_several_cursors_the_one_that_is_least_far_counts_unless_one_is_named() {
    let cursors = format!("positions:\n{}{}", line("old", 1, 3), line("journal", 1, 6));
    for (more, first) in
        [("", 4), ("import: [{from: promtail, path: /var/lib/other/positions.yaml, job: journal}]\n", 7)]
    {
        let node = Node::new();
        node.write(&format!("{FOLDER}/system.journal"), ten("system", 1));
        node.write(POSITIONS, &cursors);
        check(&node, more, of("system", first..=10)).await;
    }
}

#[tokio::test]
async fn entries_that_were_removed_since_are_counted() {
    let node = Node::new();
    node.write(&format!("{FOLDER}/system.journal"), renumbered(&ten("system", 1), 20));
    node.write(POSITIONS, format!("positions:\n{}", line("journal", 1, 6)));
    let run = start(&node, "");
    assert_eq!(messages(&run.records(10).await), of("system", 1..=10));
    run.wait(|| node.metric(MISSED) > 0, "missed entries").await;
    assert_eq!(node.metric(MISSED), 14, "those from 7 to 20");
    run.stop().await;
    let run = start(&node, "");
    sweeps(&run).await;
    assert_eq!(messages(&run.stop().await), [""; 0]);
    assert_eq!(node.metric(MISSED), 14, "once");
}

#[tokio::test]
async fn what_no_cursor_covers_is_read_and_told() {
    let import = format!("import: [{{from: promtail, path: /{POSITIONS}, job: nobody}}]\nread_from: end\n");
    let known = format!("positions:\n{}", line("journal", 1, 6));
    let of_another = format!("positions:\n{}", line("journal", 9, 6));
    let cases = [(&*of_another, "read_from: end\n"), ("clients:\n", "read_from: end\n"), (&*known, &*import)];
    for (positions, more) in cases {
        let node = Node::new();
        node.write(&format!("{FOLDER}/system.journal"), ten("system", 1));
        node.write(POSITIONS, positions);
        check(&node, more, of("system", 1..=10)).await;
        assert_eq!(node.metric("sawyer_input_errors_total"), 1, "{positions}{more}");
    }
    // Where the other one never ran, or read no journal, there is nothing to tell.
    for positions in ["", "positions: {}\n"] {
        let node = Node::new();
        node.write(&format!("{FOLDER}/system.journal"), ten("system", 1));
        if !positions.is_empty() {
            node.write(POSITIONS, positions);
        }
        check(&node, "", of("system", 1..=10)).await;
        assert_eq!(node.metric("sawyer_input_errors_total"), 0);
    }
}
