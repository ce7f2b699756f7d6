use std::fmt::Write;
use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Stream, Value};

use super::frames::{Frame, Frames};
use super::*;
use crate::testing::{OBSERVED, show_record, stream};

fn read(bytes: &[u8], zone: &TimeZone, stream: &Arc<Stream>) -> String {
    let mut batch = Batch::new();
    let stream = batch.add_stream(stream);
    let head =
        SyslogHead { source: SourceId(7), range: SeqRange::new(3, 4), observed: OBSERVED, stream, cut: None };
    SyslogReader::new(zone.clone(), false).read(bytes, &head, &mut batch);
    assert_eq!(batch.len(), 1);
    show_record(batch.get(0))
}

/// Messages as they are sent, with what they are read as.
fn check(messages: &[&str], wanted: &str) {
    let mut shown = String::new();
    for message in messages {
        let read = read(message.as_bytes(), &TimeZone::UTC, &Arc::new(Stream::default()));
        writeln!(shown, "{message}\n  {}", read.trim_end().replace('\n', "\n  ")).unwrap();
    }
    assert_eq!(shown.trim(), wanted.trim(), "\n{shown}");
}

#[test]
fn the_form_of_rfc_5424_is_read() {
    check(
        &[
            "<34>1 2026-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick",
            r#"<165>1 2026-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - [a@32473 iut="3" q="\"x\" \] \\ \n"][b@32473][c ip="1" ip="2"] %% It's time."#,
        ],
        r#"
<34>1 2026-10-11T22:14:15.003Z mymachine.example.com su - ID47 - ﻿'su root' failed for lonvick
  timestamp = 2026-10-11T22:14:15.003Z
  message = "'su root' failed for lonvick"
  level = "fatal"
  syslog.facility = "auth"
  syslog.severity = "crit"
  service = "su"
  syslog.msgid = "ID47"
  node = "mymachine.example.com"
  identity = "claimed"
  sawyer.mark = "clock"
<165>1 2026-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - [a@32473 iut="3" q="\"x\" \] \\ \n"][b@32473][c ip="1" ip="2"] %% It's time.
  timestamp = 2026-08-24T12:14:15.000003Z
  message = "%% It's time."
  level = "info"
  syslog.facility = "local4"
  syslog.severity = "notice"
  service = "myproc"
  pid = 8710
  node = "192.0.2.1"
  identity = "claimed"
  sd.a@32473.iut = "3"
  sd.a@32473.q = "\"x\" ] \\ \\n"
  sd.b@32473 = ""
  sd.c.ip = ["1", "2"]
  sawyer.mark = "clock"
"#,
    );
}

