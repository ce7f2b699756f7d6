//! The form of a record as a document.
//!
//! Owns: names. Field names are Sawyer's own (`namespace`, `pod`, `level`, `http.status` …), so that a query means the
//! same here and there; docs/outputs/elasticsearch.md has the table.
//! Invariant: no document is refused for its names alone: none is a name that Elasticsearch keeps for itself, has an
//! empty part, or is said twice; and within a document no field is a value and an object at once.

use std::convert::Infallible;
use std::ops::Range;

use sawyer_codec::json_out::{BatchWriter, Key, Naming, Original};
use sawyer_model::{Batch, RecordRef, ValueRef, names};

use super::index::IndexName;
use crate::runs::Rows;

/// Where the record's time stands, as Elasticsearch's own data streams have it.
const TIME: &str = "@timestamp";

/// Where the line as it was written stands; a name of Elasticsearch's own may begin with `_`, ours may not.
const ORIGINAL: &str = "original";
const ORIGINAL_BASE64: &str = "original_base64";

/// Below these names stand others' names, in which a dot is a part of the name.
const LABELS: [&str; 2] = ["labels.", "annotations."];

/// Put before names that would mean something else.
const MOVED: &str = "body.";

/// Writes an action and a document for each record.
pub(super) struct Documents {
    index: IndexName,
    original: Original,
}

impl Documents {
    pub(super) fn new(index: IndexName, original: Original) -> Self {
        Self { index, original }
    }
}

impl Rows for Documents {
    fn write(
        &self,
        batch: &Batch,
        records: Range<usize>,
        out: &mut Vec<u8>,
        done: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        let mut writer = BatchWriter::new(batch, Names { original: self.original });
        let mut index = self.index.writer();
        for record in records.map(|at| batch.get(at)) {
            out.extend_from_slice(b"{\"create\":{\"_index\":\"");
            index.write(record, out);
            out.extend_from_slice(b"\",\"_id\":\"");
            writer.id(record.id(), out);
            out.extend_from_slice(b"\"}}\n{\"");
            out.extend_from_slice(TIME.as_bytes());
            out.extend_from_slice(b"\":");
            writer.timestamp(record, out);
            out.extend_from_slice(b",\"observed\":");
            writer.observed(record, out);
            writer.fields(record, out);
            out.extend_from_slice(b"}\n");
            done(out);
        }
    }
}

/// Names of fields in documents.
struct Names {
    original: Original,
}

impl Naming for Names {
    fn key(&self, batch: &Batch, name: &str) -> Key {
        match name {
            names::ORIGINAL => self.original.key(ORIGINAL),
            names::ORIGINAL_BASE64 if self.original == Original::Never => Key::Never,
            names::ORIGINAL_BASE64 => Key::Always(ORIGINAL_BASE64.to_owned()),
            _ if is_plain(name) => Key::Always(name.to_owned()),
            _ => unusual(name, |above| match has(batch, above) {
                // Then it takes a look at the record.
                true => Err(()),
                false => Ok(Above::Nothing),
            })
            .map_or(Key::Depends, |key| key.map_or(Key::Never, Key::Always)),
        }
    }

    fn key_in(&self, record: RecordRef<'_>, name: &str) -> Option<String> {
        let above = |name: &str| match record.get(name) {
            None => Above::Nothing,
            Some(ValueRef::Json(_)) => Above::Whole,
            Some(_) => Above::Value,
        };
        unusual(name, |name| Ok::<_, Infallible>(above(name))).unwrap_or_else(|never| match never {})
    }
}

/// Whether any record of the batch may have a field of this name.
fn has(batch: &Batch, name: &str) -> bool {
    batch.find_name(name).is_some()
        || matches!(name, names::TIMESTAMP | names::OBSERVED)
        || batch.streams().iter().any(|stream| stream.get(name).is_some())
}

/// What stands where an object would have to be for a field to be in it.
enum Above {
    /// Nothing, so it can be an object.
    Nothing,
    /// An array of objects, of which the field is a part.
    Whole,
    /// Anything else.
    Value,
}

/// Whether a name is taken as it is: one part, without anything special.
fn is_plain(name: &str) -> bool {
    let special = |byte: u8| matches!(byte, b'.' | b' ' | b'@') || byte < b' ';
    !name.is_empty()
        && !name.starts_with('_')
        && !matches!(name, ORIGINAL | ORIGINAL_BASE64 | names::TIMESTAMP | names::OBSERVED)
        && !name.bytes().any(special)
}

/// The name that a field has in the document; none if its value is in another field already. `above` says what stands
/// under a name.
fn unusual<E>(name: &str, above: impl Fn(&str) -> Result<Above, E>) -> Result<Option<String>, E> {
    let kept = name.starts_with('_')
        || matches!(name, TIME | ORIGINAL | ORIGINAL_BASE64 | names::TIMESTAMP | names::OBSERVED);
    if kept {
        return Ok(Some(format!("{MOVED}{name}")));
    }
    if let Some(label) = LABELS.iter().find_map(|below| name.strip_prefix(below)) {
        let below = &name[..name.len() - label.len()];
        return Ok(Some(format!("{below}{}", whole_part(&label.replace('.', "_")))));
    }
    let mut out = String::with_capacity(name.len());
    let mut end = 0;
    for part in name.split('.') {
        if end > 0 {
            match above(&name[..end - 1])? {
                Above::Whole => return Ok(None),
                Above::Value => out.push('_'),
                Above::Nothing => out.push('.'),
            }
        }
        out.push_str(&whole_part(part));
        end += part.len() + 1;
    }
    Ok(Some(out))
}

/// A part of a name that is not empty.
fn whole_part(part: &str) -> std::borrow::Cow<'_, str> {
    if part.trim().is_empty() { "_".into() } else { part.into() }
}
