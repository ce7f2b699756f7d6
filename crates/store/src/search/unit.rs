//! One batch in memory, or one block of a segment.
//!
//! Owns: asking both the same questions. Does not own: how a block answers (`segment`).
//! Invariant: rows of a unit are numbered from 0, and a set of rows is only used with the unit it came from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sawyer_model::limits::BATCH_TEXT_BYTES_MAX;
use sawyer_model::{Batch, Error, RecordRef, Timestamp, Value, ValueRef, names};
use sawyer_query::FieldPattern;
use sawyer_query::search::{Budget, Position, SearchStats, Selection};
use sawyer_segment::{CountSink, Groups, IdForm, Lines, Rows};

use super::counts::{Counts, each_once};
use crate::memory::Held;
use crate::sealed::Sealed;

/// After so many records of a batch the budget is asked again.
const ROWS_PER_ASKING: usize = 64;

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

/// About how many bytes a record takes besides its texts.
const RECORD_BYTES: usize = 64;

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

impl Unit {
    pub(super) fn held(held: Held) -> Self {
        let Held { batch, time_min, time_max, .. } = held;
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

    /// The rows that are of the selection; none if no row can be. If the budget is used up they are none, too, and the stats
    /// say so.
    pub(super) fn select(
        &self,
        selection: &Selection,
        budget: &Budget,
        stats: &mut SearchStats,
    ) -> Result<Option<Rows>, Error> {
        let batch = match &self.part {
            Part::Held(batch) => batch,
            Part::Block { segment, block, .. } => {
                return segment.segment.scan_if_any(*block, selection, budget, stats);
            }
        };
        if !budget.take(self.rows as u64)? {
            stats.partial = true;
            return Ok(None);
        }
        let within = |record: RecordRef<'_>| {
            record.timestamp() >= selection.start && record.timestamp() < selection.end
        };
        let mut rows = Rows::none(self.rows);
        for (row, record) in batch.iter().enumerate() {
            // A predicate may have thousands of parts, so that even one batch takes long.
            if row % ROWS_PER_ASKING == 0 && !budget.take(0)? {
                stats.partial = true;
                return Ok(None);
            }
            if within(record) && selection.predicate.matches(record) {
                rows.insert(row);
            }
        }
        stats.rows_scanned += self.rows as u64;
        stats.rows_matched += rows.count() as u64;
        Ok(Some(rows))
    }

    /// Where in the order of all records these rows are, in order.
    pub(super) fn positions(&self, rows: &Rows) -> Result<Vec<Position>, Error> {
        match &self.part {
            Part::Held(batch) => Ok(rows.iter().map(|row| Position::of(batch.get(row))).collect()),
            Part::Block { segment, block, .. } => segment.segment.positions(*block, rows),
        }
    }

    /// The timestamps of these rows, in order, if that is less than looking where they are in the order of all.
    pub(super) fn times_of(&self, rows: &Rows) -> Result<Option<Vec<Timestamp>>, Error> {
        match &self.part {
            Part::Held(_) => Ok(None),
            Part::Block { segment, block, .. } => segment.segment.timestamps_of(*block, rows).map(Some),
        }
    }

    /// Which rows lie between which neighbouring edges, if that is known without looking at every row. The first
    /// edge comes no later than any row, and the last one after all.
    pub(super) fn bucket_rows(
        &self,
        edges: &[Timestamp],
        call: &mut dyn FnMut(usize, Range<usize>),
    ) -> Result<bool, Error> {
        match &self.part {
            Part::Held(_) => Ok(false),
            Part::Block { segment, block, .. } => segment.segment.bucket_rows(*block, edges, call),
        }
    }

    /// The timestamps of all rows.
    pub(super) fn timestamps(&self) -> Result<Vec<Timestamp>, Error> {
        match &self.part {
            Part::Held(batch) => Ok(batch.iter().map(RecordRef::timestamp).collect()),
            Part::Block { segment, block, .. } => segment.segment.timestamps(*block),
        }
    }

