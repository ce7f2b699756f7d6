//! How the variables of a shape are kept.
//!
//! Owns: the choice for the values that one variable has in all texts of a group, and their numbers.
//! Invariant: a way of keeping is only chosen if it makes each of the values again byte by byte.

use std::ops::Range;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::{DIGITS_MAX, HEX_DIGITS_MAX, ShapesBuilder, Slot, kind};
use crate::bits::width_of;
use crate::bytes::Put;

/// Shorter hexadecimal texts are more likely words and numbers.
const HEX_DIGITS_MIN: usize = 6;
/// Numbers with at most so many different ones are kept as entries, if that is shorter.
const FEW_NUMBERS_MAX: usize = 32;
const UUID_LEN: usize = 36;
const UUID_DIGITS: usize = 32;
/// Digits that fit into 64 bits.
const DIGITS_PER_NUMBER: usize = 16;

/// How the values of a variable are kept.
#[derive(Debug)]
pub(super) struct Chosen {
    /// What all values start and end with; no part of the slot.
    pub(super) prefix: usize,
    pub(super) suffix: usize,
    /// None if the prefix is all there is.
    pub(super) slot: Option<Written>,
}

/// A slot of a shape that is being written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) slot: Slot,
    /// The numbers of a list of entries.
    pub(super) list: Vec<u32>,
    /// For each value the number that is written, or several for one of many digits.
    pub(super) numbers: Vec<u64>,
}

/// The different texts that slots have.
#[derive(Default)]
pub(super) struct Entries {
    table: HashTable<(u64, u32, Range<usize>)>,
    texts: String,
    /// For each entry its place among those of the slot at hand.
    places: Vec<u32>,
}

impl Entries {
    fn number(&mut self, text: &str, builder: &mut ShapesBuilder) -> u32 {
        let Self { table, texts, .. } = self;
        let hash = xxh3_64(text.as_bytes());
        let known = table.find(hash, |(known, _, at)| *known == hash && texts[at.clone()] == *text);
        if let Some((_, number, _)) = known {
            return *number;
        }
        let start = texts.len();
        texts.push_str(text);
        let number = builder.add_entry(text);
        table.insert_unique(hash, (hash, number, start..texts.len()), |(hash, _, _)| *hash);
        number
    }

    /// Chooses how to keep these values.
    pub(super) fn choose(&mut self, values: &[&str], builder: &mut ShapesBuilder) -> Chosen {
        let first = values[0];
        if values.iter().all(|value| *value == first) {
            return Chosen { prefix: first.len(), suffix: 0, slot: None };
        }
        if let Some(slot) = self.digits(values, builder) {
            return Chosen { prefix: 0, suffix: 0, slot: Some(slot) };
        }
        let (prefix, suffix) = affixes(values);
        if prefix + suffix > 0 {
            let cores: Vec<&str> = values.iter().map(|value| &value[prefix..value.len() - suffix]).collect();
            if let Some(slot) = self.digits(&cores, builder) {
                return Chosen { prefix, suffix, slot: Some(slot) };
            }
        }
        let numbers: Vec<u32> = values.iter().map(|value| self.number(value, builder)).collect();
        Chosen { prefix: 0, suffix: 0, slot: Some(self.entries(&numbers)) }
    }

    /// How to keep values that are all numbers or ids.
    fn digits(&mut self, values: &[&str], builder: &mut ShapesBuilder) -> Option<Written> {
        let in_digits = |slot| Written { slot, list: Vec::new(), numbers: digit_numbers(values) };
        let length = values[0].len();
        let same_length = values.iter().all(|value| value.len() == length);
        if let Some(numbers) = decimals(values) {
            return Some(
                self.few_numbers(values, &numbers, builder).unwrap_or_else(|| above_least(numbers, None)),
            );
        }
        if same_length && length <= DIGITS_MAX && values.iter().all(|value| all_digits(value)) {
            let numbers: Option<Vec<u64>> = values.iter().map(|value| value.parse().ok()).collect();
            return numbers.map(|numbers| above_least(numbers, Some(length as u32)));
        }
        if same_length && length == UUID_LEN && values.iter().all(|value| is_uuid(value)) {
            return Some(in_digits(Slot::Uuid));
        }
        let is_hex = |value: &&str| value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let within = (HEX_DIGITS_MIN..=HEX_DIGITS_MAX).contains(&length);
        (same_length && within && values.iter().all(is_hex))
            .then(|| in_digits(Slot::Hex { digits: length as u32 }))
    }

