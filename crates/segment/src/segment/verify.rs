//! Reading everything once, to know that it can be read.
//!
//! Owns: [`Segment::verify`]. Invariant: a segment without a finding can be read whole.

use std::collections::BTreeMap;

use sawyer_model::Error;

use super::Segment;
use super::parts::{Window, part_name};
use crate::error::{Place, Result};
use crate::filter;
use crate::layout::{Group, part};

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
        let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
        let blocks: u64 = self.footer.blocks.iter().map(|block| block.bytes).sum();
        let groups = self.footer.groups.iter().map(Group::bytes).fold(0, u64::saturating_add);
        let footer = self.bytes.source.len().saturating_sub(blocks).saturating_sub(groups);
        for group in &self.footer.groups {
            *sizes.entry(self.name(group.name).to_owned()).or_default() += group.bytes();
        }
        sizes.insert("(directories and footer)".into(), footer);
        for block in 0..self.footer.blocks.len() {
            let directory = self.directory(block)?;
            for column in &directory.columns {
                let bytes = column.data.end - column.data.start + column.head.end - column.head.start;
                *sizes.entry(self.name(column.name).to_owned()).or_default() += bytes;
            }
            for part in &directory.parts {
                let name = format!("({})", part_name(part.kind));
                *sizes.entry(name).or_default() += part.range.end - part.range.start;
            }
        }
        let mut sizes: Vec<(String, u64)> = sizes.into_iter().collect();
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
