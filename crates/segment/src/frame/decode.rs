//! Reading a batch.
//!
//! Owns: [`decode_batch`]. Invariant: a record says each name once, and all numbers are those of something that
//! is there; else the frame is damaged and gives no batch at all.

use std::borrow::Cow;

use bytes::Bytes;
use sawyer_model::batch::FoundValue;
use sawyer_model::limits::{BATCH_TEXT_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX};
use sawyer_model::{
    Batch, Covered, Error, ListRef, NameId, RecordHead, SeqRange, SourceId, Timestamp, ValueRef,
};

use super::{
    BATCH_VERSION, BODY_BYTES_MAX, BY_COLUMN, BY_COLUMN_MADE, BY_PART, BY_ROW, HEADER_BYTES, MAGIC, PLAIN,
    ZSTD, columns, part,
};
use crate::bytes::{Reader, checksum};
use crate::column::kind;
use crate::error::{Damage, Decoded, Place, Result, SegmentError};
use crate::value::parse_stream;
use crate::zip;

/// The batch whose bytes these are.
///
/// # Errors
/// `Corrupt` if they are damaged or no batch, `Invalid` if a newer version made them.
pub fn decode_batch(bytes: &[u8]) -> Result<Batch, Error> {
    Ok(decode(bytes, true)?)
}

/// The same without comparing the checksum: for tests of what lies behind it.
///
/// # Errors
/// As [`decode_batch`].
#[doc(hidden)]
pub fn decode_batch_unverified(bytes: &[u8]) -> Result<Batch, Error> {
    Ok(decode(bytes, false)?)
}

/// The same; a batch by columns remembers its bytes ([`Batch::encoded`]), to be passed on as it is.
///
/// # Errors
/// As [`decode_batch`].
pub fn decode_batch_shared(bytes: &Bytes) -> Result<Batch, Error> {
    let mut batch = decode(bytes, true)?;
    if matches!(bytes[MAGIC.len()], BY_COLUMN | BY_COLUMN_MADE) {
        batch.set_encoded(bytes.clone());
    }
    Ok(batch)
}

/// Bytes of memory that decoding will take at most, by what the bytes claim; more is not taken, whatever they are.
///
/// # Errors
/// As [`decode_batch`], for what is looked at.
pub fn batch_memory(bytes: &[u8]) -> Result<usize, Error> {
    let damaged = Place::of("batch").damaged();
    let (version, _, rest) = split(bytes)?;
    let claimed = match version {
        BY_COLUMN | BY_COLUMN_MADE => {
            let bounds = columns::bounds(&mut Reader::new(rest), version == BY_COLUMN_MADE);
            bounds.map(columns::Bounds::memory_bytes)
        }
        _ => body_len(rest).map(|len| len.saturating_mul(BODY_BYTE_MEMORY)),
    };
    Ok(claimed.map_err(damaged)?)
}

/// The version of these bytes, if they are a batch.
#[must_use]
pub fn batch_version(bytes: &[u8]) -> Option<u8> {
    bytes.strip_prefix(MAGIC)?.first().copied()
}

/// What a byte of a body by rows can become: a record takes [`ROW_BYTES_MIN`], a field 3, an element of a list 1.
const BODY_BYTE_MEMORY: usize = 16;

/// Bytes that a record of a body by rows takes at least.
const ROW_BYTES_MIN: usize = 14;

/// The version, the checksum and what follows it.
fn split(bytes: &[u8]) -> Result<(u8, u32, &[u8])> {
    let damaged = |damage| Place::of("batch").damaged()(damage);
    let Some((header, rest)) =
        bytes.split_at_checked(HEADER_BYTES).filter(|(header, _)| header.starts_with(MAGIC))
    else {
        return Err(damaged(Damage::expected("a batch")));
    };
    let version = header[MAGIC.len()];
    if version > BATCH_VERSION {
        return Err(SegmentError::Newer("batch", version));
    }
    if version < BY_ROW {
        return Err(damaged(Damage::expected("a version of a batch")));
    }
    Ok((version, Reader::new(&header[MAGIC.len() + 1..]).u32().map_err(damaged)?, rest))
}

