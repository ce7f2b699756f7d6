//! Which tokens a block may have: a split-block Bloom filter.
//!
//! Owns: [`FilterBuilder`], asking a filter in a segment. Each token sets eight bits in one bucket of 32 bytes;
//! buckets lie in pages with a checksum each, so that asking reads one page.
//! Does not own: what the tokens are (`sawyer_query::index_tokens`).
//! Invariant: a token that was put in is always found. After Putze, Sanders, Singler, "Cache-, Hash- and
//! Space-Efficient Bloom Filters" (2007), in the form that Parquet has.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashSet;
use sawyer_model::{Timestamp, ValueRef};
use sawyer_query::field::PLAIN_BYTES_MAX;
use sawyer_query::tokens::{ascii_tokens, tokens};
use sawyer_query::{FieldKind, index_tokens};
use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::{Put, checksum};
use crate::column::{ColumnBuilder, kind};
use crate::error::{Damage, Decoded, Result};
use crate::source::Data;
use crate::text::{Dictionary, Texts};

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
    hashes: HashSet<u64, BuildHasherDefault<AsIs>>,
    recent: Recent,
    lower: String,
}

/// Short tokens that were put in lately, as they are: most words come again soon, and need no hash then.
#[derive(Debug, Default)]
struct Recent(Vec<Short>);

/// A token of at most [`SHORT_BYTES_MAX`] bytes, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Short {
    low: u64,
    high: u64,
    /// None is as long as an empty place says.
    len: u64,
}

/// Takes numbers that are hashes already for their hashes.
#[derive(Clone, Copy, Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Columns of more text are brought into lower case text by text.
const LOWER_BYTES_MAX: usize = 4 << 20;

/// How many tokens are remembered as recent: 48 KiB.
const RECENT: usize = 2048;
const SHORT_BYTES_MAX: usize = 16;

impl Short {
    #[inline]
    fn of(token: &str) -> Option<Self> {
        let (bytes, len) = (token.as_bytes(), token.len());
        let eight =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"));
        let four = |at: usize| {
            u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken")))
        };
        let (low, high) = match len {
            1..4 => (u64::from(bytes[0]) << 8 | u64::from(bytes[len / 2]), u64::from(bytes[len - 1])),
            4..8 => (four(0), four(len - 4)),
            8..=SHORT_BYTES_MAX => (eight(0), eight(len - 8)),
            _ => return None,
        };
        Some(Self { low, high, len: len as u64 })
    }

    #[inline]
    fn place(self) -> usize {
        const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
        let mixed = (self.low ^ self.high.rotate_left(27) ^ self.len).wrapping_mul(MIX);
        (mixed >> 40) as usize % RECENT
    }
}

impl Recent {
    /// Whether a token was put in lately; else it is remembered, if it is short.
    #[inline]
    fn has(&mut self, token: &str) -> bool {
        let Some(short) = Short::of(token) else { return false };
        let place = &mut self.0[short.place()];
        std::mem::replace(place, short) == short
    }
}

impl FilterBuilder {
    /// Adds what the values of a column give. Numbers are left out: their least and greatest stand in the directory.
    /// So are fields that are not searched by bare words.
    pub(crate) fn add_column(&mut self, name: &str, column: &ColumnBuilder, dictionary: Option<&Dictionary>) {
        if name.starts_with(HIDDEN) {
            return;
        }
        let Self { hashes, recent, lower } = self;
        recent.0.resize(RECENT, Short::default());
        let mut take = |token: &str| {
            if !recent.has(token) {
                hashes.insert(hash_of(token));
            }
        };
        let is_text = FieldKind::of(name) == FieldKind::Text;
        let texts = column.texts();
        let at_once = dictionary.is_none() && texts.bytes() <= LOWER_BYTES_MAX && texts.all().is_ascii();
        if at_once {
            take_ascii(is_text, texts, lower, &mut take);
        }
        let mut last = None;
        column.for_each_str(dictionary, !at_once, |text| {
            if last != Some(text) {
                string_tokens(is_text, text, lower, &mut take);
            }
            last = Some(text);
        });
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
        let buckets = (self.hashes.len() * bits_per_token).div_ceil(BUCKET_BYTES * 8).max(1);
        let mut words = vec![[0u32; 8]; buckets];
        for hash in self.hashes.drain() {
            for (word, bit) in words[bucket_of(hash, buckets)].iter_mut().zip(bits_of(hash)) {
                *word |= bit;
            }
        }
        for page in words.chunks(PAGE_BUCKETS) {
            let start = out.len();
            page.iter().flatten().for_each(|word| out.put_u32(*word));
            let checksum = checksum(&out[start..]);
            out.put_u32(checksum);
        }
    }
}

