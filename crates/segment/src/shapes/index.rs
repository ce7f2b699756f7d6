//! Which texts of a block have which shape, and which have which entry.
//!
//! Owns: [`Index`], made of a portion when it is first asked for a word: a new word is then looked for in few texts.
//! Does not own: what is asked (`direct`), for how long it is kept (`segment`).
//! Invariant: each text stands under its shape once, and under the entry of each of its slots.

use super::{Piece, Portion, Shapes, Slot};

/// A block whose group has more shapes for each of its texts has no index: it would mostly tell of others.
const SHAPES_A_ROW_MAX: usize = 4;

/// So many entries may the texts of a block have, and so many more for each text: a slot may take no bits, so that a few
/// bytes of a file make as many as they like.
const ENTRIES_MAX: usize = 1 << 20;
const ENTRIES_A_ROW_MAX: usize = 64;

/// About how much a text takes of an index.
const TEXT_BYTES: usize = 10;

/// See the head of the module.
#[derive(Debug)]
pub(crate) struct Index {
    /// For each number of a shape + 1 where its rows start; and where the last ones end.
    starts: Box<[u16]>,
    by_id: Box<[u16]>,
    /// Entries that texts have, ascending, and where their rows end.
    entries: Box<[(u32, u32)]>,
    by_entry: Box<[u16]>,
    /// How far behind the mark of its 64 each text starts, in bits.
    pub(super) behind: Box<[u16]>,
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
        let spans = (0..).zip(entry_starts.windows(2));
        let entries = spans.filter(|(_, span)| span[0] < span[1]).map(|(entry, span)| (entry, span[1]));
        Some(Self {
            starts: starts.iter().map(|start| *start as u16).collect(),
            by_id: by_id.into(),
            entries: entries.collect(),
            by_entry: by_entry.into(),
            behind,
        })
    }

    /// How much memory that of a portion takes, about.
    pub(crate) fn bytes_about(portion: &Portion) -> usize {
        portion.shapes.shapes.len() * size_of::<u16>() + portion.ids.len() * TEXT_BYTES
    }

    /// How much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.starts.len() + self.by_id.len() + self.by_entry.len() + self.behind.len()) * size_of::<u16>()
            + self.entries.len() * size_of::<(u32, u32)>()
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.behind.len()
    }

    /// The rows whose shape has this number + 1.
    pub(super) fn rows_of(&self, id: u16) -> &[u16] {
        let at = usize::from(id);
        &self.by_id[usize::from(self.starts[at])..usize::from(self.starts[at + 1])]
    }

    /// Calls with those of these entries (ascending) that texts have, and the rows.
    pub(super) fn for_each_of(&self, wanted: &[u32], mut call: impl FnMut(u32, &[u16])) {
        /// As many steps as it takes to look for an entry among all, about.
        const STEPS: usize = 8;
        let rows = |at: usize| {
            let start = if at == 0 { 0 } else { self.entries[at - 1].1 };
            &self.by_entry[start as usize..self.entries[at].1 as usize]
        };
        if wanted.len() > self.entries.len() / STEPS {
            let mut left = wanted;
            for (at, (entry, _)) in self.entries.iter().enumerate() {
                while left.first().is_some_and(|wanted| wanted < entry) {
                    left = &left[1..];
                }
                match left.first() {
                    None => return,
                    Some(wanted) if wanted == entry => call(*entry, rows(at)),
                    Some(_) => {}
                }
            }
            return;
        }
        let mut from = 0;
        for wanted in wanted {
            from += self.entries[from..].partition_point(|(entry, _)| entry < wanted);
            match self.entries.get(from) {
                None => return,
                Some((entry, _)) if entry == wanted => call(*entry, rows(from)),
                Some(_) => {}
            }
        }
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
