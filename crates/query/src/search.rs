//! What can be asked of whatever holds the records: the [`Search`] trait.
//!
//! Owns: requests, answers and their order. Does not own: languages (`kql`), or any engine.
//! Invariant: nothing here tells one engine from another.
//!
//! Calls block the thread until the answer is there, because engines are bound by CPU and disk; callers on an
//! async runtime run them on a bounded pool of threads. Every call watches its [`Budget`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sawyer_model::{Batch, Error, ErrorKind, Record, RecordId, SourceId, Timestamp, Value};

use crate::Predicate;

/// Which records: those between `start` (inclusive) and `end` (exclusive) for which the predicate holds.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The condition.
    pub predicate: Predicate,
    /// First point in time.
    pub start: Timestamp,
    /// First point in time after.
    pub end: Timestamp,
}

/// In which order records come. The order is total: by timestamp, then source, then place in the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Latest timestamp first.
    #[default]
    NewestFirst,
    /// Earliest timestamp first.
    OldestFirst,
}

/// A place in the total order of records; a search goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// Its source.
    pub source: SourceId,
    /// Where it starts in its source.
    pub start: u64,
}

/// How much a call may take, and whether anybody still waits for it. Clones share one budget.
#[derive(Clone, Debug)]
pub struct Budget(Arc<BudgetState>);

#[derive(Debug)]
struct BudgetState {
    cancelled: AtomicBool,
    deadline: Option<Instant>,
    due: OnceLock<Instant>,
    rows_left: AtomicU64,
    bytes_left: AtomicU64,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SearchStats {
    /// Records for which the selection held.
    pub rows_matched: u64,
    /// Records that were looked at.
    pub rows_scanned: u64,
    /// Bytes read from segments.
    pub bytes_read: u64,
    /// Segments that were read.
    pub segments_read: u64,
    /// Segments that skip data ruled out.
    pub segments_skipped: u64,
    /// Blocks of segments whose records were looked at.
    pub blocks_read: u64,
    /// Blocks that were not: ruled out, or not needed any more.
    pub blocks_skipped: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The budget ran out, or something could not be read: the answer is right as far as it goes, and there may be more.
    pub partial: bool,
}

/// Asks for records.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// Which records.
    pub selection: Selection,
    /// In which order.
    pub order: Order,
    /// At most how many. There may be fewer, with more to come, if they are large.
    pub limit: usize,
    /// Only those behind this place in the order.
    pub after: Option<Position>,
    /// Whether lines as written are wanted. Without, an engine may leave `_original` and `_original_base64` out, which is
    /// cheaper where lines are made again of their fields; it need not.
    pub original: bool,
}

/// Records in the order asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// The records.
    pub records: Batch,
    /// Where to go on; none if there is nothing more. If the budget ran out it is before whatever was not looked at, and there
    /// may be no records: those that were found may not be the next ones.
    pub next: Option<Position>,
    /// What it cost.
    pub stats: SearchStats,
}

/// What became of a page whose records were handed on.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// How many records it had.
    pub count: usize,
    /// Where to go on; none if there is nothing more.
    pub next: Option<Position>,
    /// What it cost.
    pub stats: SearchStats,
    /// Whether whoever takes them wants more.
    pub wanted: bool,
}

/// Asks how many records fall between neighbouring edges.
#[derive(Clone, Debug)]
pub struct HistogramRequest {
    /// Which records; those outside the edges are not counted.
    pub selection: Selection,
    /// Ascending edges, at least two; bucket `n` reaches from edge `n` to edge `n + 1`.
    pub edges: Vec<Timestamp>,
    /// Counts apart for each value of this field.
    pub by: Option<String>,
    /// At most how many values are counted apart (the most frequent ones).
    pub by_limit: usize,
}

