//! Records in bulk, and how they are read, written and changed.

mod draft;
mod order;
mod own;
mod placed;
mod room;
mod sources;

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use crate::ack::Ack;
use crate::limits::{BATCH_TEXT_BYTES_MAX, RECORD_FIELDS_MAX, VALUE_BYTES_MAX};
use crate::names::{self, NameGuess, NameId, Names};
use crate::progress::Progress;
use crate::ranges::SeqRange;
use crate::record::Record;
use crate::source::{Covered, RecordId, SourceId, Stream};
use crate::timestamp::Timestamp;
use crate::value::{Elements, ListRef, ValueRef};

pub use draft::Draft;
pub use own::{OwnFields, OwnPart, OwnParts, OwnPlaces};
pub use placed::PlacedValue;

/// Records in the order they were read, with what they share, and the parts of their sources that they account
/// for.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    names: Names,
    text: String,
    fields: Vec<Field>,
    elements: Vec<Slot>,
    entries: Vec<Entry>,
    streams: Vec<Arc<Stream>>,
    /// Numbers of the streams by fingerprint, where there are more than [`STREAMS_SEARCHED_MAX`].
    stream_numbers: HashMap<u128, u32>,
    covered: Vec<Covered>,
    /// Whether its records are whole: no lines that others may belong to.
    whole: bool,
    /// For each name, the number of the last writer that used it: finds a name said twice without searching.
    stamps: Vec<u32>,
    writer: u32,
    /// What it was decoded from, until it is changed.
    encoded: Option<Bytes>,
    /// What its input tells of its reading, and the number of this batch there.
    progress: Option<(Arc<Progress>, u64)>,
}

/// Streams that are searched one by one; more are looked up.
const STREAMS_SEARCHED_MAX: usize = 16;

/// A batch on its way, with the duty to acknowledge it.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The records. Shared by those who take the same transfer; whoever changes it makes it its own.
    pub batch: Arc<Batch>,
    /// Whom to tell what became of it.
    pub ack: Ack,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: NameId,
    value: Slot,
}

/// A value whose text and elements lie in the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Timestamp(Timestamp),
    Str { start: u32, len: u32 },
    Json { start: u32, len: u32 },
    List { start: u32, len: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    timestamp: Timestamp,
    observed: Timestamp,
    source: SourceId,
    range: SeqRange,
    stream: u32,
    fields_start: u32,
    fields_len: u32,
}

/// What is known of a record before its fields.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead {
    /// When it was said.
    pub timestamp: Timestamp,
    /// When it was first seen.
    pub observed: Timestamp,
    /// What it was read from.
    pub source: SourceId,
    /// The part of the source that is its own. With the source it names the record; the start is unique in it.
    pub range: SeqRange,
}

/// Where a text stands in a batch, and goes on standing whatever becomes of the field that it was the value of.
#[derive(Clone, Copy, Debug)]
pub struct TextPlace {
    start: u32,
    len: u32,
}

/// A field that was found in a text of the batch.
#[derive(Clone, Copy, Debug)]
pub struct FoundField<'v> {
    /// Its name.
    pub name: &'v str,
    /// The number of this name where it was added last; saves looking it up. It must not be used for any other name.
    pub guess: &'v Cell<NameGuess>,
    /// Its value.
    pub value: FoundValue<'v>,
}

/// A value that may be a part of a text of the batch; such a part is not copied.
#[derive(Clone, Copy, Debug)]
pub enum FoundValue<'v> {
    /// Any other.
    Value(ValueRef<'v>),
    /// The text from `start` on.
    Part {
        /// From the beginning of the text in which it was found, in bytes.
        start: u32,
        /// In bytes.
        len: u32,
    },
    /// The JSON from `start` on.
    JsonPart {
        /// From the beginning of the text in which it was found, in bytes.
        start: u32,
        /// In bytes.
        len: u32,
    },
    /// A list of values that are no lists.
    List(&'v [FoundValue<'v>]),
}

