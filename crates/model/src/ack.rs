//! The duty to say what became of a batch.
//!
//! Owns: the outcome, heard once by whoever has to know, and the [`Tally`] that comes with it.
//! Does not own: what follows from either (`input`, `pipeline`).
//! Invariant: a share that is forgotten makes the outcome [`Outcome::Undelivered`]. Numbers of a batch count for
//! nothing unless all of it is durable, so that what is read again is counted once.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use crate::SourceId;
use crate::tally::{BySource, Claim, Count, Fate, Fates, Held, LeftOut, Tally, Way};

/// What became of a batch at everyone who had to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable at the next hop, or dropped by a rule and counted: the source may move on.
    Durable,
    /// At least one taker let go of it without making it durable (a stop, a crash of a task): read it again.
    Undelivered,
}

/// A share in the duty to acknowledge one batch. Cloning makes another share; the owner hears the outcome when
/// the last share is gone. A share that is dropped without [`Ack::durable`] makes the outcome
/// [`Outcome::Undelivered`], so that forgetting can lose nothing.
#[derive(Default)]
pub struct Ack {
    duty: Option<Arc<Duty>>,
    durable: bool,
    place: Place,
}

type Report = Box<dyn FnOnce(Outcome, Tally) + Send>;

struct Duty {
    undelivered: std::sync::atomic::AtomicBool,
    report: Mutex<Option<Report>>,
    tally: Mutex<Tally>,
    /// Of a duty for several batches: the lines that single ones have, ascending.
    held: Vec<Held>,
    /// Whether somebody wants to know of which sources the records were.
    by_source: bool,
}

/// Where a share is, as far as its numbers go.
#[derive(Clone, Default)]
enum Place {
    /// Nobody said.
    #[default]
    Anywhere,
    /// On a way, before its outputs.
    On(Arc<Way>),
    /// At an output.
    Exit(Box<Exit>),
    /// On the way of a part of a batch alone, which has so much in it.
    Worth(Count),
}

/// What an output was handed with a share.
#[derive(Clone)]
struct Exit {
    way: Arc<Way>,
    /// Which of the way's outputs.
    output: usize,
    taken: Count,
    /// What an acknowledgement means there.
    fate: Fate,
    /// What the output said of single records.
    noted: Fates,
    /// What sources are called there, ascending, and by themselves.
    names: Vec<(SourceId, SourceId)>,
}

impl Ack {
    /// A duty whose outcome goes to `report`, on the thread that lets go of the last share; keep it short.
    #[must_use]
    pub fn new(report: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self::tallied(|outcome, _| report(outcome))
    }

    /// The same, whose report also hears what became of the records. The numbers mean something only if the outcome
    /// is [`Outcome::Durable`].
    #[must_use]
    pub fn tallied(report: impl FnOnce(Outcome, Tally) + Send + 'static) -> Self {
        Self::holding(Vec::new(), false, report)
    }

    /// As [`Ack::tallied`], for whoever wants to know also of which sources the records were that came to another end than
    /// usual. That costs something for each source of a batch.
    #[must_use]
    pub fn tallied_by_source(report: impl FnOnce(Outcome, Tally) + Send + 'static) -> Self {
        Self::holding(Vec::new(), true, report)
    }

    fn holding(
        held: Vec<Held>,
        by_source: bool,
        report: impl FnOnce(Outcome, Tally) + Send + 'static,
    ) -> Self {
        let duty = Duty {
            held,
            by_source,
            undelivered: false.into(),
            report: Mutex::new(Some(Box::new(report))),
            tally: Mutex::default(),
        };
        Self { duty: Some(Arc::new(duty)), durable: false, place: Place::Anywhere }
    }

    /// A duty towards nobody.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// This taker has the batch durably, or dropped it by a rule and counted it.
    pub fn durable(mut self) {
        if let Place::Exit(exit) = mem::take(&mut self.place) {
            self.tally(|tally| exit.book(tally));
        }
        self.durable = true;
    }

