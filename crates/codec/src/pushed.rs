//! Records that programs push, into a batch: what every receiver shares.
//!
//! Owns: the way of a record's fields, message and time into the batch, the bounds of what one request may become.
//! Does not own: the formats (a module for each), who may send (`input`), whose word counts (`identity`).
//! Invariant: a record that was refused has added nothing; no request makes a batch larger than its bounds.

mod identity;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sawyer_model::limits::VALUE_BYTES_MAX;
use sawyer_model::{Batch, RecordHead, RecordId, SeqRange, SourceId, Stream, Timestamp, ValueRef, names};

use crate::body::{Chosen, assign_names, deviates};
use crate::fields::Fields;
use crate::json::{JsonError, Scratch, flatten};
use crate::text::{Decoded, base64, decode};

pub(crate) use identity::SAID;
pub use identity::{Trust, namespace_matches};

/// What one request may become at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Records.
    pub records_max: usize,
    /// Bytes of memory: a few attributes that are repeated in each record make much of little.
    pub batch_bytes_max: usize,
}

/// From whom a request comes, and what is known of it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// What is known of all its records.
    pub stream: Arc<Stream>,
    /// What the sender's word is good for.
    pub trust: Arc<Trust>,
    /// Where its records lie in sequence.
    pub source: SourceId,
    /// The numbers of that sequence, where other requests take from it as well; else it is the request's own, from 0: the
    /// same request again has the same records then.
    pub numbers: Option<Arc<AtomicU64>>,
    /// When it arrived.
    pub observed: Timestamp,
    /// Its bounds.
    pub bounds: Bounds,
}

/// What is said of a record beside its fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// Its time, where the protocol has one; else a field tells it, else it is that of arrival.
    pub timestamp: Option<Timestamp>,
    /// Its message, where the protocol has one; else a field tells it.
    pub message: Option<&'a [u8]>,
    /// The record as it was written, where its fields were read from that. It is the message if nothing else is.
    pub original: Option<&'a str>,
    /// What its message is if nothing else is, and what is not kept otherwise.
    pub whole: Option<&'a str>,
    /// Its place in the request's source, where its protocol tells one.
    pub place: Option<u64>,
    /// Its own name, where the protocol has one; else the next number of the request's source.
    pub name: Option<Name<'a>>,
    /// Whether a part of it was not as it should be and is left out or kept as text.
    pub malformed: bool,
}

/// What a protocol calls a record: the same name, said again with the same time, is the same record.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// Where the id is the only one: protocol, sender, index.
    pub scope: [&'a str; 3],
    /// The id.
    pub id: &'a str,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request has too many records, or would take too much memory.
    #[error("the request has more records than are taken at once, or they would take too much memory")]
    Full,
    /// A record is longer than any value can be.
    #[error("the record is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
}

/// Takes the records of one request.
#[derive(Debug)]
pub struct Intake {
    origin: Origin,
    /// When what is taken from now on came to whoever passes it on.
    arrived: Option<Timestamp>,
    batch: Batch,
    next: u64,
    foreign: u64,
    fields: Fields,
    scratch: Scratch,
    text: String,
    base64: String,
    /// Whether a part of the record that was begun is longer than any value can be, and was not read.
    too_long: bool,
    /// Numbers of the streams in the batch, by what was added to the origin's.
    streams: HashMap<Box<str>, u32>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Taken {
    /// Its records.
    pub batch: Batch,
    /// Records that said a namespace which their sender may not speak for.
    pub foreign: u64,
}

/// Names of one hour are spread over this many sources: a store remembers a bounded number of parts of each.
const SOURCES_PER_HOUR: u64 = 16;

const NANOS_PER_HOUR: i64 = 3_600_000_000_000;

impl Name<'_> {
    /// Records with names have no order in which they could be numbered, so their place is a hash of name and time, in a
    /// source for the hour of the record's own time: what a store remembers of an hour can be forgotten with it.
    fn id_at(&self, time: Option<Timestamp>) -> RecordId {
        let nanos = time.map_or(i64::MIN, Timestamp::nanos);
        let SourceId(hash) = SourceId::of(&[self.id.as_bytes(), &nanos.to_le_bytes()]);
        let hour = nanos.div_euclid(NANOS_PER_HOUR);
        let part = (hash >> 64) as u64 % SOURCES_PER_HOUR;
        let [protocol, sender, realm] = self.scope.map(str::as_bytes);
        let source =
            SourceId::of(&[b"named", protocol, sender, realm, &hour.to_le_bytes(), &part.to_le_bytes()]);
        // The place behind the last one would be no place.
        RecordId { source, start: (hash as u64).min(u64::MAX - 1) }
    }
}

