//! What is known of the shapes of a group for a test.
//!
//! Owns: [`Asking`]: of each shape that none of its texts satisfies the test, all do, or they have to be asked, and
//! which entries decide then. It is found out once for a group, and kept for the other blocks of the group, with the
//! answers of these blocks: the same condition is asked by a page, its histogram and its values, and by whoever looks again.
//! Does not own: what is asked (`sawyer_query`), regular expressions over pieces (`program`), rows (`select`).
//! Invariant: what is said of a text without making it is what the test says of the text.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use sawyer_query::tokens::parts_words;
use sawyer_query::{Around, FieldTest, Letters};

use super::direct::{Direct, letters_of};
use super::facts::HAS_ENTRIES;
use super::find::{Needle, Possible};
use super::program::Programs;
use super::{Piece, Shapes, Slot};
use crate::bits::{Rows, unpack_at};
use crate::text::TextTest;

/// What is said of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    No,
    Yes,
    /// It has to be made and asked.
    Unknown,
}

/// What is known of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// No text satisfies the test.
    None,
    /// All do.
    All,
    /// Each has to be asked.
    Each,
    /// Those have to be asked that have certain letters in an entry: these slots tell.
    WithEntry(u32, u32),
}

/// Bits of the classes of shapes.
pub(super) const ALL: u8 = 1;
pub(super) const ASKED: u8 = 2;
/// Only those are asked that have an entry that matters.
pub(super) const BY_ENTRY: u8 = 4;

/// Bits of what is known of an entry.
const HAS: u8 = 1;
const HOLDS: u8 = 2;

/// See the head of the module. By the number of the shape + 1; what has no shape is asked.
#[derive(Debug)]
pub(super) struct Asking {
    /// Bit 0: all satisfy the test; bit 1: they are asked; bit 2: if their entries say so.
    pub(super) classes: Vec<u8>,
    /// What is known of entries, where any one of some letters is enough.
    pub(super) direct: Option<Direct>,
    /// Which of the slots have to be looked at first; none for most.
    spans: Vec<(u32, u32)>,
    /// What a text must have in one of its entries, all of one shape beside each other: a row touches as few places
    /// as possible.
    slots: Vec<GateSlot>,
    /// For each set of needles what is known of the entries.
    tables: Vec<Vec<u8>>,
    programs: Option<Programs>,
    /// By the place of a block in the group: which of its texts satisfy the test, once all were asked.
    pub(super) answers: Box<[OnceLock<Rows>]>,
    /// How many rows the blocks have together.
    rows: usize,
}

/// A slot that may have it.
#[derive(Debug)]
struct GateSlot {
    /// Where its bits start among those of the text.
    bit: u32,
    width: u32,
    codes: Codes,
    /// Whether an entry that satisfies the test by itself is enough.
    apart: bool,
}

/// Which numbers of a slot mean entries of which something is known.
#[derive(Debug)]
enum Codes {
    /// This number alone, and what is known of it. Most words are there once.
    One(u64, u8),
    /// What is known of each number. Those behind are damage, which is found when the text is made.
    Each(Box<[u8]>),
    /// The entry with this number + the slot's, by this table.
    From(u64, usize),
}

/// Slots of wider numbers are not told by a table of their own.
const CODES_WIDTH_MAX: u32 = 10;
/// Nor are they once the tables of a group are this large together, in bytes: a slot may be a few bytes of a file.
const CODES_BYTES_MAX: usize = 4 << 20;

/// What is being found out.
struct Judge<'a> {
    shapes: &'a Shapes,
    test: &'a TextTest<'a>,
    needles: RefCell<Vec<Needle>>,
    slots: Vec<GateSlot>,
    /// The needles of each table.
    tables: Vec<(Vec<usize>, Vec<u8>)>,
    /// How large tables of slots may become yet.
    codes_left: usize,
}

impl Asking {
    /// Finds out what is true of the shapes of a group.
    pub(super) fn of(shapes: &Shapes, test: &TextTest<'_>) -> Self {
        match letters_of(test) {
            Some(letters) => Self::directly(shapes, test, &letters),
            None => Self::by_verdicts(shapes, test),
        }
    }

