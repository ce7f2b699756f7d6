//! Columns of text: constant, dictionary, fixed-width hexadecimal or UUID, or compressed frames.
//!
//! Owns: these encodings and the choice between them; the same for strings and for JSON kept whole.
//! Does not own: which rows have a text (`column`).
//! Invariant: any text reads back exactly; a text that is not the canonical writing of 16 bytes is never kept as
//! 16 bytes.

mod dictionary;
mod encode;
mod frame;
mod made;
mod select;

use std::sync::{Arc, OnceLock};

use crate::bits::{Rows, packed_bytes};
use crate::bytes::Reader;
use crate::cache::{Kept, Slot};
use crate::error::{Damage, Decoded, Result};
use crate::groups::IdForm;
use crate::ints::{Ints, IntsCursor};
use crate::shapes::{Portion, PortionCursor};
use crate::source::Data;

pub(crate) use self::dictionary::{Dictionary, Strings};
pub(crate) use self::encode::{encode, encode_for_now, encode_strings, put_made, put_shaped};
pub(crate) use self::frame::{TextFrame, Texts};
pub(crate) use self::made::{InJson, JsonPart, MadeText};
pub(crate) use self::select::{Cell, TextTest};

const CONSTANT: u8 = 0;
const DICTIONARY: u8 = 1;
const FRAMES: u8 = 2;
const HEX: u8 = 3;
const UUID: u8 = 4;
const MADE: u8 = 5;
/// Of the shapes that a group of blocks shares.
const SHAPED: u8 = 7;

/// Longest hexadecimal text that is kept as bytes, in bytes: SHA-256.
const HEX_BYTES_MAX: usize = 32;
/// Shortest one, in bytes: below, compression does as well.
const HEX_BYTES_MIN: usize = 8;
const UUID_BYTES: usize = 16;
const UUID_DIGITS: usize = 36;
/// Where the hyphens of a UUID are.
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Codes of dictionaries with so many entries at most are bytes.
const SMALL_ENTRIES_MAX: usize = 256;
/// With so many entries at most the rows of each are kept, which takes no more than the codes as bytes.
const SETS_MAX: usize = 8;
/// Rows in a frame of fixed-width bytes.
const FIXED_FRAME_ROWS: usize = 1024;
/// Rows in a frame of compressed text: fetching one row decompresses as many.
const FRAME_ROWS_MAX: usize = 1024;
/// Text at which a frame is closed; it may end with one longer value.
const FRAME_BYTES_MAX: usize = 128 << 10;

/// A column that was found to be well-formed.
#[derive(Debug)]
pub(crate) struct Text {
    count: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Constant(Box<str>),
    Dictionary {
        entries: TextFrame,
        codes: Ints,
        /// If the entries are not quite few, the codes as bytes, once they were asked for.
        small: OnceLock<Option<Box<[u8]>>>,
        /// If the entries are few, the rows of each, once they were asked for.
        sets: OnceLock<Box<[Rows]>>,
    },
    Frames(Box<[Frame]>),
    Fixed {
        uuid: bool,
        width: usize,
        offset: u64,
        checksums: Box<[u32]>,
    },
    /// Made of the other fields of its record; see [`Text::made`].
    Made(Box<MadeText>),
    /// Lies with the texts of other blocks.
    Shaped,
}

#[derive(Debug)]
struct Frame {
    rows_end: usize,
    rows: usize,
    offset: u64,
    len: u64,
    checksum: u32,
    /// Its texts, as long as they are kept.
    slot: Slot<TextFrame>,
}

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct TextCursor {
    codes: IntsCursor,
    frame: Option<usize>,
    texts: Option<Arc<Kept<TextFrame>>>,
    fixed: Vec<u8>,
    portion: Option<Box<PortionCursor>>,
    digits: String,
}

