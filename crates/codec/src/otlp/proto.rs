//! Requests in protobuf.
//!
//! Owns: the field numbers. Does not own: what becomes of the values.
//! Invariant: fields that are not known are passed over, as newer senders need it.

use std::borrow::Cow;

use super::value::{Any, Budget, Pair, hex};
use super::{LogRecord, OtlpError, Rejected, Scope, Writer};
use crate::protobuf::{Fields, ProtobufError, Wire};
use crate::pushed::Intake;

pub(super) fn read(body: &[u8], intake: &mut Intake) -> Result<Rejected, OtlpError> {
    let mut writer = Writer::new(intake);
    for field in Fields::new(body) {
        if let (1, Wire::Bytes(resource_logs)) = field? {
            read_resource_logs(resource_logs, &mut writer)?;
        }
    }
    Ok(writer.rejected)
}

fn read_resource_logs(bytes: &[u8], writer: &mut Writer<'_>) -> Result<(), OtlpError> {
    let mut budget = Budget::new();
    let mut resource = Vec::new();
    for field in Fields::new(bytes) {
        if let (1, Wire::Bytes(message)) = field? {
            read_pairs(message, 1, &mut resource, 1, &mut budget)?;
        }
    }
    let mut scope = Scope { resource, ..Scope::default() };
    for field in Fields::new(bytes) {
        if let (2, Wire::Bytes(scope_logs)) = field? {
            read_scope(scope_logs, &mut scope)?;
            for field in Fields::new(scope_logs) {
                if let (2, Wire::Bytes(record)) = field? {
                    let mut record = read_record(record)?;
                    record.cut |= budget.cut;
                    writer.write(&record, &scope)?;
                }
            }
        }
    }
    Ok(())
}

fn read_scope<'a>(scope_logs: &'a [u8], scope: &mut Scope<'a>) -> Result<(), OtlpError> {
    scope.name = Cow::Borrowed("");
    scope.version = Cow::Borrowed("");
    scope.attributes.clear();
    let mut budget = Budget::new();
    for field in Fields::new(scope_logs) {
        let (1, Wire::Bytes(message)) = field? else { continue };
        for field in Fields::new(message) {
            match field? {
                (1, Wire::Bytes(name)) => scope.name = String::from_utf8_lossy(name),
                (2, Wire::Bytes(version)) => scope.version = String::from_utf8_lossy(version),
                (3, Wire::Bytes(pair)) => read_pair(pair, &mut scope.attributes, 1, &mut budget)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn read_record(bytes: &[u8]) -> Result<LogRecord<'_>, ProtobufError> {
    let mut budget = Budget::new();
    let mut record = LogRecord::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, Wire::Fixed64(time)) => record.time = time,
            (11, Wire::Fixed64(time)) => record.observed_time = time,
            (2, Wire::Number(number)) => record.severity_number = number.cast_signed(),
            (3, Wire::Bytes(text)) => record.severity_text = String::from_utf8_lossy(text),
            (5, Wire::Bytes(value)) => record.body = Some(read_any(value, 1, &mut budget)?),
            (6, Wire::Bytes(pair)) => read_pair(pair, &mut record.attributes, 1, &mut budget)?,
            (9, Wire::Bytes(id)) => record.trace_id = hex(id),
            (10, Wire::Bytes(id)) => record.span_id = hex(id),
            (12, Wire::Bytes(name)) => record.event_name = String::from_utf8_lossy(name),
            _ => {}
        }
    }
    record.cut = budget.cut;
    Ok(record)
}

/// Reads the pairs that stand in a message under this number.
fn read_pairs<'a>(
    message: &'a [u8],
    number: u32,
    into: &mut Vec<Pair<'a>>,
    depth: usize,
    budget: &mut Budget,
) -> Result<(), ProtobufError> {
    for field in Fields::new(message) {
        match field? {
            (found, Wire::Bytes(pair)) if found == number => read_pair(pair, into, depth, budget)?,
            _ => {}
        }
    }
    Ok(())
}

fn read_pair<'a>(
    bytes: &'a [u8],
    into: &mut Vec<Pair<'a>>,
    depth: usize,
    budget: &mut Budget,
) -> Result<(), ProtobufError> {
    if !budget.take(depth) {
        return Ok(());
    }
    let mut pair = Pair { name: Cow::Borrowed(""), value: Any::Null };
    for field in Fields::new(bytes) {
        match field? {
            (1, Wire::Bytes(name)) => pair.name = String::from_utf8_lossy(name),
            (2, Wire::Bytes(value)) => pair.value = read_any(value, depth, budget)?,
            _ => {}
        }
    }
    into.push(pair);
    Ok(())
}

fn read_any<'a>(bytes: &'a [u8], depth: usize, budget: &mut Budget) -> Result<Any<'a>, ProtobufError> {
    let mut any = Any::Null;
    for field in Fields::new(bytes) {
        any = match field? {
            (1, Wire::Bytes(text)) => Any::Str(Cow::Borrowed(text)),
            (2, Wire::Number(number)) => Any::Bool(number != 0),
            (3, Wire::Number(number)) => Any::Int(number.cast_signed()),
            (4, Wire::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
            (5, Wire::Bytes(array)) => Any::Array(read_array(array, depth + 1, budget)?),
            (6, Wire::Bytes(map)) => {
                let mut pairs = Vec::new();
                read_pairs(map, 1, &mut pairs, depth + 1, budget)?;
                Any::Map(pairs)
            }
            (7, Wire::Bytes(bytes)) => Any::Bytes(Cow::Borrowed(bytes)),
            _ => any,
        };
    }
    Ok(any)
}

fn read_array<'a>(bytes: &'a [u8], depth: usize, budget: &mut Budget) -> Result<Vec<Any<'a>>, ProtobufError> {
    let mut values = Vec::new();
    for field in Fields::new(bytes) {
        if let (1, Wire::Bytes(value)) = field?
            && budget.take(depth)
        {
            values.push(read_any(value, depth, budget)?);
        }
    }
    Ok(values)
}
