//! Rows as lines of JSON, without records being made of them.
//!
//! Owns: [`Segment::lines`]: columns are read as a whole, what an entry or a stream looks like is written once, and a
//! row is then put together of pieces.
//! Does not own: how values look (`sawyer_codec::json_out`), lines as written (`made`).
//! Invariant: a line is what `json_out` writes of the record that [`Segment::fetch`] gives; what is made of a block is no
//! larger than the block said when it was written, but for escapes.

mod made;

use std::ops::Range;
use std::sync::Arc;

use sawyer_codec::json_out::{self, HeadWriter, Original};
use sawyer_model::{Batch, Error, RecordId, Stream, Timestamp, ValueRef};
use sawyer_query::search::Position;

use self::made::MadeLines;
use super::Segment;
use super::parts::Window;
use crate::bits::Rows;
use crate::cache::Kept;
use crate::column::{Column, Picked};
use crate::encode::ROW_BYTES;
use crate::error::{Damage, Place, Result};
use crate::made::Form;
use crate::shapes::Home;
use crate::source::Data;

/// Lines of JSON, each with its end of line.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// A column of which rows are wanted.
struct Field<'a> {
    name: &'a str,
    /// `,"name":`
    key: Vec<u8>,
    column: Arc<Kept<Column>>,
    data: Data<'a>,
    /// Which of the wanted rows have it; all if there is none.
    has: Option<Rows>,
    /// How many of them were written.
    next: usize,
    /// None for texts that are made of other fields.
    picked: Option<Picked>,
    /// The places of such texts.
    places: Vec<u32>,
    /// By the number of an entry what is known of it, once it was written.
    entries: Vec<Entry>,
    /// Entries with their keys.
    written: Vec<u8>,
    /// The value that was written last.
    last: Last,
}

/// An entry as it was written.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Where it stands among those that were written, with the key; nowhere if it was not.
    start: usize,
    end: usize,
    /// How long it is as it is.
    len: usize,
}

/// A value that was just written, and where, if it may stand in a line as written in the same way: a string that stands in
/// JSON as it is (without its quotes), a number.
#[derive(Clone, Copy, Default)]
enum Last {
    #[default]
    Other,
    Text(usize, usize),
    Int(usize, usize),
    Float(usize, usize),
}

/// About how long a value is, for making room.
const VALUE_BYTES: usize = 16;

/// The fields of a stream.
struct StreamLine {
    number: usize,
    /// All of them, with their keys.
    text: Vec<u8>,
    /// Those that a column has too: which of the fields, and where they stand in the text, in order.
    of_columns: Vec<(usize, Range<usize>)>,
}

impl Lines {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A line, with its end.
    ///
    /// # Panics
    /// If there are not as many.
    #[must_use]
    pub fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    /// Adds records of a batch, those with these numbers; without lines as they were written unless these are wanted.
    pub fn add(&mut self, batch: &Batch, records: impl Iterator<Item = usize>, original: bool) {
        let original = if original { Original::Always } else { Original::Never };
        json_out::write_each(batch, records, original, &mut self.text, &mut |text| {
            text.push(b'\n');
            self.ends.push(text.len());
        });
    }

    /// Forgets all of them, and keeps their room.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// How long they are together, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// How much memory they take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

impl Segment {
    /// Adds these rows, in their order, as lines of JSON; without lines as they were written unless these are wanted. Where
    /// they lie among all records may be known already, from [`Segment::positions`].
    ///
    /// # Errors
    /// `Corrupt` if the block is damaged, `Retry` if it cannot be read. Then nothing is added.
    ///
    /// # Panics
    /// If there is no block with this number, `rows` is not a set of its rows, or there are not as many positions.
    pub fn lines(
        &self,
        block: usize,
        rows: &Rows,
        positions: Option<&[Position]>,
        original: bool,
        out: &mut Lines,
    ) -> Result<(), Error> {
        assert_eq!(rows.len(), self.footer.blocks[block].rows, "a set of rows of this block");
        assert!(
            positions.is_none_or(|positions| positions.len() == rows.count()),
            "a position for each of the rows"
        );
        if rows.is_empty() {
            return Ok(());
        }
        let before = out.len();
        let put = self.put_lines(block, rows, positions, original, out);
        if put.is_err() {
            out.truncate(before);
        }
        Ok(put?)
    }

