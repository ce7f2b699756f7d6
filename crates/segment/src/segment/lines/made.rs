//! Lines as they were written, made of fields and escaped in one go.
//!
//! Owns: [`MadeLines`]. Does not own: how texts are made of fields (`crate::made`), escaping what templates have between
//! these (`text`).
//! Invariant: what is written is the text that the template makes, escaped.

use sawyer_codec::json_out;
use sawyer_model::limits::VALUE_BYTES_MAX;
use sawyer_model::{Stream, Timestamp, ValueRef};

use super::Field;
use crate::error::{Damage, Result};
use crate::made::{Form, or_of_stream};
use crate::text::{InJson, JsonPart, TextCursor};

/// A column of texts that are made of other fields.
pub(super) struct MadeLines<'a> {
    pub(super) field: Field<'a>,
    cursor: TextCursor,
    /// By the numbers of the names in the templates: which of the fields it is.
    sources: Vec<Option<usize>>,
    scratch: String,
}

impl<'a> MadeLines<'a> {
    /// Takes the columns of such texts out of those that are wanted.
    pub(super) fn take_of(fields: &mut Vec<Field<'a>>) -> Vec<Self> {
        let made: Vec<Field<'a>> = fields.extract_if(.., |field| field.picked.is_none()).collect();
        made.into_iter().map(|field| Self::of(field, fields)).collect()
    }

    fn of(field: Field<'a>, fields: &[Field<'_>]) -> Self {
        let templates = &field.column.values.made().expect("texts are made").templates;
        let source = |name: &str| fields.iter().position(|field| field.name == name);
        let sources = templates.names.iter().map(|name| source(name)).collect();
        Self { field, cursor: TextCursor::default(), sources, scratch: String::new() }
    }

    /// Appends the next text, with its key; gives how many bytes it is for the bounds of blocks. The fields of its record
    /// were just written.
    pub(super) fn put(
        &mut self,
        slot: usize,
        time: Timestamp,
        fields: &[Field<'_>],
        stream: &Stream,
        out: &mut Vec<u8>,
    ) -> Result<u64> {
        let at = self.field.places[self.field.next] as usize;
        self.field.next += 1;
        let Self { field, cursor, sources, scratch } = self;
        let Field { key, column, data, .. } = field;
        let damaged = |what| data.place.damaged()(Damage::expected(what));
        let made = column.values.made().expect("texts are made");
        let (template, mut hole) = made.place(at);
        let InJson { literals, parts } = made.in_json(template);
        out.extend_from_slice(key);
        out.push(b'"');
        let mut len = 0;
        for part in parts {
            len += match *part {
                JsonPart::Literal { start, end, len } => {
                    out.extend_from_slice(&literals[start as usize..end as usize]);
                    len as usize
                }
                JsonPart::Hole => {
                    let text = made.hole(&column.head, hole, *data, cursor)?;
                    hole += 1;
                    json_out::write_inside(text, out);
                    text.len()
                }
                JsonPart::Time(form) => put_value(form, ValueRef::Timestamp(time), scratch, out)
                    .ok_or_else(|| damaged("fields that the line is made of"))?,
                JsonPart::Field(name, form) => {
                    let source = sources[name as usize].map(|at| &fields[at]);
                    let source = source.filter(|field| field.has(slot));
                    if let Some(written) = source.and_then(|field| field.last.in_form(form)) {
                        let len = written.len();
                        out.extend_from_within(written);
                        len
                    } else {
                        let own = match source {
                            Some(field) => Some(field.last()?),
                            None => None,
                        };
                        let value = or_of_stream(own, stream, &made.templates.names[name as usize]);
                        value
                            .and_then(|value| put_value(form, value, scratch, out))
                            .ok_or_else(|| damaged("fields that the line is made of"))?
                    }
                }
            };
            if len > VALUE_BYTES_MAX {
                return Err(damaged("fields that the line is made of"));
            }
        }
        out.push(b'"');
        Ok(len as u64 + 1)
    }
}

/// Appends a value in a form, escaped; gives its length as it is, if it can be written so.
fn put_value(form: Form, value: ValueRef<'_>, scratch: &mut String, out: &mut Vec<u8>) -> Option<usize> {
    match (form, value) {
        (Form::Plain, ValueRef::Str(text)) => {
            json_out::write_inside(text, out);
            Some(text.len())
        }
        _ => {
            scratch.clear();
            let fits = form.put(value, scratch);
            json_out::write_inside(scratch, out);
            fits.then_some(scratch.len())
        }
    }
}
