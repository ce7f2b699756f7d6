//! Reading everything once, to know that it can be read.
//!
//! Owns: [`Segment::verify`]. Invariant: a segment without a finding can be read whole.

use std::collections::BTreeMap;

use sawyer_model::Error;

use super::Segment;
use super::parts::{Window, part_name};
use crate::error::{Place, Result};
use crate::filter;
use crate::layout::part;

impl Segment {
    /// Reads every part and every record of it.
    ///
    /// # Errors
    /// `Corrupt` with the first damage, `Retry` if it cannot be read.
    pub fn verify(&self) -> Result<(), Error> {
        for block in 0..self.footer.blocks.len() {
            self.decode_block(block)?;
            self.verify_filter(block)?;
        }
        Ok(())
    }

    /// Compares all checksums of the columns of a block, without decoding what they hold.
    pub(crate) fn check_columns(&self, block: usize) -> Result<()> {
        let mut window = Window::default();
        for entry in &self.directory(block)?.columns {
            let column = self.read_column(block, entry, &mut window)?;
            column.values.check(self.data_once(block, entry))?;
        }
        Ok(())
    }

    /// How many bytes the columns of each name and the other parts take, largest first: to see what a store is
    /// made of.
    ///
    /// # Errors
    /// As [`Segment::verify`].
    pub fn column_bytes(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut sizes: BTreeMap<String, f64> = BTreeMap::new();
        let mut add = |name: String, start: u64, len: u64| {
            *sizes.entry(name).or_default() += self.stored_bytes(start, len);
        };
        for group in &self.footer.groups {
            let name = self.name(group.name);
            add(name.to_owned(), group.shapes.offset, group.shapes.len);
            for portion in &group.portions {
                add(name.to_owned(), portion.packed.offset, portion.packed.len);
                let raw = portion.raw_head.len.saturating_add(portion.raw_data_len);
                add(name.to_owned(), portion.raw_head.offset, raw);
            }
        }
        for (block, info) in self.footer.blocks.iter().enumerate() {
            let directory = self.directory(block)?;
            for column in &directory.columns {
                for range in [&column.data, &column.head] {
                    let start = info.offset.saturating_add(range.start);
                    add(self.name(column.name).to_owned(), start, range.end - range.start);
                }
            }
            for part in &directory.parts {
                let start = info.offset.saturating_add(part.range.start);
                add(format!("({})", part_name(part.kind)), start, part.range.end - part.range.start);
            }
        }
        let rest = self.summary.bytes as f64 - sizes.values().sum::<f64>();
        sizes.insert("(directories and footer)".into(), rest.max(0.0));
        let whole = |(name, bytes): (String, f64)| (name, bytes.round() as u64);
        let mut sizes: Vec<(String, u64)> = sizes.into_iter().map(whole).collect();
        sizes.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        Ok(sizes)
    }

    fn verify_filter(&self, block: usize) -> Result<()> {
        let Some(entry) = self.directory(block)?.part(part::FILTER) else { return Ok(()) };
        let stored = self.stored(block, &entry.range, entry.checksum);
        let place = Place::in_block("filter", block);
        let bytes = self.bytes.read_checked(stored, place)?;
        filter::verify(&bytes).map_err(place.at(stored.offset).damaged())
    }
}
