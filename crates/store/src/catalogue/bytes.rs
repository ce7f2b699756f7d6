//! The catalogue as bytes, pure.
//!
//! Owns: the layout. Invariant: any bytes can be read; nothing is taken that its checksum does not cover.

use sawyer_model::{RangeSet, SeqRange, SourceId, Timestamp};

use super::{Catalogue, SegmentEntry};
use crate::sources::Source;

const MAGIC: [u8; 8] = *b"SAWYRCAT";
const VERSION: u8 = 2;

/// Its segments do not say until when they are kept.
const VERSION_WITHOUT_KEPT: u8 = 1;

/// Magic, version, seven zeros, length of the payload (`u64`), its checksum, the header's checksum.
const HEADER_BYTES: usize = 32;

/// Number, bytes, rows, raw bytes, four times, flags; since version 2 until when it is kept.
const SEGMENT_BYTES_MIN: usize = 9 * 8;

/// Bit of the flags of a segment: its records tell times far from when they were seen.
const FLAG_STRAY: u64 = 1;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("both copies are damaged")]
    Damaged,
    #[error("version {0} is newer than this program")]
    Newer(u8),
}

/// The file: two equal copies.
pub(super) fn encode(catalogue: &Catalogue) -> Vec<u8> {
    let payload = encode_payload(catalogue);
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8] = VERSION;
    header[16..24].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    header[24..28].copy_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    let crc = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    [&header[..], &payload, &header, &payload].concat()
}

/// The content, and whether both copies are good and equal.
pub(super) fn decode(bytes: &[u8]) -> Result<(Catalogue, bool), DecodeError> {
    // The copies are equally long, so the second one is found even if the first header is gone.
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let copies = [decode_copy(first), decode_copy(second)];
    let newer = copies.iter().find_map(|copy| match copy {
        Err(DecodeError::Newer(version)) => Some(*version),
        _ => None,
    });
    match (newer, copies) {
        (Some(version), _) => Err(DecodeError::Newer(version)),
        (None, [Ok(catalogue), Ok(_)]) => Ok((catalogue, first == second)),
        (None, [Ok(catalogue), _] | [_, Ok(catalogue)]) => Ok((catalogue, false)),
        (None, _) => Err(DecodeError::Damaged),
    }
}

fn decode_copy(bytes: &[u8]) -> Result<Catalogue, DecodeError> {
    let (header, payload) = bytes.split_at_checked(HEADER_BYTES).ok_or(DecodeError::Damaged)?;
    let sound = header[..8] == MAGIC && header[28..] == crc32c::crc32c(&header[..28]).to_le_bytes();
    if !sound {
        return Err(DecodeError::Damaged);
    }
    let version = header[8];
    if !(VERSION_WITHOUT_KEPT..=VERSION).contains(&version) {
        return Err(DecodeError::Newer(version));
    }
    let whole = header[16..24] == (payload.len() as u64).to_le_bytes()
        && header[24..28] == crc32c::crc32c(payload).to_le_bytes();
    if !whole {
        return Err(DecodeError::Damaged);
    }
    decode_payload(&mut Reader(payload), version).ok_or(DecodeError::Damaged)
}

fn encode_payload(catalogue: &Catalogue) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |number: u64| out.extend_from_slice(&number.to_le_bytes());
    put(catalogue.generation);
    put(catalogue.wal_first);
    put(catalogue.segment_next);
    put(catalogue.segments.len() as u64);
    for segment in &catalogue.segments {
        for number in [segment.id, segment.bytes, segment.rows, segment.raw_bytes] {
            put(number);
        }
        for time in [segment.time_min, segment.time_max, segment.observed_min, segment.observed_max] {
            put(time.nanos() as u64);
        }
        put(if segment.stray { FLAG_STRAY } else { 0 });
        put(segment.kept_until.nanos() as u64);
    }
    put(catalogue.sources.len() as u64);
    for (id, source) in catalogue.sources.iter() {
        put(id.0 as u64);
        put((id.0 >> 64) as u64);
        put(source.last.nanos() as u64);
        put(source.ranges.range_count() as u64);
        for range in source.ranges.iter() {
            put(range.start);
            put(range.end);
        }
    }
    out
}

fn decode_payload(reader: &mut Reader<'_>, version: u8) -> Option<Catalogue> {
    let mut catalogue = Catalogue {
        generation: reader.number()?,
        wal_first: reader.number()?,
        segment_next: reader.number()?,
        ..Catalogue::default()
    };
    for _ in 0..reader.count(SEGMENT_BYTES_MIN)? {
        catalogue.segments.push(reader.segment(version)?);
    }
    for _ in 0..reader.count(32)? {
        let (id, source) = reader.source()?;
        catalogue.sources.put(id, source);
    }
    reader.0.is_empty().then_some(catalogue)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.number().map(|nanos| Timestamp::from_nanos(nanos as i64))
    }

    /// How many things of at least this size follow; none if there cannot be that many.
    fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len() / bytes_each).then_some(count)
    }

    fn segment(&mut self, version: u8) -> Option<SegmentEntry> {
        Some(SegmentEntry {
            id: self.number()?,
            bytes: self.number()?,
            rows: self.number()?,
            raw_bytes: self.number()?,
            time_min: self.time()?,
            time_max: self.time()?,
            observed_min: self.time()?,
            observed_max: self.time()?,
            stray: self.number()? & FLAG_STRAY != 0,
            kept_until: if version == VERSION_WITHOUT_KEPT { Timestamp::EPOCH } else { self.time()? },
        })
    }

    fn source(&mut self) -> Option<(SourceId, Source)> {
        let (low, high) = (self.number()?, self.number()?);
        let last = self.time()?;
        let mut ranges = RangeSet::new();
        for _ in 0..self.count(16)? {
            ranges.insert(SeqRange::new(self.number()?, self.number()?));
        }
        Some((SourceId(u128::from(high) << 64 | u128::from(low)), Source { ranges, last }))
    }
}
