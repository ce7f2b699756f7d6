//! The form of a record as an event, and what the service takes at once.
//!
//! Source: CloudWatch Logs API reference, `PutLogEvents`; its limits are the constants here.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use sawyer_codec::json_out;
use sawyer_delivery::Item;
use sawyer_model::{Batch, RecordRef, Timestamp, ValueRef, names};
use xxhash_rust::xxh3::xxh3_64;

use super::groups::Places;
use super::settings::EventFormat;
use crate::deliver::{Form, one_by_one};

/// Bytes that the service counts for each event beside its message.
pub(super) const OVERHEAD_BYTES: usize = 26;

/// Bytes of the largest event, counted so; the service refuses a request with a larger one.
pub(super) const EVENT_BYTES_MAX: usize = 1 << 20;

/// Bytes of the largest request, counted so.
pub(super) const REQUEST_BYTES_MAX: usize = 1_048_576;

/// Events of the largest request.
pub(super) const EVENTS_MAX: usize = 10_000;

/// The first and the last event of a request are less than this apart, or the service refuses all of it.
const SPAN_MAX: i64 = 24 * 3600 * 1000;

/// Older events are refused by the service, one by one.
const AGE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);

/// Events that are further in the future are, too.
const AHEAD_MAX: Duration = Duration::from_secs(2 * 3600);

/// An event must have a message.
const EMPTY: &[u8] = b" ";

/// Writes the message of an event for each record.
#[derive(Clone, Debug)]
pub(super) struct Events {
    format: EventFormat,
    original: bool,
    places: Places,
}

/// An event of a request: which item it is made of, and when it was said, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) item: usize,
    pub(super) millis: i64,
}

/// Why the service would refuse an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untimely {
    TooOld,
    TooNew,
}

impl Events {
    pub(super) fn new(format: EventFormat, original: bool, places: Places) -> Self {
        Self { format, original, places }
    }
}

impl Form for Events {
    fn write_all(&self, batch: &Batch, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        match self.format {
            EventFormat::Json => json_out::write_all(batch, !self.original, b"", out, ends),
            EventFormat::Line => one_by_one(batch, out, ends, |record, out| {
                let line = record.get(names::ORIGINAL).and_then(ValueRef::as_str);
                let line = line.unwrap_or_else(|| record.message()).as_bytes();
                out.extend_from_slice(if line.is_empty() { EMPTY } else { line });
            }),
        }
    }

    fn counted(&self, written: usize) -> usize {
        written + OVERHEAD_BYTES
    }

    fn partition(&self, record: RecordRef<'_>, _written: &[u8]) -> u64 {
        // Two streams of one process with the same 64 bits are less likely than a fault of the memory.
        let (group, stream) = self.places.of(record);
        xxh3_64(format!("{group}\0{stream}").as_bytes())
    }
}

/// The events of a request in their order, in parts that the service takes, and the items that it would refuse.
pub(super) fn arrange(items: &[Item<Bytes>], now: Timestamp) -> (Vec<Vec<Event>>, Vec<(usize, Untimely)>) {
    let (oldest, newest) = (now.saturating_sub(AGE_MAX), now.saturating_add(AHEAD_MAX));
    let mut untimely = Vec::new();
    let mut events = Vec::with_capacity(items.len());
    for (item, sent) in items.iter().enumerate() {
        let time = sent.record.as_ref().map_or(now, |origin| origin.record().timestamp());
        if time < oldest {
            untimely.push((item, Untimely::TooOld));
        } else if time > newest {
            untimely.push((item, Untimely::TooNew));
        } else {
            events.push(Event { item, millis: time.millis() });
        }
    }
    // Events of one moment stay in the order of their stream.
    events.sort_by_key(|event| event.millis);
    let mut parts = Vec::new();
    let mut rest = events.as_slice();
    while let Some(first) = rest.first() {
        let end = rest.partition_point(|event| event.millis - first.millis < SPAN_MAX);
        parts.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    (parts, untimely)
}

/// The body of a request.
pub(super) fn body(place: &(String, String), events: &[Event], items: &[Item<Bytes>]) -> Vec<u8> {
    let bytes: usize = events.iter().map(|event| items[event.item].payload.len() + 64).sum();
    let mut out = Vec::with_capacity(bytes + bytes / 8);
    out.extend_from_slice(b"{\"logGroupName\":");
    json_out::write_string(&place.0, &mut out);
    out.extend_from_slice(b",\"logStreamName\":");
    json_out::write_string(&place.1, &mut out);
    out.extend_from_slice(b",\"logEvents\":[");
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("{{\"timestamp\":{},\"message\":", event.millis).as_bytes());
        let text = std::str::from_utf8(&items[event.item].payload).expect("messages are written as text");
        json_out::write_string(text, &mut out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

/// The events that an answer says were refused: those of an old one's, and those of a new one's place.
pub(super) fn refused_ranges(
    count: usize,
    old_end: Option<usize>,
    expired_end: Option<usize>,
    new_start: Option<usize>,
) -> (Range<usize>, Range<usize>, Range<usize>) {
    let old = 0..old_end.unwrap_or(0).min(count);
    let expired = 0..expired_end.unwrap_or(0).min(count);
    let new = new_start.unwrap_or(count).min(count)..count;
    (old, expired, new)
}
