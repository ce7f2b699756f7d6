//! Lines as written that are not there, but made of the other fields of their record.
//!
//! Owns: [`MadeLines`]: the templates, the template of each line, where its holes are.
//! Does not own: templates, and making by them (`made`).
//! Invariant: no more is made than was told at the front, and no more pieces are put together than a batch may have fields.

use std::vec::IntoIter;

use sawyer_model::limits::BATCH_TEXT_BYTES_MAX;
use sawyer_model::{Batch, NameId, OwnFields, RecordRef, Timestamp, ValueRef};

use super::FIELDS_MAX;
use super::decode::Tables;
use crate::bytes::Reader;
use crate::error::{Damage, Decoded};
use crate::ints::Ints;
use crate::made::{Templates, Values, or_of_stream};

/// Most names that templates use, times shapes of records: a reader notes for each where it is in each.
const PLACES_MAX: usize = 1 << 16;
/// Bytes of memory that it takes for that.
pub(super) const PLACES_BYTES_MAX: usize = PLACES_MAX * size_of::<u32>();

/// Whether lines are made of fields of so many names in records of so many shapes.
pub(super) fn may_be_made(shapes: usize, names: usize) -> bool {
    shapes.saturating_mul(names) <= PLACES_MAX
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
    /// Reads a column of so many lines.
    pub(super) fn read(head: &mut Reader<'_>, count: usize) -> Decoded<Self> {
        let bytes = head.at_most(BATCH_TEXT_BYTES_MAX, "texts within bounds")?;
        let templates = Templates::parse(head)?;
        let codes = Ints::parse_and_decode(head, count)?;
        let holes = templates.holes();
        let (mut hole_count, mut pieces) = (0_usize, 0_usize);
        for code in &codes {
            let code = usize::try_from(*code).ok().filter(|code| *code < holes.len());
            let code = code.ok_or(Damage::expected("the number of a template"))?;
            hole_count += holes[code] as usize;
            pieces += templates.templates[code].len();
        }
        if pieces > FIELDS_MAX {
            return Err(Damage::expected("pieces within bounds"));
        }
        let hole_lengths = Ints::parse_and_decode(head, hole_count)?;
        Ok(Self { bytes, hole_lengths, templates, codes })
    }

    /// The lines, of records of these shapes, whose holes begin at this place of the batch's text.
    pub(super) fn lines(self, batch: &Batch, tables: &Tables, hole: usize) -> Decoded<MadeLines> {
        let names = self.templates.names.len();
        if !may_be_made(tables.shapes.len(), names) {
            return Err(Damage::expected("names of templates within bounds"));
        }
        let mut numbers = vec![None; batch.name_count()];
        for (number, name) in self.templates.names.iter().enumerate() {
            // No line is made of itself.
            let own = batch.find_name(name).filter(|id| *id != NameId::ORIGINAL);
            own.into_iter().for_each(|id| numbers[id.index()] = Some(number));
        }
        let mut places = vec![0; tables.shapes.len() * names];
        for (shape, places) in tables.shapes.iter().zip(places.chunks_mut(names.max(1))) {
            for (place, column) in shape.iter().enumerate() {
                if let Some(number) = numbers[tables.columns[*column as usize].0.index()] {
                    places[number] = place as u32 + 1;
                }
            }
        }
        Ok(MadeLines {
            templates: self.templates,
            places,
            codes: self.codes.into_iter(),
            hole_lengths: self.hole_lengths.into_iter(),
            hole,
            left: self.bytes,
            line: String::new(),
        })
    }
}

impl MadeLines {
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
        *left = left.checked_sub(made.len()).ok_or(Damage::expected("lines of the bytes that were told"))?;
        batch.put_text(row, line, made);
        Ok(())
    }

    /// Says that all was made that was told.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }
}
