//! KQL, the language of Kibana's search bar.
//!
//! The grammar is Kibana's: what it accepts is accepted with the same tree ([`Ast`]), surprises included (`not(a)`
//! is an error, `a and` is the text "a and"). Two forms that Kibana refuses have a meaning here:
//!
//! * `field =~ "regex"` and `field !~ "regex"`: the value has, or has not, a part that matches.
//! * `not` inside a word, as in `cannot connect`, is a part of that word.
//!
//! Owns: text → [`Ast`] ([`parse`]), [`Ast`] → [`Predicate`] ([`compile`]), and writing a literal ([`escape`], [`quote`]).
//! Does not own: what a predicate means ([`crate::Predicate`]).
//! Invariant: no text makes it panic or recurse deeper than [`DEPTH_MAX`].

mod ast;
mod compile;

mod escape;
mod parse;
mod scan;

pub use ast::{Ast, Literal, LiteralValue, RangeOp, WildcardText};
pub use compile::{compile, compile_ast};

pub use escape::{escape, quote};
pub use parse::parse;

/// Under which circumstances a query is compiled.
pub use crate::Context as CompileOptions;

/// Longest query in bytes. A longer one is refused, so that a dashboard cannot keep a server busy parsing.
pub const QUERY_BYTES_MAX: usize = 256 << 10;

/// Deepest nesting of parentheses and braces. A deeper query is refused, so that parsing, evaluation and dropping
/// of the tree stay well within a thread's stack.
pub const DEPTH_MAX: usize = 128;
