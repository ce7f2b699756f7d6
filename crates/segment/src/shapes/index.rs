//! Which texts of a block have which shape, and which have which entry.
//!
//! Owns: [`Index`], made of a portion when it is first asked for a word: a new word is then looked for in few texts.
//! Does not own: what is asked (`direct`), for how long it is kept (`segment`).
//! Invariant: each text stands under its shape once, and under the entry of each of its slots.

use std::ops::Range;

use super::{Piece, Portion, Shapes, Slot};
use crate::bits::{Rows, ones};

/// A block whose group has more shapes for each of its texts has no index: it would mostly tell of others.
const SHAPES_A_ROW_MAX: usize = 4;

/// So many entries may the texts of a block have, and so many more for each text: a slot may take no bits, so that a few
/// bytes of a file make as many as they like.
const ENTRIES_MAX: usize = 1 << 20;
const ENTRIES_A_ROW_MAX: usize = 64;

/// About how much a text takes of an index.
const TEXT_BYTES: usize = 11;

/// See the head of the module.
#[derive(Debug)]
pub(crate) struct Index {
    /// By the number of a shape + 1.
    by_id: Lists,
    by_entry: Lists,
    /// How far behind the mark of its 64 each text starts, in bits.
    pub(super) behind: Box<[u16]>,
}

/// Rows under keys. Which keys have any takes few bytes: a question looks for many in each of hundreds of blocks, none of which
/// is in the processor's caches any more.
#[derive(Debug)]
struct Lists {
    /// A bit for each key that has rows.
    has: Box<[u64]>,
    /// For each 64 keys how many keys before them have rows.
    before: Box<[u32]>,
    /// Where the rows end of each key that has any.
    ends: Box<[u32]>,
    rows: Box<[u16]>,
}

impl Lists {
    /// From what [`group`] gives.
    fn of(starts: &[u32], rows: Vec<u16>) -> Self {
        let spans = || starts.windows(2);
        let has: Rows = spans().map(|span| span[0] < span[1]).collect();
        let mut count = 0;
        let counted = |word: &u64| {
            count += word.count_ones();
            count - word.count_ones()
        };
        let before = has.words().iter().map(counted).collect();
        let ends = spans().filter(|span| span[0] < span[1]).map(|span| span[1]).collect();
        Self { has: has.words().into(), before, ends, rows: rows.into() }
    }

    /// Where the rows stand of a key that has any.
    fn span_at(&self, word: usize, bit: usize) -> Range<usize> {
        let at = (self.before[word] + (self.has[word] & !(u64::MAX << bit)).count_ones()) as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        start as usize..self.ends[at] as usize
    }

    /// Calls with those of these keys that have rows, and the rows.
    fn for_each_of(&self, wanted: &Rows, mut call: impl FnMut(usize, &[u16])) {
        // All are looked up before any rows are, so that the processor waits for many of them at once.
        let mut spans: Vec<(usize, Range<usize>)> = Vec::with_capacity(64);
        for (word, (has, wanted)) in self.has.iter().zip(wanted.words()).enumerate() {
            spans.extend(ones(has & wanted).map(|bit| (word * 64 + bit, self.span_at(word, bit))));
        }
        spans.into_iter().for_each(|(key, span)| call(key, &self.rows[span]));
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&*self.has)
            + size_of_val(&*self.before)
            + size_of_val(&*self.ends)
            + size_of_val(&*self.rows)
    }
}

