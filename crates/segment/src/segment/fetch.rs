//! Making records of rows.
//!
//! Owns: [`Segment::fetch`]. Invariant: what is made of a block is no larger than the block said when it was
//! written, so that damaged counts cannot fill the memory.

use std::sync::Arc;

use sawyer_model::batch::TextPlace;
use sawyer_model::limits::BATCH_TEXT_BYTES_MAX;
use sawyer_model::{
    Batch, Error, NameId, RecordHead, RecordRef, RecordWriter, SeqRange, SourceId, Timestamp, ValueRef,
};
use sawyer_query::search::Position;

use super::Segment;
use super::parts::Window;
use crate::bits::Rows;
use crate::cache::Kept;
use crate::column::{Column, Cursor, kind};
use crate::encode::{ROW_BYTES, raw_bytes, text_bytes};
use crate::error::{Damage, Place, Result, SegmentError};
use crate::heads::StreamRuns;
use crate::layout::ColumnEntry;
use crate::made::{Values, or_of_stream};
use crate::shapes::Home;
use crate::source::Data;
use crate::text::Cell;

/// A column of which rows are wanted.
struct Wanted<'a> {
    entry: &'a ColumnEntry,
    data: Data<'a>,
    column: Arc<Kept<Column>>,
    name: NameId,
    cursor: Cursor,
    entries: Option<Entries>,
    /// If its texts are made of other fields, the names of these in the batch.
    made_of: Vec<Option<NameId>>,
}

/// The texts of a column that is made of entries: each is put into the batch once, however many rows have it.
struct Entries {
    /// For each wanted row that has the column the number of its entry.
    codes: std::vec::IntoIter<i64>,
    /// By number, once the entry is in the batch: where, and what it counts.
    places: Vec<Option<(TextPlace, u64, u64)>>,
}

/// With fewer rows the texts of entries are put in for each of them.
const ENTRIES_ROWS_MIN: usize = 16;

/// The fields of a record of which a text is made.
struct Parts<'a> {
    record: RecordRef<'a>,
    places: &'a FieldPlaces,
    names: &'a [Box<str>],
    ids: &'a [Option<NameId>],
}

/// Where the fields of the record stand that was added last, by the numbers of their names.
#[derive(Default)]
struct FieldPlaces {
    /// The number of the record, and the field's place in it.
    places: Vec<(u32, u32)>,
    record: u32,
}

impl FieldPlaces {
    /// Forgets the fields of the record before.
    fn begin(&mut self, name_count: usize) {
        self.record += 1;
        self.places.resize(name_count, (0, 0));
    }

    fn set(&mut self, name: NameId, place: u32) {
        self.places[name.index()] = (self.record, place);
    }

    fn get(&self, name: NameId) -> Option<usize> {
        let (record, place) = *self.places.get(name.index())?;
        (record == self.record).then_some(place as usize)
    }
}

impl Values for Parts<'_> {
    fn time(&self) -> Timestamp {
        self.record.timestamp()
    }

    fn value(&self, name: usize) -> Option<ValueRef<'_>> {
        let place = self.ids[name].and_then(|id| self.places.get(id));
        let own = place.and_then(|place| self.record.own_fields_by_id().nth(place));
        or_of_stream(own.map(|(_, value)| value), self.record.stream(), &self.names[name])
    }
}

/// For each wanted row the columns it has (as places in a list) and the ranks of its values in them.
struct Cells {
    /// Where the cells of each row end.
    ends: Vec<usize>,
    cells: Vec<(u32, u32)>,
}

/// What the wanted rows are before their fields.
struct Heads {
    streams: StreamRuns,
    timestamps: Vec<Timestamp>,
    observed: Vec<Timestamp>,
    sources: Vec<SourceId>,
    ranges: Vec<SeqRange>,
}

