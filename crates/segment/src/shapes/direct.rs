//! Tests that any one of some letters is enough for: words, a part of a text, a whole text.
//!
//! Owns: [`Direct`]: which entries decide, and asking a block by the index of its texts. What shapes have together was decided
//! before; then only those texts are looked at that have such an entry, and few of these are made.
//! Does not own: what is known of shapes (`verdict`), the index (`index`), tests that need several letters (`gate`).
//! Invariant: the answer is that of asking every text.

use sawyer_query::{Around, FieldTest, Letters};

use super::facts::{BETWEEN_SIGNS, BETWEEN_SPACES, Facts, parted_by};
use super::find::Needle;
use super::index::Index;
use super::verdict::{Answer, Asking, BY_ENTRY};
use super::{Piece, Portion, Shapes};
use crate::bits::Rows;
use crate::text::TextTest;

/// What an entry says of texts that have it: they have to be asked; or it tells wherever it stands, or where it stands between
/// spaces or signs, which are bits of [`Facts::apart`]: that they satisfy the test, or that they do not because of it.
const HAS: u8 = 128;
const ANYWHERE: u8 = 64;
const HOLDS: u8 = 32;
const APART: u8 = BETWEEN_SPACES | BETWEEN_SIGNS;
const _: () = assert!(APART & (HAS | ANYWHERE | HOLDS) == 0, "all are bits of their own");

/// Whether a text begins and ends with ASCII, so that its words end where bytes stand around it that part words.
pub(super) fn has_ascii_edges(text: &str) -> bool {
    let is_ascii = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii);
    is_ascii(text.as_bytes().first()) && is_ascii(text.as_bytes().last())
}

/// See the head of the module.
#[derive(Debug)]
pub(super) struct Direct {
    /// What any one of is enough, and whether its case is ignored.
    pub(super) letters: Vec<(Box<str>, bool)>,
    /// The entries that have the letters.
    having: Rows,
    /// For each entry what it says.
    table: Box<[u8]>,
    /// Numbers + 1 of the shapes that tell, whatever the entries: all of their texts satisfy the test, or are asked.
    told: Rows,
}

/// What a test said of parts of texts: most of those in which a word stands are the same few.
pub(super) struct Said<'a> {
    matches: &'a dyn Fn(&str) -> bool,
    known: Vec<(Box<str>, bool)>,
}

impl<'a> Said<'a> {
    /// So many are remembered.
    const KNOWN_MAX: usize = 8;
    /// Longer ones are not.
    const PART_BYTES_MAX: usize = 256;

    pub(super) fn by(test: &TextTest<'a>) -> Self {
        Self { matches: test.matches, known: Vec::new() }
    }

    /// Whether a part of a text satisfies the test.
    pub(super) fn of(&mut self, part: &str) -> bool {
        if let Some((_, holds)) = self.known.iter().find(|(known, _)| **known == *part) {
            return *holds;
        }
        let holds = (self.matches)(part);
        if part.len() <= Self::PART_BYTES_MAX {
            if self.known.len() == Self::KNOWN_MAX {
                self.known.clear();
            }
            self.known.push((part.into(), holds));
        }
        holds
    }
}

/// All letters of a test, if each of them is enough, and none is too little. A phrase of the same word twice needs more than
/// this word.
pub(super) fn letters_of(test: &TextTest<'_>) -> Option<Vec<(Box<str>, bool)>> {
    let test = test.test;
    if matches!(test, FieldTest::Regex(regex) if !regex.is_literal())
        || test.is_phrase()
        || test.may_hold_for_text(&mut |_| false)
    {
        return None;
    }
    let mut all: Vec<(Box<str>, bool)> = Vec::new();
    test.for_each_letters(&mut |letters| {
        let letters = match letters {
            Letters::Exact(text) => (text.into(), false),
            Letters::AnyCase(text) => (text.into(), true),
        };
        if !all.contains(&letters) {
            all.push(letters);
        }
    });
    let is = |known: &(Box<str>, bool), letters: Letters<'_>| match letters {
        Letters::Exact(text) => !known.1 && *known.0 == *text,
        Letters::AnyCase(text) => known.1 && *known.0 == *text,
    };
    let each_is_enough = all.iter().all(|one| test.may_hold_for_text(&mut |letters| is(one, letters)));
    each_is_enough.then_some(all)
}

