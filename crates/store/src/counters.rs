//! What the store counts about itself.
//!
//! Owns: the names of its metrics.

use sawyer_telemetry::{Counter, Gauge, Metrics};

use crate::settings::StorePlan;

/// The label of the records of which no policy speaks.
const OTHERS: &str = "";

/// The store's metrics.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) records: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) commits: Counter,
    pub(crate) wal_bytes: Counter,
    pub(crate) refused: Counter,
    pub(crate) sealed: Counter,
    pub(crate) sealed_bytes: Counter,
    pub(crate) merged: Counter,
    pub(crate) merged_bytes: Counter,
    pub(crate) expired: Counter,
    pub(crate) expired_records: Counter,
    pub(crate) deleted_records: Counter,
    pub(crate) restored_records: Counter,
    /// For each class, the records of it that were removed, and about how many bytes it takes.
    pub(crate) removed_by_class: Vec<Counter>,
    pub(crate) bytes_by_class: Vec<Gauge>,
    pub(crate) trimmed: Counter,
    pub(crate) trimmed_bytes: Counter,
    pub(crate) quarantined: Counter,
    pub(crate) torn_bytes: Counter,
    pub(crate) full: Gauge,
    pub(crate) segments: Gauge,
    pub(crate) segment_bytes: Gauge,
    pub(crate) segment_records: Gauge,
    pub(crate) memory_bytes: Gauge,
    pub(crate) sources: Gauge,
    pub(crate) cache_bytes: Gauge,
    pub(crate) cache_found: Counter,
    pub(crate) cache_read: Counter,
    pub(crate) cache_dropped: Counter,
}

impl Counters {
    pub(crate) fn new(metrics: &Metrics, plan: &StorePlan) -> Self {
        let counter = |name, help| metrics.counter(name, help, &[]);
        let gauge = |name, help| metrics.gauge(name, help, &[]);
        let classes: Vec<&str> =
            plan.policies.iter().map(|policy| &*policy.name).chain(std::iter::once(OTHERS)).collect();
        Self {
            removed_by_class: classes
                .iter()
                .map(|policy| {
                    let help = "Records removed by retention, by the policy that decided";
                    metrics.counter("sawyer_store_policy_removed_records", help, &[("policy", policy)])
                })
                .collect(),
            bytes_by_class: classes
                .iter()
                .map(|policy| {
                    let help = "About how many bytes the records of a policy take, as far as it is known";
                    metrics.gauge("sawyer_store_policy_bytes", help, &[("policy", policy)])
                })
                .collect(),
            trimmed: counter("sawyer_store_trimmed_segments", "Segments written again without some records"),
            trimmed_bytes: counter(
                "sawyer_store_trimmed_bytes",
                "Bytes of segments written again without some records",
            ),
            records: counter("sawyer_store_records", "Records stored"),
            duplicates: counter(
                "sawyer_store_duplicates",
                "Records left out because they were stored before",
            ),
            commits: counter("sawyer_store_commits", "Writes to the write-ahead log, each synced"),
            wal_bytes: counter("sawyer_store_wal_written_bytes", "Bytes written to the write-ahead log"),
            refused: counter("sawyer_store_refused_groups", "Groups of batches sent back to their senders"),
            sealed: counter("sawyer_store_sealed_segments", "Segments made from records in memory"),
            sealed_bytes: counter(
                "sawyer_store_sealed_bytes",
                "Bytes of segments made from records in memory",
            ),
            merged: counter("sawyer_store_merges", "Merges of segments"),
            merged_bytes: counter("sawyer_store_merged_bytes", "Bytes of segments made by merging"),
            expired: counter("sawyer_store_expired_segments", "Segments removed by retention"),
            expired_records: counter("sawyer_store_expired_records", "Records removed by retention"),
            deleted_records: counter("sawyer_store_deleted_records", "Records deleted on request"),
            restored_records: counter(
                "sawyer_store_restored_records",
                "Records brought from a copy on request",
            ),
            quarantined: counter("sawyer_store_quarantined_files", "Damaged files put aside"),
            torn_bytes: counter(
                "sawyer_store_torn_bytes",
                "Bytes at the end of the write-ahead log that are no whole frames, which were put aside",
            ),
            full: gauge("sawyer_store_disk_full", "1 while writes are refused because the disk is full"),
            segments: gauge("sawyer_store_segments", "Segments"),
            segment_bytes: gauge("sawyer_store_segments_bytes", "Bytes of all segments"),
            segment_records: gauge("sawyer_store_segments_records", "Records in all segments"),
            memory_bytes: gauge("sawyer_store_memory_bytes", "Bytes of records in memory, not sealed yet"),
            cache_bytes: gauge("sawyer_store_cache_bytes", "Bytes that queries read of segments and keep"),
            cache_found: counter(
                "sawyer_store_cache_found_parts",
                "Parts of segments that queries found in memory",
            ),
            cache_read: counter("sawyer_store_cache_read_parts", "Parts of segments that queries read"),
            cache_dropped: counter(
                "sawyer_store_cache_dropped_parts",
                "Parts of segments that were given up for others",
            ),
            sources: gauge("sawyer_store_sources", "Sources whose committed ranges are remembered"),
        }
    }
}
