//! Syslog messages: RFC 5424, RFC 3164, and what senders make of them.
//!
//! Owns: the forms of a message and which part of it becomes which field.
//! Does not own: sockets (`input`), what the text of a message says (`body`).
//! Invariant: every message gives one record. What has no form that is known is the message as it is.
//!
//! | part | field |
//! |---|---|
//! | severity | `level`, and by its own name `syslog.severity` |
//! | facility | `syslog.facility` |
//! | time | `timestamp` |
//! | host | `node`, unless the stream says it; marked `identity: claimed` |
//! | application, tag | `service` |
//! | process | `pid` |
//! | message id, mnemonic of Cisco's | `syslog.msgid` |
//! | sequence number of Cisco's | `syslog.sequence` |
//! | structured data | `sd.<id>.<name>` |
//! | the text | `message` |

mod bsd;
pub mod frames;
mod structured_data;

use jiff::tz::TimeZone;
use sawyer_model::{
    Batch, Level, NameId, RecordHead, RecordWriter, SeqRange, SourceId, Timestamp, ValueRef, names,
};

use crate::body::deviates;
use crate::join::Cut;
use crate::text::{Decoded, base64, decode};
use crate::time;

#[cfg(test)]
mod tests;

/// Names of the facilities, by their numbers (RFC 5424, table 1; the short names that syslog.conf(5) has).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// Names of the severities, by their numbers.
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// What a value is that is not there (RFC 5424).
const NIL: &str = "-";

/// The parts of a message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// Facility times eight plus severity.
    pub priority: Option<u8>,
    /// Its time.
    pub timestamp: Option<Timestamp>,
    /// Who says it.
    pub host: Option<&'a str>,
    /// The program.
    pub app: Option<&'a str>,
    /// Its process.
    pub pid: Option<&'a str>,
    /// The kind of the message.
    pub msgid: Option<&'a str>,
    /// The number that the sender gives it.
    pub sequence: Option<&'a str>,
    /// Structured data, as it is written; empty if there is none.
    pub data: &'a str,
    /// The text.
    pub text: &'a str,
    /// Whether it has none of the forms.
    pub malformed: bool,
}

/// Reads messages. Keeps buffers, so that a message allocates nothing of its own.
#[derive(Debug)]
pub struct SyslogReader {
    zone: TimeZone,
    keep_raw: bool,
    text: String,
    base64: String,
    name: String,
}

/// Where a message goes and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct SyslogHead {
    /// What it was read from.
    pub source: SourceId,
    /// The part of the source that it is.
    pub range: SeqRange,
    /// When it arrived.
    pub observed: Timestamp,
    /// The number of its stream in the batch.
    pub stream: u32,
    /// If it was longer than is kept.
    pub cut: Option<Cut>,
}

impl SyslogReader {
    /// `zone` is where clocks are of which messages do not say it. With `keep_raw` the message as it came is kept in
    /// `syslog.raw`.
    #[must_use]
    pub fn new(zone: TimeZone, keep_raw: bool) -> Self {
        Self { zone, keep_raw, text: String::new(), base64: String::new(), name: String::new() }
    }

    /// Adds the record of a message to the batch; says whether it had one of the forms.
    ///
    /// # Panics
    /// If the batch has no stream with that number, or is full; see [`Batch::begin`].
    pub fn read(&mut self, bytes: &[u8], head: &SyslogHead, batch: &mut Batch) -> bool {
        let decoded = decode(bytes, &mut self.text);
        let raw = decoded.text();
        let node_known = batch.streams()[head.stream as usize].get(names::NODE).is_some();
        let message = parse(raw, head.observed, &self.zone, !node_known);
        let timestamp = message.timestamp.unwrap_or(head.observed);
        let known = RecordHead { timestamp, observed: head.observed, source: head.source, range: head.range };
        let mut record = batch.begin(known, head.stream);
        record.field_by_id(NameId::MESSAGE, ValueRef::Str(message.text));
        write_head(&mut record, &message, node_known);
        structured_data::each(message.data, &mut self.name, |name, value| {
            record.field(name, ValueRef::Str(value));
        });
        if self.keep_raw {
            record.field("syslog.raw", ValueRef::Str(raw));
        }
        if let Decoded::Replaced(_) = decoded {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_INVALID_UTF8));
            record.field(names::ORIGINAL_BASE64, ValueRef::Str(base64(bytes, &mut self.base64)));
        }
        if let Some(cut) = head.cut {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_CUT));
            record.field(names::LENGTH, ValueRef::Int(i64::try_from(cut.length).unwrap_or(i64::MAX)));
            record.field(names::HASH, ValueRef::Str(&format!("{:016x}", cut.hash)));
        }
        if message.malformed {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_MALFORMED));
        }
        if deviates(timestamp, head.observed) {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_CLOCK));
        }
        !message.malformed
    }
}

