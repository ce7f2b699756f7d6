//! How much queries may take.
//!
//! Owns: the section `queries` of the configuration, and what it means for one query.
//! Does not own: what a query asks for itself (`ask`), what deleting and alerts may take.

use std::time::{Duration, Instant};

use sawyer_config::{ByteSize, settings};
use sawyer_query::search::Budget;

settings! {
    /// What queries may take, those of the UI, the API and the command line alike. A query that comes to a bound is
    /// answered with what was found by then, marked as partial; it can ask for less itself.
    pub struct QuerySettings {
        /// Queries that are answered at the same time; further ones wait their turn, up to 10 s. Each may take some hundred
        /// megabytes where records are large or fields have millions of values, so more of them need more memory.
        #[range(1..=1024)]
        pub concurrent_max: usize = 8,
        /// How long one may run; of an export each part of up to 20,000 records. Longer ones see more of a large store at
        /// once, and hold up others longer.
        #[range(Duration::from_millis(100)..=Duration::from_secs(60 * 60))]
        pub time_max: Duration = Duration::from_secs(30),
        /// How many records one may look at: parts of up to 65,536 are looked at as a whole or not at all, so far less than
        /// a million finds nothing in a large store. Without it there is no bound.
        #[range(1..=u64::MAX)]
        pub rows_max: Option<u64>,
        /// How many bytes one may read from the store, as they are there: compressed. Without it there is no bound.
        #[range(ByteSize::mib(1)..=ByteSize::gib(1 << 20))]
        pub bytes_max: Option<ByteSize>,
    }
}

/// How much queries may take.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Queries that run at the same time; further ones wait.
    pub concurrent_max: usize,
    /// How long one may run. What was found by then is the answer, marked as partial.
    pub time_max: Duration,
    /// How many records one may look at.
    pub rows_max: u64,
    /// How many bytes one may read from the store.
    pub bytes_max: u64,
}

impl From<QuerySettings> for QueryLimits {
    fn from(settings: QuerySettings) -> Self {
        let QuerySettings { concurrent_max, time_max, rows_max, bytes_max } = settings;
        let (rows_max, bytes_max) =
            (rows_max.unwrap_or(u64::MAX), bytes_max.map_or(u64::MAX, ByteSize::bytes));
        Self { concurrent_max, time_max, rows_max, bytes_max }
    }
}

/// What the default settings mean.
impl Default for QueryLimits {
    fn default() -> Self {
        QuerySettings::default().into()
    }
}

impl QueryLimits {
    /// What a query of these limits that begins now may take.
    pub(crate) fn budget(&self) -> Budget {
        Budget::with_bytes(Some(Instant::now() + self.time_max), self.rows_max, self.bytes_max)
    }
}