    fn put_lines(
        &self,
        block: usize,
        rows: &Rows,
        positions: Option<&[Position]>,
        original: bool,
        out: &mut Lines,
    ) -> Result<()> {
        let keep = rows.count() < rows.len();
        let known = if positions.is_none() { Some(self.read_positions(block, rows, keep)?) } else { None };
        let positions = positions.or(known.as_deref()).expect("one of the two");
        let times: Vec<Timestamp> = positions.iter().map(|position| position.timestamp).collect();
        let observed = self.pick_observed(block, rows, &times, keep)?;
        let streams = self.read_streams(block, keep)?;
        let mut raw = rows.count() as u64 * ROW_BYTES;
        let mut fields = self.fields_of(block, rows, original, keep, &mut raw)?;
        let mut made = MadeLines::take_of(&mut fields);
        let (mut writer, mut stream) = (HeadWriter::default(), None);
        for (slot, row) in rows.iter().enumerate() {
            let text = &mut out.text;
            let Position { timestamp, source, start } = positions[slot];
            writer.write(RecordId { source, start }, timestamp, observed[slot], text);
            for field in fields.iter_mut().filter(|field| field.has(slot)) {
                raw += field.put(text)?;
            }
            let stream = self.stream_line(streams.stream_of(row), original, &fields, &made, &mut stream);
            let of = &self.footer.streams[stream.number];
            for made in made.iter_mut().filter(|made| made.field.has(slot)) {
                raw += made.put(slot, timestamp, &fields, of, text)?;
            }
            self.check_raw(block, raw)?;
            stream.put(
                |field| fields.iter().chain(made.iter().map(|made| &made.field)).nth(field),
                slot,
                text,
            );
            text.extend_from_slice(b"}\n");
            out.ends.push(text.len());
        }
        Ok(())
    }

    fn check_raw(&self, block: usize, raw: u64) -> Result<()> {
        let damage = || Damage::expected("no more bytes than the block was made of");
        if raw <= self.footer.blocks[block].raw_bytes {
            return Ok(());
        }
        Err(Place::in_block("block", block).damaged()(damage()))
    }

    /// Reads the columns that any of the rows has.
    fn fields_of(
        &self,
        block: usize,
        rows: &Rows,
        original: bool,
        keep: bool,
        raw: &mut u64,
    ) -> Result<Vec<Field<'_>>> {
        let raw_max = self.footer.blocks[block].raw_bytes;
        let mut window = Window::default();
        let mut fields = Vec::new();
        for entry in &self.directory(block)?.columns {
            let name = self.name(entry.name);
            if !original && json_out::is_original(name) {
                continue;
            }
            let column = self.column(block, entry, &mut window, keep)?;
            let (has, places) = of_rows(&column, rows);
            if places.is_empty() {
                continue;
            }
            let data = self.data(block, entry);
            let home = data.home.map(|home| Home { keep, ..home });
            let data = Data { home, ..data };
            let mut field = Field::of(name, column, data, has);
            if field.column.values.made().is_some() {
                field.places = places.iter().map(|place| place as u32).collect();
            } else {
                let column = &field.column;
                let (picked, bytes) = column.values.pick(&column.head, &places, data, raw_max)?;
                *raw += bytes;
                field.picked = Some(picked);
            }
            self.check_raw(block, *raw)?;
            fields.push(field);
        }
        Ok(fields)
    }

    /// The fields of the stream of a row, written now or for the row before.
    fn stream_line<'a>(
        &self,
        number: usize,
        original: bool,
        fields: &[Field<'_>],
        made: &[MadeLines<'_>],
        last: &'a mut Option<StreamLine>,
    ) -> &'a StreamLine {
        if last.as_ref().is_none_or(|last| last.number != number) {
            let names = || fields.iter().chain(made.iter().map(|made| &made.field)).map(|field| field.name);
            *last = Some(StreamLine::of(number, &self.footer.streams[number], original, names));
        }
        last.as_ref().expect("it was just set")
    }
}

/// Which of the wanted rows a column has, by their order, unless it has all; and the places of their values.
fn of_rows(column: &Column, rows: &Rows) -> (Option<Rows>, Rows) {
    let presence = &column.presence;
    if presence.count() == rows.len() {
        return (None, rows.clone());
    }
    let (mut has, mut places) = (Rows::none(rows.count()), Rows::none(presence.count()));
    presence.for_each_slot(rows, |slot, rank| {
        has.insert(slot);
        places.insert(rank);
    });
    (Some(has), places)
}

impl<'a> Field<'a> {
    fn of(name: &'a str, column: Arc<Kept<Column>>, data: Data<'a>, has: Option<Rows>) -> Self {
        let mut key = Vec::new();
        json_out::write_key(name, &mut key);
        Self {
            name,
            key,
            column,
            data,
            has,
            next: 0,
            picked: None,
            places: Vec::new(),
            entries: Vec::new(),
            written: Vec::new(),
            last: Last::default(),
        }
    }

    fn has(&self, slot: usize) -> bool {
        self.has.as_ref().is_none_or(|has| has.contains(slot))
    }

