//! Splunk's HTTP Event Collector: events and raw text into records.
//!
//! Source: Splunk's "Format events for HTTP Event Collector"; what Fluent Bit and Vector send.
//! Owns: events one behind the other, their metadata. Does not own: paths, tokens and acknowledgements (`input`).
//! Invariant: a request is taken as a whole, or the number of the first wrong event is told and nothing is taken.
//!
//! | in the event | in the record |
//! |---|---|
//! | `event`, a text | `message` |
//! | `event`, an object | its members as fields |
//! | `time` | `timestamp` |
//! | `fields` | fields |
//! | `host`, `sourcetype`, `index`, `source` | `host`, `sourcetype`, `index`, `body.source` |

use std::borrow::Cow;

use sawyer_model::{Timestamp, ValueRef};

use crate::fields::FieldSink;
use crate::json::walk::{self, Json};
use crate::pushed::{Intake, Refused, Said};
use crate::time;

#[cfg(test)]
mod tests;

/// A body that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HecError {
    /// There is nothing in it.
    #[error("No data")]
    Empty,
    /// An event is no JSON object.
    #[error("Invalid data format: event {0}: {1}")]
    Format(u64, String),
    /// An event without what is said.
    #[error("Event field is required: event {0}")]
    Missing(u64),
    /// An event that says nothing.
    #[error("Event field cannot be blank: event {0}")]
    Blank(u64),
    /// Too much for one request, or an event that is too long.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl HecError {
    /// Splunk's code.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Empty => 5,
            Self::Format(..) => 6,
            Self::Missing(_) => 12,
            Self::Blank(_) => 13,
            Self::Refused(_) => 27,
        }
    }

    /// The number of the event, from 0.
    #[must_use]
    pub fn event(&self) -> Option<u64> {
        match self {
            Self::Format(at, _) | Self::Missing(at) | Self::Blank(at) => Some(*at),
            Self::Empty | Self::Refused(_) => None,
        }
    }
}

/// What a request says of all its events, in its path.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// Fields: `host`, `source`, `sourcetype`, `index`.
    pub fields: Vec<(&'static str, String)>,
}

/// Metadata of an event that becomes fields.
const METADATA: [&str; 4] = ["host", "source", "sourcetype", "index"];

/// Reads events: objects one behind the other, or an array of such. Gives how many there were.
///
/// # Errors
/// If one is wrong; nothing of the request may be used then.
pub fn read_events(body: &[u8], common: &Common, intake: &mut Intake) -> Result<u64, HecError> {
    let text = str::from_utf8(body).map_err(|_| HecError::Format(0, "it is not UTF-8".to_owned()))?;
    let (mut rest, mut count) = (text, 0);
    while !rest.trim_ascii_start().is_empty() {
        let (json, after) = walk::first(rest).map_err(|error| HecError::Format(count, error.to_string()))?;
        rest = after;
        if json.is_array() {
            for json in json.elements() {
                event(json, count, common, intake)?;
                count += 1;
            }
            continue;
        }
        event(json, count, common, intake)?;
        count += 1;
    }
    if count == 0 { Err(HecError::Empty) } else { Ok(count) }
}

/// Reads lines of text; each is an event. Gives how many there were.
///
/// # Errors
/// If there is none, or one is too long.
pub fn read_raw(body: &[u8], common: &Common, intake: &mut Intake) -> Result<u64, HecError> {
    let mut count = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let fields = intake.begin();
        for (name, value) in &common.fields {
            fields.field(name, ValueRef::Str(value));
        }
        intake.write(&Said { message: Some(line), ..Said::default() })?;
        count += 1;
    }
    if count == 0 { Err(HecError::Empty) } else { Ok(count) }
}

fn event(json: Json<'_>, at: u64, common: &Common, intake: &mut Intake) -> Result<(), HecError> {
    if !json.is_object() {
        return Err(HecError::Format(at, "expected an object".to_owned()));
    }
    let event = json.get("event").filter(|event| !event.is_null()).ok_or(HecError::Missing(at))?;
    let observed = intake.observed();
    let said = json.get("time").filter(|time| !time.is_null());
    let timestamp = said.and_then(|time| read_time(time, observed));
    intake.begin();
    if event.is_object() {
        // It was read before.
        let _ = intake.flatten(event.text());
    }
    for name in METADATA {
        let own = json.get(name).and_then(Json::string);
        let value = own.or_else(|| {
            let known = common.fields.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| Cow::Borrowed(value.as_str()))
        });
        if let Some(value) = value {
            intake.fields().field(name, ValueRef::Str(&value));
        }
    }
    if let Some(fields) = json.get("fields").filter(|fields| fields.is_object()) {
        let _ = intake.flatten(fields.text());
    }
    let text = match event.string() {
        Some(text) if text.is_empty() => return Err(HecError::Blank(at)),
        Some(text) => text,
        None => Cow::Borrowed(event.text()),
    };
    let malformed = said.is_some() && timestamp.is_none();
    let is_object = event.is_object();
    intake.write(&Said {
        timestamp,
        message: (!is_object).then_some(text.as_bytes()),
        original: is_object.then_some(event.text()),
        malformed,
        ..Said::default()
    })?;
    Ok(())
}

/// Seconds since the epoch, with a fraction, as a number or as text; some write milliseconds.
fn read_time(json: Json<'_>, observed: Timestamp) -> Option<Timestamp> {
    let text = json.digits().map(Cow::Borrowed).or_else(|| json.string())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !whole.is_empty() && whole.len() <= 10 && digits(whole) && digits(fraction) && !fraction.is_empty() {
        // Read as digits: a float would move the time by some hundred nanoseconds.
        let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        let secs = whole.parse::<i64>().ok()?;
        return Some(Timestamp::from_nanos(secs.checked_mul(1_000_000_000)?.checked_add(nanos)?));
    }
    time::parse(&text, observed)
}
