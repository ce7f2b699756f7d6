//! Decoders of what comes over sockets.

use std::sync::Arc;

use sawyer_codec::forward::{self, Frame};
use sawyer_codec::gelf::{GelfReader, Pieces};
use sawyer_codec::msgpack::Sizer;
use sawyer_codec::pushed::{Bounds, Origin};
use sawyer_codec::structured::Objects;
use sawyer_codec::syslog;
use sawyer_codec::syslog::frames::Frames;
use sawyer_model::{Batch, SourceId, Stream, Timestamp};

use super::bytes;
use crate::Target;

/// Frames of Fluent Forward.
pub(super) const FORWARD: Target = Target {
    name: "forward",
    run: |input| {
        let _ = forward::read_ping(input);
        // As the receiver does: where a frame ends comes first.
        let Ok(Some(end)) = Sizer::default().end(input) else { return };
        let Ok(Frame::Chunk(mut chunk)) = forward::frame(&input[..end]) else { return };
        loop {
            let mut objects = Objects::new(origin());
            let more = chunk.events.fill(&mut objects, 0, 100, 1 << 20);
            drop(objects.finish());
            if !more || chunk.events.taken() > 10_000 {
                break;
            }
        }
    },
    seeds: || {
        let entry = b"\x92\xd7\x00\x6b\x00\x1a\x20\x00\x00\x00\x07\x81\xa3log\xa3one";
        let packed = |entries: &[u8], options: &[u8]| {
            [b"\x93\xa3tag\xc4", &[entries.len() as u8][..], entries, options].concat()
        };
        vec![
            [b"\x93\xa3tag\x91", &entry[..], b"\x82\xa4size\x01\xa5chunk\xa2id"].concat(),
            [b"\x93\xa3tag", &entry[1..]].concat(),
            packed(entry, b"\x80"),
            packed(b"\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x81\xa1r\xa1x", b"\x80"),
            packed(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03", b"\x81\xaacompressed\xa4gzip"),
            b"\x96\xa4PING\xa1h\xa1s\xa1d\xa1u\xa1p".to_vec(),
        ]
    },
    words: &["chunk", "compressed", "gzip", "zstd", "fluent_signal", "size", "log", "message"],
};

/// Messages of syslog, and where they end.
pub(super) const SYSLOG: Target = Target {
    name: "syslog",
    run: |input| {
        let (step, input) = input.split_first().map_or((1, input), |(step, rest)| (*step, rest));
        let mut frames = Frames::new(64);
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        let mut reader = syslog::SyslogReader::new(jiff::tz::TimeZone::UTC, true);
        let mut read = |bytes: &[u8], cut| {
            let head = syslog::SyslogHead {
                source: SourceId(1),
                range: sawyer_model::SeqRange::new(0, 1),
                observed: Timestamp::from_secs(1_795_176_000),
                stream,
                cut,
            };
            reader.read(bytes, &head, &mut batch);
        };
        read(input, None);
        for piece in input.chunks(usize::from(step).max(1)) {
            frames.push(piece);
            while let Some(frame) = frames.take() {
                assert!(frame.bytes.len() <= 64, "no more is kept than is told");
                read(&frame.bytes, frame.cut);
            }
        }
        frames.end();
    },
    seeds: || {
        bytes(&[
            "\x05<165>1 2026-08-24T05:14:15.000003-07:00 h p 8710 m [a@3 i=\"3\" q=\"\\\"x\\\" \\]\"][b] text",
            "\x05<189>router1: 000045: *Nov 20 2026 10:00:00.123 UTC: %LINK-3-UPDOWN: Interface down",
            "\x0521 <13>app: with a\ncount<34>Oct 11 22:14:15 web su[7]: x\n",
        ])
    },
    words: &[
        "<13>",
        "<34>1 ",
        " - ",
        "[a b=\"c\"]",
        "\\\"",
        "Nov 20 10:00:00 ",
        "12 <",
        "\n",
        "\0",
        "%A-1-B: ",
    ],
};

/// Messages of GELF and their pieces.
pub(super) const GELF: Target = Target {
    name: "gelf",
    run: |input| {
        let mut objects = Objects::new(origin());
        GelfReader::default().read(input, 0, &mut objects);
        drop(objects.finish());
        let mut pieces = Pieces::default();
        for piece in input.chunks(20) {
            pieces.push(piece, 1, Timestamp::from_secs(1_795_176_000));
        }
    },
    seeds: || {
        bytes(&[
            "{\"version\":\"1.1\",\"host\":\"h\",\"short_message\":\"m\",\"level\":3,\"_x\":1,\"timestamp\":1795168800.25}",
            "\x1e\x0f12345678\0\x02{\"short\x1e\x0f12345678\x01\x02\":1}",
        ])
    },
    words: &["short_message", "\x1e\x0f", "_id", "host"],
};

fn origin() -> Origin {
    Origin {
        stream: Arc::new(Stream::default()),
        trust: Arc::default(),
        source: SourceId(1),
        numbers: None,
        observed: Timestamp::from_secs(1_795_176_000),
        bounds: Bounds { records_max: 1 << 20, batch_bytes_max: 64 << 20 },
    }
}
