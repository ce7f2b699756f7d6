//! Log records of OpenTelemetry: protobuf and JSON into records, and the answer.
//!
//! Source: opentelemetry-proto 1.9 (`logs/v1/logs.proto`, `common/v1/common.proto`,
//! `collector/logs/v1/logs_service.proto`) and the OTLP specification ("JSON Protobuf Encoding", "Partial Success").
//! Owns: both encodings, which attribute becomes which field. Does not own: HTTP and gRPC (`input`).
//! Invariant: a record that cannot be kept is counted and told; the others of its request are kept.
//!
//! | in OTLP | in the record |
//! |---|---|
//! | `time_unix_nano`, else `observed_time_unix_nano` | `timestamp` |
//! | `body` | `message`; an object gives its members as fields, and its `message` |
//! | `severity_number`, `severity_text` | `level`, and as they are |
//! | `trace_id`, `span_id` | the same, in hexadecimal |
//! | attributes of the record and of the resource | fields of the same name; `k8s.*` as identity |
//! | attributes of the scope, its name and version | `scope.*` |

mod json;
mod proto;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use sawyer_model::{Timestamp, ValueRef, names};

use crate::fields::FieldSink;
use crate::json::JsonError;
use crate::protobuf::{ProtobufError, write_bytes, write_number};
use crate::pushed::{Intake, Refused, Said};
use value::{Any, Pair};

/// A body that is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// Not protobuf, or not this message.
    #[error("the body is no ExportLogsServiceRequest: {0}")]
    Protobuf(#[from] ProtobufError),
    /// Not JSON.
    #[error("the body is no ExportLogsServiceRequest in JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON of another form.
    #[error("the body is no ExportLogsServiceRequest in JSON: `{0}` has another type")]
    Form(&'static str),
    /// Not text.
    #[error("the body is not UTF-8")]
    Utf8,
    /// Too much for one request.
    #[error(transparent)]
    Full(Refused),
}

/// Records that were not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// How many.
    pub count: u64,
    /// Why the first was not.
    pub reason: String,
}

/// Reads an `ExportLogsServiceRequest` in protobuf.
///
/// # Errors
/// If the body is none as a whole; what was taken before that place must not be used.
pub fn read_protobuf(body: &[u8], intake: &mut Intake) -> Result<Rejected, OtlpError> {
    proto::read(body, intake)
}

/// Reads an `ExportLogsServiceRequest` in JSON.
///
/// # Errors
/// As of [`read_protobuf`].
pub fn read_json(body: &[u8], intake: &mut Intake) -> Result<Rejected, OtlpError> {
    let text = str::from_utf8(body).map_err(|_| OtlpError::Utf8)?;
    json::read(text, intake)
}

/// The answer in protobuf: an `ExportLogsServiceResponse`.
#[must_use]
pub fn answer_protobuf(rejected: &Rejected) -> Vec<u8> {
    let (mut partial, mut out) = (Vec::new(), Vec::new());
    if rejected.count > 0 {
        write_number(1, rejected.count, &mut partial);
        write_bytes(2, rejected.reason.as_bytes(), &mut partial);
        write_bytes(1, &partial, &mut out);
    }
    out
}

/// The answer in JSON.
#[must_use]
pub fn answer_json(rejected: &Rejected) -> String {
    if rejected.count == 0 {
        return "{}".to_owned();
    }
    let mut reason = Vec::new();
    crate::json_out::write_string(&rejected.reason, &mut reason);
    let reason = String::from_utf8(reason).expect("JSON is text");
    format!(r#"{{"partialSuccess":{{"rejectedLogRecords":"{}","errorMessage":{reason}}}}}"#, rejected.count)
}

/// A log record in either encoding.
#[derive(Debug, Default)]
struct LogRecord<'a> {
    time: u64,
    observed_time: u64,
    severity_number: i64,
    severity_text: Cow<'a, str>,
    body: Option<Any<'a>>,
    attributes: Vec<Pair<'a>>,
    trace_id: String,
    span_id: String,
    event_name: Cow<'a, str>,
    /// Values that were too many or too deep were left out.
    cut: bool,
}

/// What the records of a scope share.
#[derive(Debug, Default)]
struct Scope<'a> {
    resource: Vec<Pair<'a>>,
    name: Cow<'a, str>,
    version: Cow<'a, str>,
    attributes: Vec<Pair<'a>>,
}

/// Up to this many names are compared one by one.
const LISTED_NAMES_MAX: usize = 16;

