//! Which shapes the texts of a group have.
//!
//! Owns: [`learn`]: texts that are equal but for their variables are put together; and those that differ in one word as
//! well, after which that word varies. After CLP (Rodrigues, Luo, Yuan, OSDI '21) and Drain (He et al., ICWS '17).
//! Does not own: how variables are kept (`write`).
//! Invariant: what is learned depends on nothing but the texts and their order; a text is put to others only after it was
//! compared with them byte by byte.
//!
//! Mostly a text is like one that was seen before: it is followed along the first text of a shape that texts which begin
//! alike had lately (`lately`). Else it is cut, two hashes find its shape, and its bytes are compared with those of that
//! first text. Only a text without a shape is compared with others word by word.

use std::ops::Range;

use hashbrown::HashTable;

use super::cut::{Cut, Kind, MIX, TEXT_BYTES_MAX, VARIABLES_MAX, token};
use super::lately::Lately;
use super::{PIECES_MAX, SHAPES_MAX};
use crate::bytes::begins;
use crate::text::Texts;

/// Fewer texts make no shape: it would take more than it saves.
const SHAPE_TEXTS_MIN: u32 = 3;
/// Texts of more words are not compared word by word.
const WORDS_MAX: usize = 48;
/// Sets of words that vary, for texts with one frame. What would need more stays apart.
const MASKS_MAX: usize = 8;
/// Most shapes that texts are compared with, also those of one text: some 25 MB. Texts that come later and have none of
/// them stay without a shape.
const TEMPLATES_MAX: usize = 1 << 17;
/// Values that texts have, about: room is made for so many at once.
const VALUES_MEAN: usize = 4;
/// Most shapes without a word that are remembered: some 18 MB. What comes later stays apart.
const NEAR_MAX: usize = 1 << 19;

const _: () = assert!(WORDS_MAX <= u64::BITS as usize, "each word that may vary has a bit");
const _: () = assert!((WORDS_MAX + VARIABLES_MAX) * 2 < PIECES_MAX, "readers take every shape");

/// Where a value stands among all texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[inline]
    pub(super) fn of(self, all: &str) -> &str {
        &all[self.start as usize..self.end as usize]
    }
}

/// A part of a shape that several texts have.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Literal(String),
    /// The value of this number of a text.
    Slot(usize),
}

/// Texts of one shape.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) parts: Vec<Part>,
    /// The numbers of the texts, and where the values of each start: as many as there are slots.
    pub(super) texts: Vec<u32>,
    pub(super) starts: Vec<u32>,
}

/// The shapes that are worth it, those of most texts first; and the values of all texts.
pub(super) fn learn(texts: &Texts) -> (Vec<Common>, Vec<Span>) {
    let (mut learner, mut start) = (Learner::default(), 0);
    learner.rows.reserve(texts.len());
    learner.values.reserve(texts.len() * VALUES_MEAN);
    for text in texts.iter() {
        learner.add(texts.all(), start..start + text.len());
        start += text.len();
    }
    learner.finish(texts.all())
}

/// What texts have together.
#[derive(Debug)]
struct Template {
    /// Words that vary, a bit for each.
    mask: u64,
    texts: u32,
    /// Where the first text starts and ends, and where its values are.
    first: Span,
    values: u32,
    slots: u32,
    /// For each word that came to vary, the place of its value, and the value that all texts before have.
    grown: Vec<(u32, Span)>,
}

/// Which sets of words vary in texts of one frame.
#[derive(Debug)]
struct Frame {
    hash: u64,
    /// The set of the last text, and all.
    last: u64,
    masks: Vec<u64>,
}

/// A template as it is found: with all that a text is compared with, so that only these are read, one after another.
#[derive(Clone, Copy, Debug)]
struct Seen {
    key: u64,
    first: Span,
    values: u32,
    template: u32,
    slots: u16,
    grown: u16,
}

/// Learns shapes text by text.
#[derive(Debug, Default)]
struct Learner {
    templates: Vec<Template>,
    frames: Vec<Frame>,
    frame_numbers: HashTable<(u64, u32)>,
    /// Templates by frame, the words that do not vary, and which do.
    known: HashTable<Seen>,
    /// Templates by the same without one more word.
    near: HashTable<(u64, u32)>,
    /// The values of the first texts of all templates, and what they are.
    firsts: Vec<Span>,
    kinds: Vec<Kind>,
    lately: Lately,
    /// For each text its template and how many words of that varied by then.
    rows: Vec<(u32, u16)>,
    /// The values of all texts that have a template, one behind another.
    values: Vec<Span>,
    cut: Cut,
    row: Vec<Span>,
    /// Whether there is more text than places can say.
    full: bool,
}

