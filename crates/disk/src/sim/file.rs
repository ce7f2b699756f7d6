//! Open files and held locks of the simulated disk.
//!
//! Invariant: a handle keeps the rules of [`File`] as the real one does: no append is left half done, and a
//! lost handle writes nothing.

use std::io::{ErrorKind as Io, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::state::State;
use super::tree::NodeId;
use super::{Machine, SimDisk};
use crate::{Error, ErrorKind, File, Lock, Result};

#[derive(Debug)]
pub(super) struct SimFile {
    machine: Arc<Machine>,
    node: NodeId,
    path: PathBuf,
    appending: bool,
    lost: AtomicBool,
}

impl SimFile {
    /// A handle on `node`; counts itself in `state`, which is that of `disk`.
    pub(super) fn open(
        disk: &SimDisk,
        state: &mut State,
        node: NodeId,
        path: &Path,
        appending: bool,
    ) -> Result<Self, Io> {
        state.tree.file_mut(node)?.handles += 1;
        let lost = AtomicBool::new(false);
        Ok(Self { machine: Arc::clone(&disk.machine), node, path: path.to_owned(), appending, lost })
    }

    fn check_writable(&self, operation: &'static str) -> Result<()> {
        let kind = if self.lost.load(Ordering::Acquire) {
            ErrorKind::Lost
        } else if !self.appending {
            ErrorKind::ReadOnly
        } else {
            return Ok(());
        };
        Err(Error::new(kind, operation, &self.path))
    }

    fn give_up(&self) {
        self.lost.store(true, Ordering::Release);
    }

    fn append_parts<'a>(&self, parts: &(impl Iterator<Item = &'a [u8]> + Clone)) -> Result<()> {
        self.check_writable("append to")?;
        let len: usize = parts.clone().map(<[u8]>::len).sum();
        let node = self.node;
        let effect = |state: &mut State| {
            if len as u64 > state.available_bytes() {
                return Err(Io::StorageFull);
            }
            let content = &mut state.tree.file_mut(node)?.content;
            parts.clone().for_each(|part| content.append(part));
            state.counts.written_bytes += len as u64;
            Ok(())
        };
        let broken = |state: &mut State, kind: Io| {
            // An append that fails for lack of space is taken back; of any other, a part may stay.
            let kept = if kind == Io::StorageFull { 0 } else { state.random.below(len + 1) };
            if let Ok(file) = state.tree.file_mut(node) {
                append_up_to(&mut file.content, parts.clone(), kept);
            }
        };
        let done = self.machine.state().change("append to", &self.path, effect, broken);
        done.inspect_err(|error| {
            if !error.is_full() {
                self.give_up();
            }
        })
    }
}

impl File for SimFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.append_parts(&std::iter::once(bytes))
    }

    fn append_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<()> {
        self.append_parts(&parts.iter().map(|part| &**part))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let wanted = buffer.len();
        if self.read_at(buffer, offset)? == wanted {
            return Ok(());
        }
        Err(Error::from_io(Io::UnexpectedEof.into(), "read", &self.path))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.machine.state().read("read", &self.path, |state| {
            let live = state.tree.file(self.node)?.content.live();
            let rest = usize::try_from(offset).ok().and_then(|start| live.get(start..)).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn len(&self) -> Result<u64> {
        self.machine
            .state()
            .look("examine", &self.path, |state| Ok(state.tree.file(self.node)?.content.live().len() as u64))
    }

    fn sync_data(&self) -> Result<()> {
        self.check_writable("sync")?;
        let effect = |state: &mut State| {
            state.tree.file_mut(self.node)?.content.sync();
            Ok(())
        };
        let broken = |state: &mut State| {
            if let Ok(file) = state.tree.file_mut(self.node) {
                file.content.fail_sync(&mut state.random, state.settings.tears_sectors);
            }
        };
        let done = self.machine.state().sync("sync", &self.path, effect, broken);
        done.inspect_err(|_| self.give_up())
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.check_writable("truncate")?;
        if len > self.len()? {
            return Err(Error::from_io(Io::InvalidInput.into(), "truncate", &self.path));
        }
        let effect = |state: &mut State| {
            let len = usize::try_from(len).map_err(|_| Io::InvalidInput)?;
            state.tree.file_mut(self.node)?.content.truncate(len);
            Ok(())
        };
        let done = self.machine.state().change("truncate", &self.path, effect, |_, _| {});
        done.inspect_err(|_| self.give_up())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(file) = self.machine.state().tree.file_mut(self.node) {
            file.handles = file.handles.saturating_sub(1);
        }
    }
}

/// Appends the first `len` bytes of `parts`.
fn append_up_to<'a>(
    content: &mut super::content::Content,
    parts: impl Iterator<Item = &'a [u8]>,
    mut len: usize,
) {
    for part in parts {
        let taken = part.len().min(len);
        content.append(&part[..taken]);
        len -= taken;
    }
}

#[derive(Debug)]
pub(super) struct SimLock {
    machine: Arc<Machine>,
    node: NodeId,
}

impl SimLock {
    /// The lock on `node`, unless somebody holds it; `state` is that of `disk`.
    pub(super) fn acquire(disk: &SimDisk, state: &mut State, node: NodeId, path: &Path) -> Result<Self> {
        if state.locks.insert(node) {
            return Ok(Self { machine: Arc::clone(&disk.machine), node });
        }
        Err(Error::new(ErrorKind::Locked { pid: Some(std::process::id()) }, "lock", path))
    }
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.machine.state().locks.remove(&self.node);
    }
}
