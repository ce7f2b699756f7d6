//! Which tokens a block may have: a split-block Bloom filter.
//!
//! Owns: [`FilterBuilder`], asking a filter in a segment. Each token sets eight bits in one bucket of 32 bytes;
//! buckets lie in pages with a checksum each, so that asking reads one page.
//! Does not own: what the tokens are (`sawyer_query::index_tokens`).
//! Invariant: a token that was put in is always found. After Putze, Sanders, Singler, "Cache-, Hash- and
//! Space-Efficient Bloom Filters" (2007), in the form that Parquet has.

use std::ops::Range;

use sawyer_model::{Timestamp, ValueRef};
use sawyer_query::field::PLAIN_BYTES_MAX;
use sawyer_query::tokens::{AsciiWords, Tokens, tokens};
use sawyer_query::{FieldKind, index_tokens};
use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::{Put, checksum};
use crate::column::{ColumnBuilder, kind};
use crate::error::{Damage, Decoded, Result};
use crate::source::Data;
use crate::text::Texts;

const BUCKET_BYTES: usize = 32;
/// Buckets of a page: asking for a token reads and checks this much.
const PAGE_BUCKETS: usize = 32;
const PAGE_BYTES: usize = PAGE_BUCKETS * BUCKET_BYTES;
const CHECKSUM_BYTES: usize = 4;

/// Names that start so are searched only when they are named; their tokens are not kept.
pub(crate) const HIDDEN: char = '_';
/// Some name of a field whose strings are compared as a whole.
const PLAIN_NAME: &str = "n";

/// Odd numbers that choose one bit in each word of a bucket (as Parquet has them).
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The tokens of a block.
#[derive(Debug, Default)]
pub(crate) struct FilterBuilder {
    tokens: Hashes,
    recent: Recent,
    lower: Lower,
}

/// The hashes of tokens, some of them several times, and about how many different ones there are.
#[derive(Debug, Default)]
struct Hashes {
    all: Vec<u64>,
    /// A bit for each hash, or for several.
    seen: Vec<u64>,
    /// How many there may be until those that are there several times are left out again.
    all_max: usize,
}

/// Bits that are seen at least: 32 KiB. Of so many hashes, or of more in that proportion, their number is then told within
/// one of a hundred, and exactly where there are few.
const SEEN_BITS: usize = 1 << 18;
/// More are counted one by one.
const SEEN_MAX: usize = SEEN_BITS / 2;

/// So many hashes are kept without asking which of them are the same: 8 MiB, which a usual block has not.
const HASHES_MIN: usize = 1 << 20;

/// Short tokens that were put in lately, as they are: most words come again soon, and need no hash then.
#[derive(Debug, Default)]
struct Recent(Vec<Short>);

/// A token of at most [`SHORT_BYTES_MAX`] bytes, exactly: these, and in the highest byte how many there are. An empty
/// place has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Short(u128);

/// Texts in lower case.
#[derive(Debug, Default)]
struct Lower {
    text: String,
    words: AsciiWords,
}

/// Columns of more text are brought into lower case text by text.
const LOWER_BYTES_MAX: usize = 4 << 20;

/// As many bytes as are read from where a token begins.
const NOTHING: &str = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const _: () = assert!(NOTHING.len() == size_of::<Short>());

/// How many tokens are remembered as recent: 32 KiB.
const RECENT: usize = 2048;
const SHORT_BYTES_MAX: usize = 15;

/// For the length of a token the bits that it has of those that are read.
const KEPT: [u128; SHORT_BYTES_MAX + 1] = {
    let mut kept = [0; SHORT_BYTES_MAX + 1];
    let mut len = 1;
    while len < kept.len() {
        kept[len] = (1 << (8 * len)) - 1;
        len += 1;
    }
    kept
};

impl Short {
    /// The token that these bytes begin with.
    #[inline]
    fn of(bytes: &[u8; size_of::<Self>()], len: usize) -> Self {
        Self(u128::from_le_bytes(*bytes) & KEPT[len] | (len as u128) << 120)
    }

    #[inline]
    fn place(self) -> usize {
        const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
        let mixed = (self.0 as u64 ^ ((self.0 >> 64) as u64).rotate_left(27)).wrapping_mul(MIX);
        (mixed >> 40) as usize % RECENT
    }
}

impl Recent {
    /// Whether a token was put in lately; else it is remembered, if it is short.
    #[inline]
    fn has(&mut self, token: &[u8]) -> bool {
        if token.is_empty() || token.len() > SHORT_BYTES_MAX {
            return false;
        }
        let mut bytes = [0; size_of::<Short>()];
        bytes[..token.len()].copy_from_slice(token);
        self.has_short(Short::of(&bytes, token.len()))
    }

