//! Which shapes the texts of a group have.
//!
//! Owns: [`Learned`]: texts that are equal but for their variables are put together; and those that differ in a word
//! as well, if they are rare. After CLP (Rodrigues, Luo, Yuan, OSDI '21) and Drain (He et al., ICWS '17).
//! Does not own: how variables are kept (`write`).
//! Invariant: what is learned depends on nothing but the texts and their order.

use std::ops::Range;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::cut::{cut, is_of_word, mark};
use crate::text::Texts;

/// Fewer texts make no shape: it would take more than it saves.
const SHAPE_TEXTS_MIN: u32 = 3;
/// Shapes that have so many texts are not put together with each other.
const FREQUENT_TEXTS: u32 = 64;
/// Shapes of more words are not compared word by word.
const WORDS_MAX: usize = 48;
/// Most shapes without a word that are remembered while shapes are joined: some 18 MB. What comes later stays apart.
const JOINED_MAX: usize = 1 << 19;
/// Most pieces of a shape.
pub(super) const PIECES_MAX: usize = 256;

/// A text without its variables.
#[derive(Debug)]
struct Shape {
    key: Range<usize>,
    texts: u32,
    /// Its words, in `words`.
    words: Range<usize>,
}

/// A part of a shape that several texts have.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Literal(String),
    /// The variable of this number of a text.
    Variable(usize),
    /// The word of this number of its key.
    Word(usize),
}

/// Texts of one shape.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) parts: Vec<Part>,
    /// The numbers of the texts.
    pub(super) texts: Vec<u32>,
}

/// What was learned of texts.
pub(super) struct Learned<'a> {
    texts: &'a Texts,
    keys: String,
    shapes: Vec<Shape>,
    words: Vec<Range<u32>>,
    /// For each text its shape, or [`NONE`].
    shape_of: Vec<u32>,
    variables: Vec<Range<u32>>,
    /// For each text where its variables start.
    variables_of: Vec<u32>,
}

/// The text has no shape.
const NONE: u32 = u32::MAX;

impl<'a> Learned<'a> {
    pub(super) fn of(texts: &'a Texts) -> Self {
        let count = texts.len();
        let mut learned = Self {
            texts,
            keys: String::new(),
            shapes: Vec::new(),
            words: Vec::new(),
            shape_of: Vec::with_capacity(count),
            variables: Vec::new(),
            variables_of: Vec::with_capacity(count),
        };
        let mut table: HashTable<(u64, u32)> = HashTable::new();
        let mut key = String::new();
        for text in texts.iter() {
            learned.variables_of.push(learned.variables.len() as u32);
            let is_cut = cut(text, &mut key, &mut learned.variables);
            let shape = if is_cut { learned.shape(&mut table, &key) } else { NONE };
            learned.shape_of.push(shape);
        }
        learned
    }

    fn shape(&mut self, table: &mut HashTable<(u64, u32)>, key: &str) -> u32 {
        let Self { keys, shapes, .. } = self;
        let hash = xxh3_64(key.as_bytes());
        let is_it =
            |(known, shape): &(u64, u32)| *known == hash && keys[shapes[*shape as usize].key.clone()] == *key;
        if let Some((_, shape)) = table.find(hash, is_it) {
            shapes[*shape as usize].texts += 1;
            return *shape;
        }
        let shape = shapes.len() as u32;
        table.insert_unique(hash, (hash, shape), |(hash, _)| *hash);
        let start = keys.len();
        keys.push_str(key);
        shapes.push(Shape { key: start..keys.len(), texts: 1, words: 0..0 });
        shape
    }