/// A text without a template.
const NO_TEMPLATE: u32 = u32::MAX;

impl Learner {
    /// Adds a text, which is this part of all. Those come in order.
    fn add(&mut self, all: &str, part: Range<usize>) {
        self.full |= u32::try_from(part.end).is_err();
        let place = Span { start: part.start as u32, end: part.end as u32 };
        if !self.full && self.add_like(all, place) {
            return;
        }
        if self.full || !self.cut.read(&all[part]) {
            self.rows.push((NO_TEMPLATE, 0));
            return;
        }
        let frame = self.frame();
        let found = self.find(all, frame, place).or_else(|| self.join(all, frame, place));
        let row = match found {
            Some(row) => row,
            None if self.templates.len() < TEMPLATES_MAX => {
                row_of(&self.cut, place, 0, &mut self.row);
                let (template, values) = (self.templates.len() as u32, self.firsts.len() as u32);
                let slots = self.row.len() as u32;
                self.firsts.extend_from_slice(&self.row);
                kinds_of(&self.cut, 0, &mut self.kinds);
                let grown = Vec::new();
                self.templates.push(Template { mask: 0, texts: 0, first: place, values, slots, grown });
                self.remember(frame, template);
                (template, 0)
            }
            None => (NO_TEMPLATE, 0),
        };
        self.rows.push(row);
        if let Some(template) = self.templates.get_mut(row.0 as usize) {
            template.texts += 1;
            self.values.extend_from_slice(&self.row);
            self.lately.note(place.of(all).as_bytes(), row.0);
        }
    }

    /// Adds a text of a template that texts which begin alike had lately; says whether it is one.
    fn add_like(&mut self, all: &str, place: Span) -> bool {
        let text = &all.as_bytes()[place.start as usize..place.end as usize];
        if text.len() > TEXT_BYTES_MAX {
            return false;
        }
        let set = Lately::set_of(text);
        for (way, number) in self.lately.of(set).into_iter().enumerate() {
            let Some(template) = self.templates.get(number as usize) else { return false };
            let values = template.values as usize..(template.values + template.slots) as usize;
            let (firsts, kinds) = (&self.firsts[values.clone()], &self.kinds[values]);
            if follow(all.as_bytes(), (template.first, firsts, kinds), (place, text), &mut self.row) {
                self.rows.push((number, template.grown.len() as u16));
                self.templates[number as usize].texts += 1;
                self.values.extend_from_slice(&self.row);
                self.lately.prefer(set, way);
                return true;
            }
        }
        false
    }

    /// The shapes that are worth it, those of most texts first; and the values of all texts.
    fn finish(mut self, all: &str) -> (Vec<Common>, Vec<Span>) {
        let mut order: Vec<usize> = (0..self.templates.len()).collect();
        order.retain(|at| self.templates[*at].texts >= SHAPE_TEXTS_MIN);
        // Frequent ones come first, so that what is mostly needed lies together.
        order.sort_by_key(|at| std::cmp::Reverse(self.templates[*at].texts));
        order.truncate(SHAPES_MAX);
        let mut commons: Vec<Common> =
            order.iter().map(|at| self.common(&self.templates[*at], all)).collect();
        let mut numbers = vec![usize::MAX; self.templates.len()];
        order.iter().enumerate().for_each(|(number, at)| numbers[*at] = number);
        let (mut start, mut values) = (0, std::mem::take(&mut self.values));
        for (text, (template, grown)) in (0..).zip(&self.rows) {
            let Some(known) = self.templates.get(*template as usize) else { continue };
            let missing = &known.grown[usize::from(*grown)..];
            let row = start..start + known.slots as usize - missing.len();
            start = row.end;
            let Some(common) = commons.get_mut(numbers[*template as usize]) else { continue };
            common.texts.push(text);
            if missing.is_empty() {
                common.starts.push(row.start as u32);
                continue;
            }
            // The values of such a text are written once more, with those of words that came to vary later.
            let whole = values.len();
            common.starts.push(whole as u32);
            values.extend_from_within(row);
            missing.iter().for_each(|(at, value)| values.insert(whole + *at as usize, *value));
        }
        (commons, values)
    }

