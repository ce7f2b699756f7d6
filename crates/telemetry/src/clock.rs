//! The time of day, and its twin for tests that stands still until it is turned.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sawyer_model::Timestamp;

/// Tells the time of day. Clones of a manual clock are turned together.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that shows `start` until it is turned.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(start.nanos()))))
    }

    /// The time now. A machine clock outside the years that a [`Timestamp`] reaches shows its last or first.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(nanos) => Timestamp::from_nanos(nanos.load(Ordering::Acquire)),
            None => system_now(),
        }
    }

    /// Turns a manual clock on; a system clock goes its own way.
    pub fn advance(&self, by: Duration) {
        if let Some(nanos) = &self.0 {
            let later = self.now().saturating_add(by);
            nanos.store(later.nanos(), Ordering::Release);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
fn system_now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp::EPOCH.saturating_add(since),
        Err(before) => Timestamp::EPOCH.saturating_sub(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_turned() {
        let clock = Clock::manual(Timestamp::from_secs(100));
        let twin = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(twin.now(), Timestamp::from_secs(105));
    }

    #[test]
    fn the_system_clock_is_past_2024() {
        assert!(Clock::system().now() > Timestamp::parse("2024-01-01T00:00:00Z").unwrap());
    }
}
