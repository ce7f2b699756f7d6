//! A disk in memory that is as unkind as the rules at the head of the crate allow.
//!
//! Owns: what a loss of power leaves behind; faults on command; counts.
//! Does not own: what its users make of it.
//! Invariant: the same seed, settings and sequence of operations give the same bytes, errors and crashes (so
//! operations from several threads at once are deterministic only if their order is).
//!
//! To try every crash point of a piece of work: run it once and read [`SimDisk::counts`], then once for every
//! number up to that with [`SimDisk::cut_power_at`], and look at what [`SimDisk::power_loss`] leaves:
//!
//! ```
//! use std::path::Path;
//! use sawyer_disk::{SimDisk, SimSettings, read_all, write_atomic};
//!
//! let path = Path::new("state");
//! let run = |disk: &SimDisk| write_atomic(disk, path, b"old").and_then(|()| write_atomic(disk, path, b"new"));
//! let disk = SimDisk::new(1, SimSettings::default());
//! run(&disk).unwrap();
//! for last in 1..=disk.counts().operations {
//!     let disk = SimDisk::new(1, SimSettings::default());
//!     disk.cut_power_at(last);
//!     run(&disk).unwrap_err();
//!     match read_all(&disk.power_loss(), path, 100) {
//!         Ok(bytes) => assert!(bytes == b"old" || bytes == b"new"),
//!         Err(error) => assert!(error.is_not_found()),
//!     }
//! }
//! ```

mod content;
mod file;
mod pending;
mod random;
mod state;
mod tree;

use std::io::ErrorKind as Io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::file::{SimFile, SimLock};
use self::random::Random;
use self::state::State;
use self::tree::{NodeId, Tree};
use crate::path::{check_entry, check_inside};
use crate::{DirEntry, Disk, EntryKind, Error, File, Lock, Metadata, Result, Space};

/// A simulated disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    machine: Arc<Machine>,
}

/// How a simulated disk behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimSettings {
    /// Bytes that all files together may hold; names are free of charge.
    pub capacity_bytes: u64,
    /// Which unsynced changes of names may become durable before which others.
    pub entry_order: EntryOrder,
    /// After how many of 100 operations the system writes back some unsynced bytes and names unasked. 0 makes a
    /// loss of power choose only at its own moment; more brings out older versions of rewritten things.
    pub write_back_percent: u8,
    /// Whether an unsynced sector may be written in part. Drives promise that it is not; formats with
    /// checksums do not need the promise.
    pub tears_sectors: bool,
}

impl Default for SimSettings {
    /// 1 TiB, and otherwise as unkind as it gets.
    fn default() -> Self {
        Self {
            capacity_bytes: 1 << 40,
            entry_order: EntryOrder::Any,
            write_back_percent: 10,
            tears_sectors: true,
        }
    }
}

/// Which unsynced creations, renames and removals may become durable before which others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryOrder {
    /// Any, as long as they concern neither the same name nor the same file. POSIX promises no more.
    Any,
    /// Those in one directory in their order; between directories any.
    PerDirectory,
}

/// What an operation is told to fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error of the medium ([`ErrorKind::Other`](crate::ErrorKind::Other)).
    Io,
    /// No space ([`ErrorKind::Full`](crate::ErrorKind::Full)).
    Full,
    /// The file system went read-only ([`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)).
    ReadOnly,
}

/// What a simulated disk was asked to do since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SimCounts {
    /// Operations that change or sync something, failed ones included. Opening counts if it makes a file.
    pub operations: u64,
    /// Those of the operations that promise durability (syncs of files and directories, `create_dir_all`).
    pub syncs: u64,
    /// Reads of bytes of files.
    pub reads: u64,
    /// Bytes appended.
    pub written_bytes: u64,
}

/// What the clones and handles of a disk share.
#[derive(Debug)]
struct Machine(Mutex<State>);

