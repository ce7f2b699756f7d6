//! Which texts of a column satisfy a test.
//!
//! Owns: asking each constant and each entry of a dictionary once, whole frames by one search, and ids as bytes.
//! Does not own: what is asked (`sawyer_query`).
//! Invariant: the answer is that of asking every text; shortcuts only choose whom to ask.

use memchr::memmem::Finder;
use sawyer_query::{FieldKind, FieldTest};

use super::{
    FIXED_FRAME_ROWS, Frame, Kind, SETS_MAX, SMALL_ENTRIES_MAX, Text, TextCursor, TextFrame, Texts,
    put_digits,
};
use crate::bits::Rows;
use crate::error::{Damage, Result};
use crate::ints::IntsCursor;
use crate::shapes;
use crate::source::Data;

/// A value that is asked: its place among those of its type, and the row that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) place: u32,
    pub(crate) row: u32,
}

/// What is asked of texts.
pub(crate) struct TextTest<'a> {
    pub(crate) test: &'a FieldTest,
    pub(crate) kind: FieldKind,
    /// Whether a text satisfies it.
    pub(crate) matches: &'a dyn Fn(&str) -> bool,
    /// Only texts that have these letters can satisfy it.
    pub(crate) needle: Option<&'a Finder<'a>>,
    /// Only this text, in lower case, can satisfy it if it is one of digits and hyphens.
    pub(crate) whole: Option<&'a str>,
}

/// Frames with fewer wanted rows than one in so many are not searched as a whole.
const WHOLE_FRAME_PART: usize = 4;

impl Text {
    /// Puts the rows in whose texts satisfy the test. `cells` ascend by place.
    pub(crate) fn select(
        &self,
        head: &[u8],
        cells: &[Cell],
        data: Data<'_>,
        test: &TextTest<'_>,
        out: &mut Rows,
    ) -> Result<()> {
        match &self.kind {
            Kind::Constant(text) => {
                if !cells.is_empty() && (test.matches)(text) {
                    cells.iter().for_each(|cell| out.insert(cell.row as usize));
                }
                Ok(())
            }
            Kind::Dictionary { entries, .. } => {
                let mut answers: Vec<Option<bool>> = vec![None; entries.len()];
                let asked = self.codes(head, cells).unwrap_or_default();
                for (cell, code) in cells.iter().zip(asked) {
                    let answer = usize::try_from(code).ok().and_then(|code| Some((code, answers.get(code)?)));
                    let (code, answer) = answer
                        .ok_or(Damage::expected("the code of an entry"))
                        .map_err(data.place.damaged())?;
                    let entry = || entries.get(code).is_some_and(test.matches);
                    let answer = answer.unwrap_or_else(entry);
                    answers[code] = Some(answer);
                    if answer {
                        out.insert(cell.row as usize);
                    }
                }
                Ok(())
            }
            Kind::Frames(frames) => select_frames(frames, cells, data, test, out),
            Kind::Fixed { uuid, width, .. } => self.select_fixed(*uuid, *width, cells, data, test, out),
            Kind::Made(_) => Err(data.place.damaged()(Damage::expected("a text that stands by itself"))),
            Kind::Shaped => shapes::select(data, self.count, cells, test, out),
        }
    }

    fn select_fixed(
        &self,
        uuid: bool,
        width: usize,
        cells: &[Cell],
        data: Data<'_>,
        test: &TextTest<'_>,
        out: &mut Rows,
    ) -> Result<()> {
        let wanted = test.whole.and_then(|whole| digits_as_bytes(whole, uuid, width));
        let mut digits = String::new();
        for cells in cells.chunk_by(|a, b| frame_of(a) == frame_of(b)) {
            let bytes = self.fixed_frame(frame_of(&cells[0]), data)?;
            for cell in cells {
                let start = cell.place as usize % FIXED_FRAME_ROWS * width;
                let value = &bytes[start..start + width];
                if wanted.as_ref().is_some_and(|wanted| wanted != value) {
                    continue;
                }
                digits.clear();
                put_digits(&mut digits, value, uuid);
                if (test.matches)(&digits) {
                    out.insert(cell.row as usize);
                }
            }
        }
        Ok(())
    }

