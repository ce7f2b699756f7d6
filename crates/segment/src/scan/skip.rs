//! Whether a block can be left out.
//!
//! Owns: asking times, filter and directory for what a predicate needs.
//! Invariant: a block with a record of the selection is never left out.

use sawyer_query::FieldPattern;
use sawyer_query::search::Selection;

use super::StreamTokens;
use crate::column::kind;
use crate::error::Result;
use crate::filter::{self, HIDDEN};
use crate::layout::{ColumnEntry, part};
use crate::segment::Segment;
use crate::source::Data;

impl Segment {
    pub(super) fn may_hold(&self, block: usize, selection: &Selection) -> Result<bool> {
        let info = &self.footer.blocks[block];
        if selection.end <= *info.timestamps.start() || *info.timestamps.end() < selection.start {
            return Ok(false);
        }
        let bounds = selection.predicate.time_bounds(&|name| self.has_field(name));
        if bounds.last < *info.timestamps.start() || *info.timestamps.end() < bounds.first {
            return Ok(false);
        }
        let mut failed = None;
        let may = selection.predicate.may_match(&mut |field, token| {
            self.may_have_token(block, field, token).unwrap_or_else(|error| {
                failed = Some(error);
                true
            })
        });
        failed.map_or(Ok(may), Err)
    }

    /// Whether any record may have a field of this name.
    fn has_field(&self, name: &str) -> bool {
        self.footer.find_name(name).is_some()
            || self.streams().iter().any(|stream| stream.get(name).is_some())
    }

    /// Whether a row of the block may have a token, in the fields of a pattern or in any but hidden ones.
    fn may_have_token(&self, block: usize, field: Option<&FieldPattern>, token: &str) -> Result<bool> {
        let is_meant =
            |name: &str| field.map_or_else(|| !name.starts_with(HIDDEN), |field| field.matches(name));
        let (hash, streams) = (filter::hash_of(token), &self.footer.blocks[block].streams);
        let tokens = self.stream_tokens.get_or_init(|| StreamTokens::of(self));
        if tokens
            .fields(hash, streams)
            .any(|(stream, field)| is_meant(&self.streams()[stream].fields()[field].0))
        {
            return Ok(true);
        }
        let directory = self.directory(block)?;
        let mut in_filter = false;
        let mut may_have = |column: &ColumnEntry| {
            in_filter |= column.mask & !NUMBERS != 0;
            self.name(column.name).starts_with(HIDDEN) || may_be_number(column, token)
        };
        let known = match field.and_then(FieldPattern::names) {
            Some(names) => {
                let numbers = names.iter().filter_map(|name| self.footer.find_name(name));
                numbers.filter_map(|number| directory.column(number)).any(&mut may_have)
            }
            None => {
                let meant = directory.columns.iter().filter(|column| is_meant(self.name(column.name)));
                meant.into_iter().any(&mut may_have)
            }
        };
        if known {
            return Ok(true);
        }
        let Some(entry) = directory.part(part::FILTER) else { return Ok(in_filter) };
        if !in_filter {
            return Ok(false);
        }
        if let Some(filter) = self.filter(block)? {
            return Ok(filter::may_have_in(&filter, hash));
        }
        let place = crate::error::Place::in_block("filter", block);
        let offset = self.footer.blocks[block].offset + entry.range.start;
        let data = Data { bytes: &self.bytes, offset, place, home: None };
        filter::may_have(data, entry.range.end - entry.range.start, hash)
    }
}

const NUMBERS: u8 = 1 << kind::INT | 1 << kind::FLOAT;

/// Whether a column may have a number whose token this is; the filter does not have the tokens of numbers.
fn may_be_number(column: &ColumnEntry, token: &str) -> bool {
    const MAYBE_NUMBERS: u8 = NUMBERS | 1 << kind::LIST;
    if column.mask & MAYBE_NUMBERS == 0 {
        return false;
    }
    let Ok(number) = token.parse::<f64>() else { return false };
    if !number.is_finite() {
        return true;
    }
    let between = |least: f64, most: f64| least <= number && number <= most;
    column.stats.ints.is_some_and(|(least, most)| between(least as f64, most as f64))
        || column.stats.floats.is_some_and(|(least, most)| between(least, most))
}
