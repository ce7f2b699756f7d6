//! What can be set about the store, and what was checked.
//!
//! Owns: [`StoreSettings`], [`StorePlan`], the store's limits that are not settings.
//! Does not own: where the data folder is; whoever opens the store says that.

use std::sync::Arc;
use std::time::Duration;

use sawyer_config::{At, ByteSize, Problems, settings};

use crate::policy::{POLICIES_MAX, Policy};
use crate::room;

/// One day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Part of the disk (own data and free space together) that the store fills when no size is set.
pub(crate) const SIZE_DEFAULT_PERCENT: u64 = 80;

/// Space kept free when none is set: this part of the disk, or [`FREE_DEFAULT_BYTES_MAX`] if that is less.
pub(crate) const FREE_DEFAULT_PERCENT: u64 = 2;

/// See [`FREE_DEFAULT_PERCENT`]. Enough to write a catalogue and seal what is in memory.
pub(crate) const FREE_DEFAULT_BYTES_MAX: u64 = 256 << 20;

/// The records in memory are sealed when they take this part of the budget: the rest is for those that come
/// while they are being sealed. The later that is, the less has to be merged.
pub(crate) const SEAL_PART_OF_MEMORY: usize = 2;

/// With fewer rows than this starting threads costs more than it saves.
const ALONE_ROWS_MAX: usize = 50_000;

/// So long the thread that asks goes on alone: starting others costs a twentieth of it, and most questions are answered by
/// then.
const ALONE_TIME_MAX: Duration = Duration::from_millis(1);

settings! {
    /// The embedded store: where records are kept, and how long.
    pub struct StoreSettings {
        /// How long records are kept, counted from when they were first seen (not from the time they tell), so
        /// that old lines read today are kept their full time. Removed a day at a time and an hour late (should the
        /// clock be wrong for a moment), so the oldest may stay up to a day longer.
        #[range(Duration::from_secs(60 * 60)..=Duration::from_secs(100 * 365 * 24 * 60 * 60))]
        pub retention: Duration = Duration::from_secs(30 * 24 * 60 * 60),
        /// Other times and sizes for some records, such as `debug` lines or those of a namespace. The first policy
        /// whose `query` holds for a record decides; `retention` is for all others. They hold for what is stored
        /// already, too. See [Looking after the store](store.md#retention).
        pub policies: Vec<PolicySettings> = Vec::new(),
        /// Most bytes on disk; the oldest records go first, whatever policies say. Without it 80 % of what the disk has for the store:
        /// its own data and the free space together.
        #[range(ByteSize::mib(1)..=ByteSize::gib(1 << 20))]
        pub size_max: Option<ByteSize>,
        /// Space that is kept free. With less, writes are refused and senders keep their data until there is
        /// space again; reads go on. Without it 2 % of the disk, at most `256MiB`.
        pub free_min: Option<ByteSize>,
        /// Memory for records that are not sealed yet; half of it is sealed at a time, while the other half is filled.
        /// More makes larger first segments and so less merging: with this much and many records a second, segments are
        /// written once, and with half of it twice. After a crash all of it is read again from the write-ahead log.
        #[range(ByteSize::mib(1)..=ByteSize::gib(64))]
        pub memory_max: ByteSize = ByteSize::mib(64),
        /// Longest time until records are sealed into a segment. They are durable and can be searched before;
        /// sealing makes them smaller and faster to search. Shorter intervals mean more merging.
        #[range(Duration::from_millis(10)..=Duration::from_secs(24 * 60 * 60))]
        pub seal_interval: Duration = Duration::from_secs(60),
        /// How long a batch waits for others before all are written and synced together. Batches that come
        /// during a sync share the next one anyway; waiting longer only saves syncs on slow disks, and adds to
        /// the time of every acknowledgement.
        #[range(Duration::ZERO..=Duration::from_secs(1))]
        pub commit_delay: Duration = Duration::ZERO,
        /// Largest segment that merging makes, before compression. Larger ones are fewer and smaller altogether;
        /// merging one takes about twice this in memory.
        #[range(ByteSize::kib(64)..=ByteSize::gib(4))]
        pub merged_bytes_max: ByteSize = ByteSize::mib(96),
        /// After how long, counted from when they were first seen, records are written once more, compressed as a whole:
        /// for logs that are kept and seldom asked. That takes a seventh fewer bytes, and half where logs are small and
        /// of many programs; it costs as much work as taking them in, and queries that read texts of them take two to a
        /// hundred times longer. Without it never.
        #[range(Duration::ZERO..=Duration::from_secs(100 * 365 * 24 * 60 * 60))]
        pub squeeze_after: Option<Duration>,
        /// Threads that merge segments.
        #[range(1..=64)]
        pub merge_threads: usize = 1,
        /// Threads that answer queries, all together. Without it as many as there are processors.
        #[range(1..=1024)]
        pub search_threads: Option<usize>,
        /// Memory for what queries have read of segments and checked: severities, names, filters, texts, the shapes of
        /// messages. What is there is not read, checked and decompressed again by the next query. It fills with use;
        /// 64 MB hold what queries through all messages of a million records need. Without it an eighth of the memory that the
        /// process may use (the machine's, or the limit of its container), from 128 MiB to 1 GiB.
        #[range(ByteSize::mib(1)..=ByteSize::gib(64))]
        pub search_cache_max: Option<ByteSize>,
        /// How long after `retention` the store remembers what it took from a source that sends nothing more. A
        /// source that is sent again after that is stored again.
        pub source_memory: Duration = Duration::from_secs(7 * 24 * 60 * 60),
        /// Most sources remembered; those idle longest are forgotten first. Each takes about 100 bytes.
        #[range(100..=10_000_000)]
        pub sources_max: usize = 200_000,
    }

    /// How long some records are kept, and how many bytes of them.
    pub struct PolicySettings {
        /// What it is called in reports and metrics.
        pub name: String,
        /// Which records, in KQL. It may not speak of `now`: age is what `keep` is about.
        pub query: String,
        /// How long they are kept, counted as for `retention`, longer or shorter than it. Without it as long as
        /// `retention` says.
        #[range(Duration::from_secs(60 * 60)..=Duration::from_secs(100 * 365 * 24 * 60 * 60))]
        pub keep: Option<Duration>,
        /// Most bytes of them on disk; the oldest go first. A record counts as much as others in its segment.
        #[range(ByteSize::mib(1)..=ByteSize::gib(1 << 20))]
        pub size_max: Option<ByteSize>,
    }
}

