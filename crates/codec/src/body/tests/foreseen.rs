//! Lines that are read along those before them get what they get by themselves.

use std::sync::Arc;

use sawyer_model::{Record, Stream, Value};

use super::super::foreseen::Foreseen;
use super::*;

/// Two parsers, of which one goes the long way with every line; and lines that went both ways.
struct Both {
    parser: Parser,
    long: Parser,
    short: usize,
}

impl Both {
    fn new() -> Self {
        let long = Parser { foreseen: Foreseen::off(), ..Parser::default() };
        Self { parser: Parser::default(), long, short: 0 }
    }

    /// What becomes of a line, each way.
    fn check(&mut self, text: &str, stream: Option<&Arc<Stream>>, rules: &Rules) -> [(Format, Record); 2] {
        let [parser, long] = [&mut self.parser, &mut self.long].map(|parser| {
            let mut batch: Batch = batch_of([text.as_bytes()]);
            if let Some(stream) = stream {
                batch.edit(0).set_stream(stream);
            }
            let format = parser.apply(&mut batch.edit(0), rules);
            (format, batch.get(0).to_record())
        });
        self.short += usize::from(self.parser.foreseen.was_short());
        [parser, long]
    }
}

fn streams() -> Vec<Arc<Stream>> {
    let of = |names: &[&str]| Arc::new(Stream::new(names.iter().map(|name| (*name, Value::from("x")))));
    vec![of(&["pod"]), of(&["pod", "caller", "a"]), of(&["seq", "host"])]
}

#[test]
fn usual_lines_go_the_short_way() {
    let mut both = Both::new();
    for number in 0..100 {
        for line in [
            format!(
                r#"{{"ts":"2026-11-20T10:00:00.{number:03}Z","level":"info","n":{number},"msg":"a \"b\" {number}"}}"#
            ),
            format!(r#"time=2026-11-20T10:00:00Z level=warn n={number} msg="x y""#),
            "2026-11-20 10:00:00 plain words".to_owned(),
        ] {
            let [one, other] = both.check(&line, None, &Rules::default());
            assert_eq!(one, other);
        }
    }
    assert_eq!(both.short, 200);
}

#[test]
fn lines_of_other_programs_are_the_same_both_ways() {
    let Some(folder) = sawyer_testkit::shared("data") else { return };
    let mut both = Both::new();
    let (mut replaced, mut buffer) = (String::new(), Vec::new());
    for bytes in files_below(&folder) {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| line.len() < 20_000).take(1000) {
            let content = crate::docker::parse(line, &mut buffer).map_or(line, |line| line.content);
            let text = crate::text::decode(content, &mut replaced).text();
            let [one, other] = both.check(text, None, &Rules::default());
            assert_eq!(one, other, "{text}");
        }
    }
    assert!(both.short > 1000, "{}", both.short);
}

/// A key, as JSON and logfmt write it.
const KEYS: [&str; 24] = [
    "a",
    "b",
    "msg",
    "message",
    "level",
    "severity",
    "ts",
    "time",
    "service",
    "env",
    "trace_id",
    "span_id",
    "caller",
    "event",
    "s",
    "traceparent",
    "body.a",
    "body.timestamp",
    "_x",
    "sawyer.y",
    "short_message",
    "seq",
    "host",
    "t.$date",
];

const JSON_VALUES: [&str; 20] = [
    "1",
    "-0",
    "0",
    "12345678901234567890123",
    "1.5e3",
    "true",
    "false",
    "null",
    "\"info\"",
    "\"WARN\"",
    "30",
    "\"\"",
    "\"x y\"",
    "\"a\\\"b\\n\\u00e9\\ud800\"",
    "\"2026-11-20T11:59:59Z\"",
    "\"1999-01-01T00:00:00Z\"",
    "[1,2]",
    "{\"b\":1}",
    "\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"",
    "1795175999",
];

const LOGFMT_VALUES: [&str; 14] = [
    "1",
    "-0",
    "1.50",
    "007",
    "true",
    "info",
    "WARN",
    "",
    "\"\"",
    "\"x y\"",
    "\"a\\\"b\\x1b\\n\"",
    "2026-11-20T11:59:59Z",
    "1999-01-01T00:00:00Z",
    "\"open",
];

fn line(json: bool, pairs: &[(usize, usize)], odd: usize) -> String {
    let pairs = pairs.iter().enumerate().map(|(at, (key, value))| {
        let (key, gap) = (KEYS[key % KEYS.len()], if odd == at + 1 { " " } else { "" });
        match json {
            true => format!("{gap}\"{key}\":{gap}{}", JSON_VALUES[value % JSON_VALUES.len()]),
            false => format!("{gap}{key}={}", LOGFMT_VALUES[value % LOGFMT_VALUES.len()]),
        }
    });
    let pairs: Vec<String> = pairs.collect();
    match (json, odd) {
        (true, 20) => format!("{{{}", pairs.join(",")),
        (true, 21) => format!(" {{{}}} ", pairs.join(",")),
        (true, _) => format!("{{{}}}", pairs.join(",")),
        (false, 20) => format!("{} word", pairs.join(" ")),
        (false, _) => pairs.join(" "),
    }
}

proptest! {
    #[test]
    fn any_lines_are_the_same_both_ways(
        shapes in prop::collection::vec((any::<bool>(), prop::collection::vec(0_usize..48, 0..7)), 1..4),
        lines in prop::collection::vec((0_usize..4, prop::collection::vec(0_usize..60, 7), 0_usize..30, 0_usize..4), 1..40),
        own_time in any::<bool>(),
    ) {
        let (mut both, streams) = (Both::new(), streams());
        for (shape, values, odd, stream) in lines {
            let (json, keys) = &shapes[shape % shapes.len()];
            let pairs: Vec<(usize, usize)> = keys.iter().copied().zip(values).collect();
            let text = line(*json, &pairs, odd);
            let rules = Rules { own_time, ..Rules::default() };
            let [one, other] = both.check(&text, streams.get(stream), &rules);
            prop_assert_eq!(one, other, "{}", text);
        }
    }
}
