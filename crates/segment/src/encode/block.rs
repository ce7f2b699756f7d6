//! One block of a segment that is being made.
//!
//! Owns: gathering the values of rows by column, and writing the block.
//! Does not own: the directory's place; it is written when the numbers of all names are known.
//! Invariant: columns lie in the order of their names.

use std::ops::Range;

use sawyer_model::{RecordHead, Timestamp, ValueRef, names};

use super::groups::{GroupsBuilder, has_groups};
use crate::bytes::checksum;
use crate::column::{ColumnBuilder, Form};
use crate::filter::FilterBuilder;
use crate::heads::HeadsBuilder;
use crate::ints::Packing;
use crate::layout::{BlockInfo, ColumnEntry, Directory, PartEntry, part};
use crate::made::{Learner, Row};
use crate::names::NameTable;
use crate::source::Stored;
use crate::text::Texts;

/// From so many columns on a block is full, and columns of earlier blocks are not kept for later ones: each takes about a
/// kilobyte, and names may come that no other record has.
const COLUMNS_MAX: usize = 8192;

/// A block that is being made.
#[derive(Default)]
pub(super) struct BlockBuilder {
    heads: HeadsBuilder,
    /// By the number of the name; none of those that were not needed since there were too many.
    columns: Vec<Option<Box<ColumnBuilder>>>,
    /// How many there are.
    kept: usize,
    /// The columns that have values.
    touched: Vec<u32>,
    /// Those with text that people read, ascending: no dictionary of it is tried.
    readable: Vec<u32>,
    filter: FilterBuilder,
    /// How the lines as written are made of other fields; it has those that are not.
    learner: Learner,
    /// Whether they are gathered as every field is, because some of them are no texts.
    gathers_lines: bool,
    raw_bytes: u64,
    timestamps: Option<(Timestamp, Timestamp)>,
    observed: Option<(Timestamp, Timestamp)>,
}

impl BlockBuilder {
    /// One that finds out how lines in any form are made, if `any_line` says so.
    pub(super) fn new(any_line: bool) -> Self {
        let mut block = Self::default();
        if any_line {
            block.learner.read_any_line();
        }
        block
    }

    pub(super) fn rows(&self) -> usize {
        self.heads.len()
    }

    pub(super) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Counts what a row took.
    pub(super) fn add_raw_bytes(&mut self, bytes: u64) {
        self.raw_bytes += bytes;
    }

    /// Starts a row; its fields follow.
    pub(super) fn begin(&mut self, head: RecordHead, stream: u32, source: u32) {
        self.heads.push(head, stream, source);
        for (bounds, time) in [(&mut self.timestamps, head.timestamp), (&mut self.observed, head.observed)] {
            let (first, last) = bounds.get_or_insert((time, time));
            *first = (*first).min(time);
            *last = (*last).max(time);
        }
    }

    /// Adds a field to the row that was started last.
    #[inline(always)]
    pub(super) fn field(&mut self, name: u32, value: ValueRef<'_>) {
        let row = self.heads.len() as u32 - 1;
        self.column(name).push(row, value);
    }

    /// The same for the line as it was written, which [`BlockBuilder::line`] gets.
    pub(super) fn line_field(&mut self, name: u32) {
        let row = self.heads.len() as u32 - 1;
        self.column(name).push_line(row);
    }

    #[inline(always)]
    fn column(&mut self, name: u32) -> &mut ColumnBuilder {
        let column = &mut self.columns[name as usize];
        let column = match column {
            Some(column) => column,
            None => {
                self.kept += 1;
                column.insert(new_column(self.readable.binary_search(&name).is_ok()))
            }
        };
        if column.is_empty() {
            self.touched.push(name);
        }
        column
    }

    /// Says what a field is called.
    pub(super) fn name(&mut self, name: u32, text: &str) {
        let at = name as usize;
        if self.columns.len() <= at {
            self.columns.resize_with(at + 1, || None);
            if has_groups(text) {
                self.readable.push(name);
            }
        }
    }

    /// Whether it has as many columns as a block may have.
    pub(super) fn is_wide(&self) -> bool {
        self.touched.len() >= COLUMNS_MAX
    }

    /// Whether lines as written are gathered as every field is.
    pub(super) fn gathers_lines(&self) -> bool {
        self.gathers_lines
    }

    /// Has lines be gathered as every field is, to the end of the block; it must not have rows yet.
    pub(super) fn gather_lines(&mut self) {
        self.gathers_lines = true;
    }

    /// Takes the line of the row that was started last, as it was written.
    pub(super) fn line(&mut self, row: Row<'_>, line: &str) {
        self.learner.add(row, line);
    }

    /// See [`Learner::forget_slot`].
    pub(super) fn forget_slot(&mut self, slot: usize) {
        self.learner.forget_slot(slot);
    }

