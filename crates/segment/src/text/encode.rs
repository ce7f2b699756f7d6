//! Choosing how texts are kept, and writing them so.
//!
//! Owns: the choice.
//! Invariant: the choice depends on nothing but the texts, so that equal records make equal bytes.

use super::{
    Dictionary, FIXED_FRAME_ROWS, FRAME_BYTES_MAX, FRAME_ROWS_MAX, FRAMES, HEX, HEX_BYTES_MAX, HEX_BYTES_MIN,
    MADE, SHAPED, Strings, Texts, UUID, UUID_BYTES, UUID_DIGITS, UUID_HYPHENS,
};
use crate::bytes::{Put, checksum};
use crate::ints::{self, Packing};
use crate::made::Learned;
use crate::zip;

/// Writes texts; what is small goes to `head`, what is bulky to `data`.
pub(crate) fn encode(packing: Packing, texts: &Texts, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    match Dictionary::of(texts) {
        Some(dictionary) => dictionary.put(packing, head),
        None => encode_apart(packing, texts, head, data),
    }
}

/// The same for strings that were settled.
pub(crate) fn encode_strings(packing: Packing, strings: &Strings, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    match strings.dictionary() {
        Some(dictionary) => dictionary.put(packing, head),
        None if strings.are_untried() => encode(packing, strings.texts(), head, data),
        None => encode_apart(packing, strings.texts(), head, data),
    }
}

/// The same for texts without a dictionary.
fn encode_apart(packing: Packing, texts: &Texts, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    if let Some((uuid, width)) = fixed_width(texts) {
        return put_fixed(texts, uuid, width, head, data);
    }
    put_frames(texts, packing == Packing::Bits, head, data);
}

/// The same for texts that will soon be written again: nothing is compressed.
pub(crate) fn encode_for_now(texts: &Texts, head: &mut Vec<u8>, data: &mut Vec<u8>) {
    match Dictionary::of(texts) {
        Some(dictionary) => dictionary.put(Packing::Bits, head),
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
