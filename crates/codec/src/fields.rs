//! Fields on their way from a text into a record.
//!
//! Owns: the order of fields, names that are said twice, the bounds of what one line may bring.
//! Does not own: where the fields come from (`json`, `body`), and what they mean.
//! Invariant: bounded by [`RECORD_FIELDS_MAX`] values, [`NAMES_BYTES_MAX`] bytes of names, and a value beyond
//! [`VALUE_BYTES_MAX`] bytes of text and beyond [`TIMES_MAX`] times the text that is read (arrays within arrays are given
//! whole at each level), in time linear in what it is given.

use sawyer_model::batch::{FoundField, FoundValue};
use sawyer_model::limits::{RECORD_FIELDS_MAX, VALUE_BYTES_MAX};
use sawyer_model::{Timestamp, ValueRef};

use crate::body::Class;

mod names;

use names::{NONE, Names};

#[cfg(test)]
mod tests;

/// Most bytes of field names that one line may bring; beyond it fields stay in the line as written. Long paths
/// around many small values would otherwise make a small line fill a node's memory.
pub const NAMES_BYTES_MAX: usize = 4 << 20;

/// How many times its length a text may say in all its values together. Whoever writes values apart from the text makes
/// as many bytes of it, and a request of 64 MiB has to stay below what a batch may have.
const TIMES_MAX: usize = 8;

/// Buffers above this many bytes are given back after the line that needed them.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Takes fields as they are found.
pub trait FieldSink {
    /// A field. A name given before becomes a list of both values.
    fn field(&mut self, name: &str, value: ValueRef<'_>);
    /// The field is a list, though it may have one value, or none; its values follow.
    fn list(&mut self, name: &str);
    /// A field of an object inside an array that is given whole beside it; yields to a field of the same name.
    fn derived(&mut self, name: &str, value: ValueRef<'_>) {
        self.field(name, value);
    }
    /// A list as in [`FieldSink::derived`].
    fn derived_list(&mut self, name: &str) {
        self.list(name);
    }
    /// Forgets everything: the text turned out to be something else.
    fn reset(&mut self);
}

/// Fields with their names and values, in buffers that are used again for each line.
///
/// Values that are parts of the text that is read need no copy: their places in it are kept ([`Fields::begin`]).
#[derive(Debug)]
pub struct Fields {
    /// Values that are no parts of the text that is read.
    text: String,
    /// Address and length of the text that is read, while it is.
    within: Option<(usize, usize)>,
    /// Bytes of all values, parts and copies.
    said_bytes: usize,
    names: Names,
    names_bytes: usize,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Its number among the names.
    name: u32,
    value: Held,
    /// The next value of the same name.
    next: u32,
    /// In the first value of a name: the last one.
    last: u32,
    kind: Kind,
    derived: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The first value of its name.
    First,
    /// A list without a value of its own: only those that follow count.
    List,
    /// A further value.
    Further,
    /// Taken out.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    /// In the text that is read if [`WITHIN`] is set, else in the buffer.
    start: u32,
    len: u32,
}

/// Set in the start of a span of the text that is read. Texts are far shorter
/// ([`sawyer_model::limits::VALUE_BYTES_MAX`]).
const WITHIN: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
enum Held {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Timestamp(Timestamp),
    Str(Span),
    Json(Span),
}

impl Default for Fields {
    fn default() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self {
            text: String::new(),
            said_bytes: 0,
            within: None,
            names: Names::new(RandomState::new().hash_one(0)),
            names_bytes: 0,
            entries: Vec::new(),
        }
    }
}

impl FieldSink for Fields {
    #[inline]
    fn field(&mut self, name: &str, value: ValueRef<'_>) {
        self.add(name, Some(value), false);
    }

    fn list(&mut self, name: &str) {
        self.add(name, None, false);
    }

    fn derived(&mut self, name: &str, value: ValueRef<'_>) {
        self.add(name, Some(value), true);
    }

    fn derived_list(&mut self, name: &str) {
        self.add(name, None, true);
    }

    fn reset(&mut self) {
        self.forget();
    }
}

impl Fields {
    /// Forgets all fields and keeps the buffers, unless they have become large.
    pub fn clear(&mut self) {
        self.within = None;
        self.forget();
    }

    /// Forgets all fields; those that come are read from `text`, until [`Fields::end`]. Whoever asks for their values
    /// has to give the text again.
    pub(crate) fn begin(&mut self, text: &str) {
        self.forget();
        self.within = ((text.len() as u64) < u64::from(WITHIN)).then(|| (text.as_ptr().addr(), text.len()));
    }

    /// What comes from now on is not from the text that was read, which may move.
    pub(crate) fn end(&mut self) {
        self.within = None;
    }

