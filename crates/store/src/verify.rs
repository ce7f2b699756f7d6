//! Reads everything and compares it with its checksums and with the catalogue.
//!
//! Owns: the report. Does not own: what to do about damage (`compact` puts it aside).

use crate::Store;
use crate::keeper::segment_path;
use crate::problems::Problem;

/// What was found when everything was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments that were read.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Records in memory, which the write-ahead log holds.
    pub unsealed: u64,
    /// What is amiss. Damaged segments are put aside soon after.
    pub problems: Vec<Problem>,
}

impl Store {
    /// Reads all segments, and says what is amiss with them. Searches and writes go on meanwhile.
    #[must_use]
    pub fn verify(&self) -> VerifyReport {
        let (segments, unsealed) = {
            let live = self.engine.live.read();
            (live.segments.clone(), live.rows_in_memory())
        };
        let mut report = VerifyReport { unsealed, ..VerifyReport::default() };
        for segment in segments {
            report.segments += 1;
            let found = segment.segment.verify();
            let message = match found {
                Ok(()) => {
                    report.records += segment.entry.rows;
                    continue;
                }
                Err(error) => {
                    self.engine.note_unreadable(&segment, &error);
                    error.chain()
                }
            };
            let path = segment_path(segment.entry.id).display().to_string();
            report.problems.push(Problem { at: self.engine.clock.now(), path, message, quarantined: None });
        }
        report
    }
}
