//! Cutting a text into what is the same in many texts and what varies.
//!
//! Owns: what a word and a variable look like; [`Cut`], a text in pieces, with hashes by which texts alike are found.
//! Does not own: which texts are put together (`learn`).
//! Invariant: tokens lie in order, do not overlap, and begin and end where characters do.

use xxhash_rust::xxh3::xxh3_64;

/// Longer texts are not cut: stack traces and the like, which compress well as they are.
pub(super) const TEXT_BYTES_MAX: usize = 4096;
/// Texts with more variables are not cut.
pub(super) const VARIABLES_MAX: usize = 64;
const UUID_BYTES: usize = 36;
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Digits in a row that make a part of a path vary by itself.
const PATH_DIGITS_MIN: usize = 3;

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const SLASH: u8 = 4;
/// Part of a character beyond ASCII.
const WIDE: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'/' => SLASH,
            0x80.. => WIDE,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters, or characters beyond ASCII, or both.
    Word = 1,
    /// Letters and digits, with a digit among them.
    Run,
    Uuid,
    /// A path, as in files and requests.
    Path,
}

/// A part of a text that may vary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
}

/// A text in pieces. Keeps its memory for the next one.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) tokens: Vec<Token>,
    /// A hash for each word, in which its number counts.
    pub(super) words: Vec<u64>,
    /// A hash of everything but the words and what stands in variables.
    pub(super) frame: u64,
}

impl Cut {
    /// Cuts a text. Says no to texts that cannot be cut.
    pub(super) fn read(&mut self, whole: &str) -> bool {
        let text = whole.as_bytes();
        self.tokens.clear();
        self.words.clear();
        self.frame = 0;
        if text.len() > TEXT_BYTES_MAX {
            return false;
        }
        // Bytes between two tokens.
        let mut gap = 0u64;
        let mut at = 0;
        while at < text.len() {
            let start = at;
            let Some((end, kind)) = token(text, start) else {
                at += 1;
                gap = self.pass(gap, text[start]);
                continue;
            };
            at = end;
            if kind == Kind::Word {
                let place = self.words.len() as u64;
                self.words.push(hash_of(&text[start..at]).wrapping_mul(place.wrapping_mul(MIX) | 1));
            }
            self.tokens.push(Token { start: start as u32, end: at as u32, kind });
            self.mix(gap ^ (kind as u64) << 56);
            gap = 0;
        }
        self.mix(gap);
        self.tokens.len() - self.words.len() <= VARIABLES_MAX
    }

    /// Adds a byte to those between two tokens.
    #[inline]
    fn pass(&mut self, gap: u64, byte: u8) -> u64 {
        if gap >> 48 == 0 {
            return gap << 8 | u64::from(byte);
        }
        self.mix(gap);
        u64::from(byte)
    }

    #[inline]
    fn mix(&mut self, with: u64) {
        self.frame = (self.frame.rotate_left(23) ^ with).wrapping_mul(MIX);
    }
}

/// Where the token ends that starts here, and what it is; none if this is a byte between tokens.
#[inline(always)]
pub(super) fn token(text: &[u8], start: usize) -> Option<(usize, Kind)> {
    Some(match CLASSES[usize::from(text[start])] {
        LETTER | DIGIT => {
            let (end, classes) = run(text, start);
            if is_uuid(text, start, end) {
                (start + UUID_BYTES, Kind::Uuid)
            } else if classes & DIGIT != 0 {
                (end, Kind::Run)
            } else {
                (word_end(text, end), Kind::Word)
            }
        }
        WIDE => (word_end(text, start), Kind::Word),
        SLASH => (path(text, start)?, Kind::Path),
        _ => return None,
    })
}

/// An odd number for mixing (the golden ratio).
pub(super) const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// A hash that need not be the same in the next version.
#[inline]
fn hash_of(word: &[u8]) -> u64 {
    let len = word.len();
    let eight = |at: usize| u64::from_le_bytes(word[at..at + 8].try_into().expect("eight bytes were taken"));
    let four = |at: usize| {
        u64::from(u32::from_le_bytes(word[at..at + 4].try_into().expect("four bytes were taken")))
    };
    let (low, high) = match len {
        0..4 => (u64::from(word[0]) << 8 | u64::from(word[len / 2]), u64::from(word[len - 1])),
        4..8 => (four(0), four(len - 4)),
        8..=16 => (eight(0), eight(len - 8)),
        _ => (xxh3_64(word), 0),
    };
    let product = u128::from(low ^ MIX) * u128::from(high ^ (len as u64) << 56 ^ 0xa076_1d64_78bd_642f);
    (product >> 64) as u64 ^ product as u64
}

/// Where the letters and digits end that start here, and what is among them.
#[inline]
fn run(text: &[u8], start: usize) -> (usize, u8) {
    let (mut at, mut classes) = (start, 0);
    while at < text.len() {
        let class = CLASSES[usize::from(text[at])];
        if class & (LETTER | DIGIT) == 0 {
            break;
        }
        classes |= class;
        at += 1;
    }
    (at, classes)
}

