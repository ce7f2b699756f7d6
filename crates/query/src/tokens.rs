//! Words: how text is cut into tokens.
//!
//! Tokens are those of Lucene's StandardAnalyzer without stop words (Elasticsearch's `standard`): the words of Unicode
//! Standard Annex #29 that hold a letter, a digit or an emoji, at most [`TOKEN_UNITS_MAX`] long, in lower case.
//!
//! Owns: [`Tokens`], [`tokens`], and which scripts are also found inside a token ([`is_found_inside`]).
//! Does not own: what a query asks of the tokens (`needle`), lower case (`fold`).
//! Invariant: a token never holds ASCII white space, and tokens of a text cut at ASCII white space are the tokens of
//! the text. Searching relies on it: it looks at the part around a candidate only.

mod ascii;

use unicode_segmentation::UnicodeSegmentation;

use crate::fold::fold_char;

pub use self::ascii::AsciiWords;

/// Longest token in UTF-16 units, as in Lucene; the rest of a longer word is a token of its own.
pub const TOKEN_UNITS_MAX: usize = 255;

/// How far behind the longest token it is looked to know whether an ASCII word ends there.
const ASCII_AHEAD_BYTES: usize = 3;

/// How much of a word is looked at. The longest token takes three quarters of it (three bytes for each unit); without
/// a bound, a word of megabytes would be read to its end for each of its tokens.
const WORD_BYTES_SEEN: usize = TOKEN_UNITS_MAX * 4;

/// Hands out the tokens of a text in order, in lower case.
pub fn tokens(text: &str, mut take: impl FnMut(&str)) {
    let mut lower = String::new();
    for token in Tokens::new(text) {
        if token.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
            take(token);
        } else {
            lower.clear();
            lower.extend(token.chars().map(fold_char));
            take(&lower);
        }
    }
}

/// The tokens of a text in order, as they are written.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
    /// Where the part between ASCII white space ends that is being read, and whether it is all ASCII.
    part_end: usize,
    part_is_ascii: bool,
}

impl<'a> Tokens<'a> {
    /// Of this text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, part_end: 0, part_is_ascii: true }
    }

    /// Where the last token ended, in bytes.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Moves to the next part; says whether there is one.
    fn enter_part(&mut self) -> bool {
        let bytes = &self.text.as_bytes()[self.at..];
        let skipped = bytes.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let part = &bytes[skipped..];
        let length = part.iter().position(u8::is_ascii_whitespace).unwrap_or(part.len());
        self.at += skipped;
        self.part_end = self.at + length;
        self.part_is_ascii = part[..length].is_ascii();
        length > 0
    }

    fn next_ascii(&mut self) -> Option<&'a str> {
        let start = self.at;
        let seen = self.part_end.min(start + TOKEN_UNITS_MAX + ASCII_AHEAD_BYTES);
        let part = &self.text.as_bytes()[..seen];
        self.at = ascii_word_end(part, start);
        if self.at - start > TOKEN_UNITS_MAX {
            self.at = ascii_word_end(&part[..start + TOKEN_UNITS_MAX], start);
        }
        let word = &self.text[start..self.at];
        word.bytes().any(|b| b.is_ascii_alphanumeric()).then_some(word)
    }

    fn next_unicode(&mut self) -> Option<&'a str> {
        let seen = self.text.floor_char_boundary(self.part_end.min(self.at + WORD_BYTES_SEEN));
        let mut word = first_word(&self.text[self.at..seen]);
        if word.len() > TOKEN_UNITS_MAX {
            let mut units = 0;
            let cut = word.char_indices().find(|(_, c)| {
                units += c.len_utf16();
                units > TOKEN_UNITS_MAX
            });
            word = cut.map_or(word, |(at, _)| first_word(&word[..at]));
        }
        self.at += word.len();
        is_token(word).then_some(word)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            if self.at >= self.part_end && !self.enter_part() {
                return None;
            }
            let word = if self.part_is_ascii { self.next_ascii() } else { self.next_unicode() };
            if word.is_some() {
                return word;
            }
        }
    }
}

fn first_word(text: &str) -> &str {
    text.split_word_bounds().next().unwrap_or("")
}

/// Whether what lies between two word boundaries is a token.
fn is_token(word: &str) -> bool {
    word.chars().any(|c| is_word_char(c) && !is_mark(c))
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(u32::from(c), 0x1F300..=0x1FAFF | 0x2600..=0x27BF)
}

/// Whether the character is a mark that belongs to the one before it: no boundary lies between it and a space.
fn is_mark(c: char) -> bool {
    if matches!(u32::from(c), ..0x300 | 0x4E00..=0x9FFF | 0xAC00..=0xD7A3) {
        return false;
    }
    let mut bytes = [b' '; 5];
    let length = c.encode_utf8(&mut bytes[1..]).len();
    let spaced = str::from_utf8(&bytes[..=length]).expect("a space and an encoded character");
    first_word(spaced).len() > 1
}

/// Whether words of this character's script are also found inside a token: Korean, because endings stick to its
/// words; Chinese, Japanese, Thai, Lao, Khmer and Burmese, because nothing stands between their words.
#[must_use]
pub fn is_found_inside(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x11FF | 0x1780..=0x17FF
        | 0x2E80..=0x2FDF | 0x3005..=0x3007 | 0x3021..=0x30FF | 0x3130..=0x318F | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xA960..=0xA97F | 0xAC00..=0xD7FF | 0xF900..=0xFAFF
        | 0xFF66..=0xFF9F | 0x2_0000..=0x3_FFFF)
}

