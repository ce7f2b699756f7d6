//! Texts of a block that have no shape.
//!
//! Owns: [`Raw`], [`Plain`]: having them decompressed, and which of them have the letters that a test needs.
//! Does not own: what is asked (`sawyer_query`), how they are kept on disk (`text`), for how long (`segment`).
//! Invariant: the answer is that of asking every text; letters only choose whom to ask.

use std::cell::RefCell;
use std::sync::Arc;

use memchr::memmem;
use sawyer_query::Letters;

use crate::bits::Rows;
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
    texts: Texts,
    lower: String,
    /// Whether case-folding may make letters of something that is not ASCII.
    folds: bool,
}

/// Letters, and which texts have them.
struct Having {
    letters: Box<str>,
    any_case: bool,
    texts: Rows,
}

impl Raw {
    /// About how much memory they take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.head.len() + self.text.memory_bytes()
    }

    fn data<'a>(&self, data: Data<'a>) -> Data<'a> {
        super::Portion::raw_data(self, data)
    }

    /// All of them, read now or before; none if they do not lie in frames.
    fn plain(&self, data: Data<'_>) -> Result<Option<Arc<Kept<Plain>>>> {
        let Some(home) = data.home else { return Ok(None) };
        // No block has more text than it was made of.
        let bytes_max = home.segment.footer.blocks[home.block].raw_bytes;
        home.segment.plain(home, || Ok(self.text.read_frames(self.data(data), bytes_max)?.map(Plain::of)))
    }

    /// Puts the rows in whose texts satisfy the test.
    pub(super) fn select(
        &self,
        cells: &[Cell],
        data: Data<'_>,
        test: &TextTest<'_>,
        out: &mut Rows,
    ) -> Result<()> {
        let Some(plain) = self.plain(data)? else {
            return self.text.select(&self.head, cells, self.data(data), test, out);
        };
        let known: RefCell<Vec<Having>> = RefCell::default();
        for cell in cells {
            let at = cell.place as usize;
            let has = |letters: Letters<'_>| {
                let mut known = known.borrow_mut();
                let place = known.iter().position(|known| known.is_for(letters)).unwrap_or_else(|| {
                    known.push(plain.having(letters));
                    known.len() - 1
                });
                known[place].texts.contains(at)
            };
            if test.test.may_hold_for_text(&mut { has }) && (test.matches)(plain.texts.get(at)) {
                out.insert(cell.row as usize);
            }
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

impl Plain {
    fn of(texts: Texts) -> Self {
        Self {
            lower: texts.all().to_ascii_lowercase(),
            // Only the Kelvin sign and `İ` fold to ASCII.
            folds: texts.all().contains(['\u{212a}', '\u{130}']),
            texts,
        }
    }

    /// How much memory they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.texts.memory_bytes() + self.lower.capacity()
    }

    fn having(&self, letters: Letters<'_>) -> Having {
        let (text, any_case, all) = match letters {
            Letters::Exact(text) => (text, false, self.texts.all()),
            Letters::AnyCase(text) => (text, true, &*self.lower),
        };
        let count = self.texts.len();
        let anywhere = text.is_empty() || any_case && (self.folds || !text.is_ascii());
        let mut texts = if anywhere { Rows::all(count) } else { Rows::none(count) };
        if !anywhere {
            let wanted = if any_case { text.to_ascii_lowercase() } else { text.to_owned() };
            // Letters that begin in one text and end in the next only make the first be asked.
            let finder = memmem::Finder::new(&wanted);
            let mut from = 0;
            while let Some(place) = finder.find(&all.as_bytes()[from..]) {
                let (at, end) = self.texts.at_offset(from + place);
                texts.insert(at);
                from = end;
            }
        }
        Having { letters: text.into(), any_case, texts }
    }
}
