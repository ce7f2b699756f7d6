use std::fs;

use proptest::prelude::*;

use super::*;

fn position(path: &str, inode: Option<u64>, offset: u64) -> Position {
    Position { path: path.into(), inode, offset }
}

#[test]
fn promtail_is_read() {
    let text = "positions:\n  /var/log/pods/shop_cart_1/app/0.log: \"120\"\n  \"/var/log/a: b.log\": \"7\"\n  \
                cursor-system: s=abc;i=1\n  /var/log/bad.log: x\n";
    let expected =
        [position("/var/log/pods/shop_cart_1/app/0.log", None, 120), position("/var/log/a: b.log", None, 7)];
    assert_eq!(promtail::positions(text).unwrap(), expected);
    assert_eq!(promtail::positions("positions: {}\n").unwrap(), []);
    assert_eq!(promtail::positions("clients:\n"), None);
    // What one leaves that was stopped before it wrote anything, or while it did.
    assert_eq!(promtail::positions("").unwrap(), []);
    assert_eq!(promtail::positions("positions:\n  /a: \"3\"\n  /b").unwrap(), [position("/a", None, 3)]);
}

#[test]
fn fluentd_is_read() {
    let text = "/var/log/a.log\t0000000000000010\t00000000000000ff\n/var/log/b.log\tffffffffffffffff\t0000000000000001\n\
                /var/log/a.log\t0000000000000020\t00000000000000ff\n/var/log/a.log\t0000000000000001\t0000000000000100\n";
    let expected = [position("/var/log/a.log", Some(255), 32), position("/var/log/a.log", Some(256), 1)];
    assert_eq!(fluentd::positions(text).unwrap(), expected);
    assert_eq!(fluentd::positions(&format!("{text}/var/log/torn.log\t0000")).unwrap(), expected);
    assert_eq!(fluentd::positions("").unwrap(), []);
    assert_eq!(fluentd::positions("no tabs\n"), None);
}

#[test]
fn filebeat_is_read_with_what_came_after_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
    assert!(read(Collector::Filebeat, path).is_err());
    write("log.json", "");
    assert_eq!(read(Collector::Filebeat, path).unwrap(), []);
    write("active.dat", "/usr/share/filebeat/data/registry/filebeat/7.json");
    write("3.json", r#"[{"_key":"old","source":"/old","offset":1}]"#);
    let checkpoint = r#"[{"_key":"filebeat::logs::native::11-64768","source":"/var/log/a.log","offset":10,"FileStateOS":{"inode":11,"device":64768},"timestamp":[1,2],"ttl":-1},
        {"_key":"filestream::my-id::native::12-64768","cursor":{"offset":20},"meta":{"source":"/var/log/b.log","identifier_name":"native"},"ttl":0,"updated":[1,2]},
        {"_key":"filestream::my-id::fingerprint::ab","cursor":{"offset":40},"meta":{"source":"/var/log/d.log","identifier_name":"fingerprint"}},
        {"_key":"filebeat::logs::native::13-1","source":"/var/log/c.log","offset":30,"FileStateOS":{"inode":13,"device":1}}]"#;
    write("7.json", checkpoint);
    let log = "{\"op\":\"set\",\"id\":1}\n{\"k\":\"filebeat::logs::native::11-64768\",\"v\":{\"source\":\"/var/log/a.log\",\"offset\":15,\"FileStateOS\":{\"inode\":11,\"device\":64768}}}\n\
               {\"op\":\"remove\",\"id\":2}\n{\"k\":\"filebeat::logs::native::13-1\"}\n{\"op\":\"set\",\"id\":3}\n{\"k\":\"torn";
    write("log.json", log);
    let expected = [
        position("/var/log/a.log", Some(11), 15),
        position("/var/log/d.log", None, 40),
        position("/var/log/b.log", Some(12), 20),
    ];
    assert_eq!(read(Collector::Filebeat, path).unwrap(), expected);
    let before = folder.path().join("registry");
    fs::write(&before, r#"[{"source":"/a","offset":3,"FileStateOS":{"inode":1,"device":2}}]"#).unwrap();
    assert_eq!(read(Collector::Filebeat, &before).unwrap(), [position("/a", Some(1), 3)]);
}

/// An entry of a journal as journald names it.
fn cursor(number: u64) -> String {
    format!("s={:032x};i={number:x};b={:032x};m=3e9;t=643fc1f86a3e8;x=1a21fca0a23d181", 7, 9)
}

/// The jobs and the numbers of the entries.
fn numbers(cursors: Vec<Cursor>) -> Vec<(String, u64)> {
    cursors.into_iter().map(|cursor| (cursor.job, cursor.entry.seqnum)).collect()
}

fn expected(cursors: &[(&str, u64)]) -> Vec<(String, u64)> {
    cursors.iter().map(|(job, number)| ((*job).to_owned(), *number)).collect()
}

#[test]
fn cursors_of_promtail_are_read() {
    let text = format!(
        "positions:\n  /var/log/a.log: \"7\"\n  cursor-journal: {}\n  cursor-\"old: one\": x\n  'cursor-it''s': '{}'\n",
        cursor(17),
        cursor(300)
    );
    assert_eq!(numbers(promtail::cursors(&text).unwrap()), expected(&[("journal", 17), ("it's", 300)]));
    assert_eq!(promtail::positions(&text).unwrap(), [position("/var/log/a.log", None, 7)]);
    assert_eq!(promtail::cursors("clients:\n"), None);
}

#[test]
fn a_cursor_of_fluentd_is_read() {
    for text in [format!("{{\n  \"journal\": \"{}\"\n}}", cursor(17)), format!("{}\n", cursor(17))] {
        assert_eq!(fluentd::cursor(&text).unwrap().entry.seqnum, 17, "{text}");
    }
    for text in ["", "{}", "{\"journal\": 5}", "\"journal\"", "[]", "s=1"] {
        assert_eq!(fluentd::cursor(text), None, "{text}");
    }
}

