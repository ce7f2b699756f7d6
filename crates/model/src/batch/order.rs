//! Which records a batch has, and in which order.
//!
//! Invariant: what the records that are taken out covered stays covered; only what comes from another batch is copied.

use super::{Batch, NameId, RecordRef};

impl Batch {
    /// Adds copies of the records of another batch at these places, for less than one by one.
    ///
    /// # Panics
    /// If there is none at one of the places.
    pub fn push_from(&mut self, other: &Self, places: impl IntoIterator<Item = usize>) {
        let mut streams: Vec<Option<u32>> = vec![None; other.streams.len()];
        let mut names: Vec<Option<NameId>> = vec![None; other.name_count()];
        for record in places.into_iter().map(|at| other.get(at)) {
            let stream =
                *streams[record.stream_index()].get_or_insert_with(|| self.add_stream(record.stream()));
            let mut writer = self.begin(record.head(), stream);
            for (id, value) in record.own_fields_by_id() {
                let own = &mut names[id.index()];
                let own = *own.get_or_insert_with(|| writer.batch.intern(other.name(id)));
                writer.field_by_id(own, value);
            }
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