    /// Writes the block, and is empty again. The place of the block is not known here.
    pub(super) fn finish(
        &mut self,
        names: &NameTable,
        filter_bits_per_token: usize,
        packing: Packing,
        groups: &mut GroupsBuilder,
        out: &mut Vec<u8>,
    ) -> (BlockInfo, Directory) {
        let start = out.len();
        let mut directory = Directory::default();
        self.touched.sort_unstable_by(|a, b| names.get(*a).cmp(names.get(*b)));
        self.put_columns(names, &mut directory, (packing, filter_bits_per_token > 0), groups, out);
        let streams = self.heads.streams();
        let mut part = |kind: u8, put: &mut dyn FnMut(&mut Vec<u8>)| {
            let from = out.len();
            put(out);
            let checksum = checksum(&out[from..]);
            directory.parts.push(PartEntry { kind, range: within(start, from, out.len()), checksum });
        };
        part(part::STREAMS, &mut |out| self.heads.put_streams(out));
        part(part::TIMESTAMPS, &mut |out| self.heads.put_timestamps(packing, out));
        let mut arrivals = Vec::new();
        let kind = self.heads.put_observed(packing, &mut arrivals);
        part(kind, &mut |out| out.extend_from_slice(&arrivals));
        part(part::SOURCES, &mut |out| self.heads.put_sources(packing, out));
        part(part::RANGES, &mut |out| self.heads.put_ranges(packing, out));
        if filter_bits_per_token > 0 {
            part(part::FILTER, &mut |out| self.filter.finish(filter_bits_per_token, out));
        }
        let times = |bounds: Option<(Timestamp, Timestamp)>| {
            let (first, last) = bounds.expect("a block has a row");
            first..=last
        };
        let info = BlockInfo {
            rows: self.heads.len(),
            raw_bytes: self.raw_bytes,
            timestamps: times(self.timestamps.take()),
            observed: times(self.observed.take()),
            streams,
            offset: 0,
            bytes: (out.len() - start) as u64,
            directory: Stored { offset: 0, len: 0, checksum: 0 },
        };
        self.heads.clear();
        self.learner.clear();
        self.gathers_lines = false;
        if self.kept > COLUMNS_MAX {
            self.kept -= self.touched.len();
            self.touched.iter().for_each(|name| self.columns[*name as usize] = None);
        }
        self.touched.clear();
        self.raw_bytes = 0;
        (info, directory)
    }

    fn put_columns(
        &mut self,
        table: &NameTable,
        directory: &mut Directory,
        (packing, with_tokens): (Packing, bool),
        groups: &mut GroupsBuilder,
        out: &mut Vec<u8>,
    ) {
        let (start, rows) = (out.len(), self.heads.len());
        let mut heads = Vec::new();
        let mut head_ranges = Vec::with_capacity(self.touched.len());
        for name in &self.touched {
            let column = self.columns[*name as usize].as_mut().expect("it has values");
            let text = table.get(*name);
            let lines = if text == names::ORIGINAL { self.learner.lines() } else { None };
            let plain = lines.is_none() && !has_groups(text);
            column.settle();
            if with_tokens {
                self.filter.add_column(text, column);
            }
            let (mask, count, stats) = (column.mask(), column.count(), column.stats());
            let (data_start, head_start) = (out.len(), heads.len());
            let elsewhere = |texts: &Texts| groups.add(*name, texts);
            let form = match &lines {
                Some(lines) => Form::Lines(lines),
                None if !plain => Form::Shaped(elsewhere),
                None => Form::Plain,
            };
            column.finish(rows, form, packing, &mut heads, out);
            head_ranges.push(head_start..heads.len());
            directory.columns.push(ColumnEntry {
                name: *name,
                mask,
                count,
                stats,
                data: within(start, data_start, out.len()),
                head: 0..0,
                head_checksum: checksum(&heads[head_start..]),
            });
        }
        let heads_start = out.len();
        out.extend_from_slice(&heads);
        for (column, range) in directory.columns.iter_mut().zip(head_ranges) {
            column.head = within(start, heads_start + range.start, heads_start + range.end);
        }
    }
}

#[cold]
fn new_column(is_readable: bool) -> Box<ColumnBuilder> {
    let mut column = Box::<ColumnBuilder>::default();
    if is_readable {
        column.keep_apart();
    }
    column
}

fn within(block: usize, start: usize, end: usize) -> Range<u64> {
    (start - block) as u64..(end - block) as u64
}

#[cfg(test)]
mod tests {
    use sawyer_model::{SeqRange, SourceId};

    use super::*;

    #[test]
    fn columns_of_names_that_come_once_are_not_kept() {
        let (mut block, mut names) = (BlockBuilder::default(), NameTable::default());
        let mut groups = GroupsBuilder::default();
        let time = Timestamp::EPOCH;
        let head =
            RecordHead { timestamp: time, observed: time, source: SourceId(1), range: SeqRange::new(0, 1) };
        for at in 0..5 * COLUMNS_MAX {
            for text in ["always".to_owned(), format!("{at}")] {
                let number = names.number(&text);
                block.name(number, &text);
                if text == "always" {
                    block.begin(head, 0, 0);
                }
                block.field(number, ValueRef::Str("x"));
            }
            if block.is_wide() {
                let (_, directory) = block.finish(&names, 12, Packing::Bits, &mut groups, &mut Vec::new());
                assert_eq!(directory.columns.len(), COLUMNS_MAX);
            }
        }
        let kept = block.columns.iter().flatten().count();
        assert!(kept == block.kept && kept <= 2 * COLUMNS_MAX, "{kept} {}", block.kept);
    }
}
