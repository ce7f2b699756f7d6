//! Writing the texts of a group of blocks.
//!
//! Owns: [`Pending`], texts that wait until a group is large enough, and the bytes of a group.
//! Does not own: where they lie in the segment (`encode`).
//! Invariant: equal texts in equal blocks make equal bytes.

use super::learn::{Common, Learned, Part};
use super::slots::{Chosen, Entries};
use super::{SHAPES_BYTES_MAX, SHAPES_MAX, ShapesBuilder, kind};
use crate::bits::{BitWriter, pack, width_of};
use crate::bytes::Put;
use crate::text::{self, Texts};

/// Texts of one field that wait to be written, block by block.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    texts: Texts,
    /// For each block its number, and where its texts end.
    blocks: Vec<(u32, usize)>,
}

/// A group as it is written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// What the group keeps once; empty if no text has a shape.
    pub(crate) shapes: Vec<u8>,
    pub(crate) portions: Vec<WrittenPortion>,
}

/// The texts of a block as they are written.
#[derive(Debug)]
pub(crate) struct WrittenPortion {
    pub(crate) block: u32,
    /// Which shape each text has, and the bits of their slots.
    pub(crate) packed: Vec<u8>,
    /// Texts without a shape: the head of a column of texts, and its data.
    pub(crate) raw_head: Vec<u8>,
    pub(crate) raw_data: Vec<u8>,
}

impl Pending {
    /// Adds the texts of a block.
    pub(crate) fn add(&mut self, block: u32, texts: &Texts) {
        self.texts.append(texts);
        self.blocks.push((block, self.texts.len()));
    }

    /// How many bytes of text wait.
    pub(crate) fn bytes(&self) -> usize {
        self.texts.bytes()
    }

    /// Writes them, by their shapes if these are to be learned, and forgets them.
    pub(crate) fn write(&mut self, learning: bool) -> Written {
        let Self { texts, blocks } = std::mem::take(self);
        let group = if learning { Group::of(&texts) } else { Group::for_now(&texts) };
        let mut next = vec![0; group.shapes.len()];
        let mut start = 0;
        let portions = blocks.iter().map(|(block, end)| {
            let portion = group.portion(*block, start..*end, &texts, &mut next);
            start = *end;
            portion
        });
        let portions = portions.collect();
        Written { shapes: group.plain, portions }
    }
}

/// A shape that texts of the group have.
struct WrittenShape {
    slots: Vec<(Part, Chosen)>,
}

struct Group<'a> {
    /// None if nothing was to be learned.
    learned: Option<Learned<'a>>,
    shapes: Vec<WrittenShape>,
    /// For each text the number of its shape + 1; 0 without one.
    ids: Vec<u16>,
    plain: Vec<u8>,
}

impl<'a> Group<'a> {
    fn of(texts: &'a Texts) -> Self {
        let (learned, mut commons) = Learned::of(texts).commons();
        // Frequent ones come first, so that what is mostly needed lies together.
        commons.sort_by_key(|common| std::cmp::Reverse(common.texts.len()));
        commons.truncate(SHAPES_MAX);
        let mut builder = ShapesBuilder::default();
        let mut entries = Entries::default();
        let shapes: Vec<WrittenShape> =
            commons.iter().map(|common| write_shape(&learned, common, &mut entries, &mut builder)).collect();
        let mut ids = vec![0; texts.len()];
        if shapes.is_empty() || builder.bytes() > SHAPES_BYTES_MAX {
            return Self { learned: Some(learned), shapes: Vec::new(), ids, plain: Vec::new() };
        }
        for (id, common) in (1u16..).zip(&commons) {
            common.texts.iter().for_each(|text| ids[*text as usize] = id);
        }
        Self { learned: Some(learned), shapes, ids, plain: builder.finish() }
    }