#[test]
fn rfc_5424_with_parts_left_out_or_broken_is_read() {
    check(
        &[
            "<14>1 - - - - - -",
            "<14>1 - host app - - - no time",
            "<14>1 2026-11-20T10:00:00Z host app 7 -",
            "<14>1 2026-11-20T10:00:00Z host app 7 - [broken text",
        ],
        r#"
<14>1 - - - - - -
  timestamp = 2026-11-20T12:00:00Z
  message = ""
  level = "info"
  syslog.facility = "user"
  syslog.severity = "info"
<14>1 - host app - - - no time
  timestamp = 2026-11-20T12:00:00Z
  message = "no time"
  level = "info"
  syslog.facility = "user"
  syslog.severity = "info"
  service = "app"
  node = "host"
  identity = "claimed"
<14>1 2026-11-20T10:00:00Z host app 7 -
  timestamp = 2026-11-20T10:00:00Z
  message = ""
  level = "info"
  syslog.facility = "user"
  syslog.severity = "info"
  service = "app"
  pid = 7
  node = "host"
  identity = "claimed"
<14>1 2026-11-20T10:00:00Z host app 7 - [broken text
  timestamp = 2026-11-20T10:00:00Z
  message = "[broken text"
  level = "info"
  syslog.facility = "user"
  syslog.severity = "info"
  service = "app"
  pid = 7
  node = "host"
  identity = "claimed"
  sawyer.mark = "malformed"
"#,
    );
}

/// The parts of a message on one line: time, host, app, pid, msgid, sequence, text.
fn parts(message: &str) -> String {
    let Message { priority, timestamp, host, app, pid, msgid, sequence, text, malformed, .. } =
        parse(message, OBSERVED, &TimeZone::UTC, true);
    let priority = priority.map_or("-".to_owned(), |number| number.to_string());
    let time = timestamp.map_or("-".to_owned(), |time| time.to_string());
    let parts = [host, app, pid, msgid, sequence].map(|part| part.unwrap_or("-"));
    let malformed = if malformed { " malformed" } else { "" };
    format!("{priority} {time} {} |{text}|{malformed}", parts.join(" "))
}

#[test]
fn the_dialects_of_rfc_3164_are_read() {
    for (message, wanted) in [
        (
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
            "34 2026-10-11T22:14:15Z mymachine su - - - |'su root' failed for lonvick on /dev/pts/8|",
        ),
        (
            "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
            "13 2027-02-05T17:32:18Z 10.0.0.99 - - - - |Use the BFG!|",
        ),
        (
            "<86>Nov 20 10:00:00 web-1 sshd[1234]: Accepted publickey",
            "86 2026-11-20T10:00:00Z web-1 sshd 1234 - - |Accepted publickey|",
        ),
        (
            "<86>Nov 20 10:00:00 sshd(pam_unix)[1234]: session opened",
            "86 2026-11-20T10:00:00Z - sshd(pam_unix) 1234 - - |session opened|",
        ),
        (
            "<22>Nov 20 10:00:00 mail postfix/smtpd[7]: connect from a[1.2.3.4]",
            "22 2026-11-20T10:00:00Z mail postfix/smtpd 7 - - |connect from a[1.2.3.4]|",
        ),
        (
            "<30>2026-11-20T10:00:00.123456+01:00 web-1 app[7]: of rsyslog",
            "30 2026-11-20T09:00:00.123456Z web-1 app 7 - - |of rsyslog|",
        ),
        (
            "<166>2026-11-20T10:00:00.123Z esx1 Hostd: info hostd[2099] [Originator@6876] done",
            "166 2026-11-20T10:00:00.123Z esx1 Hostd - - - |info hostd[2099] [Originator@6876] done|",
        ),
        (
            "<189>123: *Mar  1 18:46:11.123: %SYS-5-CONFIG_I: Configured from console",
            "189 2027-03-01T18:46:11.123Z - - - SYS-5-CONFIG_I 123 |%SYS-5-CONFIG_I: Configured from console|",
        ),
        (
            "<189>45: Nov 20 2026 10:00:00.5 UTC: %LINEPROTO-5-UPDOWN: Line protocol",
            "189 2026-11-20T10:00:00.500Z - - - LINEPROTO-5-UPDOWN 45 |%LINEPROTO-5-UPDOWN: Line protocol|",
        ),
        (
            "<189>router1: 000045: Nov 20 10:00:00: %LINK-3-UPDOWN: Interface down",
            "189 2026-11-20T10:00:00Z router1 - - LINK-3-UPDOWN 000045 |%LINK-3-UPDOWN: Interface down|",
        ),
        (
            "<166>Nov 20 2026 10:00:00 asa1 : %ASA-6-302013: Built outbound",
            "166 2026-11-20T10:00:00Z asa1 - - ASA-6-302013 - |%ASA-6-302013: Built outbound|",
        ),
        (
            "<166>:Nov 20 10:00:00 UTC: %ASA-session-6-302013: Built",
            "166 2026-11-20T10:00:00Z - - - ASA-session-6-302013 - |%ASA-session-6-302013: Built|",
        ),
        (
            "<134>1 1795168800.123456789 MX84 events type=vpn",
            "134 2026-11-20T10:00:00.123456789Z MX84 - - - - |events type=vpn|",
        ),
        (
            "<13>Nov 20 10:00:00 Message forwarded from aix1: cron[5]: ran",
            "13 2026-11-20T10:00:00Z aix1 cron 5 - - |ran|",
        ),
        ("<13>app[12]: without a time", "13 - - app 12 - - |without a time|"),
        ("<13>{\"level\": \"info\"}", "13 - - - - - - |{\"level\": \"info\"}|"),
        ("<13>", "13 - - - - - - ||"),
        ("Nov 20 10:00:00 web-1 su: no priority", "- 2026-11-20T10:00:00Z web-1 su - - - |no priority|"),
        ("only a text", "- - - - - - - |only a text| malformed"),
        ("<192>Nov 20 10:00:00 web su: x", "- - - - - - - |<192>Nov 20 10:00:00 web su: x| malformed"),
        ("<5>Nov 20 10:00:00 web-1 결제: 완료", "5 2026-11-20T10:00:00Z web-1 - - - - |결제: 완료|"),
        ("<5>결제", "5 - - - - - - |결제|"),
    ] {
        assert_eq!(parts(message), wanted, "{message}");
    }
}

#[test]
fn a_clock_without_a_zone_is_of_the_zone_that_is_set() {
    let zone = TimeZone::get("Asia/Seoul").unwrap();
    let time = |text: &str| parse(text, OBSERVED, &zone, true).timestamp.unwrap().to_string();
    assert_eq!(time("<13>Nov 20 10:00:00 a b: c"), "2026-11-20T01:00:00Z");
    assert_eq!(time("<13>2026-11-20T10:00:00 a b: c"), "2026-11-20T01:00:00Z");
    for text in [
        "<13>2026-11-20T10:00:00Z a b: c",
        "<13>2026-11-20T11:00:00+01:00 a b: c",
        "<13>1 2026-11-20T10:00:00Z a b - - - c",
        "<189>7: Nov 20 10:00:00 UTC: %A-1-B: c",
    ] {
        assert_eq!(time(text), "2026-11-20T10:00:00Z", "{text}");
    }
    // Where it is the first of January already, the year is that of there.
    let new_year = Timestamp::parse("2026-12-31T15:30:00Z").unwrap();
    let message = parse("<13>Jan  1 00:30:00 a b: c", new_year, &zone, true);
    assert_eq!(message.timestamp, Some(new_year));
}

#[test]
fn a_program_on_the_same_machine_names_no_host() {
    let here = Arc::new(Stream::new([("node", Value::from("node-1"))]));
    let shown = read(b"<13>Nov 20 10:00:00 my own text", &TimeZone::UTC, &here);
    assert!(shown.contains("message = \"my own text\""), "{shown}");
    assert!(!shown.contains("node") && !shown.contains("claimed"), "{shown}");
    // docker does.
    let shown = read(b"<30>Nov 20 10:00:00 node-1 shop[17]: my own text", &TimeZone::UTC, &here);
    assert!(shown.contains("message = \"my own text\"") && shown.contains("service = \"shop\""), "{shown}");
    assert!(!shown.contains("node") && !shown.contains("claimed"), "{shown}");
}

#[test]
fn bytes_that_are_not_utf_8_are_kept_in_base64() {
    let shown = read(b"<13>Nov 20 10:00:00 a b: M\xfcnchen", &TimeZone::UTC, &stream());
    assert!(shown.contains("message = \"M\u{fffd}nchen\""), "{shown}");
    assert!(shown.contains("_original_base64"), "{shown}");
}

/// Frames of a stream that comes in pieces of this size.
fn frames(bytes: &[u8], step: usize, bytes_max: usize) -> Vec<Frame> {
    let (mut frames, mut found) = (Frames::new(bytes_max), Vec::new());
    for piece in bytes.chunks(step) {
        frames.push(piece);
        found.extend(std::iter::from_fn(|| frames.take()));
    }
    found.extend(frames.end());
    assert_eq!(frames.end(), None);
    found
}

#[test]
fn each_message_says_how_it_is_framed() {
    let stream =
        b"<1>a line\n12 <2>counted\nx13 <2>line feed\n<3>with CR\r\n<4>NUL\x00\n\n5 <5>ok123 no count\n99";
    let wanted = [
        "<1>a line",
        "<2>counted\nx",
        "<2>line feed\n",
        "<3>with CR",
        "<4>NUL",
        "<5>ok",
        "123 no count",
        "99",
    ];
    for step in 1..stream.len() {
        let found: Vec<_> = frames(stream, step, 100)
            .into_iter()
            .map(|frame| String::from_utf8(frame.bytes).unwrap())
            .collect();
        assert_eq!(found, wanted, "in steps of {step}");
    }
}

#[test]
fn of_a_long_message_the_beginning_is_kept() {
    let line = format!("<1>{}\n<2>b\n", "a".repeat(50));
    let counted = format!("53 <1>{}4 <2>b", "a".repeat(50));
    let hash = xxhash_rust::xxh3::xxh3_64(&line.as_bytes()[..53]);
    for (stream, step) in [(&line, 7), (&counted, 7), (&line, 1000), (&counted, 1000), (&counted, 1)] {
        let found = frames(stream.as_bytes(), step, 10);
        let wanted = Frame { bytes: b"<1>aaaaaaa".to_vec(), cut: Some(Cut { length: 53, hash }) };
        assert_eq!(found[0], wanted);
        assert_eq!(found[1], Frame { bytes: b"<2>b".to_vec(), cut: None });
        assert_eq!(found.len(), 2);
    }
}

proptest! {
    #[test]
    fn no_text_harms(text in "(<[0-9]{0,4}>)?(1 )?[ -~\u{80}-\u{ffff}:\\[\\]\"\\\\%]{0,60}", hosted: bool) {
        let message = parse(&text, OBSERVED, &TimeZone::UTC, hosted);
        prop_assert!(text.contains(message.text));
        structured_data::each(message.data, &mut String::new(), |_, _| {});
    }

    #[test]
    fn no_change_of_a_message_harms(
        at in 0usize..100, byte: u8, cut in 0usize..120,
        message in prop::sample::select(vec![
            r#"<165>1 2026-08-24T05:14:15.000003-07:00 192.0.2.1 p 8710 - [a@3 i="3" q="\"x\" \]"][b] text"#,
            "<189>router1: 000045: *Nov 20 2026 10:00:00.123 UTC: %LINK-3-UPDOWN: Interface down",
            "<13>Nov 20 10:00:00 Message forwarded from aix1: cron[5]: ran",
        ]),
    ) {
        let mut bytes = message.as_bytes().to_vec();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(cut);
        read(&bytes, &TimeZone::UTC, &stream());
    }

    #[test]
    fn frames_hold_every_byte_and_no_more_than_their_bound(
        bytes in prop::collection::vec(prop::sample::select(b"12 <>a\n\r\x00".to_vec()), 0..200),
        step in 1usize..20, bytes_max in 1usize..20,
    ) {
        let found = frames(&bytes, step, bytes_max);
        prop_assert!(found.iter().all(|frame| frame.bytes.len() <= bytes_max));
        let plain = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'a').count();
        if found.iter().all(|frame| frame.cut.is_none()) {
            prop_assert_eq!(found.iter().map(|frame| plain(&frame.bytes)).sum::<usize>(), plain(&bytes));
        }
        prop_assert_eq!(found, frames(&bytes, bytes.len().max(1), bytes_max));
    }
}
