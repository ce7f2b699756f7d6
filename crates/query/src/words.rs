//! What a value of a query asks of a text: words, phrases, wildcards over words.
//!
//! Owns: [`Words`] and [`WordGlobs`]. Does not own: where words end (`tokens`), case (`fold`).
//! Invariant: evaluation allocates nothing, and looks at words only around places where the letters are found.

use crate::fold::{Glob, Needle, equals, fold};
use crate::required::Required;
use crate::tokens::{Tokens, is_found_inside};

/// Several things of which a text must have one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Words(Vec<Alternative>);

#[derive(Clone, Debug, PartialEq)]
enum Alternative {
    /// A token.
    Token(Needle),
    /// These letters, wherever: words of scripts that do not part them, and values without any letter or digit.
    Letters(Needle),
    /// Tokens that follow each other.
    Phrase(Vec<PhraseWord>),
}

#[derive(Clone, Debug, PartialEq)]
struct PhraseWord {
    needle: Needle,
    inside: bool,
}

/// A token of a value, and whether it touches the one before.
struct Word<'a> {
    text: &'a str,
    touches: bool,
    inside: bool,
}

impl Words {
    /// Any of the words of this value. What is not parted in Korean, Chinese … stays together.
    pub(crate) fn any_of(value: &str) -> Self {
        let words = split(value);
        if words.is_empty() {
            return Self::letters(value);
        }
        let mut alternatives = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let run = run_length(&words[at..]);
            alternatives.push(run_alternative(value, &words[at..at + run]));
            at += run;
        }
        Self(alternatives)
    }

    /// The words of this value one after the other.
    pub(crate) fn phrase(value: &str) -> Self {
        let words = split(value);
        if words.is_empty() {
            return Self::letters(value);
        }
        if run_length(&words) == words.len() {
            return Self(vec![run_alternative(value, &words)]);
        }
        let needle =
            |word: &Word<'_>| PhraseWord { needle: Needle::new(&fold(word.text)), inside: word.inside };
        Self(vec![Alternative::Phrase(words.iter().map(needle).collect())])
    }

    /// A value without words, such as `->`, is looked for as it is written; an empty one matches nothing.
    fn letters(value: &str) -> Self {
        let value = fold(value.trim());
        Self(if value.is_empty() { Vec::new() } else { vec![Alternative::Letters(Needle::new(&value))] })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|alternative| match alternative {
            Alternative::Token(needle) => has_token(text, needle),
            Alternative::Letters(needle) => needle.is_in(text),
            Alternative::Phrase(words) => has_phrase(text, words),
        })
    }

    /// Whether several words are needed that follow each other.
    pub(crate) fn is_phrase(&self) -> bool {
        self.0.iter().any(|one| matches!(one, Alternative::Phrase(_)))
    }

    pub(crate) fn required(&self) -> Required {
        Required::some(self.0.iter().map(|alternative| match alternative {
            Alternative::Token(needle) => Required::token(needle.as_str()),
            Alternative::Letters(_) => Required::Nothing,
            Alternative::Phrase(words) => {
                let whole = words.iter().filter(|word| !word.inside);
                Required::all(whole.map(|word| Required::token(word.needle.as_str())))
            }
        }))
    }
}

fn split(value: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut tokens = Tokens::new(value);
    let mut last_end = usize::MAX;
    while let Some(text) = tokens.next() {
        let start = tokens.offset() - text.len();
        words.push(Word { text, touches: start == last_end, inside: text.chars().any(is_found_inside) });
        last_end = tokens.offset();
    }
    words
}

/// How many of the first words are one word to a reader.
fn run_length(words: &[Word<'_>]) -> usize {
    let joined = words.iter().skip(1).take_while(|word| words[0].inside && word.inside && word.touches);
    1 + joined.count()
}

fn run_alternative(value: &str, run: &[Word<'_>]) -> Alternative {
    let start = run[0].text.as_ptr() as usize - value.as_ptr() as usize;
    let length: usize = run.iter().map(|word| word.text.len()).sum();
    let needle = Needle::new(&fold(&value[start..start + length]));
    if run[0].inside { Alternative::Letters(needle) } else { Alternative::Token(needle) }
}

fn has_token(text: &str, needle: &Needle) -> bool {
    let mut from = 0;
    while let Some((start, end)) = needle.find(text, from) {
        if needle.as_str().is_ascii() && is_surely_apart(text.as_bytes(), start, end) {
            return true;
        }
        let part = part_around(text, start, end);
        if Tokens::new(&text[part.clone()]).any(|token| equals(token, needle.as_str())) {
            return true;
        }
        from = part.end;
    }
    false
}

/// Whether an ASCII word that stands here is a token by its neighbours alone.
fn is_surely_apart(text: &[u8], start: usize, end: usize) -> bool {
    let apart = |byte: Option<&u8>| {
        byte.is_none_or(|byte| {
            matches!(byte, b' ' | b'\t' | b'\n' | b'"' | b'=' | b'/' | b'[' | b']' | b'(' | b')')
        })
    };
    apart(start.checked_sub(1).and_then(|before| text.get(before))) && apart(text.get(end))
}

/// The part between ASCII white space around a place.
fn part_around(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let bytes = text.as_bytes();
    let before = bytes[..start].iter().rposition(u8::is_ascii_whitespace);
    let after = bytes[end..].iter().position(u8::is_ascii_whitespace);
    before.map_or(0, |at| at + 1)..after.map_or(bytes.len(), |at| end + at)
}

fn has_phrase(text: &str, words: &[PhraseWord]) -> bool {
    let longest = words.iter().max_by_key(|word| word.needle.as_str().len());
    if longest.is_none_or(|word| !word.needle.is_in(text)) {
        return false;
    }
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        if words[0].matches(token)
            && words[1..]
                .iter()
                .zip(Continued(tokens.clone()))
                .all(|(word, token)| token.is_some_and(|t| word.matches(t)))
        {
            return true;
        }
    }
    false
}

/// The tokens, and then nothing for ever.
struct Continued<'a>(Tokens<'a>);

