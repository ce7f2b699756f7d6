//! Decoders of lines.

use sawyer_codec::body::Parser;
use sawyer_codec::fields::Fields;
use sawyer_codec::group::{self, Group};
use sawyer_codec::join::{Joiner, Piece};
use sawyer_codec::json::{Scratch, flatten};
use sawyer_codec::line::{LineHead, LineWriter};
use sawyer_codec::mask::{Kind, Masker};
use sawyer_codec::ndjson_in::{NdjsonHead, NdjsonReader, Sender};
use sawyer_codec::{cri, docker, time};
use sawyer_model::{Batch, SeqRange, SourceId, Stream, Timestamp};

use super::bytes;
use crate::Target;

const OBSERVED: Timestamp = Timestamp::from_secs(1_795_176_000);

/// A line of the container runtime log format.
pub(super) const CRI: Target = Target {
    name: "cri",
    run: |input| {
        if let Ok(line) = cri::parse(input) {
            assert!(input.ends_with(line.content), "what was said is the end of the line");
        }
    },
    seeds: || {
        bytes(&[
            "2026-11-20T10:00:00.123456789Z stdout F hello",
            "2026-11-20T10:00:00.1+09:00 stderr P ",
            "2026-11-20T10:00:00Z stdout F",
        ])
    },
    words: &["stdout", "stderr", " F ", " P ", "Z ", "+09:00", "2026-11-20T10:00:00."],
};

/// A row of docker's `json-file`.
pub(super) const DOCKER: Target = Target {
    name: "docker",
    run: |input| {
        let mut buffer = Vec::new();
        if let Ok(line) = docker::parse(input, &mut buffer)
            && let Some(attrs) = line.attrs
        {
            let _ = docker::attr_fields(attrs);
        }
    },
    seeds: || {
        bytes(&[
            "{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-20T10:00:00.1Z\"}",
            "{\"log\":\"a\\u003cb \\ud83d\\ude00\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\"},\"time\":\"2026-11-20T10:00:00Z\"}",
        ])
    },
    words: &[
        "\"log\":",
        "\"stream\":",
        "\"time\":",
        "\"attrs\":",
        "\\ud83d",
        "\\n",
        "\"stdout\"",
        "null",
        "{",
        "}",
    ],
};

/// Pieces of lines of two outputs in some order, and the record that comes of them.
pub(super) const JOIN: Target = Target {
    name: "join",
    run: |input| {
        let mut joiner = Joiner::new(64);
        let (mut writer, mut batch) = (LineWriter::default(), Batch::new());
        let stream = batch.add_stream(&std::sync::Arc::new(Stream::default()));
        let mut write = |batch: &mut Batch, line: &sawyer_codec::join::Joined<'_>| {
            let head = LineHead { source: SourceId(1), observed: OBSERVED, stream, malformed: false };
            writer.write(batch, head, line);
        };
        let mut at = 0;
        for part in input.chunks(19) {
            let range = SeqRange::new(at, at + part.len() as u64);
            at = range.end;
            let (partial, content) = (part[0] % 3 != 0, &part[1..]);
            if let Some(line) = joiner.push(&Piece { timestamp: OBSERVED, content, range, partial }) {
                write(&mut batch, &line);
            }
        }
        if let Some(line) = joiner.flush() {
            write(&mut batch, &line);
        }
        assert_eq!(batch.covered_bytes(), at, "every byte is covered once");
    },
    seeds: || vec![vec![b'a'; 200], "결제 완료 ".repeat(20).into_bytes(), vec![0xff; 100]],
    words: &[],
};

/// What a line says: JSON, logfmt, klog, access logs, levels.
pub(super) const BODY: Target = Target {
    name: "body",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let mut fields = Fields::default();
        Parser::default().parse(&text, None, OBSERVED, &mut fields);
        for format in sawyer_codec::body::Format::ALL {
            let mut fields = Fields::default();
            Parser::default().parse(&text, Some(format), OBSERVED, &mut fields);
        }
        let _ = sawyer_codec::body::level_of_line(&text);
    },
    seeds: || {
        bytes(&[
            "{\"level\":\"error\",\"msg\":\"no\",\"err\":{\"code\":5,\"list\":[1,{\"a\":2}]}}",
            "level=info msg=\"took \\\"long\\\"\" dur=31ms ok",
            "I1120 10:00:00.123456   17 main.go:42] \"Started\" pod=\"shop/cart\" n=5",
            "10.0.0.1 - bob [20/Nov/2026:10:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 12 \"-\" \"curl/8\"",
            "2026-11-20 10:00:00,123 [main] ERROR com.example.Main - no",
        ])
    },
    words: &[
        "level=",
        "msg=\"",
        "\\\"",
        "HTTP/1.1\" ",
        "[20/Nov/2026:10:00:00 +0000]",
        "] ",
        "ERROR",
        "{\"",
        "\":",
        "[",
        "]",
        "}",
        "1e308",
        "\\u0000",
    ],
};

