//! Making records of rows.
//!
//! Owns: [`Segment::fetch`]. Invariant: what is made of a block is no larger than the block said when it was
//! written, so that damaged counts cannot fill the memory.

use std::sync::Arc;

use sawyer_model::limits::BATCH_TEXT_BYTES_MAX;
use sawyer_model::{Batch, Error, NameId, RecordHead, RecordRef, SeqRange, Timestamp, ValueRef};

use super::Segment;
use super::parts::Window;
use crate::bits::Rows;
use crate::cache::Kept;
use crate::column::{Column, Cursor};
use crate::encode::{ROW_BYTES, raw_bytes, text_bytes};
use crate::error::{Damage, Place, Result, SegmentError};
use crate::heads::StreamRuns;
use crate::layout::ColumnEntry;
use crate::made::{OwnFields, Values, or_of_stream};
use crate::shapes::Home;
use crate::source::Data;

/// A column of which rows are wanted.
struct Wanted<'a> {
    entry: &'a ColumnEntry,
    data: Data<'a>,
    column: Arc<Kept<Column>>,
    name: NameId,
    cursor: Cursor,
    /// If its texts are made of other fields, the names of these in the batch.
    made_of: Vec<Option<NameId>>,
}

/// The fields of a record of which a text is made.
struct Parts<'a> {
    own: OwnFields<'a>,
    names: &'a [Box<str>],
    ids: &'a [Option<NameId>],
}

impl Values for Parts<'_> {
    fn time(&self) -> Timestamp {
        self.own.record.timestamp()
    }

    fn value(&self, name: usize) -> Option<ValueRef<'_>> {
        let own = self.ids[name].and_then(|id| self.own.get(id));
        or_of_stream(own, self.own.record.stream(), &self.names[name])
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
    sources: Vec<u32>,
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
        let info = &self.footer.blocks[block];
        assert_eq!(rows.len(), info.rows, "a set of rows of this block");
        if rows.is_empty() {
            return Ok(());
        }
        Ok(self.fetch_rows(block, rows, out)?)
    }

    pub(crate) fn fetch_rows(&self, block: usize, rows: &Rows, out: &mut Batch) -> Result<()> {
        // Who reads all rows, for merging or to hand them on, hardly comes again soon.
        let keep = rows.count() < rows.len();
        let heads = self.heads(block, rows, keep)?;
        let mut columns = Vec::new();
        let cells = self.cells(block, rows, out, &mut columns)?;
        for column in &mut columns {
            let names = column.column.values.made().map_or(&[][..], |made| &made.templates.names);
            // Names that no column has are fields of streams.
            column.made_of = names.iter().map(|name| out.find_name(name)).collect();
        }
        self.push_rows(block, rows, &heads, &mut columns, &cells, out)
    }

    fn heads(&self, block: usize, rows: &Rows, keep: bool) -> Result<Heads> {
        let timestamps = self.pick_timestamps(block, rows, keep)?;
        Ok(Heads {
            streams: self.read_streams(block, keep)?,
            observed: self.pick_observed(block, rows, &timestamps, keep)?,
            sources: self.pick_sources(block, rows, keep)?,
            ranges: self.pick_ranges(block, rows, keep)?,
            timestamps,
        })
    }

    /// Reads the heads of the columns that any of the rows has.
    fn cells<'a>(
        &'a self,
        block: usize,
        rows: &Rows,
        out: &mut Batch,
        columns: &mut Vec<Wanted<'a>>,
    ) -> Result<Cells> {
        let keep = rows.count() < rows.len();
        let mut window = Window::default();
        let mut slots = vec![0u32; rows.len()];
        for (slot, row) in rows.iter().enumerate() {
            slots[row] = slot as u32;
        }
        let mut found: Vec<(u32, u32, u32)> = Vec::new();
        for entry in &self.directory(block)?.columns {
            let column = self.column(block, entry, &mut window, keep)?;
            let before = found.len();
            let number = columns.len() as u32;
            column.presence.for_each(rows, |row, rank| found.push((slots[row], number, rank as u32)));
            if found.len() > before {
                let name = out.intern(self.name(entry.name));
                let (cursor, made_of) = (Cursor::default(), Vec::new());
                let data = self.data(block, entry);
                let home = data.home.map(|home| Home { keep, ..home });
                let data = Data { home, ..data };
                columns.push(Wanted { entry, data, column, name, cursor, made_of });
            }
        }
        Ok(Cells::of(&found, rows.count()))
    }

    fn push_rows(
        &self,
        block: usize,
        rows: &Rows,
        heads: &Heads,
        columns: &mut [Wanted<'_>],
        cells: &Cells,
        out: &mut Batch,
    ) -> Result<()> {
        let mut bounds = Bounds {
            place: Place::in_block("block", block),
            raw: 0,
            raw_max: self.footer.blocks[block].raw_bytes,
            text: 0,
            room: (BATCH_TEXT_BYTES_MAX - out.text_bytes()) as u64,
        };
        let mut last_stream = None;
        let mut made = String::new();
        for (slot, row) in rows.iter().enumerate() {
            let stream = heads.streams.stream_of(row);
            let stream = match last_stream {
                Some((known, number)) if known == stream => number,
                _ => out.add_stream(&self.footer.streams[stream]),
            };
            last_stream = Some((heads.streams.stream_of(row), stream));
            let mut writer = out.begin(heads.of(slot, &self.footer.sources), stream);
            bounds.raw += ROW_BYTES;
            for (column, rank) in cells.of_row(slot) {
                let Wanted { data, column, name, cursor, .. } = &mut columns[*column as usize];
                if column.values.made().is_some() {
                    continue;
                }
                let value = column.values.get(&column.head, *rank as usize, *data, cursor)?;
                bounds.count(value)?;
                writer.field_by_id(*name, value);
            }
            let row = out.len() - 1;
            for (column, rank) in cells.of_row(slot) {
                let column = &mut columns[*column as usize];
                if column.column.values.made().is_none() {
                    continue;
                }
                made.clear();
                Self::make(column, *rank as usize, out.get(row), &mut made)?;
                bounds.count(ValueRef::Str(&made))?;
                out.edit(row).extend([(self.name(column.entry.name), ValueRef::Str(&made))]);
            }
        }
        Ok(())
    }

    /// Makes a text of the other fields of its record.
    fn make(wanted: &mut Wanted<'_>, rank: usize, record: RecordRef<'_>, out: &mut String) -> Result<()> {
        let Wanted { data, column, cursor, made_of, .. } = wanted;
        let made = column.values.made().expect("it was asked before");
        let parts = Parts { own: OwnFields::of(record), names: &made.templates.names, ids: made_of };
        made.make(&column.head, rank, *data, cursor.strs(), &parts, out)
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
        self.raw += raw_bytes(value);
        if self.raw > self.raw_max {
            let damage = Damage::expected("no more bytes than the block was made of");
            return Err(self.place.damaged()(damage));
        }
        self.text += text_bytes(value);
        if self.text > self.room {
            return Err(SegmentError::Invalid("a batch cannot hold these records"));
        }
        Ok(())
    }
}

impl Heads {
    /// Of the how-manieth of the rows.
    fn of(&self, slot: usize, sources: &[sawyer_model::SourceId]) -> RecordHead {
        RecordHead {
            timestamp: self.timestamps[slot],
            observed: self.observed[slot],
            source: sources[self.sources[slot] as usize],
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