    /// The same for a test that any of these letters is enough for: most shapes need not be looked at.
    fn directly(shapes: &Shapes, test: &TextTest<'_>, letters: &[(Box<str>, bool)]) -> Self {
        let of_letters = |(text, any_case): &(Box<str>, bool)| Needle::new(text, *any_case, shapes);
        let needles: Vec<Needle> = letters.iter().map(of_letters).collect();
        let mut direct = Direct::new(shapes, test, &needles);
        let facts = shapes.facts();
        let by_entry = |apart: &u8| {
            if direct.has_entries() && *apart & HAS_ENTRIES != 0 { ASKED | BY_ENTRY } else { 0 }
        };
        let mut classes = vec![ASKED];
        classes.extend(facts.apart.iter().map(by_entry));
        let around = test.test.holds_around(test.kind);
        let mut open = Rows::none(shapes.shapes.len());
        for needle in &needles {
            if needle.anywhere {
                open = Rows::all(shapes.shapes.len());
                break;
            }
            open.unite(&facts.crossing(&needle.letters));
            facts.each_hit(shapes, &needle.letters, needle.any_case, |hit| {
                let class = &mut classes[hit.shape + 1];
                // What is open is gone over below: a hit that is left out changes no answer.
                let (holds, next) = match around {
                    _ if *class == ALL => return hit.text.len(),
                    Around::Nowhere => (false, hit.text.len()),
                    Around::Anywhere => ((test.matches)(hit.text), hit.text.len()),
                    Around::BetweenSpaces => {
                        let (part, end) = hit.part();
                        (part.is_some_and(test.matches), end)
                    }
                };
                if holds {
                    *class = ALL;
                    return hit.text.len();
                }
                open.insert(hit.shape);
                next
            });
        }
        for shape in open.iter() {
            if classes[shape + 1] == ALL {
                continue;
            }
            let (mut in_literal, mut in_slots) = (false, false);
            for possible in needles.iter().map(|needle| needle.go_over(shapes, shape)) {
                in_literal |= possible.in_literal;
                in_slots |= possible.in_slots;
            }
            if in_literal && around != Around::Nowhere && has_stretch(shapes, shape, around, test.matches) {
                classes[shape + 1] = ALL;
            } else if in_literal || in_slots {
                classes[shape + 1] = ASKED;
            }
        }
        for (id, class) in classes.iter().enumerate().skip(1) {
            if matches!(*class, ALL | ASKED) {
                direct.tell(id);
            }
        }
        let answers = (0..shapes.portions).map(|_| OnceLock::new()).collect();
        let (spans, slots, tables) = Default::default();
        Self {
            classes,
            direct: Some(direct),
            spans,
            slots,
            tables,
            programs: None,
            answers,
            rows: shapes.rows,
        }
    }

    /// The same for any test, shape by shape.
    pub(super) fn by_verdicts(shapes: &Shapes, test: &TextTest<'_>) -> Self {
        let (needles, slots, tables) = Default::default();
        let mut judge = Judge { shapes, test, needles, slots, tables, codes_left: CODES_BYTES_MAX };
        let mut programs = match test.test {
            FieldTest::Regex(regex) => {
                regex.automaton().map(|automaton| Programs::new(Arc::clone(automaton)))
            }
            _ => None,
        };
        let mut classes = vec![ASKED];
        let mut spans = vec![(0, 0)];
        for shape in 0..shapes.shapes.len() {
            let mut verdict = judge.verdict(shape);
            if let Some(programs) = &mut programs
                && matches!(verdict, Verdict::Each | Verdict::WithEntry(..))
            {
                match programs.add(shapes, shape) {
                    Answer::No => verdict = Verdict::None,
                    Answer::Yes => verdict = Verdict::All,
                    Answer::Unknown => {}
                }
            }
            let (class, span) = match verdict {
                Verdict::None => (0, (0, 0)),
                Verdict::All => (ALL, (0, 0)),
                Verdict::Each => (ASKED, (0, 0)),
                Verdict::WithEntry(start, end) => (ASKED, (start, end)),
            };
            classes.push(class);
            spans.push(span);
        }
        if let Some(programs) = &mut programs {
            programs.finish();
        }
        let tables = judge.tables.into_iter().map(|(_, table)| table).collect();
        let answers = (0..shapes.portions).map(|_| OnceLock::new()).collect();
        let (slots, direct) = (judge.slots, None);
        Self { classes, direct, spans, slots, tables, programs, answers, rows: shapes.rows }
    }

