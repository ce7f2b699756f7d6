//! Joins the pieces of a line that a runtime cut, and bounds lines that are too long.
//!
//! Owns: the pieces held back until their line is whole, what stays of a line beyond the bound.
//! Does not own: reading pieces (`cri`, `docker`), when to stop waiting for the rest (the input, by `flush`).
//! Invariant: the record's own range and the other ranges together are the ranges of its pieces, each once; no
//! more than the bound (and as much again while a tail turns over) is held of any line.
//!
//! One joiner for each source and output (stdout, stderr). A record's own range is that of the piece that
//! completes it and of pieces directly before it; pieces that other output lies between are covered beside it.
//! So the ranges of a file have no gaps, and a record's name does not change when the file is read again from
//! the first piece that is not yet covered.

use std::borrow::Cow;

use sawyer_model::{SeqRange, Timestamp};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

#[cfg(test)]
mod tests;

/// Longest line in bytes that is kept whole, unless told otherwise. Of longer ones head and tail are kept.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Most ranges that the pieces of one line may lie in. A line that is scattered wider is ended there, so that
/// a program that never ends a line cannot fill memory with the places of its pieces.
pub const LINE_RANGES_MAX: usize = 4096;

/// Words that are taken away behind a cut: the end of a name, what stands between, and a value.
const CUT_WORDS_BEHIND: usize = 3;

/// How far a word that touches the cut is taken away at most ([`widen_cut`]), on either side.
pub const CUT_WORD_BYTES_MAX: usize = 16 << 10;

/// A piece of a line.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// When it was said.
    pub timestamp: Timestamp,
    /// What was said, without framing and newline.
    pub content: &'a [u8],
    /// The bytes of the source that it took, with framing and newline.
    pub range: SeqRange,
    /// Whether the line goes on.
    pub partial: bool,
}

/// A whole line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined<'a> {
    /// When its first piece was said.
    pub timestamp: Timestamp,
    /// What was said.
    pub content: Cow<'a, [u8]>,
    /// The range that is the record's own.
    pub range: SeqRange,
    /// Where further pieces lie, in order; to be given to `Batch::cover`.
    pub covered: Vec<SeqRange>,
    /// If the line was longer than the bound.
    pub cut: Option<Cut>,
}

/// What is known of a line that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its length in bytes.
    pub length: u64,
    /// XXH3 (64 bits) of the whole line.
    pub hash: u64,
}

/// Holds the pieces of a line.
pub struct Joiner {
    bytes_max: usize,
    held: Option<Held>,
}

struct Held {
    timestamp: Timestamp,
    ranges: Vec<SeqRange>,
    /// All of the line, or its head.
    head: Vec<u8>,
    long: Option<Box<Long>>,
}

/// A line that is longer than the bound.
struct Long {
    tail: Vec<u8>,
    length: u64,
    hash: Xxh3,
}

impl Joiner {
    /// A joiner that keeps lines up to `bytes_max` bytes whole; of longer ones half of that as head, half as tail.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max: bytes_max.max(2), held: None }
    }

    /// Takes the next piece; gives the line if that completes it. A whole line with nothing held before it is
    /// handed through without a copy.
    pub fn push<'a>(&mut self, piece: &Piece<'a>) -> Option<Joined<'a>> {
        let Some(held) = &mut self.held else {
            if !piece.partial {
                return Some(whole(piece, self.bytes_max));
            }
            self.held = Some(Held::new(piece, self.bytes_max));
            return None;
        };
        held.push(piece, self.bytes_max);
        let scattered = held.ranges.len() >= LINE_RANGES_MAX;
        if piece.partial && !scattered { None } else { self.flush() }
    }

    /// Gives what is held, if anything: its rest will not come (the file ended, or too much time went by).
    pub fn flush<'a>(&mut self) -> Option<Joined<'a>> {
        let bytes_max = self.bytes_max;
        self.held.take().map(|held| held.finish(bytes_max))
    }

    /// Where the held pieces start, if any are held: what lies before has been given out.
    #[must_use]
    pub fn held_from(&self) -> Option<u64> {
        self.held.as_ref().map(|held| held.ranges[0].start)
    }

    /// When the first of the held pieces was said.
    #[must_use]
    pub fn held_since(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.timestamp)
    }
}

impl std::fmt::Debug for Joiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = self.held.as_ref().map(|held| held.head.len());
        f.debug_struct("Joiner").field("bytes_max", &self.bytes_max).field("held_bytes", &held).finish()
    }
}

impl Held {
    fn new(piece: &Piece<'_>, bytes_max: usize) -> Self {
        let mut held = Self { timestamp: piece.timestamp, ranges: Vec::new(), head: Vec::new(), long: None };
        held.push(piece, bytes_max);
        held
    }

    fn push(&mut self, piece: &Piece<'_>, bytes_max: usize) {
        match self.ranges.last_mut() {
            Some(last) if last.end == piece.range.start => last.end = piece.range.end,
            _ => self.ranges.push(piece.range),
        }
        if self.long.is_none() && self.head.len() + piece.content.len() <= bytes_max {
            return self.head.extend_from_slice(piece.content);
        }
        let (head, tail_max) = (&mut self.head, bytes_max / 2);
        let long = self.long.get_or_insert_with(|| {
            let mut hash = Xxh3::new();
            hash.update(head);
            let mut tail = head.split_off(head.len().min(bytes_max - tail_max));
            tail.reserve(bytes_max);
            Box::new(Long { length: (head.len() + tail.len()) as u64, tail, hash })
        });
        long.hash.update(piece.content);
        long.length += piece.content.len() as u64;
        // A head that was short of its share when the line became long is filled first.
        let missing = (bytes_max - tail_max).saturating_sub(head.len());
        let (first, rest) = piece.content.split_at(missing.min(piece.content.len()));
        head.extend_from_slice(first);
        long.push_tail(rest, tail_max);
    }