/// Counts between edges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// One number for each bucket.
    pub counts: Vec<u64>,
    /// Without `by` empty; else the most frequent values with their counts in each bucket, most frequent first.
    pub by: Vec<(Value, Vec<u64>)>,
    /// With `by`: the counts of records without the field.
    pub missing: Vec<u64>,
    /// With `by`: the counts of all other values.
    pub other: Vec<u64>,
    /// What it cost.
    pub stats: SearchStats,
}

/// Asks for the most frequent values of a field.
#[derive(Clone, Debug)]
pub struct ValuesRequest {
    /// Which records.
    pub selection: Selection,
    /// Which field.
    pub field: String,
    /// At most how many values.
    pub limit: usize,
    /// Only values whose text starts so, ignoring case.
    pub prefix: Option<String>,
}

/// The most frequent values of a field, most frequent first. Each element of a list counts as a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopValues {
    /// Values with the number of records that have them.
    pub values: Vec<(Value, u64)>,
    /// Records of the selection.
    pub rows: u64,
    /// Records of the selection without the field.
    pub missing: u64,
    /// How many different values there are.
    pub distinct: u64,
    /// What it cost.
    pub stats: SearchStats,
}

/// Asks what the values of a field are like altogether.
#[derive(Clone, Debug)]
pub struct SummaryRequest {
    /// Which records.
    pub selection: Selection,
    /// Which field.
    pub field: String,
    /// Which percentiles of its numbers, each from 0 to 100.
    pub percentiles: Vec<f64>,
}

/// What the values of a field are like. Each element of a list counts as a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Records of the selection.
    pub rows: u64,
    /// Records of the selection without the field.
    pub missing: u64,
    /// About how many different values there are; see [`crate::sketch::Distinct`].
    pub distinct: u64,
    /// How many of the values are numbers.
    pub numbers: u64,
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// The sum of the numbers.
    pub sum: f64,
    /// The percentiles that were asked for, right to one percent; see [`crate::sketch::Quantiles`]. None without
    /// numbers.
    pub percentiles: Vec<Option<f64>>,
    /// What it cost.
    pub stats: SearchStats,
}

/// Asks for the most frequent patterns of the texts of a field; see [`crate::pattern`].
#[derive(Clone, Debug)]
pub struct PatternsRequest {
    /// Which records.
    pub selection: Selection,
    /// Which field.
    pub field: String,
    /// At most how many patterns.
    pub limit: usize,
}

/// The most frequent patterns, most frequent first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patterns {
    /// Patterns with the number of texts that have them.
    pub patterns: Vec<(String, u64)>,
    /// Records of the selection.
    pub rows: u64,
    /// Records of the selection that have no text in the field.
    pub missing: u64,
    /// How many different patterns there are.
    pub distinct: u64,
    /// What it cost.
    pub stats: SearchStats,
}

/// A field that records of a selection have.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldInfo {
    /// Its name.
    pub name: String,
    /// The names of the types of its values ([`sawyer_model::ValueRef::type_name`]), sorted.
    pub types: Vec<&'static str>,
    /// How many records have it.
    pub count: u64,
}

/// The fields of a selection, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// The fields.
    pub fields: Vec<FieldInfo>,
    /// How many records were looked at.
    pub rows: u64,
    /// Only the newest records were looked at, because there are very many.
    pub sampled: bool,
    /// What it cost.
    pub stats: SearchStats,
}

/// What is held altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Sealed segments.
    pub segments: u64,
    /// Earliest timestamp.
    pub oldest: Option<Timestamp>,
    /// Latest timestamp.
    pub newest: Option<Timestamp>,
}

/// Called with each batch once it is durable and searchable; says whether it wants more. It is called on the
/// thread that writes and must return at once.
pub type Follower = Box<dyn Fn(&Arc<Batch>) -> bool + Send + Sync>;

/// Whatever holds the records and answers questions about them.
pub trait Search: Send + Sync {
    /// The records of a selection.
    ///
    /// # Errors
    /// `Invalid` for what this engine cannot do, `Closed` after cancellation, `Retry` when it is overloaded. A
    /// damaged part of the data is left out and reported elsewhere; it is not an error here.
    fn search(&self, request: &SearchRequest, budget: &Budget) -> Result<Page, Error>;

