//! What is true of the shapes of a group whatever is asked of their texts.
//!
//! Owns: [`Facts`], found out once for a group: where letters are looked for, so that a new word is looked for in what shapes
//! and entries have, all at once, and only few shapes have to be gone over piece by piece.
//! Does not own: in which ways a shape can have letters (`find`), what is asked (`sawyer_query`).
//! Invariant: shapes that are left out have the letters in their entries or not at all.

use memchr::memmem::Finder;
use sawyer_query::tokens::parts_words;

use super::{Piece, Shapes, Slot};
use crate::bits::Rows;

/// A shape has slots of entries.
pub(super) const HAS_ENTRIES: u8 = 1;
/// Spaces, or the ends of the text, stand around all of them.
pub(super) const BETWEEN_SPACES: u8 = 2;
/// Bytes that part words, or the ends of the text, stand around all of them.
pub(super) const BETWEEN_SIGNS: u8 = 4;

/// Bytes as bits: ASCII without capitals, and one for all others.
type Bytes = u128;
const NOT_ASCII: Bytes = 1 << 127;

/// See the head of the module.
#[derive(Debug)]
pub(super) struct Facts {
    /// Literals and entries in lower case, where that is something else.
    lower_literals: Option<Box<str>>,
    literals: Box<[Literal]>,
    /// For each 64th byte of all literals the literal that has it.
    marks: Box<[u32]>,
    lower_entries: Option<Box<str>>,
    /// Entries in which case-folding may make letters of something that is not ASCII.
    folding: Box<[u32]>,
    /// For each shape the bytes beside its slots of entries, and beside its slots of digits: letters go over the edge of a
    /// slot only if they have one of them.
    edges: Box<[[Bytes; 2]]>,
    /// For each shape whether it has slots of entries, and whether they stand apart.
    pub(super) apart: Box<[u8]>,
    /// Whether any shape has slots of digits.
    has_digits: bool,
}

/// A piece of text of a shape.
#[derive(Debug)]
struct Literal {
    end: u32,
    shape: u16,
    is_first: bool,
    is_last: bool,
}

/// Letters that were found in a piece of text.
pub(super) struct Hit<'a> {
    pub(super) shape: usize,
    pub(super) text: &'a str,
    /// Where in the text.
    at: usize,
    len: usize,
    /// Whether the shape's texts begin and end with this one.
    is_first: bool,
    is_last: bool,
}

impl<'a> Hit<'a> {
    /// The letters with what stands around them up to bytes that part words, or the ends of the text; none if a slot comes
    /// first. And where in the text that ends: letters that begin before it tell no more than these.
    pub(super) fn part(&self) -> (Option<&'a str>, usize) {
        let bytes = self.text.as_bytes();
        let (before, from) = (&bytes[..self.at], self.at + self.len);
        let parted = bytes[from..].iter().position(|byte| parts_words(*byte)).map(|len| from + len);
        let start = before.iter().rposition(|byte| parts_words(*byte)).or(self.is_first.then_some(0));
        let end = parted.or(self.is_last.then_some(bytes.len()));
        let part = start.zip(end).and_then(|(start, end)| self.text.get(start..end));
        (part, parted.unwrap_or(bytes.len()))
    }
}

fn bit(byte: u8) -> Bytes {
    if byte.is_ascii() { 1 << byte.to_ascii_lowercase() } else { NOT_ASCII }
}

/// Only the Kelvin sign and `İ` fold to ASCII.
pub(super) fn folds(text: &str) -> bool {
    !text.is_ascii() && text.contains(['\u{212a}', '\u{130}'])
}

/// A text in lower case, if it has capitals.
fn lower_of(text: &str) -> Option<Box<str>> {
    text.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| text.to_ascii_lowercase().into())
}

impl Facts {
    /// About how much memory those of a group take.
    pub(super) fn memory_bytes(shapes: &Shapes) -> usize {
        shapes.literals.len()
            + shapes.entries.len()
            + shapes.literals.len() / 64 * size_of::<u32>()
            + shapes.pieces.len() / 2 * size_of::<Literal>()
            + shapes.shapes.len() * (2 * size_of::<Bytes>() + 1)
    }

