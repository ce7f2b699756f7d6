//! How much a client may send.
//!
//! Owns: what is left of a client's share. Does not own: refusing (`desk`).
//! Invariant: over a long time nobody passes more than its share; a single request may be larger than what is left, and
//! is paid off by those that come later, because its size is known only when it is read.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How much of its share a client that was silent may send at once, as a time.
const BURST: Duration = Duration::from_secs(2);

/// The share of a client.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    records: Option<Bucket>,
    bytes: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    per_second: f64,
    state: Mutex<Option<Level>>,
}

/// What was left at a moment; below zero it is owed.
#[derive(Clone, Copy, Debug)]
struct Level {
    left: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(records_per_second: Option<u64>, bytes_per_second: Option<u64>) -> Self {
        Self { records: records_per_second.map(Bucket::new), bytes: bytes_per_second.map(Bucket::new) }
    }

    /// Whether the client may send; if not, after which time.
    pub(crate) fn check(&self) -> Result<(), Duration> {
        let waits = [&self.records, &self.bytes].into_iter().flatten().filter_map(Bucket::wait);
        waits.max().map_or(Ok(()), Err)
    }

    /// The client has sent this much.
    pub(crate) fn charge(&self, records: usize, bytes: usize) {
        for (bucket, amount) in [(&self.records, records), (&self.bytes, bytes)] {
            if let Some(bucket) = bucket {
                bucket.charge(amount as f64);
            }
        }
    }
}

impl Bucket {
    fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1) as f64, state: Mutex::default() }
    }

    fn level(&self, now: Instant) -> Level {
        let full = self.per_second * BURST.as_secs_f64();
        let left = self.state.lock().map_or(full, |Level { left, at }| {
            (left + now.duration_since(at).as_secs_f64() * self.per_second).min(full)
        });
        Level { left, at: now }
    }

    fn wait(&self) -> Option<Duration> {
        let Level { left, .. } = self.level(Instant::now());
        (left <= 0.0).then(|| Duration::from_secs_f64((1.0 - left) / self.per_second))
    }

    fn charge(&self, amount: f64) {
        let level = self.level(Instant::now());
        *self.state.lock() = Some(Level { left: level.left - amount, ..level });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn over_time_nobody_passes_more_than_its_share() {
        let rate = Rate::new(Some(10), None);
        let mut passed = 0;
        for _ in 0..1000 {
            if rate.check().is_ok() {
                rate.charge(7, 0);
                passed += 7;
            }
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!((1000..=1000 + 20 + 7).contains(&passed), "{passed} in 100 s at 10/s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_owed_tells_when_to_come_back() {
        let rate = Rate::new(None, Some(100));
        rate.charge(1, 1000);
        let wait = rate.check().unwrap_err();
        assert!(wait > Duration::from_secs(8) && wait < Duration::from_secs(9), "{wait:?}");
        tokio::time::advance(wait).await;
        assert!(rate.check().is_ok());
        assert!(Rate::default().check().is_ok());
    }
}
