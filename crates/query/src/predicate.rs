//! The tree that every language becomes, and what it means.
//!
//! Owns: [`Predicate`], its simplification, evaluation on one record, and what can be told before looking at records
//! (time bounds, required tokens). Does not own: single values (`test`), names (`field`), languages (`kql`).
//! Invariant: a record's answer depends on the predicate and the record alone, so agent, store and tail agree.
//!
//! An engine that holds columns walks the tree itself: [`FieldTest::matches`] once for each distinct value of each
//! column that [`FieldPattern::matches`], with [`FieldKind::of`] the column's name ([`FieldKind::of_bare`] under
//! [`Predicate::AnyField`], leaving out names that start with `_`, `timestamp` and `observed`); a part that it cannot
//! answer so ([`Predicate::Nested`]) by [`Predicate::matches_fields`].

use sawyer_model::{RecordRef, Timestamp, ValueRef, names};

use crate::field::{FieldKind, FieldPattern};
use crate::nested;
use crate::test::FieldTest;

/// A condition on a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Always true.
    All,
    /// Never true.
    None,
    /// All of these.
    And(Vec<Predicate>),
    /// Any of these.
    Or(Vec<Predicate>),
    /// Not this.
    Not(Box<Predicate>),
    /// A field has a value that is not null, or is an object that has such fields.
    Exists(FieldPattern),
    /// A field has a value that satisfies the test.
    Field {
        /// Which fields; one is enough.
        field: FieldPattern,
        /// What is asked.
        test: FieldTest,
    },
    /// Any field whose name does not start with `_` has a value that satisfies the test. Times are not looked at.
    AnyField(FieldTest),
    /// One object of a list of objects satisfies the predicate, in which names are whole paths. A single object
    /// counts as a list of one.
    Nested {
        /// The list's name.
        path: FieldPattern,
        /// What one object has to satisfy.
        predicate: Box<Predicate>,
    },
}

/// First and last point in time of the records that a predicate may hold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBounds {
    /// Nothing before it.
    pub first: Timestamp,
    /// Nothing after it. Before `first` if there is nothing at all.
    pub last: Timestamp,
}

/// What has fields that a predicate can look at.
pub trait FieldSource {
    /// The value of the field with this name, `timestamp` and `observed` included.
    fn field(&self, name: &str) -> Option<ValueRef<'_>>;

    /// Whether `test` says yes to any of the fields, `timestamp` and `observed` left out.
    fn any(&self, test: &mut dyn FnMut(&str, ValueRef<'_>) -> bool) -> bool;
}

impl FieldSource for RecordRef<'_> {
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        self.get(name)
    }

    fn any(&self, test: &mut dyn FnMut(&str, ValueRef<'_>) -> bool) -> bool {
        self.fields().any(|(name, value)| test(name, value))
    }
}

impl FieldSource for sawyer_model::Record {
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            names::TIMESTAMP => Some(ValueRef::Timestamp(self.timestamp)),
            names::OBSERVED => Some(ValueRef::Timestamp(self.observed)),
            _ => self.get(name).map(sawyer_model::Value::as_ref),
        }
    }

    fn any(&self, test: &mut dyn FnMut(&str, ValueRef<'_>) -> bool) -> bool {
        let own = |name: &str| self.fields.iter().any(|(known, _)| &**known == name);
        self.fields.iter().any(|(name, value)| test(name, value.as_ref()))
            || self.stream.fields().iter().any(|(name, value)| !own(name) && test(name, value.as_ref()))
    }
}

impl Predicate {
    /// All of these, simplified.
    #[must_use]
    pub fn and(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::All => {}
                Self::None => return Self::None,
                Self::And(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::All,
            1 => kept.remove(0),
            _ => Self::And(kept),
        }
    }

    /// Any of these, simplified.
    #[must_use]
    pub fn or(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::None => {}
                Self::All => return Self::All,
                Self::Or(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::None,
            1 => kept.remove(0),
            _ => Self::Or(kept),
        }
    }

    /// The opposite, simplified.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "beside `and` and `or`, which are no operators either")]
    pub fn not(part: Self) -> Self {
        match part {
            Self::All => Self::None,
            Self::None => Self::All,
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The field has such a value.
    #[must_use]
    pub fn field(field: FieldPattern, test: FieldTest) -> Self {
        Self::Field { field, test }
    }

    /// Whether it holds for a record.
    #[must_use]
    pub fn matches(&self, record: RecordRef<'_>) -> bool {
        self.matches_fields(&record)
    }

    /// Whether it holds for what has these fields.
    #[must_use]
    pub fn matches_fields(&self, source: &dyn FieldSource) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::And(parts) => parts.iter().all(|part| part.matches_fields(source)),
            Self::Or(parts) => parts.iter().any(|part| part.matches_fields(source)),
            Self::Not(part) => !part.matches_fields(source),
            Self::Exists(field) => exists(field, source),
            Self::Field { field, test } => field_matches(field, test, source),
            Self::AnyField(test) => source.any(&mut |name, value| {
                !name.starts_with('_') && test.matches(FieldKind::of_bare(name), value)
            }),
            Self::Nested { path, predicate } => nested::matches(path, predicate, source),
        }
    }

