//! The ledger: what was read of each input, and what became of it at each output.
//!
//! Owns: the books of a process, adding up what acknowledgements tell, showing it, noticing what does not add up.
//! Does not own: the numbers of one batch (`model`), where books lie on disk (`input`, `pipeline`); their bytes are
//! made by [`books`]. What became of single sources is asked of whoever reads them ([`sources`]), and what is at the other
//! end of a Sawyer's way there ([`checkpoints`]).
//! Invariant: a batch is booked once, as a whole, after all of it is durable; so books that are kept together with the
//! positions in the sources close after any crash.
//!
//! An input's books speak of the hop from the source to whoever takes the records over durably: the target, the store,
//! or the buffer in front of the output. The hop from a buffer to its target has books of its own, under an input
//! without a name.

pub mod books;
pub mod by_source;
pub mod checkpoints;
pub mod sources;
pub mod taken;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::{Fate, Tally};

pub use books::{Book, Books, BooksError};
pub use by_source::{End, Ends, SourceFates};
pub use checkpoints::{Answer, Checkpoint, Claim, Gap, Parts, Question, Sums};
pub use sources::{Questions, SourceAnswer, SourceBook};
pub use taken::Taken;

use checkpoints::Checkpoints;

use crate::clock::Clock;
use crate::derived::escaped;
use crate::logs::Seldom;

/// A unit, and the metrics in it, by the whole names that rules of alerts have.
const NAMES: [(&str, &str, &str, &str); 2] = [
    (
        "records",
        "sawyer_ledger_read_records",
        "sawyer_ledger_ended_records",
        "sawyer_ledger_unaccounted_records",
    ),
    ("bytes", "sawyer_ledger_read_bytes", "sawyer_ledger_ended_bytes", "sawyer_ledger_unaccounted_bytes"),
];

/// How often it is told that books do not close.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

/// The books of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    books: Mutex<BTreeMap<Box<str>, Kept>>,
    /// Who knows more of each input's sources.
    questions: Mutex<BTreeMap<Box<str>, Questions>>,
    checkpoints: Checkpoints,
    role: OnceLock<&'static str>,
    clock: Clock,
    trouble: Seldom,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    books: Books,
    /// Whether something was booked since they were last taken to be saved.
    changed: bool,
    /// Whether the input itself saves them.
    elsewhere: bool,
}

impl Default for Ledger {
    fn default() -> Self {
        let (clock, trouble) = (Clock::system(), Seldom::new(TELL_INTERVAL));
        let (books, questions) = (Mutex::default(), Mutex::default());
        let (checkpoints, role) = (Checkpoints::default(), OnceLock::new());
        Self(Arc::new(Shared { books, questions, checkpoints, role, clock, trouble }))
    }
}

impl Ledger {
    /// Says what this process is; once, before anything else.
    pub fn set_role(&self, role: &'static str) {
        // A second one is not taken.
        let _ = self.0.role.set(role);
    }

