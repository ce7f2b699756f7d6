//! What was read of segments and checked, kept for the next question.
//!
//! Owns: [`Cache`], which all segments of a store share, its bound, and which of what it keeps goes first; [`Slot`],
//! where a segment finds again what it read.
//! Does not own: what is read (`segment`). Merging and verifying read past it.
//! Invariant: what is kept and not in use takes at most the bytes that the cache was made for.
//!
//! Time is told by how much had to be read. Something that is read again so much later is kept for something that was not
//! used for longer than that (as LIRS does: Jiang and Zhang, SIGMETRICS '02). So a question that goes through more than there
//! is room for finds the same part again each time, and drives out nothing that is asked for more often.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use xxhash_rust::xxh3::xxh3_64;

/// What a cache keeps if nobody says how much: enough for the texts of a million records.
pub const CACHE_BYTES_DEFAULT: usize = 64 << 20;

/// What each thing takes besides its own bytes, about.
const KEPT_BYTES: usize = 128;

/// While as much is read as there is room for, so many ticks pass.
const TICKS: usize = 1024;

/// What is asked for again within so many ticks is one use of it: a question may ask several times.
const USE_TICKS: u32 = 32;

/// So many things are looked at, at random, to find one to give up.
const LOOKED_AT: usize = 8;

/// What was read of segments lately. Cloning gives the same cache.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    bytes_max: usize,
    all: Mutex<All>,
    /// Bytes that had to be read.
    missed: AtomicU64,
    found: AtomicU64,
    read: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct All {
    kept: Vec<(Arc<dyn Keepable>, usize)>,
    bytes: usize,
    /// How often something was chosen at random.
    next: u64,
}

/// What a cache has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Bytes that it keeps.
    pub bytes: u64,
    /// How often something was there.
    pub found: u64,
    /// How often something had to be read.
    pub read: u64,
    /// How much of that was given up again, or not kept at all.
    pub dropped: u64,
}

/// Where something is found as long as the cache keeps it, or somebody uses it.
pub(crate) struct Slot<T> {
    kept: Mutex<Weak<Kept<T>>>,
    /// When it was used, whether it was there or not.
    uses: Uses,
}

/// When something was used last, and how much later than before that. Threads that use it at the same time may forget one of
/// their uses.
struct Uses(AtomicU64);

/// Something that the cache may keep.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    value: T,
    used: AtomicU32,
}

trait Keepable: Send + Sync {
    /// When it was used last.
    fn used(&self) -> u32;
}

impl<T: Send + Sync> Keepable for Kept<T> {
    fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

impl<T> Kept<T> {
    pub(crate) fn new(value: T) -> Arc<Self> {
        Arc::new(Self { value, used: AtomicU32::new(0) })
    }

