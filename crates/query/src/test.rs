//! What is asked of one value.
//!
//! Owns: [`FieldTest`] and how it holds for each type of value. Does not own: which fields are asked (`field`), how
//! the answers combine (`predicate`).
//! Invariant: evaluation allocates nothing and depends on nothing but the test, the kind of the field and the value,
//! so that an engine may evaluate once for each distinct value.

mod automaton;
mod letters;
mod operand;
mod render;

use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use sawyer_model::{Level, Timestamp, ValueRef};

use crate::field::FieldKind;
use crate::fold::{Glob, Needle, fold};
use crate::kql::{RangeOp, WildcardText};
use crate::number::Number;
use crate::required::{Required, is_text};
use crate::tokens::tokens;
use crate::words::{WordGlobs, Words};

pub use automaton::{Automaton, State};
use letters::Needed;
pub use letters::{Around, Letters};
pub use operand::Context;
use operand::Operand;
use render::Rendered;

/// Memory that a compiled regular expression may take, in bytes. A larger one is refused, so that a query cannot
/// take the server's memory.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Memory of a regular expression's cache while it is evaluated, in bytes; beyond it evaluation gets slower.
const REGEX_CACHE_BYTES_MAX: usize = 2 << 20;

/// What is asked of a value. A list satisfies it when one of its elements does.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldTest {
    /// Text has any of these words; other strings are equal but for case; numbers, booleans, severities and times
    /// are what the text says.
    Words(WordsTest),
    /// As [`FieldTest::Words`], but text has all the words in this order.
    Phrase(WordsTest),
    /// The value, as a string, is exactly this.
    Exact(ExactTest),
    /// Text has a word of this form; other values, as strings, are of this form as a whole, ignoring case.
    Wildcard(WildcardTest),
    /// The value lies on this side of another.
    Range(RangeTest),
    /// The value, as a string, has a part that matches.
    Regex(RegexTest),
    /// The value, as a string, has this part.
    Contains(ContainsTest),
}

/// See [`FieldTest::Words`] and [`FieldTest::Phrase`].
#[derive(Clone, Debug, PartialEq)]
pub struct WordsTest {
    operand: Operand,
    words: Words,
    required: Required,
}

/// See [`FieldTest::Exact`].
#[derive(Clone, Debug, PartialEq)]
pub struct ExactTest {
    text: Box<str>,
    required: Required,
}

/// See [`FieldTest::Wildcard`].
#[derive(Clone, Debug, PartialEq)]
pub struct WildcardTest {
    whole: Glob,
    words: WordGlobs,
}

/// See [`FieldTest::Range`].
#[derive(Clone, Debug, PartialEq)]
pub struct RangeTest {
    op: RangeOp,
    operand: Operand,
}

/// See [`FieldTest::Regex`].
#[derive(Clone, Debug)]
pub struct RegexTest {
    regex: Regex,
    /// Letters that what matches has.
    needed: Needed,
    /// Whether they are all of it, so that a text that has them matches.
    is_literal: bool,
    /// Made when it is first asked for, once for all copies.
    automaton: Arc<OnceLock<Option<Arc<Automaton>>>>,
}

/// See [`FieldTest::Contains`].
#[derive(Clone, Debug, PartialEq)]
pub struct ContainsTest {
    part: Box<str>,
    /// Prepared for ignoring case, if that is asked.
    folded: Option<Needle>,
}

impl FieldTest {
    /// [`FieldTest::Words`] of this value.
    #[must_use]
    pub fn words(value: &str, context: &Context) -> Self {
        Self::Words(WordsTest::new(value, Words::any_of(value), context))
    }

    /// [`FieldTest::Phrase`] of this value.
    #[must_use]
    pub fn phrase(value: &str, context: &Context) -> Self {
        Self::Phrase(WordsTest::new(value, Words::phrase(value), context))
    }

    /// [`FieldTest::Exact`] of this value.
    #[must_use]
    pub fn exact(value: &str) -> Self {
        Self::Exact(ExactTest::new(value))
    }

    /// [`FieldTest::Wildcard`] of this pattern.
    #[must_use]
    pub fn wildcard(pattern: &WildcardText) -> Self {
        let folded: Vec<String> = pattern.0.iter().map(|piece| fold(piece).into_owned()).collect();
        Self::Wildcard(WildcardTest { whole: Glob::new(&folded), words: WordGlobs::new(&folded) })
    }

