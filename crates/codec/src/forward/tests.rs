use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::testing::{origin, show_whole};

/// `{"log": text}` at second 1795168800 and nanosecond 7.
fn entry(text: &str) -> Vec<u8> {
    let mut entry = b"\x92\xd7\x00\x6b\x00\x1a\x20\x00\x00\x00\x07\x81\xa3log".to_vec();
    handshake::push_str(&mut entry, text.as_bytes());
    entry
}

fn packed(entries: &[u8], options: &[u8]) -> Vec<u8> {
    let length = u32::try_from(entries.len()).unwrap().to_be_bytes();
    [b"\x93\xa3tag\xc6", &length[..], entries, options].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The records of a chunk, in batches of so many.
fn records(bytes: &[u8], records_max: usize) -> Vec<String> {
    let Frame::Chunk(mut chunk) = frame(bytes).unwrap() else { panic!("no chunk") };
    let (mut shown, mut places) = (Vec::new(), Vec::new());
    loop {
        let mut objects = Objects::new(origin());
        let more = chunk.events.fill(&mut objects, 10, records_max, 1 << 20);
        let batch = objects.finish().batch;
        for covered in batch.covered() {
            places.extend(covered.range.start..covered.range.end);
        }
        shown.extend(batch.iter().map(show_whole));
        if !more {
            places.sort_unstable();
            assert_eq!(places, (10..10 + chunk.events.taken()).collect::<Vec<_>>());
            return shown;
        }
    }
}

const LINE: &str = "timestamp = 2026-11-20T10:00:00.000000007Z\nmessage = ";

#[test]
fn all_modes_give_the_same_records() {
    let (one, two) = (entry("one"), entry("two"));
    let both = [one.clone(), two.clone()].concat();
    let wanted = [format!("{LINE}\"one\"\n"), format!("{LINE}\"two\"\n")];
    let gzipped = b"\x81\xaacompressed\xa4gzip";
    let zstded = b"\x81\xaacompressed\xa4zstd";
    let members = [gzip(&one), gzip(&two)].concat();
    let frames = [zstd::encode_all(&one[..], 1).unwrap(), zstd::encode_all(&two[..], 1).unwrap()].concat();
    for (name, bytes) in [
        ("Forward", [b"\x92\xa3tag\x92", &both[..]].concat()),
        ("Forward with options", [b"\x93\xa3tag\x92", &both[..], b"\x81\xa4size\x02"].concat()),
        ("PackedForward", packed(&both, b"\x80")),
        ("PackedForward as text", [b"\x92\xa3tag\xd9", &[both.len() as u8][..], &both].concat()),
        ("gzip", packed(&gzip(&both), gzipped)),
        ("gzip in two members", packed(&members, gzipped)),
        ("zstd", packed(&zstd::encode_all(&both[..], 1).unwrap(), zstded)),
        ("zstd in two frames", packed(&frames, zstded)),
        ("zstd that is called gzip", packed(&frames, gzipped)),
        ("not compressed in spite of its word", packed(&both, gzipped)),
    ] {
        assert_eq!(records(&bytes, 100), wanted, "{name}");
        assert_eq!(records(&bytes, 1), wanted, "{name}, one by one");
    }
    let message = [b"\x93\xa3tag", &one[1..]].concat();
    assert_eq!(records(&message, 100), wanted[..1]);
    let message = [b"\x94\xa3tag", &one[1..], b"\x81\xa5chunk\xa3abc"].concat();
    assert_eq!(records(&message, 100), wanted[..1]);
}

#[test]
fn a_chunk_of_nothing_but_rubbish_ends_early() {
    let zeros = zstd::encode_all(&vec![0; 1 << 20][..], 1).unwrap();
    let bytes = packed(&zeros, b"\x81\xaacompressed\xa4zstd");
    let Frame::Chunk(mut chunk) = frame(&bytes).unwrap() else { panic!("no chunk") };
    let mut objects = Objects::new(origin());
    assert!(!chunk.events.fill(&mut objects, 0, usize::MAX, usize::MAX));
    assert_eq!(chunk.events.taken(), u64::from(UNREADABLE_ENTRIES_MAX) + 1);
}

#[test]
fn options_are_read_and_others_passed_over() {
    let options = b"\x85\xa5chunk\xa3abc\xa4size\x02\xadfluent_signal\x01\xa1x\x92\x01\x81\x01\x02\xaacompressed\xa4text";
    let bytes = packed(&entry("one"), options);
    let Frame::Chunk(chunk) = frame(&bytes).unwrap() else { panic!() };
    assert_eq!((chunk.tag, chunk.id, chunk.signal), (&b"tag"[..], Some(&b"abc"[..]), 1));
    assert_eq!(chunk.bytes, entry("one"));
    assert_eq!(records(&bytes, 9).len(), 1);
    assert!(matches!(frame(b"\xc0"), Ok(Frame::Heartbeat)));
}

#[test]
fn entries_of_fluent_bit_have_metadata_and_groups() {
    let entries = [
        b"\x92\x92\xd7\x00\x6b\x00\x1a\x20\x00\x00\x00\x07\x81\xa1m\x01\x81\xa3log\xa1a".to_vec(),
        // A group begins: its time is -1 s. An entry of it; its end; another entry.
        b"\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x81\xa8resource\x81\xa1r\xa1x".to_vec(),
        b"\x92\x92\xd7\x00\x6b\x00\x1a\x20\x00\x00\x00\x07\x80\x81\xa3log\xa1b".to_vec(),
        b"\x92\x92\xd7\x00\xff\xff\xff\xfe\x00\x00\x00\x00\x80\x80".to_vec(),
        entry("c"),
    ];
    let found = records(&packed(&entries.concat(), b"\x80"), 2);
    let wanted = ["\"a\"\nmetadata.m = 1\n", "\"b\"\nresource.r = \"x\"\n", "\"c\"\n"];
    assert_eq!(found, wanted.map(|end| format!("{LINE}{end}")));
}

#[test]
fn fields_have_the_meanings_that_they_have_elsewhere() {
    let docker = b"\x92\x01\x84\xa6source\xa6stdout\xa3log\xa6line\r\n\xa9namespace\xa5other\xa4node\xa2n1";
    insta::assert_snapshot!(records(&packed(docker, b"\x80"), 9).concat(), @r#"
    timestamp = 1970-01-01T00:00:01Z
    stream = "stdout"
    message = "line"
    sawyer.mark = "clock"
    identity = "claimed"
    namespace = "other"
    node = "n1"
    "#);
    let bare = b"\x92\xce\x6b\x00\x1a\x20\x81\xa1a\x81\xa1b\x01";
    insta::assert_snapshot!(records(&packed(bare, b"\x80"), 9).concat(), @r#"
    timestamp = 2026-11-20T10:00:00Z
    message = "{\"a\":{\"b\":1}}"
    a.b = 1
    "#);
}

#[test]
fn what_is_no_entry_is_kept_and_the_rest_is_read() {
    let entries =
        [entry("a"), b"\x92\x01\x02".to_vec(), b"\xa3odd".to_vec(), entry("b"), b"\x92\x01".to_vec()]
            .concat();
    let found = records(&packed(&entries, b"\x80"), 9);
    assert_eq!(found.len(), 5);
    assert_eq!(found[3], format!("{LINE}\"b\"\n"));
    for at in [1, 2, 4] {
        assert!(found[at].contains("malformed") && found[at].contains("_original_base64"), "{}", found[at]);
    }
    let text = b"\x92\x01\x81\xa3log\xa3a\xffb";
    let found = records(&packed(text, b"\x80"), 9).concat();
    assert!(found.contains("a\u{fffd}b") && found.contains("_original_base64 = \"Yf9i\""), "{found}");
}

#[test]
fn a_small_chunk_cannot_become_a_large_one_in_memory() {
    // 64 MiB of zeros: numbers that are no entries; each is a record, and they come in batches of bounded size.
    let bomb = packed(&gzip(&vec![0; 64 << 20]), b"\x81\xaacompressed\xa4gzip");
    let Frame::Chunk(mut chunk) = frame(&bomb).unwrap() else { panic!() };
    let mut objects = Objects::new(origin());
    assert!(chunk.events.fill(&mut objects, 0, 1000, 1 << 20));
    assert_eq!(objects.finish().batch.len(), 1000);
    // A text that never ends is given up.
    let endless =
        [b"\x92\x01\x81\xa3log\xdb\x7f\xff\xff\xff".to_vec(), vec![b'x'; ENTRY_BYTES_MAX * 2]].concat();
    let found = records(&packed(&gzip(&endless), b"\x81\xaacompressed\xa4gzip"), 9);
    assert!(found.len() == 1 && found[0].len() < 4 * UNREADABLE_BYTES_MAX && found[0].contains("malformed"));
}

#[test]
fn frames_that_are_none_are_refused() {
    for bytes in
        [&b"\x01"[..], b"\x92\x01\x90", b"\x91\xa1a", b"\x92\xa1a\xc3", b"\x93\xa1a\x90\x01", b"\xc1", b""]
    {
        assert!(frame(bytes).is_err(), "{bytes:x?}");
    }
}

#[test]
fn the_handshake_has_its_messages() {
    let ping = b"\x96\xa4PING\xa1h\xa1s\xa1d\xa1u\xa1p";
    let wanted = Ping { hostname: b"h", salt: b"s", digest: b"d", user: b"u", password_digest: b"p" };
    assert_eq!(read_ping(ping), Ok(wanted));
    assert!(read_ping(b"\x96\xa4PONG\xa1h\xa1s\xa1d\xa1u\xa1p").is_err());
    let mut out = Vec::new();
    write_json(&mut Reader::new(&helo(&[7; 16], b"salt")), &mut out, &mut Amiss::default()).unwrap();
    write_json(&mut Reader::new(&pong(Err("no"), "host", "digest")), &mut out, &mut Amiss::default())
        .unwrap();
    write_json(&mut Reader::new(&ack(&[b'x'; 40])), &mut out, &mut Amiss::default()).unwrap();
    let text = String::from_utf8(out).unwrap().replace("\\u0007", "7");
    assert_eq!(
        text,
        format!(
            r#"["HELO",{{"nonce":"7777777777777777","auth":"salt","keepalive":true}}]["PONG",false,"no","host","digest"]{{"ack":"{}"}}"#,
            "x".repeat(40)
        )
    );
}

proptest! {
    #[test]
    fn no_bytes_harm(bytes in prop::collection::vec(any::<u8>(), 0..100), compressed: bool) {
        let options: &[u8] = if compressed { b"\x81\xaacompressed\xa4gzip" } else { b"\x80" };
        records(&packed(&bytes, options), 7);
        if frame(&bytes).is_ok_and(|frame| matches!(frame, Frame::Chunk(_))) {
            records(&bytes, 7);
        }
        let _ = read_ping(&bytes);
    }

    #[test]
    fn no_change_of_a_frame_harms(at in 0usize..200, byte: u8, mode in 0usize..4) {
        let both = [entry("one"), entry("two")].concat();
        let mut bytes = match mode {
            0 => [b"\x93\xa3tag\x92", &both[..], b"\x81\xa4size\x02"].concat(),
            1 => packed(&both, b"\x81\xa5chunk\xa3abc"),
            2 => packed(&gzip(&both), b"\x81\xaacompressed\xa4gzip"),
            _ => packed(&zstd::encode_all(&both[..], 1).unwrap(), b"\x81\xaacompressed\xa4zstd"),
        };
        let length = bytes.len();
        bytes[at % length] = byte;
        if frame(&bytes).is_ok_and(|frame| matches!(frame, Frame::Chunk(_))) {
            records(&bytes, 7);
        }
    }
}

/// A piece as docker's driver sends it: a frame of the mode Message.
fn piece(id: &str, ordinal: u32, last: bool, log: &[u8]) -> Vec<u8> {
    let mut frame = b"\x93\xa3tag\xd7\x00\x6b\x00\x1a\x20\x00\x00\x00\x07\x86".to_vec();
    let (ordinal, last) = (ordinal.to_string(), last.to_string());
    for (name, value) in [
        ("source", b"stdout".as_slice()),
        ("partial_message", b"true"),
        ("partial_id", id.as_bytes()),
        ("partial_ordinal", ordinal.as_bytes()),
        ("partial_last", last.as_bytes()),
        ("log", log),
    ] {
        handshake::push_str(&mut frame, name.as_bytes());
        handshake::push_str(&mut frame, value);
    }
    frame
}

/// The messages of frames of one connection, those of what is left at its end among them.
fn joined(frames: &[Vec<u8>]) -> Vec<String> {
    let (mut pieces, mut shown) = (Pieces::default(), Vec::new());
    let mut take = |mut events: Events<'_>, pieces: Pieces| {
        events.join(pieces);
        let mut objects = Objects::new(origin());
        assert!(!events.fill(&mut objects, 0, 1000, 16 << 20));
        let batch = objects.finish().batch;
        let all: std::collections::BTreeSet<u64> =
            batch.covered().iter().flat_map(|covered| covered.range.start..covered.range.end).collect();
        assert_eq!(all.len() as u64, events.taken(), "every entry has its place");
        shown.extend(batch.iter().map(|record| {
            let partial = if record.get("partial_message").is_some() { "partial " } else { "" };
            let Some(sawyer_model::ValueRef::Str(text)) = record.get("message") else { panic!("no message") };
            format!("{partial}{text}")
        }));
        events.pieces()
    };
    for bytes in frames {
        let Frame::Chunk(chunk) = frame(bytes).unwrap() else { panic!("no chunk") };
        pieces = take(chunk.events, pieces);
    }
    let rest = pieces.rest();
    take(Events::of_rest(&rest), pieces);
    shown
}

#[test]
fn pieces_of_a_line_are_one_record_though_others_come_between() {
    let torn = "결".as_bytes();
    let frames = [
        piece("a", 1, false, b"one "),
        piece("b", 1, false, &torn[..2]),
        [b"\x92\xa3tag\x91", &entry("whole")[..]].concat(),
        piece("a", 2, false, b"line "),
        piece("b", 2, true, &torn[2..]),
        piece("a", 3, true, b"it is"),
    ];
    assert_eq!(joined(&frames), ["whole", "결", "one line it is"]);
}

#[test]
fn pieces_without_their_line_are_kept() {
    let frames = [
        piece("gone", 2, true, b"no beginning"),
        piece("a", 1, false, b"no "),
        piece("a", 2, false, b"end"),
        piece("b", 1, false, b"a gap"),
        piece("b", 3, true, b"behind it"),
    ];
    let wanted = ["partial no beginning", "partial behind it", "partial no end", "partial a gap"];
    assert_eq!(joined(&frames), wanted);
}

#[test]
fn what_is_held_of_lines_is_bounded() {
    let text = vec![b'x'; 60_000];
    let endless: Vec<_> = (1..=30).map(|ordinal| piece("a", ordinal, false, &text)).collect();
    let lengths: Vec<usize> = joined(&endless).iter().map(String::len).collect();
    // Above a mebibyte it is given out, and what comes behind is kept as it comes.
    assert_eq!(lengths[0], "partial ".len() + 18 * 60_000);
    assert_eq!(lengths.len(), 1 + 12);
    let many: Vec<_> =
        (0..100).map(|id| piece(&id.to_string(), 1, false, id.to_string().as_bytes())).collect();
    let given: Vec<String> = (0..100).map(|id| format!("partial {id}")).collect();
    assert_eq!(joined(&many), given);
}