impl<'a> Iterator for Continued<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Option<&'a str>> {
        Some(self.0.next())
    }
}

impl PhraseWord {
    fn matches(&self, token: &str) -> bool {
        if self.inside { self.needle.is_in(token) } else { equals(token, self.needle.as_str()) }
    }
}

/// A value with stars, on text: any of its parts between spaces, each of which is compared with single words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WordGlobs(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Words(Words),
    Glob { glob: Glob, longest: Needle },
}

impl WordGlobs {
    /// From the folded pieces between the stars.
    pub(crate) fn new(pieces: &[String]) -> Self {
        let parts = split_pieces(pieces).into_iter().map(|pieces| match pieces.as_slice() {
            [word] => Part::Words(Words::any_of(word)),
            _ => {
                let glob = Glob::new(&pieces);
                Part::Glob { longest: Needle::new(glob.longest_piece()), glob }
            }
        });
        Self(parts.collect())
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|part| match part {
            Part::Words(words) => words.matches(text),
            Part::Glob { glob, .. } if glob.is_any() => true,
            Part::Glob { glob, .. } if glob.as_substring().is_some() => {
                glob.as_substring().is_some_and(|needle| needle.is_in(text))
            }
            Part::Glob { glob, longest } => has_word_like(text, glob, longest),
        })
    }
}

/// Whether a token, or a part between white space, has this form.
fn has_word_like(text: &str, glob: &Glob, longest: &Needle) -> bool {
    let mut from = 0;
    while let Some((start, end)) = longest.find(text, from) {
        let range = part_around(text, start, end);
        let part = &text[range.clone()];
        if glob.matches(part) || Tokens::new(part).any(|token| glob.matches(token)) {
            return true;
        }
        from = range.end;
    }
    false
}

/// Cuts a value with stars at white space; each part as its own pieces between stars.
fn split_pieces(pieces: &[String]) -> Vec<Vec<String>> {
    let mut parts = vec![vec![String::new()]];
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            parts.last_mut().expect("never empty").push(String::new());
        }
        for (at, fragment) in piece.split(char::is_whitespace).enumerate() {
            if at > 0 {
                parts.push(vec![String::new()]);
            }
            let part = parts.last_mut().expect("never empty");
            part.last_mut().expect("never empty").push_str(fragment);
        }
    }
    parts.retain(|part| part.len() > 1 || !part[0].is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_word_is_enough() {
        let words = Words::any_of("Refused timeout");
        assert!(words.matches("read TIMEOUT.") && words.matches("it was (refused)"));
        assert!(!words.matches("timeouts") && !words.matches("prerefused refused_2 timeout.x"));
        assert!(words.matches("timeouts, timeout-s"));
    }

    #[test]
    fn phrases_keep_their_order() {
        let phrase = Words::phrase("connection refused");
        assert!(phrase.matches("Connection: refused") && phrase.matches("connection connection refused"));
        assert!(!phrase.matches("refused connection") && !phrase.matches("connection was refused"));
        assert!(!phrase.matches("connection"));
    }

    #[test]
    fn words_of_east_asia_are_found_inside() {
        assert!(Words::any_of("결제").matches("사용자 결제가 실패"));
        assert!(Words::phrase("결제 실패").matches("결제가 실패했다"));
        assert!(
            Words::any_of("支付失败").matches("用户支付失败。")
                && !Words::any_of("支付失败").matches("支付成功")
        );
        assert!(Words::phrase("支付 error").matches("用支付: Error"));
        assert!(Words::any_of("エラー発生").matches("本日エラー発生"));
    }

    #[test]
    fn signs_are_found_as_written() {
        assert!(Words::phrase("->").matches("a -> b") && !Words::phrase("->").matches("a > b"));
        assert!(!Words::phrase("").matches("a") && !Words::any_of(" ").matches("a b"));
    }

    #[test]
    fn stars_stand_within_words() {
        let globs = |pattern: &str| {
            let pieces: Vec<String> = fold(pattern).split('*').map(str::to_owned).collect();
            WordGlobs::new(&pieces)
        };
        assert!(globs("time*").matches("read TimeOut") && !globs("time*").matches("runtime x"));
        assert!(globs("*out").matches("timeout now") && globs("*me*").matches("timeout"));
        assert!(globs("/api/*").matches("GET /api/v1/users") && !globs("a*b").matches("a b"));
        assert!(globs("x* timeout").matches("timeout") && globs("* b").matches("anything"));
    }
}