    /// [`FieldTest::Range`] with this operand.
    #[must_use]
    pub fn range(op: RangeOp, value: &str, context: &Context) -> Self {
        Self::Range(RangeTest { op, operand: Operand::new(value, context) })
    }

    /// [`FieldTest::Regex`] of this pattern, not anchored, minding case unless it says `(?i)`.
    ///
    /// # Errors
    /// If the pattern is wrong or too large.
    pub fn regex(pattern: &str) -> Result<Self, regex::Error> {
        let mut builder = RegexBuilder::new(pattern);
        let regex = builder.size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_CACHE_BYTES_MAX).build()?;
        let (needed, is_literal) = Needed::of_regex(pattern);
        Ok(Self::Regex(RegexTest { regex, needed, is_literal, automaton: Arc::default() }))
    }

    /// [`FieldTest::Contains`] of this part.
    #[must_use]
    pub fn contains(part: &str, ignore_case: bool) -> Self {
        let folded = ignore_case.then(|| Needle::new(&fold(part)));
        Self::Contains(ContainsTest { part: part.into(), folded })
    }

    /// The same test, to be compared with later ones: it holds nothing that was made to ask it.
    #[must_use]
    pub fn to_remember(&self) -> Self {
        match self {
            Self::Regex(test) => Self::Regex(RegexTest { automaton: Arc::default(), ..test.clone() }),
            other => other.clone(),
        }
    }

    /// Whether a value of a field of this kind satisfies it. See [`FieldKind::of`], and for bare words
    /// [`FieldKind::of_bare`].
    #[must_use]
    pub fn matches(&self, kind: FieldKind, value: ValueRef<'_>) -> bool {
        if let ValueRef::List(list) = value {
            return list.iter().any(|element| self.matches(kind, element));
        }
        match self {
            Self::Words(test) | Self::Phrase(test) => test.matches(kind, value),
            Self::Exact(test) => Rendered::of(value).is_some_and(|value| value.as_str() == &*test.text),
            Self::Wildcard(test) => test.matches(kind, value),
            Self::Range(test) => test.matches(kind, value),
            Self::Regex(test) => Rendered::of(value).is_some_and(|value| test.regex.is_match(value.as_str())),
            Self::Contains(test) => Rendered::of(value).is_some_and(|value| test.matches(value.as_str())),
        }
    }

    /// The first and last point in time between which a timestamp that satisfies it must lie; the first is after the
    /// last if none does.
    #[must_use]
    pub fn time_bounds(&self) -> (Timestamp, Timestamp) {
        let all = (Timestamp::MIN, Timestamp::MAX);
        let none = (Timestamp::MAX, Timestamp::MIN);
        match self {
            Self::Words(test) | Self::Phrase(test) => test.operand.instant.unwrap_or(none),
            Self::Range(test) => match test.operand.instant {
                None => none,
                Some((first, last)) => match test.op {
                    RangeOp::Gte => (first, all.1),
                    RangeOp::Lte => (all.0, last),
                    RangeOp::Gt if last == all.1 => none,
                    RangeOp::Gt => (Timestamp::from_nanos(last.nanos() + 1), all.1),
                    RangeOp::Lt if first == all.0 => none,
                    RangeOp::Lt => (all.0, Timestamp::from_nanos(first.nanos() - 1)),
                },
            },
            Self::Exact(_) | Self::Wildcard(_) | Self::Regex(_) | Self::Contains(_) => all,
        }
    }

    /// What the token index of a part must have, if the field is not compared as a severity.
    pub(crate) fn required(&self) -> &Required {
        match self {
            Self::Words(test) | Self::Phrase(test) => &test.required,
            Self::Exact(test) => &test.required,
            Self::Wildcard(_) | Self::Range(_) | Self::Regex(_) | Self::Contains(_) => &Required::Nothing,
        }
    }

    /// Whether a text in which `has` finds letters may satisfy it: if it says no, no such text does.
    #[must_use]
    pub fn may_hold_for_text(&self, has: &mut dyn FnMut(Letters<'_>) -> bool) -> bool {
        match self {
            Self::Words(test) | Self::Phrase(test) => {
                test.required.is_met(&mut |token| has(Letters::AnyCase(token)))
            }
            Self::Exact(test) => has(Letters::Exact(&test.text)),
            Self::Wildcard(_) | Self::Range(_) => true,
            Self::Regex(test) => test.needed.is_met(has),
            Self::Contains(test) => match &test.folded {
                Some(needle) => has(Letters::AnyCase(needle.as_str())),
                None => has(Letters::Exact(&test.part)),
            },
        }
    }

    /// Calls with all letters that [`FieldTest::may_hold_for_text`] may ask for.
    pub fn for_each_letters(&self, call: &mut dyn FnMut(Letters<'_>)) {
        match self {
            Self::Words(test) | Self::Phrase(test) => {
                test.required.for_each(&mut |token| call(Letters::AnyCase(token)));
            }
            Self::Exact(test) => call(Letters::Exact(&test.text)),
            Self::Wildcard(_) | Self::Range(_) => {}
            Self::Regex(test) => test.needed.for_each(call),
            Self::Contains(test) => match &test.folded {
                Some(needle) => call(Letters::AnyCase(needle.as_str())),
                None => call(Letters::Exact(&test.part)),
            },
        }
    }

    /// Of which texts it is known that they satisfy it because a part of them does, in fields of this kind.
    #[must_use]
    pub fn holds_around(&self, kind: FieldKind) -> Around {
        match self {
            Self::Words(_) | Self::Phrase(_) if kind == FieldKind::Text => Around::BetweenSpaces,
            Self::Contains(_) => Around::Anywhere,
            Self::Regex(test) if test.is_literal => Around::Anywhere,
            _ => Around::Nowhere,
        }
    }

    /// What a string has to be, but for the case of its letters, in a field of this kind to satisfy it, if it is ASCII and no
    /// longer than [`crate::PLAIN_BYTES_MAX`]; none if that is not known.
    #[must_use]
    pub fn ascii_text(&self, kind: FieldKind) -> Option<&str> {
        match self {
            Self::Words(test) | Self::Phrase(test) if kind == FieldKind::Plain => {
                Some(&*test.operand.folded).filter(|folded| folded.is_ascii())
            }
            Self::Exact(test) => Some(&test.text),
            _ => None,
        }
    }

    /// Whether text needs several words that follow each other.
    #[must_use]
    pub fn is_phrase(&self) -> bool {
        matches!(self, Self::Words(test) | Self::Phrase(test) if test.words.is_phrase())
    }

    /// Whether it may hold for a severity that is spelled otherwise.
    pub(crate) fn names_level(&self) -> bool {
        matches!(self, Self::Words(test) | Self::Phrase(test) if test.operand.level.is_some())
    }

    /// Whether a timestamp can satisfy it.
    pub(crate) fn can_hold_for_time(&self) -> bool {
        match self {
            Self::Words(test) | Self::Phrase(test) => test.operand.instant.is_some(),
            Self::Range(test) => test.operand.instant.is_some(),
            _ => true,
        }
    }
}

impl WordsTest {
    fn new(value: &str, words: Words, context: &Context) -> Self {
        let operand = Operand::new(value, context);
        let number = operand.number.map(|number| Required::token(&number.canonical()));
        let time = operand.instant.map(|_| Required::timestamp());
        let whole = [Required::token(&operand.folded), words.required()];
        let required = Required::some(whole.into_iter().chain(number).chain(time));
        Self { operand, words, required }
    }

    /// The value as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.operand.text
    }

    fn matches(&self, kind: FieldKind, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Str(text) if is_text(kind, text) => self.words.matches(text),
            ValueRef::Str(text) => {
                self.operand.equals(text) || (kind == FieldKind::Level && self.is_level(text))
            }
            ValueRef::Int(int) => self.operand.is_number(Number::Int(int)),
            ValueRef::Float(float) => self.operand.is_number(Number::Float(float)),
            ValueRef::Bool(value) => self.operand.equals(if value { "true" } else { "false" }),
            ValueRef::Null => &*self.operand.folded == "null",
            ValueRef::Timestamp(time) => {
                self.operand.instant.is_some_and(|(first, last)| first <= time && time <= last)
            }
            ValueRef::List(_) | ValueRef::Json(_) => false,
        }
    }

    fn is_level(&self, text: &str) -> bool {
        self.operand.level.is_some_and(|level| Level::from_name(text) == Some(level))
    }
}