impl Intake {
    /// Nothing taken yet.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            arrived: None,
            batch: Batch::new(),
            next: 0,
            foreign: 0,
            fields: Fields::default(),
            scratch: Scratch::default(),
            text: String::new(),
            base64: String::new(),
            too_long: false,
            streams: HashMap::new(),
        }
    }

    /// When the request arrived.
    #[must_use]
    pub fn observed(&self) -> Timestamp {
        self.origin.observed
    }

    /// The time of records from now on that have none of their own; else it is that of arrival here. No part of any name.
    pub fn set_arrived(&mut self, arrived: Option<Timestamp>) {
        self.arrived = arrived;
    }

    /// Most records of the request.
    #[must_use]
    pub fn records_max(&self) -> usize {
        self.origin.bounds.records_max
    }

    /// Bytes of memory that the batch of the request may take.
    pub(crate) fn batch_bytes_max(&self) -> usize {
        self.origin.bounds.batch_bytes_max
    }

    /// Bytes of memory that the batch takes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// Records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Begins a record; gives what takes its fields.
    pub fn begin(&mut self) -> &mut Fields {
        self.fields.clear();
        self.too_long = false;
        &mut self.fields
    }

    /// The fields of the record that was begun.
    pub fn fields(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Adds the members of a JSON object to the record that was begun. A text that is too long for any record is not read;
    /// the record is refused when it is written.
    ///
    /// # Errors
    /// Where it is no JSON object. What stood before that place has been added.
    pub fn flatten(&mut self, text: &str) -> Result<(), JsonError> {
        if text.len() > VALUE_BYTES_MAX {
            self.too_long = true;
            return Ok(());
        }
        flatten(text, &mut self.scratch, &mut self.fields)
    }

    /// Adds the record that was begun; gives its name.
    ///
    /// # Errors
    /// Why not; the batch is as before then.
    pub fn write(&mut self, said: &Said<'_>) -> Result<RecordId, Refused> {
        self.check(said)?;
        identity::rename(&mut self.fields);
        let mut chosen = Chosen::of(&self.fields, "", self.origin.observed);
        if said.message.is_some() {
            chosen.forget_message();
        }
        if said.timestamp.is_some() {
            chosen.forget_time();
        }
        let word = identity::settle(&mut self.fields, &self.origin.trust, &self.origin.stream);
        self.foreign += u64::from(word.foreign);
        let stream = self.stream(&word);
        let known = &self.origin.stream;
        assign_names(&mut self.fields, &chosen, |name, _, class| {
            class.reserved && name != names::STREAM || known.get(name).is_some()
        });
        let told = said.timestamp.or(chosen.time);
        if let (None, Some(at)) = (said.timestamp, chosen.time_field()) {
            self.fields.remove(at);
        }
        let id = match &said.name {
            Some(name) => name.id_at(told),
            None => {
                let start = said.place.unwrap_or_else(|| self.number());
                RecordId { source: self.origin.source, start }
            }
        };
        let head = RecordHead {
            timestamp: told.or(self.arrived).unwrap_or(self.origin.observed),
            observed: self.origin.observed,
            source: id.source,
            range: SeqRange::new(id.start, id.start.saturating_add(1)),
        };
        let is_clock_wrong = told.is_some_and(|told| deviates(told, self.origin.observed));
        self.put((head, is_clock_wrong), stream, said, &chosen);
        Ok(id)
    }

    /// The batch.
    #[must_use]
    pub fn finish(self) -> Taken {
        Taken { batch: self.batch, foreign: self.foreign }
    }

    fn number(&mut self) -> u64 {
        if let Some(numbers) = &self.origin.numbers {
            return numbers.fetch_add(1, Ordering::Relaxed);
        }
        self.next += 1;
        self.next - 1
    }

    fn check(&self, said: &Said<'_>) -> Result<(), Refused> {
        let whole = said.original.or(said.whole).map_or(0, str::len);
        let parts = [said.message.map_or(0, <[u8]>::len), whole];
        let own = self.fields.text_bytes();
        if self.too_long || parts.into_iter().chain([own]).any(|bytes| bytes > VALUE_BYTES_MAX) {
            return Err(Refused::TooLong);
        }
        let Bounds { records_max, batch_bytes_max } = self.origin.bounds;
        let bytes = self.batch.bytes() + parts.into_iter().sum::<usize>() + own;
        if self.batch.len() >= records_max || bytes > batch_bytes_max {
            return Err(Refused::Full);
        }
        Ok(())
    }

    fn put(
        &mut self,
        (head, is_clock_wrong): (RecordHead, bool),
        stream: u32,
        said: &Said<'_>,
        chosen: &Chosen,
    ) {
        let Self { batch, fields, text, base64: encoded, .. } = self;
        let mut record = batch.begin(head, stream);
        let mut original = said.original;
        let mut replaced = false;
        let own = chosen.message(fields, "").is_some();
        if let Some(bytes) = said.message {
            let decoded = decode(bytes, text);
            record.field(names::MESSAGE, ValueRef::Str(decoded.text()));
            if let Decoded::Replaced(_) = decoded {
                replaced = true;
                record.field(names::ORIGINAL_BASE64, ValueRef::Str(base64(bytes, encoded)));
            }
        } else if chosen.message_is_copied() {
            let message = chosen.message(fields, "").unwrap_or("");
            record.field(names::MESSAGE, ValueRef::Str(message));
        } else if !own {
            let text = original.take().or(said.whole).unwrap_or("");
            record.field(names::MESSAGE, ValueRef::Str(text));
        }
        fields.read(|fields| fields.for_each(|(name, value)| record.field(name, value)));
        if let Some((trace, span)) = chosen.traceparent() {
            record.field(names::TRACE_ID, ValueRef::Str(trace));
            record.field(names::SPAN_ID, ValueRef::Str(span));
        }
        if let Some(original) = original {
            record.field(names::ORIGINAL, ValueRef::Str(original));
        }
        let marks = [
            (replaced, names::MARK_INVALID_UTF8),
            (said.malformed, names::MARK_MALFORMED),
            (is_clock_wrong, names::MARK_CLOCK),
        ];
        for (_, mark) in marks.into_iter().filter(|(is, _)| *is) {
            record.field(names::MARK, ValueRef::Str(mark));
        }
    }

    /// The number of the stream with what was said of identity.
    fn stream(&mut self, word: &identity::Spoken) -> u32 {
        let key = word.key();
        if let Some(known) = self.streams.get(key.as_str()) {
            return *known;
        }
        let stream = if word.is_empty() {
            Arc::clone(&self.origin.stream)
        } else {
            Arc::new(self.origin.stream.with(word.fields()))
        };
        let number = self.batch.add_stream(&stream);
        self.streams.insert(key.into(), number);
        number
    }
}