    /// Numbers of which there are few different ones, such as statuses, as entries.
    fn few_numbers(
        &mut self,
        values: &[&str],
        numbers: &[u64],
        builder: &mut ShapesBuilder,
    ) -> Option<Written> {
        /// What an entry takes, about, in bits.
        const ENTRY_BITS: usize = 48;
        let most = (values.len() / 8).min(FEW_NUMBERS_MAX);
        let mut different = Vec::with_capacity(most + 1);
        for number in numbers {
            if !different.contains(number) {
                different.push(*number);
                if different.len() > most {
                    return None;
                }
            }
        }
        let (least, greatest) = bounds(numbers);
        let plain = width_of(greatest - least) as usize * values.len();
        let listed =
            width_of(different.len() as u64 - 1) as usize * values.len() + different.len() * ENTRY_BITS;
        if listed >= plain {
            return None;
        }
        let entry_numbers: Vec<u32> = values.iter().map(|value| self.number(value, builder)).collect();
        Some(self.entries(&entry_numbers))
    }

    /// Entries by their numbers, or by their places in a list where that is shorter.
    fn entries(&mut self, values: &[u32]) -> Written {
        /// What an entry takes in a list, about, in bits.
        const LISTED_BITS: usize = 10;
        const NOT_HERE: u32 = u32::MAX;
        let most = values.iter().copied().max().unwrap_or(0);
        if self.places.len() <= most as usize {
            self.places.resize(most as usize + 1, NOT_HERE);
        }
        let places = &mut self.places;
        let mut list = Vec::new();
        for value in values {
            let place = &mut places[*value as usize];
            if *place == NOT_HERE {
                *place = 0;
                list.push(*value);
            }
        }
        list.sort_unstable();
        let (least, width) = (list[0], width_of(u64::from(most - list[0])));
        let listed_width = width_of(list.len() as u64 - 1);
        let listed = listed_width as usize * values.len() + list.len() * LISTED_BITS;
        let is_listed = listed < width as usize * values.len();
        if is_listed {
            (0..).zip(&list).for_each(|(place, value)| places[*value as usize] = place);
        }
        let numbers = values
            .iter()
            .map(|value| u64::from(if is_listed { places[*value as usize] } else { value - least }));
        let numbers = numbers.collect();
        list.iter().for_each(|value| places[*value as usize] = NOT_HERE);
        if is_listed {
            return Written { slot: Slot::Listed { list: 0..0, width: listed_width }, list, numbers };
        }
        Written { slot: Slot::Entry { least, width }, list: Vec::new(), numbers }
    }
}

/// What all values start and end with that is no digit, but for `0x`.
fn affixes(values: &[&str]) -> (usize, usize) {
    let first = values[0].as_bytes();
    let shortest = values.iter().map(|value| value.len()).min().unwrap_or(0);
    let mut prefix = 0;
    if values.iter().all(|value| value.starts_with("0x") && value.len() > 2) {
        prefix = 2;
    }
    let is_letter = |byte: u8| byte.is_ascii_alphabetic();
    while prefix < shortest
        && is_letter(first[prefix])
        && values.iter().all(|value| value.as_bytes()[prefix] == first[prefix])
    {
        prefix += 1;
    }
    let mut suffix = 0;
    let last = |value: &str, suffix: usize| value.as_bytes()[value.len() - 1 - suffix];
    while prefix + suffix < shortest
        && is_letter(last(values[0], suffix))
        && values.iter().all(|value| last(value, suffix) == last(values[0], suffix))
    {
        suffix += 1;
    }
    if prefix + suffix == shortest { (0, 0) } else { (prefix, suffix) }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number, if this is how it is written.
#[inline]
fn decimal(text: &str) -> Option<u64> {
    let text = text.as_bytes();
    let canonical = (1..=DIGITS_MAX).contains(&text.len()) && (text.len() == 1 || text[0] != b'0');
    if !canonical {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number * 10 + u64::from(digit))
    })
}