    pub(super) fn of(shapes: &Shapes) -> Self {
        let count = shapes.shapes.len();
        let mut literals = Vec::new();
        let (mut edges, mut apart, mut has_digits) = (vec![[0; 2]; count], vec![0; count], false);
        for shape in 0..count {
            let pieces = shapes.pieces(shape);
            let beside = |at: Option<usize>| match at.and_then(|at| pieces.get(at)) {
                None => Some(None),
                Some(Piece::Literal(range)) => Some(Some(shapes.literal(range))),
                Some(Piece::Slot(_)) => None,
            };
            let mut all_apart = HAS_ENTRIES | BETWEEN_SPACES | BETWEEN_SIGNS;
            let mut has_entries = false;
            for (at, piece) in pieces.iter().enumerate() {
                let slot = match piece {
                    Piece::Literal(range) => {
                        let (is_first, is_last) = (at == 0, at + 1 == pieces.len());
                        literals.push(Literal { end: range.end, shape: shape as u16, is_first, is_last });
                        if folds(shapes.literal(range)) {
                            edges[shape][0] = Bytes::MAX;
                        }
                        continue;
                    }
                    Piece::Slot(slot) => slot,
                };
                let before = beside(at.checked_sub(1)).map(|text| text.and_then(|text| text.bytes().last()));
                let behind = beside(Some(at + 1)).map(|text| text.and_then(|text| text.bytes().next()));
                let of_entries = matches!(slot, Slot::Entry { .. } | Slot::Listed { .. });
                for byte in [before, behind] {
                    match byte {
                        Some(byte) => edges[shape][usize::from(!of_entries)] |= byte.map_or(0, bit),
                        // Slots that touch may have anything there.
                        None => edges[shape][0] = Bytes::MAX,
                    }
                }
                if of_entries {
                    has_entries = true;
                    let all = |is: fn(u8) -> bool| {
                        [before, behind].iter().all(|byte| byte.is_some_and(|byte| byte.is_none_or(is)))
                    };
                    all_apart &= HAS_ENTRIES
                        | if all(|byte| byte.is_ascii_whitespace()) { BETWEEN_SPACES } else { 0 }
                        | if all(parts_words) { BETWEEN_SIGNS } else { 0 };
                } else {
                    has_digits = true;
                }
            }
            apart[shape] = if has_entries { all_apart } else { 0 };
        }
        let entries = 0..shapes.entry_ends.len();
        let mut marks = Vec::with_capacity(shapes.literals.len() / 64 + 1);
        for (literal, Literal { end, .. }) in (0..).zip(&literals) {
            marks.resize((*end as usize).div_ceil(64), literal);
        }
        Self {
            marks: marks.into(),
            lower_literals: lower_of(&shapes.literals),
            literals: literals.into(),
            lower_entries: lower_of(&shapes.entries),
            folding: entries
                .filter(|entry| shapes.entry(*entry).is_some_and(folds))
                .map(|entry| entry as u32)
                .collect(),
            edges: edges.into(),
            apart: apart.into(),
            has_digits,
        }
    }

    /// The shapes that may have these letters otherwise than within their entries.
    pub(super) fn candidates(&self, shapes: &Shapes, letters: &str, any_case: bool) -> Rows {
        let mut found = self.crossing(letters);
        self.each_hit(shapes, letters, any_case, |hit| {
            found.insert(hit.shape);
            hit.text.len()
        });
        found
    }

    /// The shapes that may have these letters in slots of digits, or where a slot and another piece meet.
    pub(super) fn crossing(&self, letters: &str) -> Rows {
        let is_digit = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        if self.has_digits && letters.bytes().all(is_digit) || letters.is_empty() {
            return Rows::all(self.edges.len());
        }
        let wanted = letters.bytes().fold(0, |bits, byte| bits | bit(byte));
        let wanted_of_digits = if letters.bytes().any(is_digit) { wanted } else { 0 };
        let may_cross =
            |[entries, digits]: &[Bytes; 2]| entries & wanted != 0 || digits & wanted_of_digits != 0;
        self.edges.iter().map(may_cross).collect()
    }

    /// Calls with places where these letters stand in a piece of text; the call says from where in the text to go on, behind
    /// where they begin. A text may be as long as a file says: who asks for what stands around goes on behind it.
    pub(super) fn each_hit(
        &self,
        shapes: &Shapes,
        letters: &str,
        any_case: bool,
        mut call: impl FnMut(Hit<'_>) -> usize,
    ) {
        if letters.is_empty() {
            return;
        }
        each_place(self.lower_literals.as_deref(), &shapes.literals, letters, any_case, |at| {
            let mut number = self.marks[at / 64] as usize;
            while self.literals[number].end as usize <= at {
                number += 1;
            }
            let Literal { end, shape, is_first, is_last } = self.literals[number];
            let start = if number == 0 { 0 } else { self.literals[number - 1].end as usize };
            if at + letters.len() > end as usize {
                // They go over its end; the next may have them from its start.
                return end as usize;
            }
            let text = &shapes.literals[start..end as usize];
            let (shape, at, len) = (usize::from(shape), at - start, letters.len());
            start + call(Hit { shape, text, at, len, is_first, is_last })
        });
    }

    /// The entries that have these letters, ascending.
    pub(super) fn having(&self, shapes: &Shapes, letters: &str, any_case: bool) -> Vec<u32> {
        let ends = &shapes.entry_ends;
        if letters.is_empty() {
            return (0..ends.len() as u32).collect();
        }
        let mut having = Vec::new();
        each_place(self.lower_entries.as_deref(), &shapes.entries, letters, any_case, |at| {
            let entry = ends.partition_point(|end| *end as usize <= at);
            let Some(end) = ends.get(entry) else { return at + 1 };
            // If they go over its end, the next may have them from its start.
            if at + letters.len() <= *end as usize {
                having.push(entry as u32);
            }
            *end as usize
        });
        if any_case && !self.folding.is_empty() {
            having.extend(&self.folding);
            having.sort_unstable();
            having.dedup();
        }
        having
    }
}

/// Calls with each place where letters stand in one of these texts; the call says where to go on.
fn each_place(
    lower: Option<&str>,
    exact: &str,
    letters: &str,
    any_case: bool,
    mut call: impl FnMut(usize) -> usize,
) {
    let (text, letters) = match (any_case, lower) {
        (true, lower) => (lower.unwrap_or(exact), letters.to_ascii_lowercase()),
        (false, _) => (exact, letters.to_owned()),
    };
    let finder = Finder::new(&letters);
    let mut from = 0;
    while let Some(place) = text.as_bytes().get(from..).and_then(|rest| finder.find(rest)) {
        from = call(from + place);
    }
}
