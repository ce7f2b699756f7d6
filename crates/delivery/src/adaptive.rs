//! How many requests may be under way: more while the target keeps up, fewer when it says or shows that it does not.
//!
//! Owns: the number. Does not own: pausing altogether after a failure (`courier`).
//! Invariant: the number is from 1 to the target's maximum, and one round of requests cuts it once at most.
//!
//! Additive increase and multiplicative decrease (Chiu, Jain: Analysis of the increase and decrease algorithms for
//! congestion avoidance, 1989), with answers that come much later than usual taken as a sign as well, as in TCP Vegas.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of the number when the target is overloaded.
const CUT_OVERLOADED: f64 = 0.5;

/// What is left of it when answers come late.
const CUT_LATE: f64 = 0.8;

/// Answers that must have been timed before one can be late.
const TIMED_MIN: u32 = 10;

/// An answer is late if it takes this many mean deviations more than the mean, and this much at least.
const LATE_DEVIATIONS: f64 = 4.0;
const LATE_MIN: Duration = Duration::from_millis(100);

/// Weight of a new time in the mean.
const NEW_WEIGHT: f64 = 0.1;

#[derive(Debug)]
pub(crate) struct Adaptive {
    number: f64,
    most: f64,
    mean_secs: f64,
    deviation_secs: f64,
    timed: u32,
    last_cut: Option<Instant>,
}

impl Adaptive {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        // Start low: a target that comes back after an outage gets all of its clients at once.
        Self { number: most.min(2.0), most, mean_secs: 0.0, deviation_secs: 0.0, timed: 0, last_cut: None }
    }

    /// How many requests may be under way.
    pub(crate) fn allowed(&self) -> usize {
        self.number as usize
    }

    /// A request succeeded. `saturated`: as many were under way as were allowed, so more may help.
    pub(crate) fn succeeded(&mut self, started: Instant, now: Instant, saturated: bool) {
        let secs = (now - started).as_secs_f64();
        let late = self.mean_secs + (LATE_DEVIATIONS * self.deviation_secs).max(LATE_MIN.as_secs_f64());
        if self.timed >= TIMED_MIN && secs > late {
            self.cut(started, now, CUT_LATE);
        } else if saturated && self.is_new(started) {
            self.number = (self.number + 1.0 / self.number).min(self.most);
        }
        self.time(secs);
    }

    /// The target said that it is overloaded, or did not answer in time.
    pub(crate) fn overloaded(&mut self, started: Instant, now: Instant) {
        self.cut(started, now, CUT_OVERLOADED);
    }

    fn cut(&mut self, started: Instant, now: Instant, left: f64) {
        if self.is_new(started) {
            self.number = (self.number * left).max(1.0);
            self.last_cut = Some(now);
        }
    }

    /// Whether a request was sent after the last cut; older ones tell nothing new.
    fn is_new(&self, started: Instant) -> bool {
        self.last_cut.is_none_or(|cut| started >= cut)
    }

    fn time(&mut self, secs: f64) {
        let weight = if self.timed == 0 { 1.0 } else { NEW_WEIGHT };
        self.deviation_secs += weight * ((secs - self.mean_secs).abs() - self.deviation_secs);
        if self.timed == 0 {
            self.deviation_secs = secs / 2.0;
        }
        self.mean_secs += weight * (secs - self.mean_secs);
        self.timed = self.timed.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    fn grown(most: usize) -> (Adaptive, Instant) {
        let mut adaptive = Adaptive::new(most);
        let mut now = Instant::now();
        for _ in 0..200 {
            adaptive.succeeded(now, now + STEP, true);
            now += STEP;
        }
        (adaptive, now)
    }

    #[test]
    fn grows_to_its_bound_while_it_is_used() {
        assert_eq!(grown(8).0.allowed(), 8);
        let mut idle = Adaptive::new(8);
        let now = Instant::now();
        (0..100).for_each(|_| idle.succeeded(now, now + STEP, false));
        assert_eq!(idle.allowed(), 2, "nothing is learned from requests that did not wait for each other");
    }

    #[test]
    fn one_round_cuts_once() {
        let (mut adaptive, now) = grown(8);
        for _ in 0..8 {
            adaptive.overloaded(now, now + STEP);
        }
        assert_eq!(adaptive.allowed(), 4);
        adaptive.overloaded(now + STEP, now + STEP * 2);
        adaptive.overloaded(now + STEP * 2, now + STEP * 3);
        adaptive.overloaded(now + STEP * 3, now + STEP * 4);
        assert_eq!(adaptive.allowed(), 1, "never none");
    }

    #[test]
    fn late_answers_count_as_overload() {
        let (mut adaptive, now) = grown(10);
        adaptive.succeeded(now, now + STEP * 2, true);
        assert_eq!(adaptive.allowed(), 10, "a little later is usual");
        adaptive.succeeded(now, now + STEP * 100, true);
        assert_eq!(adaptive.allowed(), 8);
    }
}