impl Index {
    /// Of a portion; none if its texts are longer or more than can be told here, or damaged.
    pub(crate) fn of(portion: &Portion) -> Option<Self> {
        let shapes: &Shapes = &portion.shapes;
        let is_many = shapes.shapes.len() > SHAPES_A_ROW_MAX * portion.ids.len();
        if portion.ids.len() > usize::from(u16::MAX) || is_many {
            return None;
        }
        let behind = behind_marks(portion, shapes)?;
        let ids: Vec<u32> = portion.ids.iter().map(|id| u32::from(*id)).collect();
        let (starts, by_id) = group(shapes.shapes.len() + 1, &ids, |at| at as u16);
        let count = entries_of(shapes, &starts);
        if count > ENTRIES_MAX + ENTRIES_A_ROW_MAX * portion.ids.len() {
            return None;
        }
        // For each slot of entries of each text its entry and its row.
        let (mut entries, mut rows) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for shape in 0..shapes.shapes.len() {
            let of_shape = &by_id[starts[shape + 1] as usize..starts[shape + 2] as usize];
            if of_shape.is_empty() {
                continue;
            }
            let mut offset = 0;
            for piece in shapes.pieces(shape) {
                let Piece::Slot(slot) = piece else { continue };
                if has_entry(slot) {
                    for row in of_shape {
                        let at = usize::from(*row);
                        let bit = portion.marks[at / 64].bit as usize + usize::from(behind[at]) + offset;
                        let entry = shapes.entry_of(slot, &portion.packed, bit)?;
                        if entry >= shapes.entry_ends.len() {
                            return None;
                        }
                        entries.push(entry as u32);
                        rows.push(*row);
                    }
                }
                offset += slot.bits();
            }
        }
        let (entry_starts, by_entry) = group(shapes.entry_ends.len(), &entries, |at| rows[at]);
        Some(Self { by_id: Lists::of(&starts, by_id), by_entry: Lists::of(&entry_starts, by_entry), behind })
    }

    /// How much memory that of a portion takes, about.
    pub(crate) fn bytes_about(portion: &Portion) -> usize {
        (portion.shapes.shapes.len() + portion.shapes.entry_ends.len()) / 4 + portion.ids.len() * TEXT_BYTES
    }

    /// How much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.by_id.memory_bytes() + self.by_entry.memory_bytes() + size_of_val(&*self.behind)
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.behind.len()
    }

    /// The rows of texts without a shape.
    pub(super) fn raw(&self) -> &[u16] {
        let has_any = self.by_id.has.first().is_some_and(|has| has & 1 == 1);
        if has_any { &self.by_id.rows[self.by_id.span_at(0, 0)] } else { &[] }
    }

    /// Calls with those of these numbers of shapes + 1 that texts have, and the rows.
    pub(super) fn for_each_id(&self, wanted: &Rows, call: impl FnMut(usize, &[u16])) {
        self.by_id.for_each_of(wanted, call);
    }

    /// Calls with those of these entries that texts have, and the rows.
    pub(super) fn for_each_entry(&self, wanted: &Rows, call: impl FnMut(usize, &[u16])) {
        self.by_entry.for_each_of(wanted, call);
    }
}

fn has_entry(slot: &Slot) -> bool {
    matches!(slot, Slot::Entry { .. } | Slot::Listed { .. })
}

/// How many entries texts have whose shapes stand between these starts.
fn entries_of(shapes: &Shapes, starts: &[u32]) -> usize {
    let of_shape = |shape: usize| {
        let rows = (starts[shape + 2] - starts[shape + 1]) as usize;
        let is_entry = |piece: &&Piece| matches!(piece, Piece::Slot(slot) if has_entry(slot));
        if rows == 0 { 0 } else { rows * shapes.pieces(shape).iter().filter(is_entry).count() }
    };
    (0..shapes.shapes.len()).map(of_shape).sum()
}

/// For each text how far behind the mark of its 64 it starts.
fn behind_marks(portion: &Portion, shapes: &Shapes) -> Option<Box<[u16]>> {
    let mut behind = Vec::with_capacity(portion.ids.len());
    for ids in portion.ids.chunks(64) {
        let mut bit = 0u32;
        for id in ids {
            behind.push(u16::try_from(bit).ok()?);
            bit = bit.saturating_add(shapes.id_bits[usize::from(*id)]);
        }
    }
    Some(behind.into())
}

/// Puts together what has the same key, below `count`: for each key where its values start, and where the last ones end.
fn group(count: usize, keys: &[u32], value: impl Fn(usize) -> u16) -> (Vec<u32>, Vec<u16>) {
    let mut starts = vec![0u32; count + 1];
    keys.iter().for_each(|key| starts[*key as usize + 1] += 1);
    let mut end = 0;
    for start in &mut starts {
        end += *start;
        *start = end;
    }
    let mut places = starts.clone();
    let mut values = vec![0; keys.len()];
    for (at, key) in keys.iter().enumerate() {
        let place = &mut places[*key as usize];
        values[*place as usize] = value(at);
        *place += 1;
    }
    (starts, values)
}
