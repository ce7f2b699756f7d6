//! Personal data: e-mail addresses, numbers of cards, residents and phones.
//!
//! Owns: their forms, and the checks by which a number is told from others: check digits, dates, prefixes.
//! Does not own: credentials.
//! Invariant: numbers stand by themselves; a part of a longer number or word is never one.

use std::ops::Range;

use super::{Hit, Kind};

/// Digits of the longest number of interest, and of the shortest.
const DIGITS_MAX: usize = 19;
const DIGITS_MIN: usize = 9;

/// Most groups that such a number is written in.
const GROUPS_MAX: usize = 5;

/// Finds what is wanted.
pub(super) fn find(text: &str, wanted: impl Fn(Kind) -> bool, hits: &mut Vec<Hit>) {
    if wanted(Kind::Email) {
        for at in memchr::memchr_iter(b'@', text.as_bytes()) {
            hits.extend(email(text, at).map(|range| Hit::new(range, Kind::Email)));
        }
    }
    let numbers =
        [Kind::ResidentNumber, Kind::PhoneNumber, Kind::CardNumber].map(|kind| wanted(kind).then_some(kind));
    if numbers.iter().any(Option::is_some) {
        find_numbers(text, numbers, hits);
    }
}

fn email(text: &str, at: usize) -> Option<Range<usize>> {
    let local = |c: char| c.is_ascii_alphanumeric() || "._%+-".contains(c);
    let start = text[..at].trim_end_matches(local).len();
    let host = text[at + 1..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'));
    let host = &text[at + 1..host.map_or(text.len(), |len| at + 1 + len)];
    let host = host.trim_end_matches(['.', '-']);
    let (name, top) = host.rsplit_once('.')?;
    let fits = start < at
        && !text[start..at].starts_with('.')
        && !name.is_empty()
        && !name.starts_with(['.', '-'])
        && top.len() >= 2
        && top.bytes().all(|byte| byte.is_ascii_alphabetic());
    fits.then(|| start..at + 1 + host.len())
}

/// Digits in groups, as they are written.
struct Number<'a> {
    digits: &'a [u8],
    /// Lengths of the groups.
    groups: &'a [usize],
    plus: bool,
}

/// Finds numbers in runs of digits with one space, dash or dot between them. A space may also end a number.
fn find_numbers(text: &str, wanted: [Option<Kind>; 3], hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let mut run: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) {
        at = read(bytes, start, &mut run);
        let mut first = 0;
        while first < run.len() {
            let longest = run.len().min(first + GROUPS_MAX);
            let found = (first + 1..=longest).rev().find_map(|end| {
                let (range, kind) = number(text, &run[first..end], &wanted)?;
                Some((end, Hit::new(range, kind)))
            });
            match found {
                Some((end, hit)) => {
                    hits.push(hit);
                    first = end;
                }
                None => first += 1,
            }
        }
    }
}

/// Reads groups of digits from `start` on; gives the end of the last one.
fn read(bytes: &[u8], start: usize, run: &mut Vec<Range<usize>>) -> usize {
    run.clear();
    let mut at = start;
    loop {
        let len = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        run.push(at..at + len);
        at += len;
        let more = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !(more && matches!(bytes[at], b' ' | b'-' | b'.')) {
            return at;
        }
        at += 1;
    }
}

/// What these groups are together, if they stand by themselves.
fn number(text: &str, groups: &[Range<usize>], wanted: &[Option<Kind>; 3]) -> Option<(Range<usize>, Kind)> {
    let count: usize = groups.iter().map(Range::len).sum();
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&count) {
        return None;
    }
    let (first, last) = (groups.first()?, groups.last()?);
    let plus = text[..first.start].ends_with('+');
    let range = first.start - usize::from(plus)..last.end;
    if !stands_alone(text, &range) {
        return None;
    }
    let (mut digits, mut lens) = ([0; DIGITS_MAX], [0; GROUPS_MAX]);
    let written = groups.iter().flat_map(|group| &text.as_bytes()[group.clone()]);
    digits.iter_mut().zip(written).for_each(|(digit, byte)| *digit = byte - b'0');
    lens.iter_mut().zip(groups).for_each(|(len, group)| *len = group.len());
    let number = Number { digits: &digits[..count], groups: &lens[..groups.len()], plus };
    let kind = wanted.iter().flatten().find(|kind| match kind {
        Kind::ResidentNumber => is_resident(&number),
        Kind::PhoneNumber => is_phone(&number),
        _ => is_card(&number),
    });
    kind.map(|kind| (range, *kind))
}

fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let before = text[..range.start].chars().next_back();
    let after = text[range.end..].chars().next();
    let joins = |c: Option<char>| {
        c.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | '+'))
    };
    // A full stop ends a sentence.
    let stop = after == Some('.') && !text[range.end + 1..].starts_with(|c: char| c.is_ascii_alphanumeric());
    // What follows a digit and a colon is a part of a time.
    let time = before == Some(':') && text[..range.start - 1].ends_with(|c: char| c.is_ascii_digit());
    !joins(before) && !time && (stop || !joins(after))
}

/// `900101-1234567`: a date, the century and sex, and until 2020 a check digit. Without the dash only with the
/// check digit; with it, numbers given out since are taken by their date.
fn is_resident(number: &Number<'_>) -> bool {
    let digits = number.digits;
    if digits.len() != 13 || number.plus || !(*number.groups == [6, 7] || *number.groups == [13]) {
        return false;
    }
    let two = |at: usize| u32::from(digits[at]) * 10 + u32::from(digits[at + 1]);
    let (year, month, day) = (two(0), two(2), two(4));
    let century = match digits[6] {
        1 | 2 | 5 | 6 => 1900,
        3 | 4 | 7 | 8 => 2000,
        9 | 0 => 1800,
        _ => return false,
    };
    let year = century + year;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return false,
    };
    if day == 0 || day > days {
        return false;
    }
    let weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5];
    let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    let foreign = matches!(digits[6], 5..=8);
    let check = (11 - sum % 11 + if foreign { 2 } else { 0 }) % 10;
    check == u32::from(digits[12]) || number.groups.len() == 2
}

/// `010-1234-5678`, `02-123-4567`, `+82-10-1234-5678`, `+1 202 555 0123`.
fn is_phone(number: &Number<'_>) -> bool {
    let Number { digits, groups, .. } = *number;
    if number.plus {
        return digits[0] != 0 && (9..=15).contains(&digits.len());
    }
    let mobile = digits[0] == 0 && digits[1] == 1 && matches!(digits[2], 0 | 1 | 6..=9);
    let grouped = groups.len() == 3 && groups[2] == 4 && matches!(groups[1], 3 | 4);
    match digits.len() {
        10 | 11 if mobile => groups.len() == 1 && digits.len() == 11 || grouped && groups[0] == 3,
        9 | 10 if digits[..2] == [0, 2] => grouped && groups[0] == 2,
        10..=12 if digits[0] == 0 && matches!(digits[1], 3..=7) => grouped && matches!(groups[0], 3 | 4),
        _ => false,
    }
}

/// By the prefixes of the networks, their lengths, and the check digit (ISO/IEC 7812).
fn is_card(number: &Number<'_>) -> bool {
    let Number { digits, groups, .. } = *number;
    if number.plus || !(14..=19).contains(&digits.len()) {
        return false;
    }
    let four = digits[..4].iter().fold(0, |sum, digit| sum * 10 + u32::from(*digit));
    let known = match digits.len() {
        14 => matches!(four / 10, 300..=305) || matches!(four / 100, 36 | 38),
        15 => matches!(four / 100, 34 | 37),
        16 => {
            matches!(four / 1000, 4)
                || matches!(four / 100, 51..=55 | 62 | 65 | 94)
                || matches!(four, 2221..=2720 | 3528..=3589 | 6011 | 6440..=6499)
        }
        _ => matches!(four / 100, 62),
    };
    let fours = groups.len() == 1 || groups[0] == 4 && groups[1..].iter().all(|len| *len >= 3);
    known && fours && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(*digit);
            if at % 2 == 0 {
                digit
            } else if digit > 4 {
                digit * 2 - 9
            } else {
                digit * 2
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
