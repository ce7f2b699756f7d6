//! Amazon Data Firehose's requests to an HTTP endpoint: records of any program, and those of CloudWatch Logs.
//!
//! Source: AWS's "Understand HTTP endpoint delivery request and response specifications", and "Subscription filters" for
//! what CloudWatch Logs puts into a record.
//! Owns: the request, records within records. Does not own: headers, the answer (`input`).
//! Invariant: a request is taken as a whole or not at all: Firehose knows nothing between. Within it, what is no JSON is
//! kept as text.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use sawyer_model::ValueRef;

use crate::cloudwatch;
use crate::fields::FieldSink;
use crate::json::walk::{self, Json};
use crate::posted::{self, Form, Posted, PostedError};
use crate::pushed::{Intake, Name, Refused};
use crate::text::from_base64;

#[cfg(test)]
mod tests;

/// A body that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FirehoseError {
    /// Not a request of Firehose.
    #[error("the body is no request of Firehose: {0}")]
    Form(String),
    /// A record's data cannot be read.
    #[error("record {0}: {1}")]
    Data(usize, String),
    /// Too much for one request, or a record that is too long.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Reads a request. `bytes_max` is what its records may have together when they are decompressed.
///
/// # Errors
/// If it is none; nothing of it may be used then.
pub fn read(
    body: &[u8],
    common: &[(String, String)],
    bytes_max: usize,
    intake: &mut Intake,
) -> Result<Posted, FirehoseError> {
    let form = |text: &str| FirehoseError::Form(text.to_owned());
    let text = str::from_utf8(body).map_err(|_| form("it is not UTF-8"))?;
    let request = walk::check(text).map_err(|error| form(&error.to_string()))?;
    let records = request.get("records").filter(|records| records.is_array());
    let records = records.ok_or_else(|| form("expected `records`, a list"))?;
    let (mut posted, mut left) = (Posted::default(), bytes_max);
    for (at, record) in records.elements().enumerate() {
        let wrong = |what: &str| FirehoseError::Data(at, what.to_owned());
        let data =
            record.get("data").and_then(Json::string).ok_or_else(|| wrong("expected `data`, a text"))?;
        let data = from_base64(&data).ok_or_else(|| wrong("`data` is not base64"))?;
        let data = unpack(data, left).map_err(|what| wrong(&what))?;
        left = left.saturating_sub(data.len());
        let with = |intake: &mut Intake| {
            common.iter().for_each(|(name, value)| intake.fields().field(name, ValueRef::Str(value)));
        };
        take(&data, common, &with, None, intake, &mut posted)?;
    }
    Ok(posted)
}

/// What CloudWatch Logs and others have compressed, as it was.
pub(crate) fn unpack(data: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, String> {
    let plain = if data.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let read = MultiGzDecoder::new(&data[..]).take(bytes_max as u64 + 1).read_to_end(&mut plain);
        read.map_err(|error| format!("decompress gzip: {error}"))?;
        plain
    } else {
        data
    };
    if plain.len() > bytes_max {
        Err("the records of the request are too long together".to_owned())
    } else {
        Ok(plain)
    }
}

/// Takes what a program has put into a record. What CloudWatch Logs has has `common`; all else has what `with` adds, and names
/// by the one of the record, if that has one.
pub(crate) fn take(
    data: &[u8],
    common: &[(String, String)],
    with: &dyn Fn(&mut Intake),
    name: Option<Name<'_>>,
    intake: &mut Intake,
    posted: &mut Posted,
) -> Result<(), Refused> {
    if let Some(json) = str::from_utf8(data).ok().and_then(|text| walk::check(text).ok())
        && json.get("logEvents").is_some_and(Json::is_array)
        && json.get("messageType").is_some()
    {
        return subscribed(json, common, intake, posted);
    }
    let json = data.trim_ascii_start().starts_with(b"{");
    match posted::read_with(data, if json { Form::Json } else { Form::Text }, intake, with, name) {
        Ok(read) => {
            posted.accepted += read.accepted;
            posted.malformed += read.malformed;
            Ok(())
        }
        Err(PostedError::Empty) => Ok(()),
        Err(PostedError::Refused(refused)) => Err(refused),
    }
}

fn text<'a>(json: Json<'a>, name: &str) -> std::borrow::Cow<'a, str> {
    json.get(name).and_then(Json::string).unwrap_or_default()
}

/// `{"messageType":"DATA_MESSAGE","owner":…,"logGroup":…,"logStream":…,"logEvents":[{"id","timestamp","message"}]}`
fn subscribed(
    json: Json<'_>,
    common: &[(String, String)],
    intake: &mut Intake,
    posted: &mut Posted,
) -> Result<(), Refused> {
    if text(json, "messageType") != "DATA_MESSAGE" {
        // A control message only asks whether somebody is there.
        return Ok(());
    }
    let (group, stream, owner) = (text(json, "logGroup"), text(json, "logStream"), text(json, "owner"));
    for event in json.get("logEvents").into_iter().flat_map(Json::elements) {
        let millis = event.get("timestamp").and_then(Json::digits).and_then(|text| text.parse::<i64>().ok());
        let place = cloudwatch::Place { account: &owner, group: &group, stream: &stream };
        let (id, message) = (text(event, "id"), text(event, "message"));
        cloudwatch::take(place, cloudwatch::Event { id: &id, millis, message: &message }, common, intake)?;
        posted.accepted += 1;
    }
    Ok(())
}
