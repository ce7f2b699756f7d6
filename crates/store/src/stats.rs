//! How much the store holds, and how it is.
//!
//! Owns: the report for `status`. Does not own: metrics (`counters`).

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::Store;
use crate::wal::WAL_DIR;

/// How much the store holds, and how it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Records that can be found.
    pub records: u64,
    /// Those of them that are in memory and in the write-ahead log only.
    pub unsealed: u64,
    /// Bytes that these take in memory.
    pub memory_bytes: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of the segments.
    pub segment_bytes: u64,
    /// Bytes of the values of the records in segments, before compression.
    pub raw_bytes: u64,
    /// Sources whose sealed ranges are remembered.
    pub sources: u64,
    /// Whether writes were last refused because the disk was full.
    pub disk_full: bool,
    /// Problems with stored data since the store was opened; see [`Store::problems`].
    pub problems: u64,
}

impl Store {
    /// How much the store holds, and how it is.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let logs = self.engine.disk.read_dir(Path::new(WAL_DIR)).unwrap_or_default();
        let sources = self.engine.keeper.lock().catalogue().sources.len() as u64;
        let live = self.engine.live.read();
        let sum = |of: fn(&crate::catalogue::SegmentEntry) -> u64| {
            live.segments.iter().map(|segment| of(&segment.entry)).sum::<u64>()
        };
        let unsealed = live.rows_in_memory();
        StoreStats {
            records: unsealed + sum(|entry| entry.rows),
            unsealed,
            memory_bytes: live.bytes() as u64,
            wal_bytes: logs.iter().map(|entry| entry.len).sum(),
            segments: live.segments.len() as u64,
            segment_bytes: sum(|entry| entry.bytes),
            raw_bytes: sum(|entry| entry.raw_bytes),
            sources,
            disk_full: self.engine.full.load(Ordering::Acquire),
            problems: self.engine.problems.list().len() as u64,
        }
    }
}
