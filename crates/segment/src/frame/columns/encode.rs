//! Writing a batch by columns.
//!
//! Invariant: only names, streams and sources that are used are written, and only texts that records have.

use hashbrown::HashMap;
use sawyer_model::limits::BATCH_TEXT_BYTES_MAX;
use sawyer_model::{Batch, NameId, RecordRef, SourceId, ValueRef};

use super::lines::may_be_made;
use super::{FIELDS_MAX, HEAD_BYTES_MAX, RECORDS_MAX, text};
use crate::bits::Rows;
use crate::bytes::Put;
use crate::column::kind;
use crate::ints;
use crate::made::{Learned, Learner, Lines, Row};
use crate::value::put_stream;
use crate::zip::put_zipped_far;

/// Values after which it is known whether a column repeats itself.
const TRIAL_VALUES: usize = 256;

/// A dictionary pays if there are fewer different texts than this part of all.
const DIFFERENT_PART: usize = 2;

/// Lines are made if templates and holes leave out at least one of so many parts of their bytes.
const LEFT_OUT_PART: usize = 8;

/// Not yet numbered.
const UNKNOWN: u32 = u32::MAX;

/// The body of a batch, and whether lines in it are made, which they are only if they may; none if it is beyond the bounds of
/// this form.
pub(in crate::frame) fn encode(batch: &Batch, may_make_lines: bool) -> Option<(Vec<u8>, bool)> {
    if batch.len() > RECORDS_MAX {
        return None;
    }
    let mut encoder = Encoder::new(batch, may_make_lines);
    for record in batch.iter() {
        encoder.put_record(record);
    }
    encoder.finish()
}

struct Encoder<'a> {
    batch: &'a Batch,
    /// For each name of the batch and each type the number of its column.
    column_numbers: Vec<[u32; kind::COUNT as usize]>,
    columns: Vec<Column<'a>>,
    shape_numbers: HashMap<Box<[u32]>, u32>,
    shapes: Vec<Box<[u32]>>,
    stream_numbers: Vec<u32>,
    streams: Vec<usize>,
    source_numbers: HashMap<SourceId, usize>,
    sources: Vec<Source>,
    last_source: usize,
    rows: RowNumbers,
    fields: usize,
    text_bytes: usize,
    /// The columns of the record at hand.
    shape: Vec<u32>,
    /// How lines as written are made of other fields, if they may.
    lines: Option<Learner>,
}

/// A name with values of one type, in the order of the records.
struct Column<'a> {
    name: NameId,
    kind: u8,
    values: Values<'a>,
}

enum Values<'a> {
    Nothing,
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Floats(Vec<u64>),
    Texts(Texts<'a>),
    Lists(Vec<u8>),
}

/// Texts, with a dictionary as long as it may pay.
struct Texts<'a> {
    values: Vec<&'a str>,
    dictionary: Option<Dictionary<'a>>,
}

#[derive(Default)]
struct Dictionary<'a> {
    numbers_of: HashMap<&'a str, i64>,
    entries: Vec<&'a str>,
    numbers: Vec<i64>,
}

struct Source {
    id: SourceId,
    /// Where the last record of it ended.
    end: u64,
}

/// What every record has, a number each.
#[derive(Default)]
struct RowNumbers {
    shapes: Vec<i64>,
    streams: Vec<i64>,
    sources: Vec<i64>,
    timestamps: Vec<i64>,
    delays: Vec<i64>,
    gaps: Vec<i64>,
    lengths: Vec<i64>,
}

impl<'a> Encoder<'a> {
    fn new(batch: &'a Batch, may_make_lines: bool) -> Self {
        Self {
            batch,
            column_numbers: vec![[UNKNOWN; kind::COUNT as usize]; batch.name_count()],
            columns: Vec::new(),
            shape_numbers: HashMap::new(),
            shapes: Vec::new(),
            stream_numbers: vec![UNKNOWN; batch.streams().len()],
            streams: Vec::new(),
            source_numbers: HashMap::new(),
            sources: Vec::new(),
            last_source: 0,
            rows: RowNumbers::default(),
            fields: 0,
            text_bytes: 0,
            shape: Vec::new(),
            lines: may_make_lines.then(|| Learner::for_batch(batch.text_bytes())),
        }
    }

