//! The texts that one block has of a group.
//!
//! Owns: [`Portion`], read as a whole, because it is small; where the bits of each text start.
//! Does not own: where it lies in the segment (`layout`), what all blocks of the group share ([`Shapes`]).
//! Invariant: what was read has as many texts as the column says, and none of them reads bits behind the end.

use std::sync::Arc;

use super::Shapes;
use crate::bits::{packed_bytes, unpack_at, width_of};
use crate::bytes::Reader;
use crate::error::{Damage, Decoded, Place, Result};
use crate::segment::Segment;
use crate::source::Data;
use crate::text::{Text, TextCursor};

/// Which column of which block asks for its texts.
#[derive(Clone, Copy)]
pub(crate) struct Home<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) block: usize,
    /// The number of its name.
    pub(crate) name: u32,
}

/// See the head of the module.
#[derive(Debug)]
pub(crate) struct Portion {
    pub(super) shapes: Arc<Shapes>,
    /// For each text the number of its shape + 1; 0 without one.
    pub(super) ids: Vec<u16>,
    /// For each text where its bits start; without a shape, the how-manieth of those it is.
    pub(super) starts: Vec<u32>,
    pub(super) packed: Vec<u8>,
    pub(super) raw: Option<Raw>,
}

/// Texts without a shape.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) head: Vec<u8>,
    pub(super) text: Text,
    /// Where their data starts in the segment.
    pub(super) data_offset: u64,
}

/// A portion that was read, and what was read last of its texts without a shape.
#[derive(Debug)]
pub(crate) struct PortionCursor {
    pub(crate) portion: Portion,
    raw: TextCursor,
}

impl PortionCursor {
    /// Reads the `count` texts of a column.
    pub(crate) fn read(data: Data<'_>, count: usize) -> Result<Self> {
        Ok(Self { portion: Portion::read(data, count)?, raw: TextCursor::default() })
    }

    /// The text at this place.
    pub(crate) fn put(&mut self, at: usize, data: Data<'_>, out: &mut String) -> Result<()> {
        let Self { portion, raw } = self;
        if portion.ids[at] == 0 {
            out.push_str(portion.raw_text(at, data, raw)?);
            return Ok(());
        }
        portion.make(at, out).map_err(data.place.damaged())
    }
}

impl Portion {
    /// Reads the `count` texts of a column.
    pub(crate) fn read(data: Data<'_>, count: usize) -> Result<Self> {
        let damaged = || data.place.damaged()(Damage::expected("texts of a group of blocks"));
        let Home { segment, block, name } = data.home.ok_or_else(damaged)?;
        let (group, stored) = segment.footer.portion(name, block).ok_or_else(damaged)?;
        let shapes = segment.shapes(group)?;
        let place = Place { part: "texts", ..data.place };
        let packed = segment.bytes.read_checked(stored.packed, place)?;
        let mut portion = Self { shapes, ids: Vec::new(), starts: Vec::new(), packed, raw: None };
        let raw_count = portion.index(count).map_err(place.at(stored.packed.offset).damaged())?;
        if raw_count > 0 {
            let head = segment.bytes.read_checked(stored.raw_head, place)?;
            let text = parse_raw(&head, raw_count).map_err(place.at(stored.raw_head.offset).damaged())?;
            let data_offset = stored.raw_head.offset.saturating_add(stored.raw_head.len);
            portion.raw = Some(Raw { head, text, data_offset });
        }
        Ok(portion)
    }

    /// Finds where the bits of each text start; says how many texts have no shape.
    fn index(&mut self, count: usize) -> Decoded<usize> {
        let shapes = &self.shapes.shapes;
        let width = width_of(shapes.len() as u64);
        let ids_bytes = packed_bytes(count, width);
        if self.packed.len() < ids_bytes {
            return Err(Damage::expected("a shape for each text"));
        }
        let end = self.packed.len() as u64 * 8;
        let mut bit = ids_bytes as u64 * 8;
        let mut raw = 0;
        self.ids.reserve(count);
        self.starts.reserve(count);
        for at in 0..count {
            let id = unpack_at(&self.packed, width, at * width as usize) as usize;
            self.ids.push(id as u16);
            if id == 0 {
                self.starts.push(raw);
                raw += 1;
                continue;
            }
            let shape = shapes.get(id - 1).ok_or(Damage::expected("the number of a shape"))?;
            self.starts.push(u32::try_from(bit).map_err(|_| Damage::expected("texts within bounds"))?);
            bit += u64::from(shape.bits);
        }
        if bit.div_ceil(8) * 8 != end {
            return Err(Damage::expected("as many bits as all slots take"));
        }
        Ok(raw as usize)
    }

    pub(super) fn make(&self, at: usize, out: &mut String) -> Decoded<()> {
        let shape = usize::from(self.ids[at]) - 1;
        self.shapes.make(shape, &self.packed, self.starts[at] as usize, out)
    }

    /// The data of its texts without a shape.
    pub(super) fn raw_data<'a>(raw: &Raw, data: Data<'a>) -> Data<'a> {
        Data { offset: raw.data_offset, home: None, ..data }
    }

    fn raw_text<'a>(&'a self, at: usize, data: Data<'_>, cursor: &'a mut TextCursor) -> Result<&'a str> {
        let raw = self.raw.as_ref().expect("a text without a shape is among those without");
        raw.text.get(&raw.head, self.starts[at] as usize, Self::raw_data(raw, data), cursor)
    }

    /// Compares the checksums of everything.
    pub(crate) fn check(data: Data<'_>, count: usize) -> Result<()> {
        let portion = Self::read(data, count)?;
        portion.raw.as_ref().map_or(Ok(()), |raw| raw.text.check(Self::raw_data(raw, data)))
    }
}

fn parse_raw(head: &[u8], count: usize) -> Decoded<Text> {
    let mut reader = Reader::new(head);
    let mut data_len = 0;
    let text = Text::parse(&mut reader, count, &mut data_len)?;
    reader.end()?;
    if !text.stands_alone() {
        return Err(Damage::expected("texts that stand by themselves"));
    }
    Ok(text)
}
