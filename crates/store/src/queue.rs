//! Batches that wait to be written.
//!
//! Owns: the waiting line, its bound, and waking the writer.
//! Does not own: writing (`commit`).
//! Invariant: whoever is in the line hears what became of the batch, also when the store closes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use sawyer_model::limits::BATCH_TEXT_BYTES_MAX;
use sawyer_model::{Batch, Error};

use crate::Appended;
use crate::error::{Result, StoreError};

/// Bytes that may wait. With more, senders wait or are told to come again.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Bytes that are written and synced together. More would make everybody in the group wait longer.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// Largest batch: whoever fills one closes it long before.
const BATCH_BYTES_MAX: usize = BATCH_TEXT_BYTES_MAX;

/// What a waiting batch counts at least, so that the number of tiny ones is bounded too.
const PENDING_BYTES_MIN: usize = 512;

/// Told what became of a batch.
pub(crate) type Done = Box<dyn FnOnce(Result<Appended, Error>) + Send>;

/// A batch that waits.
pub(crate) struct Pending {
    pub(crate) batch: Arc<Batch>,
    pub(crate) done: Done,
}

/// The line.
#[derive(Default)]
pub(crate) struct Queue {
    line: Mutex<Line>,
    arrived: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct Line {
    pending: VecDeque<Pending>,
    bytes: usize,
    closed: bool,
}

impl Pending {
    fn bytes(&self) -> usize {
        self.batch.bytes().max(PENDING_BYTES_MIN)
    }
}

impl Line {
    fn is_full(&self) -> bool {
        self.bytes >= WAITING_BYTES_MAX
    }
}

impl Queue {
    /// Adds a batch to the line. If it is full, waits for room if `may_wait`, else gives the batch back.
    pub(crate) fn push(&self, pending: Pending, may_wait: bool) -> Result<(), (StoreError, Pending)> {
        let bytes = pending.batch.bytes();
        if bytes > BATCH_BYTES_MAX {
            return Err((StoreError::TooLarge { bytes }, pending));
        }
        let mut line = self.line.lock();
        while may_wait && line.is_full() && !line.closed {
            self.room.wait(&mut line);
        }
        if line.closed {
            return Err((StoreError::Closed, pending));
        }
        if line.is_full() {
            return Err((StoreError::Busy { waiting: line.bytes }, pending));
        }
        line.bytes += pending.bytes();
        line.pending.push_back(pending);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes those first in line that are written together; at least one if there is any.
    pub(crate) fn take_group(&self) -> Vec<Pending> {
        let mut line = self.line.lock();
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(first) = line.pending.pop_front() {
            bytes += first.bytes();
            group.push(first);
            if line.pending.front().is_none_or(|next| bytes + next.bytes() > GROUP_BYTES_MAX) {
                break;
            }
        }
        line.bytes -= bytes;
        self.room.notify_all();
        group
    }

    /// Waits until there is a batch, or the line is closed; then a little longer for others, up to `delay`. Says
    /// whether there may be more to come.
    pub(crate) fn wait(&self, delay: Duration) -> bool {
        let mut line = self.line.lock();
        while line.pending.is_empty() && !line.closed {
            self.arrived.wait(&mut line);
        }
        let deadline = std::time::Instant::now() + delay;
        while !delay.is_zero() && !line.closed && line.bytes < GROUP_BYTES_MAX {
            if self.arrived.wait_until(&mut line, deadline).timed_out() {
                break;
            }
        }
        !(line.closed && line.pending.is_empty())
    }

    /// Lets nobody in any more. Those in line are still served.
    pub(crate) fn close(&self) {
        self.line.lock().closed = true;
        self.arrived.notify_all();
        self.room.notify_all();
    }
}
