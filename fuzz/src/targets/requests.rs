//! Decoders of what clients send and people write.

use std::sync::Arc;

use sawyer_codec::posted::{self, Form};
use sawyer_codec::pushed::{Bounds, Intake, Origin, Trust};
use sawyer_codec::{elasticsearch_bulk, firehose, kinesis, loki_push, otlp, splunk_hec};
use sawyer_config::Document;
use sawyer_model::{SourceId, Stream, Timestamp};
use sawyer_query::kql;

use super::bytes;
use crate::Target;

/// A query.
pub(super) const KQL: Target = Target {
    name: "kql",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let _ = kql::compile(&text, &kql::CompileOptions::default());
    },
    seeds: || {
        bytes(&[
            "level: (error or fatal) and not message: \"GET /healthz\" and status >= 500",
            "a.b: { c: 1 and d: x* } or message =~ \"^a.*b$\"",
            "timestamp > now-1h/d and *: *",
        ])
    },
    words: &[" and ", " or ", "not ", ":", " =~ \"", "*", "(", ")", "{", "}", ">=", "now-1d/d", "\\", "\""],
};

/// A configuration.
pub(super) const CONFIG: Target = Target {
    name: "config",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let _ = Document::parse("sawyer.yaml", &text);
    },
    seeds: || {
        bytes(&[
            "inputs:\n  a: {type: files, include: [/var/log/*.log]}\noutputs: {store: }\n# x\nb: &c 'd'\ne: *c\n",
        ])
    },
    words: &[
        "- ", ": ", "\n  ", "|\n", ">-\n", "&a ", "*a", "<<: ", "!!str ", "\"", "'", "{", "}", "[", "]",
        "---\n", "${HOME}", "%",
    ],
};

fn intake() -> Intake {
    Intake::new(Origin {
        stream: Arc::new(Stream::default()),
        trust: Arc::new(Trust::Namespaces(vec!["shop".into()])),
        source: SourceId(1),
        numbers: None,
        observed: Timestamp::from_secs(1_795_176_000),
        bounds: Bounds { records_max: 1000, batch_bytes_max: 16 << 20 },
    })
}

/// OTLP logs as protobuf.
pub(super) const OTLP: Target = Target {
    name: "otlp",
    run: |input| {
        let mut intake = intake();
        if let Ok(rejected) = otlp::read_protobuf(input, &mut intake) {
            let _ = otlp::answer_protobuf(&rejected);
        }
        let _ = intake.finish();
    },
    // resource_logs { resource { attributes { service.name: shop } } scope_logs { log_records { body: "hello" } } }
    seeds: || {
        vec![
            b"\x0a\x2c\x0a\x18\x0a\x16\x0a\x0cservice.name\x12\x06\x0a\x04shop\x12\x10\x12\x0e\x09\x01\x02\x03\x04\x05\x06\x07\x18\x2a\x03\x0a\x01x".to_vec(),
        ]
    },
    words: &["\n\u{c}service.name", "\u{12}\u{6}\n\u{4}", "\n", "\u{12}", "*"],
};

/// OTLP logs as JSON.
pub(super) const OTLP_JSON: Target = Target {
    name: "otlp_json",
    run: |input| {
        let mut intake = intake();
        if let Ok(rejected) = otlp::read_json(input, &mut intake) {
            let _ = otlp::answer_json(&rejected);
        }
        let _ = intake.finish();
    },
    seeds: || {
        bytes(&[
            "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]},\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"1795176000000000000\",\"severityNumber\":9,\"body\":{\"stringValue\":\"hello\"},\"traceId\":\"5b8efff798038103d269b633813fc60c\"}]}]}]}",
        ])
    },
    words: &[
        "\"resourceLogs\":",
        "\"scopeLogs\":",
        "\"logRecords\":",
        "\"body\":",
        "\"stringValue\":",
        "\"kvlistValue\":{\"values\":",
        "\"arrayValue\":",
        "[",
        "]",
        "{",
        "}",
        "\"intValue\":\"1\"",
    ],
};

/// A body of `POST /`: text, JSON, NDJSON.
pub(super) const POSTED: Target = Target {
    name: "posted",
    run: |input| {
        for form in [Form::Json, Form::Text] {
            let mut intake = intake();
            let _ = posted::read(input, form, &mut intake);
            let _ = intake.finish();
        }
    },
    seeds: || {
        bytes(&["[{\"a\":1},{\"b\":[2]}]", "{\"message\":\"x\"}\n{\"message\":\"y\"}\n", "plain\nlines\n"])
    },
    words: &["[", "]", "{", "}", "\n", "\"message\":", ","],
};

