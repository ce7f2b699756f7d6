//! Writing the texts of a group of blocks.
//!
//! Owns: [`Pending`], texts that wait until a group is large enough, and the bytes of a group.
//! Does not own: where they lie in the segment (`encode`).
//! Invariant: equal texts in equal blocks make equal bytes.

use super::learn::{Common, Part, Span, learn};
use super::slots::{Chosen, Entries, Written};
use super::{SHAPES_BYTES_MAX, Shapes, ShapesBuilder, kind};
use crate::bits::{BitWriter, pack, width_of};
use crate::bytes::Put;
use crate::ints::Packing;
use crate::text::{self, Texts};

/// How the texts of a group are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptAs {
    /// By what they have together.
    ByShape,
    /// Compressed, each block's by themselves.
    Zipped,
    /// As they are: they will soon be written again.
    ForNow,
}

/// Texts of one field that wait to be written, block by block.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    texts: Texts,
    /// For each block its number, and where its texts end.
    blocks: Vec<(u32, usize)>,
}

/// A group as it is written.
#[derive(Debug, Default)]
pub(crate) struct WrittenGroup {
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

    /// Writes them, and forgets them. What is not learned from is packed in bits.
    pub(crate) fn write(&mut self, kept: KeptAs, packing: Packing) -> WrittenGroup {
        let Self { texts, blocks } = std::mem::take(self);
        let group = match kept {
            KeptAs::ByShape => Group::of(&texts),
            KeptAs::Zipped => Group::without_shapes(&texts, true),
            KeptAs::ForNow => Group::without_shapes(&texts, false),
        };
        let mut next = vec![0; group.shapes.len()];
        let mut start = 0;
        let known = if packing == Packing::Planes { Some(group.shapes_again()) } else { None };
        let portions = blocks.iter().map(|(block, end)| {
            let mut portion = group.portion(*block, start..*end, &texts, packing, &mut next);
            if let Some(known) = &known {
                portion.packed = known.to_planes(&portion.packed, end - start);
            }
            start = *end;
            portion
        });
        let portions = portions.collect();
        WrittenGroup { shapes: group.plain, portions }
    }
}

/// How the values of a shape are written.
struct WrittenShape {
    /// The bits of each number of a text.
    widths: Vec<u32>,
    /// The numbers of all texts, one behind another.
    numbers: Vec<u64>,
}

struct Group {
    /// Whether texts without a shape are compressed.
    zipped: bool,
    shapes: Vec<WrittenShape>,
    /// For each text the number of its shape + 1; 0 without one.
    ids: Vec<u16>,
    plain: Vec<u8>,
}

impl Group {
    fn of(texts: &Texts) -> Self {
        let (commons, spans) = learn(texts);
        let mut builder = ShapesBuilder::default();
        let mut entries = Entries::default();
        let shapes: Vec<WrittenShape> = commons
            .iter()
            .map(|common| write_shape((texts, &spans), common, &mut entries, &mut builder))
            .collect();
        let mut ids = vec![0; texts.len()];
        if shapes.is_empty() || builder.bytes() > SHAPES_BYTES_MAX {
            return Self { zipped: true, shapes: Vec::new(), ids, plain: Vec::new() };
        }
        for (id, common) in (1u16..).zip(&commons) {
            common.texts.iter().for_each(|text| ids[*text as usize] = id);
        }
        Self { zipped: true, shapes, ids, plain: builder.finish() }
    }

    fn without_shapes(texts: &Texts, zipped: bool) -> Self {
        Self { zipped, shapes: Vec::new(), ids: vec![0; texts.len()], plain: Vec::new() }
    }

    /// The shapes as who reads them has them.
    fn shapes_again(&self) -> Shapes {
        if self.plain.is_empty() {
            return Shapes::none();
        }
        Shapes::parse(&self.plain).expect("what was written can be read")
    }

    /// Writes the texts of a block. `next` counts for each shape the texts that were written.
    fn portion(
        &self,
        block: u32,
        range: std::ops::Range<usize>,
        texts: &Texts,
        packing: Packing,
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
            let WrittenShape { widths, numbers } = &self.shapes[shape];
            let start = next[shape] * widths.len();
            for (number, width) in numbers[start..start + widths.len()].iter().zip(widths) {
                bits.put(*number, *width);
            }
            next[shape] += 1;
        }
        bits.finish();
        let (mut raw_head, mut raw_data) = (Vec::new(), Vec::new());
        if raw.len() > 0 && self.zipped {
            text::encode(packing, &raw, &mut raw_head, &mut raw_data);
        } else if raw.len() > 0 {
            text::encode_for_now(&raw, &mut raw_head, &mut raw_data);
        }
        WrittenPortion { block, packed, raw_head, raw_data }
    }
}

/// Writes a shape, with variables that do not vary as literals.
fn write_shape(
    (texts, spans): (&Texts, &[Span]),
    common: &Common,
    entries: &mut Entries,
    builder: &mut ShapesBuilder,
) -> WrittenShape {
    let mut slots: Vec<Written> = Vec::new();
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
        let slot = match part {
            Part::Literal(text) => {
                literal.push_str(text);
                continue;
            }
            Part::Slot(slot) => *slot,
        };
        values.clear();
        let starts = common.starts.iter();
        values.extend(starts.map(|start| spans[*start as usize + slot].of(texts.all())));
        let Chosen { prefix, suffix, slot } = entries.choose(&values, builder);
        literal.push_str(&values[0][..prefix]);
        if let Some(slot) = slot {
            count += close(&mut literal, &mut pieces) + 1;
            slot.put(&mut pieces);
            literal.push_str(&values[0][values[0].len() - suffix..]);
            slots.push(slot);
        }
    }
    count += close(&mut literal, &mut pieces);
    builder.shapes.put_varint(count);
    builder.shapes.extend_from_slice(&pieces);
    builder.shape_count += 1;
    in_rows(&slots, common.texts.len())
}

/// The numbers of all slots, text by text.
fn in_rows(slots: &[Written], texts: usize) -> WrittenShape {
    let widths: Vec<u32> = slots.iter().flat_map(Written::widths).collect();
    let mut numbers = vec![0; widths.len() * texts];
    let mut column = 0;
    for slot in slots {
        let per_text = slot.numbers_per_value();
        let rows = numbers.chunks_exact_mut(widths.len());
        if per_text == 1 {
            rows.zip(&slot.numbers).for_each(|(row, number)| row[column] = *number);
        } else {
            let some = slot.numbers.chunks_exact(per_text);
            rows.zip(some).for_each(|(row, some)| row[column..column + per_text].copy_from_slice(some));
        }
        column += per_text;
    }
    WrittenShape { widths, numbers }
}
