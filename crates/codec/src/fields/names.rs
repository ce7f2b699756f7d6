//! The names of fields that were seen lately.
//!
//! Owns: a number for each name, what is known of it, the guess which name follows which.
//! Does not own: values.
//! Invariant: a number stands for one name until [`Names::begin`]; what is remembered is bounded there.
//!
//! Lines of one program have the same names in the same order. So the name that followed the last one the time before
//! is looked at first, and nearly always it is the one: a comparison, and no hash.

use std::cell::Cell;

use sawyer_model::NameGuess;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::body::Class;

/// Names that are remembered from line to line. More than that and they are not worth remembering.
const NAMES_MAX: usize = 4096;

/// Bytes of names that are remembered from line to line.
const NAMES_BYTES_MAX: usize = 256 << 10;

pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Names {
    text: String,
    known: Vec<Known>,
    /// Numbers, found by hash.
    table: Vec<u32>,
    seed: u64,
    round: u32,
    /// The last name that was asked for in this round.
    last: u32,
    /// The name that came first in the round before.
    first: u32,
}

#[derive(Debug)]
struct Known {
    start: u32,
    len: u32,
    hash: u64,
    class: Class,
    /// The name that followed it last.
    next: u32,
    /// In which round there was a field of this name, and its number.
    round: u32,
    field: u32,
    /// The name that a field of it was given last.
    other: u32,
    /// The number that it had in a batch last.
    guess: Cell<NameGuess>,
}

impl Names {
    pub(super) fn new(seed: u64) -> Self {
        let (text, known, table) = (String::new(), Vec::new(), vec![NONE; 64]);
        Self { text, known, table, seed, round: 1, last: NONE, first: NONE }
    }

    /// Begins a line: no name has a field yet. Numbers of earlier lines mean nothing any more.
    pub(super) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.last = NONE;
        if self.round == 0 || self.known.len() > NAMES_MAX || self.text.len() > NAMES_BYTES_MAX {
            *self = Self::new(self.seed);
        }
    }

    pub(super) fn hash_of(&self, name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), self.seed)
    }

    pub(super) fn get(&self, number: u32) -> &str {
        let Known { start, len, .. } = self.known[number as usize];
        &self.text[start as usize..(start + len) as usize]
    }

    pub(super) fn hash(&self, number: u32) -> u64 {
        self.known[number as usize].hash
    }

    pub(super) fn class(&self, number: u32) -> Class {
        self.known[number as usize].class
    }

    pub(super) fn guess(&self, number: u32) -> &Cell<NameGuess> {
        &self.known[number as usize].guess
    }

    /// The number of the name that a field of this one is given. It is mostly the same one.
    pub(super) fn other_name(&mut self, number: u32, name: &str) -> u32 {
        let other = self.known[number as usize].other;
        if other != NONE && self.get(other) == name {
            return other;
        }
        let other = self.look_up(name);
        self.known[number as usize].other = other;
        other
    }

    /// The field of this name in this line.
    #[inline]
    pub(super) fn field(&self, number: u32) -> Option<usize> {
        let known = &self.known[number as usize];
        (known.round == self.round).then_some(known.field as usize)
    }

    #[inline]
    pub(super) fn set_field(&mut self, number: u32, field: u32) {
        let known = &mut self.known[number as usize];
        (known.round, known.field) = (self.round, field);
    }

    /// The field has another name now.
    pub(super) fn unset_field(&mut self, number: u32) {
        self.known[number as usize].round = self.round.wrapping_sub(1);
    }

    /// The number of a name in a line; the next call is about the name that follows it.
    #[inline]
    pub(super) fn number(&mut self, name: &str) -> u32 {
        let guess = if self.last == NONE { self.first } else { self.known[self.last as usize].next };
        let number = if guess != NONE && same(self.get(guess).as_bytes(), name.as_bytes()) {
            guess
        } else {
            self.look_up_next(name)
        };
        self.last = number;
        number
    }

    #[cold]
    fn look_up_next(&mut self, name: &str) -> u32 {
        let number = self.look_up(name);
        if self.last == NONE {
            self.first = number;
        } else {
            self.known[self.last as usize].next = number;
        }
        number
    }

    /// The number of a name.
    pub(super) fn look_up(&mut self, name: &str) -> u32 {
        let hash = self.hash_of(name);
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let number = self.table[slot];
            if number == NONE {
                break;
            }
            if self.hash(number) == hash && self.get(number) == name {
                return number;
            }
            slot = (slot + 1) & mask;
        }
        let number = self.known.len() as u32;
        self.table[slot] = number;
        self.known.push(Known {
            start: self.text.len() as u32,
            len: name.len() as u32,
            hash,
            class: Class::of(name),
            next: NONE,
            round: self.round.wrapping_sub(1),
            field: 0,
            other: NONE,
            guess: Cell::default(),
        });
        self.text.push_str(name);
        if self.known.len() * 2 > self.table.len() {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        let mut table = vec![NONE; mask + 1];
        for (number, known) in self.known.iter().enumerate() {
            let mut slot = known.hash as usize & mask;
            while table[slot] != NONE {
                slot = (slot + 1) & mask;
            }
            table[slot] = number as u32;
        }
        self.table = table;
    }
}

/// Whether two names are the same. They are short, and nearly always the same.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let (Some(end), Some(other_end)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) else {
        return one.iter().zip(other).fold(0, |different, (one, other)| different | (one ^ other)) == 0;
    };
    let words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    words.fold(word(end) ^ word(other_end), |different, (one, other)| different | (word(one) ^ word(other)))
        == 0
}