    fn note_use(&self, now: u32) {
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Uses {
    /// There is no second use to tell from.
    const ONCE: u32 = u32::MAX;

    fn note(&self, now: u32) {
        let known = self.0.load(Ordering::Relaxed);
        let gap = match (known as u32, now.wrapping_sub((known >> 32) as u32)) {
            (0, _) => Self::ONCE,
            (_, gap) if gap > USE_TICKS => gap,
            _ => return,
        };
        self.0.store(u64::from(now) << 32 | u64::from(gap), Ordering::Relaxed);
    }

    /// How many ticks are between two uses.
    fn gap(&self) -> u32 {
        match self.0.load(Ordering::Relaxed) as u32 {
            0 => Self::ONCE,
            gap => gap,
        }
    }
}

impl<T> Slot<T> {
    fn get(&self) -> Option<Arc<Kept<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn set(&self, kept: &Arc<Kept<T>>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(kept);
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { kept: Mutex::new(Weak::new()), uses: Uses(AtomicU64::new(0)) }
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(CACHE_BYTES_DEFAULT)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache that keeps so many bytes at most.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let (missed, found, read, dropped) = Default::default();
        Self(Arc::new(Shared { bytes_max, all: Mutex::default(), missed, found, read, dropped }))
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            bytes: self.all().bytes as u64,
            found: self.0.found.load(Ordering::Relaxed),
            read: self.0.read.load(Ordering::Relaxed),
            dropped: self.0.dropped.load(Ordering::Relaxed),
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u32 {
        (self.0.missed.load(Ordering::Relaxed) / (self.0.bytes_max / TICKS).max(1) as u64) as u32
    }

    /// Whether so much would be kept for a slot.
    pub(crate) fn has_room<T>(&self, slot: &Slot<T>, bytes: usize) -> bool {
        let mut all = self.all();
        let gap = slot.uses.gap();
        all.bytes.saturating_add(bytes + KEPT_BYTES) <= self.0.bytes_max
            || gap != Uses::ONCE && all.find_unused_for(gap, self.now()).is_some()
    }

    /// What a slot had last, if it is still there.
    pub(crate) fn get<T>(&self, slot: &Slot<T>) -> Option<Arc<Kept<T>>> {
        let now = self.now();
        slot.uses.note(now);
        let kept = slot.get()?;
        kept.note_use(now);
        self.0.found.fetch_add(1, Ordering::Relaxed);
        Some(kept)
    }

    /// Says that something was used, by somebody who did not look it up.
    pub(crate) fn note_use<T>(&self, kept: &Kept<T>) {
        kept.note_use(self.now());
    }

    /// Keeps what was read for a slot, which takes about so many bytes, if nothing has to go for it that is used as often.
    pub(crate) fn keep<T: Send + Sync + 'static>(
        &self,
        slot: &Slot<T>,
        value: T,
        bytes: usize,
    ) -> Arc<Kept<T>> {
        self.keep_within(slot, value, bytes, slot.uses.gap())
    }

    /// Keeps what was read for a slot, which takes about so many bytes; unless they are more than there is room for, `gap` is
    /// how long something has not been used that goes for it.
    fn keep_within<T: Send + Sync + 'static>(
        &self,
        slot: &Slot<T>,
        value: T,
        bytes: usize,
        gap: u32,
    ) -> Arc<Kept<T>> {
        let kept = Kept::new(value);
        slot.set(&kept);
        self.0.read.fetch_add(1, Ordering::Relaxed);
        let bytes = bytes.saturating_add(KEPT_BYTES);
        // It is as old as when it was asked for.
        let now = self.now();
        kept.note_use(now);
        self.0.missed.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut given_up = Vec::new();
        let is_kept = bytes <= self.0.bytes_max && {
            let mut all = self.all();
            let has_room = all.make_room(self.0.bytes_max - bytes, gap, now, &mut given_up);
            if has_room || gap == 0 {
                all.kept.push((Arc::clone(&kept) as Arc<dyn Keepable>, bytes));
                all.bytes += bytes;
            }
            has_room || gap == 0
        };
        let dropped = given_up.len() as u64 + u64::from(!is_kept);
        self.0.dropped.fetch_add(dropped, Ordering::Relaxed);
        kept
    }

    /// What a slot has, or else what is read now: something that others hold, or that is needed again and again for one
    /// question. It is kept whatever has to go for it.
    pub(crate) fn get_or_read<T: Send + Sync + 'static, E>(
        &self,
        slot: &Slot<T>,
        bytes_of: impl FnOnce(&T) -> usize,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<Kept<T>>, E> {
        if let Some(kept) = self.get(slot) {
            return Ok(kept);
        }
        let value = read()?;
        let bytes = bytes_of(&value);
        Ok(self.keep_within(slot, value, bytes, 0))
    }

    /// Gives up what no slot finds any more, and with it what only it had slots for.
    pub(crate) fn sweep(&self) {
        loop {
            let mut given_up = Vec::new();
            {
                let All { kept, bytes, .. } = &mut *self.all();
                given_up.extend(kept.extract_if(.., |(kept, _)| Arc::weak_count(kept) == 0));
                *bytes -= given_up.iter().map(|(_, bytes)| bytes).sum::<usize>();
            }
            self.0.dropped.fetch_add(given_up.len() as u64, Ordering::Relaxed);
            if given_up.is_empty() {
                return;
            }
        }
    }
}

impl All {
    /// Gives up what was not used for longer than `gap`, until no more than these bytes are left; says whether that is so.
    /// What others hold, such as the shapes that portions are made of, stays and counts until they let go of it: giving it up
    /// would free nothing.
    fn make_room(
        &mut self,
        bytes_max: usize,
        gap: u32,
        now: u32,
        given_up: &mut Vec<Arc<dyn Keepable>>,
    ) -> bool {
        while self.bytes > bytes_max {
            let Some(at) = self.find_unused_for(gap, now) else { return false };
            let (kept, bytes) = self.kept.swap_remove(at);
            self.bytes -= bytes;
            given_up.push(kept);
        }
        true
    }

