//! Choosing how texts are kept, and writing them so.
//!
//! Owns: the choice.
//! Invariant: the choice depends on nothing but the texts, so that equal records make equal bytes.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    CONSTANT, DICTIONARY, FIXED_FRAME_ROWS, FRAME_BYTES_MAX, FRAME_ROWS_MAX, FRAMES, HEX, HEX_BYTES_MAX,
    HEX_BYTES_MIN, MADE, SHAPED, Texts, UUID, UUID_BYTES, UUID_DIGITS, UUID_HYPHENS,
};
use crate::bytes::{Put, begins, checksum};
use crate::ints::{self, Packing};
use crate::made::Learned;
use crate::zip;

/// Entries of the largest dictionary: more make its decoding dearer than it saves.
const DICTIONARY_ENTRIES_MAX: usize = 16 << 10;
/// After so many texts it is looked whether a dictionary is still likely.
const DICTIONARY_TRIAL_ROWS: usize = 2048;

/// Writes texts; what is small goes to `head`, what is bulky to `data`.
pub(crate) fn encode(packing: Packing, texts: &Texts, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    encode_by(packing, Dictionary::of(texts).as_ref(), texts, head, data);
}

/// The same for who has tried to make a dictionary of them.
pub(crate) fn encode_by(
    packing: Packing,
    dictionary: Option<&Dictionary>,
    texts: &Texts,
    head: &mut Vec<u8>,
    data: &mut Vec<u8>,
) {
    if let Some(dictionary) = dictionary {
        return dictionary.put(packing, texts, head);
    }
    if let Some((uuid, width)) = fixed_width(texts) {
        return put_fixed(texts, uuid, width, head, data);
    }
    put_frames(texts, packing == Packing::Bits, head, data);
}

/// The same for texts that will soon be written again: nothing is compressed.
pub(crate) fn encode_for_now(texts: &Texts, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    match Dictionary::of(texts) {
        Some(dictionary) => dictionary.put(Packing::Bits, texts, head),
        None => put_frames(texts, false, head, data),
    }
}

/// Writes texts that are made of the other fields of their records.
pub(crate) fn put_made(packing: Packing, learned: &Learned<'_>, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    head.put_u8(MADE);
    let (mut plain, mut stored) = (Vec::new(), Vec::new());
    learned.templates.put(&mut plain);
    match packing {
        Packing::Bits => zip::put_zipped(&mut stored, &plain),
        Packing::Planes => zip::put_plain(&mut stored, &plain),
    }
    head.put_varint(plain.len() as u64);
    head.put_varint(stored.len() as u64);
    head.extend_from_slice(&stored);
    ints::encode_as(packing, head, learned.codes);
    head.put_varint(learned.holes.len() as u64);
    if learned.holes.len() > 0 {
        encode(packing, learned.holes, head, data);
    }
}

/// Says that the texts lie with those of other blocks.
pub(crate) fn put_shaped(head: &mut Vec<u8>) {
    head.put_u8(SHAPED);
}

/// Entries that are found without a hash of all their bytes.
const LATELY: usize = 256;

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

/// Texts of which there are few different ones.
#[derive(Debug)]
pub(crate) struct Dictionary {
    /// For each entry, the first text that has it.
    entries: Vec<usize>,
    codes: Vec<i64>,
}

impl Dictionary {
    /// A dictionary, if it is worth it.
    pub(crate) fn of(texts: &Texts) -> Option<Self> {
        let entries_max = DICTIONARY_ENTRIES_MAX.min(texts.len().div_ceil(2));
        let mut table: HashTable<(u64, u32)> = HashTable::new();
        let mut found = Self { entries: Vec::new(), codes: Vec::with_capacity(texts.len()) };
        let mut entry_bytes = 0;
        let mut last: Option<(&[u8], i64)> = None;
        let mut lately = [u32::MAX; LATELY];
        let is_same = |one: &[u8], other: &[u8]| one.len() == other.len() && begins(one, other);
        for (at, text) in texts.iter_bytes().enumerate() {
            if let Some((_, code)) = last.filter(|(last, _)| is_same(text, last)) {
                found.codes.push(code);
                continue;
            }
            let entries = &mut found.entries;
            let place = lately_of(text);
            let known = entries.get(lately[place] as usize).map(|entry| texts.get(*entry).as_bytes());
            if known.is_some_and(|known| is_same(text, known)) {
                let code = i64::from(lately[place]);
                found.codes.push(code);
                last = Some((text, code));
                continue;
            }
            let hash = xxh3_64(text);
            let is_it = |(known, code): &(u64, u32)| {
                *known == hash && texts.get(entries[*code as usize]).as_bytes() == text
            };
            let known = table.find(hash, is_it).map(|(_, code)| *code);
            let code = known.unwrap_or_else(|| {
                let code = entries.len() as u32;
                entries.push(at);
                entry_bytes += text.len();
                table.insert_unique(hash, (hash, code), |(hash, _)| *hash);
                code
            });
            lately[place] = code;
            found.codes.push(i64::from(code));
            last = Some((text, i64::from(code)));
            let hopeless = at == DICTIONARY_TRIAL_ROWS && found.entries.len() * 5 > at * 4;
            if hopeless || found.entries.len() > entries_max {
                return None;
            }
        }
        let worth_it = found.entries.len() == 1 || entry_bytes * 2 <= texts.bytes();
        (worth_it && !found.entries.is_empty()).then_some(found)
    }

