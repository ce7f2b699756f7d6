//! The room that a batch takes in memory.
//!
//! Owns: making room for records before they come, and giving back what was made for nothing.
//! Does not own: how much is in it ([`Batch::bytes`]).

use super::Batch;

impl Batch {
    /// Gives back memory that it was given to grow: for one that is to be held for a while.
    pub fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.fields.shrink_to_fit();
        self.elements.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.covered.shrink_to_fit();
    }

    /// An empty one that has room for as much as this one holds, and for what is found out of it: for the next of its
    /// kind.
    #[must_use]
    pub fn next_like(&self) -> Self {
        Self {
            text: String::with_capacity(self.text.len() + self.text.len() / 16),
            fields: Vec::with_capacity(self.fields.len()),
            entries: Vec::with_capacity(self.entries.len()),
            ..Self::default()
        }
    }

    /// Makes room for so many further fields.
    pub fn reserve_fields(&mut self, count: usize) {
        self.fields.reserve(count);
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