    /// Of some things the one that was used least lately, if it was not used for longer than this. What no slot finds any more
    /// was not used for ever.
    fn find_unused_for(&mut self, gap: u32, now: u32) -> Option<usize> {
        let mut found = None;
        // Many may be in use.
        let mut looked_at = 0;
        for _ in 0..2 * self.kept.len() {
            self.next = self.next.wrapping_add(1);
            let random = xxh3_64(&self.next.to_le_bytes());
            let at = ((u128::from(random) * self.kept.len() as u128) >> 64) as usize;
            let kept = &self.kept[at].0;
            if Arc::strong_count(kept) > 1 {
                continue;
            }
            let is_lost = Arc::weak_count(kept) == 0;
            let unused = if is_lost { u32::MAX } else { now.wrapping_sub(kept.used()) };
            found = found.max(Some((unused, at)));
            looked_at += 1;
            if looked_at == LOOKED_AT {
                break;
            }
        }
        found.filter(|(unused, _)| gap == 0 || *unused > gap || *unused == u32::MAX).map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(cache: &Cache, slots: &[Slot<usize>], number: usize) {
        let kept = cache.get(&slots[number]);
        let kept = kept.unwrap_or_else(|| cache.keep(&slots[number], number, 1000 - KEPT_BYTES));
        assert_eq!(**kept, number);
    }

    #[test]
    fn keeps_no_more_than_it_may() {
        let cache = Cache::new(10_000);
        let slots: Vec<Slot<usize>> = (0..100).map(|_| Slot::default()).collect();
        for round in 0..5 {
            (0..100).for_each(|number| keep(&cache, &slots, number));
            let there = slots.iter().filter(|slot| slot.get().is_some()).count();
            assert_eq!((there, cache.stats().bytes), (10, 10_000), "round {round}");
        }
        assert!(!cache.has_room(&Slot::<()>::default(), 1));
        let stats = cache.stats();
        assert_eq!(stats.read - stats.dropped, 10);
    }

    #[test]
    fn a_part_is_found_again_even_if_all_is_more_than_there_is_room_for() {
        let cache = Cache::new(10_000);
        let slots: Vec<Slot<usize>> = (0..15).map(|_| Slot::default()).collect();
        (0..100).for_each(|_| (0..15).for_each(|number| keep(&cache, &slots, number)));
        assert!(cache.stats().found >= 990, "{:?}", cache.stats());
    }

    #[test]
    fn what_is_used_stays() {
        let cache = Cache::new(10_000);
        let slots: Vec<Slot<usize>> = (0..1000).map(|_| Slot::default()).collect();
        for number in 0..1000 {
            keep(&cache, &slots, number);
            keep(&cache, &slots, 0);
        }
        assert!(cache.stats().found > 970, "{:?}", cache.stats());
    }

    #[test]
    fn what_others_that_are_kept_hold_counts_as_long_as_they_do() {
        let cache = Cache::new(10_000);
        let inner: Vec<Slot<usize>> = (0..20).map(|_| Slot::default()).collect();
        let outer: Vec<Slot<Arc<Kept<usize>>>> = (0..40).map(|_| Slot::default()).collect();
        for round in 0..200 {
            let number = round * 7 % 40;
            let bytes = 1000 - KEPT_BYTES;
            let read = || cache.get_or_read(&inner[number / 2], |_| bytes, || Ok::<_, ()>(number / 2));
            cache.get_or_read(&outer[number], |_| 500 - KEPT_BYTES, read).unwrap();
            let alive = inner.iter().filter(|slot| slot.get().is_some()).count() * 1000
                + outer.iter().filter(|slot| slot.get().is_some()).count() * 500;
            assert_eq!(
                cache.stats().bytes as usize,
                alive,
                "round {round}: nothing lives that is not counted"
            );
            assert!(alive <= 12_000, "round {round}: {alive}");
        }
    }

    #[test]
    fn what_is_more_than_there_is_room_for_drives_nothing_out() {
        let cache = Cache::new(10_000);
        let slots: Vec<Slot<usize>> = (0..10).map(|_| Slot::default()).collect();
        (0..10).for_each(|number| keep(&cache, &slots, number));
        let large = Slot::default();
        assert_eq!(**cache.keep(&large, 1, 10_001), 1);
        assert_eq!(slots.iter().filter(|slot| slot.get().is_some()).count(), 10);
        assert!(large.get().is_none());
    }

    #[test]
    fn what_nobody_finds_any_more_goes_first() {
        let cache = Cache::new(100_000);
        let keep_all = |slots: &[Slot<usize>]| {
            (0..50).for_each(|number| keep(&cache, slots, number));
            // All are used.
            (0..50).for_each(|number| keep(&cache, slots, number));
        };
        let stays: Vec<Slot<usize>> = (0..50).map(|_| Slot::default()).collect();
        keep_all(&stays);
        let goes: Vec<Slot<usize>> = (0..50).map(|_| Slot::default()).collect();
        keep_all(&goes);
        drop(goes);
        let more: Vec<Slot<usize>> = (0..10).map(|_| Slot::default()).collect();
        (0..10).for_each(|number| keep(&cache, &more, number));
        assert!(stays.iter().filter(|slot| slot.get().is_some()).count() >= 48);
    }

    #[test]
    fn what_is_read_once_drives_nothing_out() {
        let cache = Cache::new(10_000);
        let slots: Vec<Slot<usize>> = (0..1000).map(|_| Slot::default()).collect();
        (0..10).for_each(|number| keep(&cache, &slots, number));
        (10..1000).for_each(|number| keep(&cache, &slots, number));
        assert!(slots[..10].iter().all(|slot| slot.get().is_some()));
    }

    #[test]
    fn what_is_not_used_any_more_makes_room_for_what_is() {
        let cache = Cache::new(100_000);
        let slots: Vec<Slot<usize>> = (0..180).map(|_| Slot::default()).collect();
        (0..5).for_each(|_| (0..100).for_each(|number| keep(&cache, &slots, number)));
        (0..4).for_each(|_| (100..180).for_each(|number| keep(&cache, &slots, number)));
        let there = slots[100..].iter().filter(|slot| slot.get().is_some()).count();
        assert!(there >= 70, "{there}");
    }

    #[test]
    fn what_is_asked_for_more_often_stays() {
        let cache = Cache::new(100_000);
        let slots: Vec<Slot<usize>> = (0..1000).map(|_| Slot::default()).collect();
        for round in 0..20 {
            for number in 50..1000 {
                keep(&cache, &slots, number);
                // Each of some comes ten times as often as any of the others.
                keep(&cache, &slots, number % 47);
            }
            let there = slots[..47].iter().filter(|slot| slot.get().is_some()).count();
            assert!(round < 3 || there >= 44, "round {round}: {there}");
        }
    }

    #[test]
    fn what_no_slot_finds_goes_at_once() {
        let cache = Cache::new(100_000);
        let slots: Vec<Slot<usize>> = (0..50).map(|_| Slot::default()).collect();
        let goes: Vec<Slot<usize>> = (0..50).map(|_| Slot::default()).collect();
        (0..50).for_each(|number| keep(&cache, &slots, number));
        (0..50).for_each(|number| keep(&cache, &goes, number));
        drop(goes);
        assert_eq!(cache.stats().bytes, 100_000);
        cache.sweep();
        assert_eq!((cache.stats().bytes, cache.stats().dropped), (50_000, 50));
        assert!(slots.iter().all(|slot| slot.get().is_some()));
    }

    #[test]
    fn what_is_in_use_is_found_although_it_was_given_up() {
        let cache = Cache::new(1000);
        let (slot, other) = (Slot::default(), Slot::default());
        let held = cache.keep(&slot, 7, 1000);
        cache.keep(&other, 8, 2000);
        assert_eq!(cache.stats().bytes, 0);
        assert_eq!(cache.get(&slot).map(|kept| **kept), Some(**held));
        drop(held);
        assert!(cache.get(&slot).is_none());
    }
}
