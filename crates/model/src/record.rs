//! One record on its own feet.

use std::sync::Arc;

use crate::batch::{Batch, RecordHead};
use crate::ranges::SeqRange;
use crate::source::{SourceId, Stream};
use crate::timestamp::Timestamp;
use crate::value::Value;

/// A record outside a batch: easy to make and to compare. Use [`crate::RecordRef`] where many are handled.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it was said.
    pub timestamp: Timestamp,
    /// When it was first seen.
    pub observed: Timestamp,
    /// What it was read from.
    pub source: SourceId,
    /// The part of the source that is its own.
    pub range: SeqRange,
    /// Who speaks.
    pub stream: Arc<Stream>,
    /// Its own fields in the order they were given, each name once.
    pub fields: Vec<(Box<str>, Value)>,
}

impl Record {
    /// What is known of it beside its fields.
    #[must_use]
    pub fn head(&self) -> RecordHead {
        RecordHead {
            timestamp: self.timestamp,
            observed: self.observed,
            source: self.source,
            range: self.range,
        }
    }

    /// The value of one of its own fields, else of its stream's.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let own = self.fields.iter().find(|(known, _)| &**known == name).map(|(_, value)| value);
        own.or_else(|| self.stream.get(name))
    }
}

impl<'a> FromIterator<&'a Record> for Batch {
    fn from_iter<T: IntoIterator<Item = &'a Record>>(records: T) -> Self {
        let mut batch = Self::new();
        for record in records {
            batch.push(record);
        }
        batch
    }
}
