//! Texts of a few shapes: what many of them have together is kept once for a group of blocks, and of each text only
//! its variables. After CLP (Rodrigues, Luo, Yuan, OSDI '21) and LogGrep (Wei et al., EuroSys '23).
//!
//! Owns: [`Shapes`], what a group keeps once: pieces of text, slots for variables and how they are kept, and the
//! different words that slots name; making a text of a shape and the bits of its slots.
//! Does not own: which texts have which shape (`learn`), the texts of a block (`portion`), asking (`select`).
//! Invariant: any text reads back exactly; one that no shape makes is kept as it is.

mod cut;
mod direct;
mod facts;
mod find;
mod gate;
mod index;
mod lately;
mod learn;
mod planes;
mod portion;
mod program;
mod raw;
mod select;
mod sets;
mod slots;
mod verdict;
mod write;

use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use sawyer_model::limits::VALUE_BYTES_MAX;

use crate::bits::unpack_at;
use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};

use self::facts::Facts;
pub(crate) use self::index::Index;
pub(crate) use self::portion::{Home, Portion, PortionCursor};
pub(crate) use self::raw::Plain;
pub(crate) use self::select::{select, select_all};
pub(crate) use self::write::{KeptAs, Pending, WrittenGroup};

/// Most bytes of what a group keeps once; a reader refuses more before it makes room for them.
pub(crate) const SHAPES_BYTES_MAX: usize = 64 << 20;
/// Most shapes of a group: their numbers, and that of none, fit into 16 bits.
const SHAPES_MAX: usize = u16::MAX as usize - 1;
/// Most pieces of a shape; bounds the work for one text.
const PIECES_MAX: usize = 1024;
/// Most digits of numbers that are kept as such: they fit into 64 bits.
const DIGITS_MAX: usize = 19;
/// Most digits of an id that is kept as bits: SHA-256.
const HEX_DIGITS_MAX: usize = 64;
const UUID_BYTES: usize = 16;
/// How many digits stand between the hyphens of a UUID.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
/// The longest number of 64 bits.
const DECIMAL_BYTES: usize = 20;

mod kind {
    pub(super) const LITERAL: u8 = 0;
    pub(super) const DECIMAL: u8 = 1;
    pub(super) const PADDED: u8 = 2;
    pub(super) const HEX: u8 = 3;
    pub(super) const UUID: u8 = 4;
    pub(super) const ENTRY: u8 = 5;
    pub(super) const LISTED: u8 = 6;
}

/// A part of a shape.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    /// This part of the literals.
    Literal(Range<u32>),
    Slot(Slot),
}

/// How a variable is kept.
#[derive(Clone, Debug, PartialEq)]
enum Slot {
    /// A whole number as it is written without zeros in front: so much above the least one.
    Decimal { least: u64, width: u32 },
    /// A whole number of so many digits.
    Padded { digits: u16, least: u64, width: u16 },
    /// Digits of a hexadecimal number in lower case.
    Hex { digits: u32 },
    /// A UUID in lower case.
    Uuid,
    /// An entry: so far behind the least one.
    Entry { least: u32, width: u32 },
    /// An entry of a list, which is this part of the lists.
    Listed { list: Range<u32>, width: u32 },
}

impl Slot {
    #[inline]
    fn bits(&self) -> usize {
        match self {
            Self::Decimal { width, .. } | Self::Entry { width, .. } | Self::Listed { width, .. } => {
                *width as usize
            }
            Self::Padded { width, .. } => usize::from(*width),
            Self::Hex { digits } => *digits as usize * 4,
            Self::Uuid => UUID_BYTES * 8,
        }
    }
}

const _: () = assert!(size_of::<Piece>() == 16, "a group has tens of thousands of pieces");

/// One shape.
#[derive(Clone, Debug)]
struct Shape {
    /// Of all pieces.
    pieces: Range<u32>,
}

/// What a group of blocks keeps once.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    literals: String,
    entries: String,
    entry_ends: Vec<u32>,
    lists: Vec<u32>,
    pieces: Vec<Piece>,
    shapes: Vec<Shape>,
    /// What the slots of a text take, by the number of its shape + 1; 0 for one without.
    id_bits: Vec<u32>,
    /// How many blocks have texts of the group, and how many rows they have together; 0 as long as nobody said.
    portions: usize,
    rows: usize,
    /// What is true of them whatever is asked, once something was.
    facts: OnceLock<Box<Facts>>,
    /// What was found out for tests lately.
    asked: Mutex<Vec<select::Asked>>,
}

impl Shapes {
    /// Of texts of which none has a shape.
    pub(crate) fn none() -> Self {
        Self { id_bits: vec![0], ..Self::default() }
    }

    /// The same, for so many blocks with so many rows together: answers are kept for them.
    pub(crate) fn for_blocks(self, portions: usize, rows: usize) -> Self {
        Self { portions, rows, ..self }
    }

