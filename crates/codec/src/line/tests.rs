use std::borrow::Cow;

use insta::assert_snapshot;
use sawyer_model::{Covered, SeqRange};

use super::*;
use crate::join::Cut;
use crate::testing::{OBSERVED, batch_of, show_record, stream};

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
