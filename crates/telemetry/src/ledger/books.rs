//! The books of one input, and their bytes. The table is in docs/FORMATS.md, section "Ledger".
//!
//! Invariant: what decodes was written by [`Books::encode`], whole; any other bytes give an error, not a panic.

use std::collections::BTreeMap;

use sawyer_model::tally::WayTally;
use sawyer_model::{Count, Fate};

/// Most rules of one output that have a number of their own. There are as many as a configuration names, and those
/// that it named before; what is beyond is one number.
pub(super) const RULES_MAX: usize = 1000;

/// The rule of what is beyond [`RULES_MAX`].
pub(super) const OTHERS: &str = "others";

/// Longest name of an output or a rule in bytes; the rest is cut. It has to fit its length.
const NAME_BYTES_MAX: usize = 1024;

/// Where the records of one input went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// By output.
    pub outputs: BTreeMap<Box<str>, Book>,
}

/// What became of the records of one input at one output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// What was read.
    pub read: Count,
    /// What more of the same went to the output because several pipelines lead there.
    pub copied: Count,
    /// What steps made of it beside.
    pub made: Count,
    /// What became of all of that, by fate and rule.
    pub fates: BTreeMap<(Fate, Box<str>), Count>,
}

/// As much of the name of an output or a rule as books have.
pub(super) fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_BYTES_MAX)]
}

/// Bytes are not those of books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger does not fit its bounds")]
pub struct BooksError;

impl Book {
    /// All that has to end somehow.
    #[must_use]
    pub fn given(&self) -> Count {
        let mut given = self.read;
        given.add(self.copied);
        given.add(self.made);
        given
    }

    /// All that ended somehow.
    #[must_use]
    pub fn ended(&self) -> Count {
        let mut ended = Count::default();
        self.fates.values().for_each(|count| ended.add(*count));
        ended
    }

    /// Records and bytes of which it is not known what became; below zero if more ended than was there.
    #[must_use]
    pub fn unaccounted(&self) -> (i64, i64) {
        let (given, ended) = (self.given(), self.ended());
        let less = |a: u64, b: u64| a.cast_signed().wrapping_sub(b.cast_signed());
        (less(given.records, ended.records), less(given.bytes, ended.bytes))
    }

    /// Adds what ended in this way.
    pub fn end(&mut self, fate: Fate, rule: &str, count: Count) {
        if count.is_zero() {
            return;
        }
        let key = (fate, Box::from(cut(rule)));
        let full = self.fates.len() >= RULES_MAX && !self.fates.contains_key(&key);
        let key = if full { (fate, OTHERS.into()) } else { key };
        self.fates.entry(key).or_default().add(count);
    }
}

impl Books {
    /// Adds what became of a batch on one way; gives the outputs at which that does not add up, and by how much.
    pub(crate) fn book(&mut self, tally: &WayTally) -> Vec<(Box<str>, (i64, i64))> {
        let mut open = Vec::new();
        for (at, (output, exit)) in tally.way.outputs.iter().zip(&tally.exits).enumerate() {
            let book = self.outputs.entry(cut(output).into()).or_default();
            let before = book.unaccounted();
            let is_copy = tally.way.copies.get(at).is_some_and(|copy| *copy);
            if is_copy { &mut book.copied } else { &mut book.read }.add(tally.read);
            book.made.add(tally.made);
            for (fate, rule, count) in tally.common.iter().chain(exit.iter()) {
                book.end(fate, rule, count);
            }
            let after = book.unaccounted();
            if after != before {
                open.push((output.clone(), (after.0 - before.0, after.1 - before.1)));
            }
        }
        open
    }

    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend((self.outputs.len() as u32).to_le_bytes());
        for (output, book) in &self.outputs {
            encode_name(output, out);
            for count in [book.read, book.copied, book.made] {
                encode_count(count, out);
            }
            out.extend((book.fates.len() as u32).to_le_bytes());
            for ((fate, rule), count) in &book.fates {
                out.push(fate_code(*fate));
                encode_name(rule, out);
                encode_count(*count, out);
            }
        }
    }

    /// Reads what [`Books::encode`] wrote, and moves `bytes` behind it.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, BooksError> {
        let mut books = Self::default();
        for _ in 0..number(bytes)? {
            let output = name(bytes)?;
            let mut book =
                Book { read: count(bytes)?, copied: count(bytes)?, made: count(bytes)?, ..Book::default() };
            for _ in 0..number(bytes)? {
                let (code, rest) = bytes.split_first().ok_or(BooksError)?;
                *bytes = rest;
                let fate = *Fate::ALL.get(usize::from(*code)).ok_or(BooksError)?;
                let key = (fate, name(bytes)?);
                book.fates.insert(key, count(bytes)?);
            }
            books.outputs.insert(output, book);
        }
        Ok(books)
    }
}

/// A name behind its length. Its bytes are at most [`NAME_BYTES_MAX`].
pub(super) fn encode_name(name: &str, out: &mut Vec<u8>) {
    out.extend((name.len() as u16).to_le_bytes());
    out.extend(name.as_bytes());
}

/// The number of a fate in bytes.
pub(super) fn fate_code(fate: Fate) -> u8 {
    Fate::ALL.iter().position(|known| *known == fate).expect("all are there") as u8
}

pub(super) fn encode_count(count: Count, out: &mut Vec<u8>) {
    out.extend(count.records.to_le_bytes());
    out.extend(count.bytes.to_le_bytes());
}

pub(super) fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], BooksError> {
    let (array, rest) = bytes.split_first_chunk().ok_or(BooksError)?;
    *bytes = rest;
    Ok(*array)
}

pub(super) fn number(bytes: &mut &[u8]) -> Result<u32, BooksError> {
    array(bytes).map(u32::from_le_bytes)
}

pub(super) fn count(bytes: &mut &[u8]) -> Result<Count, BooksError> {
    Ok(Count::new(u64::from_le_bytes(array(bytes)?), u64::from_le_bytes(array(bytes)?)))
}

pub(super) fn name(bytes: &mut &[u8]) -> Result<Box<str>, BooksError> {
    let length = u16::from_le_bytes(array(bytes)?);
    let (name, rest) = bytes.split_at_checked(usize::from(length)).ok_or(BooksError)?;
    *bytes = rest;
    std::str::from_utf8(name).map(Into::into).map_err(|_| BooksError)
}
