//! What became of each file: whether all of it that was read ended somehow, or is under way.
//!
//! Owns: the books of files, noticing bytes of which nobody knows what became.
//! Does not own: the books of records ([`Ledger`](sawyer_telemetry::Ledger)), the ranges themselves (`offsets`).
//! Invariant: of a file at rest all that was read is among what ended. What is seen once may be on its way between two
//! places, so it counts when it is still so at the next sweep.

use std::sync::Arc;

use sawyer_model::{SeqRange, SourceId};
use sawyer_telemetry::{SourceAnswer, SourceBook};

use super::super::file::{Phase, TailFile};
use super::Reader;

/// Parts of one file that are told of at most; there is normally one.
const PARTS_TOLD_MAX: usize = 100;

impl Reader {
    /// Answers whoever asks about files.
    pub(super) fn answer(&self) {
        let waiting = self.questions.take();
        if waiting.is_empty() {
            return;
        }
        let answer = Arc::new(self.account());
        waiting.into_iter().for_each(|tell| tell(Arc::clone(&answer)));
    }

    /// The books of all sources that are known, and of files of which nothing was sent yet.
    fn account(&self) -> SourceAnswer {
        let known = self.offsets.iter().map(|(source, progress)| {
            let file = self.by_source.get(&source).and_then(|id| self.files.get(id));
            SourceBook {
                source,
                path: file.map_or_else(|| progress.group.clone(), path_of),
                length: file.and_then(length),
                read: file.and_then(|file| file.known.as_ref()).map(|known| known.offset),
                ended: progress.durable().take(PARTS_TOLD_MAX).map(|part| (part.start, part.end)).collect(),
                left_out: self.offsets.left_out(source),
                under_way: progress.in_flight,
                unaccounted: file.map_or(0, |file| file.unaccounted),
            }
        });
        let new = self.files.values().filter_map(|file| {
            let known = file.known.as_ref()?;
            let is_new = self.offsets.get(known.source).is_none();
            is_new.then(|| SourceBook {
                source: known.source,
                path: path_of(file),
                length: length(file),
                read: Some(known.offset),
                ended: Vec::new(),
                left_out: Vec::new(),
                under_way: 0,
                unaccounted: file.unaccounted,
            })
        });
        let (others, over) = self.offsets.left_out_of_others();
        SourceAnswer { books: known.chain(new).collect(), others, over }
    }

    /// Looks whether something that was read is nowhere.
    pub(super) fn check_account(&mut self) {
        // Most files have nothing to tell, and had nothing at the last sweeps.
        let told = |file: &TailFile, bytes| bytes > 0 || file.nowhere > 0 || file.unaccounted > 0;
        let known = self.files.values().filter_map(|file| file.known.as_ref());
        let carried: Vec<_> = known.flat_map(|known| known.assembler.carried()).collect();
        let all = self.files.iter().map(|(id, file)| (*id, file, self.read_and_nowhere(file, &carried)));
        let open: Vec<_> =
            all.filter(|(_, file, bytes)| told(file, *bytes)).map(|(id, _, bytes)| (id, bytes)).collect();
        let mut sum = 0;
        for (id, bytes) in open {
            let Some(file) = self.files.get_mut(&id) else { continue };
            let before = std::mem::replace(&mut file.nowhere, bytes);
            let told = std::mem::replace(&mut file.unaccounted, before.min(bytes));
            sum += file.unaccounted;
            if file.unaccounted > told
                && let Some(held_back) = self.account_trouble.pass(self.context.clock.now())
            {
                let (input, path, bytes) = (&self.context.name, file.path().display(), file.unaccounted);
                tracing::error!(
                    input,
                    %path,
                    bytes,
                    held_back,
                    "the ledger of a file does not close: it was read, and it is not known what became of it; this is a \
                     fault of Sawyer's"
                );
            }
        }
        sum += self.check_fates();
        self.meters.unaccounted.set(i64::try_from(sum).unwrap_or(i64::MAX));
    }

    /// Looks whether more is told of single files than of all; gives the bytes, or 1 if it is records alone.
    fn check_fates(&mut self) -> u64 {
        let (_, over) = self.offsets.left_out_of_others();
        if !over.is_zero()
            && let Some(held_back) = self.account_trouble.pass(self.context.clock.now())
        {
            let (input, records, bytes) = (&self.context.name, over.records, over.bytes);
            tracing::error!(
                input,
                records,
                bytes,
                held_back,
                "the ledgers of single files say that more records were left out than the input's; this is a fault of Sawyer's"
            );
        }
        over.bytes.max(u64::from(!over.is_zero()))
    }

    /// Bytes of a file at rest that were read, did not end in any way, and are not `carried` by a newer file.
    fn read_and_nowhere(&self, file: &TailFile, carried: &[(SourceId, SeqRange)]) -> u64 {
        let Some(known) = file.known.as_ref().filter(|_| !file.unwanted) else { return 0 };
        let rests = matches!(file.phase, Phase::Idle | Phase::Done) && !known.assembler.holds();
        if !rests || self.batch.covered().iter().any(|part| part.source == known.source) {
            return 0;
        }
        let Some(progress) = self.offsets.get(known.source).filter(|progress| progress.in_flight == 0) else {
            return 0;
        };
        let carried = carried.iter().filter(|(source, _)| *source == known.source).map(|(_, range)| *range);
        let carried: Vec<SeqRange> = carried.collect();
        let elsewhere = |part: SeqRange| carried.iter().map(|range| common_bytes(part, *range)).sum::<u64>();
        let missing = progress.acked.missing(SeqRange::new(0, known.offset));
        missing.map(|part| (part.end - part.start).saturating_sub(elsewhere(part))).sum()
    }
}

fn common_bytes(one: SeqRange, other: SeqRange) -> u64 {
    one.end.min(other.end).saturating_sub(one.start.max(other.start))
}

fn path_of(file: &TailFile) -> Box<str> {
    file.path().to_string_lossy().into()
}

fn length(file: &TailFile) -> Option<u64> {
    (!file.found.gzip).then(|| file.found.stat.bytes.max(file.seen.0))
}