    fn finish<'a>(mut self, bytes_max: usize) -> Joined<'a> {
        let range = self.ranges.pop().expect("a held line has a piece");
        let cut = self.long.as_ref().map(|long| Cut { length: long.length, hash: long.hash.digest() });
        let content = match self.long {
            Some(long) => {
                let tail = &long.tail[long.tail.len().saturating_sub(bytes_max / 2)..];
                head_and_tail(&self.head, tail, long.length)
            }
            None => self.head,
        };
        Joined { timestamp: self.timestamp, content: content.into(), range, covered: self.ranges, cut }
    }
}

impl Long {
    /// Adds to the tail and drops what is too much at its front, seldom enough to cost little.
    fn push_tail(&mut self, bytes: &[u8], tail_max: usize) {
        let bytes = &bytes[bytes.len().saturating_sub(tail_max)..];
        if self.tail.len() + bytes.len() > tail_max * 2 {
            self.tail.drain(..(self.tail.len() + bytes.len() - tail_max).min(self.tail.len()));
        }
        self.tail.extend_from_slice(bytes);
    }
}

/// A line that came in one piece.
fn whole<'a>(piece: &Piece<'a>, bytes_max: usize) -> Joined<'a> {
    let Piece { timestamp, content, range, .. } = *piece;
    let mut joined = Joined { timestamp, content: content.into(), range, covered: Vec::new(), cut: None };
    if content.len() > bytes_max {
        let (length, tail_max) = (content.len() as u64, bytes_max / 2);
        let (head, tail) = (&content[..bytes_max - tail_max], &content[content.len() - tail_max..]);
        joined.cut = Some(Cut { length, hash: xxh3_64(content) });
        joined.content = head_and_tail(head, tail, length).into();
    }
    joined
}

/// Head and tail of a line with a note between them, both cut so that no character is torn.
fn head_and_tail(head: &[u8], tail: &[u8], length: u64) -> Vec<u8> {
    let head = &head[..head.len() - torn_at_end(head)];
    let torn = tail.iter().take(3).take_while(|byte| is_continuation(**byte)).count();
    let tail = &tail[torn..];
    let missing = length - (head.len() + tail.len()) as u64;
    let note = note_of(missing);
    [head, note.as_bytes(), tail].concat()
}

/// Takes away what touches the cut in the text of a line that was cut: the last word before it, and the first
/// [`CUT_WORDS_BEHIND`] behind it. They may be the halves of a secret that nobody can know by half, or a secret whose
/// name was cut away. None where there is nothing to take away.
///
/// A word ends at white space or a double quote, and all together after [`CUT_WORD_BYTES_MAX`].
#[must_use]
pub fn widen_cut(text: &str) -> Option<String> {
    let (note, missing) = cut_note(text)?;
    let ends = |c: char| c.is_whitespace() || c == '"';
    let floor = text.floor_char_boundary(note.start.saturating_sub(CUT_WORD_BYTES_MAX));
    let head =
        text[floor..note.start].rfind(ends).map_or(floor, |at| text.ceil_char_boundary(floor + at + 1));
    let ceiling = text.ceil_char_boundary((note.end + CUT_WORD_BYTES_MAX).min(text.len()));
    let mut tail = note.end;
    for _ in 0..CUT_WORDS_BEHIND {
        let word = text[tail..ceiling].find(|c: char| !ends(c)).map(|at| tail + at);
        let Some(word) = word else { break };
        tail = text[word..ceiling].find(ends).map_or(ceiling, |at| word + at);
    }
    let taken = (note.start - head) + (tail - note.end);
    (taken > 0)
        .then(|| [&text[..head], &note_of(missing.saturating_add(taken as u64)), &text[tail..]].concat())
}

/// What stays of a text of which only the beginning is kept: without the word that touches the cut, as in
/// [`widen_cut`], if it is one among others.
#[must_use]
pub fn whole_words(kept: &[u8]) -> &[u8] {
    let floor = kept.len() - CUT_WORD_BYTES_MAX.min(kept.len() / 2);
    let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'"';
    kept[floor..].iter().rposition(ends).map_or(kept, |at| &kept[..=floor + at])
}

/// Where the note of a cut stands in a text, and how many bytes it says are missing.
fn cut_note(text: &str) -> Option<(std::ops::Range<usize>, u64)> {
    const WORDS: &str = " bytes cut]…";
    text.match_indices(NOTE_START).find_map(|(start, _)| {
        let rest = &text[start + NOTE_START.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let end =
            rest[digits..].starts_with(WORDS).then(|| start + NOTE_START.len() + digits + WORDS.len())?;
        Some((start..end, rest[..digits].parse().ok()?))
    })
}

const NOTE_START: &str = "…[";

fn note_of(missing: u64) -> String {
    format!("{NOTE_START}{missing} bytes cut]…")
}

/// How many bytes at the end begin a character and do not complete it.
fn torn_at_end(bytes: &[u8]) -> usize {
    let reach = bytes.iter().rev().take(4).position(|byte| !is_continuation(*byte));
    let Some(after) = reach else { return 0 };
    let wanted = match bytes[bytes.len() - 1 - after] {
        0xC0..=0xDF => 1,
        0xE0..=0xEF => 2,
        0xF0..=0xF7 => 3,
        _ => 0,
    };
    if after < wanted { after + 1 } else { 0 }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}
