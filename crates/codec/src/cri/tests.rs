use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn check(line: &[u8]) -> String {
    match parse(line) {
        Ok(CriLine { timestamp, stream, partial, content }) => format!(
            "{timestamp} {} {} `{}`",
            stream.name(),
            if partial { "partial" } else { "full" },
            content.escape_ascii()
        ),
        Err(error) => error.to_string(),
    }
}

#[test]
fn reads_lines() {
    let line = b"2024-06-01T12:34:56.123456789Z stdout F message";
    assert_snapshot!(check(line), @"2024-06-01T12:34:56.123456789Z stdout full `message`");
    let line = b"2016-10-06T00:17:09.669794202+09:00 stderr P part ";
    assert_snapshot!(check(line), @"2016-10-05T15:17:09.669794202Z stderr partial `part `");
    let line = b"2024-06-01T12:34:56Z stdout F  two  spaces \xff\x00";
    assert_snapshot!(check(line), @r"2024-06-01T12:34:56Z stdout full ` two  spaces \xff\x00`");
}

#[test]
fn reads_lists_of_tags_and_empty_messages() {
    assert_snapshot!(check(b"2024-06-01T12:34:56Z stdout P:x:y m"), @"2024-06-01T12:34:56Z stdout partial `m`");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z stdout F:x"), @"2024-06-01T12:34:56Z stdout full ``");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z stdout F "), @"2024-06-01T12:34:56Z stdout full ``");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z stdout F"), @"2024-06-01T12:34:56Z stdout full ``");
}

#[test]
fn tells_where_a_line_is_wrong() {
    assert_snapshot!(check(b""), @"column 1: expected an RFC 3339 time and a space");
    assert_snapshot!(check(b"hello world"), @"column 1: expected an RFC 3339 time and a space");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z"), @"column 1: expected an RFC 3339 time and a space");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z std"), @"column 22: expected `stdout` or `stderr` and a space");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z stdin F m"), @"column 22: expected `stdout` or `stderr` and a space");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z stdout X m"), @"column 29: expected the tag `P` or `F`");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z stdout Full m"), @"column 29: expected the tag `P` or `F`");
    assert_snapshot!(check(b"2024-06-01T12:34:56Z stdout "), @"column 29: expected the tag `P` or `F`");
}

#[test]
fn reads_every_line_of_a_real_kubelet() {
    let Some(folder) = sawyer_testkit::shared("data/generated-here/var-log-pods") else { return };
    let mut lines = 0;
    for text in crate::testing::files_below(&folder) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            parse(line).unwrap_or_else(|error| panic!("{error}: {}", line.escape_ascii()));
            lines += 1;
        }
    }
    assert!(lines > 10_000, "{lines}");
}

proptest! {
    #[test]
    fn never_panics(line in prop::collection::vec(any::<u8>(), 0..80), at in 0_usize..48, byte in any::<u8>()) {
        let _ = parse(&line);
        let mut line = *b"2024-06-01T12:34:56.123456789Z stdout F:t message";
        line[at] = byte;
        let _ = parse(&line);
        let _ = parse(&line[..at]);
    }

    #[test]
    fn reads_back(nanos in any::<i64>(), partial in any::<bool>(), content in prop::collection::vec(any::<u8>(), 0..50)) {
        let timestamp = Timestamp::from_nanos(nanos);
        let mut line = format!("{timestamp} stderr {} ", if partial { "P" } else { "F" }).into_bytes();
        line.extend_from_slice(&content);
        let wanted = CriLine { timestamp, stream: StdStream::Stderr, partial, content: &content };
        prop_assert_eq!(parse(&line), Ok(wanted));
    }
}
