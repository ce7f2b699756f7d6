use std::collections::BTreeMap;

use insta::assert_snapshot;
use proptest::prelude::*;
use sawyer_model::{Batch, ValueRef, names};

use super::*;
use crate::testing::{OBSERVED, batch_of, files_below, show_fields, show_record};

mod corpus;
mod foreseen;

fn check(line: &str) -> String {
    let mut fields = Fields::default();
    let format = Parser::default().parse(line, None, OBSERVED, &mut fields);
    format!("{}\n{}", format.name(), fields.read(|fields| show_fields(fields)))
}

fn apply(line: &str, rules: Rules) -> String {
    let mut batch = batch_of([line.as_bytes()]);
    Parser::default().apply(&mut batch.edit(0), &rules);
    show_record(batch.get(0))
}

#[test]
fn json_is_flattened() {
    assert_snapshot!(check(r#" {"level":"info","n":1,"a":{"b":[1,2]}} "#), @r#"
    json
    level = "info"
    n = 1
    a.b = [1, 2]
    "#);
    assert_snapshot!(check(r#"{"level":"info","n":1"#), @"plain");
    assert_snapshot!(check(r#"{not json} level=info"#), @r#"
    plain
    level = "info"
    "#);
}

#[test]
fn logfmt_covers_the_whole_line() {
    assert_snapshot!(check(r#"ts=2024-05-02T12:17:25.59Z level=info caller=http.go:194 msg="POST /x (200) 2ms" n=5 f=1.50 zero=007 ok=true empty= q="" url=http://a/b?c=d"#), @r#"
    logfmt
    ts = "2024-05-02T12:17:25.59Z"
    level = "info"
    caller = "http.go:194"
    msg = "POST /x (200) 2ms"
    n = 5
    f = 1.5
    zero = "007"
    ok = true
    empty = ""
    q = ""
    url = "http://a/b?c=d"
    "#);
    assert_snapshot!(check(r#"level=warn msg="say \"hi\"\n\t\u00e9\x1b[0m \\""#), @r#"
    logfmt
    level = "warn"
    msg = "say \"hi\"\n\té\\x1b[0m \\"
    "#);
    assert_snapshot!(check("a=1 b=2 c=3"), @"
    logfmt
    a = 1
    b = 2
    c = 3
    ");
    assert_snapshot!(check("component=a component=b component=c"), @r#"
    logfmt
    component = ["a", "b", "c"]
    "#);
}

#[test]
fn what_only_looks_like_logfmt_is_plain() {
    for line in [
        "a=1 b=2",
        "authentication failure; logname= uid=0 euid=0 tty=ssh",
        "level=info started the server",
        "started level",
        "x=1 y=2 z=\"open",
        "x=1 y=2 z=\"a\"b",
        "x=1,y=2,z=3",
        "=1 =2 =3",
        "key= with space=1 b=2 c=3",
    ] {
        assert_eq!(
            Parser::default().parse(line, None, OBSERVED, &mut Fields::default()),
            Format::Plain,
            "{line}"
        );
    }
}

#[test]
fn klog_headers_are_read() {
    assert_snapshot!(check("I1120 09:43:55.695860    4758 server.go:632] external host was not specified, using 127.0.0.1"), @r#"
    klog
    level = "info"
    timestamp = @2026-11-20T09:43:55.695860Z
    thread = 4758
    caller = "server.go:632"
    message = "external host was not specified, using 127.0.0.1"
    "#);
    assert_snapshot!(check(r#"E0507 11:59:43.939053    3659 scope.go:117] "Remove \"it\"" containerID="99 40" n=5 node="gke-1""#), @r#"
    klog
    level = "error"
    timestamp = @2027-05-07T11:59:43.939053Z
    thread = 3659
    caller = "scope.go:117"
    message = "Remove \"it\""
    containerID = "99 40"
    n = 5
    node = "gke-1"
    "#);
    assert_snapshot!(check(r#"W1120 09:43:55.695860 1 a.go:1] "quoted" and more"#), @r#"
    klog
    level = "warn"
    timestamp = @2026-11-20T09:43:55.695860Z
    thread = 1
    caller = "a.go:1"
    message = "\"quoted\" and more"
    "#);
    assert_snapshot!(check("E1120 is not a header"), @"plain");
    assert_snapshot!(check("I1332 09:43:55.695860    4758 server.go:632] no such day"), @"plain");
    assert_snapshot!(check("I1120 09:43:55.695860    4758 server] no line"), @"plain");
}

#[test]
fn access_logs_are_read() {
    assert_snapshot!(check(r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a b?c=\"d\" HTTP/1.1" 200 203023 "http://x/" "Mozilla/5.0 (X11)" extra 0.123"#), @r#"
    access_log
    timestamp = @2015-05-17T10:05:03Z
    client.address = "83.149.9.216"
    http.method = "GET"
    http.path = "/a b?c=\\\"d\\\""
    http.version = "1.1"
    http.status = 200
    http.response_bytes = 203023
    http.referrer = "http://x/"
    http.user_agent = "Mozilla/5.0 (X11)"
    "#);
    assert_snapshot!(check(r#"::1 - frank [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 304 -"#), @r#"
    access_log
    timestamp = @2000-10-10T20:55:36Z
    client.address = "::1"
    client.user = "frank"
    http.method = "GET"
    http.path = "/"
    http.version = "1.0"
    http.status = 304
    "#);
    assert_snapshot!(check(r#"10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "\x16\x03\x01" 400 0 "-" "-""#), @r#"
    access_log
    timestamp = @2000-10-10T20:55:36Z
    client.address = "10.0.0.1"
    http.request = "\\x16\\x03\\x01"
    http.status = 400
    http.response_bytes = 0
    "#);
    assert_snapshot!(check(r#"10.0.0.1 - - [today] "GET / HTTP/1.0" 304 -"#), @"plain");
    assert_snapshot!(check(r#"someone - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" failed"#), @"plain");
}

fn level(line: &str) -> &'static str {
    let mut fields = Fields::default();
    Parser::default().parse(line, Some(Format::Plain), OBSERVED, &mut fields);
    let name = fields.read(|mut fields| {
        let found = Iterator::find(&mut fields, |(name, _)| *name == names::LEVEL);
        found.and_then(|(_, value)| value.as_str()).unwrap_or("none").to_owned()
    });
    Level::ALL.iter().map(|level| level.name()).find(|known| *known == name).unwrap_or("none")
}

#[test]
fn plain_lines_begin_with_their_level() {
    for (line, wanted) in [
        ("ERROR something", "error"),
        ("WARN: low on memory", "warn"),
        ("WARNING:root:message", "warn"),
        ("[error] x", "error"),
        ("[ INFO] x", "info"),
        ("[WARNING] Deprecated flag", "warn"),
        ("[main] DEBUG com.example - x", "debug"),
        ("Error: 14 UNAVAILABLE", "error"),
        ("error: cannot open", "error"),
        ("panic: boom", "fatal"),
        ("info: Microsoft.Hosting.Lifetime[0]", "info"),
        ("fail: Microsoft.AspNetCore[13]", "error"),
        ("INFO[0000] started", "info"),
        ("ERRO[0012] broken", "error"),
        ("<3>kernel trouble", "error"),
        ("<14>1 2024-01-01T00:00:00Z host app", "info"),
        ("2024-01-01 12:00:00.000  INFO 1 --- [main] c.e.App : msg", "info"),
        ("2024-01-01T00:00:00.000000Z  WARN crate: msg", "warn"),
        ("2024-01-01T00:00:00.000Z\u{1b}[32m INFO\u{1b}[0m crate: msg", "info"),
        ("2024-01-01T00:00:00.000Z\terror\tcontroller/x.go:1\tmsg", "error"),
        ("[2024-01-01T00:00:00Z ERROR my_crate] msg", "error"),
        ("[2024-01-01 00:00:00.000][1][warning][main] [source/a.cc:1] x", "warn"),
        ("[Sun Dec 04 04:51:08.1 2005] [core:notice] [pid 1] x", "info"),
        ("2024/01/01 12:00:00 [crit] 29#29: *1 x", "fatal"),
        ("2026-11-20T09:51:00.754Z 0 [Warning] [MY-010068] [Server] x", "warn"),
        ("2026-11-20 09:51:00.754 UTC [27566] LOG:  ready", "info"),
        ("2026-11-20 09:51:00.754 UTC [27566] FATAL:  no", "fatal"),
        ("2026-11-20 09:51:00.754 UTC [27566] HINT:  no ERROR here", "none"),
        ("2026-11-20 09:37:53.982111 W | etcdmain: x", "warn"),
        ("1:M 20 Nov 2026 10:00:00.000 # Warning: x", "warn"),
        ("1:M 20 Nov 2026 10:00:00.000 * Ready", "info"),
        ("03-17 16:13:38.820  1702  8671 E Tag: x", "error"),
        ("Nov 20 10:00:00 host sshd[1]: error: x", "error"),
        ("started component level=warn x", "warn"),
        ("nova.log.1 2017-05-16 00:00:01.551 25746 INFO nova x", "info"),
    ] {
        assert_eq!(level(line), wanted, "{line}");
    }
}

#[test]
fn words_of_a_sentence_are_no_levels() {
    for line in [
        "",
        " ",
        "hello world",
        "no ERROR found",
        "The ERROR was fixed",
        "error connecting to db",
        "Errors: 0",
        "information about x",
        "I am here",
        "E",
        "2024-01-01 12:00:00 got ERROR from server",
        "2024-01-01 12:00:00 error rate is 5",
        "\tat com.example.Error.main(Error.java:1)",
        "    raise ConnectionError",
        "RuntimeError: something bad",
        "Caused by: java.lang.Error: x",
        "Exception in thread \"main\" java.lang.Error",
        "Traceback (most recent call last):",
        "config: loaded",
        "log: x",
        "fine: x",
        "<999>x",
        "<>x",
        "<x",
        "[no end ERROR",
        "level=unknown x",
        "sublevel=info x",
        "Fri Nov 20 info desk opens",
        "1 2 3 4 5 6 7 8 9 10 11 12 ERROR",
        "ERRORS x",
        "FATALITY",
        "WARNED us",
    ] {
        assert_eq!(level(line), "none", "{line}");
    }
}

#[test]
fn a_body_fills_the_common_fields() {
    let line = r#"{"time":"2026-11-20T11:59:59.5Z","severity":"WARNING","msg":"low","service":{"name":"cart"},"traceId":"ab12","spanID":"cd","environment":"prod","n":1}"#;
    assert_snapshot!(apply(line, Rules::default()), @r#"
    timestamp = 2026-11-20T12:00:00Z
    _original = "{\"time\":\"2026-11-20T11:59:59.5Z\",\"severity\":\"WARNING\",\"msg\":\"low\",\"service\":{\"name\":\"cart\"},\"traceId\":\"ab12\",\"spanID\":\"cd\",\"environment\":\"prod\",\"n\":1}"
    body.timestamp = @2026-11-20T11:59:59.500Z
    level = "warn"
    message = "low"
    service = "cart"
    trace_id = "ab12"
    span_id = "cd"
    env = "prod"
    n = 1
    "#);
    assert_snapshot!(apply(line, Rules { own_time: true, ..Rules::default() }), @r#"
    timestamp = 2026-11-20T11:59:59.500Z
    _original = "{\"time\":\"2026-11-20T11:59:59.5Z\",\"severity\":\"WARNING\",\"msg\":\"low\",\"service\":{\"name\":\"cart\"},\"traceId\":\"ab12\",\"spanID\":\"cd\",\"environment\":\"prod\",\"n\":1}"
    level = "warn"
    message = "low"
    service = "cart"
    trace_id = "ab12"
    span_id = "cd"
    env = "prod"
    n = 1
    "#);
}

#[test]
fn a_traceparent_tells_trace_and_span_where_nothing_else_does() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let told = |line: &str| apply(line, Rules::default());
    assert_snapshot!(told(&format!(r#"{{"msg":"a","traceparent":"{PARENT}"}}"#)), @r#"
    timestamp = 2026-11-20T12:00:00Z
    _original = "{\"msg\":\"a\",\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}"
    message = "a"
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    span_id = "00f067aa0ba902b7"
    "#);
    assert_snapshot!(told(&format!("level=info http.headers.Traceparent={PARENT} msg=a")), @r#"
    timestamp = 2026-11-20T12:00:00Z
    _original = "level=info http.headers.Traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 msg=a"
    level = "info"
    http.headers.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    message = "a"
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    span_id = "00f067aa0ba902b7"
    "#);
    assert_snapshot!(told(&format!(r#"{{"msg":"a","traceparent":"{PARENT}","traceId":"ab12"}}"#)), @r#"
    timestamp = 2026-11-20T12:00:00Z
    _original = "{\"msg\":\"a\",\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\",\"traceId\":\"ab12\"}"
    message = "a"
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    trace_id = "ab12"
    "#);
    for no in
        ["00-0-0-01", &PARENT.replace('f', "F"), &format!("{PARENT}-x"), &PARENT.replacen("00", "ff", 1)]
    {
        let told = told(&format!(r#"{{"msg":"a","traceparent":"{no}"}}"#));
        assert!(!told.contains("trace_id"), "{told}");
    }
}

#[test]
fn a_claimed_identity_does_not_pass_for_the_real_one() {
    let line = r#"{"namespace":"prod","pod":"x","labels":{"app":"evil","team":"a"},"restart_count":7,"_original":"no","sawyer.mark":"cut","observed":"now","":0,"message":"m"}"#;
    assert_snapshot!(apply(line, Rules::default()), @r#"
    timestamp = 2026-11-20T12:00:00Z
    _original = "{\"namespace\":\"prod\",\"pod\":\"x\",\"labels\":{\"app\":\"evil\",\"team\":\"a\"},\"restart_count\":7,\"_original\":\"no\",\"sawyer.mark\":\"cut\",\"observed\":\"now\",\"\":0,\"message\":\"m\"}"
    body.namespace = "prod"
    body.pod = "x"
    body.labels.app = "evil"
    labels.team = "a"
    body.restart_count = 7
    body._original = "no"
    body.sawyer.mark = "cut"
    body.observed = "now"
    body._empty = 0
    message = "m"
    "#);
}

#[test]
fn names_that_do_not_make_sense_in_their_role_stay_what_they_are() {
    assert_snapshot!(apply(r#"{"level":"Metadata","time":"3ms","ts":7,"msg":"","message":null,"service":5,"trace_id":"0000","t":"soon"}"#, Rules::default()), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "{\"level\":\"Metadata\",\"time\":\"3ms\",\"ts\":7,\"msg\":\"\",\"message\":null,\"service\":5,\"trace_id\":\"0000\",\"t\":\"soon\"}"
    body.level = "Metadata"
    time = "3ms"
    ts = 7
    msg = ""
    body.message = null
    body.service = 5
    body.trace_id = "0000"
    t = "soon"
    "#);
    assert_snapshot!(apply(r#"{"level":200,"level_name":"NOTICE","message":["a","b"],"msg":"m"}"#, Rules::default()), @r#"
    timestamp = 2026-11-20T12:00:00Z
    _original = "{\"level\":200,\"level_name\":\"NOTICE\",\"message\":[\"a\",\"b\"],\"msg\":\"m\"}"
    body.level = 200
    level = "info"
    body.message = ["a", "b"]
    message = "m"
    "#);
}

#[test]
fn dialects_are_known() {
    let told = |line| apply(line, Rules { own_time: true, ..Rules::default() });
    assert_snapshot!(told(r#"{"level":30,"time":1795175999123,"pid":1,"hostname":"h","msg":"pino"}"#), @r#"
    timestamp = 2026-11-20T11:59:59.123Z
    _original = "{\"level\":30,\"time\":1795175999123,\"pid\":1,\"hostname\":\"h\",\"msg\":\"pino\"}"
    level = "info"
    pid = 1
    hostname = "h"
    message = "pino"
    "#);
    assert_snapshot!(told(r#"{"version":"1.1","short_message":"gelf","level":3,"timestamp":1795175999.123,"_user":"x"}"#), @r#"
    timestamp = 2026-11-20T11:59:59.123Z
    _original = "{\"version\":\"1.1\",\"short_message\":\"gelf\",\"level\":3,\"timestamp\":1795175999.123,\"_user\":\"x\"}"
    version = "1.1"
    message = "gelf"
    level = "error"
    body._user = "x"
    "#);
    assert_snapshot!(told(r#"{"t":{"$date":"2026-11-20T11:59:59.123+00:00"},"s":"W","c":"NETWORK","id":1,"msg":"mongo"}"#), @r#"
    timestamp = 2026-11-20T11:59:59.123Z
    _original = "{\"t\":{\"$date\":\"2026-11-20T11:59:59.123+00:00\"},\"s\":\"W\",\"c\":\"NETWORK\",\"id\":1,\"msg\":\"mongo\"}"
    level = "warn"
    c = "NETWORK"
    id = 1
    message = "mongo"
    "#);
    assert_snapshot!(told(r#"{"@t":"2026-11-20T11:59:59Z","@mt":"Hello {Name}","@l":"Error","Name":"x"}"#), @r#"
    timestamp = 2026-11-20T11:59:59Z
    _original = "{\"@t\":\"2026-11-20T11:59:59Z\",\"@mt\":\"Hello {Name}\",\"@l\":\"Error\",\"Name\":\"x\"}"
    message = "Hello {Name}"
    level = "error"
    Name = "x"
    "#);
    assert_snapshot!(told(r#"{"event":"user login","level":"info","timestamp":"2026-11-20T11:59:59Z"}"#), @r#"
    timestamp = 2026-11-20T11:59:59Z
    _original = "{\"event\":\"user login\",\"level\":\"info\",\"timestamp\":\"2026-11-20T11:59:59Z\"}"
    event = "user login"
    level = "info"
    message = "user login"
    "#);
    assert_snapshot!(told(r#"{"severity_number":17,"body":"otel","trace.id":"a"}"#), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "{\"severity_number\":17,\"body\":\"otel\",\"trace.id\":\"a\"}"
    level = "error"
    body = "otel"
    trace_id = "a"
    "#);
    assert_snapshot!(told(r#"{"@timestamp":"2026-11-20T11:59:59Z","log.level":"DEBUG","message":"ecs","log":{"logger":"x"}}"#), @r#"
    timestamp = 2026-11-20T11:59:59Z
    _original = "{\"@timestamp\":\"2026-11-20T11:59:59Z\",\"log.level\":\"DEBUG\",\"message\":\"ecs\",\"log\":{\"logger\":\"x\"}}"
    level = "debug"
    message = "ecs"
    log.logger = "x"
    "#);
}

#[test]
fn the_line_is_kept_as_written() {
    let told = |line| apply(line, Rules::default());
    assert_snapshot!(told("level=error msg=\"a b\" n=1"), @r#"
    timestamp = 2026-11-20T12:00:00Z
    _original = "level=error msg=\"a b\" n=1"
    level = "error"
    message = "a b"
    n = 1
    "#);
    assert_snapshot!(told("I1120 09:43:55.695860    4758 server.go:632] hi"), @r#"
    timestamp = 2026-11-20T12:00:00Z
    _original = "I1120 09:43:55.695860    4758 server.go:632] hi"
    level = "info"
    body.timestamp = @2026-11-20T09:43:55.695860Z
    thread = 4758
    caller = "server.go:632"
    message = "hi"
    "#);
    assert_snapshot!(told("2024-01-01 00:00:00 ERROR x"), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "2024-01-01 00:00:00 ERROR x"
    level = "error"
    "#);
    assert_snapshot!(told(r#"{"n":1}"#), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "{\"n\":1}"
    n = 1
    "#);
}

#[test]
fn a_clock_that_is_off_is_marked() {
    let own = Rules { own_time: true, ..Rules::default() };
    assert_snapshot!(apply("2016-11-20 10:00:00 INFO ten years ago", own), @r#"
    timestamp = 2016-11-20T10:00:00Z
    message = "2016-11-20 10:00:00 INFO ten years ago"
    sawyer.mark = "clock"
    level = "info"
    "#);
    assert_snapshot!(apply(r#"{"ts":"2036-11-20T10:00:00Z"}"#, Rules::default()), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "{\"ts\":\"2036-11-20T10:00:00Z\"}"
    sawyer.mark = "clock"
    body.timestamp = @2036-11-20T10:00:00Z
    "#);
}

#[test]
fn fields_that_a_record_had_are_replaced_and_other_records_stay() {
    let mut batch = batch_of([&b"one"[..], br#"{"level":"info","msg":"two"}"#, b"three"]);
    batch.edit(1).extend([("level", ValueRef::Str("error")), ("_original", ValueRef::Str("frame"))]);
    Parser::default().apply(&mut batch.edit(1), &Rules::default());
    let told: Vec<String> = batch.iter().map(show_record).collect();
    assert_snapshot!(told.join("\n"), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "one"

    timestamp = 2026-11-20T12:00:00Z
    _original = "frame"
    level = "info"
    message = "two"

    timestamp = 2026-11-20T12:00:00Z
    message = "three"
    "#);
}

#[test]
fn a_told_format_is_the_only_one_tried() {
    let told = |line, format| Parser::default().parse(line, Some(format), OBSERVED, &mut Fields::default());
    assert_eq!(told("a=1 verbose", Format::Logfmt), Format::Logfmt);
    assert_eq!(told("a=1", Format::Logfmt), Format::Logfmt);
    assert_eq!(told("{\"a\":1}", Format::Logfmt), Format::Plain);
    assert_eq!(told("a=1 b=2 c=3", Format::Json), Format::Plain);
    assert_eq!(told("a=1 b=2 c=3", Format::Plain), Format::Plain);
}

const SEEDS: [&str; 7] = [
    r#"{"time":"2026-11-20T11:59:59.5Z","severity":"WARNING","msg":"low","a":[{"b":1}],"c":"\u00e9"}"#,
    r#"ts=2024-05-02T12:17:25.59Z level=info caller=http.go:194 msg="POST \"x\" (200)" n=5"#,
    r#"E0507 11:59:43.939053    3659 scope.go:117] "Remove \"it\"" containerID="99 40" n=5"#,
    r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 203023 "http://x/" "M""#,
    "[2024-01-01T00:00:00Z ERROR my_crate] msg level=info",
    "1:M 20 Nov 2026 10:00:00.000 # Warning: [x] 결제",
    "Nov 20 10:00:00 host sshd[1]: error: x <3> \u{1b}[32m",
];

proptest! {
    #[test]
    fn never_panics(
        text in any::<String>(), seed in 0..SEEDS.len(), at in any::<prop::sample::Index>(), put in ".{0,3}", cut in any::<bool>(),
    ) {
        let mut mutated: Vec<char> = SEEDS[seed].chars().collect();
        let at = at.index(mutated.len());
        mutated.splice(at..at + usize::from(cut), put.chars());
        let mutated: String = mutated.into_iter().collect();
        let mut parser = Parser::default();
        for text in [text, mutated] {
            for format in Format::ALL.into_iter().map(Some).chain([None]) {
                for own_time in [true, false] {
                    let mut batch: Batch = batch_of([text.as_bytes()]);
                    parser.apply(&mut batch.edit(0), &Rules { format, own_time });
                    let record = batch.get(0);
                    let line = record.get(names::ORIGINAL).or_else(|| record.get(names::MESSAGE));
                    prop_assert_eq!(line, Some(ValueRef::Str(&text)));
                    prop_assert_eq!(record.get("namespace"), Some(ValueRef::Str("shop")));
                }
            }
        }
    }
}
