//! The texts that one block has of a group.
//!
//! Owns: [`Portion`], read as a whole, because it is small; where the bits of each text start.
//! Does not own: where it lies in the segment (`layout`), what all blocks of the group share ([`Shapes`]).
//! Invariant: what was read has as many texts as the column says, and none of them reads bits behind the end.

use std::sync::Arc;

use super::Shapes;
use super::raw::{Plain, Raw};
use crate::bits::{packed_bytes, unpack_at, width_of};
use crate::bytes::Reader;
use crate::cache::{Cache, Kept};
use crate::error::{Damage, Decoded, Place, Result};
use crate::ints::Packing;
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
    /// Whether what is read is kept for the next question.
    pub(crate) keep: bool,
}

/// See the head of the module.
#[derive(Debug)]
pub(crate) struct Portion {
    pub(super) shapes: Arc<Kept<Shapes>>,
    /// For each text the number of its shape + 1; 0 without one.
    pub(super) ids: Vec<u16>,
    /// The place of each 64th text.
    pub(super) marks: Vec<Spot>,
    pub(super) packed: Vec<u8>,
    pub(super) raw: Option<Raw>,
}

/// Where a text is found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spot {
    /// Where its bits start.
    pub(super) bit: u32,
    /// How many before it have no shape.
    pub(super) raw: u32,
}

/// A portion that was read, and what was read last of its texts.
#[derive(Debug)]
pub(crate) struct PortionCursor {
    pub(crate) portion: Arc<Kept<Portion>>,
    at: usize,
    place: Spot,
    raw: TextCursor,
    /// The texts without a shape, if they are kept as they are.
    plain: Option<Arc<Kept<Plain>>>,
    /// Whether that was found out, when the first of them was needed.
    asked: bool,
}

impl Spot {
    /// The place of the text behind the one here, which has this shape.
    #[inline]
    pub(super) fn behind(self, id: u16, shapes: &Shapes) -> Self {
        let bits = shapes.id_bits[usize::from(id)];
        Self { bit: self.bit.wrapping_add(bits), raw: self.raw + u32::from(id == 0) }
    }
}

impl PortionCursor {
    /// Reads the `count` texts of a column.
    pub(crate) fn read(data: Data<'_>, count: usize) -> Result<Self> {
        let portion = Portion::of(data, count)?;
        let raw = TextCursor::default();
        Ok(Self { portion, at: 0, place: Spot::default(), raw, plain: None, asked: false }.begun())
    }

    fn begun(mut self) -> Self {
        self.place = self.portion.marks.first().copied().unwrap_or_default();
        self
    }

    /// The text at this place.
    pub(crate) fn put(&mut self, at: usize, data: Data<'_>, out: &mut String) -> Result<()> {
        let Self { portion, raw, plain, asked, .. } = self;
        if at < self.at || at / 64 != self.at / 64 {
            self.at = at / 64 * 64;
            self.place = portion.marks[at / 64];
        }
        for id in &portion.ids[self.at..at] {
            self.place = self.place.behind(*id, &portion.shapes);
        }
        self.at = at;
        let Spot { bit, raw: rank } = self.place;
        match usize::from(portion.ids[at]).checked_sub(1) {
            Some(shape) => {
                let made = portion.shapes.make(shape, &portion.packed, bit as usize, out);
                made.map_err(data.place.damaged())
            }
            None => {
                let texts = portion.raw.as_ref().expect("a text without a shape is among those without");
                if !*asked {
                    *asked = true;
                    *plain = texts.plain_for_few(data)?.filter(|plain| plain.len() == texts.text.len());
                }
                if let Some(plain) = plain {
                    plain.put(rank as usize, out);
                    return Ok(());
                }
                let data = Portion::raw_data(texts, data);
                out.push_str(texts.text.get(&texts.head, rank as usize, data, raw)?);
                Ok(())
            }
        }
    }
}

