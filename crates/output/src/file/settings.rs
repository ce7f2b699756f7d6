//! What can be set about the output `file`.

use std::path::PathBuf;
use std::time::Duration;

use sawyer_config::{ByteSize, choice, settings};

use crate::encode::LineFormat;

choice! {
    /// When written lines are made durable.
    pub enum Sync {
        /// Each group of lines before it is acknowledged. Whatever waits makes one group, so that a slow disk makes
        /// groups larger, not the wait longer than one sync.
        Always = "always",
        /// Lines wait up to `sync_interval` for others; then all are written and synced, and acknowledged. Fewer
        /// syncs, later acknowledgements.
        Interval = "interval",
        /// Left to the system. Lines survive the end of Sawyer, however it ends, but a loss of power takes those of
        /// about the last half minute, though they were acknowledged.
        Never = "never",
    }
}

settings! {
    /// Writes records to a file, one a line. The file is rotated by size, and by day if that is set: it is renamed to
    /// `<path>.<time of rotation, UTC>`, and a new one is begun. A file that somebody moved away or removed is made
    /// anew.
    pub struct FileSettings {
        /// The file. Its folder is made if it is missing. It is Sawyer's own: beside the file a lock is kept
        /// (`.<name>.lock`), and an unfinished last line is cut off when the file is opened.
        pub path: PathBuf,
        /// How records are written.
        pub format: LineFormat = LineFormat::Json,
        /// When written lines are made durable.
        pub sync: Sync = Sync::Always,
        /// How long lines wait for others with `sync: interval`.
        #[range(Duration::from_millis(1)..=Duration::from_secs(60))]
        pub sync_interval: Duration = Duration::from_secs(1),
        /// The file is rotated before it would grow beyond this; one group of lines may be larger.
        #[range(ByteSize::kib(1)..=ByteSize::MAX)]
        pub size_max: ByteSize = ByteSize::mib(100),
        /// Whether the file is rotated at the first line of each day (UTC), too.
        pub daily: bool = false,
        /// How many rotated files are kept. Older ones are removed.
        #[range(1..=100_000)]
        pub keep: usize = 10,
    }
}
