//! Fields on their way from a text into a record.
//!
//! Owns: the order of fields, names that are said twice, the bounds of what one line may bring.
//! Does not own: where the fields come from (`json`, `body`), and what they mean.
//! Invariant: bounded by [`RECORD_FIELDS_MAX`] values and [`NAMES_BYTES_MAX`] bytes of names, in time linear in
//! what it is given.

use sawyer_model::limits::RECORD_FIELDS_MAX;
use sawyer_model::{Timestamp, ValueRef};
use xxhash_rust::xxh3::xxh3_64_with_seed;

#[cfg(test)]
mod tests;

/// Most bytes of field names that one line may bring; beyond it fields stay in the line as written. Long paths
/// around many small values would otherwise make a small line fill a node's memory.
pub const NAMES_BYTES_MAX: usize = 4 << 20;

/// Buffers above this many bytes are given back after the line that needed them.
const KEPT_BYTES_MAX: usize = 1 << 20;

const NONE: u32 = u32::MAX;

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

/// Fields with their names and values in one buffer that is used again for each line.
#[derive(Debug)]
pub struct Fields {
    text: String,
    names_bytes: usize,
    entries: Vec<Entry>,
    /// Numbers of fields, found by the hash of their names. A slot counts if its round is the present one.
    table: Vec<Slot>,
    round: u32,
    distinct: usize,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Span,
    hash: u64,
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

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    round: u32,
    entry: u32,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
}

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
            names_bytes: 0,
            entries: Vec::new(),
            table: vec![Slot::default(); 64],
            round: 1,
            distinct: 0,
            seed: RandomState::new().hash_one(0),
        }
    }
}

impl FieldSink for Fields {
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
        self.clear();
    }
}

impl Fields {
    /// Forgets all fields and keeps the buffers, unless they have become large.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.names_bytes = 0;
        self.distinct = 0;
        self.round = self.round.wrapping_add(1);
        let kept = self.text.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.table.len() * size_of::<Slot>();
        let large = kept > KEPT_BYTES_MAX;
        if large || self.round == 0 {
            *self = Self { seed: self.seed, ..Self::default() };
        }
    }

    /// How many numbers there are for fields; some may stand for nothing, see [`Fields::name`].
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    /// The name of the field with this number; `None` where the number stands for a further value of another.
    pub(crate) fn name(&self, at: usize) -> Option<&str> {
        let entry = &self.entries[at];
        matches!(entry.kind, Kind::First | Kind::List).then(|| self.part(entry.name))
    }

    /// The hash of the field's name; equal for equal names in one `Fields`.
    pub(crate) fn hash(&self, at: usize) -> u64 {
        self.entries[at].hash
    }

    /// The hash that a field of this name has.
    pub(crate) fn hash_of(&self, name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), self.seed)
    }

    /// The field's value, if it is a single one.
    pub(crate) fn single(&self, at: usize) -> Option<ValueRef<'_>> {
        let entry = &self.entries[at];
        (entry.kind == Kind::First && entry.next == NONE).then(|| self.value(entry.value))
    }

    /// Gives a field another name. It is not found by it when a field of the new name is added.
    pub(crate) fn rename(&mut self, at: usize, prefix: &str, name: &str) {
        let start = self.text.len() as u32;
        self.text.push_str(prefix);
        self.text.push_str(name);
        self.entries[at].name = Span { start, len: self.text.len() as u32 - start };
    }

    /// Puts `prefix` before the field's name.
    pub(crate) fn prefix(&mut self, at: usize, prefix: &str) {
        let Span { start, len } = self.entries[at].name;
        let new = self.text.len() as u32;
        self.text.push_str(prefix);
        self.text.extend_from_within(start as usize..(start + len) as usize);
        self.entries[at].name = Span { start: new, len: self.text.len() as u32 - new };
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

    /// Calls `each` with all fields in order, lists as one value.
    pub fn read<R>(
        &self,
        each: impl for<'v> FnOnce(&mut dyn Iterator<Item = (&'v str, ValueRef<'v>)>) -> R,
    ) -> R {
        let mut elements = Vec::new();
        let is_list = |entry: &Entry| entry.kind == Kind::List || entry.next != NONE;
        let first = |entry: &&Entry| matches!(entry.kind, Kind::First | Kind::List);
        for entry in self.entries.iter().filter(first).filter(|entry| is_list(entry)) {
            self.collect(entry, &mut elements);
        }
        let mut from = 0;
        let mut fields = self.entries.iter().filter(first).map(|entry| {
            let name = self.part(entry.name);
            if !is_list(entry) {
                return (name, self.value(entry.value));
            }
            let start = from;
            from += self.length(entry);
            (name, ValueRef::List(elements[start..from].into()))
        });
        each(&mut fields)
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

    fn collect<'a>(&'a self, entry: &Entry, elements: &mut Vec<ValueRef<'a>>) {
        elements.extend(self.chain(entry).map(|held| self.value(held)));
    }

    fn length(&self, entry: &Entry) -> usize {
        self.chain(entry).count()
    }

    fn part(&self, span: Span) -> &str {
        &self.text[span.start as usize..(span.start + span.len) as usize]
    }

    fn value(&self, held: Held) -> ValueRef<'_> {
        match held {
            Held::Null => ValueRef::Null,
            Held::Bool(value) => ValueRef::Bool(value),
            Held::Int(value) => ValueRef::Int(value),
            Held::Float(value) => ValueRef::Float(value),
            Held::Timestamp(value) => ValueRef::Timestamp(value),
            Held::Str(span) => ValueRef::Str(self.part(span)),
            Held::Json(span) => ValueRef::Json(self.part(span)),
        }
    }

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

    fn keep(&mut self, text: &str) -> Span {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Span { start, len: text.len() as u32 }
    }

    /// Adds a value, or says that the field is a list.
    fn add(&mut self, name: &str, value: Option<ValueRef<'_>>, derived: bool) {
        if self.entries.len() >= RECORD_FIELDS_MAX || self.names_bytes > NAMES_BYTES_MAX {
            return;
        }
        let hash = self.hash_of(name);
        let slot = match self.find(name, hash) {
            Ok(known) => return self.add_again(known, value, derived),
            Err(slot) => slot,
        };
        let at = self.entries.len() as u32;
        let kind = if value.is_some() { Kind::First } else { Kind::List };
        let name = self.keep(name);
        let value = value.map_or(Held::Null, |value| self.hold(value));
        self.names_bytes += name.len as usize;
        self.entries.push(Entry { name, hash, value, next: NONE, last: at, kind, derived });
        self.table[slot] = Slot { round: self.round, entry: at };
        self.distinct += 1;
        if self.distinct * 2 > self.table.len() {
            self.grow();
        }
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

    /// The number of the field with this name, or the slot of the table where it belongs.
    fn find(&self, name: &str, hash: u64) -> Result<usize, usize> {
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let Slot { round, entry } = self.table[slot];
            if round != self.round {
                return Err(slot);
            }
            let known = &self.entries[entry as usize];
            if known.hash == hash && self.part(known.name) == name {
                return Ok(entry as usize);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        let mut table = vec![Slot::default(); mask + 1];
        for slot in self.table.iter().filter(|slot| slot.round == self.round) {
            let mut place = self.entries[slot.entry as usize].hash as usize & mask;
            while table[place].round == self.round {
                place = (place + 1) & mask;
            }
            table[place] = *slot;
        }
        self.table = table;
    }
}