    /// As [`Search::search`], with each record of the page given to `line` as a line of JSON as the API has it, in order, as
    /// long as `line` wants more; without lines as written unless the request wants them. None if this engine has nothing that is
    /// faster than writing the records of a page.
    fn lines(
        &self,
        _request: &SearchRequest,
        _budget: &Budget,
        _line: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<Result<Part, Error>> {
        None
    }

    /// One record by its id.
    ///
    /// # Errors
    /// As for [`Search::search`].
    fn record(&self, id: RecordId, budget: &Budget) -> Result<Option<Record>, Error>;

    /// How many records a selection has.
    ///
    /// # Errors
    /// As for [`Search::search`].
    fn count(&self, selection: &Selection, budget: &Budget) -> Result<(u64, SearchStats), Error>;

    /// Counts over time.
    ///
    /// # Errors
    /// As for [`Search::search`].
    fn histogram(&self, request: &HistogramRequest, budget: &Budget) -> Result<Histogram, Error>;

    /// The most frequent values of a field.
    ///
    /// # Errors
    /// As for [`Search::search`].
    fn values(&self, request: &ValuesRequest, budget: &Budget) -> Result<TopValues, Error>;

    /// What the values of a field are like: how many there are, their bounds and percentiles.
    ///
    /// # Errors
    /// As for [`Search::search`].
    fn summary(&self, request: &SummaryRequest, budget: &Budget) -> Result<Summary, Error>;

    /// The most frequent patterns of the texts of a field.
    ///
    /// # Errors
    /// As for [`Search::search`].
    fn patterns(&self, request: &PatternsRequest, budget: &Budget) -> Result<Patterns, Error>;

    /// The fields of a selection.
    ///
    /// # Errors
    /// As for [`Search::search`].
    fn fields(&self, selection: &Selection, budget: &Budget) -> Result<Fields, Error>;

    /// Hands every batch that becomes durable from now on to `follower`, until it wants no more.
    fn follow(&self, follower: Follower);

    /// What is held altogether.
    fn totals(&self) -> Totals;
}

/// Records of the first page of [`each_page`]: few, so that they are there soon.
const FIRST_PAGE_RECORDS: usize = 100;

/// How long the first page of [`each_page`] is looked for before what was found is handed out. Each further one is looked for
/// four times as long as the one before: parts that may have records on both sides of the end of a page are looked at twice.
const FIRST_PAGE_TIME: Duration = Duration::from_millis(250);

/// Goes through the records of a request in pages that grow from a few records to `page_max`, so that the first ones
/// come early, also where few are found in a long time, and nothing is held but one page. `call` gets each page and says whether it wants more. Gives where to
/// go on, and what it cost altogether; `budget` makes a budget for each page.
///
/// # Errors
/// As for [`Search::search`].
pub fn each_page(
    search: &dyn Search,
    request: &SearchRequest,
    page_max: usize,
    budget: &mut dyn FnMut() -> Budget,
    call: &mut dyn FnMut(&Page) -> bool,
) -> Result<(Option<Position>, SearchStats), Error> {
    each_part(request, page_max, budget, &mut |asked, budget| {
        let page = search.search(asked, budget)?;
        let wanted = call(&page);
        Ok(Part { count: page.records.len(), next: page.next, stats: page.stats, wanted })
    })
}

/// As [`each_page`], with `ask` making and handing on each page.
///
/// # Errors
/// Those of `ask`.
pub fn each_part(
    request: &SearchRequest,
    page_max: usize,
    budget: &mut dyn FnMut() -> Budget,
    ask: &mut dyn FnMut(&SearchRequest, &Budget) -> Result<Part, Error>,
) -> Result<(Option<Position>, SearchStats), Error> {
    let started = Instant::now();
    let (mut left, mut size, mut time) = (request.limit, FIRST_PAGE_RECORDS, FIRST_PAGE_TIME);
    let (mut after, mut stats) = (request.after, SearchStats::default());
    loop {
        let asked = SearchRequest { limit: size.min(left).min(page_max), after, ..request.clone() };
        let budget = budget();
        if let Some(due) = Instant::now().checked_add(time) {
            budget.set_due(due);
        }
        let part = ask(&asked, &budget)?;
        stats.add(&part.stats);
        stats.elapsed = started.elapsed();
        left -= part.count.min(left);
        after = part.next;
        if !part.wanted || left == 0 || after.is_none() || part.stats.partial {
            return Ok((after, stats));
        }
        (size, time) = (size.saturating_mul(4), time.saturating_mul(4));
    }
}

impl Position {
    /// The place of a record.
    #[must_use]
    pub fn of(record: sawyer_model::RecordRef<'_>) -> Self {
        Self { timestamp: record.timestamp(), source: record.source(), start: record.range().start }
    }
}

impl Order {
    /// Compares two places as this order wants them.
    #[must_use]
    pub fn compare(self, a: Position, b: Position) -> std::cmp::Ordering {
        match self {
            Self::NewestFirst => b.cmp(&a),
            Self::OldestFirst => a.cmp(&b),
        }
    }
}

impl Budget {
    /// A budget that ends at `deadline` or after looking at `rows_max` records, whichever comes first.
    #[must_use]
    pub fn new(deadline: Option<Instant>, rows_max: u64) -> Self {
        Self::with_bytes(deadline, rows_max, u64::MAX)
    }

