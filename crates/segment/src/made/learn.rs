//! Finding out how lines are made of their records' fields.
//!
//! Owns: [`Learner`]: the templates of the lines of one block, tried on every line before it counts as made; reading
//! a line of JSON for its first template.
//! Invariant: a line for which nothing fits is a hole as a whole, so that every line can be kept.

mod lines;

use hashbrown::{HashMap, HashSet};
use sawyer_model::{Batch, NameId, RecordRef, Timestamp, ValueRef};

use super::forms::Form;
use super::{
    OwnFields, PIECES_MAX, Piece, SEARCHED_MAX, TEMPLATES_BYTES_MAX, TEMPLATES_MAX, Templates, or_of_stream,
};
use crate::bytes::begins;
use crate::text::Texts;

/// Templates that are tried for records with the same fields.
const TRIED_MAX: usize = 4;
/// Lines that are read for a template in any case; beyond it at most one of [`LINES_PER_READING`].
const READINGS_MIN: usize = 256;
const LINES_PER_READING: usize = 4;
/// The same in a batch on its way, where it is one for so many lines that a template made that was there.
const BATCH_READINGS_MIN: usize = 32;
/// Lines of a batch that no template made that was there, after which nothing is tried any more if they are most of all.
const BATCH_MISSED_MIN: usize = 64;
const MISSED_PER_SERVED: usize = 3;
/// Most work of reading the lines of a block, in comparisons of a value with a field. Each value of a line is looked
/// for among all fields, so that a line of ten thousands of them would take minutes; lines beyond it are holes.
const READING_WORK_MAX: usize = 1 << 22;
/// The same in a batch, where it is done anew for each: so much, and a comparison more for so many bytes.
const BATCH_WORK_MIN: usize = 1 << 14;
const BATCH_BYTES_PER_COMPARISON: usize = 32;
/// Copying so many bytes is as much work as a comparison.
const BYTES_PER_COMPARISON: usize = 32;
/// Most bytes of the templates of a block. Templates that could take more are not worth it, and a reader refuses
/// those above its own bound.
const LEARNED_BYTES_MAX: usize = 32 << 20;
const _: () = assert!(LEARNED_BYTES_MAX < TEMPLATES_BYTES_MAX, "what is written can be read");
/// More than a name or a piece takes beside its text, and a template beside its pieces: a kind, two varints of 32
/// bits, a form.
const BYTES_BESIDE_TEXT_MAX: usize = 12;
/// Texts up to this length that no field says, and that have no digits, are taken for a part of the template.
const WORD_BYTES_MAX: usize = 16;

/// The template that is one hole.
const WHOLE: u32 = 0;

/// Learns how the lines of a block are made. See the head of the module.
#[derive(Debug)]
pub(crate) struct Learner {
    templates: Templates,
    /// The templates that fit records with such fields, latest first.
    known: HashMap<u64, Vec<u32>>,
    codes: Vec<i64>,
    holes: Texts,
    readings: usize,
    /// Lines that were made by a template that was there.
    served: usize,
    /// Other lines that might have been made.
    missed: usize,
    /// What was done of `work_max`.
    work: usize,
    work_max: usize,
    /// Whether a batch is on its way: reading its lines has to be worth it at once.
    in_batch: bool,
    /// What templates take of [`LEARNED_BYTES_MAX`].
    learned_bytes: usize,
    /// Whether lines are read that are no JSON.
    any_line: bool,
    /// For each slot of the writer the numbers that the names of the templates have in its batch.
    ids: Vec<Vec<Option<NameId>>>,
    scratch: Scratch,
    /// Templates, and which of their pieces were texts with letters that JSON escapes in some line.
    escaped: HashSet<(u32, u32)>,
}

/// What following a template leaves behind.
#[derive(Debug, Default)]
struct Scratch {
    text: String,
    /// The pieces whose texts had letters that JSON escapes.
    escaped: Vec<u32>,
}

