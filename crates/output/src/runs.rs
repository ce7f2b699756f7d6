//! Records that are delivered many at a time.
//!
//! Owns: cutting a batch into runs of records that are written and compressed together, while they are in the cache of
//! a core; what becomes of a run whose records do not all fare the same.
//! Does not own: how a record is written ([`Rows`]), which runs make a request (`delivery`).
//! Invariant: a run has at least one record, and is within the limits of a request unless it is a single record.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use sawyer_delivery::http::{Compression, PIECE_BYTES, Piece};
use sawyer_delivery::{Item, Limits, Origin, Part, Payload};
use sawyer_model::{Ack, Batch, Count};

use crate::deliver::Maker;

#[cfg(test)]
mod tests;

/// How records look at a target that takes them one behind the other.
pub(crate) trait Rows: Send + Sync + 'static {
    /// Appends records of a batch, the ones with these numbers. `done` is called behind each, and may take away what
    /// was appended so far.
    fn write(
        &self,
        batch: &Batch,
        records: Range<usize>,
        out: &mut Vec<u8>,
        done: &mut dyn FnMut(&mut Vec<u8>),
    );

    /// What stands between two records.
    fn between(&self) -> &'static [u8] {
        b""
    }
}

/// Makes items of many records each.
pub(crate) struct InRuns {
    form: Arc<dyn Rows>,
    compression: Compression,
}

/// Records of a batch, as they stand in a request.
pub(crate) struct Run {
    form: Arc<dyn Rows>,
    batch: Arc<Batch>,
    records: Range<usize>,
    /// What is sent; none for a record of a run that was taken apart, which is written when it is sent, so that what
    /// is tried again takes no memory beside its batch.
    piece: Option<Piece>,
}

thread_local! {
    /// Where records are written before they are compressed.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes of scratch that a thread keeps; it takes more for larger records only.
const SCRATCH_BYTES_MAX: usize = 4 * PIECE_BYTES;

impl Run {
    /// What is sent.
    pub(crate) fn piece(&self) -> Piece {
        let written = || {
            let mut out = Vec::new();
            self.form.write(&self.batch, self.records.clone(), &mut out, &mut |_| ());
            Piece::plain(out.into())
        };
        self.piece.clone().unwrap_or_else(written)
    }
}

impl Payload for Run {
    fn count(&self) -> usize {
        self.records.len()
    }

    fn held_bytes(&self) -> Option<usize> {
        Some(self.piece.as_ref().map_or(0, Piece::held_bytes))
    }

    fn apart(self) -> Vec<Part<Self>> {
        let Self { form, batch, records, piece: _ } = self;
        let (mut parts, mut at) = (Vec::with_capacity(records.len()), records.start);
        form.write(&batch, records.clone(), &mut Vec::new(), &mut |out| {
            let (form, bytes) = (Arc::clone(&form), out.len());
            let record = Origin { batch: Arc::clone(&batch), at: at as u32 };
            let worth = Count::new(1, record.record().range().len());
            let payload = Self { form, batch: Arc::clone(&batch), records: at..at + 1, piece: None };
            parts.push(Part { payload, bytes, record: Some(record), worth });
            at += 1;
            out.clear();
        });
        parts
    }
}

impl InRuns {
    pub(crate) fn new(form: impl Rows, compression: Compression) -> Self {
        Self { form: Arc::new(form), compression }
    }
}

impl Maker for InRuns {
    type Payload = Run;

    fn items(&self, batch: &Arc<Batch>, limits: &Limits, duty: &Ack) -> (Vec<Item<Run>>, usize) {
        let Self { form, compression } = self;
        let bytes_max = limits.request_bytes_max.min(PIECE_BYTES);
        let between = form.between();
        let mut items = Vec::new();
        let mut written = 0;
        let mut close = |records: Range<usize>, bytes: &[u8]| {
            let own = records.clone().map(|at| batch.get(at).range().len()).sum();
            let worth = Count::new(records.len() as u64, own);
            let only = (records.len() == 1).then_some(records.start as u32);
            let record = only.map(|at| Origin { batch: Arc::clone(batch), at });
            let piece = Some(Piece::of(bytes, *compression));
            let payload = Run { form: Arc::clone(form), batch: Arc::clone(batch), records, piece };
            written += bytes.len();
            items.push(Item {
                bytes: bytes.len(),
                payload,
                partition: 0,
                record,
                ack: duty.clone().worth(worth),
            });
        };
        SCRATCH.with_borrow_mut(|out| {
            // A writer that panicked left something there, of whatever output the thread served.
            out.clear();
            // The run's first record, the one that is being written, and where the one before that ends.
            let (mut first, mut at, mut end) = (0, 0, 0);
            form.write(batch, 0..batch.len(), out, &mut |out| {
                let full = out.len() > bytes_max || at - first >= limits.request_items_max;
                if full && at > first {
                    close(first..at, &out[..end]);
                    out.drain(..end + between.len());
                    first = at;
                }
                at += 1;
                end = out.len();
                out.extend_from_slice(between);
            });
            if at > first {
                close(first..at, &out[..end]);
            }
            out.clear();
            out.shrink_to(SCRATCH_BYTES_MAX);
        });
        (items, written)
    }
}
