//! Which texts of a block satisfy a test, asked shape by shape.
//!
//! Owns: what is known of each shape for a test: none of its texts satisfies it, all do, or they have to be asked,
//! all or those with certain entries. It is kept for the next block of the group.
//! Does not own: what is asked (`sawyer_query`).
//! Invariant: the answer is that of asking every text.

use std::cell::RefCell;
use std::sync::Arc;

use sawyer_query::{Around, FieldKind, FieldTest, Letters};

use super::find::{Needle, Possible};
use super::{Piece, Portion, Shapes};
use crate::bits::Rows;
use crate::error::Result;
use crate::source::Data;
use crate::text::{Cell, TextTest};

/// So many tests of groups a thread remembers what it found out for.
const REMEMBERED_MAX: usize = 16;

thread_local! {
    static REMEMBERED: RefCell<Vec<Asking>> = const { RefCell::new(Vec::new()) };
}

/// What is known of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unknown,
    /// No text satisfies the test.
    None,
    /// All do.
    All,
    /// Each has to be asked.
    Each,
    /// Those have to be asked that have the letters of one of these needles in an entry.
    WithEntry(u32),
}

/// A test that is asked of the texts of a group.
struct Asking {
    shapes: Arc<Shapes>,
    test: FieldTest,
    kind: FieldKind,
    needles: Vec<Needle>,
    verdicts: Vec<Verdict>,
    gates: Vec<Gate>,
}

/// What a text must have in an entry, of one shape.
struct Gate {
    /// One of these needles.
    needles: Vec<usize>,
    /// The slots that may have it: where their bits start among those of the text, and the number of the piece.
    slots: Vec<(u32, u32)>,
}

/// Puts the rows in whose texts satisfy the test, of the `count` texts of a column.
pub(crate) fn select(
    data: Data<'_>,
    count: usize,
    cells: &[Cell],
    test: &TextTest<'_>,
    out: &mut Rows,
) -> Result<()> {
    let portion = Portion::read(data, count)?;
    let mut asking = Asking::of(&portion.shapes, test);
    let mut raw = Vec::new();
    let mut text = String::new();
    for cell in cells {
        let at = cell.place as usize;
        let Some(shape) = usize::from(portion.ids[at]).checked_sub(1) else {
            raw.push(Cell { place: portion.starts[at], row: cell.row });
            continue;
        };
        let mut verdict = asking.verdicts[shape];
        if verdict == Verdict::Unknown {
            verdict = asking.judge(shape, test.matches);
        }
        let is_asked = match verdict {
            Verdict::None | Verdict::Unknown => false,
            Verdict::All => {
                out.insert(cell.row as usize);
                false
            }
            Verdict::Each => true,
            Verdict::WithEntry(gate) => asking.has_entry(gate, shape, &portion, at),
        };
        if is_asked {
            text.clear();
            portion.make(at, &mut text).map_err(data.place.damaged())?;
            if (test.matches)(&text) {
                out.insert(cell.row as usize);
            }
        }
    }
    asking.remember();
    match &portion.raw {
        Some(found) if !raw.is_empty() => {
            found.text.select(&found.head, &raw, Portion::raw_data(found, data), test, out)
        }
        _ => Ok(()),
    }
}

impl Asking {
    /// What is known for this test, or nothing yet.
    fn of(shapes: &Arc<Shapes>, test: &TextTest<'_>) -> Self {
        let known = REMEMBERED.with_borrow_mut(|remembered| {
            let is_it = |known: &Self| {
                Arc::ptr_eq(&known.shapes, shapes) && known.kind == test.kind && known.test == *test.test
            };
            remembered.iter().position(is_it).map(|at| remembered.swap_remove(at))
        });
        known.unwrap_or_else(|| Self {
            shapes: Arc::clone(shapes),
            test: test.test.clone(),
            kind: test.kind,
            needles: Vec::new(),
            verdicts: vec![Verdict::Unknown; shapes.shapes.len()],
            gates: Vec::new(),
        })
    }

    fn remember(self) {
        REMEMBERED.with_borrow_mut(|remembered| {
            if remembered.len() >= REMEMBERED_MAX {
                remembered.remove(0);
            }
            remembered.push(self);
        });
    }

    /// Finds out what is true of all texts of a shape.
    fn judge(&mut self, shape: usize, matches: &dyn Fn(&str) -> bool) -> Verdict {
        let verdict = self.find_verdict(shape, matches);
        self.verdicts[shape] = verdict;
        verdict
    }