    #[inline]
    fn has_short(&mut self, short: Short) -> bool {
        let place = &mut self.0[short.place()];
        std::mem::replace(place, short) == short
    }
}

impl Hashes {
    #[inline]
    fn insert(&mut self, hash: u64) {
        let bit = (hash >> 20) as usize % SEEN_BITS;
        self.seen[bit / 64] |= 1 << (bit % 64);
        self.all.push(hash);
        if self.all.len() >= self.all_max {
            self.tidy();
        }
    }

    /// A record of many megabytes may have the same words over and over.
    #[cold]
    fn tidy(&mut self) {
        self.all.sort_unstable();
        self.all.dedup();
        self.all_max = (2 * self.all.len()).max(HASHES_MIN);
    }

    /// Makes room for the first.
    fn begin(&mut self) {
        self.seen.resize(SEEN_BITS / 64, 0);
        self.all_max = self.all_max.max(HASHES_MIN);
    }

    /// About how many different ones there are.
    fn count(&mut self) -> usize {
        if self.all.len() > SEEN_MAX {
            self.all.sort_unstable();
            self.all.dedup();
            return self.all.len();
        }
        let bits: u32 = self.seen.iter().map(|word| word.count_ones()).sum();
        // How many draws it takes until so many of all bits are drawn: the logarithm, by its first terms.
        let bits = f64::from(bits);
        let part = bits / SEEN_BITS as f64;
        let draws = bits * (1.0 + part / 2.0 + part * part / 3.0 + part * part * part / 4.0);
        (draws.round() as usize).min(self.all.len())
    }

    fn clear(&mut self) {
        self.all.clear();
        self.seen.fill(0);
    }
}

impl FilterBuilder {
    /// Adds what the values of a column give. Numbers are left out: their least and greatest stand in the directory.
    /// So are fields that are not searched by bare words.
    pub(crate) fn add_column(&mut self, name: &str, column: &ColumnBuilder) {
        if name.starts_with(HIDDEN) {
            return;
        }
        let Self { tokens, recent, lower } = self;
        recent.0.resize(RECENT, Short::default());
        tokens.begin();
        let is_text = FieldKind::of(name) == FieldKind::Text;
        for texts in [Some(column.texts()), column.element_texts()].into_iter().flatten() {
            if texts.bytes() <= LOWER_BYTES_MAX && texts.all().is_ascii() {
                take_ascii(is_text, texts, lower, recent, tokens);
                continue;
            }
            let mut take = |token: &str| {
                if !recent.has(token.as_bytes()) {
                    tokens.insert(hash_of(token));
                }
            };
            let mut last = None;
            for text in texts.iter().filter(|text| last.replace(*text) != Some(*text)) {
                string_tokens(is_text, text, &mut lower.text, &mut take);
            }
        }
        let mut take = |token: &str| {
            if !recent.has(token.as_bytes()) {
                tokens.insert(hash_of(token));
            }
        };
        let mask = column.element_mask();
        for (kind, value) in [
            (kind::NULL, ValueRef::Null),
            (kind::BOOL, ValueRef::Bool(false)),
            (kind::BOOL, ValueRef::Bool(true)),
            (kind::TIMESTAMP, ValueRef::Timestamp(Timestamp::EPOCH)),
        ] {
            if mask >> kind & 1 == 1 {
                index_tokens(name, value, &mut take);
            }
        }
    }

    /// Appends the filter, and is empty again.
    pub(crate) fn finish(&mut self, bits_per_token: usize, out: &mut Vec<u8>) {
        self.recent.0.clear();
        let buckets = (self.tokens.count() * bits_per_token).div_ceil(BUCKET_BYTES * 8).max(1);
        let mut words = vec![[0u32; 8]; buckets];
        for hash in &self.tokens.all {
            for (word, bit) in words[bucket_of(*hash, buckets)].iter_mut().zip(bits_of(*hash)) {
                *word |= bit;
            }
        }
        self.tokens.clear();
        for page in words.chunks(PAGE_BUCKETS) {
            let start = out.len();
            page.iter().flatten().for_each(|word| out.put_u32(*word));
            let checksum = checksum(&out[start..]);
            out.put_u32(checksum);
        }
    }
}

