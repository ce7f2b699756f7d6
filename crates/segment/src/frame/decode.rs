//! Reading a batch.
//!
//! Owns: [`decode_batch`]. Invariant: a record says each name once, and all numbers are those of something that
//! is there; else the frame is damaged and gives no batch at all.

use std::borrow::Cow;

use sawyer_model::limits::{BATCH_TEXT_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX};
use sawyer_model::{
    Batch, Covered, Error, ListRef, NameId, RecordHead, SeqRange, SourceId, Timestamp, ValueRef,
};

use super::{BODY_BYTES_MAX, HEADER_BYTES, MAGIC, PLAIN, VERSION, ZSTD};
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

fn decode(bytes: &[u8], verify: bool) -> Result<Batch> {
    let place = Place::of("batch");
    let damaged = |damage| place.damaged()(damage);
    let Some((header, rest)) =
        bytes.split_at_checked(HEADER_BYTES).filter(|(header, _)| header.starts_with(MAGIC))
    else {
        return Err(damaged(Damage::expected("a batch")));
    };
    let version = header[MAGIC.len()];
    if version > VERSION {
        return Err(SegmentError::Newer("batch", version));
    }
    let expected = Reader::new(&header[MAGIC.len() + 1..]).u32().map_err(damaged)?;
    let found = checksum(rest);
    if verify && found != expected {
        return Err(SegmentError::Checksum { place, expected, found });
    }
    let body = body(rest).map_err(damaged)?;
    decode_body(&body).map_err(damaged)
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

fn decode_body(body: &[u8]) -> Decoded<Batch> {
    let mut reader = Reader::new(body);
    let mut batch = Batch::new();
    let mut names = Vec::new();
    for _ in 0..reader.count()? {
        let name = reader.text(NAME_BYTES_MAX)?;
        names.push(batch.intern(name));
    }
    let mut streams = Vec::new();
    for _ in 0..reader.count()? {
        streams.push(batch.add_stream(&parse_stream(&mut reader)?));
    }
    let mut sources = Vec::new();
    for _ in 0..reader.count()? {
        sources.push(SourceId(reader.u128()?));
    }
    let mut covered = Vec::new();
    for _ in 0..reader.count()? {
        covered.push(Covered { source: source(&mut reader, &sources)?, range: range(&mut reader)? });
    }
    let text_len = reader.at_most(BATCH_TEXT_BYTES_MAX, "texts within bounds")?;
    let row_count = reader.count()?;
    let rows_len = reader.left().checked_sub(text_len).ok_or(Damage::expected("texts"))?;
    let rows = Reader::new(reader.take(rows_len)?);
    let text = std::str::from_utf8(reader.take(text_len)?).map_err(|_| Damage::expected("UTF-8"))?;
    let seen = vec![0; batch.name_count()];
    let mut records = Records { rows, text, names, streams, sources, seen, elements: Vec::new() };
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

fn source(reader: &mut Reader<'_>, sources: &[SourceId]) -> Decoded<SourceId> {
    let number = reader.at_most(sources.len(), "a source of the batch")?;
    sources.get(number).copied().ok_or(Damage::expected("a source of the batch"))
}

fn range(reader: &mut Reader<'_>) -> Decoded<SeqRange> {
    let start = reader.varint()?;
    let len = reader.varint()?;
    Ok(SeqRange { start, end: start.wrapping_add(len) })
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
        let mut writer = batch.begin(head, stream);
        for _ in 0..field_count {
            let name = self.rows.at_most(self.names.len(), "a name of the batch")?;
            let name = *self.names.get(name).ok_or(Damage::expected("a name of the batch"))?;
            if std::mem::replace(&mut self.seen[name.index()], number) == number {
                return Err(Damage::expected("each name once"));
            }
            let kind = self.rows.u8()?;
            if kind == kind::LIST {
                self.read_elements()?;
                writer.field_by_id(name, ValueRef::List(ListRef::from(self.elements.as_slice())));
            } else {
                let value = self.scalar(kind)?;
                writer.field_by_id(name, value);
            }
        }
        Ok(())
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
