use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn check(line: impl AsRef<[u8]>) -> String {
    match parse(line.as_ref(), &mut Vec::new()) {
        Ok(DockerLine { timestamp, stream, partial, content, attrs }) => format!(
            "{timestamp} {} {} `{}` {}",
            stream.name(),
            if partial { "partial" } else { "full" },
            String::from_utf8_lossy(content).escape_debug(),
            attrs.map_or("-".into(), String::from_utf8_lossy),
        ),
        Err(error) => error.to_string(),
    }
}

#[test]
fn reads_lines() {
    let line = r#"{"log":"plain\n","stream":"stdout","time":"2026-11-20T09:57:18.627062502Z"}"#;
    assert_snapshot!(check(line), @"2026-11-20T09:57:18.627062502Z stdout full `plain` -");
    let line = r#"{"log":"{\"level\":\"info\"}\n","stream":"stderr","attrs":{"tag":"web","n":{"a":1}},"time":"2026-11-20T09:57:18Z"}"#;
    assert_snapshot!(check(line), @r#"2026-11-20T09:57:18Z stderr full `{\"level\":\"info\"}` {"tag":"web","n":{"a":1}}"#);
}

#[test]
fn a_line_without_a_newline_goes_on() {
    let line = r#"{"log":"16 KiB of it","stream":"stdout","time":"2026-11-20T09:57:18Z"}"#;
    assert_snapshot!(check(line), @"2026-11-20T09:57:18Z stdout partial `16 KiB of it` -");
    let line = r#"{"log":"","stream":"stdout","time":"2026-11-20T09:57:18Z"}"#;
    assert_snapshot!(check(line), @"2026-11-20T09:57:18Z stdout partial `` -");
    let line = r#"{"log":"\n","stream":"stdout","time":"2026-11-20T09:57:18Z"}"#;
    assert_snapshot!(check(line), @"2026-11-20T09:57:18Z stdout full `` -");
}

#[test]
fn resolves_escapes() {
    let line = r#"{ "time":"2026-11-20T09:57:18Z", "log":"\u001b[32m \ud83d\ude00 \ud83d x \u003c\/\t\"\\\r\n" , "stream":"stdout", "other":[1,{}]}"#;
    assert_snapshot!(check(line), @r#"2026-11-20T09:57:18Z stdout full `\u{1b}[32m 😀 � x </\t\"\\\r` -"#);
    let mut buffer = Vec::new();
    let line = b"{\"log\":\"\xff\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-20T09:57:18Z\"}";
    assert_eq!(parse(line, &mut buffer).unwrap().content, b"\xff");
}

#[test]
fn attributes_are_fields() {
    let fields = attr_fields(br#"{"tag":"web","tier":"front","com.example/x":""}"#).unwrap();
    let wanted = [("attrs.tag", "web"), ("attrs.tier", "front"), ("attrs.com.example/x", "")];
    let wanted: Vec<(Box<str>, Value)> =
        wanted.into_iter().map(|(name, value)| (name.into(), Value::from(value))).collect();
    assert_eq!(fields, wanted);
    assert!(attr_fields(b"{\"a\":\"\xff\"}").is_err());
    assert!(attr_fields(b"[]").is_err());
}

#[test]
fn tells_what_is_wrong() {
    assert_snapshot!(check(""), @"column 1: expected `{`, found the end of the line");
    assert_snapshot!(check("hello"), @"column 1: expected `{`, found `h`");
    assert_snapshot!(check(r#"{"log":"x"#), @r#"column 10: expected `"`, found the end of the line"#);
    assert_snapshot!(check(r#"{"log":"x"}"#), @"member `stream`: is missing");
    assert_snapshot!(check(r#"{"log":5,"stream":"stdout","time":"2026-11-20T09:57:18Z"}"#), @"member `log`: is missing");
    assert_snapshot!(check(r#"{"log":"x","stream":"stdin","time":"2026-11-20T09:57:18Z"}"#), @"member `stream`: expected `stdout` or `stderr`");
    assert_snapshot!(check(r#"{"log":"x","stream":"stdout","time":"now"}"#), @"member `time`: expected an RFC 3339 time");
    assert_snapshot!(check(r#"{"log":"x","stream":"stdout","time":"2026-11-20T09:57:18Z"} {}"#), @"column 61: expected the end of the line, found `{`");
}

#[test]
fn reads_every_line_of_a_real_daemon() {
    let Some(folder) = sawyer_testkit::shared("data/generated-here/docker/containers") else { return };
    let (mut lines, mut partial) = (0, 0);
    for text in crate::testing::files_below(&folder).iter().filter(|text| text.starts_with(b"{\"log\"")) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut buffer = Vec::new();
            let read =
                parse(line, &mut buffer).unwrap_or_else(|error| panic!("{error}: {}", line.escape_ascii()));
            assert!(read.attrs.is_some());
            lines += 1;
            partial += usize::from(read.partial);
        }
    }
    assert!(lines > 500 && partial > 0, "{lines} {partial}");
}

proptest! {
    #[test]
    fn agrees_with_a_library(log in any::<String>()) {
        let time = "2026-11-20T09:57:18Z";
        let line = serde_json::json!({ "log": format!("{log}\n"), "stream": "stdout", "time": time }).to_string();
        let mut buffer = Vec::new();
        let read = parse(line.as_bytes(), &mut buffer).unwrap();
        prop_assert_eq!(read.content, log.as_bytes());
        prop_assert!(!read.partial);
    }

    #[test]
    fn never_panics(line in prop::collection::vec(any::<u8>(), 0..80), at in 0_usize..92, byte in any::<u8>()) {
        let mut buffer = Vec::new();
        let _ = parse(&line, &mut buffer);
        let mut line = *br#"{"log":"\ud83d\ude00 message\n","stream":"stdout","attrs":{"a":[1]},"time":"2026-11-20T09:57:18Z"}"#;
        line[at] = byte;
        let _ = parse(&line, &mut buffer);
        let _ = parse(&line[..at], &mut buffer);
    }
}