    fn put_record(&mut self, record: RecordRef<'a>) {
        self.shape.clear();
        let mut line = None;
        for (name, value) in record.own_fields_by_id() {
            let column = self.column(name, value);
            match value {
                ValueRef::Str(text) if name == NameId::ORIGINAL && self.lines.is_some() => {
                    self.text_bytes += text.len();
                    line = Some(text);
                }
                value => self.put_value(column, value),
            }
            self.shape.push(column);
        }
        self.fields += self.shape.len();
        let shape = self.shape();
        if let (Some(lines), Some(line)) = (&mut self.lines, line)
            && !lines.gave_up()
        {
            lines.add(Row { record, batch: self.batch, slot: 0, fields_hash: shape.into() }, line);
        }
        let stream = self.stream(record.stream_index());
        let source = self.source(record.source());
        let (timestamp, range) = (record.timestamp().nanos(), record.range());
        let before = std::mem::replace(&mut self.sources[source].end, range.end);
        let rows = &mut self.rows;
        rows.shapes.push(shape.into());
        rows.streams.push(stream.into());
        rows.sources.push(source as i64);
        rows.timestamps.push(timestamp);
        rows.delays.push(record.observed().nanos().wrapping_sub(timestamp));
        rows.gaps.push(range.start.wrapping_sub(before) as i64);
        rows.lengths.push(range.end.wrapping_sub(range.start) as i64);
    }

    fn column(&mut self, name: NameId, value: ValueRef<'_>) -> u32 {
        let kind = kind_of(value);
        let number = &mut self.column_numbers[name.index()][usize::from(kind)];
        if *number == UNKNOWN {
            *number = self.columns.len() as u32;
            self.columns.push(Column { name, kind, values: Values::of(kind) });
        }
        *number
    }

    fn put_value(&mut self, column: u32, value: ValueRef<'a>) {
        match (&mut self.columns[column as usize].values, value) {
            (Values::Bools(values), ValueRef::Bool(value)) => values.push(value),
            (Values::Ints(values), ValueRef::Int(value)) => values.push(value),
            (Values::Ints(values), ValueRef::Timestamp(time)) => values.push(time.nanos()),
            (Values::Floats(values), ValueRef::Float(value)) => values.push(value.to_bits()),
            (Values::Texts(texts), ValueRef::Str(text) | ValueRef::Json(text)) => {
                self.text_bytes += text.len();
                texts.push(text);
            }
            (Values::Lists(bytes), ValueRef::List(list)) => {
                bytes.put_varint(list.len() as u64);
                list.iter().for_each(|element| put_element(bytes, element));
            }
            _ => {}
        }
    }

    /// The number of the shape of the record at hand: nearly always that of the one before.
    fn shape(&mut self) -> u32 {
        let last = self.rows.shapes.last().map_or(0, |last| *last as u32);
        if self.shapes.get(last as usize).is_some_and(|known| **known == *self.shape) {
            return last;
        }
        if let Some(number) = self.shape_numbers.get(self.shape.as_slice()) {
            return *number;
        }
        let number = self.shapes.len() as u32;
        self.shapes.push(self.shape.as_slice().into());
        self.shape_numbers.insert(self.shape.as_slice().into(), number);
        number
    }

    fn stream(&mut self, stream: usize) -> u32 {
        let number = &mut self.stream_numbers[stream];
        if *number == UNKNOWN {
            *number = self.streams.len() as u32;
            self.streams.push(stream);
        }
        *number
    }

    fn source(&mut self, id: SourceId) -> usize {
        if self.sources.get(self.last_source).is_some_and(|source| source.id == id) {
            return self.last_source;
        }
        let sources = &mut self.sources;
        self.last_source = *self.source_numbers.entry(id).or_insert_with(|| {
            sources.push(Source { id, end: 0 });
            sources.len() - 1
        });
        self.last_source
    }

