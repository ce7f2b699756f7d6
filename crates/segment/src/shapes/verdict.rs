//! What is known of the shapes of a group for a test.
//!
//! Owns: [`Asking`]: of each shape that none of its texts satisfies the test, all do, or they have to be asked, and
//! which entries decide then. It is found out once for a group, and kept for the other blocks of the group, with the
//! answers of these blocks: the same condition is asked by a page, its histogram and its values, and by whoever looks again.
//! Does not own: what is asked (`sawyer_query`), regular expressions over pieces (`program`), rows (`select`).
//! Invariant: what is said of a text without making it is what the test says of the text.

use std::sync::OnceLock;

use sawyer_query::tokens::parts_words;
use sawyer_query::{Around, Automaton, FieldTest};

use super::direct::{Direct, Said, has_ascii_edges, letters_of};
use super::facts::HAS_ENTRIES;
use super::find::Needle;
use super::gate::Gate;
use super::index::Index;
use super::program::{Adding, Programs};
use super::{Piece, Portion, Shapes};
use crate::bits::Rows;
use crate::text::TextTest;

/// What is said of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    No,
    Yes,
    /// It has to be made and asked.
    Unknown,
}

/// Bits of the classes of shapes.
pub(super) const ALL: u8 = 1;
pub(super) const ASKED: u8 = 2;
/// Only those are asked that have an entry that matters.
pub(super) const BY_ENTRY: u8 = 4;

/// See the head of the module. By the number of the shape + 1; what has no shape is asked.
#[derive(Debug)]
pub(super) struct Asking {
    /// Bit 0: all satisfy the test; bit 1: they are asked; bit 2: if their entries say so.
    pub(super) classes: Vec<u8>,
    /// What is known of entries, where any one of some letters is enough.
    pub(super) direct: Option<Direct>,
    /// Or which texts may satisfy it, where they must have some letters.
    gate: Option<Gate>,
    programs: Option<Programs>,
    /// By the place of a block in the group: which of its texts satisfy the test, once all were asked.
    pub(super) answers: Box<[OnceLock<Rows>]>,
    /// How many rows the blocks have together.
    rows: usize,
}

impl Asking {
    /// Finds out what is true of the shapes of a group.
    pub(super) fn of(shapes: &Shapes, test: &TextTest<'_>) -> Self {
        match letters_of(test) {
            Some(letters) => Self::directly(shapes, test, &letters),
            None => Self::by_programs(shapes, test),
        }
    }

    /// The same for a test that any of these letters is enough for: most shapes need not be looked at.
    fn directly(shapes: &Shapes, test: &TextTest<'_>, letters: &[(Box<str>, bool)]) -> Self {
        let of_letters = |(text, any_case): &(Box<str>, bool)| Needle::new(text, *any_case, shapes);
        let needles: Vec<Needle> = letters.iter().map(of_letters).collect();
        let mut direct = Direct::new(shapes, test, &needles);
        let facts = shapes.facts();
        let has_entries = direct.has_entries();
        let by_entry = |apart: &u8| {
            if has_entries && *apart & HAS_ENTRIES != 0 { ASKED | BY_ENTRY } else { 0 }
        };
        let mut classes = vec![ASKED];
        classes.extend(facts.apart.iter().map(by_entry));
        let around = test.test.holds_around(test.kind);
        let mut open = Rows::none(shapes.shapes.len());
        let mut said = Said::by(test);
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
                        let holds = part.is_some_and(|part| said.of(part));
                        if !holds && part.is_some_and(has_ascii_edges) {
                            // Its words are its own in every text, and none of them is asked for.
                            return end;
                        }
                        (holds, end)
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
        Self { classes, direct: Some(direct), gate: None, programs: None, answers, rows: shapes.rows }
    }