    /// Between which times its records lie. `has_field` says whether any record in question may have a field of
    /// this name: it is asked for `@timestamp`, which means `timestamp` or a field of that very name, so that only
    /// the former bounds anything. Pass `|_| true` where it is not known.
    #[must_use]
    pub fn time_bounds(&self, has_field: &dyn Fn(&str) -> bool) -> TimeBounds {
        match self {
            Self::None => TimeBounds::NOTHING,
            Self::And(parts) => parts
                .iter()
                .fold(TimeBounds::EVERYTHING, |bounds, part| bounds.and(part.time_bounds(has_field))),
            Self::Or(parts) => {
                parts.iter().fold(TimeBounds::NOTHING, |bounds, part| bounds.or(part.time_bounds(has_field)))
            }
            Self::Field { field, test } => match field.names() {
                Some([common, others @ ..])
                    if **common == *names::TIMESTAMP && !others.iter().any(|name| has_field(name)) =>
                {
                    let (first, last) = test.time_bounds();
                    TimeBounds { first, last }
                }
                _ => TimeBounds::EVERYTHING,
            },
            Self::All | Self::Not(_) | Self::Exists(_) | Self::AnyField(_) | Self::Nested { .. } => {
                TimeBounds::EVERYTHING
            }
        }
    }

    /// Whether it may hold for any record of a part whose tokens ([`crate::index_tokens`]) `has` knows. `has` is
    /// asked for a token in the fields of a pattern, or in any field; it must say yes where it does not know.
    pub fn may_match(&self, has: &mut dyn FnMut(Option<&FieldPattern>, &str) -> bool) -> bool {
        match self {
            Self::None => false,
            Self::And(parts) => parts.iter().all(|part| part.may_match(has)),
            Self::Or(parts) => parts.iter().any(|part| part.may_match(has)),
            Self::AnyField(test) => test.required().is_met(&mut |token| has(None, token)),
            Self::Field { field, test } => {
                let spelled_otherwise = test.names_level() && field.may_be_level();
                let is_head = field.matches(names::TIMESTAMP) || field.matches(names::OBSERVED);
                (spelled_otherwise || (is_head && test.can_hold_for_time()))
                    || test.required().is_met(&mut |token| has(Some(field), token))
            }
            Self::All | Self::Not(_) | Self::Exists(_) | Self::Nested { .. } => true,
        }
    }
}

impl TimeBounds {
    /// All times.
    pub const EVERYTHING: Self = Self { first: Timestamp::MIN, last: Timestamp::MAX };
    /// No time.
    pub const NOTHING: Self = Self { first: Timestamp::MAX, last: Timestamp::MIN };

    /// Whether there is no time between them.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.first > self.last
    }

    fn and(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    fn or(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

fn field_matches(field: &FieldPattern, test: &FieldTest, source: &dyn FieldSource) -> bool {
    if let Some(mut kinds) = field.kinds() {
        return kinds.any(|(name, kind)| source.field(name).is_some_and(|value| test.matches(kind, value)));
    }
    let head = [names::TIMESTAMP, names::OBSERVED].into_iter().any(|name| {
        field.matches(name) && source.field(name).is_some_and(|value| test.matches(FieldKind::Plain, value))
    });
    head || source.any(&mut |name, value| field.matches(name) && test.matches(FieldKind::of(name), value))
}

fn exists(field: &FieldPattern, source: &dyn FieldSource) -> bool {
    let named = field.names().unwrap_or(&[]).iter();
    let head = [names::TIMESTAMP, names::OBSERVED].into_iter().filter(|name| field.matches(name));
    named.map(AsRef::as_ref).chain(head).any(|name| source.field(name).is_some_and(says_something))
        || source.any(&mut |name, value| field.matches_or_contains(name) && says_something(value))
}

/// Whether a value makes its field exist: null and lists of nothing else do not.
#[must_use]
pub fn says_something(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Null => false,
        ValueRef::List(list) => list.iter().any(says_something),
        _ => true,
    }
}