    /// Reads the bytes that `write` makes.
    pub(crate) fn parse(plain: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(plain);
        let mut found = Self::none();
        let count = reader.count()?;
        let lengths = (0..count)
            .map(|_| reader.at_most(VALUE_BYTES_MAX, "an entry within bounds"))
            .collect::<Decoded<Vec<_>>>()?;
        for length in lengths {
            let text = std::str::from_utf8(reader.take(length)?).map_err(|_| Damage::expected("UTF-8"))?;
            found.entries.push_str(text);
            found.entry_ends.push(found.entries.len() as u32);
        }
        for _ in 0..reader.at_most(SHAPES_MAX, "shapes within bounds")? {
            let start = found.pieces.len() as u32;
            let mut bits = 0;
            for _ in 0..reader.at_most(PIECES_MAX, "pieces within bounds")? {
                let piece = found.parse_piece(&mut reader)?;
                bits += if let Piece::Slot(slot) = &piece { slot.bits() as u32 } else { 0 };
                found.pieces.push(piece);
            }
            found.shapes.push(Shape { pieces: start..found.pieces.len() as u32 });
            found.id_bits.push(bits);
        }
        reader.end()?;
        found.literals.shrink_to_fit();
        found.entries.shrink_to_fit();
        found.lists.shrink_to_fit();
        found.pieces.shrink_to_fit();
        Ok(found)
    }

    fn parse_piece(&mut self, reader: &mut Reader<'_>) -> Decoded<Piece> {
        let slot = match reader.u8()? {
            kind::LITERAL => {
                let start = self.literals.len() as u32;
                self.literals.push_str(reader.text(VALUE_BYTES_MAX)?);
                return Ok(Piece::Literal(start..self.literals.len() as u32));
            }
            kind::DECIMAL => Slot::Decimal { least: reader.varint()?, width: width(reader)? },
            kind::PADDED => {
                let digits = reader.at_most(DIGITS_MAX, "digits within bounds")? as u16;
                Slot::Padded { digits, least: reader.varint()?, width: width(reader)? as u16 }
            }
            kind::HEX => Slot::Hex { digits: reader.at_most(HEX_DIGITS_MAX, "digits within bounds")? as u32 },
            kind::UUID => Slot::Uuid,
            kind::ENTRY => {
                let least = reader.at_most(self.entry_ends.len(), "the number of an entry")? as u32;
                Slot::Entry { least, width: entry_width(reader)? }
            }
            kind::LISTED => {
                let start = self.lists.len() as u32;
                for _ in 0..reader.count()? {
                    let entry = reader.at_most(self.entry_ends.len(), "the number of an entry")?;
                    self.lists.push(entry as u32);
                }
                Slot::Listed { list: start..self.lists.len() as u32, width: entry_width(reader)? }
            }
            other => return Err(Damage::unknown("piece of a shape", other)),
        };
        Ok(Piece::Slot(slot))
    }

    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.literals.capacity()
            + self.entries.capacity()
            + (self.entry_ends.capacity() + self.lists.capacity()) * size_of::<u32>()
            + self.pieces.capacity() * size_of::<Piece>()
            + self.shapes.capacity() * (size_of::<Shape>() + size_of::<u32>())
            + Facts::memory_bytes(self)
    }

    fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| Box::new(Facts::of(self)))
    }

    #[inline]
    fn pieces(&self, shape: usize) -> &[Piece] {
        let Range { start, end } = self.shapes[shape].pieces;
        &self.pieces[start as usize..end as usize]
    }

    fn literal(&self, range: &Range<u32>) -> &str {
        &self.literals[range.start as usize..range.end as usize]
    }

    fn entry(&self, number: usize) -> Option<&str> {
        let end = *self.entry_ends.get(number)? as usize;
        let start = if number == 0 { 0 } else { self.entry_ends[number - 1] as usize };
        Some(&self.entries[start..end])
    }

    /// The number of the entry that a slot has, if it is one of entries. Damaged bits can give any number.
    #[inline]
    fn entry_of(&self, slot: &Slot, packed: &[u8], bit: usize) -> Option<usize> {
        match slot {
            Slot::Entry { least, width } => {
                Some((u64::from(*least) + unpack_at(packed, *width, bit)) as usize)
            }
            Slot::Listed { list, width } => {
                let list = &self.lists[list.start as usize..list.end as usize];
                let entry = list.get(unpack_at(packed, *width, bit) as usize);
                Some(entry.map_or(usize::MAX, |entry| *entry as usize))
            }
            _ => None,
        }
    }

    /// Between which entries those are that a slot may have.
    fn entries_within(&self, slot: &Slot) -> Range<u32> {
        match slot {
            Slot::Entry { least, width } => {
                let count = 1u64.checked_shl(*width).unwrap_or(0);
                *least..u32::try_from(u64::from(*least) + count).unwrap_or(u32::MAX)
            }
            Slot::Listed { list, .. } => {
                let list = &self.lists[list.start as usize..list.end as usize];
                let (least, most) = (list.iter().min(), list.iter().max());
                least.zip(most).map_or(0..0, |(least, most)| *least..most.saturating_add(1))
            }
            _ => 0..0,
        }
    }

    /// Appends the text that a shape makes of the bits from `bit` on.
    fn make(&self, shape: usize, packed: &[u8], mut bit: usize, out: &mut String) -> Decoded<()> {
        let start = out.len();
        for piece in self.pieces(shape) {
            match piece {
                Piece::Literal(range) => out.push_str(self.literal(range)),
                Piece::Slot(slot) => {
                    self.put_slot(slot, packed, bit, out)?;
                    bit += slot.bits();
                }
            }
            if out.len() - start > VALUE_BYTES_MAX {
                return Err(Damage::expected("texts within bounds"));
            }
        }
        Ok(())
    }

    fn put_slot(&self, slot: &Slot, packed: &[u8], bit: usize, out: &mut String) -> Decoded<()> {
        match slot {
            Slot::Decimal { .. } | Slot::Padded { .. } => {
                let mut digits = [0; DECIMAL_BYTES];
                let start = decimal_digits(slot, packed, bit, &mut digits);
                out.push_str(std::str::from_utf8(&digits[start..]).expect("digits are ASCII"));
            }
            Slot::Hex { digits } => put_hex(out, packed, bit, *digits as usize),
            Slot::Uuid => {
                let mut bit = bit;
                for (group, digits) in UUID_GROUPS.into_iter().enumerate() {
                    if group > 0 {
                        out.push('-');
                    }
                    put_hex(out, packed, bit, digits);
                    bit += digits * 4;
                }
            }
            Slot::Entry { .. } | Slot::Listed { .. } => {
                let entry = self.entry_of(slot, packed, bit).and_then(|number| self.entry(number));
                out.push_str(entry.ok_or(Damage::expected("the number of an entry"))?);
            }
        }
        Ok(())
    }
}

