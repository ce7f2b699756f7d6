//! Sawyer's own logs: one line an event on standard error, text on a terminal and JSON elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use sawyer_model::{Error, ErrorKind, Timestamp};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging for this process. `level` is a filter such as `info` or `sawyer_store=debug,warn`. A second call
/// changes nothing.
///
/// # Errors
/// `Invalid` when the filter cannot be read. A word alone has to be a level: as the name of a part of the program
/// it would silence all the others.
pub fn start(level: &str) -> Result<(), Error> {
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let started = if terminal {
        builder.with_target(false).finish().try_init()
    } else {
        builder.json().flatten_event(true).finish().try_init()
    };
    // Whoever was first keeps the say; in tests several components start logging.
    drop(started);
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    let wrong = || {
        let expected =
            "`error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,sawyer_store=debug`";
        Error::new(ErrorKind::Invalid, format!("log: expected {expected}, found `{level}`"))
    };
    let word = |part: &str| part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok();
    if !level.split(',').map(str::trim).all(word) {
        return Err(wrong());
    }
    EnvFilter::try_new(level).map_err(|error| wrong().because(error))
}

/// Lets something through at most once in an interval, and counts what it held back; for log lines about
/// conditions that last.
#[derive(Debug)]
pub struct Seldom {
    interval: Duration,
    last: AtomicI64,
    held: AtomicU64,
}

impl Seldom {
    /// Once in `interval`.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self { interval, last: AtomicI64::new(i64::MIN), held: AtomicU64::new(0) }
    }

    /// Whether it is time again: `Some(n)` if so, with how many were held back since the last time.
    pub fn pass(&self, now: Timestamp) -> Option<u64> {
        let last = self.last.load(Ordering::Acquire);
        let due = last == i64::MIN || now.since(Timestamp::from_nanos(last)) >= self.interval;
        let won =
            due && self.last.compare_exchange(last, now.nanos(), Ordering::AcqRel, Ordering::Acquire).is_ok();
        if won {
            return Some(self.held.swap(0, Ordering::AcqRel));
        }
        self.held.fetch_add(1, Ordering::AcqRel);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_silence_everything_is_refused() {
        for good in ["info", "WARN", "info,sawyer_store=debug", "off"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for wrong in ["debgu", "a=b=c", "info,loud", "sawyer_store=loud"] {
            let error = filter(wrong).unwrap_err().to_string();
            assert!(error.contains("log: expected `error`, `warn`"), "{error}");
        }
    }

    #[test]
    fn holds_back_within_the_interval_and_counts() {
        let seldom = Seldom::new(Duration::from_secs(10));
        let told: Vec<Option<u64>> =
            [0, 1, 9, 10, 11, 25].map(|secs| seldom.pass(Timestamp::from_secs(secs))).into();
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
