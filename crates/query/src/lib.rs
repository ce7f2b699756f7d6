//! What does a query mean?
//!
//! A text in some language becomes a [`Predicate`], the one tree that drop rules, routes, live tails, searches, alerts
//! and dashboards share. The pieces, from the text to the answer:
//!
//! * [`kql`]: the language of the search bar. Other languages become the same tree.
//! * [`Predicate`]: the tree; [`Predicate::matches`] is its meaning on one record.
//! * [`FieldPattern`], [`FieldKind`], [`field`]: which fields a name means, and how their values are compared.
//! * [`FieldTest`]: what is asked of one value.
//! * [`tokens`]: the words of a text, as Lucene's StandardAnalyzer cuts them.
//! * [`index_tokens`], [`Predicate::may_match`], [`Predicate::time_bounds`]: what a store keeps and asks to skip what
//!   cannot match.
//! * [`time`]: times and intervals as people write them.
//! * [`search`]: what can be asked of whatever holds the records.
//! * [`sketch`], [`pattern`]: what is counted for answers about very many values.
//! * [`conformance`]: what every engine has to answer.
//! * [`upkeep`]: how long it holds them.
//!
//! Owns: meaning. Does not own: storage, I/O, clocks; `now` is given.
//! Invariant: the meaning of a query is the same wherever it is evaluated.

pub mod conformance;
mod error;
pub mod field;
mod fold;
pub mod kql;
mod nested;
mod number;
pub mod pattern;
mod predicate;
mod required;
pub mod search;
pub mod sketch;
mod test;
pub mod time;
pub mod tokens;
pub mod upkeep;
mod words;

pub use error::QueryError;
pub use field::{FieldKind, FieldPattern, PLAIN_BYTES_MAX};
pub use predicate::{FieldSource, Predicate, TimeBounds, says_something};
pub use required::index_tokens;
pub use test::{
    Around, Automaton, ContainsTest, Context, ExactTest, FieldTest, Letters, RangeTest, RegexTest, State,
    WildcardTest, WordsTest,
};
