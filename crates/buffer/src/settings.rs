//! What can be set about a buffer, and what was checked.
//!
//! Owns: [`BufferSettings`], [`BufferPlan`], limits that follow from them.
//! Does not own: where the folder is; whoever opens the buffer says that.

use std::time::Duration;

use sawyer_config::{At, ByteSize, Problems, choice, settings};

/// Bound of a buffer on disk when none is set.
const DISK_DEFAULT: ByteSize = ByteSize::gib(1);

/// Bound of a buffer in memory when none is set.
const MEMORY_DEFAULT: ByteSize = ByteSize::mib(16);

/// A buffer is divided into about this many files, and space comes back a file at a time.
const FILES_PER_BUFFER: u64 = 16;

/// A file is ended when it has this many bytes, whatever the bound of the buffer: fewer would cost a sync of
/// the folder too often, more would hold space for too long.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// See [`FILE_BYTES_MAX`].
const FILE_BYTES_MIN: u64 = 64 << 10;

/// Room for lines that would be lost otherwise, beside the bound, as a part of it, when none is set.
const SPILL_PART: u64 = 4;

/// This part of the bound is kept for urgent entries, so that they pass when others wait for room.
const URGENT_PART: u64 = 16;

choice! {
    /// Where a buffer keeps what waits.
    pub enum BufferKind {
        /// In files: what waits survives a restart.
        Disk = "disk",
        /// In memory: nothing is written, and what waits is lost when the process ends. Inputs that can read
        /// again (files) do not notice if the output acknowledges; others lose what waited.
        Memory = "memory",
    }

    /// What happens when a buffer is full.
    pub enum OnFull {
        /// Whoever puts in waits, in the end the input: files are read later, clients are told to come again.
        Block = "block",
        /// The oldest entries make room. They are lost, and counted in `sawyer_buffer_shed_records`.
        ShedOldest = "shed_oldest",
    }

    /// When what was put into a buffer is brought to the disk.
    pub enum SyncPolicy {
        /// Before it is acknowledged. Nothing acknowledged is lost with the power. Costs one sync for all that
        /// come at the same time: some milliseconds until the acknowledgement, little throughput.
        Always = "always",
        /// Every `sync_interval`. A loss of power takes what came since the last one, though it was
        /// acknowledged; the death of the process takes nothing.
        Interval = "interval",
        /// When the system likes (often after 30 seconds). A loss of power takes what was not written by then.
        Never = "never",
    }
}

settings! {
    /// The buffer in front of an output: how much may wait, where, and how safely.
    pub struct BufferSettings {
        /// Where it is kept.
        pub kind: BufferKind = BufferKind::Disk,
        /// Most bytes that wait. Without it `1GiB` on disk, `16MiB` in memory. One sixteenth is kept for urgent
        /// entries. Files are removed as a whole, so the folder can be larger by one file (a sixteenth of this,
        /// at most `16MiB`) for each entry that is being sent.
        #[range(ByteSize::mib(1)..=ByteSize::MAX)]
        pub bytes_max: Option<ByteSize>,
        /// Bytes beside `bytes_max` for lines whose files are removed next: when the buffer is full, inputs read only
        /// these. Urgent entries may use it too. Without it a quarter of `bytes_max` on disk, unless it sheds; `0` leaves
        /// such lines to their files.
        #[range(ByteSize::ZERO..=ByteSize::MAX)]
        pub spill_max: Option<ByteSize>,
        /// Longest wait. What is older is let go of and counted as shed. Without it nothing is too old.
        #[range(Duration::from_secs(1)..=Duration::from_secs(10 * 365 * 24 * 60 * 60))]
        pub age_max: Option<Duration>,
        /// What happens when it is full, also when the disk is.
        pub on_full: OnFull = OnFull::Block,
        /// When it is brought to the disk. `always` loses nothing acknowledged; the others are for disks
        /// on which a sync takes long, and for records that may be lost with the power.
        pub sync: SyncPolicy = SyncPolicy::Always,
        /// Time between two syncs with `sync: interval`: the most that a loss of power takes.
        #[range(Duration::from_millis(10)..=Duration::from_secs(60 * 60))]
        pub sync_interval: Duration = Duration::from_secs(1),
        /// Memory for entries that were put in just now and so need not be read back. Less means more reading.
        #[range(ByteSize::ZERO..=ByteSize::gib(16))]
        pub memory_max: ByteSize = ByteSize::mib(4),
        /// Most bytes of dead letters (what the target refused for good). The oldest make room, and are counted.
        #[range(ByteSize::kib(64)..=ByteSize::MAX)]
        pub dead_letters_max: ByteSize = ByteSize::mib(128),
    }
}