/// The tokens of texts that are all ASCII, as [`string_tokens`] has them: all are brought into lower case at once.
fn take_ascii(is_text: bool, texts: &Texts, lower: &mut String, take: &mut impl FnMut(&str)) {
    lower.clear();
    lower.push_str(texts.all());
    lower.make_ascii_lowercase();
    let (mut start, mut last) = (0, None);
    for text in texts.iter() {
        let end = start + text.len();
        let text = &lower[start..end];
        start = end;
        if last == Some(text) {
            continue;
        }
        last = Some(text);
        if is_text || text.len() > PLAIN_BYTES_MAX {
            ascii_tokens(text, &mut *take);
        } else {
            take(text);
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
            ascii_tokens(lower, take);
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

/// Whether a block with this filter may have a token.
pub(crate) fn may_have(filter: Data<'_>, bytes: u64, token: &str) -> Result<bool> {
    let buckets = buckets_in(bytes);
    if buckets == 0 {
        return Ok(true);
    }
    let hash = hash_of(token);
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
pub(crate) fn may_have_in(filter: &[u8], token: &str) -> bool {
    let buckets = buckets_in(filter.len() as u64);
    if buckets == 0 {
        return true;
    }
    let hash = hash_of(token);
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
                    let (mut texts, mut at_once) = (Texts::default(), Vec::new());
                    texts.push(&text);
                    take_ascii(is_text, &texts, &mut String::new(), &mut |token| at_once.push(token.to_owned()));
                    prop_assert_eq!(at_once, there);
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
        let shorts: std::collections::HashSet<Option<(u64, u64, u64)>> = tokens
            .iter()
            .map(|token| Short::of(token).map(|short| (short.low, short.high, short.len)))
            .collect();
        let short = tokens.iter().filter(|token| token.len() <= SHORT_BYTES_MAX).count();
        assert_eq!(shorts.len(), short + 1, "all but the long ones, which are none");
        let mut recent = Recent(vec![Short::default(); RECENT]);
        assert_eq!(
            (recent.has("a"), recent.has("a"), recent.has(""), recent.has("")),
            (false, true, false, false)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_was_put_in_is_found(tokens in prop::collection::hash_set("[a-z0-9]{1,12}", 0..2000)) {
            let mut builder = FilterBuilder::default();
            builder.hashes.extend(tokens.iter().map(|token| hash_of(token)));
            let mut bytes = Vec::new();
            builder.finish(12, &mut bytes);
            verify(&bytes).unwrap();
            let len = bytes.len() as u64;
            let bytes = Bytes { source: Arc::new(bytes), verify: true };
            let data = Data { bytes: &bytes, offset: 0, place: Place::of("test"), home: None };
            let whole = data.bytes.read(0, len, data.place).unwrap();
            let has = |token: &str| {
                let has = may_have(data, len, token).unwrap();
                assert_eq!(may_have_in(&whole, token), has);
                has
            };
            prop_assert!(tokens.iter().all(|token| has(token)));
            let false_hits = (0..1000).filter(|n| has(&format!("-{n}"))).count();
            prop_assert!(false_hits < 40, "{false_hits} of 1000");
        }
    }
}
