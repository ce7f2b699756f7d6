use std::borrow::Cow;

use insta::assert_snapshot;
use sawyer_model::{Covered, SeqRange};

use super::*;
use crate::body::{Parser, Rules};
use crate::cri::StdStream;
use crate::join::{Cut, Joiner, LINE_BYTES_MAX, Piece};
use crate::testing::{OBSERVED, batch_of, files_below, show_record, stream};
use crate::{cri, docker};

#[test]
fn a_line_is_a_record() {
    let batch = batch_of([&b"hello \0 world"[..]]);
    assert_snapshot!(show_record(batch.get(0)), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "hello \0 world"
    "#);
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let batch = batch_of([&b"caf\xe9"[..]]);
    assert_snapshot!(show_record(batch.get(0)), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "caf�"
    sawyer.mark = "invalid_utf8"
    _original_base64 = "Y2Fm6Q=="
    "#);
}

#[test]
fn what_was_amiss_is_marked_and_all_ranges_are_covered() {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&stream());
    let line = Joined {
        timestamp: Timestamp::from_secs(1),
        content: Cow::Borrowed(b"head\xff tail"),
        range: SeqRange::new(200, 228),
        covered: vec![SeqRange::new(0, 13), SeqRange::new(100, 200)],
        cut: Some(Cut { length: 20_000_000, hash: 0xab }),
    };
    let head = LineHead { source: SourceId(7), observed: OBSERVED, stream, malformed: true };
    LineWriter::default().write(&mut batch, head, &line);
    assert_snapshot!(show_record(batch.get(0)), @r#"
    timestamp = 1970-01-01T00:00:01Z
    message = "head� tail"
    sawyer.mark = ["invalid_utf8", "cut", "malformed"]
    _original_base64 = "aGVhZP8gdGFpbA=="
    sawyer.length = 20000000
    sawyer.hash = "00000000000000ab"
    "#);
    let cover = |start, end| Covered { source: SourceId(7), range: SeqRange::new(start, end) };
    assert_eq!(batch.covered(), [cover(0, 13), cover(100, 228)]);
}

/// A physical line as both kinds of files have it.
struct Physical {
    timestamp: Timestamp,
    stream: StdStream,
    partial: bool,
    content: Vec<u8>,
}

/// Reads a whole file as an input does.
fn read_file(bytes: &[u8], read: impl Fn(&[u8]) -> Physical) -> Batch {
    let mut batch = Batch::new();
    let streams = StdStream::ALL.map(|name| {
        batch.add_stream(&std::sync::Arc::new(
            stream().with([("stream", sawyer_model::Value::from(name.name()))]),
        ))
    });
    let mut joiners = StdStream::ALL.map(|_| Joiner::new(LINE_BYTES_MAX));
    let (mut writer, mut parser) = (LineWriter::default(), Parser::default());
    let mut start = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n")) {
        let range = SeqRange::new(start, start + line.len() as u64 + 1);
        start = range.end;
        let Physical { timestamp, stream, partial, content } = read(line);
        let piece = Piece { timestamp, content: &content, range, partial };
        let Some(joined) = joiners[stream as usize].push(&piece) else { continue };
        let head = LineHead {
            source: SourceId(7),
            observed: OBSERVED,
            stream: streams[stream as usize],
            malformed: false,
        };
        writer.write(&mut batch, head, &joined);
        parser.apply(&mut batch.edit(batch.len() - 1), &Rules::default());
    }
    // What the container did not end is let go of in the end.
    for (joiner, stream) in joiners.iter_mut().zip(streams) {
        let Some(joined) = joiner.flush() else { continue };
        let head = LineHead { source: SourceId(7), observed: OBSERVED, stream, malformed: false };
        writer.write(&mut batch, head, &joined);
    }
    batch
}

/// The number of records of files that are read whole; every byte of them is covered.
fn check_files(files: &[Vec<u8>], read: impl Fn(&[u8]) -> Physical + Copy) -> usize {
    let counts = files.iter().map(|bytes| {
        let batch = read_file(bytes, read);
        let covered: sawyer_model::RangeSet = batch.covered().iter().map(|covered| covered.range).collect();
        assert_eq!(covered.iter().collect::<Vec<_>>(), [SeqRange::new(0, bytes.len() as u64)]);
        batch.len()
    });
    counts.sum()
}

#[test]
fn files_of_a_real_kubelet_are_read_whole() {
    let Some(folder) = sawyer_testkit::shared("data/generated-here/var-log-pods") else { return };
    let files = files_below(&folder);
    let read = |line: &[u8]| {
        let line = cri::parse(line).unwrap();
        let content = line.content.to_vec();
        Physical { timestamp: line.timestamp, stream: line.stream, partial: line.partial, content }
    };
    let whole_lines = files.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n'));
    let whole_lines = whole_lines.filter(|line| cri::parse(line).is_ok_and(|line| !line.partial)).count();
    assert_eq!(check_files(&files, read), whole_lines);
    assert!(whole_lines > 10_000);
}

#[test]
fn files_of_a_real_docker_daemon_are_read_whole() {
    let Some(folder) = sawyer_testkit::shared("data/generated-here/docker/containers") else { return };
    let mut files = files_below(&folder);
    files.retain(|bytes| bytes.starts_with(b"{\"log\""));
    let read = |line: &[u8]| {
        let mut buffer = Vec::new();
        let line = docker::parse(line, &mut buffer).unwrap();
        let content = line.content.to_vec();
        Physical { timestamp: line.timestamp, stream: line.stream, partial: line.partial, content }
    };
    let ends = files.iter().flat_map(|bytes| bytes.windows(4)).filter(|part| part == b"\\n\",").count();
    let last_row =
        |bytes: &Vec<u8>| bytes.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap().to_vec();
    let unended =
        files.iter().filter(|bytes| !last_row(bytes).windows(4).any(|part| part == b"\\n\",")).count();
    assert!(unended > 0, "a container ended without a newline");
    assert_eq!(check_files(&files, read), ends + unended);
    let longest = files
        .iter()
        .map(|bytes| read_file(bytes, read))
        .flat_map(|batch| batch.iter().map(|record| record.message().len()).collect::<Vec<_>>());
    assert!(longest.max().unwrap() > 16 << 10, "a line that docker cut was joined");
}