impl Slot {
    /// The value of anything but a list; lists are not nested, so a list in a list reads as null.
    #[inline(always)]
    pub(crate) fn scalar(self, text: &str) -> ValueRef<'_> {
        let part = |start: u32, len: u32| &text[start as usize..(start + len) as usize];
        match self {
            Self::Null | Self::List { .. } => ValueRef::Null,
            Self::Bool(value) => ValueRef::Bool(value),
            Self::Int(value) => ValueRef::Int(value),
            Self::Float(value) => ValueRef::Float(value),
            Self::Timestamp(time) => ValueRef::Timestamp(time),
            Self::Str { start, len } => ValueRef::Str(part(start, len)),
            Self::Json { start, len } => ValueRef::Json(part(start, len)),
        }
    }
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no records. It may still account for parts of sources; see [`Batch::covered`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// About how much memory its contents take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
            + self.fields.len() * size_of::<Field>()
            + self.elements.len() * size_of::<Slot>()
            + self.entries.len() * size_of::<Entry>()
            + self.encoded.as_ref().map_or(0, Bytes::len)
    }

    /// Bytes of text in it.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The streams that its records point to.
    #[must_use]
    pub fn streams(&self) -> &[Arc<Stream>] {
        &self.streams
    }

    /// Adds a stream; gives the number to pass to [`Batch::begin`]. Adding it again gives the same number.
    pub fn add_stream(&mut self, stream: &Arc<Stream>) -> u32 {
        let fingerprint = stream.fingerprint();
        if self.streams.len() <= STREAMS_SEARCHED_MAX {
            let known = self.streams.iter().rposition(|known| known.fingerprint() == fingerprint);
            if let Some(known) = known {
                return known as u32;
            }
        } else {
            for (at, known) in self.streams.iter().enumerate().skip(self.stream_numbers.len()) {
                self.stream_numbers.insert(known.fingerprint(), at as u32);
            }
            if let Some(known) = self.stream_numbers.get(&fingerprint) {
                return *known;
            }
        }
        self.streams.push(Arc::clone(stream));
        self.streams.len() as u32 - 1
    }

    /// Puts another stream in the place of the one with this number: its records then speak for that.
    ///
    /// # Panics
    /// If there is no stream with that number.
    pub fn replace_stream(&mut self, number: usize, stream: Arc<Stream>) {
        let before = std::mem::replace(&mut self.streams[number], stream);
        if number < self.stream_numbers.len() {
            self.stream_numbers.remove(&before.fingerprint());
            self.stream_numbers.insert(self.streams[number].fingerprint(), number as u32);
        }
    }

    /// The parts of sources that this batch accounts for: the lines of its records, and those that were joined
    /// into records, filtered or counted away.
    #[must_use]
    pub fn covered(&self) -> &[Covered] {
        &self.covered
    }

    /// Says that the batch accounts for this part of a source. A part that continues the last one is joined to it.
    pub fn cover(&mut self, source: SourceId, range: SeqRange) {
        self.encoded = None;
        match self.covered.last_mut() {
            Some(last) if last.source == source && last.range.end == range.start => {
                last.range.end = range.end;
            }
            _ if range.is_empty() => {}
            _ => self.covered.push(Covered { source, range }),
        }
    }

    /// Puts these in place of all parts that the batch accounts for: for those who read a batch from bytes, where
    /// records alone do not tell them.
    pub fn set_covered(&mut self, covered: Vec<Covered>) {
        self.encoded = None;
        self.covered = covered;
    }

    /// Says that its records are whole as they are: whoever sent them sent records, and no lines of a text.
    pub fn set_whole(&mut self) {
        self.whole = true;
    }

    /// Whether its records are whole; else several may be lines of one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Number of the name within this batch; names that were never used may be added by it.
    pub fn intern(&mut self, name: &str) -> NameId {
        self.names.intern(name)
    }

    /// Number of the name, if any record may have it.
    #[must_use]
    pub fn find_name(&self, name: &str) -> Option<NameId> {
        self.names.find(name)
    }

    /// The name with this number.
    #[must_use]
    pub fn name(&self, id: NameId) -> &str {
        self.names.get(id)
    }

    /// All names that are numbered, in the order of their numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter()
    }

    /// How many names are numbered; [`NameId::index`] is below it.
    #[must_use]
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// Starts a record. Its own range is covered with it. `stream` is a number from [`Batch::add_stream`].
    ///
    /// # Panics
    /// If there is no stream with that number.
    pub fn begin(&mut self, head: RecordHead, stream: u32) -> RecordWriter<'_> {
        self.next_writer();
        self.begin_at(head, stream, self.fields.len())
    }

    /// Starts a record that has the fields from `fields_start` on.
    fn begin_at(&mut self, head: RecordHead, stream: u32, fields_start: usize) -> RecordWriter<'_> {
        assert!((stream as usize) < self.streams.len(), "streams are added before records");
        self.cover(head.source, head.range);
        self.entries.push(Entry {
            timestamp: head.timestamp,
            observed: head.observed,
            source: head.source,
            range: head.range,
            stream,
            fields_start: fields_start as u32,
            fields_len: (self.fields.len() - fields_start) as u32,
        });
        RecordWriter { at: self.entries.len() - 1, batch: self }
    }

    /// Adds a copy of a record.
    pub fn push(&mut self, record: &Record) {
        let stream = self.add_stream(&record.stream);
        let mut writer = self.begin(record.head(), stream);
        for (name, value) in &record.fields {
            writer.field(name, value.as_ref());
        }
    }

    /// Adds a copy of a record of another batch.
    pub fn push_ref(&mut self, record: RecordRef<'_>) {
        let stream = self.add_stream(record.stream());
        let mut writer = self.begin(record.head(), stream);
        for (name, value) in record.own_fields() {
            writer.field(name, value);
        }
    }

    /// The record at this place.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn get(&self, at: usize) -> RecordRef<'_> {
        RecordRef { entry: &self.entries[at], batch: self }
    }

    /// The records, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RecordRef<'_>> + DoubleEndedIterator {
        self.entries.iter().map(move |entry| RecordRef { entry, batch: self })
    }

    /// To change the record at this place.
    ///
    /// # Panics
    /// If there is none.
    pub fn edit(&mut self, at: usize) -> RecordEditor<'_> {
        assert!(at < self.entries.len(), "the record exists");
        self.encoded = None;
        RecordEditor { at, batch: self }
    }

    fn next_writer(&mut self) {
        self.writer = self.writer.wrapping_add(1);
        if self.writer == 0 {
            self.stamps.clear();
            self.writer = 1;
        }
    }

    #[inline]
    fn store_text(&mut self, text: &str) -> (u32, u32) {
        let text = cut(text);
        let start = self.text.len();
        assert!(start + text.len() <= BATCH_TEXT_BYTES_MAX, "whoever fills a batch closes it in time");
        self.text.push_str(text);
        (start as u32, text.len() as u32)
    }

    #[inline]
    fn store_scalar(&mut self, value: ValueRef<'_>) -> Slot {
        match value {
            ValueRef::Null | ValueRef::List(_) => Slot::Null,
            ValueRef::Bool(value) => Slot::Bool(value),
            ValueRef::Int(value) => Slot::Int(value),
            ValueRef::Float(value) => Slot::Float(value),
            ValueRef::Timestamp(time) => Slot::Timestamp(time),
            ValueRef::Str(text) => {
                let (start, len) = self.store_text(text);
                Slot::Str { start, len }
            }
            ValueRef::Json(text) => {
                let (start, len) = self.store_text(text);
                Slot::Json { start, len }
            }
        }
    }

    #[inline]
    fn store(&mut self, value: ValueRef<'_>) -> Slot {
        let ValueRef::List(list) = value else { return self.store_scalar(value) };
        let start = self.elements.len() as u32;
        for element in list.iter() {
            let slot = self.store_scalar(element);
            self.elements.push(slot);
        }
        Slot::List { start, len: list.len() as u32 }
    }

    #[inline(always)]
    fn value(&self, slot: Slot) -> ValueRef<'_> {
        match slot {
            Slot::List { start, len } => self.list(start, len),
            scalar => scalar.scalar(&self.text),
        }
    }

    #[inline(always)]
    fn list(&self, start: u32, len: u32) -> ValueRef<'_> {
        let slots = &self.elements[start as usize..(start + len) as usize];
        ValueRef::List(ListRef(Elements::Slots { slots, text: &self.text }))
    }

    /// Adds a field to the entry whose fields end at the end of `fields`.
    #[inline]
    fn append(&mut self, at: usize, name: NameId, value: ValueRef<'_>) {
        self.append_with(at, name, |batch| batch.store(value));
    }

    #[inline(always)]
    fn append_with(&mut self, at: usize, name: NameId, store: impl FnOnce(&mut Self) -> Slot) {
        if self.stamps.get(name.index()).is_none_or(|stamp| *stamp == self.writer) {
            if self.stamps.len() > name.index() {
                let value = store(self);
                return self.append_again(at, name, value);
            }
            self.grow_stamps();
        }
        if self.entries[at].fields_len as usize >= RECORD_FIELDS_MAX {
            return;
        }
        self.stamps[name.index()] = self.writer;
        let value = store(self);
        self.fields.push(Field { name, value });
        self.entries[at].fields_len += 1;
    }

    #[cold]
    fn grow_stamps(&mut self) {
        self.stamps.resize(self.names.len(), 0);
    }

    /// A name said twice makes a list of all that was said.
    #[cold]
    fn append_again(&mut self, at: usize, name: NameId, value: Slot) {
        let range = self.entries[at].fields();
        let place = range.start
            + self.fields[range]
                .iter()
                .position(|field| field.name == name)
                .expect("the stamp says it is here");
        let before = self.fields[place].value;
        let start = self.elements.len() as u32;
        for slot in [before, value] {
            match slot {
                Slot::List { start, len } => {
                    self.elements.extend_from_within(start as usize..(start + len) as usize);
                }
                scalar => self.elements.push(scalar),
            }
        }
        let len = self.elements.len() as u32 - start;
        self.fields[place].value = Slot::List { start, len };
    }
}