    /// A shape without its texts, and with room for them.
    fn common(&self, template: &Template, all: &str) -> Common {
        let (slots, texts) = (template.slots as usize, template.texts as usize);
        let mut parts = Vec::new();
        let mut done = template.first.start;
        let literal = |parts: &mut Vec<Part>, start: u32, end: u32| {
            if start < end {
                parts.push(Part::Literal(Span { start, end }.of(all).to_owned()));
            }
        };
        let values = template.values as usize;
        for (slot, value) in self.firsts[values..values + slots].iter().enumerate() {
            literal(&mut parts, done, value.start);
            parts.push(Part::Slot(slot));
            done = value.end;
        }
        literal(&mut parts, done, template.first.end);
        Common { parts, texts: Vec::with_capacity(texts), starts: Vec::with_capacity(texts) }
    }

    /// The number of the frame of the text that was cut.
    fn frame(&mut self) -> usize {
        let hash = self.cut.frame;
        if let Some((_, frame)) = self.frame_numbers.find(hash, |(known, _)| *known == hash) {
            return *frame as usize;
        }
        self.frame_numbers.insert_unique(hash, (hash, self.frames.len() as u32), |(hash, _)| *hash);
        self.frames.push(Frame { hash, last: 0, masks: vec![0] });
        self.frames.len() - 1
    }

    /// The template that the text has, whose values are in `row` then.
    fn find(&mut self, all: &str, frame: usize, place: Span) -> Option<(u32, u16)> {
        let Frame { hash, last, .. } = self.frames[frame];
        let sum = self.cut.words.iter().fold(hash, |sum, word| sum.wrapping_add(*word));
        if let Some(row) = self.find_by(all, sum, last, place) {
            return Some(row);
        }
        for at in 0..self.frames[frame].masks.len() {
            let mask = self.frames[frame].masks[at];
            if mask != last
                && let Some(row) = self.find_by(all, sum, mask, place)
            {
                self.frames[frame].last = mask;
                return Some(row);
            }
        }
        None
    }

    /// The same with these words that vary.
    #[inline]
    fn find_by(&mut self, all: &str, sum: u64, mask: u64, place: Span) -> Option<(u32, u16)> {
        let key = key_of(without(sum, mask, &self.cut.words), mask, NO_WORD);
        let Seen { first, values, template, slots, grown, .. } =
            *self.known.find(key, |known| known.key == key)?;
        row_of(&self.cut, place, mask, &mut self.row);
        let values = &self.firsts[values as usize..values as usize + usize::from(slots)];
        equal_but(all, (first, values), (place, &self.row)).then_some((template, grown))
    }

    /// A template that the text has but for one word, which varies from now on. The values of the text are in `row` then.
    fn join(&mut self, all: &str, frame: usize, place: Span) -> Option<(u32, u16)> {
        let words = self.cut.words.len();
        if words == 0 || words > WORDS_MAX {
            return None;
        }
        let sum = self.cut.words.iter().fold(self.frames[frame].hash, |sum, word| sum.wrapping_add(*word));
        for mask in self.frames[frame].masks.clone() {
            let rest = without(sum, mask, &self.cut.words);
            for word in (0..words).filter(|word| mask >> word & 1 == 0) {
                let key = key_of(rest.wrapping_sub(self.cut.words[word]), mask, word);
                let Some((_, template)) = self.near.find(key, |(known, _)| *known == key) else { continue };
                let template = *template;
                if self.templates[template as usize].mask == mask
                    && self.widen(all, frame, template, place, word)
                {
                    return Some((template, self.templates[template as usize].grown.len() as u16));
                }
            }
        }
        None
    }

