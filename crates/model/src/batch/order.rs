//! Which records a batch has, and in which order.
//!
//! Invariant: what the records that are taken out covered stays covered; only what comes from another batch is copied.

use super::{Batch, Entry, Field, NameId, RecordRef, Slot, VALUE_BYTES_MAX};

/// A text that was stored in another batch.
#[derive(Clone, Copy, Default)]
struct Moved {
    from: u32,
    to: u32,
    len: u32,
}

impl Moved {
    /// Where a value stands there, if it is a part of the text.
    #[inline]
    fn shifted(self, value: Slot) -> Option<Slot> {
        let shift = |start: u32, len: u32| {
            let at = start.checked_sub(self.from)?;
            (at <= self.len && len <= self.len - at).then(|| self.to + at)
        };
        Some(match value {
            Slot::Str { start, len } => Slot::Str { start: shift(start, len)?, len },
            Slot::Json { start, len } => Slot::Json { start: shift(start, len)?, len },
            Slot::List { .. } => return None,
            scalar => scalar,
        })
    }
}

impl Batch {
    /// Adds copies of the records of another batch at these places, for less than one by one.
    ///
    /// # Panics
    /// If there is none at one of the places.
    pub fn push_from(&mut self, other: &Self, places: impl IntoIterator<Item = usize>) {
        let mut streams: Vec<Option<u32>> = vec![None; other.streams.len()];
        let mut names: Vec<Option<NameId>> = vec![None; other.name_count()];
        for entry in places.into_iter().map(|at| &other.entries[at]) {
            let stream = *streams[entry.stream as usize]
                .get_or_insert_with(|| self.add_stream(&other.streams[entry.stream as usize]));
            self.cover(entry.source, entry.range);
            let fields_start = self.fields.len() as u32;
            let fields = &other.fields[entry.fields()];
            let line = self.line_of(other, fields);
            for Field { name, value } in fields {
                let own = &mut names[name.index()];
                let name = *own.get_or_insert_with(|| self.names.intern(other.name(*name)));
                let value = line.shifted(*value).unwrap_or_else(|| self.store(other.value(*value)));
                self.fields.push(Field { name, value });
            }
            self.entries.push(Entry { stream, fields_start, ..*entry });
        }
    }

    /// Stores the longest text of these fields. Mostly that is the line in which the others were found.
    fn line_of(&mut self, other: &Self, fields: &[Field]) -> Moved {
        let text = |field: &Field| match field.value {
            Slot::Str { start, len } => Some((len, start)),
            _ => None,
        };
        match fields.iter().filter_map(text).max() {
            Some((len, from)) if len as usize <= VALUE_BYTES_MAX => {
                let (to, len) = self.store_text(&other.text[from as usize..(from + len) as usize]);
                Moved { from, to, len }
            }
            _ => Moved::default(),
        }
    }

    /// Takes out the records for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(RecordRef<'_>) -> bool) {
        self.encoded = None;
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| keep(RecordRef { entry, batch: self }));
        self.entries = entries;
    }

    /// Keeps the records at these places, in this order.
    ///
    /// # Panics
    /// If there is none at one of the places.
    pub fn arrange(&mut self, order: &[usize]) {
        self.encoded = None;
        self.entries = order.iter().map(|at| self.entries[*at]).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{Batch, RecordHead, SeqRange, SourceId, Stream, Timestamp, ValueRef};

    #[test]
    fn records_are_kept_as_they_are_told() {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        for at in 0..4 {
            let range = SeqRange::new(at, at + 1);
            let (timestamp, observed) = (Timestamp::EPOCH, Timestamp::EPOCH);
            let head = RecordHead { timestamp, observed, source: SourceId(1), range };
            batch.begin(head, stream).field("message", ValueRef::Str(&format!("line {at}")));
        }
        let covered = batch.covered().to_vec();
        batch.arrange(&[3, 0, 2]);
        batch.edit(1).set("more", ValueRef::Int(1));
        let messages: Vec<&str> = batch.iter().map(crate::RecordRef::message).collect();
        assert_eq!(messages, ["line 3", "line 0", "line 2"]);
        assert_eq!((batch.get(1).own_fields().len(), batch.covered()), (2, &covered[..]));
    }
}