impl ExactTest {
    fn new(value: &str) -> Self {
        let mut words = Vec::new();
        tokens(value, |token| words.push(Required::token(token)));
        let number = Number::parse(value).map(|number| Required::token(&number.canonical()));
        let time = operand::written_time(value).map(|_| Required::timestamp());
        let whole = [Required::token(&fold(value)), Required::all(words.into_iter())];
        let required = Required::some(whole.into_iter().chain(number).chain(time));
        Self { text: value.into(), required }
    }

    /// The value that is asked for.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl WildcardTest {
    fn matches(&self, kind: FieldKind, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Str(text) if kind == FieldKind::Text => self.words.matches(text),
            ValueRef::Str(text) if is_text(kind, text) => {
                self.whole.matches(text) || self.words.matches(text)
            }
            _ => Rendered::of(value).is_some_and(|value| self.whole.matches(value.as_str())),
        }
    }
}

impl RangeTest {
    fn matches(&self, kind: FieldKind, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Str(text) => self.matches_text(kind, text),
            ValueRef::Int(int) => self.matches_number(Number::Int(int)),
            ValueRef::Float(float) => self.matches_number(Number::Float(float)),
            ValueRef::Timestamp(time) => self.matches_time(time),
            ValueRef::Bool(_) | ValueRef::Null | ValueRef::List(_) | ValueRef::Json(_) => false,
        }
    }

    fn matches_number(&self, number: Number) -> bool {
        self.operand
            .number
            .and_then(|operand| number.compare(operand))
            .is_some_and(|order| self.op.holds(order))
    }

    fn matches_time(&self, time: Timestamp) -> bool {
        self.operand.instant.is_some_and(|(first, last)| match self.op {
            RangeOp::Gt => time > last,
            RangeOp::Gte => time >= first,
            RangeOp::Lt => time < first,
            RangeOp::Lte => time <= last,
        })
    }

    /// Severities by severity, numbers by number, times by time, and what is left letter by letter.
    fn matches_text(&self, kind: FieldKind, text: &str) -> bool {
        if kind == FieldKind::Level
            && let Some(operand) = self.operand.level
            && let Some(level) = Level::from_name(text)
        {
            return self.op.holds(level.cmp(&operand));
        }
        if self.operand.number.is_some() {
            return Number::parse(text).is_some_and(|number| self.matches_number(number));
        }
        if self.operand.instant.is_some() {
            if let Some(time) = operand::written_time(text) {
                return self.matches_time(time);
            }
            if self.operand.is_relative_time() {
                return false;
            }
        }
        self.op.holds(text.cmp(&self.operand.text))
    }
}