    /// The variable of this number of a text.
    #[inline]
    pub(super) fn variable(&self, text: u32, number: usize) -> &'a str {
        let range = self.variables[self.variables_of[text as usize] as usize + number].clone();
        &self.texts.get(text as usize)[range.start as usize..range.end as usize]
    }

    /// The word of this number of the key of a text.
    #[inline]
    pub(super) fn word(&self, text: u32, number: usize) -> &str {
        let shape = &self.shapes[self.shape_of[text as usize] as usize];
        self.text_of(&self.words[shape.words.start + number])
    }

    fn text_of(&self, range: &Range<u32>) -> &str {
        &self.keys[range.start as usize..range.end as usize]
    }

    /// The shapes that are worth it.
    pub(super) fn commons(mut self) -> (Self, Vec<Common>) {
        self.find_words();
        let mut joined = Joined::new(self.shapes.len());
        self.join(&mut joined);
        let roots: Vec<u32> = (0..self.shapes.len() as u32).map(|shape| joined.root(shape)).collect();
        let mut texts = vec![0; self.shapes.len()];
        for (shape, root) in self.shapes.iter().zip(&roots) {
            texts[*root as usize] += shape.texts;
        }
        // For each root the place of its shapes among those that are worth it, in the order in which they were first seen.
        let mut places = vec![NONE; self.shapes.len()];
        let mut members: Vec<Vec<u32>> = Vec::new();
        for (shape, root) in (0..).zip(&roots) {
            let root = *root as usize;
            if texts[root] < SHAPE_TEXTS_MIN {
                continue;
            }
            if places[root] == NONE {
                places[root] = members.len() as u32;
                members.push(Vec::new());
            }
            members[places[root] as usize].push(shape);
        }
        let mut commons: Vec<Common> = members.iter().map(|members| self.common(members)).collect();
        for (text, shape) in (0..).zip(&self.shape_of).filter(|(_, shape)| **shape != NONE) {
            let place = places[roots[*shape as usize] as usize];
            if place != NONE {
                commons[place as usize].texts.push(text);
            }
        }
        commons.retain(|common| common.parts.len() <= PIECES_MAX);
        (self, commons)
    }

    fn find_words(&mut self) {
        let keys = self.keys.as_bytes();
        for shape in &mut self.shapes {
            let start = self.words.len();
            let mut at = shape.key.start;
            while at < shape.key.end {
                let from = at;
                while at < shape.key.end && is_of_word(keys[at]) {
                    at += 1;
                }
                if at > from {
                    self.words.push(from as u32..at as u32);
                } else {
                    at += 1;
                }
            }
            shape.words = start..self.words.len();
        }
    }

    /// Joins shapes that are equal but for one word.
    fn join(&self, joined: &mut Joined) {
        let keys = self.keys.as_bytes();
        let mut table: HashTable<(u64, u32)> = HashTable::with_capacity(self.shapes.len());
        let mut frame = Vec::new();
        let mut hashes = Vec::new();
        for (number, shape) in self.shapes.iter().enumerate() {
            let words = &self.words[shape.words.clone()];
            if words.is_empty() || words.len() > WORDS_MAX {
                continue;
            }
            frame.clear();
            let mut done = shape.key.start;
            for word in words {
                frame.extend_from_slice(&keys[done..word.start as usize]);
                frame.push(mark::WORD);
                done = word.end as usize;
            }
            frame.extend_from_slice(&keys[done..shape.key.end]);
            let frame = xxh3_64(&frame);
            hashes.clear();
            hashes.extend((1u64..).zip(words).map(|(place, word)| {
                xxh3_64(&keys[word.start as usize..word.end as usize])
                    .wrapping_mul(place.wrapping_mul(MIX) | 1)
            }));
            let all = hashes.iter().fold(frame, |sum, hash| sum.wrapping_add(*hash));
            for (place, hash) in (1u64..).zip(&hashes) {
                let without = all.wrapping_sub(*hash).wrapping_add(place).wrapping_mul(MIX);
                let without = without ^ (without >> 32);
                match table.find(without, |(known, _)| *known == without) {
                    Some((_, other)) => self.join_two(joined, number as u32, *other, shape.words.len()),
                    None if table.len() >= JOINED_MAX => {}
                    None => {
                        table.insert_unique(without, (without, number as u32), |(hash, _)| *hash);
                    }
                }
            }
        }
    }

    fn join_two(&self, joined: &mut Joined, one: u32, other: u32, words: usize) {
        let (a, b) = (&self.shapes[one as usize], &self.shapes[other as usize]);
        // Equal hashes do not make equal frames.
        if a.texts.min(b.texts) < FREQUENT_TEXTS && b.words.len() == words && self.frames_equal(a, b) {
            joined.join(one, other);
        }
    }

    /// Whether two shapes with as many words are equal but for words.
    fn frames_equal(&self, a: &Shape, b: &Shape) -> bool {
        let keys = self.keys.as_bytes();
        let (mut at_a, mut at_b) = (a.key.start, b.key.start);
        for (word_a, word_b) in self.words[a.words.clone()].iter().zip(&self.words[b.words.clone()]) {
            if keys[at_a..word_a.start as usize] != keys[at_b..word_b.start as usize] {
                return false;
            }
            (at_a, at_b) = (word_a.end as usize, word_b.end as usize);
        }
        keys[at_a..a.key.end] == keys[at_b..b.key.end]
    }

    /// What shapes have together that are equal but for words.
    fn common(&self, members: &[u32]) -> Common {
        let first = &self.shapes[members[0] as usize];
        let words = &self.words[first.words.clone()];
        let varies = |number: usize| {
            let word = self.text_of(&words[number]);
            members[1..].iter().any(|other| {
                let other = &self.shapes[*other as usize];
                self.text_of(&self.words[other.words.start + number]) != word
            })
        };
        let keys = self.keys.as_bytes();
        let mut parts = Vec::new();
        let mut literal = first.key.start;
        let mut variables = 0;
        let mut next_word = 0;
        let mut at = first.key.start;
        let close = |parts: &mut Vec<Part>, from: usize, to: usize| {
            if from < to {
                parts.push(Part::Literal(self.text_of(&(from as u32..to as u32)).to_owned()));
            }
        };
        while at < first.key.end {
            if words.get(next_word).is_some_and(|word| word.start as usize == at) {
                let end = words[next_word].end as usize;
                if members.len() > 1 && varies(next_word) {
                    close(&mut parts, literal, at);
                    parts.push(Part::Word(next_word));
                    literal = end;
                }
                next_word += 1;
                at = end;
                continue;
            }
            if matches!(keys[at], mark::RUN..=mark::PATH) {
                close(&mut parts, literal, at);
                parts.push(Part::Variable(variables));
                variables += 1;
                literal = at + 1;
            }
            at += 1;
        }
        close(&mut parts, literal, at);
        Common { parts, texts: Vec::new() }
    }
}

/// An odd number for mixing (the golden ratio).
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// Sets of shapes that were joined.
struct Joined(Vec<u32>);

impl Joined {
    fn new(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    fn root(&mut self, mut one: u32) -> u32 {
        while self.0[one as usize] != one {
            let next = self.0[one as usize];
            self.0[one as usize] = self.0[next as usize];
            one = next;
        }
        one
    }

    /// The one seen first stays the root.
    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other) as usize] = one.min(other);
    }
}