fn width(reader: &mut Reader<'_>) -> Decoded<u32> {
    let width = u32::from(reader.u8()?);
    if width > u64::BITS { Err(Damage::expected("numbers of at most 64 bits")) } else { Ok(width) }
}

fn entry_width(reader: &mut Reader<'_>) -> Decoded<u32> {
    let width = width(reader)?;
    if width > u32::BITS { Err(Damage::expected("numbers of entries of at most 32 bits")) } else { Ok(width) }
}

/// Writes the digits of a number to the end of a buffer; says where they start.
fn decimal_digits(slot: &Slot, packed: &[u8], bit: usize, digits: &mut [u8; DECIMAL_BYTES]) -> usize {
    let (least, width, digits_min) = match slot {
        Slot::Decimal { least, width } => (*least, *width, 1),
        Slot::Padded { digits, least, width } => (*least, u32::from(*width), usize::from(*digits)),
        _ => return DECIMAL_BYTES,
    };
    let mut number = least.wrapping_add(unpack_at(packed, width, bit));
    *digits = [b'0'; DECIMAL_BYTES];
    let mut start = digits.len();
    while number > 0 {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    start.min(digits.len() - digits_min.min(digits.len()))
}

fn put_hex(out: &mut String, packed: &[u8], bit: usize, digits: usize) {
    let mut text = [0; HEX_DIGITS_MAX];
    hex_digits(packed, bit, &mut text[..digits]);
    out.push_str(std::str::from_utf8(&text[..digits]).expect("digits are ASCII"));
}

/// Fills a buffer with as many hexadecimal digits.
fn hex_digits(packed: &[u8], bit: usize, text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (chunk, some) in text.chunks_mut(8).enumerate() {
        let mut number = unpack_at(packed, some.len() as u32 * 4, bit + chunk * 32);
        for digit in some {
            *digit = DIGITS[(number & 15) as usize];
            number >>= 4;
        }
    }
}

/// Bytes of shapes that are being written.
#[derive(Debug, Default)]
struct ShapesBuilder {
    entry_lengths: Vec<u8>,
    entry_texts: Vec<u8>,
    entry_count: u64,
    shapes: Vec<u8>,
    shape_count: u64,
}

impl ShapesBuilder {
    fn add_entry(&mut self, text: &str) -> u32 {
        self.entry_lengths.put_varint(text.len() as u64);
        self.entry_texts.extend_from_slice(text.as_bytes());
        self.entry_count += 1;
        (self.entry_count - 1) as u32
    }

    fn bytes(&self) -> usize {
        self.entry_lengths.len() + self.entry_texts.len() + self.shapes.len()
    }

    fn finish(self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.bytes() + 16);
        plain.put_varint(self.entry_count);
        plain.extend_from_slice(&self.entry_lengths);
        plain.extend_from_slice(&self.entry_texts);
        plain.put_varint(self.shape_count);
        plain.extend_from_slice(&self.shapes);
        plain
    }
}

#[cfg(test)]
mod tests;
