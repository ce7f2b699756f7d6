//! The shapes that were asked for lately.
//!
//! Owns: [`Cached`], where a segment keeps the shapes of a group as long as they are among the recent ones of the
//! process. Every query over texts needs them, and reading them takes as long as asking a hundred thousand texts.
//! Invariant: what is kept takes [`CACHE_BYTES_MAX`] at most, besides what is in use.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Shapes;

/// Most memory of shapes that nobody uses at present. Some hundred thousand texts have a megabyte of them.
const CACHE_BYTES_MAX: usize = 32 << 20;

/// The shapes of all segments that were read last, and how much they take.
static RECENT: Mutex<(VecDeque<Arc<Shapes>>, usize)> = Mutex::new((VecDeque::new(), 0));

/// The shapes of a group, if they are still known.
#[derive(Debug, Default)]
pub(crate) struct Cached(Mutex<Weak<Shapes>>);

impl Cached {
    /// The shapes, if they are known.
    pub(crate) fn get(&self) -> Option<Arc<Shapes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Remembers shapes.
    pub(crate) fn set(&self, shapes: &Arc<Shapes>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(shapes);
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        recent.1 += shapes.memory_bytes();
        recent.0.push_back(Arc::clone(shapes));
        while recent.1 > CACHE_BYTES_MAX && recent.0.len() > 1 {
            if let Some(oldest) = recent.0.pop_front() {
                recent.1 -= oldest.memory_bytes();
            }
        }
    }
}

impl Shapes {
    /// Reads the shapes of a group from their bytes, and remembers them.
    pub(crate) fn read(plain: &[u8]) -> crate::error::Decoded<Arc<Self>> {
        Self::parse(plain).map(Arc::new)
    }
}
