//! The words of KQL: spaces, keywords, quoted and unquoted literals.
//!
//! Owns: where a literal ends and which characters it stands for. Does not own: how literals combine (`parse`).
//! Invariant: `at` lies on a character boundary and never moves back past what was read.

use super::ast::{Literal, LiteralValue, WildcardText};

/// A place in the text.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// Collects the characters of an unquoted literal; pieces lie between stars.
struct Pieces {
    done: Vec<String>,
    last: String,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_space).len();
    }

    /// Takes this text if it stands here.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let here = self.rest().starts_with(text);
        if here {
            self.at += text.len();
        }
        here
    }

    /// Takes `and` or `or` with the space on both sides that it needs.
    pub(super) fn take_operator(&mut self, word: &str) -> bool {
        let mut ahead = *self;
        ahead.skip_space();
        let found = ahead.at > self.at && ahead.take_spaced(word);
        if found {
            *self = ahead;
        }
        found
    }

    /// Takes `not` and the space that it needs.
    pub(super) fn take_not(&mut self) -> bool {
        self.take_spaced("not")
    }

    /// Whether `not` stands here as a keyword.
    pub(super) fn at_not(&self) -> bool {
        let mut ahead = *self;
        ahead.take_not()
    }

    fn take_spaced(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = starts_with_word(rest, word) && rest[word.len()..].starts_with(is_space);
        if found {
            self.at += word.len();
            self.skip_space();
        }
        found
    }

    /// The characters in quotes, if a quote stands here and is closed.
    pub(super) fn quoted(&mut self) -> Option<Literal> {
        let offset = self.at;
        let mut ahead = *self;
        if !ahead.take("\"") {
            return None;
        }
        let mut text = String::new();
        loop {
            match ahead.peek()? {
                '"' => break,
                '\\' if ahead.rest()[1..].starts_with(['"', '\\']) => {
                    text.push_str(&ahead.rest()[1..2]);
                    ahead.at += 2;
                }
                '\\' => match ahead.take_space_or_unicode_escape() {
                    Some(c) => text.push(c),
                    None => ahead.push_char(&mut text),
                },
                _ => ahead.push_char(&mut text),
            }
        }
        ahead.at += 1;
        *self = ahead;
        Some(Literal { value: LiteralValue::Text { text, quoted: true }, offset })
    }

    /// The longest unquoted literal here, if there is any. Space at its end belongs to it, and is trimmed.
    pub(super) fn unquoted(&mut self) -> Option<Literal> {
        let offset = self.at;
        let mut pieces = Pieces { done: Vec::new(), last: String::new() };
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    if !self.take_escape(&mut pieces.last) {
                        break;
                    }
                }
                '*' => {
                    self.at += 1;
                    pieces.done.push(std::mem::take(&mut pieces.last));
                }
                _ if is_special(c) => break,
                _ if is_space(c) => {
                    let mut ahead = *self;
                    if ahead.take_operator("and") || ahead.take_operator("or") {
                        break;
                    }
                    ahead.skip_space();
                    pieces.last.push_str(&self.text[self.at..ahead.at]);
                    self.at = ahead.at;
                }
                'n' | 'N' if self.at_not() && !self.is_inside_word(offset) => break,
                _ => self.push_char(&mut pieces.last),
            }
        }
        (self.at > offset).then(|| Literal { value: pieces.into_value(), offset })
    }

    /// Whether the literal that started at `offset` has a character directly before this place.
    fn is_inside_word(&self, offset: usize) -> bool {
        self.text[offset..self.at].chars().next_back().is_some_and(|before| !is_space(before))
    }

    fn push_char(&mut self, text: &mut String) {
        if let Some(c) = self.peek() {
            text.push(c);
            self.at += c.len_utf8();
        }
    }

    /// Takes an escape of an unquoted literal; says whether there was one.
    fn take_escape(&mut self, text: &mut String) -> bool {
        if let Some(c) = self.take_space_or_unicode_escape() {
            text.push(c);
            return true;
        }
        let escaped = &self.rest()[1..];
        if escaped.starts_with(is_special) {
            text.push_str(&escaped[..1]);
            self.at += 2;
            return true;
        }
        let Some(word) = ["or", "and", "not"].into_iter().find(|word| starts_with_word(escaped, word)) else {
            return false;
        };
        text.push_str(&escaped[..word.len()]);
        self.at += 1 + word.len();
        true
    }

    /// Takes `\t`, `\r`, `\n` or `\u` with four digits; a pair of surrogates is one character.
    fn take_space_or_unicode_escape(&mut self) -> Option<char> {
        let c = match self.rest().as_bytes().get(1)? {
            b't' => '\t',
            b'r' => '\r',
            b'n' => '\n',
            b'u' => {
                let mut unit = unicode_escape(self.rest())?;
                self.at += 6;
                if let Some(low @ 0xDC00..=0xDFFF) = unicode_escape(self.rest())
                    && (0xD800..0xDC00).contains(&unit)
                {
                    self.at += 6;
                    unit = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                }
                return Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => return None,
        };
        self.at += 2;
        Some(c)
    }
}

impl Pieces {
    fn into_value(mut self) -> LiteralValue {
        if self.done.is_empty() {
            return match self.last.trim_matches(is_trimmed) {
                "null" => LiteralValue::Null,
                "true" => LiteralValue::Bool(true),
                "false" => LiteralValue::Bool(false),
                text => LiteralValue::Text { text: text.to_owned(), quoted: false },
            };
        }
        self.done[0] = self.done[0].trim_start_matches(is_trimmed).to_owned();
        self.done.push(self.last.trim_end_matches(is_trimmed).to_owned());
        LiteralValue::Wildcard(WildcardText(self.done))
    }
}

/// What separates words.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{A0}')
}

/// What an unquoted literal cannot hold without a backslash. All of one byte.
pub(super) fn is_special(c: char) -> bool {
    matches!(c, '\\' | '(' | ')' | ':' | '<' | '>' | '"' | '*' | '{' | '}')
}

/// White space as JavaScript's `trim` has it.
fn is_trimmed(c: char) -> bool {
    (c.is_whitespace() && c != '\u{85}') || c == '\u{FEFF}'
}

fn starts_with_word(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// The number of a `\uXXXX` at the start of the text.
fn unicode_escape(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}
