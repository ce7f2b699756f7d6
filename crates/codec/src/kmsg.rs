//! Records of the kernel's log as `/dev/kmsg` gives them.
//!
//! Owns: their form (Documentation/ABI/testing/dev-kmsg of the kernel).
//! Does not own: the device, the time since the machine started (`input`).
//! Invariant: every record of the kernel gives one record of ours, whose place is its sequence number.

use std::time::Duration;

use sawyer_model::{Batch, Level, NameId, RecordHead, SeqRange, SourceId, Timestamp, ValueRef, names};

use crate::text::{Decoded, base64, decode};

#[cfg(test)]
mod tests;

/// Numbers at the head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KmsgHead {
    /// Facility times eight plus severity.
    pub priority: u32,
    /// Its number since the machine started.
    pub sequence: u64,
    /// How long after that it was written.
    pub since_boot: Duration,
}

/// Reads records.
#[derive(Debug, Default)]
pub struct KmsgReader {
    text: String,
    base64: String,
    name: String,
}

impl KmsgReader {
    /// Adds a record of the kernel to the batch; gives its head, or none if it has none, and then adds nothing.
    /// `booted` is when the machine started.
    ///
    /// # Panics
    /// If the batch has no stream with that number, or is full; see [`Batch::begin`].
    pub fn read(
        &mut self,
        bytes: &[u8],
        source: SourceId,
        booted: Timestamp,
        observed: Timestamp,
        stream: u32,
        batch: &mut Batch,
    ) -> Option<KmsgHead> {
        let end = memchr::memchr(b';', bytes)?;
        let head = read_head(&bytes[..end])?;
        let mut lines = bytes[end + 1..].split(|byte| *byte == b'\n');
        let written = unescape(lines.next().unwrap_or_default());
        let known = RecordHead {
            timestamp: booted.saturating_add(head.since_boot),
            observed,
            source,
            range: SeqRange::new(head.sequence, head.sequence.saturating_add(1)),
        };
        let mut record = batch.begin(known, stream);
        let decoded = decode(&written, &mut self.text);
        record.field_by_id(NameId::MESSAGE, ValueRef::Str(decoded.text()));
        if let Some(level) = Level::from_syslog((head.priority % 8) as u8) {
            record.field_by_id(NameId::LEVEL, ValueRef::Str(level.name()));
        }
        record.field("kernel.sequence", ValueRef::Int(i64::try_from(head.sequence).unwrap_or(i64::MAX)));
        if let Decoded::Replaced(_) = decoded {
            record.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_INVALID_UTF8));
            record.field(names::ORIGINAL_BASE64, ValueRef::Str(base64(&written, &mut self.base64)));
        }
        // What the kernel knows beside the text: ` SUBSYSTEM=usb`.
        for line in lines.filter_map(|line| line.strip_prefix(b" ")) {
            let Some(at) = memchr::memchr(b'=', line) else { continue };
            self.name.clear();
            self.name.push_str("kernel.");
            self.name.extend(line[..at].iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            record
                .field(&self.name, ValueRef::Str(decode(&unescape(&line[at + 1..]), &mut self.text).text()));
        }
        Some(head)
    }
}

/// `6,339,5140900,-`, with more between the flags and the semicolon in times to come.
fn read_head(head: &[u8]) -> Option<KmsgHead> {
    let mut parts = str::from_utf8(head).ok()?.split(',');
    let (priority, sequence, micros) = (parts.next()?, parts.next()?, parts.next()?);
    Some(KmsgHead {
        priority: priority.parse().ok()?,
        sequence: sequence.parse().ok()?,
        since_boot: Duration::from_micros(micros.parse().ok()?),
    })
}

/// `\x0a` stands for a byte that is no printable character.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let digits = rest.get(at + 2..at + 4).filter(|_| rest[at + 1] == b'x');
        let byte = digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        let (byte, length) = byte.map_or((b'\\', 1), |byte| (byte, 4));
        out.push(byte);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
    out
}
