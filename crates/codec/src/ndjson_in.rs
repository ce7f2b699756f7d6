//! Reads records from lines of JSON: what is pushed to the API, what `exec` programs print.
//!
//! Owns: what a sender's names mean, the sender's claims of identity, reading back what `json_out` writes.
//! Does not own: the grammar (`json`), which field is what (`body`).
//! Invariant: a line gives one record or an error that names its place; what a stream knows is not overruled.

use sawyer_model::limits::VALUE_BYTES_MAX;
use sawyer_model::{
    Batch, NameId, RecordHead, RecordId, SeqRange, SourceId, Timestamp, ValueRef, names, source::NotARecordId,
};

use crate::body::{BODY_PREFIX, Chosen, Foreseen, OfStream, Voice, assign_names, deviates};
use crate::fields::Fields;
use crate::json::{JsonError, Scratch, flatten};
use crate::json_out::{ID, TRUNCATED};
use crate::time;

#[cfg(test)]
mod tests;

/// What the line is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NdjsonError {
    /// No text.
    #[error("column {column}: expected UTF-8")]
    Utf8 {
        /// Where the first byte stands that is not, in characters from 1.
        column: usize,
    },
    /// No JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Its `_id` is no record's name.
    #[error("`_id`: {0}")]
    Id(#[from] NotARecordId),
    /// Longer than any value can be, so that it could not be kept whole.
    #[error("the line is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
}

/// Who sends, and what may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A client: names have the meanings they have in log lines (`msg`, `severity` …). Names of identity that the
    /// stream does not know are kept and marked `identity: claimed`. The line is kept in `_original` where the
    /// message differs from it.
    Client,
    /// A program that the operator runs as an input: as [`Sender::Client`], but its word is good for identity.
    Program,
    /// A step, or another Sawyer: every name is taken as it is, `_id`, `timestamp` and `observed` included.
    Step,
}

/// Where a line goes and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct NdjsonHead {
    /// What it was read from.
    pub source: SourceId,
    /// The part of the source that it is.
    pub range: SeqRange,
    /// When it arrived: its time, if it does not say one.
    pub observed: Timestamp,
    /// The number of its stream in the batch.
    pub stream: u32,
    /// Who sent it.
    pub sender: Sender,
}

/// Reads lines. Keeps buffers, so that a line allocates nothing of its own.
#[derive(Debug, Default)]
pub struct NdjsonReader {
    scratch: Scratch,
    fields: Fields,
    of_stream: OfStream,
    foreseen: Foreseen,
}

impl NdjsonReader {
    /// Adds the record of a line to the batch. No record is added where the line is wrong; names of it may be.
    ///
    /// # Errors
    /// What is wrong, and where.
    ///
    /// # Panics
    /// If the batch has no stream with that number, or is full; see [`Batch::begin`].
    pub fn read(&mut self, line: &[u8], head: &NdjsonHead, batch: &mut Batch) -> Result<(), NdjsonError> {
        let text = str::from_utf8(line).map_err(|error| utf8_error(line, error.valid_up_to()))?;
        let known = RecordHead {
            timestamp: head.observed,
            observed: head.observed,
            source: head.source,
            range: head.range,
        };
        if head.sender == Sender::Step {
            self.fields.clear();
            flatten(text, &mut self.scratch, &mut self.fields)?;
            let record = take_head(&mut self.fields, known)?;
            let mut writer = batch.begin(record, head.stream);
            self.fields.read(|fields| fields.for_each(|(name, value)| writer.field(name, value)));
            return Ok(());
        }
        if text.len() > VALUE_BYTES_MAX {
            return Err(NdjsonError::TooLong);
        }
        if self.read_foreseen(text, head, known, batch) {
            return Ok(());
        }
        self.fields.begin(text);
        let read = flatten(text, &mut self.scratch, &mut self.fields);
        self.fields.end();
        read?;
        self.read_foreign(text, head, known, batch);
        Ok(())
    }