/// The lines of a block.
pub(crate) enum Lines<'a> {
    /// Some of them are made.
    Made(Learned<'a>),
    /// None is.
    AsTheyAre(&'a Texts),
}

/// What was learned: see [`Templates`].
pub(crate) struct Learned<'a> {
    pub(crate) templates: &'a Templates,
    pub(crate) codes: &'a [i64],
    pub(crate) holes: &'a Texts,
}

/// A record with its line, on its way into a segment.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) record: RecordRef<'a>,
    pub(crate) batch: &'a Batch,
    /// Names what numbers of names mean, see [`Learner::forget_slot`].
    pub(crate) slot: usize,
    /// The same for records that have the same fields.
    pub(crate) fields_hash: u64,
}

struct Known<'a, 'r> {
    own: &'a OwnFields<'r>,
    names: &'a [Box<str>],
    ids: &'a [Option<NameId>],
    /// The fields behind the one that was asked for last: mostly its first is the next one that is asked for.
    ahead: sawyer_model::OwnFields<'r>,
}

impl Lines<'_> {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Made(learned) => learned.codes.len(),
            Self::AsTheyAre(texts) => texts.len(),
        }
    }
}

impl<'r> Known<'_, 'r> {
    /// The value of the field with this number among the names.
    #[inline(always)]
    fn value(&mut self, name: usize) -> Option<ValueRef<'r>> {
        if let Some(id) = self.ids[name] {
            let mut ahead = self.ahead.clone();
            if let Some((known, value)) = ahead.next()
                && known == id
            {
                self.ahead = ahead;
                return Some(value);
            }
        }
        self.elsewhere(name)
    }

    /// The same for one that does not follow the one before it.
    #[inline(never)]
    fn elsewhere(&mut self, name: usize) -> Option<ValueRef<'r>> {
        let record = self.own.record;
        let own = self.ids[name].and_then(|id| {
            let mut fields = record.own_fields_by_id();
            if fields.len() > SEARCHED_MAX {
                return self.own.get(id);
            }
            let (_, value) = fields.find(|(known, _)| *known == id)?;
            self.ahead = fields;
            Some(value)
        });
        or_of_stream(own, record.stream(), &self.names[name])
    }
}

impl Default for Learner {
    fn default() -> Self {
        let templates = Templates { names: Vec::new(), templates: vec![vec![Piece::Hole]] };
        Self {
            templates,
            known: HashMap::new(),
            codes: Vec::new(),
            holes: Texts::default(),
            readings: 0,
            served: 0,
            missed: 0,
            work: 0,
            work_max: READING_WORK_MAX,
            in_batch: false,
            learned_bytes: 0,
            any_line: false,
            ids: Vec::new(),
            scratch: Scratch::default(),
            escaped: HashSet::new(),
        }
    }
}

impl Learner {
    /// For a batch on its way with texts of so many bytes.
    pub(crate) fn for_batch(text_bytes: usize) -> Self {
        let work_max = BATCH_WORK_MIN + text_bytes / BATCH_BYTES_PER_COMPARISON;
        Self { in_batch: true, work_max: work_max.min(READING_WORK_MAX), ..Self::default() }
    }

    /// Whether trying more lines of a batch is hardly worth it.
    pub(crate) fn gave_up(&self) -> bool {
        self.in_batch && self.missed > BATCH_MISSED_MIN && self.missed > self.served * MISSED_PER_SERVED
    }

    /// Also reads lines that are no JSON: for what is written once more when it is old.
    pub(crate) fn read_any_line(&mut self) {
        self.any_line = true;
    }

