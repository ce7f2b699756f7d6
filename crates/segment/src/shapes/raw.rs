//! Texts of a block that have no shape.
//!
//! Owns: [`Raw`], [`Plain`]: having them decompressed, and which of them have the letters that a test needs.
//! Does not own: what is asked (`sawyer_query`), how they are kept on disk (`text`), for how long (`segment`).
//! Invariant: the answer is that of asking every text; letters only choose whom to ask.

use std::cell::RefCell;
use std::sync::Arc;

use memchr::memmem;
use sawyer_query::{Around, Automaton, FieldTest, Letters, State};

use super::direct::{Said, has_ascii_edges};
use super::facts::part_around;
use super::verdict::Asking;
use crate::bits::{Rows, ones};
use crate::cache::Kept;
use crate::error::Result;
use crate::source::Data;
use crate::text::{Cell, Text, TextTest, Texts};

/// Texts without a shape.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) head: Vec<u8>,
    pub(super) text: Text,
    /// Where their data starts in the segment.
    pub(super) data_offset: u64,
}

/// All texts without a shape that a block has of a group, as they are.
#[derive(Debug)]
pub(crate) struct Plain {
    /// In lower case.
    texts: Texts,
    /// A bit for each of their bytes: those that are capitals.
    capitals: Box<[u64]>,
    /// Whether case-folding may make letters of something that is not ASCII.
    folds: bool,
}

/// Letters, and which texts have them.
struct Having {
    letters: Box<str>,
    any_case: bool,
    texts: Rows,
}

/// About how much a text takes.
const TEXT_BYTES: usize = 96;

impl Raw {
    /// About how much memory they take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.head.len() + self.text.memory_bytes()
    }

    fn data<'a>(&self, data: Data<'a>) -> Data<'a> {
        super::Portion::raw_data(self, data)
    }

    /// All of them, read now or before; none if they do not lie in frames, or cannot be kept.
    pub(super) fn plain(&self, data: Data<'_>) -> Result<Option<Arc<Kept<Plain>>>> {
        let Some(home) = data.home else { return Ok(None) };
        // No block has more text than it was made of.
        let bytes_max = home.segment.footer.blocks[home.block].raw_bytes;
        home.segment.plain(home, self.text.len() * TEXT_BYTES, || {
            Ok(self.text.read_frames(self.data(data), bytes_max)?.map(Plain::of))
        })
    }

    /// All of them for those who want a few, if they were read before, or to read one is to read all.
    pub(super) fn plain_for_few(&self, data: Data<'_>) -> Result<Option<Arc<Kept<Plain>>>> {
        if self.text.frame_count() == Some(1) {
            return self.plain(data);
        }
        data.home.map_or(Ok(None), |home| home.segment.plain(home, 0, || Ok(None)))
    }

    /// Puts the rows in whose texts satisfy the test. The automaton of an expression is asked where the shapes needed one: to make
    /// it takes longer than to ask some texts without.
    pub(super) fn select(
        &self,
        cells: &[Cell],
        data: Data<'_>,
        test: &TextTest<'_>,
        asking: &Asking,
        out: &mut Rows,
    ) -> Result<()> {
        let Some(plain) = self.plain(data)? else {
            return self.text.select(&self.head, cells, self.data(data), test, out);
        };
        if let Some(direct) = &asking.direct
            && direct.letters.iter().all(|(letters, any_case)| plain.finds(letters, *any_case))
        {
            plain.select_around(&direct.letters, cells, test, out);
            return Ok(());
        }
        let known: RefCell<Vec<Having>> = RefCell::default();
        let says_something = !test.test.may_hold_for_text(&mut |_| false);
        let having = says_something.then(|| plain.having_any(test.test, &known));
        if let Some(automaton) = asking.automaton().filter(|_| !says_something) {
            plain.ask_each(cells, automaton, test, out);
            return Ok(());
        }
        let mut text = String::new();
        let mut ask = |cell: &Cell| {
            let at = cell.place as usize;
            let has = |letters: Letters<'_>| {
                let mut known = known.borrow_mut();
                let place = known.iter().position(|known| known.is_for(letters)).unwrap_or_else(|| {
                    known.push(plain.having(letters));
                    known.len() - 1
                });
                known[place].texts.contains(at)
            };
            if test.test.may_hold_for_text(&mut { has }) {
                text.clear();
                plain.put(at, &mut text);
                if (test.matches)(&text) {
                    out.insert(cell.row as usize);
                }
            }
        };
        match having {
            // Those that have none of the letters are not asked.
            Some(having) if having.count() < cells.len() => {
                for place in having.iter() {
                    let cell = cells.binary_search_by_key(&place, |cell| cell.place as usize);
                    cell.ok().map(|at| &cells[at]).into_iter().for_each(&mut ask);
                }
            }
            _ => cells.iter().for_each(ask),
        }
        Ok(())
    }
}

