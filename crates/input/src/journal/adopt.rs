//! At the very first start: what of the journal that is there need not be read.
//!
//! Owns: which entries were passed on by somebody who came to a cursor.
//! Does not own: reading cursors (`positions`).
//! Invariant: what a cursor does not surely cover is read: rather twice than not at all.
//!
//! A cursor names an entry by its sequence and its number in it. Whoever came there had read, in the order in which systemd
//! merges the files of a machine, all of that sequence up to it and of others what was written before. Which others these are
//! tells the folder: files of another machine, or of a namespace, lie in one of another name, and are not read along.

use sawyer_codec::journal::EntryName;
use sawyer_model::SeqRange;

use super::file::JournalFile;
use super::reader::Reader;
use crate::positions::tell_unknown;

impl Reader {
    /// Goes on behind what others passed on, once the first sweep has found all files. Where there is no cursor, `read_from`
    /// holds.
    pub(super) fn adopt(&mut self) {
        let cursors = std::mem::take(&mut self.cursors);
        for (from, cursor) in &cursors {
            let (input, job, entry) = (&self.context.name, &cursor.job, cursor.entry);
            if self.files.values().any(|file| is_in(&entry, file)) {
                tracing::info!(input, job, %entry, "goes on where {from} was in the journal");
            } else {
                self.from_end = false;
                tell_unknown(
                    &self.context,
                    *from,
                    &format!("no file has the sequence of its cursor={entry}"),
                );
            }
        }
        let files: Vec<&JournalFile> = self.files.values().collect();
        let mut passed = Vec::new();
        for file in &files {
            // A cursor holds for all files beside one of its sequence; of several that which was least far.
            let beside = |cursor: &EntryName| {
                files.iter().any(|other| other.folder == file.folder && is_in(cursor, other))
            };
            let ends = cursors.iter().filter(|(_, cursor)| beside(&cursor.entry)).map(|(_, cursor)| {
                file.passed_to(&cursor.entry).unwrap_or_else(|error| {
                    self.tell(&error, "how far another collector had come is not known");
                    0
                })
            });
            let all = self.from_end.then(|| file.header().tail_seqnum.saturating_add(1));
            if let Some(end) = ends.min().or(all).filter(|end| *end > 0) {
                passed.push((file.source, file.header().machine_id, SeqRange::new(0, end)));
            }
        }
        for (source, machine, range) in &passed {
            self.offsets.edit(*source).acked.insert(*range);
            self.go_on_from(*source, *machine);
        }
        let sources: Vec<_> = passed.iter().map(|(source, ..)| *source).collect();
        self.rewind_files(&sources);
    }
}

/// Whether a file is of the sequence that a cursor is in.
fn is_in(cursor: &EntryName, file: &JournalFile) -> bool {
    file.header().seqnum_id == cursor.seqnum_id
}
