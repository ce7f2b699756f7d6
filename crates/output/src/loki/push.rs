//! Requests as protobuf, after Loki's `push.proto`.
//!
//! Owns: the bytes of entries and of a request. Does not own: what is in them (`entry`), compression (`target`).
//! Invariant: entries of a stream stand in one piece of the request, in the order in which they came.
//!
//! ```text
//! PushRequest   { 1: repeated Stream }
//! Stream        { 1: labels (text)   2: repeated Entry }
//! Entry         { 1: Timestamp { 1: seconds   2: nanoseconds }   2: line (text)   3: repeated Pair }
//! Pair          { 1: name (text)   2: value (text) }
//! ```

use std::collections::HashMap;

use sawyer_model::Timestamp;

/// Field numbers with the wire types that follow: of a message or a text, and of a number.
const TEXT_1: u8 = 0x0a;
const TEXT_2: u8 = 0x12;
const TEXT_3: u8 = 0x1a;
const NUMBER_1: u8 = 0x08;
const NUMBER_2: u8 = 0x10;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Bytes of the longest time in an entry: two tags, ten bytes of seconds, five of nanoseconds.
const TIME_BYTES_MAX: usize = 17;

/// Appends an entry with its field number and length, as it stands in a stream. `pairs` are written already.
pub(super) fn write_entry(time: Timestamp, line: &[u8], pairs: &[u8], out: &mut Vec<u8>) {
    let mut stamp = [0; TIME_BYTES_MAX];
    let stamp = stamp_of(time, &mut stamp);
    let bytes = text_bytes(stamp.len()) + text_bytes(line.len()) + pairs.len();
    out.push(TEXT_2);
    write_number(bytes as u64, out);
    write_text(TEXT_1, stamp, out);
    write_text(TEXT_2, line, out);
    out.extend_from_slice(pairs);
}

/// Appends a pair of structured metadata, as it stands in an entry.
pub(super) fn write_pair(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.push(TEXT_3);
    write_number((text_bytes(name.len()) + text_bytes(value.len())) as u64, out);
    write_text(TEXT_1, name, out);
    write_text(TEXT_2, value, out);
}

/// A request of entries, each with the labels of its stream.
pub(super) fn request<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut streams: Vec<(&[u8], Vec<&[u8]>)> = Vec::new();
    let mut numbers: HashMap<&[u8], usize> = HashMap::new();
    let mut last = usize::MAX;
    for (labels, entry) in entries {
        // Most entries follow one of the same stream.
        if streams.get(last).is_none_or(|(known, _)| *known != labels) {
            last = *numbers.entry(labels).or_insert(streams.len());
            if last == streams.len() {
                streams.push((labels, Vec::new()));
            }
        }
        streams[last].1.push(entry);
    }
    let bytes_of = |(labels, entries): &(&[u8], Vec<&[u8]>)| {
        text_bytes(labels.len()) + entries.iter().map(|entry| entry.len()).sum::<usize>()
    };
    let mut out = Vec::with_capacity(streams.iter().map(|stream| text_bytes(bytes_of(stream))).sum());
    for stream in &streams {
        out.push(TEXT_1);
        write_number(bytes_of(stream) as u64, &mut out);
        write_text(TEXT_1, stream.0, &mut out);
        stream.1.iter().for_each(|entry| out.extend_from_slice(entry));
    }
    out
}

fn stamp_of(time: Timestamp, stamp: &mut [u8; TIME_BYTES_MAX]) -> &[u8] {
    let seconds = time.nanos().div_euclid(NANOS_PER_SECOND);
    let nanos = time.nanos().rem_euclid(NANOS_PER_SECOND);
    let mut at = 0;
    // Zero is what an absent number means, so it is left out, as everybody does.
    for (tag, number) in [(NUMBER_1, seconds), (NUMBER_2, nanos)].into_iter().filter(|(_, n)| *n != 0) {
        stamp[at] = tag;
        at += 1;
        let mut rest = number.cast_unsigned();
        while rest >= 0x80 {
            stamp[at] = rest as u8 | 0x80;
            rest >>= 7;
            at += 1;
        }
        stamp[at] = rest as u8;
        at += 1;
    }
    &stamp[..at]
}

fn write_text(tag: u8, text: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    write_number(text.len() as u64, out);
    out.extend_from_slice(text);
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes of a text of this length with its tag and length.
fn text_bytes(len: usize) -> usize {
    let bits = usize::BITS - (len | 1).leading_zeros();
    1 + bits.div_ceil(7) as usize + len
}
