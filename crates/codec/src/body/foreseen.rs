//! Lines that are written like those before them: JSON and logfmt with the same names, mostly in the same order.
//!
//! Owns: which name followed which, what becomes of each name, and reading a line, or a record that was sent, along that.
//! Does not own: the formats (`json`, `logfmt`), which field is what (`roles`), names (`apply`).
//! Invariant: a line that is read here gets the fields that it gets the long way. What is unusual (nested values, names
//! said twice, two fields for one role, a value that does not fit its role) goes the long way.
//!
//! From one value to the next a line has the same bytes nearly always: `,"level":`. They are compared with those that
//! followed the last time, and what is known of the name behind them is at hand: no name is read, hashed or copied.

use std::cell::Cell;
use std::collections::HashMap;

use sawyer_model::batch::{Draft, FoundField, FoundValue};
use sawyer_model::{Level, NameGuess, NameId, RecordEditor, Stream, Timestamp, ValueRef, names};

use super::apply::{BODY_PREFIX, BODY_TIMESTAMP, Rules, common_name, deviates};
use super::roles::{Class, Role, Told, told};
use super::{Format, candidates, logfmt};
use crate::json::{Marks, Scanner, read_number, unescape};

/// Names that are remembered for streams alike; beyond it, all are forgotten.
const NAMES_MAX: usize = 4096;

/// Kinds of streams, told by the names of their fields, that are remembered.
const PATHS_MAX: usize = 32;

/// Most fields of a line that is read here.
const FIELDS_MAX: usize = 64;

/// Longest line that is read here.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Longest run of bytes in front of a value that is remembered.
const LEAD_BYTES_MAX: usize = 256;

/// After so many lines in a row that had to go the long way after all, some are sent there at once.
const STRIKES_MAX: u32 = 4;
const REST_LINES: u32 = 60;

/// Names that are remembered behind a name: fields that some lines have are followed by one or the other.
const FOLLOWERS: usize = 6;

const NONE: u32 = u32::MAX;

/// Who says the names of a line, which decides what becomes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Voice {
    /// A line of a log.
    #[default]
    Line,
    /// Whoever sends records.
    Client,
    /// A program that the operator runs to send records.
    Program,
}

/// What a record that was sent says beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// When it was said.
    pub(crate) time: Option<Timestamp>,
    /// Whether a field is its message.
    pub(crate) message: bool,
    /// Whether it names an identity that its stream does not know.
    pub(crate) claims: bool,
}

/// What lines have been like.
#[derive(Debug, Default)]
pub(crate) struct Foreseen {
    paths: Vec<Paths>,
    voice: Voice,
    /// The stream of the last line, and its place among the paths.
    stream: u128,
    at: usize,
    found: Vec<Found>,
    /// How many fields of the last line were read.
    count: usize,
    marks: Marks,
    /// Text with its escapes resolved.
    text: String,
    bytes: Vec<u8>,
    strikes: u32,
    rest: u32,
    #[cfg(test)]
    short: bool,
}

/// What follows what, for streams whose fields have the same names.
#[derive(Debug)]
struct Paths {
    names_hash: u64,
    voice: Voice,
    leads: Vec<Lead>,
    lead_numbers: HashMap<Box<[u8]>, u32>,
    names: Vec<Name>,
    name_numbers: HashMap<Box<str>, u32>,
    first: [[u32; FOLLOWERS]; 2],
    round: u32,
}

/// What stands in front of a value.
#[derive(Debug)]
struct Lead {
    bytes: Box<[u8]>,
    /// Its first sixteen bytes, and which of their bits count: two comparisons for nearly all.
    head: [u64; 2],
    masks: [u64; 2],
    name: u32,
    /// Those that followed it, the latest before all others.
    next: [u32; FOLLOWERS],
}

/// A lead that stands where it is looked for.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// None in front of the first.
    number: u32,
    /// The one that followed it last.
    next: u32,
    /// The number of its name.
    name: u32,
    /// In bytes.
    len: usize,
}

/// What becomes of a name.
#[derive(Debug)]
struct Name {
    /// The name that its field gets.
    field: Box<str>,
    guess: Cell<NameGuess>,
    known: Known,
    /// Whether it may say something that depends on the rest of the line.
    unusual: bool,
    /// Whether loggers write it in logfmt.
    logged: bool,
    /// The line that had it last.
    round: u32,
}

