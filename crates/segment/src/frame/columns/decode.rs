//! Reading a batch by columns.
//!
//! Invariant: everything that a record refers to is there and within bounds before the first record is made; else the
//! frame is damaged and gives no batch at all.

use std::vec::IntoIter;

use sawyer_model::limits::{BATCH_TEXT_BYTES_MAX, NAME_BYTES_MAX, RECORD_FIELDS_MAX, VALUE_BYTES_MAX};
use sawyer_model::{
    Batch, Covered, ListRef, NameId, PlacedValue, RecordHead, RecordWriter, SeqRange, SourceId, Timestamp,
    ValueRef,
};

use super::lines::{MadeLines, ToldLines};
use super::{Bounds, FIELDS_MAX, HEAD_BYTES_MAX, RECORDS_MAX, text};
use crate::bits::Rows;
use crate::bytes::Reader;
use crate::column::kind;
use crate::error::{Damage, Decoded};
use crate::frame::decode::{covered, streams};
use crate::ints::Ints;
use crate::zip;

/// What decoding will take, if lines may be made.
pub(in crate::frame) fn bounds(reader: &mut Reader<'_>, makes_lines: bool) -> Decoded<Bounds> {
    let mut bounds = Bounds {
        records: reader.at_most(RECORDS_MAX, "records within bounds")?,
        fields: reader.at_most(FIELDS_MAX, "fields within bounds")?,
        text_bytes: reader.at_most(BATCH_TEXT_BYTES_MAX, "texts within bounds")?,
        head_bytes: reader.at_most(HEAD_BYTES_MAX, "a head within bounds")?,
        template_bytes: 0,
        holes: 0,
    };
    if makes_lines {
        bounds.template_bytes = reader.at_most(bounds.head_bytes, "templates within the head")?;
        bounds.holes = reader.at_most(FIELDS_MAX, "holes within bounds")?;
    }
    // Texts in lists come from the head.
    let fits = bounds.text_bytes + bounds.head_bytes <= BATCH_TEXT_BYTES_MAX;
    if fits { Ok(bounds) } else { Err(Damage::expected("texts within bounds")) }
}

/// The batch of a body, in which lines may be made.
pub(in crate::frame) fn decode(body: &[u8], makes_lines: bool) -> Decoded<Batch> {
    let mut reader = Reader::new(body);
    let bounds = bounds(&mut reader, makes_lines)?;
    let stored = reader.count()?;
    let head = zip::unzip(&mut Reader::new(reader.take(stored)?), bounds.head_bytes)?;
    // A text that several records have is there once, so there are no more bytes than all records have together.
    let text_len = reader.at_most(bounds.text_bytes, "no more texts than records have")?;
    let texts = String::from_utf8(zip::unzip(&mut reader, text_len)?);
    let mut batch = Batch::with_text(texts.map_err(|_| Damage::expected("UTF-8"))?);
    let mut head = Reader::new(&head);
    let tables = Tables::read(&mut head, &mut batch, &bounds)?;
    let rows = RowNumbers::read(&mut head, bounds.records, &tables)?;
    let counts = tables.counts(&rows.shapes, bounds.fields)?;
    let texts = Texts { batch: &batch, bounds, makes_lines, place: 0, bytes: 0, line_bytes: 0 };
    let mut columns = Columns::read(&mut head, &tables, &counts, texts)?;
    head.end()?;
    batch.reserve_text(columns.line_bytes);
    // As many as were told, or there would be an error by now.
    batch.reserve_records(bounds.records, bounds.fields);
    make_records(&mut batch, &tables, &rows, &mut columns)?;
    batch.set_covered(tables.covered);
    Ok(batch)
}

fn make_records(
    batch: &mut Batch,
    tables: &Tables,
    rows: &RowNumbers,
    columns: &mut Columns<'_>,
) -> Decoded<()> {
    let mut ends = vec![0_u64; tables.sources.len()];
    let lines_at = columns.lines_at(&tables.shapes);
    for row in 0..rows.shapes.len() {
        let source = rows.sources[row] as usize;
        let start = ends[source].wrapping_add(rows.gaps[row] as u64);
        let end = start.checked_add(rows.lengths[row] as u64).ok_or(Damage::expected("a range"))?;
        ends[source] = end;
        let timestamp = rows.timestamps[row];
        let head = RecordHead {
            timestamp: Timestamp::from_nanos(timestamp),
            observed: Timestamp::from_nanos(timestamp.wrapping_add(rows.delays[row])),
            source: tables.sources[source],
            range: SeqRange { start, end },
        };
        let mut writer = batch.begin(head, tables.streams[rows.streams[row] as usize]);
        let shape = rows.shapes[row] as usize;
        for column in &tables.shapes[shape] {
            columns.put_next(*column as usize, &mut writer)?;
        }
        if let Some((column, line)) = lines_at[shape]
            && let Values::Lines(lines) = &mut columns.columns[column].1
        {
            lines.make(batch, row, shape, line)?;
        }
    }
    columns.end()
}

