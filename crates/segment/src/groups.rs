//! Which values a field has in rows of a block, and which rows have each.
//!
//! Owns: [`Segment::groups`], what counts by value are made of. Entries of dictionaries and fields of streams are
//! told apart by their numbers, so that no row is compared.
//! Invariant: a row is either missing, or stands under each of its values once.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use sawyer_model::{Error, Value, ValueRef, names};

use crate::bits::Rows;
use crate::cache::Kept;
use crate::column::{Column, Cursor, Presence, kind};
use crate::error::{Damage, Result};
use crate::layout::ColumnEntry;
use crate::scan::BlockColumns;
use crate::segment::Segment;
use crate::source::Data;
use crate::text::{Cell, Text, put_digits};

/// Most numbers in the table of entries and ranges that [`Segment::count_codes`] makes: 2 MB.
const CELLS_MAX: usize = 1 << 19;

/// How an id of 16 bytes is written: in lower-case hexadecimal digits, as traces are, or as a UUID (RFC 9562, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdForm {
    /// 32 digits.
    Hex,
    /// 36 characters, with hyphens.
    Uuid,
}

impl IdForm {
    /// The text of an id.
    #[must_use]
    pub fn text(self, id: u128) -> String {
        let mut text = String::with_capacity(36);
        put_digits(&mut text, &id.to_be_bytes(), self == Self::Uuid);
        text
    }
}

/// The values of a field in rows of a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// The values. One value may stand here several times.
    pub values: Vec<Value>,
    /// Rows with the place of their value in `values`. A row with a list has an entry for each different element;
    /// one with an empty list has none.
    pub rows: Vec<(u32, u32)>,
    /// The rows without the field.
    pub missing: Rows,
}

/// What is called with each value, or with none for rows without the field: the numbers of the ranges that have such rows,
/// ascending, and how many each of them has. See [`Segment::count_codes`].
pub type CountSink<'s> = dyn FnMut(Option<&str>, &[(usize, u64)]) + 's;

/// A column of a block, and where it stands.
type Found<'a> = (&'a ColumnEntry, Arc<Kept<Column>>);

impl Segment {
    /// Counts the values of a field in rows of a block, each of these neighbouring ranges by itself, if the column tells
    /// which rows have the same value: strings in the own fields of rows, with no stream that has the field where a row
    /// does not, and not too many values for so many ranges. Calls with each value once, and with no value for rows that do not
    /// have the field: the numbers of the ranges that have some of these rows, ascending, and how many. Says whether it counted.
    /// The same as [`Segment::groups`] says, at less cost.
    ///
    /// # Errors
    /// As [`Segment::groups`].
    ///
    /// # Panics
    /// If there is no block with this number, or `rows` and `ranges` are not of its rows.
    pub fn count_codes(
        &self,
        block: usize,
        rows: &Rows,
        field: &str,
        ranges: &[Range<usize>],
        sink: &mut CountSink<'_>,
    ) -> Result<bool, Error> {
        Ok(self.count_by_code(block, rows, field, ranges, sink)?)
    }

    /// Whether any row of a block may have a field of this name, of its own or of its stream.
    ///
    /// # Errors
    /// As [`Segment::groups`].
    ///
    /// # Panics
    /// If there is no block with this number.
    pub fn may_have_field(&self, block: usize, field: &str) -> Result<bool, Error> {
        if field == names::TIMESTAMP || field == names::OBSERVED {
            return Ok(true);
        }
        let streams = self.footer.blocks[block].streams.clone();
        Ok(self.streams()[streams].iter().any(|stream| stream.get(field).is_some())
            || BlockColumns::new(self, block).own(field)?.is_some())
    }

