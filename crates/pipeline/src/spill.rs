//! What is lost where it is goes on into buffers that are full.
//!
//! Owns: an input's way to say that it has such lines, for all buffers that its records come to.
//! Does not own: the room for them (`buffer`), which lines these are (`input`).
//! Invariant: while a buffer takes them beyond its bound, no input that leads to it puts anything else in, save what
//! is on its way already.
//!
//! Files are a buffer too: while outputs take nothing, lines wait in them. But whoever writes files removes the oldest.
//! Records keep their order through pipelines, so those in danger cannot pass the others in there; instead the buffers
//! let everything in that comes, and inputs send only those.

use std::sync::Arc;

use sawyer_buffer::Reserve;

/// The room for lines in danger behind an input.
#[derive(Clone, Debug, Default)]
pub struct Spill(Arc<Vec<Reserve>>);

impl Spill {
    /// In these buffers.
    #[must_use]
    pub fn into_buffers(reserves: Vec<Reserve>) -> Self {
        Self(Arc::new(reserves))
    }

    /// Says whether the input has lines that will be lost where they are.
    pub fn set_in_danger(&self, in_danger: bool) {
        self.0.iter().for_each(|reserve| reserve.set_in_danger(in_danger));
    }

    /// Whether only such lines are to be sent.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.iter().any(Reserve::is_used)
    }

    /// Waits until it is not on.
    pub(crate) async fn over(&self) {
        while let Some(used) = self.0.iter().find(|reserve| reserve.is_used()) {
            used.until_unused().await;
        }
    }
}