/// What is needed to write records.
struct Writer<'i> {
    intake: &'i mut Intake,
    rejected: Rejected,
    /// Bytes that were copied for records that were rejected.
    wasted: usize,
    name: String,
    json: Vec<u8>,
}

impl<'i> Writer<'i> {
    fn new(intake: &'i mut Intake) -> Self {
        Self { intake, rejected: Rejected::default(), wasted: 0, name: String::new(), json: Vec::new() }
    }

    fn write(&mut self, record: &LogRecord<'_>, scope: &Scope<'_>) -> Result<(), OtlpError> {
        // Records that are rejected count as well: what a resource says is copied for each of them.
        if self.intake.len() as u64 + self.rejected.count >= self.intake.records_max() as u64 {
            return Err(OtlpError::Full(Refused::Full));
        }
        self.intake.begin();
        let mut original = None;
        if let Some(map @ Any::Map(_)) = &record.body {
            let mut text = Vec::new();
            map.write_json(&mut text);
            let text = String::from_utf8(text).expect("JSON is text");
            // What was just written is an object.
            let _ = self.intake.flatten(&text);
            original = Some(text);
        }
        let message = record.body.as_ref().and_then(Any::message);
        self.said(record);
        for Pair { name, value } in &record.attributes {
            self.attribute("", name, value);
        }
        self.resource(record, scope);
        for (name, value) in [("scope.name", &scope.name), ("scope.version", &scope.version)] {
            if !value.is_empty() {
                self.intake.fields().field(name, ValueRef::Str(value));
            }
        }
        for Pair { name, value } in &scope.attributes {
            self.attribute("scope.", name, value);
        }
        let time = if record.time == 0 { record.observed_time } else { record.time };
        let timestamp = (time != 0).then(|| Timestamp::from_nanos(i64::try_from(time).unwrap_or(i64::MAX)));
        let said = Said {
            timestamp: timestamp.or(Some(self.intake.observed())),
            message: message.as_deref(),
            original: original.as_deref(),
            name: None,
            malformed: record.cut,
            whole: None,
            place: None,
        };
        match self.intake.write(&said) {
            Ok(_) => Ok(()),
            Err(full @ Refused::Full) => Err(OtlpError::Full(full)),
            Err(refused @ Refused::TooLong) => {
                self.wasted = self.wasted.saturating_add(self.intake.fields().text_bytes());
                if self.wasted > self.intake.batch_bytes_max() {
                    return Err(OtlpError::Full(Refused::Full));
                }
                if self.rejected.count == 0 {
                    let at = self.intake.len() as u64 + self.rejected.count;
                    let _ = write!(self.rejected.reason, "record {at} of the request: {refused}");
                }
                self.rejected.count += 1;
                Ok(())
            }
        }
    }

    /// What the resource says and the record does not: its own word is nearer to the truth.
    fn resource(&mut self, record: &LogRecord<'_>, scope: &Scope<'_>) {
        let own: Option<HashSet<&str>> = (record.attributes.len() > LISTED_NAMES_MAX)
            .then(|| record.attributes.iter().map(|pair| &*pair.name).collect());
        for Pair { name, value } in &scope.resource {
            let said = match &own {
                Some(own) => own.contains(&**name),
                None => record.attributes.iter().any(|own| own.name == *name),
            };
            if !said {
                self.attribute("", name, value);
            }
        }
    }

    fn said(&mut self, record: &LogRecord<'_>) {
        let fields = self.intake.fields();
        if record.severity_number != 0 {
            fields.field("severity_number", ValueRef::Int(record.severity_number));
        }
        let texts = [
            ("severity_text", &*record.severity_text),
            (names::TRACE_ID, &*record.trace_id),
            (names::SPAN_ID, &*record.span_id),
            ("event_name", &*record.event_name),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            fields.field(name, ValueRef::Str(text));
        }
    }

    fn attribute(&mut self, prefix: &str, name: &str, value: &Any<'_>) {
        self.name.clear();
        self.name.push_str(prefix);
        self.name.push_str(if name.is_empty() { crate::json::EMPTY_NAME } else { name });
        if value.is_flat() {
            return value.give(&self.name, self.intake.fields());
        }
        // Lists of objects are kept whole and found by what is in them, as in lines of JSON.
        self.json.clear();
        self.json.push(b'{');
        crate::json_out::write_string(&self.name, &mut self.json);
        self.json.push(b':');
        value.write_json(&mut self.json);
        self.json.push(b'}');
        if let Ok(text) = str::from_utf8(&self.json) {
            let text = text.to_owned();
            let _ = self.intake.flatten(&text);
        }
    }
}