    /// The ids that a field has in rows of a block, if all it has are ids of one form that are kept as 16 bytes, in the own
    /// fields of rows, with no stream that has the field where a row does not. Appends the id of each row that has one; says
    /// in which form they are written. The same as [`Segment::groups`] says, at less cost.
    ///
    /// # Errors
    /// As [`Segment::groups`].
    ///
    /// # Panics
    /// As [`Segment::groups`].
    pub fn ids(
        &self,
        block: usize,
        rows: &Rows,
        field: &str,
        ids: &mut Vec<u128>,
    ) -> Result<Option<IdForm>, Error> {
        assert_eq!(rows.len(), self.blocks()[block].rows, "a set of rows of this block");
        let Some((entry, column)) = self.strings_alone(block, field)? else { return Ok(None) };
        let texts = column.values.strs();
        let Some(form) = texts.id_form() else { return Ok(None) };
        let mut places = Vec::new();
        column.presence.for_each(rows, |_, rank| places.push(rank));
        texts.put_ids(&places, self.data(block, entry), ids)?;
        Ok(Some(form))
    }

    /// The column of strings that has all that a block's rows have of a field: no other values, and no stream that has the
    /// field where a row does not.
    fn strings_alone(&self, block: usize, field: &str) -> Result<Option<Found<'_>>> {
        if field == names::TIMESTAMP || field == names::OBSERVED {
            return Ok(None);
        }
        let mut columns = BlockColumns::new(self, block);
        let Some(entry) = columns.own(field)?.filter(|entry| entry.mask == 1 << kind::STR) else {
            return Ok(None);
        };
        let column = columns.column(entry)?;
        let every_row = matches!(column.presence, Presence::All { .. });
        let streams = self.footer.blocks[block].streams.clone();
        let is_alone = every_row || !self.streams()[streams].iter().any(|stream| stream.get(field).is_some());
        Ok(is_alone.then_some((entry, column)))
    }

    fn count_by_code(
        &self,
        block: usize,
        rows: &Rows,
        field: &str,
        ranges: &[Range<usize>],
        sink: &mut CountSink<'_>,
    ) -> Result<bool> {
        let Some((entry, column)) = self.strings_alone(block, field)? else { return Ok(false) };
        let texts = column.values.strs();
        let Some(codes) = CodesOf::of(texts, &column.head) else { return Ok(false) };
        let every_row = matches!(column.presence, Presence::All { .. });
        let data = self.data(block, entry);
        let width = texts.entry_count();
        if ranges.len() > 1 && width.saturating_mul(ranges.len()) > CELLS_MAX {
            return Ok(false);
        }
        let mut counts = vec![0u32; width * ranges.len()];
        let tables = counts.chunks_mut(width.max(1));
        let is_known = if every_row {
            codes.count_rows(rows, ranges, tables)
        } else {
            codes.count_ranks(&column.presence, rows, ranges, tables)
        };
        if !is_known {
            return Err(data.place.damaged()(Damage::expected("the code of an entry")));
        }
        let mut told: Vec<(usize, u64)> = Vec::new();
        for code in 0..width {
            told.clear();
            for range in 0..ranges.len() {
                let count = counts[range * width + code];
                if count > 0 {
                    told.push((range, u64::from(count)));
                }
            }
            if !told.is_empty() {
                sink(Some(texts.entry(code as i64, data)?), &told);
            }
        }
        told.clear();
        for (range, span) in ranges.iter().enumerate() {
            let counted = counts[range * width..(range + 1) * width].iter().map(|count| u64::from(*count));
            let missing = rows.count_within(span.clone()) as u64 - counted.sum::<u64>();
            if missing > 0 {
                told.push((range, missing));
            }
        }
        if !told.is_empty() {
            sink(None, &told);
        }
        Ok(true)
    }

    /// The values of a field in these rows of a block, as [`sawyer_model::RecordRef::get`] has them: own fields
    /// before those of the stream.
    ///
    /// # Errors
    /// `Corrupt` if the block is damaged, `Retry` if it cannot be read.
    ///
    /// # Panics
    /// If there is no block with this number, or `rows` is not a set of its rows.
    pub fn groups(&self, block: usize, rows: &Rows, field: &str) -> Result<Groups, Error> {
        assert_eq!(rows.len(), self.blocks()[block].rows, "a set of rows of this block");
        let mut groups = Groups { values: Vec::new(), rows: Vec::new(), missing: rows.clone() };
        match field {
            names::TIMESTAMP => groups.add_times(&self.read_timestamps(block, true)?),
            names::OBSERVED => groups.add_times(&self.read_observed(block, true)?),
            _ => {
                let mut columns = BlockColumns::new(self, block);
                if let Some(entry) = columns.own(field)? {
                    let column = columns.column(entry)?;
                    if column.values.made().is_some() {
                        groups.add_made(self, block, field)?;
                    } else {
                        groups.add_column(self, block, entry, &column)?;
                    }
                }
                groups.add_streams(self, &mut columns, field)?;
            }
        }
        Ok(groups)
    }

    /// Calls with each value of a field in these rows and how many rows have it, and with how many have none. One
    /// value may come several times.
    ///
    /// # Errors
    /// As [`Segment::groups`].
    ///
    /// # Panics
    /// As [`Segment::groups`].
    pub fn count_values(
        &self,
        block: usize,
        rows: &Rows,
        field: &str,
        sink: &mut dyn FnMut(Option<ValueRef<'_>>, u64),
    ) -> Result<(), Error> {
        let groups = self.groups(block, rows, field)?;
        let mut counts = vec![0u64; groups.values.len()];
        for (_, value) in &groups.rows {
            counts[*value as usize] += 1;
        }
        for (value, count) in groups.values.iter().zip(counts) {
            sink(Some(value.as_ref()), count);
        }
        let missing = groups.missing.count() as u64;
        if missing > 0 {
            sink(None, missing);
        }
        Ok(())
    }
}