    /// Reads a line along those before it, if that can be done; says whether it was.
    fn read_foreseen(
        &mut self,
        text: &str,
        head: &NdjsonHead,
        mut known: RecordHead,
        batch: &mut Batch,
    ) -> bool {
        let Self { foreseen, fields, .. } = self;
        let voice = if head.sender == Sender::Program { Voice::Program } else { Voice::Client };
        if !foreseen.may_read(text) {
            return false;
        }
        let read = batch.begin_read(text, head.stream, |draft| {
            let sent = foreseen.read_sent(text, draft, head.observed, voice, |name| fields.hash_of(name))?;
            known.timestamp = sent.time.unwrap_or(known.timestamp);
            Some((known, sent))
        });
        let Some((mut writer, line, sent)) = read else { return false };
        if !sent.message {
            writer.first_at(NameId::MESSAGE, line);
        }
        if sent.message {
            writer.at(NameId::ORIGINAL, line);
        }
        if sent.claims {
            writer.field_by_id(NameId::IDENTITY, ValueRef::Str("claimed"));
        }
        if deviates(known.timestamp, head.observed) {
            writer.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_CLOCK));
        }
        true
    }

    fn read_foreign(&mut self, text: &str, head: &NdjsonHead, mut known: RecordHead, batch: &mut Batch) {
        let fields = &mut self.fields;
        let chosen = Chosen::of(fields, text, head.observed);
        let stream = &batch.streams()[head.stream as usize];
        let mut claims = false;
        for at in 0..fields.slots() {
            let said = fields.class(at).filter(|class| class.said).and_then(|_| fields.name(at));
            claims |= said.is_some_and(|name| stream.get(name).is_none());
        }
        let trusted = head.sender == Sender::Program;
        self.of_stream.refresh(stream, fields);
        assign_names(fields, &chosen, |name, hash, class| {
            class.reserved && (!class.identity || name == names::IDENTITY)
                || !trusted && self.of_stream.may_have(hash) && stream.get(name).is_some()
        });
        if let (Some(at), Some(time)) = (chosen.time_field(), chosen.time) {
            known.timestamp = time;
            fields.remove(at);
        }
        let message = chosen.message(fields, text);
        let mut writer = batch.begin(known, head.stream);
        let line = writer.text(text);
        match message {
            Some(message) if chosen.message_is_copied() => {
                writer.field(names::MESSAGE, ValueRef::Str(message));
            }
            Some(_) => {}
            None => writer.at(NameId::MESSAGE, line),
        }
        fields.found(|fields| writer.found(line, fields));
        if message.is_some() {
            writer.at(NameId::ORIGINAL, line);
        }
        if claims && !trusted {
            writer.field_by_id(NameId::IDENTITY, ValueRef::Str("claimed"));
        }
        if deviates(known.timestamp, head.observed) {
            writer.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_CLOCK));
        }
    }
}

/// Takes what is not a field out of what a step wrote.
fn take_head(fields: &mut Fields, mut head: RecordHead) -> Result<RecordHead, NdjsonError> {
    for at in 0..fields.slots() {
        let Some(name) = fields.name(at) else { continue };
        if !matches!(name, ID | TRUNCATED | names::TIMESTAMP | names::OBSERVED) {
            continue;
        }
        let text = fields.single(at, "").and_then(ValueRef::as_str).unwrap_or("");
        let taken = match name {
            ID => {
                let id: RecordId = text.parse()?;
                head.source = id.source;
                head.range = SeqRange::new(id.start, id.start.saturating_add(1));
                true
            }
            names::TIMESTAMP => time::parse(text, head.observed).map(|time| head.timestamp = time).is_some(),
            names::OBSERVED => time::parse(text, head.observed).map(|time| head.observed = time).is_some(),
            _ => true,
        };
        if taken {
            fields.remove(at);
        } else {
            fields.prefix(at, BODY_PREFIX);
        }
    }
    Ok(head)
}

fn utf8_error(line: &[u8], valid: usize) -> NdjsonError {
    let column = line[..valid].iter().filter(|byte| **byte & 0xC0 != 0x80).count() + 1;
    NdjsonError::Utf8 { column }
}
