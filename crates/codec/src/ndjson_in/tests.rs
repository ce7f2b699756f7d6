use std::sync::Arc;

use insta::assert_snapshot;
use proptest::prelude::*;
use sawyer_model::{Record, RecordRef, Stream, Value};

use super::*;
use crate::json_out::{Options, write};
use crate::testing::{OBSERVED, show_record};

fn read(line: &[u8], sender: Sender, stream: &Arc<Stream>) -> Result<Batch, NdjsonError> {
    let mut batch = Batch::new();
    let stream = batch.add_stream(stream);
    let head =
        NdjsonHead { source: SourceId(7), range: SeqRange::new(3, 4), observed: OBSERVED, stream, sender };
    let result = NdjsonReader::default().read(line, &head, &mut batch);
    assert_eq!(batch.is_empty(), result.is_err());
    result.map(|()| batch)
}

fn check(line: impl AsRef<[u8]>, sender: Sender) -> String {
    match read(line.as_ref(), sender, &Arc::default()) {
        Ok(batch) => show_record(batch.get(0)),
        Err(error) => error.to_string(),
    }
}

/// The common schema that applications are told to write.
const COMMON: &str = r#"{"timestamp":"2026-11-20T12:34:56Z","level":"ERROR","service":"user-api","namespace":"prod","pod":"user-api-1234abcd","trace_id":"abc123xyz","message":"DB connection timeout"}"#;

