//! Level and time of plain lines.
//!
//! Owns: the places at the start of a line where programs put their level.
//! Does not own: names of levels in fields (`roles`), formats of times (`time`).
//! Invariant: a word counts as a level only where nothing but times, numbers, brackets and names like those of
//! hosts and files stand before it; a level within a sentence is none. Lines of stack traces have none.

mod words;

use sawyer_model::{Level, Timestamp, ValueRef, names};

use crate::fields::FieldSink;
use crate::time;
use words::{Word, Words, lower_level, short_level, upper_level, word_level};

/// How much of a line is looked at, in bytes. Levels stand at the start.
const HEAD_BYTES_MAX: usize = 128;

/// Most words before a level.
const WORDS_MAX: usize = 10;

/// Gives `level` and `timestamp` where the text begins with them.
pub(super) fn read(text: &str, observed: Timestamp, sink: &mut impl FieldSink) {
    let head = head(text);
    let start = head.strip_prefix('[').unwrap_or(head);
    if let Some((time, _)) = time::prefix(start, observed) {
        sink.field(names::TIMESTAMP, ValueRef::Timestamp(time));
    }
    if let Some(level) = detect(head.as_bytes()) {
        sink.field(names::LEVEL, ValueRef::Str(level.name()));
    }
}

/// The level at the beginning of the text.
pub(super) fn of_line(text: &str) -> Option<Level> {
    detect(head(text).as_bytes())
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(HEAD_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn detect(head: &[u8]) -> Option<Level> {
    match head.first()? {
        b' ' | b'\t' => return None,
        b'<' => return priority(head),
        _ => {}
    }
    let found = match after_syslog_header(head) {
        Some(rest) => leading(rest),
        None => leading(head),
    };
    found.or_else(|| keyed(head))
}

/// `<11>`: facility times eight plus severity (RFC 5424).
fn priority(head: &[u8]) -> Option<Level> {
    let end = head.iter().take(5).position(|byte| *byte == b'>')?;
    let number: u8 = str::from_utf8(&head[1..end]).ok()?.parse().ok()?;
    if number > 191 {
        return None;
    }
    Level::from_syslog(number % 8)
}

/// What follows `Nov 20 10:00:00 host program[7]: `.
fn after_syslog_header(head: &[u8]) -> Option<&[u8]> {
    let text = str::from_utf8(head).ok()?;
    if !text.as_bytes().first()?.is_ascii_uppercase() {
        return None;
    }
    let (_, length) = time::prefix(text, Timestamp::EPOCH)?;
    let mut parts = text.get(length..)?.strip_prefix(' ')?.splitn(3, ' ');
    let (host, tag, rest) = (parts.next()?, parts.next()?, parts.next()?);
    (!host.is_empty() && tag.ends_with(':')).then_some(rest.as_bytes())
}

/// The level that the first words tell, if only what may stand before a level stands before it.
fn leading(head: &[u8]) -> Option<Level> {
    let mut words = Words::new(head);
    let mut seen = Seen::default();
    for at in 0..WORDS_MAX {
        let word = words.next()?;
        let found = match word {
            Word::Group(inside) => group(inside, &mut seen),
            Word::Bare { text, after } => bare(text, after, at, &mut seen),
        };
        match found {
            Step::Level(level) => return Some(level),
            Step::On => {}
            Step::Stop => return None,
        }
    }
    None
}

enum Step {
    Level(Level),
    On,
    Stop,
}

/// What stood before a word.
#[derive(Default)]
struct Seen {
    time: bool,
    numbers: usize,
    names: usize,
    redis: bool,
}

impl Seen {
    /// Takes a word that is made of digits for what it is.
    fn number(&mut self, text: &[u8]) {
        if is_clock(text) {
            self.time = true;
            self.numbers = 0;
        } else {
            self.numbers += 1;
        }
    }
}

/// `[error]`, `[ INFO]`, `[core:error]`, `[2024-01-01T00:00:00Z WARN my_crate]`, or anything else in brackets.
fn group(inside: &[u8], seen: &mut Seen) -> Step {
    let inside = inside.trim_ascii();
    let bracketed = |word: &[u8]| match word {
        b"note" | b"Note" => Some(Level::Info),
        b"alert" | b"ALERT" => Some(Level::Fatal),
        word => word_level(word),
    };
    if let Some(level) = bracketed(inside) {
        return Step::Level(level);
    }
    if inside.first().is_some_and(u8::is_ascii_digit)
        && let Some(level) = leading(inside)
    {
        return Step::Level(level);
    }
    if seen.time
        && let Some(colon) = memchr::memrchr(b':', inside)
        && let Some(level) = bracketed(&inside[colon + 1..])
    {
        return Step::Level(level);
    }
    seen.time |= inside.split(|byte| *byte == b' ').any(is_clock);
    Step::On
}

fn bare(text: &[u8], after: &[u8], at: usize, seen: &mut Seen) -> Step {
    let name = text.split(|byte| *byte == b':').next().unwrap_or(text);
    let colon = name.len() < text.len();
    // PostgreSQL's word for what it wants kept.
    let found = if text == b"LOG:" && seen.time { Some(Level::Info) } else { upper_level(name) };
    if let Some(level) = found {
        return if seen.names == 0 || seen.time { Step::Level(level) } else { Step::Stop };
    }
    let placed = at == 0 || seen.time && seen.names == 0;
    if placed && let Some(level) = lower_level(name) {
        let ends_word = colon && name.len() + 1 == text.len();
        let set_apart = seen.time && (after.starts_with(b"\t") || after.starts_with(b"  "));
        if ends_word || set_apart {
            return Step::Level(level);
        }
    }
    if at == 0
        && after.first() == Some(&b'[')
        && after.get(1).is_some_and(u8::is_ascii_digit)
        && let Some(level) = short_level(text)
    {
        return Step::Level(level);
    }
    if seen.time
        && let Some(level) = letter(text, after, seen)
    {
        return Step::Level(level);
    }
    other(text, at, seen)
}

/// A letter for a level, where only two programs put it: `I | ` of capnslog, `1702  8671 D Tag` of Android.
fn letter(text: &[u8], after: &[u8], seen: &Seen) -> Option<Level> {
    let [letter] = text else { return None };
    if seen.redis && seen.names == 0 {
        return match letter {
            b'.' => Some(Level::Debug),
            b'*' => Some(Level::Info),
            b'#' => Some(Level::Warn),
            _ => None,
        };
    }
    let of_android = seen.numbers == 2 && seen.names == 0;
    if !of_android && !after.starts_with(b" | ") {
        return None;
    }
    match letter {
        b'V' | b'T' => Some(Level::Trace),
        b'D' => Some(Level::Debug),
        b'I' | b'N' => Some(Level::Info),
        b'W' => Some(Level::Warn),
        b'E' => Some(Level::Error),
        b'F' | b'C' => Some(Level::Fatal),
        _ => None,
    }
}

/// A word that is no level: whether one may still follow.
fn other(text: &[u8], at: usize, seen: &mut Seen) -> Step {
    let first = text.first().copied().unwrap_or(b' ');
    if first.is_ascii_digit() {
        seen.redis |= at == 0 && matches!(text, [b'0'..=b'9', .., b':', b'X' | b'C' | b'S' | b'M']);
        seen.number(text);
        return Step::On;
    }
    if words::is_calendar(text) {
        return Step::On;
    }
    // The name of a host, a file, a logger: at most one, and it does not look like a word of a sentence.
    let looks_like_name =
        text.iter().any(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'/' | b'-'))
            && !text.ends_with(b".")
            && !text.ends_with(b":");
    if looks_like_name && seen.names == 0 {
        seen.names += 1;
        return Step::On;
    }
    Step::Stop
}

/// Whether there is `12:34` in it.
fn is_clock(text: &[u8]) -> bool {
    text.windows(5).any(|part| part[2] == b':' && [0, 1, 3, 4].iter().all(|at| part[*at].is_ascii_digit()))
}

/// `level=warn`, `severity=error` within a line.
fn keyed(head: &[u8]) -> Option<Level> {
    let equals = memchr::memchr_iter(b'=', head);
    equals.into_iter().find_map(|at| {
        let before = &head[..at];
        let key = before.rsplit(|byte| !byte.is_ascii_alphanumeric()).next()?;
        if !matches!(key, b"level" | b"lvl" | b"severity" | b"loglevel") {
            return None;
        }
        let value = head[at + 1..].strip_prefix(b"\"").unwrap_or(&head[at + 1..]);
        let length = value.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        word_level(&value[..length])
    })
}