    fn finish(mut self) -> Option<(Vec<u8>, bool)> {
        if self.fields > FIELDS_MAX || self.text_bytes > BATCH_TEXT_BYTES_MAX {
            return None;
        }
        let (mut head, mut texts) = (Vec::new(), Vec::with_capacity(self.text_bytes));
        self.put_tables(&mut head);
        let rows = &self.rows;
        let numbers = [
            &rows.shapes,
            &rows.streams,
            &rows.sources,
            &rows.timestamps,
            &rows.delays,
            &rows.gaps,
            &rows.lengths,
        ];
        for numbers in numbers {
            ints::encode(&mut head, numbers);
        }
        let mut made = None;
        for column in self.columns {
            let is_line = column.name == NameId::ORIGINAL && column.kind == kind::STR;
            if let Some(lines) = self.lines.as_ref().filter(|_| is_line) {
                made = put_lines(lines, self.batch, self.shapes.len(), &mut head, &mut texts);
                self.text_bytes += made.as_ref().map_or(0, |made| made.hole_bytes);
                continue;
            }
            column.values.put(&mut head, &mut texts);
        }
        if head.len() > HEAD_BYTES_MAX || head.len() + self.text_bytes > BATCH_TEXT_BYTES_MAX {
            return None;
        }
        let mut body = Vec::with_capacity(head.len() / 2 + texts.len() / 4);
        body.put_varint(self.batch.len() as u64);
        body.put_varint(self.fields as u64);
        body.put_varint(self.text_bytes as u64);
        body.put_varint(head.len() as u64);
        if let Some(made) = &made {
            body.put_varint(made.template_bytes as u64);
            body.put_varint(made.holes as u64);
        }
        let mut zipped = Vec::new();
        put_zipped_far(&mut zipped, &head);
        body.put_varint(zipped.len() as u64);
        body.extend_from_slice(&zipped);
        body.put_varint(texts.len() as u64);
        put_zipped_far(&mut body, &texts);
        Some((body, made.is_some()))
    }

    /// What columns and rows refer to by number.
    fn put_tables(&mut self, head: &mut Vec<u8>) {
        let mut covered = Vec::new();
        covered.put_varint(self.batch.covered().len() as u64);
        for part in self.batch.covered() {
            covered.put_varint(self.source(part.source) as u64);
            covered.put_varint(part.range.start);
            covered.put_varint(part.range.end.wrapping_sub(part.range.start));
        }
        let mut name_numbers = vec![UNKNOWN; self.batch.name_count()];
        let mut names = Vec::new();
        for column in &self.columns {
            let number = &mut name_numbers[column.name.index()];
            if *number == UNKNOWN {
                *number = names.len() as u32;
                names.push(column.name);
            }
        }
        head.put_varint(names.len() as u64);
        names.iter().for_each(|name| head.put_text(self.batch.name(*name)));
        head.put_varint(self.columns.len() as u64);
        for column in &self.columns {
            head.put_varint(name_numbers[column.name.index()].into());
            head.put_u8(column.kind);
        }
        head.put_varint(self.streams.len() as u64);
        self.streams.iter().for_each(|stream| put_stream(head, &self.batch.streams()[*stream]));
        head.put_varint(self.sources.len() as u64);
        self.sources.iter().for_each(|source| head.put_u128(source.id.0));
        head.extend_from_slice(&covered);
        head.put_varint(self.shapes.len() as u64);
        for shape in &self.shapes {
            head.put_varint(shape.len() as u64);
            shape.iter().for_each(|column| head.put_varint((*column).into()));
        }
    }
}

/// What was put of lines that are made.
struct PutLines {
    template_bytes: usize,
    holes: usize,
    hole_bytes: usize,
}

/// Puts the column of lines. If they are made, says of what.
fn put_lines(
    lines: &Learner,
    batch: &Batch,
    shapes: usize,
    head: &mut Vec<u8>,
    texts: &mut Vec<u8>,
) -> Option<PutLines> {
    let written = || {
        batch.iter().filter_map(|record| match record.get_by_id(NameId::ORIGINAL) {
            Some(ValueRef::Str(line)) => Some(line),
            _ => None,
        })
    };
    if let Some(Lines::Made(Learned { codes, holes, .. })) = lines.lines()
        && !lines.gave_up()
    {
        let templates = lines.templates_as_used();
        let bytes = written().map(str::len).sum::<usize>();
        let mut told = Vec::new();
        templates.put(&mut told);
        let template_bytes = told.len();
        let pays = template_bytes + holes.bytes() <= bytes / LEFT_OUT_PART * (LEFT_OUT_PART - 1);
        if pays && holes.len() <= FIELDS_MAX && may_be_made(shapes, bytes, &templates, codes) {
            head.put_u8(text::MADE);
            head.put_varint(bytes as u64);
            head.extend_from_slice(&told);
            ints::encode(head, codes);
            ints::encode(head, &lengths(holes.iter()));
            texts.extend_from_slice(holes.all().as_bytes());
            return Some(PutLines { template_bytes, holes: holes.len(), hole_bytes: holes.bytes() });
        }
    }
    let mut as_written = Texts { values: Vec::new(), dictionary: Some(Dictionary::default()) };
    written().for_each(|line| as_written.push(line));
    as_written.put(head, texts);
    None
}

