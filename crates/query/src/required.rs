//! Which tokens a part must have for a query to match anything in it.
//!
//! Owns: [`index_tokens`], what a writer of such an index puts into it, and the tokens that a test requires. Does not
//! own: how the index is kept (a filter, an FST; `segment`).
//! Invariant: if a test matches a value, the tokens of that value fulfil what the test requires. So a part without
//! them can be skipped, and never loses a match.

use sawyer_model::ValueRef;

use crate::field::{FieldKind, PLAIN_BYTES_MAX};
use crate::fold::fold;
use crate::number::Number;
use crate::tokens::tokens;

/// Stands in the index for every timestamp; no text has it for a token.
const TIMESTAMP_TOKEN: &str = "\u{0}timestamp";

/// Hands out what to put into the index for a value of the field with this name: the words of text, the whole of
/// other values in lower case, numbers in one form. A list gives the tokens of its elements.
pub fn index_tokens(name: &str, value: ValueRef<'_>, take: &mut dyn FnMut(&str)) {
    match value {
        ValueRef::Str(text) if is_text(FieldKind::of(name), text) => tokens(text, take),
        ValueRef::Str(text) => take(&fold(text)),
        ValueRef::Int(int) => take(&Number::Int(int).canonical()),
        ValueRef::Float(float) => take(&Number::Float(float).canonical()),
        ValueRef::Bool(value) => take(if value { "true" } else { "false" }),
        ValueRef::Null => take("null"),
        ValueRef::Timestamp(_) => take(TIMESTAMP_TOKEN),
        ValueRef::List(list) => list.iter().for_each(|value| index_tokens(name, value, take)),
        ValueRef::Json(_) => {}
    }
}

/// Whether a string of a field of this kind is searched by words.
pub(crate) fn is_text(kind: FieldKind, text: &str) -> bool {
    kind == FieldKind::Text || text.len() > PLAIN_BYTES_MAX
}

/// What the index of a part must have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Required {
    /// Anything may match.
    Nothing,
    /// This token.
    Token(Box<str>),
    /// All of these.
    All(Vec<Required>),
    /// One of these; of none, the test never matches.
    Some(Vec<Required>),
}

impl Required {
    pub(crate) fn token(token: &str) -> Self {
        Self::Token(token.into())
    }

    pub(crate) fn all(parts: impl Iterator<Item = Self>) -> Self {
        let parts: Vec<Self> = parts.filter(|part| *part != Self::Nothing).collect();
        if parts.is_empty() { Self::Nothing } else { Self::All(parts) }
    }

    /// One of these, each of which is asked for in every part of the store: the first does not come again, as a value of one word
    /// is this word.
    pub(crate) fn some(parts: impl Iterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Nothing => return Self::Nothing,
                Self::Some(parts) => {
                    let first = all.first().cloned();
                    all.extend(parts.into_iter().filter(|part| first.as_ref() != Some(part)));
                }
                part if all.first() == Some(&part) => {}
                part => all.push(part),
            }
        }
        if all.len() == 1 { all.remove(0) } else { Self::Some(all) }
    }

    pub(crate) fn timestamp() -> Self {
        Self::token(TIMESTAMP_TOKEN)
    }

    /// Calls with each of the tokens.
    pub(crate) fn for_each(&self, call: &mut dyn FnMut(&str)) {
        match self {
            Self::Nothing => {}
            Self::Token(token) => call(token),
            Self::All(parts) | Self::Some(parts) => parts.iter().for_each(|part| part.for_each(call)),
        }
    }

    pub(crate) fn is_met(&self, has: &mut dyn FnMut(&str) -> bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::Token(token) => has(token),
            Self::All(parts) => parts.iter().all(|part| part.is_met(has)),
            Self::Some(parts) => parts.iter().any(|part| part.is_met(has)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, FieldTest};

    #[test]
    fn a_word_is_asked_for_once() {
        let tokens = |text: &str| {
            let mut tokens = Vec::new();
            FieldTest::words(text, &Context::default())
                .required()
                .for_each(&mut |token| tokens.push(token.to_owned()));
            tokens
        };
        assert_eq!(tokens("Timeout"), ["timeout"]);
        assert_eq!(tokens("timeout lost"), ["timeout lost", "timeout", "lost"]);
        assert_eq!(tokens("404"), ["404"]);
        let never = Required::some(std::iter::empty());
        assert!(!never.is_met(&mut |_| true), "one of none");
        assert_eq!(Required::some([never, Required::Nothing].into_iter()), Required::Nothing);
    }
}