/// For each value of a column the number of its entry.
enum CodesOf<'a> {
    /// All have the first one.
    Constant,
    /// For each entry the places of those that have it.
    Sets(&'a [Rows]),
    Small(&'a [u8]),
    Wide(Vec<i64>),
}

impl<'a> CodesOf<'a> {
    fn of(texts: &'a Text, head: &[u8]) -> Option<Self> {
        if texts.is_constant() {
            return Some(Self::Constant);
        }
        if let Some(sets) = texts.sets(head) {
            return Some(Self::Sets(sets));
        }
        texts.small_codes(head).map(Self::Small).or_else(|| texts.all_codes(head).map(Self::Wide))
    }

    fn code(&self, at: usize) -> usize {
        match self {
            Self::Constant => 0,
            // Damage is in none, and counted by no entry.
            Self::Sets(sets) => sets.iter().position(|set| set.contains(at)).unwrap_or(usize::MAX),
            Self::Small(codes) => usize::from(codes[at]),
            Self::Wide(codes) => codes[at] as usize,
        }
    }

    /// Counts where every row has a value; says whether all codes are known.
    fn count_rows<'t>(
        &self,
        rows: &Rows,
        ranges: &[Range<usize>],
        tables: impl Iterator<Item = &'t mut [u32]>,
    ) -> bool {
        let all = rows.count() == rows.len();
        for (range, table) in ranges.iter().zip(tables) {
            match self {
                Self::Constant => table[0] += rows.count_within(range.clone()) as u32,
                Self::Sets(sets) => {
                    let mut counted = 0;
                    for (set, count) in sets.iter().zip(&mut *table) {
                        let of_set = set.count_both_within(rows, range.clone());
                        *count += of_set as u32;
                        counted += of_set;
                    }
                    if counted != rows.count_within(range.clone()) {
                        return false;
                    }
                }
                Self::Small(codes) if all => count_bytes(&codes[range.clone()], table),
                Self::Small(codes) => rows.for_each_within(range.clone(), |row| {
                    table[usize::from(codes[row])] += 1;
                }),
                _ => {
                    for row in rows.iter_within(range.clone()) {
                        match table.get_mut(self.code(row)) {
                            Some(count) => *count += 1,
                            None => return false,
                        }
                    }
                }
            }
        }
        true
    }

    /// Counts where some rows have a value; says whether all codes are known.
    fn count_ranks<'t>(
        &self,
        presence: &Presence,
        rows: &Rows,
        ranges: &[Range<usize>],
        tables: impl Iterator<Item = &'t mut [u32]>,
    ) -> bool {
        let mut tables: Vec<&mut [u32]> = tables.collect();
        let (mut range, mut is_known) = (0, true);
        presence.for_each(rows, |row, rank| {
            while ranges.get(range).is_some_and(|range| range.end <= row) {
                range += 1;
            }
            if ranges.get(range).is_some_and(|range| range.start <= row) {
                match tables[range].get_mut(self.code(rank)) {
                    Some(count) => *count += 1,
                    None => is_known = false,
                }
            }
        });
        is_known
    }
}