    /// The records of these rows (ascending), in order.
    pub(super) fn fetch(&self, rows: impl Iterator<Item = usize>) -> Result<Batch, Error> {
        let mut records = Batch::new();
        match &self.part {
            Part::Held(batch) => rows.for_each(|row| records.push_ref(batch.get(row))),
            Part::Block { segment, block, .. } => {
                segment.segment.fetch(*block, &self.wanted(rows), &mut records)?;
            }
        }
        Ok(records)
    }

    /// Adds the records of these rows (ascending), which lie there in the order of all, to a batch, in order; lines as written
    /// may be left out. Says whether there was room: texts of the batch have at most so many bytes, unless it has one record
    /// only. Without room, and after an error, it may have some of them.
    pub(super) fn fetch_into(
        &self,
        rows: impl Iterator<Item = (usize, Position)>,
        original: bool,
        text_bytes_max: usize,
        records: &mut Batch,
    ) -> Result<bool, Error> {
        let (segment, block) = match &self.part {
            Part::Block { segment, block, .. } => (segment, *block),
            Part::Held(batch) => {
                for (row, _) in rows {
                    let record = batch.get(row);
                    let text_bytes = records.text_bytes().saturating_add(text_bytes(record));
                    if !records.is_empty() && text_bytes > text_bytes_max {
                        return Ok(false);
                    }
                    records.push_ref(record);
                }
                return Ok(true);
            }
        };
        let (wanted, positions) = self.placed(rows);
        let left_out: &[&str] = if original { &[] } else { &[names::ORIGINAL, names::ORIGINAL_BASE64] };
        let is_alone = records.is_empty() && wanted.count() == 1;
        let text_bytes_max = if is_alone { BATCH_TEXT_BYTES_MAX } else { text_bytes_max };
        segment.segment.fetch_within(block, &wanted, Some(&positions), left_out, text_bytes_max, records)
    }

    fn wanted(&self, rows: impl Iterator<Item = usize>) -> Rows {
        let mut wanted = Rows::none(self.rows);
        rows.for_each(|row| wanted.insert(row));
        wanted
    }

    /// The rows as a set, and where they lie.
    fn placed(&self, rows: impl Iterator<Item = (usize, Position)>) -> (Rows, Vec<Position>) {
        let (mut wanted, mut positions) = (Rows::none(self.rows), Vec::new());
        rows.for_each(|(row, position)| {
            wanted.insert(row);
            positions.push(position);
        });
        (wanted, positions)
    }

    /// Adds the records of these rows (ascending), which lie there in the order of all, as lines of JSON, in order; without
    /// lines as written unless these are wanted. After an error nothing was added.
    pub(super) fn lines_into(
        &self,
        rows: impl Iterator<Item = (usize, Position)>,
        original: bool,
        lines: &mut Lines,
    ) -> Result<(), Error> {
        match &self.part {
            Part::Held(batch) => lines.add(batch, rows.map(|(row, _)| row), original),
            Part::Block { segment, block, .. } => {
                let (wanted, positions) = self.placed(rows);
                segment.segment.lines(*block, &wanted, Some(&positions), original, lines)?;
            }
        }
        Ok(())
    }

    /// About how many bytes a record of it has: those of a block are taken to be equal.
    pub(super) fn record_bytes(&self, row: usize) -> usize {
        match &self.part {
            Part::Held(batch) => RECORD_BYTES + text_bytes(batch.get(row)),
            Part::Block { segment, block, .. } => {
                let bytes = segment.segment.blocks()[*block].raw_bytes / self.rows.max(1) as u64;
                usize::try_from(bytes).unwrap_or(usize::MAX)
            }
        }
    }