#[test]
fn a_client_claims_its_identity() {
    assert_snapshot!(check(COMMON, Sender::Client), @r#"
    timestamp = 2026-11-20T12:34:56Z
    level = "error"
    service = "user-api"
    namespace = "prod"
    pod = "user-api-1234abcd"
    trace_id = "abc123xyz"
    message = "DB connection timeout"
    _original = "{\"timestamp\":\"2026-11-20T12:34:56Z\",\"level\":\"ERROR\",\"service\":\"user-api\",\"namespace\":\"prod\",\"pod\":\"user-api-1234abcd\",\"trace_id\":\"abc123xyz\",\"message\":\"DB connection timeout\"}"
    identity = "claimed"
    "#);
}

#[test]
fn a_program_of_the_operator_is_believed() {
    assert_snapshot!(check(COMMON, Sender::Program), @r#"
    timestamp = 2026-11-20T12:34:56Z
    level = "error"
    service = "user-api"
    namespace = "prod"
    pod = "user-api-1234abcd"
    trace_id = "abc123xyz"
    message = "DB connection timeout"
    _original = "{\"timestamp\":\"2026-11-20T12:34:56Z\",\"level\":\"ERROR\",\"service\":\"user-api\",\"namespace\":\"prod\",\"pod\":\"user-api-1234abcd\",\"trace_id\":\"abc123xyz\",\"message\":\"DB connection timeout\"}"
    "#);
}

#[test]
fn what_the_stream_knows_is_not_overruled() {
    let stream = Arc::new(Stream::new([("namespace", Value::from("shop"))]));
    let batch = read(COMMON.as_bytes(), Sender::Client, &stream).unwrap();
    assert_snapshot!(show_record(batch.get(0)), @r#"
    timestamp = 2026-11-20T12:34:56Z
    level = "error"
    service = "user-api"
    body.namespace = "prod"
    pod = "user-api-1234abcd"
    trace_id = "abc123xyz"
    message = "DB connection timeout"
    _original = "{\"timestamp\":\"2026-11-20T12:34:56Z\",\"level\":\"ERROR\",\"service\":\"user-api\",\"namespace\":\"prod\",\"pod\":\"user-api-1234abcd\",\"trace_id\":\"abc123xyz\",\"message\":\"DB connection timeout\"}"
    identity = "claimed"
    "#);
    assert_eq!(batch.get(0).get("namespace"), Some(ValueRef::Str("shop")));
}

#[test]
fn senders_use_their_own_names() {
    let line = r#"{"ts":1795176000.5,"msg":"hi","severity":"warning","traceId":"ab","_id":"x","sawyer.mark":"cut","identity":"verified","n":[1,2]}"#;
    assert_snapshot!(check(line, Sender::Client), @r#"
    timestamp = 2026-11-20T12:00:00.500Z
    message = "hi"
    level = "warn"
    trace_id = "ab"
    body._id = "x"
    body.sawyer.mark = "cut"
    body.identity = "verified"
    n = [1, 2]
    _original = "{\"ts\":1795176000.5,\"msg\":\"hi\",\"severity\":\"warning\",\"traceId\":\"ab\",\"_id\":\"x\",\"sawyer.mark\":\"cut\",\"identity\":\"verified\",\"n\":[1,2]}"
    "#);
    assert_snapshot!(check(r#"{"n":1}"#, Sender::Client), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "{\"n\":1}"
    n = 1
    "#);
    assert_snapshot!(check(r#"{"event":"login","level":"info","ts":"2026-11-20T12:00:00Z"}"#, Sender::Client), @r#"
    timestamp = 2026-11-20T12:00:00Z
    message = "login"
    event = "login"
    level = "info"
    _original = "{\"event\":\"login\",\"level\":\"info\",\"ts\":\"2026-11-20T12:00:00Z\"}"
    "#);
}

#[test]
fn a_clock_that_is_years_off_is_marked() {
    assert_snapshot!(check(r#"{"timestamp":"2036-11-20T12:34:56Z","message":"m"}"#, Sender::Client), @r#"
    timestamp = 2036-11-20T12:34:56Z
    message = "m"
    _original = "{\"timestamp\":\"2036-11-20T12:34:56Z\",\"message\":\"m\"}"
    sawyer.mark = "clock"
    "#);
}

#[test]
fn a_step_says_what_it_means() {
    let line = r#"{"_id":"000000000000000000000000000000ab-a2f0","timestamp":"2024-06-01T12:34:56Z","observed":"2024-06-01T12:34:57Z","msg":"m","level":"LOUD","namespace":"shop","_original":"x","_truncated":["a"]}"#;
    let batch = read(line.as_bytes(), Sender::Step, &Arc::default()).unwrap();
    assert_snapshot!(show_record(batch.get(0)), @r#"
    timestamp = 2024-06-01T12:34:56Z
    msg = "m"
    level = "LOUD"
    namespace = "shop"
    _original = "x"
    "#);
    assert_eq!(batch.get(0).id().to_string(), "000000000000000000000000000000ab-a2f0");
    assert_eq!(batch.get(0).observed().to_string(), "2024-06-01T12:34:57Z");
    assert_snapshot!(check(r#"{"timestamp":"soon","message":"m"}"#, Sender::Step), @r#"
    timestamp = 2026-11-20T12:00:00Z
    body.timestamp = "soon"
    message = "m"
    "#);
}

#[test]
fn a_line_that_cannot_be_kept_whole_is_refused() {
    let line = |text_bytes: usize| format!(r#"{{"message":"{}","last":1}}"#, "x".repeat(text_bytes));
    let around = line(0).len();
    let longest = read(line(VALUE_BYTES_MAX - around).as_bytes(), Sender::Client, &Arc::default()).unwrap();
    assert!(longest.get(0).get("last").is_some());
    for sender in [Sender::Client, Sender::Program] {
        let error = read(line(VALUE_BYTES_MAX - around + 1).as_bytes(), sender, &Arc::default()).unwrap_err();
        assert_eq!(error.to_string(), "the line is longer than 33554432 bytes");
    }
}

#[test]
fn errors_name_the_place() {
    assert_snapshot!(check(r#"{"level":"x" x}"#, Sender::Client), @"column 14: expected `,` or `}`, found `x`");
    assert_snapshot!(check("{\"결\":\"\u{1}\"}", Sender::Client), @r"column 7: expected a control character to be escaped, found `\u{1}`");
    assert_snapshot!(check(b"{\"a\":\"\xff\"}", Sender::Client), @"column 7: expected UTF-8");
    assert_snapshot!(check(r#"{"_id":"7"}"#, Sender::Step), @"`_id`: expected a record id: 32 hexadecimal digits, `-`, hexadecimal digits");
    assert_snapshot!(check("plain text", Sender::Client), @"column 1: expected `{`, found `p`");
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>()
            .prop_filter("JSON has finite numbers", |number| number.is_finite())
            .prop_map(Value::Float),
        any::<String>().prop_map(Value::from),
    ];
    prop_oneof![
        6 => scalar.clone(),
        2 => prop::collection::vec(scalar, 0..4).prop_map(Value::List),
        1 => prop::collection::vec("[a-c]{1,2}", 1..4).prop_map(|names| {
            let objects: Vec<String> = names.iter().map(|name| format!("{{\"{name}\":[1]}}")).collect();
            Value::Json(format!("[{}]", objects.join(", ")).into())
        }),
    ]
}

proptest! {
    #[test]
    fn reads_what_is_written(
        fields in prop::collection::hash_map("[a-z_.]{1,8}|결제|message|level|namespace", any_value(), 0..8),
        nanos in any::<i64>(), source in any::<u128>(), start in 0..u64::MAX,
    ) {
        prop_assume!(!["_id", "_truncated", "timestamp", "observed"].iter().any(|name| fields.contains_key(*name)));
        let mut record = Record {
            timestamp: Timestamp::from_nanos(nanos),
            observed: Timestamp::from_nanos(nanos / 2),
            source: SourceId(source),
            range: SeqRange::new(start, start + 1),
            stream: Arc::default(),
            fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        };
        let batch: Batch = [&record].into_iter().collect();
        let mut line = Vec::new();
        write(batch.get(0), &Options::default(), &mut line);
        let batch = read(&line, Sender::Step, &Arc::default()).unwrap();
        let mut back = batch.get(0).to_record();
        // Fields of objects in an array are given beside it, unless the record says them itself.
        let own: Vec<Box<str>> = record.fields.iter().map(|(name, _)| name.clone()).collect();
        let derived = |name: &str| !own.iter().any(|known| **known == *name);
        back.fields.retain(|(name, _)| !derived(name));
        back.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        record.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        prop_assert_eq!(format!("{back:?}"), format!("{record:?}"));
    }

    #[test]
    fn never_panics(line in prop::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for sender in [Sender::Client, Sender::Program, Sender::Step] {
            let _ = read(&line, sender, &Arc::default());
            let mut line = COMMON.as_bytes().to_vec();
            let at = at.index(line.len());
            line[at] = byte;
            let _ = read(&line, sender, &Arc::default());
        }
    }
}

/// Two readers, of which one goes the long way with every line, and all that each reads.
struct Both {
    ways: [(NdjsonReader, Batch); 2],
    lines: u64,
    short: usize,
}

impl Both {
    fn new(streams: &[Arc<Stream>]) -> Self {
        let long = NdjsonReader { foreseen: Foreseen::off(), ..NdjsonReader::default() };
        let ways = [NdjsonReader::default(), long].map(|reader| {
            let mut batch = Batch::new();
            for (number, stream) in streams.iter().enumerate() {
                assert_eq!(batch.add_stream(stream) as usize, number);
            }
            (reader, batch)
        });
        Self { ways, lines: 0, short: 0 }
    }

    /// Has both read a line, of which both must say the same.
    fn read(&mut self, line: &[u8], sender: Sender, stream: u32) {
        let range = SeqRange::new(self.lines, self.lines + 1);
        self.lines += 1;
        let head = NdjsonHead { source: SourceId(7), range, observed: OBSERVED, stream, sender };
        let [short, long] = self.ways.each_mut().map(|(reader, batch)| reader.read(line, &head, batch));
        assert_eq!(short, long, "{}", line.escape_ascii());
        self.short += usize::from(self.ways[0].0.foreseen.was_short());
    }

    /// Whether both have the same records, and nothing beside them.
    fn check(&self) {
        let [short, long] = self.ways.each_ref().map(|(_, batch)| {
            let fields: usize = batch.iter().map(|record| record.own_fields().count()).sum();
            assert_eq!(batch.field_count(), fields, "no field is left that no record has");
            let records: Vec<Record> = batch.iter().map(RecordRef::to_record).collect();
            (records, batch.covered())
        });
        assert_eq!(short, long);
    }
}

#[test]
fn lines_alike_are_read_along_each_other() {
    let mut both = Both::new(&[Arc::default()]);
    for number in 0..50 {
        let line = format!(
            r#"{{"ts":"2026-11-20T12:34:56Z","level":"WARN","pod":"p-{number}","identity":"me","_id":1,"n":{number},"msg":"a \"b\" {number}"}}"#
        );
        for sender in [Sender::Client, Sender::Program] {
            both.read(line.as_bytes(), sender, 0);
        }
    }
    both.check();
    assert_eq!(both.short, 100);
}

const NAMES: [&str; 17] = [
    "a",
    "b",
    "msg",
    "message",
    "level",
    "ts",
    "timestamp",
    "pod",
    "body.pod",
    "namespace",
    "identity",
    "_id",
    "service",
    "sawyer.mark",
    "event",
    "trace_id",
    "observed",
];

const VALUES: [&str; 25] = [
    "1",
    "-2.5",
    "true",
    "null",
    r#""x""#,
    r#""""#,
    r#""a\n""#,
    "1795176000",
    r#""2026-11-20T12:34:56Z""#,
    r#""2001-01-01T00:00:00Z""#,
    r#""ERROR""#,
    "[1]",
    "-0",
    "-0.5",
    "1795176000123456789",
    "12.25",
    "1e3",
    r#""a text that is longer than what is looked at together, 결제""#,
    r#""eRROR""#,
    "\"a tab\t\"",
    "1e400",
    "123456789012345678901",
    r#""000""#,
    r#""0a""#,
    r#""\u0000""#,
];

/// Where a line ends early, if it does, and what stands behind its end.
fn any_end() -> impl Strategy<Value = (Option<prop::sample::Index>, &'static str)> {
    let behind = prop_oneof![9 => Just(""), 1 => prop::sample::select(vec![" ", "\r", "x", ",", "}", " {}"])];
    (prop::option::weighted(0.1, any::<prop::sample::Index>()), behind)
}

proptest! {
    #[test]
    fn lines_are_read_the_same_both_ways(
        lines in prop::collection::vec(
            (
                prop::collection::vec((prop::sample::select(&NAMES), prop::sample::select(&VALUES)), 0..7),
                any_end(), any::<bool>(), 0u32..3,
            ),
            1..12,
        ),
    ) {
        let of = |names: &[&str]| Arc::new(Stream::new(names.iter().map(|name| (*name, Value::from("x")))));
        let mut both = Both::new(&[of(&[]), of(&["pod", "a"]), of(&["namespace"])]);
        for (members, (cut, behind), client, stream) in lines {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let mut line = format!("{{{}}}", members.join(",")).into_bytes();
            line.truncate(cut.map_or(line.len(), |cut| cut.index(line.len())));
            line.extend_from_slice(behind.as_bytes());
            let sender = if client { Sender::Client } else { Sender::Program };
            both.read(&line, sender, stream);
        }
        both.check();
    }
}