/// Counts bytes in four tables, because the same byte often comes several times in a row. The bytes are below the length
/// of the table.
fn count_bytes(bytes: &[u8], table: &mut [u32]) {
    let mut tables = [[0u32; 256]; 4];
    let chunks = bytes.chunks_exact(4);
    chunks.remainder().iter().for_each(|byte| tables[0][usize::from(*byte)] += 1);
    for chunk in chunks {
        for (table, byte) in tables.iter_mut().zip(chunk) {
            table[usize::from(*byte)] += 1;
        }
    }
    for (code, count) in table.iter_mut().enumerate() {
        *count += tables.iter().map(|table| table[code]).sum::<u32>();
    }
}

impl Groups {
    fn add(&mut self, value: Value) -> u32 {
        self.values.push(value);
        self.values.len() as u32 - 1
    }

    fn add_times(&mut self, times: &[sawyer_model::Timestamp]) {
        let mut known = HashMap::new();
        for row in self.missing.iter() {
            let values = &mut self.values;
            let value = *known.entry(times[row]).or_insert_with(|| {
                values.push(Value::Timestamp(times[row]));
                values.len() as u32 - 1
            });
            self.rows.push((row as u32, value));
        }
        self.missing = Rows::none(self.missing.len());
    }

    fn add_column(
        &mut self,
        segment: &Segment,
        block: usize,
        entry: &ColumnEntry,
        column: &Column,
    ) -> Result<()> {
        let data = segment.data(block, entry);
        let mut cells: [Vec<Cell>; kind::COUNT as usize] = Default::default();
        column.presence.for_each(&self.missing, |row, rank| {
            let (kind, place) = column.values.kind_of(rank);
            cells[usize::from(kind)].push(Cell { place: place as u32, row: row as u32 });
        });
        for kind in (0..kind::COUNT).filter(|kind| !cells[usize::from(*kind)].is_empty()) {
            let cells = &cells[usize::from(kind)];
            if kind == kind::STR {
                self.add_strings(column, cells, data)?;
            } else {
                let mut cursor = Cursor::default();
                let mut known = Known::default();
                column.values.for_each_of(
                    kind,
                    &column.head,
                    cells,
                    data,
                    &mut cursor,
                    &mut |cell, value| {
                        self.add_value(&mut known, cell.row, value);
                    },
                )?;
            }
            cells.iter().for_each(|cell| self.missing.remove(cell.row as usize));
        }
        Ok(())
    }