    /// Adds the line of a record.
    pub(crate) fn add(&mut self, row: Row<'_>, line: &str) {
        let own = OwnFields::of(row.record);
        let mut tried = [None; TRIED_MAX];
        for (tried, known) in tried.iter_mut().zip(self.known.get(&row.fields_hash).into_iter().flatten()) {
            *tried = Some(*known);
        }
        let mut tried = tried.into_iter().flatten();
        if let Some(fits) = tried.find(|template| self.fits(*template, row, &own, line)) {
            self.served += 1;
            return self.codes.push(i64::from(fits));
        }
        if self.any_line || is_json(line) {
            self.missed += 1;
            if self.may_read() {
                self.readings += 1;
                if let Some(template) = self.read(row, line)
                    && self.fits(template, row, &own, line)
                {
                    let known = self.known.entry(row.fields_hash).or_default();
                    known.retain(|other| *other != template);
                    known.insert(0, template);
                    known.truncate(TRIED_MAX);
                    return self.codes.push(i64::from(template));
                }
            }
        }
        self.holes.push(line);
        self.codes.push(i64::from(WHOLE));
    }

    /// Whether one more line may be read.
    fn may_read(&self) -> bool {
        if self.in_batch {
            return self.readings < BATCH_READINGS_MIN + self.served / LINES_PER_READING;
        }
        self.readings <= READINGS_MIN + self.codes.len() / LINES_PER_READING
    }

    /// The lines, if there are any.
    pub(crate) fn lines(&self) -> Option<Lines<'_>> {
        let Self { templates, codes, holes, .. } = self;
        let is_made = codes.iter().any(|code| *code != i64::from(WHOLE));
        let lines =
            if is_made { Lines::Made(Learned { templates, codes, holes }) } else { Lines::AsTheyAre(holes) };
        (!codes.is_empty()).then_some(lines)
    }

    /// The templates, for those who make lines of the same records only: texts in which JSON escapes nothing are as they are, so
    /// that nobody looks.
    pub(crate) fn templates_as_used(&self) -> Templates {
        let mut templates = self.templates.clone();
        for (template, pieces) in templates.templates.iter_mut().enumerate() {
            for (number, piece) in pieces.iter_mut().enumerate() {
                if let Piece::Field(_, form @ Form::Json) = piece
                    && !self.escaped.contains(&(template as u32, number as u32))
                {
                    *form = Form::Plain;
                }
            }
        }
        templates
    }

    /// All that was learned.
    #[cfg(test)]
    pub(super) fn all(&self) -> (&Templates, &[i64], &Texts) {
        (&self.templates, &self.codes, &self.holes)
    }

    /// What was done to read lines.
    #[cfg(test)]
    pub(crate) fn work(&self) -> usize {
        self.work
    }

    /// Forgets all lines; a new block begins.
    pub(crate) fn clear(&mut self) {
        if !self.codes.is_empty() {
            let ids = std::mem::take(&mut self.ids);
            *self = Self { ids, any_line: self.any_line, ..Self::default() };
            self.ids.iter_mut().for_each(Vec::clear);
        }
    }

    /// Forgets what the numbers of names in this slot mean: another batch is read there.
    pub(crate) fn forget_slot(&mut self, slot: usize) {
        if let Some(ids) = self.ids.get_mut(slot) {
            ids.clear();
        }
    }

    /// Whether a template makes this line of this record; if so its holes are added.
    fn fits<'a>(&mut self, template: u32, row: Row<'a>, own: &OwnFields<'a>, line: &str) -> bool {
        if self.ids.len() <= row.slot {
            self.ids.resize_with(row.slot + 1, Vec::new);
        }
        let Self { templates, holes, ids, scratch, escaped, .. } = self;
        let ids = &mut ids[row.slot];
        for name in &templates.names[ids.len()..] {
            ids.push(row.batch.find_name(name));
        }
        let ahead = row.record.own_fields_by_id();
        let mut known = Known { own, names: &templates.names, ids, ahead };
        let before = holes.len();
        scratch.escaped.clear();
        let fits = follow(&templates.templates[template as usize], &mut known, line, holes, scratch);
        if fits {
            escaped.extend(scratch.escaped.iter().map(|piece| (template, *piece)));
        } else {
            holes.truncate(before);
        }
        fits
    }

    /// Reads a line for its template. Names that only a line without one has are forgotten.
    fn read(&mut self, row: Row<'_>, line: &str) -> Option<u32> {
        let names_before = self.templates.names.len();
        let template = self.read_pieces(row, line).and_then(|pieces| self.number(pieces, names_before));
        if template.is_none() {
            self.templates.names.truncate(names_before);
        }
        template
    }

    fn read_pieces(&mut self, row: Row<'_>, line: &str) -> Option<Vec<Piece>> {
        if self.work >= self.work_max {
            return None;
        }
        let fields: Vec<_> =
            row.record.fields().filter(|(name, _)| *name != sawyer_model::names::ORIGINAL).collect();
        let mut reading = Reading {
            time: row.record.timestamp(),
            fields: &fields,
            line,
            names: &mut self.templates.names,
            work: &mut self.work,
            work_max: self.work_max,
            pieces: Vec::new(),
            kept: 0,
        };
        reading.spend(fields.len())?;
        if is_json(line) {
            reading.json()?;
        } else {
            reading.any_line()?;
        }
        let pieces = reading.finish();
        (pieces.len() <= PIECES_MAX).then_some(pieces)
    }

    /// The number of the template of these pieces. There were so many names before it.
    fn number(&mut self, pieces: Vec<Piece>, names_before: usize) -> Option<u32> {
        if let Some(known) = self.templates.templates.iter().position(|known| *known == pieces) {
            return Some(known as u32);
        }
        let names = &self.templates.names[names_before..];
        let texts = names.iter().map(|name| name.len()).chain(pieces.iter().map(piece_bytes)).sum::<usize>();
        let bytes = texts + (names.len() + 1 + pieces.len()) * BYTES_BESIDE_TEXT_MAX;
        let learned_bytes = self.learned_bytes + bytes;
        if self.templates.templates.len() == TEMPLATES_MAX || learned_bytes > LEARNED_BYTES_MAX {
            return None;
        }
        self.learned_bytes = learned_bytes;
        self.templates.templates.push(pieces);
        Some(self.templates.templates.len() as u32 - 1)
    }
}