    /// As [`Budget::new`]; it also ends once `bytes_max` bytes were read from where records are kept.
    #[must_use]
    pub fn with_bytes(deadline: Option<Instant>, rows_max: u64, bytes_max: u64) -> Self {
        Self(Arc::new(BudgetState {
            cancelled: false.into(),
            deadline,
            due: OnceLock::new(),
            rows_left: rows_max.into(),
            bytes_left: bytes_max.into(),
        }))
    }

    /// A budget that nothing ends but [`Budget::cancel`].
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(None, u64::MAX)
    }

    /// From this moment on, a page of records that has any is better handed out than made longer. It is not partial for that:
    /// whoever asks goes on. Only the first such moment counts.
    pub fn set_due(&self, due: Instant) {
        self.0.due.get_or_init(|| due);
    }

    /// Whether that moment has come.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.0.due.get().is_some_and(|due| *due <= Instant::now())
    }

    /// Nobody waits for the answer any more.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Asks to look at `rows` more records. `Ok(false)` means that the budget is used up: answer with what there
    /// is, and mark it partial.
    ///
    /// # Errors
    /// `Closed` after [`Budget::cancel`].
    pub fn take(&self, rows: u64) -> Result<bool, Error> {
        if self.0.cancelled.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, "the request was cancelled"));
        }
        let left = self
            .0
            .rows_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(rows));
        let bytes = self.0.bytes_left.load(Ordering::Relaxed) > 0;
        Ok(left.is_ok() && bytes && self.0.deadline.is_none_or(|deadline| Instant::now() < deadline))
    }

    /// Says how many bytes were read. When they were too many the next [`Budget::take`] says that it is used up.
    pub fn note_bytes(&self, bytes: u64) {
        let take = |left: u64| (left != u64::MAX).then(|| left.saturating_sub(bytes));
        // Without a bound there is nothing to take from.
        let _ = self.0.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    }
}

impl SearchStats {
    /// Adds what another part of the same answer cost; the time is the caller's to measure.
    pub fn add(&mut self, other: &Self) {
        self.rows_matched += other.rows_matched;
        self.rows_scanned += other.rows_scanned;
        self.bytes_read += other.bytes_read;
        self.segments_read += other.segments_read;
        self.segments_skipped += other.segments_skipped;
        self.blocks_read += other.blocks_read;
        self.blocks_skipped += other.blocks_skipped;
        self.partial |= other.partial;
    }
}
