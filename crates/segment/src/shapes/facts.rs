//! What is true of the shapes of a group whatever is asked of their texts.
//!
//! Owns: [`Facts`], found out once for a group: where letters are looked for, so that a new word is looked for in what shapes
//! and entries have, all at once, and only few shapes have to be gone over piece by piece.
//! Does not own: in which ways a shape can have letters (`find`), what is asked (`sawyer_query`).
//! Invariant: shapes that are left out have the letters in their entries or not at all.

use std::ops::Range;

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

/// Bytes as bits: letters without capitals and digits have one each, signs share some, and what is not ASCII has one.
type Bytes = u64;

/// Bytes beside slots of a kind: before them, and behind.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    before: Bytes,
    behind: Bytes,
}

/// Bytes beside the slots of a shape.
#[derive(Clone, Copy, Debug, Default)]
struct Edges {
    entries: Beside,
    decimals: Beside,
    hex: Beside,
}

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
    /// For each shape the bytes beside its slots: letters go over the edge of a slot only if they have one of them, and
    /// beside it something that the slot can have.
    edges: Box<[Edges]>,
    /// For each 64 shapes the bytes beside any of their slots: letters seldom stand there.
    edges_of_64: Box<[Edges]>,
    /// For each shape whether it has slots of entries, and whether they stand apart.
    pub(super) apart: Box<[u8]>,
    /// For each shape between which entries those are that may stand in it otherwise than between signs.
    pub(super) amid: Box<[Range<u32>]>,
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

impl Shapes {
    /// What stands beside one of the pieces of a shape.
    pub(super) fn beside(&self, pieces: &[Piece], at: usize) -> Neighbours {
        let text = |at: Option<usize>| match at.and_then(|at| pieces.get(at)) {
            None => Some(None),
            Some(Piece::Literal(range)) => Some(Some(self.literal(range))),
            Some(Piece::Slot(_)) => None,
        };
        let before = text(at.checked_sub(1)).map(|text| text.and_then(|text| text.bytes().last()));
        let behind = text(Some(at + 1)).map(|text| text.and_then(|text| text.bytes().next()));
        (before, behind)
    }
}

impl<'a> Hit<'a> {
    /// The letters with what stands around them up to bytes that part words, or the ends of the text; none if a slot comes
    /// first. And where in the text that ends: letters that begin before it tell no more than these.
    pub(super) fn part(&self) -> (Option<&'a str>, usize) {
        part_around(self.text, self.at..self.at + self.len, self.is_first, self.is_last)
    }
}

/// A place of a text with what stands around it up to bytes that part words, or the ends of the text if these end words;
/// none if they do not and come first. And where in the text that ends.
pub(super) fn part_around(
    text: &str,
    place: Range<usize>,
    is_first: bool,
    is_last: bool,
) -> (Option<&str>, usize) {
    let bytes = text.as_bytes();
    let (before, from) = (&bytes[..place.start], place.end);
    let parted = bytes[from..].iter().position(|byte| parts_words(*byte)).map(|len| from + len);
    let start = before.iter().rposition(|byte| parts_words(*byte)).or(is_first.then_some(0));
    let end = parted.or(is_last.then_some(bytes.len()));
    let part = start.zip(end).and_then(|(start, end)| text.get(start..end));
    (part, parted.unwrap_or(bytes.len()))
}

/// What stands before a slot, and behind: a byte, the end of the text, or none where another slot touches it.
pub(super) type Neighbours = (Option<Option<u8>>, Option<Option<u8>>);

/// Whether spaces, or the ends of the text, stand around a slot, and bytes that part words.
pub(super) fn parted_by((before, behind): Neighbours) -> u8 {
    let all =
        |is: fn(u8) -> bool| [before, behind].iter().all(|byte| byte.is_some_and(|byte| byte.is_none_or(is)));
    let spaces = all(|byte| byte.is_ascii_whitespace());
    (if spaces { BETWEEN_SPACES } else { 0 }) | (if all(parts_words) { BETWEEN_SIGNS } else { 0 })
}

fn bit(byte: u8) -> Bytes {
    1 << match byte {
        b'a'..=b'z' => byte - b'a',
        b'A'..=b'Z' => byte - b'A',
        b'0'..=b'9' => 26 + byte - b'0',
        // 27 bits for the signs, of which there are 33, and what is no letter at all.
        0..0x80 => 36 + byte % 27,
        _ => 63,
    }
}

/// Whether a slot of hexadecimal digits or a UUID may have this byte.
fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'-'
}

impl Beside {
    /// Those of the letters beside which, at the other side of an edge, these stand.
    fn of(letters: &[u8], is_within: impl Fn(u8) -> bool) -> Self {
        let mut wanted = Self::default();
        for pair in letters.windows(2) {
            wanted.before |= if is_within(pair[1]) { bit(pair[0]) } else { 0 };
            wanted.behind |= if is_within(pair[0]) { bit(pair[1]) } else { 0 };
        }
        wanted
    }

    fn meets(self, wanted: Self) -> bool {
        self.before & wanted.before != 0 || self.behind & wanted.behind != 0
    }

    const ANYTHING: Self = Self { before: Bytes::MAX, behind: Bytes::MAX };
}