fn is_json(line: &str) -> bool {
    line.trim_ascii_start().as_bytes().first() == Some(&b'{')
}

fn piece_bytes(piece: &Piece) -> usize {
    match piece {
        Piece::Literal(text) => text.len(),
        _ => 2,
    }
}

/// Follows a template through a line; what stands in holes is added to them.
#[inline]
fn follow(
    pieces: &[Piece],
    known: &mut Known<'_, '_>,
    line: &str,
    holes: &mut Texts,
    scratch: &mut Scratch,
) -> bool {
    let bytes = line.as_bytes();
    let mut at = 0;
    for (number, piece) in pieces.iter().enumerate() {
        let rest = &bytes[at..];
        let (value, form) = match piece {
            Piece::Literal(text) => {
                if !begins(rest, text.as_bytes()) {
                    return false;
                }
                at += text.len();
                continue;
            }
            Piece::Hole => {
                let end = hole_end(bytes, at);
                let Some(text) = line.get(at..end) else { return false };
                holes.push(text);
                at = end;
                continue;
            }
            Piece::Time(Form::Epoch(unit)) => {
                (unit.count(known.own.record.timestamp()).map(ValueRef::Int), &Form::Plain)
            }
            Piece::Time(form) => (Some(ValueRef::Timestamp(known.own.record.timestamp())), form),
            Piece::Field(name, form) => (known.value(*name as usize), form),
        };
        let len = match value {
            None => return false,
            Some(ValueRef::Str(text)) if *form == Form::Json && form.is_plain(text) => {
                // Mostly the value is this very part of the line.
                let is_here = std::ptr::eq(text.as_ptr(), rest.as_ptr()) && text.len() <= rest.len();
                if !is_here && !begins(rest, text.as_bytes()) {
                    return false;
                }
                text.len()
            }
            Some(ValueRef::Int(value)) if *form == Form::Plain => {
                let mut buffer = itoa::Buffer::new();
                let written = buffer.format(value).as_bytes();
                if !begins(rest, written) {
                    return false;
                }
                written.len()
            }
            Some(ValueRef::Str(text)) if *form == Form::Upper => {
                let same = |(upper, byte): (&u8, u8)| *upper == byte.to_ascii_uppercase();
                if rest.len() < text.len() || !rest.iter().zip(text.bytes()).all(same) {
                    return false;
                }
                text.len()
            }
            Some(value) => {
                let Some(len) = written_len(value, *form, rest, &mut scratch.text) else { return false };
                if *form == Form::Json {
                    scratch.escaped.push(number as u32);
                }
                len
            }
        };
        at += len;
    }
    at == bytes.len()
}

