//! Which files are removed next though not all of them is safe, and what that means for whose turn it is.
//!
//! Owns: how near a file is to its removal, the order of turns, what the buffers behind are told.
//! Does not own: the room that these have for lines in danger ([`Spill`](sawyer_pipeline::Spill)).
//! Invariant: while a buffer takes beyond its bound what is in danger, nothing else is read.
//!
//! A file that was removed can be read as long as it is open, but not after a restart; so what is left of it is in
//! danger as well.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::super::file::{Phase, TailFile};
use super::super::flight::Flight;
use super::super::watch::FileId;
use super::Reader;

/// Files that wait for their turn and are looked at for the one that is removed next. More would cost more than they
/// are read in.
const READY_LOOKED_AT_MAX: usize = 128;

/// How often files are looked at for those in danger, while something is not safe.
pub(super) const DANGER_INTERVAL: Duration = Duration::from_millis(250);

impl Reader {
    /// Tells the buffers whether lines are in danger.
    pub(super) fn tell_danger(&mut self, flight: &Flight) {
        let now = Instant::now();
        let all_safe = self.ready.is_empty() && flight.is_over();
        if now < self.danger_at && !(all_safe && self.in_danger > 0) {
            return;
        }
        self.danger_at = now + DANGER_INTERVAL;
        let in_danger = if all_safe { 0 } else { self.count_in_danger() };
        if in_danger == self.in_danger {
            return;
        }
        self.in_danger = in_danger;
        self.meters.files_in_danger.set(in_danger as i64);
        flight.spill().set_in_danger(in_danger > 0);
        self.progress.set_in_danger(in_danger > 0);
    }

    fn count_in_danger(&self) -> usize {
        let mut in_danger = 0;
        for group in self.groups.values() {
            let mut newer = 0;
            for file in group.iter().rev().filter_map(|id| self.files.get(id)) {
                in_danger += usize::from(self.is_removed_next(file, newer) && self.is_unsafe(file));
                newer += usize::from(file.phase != Phase::Alias);
            }
        }
        in_danger
    }

    /// Whether it is gone already, or will be with the next rotation, having so many newer ones behind it. Where a log
    /// has one file only, that is always so of the one that is written, and no sign of anything.
    fn is_removed_next(&self, file: &TailFile, newer: usize) -> bool {
        file.gone || !file.is_live() && newer + 1 >= self.settings.files_kept as usize
    }

    /// Whether something of it is not durable at the next hop, and can be by being read.
    fn is_unsafe(&self, file: &TailFile) -> bool {
        let is_over = |known: &super::super::file::Known| self.offsets.is_over(known.source, known.offset);
        let on_its_way = !file.unwanted && !file.known.as_ref().is_none_or(is_over);
        file.phase != Phase::Failed && file.unread() > 0 || on_its_way
    }

    /// Whose turn it is. All take turns; but every second one goes to the log whose oldest file that waits has most
    /// files of the log behind it, if there is one, because that is removed next. While buffers spill, only files that
    /// are removed next have turns.
    pub(super) fn next_ready(&mut self, spills: bool) -> Option<FileId> {
        if spills {
            return self.next_in_danger();
        }
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(2) || self.ready.len() < 2 {
            return self.ready.pop_front();
        }
        let danger = |id: &FileId| {
            let file = self.files.get(id).filter(|file| !file.is_live())?;
            Some(self.newer_count(*id, file))
        };
        let looked_at = self.ready.iter().take(READY_LOOKED_AT_MAX).enumerate();
        let most = looked_at.filter_map(|(at, id)| Some((danger(id)?, Reverse(at)))).max();
        self.ready.remove(most.map_or(0, |(_, Reverse(at))| at))
    }

    fn next_in_danger(&mut self) -> Option<FileId> {
        let danger = |id: &FileId| {
            let file = self.files.get(id)?;
            let newer = self.newer_count(*id, file);
            self.is_removed_next(file, newer).then_some((file.gone, newer))
        };
        let all = self.ready.iter().enumerate();
        let (_, Reverse(at)) = all.filter_map(|(at, id)| Some((danger(id)?, Reverse(at)))).max()?;
        self.ready.remove(at)
    }

    fn newer_count(&self, id: FileId, file: &TailFile) -> usize {
        let group = self.groups.get(&file.found.group).map_or(&[][..], Vec::as_slice);
        let newer = group.iter().rev().take_while(|other| **other != id);
        newer.filter(|other| self.files.get(other).is_some_and(|other| other.phase != Phase::Alias)).count()
    }
}
