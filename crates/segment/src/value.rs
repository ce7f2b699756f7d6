//! One value after another, as bytes: for what is written by row (streams, batches).
//!
//! Owns: this encoding. Does not own: columns.
//! Invariant: any value reads back exactly, floats to the bit.

use std::sync::Arc;

use sawyer_model::limits::VALUE_BYTES_MAX;
use sawyer_model::{Stream, Timestamp, Value};

use crate::bytes::{Put, Reader};
use crate::column::kind;
use crate::error::{Damage, Decoded};

/// Deepest nesting of lists that is read. The model does not nest them; a stream made in memory could.
const DEPTH_MAX: usize = 8;

/// Appends a stream.
pub(crate) fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    out.put_varint(stream.fields().len() as u64);
    for (name, value) in stream.fields() {
        out.put_text(name);
        put_value(out, value, 0);
    }
}

/// Reads a stream.
pub(crate) fn parse_stream(reader: &mut Reader<'_>) -> Decoded<Arc<Stream>> {
    let count = reader.count()?;
    let fields = (0..count).map(|_| {
        let name: Box<str> = reader.text(VALUE_BYTES_MAX)?.into();
        Ok((name, parse_value(reader, 0)?))
    });
    Ok(Arc::new(Stream::new(fields.collect::<Decoded<Vec<_>>>()?)))
}

fn put_value(out: &mut Vec<u8>, value: &Value, depth: usize) {
    match value {
        Value::Bool(value) => {
            out.put_u8(kind::BOOL);
            out.put_u8(u8::from(*value));
        }
        Value::Int(value) => {
            out.put_u8(kind::INT);
            out.put_i64(*value);
        }
        Value::Float(value) => {
            out.put_u8(kind::FLOAT);
            out.put_u64(value.to_bits());
        }
        Value::Timestamp(time) => {
            out.put_u8(kind::TIMESTAMP);
            out.put_i64(time.nanos());
        }
        Value::Str(text) => {
            out.put_u8(kind::STR);
            out.put_text(text);
        }
        Value::Json(text) => {
            out.put_u8(kind::JSON);
            out.put_text(text);
        }
        Value::List(values) if depth < DEPTH_MAX => {
            out.put_u8(kind::LIST);
            out.put_varint(values.len() as u64);
            values.iter().for_each(|value| put_value(out, value, depth + 1));
        }
        Value::Null | Value::List(_) => out.put_u8(kind::NULL),
    }
}

fn parse_value(reader: &mut Reader<'_>, depth: usize) -> Decoded<Value> {
    Ok(match reader.u8()? {
        kind::NULL => Value::Null,
        kind::BOOL => match reader.u8()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return Err(Damage::expected("true or false")),
        },
        kind::INT => Value::Int(reader.i64()?),
        kind::FLOAT => Value::Float(f64::from_bits(reader.u64()?)),
        kind::TIMESTAMP => Value::Timestamp(Timestamp::from_nanos(reader.i64()?)),
        kind::STR => Value::Str(reader.text(VALUE_BYTES_MAX)?.into()),
        kind::JSON => Value::Json(reader.text(VALUE_BYTES_MAX)?.into()),
        kind::LIST if depth < DEPTH_MAX => {
            let count = reader.count()?;
            Value::List((0..count).map(|_| parse_value(reader, depth + 1)).collect::<Decoded<_>>()?)
        }
        other => return Err(Damage::unknown("type of value", other)),
    })
}