fn lengths<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<i64> {
    texts.map(|text| text.len() as i64).collect()
}

impl Values<'_> {
    fn of(kind: u8) -> Self {
        match kind {
            kind::BOOL => Self::Bools(Vec::new()),
            kind::INT | kind::TIMESTAMP => Self::Ints(Vec::new()),
            kind::FLOAT => Self::Floats(Vec::new()),
            kind::STR | kind::JSON => {
                Self::Texts(Texts { values: Vec::new(), dictionary: Some(Dictionary::default()) })
            }
            kind::LIST => Self::Lists(Vec::new()),
            _ => Self::Nothing,
        }
    }

    fn put(self, head: &mut Vec<u8>, texts: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Bools(values) => values.into_iter().collect::<Rows>().put(head),
            Self::Ints(values) => ints::encode(head, &values),
            Self::Floats(values) => values.into_iter().for_each(|value| head.put_u64(value)),
            Self::Texts(values) => values.put(head, texts),
            Self::Lists(bytes) => {
                head.put_varint(bytes.len() as u64);
                head.extend_from_slice(&bytes);
            }
        }
    }
}

impl<'a> Texts<'a> {
    fn push(&mut self, text: &'a str) {
        self.values.push(text);
        let Some(dictionary) = &mut self.dictionary else { return };
        let entries = &mut dictionary.entries;
        let number = *dictionary.numbers_of.entry(text).or_insert_with(|| {
            entries.push(text);
            entries.len() as i64 - 1
        });
        dictionary.numbers.push(number);
        if self.values.len() >= TRIAL_VALUES && !dictionary.pays() {
            self.dictionary = None;
        }
    }

    fn put(self, head: &mut Vec<u8>, texts: &mut Vec<u8>) {
        let kept = match self.dictionary.filter(Dictionary::pays) {
            Some(Dictionary { entries, numbers, .. }) => {
                head.put_u8(text::DICTIONARY);
                head.put_varint(entries.len() as u64);
                ints::encode(head, &lengths(entries.iter().copied()));
                ints::encode(head, &numbers);
                entries
            }
            None => {
                head.put_u8(text::EACH);
                ints::encode(head, &lengths(self.values.iter().copied()));
                self.values
            }
        };
        kept.iter().for_each(|text| texts.extend_from_slice(text.as_bytes()));
    }
}

impl Dictionary<'_> {
    fn pays(&self) -> bool {
        self.entries.len() * DIFFERENT_PART <= self.numbers.len()
    }
}

fn kind_of(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Null => kind::NULL,
        ValueRef::Bool(_) => kind::BOOL,
        ValueRef::Int(_) => kind::INT,
        ValueRef::Float(_) => kind::FLOAT,
        ValueRef::Timestamp(_) => kind::TIMESTAMP,
        ValueRef::Str(_) => kind::STR,
        ValueRef::Json(_) => kind::JSON,
        ValueRef::List(_) => kind::LIST,
    }
}

/// An element of a list; a list in a list reads as null.
fn put_element(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null | ValueRef::List(_) => out.put_u8(kind::NULL),
        ValueRef::Bool(value) => out.extend_from_slice(&[kind::BOOL, u8::from(value)]),
        ValueRef::Int(value) => {
            out.put_u8(kind::INT);
            out.put_i64(value);
        }
        ValueRef::Float(value) => {
            out.put_u8(kind::FLOAT);
            out.put_u64(value.to_bits());
        }
        ValueRef::Timestamp(time) => {
            out.put_u8(kind::TIMESTAMP);
            out.put_i64(time.nanos());
        }
        ValueRef::Str(text) => {
            out.put_u8(kind::STR);
            out.put_text(text);
        }
        ValueRef::Json(text) => {
            out.put_u8(kind::JSON);
            out.put_text(text);
        }
    }
}
