//! The first words of a line, and which of them are levels.
//!
//! Owns: what separates words, the words that plain lines use for levels.
//! Does not own: whether a word stands where a level stands.
//! Invariant: every call of [`Words::next`] takes at least one byte.

use sawyer_model::Level;

/// The words of a line, one after the other.
pub(super) struct Words<'a> {
    rest: &'a [u8],
}

/// A word.
pub(super) enum Word<'a> {
    /// What stands in `[` and `]`.
    Group(&'a [u8]),
    /// Anything else, and what follows it.
    Bare { text: &'a [u8], after: &'a [u8] },
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    pub(super) fn next(&mut self) -> Option<Word<'a>> {
        self.skip_separators();
        if let Some(inside) = self.rest.strip_prefix(b"[") {
            let end = memchr::memchr(b']', inside)?;
            self.rest = &inside[end + 1..];
            return Some(Word::Group(&inside[..end]));
        }
        let length = self.rest.iter().take_while(|byte| !ends_word(**byte)).count();
        if length == 0 {
            return None;
        }
        let (text, after) = self.rest.split_at(length);
        self.rest = after;
        Some(Word::Bare { text, after })
    }

    /// Skips white space, bars, dashes that stand alone, and the colours of terminals.
    fn skip_separators(&mut self) {
        loop {
            self.rest = match self.rest {
                [0x1B, b'[', rest @ ..] => {
                    let letter = rest.iter().position(u8::is_ascii_alphabetic);
                    letter.map_or(&[], |at| &rest[at + 1..])
                }
                [b'-'] => &[],
                [b'-', b' ', rest @ ..] => rest,
                [b' ' | b'\t' | b'|' | b',' | b';', rest @ ..] => rest,
                _ => return,
            };
        }
    }
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'|' | b',' | b';' | b'[' | b'\n' | 0x1B)
}

/// A level in capitals.
pub(super) fn upper_level(word: &[u8]) -> Option<Level> {
    let capital = word.len() >= 3 && word.iter().all(u8::is_ascii_uppercase);
    match word {
        b"LOG" => None,
        word if capital => word_level(word),
        _ => None,
    }
}

/// A level in any case, or one of .NET's short forms.
pub(super) fn lower_level(word: &[u8]) -> Option<Level> {
    match word {
        b"trce" => Some(Level::Trace),
        b"dbug" => Some(Level::Debug),
        b"fail" => Some(Level::Error),
        word => word_level(word),
    }
}

/// The four capitals that logrus writes before `[0000]`.
pub(super) fn short_level(word: &[u8]) -> Option<Level> {
    match word {
        b"TRAC" => Some(Level::Trace),
        b"DEBU" => Some(Level::Debug),
        b"ERRO" => Some(Level::Error),
        b"FATA" | b"PANI" => Some(Level::Fatal),
        _ => None,
    }
}

/// The names that are levels in plain lines. Fewer than in fields, where `log`, `fine` or `config` mean one.
pub(super) fn word_level(word: &[u8]) -> Option<Level> {
    let word = str::from_utf8(word).ok()?;
    let ambiguous = ["log", "fine", "finer", "finest", "config", "verbose", "silly", "alert", "eror"];
    if ambiguous.iter().any(|known| word.eq_ignore_ascii_case(known)) {
        return None;
    }
    Level::from_name(word)
}

/// `Mon`, `Nov`, `UTC`: parts of times.
pub(super) fn is_calendar(word: &[u8]) -> bool {
    const NAMES: [&[u8]; 21] = [
        b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun", b"Jan", b"Feb", b"Mar", b"Apr", b"May",
        b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec", b"UTC", b"GMT",
    ];
    NAMES.contains(&word)
}
