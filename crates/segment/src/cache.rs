//! What was read of segments and checked, kept for the next question.
//!
//! Owns: [`Cache`], which all segments of a store share, its bound, and which of what it keeps goes first; [`Slot`],
//! where a segment finds again what it read.
//! Does not own: what is read (`segment`). Merging and verifying read past it.
//! Invariant: what is kept and not in use takes at most the bytes that the cache was made for.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use xxhash_rust::xxh3::xxh3_64;

/// What a cache keeps if nobody says how much: enough for the texts of a million records.
pub const CACHE_BYTES_DEFAULT: usize = 64 << 20;

/// What each thing takes besides its own bytes, about.
const KEPT_BYTES: usize = 128;

/// What was read of segments lately. Cloning gives the same cache.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    bytes_max: usize,
    all: Mutex<All>,
    found: AtomicU64,
    read: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct All {
    kept: Vec<(Arc<dyn Keepable>, usize)>,
    bytes: usize,
    /// How often something was asked whether it may go.
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
    /// How much of that was given up again.
    pub dropped: u64,
}

/// Where something is found as long as the cache keeps it, or somebody uses it.
pub(crate) struct Slot<T>(Mutex<Weak<Kept<T>>>);

/// Something that the cache may keep.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    value: T,
    used: AtomicBool,
}

/// Something up to this part of the bound is kept even if others have to go for it, however much is read but once.
const SMALL_PART: usize = 64;

trait Keepable: Send + Sync {
    /// Whether it was used since this was last asked.
    fn take_used(&self) -> bool;
}

impl<T: Send + Sync> Keepable for Kept<T> {
    fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

impl<T> Kept<T> {
    pub(crate) fn new(value: T) -> Arc<Self> {
        Arc::new(Self { value, used: AtomicBool::new(false) })
    }

    /// Says that it was used, by somebody who did not look it up.
    pub(crate) fn note_use(&self) {
        self.used.store(true, Ordering::Relaxed);
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Slot<T> {
    fn get(&self) -> Option<Arc<Kept<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(Weak::new()))
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
        let (found, read, dropped) = Default::default();
        Self(Arc::new(Shared { bytes_max, all: Mutex::default(), found, read, dropped }))
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

    fn all(&self) -> std::sync::MutexGuard<'_, All> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so much can be kept besides what is there, or is little enough that others may go for it.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.0.bytes_max / SMALL_PART || self.all().bytes.saturating_add(bytes) <= self.0.bytes_max
    }

    /// What a slot had last, if it is still there.
    pub(crate) fn get<T>(&self, slot: &Slot<T>) -> Option<Arc<Kept<T>>> {
        let kept = slot.get()?;
        kept.used.store(true, Ordering::Relaxed);
        self.0.found.fetch_add(1, Ordering::Relaxed);
        Some(kept)
    }

    /// Keeps what was read for a slot, which takes about so many bytes; not if it alone is more than there is room for.
    pub(crate) fn keep<T: Send + Sync + 'static>(
        &self,
        slot: &Slot<T>,
        value: T,
        bytes: usize,
    ) -> Arc<Kept<T>> {
        let kept = Kept::new(value);
        *slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&kept);
        self.0.read.fetch_add(1, Ordering::Relaxed);
        let bytes = bytes.saturating_add(KEPT_BYTES);
        if bytes > self.0.bytes_max {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return kept;
        }
        let mut given_up = Vec::new();
        {
            let mut all = self.all();
            all.kept.push((Arc::clone(&kept) as Arc<dyn Keepable>, bytes));
            all.bytes += bytes;
            all.make_room(self.0.bytes_max, &mut given_up);
        }
        self.0.dropped.fetch_add(given_up.len() as u64, Ordering::Relaxed);
        kept
    }

    /// What a slot has, or else what is read now.
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
        Ok(self.keep(slot, value, bytes))
    }
}

impl All {
    /// Gives up what was not used lately, whichever comes first at random: so a question that goes through more than
    /// there is room for finds a part of it again the next time, where giving up the oldest would leave nothing. What others
    /// hold, such as the shapes that portions are made of, stays and counts until they let go of it: giving it up would
    /// free nothing. What no slot finds any more goes even if it was used.
    fn make_room(&mut self, bytes_max: usize, given_up: &mut Vec<Arc<dyn Keepable>>) {
        let mut held = 0;
        while self.bytes > bytes_max && held < 2 * self.kept.len() {
            self.next = self.next.wrapping_add(1);
            let random = xxh3_64(&self.next.to_le_bytes());
            let at = ((u128::from(random) * self.kept.len() as u128) >> 64) as usize;
            let kept = &self.kept[at].0;
            let is_lost = Arc::weak_count(kept) == 0;
            if Arc::strong_count(kept) > 1 {
                held += 1;
            } else if is_lost || !kept.take_used() {
                held = 0;
                let (kept, bytes) = self.kept.swap_remove(at);
                self.bytes -= bytes;
                given_up.push(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(cache: &Cache, slots: &[Slot<usize>], number: usize) {
        let kept = cache.get_or_read(&slots[number], |_| 1000 - KEPT_BYTES, || Ok::<_, ()>(number));
        assert_eq!(**kept.unwrap(), number);
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
        assert!(cache.has_room(10_000 / SMALL_PART) && !cache.has_room(10_000 / SMALL_PART + 1));
        let stats = cache.stats();
        assert_eq!(stats.read - stats.dropped, 10);
    }

    #[test]
    fn a_part_is_found_again_even_if_all_is_more_than_there_is_room_for() {
        let cache = Cache::new(10_000);
        let slots: Vec<Slot<usize>> = (0..15).map(|_| Slot::default()).collect();
        (0..100).for_each(|_| (0..15).for_each(|number| keep(&cache, &slots, number)));
        assert!(cache.stats().found > 300, "{:?}", cache.stats());
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