    /// Of texts that will soon be written again.
    fn for_now(texts: &Texts) -> Self {
        Self { learned: None, shapes: Vec::new(), ids: vec![0; texts.len()], plain: Vec::new() }
    }

    /// Writes the texts of a block. `next` counts for each shape the texts that were written.
    fn portion(
        &self,
        block: u32,
        range: std::ops::Range<usize>,
        texts: &Texts,
        next: &mut [usize],
    ) -> WrittenPortion {
        let ids = &self.ids[range.clone()];
        let mut packed = Vec::new();
        pack(&mut packed, ids.iter().map(|id| u64::from(*id)), width_of(self.shapes.len() as u64));
        let mut bits = BitWriter::new(&mut packed);
        let mut raw = Texts::default();
        for (text, id) in range.zip(ids) {
            let Some(shape) = usize::from(*id).checked_sub(1) else {
                raw.push(texts.get(text));
                continue;
            };
            for (part, chosen) in &self.shapes[shape].slots {
                let slot = chosen.slot.as_ref().expect("variables without a slot are literals");
                match slot.numbers.get(next[shape]) {
                    Some(number) => bits.put(*number, slot.slot.bits() as u32),
                    None => {
                        let learned = self.learned.as_ref().expect("shapes were learned");
                        let value = value_of(learned, part, text as u32);
                        put_digits(&mut bits, &value[chosen.prefix..value.len() - chosen.suffix]);
                    }
                }
            }
            next[shape] += 1;
        }
        bits.finish();
        let (mut raw_head, mut raw_data) = (Vec::new(), Vec::new());
        match &self.learned {
            _ if raw.len() == 0 => {}
            Some(_) => text::encode(&raw, &mut raw_head, &mut raw_data),
            None => text::encode_for_now(&raw, &mut raw_head, &mut raw_data),
        }
        WrittenPortion { block, packed, raw_head, raw_data }
    }
}

fn value_of<'l>(learned: &'l Learned<'_>, part: &Part, text: u32) -> &'l str {
    match part {
        Part::Variable(number) => learned.variable(text, *number),
        Part::Word(number) => learned.word(text, *number),
        Part::Literal(_) => unreachable!("literals have no values"),
    }
}

/// Appends hexadecimal digits, the first one lowest.
fn put_digits(bits: &mut BitWriter<'_>, text: &str) {
    for byte in text.bytes().filter(|byte| *byte != b'-') {
        let digit = if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 };
        bits.put(u64::from(digit), 4);
    }
}

/// Writes a shape, with variables that do not vary as literals.
fn write_shape(
    learned: &Learned<'_>,
    common: &Common,
    entries: &mut Entries,
    builder: &mut ShapesBuilder,
) -> WrittenShape {
    let mut slots = Vec::new();
    let mut pieces = Vec::new();
    let mut count = 0u64;
    let mut literal = String::new();
    let mut values: Vec<&str> = Vec::new();
    let close = |literal: &mut String, pieces: &mut Vec<u8>| {
        if literal.is_empty() {
            return 0;
        }
        pieces.put_u8(kind::LITERAL);
        pieces.put_text(literal);
        literal.clear();
        1
    };
    for part in &common.parts {
        if let Part::Literal(text) = part {
            literal.push_str(text);
            continue;
        }
        values.clear();
        values.extend(common.texts.iter().map(|text| value_of(learned, part, *text)));
        let chosen = entries.choose(&values, builder);
        literal.push_str(&values[0][..chosen.prefix]);
        if let Some(slot) = &chosen.slot {
            count += close(&mut literal, &mut pieces) + 1;
            slot.put(&mut pieces);
            literal.push_str(&values[0][values[0].len() - chosen.suffix..]);
            slots.push((part.clone(), chosen));
        }
    }
    count += close(&mut literal, &mut pieces);
    builder.shapes.put_varint(count);
    builder.shapes.extend_from_slice(&pieces);
    builder.shape_count += 1;
    WrittenShape { slots }
}
