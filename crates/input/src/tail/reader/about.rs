//! What others know about who speaks in a file, which may come later than its first lines.
//!
//! Owns: how long a file waits for it, files whose lines are not wanted.
//! Does not own: who is asked (`containers`).
//! Invariant: no line waits longer than the bound; a file that is not wanted holds up no other.

use std::sync::Arc;
use std::time::Instant;

use super::super::file::{Phase, TailFile};
use super::super::layout::Told;
use super::super::watch::FileId;
use super::{Reader, TICK};

/// Whether a file may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Granted,
    Later,
    Refused,
}

impl Reader {
    /// Asks about the speaker of a file, if there may be something new to hear.
    pub(super) fn ask_about(&self, file: &mut TailFile) -> Leave {
        let Some(about) = self.layout.about() else { return Leave::Granted };
        let known = file.known.as_mut().expect("it was identified");
        let version = about.version();
        if known.told == Some(version) && !file.unwanted {
            return Leave::Granted;
        }
        match about.tell(&known.identity) {
            Told::Nothing if known.told.is_none() && known.since.elapsed() < about.patience() => {
                return Leave::Later;
            }
            Told::Nothing => {}
            Told::Fields(fields, of_voices) => {
                known.speaker.set_identity(Arc::new(known.identity.with(fields)), of_voices);
            }
            Told::Unwanted => {
                file.unwanted = true;
                return Leave::Refused;
            }
        }
        known.told = Some(version);
        file.unwanted = false;
        Leave::Granted
    }

    /// Looks at a file again with the next tick.
    pub(super) fn look_again(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        file.phase = Phase::Warm(0);
        // Differs from what the next tick sees, so that it gives the file its turn.
        file.seen = (0, 0);
        if self.warm.is_empty() {
            self.tick_at = Instant::now() + TICK;
        }
        if !std::mem::replace(&mut file.listed, true) {
            self.warm.push(id);
        }
    }

    /// Leaves a file whose lines are not wanted until the next sweep, when it is asked for again.
    pub(super) fn leave_out(&mut self, id: FileId) {
        self.close(id);
        let Some(file) = self.files.get_mut(&id) else { return };
        file.phase = Phase::Failed;
        file.caught_up = true;
        let (gone, group) = (file.gone, Arc::clone(&file.found.group));
        if gone {
            self.remove(id);
        }
        self.wake_group(&group);
    }
}