/// A JSON object into fields.
pub(super) const JSON: Target = Target {
    name: "json",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let _ = flatten(&text, &mut Scratch::default(), &mut Fields::default());
    },
    seeds: || {
        bytes(&[
            "{\"a\":{\"b\":[1,2.5e3,null,true,\"x\\u00e9\"],\"c\":[{\"d\":1},{\"d\":[[]]}]},\"a\":1}",
            "{\"\":\"\",\"n\":-0,\"big\":12345678901234567890}",
        ])
    },
    words: &[
        "{\"", "\":", "[", "]", "{", "}", ",", "null", "true", "false", "-0", "1e400", "\\ud800", "\\u",
        "\"\"",
    ],
};

/// A line of an NDJSON body, and the record as it is written again.
pub(super) const NDJSON: Target = Target {
    name: "ndjson",
    run: |input| {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&std::sync::Arc::new(Stream::default()));
        let range = SeqRange::new(0, 1);
        let head =
            NdjsonHead { source: SourceId(1), range, observed: OBSERVED, stream, sender: Sender::Program };
        if NdjsonReader::default().read(input, &head, &mut batch).is_ok() {
            let mut out = Vec::new();
            sawyer_codec::json_out::write(
                batch.get(0),
                &sawyer_codec::json_out::Options::default(),
                &mut out,
            );
            let text = String::from_utf8(out).expect("it is text");
            let _ = flatten(&text, &mut Scratch::default(), &mut Fields::default()).map_err(|error| {
                panic!("what is written can be read: {error:?} {text}");
            });
        }
    },
    seeds: || bytes(&["{\"message\":\"x\",\"timestamp\":\"2026-11-20T10:00:00Z\",\"a\":{\"b\":[1,{}]}}"]),
    words: &["\"message\":", "\"timestamp\":", "\"level\":", "{", "}", "[", "]", "\":", "1795176000"],
};

/// Times as people and programs write them.
pub(super) const TIME: Target = Target {
    name: "time",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let _ = time::parse(&text, OBSERVED);
        if let Some((_, length)) = time::prefix(&text, OBSERVED) {
            assert!(text.is_char_boundary(length), "a time ends with a character");
        }
        let _ = time::klog_prefix(input, OBSERVED);
        if let Some((at, _)) = time::rfc3339_prefix(input) {
            let mut out = Vec::new();
            time::write_rfc3339(at, &mut out);
            assert_eq!(time::rfc3339_prefix(&out), Some((at, out.len())), "what is written is read again");
        }
    },
    seeds: || {
        bytes(&[
            "2026-11-20T10:00:00.123456789Z",
            "2026-11-20 10:00:00,123 +0900",
            "Nov 20 10:00:00",
            "20/Nov/2026:10:00:00 +0000",
            "1795176000.5",
            "1120 10:00:00.123456",
        ])
    },
    words: &["Jan", "Dec", "Z", "+23:59", "-00:01", "T", "9999-12-31", "0000-01-01", "23:59:60", "."],
};

/// Secrets and personal data.
pub(super) const MASK: Target = Target {
    name: "mask",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let masker = Masker::new(&Kind::ALL, Vec::new(), "***");
        let mut counts = vec![0; masker.kinds()];
        if let Some(masked) = masker.mask(&text, &mut counts) {
            assert!(counts.iter().sum::<u64>() > 0, "what is masked is counted: {masked}");
        }
        let mut hits = Vec::new();
        masker.find(&text, &mut hits);
        for hit in hits {
            assert!(text.get(hit.range).is_some(), "places are whole characters");
        }
    },
    seeds: || {
        bytes(&[
            "password=hunter2 Authorization: Bearer abc.def.ghi AKIAIOSFODNN7EXAMPLE",
            "postgres://bob:secret@db:5432/shop mail bob@example.com 4111 1111 1111 1111",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
            "{\"api_key\":\"abc\",\"n\":\"010-1234-5678\"}",
        ])
    },
    words: &[
        "password=",
        "\"token\": \"",
        "Bearer ",
        "://",
        "@",
        "-----BEGIN ",
        " PRIVATE KEY-----",
        "AKIA",
        "eyJ",
        "\\\"",
        "010-",
        "secret",
    ],
};

/// Lines that belong together.
pub(super) const GROUP: Target = Target {
    name: "group",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let mut open: Option<Group> = None;
        for line in text.lines() {
            let _ = group::may_continue(line);
            open = open.and_then(|group| group.take(line)).or_else(|| Group::begin(line));
            if let Some(group) = open {
                let _ = (group.is_whole(), group.wants_more());
            }
        }
    },
    seeds: || {
        bytes(&[
            "java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\nCaused by: x.Y: z\n\t... 3 more",
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nValueError: no",
            "panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1d",
        ])
    },
    words: &[
        "\tat ",
        "Caused by: ",
        "Traceback (most recent call last):",
        "goroutine 1 [running]:",
        "  File \"",
        "panic: ",
        "-----BEGIN",
        "\n",
    ],
};
