use std::io::Read;
use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::*;
use sawyer_model::{Batch, NameId, Timestamp, Value, ValueRef};

use super::record::{EntryWriter, source_of};
use super::*;
use crate::testing::{OBSERVED, show_record};

mod builder;

use builder::{Builder, Packing};

fn unpack(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*std::fs::read(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A file that systemd-journal-remote 252 wrote.
fn fixture(name: &str) -> Vec<u8> {
    unpack(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal").join(name))
}

/// All entries that can be read, and how many could not.
fn read_all(bytes: &[u8]) -> Result<(Vec<Entry>, usize), JournalError> {
    let mut journal = Journal::open(bytes)?;
    let (mut position, mut entry) = (journal.start(), Entry::default());
    let (mut entries, mut damaged) = (Vec::new(), 0);
    loop {
        match journal.next(&mut position, &mut entry) {
            Ok(true) => entries.push(entry.clone()),
            Ok(false) => return Ok((entries, damaged)),
            Err(_) => damaged += 1,
        }
    }
}

fn show(entry: &Entry) -> String {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&std::sync::Arc::default());
    EntryWriter::default().write(&mut batch, entry, sawyer_model::SourceId(7), stream, OBSERVED);
    show_record(batch.get(0))
}

#[test]
fn reads_regular_and_compact_files_of_systemd() {
    for name in ["regular.journal.gz", "compact-keyed.journal.gz"] {
        let (entries, damaged) = read_all(&fixture(name)).unwrap();
        assert_eq!((entries.len(), damaged), (40, 0), "{name}");
        for (n, entry) in entries.iter().enumerate() {
            assert_eq!(entry.seqnum, n as u64 + 1);
            assert_eq!(entry.realtime_micros, 1_763_600_000_000_000 + n as u64 * 1000);
            assert_eq!(entry.unreadable, []);
            let wanted = match n {
                7 => b"bin\xff\nline".to_vec(),
                n if n % 4 == 0 => format!("long {n} {}", "abc ".repeat(400)).into_bytes(),
                n => format!("line {n}").into_bytes(),
            };
            assert_eq!(entry.get("MESSAGE"), Some(&*wanted), "{name} {n}");
            assert_eq!(entry.get("_SYSTEMD_UNIT"), Some(format!("unit{}.service", n % 3).as_bytes()));
        }
    }
}

#[test]
fn reads_the_shared_file() {
    let path = "data/generated-here/journal-252-zstd-keyed.journal.gz";
    let Some(path) = sawyer_testkit::shared(path) else { return };
    let bytes = unpack(&path);
    let journal = Journal::open(&bytes[..]).unwrap();
    assert_eq!(journal.header().entry_count, 200);
    let (entries, damaged) = read_all(&bytes).unwrap();
    assert_eq!((entries.len(), damaged), (200, 0));
    // As `journalctl -o export` tells it.
    assert_eq!(
        entries[1].name().to_string(),
        "s=eebf74995729430ab84f9a97c555d1bf;i=2;b=0123456789abcdef0123456789abcdef;m=3e9;t=643fc1f86a3e8;x=1a21fca0a23d181"
    );
    for (n, entry) in entries.iter().enumerate() {
        let message = entry.get("MESSAGE").unwrap();
        assert!(message.starts_with(format!("line {n} abc").as_bytes()), "{n}");
        assert_eq!(entry.get("PRIORITY"), Some((n % 8).to_string().as_bytes()));
    }
}

#[test]
fn entries_become_records() {
    let (entries, _) = read_all(&fixture("compact-keyed.journal.gz")).unwrap();
    assert_snapshot!(show(&entries[5]), @r#"
    timestamp = 2025-11-20T00:53:20.004993Z
    message = "line 5"
    node = "node1"
    program = "prog"
    unit = "unit2.service"
    service = "unit2"
    pid = 102
    level = "info"
    "#);
    assert_snapshot!(show(&entries[7]), @r#"
    timestamp = 2025-11-20T00:53:20.007Z
    message = "bin�\nline"
    sawyer.mark = "invalid_utf8"
    _original_base64 = "Ymlu/wpsaW5l"
    node = "node1"
    program = "prog"
    unit = "unit1.service"
    service = "unit1"
    pid = 101
    level = "debug"
    "#);
}

#[test]
fn all_fields_have_a_place() {
    let mut builder = Builder::new(false);
    builder.entry(&[
        b"MESSAGE=first",
        b"MESSAGE=second",
        b"PRIORITY=9",
        b"_PID=none",
        b"_COMM=bash",
        b"CODE_FILE=a.c",
        b"X=1",
        b"X=2",
        b"_HOSTNAME=n\xff",
        b"no name",
        b"=x",
        b"\xff=x",
        b"EMPTY=",
    ]);
    let (entries, _) = read_all(&builder.finish()).unwrap();
    assert_snapshot!(show(&entries[0]), @r#"
    timestamp = 2025-11-20T00:53:20.000001Z
    message = "first"
    journal.message = "second"
    journal.priority = "9"
    pid = "none"
    program = "bash"
    journal.code_file = "a.c"
    journal.x = ["1", "2"]
    node = "n�"
    journal.empty = ""
    "#);
}

#[test]
fn what_the_stream_knows_is_not_said_again() {
    let bytes = fixture("regular.journal.gz");
    let (entries, _) = read_all(&bytes).unwrap();
    let mut batch = Batch::new();
    let stream =
        batch.add_stream(&std::sync::Arc::new(sawyer_model::Stream::new([("node", Value::from("real"))])));
    let source = source_of(Journal::open(&bytes[..]).unwrap().header());
    EntryWriter::default().write(&mut batch, &entries[0], source, stream, OBSERVED);
    assert_eq!(batch.get(0).get("node"), Some(ValueRef::Str("real")));
    assert_eq!(batch.get(0).get("journal._hostname"), Some(ValueRef::Str("node1")));
    assert_eq!(batch.get(0).id().start, 1);
    assert_eq!(batch.get(0).timestamp(), Timestamp::from_nanos(1_763_599_999_999_993_000));
    assert!(batch.get(0).get_by_id(NameId::LEVEL).is_some());
}

#[test]
fn reading_starts_after_any_entry() {
    for name in ["regular.journal.gz", "compact-keyed.journal.gz"] {
        let bytes = fixture(name);
        let mut journal = Journal::open(&bytes[..]).unwrap();
        let mut entry = Entry::default();
        for seqnum in 0..45 {
            let mut position = journal.after(seqnum).unwrap();
            let found = journal.next(&mut position, &mut entry).unwrap();
            assert_eq!(found.then_some(entry.seqnum), (seqnum < 40).then_some(seqnum + 1), "{name} {seqnum}");
            let (_, last) = journal.divide(|entry| entry.seqnum <= seqnum).unwrap();
            assert_eq!(
                last.map(|last| last.seqnum),
                (seqnum > 0).then_some(seqnum.min(40)),
                "{name} {seqnum}"
            );
        }
    }
}

#[test]
fn nothing_is_passed_over_where_an_entry_cannot_be_read() {
    for (compact, count) in [(false, 7), (true, 7), (false, 8), (true, 8), (false, 9)] {
        let mut builder = Builder::new(compact);
        for n in 1..=count {
            builder.entry(&[format!("MESSAGE={n}").as_bytes()]);
        }
        let (whole, last) = (builder.finish(), *builder.entry_offsets().last().unwrap() as usize);
        builder.unlink_last();
        let (mut without_head, mut without_number) = (whole.clone(), whole.clone());
        without_head[last] = 0;
        without_number[last + 16..last + 24].fill(0);
        for bytes in [builder.finish(), without_head, without_number] {
            let mut journal = Journal::open(&bytes[..]).unwrap();
            let mut entry = Entry::default();
            for seqnum in 0..count {
                let mut position = journal.after(seqnum).unwrap();
                let found = journal.next(&mut position, &mut entry).ok().map(|_| entry.seqnum);
                assert_eq!(found, (seqnum + 1 < count).then_some(seqnum + 1), "{count} {seqnum}");
            }
        }
        // Any other: what comes then may begin too early, and not too late.
        for lost in 0..count as usize {
            let mut bytes = whole.clone();
            bytes[builder.entry_offsets()[lost] as usize] = 0;
            let journal = Journal::open(&bytes[..]).unwrap();
            for seqnum in 0..count {
                assert!(journal.after(seqnum).unwrap().passed <= seqnum, "{count} {lost} {seqnum}");
            }
        }
    }
}

#[test]
fn names_are_read_as_they_are_shown() {
    let (entries, _) = read_all(&fixture("regular.journal.gz")).unwrap();
    for entry in &entries {
        assert_eq!(entry.name().to_string().parse(), Ok(entry.name()));
    }
    let id = "0123456789abcdef0123456789abcdef";
    let more: EntryName = format!("t=3;x=4;p=new;b={id};m=2;s={id};i=1f").parse().unwrap();
    assert_eq!((more.seqnum, more.realtime_micros, more.boot_id), (31, 3, more.seqnum_id));
    for text in
        ["", "s=1;i=1", &format!("s={id};b={id};i=+1;m=1;t=1;x=1"), &format!("s={id};b={id};m=1;t=1;x=1")]
    {
        assert_eq!(text.parse::<EntryName>(), Err(NoCursor), "{text}");
    }
}

#[test]
fn names_are_ordered_as_systemd_reads_them() {
    let name = |sequence: u8, seqnum, boot: u8, monotonic_micros, realtime_micros| EntryName {
        seqnum_id: [sequence; 16],
        seqnum,
        boot_id: [boot; 16],
        monotonic_micros,
        realtime_micros,
        xor_hash: 0,
    };
    let entry = name(1, 10, 1, 100, 1000);
    assert!(name(1, 9, 1, 200, 2000).is_before(&entry), "by the numbers of a sequence");
    assert!(name(2, 11, 1, 99, 2000).is_before(&entry), "by the clock of a start");
    assert!(!name(2, 1, 1, 100, 1).is_before(&entry), "at the same time is not surely before");
    assert!(name(2, 11, 2, 200, 999).is_before(&entry), "by the time of day");
}

#[test]
fn entries_that_come_later_are_found_after_a_refresh() {
    use std::cell::RefCell;
    struct Growing<'a>(&'a RefCell<Vec<u8>>);
    impl ReadAt for Growing<'_> {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.borrow().read_exact_at(buffer, offset)
        }
    }
    let mut builder = Builder::new(true);
    let file = RefCell::new(builder.finish());
    let mut journal = Journal::open(Growing(&file)).unwrap();
    let (mut position, mut entry) = (journal.start(), Entry::default());
    let mut seen = Vec::new();
    for n in 0..30_u32 {
        assert!(!journal.next(&mut position, &mut entry).unwrap());
        for part in 0..n % 3 {
            builder.entry(&[format!("MESSAGE={n}.{part}").as_bytes()]);
        }
        *file.borrow_mut() = builder.finish();
        journal.refresh().unwrap();
        while journal.next(&mut position, &mut entry).unwrap() {
            seen.push(entry.seqnum);
        }
    }
    assert_eq!(seen, (1..=30).collect::<Vec<u64>>());
}

#[test]
fn packed_values_are_unpacked_or_reported() {
    let message = format!("MESSAGE={}", "abc ".repeat(300));
    for (packing, readable) in [
        (Packing::Plain, true),
        (Packing::Zstd, true),
        (Packing::Lz4, true),
        (Packing::Xz, true),
        (Packing::BrokenXz, false),
        (Packing::BrokenLz4, false),
        (Packing::BrokenZstd, false),
    ] {
        for compact in [false, true] {
            let mut builder = Builder::new(compact);
            builder.packed_entry(message.as_bytes(), packing);
            builder.entry(&[b"MESSAGE=next"]);
            let (entries, damaged) = read_all(&builder.finish()).unwrap();
            assert_eq!((entries.len(), damaged), (2, 0), "{packing:?}");
            let value = entries[0].get("MESSAGE");
            assert_eq!(value, readable.then(|| &message.as_bytes()[8..]), "{packing:?}");
            assert_eq!(entries[0].unreadable.is_empty(), readable, "{:?}", entries[0].unreadable);
            assert_eq!(show(&entries[0]).contains("malformed"), !readable);
            assert_eq!(entries[1].get("MESSAGE"), Some(&b"next"[..]));
        }
    }
}

#[test]
fn what_is_no_journal_is_refused() {
    let told = |bytes: &[u8]| Journal::open(bytes).map(|_| ()).unwrap_err().to_string();
    assert_snapshot!(told(b"short"), @"read journal offset=0");
    assert_snapshot!(told(&[b'x'; 300]), @"expected a journal file (signature `LPKSHHRH`)");
    let mut newer = Builder::new(false).finish();
    newer[12] |= 0x60;
    assert_snapshot!(told(&newer), @"journal file needs unknown features flags=0x60");
    let mut odd = Builder::new(false).finish();
    odd[89] = 0;
    assert_snapshot!(told(&odd), @"damaged journal file: size of the header offset=88");
}

#[test]
fn another_file_in_its_place_is_noticed() {
    use std::cell::Cell;
    struct Replaced(Vec<u8>, Vec<u8>, Cell<bool>);
    impl ReadAt for Replaced {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            if self.2.get() { &self.1 } else { &self.0 }.read_exact_at(buffer, offset)
        }
    }
    let mut other = Builder::new(false).finish();
    other[24] ^= 1;
    let files = Replaced(Builder::new(false).finish(), other, Cell::new(false));
    let mut journal = Journal::open(&files).unwrap();
    journal.refresh().unwrap();
    files.2.set(true);
    assert!(journal.refresh().is_err());
}

#[test]
fn a_damaged_entry_costs_itself_alone() {
    let mut builder = Builder::new(false);
    for n in 0..10 {
        builder.entry(&[format!("MESSAGE={n}").as_bytes()]);
    }
    let place = builder.entry_offsets()[4] as usize;
    let mut bytes = builder.finish();
    bytes[place] = 9;
    let (entries, damaged) = read_all(&bytes).unwrap();
    assert_eq!((entries.len(), damaged), (9, 1));
    bytes.truncate(place);
    let (entries, damaged) = read_all(&bytes).unwrap();
    assert!(entries.len() <= 4 && damaged > 0);
}

proptest! {
    #[test]
    fn never_panics_and_never_loops(
        compact in any::<bool>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut builder = Builder::new(compact);
        for n in 0..12 {
            builder.entry(&[format!("MESSAGE={n}").as_bytes(), b"_HOSTNAME=n", b"PRIORITY=3"]);
        }
        builder.packed_entry(&[b"MESSAGE=".as_slice(), &[b'x'; 100]].concat(), Packing::Zstd);
        builder.packed_entry(&[b"MESSAGE=".as_slice(), &[b'y'; 100]].concat(), Packing::Lz4);
        let mut bytes = builder.finish();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok((entries, damaged)) = read_all(&bytes) {
            prop_assert!(entries.len() + damaged <= 20, "{} {}", entries.len(), damaged);
            for entry in &entries {
                let _ = show(entry);
            }
            let journal = Journal::open(&bytes[..]).unwrap();
            for seqnum in [0, 3, 12, u64::MAX] {
                let _ = journal.after(seqnum);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = read_all(&bytes);
        if bytes.len() >= 208 {
            bytes[..8].copy_from_slice(b"LPKSHHRH");
            bytes[12..16].fill(0);
            bytes[88..104].copy_from_slice(&[208, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0]);
            let _ = read_all(&bytes);
        }
    }
}