/// Takes the tokens of texts that are all ASCII, as [`string_tokens`] has them: all are brought into lower case at once.
fn take_ascii(is_text: bool, texts: &Texts, lower: &mut Lower, recent: &mut Recent, tokens: &mut Hashes) {
    let Lower { text: lower, words } = lower;
    lower.clear();
    lower.push_str(texts.all());
    lower.make_ascii_lowercase();
    // So that every token has so many bytes behind its start.
    lower.push_str(NOTHING);
    let all = lower.as_bytes();
    if is_text {
        words.read(all);
    }
    let mut take = |token: Range<usize>| {
        let begins = all[token.start..].first_chunk();
        let is_known = match begins.filter(|_| (1..=SHORT_BYTES_MAX).contains(&token.len())) {
            Some(begins) => recent.has_short(Short::of(begins, token.len())),
            None => false,
        };
        if !is_known {
            tokens.insert(xxh3_64(&all[token]));
        }
    };
    let (mut start, mut last) = (0, None::<Range<usize>>);
    for text in texts.iter() {
        let place = start..start + text.len();
        start = place.end;
        if last.as_ref().is_some_and(|last| all[last.clone()] == all[place.clone()]) {
            continue;
        }
        last = Some(place.clone());
        if is_text {
            words.tokens(all, place, &mut take);
        } else if place.len() > PLAIN_BYTES_MAX {
            // Seldom: the bytes of such a value are read once more.
            let mut words = AsciiWords::default();
            let value = &all[place.clone()];
            words.read(value);
            words.tokens(value, 0..value.len(), |token| {
                take(place.start + token.start..place.start + token.end);
            });
        } else {
            take(place);
        }
    }
}

/// The tokens of a string, as `index_tokens` has them; quicker where the name says once what holds for all values.
#[inline]
fn string_tokens(is_text: bool, text: &str, lower: &mut String, take: &mut impl FnMut(&str)) {
    let by_words = is_text || text.len() > PLAIN_BYTES_MAX;
    if text.is_ascii() {
        lower.clear();
        lower.push_str(text);
        lower.make_ascii_lowercase();
        if by_words {
            // Case changes no word's ends.
            Tokens::new(lower).for_each(take);
        } else {
            take(lower);
        }
    } else if by_words {
        tokens(text, take);
    } else {
        index_tokens(PLAIN_NAME, ValueRef::Str(text), take);
    }
}

/// The hash by which tokens are kept.
#[inline]
pub(crate) fn hash_of(token: &str) -> u64 {
    xxh3_64(token.as_bytes())
}

/// Whether a block with this filter may have the token of this hash.
pub(crate) fn may_have(filter: Data<'_>, bytes: u64, hash: u64) -> Result<bool> {
    let buckets = buckets_in(bytes);
    if buckets == 0 {
        return Ok(true);
    }
    let bucket = bucket_of(hash, buckets);
    let page = bucket / PAGE_BUCKETS;
    let page_len = PAGE_BYTES.min((buckets - page * PAGE_BUCKETS) * BUCKET_BYTES);
    let page_start = (page * (PAGE_BYTES + CHECKSUM_BYTES)) as u64;
    let stored = filter.page(page_start, page_len as u64)?;
    let words = stored[bucket % PAGE_BUCKETS * BUCKET_BYTES..].chunks_exact(4);
    let word = |chunk: &[u8]| u32::from_le_bytes(chunk.try_into().expect("four bytes were taken"));
    Ok(words.map(word).zip(bits_of(hash)).all(|(word, bit)| word & bit == bit))
}

/// Whether a block may have a token, by its whole filter.
pub(crate) fn may_have_in(filter: &[u8], hash: u64) -> bool {
    let buckets = buckets_in(filter.len() as u64);
    if buckets == 0 {
        return true;
    }
    let bucket = bucket_of(hash, buckets);
    let start = bucket * BUCKET_BYTES + bucket / PAGE_BUCKETS * CHECKSUM_BYTES;
    let words = filter.get(start..start + BUCKET_BYTES).unwrap_or_default().chunks_exact(4);
    let word = |chunk: &[u8]| u32::from_le_bytes(chunk.try_into().expect("four bytes were taken"));
    words.map(word).zip(bits_of(hash)).all(|(word, bit)| word & bit == bit)
}

/// How many buckets a filter of so many bytes has.
fn buckets_in(bytes: u64) -> usize {
    let page = (PAGE_BYTES + CHECKSUM_BYTES) as u64;
    let rest = (bytes % page).saturating_sub(CHECKSUM_BYTES as u64);
    (bytes / page) as usize * PAGE_BUCKETS + rest as usize / BUCKET_BYTES
}

fn bucket_of(hash: u64, buckets: usize) -> usize {
    (((hash >> 32) * buckets as u64) >> 32) as usize
}

