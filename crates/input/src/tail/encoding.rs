//! Plain files that are not UTF-8.
//!
//! Owns: which encoding a file has, where its lines end, its text as UTF-8.
//! Does not own: anything about UTF-8 itself, whose faults are marked where records are made (`codec`).
//! Invariant: text that its encoding does not allow is left as the bytes that it is, so that the record has them.

use std::fmt;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// An encoding other than UTF-8.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charset(&'static Encoding);

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Charset {
    /// The encoding with this name, by the names of the WHATWG's Encoding Standard: none for one that is not known,
    /// none within for UTF-8.
    pub(crate) fn named(name: &str) -> Option<Option<Self>> {
        let encoding = Encoding::for_label(name.as_bytes())?;
        Some((encoding != UTF_8).then_some(Self(encoding)))
    }

    /// The encoding that a file's first bytes tell by a byte order mark.
    pub(crate) fn by_mark(head: &[u8]) -> Option<Self> {
        let (encoding, _) = Encoding::for_bom(head)?;
        (encoding != UTF_8).then_some(Self(encoding))
    }

    /// Bytes of a unit, of which characters are made; line feeds are one.
    fn unit_bytes(self) -> u64 {
        if self.0 == UTF_16LE || self.0 == UTF_16BE { 2 } else { 1 }
    }

    /// Where the unit begins that has the byte at `offset`.
    pub(crate) fn unit_start(self, offset: u64) -> u64 {
        offset - offset % self.unit_bytes()
    }

    /// Where the last whole line ends in `bytes`, which lie at `offset`.
    pub(crate) fn last_line_end(self, bytes: &[u8], offset: u64) -> Option<usize> {
        if self.unit_bytes() == 1 {
            return memchr::memrchr(b'\n', bytes).map(|at| at + 1);
        }
        let feed = if self.0 == UTF_16LE { [b'\n', 0] } else { [0, b'\n'] };
        let first = (offset % 2) as usize;
        let last = bytes.get(first..)?.chunks_exact(2).rposition(|unit| unit == feed)?;
        Some(first + 2 * last + 2)
    }

    /// Where the first line of `bytes`, which lie at `offset`, ends, and where the next begins.
    pub(crate) fn line_end(self, bytes: &[u8], offset: u64) -> Option<(usize, usize)> {
        if self.unit_bytes() == 1 {
            return memchr::memchr(b'\n', bytes).map(|at| (at, at + 1));
        }
        let low_first = self.0 == UTF_16LE;
        memchr::memchr_iter(b'\n', bytes).find_map(|at| {
            // A line feed is the low byte of a unit whose high byte is nothing; units begin at even places.
            let is_even = (offset + at as u64).is_multiple_of(2);
            let (start, other) =
                if low_first { (at, at + 1) } else { (at.checked_sub(1)?, at.checked_sub(1)?) };
            (is_even == low_first && bytes.get(other) == Some(&0)).then_some((start, start + 2))
        })
    }
}

/// Makes UTF-8 of a line that may come in parts.
#[derive(Default)]
pub(crate) struct Recoder {
    decoder: Option<Decoder>,
    text: String,
}

impl fmt::Debug for Recoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recoder").field("within", &self.decoder.is_some()).finish_non_exhaustive()
    }
}