/// What rows and columns refer to by number.
pub(super) struct Tables {
    pub(super) columns: Vec<(NameId, u8)>,
    streams: Vec<u32>,
    sources: Vec<SourceId>,
    covered: Vec<Covered>,
    pub(super) shapes: Vec<Vec<u32>>,
}

impl Tables {
    fn read(reader: &mut Reader<'_>, batch: &mut Batch, bounds: &Bounds) -> Decoded<Self> {
        let mut names = Vec::new();
        for _ in 0..reader.count()? {
            names.push(batch.intern(reader.text(NAME_BYTES_MAX)?));
        }
        let mut columns = Vec::new();
        for _ in 0..reader.at_most(bounds.fields, "no column without a value")? {
            let name = names.get(reader.at_most(names.len(), "a name of the batch")?);
            let name = *name.ok_or(Damage::expected("a name of the batch"))?;
            let kind = reader.u8()?;
            if kind >= kind::COUNT {
                return Err(Damage::unknown("type of value", kind));
            }
            columns.push((name, kind));
        }
        let streams = streams(reader, batch)?;
        let mut sources = Vec::new();
        for _ in 0..reader.count()? {
            sources.push(SourceId(reader.u128()?));
        }
        let covered = covered(reader, &sources)?;
        let mut shapes = Vec::new();
        let mut seen = vec![0; batch.name_count()];
        for number in 1..=reader.at_most(bounds.records, "no shape without a record")? {
            let len = reader.count()?;
            if len > RECORD_FIELDS_MAX {
                return Err(Damage::expected("fields of a record within bounds"));
            }
            let mut shape = Vec::with_capacity(len);
            for _ in 0..len {
                let column = reader.at_most(columns.len(), "a column of the batch")?;
                let (name, _) = *columns.get(column).ok_or(Damage::expected("a column of the batch"))?;
                if std::mem::replace(&mut seen[name.index()], number) == number {
                    return Err(Damage::expected("each name once"));
                }
                shape.push(column as u32);
            }
            shapes.push(shape);
        }
        Ok(Self { columns, streams, sources, covered, shapes })
    }

    /// How many values each column has.
    fn counts(&self, shapes: &[i64], fields: usize) -> Decoded<Vec<usize>> {
        let mut rows = vec![0_usize; self.shapes.len()];
        for shape in shapes {
            rows[*shape as usize] += 1;
        }
        let mut counts = vec![0_usize; self.columns.len()];
        let mut all = 0_usize;
        for (shape, rows) in self.shapes.iter().zip(rows) {
            all = all.saturating_add(shape.len().saturating_mul(rows));
            for column in shape {
                counts[*column as usize] = counts[*column as usize].saturating_add(rows);
            }
        }
        if all == fields { Ok(counts) } else { Err(Damage::expected("as many fields as were told")) }
    }
}

/// What every record has, a number each.
struct RowNumbers {
    shapes: Vec<i64>,
    streams: Vec<i64>,
    sources: Vec<i64>,
    timestamps: Vec<i64>,
    delays: Vec<i64>,
    gaps: Vec<i64>,
    lengths: Vec<i64>,
}

impl RowNumbers {
    fn read(reader: &mut Reader<'_>, count: usize, tables: &Tables) -> Decoded<Self> {
        let mut below = |bound: usize, what| {
            let numbers = Ints::parse_and_decode(reader, count)?;
            let fit = numbers.iter().all(|number| (*number as u64) < bound as u64);
            if fit { Ok(numbers) } else { Err(Damage::expected(what)) }
        };
        let shapes = below(tables.shapes.len(), "a shape of the batch")?;
        let streams = below(tables.streams.len(), "a stream of the batch")?;
        let sources = below(tables.sources.len(), "a source of the batch")?;
        let mut next = || Ints::parse_and_decode(reader, count);
        let (timestamps, delays, gaps, lengths) = (next()?, next()?, next()?, next()?);
        Ok(Self { shapes, streams, sources, timestamps, delays, gaps, lengths })
    }
}