    fn find_verdict(&mut self, shape: usize, matches: &dyn Fn(&str) -> bool) -> Verdict {
        let asked: RefCell<Vec<(usize, Possible)>> = RefCell::default();
        let shapes = Arc::clone(&self.shapes);
        let known_needles = RefCell::new(&mut self.needles);
        let test = &self.test;
        let possible = |letters: Letters<'_>| {
            let needle = needle_of(&mut known_needles.borrow_mut(), letters, &shapes);
            let known = asked.borrow().iter().find(|(known, _)| *known == needle).map(|(_, known)| *known);
            known.unwrap_or_else(|| {
                let possible = known_needles.borrow()[needle].possible(&shapes, shape);
                asked.borrow_mut().push((needle, possible));
                possible
            })
        };
        if !test.may_hold_for_text(&mut |letters| possible(letters) != Possible::default()) {
            return Verdict::None;
        }
        let around = test.holds_around(self.kind);
        if around != Around::Nowhere
            && test.may_hold_for_text(&mut |letters| possible(letters).in_literal)
            && has_stretch(&shapes, shape, around, matches)
        {
            return Verdict::All;
        }
        let surely_asked = |letters: Letters<'_>| {
            let Possible { in_literal, in_slots, .. } = possible(letters);
            in_literal || in_slots
        };
        if test.may_hold_for_text(&mut |letters| surely_asked(letters)) {
            return Verdict::Each;
        }
        // Entries decide. A set of needles of which each is enough, and none of which is too little.
        let is_one = |some: &[usize], letters: Letters<'_>| {
            let needles = known_needles.borrow();
            some.iter().any(|needle| is(&needles[*needle], letters))
        };
        let in_entries: Vec<usize> = {
            let asked = asked.borrow();
            asked.iter().filter(|(_, possible)| possible.in_entries).map(|(needle, _)| *needle).collect()
        };
        let is_enough = |needle: &usize| {
            test.may_hold_for_text(&mut |letters| surely_asked(letters) || is_one(&[*needle], letters))
        };
        let without = |left_out: &[usize]| {
            test.may_hold_for_text(&mut |letters| {
                surely_asked(letters) || possible(letters).in_entries && !is_one(left_out, letters)
            })
        };
        let enough: Vec<usize> = in_entries.iter().copied().filter(is_enough).collect();
        let gate = if !enough.is_empty() && !without(&enough) {
            Some(enough)
        } else {
            in_entries.iter().map(|needle| vec![*needle]).find(|needle| !without(needle))
        };
        let Some(gate) = gate else { return Verdict::Each };
        let mut slots = Vec::new();
        let mut bit = 0;
        for (number, piece) in (0..).zip(shapes.pieces(shape)) {
            let Piece::Slot(slot) = piece else { continue };
            let needles = known_needles.borrow();
            if gate.iter().any(|needle| needles[*needle].is_in_slot(&shapes, slot)) {
                slots.push((bit, number));
            }
            bit += slot.bits() as u32;
        }
        if slots.is_empty() {
            return Verdict::None;
        }
        self.gates.push(Gate { needles: gate, slots });
        Verdict::WithEntry(self.gates.len() as u32 - 1)
    }

    /// Whether a text has one of the needles of a gate in an entry.
    fn has_entry(&self, gate: u32, shape: usize, portion: &Portion, at: usize) -> bool {
        let Gate { needles, slots } = &self.gates[gate as usize];
        let (pieces, start) = (self.shapes.pieces(shape), portion.starts[at]);
        slots.iter().any(|(bit, number)| {
            let Piece::Slot(slot) = &pieces[*number as usize] else { return false };
            let entry = self.shapes.entry_of(slot, &portion.packed, start as usize + *bit as usize);
            entry.is_some_and(|entry| needles.iter().any(|needle| self.needles[*needle].is_in_entry(entry)))
        })
    }
}

fn is(needle: &Needle, letters: Letters<'_>) -> bool {
    match letters {
        Letters::Exact(text) => !needle.any_case && *needle.letters == *text,
        Letters::AnyCase(text) => needle.any_case && *needle.letters == *text,
    }
}

/// The place of the needle for these letters.
fn needle_of(needles: &mut Vec<Needle>, letters: Letters<'_>, shapes: &Shapes) -> usize {
    needles.iter().position(|needle| is(needle, letters)).unwrap_or_else(|| {
        needles.push(match letters {
            Letters::Exact(text) => Needle::new(text, false, shapes),
            Letters::AnyCase(text) => Needle::new(text, true, shapes),
        });
        needles.len() - 1
    })
}

/// Whether a literal of a shape satisfies the test by itself, so that all texts of the shape do.
fn has_stretch(shapes: &Shapes, shape: usize, around: Around, matches: &dyn Fn(&str) -> bool) -> bool {
    let pieces = shapes.pieces(shape);
    pieces.iter().enumerate().any(|(at, piece)| {
        let Piece::Literal(range) = piece else { return false };
        let text = shapes.literal(range);
        if around == Around::Anywhere {
            return matches(text);
        }
        // Words that touch a slot may go on in it.
        let is_space = |c: char| c.is_ascii_whitespace();
        let start = if at == 0 { Some(0) } else { text.find(is_space) };
        let end = if at + 1 == pieces.len() { Some(text.len()) } else { text.rfind(is_space) };
        start.zip(end).is_some_and(|(start, end)| start < end && matches(&text[start..end]))
    })
}
