//! What a buffer counts about itself.
//!
//! Owns: the names of its metrics.

use sawyer_telemetry::{Counter, Gauge, Metrics};

use crate::entry::Lane;
use crate::state::{Shed, State};

/// The metrics of the buffer of one output.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) pushed_records: Counter,
    pub(crate) pushed_bytes: Counter,
    pub(crate) spilled_records: Counter,
    pub(crate) done_records: Counter,
    pub(crate) passed_records: Counter,
    pub(crate) dead_records: Counter,
    pub(crate) redelivered: Counter,
    pub(crate) damaged: Counter,
    pub(crate) torn_bytes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) failures: Counter,
    pub(crate) disk_full: Gauge,
    shed: [(Counter, Counter); 4],
    waiting: [(Gauge, Gauge); 3],
    in_flight: Gauge,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics, output: &str) -> Self {
        let labels = [("output", output)];
        let counter = |name, help| metrics.counter(name, help, &labels);
        let shed = |reason: &str| {
            let labels = [("output", output), ("reason", reason)];
            let records = "Records lost because there was no room, or they waited too long, by reason.";
            let bytes = "Bytes lost because there was no room, or they waited too long, by reason.";
            (
                metrics.counter("sawyer_buffer_shed_records", records, &labels),
                metrics.counter("sawyer_buffer_shed_bytes", bytes, &labels),
            )
        };
        let waiting = |lane: Lane| {
            let labels = [("output", output), ("lane", lane.name())];
            (
                metrics.gauge("sawyer_buffer_held_bytes", "Bytes in the buffer, by lane.", &labels),
                metrics.gauge("sawyer_buffer_held_entries", "Entries in the buffer, by lane.", &labels),
            )
        };
        Self {
            pushed_records: counter("sawyer_buffer_pushed_records", "Records put into the buffer."),
            pushed_bytes: counter("sawyer_buffer_pushed_bytes", "Bytes put into the buffer."),
            spilled_records: counter(
                "sawyer_buffer_spilled_records",
                "Records let in beyond the bound, because their files were to be removed.",
            ),
            done_records: counter("sawyer_buffer_done_records", "Records that left the buffer for good."),
            passed_records: counter(
                "sawyer_buffer_passed_records",
                "Records that were delivered before they had to be put into the buffer.",
            ),
            dead_records: counter("sawyer_buffer_dead_records", "Records made dead letters."),
            redelivered: counter("sawyer_buffer_redelivered_entries", "Entries taken again after a release."),
            damaged: counter("sawyer_buffer_damaged_entries", "Places in files that were not as written."),
            torn_bytes: counter("sawyer_buffer_torn_bytes", "Bytes of unfinished writes found on start."),
            syncs: counter("sawyer_buffer_file_syncs", "Times that written entries were synced."),
            failures: counter("sawyer_buffer_write_failures", "Writes and syncs that failed."),
            disk_full: metrics.gauge("sawyer_buffer_disk_full", "1 while the disk is full.", &labels),
            shed: [shed("full"), shed("disk_full"), shed("age"), shed("dead_letters_full")],
            waiting: [waiting(Lane::Urgent), waiting(Lane::Normal), waiting(Lane::Dead)],
            in_flight: metrics.gauge("sawyer_buffer_flying_entries", "Entries being sent.", &labels),
        }
    }

    pub(crate) fn shed(&self, lane: Lane, why: Shed, records: u32, bytes: u64) {
        let (shed_records, shed_bytes) = match (lane, why) {
            (Lane::Dead, _) => &self.shed[3],
            (_, Shed::Full) => &self.shed[0],
            (_, Shed::DiskFull) => &self.shed[1],
            (_, Shed::Age) => &self.shed[2],
        };
        shed_records.inc_by(records.into());
        shed_bytes.inc_by(bytes);
    }

    pub(crate) fn show(&self, state: &State) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for lane in Lane::ALL {
            let index = state.lane(lane);
            let (bytes, entries) = &self.waiting[lane as usize];
            bytes.set(index.bytes.cast_signed());
            entries.set(number(index.entries.len()));
        }
        let flying = state.lane(Lane::Urgent).in_flight() + state.lane(Lane::Normal).in_flight();
        self.in_flight.set(number(flying));
    }
}
