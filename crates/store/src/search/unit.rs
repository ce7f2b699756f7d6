//! One batch in memory, or one block of a segment.
//!
//! Owns: asking both the same questions. Does not own: how a block answers (`segment`).
//! Invariant: rows of a unit are numbered from 0, and a set of rows is only used with the unit it came from.

use std::collections::BTreeMap;
use std::sync::Arc;

use sawyer_model::{Batch, Error, RecordRef, Timestamp, ValueRef};
use sawyer_query::FieldPattern;
use sawyer_query::search::Position;
use sawyer_segment::Rows;

use super::plan::Clip;
use crate::memory::Held;
use crate::sealed::Sealed;

/// See the head of the module.
#[derive(Debug)]
pub(super) struct Unit {
    number: usize,
    time_min: Timestamp,
    time_max: Timestamp,
    rows: usize,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Held(Arc<Batch>),
    Block {
        segment: Arc<Sealed>,
        /// Place of the segment in the plan.
        segment_number: usize,
        block: usize,
    },
}

/// The name of a field as it was asked for: the common name first if it is an alias.
#[derive(Debug)]
pub(super) struct FieldName(FieldPattern);

/// What is known of a field in a unit.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldSummary {
    /// A bit for each of [`TYPES`].
    pub(super) types: u8,
    /// How many rows have it.
    pub(super) count: u64,
}

/// The names of types, sorted; see [`ValueRef::type_name`].
pub(super) const TYPES: [&str; 8] =
    ["boolean", "float", "integer", "list", "null", "objects", "string", "timestamp"];

impl FieldSummary {
    fn add(&mut self, value: ValueRef<'_>) {
        self.count += 1;
        if let Some(bit) = TYPES.iter().position(|name| *name == value.type_name()) {
            self.types |= 1 << bit;
        }
    }
}

impl FieldName {
    pub(super) fn new(name: &str) -> Self {
        Self(FieldPattern::name(name))
    }

    /// The names that it means, the most wanted first.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names().unwrap_or_default().iter().map(|name| &**name)
    }

    /// The value in a record.
    fn of<'r>(&self, record: RecordRef<'r>) -> Option<ValueRef<'r>> {
        self.names().find_map(|name| record.get(name))
    }
}

impl Unit {
    pub(super) fn held(held: Held) -> Self {
        let Held { batch, time_min, time_max } = held;
        Self { number: 0, time_min, time_max, rows: batch.len(), part: Part::Held(batch) }
    }

    pub(super) fn block(segment: &Arc<Sealed>, segment_number: usize, block: usize) -> Self {
        let info = &segment.segment.blocks()[block];
        let part = Part::Block { segment: Arc::clone(segment), segment_number, block };
        let (time_min, time_max) = (*info.timestamps.start(), *info.timestamps.end());
        Self { number: 0, time_min, time_max, rows: info.rows, part }
    }

    /// Its place in the plan.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(super) fn set_number(&mut self, number: usize) {
        self.number = number;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn time_min(&self) -> Timestamp {
        self.time_min
    }

    pub(super) fn time_max(&self) -> Timestamp {
        self.time_max
    }

    /// The segment it is a part of, with the segment's place in the plan.
    pub(super) fn segment(&self) -> Option<(usize, &Sealed)> {
        match &self.part {
            Part::Held(_) => None,
            Part::Block { segment, segment_number, .. } => Some((*segment_number, segment)),
        }
    }

    fn batch(&self) -> Result<Arc<Batch>, Error> {
        match &self.part {
            Part::Held(batch) => Ok(Arc::clone(batch)),
            Part::Block { segment, block, .. } => segment.segment.decode_block(*block).map(Arc::new),
        }
    }

    /// The rows for which the selection holds.
    pub(super) fn select(&self, clip: &Clip) -> Result<Rows, Error> {
        let batch = self.batch()?;
        let all = clip.holds(self.time_min, self.time_max);
        let inside = |record: RecordRef<'_>| all || clip.meets(record.timestamp(), record.timestamp());
        Ok(batch.iter().map(|record| inside(record) && clip.predicate.matches(record)).collect())
    }

    /// Where in the order of all records these rows are.
    pub(super) fn positions(&self, rows: &Rows) -> Result<Vec<(usize, Position)>, Error> {
        let batch = self.batch()?;
        Ok(rows.iter().map(|row| (row, Position::of(batch.get(row)))).collect())
    }

    /// The timestamps of these rows, in order.
    pub(super) fn timestamps(&self, rows: &Rows) -> Result<Vec<Timestamp>, Error> {
        let batch = self.batch()?;
        Ok(rows.iter().map(|row| batch.get(row).timestamp()).collect())
    }

    /// The records of these rows (ascending), in order.
    pub(super) fn fetch(&self, rows: impl Iterator<Item = usize>) -> Result<Batch, Error> {
        let mut records = Batch::new();
        match &self.part {
            Part::Held(batch) => rows.for_each(|row| records.push_ref(batch.get(row))),
            Part::Block { segment, block, .. } => {
                let mut wanted = Rows::none(self.rows);
                rows.for_each(|row| wanted.insert(row));
                segment.segment.fetch(*block, &wanted, &mut records)?;
            }
        }
        Ok(records)
    }

    /// Tells the value of a field in each of these rows, in order; `None` for those without.
    pub(super) fn each_value(
        &self,
        rows: &Rows,
        field: &FieldName,
        mut tell: impl FnMut(Option<ValueRef<'_>>),
    ) -> Result<(), Error> {
        let batch = self.batch()?;
        for row in rows.iter() {
            tell(field.of(batch.get(row)));
        }
        Ok(())
    }

    /// The fields that these rows have.
    pub(super) fn fields(&self, rows: &Rows) -> Result<BTreeMap<String, FieldSummary>, Error> {
        let batch = self.batch()?;
        let mut fields: BTreeMap<String, FieldSummary> = BTreeMap::new();
        for row in rows.iter() {
            for (name, value) in batch.get(row).fields() {
                match fields.get_mut(name) {
                    Some(field) => field.add(value),
                    None => fields.entry(name.to_owned()).or_default().add(value),
                }
            }
        }
        Ok(fields)
    }
}
