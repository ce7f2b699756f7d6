//! What became of each source of an input: of a file, by its bytes.
//!
//! Owns: the form of an answer, the place where questions wait for whoever reads an input.
//! Does not own: the answers (`input`).
//! Invariant: nothing of a source is kept here. Whoever reads it is asked when somebody wants to know; so it costs nothing
//! else, and no metric has a label for each file.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use sawyer_model::{Count, SourceId};

use super::by_source::Ends;

/// What became of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceBook {
    /// Its number, the same whatever its file is called.
    pub source: SourceId,
    /// Where it is, or, where its file is gone, the log that it was a part of.
    pub path: Box<str>,
    /// How many bytes there are, as far as that is known: of a compressed file it is not.
    pub length: Option<u64>,
    /// How far it was read since the start.
    pub read: Option<u64>,
    /// The parts that ended somehow: are durable at the next hop, or were left out by a rule. Half open, ascending.
    pub ended: Vec<(u64, u64)>,
    /// What became of those of its records that were not delivered or buffered.
    pub left_out: Ends,
    /// How many batches with parts of it are under way.
    pub under_way: u32,
    /// Bytes that were read and are neither; anything but 0 is a fault.
    pub unaccounted: u64,
}

impl SourceBook {
    /// Bytes that ended somehow.
    #[must_use]
    pub fn ended_bytes(&self) -> u64 {
        self.ended.iter().map(|(start, end)| end - start).sum()
    }
}

/// What became of the sources of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceAnswer {
    /// Each of them.
    pub books: Vec<SourceBook>,
    /// What became of other records of the input that were not delivered or buffered: of sources that are forgotten, or of
    /// which nothing is told because they are too many.
    pub others: Ends,
    /// By how many records and bytes more is told of single sources than of the input; anything but nothing is a fault.
    pub over: Count,
}

/// Takes an answer, which all who ask at once share. It is dropped where there is none.
pub type Tell = Box<dyn FnOnce(Arc<SourceAnswer>) + Send>;

/// Questions that wait for whoever reads an input. Clones share them.
#[derive(Clone)]
pub struct Questions(Arc<Shared>);

struct Shared {
    /// None once nobody answers any more.
    waiting: Mutex<Option<Vec<Tell>>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

impl Questions {
    /// No question yet; with each `wake` is called.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { waiting: Mutex::new(Some(Vec::new())), wake: Box::new(wake) }))
    }

    /// Asks.
    pub fn ask(&self, tell: Tell) {
        let mut waiting = self.0.waiting.lock();
        let Some(all) = waiting.as_mut() else { return };
        all.push(tell);
        drop(waiting);
        (self.0.wake)();
    }

    /// The questions that wait, to be answered.
    #[must_use]
    pub fn take(&self) -> Vec<Tell> {
        self.0.waiting.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nobody answers any more.
    pub fn end(&self) {
        *self.0.waiting.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_question_wakes_and_has_one_answer_or_none() {
        let woken = Arc::new(AtomicU32::new(0));
        let counts = Arc::clone(&woken);
        let questions = Questions::new(move || {
            counts.fetch_add(1, Ordering::SeqCst);
        });
        let told = Arc::new(Mutex::new(Vec::new()));
        let ask = || {
            let told = Arc::clone(&told);
            questions.ask(Box::new(move |answer| told.lock().push(answer.books.len())));
        };
        ask();
        for tell in questions.take() {
            tell(Arc::default());
        }
        assert!(questions.take().is_empty());
        ask();
        questions.end();
        ask();
        assert_eq!((told.lock().clone(), woken.load(Ordering::SeqCst)), (vec![0], 2));
        assert_eq!(Arc::strong_count(&told), 1, "what is not answered is let go of");
    }
}