impl Recoder {
    /// The text of a part of a line; `last` ends it. Bytes that are no text of the encoding are given back as they
    /// are. `first` says that the file begins here, maybe with a mark.
    pub(crate) fn recode<'a>(
        &'a mut self,
        charset: Charset,
        part: &'a [u8],
        first: bool,
        last: bool,
    ) -> &'a [u8] {
        let Self { decoder, text } = self;
        let mut working = decoder.take().unwrap_or_else(|| charset.0.new_decoder_without_bom_handling());
        text.clear();
        let room = working.max_utf8_buffer_length_without_replacement(part.len());
        text.reserve(room.unwrap_or(part.len() * 4 + 16));
        let (result, _) = working.decode_to_string_without_replacement(part, text, last);
        if !last {
            *decoder = Some(working);
        }
        match result {
            DecoderResult::InputEmpty if first => text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes(),
            DecoderResult::InputEmpty => text.as_bytes(),
            DecoderResult::OutputFull | DecoderResult::Malformed(..) => part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(name: &str) -> Charset {
        Charset::named(name).unwrap().unwrap()
    }

    fn lines(name: &str, mut bytes: &[u8]) -> Vec<String> {
        let charset = charset(name);
        let (mut recoder, mut lines, mut offset) = (Recoder::default(), Vec::new(), 0);
        while let Some((end, next)) = charset.line_end(bytes, offset) {
            let text = recoder.recode(charset, &bytes[..end], offset == 0, true);
            lines.push(String::from_utf8_lossy(text).into_owned());
            bytes = &bytes[next..];
            offset += next as u64;
        }
        lines
    }

    fn utf16(text: &str, low_first: bool) -> Vec<u8> {
        let units = text.encode_utf16();
        units.flat_map(|unit| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    #[test]
    fn lines_of_utf_16_end_at_whole_line_feeds() {
        // U+0A0A and U+010A have bytes like a line feed's.
        let text = "\u{feff}first ਊ Ċ\nsecond 😀\n결제\n";
        for (name, low_first) in [("utf-16le", true), ("utf-16be", false)] {
            let bytes = utf16(text, low_first);
            assert_eq!(Charset::by_mark(&bytes), Some(charset(name)));
            assert_eq!(lines(name, &bytes), ["first ਊ Ċ", "second 😀", "결제"], "{name}");
        }
        assert_eq!(Charset::by_mark(b"\xef\xbb\xbfx"), None);
        assert_eq!(Charset::by_mark(b"plain"), None);
    }

    #[test]
    fn the_last_line_of_utf_16_ends_behind_a_whole_line_feed() {
        for (name, low_first) in [("utf-16le", true), ("utf-16be", false)] {
            let bytes = utf16("ab\ncĊ\u{a00}ਊ", low_first);
            let charset = charset(name);
            assert_eq!(charset.last_line_end(&bytes, 0), Some(6), "{name}");
            assert_eq!(charset.last_line_end(&bytes[1..], 1), Some(5), "{name}");
            assert_eq!(charset.last_line_end(&bytes[6..], 6), None, "{name}");
            assert_eq!(charset.unit_start(7), 6);
        }
        assert_eq!(charset("euc-kr").last_line_end(b"ab\nc", 7), Some(3));
    }

    #[test]
    fn other_encodings_are_known_by_their_names() {
        assert_eq!(lines("euc-kr", b"\xb0\xe1\xc1\xa6 ok\n"), ["결제 ok"]);
        assert_eq!(lines("latin1", b"caf\xe9\n"), ["café"]);
        assert_eq!(lines("shift_jis", b"\x93\xfa\x96\x7b\n"), ["日本"]);
        assert_eq!(Charset::named("utf-8"), Some(None));
        assert_eq!(Charset::named("klingon"), None);
    }

    #[test]
    fn what_is_no_text_stays_as_it_is() {
        let mut recoder = Recoder::default();
        assert_eq!(recoder.recode(charset("euc-kr"), b"bad \xff!", false, true), b"bad \xff!");
        assert_eq!(recoder.recode(charset("euc-kr"), b"good", false, true), b"good");
    }

    #[test]
    fn a_character_may_lie_in_two_parts_of_a_line() {
        let mut recoder = Recoder::default();
        let mut whole: Vec<u8> = Vec::new();
        whole.extend(recoder.recode(charset("euc-kr"), b"\xb0\xe1\xc1", false, false));
        whole.extend(recoder.recode(charset("euc-kr"), b"\xa6", false, true));
        assert_eq!(whole, "결제".as_bytes());
    }
}
