//! Which letters a text must have to satisfy a test.
//!
//! Owns: [`Letters`], asked of whoever knows what texts have; the letters that a regular expression needs.
//! Does not own: the words that an index must have (`required`).
//! Invariant: a text that satisfies a test has the letters that the test needs.

use regex_syntax::hir::{Hir, HirKind};

/// Letters that a text has or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters<'a> {
    /// These.
    Exact(&'a str),
    /// These, in capitals or not; given in lower case.
    AnyCase(&'a str),
}

/// What follows for a text from a part of it that satisfies a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// Nothing.
    Nowhere,
    /// The text satisfies it if ASCII white space or the text's end is at both sides of the part; or, if the part begins
    /// and ends with ASCII, another byte that parts words. See [`crate::tokens::parts_words`].
    BetweenSpaces,
    /// The text satisfies it.
    Anywhere,
}

/// Letters that are needed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Needed {
    Nothing,
    These(Box<str>),
    All(Vec<Needed>),
    /// Those of one of them.
    Some(Vec<Needed>),
}

impl Needed {
    /// The letters that a regular expression needs, which is known to be right; and whether they are all of it.
    pub(super) fn of_regex(pattern: &str) -> (Self, bool) {
        let Ok(hir) = regex_syntax::parse(pattern) else { return (Self::Nothing, false) };
        let needed = Self::of(&hir);
        let is_literal = matches!((hir.kind(), &needed), (HirKind::Literal(_), Self::These(_)));
        (needed, is_literal)
    }

    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) if !text.is_empty() => Self::These(text.into()),
                _ => Self::Nothing,
            },
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Repetition(repetition) if repetition.min > 0 => Self::of(&repetition.sub),
            HirKind::Concat(parts) => {
                let parts: Vec<Self> =
                    parts.iter().map(Self::of).filter(|part| *part != Self::Nothing).collect();
                if parts.is_empty() { Self::Nothing } else { Self::All(parts) }
            }
            HirKind::Alternation(parts) => {
                let parts: Vec<Self> = parts.iter().map(Self::of).collect();
                if parts.contains(&Self::Nothing) { Self::Nothing } else { Self::Some(parts) }
            }
            HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => Self::Nothing,
        }
    }

    /// Calls with each of them.
    pub(super) fn for_each(&self, call: &mut dyn FnMut(Letters<'_>)) {
        match self {
            Self::Nothing => {}
            Self::These(text) => call(Letters::Exact(text)),
            Self::All(parts) | Self::Some(parts) => parts.iter().for_each(|part| part.for_each(call)),
        }
    }

    pub(super) fn is_met(&self, has: &mut dyn FnMut(Letters<'_>) -> bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::These(text) => has(Letters::Exact(text)),
            Self::All(parts) => parts.iter().all(|part| part.is_met(has)),
            Self::Some(parts) => parts.iter().any(|part| part.is_met(has)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str) -> String {
        fn show(needed: &Needed) -> String {
            let all = |parts: &[Needed], with: &str| {
                let parts: Vec<String> = parts.iter().map(show).collect();
                format!("({})", parts.join(with))
            };
            match needed {
                Needed::Nothing => "-".to_owned(),
                Needed::These(text) => format!("{text:?}"),
                Needed::All(parts) => all(parts, " and "),
                Needed::Some(parts) => all(parts, " or "),
            }
        }
        show(&Needed::of_regex(pattern).0)
    }

    #[test]
    fn a_regular_expression_needs_its_literals() {
        assert_eq!(check("took [0-9]+ms .*ession"), r#"("took " and "ms " and "ession")"#);
        assert_eq!(check("(timeout|refused) by"), r#"(("timeout" or "refused") and " by")"#);
        assert_eq!(check("(abc)+x?"), r#"("abc")"#);
        assert_eq!(check("a|"), "-");
        assert_eq!(check("(?i)abc"), "-");
        assert_eq!(check("^결제$"), r#"("결제")"#);
        assert_eq!(check("[0-9]{4}"), "-");
    }

    #[test]
    fn letters_alone_are_known() {
        let alone = |pattern| Needed::of_regex(pattern).1;
        assert!(alone("imeou") && alone("결제") && alone(r"a\.b"));
        for more in ["", "(abc)", "abc?", "^abc", "(?i)abc", "a.c", "abc|abd", r"\babc", "[0-9]"] {
            assert!(!alone(more), "{more}");
        }
    }
}