/// What a name says of the value that follows.
#[derive(Clone, Copy, Debug)]
struct Known {
    role: Option<(Role, u8)>,
    /// Whether it claims an identity that the stream does not know.
    claims: bool,
}

/// What takes the fields of a line.
trait Sink {
    /// Who speaks.
    fn stream(&self) -> &Stream;

    /// Takes a field; says whether it can.
    fn take(&mut self, number: u32, name: &Name, value: Value, resolved: &str) -> bool;
}

/// Takes the fields of a line that stands in a record.
struct OfRecord<'a> {
    found: &'a mut Vec<Found>,
    stream: &'a Stream,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    name: u32,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Time(Timestamp),
    /// A level that the line has another word for.
    Level(Level),
    /// Of the line.
    Part {
        start: u32,
        len: u32,
    },
    /// Of the text with escapes resolved.
    Resolved {
        start: u32,
        len: u32,
    },
}

/// What the line says of the record.
#[derive(Debug, Default)]
struct Said {
    /// A bit for each role that a field has.
    roles: u8,
    time: Option<Timestamp>,
    message: bool,
    claims: bool,
}

impl Foreseen {
    /// One that leaves all lines to the long way.
    #[cfg(test)]
    pub(crate) fn off() -> Self {
        Self { rest: u32::MAX, ..Self::default() }
    }

    /// Whether the last line was read here.
    #[cfg(test)]
    pub(crate) fn was_short(&self) -> bool {
        self.short
    }

    /// Reads the record's line, if it is one that can be read here; all or nothing.
    pub(super) fn apply(
        &mut self,
        record: &mut RecordEditor<'_>,
        rules: &Rules,
        hash_of: impl Fn(&str) -> u64,
    ) -> Option<Format> {
        let view = record.as_ref();
        if !self.may_read(view.message()) {
            return None;
        }
        let place = view.message_place().filter(|_| view.own_fields_by_id().len() == 1)?;
        let text = view.message();
        let formats = rules.format.as_ref().map_or_else(|| candidates(text), std::slice::from_ref);
        let format = *formats.iter().find(|format| matches!(format, Format::Json | Format::Logfmt))?;
        self.turn_to(view.stream(), Voice::Line, hash_of);
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        let mut sink = OfRecord { found: &mut found, stream: view.stream() };
        let read = match format {
            Format::Json => self.json(text, view.observed(), &mut sink),
            _ => self.logfmt(text, view.observed(), &mut sink),
        };
        self.found = found;
        let reference = if rules.own_time { view.observed() } else { view.timestamp() };
        let Some(said) = read.filter(|said| said.time.is_none_or(|time| !deviates(time, reference))) else {
            self.strike();
            return None;
        };
        #[cfg(test)]
        (self.short = true);
        self.strikes = 0;
        if let Some(time) = said.time.filter(|_| rules.own_time) {
            record.set_timestamp(time);
        }
        if said.message {
            record.rename_by_id(NameId::MESSAGE, NameId::ORIGINAL);
        }
        let names = &self.paths[self.at].names;
        let fields =
            self.found.iter().filter(|found| !(rules.own_time && matches!(found.value, Value::Time(_))));
        record.extend_found(place, fields.map(|found| found.field(names, &self.text)));
        Some(format)
    }

    /// Whether a line may be one that can be read here.
    pub(crate) fn may_read(&mut self, text: &str) -> bool {
        #[cfg(test)]
        (self.short = false);
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        text.len() <= LINE_BYTES_MAX
    }

    /// Reads a record that was sent as an object of JSON, if it is one that can be read here. Its fields are in the draft
    /// then, but for its time.
    pub(crate) fn read_sent(
        &mut self,
        text: &str,
        draft: &mut Draft<'_>,
        observed: Timestamp,
        voice: Voice,
        hash_of: impl Fn(&str) -> u64,
    ) -> Option<Sent> {
        self.turn_to(draft.stream(), voice, hash_of);
        let Some(said) = self.json(text, observed, draft) else {
            self.strike();
            return None;
        };
        #[cfg(test)]
        (self.short = true);
        self.strikes = 0;
        Some(Sent { time: said.time, message: said.message, claims: said.claims })
    }

