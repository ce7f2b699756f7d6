//! Texts of which there are few different ones, each of these kept once.
//!
//! Owns: [`Dictionary`], being made text by text, and [`Strings`], which give it up where it is not worth it.
//! Does not own: how texts without a dictionary are kept (`encode`).
//! Invariant: whether there is a dictionary depends on nothing but the texts and whether one is wanted, so that equal records
//! make equal bytes.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::{CONSTANT, DICTIONARY, Texts};
use crate::bytes::{Put, begins};
use crate::ints::{self, Packing};

/// Entries of the largest dictionary: more make its decoding dearer than it saves.
const ENTRIES_MAX: usize = 16 << 10;
/// From so many texts on it is looked whether a dictionary is still likely: not if most of them differ. Fewer would tell less:
/// a thousand hosts may be asked in turn.
const TRIAL_TEXTS: usize = 2048;
/// The same of texts that look like ids.
const TRIAL_IDS: usize = 512;
/// Bytes of the shortest text that looks like an id.
const ID_BYTES_MIN: usize = 16;
/// Entries that are found without a hash of all their bytes.
const LATELY: usize = 256;
/// From so many texts on some are: a record may have many fields, and each of them has a dictionary.
const LATELY_FROM: usize = 64;

/// Texts on their way into a dictionary. Keeps its memory for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    entries: Texts,
    /// For each text the number of its entry.
    codes: Vec<u32>,
    /// The length of all texts together.
    bytes: usize,
    /// The numbers of entries by their hashes.
    table: HashTable<(u64, u32)>,
    /// The numbers of those that came lately; none as long as there are few texts.
    lately: Vec<u32>,
}

/// The strings of a column that is being made: by a dictionary, until that is not worth it.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    dictionary: Dictionary,
    texts: Texts,
    /// Whether they are in `texts`, and not in the dictionary.
    apart: bool,
    /// Whether no dictionary is wanted, for these and those that follow.
    always_apart: bool,
}

/// Where the entry of a text may be found that came lately: by its length, its first and its last bytes.
#[inline]
fn lately_of(text: &[u8]) -> usize {
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    let ends = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => text.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    };
    ((ends ^ text.len() as u64).wrapping_mul(MIX) >> 32) as usize % LATELY
}

