//! How far an input that reads from AWS came, over restarts.
//!
//! Owns: opening what was saved, and when it is saved. Does not own: what is in it (`offsets`, and the inputs).
//! Invariant: what became of records is booked in the same save in which they count as read, so that a kill makes neither
//! of it twice.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::Context;

use crate::offsets::{Found, Offsets};

/// See the head of the module.
#[derive(Debug)]
pub(crate) struct KeptOffsets {
    offsets: Mutex<Offsets>,
    input: String,
}

impl KeptOffsets {
    /// What is in the input's folder, without what was not heard of for so long.
    ///
    /// # Errors
    /// `Invalid` if the folder cannot be read or written.
    pub(crate) fn open(context: &Context, forget_after: Duration) -> Result<Self, Error> {
        let (now, input) = (context.clock.now(), context.name.to_string());
        let (mut offsets, found) = Offsets::open(&context.state, now)
            .map_err(|error| Error::new(ErrorKind::Invalid, "read how far it came").because(error))?;
        if let Found::Damaged(why, aside) = found {
            tracing::error!(input, aside, "how far it came cannot be read and was set aside: {why}");
        }
        offsets.keep_books(context.metrics.ledger(), &context.name);
        offsets.forget(now, forget_after);
        Ok(Self { offsets: Mutex::new(offsets), input })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock()
    }

    /// Saves if it is time to, or now.
    pub(crate) fn save(&self, now: bool) {
        let mut offsets = self.offsets.lock();
        let due = offsets.save_due().is_some_and(|due| now || due <= Instant::now());
        if due && let Err(error) = offsets.save() {
            tracing::warn!(input = self.input, "save how far it came: {error}");
        }
    }
}