    /// A line had to go the long way after all.
    fn strike(&mut self) {
        // What is not written in pairs at all is found out at once.
        self.strikes += u32::from(self.count > 0);
        if self.strikes >= STRIKES_MAX {
            (self.strikes, self.rest) = (0, REST_LINES);
        }
    }

    /// Looks for what is known of streams like this one.
    fn turn_to(&mut self, stream: &Stream, voice: Voice, hash_of: impl Fn(&str) -> u64) {
        if self.stream == stream.fingerprint() && self.voice == voice && self.at < self.paths.len() {
            return;
        }
        (self.stream, self.voice) = (stream.fingerprint(), voice);
        let hashes = stream.fields().iter().map(|(name, _)| hash_of(name));
        let names_hash = hashes.fold(0_u64, |all, hash| all.rotate_left(7) ^ hash);
        let is_it = |paths: &Paths| paths.names_hash == names_hash && paths.voice == voice;
        let known = self.paths.iter().position(is_it);
        self.at = known.unwrap_or_else(|| {
            if self.paths.len() >= PATHS_MAX {
                self.paths.clear();
            }
            self.paths.push(Paths::new(names_hash, voice));
            self.paths.len() - 1
        });
    }

    fn json(&mut self, text: &str, observed: Timestamp, sink: &mut impl Sink) -> Option<Said> {
        let Self { paths, at, count, marks, text: resolved, bytes: buffer, .. } = self;
        let paths = &mut paths[*at];
        paths.begin();
        resolved.clear();
        *count = 0;
        let (mut said, mut last, mut at) = (Said::default(), paths.start(0), 0);
        let bytes = text.as_bytes();
        marks.read(bytes);
        loop {
            let rest = &bytes[at..];
            if *rest == *b"}" && last.number != NONE {
                return Some(said);
            }
            let lead = match paths.foreseen(last, 0, rest) {
                Some(lead) => lead,
                None => {
                    let (len, name) = json_lead(&text[at..], last.number == NONE)?;
                    paths.unforeseen(last.number, 0, &text[at..at + len], name, sink.stream())?
                }
            };
            (last, at) = (lead, at + lead.len);
            let Known { role, claims } = paths.take_name(lead.name)?;
            let (value, end) = json_value(text, at, marks, resolved, buffer)?;
            at = end;
            said.claims |= claims;
            let value = match role {
                Some(role) => said.role(role, value, text, resolved, observed)?,
                None => value,
            };
            *count += 1;
            let taken = sink.take(lead.name, &paths.names[lead.name as usize], value, resolved);
            if *count > FIELDS_MAX || !taken {
                return None;
            }
        }
    }

    fn logfmt(&mut self, text: &str, observed: Timestamp, sink: &mut impl Sink) -> Option<Said> {
        let Self { paths, at: paths_at, count, text: resolved, bytes: buffer, .. } = self;
        let paths = &mut paths[*paths_at];
        paths.begin();
        resolved.clear();
        *count = 0;
        let end = text.trim_ascii_end().len();
        let line = &text[..end];
        let (mut said, mut last, mut logged, mut at) = (Said::default(), paths.start(1), false, 0);
        while at < end {
            let lead = match paths.foreseen(last, 1, &line.as_bytes()[at..]) {
                Some(lead) => lead,
                None => {
                    let (len, name) = logfmt::lead(&line[at..], last.number == NONE)?;
                    paths.unforeseen(last.number, 1, &line[at..at + len], name, sink.stream())?
                }
            };
            (last, at) = (lead, at + lead.len);
            let Known { role, .. } = paths.take_name(lead.name)?;
            let len = logfmt::value_end(&line[at..])?;
            let value = logfmt_value(line, at, len, resolved, buffer);
            at += len;
            logged |= paths.names[lead.name as usize].logged;
            let value = match role {
                Some(role) => said.role(role, value, text, resolved, observed)?,
                None => value,
            };
            *count += 1;
            let taken = sink.take(lead.name, &paths.names[lead.name as usize], value, resolved);
            if *count > FIELDS_MAX || !taken {
                return None;
            }
        }
        logfmt::is_enough(*count, logged).then_some(said)
    }
}