fn write_head(record: &mut RecordWriter<'_>, message: &Message<'_>, node_known: bool) {
    if let Some(priority) = message.priority {
        let severity = priority % 8;
        if let Some(level) = Level::from_syslog(severity) {
            record.field_by_id(NameId::LEVEL, ValueRef::Str(level.name()));
        }
        record.field("syslog.facility", ValueRef::Str(FACILITIES[usize::from(priority / 8)]));
        record.field("syslog.severity", ValueRef::Str(SEVERITIES[usize::from(severity)]));
    }
    if let Some(app) = message.app {
        record.field_by_id(NameId::SERVICE, ValueRef::Str(app));
    }
    if let Some(pid) = message.pid {
        let number = pid.parse().map_or(ValueRef::Str(pid), ValueRef::Int);
        record.field("pid", number);
    }
    if let Some(msgid) = message.msgid {
        record.field("syslog.msgid", ValueRef::Str(msgid));
    }
    if let Some(sequence) = message.sequence.and_then(|number| number.parse().ok()) {
        record.field("syslog.sequence", ValueRef::Int(sequence));
    }
    if let Some(host) = message.host.filter(|_| !node_known) {
        record.field(names::NODE, ValueRef::Str(host));
        record.field(names::IDENTITY, ValueRef::Str("claimed"));
    }
}

/// Finds the parts of a message. `observed` chooses the year of a time that does not say it, and `zone` tells where the
/// clock is of which it does not say that. Messages of programs on the same machine name no host: not `hosted`.
#[must_use]
pub fn parse<'a>(text: &'a str, observed: Timestamp, zone: &TimeZone, hosted: bool) -> Message<'a> {
    let text = text.trim_end_matches(['\n', '\r', '\0']);
    let Some((priority, rest)) = priority(text) else {
        // Some devices send none; what follows may be a header all the same.
        let mut message = bsd::parse(text, observed, zone, hosted);
        message.malformed = message.timestamp.is_none();
        if message.malformed {
            message = Message { text, malformed: true, ..Message::default() };
        }
        return message;
    };
    let mut message = rest
        .strip_prefix("1 ")
        .and_then(|rest| rfc5424(rest, observed, zone))
        .unwrap_or_else(|| bsd::parse(rest, observed, zone, hosted));
    message.priority = Some(priority);
    message
}

/// `<165>`; no leading zeros are needed, and some senders have them.
fn priority(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.strip_prefix('<')?.split_once('>')?;
    if !(1..=3).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let priority: u8 = digits.parse().ok().filter(|number| *number < 8 * FACILITIES.len() as u8)?;
    Some((priority, rest))
}

/// What follows `<165>1 `.
fn rfc5424<'a>(text: &'a str, observed: Timestamp, zone: &TimeZone) -> Option<Message<'a>> {
    let mut parts = text.splitn(6, ' ');
    let mut part = || parts.next();
    let (time, host, app, pid, msgid) = (part()?, part()?, part()?, part()?, part()?);
    let timestamp = match time {
        NIL => None,
        time => Some(whole_time(time, observed, zone)?),
    };
    // Some leave out the structured data where there is no text either.
    let rest = part().unwrap_or(NIL);
    let length = structured_data::length(rest);
    let (data, text) = length.map_or(("", rest), |length| rest.split_at(length));
    let text = if length.is_some() { text.strip_prefix(' ').unwrap_or(text) } else { text };
    let some = |part: &'a str| Some(part).filter(|part| *part != NIL && !part.is_empty());
    Some(Message {
        timestamp,
        host: some(host),
        app: some(app),
        pid: some(pid),
        msgid: some(msgid),
        data: if data == NIL { "" } else { data },
        text: text.strip_prefix('\u{feff}').unwrap_or(text),
        malformed: length.is_none(),
        ..Message::default()
    })
}

/// A text that is wholly a time.
fn whole_time(text: &str, observed: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if let Some((time, length)) = time::rfc3339_prefix(text.as_bytes())
        && length == text.len()
    {
        return Some(time);
    }
    let (time, length) = bsd::time(text, observed, zone)?;
    (length == text.len()).then_some(time)
}
