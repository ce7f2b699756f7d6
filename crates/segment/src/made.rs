//! Texts that can be made again of the other fields of their record: lines as written.
//!
//! Owns: [`Templates`]: pieces of text, places where a field's value stands, and in which form, and holes for what
//! no field says; making a text by one. After CLP (Rodrigues, Luo, Yuan, OSDI '21), with the record's own fields as
//! the variables.
//! Does not own: which texts are kept so (`column`), how holes are kept (`text`).
//! Invariant: a template is only used for a text that it makes again byte by byte; that is tried while writing.

mod forms;
mod learn;

use std::cell::OnceCell;

use hashbrown::HashMap;
use sawyer_model::limits::VALUE_BYTES_MAX;
use sawyer_model::{NameId, RecordRef, Stream, Timestamp, ValueRef};

pub(crate) use self::forms::Form;
pub(crate) use self::learn::{Learned, Learner, Lines, Row};
use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};

/// Most templates of a column: with more the texts are too different.
const TEMPLATES_MAX: usize = 1024;
const _: () = assert!(TEMPLATES_MAX <= u16::MAX as usize, "their numbers fit into 16 bits");
/// Most pieces of a template; bounds the work for one text.
const PIECES_MAX: usize = 4096;
/// Most bytes of all templates of a column; a reader refuses more before it makes room for them.
pub(crate) const TEMPLATES_BYTES_MAX: usize = 64 << 20;

const LITERAL: u8 = 0;
const HOLE: u8 = 1;
const TIME: u8 = 2;
/// Forms of fields follow from here on.
const FIELD: u8 = 3;

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// This text.
    Literal(Box<str>),
    /// What the text itself brings.
    Hole,
    /// The record's time.
    Time(Form),
    /// The value of the field with this number among the names.
    Field(u32, Form),
}

/// How texts of a column are made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Templates {
    /// Names of the fields that are used.
    pub(crate) names: Vec<Box<str>>,
    pub(crate) templates: Vec<Vec<Piece>>,
}

/// What a record is made of, as far as templates ask.
pub(crate) trait Values {
    /// The record's time.
    fn time(&self) -> Timestamp;
    /// The value of the field with this number among the names of the templates.
    fn value(&self, name: usize) -> Option<ValueRef<'_>>;
}

/// Records with more fields of their own have a table of them made, so that a template of thousands of fields is not
/// looked through ten thousands for each.
const SEARCHED_MAX: usize = 64;

/// A record's own fields, by the numbers of their names.
pub(crate) struct OwnFields<'a> {
    pub(crate) record: RecordRef<'a>,
    table: OnceCell<HashMap<NameId, ValueRef<'a>>>,
}

impl<'a> OwnFields<'a> {
    pub(crate) fn of(record: RecordRef<'a>) -> Self {
        Self { record, table: OnceCell::new() }
    }

    /// The same as [`RecordRef::get_by_id`].
    pub(crate) fn get(&self, name: NameId) -> Option<ValueRef<'a>> {
        if self.record.own_fields_by_id().len() <= SEARCHED_MAX {
            return self.record.get_by_id(name);
        }
        let table = self.table.get_or_init(|| {
            let mut table = HashMap::new();
            for (name, value) in self.record.own_fields_by_id() {
                table.entry(name).or_insert(value);
            }
            table
        });
        table.get(&name).copied()
    }
}

/// A record's own value, or else its stream's.
#[inline(always)]
pub(crate) fn or_of_stream<'a>(
    own: Option<ValueRef<'a>>,
    stream: &'a Stream,
    name: &str,
) -> Option<ValueRef<'a>> {
    if own.is_some() { own } else { of_stream(stream, name) }
}

#[inline(never)]
fn of_stream<'a>(stream: &'a Stream, name: &str) -> Option<ValueRef<'a>> {
    stream.get(name).map(sawyer_model::Value::as_ref)
}