    fn add_strings(&mut self, column: &Column, cells: &[Cell], data: Data<'_>) -> Result<()> {
        let texts = column.values.strs();
        if let Some(codes) = texts.codes(&column.head, cells) {
            let mut by_code: Vec<Option<u32>> = vec![None; texts.entry_count()];
            self.rows.reserve(cells.len());
            for (cell, code) in cells.iter().zip(codes) {
                let known = usize::try_from(code).ok().and_then(|code| by_code.get(code).copied());
                let value = match known {
                    Some(Some(value)) => value,
                    _ => {
                        let value = self.add(Value::from(texts.entry(code, data)?));
                        by_code[code as usize] = Some(value);
                        value
                    }
                };
                self.rows.push((cell.row, value));
            }
            return Ok(());
        }
        let mut by_text: HashMap<Box<str>, u32> = HashMap::new();
        texts.for_each(&column.head, cells, data, &mut |text, cell| {
            let value = by_text.get(text).copied().unwrap_or_else(|| {
                let value = self.add(Value::from(text));
                by_text.insert(text.into(), value);
                value
            });
            self.rows.push((cell.row, value));
        })
    }

    /// Adds values that are made of whole records.
    fn add_made(&mut self, segment: &Segment, block: usize, field: &str) -> Result<()> {
        let rows: Vec<usize> = self.missing.iter().collect();
        let mut batch = sawyer_model::Batch::new();
        segment.fetch_rows(block, &self.missing, &mut batch)?;
        let mut known = Known::default();
        for (row, record) in rows.into_iter().zip(batch.iter()) {
            if let Some((_, value)) = record.own_fields().find(|(name, _)| *name == field) {
                self.add_value(&mut known, row as u32, value);
                self.missing.remove(row);
            }
        }
        Ok(())
    }

    /// Puts a row under a value, or under each different element of a list.
    fn add_value(&mut self, known: &mut Known, row: u32, value: ValueRef<'_>) {
        let ValueRef::List(list) = value else {
            let value = known.number(self, value);
            return self.rows.push((row, value));
        };
        for element in list.iter() {
            let value = known.number(self, element);
            if known.is_new(value, row) {
                self.rows.push((row, value));
            }
        }
    }

    fn add_streams(&mut self, segment: &Segment, columns: &mut BlockColumns<'_>, field: &str) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let mut known = Known::default();
        for (stream, rows) in columns.runs()?.iter() {
            let Some(value) = segment.streams()[stream].get(field) else { continue };
            for row in rows.filter(|row| self.missing.contains(*row)).collect::<Vec<_>>() {
                self.add_value(&mut known, row as u32, value.as_ref());
                self.missing.remove(row);
            }
        }
        Ok(())
    }
}

/// Values that have a number already, by something that is equal for equal values only.
#[derive(Default)]
struct Known {
    numbers: HashMap<(u8, u64), u32>,
    texts: HashMap<(u8, Box<str>), u32>,
    /// For each value the row with a list that had it last.
    last_rows: HashMap<u32, u32>,
}

impl Known {
    /// Whether a row does not have this value yet. Rows come one after another.
    fn is_new(&mut self, value: u32, row: u32) -> bool {
        self.last_rows.insert(value, row) != Some(row)
    }

    fn number(&mut self, groups: &mut Groups, value: ValueRef<'_>) -> u32 {
        let mut by_bits = |kind: u8, bits: u64| {
            *self.numbers.entry((kind, bits)).or_insert_with(|| groups.add(value.to_value()))
        };
        match value {
            ValueRef::Null | ValueRef::List(_) => by_bits(kind::NULL, 0),
            ValueRef::Bool(value) => by_bits(kind::BOOL, u64::from(value)),
            ValueRef::Int(value) => by_bits(kind::INT, value as u64),
            ValueRef::Float(value) => by_bits(kind::FLOAT, value.to_bits()),
            ValueRef::Timestamp(time) => by_bits(kind::TIMESTAMP, time.nanos() as u64),
            ValueRef::Str(text) => self.text(groups, kind::STR, text, value),
            ValueRef::Json(text) => self.text(groups, kind::JSON, text, value),
        }
    }

    fn text(&mut self, groups: &mut Groups, kind: u8, text: &str, value: ValueRef<'_>) -> u32 {
        *self.texts.entry((kind, text.into())).or_insert_with(|| groups.add(value.to_value()))
    }
}