/// Settings that were checked.
#[derive(Clone, Debug)]
pub struct StorePlan {
    pub(crate) retention: Duration,
    pub(crate) policies: Arc<[Policy]>,
    pub(crate) size_max: Option<u64>,
    pub(crate) free_min: Option<u64>,
    pub(crate) memory_bytes_max: usize,
    pub(crate) seal_interval: Duration,
    pub(crate) commit_delay: Duration,
    pub(crate) merged_bytes_max: u64,
    pub(crate) squeeze_after: Duration,
    pub(crate) merge_threads: usize,
    pub(crate) search_threads: usize,
    /// A question to fewer rows than this is answered by one thread.
    pub(crate) alone_rows_max: usize,
    /// So long the thread that asks goes on alone.
    pub(crate) alone_time_max: Duration,
    pub(crate) search_cache_bytes_max: usize,
    pub(crate) source_idle_max: Duration,
    pub(crate) sources_max: usize,
}

impl StoreSettings {
    /// Checks what the settings mean together.
    pub fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<StorePlan> {
        if self.size_max.is_some_and(|size| size < self.memory_max) {
            let least = self.memory_max;
            problems.push(
                &at.key("size_max"),
                format!("expected at least `memory_max` ({least}), which the write-ahead log alone can take"),
            );
            return None;
        }
        let policies = self.check_policies(&at.key("policies"), problems)?;
        Some(self.plan(policies))
    }

    fn check_policies(&self, at: &At<'_>, problems: &mut Problems) -> Option<Vec<Policy>> {
        let before = problems.len();
        if self.policies.len() > POLICIES_MAX {
            problems.push(at, format!("expected at most {POLICIES_MAX}, found {}", self.policies.len()));
        }
        let mut policies: Vec<Policy> = Vec::new();
        for (item, settings) in at.items().iter().zip(&self.policies) {
            if policies.iter().any(|policy| policy.name == settings.name) || settings.name.is_empty() {
                problems.push(&item.key("name"), "expected a name that no other policy has");
            }
            if settings.keep.is_none() && settings.size_max.is_none() {
                problems.push(item, "expected `keep`, `size_max` or both");
            }
            match Policy::new(settings, self.retention) {
                Ok(policy) => policies.push(policy),
                Err(message) => problems.push(&item.key("query"), message),
            }
        }
        (problems.len() == before).then_some(policies)
    }

    fn plan(self, policies: Vec<Policy>) -> StorePlan {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let longest = policies.iter().map(|policy| policy.keep).fold(self.retention, Duration::max);
        StorePlan {
            retention: self.retention,
            policies: policies.into(),
            size_max: self.size_max.map(ByteSize::bytes),
            free_min: self.free_min.map(ByteSize::bytes),
            memory_bytes_max: self.memory_max.as_usize(),
            seal_interval: self.seal_interval,
            commit_delay: self.commit_delay,
            merged_bytes_max: self.merged_bytes_max.bytes(),
            squeeze_after: self.squeeze_after.unwrap_or(Duration::MAX),
            merge_threads: self.merge_threads,
            search_threads: self.search_threads.unwrap_or_else(processors),
            alone_rows_max: ALONE_ROWS_MAX,
            alone_time_max: ALONE_TIME_MAX,
            search_cache_bytes_max: self
                .search_cache_max
                .map_or_else(room::search_cache_bytes, ByteSize::as_usize),
            source_idle_max: longest.saturating_add(self.source_memory),
            sources_max: self.sources_max,
        }
    }
}

/// What the default settings mean.
impl Default for StorePlan {
    fn default() -> Self {
        StoreSettings::default().plan(Vec::new())
    }
}

impl StorePlan {
    /// For a store that is opened beside the settings of whoever writes it: nothing in it is too old or too much, and
    /// no source is forgotten.
    #[must_use]
    pub fn keeping_all() -> Self {
        Self {
            retention: Duration::MAX,
            size_max: Some(u64::MAX),
            squeeze_after: Duration::MAX,
            source_idle_max: Duration::MAX,
            sources_max: usize::MAX,
            ..Self::default()
        }
    }

    /// For tests: every question has its threads at once, however little there is to look at.
    #[must_use]
    pub fn with_threads_at_once(self) -> Self {
        Self { alone_rows_max: 0, alone_time_max: Duration::ZERO, ..self }
    }

    /// Bytes of records in memory at which they are sealed.
    pub(crate) fn seal_bytes(&self) -> usize {
        self.memory_bytes_max / SEAL_PART_OF_MEMORY
    }
}