/// A body of `_bulk`.
pub(super) const BULK: Target = Target {
    name: "bulk",
    run: |input| {
        let mut intake = intake();
        let _ = elasticsearch_bulk::read(input, Some("logs"), "sender", &mut intake);
        let _ = intake.finish();
    },
    seeds: || {
        bytes(&[
            "{\"create\":{\"_index\":\"logs\",\"_id\":\"1\"}}\n{\"message\":\"x\",\"@timestamp\":\"2026-11-20T10:00:00Z\"}\n",
            "{\"index\":{}}\n{\"a\":{\"b\":1}}\n{\"delete\":{\"_id\":\"1\"}}\n{\"update\":{}}\n{\"doc\":{}}\n",
        ])
    },
    words: &[
        "{\"create\":",
        "{\"index\":",
        "{\"delete\":",
        "\"_id\":\"",
        "\"_index\":\"",
        "\n",
        "{}",
        "\"@timestamp\":",
    ],
};

/// A push to Loki as JSON.
pub(super) const LOKI_JSON: Target = Target {
    name: "loki_json",
    run: |input| {
        let mut intake = intake();
        let _ = loki_push::read_json(input, Some("tenant"), &mut intake);
        let _ = intake.finish();
    },
    seeds: || {
        bytes(&[
            "{\"streams\":[{\"stream\":{\"app\":\"shop\"},\"values\":[[\"1795176000000000000\",\"hello\",{\"trace_id\":\"a\"}]]}]}",
        ])
    },
    words: &[
        "\"streams\":",
        "\"stream\":",
        "\"values\":",
        "[",
        "]",
        "{",
        "}",
        "\"1795176000000000000\"",
        ",",
    ],
};

/// A push to Loki as protobuf, unpacked.
pub(super) const LOKI: Target = Target {
    name: "loki",
    run: |input| {
        let mut intake = intake();
        let _ = loki_push::read_protobuf(input, None, &mut intake);
        let _ = intake.finish();
    },
    // streams { labels: {app="shop"} entries { timestamp { seconds: 1 } line: "hello" } }
    seeds: || vec![b"\x0a\x1c\x0a\x0c{app=\"shop\"}\x12\x0c\x0a\x02\x08\x01\x12\x06hello!".to_vec()],
    words: &["{app=\"shop\"}", "=\"", "\",", "\n", "\u{12}", "\u{1a}", "\\\""],
};

/// A record of a Kinesis data stream.
pub(super) const KINESIS: Target = Target {
    name: "kinesis",
    run: |input| {
        let mut intake = intake();
        let place = kinesis::Place { stream: "logs", shard: "shardId-0", sequence: "1", arrived: None };
        let _ = kinesis::take(input, place, 1 << 20, &mut intake);
        let _ = intake.finish();
    },
    // Two records, `a` and `{"b":1}`, as the producer library packs them, and one of CloudWatch Logs.
    seeds: || {
        let packed = b"\xf3\x89\x9a\xc2\x0a\x01k\x1a\x05\x08\0\x1a\x01a\x1a\x0b\x08\0\x1a\x07{\"b\":1}0123456789abcdef";
        let logs = b"{\"messageType\":\"DATA_MESSAGE\",\"logGroup\":\"g\",\"logEvents\":[{\"id\":\"1\",\"message\":\"m\"}]}";
        vec![packed.to_vec(), logs.to_vec()]
    },
    words: &["\"logEvents\":", "\"messageType\":", "\u{1a}", "\u{08}", "\n", "\"id\":"],
};

/// A delivery of Amazon Firehose.
pub(super) const FIREHOSE: Target = Target {
    name: "firehose",
    run: |input| {
        let mut intake = intake();
        let _ = firehose::read(input, &[], 1 << 20, &mut intake);
        let _ = intake.finish();
    },
    seeds: || {
        bytes(&[
            "{\"requestId\":\"1\",\"timestamp\":1795176000000,\"records\":[{\"data\":\"aGVsbG8K\"},{\"data\":\"eyJhIjoxfQ==\"}]}",
        ])
    },
    words: &["\"requestId\":", "\"records\":", "{\"data\":\"", "H4sI", "==", "[", "]", "{", "}"],
};

/// Events and raw lines of a Splunk HTTP Event Collector.
pub(super) const SPLUNK: Target = Target {
    name: "splunk",
    run: |input| {
        let mut intake = intake();
        let _ = splunk_hec::read_events(input, &splunk_hec::Common::default(), &mut intake);
        let _ = splunk_hec::read_raw(input, &splunk_hec::Common::default(), &mut intake);
        let _ = intake.finish();
    },
    seeds: || {
        bytes(&[
            "{\"time\":1795176000.5,\"host\":\"a\",\"event\":\"x\",\"fields\":{\"b\":1}}{\"event\":{\"m\":2}}",
        ])
    },
    words: &["\"event\":", "\"time\":", "\"fields\":", "\"host\":", "{", "}", "[", "]", "\n"],
};