fn decode(bytes: &[u8], verify: bool) -> Result<Batch> {
    let place = Place::of("batch");
    let damaged = |damage| place.damaged()(damage);
    let (version, expected, rest) = split(bytes)?;
    let found = checksum(rest);
    if verify && found != expected {
        return Err(SegmentError::Checksum { place, expected, found });
    }
    if matches!(version, BY_COLUMN | BY_COLUMN_MADE) {
        return columns::decode(rest, version == BY_COLUMN_MADE).map_err(damaged);
    }
    let body = body(rest).map_err(damaged)?;
    decode_body(&body, version == BY_PART).map_err(damaged)
}

fn body(rest: &[u8]) -> Decoded<Cow<'_, [u8]>> {
    let mut reader = Reader::new(rest);
    match reader.u8()? {
        PLAIN => Ok(Cow::Borrowed(&rest[1..])),
        ZSTD => {
            let len = reader.at_most(BODY_BYTES_MAX, "a batch within bounds")?;
            zip::decompress(reader.take(reader.left())?, len).map(Cow::Owned)
        }
        other => Err(Damage::unknown("compression of a batch", other)),
    }
}

/// Bytes of a body, decompressed.
fn body_len(rest: &[u8]) -> Decoded<usize> {
    let mut reader = Reader::new(rest);
    match reader.u8()? {
        PLAIN => Ok(reader.left()),
        ZSTD => reader.at_most(BODY_BYTES_MAX, "a batch within bounds"),
        other => Err(Damage::unknown("compression of a batch", other)),
    }
}

fn decode_body(body: &[u8], by_part: bool) -> Decoded<Batch> {
    let mut reader = Reader::new(body);
    let mut batch = Batch::new();
    let mut names = Vec::new();
    for _ in 0..reader.count()? {
        let name = reader.text(NAME_BYTES_MAX)?;
        names.push(batch.intern(name));
    }
    let streams = streams(&mut reader, &mut batch)?;
    let mut sources = Vec::new();
    for _ in 0..reader.count()? {
        sources.push(SourceId(reader.u128()?));
    }
    let covered = covered(&mut reader, &sources)?;
    let text_len = reader.at_most(BATCH_TEXT_BYTES_MAX, "texts within bounds")?;
    let row_count = reader.count()?;
    let rows_len = reader.left().checked_sub(text_len).ok_or(Damage::expected("texts"))?;
    let rows = Reader::new(reader.take(rows_len)?);
    let text = std::str::from_utf8(reader.take(text_len)?).map_err(|_| Damage::expected("UTF-8"))?;
    let seen = vec![0; batch.name_count()];
    // A batch that grows while it is read takes up to twice what is in it.
    batch.reserve_text(text_len);
    batch.reserve_records(row_count.min(rows_len / ROW_BYTES_MIN), 0);
    let mut records =
        Records { rows, text, names, streams, sources, seen, elements: Vec::new(), by_part, said_bytes: 0 };
    for row in 0..row_count {
        records.read(&mut batch, row as u32 + 1)?;
    }
    records.rows.end()?;
    if !records.text.is_empty() {
        return Err(Damage::expected("no more texts"));
    }
    batch.set_covered(covered);
    Ok(batch)
}

pub(super) fn streams(reader: &mut Reader<'_>, batch: &mut Batch) -> Decoded<Vec<u32>> {
    let count = reader.count()?;
    (0..count).map(|_| Ok(batch.add_stream(&parse_stream(reader)?))).collect()
}

pub(super) fn covered(reader: &mut Reader<'_>, sources: &[SourceId]) -> Decoded<Vec<Covered>> {
    let count = reader.count()?;
    let part = |_| Ok(Covered { source: source(reader, sources)?, range: range(reader)? });
    (0..count).map(part).collect()
}

fn source(reader: &mut Reader<'_>, sources: &[SourceId]) -> Decoded<SourceId> {
    let number = reader.at_most(sources.len(), "a source of the batch")?;
    sources.get(number).copied().ok_or(Damage::expected("a source of the batch"))
}

fn range(reader: &mut Reader<'_>) -> Decoded<SeqRange> {
    let start = reader.varint()?;
    let end = start.checked_add(reader.varint()?).ok_or(Damage::expected("a range"))?;
    Ok(SeqRange { start, end })
}

