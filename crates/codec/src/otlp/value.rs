//! Values of attributes and bodies: a tree, bounded for each record.
//!
//! Owns: the tree, its bounds, its fields and its text. Does not own: the encodings (`proto`, `json`).
//! Invariant: a record's values together are at most [`VALUES_MAX`], and nested at most [`DEPTH_MAX`].

use std::borrow::Cow;

use sawyer_model::ValueRef;
use sawyer_model::limits::{NESTING_DEPTH_MAX, RECORD_FIELDS_MAX};

use crate::fields::FieldSink;
use crate::json_out::{write_string, write_value};
use crate::text;

/// Most values of one record; further ones are left out and the record is marked.
pub(super) const VALUES_MAX: usize = RECORD_FIELDS_MAX;

/// Deepest nesting; what lies deeper is left out and the record is marked.
pub(super) const DEPTH_MAX: usize = NESTING_DEPTH_MAX;

/// `AnyValue`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Any<'a> {
    Null,
    Str(Cow<'a, [u8]>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Cow<'a, [u8]>),
    Array(Vec<Any<'a>>),
    Map(Vec<Pair<'a>>),
}

/// `KeyValue`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Any<'a>,
}

/// What a record may still have.
#[derive(Debug)]
pub(super) struct Budget {
    values: usize,
    /// Whether something was left out.
    pub(super) cut: bool,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { values: VALUES_MAX, cut: false }
    }

    /// Whether there may be another value at this depth.
    pub(super) fn take(&mut self, depth: usize) -> bool {
        let may = self.values > 0 && depth <= DEPTH_MAX;
        self.values = self.values.saturating_sub(1);
        self.cut |= !may;
        may
    }
}

impl Any<'_> {
    /// A body that is no object as a message.
    pub(super) fn message(&self) -> Option<Cow<'_, [u8]>> {
        Some(match self {
            Any::Null => Cow::Borrowed(b""),
            Any::Str(text) => Cow::Borrowed(text),
            Any::Bytes(bytes) => match str::from_utf8(bytes) {
                Ok(_) => Cow::Borrowed(bytes),
                Err(_) => Cow::Owned(encoded(bytes).into_bytes()),
            },
            Any::Bool(_) | Any::Int(_) | Any::Double(_) | Any::Array(_) => {
                let mut text = Vec::new();
                self.write_json(&mut text);
                Cow::Owned(text)
            }
            Any::Map(_) => return None,
        })
    }

    /// Whether it is a single value or a list of such.
    pub(super) fn is_flat(&self) -> bool {
        let single = |value: &Any<'_>| !matches!(value, Any::Array(_) | Any::Map(_));
        match self {
            Any::Array(values) => values.iter().all(single),
            value => single(value),
        }
    }

    /// Gives a flat value to a sink.
    pub(super) fn give(&self, name: &str, sink: &mut impl FieldSink) {
        match self {
            Any::Array(values) => {
                sink.list(name);
                values.iter().for_each(|value| value.give(name, sink));
            }
            Any::Null | Any::Map(_) => sink.field(name, ValueRef::Null),
            Any::Bool(value) => sink.field(name, ValueRef::Bool(*value)),
            Any::Int(value) => sink.field(name, ValueRef::Int(*value)),
            Any::Double(value) => sink.field(name, ValueRef::Float(*value)),
            Any::Str(text) => sink.field(name, ValueRef::Str(&String::from_utf8_lossy(text))),
            Any::Bytes(bytes) => sink.field(name, ValueRef::Str(&encoded(bytes))),
        }
    }

    /// Appends the value as JSON.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Any::Null => out.extend_from_slice(b"null"),
            Any::Bool(value) => write_value(ValueRef::Bool(*value), out),
            Any::Int(value) => write_value(ValueRef::Int(*value), out),
            Any::Double(value) => write_value(ValueRef::Float(*value), out),
            Any::Str(text) => write_string(&String::from_utf8_lossy(text), out),
            Any::Bytes(bytes) => write_string(&encoded(bytes), out),
            Any::Array(values) => {
                out.push(b'[');
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    value.write_json(out);
                }
                out.push(b']');
            }
            Any::Map(pairs) => {
                out.push(b'{');
                for (at, Pair { name, value }) in pairs.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_string(name, out);
                    out.push(b':');
                    value.write_json(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn encoded(bytes: &[u8]) -> String {
    let mut buffer = String::new();
    text::base64(bytes, &mut buffer).to_owned()
}

/// Bytes in hexadecimal; nothing if they are all zeros, which stands for no id.
pub(super) fn hex(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
