//! The protocols, and lines as each of them has them.
//!
//! Owns: requests. Does not own: connections (`client`).

use std::fmt::Write;
use std::net::SocketAddr;

/// A protocol that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Bulk,
    LokiJson,
    LokiSnappy,
    OtlpHttp,
    OtlpGrpc,
    Forward,
    Syslog,
    Http,
}

impl Protocol {
    pub(crate) const ALL: [Self; 8] = [
        Self::Http,
        Self::Bulk,
        Self::LokiJson,
        Self::LokiSnappy,
        Self::OtlpHttp,
        Self::OtlpGrpc,
        Self::Forward,
        Self::Syslog,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bulk => "elasticsearch _bulk",
            Self::LokiJson => "loki, JSON",
            Self::LokiSnappy => "loki, protobuf and snappy",
            Self::OtlpHttp => "otlp over HTTP",
            Self::OtlpGrpc => "otlp over gRPC",
            Self::Forward => "forward, packed, with ack",
            Self::Syslog => "syslog RFC 5424 over TCP",
            Self::Http => "http, NDJSON",
        }
    }

    /// The input that takes it.
    pub(crate) fn input(self, address: SocketAddr) -> String {
        match self {
            Self::Bulk => format!("{{type: elasticsearch, listen: '{address}'}}"),
            Self::LokiJson | Self::LokiSnappy => format!("{{type: loki, listen: '{address}'}}"),
            Self::OtlpHttp | Self::OtlpGrpc => format!("{{type: otlp, listen: ['{address}']}}"),
            Self::Forward => format!("{{type: forward, listen: '{address}'}}"),
            Self::Syslog => format!("{{type: syslog, udp: null, tcp: '{address}'}}"),
            Self::Http => format!("{{type: http, listen: '{address}'}}"),
        }
    }

    /// The path and the media type of requests over HTTP.
    pub(crate) fn over_http(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Bulk => Some(("/_bulk", "application/x-ndjson")),
            Self::LokiJson => Some(("/loki/api/v1/push", "application/json")),
            Self::LokiSnappy => Some(("/loki/api/v1/push", "application/x-protobuf")),
            Self::OtlpHttp => Some(("/v1/logs", "application/x-protobuf")),
            Self::Http => Some(("/", "application/x-ndjson")),
            Self::OtlpGrpc | Self::Forward | Self::Syslog => None,
        }
    }

    /// Some lines as the body of a request, or as bytes of a connection.
    pub(crate) fn request(self, lines: &[String], first: u64) -> Vec<u8> {
        match self {
            Self::Http => (lines.join("\n") + "\n").into_bytes(),
            Self::Bulk => bulk(lines),
            Self::LokiJson => loki_json(lines, first),
            Self::LokiSnappy => loki_snappy(lines, first),
            Self::OtlpHttp => otlp(lines, first),
            Self::OtlpGrpc => {
                let message = otlp(lines, first);
                [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
            }
            Self::Forward => forward(lines, first),
            Self::Syslog => syslog(lines),
        }
    }
}

/// Nanoseconds since the epoch of the line with this number.
fn time_of(number: u64) -> u64 {
    1_795_175_999_000_000_000 + number * 1_000_000
}

fn bulk(lines: &[String]) -> Vec<u8> {
    let mut body = String::new();
    for line in lines {
        body.push_str("{\"create\":{\"_index\":\"logs\"}}\n");
        body.push_str(line);
        body.push('\n');
    }
    body.into_bytes()
}

fn loki_json(lines: &[String], first: u64) -> Vec<u8> {
    let values: Vec<_> =
        (first..).zip(lines).map(|(at, line)| serde_json::json!([time_of(at).to_string(), line])).collect();
    let stream = serde_json::json!({"app": "cart", "namespace": "shop"});
    serde_json::json!({"streams": [{"stream": stream, "values": values}]}).to_string().into_bytes()
}

fn loki_snappy(lines: &[String], first: u64) -> Vec<u8> {
    let mut stream = Vec::new();
    bytes_of(1, br#"{app="cart", namespace="shop"}"#, &mut stream);
    for (at, line) in (first..).zip(lines) {
        let (mut time, mut entry) = (Vec::new(), Vec::new());
        number_of(1, time_of(at) / 1_000_000_000, &mut time);
        number_of(2, time_of(at) % 1_000_000_000, &mut time);
        bytes_of(1, &time, &mut entry);
        bytes_of(2, line.as_bytes(), &mut entry);
        bytes_of(2, &entry, &mut stream);
    }
    let mut request = Vec::new();
    bytes_of(1, &stream, &mut request);
    snap::raw::Encoder::new().compress_vec(&request).expect("it is short enough")
}

fn otlp(lines: &[String], first: u64) -> Vec<u8> {
    let attribute = |key: &str, value: &str| {
        let (mut any, mut pair) = (Vec::new(), Vec::new());
        bytes_of(1, value.as_bytes(), &mut any);
        bytes_of(1, key.as_bytes(), &mut pair);
        bytes_of(2, &any, &mut pair);
        pair
    };
    let (mut resource, mut scope) = (Vec::new(), Vec::new());
    bytes_of(1, &attribute("service.name", "cart"), &mut resource);
    bytes_of(1, &attribute("k8s.namespace.name", "shop"), &mut resource);
    for (at, line) in (first..).zip(lines) {
        let (mut body, mut record) = (Vec::new(), vec![0x09]);
        record.extend(time_of(at).to_le_bytes());
        number_of(2, 9, &mut record);
        bytes_of(1, line.as_bytes(), &mut body);
        bytes_of(5, &body, &mut record);
        bytes_of(6, &attribute("thread", "main"), &mut record);
        bytes_of(2, &record, &mut scope);
    }
    let (mut logs, mut request) = (Vec::new(), Vec::new());
    bytes_of(1, &resource, &mut logs);
    bytes_of(2, &scope, &mut logs);
    bytes_of(1, &logs, &mut request);
    request
}

/// Packed entries with a chunk that is to be acknowledged.
fn forward(lines: &[String], first: u64) -> Vec<u8> {
    let mut entries = Vec::new();
    for (at, line) in (first..).zip(lines) {
        let (seconds, nanos) = (time_of(at) / 1_000_000_000, time_of(at) % 1_000_000_000);
        entries.extend([0x92, 0xd7, 0x00]);
        entries.extend((seconds as u32).to_be_bytes());
        entries.extend((nanos as u32).to_be_bytes());
        entries.push(0x82);
        pack(0xdb, b"log", &mut entries);
        pack(0xdb, line.as_bytes(), &mut entries);
        pack(0xdb, b"stream", &mut entries);
        pack(0xdb, b"stdout", &mut entries);
    }
    let mut message = vec![0x93];
    pack(0xdb, b"kube.cart", &mut message);
    pack(0xc6, &entries, &mut message);
    message.push(0x81);
    pack(0xdb, b"chunk", &mut message);
    pack(0xdb, format!("{first:016}").as_bytes(), &mut message);
    message
}

/// A string or bytes of MessagePack, with a length of four bytes.
fn pack(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

fn syslog(lines: &[String]) -> Vec<u8> {
    let mut out = String::new();
    for line in lines {
        let message = format!("<14>1 2026-11-20T10:00:00.000Z web cart 77 - - {line}");
        // Writing to a string cannot fail.
        let _ = write!(out, "{} {message}", message.len());
    }
    out.into_bytes()
}

/// A field of protobuf: a number.
fn number_of(field: u64, number: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(number, out);
}

/// A field of protobuf: text, bytes, a message.
fn bytes_of(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