/// How long a value is in this form, if it stands here.
#[inline(never)]
fn written_len(value: ValueRef<'_>, form: Form, rest: &[u8], scratch: &mut String) -> Option<usize> {
    if let (ValueRef::Float(value), Form::Plain) = (value, form)
        && let Some(len) = short_float(value, rest)
    {
        return Some(len);
    }
    scratch.clear();
    let written = form.put(value, scratch) && begins(rest, scratch.as_bytes());
    written.then_some(scratch.len())
}

/// How long a float is, if it stands here as Rust writes it, and has so few digits that this can be told without writing
/// it: different decimal numbers of at most 15 digits are different floats, so that one without needless zeros is the
/// shortest for its float. None says nothing.
fn short_float(value: f64, rest: &[u8]) -> Option<usize> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    if whole == 0 || whole > 1 && rest[0] == b'0' || rest.get(whole) != Some(&b'.') {
        return None;
    }
    let parts = digits(whole + 1);
    let len = whole + 1 + parts;
    if parts == 0 || whole + parts > DIGITS_MAX || rest[len - 1] == b'0' {
        return None;
    }
    let number = rest[..len].iter().filter(|byte| **byte != b'.');
    let number = number.fold(0u64, |number, byte| number * 10 + u64::from(byte - b'0'));
    // Both are exact, so the quotient is the float nearest to the text.
    (number as f64 / POWERS[parts] == value).then_some(len)
}

/// Where a value ends that begins here: at the quote if it stands in quotes, else where JSON goes on.
fn hole_end(line: &[u8], start: usize) -> usize {
    if start > 0 && line[start - 1] == b'"' {
        return quote_end(line, start).unwrap_or(line.len());
    }
    value_end(line, start)
}

/// The place of the quote that ends the string which begins at `start`.
fn quote_end(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += memchr::memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn value_end(line: &[u8], start: usize) -> usize {
    let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':') || byte.is_ascii_whitespace();
    line[start..].iter().position(is_end).map_or(line.len(), |len| start + len)
}

/// A line that is being read.
struct Reading<'a> {
    time: Timestamp,
    /// All fields of the record but the line itself.
    fields: &'a [(&'a str, ValueRef<'a>)],
    line: &'a str,
    names: &'a mut Vec<Box<str>>,
    work: &'a mut usize,
    work_max: usize,
    pieces: Vec<Piece>,
    /// Where the text begins that no piece has yet.
    kept: usize,
}

