//! Plain files.

use std::fs;

use crate::common::{Node, Run, Taker, messages, numbers, text};

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

fn start(node: &Node) -> Run {
    node.start("files", "sweep_interval: 200ms\nnode: n1\n", Taker::Keeps)
}

#[tokio::test]
async fn reads_what_matches_with_its_siblings() {
    let node = Node::new();
    node.write("var/log/app.log.2", lines(0..5));
    node.gzip("var/log/app.log.2");
    node.write("var/log/app.log.1", lines(5..10));
    node.write("var/log/app.log", "10\r\n\n12\n");
    node.write("var/log/other.txt", "no\n");
    node.write("var/log/pods/a_b_c/d/0.log", "no\n");
    let run = start(&node);
    let records = run.records(13).await;
    let mut expected = numbers(0..13);
    expected[11] = String::new();
    assert_eq!(messages(&records), expected);
    let fields = ["source", "node", "stream"].map(|name| text(&records[0], name));
    assert_eq!(fields, ["/var/log/app.log", "n1", ""]);
    run.stop().await;
}

#[tokio::test]
async fn equal_beginnings_are_told_apart() {
    let node = Node::new();
    node.write("var/log/app.log", format!("=== start\n{}", lines(0..5)));
    let run = start(&node);
    run.records(6).await;
    node.rename("var/log/app.log", "var/log/app.log.1");
    node.write("var/log/app.log", format!("=== start\n{}", lines(5..10)));
    run.records(12).await;
    node.gzip("var/log/app.log.1");
    node.rename("var/log/app.log.1.gz", "var/log/app.log.2.gz");
    node.rename("var/log/app.log", "var/log/app.log.1");
    node.write("var/log/app.log", format!("=== start\n{}", lines(10..15)));
    let records = run.records(18).await;
    let said: Vec<String> = messages(&records).into_iter().filter(|message| message != "=== start").collect();
    assert_eq!(said, numbers(0..15));
    assert_eq!(records.len(), 18);
    run.stop().await;
    let again = start(&node);
    node.write("var/log/app.log", "last\n");
    assert_eq!(messages(&again.records(1).await), ["last"]);
    again.stop().await;
}

#[tokio::test]
async fn a_file_that_is_rotated_and_compressed_before_its_first_turn_is_read_once() {
    let node = Node::new();
    let logs: Vec<String> = (0..20).map(|number| format!("var/log/app{number}.log")).collect();
    for log in &logs {
        node.write(log, "");
    }
    node.write("var/log/first.log", "all were seen\n");
    let run = start(&node);
    run.records(1).await;
    for log in &logs {
        node.write(log, lines(0..10));
        node.gzip(log);
        node.rename(&format!("{log}.gz"), &format!("{log}.2.gz"));
        node.write(&format!("{log}.1"), lines(10..15));
        node.write(log, lines(15..20));
    }
    node.write("var/log/first.log", "all were written\n");
    run.records(2 + 20 * logs.len()).await;
    // Time for what must not come.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let records = run.stop().await;
    for log in &logs {
        let of_log: Vec<_> =
            records.iter().filter(|record| text(record, "source") == format!("/{log}")).cloned().collect();
        assert_eq!(messages(&of_log), numbers(0..20), "{log}");
    }
}

#[tokio::test]
async fn a_copied_and_cut_file_loses_nothing_that_was_copied() {
    let node = Node::new();
    node.write("var/log/app.log", lines(0..1000));
    let run = start(&node);
    run.records(1000).await;
    for round in 1..4 {
        let from = round * 1000;
        node.write("var/log/app.log", lines(from..from + 500));
        let copy = node.path(&format!("var/log/app.log.{}", 10 - round));
        fs::copy(node.path("var/log/app.log"), copy).unwrap();
        fs::OpenOptions::new().write(true).open(node.path("var/log/app.log")).unwrap().set_len(0).unwrap();
        node.write("var/log/app.log", lines(from + 500..from + 1000));
        run.records(from as usize + 1000).await;
    }
    let mut seen: Vec<u32> = messages(&run.seen()).iter().map(|message| message.parse().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..4000).collect::<Vec<_>>());
    run.stop().await;
}

#[tokio::test]
async fn a_file_with_nul_bytes_is_read() {
    let node = Node::new();
    node.write("var/log/odd.log", "a\0b\n\0\0\0\nc\n");
    let run = start(&node);
    assert_eq!(messages(&run.records(3).await), ["a\0b", "\0\0\0", "c"]);
    run.stop().await;
}

