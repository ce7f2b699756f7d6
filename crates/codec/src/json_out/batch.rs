//! Writes the records of one batch as JSON objects, for much less than one by one.
//!
//! Owns: what they share: their keys, the fields of their streams, times and names of sources that repeat.
//! Does not own: what stands between fields and around them; which key a name becomes ([`Key`]).
//! Invariant: a record looks the same as if it were written alone.

use std::ops::Range;

use sawyer_model::{Batch, NameId, RecordId, RecordRef, ValueRef};

use super::short::{Often, put_text};
use super::{HeadWriter, write_string, write_value};

/// What becomes of the name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// This key, in whatever record it is.
    Always(String),
    /// The field is left out.
    Never,
    /// This key, unless the value is a JSON object of usual size as it was written: then the field is left out.
    UnlessObject(String),
    /// It depends on the other fields of the record.
    Depends,
}

/// Bytes of the longest text that [`Key::UnlessObject`] leaves out. Longer ones may have more fields than a record has.
const OBJECT_BYTES_MAX: usize = 64 << 10;

/// Writes records of one batch.
pub struct BatchWriter<'a, N> {
    batch: &'a Batch,
    naming: N,
    /// Of names by number, where they were needed.
    keys: Vec<Option<Form>>,
    /// Of names by number, whether a stream of the batch has a field of that name.
    of_streams: Vec<bool>,
    streams: Vec<Option<StreamForm>>,
    heads: HeadWriter,
}

/// How names become keys.
pub trait Naming {
    /// What becomes of a name in the records of this batch.
    fn key(&self, batch: &Batch, name: &str) -> Key;

    /// The key that a name with [`Key::Depends`] has in a record; none if the field is left out.
    fn key_in(&self, _record: RecordRef<'_>, _name: &str) -> Option<String> {
        None
    }
}

/// `,"key":`, or what else becomes of a field.
enum Form {
    Always(Often),
    UnlessObject(Often),
    Never,
    Depends,
}

/// The fields of a stream.
struct StreamForm {
    /// All of them, with their keys.
    text: Vec<u8>,
    /// Where each stands in it, and the number of its name if a record may have it.
    parts: Vec<(Option<NameId>, Range<usize>)>,
    depends: bool,
}

impl<'a, N: Naming> BatchWriter<'a, N> {
    /// A writer for the records of this batch.
    #[must_use]
    pub fn new(batch: &'a Batch, naming: N) -> Self {
        let mut of_streams = vec![false; batch.name_count()];
        let names = batch.streams().iter().flat_map(|stream| stream.fields());
        for id in names.filter_map(|(name, _)| batch.find_name(name)) {
            of_streams[id.index()] = true;
        }
        Self {
            batch,
            naming,
            keys: std::iter::repeat_with(|| None).take(batch.name_count()).collect(),
            of_streams,
            streams: std::iter::repeat_with(|| None).take(batch.streams().len()).collect(),
            heads: HeadWriter::default(),
        }
    }

    /// Appends `,"key":value` for each field of a record: its own, then those of its stream that it does not overrule.
    pub fn fields(&mut self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        let mut overrules = false;
        for (id, value) in record.own_fields_by_id() {
            overrules |= self.of_streams[id.index()];
            let form = self.keys[id.index()]
                .get_or_insert_with(|| form_of(self.naming.key(self.batch, self.batch.name(id))));
            match form {
                Form::UnlessObject(_) if is_object(value) => {}
                Form::Always(key) | Form::UnlessObject(key) => {
                    key.put(out);
                    match value {
                        ValueRef::Str(text) => write_text(self.batch, text, out),
                        // Mostly it lies in the second of the record's own.
                        ValueRef::Timestamp(time) => self.heads.timestamp(time, out),
                        other => write_value(other, out),
                    }
                }
                Form::Never => {}
                Form::Depends => self.field_in(record, self.batch.name(id), value, out),
            }
        }
        let stream = record.stream_index();
        if self.streams[stream].is_none() {
            self.streams[stream] = Some(self.stream_form(stream));
        }
        let Some(form) = &self.streams[stream] else { return };
        if !overrules && !form.depends {
            return out.extend_from_slice(&form.text);
        }
        for ((id, range), (name, value)) in form.parts.iter().zip(record.stream().fields()) {
            if id.is_some_and(|id| record.get_by_id(id).is_some()) {
                continue;
            }
            match range.is_empty() && form.depends {
                true => self.field_in(record, name, value.as_ref(), out),
                false => out.extend_from_slice(&form.text[range.clone()]),
            }
        }
    }