impl Reading<'_> {
    /// Does so much work; none if that is more than is left.
    fn spend(&mut self, work: usize) -> Option<()> {
        *self.work += work;
        (*self.work < self.work_max).then_some(())
    }

    /// Goes through an object of JSON; none if it breaks off, or if it is too much work.
    fn json(&mut self) -> Option<()> {
        let line = self.line.as_bytes();
        let mut path: Vec<&str> = Vec::new();
        let (mut key, mut at) = ("", 0);
        let whole = self.line;
        while at < line.len() {
            match line[at] {
                b'"' => {
                    let end = quote_end(line, at + 1)?;
                    let text = whole.get(at + 1..end)?;
                    let next =
                        end + 1 + line[end + 1..].iter().take_while(|b| b.is_ascii_whitespace()).count();
                    if line.get(next) == Some(&b':') {
                        key = text;
                        at = next + 1;
                    } else {
                        self.value(at + 1..end, true, &path, key)?;
                        at = end + 1;
                    }
                }
                b'{' => {
                    path.push(key);
                    at += 1;
                }
                b'}' => {
                    path.pop();
                    at += 1;
                }
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                    let end = value_end(line, at);
                    self.value(at..end, false, &path, key)?;
                    at = end;
                }
                _ => at += 1,
            }
        }
        Some(())
    }

    fn finish(mut self) -> Vec<Piece> {
        if self.kept < self.line.len() {
            self.pieces.push(Piece::Literal(self.line[self.kept..].into()));
        }
        self.pieces
    }

    /// A value stands here; none if it is too much to look for it.
    fn value(&mut self, range: std::ops::Range<usize>, quoted: bool, path: &[&str], key: &str) -> Option<()> {
        let text = self.line.get(range.clone()).filter(|text| !text.is_empty());
        let Some(text) = text else { return Some(()) };
        if self.pieces.len() > PIECES_MAX {
            return None;
        }
        self.spend(path.len())?;
        // The first element stands for the outermost object, which has no key.
        let path: Vec<&str> = path.iter().skip(1).copied().chain([key]).collect();
        let path_bytes: usize = path.iter().map(|key| key.len()).sum();
        self.spend(path_bytes / BYTES_PER_COMPARISON)?;
        let piece = self.field(text, quoted, &path.join("."))?;
        let is_word = text.len() <= WORD_BYTES_MAX && !text.bytes().any(|byte| byte.is_ascii_digit());
        if piece.is_none() && is_word {
            return Some(());
        }
        if self.kept < range.start {
            self.pieces.push(Piece::Literal(self.line[self.kept..range.start].into()));
        }
        self.pieces.push(piece.unwrap_or(Piece::Hole));
        self.kept = range.end;
        Some(())
    }

    /// The field, or the time, that stands for this text, if there is one: that of this name before others. None if it
    /// is too much to look for it.
    fn field(&mut self, text: &str, quoted: bool, name: &str) -> Option<Option<Piece>> {
        self.spend(self.fields.len())?;
        let mut scratch = String::new();
        if let Some(form) = self.form(text, quoted, ValueRef::Timestamp(self.time), &mut scratch)? {
            return Some(Some(Piece::Time(form)));
        }
        let fields = self.fields;
        let named = fields.iter().filter(|(known, _)| *known == name);
        let others = fields.iter().filter(|(known, _)| *known != name);
        for (name, value) in named.chain(others) {
            if let Some(form) = self.form(text, quoted, *value, &mut scratch)? {
                return Some(Some(Piece::Field(self.name(name)?, form)));
            }
        }
        Some(None)
    }

    /// The form in which the value is this text, if there is one. None if it is too much to try them.
    fn form(
        &mut self,
        text: &str,
        quoted: bool,
        value: ValueRef<'_>,
        scratch: &mut String,
    ) -> Option<Option<Form>> {
        // No form makes a text shorter.
        if matches!(value, ValueRef::Str(value) | ValueRef::Json(value) if value.len() > text.len()) {
            return Some(None);
        }
        for form in forms(text, quoted) {
            scratch.clear();
            let fits = form.put(value, scratch) && scratch == text;
            self.spend(scratch.len() / BYTES_PER_COMPARISON)?;
            if fits {
                return Some(Some(form));
            }
        }
        Some(None)
    }

    /// The number of a name. None if it is too much to look for it.
    fn name(&mut self, name: &str) -> Option<u32> {
        self.spend(self.names.len())?;
        let known = self.names.iter().position(|known| **known == *name);
        let number = known.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        Some(number as u32)
    }
}

/// The forms in which a text may be a value.
fn forms(text: &str, quoted: bool) -> impl Iterator<Item = Form> {
    let quoted_forms = if quoted { &Form::OF_QUOTED[..] } else { &[] };
    let digits = text.split_once('.').map_or(0, |(_, rest)| rest.len().saturating_sub(1));
    let clock = (quoted && text.ends_with('Z')).then(|| Form::Rfc3339(digits.min(9) as u8));
    quoted_forms.iter().chain(&Form::OF_NUMBERS).chain(&Form::OF_EPOCHS).copied().chain(clock)
}