    /// Of these places those whose texts satisfy a test, if its texts lie with those of other blocks.
    pub(crate) fn select_shaped(
        &self,
        wanted: &Rows,
        data: Data<'_>,
        test: &TextTest<'_>,
    ) -> Result<Option<Rows>> {
        if self.is_shaped() { shapes::select_all(data, wanted, test).map(Some) } else { Ok(None) }
    }

    /// The places whose texts satisfy a test, if the column is made of entries. `ascii_text` as for [`TextFrame::for_each_held`].
    pub(crate) fn select_all(
        &self,
        head: &[u8],
        ascii_text: Option<&str>,
        matches: &dyn Fn(&str) -> bool,
    ) -> Option<Rows> {
        match &self.kind {
            Kind::Constant(text) => {
                Some(if matches(text) { Rows::all(self.count) } else { Rows::none(self.count) })
            }
            Kind::Dictionary { entries, .. } if entries.len() <= SETS_MAX => {
                let mut found = Rows::none(self.count);
                let sets = self.sets(head)?;
                entries.for_each_held(ascii_text, matches, |entry| found.unite(&sets[entry]));
                Some(found)
            }
            Kind::Dictionary { entries, codes, .. } => {
                let mut accepted = vec![false; entries.len()];
                entries.for_each_held(ascii_text, matches, |entry| accepted[entry] = true);
                if !accepted.contains(&true) {
                    return Some(Rows::none(self.count));
                }
                Some(codes.select(head, &accepted))
            }
            _ => None,
        }
    }

    /// For each entry the places of the texts that have it, if the column is a dictionary of few entries.
    pub(crate) fn sets(&self, head: &[u8]) -> Option<&[Rows]> {
        let Kind::Dictionary { entries, codes, sets, .. } = &self.kind else { return None };
        if entries.len() > SETS_MAX {
            return None;
        }
        Some(sets.get_or_init(|| {
            let mut sets: Box<[Rows]> = (0..entries.len()).map(|_| Rows::none(self.count)).collect();
            for (place, code) in codes.decode(head).into_iter().enumerate() {
                // Codes of no entry are damage, which is found when the text is read.
                if let Some(set) = usize::try_from(code).ok().and_then(|code| sets.get_mut(code)) {
                    set.insert(place);
                }
            }
            sets
        }))
    }

    /// For each text the number of its entry, if the column is made of entries.
    pub(crate) fn all_codes(&self, head: &[u8]) -> Option<Vec<i64>> {
        match &self.kind {
            Kind::Constant(_) => Some(vec![0; self.count]),
            Kind::Dictionary { codes, .. } => Some(codes.decode(head)),
            _ => None,
        }
    }

    /// For each text the number of its entry as a byte, if the column is a dictionary of some entries, but more than a few.
    pub(crate) fn small_codes(&self, head: &[u8]) -> Option<&[u8]> {
        let Kind::Dictionary { entries, codes, small, .. } = &self.kind else { return None };
        if !(SETS_MAX + 1..=SMALL_ENTRIES_MAX).contains(&entries.len()) {
            return None;
        }
        let known = |code: i64| u8::try_from(code).ok().filter(|code| usize::from(*code) < entries.len());
        small.get_or_init(|| codes.decode(head).into_iter().map(known).collect()).as_deref()
    }

    /// All texts, if they lie in frames of their own. They are damaged if they are longer than this together: what frames
    /// say of their lengths is believed up to the bound of one alone.
    pub(crate) fn read_frames(&self, data: Data<'_>, bytes_max: u64) -> Result<Option<Texts>> {
        let Kind::Frames(frames) = &self.kind else { return Ok(None) };
        let mut all = Texts::default();
        for frame in frames {
            let left = usize::try_from(bytes_max).unwrap_or(usize::MAX).saturating_sub(all.bytes());
            let texts = frame.read_within(data, left)?;
            (0..texts.len()).filter_map(|at| texts.get(at)).for_each(|text| all.push(text));
        }
        Ok(Some(all))
    }