    /// Appends the beginning of a record as [`super::write`] does, up to its fields.
    pub(super) fn head(&mut self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        self.heads.write(record.id(), record.timestamp(), record.observed(), out);
    }

    /// Appends when a record was said, with its quotes.
    pub fn timestamp(&mut self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        self.heads.timestamp(record.timestamp(), out);
    }

    /// Appends when a record was first seen, with its quotes.
    pub fn observed(&mut self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        self.heads.observed(record.observed(), out);
    }

    /// Appends the name of a record, without quotes.
    pub fn id(&mut self, id: RecordId, out: &mut Vec<u8>) {
        self.heads.id(id, out);
    }

    fn field_in(&self, record: RecordRef<'_>, name: &str, value: ValueRef<'_>, out: &mut Vec<u8>) {
        // A name of a stream that never depends comes here too, with an empty part: it is left out.
        let key = match self.naming.key(self.batch, name) {
            Key::Always(key) => Some(key),
            Key::UnlessObject(key) => (!is_object(value)).then_some(key),
            Key::Never => None,
            Key::Depends => self.naming.key_in(record, name),
        };
        if let Some(key) = key {
            write_key(&key, out);
            write_value(value, out);
        }
    }

    fn stream_form(&self, at: usize) -> StreamForm {
        let mut form = StreamForm { text: Vec::new(), parts: Vec::new(), depends: false };
        for (name, value) in self.batch.streams()[at].fields() {
            let start = form.text.len();
            match self.naming.key(self.batch, name) {
                Key::Always(key) => {
                    write_key(&key, &mut form.text);
                    write_value(value.as_ref(), &mut form.text);
                }
                Key::UnlessObject(_) if is_object(value.as_ref()) => {}
                Key::UnlessObject(key) => {
                    write_key(&key, &mut form.text);
                    write_value(value.as_ref(), &mut form.text);
                }
                Key::Never => {}
                Key::Depends => form.depends = true,
            }
            form.parts.push((self.batch.find_name(name), start..form.text.len()));
        }
        form
    }
}

/// Appends a text of a batch as a JSON string.
#[inline]
fn write_text(batch: &Batch, text: &str, out: &mut Vec<u8>) {
    let behind = batch.place_of(text).and_then(|place| batch.text().as_bytes().get(place.start..));
    if !behind.is_some_and(|behind| put_text(behind, text.len(), out)) {
        write_string(text, out);
    }
}

/// Whether a value is the text of an object, as far as its ends tell: whoever asks knows that it was read.
fn is_object(value: ValueRef<'_>) -> bool {
    let ValueRef::Str(text) = value else { return false };
    let text = text.trim_ascii();
    text.len() <= OBJECT_BYTES_MAX && matches!(text.as_bytes(), [b'{', .., b'}'])
}

fn form_of(key: Key) -> Form {
    let written = |key: &str| {
        let mut text = Vec::new();
        write_key(key, &mut text);
        Often::new(text)
    };
    match key {
        Key::Always(key) => Form::Always(written(&key)),
        Key::UnlessObject(key) => Form::UnlessObject(written(&key)),
        Key::Never => Form::Never,
        Key::Depends => Form::Depends,
    }
}

/// Appends a key with the comma before it and the colon behind.
pub fn write_key(key: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_string(key, out);
    out.push(b':');
}