impl Paths {
    fn new(names_hash: u64, voice: Voice) -> Self {
        let (leads, names) = (Vec::new(), Vec::new());
        let (lead_numbers, name_numbers) = (HashMap::new(), HashMap::new());
        Self {
            names_hash,
            voice,
            leads,
            lead_numbers,
            names,
            name_numbers,
            first: [[NONE; FOLLOWERS]; 2],
            round: 0,
        }
    }

    fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 || self.leads.len() > NAMES_MAX {
            *self = Self { round: 1, ..Self::new(self.names_hash, self.voice) };
        }
    }

    /// What stands in front of the first lead of a line: nothing.
    fn start(&self, format: usize) -> Taken {
        Taken { number: NONE, next: self.first[format][0], name: NONE, len: 0 }
    }

    /// What followed the last time, or before, if it stands here now.
    #[inline]
    fn foreseen(&mut self, last: Taken, format: usize, rest: &[u8]) -> Option<Taken> {
        match self.leads.get(last.next as usize) {
            Some(lead) if lead.begins(rest) => Some(lead.taken(last.next)),
            _ => self.seldom_foreseen(last.number, format, rest),
        }
    }

    fn seldom_foreseen(&mut self, last: u32, format: usize, rest: &[u8]) -> Option<Taken> {
        let Self { leads, first, .. } = self;
        let next = leads.get(last as usize).map_or(&first[format], |last| &last.next);
        let begins = |number: &u32| leads.get(*number as usize).is_some_and(|lead| lead.begins(rest));
        let place = next.iter().position(begins)?;
        let number = next[place];
        let taken = leads[number as usize].taken(number);
        self.followers(last, format).swap(0, place);
        Some(taken)
    }

    /// What is known to follow, the latest before all others.
    fn followers(&mut self, last: u32, format: usize) -> &mut [u32; FOLLOWERS] {
        match self.leads.get_mut(last as usize) {
            Some(last) => &mut last.next,
            None => &mut self.first[format],
        }
    }

    /// Takes note of what stands here in front of the value of a name.
    #[cold]
    fn unforeseen(
        &mut self,
        last: u32,
        format: usize,
        bytes: &str,
        name: &str,
        stream: &Stream,
    ) -> Option<Taken> {
        let bytes = bytes.as_bytes();
        if bytes.len() > LEAD_BYTES_MAX {
            return None;
        }
        let number = match self.lead_numbers.get(bytes) {
            Some(number) => *number,
            None => {
                let name = self.name(name, stream);
                let number = self.leads.len() as u32;
                self.leads.push(Lead::new(bytes, name));
                self.lead_numbers.insert(bytes.into(), number);
                number
            }
        };
        let next = self.followers(last, format);
        let place = next.iter().position(|known| *known == NONE).unwrap_or(FOLLOWERS - 1);
        next[place] = number;
        next.swap(0, place);
        Some(self.leads[number as usize].taken(number))
    }

    fn name(&mut self, name: &str, stream: &Stream) -> u32 {
        if let Some(number) = self.name_numbers.get(name) {
            return *number;
        }
        let class = Class::of(name);
        let role = class.role();
        let of_stream = stream.get(name).is_some();
        let own = class.reserved && (!class.identity || name == names::IDENTITY);
        let taken = match self.voice {
            Voice::Line => class.reserved || of_stream,
            Voice::Client => own || of_stream,
            Voice::Program => own,
        };
        let claims = self.voice == Voice::Client && class.said && !of_stream;
        let field = match role {
            Some((Role::Time, _)) => BODY_TIMESTAMP.into(),
            Some((role, _)) => common_name(role).into(),
            None if taken => [BODY_PREFIX, name].concat().into(),
            None => name.into(),
        };
        let (unusual, logged) = (class.depends(), logfmt::is_known(name));
        let number = self.names.len() as u32;
        let round = self.round.wrapping_sub(1);
        let known = Known { role, claims };
        self.names.push(Name { field, guess: Cell::default(), known, unusual, logged, round });
        self.name_numbers.insert(name.into(), number);
        number
    }

    /// What is known of a name, unless the line had it already.
    #[inline]
    fn take_name(&mut self, number: u32) -> Option<Known> {
        let name = &mut self.names[number as usize];
        let usual = !name.unusual && name.round != self.round;
        name.round = self.round;
        usual.then_some(name.known)
    }
}