/// Whether a text may be an id that no other record has: hexadecimal digits, and perhaps hyphens.
fn looks_like_id(text: &str) -> bool {
    text.len() >= ID_BYTES_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

impl Dictionary {
    /// A dictionary of all these texts, if it is worth it.
    pub(crate) fn of(texts: &Texts) -> Option<Self> {
        let mut made = Self::default();
        let entries_max = texts.len().div_ceil(2);
        let all = texts.iter().all(|text| made.add(text) && made.entries.len() <= entries_max);
        (all && made.is_worth_it()).then_some(made)
    }

    /// Adds a text; says no, and does not, if a dictionary is not worth it any more.
    #[inline]
    fn add(&mut self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let place = lately_of(bytes);
        let is_it = |entry: &[u8]| entry.len() == bytes.len() && begins(entry, bytes);
        match self.lately.get(place) {
            Some(code) if self.entries.bytes_of(*code as usize).is_some_and(is_it) => {
                self.codes.push(*code);
                self.bytes += bytes.len();
                true
            }
            _ => self.add_seldom(text, place),
        }
    }

    /// The same for one that did not come lately.
    #[inline(never)]
    fn add_seldom(&mut self, text: &str, place: usize) -> bool {
        let Self { entries, codes, bytes, table, lately } = self;
        let hash = xxh3_64(text.as_bytes());
        let is_it = |(known, code): &(u64, u32)| *known == hash && entries.get(*code as usize) == text;
        let code = match table.find(hash, is_it) {
            Some((_, code)) => *code,
            None => {
                let hopeless = match codes.len() {
                    0..TRIAL_IDS => false,
                    count @ TRIAL_IDS..TRIAL_TEXTS => entries.len() * 16 > count * 15 && looks_like_id(text),
                    count => entries.len() * 5 > count * 4,
                };
                if hopeless || entries.len() == ENTRIES_MAX {
                    return false;
                }
                let code = entries.len() as u32;
                entries.push(text);
                table.insert_unique(hash, (hash, code), |(hash, _)| *hash);
                code
            }
        };
        if codes.len() >= LATELY_FROM {
            lately.resize(LATELY, u32::MAX);
            lately[place] = code;
        }
        codes.push(code);
        *bytes += text.len();
        true
    }

    fn is_worth_it(&self) -> bool {
        match self.entries.len() {
            0 => false,
            1 => true,
            entries => entries <= self.codes.len().div_ceil(2) && self.entries.bytes() * 2 <= self.bytes,
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.codes.clear();
        self.bytes = 0;
        self.table.clear();
        self.lately.clear();
    }

    /// Appends its bytes.
    pub(crate) fn put(&self, packing: Packing, head: &mut Vec<u8>) {
        if self.entries.len() == 1 {
            head.put_u8(CONSTANT);
            return head.put_text(self.entries.all());
        }
        let mut frame = Vec::new();
        self.entries.put_frame(&mut frame, 0..self.entries.len(), packing == Packing::Bits);
        head.put_u8(DICTIONARY);
        head.put_varint(self.entries.len() as u64);
        head.put_varint(frame.len() as u64);
        head.extend_from_slice(&frame);
        let codes: Vec<i64> = self.codes.iter().map(|code| i64::from(*code)).collect();
        ints::encode_as(packing, head, &codes);
    }
}

impl Strings {
    /// Has no dictionary be made of the strings that follow, nor of those of later blocks; there must be none yet.
    pub(crate) fn keep_apart(&mut self) {
        (self.apart, self.always_apart) = (true, true);
    }

    /// Adds a string.
    #[inline]
    pub(crate) fn push(&mut self, text: &str) {
        if self.apart || !self.dictionary.add(text) {
            self.push_apart(text);
        }
    }

    #[inline(never)]
    fn push_apart(&mut self, text: &str) {
        self.make_apart();
        self.texts.push(text);
    }

    /// Gives the dictionary up, if there is one.
    fn make_apart(&mut self) {
        if self.apart {
            return;
        }
        let Self { dictionary, texts, apart, .. } = self;
        dictionary.codes.iter().for_each(|code| texts.push(dictionary.entries.get(*code as usize)));
        dictionary.clear();
        *apart = true;
    }

    /// Decides whether they have a dictionary; no more are added.
    pub(crate) fn settle(&mut self) {
        if !self.dictionary.is_worth_it() {
            self.make_apart();
        }
    }

    /// Whether no dictionary was tried, though they may be worth one.
    pub(crate) fn are_untried(&self) -> bool {
        self.always_apart
    }

    /// The dictionary, if they have one.
    pub(crate) fn dictionary(&self) -> Option<&Dictionary> {
        (!self.apart).then_some(&self.dictionary)
    }

    /// The strings, of those in a dictionary each different one.
    pub(crate) fn texts(&self) -> &Texts {
        if self.apart { &self.texts } else { &self.dictionary.entries }
    }

    /// All strings, which have no dictionary then.
    pub(crate) fn all_texts(&mut self) -> &Texts {
        self.make_apart();
        &self.texts
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.dictionary.clear();
        self.texts.clear();
        self.apart = self.always_apart;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(texts: impl Iterator<Item = String>) -> Strings {
        let mut strings = Strings::default();
        texts.for_each(|text| strings.push(&text));
        strings
    }

    fn has_dictionary(texts: impl Iterator<Item = String>) -> bool {
        let mut strings = strings(texts);
        strings.settle();
        strings.dictionary().is_some()
    }

    #[test]
    fn few_different_texts_make_a_dictionary() {
        let numbers =
            |count: usize, different: usize| (0..count).map(move |n| format!("text {}", n % different));
        assert!(has_dictionary(numbers(1, 1)) && has_dictionary(numbers(1000, 1)));
        assert!(has_dictionary(numbers(1000, 500)) && !has_dictionary(numbers(1000, 501)));
        assert!(!has_dictionary(std::iter::empty()));
        let long_ones = |times: usize| {
            let short = std::iter::repeat_n("a".to_owned(), 8 * times);
            short.chain((0..4).map(|n| format!("{n} is much longer")))
        };
        assert!(has_dictionary(long_ones(100)) && !has_dictionary(long_ones(1)));
        let between = |different: usize| {
            let texts = numbers(2 * different, different);
            texts.flat_map(|text| ["the same".to_owned(), text])
        };
        assert!(has_dictionary(between(ENTRIES_MAX - 1)) && !has_dictionary(between(ENTRIES_MAX)));
        let late = |trial: usize, different: usize| {
            let behind = numbers(20 * trial, trial / 4);
            numbers(trial, different).chain(behind.map(|text| text + "!"))
        };
        assert!(has_dictionary(late(TRIAL_TEXTS, TRIAL_TEXTS * 3 / 4)));
        assert!(!has_dictionary(late(TRIAL_TEXTS, TRIAL_TEXTS * 5 / 6)));
        assert!(has_dictionary(numbers(20_000, 1600)), "the same ones in turn");
        let ids = |different: usize| {
            numbers(20_000, different).map(|text| format!("{:016x}", xxh3_64(text.as_bytes())))
        };
        assert!(has_dictionary(ids(TRIAL_IDS * 4 / 5)) && !has_dictionary(ids(2 * TRIAL_IDS)));
    }

    #[test]
    fn what_was_gathered_is_forgotten_and_what_is_wanted_is_not() {
        let mut strings = strings(["a", "a", "b"].map(str::to_owned).into_iter());
        strings.settle();
        assert!(strings.dictionary().is_none());
        strings.clear();
        ["c", "c", "d", "d"].into_iter().for_each(|text| strings.push(text));
        strings.settle();
        assert_eq!(strings.texts().iter().collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!(strings.all_texts().iter().collect::<Vec<_>>(), ["c", "c", "d", "d"]);
        strings.clear();
        strings.keep_apart();
        for _ in 0..2 {
            ["e", "e"].into_iter().for_each(|text| strings.push(text));
            strings.settle();
            assert!(strings.dictionary().is_none());
            assert_eq!(strings.texts().iter().collect::<Vec<_>>(), ["e", "e"]);
            strings.clear();
        }
    }

    proptest! {
        #[test]
        fn any_texts_are_those_that_were_added(rounds in prop::collection::vec(
            prop::collection::vec("[ab]{0,2}|aaaaaaaa[ab]{1,9}|\\PC{0,9}", 0..700), 1..4,
        )) {
            let mut strings = Strings::default();
            for texts in &rounds {
                texts.iter().for_each(|text| strings.push(text));
                let mut gathered = Texts::default();
                texts.iter().for_each(|text| gathered.push(text));
                strings.settle();
                prop_assert_eq!(strings.dictionary().is_some(), Dictionary::of(&gathered).is_some());
                let different: std::collections::BTreeSet<&str> = texts.iter().map(String::as_str).collect();
                prop_assert_eq!(strings.texts().iter().collect::<std::collections::BTreeSet<_>>(), different.clone());
                if strings.dictionary().is_some() {
                    prop_assert_eq!(strings.texts().len(), different.len());
                }
                prop_assert_eq!(strings.all_texts().iter().collect::<Vec<_>>(), texts.iter().collect::<Vec<_>>());
                strings.clear();
            }
        }
    }
}