    /// Has a word of a template vary, if that makes it one of the text; says whether it does.
    fn widen(&mut self, all: &str, frame: usize, number: u32, place: Span, word: usize) -> bool {
        let Template { mask, first, slots, values, .. } = self.templates[number as usize];
        let (slots, values) = (slots as usize, values as usize);
        let wider = mask | 1 << word;
        let masks = &self.frames[frame].masks;
        if masks.len() >= MASKS_MAX && !masks.contains(&wider) {
            return false;
        }
        let mut first_cut = Cut::default();
        let mut first_row = Vec::new();
        first_cut.read(first.of(all));
        if first_cut.words.len() != self.cut.words.len() {
            return false;
        }
        row_of(&first_cut, first, wider, &mut first_row);
        row_of(&self.cut, place, wider, &mut self.row);
        if !equal_but(all, (first, &first_row), (place, &self.row)) {
            return false;
        }
        let before = &self.firsts[values..values + slots];
        let at = (0..slots).find(|at| before[*at] != first_row[*at]).unwrap_or(slots);
        let template = &mut self.templates[number as usize];
        // All its texts have the word that the first one has.
        template.grown.push((at as u32, first_row[at]));
        template.values = self.firsts.len() as u32;
        template.slots += 1;
        template.mask = wider;
        self.firsts.extend_from_slice(&first_row);
        kinds_of(&first_cut, wider, &mut self.kinds);
        let sum = first_cut.words.iter().fold(self.frames[frame].hash, |sum, word| sum.wrapping_add(*word));
        let key = key_of(without(sum, mask, &first_cut.words), mask, NO_WORD);
        if let Ok(known) = self.known.find_entry(key, |known| known.key == key && known.template == number) {
            known.remove();
        }
        let cut = std::mem::replace(&mut self.cut, first_cut);
        self.remember(frame, number);
        self.cut = cut;
        true
    }

    /// Has the template of the text that was cut be found.
    fn remember(&mut self, frame: usize, template: u32) {
        let Self { cut, frames, known, near, templates, .. } = self;
        let Template { mask, first, values, slots, ref grown, .. } = templates[template as usize];
        let frame = &mut frames[frame];
        frame.last = mask;
        if !frame.masks.contains(&mask) {
            frame.masks.insert(0, mask);
        }
        let sum = cut.words.iter().fold(frame.hash, |sum, word| sum.wrapping_add(*word));
        let rest = without(sum, mask, &cut.words);
        let key = key_of(rest, mask, NO_WORD);
        let (slots, grown) = (slots as u16, grown.len() as u16);
        known.insert_unique(key, Seen { key, first, values, template, slots, grown }, |known| known.key);
        if cut.words.len() > WORDS_MAX {
            return;
        }
        for (word, hash) in cut.words.iter().enumerate().filter(|(word, _)| mask >> word & 1 == 0) {
            let key = key_of(rest.wrapping_sub(*hash), mask, word);
            if near.len() < NEAR_MAX && near.find(key, |(known, _)| *known == key).is_none() {
                near.insert_unique(key, (key, template), |(key, _)| *key);
            }
        }
    }
}

/// Stands for a key that has all words that do not vary.
const NO_WORD: usize = 63;

/// Where a template, or one without a word more, is found.
fn key_of(sum: u64, mask: u64, word: usize) -> u64 {
    let key = (sum ^ mask.rotate_left(29) ^ word as u64).wrapping_mul(MIX);
    key ^ key >> 32
}

/// A sum of hashes without those of the words that vary.
#[inline]
fn without(all: u64, mut mask: u64, words: &[u64]) -> u64 {
    let mut rest = all;
    while mask != 0 {
        let word = mask.trailing_zeros() as usize;
        rest = rest.wrapping_sub(words.get(word).copied().unwrap_or(0));
        mask &= mask - 1;
    }
    rest
}

/// The values of a text: its variables, and the words that vary.
#[inline]
fn row_of(cut: &Cut, place: Span, mask: u64, row: &mut Vec<Span>) {
    row.clear();
    let mut word = 0;
    for token in &cut.tokens {
        let varies = token.kind != Kind::Word || {
            word += 1;
            word <= WORDS_MAX && mask >> (word - 1) & 1 == 1
        };
        if varies {
            row.push(Span { start: place.start + token.start, end: place.start + token.end });
        }
    }
}

/// What the values are that [`row_of`] gives.
fn kinds_of(cut: &Cut, mask: u64, kinds: &mut Vec<Kind>) {
    let mut word = 0;
    for token in &cut.tokens {
        let varies = token.kind != Kind::Word || {
            word += 1;
            word <= WORDS_MAX && mask >> (word - 1) & 1 == 1
        };
        if varies {
            kinds.push(token.kind);
        }
    }
}