    /// Appends the next value, with its key. Gives how many bytes it is for the bounds of blocks, if that was not counted when
    /// it was picked.
    fn put(&mut self, out: &mut Vec<u8>) -> Result<u64> {
        let at = self.next;
        self.next += 1;
        let picked = self.picked.as_ref().expect("made texts are written apart");
        if let Picked::Codes(codes) = picked {
            let code = codes[at];
            let known = usize::try_from(code).ok().and_then(|code| self.entries.get(code));
            if let Some(entry) = known.filter(|entry| entry.end > 0) {
                let start = out.len() + self.key.len();
                out.extend_from_slice(&self.written[entry.start..entry.end]);
                self.last = Last::text(entry.len, start, out.len());
                return Ok(entry.len as u64 + 1);
            }
            return self.put_entry(code, out);
        }
        out.extend_from_slice(&self.key);
        let start = out.len();
        let value = picked.value(&self.column.values, at, self.data)?;
        match value {
            ValueRef::Str(text) => json_out::write_string(text, out),
            value => json_out::write_value(value, out),
        }
        self.last = Last::of(value, start, out.len());
        Ok(0)
    }

    /// Appends an entry for the first time, with its key.
    fn put_entry(&mut self, code: i64, out: &mut Vec<u8>) -> Result<u64> {
        let Self { key, column, data, entries, written, next, picked, .. } = self;
        let texts = column.values.strs();
        let text = texts.entry(code, *data)?;
        let (count, len) = (texts.entry_count(), text.len());
        let rows = picked.as_ref().map_or(0, Picked::len);
        if entries.is_empty() {
            entries.resize(count, Entry::default());
            let left = count.min(rows + 1 - *next);
            written.reserve(left * (key.len() + VALUE_BYTES));
        }
        let start = written.len();
        written.extend_from_slice(key);
        json_out::write_string(text, written);
        let entry = Entry { start, end: written.len(), len };
        let value = out.len() + key.len();
        out.extend_from_slice(&written[start..]);
        // Its code is one of the entries: it has a text.
        entries[code as usize] = entry;
        self.last = Last::text(len, value, out.len());
        Ok(len as u64 + 1)
    }

    /// The value that was written last.
    fn last(&self) -> Result<ValueRef<'_>> {
        let picked = self.picked.as_ref().expect("made texts are written apart");
        picked.value(&self.column.values, self.next - 1, self.data)
    }
}

impl Last {
    /// Of a value that was written there.
    fn of(value: ValueRef<'_>, start: usize, end: usize) -> Self {
        match value {
            ValueRef::Str(text) => Self::text(text.len(), start, end),
            ValueRef::Int(_) => Self::Int(start, end),
            ValueRef::Float(float) if float.is_finite() => Self::Float(start, end),
            _ => Self::Other,
        }
    }

    /// Of a string of this length.
    fn text(len: usize, start: usize, end: usize) -> Self {
        if end - start == len + 2 { Self::Text(start + 1, end - 1) } else { Self::Other }
    }

    /// Where it stands as a form writes it, if that is known.
    fn in_form(self, form: Form) -> Option<Range<usize>> {
        match (self, form) {
            (Self::Text(start, end), Form::Json | Form::Plain)
            | (Self::Int(start, end), Form::Plain)
            // Both write the shortest digits.
            | (Self::Float(start, end), Form::Point) => Some(start..end),
            _ => None,
        }
    }
}

impl StreamLine {
    fn of<'a, N: Iterator<Item = &'a str>>(
        number: usize,
        stream: &Stream,
        original: bool,
        names: impl Fn() -> N,
    ) -> Self {
        let mut line = Self { number, text: Vec::new(), of_columns: Vec::new() };
        for (name, value) in stream.fields() {
            if !original && json_out::is_original(name) {
                continue;
            }
            let start = line.text.len();
            json_out::write_key(name, &mut line.text);
            json_out::write_value(value.as_ref(), &mut line.text);
            let column = names().position(|column| column == &**name);
            line.of_columns.extend(column.map(|column| (column, start..line.text.len())));
        }
        line
    }

    /// Appends the fields that a row does not have itself.
    fn put<'f, 'a: 'f>(
        &self,
        field: impl Fn(usize) -> Option<&'f Field<'a>>,
        slot: usize,
        out: &mut Vec<u8>,
    ) {
        let mut from = 0;
        for (column, range) in &self.of_columns {
            if field(*column).is_some_and(|field| field.has(slot)) {
                out.extend_from_slice(&self.text[from..range.start]);
                from = range.end;
            }
        }
        out.extend_from_slice(&self.text[from..]);
    }
}