struct Columns<'a> {
    columns: Vec<(NameId, Values<'a>)>,
    elements: Vec<ValueRef<'a>>,
    /// Bytes of the lines that are made.
    line_bytes: usize,
}

/// The values of a column that were not taken yet.
enum Values<'a> {
    Nothing,
    Bools(IntoIter<bool>),
    Ints(IntoIter<i64>),
    Timestamps(IntoIter<i64>),
    Floats(Reader<'a>),
    Texts { json: bool, start: u32, lengths: IntoIter<i64> },
    Dictionary { json: bool, entries: Vec<(u32, u32)>, numbers: IntoIter<i64> },
    Lists(Reader<'a>),
    Lines(Box<MadeLines>),
}

impl<'a> Columns<'a> {
    fn read(head: &mut Reader<'a>, tables: &Tables, counts: &[usize], mut texts: Texts<'_>) -> Decoded<Self> {
        let text_bytes = texts.bounds.text_bytes;
        let mut columns = Vec::with_capacity(counts.len());
        for ((name, kind), count) in tables.columns.iter().zip(counts) {
            let values = match *kind {
                kind::NULL => Values::Nothing,
                kind::BOOL => {
                    let bits = Rows::parse(head.take(count.div_ceil(8))?, *count)?;
                    Values::Bools((0..*count).map(|at| bits.contains(at)).collect::<Vec<_>>().into_iter())
                }
                kind::INT => Values::Ints(Ints::parse_and_decode(head, *count)?.into_iter()),
                kind::TIMESTAMP => Values::Timestamps(Ints::parse_and_decode(head, *count)?.into_iter()),
                kind::FLOAT => Values::Floats(Reader::new(head.take(count.saturating_mul(8))?)),
                kind::LIST => {
                    let len = head.count()?;
                    Values::Lists(Reader::new(head.take(len)?))
                }
                kind::STR if texts.makes_lines && *name == NameId::ORIGINAL => {
                    texts.read_lines(head, *count, tables)?
                }
                text => texts.read(head, text == kind::JSON, *count)?,
            };
            columns.push((*name, values));
        }
        if texts.place != texts.batch.text_bytes() || texts.bytes != text_bytes as u64 {
            return Err(Damage::expected("texts of these lengths"));
        }
        if texts.place + texts.line_bytes > text_bytes {
            return Err(Damage::expected("no more texts than records have"));
        }
        Ok(Self { columns, elements: Vec::new(), line_bytes: texts.line_bytes })
    }

    /// Gives the next value of a column to a record.
    fn put_next(&mut self, column: usize, writer: &mut RecordWriter<'_>) -> Decoded<()> {
        const MISSING: Damage = Damage::expected("a value for each record");
        let (name, values) = &mut self.columns[column];
        let text = |json, start, len| match json {
            false => PlacedValue::Str { start, len },
            true => PlacedValue::Json { start, len },
        };
        let value = match values {
            Values::Nothing => PlacedValue::Null,
            Values::Bools(values) => PlacedValue::Bool(values.next().ok_or(MISSING)?),
            Values::Ints(values) => PlacedValue::Int(values.next().ok_or(MISSING)?),
            Values::Timestamps(values) => {
                PlacedValue::Timestamp(Timestamp::from_nanos(values.next().ok_or(MISSING)?))
            }
            Values::Floats(values) => PlacedValue::Float(f64::from_bits(values.u64()?)),
            Values::Texts { json, start, lengths } => {
                let len = lengths.next().ok_or(MISSING)? as u32;
                let place = std::mem::replace(start, *start + len);
                text(*json, place, len)
            }
            Values::Dictionary { json, entries, numbers } => {
                let (start, len) = entries[numbers.next().ok_or(MISSING)? as usize];
                text(*json, start, len)
            }
            // The line is made when the other fields are there.
            Values::Lines(_) => text(false, 0, 0),
            Values::Lists(reader) => {
                self.elements.clear();
                for _ in 0..reader.count()? {
                    self.elements.push(element(reader)?);
                }
                writer.field_by_id(*name, ValueRef::List(ListRef::from(self.elements.as_slice())));
                return Ok(());
            }
        };
        writer.placed(*name, value);
        Ok(())
    }

    /// For each shape the column of the lines that are made, and which of its fields that is.
    fn lines_at(&self, shapes: &[Vec<u32>]) -> Vec<Option<(usize, usize)>> {
        let is_made = |column: usize| matches!(self.columns[column].1, Values::Lines(_));
        let line = |shape: &Vec<u32>| {
            let mut columns = shape.iter().enumerate().map(|(at, column)| (*column as usize, at));
            columns.find(|(column, _)| is_made(*column))
        };
        shapes.iter().map(line).collect()
    }

    /// Says that all was taken, and all made; lists do not tell their count.
    fn end(&self) -> Decoded<()> {
        for (_, values) in &self.columns {
            match values {
                Values::Lists(reader) if reader.left() > 0 => return Err(Damage::expected("no more lists")),
                Values::Lines(lines) if !lines.is_done() => return Err(MadeLines::OTHER_BYTES),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Hands the texts of the batch to its columns, one after another.
struct Texts<'a> {
    batch: &'a Batch,
    bounds: Bounds,
    /// Whether lines may be made: by one column.
    makes_lines: bool,
    place: usize,
    /// Bytes of texts, each counted as often as a record has it, and of holes.
    bytes: u64,
    /// Those of lines that are made.
    line_bytes: usize,
}

impl Texts<'_> {
    /// As [`Texts::read`], of lines as written.
    fn read_lines<'r>(
        &mut self,
        head: &mut Reader<'r>,
        count: usize,
        tables: &Tables,
    ) -> Decoded<Values<'r>> {
        if head.clone().u8()? != text::MADE {
            return self.read(head, false, count);
        }
        head.u8()?;
        self.makes_lines = false;
        let told = ToldLines::read(head, count, tables.shapes.len(), &self.bounds)?;
        let hole = self.place;
        for len in &told.hole_lengths {
            self.take(*len)?;
            self.bytes += *len as u64;
        }
        self.line_bytes += told.bytes;
        self.bytes += told.bytes as u64;
        Ok(Values::Lines(Box::new(told.lines(self.batch, tables, hole))))
    }

    fn read<'r>(&mut self, head: &mut Reader<'r>, json: bool, count: usize) -> Decoded<Values<'r>> {
        match head.u8()? {
            text::EACH => {
                let start = self.place as u32;
                let lengths = Ints::parse_and_decode(head, count)?;
                for len in &lengths {
                    self.take(*len)?;
                    self.bytes += *len as u64;
                }
                Ok(Values::Texts { json, start, lengths: lengths.into_iter() })
            }
            text::DICTIONARY => {
                // Each entry is used by a value.
                let entry_count = head.at_most(count, "no more texts than values")?;
                let mut entries = Vec::with_capacity(entry_count);
                for len in Ints::parse_and_decode(head, entry_count)? {
                    entries.push((self.take(len)?, len as u32));
                }
                let numbers = Ints::parse_and_decode(head, count)?;
                for number in &numbers {
                    let entry = usize::try_from(*number).ok().and_then(|number| entries.get(number));
                    let (_, len) = entry.ok_or(Damage::expected("a text of the dictionary"))?;
                    self.bytes += u64::from(*len);
                }
                Ok(Values::Dictionary { json, entries, numbers: numbers.into_iter() })
            }
            other => Err(Damage::unknown("column of texts", other)),
        }
    }

    /// Takes a text of this length; gives its place.
    fn take(&mut self, len: i64) -> Decoded<u32> {
        let fits = usize::try_from(len).ok().filter(|len| *len <= VALUE_BYTES_MAX);
        let len = fits.ok_or(Damage::expected("a text within bounds"))?;
        let (start, end) = (self.place, self.place + len);
        if !self.batch.is_text_boundary(end) {
            return Err(Damage::expected("texts of these lengths"));
        }
        self.place = end;
        Ok(start as u32)
    }
}

fn element<'a>(reader: &mut Reader<'a>) -> Decoded<ValueRef<'a>> {
    Ok(match reader.u8()? {
        kind::NULL => ValueRef::Null,
        kind::BOOL => match reader.u8()? {
            0 => ValueRef::Bool(false),
            1 => ValueRef::Bool(true),
            _ => return Err(Damage::expected("true or false")),
        },
        kind::INT => ValueRef::Int(reader.i64()?),
        kind::FLOAT => ValueRef::Float(f64::from_bits(reader.u64()?)),
        kind::TIMESTAMP => ValueRef::Timestamp(Timestamp::from_nanos(reader.i64()?)),
        kind::STR => ValueRef::Str(reader.text(VALUE_BYTES_MAX)?),
        kind::JSON => ValueRef::Json(reader.text(VALUE_BYTES_MAX)?),
        other => return Err(Damage::unknown("type of value", other)),
    })
}
