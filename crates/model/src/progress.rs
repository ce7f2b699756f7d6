//! How far an input has read its sources, for whoever waits for more of one of them.
//!
//! Owns: which sources have more than was read, when the input last looked at all others, which batches held what it
//! had read until then.
//! Does not own: reading (`input`), what is waited for (`pipeline`).
//! Invariant: a source is called silent only if its input looked at it after the time asked about, found nothing, and
//! all that it had found before is in batches that whoever asks has got. A process that is slow, or stands still, makes
//! no source silent.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::source::SourceId;

/// What an input tells of its reading. Every batch of such an input has it, and its number.
#[derive(Debug)]
pub struct Progress(Mutex<State>);

/// Looks that are remembered. Whoever asks has got a batch late by as many as wait for it, which are no more.
const LOOKS_MAX: usize = 64;

/// How long nothing was acknowledged to an input that may not read on until something is. Then more of any source can
/// only come if whoever waits for it stops waiting.
const STALLED_MIN: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct State {
    /// Sources that have more, or may have.
    behind: HashSet<SourceId>,
    /// Those of them that may be removed before they are read.
    pressed: HashSet<SourceId>,
    /// Whether something that was read may be removed, or is, and is not safe.
    in_danger: bool,
    /// Number of the next look when a source was read to its end: what was read of it is in no batch of looks before.
    ends: HashMap<SourceId, u64>,
    /// Whether one has been since the last look.
    ended: bool,
    /// The last ones.
    looks: VecDeque<Look>,
    /// Number of the first of them.
    first: u64,
    /// Whether the input is told by the system if one of them gets more, and was not.
    resting: bool,
    /// Since when the input waits for an acknowledgement.
    stalled: Option<Instant>,
}

/// When sources that were not behind had nothing more.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    /// The last batch that has something of what was read before.
    sent: u64,
}

impl State {
    fn next(&self) -> u64 {
        self.first + self.looks.len() as u64
    }
}

