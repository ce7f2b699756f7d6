//! Batches whose texts are there before their records: for those who decode many records at once.
//!
//! Owns: records whose values are parts of one text, several of which may be the same part; the bytes that a batch was
//! decoded from.
//! Invariant: a part of a text is a text. The bytes are given up with the first change.

use std::ops::Range;

use bytes::Bytes;

use super::{Batch, Field, FoundField, FoundValue, RecordWriter, Slot, TextPlace};
use crate::limits::{BATCH_TEXT_BYTES_MAX, RECORD_FIELDS_MAX};
use crate::names::NameId;
use crate::timestamp::Timestamp;

/// A value that holds no text of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlacedValue {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A time.
    Timestamp(Timestamp),
    /// Text, which lies in the batch's from `start` on.
    Str {
        /// Its first byte.
        start: u32,
        /// Bytes.
        len: u32,
    },
    /// JSON kept whole, which lies there too.
    Json {
        /// Its first byte.
        start: u32,
        /// Bytes.
        len: u32,
    },
}

impl Batch {
    /// An empty batch that holds this text already; its records point to parts of it
    /// ([`RecordWriter::placed`]).
    ///
    /// # Panics
    /// If the text is longer than a batch may hold.
    #[must_use]
    pub fn with_text(text: String) -> Self {
        assert!(text.len() <= BATCH_TEXT_BYTES_MAX, "whoever decodes has compared it with the bound");
        Self { text, ..Self::default() }
    }

    /// All text in it, one value behind the other, also of values that no record has any more.
    #[inline]
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where in [`Batch::text`] the text of a value of its records stands; none of another text.
    #[must_use]
    pub fn place_of(&self, value: &str) -> Option<Range<usize>> {
        let start = value.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        (start <= self.text.len() && value.len() <= self.text.len() - start)
            .then(|| start..start + value.len())
    }

    /// Makes room for so many bytes of text, so that it need not move when they come.
    pub fn reserve_text(&mut self, bytes: usize) {
        self.text.reserve(bytes.min(BATCH_TEXT_BYTES_MAX));
    }

    /// The bytes that it was decoded from, as long as it was not changed: whoever would encode it can pass them on.
    #[must_use]
    pub fn encoded(&self) -> Option<&Bytes> {
        self.encoded.as_ref()
    }

    /// Whether a text can end at this byte of the batch's.
    #[must_use]
    pub fn is_text_boundary(&self, at: usize) -> bool {
        self.text.is_char_boundary(at)
    }

    /// Makes this text, which is appended to the batch's, the value of one of the fields that the record at `record` was given.
    /// Fields are counted from its first.
    ///
    /// # Panics
    /// If there is no such record or field, or there would be more text than a batch may hold.
    #[inline]
    pub fn put_text(&mut self, record: usize, field: usize, text: &str) {
        let (start, len) = self.store_text(text);
        let fields = self.entries[record].fields();
        self.fields[fields][field].value = Slot::Str { start, len };
        self.encoded = None;
    }

    /// Says that these bytes are this batch. The next change makes that untrue.
    pub fn set_encoded(&mut self, encoded: Bytes) {
        self.encoded = Some(encoded);
    }

    /// Adds fields that were found in the text at `place` to the entry whose fields end at the end of `fields`.
    #[inline(always)]
    pub(super) fn append_found<'v>(
        &mut self,
        at: usize,
        place: TextPlace,
        fields: impl Iterator<Item = FoundField<'v>>,
    ) {
        fields.for_each(|FoundField { name, guess, value }| {
            let name = self.names.intern_guessed(name, guess);
            match value {
                FoundValue::Part { start, len } => {
                    let start = place.part(start, len);
                    self.append_with(at, name, |_| Slot::Str { start, len });
                }
                other => self.append_other(at, place, name, other),
            }
        });
    }

    #[inline(never)]
    fn append_other(&mut self, at: usize, place: TextPlace, name: NameId, value: FoundValue<'_>) {
        self.append_with(at, name, |batch| batch.store_found(place, value));
    }

    /// As [`Batch::store`], for a value that may be a part of the text at `place`.
    fn store_found(&mut self, place: TextPlace, value: FoundValue<'_>) -> Slot {
        match value {
            FoundValue::Value(value) => self.store(value),
            FoundValue::Part { start, len } => Slot::Str { start: place.part(start, len), len },
            FoundValue::JsonPart { start, len } => Slot::Json { start: place.part(start, len), len },
            FoundValue::List(values) => {
                let start = self.elements.len() as u32;
                for value in values {
                    let slot = match value {
                        FoundValue::List(_) => Slot::Null,
                        scalar => self.store_found(place, *scalar),
                    };
                    self.elements.push(slot);
                }
                Slot::List { start, len: values.len() as u32 }
            }
        }
    }
}

impl TextPlace {
    /// Where in the batch a part begins that starts so far behind this text's beginning.
    #[inline(always)]
    pub(super) fn part(self, start: u32, len: u32) -> u32 {
        assert!(start + len <= self.len, "a part lies within the whole");
        self.start + start
    }
}