impl Segment {
    /// Adds records of these rows to a batch, in the order of the rows. After an error the batch may have some of
    /// them.
    ///
    /// # Errors
    /// `Corrupt` if the block is damaged, `Retry` if it cannot be read, `Invalid` if the batch cannot hold them.
    ///
    /// # Panics
    /// If there is no block with this number, or `rows` is not a set of its rows.
    pub fn fetch(&self, block: usize, rows: &Rows, out: &mut Batch) -> Result<(), Error> {
        Ok(self.checked_fetch(block, rows, None, &[], BATCH_TEXT_BYTES_MAX, out)?)
    }

    /// As [`Segment::fetch`], without the own fields of these names, and as long as the batch has so many bytes of texts at
    /// most. Says whether there was room; without, the batch may have some of the records. Where they lie among all records
    /// may be known already, from [`Segment::positions`], in the order of the rows.
    ///
    /// # Errors
    /// As [`Segment::fetch`], except for the room.
    ///
    /// # Panics
    /// As [`Segment::fetch`], or if there are not as many positions.
    pub fn fetch_within(
        &self,
        block: usize,
        rows: &Rows,
        positions: Option<&[Position]>,
        left_out: &[&str],
        text_bytes_max: usize,
        out: &mut Batch,
    ) -> Result<bool, Error> {
        assert!(
            positions.is_none_or(|positions| positions.len() == rows.count()),
            "a position for each of the rows"
        );
        match self.checked_fetch(block, rows, positions, left_out, text_bytes_max, out) {
            Ok(()) => Ok(true),
            Err(SegmentError::Full) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn checked_fetch(
        &self,
        block: usize,
        rows: &Rows,
        positions: Option<&[Position]>,
        left_out: &[&str],
        text_bytes_max: usize,
        out: &mut Batch,
    ) -> Result<()> {
        let info = &self.footer.blocks[block];
        assert_eq!(rows.len(), info.rows, "a set of rows of this block");
        if rows.is_empty() {
            return Ok(());
        }
        self.fetch_fields(block, rows, positions, left_out, text_bytes_max, out)
    }

    pub(crate) fn fetch_rows(&self, block: usize, rows: &Rows, out: &mut Batch) -> Result<()> {
        self.fetch_fields(block, rows, None, &[], BATCH_TEXT_BYTES_MAX, out)
    }

    fn fetch_fields(
        &self,
        block: usize,
        rows: &Rows,
        positions: Option<&[Position]>,
        left_out: &[&str],
        text_bytes_max: usize,
        out: &mut Batch,
    ) -> Result<()> {
        // Who reads all rows, for merging or to hand them on, hardly comes again soon.
        let keep = rows.count() < rows.len();
        let heads = self.heads(block, rows, positions, keep)?;
        let mut columns = Vec::new();
        let cells = self.cells(block, rows, left_out, out, &mut columns)?;
        for column in &mut columns {
            let names = column.column.values.made().map_or(&[][..], |made| &made.templates.names);
            // Names that no column has are fields of streams.
            column.made_of = names.iter().map(|name| out.find_name(name)).collect();
        }
        let text_bytes_max = text_bytes_max.min(BATCH_TEXT_BYTES_MAX);
        let bounds = Bounds {
            place: Place::in_block("block", block),
            raw: 0,
            raw_max: self.footer.blocks[block].raw_bytes,
            text: 0,
            room: text_bytes_max.saturating_sub(out.text_bytes()) as u64,
        };
        self.push_rows(rows, &heads, &mut columns, &cells, bounds, out)
    }

    fn heads(&self, block: usize, rows: &Rows, positions: Option<&[Position]>, keep: bool) -> Result<Heads> {
        let (timestamps, sources) = match positions {
            Some(positions) => positions.iter().map(|position| (position.timestamp, position.source)).unzip(),
            None => {
                let sources = self.pick_sources(block, rows, keep)?;
                let source = |number: u32| self.footer.sources[number as usize];
                (self.pick_timestamps(block, rows, keep)?, sources.into_iter().map(source).collect())
            }
        };
        Ok(Heads {
            streams: self.read_streams(block, keep)?,
            observed: self.pick_observed(block, rows, &timestamps, keep)?,
            ranges: self.pick_ranges(block, rows, keep)?,
            timestamps,
            sources,
        })
    }

    /// Reads the heads of the columns that any of the rows has.
    fn cells<'a>(
        &'a self,
        block: usize,
        rows: &Rows,
        left_out: &[&str],
        out: &mut Batch,
        columns: &mut Vec<Wanted<'a>>,
    ) -> Result<Cells> {
        let keep = rows.count() < rows.len();
        let mut window = Window::default();
        let wanted: Vec<u32> = rows.iter().map(|row| row as u32).collect();
        let mut found: Vec<(u32, u32, u32)> = Vec::new();
        for entry in &self.directory(block)?.columns {
            if left_out.contains(&self.name(entry.name)) {
                continue;
            }
            let column = self.column(block, entry, &mut window, keep)?;
            let before = found.len();
            let number = columns.len() as u32;
            let mut add = |slot: usize, rank: usize| found.push((slot as u32, number, rank as u32));
            column.presence.for_each_listed(&wanted, &mut add);
            if found.len() > before {
                let name = out.intern(self.name(entry.name));
                let (cursor, made_of) = (Cursor::default(), Vec::new());
                let data = self.data(block, entry);
                let home = data.home.map(|home| Home { keep, ..home });
                let data = Data { home, ..data };
                let entries = Entries::of(entry, &column, &found[before..]);
                columns.push(Wanted { entry, data, column, name, cursor, entries, made_of });
            }
        }
        Ok(Cells::of(&found, wanted.len()))
    }

    fn push_rows(
        &self,
        rows: &Rows,
        heads: &Heads,
        columns: &mut [Wanted<'_>],
        cells: &Cells,
        mut bounds: Bounds,
        out: &mut Batch,
    ) -> Result<()> {
        let mut last_stream = None;
        let mut made = String::new();
        let mut places = FieldPlaces::default();
        let name_count = out.name_count();
        let has_made = columns.iter().any(|column| column.column.values.made().is_some());
        for (slot, row) in rows.iter().enumerate() {
            let stream = heads.streams.stream_of(row);
            let stream = match last_stream {
                Some((known, number)) if known == stream => number,
                _ => out.add_stream(&self.footer.streams[stream]),
            };
            last_stream = Some((heads.streams.stream_of(row), stream));
            let mut writer = out.begin(heads.of(slot), stream);
            bounds.raw += ROW_BYTES;
            if has_made {
                places.begin(name_count);
            }
            let mut place = 0;
            for (column, rank) in cells.of_row(slot) {
                let column = &mut columns[*column as usize];
                if has_made {
                    if column.column.values.made().is_some() {
                        continue;
                    }
                    places.set(column.name, place);
                    place += 1;
                }
                column.put(*rank as usize, &mut bounds, &mut writer)?;
            }
            if !has_made {
                continue;
            }
            let row = out.len() - 1;
            for (column, rank) in cells.of_row(slot) {
                let column = &mut columns[*column as usize];
                if column.column.values.made().is_none() {
                    continue;
                }
                made.clear();
                Self::make(column, *rank as usize, out.get(row), &places, &mut made)?;
                bounds.count(ValueRef::Str(&made))?;
                out.edit(row).extend([(self.name(column.entry.name), ValueRef::Str(&made))]);
            }
        }
        Ok(())
    }

    /// Makes a text of the other fields of its record.
    fn make(
        wanted: &mut Wanted<'_>,
        rank: usize,
        record: RecordRef<'_>,
        places: &FieldPlaces,
        out: &mut String,
    ) -> Result<()> {
        let Wanted { data, column, cursor, made_of, .. } = wanted;
        let made = column.values.made().expect("it was asked before");
        let parts = Parts { record, places, names: &made.templates.names, ids: made_of };
        made.make(&column.head, rank, *data, cursor.strs(), &parts, out)
    }
}

impl Wanted<'_> {
    /// Adds the value of this rank to a record.
    fn put(&mut self, rank: usize, bounds: &mut Bounds, writer: &mut RecordWriter<'_>) -> Result<()> {
        let Self { data, column, name, cursor, entries, .. } = self;
        let Some(Entries { codes, places }) = entries else {
            let value = column.values.get(&column.head, rank, *data, cursor)?;
            bounds.count(value)?;
            writer.field_by_id(*name, value);
            return Ok(());
        };
        let code = codes.next().unwrap_or(-1);
        let known = usize::try_from(code).ok().and_then(|code| places.get_mut(code));
        let place = match known {
            Some(Some((place, raw, text))) => {
                bounds.add(*raw, *text)?;
                *place
            }
            known => {
                let entry = column.values.strs().entry(code, *data)?;
                let value = ValueRef::Str(entry);
                bounds.count(value)?;
                let place = writer.text(entry);
                if let Some(known) = known {
                    *known = Some((place, raw_bytes(value), text_bytes(value)));
                }
                place
            }
        };
        writer.at(*name, place);
        Ok(())
    }
}

impl Entries {
    /// Of a column of strings that is made of entries, for the cells that were found of it.
    fn of(entry: &ColumnEntry, column: &Column, found: &[(u32, u32, u32)]) -> Option<Self> {
        if entry.mask != 1 << kind::STR || found.len() < ENTRIES_ROWS_MIN {
            return None;
        }
        let texts = column.values.strs();
        let cells: Vec<Cell> = found.iter().map(|(row, _, rank)| Cell { place: *rank, row: *row }).collect();
        let codes = texts.codes(&column.head, &cells)?;
        Some(Self { codes: codes.into_iter(), places: vec![None; texts.entry_count()] })
    }
}

/// How much may be made of a block.
struct Bounds {
    place: Place,
    raw: u64,
    raw_max: u64,
    text: u64,
    room: u64,
}

impl Bounds {
    fn count(&mut self, value: ValueRef<'_>) -> Result<()> {
        self.add(raw_bytes(value), text_bytes(value))
    }