impl Text {
    /// Reads the head of a column of `count` texts. `data_offset` is where its bulky bytes start, and is moved
    /// behind them.
    pub(crate) fn parse(reader: &mut Reader<'_>, count: usize, data_offset: &mut u64) -> Decoded<Self> {
        let kind = match reader.u8()? {
            CONSTANT => Kind::Constant(reader.text(sawyer_model::limits::VALUE_BYTES_MAX)?.into()),
            DICTIONARY => Self::parse_dictionary(reader, count)?,
            FRAMES => Self::parse_frames(reader, count, data_offset)?,
            HEX => {
                let width = usize::from(reader.u8()?);
                if !(HEX_BYTES_MIN..=HEX_BYTES_MAX).contains(&width) {
                    return Err(Damage::expected("hexadecimal texts within bounds"));
                }
                Self::parse_fixed(reader, count, false, width, data_offset)?
            }
            UUID => Self::parse_fixed(reader, count, true, UUID_BYTES, data_offset)?,
            MADE => Kind::Made(Box::new(MadeText::parse(reader, count, data_offset)?)),
            SHAPED => Kind::Shaped,
            other => return Err(Damage::unknown("encoding of text", other)),
        };
        Ok(Self { count, kind })
    }

    fn parse_dictionary(reader: &mut Reader<'_>, count: usize) -> Decoded<Kind> {
        let entry_count = reader.at_most(count, "no more entries than rows")?;
        let len = reader.count()?;
        let entries = TextFrame::parse(reader.take(len)?, entry_count)?;
        let codes = Ints::parse(reader, count)?;
        Ok(Kind::Dictionary { entries, codes, small: OnceLock::new(), sets: OnceLock::new() })
    }

    fn parse_frames(reader: &mut Reader<'_>, count: usize, data_offset: &mut u64) -> Decoded<Kind> {
        let mut frames = Vec::with_capacity(reader.clone().count()?);
        let mut rows_end = 0;
        for _ in 0..reader.count()? {
            let rows = reader.at_most(count - rows_end, "frames of no more than all rows")?;
            let len = reader.varint()?;
            rows_end += rows;
            let (offset, checksum, slot) = (*data_offset, reader.u32()?, Slot::default());
            frames.push(Frame { rows_end, rows, offset, len, checksum, slot });
            *data_offset =
                data_offset.checked_add(len).ok_or(Damage::expected("frames within the segment"))?;
        }
        if rows_end != count {
            return Err(Damage::expected("a frame for each row"));
        }
        Ok(Kind::Frames(frames.into()))
    }

    fn parse_fixed(
        reader: &mut Reader<'_>,
        count: usize,
        uuid: bool,
        width: usize,
        data_offset: &mut u64,
    ) -> Decoded<Kind> {
        let frame_count = count.div_ceil(FIXED_FRAME_ROWS);
        if frame_count > reader.left() / size_of::<u32>() {
            return Err(Damage::expected("a checksum for each frame"));
        }
        let checksums = (0..frame_count).map(|_| reader.u32()).collect::<Decoded<_>>()?;
        let offset = *data_offset;
        *data_offset = offset
            .checked_add(packed_bytes(count, width as u32 * u8::BITS) as u64)
            .ok_or(Damage::expected("frames within the segment"))?;
        Ok(Kind::Fixed { uuid, width, offset, checksums })
    }

    /// How its texts are made of the other fields of their records, if they are; then the texts cannot be had from
    /// the column alone.
    pub(crate) fn made(&self) -> Option<&MadeText> {
        match &self.kind {
            Kind::Made(made) => Some(made),
            _ => None,
        }
    }

    /// Makes do without so many bytes at the start of its head, if it is made of entries: these were decompressed.
    pub(crate) fn forget_entries(&mut self) -> usize {
        if let Kind::Dictionary { codes, .. } = &mut self.kind { codes.forget_before() } else { 0 }
    }