#[test]
fn cursors_of_filebeat_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |key: &str, number| {
        format!(
            "{{\"k\":\"{key}\",\"v\":{{\"ttl\":0,\"cursor\":{{\"version\":1,\"position\":\"{}\"}}}}}}\n",
            cursor(number)
        )
    };
    let set = "{\"op\":\"set\",\"id\":1}\n";
    let log = [
        entry("journald::everything::LOCAL_SYSTEM_JOURNAL", 3),
        entry("journald::LOCAL_SYSTEM_JOURNAL", 5),
        entry("journald::everything::LOCAL_SYSTEM_JOURNAL", 4),
        entry("filestream::x::LOCAL_SYSTEM_JOURNAL", 9),
    ];
    fs::write(folder.path().join("log.json"), log.map(|entry| format!("{set}{entry}")).concat()).unwrap();
    let read = |job| read_cursors(Collector::Filebeat, folder.path(), job);
    assert_eq!(numbers(read(None).unwrap()), expected(&[("", 5), ("everything", 4)]));
    assert_eq!(numbers(read(Some("everything")).unwrap()), expected(&[("everything", 4)]));
    assert!(read(Some("nobody")).is_err());
    assert_eq!(positions(&folder), []);
}

fn positions(folder: &tempfile::TempDir) -> Vec<Position> {
    read(Collector::Filebeat, folder.path()).unwrap()
}

/// A database as that of Fluent Bit's input `systemd`, made by SQLite 3.40, with a change in the write-ahead log.
#[test]
fn a_cursor_of_fluent_bit_is_read_with_its_write_ahead_log() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/positions");
    let path = folder.join("flb-systemd.db");
    assert_eq!(numbers(read_cursors(Collector::FluentBit, &path, None).unwrap()), expected(&[("", 4711)]));
    let main = fs::read(&path).unwrap();
    assert_eq!(numbers(fluent_bit::cursors(&main, &[]).unwrap()), expected(&[("", 17)]));
    assert_eq!(fluent_bit::positions(&main, &[]), None);
}

/// A database as Fluent Bit's, made by SQLite 3.40: 300 rows over several pages, and in the write-ahead log a change, a
/// removal, and a row that needs overflow pages.
#[test]
fn fluent_bit_is_read_with_its_write_ahead_log() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/positions");
    let positions = read(Collector::FluentBit, &folder.join("flb.db")).unwrap();
    assert_eq!(positions.len(), 300);
    let name = |n: u64| format!("/var/log/containers/pod-{n:03}_shop_app-{}.log", "ab".repeat(32));
    assert_eq!(positions[0], position(&name(0), Some(5000), 77));
    assert_eq!(positions[1], position(&name(1), Some(5001), 1000));
    assert_eq!(positions[2], position(&name(3), Some(5003), 3000));
    let long = format!("/var/log/{}.log", "x".repeat(6000));
    assert_eq!(positions[299], position(&long, Some(9), 1 << 40));
    // Without the log it is as it was at the last checkpoint.
    let main = fs::read(folder.join("flb.db")).unwrap();
    let before = fluent_bit::positions(&main, &[]).unwrap();
    assert_eq!((before.len(), before[0].offset), (300, 0));
    // A log that was not written to its end counts up to its last commit.
    let log = fs::read(folder.join("flb.db-wal")).unwrap();
    let torn = fluent_bit::positions(&main, &log[..log.len() - 1]).unwrap();
    assert_eq!(torn.iter().filter(|position| position.inode == Some(9)).count(), 0);
    assert_eq!(fluent_bit::positions(&log, &main), None);
    assert_eq!(fluent_bit::cursors(&main, &log), None);
}

/// One page of 64 KiB whose cells are all the same long row.
#[test]
fn a_database_whose_cells_overlap_is_none() {
    let mut main = vec![0; 65_536];
    main[..16].copy_from_slice(b"SQLite format 3\0");
    main[16..18].copy_from_slice(&1_u16.to_be_bytes());
    let cells: u16 = 2000;
    main[100] = 0x0d;
    main[103..105].copy_from_slice(&cells.to_be_bytes());
    let cell: u16 = 10_000;
    for at in 0..usize::from(cells) {
        main[108 + 2 * at..110 + 2 * at].copy_from_slice(&cell.to_be_bytes());
    }
    // A payload of 16,000 bytes, the number of the row, and a record of one text.
    let text: [u8; 4] = [4, 0x81, 0xfa, 0x05];
    main[10_000..10_003].copy_from_slice(&[0xfd, 0x00, 1]);
    main[10_003..10_007].copy_from_slice(&text);
    assert_eq!(sqlite::rows_of_schema(&main), None);
    main[103..105].copy_from_slice(&2_u16.to_be_bytes());
    assert_eq!(sqlite::rows_of_schema(&main), Some(2));
}

proptest! {
    /// Whatever the bytes: an answer, no panic, no endless loop.
    #[test]
    fn damaged_databases_harm_nothing(changes in prop::collection::vec((0usize..70_000, any::<u8>()), 1..40)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/positions");
        let mut main = fs::read(folder.join("flb.db")).unwrap();
        let mut log = fs::read(folder.join("flb.db-wal")).unwrap();
        for (at, byte) in changes {
            match at.checked_sub(main.len()) {
                None => main[at] = byte,
                Some(at) if at < log.len() => log[at] = byte,
                Some(_) => main.truncate(main.len().saturating_sub(usize::from(byte) * 16)),
            }
        }
        let _ = fluent_bit::positions(&main, &log);
    }
}
