//! Writing a batch.
//!
//! Owns: the bytes of a frame. Invariant: only names, streams, sources and texts that are used are written.

mod rows;

use std::ops::Range;

use hashbrown::HashMap;
use sawyer_model::limits::BATCH_TEXT_BYTES_MAX;
use sawyer_model::{Batch, OwnPart, RecordRef, SourceId, ValueRef};

use self::rows::RowBytes;
use super::{
    BATCH_VERSION, BODY_BYTES_MAX, BY_COLUMN, BY_COLUMN_MADE, BY_PART, BY_ROW, HEADER_BYTES, MAGIC, PLAIN,
    ZSTD, columns, part,
};
use crate::bytes::{Put, checksum};
use crate::column::kind;
use crate::value::put_stream;

/// How a frame is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchCompression {
    /// As it is: for a disk that is faster than compressing.
    #[default]
    Plain,
    /// By zstd, level 1: for a network.
    Zstd,
}

/// Not yet numbered.
const UNKNOWN: u32 = u32::MAX;

/// More pieces of text are put together: each of them is one more for whoever writes.
const PIECES_MAX: usize = 64;

/// The bytes of a batch, uncompressed, without its texts, which lie in the batch: for whoever writes them once.
#[derive(Clone, Debug)]
pub struct EncodedParts {
    front: Vec<u8>,
    rows: Vec<u8>,
    /// Where the texts lie in the batch; or all of them, if they are many.
    texts: Result<Vec<Range<usize>>, Vec<u8>>,
    len: usize,
    checksum: u32,
}

impl EncodedParts {
    /// How many bytes it is together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: there is always a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The CRC-32C of all bytes.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The bytes, one part behind another. `batch` is the one that was encoded.
    ///
    /// # Panics
    /// If it is another one with less text.
    pub fn parts<'a>(&'a self, batch: &'a Batch) -> impl Iterator<Item = &'a [u8]> {
        let text = batch.text().as_bytes();
        let (places, gathered) = match &self.texts {
            Ok(places) => (places.as_slice(), None),
            Err(gathered) => (&[][..], Some(gathered.as_slice())),
        };
        let texts = places.iter().map(|place| &text[place.clone()]).chain(gathered);
        [self.front.as_slice(), &self.rows].into_iter().chain(texts)
    }
}

/// The bytes of a batch, uncompressed.
#[must_use]
pub fn encode_batch(batch: &Batch) -> Vec<u8> {
    encode_batch_with(batch, BatchCompression::Plain)
}

/// The same as parts, with their checksum: for who frames them once more.
#[must_use]
pub fn encode_batch_parts(batch: &Batch) -> EncodedParts {
    by_row(batch, true)
}

/// The same, with values that are parts of others only if they may be.
fn by_row(batch: &Batch, by_part: bool) -> EncodedParts {
    let mut encoder = Encoder::new(batch, by_part);
    batch.iter().for_each(|record| encoder.put_record(record));
    if by_part && encoder.said_bytes > BATCH_TEXT_BYTES_MAX {
        // A reader takes no more, lest a few bytes become as many as it has memory.
        encoder = Encoder::new(batch, false);
        batch.iter().for_each(|record| encoder.put_record(record));
    }
    encoder.finish()
}

/// The bytes of a batch.
#[must_use]
pub fn encode_batch_with(batch: &Batch, compression: BatchCompression) -> Vec<u8> {
    in_one(batch, &encode_batch_parts(batch), compression)
}