impl Lead {
    fn new(bytes: &[u8], name: u32) -> Self {
        let word = |of: &dyn Fn(u8) -> u8, from: usize| {
            let bytes = bytes.iter().skip(from).take(8).enumerate();
            bytes.fold(0, |word, (at, byte)| word | u64::from(of(*byte)) << (8 * at))
        };
        let head = [word(&|byte| byte, 0), word(&|byte| byte, 8)];
        let masks = [word(&|_| 0xff, 0), word(&|_| 0xff, 8)];
        Self { bytes: bytes.into(), head, masks, name, next: [NONE; FOLLOWERS] }
    }

    fn taken(&self, number: u32) -> Taken {
        Taken { number, next: self.next[0], name: self.name, len: self.bytes.len() }
    }

    /// Whether a text begins with it.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        let Some(start) = text.first_chunk::<16>() else { return text.starts_with(&self.bytes) };
        let word = |at: usize| start[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let different = (word(0) & self.masks[0]) ^ self.head[0] | (word(8) & self.masks[1]) ^ self.head[1];
        different == 0 && (self.bytes.len() <= 16 || text.starts_with(&self.bytes))
    }
}

impl Said {
    /// What becomes of the value of a field with this role; none if that is not so simple.
    #[inline]
    fn role(
        &mut self,
        (role, rank): (Role, u8),
        value: Value,
        text: &str,
        resolved: &str,
        observed: Timestamp,
    ) -> Option<Value> {
        let bit = 1 << role as u8;
        if self.roles & bit != 0 {
            return None;
        }
        self.roles |= bit;
        self.message |= role == Role::Message;
        // Mostly a glance tells that it makes sense.
        match (role, value) {
            (Role::Message | Role::Service | Role::Env, Value::Part { len: 1.., .. }) => Some(value),
            (Role::Trace | Role::Span, Value::Part { start, len: 1.. })
                if text.as_bytes()[start as usize] != b'0' =>
            {
                Some(value)
            }
            _ => self.told((role, rank), value, text, resolved, observed),
        }
    }

    fn told(
        &mut self,
        (role, rank): (Role, u8),
        value: Value,
        text: &str,
        resolved: &str,
        observed: Timestamp,
    ) -> Option<Value> {
        let said = value.read(text, resolved);
        Some(match told(role, rank, said, observed)? {
            Told::Level(level) if said == ValueRef::Str(level.name()) => value,
            Told::Level(level) => Value::Level(level),
            Told::Time(time) => {
                self.time = Some(time);
                Value::Time(time)
            }
            Told::Itself => value,
        })
    }
}

impl Sink for OfRecord<'_> {
    fn stream(&self) -> &Stream {
        self.stream
    }

    #[inline]
    fn take(&mut self, number: u32, _: &Name, value: Value, _: &str) -> bool {
        self.found.push(Found { name: number, value });
        true
    }
}

/// Takes the fields of a record that is sent.
impl Sink for Draft<'_> {
    fn stream(&self) -> &Stream {
        Draft::stream(self)
    }

    #[inline(always)]
    fn take(&mut self, _: u32, name: &Name, value: Value, resolved: &str) -> bool {
        let Name { field, guess, .. } = name;
        match value {
            Value::Part { start, len } => self.part(field, guess, start, len),
            Value::Time(_) => true,
            Value::Int(number) => self.value(field, guess, ValueRef::Int(number)),
            Value::Float(number) => self.value(field, guess, ValueRef::Float(number)),
            Value::Level(level) => self.value(field, guess, ValueRef::Str(level.name())),
            other => self.value(field, guess, other.read("", resolved)),
        }
    }
}

impl Found {
    /// The field that it becomes.
    #[inline(always)]
    fn field<'f>(&self, names: &'f [Name], resolved: &'f str) -> FoundField<'f> {
        let Name { field, guess, .. } = &names[self.name as usize];
        FoundField { name: field, guess, value: self.value.found(resolved) }
    }
}