impl Templates {
    /// How many holes the texts of each template have.
    pub(crate) fn holes(&self) -> Vec<u32> {
        let holes = |pieces: &Vec<Piece>| pieces.iter().filter(|piece| **piece == Piece::Hole).count() as u32;
        self.templates.iter().map(holes).collect()
    }

    /// About how much memory they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        let literal = |piece: &Piece| if let Piece::Literal(text) = piece { text.len() } else { 0 };
        let pieces = self.templates.iter().flatten().map(|piece| size_of::<Piece>() + literal(piece));
        self.names.iter().map(|name| name.len() + size_of::<Box<str>>()).chain(pieces).sum()
    }

    /// Appends the text that a template makes of a record. `hole` gives one hole after the other.
    #[inline]
    pub(crate) fn make<E: From<Damage>>(
        &self,
        template: usize,
        values: &(impl Values + ?Sized),
        mut hole: impl FnMut(&mut String) -> Result<(), E>,
        out: &mut String,
    ) -> Result<(), E> {
        let pieces = self.templates.get(template).ok_or(Damage::expected("the number of a template"))?;
        for piece in pieces {
            let made = match piece {
                Piece::Literal(text) => {
                    out.push_str(text);
                    true
                }
                Piece::Hole => {
                    hole(out)?;
                    true
                }
                Piece::Time(form) => form.put(ValueRef::Timestamp(values.time()), out),
                Piece::Field(name, form) => match (values.value(*name as usize), form) {
                    (Some(ValueRef::Str(text)), Form::Plain) => {
                        out.push_str(text);
                        true
                    }
                    (value, form) => value.is_some_and(|value| form.put(value, out)),
                },
            };
            if !made || out.len() > VALUE_BYTES_MAX {
                return Err(Damage::expected("fields that the line is made of").into());
            }
        }
        Ok(())
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_varint(self.names.len() as u64);
        self.names.iter().for_each(|name| out.put_text(name));
        out.put_varint(self.templates.len() as u64);
        for pieces in &self.templates {
            out.put_varint(pieces.len() as u64);
            for piece in pieces {
                match piece {
                    Piece::Literal(text) => {
                        out.put_u8(LITERAL);
                        out.put_text(text);
                    }
                    Piece::Hole => out.put_u8(HOLE),
                    Piece::Time(form) => {
                        out.put_u8(TIME);
                        out.put_u8(form.number());
                    }
                    Piece::Field(name, form) => {
                        out.put_u8(FIELD);
                        out.put_varint(u64::from(*name));
                        out.put_u8(form.number());
                    }
                }
            }
        }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut found = Self::default();
        let names = reader.count()?;
        found.names.reserve_exact(names);
        for _ in 0..names {
            found.names.push(reader.text(VALUE_BYTES_MAX)?.into());
        }
        for _ in 0..reader.at_most(TEMPLATES_MAX, "templates within bounds")? {
            let count = reader.at_most(PIECES_MAX, "pieces within bounds")?;
            // Room for as many as there are, which whoever reads was told.
            let mut pieces = Vec::with_capacity(count);
            for _ in 0..count {
                pieces.push(found.parse_piece(reader)?);
            }
            found.templates.push(pieces);
        }
        Ok(found)
    }

    fn parse_piece(&self, reader: &mut Reader<'_>) -> Decoded<Piece> {
        let form = |reader: &mut Reader<'_>| {
            let number = reader.u8()?;
            Form::of_number(number).ok_or(Damage::unknown("form of a value in a line", number))
        };
        Ok(match reader.u8()? {
            LITERAL => Piece::Literal(reader.text(VALUE_BYTES_MAX)?.into()),
            HOLE => Piece::Hole,
            TIME => Piece::Time(form(reader)?),
            FIELD => {
                let name = reader.at_most(self.names.len(), "the number of a name")?;
                if name == self.names.len() {
                    return Err(Damage::expected("the number of a name"));
                }
                Piece::Field(name as u32, form(reader)?)
            }
            other => return Err(Damage::unknown("piece of a line", other)),
        })
    }
}

#[cfg(test)]
mod tests;
