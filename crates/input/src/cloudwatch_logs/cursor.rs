//! What is read of a log group next.
//!
//! Owns: the times that a look covers.
//! Does not own: reading, which events were read before (`seen`).
//! Invariant: an event that comes at most `late_max` after its own time lies in a look that begins after it has come.
//!
//! The service is asked by the times of events, and not by when they came. So every look begins a little before the last
//! one's end, for what was a moment late; and after each half of `late_max` one begins one and a half of it before that. An
//! event comes after the one wide look, and before the next: its own time is at most `late_max` before its coming, and the
//! next look is at most half of that later.

use std::time::Duration;

/// Every look begins so much before the end of the last one: most events come within seconds.
const OVERLAP_MILLIS: i64 = 60_000;

/// The span of time of a look that is not the last one, at first, at least and at most: where somebody has much to catch up
/// with, all events of a span have to be durable before it counts.
const SPAN_MILLIS: i64 = 600_000;
const SPAN_MILLIS_MIN: i64 = 60_000;
const SPAN_MILLIS_MAX: i64 = 86_400_000;

/// Pages of a look after which spans become shorter.
const PAGES_MANY: u32 = 20;

/// Pages of a look after which it is given up for one of a shorter span, if there is one.
pub(super) const PAGES_MAX: u32 = 200;

/// How far a group was read.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// Everything before this was read, but for what comes late.
    done_to: i64,
    late_max: i64,
    span: i64,
    /// Nothing before this is looked at.
    floor: i64,
    /// When the next wide look is due.
    wide_at: i64,
}

/// One look, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// The time of the first events.
    pub(super) from: i64,
    /// The time that those looked for are before; all that there are if none.
    pub(super) to: Option<i64>,
    /// Up to where everything was read after it.
    pub(super) done_to: i64,
    wide: bool,
}

impl Cursor {
    /// Goes on where everything before `done_to` was read.
    pub(super) fn new(done_to: i64, late_max: Duration) -> Self {
        let late_max = i64::try_from(late_max.as_millis()).unwrap_or(i64::MAX / 4);
        Self { done_to, late_max, span: SPAN_MILLIS, floor: 0, wide_at: i64::MIN }
    }

    /// Begins with what is from `first` on.
    pub(super) fn beginning(first: i64, late_max: Duration) -> Self {
        Self { floor: first.max(0), ..Self::new(first, late_max) }
    }

    /// Everything before this was read.
    pub(super) fn done_to(&self) -> i64 {
        self.done_to
    }

    /// What comes later than this before the end of what was read is not found.
    fn reach(&self) -> i64 {
        self.late_max + self.late_max / 2
    }

    /// Nothing before this is looked at any more.
    pub(super) fn forgotten_before(&self) -> i64 {
        self.done_to - self.reach().max(OVERLAP_MILLIS)
    }

    /// What to look at now.
    pub(super) fn next(&self, now: i64) -> Look {
        let wide = now >= self.wide_at;
        let back = if wide { self.reach().max(OVERLAP_MILLIS) } else { OVERLAP_MILLIS };
        let from = (self.done_to - back).max(self.floor);
        let end = self.done_to.saturating_add(self.span);
        let to = (end < now).then_some(end);
        Look { from, to, done_to: to.unwrap_or(now).max(self.done_to), wide }
    }

    /// A look has more pages than are good. Whether a shorter one may have fewer.
    pub(super) fn shorten(&mut self, look: Look) -> bool {
        let shorter = (self.span / 4).max(SPAN_MILLIS_MIN);
        let helps = look.to.is_some() && shorter < self.span;
        self.span = shorter;
        helps
    }

    /// A look that began at `now` found so many pages, and all of them are durable. Whether there is more to catch up with.
    pub(super) fn looked(&mut self, look: Look, now: i64, pages: u32) -> bool {
        self.done_to = look.done_to;
        if look.wide {
            self.wide_at = now.saturating_add(self.late_max / 2);
        }
        if pages <= 1 && look.to.is_some() {
            self.span = (self.span * 2).min(SPAN_MILLIS_MAX);
        } else if pages > PAGES_MANY {
            self.span = (self.span / 2).max(SPAN_MILLIS_MIN);
        }
        look.to.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LATE: Duration = Duration::from_secs(600);
    const MINUTE: i64 = 60_000;

    #[test]
    fn catches_up_in_spans_and_then_follows() {
        let mut cursor = Cursor::new(100 * MINUTE, LATE);
        let now = 125 * MINUTE;
        let look = cursor.next(now);
        assert_eq!((look.from, look.to, look.done_to), (85 * MINUTE, Some(110 * MINUTE), 110 * MINUTE));
        assert!(cursor.looked(look, now, 1));
        // Nothing much was there, so the next span is longer, and reaches to now.
        let look = cursor.next(now);
        assert_eq!((look.from, look.to, look.done_to), (109 * MINUTE, None, now));
        assert!(!cursor.looked(look, now, 1));
        let look = cursor.next(now + MINUTE);
        assert_eq!((look.from, look.done_to), (now - MINUTE, now + MINUTE));
    }

    #[test]
    fn spans_become_shorter_where_much_is_in_them() {
        let mut cursor = Cursor::new(0, LATE);
        for _ in 0..10 {
            let look = cursor.next(1 << 50);
            cursor.looked(look, 1 << 50, 100);
        }
        let look = cursor.next(1 << 50);
        assert_eq!(look.done_to - cursor.done_to(), SPAN_MILLIS_MIN);
    }

    #[test]
    fn nothing_is_read_before_the_beginning_and_looks_that_are_too_long_become_shorter() {
        let mut cursor = Cursor::beginning(100 * MINUTE, LATE);
        let look = cursor.next(200 * MINUTE);
        assert_eq!((look.from, look.to), (100 * MINUTE, Some(110 * MINUTE)));
        assert!(cursor.shorten(look));
        let look = cursor.next(200 * MINUTE);
        assert_eq!(look.to, Some(100 * MINUTE + SPAN_MILLIS / 4));
        assert!(cursor.shorten(look) && !cursor.shorten(look), "a minute is as short as they become");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_time_is_in_a_look_after_it_came(
            pauses in prop::collection::vec(1_000i64..120_000, 50..80),
            came_at in 0i64..3_000_000,
            late_by in 0i64..=600_000,
        ) {
            let mut cursor = Cursor::new(0, LATE);
            let (mut now, mut found, mut kept) = (0, false, true);
            let time = came_at - late_by;
            for pause in pauses {
                now += pause;
                let look = cursor.next(now);
                let covers = look.from <= time && look.to.is_none_or(|to| time < to);
                found |= covers && now >= came_at;
                cursor.looked(look, now, 1);
                // Whoever might be seen again is remembered.
                kept &= cursor.next(now).from >= cursor.forgotten_before();
            }
            // The last looks may be before the one that would have found it.
            prop_assert!(found || time < 0 || came_at + 600_000 / 2 + 120_000 > now);
            prop_assert!(kept);
        }
    }
}