    /// Counts so many bytes before encoding, and of text.
    fn add(&mut self, raw: u64, text: u64) -> Result<()> {
        self.raw += raw;
        if self.raw > self.raw_max {
            let damage = Damage::expected("no more bytes than the block was made of");
            return Err(self.place.damaged()(damage));
        }
        self.text += text;
        if self.text > self.room {
            return Err(SegmentError::Full);
        }
        Ok(())
    }
}

impl Heads {
    /// Of the how-manieth of the rows.
    fn of(&self, slot: usize) -> RecordHead {
        RecordHead {
            timestamp: self.timestamps[slot],
            observed: self.observed[slot],
            source: self.sources[slot],
            range: self.ranges[slot],
        }
    }
}

impl Cells {
    /// Sorts what was found by column into rows.
    fn of(found: &[(u32, u32, u32)], row_count: usize) -> Self {
        let mut ends = vec![0usize; row_count];
        for (slot, _, _) in found {
            ends[*slot as usize] += 1;
        }
        let mut end = 0;
        for row_end in &mut ends {
            // For now where the row starts; filling moves it to where it ends.
            let count = *row_end;
            *row_end = end;
            end += count;
        }
        let mut cells = vec![(0, 0); found.len()];
        for (slot, column, rank) in found {
            let at = &mut ends[*slot as usize];
            cells[*at] = (*column, *rank);
            *at += 1;
        }
        Self { ends, cells }
    }

    fn of_row(&self, slot: usize) -> &[(u32, u32)] {
        let start = if slot == 0 { 0 } else { self.ends[slot - 1] };
        &self.cells[start..self.ends[slot]]
    }
}
