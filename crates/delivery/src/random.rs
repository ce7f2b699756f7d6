//! Random numbers for pauses, so that many clients do not come back at the same moment. Not for secrets.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A stream of numbers that differs from process to process.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(RandomState::new().hash_one("pauses"))
    }

    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    #[cfg(test)]
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A time from zero to `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let part = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        most.mul_f64(part)
    }

    /// How long to wait after this many failures in a row: exponential with full jitter (Brooker: Exponential Backoff
    /// And Jitter, AWS Architecture Blog, 2015).
    pub(crate) fn pause(&mut self, failures: u32, longest: Duration) -> Duration {
        let doubled = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
        self.up_to(doubled.min(longest)).max(PAUSE_MIN.min(longest))
    }
}

/// The first pause is up to this long, the next ones twice as long each.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// No pause is shorter, or an unlucky draw would make a busy loop.
const PAUSE_MIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_spread_and_grow_up_to_the_longest() {
        let mut random = Random(1);
        let longest = Duration::from_secs(10);
        for failures in 1..40 {
            let most = Duration::from_millis(500 << (failures - 1).min(5)).min(longest);
            let pauses: Vec<Duration> = (0..200).map(|_| random.pause(failures, longest)).collect();
            assert!(pauses.iter().all(|pause| *pause <= most && *pause >= PAUSE_MIN));
            assert!(pauses.iter().any(|pause| *pause > most.mul_f64(0.9)), "reaches up to the bound");
            assert!(pauses.iter().any(|pause| *pause < most.mul_f64(0.1).max(PAUSE_MIN * 2)), "and down");
        }
    }
}