    /// What this process is; empty if nobody said.
    #[must_use]
    pub fn role(&self) -> &'static str {
        self.0.role.get().copied().unwrap_or_default()
    }

    /// Goes on with the books of an input as they were kept.
    pub fn open(&self, input: &str, books: Books) {
        self.0.books.lock().insert(input.into(), Kept { books, changed: false, elsewhere: false });
    }

    /// Goes on with the books of an input that saves them by itself.
    pub fn open_elsewhere(&self, input: &str, books: Books) {
        self.0.books.lock().insert(input.into(), Kept { books, changed: false, elsewhere: true });
    }

    /// Books what became of a batch.
    pub fn book(&self, tally: &Tally) {
        for way in &tally.ways {
            let mut all = self.0.books.lock();
            let kept = all.entry(way.way.input.clone()).or_default();
            kept.changed = true;
            let open = kept.books.book(way);
            drop(all);
            for (output, (records, bytes)) in open {
                self.tell(&way.way.input, &way.way.pipeline, &output, records, bytes);
            }
        }
    }

    fn tell(&self, input: &str, pipeline: &str, output: &str, records: i64, bytes: i64) {
        let Some(held_back) = self.0.trouble.pass(self.0.clock.now()) else { return };
        tracing::error!(
            input,
            pipeline,
            output,
            records,
            bytes,
            held_back,
            "the ledger does not close: it is not known what became of these records; this is a fault of Sawyer's"
        );
    }

    /// The books of an input; empty if there are none.
    #[must_use]
    pub fn of(&self, input: &str) -> Books {
        self.0.books.lock().get(input).map(|kept| kept.books.clone()).unwrap_or_default()
    }

    /// The books of an input that does not save them by itself, if something was booked since they were last taken.
    #[must_use]
    pub fn take_changed(&self, input: &str) -> Option<Books> {
        let mut all = self.0.books.lock();
        let kept = all.get_mut(input)?;
        (std::mem::take(&mut kept.changed) && !kept.elsewhere).then(|| kept.books.clone())
    }

    /// Says that books that were taken to be saved were not: they are to be taken again.
    pub fn not_saved(&self, input: &str) {
        if let Some(kept) = self.0.books.lock().get_mut(input) {
            kept.changed = true;
        }
    }

    /// Whoever reads an input answers questions about its sources here from now on.
    pub fn answers(&self, input: &str, questions: Questions) {
        self.0.questions.lock().insert(input.into(), questions);
    }

    /// Who can be asked about sources, by input.
    #[must_use]
    pub fn questions(&self) -> Vec<(String, Questions)> {
        let all = self.0.questions.lock();
        all.iter().map(|(input, questions)| (input.to_string(), questions.clone())).collect()
    }

    /// All books by input; those of buffers have the input ``.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Books)> {
        let all = self.0.books.lock();
        all.iter().map(|(input, kept)| (input.to_string(), kept.books.clone())).collect()
    }

    /// Replaces the book of a buffer.
    pub fn set_buffer(&self, output: &str, book: Book) {
        let mut all = self.0.books.lock();
        let open = book.unaccounted();
        let books = &mut all.entry("".into()).or_default().books;
        let before = books.outputs.insert(output.into(), book).unwrap_or_default().unaccounted();
        drop(all);
        if open != before {
            self.tell("", "", output, open.0 - before.0, open.1 - before.1);
        }
    }

    /// Writes the numbers in OpenMetrics' text form.
    pub(crate) fn write(&self, text: &mut String) {
        self.0.checkpoints.write(self.0.clock.now(), text);
        let all = self.all();
        if all.iter().all(|(_, books)| books.outputs.is_empty()) {
            return;
        }
        let pairs = |input: &str, output: &str| {
            let hop = if input.is_empty() { "buffer" } else { "input" };
            format!("hop=\"{hop}\",input=\"{}\",output=\"{}\"", escaped(input), escaped(output))
        };
        let books = || {
            all.iter().flat_map(|(input, books)| {
                books.outputs.iter().map(move |(output, book)| (pairs(input, output), book))
            })
        };
        for (unit, read, ended, unaccounted) in NAMES {
            let pick =
                |count: sawyer_model::Count| if unit == "records" { count.records } else { count.bytes };
            // Writing into a string cannot fail.
            let name = read;
            let help = "Read and durable at the next hop, or left out by a rule";
            let _ = writeln!(text, "# HELP {name} {help}, {unit}\n# TYPE {name} counter");
            for (pairs, book) in books() {
                let _ = writeln!(text, "{name}_total{{{pairs}}} {}", pick(book.given()));
            }
            let name = ended;
            let help = "What became of what was read, by fate and rule";
            let _ = writeln!(text, "# HELP {name} {help}, {unit}\n# TYPE {name} counter");
            for (pairs, book) in books() {
                for ((fate, rule), count) in &book.fates {
                    let (fate, rule) = (fate.name(), escaped(rule));
                    let _ = writeln!(
                        text,
                        "{name}_total{{{pairs},fate=\"{fate}\",rule=\"{rule}\"}} {}",
                        pick(*count)
                    );
                }
            }
            let name = unaccounted;
            let help = "Of which it is not known what became; anything but 0 is a fault";
            let _ = writeln!(text, "# HELP {name} {help}, {unit}\n# TYPE {name} gauge");
            for (pairs, book) in books() {
                let (records, bytes) = book.unaccounted();
                let number = if unit == "records" { records } else { bytes };
                let _ = writeln!(text, "{name}{{{pairs}}} {number}");
            }
        }
    }

    /// The numbers of records of an input at an output, by fate, for tests and for people.
    #[must_use]
    pub fn records(&self, input: &str, output: &str) -> BTreeMap<Fate, u64> {
        let mut sums = BTreeMap::new();
        if let Some(book) = self.of(input).outputs.get(output) {
            for ((fate, _), count) in &book.fates {
                *sums.entry(*fate).or_default() += count.records;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests;
