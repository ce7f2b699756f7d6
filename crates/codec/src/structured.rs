//! Objects that clients send as records over a socket: from JSON, with what their protocol says beside them.
//!
//! Owns: the names that a protocol has for what others name otherwise, objects that are none.
//! Does not own: protocols (`forward`, `gelf`), whose word counts and which field is what (`pushed`).
//! Invariant: everything that is given gives one record, or is covered.
//!
//! The object itself is not kept beside its fields: it came in the frame of a protocol and was no line. Its message is
//! a line, and is read as one further on.

use sawyer_model::limits::VALUE_BYTES_MAX;
use sawyer_model::{Batch, SeqRange, SourceId, Timestamp, ValueRef, names};

use crate::fields::Fields;
use crate::pushed::{Intake, Origin, Said, Taken};
use crate::text::base64;

/// How a protocol names what others name otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Fluentd and Fluent Bit: a `source` of `stdout` or `stderr` is the stream.
    Fluent,
    /// GELF: `host` is the node, and a name of the sender's own begins with `_`.
    Gelf,
}

/// Takes objects into a batch.
#[derive(Debug)]
pub struct Objects {
    intake: Intake,
    source: SourceId,
    text_bytes: usize,
    malformed: u64,
    /// Places in the source that are no records.
    skipped: Vec<SeqRange>,
    /// Records in which a text was not UTF-8, and its bytes.
    invalid: Vec<(usize, Vec<u8>)>,
}

/// What came of objects.
#[derive(Debug)]
pub struct TakenObjects {
    /// Their records.
    pub batch: Batch,
    /// Records that said a namespace which their sender may not speak for.
    pub foreign: u64,
    /// How many were no objects, or otherwise not what they should be.
    pub malformed: u64,
}

impl Objects {
    /// None yet.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        let source = origin.source;
        let intake = Intake::new(origin);
        Self { intake, source, text_bytes: 0, malformed: 0, skipped: Vec::new(), invalid: Vec::new() }
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.intake.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intake.is_empty()
    }

    /// About how many bytes of text.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Adds the record of an object in JSON, which is at this place of the source. `timestamp` is its time where the
    /// protocol tells it beside the object; `invalid` are the bytes of a text in it that was not UTF-8.
    pub fn read(
        &mut self,
        json: &str,
        dialect: Dialect,
        timestamp: Option<Timestamp>,
        place: u64,
        invalid: Option<Vec<u8>>,
    ) {
        self.intake.begin();
        if self.intake.flatten(json).is_err() {
            let bytes = invalid.as_deref().unwrap_or(json.as_bytes());
            return self.keep(bytes, timestamp, place);
        }
        match dialect {
            Dialect::Fluent => name_fluent(self.intake.fields()),
            Dialect::Gelf => name_gelf(self.intake.fields()),
        }
        let said = Said { timestamp, whole: Some(json), place: Some(place), ..Said::default() };
        if self.intake.write(&said).is_err() {
            return self.keep(json.as_bytes(), timestamp, place);
        }
        self.text_bytes += json.len();
        if let Some(bytes) = invalid {
            self.invalid.push((self.intake.len() - 1, bytes));
        }
    }

    /// Adds what is no object as a record whose message is this text, marked as malformed.
    pub fn keep(&mut self, bytes: &[u8], timestamp: Option<Timestamp>, place: u64) {
        self.malformed += 1;
        let kept = &bytes[..bytes.len().min(VALUE_BYTES_MAX)];
        let said =
            Said { timestamp, message: Some(kept), place: Some(place), malformed: true, ..Said::default() };
        self.intake.begin();
        self.text_bytes += kept.len();
        if self.intake.write(&said).is_err() {
            // Whoever fills a batch closes it long before it is full.
            self.skip(place);
        }
    }

    /// What is at this place is no record, and accounted for.
    pub fn skip(&mut self, place: u64) {
        self.skipped.push(SeqRange::new(place, place.saturating_add(1)));
    }

    /// The records.
    #[must_use]
    pub fn finish(self) -> TakenObjects {
        let Self { intake, source, malformed, skipped, invalid, .. } = self;
        let Taken { mut batch, foreign } = intake.finish();
        for range in skipped {
            batch.cover(source, range);
        }
        let mut text = String::new();
        for (at, bytes) in invalid {
            let mut record = batch.edit(at);
            record.mark(names::MARK_INVALID_UTF8);
            record.set(names::ORIGINAL_BASE64, ValueRef::Str(base64(&bytes, &mut text)));
        }
        TakenObjects { batch, foreign, malformed }
    }
}

/// A message without the end of its line, which some collectors leave on.
fn without_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn name_fluent(fields: &mut Fields) {
    for at in 0..fields.slots() {
        match fields.name(at) {
            Some(names::SOURCE) => {
                if let Some(ValueRef::Str("stdout" | "stderr")) = fields.single(at, "") {
                    fields.rename(at, names::STREAM);
                }
            }
            // docker puts a slash in front.
            Some("container_name") => {
                let Some(ValueRef::Str(text)) = fields.single(at, "") else { continue };
                if let Some(bare) = text.strip_prefix('/').map(str::to_owned) {
                    fields.replace(at, ValueRef::Str(&bare));
                }
            }
            Some("log" | "message" | "msg") => {
                let Some(ValueRef::Str(text)) = fields.single(at, "") else { continue };
                let short = without_end(text);
                if short.len() < text.len() {
                    let short = short.to_owned();
                    fields.replace(at, ValueRef::Str(&short));
                }
            }
            _ => {}
        }
    }
}

fn name_gelf(fields: &mut Fields) {
    for at in 0..fields.slots() {
        let Some(name) = fields.name(at) else { continue };
        let new = match name {
            "host" => names::NODE.to_owned(),
            "version" => {
                fields.remove(at);
                continue;
            }
            "facility" => "syslog.facility".to_owned(),
            _ => match name.strip_prefix('_').filter(|rest| !rest.is_empty()) {
                Some(rest) => rest.to_owned(),
                None => continue,
            },
        };
        fields.rename(at, &new);
    }
}
