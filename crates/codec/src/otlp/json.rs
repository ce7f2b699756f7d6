//! Requests in JSON, as protobuf's JSON mapping has them with OTLP's exceptions: ids are hexadecimal, names are
//! lowerCamelCase, enumerations are numbers.
//!
//! Owns: the names. Does not own: what becomes of the values.
//! Invariant: members that are not known are passed over; a member of another type than it should have is told.

use std::borrow::Cow;

use super::value::{Any, Budget, Pair};
use super::{LogRecord, OtlpError, Rejected, Scope, Writer};
use crate::json::walk::{Json, check};
use crate::pushed::Intake;
use crate::text::from_base64;

pub(super) fn read(text: &str, intake: &mut Intake) -> Result<Rejected, OtlpError> {
    let mut writer = Writer::new(intake);
    let request = check(text)?;
    if !request.is_object() {
        return Err(OtlpError::Form("the body"));
    }
    for resource_logs in list(request, "resourceLogs")? {
        let mut budget = Budget::new();
        let resource = resource_logs.get("resource").filter(|resource| !resource.is_null());
        let resource = match resource {
            Some(resource) => pairs(resource, "attributes", 1, &mut budget)?,
            None => Vec::new(),
        };
        let mut scope = Scope { resource, ..Scope::default() };
        for scope_logs in list(resource_logs, "scopeLogs")? {
            read_scope(scope_logs, &mut scope)?;
            for record in list(scope_logs, "logRecords")? {
                let mut record = read_record(record)?;
                record.cut |= budget.cut;
                writer.write(&record, &scope)?;
            }
        }
    }
    Ok(writer.rejected)
}

fn read_scope<'a>(scope_logs: Json<'a>, scope: &mut Scope<'a>) -> Result<(), OtlpError> {
    scope.name = Cow::Borrowed("");
    scope.version = Cow::Borrowed("");
    scope.attributes.clear();
    if let Some(said) = scope_logs.get("scope") {
        scope.name = said.get("name").and_then(Json::string).unwrap_or_default();
        scope.version = said.get("version").and_then(Json::string).unwrap_or_default();
        scope.attributes = pairs(said, "attributes", 1, &mut Budget::new())?;
    }
    Ok(())
}

fn read_record(json: Json<'_>) -> Result<LogRecord<'_>, OtlpError> {
    if !json.is_object() {
        return Err(OtlpError::Form("logRecords"));
    }
    let mut budget = Budget::new();
    let mut record = LogRecord::default();
    for (name, value) in json.members().filter(|(_, value)| !value.is_null()) {
        match &*name {
            "timeUnixNano" => record.time = number(value, "timeUnixNano")?,
            "observedTimeUnixNano" => record.observed_time = number(value, "observedTimeUnixNano")?,
            "severityNumber" => record.severity_number = number(value, "severityNumber")?,
            "severityText" => record.severity_text = string(value, "severityText")?,
            "body" => record.body = Some(any(value, 1, &mut budget)?),
            "attributes" => record.attributes = pairs_of(Some(value), "attributes", 1, &mut budget)?,
            "traceId" => record.trace_id = id(value, "traceId")?,
            "spanId" => record.span_id = id(value, "spanId")?,
            "eventName" => record.event_name = string(value, "eventName")?,
            _ => {}
        }
    }
    record.cut = budget.cut;
    Ok(record)
}

fn list<'a>(
    json: Json<'a>,
    name: &'static str,
) -> Result<impl Iterator<Item = Json<'a>> + use<'a>, OtlpError> {
    items(member(json, name), name)
}

fn member<'a>(json: Json<'a>, name: &str) -> Option<Json<'a>> {
    json.get(name).filter(|value| !value.is_null())
}

fn items<'a>(
    value: Option<Json<'a>>,
    name: &'static str,
) -> Result<impl Iterator<Item = Json<'a>> + use<'a>, OtlpError> {
    if value.is_some_and(|value| !value.is_array()) {
        return Err(OtlpError::Form(name));
    }
    Ok(value.into_iter().flat_map(Json::elements))
}

fn number<N: std::str::FromStr>(json: Json<'_>, name: &'static str) -> Result<N, OtlpError> {
    json.digits().and_then(|digits| digits.parse().ok()).ok_or(OtlpError::Form(name))
}

fn string<'a>(json: Json<'a>, name: &'static str) -> Result<Cow<'a, str>, OtlpError> {
    json.string().ok_or(OtlpError::Form(name))
}

fn id(json: Json<'_>, name: &'static str) -> Result<String, OtlpError> {
    let text = string(json, name)?.to_ascii_lowercase();
    let none = text.bytes().all(|byte| byte == b'0');
    Ok(if none { String::new() } else { text })
}

fn pairs<'a>(
    json: Json<'a>,
    name: &'static str,
    depth: usize,
    budget: &mut Budget,
) -> Result<Vec<Pair<'a>>, OtlpError> {
    pairs_of(member(json, name), name, depth, budget)
}

/// The pairs of a list that is called `name`.
fn pairs_of<'a>(
    value: Option<Json<'a>>,
    name: &'static str,
    depth: usize,
    budget: &mut Budget,
) -> Result<Vec<Pair<'a>>, OtlpError> {
    let mut pairs = Vec::new();
    for pair in items(value, name)? {
        if !budget.take(depth) {
            break;
        }
        let name = pair.get("key").and_then(Json::string).unwrap_or_default();
        let value = match pair.get("value") {
            Some(value) => any(value, depth, budget)?,
            None => Any::Null,
        };
        pairs.push(Pair { name, value });
    }
    Ok(pairs)
}

fn any<'a>(json: Json<'a>, depth: usize, budget: &mut Budget) -> Result<Any<'a>, OtlpError> {
    if !json.is_object() && !json.is_null() {
        return Err(OtlpError::Form("value"));
    }
    let mut read = Any::Null;
    for (name, value) in json.members().filter(|(_, value)| !value.is_null()) {
        read = match &*name {
            "stringValue" => Any::Str(match string(value, "stringValue")? {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
            "boolValue" => Any::Bool(value.bool().ok_or(OtlpError::Form("boolValue"))?),
            "intValue" => Any::Int(number(value, "intValue")?),
            "doubleValue" => Any::Double(double(value)?),
            "bytesValue" => {
                let text = string(value, "bytesValue")?;
                Any::Bytes(Cow::Owned(from_base64(&text).ok_or(OtlpError::Form("bytesValue"))?))
            }
            "arrayValue" => {
                let mut values = Vec::new();
                for element in list(value, "values")? {
                    if !budget.take(depth + 1) {
                        break;
                    }
                    values.push(any(element, depth + 1, budget)?);
                }
                Any::Array(values)
            }
            "kvlistValue" => Any::Map(pairs(value, "values", depth + 1, budget)?),
            _ => read,
        };
    }
    Ok(read)
}

fn double(json: Json<'_>) -> Result<f64, OtlpError> {
    let named = match json.string().as_deref() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        _ => None,
    };
    named.map_or_else(|| number(json, "doubleValue"), Ok)
}
