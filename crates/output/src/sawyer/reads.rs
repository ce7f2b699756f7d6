//! Which version of a batch the receivers read.
//!
//! Owns: what is concluded from their answers. Does not own: what an answer looks like (`target`).
//! Invariant: whoever reads less than others behind the same address is sent what it does not read no more than every ten minutes.

use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::Timestamp;
use sawyer_telemetry::Clock;

/// The latest version of a batch that everybody reads who does not tell.
pub(super) const UNTOLD: u8 = 3;

/// How long all answers have to tell a later version before it is believed.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) struct Reads {
    now: Mutex<Now>,
    clock: Clock,
}

struct Now {
    reads: u8,
    /// When an answer last told no later version than that.
    told: Option<Timestamp>,
}

impl Reads {
    pub(super) fn new(clock: Clock) -> Self {
        Self { now: Mutex::new(Now { reads: UNTOLD, told: None }), clock }
    }

    /// The latest version of a batch that may be sent.
    pub(super) fn get(&self) -> u8 {
        self.now.lock().reads
    }

    /// An answer told that its sender reads up to this version.
    pub(super) fn note(&self, reads: u8) {
        let at = self.clock.now();
        let mut now = self.now.lock();
        let is_later = reads > now.reads;
        // Several receivers of different versions may answer in turn at one address.
        if !is_later || now.told.is_none_or(|told| told.saturating_add(PATIENCE) <= at) {
            *now = Now { reads, told: Some(at) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    #[test]
    fn the_one_who_reads_least_is_believed_at_once_and_for_a_while() {
        let clock = Clock::manual(NOW);
        let reads = Reads::new(clock.clone());
        let note = |told: u8, later: Duration| {
            clock.advance(later);
            reads.note(told);
            reads.get()
        };
        assert_eq!(reads.get(), UNTOLD);
        assert_eq!(note(4, Duration::ZERO), 4, "nobody has told otherwise");
        assert_eq!(note(UNTOLD, Duration::ZERO), UNTOLD);
        assert_eq!(note(4, PATIENCE / 2), UNTOLD);
        assert_eq!(note(UNTOLD, PATIENCE / 4), UNTOLD);
        assert_eq!(note(4, PATIENCE / 2), UNTOLD, "the other one is still there");
        assert_eq!(note(4, PATIENCE / 2), 4);
        assert_eq!(note(2, Duration::ZERO), 2);
        assert_eq!(note(UNTOLD, PATIENCE), UNTOLD);
    }
}
