//! Decoders of what lies on a node: how far others had read, how far Sawyer had, text in other encodings, the kernel's log.

use std::fmt::Write;
use std::sync::Arc;

use sawyer_codec::kmsg::KmsgReader;
use sawyer_input::decoders::{Cursor, Encoded, Position, offsets_again, positions};
use sawyer_model::{Batch, NameId, SourceId, Stream, Timestamp, ValueRef};

use super::{bytes, golden};
use crate::Target;

/// A cursor of the journal.
const CURSOR: &str =
    "s=00000000000000000000000000000007;i=1267;b=00000000000000000000000000000009;m=3e9;t=643fc1f86a3e8;x=1a";

/// Positions that are texts: what is read of any file is read again when it is written plainly.
pub(super) const POSITIONS: Target = Target {
    name: "positions",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        if let Some((files, cursors)) = positions::of_promtail(&text) {
            assert_eq!(positions::of_promtail(&as_promtail(&files, &cursors)), Some((files, cursors)));
        }
        if let Some(files) = positions::of_fluentd(&text) {
            assert_eq!(positions::of_fluentd(&as_fluentd(&files)), Some(files));
        }
        if let Some(cursor) = positions::cursor_of_fluentd(&text) {
            let again = format!("{{\"journal\":\"{}\"}}", cursor.entry);
            assert_eq!(positions::cursor_of_fluentd(&again), Some(cursor));
        }
        for found in [positions::of_filebeat_list(&text), filebeat(&text)].into_iter().flatten() {
            assert_eq!(positions::of_filebeat_list(&as_filebeat(&found)), Some(found));
        }
    },
    seeds: || {
        let promtail =
            format!("positions:\n  /var/log/a.log: \"120\"\n  \"/b: c\": '7'\n  cursor-journal: {CURSOR}\n");
        let filebeat = format!(
            "{{\"op\":\"set\",\"id\":1}}\n{{\"k\":\"journald::x::LOCAL\",\"v\":{{\"cursor\":{{\"position\":\"{CURSOR}\"}}}}}}\n\
             {{\"op\":\"set\"}}\n{{\"k\":\"filestream::id::native::12-64\",\"v\":{{\"cursor\":{{\"offset\":5}},\"meta\":{{\"source\":\"/a\"}}}}}}\n"
        );
        bytes(&[
            &promtail,
            "/var/log/a.log\t0000000000000010\t00000000000000ff\n/b\tffffffffffffffff\t01\n",
            &format!("{{\"journal\":\"{CURSOR}\"}}"),
            CURSOR,
            &filebeat,
            &format!(
                "[{{\"_key\":\"filebeat::logs::native::11-6\",\"source\":\"/a\",\"offset\":3}}]\n---\n{filebeat}"
            ),
            "[{\"source\":\"/a\",\"offset\":3,\"FileStateOS\":{\"inode\":1,\"device\":2}}]",
        ])
    },
    words: &[
        "positions:\n",
        "cursor-",
        "  /",
        ": ",
        "\"",
        "''",
        "\t",
        "::native::",
        "\"cursor\":",
        "{\"op\":\"remove\"}\n",
        CURSOR,
    ],
};

/// A registry: a checkpoint and what changed since, or that alone.
fn filebeat(text: &str) -> Option<Vec<Position>> {
    let (checkpoint, changes) =
        text.split_once("\n---\n").map_or((None, text), |(one, other)| (Some(one), other));
    positions::of_filebeat(checkpoint, changes).map(|(files, _)| files)
}

fn as_promtail(files: &[Position], cursors: &[Cursor]) -> String {
    let quoted = |text: &str| text.replace('\'', "''");
    let mut text = "positions:\n".to_owned();
    for Position { path, offset, .. } in files {
        writeln!(text, "  '{}': \"{offset}\"", quoted(&path.to_string_lossy())).expect("a string takes all");
    }
    for Cursor { job, entry } in cursors {
        writeln!(text, "  'cursor-{}': {entry}", quoted(job)).expect("a string takes all");
    }
    text
}

fn as_fluentd(files: &[Position]) -> String {
    let line = |Position { path, inode, offset }: &Position| {
        format!("{}\t{offset:016x}\t{:016x}\n", path.display(), inode.expect("each has one"))
    };
    files.iter().map(line).collect()
}

fn as_filebeat(files: &[Position]) -> String {
    let state = |Position { path, inode, offset }: &Position| {
        let path = serde_json::Value::from(&*path.to_string_lossy());
        let inode = inode.map(|inode| format!(",\"FileStateOS\":{{\"inode\":{inode}}}")).unwrap_or_default();
        format!("{{\"source\":{path},\"offset\":{offset}{inode}}}")
    };
    format!("[{}]", files.iter().map(state).collect::<Vec<_>>().join(","))
}

/// A database of Fluent Bit's and its write-ahead log, which begins where its magic number does.
pub(super) const SQLITE: Target = Target {
    name: "sqlite",
    run: |input| {
        let log = memchr::memmem::find(input, LOG_MAGIC).unwrap_or(input.len());
        let (main, log) = input.split_at(log);
        let (files, cursors) = positions::of_fluent_bit(main, log);
        let held: usize = files.iter().map(|file| file.path.as_os_str().len()).sum();
        assert!(held <= 16 * input.len(), "{held} bytes of {}", input.len());
        assert!(cursors.iter().all(|cursor| cursor.entry.to_string().parse() == Ok(cursor.entry)));
        assert_eq!(
            positions::of_fluent_bit(main, b"no log"),
            positions::of_fluent_bit(main, &[]),
            "no log is none"
        );
    },
    seeds: || {
        let both = |name: &str| {
            let part = |ending: &str| golden(&format!("input/tests/golden/positions/{name}{ending}"));
            [part(".db"), part(".db-wal")].concat()
        };
        // The larger one is cut to what an input may have.
        let files = golden("input/tests/golden/positions/flb.db");
        vec![both("flb-systemd"), files[..files.len().min(crate::mutate::INPUT_BYTES_MAX)].to_vec()]
    },
    words: &["SQLite format 3\0", "in_tail_files", "in_systemd_cursor", "(name, offset, inode)", CURSOR],
};

