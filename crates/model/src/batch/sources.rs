//! Other identities for the sources of a batch.

use super::Batch;
use crate::source::SourceId;

impl Batch {
    /// Gives each source another identity, in its records and in what it accounts for.
    pub fn map_sources(&mut self, map: impl Fn(SourceId) -> SourceId) {
        self.encoded = None;
        for entry in &mut self.entries {
            entry.source = map(entry.source);
        }
        for part in &mut self.covered {
            part.source = map(part.source);
        }
    }
}
