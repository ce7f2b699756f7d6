//! Sawyer's own logs: one line an event on standard error, text on a terminal and JSON elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
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
    first: Duration,
    most: Duration,
    /// Doublings of the first interval.
    doublings: AtomicU32,
    last: AtomicI64,
    held: AtomicU64,
}

impl Seldom {
    /// Once in `interval`.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self::rarer(interval, interval)
    }

    /// Once in `first`, then in twice that, and so on up to `most`: what lasts for long is known by then.
    #[must_use]
    pub const fn rarer(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            doublings: AtomicU32::new(0),
            last: AtomicI64::new(i64::MIN),
            held: AtomicU64::new(0),
        }
    }

    /// The condition ended, or is another one: what comes next waits for the first interval only.
    pub fn renew(&self) {
        self.doublings.store(0, Ordering::Release);
    }

    /// Whether it is time again: `Some(n)` if so, with how many were held back since the last time.
    pub fn pass(&self, now: Timestamp) -> Option<u64> {
        let last = self.last.load(Ordering::Acquire);
        let doublings = self.doublings.load(Ordering::Acquire);
        // Capped so that no number of doublings overflows.
        let interval = self.first.saturating_mul(1 << doublings.min(31)).min(self.most);
        let due = last == i64::MIN || now.since(Timestamp::from_nanos(last)) >= interval;
        let won =
            due && self.last.compare_exchange(last, now.nanos(), Ordering::AcqRel, Ordering::Acquire).is_ok();
        if won {
            // After the very first time the first interval begins.
            let next = if last == i64::MIN { 0 } else { doublings.saturating_add(1).min(31) };
            self.doublings.store(next, Ordering::Release);
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

    #[test]
    fn what_lasts_is_told_more_and_more_rarely_until_it_is_over() {
        let seldom = Seldom::rarer(Duration::from_secs(30), Duration::from_secs(3600));
        let told = |from: i64, to: i64| -> Vec<i64> {
            (from..to).filter(|secs| seldom.pass(Timestamp::from_secs(*secs)).is_some()).collect()
        };
        let day = told(0, 86_400);
        assert_eq!(day[..9], [0, 30, 90, 210, 450, 930, 1890, 3810, 7410]);
        assert!(day.windows(2).skip(7).all(|pair| pair[1] - pair[0] == 3600), "{day:?}");
        seldom.renew();
        assert_eq!(told(86_400, 87_000), [86_400, 86_460, 86_580, 86_820]);
    }
}