    /// About how much memory it takes besides its head.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.kind {
            Kind::Constant(text) => text.len(),
            Kind::Dictionary { entries, codes, .. } => {
                let kept = if entries.len() <= SETS_MAX {
                    entries.len() * (self.count / 8 + 64)
                } else if entries.len() <= SMALL_ENTRIES_MAX {
                    self.count
                } else {
                    0
                };
                entries.memory_bytes() + codes.memory_bytes() + kept
            }
            Kind::Frames(frames) => frames.len() * size_of::<Frame>(),
            Kind::Fixed { checksums, .. } => checksums.len() * size_of::<u32>(),
            Kind::Made(made) => made.memory_bytes(),
            Kind::Shaped => 0,
        }
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// In how many frames of their own they lie, if they do.
    pub(crate) fn frame_count(&self) -> Option<usize> {
        if let Kind::Frames(frames) = &self.kind { Some(frames.len()) } else { None }
    }

    /// Whether all texts are the same.
    pub(crate) fn is_constant(&self) -> bool {
        matches!(self.kind, Kind::Constant(_))
    }

    /// Whether its texts lie with those of other blocks.
    pub(crate) fn is_shaped(&self) -> bool {
        matches!(self.kind, Kind::Shaped)
    }

    /// Whether its texts can be had from its head and data alone.
    pub(crate) fn stands_alone(&self) -> bool {
        !matches!(self.kind, Kind::Made(_) | Kind::Shaped)
    }

    /// Compares the checksums of what lies in the data of the column.
    pub(crate) fn check(&self, data: Data<'_>) -> Result<()> {
        match &self.kind {
            Kind::Constant(_) | Kind::Dictionary { .. } => Ok(()),
            Kind::Frames(frames) => frames
                .iter()
                .try_for_each(|frame| data.frame(frame.offset, frame.len, frame.checksum).map(drop)),
            Kind::Fixed { checksums, .. } => {
                (0..checksums.len()).try_for_each(|number| self.fixed_frame(number, data).map(drop))
            }
            Kind::Made(made) => made.check(data),
            Kind::Shaped => Portion::check(data, self.count),
        }
    }

    /// The text at this place. `head` holds the bytes it was parsed from.
    pub(crate) fn get<'a>(
        &'a self,
        head: &[u8],
        at: usize,
        data: Data<'_>,
        cursor: &'a mut TextCursor,
    ) -> Result<&'a str> {
        assert!(at < self.count, "the column has this text");
        match &self.kind {
            Kind::Constant(text) => Ok(text),
            Kind::Dictionary { entries, codes, .. } => {
                let code = codes.get(head, at, &mut cursor.codes);
                let entry = usize::try_from(code).ok().and_then(|code| entries.get(code));
                entry.ok_or(Damage::expected("the code of an entry")).map_err(data.place.damaged())
            }
            Kind::Frames(frames) => {
                let number = frames.partition_point(|frame| frame.rows_end <= at);
                let frame = &frames[number];
                if cursor.frame != Some(number) {
                    cursor.frame = None;
                    cursor.texts = Some(frame.read(data)?);
                    cursor.frame = Some(number);
                }
                let at = at - (frame.rows_end - frame.rows);
                let text = cursor.texts.as_ref().and_then(|texts| texts.get(at));
                Ok(text.expect("the frame has as many texts as rows"))
            }
            Kind::Fixed { uuid, width, .. } => {
                let number = at / FIXED_FRAME_ROWS;
                if cursor.frame != Some(number) {
                    cursor.frame = None;
                    cursor.fixed = self.fixed_frame(number, data)?;
                    cursor.frame = Some(number);
                }
                let start = at % FIXED_FRAME_ROWS * width;
                cursor.digits.clear();
                put_digits(&mut cursor.digits, &cursor.fixed[start..start + width], *uuid);
                Ok(&cursor.digits)
            }
            Kind::Made(_) => Err(data.place.damaged()(Damage::expected("a text that stands by itself"))),
            Kind::Shaped => {
                let TextCursor { portion, digits, .. } = cursor;
                let portion = match portion {
                    Some(portion) => portion,
                    None => portion.insert(Box::new(PortionCursor::read(data, self.count)?)),
                };
                digits.clear();
                portion.put(at, data, digits)?;
                Ok(digits)
            }
        }
    }

    /// Appends the text at this place. `head` holds the bytes it was parsed from.
    pub(crate) fn put(
        &self,
        head: &[u8],
        at: usize,
        data: Data<'_>,
        cursor: &mut TextCursor,
        out: &mut String,
    ) -> Result<()> {
        if let (Kind::Shaped, Some(portion)) = (&self.kind, &mut cursor.portion) {
            assert!(at < self.count, "the column has this text");
            return portion.put(at, data, out);
        }
        out.push_str(self.get(head, at, data, cursor)?);
        Ok(())
    }

    /// How its texts are written, if they are ids of 16 bytes.
    pub(crate) fn id_form(&self) -> Option<IdForm> {
        match self.kind {
            Kind::Fixed { uuid: true, width: UUID_BYTES, .. } => Some(IdForm::Uuid),
            Kind::Fixed { uuid: false, width: UUID_BYTES, .. } => Some(IdForm::Hex),
            _ => None,
        }
    }

    /// Appends the ids at these places, which ascend, of a column that [`has ids`](Self::id_form).
    pub(crate) fn put_ids(&self, places: &[usize], data: Data<'_>, ids: &mut Vec<u128>) -> Result<()> {
        ids.reserve(places.len());
        for places in places.chunk_by(|a, b| a / FIXED_FRAME_ROWS == b / FIXED_FRAME_ROWS) {
            let bytes = self.fixed_frame(places[0] / FIXED_FRAME_ROWS, data)?;
            let (each, _) = bytes.as_chunks::<UUID_BYTES>();
            ids.extend(places.iter().map(|place| u128::from_be_bytes(each[place % FIXED_FRAME_ROWS])));
        }
        Ok(())
    }

    fn fixed_frame(&self, number: usize, data: Data<'_>) -> Result<Vec<u8>> {
        let Kind::Fixed { width, offset, checksums, .. } = &self.kind else {
            unreachable!("called for fixed-width columns only")
        };
        let start = number * FIXED_FRAME_ROWS;
        let rows = FIXED_FRAME_ROWS.min(self.count - start);
        data.frame(offset + (start * width) as u64, (rows * width) as u64, checksums[number])
    }
}

