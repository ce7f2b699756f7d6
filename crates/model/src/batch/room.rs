//! The room that a batch takes in memory.
//!
//! Owns: how much it is, and making room for records before they come.
//! Does not own: how much is in it ([`Batch::bytes`]).

use bytes::Bytes;

use super::{Batch, Entry, Field, Slot};

impl Batch {
    /// About how much memory it takes with the room that it has for more.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.text.capacity()
            + self.fields.capacity() * size_of::<Field>()
            + self.elements.capacity() * size_of::<Slot>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.encoded.as_ref().map_or(0, Bytes::len)
    }

    /// Makes room for so many records with so many fields together, so that they need not move when more come.
    pub fn reserve_records(&mut self, records: usize, fields: usize) {
        self.entries.reserve_exact(records);
        self.fields.reserve_exact(fields);
    }

    /// How many fields its records have together, as long as none was changed.
    #[must_use]
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_once() {
        let mut batch = Batch::new();
        batch.reserve_text(1000);
        batch.reserve_records(10, 30);
        let room = batch.memory_bytes();
        assert!(room >= 1000 + 10 * size_of::<Entry>() + 30 * size_of::<Field>());
        assert_eq!((batch.bytes(), batch.field_count()), (0, 0));
    }
}
