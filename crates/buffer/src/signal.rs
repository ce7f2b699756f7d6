//! Waking the thread that makes the turns.
//!
//! Invariant: a signal raised while nobody waits is not lost.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Says that there is work, or that there will be no more.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    flags: Mutex<Flags>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Flags {
    work: bool,
    stop: bool,
}

impl Signal {
    pub(crate) fn raise(&self) {
        let mut flags = self.flags.lock();
        if !std::mem::replace(&mut flags.work, true) {
            self.changed.notify_all();
        }
    }

    pub(crate) fn stop(&self) {
        self.flags.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits for work, at most this long; false if there will be no more.
    pub(crate) fn wait(&self, longest: Option<Duration>) -> bool {
        let deadline = longest.map(|longest| Instant::now() + longest);
        let mut flags = self.flags.lock();
        while !flags.work && !flags.stop {
            match deadline {
                None => self.changed.wait(&mut flags),
                Some(deadline) => {
                    if self.changed.wait_until(&mut flags, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        flags.work = false;
        !flags.stop
    }
}