/// Whether words end at this byte wherever it stands, as long as what follows it begins with ASCII: white space, and signs
/// that are part of no word.
#[must_use]
pub fn parts_words(byte: u8) -> bool {
    // Between two Hebrew letters a quotation mark is a part of the word.
    let is_sign = byte.is_ascii_graphic() && byte != b'"' && CLASSES[usize::from(byte)] == Class::Other;
    byte.is_ascii_whitespace() || is_sign
}

/// Word break classes of ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    /// `_`
    Joiner,
    /// Inside words: `:`
    InWord,
    /// Inside numbers: `,` and `;`
    InNumber,
    /// Inside both: `.` and `'`
    InBoth,
    Other,
}

const fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        b'_' => Class::Joiner,
        b':' => Class::InWord,
        b',' | b';' => Class::InNumber,
        b'.' | b'\'' => Class::InBoth,
        // Not ASCII: left to the full algorithm.
        128.. => Class::Letter,
        _ => Class::Other,
    }
}

/// Where the word ends that starts at this byte: rules WB5 to WB13b of Annex #29 for ASCII.
#[inline]
fn ascii_word_end(text: &[u8], start: usize) -> usize {
    use Class::{Digit, InBoth, InNumber, InWord, Letter, Other};
    let at = |place: usize| if place < text.len() { CLASSES[usize::from(text[place])] } else { Other };
    if start >= text.len() || !IS_IN_WORDS[usize::from(text[start])] {
        return (start + 1).min(text.len());
    }
    let mut end = start + 1;
    loop {
        while end < text.len() && IS_IN_WORDS[usize::from(text[end])] {
            end += 1;
        }
        match (at(end - 1), at(end)) {
            (Letter, InWord | InBoth) if at(end + 1) == Letter => end += 2,
            (Digit, InNumber | InBoth) if at(end + 1) == Digit => end += 2,
            _ => return end,
        }
    }
}

/// The class of each byte.
const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class(byte as u8);
        byte += 1;
    }
    classes
};

/// Whether a byte is a letter, a digit or a joiner: no word ends between two of them.
const IS_IN_WORDS: [bool; 256] = {
    let mut are = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        are[byte] = matches!(CLASSES[byte], Class::Letter | Class::Digit | Class::Joiner);
        byte += 1;
    }
    are
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> String {
        let mut all = Vec::new();
        tokens(text, |token| all.push(token.to_owned()));
        all.join("|")
    }

    #[test]
    fn cuts_where_unicode_says() {
        assert_eq!(
            check("user-api order_8123 v1.2.3, a:b 1:2 don't ___"),
            "user|api|order_8123|v1.2.3|a:b|1|2|don't"
        );
        assert_eq!(check("결제가 실패했다: 支付 エラー"), "결제가|실패했다|支|付|エラー");
    }

    #[test]
    fn a_long_word_is_cut_as_lucene_cuts_it() {
        let long = "x".repeat(TOKEN_UNITS_MAX - 1) + ".y";
        assert_eq!(check(&long), format!("{}|y", "x".repeat(TOKEN_UNITS_MAX - 1)));
        let long = "é".repeat(TOKEN_UNITS_MAX + 5);
        assert_eq!(check(&long), format!("{}|{}", "é".repeat(TOKEN_UNITS_MAX), "é".repeat(5)));
    }

    #[test]
    fn a_word_of_megabytes_is_read_once() {
        for letter in ["x", "é", "결", "1,", "a."] {
            let word = letter.repeat(1 << 20);
            let mut length = 0;
            let before = std::time::Instant::now();
            tokens(&word, |token| length += token.chars().filter(|c| c.is_alphanumeric()).count());
            assert_eq!(length, 1 << 20, "{letter}");
            assert!(before.elapsed().as_secs() < 20, "{letter}: {:?}", before.elapsed());
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_cuts_as_the_full_algorithm(text in "[aZ09_:,;.'\" \\-]{0,24}") {
            let slow: Vec<&str> =
                text.split_word_bounds().filter(|word| word.chars().any(char::is_alphanumeric)).collect();
            prop_assert_eq!(Tokens::new(&text).collect::<Vec<_>>(), slow);
        }

        #[test]
        fn parts_between_signs_can_be_read_apart(
            before in "([aZ0_:.é결א\u{301}\u{200D}👩=/\"]|\\PC){0,12}", sign in "[ =/\\[\\](){}<>|&?!#%*+@$^~`\\\\-]",
            part in "[aZ0]([aZ0_:.é결א\u{301}\u{200D}👩=/\"]|\\PC){0,12}",
        ) {
            prop_assert!(parts_words(sign.as_bytes()[0]));
            let text = format!("{before}{sign}{part}");
            let whole: Vec<&str> = Tokens::new(&text).collect();
            let parts: Vec<&str> = Tokens::new(&before).chain(Tokens::new(&part)).collect();
            prop_assert_eq!(whole, parts);
        }

        #[test]
        fn parts_can_be_read_apart(text in "([aZ0_:.é결支ア\u{301}\u{200D}👩 \t\n\"]|\\PC){0,24}") {
            let whole: Vec<&str> = Tokens::new(&text).collect();
            let parts: Vec<&str> =
                text.split(|c: char| c.is_ascii_whitespace()).flat_map(Tokens::new).collect();
            let slow: Vec<&str> = text.split_word_bounds().filter(|word| is_token(word)).collect();
            prop_assert_eq!(&whole, &parts);
            prop_assert_eq!(&whole, &slow);
        }
    }
}