const LOG_MAGIC: &[u8] = &[0x37, 0x7f, 0x06, 0x82];

/// The offsets of an input.
pub(super) const OFFSETS: Target = Target {
    name: "offsets",
    run: |input| {
        let Some(again) = offsets_again(input) else { return };
        // Bytes that are no text grow when they are read; then a name may be longer than is written.
        if again.len() < usize::from(u16::MAX) {
            assert_eq!(offsets_again(&again), Some(again.clone()), "what is written is read again");
        }
    },
    seeds: || {
        ["v1", "v2", "v3", "v4"]
            .map(|version| golden(&format!("input/tests/golden/offsets-{version}.bin")))
            .into()
    },
    words: &["SAWYOFF\x01", "SAWYOFF\x02", "SAWYOFF\x03", "SAWYOFF\x04", "/var/log/"],
};

/// The encodings that are tried; the first byte of an input chooses.
const ENCODINGS: [&str; 12] = [
    "utf-16le",
    "utf-16be",
    "latin1",
    "windows-1251",
    "koi8-r",
    "euc-kr",
    "euc-jp",
    "shift_jis",
    "iso-2022-jp",
    "gb18030",
    "big5",
    "x-user-defined",
];

/// Text of other encodings: where lines end, and what they say.
pub(super) const ENCODING: Target = Target {
    name: "encoding",
    run: |input| {
        let Some((choice, input)) = input.split_first() else { return };
        let name = ENCODINGS[usize::from(*choice) % ENCODINGS.len()];
        let encoded = Encoded::named(name).expect("it is known");
        let ends = encoded.line_ends(input);
        assert!(ends.is_sorted() && ends.last().is_none_or(|end| *end <= input.len()), "{ends:?}");
        assert_eq!(ends.last().copied(), encoded.last_line_end(input), "both ways find the last line");
        let starts = std::iter::once(0).chain(ends.iter().copied());
        for (start, end) in starts.zip(&ends) {
            let line = &input[start..*end];
            let whole = encoded.recode(&[line]);
            // What is given back as it is was no text.
            if whole == line {
                continue;
            }
            assert!(std::str::from_utf8(&whole).is_ok(), "{name} became no UTF-8");
            let (first, rest) = line.split_at(usize::from(*choice) % (line.len() + 1));
            assert_eq!(encoded.recode(&[first, rest]), whole, "{name}: in parts it says the same");
        }
    },
    seeds: || {
        let utf_16 = |low_first: bool| {
            let units = "\u{feff}first \u{a0a} \u{10a}\nsecond \u{1f600}\n".encode_utf16();
            units.flat_map(move |unit| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() })
        };
        let after = |choice: u8, text: &[u8]| [&[choice], text].concat();
        vec![
            after(0, &utf_16(true).collect::<Vec<_>>()),
            after(1, &utf_16(false).collect::<Vec<_>>()),
            after(2, b"caf\xe9\n"),
            after(5, b"\xb0\xe1\xc1\xa6 ok\nbad \xff\n"),
            after(7, b"\x93\xfa\x96\x7b\n"),
            after(8, b"\x1b$B$\"\x1b(B\n"),
            after(9, b"\x81\x30\x81\x30\xc4\xe3\n"),
        ]
    },
    words: &["\n", "\n\0", "\0\n", "\x1b$B", "\x1b(B", "\u{feff}"],
};

/// Records of the kernel.
pub(super) const KMSG: Target = Target {
    name: "kmsg",
    run: |input| {
        let Some((head, message)) = read_kmsg(input) else { return };
        // As the kernel writes it: what is not printable, and the backslash, by its number.
        let mut again =
            format!("{},{},{},-;", head.priority, head.sequence, head.since_boot.as_micros()).into_bytes();
        for byte in message.bytes() {
            match byte {
                b' '..=b'~' if byte != b'\\' => again.push(byte),
                _ => again.extend(format!("\\x{byte:02x}").bytes()),
            }
        }
        assert_eq!(read_kmsg(&again), Some((head, message)), "what is written is read again");
    },
    seeds: || {
        bytes(&[
            "6,339,5140900,-;NET: Registered PF_INET6 protocol family\n",
            "4,340,5690716,c;usb 1-1: new \\x0a\\xff\n SUBSYSTEM=usb\n DEVICE=c189:0\n",
            "30,1,0,-,caller=T1;a\\b\n",
        ])
    },
    words: &["\\x0a", ";", ",", "\n ", "=", "18446744073709551615"],
};

/// The head of a record and its message, if it is one.
fn read_kmsg(input: &[u8]) -> Option<(sawyer_codec::kmsg::KmsgHead, String)> {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    let now = Timestamp::from_secs(1_795_176_000);
    let head = KmsgReader::default().read(input, SourceId(1), now, now, stream, &mut batch);
    assert_eq!(batch.len(), usize::from(head.is_some()), "a record of the kernel is one of ours");
    let head = head?;
    let record = batch.get(0);
    assert_eq!(record.id().start, head.sequence, "its number is its place");
    let Some(ValueRef::Str(message)) = record.get_by_id(NameId::MESSAGE) else { panic!("a message") };
    Some((head, message.to_owned()))
}
