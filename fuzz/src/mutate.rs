//! Makes an input out of others.

/// Longest input. Decoders read far more, but little that is new.
pub const INPUT_BYTES_MAX: usize = 64 << 10;

/// Numbers at which something often changes.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// Numbers by chance (xorshift64*).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        (number as usize).checked_rem(end).unwrap_or(0)
    }
}

/// Changes `input` in some places; `other` is an input to take parts of.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&str], dice: &mut Dice) {
    for _ in 0..1 << dice.below(5) {
        step(input, other, words, dice);
    }
    input.truncate(INPUT_BYTES_MAX);
}

fn step(input: &mut Vec<u8>, other: &[u8], words: &[&str], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    match dice.below(10) {
        0 => change(input, at, |byte, dice| byte ^ (1 << dice.below(8)), dice),
        1 => change(input, at, |_, dice| dice.below(256) as u8, dice),
        2 => {
            let bytes: Vec<u8> = (0..=dice.below(8)).map(|_| dice.below(256) as u8).collect();
            put_in(input, at, &bytes);
        }
        3 => {
            let end = (at + 1 + dice.below(16)).min(input.len());
            input.drain(at.min(end)..end);
        }
        4 => {
            let end = (at + 1 + dice.below(64)).min(input.len());
            let part = input[at.min(end)..end].to_vec();
            put_in(input, at, &part);
        }
        5 => {
            let edge = EDGES[dice.below(EDGES.len())];
            let bytes = if dice.below(2) == 0 { edge.to_le_bytes() } else { edge.to_be_bytes() };
            let width = 1 << dice.below(4);
            let bytes = if dice.below(2) == 0 { &bytes[..width] } else { &bytes[8 - width..] };
            overwrite(input, at, bytes);
        }
        6 if !other.is_empty() => {
            let start = dice.below(other.len());
            let end = (start + 1 + dice.below(128)).min(other.len());
            put_in(input, at, &other[start..end]);
        }
        7 if !other.is_empty() => {
            let start = dice.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[start..]);
        }
        8 if !words.is_empty() => {
            let word = words[dice.below(words.len())].as_bytes();
            if dice.below(2) == 0 { put_in(input, at, word) } else { overwrite(input, at, word) }
        }
        _ => change(input, at, |byte, dice| byte.wrapping_add(dice.below(9) as u8).wrapping_sub(4), dice),
    }
}

fn change(input: &mut [u8], at: usize, by: impl Fn(u8, &mut Dice) -> u8, dice: &mut Dice) {
    if let Some(byte) = input.get_mut(at) {
        *byte = by(*byte, dice);
    }
}

fn put_in(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

fn overwrite(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = (at + bytes.len()).min(input.len());
    input.splice(at..end, bytes.iter().copied());
}