    /// Lets go of it unacknowledged, because whoever should take it has ended, and will not take it when it is given
    /// again; others would have it twice then.
    pub fn taker_ended(self) {
        self.tally(|tally| tally.taker_ended = true);
    }

    /// As [`Ack::durable`], where other things became of some records.
    pub fn durable_but(mut self, others: &Fates) {
        self.note_all(|fates| fates.add_all(others));
        self.durable();
    }

    /// What the share stands for, where it is one of several for parts of a batch: whoever has the duty hears what
    /// became of each part, as [`Tally::loose`].
    #[must_use]
    pub fn worth(mut self, count: Count) -> Self {
        self.place = Place::Worth(count);
        self
    }

    /// As [`Ack::durable`], where all that the share stands for came to another end than usual, for this reason.
    pub fn ended(mut self, fate: Fate, reason: &str) {
        let reason: Arc<str> = reason.into();
        match &mut self.place {
            Place::Exit(exit) => {
                let rest = exit.taken.less(exit.noted.sum());
                exit.noted.add(fate, &reason, rest);
            }
            Place::Worth(count) => {
                let count = *count;
                self.tally(|tally| tally.loose.add(fate, &reason, count));
            }
            Place::On(_) | Place::Anywhere => {}
        }
        self.durable();
    }

    /// A batch goes on this way whose records have so much of its sources, and which accounts for so many bytes beside; those
    /// are `of` these sources, where it is [told](Ack::is_by_source).
    #[must_use]
    pub fn on(mut self, way: &Arc<Way>, own: Count, beside: u64, of: &BySource) -> Self {
        let (beside, by_source) = (Count::new(0, beside), self.is_by_source());
        self.tally(|tally| {
            let tally = tally.of_way(way);
            tally.read.add(own);
            tally.read.add(beside);
            add_joined(&mut tally.common, beside, of, by_source);
        });
        self.place = Place::On(Arc::clone(way));
        self
    }

    /// The output with this name is handed so much; an acknowledgement means this fate for what is not noted.
    #[must_use]
    pub fn at_exit(mut self, output: &str, taken: Count, fate: Fate) -> Self {
        if let Place::On(way) = &self.place
            && let Some(at) = way.outputs.iter().position(|name| **name == *output)
        {
            let (way, noted, names) = (Arc::clone(way), Fates::default(), Vec::new());
            self.place = Place::Exit(Box::new(Exit { way, output: at, taken, fate, noted, names }));
        }
        self
    }

    /// At the output, sources are called by other names: what they are called there, and by themselves.
    #[must_use]
    pub fn renamed(mut self, names: &[(SourceId, SourceId)]) -> Self {
        if let Place::Exit(exit) = &mut self.place {
            exit.names = names.to_vec();
            exit.names.sort_unstable();
        }
        self
    }

    /// Says what became of some of the records: by this rule, or for this reason.
    pub fn note(&mut self, fate: Fate, rule: &Arc<str>, records: &LeftOut) {
        let held = self.duty.as_ref().map_or(&[][..], |duty| &duty.held);
        if held.is_empty() && !self.is_by_source() {
            return self.note_all(|fates| fates.add(fate, rule, records.sum()));
        }
        let exit = if let Place::Exit(exit) = &self.place { Some(exit) } else { None };
        let sums = records.sums(held, |source| exit.map_or(source, |exit| exit.itself(source)));
        self.note_all(|fates| fates.add_of(fate, rule, sums.sum(), &sums));
    }

    /// Says that so many lines, and so many bytes of what is no record's own, became parts of records.
    pub fn joins(&mut self, lines: &BySource) {
        let by_source = self.is_by_source();
        self.note_all(|fates| add_joined(fates, lines.sum(), lines, by_source));
    }