fn bits_of(hash: u64) -> impl Iterator<Item = u32> {
    SALTS.into_iter().map(move |salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

/// Checks that the bytes are those of a filter.
pub(crate) fn verify(bytes: &[u8]) -> Decoded<()> {
    for page in bytes.chunks(PAGE_BYTES + CHECKSUM_BYTES) {
        let words =
            page.len().checked_sub(CHECKSUM_BYTES).ok_or(Damage::expected("pages with a checksum"))?;
        let stored = u32::from_le_bytes(page[words..].try_into().expect("four bytes were left"));
        if words % BUCKET_BYTES != 0 || stored != checksum(&page[..words]) {
            return Err(Damage::expected("pages with their checksums"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::error::Place;
    use crate::source::Bytes;

    proptest! {
        #[test]
        fn tokens_are_those_that_queries_ask_for(text in "([a-zA-Z0-9 ._:-]|\\PC){0,300}") {
            for name in ["n", "message", "error.stack_trace", "level"] {
                let (mut here, mut there) = (Vec::new(), Vec::new());
                let is_text = FieldKind::of(name) == FieldKind::Text;
                string_tokens(is_text, &text, &mut String::new(), &mut |token| here.push(token.to_owned()));
                index_tokens(name, ValueRef::Str(&text), &mut |token| there.push(token.to_owned()));
                prop_assert_eq!(&here, &there);
                if text.is_ascii() {
                    let (mut texts, mut recent, mut at_once) = (Texts::default(), Recent::default(), Hashes::default());
                    recent.0.resize(RECENT, Short::default());
                    at_once.begin();
                    texts.push(&text);
                    take_ascii(is_text, &texts, &mut Lower::default(), &mut recent, &mut at_once);
                    let different = |hashes: Vec<u64>| hashes.into_iter().collect::<std::collections::BTreeSet<u64>>();
                    let there = there.iter().map(|token| hash_of(token)).collect();
                    prop_assert_eq!(different(at_once.all), different(there));
                }
            }
        }
    }

    #[test]
    fn different_tokens_are_told_apart() {
        let mut tokens: Vec<String> = Vec::new();
        for len in 1..=17 {
            for at in 0..len {
                tokens.push((0..len).map(|place| if place == at { 'b' } else { 'a' }).collect());
            }
            tokens.push("a".repeat(len));
        }
        tokens.retain(|token| token.len() <= SHORT_BYTES_MAX);
        let short = |token: &String| {
            let mut bytes = [b'x'; size_of::<Short>()];
            bytes[..token.len()].copy_from_slice(token.as_bytes());
            Short::of(&bytes, token.len()).0
        };
        tokens.push("\0".to_owned());
        tokens.push("a\0".to_owned());
        let shorts: std::collections::HashSet<u128> = tokens.iter().map(short).collect();
        assert_eq!(shorts.len(), tokens.len());
        let mut recent = Recent(vec![Short::default(); RECENT]);
        let mut has = |token: &str| recent.has(token.as_bytes());
        assert_eq!([has("a"), has("a"), has(""), has("")], [false, true, false, false]);
        let long = "a".repeat(SHORT_BYTES_MAX + 1);
        assert_eq!([has(&long), has(&long)], [false, false]);
    }

    #[test]
    fn different_tokens_are_counted() {
        for (count, within) in [(0, 0), (1, 0), (40, 0), (20_000, 200), (SEEN_MAX / 2, 800), (SEEN_MAX, 0)] {
            let mut hashes = Hashes::default();
            hashes.begin();
            for token in (0..count).chain(0..count.min(SEEN_MAX / 2)) {
                hashes.insert(hash_of(&token.to_string()));
            }
            let counted = hashes.count();
            assert!(counted.abs_diff(count) <= within, "{counted} instead of {count}");
        }
    }

    #[test]
    fn words_that_come_over_and_over_take_no_more_room() {
        let mut hashes = Hashes::default();
        hashes.begin();
        let all: Vec<u64> = (0..10_000).map(|word: u32| hash_of(&word.to_string())).collect();
        (0..400).for_each(|_| all.iter().for_each(|hash| hashes.insert(*hash)));
        assert!(hashes.all.len() <= HASHES_MIN, "{}", hashes.all.len());
        assert!(hashes.count().abs_diff(10_000) <= 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_was_put_in_is_found(tokens in prop::collection::hash_set("[a-z0-9]{1,12}", 0..2000)) {
            let mut builder = FilterBuilder::default();
            builder.tokens.begin();
            tokens.iter().for_each(|token| builder.tokens.insert(hash_of(token)));
            let mut bytes = Vec::new();
            builder.finish(12, &mut bytes);
            verify(&bytes).unwrap();
            let len = bytes.len() as u64;
            let bytes = Bytes { source: Arc::new(bytes), verify: true };
            let data = Data { bytes: &bytes, offset: 0, place: Place::of("test"), home: None };
            let whole = data.bytes.read(0, len, data.place).unwrap();
            let has = |token: &str| {
                let has = may_have(data, len, hash_of(token)).unwrap();
                assert_eq!(may_have_in(&whole, hash_of(token)), has);
                has
            };
            prop_assert!(tokens.iter().all(|token| has(token)));
            let false_hits = (0..1000).filter(|n| has(&format!("-{n}"))).count();
            prop_assert!(false_hits < 40, "{false_hits} of 1000");
        }
    }
}