/// The longest part of a text that is within bounds.
#[inline]
fn cut(text: &str) -> &str {
    if text.len() <= VALUE_BYTES_MAX {
        return text;
    }
    let mut end = VALUE_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Entry {
    fn fields(&self) -> std::ops::Range<usize> {
        self.fields_start as usize..(self.fields_start + self.fields_len) as usize
    }
}

/// Gives a new record its fields.
#[derive(Debug)]
pub struct RecordWriter<'a> {
    batch: &'a mut Batch,
    at: usize,
}

impl RecordWriter<'_> {
    /// Adds a field. A name that the record has already makes a list of both values.
    pub fn field(&mut self, name: &str, value: ValueRef<'_>) {
        let name = self.batch.names.intern(name);
        self.batch.append(self.at, name, value);
    }

    /// Adds a field by the number of its name.
    pub fn field_by_id(&mut self, name: NameId, value: ValueRef<'_>) {
        self.batch.append(self.at, name, value);
    }
}

/// Changes a record of a batch.
#[derive(Debug)]
pub struct RecordEditor<'a> {
    batch: &'a mut Batch,
    at: usize,
}

impl RecordEditor<'_> {
    /// The record as it stands.
    #[must_use]
    pub fn as_ref(&self) -> RecordRef<'_> {
        self.batch.get(self.at)
    }

    /// Sets when it was said.
    pub fn set_timestamp(&mut self, time: Timestamp) {
        self.batch.entries[self.at].timestamp = time;
    }

    /// Sets when it was first seen.
    pub fn set_observed(&mut self, time: Timestamp) {
        self.batch.entries[self.at].observed = time;
    }

    /// Gives a field this value, whether or not the record had it.
    pub fn set(&mut self, name: &str, value: ValueRef<'_>) {
        let name = self.batch.names.intern(name);
        let value = self.batch.store(value);
        let range = self.batch.entries[self.at].fields();
        if let Some(field) = self.batch.fields[range].iter_mut().find(|field| field.name == name) {
            field.value = value;
            return;
        }
        self.move_to_end();
        if self.batch.entries[self.at].fields().len() >= RECORD_FIELDS_MAX {
            // The last one gives way; the line as it was written still has it.
            self.batch.fields.pop();
            self.batch.entries[self.at].fields_len -= 1;
        }
        self.batch.fields.push(Field { name, value });
        self.batch.entries[self.at].fields_len += 1;
    }

    /// Adds several fields at once, cheaper than [`RecordEditor::set`] one by one. A name that the record has
    /// already makes a list of both values.
    pub fn extend<'v>(&mut self, fields: impl IntoIterator<Item = (&'v str, ValueRef<'v>)>) {
        self.stamp_own();
        for (name, value) in fields {
            let name = self.batch.names.intern(name);
            self.batch.append(self.at, name, value);
        }
    }

    /// Adds fields that were found in the text at `place`, as [`RecordEditor::extend`] does.
    ///
    /// # Panics
    /// If a part does not lie within that text.
    #[inline]
    pub fn extend_found<'v>(&mut self, place: TextPlace, fields: impl Iterator<Item = FoundField<'v>>) {
        self.stamp_own();
        self.batch.append_found(self.at, place, fields);
    }

    /// Makes the record's fields the last, so that more can be added, and marks their names as used.
    fn stamp_own(&mut self) {
        self.move_to_end();
        self.batch.next_writer();
        let stamp = self.batch.writer;
        self.batch.stamps.resize(self.batch.names.len(), 0);
        for field in &self.batch.fields[self.batch.entries[self.at].fields()] {
            self.batch.stamps[field.name.index()] = stamp;
        }
    }

    /// Gives a field of one common name another common name, as [`RecordEditor::rename`] does.
    pub fn rename_by_id(&mut self, from: NameId, to: NameId) -> bool {
        let range = self.batch.entries[self.at].fields();
        let Some(place) = self.batch.fields[range.clone()].iter().position(|field| field.name == from) else {
            return false;
        };
        let other = self.batch.fields[range.clone()].iter().position(|field| field.name == to);
        self.batch.fields[range.start + place].name = to;
        if let Some(other) = other.filter(|_| from != to) {
            self.batch.fields[range.start + other..range.end].rotate_left(1);
            self.batch.entries[self.at].fields_len -= 1;
        }
        true
    }

    /// Takes a field away; says whether the record had it. Fields of its stream stay.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(name) = self.batch.names.find(name) else { return false };
        let range = self.batch.entries[self.at].fields();
        let Some(place) = self.batch.fields[range.clone()].iter().position(|field| field.name == name) else {
            return false;
        };
        self.batch.fields[range.start + place..range.end].rotate_left(1);
        self.batch.entries[self.at].fields_len -= 1;
        true
    }

    /// Gives a field another name without copying its value; says whether the record had it. A field that had
    /// the new name is replaced.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(from) = self.batch.names.find(from) else { return false };
        let range = self.batch.entries[self.at].fields();
        if !self.batch.fields[range.clone()].iter().any(|field| field.name == from) {
            return false;
        }
        let new = self.batch.names.intern(to);
        if new != from {
            self.remove(to);
        }
        let field = self.batch.fields[range].iter_mut().find(|field| field.name == from);
        field.expect("it was found above").name = new;
        true
    }

    /// Says that something was amiss with the record ([`names::MARK`]), once for each kind.
    pub fn mark(&mut self, mark: &'static str) {
        let marked = self.as_ref().marks().any(|known| known == mark);
        if !marked {
            self.extend([(names::MARK, ValueRef::Str(mark))]);
        }
    }

    /// Makes the record speak for another stream.
    pub fn set_stream(&mut self, stream: &Arc<Stream>) {
        let stream = self.batch.add_stream(stream);
        self.batch.entries[self.at].stream = stream;
    }

    fn move_to_end(&mut self) {
        let range = self.batch.entries[self.at].fields();
        if range.end != self.batch.fields.len() {
            self.batch.entries[self.at].fields_start = self.batch.fields.len() as u32;
            self.batch.fields.extend_from_within(range);
        }
    }
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    batch: &'a Batch,
    entry: &'a Entry,
}

