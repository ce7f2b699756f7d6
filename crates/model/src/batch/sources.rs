//! What a batch says about its sources, in numbers and by name.

use std::sync::Arc;

use super::Batch;
use crate::progress::Progress;
use crate::source::SourceId;
use crate::tally::{BySource, Count};

impl Batch {
    /// Its records, and how much of their sources is their own.
    #[must_use]
    pub fn own(&self) -> Count {
        let bytes = self.entries.iter().map(|entry| entry.range.len()).sum();
        Count::new(self.entries.len() as u64, bytes)
    }

    /// How much of its sources it accounts for.
    #[must_use]
    pub fn covered_bytes(&self) -> u64 {
        self.covered.iter().map(|part| part.range.len()).sum()
    }

    /// How much of its sources it accounts for beside what is its records' own: blank lines, pieces of lines.
    #[must_use]
    pub fn beside(&self) -> u64 {
        self.covered_bytes().saturating_sub(self.own().bytes)
    }

    /// The same by source. Looks at single records only if there is some.
    #[must_use]
    pub fn beside_by_source(&self) -> BySource {
        if self.beside() == 0 {
            return BySource::default();
        }
        let parts = self.covered.iter().map(|part| (part.source, Count::new(0, part.range.len())));
        let mut beside: BySource = parts.collect();
        for entry in &self.entries {
            beside.remove(entry.source, Count::new(0, entry.range.len()));
        }
        beside
    }

    /// What its input tells of its reading, if it does, and the number of this batch there.
    #[must_use]
    pub fn progress(&self) -> Option<(&Arc<Progress>, u64)> {
        self.progress.as_ref().map(|(progress, number)| (progress, *number))
    }

    /// Says that this is the batch with this number of an input that tells how far it is.
    pub fn set_progress(&mut self, progress: &Arc<Progress>, number: u64) {
        self.progress = Some((Arc::clone(progress), number));
    }

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