impl Value {
    #[inline]
    fn read<'v>(self, text: &'v str, resolved: &'v str) -> ValueRef<'v> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Bool(value),
            Self::Int(value) => ValueRef::Int(value),
            Self::Float(value) => ValueRef::Float(value),
            Self::Time(time) => ValueRef::Timestamp(time),
            Self::Level(level) => ValueRef::Str(level.name()),
            Self::Part { start, len } => ValueRef::Str(&text[start as usize..(start + len) as usize]),
            Self::Resolved { start, len } => ValueRef::Str(&resolved[start as usize..(start + len) as usize]),
        }
    }

    #[inline(always)]
    fn found(self, resolved: &str) -> FoundValue<'_> {
        match self {
            Self::Part { start, len } => FoundValue::Part { start, len },
            value => FoundValue::Value(value.read("", resolved)),
        }
    }

    fn part(start: usize, end: usize) -> Self {
        Self::Part { start: start as u32, len: (end - start) as u32 }
    }

    /// Text of which escapes were resolved.
    fn resolved(bytes: &[u8], resolved: &mut String) -> Self {
        let start = resolved.len();
        resolved.push_str(&String::from_utf8_lossy(bytes));
        Self::Resolved { start: start as u32, len: (resolved.len() - start) as u32 }
    }

    /// A number or truth value that was read from `start` to `end`.
    fn scalar(value: ValueRef<'_>, start: usize, end: usize) -> Self {
        match value {
            ValueRef::Int(value) => Self::Int(value),
            ValueRef::Float(value) => Self::Float(value),
            ValueRef::Bool(value) => Self::Bool(value),
            _ => Self::part(start, end),
        }
    }
}

/// What stands in front of a member's value: its length, and the name.
fn json_lead(text: &str, first: bool) -> Option<(usize, &str)> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.expect(if first { b'{' } else { b',' }, "").ok()?;
    if scanner.token() != Some(b'"') {
        return None;
    }
    let name = scanner.string().ok()?;
    scanner.expect(b':', "").ok()?;
    scanner.token();
    let usual = !name.escaped && name.start < name.end;
    usual.then(|| (scanner.at, &text[name.start..name.end]))
}

/// The value that stands at `at`, and where it ends.
#[inline]
fn json_value(
    text: &str,
    at: usize,
    marks: &Marks,
    resolved: &mut String,
    buffer: &mut Vec<u8>,
) -> Option<(Value, usize)> {
    let bytes = text.as_bytes();
    if *bytes.get(at)? == b'"' {
        let end = marks.next(at + 1);
        if bytes.get(end) == Some(&b'"') {
            return Some((Value::part(at + 1, end), end + 1));
        }
    }
    other_json_value(text, at, resolved, buffer)
}

/// The same for what is no text, and for text with escapes.
fn other_json_value(
    text: &str,
    at: usize,
    resolved: &mut String,
    buffer: &mut Vec<u8>,
) -> Option<(Value, usize)> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.at = at;
    let value = match scanner.peek()? {
        b'"' => {
            let string = scanner.string().ok()?;
            buffer.clear();
            unescape(&text.as_bytes()[string.start..string.end], buffer);
            Value::resolved(buffer, resolved)
        }
        b'-' | b'0'..=b'9' => {
            let value = read_number(&mut scanner, text).ok()?;
            Value::scalar(value, at, scanner.at)
        }
        b't' => scanner.word("true").ok().map(|()| Value::Bool(true))?,
        b'f' => scanner.word("false").ok().map(|()| Value::Bool(false))?,
        b'n' => scanner.word("null").ok().map(|()| Value::Null)?,
        _ => return None,
    };
    Some((value, scanner.at))
}

#[inline]
fn logfmt_value(line: &str, at: usize, len: usize, resolved: &mut String, buffer: &mut Vec<u8>) -> Value {
    let raw = &line[at..at + len];
    if raw.as_bytes().first() != Some(&b'"') {
        return Value::scalar(logfmt::bare(raw), at, at + len);
    }
    let inside = &raw[1..len - 1];
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Value::part(at + 1, at + len - 1);
    }
    buffer.clear();
    logfmt::unquote(inside, buffer);
    Value::resolved(buffer, resolved)
}
