//! Lines as written that are not there, but made of the other fields of their record.
//!
//! Owns: [`MadeLines`]: the templates, the template of each line, where its holes are.
//! Does not own: templates, and making by them (`made`).
//! Invariant: no more is made than was told at the front, and no more pieces are put together than what is made has bytes, so that
//! whoever makes has work for what was claimed only.

use std::vec::IntoIter;

use sawyer_model::limits::{BATCH_TEXT_BYTES_MAX, NAME_BYTES_MAX};
use sawyer_model::{Batch, NameId, OwnFields, RecordRef, Timestamp, ValueRef};

use super::decode::Tables;
use super::{Bounds, FIELDS_MAX};
use crate::bytes::Reader;
use crate::error::{Damage, Decoded};
use crate::ints::Ints;
use crate::made::{Templates, Values, or_of_stream};

/// Most names that templates use, times shapes of records: a reader notes for each where it is in each.
const PLACES_MAX: usize = 1 << 16;

/// Bytes of memory that it takes at most for that: no shape is there without a record, and no name without a byte.
pub(super) fn places_bytes_max(records: usize, template_bytes: usize) -> usize {
    records.saturating_mul(template_bytes).min(PLACES_MAX) * size_of::<u32>()
}

/// Whether lines of so many bytes may be made by these templates for records of so many shapes.
pub(super) fn may_be_made(shapes: usize, bytes: usize, templates: &Templates, codes: &[i64]) -> bool {
    let pieces: usize = codes.iter().map(|code| templates.templates[*code as usize].len()).sum();
    pieces <= bytes.min(FIELDS_MAX)
        && shapes.saturating_mul(templates.names.len()) <= PLACES_MAX
        && templates.names.iter().all(|name| name.len() <= NAME_BYTES_MAX)
}

/// The lines of a column. See the head of the module.
pub(super) struct MadeLines {
    templates: Templates,
    /// For each shape and each name of the templates: which field of the record has it, counted from one; 0 if none has.
    places: Vec<u32>,
    codes: IntoIter<i64>,
    hole_lengths: IntoIter<i64>,
    /// Where the text of the next hole begins.
    hole: usize,
    /// Bytes of lines that are left to be made.
    left: usize,
    line: String,
}

/// What a line is made of.
struct Own<'a> {
    record: RecordRef<'a>,
    fields: OwnFields<'a>,
    /// See [`MadeLines::places`].
    places: &'a [u32],
    names: &'a [Box<str>],
}

impl Values for Own<'_> {
    fn time(&self) -> Timestamp {
        self.record.timestamp()
    }

    #[inline]
    fn value(&self, name: usize) -> Option<ValueRef<'_>> {
        let own = match self.places[name] {
            0 => None,
            place => self.fields.clone().nth(place as usize - 1).map(|(_, value)| value),
        };
        or_of_stream(own, self.record.stream(), &self.names[name])
    }
}

/// Lines as they are told, without the text of their holes, which comes next among the texts.
pub(super) struct ToldLines {
    pub(super) bytes: usize,
    pub(super) hole_lengths: Vec<i64>,
    templates: Templates,
    codes: Vec<i64>,
}

impl ToldLines {
    /// Reads a column of so many lines, of records of so many shapes.
    pub(super) fn read(head: &mut Reader<'_>, count: usize, shapes: usize, bounds: &Bounds) -> Decoded<Self> {
        let bytes = head.at_most(BATCH_TEXT_BYTES_MAX, "texts within bounds")?;
        let mut told = Reader::new(head.take(bounds.template_bytes)?);
        let templates = Templates::parse(&mut told)?;
        told.end()?;
        let codes = Ints::parse_and_decode(head, count)?;
        let holes = templates.holes();
        let mut hole_count = 0_usize;
        for code in &codes {
            let code = usize::try_from(*code).ok().filter(|code| *code < holes.len());
            hole_count += holes[code.ok_or(Damage::expected("the number of a template"))?] as usize;
        }
        if hole_count != bounds.holes {
            return Err(Damage::expected("as many holes as were told"));
        }
        if !may_be_made(shapes, bytes, &templates, &codes) {
            return Err(Damage::expected("templates within bounds"));
        }
        let hole_lengths = Ints::parse_and_decode(head, hole_count)?;
        Ok(Self { bytes, hole_lengths, templates, codes })
    }

    /// The lines, of records of these shapes, whose holes begin at this place of the batch's text.
    pub(super) fn lines(self, batch: &Batch, tables: &Tables, hole: usize) -> MadeLines {
        let names = self.templates.names.len();
        // Counted from one.
        let mut numbers = vec![0_u32; batch.name_count()];
        for (number, name) in (1..).zip(&self.templates.names) {
            // No line is made of itself.
            let own = batch.find_name(name).filter(|id| *id != NameId::ORIGINAL);
            own.into_iter().for_each(|id| numbers[id.index()] = number);
        }
        let mut places = vec![0; tables.shapes.len() * names];
        for (shape, places) in tables.shapes.iter().zip(places.chunks_mut(names.max(1))) {
            for (place, column) in shape.iter().enumerate() {
                let number = numbers[tables.columns[*column as usize].0.index()];
                if number > 0 {
                    places[number as usize - 1] = place as u32 + 1;
                }
            }
        }
        MadeLines {
            templates: self.templates,
            places,
            codes: self.codes.into_iter(),
            hole_lengths: self.hole_lengths.into_iter(),
            hole,
            left: self.bytes,
            line: String::new(),
        }
    }
}

impl MadeLines {
    /// Lines have more or fewer bytes than were told.
    pub(super) const OTHER_BYTES: Damage = Damage::expected("lines of the bytes that were told");

    /// Makes the line of the record at `row`, of this shape, as its field at `line`. The others are there.
    pub(super) fn make(&mut self, batch: &mut Batch, row: usize, shape: usize, line: usize) -> Decoded<()> {
        let code = self.codes.next().ok_or(Damage::expected("a value for each record"))?;
        let Self { templates, places, hole_lengths, hole, left, line: made, .. } = self;
        let next_hole = |out: &mut String| {
            let len = hole_lengths.next().ok_or(Damage::expected("a text for each hole"))? as usize;
            out.push_str(&batch.text()[*hole..*hole + len]);
            *hole += len;
            Ok::<_, Damage>(())
        };
        let (record, names) = (batch.get(row), templates.names.len());
        let places = &places[shape * names..(shape + 1) * names];
        let own = Own { record, fields: record.own_fields_by_id(), places, names: &templates.names };
        made.clear();
        templates.make(code as usize, &own, next_hole, made)?;
        *left = left.checked_sub(made.len()).ok_or(Self::OTHER_BYTES)?;
        batch.put_text(row, line, made);
        Ok(())
    }

    /// Says that all was made that was told.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }
}
