//! The form of a record as a document.
//!
//! Owns: names. Field names are Sawyer's own (`namespace`, `pod`, `level`, `http.status` …), so that a query means the
//! same here and there; docs/outputs/elasticsearch.md has the table.
//! Invariant: no document is refused for its names alone: none is a name that Elasticsearch keeps for itself, has an
//! empty part, or is said twice; and within a document no field is a value and an object at once.

use sawyer_codec::{json_out, time::write_rfc3339};
use sawyer_model::{RecordRef, Timestamp, ValueRef, names};

use super::index::IndexName;
use crate::deliver::Form;

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
    original: bool,
}

impl Documents {
    pub(super) fn new(index: IndexName, original: bool) -> Self {
        Self { index, original }
    }
}

impl Form for Documents {
    fn write(&self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"create\":{\"_index\":\"");
        self.index.write(record, out);
        out.extend_from_slice(b"\",\"_id\":\"");
        json_out::write_id(record.id(), out);
        out.extend_from_slice(b"\"}}\n{\"");
        out.extend_from_slice(TIME.as_bytes());
        out.extend_from_slice(b"\":");
        write_time(record.timestamp(), out);
        out.extend_from_slice(b",\"observed\":");
        write_time(record.observed(), out);
        for (name, value) in record.fields() {
            match name {
                names::ORIGINAL | names::ORIGINAL_BASE64 if !self.original => {}
                _ => write_field(record, name, value, out),
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    out.push(b'"');
    write_rfc3339(time, out);
    out.push(b'"');
}

fn write_field(record: RecordRef<'_>, name: &str, value: ValueRef<'_>, out: &mut Vec<u8>) {
    let name = match name {
        names::ORIGINAL => ORIGINAL.into(),
        names::ORIGINAL_BASE64 => ORIGINAL_BASE64.into(),
        _ if is_plain(name) => std::borrow::Cow::Borrowed(name),
        _ => match unusual(record, name) {
            Some(name) => name.into(),
            None => return,
        },
    };
    out.push(b',');
    json_out::write_string(&name, out);
    out.push(b':');
    json_out::write_value(value, out);
}

/// Whether a name is taken as it is: one part, without anything special.
fn is_plain(name: &str) -> bool {
    let special = |byte: u8| matches!(byte, b'.' | b' ' | b'@') || byte < b' ';
    !name.is_empty()
        && !name.starts_with('_')
        && !matches!(name, ORIGINAL | ORIGINAL_BASE64 | names::TIMESTAMP | names::OBSERVED)
        && !name.bytes().any(special)
}

/// The name that a field has in the document; none if its value is in another field already.
fn unusual(record: RecordRef<'_>, name: &str) -> Option<String> {
    let kept = name.starts_with('_')
        || matches!(name, TIME | ORIGINAL | ORIGINAL_BASE64 | names::TIMESTAMP | names::OBSERVED);
    if kept {
        return Some(format!("{MOVED}{name}"));
    }
    if let Some(label) = LABELS.iter().find_map(|below| name.strip_prefix(below)) {
        let below = &name[..name.len() - label.len()];
        return Some(format!("{below}{}", whole_part(&label.replace('.', "_"))));
    }
    let mut out = String::with_capacity(name.len());
    let mut end = 0;
    for part in name.split('.') {
        if end > 0 {
            // What stands above is a value already: an array of objects, of which this is a part, or anything else,
            // which cannot be an object as well.
            match record.get(&name[..end - 1]) {
                Some(ValueRef::Json(_)) => return None,
                Some(_) => out.push('_'),
                None => out.push('.'),
            }
        }
        out.push_str(&whole_part(part));
        end += part.len() + 1;
    }
    Some(out)
}

/// A part of a name that is not empty.
fn whole_part(part: &str) -> std::borrow::Cow<'_, str> {
    if part.trim().is_empty() { "_".into() } else { part.into() }
}
