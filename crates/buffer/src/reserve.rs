//! Room in a full buffer for what is lost where it is.
//!
//! Owns: the handle of those who put in.
//! Does not own: how much room there is (`settings`), who is let in (`state`).
//! Invariant: a handle keeps no buffer open, and whoever drops it is in no danger any more.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::Engine;

/// The way of one who puts something into a buffer to say that some of it will be lost where it is, and to hear that
/// nothing else is to be put in meanwhile.
#[derive(Debug)]
pub struct Reserve {
    engine: Weak<Engine>,
    in_danger: AtomicBool,
}

impl Reserve {
    pub(crate) fn new(engine: Weak<Engine>) -> Self {
        Self { engine, in_danger: AtomicBool::new(false) }
    }

    /// Says whether there is something that will be lost if it is not put in.
    pub fn set_in_danger(&self, in_danger: bool) {
        if self.in_danger.swap(in_danger, Ordering::Relaxed) == in_danger {
            return;
        }
        let Some(engine) = self.engine.upgrade() else { return };
        let mut state = engine.state();
        if in_danger {
            state.in_danger += 1;
        } else {
            state.in_danger -= 1;
        }
        engine.tell_spills(&state);
        drop(state);
        engine.work.raise();
    }

    /// Whether the buffer is full, and goes on to take what is in danger: nothing else is to be put in, which would
    /// take the room of that.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.engine.upgrade().is_some_and(|engine| *engine.spills.borrow())
    }

    /// Waits until it is not, or the buffer is closed.
    pub async fn until_unused(&self) {
        let Some(mut spills) = self.engine.upgrade().map(|engine| engine.spills.subscribe()) else { return };
        // An error means that the buffer is gone.
        let _ = spills.wait_for(|spills| !spills).await;
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.set_in_danger(false);
    }
}