    /// For each cell the number of the entry that it has, if the column is made of entries: equal numbers are equal
    /// texts.
    pub(crate) fn codes(&self, head: &[u8], cells: &[Cell]) -> Option<Vec<i64>> {
        match &self.kind {
            Kind::Constant(_) => Some(vec![0; cells.len()]),
            Kind::Dictionary { codes, .. } if cells.len() * WHOLE_FRAME_PART >= self.count => {
                let all = codes.decode(head);
                Some(cells.iter().map(|cell| all[cell.place as usize]).collect())
            }
            Kind::Dictionary { codes, .. } => {
                let mut cursor = IntsCursor::default();
                Some(cells.iter().map(|cell| codes.get(head, cell.place as usize, &mut cursor)).collect())
            }
            _ => None,
        }
    }

    /// For each of these places the number of the entry that it has, if the column is made of entries.
    pub(crate) fn pick_codes(&self, head: &[u8], places: &Rows) -> Option<Vec<i64>> {
        match &self.kind {
            Kind::Constant(_) => Some(vec![0; places.count()]),
            Kind::Dictionary { codes, .. } => Some(codes.pick(head, places)),
            _ => None,
        }
    }

    /// The text of an entry.
    pub(crate) fn entry(&self, code: i64, data: Data<'_>) -> Result<&str> {
        let entry = match &self.kind {
            Kind::Constant(text) => Some(&**text),
            Kind::Dictionary { entries, .. } => usize::try_from(code).ok().and_then(|code| entries.get(code)),
            _ => None,
        };
        entry.ok_or(Damage::expected("the code of an entry")).map_err(data.place.damaged())
    }

    /// How many entries the column is made of.
    pub(crate) fn entry_count(&self) -> usize {
        match &self.kind {
            Kind::Constant(_) => 1,
            Kind::Dictionary { entries, .. } => entries.len(),
            _ => 0,
        }
    }

    /// Calls with each text.
    pub(crate) fn for_each(
        &self,
        head: &[u8],
        cells: &[Cell],
        data: Data<'_>,
        call: &mut dyn FnMut(&str, Cell),
    ) -> Result<()> {
        let mut cursor = TextCursor::default();
        for cell in cells {
            call(self.get(head, cell.place as usize, data, &mut cursor)?, *cell);
        }
        Ok(())
    }
}

fn frame_of(cell: &Cell) -> usize {
    cell.place as usize / FIXED_FRAME_ROWS
}

fn select_frames(
    frames: &[Frame],
    mut cells: &[Cell],
    data: Data<'_>,
    test: &TextTest<'_>,
    out: &mut Rows,
) -> Result<()> {
    for frame in frames {
        let (here, rest) =
            cells.split_at(cells.partition_point(|cell| (cell.place as usize) < frame.rows_end));
        cells = rest;
        if here.is_empty() {
            continue;
        }
        let texts = frame.read(data)?;
        let start = frame.rows_end - frame.rows;
        match test.needle {
            Some(needle) if here.len() * WHOLE_FRAME_PART >= frame.rows => {
                search_frame(&texts, needle, start, here, test, out);
            }
            _ => {
                for cell in here {
                    let text = texts.get(cell.place as usize - start).expect("the frame has all its rows");
                    if (test.matches)(text) {
                        out.insert(cell.row as usize);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Searches all texts of a frame at once, and asks those in which something was found.
fn search_frame(
    texts: &TextFrame,
    needle: &Finder<'_>,
    start: usize,
    cells: &[Cell],
    test: &TextTest<'_>,
    out: &mut Rows,
) {
    let mut from = 0;
    while let Some(found) = needle.find(&texts.all().as_bytes()[from..]) {
        let (at, end) = texts.at_offset(from + found);
        let cell = cells.binary_search_by_key(&(start + at), |cell| cell.place as usize);
        if let Ok(cell) = cell
            && texts.get(at).is_some_and(test.matches)
        {
            out.insert(cells[cell].row as usize);
        }
        from = end;
    }
}

/// The bytes that stand for these digits, if they are as the column writes them.
fn digits_as_bytes(text: &str, uuid: bool, width: usize) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    if digits.len() != width * 2 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    let bytes = digits.chunks_exact(2).map(pair).collect::<Option<Vec<u8>>>()?;
    let mut written = String::new();
    put_digits(&mut written, &bytes, uuid);
    (written == text).then_some(bytes)
}
