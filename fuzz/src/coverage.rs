//! Which code was reached, as LLVM's `sancov` counts it.
//!
//! Owns: the arrays of counters that every instrumented crate hands in before `main`.
//! Invariant: counters are read and cleared between two runs of a target, by the thread that runs it.
#![expect(unsafe_code, reason = "the counters belong to code that the compiler made")]

use std::slice;
use std::sync::Mutex;

/// Where counters lie: first and number.
static ARRAYS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called for each instrumented crate before `main`, by what the compiler put there.
// SAFETY: the name is LLVM's, and nothing else in the program has it.
#[unsafe(no_mangle)]
pub extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let (start, stop) = (start as usize, stop as usize);
    if let Ok(mut arrays) = ARRAYS.lock()
        && !arrays.contains(&(start, stop - start))
        && stop > start
    {
        arrays.push((start, stop - start));
    }
}

/// What was ever reached.
#[derive(Debug, Default)]
pub struct Seen(Vec<u8>);

impl Seen {
    /// How many places there are; 0 if nothing is instrumented.
    #[must_use]
    pub fn places() -> usize {
        ARRAYS.lock().map_or(0, |arrays| arrays.iter().map(|(_, count)| count).sum())
    }

    /// How many of them were reached.
    #[must_use]
    pub fn reached(&self) -> usize {
        self.0.iter().filter(|seen| **seen != 0).count()
    }

    /// Takes note of what the last run reached, and clears the counters. Says whether a place was reached that was not
    /// before, or one more often by about a power of two.
    pub fn note(&mut self) -> bool {
        let Ok(arrays) = ARRAYS.lock() else { return false };
        self.0.resize(arrays.iter().map(|(_, count)| count).sum(), 0);
        let (mut at, mut new) = (0, false);
        for (start, count) in arrays.iter() {
            // SAFETY: the compiler's code said that this many counters lie there, for as long as the program runs. It
            // changes them from the thread that runs the target, which is this one.
            let counters = unsafe { slice::from_raw_parts_mut(*start as *mut u8, *count) };
            for (counter, seen) in counters.iter_mut().zip(&mut self.0[at..]) {
                if *counter != 0 {
                    let bit = 1 << (u8::BITS - counter.leading_zeros()).saturating_sub(1);
                    new |= *seen & bit == 0;
                    *seen |= bit;
                    *counter = 0;
                }
            }
            at += count;
        }
        new
    }
}