impl Machine {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked in the middle may still look at the disk.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimDisk {
    /// An empty disk. All that it chooses follows from `seed`.
    pub fn new(seed: u64, settings: SimSettings) -> Self {
        Self::from_state(State::new(Random::new(seed), settings, Tree::new(settings.entry_order)))
    }

    /// Takes the power away, and gives the disk as it is found when the power is back. This one stays dark, but
    /// may be asked again, for another of the possible outcomes. Faults and counts start anew.
    pub fn power_loss(&self) -> Self {
        Self::from_state(self.machine.state().after_power_loss())
    }

    /// Kills the process, and gives the disk to the next one: all that was written is there, synced or not
    /// (and what was not synced is still not), locks are free. This one stays dark.
    pub fn kill_process(&self) -> Self {
        Self::from_state(self.machine.state().after_process_death())
    }

    /// Cuts the power in the middle of operation `number` ([`SimCounts::operations`]; the first is 1), which
    /// then may have been done, or not, or in part. It and all after it fail with
    /// [`ErrorKind::PowerLost`](crate::ErrorKind::PowerLost); see [`power_loss`](SimDisk::power_loss).
    pub fn cut_power_at(&self, number: u64) {
        self.machine.state().cut_at = Some(number);
    }

    /// Whether the disk still works.
    pub fn has_power(&self) -> bool {
        self.machine.state().powered
    }

    /// Makes operation `number` ([`SimCounts::operations`]; the first is 1) fail.
    pub fn fail_operation(&self, number: u64, fault: Fault) {
        self.machine.state().faults.insert(number, fault);
    }

    /// Makes read `number` ([`SimCounts::reads`]; the first is 1) fail.
    pub fn fail_read(&self, number: u64, fault: Fault) {
        self.machine.state().read_faults.insert(number, fault);
    }

    /// Makes every read of this file fail from now on, as bad sectors do; `None` makes them work again.
    pub fn fail_reads_of(&self, path: &Path, fault: Option<Fault>) {
        let faults = &mut self.machine.state().file_faults;
        match fault {
            Some(fault) => drop(faults.insert(path.to_owned(), fault)),
            None => drop(faults.remove(path)),
        }
    }

    /// Makes every operation that changes or syncs something fail, or no longer.
    pub fn set_read_only(&self, read_only: bool) {
        self.machine.state().read_only = read_only;
    }

    /// Changes the capacity; one below what is in use makes the disk full, and removes nothing.
    pub fn set_capacity(&self, bytes: u64) {
        self.machine.state().settings.capacity_bytes = bytes;
    }

    /// Damages bit `bit` (0 to 7) of the byte at `offset` of a file, in the cache and on the medium.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> Result<()> {
        let state = &mut *self.machine.state();
        let flipped = state.tree.find(path).and_then(|node| {
            let content = &mut state.tree.file_mut(node)?.content;
            let offset = usize::try_from(offset).map_err(|_| Io::UnexpectedEof)?;
            if content.flip_bit(offset, bit) { Ok(()) } else { Err(Io::UnexpectedEof) }
        });
        flipped.map_err(|kind| Error::from_io(kind.into(), "damage", path))
    }

    /// What was asked of the disk so far.
    pub fn counts(&self) -> SimCounts {
        self.machine.state().counts
    }

    fn from_state(state: State) -> Self {
        Self { machine: Arc::new(Machine(Mutex::new(state))) }
    }