    /// Whether whoever has the duty wants to know of which sources records were.
    #[must_use]
    pub fn is_by_source(&self) -> bool {
        self.duty.as_ref().is_some_and(|duty| duty.by_source)
    }

    fn note_all(&mut self, add: impl FnOnce(&mut Fates)) {
        match &mut self.place {
            Place::Exit(exit) => add(&mut exit.noted),
            Place::On(way) => {
                let way = Arc::clone(way);
                self.tally(|tally| add(&mut tally.of_way(&way).common));
            }
            Place::Anywhere | Place::Worth(_) => self.tally(|tally| add(&mut tally.loose)),
        }
    }

    /// Says which records were there before, by their sources.
    pub fn known(&self, sources: impl IntoIterator<Item = SourceId>) {
        self.tally(|tally| tally.known.extend(sources));
    }

    /// Says that a step made more records than it was given.
    pub fn made(&self, count: Count) {
        if let Place::On(way) = &self.place {
            self.tally(|tally| tally.of_way(way).made.add(count));
        }
    }

    /// The way it is on, if somebody said so.
    #[must_use]
    pub fn way(&self) -> Option<&Arc<Way>> {
        match &self.place {
            Place::On(way) => Some(way),
            Place::Anywhere | Place::Exit(_) | Place::Worth(_) => None,
        }
    }

