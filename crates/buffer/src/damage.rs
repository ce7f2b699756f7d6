//! What was found damaged, for people.
//!
//! Owns: the list. Does not own: noticing (`read`).
//! Invariant: each place is logged once, when it is added.

use parking_lot::Mutex;

use crate::entry::Lane;

/// Most places kept; further ones are only logged and counted.
const DAMAGE_MAX: usize = 100;

/// A place in a file that is not as it was written. It is skipped, and the rest goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The lane whose file it is.
    pub lane: Lane,
    /// The file, relative to the folder of the buffer.
    pub path: String,
    /// Where it begins.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Records lost, where that can still be told.
    pub records: Option<u32>,
    /// What is amiss.
    pub reason: String,
}

/// The places since the buffer was opened.
#[derive(Debug, Default)]
pub(crate) struct DamageLog(Mutex<Vec<Damage>>);

impl DamageLog {
    pub(crate) fn add(&self, output: &str, damage: Damage) {
        let Damage { path, offset, bytes, records, reason, .. } = &damage;
        tracing::error!(output, path, offset, bytes, records, "the buffer is damaged: {reason}");
        let mut list = self.0.lock();
        if list.len() < DAMAGE_MAX {
            list.push(damage);
        }
    }

    pub(crate) fn list(&self) -> Vec<Damage> {
        self.0.lock().clone()
    }
}