impl Edges {
    fn unite(mut self, other: &Self) -> Self {
        for (all, more) in [
            (&mut self.entries, other.entries),
            (&mut self.decimals, other.decimals),
            (&mut self.hex, other.hex),
        ] {
            all.before |= more.before;
            all.behind |= more.behind;
        }
        self
    }

    /// Those of the slots that are like this one. One that may have no byte at all is like those of entries.
    fn of(&mut self, slot: &Slot) -> &mut Beside {
        match slot {
            Slot::Decimal { .. } => &mut self.decimals,
            Slot::Padded { digits: 1.., .. } => &mut self.decimals,
            Slot::Hex { digits: 1.. } | Slot::Uuid => &mut self.hex,
            Slot::Entry { .. } | Slot::Listed { .. } | Slot::Padded { .. } | Slot::Hex { .. } => {
                &mut self.entries
            }
        }
    }
}

/// From the start of the first of two ranges to the end of the last.
fn around_both(one: &Range<u32>, other: &Range<u32>) -> Range<u32> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.clone(),
        (_, true) => one.clone(),
        _ => one.start.min(other.start)..one.end.max(other.end),
    }
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
            + shapes.shapes.len() * (size_of::<Edges>() + size_of::<Range<u32>>() + 1)
    }

    pub(super) fn of(shapes: &Shapes) -> Self {
        let count = shapes.shapes.len();
        let mut literals = Vec::new();
        let (mut edges, mut apart, mut has_digits) = (vec![Edges::default(); count], vec![0; count], false);
        let mut amid = vec![0..0; count];
        for shape in 0..count {
            let pieces = shapes.pieces(shape);
            let mut all_apart = HAS_ENTRIES | BETWEEN_SPACES | BETWEEN_SIGNS;
            let mut has_entries = false;
            for (at, piece) in pieces.iter().enumerate() {
                let slot = match piece {
                    Piece::Literal(range) => {
                        let (is_first, is_last) = (at == 0, at + 1 == pieces.len());
                        literals.push(Literal { end: range.end, shape: shape as u16, is_first, is_last });
                        if folds(shapes.literal(range)) {
                            edges[shape].entries = Beside::ANYTHING;
                        }
                        continue;
                    }
                    Piece::Slot(slot) => slot,
                };
                let (before, behind) = shapes.beside(pieces, at);
                let of_entries = matches!(slot, Slot::Entry { .. } | Slot::Listed { .. });
                match before.zip(behind) {
                    Some((before, behind)) => {
                        let beside = edges[shape].of(slot);
                        beside.before |= before.map_or(0, bit);
                        beside.behind |= behind.map_or(0, bit);
                    }
                    // Slots that touch may have anything there.
                    None => edges[shape].entries = Beside::ANYTHING,
                }
                if of_entries {
                    has_entries = true;
                    let parted = parted_by((before, behind));
                    all_apart &= HAS_ENTRIES | parted;
                    if parted & BETWEEN_SIGNS == 0 {
                        amid[shape] = around_both(&amid[shape], &shapes.entries_within(slot));
                    }
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
            edges_of_64: edges
                .chunks(64)
                .map(|some| some.iter().fold(Edges::default(), Edges::unite))
                .collect(),
            edges: edges.into(),
            apart: apart.into(),
            amid: amid.into(),
            has_digits,
        }
    }

    /// The shapes that may have these letters in slots of digits, or where a slot and another piece meet.
    pub(super) fn crossing(&self, letters: &str) -> Rows {
        let letters = letters.as_bytes();
        if self.has_digits && letters.iter().copied().all(is_hex) || letters.is_empty() {
            return Rows::all(self.edges.len());
        }
        if letters.len() == 1 {
            return self.having_edges(|edges| edges.entries.before == Bytes::MAX);
        }
        let entries = Beside::of(letters, |_| true);
        let decimals = Beside::of(letters, |byte| byte.is_ascii_digit());
        let hex = Beside::of(letters, is_hex);
        let may_cross = |edges: &Edges| {
            edges.entries.meets(entries) || edges.decimals.meets(decimals) || edges.hex.meets(hex)
        };
        self.having_edges(may_cross)
    }

    /// The shapes of whose edges something is true; of more edges together it is true, too.
    fn having_edges(&self, has: impl Fn(&Edges) -> bool) -> Rows {
        let bits =
            |some: &[Edges]| (0..).zip(some).fold(0, |all, (at, edges)| all | u64::from(has(edges)) << at);
        let some = self.edges.chunks(64).zip(&self.edges_of_64);
        let words = some.map(|(some, all)| if has(all) { bits(some) } else { 0 });
        Rows::from_words(words.collect(), self.edges.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_several_slots_lie_between_the_first_and_the_last() {
        for (one, other, wanted) in [
            (0..0, 3..5, 3..5),
            (3..5, 0..0, 3..5),
            (3..5, 8..9, 3..9),
            (8..9, 3..5, 3..9),
            (3..9, 4..5, 3..9),
        ] {
            assert_eq!(around_both(&one, &other), wanted, "{one:?} {other:?}");
        }
        assert!(around_both(&(0..0), &(0..0)).is_empty());
    }
}