    /// About how much memory it takes, once all answers are there.
    pub(super) fn memory_bytes(&self) -> usize {
        let of_codes = |codes: &Codes| if let Codes::Each(known) = codes { known.len() } else { 0 };
        let slots: usize = self.slots.iter().map(|slot| size_of::<GateSlot>() + of_codes(&slot.codes)).sum();
        self.classes.len()
            + self.spans.len() * size_of::<(u32, u32)>()
            + self.direct.as_ref().map_or(0, Direct::memory_bytes)
            + slots
            + self.tables.iter().map(Vec::len).sum::<usize>()
            + self.programs.as_ref().map_or(0, Programs::memory_bytes)
            + self.answers.len() * (size_of::<OnceLock<Rows>>() + size_of::<u64>())
            + self.rows / 8
    }

    /// What is to be said of a text of this shape whose bits start here, without making it.
    #[inline]
    pub(super) fn answer(&self, shapes: &Shapes, id: u16, packed: &[u8], bit: usize) -> Answer {
        if let Some(direct) = &self.direct {
            return match self.classes[usize::from(id)] & BY_ENTRY {
                0 => Answer::Unknown,
                _ => direct.answer(shapes, usize::from(id) - 1, packed, bit),
            };
        }
        let (start, end) = self.spans[usize::from(id)];
        if start < end {
            let mut has = false;
            for GateSlot { bit: start, width, codes, apart } in &self.slots[start as usize..end as usize] {
                let number = unpack_at(packed, *width, bit + *start as usize);
                // Entries that are not there are found to be damaged when a text is made.
                let known = match codes {
                    Codes::One(one, known) => {
                        if number == *one {
                            *known
                        } else {
                            0
                        }
                    }
                    Codes::Each(known) => known.get(number as usize).copied().unwrap_or(HAS),
                    Codes::From(least, table) => {
                        self.tables[*table].get((least + number) as usize).copied().unwrap_or(HAS)
                    }
                };
                if *apart && known & HOLDS != 0 {
                    return Answer::Yes;
                }
                has |= known & HAS != 0;
            }
            if !has {
                return Answer::No;
            }
        }
        match &self.programs {
            Some(programs) => programs.answer(shapes, usize::from(id) - 1, packed, bit),
            None => Answer::Unknown,
        }
    }
}

impl Codes {
    /// Of a slot of entries of which this is known.
    fn of(slot: &Slot, shapes: &Shapes, table: usize, known: &[u8], left: &mut usize) -> Self {
        let known_of = |entry: u64| known.get(entry as usize).copied().unwrap_or(HAS);
        let each: Box<[u8]> = match slot {
            Slot::Listed { list, .. } => {
                let list = &shapes.lists[list.start as usize..list.end as usize];
                list.iter().map(|entry| known_of(u64::from(*entry))).collect()
            }
            Slot::Entry { least, width } if *width <= CODES_WIDTH_MAX && *left >= 1 << width => {
                (0..1 << width).map(|number| known_of(u64::from(*least) + number)).collect()
            }
            Slot::Entry { least, .. } => return Self::From(u64::from(*least), table),
            _ => Box::default(),
        };
        let mut some = (0..).zip(&each).filter(|(_, known)| **known != 0);
        match (some.next(), some.next()) {
            (Some((one, known)), None) => Self::One(one, *known),
            _ => {
                *left = left.saturating_sub(each.len());
                Self::Each(each)
            }
        }
    }
}