/// Where the word ends that goes on here: in front of letters that have a digit among them at the latest.
fn word_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < text.len() && text[at] >= 0x80 {
        while at < text.len() && text[at] >= 0x80 {
            at += 1;
        }
        let (end, classes) = run(text, at);
        if classes & DIGIT == 0 {
            at = end;
        }
    }
    at
}

/// Whether a UUID in lower case starts here, whose first letters and digits end at `end`.
#[inline]
fn is_uuid(text: &[u8], start: usize, end: usize) -> bool {
    if end - start != UUID_HYPHENS[0] || text.len() < start + UUID_BYTES || text[end] != b'-' {
        return false;
    }
    let is_right = |(at, byte): (usize, &u8)| {
        if UUID_HYPHENS.contains(&at) { *byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') }
    };
    text[start..start + UUID_BYTES].iter().enumerate().all(is_right)
        && !text.get(start + UUID_BYTES).is_some_and(u8::is_ascii_alphanumeric)
}

/// Where the path ends that starts with this slash, if it is one without numbers.
fn path(text: &[u8], start: usize) -> Option<usize> {
    let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.');
    if start > 0 && text[start - 1].is_ascii_alphanumeric()
        || !text.get(start + 1).is_some_and(u8::is_ascii_alphabetic)
    {
        return None;
    }
    let mut digits = 0;
    let mut at = start + 1;
    while at < text.len() && is_of_path(text[at]) {
        digits = if text[at].is_ascii_digit() { digits + 1 } else { 0 };
        if digits == PATH_DIGITS_MIN {
            return None;
        }
        at += 1;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> String {
        let mut cut = Cut::default();
        if !cut.read(text) {
            return "-".to_owned();
        }
        let (mut out, mut done) = (String::new(), 0);
        for Token { start, end, kind } in cut.tokens {
            let token = &text[start as usize..end as usize];
            out.push_str(&text[done..start as usize]);
            match kind {
                Kind::Word => out.push_str(&format!("[{token}]")),
                Kind::Run => out.push_str(&format!("<{token}>")),
                Kind::Uuid => out.push_str(&format!("<uuid {token}>")),
                Kind::Path => out.push_str(&format!("<path {token}>")),
            }
            done = end as usize;
        }
        out + &text[done..]
    }

    #[test]
    fn words_numbers_ids_and_paths_vary() {
        assert_eq!(check("took 12ms for u-77: ok"), "[took] <12ms> [for] [u]-<77>: [ok]");
        assert_eq!(check("at 10.1.2.33:80"), "[at] <10>.<1>.<2>.<33>:<80>");
        assert_eq!(
            check("id=0a1b2c3d-0000-1111-2222-abcdefabcdef."),
            "[id]=<uuid 0a1b2c3d-0000-1111-2222-abcdefabcdef>."
        );
        assert_eq!(check("id=0a1b2c3d-0000-1111"), "[id]=<0a1b2c3d>-<0000>-<1111>");
        assert_eq!(check("GET /api/v1/carts HTTP"), "[GET] <path /api/v1/carts> [HTTP]");
        assert_eq!(check("GET /carts/12345/x a/b"), "[GET] /[carts]/<12345>/[x] [a]/[b]");
        assert_eq!(check("결제 3건 abc결d e결f1"), "[결제] <3>[건] [abc결d] [e결]<f1>");
        assert_eq!(check(&"1 ".repeat(65)), "-");
        assert_eq!(check(""), "");
    }

    fn hashes(text: &str) -> (u64, Vec<u64>) {
        let mut cut = Cut::default();
        assert!(cut.read(text));
        (cut.frame, cut.words)
    }

    #[test]
    fn frames_differ_by_all_but_words_and_variables() {
        let (frame, words) = hashes("took 12ms, for u-77: ok");
        assert_eq!(hashes("cost 3ms, for v-78: no").0, frame);
        for other in [
            "took 12ms for u-77: ok",
            "took 12ms, for u-77: ok.",
            "took 12ms, for u-77:          ok",
            "took 12ms, for u-7u: ok 1",
            "took for, for u-77: ok",
        ] {
            assert_ne!(hashes(other).0, frame, "{other}");
        }
        let swapped = hashes("ok 12ms, for u-77: took").1;
        assert!(words[0] != swapped[0] && words[3] != swapped[3] && words[1] == swapped[1]);
        let long = "x".repeat(30);
        let lengths: std::collections::HashSet<u64> = (1..30).map(|len| hashes(&long[..len]).1[0]).collect();
        assert_eq!(lengths.len(), 29);
    }

    proptest! {
        #[test]
        fn tokens_and_what_is_between_them_are_the_text(text in "([a-f0-9/ _.:=-]|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\\PC){0,40}") {
            let again: String = check(&text);
            prop_assume!(again != "-" && !text.contains(['<', '>', '[', ']']));
            prop_assert_eq!(again.replace("<uuid ", "").replace("<path ", "").replace(['<', '>', '[', ']'], ""), text);
        }
    }
}
