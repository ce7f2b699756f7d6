//! What a tail counts.

use sawyer_pipeline::Context;
use sawyer_telemetry::{Counter, Gauge, Metrics};

use super::lines::Counts;

#[derive(Debug)]
pub(super) struct Meters {
    metrics: Metrics,
    input: String,
    pub(super) files: Gauge,
    pub(super) bytes_behind: Gauge,
    pub(super) files_in_danger: Gauge,
    pub(super) unaccounted: Gauge,
    lines: Counter,
    bytes: Counter,
    malformed: Counter,
    cut: Counter,
    pub(super) rotated_unread: Counter,
    pub(super) truncations: Counter,
    pub(super) rotations: Counter,
}

impl Meters {
    pub(super) fn new(context: &Context) -> Self {
        let metrics = context.metrics.clone();
        let labels = [("input", context.name.as_str())];
        let counter = |name, help| metrics.counter(name, help, &labels);
        let gauge = |name, help| metrics.gauge(name, help, &labels);
        Self {
            files: gauge("sawyer_input_files", "Files that are followed"),
            bytes_behind: gauge("sawyer_input_bytes_behind", "Bytes in files that were not read yet"),
            files_in_danger: gauge(
                "sawyer_input_files_in_danger",
                "Files that are removed next, or were, and that are not durable elsewhere to their end",
            ),
            unaccounted: gauge(
                "sawyer_ledger_unaccounted_source_bytes",
                "Bytes of files that were read, and of which it is not known what became; anything but 0 is a fault",
            ),
            lines: counter("sawyer_input_lines", "Lines read, as they stand in files"),
            bytes: counter("sawyer_input_bytes", "Bytes read from files, unpacked"),
            malformed: counter("sawyer_input_malformed_lines", "Lines without the form of their file"),
            cut: counter(
                "sawyer_input_cut_lines",
                "Lines beyond the bound, of which head and tail were kept",
            ),
            rotated_unread: counter(
                "sawyer_input_bytes_rotated_unread",
                "Bytes of files that were removed or cut before they were read; of compressed ones the compressed",
            ),
            truncations: counter("sawyer_input_truncations", "Files that were cut while they were followed"),
            rotations: counter(
                "sawyer_input_rotations",
                "Files that were rotated by Sawyer itself, or gave back the space of what was delivered",
            ),
            input: context.name.clone(),
            metrics,
        }
    }

    /// Sets to nothing what is only true while somebody reads: whoever reads next would not set it before it changes.
    pub(super) fn nobody_reads(&self) {
        self.files_in_danger.set(0);
        self.unaccounted.set(0);
    }

    pub(super) fn count(&self, counts: Counts) {
        self.lines.inc_by(counts.lines);
        self.bytes.inc_by(counts.bytes);
        self.malformed.inc_by(counts.malformed);
        self.cut.inc_by(counts.cut);
    }

    /// Counts an error. The reasons are few and known when Sawyer is compiled.
    pub(super) fn error(&self, reason: &'static str) {
        let labels = [("input", self.input.as_str()), ("reason", reason)];
        self.metrics.counter("sawyer_input_errors", "Things that went wrong while reading", &labels).inc();
    }
}
