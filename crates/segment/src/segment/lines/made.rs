//! Lines as they were written, made of fields and escaped in one go.
//!
//! Owns: [`MadeLines`]: the templates of a column with their literals escaped once.
//! Does not own: how texts are made of fields (`crate::made`).
//! Invariant: what is written is the text that the template makes, escaped.

use std::ops::Range;

use sawyer_codec::json_out;
use sawyer_model::limits::VALUE_BYTES_MAX;
use sawyer_model::{Stream, Timestamp, ValueRef};

use super::Field;
use crate::error::{Damage, Result};
use crate::made::{Form, Piece, or_of_stream};
use crate::text::TextCursor;

/// A column of texts that are made of other fields.
pub(super) struct MadeLines<'a> {
    pub(super) field: Field<'a>,
    cursor: TextCursor,
    /// By the number of a template, once it was needed: its pieces.
    templates: Vec<Option<Box<[Part]>>>,
    /// What stands between the values, escaped.
    literals: Vec<u8>,
    /// By the numbers of the names in the templates: which of the fields it is.
    sources: Vec<Option<usize>>,
    scratch: String,
}

/// A piece of a template.
#[derive(Clone)]
enum Part {
    /// Where it stands, escaped, and how long it is as it is.
    Literal(Range<usize>, usize),
    Hole,
    Time(Form),
    Field(u32, Form),
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
        let templates = vec![None; templates.templates.len()];
        Self {
            field,
            cursor: TextCursor::default(),
            templates,
            literals: Vec::new(),
            sources,
            scratch: String::new(),
        }
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
        let Self { field, cursor, templates, literals, sources, scratch, .. } = self;
        let Field { key, column, data, .. } = field;
        let damaged = |what| data.place.damaged()(Damage::expected(what));
        let made = column.values.made().expect("texts are made");
        let (template, mut hole) = made.place(at);
        let parts =
            templates[template].get_or_insert_with(|| prepare(&made.templates.templates[template], literals));
        out.extend_from_slice(key);
        out.push(b'"');
        let mut len = 0;
        for part in parts.iter() {
            len += match part {
                Part::Literal(range, len) => {
                    out.extend_from_slice(&literals[range.clone()]);
                    *len
                }
                Part::Hole => {
                    let text = made.hole(&column.head, hole, *data, cursor)?;
                    hole += 1;
                    json_out::write_inside(text, out);
                    text.len()
                }
                Part::Time(form) => put_value(*form, ValueRef::Timestamp(time), scratch, out)
                    .ok_or_else(|| damaged("fields that the line is made of"))?,
                Part::Field(name, form) => {
                    let source = sources[*name as usize].map(|at| &fields[at]);
                    let own = match source.filter(|field| field.has(slot)) {
                        Some(field) => Some(field.last()?),
                        None => None,
                    };
                    let value = or_of_stream(own, stream, &made.templates.names[*name as usize]);
                    value
                        .and_then(|value| put_value(*form, value, scratch, out))
                        .ok_or_else(|| damaged("fields that the line is made of"))?
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

/// Escapes the literals of a template.
fn prepare(pieces: &[Piece], literals: &mut Vec<u8>) -> Box<[Part]> {
    let part = |piece: &Piece| match piece {
        Piece::Literal(text) => {
            let start = literals.len();
            json_out::write_inside(text, literals);
            Part::Literal(start..literals.len(), text.len())
        }
        Piece::Hole => Part::Hole,
        Piece::Time(form) => Part::Time(*form),
        Piece::Field(name, form) => Part::Field(*name, *form),
    };
    pieces.iter().map(part).collect()
}

/// Appends a value in a form, escaped; gives its length as it is, if it can be written so.
fn put_value(form: Form, value: ValueRef<'_>, scratch: &mut String, out: &mut Vec<u8>) -> Option<usize> {
    match (form, value) {
        (Form::Json, ValueRef::Str(text)) if json_out::is_plain(text.as_bytes()) => {
            out.extend_from_slice(text.as_bytes());
            Some(text.len())
        }
        (Form::Plain, ValueRef::Str(text)) => {
            json_out::write_inside(text, out);
            Some(text.len())
        }
        (Form::Plain, ValueRef::Int(_)) => Some(put_number(value, out)),
        // Both write the shortest digits.
        (Form::Point, ValueRef::Float(float)) if float.is_finite() => Some(put_number(value, out)),
        _ => {
            scratch.clear();
            let fits = form.put(value, scratch);
            json_out::write_inside(scratch, out);
            fits.then_some(scratch.len())
        }
    }
}

fn put_number(value: ValueRef<'_>, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    json_out::write_value(value, out);
    out.len() - start
}