impl Judge<'_> {
    /// What is true of all texts of a shape.
    fn verdict(&mut self, shape: usize) -> Verdict {
        let (shapes, test) = (self.shapes, self.test.test);
        let asked: RefCell<Vec<(usize, Possible)>> = RefCell::default();
        let needles = &self.needles;
        let possible = |letters: Letters<'_>| {
            let needle = needle_of(&mut needles.borrow_mut(), letters, shapes);
            let known = asked.borrow().iter().find(|(known, _)| *known == needle).map(|(_, known)| *known);
            known.unwrap_or_else(|| {
                let possible = needles.borrow()[needle].possible(shapes, shape);
                asked.borrow_mut().push((needle, possible));
                possible
            })
        };
        if !test.may_hold_for_text(&mut |letters| possible(letters) != Possible::default()) {
            return Verdict::None;
        }
        let around = test.holds_around(self.test.kind);
        if around != Around::Nowhere
            && test.may_hold_for_text(&mut |letters| possible(letters).in_literal)
            && has_stretch(shapes, shape, around, self.test.matches)
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
            let needles = needles.borrow();
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
        self.gate(shape, gate, around)
    }

    /// The verdict of a shape whose texts need one of these needles in an entry.
    fn gate(&mut self, shape: usize, needles: Vec<usize>, around: Around) -> Verdict {
        let pieces = self.shapes.pieces(shape);
        let mut slots = Vec::new();
        let mut bit = 0;
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Slot(slot) = piece else { continue };
            let known = self.needles.borrow();
            if needles.iter().any(|needle| known[*needle].is_in_slot(self.shapes, slot)) {
                let apart = around == Around::Anywhere
                    || around == Around::BetweenSpaces && self.stands_apart(pieces, at);
                slots.push((bit, slot, apart));
            }
            bit += slot.bits() as u32;
        }
        if slots.is_empty() {
            return Verdict::None;
        }
        let table = self.table(needles);
        let (known, left) = (&self.tables[table].1, &mut self.codes_left);
        let slots = slots.into_iter().map(|(bit, slot, apart)| {
            let width = slot.bits() as u32;
            GateSlot { bit, width, codes: Codes::of(slot, self.shapes, table, known, left), apart }
        });
        let start = self.slots.len() as u32;
        self.slots.extend(slots);
        Verdict::WithEntry(start, self.slots.len() as u32)
    }

    /// Whether spaces, or the ends of the text, stand around a slot.
    fn stands_apart(&self, pieces: &[Piece], at: usize) -> bool {
        let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        let literal = |piece: &Piece| match piece {
            Piece::Literal(range) => self.shapes.literal(range).as_bytes(),
            Piece::Slot(_) => &[],
        };
        let before = at == 0 || is_space(literal(&pieces[at - 1]).last());
        before && (at + 1 == pieces.len() || is_space(literal(&pieces[at + 1]).first()))
    }

    /// What is known of the entries for these needles.
    fn table(&mut self, needles: Vec<usize>) -> usize {
        if let Some(known) = self.tables.iter().position(|(known, _)| *known == needles) {
            return known;
        }
        let known = self.needles.borrow();
        let of_entry = |entry: usize| {
            if !needles.iter().any(|needle| known[*needle].is_in_entry(entry)) {
                return 0;
            }
            let holds = self.shapes.entry(entry).is_some_and(self.test.matches);
            HAS | if holds { HOLDS } else { 0 }
        };
        let table = (0..self.shapes.entry_ends.len()).map(of_entry).collect();
        drop(known);
        self.tables.push((needles, table));
        self.tables.len() - 1
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
        let parts = |c: char| u8::try_from(c).is_ok_and(|byte| byte.is_ascii() && parts_words(byte));
        let start = if at == 0 { Some(0) } else { text.find(parts) };
        let end = if at + 1 == pieces.len() { Some(text.len()) } else { text.rfind(parts) };
        start.zip(end).is_some_and(|(start, end)| start < end && matches(&text[start..end]))
    })
}
