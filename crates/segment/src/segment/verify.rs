//! Reading everything once, to know that it can be read.
//!
//! Owns: [`Segment::verify`]. Invariant: a segment without a finding can be read whole.

use sawyer_model::Error;

use super::Segment;
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

    fn verify_filter(&self, block: usize) -> Result<()> {
        let Some(entry) = self.directory(block)?.part(part::FILTER) else { return Ok(()) };
        let stored = self.stored(block, &entry.range, entry.checksum);
        let place = Place::in_block("filter", block);
        let bytes = self.bytes.read_checked(stored, place)?;
        filter::verify(&bytes).map_err(place.at(stored.offset).damaged())
    }
}