    /// One duty for several, of which each has so much of the records that go on: durable only if all of them may be. All are
    /// on the same way.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn joined(mut parts: Vec<(Self, Claim)>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0).0;
        }
        let place = parts.first().expect("a batch has an origin").0.place.clone();
        let held = Held::of(parts.iter().map(|(_, claim)| claim));
        let by_source = parts.iter().any(|(part, _)| part.is_by_source());
        let mut ack = Self::holding(held, by_source, move |outcome, tally| {
            if outcome == Outcome::Durable {
                settle(parts, &tally);
            } else if tally.taker_ended {
                parts.into_iter().for_each(|(part, _)| part.taker_ended());
            }
        });
        ack.place = place;
        ack
    }

    fn tally(&self, change: impl FnOnce(&mut Tally)) {
        if let Some(duty) = &self.duty {
            change(&mut duty.tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Gives each of several duties its part of what became of all.
fn settle(parts: Vec<(Ack, Claim)>, tally: &Tally) {
    let claims: Vec<Claim> = parts.iter().map(|(_, claim)| *claim).collect();
    for whole in &tally.ways {
        for (part, (ack, _)) in whole.divide(&claims).iter().zip(&parts) {
            ack.tally(|tally| tally.of_way(&whole.way).add(part, ack.is_by_source()));
        }
    }
    for (ack, _) in parts {
        // Whoever waits for one of them knows its own.
        ack.known(tally.known.iter().copied());
        ack.durable();
    }
}

fn add_joined(fates: &mut Fates, count: Count, of: &BySource, by_source: bool) {
    if by_source {
        fates.add_of(Fate::Joined, &none(), count, of);
    } else {
        fates.add(Fate::Joined, &none(), count);
    }
}

fn none() -> Arc<str> {
    static NONE: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| "".into());
    Arc::clone(&NONE)
}

impl Exit {
    /// What a source is called by itself.
    fn itself(&self, source: SourceId) -> SourceId {
        let at = self.names.binary_search_by_key(&source, |(called, _)| *called);
        at.map_or(source, |at| self.names[at].1)
    }

    fn book(self, tally: &mut Tally) {
        let rest = self.taken.less(self.noted.sum());
        let exit = &mut tally.of_way(&self.way).exits[self.output];
        exit.add_all(&self.noted);
        exit.add(self.fate, &none(), rest);
    }
}

/// Another share. What an output was handed, and what a part is worth, stays with the share that it was handed with.
impl Clone for Ack {
    fn clone(&self) -> Self {
        let place = match &self.place {
            Place::Exit(_) | Place::Worth(_) => Place::Anywhere,
            other => other.clone(),
        };
        Self { duty: self.duty.clone(), durable: self.durable, place }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let (Some(duty), false) = (&self.duty, self.durable) {
            duty.undelivered.store(true, std::sync::atomic::Ordering::Release);
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        let outcome = if *self.undelivered.get_mut() { Outcome::Undelivered } else { Outcome::Durable };
        let report = self.report.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(report) = report {
            report(outcome, mem::take(self.tally.get_mut().unwrap_or_else(PoisonError::into_inner)));
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = self.duty.as_ref().map_or(0, Arc::strong_count);
        f.debug_struct("Ack").field("shares", &shares).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{Batch, RecordHead, SeqRange, Timestamp};

    fn of(source: u128, count: Count) -> BySource {
        BySource::one(SourceId(source), count)
    }

    /// So many records of ten bytes.
    fn records(source: u128, count: u64) -> LeftOut {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::default());
        for at in 0..count {
            let (timestamp, range) = (Timestamp::default(), SeqRange::new(at * 20, at * 20 + 10));
            let head = RecordHead { timestamp, observed: timestamp, source: SourceId(source), range };
            batch.begin(head, stream);
        }
        batch.iter().collect()
    }

    fn duty() -> (Ack, mpsc::Receiver<Outcome>) {
        let (tx, rx) = mpsc::channel();
        (Ack::new(move |outcome| tx.send(outcome).unwrap()), rx)
    }

    #[test]
    fn last_share_reports_once() {
        let (ack, outcome) = duty();
        let other = ack.clone();
        ack.durable();
        assert!(outcome.try_recv().is_err());
        other.durable();
        assert_eq!(outcome.try_recv(), Ok(Outcome::Durable));
        assert!(outcome.try_recv().is_err());
    }

    #[test]
    fn a_forgotten_share_is_undelivered() {
        let (ack, outcome) = duty();
        let other = ack.clone();
        drop(ack);
        other.durable();
        assert_eq!(outcome.try_recv(), Ok(Outcome::Undelivered));
    }

    #[test]
    fn that_a_taker_has_ended_is_told_to_all_whose_records_were_joined() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let part = || {
            let told = Arc::clone(&told);
            let ack =
                Ack::tallied(move |outcome, tally| told.lock().unwrap().push((outcome, tally.taker_ended)));
            (ack, Claim { count: Count::new(1, 10), held: None })
        };
        let joined = Ack::joined(vec![part(), part()]);
        let other = joined.clone();
        joined.taker_ended();
        other.durable();
        assert_eq!(*told.lock().unwrap(), [(Outcome::Undelivered, true); 2]);
    }

    #[test]
    fn numbers_come_back_with_the_outcome() {
        let way = Arc::new(Way {
            input: "i".into(),
            pipeline: "p".into(),
            outputs: vec!["a".into(), "b".into()],
            copies: vec![],
        });
        let (tx, rx) = mpsc::channel();
        let ack = Ack::tallied_by_source(move |outcome, tally| tx.send((outcome, tally)).unwrap());
        let mut ack = ack.on(&way, Count::new(10, 100), 20, &of(1, Count::new(0, 20)));
        ack.note(Fate::Filtered, &"noise".into(), &records(1, 4));
        let taken = Count::new(6, 60);
        let a = ack.clone().at_exit("a", taken, Fate::Buffered);
        let b = ack.clone().at_exit("b", taken, Fate::Delivered);
        ack.durable();
        a.durable();
        let mut b = b.renamed(&[(SourceId(9), SourceId(1)), (SourceId(7), SourceId(2))]);
        b.note(Fate::DeadLettered, &"no".into(), &records(7, 1));
        b.durable();
        let (outcome, tally) = rx.recv().unwrap();
        let [way] = &tally.ways[..] else { panic!("{tally:?}") };
        assert_eq!((outcome, way.read), (Outcome::Durable, Count::new(10, 120)));
        assert_eq!(way.common.sum(), Count::new(4, 60));
        assert_eq!(way.exits[0].sum(), taken);
        let fates: Vec<_> = way.exits[1].iter().map(|(fate, _, count)| (fate, count.records)).collect();
        assert_eq!(fates, [(Fate::DeadLettered, 1), (Fate::Delivered, 5)]);
        let told: Vec<_> =
            way.exits[1].told().flat_map(|(fate, _, told)| told.iter().map(move |one| (fate, one))).collect();
        assert_eq!(told, [(Fate::DeadLettered, (SourceId(2), Count::new(1, 10)))]);
    }

    #[test]
    fn a_record_of_two_batches_is_counted_with_both() {
        let way = Arc::new(Way {
            input: "i".into(),
            pipeline: "p".into(),
            outputs: vec!["a".into()],
            copies: vec![],
        });
        let (tx, rx) = mpsc::channel();
        let batch = |lines: u64, out| {
            let tx = tx.clone();
            let ack = Ack::tallied(move |outcome, tally| tx.send((outcome, tally)).unwrap());
            let mut ack = ack.on(&way, Count::new(lines, lines * 10), 0, &BySource::default());
            ack.joins(&of(1, Count::new(lines - out, 0)));
            (ack, Claim { count: Count::new(out, lines * 10), held: None })
        };
        let joined = Ack::joined(vec![batch(2, 1), batch(3, 2)]);
        joined.at_exit("a", Count::new(3, 50), Fate::Delivered).durable();
        for read in [Count::new(2, 20), Count::new(3, 30)] {
            let (outcome, tally) = rx.recv().unwrap();
            let mut ended = tally.ways[0].common.sum();
            ended.add(tally.ways[0].exits[0].sum());
            assert_eq!((outcome, tally.ways[0].read, ended), (Outcome::Durable, read, read));
        }
        drop(Ack::joined(vec![batch(1, 1), batch(1, 1)]));
        assert_eq!(rx.recv().unwrap().0, Outcome::Undelivered);
        assert_eq!(rx.recv().unwrap().0, Outcome::Undelivered);
    }

    #[test]
    fn sources_are_told_to_whoever_wants_to_know_alone() {
        let way = Way { input: "i".into(), pipeline: "p".into(), outputs: vec!["a".into()], copies: vec![] };
        let way = Arc::new(way);
        let (tx, rx) = mpsc::channel();
        let (told, of) = (tx.clone(), of(1, Count::new(0, 20)));
        let asks = Ack::tallied_by_source(move |_, tally| told.send(tally).unwrap());
        let other = Ack::tallied(move |_, tally| tx.send(tally).unwrap());
        // Each has a line that is left out, which is known by its place.
        let place = |at| (SourceId(1), SeqRange::new(at, at + 10));
        let claim = |at| Claim { count: Count::new(1, 10), held: Some(place(at)) };
        let ready = |ack: Ack, at| {
            let mut ack = ack.on(&way, Count::new(2, 20), 20, &of);
            ack.note(Fate::Filtered, &"noise".into(), &records(1, 1));
            (ack, claim(at))
        };
        let mut joined = Ack::joined(vec![ready(other, 0), ready(asks, 20)]);
        joined.note(Fate::Sampled, &"half".into(), &records(1, 2));
        joined.durable();
        for by_source in [false, true] {
            let tally = rx.recv().unwrap();
            let fates: Vec<_> = tally.ways[0].common.iter().zip(tally.ways[0].common.told()).collect();
            assert_eq!(fates.len(), 3);
            for ((fate, _, count), (_, _, told)) in fates {
                let expected = if by_source { count } else { Count::default() };
                assert_eq!(told.sum(), expected, "{fate:?}");
            }
        }
    }

    #[test]
    fn nobody_can_be_told() {
        Ack::none().durable();
        drop(Ack::none());
    }
}