pub(crate) fn utf16(text: &str, low_first: bool) -> Vec<u8> {
    let units = text.encode_utf16();
    units.flat_map(|unit| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

#[tokio::test]
async fn a_byte_order_mark_tells_the_encoding() {
    let node = Node::new();
    node.write("var/log/a.log", utf16("\u{feff}결제 1\r\nsecond\r\n", true));
    node.write("var/log/b.log", utf16("\u{feff}결제 2\nthird\n", false));
    node.write("var/log/c.log", "\u{feff}결제 3\nfourth\n");
    let run = start(&node);
    let mut said = messages(&run.records(6).await);
    said.sort();
    assert_eq!(said, ["fourth", "second", "third", "결제 1", "결제 2", "결제 3"]);
    run.stop().await;
    // Where it was, an odd line feed, a half character and all, it goes on after a restart.
    node.write("var/log/a.log", utf16("ਊ fifth\n", true));
    let run = start(&node);
    assert_eq!(messages(&run.records(1).await), ["ਊ fifth"]);
    run.stop().await;
}

#[tokio::test]
async fn an_encoding_may_be_set() {
    let node = Node::new();
    node.write("var/log/a.log", b"\xb0\xe1\xc1\xa6 ok\nbad \xff!\n");
    let run = node.start("files", "sweep_interval: 200ms\nencoding: euc-kr\n", Taker::Keeps);
    let records = run.records(2).await;
    assert_eq!(messages(&records), ["결제 ok", "bad \u{fffd}!"]);
    assert_eq!(text(&records[1], "sawyer.mark"), "invalid_utf8");
    assert_eq!(text(&records[1], "_original_base64"), "YmFkIP8h");
    run.stop().await;
}

/// A line of UTF-16 that is longer than what is read at once, and longer than what is kept.
#[tokio::test]
async fn a_long_line_in_another_encoding_is_cut_like_any_other() {
    let node = Node::new();
    let long = format!("HEAD{}TAIL", "결".repeat(600_000));
    node.write("var/log/a.log", utf16(&format!("\u{feff}{long}\nafter\n"), true));
    let run = start(&node);
    let records = run.records(2).await;
    assert_eq!(text(&records[0], "sawyer.length"), long.len().to_string());
    let message = text(&records[0], "message");
    assert!(message.starts_with("HEAD결") && message.ends_with("결TAIL"), "{} bytes", message.len());
    assert_eq!(text(&records[1], "message"), "after");
    run.stop().await;
}

/// A link to the file of the day, which has a name that matches nothing.
fn turn_link(node: &Node, to: &str) {
    let (link, next) = (node.path("var/log/current.log"), node.path("var/log/.next"));
    std::os::unix::fs::symlink(node.path(to).file_name().unwrap(), &next).unwrap();
    fs::rename(next, link).unwrap();
}

const DAYS: [&str; 3] = ["var/log/day.1st", "var/log/day.2nd", "var/log/day.3rd"];

#[tokio::test]
async fn a_link_that_leads_elsewhere_while_running_costs_nothing() {
    let node = Node::new();
    node.write(DAYS[0], lines(0..5));
    turn_link(&node, DAYS[0]);
    let run = start(&node);
    run.records(5).await;
    for (day, before) in [(1, 0), (2, 1)] {
        let first = 10 * day;
        node.write(DAYS[before as usize], lines(first - 5..first));
        node.write(DAYS[day as usize], lines(first..first + 5));
        turn_link(&node, DAYS[day as usize]);
        run.records(first as usize + 5).await;
    }
    assert_eq!(messages(&run.stop().await), numbers(0..25));
    assert_eq!(node.metric("sawyer_input_bytes_rotated_unread_total"), 0);
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_after_a_stop_has_led_to_something() {
    let node = Node::new();
    node.write(DAYS[0], lines(0..5));
    turn_link(&node, DAYS[0]);
    let run = start(&node);
    run.records(5).await;
    assert_eq!(run.stop().await.len(), 5);
    // Much happens while Sawyer is away.
    node.write(DAYS[0], lines(5..10));
    node.write(DAYS[1], lines(10..15));
    turn_link(&node, DAYS[1]);
    let run = start(&node);
    assert_eq!(messages(&run.records(10).await), numbers(5..15));
    run.stop().await;
    // And something that is not read is not durable, whoever it was that stopped.
    node.write(DAYS[1], lines(15..20));
    let run = node.start("files", "sweep_interval: 200ms\nnode: n1\n", Taker::Holds);
    run.records(5).await;
    run.stop().await;
    node.write(DAYS[2], lines(20..25));
    turn_link(&node, DAYS[2]);
    let run = start(&node);
    assert_eq!(messages(&run.records(10).await), numbers(15..25));
    run.stop().await;
    let run = start(&node);
    node.write(DAYS[2], lines(25..26));
    assert_eq!(messages(&run.records(1).await), ["25"]);
    run.stop().await;
    assert_eq!(node.metric("sawyer_input_bytes_rotated_unread_total"), 0);
}

#[tokio::test]
async fn a_link_that_is_removed_while_nobody_reads_has_led_to_something() {
    let node = Node::new();
    node.write(DAYS[0], lines(0..5));
    turn_link(&node, DAYS[0]);
    let run = start(&node);
    run.records(5).await;
    run.stop().await;
    node.write(DAYS[0], lines(5..10));
    node.remove("var/log/current.log");
    let run = start(&node);
    assert_eq!(messages(&run.records(5).await), numbers(5..10));
    run.stop().await;
    // One that is there, and is not looked for any more, is let be.
    let node = Node::new();
    node.write(DAYS[1], lines(30..35));
    turn_link(&node, DAYS[1]);
    let run = start(&node);
    assert_eq!(messages(&run.records(5).await), numbers(30..35));
    run.stop().await;
    node.write(DAYS[1], lines(35..40));
    let settings = "sweep_interval: 200ms\nnode: n1\nexclude: [/var/log/current.log]\n";
    let run = node.start("files", settings, Taker::Keeps);
    node.write("var/log/other.log", lines(40..41));
    assert_eq!(messages(&run.records(1).await), ["40"]);
    run.stop().await;
}

/// What the link led to is gone by then: it is told how much of it nobody read, as far as that was known.
#[tokio::test]
async fn what_a_link_led_to_and_is_gone_is_counted() {
    let node = Node::new();
    node.write(DAYS[0], lines(0..5));
    turn_link(&node, DAYS[0]);
    let run = node.start("files", "sweep_interval: 200ms\nnode: n1\n", Taker::Holds);
    run.records(5).await;
    run.stop().await;
    node.write(DAYS[1], lines(10..15));
    turn_link(&node, DAYS[1]);
    node.remove(DAYS[0]);
    let run = start(&node);
    assert_eq!(messages(&run.records(5).await), numbers(10..15));
    assert_eq!(node.metric("sawyer_input_bytes_rotated_unread_total"), 10);
    run.stop().await;
}