impl Portion {
    /// The `count` texts of a column, read now or before.
    pub(crate) fn of(data: Data<'_>, count: usize) -> Result<Arc<Kept<Self>>> {
        let damaged = || data.place.damaged()(Damage::expected("texts of a group of blocks"));
        let home = data.home.ok_or_else(damaged)?;
        home.segment.portion(data, home, count)
    }

    /// Reads the `count` texts of a column.
    pub(crate) fn read(data: Data<'_>, home: Home<'_>, count: usize) -> Result<Self> {
        let damaged = || data.place.damaged()(Damage::expected("texts of a group of blocks"));
        let Home { segment, block, name, .. } = home;
        let (group, stored) = segment.footer.portion(name, block).ok_or_else(damaged)?;
        let shapes = segment.shapes(group)?;
        let place = Place { part: "texts", ..data.place };
        let mut packed = segment.bytes.read_checked(stored.packed, place)?;
        if segment.footer.groups[group].packing == Packing::Planes {
            // A number takes 64 bits at most, and a byte of text at least.
            let bytes_max = segment.footer.blocks[block].raw_bytes.saturating_mul(8);
            packed = shapes
                .to_bits(&packed, count, bytes_max)
                .map_err(place.at(stored.packed.offset).damaged())?;
        }
        let mut portion = Self { shapes, ids: Vec::new(), marks: Vec::new(), packed, raw: None };
        let raw_count = portion.index(count).map_err(place.at(stored.packed.offset).damaged())?;
        if raw_count > 0 {
            let head = segment.bytes.read_checked(stored.raw_head, place)?;
            let text = parse_raw(&head, raw_count).map_err(place.at(stored.raw_head.offset).damaged())?;
            let data_offset = stored.raw_head.offset.saturating_add(stored.raw_head.len);
            portion.raw = Some(Raw { head, text, data_offset });
        }
        Ok(portion)
    }

    /// Finds where the bits of the texts start; says how many texts have no shape.
    pub(super) fn index(&mut self, count: usize) -> Decoded<usize> {
        let shapes: &Shapes = &self.shapes;
        let width = width_of(shapes.shapes.len() as u64);
        let ids_bytes = packed_bytes(count, width);
        if self.packed.len() < ids_bytes {
            return Err(Damage::expected("a shape for each text"));
        }
        let end = self.packed.len() as u64 * 8;
        let mut bit = ids_bytes as u64 * 8;
        let mut raw = 0;
        self.ids.reserve_exact(count);
        self.marks.reserve_exact(count.div_ceil(64));
        for at in 0..count {
            let id = unpack_at(&self.packed, width, at * width as usize) as usize;
            let bits = shapes.id_bits.get(id).ok_or(Damage::expected("the number of a shape"))?;
            if at % 64 == 0 {
                let start = u32::try_from(bit).map_err(|_| Damage::expected("texts within bounds"))?;
                self.marks.push(Spot { bit: start, raw });
            }
            self.ids.push(id as u16);
            raw += u32::from(id == 0);
            bit += u64::from(*bits);
        }
        if bit.div_ceil(8) * 8 != end || bit > u64::from(u32::MAX) {
            return Err(Damage::expected("as many bits as all slots take"));
        }
        Ok(raw as usize)
    }

    /// Says that it was asked for, and so its shapes were.
    pub(crate) fn note_shapes_use(&self, cache: &Cache) {
        cache.note_use(&self.shapes);
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let raw = self.raw.as_ref().map_or(0, Raw::memory_bytes);
        self.ids.len() * size_of::<u16>() + self.marks.len() * size_of::<Spot>() + self.packed.len() + raw
    }

    /// The data of its texts without a shape.
    pub(super) fn raw_data<'a>(raw: &Raw, data: Data<'a>) -> Data<'a> {
        Data { offset: raw.data_offset, home: None, ..data }
    }

    /// Compares the checksums of everything.
    pub(crate) fn check(data: Data<'_>, count: usize) -> Result<()> {
        let damaged = || data.place.damaged()(Damage::expected("texts of a group of blocks"));
        let portion = Self::read(data, data.home.ok_or_else(damaged)?, count)?;
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