impl<'a> RecordRef<'a> {
    /// When it was said.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        self.entry.timestamp
    }

    /// When it was first seen.
    #[must_use]
    pub fn observed(self) -> Timestamp {
        self.entry.observed
    }

    /// What it was read from.
    #[must_use]
    pub fn source(self) -> SourceId {
        self.entry.source
    }

    /// The part of its source that is its own.
    #[must_use]
    pub fn range(self) -> SeqRange {
        self.entry.range
    }

    /// Its name for all time.
    #[must_use]
    pub fn id(self) -> RecordId {
        RecordId { source: self.entry.source, start: self.entry.range.start }
    }

    /// What is known of it beside its fields.
    #[must_use]
    pub fn head(self) -> RecordHead {
        let Entry { timestamp, observed, source, range, .. } = *self.entry;
        RecordHead { timestamp, observed, source, range }
    }

    /// Who speaks.
    #[must_use]
    pub fn stream(self) -> &'a Arc<Stream> {
        &self.batch.streams[self.entry.stream as usize]
    }

    /// Number of its stream among [`Batch::streams`].
    #[inline]
    #[must_use]
    pub fn stream_index(self) -> usize {
        self.entry.stream as usize
    }

    /// The value of a field: of `timestamp` and `observed`, else the record's own, else its stream's.
    #[must_use]
    pub fn get(self, name: &str) -> Option<ValueRef<'a>> {
        match name {
            names::TIMESTAMP => return Some(ValueRef::Timestamp(self.entry.timestamp)),
            names::OBSERVED => return Some(ValueRef::Timestamp(self.entry.observed)),
            _ => {}
        }
        let own = self.batch.names.find(name).and_then(|id| self.get_by_id(id));
        own.or_else(|| self.stream().get(name).map(crate::value::Value::as_ref))
    }

    /// The value of one of its own fields, by the number of the name.
    #[inline]
    #[must_use]
    pub fn get_by_id(self, name: NameId) -> Option<ValueRef<'a>> {
        let fields = &self.batch.fields[self.entry.fields()];
        fields.iter().find(|field| field.name == name).map(|field| self.batch.value(field.value))
    }

    /// The message; empty if there is none, or if it is not text.
    #[must_use]
    pub fn message(self) -> &'a str {
        self.get_by_id(NameId::MESSAGE).and_then(ValueRef::as_str).unwrap_or("")
    }

    /// Where its message stands, if it has one that is text.
    #[must_use]
    pub fn message_place(self) -> Option<TextPlace> {
        let fields = &self.batch.fields[self.entry.fields()];
        let message = fields.iter().find(|field| field.name == NameId::MESSAGE)?;
        match message.value {
            Slot::Str { start, len } => Some(TextPlace { start, len }),
            _ => None,
        }
    }

    /// All its fields: its own, and those of its stream that it does not overrule. `timestamp` and `observed`
    /// are not among them.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> {
        let of_stream = self.stream().fields().iter().filter_map(move |(name, value)| {
            let own = self.batch.names.find(name).and_then(|id| self.get_by_id(id));
            own.is_none().then(|| (&**name, value.as_ref()))
        });
        self.own_fields().chain(of_stream)
    }

    /// What was amiss with it; see [`names::MARK`].
    pub fn marks(self) -> impl Iterator<Item = &'a str> {
        let (one, several) = match self.get_by_id(NameId::MARK) {
            Some(ValueRef::Str(mark)) => (Some(mark), None),
            Some(ValueRef::List(list)) => (None, Some(list)),
            _ => (None, None),
        };
        let several = several.into_iter().flat_map(ListRef::iter).filter_map(ValueRef::as_str);
        one.into_iter().chain(several)
    }

    /// A copy on its own feet.
    #[must_use]
    pub fn to_record(self) -> Record {
        let Entry { timestamp, observed, source, range, .. } = *self.entry;
        let fields = self.own_fields().map(|(name, value)| (name.into(), value.to_value())).collect();
        Record { timestamp, observed, source, range, stream: Arc::clone(self.stream()), fields }
    }
}

#[cfg(test)]
mod tests;