impl Having {
    fn is_for(&self, letters: Letters<'_>) -> bool {
        match letters {
            Letters::Exact(text) => !self.any_case && *self.letters == *text,
            Letters::AnyCase(text) => self.any_case && *self.letters == *text,
        }
    }
}

/// A bit for each of up to 64 bytes: those that are capitals.
fn capitals_of(bytes: &[u8]) -> u64 {
    // Eight at once: those from A on, without those behind Z, have their high bit set.
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Moves the high bits of eight bytes together.
    const GATHER: u64 = 0x0002_0408_1020_4081;
    let eight = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        let low = word & !HIGH;
        let from_a = low + ONES * u64::from(0x80 - b'A');
        let behind_z = low + ONES * u64::from(0x7f - b'Z');
        let capitals = from_a & !behind_z & !word & HIGH;
        capitals.wrapping_mul(GATHER) >> 56
    };
    bytes.chunks(8).enumerate().fold(0, |all, (at, bytes)| all | eight(bytes) << (8 * at))
}

/// The row of the text at this place, if it is among these.
fn row_of(cells: &[Cell], place: usize) -> Option<usize> {
    // Most often they are all there are.
    let here = cells.get(place).filter(|cell| cell.place as usize == place);
    let found = || cells.binary_search_by_key(&place, |cell| cell.place as usize).ok().map(|at| &cells[at]);
    here.or_else(found).map(|cell| cell.row as usize)
}

impl Plain {
    fn of(mut texts: Texts) -> Self {
        let capitals = texts.all().as_bytes().chunks(64).map(capitals_of).collect();
        // Only the Kelvin sign and `İ` fold to ASCII.
        let folds = texts.all().contains(['\u{212a}', '\u{130}']);
        texts.make_lower();
        Self { texts, capitals, folds }
    }

    /// How much memory they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.texts.memory_bytes() + self.capitals.len() * size_of::<u64>()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Where one of the texts starts among all.
    fn start_of(&self, text: &str) -> usize {
        text.as_ptr() as usize - self.texts.all().as_ptr() as usize
    }

    /// Whether letters that stand here but for their case are written so.
    fn is_written_so(&self, start: usize, letters: &str) -> bool {
        let is_capital = |at: usize| self.capitals[at / 64] >> (at % 64) & 1 == 1;
        letters.bytes().zip(start..).all(|(byte, at)| byte.is_ascii_uppercase() == is_capital(at))
    }

    /// Appends a text as it is.
    pub(super) fn put(&self, at: usize, out: &mut String) {
        let text = self.texts.get(at);
        let start = self.start_of(text);
        let begun = out.len();
        out.push_str(text);
        let end = start + text.len();
        for word in start / 64..end.div_ceil(64) {
            for place in ones(self.capitals[word]).map(|bit| word * 64 + bit) {
                if (start..end).contains(&place) {
                    let at = begun + place - start;
                    out[at..=at].make_ascii_uppercase();
                }
            }
        }
    }