impl Direct {
    pub(super) fn new(shapes: &Shapes, test: &TextTest<'_>, needles: &[Needle]) -> Self {
        let mut having = Rows::none(shapes.entry_ends.len());
        // Of letters that may be anywhere every shape is gone over, and no entry tells.
        if !needles.iter().any(|needle| needle.anywhere) {
            needles.iter().flat_map(|needle| &needle.having).for_each(|entry| having.insert(*entry as usize));
        }
        let mut table: Box<[u8]> = vec![0; shapes.entry_ends.len()].into();
        let around = test.test.holds_around(test.kind);
        for entry in having.iter() {
            let Some(text) = shapes.entry(entry) else { continue };
            let parted = if has_ascii_edges(text) { BETWEEN_SPACES | BETWEEN_SIGNS } else { BETWEEN_SPACES };
            table[entry] = HAS
                | match (around, (test.matches)(text)) {
                    (Around::Anywhere, true) => HOLDS | ANYWHERE,
                    (Around::BetweenSpaces, true) => HOLDS | parted,
                    // Its words are its own where it is parted from what stands around it, and none of them is asked for.
                    (Around::BetweenSpaces, false) if has_ascii_edges(text) => parted,
                    _ => 0,
                };
        }
        let letters = needles.iter().map(|needle| (needle.letters.clone(), needle.any_case)).collect();
        Self { letters, having, table, told: Rows::none(shapes.shapes.len() + 1) }
    }

    /// Notes a shape that tells, by its number + 1.
    pub(super) fn tell(&mut self, id: usize) {
        self.told.insert(id);
    }

    /// Whether any entry matters.
    pub(super) fn has_entries(&self) -> bool {
        !self.having.is_empty()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let letters = self.letters.iter().map(|(letters, _)| letters.len());
        self.table.len() + self.having.len() / 8 + self.told.len() / 8 + letters.sum::<usize>()
    }

    /// What an entry says of a text where it stands so.
    fn says(&self, entry: usize, apart: u8) -> Answer {
        match self.table[entry] {
            0 => Answer::No,
            said if said & (apart & APART | ANYWHERE) == 0 => Answer::Unknown,
            said if said & HOLDS != 0 => Answer::Yes,
            _ => Answer::No,
        }
    }

    /// What the entries of a text say of it, each where it stands. The text's shape leaves it to them.
    pub(super) fn answer(&self, shapes: &Shapes, shape: usize, packed: &[u8], mut bit: usize) -> Answer {
        let pieces = shapes.pieces(shape);
        let mut said = Answer::No;
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Slot(slot) = piece else { continue };
            let entry = shapes.entry_of(slot, packed, bit);
            bit += slot.bits();
            let says = match entry.map(|entry| self.table.get(entry).map(|said| (entry, *said))) {
                None | Some(Some((_, 0))) => continue,
                Some(Some((entry, _))) => self.says(entry, parted_by(shapes.beside(pieces, at))),
                // Entries that are not there are found to be damaged when a text is made.
                Some(None) => Answer::Unknown,
            };
            match says {
                Answer::Yes => return Answer::Yes,
                Answer::Unknown => said = Answer::Unknown,
                Answer::No => {}
            }
        }
        said
    }

    /// What an entry says of texts of a shape that have it, wherever among their slots it may be.
    fn says_in(&self, facts: &Facts, asking: &Asking, id: usize, entry: usize) -> Answer {
        if asking.classes[id] & BY_ENTRY == 0 {
            return Answer::No;
        }
        let between_signs = if facts.amid[id - 1].contains(&(entry as u32)) { 0 } else { BETWEEN_SIGNS };
        self.says(entry, facts.apart[id - 1] | between_signs)
    }

    /// Which texts of a block that have a shape satisfy the test, and which others have to be asked: of the latter some may be
    /// told by where their entries stand.
    pub(super) fn ask(&self, portion: &Portion, index: &Index, asking: &Asking) -> (Rows, Rows) {
        let facts = portion.shapes.facts();
        let count = portion.ids.len();
        let (mut found, mut asked) = (Rows::none(count), Rows::none(count));
        asking.told_by_shapes(&self.told, index, &mut found, &mut asked);
        let mut hits: Vec<(usize, u16)> = Vec::with_capacity(count / 8);
        index.for_each_entry(&self.having, |entry, rows| hits.extend(rows.iter().map(|row| (entry, *row))));
        // At once, so that the processor waits for many of them together.
        let ids: Vec<u16> = hits.iter().map(|(_, row)| portion.ids[usize::from(*row)]).collect();
        for ((entry, row), id) in hits.into_iter().zip(ids) {
            match self.says_in(facts, asking, usize::from(id), entry) {
                Answer::Yes => found.insert(usize::from(row)),
                Answer::Unknown => asked.insert(usize::from(row)),
                Answer::No => {}
            }
        }
        asked.subtract(&found);
        (found, asked)
    }
}