    /// The different ones of the texts.
    pub(crate) fn entries<'t>(&self, texts: &'t Texts) -> impl Iterator<Item = &'t str> {
        self.entries.iter().map(|at| texts.get(*at))
    }

    fn put(&self, packing: Packing, texts: &Texts, head: &mut Vec<u8>) {
        if let [only] = self.entries[..] {
            head.put_u8(CONSTANT);
            head.put_text(texts.get(only));
            return;
        }
        let mut entries = Texts::default();
        for at in &self.entries {
            entries.push(texts.get(*at));
        }
        let mut frame = Vec::new();
        entries.put_frame(&mut frame, 0..entries.len(), packing == Packing::Bits);
        head.put_u8(DICTIONARY);
        head.put_varint(entries.len() as u64);
        head.put_varint(frame.len() as u64);
        head.extend_from_slice(&frame);
        ints::encode_as(packing, head, &self.codes);
    }
}

/// The width in bytes, if all texts are hexadecimal digits of one length, or UUIDs.
fn fixed_width(texts: &Texts) -> Option<(bool, usize)> {
    let len = texts.iter().next()?.len();
    let digits = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if (HEX_BYTES_MIN * 2..=HEX_BYTES_MAX * 2).contains(&len)
        && len.is_multiple_of(2)
        && texts.iter().all(|text| text.len() == len && digits(text))
    {
        return Some((false, len / 2));
    }
    let uuid = |text: &str| {
        text.len() == UUID_DIGITS
            && text.bytes().enumerate().all(|(at, byte)| {
                if UUID_HYPHENS.contains(&at) {
                    byte == b'-'
                } else {
                    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
                }
            })
    };
    texts.iter().all(uuid).then_some((true, UUID_BYTES))
}

fn put_fixed(texts: &Texts, uuid: bool, width: usize, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    let start = data.len();
    for text in texts.iter() {
        put_digits_as_bytes(text, data);
    }
    if uuid {
        head.put_u8(UUID);
    } else {
        head.put_u8(HEX);
        head.put_u8(width as u8);
    }
    for frame in data[start..].chunks(FIXED_FRAME_ROWS * width) {
        head.put_u32(checksum(frame));
    }
}

fn put_digits_as_bytes(text: &str, out: &mut Vec<u8>) {
    let mut high = None;
    for byte in text.bytes().filter(|byte| *byte != b'-') {
        let digit = if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 };
        match high.take() {
            None => high = Some(digit << 4),
            Some(high) => out.push(high | digit),
        }
    }
}

fn put_frames(texts: &Texts, compress: bool, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    let frames = frame_ranges(texts);
    head.put_u8(FRAMES);
    head.put_varint(frames.len() as u64);
    for rows in frames {
        let start = data.len();
        head.put_varint(rows.len() as u64);
        texts.put_frame(data, rows, compress);
        head.put_varint((data.len() - start) as u64);
        head.put_u32(checksum(&data[start..]));
    }
}

fn frame_ranges(texts: &Texts) -> Vec<std::ops::Range<usize>> {
    let mut frames = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, text) in texts.iter().enumerate() {
        bytes += text.len();
        if at + 1 - start >= FRAME_ROWS_MAX || bytes >= FRAME_BYTES_MAX {
            frames.push(start..at + 1);
            (start, bytes) = (at + 1, 0);
        }
    }
    if start < texts.len() {
        frames.push(start..texts.len());
    }
    frames
}
