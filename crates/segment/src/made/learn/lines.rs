//! Reading a line in any form for its first template.
//!
//! Owns: which parts of it are taken for values of fields: those that begin and end with a word and are exactly as a
//! field is.
//! Invariant: what is read is a guess; whoever asked tries the template on the line.

use std::ops::Range;

use sawyer_model::ValueRef;

use super::super::forms::{Form, Unit};
use super::super::{PIECES_MAX, Piece};
use super::{Reading, hole_end};

/// Shorter values stand in a line by chance, unless their names stand before them.
const CHANCE_BYTES: usize = 3;
/// Shorter numbers are hardly times.
const EPOCH_DIGITS_MIN: usize = 10;

impl Reading<'_> {
    /// Goes through a line; none if it is too much work.
    pub(super) fn any_line(&mut self) -> Option<()> {
        let (line, bytes) = (self.line, self.line.as_bytes());
        let mut at = 0;
        while at < bytes.len() {
            let begins = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
            if !begins || bytes[at].is_ascii_whitespace() || !line.is_char_boundary(at) {
                at += 1;
                continue;
            }
            if self.pieces.len() > PIECES_MAX {
                return None;
            }
            if let Some((end, piece)) = self.value_at(at)? {
                self.take(at..end, piece);
                at = end;
                continue;
            }
            let word = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let has_digit = bytes[at..at + word].iter().any(u8::is_ascii_digit);
            let end = if has_digit { hole_end(bytes, at) } else { at };
            if end > at && line.is_char_boundary(end) {
                self.take(at..end, Piece::Hole);
                at = end;
            } else {
                at += word.max(1);
            }
        }
        Some(())
    }

    fn take(&mut self, range: Range<usize>, piece: Piece) {
        if self.kept < range.start {
            self.pieces.push(Piece::Literal(self.line[self.kept..range.start].into()));
        }
        self.pieces.push(piece);
        self.kept = range.end;
    }

    /// The longest value that stands here, and where it ends; of several the one that is named before it.
    fn value_at(&mut self, at: usize) -> Option<Option<(usize, Piece)>> {
        self.spend(self.fields.len())?;
        let mut scratch = String::new();
        let time = ValueRef::Timestamp(self.time);
        if self.line.as_bytes()[at].is_ascii_digit() {
            let clocks = (0..=9).rev().map(Form::Rfc3339);
            let epochs = Form::OF_EPOCHS.into_iter().filter(|form| *form != Form::Epoch(Unit::Seconds));
            for form in clocks.chain(epochs).chain([Form::Epoch(Unit::Seconds)]) {
                let end = self.end_of(at, form, time, &mut scratch);
                if let Some(end) = end.filter(|end| end - at >= EPOCH_DIGITS_MIN) {
                    return Some(Some((end, Piece::Time(form))));
                }
            }
        }
        let mut best: Option<(usize, bool, &str, Form)> = None;
        let fields = self.fields;
        for (name, value) in fields {
            if matches!(value, ValueRef::Str(text) if text.is_empty() || text.len() > self.line.len() - at) {
                continue;
            }
            let forms = [Form::Plain, Form::Json, Form::Point, Form::Upper, Form::Capital];
            let found = forms.into_iter().find_map(|form| {
                // What is not text is no value of a line, or stands there by chance.
                let is_text = matches!(value, ValueRef::Str(_));
                let is_number = matches!(value, ValueRef::Int(_) | ValueRef::Float(_));
                let tried = is_text && form != Form::Point || is_number;
                let end = if tried { self.end_of(at, form, *value, &mut scratch) } else { None };
                end.map(|end| (end, form))
            });
            self.spend(1)?;
            let Some((end, form)) = found else { continue };
            let named = self.line[..at].trim_end_matches(['"', '=', ':', ' ']).ends_with(name);
            let better = best.is_none_or(|(known, known_named, ..)| (end, named) > (known, known_named));
            if better && (named || end - at >= CHANCE_BYTES) {
                best = Some((end, named, name, form));
            }
        }
        let Some((end, _, name, form)) = best else { return Some(None) };
        Some(Some((end, Piece::Field(self.name(name)?, form))))
    }

    /// Where a value in this form ends, if it stands here with no word going on behind it.
    fn end_of(&self, at: usize, form: Form, value: ValueRef<'_>, scratch: &mut String) -> Option<usize> {
        scratch.clear();
        let stands =
            form.put(value, scratch) && !scratch.is_empty() && self.line[at..].starts_with(&**scratch);
        let end = at + scratch.len();
        let goes_on = self.line.as_bytes().get(end).is_some_and(u8::is_ascii_alphanumeric);
        (stands && !goes_on).then_some(end)
    }
}