/// Follows a text along the first text of a template; its values are in `row` if it is one of it. Between them it has the
/// same bytes, and each is the same kind of token, so that cutting it would find the same.
#[inline]
fn follow(
    all: &[u8],
    (first, firsts, kinds): (Span, &[Span], &[Kind]),
    (place, text): (Span, &[u8]),
    row: &mut Vec<Span>,
) -> bool {
    row.clear();
    let (mut at, mut done) = (0, first.start as usize);
    for (value, kind) in firsts.iter().zip(kinds) {
        let between = &all[done..value.start as usize];
        if !begins(&text[at..], between) {
            return false;
        }
        at += between.len();
        if at >= text.len() {
            return false;
        }
        let Some((end, found)) = token(text, at) else { return false };
        if found != *kind {
            return false;
        }
        row.push(Span { start: place.start + at as u32, end: place.start + end as u32 });
        (at, done) = (end, value.end as usize);
    }
    let rest = &all[done..first.end as usize];
    text.len() - at == rest.len() && begins(&text[at..], rest)
}

/// Whether two texts are equal but for their values. Equal hashes do not make equal texts.
#[inline]
fn equal_but(all: &str, one: (Span, &[Span]), other: (Span, &[Span])) -> bool {
    if one.1.len() != other.1.len() {
        return false;
    }
    let all = all.as_bytes();
    let (mut a, mut b) = (one.0.start, other.0.start);
    let equal = |one: &[u8], other: &[u8]| one.len() == other.len() && begins(one, other);
    for (value_a, value_b) in one.1.iter().zip(other.1) {
        let (gap_a, gap_b) = (a as usize..value_a.start as usize, b as usize..value_b.start as usize);
        if !equal(&all[gap_a], &all[gap_b]) {
            return false;
        }
        (a, b) = (value_a.end, value_b.end);
    }
    equal(&all[a as usize..one.0.end as usize], &all[b as usize..other.0.end as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shapes of texts, and how many texts have each.
    fn check(texts: &[&str]) -> String {
        let mut gathered = Texts::default();
        texts.iter().for_each(|text| gathered.push(text));
        let (commons, values) = learn(&gathered);
        for common in &commons {
            for (text, start) in common.texts.iter().zip(&common.starts) {
                let made: String = common
                    .parts
                    .iter()
                    .map(|part| match part {
                        Part::Literal(text) => text,
                        Part::Slot(slot) => values[*start as usize + slot].of(gathered.all()),
                    })
                    .collect();
                assert_eq!(made, texts[*text as usize]);
            }
        }
        let show = |common: &Common| {
            let parts = common.parts.iter().map(|part| match part {
                Part::Literal(text) => text,
                Part::Slot(_) => "*",
            });
            format!("{}x {}", common.texts.len(), parts.collect::<String>())
        };
        commons.iter().map(show).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn texts_that_differ_in_variables_have_one_shape() {
        assert_eq!(check(&["a 1.", "b 2", "a 3.", "a x7."]), "3x a *.");
        assert_eq!(check(&["same", "same", "same"]), "3x same");
        assert_eq!(check(&["a 1", "a 2"]), "");
        assert_eq!(check(&[]), "");
    }

    #[test]
    fn texts_that_differ_in_a_word_are_joined_word_by_word() {
        assert_eq!(check(&["a in 1", "b in 2", "c in 3"]), "3x * in *");
        assert_eq!(check(&["a in b 1", "a in c 2", "d in b 3", "d in c 4", "a on b 1"]), "5x * * * *");
        assert_eq!(check(&["one two", "six ten", "red off"]), "", "all words differ");
        // What was seen before a word varied has that word as its value.
        assert_eq!(check(&["x a 1", "x a 2", "x a 3", "x b 4", "x a 5"]), "5x x * *");
    }

    #[test]
    fn many_words_are_not_compared() {
        let text = |n: usize| format!("{} {}", "w ".repeat(WORDS_MAX), ["a", "b", "c"][n]);
        let texts: Vec<String> = (0..3).map(text).collect();
        assert_eq!(check(&texts.iter().map(|text| &**text).collect::<Vec<_>>()), "");
        assert_eq!(check(&[&*texts[0]; 3]), format!("3x {}", texts[0]));
    }

    #[test]
    fn a_frame_has_few_sets_of_words_that_vary() {
        let mut texts = Vec::new();
        for place in 0..12 {
            for word in ["p", "q", "r"] {
                let words = (0..12).map(|at| {
                    if at == place { word.to_owned() } else { "abcdefghijkl"[place..=place].repeat(2) }
                });
                texts.push(words.collect::<Vec<_>>().join(" "));
            }
        }
        let shown = check(&texts.iter().map(|text| &**text).collect::<Vec<_>>());
        assert_eq!(shown.split(" | ").count(), MASKS_MAX - 1, "one set is that of none: {shown}");
    }
}