/// The numbers, if all values are written so.
fn decimals(values: &[&str]) -> Option<Vec<u64>> {
    decimal(values[0])?;
    let mut numbers = Vec::with_capacity(values.len());
    for value in values {
        numbers.push(decimal(value)?);
    }
    Some(numbers)
}

/// Hexadecimal digits as numbers, the first one lowest.
fn digit_numbers(values: &[&str]) -> Vec<u64> {
    let mut numbers = Vec::with_capacity(values.len() * values[0].len().div_ceil(DIGITS_PER_NUMBER));
    for value in values {
        let (mut number, mut bits) = (0u64, 0);
        for byte in value.bytes().filter(|byte| *byte != b'-') {
            let digit = if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 };
            number |= u64::from(digit) << bits;
            bits += 4;
            if bits == u64::BITS {
                numbers.push(number);
                (number, bits) = (0, 0);
            }
        }
        if bits > 0 {
            numbers.push(number);
        }
    }
    numbers
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    })
}

fn bounds(numbers: &[u64]) -> (u64, u64) {
    numbers.iter().fold((u64::MAX, 0), |(least, most), number| (least.min(*number), most.max(*number)))
}

fn above_least(mut numbers: Vec<u64>, digits: Option<u32>) -> Written {
    let (least, most) = bounds(&numbers);
    numbers.iter_mut().for_each(|number| *number -= least);
    let width = width_of(most - least);
    let slot = match digits {
        Some(digits) => Slot::Padded { digits: digits as u16, least, width: width as u16 },
        None => Slot::Decimal { least, width },
    };
    Written { slot, list: Vec::new(), numbers }
}

impl Written {
    /// How many numbers are written for each value.
    pub(super) fn numbers_per_value(&self) -> usize {
        match self.slot {
            Slot::Hex { digits } => (digits as usize).div_ceil(DIGITS_PER_NUMBER),
            Slot::Uuid => UUID_DIGITS / DIGITS_PER_NUMBER,
            _ => 1,
        }
    }

    /// How many bits each of them has.
    pub(super) fn widths(&self) -> impl Iterator<Item = u32> {
        let bits = self.slot.bits();
        (0..self.numbers_per_value()).map(move |number| (bits - number * 64).min(64) as u32)
    }

    /// Appends the piece of a shape.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match &self.slot {
            Slot::Decimal { least, width } => {
                out.put_u8(kind::DECIMAL);
                out.put_varint(*least);
                out.put_u8(*width as u8);
            }
            Slot::Padded { digits, least, width } => {
                out.put_u8(kind::PADDED);
                out.put_varint(u64::from(*digits));
                out.put_varint(*least);
                out.put_u8(*width as u8);
            }
            Slot::Hex { digits } => {
                out.put_u8(kind::HEX);
                out.put_varint(u64::from(*digits));
            }
            Slot::Uuid => out.put_u8(kind::UUID),
            Slot::Entry { least, width } => {
                out.put_u8(kind::ENTRY);
                out.put_varint(u64::from(*least));
                out.put_u8(*width as u8);
            }
            Slot::Listed { width, .. } => {
                out.put_u8(kind::LISTED);
                out.put_varint(self.list.len() as u64);
                self.list.iter().for_each(|entry| out.put_varint(u64::from(*entry)));
                out.put_u8(*width as u8);
            }
        }
    }
}