    /// Puts the rows in whose texts satisfy a test that any one of these letters is enough for, by what stands around the letters
    /// where that tells.
    fn select_around(
        &self,
        letters: &[(Box<str>, bool)],
        cells: &[Cell],
        test: &TextTest<'_>,
        out: &mut Rows,
    ) {
        /// A text with more places where letters are written otherwise is asked itself: it may have one at each byte.
        const OTHERWISE_MAX: usize = 8;
        let around = test.test.holds_around(test.kind);
        let (mut made, mut said) = (String::new(), Said::by(test));
        for (letters, any_case) in letters {
            // The text that was looked at last, and how often.
            let mut otherwise = (0, 0);
            self.each_hit(letters, |at, text, place| {
                let row = row_of(cells, at).filter(|row| !out.contains(*row));
                let Some(row) = row else { return text.len() };
                let here = place..place + letters.len();
                if around == Around::Anywhere {
                    let as_written = *any_case || self.is_written_so(self.start_of(text) + place, letters);
                    if !as_written {
                        otherwise = if otherwise.0 == at { (at, otherwise.1 + 1) } else { (at, 1) };
                        if otherwise.1 <= OTHERWISE_MAX {
                            return place + 1;
                        }
                    } else if said.of(letters) {
                        out.insert(row);
                        return text.len();
                    }
                }
                if around == Around::BetweenSpaces && *any_case {
                    let (part, end) = part_around(text, here, true, true);
                    let holds = part.is_some_and(|part| said.of(part));
                    if holds {
                        out.insert(row);
                    }
                    if holds || part.is_some_and(has_ascii_edges) {
                        // Its words are its own, and none of them is asked for.
                        return if holds { text.len() } else { end };
                    }
                }
                made.clear();
                self.put(at, &mut made);
                if (test.matches)(&made) {
                    out.insert(row);
                }
                text.len()
            });
        }
    }

    /// Calls with places where letters stand in a text, but for their case: the text's place among all, the text in lower case,
    /// and where in it. The call says from where in the text to go on.
    fn each_hit(&self, letters: &str, mut call: impl FnMut(usize, &str, usize) -> usize) {
        let all = self.texts.all().as_bytes();
        let wanted = letters.to_ascii_lowercase();
        let finder = memmem::Finder::new(&wanted);
        let mut from = 0;
        while let Some(place) = all.get(from..).and_then(|rest| finder.find(rest)).map(|at| from + at) {
            let (at, end) = self.texts.at_offset(place);
            // If they go over its end, the next may have them from its start.
            from = if place + letters.len() > end {
                end
            } else {
                let text = self.texts.get(at);
                let start = end - text.len();
                start + call(at, text, place - start)
            };
        }
    }

    /// Whether texts that have these letters are those in which their bytes are found.
    fn finds(&self, letters: &str, any_case: bool) -> bool {
        !letters.is_empty() && !(any_case && (self.folds || !letters.is_ascii()))
    }

    /// Puts the rows in whose texts satisfy an expression, all of which are asked by its automaton.
    fn ask_each(&self, cells: &[Cell], automaton: &Automaton, test: &TextTest<'_>, out: &mut Rows) {
        /// So many are made at a time.
        const TEXTS: usize = 64;
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(TEXTS));
        for cells in cells.chunks(TEXTS) {
            text.clear();
            ends.clear();
            for cell in cells {
                self.put(cell.place as usize, &mut text);
                ends.push(text.len());
            }
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let texts: Vec<&str> = starts.zip(&ends).map(|(start, end)| &text[start..*end]).collect();
            let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
            let behind = automaton.run_each(automaton.start(), &bytes);
            for ((cell, state), text) in cells.iter().zip(behind).zip(texts) {
                let state = automaton.end(state);
                if state == State::MATCHED || state == State::UNKNOWN && (test.matches)(text) {
                    out.insert(cell.row as usize);
                }
            }
        }
    }

    /// The texts that have any letters of a test.
    fn having_any(&self, test: &FieldTest, known: &RefCell<Vec<Having>>) -> Rows {
        let mut some = Rows::none(self.texts.len());
        let mut known = known.borrow_mut();
        test.for_each_letters(&mut |letters| {
            if !known.iter().any(|known| known.is_for(letters)) {
                let having = self.having(letters);
                some.unite(&having.texts);
                known.push(having);
            }
        });
        some
    }

    fn having(&self, letters: Letters<'_>) -> Having {
        let (text, any_case) = match letters {
            Letters::Exact(text) => (text, false),
            Letters::AnyCase(text) => (text, true),
        };
        let finds = self.finds(text, any_case);
        let count = self.texts.len();
        let mut texts = if finds { Rows::none(count) } else { Rows::all(count) };
        if finds {
            self.each_hit(text, |at, text, _| {
                texts.insert(at);
                text.len()
            });
        }
        Having { letters: text.into(), any_case, texts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_are_found_among_any_bytes() {
        let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for len in 0..=64 {
            for from in 0..bytes.len() - len {
                let bytes = &bytes[from..from + len];
                let naive = bytes
                    .iter()
                    .enumerate()
                    .fold(0, |all, (at, byte)| all | u64::from(byte.is_ascii_uppercase()) << at);
                assert_eq!(capitals_of(bytes), naive, "{bytes:?}");
            }
        }
    }
}