    /// The same for any test, shape by shape.
    fn by_programs(shapes: &Shapes, test: &TextTest<'_>) -> Self {
        let mut gate = Gate::new(shapes, test);
        let of_entries = gate.as_ref().map_or(0, Gate::of_entries);
        let around = test.test.holds_around(test.kind);
        let mut adding = None;
        let mut classes = vec![ASKED];
        for shape in 0..shapes.shapes.len() {
            let (may_hold, by_entry) = match &gate {
                None => (true, false),
                Some(gate) => {
                    let has_entries = shapes.facts().apart[shape] & HAS_ENTRIES != 0;
                    (gate.may_hold(shape), has_entries && gate.may_hold_by_entry(shape, of_entries))
                }
            };
            let class = if may_hold {
                if around != Around::Nowhere && has_stretch(shapes, shape, around, test.matches) {
                    ALL
                } else {
                    by_program(shapes, shape, test, &mut adding)
                }
            } else if by_entry {
                ASKED | BY_ENTRY
            } else {
                0
            };
            classes.push(class);
            if let (Some(gate), ALL | ASKED) = (&mut gate, class) {
                gate.tell(shape + 1);
            }
        }
        let programs = adding.map(Adding::finish);
        let answers = (0..shapes.portions).map(|_| OnceLock::new()).collect();
        Self { classes, direct: None, gate, programs, answers, rows: shapes.rows }
    }

    /// About how much memory it takes, once all answers are there.
    pub(super) fn memory_bytes(&self) -> usize {
        self.classes.len()
            + self.direct.as_ref().map_or(0, Direct::memory_bytes)
            + self.gate.as_ref().map_or(0, Gate::memory_bytes)
            + self.programs.as_ref().map_or(0, Programs::memory_bytes)
            + self.answers.len() * (size_of::<OnceLock<Rows>>() + size_of::<u64>())
            + self.rows / 8
    }

    /// The automaton of the test, if it is an expression and a shape needed it.
    pub(super) fn automaton(&self) -> Option<&Automaton> {
        self.programs.as_ref().map(Programs::automaton)
    }

    /// Whether an index tells which texts have to be asked.
    pub(super) fn asks_by_index(&self) -> bool {
        self.direct.is_some() || self.gate.is_some()
    }

    /// Which texts of a block that have a shape satisfy the test, and which others have to be asked.
    pub(super) fn ask_index(&self, portion: &Portion, index: &Index) -> (Rows, Rows) {
        match (&self.direct, &self.gate) {
            (Some(direct), _) => direct.ask(portion, index, self),
            (None, Some(gate)) => gate.ask(portion, index, self),
            (None, None) => {
                let count = portion.ids.len();
                (Rows::none(count), Rows::all(count))
            }
        }
    }

    /// Puts in the texts of shapes that tell whatever the entries.
    pub(super) fn told_by_shapes(&self, told: &Rows, index: &Index, found: &mut Rows, asked: &mut Rows) {
        index.for_each_id(told, |id, rows| {
            let into = if self.classes[id] == ALL { &mut *found } else { &mut *asked };
            rows.iter().for_each(|row| into.insert(usize::from(*row)));
        });
    }

    /// What is to be said of a text of this shape whose bits start here, without making it.
    #[inline]
    pub(super) fn answer(&self, shapes: &Shapes, id: u16, packed: &[u8], bit: usize) -> Answer {
        match &self.gate {
            Some(gate)
                if self.classes[usize::from(id)] & BY_ENTRY != 0
                    && !gate.lets_through(shapes, usize::from(id) - 1, packed, bit) =>
            {
                Answer::No
            }
            _ => self.answer_found(shapes, id, packed, bit),
        }
    }

    /// The same for a text that the index found.
    #[inline]
    pub(super) fn answer_found(&self, shapes: &Shapes, id: u16, packed: &[u8], bit: usize) -> Answer {
        if let Some(direct) = &self.direct
            && self.classes[usize::from(id)] & BY_ENTRY != 0
        {
            return direct.answer(shapes, usize::from(id) - 1, packed, bit);
        }
        match &self.programs {
            Some(programs) => programs.answer(shapes, usize::from(id) - 1, packed, bit),
            None => Answer::Unknown,
        }
    }
}

/// The class of a shape by its program, if the test is an expression that has an automaton; that is made when it is first
/// needed.
fn by_program(shapes: &Shapes, shape: usize, test: &TextTest<'_>, adding: &mut Option<Adding>) -> u8 {
    if let (None, FieldTest::Regex(regex)) = (&adding, test.test) {
        *adding = regex.automaton().map(Adding::new);
    }
    match adding.as_mut().map_or(Answer::Unknown, |adding| adding.add(shapes, shape)) {
        Answer::No => 0,
        Answer::Yes => ALL,
        Answer::Unknown => ASKED,
    }
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