impl Progress {
    /// Of an input that has read nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            behind: HashSet::new(),
            pressed: HashSet::new(),
            in_danger: false,
            ends: HashMap::new(),
            ended: false,
            looks: VecDeque::from([Look { at: now, sent: 0 }]),
            first: 0,
            resting: false,
            stalled: None,
        }))
    }

    /// Says whether a source has more than was read.
    pub fn set_behind(&self, source: SourceId, behind: bool) {
        let mut state = self.state();
        if behind {
            state.behind.insert(source);
            return;
        }
        state.pressed.remove(&source);
        if state.behind.remove(&source) {
            let next = state.next();
            state.ends.insert(source, next);
            state.ended = true;
        }
    }

    /// Says that a source that has more was written to its end, and may be removed whether it is read or not.
    pub fn set_pressed(&self, source: SourceId) {
        self.state().pressed.insert(source);
    }

    /// Says whether something may be removed, or is, that is not safe yet, be it read or not.
    pub fn set_in_danger(&self, in_danger: bool) {
        self.state().in_danger = in_danger;
    }

    /// Whether neither reading nor what was read should wait for anything: else something may be removed before it is
    /// safe.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        let state = self.state();
        state.in_danger || !state.pressed.is_empty()
    }

    /// Says that at this time all sources that are not behind were at their end, and that all that was read of them is in
    /// batches up to the one with this number.
    pub fn set_looked(&self, at: Instant, sent: u64) {
        let mut state = self.state();
        // A source that came to its end since the last look needs one of its own.
        let ended = std::mem::take(&mut state.ended);
        let last = state.looks.back_mut().expect("there is one from the beginning");
        let at = at.max(last.at);
        if last.sent == sent && !ended {
            last.at = at;
            return;
        }
        state.looks.push_back(Look { at, sent });
        if state.looks.len() > LOOKS_MAX {
            state.looks.pop_front();
            state.first += 1;
        }
        let first = state.first;
        state.ends.retain(|_, end| *end > first);
    }

    /// Says whether from now on nothing can come without the input being woken.
    pub fn set_resting(&self, resting: bool) {
        self.state().resting = resting;
    }

    /// Says since when the input reads nothing because nothing is acknowledged.
    pub fn set_stalled(&self, since: Option<Instant>) {
        self.state().stalled = since;
    }

    /// Whether more comes only after something is given out.
    #[must_use]
    pub fn is_stalled(&self, now: Instant) -> bool {
        self.state().stalled.is_some_and(|since| now >= since + STALLED_MIN)
    }

    /// Whether nothing came of a source until `until`, for one who has got the batches up to this number.
    #[must_use]
    pub fn is_silent(&self, source: SourceId, until: Instant, got: u64) -> bool {
        let state = self.state();
        if state.behind.contains(&source) {
            return false;
        }
        let from = state.ends.get(&source).map_or(0, |end| end.saturating_sub(state.first)) as usize;
        let (newest, mut looks) = (state.looks.len() - 1, state.looks.iter().enumerate().skip(from));
        looks.any(|(at, look)| look.sent <= got && (look.at >= until || state.resting && at == newest))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn silent_is_what_was_looked_at_and_got() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let progress = Progress::new(start);
        let source = SourceId(1);
        assert!(!progress.is_silent(source, at(100), 1), "nobody looked");
        progress.set_looked(at(100), 1);
        assert!(progress.is_silent(source, at(100), 1));
        assert!(!progress.is_silent(source, at(101), 1), "nobody looked so late");
        assert!(!progress.is_silent(source, at(100), 0), "something is on its way");
        progress.set_behind(source, true);
        assert!(!progress.is_silent(source, at(100), 1), "there is more");
        assert!(progress.is_silent(SourceId(2), at(100), 1), "of another");
        progress.set_behind(source, false);
        assert!(!progress.is_silent(source, at(100), 1), "nobody looked since it came to its end");
        progress.set_looked(at(100), 1);
        progress.set_resting(true);
        assert!(progress.is_silent(source, at(900), 1), "the system would have told");
        assert!(!progress.is_silent(source, at(900), 0));
    }

    #[test]
    fn who_is_late_goes_by_an_earlier_look() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let progress = Progress::new(start);
        let (quiet, loud) = (SourceId(1), SourceId(2));
        progress.set_behind(loud, true);
        progress.set_looked(at(100), 1);
        progress.set_looked(at(200), 2);
        progress.set_behind(loud, false);
        progress.set_looked(at(300), 3);
        assert!(progress.is_silent(quiet, at(200), 2), "the last batch is on its way");
        assert!(!progress.is_silent(quiet, at(201), 2));
        assert!(!progress.is_silent(loud, at(100), 2), "what was read of it is in the last batch");
        assert!(progress.is_silent(loud, at(300), 3));
        for number in 4..1000 {
            progress.set_looked(at(100 * number), number);
        }
        assert!(!progress.is_silent(quiet, at(300), 3), "that is forgotten");
        assert!(progress.is_silent(loud, at(99_900), 999));
        let state = progress.state();
        assert_eq!((state.looks.len(), state.ends.len()), (LOOKS_MAX, 0));
    }

    #[test]
    fn an_end_between_two_looks_at_the_same_batch_counts_from_the_second() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let progress = Progress::new(start);
        let source = SourceId(1);
        progress.set_looked(at(100), 1);
        progress.set_behind(source, true);
        progress.set_behind(source, false);
        assert!(!progress.is_silent(source, at(50), 1));
        progress.set_looked(at(200), 1);
        assert!(progress.is_silent(source, at(200), 1));
    }

    #[test]
    fn what_was_read_to_its_end_presses_no_more() {
        let progress = Progress::new(Instant::now());
        let source = SourceId(1);
        progress.set_behind(source, true);
        assert!(!progress.is_pressed());
        progress.set_pressed(source);
        progress.set_behind(source, true);
        assert!(progress.is_pressed());
        progress.set_behind(source, false);
        assert!(!progress.is_pressed());
    }

    #[test]
    fn an_input_is_stalled_after_a_while() {
        let start = Instant::now();
        let progress = Progress::new(start);
        assert!(!progress.is_stalled(start + STALLED_MIN));
        progress.set_stalled(Some(start));
        assert!(!progress.is_stalled(start) && progress.is_stalled(start + STALLED_MIN));
        progress.set_stalled(None);
        assert!(!progress.is_stalled(start + STALLED_MIN));
    }
}
