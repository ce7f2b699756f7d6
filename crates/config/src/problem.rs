//! What is wrong with a configuration, all of it at once.
//!
//! Owns: the collection of problems, its order, its bound and its text form.
//! Invariant: problems are sorted by place, none is there twice, and at most [`PROBLEMS_MAX`] are kept.

use std::fmt;

use crate::at::At;
use crate::place::Place;

/// Problems kept; further ones are only counted. More would scroll away, and the first ones cause the rest.
pub const PROBLEMS_MAX: usize = 100;

/// One thing that is wrong: where, in which setting, and what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The setting's dotted path, such as `outputs.main.batch_max`; empty for the file itself.
    pub path: String,
    /// What was expected and what was found: lower case, no full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}: {}", self.place, self.message)
        } else {
            write!(f, "{}: {}: {}", self.place, self.path, self.message)
        }
    }
}

/// Everything that is wrong, sorted by file and line; displays one problem a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// No problems yet.
    pub fn new() -> Problems {
        Problems::default()
    }

    /// Reports a problem with the value at `at`.
    pub fn push(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.add(Problem { place: at.place().clone(), path: at.path().to_owned(), message: message.into() });
    }

    /// Reports that `what` was expected at `at`, and says what was found there.
    ///
    /// The text reads on from "expected", such as `a size such as "10MiB"`.
    pub fn expected(&mut self, at: &At<'_>, what: &str) {
        self.push(at, format!("expected {what}, found {}", at.node().found()));
    }

    /// Adds a finished problem; the same one twice counts once.
    pub fn add(&mut self, problem: Problem) {
        let Err(index) = self.list.binary_search(&problem) else { return };
        self.list.insert(index, problem);
        if self.list.len() > PROBLEMS_MAX {
            self.list.pop();
            self.more += 1;
        }
    }

    /// Takes over the problems of another collection.
    pub fn append(&mut self, other: Problems) {
        self.more += other.more;
        for problem in other.list {
            self.add(problem);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many problems there are, those not kept included.
    pub fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// The kept problems in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// The value, if it is there and nothing is wrong.
    ///
    /// # Panics
    /// If the value is missing and no problem says why: then the reader of that value has a bug.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            value => {
                assert!(
                    !self.is_empty(),
                    "a value is missing without a problem: present={}",
                    value.is_some()
                );
                Err(self)
            }
        }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
