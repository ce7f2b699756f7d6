//! Records that are written while their text is read.
//!
//! Owns: taking back what was written of a record whose text turns out to be another than was thought.
//! Does not own: reading (`codec`).
//! Invariant: a draft that comes to nothing leaves the batch as it was, but for names that it may have added.

use std::cell::Cell;

use super::{Batch, Field, RecordHead, RecordWriter, Slot, TextPlace};
use crate::names::{NameGuess, NameId};
use crate::source::Stream;
use crate::value::ValueRef;

/// A record that is read from a text of the batch.
#[derive(Debug)]
pub struct Draft<'a> {
    batch: &'a mut Batch,
    text: TextPlace,
    stream: u32,
}

impl Batch {
    /// Keeps a text, and has `read` add the fields that are found in it. Gives the record with them and where its text
    /// stands, if `read` gives what is known of it; else nothing is added. `stream` is as of [`Batch::begin`].
    ///
    /// # Panics
    /// As [`Batch::begin`].
    #[inline]
    pub fn begin_read<T>(
        &mut self,
        text: &str,
        stream: u32,
        read: impl FnOnce(&mut Draft<'_>) -> Option<(RecordHead, T)>,
    ) -> Option<(RecordWriter<'_>, TextPlace, T)> {
        let (texts, fields) = (self.text.len(), self.fields.len());
        let (start, len) = self.store_text(text);
        let text = TextPlace { start, len };
        self.next_writer();
        let Some((head, told)) = read(&mut Draft { batch: self, text, stream }) else {
            self.text.truncate(texts);
            self.fields.truncate(fields);
            return None;
        };
        Some((self.begin_at(head, stream, fields), text, told))
    }

    /// Adds a field of a new record, whose name it does not have yet; says whether that is so.
    #[inline(always)]
    fn push_new(&mut self, name: NameId, value: Slot) -> bool {
        match self.stamps.get_mut(name.index()) {
            Some(stamp) if *stamp != self.writer => *stamp = self.writer,
            Some(_) => return false,
            None => self.stamp_first(name),
        }
        self.fields.push(Field { name, value });
        true
    }

    #[cold]
    fn stamp_first(&mut self, name: NameId) {
        self.grow_stamps();
        self.stamps[name.index()] = self.writer;
    }
}

impl Draft<'_> {
    /// Who speaks.
    ///
    /// # Panics
    /// If the batch has no stream with the number that was told.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.batch.streams[self.stream as usize]
    }

    /// Adds a field that is a part of the text; says whether it is the first of its name. It is not added else. Of `guess` see
    /// [`FoundField`](super::FoundField).
    ///
    /// # Panics
    /// If it does not lie within the text.
    #[inline(always)]
    pub fn part(&mut self, name: &str, guess: &Cell<NameGuess>, start: u32, len: u32) -> bool {
        let name = self.batch.names.intern_guessed(name, guess);
        let start = self.text.part(start, len);
        self.batch.push_new(name, Slot::Str { start, len })
    }

    /// The same for a value that is no part of it.
    #[inline]
    pub fn value(&mut self, name: &str, guess: &Cell<NameGuess>, value: ValueRef<'_>) -> bool {
        let name = self.batch.names.intern_guessed(name, guess);
        let value = self.batch.store(value);
        self.batch.push_new(name, value)
    }
}

impl RecordWriter<'_> {
    /// Adds a field in front of all others that is the text at `place`. The caller sees to it that the record does not have the
    /// name.
    pub fn first_at(&mut self, name: NameId, place: TextPlace) {
        let TextPlace { start, len } = place;
        let fields_start = self.batch.entries[self.at].fields_start as usize;
        if self.batch.push_new(name, Slot::Str { start, len }) {
            self.batch.entries[self.at].fields_len += 1;
            self.batch.fields[fields_start..].rotate_right(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{SeqRange, SourceId, Timestamp};

    fn head(start: u64) -> RecordHead {
        let (timestamp, observed) = (Timestamp::EPOCH, Timestamp::EPOCH);
        RecordHead { timestamp, observed, source: SourceId(1), range: SeqRange::new(start, start + 1) }
    }

    #[test]
    fn a_draft_that_comes_to_nothing_leaves_nothing() {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::default());
        let guess = Cell::default();
        for start in 0..3 {
            let written = batch.begin_read("a text", stream, |draft| {
                assert!(draft.part("a", &guess, 2, 4));
                assert!(draft.value("n", &Cell::default(), ValueRef::Str("more")));
                assert!(!draft.part("a", &guess, 0, 1), "a name is there once");
                (start != 1).then(|| (head(start), ()))
            });
            if let Some((mut writer, text, ())) = written {
                writer.first_at(NameId::MESSAGE, text);
                writer.at(NameId::ORIGINAL, text);
            }
        }
        assert_eq!((batch.len(), batch.text()), (2, "a textmorea textmore"));
        assert_eq!(batch.field_count(), 8, "no field is left that no record has");
        for record in batch.iter() {
            let fields: Vec<_> = record.own_fields().collect();
            let text = ValueRef::Str;
            let known = [
                ("message", text("a text")),
                ("a", text("text")),
                ("n", text("more")),
                ("_original", text("a text")),
            ];
            assert_eq!(fields, known);
        }
        assert_eq!(batch.covered().len(), 2);
    }
}
