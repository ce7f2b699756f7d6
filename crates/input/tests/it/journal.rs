//! The systemd journal.

use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use crate::builder::Builder;
use crate::common::{Node, Run, Taker, messages, text};

pub(crate) const FOLDER: &str = "var/log/journal/0123456789abcdef0123456789abcdef";

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

/// Entries as journald, systemd, root and users write them; the message says what each is.
fn of_units() -> Vec<u8> {
    let mut journal = Builder::new(true);
    let entries: [&[&[u8]]; 9] = [
        &[b"MESSAGE=its own", b"_SYSTEMD_UNIT=web.service", b"_UID=33"],
        &[
            b"MESSAGE=systemd about it",
            b"UNIT=web.service",
            b"_PID=1",
            b"_UID=0",
            b"_SYSTEMD_UNIT=init.scope",
        ],
        &[b"MESSAGE=root about it", b"OBJECT_SYSTEMD_UNIT=web.service", b"_UID=0", b"_PID=400"],
        &[b"MESSAGE=its crash", b"COREDUMP_UNIT=web.service", b"_UID=0", b"_PID=401"],
        &[b"MESSAGE=of a user", b"_SYSTEMD_UNIT=user@1000.service", b"_SYSTEMD_USER_UNIT=web.service"],
        &[b"MESSAGE=a lie", b"UNIT=web.service", b"_PID=402", b"_UID=1000"],
        &[
            b"MESSAGE=another lie",
            b"OBJECT_SYSTEMD_UNIT=web.service",
            b"COREDUMP_UNIT=web.service",
            b"_UID=1000",
        ],
        &[b"MESSAGE=of another", b"_SYSTEMD_UNIT=db.service"],
        &[b"MESSAGE=of none", b"_TRANSPORT=kernel"],
    ];
    entries.iter().for_each(|fields| journal.entry(fields));
    journal.finish()
}

#[tokio::test]
async fn entries_of_units_are_those_that_journalctl_shows() {
    let of_web = ["its own", "systemd about it", "root about it", "its crash", "of a user"];
    let others = ["a lie", "another lie", "of another", "of none"];
    for (settings, expected) in
        [("units: ['web.*']", &of_web[..]), ("exclude_units: [web.service]", &others[..])]
    {
        let node = Node::new();
        node.write(&format!("{FOLDER}/system.journal"), of_units());
        let run = start(&node, settings, Taker::Keeps);
        assert_eq!(messages(&run.records(expected.len()).await), expected, "{settings}");
        run.stop().await;
    }
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

/// The same journal further on in its sequence: all its entries have numbers that are greater by so much.
pub(crate) fn renumbered(bytes: &[u8], by: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let add = |bytes: &mut [u8], at: usize| {
        let sum = number(bytes, at) + by;
        bytes[at..at + 8].copy_from_slice(&sum.to_le_bytes());
    };
    // Header: its size, the last object, the numbers of the last and the first entry.
    let (mut at, tail) = (number(&bytes, 88) as usize, number(&bytes, 136) as usize);
    add(&mut bytes, 160);
    add(&mut bytes, 168);
    while at <= tail {
        if bytes[at] == ENTRY {
            add(&mut bytes, at + 16);
        }
        at += (number(&bytes, at + 8) as usize).next_multiple_of(8);
    }
    bytes
}

/// The type of the objects that are entries.
const ENTRY: u8 = 3;

/// The numbers of the first and the last entry.
fn ends(bytes: &[u8]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    (number(168), number(160))
}

/// Waits for some looks at all files.
pub(crate) async fn sweeps(run: &Run) {
    let until = Instant::now() + Duration::from_secs(5);
    run.wait(|| Instant::now() > until, "sweeps").await;
}

pub(crate) const MISSED: &str = "sawyer_input_journal_missed_entries_total";

#[tokio::test]
async fn entries_that_were_removed_unread_are_counted_once() {
    let Some(bytes) = journal() else { return };
    let (first, last) = ends(&bytes);
    let node = Node::new();
    // What is not there at the first start was never Sawyer's.
    node.write(&format!("{FOLDER}/user-1000.journal"), &bytes);
    let later = renumbered(&bytes, 2 * (last - first + 1));
    node.write(&format!("{FOLDER}/system.journal"), &later);
    let run = start(&node, "", Taker::Keeps);
    let count = run.records(20).await.len();
    run.stop().await;
    let run = start(&node, "", Taker::Keeps);
    sweeps(&run).await;
    assert_eq!(run.stop().await.len(), 0);
    assert_eq!(node.metric(MISSED), 0);
    // While Sawyer is away, a file that it did not see comes and goes; that of a user stays.
    let (_, before) = ends(&later);
    let newest = renumbered(&later, 5 * (last - first + 1));
    node.write(&format!("{FOLDER}/system@2.journal"), &newest);
    let gap = ends(&newest).0 - before - 1;
    let run = start(&node, "", Taker::Keeps);
    run.wait_for(|records| records.len() >= count / 2, "entries").await;
    run.wait(|| node.metric(MISSED) > 0, "missed entries").await;
    assert_eq!(node.metric(MISSED), gap);
    run.stop().await;
    let run = start(&node, "", Taker::Keeps);
    sweeps(&run).await;
    assert_eq!(run.stop().await.len(), 0);
    assert_eq!(node.metric(MISSED), gap, "they are counted once");
}

/// The same journal as one of another sequence; the machine stays.
fn of_another_sequence(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[24..40].fill(0xA5);
    bytes[72..88].fill(0xA5);
    bytes
}

#[tokio::test]
async fn what_another_sequence_of_the_machine_has_is_not_missed() {
    let Some(bytes) = journal() else { return };
    let (first, last) = ends(&bytes);
    let length = last - first + 1;
    let node = Node::new();
    node.write(&format!("{FOLDER}/system@1.journal"), &bytes);
    // What is there already need not be read; so it is known what was before.
    let run = start(&node, "read_from: end\n", Taker::Keeps);
    run.wait(|| node.metric("sawyer_input_files") == 1, "file").await;
    run.stop().await;
    // A user comes, whose file is numbered by the same counter, behind two lengths that nobody saw.
    let user = renumbered(&bytes, 3 * length);
    node.write(&format!("{FOLDER}/user-1000.journal"), of_another_sequence(&user));
    node.write(&format!("{FOLDER}/system.journal"), renumbered(&bytes, 4 * length));
    let run = start(&node, "", Taker::Keeps);
    run.wait(|| node.metric(MISSED) > 0, "missed entries").await;
    sweeps(&run).await;
    assert!(!run.stop().await.is_empty());
    assert_eq!(node.metric(MISSED), ends(&user).0 - last - 1, "those that both sequences lack, once");
}
