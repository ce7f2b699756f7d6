use std::sync::Arc;

use sawyer_model::{Record, RecordRef, Stream, Timestamp, Value};

use crate::steps::testing::{OBSERVED, bench, record, records};

fn check(settings: &str, records: &[Record]) -> String {
    bench("parse", settings).unwrap().show(records)
}

#[test]
fn fills_the_common_fields_from_every_format() {
    let lines = records(&[
        r#"{"ts":"2026-11-20T11:59:59.5Z","severity":"WARN","msg":"slow","traceId":"abc1","http":{"status":503}}"#,
        "level=error msg=\"no disk\" disk=sda1",
        "I1120 09:43:55.695860    4758 server.go:632] watch \"x\"",
        "10.0.0.1 - - [20/Nov/2026:11:00:00 +0000] \"GET /a HTTP/1.1\" 404 12",
        "2026-11-20 11:59:59 ERROR plain text",
        "nothing to see",
    ]);
    insta::assert_snapshot!(check("{}", &lines), @r#"
    0 2026-11-20T11:59:59Z
    _original = "{\"ts\":\"2026-11-20T11:59:59.5Z\",\"severity\":\"WARN\",\"msg\":\"slow\",\"traceId\":\"abc1\",\"http\":{\"status\":503}}"
    body.timestamp = @2026-11-20T11:59:59.500Z
    level = "warn"
    message = "slow"
    trace_id = "abc1"
    http.status = 503
    --
    10 2026-11-20T11:59:59Z
    _original = "level=error msg=\"no disk\" disk=sda1"
    level = "error"
    message = "no disk"
    disk = "sda1"
    --
    20 2026-11-20T11:59:59Z
    _original = "I1120 09:43:55.695860    4758 server.go:632] watch \"x\""
    level = "info"
    body.timestamp = @2026-11-20T09:43:55.695860Z
    thread = 4758
    caller = "server.go:632"
    message = "watch \"x\""
    --
    30 2026-11-20T11:59:59Z
    message = "10.0.0.1 - - [20/Nov/2026:11:00:00 +0000] \"GET /a HTTP/1.1\" 404 12"
    body.timestamp = @2026-11-20T11:00:00Z
    client.address = "10.0.0.1"
    http.method = "GET"
    http.path = "/a"
    http.version = "1.1"
    http.status = 404
    http.response_bytes = 12
    --
    40 2026-11-20T11:59:59Z
    message = "2026-11-20 11:59:59 ERROR plain text"
    level = "error"
    --
    50 2026-11-20T11:59:59Z
    message = "nothing to see"
    "#);
}

#[test]
fn parsing_twice_changes_nothing() {
    let mut lines = records(&[
        r#"{"a":1,"level":"info","tags":["x","y"]}"#,
        r#"{"msg":"{\"a\":1}","b":true}"#,
        "a=1 b=2 level=info",
        "E1120 09:43:55.695860    4758 server.go:632] watch",
        "ERROR plain",
    ]);
    // As an input makes it that reads JSON itself.
    lines[0].fields.push(("a".into(), Value::Int(1)));
    let mut bench = bench("parse", "{}").unwrap();
    let once = bench.run(&lines);
    let again: Vec<Record> = once.iter().map(RecordRef::to_record).collect();
    let twice = bench.run(&again);
    let twice: Vec<Record> = twice.iter().map(RecordRef::to_record).collect();
    assert_eq!(twice, again);
    assert_eq!(again[0].fields, lines[0].fields, "it was parsed before");
}

#[test]
fn parses_messages_of_records_that_have_other_fields() {
    let mut of_journal = record(0, "W1120 09:43:55.695860    4758 server.go:632] watch");
    of_journal.fields.push(("level".into(), Value::from("info")));
    of_journal.fields.push(("unit".into(), Value::from("kubelet.service")));
    insta::assert_snapshot!(check("{}", &[of_journal]), @r#"
    0 2026-11-20T11:59:59Z
    _original = "W1120 09:43:55.695860    4758 server.go:632] watch"
    unit = "kubelet.service"
    level = "warn"
    body.timestamp = @2026-11-20T09:43:55.695860Z
    thread = 4758
    caller = "server.go:632"
    message = "watch"
    "#);
}

#[test]
fn reads_one_format_if_told() {
    let lines = records(&["a=1 b=2", r#"{"a":1}"#]);
    insta::assert_snapshot!(check("format: json", &lines), @r#"
    0 2026-11-20T11:59:59Z
    message = "a=1 b=2"
    --
    10 2026-11-20T11:59:59Z
    message = "{\"a\":1}"
    a = 1
    "#);
    let text = bench("parse", "format: yaml").err().unwrap();
    insta::assert_snapshot!(text, @r#"sawyer.yaml:1:1: format: expected one of `auto`, `json`, `logfmt`, `klog`, `access_log`, `plain`, found "yaml""#);
}

#[test]
fn parses_only_what_the_condition_holds_for() {
    let lines = records(&["a=1 b=2 apple=1", "a=1 b=2"]);
    let mut bench = bench("parse", "when: apple").unwrap();
    insta::assert_snapshot!(bench.show(&lines), @r#"
    0 2026-11-20T11:59:59Z
    message = "a=1 b=2 apple=1"
    a = 1
    b = 2
    apple = 1
    --
    10 2026-11-20T11:59:59Z
    message = "a=1 b=2"
    "#);
    assert_eq!(bench.count("sawyer_step_parsed_records"), 1);
}

/// Time and marks of a line that was written (by the runtime) at `written` and says `said` itself.
fn times(settings: &str, written: Timestamp, said: &str) -> String {
    let line = Record { timestamp: written, ..record(0, &format!(r#"{{"time":"{said}","x":1}}"#)) };
    let batch = bench("parse", settings).unwrap().run(&[line]);
    let record = batch.get(0);
    let marks: Vec<&str> = record.marks().collect();
    format!("{} {}", record.timestamp(), marks.join(" "))
}

#[test]
fn the_lines_own_time_counts_where_there_is_no_other() {
    let written = Timestamp::parse("2026-11-20T11:59:59Z").unwrap();
    assert_eq!(times("{}", written, "2026-11-20T11:00:00Z"), "2026-11-20T11:59:59Z ");
    assert_eq!(times("{}", OBSERVED, "2026-11-20T11:00:00Z"), "2026-11-20T11:00:00Z ");
    assert_eq!(times("prefer_body_time: true", written, "2026-11-20T11:00:00Z"), "2026-11-20T11:00:00Z ");
}

#[test]
fn marks_clocks_that_are_far_off() {
    let at = |text: &str| Timestamp::parse(text).unwrap();
    // Old files are nothing unusual.
    assert_eq!(times("{}", OBSERVED, "2026-03-01T00:00:00Z"), "2026-03-01T00:00:00Z ");
    assert_eq!(times("{}", OBSERVED, "2016-11-20T12:00:00Z"), "2016-11-20T12:00:00Z clock");
    assert_eq!(times("{}", OBSERVED, "2036-11-20T12:00:00Z"), "2036-11-20T12:00:00Z clock");
    // The node's clock.
    let said = "2016-11-20T12:00:00Z";
    assert_eq!(times("{}", at("2016-11-20T12:00:00Z"), said), "2016-11-20T12:00:00Z clock");
    assert_eq!(times("{}", at("2026-11-21T11:00:00Z"), "2026-11-21T11:00:00Z"), "2026-11-21T11:00:00Z ");
    assert_eq!(times("{}", at("2026-11-21T13:00:00Z"), "2026-11-21T13:00:00Z"), "2026-11-21T13:00:00Z clock");
}

#[test]
fn keeps_other_marks_when_it_takes_one_back() {
    let mut line = record(0, r#"{"time":"2026-03-01T00:00:00Z","x":1}"#);
    line.timestamp = OBSERVED;
    let marks = ["cut", "malformed"].map(Value::from);
    line.fields.push(("sawyer.mark".into(), Value::List(marks.into())));
    let batch = bench("parse", "{}").unwrap().run(&[line]);
    assert_eq!(batch.get(0).marks().collect::<Vec<_>>(), ["cut", "malformed"]);
}

#[test]
fn what_clients_push_is_left_as_it_was_read() {
    use sawyer_codec::ndjson_in::{NdjsonHead, NdjsonReader, Sender};
    use sawyer_model::{Batch, SeqRange, SourceId, Stream};

    let lines = [
        r#"{"timestamp":"2024-06-01T12:34:56Z","level":"ERROR","namespace":"prod","message":"a=1 b=2 c=3"}"#,
        r#"{"msg":"{\"a\":1}","severity":"warn"}"#,
        r#"{"a":1,"b":{"c":[1,2]}}"#,
        r#"{"level":"info","list":[{"x":1},{"x":2}]}"#,
    ];
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    for (at, line) in lines.into_iter().enumerate() {
        let range = SeqRange::new(at as u64, at as u64 + 1);
        let head =
            NdjsonHead { source: SourceId(1), range, observed: OBSERVED, stream, sender: Sender::Client };
        NdjsonReader::default().read(line.as_bytes(), &head, &mut batch).unwrap();
    }
    let pushed: Vec<Record> = batch.iter().map(RecordRef::to_record).collect();
    let parsed = bench("parse", "{}").unwrap().run(&pushed);
    let mut parsed: Vec<Record> = parsed.iter().map(RecordRef::to_record).collect();
    // Its time is years from its arrival.
    assert!(parsed[0].fields.iter().any(|(name, _)| &**name == "sawyer.mark"));
    parsed[0].fields.retain(|(name, _)| &**name != "sawyer.mark");
    let mut expected = pushed;
    expected[0].fields.retain(|(name, _)| &**name != "sawyer.mark");
    assert_eq!(parsed, expected);
}

fn hinted(lines: &[&str], hint: &str) -> Vec<Record> {
    let mut records = records(lines);
    for record in &mut records {
        record.stream = Arc::new(Stream::new([("sawyer.parser", Value::from(hint))]));
    }
    records
}

#[test]
fn a_stream_says_how_its_lines_are_written() {
    let (json, logfmt) = (r#"{"msg":"a","n":1}"#, "level=error msg=b");
    let parsed = |hint: &str, settings: &str| {
        let shown = check(settings, &hinted(&[json, logfmt], hint));
        (shown.contains("\"a\"\n"), shown.contains("\"b\"\n"))
    };
    assert_eq!(parsed("json", "{}"), (true, false));
    assert_eq!(parsed("logfmt", "{}"), (false, true));
    assert_eq!(parsed("off", "{}"), (false, false));
    assert_eq!(parsed("auto", "format: json"), (true, true));
    assert_eq!(parsed("what", "{}"), (true, true), "what is not known changes nothing");
    assert_eq!(parsed("off", "hints: false"), (true, true));
}

#[test]
fn an_audit_event_says_who_did_what() {
    let event = |code: u16, more: &str| {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"7e0b","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods/web-0/exec?command=sh","verb":"create","user":{{"username":"alice","groups":["system:authenticated"]}},"sourceIPs":["10.0.0.9"],"objectRef":{{"resource":"pods","namespace":"shop","name":"web-0","apiVersion":"v1","subresource":"exec"}},"responseStatus":{{"metadata":{{}},"code":{code}}},"requestReceivedTimestamp":"2026-11-20T11:59:58.000001Z","stageTimestamp":"2026-11-20T11:59:58.500000Z"{more}}}"#
        )
    };
    let mut lines = records(&[&event(403, ""), &event(404, ""), &event(503, "")]);
    for line in &mut lines {
        // As lines of files are read.
        line.timestamp = line.observed;
    }
    let shown = check("{}", &lines);
    let first = shown.split("--").next().unwrap();
    for wanted in [
        "0 2026-11-20T11:59:58.500Z",
        r#"message = "create pods/exec shop/web-0 by alice: 403""#,
        r#"level = "warn""#,
        r#"service = "kube-apiserver""#,
        r#"objectRef.namespace = "shop""#,
        r#"user.username = "alice""#,
        "responseStatus.code = 403",
        "_original = \"{",
        r#"body.level = "Metadata""#,
    ] {
        assert!(first.contains(wanted), "{wanted}: {first}");
    }
    let levels: Vec<&str> =
        shown.lines().map(str::trim).filter(|line| line.starts_with("level = ")).collect();
    assert_eq!(levels, [r#"level = "warn""#, r#"level = "info""#, r#"level = "error""#]);
}