impl RegexTest {
    /// The expression as an automaton, if it has one.
    #[must_use]
    pub fn automaton(&self) -> Option<&Arc<Automaton>> {
        self.automaton.get_or_init(|| Automaton::of(self.pattern()).map(Arc::new)).as_ref()
    }

    /// Whether it is some letters and nothing else: every text that has them matches.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.is_literal
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.regex.as_str()
    }
}

impl PartialEq for RegexTest {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl ContainsTest {
    /// The part that is looked for.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// Whether case is ignored.
    #[must_use]
    pub fn ignores_case(&self) -> bool {
        self.folded.is_some()
    }

    fn matches(&self, text: &str) -> bool {
        match &self.folded {
            Some(needle) => needle.is_in(text),
            None => memchr::memmem::find(text.as_bytes(), self.part.as_bytes()).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PLAIN_BYTES_MAX;

    #[test]
    fn what_satisfies_a_test_is_what_it_says() {
        let long = "cart ".repeat(PLAIN_BYTES_MAX);
        let texts =
            ["", "cart", "CART", "carts", "a b", "\u{212a}ey", "key", "error", "err", "7", "07", &long];
        for asked in texts {
            let context = Context::default();
            for test in [
                FieldTest::words(asked, &context),
                FieldTest::phrase(asked, &context),
                FieldTest::exact(asked),
            ] {
                for kind in [FieldKind::Plain, FieldKind::Level, FieldKind::Text] {
                    let is_told = |text: &&str| {
                        !text.is_ascii()
                            || text.len() > PLAIN_BYTES_MAX
                            || !test.matches(kind, ValueRef::Str(text))
                            || test.ascii_text(kind).is_none_or(|told| told.eq_ignore_ascii_case(text))
                    };
                    assert!(texts.iter().all(is_told), "{test:?} {kind:?}");
                }
            }
        }
        let test = FieldTest::words("Cart-1", &Context::default());
        assert_eq!(test.ascii_text(FieldKind::Plain), Some("cart-1"));
    }
}