impl RecordWriter<'_> {
    /// Adds a field whose text is in the batch already. The caller sees to it that a record says each name once.
    ///
    /// # Panics
    /// If the part is not text, or the record has too many fields.
    #[inline(always)]
    pub fn placed(&mut self, name: NameId, value: PlacedValue) {
        let value = match value {
            PlacedValue::Null => Slot::Null,
            PlacedValue::Bool(value) => Slot::Bool(value),
            PlacedValue::Int(value) => Slot::Int(value),
            PlacedValue::Float(value) => Slot::Float(value),
            PlacedValue::Timestamp(time) => Slot::Timestamp(time),
            PlacedValue::Str { start, len } => {
                self.check_part(start, len);
                Slot::Str { start, len }
            }
            PlacedValue::Json { start, len } => {
                self.check_part(start, len);
                Slot::Json { start, len }
            }
        };
        let fields_len = &mut self.batch.entries[self.at].fields_len;
        assert!((*fields_len as usize) < RECORD_FIELDS_MAX, "whoever decodes has compared it with the bound");
        *fields_len += 1;
        self.batch.fields.push(Field { name, value });
    }

    /// Keeps a text that fields may be parts of ([`RecordWriter::found`]), or one as a whole ([`RecordWriter::at`]). By
    /// itself it is nobody's value.
    #[inline]
    pub fn text(&mut self, text: &str) -> TextPlace {
        let (start, len) = self.batch.store_text(text);
        TextPlace { start, len }
    }

    /// Adds a field that is the text at `place`. A name that the record has already makes a list of both values.
    #[inline]
    pub fn at(&mut self, name: NameId, place: TextPlace) {
        let TextPlace { start, len } = place;
        self.batch.append_with(self.at, name, |_| Slot::Str { start, len });
    }

    /// Adds a value that may be a part of the text at `place`, as [`RecordWriter::found`] does.
    ///
    /// # Panics
    /// If a part does not lie within that text.
    pub fn part(&mut self, name: NameId, place: TextPlace, value: FoundValue<'_>) {
        self.batch.append_with(self.at, name, |batch| batch.store_found(place, value));
    }

    /// Adds fields that were found in the text at `place`; what is a part of it is not copied.
    ///
    /// # Panics
    /// If a part does not lie within that text.
    #[inline]
    pub fn found<'v>(&mut self, place: TextPlace, fields: impl Iterator<Item = FoundField<'v>>) {
        self.batch.append_found(self.at, place, fields);
    }

    #[inline]
    fn check_part(&self, start: u32, len: u32) {
        let (start, end) = (start as usize, start as usize + len as usize);
        let text = &self.batch.text;
        assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "a part of a text is a text");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{RecordHead, SeqRange, SourceId, Stream, ValueRef};

    fn head(start: u64) -> RecordHead {
        let (timestamp, observed) = (Timestamp::EPOCH, Timestamp::EPOCH);
        RecordHead { timestamp, observed, source: SourceId(1), range: SeqRange::new(start, start + 1) }
    }

    fn shared() -> Batch {
        let mut batch = Batch::with_text("info결제".to_owned());
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        for at in 0..2 {
            let mut record = batch.begin(head(at), stream);
            record.placed(NameId::LEVEL, PlacedValue::Str { start: 0, len: 4 });
            record.placed(NameId::MESSAGE, PlacedValue::Str { start: 4, len: 6 });
        }
        batch.set_encoded(Bytes::from_static(b"as it came"));
        batch
    }

    #[test]
    fn records_share_texts_and_change_by_themselves() {
        let mut batch = shared();
        batch.edit(0).set("level", ValueRef::Str("error"));
        let levels: Vec<_> = batch.iter().map(|record| record.get("level")).collect();
        assert_eq!(levels, [Some(ValueRef::Str("error")), Some(ValueRef::Str("info"))]);
        assert_eq!(batch.get(1).message(), "결제");
    }

    #[test]
    fn a_change_gives_up_the_bytes() {
        let changes: [fn(&mut Batch); 6] = [
            |batch| batch.edit(0).set_timestamp(Timestamp::from_secs(1)),
            |batch| batch.retain(|_| true),
            |batch| batch.cover(SourceId(2), SeqRange::new(0, 1)),
            |batch| batch.set_covered(Vec::new()),
            |batch| batch.begin(head(9), 0).field("a", ValueRef::Null),
            |batch| batch.push_ref(shared().get(0)),
        ];
        for change in changes {
            let mut batch = shared();
            assert!(batch.clone().encoded().is_some(), "a copy is the same batch");
            change(&mut batch);
            assert!(batch.encoded().is_none());
        }
    }

    #[test]
    fn values_tell_their_places() {
        let batch = shared();
        let places = batch.iter().map(|record| batch.place_of(record.message()));
        assert_eq!(places.collect::<Vec<_>>(), [Some(4..10), Some(4..10)]);
        assert_eq!(batch.place_of(&batch.text()[10..]), Some(10..10));
        assert_eq!(batch.place_of("결제"), None);
    }

    #[test]
    #[should_panic(expected = "a part of a text is a text")]
    fn half_a_letter_is_refused() {
        let mut batch = shared();
        batch.begin(head(3), 0).placed(NameId::MESSAGE, PlacedValue::Str { start: 5, len: 5 });
    }
}