    fn forget(&mut self) {
        let kept = self.text.capacity() + self.entries.capacity() * size_of::<Entry>();
        if kept > KEPT_BYTES_MAX {
            self.text = String::new();
            self.entries = Vec::new();
        }
        self.text.clear();
        self.said_bytes = 0;
        self.entries.clear();
        self.names_bytes = 0;
        self.names.begin();
    }

    /// Bytes of names and of values that are no parts of the text that is read.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len() + self.names_bytes
    }

    /// How many numbers there are for fields; some may stand for nothing, see [`Fields::name`].
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    /// The name of the field with this number; `None` where the number stands for a further value of another.
    pub(crate) fn name(&self, at: usize) -> Option<&str> {
        let entry = &self.entries[at];
        matches!(entry.kind, Kind::First | Kind::List).then(|| self.names.get(entry.name))
    }

    /// What the field's name tells; `None` as in [`Fields::name`].
    #[inline]
    pub(crate) fn class(&self, at: usize) -> Option<Class> {
        let entry = &self.entries[at];
        matches!(entry.kind, Kind::First | Kind::List).then(|| self.names.class(entry.name))
    }

    /// The hash of the field's name; equal for equal names in one `Fields`.
    pub(crate) fn hash(&self, at: usize) -> u64 {
        self.names.hash(self.entries[at].name)
    }

    /// The hash that a field of this name has.
    pub(crate) fn hash_of(&self, name: &str) -> u64 {
        self.names.hash_of(name)
    }

    /// The field's value, if it is a single one. `text` is what is read.
    pub(crate) fn single<'f>(&'f self, at: usize, text: &'f str) -> Option<ValueRef<'f>> {
        let entry = &self.entries[at];
        (entry.kind == Kind::First && entry.next == NONE).then(|| self.value(entry.value, text))
    }

    /// Gives a field another name. It is not found by it when a field of the new name is added.
    pub(crate) fn rename(&mut self, at: usize, name: &str) {
        let before = self.entries[at].name;
        let number = self.names.other_name(before, name);
        self.entries[at].name = number;
        if self.names.field(before) == Some(at) {
            self.names.unset_field(before);
        }
    }

    /// Puts `prefix` before the field's name.
    pub(crate) fn prefix(&mut self, at: usize, prefix: &str) {
        let name = [prefix, self.names.get(self.entries[at].name)].concat();
        self.rename(at, &name);
    }

    /// Replaces a single value.
    pub(crate) fn replace(&mut self, at: usize, value: ValueRef<'_>) {
        let value = self.hold(value);
        self.entries[at].value = value;
    }

    /// Takes a field out.
    pub(crate) fn remove(&mut self, at: usize) {
        self.entries[at].kind = Kind::Gone;
    }

    /// Calls `each` with all fields in order, lists as one value. None of them may be from a text that was told of
    /// ([`Fields::begin`]).
    pub fn read<R>(
        &self,
        each: impl for<'v> FnOnce(&mut dyn Iterator<Item = (&'v str, ValueRef<'v>)>) -> R,
    ) -> R {
        let mut elements = Vec::new();
        for entry in self.lists() {
            elements.extend(self.chain(entry).map(|held| self.value(held, "")));
        }
        let mut from = 0;
        let mut fields = self.firsts().map(|entry| {
            let name = self.names.get(entry.name);
            if !entry.is_list() {
                return (name, self.value(entry.value, ""));
            }
            let start = from;
            from += self.chain(entry).count();
            (name, ValueRef::List(elements[start..from].into()))
        });
        each(&mut fields)
    }

    /// Calls `each` with all fields in order, as a batch takes them that has the text that was read.
    pub(crate) fn found<R>(&self, each: impl FnOnce(&mut dyn Iterator<Item = FoundField<'_>>) -> R) -> R {
        let mut elements = Vec::new();
        for entry in self.lists() {
            elements.extend(self.chain(entry).map(|held| self.found_value(held)));
        }
        let mut from = 0;
        let mut fields = self.firsts().map(|entry| {
            let value = if entry.is_list() {
                let start = from;
                from += self.chain(entry).count();
                FoundValue::List(&elements[start..from])
            } else {
                self.found_value(entry.value)
            };
            FoundField { name: self.names.get(entry.name), guess: self.names.guess(entry.name), value }
        });
        each(&mut fields)
    }

    fn firsts(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.kind, Kind::First | Kind::List))
    }

    fn lists(&self) -> impl Iterator<Item = &Entry> {
        self.firsts().filter(|entry| entry.is_list())
    }

    fn chain(&self, entry: &Entry) -> impl Iterator<Item = Held> {
        let own = (entry.kind == Kind::First).then_some(entry.value);
        let mut next = entry.next;
        let further = std::iter::from_fn(move || {
            let entry = self.entries.get(next as usize)?;
            next = entry.next;
            Some(entry.value)
        });
        own.into_iter().chain(further)
    }

    fn part<'f>(&'f self, span: Span, text: &'f str) -> &'f str {
        let start = (span.start & !WITHIN) as usize;
        let from = if span.start & WITHIN == 0 { &self.text } else { text };
        &from[start..start + span.len as usize]
    }

    #[inline]
    fn value<'f>(&'f self, held: Held, text: &'f str) -> ValueRef<'f> {
        match held {
            Held::Null => ValueRef::Null,
            Held::Bool(value) => ValueRef::Bool(value),
            Held::Int(value) => ValueRef::Int(value),
            Held::Float(value) => ValueRef::Float(value),
            Held::Timestamp(value) => ValueRef::Timestamp(value),
            Held::Str(span) => ValueRef::Str(self.part(span, text)),
            Held::Json(span) => ValueRef::Json(self.part(span, text)),
        }
    }

    #[inline]
    fn found_value(&self, held: Held) -> FoundValue<'_> {
        match held {
            Held::Str(Span { start, len }) if start & WITHIN != 0 => {
                FoundValue::Part { start: start & !WITHIN, len }
            }
            Held::Json(Span { start, len }) if start & WITHIN != 0 => {
                FoundValue::JsonPart { start: start & !WITHIN, len }
            }
            held => FoundValue::Value(self.value(held, "")),
        }
    }

    #[inline]
    fn hold(&mut self, value: ValueRef<'_>) -> Held {
        match value {
            ValueRef::Null | ValueRef::List(_) => Held::Null,
            ValueRef::Bool(value) => Held::Bool(value),
            ValueRef::Int(value) => Held::Int(value),
            ValueRef::Float(value) => Held::Float(value),
            ValueRef::Timestamp(value) => Held::Timestamp(value),
            ValueRef::Str(text) => Held::Str(self.keep(text)),
            ValueRef::Json(text) => Held::Json(self.keep(text)),
        }
    }

    /// Keeps the place of a part of the text that is read, and the rest as a copy.
    #[inline]
    fn keep(&mut self, text: &str) -> Span {
        let len = text.len() as u32;
        self.said_bytes += text.len();
        if let Some((begin, length)) = self.within {
            // While that text is read it stands where it stands, so what lies between its ends is a part of it.
            let start = text.as_ptr().addr().wrapping_sub(begin);
            if start <= length && text.len() <= length - start {
                return Span { start: start as u32 | WITHIN, len };
            }
        }
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Span { start, len }
    }

    /// Adds a value, or says that the field is a list.
    #[inline]
    fn add(&mut self, name: &str, value: Option<ValueRef<'_>>, derived: bool) {
        let full = self.entries.len() >= RECORD_FIELDS_MAX || self.names_bytes > NAMES_BYTES_MAX;
        let said_max =
            self.within.map_or(VALUE_BYTES_MAX, |(_, length)| VALUE_BYTES_MAX.min(TIMES_MAX * length));
        if full || self.said_bytes > said_max {
            return;
        }
        let number = self.names.number(name);
        if let Some(known) = self.names.field(number) {
            return self.add_again(known, value, derived);
        }
        let at = self.entries.len() as u32;
        let kind = if value.is_some() { Kind::First } else { Kind::List };
        let value = value.map_or(Held::Null, |value| self.hold(value));
        self.names_bytes += name.len();
        self.entries.push(Entry { name: number, value, next: NONE, last: at, kind, derived });
        self.names.set_field(number, at);
    }

    fn add_again(&mut self, known: usize, value: Option<ValueRef<'_>>, derived: bool) {
        match (self.entries[known].derived, derived) {
            (false, true) => return,
            (true, false) => return self.overrule(known, value),
            _ => {}
        }
        let Some(value) = value else {
            // A second list adds its elements to the first; a single value before it becomes an element.
            if self.entries[known].kind == Kind::First && self.entries[known].next == NONE {
                self.become_list(known);
            }
            return;
        };
        let value = self.hold(value);
        let (at, entry) = (self.entries.len() as u32, self.entries[known]);
        self.entries.push(Entry { value, next: NONE, last: NONE, kind: Kind::Further, ..entry });
        self.entries[entry.last as usize].next = at;
        self.entries[known].last = at;
    }

    /// What is said of a field itself replaces what was derived.
    fn overrule(&mut self, known: usize, value: Option<ValueRef<'_>>) {
        let kind = if value.is_some() { Kind::First } else { Kind::List };
        let value = value.map_or(Held::Null, |value| self.hold(value));
        let entry = self.entries[known];
        self.entries[known] = Entry { value, kind, derived: false, next: NONE, last: known as u32, ..entry };
    }

    fn become_list(&mut self, known: usize) {
        let at = self.entries.len() as u32;
        let entry = self.entries[known];
        self.entries.push(Entry { next: NONE, last: NONE, kind: Kind::Further, ..entry });
        self.entries[known] = Entry { kind: Kind::List, next: at, last: at, ..entry };
    }
}

impl Entry {
    fn is_list(&self) -> bool {
        self.kind == Kind::List || self.next != NONE
    }
}
