//! How far an input has read its sources, for whoever waits for more of one of them.
//!
//! Owns: which sources have more than was read, when the input last looked at all others, which batches held what it
//! had read until then.
//! Does not own: reading (`input`), what is waited for (`pipeline`).
//! Invariant: a source is called silent only if its input looked at it after the time asked about, found nothing, and
//! all that it had found before is in batches that whoever asks has got. A process that is slow, or stands still, makes
//! no source silent.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::source::SourceId;

/// What an input tells of its reading. Every batch of such an input has it, and its number.
#[derive(Debug)]
pub struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Sources that have more, or may have.
    behind: HashSet<SourceId>,
    /// All other sources had nothing more then.
    looked: Instant,
    /// Whether the input is told by the system if one of them gets more, and was not.
    resting: bool,
    /// The last batch that has something of what was read before `looked`.
    sent: u64,
}

impl Progress {
    /// Of an input that has read nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(State { behind: HashSet::new(), looked: now, resting: false, sent: 0 }))
    }

    /// Says whether a source has more than was read.
    pub fn set_behind(&self, source: SourceId, behind: bool) {
        let mut state = self.state();
        if behind {
            state.behind.insert(source);
        } else {
            state.behind.remove(&source);
        }
    }

    /// Says that at this time all sources that are not behind were at their end, and that all that was read of them is in
    /// batches up to the one with this number.
    pub fn set_looked(&self, at: Instant, sent: u64) {
        let mut state = self.state();
        state.looked = state.looked.max(at);
        state.sent = sent;
    }

    /// Says whether from now on nothing can come without the input being woken.
    pub fn set_resting(&self, resting: bool) {
        self.state().resting = resting;
    }

    /// Whether nothing came of a source until `until`, for one who has got the batches up to this number.
    #[must_use]
    pub fn is_silent(&self, source: SourceId, until: Instant, got: u64) -> bool {
        let state = self.state();
        (state.resting || state.looked >= until) && state.sent <= got && !state.behind.contains(&source)
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
        progress.set_resting(true);
        assert!(progress.is_silent(source, at(900), 1), "the system would have told");
        assert!(!progress.is_silent(source, at(900), 0));
    }
}