impl Frame {
    /// Its texts, read now or before.
    fn read(&self, data: Data<'_>) -> Result<Arc<Kept<TextFrame>>> {
        let cache = data.home.map(|home| home.segment.cache());
        if let Some(kept) = cache.and_then(|cache| cache.get(&self.slot)) {
            return Ok(kept);
        }
        let texts = self.read_within(data, usize::MAX)?;
        let bytes = texts.memory_bytes();
        Ok(match cache {
            Some(cache) if data.home.is_some_and(|home| home.keep) => cache.keep(&self.slot, texts, bytes),
            _ => Kept::new(texts),
        })
    }

    /// Its texts, if they are no longer together than this.
    fn read_within(&self, data: Data<'_>, bytes_max: usize) -> Result<TextFrame> {
        let bytes = data.frame(self.offset, self.len, self.checksum)?;
        TextFrame::parse_within(&bytes, self.rows, bytes_max).map_err(data.place.damaged())
    }
}

/// The texts that these bytes stand for: lower-case digits, and hyphens if it is a UUID.
pub(crate) fn put_digits(out: &mut String, bytes: &[u8], uuid: bool) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 2 * HEX_BYTES_MAX];
    let mut len = 0;
    for byte in bytes {
        if uuid && UUID_HYPHENS.contains(&len) {
            len += 1;
        }
        text[len] = DIGITS[usize::from(byte >> 4)];
        text[len + 1] = DIGITS[usize::from(byte & 15)];
        len += 2;
    }
    out.push_str(std::str::from_utf8(&text[..len]).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests;
