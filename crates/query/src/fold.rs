//! Letters without their case, and searching for such text.
//!
//! Owns: which letters are the same ([`fold_char`]), and comparing, finding and globbing on folded letters without
//! allocating. Does not own: words (`tokens`).
//! Invariant: `folded` arguments were made by [`fold`]; the other text is as it was written.

use std::borrow::Cow;

/// The lower-case form of one character as Lucene's `LowerCaseFilter` has it: always one character.
#[must_use]
pub(crate) fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(only), None) => only,
        // Of all characters only `İ` becomes two; Java makes it an `i`.
        (Some(first), Some(_)) => first,
        (None, _) => c,
    }
}

/// The text with every character folded.
#[must_use]
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    let unchanged = |c: char| if c.is_ascii() { !c.is_ascii_uppercase() } else { fold_char(c) == c };
    if text.chars().all(unchanged) { Cow::Borrowed(text) } else { text.chars().map(fold_char).collect() }
}

/// Whether the texts are equal but for case.
pub(crate) fn equals(text: &str, folded: &str) -> bool {
    // Names of one kind differ at their end: an ASCII letter is folded to one.
    if let Some(last) = text.as_bytes().last().filter(|last| last.is_ascii())
        && folded.as_bytes().last() != Some(&last.to_ascii_lowercase())
    {
        return false;
    }
    if text.is_ascii() {
        text.eq_ignore_ascii_case(folded)
    } else {
        text.chars().map(fold_char).eq(folded.chars())
    }
}

/// How many bytes of `text` the folded prefix takes, if the text starts with it.
pub(crate) fn strip_prefix(text: &str, folded: &str) -> Option<usize> {
    if folded.is_ascii()
        && let Some(start) = text.as_bytes().get(..folded.len())
        && start.is_ascii()
    {
        return start.eq_ignore_ascii_case(folded.as_bytes()).then_some(folded.len());
    }
    let mut chars = text.char_indices();
    for expected in folded.chars() {
        let (_, c) = chars.next()?;
        if fold_char(c) != expected {
            return None;
        }
    }
    Some(chars.offset())
}

/// How many bytes of `text` stand before the folded suffix, if the text ends with it.
fn strip_suffix(text: &str, folded: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    for expected in folded.chars().rev() {
        let (_, c) = chars.next_back()?;
        if fold_char(c) != expected {
            return None;
        }
    }
    Some(chars.as_str().len())
}

/// A folded text prepared for being looked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Needle {
    folded: Box<str>,
    /// Only ASCII can be equal to it but for case, so that bytes can be compared in any text.
    ascii_only: bool,
    /// The place of a byte that is rare in logs, and its two cases.
    rare: usize,
    rare_cases: (u8, u8),
}

impl Needle {
    pub(crate) fn new(folded: &str) -> Self {
        let bytes = folded.as_bytes();
        let rare = (0..bytes.len()).max_by_key(|at| rarity(bytes[*at])).unwrap_or(0);
        let byte = bytes.get(rare).copied().unwrap_or(0);
        Self {
            folded: folded.into(),
            // The Kelvin sign folds to `k` and `İ` to `i`.
            ascii_only: folded.is_ascii() && !folded.contains(['k', 'i']),
            rare,
            rare_cases: (byte, byte.to_ascii_uppercase()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.folded
    }

    /// The first place at or after `from` where it stands, but for case: start and end.
    pub(crate) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        if self.folded.is_empty() {
            return (from <= text.len()).then_some((from, from));
        }
        if self.ascii_only || text.is_ascii() {
            return self.find_bytes(text.as_bytes(), from);
        }
        let first = self.folded.chars().next()?;
        let starts = text.get(from..)?.char_indices().filter(|(_, c)| fold_char(*c) == first);
        starts
            .map(|(at, _)| from + at)
            .find_map(|at| strip_prefix(&text[at..], &self.folded).map(|length| (at, at + length)))
    }

    fn find_bytes(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let needle = self.folded.as_bytes();
        let (lower, upper) = self.rare_cases;
        let mut at = from + self.rare;
        while at < text.len() {
            let skipped = if lower == upper {
                memchr::memchr(lower, &text[at..])
            } else {
                memchr::memchr2(lower, upper, &text[at..])
            };
            let start = at + skipped? - self.rare;
            let candidate = text.get(start..start + needle.len())?;
            if candidate.eq_ignore_ascii_case(needle) {
                return Some((start, start + needle.len()));
            }
            at = start + self.rare + 1;
        }
        None
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.find(text, 0).is_some()
    }
}

/// How seldom a byte is seen in log lines, roughly.
fn rarity(byte: u8) -> u8 {
    match byte {
        b' ' | b'e' | b'0' => 0,
        b'a' | b'i' | b'n' | b'o' | b'r' | b's' | b't' | b'1' | b'2' => 1,
        b'c' | b'd' | b'l' | b'm' | b'p' | b'u' | b'.' | b':' | b'/' | b'-' | b'3'..=b'9' => 2,
        b'a'..=b'z' | b'_' | b'"' | b'=' => 3,
        128.. => 2,
        _ => 4,
    }
}

/// A pattern with stars, prepared for being compared with whole texts, ignoring case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Glob {
    first: Box<str>,
    middle: Vec<Needle>,
    last: Box<str>,
}