    /// An appending handle on the file at `path`, which is made if missing, or has to be missing if `exclusive`.
    fn open_or_make(&self, path: &Path, operation: &'static str, exclusive: bool) -> Result<Box<dyn File>> {
        check_entry(path, operation)?;
        let state = &mut *self.machine.state();
        state.check_power(operation, path)?;
        if !exclusive && let Ok(node) = state.tree.find(path) {
            let opened = writable(state).and_then(|()| SimFile::open(self, state, node, path, true));
            return boxed(opened.map_err(|kind| Error::from_io(kind.into(), operation, path)));
        }
        let make = |state: &mut State| {
            let place = state.tree.place(path)?;
            if state.tree.at(&place).is_some() {
                return Err(Io::AlreadyExists);
            }
            Ok(state.tree.make_file(&place))
        };
        // The handle is made only now: dropping one locks the state, which is held here.
        let node = state.change(operation, path, make, |_, _| {})?;
        let opened = SimFile::open(self, state, node, path, true);
        boxed(opened.map_err(|kind| Error::from_io(kind.into(), operation, path)))
    }
}

/// A switch to read-only also refuses to open existing files for writing.
fn writable(state: &State) -> Result<(), Io> {
    if state.read_only { Err(Io::ReadOnlyFilesystem) } else { Ok(()) }
}

fn boxed(opened: Result<SimFile>) -> Result<Box<dyn File>> {
    opened.map(|file| Box::new(file) as Box<dyn File>)
}

impl Disk for SimDisk {
    fn open_read(&self, path: &Path) -> Result<Box<dyn File>> {
        check_entry(path, "open")?;
        let state = &mut *self.machine.state();
        state.check_power("open", path)?;
        let opened = state.tree.find(path).and_then(|node| SimFile::open(self, state, node, path, false));
        boxed(opened.map_err(|kind| Error::from_io(kind.into(), "open", path)))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        self.open_or_make(path, "create", true)
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn File>> {
        self.open_or_make(path, "open", false)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        check_inside(path, "examine")?;
        self.machine.state().look("examine", path, |state| Ok(metadata(&state.tree, state.tree.find(path)?)))
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        check_inside(path, "list")?;
        self.machine.state().look("list", path, |state| {
            let entries = state.tree.entries(state.tree.find(path)?)?.into_iter();
            Ok(entries
                .map(|(name, node)| {
                    let Metadata { kind, len } = metadata(&state.tree, node);
                    DirEntry { name: name.to_string_lossy().into_owned(), kind, len }
                })
                .collect())
        })
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        check_inside(path, "create directory")?;
        let effect = |state: &mut State| state.tree.make_dirs(path, true);
        let broken = |state: &mut State| {
            let _ = state.tree.make_dirs(path, false);
        };
        self.machine.state().sync("create directory", path, effect, broken)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        check_entry(from, "rename")?;
        check_entry(to, "rename to")?;
        self.machine.state().change("rename", from, |state| state.tree.rename(from, to), |_, _| {})
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        check_entry(path, "remove")?;
        self.machine.state().change("remove", path, |state| state.tree.remove_file(path), |_, _| {})
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        check_entry(path, "remove directory")?;
        self.machine.state().change(
            "remove directory",
            path,
            |state| state.tree.remove_dir_all(path),
            |_, _| {},
        )
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        check_inside(path, "sync directory")?;
        let effect = |state: &mut State| state.tree.sync_dir(state.tree.find(path)?);
        let broken = |state: &mut State| state.tree.write_back(&mut state.random);
        self.machine.state().sync("sync directory", path, effect, broken)
    }

    fn space(&self) -> Result<Space> {
        self.machine.state().look("measure space of", Path::new(""), |state| {
            Ok(Space { total_bytes: state.settings.capacity_bytes, available_bytes: state.available_bytes() })
        })
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        drop(self.open_or_make(path, "lock", false)?);
        let state = &mut *self.machine.state();
        let node: NodeId = state.tree.find(path).map_err(|kind| Error::from_io(kind.into(), "lock", path))?;
        Ok(Box::new(SimLock::acquire(self, state, node, path)?))
    }
}

fn metadata(tree: &Tree, node: NodeId) -> Metadata {
    match tree.file(node) {
        Ok(file) => Metadata { kind: EntryKind::File, len: file.content.live().len() as u64 },
        Err(_) => Metadata { kind: EntryKind::Dir, len: 0 },
    }
}
