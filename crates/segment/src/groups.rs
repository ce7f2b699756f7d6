//! Which values a field has in rows of a block, and which rows have each.
//!
//! Owns: [`Segment::groups`], what counts by value are made of. Entries of dictionaries and fields of streams are
//! told apart by their numbers, so that no row is compared.
//! Invariant: a row is either missing, or stands under each of its values once.

use hashbrown::HashMap;
use sawyer_model::{Error, Value, ValueRef, names};

use crate::bits::Rows;
use crate::column::{Column, Cursor, Presence, kind};
use crate::error::{Damage, Result};
use crate::layout::ColumnEntry;
use crate::scan::BlockColumns;
use crate::segment::Segment;
use crate::source::Data;
use crate::text::Cell;

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

/// Which of a few values each row of a block has.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// The values, each once.
    pub values: Vec<Value>,
    /// For each row the place of its value, or [`Codes::MISSING`].
    pub codes: Vec<u32>,
}

impl Codes {
    /// The row does not have the field.
    pub const MISSING: u32 = u32::MAX;
}

impl Segment {
    /// The values of a field in all rows of a block, if the block is made of a few: strings in the own fields of rows,
    /// with no stream that has the field where a row does not. The same as [`Segment::groups`] says, at less cost.
    ///
    /// # Errors
    /// As [`Segment::groups`].
    ///
    /// # Panics
    /// If there is no block with this number.
    pub fn codes(&self, block: usize, field: &str) -> Result<Option<Codes>, Error> {
        Ok(self.read_codes(block, field)?)
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

    fn read_codes(&self, block: usize, field: &str) -> Result<Option<Codes>> {
        if field == names::TIMESTAMP || field == names::OBSERVED {
            return Ok(None);
        }
        let mut columns = BlockColumns::new(self, block);
        let Some(entry) = columns.own(field)? else { return Ok(None) };
        let column = columns.column(entry)?;
        if entry.mask != 1 << kind::STR {
            return Ok(None);
        }
        let texts = column.values.strs();
        let Some(own) = texts.all_codes(&column.head) else { return Ok(None) };
        let data = self.data(block, entry);
        let entries = 0..texts.entry_count() as i64;
        let values =
            entries.map(|code| Ok(Value::from(texts.entry(code, data)?))).collect::<Result<Vec<_>>>()?;
        let known = |code: &i64| u32::try_from(*code).ok().filter(|code| (*code as usize) < values.len());
        let damaged = || data.place.damaged()(Damage::expected("the code of an entry"));
        let own = own.iter().map(known).collect::<Option<Vec<u32>>>().ok_or_else(damaged)?;
        if matches!(column.presence, Presence::All { .. }) {
            return Ok(Some(Codes { values, codes: own }));
        }
        let streams = self.footer.blocks[block].streams.clone();
        if self.streams()[streams].iter().any(|stream| stream.get(field).is_some()) {
            return Ok(None);
        }
        let rows = self.footer.blocks[block].rows;
        let mut codes = vec![Codes::MISSING; rows];
        column.presence.for_each(&Rows::all(rows), |row, rank| codes[row] = own[rank]);
        Ok(Some(Codes { values, codes }))
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