fn in_one(batch: &Batch, encoded: &EncodedParts, compression: BatchCompression) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded.len());
    encoded.parts(batch).for_each(|part| bytes.extend_from_slice(part));
    if compression == BatchCompression::Zstd
        && let Some(smaller) = compressed(&bytes[HEADER_BYTES + 1..])
    {
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&smaller);
        let checksum = checksum(&bytes[HEADER_BYTES..]);
        bytes[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// Where the checksum of what follows the header lies.
const CHECKSUM_AT: usize = HEADER_BYTES - size_of::<u32>();

/// The bytes of a batch by columns, compressed: for a network. A batch beyond the bounds of that form has the other one.
#[must_use]
pub fn encode_batch_columns(batch: &Batch) -> Vec<u8> {
    encode_batch_columns_up_to(batch, BATCH_VERSION)
}

/// The same for a reader that reads no later version than this one: from version 4 on lines that are made of the other fields of
/// their record are left out, and beyond the bounds of the form by columns it is version 3, or 1 before that.
#[must_use]
pub fn encode_batch_columns_up_to(batch: &Batch, version: u8) -> Vec<u8> {
    let by_columns =
        if version < BY_COLUMN { None } else { columns::encode(batch, version >= BY_COLUMN_MADE) };
    let Some((body, makes_lines)) = by_columns else {
        return in_one(batch, &by_row(batch, version >= BY_PART), BatchCompression::Zstd);
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.put_u8(if makes_lines { BY_COLUMN_MADE } else { BY_COLUMN });
    bytes.put_u32(checksum(&body));
    bytes.extend_from_slice(&body);
    bytes
}

struct Encoder<'a> {
    batch: &'a Batch,
    /// For each name of the batch its number in the frame.
    name_numbers: Vec<u32>,
    names: Vec<&'a str>,
    stream_numbers: Vec<u32>,
    streams: Vec<usize>,
    source_numbers: HashMap<SourceId, u32>,
    sources: Vec<SourceId>,
    last_source: Option<(SourceId, u32)>,
    rows: RowBytes,
    /// Where the texts lie in the batch that were named, those that touch as one.
    texts: Vec<Range<usize>>,
    text_bytes: usize,
    /// Bytes of all texts, parts of others as well.
    said_bytes: usize,
    /// Whether values may be parts of others.
    by_part: bool,
}

impl<'a> Encoder<'a> {
    fn new(batch: &'a Batch, by_part: bool) -> Self {
        /// A guess at the bytes of a record without its fields, and of a field without its text.
        const ROW_BYTES: usize = 40;
        const FIELD_BYTES: usize = 7;
        Self {
            batch,
            name_numbers: vec![UNKNOWN; batch.name_count()],
            names: Vec::new(),
            stream_numbers: vec![UNKNOWN; batch.streams().len()],
            streams: Vec::new(),
            source_numbers: HashMap::new(),
            sources: Vec::new(),
            last_source: None,
            rows: RowBytes::with_room(batch.len() * ROW_BYTES + batch.field_count() * FIELD_BYTES),
            texts: Vec::new(),
            text_bytes: 0,
            said_bytes: 0,
            by_part,
        }
    }

    fn put_record(&mut self, record: RecordRef<'a>) {
        let (timestamp, observed) = (record.timestamp().nanos(), record.observed().nanos());
        self.rows.put_i64(timestamp);
        self.rows.put_varint(zigzag(observed.wrapping_sub(timestamp)));
        let source = self.source(record.source());
        self.rows.put_varint(u64::from(source));
        let range = record.range();
        self.rows.put_varint(range.start);
        self.rows.put_varint(range.end.wrapping_sub(range.start));
        let stream = self.stream(record.stream_index());
        self.rows.put_varint(u64::from(stream));
        let fields = record.own_parts();
        self.rows.put_varint(fields.len() as u64);
        let whole = if self.by_part { whole(record) } else { 0..0 };
        if self.by_part {
            self.rows.put_varint(whole.len() as u64);
            self.add_place(whole.clone());
        }
        for (name, part) in fields {
            let number = self.name(name);
            let (place, kind, part_kind) = match part {
                OwnPart::Str(place) => (place, kind::STR, part::STR),
                OwnPart::Json(place) => (place, kind::JSON, part::JSON),
                OwnPart::Value(value) => {
                    self.rows.put_varint(u64::from(number));
                    self.put_value(value);
                    continue;
                }
            };
            self.said_bytes += place.len();
            if is_part(&place, &whole) {
                self.rows.put_part(number, part_kind, place.start - whole.start, place.len());
            } else {
                self.rows.put_varint(u64::from(number));
                self.rows.put_u8(kind);
                self.rows.put_varint(place.len() as u64);
                self.add_place(place);
            }
        }
    }

    fn put_value(&mut self, value: ValueRef<'a>) {
        let rows = &mut self.rows;
        match value {
            ValueRef::Null => rows.put_u8(kind::NULL),
            ValueRef::Bool(value) => {
                rows.put_u8(kind::BOOL);
                rows.put_u8(u8::from(value));
            }
            ValueRef::Int(value) => {
                rows.put_u8(kind::INT);
                rows.put_varint(zigzag(value));
            }
            ValueRef::Float(value) => {
                rows.put_u8(kind::FLOAT);
                rows.put_i64(value.to_bits() as i64);
            }
            ValueRef::Timestamp(time) => {
                rows.put_u8(kind::TIMESTAMP);
                rows.put_i64(time.nanos());
            }
            ValueRef::Str(text) => self.put_text(kind::STR, text),
            ValueRef::Json(text) => self.put_text(kind::JSON, text),
            ValueRef::List(list) => {
                rows.put_u8(kind::LIST);
                rows.put_varint(list.len() as u64);
                list.iter().for_each(|element| self.put_value(element));
            }
        }
    }

    fn put_text(&mut self, kind: u8, text: &'a str) {
        self.rows.put_u8(kind);
        self.rows.put_varint(text.len() as u64);
        self.said_bytes += text.len();
        self.add_place(self.batch.place_of(text).expect("it is a text of the batch"));
    }

    /// Adds a text of the batch to those that are written.
    fn add_place(&mut self, place: Range<usize>) {
        self.text_bytes += place.len();
        match self.texts.last_mut() {
            _ if place.is_empty() => {}
            Some(last) if last.end == place.start => last.end = place.end,
            _ => self.texts.push(place),
        }
    }

    fn name(&mut self, name: sawyer_model::NameId) -> u32 {
        let number = &mut self.name_numbers[name.index()];
        if *number == UNKNOWN {
            *number = self.names.len() as u32;
            self.names.push(self.batch.name(name));
        }
        *number
    }

    fn stream(&mut self, stream: usize) -> u32 {
        let number = &mut self.stream_numbers[stream];
        if *number == UNKNOWN {
            *number = self.streams.len() as u32;
            self.streams.push(stream);
        }
        *number
    }

    fn source(&mut self, source: SourceId) -> u32 {
        if let Some((last, number)) = self.last_source
            && last == source
        {
            return number;
        }
        let sources = &mut self.sources;
        let number = *self.source_numbers.entry(source).or_insert_with(|| {
            sources.push(source);
            sources.len() as u32 - 1
        });
        self.last_source = Some((source, number));
        number
    }

    fn finish(mut self) -> EncodedParts {
        let mut covered = Vec::new();
        covered.put_varint(self.batch.covered().len() as u64);
        for part in self.batch.covered() {
            let source = self.source(part.source);
            covered.put_varint(u64::from(source));
            covered.put_varint(part.range.start);
            covered.put_varint(part.range.end.wrapping_sub(part.range.start));
        }
        let mut front = Vec::new();
        front.extend_from_slice(MAGIC);
        front.put_u8(if self.by_part { BY_PART } else { BY_ROW });
        front.put_u32(0);
        front.put_u8(PLAIN);
        self.put_tables(&covered, &mut front);
        let rows = self.rows.into_bytes();
        let (text, texts) = (self.batch.text().as_bytes(), self.texts);
        let texts = if texts.len() <= PIECES_MAX {
            Ok(texts)
        } else {
            let mut gathered = Vec::with_capacity(self.text_bytes);
            texts.into_iter().for_each(|place| gathered.extend_from_slice(&text[place]));
            Err(gathered)
        };
        let len = front.len() + rows.len() + self.text_bytes;
        let mut parts = EncodedParts { front, rows, texts, len, checksum: 0 };
        let body = parts.parts(self.batch).skip(1);
        let body = body.fold(checksum(&parts.front[HEADER_BYTES..]), crc32c::crc32c_append);
        parts.front[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&body.to_le_bytes());
        // The header ends with the checksum of the rest, which need not be read again.
        parts.checksum =
            crc32c::crc32c_combine(checksum(&parts.front[..HEADER_BYTES]), body, len - HEADER_BYTES);
        parts
    }

    /// What the rows refer to by number.
    fn put_tables(&self, covered: &[u8], out: &mut Vec<u8>) {
        out.put_varint(self.names.len() as u64);
        self.names.iter().for_each(|name| out.put_text(name));
        out.put_varint(self.streams.len() as u64);
        for stream in &self.streams {
            put_stream(out, &self.batch.streams()[*stream]);
        }
        out.put_varint(self.sources.len() as u64);
        self.sources.iter().for_each(|source| out.put_u128(source.0));
        out.extend_from_slice(covered);
        out.put_varint(self.text_bytes as u64);
        out.put_varint(self.batch.len() as u64);
    }
}

/// Where the longest text of a record lies if others are parts of it: the line as written. Else nowhere.
fn whole(record: RecordRef<'_>) -> Range<usize> {
    let places = || record.own_places().filter_map(|(_, place)| place);
    let mut longest = 0..0;
    for place in places() {
        if place.len() >= longest.len() {
            longest = place;
        }
    }
    if places().filter(|place| is_part(place, &longest)).nth(1).is_some() { longest } else { 0..0 }
}

fn is_part(place: &Range<usize>, whole: &Range<usize>) -> bool {
    !place.is_empty() && place.start >= whole.start && place.end <= whole.end
}

/// The part of a frame behind its header, if compressing makes it shorter.
fn compressed(body: &[u8]) -> Option<Vec<u8>> {
    const LEVEL: i32 = 1;
    if body.len() > BODY_BYTES_MAX {
        return None;
    }
    let smaller = zstd::bulk::compress(body, LEVEL).ok().filter(|smaller| smaller.len() < body.len())?;
    let mut out = vec![ZSTD];
    out.put_varint(body.len() as u64);
    out.extend_from_slice(&smaller);
    Some(out)
}

/// Small numbers of either sign become small numbers.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
