//! Several texts in one piece.
//!
//! Owns: [`Texts`], being gathered, and [`TextFrame`], as read; the bytes of a frame (lengths, then the texts
//! together, compressed).
//! Invariant: lengths are checked against the bounds of a value before anything is decompressed.

use sawyer_model::limits::VALUE_BYTES_MAX;
use sawyer_query::PLAIN_BYTES_MAX;

use super::FRAME_BYTES_MAX;
use crate::bytes::Reader;
use crate::error::{Damage, Decoded};
use crate::ints::{self, Ints};
use crate::zip;

/// Most text in one frame: it is closed at [`FRAME_BYTES_MAX`], by a value that may be as long as any. A
/// dictionary can hold as much as a block has.
const TEXT_BYTES_MAX: usize = sawyer_model::limits::BATCH_TEXT_BYTES_MAX;

const _: () = assert!(FRAME_BYTES_MAX + VALUE_BYTES_MAX < TEXT_BYTES_MAX, "every frame can be read");

/// Texts on their way into a column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<usize>,
}

/// Texts that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextFrame {
    text: String,
    ends: Vec<u32>,
    is_ascii: bool,
}

impl Texts {
    /// None, with room for so many of about this length.
    pub(crate) fn with_room(count: usize, len: usize) -> Self {
        Self { text: String::with_capacity(count * len), ends: Vec::with_capacity(count) }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Adds the text that is appended here.
    pub(crate) fn add<E>(&mut self, append: impl FnOnce(&mut String) -> Result<(), E>) -> Result<(), E> {
        append(&mut self.text)?;
        self.ends.push(self.text.len());
        Ok(())
    }

    /// Adds all texts of another one.
    pub(crate) fn append(&mut self, other: &Self) {
        let start = self.text.len();
        self.text.push_str(&other.text);
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Keeps the first `len` texts.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// All texts, one behind the other.
    pub(crate) fn all(&self) -> &str {
        &self.text
    }

    /// The place of the text that has the byte at this offset of all texts, and where it ends.
    pub(crate) fn at_offset(&self, offset: usize) -> (usize, usize) {
        let at = self.ends.partition_point(|end| *end <= offset);
        (at, self.ends[at])
    }

    /// How much memory they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// The length of all texts together.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    /// The bytes of one, if there is one: nothing is asked of them.
    #[inline]
    pub(crate) fn bytes_of(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        Some(&self.text.as_bytes()[start..end])
    }

    /// Puts ASCII into lower case, and takes no more memory than that needs.
    pub(crate) fn make_lower(&mut self) {
        self.text.make_ascii_lowercase();
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Appends the bytes of a frame of these texts, compressed if that is worth the time.
    pub(crate) fn put_frame(&self, out: &mut Vec<u8>, range: std::ops::Range<usize>, compress: bool) {
        let start = if range.start == 0 { 0 } else { self.ends[range.start - 1] };
        let end = if range.end == 0 { 0 } else { self.ends[range.end - 1] };
        let lengths: Vec<i64> = range.map(|at| self.get(at).len() as i64).collect();
        ints::encode(out, &lengths);
        let bytes = &self.text.as_bytes()[start..end];
        if compress { zip::put_zipped(out, bytes) } else { zip::put_plain(out, bytes) }
    }
}

impl TextFrame {
    /// Reads the bytes of a frame of `count` texts.
    pub(crate) fn parse(bytes: &[u8], count: usize) -> Decoded<Self> {
        Self::parse_within(bytes, count, TEXT_BYTES_MAX)
    }

    /// As [`TextFrame::parse`], if the texts are no longer together than this.
    pub(super) fn parse_within(bytes: &[u8], count: usize, bytes_max: usize) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let lengths = Ints::parse(&mut reader, count)?.decode(bytes);
        let mut ends = Vec::with_capacity(count);
        let mut end = 0;
        for length in lengths {
            let length = usize::try_from(length).ok().filter(|length| *length <= VALUE_BYTES_MAX);
            end += length.ok_or(Damage::expected("texts within bounds"))?;
            if end > bytes_max.min(TEXT_BYTES_MAX) {
                return Err(Damage::expected("a frame within bounds"));
            }
            ends.push(end as u32);
        }
        let text = zip::unzip(&mut reader, end)?;
        let text = String::from_utf8(text).map_err(|_| Damage::expected("UTF-8"))?;
        if !ends.iter().all(|end| text.is_char_boundary(*end as usize)) {
            return Err(Damage::expected("texts that end between characters"));
        }
        let is_ascii = text.is_ascii();
        Ok(Self { text, ends, is_ascii })
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)? as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        Some(&self.text[start..end])
    }

    /// Calls with the places of the texts that satisfy a test: `ascii_text` is what [`sawyer_query::FieldTest::ascii_text`]
    /// says of it, so that most texts are only compared.
    pub(crate) fn for_each_held(
        &self,
        ascii_text: Option<&str>,
        matches: &dyn Fn(&str) -> bool,
        mut call: impl FnMut(usize),
    ) {
        let asked = ascii_text.filter(|_| self.is_ascii).map(str::as_bytes);
        let is_other = |text: &[u8]| {
            text.len() <= PLAIN_BYTES_MAX && asked.is_some_and(|asked| !text.eq_ignore_ascii_case(asked))
        };
        let mut start = 0;
        for (at, end) in self.ends.iter().enumerate() {
            let here = start..*end as usize;
            start = here.end;
            if !is_other(&self.text.as_bytes()[here.clone()]) && matches(&self.text[here]) {
                call(at);
            }
        }
    }

    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u32>()
    }

    /// All texts, one behind the other.
    pub(crate) fn all(&self) -> &str {
        &self.text
    }

    /// The text that has the byte at this offset of all texts, and where it ends.
    pub(crate) fn at_offset(&self, offset: usize) -> (usize, usize) {
        let at = self.ends.partition_point(|end| *end as usize <= offset);
        (at, self.ends[at] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_of(all: &[&str]) -> TextFrame {
        let (mut texts, mut bytes) = (Texts::default(), Vec::new());
        all.iter().for_each(|text| texts.push(text));
        texts.put_frame(&mut bytes, 0..all.len(), false);
        TextFrame::parse(&bytes, all.len()).expect("it was written")
    }

    #[test]
    fn texts_that_are_another_are_not_asked() {
        let long = "cart ".repeat(PLAIN_BYTES_MAX);
        let held = |all: &[&str], asked| -> Vec<usize> {
            let mut held = Vec::new();
            frame_of(all).for_each_held(asked, &|text| text.contains('a'), |at| held.push(at));
            held
        };
        assert_eq!(held(&["cart", "carts", "caRT", "cast", &long, "crt"], Some("CART")), [0, 2, 4]);
        assert_eq!(held(&["cart", "carts", "crt"], None), [0, 1]);
        assert_eq!(held(&["cart", "carts", "\u{212a}a"], Some("cart")), [0, 1, 2]);
    }
}
