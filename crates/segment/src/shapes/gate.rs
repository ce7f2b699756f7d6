//! Tests whose texts must have some letters, though these are not enough: expressions with letters in them, phrases.
//!
//! Owns: [`Gate`]: which letters the texts of a shape may have whatever their entries, and which letters entries have. Only
//! texts that may have enough of them are asked, found by the index of a block as for a single word.
//! Does not own: what is known of shapes (`verdict`), the index (`index`), tests of which letters tell all (`direct`).
//! Invariant: no text that is left out satisfies the test. Letters are looked for without what parts words in them, which
//! asks a few more.

use sawyer_query::Letters;

use super::find::Needle;
use super::index::Index;
use super::verdict::{Asking, BY_ENTRY};
use super::{Piece, Portion, Shapes};
use crate::bits::Rows;
use crate::text::TextTest;

/// So many parts of letters are looked for; others are taken to be there.
const PARTS_MAX: usize = u8::BITS as usize;

/// Shorter parts are nearly everywhere.
const PART_BYTES_MIN: usize = 3;

/// See the head of the module.
#[derive(Debug)]
pub(super) struct Gate {
    /// For each shape which of the parts its texts may have otherwise than within entries, a bit for each.
    masks: Box<[u8]>,
    /// For each set of parts whether a text that has them may satisfy the test.
    enough: Box<[bool]>,
    /// The entries that have any, and for each entry which.
    having: Rows,
    table: Box<[u8]>,
    /// Numbers + 1 of the shapes that tell, whatever the entries: all of their texts satisfy the test, or are asked.
    told: Rows,
}

/// The stretches of letters that nothing parts.
fn parts_of(letters: Letters<'_>) -> impl Iterator<Item = (&str, bool)> {
    let (text, any_case) = match letters {
        Letters::Exact(text) => (text, false),
        Letters::AnyCase(text) => (text, true),
    };
    let parts = text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric());
    let is_of_use = move |part: &&str| part.len() >= PART_BYTES_MIN && (part.is_ascii() || !any_case);
    parts.filter(is_of_use).map(move |part| (part, any_case))
}

impl Gate {
    /// For the shapes of a group; none if texts may satisfy the test without any letters that are of use.
    pub(super) fn new(shapes: &Shapes, test: &TextTest<'_>) -> Option<Self> {
        let test = test.test;
        let mut parts: Vec<(Box<str>, bool)> = Vec::new();
        test.for_each_letters(&mut |letters| {
            for (part, any_case) in parts_of(letters) {
                if parts.len() < PARTS_MAX && !parts.contains(&(part.into(), any_case)) {
                    parts.push((part.into(), any_case));
                }
            }
        });
        let has = |mask: usize, (part, any_case): (&str, bool)| {
            let at = parts.iter().position(|known| *known.0 == *part && known.1 == any_case);
            at.is_none_or(|at| mask >> at & 1 == 1)
        };
        let is_enough = |mask: usize| {
            test.may_hold_for_text(&mut |letters| parts_of(letters).all(|part| has(mask, part)))
        };
        let enough: Box<[bool]> = (0..1 << parts.len()).map(is_enough).collect();
        if enough[0] {
            return None;
        }
        let (mut masks, mut table) = (vec![0; shapes.shapes.len()], vec![0; shapes.entry_ends.len()]);
        for (at, (part, any_case)) in parts.iter().enumerate() {
            let bit = 1 << at;
            let needle = Needle::new(part, *any_case, shapes);
            needle.having.iter().for_each(|entry| table[*entry as usize] |= bit);
            let facts = shapes.facts();
            facts.each_hit(shapes, part, *any_case, |hit| {
                masks[hit.shape] |= bit;
                hit.text.len()
            });
            for shape in facts.crossing(part).iter() {
                if masks[shape] & bit == 0 {
                    let possible = needle.go_over(shapes, shape);
                    masks[shape] |= if possible.in_literal || possible.in_slots { bit } else { 0 };
                }
            }
        }
        let having = table.iter().map(|mask| *mask != 0).collect();
        let told = Rows::none(shapes.shapes.len() + 1);
        Some(Self { masks: masks.into(), enough, having, table: table.into(), told })
    }

    /// Whether texts of a shape may satisfy the test whatever their entries.
    pub(super) fn may_hold(&self, shape: usize) -> bool {
        self.enough[usize::from(self.masks[shape])]
    }

    /// Whether texts of a shape that has entries may satisfy the test with some of them.
    pub(super) fn may_hold_by_entry(&self, shape: usize, of_entries: u8) -> bool {
        self.enough[usize::from(self.masks[shape] | of_entries)]
    }

    /// Which parts any entry has.
    pub(super) fn of_entries(&self) -> u8 {
        self.table.iter().fold(0, |all, mask| all | mask)
    }

    /// Notes a shape that tells, by its number + 1.
    pub(super) fn tell(&mut self, id: usize) {
        self.told.insert(id);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.masks.len() + self.enough.len() + self.table.len() + self.having.len() / 8 + self.told.len() / 8
    }

    /// Whether a text may satisfy the test, by its entries. The text's shape leaves it to them.
    pub(super) fn lets_through(&self, shapes: &Shapes, shape: usize, packed: &[u8], mut bit: usize) -> bool {
        let mut mask = self.masks[shape];
        for piece in shapes.pieces(shape) {
            let Piece::Slot(slot) = piece else { continue };
            if let Some(entry) = shapes.entry_of(slot, packed, bit) {
                // Entries that are not there are found to be damaged when a text is made.
                mask |= self.table.get(entry).copied().unwrap_or(u8::MAX);
            }
            bit += slot.bits();
        }
        self.enough[usize::from(mask) % self.enough.len()]
    }

    /// Which texts of a block that have a shape satisfy the test, and which others have to be asked.
    pub(super) fn ask(&self, portion: &Portion, index: &Index, asking: &Asking) -> (Rows, Rows) {
        let count = portion.ids.len();
        let (mut found, mut asked) = (Rows::none(count), Rows::none(count));
        asking.told_by_shapes(&self.told, index, &mut found, &mut asked);
        let mut masks: Vec<u8> = Vec::new();
        index.for_each_entry(&self.having, |entry, rows| {
            masks.resize(count, 0);
            let mask = self.table[entry];
            for row in rows {
                let row = usize::from(*row);
                let id = usize::from(portion.ids[row]);
                if asking.classes[id] & BY_ENTRY != 0 {
                    masks[row] |= mask;
                    if self.enough[usize::from(self.masks[id - 1] | masks[row])] {
                        asked.insert(row);
                    }
                }
            }
        });
        (found, asked)
    }
}
