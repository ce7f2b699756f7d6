//! The simulated machine around the tree: power, faults, capacity, counts, dice.
//!
//! Owns: which operation fails or is the last one, and when the system writes back by itself.
//! Does not own: names (`tree`), bytes (`content`).
//! Invariant: without power nothing is read or changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind as Io};
use std::path::{Path, PathBuf};

use super::random::Random;
use super::tree::{NodeId, Tree};
use super::{Fault, SimCounts, SimSettings};
use crate::{Error, ErrorKind, Result};

/// How many of 100 files take part when the system writes back by itself. At 100, a file would seldom stay
/// unsynced for long enough to show that its sync is missing.
const WRITE_BACK_CHANCE_PERCENT: u8 = 20;

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: SimSettings,
    pub(super) random: Random,
    pub(super) tree: Tree,
    pub(super) counts: SimCounts,
    pub(super) locks: BTreeSet<NodeId>,
    pub(super) powered: bool,
    pub(super) read_only: bool,
    /// Number of the operation in the middle of which the power goes.
    pub(super) cut_at: Option<u64>,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) read_faults: BTreeMap<u64, Fault>,
    pub(super) file_faults: BTreeMap<PathBuf, Fault>,
}

/// What is to become of an operation.
enum Fate {
    Succeed,
    Fail(Io),
    /// The power goes before anybody hears of its end.
    Cut,
}

impl State {
    pub(super) fn new(random: Random, settings: SimSettings, tree: Tree) -> Self {
        Self {
            settings,
            random,
            tree,
            counts: SimCounts::default(),
            locks: BTreeSet::new(),
            powered: true,
            read_only: false,
            cut_at: None,
            faults: BTreeMap::new(),
            read_faults: BTreeMap::new(),
            file_faults: BTreeMap::new(),
        }
    }

    pub(super) fn check_power(&self, operation: &'static str, path: &Path) -> Result<()> {
        if self.powered { Ok(()) } else { Err(Error::new(ErrorKind::PowerLost, operation, path)) }
    }

    /// Runs an operation that changes nothing.
    pub(super) fn look<T>(
        &self,
        operation: &'static str,
        path: &Path,
        effect: impl FnOnce(&Self) -> Result<T, Io>,
    ) -> Result<T> {
        self.check_power(operation, path)?;
        effect(self).map_err(|kind| error(kind, operation, path))
    }

    /// Runs an operation that reads the bytes of a file.
    pub(super) fn read<T>(
        &mut self,
        operation: &'static str,
        path: &Path,
        effect: impl FnOnce(&Self) -> Result<T, Io>,
    ) -> Result<T> {
        self.check_power(operation, path)?;
        self.counts.reads += 1;
        match self.read_faults.get(&self.counts.reads).or_else(|| self.file_faults.get(path)) {
            Some(fault) => Err(error(fault.io_kind(), operation, path)),
            None => self.look(operation, path, effect),
        }
    }

    /// Runs an operation that changes something at once, such as an append or a rename. If the power is cut in
    /// it, the change is made in the page cache, so that any part of it may be found afterwards; if it is told
    /// to fail, `broken` happens instead.
    pub(super) fn change<T>(
        &mut self,
        operation: &'static str,
        path: &Path,
        effect: impl FnOnce(&mut Self) -> Result<T, Io>,
        broken: impl FnOnce(&mut Self, Io),
    ) -> Result<T> {
        let result = match self.next_fate(operation, path)? {
            Fate::Succeed => effect(self),
            Fate::Fail(kind) => {
                broken(self, kind);
                Err(kind)
            }
            Fate::Cut => {
                let _ = effect(self);
                return Err(self.cut(operation, path));
            }
        };
        self.write_back();
        result.map_err(|kind| error(kind, operation, path))
    }

    /// Runs an operation that promises durability. If it is told to fail or the power is cut in it, `broken`
    /// happens instead, which does any part of it.
    pub(super) fn sync<T>(
        &mut self,
        operation: &'static str,
        path: &Path,
        effect: impl FnOnce(&mut Self) -> Result<T, Io>,
        broken: impl FnOnce(&mut Self),
    ) -> Result<T> {
        let fate = self.next_fate(operation, path)?;
        self.counts.syncs += 1;
        match fate {
            Fate::Succeed => effect(self).map_err(|kind| error(kind, operation, path)),
            Fate::Fail(kind) => {
                broken(self);
                Err(error(kind, operation, path))
            }
            Fate::Cut => {
                broken(self);
                Err(self.cut(operation, path))
            }
        }
    }

    /// The disk after the power came back: of what was not durable, any part may be there.
    pub(super) fn after_power_loss(&mut self) -> Self {
        self.powered = false;
        let mut random = self.fork_random();
        let mut tree = self.tree.clone();
        tree.write_back(&mut random);
        for file in tree.files_mut() {
            file.content.write_back(&mut random, self.settings.tears_sectors);
        }
        tree.lose_power();
        Self::new(random, self.settings, tree)
    }

    /// The disk after the process died and another one took over: all that was written is there.
    pub(super) fn after_process_death(&mut self) -> Self {
        self.powered = false;
        let random = self.fork_random();
        let mut tree = self.tree.clone();
        tree.close_all();
        Self::new(random, self.settings, tree)
    }

    /// Bytes that may still be written.
    pub(super) fn available_bytes(&self) -> u64 {
        self.settings.capacity_bytes.saturating_sub(self.tree.used_bytes())
    }

    fn next_fate(&mut self, operation: &'static str, path: &Path) -> Result<Fate> {
        self.check_power(operation, path)?;
        self.counts.operations += 1;
        let number = self.counts.operations;
        Ok(if self.cut_at == Some(number) {
            Fate::Cut
        } else if let Some(fault) = self.faults.get(&number) {
            Fate::Fail(fault.io_kind())
        } else if self.read_only {
            Fate::Fail(Io::ReadOnlyFilesystem)
        } else {
            Fate::Succeed
        })
    }

    fn cut(&mut self, operation: &'static str, path: &Path) -> Error {
        self.powered = false;
        Error::new(ErrorKind::PowerLost, operation, path)
    }

    /// Now and then, writes some of what is not durable yet, as systems do unasked. Most is left, so that what
    /// was forgotten to sync early in a long run can still be missing at its end.
    fn write_back(&mut self) {
        if !self.random.percent(self.settings.write_back_percent) {
            return;
        }
        if self.random.percent(WRITE_BACK_CHANCE_PERCENT) {
            self.tree.write_back(&mut self.random);
        }
        for file in self.tree.files_mut() {
            if self.random.percent(WRITE_BACK_CHANCE_PERCENT) {
                file.content.write_back(&mut self.random, self.settings.tears_sectors);
            }
        }
    }

    fn fork_random(&mut self) -> Random {
        Random::new(self.random.next())
    }
}

impl Fault {
    fn io_kind(self) -> Io {
        match self {
            Self::Io => Io::Other,
            Self::Full => Io::StorageFull,
            Self::ReadOnly => Io::ReadOnlyFilesystem,
        }
    }
}

fn error(kind: Io, operation: &'static str, path: &Path) -> Error {
    Error::from_io(io::Error::from(kind), operation, path)
}