struct Records<'a> {
    rows: Reader<'a>,
    /// The texts that were not taken yet.
    text: &'a str,
    names: Vec<NameId>,
    streams: Vec<u32>,
    sources: Vec<SourceId>,
    /// For each name the last record that had it.
    seen: Vec<u32>,
    elements: Vec<ValueRef<'a>>,
    /// Whether values may be parts of others.
    by_part: bool,
    /// Bytes of all parts so far.
    said_bytes: usize,
}

impl<'a> Records<'a> {
    /// Reads the record with this number, counted from one.
    fn read(&mut self, batch: &mut Batch, number: u32) -> Decoded<()> {
        let timestamp = self.rows.i64()?;
        let observed = timestamp.wrapping_add(unzigzag(self.rows.varint()?));
        let head = RecordHead {
            timestamp: Timestamp::from_nanos(timestamp),
            observed: Timestamp::from_nanos(observed),
            source: source(&mut self.rows, &self.sources)?,
            range: range(&mut self.rows)?,
        };
        let stream = self.rows.at_most(self.streams.len(), "a stream of the batch")?;
        let stream = *self.streams.get(stream).ok_or(Damage::expected("a stream of the batch"))?;
        let field_count = self.rows.count()?;
        let whole = if self.by_part { self.take_text()? } else { "" };
        let mut writer = batch.begin(head, stream);
        let place = writer.text(whole);
        for _ in 0..field_count {
            let name = self.rows.at_most(self.names.len(), "a name of the batch")?;
            let name = *self.names.get(name).ok_or(Damage::expected("a name of the batch"))?;
            if std::mem::replace(&mut self.seen[name.index()], number) == number {
                return Err(Damage::expected("each name once"));
            }
            let kind = self.rows.u8()?;
            if self.by_part && matches!(kind, part::STR | part::JSON) {
                writer.part(name, place, self.part(kind, whole)?);
            } else if kind == kind::LIST {
                self.read_elements()?;
                writer.field_by_id(name, ValueRef::List(ListRef::from(self.elements.as_slice())));
            } else {
                let value = self.scalar(kind)?;
                writer.field_by_id(name, value);
            }
        }
        Ok(())
    }

    /// A value that is a part of the first text of its record.
    fn part(&mut self, kind: u8, whole: &str) -> Decoded<FoundValue<'static>> {
        let start = self.rows.at_most(whole.len(), "a part of a text")?;
        let len = self.rows.at_most(whole.len() - start, "a part of a text")?;
        whole.get(start..start + len).ok_or(Damage::expected("a part between characters"))?;
        self.said_bytes += len;
        if self.said_bytes > BATCH_TEXT_BYTES_MAX {
            return Err(Damage::expected("texts within bounds"));
        }
        let (start, len) = (start as u32, len as u32);
        Ok(match kind {
            part::STR => FoundValue::Part { start, len },
            _ => FoundValue::JsonPart { start, len },
        })
    }

    fn read_elements(&mut self) -> Decoded<()> {
        self.elements.clear();
        for _ in 0..self.rows.count()? {
            let kind = self.rows.u8()?;
            let element = self.scalar(kind)?;
            self.elements.push(element);
        }
        Ok(())
    }

    fn scalar(&mut self, kind: u8) -> Decoded<ValueRef<'a>> {
        Ok(match kind {
            kind::NULL => ValueRef::Null,
            kind::BOOL => match self.rows.u8()? {
                0 => ValueRef::Bool(false),
                1 => ValueRef::Bool(true),
                _ => return Err(Damage::expected("true or false")),
            },
            kind::INT => ValueRef::Int(unzigzag(self.rows.varint()?)),
            kind::FLOAT => ValueRef::Float(f64::from_bits(self.rows.u64()?)),
            kind::TIMESTAMP => ValueRef::Timestamp(Timestamp::from_nanos(self.rows.i64()?)),
            kind::STR => ValueRef::Str(self.take_text()?),
            kind::JSON => ValueRef::Json(self.take_text()?),
            other => return Err(Damage::unknown("type of value", other)),
        })
    }

    fn take_text(&mut self) -> Decoded<&'a str> {
        let len = self.rows.at_most(VALUE_BYTES_MAX, "a text within bounds")?;
        let (text, rest) =
            self.text.split_at_checked(len).ok_or(Damage::expected("texts of these lengths"))?;
        self.text = rest;
        Ok(text)
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
