//! Loki's push requests: streams with labels and their entries into records.
//!
//! Source: Loki's HTTP API ("Ingest logs"), `pkg/push/push.proto`.
//! Owns: both encodings, the old form of JSON, labels as text. Does not own: paths and headers (`input`).
//! Invariant: every entry of a request that is taken gives a record: one whose time cannot be read has the time of
//! arrival and is marked. A request that is not of this form is refused before anything of it is taken.
//!
//! | in Loki | in the record |
//! |---|---|
//! | labels, structured metadata | fields of the same name; `namespace`, `pod` … as identity |
//! | the line | `message`, which the pipeline parses |
//! | the tenant | `loki.tenant` |

use std::borrow::Cow;

use sawyer_model::{Timestamp, ValueRef};

use crate::fields::FieldSink;
use crate::json::JsonError;
use crate::json::walk::{self, Json};
use crate::protobuf::{Fields, ProtobufError, Wire};
use crate::pushed::{Intake, Refused, Said};
use crate::time;

#[cfg(test)]
mod tests;

/// What came of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Entries.
    pub accepted: u64,
    /// Those among them whose time could not be read.
    pub malformed: u64,
}

/// A body that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LokiError {
    /// Not JSON.
    #[error("the body is no push request in JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON of another form.
    #[error("the body is no push request in JSON: expected {0}")]
    Form(&'static str),
    /// Not protobuf.
    #[error("the body is no push request in protobuf: {0}")]
    Protobuf(#[from] ProtobufError),
    /// Labels that are none.
    #[error("expected labels such as `{{app=\"cart\"}}`, found `{0}`")]
    Labels(String),
    /// Not text.
    #[error("the body is not UTF-8")]
    Utf8,
    /// Too much for one request, or a line that is too long.
    #[error(transparent)]
    Refused(#[from] Refused),
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Most labels, and most pairs of structured metadata of an entry; further ones are left out and the record is marked.
const PAIRS_MAX: usize = 1000;

/// Reads a request in JSON.
///
/// # Errors
/// If it is none; nothing of it may be used then.
pub fn read_json(body: &[u8], tenant: Option<&str>, intake: &mut Intake) -> Result<Pushed, LokiError> {
    let text = str::from_utf8(body).map_err(|_| LokiError::Utf8)?;
    let mut writer = Writer { tenant, intake, pushed: Pushed::default() };
    let request = walk::check(text)?;
    let streams = request.get("streams").filter(|streams| streams.is_array());
    for stream in streams.ok_or(LokiError::Form("`streams`, a list"))?.elements() {
        if let Some(labels) = stream.get("labels") {
            let labels = labels.string().ok_or(LokiError::Form("`labels`, a text"))?;
            let labels = read_labels(&labels)?;
            for entry in list(stream, "entries")?.elements() {
                read_old_entry(entry, &labels, &mut writer)?;
            }
            continue;
        }
        let labels = match stream.get("stream") {
            Some(labels) => object(labels)?,
            None => Vec::new(),
        };
        for entry in list(stream, "values")?.elements() {
            read_entry(entry, &labels, &mut writer)?;
        }
    }
    Ok(writer.pushed)
}

/// Reads a request in protobuf, decompressed.
///
/// # Errors
/// If it is none; nothing of it may be used then.
pub fn read_protobuf(body: &[u8], tenant: Option<&str>, intake: &mut Intake) -> Result<Pushed, LokiError> {
    let mut writer = Writer { tenant, intake, pushed: Pushed::default() };
    for field in Fields::new(body) {
        let (1, Wire::Bytes(stream)) = field? else { continue };
        let mut labels = "";
        for field in Fields::new(stream) {
            if let (1, Wire::Bytes(bytes)) = field? {
                labels = str::from_utf8(bytes).map_err(|_| ProtobufError::Utf8)?;
            }
        }
        let labels = read_labels(labels)?;
        for field in Fields::new(stream) {
            if let (2, Wire::Bytes(entry)) = field? {
                read_proto_entry(entry, &labels, &mut writer)?;
            }
        }
    }
    Ok(writer.pushed)
}

struct Writer<'i> {
    tenant: Option<&'i str>,
    intake: &'i mut Intake,
    pushed: Pushed,
}

impl Writer<'_> {
    fn write(
        &mut self,
        labels: &Pairs<'_>,
        metadata: &Pairs<'_>,
        time: Option<Timestamp>,
        line: &[u8],
    ) -> Result<(), Refused> {
        let fields = self.intake.begin();
        // Some senders say labels again in the metadata.
        let news = metadata.iter().take(PAIRS_MAX).filter(|pair| !labels.contains(pair));
        let pairs = labels.iter().take(PAIRS_MAX).chain(news);
        for (name, value) in pairs.filter(|(name, _)| !name.is_empty()) {
            fields.field(name, ValueRef::Str(value));
        }
        if let Some(tenant) = self.tenant {
            fields.field("loki.tenant", ValueRef::Str(tenant));
        }
        let malformed = time.is_none() || labels.len().max(metadata.len()) > PAIRS_MAX;
        let observed = self.intake.observed();
        let said = Said {
            timestamp: Some(time.unwrap_or(observed)),
            message: Some(line),
            malformed,
            ..Said::default()
        };
        self.intake.write(&said)?;
        self.pushed.accepted += 1;
        self.pushed.malformed += u64::from(malformed);
        Ok(())
    }
}

fn list<'a>(json: Json<'a>, name: &'static str) -> Result<Json<'a>, LokiError> {
    json.get(name).filter(|list| list.is_array()).ok_or(LokiError::Form(match name {
        "values" => "`values`, a list",
        _ => "`entries`, a list",
    }))
}

/// The members of an object. Values that are no texts are kept as they are written.
fn object(json: Json<'_>) -> Result<Pairs<'_>, LokiError> {
    if !json.is_object() {
        return Err(LokiError::Form("labels as an object"));
    }
    let members = json.members().take(PAIRS_MAX + 1);
    Ok(members.map(|(name, value)| (name, value.string().unwrap_or(Cow::Borrowed(value.text())))).collect())
}

/// `["<nanoseconds>", "<line>", {structured metadata}]`
fn read_entry(entry: Json<'_>, labels: &Pairs<'_>, writer: &mut Writer<'_>) -> Result<(), LokiError> {
    const FORM: LokiError = LokiError::Form("entries such as `[\"1700000000000000000\", \"line\"]`");
    let mut parts = entry.elements();
    let (Some(time), Some(line)) = (parts.next(), parts.next()) else { return Err(FORM) };
    let line = line.string().ok_or(FORM)?;
    let metadata = match parts.next() {
        Some(metadata) if !metadata.is_null() => object(metadata)?,
        _ => Vec::new(),
    };
    let time = time.digits().and_then(|digits| digits.parse().ok()).map(Timestamp::from_nanos);
    Ok(writer.write(labels, &metadata, time, line.as_bytes())?)
}

/// `{"ts": "<RFC 3339>", "line": "…"}` of `/api/prom/push`.
fn read_old_entry(entry: Json<'_>, labels: &Pairs<'_>, writer: &mut Writer<'_>) -> Result<(), LokiError> {
    let line = entry.get("line").and_then(Json::string).ok_or(LokiError::Form("entries with a `line`"))?;
    let observed = writer.intake.observed();
    let time = entry.get("ts").and_then(Json::string).and_then(|text| time::parse(&text, observed));
    Ok(writer.write(labels, &Vec::new(), time, line.as_bytes())?)
}

fn read_proto_entry(bytes: &[u8], labels: &Pairs<'_>, writer: &mut Writer<'_>) -> Result<(), LokiError> {
    let (mut time, mut line, mut metadata) = (Timestamp::EPOCH, b"".as_slice(), Vec::new());
    for field in Fields::new(bytes) {
        match field? {
            (1, Wire::Bytes(stamp)) => time = read_stamp(stamp)?,
            (2, Wire::Bytes(text)) => line = text,
            (3, Wire::Bytes(pair)) if metadata.len() <= PAIRS_MAX => metadata.push(read_pair(pair)?),
            _ => {}
        }
    }
    Ok(writer.write(labels, &metadata, Some(time), line)?)
}

fn read_stamp(bytes: &[u8]) -> Result<Timestamp, ProtobufError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in Fields::new(bytes) {
        match field? {
            (1, Wire::Number(number)) => seconds = number.cast_signed(),
            (2, Wire::Number(number)) => nanos = number.cast_signed(),
            _ => {}
        }
    }
    Ok(Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

fn read_pair(bytes: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), ProtobufError> {
    let (mut name, mut value) = (Cow::Borrowed(""), Cow::Borrowed(""));
    for field in Fields::new(bytes) {
        match field? {
            (1, Wire::Bytes(text)) => name = String::from_utf8_lossy(text),
            (2, Wire::Bytes(text)) => value = String::from_utf8_lossy(text),
            _ => {}
        }
    }
    Ok((name, value))
}

/// Reads `{app="cart", pod="a\"b"}`.
fn read_labels(text: &str) -> Result<Pairs<'static>, LokiError> {
    let wrong = || LokiError::Labels(text.chars().take(200).collect());
    let mut rest = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or_else(wrong)?;
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(labels);
        }
        let (name, after) = rest.split_once('=').ok_or_else(wrong)?;
        let name = name.trim();
        let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-/".contains(&byte));
        if name.is_empty() || !named {
            return Err(wrong());
        }
        let (value, after) = read_quoted(after.trim_start()).ok_or_else(wrong)?;
        if labels.len() <= PAIRS_MAX {
            labels.push((Cow::Owned(name.to_owned()), Cow::Owned(value)));
        }
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more,
            None if rest.is_empty() => rest,
            None => return Err(wrong()),
        };
    }
}

/// Reads a text in quotes at the beginning, as Go writes it; gives what follows.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (value, rest) = raw.split_once('`')?;
        return Some((value.to_owned(), rest));
    }
    let inside = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &inside[at + 1..])),
            '\\' => {
                let (_, kind) = chars.next()?;
                let digits = match kind {
                    'n' => {
                        value.push('\n');
                        continue;
                    }
                    't' => {
                        value.push('\t');
                        continue;
                    }
                    'r' => {
                        value.push('\r');
                        continue;
                    }
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    other => {
                        value.push(other);
                        continue;
                    }
                };
                let hex: String = chars.by_ref().take(digits).map(|(_, char)| char).collect();
                let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits)?;
                value.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => value.push(other),
        }
    }
    None
}