    /// The values of a field in these rows. If the field has several names, the first one that a row has counts.
    pub(super) fn groups(&self, rows: &Rows, field: &FieldPattern) -> Result<Vec<Groups>, Error> {
        let mut rest = rows.clone();
        let mut all = Vec::new();
        for name in field.names().unwrap_or_default() {
            let groups = match &self.part {
                Part::Held(batch) => groups_of(batch, &rest, name),
                Part::Block { segment, block, .. } => segment.segment.groups(*block, &rest, name)?,
            };
            rest = groups.missing.clone();
            all.push(groups);
            if rest.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// Counts the values of a field in these rows that are `counted`: gives each of them, of each of the field's names by
    /// itself, with the number of its rows, and returns how many rows have none.
    pub(super) fn count_values(
        &self,
        rows: &Rows,
        field: &FieldPattern,
        counted: impl Fn(&Value) -> bool,
        mut sink: impl FnMut(&Value, u64),
    ) -> Result<usize, Error> {
        let mut told = Rows::none(rows.len());
        for groups in self.groups(rows, field)? {
            let mut counts: Vec<_> = groups.values.iter().map(|value| counted(value).then_some(0)).collect();
            for (row, value) in &groups.rows {
                if let Some(count) = &mut counts[*value as usize] {
                    told.insert(*row as usize);
                    *count += 1;
                }
            }
            for (value, count) in groups.values.iter().zip(counts) {
                if let Some(count @ 1..) = count {
                    sink(value, count);
                }
            }
        }
        Ok(rows.count() - told.count())
    }

    /// Counts the values of a field in these rows, each range by itself, if the unit knows which rows have the same value;
    /// says whether it counted. See [`sawyer_segment::Segment::count_codes`].
    pub(super) fn count_codes(
        &self,
        rows: &Rows,
        field: &FieldPattern,
        ranges: &[Range<usize>],
        sink: &mut CountSink<'_>,
    ) -> Result<bool, Error> {
        match self.only_name(field)? {
            Some((segment, block, name)) => segment.count_codes(block, rows, name, ranges, sink),
            None => Ok(false),
        }
    }

    /// The ids that these rows have of a field, if it is known to have nothing else: see [`sawyer_segment::Segment::ids`].
    pub(super) fn ids(
        &self,
        rows: &Rows,
        field: &FieldPattern,
        ids: &mut Vec<u128>,
    ) -> Result<Option<IdForm>, Error> {
        match self.only_name(field)? {
            Some((segment, block, name)) => segment.ids(block, rows, name, ids),
            None => Ok(None),
        }
    }

    /// Of the names of a field the only one that is in the block.
    fn only_name<'f>(
        &self,
        field: &'f FieldPattern,
    ) -> Result<Option<(&sawyer_segment::Segment, usize, &'f str)>, Error> {
        let Part::Block { segment, block, .. } = &self.part else { return Ok(None) };
        let mut only = None;
        for name in field.names().unwrap_or_default() {
            if segment.segment.may_have_field(*block, name)? && only.replace(name).is_some() {
                return Ok(None);
            }
        }
        Ok(only.map(|name| (&segment.segment, *block, &**name)))
    }

    /// The fields that these rows have.
    pub(super) fn fields(&self, rows: &Rows) -> Result<BTreeMap<String, FieldSummary>, Error> {
        let mut fields: BTreeMap<String, FieldSummary> = BTreeMap::new();
        for record in self.fetch(rows.iter())?.iter() {
            for (name, value) in record.fields() {
                match fields.get_mut(name) {
                    Some(field) => field.add(value),
                    None => fields.entry(name.to_owned()).or_default().add(value),
                }
            }
        }
        Ok(fields)
    }
}

/// Bytes of the texts of a record.
fn text_bytes(record: RecordRef<'_>) -> usize {
    let of_scalar = |value: ValueRef<'_>| match value {
        ValueRef::Str(text) | ValueRef::Json(text) => text.len(),
        _ => 0,
    };
    let of_value = |value: ValueRef<'_>| match value {
        ValueRef::List(list) => list.iter().map(of_scalar).sum(),
        scalar => of_scalar(scalar),
    };
    record.own_fields().map(|(_, value)| of_value(value)).sum()
}

/// The values of a field in rows of a batch.
fn groups_of(batch: &Batch, rows: &Rows, name: &str) -> Groups {
    let mut groups = Groups { values: Vec::new(), rows: Vec::new(), missing: rows.clone() };
    let mut numbers: Counts<Option<u32>> = Counts::default();
    for row in rows.iter() {
        let Some(value) = batch.get(row).get(name) else { continue };
        groups.missing.remove(row);
        each_once(value, |value| {
            let Some(number) = numbers.of(value) else { return };
            let number = *number.get_or_insert_with(|| {
                groups.values.push(value.to_value());
                groups.values.len() as u32 - 1
            });
            groups.rows.push((row as u32, number));
        });
    }
    groups
}