impl Glob {
    /// From the folded pieces between the stars; at least two.
    pub(crate) fn new(pieces: &[String]) -> Self {
        let (first, rest) = pieces.split_first().expect("a star stands between two pieces");
        let (last, middle) = rest.split_last().expect("a star stands between two pieces");
        let middle =
            middle.iter().filter(|piece| !piece.is_empty()).map(|piece| Needle::new(piece)).collect();
        Self { first: first.as_str().into(), middle, last: last.as_str().into() }
    }

    pub(crate) fn is_any(&self) -> bool {
        self.first.is_empty() && self.middle.is_empty() && self.last.is_empty()
    }

    /// The text that a `*text*` looks for.
    pub(crate) fn as_substring(&self) -> Option<&Needle> {
        match self.middle.as_slice() {
            [only] if self.first.is_empty() && self.last.is_empty() => Some(only),
            _ => None,
        }
    }

    /// The longest text that every match contains.
    pub(crate) fn longest_piece(&self) -> &str {
        let middle = self.middle.iter().map(Needle::as_str);
        middle.chain([&*self.first, &*self.last]).max_by_key(|piece| piece.len()).unwrap_or("")
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(mut at) = strip_prefix(text, &self.first) else { return false };
        let Some(end) = strip_suffix(text, &self.last) else { return false };
        for needle in &self.middle {
            match needle.find(text, at) {
                Some((_, after)) => at = after,
                None => return false,
            }
        }
        at <= end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_folds_to_one() {
        assert_eq!(fold("ÄÖÜß İ ǅ K"), "äöüß i ǆ k");
        assert!(matches!(fold("already lower"), Cow::Borrowed(_)));
    }

    #[test]
    fn equals_whatever_the_case() {
        let texts = [
            "", "a", "A", "ab", "aB", "AK", "aK", "ak", "é", "É", "aé", "éa", "İ", "i", "결제", "결제a", "7",
        ];
        for text in texts {
            for other in texts {
                let folded = fold(other);
                assert_eq!(equals(text, &folded), fold(text) == folded, "{text:?} {other:?}");
            }
        }
    }

    #[test]
    fn finds_whatever_the_case() {
        let find = |text, needle| Needle::new(&fold(needle)).find(text, 0);
        assert_eq!(find("connection TimeOut now", "timeout"), Some((11, 18)));
        assert_eq!(find("aaaaaaab", "aab"), Some((5, 8)));
        assert_eq!(find("결제 실패 OK", "ok"), Some((14, 16)));
        assert_eq!(find("결제 실패 OK", "실패"), Some((7, 13)));
        assert_eq!(find("short", "longer than it"), None);
        assert_eq!(find("abc", ""), Some((0, 0)));
    }

    #[test]
    fn globs_compare_the_whole_text() {
        let glob = |pattern: &str, text| {
            let pieces: Vec<String> = fold(pattern).split('*').map(str::to_owned).collect();
            Glob::new(&pieces).matches(text)
        };
        assert!(glob("web-*", "WEB-1") && glob("*", "") && glob("**", "x") && glob("a*b*c", "a-B-b-c"));
        assert!(!glob("a*a", "a") && !glob("web-*", "my-web-1") && !glob("*ab*ab", "ab") && !glob("*x", ""));
        assert!(glob("*결제*", "사전 결제가 됨") && glob("ä*Ü", "Ä--ü"));
    }
}
