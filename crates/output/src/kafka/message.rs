//! The form of a record as a message: topic, key, headers, payload.
//!
//! Invariant: all of it follows from the record alone.

use rdkafka::message::{Header, OwnedHeaders};
use sawyer_codec::json_out;
use sawyer_config::{At, Problems};
use sawyer_model::{Batch, RecordRef, ValueRef, names};
use xxhash_rust::xxh3::xxh3_64;

use super::settings::{KafkaFormat, KafkaSettings};
use crate::deliver::{Form, one_by_one};
use crate::naming::{Name, Rule};

/// What Kafka accepts as the name of a topic.
const TOPIC: Rule = Rule {
    what: "a topic",
    bytes_max: 249,
    allows: |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
};

/// Keys and headers are any bytes; ours are text on one line.
const TEXT: Rule = Rule { what: "a key or a header", bytes_max: 1024, allows: |c| !c.is_control() };

/// Lanes in which records wait for Kafka. Those of a key are in one, so they stay in order; several, so that a slow
/// partition does not hold up all others; not one for each key, so that batches are large.
const LANES: u64 = 64;

/// Writes messages.
#[derive(Clone, Debug)]
pub(super) struct Messages {
    topic: Name,
    key: Option<Name>,
    headers: Vec<(String, Name)>,
    format: KafkaFormat,
    original: bool,
}

impl Messages {
    pub(super) fn parse(own: &KafkaSettings, at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let mut read = |text: &str, rule: &Rule, at: &At<'_>| {
            Name::parse(text, rule).map_err(|why| problems.push(at, why)).ok()
        };
        let topic = read(&own.topic, &TOPIC, &at.key("topic"));
        let key = match own.key.as_str() {
            "" => Some(None),
            text => read(text, &TEXT, &at.key("key")).map(Some),
        };
        let headers: Vec<Option<(String, Name)>> = own
            .headers
            .iter()
            .map(|(name, text)| Some((name.clone(), read(text, &TEXT, &at.key("headers").key(name))?)))
            .collect();
        let headers: Option<Vec<(String, Name)>> = headers.into_iter().collect();
        let (format, original) = (own.format, own.original);
        Some(Self { topic: topic?, key: key?, headers: headers?, format, original })
    }

    /// The topic of a record.
    pub(super) fn topic(&self, record: RecordRef<'_>) -> String {
        let topic = self.topic.of(record, &TOPIC);
        // The two names that a topic cannot have.
        if matches!(topic.as_str(), "." | "..") { "_".to_owned() } else { topic }
    }

    /// The key of a record.
    pub(super) fn key(&self, record: RecordRef<'_>) -> Option<String> {
        self.key.as_ref().map(|key| key.of(record, &TEXT))
    }

    /// The headers of a record.
    pub(super) fn headers(&self, record: RecordRef<'_>) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let headers = OwnedHeaders::new_with_capacity(self.headers.len());
        Some(self.headers.iter().fold(headers, |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(&value.of(record, &TEXT)) })
        }))
    }
}

impl Form for Messages {
    fn write_all(&self, batch: &Batch, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        match self.format {
            KafkaFormat::Json => json_out::write_all(batch, !self.original, b"", out, ends),
            KafkaFormat::Line => one_by_one(batch, out, ends, |record, out| {
                let line = record.get(names::ORIGINAL).and_then(ValueRef::as_str);
                out.extend_from_slice(line.unwrap_or_else(|| record.message()).as_bytes());
            }),
        }
    }

    fn partition(&self, record: RecordRef<'_>, _written: &[u8]) -> u64 {
        let hash = match self.key(record) {
            Some(key) => xxh3_64(key.as_bytes()),
            None => xxh3_64(&record.source().0.to_le_bytes()),
        };
        hash % LANES
    }
}