/// Settings that were checked.
#[derive(Clone, Debug)]
pub struct BufferPlan {
    pub(crate) kind: BufferKind,
    pub(crate) bytes_max: u64,
    pub(crate) spill_max: u64,
    pub(crate) age_max: Option<Duration>,
    pub(crate) on_full: OnFull,
    pub(crate) sync: SyncPolicy,
    pub(crate) sync_interval: Duration,
    pub(crate) memory_max: u64,
    pub(crate) dead_letters_max: u64,
    pub(crate) file_bytes: u64,
    pub(crate) dead_file_bytes: u64,
}

impl BufferSettings {
    /// Checks what the settings mean together.
    pub fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<BufferPlan> {
        if self.kind == BufferKind::Memory && self.sync != SyncPolicy::Always {
            problems.push(&at.key("sync"), "a buffer in memory has no disk to sync: leave `sync` out");
            return None;
        }
        if self.kind == BufferKind::Memory && self.spill_max.is_some_and(|max| max > ByteSize::ZERO) {
            let problem =
                "lines are not safe in memory, so none can be taken out of danger: leave `spill_max` out";
            problems.push(&at.key("spill_max"), problem);
            return None;
        }
        if self.on_full == OnFull::ShedOldest && self.spill_max.is_some_and(|max| max > ByteSize::ZERO) {
            let problem = "whoever sheds when it is full has room for all lines: leave `spill_max` out";
            problems.push(&at.key("spill_max"), problem);
            return None;
        }
        Some(self.plan())
    }

    fn plan(self) -> BufferPlan {
        let default = match self.kind {
            BufferKind::Disk => DISK_DEFAULT,
            BufferKind::Memory => MEMORY_DEFAULT,
        };
        let bytes_max = self.bytes_max.unwrap_or(default).bytes();
        let spills = self.kind == BufferKind::Disk && self.on_full == OnFull::Block;
        let spill_default = if spills { bytes_max / SPILL_PART } else { 0 };
        let dead_letters_max = self.dead_letters_max.bytes();
        BufferPlan {
            kind: self.kind,
            bytes_max,
            spill_max: self.spill_max.map_or(spill_default, ByteSize::bytes),
            age_max: self.age_max,
            on_full: self.on_full,
            sync: self.sync,
            sync_interval: self.sync_interval,
            memory_max: self.memory_max.bytes(),
            dead_letters_max,
            file_bytes: file_bytes(bytes_max),
            dead_file_bytes: file_bytes(dead_letters_max),
        }
    }
}

fn file_bytes(bytes_max: u64) -> u64 {
    (bytes_max / FILES_PER_BUFFER).clamp(FILE_BYTES_MIN, FILE_BYTES_MAX)
}

/// What the default settings mean.
impl Default for BufferPlan {
    fn default() -> Self {
        BufferSettings::default().plan()
    }
}

impl BufferPlan {
    /// Most bytes in the lanes that leave for entries that are not urgent and in no danger.
    pub(crate) fn normal_max(&self) -> u64 {
        self.bytes_max - self.bytes_max / URGENT_PART
    }
}

#[cfg(test)]
mod tests {
    use sawyer_config::{Document, Setting};

    use super::*;

    fn plan(text: &str) -> Result<BufferPlan, String> {
        let document = Document::parse("test.yaml", text).map_err(|problems| problems.to_string())?;
        let mut problems = Problems::new();
        let at = document.at();
        let plan = BufferSettings::read(&at, &mut problems).and_then(|s| s.check(&at, &mut problems));
        problems.into_result(plan).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_buffer_in_memory_is_small_by_default() {
        assert_eq!(plan("kind: memory").unwrap().bytes_max, 16 << 20);
        assert_eq!(plan("kind: disk").unwrap().bytes_max, 1 << 30);
        assert_eq!(BufferPlan::default().file_bytes, 16 << 20);
    }

    #[test]
    fn memory_has_nothing_to_sync() {
        let problems = plan("kind: memory\nsync: never").unwrap_err();
        assert!(problems.starts_with("test.yaml:2:"), "{problems}");
        assert!(problems.contains("leave `sync` out"), "{problems}");
    }

    #[test]
    fn there_is_room_for_lines_in_danger_on_disk_if_it_does_not_shed() {
        let spill = |text| plan(text).map(|plan| plan.spill_max);
        assert_eq!(spill("bytes_max: 8MiB"), Ok(2 << 20));
        assert_eq!(spill("spill_max: 0"), Ok(0));
        assert_eq!(spill("kind: memory"), Ok(0));
        assert_eq!(spill("on_full: shed_oldest"), Ok(0));
        for other in ["kind: memory", "on_full: shed_oldest"] {
            let problems = plan(&format!("{other}\nspill_max: 1MiB")).unwrap_err();
            assert!(problems.starts_with("test.yaml:2:"), "{problems}");
        }
    }
}
